//! What it has stored outlives it; it ends when it is asked, and shares its directory with none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::broker::free_port;
use crate::support::{ClickHouse, Dir};

fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn with_table() -> ClickHouse {
    let clickhouse = ClickHouse::start();
    clickhouse.query(
        "CREATE TABLE orders (id UInt64) ENGINE = MergeTree ORDER BY id \
         SETTINGS non_replicated_deduplication_window = 10",
    );
    clickhouse
}

#[track_caller]
fn insert(clickhouse: &ClickHouse, token: &str, rows: u64) {
    let rows: String = (0..rows).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let settings = [("insert_deduplication_token", token), ("async_insert", "0")];
    let reply = clickhouse.insert("INSERT INTO orders FORMAT JSONEachRow", &settings, rows.as_bytes());
    let reply = reply.expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn rows_and_the_deduplication_window_outlive_sigkill_and_a_stop() {
    let mut clickhouse = with_table();
    insert(&clickhouse, "a", 10);
    clickhouse.restart();
    assert_eq!(clickhouse.count("orders"), 10, "killed");
    insert(&clickhouse, "a", 10);
    assert_eq!(clickhouse.count("orders"), 10, "the window was lost");
    insert(&clickhouse, "b", 5);
    assert!(clickhouse.stop().success());
    clickhouse.restart();
    assert_eq!(clickhouse.count("orders"), 15, "stopped");
    insert(&clickhouse, "b", 5);
    assert_eq!(clickhouse.count("orders"), 15, "the window was lost");
    insert(&clickhouse, "c", 5);
    assert_eq!(clickhouse.count("orders"), 20, "a token that is new is none that was seen");
}

/// So that what the test above sees is the table's window and nothing else.
#[test]
fn without_a_window_the_same_token_is_stored_twice() {
    let clickhouse = ClickHouse::start();
    clickhouse.query("CREATE TABLE orders (id UInt64) ENGINE = MergeTree ORDER BY id");
    insert(&clickhouse, "a", 10);
    insert(&clickhouse, "a", 10);
    assert_eq!(clickhouse.count("orders"), 20);
}

#[test]
fn it_ends_when_it_is_asked() {
    let mut clickhouse = with_table();
    for signal in ["TERM", "INT"] {
        insert(&clickhouse, signal, 10);
        clickhouse.signal(signal);
        let status = clickhouse.ended();
        assert!(status.success(), "{signal}: {status}");
        clickhouse.restart();
    }
    assert_eq!(clickhouse.count("orders"), 20);
}

#[test]
fn a_second_process_on_its_directory_or_port_says_why_not() {
    let clickhouse = with_table();
    let (status, why) = clickhouse.run_another(free_port(), clickhouse.path());
    assert!(!status.success() && why.contains("another process runs on"), "{status}: {why}");
    let other = Dir::new("other");
    let (status, why) = clickhouse.run_another(clickhouse.port(), other.path());
    assert!(!status.success() && why.contains("Address already in use"), "{status}: {why}");
    insert(&clickhouse, "a", 10);
    assert_eq!(clickhouse.count("orders"), 10, "the first one goes on");
}

#[test]
fn everything_it_writes_lies_below_its_directory() {
    let clickhouse = with_table();
    insert(&clickhouse, "a", 10);
    let mut names: Vec<String> = fs::read_dir(clickhouse.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["clickhouse.log", "data", "lock", "script.log"]);
    let log = fs::read_to_string(clickhouse.path().join("clickhouse.log")).expect("a log");
    assert!(log.contains("INSERT INTO orders"), "{log}");
    assert!(!log.contains("\"id\""), "rows are not logged: {log}");
    let script = fs::read_to_string(clickhouse.path().join("script.log")).expect("a log");
    assert_eq!(script, "");
    // Nor does running it leave compiled Python beside its files.
    assert!(!repository("tools/clickhouse/__pycache__").exists());
}

#[test]
fn a_wrong_call_explains_itself() {
    let out = Command::new(repository("tools/clickhouse-server")).arg("here").output().expect("the script");
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && why.contains("usage: tools/clickhouse-server PORT DIR"), "{why}");
}
