//! As of when rows are, by table and by tenant: on `/freshness` and in Redis, never before they are in, and never less than
//! before.

use serde_json::{Value, json};

use crate::app::{App, count, fired, stop, sum, wait_for_page};
use crate::support::process::page;
use crate::support::{ClickHouse, DEADLINE, Highwater, Redis, wait_until};

const PASSWORD: &str = "canary-of-redis-5512907";

/// One row a batch: each insert is one step.
const SINKS: &str = "
redis: { url: '${REDIS}', password: '${REDIS_PASSWORD}' }
sinks:
  ch:
    from: rows
    tenant: { column: tenant }
    clickhouse: { url: '${URL}', table: rows, batch: { rows: 1, timeout: 20ms } }
    on_error: skip
";
const TABLE: &str = "(id UInt8, tenant String, CONSTRAINT small CHECK id < 200) ENGINE = MergeTree ORDER BY id";

/// Of a second, as it is written.
fn at(second: i64) -> String {
    format!("2033-05-18T03:33:{:02}.000000Z", 20 + second)
}

fn us(second: i64) -> Option<i64> {
    Some((2_000_000_000 + second) * 1_000_000)
}

fn row(id: u64, tenant: &str) -> String {
    format!("{{\"id\":{id},\"tenant\":\"{tenant}\"}}")
}

fn app(name: &str, clickhouse: &ClickHouse, redis: &Redis) -> App {
    App::new(name, clickhouse, SINKS).with_env("REDIS", &redis.url()).with_env("REDIS_PASSWORD", PASSWORD)
}

fn freshness(process: &mut Highwater, query: &str) -> Value {
    let (status, text) = page(process, &format!("/freshness{query}"));
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn table(page: &Value) -> &Value {
    &page["sinks"]["ch"]["tables"]["rows"]
}

#[track_caller]
fn wait_for_table(process: &mut Highwater, what: &str, mut good: impl FnMut(&Value) -> bool) -> Value {
    wait_until(DEADLINE, what, || {
        assert!(process.ended().is_none(), "{}", process.log());
        Some(freshness(process, "")).filter(|page| good(table(page)))
    })
}

#[track_caller]
fn wait_for_key(redis: &Redis, tenant: &str, want: &str) {
    let key = format!("cdc:last_sync:{tenant}");
    wait_until(DEADLINE, &format!("{key} = {want}"), || (redis.get(&key).as_deref() == Some(want)).then_some(()));
}

#[test]
fn nothing_is_as_of_a_moment_before_its_rows_are_in_and_a_refused_row_never_is() {
    let (clickhouse, redis) = (ClickHouse::start(), Redis::start(PASSWORD));
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    let app = app("sink-as-of", &clickhouse, &redis);
    let (first, second, last) = (row(1, "acme"), row(2, "acme"), row(3, "né 'x'"));
    app.produce_committed(
        "rows",
        1,
        &[
            (0, &first, us(1)),
            // No value of its column; refused by the server; no row at all.
            (0, &row(700, "misfit"), us(30)),
            (0, &row(201, "refused"), us(31)),
            (0, "[]", us(32)),
            (0, &second, us(2)),
            (0, &last, us(3)),
            // It does not say when it was committed, and was written long after that.
            (0, &row(4, "undated"), None),
        ],
    );
    // The second row's insert is held before it runs, then once more when it has run: in both cases nobody knows.
    for before in [true, false] {
        clickhouse.arm(&json!({"do": "delay", "ms": 600_000, "when": "insert", "match": "rows", "skip": if before { 2 } else { 0 }, "before": before}));
        let already = fired(&clickhouse);
        let mut process = app.run();
        wait_until(DEADLINE, "an insert that is held", || {
            assert!(process.ended().is_none(), "{}", process.log());
            (fired(&clickhouse) > already).then_some(())
        });
        // Once the others are known, what is held is not.
        let page = wait_for_table(&mut process, "what waits", |table| table["waiting"].as_u64() > Some(0));
        let (newest, redis_has) = (table(&page)["newest"].clone(), redis.get("cdc:last_sync:acme"));
        assert_eq!(newest, if before { json!(at(1)) } else { Value::Null }, "{page}");
        assert_eq!((&table(&page)["delivered"], &table(&page)["as_of"]), (&json!(false), &newest), "{page}");
        wait_for_key(&redis, "acme", &at(1));
        assert!(redis_has.is_none_or(|text| text == at(1)));
        assert_eq!(count(&clickhouse, "rows"), if before { 1 } else { 2 }, "what is held");
        process.sigkill();
        // One that is held from before its execution is executed now, and once.
        clickhouse.disarm();
    }
    let mut process = app.run();
    let page = wait_for_table(&mut process, "all rows", |table| table["delivered"] == true);
    assert_eq!(count(&clickhouse, "rows"), 4);
    let known = table(&page);
    assert_eq!((&known["newest"], &known["as_of"], &known["waiting"]), (&json!(at(3)), &json!(at(3)), &json!(0)));
    assert_eq!((&known["partitions"], &known["partitions_of_all"]), (&json!(1), &json!(1)));
    assert_eq!(known["undated_rows"], 1);
    // The insert that was repeated counts when it is known to be in.
    let tenants = json!({
        "acme": { "newest": at(2), "tables": { "rows": at(2) } },
        "né 'x'": { "newest": at(3), "tables": { "rows": at(3) } },
    });
    assert_eq!(page["sinks"]["ch"]["tenants"], tenants, "{page}");
    let one = freshness(&mut process, "?tenant=n%C3%A9%20'x'");
    assert_eq!((&one["newest"], &one["sinks"]["ch"]["tables"]["rows"]["newest"]), (&json!(at(3)), &json!(at(3))));
    assert_eq!(freshness(&mut process, "?tenant=misfit")["newest"], Value::Null);
    wait_for_key(&redis, "acme", &at(2));
    let metrics = page_of(&mut process);
    assert!(!metrics.contains("acme") && !metrics.contains("undated"), "a tenant is no label: {metrics}");
    let log = stop(process);
    assert!(!log.contains("acme"), "{log}");
    let mut keys: Vec<String> = redis.ask("KEYS *");
    keys.sort();
    assert_eq!(keys, ["cdc:last_sync:acme", "cdc:last_sync:né 'x'"], "refused and undated rows are nobody's");
}

fn page_of(process: &mut Highwater) -> String {
    page(process, "/metrics").1
}

/// Another instance was further; a replay is older; a value of somebody else; a key of another type.
#[test]
fn a_value_in_redis_never_goes_back() {
    let (clickhouse, redis) = (ClickHouse::start(), Redis::start(PASSWORD));
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    for (tenant, value) in [("further", &*at(9)), ("other", "yesterday"), ("behind", &*at(0))] {
        redis.ask::<()>(&format!("SET cdc:last_sync:{tenant} {value}"));
    }
    redis.ask::<()>("RPUSH cdc:last_sync:list x");
    let rows: Vec<_> = ["further", "other", "behind", "list", "new"].iter().map(|tenant| row(1, tenant)).collect();
    let rows: Vec<_> = rows.iter().map(|row| (0, row.as_str(), us(5))).collect();
    // Two applications that read the same, one after the other, as a replay does; the second reads something older at last.
    for (name, more) in [("sink-rise-1", us(6)), ("sink-rise-2", us(1))] {
        let app = app(name, &clickhouse, &redis);
        let newest = row(2, "new");
        let all: Vec<_> = rows.iter().copied().chain([(0, newest.as_str(), more)]).collect();
        app.produce_committed("rows", 1, &all);
        let mut process = app.run();
        wait_for_page(&mut process, "/metrics", |_, text| {
            let told = sum(text, "highwater_last_sync_values_total");
            told >= 5.0
                && sum(text, "highwater_sink_rows_total") >= 6.0
                && sum(text, "highwater_last_sync_waiting") == 0.0
        });
        let log = stop(process);
        assert!(log.contains("keys of tenants hold something else than a text"), "{log}");
        for (tenant, want) in [("further", at(9)), ("other", at(5)), ("behind", at(5)), ("new", at(6))] {
            assert_eq!(redis.get(&format!("cdc:last_sync:{tenant}")), Some(want), "{tenant} after {name}");
        }
        assert_eq!(redis.ask::<String>("TYPE cdc:last_sync:list"), "list");
    }
}

#[test]
fn a_redis_that_is_away_delays_nothing_and_is_told_when_it_is_back() {
    let (clickhouse, mut redis) = (ClickHouse::start(), Redis::away(PASSWORD));
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    let app = app("sink-redis-away", &clickhouse, &redis);
    let rows: Vec<_> = (0..40).map(|n| row(n, &format!("t{}", n % 4))).collect();
    let rows = |range: std::ops::Range<usize>| -> Vec<(i32, &str, Option<i64>)> {
        range.map(|n| (0, rows[n].as_str(), us(n as i64))).collect()
    };
    app.produce_committed("rows", 1, &rows(0..20));
    let mut process = app.run();
    wait_for_table(&mut process, "rows without Redis", |table| table["delivered"] == true);
    let page = wait_for_page(&mut process, "/metrics", |_, text| sum(text, "highwater_last_sync_values_total") > 1.0);
    assert_eq!(sum(&page, "highwater_sink_rows_total"), 20.0);
    assert!(page.contains("highwater_last_sync_values_total{outcome=\"written\"} 0\n"), "{page}");
    assert_eq!(crate::support::process::page(&mut process, "/healthz").0, 200);
    redis.restart();
    for tenant in 0..4 {
        wait_for_key(&redis, &format!("t{tenant}"), &at(16 + tenant));
    }
    process.wait_for_log("takes the newest changes of tenants again");
    // A Redis that went away is no reason not to stop.
    redis.kill();
    let log = stop(process);
    assert_eq!(log.matches("are kept until Redis takes them").count(), 1, "once is enough: {log}");
    app.produce_committed("rows", 1, &rows(20..30));
    let log = app.run_until("rows without Redis", || count(&clickhouse, "rows") >= 30);
    assert!(log.contains("Redis does not know the newest changes of some tenants"), "{log}");
    // Where it is there, a clean stop leaves it knowing everything.
    redis.restart();
    app.produce_committed("rows", 1, &rows(30..40));
    app.run_until("the last rows", || count(&clickhouse, "rows") >= 40);
    for tenant in 0..4_i64 {
        let newest = (30..40).rev().find(|n| n % 4 == tenant).expect("one");
        assert_eq!(redis.get(&format!("cdc:last_sync:t{tenant}")), Some(at(newest)), "t{tenant}");
    }
}

/// Two partitions: what the slower one has decides, and one that is quiet holds nobody up.
#[test]
fn a_table_is_as_of_its_slowest_partition_and_a_quiet_one_does_not_count() {
    let clickhouse = ClickHouse::start();
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    let sinks = SINKS.lines().filter(|line| !line.starts_with("redis:")).collect::<Vec<_>>().join("\n");
    let app = App::new("sink-slowest", &clickhouse, &sinks);
    let rows: Vec<_> = (1..=4).map(|n| row(n, "acme")).collect();
    let at_second = |n: usize, partition| (partition, rows[n - 1].as_str(), us(n as i64));
    app.produce_committed("rows", 3, &[at_second(1, 0), at_second(3, 0), at_second(2, 1), at_second(4, 1)]);
    // Partition 0 comes to its second row, and stays there: tokens name partition and offsets.
    clickhouse
        .arm(&json!({"do": "delay", "ms": 600_000, "when": "insert", "match": "-0/1-1/", "times": 9, "before": true}));
    let mut process = app.run();
    let page = wait_for_table(&mut process, "the other partition's rows", |table| {
        table["newest"] == at(4) && table["as_of"] == at(1) && table["waiting"] == 1
    });
    assert_eq!(table(&page)["delivered"], false);
    assert_eq!((&table(&page)["partitions"], &table(&page)["waiting"]), (&json!(3), &json!(1)), "{page}");
    clickhouse.disarm();
    let page = wait_for_table(&mut process, "all of it", |table| table["delivered"] == true);
    assert_eq!(table(&page)["as_of"], at(4), "{page}");
    stop(process);
}

#[test]
fn a_password_is_shown_nowhere() {
    let (clickhouse, redis) = (ClickHouse::start(), Redis::start("another-password"));
    clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
    let postgres = "postgres: { url: '${DATABASE_URL}' }\n";
    let app = app("sink-redis-password", &clickhouse, &redis)
        .with_env("DATABASE_URL", "postgres://watcher:canary-of-postgres-5512908@127.0.0.1:1/brew");
    app.write(&format!("{postgres}{SINKS}"));
    app.produce_committed("rows", 1, &[(0, &row(1, "acme"), us(1))]);
    let mut process = app.run();
    process.wait_for_log("are kept until Redis takes them");
    process.wait_for_log("replication slots are not seen");
    let mut shown = vec![page_of(&mut process), freshness(&mut process, "").to_string(), stop(process)];
    assert!(shown[2].contains("brew on 127.0.0.1:1"), "{}", shown[2]);
    for args in [
        &["topology", "describe"][..],
        &["topology", "describe", "-o", "tree"],
        &["topology", "describe", "-o", "json"],
        &["topology", "validate"],
    ] {
        shown.push(app.said(args));
    }
    assert!(
        shown[4].contains("cdc:last_sync:{tenant} at redis://127.0.0.1:") && shown[4].contains("tenant    tenant"),
        "{}",
        shown[4]
    );
    assert!(shown[5].contains("\"database\": \"brew on 127.0.0.1:1\""), "{}", shown[5]);
    // Where they stand in the file, in the wrong place, beside an error.
    app.write(&format!(
        "threads: no\nredis: {{ url: 'redis://me:{PASSWORD}@h', password: {PASSWORD} }}\n\
         postgres: {{ url: 'host=h password={PASSWORD}', password: {PASSWORD}, slots: 7 }}\n{}",
        SINKS.lines().filter(|line| !line.starts_with("redis:")).collect::<Vec<_>>().join("\n")
    ));
    let said = app.said(&["topology", "validate"]);
    assert!(
        said.contains("`url` is no address of a Redis") && said.contains("`url` is no address of a database"),
        "{said}"
    );
    shown.push(said);
    for text in shown {
        assert!(!text.contains("canary-of"), "{text}");
    }
}
