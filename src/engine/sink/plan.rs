//! What is written to the log about an insert before it is sent.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::log::TopicId;

/// Of one partition, the last insert: under its name in the sink's topic of plans, which is compacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub version: u8,
    /// It may not be in yet.
    pub open: bool,
    pub topic: String,
    pub topic_id: String,
    pub partition: i32,
    /// Offsets of the first and the last row.
    pub first: i64,
    pub last: i64,
    /// The offset that is committed with it: the first that no plan holds yet.
    pub next: i64,
    pub rows: u64,
    /// Offsets from the first row up to `next` whose records are no rows of it.
    pub excluded: Vec<i64>,
    /// Offsets from `next` on whose records have gone by `on_error` already: an earlier plan that held them was cut or withdrawn.
    pub told: Vec<i64>,
    /// Of the offsets and of what is inserted.
    pub hash: String,
    pub table: String,
    /// Name and type, in the order of the insert.
    pub columns: Vec<(String, String)>,
    pub token: String,
}

pub const VERSION: u8 = 1;

impl Plan {
    pub fn encode(&self) -> Vec<u8> {
        // Strings and numbers: nothing that could fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Why it cannot be read, if it cannot.
    pub fn decode(bytes: &[u8]) -> Result<Plan, String> {
        let plan: Plan = serde_json::from_slice(bytes).map_err(|error| format!("it is no plan: {error}"))?;
        match plan.version {
            VERSION => Ok(plan),
            version => Err(format!("it is of version {version}, this Highwater reads {VERSION}")),
        }
    }

    pub fn is_of(&self, topic_id: &TopicId) -> bool {
        self.topic_id == hex(topic_id)
    }
}

/// What a partition's plans stand under.
pub fn key(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of the rows' offsets and their bytes as they are inserted.
pub fn hash(columns: &[(String, String)], offsets: impl Iterator<Item = i64>, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for (name, ty) in columns {
        for text in [name, ty] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    }
    hash.update((columns.len() as u64).to_le_bytes());
    offsets.for_each(|offset| hash.update(offset.to_le_bytes()));
    hash.update(body);
    hex(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_back_and_what_is_none_is_refused() {
        let plan = Plan {
            version: VERSION,
            open: true,
            topic: "out".into(),
            topic_id: hex(&[0xab; 16]),
            partition: 3,
            first: 10,
            last: 19,
            next: 21,
            rows: 9,
            excluded: vec![15],
            told: vec![22],
            hash: hash(&[("id".into(), "UInt64".into())], [10].into_iter(), b"x"),
            table: "d.t".into(),
            columns: vec![("id".into(), "UInt64".into())],
            token: "t".into(),
        };
        assert_eq!(Plan::decode(&plan.encode()), Ok(plan.clone()));
        assert!(plan.is_of(&[0xab; 16]) && !plan.is_of(&[0xac; 16]));
        let later = String::from_utf8(plan.encode()).unwrap().replace("\"version\":1", "\"version\":2");
        assert!(Plan::decode(later.as_bytes()).unwrap_err().contains("version 2"));
        assert!(Plan::decode(b"{}").is_err());
        assert!(Plan::decode(&later.replace("\"open\"", "\"opened\"").into_bytes()).is_err());
    }

    #[test]
    fn the_hash_is_of_everything_that_is_inserted() {
        let columns = |ty: &str| vec![("a".to_owned(), ty.to_owned())];
        let base = hash(&columns("Int8"), [1, 2].into_iter(), b"xy");
        for other in [
            hash(&columns("Int16"), [1, 2].into_iter(), b"xy"),
            hash(&columns("Int8"), [1, 3].into_iter(), b"xy"),
            hash(&columns("Int8"), [1, 2].into_iter(), b"xz"),
            hash(&[], [1, 2].into_iter(), b"xy"),
        ] {
            assert_ne!(base, other);
        }
    }
}
