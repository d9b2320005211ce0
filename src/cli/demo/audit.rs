//! What came out, compared with what went in: both read back from the log.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cli::read_back::{Kept, read_back};
use crate::log::{Isolation, Log, Result};
use crate::topology::{OnError, Topology};

/// A change is known by its target, its key and its LSN. The demonstration's keys carry nothing personal and leave as
/// they are; rows of a table without a key have nothing to be told apart by.
type Change = (String, Option<String>, u64);

#[derive(Default)]
pub struct Line {
    pub stream: String,
    pub records: usize,
    /// Distinct changes of keyed tables, and every change of the others.
    pub changes: usize,
    pub rows: usize,
    /// Replays: changes that came again.
    pub stale: usize,
    /// Tombstones, truncates, messages.
    pub skipped: usize,
    pub dead_letters: usize,
    /// Changes whose row is not there; rows that are there too often, or belong to nothing.
    pub missing: usize,
    pub surplus: usize,
}

/// A row before and after.
pub struct Pair {
    pub before: Value,
    pub after: Value,
}

pub struct Audit {
    pub lines: Vec<Line>,
    pub pairs: Vec<Pair>,
    pub letters: Vec<Value>,
}

impl Audit {
    pub fn of(topology: &Topology, log: &dyn Log) -> Result<Self> {
        let mut audit = Self { lines: Vec::new(), pairs: Vec::new(), letters: Vec::new() };
        let topics = log.admin().topics()?;
        for stream in &topology.streams {
            let mut line = Line { stream: stream.name.clone(), ..Line::default() };
            let mut expected: BTreeMap<Change, i64> = BTreeMap::new();
            let mut targets = BTreeMap::new();
            for topic in topics.iter().filter(|topic| stream.reads(topic)) {
                let Some(target) = stream.target_for(topic) else { continue };
                let source = read_back(log, topic, Isolation::Committed)?;
                line.records += source.len();
                source.iter().for_each(|record| count(&mut line, &mut expected, &target, record));
                targets.insert(target, source);
            }
            for (target, source) in targets {
                for row in read_back(log, &target, Isolation::Committed)? {
                    let Some(value) = json(&row) else { continue };
                    line.rows += 1;
                    let change = (target.clone(), text(row.key.as_deref()), value["cdc_lsn"].as_u64().unwrap_or(0));
                    *expected.entry(change).or_insert(0) -= 1;
                    audit.pairs.extend(original(&source, &row, &value).map(|before| Pair { before, after: value }));
                }
            }
            line.missing = expected.values().filter(|left| **left > 0).map(|left| *left as usize).sum();
            line.surplus = expected.values().filter(|left| **left < 0).map(|left| left.unsigned_abs() as usize).sum();
            line.stale = line.records - line.changes - line.skipped - line.dead_letters;
            audit.lines.push(line);
        }
        for topic in letters(topology) {
            audit.letters.extend(read_back(log, topic, Isolation::Committed)?.iter().filter_map(json));
        }
        Ok(audit)
    }

    pub fn total(&self, of: impl Fn(&Line) -> usize) -> usize {
        self.lines.iter().map(of).sum()
    }
}

fn letters(topology: &Topology) -> BTreeSet<&str> {
    topology
        .streams
        .iter()
        .filter_map(|stream| match &stream.on_error {
            OnError::DeadLetter { topic } => Some(topic.as_str()),
            _ => None,
        })
        .collect()
}

/// What a source record must have become.
fn count(line: &mut Line, expected: &mut BTreeMap<Change, i64>, target: &str, record: &Kept) {
    if record.value.is_none() {
        line.skipped += 1;
        return;
    }
    let Some(envelope) = json(record) else {
        line.dead_letters += 1;
        return;
    };
    if !matches!(envelope["op"].as_str(), Some("c" | "u" | "d" | "r")) {
        line.skipped += 1;
        return;
    }
    let key = text(record.key.as_deref());
    let keyless = key.is_none();
    let change = (target.to_string(), key, envelope.pointer("/source/lsn").and_then(Value::as_u64).unwrap_or(0));
    let seen = expected.entry(change).or_insert(0);
    if keyless || *seen == 0 {
        *seen += 1;
        line.changes += 1;
    }
}

/// The row that became this one, where it had something to hide.
fn original(source: &[Kept], row: &Kept, masked: &Value) -> Option<Value> {
    source.iter().filter(|record| record.key == row.key).find_map(|record| {
        let envelope = json(record)?;
        let same = envelope.pointer("/source/lsn") == masked.get("cdc_lsn");
        envelope.get("after").filter(|after| same && after.is_object()).cloned()
    })
}

fn json(record: &Kept) -> Option<Value> {
    serde_json::from_slice(record.value.as_deref()?).ok()
}

fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}
