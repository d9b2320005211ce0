//! How many inserts a table remembers: raised where it may be, and told where an insert that comes twice would be in twice.

use serde_json::json;

use crate::app::{App, TABLE, assert_exact, count, rows};
use crate::support::ClickHouse;

const TWICE: &str = "inserts are not deduplicated: one whose answer is lost may come twice";
const WIDENED: &str = "its deduplication window was widened";

fn sinks(more: &str) -> String {
    format!(
        "sinks:\n  ch:\n    from: rows\n    clickhouse: {{ url: '${{URL}}', table: rows, batch: {{ rows: 50, timeout: 50ms }}{more} }}\n"
    )
}

fn definition(clickhouse: &ClickHouse, table: &str) -> String {
    let sql = format!("SELECT create_table_query FROM system.tables WHERE database = 'default' AND name = '{table}'");
    clickhouse.value(&sql).to_string()
}

#[test]
fn a_window_is_widened_and_one_that_is_wide_enough_is_left_alone() {
    let clickhouse = ClickHouse::start();
    for (settings, dedup_window, want) in [
        ("", "", "10000"),
        ("SETTINGS non_replicated_deduplication_window = 5", "", "10000"),
        ("SETTINGS non_replicated_deduplication_window = 5", ", dedup_window: 777", "777"),
        ("SETTINGS non_replicated_deduplication_window = 20000", "", "20000"),
    ] {
        clickhouse.query("DROP TABLE IF EXISTS rows");
        clickhouse.query(&format!("CREATE TABLE rows {TABLE} {settings}"));
        let app = App::new("sink-window", &clickhouse, &sinks(dedup_window));
        app.produce("rows", 2, rows(0..200));
        let log = app.run_until("the rows", || count(&clickhouse, "rows") >= 200);
        assert_exact(&clickhouse, "rows", 0..200);
        assert!(
            definition(&clickhouse, "rows").contains(&format!("deduplication_window = {want}")),
            "{settings}: {log}"
        );
        assert_eq!(log.contains(WIDENED), want != "20000", "{settings}: {log}");
        assert!(!log.contains(TWICE), "{log}");
    }
}

#[test]
fn a_table_without_memory_is_warned_of_and_written_to() {
    let clickhouse = ClickHouse::start();
    for engine in ["Memory", "Log"] {
        clickhouse.query("DROP TABLE IF EXISTS rows");
        clickhouse.query(&format!("CREATE TABLE rows (id UInt64, text String, n Int64) ENGINE = {engine}"));
        let app = App::new("sink-memoryless", &clickhouse, &sinks(""));
        app.produce("rows", 2, rows(0..200));
        let log = app.run_until("the rows", || count(&clickhouse, "rows") >= 200);
        assert_exact(&clickhouse, "rows", 0..200);
        assert!(log.contains(TWICE) && log.contains(&format!("its engine {engine} knows no deduplication")), "{log}");
        assert_eq!(log.matches(TWICE).count(), 1, "once is enough: {log}");
    }
}

/// A front cannot grant; it can refuse as a server does to a user without the right.
#[test]
fn a_user_that_must_not_alter_tables_keeps_working() {
    let clickhouse = ClickHouse::start();
    for (window, warned) in [(0, true), (100, false)] {
        clickhouse.query("DROP TABLE IF EXISTS rows");
        clickhouse.query(&format!("CREATE TABLE rows {TABLE} SETTINGS non_replicated_deduplication_window = {window}"));
        clickhouse.arm(&json!({"do": "error", "code": 497, "when": "query", "match": "MODIFY SETTING", "times": 1000}));
        let app = App::new("sink-no-alter", &clickhouse, &sinks(""));
        app.produce("rows", 2, rows(0..200));
        let log = app.run_until("the rows", || count(&clickhouse, "rows") >= 200);
        clickhouse.disarm();
        assert_exact(&clickhouse, "rows", 0..200);
        assert!(!log.contains(WIDENED), "{log}");
        assert_eq!(log.contains(TWICE) && log.contains("must not be given one"), warned, "{log}");
    }
}

/// A view writes into another table, which has a memory of its own.
#[test]
fn the_tables_behind_views_are_given_a_window_too() {
    let clickhouse = ClickHouse::start();
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    clickhouse.query(&format!("CREATE TABLE copy {TABLE}"));
    clickhouse.query("CREATE TABLE deep (id UInt64) ENGINE = MergeTree ORDER BY id");
    clickhouse.query("CREATE TABLE log (id UInt64) ENGINE = Log");
    clickhouse.query("CREATE MATERIALIZED VIEW one TO copy AS SELECT * FROM rows");
    clickhouse.query("CREATE MATERIALIZED VIEW two TO deep AS SELECT id FROM copy");
    clickhouse.query("CREATE MATERIALIZED VIEW three TO log AS SELECT id FROM copy");
    let app = App::new("sink-behind", &clickhouse, &sinks(""));
    app.produce("rows", 1, rows(0..100));
    let log = app.run_until("the rows", || count(&clickhouse, "deep") >= 100);
    for table in ["rows", "copy", "deep"] {
        assert!(definition(&clickhouse, table).contains("deduplication_window = 10000"), "{table}: {log}");
    }
    assert!(log.contains(TWICE) && log.contains("table=\"default.log\""), "{log}");
}
