//! The engine's producer against late requests: what it calls done is done, and what it does not vouch for is told.

use highwater::log::kafka::KafkaLog;
use highwater::log::{Ended, Producer};

use crate::end::{ends, is_fenced, of_id, verdict};
use crate::support::proxy::{api, first};
use crate::support::{DEADLINE, wait_until};
use crate::world::{World, end, on_each_version, producer, send, send_offset};

/// How a request gets late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Late {
    /// No answer until the client's timeout.
    TimedOut,
    /// Its connection is lost, and the client asks again on another.
    ConnectionLost,
    /// It came, its answer is lost with the connection, and a copy of it comes late.
    AnswerLost,
}

/// What the worker does with a producer whose transaction has ended.
fn next(log: &KafkaLog, id: &str, ended: Ended, spent: Box<dyn Producer>) -> Box<dyn Producer> {
    match ended {
        Ended::Done => spent,
        _ => {
            drop(spent);
            producer(log, id)
        }
    }
}

fn a_later_transaction_stays_whole(world: &World, name: &str, commit: bool, late: Late) {
    let name = world.name(name);
    world.broker.create_topic(&name, 1, &[]);
    let log = world.log(&[("socket.timeout.ms", "2000")]);
    let mut one = producer(&log, &name);
    world.proxy.record(api::END_TXN);
    if late == Late::AnswerLost {
        world.proxy.drop_answers_where(api::END_TXN, first(ends(&name, commit)));
    } else {
        world.proxy.hold_where(api::END_TXN, first(ends(&name, commit)));
    }
    one.begin().expect("begin");
    send(one.as_mut(), &name, "first");
    send_offset(one.as_mut(), &name, &name, 1);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            let sent = || world.ends(&name).pop().filter(|(_, e)| e.held || e.answer.is_some());
            wait_until(DEADLINE, "a request to end the transaction", sent);
            if late != Late::TimedOut {
                world.proxy.reset();
            }
        });
        end(one.as_mut(), commit)
    });
    let asked = world.ends(&name).len();
    assert!(asked > 1, "the client asked again");
    assert_eq!(ended, Ended::DoneDoubtfully, "version {}, {late:?}", world.version);

    let mut two = next(&log, &name, ended, one);
    two.begin().expect("begin");
    send(two.as_mut(), &name, "second");
    let second = world.wait_for(&name, "second");
    let (_, exchange) = world.ends(&name).swap_remove(0);
    let answer = if late == Late::AnswerLost {
        world.proxy.deliver(&exchange.request).expect("an answer")
    } else {
        assert!(exchange.held && exchange.abandoned, "{exchange:?}");
        world.proxy.release_one(api::END_TXN);
        wait_until(DEADLINE, "the answer to the late request", || world.ends(&name).swap_remove(0).1.answer)
    };
    assert!(is_fenced(verdict(&answer)), "version {}, {late:?}: verdict {}", world.version, verdict(&answer));
    assert_eq!(world.stable(&name), second, "the later transaction is open");
    // And each once more, in copies that a network would not make.
    for (_, exchange) in world.ends(&name) {
        let verdict = verdict(&world.proxy.deliver(&exchange.request).expect("an answer"));
        assert!(is_fenced(verdict), "version {}: {verdict}", world.version);
    }
    send(two.as_mut(), &name, "third");
    send_offset(two.as_mut(), &name, &name, 3);
    end(two.as_mut(), true);
    let mut expected = vec!["second", "third"];
    if commit {
        expected.insert(0, "first");
    }
    assert_eq!(world.committed(&name), expected);
    assert_eq!(world.broker.committed(&name, &name)[&0], 3);
}

#[test]
fn a_commit_that_timed_out_arrives_in_a_later_transaction_and_is_refused() {
    on_each_version(|world| a_later_transaction_stays_whole(world, "commit-timed-out", true, Late::TimedOut));
}

#[test]
fn a_commit_whose_connection_was_lost_arrives_in_a_later_transaction_and_is_refused() {
    on_each_version(|world| a_later_transaction_stays_whole(world, "commit-cut", true, Late::ConnectionLost));
}

#[test]
fn a_commit_whose_answer_was_lost_comes_twice_and_is_refused() {
    on_each_version(|world| a_later_transaction_stays_whole(world, "commit-unanswered", true, Late::AnswerLost));
}

#[test]
fn an_abort_that_timed_out_arrives_in_a_later_transaction_and_is_refused() {
    on_each_version(|world| a_later_transaction_stays_whole(world, "abort-timed-out", false, Late::TimedOut));
}

#[test]
fn an_abort_whose_connection_was_lost_arrives_in_a_later_transaction_and_is_refused() {
    on_each_version(|world| a_later_transaction_stays_whole(world, "abort-cut", false, Late::ConnectionLost));
}

#[test]
fn an_abort_whose_answer_was_lost_comes_twice_and_is_refused() {
    on_each_version(|world| a_later_transaction_stays_whole(world, "abort-unanswered", false, Late::AnswerLost));
}

/// Offsets that were sent twice may come once more.
#[test]
fn offsets_that_were_lost_on_their_way_arrive_in_a_later_transaction_and_are_refused() {
    on_each_version(|world| {
        let name = world.name("offsets-cut");
        world.broker.create_topic(&name, 1, &[]);
        let mut one = producer(&world.log(&[]), &name);
        world.proxy.hold_where(api::TXN_OFFSET_COMMIT, first(of_id(&name)));
        let held = || world.proxy.held(api::TXN_OFFSET_COMMIT);
        one.begin().expect("begin");
        send(one.as_mut(), &name, "first");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                wait_until(DEADLINE, "offsets on their way", || (!held().is_empty()).then_some(()));
                world.proxy.reset();
            });
            send_offset(one.as_mut(), &name, &name, 1);
        });
        let ended = end(one.as_mut(), true);
        assert_eq!(ended, Ended::DoneDoubtfully, "transaction.version {}", world.version);
        let mut two = next(&world.log(&[]), &name, ended, one);
        two.begin().expect("begin");
        send(two.as_mut(), &name, "second");
        send_offset(two.as_mut(), &name, &name, 2);
        world.proxy.release(api::TXN_OFFSET_COMMIT);
        wait_until(DEADLINE, "the answer to the late request", || {
            world.proxy.exchanges(api::TXN_OFFSET_COMMIT).into_iter().find_map(|exchange| exchange.answer)
        });
        end(two.as_mut(), true);
        assert_eq!(world.committed(&name), ["first", "second"]);
        assert_eq!(world.broker.committed(&name, &name)[&0], 2, "transaction.version {}", world.version);
    });
}

/// A client that nothing happens to is used again: with a new one a transaction, each test here would pass.
#[test]
fn a_producer_that_is_answered_at_once_is_used_again() {
    on_each_version(|world| {
        let name = world.name("undoubted");
        world.broker.create_topic(&name, 1, &[]);
        let log = world.log(&[]);
        let (mut one, mut committed) = (producer(&log, &name), Vec::new());
        for commit in [true, false] {
            wait_until(DEADLINE, "a transaction that ends at once", || {
                let value = committed.len().to_string();
                one.begin().expect("begin");
                send(one.as_mut(), &name, &value);
                send_offset(one.as_mut(), &name, &name, 1);
                let ended = end(one.as_mut(), commit);
                if commit {
                    committed.push(value);
                }
                (ended == Ended::Done).then_some(())
            });
        }
        assert_eq!(world.committed(&name), committed);
    });
}
