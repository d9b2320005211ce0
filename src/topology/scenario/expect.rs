//! `expect:`, what must come of the input.

use std::collections::{BTreeMap, BTreeSet};

use super::json::{Content, Json, bytes_of};
use super::read::{number, text};
use super::{Absent, Count, DeadLetters, Expect, Keys, Metric, Order, Output, Row, Stated, Wanted, series};
use crate::record::Reason;
use crate::topology::fields::BOOLEANS;
use crate::topology::reader::{Fields, Reader, list, nearest};
use crate::topology::yaml::{Entry, Node, Span, Value};
use crate::topology::{OnError, Topology};

const KNOWN: [&str; 10] =
    ["output", "order", "count", "absent", "dead_letters", "state", "metrics", "never", "stops", "strict"];
const ROW: [&str; 5] = ["key", "value", "contains", "absent", "headers"];
/// The fields of a dead letter, as the engine writes them.
const LETTER: [&str; 8] = ["application", "stream", "topic", "topic_id", "partition", "offset", "reason", "detail"];
const ORDERS: &[(&str, Order)] = &[("per_key", Order::PerKey), ("exact", Order::Exact), ("any", Order::Any)];

/// `known`: the topology with the source topics of the scenario, where both could be read.
pub(super) fn read(
    reader: &mut Reader<'_>,
    section: &Entry,
    known: Option<(&Topology, &BTreeMap<String, i32>)>,
) -> Option<Expect> {
    let fields = reader.fields(&section.value, section.key_span, "`expect`", &KNOWN)?;
    if fields.entries.is_empty() {
        reader.error("blank", section.key_span, "`expect` says nothing", "a scenario that expects nothing cannot fail");
    }
    let names = known.map(|(topology, sources)| Names::of(topology, sources));
    let mut expect = Expect { strict: true, ..Expect::default() };
    let choice = |reader: &mut Reader<'_>, entry: &Entry, choices| {
        reader.choice(&entry.value, entry.key_span, &format!("`{}`", entry.key), choices)
    };
    if let Some(entry) = fields.get("order") {
        expect.order = reader.choice(&entry.value, entry.key_span, "`order`", ORDERS).unwrap_or_default();
    }
    if let Some(entry) = fields.get("strict") {
        expect.strict = choice(reader, entry, BOOLEANS).unwrap_or(true);
    }
    for entry in within(reader, fields, "output") {
        topic(reader, names.as_ref(), &entry.key, entry.key_span);
        let rows = rows(reader, entry, expect.order);
        expect.output.push(Output { topic: entry.key.clone(), line: entry.key_span.line, rows });
    }
    for entry in within(reader, fields, "count") {
        topic(reader, names.as_ref(), &entry.key, entry.key_span);
        if let Some(rows) = number(reader, entry, "a number of rows", |_| true, "expected a whole number") {
            expect.counts.push(Count { topic: entry.key.clone(), rows, line: entry.key_span.line });
        }
    }
    for entry in within(reader, fields, "absent") {
        topic(reader, names.as_ref(), &entry.key, entry.key_span);
        let columns = columns(reader, entry);
        expect.absent.push(Absent { topic: entry.key.clone(), columns, line: entry.key_span.line });
    }
    if let Some(entry) = fields.get("dead_letters") {
        expect.dead_letters = read_dead_letters(reader, entry, names.as_ref())?;
    }
    for entry in within(reader, fields, "state") {
        expect.state.extend(read_keys(reader, entry, names.as_ref()));
    }
    for entry in within(reader, fields, "metrics") {
        expect.metrics.extend(read_metric(reader, entry, names.as_ref()));
    }
    if let Some(entry) = fields.get("never") {
        let items = reader.seq(&entry.value, entry.key_span, "`never`").unwrap_or_default();
        for item in items {
            let text = text(reader, item, item.span, "a text that must occur nowhere");
            expect.never.extend(text.map(|value| Stated { value, line: item.span.line }));
        }
    }
    if let Some(entry) = fields.get("stops") {
        let text = text(reader, &entry.value, entry.key_span, "`stops`")?;
        expect.stops = Some(Stated { value: text, line: entry.key_span.line });
    }
    Some(expect)
}

/// The entries of a section whose names are the user's; none where it is not there.
fn within<'n>(reader: &mut Reader<'_>, fields: Fields<'n>, name: &str) -> &'n [Entry] {
    let Some(entry) = fields.get(name) else { return &[] };
    reader.map(&entry.value, entry.key_span, &format!("`{name}`")).unwrap_or_default()
}

/// What an expectation may name.
struct Names {
    topics: BTreeSet<String>,
    streams: BTreeSet<String>,
    /// Those with a store.
    stores: BTreeSet<String>,
}

impl Names {
    fn of(topology: &Topology, sources: &BTreeMap<String, i32>) -> Self {
        let mut topics = BTreeSet::new();
        for stream in &topology.streams {
            topics.extend(sources.keys().filter_map(|source| stream.target_for(source)));
            topics.extend(stream.targets().into_iter().filter(|topic| !topic.contains('{')).map(str::to_owned));
            if let OnError::DeadLetter { topic } = &stream.on_error {
                topics.insert(topic.clone());
            }
        }
        let names = |has: fn(&crate::topology::Stream) -> bool| {
            topology.streams.iter().filter(|stream| has(stream)).map(|stream| stream.name.clone()).collect()
        };
        Self { topics, streams: names(|_| true), stores: names(|stream| stream.dedup.is_some()) }
    }
}

/// A name that does not exist would make an expectation that nothing can meet, or nothing can break.
fn known(reader: &mut Reader<'_>, names: &BTreeSet<String>, given: &str, at: Span, message: String) {
    if names.contains(given) {
        return;
    }
    let label = match nearest(given, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "there is none".to_owned(),
        None => format!("there are {}", list(names.iter().map(String::as_str))),
    };
    reader.error("unknown-name", at, message, label);
}

fn topic(reader: &mut Reader<'_>, names: Option<&Names>, given: &str, at: Span) {
    if let Some(names) = names {
        known(reader, &names.topics, given, at, format!("nothing of this scenario is written to `{given}`"));
    }
}

fn rows(reader: &mut Reader<'_>, section: &Entry, order: Order) -> Vec<Row> {
    let items = reader.seq(&section.value, section.key_span, "the rows of a topic").unwrap_or_default();
    items.iter().filter_map(|item| row(reader, item, order)).collect()
}

fn row(reader: &mut Reader<'_>, node: &Node, order: Order) -> Option<Row> {
    let fields = reader.fields(node, node.span, "a row", &ROW)?;
    let key = fields.get("key").map(|entry| content(&entry.value));
    if key.is_none() && order == Order::PerKey {
        let label = "give it, `key: null` for a table without one; or say `order: any`";
        fields.require(reader, "key", label);
    }
    let value = match (fields.get("value"), fields.get("contains")) {
        (Some(entry), None) => Wanted::Exactly(content(&entry.value)),
        (None, Some(entry)) => match Json::of_yaml(&entry.value) {
            Json::Object(members) => Wanted::Columns(members),
            _ => {
                let found = format!("found {}", entry.value.kind());
                reader.error("wrong-type", entry.value.span, "`contains` must be a mapping of columns", found);
                return None;
            }
        },
        (Some(_), Some(contains)) => {
            let label = "`value` is all of the row, `contains` a part of it";
            reader.error("conflict", contains.key_span, "`value` and `contains` exclude each other", label);
            return None;
        }
        (None, None) => Wanted::Any,
    };
    let absent = fields.get("absent").map(|entry| columns(reader, entry)).unwrap_or_default();
    let headers = match fields.get("headers") {
        Some(entry) => Some(read_headers(reader, entry)?),
        None => None,
    };
    Some(Row { line: node.span.line, key, value, absent, headers })
}

fn content(node: &Node) -> Content {
    Content::of(bytes_of(node).as_deref())
}

fn columns(reader: &mut Reader<'_>, section: &Entry) -> Vec<String> {
    let items = reader.seq(&section.value, section.key_span, "`absent`").unwrap_or_default();
    items.iter().filter_map(|item| text(reader, item, item.span, "a column")).collect()
}

fn read_headers(reader: &mut Reader<'_>, section: &Entry) -> Option<Vec<(String, Option<String>)>> {
    let entries = reader.map(&section.value, section.key_span, "`headers`")?;
    let value = |node: &Node| bytes_of(node).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Some(entries.iter().map(|entry| (entry.key.clone(), value(&entry.value))).collect())
}

/// `any`, or a list of letters, each by some of its fields.
fn read_dead_letters(reader: &mut Reader<'_>, section: &Entry, names: Option<&Names>) -> Option<DeadLetters> {
    if matches!(section.value.value, Value::Scalar { .. }) && !section.value.is_blank() {
        return reader
            .choice(&section.value, section.key_span, "`dead_letters`", &[("any", ())])
            .map(|()| DeadLetters::Any);
    }
    let items = reader.seq(&section.value, section.key_span, "`dead_letters`")?;
    let mut letters = Vec::new();
    for item in items {
        let Some(fields) = reader.fields(item, item.span, "a dead letter", &LETTER) else { continue };
        if let Some(entry) = fields.get("reason") {
            let reasons: Vec<_> = Reason::ALL.iter().map(|reason| (reason.as_str(), ())).collect();
            reader.choice(&entry.value, entry.key_span, "`reason`", &reasons);
        }
        if let (Some(entry), Some(names)) = (fields.get("stream"), names)
            && let Some(stream) = text(reader, &entry.value, entry.key_span, "`stream`")
        {
            known(reader, &names.streams, &stream, entry.value.span, format!("there is no stream `{stream}`"));
        }
        let members = fields.entries.iter().map(|entry| (entry.key.clone(), Json::of_yaml(&entry.value))).collect();
        letters.push(Stated { value: members, line: item.span.line });
    }
    Some(DeadLetters::Listed(letters))
}

/// `customers: 3`, or `customers: { keys: 3 }`.
fn read_keys(reader: &mut Reader<'_>, entry: &Entry, names: Option<&Names>) -> Option<Keys> {
    if let Some(names) = names {
        let message = format!("there is no stream `{}` with a store", entry.key);
        known(reader, &names.stores, &entry.key, entry.key_span, message);
    }
    let counted = match &entry.value.value {
        Value::Map(_) => {
            let fields = reader.fields(&entry.value, entry.key_span, "the state of a stream", &["keys"])?;
            fields.require(reader, "keys", "the number of keys whose position the store holds")?
        }
        _ => entry,
    };
    let keys = number(reader, counted, "a number of keys", |_| true, "expected a whole number")?;
    Some(Keys { stream: entry.key.clone(), keys, line: entry.key_span.line })
}

fn read_metric(reader: &mut Reader<'_>, entry: &Entry, names: Option<&Names>) -> Option<Metric> {
    let series = match series::parse(&entry.key) {
        Ok(series) => series,
        Err((message, label)) => {
            reader.error("unknown-metric", entry.key_span, message, label);
            return None;
        }
    };
    if let (Some((_, stream)), Some(names)) = (series.labels.iter().find(|(label, _)| label == "stream"), names) {
        known(reader, &names.streams, stream, entry.key_span, format!("there is no stream `{stream}`"));
    }
    let value = number(reader, entry, "a metric", |value: &f64| value.is_finite(), "expected a number")?;
    let line = entry.key_span.line;
    Some(Metric { series: entry.key.clone(), name: series.name, labels: series.labels, value, line })
}
