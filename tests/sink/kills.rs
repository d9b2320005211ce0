//! Highwater dies at any moment: the next start repeats the insert that may be in, and every row is in once.

use std::time::Duration;

use serde_json::json;

use crate::app::{App, REPEATED, TABLE, assert_exact, count, fired, row, rows, stop};
use crate::faults::SINKS;
use crate::support::changes::Lottery;
use crate::support::{ClickHouse, DEADLINE, wait_until};

const KILLS: usize = 36;

/// As in [`SINKS`], and smaller: every start has something to do until the last.
fn sinks() -> String {
    SINKS.replace("rows: 100, timeout: 50ms", "rows: 20, timeout: 20ms")
}

#[test]
fn killed_at_many_moments_it_loses_nothing_and_repeats_nothing() {
    let clickhouse = ClickHouse::start();
    let app = App::new("sink-kills", &clickhouse, &sinks());
    for table in ["orders", "visits"] {
        clickhouse.query(&format!("CREATE TABLE {table} {TABLE}"));
        // The view is as exact as the table.
        clickhouse.query(&format!("CREATE TABLE {table}_copy {TABLE}"));
        clickhouse.query(&format!("CREATE MATERIALIZED VIEW {table}_view TO {table}_copy AS SELECT * FROM {table}"));
    }
    let all = 12_000_u64;
    for topic in ["orders", "visits"] {
        app.produce(topic, 3, rows(0..all));
    }
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x51_u64);
    let mut lottery = Lottery(seed);
    let (mut repeated, mut worked, mut within) = (0, 0, 0);
    for kill in 0..KILLS {
        let before = count(&clickhouse, "orders") + count(&clickhouse, "visits");
        let mut process = app.run();
        // Anywhere from the first instruction on; while it is at work; while the server has an insert and has not begun;
        // while its rows are in and nobody knows.
        match kill % 4 {
            0 => std::thread::sleep(Duration::from_micros(lottery.next(400_000))),
            1 => {
                process.wait_for_log("assigned");
                std::thread::sleep(Duration::from_micros(lottery.next(150_000)));
            }
            held => {
                let (skip, already) = (lottery.next(12), fired(&clickhouse));
                clickhouse
                    .arm(&json!({"do": "delay", "ms": 600_000, "when": "insert", "skip": skip, "before": held == 2}));
                wait_until(DEADLINE, "an insert that is held", || {
                    assert!(process.ended().is_none(), "it ended by itself: {}", process.log());
                    (fired(&clickhouse) > already).then_some(())
                });
                within += 1;
            }
        }
        assert!(process.ended().is_none(), "kill {kill}: it ended by itself: {}", process.log());
        process.sigkill();
        repeated += process.log().matches(REPEATED).count();
        let _ = std::fs::remove_file(process.log_path());
        // One that is held from before its execution is executed late, after the next start has repeated it.
        if kill % 8 != 2 {
            clickhouse.disarm();
        }
        worked += usize::from(count(&clickhouse, "orders") + count(&clickhouse, "visits") != before);
    }
    clickhouse.disarm();
    let process = app.run();
    wait_until(DEADLINE, "all rows", || {
        ["orders", "visits"].iter().all(|table| count(&clickhouse, table) >= all).then_some(())
    });
    repeated += stop(process).matches(REPEATED).count();
    println!(
        "{KILLS} kills (SEED={seed}): {worked} after new rows, {within} within an insert, {repeated} plans repeated"
    );
    assert!(worked >= 8 && repeated >= 12, "the kills missed their moments: {worked} after rows, {repeated} repeated");
    for table in ["orders", "visits"] {
        assert_exact(&clickhouse, table, 0..all);
        assert_exact(&clickhouse, &format!("{table}_copy"), 0..all);
    }
}

/// The plan is in the log before the server hears of it: what was cut is repeated as it was cut, though more has come.
#[test]
fn what_was_planned_is_repeated_as_it_was_planned() {
    let clickhouse = ClickHouse::start();
    clickhouse.query(&format!("CREATE TABLE orders {TABLE}"));
    let app = App::new("sink-plan", &clickhouse, SINKS);
    for before in [true, false] {
        clickhouse.query("TRUNCATE TABLE orders");
        let begun = app.read("orders").len() as u64;
        app.produce("orders", 1, rows(begun..begun + 30));
        clickhouse.arm(&json!({"do": "delay", "ms": 600_000, "when": "insert", "before": before}));
        let already = fired(&clickhouse);
        let mut process = app.run();
        wait_until(DEADLINE, "an insert that is held", || (fired(&clickhouse) > already).then_some(()));
        process.sigkill();
        clickhouse.disarm();
        // A batch holds a hundred: without the plan, these would be cut into one with those that are in.
        app.produce("orders", 1, (begun + 30..begun + 40).map(row));
        let log = app.run_until("all rows", || count(&clickhouse, "orders") >= 40);
        assert_eq!(log.matches(REPEATED).count(), 1, "{log}");
        assert!(log.contains(&format!("first={begun} last={}", begun + 29)), "{log}");
        assert_exact(&clickhouse, "orders", begun..begun + 40);
        // It was told when it was in: nothing is left to be repeated.
        let mut idle = app.run();
        idle.wait_for_log("assigned");
        crate::app::wait_for_page(&mut idle, "/readyz", |status, _| status == 200);
        let log = stop(idle);
        assert!(!log.contains(REPEATED), "{log}");
        assert_exact(&clickhouse, "orders", begun..begun + 40);
    }
}
