//! Tables that are not there, not as they should be, or change while rows are on their way.

use serde_json::json;

use crate::app::{App, REPEATED, TABLE, assert_exact, count, fired, row, rows, stop, wait_for_page};
use crate::support::process::page;
use crate::support::{ClickHouse, DEADLINE, Highwater, wait_until};

fn sinks(unknown_columns: &str) -> String {
    format!(
        "sinks:\n  ch:\n    from: rows\n    clickhouse: {{ url: '${{URL}}', table: rows, batch: {{ rows: 50, timeout: 50ms }}, \
         unknown_columns: {unknown_columns} }}\n"
    )
}

/// An instance whose insert of that number is held, before it is executed.
fn run_to_a_held_insert(app: &App, clickhouse: &ClickHouse, skip: u64) -> Highwater {
    let before = fired(clickhouse);
    clickhouse.arm(&json!({"do": "delay", "ms": 600_000, "when": "insert", "skip": skip, "before": true}));
    let mut process = app.run();
    wait_until(DEADLINE, "an insert that is held", || {
        assert!(process.ended().is_none(), "it ended:\n{}", process.log());
        (fired(clickhouse) > before).then_some(())
    });
    process
}

#[test]
fn a_table_that_is_missing_is_waited_for_and_asked_for_by_name() {
    let clickhouse = ClickHouse::start();
    let app = App::new("sink-missing", &clickhouse, &sinks("wait"));
    app.produce("rows", 2, rows(0..300));
    let mut process = app.run();
    process.wait_for_log("there is no table default.rows: create it");
    let ready = wait_for_page(&mut process, "/readyz", |_, text| text.contains("no table default.rows"));
    assert!(ready.contains("highwater clickhouse ddl"), "{ready}");
    let held = wait_for_page(&mut process, "/metrics", |_, text| {
        text.contains("highwater_sink_held_partitions{sink=\"ch\"} 2")
    });
    assert!(crate::app::sum(&held, "highwater_sink_insert_errors_total") > 0.0, "{held}");
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    wait_until(DEADLINE, "the rows", || (count(&clickhouse, "rows") >= 300).then_some(()));
    wait_for_page(&mut process, "/readyz", |status, text| status == 200 && !text.contains("no table"));
    stop(process);
    assert_exact(&clickhouse, "rows", 0..300);
}

#[test]
fn a_column_that_the_table_lacks_is_waited_for_left_out_or_added() {
    let clickhouse = ClickHouse::start();
    let wide = |id: u64| row(id).replace("\"n\":", &format!("\"score\":{id}.5,\"tag\":\"t{id}\",\"n\":"));
    let app = App::new("sink-columns", &clickhouse, &sinks("wait"));
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    app.produce("rows", 1, (0..60).map(row).chain((60..130).map(wide)));
    let mut process = app.run();
    process.wait_for_log("it has no column `score`: ALTER TABLE `default`.`rows` ADD COLUMN `score` Nullable(Float64)");
    process.wait_for_log("ADD COLUMN `tag` Nullable(String)");
    // What came before goes in meanwhile.
    wait_until(DEADLINE, "the rows before", || (count(&clickhouse, "rows") == 60).then_some(()));
    clickhouse.query("ALTER TABLE rows ADD COLUMN score Float64, ADD COLUMN tag String");
    wait_until(DEADLINE, "the rows", || (count(&clickhouse, "rows") >= 130).then_some(()));
    stop(process);
    assert_exact(&clickhouse, "rows", 0..130);
    let sql = "SELECT count() FROM rows WHERE id >= 60 AND score = id + 0.5 AND tag = 't' || toString(id)";
    assert_eq!(clickhouse.value(sql), json!(70));

    for (word, columns) in [("ignore", 3), ("add", 5)] {
        clickhouse.query("DROP TABLE rows");
        clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
        let app = App::new("sink-columns", &clickhouse, &sinks(word));
        app.produce("rows", 1, (0..60).map(row).chain((60..130).map(wide)));
        app.run_until("the rows", || count(&clickhouse, "rows") >= 130);
        assert_exact(&clickhouse, "rows", 0..130);
        let found =
            clickhouse.value("SELECT count() FROM system.columns WHERE database = 'default' AND table = 'rows'");
        assert_eq!(found, json!(columns), "{word}");
        if word == "add" {
            let sql = "SELECT countIf(id >= 60 AND score = id + 0.5 AND tag = 't' || toString(id)) || ' ' || \
                       toString(countIf(id < 60 AND score IS NULL)) FROM rows";
            assert_eq!(clickhouse.value(sql), json!("70 60"));
        }
    }
}

/// Nothing more comes after the refused insert that could bring its rows back to mind.
#[test]
fn a_table_that_is_dropped_and_made_again_while_it_runs_gets_what_was_on_its_way() {
    let clickhouse = ClickHouse::start();
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    let app = App::new("sink-dropped", &clickhouse, &sinks("wait"));
    app.produce("rows", 1, rows(0..120));
    // The last of three.
    let mut process = run_to_a_held_insert(&app, &clickhouse, 2);
    clickhouse.query("DROP TABLE rows");
    clickhouse.disarm();
    process.wait_for_log("there is no table default.rows");
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    wait_until(DEADLINE, "the rows of the last insert", || (count(&clickhouse, "rows") >= 20).then_some(()));
    // The new one remembers no insert of itself.
    wait_until(DEADLINE, "its window", || {
        let sql = "SELECT create_table_query FROM system.tables WHERE database = 'default' AND name = 'rows'";
        clickhouse.value(sql).to_string().contains("non_replicated_deduplication_window = 10000").then_some(())
    });
    stop(process);
    assert_exact(&clickhouse, "rows", 100..120);
}

/// A record that is no row stands where the reading would have gone on.
#[test]
fn rows_of_an_insert_that_is_withdrawn_are_read_again_whatever_comes_next() {
    let clickhouse = ClickHouse::start();
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    let app = App::new("sink-withdrawn", &clickhouse, &format!("defaults: {{ on_error: skip }}\n{}", sinks("wait")));
    // So much that the client has not read all of it when the first insert comes back.
    let bad = |from: u64| (from..from + 40).map(|_| "no row".to_owned());
    app.produce("rows", 1, rows(0..50).chain(bad(50)).chain(rows(50..60)).chain(bad(60)).chain(rows(60..3000)));
    let mut process = run_to_a_held_insert(&app, &clickhouse, 0);
    clickhouse.query("ALTER TABLE rows DROP COLUMN text");
    clickhouse.disarm();
    process.wait_for_log("the rows of an insert are read again");
    process.wait_for_log("it has no column `text`");
    clickhouse.query("ALTER TABLE rows ADD COLUMN text String AFTER id");
    wait_until(DEADLINE, "all rows", || (count(&clickhouse, "rows") >= 3000).then_some(()));
    stop(process);
    assert_exact(&clickhouse, "rows", 0..3000);
}

/// Rows are sent as bytes by their types: in a column of another type they would be something else.
#[test]
fn a_type_that_changes_while_it_runs_damages_nothing() {
    let clickhouse = ClickHouse::start();
    let app = App::new("sink-types-change", &clickhouse, &sinks("wait"));
    clickhouse.query("CREATE TABLE rows (id UInt64, text String, n Int32) ENGINE = MergeTree ORDER BY id");
    app.produce("rows", 1, rows(0..120));
    let mut process = run_to_a_held_insert(&app, &clickhouse, 1);
    clickhouse.query("ALTER TABLE rows MODIFY COLUMN n Int64");
    clickhouse.disarm();
    process.wait_for_log("the rows of an insert are read again");
    wait_until(DEADLINE, "all rows", || (count(&clickhouse, "rows") >= 120).then_some(()));
    stop(process);
    assert_exact(&clickhouse, "rows", 0..120);

    // Its answer is lost, so that it may be in: it stays one insert under one token, in the types of now.
    for (lost, from) in [("lose_request", 120), ("lose_reply", 200)] {
        clickhouse.query("ALTER TABLE rows MODIFY COLUMN n Int32");
        app.produce("rows", 1, rows(from..from + 30));
        let before = fired(&clickhouse);
        clickhouse.arm(&json!([
            {"do": lost, "when": "insert"},
            {"do": "delay", "ms": 600_000, "when": "insert", "before": true},
        ]));
        let mut process = app.run();
        wait_until(DEADLINE, "the second attempt to be held", || (fired(&clickhouse) >= before + 2).then_some(()));
        clickhouse.query("ALTER TABLE rows MODIFY COLUMN n Int64");
        clickhouse.disarm();
        process.wait_for_log(REPEATED);
        wait_until(DEADLINE, "the rows", || {
            (count(&clickhouse, "rows") >= 150 + 30 * u64::from(from > 120)).then_some(())
        });
        stop(process);
    }
    assert_exact(&clickhouse, "rows", (0..150).chain(200..230));
}

/// The plan says which columns it has; that they have other types by now changes their bytes and not the rows.
#[test]
fn a_type_that_changes_while_a_plan_is_open_damages_nothing() {
    let clickhouse = ClickHouse::start();
    for (round, before) in [(0, true), (1, false)] {
        let app = App::new("sink-types-plan", &clickhouse, &sinks("wait"));
        clickhouse.query("DROP TABLE IF EXISTS rows");
        clickhouse.query("CREATE TABLE rows (id UInt64, text String, n Int32) ENGINE = MergeTree ORDER BY id");
        app.produce("rows", 1, rows(0..40));
        clickhouse.arm(&json!({"do": "delay", "ms": 600_000, "when": "insert", "before": before}));
        let mut process = app.run();
        wait_until(DEADLINE, "an insert that is held", || (fired(&clickhouse) > round).then_some(()));
        process.sigkill();
        if before {
            // The one that is held is refused for its types when it goes on.
            clickhouse.query("ALTER TABLE rows MODIFY COLUMN n Int64");
            clickhouse.disarm();
        } else {
            clickhouse.disarm();
            clickhouse.query("ALTER TABLE rows MODIFY COLUMN n Int64");
        }
        app.produce("rows", 1, rows(40..45));
        let log = app.run_until("the rows", || count(&clickhouse, "rows") >= 45);
        assert!(log.contains(REPEATED), "{log}");
        assert_exact(&clickhouse, "rows", 0..45);
    }
}

#[test]
fn a_type_that_is_not_written_to_is_named() {
    let clickhouse = ClickHouse::shared();
    clickhouse.query("CREATE DATABASE unsupported");
    clickhouse.query(
        "CREATE TABLE unsupported.rows (id UInt64, text Tuple(a UInt8), n Int64) ENGINE = MergeTree ORDER BY id",
    );
    let app = App::new(
        "sink-unsupported",
        clickhouse,
        &sinks("wait").replace("table: rows", "database: unsupported, table: rows"),
    );
    app.produce("rows", 1, rows(0..10));
    let mut process = app.run();
    process.wait_for_log("`text` is of type Tuple(a UInt8), which is not written to");
    assert_eq!(count(clickhouse, "unsupported.rows"), 0);
    clickhouse.query("DROP TABLE unsupported.rows");
    clickhouse.query(&format!("CREATE TABLE unsupported.rows {TABLE}"));
    wait_until(DEADLINE, "the rows", || (count(clickhouse, "unsupported.rows") >= 10).then_some(()));
    stop(process);
    assert_exact(clickhouse, "unsupported.rows", 0..10);
}

/// The table has the rows before its view fails: what is sent again must not be in twice in either.
#[test]
fn a_view_that_fails_is_waited_for_and_nothing_is_in_twice_when_it_is_mended() {
    const CANARY: &str = "71077345x";
    let clickhouse = ClickHouse::start();
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    clickhouse.query(&format!("CREATE TABLE copy {TABLE}"));
    clickhouse.query("CREATE TABLE deep (id UInt64) ENGINE = MergeTree ORDER BY id");
    clickhouse.query("CREATE MATERIALIZED VIEW deeper TO deep AS SELECT id FROM copy");
    // It cannot read what the source calls a text.
    clickhouse.query(
        "CREATE MATERIALIZED VIEW view TO copy AS SELECT id, text, n + toInt64(if(id = 77, text, '0')) AS n FROM rows",
    );
    let app = App::new("sink-view", &clickhouse, &sinks("wait"));
    let value = |id| if id == 77 { row(id).replace("row 77", CANARY) } else { row(id) };
    app.produce("rows", 1, (0..200).map(value));
    let mut process = app.run();
    process.wait_for_log("while pushing to view default.view");
    // More than once.
    wait_for_page(&mut process, "/metrics", |_, text| {
        crate::app::sum(text, "highwater_sink_insert_errors_total") >= 2.0
    });
    let shown = [process.log(), page(&mut process, "/readyz").1, page(&mut process, "/metrics").1].concat();
    assert!(!shown.contains(CANARY), "a value is shown:\n{shown}");
    clickhouse.query("DROP VIEW view");
    clickhouse.query("CREATE MATERIALIZED VIEW view TO copy AS SELECT id, text, n FROM rows");
    wait_until(DEADLINE, "the rows", || {
        ["rows", "copy", "deep"].iter().all(|table| count(&clickhouse, table) >= 200).then_some(())
    });
    stop(process);
    for table in ["rows", "copy", "deep"] {
        let counts = &clickhouse.query(&format!("SELECT count() AS n, uniqExact(id) AS ids FROM {table}"))[0];
        assert_eq!((&counts["n"], &counts["ids"]), (&json!(200), &json!(200)), "{table}");
    }
}
