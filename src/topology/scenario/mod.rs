//! Scenario files: input records and what must come of them under a topology.
//!
//! Read as topology.yaml is: every error at once, each where it stands. What they mean is told by
//! `highwater topology test --help`; they are run by `cli/test_topology`.

mod change;
mod expect;
mod fixture;
mod input;
pub mod json;
mod read;
mod series;

use std::collections::BTreeMap;

use super::Topology;
pub use json::{Content, Json};
pub use read::is_another_kind;

/// A checked scenario.
#[derive(Debug)]
pub struct Scenario {
    pub name: String,
    pub topology: Topology,
    /// The source topics with their partitions, those without records included.
    pub topics: BTreeMap<String, i32>,
    /// What happens, in order; what was written before a step is processed to its end first.
    pub steps: Vec<Step>,
    pub expect: Expect,
}

#[derive(Debug)]
pub enum Step {
    Write(Vec<Input>),
    /// A clean stop and a start, with the state kept.
    Restart,
    Crash(Crash),
    /// A clean stop, the state directory gone, and a start.
    LoseState,
    /// A clean stop, committed offsets set to `offset`, and a start. `partition`: None for all of the topic.
    Rewind {
        topic: String,
        partition: Option<i32>,
        offset: i64,
    },
}

/// When the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Everything is processed, nothing of it committed.
    InTransaction,
    /// The transaction is committed, the state knows nothing of it yet.
    AfterCommit,
}

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    pub topic: String,
    /// None: by murmur2 of the key.
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp: Option<i64>,
}

/// What must come of it. Lines are those of the scenario file.
#[derive(Debug, Default)]
pub struct Expect {
    pub output: Vec<Output>,
    pub order: Order,
    pub counts: Vec<Count>,
    pub absent: Vec<Absent>,
    pub dead_letters: DeadLetters,
    pub state: Vec<Keys>,
    pub metrics: Vec<Metric>,
    pub never: Vec<Stated<String>>,
    /// A text that the reason holds for which the topology stops.
    pub stops: Option<Stated<String>>,
    /// Topics that get rows must be mentioned.
    pub strict: bool,
}

/// Something with the line where it is stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated<T> {
    pub value: T,
    pub line: usize,
}

/// All rows of a topic.
#[derive(Debug)]
pub struct Output {
    pub topic: String,
    pub line: usize,
    pub rows: Vec<Row>,
}

#[derive(Debug)]
pub struct Row {
    pub line: usize,
    /// None: any.
    pub key: Option<Content>,
    pub value: Wanted,
    /// Columns that the row must not have.
    pub absent: Vec<String>,
    /// None: any. A header without a value is `None`.
    pub headers: Option<Vec<(String, Option<String>)>>,
}

#[derive(Debug)]
pub enum Wanted {
    Any,
    Exactly(Content),
    /// At least these columns.
    Columns(Vec<(String, Json)>),
}

/// In which order rows must come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    #[default]
    PerKey,
    /// By partition and offset.
    Exact,
    Any,
}

/// How many rows a topic has.
#[derive(Debug)]
pub struct Count {
    pub topic: String,
    pub rows: u64,
    pub line: usize,
}

/// Columns that no row of a topic has.
#[derive(Debug)]
pub struct Absent {
    pub topic: String,
    pub columns: Vec<String>,
    pub line: usize,
}

#[derive(Debug)]
pub enum DeadLetters {
    /// These and no others, in any order, each by some of its fields.
    Listed(Vec<Stated<Vec<(String, Json)>>>),
    Any,
}

impl Default for DeadLetters {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

/// The number of keys whose position a stream's store holds.
#[derive(Debug)]
pub struct Keys {
    pub stream: String,
    pub keys: u64,
    pub line: usize,
}

/// A metric as it is after the last record. Labels that are not named are summed over.
#[derive(Debug)]
pub struct Metric {
    /// As it was written.
    pub series: String,
    /// With its prefix.
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
    pub line: usize,
}
