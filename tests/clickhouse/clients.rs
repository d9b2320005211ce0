//! Clients of others.

use std::path::PathBuf;
use std::process::Command;

use clickhouse::error::Error;
use clickhouse::{Client, Compression, Row};
use serde::{Deserialize, Serialize};

use crate::support::ClickHouse;

#[derive(Row, Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Order {
    id: u64,
    note: String,
    amount: Option<i32>,
    tags: Vec<String>,
}

/// The same names, other types.
#[derive(Row, Serialize, Deserialize, Debug)]
struct Wrong {
    id: String,
    note: String,
    amount: Option<i32>,
    tags: Vec<String>,
}

fn orders() -> Vec<Order> {
    let order = |id, note: &str, amount| Order { id, note: note.into(), amount, tags: vec!["a;b".into(), note.into()] };
    vec![order(0, "", None), order(7, "semi;colon\0 and\nmore", Some(-1)), order(u64::MAX, "Ünï", Some(i32::MIN))]
}

fn create(clickhouse: &ClickHouse, table: &str) {
    clickhouse.query(&format!(
        "CREATE TABLE {table} (id UInt64, note String, amount Nullable(Int32), tags Array(String)) \
         ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 10"
    ));
}

#[tokio::test]
async fn the_clickhouse_crate_writes_and_reads_typed_rows() {
    let clickhouse = ClickHouse::shared();
    for (table, compression) in [("typed_plain", Compression::None), ("typed_lz4", Compression::Lz4)] {
        create(clickhouse, table);
        // Validation is on: it asks for the table's columns and sends their names and types along.
        let client = Client::default().with_url(clickhouse.url()).with_compression(compression);
        for _ in 0..2 {
            let mut insert = client.insert::<Order>(table).await.expect("the table's columns");
            insert = insert.with_setting("insert_deduplication_token", "once").with_setting("async_insert", "0");
            for order in &orders() {
                insert.write(order).await.expect("a row");
            }
            insert.end().await.expect("an insert");
        }
        let read = client.query(&format!("SELECT ?fields FROM {table} ORDER BY id")).fetch_all::<Order>().await;
        assert_eq!(read.expect("rows"), orders(), "{compression:?}");
        let one = client.query(&format!("SELECT note FROM {table} WHERE id = {{id:UInt64}}")).param("id", 7);
        assert_eq!(one.fetch_one::<String>().await.expect("a row"), orders()[1].note);
    }
}

#[tokio::test]
async fn the_clickhouse_crate_sees_a_type_that_does_not_match() {
    let clickhouse = ClickHouse::shared();
    create(clickhouse, "typed_wrong");
    let client = Client::default().with_url(clickhouse.url());
    let mut insert = client.insert::<Wrong>("typed_wrong").await.expect("the table's columns");
    let row = Wrong { id: "7".into(), note: "x".into(), amount: None, tags: Vec::new() };
    let why = insert.write(&row).await.expect_err("a String for a UInt64");
    assert!(matches!(why, Error::SchemaMismatch(_)), "{why:?}");
    drop(insert);
    assert_eq!(clickhouse.count("typed_wrong"), 0);
}

#[tokio::test]
async fn the_clickhouse_crate_writes_rows_in_a_format_of_its_users() {
    let clickhouse = ClickHouse::shared();
    create(clickhouse, "formatted");
    let client = Client::default().with_url(clickhouse.url());
    let mut insert = client.insert_formatted_with("INSERT INTO formatted FORMAT JSONEachRow");
    insert.send("{\"id\":1,\"note\":\"a;b\",\"am".into()).await.expect("half a row");
    insert.send("ount\":null,\"tags\":[\"x\"]}\n{\"id\":2}\n".into()).await.expect("the rest");
    insert.end().await.expect("an insert");
    let rows = client.query("SELECT ?fields FROM formatted ORDER BY id").fetch_all::<Order>().await.expect("rows");
    let order = |id, note: &str, tags: &[&str]| Order {
        id,
        note: note.into(),
        amount: None,
        tags: tags.iter().map(|tag| (*tag).into()).collect(),
    };
    assert_eq!(rows, [order(1, "a;b", &["x"]), order(2, "", &[])]);
}

#[tokio::test]
async fn the_clickhouse_crate_is_told_the_engines_code() {
    let client = Client::default().with_url(ClickHouse::shared().url());
    let why = client.query("SELECT * FROM not_there").fetch_all::<u8>().await.expect_err("no such table");
    assert!(matches!(&why, Error::BadResponse(text) if text.contains("Code: 60.")), "{why:?}");
}

/// Its own types, parameters, settings, streams and four codings of the bodies.
#[test]
fn clickhouse_connect_for_python_is_content() {
    let clickhouse = ClickHouse::shared();
    let cache = std::env::var_os("HIGHWATER_CACHE")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("a home directory")).join(".cache/highwater"));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clickhouse/connect.py");
    let out = Command::new(cache.join("clickhouse-26.9/bin/python"))
        .args(["-B", script, &clickhouse.port().to_string()])
        .output()
        .expect("the engine's Python: tools/setup clickhouse");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(String::from_utf8_lossy(&out.stdout), "none lz4 zstd gzip\n");
}
