//! Compaction: of every key the last value stays, where it was.

use highwater::log::*;

use crate::world::*;

fn put(appender: &mut dyn Appender, tp: &TopicPartition, key: &str, value: Option<&str>) {
    let out = Outgoing { value: value.map(str::as_bytes), ..record(tp, key, "") };
    assert_eq!(appender.send(&out), Ok(Sent::Queued));
    appender.flush(WAIT).unwrap();
}

pub fn the_last_value_of_every_key_survives(world: &World) {
    let tp = world.compacted("t", &[]);
    let mut appender = world.appender();
    for (at, key) in ["a", "b", "a", "c", "b", "a"].into_iter().enumerate() {
        put(appender.as_mut(), &tp, key, Some(&format!("{key}{at}")));
    }
    let expected = lines(&[(3, "c3"), (4, "b4"), (5, "a5")]);
    world.compact(&tp, "old values to go", || places(&world.committed(&tp)) == expected);
    assert_eq!(world.bounds(&tp).start, 0, "compaction moves no bounds");
    // Once more changes nothing.
    world.compact(&tp, "a second pass", || true);
    assert_eq!(places(&world.committed(&tp)), expected);
}

pub fn what_survives_is_as_it_was(world: &World) {
    let tp = world.compacted("t", &[]);
    let mut appender = world.appender();
    let headers: [(&str, Option<&[u8]>); 2] = [("name", Some(b"value")), ("null", None)];
    let out = Outgoing { headers: &headers, timestamp: Some(1_700_000_000_000), ..record(&tp, "a", "value") };
    put(appender.as_mut(), &tp, "b", Some("old"));
    assert_eq!(appender.send(&out), Ok(Sent::Queued));
    put(appender.as_mut(), &tp, "b", Some("new"));
    let before = world.committed(&tp);
    world.compact(&tp, "the old value to go", || world.committed(&tp).len() == 2);
    assert_eq!(world.committed(&tp), before[1..]);
}

/// They go in two passes: one finds that nothing is left for them to delete, one that they are old enough.
pub fn tombstones_go_after_their_retention(world: &World) {
    let tp = world.compacted("t", &[("delete.retention.ms", "0")]);
    let mut appender = world.appender();
    put(appender.as_mut(), &tp, "a", Some("a0"));
    put(appender.as_mut(), &tp, "b", Some("b1"));
    put(appender.as_mut(), &tp, "a", None);
    world.compact(&tp, "the tombstone to go", || places(&world.committed(&tp)) == lines(&[(1, "b1")]));
}

/// Who reads on from before it must still learn of the delete.
pub fn tombstones_stay_for_their_retention(world: &World) {
    let tp = world.compacted("t", &[("delete.retention.ms", "3600000")]);
    let mut appender = world.appender();
    put(appender.as_mut(), &tp, "a", Some("a0"));
    put(appender.as_mut(), &tp, "a", None);
    put(appender.as_mut(), &tp, "b", Some("b2"));
    put(appender.as_mut(), &tp, "b", Some("b3"));
    let expected = lines(&[(1, "-"), (3, "b3")]);
    world.compact(&tp, "the deleted value to go", || places(&world.committed(&tp)) == expected);
    world.compact(&tp, "a second pass", || true);
    assert_eq!(places(&world.committed(&tp)), expected);
}

/// A key that comes back after its tombstone.
pub fn a_value_after_a_tombstone_survives(world: &World) {
    let tp = world.compacted("t", &[("delete.retention.ms", "0")]);
    let mut appender = world.appender();
    for value in [Some("a0"), None, Some("a2")] {
        put(appender.as_mut(), &tp, "a", value);
    }
    world.compact(&tp, "the older ones to go", || places(&world.committed(&tp)) == lines(&[(2, "a2")]));
}

/// Nothing at or behind the last stable offset is looked at.
pub fn open_transactions_are_not_compacted(world: &World) {
    let tp = world.compacted("t", &[]);
    let (mut appender, mut producer) = (world.appender(), world.producer("id"));
    for (key, value) in [("a", "a0"), ("b", "b1"), ("b", "b2")] {
        put(appender.as_mut(), &tp, key, Some(value));
    }
    producer.begin().unwrap();
    assert_eq!(producer.send(&record(&tp, "a", "a3")), Ok(Sent::Queued));
    world.wait_for_end(&tp, 4);
    put(appender.as_mut(), &tp, "a", Some("a4"));
    put(appender.as_mut(), &tp, "b", Some("b5"));
    let visible = || world.now(&tp, Isolation::Committed);
    world.compact(&tp, "b1 to go", || places(&visible().0) == lines(&[(0, "a0"), (2, "b2")]));
    assert_eq!(visible().1, 3);
    commit(producer.as_mut());
    let expected = lines(&[(4, "a4"), (5, "b5")]);
    world.compact(&tp, "the rest", || places(&world.committed(&tp)) == expected);
}

/// What was aborted replaces nothing, and goes.
pub fn aborted_records_replace_nothing(world: &World) {
    let tp = world.compacted("t", &[]);
    let (mut appender, mut producer) = (world.appender(), world.producer("id"));
    put(appender.as_mut(), &tp, "a", Some("a0"));
    producer.begin().unwrap();
    assert_eq!(producer.send(&record(&tp, "a", "never")), Ok(Sent::Queued));
    world.wait_for_end(&tp, 2);
    abort(producer.as_mut());
    world.wait_for_end(&tp, 3);
    let raw = || values(&world.now(&tp, Isolation::Uncommitted).0);
    assert_eq!(raw(), ["a0", "never"]);
    world.compact(&tp, "what was aborted to go", || !raw().contains(&"never".to_string()));
    assert_eq!(places(&world.committed(&tp)), lines(&[(0, "a0")]));
}

pub fn committed_transactions_are_compacted(world: &World) {
    let tp = world.compacted("t", &[]);
    let mut producer = world.producer("id");
    for round in 0..3 {
        producer.begin().unwrap();
        for key in ["a", "b"] {
            assert_eq!(producer.send(&record(&tp, key, &format!("{key}{round}"))), Ok(Sent::Queued));
        }
        commit(producer.as_mut());
    }
    world.wait_for_end(&tp, 9);
    let expected = lines(&[(6, "a2"), (7, "b2")]);
    world.compact(&tp, "old values to go", || places(&world.committed(&tp)) == expected);
    // The producer goes on where it was.
    producer.begin().unwrap();
    assert_eq!(producer.send(&record(&tp, "a", "a3")), Ok(Sent::Queued));
    commit(producer.as_mut());
    assert_eq!(values(&world.committed(&tp)), ["a2", "b2", "a3"]);
    world.compact(&tp, "a2 to go", || values(&world.committed(&tp)) == ["b2", "a3"]);
}

pub fn reading_starts_at_what_was_compacted_away(world: &World) {
    let tp = world.compacted("t", &[]);
    let mut appender = world.appender();
    for (at, key) in ["a", "b", "a", "a", "c", "a"].into_iter().enumerate() {
        put(appender.as_mut(), &tp, key, Some(&at.to_string()));
    }
    let expected = lines(&[(1, "1"), (4, "4"), (5, "5")]);
    world.compact(&tp, "old values to go", || places(&world.committed(&tp)) == expected);
    let end = world.end(&tp);
    for start in 0..6 {
        let mut tail = world.tail(Isolation::Committed);
        tail.start(&tp, start);
        let (seen, at) = tail.next_end(&tp);
        let from = expected.iter().filter(|(offset, _)| *offset >= start).cloned();
        let found = places(&seen).into_iter().filter(|(offset, _)| *offset < 6);
        assert!(found.eq(from) && at == end, "from {start}: {seen:?}, {at} of {end}");
    }
}

/// Ends and acknowledged offsets, checkpoints then, mean what they meant.
pub fn compaction_leaves_the_end_alone(world: &World) {
    let tp = world.compacted("t", &[("delete.retention.ms", "0")]);
    let mut appender = world.appender();
    put(appender.as_mut(), &tp, "a", Some("a0"));
    put(appender.as_mut(), &tp, "a", None);
    world.compact(&tp, "all to go", || world.committed(&tp).is_empty());
    let Bounds { start, end } = world.bounds(&tp);
    assert!(start == 0 && end > 2, "{start} {end}");
    put(appender.as_mut(), &tp, "a", Some("new"));
    assert_eq!(places(&world.committed(&tp)), lines(&[(end, "new")]));
}
