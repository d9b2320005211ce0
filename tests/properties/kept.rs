//! The inputs of `make fuzz`: those to begin from, and every one that ever made it fail (`found-…`).

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use crate::fuzz::TARGETS;

#[test]
fn inputs_that_are_kept_pass() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let names = |dir: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&seeds), targets, "a folder a target");
    let mut failed = Vec::new();
    for (target, run) in TARGETS {
        let dir = seeds.join(target);
        let inputs = names(&dir);
        assert!(!inputs.is_empty(), "{target} has no inputs");
        for input in inputs {
            let bytes = fs::read(dir.join(&input)).expect("an input");
            if catch_unwind(|| run(&bytes)).is_err() {
                failed.push(format!("fuzz/seeds/{target}/{input}"));
            }
        }
    }
    assert!(failed.is_empty(), "wrong, and why is said above: {failed:#?}");
}

/// Each record of the captures, and each topology of the tests.
#[test]
fn real_records_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |dir: &str, kind: &str| {
        let entries = fs::read_dir(root.join(dir)).expect("a folder").map(|entry| entry.expect("an entry").path());
        entries.filter(|path| path.extension().is_some_and(|own| own == kind)).collect::<Vec<_>>()
    };
    let mut records = 0;
    for path in files("fixtures/debezium", "jsonl") {
        for line in fs::read_to_string(path).expect("a capture").lines() {
            let record: serde_json::Value = serde_json::from_str(line).expect("a record");
            let text = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
            crate::fuzz::lines(line.as_bytes());
            crate::fuzz::envelope(text("value").as_bytes());
            crate::fuzz::key(text("key").as_bytes());
            let envelope: serde_json::Value = serde_json::from_str(&text("value")).unwrap_or_default();
            let rules = "passthrough id?=passthrough email?=hash phone?=partial full_name?=truncate birth_date?=drop";
            crate::fuzz::splice(format!("{rules}\n{}\n{}", envelope["after"], envelope["before"]).as_bytes());
            records += 1;
        }
    }
    assert!(records > 1000, "{records} records");
    for path in files(".", "yaml").into_iter().chain(files("tests/topology", "yaml")) {
        crate::fuzz::topology(&fs::read(path).expect("a topology"));
    }
}
