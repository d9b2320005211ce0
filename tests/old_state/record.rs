//! How the fixtures were made, and their forms as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use highwater::log::embedded::EmbeddedLog;
use highwater::log::{Ended, Isolation, Log, Producer, TopicPartition};
use highwater::store::Database;
use sha2::{Digest, Sha256};

use crate::application::*;
use crate::support::changes::Lottery;
use crate::support::{Dir, Line, wait_until};

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or_else(|e| panic!("{text}: {e}"));
    (0..text.len()).step_by(2).map(byte).collect()
}

pub type Stores = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

/// Every key and value of every store of a state directory.
pub fn stores(dir: &Path) -> Stores {
    let database = Database::open(&dir.join("state/stores"), 8 << 20).expect("stores");
    let scan = |name: String| {
        let store = database.partition(&name).expect("a store");
        (name, store.scan().expect("readable").into_iter().collect())
    };
    database.found().into_iter().map(scan).collect()
}

pub fn stores_text(stores: &Stores) -> String {
    let mut text = String::new();
    for (name, store) in stores {
        for (key, value) in store {
            writeln!(text, "{name} {} {}", hex(key), hex(value)).expect("memory");
        }
    }
    text
}

type Records = Vec<(i64, Vec<u8>, Option<Vec<u8>>)>;

/// `changelogs.txt`: TOPIC-PARTITION OFFSET KEY VALUE, in hex; `-` for a tombstone.
pub fn changelogs(text: &str) -> BTreeMap<String, Records> {
    let mut found: BTreeMap<String, Records> = BTreeMap::new();
    for line in text.lines() {
        let [tp, offset, key, value] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let value = (value != "-").then(|| unhex(value));
        found.entry(tp.into()).or_default().push((offset.parse().expect("an offset"), unhex(key), value));
    }
    found
}

fn changelogs_text(log: &dyn Log) -> String {
    let mut text = String::new();
    for topic in log.admin().topics().expect("topics").iter().filter(|topic| topic.ends_with("-changelog")) {
        for read in read(log, topic, Isolation::Committed) {
            let value = read.value.as_deref().map_or("-".into(), hex);
            let key = hex(read.key.as_deref().expect("a key"));
            writeln!(text, "{topic}-{} {} {key} {value}", read.partition, read.offset).expect("memory");
        }
    }
    text
}

/// A line a partition and isolation: bounds, records, and the SHA-256 of all that is in them; then committed offsets.
pub fn log_text(log: &dyn Log) -> String {
    try_log_text(log).unwrap_or_else(|e| panic!("{e}"))
}

pub fn try_log_text(log: &dyn Log) -> Result<String, String> {
    let mut text = String::new();
    for topic in log.admin().topics().map_err(|e| e.to_string())? {
        for isolation in [Isolation::Committed, Isolation::Uncommitted] {
            let reads = try_read(log, &topic, isolation)?;
            for tp in partitions(log, &topic) {
                let mut sum = Sha256::new();
                let mut count = 0;
                for read in reads.iter().filter(|read| read.partition == tp.partition) {
                    count += 1;
                    sum.update(format!(
                        "{:?} {:?} {:?} {:?} {:?}\n",
                        read.offset, read.timestamp, read.key, read.value, read.headers
                    ));
                }
                let start = log.admin().bounds(&tp).expect("bounds").start;
                writeln!(text, "{isolation:?} {tp} from {start}: {count} records {}", hex(&sum.finalize()))
                    .expect("memory");
            }
        }
    }
    let sources = [(CUSTOMERS, 0), (CUSTOMERS, 1), (VISITS, 0)].map(|(topic, n)| TopicPartition::new(topic, n));
    let mut consumer = log.group_consumer(9).map_err(|e| e.to_string())?;
    let offsets = consumer.committed(&sources, LONG).map_err(|e| e.to_string())?;
    for (tp, offset) in sources.iter().zip(offsets) {
        writeln!(text, "{APPLICATION} has processed {tp} up to {offset:?}").expect("memory");
    }
    Ok(text)
}

pub fn letters(log: &dyn Log) -> String {
    let mut text = String::new();
    for read in read(log, LETTERS, Isolation::Committed) {
        let shown = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.expect("bytes")).into_owned();
        writeln!(text, "{}\n{}", shown(read.key.as_deref()), shown(read.value.as_deref())).expect("memory");
        for (name, value) in &read.headers {
            writeln!(text, "  {name}: {}", shown(value.as_deref())).expect("memory");
        }
    }
    text
}

fn end(producer: &mut dyn Producer, commit: bool) {
    let mut end = || if commit { producer.commit(LONG) } else { producer.abort(LONG) };
    while end().expect("ended") == Ended::Pending {}
}

/// Transactions on a topic beside the application's: committed, aborted, committed again, and one that nobody ends.
fn write_side(log: &EmbeddedLog) {
    let mut producer = log.producer("side").expect("a producer");
    producer.init(LONG).expect("begun");
    let mut write = |texts: &[&str], outcome: Option<bool>| {
        producer.begin().expect("begun");
        for (n, text) in texts.iter().enumerate() {
            producer.send(&outgoing(&Line::new(SIDE, &format!("key {n}"), text).at(n as i32))).expect("room");
        }
        // What lingers in a producer would go with an abort, and leave no trace.
        wait_until(LONG, "what lingers to be written", || {
            let there = read(log, SIDE, Isolation::Uncommitted);
            let is_there = |text: &&str| there.iter().any(|read| read.value.as_deref() == Some(text.as_bytes()));
            texts.iter().all(is_there).then_some(())
        });
        outcome.into_iter().for_each(|commit| end(producer.as_mut(), commit));
    };
    write(&["committed 0", "committed 1"], Some(true));
    write(&["aborted 0", "aborted 1"], Some(false));
    write(&["committed after"], Some(true));
    write(&["open 0", "open 1"], None);
}

fn pack(dir: &Path, name: &str, into: &Path) {
    // RocksDB's own diaries tell of the machine, and nothing of the state.
    let status = Command::new("tar")
        .args([
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--sort=name",
            "--exclude=LOG",
            "--exclude=LOG.old.*",
            "-czf",
        ])
        .arg(into.join(format!("{name}.tar.gz")))
        .args(["-C".as_ref(), dir.as_os_str(), "state".as_ref(), "log".as_ref()])
        .status();
    assert!(status.expect("tar").success());
}

/// Writes fixtures of this version's forms. Those of `state-v1` stay: when a form changes, its successor goes beside them.
///
/// ```text
/// INTO=fixtures/state-v2 cargo test --release --test old_state -- --ignored --exact record::write_fixtures
/// ```
#[test]
#[ignore = "writes fixtures of a new version; those that are there must stay"]
fn write_fixtures() {
    let into = std::env::var("INTO").expect("INTO: a directory that is not there yet, such as fixtures/state-v2");
    let into = Path::new(env!("CARGO_MANIFEST_DIR")).join(into);
    fs::create_dir(&into).unwrap_or_else(|e| panic!("{}: {e}: fixtures are never written again", into.display()));

    let dir = Dir::new("old-state-new");
    let [first, second] = parts();
    {
        let log = open_log(dir.path());
        for (topic, partitions) in [(CUSTOMERS, 2), (VISITS, 1), (OUT, 2), (VISITS_OUT, 1), (LETTERS, 1), (SIDE, 2)] {
            log.admin().create(topic, partitions, &[]).expect("a topic");
        }
        append(&log, &first);
    }
    run_through(TOPOLOGY, dir.path());
    {
        let log = open_log(dir.path());
        log.clean().expect("compacted");
        append(&log, &second);
    }
    run_through(TOPOLOGY, dir.path());
    check_outputs(dir.path(), "as recorded");
    {
        let log = open_log(dir.path());
        write_side(&log);
        // Half of it compacted, half not.
        fs::write(into.join("changelogs.txt"), changelogs_text(&log)).expect("written");
        fs::write(into.join("log.txt"), log_text(&log)).expect("written");
        fs::write(into.join("dead-letters.txt"), letters(&log)).expect("written");
    }
    pack(dir.path(), "stopped", &into);
    // Opened only now: opening changes files.
    fs::write(into.join("stores.txt"), stores_text(&stores(dir.path()))).expect("written");

    // The same, at work, and killed inside a transaction.
    let mut lottery = Lottery(0x5eed);
    for round in 0u64.. {
        {
            let log = open_log(dir.path());
            let row = |id: u64| serde_json::json!({ "id": id, "email": format!("k{id}@example.com"), "full_name": "Kim Kill", "n": round });
            let lsn = 70_000_000 + round * 10_000;
            let more = (0..400).map(|n| change(CUSTOMERS, &row(n % 60), Some(lsn), lsn + 1 + n, (n % 2) as i32));
            append(&log, &more.collect::<Vec<_>>());
        }
        let mut highwater = spawn(TOPOLOGY, dir.path());
        highwater.wait_for_log("running worker=");
        std::thread::sleep(Duration::from_micros(lottery.next(70_000)));
        highwater.sigkill();
        let copy = Dir::new("old-state-look");
        assert!(Command::new("cp").arg("-a").arg(dir.join("log")).arg(copy.path()).status().expect("cp").success());
        let log = open_log(copy.path());
        let consumer = log.group_consumer(9).expect("a consumer");
        if partitions(&log, OUT)
            .iter()
            .any(|tp| consumer.heard(tp).expect("bounds").end < log.admin().bounds(tp).expect("bounds").end)
        {
            break;
        }
    }
    pack(dir.path(), "killed", &into);
}
