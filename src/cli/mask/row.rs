//! One line under the rules: a bare row, or an envelope.

use std::borrow::Cow;

use crate::cli::pair::Columns;
use crate::operators::filter::{Filter, Passage};
use crate::operators::mask::Mask;
use crate::record::change::{Decoded, Op, decode};
use crate::record::json::{self, Kind};
use crate::record::{BadRecord, Reason};

/// What a line became.
pub enum Masked {
    Row {
        before: Columns,
        after: Columns,
        key: Option<String>,
    },
    /// By the name of what it is: a tombstone, a truncate, a message.
    Skipped(&'static str),
    /// A bare row, and nobody said of which table.
    NoTable,
}

pub struct Row {
    filter: Option<Filter>,
    mask: Mask,
    /// Of bare rows.
    table: Option<String>,
    key: Vec<String>,
    after: Vec<u8>,
}

impl Row {
    pub fn of(filter: Option<Filter>, mask: Mask, table: Option<String>, key: Vec<String>) -> Self {
        Self { filter, mask, table, key, after: Vec::new() }
    }

    /// The row that the last line became, byte for byte.
    pub fn written(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.after)
    }

    pub fn mask(&mut self, line: &[u8]) -> Result<Masked, BadRecord> {
        let text = json::parse(json::utf8(line)?)?.get();
        let envelope = match Kind::of(text) {
            // What a converter makes of a tombstone.
            Kind::Null => return Ok(Masked::Skipped("tombstone")),
            Kind::Object if is_envelope(text)? => Cow::Borrowed(text),
            Kind::Object => match &self.table {
                Some(table) => Cow::Owned(wrapped(text, table)),
                None => return Ok(Masked::NoTable),
            },
            kind => return Err(BadRecord::new(Reason::WrongType, format!("the line is {kind}, not a row"))),
        };
        let change = match decode(Some(envelope.as_bytes()))? {
            Decoded::Change(change) => change,
            Decoded::Skip(kind) => return Ok(Masked::Skipped(kind.as_str())),
        };
        // As the engine without `dedup`: it keeps no versions, so the source's own LSN leaves.
        let lsn = change.source.lsn.or(change.source.sequence.1).unwrap_or(0);
        let is_delete = change.op == Op::Delete;
        // Each row for itself: which rows the readers have, only the state of a running instance knows.
        if let Some(filter) = &self.filter
            && filter.judge(change.row.get(), is_delete, None)? == Passage::Withheld
        {
            return Ok(Masked::Skipped("row that the filter keeps back"));
        }
        self.mask.row(&change, lsn, is_delete, &mut self.after)?;
        let key =
            if self.key.is_empty() { None } else { Some(self.masked_key(&change.source.table, change.row.get())?) };
        let before = columns(change.row.get())?;
        Ok(Masked::Row { before, after: columns(&self.written())?, key })
    }

    fn masked_key(&mut self, table: &str, row: &str) -> Result<String, BadRecord> {
        let (mut key, mut out) = (String::from("{"), Vec::new());
        for column in &self.key {
            let Some(value) = find(row, column)? else {
                let detail = format!("the row has no column {} for the key", json::shown(column));
                return Err(BadRecord::new(Reason::MalformedKey, detail));
            };
            let mut name = Vec::new();
            json::escape(column, &mut name);
            let comma = if key.len() > 1 { "," } else { "" };
            key += &format!("{comma}\"{}\":{value}", String::from_utf8_lossy(&name));
        }
        key.push('}');
        self.mask.key(table, key.as_bytes(), &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

/// Debezium's: `op` beside `before`, `after` or `source`, or all of that as the `payload` of a `schema`.
fn is_envelope(text: &str) -> Result<bool, BadRecord> {
    let has = |text: &str, name: &str| find(text, name).map(|value| value.is_some());
    if let (true, Some(payload)) = (has(text, "schema")?, find(text, "payload")?) {
        return Ok(Kind::of(payload) == Kind::Null || (Kind::of(payload) == Kind::Object && is_envelope(payload)?));
    }
    Ok(has(text, "op")? && (has(text, "before")? || has(text, "after")? || has(text, "source")?))
}

fn wrapped(row: &str, table: &str) -> String {
    let mut name = Vec::new();
    json::escape(table, &mut name);
    format!(r#"{{"op":"c","after":{row},"source":{{"table":"{}"}}}}"#, String::from_utf8_lossy(&name))
}

fn find<'a>(object: &'a str, name: &str) -> Result<Option<&'a str>, BadRecord> {
    for member in json::members(object) {
        let member = member?;
        if member.is_named(name) {
            return Ok(Some(member.value));
        }
    }
    Ok(None)
}

fn columns(object: &str) -> Result<Columns, BadRecord> {
    let each = |member: Result<json::Member<'_>, BadRecord>| {
        let member = member?;
        let name = json::text(member.name).map_or_else(|_| member.name.to_owned(), Cow::into_owned);
        Ok((name, member.value.to_owned()))
    };
    json::members(object).map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_recognised() {
        for (text, want) in [
            (r#"{"op":"c","after":{}}"#, true),
            (r#"{"op":"d","before":{},"after":null,"source":{}}"#, true),
            (r#"{"schema":{},"payload":{"op":"u","after":{}}}"#, true),
            (r#"{"schema":null,"payload":null}"#, true),
            (r#"{"op":"t","source":{}}"#, true),
            (r#"{"id":1,"email":"a"}"#, false),
            (r#"{"op":"c","id":1}"#, false),
            (r#"{"schema":"public","payload":"text"}"#, false),
            (r#"{"schema":"public","payload":{"a":1}}"#, false),
            ("{}", false),
        ] {
            assert_eq!(is_envelope(text).unwrap(), want, "{text}");
        }
    }
}
