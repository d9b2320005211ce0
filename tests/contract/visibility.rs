//! Who sees what of transactions, and when.

use highwater::log::*;

use crate::world::*;

pub fn open_transaction_is_unseen(world: &World) {
    let tp = world.partition("t");
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    send(producer.as_mut(), &tp, "one");
    send(producer.as_mut(), &tp, "two");
    world.wait_for_end(&tp, 2);
    assert_eq!(world.now(&tp, Isolation::Committed), (vec![], 0));
    let (seen, end) = world.now(&tp, Isolation::Uncommitted);
    assert_eq!((places(&seen), end), (lines(&[(0, "one"), (1, "two")]), 2));
    commit(producer.as_mut());
    assert_eq!(world.committed(&tp), seen);
}

pub fn aborted_records_are_never_seen(world: &World) {
    let tp = world.partition("t");
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    send(producer.as_mut(), &tp, "one");
    send(producer.as_mut(), &tp, "two");
    world.wait_for_end(&tp, 2);
    abort(producer.as_mut());
    world.wait_for_end(&tp, 3);
    assert_eq!(world.committed(&tp), vec![]);
    // Only records that are compacted away are gone for read_uncommitted: an abort hides, it does not delete.
    let (seen, end) = world.now(&tp, Isolation::Uncommitted);
    assert_eq!((places(&seen), end), (lines(&[(0, "one"), (1, "two")]), 3));
}

pub fn a_transaction_is_atomic_over_partitions_and_topics(world: &World) {
    let (a, b) = (world.topic("a", 2, &[]), world.topic("b", 1, &[]));
    let places = [(&a, 0), (&a, 1), (&b, 0)].map(|(topic, p)| TopicPartition::new(topic.as_str(), p));
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    places.iter().for_each(|tp| send(producer.as_mut(), tp, &tp.to_string()));
    for tp in &places {
        world.wait_for_end(tp, 1);
        assert_eq!(world.now(tp, Isolation::Committed), (vec![], 0));
    }
    commit(producer.as_mut());
    for tp in &places {
        assert_eq!(values(&world.committed(tp)), [tp.to_string()]);
    }
}

/// And so is an abort.
pub fn an_abort_is_atomic_over_partitions(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let both = [0, 1].map(|p| TopicPartition::new(topic.as_str(), p));
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    both.iter().for_each(|tp| send(producer.as_mut(), tp, "never"));
    both.iter().for_each(|tp| world.wait_for_end(tp, 1));
    abort(producer.as_mut());
    for tp in &both {
        world.wait_for_end(tp, 2);
        assert_eq!(world.now(tp, Isolation::Committed), (vec![], 2));
    }
}

pub fn appended_records_wait_behind_an_open_transaction(world: &World) {
    let tp = world.partition("t");
    let (mut producer, mut appender) = (world.producer("id"), world.appender());
    append(appender.as_mut(), &tp, "before");
    producer.begin().unwrap();
    send(producer.as_mut(), &tp, "open");
    world.wait_for_end(&tp, 2);
    append(appender.as_mut(), &tp, "behind");
    let (seen, end) = world.now(&tp, Isolation::Committed);
    assert_eq!((places(&seen), end), (lines(&[(0, "before")]), 1));
    assert_eq!(values(&world.now(&tp, Isolation::Uncommitted).0), ["before", "open", "behind"]);
    abort(producer.as_mut());
    assert_eq!(places(&world.committed(&tp)), lines(&[(0, "before"), (2, "behind")]));
}

pub fn the_stable_offset_goes_on_to_the_next_open_transaction(world: &World) {
    let tp = world.partition("t");
    let (mut first, mut second) = (world.producer("first"), world.producer("second"));
    first.begin().unwrap();
    second.begin().unwrap();
    for (at, (producer, value)) in [(&mut first, "a"), (&mut second, "b")].into_iter().enumerate() {
        send(producer.as_mut(), &tp, value);
        world.wait_for_end(&tp, at as i64 + 1);
    }
    send(first.as_mut(), &tp, "c");
    world.wait_for_end(&tp, 3);
    commit(first.as_mut());
    world.wait_for_end(&tp, 4);
    let (seen, end) = world.now(&tp, Isolation::Committed);
    assert_eq!((places(&seen), end), (lines(&[(0, "a")]), 1), "c is committed, and behind b");
    commit(second.as_mut());
    assert_eq!(places(&world.committed(&tp)), lines(&[(0, "a"), (1, "b"), (2, "c")]));
}

pub fn interleaved_transactions_end_each_for_itself(world: &World) {
    let tp = world.partition("t");
    let mut producers = [world.producer("first"), world.producer("second")];
    producers.iter_mut().for_each(|producer| producer.begin().unwrap());
    for (at, value) in ["a", "b", "c", "d"].into_iter().enumerate() {
        send(producers[at % 2].as_mut(), &tp, value);
        world.wait_for_end(&tp, at as i64 + 1);
    }
    abort(producers[0].as_mut());
    commit(producers[1].as_mut());
    assert_eq!(places(&world.committed(&tp)), lines(&[(1, "b"), (3, "d")]));
}

/// An abort is over with its marker: what the same producer commits later is not hidden by it.
pub fn aborted_and_committed_ones_of_a_producer_alternate(world: &World) {
    let tp = world.partition("t");
    let mut producer = world.producer("id");
    for (round, value) in ["a", "b", "c", "d"].into_iter().enumerate() {
        producer.begin().unwrap();
        send(producer.as_mut(), &tp, value);
        world.wait_for_end(&tp, 2 * round as i64 + 1);
        if round % 2 == 0 {
            abort(producer.as_mut())
        } else {
            commit(producer.as_mut())
        }
        world.wait_for_end(&tp, 2 * round as i64 + 2);
    }
    assert_eq!(places(&world.committed(&tp)), lines(&[(2, "b"), (6, "d")]));
}

pub fn a_marker_takes_one_offset_in_each_touched_partition(world: &World) {
    let topic = world.topic("t", 3, &[]);
    let tps = [0, 1, 2].map(|p| TopicPartition::new(topic.as_str(), p));
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    ["a", "b", "c"].iter().for_each(|value| send(producer.as_mut(), &tps[0], value));
    send(producer.as_mut(), &tps[1], "d");
    commit(producer.as_mut());
    for (tp, end) in tps.iter().zip([4, 2, 0]) {
        world.wait_for_end(tp, end);
    }
    let mut appender = world.appender();
    for (tp, at) in tps.iter().zip([4, 2, 0]) {
        append(appender.as_mut(), tp, "next");
        assert_eq!(places(&world.committed(tp)).pop(), Some((at, "next".to_string())));
    }
}

pub fn an_abort_marker_takes_an_offset_too(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let [touched, other] = [0, 1].map(|p| TopicPartition::new(topic.as_str(), p));
    let (mut producer, mut appender) = (world.producer("id"), world.appender());
    producer.begin().unwrap();
    send(producer.as_mut(), &touched, "a");
    world.wait_for_end(&touched, 1);
    abort(producer.as_mut());
    world.wait_for_end(&touched, 2);
    for (tp, at) in [(touched, 2), (other, 0)] {
        append(appender.as_mut(), &tp, "next");
        assert_eq!(places(&world.committed(&tp)), lines(&[(at, "next")]));
    }
}

pub fn an_empty_transaction_writes_nothing(world: &World) {
    let tp = world.partition("t");
    let (mut producer, mut appender) = (world.producer("id"), world.appender());
    producer.begin().unwrap();
    assert_eq!(producer.commit(WAIT), Ok(Ended::Done));
    producer.begin().unwrap();
    assert_eq!(producer.abort(WAIT), Ok(Ended::Done));
    append(appender.as_mut(), &tp, "first");
    assert_eq!(places(&world.committed(&tp)), lines(&[(0, "first")]));
}

/// Aborted at once, records may have been written or not; the marker is there only for those that were.
pub fn what_is_aborted_at_once_holds_nobody_up(world: &World) {
    let tp = world.partition("t");
    let (mut producer, mut appender) = (world.producer("id"), world.appender());
    for round in 0..5 {
        producer.begin().unwrap();
        send(producer.as_mut(), &tp, "never");
        abort(producer.as_mut());
        append(appender.as_mut(), &tp, &round.to_string());
    }
    assert_eq!(values(&world.committed(&tp)), ["0", "1", "2", "3", "4"]);
}

/// The first end that a restore meets, with the transaction long committed, is not the last one.
pub fn a_marker_may_come_late(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let [early, late] = [0, 1].map(|p| TopicPartition::new(topic.as_str(), p));
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    [&early, &late].into_iter().for_each(|tp| send(producer.as_mut(), tp, "value"));
    world.hold_markers(&late);
    commit(producer.as_mut());
    let end = world.end(&late);
    let mut tail = world.tail(Isolation::Committed);
    tail.start(&late, 0);
    assert_eq!(values(&world.committed(&early)), ["value"]);
    let (mut seen, mut at) = tail.next_end(&late);
    if at < end {
        assert_eq!((seen.len(), at), (0, 0));
        world.release_held();
        while at < end {
            let (more, next) = tail.next_end(&late);
            seen.extend(more);
            at = next;
        }
    }
    assert_eq!(values(&seen), ["value"]);
    world.release_held();
    // The next transaction of the same producer waits for what is left of the last one.
    producer.begin().unwrap();
    send(producer.as_mut(), &late, "next");
    commit(producer.as_mut());
    assert_eq!(places(&world.committed(&late)), lines(&[(0, "value"), (2, "next")]));
}
