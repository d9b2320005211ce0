//! `proto/analytics/v1/events.proto` says what leaves: the columns of ClickHouse's tables, of types that hold the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use regex::Regex;
use serde_json::{Value, json};

use crate::clickhouse::ClickHouse;
use crate::database::{Postgres, TABLES};
use crate::embedded::{Embedded, Row, change};
use crate::files;

const FILE: &str = "proto/analytics/v1/events.proto";

/// The message of a table.
fn message(table: &str) -> &'static str {
    match table {
        "customers" => "Customer",
        "orders" => "Order",
        "events" => "Event",
        "visits" => "Visit",
        _ => panic!("{table} has no message"),
    }
}

/// What protoc says of the file, asked with further arguments.
fn protoc(args: &[&str], input: &str) -> Result<Vec<u8>, String> {
    let mut child = Command::new(files::fetched("protoc-4.32.0", "protoc"))
        .args(["--proto_path=proto", "--fatal_warnings"])
        .args(args)
        .arg(FILE)
        .current_dir(files::path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("protoc");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("its input");
    let out = child.wait_with_output().expect("protoc");
    if out.status.success() { Ok(out.stdout) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

/// By message: names of fields with whether they are optional, and reserved names.
fn messages() -> BTreeMap<String, (BTreeMap<String, bool>, BTreeSet<String>)> {
    let text = files::read(FILE);
    let field = Regex::new(r"(?m)^  (optional )?\w+ (\w+) = \d+;").expect("a pattern");
    let reserved = Regex::new(r#"(?m)^  reserved "(\w+)";"#).expect("a pattern");
    let message = Regex::new(r"(?s)message (\w+) \{(.*?)\n\}").expect("a pattern");
    let found = message.captures_iter(&text).map(|found| {
        let fields = field.captures_iter(&found[2]).map(|f| (f[2].to_owned(), f.get(1).is_some())).collect();
        (found[1].to_owned(), (fields, reserved.captures_iter(&found[2]).map(|r| r[1].to_owned()).collect()))
    });
    found.collect()
}

#[test]
fn it_names_the_columns_of_the_tables_and_reserves_those_that_must_not_leave() {
    let (postgres, clickhouse, messages) = (Postgres::with_tables(), ClickHouse::with_tables(), messages());
    assert_eq!(messages.len(), TABLES.len());
    for table in TABLES {
        let (fields, reserved) = &messages[message(table)];
        let sql = format!("select name, type from system.columns where database = 'brew' and table = '{table}';");
        let columns: BTreeMap<String, bool> = clickhouse
            .sql(&sql)
            .iter()
            .map(|c| (c["name"].as_str().expect("a name").to_owned(), c["type"].to_string().contains("Nullable")))
            .collect();
        assert_eq!(*fields, columns, "{table}: names, and which of them may be null");
        let held: BTreeSet<String> = postgres.columns(table).into_iter().collect();
        let dropped: BTreeSet<String> = held.into_iter().filter(|column| !columns.contains_key(column)).collect();
        assert_eq!(*reserved, dropped, "{table}");
    }
}

#[test]
fn protoc_takes_it_and_its_types_hold_the_rows() {
    protoc(&["--descriptor_set_out=/dev/null"], "").expect("protoc");
    let log = Embedded::new("contract");
    // As Debezium sends them.
    let rows = [
        (
            "customers",
            json!({ "id": 1, "email": "a@example.com", "phone": "+7", "full_name": "Ivan Ivanov", "birth_date": 31,
            "country": "RU", "created_at": "2026-05-01T10:00:00.123456Z", "updated_at": "2026-05-01T10:00:00.123456Z" }),
        ),
        (
            "orders",
            json!({ "id": i64::MAX, "customer_id": 1, "total": "-9999999999.99", "notes": "x", "due_on": -20000,
            "placed_at": -1_774_751_400_123_456_i64, "external_id": "7b4a0c9e-0d63-4b6f-9d0a-6f3f0a4b1c2d" }),
        ),
        (
            "events",
            json!({ "id": 1, "customer_id": 1, "kind": "view", "at": "2026-05-01T10:00:00.000000Z", "payload": "{}" }),
        ),
        ("visits", json!({ "id": 1, "customer_id": 1, "shop": -7, "at": "2026-05-01T10:00:00.000000Z" })),
    ];
    for (table, row) in &rows {
        log.produce(&format!("brew.cdc.public.{table}"), &[change(table, "d", row, 100)]);
    }
    log.run_through(rows.len() as u64);
    for table in TABLES {
        let out = log.rows(&format!("brew.analytics.{table}"));
        assert_eq!(out.len(), 1, "{table}");
        let encode = format!("--encode=analytics.v1.{}", message(table));
        let bytes = protoc(&[&encode], &text_format(&out[0])).unwrap_or_else(|e| panic!("{table}: {e}: {:?}", out[0]));
        assert!(!bytes.is_empty(), "{table}");
        // It would refuse a field that is not in the contract, and a value of another type.
        let mut wrong = out[0].clone();
        wrong.insert("another".into(), json!("x"));
        assert!(protoc(&[&encode], &text_format(&wrong)).is_err(), "{table}");
    }
}

/// A row in the text form of Protocol Buffers, which writes strings as JSON does where they are plain.
fn text_format(row: &Row) -> String {
    let fields: Vec<String> =
        row.iter().filter(|(_, v)| !v.is_null()).map(|(k, v): (_, &Value)| format!("{k}: {v}")).collect();
    fields.join("\n")
}
