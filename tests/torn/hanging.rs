//! Records that arrive after the coordinator has ended their transaction: refused, or a transaction would hang there for
//! ever, and whoever restores from the partition with it.

use std::time::Duration;

use highwater::log::Ended;

use crate::end::{is_fenced, of_id};
use crate::support::proxy::{Exchange, api};
use crate::support::{DEADLINE, wait_until};
use crate::world::{WAIT, World, end, on_each_version, producer, record, send, send_offset, send_to};

const TIMEOUT: Duration = Duration::from_secs(3);

/// The error code of an answer to Produce 9 to 12 with one partition, as librdkafka sends it here. Its lengths are short.
fn verdict(exchange: &Exchange) -> i16 {
    assert!((9..13).contains(&exchange.request.version), "version {}", exchange.request.version);
    let answer = exchange.answer.as_ref().expect("an answer");
    // correlation, tags, topics + 1, its name and how long it is + 1, partitions + 1, the partition's number
    let at = 4 + 1 + 1 + 1 + usize::from(answer[6] - 1) + 1 + 4;
    i16::from_be_bytes([answer[at], answer[at + 1]])
}

fn wait_until_decided(world: &World, topic: &str) {
    wait_until(DEADLINE, &format!("the end of what is open in {topic}"), || {
        (world.broker.stable_offsets(topic) == world.broker.end_offsets(topic)).then_some(())
    });
}

/// Where the records lie that come late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Where the transaction has written already: its marker lies there.
    Same,
    /// Where it was to write, and has not yet.
    Other,
}

/// The coordinator aborts a transaction whose last records are still on their way.
fn late_records_are_refused(world: &World, name: &str, place: Place) {
    let name = world.name(name);
    let (first, other) = (format!("{name}.first"), format!("{name}.other"));
    [&first, &other].iter().for_each(|topic| world.broker.create_topic(topic, 1, &[]));
    let late = if place == Place::Same { &first } else { &other };
    let mut one = producer(&world.log_of(TIMEOUT, &[]), &name);
    one.begin().expect("begin");
    send(one.as_mut(), &first, "written");
    world.wait_for(&first, "written");
    world.proxy.hold_where(api::PRODUCE, of_id(&name));
    send(one.as_mut(), late, "late");
    wait_until(DEADLINE, "a record on its way", || (!world.proxy.held(api::PRODUCE).is_empty()).then_some(()));
    wait_until_decided(world, &first);
    world.proxy.release(api::PRODUCE);
    let answered = wait_until(DEADLINE, "an answer", || {
        let answered = |e: &Exchange| e.answer.is_some() && of_id(&name)(&e.request);
        world.proxy.exchanges(api::PRODUCE).into_iter().find(answered)
    });
    let verdict = verdict(&answered);
    assert!(is_fenced(verdict), "transaction.version {}, {place:?}: {verdict}", world.version);
    // Fenced, or told first that a record of it was given up: committed it can not be.
    let ended = one.commit(WAIT);
    assert!(!matches!(ended, Ok(Ended::Done | Ended::DoneDoubtfully)), "{ended:?}");
    let mut two = producer(&world.log_of(TIMEOUT, &[]), &name);
    two.begin().expect("begin");
    send(two.as_mut(), &other, "anew");
    send_offset(two.as_mut(), &name, &first, 1);
    end(two.as_mut(), true);
    assert_eq!(world.committed(&other), ["anew"]);
    assert_eq!(world.committed(&first), [""; 0]);
}

#[test]
fn records_that_come_after_the_abort_of_their_transaction_are_refused() {
    on_each_version(|world| late_records_are_refused(world, "late-elsewhere", Place::Other));
}

#[test]
fn more_records_that_come_after_the_abort_of_their_transaction_are_refused() {
    on_each_version(|world| late_records_are_refused(world, "late-there", Place::Same));
}

const PARTITIONS: i32 = 8;

/// A broker that dies within a transaction and comes back while the client goes on sending records of it: with `held` they
/// come when the coordinator has aborted it, without they come while it does.
fn killed_within(world: &mut World, round: usize, held: bool) {
    let name = world.name(&format!("killed-{round}"));
    world.broker.create_topic(&name, PARTITIONS, &[]);
    let mut one = producer(&world.log_of(3 * TIMEOUT, &[]), &name);
    one.begin().expect("begin");
    for partition in 0..PARTITIONS / 2 {
        send_to(one.as_mut(), &name, partition, "written");
    }
    wait_until(DEADLINE, "records of an open transaction", || {
        let ends = world.broker.end_offsets(&name);
        (0..PARTITIONS / 2).all(|p| ends[&p] > 0).then_some(())
    });
    if held {
        world.proxy.hold_where(api::PRODUCE, of_id(&name));
    }
    world.broker.kill();
    world.broker.restart();
    let passed = world.proxy.passed(api::PRODUCE);
    wait_until(DEADLINE, "the abort", || {
        // Until the client is told that it may not.
        (0..PARTITIONS).for_each(|partition| drop(one.send(&record(&name, partition, "late"))));
        let (stable, ends) = (world.broker.stable_offsets(&name), world.broker.end_offsets(&name));
        (0..PARTITIONS / 2).all(|p| stable[&p] == ends[&p]).then_some(())
    });
    let late = world.proxy.held(api::PRODUCE).len() as u64 + world.proxy.passed(api::PRODUCE) - passed;
    world.proxy.release(api::PRODUCE);
    // Committed it can not be: whichever way the client hears of it.
    let ended = one.commit(WAIT);
    assert!(!matches!(ended, Ok(Ended::Done | Ended::DoneDoubtfully)), "{ended:?}");
    wait_until_decided(world, &name);
    eprintln!("transaction.version {}, held {held}: {late} late requests, then {ended:?}", world.version);
    drop(one);
    let mut two = producer(&world.log_of(3 * TIMEOUT, &[]), &name);
    two.begin().expect("begin");
    (0..PARTITIONS).for_each(|partition| send_to(two.as_mut(), &name, partition, "anew"));
    send_offset(two.as_mut(), &name, &name, 1);
    end(two.as_mut(), true);
    assert_eq!(world.committed(&name), vec!["anew"; PARTITIONS as usize]);
}

#[test]
fn a_broker_killed_within_a_transaction_leaves_none_hanging() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    std::thread::scope(|scope| {
        for version in [0, 2] {
            scope.spawn(move || {
                let mut world = World::start(version);
                for round in 0..rounds {
                    killed_within(&mut world, 2 * round, true);
                    killed_within(&mut world, 2 * round + 1, false);
                }
            });
        }
    });
}
