//! `change:`, the short form of a Debezium envelope: what matters of it, and the rest as Debezium would write it.

use super::json::Json;
use super::read::number;
use crate::topology::reader::{Fields, Reader};
use crate::topology::yaml::{Entry, Value};

const KNOWN: [&str; 10] =
    ["op", "before", "after", "lsn", "commit", "ts_us", "snapshot", "database", "schema", "table"];

const OPS: [&str; 6] = ["c", "u", "d", "r", "t", "m"];

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
    // All of it is read before anything is given up, so that every error is seen.
    let lsn = match fields.require(reader, "lsn", "its place in the log of the database, such as `lsn: 100`") {
        // A change without a position says so.
        Some(entry) if entry.value.is_blank() => Some(None),
        Some(_) => whole(reader, fields, "lsn"),
        None => None,
    };
    let (commit, ts_us) = (whole(reader, fields, "commit"), whole(reader, fields, "ts_us"));
    let (before, after) = (row(reader, fields, "before"), row(reader, fields, "after"));
    let op = read_op(reader, fields, &before, &after);
    let snapshot = match fields.get("snapshot") {
        Some(entry) => reader.choice(&entry.value, entry.key_span, "`snapshot`", SNAPSHOTS),
        None if op == Some("r") => Some("true"),
        None => Some("false"),
    };
    let table = topic.rsplit('.').next().unwrap_or(topic);
    let [database, schema, table] =
        [("database", "test"), ("schema", "public"), ("table", table)].map(|(name, default)| match fields.get(name) {
            Some(entry) => reader.scalar(&entry.value, entry.key_span, &format!("`{name}`")).map(str::to_owned),
            None => Some(default.to_owned()),
        });
    let (lsn, commit, ts_us) = (lsn?, commit?, ts_us?);
    let ts_us = ts_us.unwrap_or_else(|| BEGINNING_US.saturating_add(lsn.unwrap_or(0).saturating_mul(1000)));
    let (database, snapshot, op) = (database?, snapshot?, op?);
    let streamed = snapshot == "false";
    // The last commit before it: right below, as if every change had a transaction of its own. Initial reads know none.
    let commit = commit.or(lsn.map(|lsn| lsn.saturating_sub(1)).filter(|_| streamed || snapshot == "incremental"));
    let source = Json::Object(vec![
        ("connector".into(), text("postgresql")),
        ("name".into(), text(&database)),
        ("ts_ms".into(), Json::Number((ts_us / 1000).to_string())),
        ("snapshot".into(), text(snapshot)),
        ("db".into(), text(&database)),
        ("sequence".into(), sequence([commit, lsn])),
        ("ts_us".into(), Json::Number(ts_us.to_string())),
        ("schema".into(), text(&schema?)),
        ("table".into(), text(&table?)),
        // Incremental reads carry their position in the sequence only.
        ("lsn".into(), optional(lsn.filter(|_| snapshot != "incremental"))),
    ]);
    let envelope = Json::Object(vec![
        ("before".into(), before?.unwrap_or(Json::Null)),
        ("after".into(), after?.unwrap_or(Json::Null)),
        ("source".into(), source),
        ("op".into(), text(op)),
        ("ts_ms".into(), Json::Number((ts_us / 1000).to_string())),
    ]);
    Some(envelope.to_string().into_bytes())
}

fn whole(reader: &mut Reader<'_>, fields: Fields<'_>, name: &str) -> Option<Option<u64>> {
    let Some(entry) = fields.get(name) else { return Some(None) };
    number(reader, entry, &format!("`{name}`"), |_| true, "expected a whole number").map(Some)
}

/// The columns of a row. The outer `None` is an error that has been reported.
fn row(reader: &mut Reader<'_>, fields: Fields<'_>, name: &str) -> Option<Option<Json>> {
    match fields.get(name) {
        None => Some(None),
        Some(entry) if matches!(entry.value.value, Value::Map(_)) || entry.value.is_blank() => {
            Some(Some(Json::of_yaml(&entry.value)))
        }
        Some(entry) => {
            let found = format!("found {}", entry.value.kind());
            reader.error("wrong-type", entry.value.span, format!("`{name}` must be a mapping of columns"), found);
            None
        }
    }
}

type Row = Option<Option<Json>>;

fn read_op(reader: &mut Reader<'_>, fields: Fields<'_>, before: &Row, after: &Row) -> Option<&'static str> {
    let has = |row: &Row| !matches!(row, Some(None));
    let Some(entry) = fields.get("op") else {
        if has(after) || has(before) {
            return Some(if has(after) { "u" } else { "d" });
        }
        reader.error("missing-field", fields.at, "the change has no row", "`after: { … }`, or of a delete `before`");
        return None;
    };
    let given = reader.scalar(&entry.value, entry.key_span, "`op`")?;
    let found = OPS.into_iter().find(|op| *op == given);
    if found.is_none() {
        let label = "expected c, u, d, r (a snapshot's read), t (truncate) or m (a message)";
        reader.error("bad-value", entry.value.span, format!("`op` cannot be `{given}`"), label);
    }
    found
}

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

fn optional(number: Option<u64>) -> Json {
    number.map_or(Json::Null, |number| Json::Number(number.to_string()))
}

/// `"[\"90\",\"100\"]"`: a list of strings within a string.
fn sequence(of: [Option<u64>; 2]) -> Json {
    let each = |number: Option<u64>| number.map_or(Json::Null, |number| Json::Text(number.to_string()));
    match of {
        [None, None] => Json::Null,
        both => Json::Text(Json::Array(both.into_iter().map(each).collect()).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::record::change::{Decoded, Op, Snapshot, decode};
    use crate::topology::scenario::{Scenario, Step};

    /// The value that a `change:` becomes.
    fn value(change: &str) -> Vec<u8> {
        let text = format!(
            "topology: {{ streams: {{ s: {{ from: a.b.people, steps: [dedup, {{ mask: none }}], to: out }} }} }}\n\
             input: [{{ topic: a.b.people, change: {change} }}]\nexpect: {{ output: {{}} }}\n"
        );
        let scenario = Scenario::parse(&text, Path::new("s.yaml"), None).unwrap_or_else(|found| panic!("{found}"));
        let [Step::Write(records)] = &scenario.steps[..] else { panic!("{change}") };
        records[0].value.clone().unwrap_or_default()
    }

    #[test]
    fn what_is_left_out_is_as_debezium_would_have_it() {
        let beginning = 1_767_225_600_000_000;
        type Want = (Op, Snapshot, Option<u64>, (Option<u64>, Option<u64>), i64);
        let cases: [(&str, Want); 6] = [
            (
                "{ after: { id: 1 }, lsn: 100 }",
                (Op::Update, Snapshot::No, Some(100), (Some(99), Some(100)), beginning + 100_000),
            ),
            ("{ before: { id: 1 }, lsn: 0 }", (Op::Delete, Snapshot::No, Some(0), (Some(0), Some(0)), beginning)),
            (
                "{ op: c, after: { id: 1 }, lsn: 100, commit: 7, ts_us: 5 }",
                (Op::Create, Snapshot::No, Some(100), (Some(7), Some(100)), 5),
            ),
            (
                "{ op: r, after: { id: 1 }, lsn: 100, ts_us: 5 }",
                (Op::Read, Snapshot::Initial, Some(100), (None, Some(100)), 5),
            ),
            (
                "{ op: r, after: { id: 1 }, lsn: 100, ts_us: 5, snapshot: incremental }",
                (Op::Read, Snapshot::Incremental, None, (Some(99), Some(100)), 5),
            ),
            ("{ after: { id: 1 }, lsn: null }", (Op::Update, Snapshot::No, None, (None, None), beginning)),
        ];
        for (change, want) in cases {
            let bytes = value(change);
            let Ok(Decoded::Change(read)) = decode(Some(&bytes)) else { panic!("{change}") };
            let source = &read.source;
            let ts_us = source.ts_us.unwrap_or_default();
            assert_eq!((read.op, source.snapshot, source.lsn, source.sequence, ts_us), want, "{change}");
            assert_eq!((read.row.get(), &*source.table, &*source.db), ("{\"id\":1}", "people", "test"));
        }
        let named = value("{ after: {}, lsn: 1, table: t, schema: s, database: d }");
        let Ok(Decoded::Change(read)) = decode(Some(&named)) else { panic!() };
        assert_eq!((&*read.source.table, &*read.source.schema, &*read.source.db), ("t", "s", "d"));
        for op in ["t", "m"] {
            assert!(matches!(decode(Some(&value(&format!("{{ op: {op}, lsn: 1 }}")))), Ok(Decoded::Skip(_))), "{op}");
        }
    }
}
