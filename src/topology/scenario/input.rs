//! `input:`, the records and what happens between them.

use std::collections::BTreeMap;

use super::read::{Partitions, number, text};
use super::{Crash, Input, Step, change, fixture, json};
use crate::topology::reader::{Fields, Reader, list, nearest};
use crate::topology::yaml::{Entry, Node, Span, Value};
use crate::topology::{Source, Topology, names};

const RECORD: [&str; 7] = ["topic", "partition", "key", "value", "change", "headers", "timestamp"];
const REWIND: [&str; 3] = ["topic", "partition", "offset"];
const STEPS: [&str; 4] = ["restart", "crash", "lose_state", "rewind"];
const CRASHES: &[(&str, Crash)] =
    &[("in_transaction", Crash::InTransaction), ("true", Crash::InTransaction), ("after_commit", Crash::AfterCommit)];

/// The steps, and the source topics with their partitions.
pub(super) struct Read {
    pub steps: Vec<Step>,
    pub topics: BTreeMap<String, i32>,
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    section: &Entry,
    partitions: &Partitions,
    topology: Option<&Topology>,
) -> Read {
    let mut items = Items { partitions, topology, steps: Vec::new(), topics: BTreeMap::new() };
    for stream in topology.into_iter().flat_map(|topology| &topology.streams) {
        if let Source::Topics(topics) = &stream.source {
            topics.iter().for_each(|topic| items.meet(topic, 0));
        }
    }
    let nodes = reader.seq(&section.value, section.key_span, "`input`").unwrap_or_default();
    if nodes.is_empty() && matches!(section.value.value, Value::Seq(_)) {
        reader.error("blank", section.key_span, "`input` lists nothing", "nothing goes in, so nothing can come out");
    }
    nodes.iter().for_each(|node| items.read(reader, node));
    for (topic, (_, at)) in &partitions.of {
        if !items.topics.contains_key(topic) && topology.is_some() {
            let names = list(items.topics.keys().map(String::as_str));
            let label = match nearest(topic, items.topics.keys().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("there are {names}"),
            };
            reader.error("unknown-topic", *at, format!("`{topic}` is no source topic of the scenario"), label);
        }
    }
    Read { steps: items.steps, topics: items.topics }
}

struct Items<'a> {
    partitions: &'a Partitions,
    topology: Option<&'a Topology>,
    steps: Vec<Step>,
    topics: BTreeMap<String, i32>,
}

impl Items<'_> {
    fn read(&mut self, reader: &mut Reader<'_>, node: &Node) {
        let named = |name: &str| match &node.value {
            Value::Map(entries) => entries.iter().any(|entry| entry.key == name),
            Value::Scalar { text, .. } => text == name,
            Value::Seq(_) => false,
        };
        if named("fixture") {
            self.read_fixture(reader, node);
        } else if let Some(step) = STEPS.iter().find(|step| named(step)) {
            self.read_step(reader, node, step);
        } else if RECORD.iter().any(|field| named(field)) && matches!(node.value, Value::Map(_)) {
            self.read_record(reader, node);
        } else {
            let given = match &node.value {
                Value::Map(entries) => entries.first().map_or("", |entry| entry.key.as_str()),
                Value::Scalar { text, .. } => text.as_str(),
                Value::Seq(_) => "",
            };
            let known = STEPS.iter().chain(&["fixture", "topic"]).copied();
            let label = match nearest(given, known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!(
                    "expected a record (`topic`, `key`, `value` …), or one of fixture, {}",
                    list(STEPS.into_iter())
                ),
            };
            reader.error("input", node.span, "this is neither a record nor a step", label);
        }
    }

    fn read_record(&mut self, reader: &mut Reader<'_>, node: &Node) {
        let Some(fields) = reader.fields(node, node.span, "a record", &RECORD) else { return };
        let topic = self.topic(reader, fields, "the topic that the record is written to");
        let value = match (fields.get("value"), fields.get("change")) {
            (Some(entry), None) => Some(json::bytes_of(&entry.value)),
            (None, Some(entry)) => change::read(reader, entry, topic.as_deref().unwrap_or_default()).map(Some),
            (Some(_), Some(change)) => {
                let label = "`change` is short for a `value`: give one of the two";
                reader.error("conflict", change.key_span, "`value` and `change` exclude each other", label);
                None
            }
            (None, None) => {
                let label = "`change: …`, `value: …`, or `value: null` for a tombstone";
                fields.require(reader, "value", label);
                None
            }
        };
        let mut whole = |name: &str| match fields.get(name) {
            Some(entry) => {
                number(reader, entry, &format!("`{name}`"), |n: &i64| *n >= 0, "expected a number from 0 up").map(Some)
            }
            None => Some(None),
        };
        let (partition, timestamp) = (whole("partition"), whole("timestamp"));
        let partition = match (&topic, partition) {
            (Some(topic), Some(partition)) => self.place(reader, topic, partition, fields),
            _ => None,
        };
        let headers = fields.get("headers").map(|entry| read_headers(reader, entry)).unwrap_or_default();
        let key = fields.get("key").and_then(|entry| json::bytes_of(&entry.value));
        let (Some(topic), Some(value), Some(partition), Some(timestamp)) = (topic, value, partition, timestamp) else {
            return;
        };
        self.write([Input { topic, partition, key, value, headers, timestamp }]);
    }

    /// A topic that some stream reads.
    fn topic(&mut self, reader: &mut Reader<'_>, fields: Fields<'_>, what: &str) -> Option<String> {
        let entry = fields.require(reader, "topic", what)?;
        let topic = text(reader, &entry.value, entry.key_span, "`topic`")?;
        if let Err(label) = names::topic(&topic) {
            reader.error("topic-name", entry.value.span, format!("`{topic}` cannot be a topic"), label);
            return None;
        }
        self.is_read(reader, &topic, entry.value.span)?;
        self.meet(&topic, 0);
        Some(topic)
    }

    /// An unread topic is a slip: its records would vanish without a word.
    fn is_read(&self, reader: &mut Reader<'_>, topic: &str, at: Span) -> Option<()> {
        let Some(topology) = self.topology else { return Some(()) };
        if topology.reader_of(topic).is_some() {
            return Some(());
        }
        let read = topology.streams.iter().flat_map(|stream| match &stream.source {
            Source::Topics(topics) => topics.iter().map(String::as_str).collect(),
            Source::Pattern(_) => Vec::new(),
        });
        let read: Vec<&str> = read.collect();
        let patterns = topology.streams.iter().filter_map(|stream| stream.source.pattern());
        let label = match nearest(topic, read.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("streams read {}", list(read.iter().copied().chain(patterns))),
        };
        reader.error("unknown-topic", at, format!("no stream reads `{topic}`"), label);
        None
    }

    /// The partition, if the topic has it. The outer `None` is an error that has been reported.
    fn place(
        &mut self,
        reader: &mut Reader<'_>,
        topic: &str,
        partition: Option<i64>,
        fields: Fields<'_>,
    ) -> Option<Option<i32>> {
        let Some(partition) = partition else { return Some(None) };
        let given = self.partitions.of.get(topic).map(|(number, _)| *number).or(self.partitions.all);
        let most = given.unwrap_or(1000);
        if partition >= i64::from(most) {
            let at = fields.get("partition").map_or(fields.at, |entry| entry.value.span);
            let label = format!("`{topic}` has {most}, counted from 0");
            reader.error("bad-value", at, format!("there is no partition {partition}"), label);
            return None;
        }
        let partition = i32::try_from(partition).ok()?;
        self.meet(topic, partition);
        Some(Some(partition))
    }

    /// A topic has the partitions that the scenario gives it, or as many as its records name.
    fn meet(&mut self, topic: &str, partition: i32) {
        let given = self.partitions.of.get(topic).map(|(number, _)| *number).or(self.partitions.all);
        let number = self.topics.entry(topic.to_owned()).or_insert(given.unwrap_or(1));
        *number = given.unwrap_or((*number).max(partition + 1));
    }

    fn write(&mut self, records: impl IntoIterator<Item = Input>) {
        match self.steps.last_mut() {
            Some(Step::Write(before)) => before.extend(records),
            _ => self.steps.push(Step::Write(records.into_iter().collect())),
        }
    }

    fn read_fixture(&mut self, reader: &mut Reader<'_>, node: &Node) {
        let Some(fields) = reader.fields(node, node.span, "a fixture", &fixture::KNOWN) else { return };
        let Some(records) = fixture::read(reader, fields, self.topology) else { return };
        for record in &records {
            let given = self.partitions.of.get(&record.topic).map(|(number, _)| *number).or(self.partitions.all);
            let partition = record.partition.unwrap_or(0);
            if partition < 0 || given.is_some_and(|given| partition >= given) {
                let message = format!("the fixture has a record in partition {partition} of {}", record.topic);
                let label = "leave `partitions` out, and the topic has as many as it needs";
                reader.error("bad-value", fields.at, message, label);
                return;
            }
            self.meet(&record.topic, partition);
        }
        self.write(records);
    }

    fn read_step(&mut self, reader: &mut Reader<'_>, node: &Node, step: &'static str) {
        // `- restart` is short for `- restart: true`.
        let entry = match &node.value {
            Value::Map(entries) => match &entries[..] {
                [entry] => Some(entry),
                _ => {
                    let label = "is a `- ` or a deeper indent missing?";
                    reader.error("input", node.span, format!("`{step}` stands alone"), label);
                    return;
                }
            },
            _ => None,
        };
        let is_true = |reader: &mut Reader<'_>| match entry {
            Some(entry) => reader.choice(&entry.value, entry.key_span, &format!("`{step}`"), &[("true", ())]),
            None => Some(()),
        };
        let step = match step {
            "restart" => is_true(reader).map(|()| Step::Restart),
            "lose_state" => is_true(reader).map(|()| Step::LoseState),
            "crash" => match entry {
                Some(entry) => reader.choice(&entry.value, entry.key_span, "`crash`", CRASHES),
                None => Some(Crash::InTransaction),
            }
            .map(Step::Crash),
            _ => match entry {
                Some(entry) => self.read_rewind(reader, entry),
                None => {
                    reader.error("input", node.span, "`rewind` needs a topic", "`rewind: { topic: TOPIC, offset: 0 }`");
                    None
                }
            },
        };
        self.steps.extend(step);
    }

    /// `rewind: TOPIC`, or `rewind: { topic: TOPIC, partition: 0, offset: 7 }`.
    fn read_rewind(&mut self, reader: &mut Reader<'_>, entry: &Entry) -> Option<Step> {
        if let Value::Scalar { text, .. } = &entry.value.value
            && !entry.value.is_blank()
        {
            self.is_read(reader, text, entry.value.span)?;
            self.meet(text, 0);
            return Some(Step::Rewind { topic: text.clone(), partition: None, offset: 0 });
        }
        let fields = reader.fields(&entry.value, entry.key_span, "`rewind`", &REWIND)?;
        let topic = self.topic(reader, fields, "the topic that is read again")?;
        let mut whole = |name: &str| match fields.get(name) {
            Some(entry) => {
                number(reader, entry, &format!("`{name}`"), |n: &i64| *n >= 0, "expected a number from 0 up").map(Some)
            }
            None => Some(None),
        };
        let (partition, offset) = (whole("partition")?, whole("offset")?.unwrap_or(0));
        let partition = self.place(reader, &topic, partition, fields)?;
        Some(Step::Rewind { topic, partition, offset })
    }
}

/// Names with their values. A header without a value says `null`.
fn read_headers(reader: &mut Reader<'_>, section: &Entry) -> Vec<(String, Option<Vec<u8>>)> {
    let entries = reader.map(&section.value, section.key_span, "`headers`").unwrap_or_default();
    entries.iter().map(|entry| (entry.key.clone(), json::bytes_of(&entry.value))).collect()
}
