//! The life of a producer: what it acknowledges, what it refuses, what a timeout does to it.

use std::time::{Duration, Instant};

use highwater::log::*;

use crate::support::{DEADLINE, wait_until};
use crate::world::*;

/// The shortest that a client library takes.
const SHORT: Duration = Duration::from_secs(1);

/// The checkpoints of stores are made of it.
pub fn acknowledged_is_the_highest_offset_of_a_partition(world: &World) {
    let topic = world.topic("t", 2, &[]);
    let [a, b] = [0, 1].map(|p| TopicPartition::new(topic.as_str(), p));
    let mut producer = world.producer("id");
    assert_eq!((producer.acknowledged(&a), producer.acknowledged(&b)), (None, None));
    producer.begin().unwrap();
    ["0", "1", "2"].iter().for_each(|value| send(producer.as_mut(), &a, value));
    commit(producer.as_mut());
    assert_eq!((producer.acknowledged(&a), producer.acknowledged(&b)), (Some(2), None));
    producer.begin().unwrap();
    send(producer.as_mut(), &b, "0");
    commit(producer.as_mut());
    // Markers count in offsets, and are not acknowledged to anybody.
    assert_eq!((producer.acknowledged(&a), producer.acknowledged(&b)), (Some(2), Some(0)));
    producer.begin().unwrap();
    send(producer.as_mut(), &a, "4");
    commit(producer.as_mut());
    assert_eq!(producer.acknowledged(&a), Some(4));
    assert_eq!(world.producer("other").acknowledged(&a), None);
}

pub fn records_without_a_chosen_partition_are_not_tracked(world: &World) {
    let tp = world.partition("t");
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    let out = Outgoing { partition: None, ..record(&tp, "key", "value") };
    assert_eq!(producer.send(&out), Ok(Sent::Queued));
    commit(producer.as_mut());
    assert_eq!(producer.acknowledged(&tp), None);
    assert_eq!(values(&world.committed(&tp)), ["value"]);
}

pub fn a_producer_goes_on_after_an_abort(world: &World) {
    let tp = world.partition("t");
    let mut producer = world.producer("id");
    for round in 0..3 {
        producer.begin().unwrap();
        send(producer.as_mut(), &tp, "never");
        abort(producer.as_mut());
        producer.begin().unwrap();
        send(producer.as_mut(), &tp, &round.to_string());
        assert_eq!(producer.commit(WAIT), Ok(Ended::Done));
    }
    assert_eq!(values(&world.committed(&tp)), ["0", "1", "2"]);
}

/// Of many sent without a look back all are there, in the order of the calls.
pub fn a_commit_flushes_what_was_sent(world: &World) {
    let tp = world.partition("t");
    let mut producer = world.producer("id");
    producer.begin().unwrap();
    let expected: Vec<String> = (0..5000).map(|n| n.to_string()).collect();
    expected.iter().for_each(|value| send(producer.as_mut(), &tp, value));
    commit(producer.as_mut());
    assert_eq!(producer.acknowledged(&tp), Some(4999));
    assert_eq!(values(&world.committed(&tp)), expected);
}

pub fn calls_out_of_order_are_refused(world: &World) {
    let tp = world.partition("t");
    let mut raw = world.log().producer(&world.name("raw")).unwrap();
    demands(raw.begin(), "restore");
    let mut producer = world.producer("id");
    demands(producer.send(&record(&tp, "key", "early")), "rejoin");
    demands(producer.commit(WAIT), "restore");
    demands(producer.abort(WAIT), "restore");
    producer.begin().unwrap();
    demands(producer.begin(), "restore");
    // None of it has done harm.
    send(producer.as_mut(), &tp, "value");
    commit(producer.as_mut());
    demands(producer.commit(WAIT), "restore");
    assert_eq!(values(&world.committed(&tp)), ["value"]);
}

/// Its coordinator aborts it: what waited behind it comes into sight, and its producer can only be dropped.
pub fn a_transaction_that_outlives_its_timeout_is_aborted(world: &World) {
    let tp = world.partition("t");
    let log = world.client(&world.group(), SHORT);
    let mut late = producer(log.as_ref(), &world.name("id"));
    late.begin().unwrap();
    send(late.as_mut(), &tp, "never");
    world.wait_for_end(&tp, 1);
    append(world.appender().as_mut(), &tp, "behind");
    assert_eq!(world.now(&tp, Isolation::Committed), (vec![], 0));
    assert_eq!(places(&world.committed(&tp)), lines(&[(1, "behind")]));
    assert_eq!(world.end(&tp), 3, "the marker of the abort");
    demands(late.commit(WAIT), "restore");
    let mut next = producer(log.as_ref(), &world.name("id"));
    next.begin().unwrap();
    send(next.as_mut(), &tp, "next");
    commit(next.as_mut());
    assert_eq!(places(&world.committed(&tp)), lines(&[(1, "behind"), (3, "next")]));
}

/// Also records that were sent after it.
pub fn an_overdue_producer_writes_nothing_more(world: &World) {
    let tp = world.partition("t");
    let log = world.client(&world.group(), SHORT);
    let mut late = producer(log.as_ref(), &world.name("id"));
    late.begin().unwrap();
    send(late.as_mut(), &tp, "never");
    world.wait_for_end(&tp, 1);
    world.wait_for_end(&tp, 2);
    // Nobody has told the producer yet.
    send(late.as_mut(), &tp, "late");
    demands(late.commit(WAIT), "restore");
    demands(late.abort(WAIT), "restore");
    append(world.appender().as_mut(), &tp, "after");
    assert_eq!(places(&world.committed(&tp)), lines(&[(2, "after")]));
    assert_eq!(places(&world.now(&tp, Isolation::Uncommitted).0), lines(&[(0, "never"), (2, "after")]));
}

pub fn an_overdue_abort_is_unknown_too(world: &World) {
    let tp = world.partition("t");
    let log = world.client(&world.group(), SHORT);
    let mut late = producer(log.as_ref(), &world.name("id"));
    late.begin().unwrap();
    send(late.as_mut(), &tp, "never");
    world.wait_for_end(&tp, 1);
    world.wait_for_end(&tp, 2);
    demands(late.abort(WAIT), "restore");
}

/// The coordinator's clock starts with the first partition that it is told of.
pub fn a_transaction_without_records_has_no_timeout(world: &World) {
    let tp = world.partition("t");
    let log = world.client(&world.group(), SHORT);
    let mut slow = producer(log.as_ref(), &world.name("slow"));
    let mut other = producer(log.as_ref(), &world.name("other"));
    slow.begin().unwrap();
    // As long as another one takes to be timed out after it.
    other.begin().unwrap();
    send(other.as_mut(), &tp, "never");
    world.wait_for_end(&tp, 1);
    world.wait_for_end(&tp, 2);
    send(slow.as_mut(), &tp, "slow");
    commit(slow.as_mut());
    assert_eq!(values(&world.committed(&tp)), ["slow"]);
}

/// The timeout is one of transactions, not of producers.
pub fn each_transaction_has_its_timeout_for_itself(world: &World) {
    let tp = world.partition("t");
    let log = world.client(&world.group(), 2 * SHORT);
    let mut producer = producer(log.as_ref(), &world.name("id"));
    let begun = Instant::now();
    let mut rounds = 0;
    wait_until(DEADLINE, "twice the timeout", || {
        producer.begin().unwrap();
        send(producer.as_mut(), &tp, "value");
        std::thread::sleep(Duration::from_millis(200));
        commit(producer.as_mut());
        rounds += 1;
        (begun.elapsed() > 4 * SHORT).then_some(())
    });
    assert_eq!(world.committed(&tp).len(), rounds);
}
