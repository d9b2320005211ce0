//! Highwater with the repository's own topology.yaml, on the embedded log.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use crate::support::broker::free_port;
use crate::support::{DEADLINE, Dir, Highwater, wait_until};
use crate::{files, http};

pub type Row = Map<String, Value>;

pub const SALT: &str = "a salt of the tests, long enough";

/// A log of one's own.
pub struct Embedded {
    dir: Dir,
}

impl Embedded {
    pub fn new(name: &str) -> Self {
        Self { dir: Dir::new(name) }
    }

    fn log(&self) -> String {
        format!("--embedded={}", self.dir.join("log").display())
    }

    /// Appends records to a topic, made where it is missing: keys and values as JSON.
    pub fn produce(&self, topic: &str, records: &[(Value, Value)]) {
        let lines: Vec<String> =
            records.iter().map(|(key, value)| json!({ "key": key, "value": value }).to_string()).collect();
        highwater(&["produce", topic, &self.log(), "--format", "json"], self.dir.path(), &(lines.join("\n") + "\n"));
    }

    /// An instance that runs, its HTTP server on that port.
    pub fn run(&self, port: u16) -> Highwater {
        let topology = files::path("topology.yaml").to_string_lossy().into_owned();
        let state = self.dir.join("state").to_string_lossy().into_owned();
        let (log, http) = (self.log(), format!("127.0.0.1:{port}"));
        let args = ["run", "-f", &topology, &log, "--state", &state, "--http", &http];
        Highwater::command(&args, &[("ANONYMIZE_SALT", SALT), ("HIGHWATER_LOG", "info")], self.dir.path())
    }

    /// Runs until so many records have been read, and stops.
    pub fn run_through(&self, records: u64) {
        let port = free_port();
        let mut highwater = self.run(port);
        wait_until(DEADLINE, &format!("{records} records to be processed"), || {
            assert!(highwater.ended().is_none(), "it ended:\n{}", highwater.log());
            let (_, page) = http::get(port, "/metrics")?;
            (sum(&page, "highwater_records_in_total") >= records as f64).then_some(())
        });
        highwater.sigterm();
        assert!(highwater.wait(DEADLINE).success(), "{}", highwater.log());
    }

    /// The rows of a topic by partition and offset.
    pub fn rows(&self, topic: &str) -> Vec<Row> {
        rows(topic, &self.log(), self.dir.path())
    }
}

/// The rows of a topic of any embedded log; `log` is the whole option.
#[track_caller]
pub fn rows(topic: &str, log: &str, dir: &Path) -> Vec<Row> {
    let lines = highwater(&["consume", topic, log, "--format", "value"], dir, "");
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// A command of the built binary that must succeed; what it prints.
#[track_caller]
pub fn highwater(args: &[&str], dir: &Path, input: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_highwater"))
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("highwater");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("its input");
    let out = child.wait_with_output().expect("highwater");
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The sum of a metric's series.
pub fn sum(page: &str, name: &str) -> f64 {
    let values = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// A change of `table` as Debezium sends it.
pub fn change(table: &str, op: &str, row: &Value, lsn: u64) -> (Value, Value) {
    let (before, after) = if op == "d" { (row, &Value::Null) } else { (&Value::Null, row) };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_micros() as u64;
    let envelope = json!({
        "before": before, "after": after, "op": op,
        "source": { "name": "brew.cdc", "db": "brew", "schema": "public", "table": table, "snapshot": "false",
            "lsn": lsn, "sequence": format!("[\"1\",\"{lsn}\"]"), "ts_us": now, "ts_ms": now / 1000 },
    });
    (json!({ "id": row["id"] }), envelope)
}
