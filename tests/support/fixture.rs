//! Captured Debezium topics: `fixtures/debezium`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde::Deserialize;
use serde_json::Value;

/// Names of all captures, in order.
pub const NAMES: [&str; 19] = [
    "collisions",
    "custom_key",
    "incremental",
    "interleaved",
    "kill9_first",
    "kill9_incremental",
    "kill9_midtx",
    "kill9_replay",
    "kill9_snapshot",
    "ops",
    "resnapshot",
    "restored",
    "snapshot_boundary",
    "snapshot_equal",
    "snapshot_gap",
    "snapshot_race",
    "types_double",
    "types_precise_schemas",
    "types_string",
];

/// The topic prefix of every capture.
const CAPTURED: &str = "lab.cdc.";

/// A record to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    pub topic: String,
    /// None: by murmur2 of the key.
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp: Option<i64>,
    /// Where it stood in the captured topic. A topic it is replayed into counts from zero.
    pub captured_offset: Option<i64>,
}

impl Line {
    pub fn new(topic: &str, key: &str, value: &str) -> Self {
        Self { topic: topic.into(), key: Some(key.into()), value: Some(value.into()), ..Self::default() }
    }

    pub fn tombstone(topic: &str, key: &str) -> Self {
        Self { topic: topic.into(), key: Some(key.into()), ..Self::default() }
    }

    pub fn at(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }
}

/// One capture: its lines, and what Postgres held at the end.
pub struct Fixture {
    pub name: String,
    pub lines: Vec<Line>,
    /// By table, the rows as `[primary key columns…, ver]`, sorted.
    pub finals: BTreeMap<String, Vec<Vec<Value>>>,
}

#[derive(Deserialize)]
struct Captured {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
}

impl Fixture {
    /// Loads a capture as it stands.
    pub fn load(name: &str) -> Self {
        Self::load_as(name, CAPTURED)
    }

    /// Loads a capture, its topics' prefix `lab.cdc.` replaced: many tests share one broker.
    pub fn load_as(name: &str, prefix: &str) -> Self {
        let lines = read(name, "jsonl").lines().map(|line| parse(line, prefix)).collect();
        let finals = serde_json::from_str(&read(name, "final.json")).unwrap_or_else(|e| panic!("{name}: {e}"));
        Self { name: name.to_owned(), lines, finals }
    }

    /// The topics of tables, without the connector's own (heartbeats, transactions, logical messages, signals).
    pub fn tables(&self) -> BTreeSet<&str> {
        let tables = self.lines.iter().map(|line| line.topic.as_str());
        tables.filter(|topic| topic.contains("public.") && !topic.ends_with(".dbz_signal")).collect()
    }

    /// The lines of each source partition, in offset order.
    pub fn partitions(&self) -> BTreeMap<(&str, i32), Vec<&Line>> {
        let mut partitions: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in &self.lines {
            partitions.entry((line.topic.as_str(), line.partition.unwrap_or(0))).or_default().push(line);
        }
        partitions
    }
}

fn read(name: &str, extension: &str) -> String {
    let path = format!("{}/fixtures/debezium/{name}.{extension}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn parse(line: &str, prefix: &str) -> Line {
    let line: Captured = serde_json::from_str(line).unwrap_or_else(|e| panic!("not a captured line: {e}"));
    let topic = match line.topic.strip_prefix(CAPTURED) {
        Some(rest) => format!("{prefix}{rest}"),
        None => line.topic,
    };
    Line {
        topic,
        partition: Some(line.partition),
        key: line.key.map(String::into_bytes),
        value: line.value.map(String::into_bytes),
        headers: line.headers.into_iter().map(|(name, value)| (name, value.map(String::into_bytes))).collect(),
        timestamp: Some(line.timestamp),
        captured_offset: Some(line.offset),
    }
}
