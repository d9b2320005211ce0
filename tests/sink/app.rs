//! What the tests here share: an application on an embedded log of its own, rows, and the tables that they end in.

use std::time::Duration;

use highwater::engine::sink::COMMITTED;
use highwater::log::embedded::EmbeddedLog;
use highwater::log::{Client, Event, Isolation, Log as _, Outgoing, TopicPartition};

use crate::support::clickhouse::Row;
use crate::support::{ClickHouse, DEADLINE, Dir, Highwater, Line, Read, wait_until};

/// Where inserts are deduplicated only because the sink sees to it: a plain table remembers nothing.
pub const TABLE: &str = "(id UInt64, text String, n Int64) ENGINE = MergeTree ORDER BY id";
pub const REPEATED: &str = "an insert that may be in already is repeated";

/// One directory, one embedded log, one topology with the sink `ch`, whose group is `app-ch`.
pub struct App {
    dir: Dir,
    url: String,
    password: String,
    env: Vec<(String, String)>,
}

impl App {
    /// `sinks`: the topology but for the application and the log; `${URL}` and `${PASSWORD}` are the server's.
    pub fn new(name: &str, clickhouse: &ClickHouse, sinks: &str) -> Self {
        let new = Self {
            dir: Dir::new(name),
            url: clickhouse.url(),
            password: clickhouse.password().into(),
            env: Vec::new(),
        };
        new.write(sinks);
        new
    }

    /// Another topology from the next start on.
    pub fn write(&self, sinks: &str) {
        let text = format!("application: app\nembedded: log\nhttp: 127.0.0.1:0\n{sinks}");
        std::fs::write(self.dir.join("topology.yaml"), text).expect("a topology");
    }

    pub fn at(mut self, url: &str) -> Self {
        self.url = url.into();
        self
    }

    /// The log, while no process has it.
    pub fn log(&self) -> EmbeddedLog {
        let client = Client { group: "app-ch".into(), ..Client::named("test") };
        // The process that had it is gone; the system may take a moment to let go of its lock.
        wait_until(DEADLINE, "the embedded log to be free", || {
            EmbeddedLog::open(&self.dir.join("log"), client.clone()).ok()
        })
    }

    /// Appends values to a topic that has so many partitions, in turn.
    pub fn produce<V: AsRef<[u8]>>(&self, topic: &str, partitions: i32, values: impl IntoIterator<Item = V>) {
        let log = self.log();
        if log.admin().describe(topic).expect("an answer").is_none() {
            log.admin().create(topic, partitions, &[]).expect("a topic");
        }
        let mut appender = log.appender().expect("an appender");
        for (value, partition) in values.into_iter().zip((0..partitions).cycle()) {
            let (partition, value) = (Some(partition), Some(value.as_ref()));
            let out = Outgoing { topic, partition, key: Some(b"k"), value, headers: &[], timestamp: None };
            appender.send(&out).expect("room");
        }
        appender.flush(DEADLINE).expect("written");
    }

    /// Appends whole records, each to the partition of its key.
    pub fn produce_lines(&self, topic: &str, partitions: i32, lines: &[Line]) {
        self.produce::<&str>(topic, partitions, []);
        let log = self.log();
        let mut appender = log.appender().expect("an appender");
        for line in lines {
            let (key, value) = (line.key.as_deref(), line.value.as_deref());
            let out = Outgoing { topic, partition: line.partition, key, value, headers: &[], timestamp: None };
            appender.send(&out).expect("room");
        }
        appender.flush(DEADLINE).expect("written");
    }

    /// Everything in a topic.
    pub fn read(&self, topic: &str) -> Vec<Read> {
        let log = self.log();
        let Some(info) = log.admin().describe(topic).expect("an answer") else { return Vec::new() };
        let mut reader = log.reader(0, Isolation::Committed).expect("a reader");
        let mut open: Vec<_> = (0..info.partitions).map(|p| TopicPartition::new(topic, p)).collect();
        open.iter().for_each(|tp| reader.start(tp, 0).expect("started"));
        let mut reads = Vec::new();
        while !open.is_empty() {
            let events = reader.poll(10_000, Duration::from_millis(100), &mut |record| reads.push(Read::of(record)));
            open.retain(|tp| !events.iter().any(|e| matches!(e, Event::End { tp: ended, .. } if ended == tp)));
        }
        reads.sort_by_key(|read| (read.partition, read.offset));
        reads
    }

    pub fn with_password(mut self, password: &str) -> Self {
        self.password = password.into();
        self
    }

    /// A variable of the environment besides `URL` and `PASSWORD`.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    fn env(&self) -> Vec<(&str, &str)> {
        let own = [("URL", self.url.as_str()), ("PASSWORD", self.password.as_str()), ("HIGHWATER_LOG", "info")];
        own.into_iter().chain(self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()))).collect()
    }

    pub fn run(&self) -> Highwater {
        Highwater::command(&["run"], &self.env(), self.dir.path())
    }

    /// What another command says of the topology, on both of its outputs.
    pub fn said(&self, args: &[&str]) -> String {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_highwater"))
            .args(args)
            .envs(self.env())
            .current_dir(self.dir.path())
            .output()
            .expect("highwater");
        String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
    }

    /// Appends rows to a topic's partitions, each with the time of its commit in the source, as streams stamp them.
    pub fn produce_committed(&self, topic: &str, partitions: i32, rows: &[(i32, &str, Option<i64>)]) {
        self.produce::<&str>(topic, partitions, []);
        let log = self.log();
        let mut appender = log.appender().expect("an appender");
        for (partition, row, committed) in rows {
            let text = committed.map(|at| at.to_string());
            let header = text.as_ref().map(|text| (COMMITTED, Some(text.as_bytes())));
            let (partition, value, headers) = (Some(*partition), Some(row.as_bytes()), header.as_slice());
            // Records are written after the commit, and say so.
            let timestamp = Some(4_000_000_000_000);
            appender.send(&Outgoing { topic, partition, key: Some(b"k"), value, headers, timestamp }).expect("room");
        }
        appender.flush(DEADLINE).expect("written");
    }

    /// Runs until a condition holds, and stops: what the process wrote to its log.
    #[track_caller]
    pub fn run_until(&self, what: &str, mut done: impl FnMut() -> bool) -> String {
        let mut process = self.run();
        wait_until(DEADLINE, what, || {
            assert!(process.ended().is_none(), "it ended:\n{}", process.log());
            done().then_some(())
        });
        stop(process)
    }

    /// Runs until it ends of itself, which is an error: its log.
    #[track_caller]
    pub fn run_into_its_end(&self) -> String {
        let mut process = self.run();
        let status = process.wait(DEADLINE);
        assert!(!status.success(), "it ended well:\n{}", process.log());
        process.log()
    }
}

/// A clean stop: its log.
#[track_caller]
pub fn stop(mut process: Highwater) -> String {
    process.sigterm();
    let status = process.wait(DEADLINE);
    assert!(status.success(), "{status}:\n{}", process.log());
    process.log()
}

/// A row of [`TABLE`]; all of it follows from its id.
pub fn row(id: u64) -> String {
    format!(r#"{{"id":{id},"text":"row {id}","n":{}}}"#, -(id as i64) * 3)
}

pub fn rows(ids: std::ops::Range<u64>) -> impl Iterator<Item = String> {
    ids.map(row)
}

/// How many rows, whatever they are; none where there is no table.
pub fn count(clickhouse: &ClickHouse, table: &str) -> u64 {
    let reply = clickhouse.ask(&format!("SELECT count() AS n FROM {table}"), &[]);
    let Ok(reply) = reply else { return 0 };
    serde_json::from_str::<Row>(reply.text().trim()).ok().and_then(|row| row["n"].as_u64()).unwrap_or(0)
}

/// The table has the rows of these ids, each once, byte for byte.
#[track_caller]
pub fn assert_exact(clickhouse: &ClickHouse, table: &str, ids: impl IntoIterator<Item = u64>) {
    let mut ids: Vec<u64> = ids.into_iter().collect();
    ids.sort_unstable();
    let sql = format!("SELECT count() AS n, uniqExact(id) AS ids FROM {table}");
    let counts = &clickhouse.query(&sql)[0];
    let counts = (counts["n"].as_u64(), counts["ids"].as_u64());
    let all = Some(ids.len() as u64);
    assert_eq!(counts, (all, all), "rows of {table}, and how many of them are different");
    let sql = format!("SELECT id, text, n FROM {table} ORDER BY id");
    let reply = clickhouse.ask(&sql, &[("default_format", "JSONEachRow")]).expect("an answer").text();
    let found: Vec<&str> = reply.lines().collect();
    assert_eq!(found.len(), ids.len());
    for (found, id) in found.iter().zip(ids) {
        assert_eq!(*found, row(id), "in {table}");
    }
}

/// A counter or gauge of a page, all its series together.
pub fn sum(page: &str, name: &str) -> f64 {
    let series = page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// One of the instance's pages, once it is as it should be.
#[track_caller]
pub fn wait_for_page(process: &mut Highwater, path: &str, mut good: impl FnMut(u16, &str) -> bool) -> String {
    wait_until(DEADLINE, path, || {
        let (status, text) = crate::support::process::page(process, path);
        good(status, &text).then_some(text)
    })
}

/// How many faults have befallen statements since the server began.
pub fn fired(clickhouse: &ClickHouse) -> usize {
    clickhouse.faults()["fired"].as_array().map_or(0, Vec::len)
}
