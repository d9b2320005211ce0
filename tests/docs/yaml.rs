//! Every YAML of the documents is loaded by what reads it in earnest.

use std::fs;
use std::path::Path;

use highwater::topology::scenario::Scenario;
use highwater::topology::{Mode, Topology};

use crate::page::{Block, ROOT, pages};
use crate::support::Dir;

/// A topology that fragments stand in, part by part.
const TOP: [(&str, &str); 4] = [
    ("application", "application: app\n"),
    ("kafka", "kafka: { bootstrap.servers: 'localhost:9092' }\n"),
    ("secrets", "secrets: { pii: '${PII}' }\n"),
    ("streams", ""),
];
const STREAM: [(&str, &str); 3] = [
    ("from", "from: { pattern: 'in\\.(?<table>a|b)' }\n"),
    ("steps", "steps: [dedup, { mask: none }]\n"),
    ("to", "to: '{topic}.clean'\n"),
];

/// What a text is, by its first word.
#[derive(Debug, PartialEq)]
enum Kind {
    Topology(String),
    Rules(String),
    Scenario,
}

fn indented(text: &str, by: usize) -> String {
    let pad = " ".repeat(by);
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{pad}{line}\n") }).collect()
}

/// The whole with one part of it, or more, given by the fragment.
fn with(parts: &[(&str, &str)], fragment: &str, own: &dyn Fn(&str) -> bool) -> String {
    let kept: String = parts.iter().filter(|(name, _)| !own(name)).map(|(_, text)| *text).collect();
    format!("{kept}{fragment}")
}

fn stream(fragment: &str) -> String {
    let own = |name: &str| fragment.lines().any(|line| line.starts_with(&format!("{name}:")));
    let stream = indented(&with(&STREAM, fragment, &own), 4);
    top(&format!("streams:\n  s:\n{stream}"))
}

fn top(fragment: &str) -> String {
    let own = |name: &str| fragment.lines().any(|line| line.starts_with(&format!("{name}:")));
    // There is one log.
    let log = |name: &str| own(name) || (name == "kafka" && own("embedded"));
    let text = with(&TOP, fragment, &log);
    if own("streams") { text } else { format!("{text}streams:\n  s:\n{}", indented(&with(&STREAM, "", &|_| false), 4)) }
}

fn sink(fragment: &str) -> String {
    top(&format!("sinks:\n  s:\n    from: {{ pattern: 'rows\\.(?<table>.+)' }}\n{}", indented(fragment, 4)))
}

fn steps(items: &str) -> String {
    let before = if items.contains("dedup") { "" } else { "- dedup\n" };
    let after = if items.contains("mask") { "" } else { "- mask: none\n" };
    stream(&format!("steps:\n{}", indented(&format!("{before}{items}{after}"), 2)))
}

/// None where no rule covers it.
fn kind(text: &str) -> Option<Kind> {
    let margin = text.lines().filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len());
    let margin = margin.min()?;
    let text: String = text.lines().map(|line| format!("{}\n", line.get(margin..).unwrap_or_default())).collect();
    let first = text.lines().find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let word = first.split([':', ' ']).next()?;
    let whole = match word {
        "application" => text.clone(),
        "kafka" | "embedded" | "commit_interval" | "threads" | "state" | "http" | "secrets" | "defaults"
        | "streams" | "sinks" | "redis" | "postgres" => top(&text),
        "clickhouse" => sink(&text),
        "tenant" => sink(&format!("{text}clickhouse:\n  url: http://click.example:8123\n  table: t\n")),
        "batch" => sink(&format!("clickhouse:\n  url: http://click.example:8123\n  table: t\n{}", indented(&text, 2))),
        "from" | "to" | "steps" | "on_error" => stream(&text),
        "dead_letter" => stream(&format!("on_error:\n{}", indented(&text, 2))),
        "-" => steps(&text),
        "dedup" | "filter" | "mask" => steps(&format!("-\n{}", indented(&text, 2))),
        "fields" => steps(&format!("- mask:\n{}", indented(&text, 4))),
        "tables" | "salt" => return Some(Kind::Rules(text)),
        "name" if text.contains("\ninput:\n") => return Some(Kind::Scenario),
        // A table of a rules file.
        _ if first.ends_with('}') && first.contains(" fields: ") => {
            return Some(Kind::Rules(format!("tables:\n{}", indented(&text, 2))));
        }
        _ => return None,
    };
    Some(Kind::Topology(whole))
}

/// What is wrong with it.
fn faults(block: &Block) -> Option<String> {
    let topology = |text: &str, dir: &Path| {
        let found = Topology::parse(text, "topology.yaml", dir, Mode::Check, &|_| None).err();
        found.map(|found| format!("{found}\n{text}"))
    };
    match kind(&block.text) {
        None => Some("no rule covers this YAML: see tests/docs/yaml.rs".to_owned()),
        Some(Kind::Topology(text)) => topology(&text, Path::new(ROOT)),
        Some(Kind::Rules(text)) => {
            let dir = Dir::new("docs-rules");
            fs::write(dir.join("rules.yaml"), text).expect("a file");
            topology(&steps("- mask: { rules: rules.yaml }\n"), dir.path())
        }
        // Its topology is the document's; there it runs.
        Some(Kind::Scenario) if block.note.starts_with("file: ") => None,
        Some(Kind::Scenario) => {
            Scenario::parse(&block.text, Path::new("scenario.yaml"), None).err().map(|found| found.to_string())
        }
    }
}

#[test]
fn every_yaml_loads() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for block in pages().iter().flat_map(|page| &page.blocks).filter(|block| block.lang == "yaml") {
        count += 1;
        wrong.extend(faults(block).map(|why| format!("{}: {why}", block.at)));
    }
    assert!(count >= 20, "{count} blocks");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wrong_yaml_is_found_in_every_place() {
    let wrong = |text: &str| {
        let page = crate::page::Page::read("a.md", &format!("```yaml\n{text}```\n"));
        assert!(faults(&page.blocks[0]).is_some(), "{text:?} passes");
    };
    for text in [
        "application: a\nstraems: {}\n",
        "threads: 65\n",
        "embedded: { paht: a }\n",
        "to: { topc: a }\n",
        "steps: [dedup, { musk: none }]\n",
        "dead_letter: { topc: a }\n",
        "- dedup: { on_regression: no }\n",
        "filter: { field: a, eqals: b }\n",
        "    fields: { email: hsah }\n",
        "tables: { a: { fields: { b: hsah } } }\n",
        "customers: { target_topic: a, fields: { b: hsah } }\n",
        "name: n\ninput:\n  - restrat\n",
        "something: else\n",
    ] {
        wrong(text);
    }
}
