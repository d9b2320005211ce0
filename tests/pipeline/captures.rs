//! The same without Postgres and Connect: captured topics through Kafka and Highwater into ClickHouse.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::stage::{LONG, SALT};
use crate::support::fixture::NAMES;
use crate::support::{Broker, ClickHouse, Dir, Fixture, Highwater, Isolation, wait_until};
use crate::truth::select;

const TOPOLOGY: &str = r"
application: captures
kafka: { bootstrap.servers: '${BROKERS}' }
threads: 2
secrets: { pii: '${SALT}' }
streams:
  customers:
    from: { pattern: 'fx\.(?<case>\w+)\.public\.(?<table>customers)' }
    steps: [dedup, { mask: { fields: { email: hash, phone: hash, full_name: truncate, birth_date: drop } } }]
    to: 'out.{case}.{table}'
  others:
    from: { pattern: 'fx\.(?<case>\w+)\.public\.(?<table>orders|visits|order_items|documents|seats)' }
    steps: [dedup, { mask: none }]
    to: 'out.{case}.{table}'
sinks:
  captures:
    from: 'out\.(?<case>\w+)\.(?<table>\w+)'
    clickhouse: { url: '${CLICKHOUSE_URL}', database: captures, table: '{case}_{table}', unknown_columns: ignore }
";

/// Their message keys are not the tables' keys: of rows that share one, the last stands for all.
const OTHER_KEYS: [&str; 2] = ["collisions", "custom_key"];

fn key(table: &str) -> &'static str {
    if table == "order_items" { "order_id, line_no" } else { "id" }
}

#[test]
fn what_final_shows_of_a_capture_is_what_postgres_held() {
    let (broker, clickhouse, dir) = (Broker::start(), ClickHouse::start(), Dir::new("captures"));
    let names = NAMES.iter().filter(|name| !OTHER_KEYS.contains(name));
    let fixtures: Vec<Fixture> = names.map(|name| Fixture::load_as(name, &format!("fx.{name}."))).collect();
    clickhouse.query("create database captures");
    // Source and output of each table that has a key.
    let mut topics = BTreeMap::new();
    for fixture in &fixtures {
        for source in fixture.tables() {
            let table = source.rsplit('.').next().expect("a table");
            if !fixture.finals.contains_key(table) {
                continue;
            }
            let output = format!("out.{}.{table}", fixture.name);
            broker.create_topic(source, 4, &[]);
            broker.create_topic(&output, 1, &[]);
            clickhouse.query(&format!(
                "create table captures.{}_{table} ({} Int64, ver Nullable(Int64), cdc_lsn UInt64, _deleted UInt8)
                 engine = ReplacingMergeTree(cdc_lsn) order by ({}) settings non_replicated_deduplication_window = 10000",
                fixture.name,
                key(table).replace(',', " Int64,"),
                key(table)
            ));
            topics.insert(source.to_owned(), output);
        }
        let lines: Vec<_> = fixture.lines.iter().filter(|line| topics.contains_key(&line.topic)).cloned().collect();
        broker.produce(&lines);
    }
    let (bootstrap, url) = (broker.bootstrap(), clickhouse.url());
    let env = [("BROKERS", bootstrap.as_str()), ("SALT", SALT), ("CLICKHOUSE_URL", &url), ("HIGHWATER_LOG", "info")];
    let mut highwater = Highwater::spawn(TOPOLOGY, &env, dir.path());
    let has_come = |group: &str, topic: &str, ends: &BTreeMap<i32, i64>| {
        wait_until(LONG, &format!("{group} at the end of {topic}, {ends:?}"), || {
            let committed = broker.committed(group, topic);
            ends.iter().all(|(partition, end)| *end == 0 || committed.get(partition) >= Some(end)).then_some(())
        });
    };
    for source in topics.keys() {
        has_come("captures", source, &broker.end_offsets(source));
    }
    let mut rows = 0;
    for output in topics.values() {
        let reads = broker.read_all(output, Isolation::Committed);
        rows += reads.len();
        // The end of the topic lies behind the marker of a transaction.
        has_come("captures-captures", output, &reads.iter().map(|read| (read.partition, read.offset + 1)).collect());
    }
    // It ends when what is under way is in.
    highwater.sigterm();
    assert!(highwater.wait(LONG).success(), "{}", highwater.log());

    let mut compared = 0;
    for fixture in &fixtures {
        let mut left: BTreeMap<String, Vec<Map<String, Value>>> = BTreeMap::new();
        for output in topics.values().filter_map(|topic| topic.strip_prefix(&format!("out.{}.", fixture.name))) {
            let columns = format!("{}, ver", key(output));
            let sql = format!("select {columns} from captures.{}_{output} final where _deleted = 0", fixture.name);
            let names: Vec<&str> = columns.split(", ").collect();
            for row in select(&clickhouse, &sql) {
                let cells = row.as_array().expect("a row").iter().cloned();
                let row = names.iter().map(|name| (*name).to_owned()).zip(cells).collect();
                left.entry(output.to_owned()).or_default().push(row);
                compared += 1;
            }
        }
        assert_eq!(fixture.differences(&left), fixture.expected_differences(), "{} and Postgres", fixture.name);
    }
    eprintln!("captures: {} tables, {rows} rows inserted, {compared} left", topics.len());
    assert!(topics.len() > 30 && rows > 600 && compared > 250, "{} {rows} {compared}", topics.len());
}
