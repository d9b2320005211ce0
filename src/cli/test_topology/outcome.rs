//! What came of a scenario.

use std::collections::BTreeMap;

use crate::cli::read_back::Kept;
use crate::topology::scenario::Content;

pub struct Outcome {
    /// Committed records of every topic that is no source, by partition and offset.
    pub committed: BTreeMap<String, Vec<Kept>>,
    /// The same with what was aborted: it is on the disks of brokers all the same.
    pub left: BTreeMap<String, Vec<Kept>>,
    /// By stream with a store: the keys whose position it holds.
    pub keys: Vec<(String, u64)>,
    /// As `/metrics` shows them.
    pub metrics: String,
    /// Why the topology stopped, if it did.
    pub stopped: Option<String>,
}

pub fn key(record: &Kept) -> Content {
    Content::of(record.key.as_deref())
}

pub fn value(record: &Kept) -> Content {
    Content::of(record.value.as_deref())
}
