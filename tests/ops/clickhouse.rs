//! `ch/init.sql` on ClickHouse's own engine, with rows that Highwater wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::database::{Postgres, TABLES};
use crate::embedded::{Embedded, Row, change, highwater, rows};
use crate::files;
use crate::support::Dir;
use crate::support::postgres::remaining;

/// ClickHouse's data in a directory of its own, with `ch/init.sql` in it.
pub struct ClickHouse(Dir);

impl ClickHouse {
    pub fn empty() -> Self {
        Self(Dir::new("clickhouse"))
    }

    pub fn with_tables() -> Self {
        let clickhouse = Self::empty();
        clickhouse.sql(&files::read("ch/init.sql"));
        clickhouse
    }

    /// Statements, each ended by a semicolon; the rows that they answer.
    #[track_caller]
    pub fn sql(&self, text: &str) -> Vec<Row> {
        self.try_sql(text).unwrap_or_else(|e| panic!("{e}"))
    }

    pub fn try_sql(&self, text: &str) -> Result<Vec<Row>, String> {
        let mut child = Command::new(files::path("tools/clickhouse-local"))
            .arg(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).map_err(|e| e.to_string())?;
        let out = child.wait_with_output().map_err(|e| e.to_string())?;
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into_owned());
        }
        let lines = String::from_utf8_lossy(&out.stdout).into_owned();
        Ok(lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect())
    }

    /// One insert. `strict` refuses a column that the table does not have.
    #[track_caller]
    pub fn insert(&self, table: &str, rows: &[Row], strict: bool) {
        let rows: Vec<String> = rows.iter().map(|row| Value::Object(row.clone()).to_string()).collect();
        self.sql(&format!(
            "set async_insert = 0, input_format_skip_unknown_fields = {};
             insert into brew.{table} format JSONEachRow {};",
            u8::from(!strict),
            rows.join("\n")
        ));
    }
}

fn text(row: &Row, column: &str) -> String {
    row[column].as_str().unwrap_or_else(|| panic!("{column} of {row:?}")).to_owned()
}

#[test]
fn its_columns_are_what_the_rules_let_out_of_the_databases_tables() {
    let (postgres, clickhouse, log) = (Postgres::with_tables(), ClickHouse::with_tables(), Embedded::new("columns"));
    let mut personal = BTreeMap::new();
    for table in TABLES {
        let row: Row = postgres.columns(table).into_iter().map(|column| (column, Value::Null)).collect();
        let mut row = Value::Object(row);
        row["id"] = json!(1);
        log.produce(&format!("brew.cdc.public.{table}"), &[change(table, "c", &row, 100)]);
        personal.insert(table, row.as_object().expect("a row").len());
    }
    log.run_through(TABLES.len() as u64);
    for table in TABLES {
        let out = log.rows(&format!("brew.analytics.{table}"));
        let left: BTreeSet<&String> = out.iter().flat_map(|row| row.keys()).collect();
        let sql = format!("select name from system.columns where database = 'brew' and table = '{table}';");
        let columns: Vec<String> = clickhouse.sql(&sql).iter().map(|row| text(row, "name")).collect();
        assert_eq!(columns.iter().collect::<BTreeSet<_>>(), left, "{table}");
    }
    // And not because nothing was dropped.
    assert_eq!(personal["customers"], 8);
    assert!(!log.rows("brew.analytics.customers")[0].contains_key("birth_date"));
}

#[test]
fn it_may_run_twice_and_keeps_what_is_there() {
    let clickhouse = ClickHouse::with_tables();
    let row = json!({ "id": 1, "shop": 7, "at": "2026-05-01T10:00:00.000000Z", "cdc_lsn": 5, "_deleted": 0 });
    clickhouse.insert("visits", &[row.as_object().expect("a row").clone()], true);
    let catalog = "select name, engine_full, as_select from system.tables where database = 'brew' order by name;";
    let first = clickhouse.sql(catalog);
    clickhouse.sql(&files::read("ch/init.sql"));
    assert_eq!(clickhouse.sql(catalog), first);
    assert_eq!(clickhouse.sql("select shop from brew.visits_now;").len(), 1);
    let engines: Vec<String> =
        first.iter().filter(|row| row["as_select"] == "").map(|r| text(r, "engine_full")).collect();
    assert_eq!(engines.len(), TABLES.len());
    assert!(engines.iter().all(|engine| engine.starts_with("ReplacingMergeTree(cdc_lsn)")), "{engines:?}");
}

#[test]
fn views_show_the_last_version_of_each_key_whatever_order_rows_came_in() {
    let (clickhouse, dir) = (ClickHouse::with_tables(), Dir::new("demo"));
    let state = dir.join("demo").to_string_lossy().into_owned();
    highwater(&["demo", "--state", &state], &files::path("."), "");
    let mut deleted = 0;
    for table in ["customers", "orders", "visits"] {
        let mut all = rows(&format!("brew.analytics.{table}"), &format!("--embedded={state}/log"), dir.path());
        assert!(all.len() >= 4, "{table}: {}", all.len());
        deleted += all.iter().filter(|row| row["_deleted"] == 1).count();
        // The newest first, and in two inserts: nothing may go by the order of arrival.
        all.reverse();
        let (late, early) = all.split_at(all.len() / 3);
        // The captured tables have more columns than these.
        clickhouse.insert(table, late, false);
        clickhouse.insert(table, early, false);
        let mut by_key: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        for row in &all {
            by_key.entry(row["id"].to_string()).or_default().push(row.clone());
        }
        assert!(by_key.len() < all.len(), "{table}: no key has two versions");
        let expected: BTreeMap<String, Row> =
            remaining(&by_key).into_iter().map(|row| (row["id"].to_string(), row)).collect();
        let shown = clickhouse.sql(&format!("select * from brew.{table}_now;"));
        let ids: BTreeSet<String> = shown.iter().map(|row| row["id"].to_string()).collect();
        assert_eq!(ids, expected.keys().cloned().collect(), "{table}");
        assert_eq!(shown.len(), ids.len(), "{table}: a key twice");
        for row in &shown {
            let written = &expected[&row["id"].to_string()];
            for column in ["email", "phone", "full_name", "country", "customer_id", "shop"] {
                assert_eq!(row.get(column), written.get(column), "{table} {} {column}", row["id"]);
            }
            for column in ["created_at", "updated_at", "at"] {
                let iso = |text: &Value| text.as_str().map(|t| t.replace('T', " ").replace('Z', ""));
                assert_eq!(row.get(column).map(iso), written.get(column).map(iso), "{table} {column}");
            }
        }
    }
    assert!(deleted > 0, "no delete among them");
}

#[test]
fn no_view_shows_a_deleted_row() {
    let clickhouse = ClickHouse::with_tables();
    for table in TABLES {
        let row = |lsn: u64, deleted: u8| json!({ "id": 1, "cdc_lsn": lsn, "_deleted": deleted }).as_object().cloned();
        clickhouse.insert(table, &[row(5, 0).expect("a row")], true);
        assert_eq!(clickhouse.sql(&format!("select id from brew.{table}_now;")).len(), 1, "{table}");
        clickhouse.insert(table, &[row(6, 1).expect("a row")], true);
        assert_eq!(clickhouse.sql(&format!("select id from brew.{table}_now;")).len(), 0, "{table}");
    }
}

#[test]
fn a_repeated_insert_is_dropped_by_every_table() {
    let clickhouse = ClickHouse::with_tables();
    for table in TABLES {
        let row = json!({ "id": 1, "cdc_lsn": 5, "_deleted": 0 });
        let insert = format!(
            "insert into brew.{table} settings async_insert = 0, insert_deduplication_token = 'batch 1' format JSONEachRow {row};"
        );
        clickhouse.sql(&insert);
        // In a process of its own, as after a restart.
        clickhouse.sql(&insert);
        assert_eq!(clickhouse.sql(&format!("select id from brew.{table};")).len(), 1, "{table}");
    }
}

/// An order as it leaves Highwater.
fn order(id: u64, lsn: u64, deleted: u8, total: &str, placed_at: Option<i64>) -> Row {
    let row = json!({ "id": id, "customer_id": id % 2, "total": total, "due_on": -1, "placed_at": placed_at,
        "external_id": null, "cdc_lsn": lsn, "_deleted": deleted });
    row.as_object().expect("a row").clone()
}

#[test]
fn the_roll_up_counts_rows_and_not_changes() {
    let clickhouse = ClickHouse::with_tables();
    clickhouse.sql(
        "create materialized view naive engine = MergeTree order by orders
         as select count() as orders from brew.orders where placed_at is not null;",
    );
    const HOUR: i64 = 3_600_000_000;
    let ten = 1_777_629_600_000_000; // 2026-05-01 10:00 UTC
    clickhouse.insert(
        "orders",
        &[
            order(1, 10, 0, "1.10", Some(ten)),
            order(1, 20, 0, "2.20", Some(ten + 1)), // changed within the hour
            order(2, 11, 0, "5.00", Some(ten + HOUR - 1)),
            order(3, 12, 0, "7.00", Some(ten)),
            order(4, 13, 0, "9.00", None),
        ],
        true,
    );
    clickhouse.insert(
        "orders",
        &[
            order(3, 30, 0, "7.50", Some(ten + HOUR)),     // moved to the next hour
            order(2, 31, 1, "5.00", Some(ten + HOUR - 1)), // deleted
            order(1, 15, 0, "99.00", Some(ten)),           // older than what is there
        ],
        true,
    );
    let shown = clickhouse.sql("select * from brew.orders_by_hour order by hour;");
    let shown: Vec<Value> = shown.into_iter().map(Value::Object).collect();
    assert_eq!(
        shown,
        [
            json!({ "hour": "2026-05-01 10:00:00", "orders": 1, "customers": 1, "turnover": 2.2 }),
            json!({ "hour": "2026-05-01 11:00:00", "orders": 1, "customers": 1, "turnover": 7.5 }),
        ]
    );
    // What an ordinary materialized view says of the same inserts: every change, and the deleted order as well.
    let naive = clickhouse.sql("select sum(orders) as orders from naive;");
    assert_ne!(naive[0]["orders"], 2, "{naive:?}");
    let times = clickhouse.sql("select due_on, placed_at from brew.orders_now where id = 1;");
    assert_eq!(
        Value::Object(times[0].clone()),
        json!({ "due_on": "1969-12-31", "placed_at": "2026-05-01 10:00:00.000001" })
    );
}

#[test]
fn the_refreshable_view_of_the_comment_works() {
    let init = files::read("ch/init.sql");
    let comment: Vec<&str> =
        init.lines().skip_while(|line| !line.contains("create materialized view")).take(2).collect();
    let statement = comment.join("\n").replace("--", "");
    assert!(statement.trim_end().ends_with(';'), "{statement}");
    let clickhouse = ClickHouse::with_tables();
    clickhouse.insert("orders", &[order(1, 10, 0, "1.10", Some(0))], true);
    let kept = clickhouse.sql(&format!(
        "{statement} system refresh view brew.orders_by_hour_kept; system wait view brew.orders_by_hour_kept;
         select orders from brew.orders_by_hour_kept;"
    ));
    assert_eq!(kept.len(), 1);
}

#[test]
fn a_time_that_comes_as_a_number_is_refused_by_a_column_of_times() {
    let clickhouse = ClickHouse::with_tables();
    let why = clickhouse.try_sql(
        "insert into brew.visits settings async_insert = 0 format JSONEachRow {\"id\":1,\"at\":1774751400123456,\"cdc_lsn\":1,\"_deleted\":0};",
    );
    assert!(why.as_ref().is_err_and(|e| e.contains("out of range")), "{why:?}");
}
