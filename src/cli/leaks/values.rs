//! The values that are looked for, and where each was met first.

use std::collections::HashSet;
use std::fmt;

use hmac::{Hmac, Mac};
use rustc_hash::FxHashMap;
use sha2::Sha256;

use crate::record::json;

/// Shorter texts, and shorter numbers, turn up by chance: six digits are every millionth number, and offsets, positions
/// and times are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortest {
    pub text: usize,
    pub digits: usize,
}

impl Default for Shortest {
    fn default() -> Self {
        Self { text: 6, digits: 9 }
    }
}

/// A longer value is looked for by its beginning, its middle and its end, each so long.
const PIECE: usize = 40;

/// Where in a source a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub part: Part,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Of a row, after or before the change.
    Column(String),
    /// Of the record key.
    Key(String),
    /// Names of headers may be data: its number.
    Header(usize),
    /// What is no envelope, or no JSON: all of it.
    Value,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Column(name) => write!(f, "column {name}"),
            Part::Key(name) if name.is_empty() => f.write_str("the key"),
            Part::Key(name) => write!(f, "column {name} of the key"),
            Part::Header(at) => write!(f, "header {at}"),
            Part::Value => f.write_str("the value, which is no change"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}-{}@{}", self.part, self.topic, self.partition, self.offset)
    }
}

/// A value. It shows as a digest under a key that is forgotten with the process: the same value has the same digest in one
/// report, and from no report can it be guessed.
#[derive(Debug, Clone)]
pub struct Value {
    pub digest: String,
    pub origin: Origin,
    /// How many places of the sample hold it.
    pub times: usize,
}

/// Values, each once.
pub struct Values {
    shortest: Shortest,
    key: [u8; 32],
    numbers: FxHashMap<Vec<u8>, usize>,
    pub all: Vec<Value>,
    /// What is looked for: a piece, and whose.
    pieces: Vec<(Vec<u8>, usize)>,
    too_short: HashSet<Vec<u8>>,
}

impl Values {
    pub fn new(shortest: Shortest) -> Result<Self, String> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|e| format!("no randomness: {e}"))?;
        let (numbers, all, pieces, too_short) = Default::default();
        Ok(Self { shortest, key, numbers, all, pieces, too_short })
    }

    /// Values that are known without a source: what a test has planted.
    pub fn of(texts: &[&str]) -> Result<Self, String> {
        let mut values = Self::new(Shortest { text: 1, digits: 1 })?;
        for (text, offset) in texts.iter().zip(0..) {
            values.add(text, text, || Origin { topic: "planted".into(), partition: 0, offset, part: Part::Value });
        }
        Ok(values)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Different values that were too short.
    pub fn too_short(&self) -> usize {
        self.too_short.len()
    }

    pub(super) fn pieces(&self) -> &[(Vec<u8>, usize)] {
        &self.pieces
    }

    /// Adds a value, as it is meant and as its source spells it.
    pub fn add(&mut self, text: &str, raw: &str, origin: impl FnOnce() -> Origin) {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return;
        }
        if let Some(number) = self.numbers.get(trimmed.as_bytes()) {
            if let Some(value) = self.all.get_mut(*number) {
                value.times += 1;
            }
            return;
        }
        let shortest = if is_number(trimmed) { self.shortest.digits } else { self.shortest.text };
        if trimmed.chars().count() < shortest {
            self.too_short.insert(trimmed.as_bytes().to_vec());
            return;
        }
        let number = self.all.len();
        self.all.push(Value { digest: self.digest(trimmed), origin: origin(), times: 1 });
        self.numbers.insert(trimmed.as_bytes().to_vec(), number);
        self.pieces.extend(pieces(trimmed).into_iter().map(|piece| (piece.as_bytes().to_vec(), number)));
        if raw.trim() != trimmed {
            self.pieces.extend(pieces(raw.trim()).into_iter().map(|piece| (piece.as_bytes().to_vec(), number)));
        }
    }

    fn digest(&self, text: &str) -> String {
        #[allow(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.key).expect("HMAC takes keys of every length");
        mac.update(text.as_bytes());
        let mut hex = Vec::new();
        json::hex(&mac.finalize().into_bytes()[..4], &mut hex);
        String::from_utf8_lossy(&hex).into_owned()
    }
}

/// Whether only numbers around it could make it a chance.
pub(super) fn is_number(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
}

fn pieces(text: &str) -> Vec<&str> {
    if text.len() <= PIECE + PIECE / 2 {
        return vec![text];
    }
    let piece = |from: usize| text.get(text.ceil_char_boundary(from)..text.ceil_char_boundary(from + PIECE));
    [0, (text.len() - PIECE) / 2, text.len() - PIECE].into_iter().filter_map(piece).filter(|p| !p.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(offset: i64) -> Origin {
        Origin { topic: "t".into(), partition: 1, offset, part: Part::Column("email".into()) }
    }

    #[test]
    fn a_value_is_there_once_and_short_ones_are_counted() {
        let mut values = Values::new(Shortest::default()).unwrap();
        for (text, offset) in [
            ("ivan@example.com", 0),
            (" ivan@example.com ", 1),
            ("ivan", 2),
            ("ivan", 3),
            ("12345678", 4),
            ("", 5),
            ("Zoë Müller", 6),
            ("+79110007919", 7),
        ] {
            values.add(text, text, || origin(offset));
        }
        let offsets: Vec<_> = values.all.iter().map(|value| (value.origin.offset, value.times)).collect();
        assert_eq!((offsets, values.too_short()), (vec![(0, 2), (6, 1), (7, 1)], 2));
        assert_eq!(values.all[0].origin.to_string(), "column email of t-1@0");
        assert!(values.all.iter().all(|value| value.digest.len() == 8));
    }

    #[test]
    fn digests_are_of_one_report_only() {
        let digest = || Values::of(&["ivan@example.com"]).unwrap().all[0].digest.clone();
        assert_ne!(digest(), digest());
    }

    #[test]
    fn long_values_are_looked_for_by_pieces() {
        let text = format!("{}{}{}", "a".repeat(50), "é".repeat(50), "z".repeat(50));
        let pieces = pieces(&text);
        assert_eq!(pieces.len(), 3);
        assert_eq!((pieces[0], pieces[2]), ("a".repeat(40).as_str(), "z".repeat(40).as_str()));
        assert!(pieces[1].chars().all(|c| c == 'é') && pieces[1].chars().count() == 20);
        assert_eq!(super::pieces("short"), ["short"]);
    }
}
