//! Every promise names the test that shows it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use crate::page::{ROOT, page};

fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(ROOT).join(path)).ok()
}

/// Whether a function is run as a test: by its attribute, or in a list of cases.
fn is_test(path: &str, name: &str) -> bool {
    let Some(text) = read(path) else { return false };
    let attribute = Regex::new(&format!(r"#\[test\]\s*(?:#\[[^\]]*\]\s*)*fn {name}\(")).unwrap();
    let (folder, _) = path.rsplit_once('/').unwrap_or_default();
    let listed = |text: String| {
        let lists = Regex::new(r"(?s)\n(?:cases! \{|on_both!\[)(.*?)\n[}\]]").unwrap();
        let word = Regex::new(&format!(r"\b{name}\b")).unwrap();
        lists.captures_iter(&text).any(|list| word.is_match(&list[1]))
    };
    let function = text.contains(&format!("fn {name}("));
    attribute.is_match(&text) || (function && (listed(text) || read(&format!("{folder}/main.rs")).is_some_and(listed)))
}

/// What a promise rests on: `[`PATH`]` for a scenario, `[`PATH`]: `name`, `name`` for functions.
fn references(text: &str) -> Result<Vec<(String, String)>, String> {
    let reference = Regex::new(r"\[`((?:tests|src)/[^`]+)`\]((?::\s+`\w+`)(?:,\s+`\w+`)*)?").unwrap();
    let name = Regex::new(r"`(\w+)`").unwrap();
    let mut found = Vec::new();
    for captures in reference.captures_iter(text) {
        let path = &captures[1];
        let names = captures.get(2).map_or("", |names| names.as_str());
        let names: Vec<String> = name.captures_iter(names).map(|name| name[1].to_owned()).collect();
        if path.starts_with("tests/scenarios/") && path.ends_with(".yaml") {
            if !names.is_empty() || read(path).is_none() {
                return Err(format!("there is no scenario {path}"));
            }
            found.push((path.to_owned(), String::new()));
            continue;
        }
        if names.is_empty() {
            return Err(format!("{path} names no test"));
        }
        for name in names {
            if !is_test(path, &name) {
                return Err(format!("{path} has no test `{name}`"));
            }
            found.push((path.to_owned(), name));
        }
    }
    if found.is_empty() { Err("names no test".to_owned()) } else { Ok(found) }
}

/// Bullets, paragraphs and rows of tables below the first heading of second order, with their lines.
fn promises(prose: &[String]) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    let mut head = true;
    for (line, number) in prose.iter().zip(1..).skip_while(|(line, _)| !line.starts_with("## ")) {
        if line.is_empty() || line.starts_with('#') || line.starts_with("[`") {
            (open, head) = (false, true);
        } else if line.starts_with('|') {
            // The first two lines of a table are its head.
            let rule = line.starts_with("|---");
            if !head && !rule {
                found.push((number, line.clone()));
            }
            head &= !rule;
        } else if open && !line.starts_with("- ") {
            let (_, text) = found.last_mut().expect("what is open");
            *text += &format!("\n{line}");
        } else {
            found.push((number, line.clone()));
            open = true;
        }
    }
    found
}

#[test]
fn every_promise_names_a_test_that_is_there() {
    let page = page("docs/guarantees.md");
    let promises = promises(&page.prose);
    assert!(promises.len() >= 40, "{} promises", promises.len());
    let mut wrong = Vec::new();
    let mut paths = BTreeSet::new();
    for (line, text) in &promises {
        match references(text) {
            Ok(found) => paths.extend(found.into_iter().map(|(path, _)| path)),
            Err(why) => wrong.push(format!("docs/guarantees.md:{line}: {why}: {text}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let defined: BTreeSet<String> = page.prose.iter().filter(|line| line.starts_with("[`")).cloned().collect();
    let wanted: BTreeSet<String> = paths.iter().map(|path| format!("[`{path}`]: ../{path}")).collect();
    assert_eq!(defined, wanted, "the links at the end are not those of the text");
}

/// A guarantee that is tested and not promised is forgotten.
#[test]
fn every_scenario_stands_for_a_promise() {
    let text = read("docs/guarantees.md").expect("a page");
    for entry in fs::read_dir(Path::new(ROOT).join("tests/scenarios")).expect("scenarios") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(!name.ends_with(".yaml") || text.contains(&format!("[`tests/scenarios/{name}`]")), "{name} does not");
    }
}

#[test]
fn what_is_not_there_is_found() {
    for (text, why) in [
        ("a promise", "names no test"),
        ("[`tests/scenarios/no.yaml`]", "no scenario"),
        ("[`tests/kafka/commit.rs`]", "names no test"),
        ("[`tests/kafka/commit.rs`]: `a_commit_that_fails`", "has no test `a_commit_that_fails`"),
        // Functions, and no tests.
        ("[`tests/demo.rs`]: `twice`", "has no test `twice`"),
        ("[`tests/contract/world.rs`]: `kafka`", "has no test `kafka`"),
        ("[`tests/scenarios/filter.yaml`] [`tests/no.rs`]: `name`", "has no test `name`"),
    ] {
        let said = references(text).expect_err(text);
        assert!(said.contains(why), "{text}: {said}");
    }
    let right = "[`tests/scenarios/filter.yaml`], [`tests/contract/fencing.rs`]: `a_fenced_producer_cannot_begin_anew`,\n  \
                 `a_fenced_producer_writes_nothing_more`, [`tests/commands/topics.rs`]: `what_is_there_is_never_changed`";
    assert_eq!(references(right).expect("four").len(), 4);
    let prose = "# a\n\nhead\n\n## b\n\none\ntwo\n\n- three\n  four\n- five\n\n| h |\n|---|\n| row |\n";
    let prose: Vec<String> = prose.lines().map(str::to_owned).collect();
    let texts: Vec<String> = promises(&prose).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["one\ntwo", "- three\n  four", "- five", "| row |"]);
}
