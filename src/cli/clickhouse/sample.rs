//! Types, read off rows that left Highwater. They fit those rows; whether they fit the next one, rows cannot tell.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use crate::connectors::clickhouse::ddl::{DELETED, VERSION};
use crate::record::{BadRecord, json};

use super::debezium::Sent;

/// Rows of one topic, as far as they were looked at.
#[derive(Debug, Default)]
pub struct Sample {
    pub rows: u64,
    /// In the order in which they came.
    columns: Vec<String>,
    seen: BTreeMap<String, Seen>,
    /// Columns of the record keys.
    pub key: Vec<String>,
}

#[derive(Debug, Default, Clone)]
struct Seen {
    values: u64,
    shapes: Shapes,
}

/// What the values of a column are, each of them at least once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Shapes {
    truths: bool,
    /// That fit into 64 bits with a sign.
    whole: bool,
    large: bool,
    fractions: bool,
    uuids: bool,
    times: bool,
    texts: bool,
    nested: bool,
}

/// Forms of texts that say what they are.
pub struct Forms {
    uuid: Regex,
    time: Regex,
}

impl Forms {
    pub fn new() -> Result<Self, String> {
        let regex = |text: &str| Regex::new(text).map_err(|error| error.to_string());
        Ok(Self {
            uuid: regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")?,
            time: regex(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$")?,
        })
    }
}

impl Sample {
    /// A row, and the key of its record where that is known.
    pub fn add(&mut self, row: &[(String, Value)], key: Option<&Value>, forms: &Forms) -> Result<(), String> {
        for added in [VERSION, DELETED] {
            if row.iter().all(|(name, _)| name != added) {
                return Err(format!(
                    "the row has no `{added}`: it did not leave Highwater (see `highwater mask`, `highwater consume`)"
                ));
            }
        }
        self.rows += 1;
        if let Some(Value::Object(key)) = key {
            self.key.extend(key.keys().filter(|name| !self.key.contains(name)).cloned().collect::<Vec<_>>());
        }
        for (name, value) in row.iter().filter(|(name, _)| ![VERSION, DELETED].contains(&name.as_str())) {
            if !self.seen.contains_key(name) {
                self.columns.push(name.clone());
            }
            let seen = self.seen.entry(name.clone()).or_default();
            seen.values += u64::from(!value.is_null());
            seen.shapes.see(value, forms);
        }
        Ok(())
    }

    pub fn columns(&self) -> impl Iterator<Item = (&str, Sent)> {
        self.columns.iter().filter_map(|name| Some((name.as_str(), self.seen.get(name)?.sent())))
    }
}

impl Shapes {
    fn see(&mut self, value: &Value, forms: &Forms) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.truths = true,
            Value::Number(number) if number.is_i64() => self.whole = true,
            Value::Number(number) if number.is_u64() => self.large = true,
            Value::Number(_) => self.fractions = true,
            Value::String(text) if forms.uuid.is_match(text) => self.uuids = true,
            Value::String(text) if forms.time.is_match(text) => self.times = true,
            Value::String(_) => self.texts = true,
            Value::Array(_) | Value::Object(_) => self.nested = true,
        }
    }
}

impl Seen {
    fn sent(&self) -> Sent {
        let only = |shapes: Shapes| self.shapes == shapes;
        let none = Shapes::default();
        let (kind, what) = match self.shapes {
            _ if only(none) => ("String", "no value was seen"),
            _ if only(Shapes { truths: true, ..none }) => ("Bool", "true and false"),
            _ if only(Shapes { whole: true, ..none }) => {
                ("Int64", "whole numbers; days, milli- and microseconds are, too")
            }
            _ if only(Shapes { large: true, ..none }) => ("UInt64", "whole numbers"),
            Shapes { truths: false, uuids: false, times: false, texts: false, nested: false, fractions, .. } => {
                if fractions {
                    ("Float64", "numbers; a Decimal is exact")
                } else {
                    ("Int128", "whole numbers")
                }
            }
            _ if only(Shapes { uuids: true, ..none }) => ("UUID", "each looks like one"),
            _ if only(Shapes { times: true, ..none }) => ("DateTime64(6, 'UTC')", "each looks like a time"),
            _ if only(Shapes { nested: true, ..none }) => ("String", "JSON objects and arrays"),
            _ if only(Shapes { texts: true, ..none }) => ("String", "texts; decimals are, too"),
            _ => ("String", "values of several types"),
        };
        Sent::plain(kind).doubt(format!("read off {} values: {what}", self.values))
    }
}

/// Columns and values in their order.
pub type Row = Vec<(String, Value)>;

/// A line: a row, or a record as `consume --format json` writes it, with its key.
pub fn read(line: &str) -> Result<(Row, Option<Value>), String> {
    let row = fields(line)?;
    let of = |name: &str| row.iter().find(|(own, _)| own == name).map(|(_, value)| value);
    if of(VERSION).is_some() {
        return Ok((row, None));
    }
    // A record's bytes stand there as text; who wrote the line by hand may have left the quotes out.
    let key = of("key").map(|key| match key {
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        key => key.clone(),
    });
    match of("value") {
        Some(Value::String(text)) => Ok((fields(text)?, key)),
        Some(Value::Object(_)) => Ok((fields(member(line, "value")?)?, key)),
        _ => Ok((row, None)),
    }
}

/// None of what is wrong holds a value.
pub fn fields(text: &str) -> Result<Row, String> {
    let wrong = |error: BadRecord| error.to_string();
    let text = json::parse(text).map_err(wrong)?.get();
    if json::Kind::of(text) != json::Kind::Object {
        return Err("not a JSON object".into());
    }
    let one = |member: Result<json::Member<'_>, BadRecord>| {
        let member = member.map_err(wrong)?;
        let name = json::text(member.name).map_or_else(|_| member.name.to_owned(), std::borrow::Cow::into_owned);
        let value = serde_json::from_str(member.value).map_err(|_| "a value is no JSON".to_owned())?;
        Ok((name, value))
    };
    json::members(text).map(one).collect()
}

fn member<'t>(text: &'t str, name: &str) -> Result<&'t str, String> {
    let found = json::members(text).find_map(|member| member.ok().filter(|member| member.is_named(name)));
    found.map(|member| member.value).ok_or_else(|| format!("no `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample(values: &[Value]) -> Sample {
        let (forms, mut sample) = (Forms::new().unwrap(), Sample::default());
        for value in values {
            let row = json!({ "c": value, "cdc_lsn": 1, "_deleted": 0 }).to_string();
            sample.add(&fields(&row).unwrap(), None, &forms).unwrap();
        }
        sample
    }

    #[test]
    fn types_are_read_off_values_and_doubted() {
        let (uuid, time) = ("7b4a0c9e-0d63-4b6f-9d0a-6f3f0a4b1c2d", "2026-05-01T10:00:00.123456Z");
        for (values, want) in [
            (vec![json!(null)], "String"),
            (vec![json!(true), json!(null)], "Bool"),
            (vec![json!(1), json!(-5)], "Int64"),
            (vec![json!(u64::MAX)], "UInt64"),
            (vec![json!(u64::MAX), json!(-1)], "Int128"),
            (vec![json!(1), json!(1.5)], "Float64"),
            (vec![json!(uuid)], "UUID"),
            (vec![json!(uuid), json!("x")], "String"),
            (vec![json!(time), json!("2026-05-01T10:00:00Z")], "DateTime64(6, 'UTC')"),
            (vec![json!("1.50")], "String"),
            (vec![json!([1])], "String"),
            (vec![json!(1), json!("1")], "String"),
            (vec![json!(1), json!(true)], "String"),
        ] {
            let sample = sample(&values);
            let (_, sent) = sample.columns().next().unwrap();
            assert_eq!(sent.kind, want, "{values:?}");
            assert!(sent.doubt.is_some());
        }
    }

    #[test]
    fn a_line_is_a_row_or_a_record() {
        let row = r#"{"id":1,"b":null,"a":[1],"cdc_lsn":5,"_deleted":0}"#;
        let (fields, key) = read(row).unwrap();
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names, key), (vec!["id", "b", "a", "cdc_lsn", "_deleted"], None));
        let record = format!(r#"{{"topic":"t","key":{{"id":1}},"value":{row}}}"#);
        assert_eq!(read(&record).unwrap(), (fields, Some(json!({ "id": 1 }))));
        let text = |json: &str| Value::from(json).to_string();
        let record = format!(r#"{{"key":{},"value":{}}}"#, text(r#"{"id":1}"#), text(row));
        assert_eq!(read(&record).unwrap().1, Some(json!({ "id": 1 })));
        assert_eq!(read(&record).unwrap().0.len(), 5);
        // Columns may have these names.
        let named = r#"{"key":1,"value":{"a":2},"cdc_lsn":5,"_deleted":0}"#;
        assert_eq!(read(named).unwrap().0.len(), 4);
        assert!(read("[1]").is_err() && read("{\"a\": CANARY}").is_err_and(|why| !why.contains("CANARY")));
    }

    #[test]
    fn what_did_not_leave_highwater_is_no_sample() {
        let (forms, mut sample) = (Forms::new().unwrap(), Sample::default());
        let why = sample.add(&fields("{\"id\":1}").unwrap(), None, &forms).unwrap_err();
        assert!(why.contains("no `cdc_lsn`"), "{why}");
    }
}
