//! The server is away while rows keep coming: memory is bounded, nothing is lost, and whoever asks is told.

use serde_json::json;

use crate::app::{App, count, fired, stop, sum, wait_for_page};
use crate::support::{ClickHouse, DEADLINE, wait_until};

const SINKS: &str = "
state: { path: state, memory: 8MiB }
sinks:
  ch:
    from: rows
    clickhouse: { url: '${URL}', table: rows, memory: 8MiB, batch: { timeout: 50ms } }
";
const ROWS: u64 = 160_000;

/// What the process has had in memory at most, in bytes.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[test]
fn a_server_that_is_away_costs_neither_memory_nor_rows() {
    let mut clickhouse = ClickHouse::start();
    clickhouse.query("CREATE TABLE rows (id UInt64, text String) ENGINE = MergeTree ORDER BY id");
    let app = App::new("sink-outage", &clickhouse, SINKS);
    // Much more than what may wait in memory.
    let text = "x".repeat(1000);
    app.produce("rows", 4, (0..ROWS).map(|id| format!("{{\"id\":{id},\"text\":\"{id}{text}\"}}")));
    clickhouse.arm(&json!({"do": "delay", "ms": 600_000, "when": "insert", "skip": 6, "before": true}));
    let mut process = app.run();
    wait_until(DEADLINE, "an insert that is held", || (fired(&clickhouse) > 0).then_some(()));
    clickhouse.kill();
    let page =
        wait_for_page(&mut process, "/metrics", |_, text| sum(text, "highwater_sink_insert_errors_total") >= 8.0);
    assert!(sum(&page, "highwater_sink_rows_total") < ROWS as f64, "{page}");
    let ready = wait_for_page(&mut process, "/readyz", |status, text| status == 503 && text.contains("ClickHouse at"));
    assert!(ready.contains(&clickhouse.url()), "{ready}");
    let away = peak(process.id());
    clickhouse.restart();
    wait_until(DEADLINE, "all rows", || (count(&clickhouse, "rows") >= ROWS).then_some(()));
    wait_for_page(&mut process, "/readyz", |status, _| status == 200);
    let all = peak(process.id());
    println!("at most {} MiB while the server was away, {} MiB in all", away >> 20, all >> 20);
    assert!(all < 110 << 20, "{} MiB: as much as all rows", all >> 20);
    stop(process);
    let sql = format!(
        "SELECT count() AS n, uniqExact(id) AS ids, countIf(text = toString(id) || '{text}') AS good FROM rows"
    );
    let counts = &clickhouse.query(&sql)[0];
    assert_eq!((&counts["n"], &counts["ids"], &counts["good"]), (&json!(ROWS), &json!(ROWS), &json!(ROWS)));
}

/// An instance that is stopped while the server is away leaves its plan to the next start.
#[test]
fn a_stop_while_the_server_is_away_is_a_clean_one() {
    let mut clickhouse = ClickHouse::start();
    clickhouse.query(&format!("CREATE TABLE rows {}", crate::app::TABLE));
    let app = App::new("sink-away", &clickhouse, SINKS);
    app.produce("rows", 2, crate::app::rows(0..500));
    clickhouse.arm(&json!({"do": "delay", "ms": 600_000, "when": "insert", "before": true}));
    let mut process = app.run();
    wait_until(DEADLINE, "an insert that is held", || (fired(&clickhouse) > 0).then_some(()));
    clickhouse.kill();
    process.wait_for_log("waiting, and trying again");
    stop(process);
    clickhouse.restart();
    app.run_until("all rows", || count(&clickhouse, "rows") >= 500);
    crate::app::assert_exact(&clickhouse, "rows", 0..500);
}
