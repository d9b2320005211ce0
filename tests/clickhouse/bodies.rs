//! What is sent is what is stored, byte for byte.

use serde_json::json;

use crate::support::ClickHouse;
use crate::support::http::{Connection, head};

/// Every byte there is, and what a parser of SQL could take for an end.
fn texts() -> Vec<Vec<u8>> {
    let all: Vec<u8> = (0..=255).collect();
    let ends: [&[u8]; 9] =
        [b"", b"\0\0\0", b"\n", b" \n\t", b";", b";\n\nSELECT 1;\n", b"\xff\xfe\xc3'\"`", b"--\n/*", b"\\N\\"];
    std::iter::once(all).chain(ends.iter().map(|end| end.to_vec())).collect()
}

/// RowBinary of one column of the type String; no text is longer than two bytes of length can say.
fn row_binary(texts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for text in texts {
        let length = text.len();
        if length < 128 {
            out.push(length as u8);
        } else {
            out.extend([(length & 127) as u8 | 128, (length >> 7) as u8]);
        }
        out.extend(text);
    }
    out
}

fn table(name: &str) -> &'static ClickHouse {
    let clickhouse = ClickHouse::shared();
    clickhouse.query(&format!("CREATE TABLE {name} (text String) ENGINE = MergeTree ORDER BY tuple()"));
    clickhouse
}

fn read(clickhouse: &ClickHouse, table: &str) -> Vec<u8> {
    let reply = clickhouse.ask(&format!("SELECT text FROM {table} FORMAT RowBinary"), &[]).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.body
}

#[test]
fn every_byte_of_a_binary_body_is_stored() {
    let clickhouse = table("binary");
    let body = row_binary(&texts());
    let reply = clickhouse.insert("INSERT INTO binary FORMAT RowBinary", &[], &body).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(read(clickhouse, "binary"), body);
    let summary = reply.header("X-ClickHouse-Summary").expect("a summary").to_owned();
    assert!(summary.contains(&format!("\"written_rows\":\"{}\"", texts().len())), "{summary}");
}

/// Its first byte is the text's length: 10, a line break.
#[test]
fn a_body_may_begin_with_what_looks_like_a_blank() {
    let clickhouse = table("blank");
    for body in
        [&b"\x0a0123456789"[..], b"\x09012345678", b"\x0d0123456789abc", b"\x20abcdefghijklmnopqrstuvwxyz012345"]
    {
        clickhouse.query("TRUNCATE TABLE blank");
        clickhouse.insert("INSERT INTO blank FORMAT RowBinary", &[], body).expect("an answer");
        assert_eq!(read(clickhouse, "blank"), body);
    }
}

#[test]
fn statement_and_rows_may_share_the_body() {
    let clickhouse = table("shared_body");
    let rows = row_binary(&texts());
    let body = [&b"INSERT INTO shared_body (text) SETTINGS async_insert = 0 FORMAT RowBinary\n"[..], &rows].concat();
    let reply = clickhouse.post(&[], &body).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(read(clickhouse, "shared_body"), rows);
    clickhouse.query("INSERT INTO shared_body VALUES ('a;b'), ('it''s'); ");
    clickhouse.query("INSERT INTO shared_body FORMAT JSONEachRow {\"text\":\"format values\"} {\"text\":\"x\"};");
    clickhouse.query("INSERT INTO shared_body (text) SELECT 'values' || toString(number) FROM numbers(3)");
    assert_eq!(clickhouse.count("shared_body"), texts().len() as u64 + 7);
    let found = clickhouse.value("SELECT count() FROM shared_body WHERE text IN ('a;b', 'it\\'s', 'format values')");
    assert_eq!(found, json!(3));
}

#[test]
fn a_table_may_be_named_like_a_clause() {
    let clickhouse = ClickHouse::shared();
    for name in ["values", "format"] {
        clickhouse.query(&format!("CREATE TABLE {name} (id UInt64) ENGINE = Memory"));
        clickhouse.query(&format!("INSERT INTO {name} VALUES (1)"));
        clickhouse.query(&format!("INSERT INTO TABLE {name} FORMAT Values (2)"));
        clickhouse.query(&format!("INSERT INTO default.{name} (id) FORMAT JSONEachRow {{\"id\":3}}"));
        // Each insert is a block of its own, and threads read blocks in any order.
        let ids = clickhouse.value(&format!("SELECT arraySort(groupArray(id)) FROM {name}"));
        assert_eq!(ids, json!([1, 2, 3]));
    }
}

/// As the `clickhouse` crate sends a query with parameters.
#[test]
fn a_form_says_what_the_address_could() {
    let mut connection = ClickHouse::shared().connect().expect("a connection");
    let content_type = [("Content-Type", "multipart/form-data; boundary=\"x;y\"")];
    let field = |name: &str, value: &str| {
        format!("--x;y\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = [field("query", "SELECT {a:String},\n'Ü'"), field("param_a", "it's;"), "--x;y--\r\n".into()].concat();
    let reply = connection.exchange("POST", "/", &content_type, body.as_bytes()).expect("an answer");
    assert_eq!(reply.text(), "it\\'s;\tÜ\n");
    let file = field("t\"; filename=\"t", "1") + "--x;y--\r\n";
    let reply = connection.exchange("POST", "/?query=SELECT%201", &content_type, file.as_bytes()).expect("an answer");
    assert!(reply.status == 501 && reply.text().contains("External tables"), "{}", reply.text());
}

/// In the address as in the body: neither is taken for text.
#[test]
fn bytes_that_are_no_text_reach_the_engine() {
    let clickhouse = ClickHouse::shared();
    let target = "/?query=SELECT%20hex('%FF%00;')%20%7C%7C%20hex(%7Ba:String%7D)&param_a=%FE";
    let reply = clickhouse.connect().and_then(|mut to| to.exchange("POST", target, &[], b"")).expect("an answer");
    assert_eq!(reply.text(), "FF003BFE\n");
    let reply = clickhouse.post(&[], b"SELECT hex('\xfe\0;')").expect("an answer");
    assert_eq!(reply.text(), "FE003B\n");
}

#[test]
fn native_blocks_go_out_and_come_in_again() {
    let clickhouse = table("native");
    let rows = row_binary(&texts());
    clickhouse.insert("INSERT INTO native FORMAT RowBinary", &[], &rows).expect("an answer");
    let blocks = clickhouse.ask("SELECT * FROM native FORMAT Native", &[]).expect("an answer").body;
    clickhouse.query("TRUNCATE TABLE native");
    let reply = clickhouse.insert("INSERT INTO native FORMAT Native", &[], &blocks).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(read(clickhouse, "native"), rows);
}

#[test]
fn a_body_comes_in_chunks_and_after_a_hundred_continue() {
    let clickhouse = table("chunks");
    let rows = row_binary(&texts());
    let target = "/?query=INSERT%20INTO%20chunks%20FORMAT%20RowBinary";
    let mut connection = clickhouse.connect().expect("a connection");
    let headers = [("Transfer-Encoding", "chunked"), ("Expect", "100-continue")];
    connection.send(&head("POST", target, &headers)).expect("a head");
    assert_eq!(connection.reply().expect("an answer to the head").status, 100);
    for part in rows.chunks(7) {
        connection.send(&[format!("{:x};a=b\r\n", part.len()).as_bytes(), part, b"\r\n"].concat()).expect("a chunk");
    }
    connection.send(b"0\r\nTrailer: x\r\n\r\n").expect("the last chunk");
    assert_eq!(connection.reply().expect("an answer").status, 200);
    // The same connection goes on, and knows where that body ended.
    let reply = connection.exchange("POST", "/", &[], b"SELECT text FROM chunks FORMAT RowBinary").expect("an answer");
    assert_eq!(reply.body, rows);
}

#[test]
fn a_body_that_ends_early_is_never_executed() {
    let clickhouse = ClickHouse::start();
    clickhouse.query("CREATE TABLE early (text String) ENGINE = MergeTree ORDER BY tuple()");
    let before = clickhouse.queries();
    let target = "/?query=INSERT%20INTO%20early%20FORMAT%20RowBinary";
    for (header, body) in
        [(("Content-Length", "100"), &b"\x02ab"[..]), (("Transfer-Encoding", "chunked"), b"3\r\n\x02ab\r\n")]
    {
        let mut connection = clickhouse.connect().expect("a connection");
        connection.send(&head("POST", target, &[header])).expect("a head");
        connection.send(body).expect("a part of the body");
        connection.end().expect("the end of what is sent");
        assert!(connection.reply().is_err());
    }
    assert_eq!(clickhouse.queries(), before);
    assert_eq!(clickhouse.count("early"), 0);
}

#[test]
fn several_connections_are_open_at_once() {
    let clickhouse = table("at_once");
    let mut connections: Vec<Connection> = (0..8).map(|_| clickhouse.connect().expect("a connection")).collect();
    for _ in 0..3 {
        // Asked by all before any is read.
        for connection in &mut connections {
            let body = b"INSERT INTO at_once VALUES ('x')";
            let head = head("POST", "/", &[("Content-Length", &body.len().to_string())]);
            connection.send(&[&head[..], body].concat()).expect("a request");
        }
        for connection in connections.iter_mut().rev() {
            assert_eq!(connection.reply().expect("an answer").status, 200);
        }
    }
    assert_eq!(clickhouse.count("at_once"), 24);
}
