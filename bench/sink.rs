//! The ClickHouse sink beside a bare client loop: the same rows of one topic, on the same servers, in turn.
//!
//!     make bench-sink                     2,000,000 rows, three rounds
//!     make bench-sink ARGS='100000 1'
//!
//! The loop is what one writes by hand: consume, gather rows as they come, `INSERT … FORMAT JSONEachRow`, commit the offsets. It
//! checks nothing, and a crash repeats a batch.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use highwater::log::kafka::KafkaLog;
use highwater::log::{Client, Log, Outgoing};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use support::{Broker, ClickHouse, Dir, signal};

const TOPIC: &str = "rows";
const PARTITIONS: i32 = 4;
/// Of both: a batch.
const ROWS: usize = 100_000;
const TABLE: &str = "(id Int64, customer_id Nullable(Int64), total Nullable(Decimal(12, 2)), note Nullable(String), \
                     placed_at Nullable(DateTime64(6, 'UTC')), external_id Nullable(UUID), cdc_lsn UInt64, _deleted UInt8) \
                     ENGINE = ReplacingMergeTree(cdc_lsn) ORDER BY id SETTINGS non_replicated_deduplication_window = 10000";

fn load(broker: &Broker, rows: u64) {
    let properties = [("bootstrap.servers".to_owned(), broker.bootstrap()), ("compression.type".into(), "lz4".into())];
    let log = KafkaLog::connect(properties.into(), Client::named("load")).expect("a log");
    log.admin().create(TOPIC, PARTITIONS, &[]).expect("a topic");
    let mut appender = log.appender().expect("an appender");
    for id in 0..rows {
        let value = format!(
            "{{\"id\":{id},\"customer_id\":{},\"total\":\"{}.{:02}\",\"note\":\"order {id} of a customer who wrote a line or two\",\
             \"placed_at\":\"2026-05-01T10:{:02}:{:02}.{:06}Z\",\"external_id\":\"{:08x}-0000-4000-8000-{:012x}\",\
             \"cdc_lsn\":{},\"_deleted\":0}}",
            id % 1000,
            id % 500,
            id % 100,
            id / 60 % 60,
            id % 60,
            id % 1_000_000,
            id % u64::from(u32::MAX),
            id,
            1000 + id
        );
        let key = format!("{{\"id\":{id}}}");
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        let out = Outgoing { topic: TOPIC, partition: None, key, value, headers: &[], timestamp: None };
        while appender.send(&out).expect("sent") == highwater::log::Sent::Full {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    appender.flush(Duration::from_secs(120)).expect("written");
}

/// User and system time of a process, in seconds; the kernel counts in hundredths.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(')') else { return 0.0 };
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

struct Round {
    seconds: f64,
    cpu: f64,
}

fn by_highwater(broker: &Broker, clickhouse: &ClickHouse, table: &str, rows: u64) -> Round {
    let dir = Dir::new("bench-sink");
    let file = dir.join("topology.yaml");
    let text = format!(
        "application: bench-{table}\nkafka: {{ bootstrap.servers: '{}' }}\nsinks:\n  s:\n    from: {TOPIC}\n    \
         clickhouse: {{ url: '{}', table: {table}, batch: {{ rows: {ROWS} }} }}\n",
        broker.bootstrap(),
        clickhouse.url()
    );
    fs::write(&file, text).expect("a file");
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_highwater"))
        .args(["run", "-f"])
        .arg(&file)
        .arg("--state")
        .arg(dir.join("state"))
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary");
    while clickhouse.count(table) < rows {
        std::thread::sleep(Duration::from_millis(50));
    }
    let round = Round { seconds: begun.elapsed().as_secs_f64(), cpu: cpu(child.id()) };
    signal::send("TERM", child.id().into());
    child.wait().expect("an end");
    round
}

fn by_hand(broker: &Broker, clickhouse: &ClickHouse, table: &str, rows: u64) -> Round {
    let before = cpu(std::process::id());
    let begun = Instant::now();
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", format!("by-hand-{table}"))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("queued.min.messages", "1000000")
        .set("fetch.queue.backoff.ms", "10")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[TOPIC]).expect("subscribed");
    let sql = format!("INSERT INTO {table} FORMAT JSONEachRow");
    let (mut body, mut gathered, mut sent) = (Vec::new(), 0, 0);
    while sent < rows {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) {
            body.extend_from_slice(message.payload().unwrap_or_default());
            body.push(b'\n');
            gathered += 1;
        }
        if gathered == ROWS || sent + gathered as u64 == rows {
            let reply = clickhouse.insert(&sql, &[("async_insert", "0")], &body).expect("an answer");
            assert_eq!(reply.status, 200, "{}", reply.text());
            consumer.commit_consumer_state(CommitMode::Sync).expect("committed");
            sent += gathered as u64;
            gathered = 0;
            body.clear();
        }
    }
    assert_eq!(clickhouse.count(table), rows);
    Round { seconds: begun.elapsed().as_secs_f64(), cpu: cpu(std::process::id()) - before }
}

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let at = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let (rows, rounds) = (at(0, 2_000_000), at(1, 3));
    let (broker, clickhouse) = (Broker::start(), ClickHouse::start());
    load(&broker, rows);
    println!("{rows} rows in {PARTITIONS} partitions; batches of {ROWS} rows\n");
    println!("| round | who | seconds | rows a second | µs of CPU a row |\n|---|---|---:|---:|---:|");
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let mut seconds = Vec::new();
        for who in ["sink", "loop"] {
            let table = format!("{who}_{round}");
            clickhouse.query(&format!("CREATE TABLE {table} {TABLE}"));
            let took = match who {
                "sink" => by_highwater(&broker, &clickhouse, &table, rows),
                _ => by_hand(&broker, &clickhouse, &table, rows),
            };
            let (rate, each) = (rows as f64 / took.seconds, took.cpu * 1e6 / rows as f64);
            println!("| {round} | {who} | {:.2} | {rate:.0} | {each:.2} |", took.seconds);
            assert_eq!(clickhouse.count(&table), rows, "exactly once");
            clickhouse.query(&format!("DROP TABLE {table}"));
            seconds.push(took.seconds);
        }
        ratios.push(seconds[1] / seconds[0]);
    }
    ratios.sort_by(f64::total_cmp);
    println!("\nthe sink's throughput is {:.2} of the loop's (median of {rounds})", ratios[ratios.len() / 2]);
}
