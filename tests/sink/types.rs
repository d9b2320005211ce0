//! Rows of several tables arrive once, deletes marked as such, and a SELECT gives back what the source wrote.

use serde_json::{Value, json};

use crate::app::{App, count};
use crate::support::{ClickHouse, Line};

/// Type of a column, what a row has, and what a SELECT says as text.
const VALUES: &[(&str, &str, &str)] = &[
    ("Int8", "-128", "-128"),
    ("Int8", "127", "127"),
    ("UInt8", "255", "255"),
    ("Int16", "-32768", "-32768"),
    ("UInt16", "65535", "65535"),
    ("Int32", "-2147483648", "-2147483648"),
    ("Int32", "2147483647", "2147483647"),
    ("UInt32", "4294967295", "4294967295"),
    ("Int64", "-9223372036854775808", "-9223372036854775808"),
    ("Int64", "9223372036854775807", "9223372036854775807"),
    ("UInt64", "18446744073709551615", "18446744073709551615"),
    ("UInt64", "\"18446744073709551615\"", "18446744073709551615"),
    ("Int128", "-170141183460469231731687303715884105728", "-170141183460469231731687303715884105728"),
    (
        "UInt256",
        "115792089237316195423570985008687907853269984665640564039457584007913129639935",
        "115792089237316195423570985008687907853269984665640564039457584007913129639935",
    ),
    ("Float32", "0.1", "0.1"),
    ("Float64", "1.7976931348623157e308", "1.7976931348623157e308"),
    ("Float64", "\"NaN\"", "nan"),
    ("Float64", "\"-Infinity\"", "-inf"),
    ("Decimal(9, 2)", "\"-9999999.99\"", "-9999999.99"),
    ("Decimal(18, 4)", "12345678901234.5678", "12345678901234.5678"),
    ("Decimal(38, 10)", "\"1234567890123456789012345678.0123456789\"", "1234567890123456789012345678.0123456789"),
    (
        "Decimal(76, 0)",
        "\"-9999999999999999999999999999999999999999999999999999999999999999999999999999\"",
        "-9999999999999999999999999999999999999999999999999999999999999999999999999999",
    ),
    ("Bool", "true", "true"),
    ("Bool", "false", "false"),
    ("String", "\"\"", ""),
    ("String", r#""tab\tquote\"back\\slash\nGrüße 😀 \u0000""#, "tab\tquote\"back\\slash\nGrüße 😀 \0"),
    ("String", "{\"a\": [1, 2.50]}", "{\"a\": [1, 2.50]}"),
    ("FixedString(6)", "\"Grüß\"", "Grüß"),
    ("SimpleAggregateFunction(max, Float64)", "2.5", "2.5"),
    ("LowCardinality(String)", "\"rare\"", "rare"),
    ("LowCardinality(Nullable(String))", "\"rarer\"", "rarer"),
    ("LowCardinality(Nullable(String))", "null", "ᴺᵁᴸᴸ"),
    ("Nullable(Int32)", "null", "ᴺᵁᴸᴸ"),
    ("Nullable(Int32)", "0", "0"),
    ("Nullable(Decimal(9, 2))", "\"0.10\"", "0.1"),
    ("Nullable(DateTime64(3, 'UTC'))", "null", "ᴺᵁᴸᴸ"),
    ("Date", "\"2149-06-06\"", "2149-06-06"),
    ("Date", "20574", "2026-05-01"),
    ("Date32", "\"1900-01-01\"", "1900-01-01"),
    ("Date32", "\"2299-12-31\"", "2299-12-31"),
    ("Date32", "-1", "1969-12-31"),
    ("DateTime('UTC')", "\"2106-02-07T06:28:15Z\"", "2106-02-07 06:28:15"),
    ("DateTime64(6, 'UTC')", "\"2026-05-01T10:00:00.000001Z\"", "2026-05-01 10:00:00.000001"),
    ("DateTime64(6, 'UTC')", "\"1900-01-01T00:00:00.999999Z\"", "1900-01-01 00:00:00.999999"),
    ("DateTime64(3, 'UTC')", "\"2299-12-31T23:59:59.999Z\"", "2299-12-31 23:59:59.999"),
    ("DateTime64(9, 'UTC')", "\"2026-05-01T12:00:00.123456789+02:00\"", "2026-05-01 10:00:00.123456789"),
    ("UUID", "\"00112233-4455-6677-8899-AABBCCDDEEFF\"", "00112233-4455-6677-8899-aabbccddeeff"),
    ("IPv4", "\"255.0.10.1\"", "255.0.10.1"),
    ("IPv6", "\"2001:DB8::8a2e:370:7334\"", "2001:db8::8a2e:370:7334"),
    ("Enum8('a' = -128, 'it''s' = 127)", "\"it's\"", "it's"),
    ("Enum16('b, (c' = 1000, 'd' = -5)", "-5", "d"),
    ("Array(Int16)", "[-32768, 0, 32767]", "[-32768,0,32767]"),
    ("Array(String)", r#"["a'b", "", "ü"]"#, r"['a\'b','','ü']"),
    ("Array(Nullable(UInt8))", "[1, null]", "[1,NULL]"),
    ("Array(Array(Decimal(9, 1)))", "[[\"1.5\"], []]", "[[1.5],[]]"),
    ("Array(LowCardinality(String))", "[\"x\", \"x\"]", "['x','x']"),
    ("Map(String, Array(UInt8))", r#"{"k": [1], "": []}"#, "{'k':[1],'':[]}"),
    ("JSON", r#"{"a": {"b": 1}, "c": "x"}"#, r#"{"a":{"b":1},"c":"x"}"#),
    ("JSON", r#""{\"text\": [1, 2]}""#, r#"{"text":[1,2]}"#),
];

#[test]
fn a_select_gives_back_what_the_source_wrote() {
    let clickhouse = ClickHouse::shared();
    clickhouse.query("CREATE DATABASE kinds");
    let columns: Vec<String> = VALUES.iter().enumerate().map(|(i, (ty, ..))| format!("c{i} {ty}")).collect();
    clickhouse
        .query(&format!("CREATE TABLE kinds.kinds (id UInt64, {}) ENGINE = MergeTree ORDER BY id", columns.join(", ")));
    let fields: Vec<String> = VALUES.iter().enumerate().map(|(i, (_, value, _))| format!("\"c{i}\":{value}")).collect();
    // The columns of a row need not come in the table's order.
    let forward = format!("{{\"id\":1,{}}}", fields.join(","));
    let backward = format!("{{{},\"id\":2}}", fields.iter().rev().cloned().collect::<Vec<_>>().join(","));
    let app = App::new(
        "sink-types",
        clickhouse,
        "sinks: { ch: { from: kinds, clickhouse: { url: '${URL}', database: kinds, table: kinds } } }\n",
    );
    app.produce("kinds", 1, [&forward, &backward, &forward.replace("\"id\":1,", "\"id\":3,")]);
    let log = app.run_until("the rows", || count(clickhouse, "kinds.kinds") >= 3);
    assert_eq!(
        clickhouse.query("SELECT count() AS n, uniqExact(id) AS ids FROM kinds.kinds"),
        [json_row(3, 3)],
        "{log}"
    );
    for (i, (ty, value, want)) in VALUES.iter().enumerate() {
        let sql = format!("SELECT DISTINCT ifNull(toString(c{i}), 'ᴺᵁᴸᴸ') AS v FROM kinds.kinds");
        assert_eq!(clickhouse.value(&sql), json!(want), "{value} in {ty}");
    }
}

fn json_row(n: u64, ids: u64) -> serde_json::Map<String, Value> {
    let Value::Object(row) = json!({ "n": n, "ids": ids }) else { unreachable!("an object") };
    row
}

const PIPELINE: &str = "
commit_interval: 20ms
streams:
  shop:
    from: { pattern: 'shop\\.public\\.(?<table>.+)' }
    steps: [dedup, { mask: { unlisted: passthrough, fields: { email: truncate } } }]
    to: 'out.{table}'
sinks:
  ch:
    from: 'out\\.(?<table>.+)'
    clickhouse: { url: '${URL}', database: shop, table: '{table}', batch: { rows: 50, timeout: 50ms } }
";

fn change(table: &str, op: &str, row: &Value, lsn: u64) -> Line {
    let (before, after) = if op == "d" { (row, &Value::Null) } else { (&Value::Null, row) };
    let value = json!({
        "before": before, "after": after, "op": op,
        "source": { "name": "shop", "db": "shop", "schema": "public", "table": table, "snapshot": "false", "lsn": lsn,
            "sequence": format!("[\"1\",\"{lsn}\"]"), "ts_us": 1_700_000_000_000_000_u64 + lsn },
    });
    Line::new(&format!("shop.public.{table}"), &json!({ "id": row["id"] }).to_string(), &value.to_string())
}

/// Through a stream, as it is meant: changes that come again, updates, deletes that know their key and nothing else.
#[test]
fn changes_of_several_tables_go_through_a_stream_into_their_tables_once() {
    let clickhouse = ClickHouse::shared();
    clickhouse.query("CREATE DATABASE shop");
    let tables = ["customers", "orders", "visits"];
    for table in tables {
        clickhouse.query(&format!(
            "CREATE TABLE shop.{table} (id UInt64, email String, total Decimal(18, 2), note Nullable(String), \
             _deleted UInt8, cdc_lsn UInt64) ENGINE = MergeTree ORDER BY id"
        ));
    }
    let app = App::new("sink-pipeline", clickhouse, PIPELINE);
    let (mut want, mut lsn) = (Vec::new(), 100);
    for (table, at) in tables.iter().zip(0u64..) {
        let mut lines = Vec::new();
        for id in 0..120 {
            lsn += 1;
            let total = format!("{id}.{at}5");
            let row = json!({ "id": id, "email": "Secret.Person@example.com", "total": total, "note": "n" });
            lines.push(change(table, "c", &row, lsn));
            want.push(((*table).to_owned(), id, total, Some("n".to_owned()), 0, lsn));
            if id % 10 == 0 {
                lsn += 1;
                let gone = json!({ "id": id, "email": null, "total": null, "note": null });
                lines.push(change(table, "d", &gone, lsn));
                want.push(((*table).to_owned(), id, "0".into(), None, 1, lsn));
            }
        }
        // A connector that lost its place sends them all again: `dedup` drops them before the sink.
        let again = lines.clone();
        app.produce_lines(&format!("shop.public.{table}"), 2, &[lines, again].concat());
    }
    // The sink reads what the stream makes: the topics are there before it asks for them.
    tables.iter().for_each(|table| app.produce::<&str>(&format!("out.{table}"), 2, []));
    let total = |table: &str| count(clickhouse, &format!("shop.{table}"));
    let log = app.run_until("the rows", || tables.iter().map(|table| total(table)).sum::<u64>() >= want.len() as u64);
    let mut found = Vec::new();
    for table in tables {
        let sql = format!(
            "SELECT id, email, toString(total) AS total, note, _deleted, cdc_lsn FROM shop.{table} ORDER BY id, cdc_lsn"
        );
        for row in clickhouse.query(&sql) {
            assert!(!row["email"].to_string().contains("Secret"), "not masked: {row:?}\n{log}");
            let text = |name: &str| row[name].as_str().map(str::to_owned);
            let number = |name: &str| row[name].as_u64().expect("a number");
            found.push((
                table.to_owned(),
                number("id"),
                text("total").expect("a text"),
                text("note"),
                number("_deleted"),
                number("cdc_lsn"),
            ));
        }
    }
    want.sort();
    found.sort();
    assert_eq!(found, want);
}
