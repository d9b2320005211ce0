//! Parsing and masking with what every Rust program uses: serde_json, values spliced as they came.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::workload::SALT;

#[derive(Deserialize)]
pub struct Change<'a> {
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    after: Option<&'a RawValue>,
    source: Source,
    op: &'a str,
}

#[derive(Deserialize)]
struct Source {
    lsn: u64,
}

pub struct Rows {
    masked: HashSet<String, rustc_hash::FxBuildHasher>,
}

impl Rows {
    /// `masked`: so many of the columns `c0`, `c1`, … are masked.
    pub fn new(masked: u64) -> Self {
        Self { masked: (0..masked).map(|n| format!("c{n}")).collect() }
    }

    pub fn read<'a>(&self, value: &'a [u8]) -> Change<'a> {
        serde_json::from_slice(value).expect("a change")
    }
}

impl Change<'_> {
    pub fn lsn(&self) -> u64 {
        self.source.lsn
    }

    pub fn write(&self, rows: &Rows, out: &mut Vec<u8>) {
        let deleted = self.op == "d";
        let row = if deleted { self.before } else { self.after }.expect("a row");
        out.clear();
        out.push(b'{');
        Splice { out, masked: rows }
            .deserialize(&mut serde_json::Deserializer::from_str(row.get()))
            .expect("an object");
        out.extend_from_slice(b"\"cdc_lsn\":");
        out.extend_from_slice(itoa::Buffer::new().format(self.source.lsn).as_bytes());
        out.extend_from_slice(if deleted { b",\"_deleted\":1}" } else { b",\"_deleted\":0}" });
    }
}

/// Copies a row's columns, masked, each with a comma behind it.
struct Splice<'o> {
    out: &'o mut Vec<u8>,
    masked: &'o Rows,
}

impl<'de> DeserializeSeed<'de> for Splice<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Splice<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let Self { out, masked } = self;
        while let Some((column, value)) = map.next_entry::<&'de str, &'de RawValue>()? {
            if matches!(column, "birth_date" | "notes") {
                continue;
            }
            out.push(b'"');
            out.extend_from_slice(column.as_bytes());
            out.extend_from_slice(b"\":");
            match column {
                "full_name" => shorten(value, out),
                "email" | "phone" => hash(value, out),
                _ if !masked.masked.is_empty() && masked.masked.contains(column) => hash(value, out),
                _ => out.extend_from_slice(value.get().as_bytes()),
            }
            out.push(b',');
        }
        Ok(())
    }
}

/// What a string says; None for any other value.
fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let inside = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inside));
    }
    Some(Cow::Owned(serde_json::from_str(value.get()).expect("a string")))
}

fn hash(value: &RawValue, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let Some(text) = text(value) else { return out.extend_from_slice(value.get().as_bytes()) };
    let digest = Sha256::new().chain_update(SALT).chain_update(&*text).finalize();
    let mut quoted = [b'"'; 66];
    for (pair, byte) in quoted[1..65].chunks_exact_mut(2).zip(digest) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    out.extend_from_slice(&quoted);
}

/// First word, initial of the second, full stop; of one word its initial.
fn shorten(value: &RawValue, out: &mut Vec<u8>) {
    let Some(text) = text(value) else { return out.extend_from_slice(value.get().as_bytes()) };
    let mut words = text.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    let initial = second.unwrap_or(first).chars().next();
    let short: String = second.map(|_| first).unwrap_or_default().chars().chain(initial).collect();
    let dot = if initial.is_some() { "." } else { "" };
    serde_json::to_writer(out, &format!("{short}{dot}")).expect("a Vec");
}
