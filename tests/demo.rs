//! The demonstration as a newcomer runs it: twice on the embedded log, and on a real Kafka.

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::Dir;

fn demo(state: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(["demo", "--state"]).arg(state).args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    for name in ["ANONYMIZE_SALT", "HIGHWATER_LOG", "KAFKA_BOOTSTRAP_SERVERS"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).output().expect("highwater")
}

#[track_caller]
fn told(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains('\x1b'), "colours in a pipe: {text}");
    text
}

/// The first and a second run: what came again is recognised, and nothing else comes out. `torn`: what of the first lies in
/// the log for ever.
fn twice(state: &Path, args: &[&str], [committed, torn]: [&str; 2]) {
    let first = told(&demo(state, args));
    for line in [
        "killed itself with SIGKILL inside a transaction",
        committed,
        torn,
        "131 changes accepted, each exactly once: 0 missing, 0 too many; 80 stale dropped, 1 dead letter\n",
        "searched for every personal value: 0 of ",
        "\"reason\":\"not_json\"",
    ] {
        assert!(first.contains(line), "{line:?} is not in\n{first}");
    }
    assert!(!first.contains("half.a.record"), "{first}");
    let second = told(&demo(state, args));
    for line in [
        "sent again as by a connector that lost its place",
        "131 rows are committed; ",
        torn,
        "131 changes accepted, each exactly once: 0 missing, 0 too many; 238 stale dropped, 2 dead letters\n",
    ] {
        assert!(second.contains(line), "{line:?} is not in\n{second}");
    }
}

#[test]
fn it_is_killed_goes_on_and_is_audited_on_the_embedded_log() {
    let dir = Dir::new("demo");
    twice(dir.path(), &[], ["44 rows are committed; ", "; 30 more lie in the log"]);
    let again = told(&demo(dir.path(), &["--fresh"]));
    assert!(again.contains("80 stale dropped, 1 dead letter\n"), "{again}");
}

#[test]
fn it_tells_the_same_on_a_real_kafka() {
    let dir = Dir::new("demo-kafka");
    // In which order partitions are fetched is the client's business.
    twice(dir.path(), &["--kafka"], [" rows are committed; ", " more lie in the log"]);
}
