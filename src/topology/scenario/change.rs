//! `change:`, the short form of a Debezium envelope: what matters of it, and the rest as Debezium would write it.

use super::json::Json;
use super::read::number;
use crate::topology::reader::Reader;
use crate::topology::yaml::{Entry, Value};

const KNOWN: [&str; 10] =
    ["op", "before", "after", "lsn", "commit", "ts_us", "snapshot", "database", "schema", "table"];

const OPS: &[(&str, &str)] = &[("c", "c"), ("u", "u"), ("d", "d"), ("r", "r"), ("t", "t"), ("m", "m")];

const SNAPSHOTS: &[(&str, &str)] = &[
    ("false", "false"),
    ("true", "true"),
    ("first", "first"),
    ("first_in_data_collection", "first_in_data_collection"),
    ("last_in_data_collection", "last_in_data_collection"),
    ("last", "last"),
    ("incremental", "incremental"),
];

/// 2026-01-01, so that a change without a time has one that follows its LSN.
const BEGINNING_US: u64 = 1_767_225_600_000_000;

/// The envelope's text. `topic` names the table where the change does not.
pub(super) fn read(reader: &mut Reader<'_>, section: &Entry, topic: &str) -> Option<Vec<u8>> {
    let fields = reader.fields(&section.value, section.key_span, "`change`", &KNOWN)?;
    let lsn: Option<u64> =
        match fields.require(reader, "lsn", "its place in the log of the database, such as `lsn: 100`") {
            // A change without a position says so.
            Some(entry) if entry.value.is_blank() => None,
            Some(entry) => Some(number(reader, entry, "`lsn`", |_| true, "expected a whole number")?),
            None => return None,
        };
    let mut whole = |name: &str| match fields.get(name) {
        Some(entry) => number(reader, entry, &format!("`{name}`"), |_| true, "expected a whole number").map(Some),
        None => Some(None),
    };
    // The last commit before it: the position right below, as if every change had a transaction of its own.
    let commit = whole("commit")?.or(lsn.map(|lsn| lsn.saturating_sub(1)));
    let ts_us = whole("ts_us")?.unwrap_or_else(|| BEGINNING_US.saturating_add(lsn.unwrap_or(0).saturating_mul(1000)));
    let mut row = |name: &str| match fields.get(name) {
        Some(entry) if matches!(entry.value.value, Value::Map(_)) || entry.value.is_blank() => {
            Some(Some(Json::of_yaml(&entry.value)))
        }
        Some(entry) => {
            let found = format!("found {}", entry.value.kind());
            reader.error("wrong-type", entry.value.span, format!("`{name}` must be a mapping of columns"), found);
            None
        }
        None => Some(None),
    };
    let (before, after) = (row("before")?, row("after")?);
    let op = match fields.get("op") {
        Some(entry) => reader.choice(&entry.value, entry.key_span, "`op`", OPS)?,
        None if after.is_some() => "u",
        None if before.is_some() => "d",
        None => {
            reader.error(
                "missing-field",
                fields.at,
                "the change has no row",
                "`after: { … }`, or of a delete `before`",
            );
            return None;
        }
    };
    let snapshot = match fields.get("snapshot") {
        Some(entry) => reader.choice(&entry.value, entry.key_span, "`snapshot`", SNAPSHOTS)?,
        None if op == "r" => "true",
        None => "false",
    };
    let mut name = |field: &str, default: &str| match fields.get(field) {
        Some(entry) => reader.scalar(&entry.value, entry.key_span, &format!("`{field}`")).map(str::to_owned),
        None => Some(default.to_owned()),
    };
    let (database, schema) = (name("database", "test")?, name("schema", "public")?);
    let table = name("table", topic.rsplit('.').next().unwrap_or(topic))?;
    let initial = snapshot != "false" && snapshot != "incremental";
    // Incremental reads carry their position in the sequence only, initial ones know no commit.
    let sequence = [commit.filter(|_| !initial || fields.get("commit").is_some()), lsn];
    let source = Json::Object(vec![
        ("connector".into(), text("postgresql")),
        ("name".into(), text(&database)),
        ("ts_ms".into(), Json::Number((ts_us / 1000).to_string())),
        ("snapshot".into(), text(snapshot)),
        ("db".into(), text(&database)),
        ("sequence".into(), sequence_text(sequence)),
        ("ts_us".into(), Json::Number(ts_us.to_string())),
        ("schema".into(), text(&schema)),
        ("table".into(), text(&table)),
        ("lsn".into(), optional(lsn.filter(|_| snapshot != "incremental"))),
    ]);
    let envelope = Json::Object(vec![
        ("before".into(), before.unwrap_or(Json::Null)),
        ("after".into(), after.unwrap_or(Json::Null)),
        ("source".into(), source),
        ("op".into(), text(op)),
        ("ts_ms".into(), Json::Number((ts_us / 1000).to_string())),
    ]);
    Some(envelope.to_string().into_bytes())
}

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

fn optional(number: Option<u64>) -> Json {
    number.map_or(Json::Null, |number| Json::Number(number.to_string()))
}

/// `"[\"90\",\"100\"]"`: a list of strings within a string.
fn sequence_text(sequence: [Option<u64>; 2]) -> Json {
    let each = |number: Option<u64>| number.map_or(Json::Null, |number| Json::Text(number.to_string()));
    match sequence {
        [None, None] => Json::Null,
        both => Json::Text(Json::Array(both.into_iter().map(each).collect()).to_string()),
    }
}
