//! What is wrong outside of rows is said in clear words, before anything is written, and without secrets.

use crate::app::{App, TABLE, assert_exact, count, rows, stop, wait_for_page};
use crate::support::process::page;
use crate::support::{ClickHouse, DEADLINE, wait_until};

fn sinks(more: &str) -> String {
    format!(
        "sinks:\n  ch:\n    from: rows\n    clickhouse: {{ url: '${{URL}}', table: rows, batch: {{ timeout: 50ms }}{more} }}\n"
    )
}

#[test]
fn a_pattern_that_would_take_rows_before_they_are_masked_stops_it_before_anything_is_written() {
    let clickhouse = ClickHouse::start();
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    let app = App::new(
        "sink-unmasked",
        &clickhouse,
        "streams:\n  s:\n    from: { pattern: 'shop\\.(?<table>.+)' }\n    steps: [dedup, { mask: none }]\n    to: 'out.{table}'\n\
         sinks:\n  ch:\n    from: '(shop|out)\\.rows'\n    clickhouse: { url: '${URL}', table: rows }\n",
    );
    app.produce("shop.rows", 1, rows(0..10));
    app.produce("out.rows", 1, rows(10..20));
    let log = app.run_into_its_end();
    assert!(log.contains("would write shop.rows into its table") && log.contains("not masked yet"), "{log}");
    assert_eq!(count(&clickhouse, "rows"), 0);
    assert_eq!(clickhouse.queries().1, 0, "it has inserted");
}

#[test]
fn a_wrong_password_is_waited_out_and_never_shown() {
    const RIGHT: &str = "right-secret-71077345";
    const WRONG: &str = "wrong-secret-71077346";
    let clickhouse = ClickHouse::with_user("writer", RIGHT);
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    let app =
        App::new("sink-password", &clickhouse, &sinks(", user: writer, password: '${PASSWORD}'")).with_password(WRONG);
    app.produce("rows", 1, rows(0..100));
    let mut process = app.run();
    process.wait_for_log("Authentication failed");
    let ready =
        wait_for_page(&mut process, "/readyz", |status, text| status == 503 && text.contains("Authentication failed"));
    let shown = [ready, page(&mut process, "/metrics").1, stop(process)].concat();
    assert!(!shown.contains(WRONG) && !shown.contains(RIGHT), "{shown}");
    assert_eq!(count(&clickhouse, "rows"), 0);
    let log = app.with_password(RIGHT).run_until("the rows", || count(&clickhouse, "rows") >= 100);
    assert!(!log.contains(RIGHT), "{log}");
    assert_exact(&clickhouse, "rows", 0..100);
}

#[test]
fn a_wrong_database_a_wrong_scheme_and_a_port_without_a_server_are_told_apart() {
    let clickhouse = ClickHouse::start();
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    let port = clickhouse.port();
    let nobody = crate::support::broker::free_port();
    for (url, more, said) in [
        (clickhouse.url(), ", database: nowhere", "there is no table nowhere.rows".to_owned()),
        (format!("https://127.0.0.1:{port}"), "", format!("ClickHouse at https://127.0.0.1:{port}: ")),
        (format!("http://127.0.0.1:{nobody}"), "", format!("ClickHouse at http://127.0.0.1:{nobody}: ")),
    ] {
        let app = App::new("sink-wrong", &clickhouse, &sinks(more)).at(&url);
        app.produce("rows", 1, rows(0..10));
        let mut process = app.run();
        process.wait_for_log(&said);
        wait_for_page(&mut process, "/readyz", |status, text| status == 503 && text.contains(&said));
        let line = process.log().lines().find(|line| line.contains(&said)).expect("just seen").to_owned();
        if url.starts_with("https") {
            assert!(line.contains("http://"), "it does not say what to try: {line}");
        }
        stop(process);
        assert_eq!(count(&clickhouse, "rows"), 0);
    }
    // The instance that waited for all of it has lost nothing.
    let app = App::new("sink-right", &clickhouse, &sinks(""));
    app.produce("rows", 1, rows(0..10));
    let process = app.run();
    wait_until(DEADLINE, "the rows", || (count(&clickhouse, "rows") >= 10).then_some(()));
    stop(process);
    assert_exact(&clickhouse, "rows", 0..10);
}

/// Sinks may stand alone, deployed apart from what they read; several topics in one table are worth a word.
#[test]
fn sinks_alone_are_a_topology_and_one_table_for_several_topics_is_warned_of() {
    let dir = crate::support::Dir::new("sink-validate");
    let validate = |table: &str| {
        let text = format!(
            "application: app\nembedded: log\nsinks:\n  ch:\n    from: {{ topics: [a, b] }}\n    clickhouse: {{ url: \
             'http://localhost:8123', table: '{table}' }}\n"
        );
        std::fs::write(dir.join("topology.yaml"), text).expect("a topology");
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_highwater"))
            .args(["topology", "validate"])
            .current_dir(dir.path())
            .output()
            .expect("highwater");
        (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    };
    let (good, said) = validate("{topic}");
    assert!(good && !said.contains("warning["), "{said}");
    let (good, said) = validate("rows");
    assert!(good && said.contains("warning[one-table]: several topics and one table"), "{said}");
}
