//! Rows that do not fit go by `on_error` and leave nothing of themselves anywhere; the rest goes in.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::app::{App, assert_exact, count, row, rows, stop, sum, wait_for_page};
use crate::support::{ClickHouse, DEADLINE, Highwater, wait_until};

/// In every value that does not fit; digits, so that numbers can carry it.
const CANARY: &str = "71077345";

const TABLE: &str = "(id UInt64, text String, n Int64, small UInt8 DEFAULT 0, kind Enum8('a' = 1, 'b' = 2) DEFAULT 'a', \
                     at DateTime DEFAULT 0) ENGINE = MergeTree ORDER BY id";

fn sinks(database: &str, on_error: &str) -> String {
    format!(
        "sinks:\n  ch:\n    from: rows\n    on_error: {on_error}\n    clickhouse: {{ url: '${{URL}}', database: {database}, \
         table: rows, batch: {{ rows: 40, timeout: 50ms }} }}\n"
    )
}

/// What does not fit, and the reason that it goes by.
fn misfits() -> Vec<(String, &'static str)> {
    let with = |more: &str| format!("{{\"id\":1,\"text\":\"{CANARY}\",\"n\":{CANARY},{more}}}");
    vec![
        (format!("{{\"id\":1,\"text\":null,\"n\":{CANARY}}}"), "column_misfit"),
        (format!("{{\"id\":1,\"text\":\"{CANARY}\",\"n\":\"{CANARY}{CANARY}{CANARY}\"}}"), "column_misfit"),
        (with(&format!("\"small\":{CANARY}")), "column_misfit"),
        (with(&format!("\"kind\":\"{CANARY}\"")), "column_misfit"),
        (with(&format!("\"at\":{CANARY}")), "column_misfit"),
        (with(&format!("\"id\":{CANARY}")), "duplicate_field"),
        (format!("no JSON, {CANARY}"), "not_json"),
        (format!("[\"{CANARY}\"]"), "not_row"),
        (format!("\"{CANARY}\""), "not_row"),
    ]
}

/// Good rows with bad ones among them.
fn mixed(good: std::ops::Range<u64>) -> Vec<String> {
    let mut values: Vec<String> = rows(good).collect();
    for (place, (bad, _)) in misfits().into_iter().enumerate() {
        values.insert(place * 11 + 3, bad);
    }
    values
}

/// The pages and the log of a process hold nothing of the values.
#[track_caller]
fn assert_silent(process: &mut Highwater) -> String {
    let page = wait_for_page(process, "/metrics", |status, _| status == 200);
    let ready = crate::support::process::page(process, "/readyz").1;
    for (text, what) in [(&page, "/metrics"), (&ready, "/readyz"), (&process.log(), "the log")] {
        assert!(!text.contains(CANARY), "{what} shows a value:\n{text}");
    }
    page
}

#[test]
fn what_does_not_fit_becomes_a_letter_that_shows_nothing_of_it() {
    let clickhouse = ClickHouse::shared();
    clickhouse.query("CREATE DATABASE misfits");
    clickhouse.query(&format!("CREATE TABLE misfits.rows {TABLE}"));
    let app = App::new("sink-misfits", clickhouse, &sinks("misfits", "{ dead_letter: letters }"));
    app.produce::<&str>("letters", 1, []);
    app.produce("rows", 1, mixed(0..200));
    let mut process = app.run();
    wait_until(DEADLINE, "the good rows", || (count(clickhouse, "misfits.rows") >= 200).then_some(()));
    let page = assert_silent(&mut process);
    assert_eq!(sum(&page, "highwater_sink_bad_records_total"), misfits().len() as f64, "{page}");
    assert!(!stop(process).contains(CANARY));
    assert_exact(clickhouse, "misfits.rows", 0..200);
    let mut want: BTreeMap<&str, usize> = BTreeMap::new();
    misfits().iter().for_each(|(_, reason)| *want.entry(reason).or_default() += 1);
    assert_letters(
        &app,
        &want,
        &["`text`: null", "`small`: a number that UInt8 cannot hold", "`kind`: a value that the Enum"],
    );
}

/// So many letters for each reason, without a value; their details hold these texts.
#[track_caller]
fn assert_letters(app: &App, want: &BTreeMap<&str, usize>, details: &[&str]) {
    let letters = app.read("letters");
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut said = String::new();
    for letter in &letters {
        let whole = format!("{:?} {:?} {:?}", letter.key, letter.headers, letter.value);
        let text = String::from_utf8_lossy(letter.value.as_deref().expect("a value")).into_owned();
        assert!(!text.contains(CANARY) && !whole.contains(&format!("{:?}", CANARY.as_bytes())[1..20]), "{text}");
        let json: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&json["stream"], &json["topic"]), (&"ch".into(), &"rows".into()), "{text}");
        *found.entry(json["reason"].as_str().expect("a reason").to_owned()).or_default() += 1;
        said += &text;
    }
    let found: BTreeMap<&str, usize> = found.iter().map(|(reason, n)| (reason.as_str(), *n)).collect();
    assert_eq!(&found, want, "{said}");
    details.iter().for_each(|detail| assert!(said.contains(detail), "{detail:?} is not in {said}"));
}

#[test]
fn fail_stops_and_says_which_and_skip_goes_on_and_counts() {
    let clickhouse = ClickHouse::shared();
    clickhouse.query("CREATE DATABASE failing");
    clickhouse.query(&format!("CREATE TABLE failing.rows {TABLE}"));
    let app = App::new("sink-fail", clickhouse, &sinks("failing", "fail"));
    app.produce("rows", 1, rows(0..60));
    app.run_until("the first rows", || count(clickhouse, "failing.rows") >= 60);
    app.produce("rows", 1, mixed(60..200));
    let log = app.run_into_its_end();
    assert!(
        log.contains("rows-0@63") && log.contains("column `text`: null") && log.contains("on_error is `fail`"),
        "{log}"
    );
    assert!(!log.contains(CANARY), "{log}");
    // It meets the same record again.
    assert!(app.run_into_its_end().contains("rows-0@63"));
    app.write(&sinks("failing", "skip"));
    let mut process = app.run();
    wait_until(DEADLINE, "the good rows", || (count(clickhouse, "failing.rows") >= 200).then_some(()));
    let page = assert_silent(&mut process);
    assert_eq!(sum(&page, "highwater_sink_bad_records_total"), misfits().len() as f64, "{page}");
    stop(process);
    assert_exact(clickhouse, "failing.rows", 0..200);
}

/// What only the table knows is found by halves.
#[test]
fn a_row_that_breaks_a_constraint_is_found_and_the_rest_goes_in() {
    let clickhouse = ClickHouse::shared();
    clickhouse.query("CREATE DATABASE constrained");
    clickhouse.query(
        "CREATE TABLE constrained.rows (id UInt64, text String, n Int64, CONSTRAINT small CHECK n < 1000) ENGINE = MergeTree ORDER BY id"
    );
    let app = App::new("sink-constraint", clickhouse, &sinks("constrained", "{ dead_letter: letters }"));
    app.produce::<&str>("letters", 1, []);
    let mut values: Vec<String> = rows(0..150).collect();
    // One at the edge of a batch, two side by side, and a whole batch of its own at the end.
    let bad = |_| format!("{{\"id\":1,\"text\":\"{CANARY}\",\"n\":{CANARY}}}");
    for place in [39, 50, 51, 100] {
        values.insert(place, bad(()));
    }
    values.extend((0..40).map(|_| bad(())));
    values.push(row(150));
    app.produce("rows", 1, values);
    let mut process = app.run();
    wait_until(DEADLINE, "the good rows", || (count(clickhouse, "constrained.rows") >= 151).then_some(()));
    let page = assert_silent(&mut process);
    assert!(sum(&page, "highwater_sink_insert_errors_total") > 0.0, "{page}");
    let log = stop(process);
    assert!(!log.contains(CANARY), "{log}");
    assert!(log.contains("it is cut in two"), "{log}");
    assert_exact(clickhouse, "constrained.rows", 0..151);
    assert_letters(&app, &BTreeMap::from([("refused_by_table", 44)]), &["Constraint `small`", "VIOLATED_CONSTRAINT"]);
}
