//! What there is to fear: within one epoch Kafka cannot tell a late request from the one that it waits for. So the tests
//! beside this one can see what they look for.

use highwater::log::Producer;

use crate::end::{ACCEPTED, of_id, verdict};
use crate::support::proxy::api;
use crate::world::{World, end, on_each_version, producer, send, send_offset};

/// A producer that begins again although a request to end its last transaction is still to come, which then comes.
///
/// The client speaks EndTxn 1, whatever the cluster's transaction.version: its epoch stays from commit to commit.
fn within_a_later_transaction(world: &World, name: &str, commit: bool) -> Box<dyn Producer> {
    world.broker.create_topic(name, 1, &[]);
    world.proxy.record(api::END_TXN);
    let mut one = producer(&world.log(&[]), name);
    one.begin().expect("begin");
    send(one.as_mut(), name, "first");
    send_offset(one.as_mut(), name, name, 1);
    end(one.as_mut(), commit);
    one.begin().expect("begin");
    send(one.as_mut(), name, "second");
    let second = world.wait_for(name, "second");
    assert_eq!(world.stable(name), second, "a transaction is open");
    let (late, exchange) = world.ends(name).pop().expect("the end of the first transaction");
    assert_eq!(late.commit, commit);
    assert_eq!(exchange.request.version, 1, "the client has learned a newer EndTxn: then epochs rise by themselves");
    let answer = world.proxy.deliver(&exchange.request).expect("an answer");
    assert_eq!(verdict(&answer), ACCEPTED, "transaction.version {}", world.version);
    one
}

#[test]
fn a_late_commit_within_one_epoch_commits_half_of_a_later_transaction() {
    on_each_version(|world| {
        let name = world.name("danger-commit");
        // A process that dies here has sent a row and not committed its offset: the row would be sent again.
        drop(within_a_later_transaction(world, &name, true));
        drop(producer(&world.log(&[]), &name));
        assert_eq!(world.committed(&name), ["first", "second"], "transaction.version {}", world.version);
        assert_eq!(world.broker.committed(&name, &name)[&0], 1);
    });
}

#[test]
fn a_late_abort_within_one_epoch_loses_half_of_a_later_transaction() {
    on_each_version(|world| {
        let name = world.name("danger-abort");
        let mut one = within_a_later_transaction(world, &name, false);
        // The rest of the transaction is another one, and nobody notices: a row is lost, its offset committed.
        send_offset(one.as_mut(), &name, &name, 2);
        end(one.as_mut(), true);
        assert_eq!(world.committed(&name), [""; 0], "transaction.version {}", world.version);
        assert_eq!(world.broker.committed(&name, &name)[&0], 2);
        let epochs: Vec<_> = world.ends(&name).into_iter().map(|(end, _)| (end.producer, end.epoch)).collect();
        assert!(epochs.windows(2).all(|pair| pair[0] == pair[1]), "one epoch: {epochs:?}");
    });
}

/// Offsets that come late go back: what lies behind them would be processed again after a restart.
#[test]
fn a_late_commit_of_offsets_within_one_epoch_turns_a_later_one_back() {
    on_each_version(|world| {
        let name = world.name("danger-offsets");
        world.broker.create_topic(&name, 1, &[]);
        world.proxy.record(api::TXN_OFFSET_COMMIT);
        let mut one = producer(&world.log(&[]), &name);
        for offset in [1, 2] {
            one.begin().expect("begin");
            send(one.as_mut(), &name, &offset.to_string());
            send_offset(one.as_mut(), &name, &name, offset);
            if offset == 2 {
                let first =
                    world.proxy.exchanges(api::TXN_OFFSET_COMMIT).into_iter().find(|e| of_id(&name)(&e.request));
                world.proxy.deliver(&first.expect("the first").request).expect("an answer");
            }
            end(one.as_mut(), true);
        }
        assert_eq!(world.committed(&name), ["1", "2"]);
        assert_eq!(world.broker.committed(&name, &name)[&0], 1, "transaction.version {}", world.version);
    });
}
