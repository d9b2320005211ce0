//! What a member reads of its partitions: from where, until where, and what it is told of the rest.

use highwater::log::*;

use crate::member::{Member, together};
use crate::support::{DEADLINE, wait_until};
use crate::world::*;

/// A topic of one partition with five records in one batch, and its only reader, which has not begun.
fn five(world: &World) -> (TopicPartition, Member, Box<dyn Appender>) {
    let (tp, mut appender) = (world.partition("t"), world.appender());
    for value in ["0", "1", "2", "3", "4"] {
        assert_eq!(appender.send(&record(&tp, "key", value)), Ok(Sent::Queued));
    }
    appender.flush(WAIT).unwrap();
    let mut member = Member::subscribed(world.log(), &[&tp.topic]);
    member.until_owning(1);
    (tp, member, appender)
}

fn offsets(member: &Member) -> Vec<i64> {
    member.seen.iter().map(|seen| seen.offset).collect()
}

/// A few polls that bring nothing.
fn hears_nothing(member: &mut Member) {
    let before = member.seen.len();
    for _ in 0..30 {
        assert_eq!(member.listen(), []);
    }
    assert_eq!(member.seen.len(), before, "{:?}", offsets(member));
}

pub fn what_was_taken_is_paused(world: &World) {
    let (tp, mut member, _) = five(world);
    hears_nothing(&mut member);
    member.go(&tp, 0);
    member.until_seen(5);
    assert_eq!(offsets(&member), [0, 1, 2, 3, 4]);
    assert_eq!(values(&member.seen), ["0", "1", "2", "3", "4"]);
}

pub fn pausing_holds_back_what_comes(world: &World) {
    let (tp, mut member, mut appender) = five(world);
    member.go(&tp, 0);
    member.until_seen(5);
    member.pause(std::slice::from_ref(&tp)).unwrap();
    append(appender.as_mut(), &tp, "5");
    hears_nothing(&mut member);
    member.go(&tp, 5);
    member.until_seen(6);
}

/// Also what was fetched before and not handed over.
pub fn pausing_holds_back_what_was_fetched(world: &World) {
    let (tp, mut member, _) = five(world);
    member.go(&tp, 0);
    let mut offsets = Vec::new();
    wait_until(DEADLINE, "two records", || {
        member.poll(2 - offsets.len(), WAIT, &mut |record| offsets.push(record.offset));
        (offsets.len() == 2).then_some(())
    });
    member.pause(std::slice::from_ref(&tp)).unwrap();
    hears_nothing(&mut member);
    member.go(&tp, 2);
    member.until_seen(3);
    assert_eq!(self::offsets(&member), [2, 3, 4]);
}

pub fn resuming_goes_on_exactly_there(world: &World) {
    let (tp, mut member, mut appender) = five(world);
    let mut expected = Vec::new();
    // Within the batch, back, at the end, back to the start; without a pause in between.
    for from in [3, 1, 4, 0] {
        member.go(&tp, from);
        expected.extend(from..5);
        member.until_seen(expected.len());
        assert_eq!(offsets(&member), expected, "from {from}");
    }
    member.go(&tp, 5);
    hears_nothing(&mut member);
    append(appender.as_mut(), &tp, "5");
    member.until_seen(expected.len() + 1);
    assert_eq!(offsets(&member).last(), Some(&5));
}

/// What was fetched before a seek never comes after it.
pub fn resuming_drops_what_was_fetched_before(world: &World) {
    let (tp, mut member, _) = five(world);
    for from in [2, 0, 3, 1] {
        member.go(&tp, 0);
        let mut first = None;
        wait_until(DEADLINE, "a record", || {
            member.poll(1, WAIT, &mut |record| first = Some(record.offset));
            first
        });
        assert_eq!(first, Some(0));
        member.go(&tp, from);
        member.seen.clear();
        member.until_seen(5 - from as usize);
        assert_eq!(offsets(&member), (from..5).collect::<Vec<_>>());
    }
}

/// Told once; the partition then waits for a person.
pub fn resuming_beyond_the_end_is_out_of_range(world: &World) {
    let (tp, mut member, _) = five(world);
    member.go(&tp, 6);
    let event = wait_until(DEADLINE, "an event", || {
        member.listen().into_iter().find(|event| !matches!(event, Event::Notice(_) | Event::Unreachable(_)))
    });
    assert_eq!(event, Event::OutOfRange(tp));
    hears_nothing(&mut member);
    assert_eq!(member.seen, []);
}

/// However soon it is told where to begin: a look-up of the client's own must not move it afterwards.
pub fn a_partition_begins_where_it_is_told_and_stays_there(world: &World) {
    const PARTITIONS: i32 = 8;
    let (topic, mut appender) = (world.topic("t", PARTITIONS, &[]), world.appender());
    let all: Vec<_> = (0..PARTITIONS).map(|p| TopicPartition::new(topic.as_str(), p)).collect();
    all.iter().for_each(|tp| append(appender.as_mut(), tp, "0"));
    let mut member = Member::subscribed(world.log(), &[&topic]);
    member.until_owning(PARTITIONS as usize);
    all.iter().for_each(|tp| member.go(tp, 0));
    member.until_seen(PARTITIONS as usize);
    // Written after the look-up would have been made again.
    std::thread::sleep(std::time::Duration::from_millis(700));
    all.iter().for_each(|tp| append(appender.as_mut(), tp, "1"));
    member.until_seen(2 * PARTITIONS as usize);
}

pub fn members_see_committed_records_only(world: &World) {
    let (tp, mut member, mut appender) = five(world);
    let (mut first, mut second) = (world.producer("first"), world.producer("second"));
    member.go(&tp, 0);
    for (at, (producer, value)) in [(&mut first, "never"), (&mut second, "later")].into_iter().enumerate() {
        producer.begin().unwrap();
        send(producer.as_mut(), &tp, value);
        world.wait_for_end(&tp, 6 + at as i64);
    }
    append(appender.as_mut(), &tp, "behind");
    member.until_seen(5);
    hears_nothing(&mut member);
    abort(first.as_mut());
    world.wait_for_end(&tp, 9);
    hears_nothing(&mut member);
    commit(second.as_mut());
    member.until_seen(7);
    assert_eq!(places(&member.seen[5..]), lines(&[(6, "later"), (7, "behind")]));
}

/// A member is never told of ends; its positions tell that it is through, past markers that nobody hands over.
pub fn positions_pass_trailing_markers(world: &World) {
    let (tp, mut member, _) = five(world);
    let mut producer = world.producer("id");
    assert!(member.positions().is_empty(), "nothing was handed over yet: {:?}", member.positions());
    producer.begin().unwrap();
    send(producer.as_mut(), &tp, "5");
    commit(producer.as_mut());
    producer.begin().unwrap();
    send(producer.as_mut(), &tp, "never");
    world.wait_for_end(&tp, 8);
    abort(producer.as_mut());
    world.wait_for_end(&tp, 9);
    member.go(&tp, 0);
    member.until_seen(6);
    wait_until(DEADLINE, "the position behind the last marker", || {
        assert_eq!(member.listen(), []);
        (member.positions() == [(tp.clone(), 9)].into()).then_some(())
    });
    member.go(&tp, 9);
    hears_nothing(&mut member);
    assert!(member.positions().is_empty(), "nothing was handed over since: {:?}", member.positions());
    assert!(member.events.iter().all(|e| matches!(e, Event::Assigned(_))), "{:?}", member.events);
}

pub fn the_stable_offset_is_heard(world: &World) {
    let (tp, mut member, mut appender) = five(world);
    member.go(&tp, 0);
    let heard = |member: &mut Member, end: i64| {
        wait_until(DEADLINE, &format!("to hear of {end}"), || {
            member.listen();
            member.heard(&tp).filter(|bounds| *bounds == Bounds { start: 0, end }).map(drop)
        });
    };
    heard(&mut member, 5);
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    send(producer.as_mut(), &tp, "open");
    world.wait_for_end(&tp, 6);
    append(appender.as_mut(), &tp, "behind");
    heard(&mut member, 5);
    commit(producer.as_mut());
    heard(&mut member, 8);
    assert_eq!(member.heard(&TopicPartition::new(&*tp.topic, 1)), None);
}

pub fn a_poll_of_a_member_hands_over_no_more_than_asked(world: &World) {
    let (tp, mut member, _) = five(world);
    member.go(&tp, 0);
    let mut offsets = Vec::new();
    wait_until(DEADLINE, "five records", || {
        let before = offsets.len();
        member.poll(2, WAIT, &mut |record| offsets.push(record.offset));
        assert!(offsets.len() - before <= 2);
        (offsets.len() == 5).then_some(())
    });
    assert_eq!(offsets, [0, 1, 2, 3, 4]);
}

/// What comes and goes with a rebalance is read from where the next owner is told to.
pub fn the_next_owner_begins_where_it_is_told(world: &World) {
    let (tp, mut first, mut appender) = five(world);
    first.go(&tp, 0);
    first.until_seen(5);
    first.leave();
    append(appender.as_mut(), &tp, "5");
    let mut second = Member::subscribed(world.log(), &[&tp.topic]);
    second.until_owning(1);
    hears_nothing(&mut second);
    second.go(&tp, 4);
    together(&mut [&mut second], "two records", |members| members[0].seen.len() == 2);
    assert_eq!(offsets(&second), [4, 5]);
}
