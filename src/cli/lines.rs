//! Records as lines of text: what `produce` reads and `consume` writes.
//!
//! A *JSON line* ([`json`]) carries a whole record, whatever bytes it is made of: what `consume` writes, `produce` takes
//! back as the same record. A *plain line* is for people and pipes: key, separator, value. It has no room for headers,
//! nor for a separator in the key or a line break anywhere, and it tells a null only by a marker that the user chooses.

pub mod json;

use std::borrow::Cow;

use memchr::memmem;

use crate::record::Record;

/// What of a record a line tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told<'a> {
    pub partition: Option<i32>,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
    pub key: Option<Cow<'a, [u8]>>,
    pub value: Option<Cow<'a, [u8]>>,
    pub headers: Vec<Header<'a>>,
}

pub type Header<'a> = (Cow<'a, str>, Option<Cow<'a, [u8]>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum InputFormat {
    /// KEY<TAB>VALUE; without a TAB the line is a value without a key
    Lines,
    /// One JSON object a line, as `consume --format json` writes them
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// KEY<TAB>VALUE; a record without a key is its value alone
    Lines,
    /// One JSON object a line: topic, partition, offset, timestamp, key, value, headers
    Json,
    /// Values
    Value,
    /// Keys
    Key,
}

/// What stands in plain lines for what they cannot hold.
#[derive(Debug, Clone, clap::Args)]
pub struct Marks {
    /// What stands between key and value in the format `lines` [default: a TAB]
    #[arg(long, value_name = "TEXT", default_value = "\t", hide_default_value = true, value_parser = separator)]
    separator: String,
    /// A key or value of exactly this text is null, a null value being a tombstone; not for the format `json`, which
    /// has its own `null`
    #[arg(long, value_name = "TEXT")]
    null: Option<String>,
}

fn separator(text: &str) -> Result<String, String> {
    match text {
        "" => Err("it is empty".into()),
        _ if text.contains('\n') => Err("lines end at a line break".into()),
        _ => Ok(text.to_owned()),
    }
}

impl Marks {
    /// The record of a plain line, which every line is.
    pub fn parse<'a>(&self, line: &'a [u8]) -> Told<'a> {
        let separator = self.separator.as_bytes();
        let (key, value) = match memmem::find(line, separator) {
            Some(at) => (self.read(&line[..at]), &line[at + separator.len()..]),
            None => (None, line),
        };
        Told { key, value: self.read(value), ..Told::default() }
    }

    fn read<'a>(&self, field: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        (self.null_bytes() != Some(field)).then_some(Cow::Borrowed(field))
    }

    fn null_bytes(&self) -> Option<&[u8]> {
        self.null.as_deref().map(str::as_bytes)
    }

    fn shown<'a>(&'a self, field: Option<&'a [u8]>) -> &'a [u8] {
        field.or(self.null_bytes()).unwrap_or_default()
    }

    /// Appends a line. False where it cannot be read back as it was: the record needs `json`.
    pub fn write(&self, format: OutputFormat, record: &Record<'_>, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let (key, value) = (record.key, record.value);
        match format {
            OutputFormat::Json => {
                json::write(record, out);
                out.push(b'\n');
                return true;
            }
            OutputFormat::Key => out.extend_from_slice(self.shown(key)),
            OutputFormat::Value => out.extend_from_slice(self.shown(value)),
            OutputFormat::Lines => {
                if key.is_some() || self.null.is_some() {
                    out.extend_from_slice(self.shown(key));
                    out.extend_from_slice(self.separator.as_bytes());
                }
                out.extend_from_slice(self.shown(value));
            }
        }
        let line = &out[start..];
        let whole = memchr::memchr(b'\n', line).is_none()
            && (format != OutputFormat::Lines || {
                let told = self.parse(line);
                told.key.as_deref() == key && told.value.as_deref() == value
            });
        out.push(b'\n');
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::NoHeaders;

    fn marks(separator: &str, null: Option<&str>) -> Marks {
        Marks { separator: separator.into(), null: null.map(str::to_string) }
    }

    pub fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Record<'a> {
        Record { topic: "t", partition: 3, offset: 42, timestamp: Some(1_000), key, value, headers: &NoHeaders }
    }

    fn text(field: Option<Cow<'_, [u8]>>) -> Option<String> {
        field.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn plain_lines_are_split_at_the_first_separator() {
        for (separator, null, line, key, value) in [
            ("\t", None, "k\tv", Some("k"), Some("v")),
            ("\t", None, "k\tv\tw", Some("k"), Some("v\tw")),
            ("\t", None, "only a value", None, Some("only a value")),
            ("\t", None, "k\t", Some("k"), Some("")),
            ("\t", None, "\tv", Some(""), Some("v")),
            ("\t", None, "", None, Some("")),
            ("\t", None, "v\r", None, Some("v\r")),
            ("\t", None, "k\tNULL", Some("k"), Some("NULL")),
            ("\t", Some("NULL"), "k\tNULL", Some("k"), None),
            ("\t", Some("NULL"), "NULL\tv", None, Some("v")),
            ("\t", Some("NULL"), "NULL\tNULL", None, None),
            ("\t", Some("NULL"), "NULL", None, None),
            ("\t", Some("NULL"), "k\tNULLS", Some("k"), Some("NULLS")),
            ("\t", Some(""), "k\t", Some("k"), None),
            ("::", None, "a:b::c:d", Some("a:b"), Some("c:d")),
        ] {
            let marks = marks(separator, null);
            let told = marks.parse(line.as_bytes());
            assert_eq!(
                (text(told.key).as_deref(), text(told.value).as_deref()),
                (key, value),
                "{line:?} with {separator:?} and {null:?}"
            );
        }
        assert!(separator("").is_err() && separator("a\nb").is_err() && separator("|").is_ok());
    }

    #[test]
    fn plain_lines_tell_whether_they_can_be_read_back() {
        use OutputFormat::{Key, Lines, Value};
        let plain = marks("\t", None);
        let marked = marks("\t", Some("NULL"));
        for (marks, format, key, value, line, whole) in [
            (&plain, Lines, Some("k"), Some("v"), "k\tv\n", true),
            (&plain, Lines, Some("k"), Some("v\tw"), "k\tv\tw\n", true),
            (&plain, Lines, Some("k"), Some(""), "k\t\n", true),
            (&plain, Lines, None, Some("v"), "v\n", true),
            (&plain, Lines, Some("k"), None, "k\t\n", false),
            (&plain, Lines, None, None, "\n", false),
            (&plain, Lines, None, Some("v\tw"), "v\tw\n", false),
            (&plain, Lines, Some("k\tl"), Some("v"), "k\tl\tv\n", false),
            (&plain, Lines, Some("k"), Some("v\nw"), "k\tv\nw\n", false),
            (&plain, Lines, Some("k\nl"), Some("v"), "k\nl\tv\n", false),
            (&plain, Value, Some("k\nl"), Some("v\tw"), "v\tw\n", true),
            (&plain, Value, Some("k"), None, "\n", true),
            (&plain, Value, None, Some("v\nw"), "v\nw\n", false),
            (&plain, Key, Some("k"), Some("v\nw"), "k\n", true),
            (&plain, Key, None, Some("v"), "\n", true),
            (&marked, Lines, Some("k"), None, "k\tNULL\n", true),
            (&marked, Lines, None, Some("v"), "NULL\tv\n", true),
            (&marked, Lines, None, None, "NULL\tNULL\n", true),
            (&marked, Lines, None, Some("v\tw"), "NULL\tv\tw\n", true),
            (&marked, Lines, Some("k"), Some("NULL"), "k\tNULL\n", false),
            (&marked, Value, Some("k"), None, "NULL\n", true),
        ] {
            let mut out = b"before\n".to_vec();
            let record = record(key.map(str::as_bytes), value.map(str::as_bytes));
            let told = marks.write(format, &record, &mut out);
            let said = (String::from_utf8_lossy(&out[7..]).into_owned(), told);
            assert_eq!(said, (line.into(), whole), "{format:?} {key:?} {value:?} {:?}", marks.null);
        }
    }
}
