//! `make pipeline`: the whole of it, started by `tools/pipeline`, from changes in Postgres to clean rows in ClickHouse.

use std::fs::File;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::files;
use crate::support::{signal, wait_until};

/// Five servers start on a machine that may have other things to do.
const PATIENCE: Duration = Duration::from_secs(400);

/// Below the system's own directory for such: Postgres' user must get there.
struct State(PathBuf);

impl State {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("highwater-pipeline-test-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

struct Run {
    child: Child,
    log: PathBuf,
}

impl Run {
    fn start(state: &Path, args: &[&str]) -> Self {
        let log = state.join(format!("run-{}.txt", args.len()));
        let out = File::create(&log).expect("a log");
        let both = out.try_clone().expect("a log");
        let mut command = Command::new(files::path("tools/pipeline"));
        command.arg("--state").arg(state.join("state")).args(args).stdin(Stdio::null()).stdout(out).stderr(both);
        Self { child: command.spawn().expect("tools/pipeline"), log }
    }

    fn said(&self) -> String {
        let mut text = String::new();
        let _ = File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text));
        text
    }

    #[track_caller]
    fn ended(&mut self) -> String {
        let status = wait_until(PATIENCE, "tools/pipeline to end", || self.child.try_wait().expect("a status"));
        assert!(status.success(), "{status}: {}", self.said());
        self.said()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Its servers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn changes_go_all_the_way_and_a_second_run_goes_on() {
    let state = State::new();
    let said = Run::start(&state.0, &["--once", "--count", "150"]).ended();
    for part in ["✓ Postgres", "✓ Kafka ", "✓ ClickHouse", "✓ Kafka Connect", "✓ Debezium", "✓ Highwater"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("✓ 150 changes written to Postgres") && said.contains("all as in Postgres"), "{said}");
    // A person before and after.
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("  - ") || line.starts_with("  + ")).collect();
    assert!(lines.len() >= 2 && lines.len().is_multiple_of(2), "{said}");
    assert!(lines[0].contains('@') && !lines[1].contains('@'), "{lines:?}");

    // Once more without an end, until it is asked to.
    let mut run = Run::start(&state.0, &["--count", "100"]);
    wait_until(PATIENCE, "the second run to have shown its rows", || {
        let ended = run.child.try_wait().expect("a status");
        assert!(ended.is_none(), "it ended: {}", run.said());
        run.said().contains("All of it runs until Ctrl-C").then_some(())
    });
    let said = run.said();
    assert!(said.contains("✓ 100 changes written to Postgres") && said.contains("all as in Postgres"), "{said}");
    // Nobody else takes what is there.
    let mut other = Command::new(files::path("tools/pipeline"));
    let other = other.arg("--state").arg(state.0.join("state")).arg("--once").output().expect("tools/pipeline");
    let why = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(1) && why.contains("another pipeline runs in"), "{why}");
    signal::send("INT", i64::from(run.child.id()));
    assert!(run.ended().contains("everything is stopped"), "{}", run.said());
    let ports: Value =
        serde_json::from_slice(&std::fs::read(state.0.join("state/ports.json")).expect("ports")).expect("JSON");
    for (server, port) in ports.as_object().expect("ports") {
        let port = u16::try_from(port.as_u64().expect("a port")).expect("a port");
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "{server} is still there");
    }
}

/// What is in both, or differs without a reason, would be wrong in one of them.
#[test]
fn its_topology_is_topology_yaml_with_a_sink() {
    let (with, without) = (files::yaml("pipeline.yaml"), files::yaml("topology.yaml"));
    assert!(with["sinks"].is_object() && without.get("sinks").is_none());
    let describe = |file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.args(["topology", "describe", "-f", file, "-o", "json"]).current_dir(files::path("."));
        let out = command.env_remove("HIGHWATER_FILE").output().expect("highwater");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let described: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        // Changelogs bear the application's name, which differs.
        let application = described["application"].as_str().expect("a name").to_owned();
        described["streams"].to_string().replace(&application, "APPLICATION")
    };
    assert_eq!(describe("pipeline.yaml"), describe("topology.yaml"));
}
