//! The application of the fixtures: its topology, its directories, and how it is run.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use highwater::log::embedded::EmbeddedLog;
use highwater::log::{Client, Event, Isolation, Log, Outgoing, TopicPartition};
use serde_json::{Value, json};

use crate::support::changes::{self, Rows, assert_equal, by_key, truth};
use crate::support::{DEADLINE, Dir, Highwater, Line, Read, wait_until};

pub const APPLICATION: &str = "old-state";
pub const CUSTOMERS: &str = "old.cdc.public.customers";
pub const VISITS: &str = "old.cdc.public.visits";
pub const OUT: &str = "old.out.customers";
pub const VISITS_OUT: &str = "old.out.visits";
pub const LETTERS: &str = "old.letters";
/// Written by a producer of its own: transactions committed, aborted, and never ended.
pub const SIDE: &str = "old.side";
pub const CHANGELOG: &str = "old-state-customers-old.cdc.public.customers-changelog";
pub const SECRET: &str = "a secret of the tests";
pub const LONG: Duration = Duration::from_secs(300);

pub const TOPOLOGY: &str = r"
application: old-state
embedded: log
commit_interval: 50ms
threads: 2
state: { path: state }
http: { listen: 127.0.0.1:0 }
secrets: { pii: '${SALT}' }
defaults: { on_error: { dead_letter: { topic: old.letters } } }
streams:
  customers:
    from: old.cdc.public.customers
    steps: [dedup, { mask: { fields: { email: hash, full_name: truncate } } }]
    to: old.out.customers
  visits:
    from: old.cdc.public.visits
    steps: [dedup, { filter: { field: country, in: [LV] } }, { mask: none }]
    to: old.out.visits
";

pub fn spawn(topology: &str, dir: &Path) -> Highwater {
    Highwater::spawn(topology, &[("SALT", SECRET), ("HIGHWATER_LOG", "info")], dir)
}

/// Runs it until everything is processed, and stops it. Returns its log.
#[track_caller]
pub fn run_through(topology: &str, dir: &Path) -> String {
    let mut highwater = spawn(topology, dir);
    wait_until(LONG, &format!("all is processed in {}", dir.display()), || {
        assert!(highwater.ended().is_none(), "it ended by itself:\n{}", highwater.log());
        has_caught_up(&highwater).then_some(())
    });
    highwater.sigterm();
    assert!(highwater.wait(LONG).success(), "{}", highwater.log());
    highwater.log()
}

/// Runs it to its end by itself, exit code 1. Returns its log.
#[track_caller]
pub fn run_to_failure(topology: &str, dir: &Path) -> String {
    let mut highwater = spawn(topology, dir);
    let status = highwater.wait(LONG);
    assert_eq!(status.code(), Some(1), "{}", highwater.log());
    highwater.log()
}

fn has_caught_up(highwater: &Highwater) -> bool {
    let Some(page) = page(highwater, "/metrics") else { return false };
    let values = |name: &str| -> Vec<f64> {
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
    };
    let (lags, running) = (values("highwater_consumer_lag_records{"), values("highwater_tasks{state=\"running\"}"));
    !lags.is_empty() && running == [lags.len() as f64] && lags.iter().all(|lag| *lag == 0.0)
}

fn page(highwater: &Highwater, path: &str) -> Option<String> {
    let log = highwater.log();
    let (_, port) = log.lines().find(|line| line.contains("serving /metrics"))?.split_once("127.0.0.1:")?;
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[track_caller]
pub fn says(log: &str, texts: &[&str]) {
    texts.iter().for_each(|text| assert!(log.contains(text), "{text:?} is missing in\n{log}"));
}

pub fn open_log(dir: &Path) -> EmbeddedLog {
    // A transaction that nobody ends stays open for as long as Kafka lets one: its records must stay unseen all the same.
    let client =
        Client { group: APPLICATION.into(), transaction_timeout: Duration::from_secs(900), ..Client::named("test") };
    wait_until(LONG, "the embedded log", || match EmbeddedLog::open(&dir.join("log"), client.clone()) {
        Ok(log) => Some(log),
        Err(error) if error.to_string().contains("in use") => None,
        Err(error) => panic!("{error}"),
    })
}

pub fn append(log: &dyn Log, lines: &[Line]) {
    let mut appender = log.appender().expect("an appender");
    for line in lines {
        appender.send(&outgoing(line)).expect("room");
    }
    appender.flush(LONG).expect("written");
}

pub fn outgoing(line: &Line) -> Outgoing<'_> {
    let (key, value) = (line.key.as_deref(), line.value.as_deref());
    Outgoing { topic: &line.topic, partition: line.partition, key, value, headers: &[], timestamp: line.timestamp }
}

pub fn partitions(log: &dyn Log, topic: &str) -> Vec<TopicPartition> {
    let info = log.admin().describe(topic).expect("an answer").unwrap_or_else(|| panic!("no topic {topic}"));
    (0..info.partitions).map(|partition| TopicPartition::new(topic, partition)).collect()
}

/// What a reader sees of a topic now, up to the first end of each partition.
pub fn read(log: &dyn Log, topic: &str, isolation: Isolation) -> Vec<Read> {
    try_read(log, topic, isolation).unwrap_or_else(|e| panic!("cannot read {topic}: {e}"))
}

pub fn try_read(log: &dyn Log, topic: &str, isolation: Isolation) -> Result<Vec<Read>, String> {
    let mut reader = log.reader(0, isolation).map_err(|e| e.to_string())?;
    let mut open = partitions(log, topic);
    for tp in &open {
        let start = log.admin().bounds(tp).map_err(|e| e.to_string())?.start;
        reader.start(tp, start).map_err(|e| e.to_string())?;
    }
    let (mut reads, begun) = (Vec::new(), std::time::Instant::now());
    while !open.is_empty() {
        let events = reader.poll(10_000, Duration::from_millis(100), &mut |record| {
            reads.push(Read::of(record));
        });
        for event in events {
            match event {
                Event::End { tp, .. } => open.retain(|other| *other != tp),
                Event::Fatal(error) => return Err(error.to_string()),
                event => return Err(format!("{event:?}")),
            }
        }
        assert!(begun.elapsed() < LONG, "no end of {topic}");
    }
    reads.sort_by_key(|read| (read.partition, read.offset));
    Ok(reads)
}

/// Compares what left with what the sources alone demand: nothing missing, nothing twice, nothing out of order.
#[track_caller]
pub fn check_outputs(dir: &Path, when: &str) {
    let log = open_log(dir);
    let committed = |topic: &str| read(&log, topic, Isolation::Committed);
    let customers = truth(committed(CUSTOMERS), SECRET);
    assert!(customers.values().map(Vec::len).sum::<usize>() > 100, "{when}: hardly anything was sent");
    assert_equal(&by_key(committed(OUT)), &customers, when);
    assert_equal(&by_key(committed(VISITS_OUT)), &visits_truth(committed(VISITS)), &format!("{when}, the filter"));
}

/// A row leaves while it is in LV; when it goes it leaves once more, as deleted.
fn visits_truth(source: Vec<Read>) -> Rows {
    let mut rows = Rows::new();
    let mut last: BTreeMap<String, (u64, bool)> = BTreeMap::new();
    for read in source {
        let value: Value = serde_json::from_slice(&read.value.expect("a value")).expect("JSON");
        let key = serde_json::from_slice::<Value>(&read.key.expect("a key")).expect("JSON").to_string();
        let lsn = value["source"]["lsn"].as_u64().expect("an LSN");
        let (known, sent) = last.get(&key).copied().unwrap_or((0, false));
        if lsn <= known {
            continue;
        }
        let inside = value["after"]["country"] == "LV";
        if inside || sent {
            let mut row = value["after"].as_object().expect("a row").clone();
            row.insert("cdc_lsn".into(), lsn.into());
            row.insert("_deleted".into(), u8::from(!inside).into());
            rows.entry(key.clone()).or_default().push(row);
        }
        last.insert(key, (lsn, inside));
    }
    rows
}

/// A change as Debezium sends it, with a last commit before its transaction.
pub fn change(topic: &str, row: &Value, commit: Option<u64>, lsn: u64, partition: i32) -> Line {
    let (op, snapshot) = if commit.is_none() { ("r", "true") } else { ("u", "false") };
    let table = topic.rsplit('.').next().expect("a name");
    let value = json!({
        "before": null, "after": row, "op": op,
        "source": { "name": "old", "db": "shop", "schema": "public", "table": table, "snapshot": snapshot, "lsn": lsn,
            "sequence": json!([commit.map(|c| c.to_string()), lsn.to_string()]).to_string(),
            "ts_us": 1_700_000_000_000_000u64 + next_time() },
    });
    Line::new(topic, &json!({ "id": row["id"] }).to_string(), &value.to_string()).at(partition)
}

/// The source's time goes on.
fn next_time() -> u64 {
    static TIME: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(10_000_000_000);
    TIME.fetch_add(1_000, std::sync::atomic::Ordering::SeqCst)
}

/// All that the source sends again, and what is new: later changes of every key, above all positions known.
pub fn again_and_more(log: &dyn Log) {
    let again = |topic: &str| -> Vec<Line> {
        let line = |read: Read| Line {
            topic: topic.into(),
            partition: Some(read.partition),
            key: read.key,
            value: read.value,
            ..Line::default()
        };
        read(log, topic, Isolation::Committed).into_iter().map(line).collect()
    };
    append(log, &again(CUSTOMERS));
    append(log, &again(VISITS));
    let row =
        |id: u64| json!({ "id": id, "email": format!("late{id}@example.com"), "full_name": "Anna Late", "n": id });
    let more: Vec<Line> =
        (0..60).map(|id| change(CUSTOMERS, &row(id), Some(90_000_000), 90_000_001 + id, (id % 2) as i32)).collect();
    append(log, &more);
    // Who was sent goes away, and who was withheld or taken back comes and goes: the store knows which is which.
    let visit = |id: u64, country: &str, lsn| change(VISITS, &json!({ "id": id, "country": country }), Some(1), lsn, 0);
    let moves = (0..6)
        .flat_map(|id| [visit(id, "EE", 50_000 + id), visit(id, "LT", 51_000 + id), visit(id, "LV", 52_000 + id)]);
    append(log, &moves.collect::<Vec<_>>());
}

/// A copy of a fixture that a test may change.
pub fn unpacked(name: &str) -> Dir {
    let dir = Dir::new(&format!("old-state-{name}"));
    let archive = format!("{}/fixtures/state-v1/{name}.tar.gz", env!("CARGO_MANIFEST_DIR"));
    let status = std::process::Command::new("tar").args(["-xzf", &archive, "-C"]).arg(dir.path()).status();
    assert!(status.expect("tar").success(), "{archive}");
    std::fs::write(dir.join("topology.yaml"), TOPOLOGY).expect("a topology");
    dir
}

/// The changes of the fixtures, in two parts: replays, deletes, a new snapshot, positions that fall, a bad record.
pub fn parts() -> [Vec<Line>; 2] {
    let lines = changes::lines(CUSTOMERS, 2, 60, 700);
    let (first, second) = lines.split_at(400);
    let row = |id: u64, n: u64| json!({ "id": id, "email": format!("s{id}@example.com"), "full_name": "Ivan Ivanov", "n": n });
    let mut first = first.to_vec();
    first.extend((0..20).map(|id| change(CUSTOMERS, &row(id, 1), None, 2_000_000, (id % 2) as i32)));
    first.push(Line::new(CUSTOMERS, r#"{"id":1}"#, "{\"op\":\"u\",").at(1));
    let visit = |id: u64, country: &str, lsn| change(VISITS, &json!({ "id": id, "country": country }), Some(1), lsn, 0);
    first.extend((0..6).map(|id| visit(id, if id % 2 == 0 { "LV" } else { "EE" }, 100 + id)));
    let mut second = second.to_vec();
    // Another database, whose positions begin far below: their commits fall while time goes on.
    second.extend((0..40).map(|id| change(CUSTOMERS, &row(id, 2), Some(500 + id), 600 + id, (id % 2) as i32)));
    second.extend([visit(0, "EE", 200), visit(1, "LV", 201)]);
    [first, second]
}
