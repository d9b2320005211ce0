//! What only a person can mend: the instance ends with exit code 1 and says the way out, and the way out works.

use std::collections::BTreeMap;

use rdkafka::admin::NewPartitions;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Map, Value, json};

use crate::running::{administer, change, follow_hint, plain, rows_by_key, run_through, run_to_failure};
use crate::support::{Broker, Dir};

/// One stream that passes rows as they are, `NAME.in` to `NAME.out`.
fn topology(name: &str) -> String {
    format!(
        "application: {name}\nkafka: {{ bootstrap.servers: '${{BROKERS}}' }}\nstreams:\n  rows:\n    from: {name}.in\n    \
         steps: [dedup, {{ mask: none }}]\n    to: {name}.out\n"
    )
}

fn changelog(name: &str) -> String {
    format!("{name}-rows-{name}.in-changelog")
}

/// The topics of an application, and its first five rows (LSNs from 1000) processed.
fn prepared(name: &str) -> (&'static Broker, Dir, String) {
    let broker = Broker::shared();
    broker.create_topic(&format!("{name}.in"), 1, &[]);
    broker.create_topic(&format!("{name}.out"), 3, &[]);
    broker.produce(&plain(&format!("{name}.in"), 0..5, 1000));
    let dir = Dir::new(name);
    let topology = topology(name);
    run(broker, &topology, &dir, name);
    assert_eq!(lsns(broker, name), expected(&[(0..5, 1000)]));
    (broker, dir, topology)
}

fn run(broker: &Broker, topology: &str, dir: &Dir, name: &str) -> String {
    run_through(broker, topology, dir.path(), name, &[&format!("{name}.in")])
}

type Lsns = BTreeMap<u64, Vec<u64>>;

/// The versions that left, by row.
fn lsns(broker: &Broker, name: &str) -> Lsns {
    let lsns =
        |rows: Vec<Map<String, Value>>| rows.iter().map(|row| row["cdc_lsn"].as_u64().expect("a number")).collect();
    let id = |key: &str| serde_json::from_str::<Value>(key).expect("a key")["id"].as_u64().expect("a number");
    rows_by_key(broker, &format!("{name}.out")).into_iter().map(|(key, rows)| (id(&key), lsns(rows))).collect()
}

/// What `plain` changes leave, in their order.
fn expected(changes: &[(std::ops::Range<u64>, u64)]) -> Lsns {
    let mut all = Lsns::new();
    for (ids, lsn) in changes {
        ids.clone().zip(*lsn..).for_each(|(id, lsn)| all.entry(id).or_default().push(lsn));
    }
    all
}

#[track_caller]
fn says(log: &str, texts: &[&str]) {
    texts.iter().for_each(|text| assert!(log.contains(text), "{text:?} is missing in\n{log}"));
}

fn without_offsets(broker: &Broker, group: &str) {
    let deleted = administer(broker, async |admin, options| admin.delete_groups(&[group], &options).await);
    deleted.expect("an answer").into_iter().for_each(|result| drop(result.expect("a group that is deleted")));
}

/// Deletes what the partition holds below `offset`.
fn delete_records(broker: &Broker, topic: &str, offset: i64) {
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(topic, 0, Offset::Offset(offset)).expect("a valid offset");
    let deleted = administer(broker, async |admin, options| admin.delete_records(&before, &options).await);
    deleted.expect("an answer").elements().iter().for_each(|element| element.error().expect("deleted records"));
}

#[test]
fn missing_output_topics_are_all_named_with_the_commands_that_make_them() {
    let broker = Broker::shared();
    let name = "missing";
    broker.create_topic("missing.in", 3, &[]);
    broker.produce(&plain("missing.in", 0..5, 1000));
    let dir = Dir::new(name);
    let topology = format!("{}    on_error: {{ dead_letter: missing.letters }}\n", topology(name));
    let log = run_to_failure(broker, &topology, dir.path());
    let server = broker.bootstrap();
    let command = format!("kafka-topics.sh --bootstrap-server {server} --create --topic");
    says(
        &log,
        &[&format!("{command} missing.out --partitions 3"), &format!("{command} missing.letters --partitions 1")],
    );
    follow_hint(&log, "topics", "--topic missing.letters --partitions 1");
    let log = run_to_failure(broker, &topology, dir.path());
    assert!(!log.contains("missing.letters"), "{log}");
    follow_hint(&log, "topics", "--topic missing.out --partitions 3");
    run(broker, &topology, &dir, name);
    assert_eq!(lsns(broker, name), expected(&[(0..5, 1000)]));
}

#[test]
fn a_source_that_has_grown_is_processed_anew_into_new_outputs() {
    let name = "grown";
    let (broker, dir, topology) = prepared(name);
    let grown = NewPartitions::new("grown.in", 3);
    let made = administer(broker, async |admin, options| admin.create_partitions([&grown], &options).await);
    made.expect("an answer").into_iter().for_each(|result| drop(result.expect("new partitions")));
    broker.produce(&plain("grown.in", 0..5, 2000));
    let log = run_to_failure(broker, &topology, dir.path());
    says(
        &log,
        &["grown.in has 3 partitions", &changelog(name), "recreate the output topics", "every instance's state"],
    );

    // The way out, step by step.
    follow_hint(&log, "topics", &format!("--delete --topic {}", changelog(name)));
    std::fs::remove_dir_all(dir.join("state")).expect("the state directory");
    broker.delete_topic("grown.out");
    broker.create_topic("grown.out", 3, &[]);
    follow_hint(&log, "consumer-groups", "--execute");
    run(broker, &topology, &dir, name);
    // Old and new changes of a key may lie in two partitions: each is there, in one order or the other.
    let mut left = lsns(broker, name);
    left.values_mut().for_each(|lsns| lsns.sort_unstable());
    assert_eq!(left, expected(&[(0..5, 1000), (0..5, 2000)]));
}

#[test]
fn changes_that_expired_unprocessed_are_named() {
    let name = "expired";
    let (broker, dir, topology) = prepared(name);
    broker.produce(&plain("expired.in", 5..9, 2000));
    broker.produce(&plain("expired.in", 9..12, 3000));
    delete_records(broker, "expired.in", 9);
    let log = run_to_failure(broker, &topology, dir.path());
    says(&log, &["expired.in-0: offsets 5 to 8 were deleted before they were processed", "snapshot"]);
    assert_eq!(broker.committed(name, "expired.in"), BTreeMap::from([(0, 5)]));
    follow_hint(&log, "consumer-groups", "--execute");
    run(broker, &topology, &dir, name);
    assert_eq!(lsns(broker, name), expected(&[(0..5, 1000), (9..12, 3000)]));
}

#[test]
fn a_lost_committed_offset_neither_repeats_nor_skips() {
    let name = "unoffset";
    let (broker, dir, topology) = prepared(name);
    without_offsets(broker, name);
    broker.produce(&plain("unoffset.in", 3..8, 2000));
    let log = run_to_failure(broker, &topology, dir.path());
    says(&log, &["unoffset.in-0 has no committed offset", "up to 5", "--to-offset 5", "--to-earliest"]);
    follow_hint(&log, "consumer-groups", "--execute");
    assert_eq!(broker.committed(name, "unoffset.in"), BTreeMap::from([(0, 5)]));
    run(broker, &topology, &dir, name);
    let want = expected(&[(0..5, 1000), (3..8, 2000)]);
    assert_eq!(lsns(broker, name), want);
    // The other way: all again, and nothing comes twice.
    without_offsets(broker, name);
    let log = run_to_failure(broker, &topology, dir.path());
    let (_, other) = log.rsplit_once(" or process all again ").expect("a second way");
    follow_hint(other, "consumer-groups", "--execute");
    assert_eq!(broker.committed(name, "unoffset.in"), BTreeMap::from([(0, 0)]));
    run(broker, &topology, &dir, name);
    assert_eq!(lsns(broker, name), want);
}

#[test]
fn a_source_that_was_made_again_begins_a_new_epoch() {
    let name = "remade";
    let (broker, dir, topology) = prepared(name);
    broker.delete_topic("remade.in");
    broker.create_topic("remade.in", 1, &[]);
    // A database that was restored: all positions are far below those known.
    broker.produce(&plain("remade.in", 0..7, 10));
    let log = run(broker, &topology, &dir, name);
    says(&log, &["was deleted and created again: a new epoch begins"]);
    // Known rows leave above their last version, new ones with their LSN.
    let mut want = expected(&[(0..5, 1000), (5..7, 15)]);
    want.iter_mut().filter(|(id, _)| **id < 5).for_each(|(_, lsns)| lsns.push(lsns[0] + 1));
    assert_eq!(lsns(broker, name), want);
    // Bound to the new topic now: its changes are not taken twice.
    broker.produce(&plain("remade.in", 0..7, 10));
    let log = run(broker, &topology, &dir, name);
    assert!(!log.contains("a new epoch"), "{log}");
    assert_eq!(lsns(broker, name), want);
}

#[test]
fn a_changelog_that_was_made_again_empties_its_store_loudly() {
    let name = "relogged";
    let (broker, dir, topology) = prepared(name);
    broker.delete_topic(&changelog(name));
    broker.produce(&plain("relogged.in", 3..6, 2000));
    let log = run(broker, &topology, &dir, name);
    says(&log, &["the store does not fit its changelog: rebuilding it", "its changelog was deleted and created again"]);
    // The committed offset stays: nothing comes twice.
    assert_eq!(lsns(broker, name), expected(&[(0..5, 1000), (3..6, 2000)]));
    // And what is known from here on is in the new changelog: the next instance has it from there.
    std::fs::remove_dir_all(dir.join("state")).expect("the state directory");
    broker.produce(&plain("relogged.in", 3..6, 2000));
    run(broker, &topology, &dir, name);
    assert_eq!(lsns(broker, name), expected(&[(0..5, 1000), (3..6, 2000)]));
}

#[test]
fn state_of_another_application_is_left_alone() {
    let (broker, dir, topology) = prepared("tenant");
    let log = run_to_failure(broker, &topology.replace("tenant", "squatter"), dir.path());
    says(&log, &["holds the state of application `tenant`, this is `squatter`", "--state"]);
    broker.produce(&plain("tenant.in", 5..7, 2000));
    run(broker, &topology, &dir, "tenant");
    assert_eq!(lsns(broker, "tenant"), expected(&[(0..5, 1000), (5..7, 2000)]));
}

#[test]
fn positions_that_fall_stop_who_asked_for_it() {
    let name = "fallen";
    let broker = Broker::shared();
    broker.create_topic("fallen.in", 1, &[]);
    broker.create_topic("fallen.out", 1, &[]);
    let at = |lsn: u64, commit: u64, ts_us: u64| {
        let mut line = change("fallen.in", "u", &json!({ "id": 0 }), lsn);
        let mut value: Value = serde_json::from_slice(line.value.as_deref().expect("a value")).expect("JSON");
        value["source"]["sequence"] = json!(format!("[\"{commit}\",\"{lsn}\"]"));
        value["source"]["ts_us"] = json!(ts_us);
        line.value = Some(value.to_string().into_bytes());
        line
    };
    broker.produce(&[at(1000, 900, 1), at(1100, 1000, 2)]);
    let dir = Dir::new(name);
    let fail = topology(name).replace("[dedup,", "[{ dedup: { on_regression: fail } },");
    run(broker, &fail, &dir, name);
    // Its commit is below the highest seen, and time went on.
    broker.produce(&[at(50, 40, 3)]);
    let log = run_to_failure(broker, &fail, dir.path());
    says(&log, &["fallen.in-0@2", "positions fell while its time went on", "on_regression"]);
    assert_eq!(lsns(broker, name), Lsns::from([(0, vec![1000, 1100])]));
    assert_eq!(broker.committed(name, "fallen.in"), BTreeMap::from([(0, 2)]));
    let log = run(broker, &topology(name), &dir, name);
    says(&log, &["a new epoch begins"]);
    assert_eq!(lsns(broker, name), Lsns::from([(0, vec![1000, 1100, 1101])]));
}
