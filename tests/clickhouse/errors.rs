//! Errors have the codes of the engine and the statuses of its own server.

use serde_json::json;

use crate::support::ClickHouse;
use crate::support::http::Reply;

#[track_caller]
fn is(reply: &Reply, status: u16, code: u32, name: &str) {
    let text = reply.text();
    assert_eq!(
        (reply.status, reply.header("X-ClickHouse-Exception-Code")),
        (status, Some(code.to_string().as_str())),
        "{text}"
    );
    let begins = text.starts_with(&format!("Code: {code}. DB::Exception: "));
    assert!(begins && text.contains(&format!("({name}) (version 26.9")), "{text}");
}

#[test]
fn a_failed_statement_says_its_code() {
    let clickhouse = ClickHouse::shared();
    let ask = |parameters: &[(&str, &str)], sql: &str| clickhouse.post(parameters, sql.as_bytes()).expect("an answer");
    is(&ask(&[], "SELEC 1"), 400, 62, "SYNTAX_ERROR");
    is(&ask(&[], ""), 400, 62, "SYNTAX_ERROR");
    is(&ask(&[], " -- nothing"), 400, 62, "SYNTAX_ERROR");
    is(&ask(&[], "1 + 1"), 400, 62, "SYNTAX_ERROR");
    is(&ask(&[], "SELECT toInt8('x')"), 400, 6, "CANNOT_PARSE_TEXT");
    is(&ask(&[], "SELECT * FROM not_there"), 404, 60, "UNKNOWN_TABLE");
    is(&ask(&[], "SELECT * FROM not.there"), 404, 81, "UNKNOWN_DATABASE");
    is(&ask(&[], "SELECT not_there FROM system.one"), 404, 47, "UNKNOWN_IDENTIFIER");
    is(&ask(&[], "SELECT throwIf(1)"), 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO");
    is(&ask(&[("database", "not_there")], "SELECT 1"), 404, 81, "UNKNOWN_DATABASE");
    is(&ask(&[("not_a_setting", "1")], "SELECT 1"), 404, 115, "UNKNOWN_SETTING");
    is(&ask(&[("bad; name", "1")], "SELECT 1"), 404, 115, "UNKNOWN_SETTING");
    is(&ask(&[("max_threads", "many")], "SELECT 1"), 400, 27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED");
    is(&ask(&[("decompress", "1")], "SELECT 1"), 500, 271, "CANNOT_DECOMPRESS");
    // A block that is stored as it is, under a checksum that is not its own.
    let block = [&[0; 16][..], &[2, 17, 0, 0, 0, 8, 0, 0, 0], b"SELECT 1"].concat();
    let reply = clickhouse.post(&[("decompress", "1")], &block).expect("an answer");
    is(&reply, 500, 271, "CANNOT_DECOMPRESS");
    assert!(reply.text().contains("checksum"), "{}", reply.text());
    // One statement a request, as with a server; a semicolon at its end is none.
    is(&ask(&[], "SELECT 1; SELECT 2"), 400, 62, "SYNTAX_ERROR");
    assert_eq!(ask(&[], "SELECT 'a;b'; -- one").text(), "a;b\n");
}

#[test]
fn a_failed_insert_says_its_code_and_leaves_nothing() {
    let clickhouse = ClickHouse::shared();
    clickhouse.query("CREATE TABLE strict (id UInt64, text String) ENGINE = MergeTree ORDER BY id");
    let insert = |sql: &str, rows: &[u8]| {
        let strict = [("input_format_skip_unknown_fields", "0")];
        clickhouse.insert(sql, &strict, rows).expect("an answer")
    };
    let json = "INSERT INTO strict FORMAT JSONEachRow";
    is(&insert(json, b"{\"id\":1}\n{\"id\":\"x\"}\n"), 400, 27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED");
    is(&insert(json, b"{\"id\":1}\n{\"other\":2}\n"), 400, 117, "INCORRECT_DATA");
    is(&insert("INSERT INTO strict FORMAT RowBinary", b"\x01"), 500, 33, "CANNOT_READ_ALL_DATA");
    is(&insert("INSERT INTO not_there FORMAT JSONEachRow", b"{\"id\":1}"), 404, 60, "UNKNOWN_TABLE");
    is(&insert("INSERT INTO strict FORMAT NotAFormat", b"x"), 404, 73, "UNKNOWN_FORMAT");
    is(&insert("INSERT INTO strict (nothing) FORMAT JSONEachRow", b"{}"), 500, 16, "NO_SUCH_COLUMN_IN_TABLE");
    let input = "INSERT INTO strict SELECT x, '' FROM input('x UInt64') FORMAT JSONEachRow";
    is(&insert(input, b"{\"x\":1}"), 501, 48, "NOT_IMPLEMENTED");
    assert_eq!(clickhouse.count("strict"), 0);
}

#[test]
fn only_its_user_may_with_its_password() {
    let clickhouse = ClickHouse::with_user("writer", "it's; a secret");
    assert_eq!(clickhouse.value("SELECT 1"), json!(1));
    let before = clickhouse.queries();
    let ask = |target: &str, headers: &[(&str, &str)]| {
        let mut connection = clickhouse.connect().expect("a connection");
        connection.exchange("POST", target, headers, b"SELECT 1").expect("an answer")
    };
    let wrong: [(&str, &[(&str, &str)]); 6] = [
        ("/", &[]),
        ("/", &[("X-ClickHouse-User", "writer")]),
        ("/", &[("X-ClickHouse-User", "writer"), ("X-ClickHouse-Key", "a secret")]),
        ("/?user=default", &[]),
        ("/?user=writer&password=", &[]),
        // writer:wrong
        ("/", &[("Authorization", "Basic d3JpdGVyOndyb25n")]),
    ];
    for (target, headers) in wrong {
        is(&ask(target, headers), 403, 516, "AUTHENTICATION_FAILED");
    }
    assert_eq!(clickhouse.queries(), before, "the engine saw none of them");
    let right: [(&str, &[(&str, &str)]); 3] = [
        ("/", &[("X-ClickHouse-User", "writer"), ("X-ClickHouse-Key", "it's; a secret")]),
        ("/?user=writer&password=it%27s%3B+a%20secret", &[]),
        // writer:it's; a secret
        ("/", &[("Authorization", "Basic d3JpdGVyOml0J3M7IGEgc2VjcmV0")]),
    ];
    for (target, headers) in right {
        let reply = ask(target, headers);
        assert_eq!((reply.status, reply.text().as_str()), (200, "1\n"), "{target} {headers:?}");
    }
    // Whether it lives is no secret.
    assert_eq!(clickhouse.control("GET", "/ping", b"").text(), "Ok.\n");
}

#[test]
fn a_client_is_told_who_answers() {
    let clickhouse = ClickHouse::shared();
    let reply = clickhouse.post(&[("query_id", "mine")], b"SELECT 1").expect("an answer");
    assert_eq!(reply.header("X-ClickHouse-Query-Id"), Some("mine"));
    assert!(reply.header("X-ClickHouse-Timezone").is_some());
    assert_eq!(clickhouse.control("GET", "/", b"").text(), "Ok.\n");
    assert_eq!(clickhouse.control("GET", "/nothing", b"").status, 404);
}
