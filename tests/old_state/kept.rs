//! This version opens what it finds and goes on: replays are stale, rows right, epochs and digest keys kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use highwater::engine::changelog::refusal;
use highwater::log::{Isolation, Log as _};
use highwater::record::position::Epochs;
use highwater::store::restore::{Changelog, Restore};
use highwater::store::{Checkpoint, Database, layout};

use crate::FROZEN;
use crate::application::*;
use crate::record::{changelogs, letters, log_text, stores, stores_text, unhex};

pub fn fixture(name: &str) -> String {
    let path = format!("{}/fixtures/state-v1/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// What `stores.txt` says, by store.
pub fn kept_stores() -> BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut kept: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>> = BTreeMap::new();
    for line in fixture("stores.txt").lines() {
        let [store, key, value] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        kept.entry(store.into()).or_default().insert(unhex(key), unhex(value));
    }
    kept
}

/// Without what says how far the store is.
pub fn data(stores: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>) -> BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>> {
    let data = |mut store: BTreeMap<Vec<u8>, Vec<u8>>| {
        store.remove(layout::CHECKPOINT);
        store.remove(layout::MARK);
        store
    };
    stores.into_iter().map(|(name, store)| (name, data(store))).collect()
}

fn meta(stores: &BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>, key: &[u8]) -> BTreeMap<String, Vec<u8>> {
    stores.iter().map(|(name, store)| (name.clone(), store.get(key).expect("a meta key").clone())).collect()
}

/// The checkpoints of a fixture grow old, and one older than the changelog keeps deletes is not gone on from. As if the
/// application had stopped a moment ago.
pub fn stopped_just_now(dir: &Path) {
    let database = Database::open(&dir.join("state/stores"), 8 << 20).expect("stores");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis() as i64;
    for name in database.found() {
        let store = database.partition(&name).expect("a store");
        let checkpoint = store.checkpoint().expect("a form that is known").expect("a checkpoint");
        store.write(Vec::new(), &Checkpoint { at_ms: now, ..checkpoint }, None).expect("written");
    }
}

#[test]
fn stores_hold_what_they_held() {
    let dir = unpacked("stopped");
    assert_eq!(stores_text(&stores(dir.path())), fixture("stores.txt"), "{FROZEN}");
    let kept = kept_stores();
    assert_eq!(kept.len(), 3, "two partitions of customers, one of visits");
    assert!(kept.values().all(|store| store.len() > 3), "{:?}", kept.keys());
}

#[test]
fn a_stopped_application_goes_on() {
    let dir = unpacked("stopped");
    stopped_just_now(dir.path());
    let before = stores(dir.path());
    again_and_more(&open_log(dir.path()));
    let log = run_through(TOPOLOGY, dir.path());
    assert!(!log.contains("rebuilding it") && !log.contains("damaged"), "the stores were not gone on from:\n{log}");
    check_outputs(dir.path(), "everything again, and more");
    let after = stores(dir.path());
    assert_eq!(meta(&before, layout::DIGEST_KEY), meta(&after, layout::DIGEST_KEY));
    for (name, bytes) in meta(&before, layout::EPOCHS) {
        let epochs = |bytes: &[u8]| Epochs::decode(bytes).unwrap_or_else(|| panic!("{name}: {FROZEN}"));
        let (before, after) = (epochs(&bytes), epochs(&after[&name][layout::EPOCHS]));
        assert!(after.evaluated_to() > before.evaluated_to(), "{name}");
        assert_eq!(after.base(), before.base(), "{name}: no topic was made again");
    }
    // And once more from there.
    let log = run_through(TOPOLOGY, dir.path());
    assert!(!log.contains("rebuilding it"), "{log}");
    check_outputs(dir.path(), "another start");
}

/// Its checkpoint is behind its changelog by whatever the kill took from memory; by the time this runs it is also too old.
#[test]
fn a_killed_application_goes_on() {
    let dir = unpacked("killed");
    {
        let log = open_log(dir.path());
        let torn = partitions(&log, OUT).iter().any(|tp| {
            let consumer = log.group_consumer(9).expect("a consumer");
            consumer.heard(tp).expect("bounds").end < log.admin().bounds(tp).expect("bounds").end
        });
        // Its transaction has outlived its timeout by now: what it wrote was aborted when the log was opened.
        let (seen, written) = (read(&log, OUT, Isolation::Committed), read(&log, OUT, Isolation::Uncommitted));
        assert!(torn || written.len() > seen.len(), "it was killed inside a transaction");
    }
    run_through(TOPOLOGY, dir.path());
    check_outputs(dir.path(), "after the kill");
    again_and_more(&open_log(dir.path()));
    run_through(TOPOLOGY, dir.path());
    check_outputs(dir.path(), "after the kill, everything again, and more");
}

#[test]
fn a_killed_application_goes_on_from_its_stores() {
    let dir = unpacked("killed");
    stopped_just_now(dir.path());
    again_and_more(&open_log(dir.path()));
    let log = run_through(TOPOLOGY, dir.path());
    assert!(!log.contains("rebuilding it"), "{log}");
    says(&log, &["restored"]);
    check_outputs(dir.path(), "the tail of the changelog, everything again, and more");
}

/// An empty store that replays the changelog is the store that was lost.
#[test]
fn a_changelog_restores_its_store() {
    let dir = unpacked("stopped");
    fs::remove_dir_all(dir.join("state/stores")).expect("stores");
    let log = run_through(TOPOLOGY, dir.path());
    says(&log, &["restored"]);
    assert_eq!(stores_text(&data(stores(dir.path()))), stores_text(&data(kept_stores())), "{FROZEN}");
    check_outputs(dir.path(), "after the restore");
}

/// The same from the records alone, as any log would hand them over.
#[test]
fn records_of_a_changelog_restore_a_store() {
    let text = fixture("changelogs.txt");
    let dir = crate::support::Dir::new("old-state-records");
    let kept = data(kept_stores());
    {
        let database = Database::open(&dir.join("state/stores"), 8 << 20).expect("stores");
        for (changelog, records) in changelogs(&text) {
            let store =
                changelog.replacen("old-state-customers-", "customers/", 1).replacen("old-state-visits-", "visits/", 1);
            let store = database.partition(&store.replace("-changelog-", "-")).expect("a store");
            let end = records.last().expect("records").0 + 1;
            let log = Changelog { topic_id: [1; 16], start: 0, end, delete_retention: LONG };
            let now = std::time::Instant::now();
            let mut restore = Restore::new(log, 0, now);
            for (offset, key, value) in records {
                assert_eq!(refusal(Some(&key), value.as_deref()), None, "{changelog}@{offset}: {FROZEN}");
                restore
                    .feed(&store, offset, &key, value.as_deref(), (now, 0), &|| None)
                    .unwrap_or_else(|e| panic!("{e}: {FROZEN}"));
            }
            assert!(restore.ended(&store, end, 0, &|| None).expect("written"));
        }
    }
    assert_eq!(stores_text(&data(stores(dir.path()))), stores_text(&kept), "{FROZEN}");
}

/// Every record of every topic, what readers of committed records see and what lies there; offsets; dead letters.
#[test]
fn an_embedded_log_is_read_back() {
    let dir = unpacked("stopped");
    let log = open_log(dir.path());
    assert_eq!(log_text(&log), fixture("log.txt"), "{FROZEN}");
    assert_eq!(letters(&log), fixture("dead-letters.txt"), "{FROZEN}");
    let text = |isolation| -> Vec<String> {
        let value = |value: Option<Vec<u8>>| String::from_utf8(value.expect("a value")).expect("text");
        read(&log, SIDE, isolation).into_iter().map(|read| value(read.value)).collect()
    };
    assert_eq!(text(Isolation::Committed), ["committed 0", "committed after", "committed 1"]);
    let all = text(Isolation::Uncommitted);
    assert!(all.iter().any(|t| t == "aborted 0") && all.iter().any(|t| t == "open 0"), "{all:?}");
}

/// It is written to again: a new producer of an old id ends what the old one left.
#[test]
fn a_producer_of_an_old_log_begins_anew() {
    let dir = unpacked("stopped");
    let log = open_log(dir.path());
    let mut producer = log.producer("side").expect("a producer");
    producer.init(LONG).expect("begun");
    producer.begin().expect("begun");
    producer.send(&outgoing(&crate::support::Line::new(SIDE, "k", "committed later").at(0))).expect("room");
    while producer.commit(LONG).expect("committed") == highwater::log::Ended::Pending {}
    let reads = read(&log, SIDE, Isolation::Committed);
    let last = reads.iter().rfind(|read| read.partition == 0).expect("a record");
    assert_eq!(last.value.as_deref(), Some(&b"committed later"[..]));
    assert!(!reads.iter().any(|read| read.value.as_deref() == Some(b"open 0")));
}
