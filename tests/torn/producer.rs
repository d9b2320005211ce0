//! The engine's producer against late requests: what it calls done is done, and what it does not vouch for is told.

use std::time::Duration;

use highwater::log::kafka::KafkaLog;
use highwater::log::{Ended, Producer};

use crate::end::{self, ends, is_fenced, verdict};
use crate::support::proxy::{api, first};
use crate::support::{DEADLINE, wait_until};
use crate::world::{WAIT, World, on_each_version, producer, send, send_offset};

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

fn end(producer: &mut dyn Producer, commit: bool) -> Ended {
    wait_until(DEADLINE, "the end of a transaction", || {
        let ended = if commit { producer.commit(WAIT) } else { producer.abort(WAIT) };
        Some(ended.expect("an end")).filter(|ended| *ended != Ended::Pending)
    })
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
    let before = world.broker.end_offsets(&name)[&0];
    assert_eq!(world.stable(&name), before);
    send(two.as_mut(), &name, "second");
    world.wait_for_end_offset(&name, before + 1);
    let (_, exchange) = world.ends(&name).swap_remove(0);
    let answer = if late == Late::AnswerLost {
        world.proxy.deliver(&exchange.request).expect("an answer")
    } else {
        assert!(exchange.held && exchange.abandoned, "{exchange:?}");
        world.proxy.release_one(api::END_TXN);
        wait_until(DEADLINE, "the answer to the late request", || world.ends(&name).swap_remove(0).1.answer)
    };
    assert!(is_fenced(verdict(&answer)), "version {}, {late:?}: verdict {}", world.version, verdict(&answer));
    assert_eq!(world.stable(&name), before, "the later transaction is open");
    // And each once more, in copies that a network would not make.
    for (_, exchange) in world.ends(&name) {
        let verdict = verdict(&world.proxy.deliver(&exchange.request).expect("an answer"));
        assert!(is_fenced(verdict), "version {}: {verdict}", world.version);
    }
    send(two.as_mut(), &name, "third");
    send_offset(two.as_mut(), &name, &name, 3);
    assert_eq!(two.commit(WAIT).expect("a commit"), Ended::Done);
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

/// A client that nothing happens to is used again: otherwise each of these tests would pass with a new one a commit.
#[test]
fn a_producer_that_was_answered_at_once_is_used_again() {
    on_each_version(|world| {
        let name = world.name("undoubted");
        world.broker.create_topic(&name, 1, &[]);
        let log = world.log(&[]);
        let mut one = producer(&log, &name);
        for (round, commit) in [true, false, true].into_iter().enumerate() {
            one.begin().expect("begin");
            send(one.as_mut(), &name, &round.to_string());
            send_offset(one.as_mut(), &name, &name, round as i64 + 1);
            let deadline = Duration::from_secs(5);
            let ended = if commit { one.commit(deadline) } else { one.abort(deadline) };
            assert_eq!(ended.expect("an end"), Ended::Done);
        }
        assert_eq!(world.committed(&name), ["0", "2"]);
    });
}
