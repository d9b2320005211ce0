//! `fixture:`, captured topics: JSON lines of `{"topic","partition","offset","timestamp","key","value","headers"}`.
//!
//! Key and value are the raw strings, null where absent; headers a list of `[name, value]`; offsets are not used.

use serde::Deserialize;

use super::Input;
use super::read::text;
use crate::topology::Topology;
use crate::topology::reader::{Fields, Reader, list};

pub(super) const KNOWN: [&str; 3] = ["fixture", "topics", "rename"];

#[derive(Deserialize)]
struct Line {
    topic: String,
    #[serde(default)]
    partition: Option<i32>,
    #[serde(default)]
    timestamp: Option<i64>,
    key: Option<String>,
    value: Option<String>,
    #[serde(default)]
    headers: Vec<(String, Option<String>)>,
}

/// The records of the topics that the topology reads.
pub(super) fn read(reader: &mut Reader<'_>, fields: Fields<'_>, topology: Option<&Topology>) -> Option<Vec<Input>> {
    let entry = fields.get("fixture")?;
    let at = entry.value.span;
    let path = text(reader, &entry.value, entry.key_span, "`fixture`")?;
    let path = reader.dir.join(path);
    let rename = match fields.get("rename") {
        Some(entry) => renames(reader, entry),
        None => Vec::new(),
    };
    let only = match fields.get("topics") {
        Some(entry) => {
            let items = reader.seq(&entry.value, entry.key_span, "`topics`").unwrap_or_default();
            Some(items.iter().filter_map(|item| text(reader, item, item.span, "a topic")).collect::<Vec<_>>())
        }
        None => None,
    };
    let content = match std::fs::read_to_string(&path) {
        Ok(content) => content,
        Err(error) => {
            let message = format!("the fixture `{}` cannot be read", path.display());
            reader.error("fixture", at, message, format!("{error}; paths start at the scenario's directory"));
            return None;
        }
    };
    let mut records = Vec::new();
    let mut topics = std::collections::BTreeSet::new();
    for (index, line) in content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line: Line = match serde_json::from_str(line) {
            Ok(line) => line,
            Err(error) => {
                let message = format!("line {} of the fixture is no captured record", index + 1);
                let label = format!("{} at column {}", reason(&error), error.column());
                reader.error("fixture", at, message, label);
                return None;
            }
        };
        let topic = renamed(line.topic, &rename);
        let wanted = only.as_ref().is_none_or(|only| only.contains(&topic));
        if wanted && topology.is_none_or(|topology| topology.reader_of(&topic).is_some()) {
            let bytes = |text: Option<String>| text.map(String::into_bytes);
            let headers = line.headers.into_iter().map(|(name, value)| (name, bytes(value))).collect();
            let (partition, timestamp) = (line.partition, line.timestamp);
            let (key, value) = (bytes(line.key), bytes(line.value));
            records.push(Input { topic, partition, key, value, headers, timestamp });
        } else {
            topics.insert(topic);
        }
    }
    if records.is_empty() {
        let has = format!("it has {}", list(topics.iter().map(String::as_str)));
        let help = [has.as_str(), "`rename: { PREFIX: OTHER }` gives its topics the names that a stream reads"];
        reader.explain("fixture", at, "the fixture has no record of a topic that a stream reads", "", &help);
    }
    Some(records)
}

/// What was wrong, without what was there.
fn reason(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Data => "a field is missing or of the wrong type",
        _ => "not JSON",
    }
}

/// `rename: { lab.cdc.: brew.cdc. }`: prefixes of topics.
fn renames(reader: &mut Reader<'_>, entry: &crate::topology::yaml::Entry) -> Vec<(String, String)> {
    let entries = reader.map(&entry.value, entry.key_span, "`rename`").unwrap_or_default();
    let mut read = Vec::new();
    for entry in entries {
        if let Some(to) = text(reader, &entry.value, entry.key_span, "a prefix") {
            read.push((entry.key.clone(), to));
        }
    }
    read
}

fn renamed(topic: String, rename: &[(String, String)]) -> String {
    let found = rename.iter().find_map(|(from, to)| Some(format!("{to}{}", topic.strip_prefix(from.as_str())?)));
    found.unwrap_or(topic)
}
