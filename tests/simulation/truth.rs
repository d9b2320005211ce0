//! What must have come out, computed from the source topics alone, and whether it did.

use std::collections::{BTreeMap, BTreeSet};

use highwater::log::{TopicId, TopicPartition};
use highwater::operators::dedup::{Entry, Highest};
use highwater::store::{Checkpoint, layout};
use serde_json::{Map, Value};

use crate::shadow::Shadow;
use crate::support::Read;
use crate::support::oracle::{self, Input, Outcome, Rule};

pub const SOURCE: &str = "in";
pub const TARGET: &str = "out";
pub const RAW_SOURCE: &str = "raw.in";
pub const RAW_TARGET: &str = "raw.out";
pub const DEAD: &str = "dead";
pub const CHANGELOG: &str = "sim-rows-in-changelog";
/// How the address of a row begins that the filter lets through.
pub const PASSES: &str = "u1";
pub const SALT: &str = "a salt of the simulation";
const RULES: [(&str, Rule); 1] = [("email", Rule::Hash)];

/// Offsets that were processed in one go, from where a reader began to where it was set elsewhere.
struct Span {
    from: i64,
    to: Option<i64>,
}

/// One life of a source partition: a topic that is deleted and made anew begins another.
#[derive(Default)]
struct Incarnation {
    reads: Vec<Read>,
    spans: Vec<Span>,
}

type Row = Map<String, Value>;

/// By topic and key the rows in their order, those without a key under ""; references of dead letters.
#[derive(Debug, Default, PartialEq)]
pub struct Output {
    rows: BTreeMap<(String, String), Vec<Row>>,
    dead: Vec<String>,
}

pub struct Truth {
    filtered: bool,
    partitions: BTreeMap<TopicPartition, Vec<Incarnation>>,
}

impl Truth {
    pub fn new(filtered: bool) -> Self {
        Self { filtered, partitions: BTreeMap::new() }
    }

    fn last(&mut self, tp: &TopicPartition) -> &mut Incarnation {
        let all = self.partitions.entry(tp.clone()).or_default();
        if all.is_empty() {
            all.push(Incarnation { reads: Vec::new(), spans: vec![Span { from: 0, to: None }] });
        }
        let last = all.len() - 1;
        &mut all[last]
    }

    /// What the source topics hold by now.
    pub fn sees(&mut self, sources: &Shadow) {
        for (tp, reads) in sources.records.iter() {
            let last = self.last(tp);
            let known = last.reads.last().map_or(-1, |read| read.offset);
            last.reads.extend(reads.iter().filter(|read| read.offset > known).cloned());
        }
    }

    /// An operator sets the group from `at` to `to`.
    pub fn moved(&mut self, tp: &TopicPartition, at: i64, to: i64) {
        let spans = &mut self.last(tp).spans;
        if let Some(open) = spans.last_mut() {
            open.to = Some(at);
        }
        spans.push(Span { from: to, to: None });
    }

    /// The topic was deleted when the group was at `at`, and made anew.
    pub fn recreated(&mut self, tp: &TopicPartition, at: i64) {
        if let Some(open) = self.last(tp).spans.last_mut() {
            open.to = Some(at);
        }
        let fresh = Incarnation { reads: Vec::new(), spans: vec![Span { from: 0, to: None }] };
        self.partitions.entry(tp.clone()).or_default().push(fresh);
    }

    /// Outputs, stores and changelogs were thrown away, and the group begins at the beginning.
    pub fn start_over(&mut self, beginning: &BTreeMap<TopicPartition, i64>) {
        for (tp, incarnations) in &mut self.partitions {
            if let Some(mut last) = incarnations.pop() {
                let from = beginning.get(tp).copied().unwrap_or(0);
                last.spans = vec![Span { from, to: None }];
                *incarnations = vec![last];
            }
        }
    }

    pub fn records(&self) -> usize {
        self.partitions.values().flatten().map(|incarnation| incarnation.reads.len()).sum()
    }

    /// What must become of a partition that was processed up to an offset.
    fn outcome(&self, tp: &TopicPartition, to: i64) -> Outcome {
        let keyed = &*tp.topic == SOURCE;
        let incarnations = self.partitions.get(tp).into_iter().flatten();
        let inputs = incarnations.map(|incarnation| {
            let spans = incarnation.spans.iter().flat_map(|span| {
                let end = span.to.unwrap_or(to);
                incarnation.reads.iter().filter(move |read| (span.from..end).contains(&read.offset))
            });
            let inputs = spans.map(Input::from);
            // Without `dedup` a key is a column among others.
            inputs.map(|input| if keyed { input } else { Input { key: None, ..input } }).collect()
        });
        oracle::judge_incarnations(inputs)
    }

    pub fn expected(&self, committed: &BTreeMap<TopicPartition, i64>) -> Output {
        let mut output = Output::default();
        for tp in self.partitions.keys() {
            let outcome = self.outcome(tp, committed.get(tp).copied().unwrap_or(0));
            let keyed = &*tp.topic == SOURCE;
            let (target, rules): (&str, &[(&str, Rule)]) = if keyed { (TARGET, &RULES) } else { (RAW_TARGET, &[]) };
            let mut sent = BTreeSet::new();
            for change in &outcome.accepted {
                let key = change.key.as_ref().map(Value::to_string).unwrap_or_default();
                let mut row = oracle::output(change, rules, SALT);
                if keyed && self.filtered {
                    let passes = change.row["email"].as_str().is_some_and(|email| email.starts_with(PASSES));
                    let had = sent.remove(&key);
                    match (passes, change.deleted, key.is_empty()) {
                        // What was sent and passes no more, or is gone, is taken back.
                        (false, false, false) | (_, true, false) if had => {
                            drop(row.insert("_deleted".into(), 1.into()))
                        }
                        (true, false, false) => drop(sent.insert(key.clone())),
                        (true, _, true) => {}
                        _ => continue,
                    }
                }
                output.rows.entry((target.to_string(), key)).or_default().push(row);
            }
            output.dead.extend(outcome.bad.iter().map(|offset| format!("{tp}@{offset}")));
        }
        output.sorted()
    }

    /// By store partition, the versions that its keys must have.
    fn versions(&self, tp: &TopicPartition, to: i64) -> Vec<u64> {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        for change in self.outcome(tp, to).accepted {
            if let Some(key) = change.key {
                last.insert(key.to_string(), change.cdc_lsn);
            }
        }
        let mut versions: Vec<u64> = last.into_values().collect();
        versions.sort_unstable();
        versions
    }

    /// Whether the changelog, taken as a whole, holds what the processed changes left.
    pub fn check_changelog(
        &self,
        changelogs: &Shadow,
        committed: &BTreeMap<TopicPartition, i64>,
    ) -> Result<(), String> {
        for tp in self.partitions.keys().filter(|tp| &*tp.topic == SOURCE) {
            let log = TopicPartition::new(CHANGELOG, tp.partition);
            let state = folded(changelogs.records.get(&log).map_or(&[], Vec::as_slice), i64::MAX);
            let entries = state.iter().filter(|(key, _)| layout::is_data(key));
            let mut versions = Vec::new();
            for (_, value) in entries {
                let entry = Entry::decode(value).ok_or_else(|| format!("{log}: an entry that is none"))?;
                versions.push(entry.version);
            }
            versions.sort_unstable();
            let expected = self.versions(tp, committed.get(tp).copied().unwrap_or(0));
            if versions != expected {
                return Err(format!("{log}: its keys have the versions {versions:?}, not {expected:?}"));
            }
        }
        Ok(())
    }
}

/// What is left of changelog records up to an offset.
fn folded(records: &[Read], to: i64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut state = BTreeMap::new();
    for read in records.iter().filter(|read| read.offset <= to) {
        let key = read.key.clone().unwrap_or_default();
        match &read.value {
            Some(value) => drop(state.insert(key, value.clone())),
            None => drop(state.remove(&key)),
        }
    }
    state
}

/// Whether a store holds exactly what its changelog held up to its checkpoint. One of another changelog is old: whoever
/// opens it rebuilds it.
pub fn check_store(
    name: &str,
    bytes: &BTreeMap<Vec<u8>, Vec<u8>>,
    changelogs: &Shadow,
    id: &TopicId,
) -> Result<(), String> {
    let Some(checkpoint) = bytes.get(layout::CHECKPOINT).and_then(|bytes| Checkpoint::decode(bytes)) else {
        return if bytes.is_empty() { Ok(()) } else { Err(format!("store {name} has data and no checkpoint")) };
    };
    if checkpoint.topic_id != *id {
        return Ok(());
    }
    let partition = name.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
    let partition: i32 = partition.ok_or_else(|| format!("store {name} has no number"))?;
    let records = changelogs.records.get(&TopicPartition::new(CHANGELOG, partition));
    let expected = folded(records.map_or(&[], Vec::as_slice), checkpoint.offset);
    let mut held = bytes.clone();
    held.remove(layout::CHECKPOINT);
    let mark = held.remove(layout::MARK).ok_or_else(|| format!("store {name} has no mark"))?;
    let highest =
        mark.get(8..).and_then(Highest::decode).ok_or_else(|| format!("the mark of store {name} is unreadable"))?;
    let entries = held.iter().filter(|(key, _)| layout::is_data(key)).filter_map(|(_, value)| Entry::decode(value));
    let mut raised = highest;
    entries.for_each(|entry| raised.raise(&entry));
    if raised != highest {
        return Err(format!("the mark of store {name} is below one of its entries"));
    }
    if held != expected {
        return Err(format!(
            "store {name} at changelog offset {} holds {} keys, its changelog up to there {}, and they differ",
            checkpoint.offset,
            held.len(),
            expected.len()
        ));
    }
    Ok(())
}

impl Output {
    /// What readers of committed records have seen.
    pub fn seen(outputs: &Shadow) -> Result<Self, String> {
        let mut output = Self::default();
        for topic in [TARGET, RAW_TARGET] {
            for (tp, read) in outputs.of(topic) {
                let keyed = topic == TARGET;
                let key = read.key.as_ref().filter(|_| keyed).map(|key| String::from_utf8_lossy(key).into_owned());
                let value = read.value.as_deref().unwrap_or_default();
                let row = serde_json::from_slice(value).map_err(|e| format!("{tp}@{}: {e}", read.offset))?;
                output.rows.entry((topic.to_string(), key.unwrap_or_default())).or_default().push(row);
            }
        }
        for (_, read) in outputs.of(DEAD) {
            output.dead.push(String::from_utf8_lossy(read.key.as_deref().unwrap_or_default()).into_owned());
        }
        Ok(output.sorted())
    }

    /// Rows, and dead letters.
    pub fn counts(&self) -> (u64, u64) {
        (self.rows.values().map(|rows| rows.len() as u64).sum(), self.dead.len() as u64)
    }

    /// What has no order is sorted.
    fn sorted(mut self) -> Self {
        for ((_, key), rows) in &mut self.rows {
            if key.is_empty() {
                let number = |row: &Row, name: &str| row.get(name).and_then(Value::as_u64);
                rows.sort_by_cached_key(|row| ["n", "cdc_lsn", "_deleted"].map(|name| number(row, name)));
            }
        }
        self.dead.sort();
        self
    }

    /// Everything that must be there is, and nothing else.
    pub fn equals(&self, truth: &Output) -> Result<(), String> {
        for (key, rows) in &truth.rows {
            let seen = self.rows.get(key).map_or(&[][..], Vec::as_slice);
            if seen != rows {
                return Err(format!("{key:?}: {}", difference(seen, rows)));
            }
        }
        self.is_part_of(truth)?;
        if self.dead != truth.dead {
            return Err(format!("dead letters: {:?}, not {:?}", self.dead, truth.dead));
        }
        Ok(())
    }

    /// Nothing is there that must not be: of each key the first rows in their order. Others may be hidden behind a
    /// transaction that is still open.
    pub fn is_part_of(&self, truth: &Output) -> Result<(), String> {
        for (key, rows) in &self.rows {
            let expected = truth.rows.get(key).map_or(&[][..], Vec::as_slice);
            let right = if key.1.is_empty() { is_within(rows, expected) } else { expected.starts_with(rows) };
            if !right {
                return Err(format!("{key:?}: {}", difference(rows, expected)));
            }
        }
        let mut expected = truth.dead.clone();
        for letter in &self.dead {
            let at = expected.iter().position(|other| other == letter);
            let at = at.ok_or_else(|| format!("a dead letter too many: {letter}"))?;
            expected.swap_remove(at);
        }
        Ok(())
    }
}

fn is_within(rows: &[Row], expected: &[Row]) -> bool {
    let mut expected: Vec<&Row> = expected.iter().collect();
    rows.iter().all(|row| {
        let at = expected.iter().position(|other| *other == row);
        at.map(|at| expected.swap_remove(at)).is_some()
    })
}

fn difference(seen: &[Row], expected: &[Row]) -> String {
    let short = |rows: &[Row]| {
        let each = rows.iter().map(|row| format!("n{}@{}", row["n"], row["cdc_lsn"]));
        each.collect::<Vec<_>>().join(" ")
    };
    let kind = match (is_within(expected, seen), is_within(seen, expected)) {
        (true, true) => "reordered",
        (true, false) => "repeated",
        (false, true) => "lost",
        (false, false) => "wrong",
    };
    format!("{kind}: seen [{}], expected [{}]", short(seen), short(expected))
}
