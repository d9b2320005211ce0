//! What came out, in the form in which a scenario expects it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::outcome::{self, Outcome};
use crate::cli::read_back::Kept;
use crate::topology::scenario::{Content, Json, Scenario};
use crate::topology::{OnError, Topology};

/// An `expect:` block to paste. JSON is YAML, so rows stand as they came.
pub fn expectation(scenario: &Scenario, outcome: &Outcome) -> String {
    let mut out = String::from("expect:\n");
    if let Some(reason) = &outcome.stopped {
        put(&mut out, format_args!("  stops: {}\n", Json::Text(reason.clone())));
    }
    let topology = &scenario.topology;
    let kinds = kinds(topology, scenario.topics.keys());
    let rows: Vec<_> =
        outcome.committed.iter().filter(|(topic, _)| kinds.get(*topic) != Some(&Kind::Changelog)).collect();
    put(&mut out, format_args!("  output:"));
    let outputs = rows.iter().filter(|(topic, got)| !got.is_empty() && !kinds.contains_key(*topic));
    let mut is_empty = true;
    for (topic, got) in outputs {
        put(&mut out, format_args!("{}    {topic}:\n", if std::mem::take(&mut is_empty) { "\n" } else { "" }));
        got.iter().for_each(|written| row(&mut out, written));
    }
    put(&mut out, format_args!("{}", if is_empty { " {}\n" } else { "" }));
    let letters = rows.iter().filter(|(topic, _)| kinds.get(*topic) == Some(&Kind::DeadLetters));
    let letters: Vec<&Kept> = letters.flat_map(|(_, got)| got.iter()).collect();
    if !letters.is_empty() {
        put(&mut out, format_args!("  dead_letters:\n"));
        letters.into_iter().for_each(|written| letter(&mut out, written));
    }
    if !outcome.keys.is_empty() {
        let keys: Vec<String> = outcome.keys.iter().map(|(stream, keys)| format!("{stream}: {keys}")).collect();
        put(&mut out, format_args!("  state: {{ {} }}\n", keys.join(", ")));
    }
    out
}

#[derive(PartialEq)]
enum Kind {
    Changelog,
    DeadLetters,
}

/// The topics that hold no rows.
fn kinds<'t>(topology: &Topology, sources: impl Iterator<Item = &'t String>) -> BTreeMap<String, Kind> {
    let mut kinds = BTreeMap::new();
    let sources: Vec<&String> = sources.collect();
    for stream in &topology.streams {
        kinds.extend(sources.iter().map(|source| (topology.changelog(&stream.name, source), Kind::Changelog)));
        if let OnError::DeadLetter { topic } = &stream.on_error {
            kinds.insert(topic.clone(), Kind::DeadLetters);
        }
    }
    kinds
}

fn row(out: &mut String, written: &Kept) {
    put(
        out,
        format_args!(
            "      - key: {}\n        value: {}\n",
            yaml(&outcome::key(written)),
            yaml(&outcome::value(written))
        ),
    );
    if !written.headers.is_empty() {
        let text = |value: &Option<Vec<u8>>| match value {
            Some(value) => Json::Text(String::from_utf8_lossy(value).into_owned()),
            None => Json::Null,
        };
        let headers = written.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        put(out, format_args!("        headers: {}\n", Json::Object(headers)));
    }
}

fn letter(out: &mut String, written: &Kept) {
    let Content::Json(json) = outcome::value(written) else { return };
    let members = ["topic", "partition", "offset", "reason"];
    let members = members.iter().filter_map(|name| Some(((*name).to_owned(), json.get(name)?.clone())));
    put(out, format_args!("    - {}\n", Json::Object(members.collect())));
}

/// A mapping or a list is itself; of all else the bytes, within quotes where they would be read as something else.
fn yaml(content: &Content) -> String {
    match content {
        Content::Absent => "null".into(),
        Content::Json(json @ (Json::Object(_) | Json::Array(_))) => json.to_string(),
        other => Json::Text(other.to_string()).to_string(),
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text); // a String takes everything
}
