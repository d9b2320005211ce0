//! Partitions and offsets that are added to a transaction once more, after its commit: they open a transaction that nobody
//! has begun. Nothing lies in it, so it holds no reader up; the next transaction of the producer takes it over. Where none
//! comes within the transaction's timeout, the coordinator ends it, and takes the producer for a dead one.

use std::time::Duration;

use highwater::log::{Ended, LogError, Producer};

use crate::end::{ACCEPTED, of_id};
use crate::support::proxy::api;
use crate::support::{DEADLINE, wait_until};
use crate::world::{WAIT, World, end, on_each_version, producer, record, send, send_offset};

/// Of what a broker asks to be asked again: it loads, it is no coordinator, the transaction before is not over.
const LATER: [i16; 4] = [14, 15, 16, 51];

/// The last error code of an answer to AddPartitionsToTxn or AddOffsetsToTxn, before they got tags.
fn verdict(answer: &[u8]) -> i16 {
    i16::from_be_bytes(answer[answer.len() - 2..].try_into().expect("two bytes"))
}

const BOTH: [i16; 2] = [api::ADD_PARTITIONS_TO_TXN, api::ADD_OFFSETS_TO_TXN];

/// A producer that has committed a transaction, of which these requests have come once more since.
fn opened(world: &World, name: &str, keys: &[i16], transaction_timeout: Duration) -> Box<dyn Producer> {
    world.broker.create_topic(name, 1, &[]);
    keys.iter().for_each(|key| world.proxy.record(*key));
    let mut one = producer(&world.log_of(transaction_timeout, &[]), name);
    one.begin().expect("begin");
    send(one.as_mut(), name, "first");
    send_offset(one.as_mut(), name, name, 1);
    end(one.as_mut(), true);
    for &key in keys {
        let sent = world.proxy.exchanges(key).into_iter().find(|exchange| of_id(name)(&exchange.request));
        let request = sent.expect("a request").request;
        assert!(request.version < 3, "version {} of {key}", request.version);
        // A commit is answered before its markers are written; until then nothing is added. Nor while the broker, on a busy
        // machine, is no coordinator for a moment.
        let verdict = wait_until(DEADLINE, "the end of the commit", || {
            let verdict = verdict(&world.proxy.deliver(&request).expect("an answer"));
            (!LATER.contains(&verdict)).then_some(verdict)
        });
        // Within one epoch the broker cannot tell it from the first request of the next transaction.
        assert_eq!(verdict, ACCEPTED, "transaction.version {}, request {key}", world.version);
    }
    one
}

fn the_next_transaction_is_whole(world: &World, name: &str, commit: bool) {
    let name = world.name(name);
    let mut one = opened(world, &name, &BOTH, Duration::from_secs(60));
    // Nobody waits: neither for rows, nor for offsets that an open transaction might change.
    assert_eq!(world.stable(&name), world.broker.end_offsets(&name)[&0]);
    assert_eq!(world.broker.committed(&name, &name)[&0], 1);
    one.begin().expect("begin");
    send(one.as_mut(), &name, "second");
    let second = world.wait_for(&name, "second");
    assert_eq!(world.stable(&name), second, "a transaction is open");
    send_offset(one.as_mut(), &name, &name, 2);
    end(one.as_mut(), commit);
    let (rows, offset) = if commit { (&["first", "second"][..], 2) } else { (&["first"][..], 1) };
    assert_eq!(world.committed(&name), rows, "transaction.version {}", world.version);
    assert_eq!(world.broker.committed(&name, &name)[&0], offset, "transaction.version {}", world.version);
}

#[test]
fn what_is_added_after_a_commit_belongs_to_the_next_transaction_which_commits_whole() {
    on_each_version(|world| the_next_transaction_is_whole(world, "phantom-commit", true));
}

#[test]
fn what_is_added_after_a_commit_belongs_to_the_next_transaction_which_aborts_whole() {
    on_each_version(|world| the_next_transaction_is_whole(world, "phantom-abort", false));
}

/// The price: an instance without work stops, as if somebody had taken its id. Whoever starts it again loses nothing.
#[test]
fn what_is_added_after_a_commit_and_times_out_stops_the_producer_and_loses_nothing() {
    on_each_version(|world| {
        let name = world.name("phantom-idle");
        let mut one = opened(world, &name, &BOTH[..1], Duration::from_secs(8));
        let written = world.broker.end_offsets(&name)[&0];
        // The markers of an abort that nobody asked for.
        wait_until(DEADLINE, "the end of what nobody began", || {
            (world.broker.end_offsets(&name)[&0] > written).then_some(())
        });
        let stopped = wait_until(DEADLINE, "an end of the next transaction", || {
            // It learns of it at one of its requests.
            let sent = one.begin().and_then(|()| one.send(&record(&name, 0, "second")));
            match sent.and_then(|_| one.commit(WAIT)) {
                Ok(Ended::Pending) | Err(LogError::Retry(_)) => None,
                ended => Some(ended),
            }
        });
        let said = matches!(&stopped, Err(LogError::Stop(text)) if text.contains("another process"));
        assert!(said, "transaction.version {}: {stopped:?}", world.version);
        drop(one);
        let mut two = producer(&world.log(&[]), &name);
        two.begin().expect("begin");
        send(two.as_mut(), &name, "second");
        send_offset(two.as_mut(), &name, &name, 2);
        end(two.as_mut(), true);
        assert_eq!(world.committed(&name), ["first", "second"]);
        assert_eq!(world.broker.committed(&name, &name)[&0], 2);
    });
}
