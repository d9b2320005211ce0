//! What a transaction that does not commit leaves behind: nothing.

use std::collections::BTreeMap;

use rdkafka::admin::{AlterConfig, ResourceSpecifier};
use serde_json::json;

use crate::running::{LONG, administer, change, plain, run_through, start, stop, versions, wait_for_group};
use crate::support::{Broker, DEADLINE, Dir, wait_until};

fn topology(name: &str, settings: &str) -> String {
    format!(
        "application: {name}\nkafka:\n  bootstrap.servers: '${{BROKERS}}'\n{settings}\nstreams:\n  rows:\n    from: {name}.in\n    \
         steps: [dedup, {{ mask: none }}]\n    to: {name}.out\n"
    )
}

fn limit(broker: &Broker, topic: &str, bytes: &str) {
    let altered = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", bytes);
    let done = administer(broker, async |admin, options| admin.alter_configs([&altered], &options).await);
    done.expect("an answer").into_iter().for_each(|result| drop(result.expect("an altered topic")));
    wait_until(DEADLINE, &format!("{topic} to take {bytes} bytes"), || {
        let told = administer(broker, async |admin, options| {
            admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await
        });
        let told = told.expect("an answer").pop().expect("a topic").expect("its settings");
        (told.get("max.message.bytes")?.value.as_deref() == Some(bytes)).then_some(())
    });
}

/// State that got ahead of its transaction would take the changes for stale when they are processed again.
#[test]
fn a_commit_that_fails_leaves_no_state() {
    let (broker, name) = (Broker::shared(), "undone");
    broker.create_topic("undone.in", 1, &[]);
    broker.create_topic("undone.out", 1, &[]);
    let (dir, topology) = (Dir::new(name), topology(name, "commit_interval: 5ms"));
    broker.produce(&plain("undone.in", 0..5, 1000));
    let mut highwater = start(broker, &topology, dir.path());
    wait_for_group(broker, name, "undone.in");
    // It knows the old limit: the record is refused by the broker, and the commit fails.
    limit(broker, "undone.out", "200");
    let noise: String = (0..2000u64)
        .map(|i| char::from(b'a' + (i.wrapping_mul(i).wrapping_mul(2_654_435_761) >> 7) as u8 % 26))
        .collect();
    broker.produce(&[change("undone.in", "u", &json!({ "id": 3, "n": noise }), 2000)]);
    assert_eq!(highwater.wait(LONG).code(), Some(1), "{}", highwater.log());
    assert!(highwater.log().contains("max.message.bytes"), "{}", highwater.log());
    limit(broker, "undone.out", "1000000");
    run_through(broker, &topology, dir.path(), name, &["undone.in"]);
    let mut expected: BTreeMap<String, Vec<u64>> =
        (0..5).map(|id| (format!("{{\"id\":{id}}}"), vec![1000 + id])).collect();
    expected.get_mut("{\"id\":3}").expect("a row").push(2000);
    assert_eq!(versions(broker, "undone.out"), expected);
}

/// A stall that the transaction does not survive, and the member does.
#[test]
fn a_stall_beyond_the_transaction_timeout_loses_and_repeats_nothing() {
    let (broker, name) = (Broker::shared(), "stalled");
    broker.create_topic("stalled.in", 2, &[]);
    broker.create_topic("stalled.out", 1, &[]);
    let settings =
        "  session.timeout.ms: 1200000\n  max.poll.interval.ms: 1200000\ncommit_interval: 2s\ntransaction_timeout: 8s";
    let (dir, topology) = (Dir::new(name), topology(name, settings));
    broker.produce(&plain("stalled.in", 0..50, 1000));
    let highwater = start(broker, &topology, dir.path());
    wait_for_group(broker, name, "stalled.in");
    let before = broker.committed(name, "stalled.in");
    broker.produce(&plain("stalled.in", 0..50, 2000));
    wait_until(DEADLINE, "an open transaction", || {
        (broker.stable_offsets("stalled.out") < broker.end_offsets("stalled.out")).then_some(())
    });
    highwater.sigstop();
    wait_until(LONG, "its end", || {
        (broker.stable_offsets("stalled.out") == broker.end_offsets("stalled.out")).then_some(())
    });
    assert_eq!(broker.committed(name, "stalled.in"), before, "it was stopped while the transaction was open");
    highwater.sigcont();
    wait_for_group(broker, name, "stalled.in");
    stop(highwater);
    let expected = (0..50).map(|id| (format!("{{\"id\":{id}}}"), vec![1000 + id, 2000 + id])).collect();
    assert_eq!(versions(broker, "stalled.out"), expected);
}

#[test]
fn what_the_source_aborted_never_leaves() {
    let (broker, name) = (Broker::shared(), "aborted");
    broker.create_topic("aborted.in", 1, &[]);
    broker.create_topic("aborted.out", 1, &[]);
    broker.produce(&plain("aborted.in", 0..2, 1000));
    broker.begin("aborted-source", &plain("aborted.in", 0..2, 2000)).abort();
    broker.produce(&plain("aborted.in", 0..2, 1500));
    run_through(broker, &topology(name, ""), Dir::new(name).path(), name, &["aborted.in"]);
    let expected = (0..2).map(|id| (format!("{{\"id\":{id}}}"), vec![1000 + id, 1500 + id])).collect();
    assert_eq!(versions(broker, "aborted.out"), expected);
}
