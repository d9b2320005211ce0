//! A reader: where it begins, where it ends, what it skips.

use highwater::log::*;

use crate::support::{DEADLINE, wait_until};
use crate::world::*;

/// Five records in one go, then a transaction of two with its marker at 7.
fn filled(world: &World) -> TopicPartition {
    let tp = world.partition("t");
    let mut appender = world.appender();
    for value in ["0", "1", "2", "3", "4"] {
        assert_eq!(appender.send(&record(&tp, "key", value)), Ok(Sent::Queued));
    }
    appender.flush(WAIT).unwrap();
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    send(producer.as_mut(), &tp, "5");
    send(producer.as_mut(), &tp, "6");
    commit(producer.as_mut());
    world.wait_for_end(&tp, 8);
    tp
}

fn read_from(world: &World, tp: &TopicPartition, offset: i64) -> (Vec<String>, i64) {
    let mut tail = world.tail(Isolation::Committed);
    tail.start(tp, offset);
    let (seen, end) = tail.next_end(tp);
    (values(&seen), end)
}

pub fn an_empty_partition_ends_at_once(world: &World) {
    let tp = world.partition("t");
    for isolation in [Isolation::Committed, Isolation::Uncommitted] {
        assert_eq!(world.now(&tp, isolation), (vec![], 0));
    }
}

/// A restore's rule: the first end is the last stable offset, the last one lies at or beyond the uncommitted end.
pub fn the_end_is_the_stable_offset_then_the_real_one(world: &World) {
    let tp = world.partition("t");
    let mut producer = world.producer("id");
    append(world.appender().as_mut(), &tp, "before");
    producer.begin().unwrap();
    send(producer.as_mut(), &tp, "open");
    world.wait_for_end(&tp, 2);
    let end = world.end(&tp);
    let mut tail = world.tail(Isolation::Committed);
    tail.start(&tp, 0);
    let (seen, at) = tail.next_end(&tp);
    assert_eq!((places(&seen), at), (lines(&[(0, "before")]), 1));
    commit(producer.as_mut());
    assert_eq!(places(&tail.beyond(&tp, end)), lines(&[(1, "open")]));
}

/// The end lies behind a trailing marker, though no record is handed over for it: a restore up to it is through.
pub fn the_end_lies_beyond_trailing_markers(world: &World) {
    let tp = world.partition("t");
    let mut producer = world.producer("id");
    for (round, committed) in [true, false, false].into_iter().enumerate() {
        let end = 2 * round as i64 + 2;
        producer.begin().unwrap();
        send(producer.as_mut(), &tp, "one");
        world.wait_for_end(&tp, end - 1);
        if committed {
            commit(producer.as_mut())
        } else {
            abort(producer.as_mut())
        }
        world.wait_for_end(&tp, end);
        let (seen, at) = world.now(&tp, Isolation::Committed);
        assert_eq!((places(&seen), at), (lines(&[(0, "one")]), end));
    }
}

/// The reader stood at the end already: a marker alone moves it.
pub fn an_abort_moves_the_end_of_a_waiting_reader(world: &World) {
    let tp = world.partition("t");
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    send(producer.as_mut(), &tp, "never");
    world.wait_for_end(&tp, 1);
    let mut tail = world.tail(Isolation::Committed);
    tail.start(&tp, 0);
    assert_eq!(tail.next_end(&tp), (vec![], 0));
    abort(producer.as_mut());
    assert_eq!(tail.beyond(&tp, 2), vec![]);
}

pub fn an_end_is_told_once_until_something_comes(world: &World) {
    let tp = world.partition("t");
    let mut appender = world.appender();
    append(appender.as_mut(), &tp, "0");
    let mut tail = world.tail(Isolation::Committed);
    tail.start(&tp, 0);
    assert_eq!(tail.next_end(&tp).1, 1);
    for _ in 0..10 {
        assert_eq!(tail.poll(), (vec![], vec![]));
    }
    append(appender.as_mut(), &tp, "1");
    let (seen, end) = tail.next_end(&tp);
    assert_eq!((places(&seen), end), (lines(&[(1, "1")]), 2));
}

pub fn reading_starts_within_a_batch(world: &World) {
    let tp = filled(world);
    assert_eq!(read_from(world, &tp, 3), (["3", "4", "5", "6"].map(String::from).to_vec(), 8));
    assert_eq!(read_from(world, &tp, 6), (vec!["6".to_string()], 8));
}

pub fn reading_starts_at_a_marker(world: &World) {
    let tp = filled(world);
    append(world.appender().as_mut(), &tp, "8");
    assert_eq!(read_from(world, &tp, 7), (vec!["8".to_string()], 9));
}

pub fn reading_starts_at_the_end(world: &World) {
    let tp = filled(world);
    assert_eq!(read_from(world, &tp, 8), (vec![], 8));
}

/// Of an aborted transaction nothing is seen, also by who starts in the middle of it.
pub fn reading_starts_within_an_aborted_transaction(world: &World) {
    let tp = world.partition("t");
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    ["a", "b", "c"].iter().for_each(|value| send(producer.as_mut(), &tp, value));
    world.wait_for_end(&tp, 3);
    abort(producer.as_mut());
    world.wait_for_end(&tp, 4);
    append(world.appender().as_mut(), &tp, "d");
    for start in 0..=4 {
        assert_eq!(read_from(world, &tp, start), (vec!["d".to_string()], 5), "from {start}");
    }
}

pub fn reading_beyond_the_end_is_out_of_range(world: &World) {
    let tp = filled(world);
    let mut tail = world.tail(Isolation::Committed);
    tail.start(&tp, 9);
    assert_eq!(tail.first_event(), (vec![], Event::OutOfRange(tp.clone())));
}

/// Open transactions' offsets are in the log.
pub fn reading_may_start_beyond_the_stable_offset(world: &World) {
    let tp = world.partition("t");
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    ["a", "b", "c"].iter().for_each(|value| send(producer.as_mut(), &tp, value));
    world.wait_for_end(&tp, 3);
    let mut tail = world.tail(Isolation::Committed);
    tail.start(&tp, 2);
    // Neither an end nor out of range: such a reader hears nothing until the stable offset has come so far.
    for _ in 0..20 {
        assert_eq!(tail.poll(), (vec![], vec![]));
    }
    commit(producer.as_mut());
    assert_eq!(places(&tail.beyond(&tp, 3)), lines(&[(2, "c")]));
}

pub fn reading_stops(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let [a, b] = [0, 1].map(|p| TopicPartition::new(topic.as_str(), p));
    let (mut appender, mut tail) = (world.appender(), world.tail(Isolation::Committed));
    tail.start(&a, 0);
    assert_eq!(tail.next_end(&a), (vec![], 0));
    tail.start(&b, 0);
    assert_eq!(tail.next_end(&b), (vec![], 0));
    tail.stop(&a);
    append(appender.as_mut(), &a, "unheard");
    append(appender.as_mut(), &b, "heard");
    let (seen, end) = tail.next_end(&b);
    assert_eq!((values(&seen), end), (vec!["heard".to_string()], 1));
    for _ in 0..10 {
        assert_eq!(tail.poll(), (vec![], vec![]));
    }
    // Begun again it starts where it is told to.
    tail.start(&a, 0);
    assert_eq!(values(&tail.next_end(&a).0), ["unheard"]);
}

pub fn a_poll_hands_over_no_more_than_asked(world: &World) {
    let tp = filled(world);
    let mut reader = world.log().reader(0, Isolation::Committed).unwrap();
    reader.start(&tp, 0).unwrap();
    let mut offsets = Vec::new();
    wait_until(DEADLINE, "seven records", || {
        let before = offsets.len();
        reader.poll(2, WAIT, &mut |record| offsets.push(record.offset));
        assert!(offsets.len() - before <= 2);
        (offsets.len() == 7).then_some(())
    });
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5, 6]);
}

pub fn partitions_end_each_for_itself(world: &World) {
    let topic = world.topic("t", 3, &[]);
    let tps = [0, 1, 2].map(|p| TopicPartition::new(topic.as_str(), p));
    let (mut appender, mut tail) = (world.appender(), world.tail(Isolation::Committed));
    for (n, tp) in tps.iter().enumerate() {
        (0..n).for_each(|i| append(appender.as_mut(), tp, &i.to_string()));
        tail.start(tp, 0);
    }
    let (mut seen, mut ends) = (Vec::new(), Vec::new());
    wait_until(DEADLINE, "three ends", || {
        let (records, events) = tail.poll();
        seen.extend(records);
        ends.extend(events);
        (ends.len() == 3).then_some(())
    });
    for (n, tp) in tps.iter().enumerate() {
        assert!(ends.contains(&Event::End { tp: tp.clone(), offset: n as i64 }), "{ends:?}");
        let offsets: Vec<i64> = seen.iter().filter(|s| s.tp == *tp).map(|s| s.offset).collect();
        assert_eq!(offsets, (0..n as i64).collect::<Vec<_>>());
    }
}
