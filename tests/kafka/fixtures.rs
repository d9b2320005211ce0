//! Every captured topic through real Kafka, against the oracle and against Postgres.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use crate::running::{LONG, SECRET, env, rows_by_key, wait_for_group};
use crate::support::fixture::NAMES;
use crate::support::oracle::{self, Accepted, Input, Rule};
use crate::support::postgres::remaining;
use crate::support::topics::Isolation;
use crate::support::{Broker, Dir, Fixture, Highwater};

const TOPOLOGY: &str = r"
application: fixtures
kafka: { bootstrap.servers: '${BROKERS}' }
threads: 2
secrets: { pii: '${SALT}' }
streams:
  customers:
    from: { pattern: 'fx\.(?<case>\w+)\.public\.(?<table>customers)' }
    steps: [dedup, { mask: { fields: { email: hash, phone: hash, full_name: truncate, birth_date: drop } } }]
    to: 'out.{case}.{table}'
  documents:
    from: { pattern: 'fx\.(?<case>\w+)\.public\.(?<table>documents)' }
    steps: [dedup, { mask: { fields: { body: hash } } }]
    to: 'out.{case}.{table}'
  others:
    from: { pattern: 'fx\.(?<case>\w+)\.public\.(?<table>orders|visits|order_items|events|seats|types)' }
    steps: [dedup, { mask: none }]
    to: 'out.{case}.{table}'
";

const CUSTOMERS: &[(&str, Rule)] =
    &[("email", Rule::Hash), ("phone", Rule::Hash), ("full_name", Rule::Truncate), ("birth_date", Rule::Drop)];

fn rules(topic: &str) -> &'static [(&'static str, Rule)] {
    match topic.rsplit('.').next() {
        Some("customers") => CUSTOMERS,
        Some("documents") => &[("body", Rule::Hash)],
        _ => &[],
    }
}

type Rows = BTreeMap<String, Vec<Map<String, Value>>>;

/// What the oracle makes of the topic as it is: accepted changes, and the rows that must have left, by key.
fn expected(broker: &Broker, source: &str) -> (Vec<Accepted>, Rows) {
    let mut partitions: BTreeMap<i32, Vec<_>> = BTreeMap::new();
    for read in broker.read_all(source, Isolation::Committed) {
        partitions.entry(read.partition).or_default().push(read);
    }
    let judged = partitions.values().flat_map(|reads| oracle::judge(reads.iter().map(Input::from)).accepted);
    let accepted: Vec<Accepted> = judged.collect();
    let mut rows = Rows::new();
    for change in &accepted {
        let key = change.key.as_ref().map(Value::to_string).unwrap_or_default();
        rows.entry(key).or_default().push(oracle::output(change, rules(source), SECRET));
    }
    (accepted, rows)
}

/// Keyless rows come from several partitions: their order says nothing.
fn sorted(mut rows: Rows) -> Rows {
    if let Some(keyless) = rows.get_mut("") {
        keyless.sort_by_cached_key(|row| Value::Object(row.clone()).to_string());
    }
    rows
}

fn reset_to_earliest(broker: &Broker, group: &str) {
    let out = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/kafka-cli"))
        .args(["consumer-groups", "--bootstrap-server", &broker.bootstrap(), "--group", group])
        .args(["--all-topics", "--reset-offsets", "--to-earliest", "--execute"])
        .stdin(Stdio::null())
        .output()
        .expect("tools/kafka-cli");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn every_capture_equals_the_oracle_and_a_rewind_adds_nothing() {
    let broker = Broker::shared();
    let fixtures: Vec<Fixture> = NAMES.iter().map(|name| Fixture::load_as(name, &format!("fx.{name}."))).collect();
    let mut sources = Vec::new();
    for fixture in &fixtures {
        for topic in fixture.tables() {
            broker.create_topic(topic, 4, &[]);
            broker.create_topic(&topic.replace("fx.", "out.").replace("public.", ""), 1, &[]);
            sources.push((fixture.name.clone(), topic.to_string()));
        }
        let lines: Vec<_> =
            fixture.lines.iter().filter(|l| fixture.tables().contains(l.topic.as_str())).cloned().collect();
        broker.produce(&lines);
    }
    let output = |topic: &str| topic.replace("fx.", "out.").replace("public.", "");

    let dir = Dir::new("fixtures");
    let env = env(broker);
    let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let mut highwater = Highwater::spawn(TOPOLOGY, &env, dir.path());
    for (_, topic) in &sources {
        wait_for_group(broker, "fixtures", topic);
    }
    highwater.sigterm();
    assert!(highwater.wait(LONG).success(), "{}", highwater.log());

    let mut first: BTreeMap<&str, Rows> = BTreeMap::new();
    let mut changes = 0;
    for fixture in &fixtures {
        let mut written: BTreeMap<String, Vec<Map<String, Value>>> = BTreeMap::new();
        for topic in fixture.tables() {
            let (accepted, rows) = expected(broker, topic);
            changes += accepted.len();
            let left = sorted(rows_by_key(broker, &output(topic)));
            assert_eq!(left, sorted(rows), "{topic}");
            let table = topic.rsplit('.').next().expect("a table").to_string();
            written.insert(table, remaining(&left));
            let (_, source) = sources.iter().find(|(_, t)| t == topic).expect("known");
            first.insert(source, left);
        }
        assert_eq!(fixture.differences(&written), fixture.expected_differences(), "{} and Postgres", fixture.name);
    }
    assert_eq!(changes, 794, "changes compared");

    reset_to_earliest(broker, "fixtures");
    let mut highwater = Highwater::spawn(TOPOLOGY, &env, dir.path());
    for (_, topic) in &sources {
        wait_for_group(broker, "fixtures", topic);
    }
    highwater.sigterm();
    assert!(highwater.wait(LONG).success(), "{}", highwater.log());
    for (topic, before) in first {
        let mut after = rows_by_key(broker, &output(topic));
        // Tables without a key pass again, as documented.
        let keyless = after.remove("").unwrap_or_default();
        let mut before = before.clone();
        let keyless_before = before.remove("").unwrap_or_default();
        assert_eq!(keyless.len(), 2 * keyless_before.len(), "{topic}, keyless");
        assert_eq!(after, before, "{topic} after the rewind");
    }
}
