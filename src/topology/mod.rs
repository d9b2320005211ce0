//! topology.yaml: its text in, a checked topology out, or every error in it at once.
//!
//! [`Topology::load`] is the way in. The text becomes a tree with positions (`yaml`), the tree is read section by section
//! (`spec`, `stream`, `steps`, `fields`, `kafka`, `rules_file`) while everything wrong is collected (`reader`,
//! `diagnostics`), and what only shows between streams is checked at the end (`check`). No diagnostic shows a secret
//! (`redact`).

mod check;
pub mod describe;
pub mod diagnostics;
mod fields;
mod kafka;
mod load;
mod names;
mod reader;
mod redact;
mod rules_file;
mod spec;
mod steps;
mod stream;
mod substitute;
mod units;
pub mod yaml;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use load::{Loaded, Mode, process_env};

use crate::operators::{dedup, mask};
use crate::record::Secret;

/// A checked topology. What `run` gets; `validate` and `describe` get the same with secrets unresolved.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Consumer group; prefix of transactional ids and internal topics.
    pub application: String,
    /// librdkafka properties, checked against those that would break the guarantee.
    pub kafka: BTreeMap<String, String>,
    pub commit_interval: Duration,
    pub transaction_timeout: Duration,
    pub static_membership: bool,
    pub threads: usize,
    pub state: State,
    pub http: Option<SocketAddr>,
    pub streams: Vec<Stream>,
}

#[derive(Debug, Clone)]
pub struct State {
    pub path: PathBuf,
    /// Where set, the stores' digest keys derive from it; else each store partition makes its own.
    pub secret: Option<Secret>,
    /// Bytes for all stores together: block cache and memtables.
    pub memory: u64,
}

#[derive(Debug, Clone)]
pub struct Stream {
    pub name: String,
    pub source: Source,
    pub dedup: Option<dedup::Config>,
    pub mask: mask::Config,
    pub to: Target,
    /// Header names that pass; all others stay behind.
    pub headers: Vec<String>,
    pub on_error: OnError,
}

#[derive(Debug, Clone)]
pub enum Source {
    Topics(Vec<String>),
    /// Anchored at both ends.
    Pattern(regex::Regex),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// May hold `{name}` of the source pattern's named groups.
    Topic(String),
    /// `target_topic` of the rules file, by table.
    ByTable(BTreeMap<String, String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnError {
    Fail,
    Skip,
    DeadLetter { topic: String },
}

impl Topology {
    /// The topic that backs the store of one source topic.
    pub fn changelog(&self, stream: &str, source_topic: &str) -> String {
        changelog(&self.application, stream, source_topic)
    }

    /// The stream that reads a topic; a checked topology has at most one for each literal topic.
    pub fn reader_of(&self, topic: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.reads(topic))
    }
}

fn changelog(application: &str, stream: &str, source_topic: &str) -> String {
    format!("{application}-{stream}-{source_topic}-changelog")
}

impl Source {
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            Source::Topics(topics) => topics.iter().any(|own| own == topic),
            Source::Pattern(regex) => regex.is_match(topic),
        }
    }

    /// The pattern as it was written, without the anchors.
    pub fn pattern(&self) -> Option<&str> {
        let Source::Pattern(regex) = self else { return None };
        let text = regex.as_str();
        Some(text.strip_prefix("^(?:").and_then(|text| text.strip_suffix(")$")).unwrap_or(text))
    }
}

impl Stream {
    pub fn reads(&self, topic: &str) -> bool {
        self.source.matches(topic)
    }

    /// Where rows of a source topic go. `None` where the table decides, and for topics that the stream does not read.
    pub fn target_for(&self, source_topic: &str) -> Option<String> {
        let Target::Topic(template) = &self.to else { return None };
        if !self.reads(source_topic) {
            return None;
        }
        let groups = match &self.source {
            Source::Pattern(regex) => regex.captures(source_topic),
            Source::Topics(_) => None,
        };
        let value = |name: &str| match groups.as_ref().and_then(|groups| groups.name(name)) {
            Some(group) => group.as_str().to_owned(),
            None if name == "topic" => source_topic.to_owned(),
            None => String::new(),
        };
        Some(names::expand(template, value))
    }

    /// Every topic or template written to, each once.
    pub fn targets(&self) -> Vec<&str> {
        match &self.to {
            Target::Topic(topic) => vec![topic],
            Target::ByTable(topics) => {
                let unique: std::collections::BTreeSet<&str> = topics.values().map(String::as_str).collect();
                unique.into_iter().collect()
            }
        }
    }
}
