//! What a code means, and what shells complete.

use std::fs;
use std::path::Path;

use crate::said::{ROOT, run};
use crate::support::Dir;

#[test]
fn every_code_is_listed_and_explained() {
    let list = run(Path::new(ROOT), &["explain"]).ended(0).silent().stdout;
    let codes: Vec<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(codes.len() >= 50, "{list}");
    // One of each kind; the table as a whole is tested beside it.
    for code in ["bad-value", "unlisted", "no-scenario", "unlisted_column"] {
        assert!(codes.contains(&code), "{list}");
        let said = run(Path::new(ROOT), &["explain", code]).ended(0).silent();
        said.says(&[code, "\ncause ", "\ndata ", "\nremedy ", "\nwrong\n", "\nright\n"]);
    }
    run(Path::new(ROOT), &["explain", "unlisted-colum"])
        .ended(1)
        .complains(&["no code", "did you mean `unlisted_column`?"]);
    run(Path::new(ROOT), &["explain", "error[bad-value]"]).ended(0).says(&["bad-value: "]);
}

#[test]
fn what_went_wrong_says_where_more_is_to_be_read_once() {
    let dir = Dir::new("explain");
    fs::write(dir.join("topology.yaml"), "application: app\ntreads: 1\nstraems: {}\n").expect("a file");
    let said = run(dir.path(), &["topology", "validate"]).ended(78).silent();
    let more: Vec<&str> = said.stdout.lines().filter(|line| line.starts_with("for more: ")).collect();
    assert_eq!(more, ["for more: highwater explain missing-field"]);
    assert_eq!(said.stdout.lines().last(), Some(more[0]));
    let code = more[0].rsplit(' ').next().expect("a code");
    run(dir.path(), &["explain", code]).ended(0);
    let said = run(dir.path(), &["run"]).ended(78);
    assert_eq!(said.stderr.lines().last(), Some(more[0]));
    for form in ["github", "json"] {
        let said = run(dir.path(), &["topology", "validate", "-o", form]).ended(78);
        assert!(!said.stdout.contains("for more"), "{}", said.stdout);
    }
}

#[test]
fn shells_complete_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = run(Path::new(ROOT), &["completions", shell]).ended(0).silent();
        said.says(&["highwater", "init", "topics", "explain", "replication-factor"]);
    }
    run(Path::new(ROOT), &["completions", "tcsh"]).ended(2);
}

#[test]
fn every_command_has_examples() {
    for command in [
        &["init"][..],
        &["mask"],
        &["explain"],
        &["completions"],
        &["topics", "create"],
        &["topology", "schema"],
        &["topology", "validate"],
        &["topology", "describe"],
        &["topology", "test"],
        &["run"],
        &["produce"],
        &["consume"],
        &["demo"],
    ] {
        let args: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        let said = run(Path::new(ROOT), &args).ended(0).silent();
        said.says(&["Examples:", &format!("\n  highwater {}", command.join(" "))]);
    }
}
