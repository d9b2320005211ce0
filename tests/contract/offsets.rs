//! Committed offsets: what a transaction may commit, who is refused, what others see meanwhile.

use std::time::Duration;

use highwater::log::*;

use crate::member::{Member, commit_offset, owner, send_offsets, told};
use crate::support::{DEADLINE, wait_until};
use crate::world::*;

const SOON: Duration = Duration::from_millis(500);

pub fn nothing_is_committed_at_first(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let tps = [0, 1].map(|p| TopicPartition::new(topic.as_str(), p));
    let mut member = Member::new(world.log());
    assert_eq!(member.committed(&tps, WAIT), Ok(vec![None, None]));
}

pub fn offsets_are_told_in_the_order_asked(world: &World) {
    let topic = world.topic("t", 3, &[]);
    let [a, b, c] = [0, 1, 2].map(|p| TopicPartition::new(topic.as_str(), p));
    let mut member = Member::subscribed(world.log(), &[&topic]);
    member.until_owning(3);
    let who = member.membership().unwrap();
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    send_offsets(producer.as_mut(), &[(&a, 10), (&c, 30)], &who);
    commit(producer.as_mut());
    assert_eq!(member.committed_now(&[c, b, a]), [Some(30), None, Some(10)]);
}

pub fn a_transaction_of_offsets_alone_commits(world: &World) {
    let tp = world.partition("t");
    let (mut member, who) = owner(world, &tp);
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    send_offsets(producer.as_mut(), &[(&tp, 5)], &who);
    assert_eq!(producer.commit(WAIT), Ok(Ended::Done));
    assert_eq!(member.committed_now(std::slice::from_ref(&tp)), [Some(5)]);
    assert_eq!(world.end(&tp), 0, "nothing was written to the topic itself");
}

/// Undecided, an offset is not told: not the new one, nor the old one.
pub fn an_offset_in_an_open_transaction_is_unstable(world: &World) {
    let tp = world.partition("t");
    let (mut member, who) = owner(world, &tp);
    let mut producer = world.producer("id");
    commit_offset(producer.as_mut(), &tp, 1, &who);
    assert_eq!(member.committed_now(std::slice::from_ref(&tp)), [Some(1)]);
    producer.begin().unwrap();
    assert_eq!(member.committed_now(std::slice::from_ref(&tp)), [Some(1)]);
    send_offsets(producer.as_mut(), &[(&tp, 2)], &who);
    demands(member.committed(std::slice::from_ref(&tp), SOON), "retry");
    demands(Member::new(world.log()).committed(std::slice::from_ref(&tp), SOON), "retry");
    commit(producer.as_mut());
    assert_eq!(member.committed_now(std::slice::from_ref(&tp)), [Some(2)]);
}

pub fn an_abort_leaves_the_old_offset(world: &World) {
    let tp = world.partition("t");
    let (mut member, who) = owner(world, &tp);
    let mut producer = world.producer("id");
    for (offset, expected) in [(1, None), (2, None)] {
        producer.begin().unwrap();
        send_offsets(producer.as_mut(), &[(&tp, offset)], &who);
        abort(producer.as_mut());
        assert_eq!(member.committed_now(std::slice::from_ref(&tp)), [expected]);
    }
    commit_offset(producer.as_mut(), &tp, 3, &who);
    producer.begin().unwrap();
    send_offsets(producer.as_mut(), &[(&tp, 4)], &who);
    abort(producer.as_mut());
    assert_eq!(member.committed_now(std::slice::from_ref(&tp)), [Some(3)]);
}

/// Who is told the new offset finds the records up to the end that the log has then.
pub fn offsets_and_records_are_committed_as_one(world: &World) {
    let (tp, out) = (world.partition("t"), world.partition("out"));
    let (mut member, who) = owner(world, &tp);
    let mut producer = world.producer("id");
    for round in 1..=10 {
        producer.begin().unwrap();
        send(producer.as_mut(), &out, &round.to_string());
        send_offsets(producer.as_mut(), &[(&tp, round)], &who);
        commit(producer.as_mut());
        assert_eq!(member.committed_now(std::slice::from_ref(&tp)), [Some(round)]);
        assert_eq!(world.committed(&out).len(), round as usize);
    }
}

pub fn only_pending_partitions_are_unstable(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let [a, b] = [0, 1].map(|p| TopicPartition::new(topic.as_str(), p));
    let mut member = Member::subscribed(world.log(), &[&topic]);
    member.until_owning(2);
    let who = member.membership().unwrap();
    let mut producer = world.producer("id");
    commit_offset(producer.as_mut(), &b, 7, &who);
    assert_eq!(member.committed_now(std::slice::from_ref(&b)), [Some(7)]);
    producer.begin().unwrap();
    send_offsets(producer.as_mut(), &[(&a, 2)], &who);
    assert_eq!(member.committed(std::slice::from_ref(&b), WAIT), Ok(vec![Some(7)]));
    // One that is pending holds up the whole answer.
    demands(member.committed(&[b, a], SOON), "retry");
    abort(producer.as_mut());
}

pub fn groups_have_offsets_of_their_own(world: &World) {
    let tp = world.partition("t");
    let (_member, who) = owner(world, &tp);
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    send_offsets(producer.as_mut(), &[(&tp, 2)], &who);
    let other = world.client(&world.name("other"), LONG);
    assert_eq!(Member::new(other.as_ref()).committed(std::slice::from_ref(&tp), WAIT), Ok(vec![None]));
    commit(producer.as_mut());
    assert_eq!(told(world, &tp), Some(2));
    assert_eq!(Member::new(other.as_ref()).committed_now(std::slice::from_ref(&tp)), [None]);
}

pub fn the_last_offset_sent_is_committed(world: &World) {
    let tp = world.partition("t");
    let (mut member, who) = owner(world, &tp);
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    // Also when it is the lower one: offsets may be set back.
    for offset in [5, 9, 3] {
        send_offsets(producer.as_mut(), &[(&tp, offset)], &who);
    }
    commit(producer.as_mut());
    assert_eq!(member.committed_now(std::slice::from_ref(&tp)), [Some(3)]);
}

/// Of two transactions on one offset the one that *sent* later wins, whichever commits later.
pub fn of_two_pending_offsets_the_later_sent_wins(world: &World) {
    let tp = world.partition("t");
    let (mut member, who) = owner(world, &tp);
    let (mut first, mut second) = (world.producer("first"), world.producer("second"));
    first.begin().unwrap();
    second.begin().unwrap();
    send_offsets(first.as_mut(), &[(&tp, 5)], &who);
    send_offsets(second.as_mut(), &[(&tp, 7)], &who);
    commit(second.as_mut());
    demands(member.committed(std::slice::from_ref(&tp), SOON), "retry");
    commit(first.as_mut());
    assert_eq!(member.committed_now(std::slice::from_ref(&tp)), [Some(7)]);
}

pub fn offsets_pass_to_the_next_owner(world: &World) {
    let tp = world.partition("t");
    let (mut member, who) = owner(world, &tp);
    commit_offset(world.producer("id").as_mut(), &tp, 5, &who);
    member.leave();
    let (mut next, who) = owner(world, &tp);
    assert_eq!(next.committed_now(std::slice::from_ref(&tp)), [Some(5)]);
    commit_offset(world.producer("other").as_mut(), &tp, 6, &who);
    assert_eq!(told(world, &tp), Some(6));
}

/// The next producer of the id decides what was pending.
pub fn init_makes_pending_offsets_stable(world: &World) {
    let tp = world.partition("t");
    let (mut member, who) = owner(world, &tp);
    let mut first = world.producer("id");
    commit_offset(first.as_mut(), &tp, 1, &who);
    first.begin().unwrap();
    send_offsets(first.as_mut(), &[(&tp, 2)], &who);
    demands(member.committed(std::slice::from_ref(&tp), SOON), "retry");
    let _second = world.producer("id");
    assert_eq!(member.committed_now(std::slice::from_ref(&tp)), [Some(1)]);
    demands(first.commit(WAIT), "stop");
    assert_eq!(told(world, &tp), Some(1));
}

pub fn a_timeout_makes_pending_offsets_stable(world: &World) {
    let tp = world.partition("t");
    let (mut member, who) = owner(world, &tp);
    let log = world.client(&world.group(), Duration::from_secs(1));
    let mut late = producer(log.as_ref(), &world.name("id"));
    late.begin().unwrap();
    send_offsets(late.as_mut(), &[(&tp, 2)], &who);
    demands(member.committed(std::slice::from_ref(&tp), Duration::from_millis(100)), "retry");
    assert_eq!(member.committed_now(std::slice::from_ref(&tp)), [None]);
    demands(late.commit(WAIT), "restore");
    assert_eq!(told(world, &tp), None);
}

pub fn a_fenced_producer_sends_no_offsets(world: &World) {
    let tp = world.partition("t");
    let (_member, who) = owner(world, &tp);
    let mut first = world.producer("id");
    let _second = world.producer("id");
    first.begin().unwrap();
    demands(first.send_offsets(&[(tp.clone(), 5)], &who, WAIT), "stop");
    assert_eq!(told(world, &tp), None);
}

pub fn an_overdue_producer_sends_no_offsets(world: &World) {
    let (tp, out) = (world.partition("t"), world.partition("out"));
    let (_member, who) = owner(world, &tp);
    let log = world.client(&world.group(), Duration::from_secs(1));
    let mut late = producer(log.as_ref(), &world.name("id"));
    late.begin().unwrap();
    send(late.as_mut(), &out, "never");
    world.wait_for_end(&out, 1);
    world.wait_for_end(&out, 2);
    demands(late.send_offsets(&[(tp.clone(), 5)], &who, WAIT), "restore");
    assert_eq!(told(world, &tp), None);
}

/// Nothing would fence it.
pub fn a_transaction_sends_no_empty_list_of_offsets(world: &World) {
    let tp = world.partition("t");
    let (_member, who) = owner(world, &tp);
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    demands(producer.send_offsets(&[], &who, WAIT), "restore");
}

pub fn offsets_of_a_deleted_topic_are_forgotten(world: &World) {
    let tp = world.partition("t");
    let (mut member, who) = owner(world, &tp);
    commit_offset(world.producer("id").as_mut(), &tp, 5, &who);
    assert_eq!(told(world, &tp), Some(5));
    member.leave();
    world.admin().delete(&tp.topic).unwrap();
    wait_until(DEADLINE, "the offset to go", || told(world, &tp).is_none().then_some(()));
    assert_eq!(world.partition("t"), tp);
    assert_eq!(told(world, &tp), None);
}

/// Also the coordinator of the group learns of a commit when it may. Until then nothing is told.
pub fn committed_offsets_may_come_late(world: &World) {
    let tp = world.partition("t");
    let (mut member, who) = owner(world, &tp);
    let mut producer = world.producer("id");
    commit_offset(producer.as_mut(), &tp, 1, &who);
    assert_eq!(told(world, &tp), Some(1));
    world.hold_offsets();
    commit_offset(producer.as_mut(), &tp, 2, &who);
    match member.committed(std::slice::from_ref(&tp), SOON) {
        Ok(told) => assert_eq!(told, [Some(2)]),
        Err(early) => demands::<()>(Err(early), "retry"),
    }
    world.release_held();
    assert_eq!(told(world, &tp), Some(2));
}
