//! Highwater dies at any moment: the next start repeats the insert that may be in, and every row is in once.

use std::time::Duration;

use serde_json::json;

use crate::app::{App, REPEATED, TABLE, assert_exact, count, fired, row, rows, stop};
use crate::faults::SINKS;
use crate::support::changes::Lottery;
use crate::support::{ClickHouse, DEADLINE, Line, wait_until};

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
    let all = 7_200_u64;
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
    // Hundreds of inserts.
    wait_until(5 * DEADLINE, "all rows", || {
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

/// A token is of a place in the log: what the source wrote twice is no repetition, though the bytes are the same.
#[test]
fn rows_that_are_the_same_are_in_as_often_as_they_came() {
    let clickhouse = ClickHouse::shared();
    clickhouse.query("CREATE DATABASE same");
    clickhouse.query(&format!("CREATE TABLE same.orders {TABLE}"));
    let sinks = SINKS.replace("table: '{table}'", "database: same, table: '{table}'");
    let app = App::new("sink-same", clickhouse, &sinks);
    // Three whole batches.
    app.produce("orders", 1, (0..3).flat_map(|_| rows(0..100)));
    app.run_until("the rows", || count(clickhouse, "same.orders") >= 300);
    let counts = &clickhouse.query("SELECT count() AS n, uniqExact(id) AS ids FROM same.orders")[0];
    assert_eq!((&counts["n"], &counts["ids"]), (&json!(300), &json!(100)));
}

/// What a plan says is held against the records before anything is sent under its token.
#[test]
fn a_plan_that_is_not_of_its_records_stops_it() {
    let clickhouse = ClickHouse::start();
    clickhouse.query(&format!("CREATE TABLE orders {TABLE}"));
    let app = App::new("sink-differs", &clickhouse, SINKS);
    app.produce("orders", 1, rows(0..30));
    clickhouse.arm(&json!({"do": "delay", "ms": 600_000, "when": "insert", "before": true}));
    let mut process = app.run();
    wait_until(DEADLINE, "an insert that is held", || (fired(&clickhouse) > 0).then_some(()));
    process.sigkill();
    let plan = app.read("app-ch-plans").pop().expect("a plan");
    let key = String::from_utf8(plan.key.expect("a key")).expect("a text");
    let plan: serde_json::Value = serde_json::from_slice(&plan.value.expect("a value")).expect("JSON");
    assert_eq!((&key[..], &plan["open"], &plan["rows"]), ("orders-0", &json!(true), &json!(30)));
    let inserts = clickhouse.queries().1;
    for (field, value, said) in [
        ("hash", json!("0".repeat(64)), "its records are not those that it was made of"),
        ("rows", json!(29), "its records are not those that it was made of"),
        ("excluded", json!([7]), "its records are not those that it was made of"),
        ("version", json!(2), "it is of version 2"),
        ("surplus", json!(1), "it is no plan"),
    ] {
        let mut other = plan.clone();
        other[field] = value;
        app.produce_lines("app-ch-plans", 1, &[Line::new("app-ch-plans", &key, &other.to_string()).at(0)]);
        let log = app.run_into_its_end();
        assert!(log.contains(said), "{field}: {said:?} is not in {log}");
        assert_eq!(clickhouse.queries().1, inserts, "{field}: something was sent");
    }
    // The plan as it was: nothing was lost.
    app.produce_lines("app-ch-plans", 1, &[Line::new("app-ch-plans", &key, &plan.to_string()).at(0)]);
    let mut process = app.run();
    process.wait_for_log(REPEATED);
    clickhouse.disarm();
    wait_until(DEADLINE, "the rows", || (count(&clickhouse, "orders") >= 30).then_some(()));
    stop(process);
    assert_exact(&clickhouse, "orders", 0..30);
}
