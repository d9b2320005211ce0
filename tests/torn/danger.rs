//! What there is to fear: within one epoch Kafka cannot tell a late request from the one that it waits for.

use highwater::log::Ended;

use crate::end::{self, ACCEPTED, verdict};
use crate::support::proxy::api;
use crate::world::{WAIT, World, on_each_version, producer, send, send_offset};

/// A producer that begins again although a request of its last transaction is still to come: half of the next one is
/// committed, or is lost while its other half stays. So the tests beside this one would see it.
///
/// The client speaks EndTxn 1, whatever the cluster's transaction.version: its epoch stays.
fn half_of_a_transaction(world: &World, commit: bool) -> (Vec<String>, i64) {
    let name = world.name(if commit { "danger-commit" } else { "danger-abort" });
    world.broker.create_topic(&name, 1, &[]);
    world.proxy.record(api::END_TXN);
    let log = world.log(&[]);
    let mut one = producer(&log, &name);
    one.begin().expect("begin");
    send(one.as_mut(), &name, "first");
    send_offset(one.as_mut(), &name, &name, 1);
    let ended = if commit { one.commit(WAIT) } else { one.abort(WAIT) };
    assert_eq!(ended.expect("an end"), Ended::Done);

    one.begin().expect("begin");
    let end = world.broker.end_offsets(&name)[&0];
    send(one.as_mut(), &name, "second, first half");
    world.wait_for_end_offset(&name, end + 1);
    let (late, exchange) = world.ends(&name).pop().expect("the end of the first transaction");
    assert_eq!(late.commit, commit);
    assert_eq!(exchange.request.version, 1, "the client has learned a newer EndTxn: then epochs rise by themselves");
    let answer = world.proxy.deliver(&exchange.request).expect("an answer");
    assert_eq!(verdict(&answer), ACCEPTED, "version {}", world.version);

    send_offset(one.as_mut(), &name, &name, 2);
    let ended = one.commit(WAIT);
    eprintln!("transaction.version {}, late end (commit: {commit}): then {ended:?}", world.version);
    drop(one);
    // Whatever it left open ends with the next of its id.
    drop(producer(&log, &name));
    let epochs = world.ends(&name).into_iter().map(|(end, _)| (end.producer, end.epoch)).collect::<Vec<_>>();
    assert!(epochs.windows(2).all(|pair| pair[0] == pair[1]), "one epoch: {epochs:?}");
    let offset = world.broker.committed(&name, &name).get(&0).copied().unwrap_or(-1);
    (world.committed(&name), offset)
}

#[test]
fn a_late_commit_within_one_epoch_commits_half_of_a_later_transaction() {
    on_each_version(|world| {
        let name = world.name("danger-half");
        world.broker.create_topic(&name, 1, &[]);
        world.proxy.record(api::END_TXN);
        let log = world.log(&[]);
        let mut one = producer(&log, &name);
        one.begin().expect("begin");
        send(one.as_mut(), &name, "first");
        send_offset(one.as_mut(), &name, &name, 1);
        assert_eq!(one.commit(WAIT).expect("a commit"), Ended::Done);
        one.begin().expect("begin");
        let end = world.broker.end_offsets(&name)[&0];
        send(one.as_mut(), &name, "second, first half");
        world.wait_for_end_offset(&name, end + 1);
        let (_, exchange) = world.ends(&name).pop().expect("the end of the first transaction");
        assert_eq!(verdict(&world.proxy.deliver(&exchange.request).expect("an answer")), ACCEPTED);
        // A process that dies here has sent a row and not committed its offset: it is sent again.
        drop(one);
        drop(producer(&log, &name));
        assert_eq!(world.committed(&name), ["first", "second, first half"], "version {}", world.version);
        assert_eq!(world.broker.committed(&name, &name)[&0], 1);
    });
}

#[test]
fn a_late_abort_within_one_epoch_loses_half_of_a_later_transaction() {
    on_each_version(|world| {
        let (values, offset) = half_of_a_transaction(world, false);
        assert!(!values.contains(&"second, first half".to_owned()), "{values:?}");
        eprintln!("transaction.version {}: {values:?}, offset {offset}", world.version);
        assert_eq!(offset, 2, "the offset behind the row that is lost");
    });
}

#[test]
fn the_late_end_is_told_by_its_epoch_alone() {
    on_each_version(|world| {
        let (values, offset) = half_of_a_transaction(world, true);
        eprintln!("transaction.version {}: {values:?}, offset {offset}", world.version);
        let _ = end::is_fenced(0);
    });
}
