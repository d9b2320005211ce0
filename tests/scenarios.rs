//! `highwater topology test`, by the built binary: the project's own scenarios, and what is said of wrong ones.
//!
//! `tests/scenarios` must pass. Of each `tests/scenario-messages/NAME.yaml` is said what stands in
//! `NAME.expected` beside it; `UPDATE_EXPECTED=1 cargo test --test scenarios` writes what is said now: read the
//! difference before you keep it.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use highwater::topology::scenario::Scenario;
use serde_json::Value;
use support::Dir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const GUARANTEES: &str = "tests/scenarios";
const MESSAGES: &str = "tests/scenario-messages";

struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// `highwater topology test`, with the environment that it must not look at.
fn test(dir: &Path, args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    for name in ["HIGHWATER_FILE", "HIGHWATER_LOG", "HIGHWATER_LOG_FORMAT", "HIGHWATER_STATE"] {
        command.env_remove(name);
    }
    command.env("ANONYMIZE_SALT", "CANARY-of-the-environment").env("SALT", "CANARY-of-the-environment");
    command.args(["topology", "test"]).args(args).current_dir(dir).stdin(Stdio::null());
    let out = command.output().expect("highwater");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
}

impl Said {
    #[track_caller]
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(Path::new(ROOT).join(folder)).expect("a folder").map(|e| e.expect("an entry").path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "yaml")).collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

#[test]
fn the_guarantees_hold() {
    let said = test(Path::new(ROOT), &[GUARANTEES]).ended(0);
    let count = files(GUARANTEES).len();
    assert!(count >= 12, "{count} scenarios found");
    assert!(said.stdout.ends_with(&format!("\n{count} scenarios: {count} passed, 0 failed\n")), "{}", said.stdout);
    assert_eq!(said.stderr, "");
}

#[test]
fn what_is_said_of_scenarios_that_fail_or_are_wrong() {
    let mut wrong = Vec::new();
    for path in files(MESSAGES) {
        let said = test(Path::new(ROOT), &[&format!("{MESSAGES}/{}", name(&path))]);
        let said = format!("{}{}exit code {:?}\n", said.stdout, said.stderr, said.code.unwrap_or(-1));
        assert!(!said.contains("CANARY"), "{} shows a secret:\n{said}", path.display());
        let expected = path.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&expected, &said).expect("written");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{}:\n{said}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
}

/// The block behind `expect:` is the last of every scenario.
fn without_expectation(text: &str) -> &str {
    text.split_once("\nexpect:\n").map(|(before, _)| before).expect("an expectation")
}

#[test]
fn what_is_printed_can_be_expected() {
    let dir = Dir::new("scenarios");
    let printed = test(Path::new(ROOT), &[GUARANTEES, "--print"]).ended(0).stdout;
    assert_eq!(test(Path::new(ROOT), &[GUARANTEES, "--print"]).ended(0).stdout, printed, "every run is the same");
    for path in files(GUARANTEES) {
        let head = format!("# {GUARANTEES}/{}: ", name(&path));
        let (_, block) = printed.split_once(&head).unwrap_or_else(|| panic!("{head} in\n{printed}"));
        let block = block.split_once('\n').map_or("", |(_, block)| block).split("\n# ").next().unwrap_or_default();
        let text = std::fs::read_to_string(&path).expect("a scenario");
        // Paths in it start elsewhere now.
        let text = without_expectation(&text)
            .replace("../../", &format!("{ROOT}/"))
            .replace("rules/", &format!("{ROOT}/{GUARANTEES}/rules/"));
        std::fs::write(dir.join(&name(&path)), format!("{text}\n{block}\n")).expect("written");
    }
    let said = test(dir.path(), &["."]).ended(0);
    let count = files(GUARANTEES).len();
    assert!(said.stdout.contains(&format!("{count} scenarios: {count} passed")), "{}", said.stdout);
}

#[test]
fn the_example_of_the_help_runs_and_means_what_it_says() {
    let help = test(Path::new(ROOT), &["--help"]).ended(0).stdout;
    let example: String = help
        .lines()
        .skip_while(|line| !line.starts_with("  name: "))
        .take_while(|line| !line.starts_with("Top level"))
        .map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line)))
        .collect();
    let dir = Dir::new("scenarios");
    let run = |text: &str| {
        std::fs::write(dir.join("help.yaml"), text).expect("written");
        test(dir.path(), &["help.yaml"])
    };
    run(&example).ended(0);
    // Every part of its expectation can fail.
    for (part, other) in [
        ("64e00aee", "64e00aef"),
        ("cdc_lsn: 100\n", "cdc_lsn: 100.0\n"),
        ("state: { people: 1 }", "state: { people: 2 }"),
        ("reason=\"stale\"}: 1", "reason=\"stale\"}: 2"),
        ("email: hash", "email: passthrough"),
        ("- restart", "- rewind: shop.public.people"),
        ("pii: salt", "pii: salz"),
    ] {
        assert!(example.contains(part), "{part}");
        run(&example.replacen(part, other, 1)).ended(1);
    }
}

#[test]
fn scenarios_are_chosen_and_told_to_machines() {
    let root = Path::new(ROOT);
    let said = test(root, &[GUARANTEES, "--filter", "crash", "-o", "json"]).ended(0);
    let json: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!((&json["scenarios"], &json["failed"]), (&2.into(), &0.into()), "{json:#}");

    let failing = format!("{MESSAGES}/differences.yaml");
    let said = test(root, &[&failing, GUARANTEES, "-o", "json"]).ended(1);
    let json: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let first = &json["results"][0];
    assert_eq!(
        (&json["failed"], &first["passed"], &first["file"]),
        (&1.into(), &false.into(), &failing.as_str().into())
    );
    let count = first["differences"].as_array().expect("a list").len();
    assert!(first["differences"].as_array().expect("a list").iter().any(|one| one["line"].is_u64()), "{first:#}");
    let said = test(root, &[&failing, "-o", "github"]).ended(1);
    assert_eq!(said.stdout.lines().filter(|line| line.starts_with("::error file=")).count(), count, "{}", said.stdout);

    let wrong = format!("{MESSAGES}/wrong.yaml");
    let said = test(root, &[&wrong, GUARANTEES, "-o", "json"]).ended(78);
    let json: Value = serde_json::from_str(&said.stdout).expect("JSON");
    let errors = json["wrong"][0]["errors"].as_u64().expect("a number");
    let said = test(root, &[&wrong, "-o", "github"]).ended(78);
    assert_eq!(said.stdout.lines().count() as u64, errors, "{}", said.stdout);
}

#[test]
fn tests_that_run_nothing_do_not_pass() {
    let dir = Dir::new("scenarios");
    std::fs::write(dir.join("topology.yaml"), "streams: {}\n").expect("written");
    for args in [&["nowhere"][..], &["."], &[], &[&format!("{ROOT}/{GUARANTEES}"), "--filter", "no such thing"]] {
        let said = test(dir.path(), args).ended(2);
        assert!(said.stdout.is_empty() && !said.stderr.is_empty(), "{args:?}");
    }
}

/// One slip of the keyboard anywhere: a scenario or errors, no panic, no wrong file without a word, and no secret shown.
#[test]
fn no_slip_goes_wrong() {
    let text = "name: n\nsecrets:\n  pii: CANARY-1\nenv: { A: b }\npartitions: { in: 2 }\ntopology:\n  secrets: { pii: CANARY-2 }\n  \
                streams: { s: { from: in, steps: [dedup, { mask: { fields: { a: hash } } }], to: out } }\ninput:\n  \
                - { topic: in, key: { a: 1 }, change: { after: { a: 1 }, lsn: 1 } }\n  - rewind: { topic: in }\n\
                expect:\n  output:\n    out: [{ key: { a: 1 }, contains: { a: b } }]\n  metrics: { records_in_total: 1 }\n";
    let wrong = std::cell::RefCell::new(Vec::new());
    let check = |text: &str| {
        let Err(found) = Scenario::parse(text, Path::new("s.yaml"), None) else { return };
        let forms = [found.to_string(), found.github(), found.json().to_string()];
        if found.errors() == 0 || forms.iter().any(|form| form.contains("CANARY")) {
            wrong.borrow_mut().push(format!("{text}\n{found}"));
        }
    };
    assert!(Scenario::parse(text, Path::new("s.yaml"), None).is_ok());
    for (index, old) in text.char_indices() {
        let after = index + old.len_utf8();
        check(&text[..index]);
        for new in
            ["", " ", "\n", "#", ":", ": ", "{", "}", "[", "]", "\"", "'", "|", "- ", ",", "&", "*", "!", "${", "x"]
        {
            check(&format!("{}{new}{}", &text[..index], &text[after..]));
            check(&format!("{}{new}{}", &text[..index], &text[index..]));
        }
    }
    let wrong = wrong.into_inner();
    assert!(wrong.is_empty(), "{} slips, as these:\n{}", wrong.len(), wrong[..wrong.len().min(9)].join("\n"));
}
