//! Settings, databases and parameters of a request hold for it alone.

use serde_json::json;

use crate::support::ClickHouse;

fn ask(clickhouse: &ClickHouse, sql: &str, parameters: &[(&str, &str)]) -> String {
    let reply = clickhouse.post(parameters, sql.as_bytes()).expect("an answer");
    assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
    reply.text().trim_end_matches('\n').to_owned()
}

#[test]
fn a_setting_holds_for_one_statement() {
    let clickhouse = ClickHouse::shared();
    for (name, value) in [
        ("max_threads", "3"),
        ("max_insert_block_size", "77"),
        ("insert_deduplication_token", "it's; \\ one"),
        ("async_insert", "0"),
        ("input_format_skip_unknown_fields", "0"),
    ] {
        let get = format!("SELECT getSetting('{name}') FORMAT TSVRaw");
        let default = ask(clickhouse, &get, &[]);
        assert_ne!(default, value);
        assert_eq!(ask(clickhouse, &get, &[(name, value)]).replace("false", "0"), value);
        assert_eq!(ask(clickhouse, &get, &[]), default, "{name} has leaked");
        // Nor does it stay where the statement failed.
        let failed = clickhouse.post(&[(name, value)], b"SELECT * FROM not_there").expect("an answer");
        assert_eq!(failed.status, 404, "{}", failed.text());
        assert_eq!(ask(clickhouse, &get, &[]), default, "{name} has leaked");
    }
}

#[test]
fn what_a_statement_sets_is_gone_with_it() {
    let clickhouse = ClickHouse::shared();
    let threads = ask(clickhouse, "SELECT getSetting('max_threads')", &[]);
    ask(clickhouse, "SET max_threads = 5", &[]);
    ask(clickhouse, "USE system", &[]);
    assert_ne!(threads, "5");
    assert_eq!(
        ask(clickhouse, "SELECT getSetting('max_threads'), currentDatabase()", &[]),
        format!("{threads}\tdefault")
    );
}

#[test]
fn a_statements_own_settings_come_last() {
    let clickhouse = ClickHouse::shared();
    let sql = "SELECT getSetting('max_threads') SETTINGS max_threads = 2";
    assert_eq!(ask(clickhouse, sql, &[("max_threads", "3")]), "2");
}

#[test]
fn settings_reach_an_insert() {
    let clickhouse = ClickHouse::shared();
    clickhouse.query("CREATE TABLE cut (id UInt64) ENGINE = MergeTree ORDER BY id");
    clickhouse.query("SYSTEM STOP MERGES cut");
    let rows: String = (0..3000).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let parts =
        "SELECT groupArray(rows) FROM (SELECT rows FROM system.parts WHERE table = 'cut' AND active ORDER BY name)";
    clickhouse.insert("INSERT INTO cut FORMAT JSONEachRow", &[], rows.as_bytes()).expect("an answer");
    assert_eq!(clickhouse.value(parts), json!([3000]), "one block, whole");
    clickhouse.query("TRUNCATE TABLE cut");
    let small =
        [("max_insert_block_size", "1000"), ("min_insert_block_size_rows", "0"), ("min_insert_block_size_bytes", "0")];
    clickhouse.insert("INSERT INTO cut FORMAT JSONEachRow", &small, rows.as_bytes()).expect("an answer");
    assert_eq!(clickhouse.value(parts), json!([1000, 1000, 1000]));
    // Defaults of the table, for fields that a row does not have.
    clickhouse.query("CREATE TABLE defaults (id UInt64, twice UInt64 DEFAULT id * 2) ENGINE = MergeTree ORDER BY id");
    clickhouse.insert("INSERT INTO defaults FORMAT JSONEachRow", &[], b"{\"id\":21}").expect("an answer");
    assert_eq!(clickhouse.value("SELECT twice FROM defaults"), json!(42));
    let off = [("input_format_defaults_for_omitted_fields", "0")];
    clickhouse.insert("INSERT INTO defaults FORMAT JSONEachRow", &off, b"{\"id\":22}").expect("an answer");
    assert_eq!(clickhouse.value("SELECT twice FROM defaults WHERE id = 22"), json!(0));
}

#[test]
fn a_database_holds_for_one_statement() {
    let clickhouse = ClickHouse::shared();
    clickhouse.query("CREATE DATABASE `o``ther`");
    assert_eq!(ask(clickhouse, "SELECT currentDatabase()", &[("database", "o`ther")]), "o`ther");
    assert_eq!(ask(clickhouse, "SELECT currentDatabase()", &[]), "default");
    let mut connection = clickhouse.connect().expect("a connection");
    let header = [("X-ClickHouse-Database", "system")];
    let reply = connection.exchange("POST", "/", &header, b"SELECT currentDatabase()").expect("an answer");
    assert_eq!(reply.text(), "system\n");
}

#[test]
fn parameters_fill_a_query_and_an_insert() {
    let clickhouse = ClickHouse::shared();
    let parameters = [("param_a", "41"), ("param_b", "it's;\\tb")];
    assert_eq!(ask(clickhouse, "SELECT {a:UInt8} + 1, {b:String} FORMAT TSVRaw", &parameters), "42\tit's;\tb");
    let without = clickhouse.post(&[], b"SELECT {a:UInt8}").expect("an answer");
    assert!(without.status != 200 && without.text().contains("UNKNOWN_QUERY_PARAMETER"), "{}", without.text());
    clickhouse.query("CREATE TABLE filled (id UInt64) ENGINE = Memory");
    let sql = "INSERT INTO {table:Identifier} FORMAT JSONEachRow";
    let reply = clickhouse.insert(sql, &[("param_table", "filled")], b"{\"id\":7}").expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(clickhouse.value("SELECT id FROM filled"), json!(7));
}

#[test]
fn the_format_is_the_statements_or_the_requests() {
    let clickhouse = ClickHouse::shared();
    let mut connection = clickhouse.connect().expect("a connection");
    let mut ask = |target: &str, headers: &[(&str, &str)], sql: &str| {
        let reply = connection.exchange("POST", target, headers, sql.as_bytes()).expect("an answer");
        (reply.text(), reply.header("X-ClickHouse-Format").map(str::to_owned))
    };
    let told = |text: &str, name: &str| (text.to_owned(), Some(name.to_owned()));
    assert_eq!(ask("/", &[], "SELECT 1 AS a"), told("1\n", "TabSeparated"));
    assert_eq!(ask("/?default_format=JSONEachRow", &[], "SELECT 1 AS a"), told("{\"a\":1}\n", "JSONEachRow"));
    assert_eq!(ask("/", &[("X-ClickHouse-Format", "CSV")], "SELECT 'a'"), told("\"a\"\n", "CSV"));
    assert_eq!(ask("/?default_format=CSV", &[], "SELECT 1 AS a FORMAT XML").1, Some("XML".to_owned()));
}

#[test]
fn a_get_only_asks() {
    let clickhouse = ClickHouse::shared();
    let get = |sql: &str| {
        let target = crate::support::clickhouse::target(&[("query", sql)]);
        clickhouse.control("GET", &target, b"")
    };
    assert_eq!(get("SELECT 40 + 2").text(), "42\n");
    let refused = get("CREATE TABLE by_get (id UInt64) ENGINE = Memory");
    assert!(refused.text().contains("(READONLY)"), "{}", refused.text());
    assert_eq!(clickhouse.value("SELECT count() FROM system.tables WHERE name = 'by_get'"), json!(0));
}
