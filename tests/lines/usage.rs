//! Help, and what is no usage.

use crate::command::Running;
use crate::support::Dir;

#[test]
fn wrong_usage() {
    let dir = Dir::new("lines");
    let run = |args: &[&str]| Running::start(args, dir.path()).finish(&[]);
    for command in ["produce", "consume"] {
        let help = run(&[command, "--help"]).ended(0).silent().stdout;
        for part in ["Usage: highwater", "Examples:", &format!("\n  highwater {command} "), "--embedded", "--format"] {
            assert!(help.contains(part), "{part:?} is missing in\n{help}");
        }
    }
    for wrong in [
        &["produce"][..],
        &["consume"],
        &["produce", "t", "u"],
        &["produce", "t", "--format", "value"],
        &["produce", "t", "--partition", "-1"],
        &["produce", "t", "--count", "0"],
        &["produce", "t", "--transaction-timeout", "5s"],
        &["produce", "t", "--transaction", "--transaction-timeout", "5"],
        &["produce", "t", "--partitions", "0"],
        &["produce", "t", "--separator", ""],
        &["consume", "t", "--from", "yesterday"],
        &["consume", "t", "--isolation", "committed"],
        &["consume", "t", "--format", "xml"],
        &["consume", "t", "--partition", "-1"],
        &["consume", "t", "--timeout", "10"],
    ] {
        let said = run(wrong).ended(2);
        assert!(said.stdout.is_empty() && !said.stderr.is_empty(), "{wrong:?}");
    }
}
