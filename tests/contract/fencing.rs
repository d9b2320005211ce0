//! Two producers of one transactional id: the later one has it.

use highwater::log::*;

use crate::world::*;

pub fn init_ends_what_an_earlier_producer_left_open(world: &World) {
    let tp = world.partition("t");
    let mut first = world.producer("id");
    first.begin().unwrap();
    send(first.as_mut(), &tp, "never");
    world.wait_for_end(&tp, 1);
    append(world.appender().as_mut(), &tp, "behind");
    let mut second = world.producer("id");
    world.wait_for_end(&tp, 3);
    assert_eq!(places(&world.committed(&tp)), lines(&[(1, "behind")]));
    second.begin().unwrap();
    send(second.as_mut(), &tp, "second");
    commit(second.as_mut());
    assert_eq!(places(&world.committed(&tp)), lines(&[(1, "behind"), (3, "second")]));
}

/// Younger than its timeout, it was fenced by a stranger: no restart helps.
pub fn the_commit_of_a_fenced_producer_stops(world: &World) {
    let tp = world.partition("t");
    let mut first = world.producer("id");
    first.begin().unwrap();
    send(first.as_mut(), &tp, "never");
    world.wait_for_end(&tp, 1);
    let mut second = world.producer("id");
    demands(first.commit(WAIT), "stop");
    second.begin().unwrap();
    send(second.as_mut(), &tp, "second");
    commit(second.as_mut());
    assert_eq!(values(&world.committed(&tp)), ["second"]);
}

/// A zombie of an old epoch: what it still sends goes nowhere.
pub fn a_fenced_producer_writes_nothing_more(world: &World) {
    let tp = world.partition("t");
    let mut first = world.producer("id");
    first.begin().unwrap();
    send(first.as_mut(), &tp, "never");
    world.wait_for_end(&tp, 1);
    let mut second = world.producer("id");
    second.begin().unwrap();
    send(second.as_mut(), &tp, "second");
    world.wait_for_end(&tp, 3);
    send(first.as_mut(), &tp, "late");
    demands(first.commit(WAIT), "stop");
    // Now it knows.
    demands(first.send(&record(&tp, "key", "later still")), "stop");
    commit(second.as_mut());
    world.wait_for_end(&tp, 4);
    assert_eq!(places(&world.committed(&tp)), lines(&[(2, "second")]));
    assert_eq!(places(&world.now(&tp, Isolation::Uncommitted).0), lines(&[(0, "never"), (2, "second")]));
}

/// Fenced between two transactions, it learns of it with the next.
pub fn a_fenced_producer_cannot_begin_anew(world: &World) {
    let tp = world.partition("t");
    let mut first = world.producer("id");
    first.begin().unwrap();
    send(first.as_mut(), &tp, "first");
    commit(first.as_mut());
    let mut second = world.producer("id");
    first.begin().unwrap();
    send(first.as_mut(), &tp, "never");
    demands(first.commit(WAIT), "stop");
    demands(first.abort(WAIT), "restore");
    demands(first.begin(), "stop");
    second.begin().unwrap();
    send(second.as_mut(), &tp, "second");
    commit(second.as_mut());
    assert_eq!(values(&world.committed(&tp)), ["first", "second"]);
}

/// Nothing is asked for it: an empty transaction tells nobody anything about fencing.
pub fn the_empty_transaction_of_a_fenced_producer_passes(world: &World) {
    let mut first = world.producer("id");
    let _second = world.producer("id");
    first.begin().unwrap();
    assert_eq!(first.commit(WAIT), Ok(Ended::Done));
}

pub fn the_abort_of_a_fenced_producer_is_unknown(world: &World) {
    let tp = world.partition("t");
    let mut first = world.producer("id");
    first.begin().unwrap();
    send(first.as_mut(), &tp, "never");
    world.wait_for_end(&tp, 1);
    let _second = world.producer("id");
    demands(first.abort(WAIT), "restore");
}

pub fn a_third_producer_fences_the_second(world: &World) {
    let tp = world.partition("t");
    let mut first = world.producer("id");
    first.begin().unwrap();
    send(first.as_mut(), &tp, "first");
    commit(first.as_mut());
    let mut second = world.producer("id");
    second.begin().unwrap();
    send(second.as_mut(), &tp, "never");
    world.wait_for_end(&tp, 3);
    let mut third = world.producer("id");
    third.begin().unwrap();
    send(third.as_mut(), &tp, "third");
    demands(second.commit(WAIT), "stop");
    first.begin().unwrap();
    send(first.as_mut(), &tp, "never");
    demands(first.commit(WAIT), "stop");
    commit(third.as_mut());
    assert_eq!(values(&world.committed(&tp)), ["first", "third"]);
}

pub fn producers_of_other_ids_are_left_alone(world: &World) {
    let tp = world.partition("t");
    let mut first = world.producer("first");
    first.begin().unwrap();
    send(first.as_mut(), &tp, "one");
    world.wait_for_end(&tp, 1);
    let mut second = world.producer("second");
    second.begin().unwrap();
    send(second.as_mut(), &tp, "two");
    world.wait_for_end(&tp, 2);
    commit(first.as_mut());
    commit(second.as_mut());
    assert_eq!(values(&world.committed(&tp)), ["one", "two"]);
}

/// Dropped with a transaction open: nobody ends it but the next of its id, or the timeout.
pub fn a_dropped_producer_leaves_its_transaction_open(world: &World) {
    let tp = world.partition("t");
    let mut first = world.producer("id");
    first.begin().unwrap();
    send(first.as_mut(), &tp, "never");
    world.wait_for_end(&tp, 1);
    drop(first);
    append(world.appender().as_mut(), &tp, "behind");
    assert_eq!(world.now(&tp, Isolation::Committed), (vec![], 0));
    let _second = world.producer("id");
    assert_eq!(places(&world.committed(&tp)), lines(&[(1, "behind")]));
}
