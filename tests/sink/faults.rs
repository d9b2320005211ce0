//! What may happen to an insert, one after the other: the rows are in once.

use serde_json::{Value, json};

use crate::app::{App, TABLE, assert_exact, count, fired, rows};
use crate::support::{ClickHouse, DEADLINE, wait_until};

/// Small batches, so that a fault has inserts before it and after it.
pub const SINKS: &str = "
sinks:
  ch:
    from: '(?<table>orders|visits)'
    clickhouse: { url: '${URL}', table: '{table}', batch: { rows: 100, timeout: 50ms }, insert_timeout: 5s }
";
const ROWS: u64 = 1000;

fn create(clickhouse: &ClickHouse) {
    for table in ["orders", "visits"] {
        clickhouse.query(&format!("CREATE TABLE {table} {TABLE}"));
    }
}

/// Rows `from` on into both topics, with faults armed; until they are in.
fn round(app: &App, clickhouse: &mut ClickHouse, from: u64, faults: &Value, kills: bool) {
    let to = from + ROWS;
    for topic in ["orders", "visits"] {
        app.produce(topic, 2, rows(from..to));
    }
    clickhouse.arm(faults);
    let before = fired(clickhouse);
    let mut process = app.run();
    if kills {
        clickhouse.ended();
        clickhouse.restart();
    }
    wait_until(DEADLINE, &format!("all rows in spite of {faults}"), || {
        assert!(process.ended().is_none(), "it ended:\n{}", process.log());
        let there = ["orders", "visits"].iter().all(|table| count(clickhouse, table) >= to);
        there.then_some(())
    });
    let log = crate::app::stop(process);
    if !kills {
        let expected: u64 = faults.as_array().into_iter().flatten().filter_map(|fault| fault["times"].as_u64()).sum();
        assert_eq!(fired(clickhouse) - before, expected as usize, "not every fault fell on an insert: {faults}");
    }
    assert!(log.contains("waiting, and trying again"), "{faults}: nothing was sent again:\n{log}");
    for table in ["orders", "visits"] {
        assert_exact(clickhouse, table, 0..to);
    }
}

#[test]
fn replies_requests_and_answers_are_lost_and_rows_are_in_once() {
    let mut clickhouse = ClickHouse::start();
    create(&clickhouse);
    let app = App::new("sink-faults", &clickhouse, SINKS);
    let faults = [
        json!([{"do": "lose_reply", "when": "insert", "skip": 2, "times": 3}]),
        json!([{"do": "lose_request", "when": "insert", "skip": 2, "times": 3}]),
        json!([{"do": "cut_reply", "when": "insert", "skip": 1, "times": 2}]),
        // Too many parts: refused. A timeout: refused, and the rows are in all the same.
        json!([
            {"do": "error", "code": 252, "when": "insert", "skip": 1, "times": 2},
            {"do": "error", "code": 159, "when": "insert", "before": false, "skip": 3, "times": 2},
        ]),
        // Beyond what the client waits: it sends again what the server is still at.
        json!([
            {"do": "lose_reply", "when": "insert", "times": 1},
            {"do": "delay", "ms": 11_000, "when": "insert", "before": true, "skip": 3, "times": 1},
        ]),
    ];
    for (faults, round_) in faults.iter().zip(0..) {
        round(&app, &mut clickhouse, round_ * ROWS, faults, false);
    }
}

#[test]
fn the_server_is_killed_before_within_and_after_an_insert() {
    let mut clickhouse = ClickHouse::start();
    create(&clickhouse);
    let app = App::new("sink-server-kills", &clickhouse, SINKS);
    round(&app, &mut clickhouse, 0, &json!([{"do": "kill_before", "when": "insert", "skip": 3}]), true);
    round(&app, &mut clickhouse, ROWS, &json!([{"do": "kill_after", "when": "insert", "skip": 3}]), true);
    for (before, from) in [(true, 2 * ROWS), (false, 3 * ROWS)] {
        let to = from + ROWS;
        for topic in ["orders", "visits"] {
            app.produce(topic, 2, rows(from..to));
        }
        let held = fired(&clickhouse);
        clickhouse.arm(&json!({"do": "delay", "ms": 600_000, "when": "insert", "skip": 3, "before": before}));
        let process = app.run();
        wait_until(DEADLINE, "an insert that is held", || (fired(&clickhouse) > held).then_some(()));
        // In the middle of it, and of another perhaps.
        clickhouse.kill();
        clickhouse.restart();
        wait_until(DEADLINE, "all rows", || {
            ["orders", "visits"].iter().all(|table| count(&clickhouse, table) >= to).then_some(())
        });
        crate::app::stop(process);
        for table in ["orders", "visits"] {
            assert_exact(&clickhouse, table, 0..to);
        }
    }
}
