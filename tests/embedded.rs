//! The application on the embedded log, in processes of its own: killed, refused, shared by workers.

mod support;

use std::path::Path;
use std::time::Duration;

use highwater::engine::instance::Instance;
use highwater::log::embedded::EmbeddedLog;
use highwater::log::{Client, Event, Isolation, Log, Outgoing, TopicPartition};
use highwater::topology::{Mode, Topology};
use support::changes::{self, Lottery, assert_equal, by_key, truth};
use support::{Dir, Highwater, Line, Read, wait_until};

const SOURCE: &str = "crash.cdc.public.customers";
const TARGET: &str = "crash.out";
const GROUP: &str = "crash";
const PARTITIONS: i32 = 4;
const SECRET: &str = "a secret of the tests";
const LONG: Duration = Duration::from_secs(300);

// Commits so often that kills land before and after them, and so rarely that they land inside: a producer writes what it
// has after 20 ms.
const TOPOLOGY: &str = r"
application: crash
embedded: log
commit_interval: 50ms
threads: 2
secrets: { pii: '${SALT}' }
streams:
  customers:
    from: crash.cdc.public.customers
    steps: [dedup, { mask: { fields: { email: hash, full_name: truncate } } }]
    to: crash.out
";

fn open(dir: &Path) -> EmbeddedLog {
    let client = Client { group: GROUP.into(), ..Client::named("test") };
    // The process that had it is gone; the system may take a moment to let go of its lock.
    wait_until(LONG, "the embedded log to be free", || EmbeddedLog::open(&dir.join("log"), client.clone()).ok())
}

fn append(log: &dyn Log, lines: &[Line]) {
    let mut appender = log.appender().expect("an appender");
    for line in lines {
        let (key, value) = (line.key.as_deref(), line.value.as_deref());
        let out = Outgoing { topic: &line.topic, partition: line.partition, key, value, headers: &[], timestamp: None };
        appender.send(&out).expect("room");
    }
    appender.flush(LONG).expect("written");
}

/// Everything in a topic up to the first end of each partition: the last stable offset.
fn read_all(log: &dyn Log, topic: &str, isolation: Isolation) -> Vec<Read> {
    let mut reader = log.reader(0, isolation).expect("a reader");
    let mut open: Vec<_> = (0..PARTITIONS).map(|p| TopicPartition::new(topic, p)).collect();
    open.iter().for_each(|tp| reader.start(tp, 0).expect("started"));
    let mut reads = Vec::new();
    while !open.is_empty() {
        let events = reader.poll(10_000, Duration::from_millis(100), &mut |record| {
            reads.push(Read::of(record));
        });
        open.retain(|tp| !events.iter().any(|e| matches!(e, Event::End { tp: ended, .. } if ended == tp)));
    }
    reads.sort_by_key(|read| (read.partition, read.offset));
    reads
}

fn partitions(topic: &str) -> Vec<TopicPartition> {
    (0..PARTITIONS).map(|p| TopicPartition::new(topic, p)).collect()
}

fn end(log: &dyn Log, tp: &TopicPartition) -> i64 {
    log.admin().bounds(tp).expect("bounds").end
}

/// Records that the application has committed; None while an open transaction may change that.
fn committed(log: &dyn Log) -> Option<i64> {
    let mut consumer = log.group_consumer(9).expect("a consumer");
    let committed = consumer.committed(&partitions(SOURCE), Duration::ZERO).ok()?;
    Some(committed.iter().map(|offset| offset.unwrap_or(0)).sum())
}

fn all(log: &dyn Log) -> i64 {
    partitions(SOURCE).iter().map(|tp| end(log, tp)).sum()
}

/// A transaction is open: its records are in the log, and its end is not.
fn is_torn(log: &dyn Log) -> bool {
    let consumer = log.group_consumer(9).expect("a consumer");
    partitions(TARGET).iter().any(|tp| consumer.heard(tp).expect("bounds").end < end(log, tp))
}

/// Runs the application in this process, which has the log.
fn run_to_the_end(dir: &Path, log: &EmbeddedLog) {
    let env = |name: &str| (name == "SALT").then(|| SECRET.to_string());
    let loaded = Topology::load(&dir.join("topology.yaml"), Mode::Run, &env).unwrap_or_else(|e| panic!("{e}"));
    let mut topology = loaded.topology;
    topology.state.path = dir.join("state");
    let instance = Instance::start_on(topology, |_, client| log.as_client(client), &|| false);
    let instance = instance.expect("an instance").expect("not stopped");
    let begun = std::time::Instant::now();
    instance.run(&|| committed(log) == Some(all(log)) || begun.elapsed() > LONG).expect("a clean end");
    assert_eq!(committed(log), Some(all(log)), "committed offsets");
}

#[test]
fn killed_at_two_hundred_moments_it_loses_nothing_and_repeats_nothing() {
    const KILLS: usize = 200;
    let dir = Dir::new("embedded-kills");
    std::fs::write(dir.join("topology.yaml"), TOPOLOGY).expect("a topology");
    let lines = changes::lines(SOURCE, PARTITIONS, 5_000, 400_000);
    // Something to do for every start: once it stands idle, it is killed for nothing.
    let mut slices = lines.chunks(lines.len() / KILLS);
    {
        let log = open(dir.path());
        log.admin().create(SOURCE, PARTITIONS, &[]).expect("a topic");
        log.admin().create(TARGET, PARTITIONS, &[]).expect("a topic");
    }
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x5eed_u64);
    let mut lottery = Lottery(seed);
    let start = || Highwater::command(&["run"], &[("SALT", SECRET), ("HIGHWATER_LOG", "info")], dir.path());
    let (mut torn, mut worked, mut before) = (0, 0, Some(0));
    for kill in 0..KILLS {
        {
            let log = open(dir.path());
            let now = committed(&log);
            torn += usize::from(is_torn(&log));
            worked += usize::from(now != before);
            before = now;
            slices.next().into_iter().for_each(|slice| append(&log, slice));
        }
        let mut process = start();
        // Half of the blows fall anywhere from the first instruction on, half while it is at work.
        let span = if kill % 2 == 0 { 250_000 } else { 70_000 };
        if kill % 2 == 1 {
            process.wait_for_log("running worker=");
        }
        std::thread::sleep(Duration::from_micros(lottery.next(span)));
        assert!(process.ended().is_none(), "kill {kill}: it ended by itself: {}", process.log());
        process.sigkill();
        let _ = std::fs::remove_file(process.log_path());
    }
    println!(
        "{KILLS} kills (SEED={seed}): {worked} after new commits, {torn} inside a transaction, {before:?} records"
    );
    assert!(
        torn >= 10 && worked >= 20,
        "the kills missed their moments: {torn} in a transaction, {worked} after commits"
    );

    let sent = usize::try_from(all(&open(dir.path()))).expect("a count");
    for (round, again) in [("after the kills", false), ("all once more, as replays", true)] {
        if again {
            let log = open(dir.path());
            append(&log, &lines[..sent]);
        }
        let log = open(dir.path());
        run_to_the_end(dir.path(), &log);
        let truth = truth(read_all(&log, SOURCE, Isolation::Committed), SECRET);
        assert_equal(&by_key(read_all(&log, TARGET, Isolation::Committed)), &truth, round);
    }
}

#[test]
fn a_second_process_is_refused_by_name() {
    let dir = Dir::new("embedded-twice");
    std::fs::write(dir.join("topology.yaml"), TOPOLOGY).expect("a topology");
    let log = open(dir.path());
    let mut process = Highwater::command(&["run"], &[("SALT", SECRET)], dir.path());
    assert_eq!(process.wait(LONG).code(), Some(1));
    let owner = format!("the embedded log log is in use by pid {}: one process at a time has it", std::process::id());
    assert!(process.log().contains(&owner), "{}", process.log());
    drop(log);
}
