//! Each fault does what it says, with the rows in or without, once or as often as it is told, and nothing else.

use std::io;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::http::{Reply, head};
use crate::support::{ClickHouse, DEADLINE, wait_until};

fn with_table() -> ClickHouse {
    let clickhouse = ClickHouse::start();
    clickhouse.query(
        "CREATE TABLE orders (id UInt64) ENGINE = MergeTree ORDER BY id \
         SETTINGS non_replicated_deduplication_window = 100",
    );
    clickhouse
}

/// Ten rows under a token.
fn insert(clickhouse: &ClickHouse, token: &str) -> io::Result<Reply> {
    let rows: String = (0..10).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let settings = [("insert_deduplication_token", token)];
    clickhouse.insert("INSERT INTO orders FORMAT JSONEachRow", &settings, rows.as_bytes())
}

/// A fault that loses the answer, with the rows in or not; the same insert again ends with them in once.
#[track_caller]
fn loses(clickhouse: &mut ClickHouse, what: &str, stored: bool, kills: bool) {
    let before = (clickhouse.count("orders"), clickhouse.queries());
    clickhouse.arm(&json!({"do": what, "when": "insert"}));
    let lost = insert(clickhouse, what);
    assert!(lost.is_err(), "{what}: {lost:?}");
    if kills {
        clickhouse.ended();
        clickhouse.restart();
    } else {
        // The count above was one, and so is the insert where the engine was given it.
        let (queries, inserts) = clickhouse.queries();
        assert_eq!((queries - before.1.0, inserts - before.1.1), (u64::from(stored), u64::from(stored)), "{what}");
    }
    assert_eq!(clickhouse.count("orders"), before.0 + if stored { 10 } else { 0 }, "{what}");
    let again = insert(clickhouse, what).expect("an answer");
    assert_eq!(again.status, 200, "{what}: {}", again.text());
    assert_eq!(clickhouse.count("orders"), before.0 + 10, "{what}, and again");
}

#[test]
fn a_request_or_a_reply_is_lost() {
    let mut clickhouse = with_table();
    loses(&mut clickhouse, "lose_request", false, false);
    loses(&mut clickhouse, "lose_reply", true, false);
    loses(&mut clickhouse, "cut_reply", true, false);
}

#[test]
fn it_kills_itself_before_or_after() {
    let mut clickhouse = with_table();
    loses(&mut clickhouse, "kill_before", false, true);
    loses(&mut clickhouse, "kill_after", true, true);
}

#[test]
fn a_reply_is_cut_in_its_middle() {
    let clickhouse = ClickHouse::start();
    clickhouse.arm(&json!({"do": "cut_reply"}));
    let mut connection = clickhouse.connect().expect("a connection");
    let sql = b"SELECT number FROM numbers(1000)";
    let cut = connection.exchange("POST", "/", &[], sql).expect_err("half an answer");
    assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
    clickhouse.arm(&json!({"do": "cut_reply"}));
    let mut connection = clickhouse.connect().expect("a connection");
    connection.send(&head("POST", "/", &[("Content-Length", &sql.len().to_string())])).expect("a head");
    connection.send(sql).expect("a body");
    let bytes = connection.rest().expect("what comes");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("\n100\n") && !text.contains("\n999\n"), "{text}");
}

#[test]
fn an_error_is_answered_without_or_with_the_rows_in() {
    let clickhouse = with_table();
    clickhouse.arm(&json!({"do": "error", "code": 252, "when": "insert"}));
    let refused = insert(&clickhouse, "a").expect("an answer");
    assert_eq!((refused.status, refused.header("X-ClickHouse-Exception-Code")), (500, Some("252")));
    assert!(refused.text().contains("(TOO_MANY_PARTS)"), "{}", refused.text());
    assert_eq!(clickhouse.count("orders"), 0);
    clickhouse.arm(&json!({"do": "error", "code": 159, "when": "insert", "before": false}));
    let late = insert(&clickhouse, "a").expect("an answer");
    assert_eq!((late.status, late.header("X-ClickHouse-Exception-Code")), (408, Some("159")));
    assert!(late.text().contains("(TIMEOUT_EXCEEDED)"), "{}", late.text());
    assert_eq!(clickhouse.count("orders"), 10);
}

#[test]
fn an_answer_or_an_execution_is_held_until_all_is_disarmed() {
    let clickhouse = with_table();
    for (before, stored) in [(false, 10), (true, 0)] {
        clickhouse.query("TRUNCATE TABLE orders");
        let fired = clickhouse.faults()["fired"].as_array().map(Vec::len);
        clickhouse.arm(&json!({"do": "delay", "ms": 180_000, "before": before, "when": "insert"}));
        std::thread::scope(|scope| {
            let inserting = scope.spawn(|| insert(&clickhouse, &format!("{before}")));
            // Others are served meanwhile.
            wait_until(DEADLINE, "the fault to fire", || {
                (clickhouse.faults()["fired"].as_array().map(Vec::len) > fired).then_some(())
            });
            wait_until(DEADLINE, "the rows", || (clickhouse.count("orders") == stored).then_some(()));
            assert!(!inserting.is_finished());
            clickhouse.disarm();
            assert_eq!(inserting.join().expect("a thread").expect("an answer").status, 200);
        });
        assert_eq!(clickhouse.count("orders"), 10, "before: {before}");
    }
}

#[test]
fn what_is_held_goes_on_after_its_time() {
    let clickhouse = ClickHouse::start();
    for before in [false, true] {
        clickhouse.arm(&json!({"do": "delay", "ms": 200, "before": before}));
        let begun = Instant::now();
        assert_eq!(clickhouse.value("SELECT 1"), json!(1));
        assert!(begun.elapsed() >= Duration::from_millis(200), "before: {before}");
    }
}

/// An insert whose client has given up is executed all the same, and late: what a writer must be fenced against.
#[test]
fn an_insert_that_is_held_outlives_its_client() {
    let clickhouse = with_table();
    clickhouse.arm(&json!({"do": "delay", "ms": 180_000, "before": true, "when": "insert"}));
    let mut gone = clickhouse.connect().expect("a connection");
    let body = b"INSERT INTO orders VALUES (7)";
    gone.send(&head("POST", "/", &[("Content-Length", &body.len().to_string())])).expect("a head");
    gone.send(body).expect("a body");
    wait_until(DEADLINE, "the fault to fire", || (clickhouse.faults()["fired"] != json!([])).then_some(()));
    drop(gone);
    assert_eq!(clickhouse.count("orders"), 0);
    clickhouse.disarm();
    wait_until(DEADLINE, "the late rows", || (clickhouse.count("orders") == 1).then_some(()));
}

#[test]
fn a_fault_skips_and_repeats_and_picks() {
    let clickhouse = with_table();
    clickhouse.arm(&json!({"do": "lose_request", "when": "insert", "skip": 2, "times": 2}));
    let came = |token: &str| insert(&clickhouse, token).is_ok();
    let seen: Vec<bool> = ["1", "2", "3", "4", "5"].into_iter().map(came).collect();
    assert_eq!(seen, [true, true, false, false, true]);
    assert_eq!(clickhouse.count("orders"), 30);

    // By what the statement says, by a setting, and by whether it is an insert.
    clickhouse.arm(&json!([
        {"do": "lose_request", "match": "numbers(7)"},
        {"do": "lose_request", "match": "insert_deduplication_token=7-"},
        {"do": "lose_request", "when": "query", "match": "orders", "skip": 1},
    ]));
    assert!(clickhouse.ask("SELECT * FROM numbers(6)", &[]).is_ok());
    assert!(clickhouse.ask("SELECT * FROM numbers(7)", &[]).is_err());
    assert!(clickhouse.ask("SELECT * FROM numbers(7)", &[]).is_ok(), "once, where it does not say how often");
    assert!(insert(&clickhouse, "6-a").is_ok());
    assert!(insert(&clickhouse, "7-a").is_err());
    assert!(clickhouse.ask("SELECT count() FROM orders", &[]).is_ok());
    assert!(clickhouse.ask("SELECT count() FROM orders", &[]).is_err());
    assert_eq!(clickhouse.faults()["armed"], json!([]));
}

#[test]
fn it_tells_what_is_armed_and_what_has_fired() {
    let clickhouse = with_table();
    assert_eq!(clickhouse.faults(), json!({"armed": [], "fired": []}));
    clickhouse.arm(&json!({"do": "lose_reply", "when": "insert", "skip": 1, "times": 2}));
    assert!(insert(&clickhouse, "1").is_ok());
    assert!(insert(&clickhouse, "2").is_err());
    let faults = clickhouse.faults();
    let armed = &faults["armed"][0];
    assert_eq!((&armed["do"], &armed["skip"], &armed["times"]), (&json!("lose_reply"), &json!(0), &json!(1)));
    let fired = &faults["fired"][0];
    assert!(fired["do"] == "lose_reply" && fired["query"].to_string().contains("INSERT INTO orders"), "{faults}");
    clickhouse.disarm();
    assert!(insert(&clickhouse, "3").is_ok());
    assert_eq!(clickhouse.faults()["fired"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_fault_that_says_nothing_known_is_refused() {
    let clickhouse = ClickHouse::shared();
    for fault in [
        "{",
        "{}",
        "7",
        r#"{"do": "explode"}"#,
        r#"{"do": "delay", "seconds": 1}"#,
        r#"{"do": "error", "when": "never"}"#,
        r#"{"do": "delay", "ms": "500"}"#,
        r#"{"do": "delay", "skip": -1}"#,
        r#"{"do": "delay", "match": 7}"#,
    ] {
        let reply = clickhouse.control("POST", "/_fault", fault.as_bytes());
        assert_eq!(reply.status, 400, "{fault}: {}", reply.text());
    }
    assert_eq!(clickhouse.faults()["armed"], json!([]));
}
