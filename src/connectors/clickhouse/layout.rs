//! Which columns the rows of a batch have, and where each goes.
//!
//! One insert has one list of columns, so all rows of a batch have the same ones. Rows of one table come in one layout, until
//! its definition changes.

use super::types::Type;
use super::value;
use crate::record::json::{self, Member};
use crate::record::{BadRecord, Reason};

/// The columns of rows, in the order that the rows have them.
#[derive(Debug)]
pub struct Layout {
    columns: Vec<Column>,
    /// The place of `_deleted` among them.
    deleted: Option<usize>,
    /// The place of the column whose values the caller wants to see.
    watched: Option<usize>,
}

#[derive(Debug)]
struct Column {
    name: String,
    /// `"name":`, as rows usually have it.
    head: String,
    /// None: the table does not have it, and it is left out.
    ty: Option<Type>,
}

/// Why a row is not part of a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It has other columns.
    Layout,
    Bad(BadRecord),
}

impl From<BadRecord> for Misfit {
    fn from(bad: BadRecord) -> Self {
        Misfit::Bad(bad)
    }
}

/// The text of a row that is a JSON object.
pub fn parse(value: Option<&[u8]>) -> Result<&str, BadRecord> {
    let not_row = |what: &str| BadRecord::new(Reason::NotRow, format!("the value is {what}, not a row"));
    let text = json::utf8(value.ok_or_else(|| not_row("a tombstone"))?)?;
    let row = json::parse(text)?.get();
    match json::Kind::of(row) {
        json::Kind::Object => Ok(row),
        kind => Err(not_row(&kind.to_string())),
    }
}

/// The names of a row's columns.
pub fn names(row: &str) -> Result<Vec<String>, BadRecord> {
    let mut names: Vec<String> = Vec::new();
    for member in json::members(row) {
        let name = name(&member?)?;
        if names.contains(&name) {
            return Err(twice(&name));
        }
        names.push(name);
    }
    Ok(names)
}

fn name(member: &Member<'_>) -> Result<String, BadRecord> {
    json::text(member.name).map(|name| name.into_owned()).map_err(|_| json::half_a_pair(member.name))
}

fn twice(name: &str) -> BadRecord {
    BadRecord::new(Reason::DuplicateField, format!("the row has {} twice", json::shown(name)))
}

impl Layout {
    pub fn new(columns: impl IntoIterator<Item = (String, Option<Type>)>) -> Self {
        let column = |(name, ty): (String, Option<Type>)| {
            let mut head = vec![b'"'];
            json::escape(&name, &mut head);
            head.extend(b"\":");
            Column { head: String::from_utf8(head).unwrap_or_default(), name, ty }
        };
        let columns: Vec<Column> = columns.into_iter().map(column).collect();
        let deleted = columns.iter().position(|column| column.name == "_deleted");
        Self { columns, deleted, watched: None }
    }

    /// The same, and [`write`](Self::write) tells the values of this column, if it is one of them.
    pub fn watching(mut self, column: &str) -> Self {
        self.watched = self.columns.iter().position(|own| own.name == column);
        self
    }

    /// The list of an insert.
    pub fn written(&self) -> Vec<String> {
        self.columns.iter().filter(|column| column.ty.is_some()).map(|column| column.name.clone()).collect()
    }

    /// Appends a row that [`parse`] has seen; on an error nothing. The value of the watched column, as it stands in the row.
    pub fn write<'a>(&self, row: &'a str, out: &mut Vec<u8>) -> Result<Option<&'a str>, Misfit> {
        let before = out.len();
        let mut slots = [""; FEW];
        let mut many = Vec::new();
        let slots = match slots.get_mut(..self.columns.len()) {
            Some(slots) => slots,
            None => {
                many.resize(self.columns.len(), "");
                &mut many[..]
            }
        };
        let written = self.place(row, slots).and_then(|()| self.write_slots(slots, out));
        if written.is_err() {
            out.truncate(before);
        }
        written.map(|()| self.watched.map(|at| slots[at]))
    }

    /// Finds the values, in the order of the columns.
    fn place<'a>(&self, row: &'a str, slots: &mut [&'a str]) -> Result<(), Misfit> {
        let mut members = json::members(row);
        let mut filled = 0;
        for (column, slot) in self.columns.iter().zip(slots.iter_mut()) {
            let Some(member) = members.next_if(&column.head) else { break };
            *slot = member.value;
            filled += 1;
        }
        for member in members {
            let member = member?;
            let name = name(&member)?;
            let at = self.columns.iter().position(|column| column.name == name).ok_or(Misfit::Layout)?;
            if !slots[at].is_empty() {
                return Err(twice(&name).into());
            }
            slots[at] = member.value;
            filled += 1;
        }
        if filled == self.columns.len() { Ok(()) } else { Err(Misfit::Layout) }
    }

    fn write_slots(&self, slots: &[&str], out: &mut Vec<u8>) -> Result<(), Misfit> {
        let gone = self.deleted.is_some_and(|at| matches!(slots[at], "1" | "true"));
        for (column, value) in self.columns.iter().zip(slots) {
            let Some(ty) = &column.ty else { continue };
            value::write(ty, value, gone, out).map_err(|why| {
                BadRecord::new(Reason::ColumnMisfit, format!("column {}: {why}", json::shown(&column.name)))
            })?;
        }
        Ok(())
    }
}

/// Rows with more columns take memory for their slots.
const FEW: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        let column = |name: &str, ty: &str| (name.to_owned(), Type::parse(ty));
        Layout::new([column("id", "UInt8"), column("né", "String"), column("left", "?"), column("_deleted", "UInt8")])
    }

    fn write(row: &str) -> Result<Vec<u8>, Misfit> {
        let mut out = b"before".to_vec();
        let written = layout().write(parse(Some(row.as_bytes()))?, &mut out);
        assert!(out.starts_with(b"before") && (written.is_ok() || out.len() == 6));
        written.map(|_| out.split_off(6))
    }

    #[test]
    fn columns_go_where_they_belong_in_whatever_order_they_come() {
        let want = Ok(vec![7, 1, b'x', 0]);
        for row in [
            r#"{"id":7,"né":"x","left":[1],"_deleted":0}"#,
            r#"{"id" : 7 , "né" : "x" , "left" : null , "_deleted" : 0}"#,
            r#"{"_deleted":0,"left":1,"n\u00e9":"x","id":7}"#,
        ] {
            assert_eq!(write(row), want, "{row}");
        }
        assert_eq!(layout().written(), ["id", "né", "_deleted"]);
        let many = Layout::new((0..100).map(|i| (format!("c{i}"), Type::parse("UInt8"))));
        let row: Vec<String> = (0..100).map(|i| format!("\"c{i}\":{i}")).collect();
        let mut out = Vec::new();
        many.write(&format!("{{{}}}", row.join(",")), &mut out).unwrap();
        assert_eq!(out, (0..100).collect::<Vec<u8>>());
    }

    #[test]
    fn a_watched_column_is_told_though_the_table_does_not_have_it() {
        for (column, want) in [("né", Some("\"x\"")), ("left", Some("[1]")), ("_deleted", Some("0")), ("none", None)] {
            let (layout, mut out) = (layout().watching(column), Vec::new());
            for row in
                [r#"{"id":7,"né":"x","left":[1],"_deleted":0}"#, r#"{"_deleted":0,"left":[1],"n\u00e9":"x","id":7}"#]
            {
                assert_eq!(layout.write(row, &mut out), Ok(want), "{column}");
            }
            assert_eq!(layout.write("{}", &mut out), Err(Misfit::Layout));
        }
    }

    #[test]
    fn rows_of_other_columns_are_no_part_of_it() {
        for row in [
            "{}",
            r#"{"id":7,"né":"x","left":1}"#,
            r#"{"id":7,"né":"x","left":1,"_deleted":0,"more":1}"#,
            r#"{"id":7,"né":"x","other":1,"_deleted":0}"#,
        ] {
            assert_eq!(write(row), Err(Misfit::Layout), "{row}");
        }
    }

    #[test]
    fn bad_rows_say_why_and_nothing_of_themselves() {
        let said = |row: &[u8]| match parse(Some(row))
            .map_err(Misfit::Bad)
            .and_then(|row| layout().write(row, &mut vec![]).map(|_| ()))
        {
            Err(Misfit::Bad(bad)) => bad.to_string(),
            other => panic!("{other:?}"),
        };
        for (row, want) in [
            (
                &br#"{"id":700,"n\u00e9":"secret","left":1,"_deleted":0}"#[..],
                "column_misfit: column `id`: a number that UInt8",
            ),
            (br#"{"id":null,"n\u00e9":"secret","left":1,"_deleted":0}"#, "column_misfit: column `id`: null"),
            (br#"{"id":1,"n\u00e9":"secret","left":1,"_deleted":0,"id":2}"#, "duplicate_field: the row has `id` twice"),
            (b"[1]", "not_row: the value is an array, not a row"),
            (b"secret", "not_json: not JSON"),
            (b"\xff", "not_json: not UTF-8"),
        ] {
            let said = said(row);
            assert!(said.starts_with(want) && !said.contains("secret"), "{said}");
        }
        assert_eq!(parse(None).unwrap_err().reason, Reason::NotRow);
        // A deleted row has its key and nothing else.
        assert_eq!(write(r#"{"id":7,"né":null,"left":null,"_deleted":1}"#), Ok(vec![7, 0, 1]));
        assert_eq!(names(r#"{"a":1,"b":2,"\u0061":3}"#).unwrap_err().reason, Reason::DuplicateField);
    }
}
