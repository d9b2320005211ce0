//! What must come out, computed from the input alone.
//!
//! Written from the description of the order of changes, not from the engine's code: clear and slow, on parsed values,
//! with nothing kept between calls. What it and the engine agree on was reached twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Line, Read};

/// A record of one source partition.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    pub offset: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

impl<'a> From<&'a Read> for Input<'a> {
    fn from(read: &'a Read) -> Self {
        Self { offset: read.offset, key: read.key.as_deref(), value: read.value.as_deref() }
    }
}

impl<'a> Input<'a> {
    /// A captured line that lies at `offset`.
    pub fn new(line: &'a Line, offset: i64) -> Self {
        Self { offset, key: line.key.as_deref(), value: line.value.as_deref() }
    }
}

/// A change that must come out.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    pub offset: i64,
    /// The payload of the key; None where the table has no key.
    pub key: Option<Value>,
    pub table: String,
    /// c, u, d or r.
    pub op: String,
    pub row: Map<String, Value>,
    pub cdc_lsn: u64,
    pub deleted: bool,
}

/// What must become of the records of one source partition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    pub accepted: Vec<Accepted>,
    /// Offsets of the changes that are not newer than what their key had.
    pub stale: Vec<i64>,
    /// How many records carry no change of a row: tombstone, truncate, message.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Offsets of records that are no envelope, or one without its row.
    pub bad: Vec<i64>,
    /// Offsets at which an epoch rose because a new snapshot began.
    pub snapshots: Vec<i64>,
    /// Offsets at which an epoch rose because positions fell while time went on.
    pub regressions: Vec<i64>,
}

/// Judges the records of one source partition of one topic, in the order in which they are processed: an offset that
/// comes again is a reader that went back.
pub fn judge<'a>(inputs: impl IntoIterator<Item = Input<'a>>) -> Outcome {
    let mut partition = Partition::default();
    inputs.into_iter().for_each(|input| partition.process(&input));
    partition.outcome
}

/// The same where the topic was deleted and made anew in between: every incarnation has offsets of its own.
pub fn judge_incarnations<'a>(incarnations: impl IntoIterator<Item = Vec<Input<'a>>>) -> Outcome {
    let mut partition = Partition::default();
    for (n, inputs) in incarnations.into_iter().enumerate() {
        if n > 0 {
            partition.recreated();
        }
        inputs.iter().for_each(|input| partition.process(input));
    }
    partition.outcome
}

#[derive(Default)]
struct Partition {
    /// The epoch in which sources begin.
    base: u64,
    sources: BTreeMap<(String, String), Epochs>,
    /// The rules are evaluated once per offset.
    evaluated: BTreeMap<i64, u64>,
    keys: BTreeMap<String, Last>,
    outcome: Outcome,
}

/// The epochs of one source: one (source.name, source.db).
#[derive(Default)]
struct Epochs {
    current: u64,
    by_snapshot: BTreeMap<u64, u64>,
    highest_commit: u64,
    latest_ts: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    epoch: u64,
    commit: u64,
    /// 0 read by a snapshot, 1 streamed.
    kind: u8,
    lsn: u64,
}

/// What a key's last accepted change left behind.
struct Last {
    position: Option<Position>,
    version: u64,
    offset: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Snapshot {
    No,
    Initial,
    Incremental,
}

struct Change {
    op: String,
    row: Map<String, Value>,
    name: String,
    db: String,
    table: String,
    snapshot: Snapshot,
    commit: Option<u64>,
    lsn: Option<u64>,
    ts_us: Option<i64>,
}

impl Partition {
    fn process(&mut self, input: &Input<'_>) {
        let change = match decode(input.value) {
            Ok(change) => change,
            Err(Some(kind)) => return *self.outcome.skipped.entry(kind).or_default() += 1,
            Err(None) => return self.outcome.bad.push(input.offset),
        };
        let epoch = match self.evaluated.get(&input.offset) {
            Some(&epoch) => epoch,
            None => self.evaluate(input.offset, &change),
        };

        let key = input.key.map(payload).filter(|key| !key.is_null());
        let cdc_lsn = match &key {
            Some(key) => match self.newer(key, epoch, input.offset, &change) {
                Some(version) => version,
                None => return self.outcome.stale.push(input.offset),
            },
            // A table without a key passes as it is.
            None => change.lsn.unwrap_or(0),
        };
        let deleted = change.op == "d";
        let Change { op, row, table, .. } = change;
        self.outcome.accepted.push(Accepted { offset: input.offset, key, table, op, row, cdc_lsn, deleted });
    }

    /// What comes from now on is newer than all that came before, and no offset means what it meant.
    fn recreated(&mut self) {
        self.base = self.sources.values().map(|source| source.current).max().unwrap_or(self.base) + 1;
        self.sources.clear();
        self.evaluated.clear();
        self.keys.values_mut().for_each(|last| last.offset = -1);
    }

    /// Rules a and b: the epoch of a change that was never seen before.
    fn evaluate(&mut self, offset: i64, change: &Change) -> u64 {
        let begun = Epochs { current: self.base, ..Epochs::default() };
        let source = self.sources.entry((change.name.clone(), change.db.clone())).or_insert(begun);
        let mut epoch = source.current;
        let mut rose = false;

        if let (Snapshot::Initial, Some(lsn)) = (change.snapshot, change.lsn) {
            match source.by_snapshot.get(&lsn) {
                // A snapshot that was seen keeps its epoch, even where a later one has begun.
                Some(&known) => epoch = known,
                None => {
                    rose = true;
                    self.outcome.snapshots.push(offset);
                    source.by_snapshot.insert(lsn, source.current + 1);
                }
            }
        }
        // A change without any position says nothing about positions.
        if change.snapshot == Snapshot::No && change.lsn.is_some() {
            let fell = change.commit.unwrap_or(0) < source.highest_commit;
            let went_on = matches!((change.ts_us, source.latest_ts), (Some(ts), Some(latest)) if ts > latest);
            if fell && went_on {
                rose = true;
                self.outcome.regressions.push(offset);
            }
        }

        if rose {
            source.current += 1;
            epoch = source.current;
            source.highest_commit = change.commit.unwrap_or(0);
        } else {
            source.highest_commit = source.highest_commit.max(change.commit.unwrap_or(0));
        }
        source.latest_ts = source.latest_ts.max(change.ts_us);
        self.evaluated.insert(offset, epoch);
        epoch
    }

    /// The version a change leaves with, or None where it is not newer than its key's last.
    fn newer(&mut self, key: &Value, epoch: u64, offset: i64, change: &Change) -> Option<u64> {
        let key = key.to_string();
        let last = self.keys.get(&key);
        let next = last.map_or(0, |last| last.version + 1);
        let (position, version) = match change.lsn {
            Some(lsn) => {
                let kind = u8::from(change.snapshot == Snapshot::No);
                let position = Position { epoch, commit: change.commit.unwrap_or(0), kind, lsn };
                if last.and_then(|last| last.position).is_some_and(|last| position <= last) {
                    return None;
                }
                (Some(position), lsn.max(next))
            }
            // Without any position only the offset can tell whether this is the same record again.
            None => {
                if last.is_some_and(|last| offset <= last.offset) {
                    return None;
                }
                (last.and_then(|last| last.position), next.max(1))
            }
        };
        self.keys.insert(key, Last { position, version, offset });
        Some(version)
    }
}

/// A change, or the name of what is skipped, or nothing for what is bad.
fn decode(value: Option<&[u8]>) -> Result<Change, Option<&'static str>> {
    let value = value.map_or(Value::Null, payload);
    if value.is_null() {
        return Err(Some("tombstone"));
    }
    let op = value["op"].as_str().ok_or(None)?;
    let row = match op {
        "t" => return Err(Some("truncate")),
        "m" => return Err(Some("message")),
        "c" | "u" | "r" => &value["after"],
        "d" => &value["before"],
        _ => return Err(None),
    };
    let source = &value["source"];
    let text = |name: &str| source[name].as_str().unwrap_or_default().to_owned();
    let snapshot = match &source["snapshot"] {
        Value::String(text) if text == "incremental" => Snapshot::Incremental,
        Value::String(text) if text != "false" => Snapshot::Initial,
        Value::Bool(true) => Snapshot::Initial,
        _ => Snapshot::No,
    };
    let sequence = source["sequence"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let sequence = |index: usize| sequence.as_ref()?.get(index)?.as_str()?.parse::<u64>().ok();
    Ok(Change {
        op: op.to_owned(),
        row: row.as_object().ok_or(None)?.clone(),
        name: text("name"),
        db: text("db"),
        table: text("table"),
        snapshot,
        commit: sequence(0),
        lsn: source["lsn"].as_u64().or_else(|| sequence(1)),
        ts_us: source["ts_us"].as_i64().or_else(|| source["ts_ms"].as_i64().map(|ms| ms * 1000)),
    })
}

/// The parsed text, out of its wrapping where a schema comes with it. What is not JSON becomes a string.
fn payload(text: &[u8]) -> Value {
    let value = serde_json::from_slice(text).unwrap_or_else(|_| String::from_utf8_lossy(text).into());
    match value {
        Value::Object(mut object) if object.len() == 2 && object.contains_key("schema") => {
            object.remove("payload").unwrap_or(Value::Object(object))
        }
        value => value,
    }
}

/// What a `ReplacingMergeTree(cdc_lsn)` holds after all merges: by table, the last row of each key, deleted ones gone.
pub fn finals<'a>(accepted: impl IntoIterator<Item = &'a Accepted>) -> BTreeMap<String, Vec<&'a Map<String, Value>>> {
    let mut last: BTreeMap<(&str, String), &Accepted> = BTreeMap::new();
    for change in accepted {
        let Some(key) = &change.key else { continue };
        match last.entry((&change.table, key.to_string())) {
            std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(change)),
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                assert_ne!(entry.get().cdc_lsn, change.cdc_lsn, "two changes of {key} with one version");
                if change.cdc_lsn > entry.get().cdc_lsn {
                    entry.insert(change);
                }
            }
        }
    }
    let mut tables: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for ((table, _), change) in last {
        if !change.deleted {
            tables.entry(table.to_owned()).or_default().push(&change.row);
        }
    }
    tables
}

/// The seed's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Hash,
    Truncate,
    Drop,
    Passthrough,
}

/// A row under rules; a column without one passes. Panics on values that no rule may take: no test may need them.
pub fn masked(row: &Map<String, Value>, rules: &[(&str, Rule)], salt: &str) -> Map<String, Value> {
    let mut out = Map::new();
    for (column, value) in row {
        let rule = rules.iter().find(|(name, _)| name == column).map_or(Rule::Passthrough, |(_, rule)| *rule);
        let value = match (rule, value) {
            (Rule::Drop, _) => continue,
            // Not the value, but word that it did not change: no rule applies to it.
            (_, Value::String(text)) if text == "__debezium_unavailable_value" => value.clone(),
            (Rule::Passthrough, value) => value.clone(),
            (Rule::Hash | Rule::Truncate, Value::Null) => Value::Null,
            (Rule::Hash, Value::String(text)) => hashed(salt, text).into(),
            (Rule::Hash, Value::Number(_) | Value::Bool(_)) => hashed(salt, &value.to_string()).into(),
            (Rule::Truncate, Value::String(text)) => truncated(text).into(),
            (rule, value) => panic!("{rule:?} of {column} = {value}"),
        };
        out.insert(column.clone(), value);
    }
    out
}

/// The row that must leave for a change.
pub fn output(change: &Accepted, rules: &[(&str, Rule)], salt: &str) -> Map<String, Value> {
    let mut out = masked(&change.row, rules, salt);
    out.insert("cdc_lsn".into(), change.cdc_lsn.into());
    out.insert("_deleted".into(), u8::from(change.deleted).into());
    out
}

/// Lower-case hex of SHA-256 over the salt and the value.
pub fn hashed(salt: &str, value: &str) -> String {
    Sha256::digest(format!("{salt}{value}")).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first word, the initial of the second, a full stop; a single word is shortened to its initial.
pub fn truncated(name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().collect();
    let initial = |word: &str| word.chars().next().map(String::from).unwrap_or_default();
    match words[..] {
        [] => String::new(),
        [only] => format!("{}.", initial(only)),
        [first, second, ..] => format!("{first}{}.", initial(second)),
    }
}

/// The texts that must never leave: every value that a hash, truncate or drop rule hides, where it is long enough not
/// to stand in another text by chance.
pub fn personal<'a>(
    rows: impl IntoIterator<Item = &'a Map<String, Value>>,
    rules: &[(&str, Rule)],
) -> BTreeSet<String> {
    let hidden: Vec<&str> =
        rules.iter().filter(|(_, rule)| *rule != Rule::Passthrough).map(|(name, _)| *name).collect();
    let values = rows.into_iter().flat_map(|row| hidden.iter().filter_map(|column| row.get(*column)));
    let texts = values.filter_map(|value| match value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    });
    texts.filter(|text| text.len() >= 6 && !text.starts_with("__debezium")).collect()
}
