//! The consumer group: who gets what, how it moves, and how a member tells where it stands.

use highwater::log::*;

use crate::member::{Member, balanced, together};
use crate::support::{DEADLINE, wait_until};
use crate::world::*;

fn partitions(topic: &str, count: i32) -> Vec<TopicPartition> {
    (0..count).map(|p| TopicPartition::new(topic, p)).collect()
}

/// Waits for the background to bring a member into another generation than this; nothing is asked of it meanwhile.
#[track_caller]
fn next_generation(member: &mut Member, than: i32) -> Membership {
    wait_until(DEADLINE, "the next generation", || member.membership().ok().filter(|who| who.generation > than))
}

pub fn one_member_gets_all(world: &World) {
    let topic = world.topic("t", 3, &[]);
    let mut member = Member::subscribed(world.log(), &[&topic]);
    member.until_owning(3);
    let assigned: Vec<_> = member.events.iter().collect();
    assert_eq!(assigned, [&Event::Assigned(partitions(&topic, 3))], "at once, and in order");
    assert_eq!(member.membership().unwrap().group, world.group());
}

/// The first gives back only what moves, and keeps the rest all the time. The second gets nothing before that.
pub fn a_second_member_gets_what_the_first_releases(world: &World) {
    let topic = world.topic("t", 4, &[]);
    let mut first = Member::subscribed(world.log(), &[&topic]);
    first.until_owning(4);
    let mut second = Member::subscribed(world.log(), &[&topic]);
    let revoked = first.until_revoked(&mut [&mut second]);
    let Event::Revoked { partitions: moving, lost } = &revoked else { unreachable!() };
    assert_eq!((moving.len(), *lost), (2, false));
    assert_eq!(first.owned.len(), 4, "nothing but what moves is named");
    for _ in 0..50 {
        second.step();
        assert_eq!(first.listen(), []);
    }
    assert!(second.owned.is_empty(), "{:?}", second.owned);
    // Told so: it is a member with nothing.
    assert_eq!(second.events, [Event::Assigned(vec![])]);
    first.answer(&revoked);
    together(&mut [&mut first, &mut second], "two each", |members| balanced(members, 4));
    assert_eq!(second.owned, moving.iter().cloned().collect());
    assert_eq!((first.membership().unwrap().generation), second.membership().unwrap().generation);
    assert_ne!(first.membership().unwrap().member, second.membership().unwrap().member);
}

/// What stays is nobody else's for a moment, and is read on from where it is sought. Between the revocation and the
/// empty assignment that follows it the client holds all its partitions back.
pub fn what_stays_assigned_keeps_going(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let (mut appender, all) = (world.appender(), partitions(&topic, 2));
    let mut first = Member::subscribed(world.log(), &[&topic]);
    first.until_owning(2);
    for tp in &all {
        first.go(tp, 0);
        append(appender.as_mut(), tp, "0");
    }
    first.until_seen(2);
    let mut second = Member::subscribed(world.log(), &[&topic]);
    let revoked = first.until_revoked(&mut [&mut second]);
    let Event::Revoked { partitions: moving, .. } = &revoked else { unreachable!() };
    let stays = all.iter().find(|tp| !moving.contains(tp)).unwrap();
    append(appender.as_mut(), stays, "1");
    first.answer(&revoked);
    together(&mut [&mut first, &mut second], "one each", |members| balanced(members, 2));
    append(appender.as_mut(), stays, "2");
    first.seen.clear();
    first.go(stays, 1);
    first.until_seen(2);
    assert_eq!(places(&first.seen), lines(&[(1, "1"), (2, "2")]));
}

/// The client joins the new generation by itself, with a transaction open and the revocation unanswered; what is retained
/// is committed under it.
pub fn membership_follows_while_a_transaction_is_open(world: &World) {
    let (topic, out) = (world.topic("t", 2, &[]), world.partition("out"));
    let mut first = Member::subscribed(world.log(), &[&topic]);
    first.until_owning(2);
    let old = first.membership().unwrap();
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    send(producer.as_mut(), &out, "value");
    let mut second = Member::subscribed(world.log(), &[&topic]);
    let new = next_generation(&mut first, old.generation);
    assert_eq!(new.member, old.member);
    // Nobody has heard of the revocation yet.
    assert_eq!(first.events.len(), 1, "{:?}", first.events);
    let offsets: Vec<_> = first.owned.iter().map(|tp| (tp.clone(), 5)).collect();
    patiently("offsets", || producer.send_offsets(&offsets, &new, WAIT));
    commit(producer.as_mut());
    assert_eq!(values(&world.committed(&out)), ["value"]);
    let revoked = first.until_revoked(&mut [&mut second]);
    first.answer(&revoked);
    together(&mut [&mut first, &mut second], "one each", |members| balanced(members, 2));
    assert_eq!(second.committed_now(&partitions(&topic, 2)), [Some(5), Some(5)]);
}

pub fn offsets_of_the_generation_before_are_refused(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let mut first = Member::subscribed(world.log(), &[&topic]);
    first.until_owning(2);
    let old = first.membership().unwrap();
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    let _second = Member::subscribed(world.log(), &[&topic]);
    let new = next_generation(&mut first, old.generation);
    let offsets: Vec<_> = first.owned.iter().map(|tp| (tp.clone(), 5)).collect();
    demands(producer.send_offsets(&offsets, &old, WAIT), "rejoin");
    abort(producer.as_mut());
    assert_eq!(first.committed_now(&partitions(&topic, 2)), [None, None]);
    // The way on: rewound, the same work under the new generation.
    producer.begin().unwrap();
    patiently("offsets", || producer.send_offsets(&offsets, &new, WAIT));
    commit(producer.as_mut());
    assert_eq!(first.committed_now(&partitions(&topic, 2)), [Some(5), Some(5)]);
}

/// Sent in time they are committed, whatever the group does before the commit.
pub fn offsets_sent_before_a_rebalance_are_committed_after_it(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let mut first = Member::subscribed(world.log(), &[&topic]);
    first.until_owning(2);
    let old = first.membership().unwrap();
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    let offsets: Vec<_> = first.owned.iter().map(|tp| (tp.clone(), 5)).collect();
    patiently("offsets", || producer.send_offsets(&offsets, &old, WAIT));
    let _second = Member::subscribed(world.log(), &[&topic]);
    next_generation(&mut first, old.generation);
    commit(producer.as_mut());
    assert_eq!(first.committed_now(&partitions(&topic, 2)), [Some(5), Some(5)]);
}

/// Two rebalances: one in which the partition is given up, one in which it is given out.
pub fn a_handover_takes_two_generations(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let mut first = Member::subscribed(world.log(), &[&topic]);
    first.until_owning(2);
    let before = first.membership().unwrap().generation;
    let mut second = Member::subscribed(world.log(), &[&topic]);
    together(&mut [&mut first, &mut second], "one each", |members| balanced(members, 2));
    let after = [first.membership().unwrap().generation, second.membership().unwrap().generation];
    assert_eq!(after, [before + 2; 2]);
}

pub fn leaving_gives_the_partitions_to_the_others(world: &World) {
    let topic = world.topic("t", 4, &[]);
    let mut first = Member::subscribed(world.log(), &[&topic]);
    let mut second = Member::subscribed(world.log(), &[&topic]);
    together(&mut [&mut first, &mut second], "two each", |members| balanced(members, 4));
    first.events.clear();
    second.leave();
    first.until_owning(4);
    // What it had stays: only the rest is told.
    let gained: usize = first.events.iter().map(|e| if let Event::Assigned(tps) = e { tps.len() } else { 99 }).sum();
    assert_eq!(gained, 2, "{:?}", first.events);
}

/// Dropped without leaving first, it leaves all the same.
pub fn a_dropped_member_has_left(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let mut first = Member::subscribed(world.log(), &[&topic]);
    first.until_owning(2);
    drop(first);
    Member::subscribed(world.log(), &[&topic]).until_owning(2);
}

pub fn three_members_share_eight_partitions(world: &World) {
    let topic = world.topic("t", 8, &[]);
    let mut members: Vec<Member> = (0..3).map(|_| Member::subscribed(world.log(), &[&topic])).collect();
    let mut all: Vec<&mut Member> = members.iter_mut().collect();
    together(&mut all, "eight over three", |members| balanced(members, 8));
    let mut third = members.pop().unwrap();
    let before: Vec<_> = members.iter().map(|member| member.owned.clone()).collect();
    third.leave();
    let mut all: Vec<&mut Member> = members.iter_mut().collect();
    together(&mut all, "eight over two", |members| balanced(members, 8));
    for (member, before) in members.iter().zip(before) {
        assert!(member.owned.is_superset(&before), "sticky: {:?} had {before:?}", member.owned);
    }
}

/// More members than partitions: some have nothing, and are members.
pub fn a_member_may_have_nothing(world: &World) {
    let topic = world.topic("t", 1, &[]);
    let mut first = Member::subscribed(world.log(), &[&topic]);
    first.until_owning(1);
    let mut second = Member::subscribed(world.log(), &[&topic]);
    wait_until(DEADLINE, "an assignment of nothing", || {
        first.step();
        second.step();
        (second.events == [Event::Assigned(vec![])]).then_some(())
    });
    second.membership().unwrap();
    assert_eq!(first.owned.len(), 1);
    first.leave();
    second.until_owning(1);
}

pub fn topics_are_added_to_a_subscription(world: &World) {
    let (a, b) = (world.topic("a", 2, &[]), world.topic("b", 1, &[]));
    let mut member = Member::subscribed(world.log(), &[&a]);
    member.until_owning(2);
    let before = member.membership().unwrap().generation;
    member.follow(&[&a, &b]);
    member.until_owning(3);
    assert!(!member.events.iter().any(|e| matches!(e, Event::Revoked { .. })), "{:?}", member.events);
    assert!(member.membership().unwrap().generation > before);
}

pub fn topics_are_taken_from_a_subscription(world: &World) {
    let (a, b) = (world.topic("a", 2, &[]), world.topic("b", 1, &[]));
    let mut member = Member::subscribed(world.log(), &[&a, &b]);
    member.until_owning(3);
    member.events.clear();
    member.follow(&[&a]);
    member.until_owning(2);
    let gone = Event::Revoked { partitions: partitions(&b, 1), lost: false };
    assert!(member.events.contains(&gone), "{:?}", member.events);
}

/// Members of a group may read different topics: each gets only of its own.
pub fn members_may_subscribe_to_different_topics(world: &World) {
    let (a, b) = (world.topic("a", 2, &[]), world.topic("b", 2, &[]));
    let mut first = Member::subscribed(world.log(), &[&a]);
    let mut second = Member::subscribed(world.log(), &[&b]);
    together(&mut [&mut first, &mut second], "each its own", |members| {
        [&a, &b].iter().zip(members).all(|(topic, member)| {
            assert!(member.owned.iter().all(|tp| *tp.topic == ***topic));
            member.owned.len() == 2
        })
    });
}

/// Made while the group is at work.
pub fn a_topic_that_comes_later_is_subscribed_to(world: &World) {
    let here = world.topic("here", 1, &[]);
    let mut member = Member::subscribed(world.log(), &[&here]);
    member.until_owning(1);
    let later = world.topic("later", 2, &[]);
    member.follow(&[&here, &later]);
    member.until_owning(3);
}

pub fn groups_do_not_share(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let other = world.client(&world.name("other"), LONG);
    let mut members = [Member::subscribed(world.log(), &[&topic]), Member::subscribed(other.as_ref(), &[&topic])];
    members.iter_mut().for_each(|member| member.until_owning(2));
}

/// The group is served although nothing is fetched.
pub fn serve_tells_of_rebalances(world: &World) {
    let topic = world.topic("t", 2, &[]);
    append(world.appender().as_mut(), &TopicPartition::new(topic.as_str(), 0), "value");
    let mut first = Member::subscribed(world.log(), &[&topic]);
    first.until_owning(2);
    let mut second = Member::subscribed(world.log(), &[&topic]);
    wait_until(DEADLINE, "one each", || {
        second.step();
        let events = first.serve();
        events.iter().for_each(|event| first.answer(event));
        (first.owned.len() == 1 && second.owned.len() == 1).then_some(())
    });
    assert_eq!(first.seen, []);
}

/// Also an assignment of nothing: until it is taken, the others wait.
pub fn every_event_of_the_group_wants_its_answer(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let mut first = Member::subscribed(world.log(), &[&topic]);
    first.until_owning(2);
    let mut second = Member::subscribed(world.log(), &[&topic]);
    let revoked = first.until_revoked(&mut [&mut second]);
    first.answer(&revoked);
    let nothing = wait_until(DEADLINE, "what follows a revocation", || first.listen().pop());
    assert_eq!(nothing, Event::Assigned(vec![]));
    let generation = first.membership().unwrap().generation;
    for _ in 0..50 {
        second.step();
        assert_eq!(first.listen(), []);
    }
    assert_eq!((second.owned.len(), first.membership().unwrap().generation), (0, generation));
    first.answer(&nothing);
    together(&mut [&mut first, &mut second], "one each", |members| balanced(members, 2));
}

/// An answer to a rebalance that another has overtaken is an error, not a lie.
pub fn what_was_never_assigned_is_refused(world: &World) {
    let (topic, other) = (world.topic("t", 1, &[]), world.partition("other"));
    let mut member = Member::subscribed(world.log(), &[&topic]);
    member.until_owning(1);
    demands(member.release(std::slice::from_ref(&other)), "retry");
    demands(member.resume_at(&other, 0), "retry");
    let own = partitions(&topic, 1);
    demands(member.take(&own), "retry");
    assert_eq!(member.release(&own), Ok(()));
    demands(member.release(&own), "retry");
    demands(member.resume_at(&own[0], 0), "retry");
}

/// A stall longer than the session: the partitions are others' at once, and nothing is committed in the old name.
pub fn a_member_that_is_thrown_out_has_lost_its_partitions(world: &World) {
    let (topic, log) = (world.topic("t", 2, &[]), world.mortal());
    let mut first = Member::subscribed(log.as_ref(), &[&topic]);
    first.until_owning(2);
    let old = first.membership().unwrap();
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    world.expire(&old);
    // Nobody waits for its answer.
    let mut second = Member::subscribed(world.log(), &[&topic]);
    second.until_owning(2);
    demands(producer.send_offsets(&[(partitions(&topic, 1)[0].clone(), 5)], &old, WAIT), "rejoin");
    abort(producer.as_mut());
    let lost = first.until_revoked(&mut [&mut second]);
    assert_eq!(lost, Event::Revoked { partitions: partitions(&topic, 2), lost: true });
    demands(first.membership(), "rejoin");
    // Having given them up it is a member again, another one.
    first.answer(&lost);
    together(&mut [&mut first, &mut second], "one each", |members| balanced(members, 2));
    assert_ne!(first.membership().unwrap().member, old.member);
    assert_eq!(second.committed_now(&partitions(&topic, 2)), [None, None]);
}
