//! The house keeps its shape: imports point down, foreign libraries stay behind their doors, files stay small.

use std::fs;
use std::path::Path;

/// Each room and those it may import from.
const ROOMS: [(&str, &[&str]); 9] = [
    ("cli", &["engine", "topology", "connectors", "operators", "store", "record", "log", "telemetry"]),
    ("engine", &["topology", "connectors", "operators", "store", "record", "log", "telemetry"]),
    // A step's own file defines its configuration; the topology holds it.
    ("topology", &["connectors", "operators", "store", "record", "telemetry"]),
    ("connectors", &["record", "telemetry"]),
    ("operators", &["store", "record", "telemetry"]),
    ("store", &["record", "telemetry"]),
    ("log", &["record", "telemetry"]),
    ("telemetry", &[]),
    ("record", &[]),
];

/// A name that only some files may write, and why.
struct Door {
    is_named: fn(&str) -> bool,
    /// Folders (they end with a slash) or files.
    behind: &'static [&'static str],
    why: &'static str,
}

const DOORS: [Door; 6] = [
    Door {
        is_named: |word| word == "rdkafka" || word == "rdkafka_sys",
        behind: &["src/log/kafka/"],
        why: "only the Kafka log knows the Kafka library",
    },
    Door { is_named: |word| word == "unsafe", behind: &["src/log/kafka/"], why: "unsafe code lives nowhere else" },
    Door {
        is_named: |word| word == "rocksdb",
        behind: &["src/store/rocks.rs", "src/log/embedded/disk.rs"],
        why: "one file of a room knows RocksDB",
    },
    Door {
        is_named: |word| word == "serde_yaml" || word == "serde_saphyr",
        behind: &["src/topology/yaml.rs"],
        why: "one file knows the YAML library",
    },
    Door {
        is_named: |word| word == "postgres_client" || word == "tokio_postgres",
        behind: &["src/connectors/postgres/"],
        why: "only its own folder knows Postgres' library",
    },
    Door {
        is_named: |word| word == "redis_client",
        behind: &["src/connectors/redis/"],
        why: "only its own folder knows Redis' library",
    },
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "helper", "helpers", "misc"];

const MOST_LINES: usize = 700;

/// Every violation in the files, given as (path from the repository's root, text).
fn violations(files: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        let inside = path.strip_prefix("src/").unwrap_or(path);
        let parts: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
        if let Some(name) = parts.iter().find(|part| EMPTY_NAMES.contains(part)) {
            found.push(format!("{path}: {name:?} says nothing about what is inside"));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            found.push(format!("{path}: {lines} lines, {MOST_LINES} are the most"));
        }
        let tokens = tokens(text);
        for (line, word) in &tokens {
            for door in DOORS.iter().filter(|door| (door.is_named)(word) && !is_behind(path, door.behind)) {
                found.push(format!("{path}:{line}: {word} belongs in {}: {}", door.behind.join(" or "), door.why));
            }
        }
        if parts.len() == 1 {
            if !["main", "lib"].contains(&parts[0]) {
                found.push(format!("{path}: only main.rs and lib.rs lie loose; everything else lives in a room"));
            }
            continue;
        }
        let Some((room, allowed)) = ROOMS.iter().find(|(room, _)| *room == parts[0]) else {
            found.push(format!("{path}: {:?} is not a room of this house", parts[0]));
            continue;
        };
        // How many `super` lead out to the crate's root from the top of this file.
        let depth = parts.len() - usize::from(parts.last() == Some(&"mod"));
        for (line, name) in from_root(&tokens, depth) {
            let is_room = ROOMS.iter().any(|(room, _)| *room == name);
            if is_room && name != *room && !allowed.contains(&name.as_str()) {
                found.push(format!("{path}:{line}: {room} must not import {name}"));
            }
        }
    }
    found
}

fn is_behind(path: &str, doors: &[&str]) -> bool {
    doors.iter().any(|door| if door.ends_with('/') { path.starts_with(door) } else { path == *door })
}

/// The first names of all paths that start at the crate's root: `crate::a`, `crate::{a, b::{c}}`, `super::super::a`.
fn from_root(tokens: &[(usize, String)], depth: usize) -> Vec<(usize, String)> {
    let word = |index: usize| tokens.get(index).map_or("", |(_, word)| word.as_str());
    let mut names = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let mut next = index + 1;
        let starts = match word(index) {
            "crate" => true,
            "super" if index == 0 || word(index - 1) != "::" => {
                let mut supers = 1;
                while word(next) == "::" && word(next + 1) == "super" {
                    supers += 1;
                    next += 2;
                }
                supers >= depth
            }
            _ => false,
        };
        if starts && word(next) == "::" {
            names.extend(heads(tokens, next + 1));
        }
        index = next;
    }
    names
}

/// The name at `index`, or the first name of each member where a group in braces begins there.
fn heads(tokens: &[(usize, String)], index: usize) -> Vec<(usize, String)> {
    let Some(first) = tokens.get(index) else { return Vec::new() };
    if first.1 != "{" {
        return vec![first.clone()];
    }
    let (mut heads, mut level, mut is_head) = (Vec::new(), 1, true);
    for token in &tokens[index + 1..] {
        match token.1.as_str() {
            "{" => level += 1,
            "}" => level -= 1,
            "," if level == 1 => {
                is_head = true;
                continue;
            }
            _ if is_head => heads.push(token.clone()),
            _ => {}
        }
        is_head = false;
        if level == 0 {
            break;
        }
    }
    heads
}

/// Words and punctuation with their lines, without comments and without what stands in quotes.
fn tokens(text: &str) -> Vec<(usize, String)> {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut found, mut index, mut line) = (Vec::new(), 0, 1);
    while index < chars.len() {
        let start = index;
        match at(index) {
            '/' if at(index + 1) == '/' => {
                while index < chars.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            '/' if at(index + 1) == '*' => {
                let mut level = 0;
                while index < chars.len() {
                    let pair = (at(index), at(index + 1));
                    match pair {
                        ('/', '*') => level += 1,
                        ('*', '/') => level -= 1,
                        _ => {}
                    }
                    index += if pair == ('/', '*') || pair == ('*', '/') { 2 } else { 1 };
                    if level == 0 {
                        break;
                    }
                }
            }
            '"' => index = after_quote(&chars, index, '"'),
            // A character; else a lifetime.
            '\'' if at(index + 1) == '\\' || at(index + 2) == '\'' => index = after_quote(&chars, index, '\''),
            ':' if at(index + 1) == ':' => {
                found.push((line, "::".into()));
                index += 2;
            }
            c if is_word(c) => {
                while is_word(at(index)) {
                    index += 1;
                }
                let word: String = chars[start..index].iter().collect();
                let hashes = chars[index..].iter().take_while(|c| **c == '#').count();
                if ["r", "br", "cr"].contains(&word.as_str()) && at(index + hashes) == '"' {
                    index = after_raw(&chars, index + hashes + 1, hashes);
                } else {
                    found.push((line, word));
                }
            }
            c => {
                if !c.is_whitespace() {
                    found.push((line, c.into()));
                }
                index += 1;
            }
        }
        line += chars[start..index.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    found
}

fn after_quote(chars: &[char], open: usize, quote: char) -> usize {
    let mut index = open + 1;
    while index < chars.len() && chars[index] != quote {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    index + 1
}

fn after_raw(chars: &[char], mut index: usize, hashes: usize) -> usize {
    while index < chars.len() {
        let closing = chars[index + 1..].iter().take_while(|c| **c == '#').count();
        index += 1;
        if chars[index - 1] == '"' && closing >= hashes {
            return index + hashes;
        }
    }
    index
}

fn sources(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
            files.push((name, text));
        }
    }
}

#[test]
fn the_house_keeps_its_shape() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(root, &root.join("src"), &mut files);
    files.sort();
    assert!(files.iter().any(|(path, _)| path == "src/lib.rs"), "the sources were not found");
    let found = violations(&files);
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
}

#[test]
fn planted_violations_are_found() {
    let long = "\n".repeat(MOST_LINES + 1);
    // A path, a text, and what is found in it; nothing where that is empty.
    let cases: &[(&str, &str, &str)] = &[
        ("src/store/a.rs", "use crate::engine::Task;", "src/store/a.rs:1: store must not import engine"),
        ("src/record/a.rs", "\nfn f() { crate::log::open() }", "src/record/a.rs:2: record must not import log"),
        (
            "src/log/a.rs",
            "use crate::{record::Record, store::{Store, Key}};",
            "src/log/a.rs:1: log must not import store",
        ),
        ("src/log/a.rs", "use crate::{record::{store, Record}};", ""),
        ("src/operators/mod.rs", "use super::topology;", "src/operators/mod.rs:1: operators must not import topology"),
        ("src/operators/a.rs", "use super::super::cli::run;", "src/operators/a.rs:1: operators must not import cli"),
        ("src/operators/a/b.rs", "use super::super::cli::run;", ""),
        ("src/topology/a.rs", "use crate::operators::mask;", ""),
        ("src/telemetry/a.rs", "use crate::record::Reason;", "src/telemetry/a.rs:1: telemetry must not import record"),
        (
            "src/store/a.rs",
            "// use crate::engine::Task;\n/* crate::engine /* */ crate::cli */ let s = \"crate::engine\";",
            "",
        ),
        ("src/store/a.rs", "let s = r#\"crate::engine \" unsafe\"#; let c = '\"'; let d: &'a str = 'x';", ""),
        ("src/store/a.rs", "let c = '\"'; crate::engine::run()", "src/store/a.rs:1: store must not import engine"),
        (
            "src/engine/a.rs",
            "use rdkafka::Offset;",
            "src/engine/a.rs:1: rdkafka belongs in src/log/kafka/: only the Kafka log knows the Kafka library",
        ),
        ("src/log/kafka/a.rs", "use rdkafka::Offset; unsafe { rdkafka_sys::f() }", ""),
        (
            "src/log/a.rs",
            "unsafe { f() }",
            "src/log/a.rs:1: unsafe belongs in src/log/kafka/: unsafe code lives nowhere else",
        ),
        ("src/lib.rs", "#![forbid(unsafe_code)]", ""),
        (
            "src/store/mod.rs",
            "use rocksdb::DB;",
            "src/store/mod.rs:1: rocksdb belongs in src/store/rocks.rs or src/log/embedded/disk.rs: one file of a room knows \
             RocksDB",
        ),
        ("src/store/rocks.rs", "use rocksdb::DB;", ""),
        (
            "src/topology/a.rs",
            "serde_yaml::from_str(s)",
            "src/topology/a.rs:1: serde_yaml belongs in src/topology/yaml.rs: one file knows the YAML library",
        ),
        (
            "src/cli/db_load/mod.rs",
            "use crate::connectors::postgres::Database; postgres_client::connect()",
            "src/cli/db_load/mod.rs:1: postgres_client belongs in src/connectors/postgres/: only its own folder knows \
             Postgres' library",
        ),
        (
            "src/engine/a.rs",
            "use crate::connectors::redis::Server; redis_client::cmd()",
            "src/engine/a.rs:1: redis_client belongs in src/connectors/redis/: only its own folder knows Redis' library",
        ),
        (
            "src/connectors/a.rs",
            "use crate::topology::Topology;",
            "src/connectors/a.rs:1: connectors must not import topology",
        ),
        ("src/time.rs", "", "src/time.rs: only main.rs and lib.rs lie loose; everything else lives in a room"),
        ("src/attic/a.rs", "", "src/attic/a.rs: \"attic\" is not a room of this house"),
        ("src/engine/utils.rs", "", "src/engine/utils.rs: \"utils\" says nothing about what is inside"),
        ("src/log/common/a.rs", "", "src/log/common/a.rs: \"common\" says nothing about what is inside"),
        ("src/engine/a.rs", &long, "src/engine/a.rs: 701 lines, 700 are the most"),
    ];
    for (path, text, expected) in cases {
        let found = violations(&[((*path).into(), (*text).into())]);
        let expected: Vec<&str> = expected.lines().collect();
        assert_eq!(found, expected, "{path}: {}", text.lines().next().unwrap_or_default());
    }
}
