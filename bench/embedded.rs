//! The contest's job on the embedded log: records a second, CPU a record, and whether the answer is right.
//!
//!     make bench-embedded                 1,000,000 records about 200,000 keys, two workers
//!     make bench-embedded ARGS='100000 20000 1'

mod digest;
mod workload;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use digest::{Digest, Rows};
use highwater::engine::instance::Instance;
use highwater::log::embedded::EmbeddedLog;
use highwater::log::{Client, Event, Isolation, Log, Outgoing, TopicPartition};
use highwater::topology::{Mode, Topology};
use workload::{FIRST_LSN, SALT, Truth, Wide, Workload};

const SOURCE: &str = "brew.cdc.public.customers";
const TARGET: &str = "brew.analytics.customers";
const PARTITIONS: i32 = 4;
const TOPOLOGY: &str = "\
application: contest
embedded: log
secrets: { pii: SALT }
streams:
  customers:
    from: brew.cdc.public.customers
    steps:
      - dedup
      - mask: { fields: { email: hash, phone: hash, full_name: truncate, birth_date: drop, notes: drop } }
    to: brew.analytics.customers
";

struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// User and system time of this process, in seconds; the kernel counts in hundredths.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, rest) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().expect("ticks")).sum();
    ticks as f64 / 100.0
}

fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn load(log: &dyn Log, records: u64, keys: u64) -> Truth {
    log.admin().create(SOURCE, PARTITIONS, &[]).expect("a topic");
    log.admin().create(TARGET, PARTITIONS, &[]).expect("a topic");
    let mut appender = log.appender().expect("an appender");
    let workload = Workload { records, keys, seed: 0, wide: Wide::default(), first_lsn: FIRST_LSN };
    let truth = workload.generate(&mut |record| {
        let (key, value) = (Some(record.key.as_bytes()), record.value.map(str::as_bytes));
        let out = Outgoing { topic: SOURCE, partition: None, key, value, headers: &[], timestamp: None };
        appender.send(&out).expect("room");
        true
    });
    appender.flush(Duration::from_secs(60)).expect("written");
    truth
}

fn partitions(topic: &str) -> Vec<TopicPartition> {
    (0..PARTITIONS).map(|p| TopicPartition::new(topic, p)).collect()
}

fn rows(log: &dyn Log) -> Rows {
    let mut reader = log.reader(0, Isolation::Committed).expect("a reader");
    let mut open = partitions(TARGET);
    open.iter().for_each(|tp| reader.start(tp, 0).expect("started"));
    let mut rows = Digest::default();
    while !open.is_empty() {
        let events = reader.poll(10_000, Duration::ZERO, &mut |record| {
            rows.add(record.key.unwrap_or_default(), record.value.unwrap_or_default());
        });
        open.retain(|tp| !events.iter().any(|e| matches!(e, Event::End { tp: ended, .. } if ended == tp)));
    }
    rows.rows()
}

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let at = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let (records, keys, threads) = (at(0, 1_000_000), at(1, 200_000), at(2, 2));
    let dir = Temporary(std::env::temp_dir().join(format!("highwater-bench-{}", std::process::id())));
    std::fs::create_dir_all(&dir.0).expect("a directory");

    let client = Client { group: "contest".into(), ..Client::named("bench") };
    let log = EmbeddedLog::open(&dir.0.join("log"), client).expect("a log");
    let (begun, before) = (Instant::now(), cpu());
    let truth = load(&log, records, keys);
    println!(
        "loaded {} records in {:.1} s ({:.1} µs of CPU a record, making them included)",
        truth.records,
        begun.elapsed().as_secs_f64(),
        (cpu() - before) * 1e6 / truth.records as f64
    );

    let mut topology =
        Topology::parse(&TOPOLOGY.replace("SALT", SALT), "topology", Path::new(""), Mode::Run, &|_| None)
            .unwrap_or_else(|e| panic!("{e}"))
            .topology;
    topology.state.path = dir.0.join("state");
    topology.threads = threads as usize;
    let ends: Vec<i64> = partitions(SOURCE).iter().map(|tp| log.admin().bounds(tp).expect("bounds").end).collect();
    let (begun, before) = (Instant::now(), cpu());
    let instance = Instance::start_on(topology, |_, client| log.as_client(client), &|| false);
    let instance = instance.expect("an instance").expect("not stopped");
    let mut took = None;
    let mut consumer = log.group_consumer(9).expect("a consumer");
    let asked = std::cell::RefCell::new((&mut consumer, &mut took));
    let done = || {
        let (consumer, took) = &mut *asked.borrow_mut();
        let committed = consumer.committed(&partitions(SOURCE), Duration::ZERO).unwrap_or_default();
        let done = !committed.is_empty() && committed.iter().zip(&ends).all(|(o, end)| o.unwrap_or(0) >= *end);
        if done && took.is_none() {
            **took = Some((begun.elapsed().as_secs_f64(), cpu() - before));
        }
        done
    };
    instance.run(&done).expect("a clean end");
    let (wall, cpu) = took.expect("it came to the end");
    let rows = rows(&log);
    println!(
        "processed {} records with {threads} workers in {wall:.2} s: {:.0} records/s, {:.1} µs of CPU a record, {} MB at most",
        truth.records,
        truth.records as f64 / wall,
        cpu * 1e6 / truth.records as f64,
        peak_megabytes()
    );
    println!(
        "{} rows came out, {} were right; {} stale, {} tombstones",
        rows.rows, truth.accepted.rows, truth.stale, truth.tombstones
    );
    truth.accepted.check(&rows, "embedded");
}
