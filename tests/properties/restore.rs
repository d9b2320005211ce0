//! A store that was restored is the one that was lost, from wherever the restore began, on RocksDB and in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use highwater::store::restore::{Changelog, Mark, Plan, Restore, plan};
use highwater::store::{Checkpoint, Database, Partition, Store, layout};
use proptest::prelude::*;

use crate::fuzz::Memory;
use crate::support::Dir;

type Bytes = BTreeMap<Vec<u8>, Vec<u8>>;

/// A record of a changelog: its offset, its key, its value or that it is gone.
type Line = (i64, Vec<u8>, Option<Vec<u8>>);

const TOPIC: [u8; 16] = [7; 16];
const HOUR: i64 = 3_600_000;
const RETENTION: Duration = Duration::from_millis(24 * HOUR as u64);

/// So many transactions, each of so many writes to so many keys, one in `gone` of them a delete.
#[derive(Debug, Clone)]
struct Writes {
    transactions: u8,
    writes: u16,
    keys: u16,
    gone: u16,
}

fn writes() -> impl Strategy<Value = Vec<Writes>> {
    // Batches of a restore hold 5,000 records: some changelogs are longer.
    let writes = prop_oneof![3 => 1..20u16, 1 => 100..900u16];
    let keys = prop_oneof![3 => 1..60u16, 1 => 300..2000u16];
    let some = (1..5u8, writes, keys, 2..6u16);
    let some = some.prop_map(|(transactions, writes, keys, gone)| Writes { transactions, writes, keys, gone });
    proptest::collection::vec(some, 1..5)
}

/// The transactions' records, each followed by its marker.
fn changelog(writes: &[Writes]) -> Vec<Vec<Line>> {
    let (mut offset, mut turn) = (0, 1u64);
    let mut transactions = Vec::new();
    for Writes { transactions: count, writes, keys, gone } in writes {
        for _ in 0..*count {
            let mut lines = Vec::new();
            let mut written = std::collections::BTreeSet::new();
            for _ in 0..*writes {
                turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let number = (turn >> 33) as u16 % keys;
                // A transaction writes a key once.
                if !written.insert(number) {
                    continue;
                }
                let key = match number {
                    0 => layout::EPOCHS.to_vec(),
                    1 => layout::DIGEST_KEY.to_vec(),
                    number => layout::data_key(&u128::from(number).to_be_bytes()).to_vec(),
                };
                let is_gone = number > 1 && ((turn >> 50) as u16).is_multiple_of(*gone);
                lines.push((offset, key, (!is_gone).then(|| turn.to_be_bytes().to_vec())));
                offset += 1;
            }
            transactions.push(lines);
            offset += 1;
        }
    }
    transactions
}

/// Value by key after all of it.
fn truth<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Bytes {
    let mut bytes = Bytes::new();
    for (_, key, value) in lines {
        match value {
            Some(value) => bytes.insert(key.clone(), value.clone()),
            None => bytes.remove(key),
        };
    }
    bytes
}

fn held(partition: &Partition) -> Bytes {
    let mut held: Bytes = partition.scan().expect("a store that answers").into_iter().collect();
    held.remove(layout::CHECKPOINT);
    held.remove(layout::MARK);
    held
}

/// As a broker compacts the part below `to`: of each key the last record, and deletes as long as they are kept.
fn compacted(lines: &[Line], to: i64, keeps_deletes: bool) -> Vec<Line> {
    let last: BTreeMap<&Vec<u8>, i64> = lines.iter().map(|(offset, key, _)| (key, *offset)).collect();
    let stays =
        |(offset, key, value): &&Line| *offset >= to || (last[key] == *offset && (keeps_deletes || value.is_some()));
    lines.iter().filter(stays).cloned().collect()
}

/// Brings a store up as an opening task does. It dies after so many records, where it does.
fn restore(partition: &mut Partition, lines: &[Line], end: i64, now_ms: i64, dies_after: Option<usize>) -> Plan {
    let log = Changelog { topic_id: TOPIC, start: 0, end, delete_retention: RETENTION };
    let plan = plan(partition.checkpoint().expect("a store that answers"), &log, now_ms);
    if !matches!(plan, Plan::Tail { .. }) {
        partition.wipe().expect("a store that answers");
    }
    let now = (Instant::now(), now_ms);
    let mut restore = Restore::new(log, plan.from(), now.0);
    let no_mark: Mark<'_> = &|| None;
    let tail: Vec<&Line> = lines.iter().filter(|(offset, ..)| *offset >= plan.from()).collect();
    for (offset, key, value) in tail.iter().take(dies_after.unwrap_or(usize::MAX)) {
        restore.feed(partition, *offset, key, value.as_deref(), now, no_mark).expect("a store that takes it");
    }
    if dies_after.is_none_or(|count| count >= tail.len()) {
        // An end met too early is not the end.
        if let Some(early) = end.checked_sub(1).filter(|early| *early >= plan.from()) {
            assert!(!restore.ended(partition, early, now_ms, no_mark).expect("a store that answers"));
        }
        assert!(restore.ended(partition, end, now_ms, no_mark).expect("a store that takes it"));
    }
    plan
}

/// What a case goes through.
#[derive(Debug, Clone)]
struct Case {
    writes: Vec<Writes>,
    /// How many transactions this process commits and applies, before it dies.
    applied: prop::sample::Index,
    /// How many of these its disk still has.
    kept: prop::sample::Index,
    /// After how many records its restores die, one after the other.
    deaths: Vec<u16>,
    /// How far the changelog is compacted before the last restore, and how many hours later that is.
    compacted: prop::sample::Index,
    hours: i64,
}

fn case() -> impl Strategy<Value = Case> {
    let index = any::<prop::sample::Index>;
    let deaths = proptest::collection::vec(prop_oneof![1..50u16, 1000..5000u16], 0..3);
    (writes(), index(), index(), deaths, index(), 0..48i64).prop_map(
        |(writes, applied, kept, deaths, compacted, hours)| Case { writes, applied, kept, deaths, compacted, hours },
    )
}

/// Where stores lie, and what a crash leaves of them.
trait Disk {
    fn open(&self) -> Arc<Database>;
    /// What is written by now will be there.
    fn save(&mut self, partition: &Partition);
    /// As it was when it was saved.
    fn crash(&mut self, database: Arc<Database>);
}

/// Files that are copied while they are open: what was not flushed is in none of them.
struct Rocks {
    dir: Dir,
    lives: u32,
}

impl Rocks {
    fn path(&self, life: u32) -> std::path::PathBuf {
        self.dir.join(&life.to_string())
    }
}

impl Disk for Rocks {
    fn open(&self) -> Arc<Database> {
        Database::open(&self.path(self.lives), 8 << 20).expect("a database")
    }

    fn save(&mut self, partition: &Partition) {
        partition.flush(true).expect("room on the disk");
    }

    fn crash(&mut self, database: Arc<Database>) {
        let (old, new) = (self.path(self.lives), self.path(self.lives + 1));
        copy(&old, &new);
        drop(database);
        fs::remove_dir_all(old).expect("it is there");
        self.lives += 1;
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("room on the disk");
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("an entry");
        // The lock is the process's own.
        if entry.file_name() != "LOCK" {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("room on the disk");
        }
    }
}

/// Stores in memory, saved as their bytes.
#[derive(Default)]
struct Ram {
    saved: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Disk for Ram {
    fn open(&self) -> Arc<Database> {
        let memory = Memory::default();
        let puts: Vec<_> = self.saved.iter().map(|(key, value)| (&**key, Some(&**value))).collect();
        highwater::store::database::Files::write(&memory, NAME, &puts).expect("memory takes it");
        Database::over(Box::new(memory), 0)
    }

    fn save(&mut self, partition: &Partition) {
        self.saved = partition.scan().expect("memory answers");
    }

    fn crash(&mut self, _: Arc<Database>) {}
}

const NAME: &str = "people/in-0";

fn check(case: &Case, disk: &mut impl Disk) -> Result<(), TestCaseError> {
    let transactions = changelog(&case.writes);
    let lines: Vec<Line> = transactions.concat();
    let end = lines.last().map_or(0, |(offset, ..)| offset + 2);
    let want = truth(&lines);

    // A process commits, applies, and dies; its disk has some of what it applied.
    let applied = case.applied.index(transactions.len() + 1);
    let kept = case.kept.index(applied + 1);
    let database = disk.open();
    let mut store = Store::new(database.partition(NAME).expect("nobody else has it"));
    for (count, transaction) in (1..).zip(transactions.iter().take(applied)) {
        transaction.iter().for_each(|(_, key, value)| store.stage(key, value.as_deref()));
        let mut staged: Vec<_> = store.staged().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
        staged.sort();
        let mut sorted: Vec<_> = transaction.iter().map(|(_, key, value)| (key.clone(), value.clone())).collect();
        sorted.sort();
        prop_assert_eq!(staged, sorted, "what the changelog gets");
        let offset = transaction.last().map_or(0, |(offset, ..)| *offset);
        let mark = Some(offset.to_string().into_bytes());
        store.apply(&Checkpoint { topic_id: TOPIC, offset, at_ms: 0 }, mark).expect("a store that takes it");
        if count == kept {
            store.write().expect("a store that takes it");
            disk.save(store.partition());
        }
    }
    store.write().expect("a store that takes it");
    prop_assert_eq!(held(store.partition()), truth(transactions.iter().take(applied).flatten()));
    drop(store);
    disk.crash(database);

    // Restores that die as well.
    for dies_after in &case.deaths {
        let database = disk.open();
        let mut partition = database.partition(NAME).expect("nobody else has it");
        restore(&mut partition, &lines, end, 0, Some((*dies_after).into()));
        disk.save(&partition);
        drop(partition);
        disk.crash(database);
    }

    // The last one, maybe days later, over what compaction has left.
    let now_ms = case.hours * HOUR;
    let database = disk.open();
    let mut partition = database.partition(NAME).expect("nobody else has it");
    let before = partition.checkpoint().expect("a store that answers");
    let to = case.compacted.index(end as usize + 1) as i64;
    let left = compacted(&lines, to, now_ms <= RETENTION.as_millis() as i64);
    let plan = restore(&mut partition, &left, end, now_ms, None);
    match (&plan, before) {
        (Plan::Tail { from }, Some(before)) => prop_assert_eq!(*from, before.offset + 1),
        (Plan::Fresh { .. }, None) => {}
        // Deletes that it has not seen may be gone.
        (Plan::Rebuild { .. }, Some(before)) => prop_assert!(case.hours > 24 && before.offset + 1 < end),
        (plan, before) => prop_assert!(false, "{:?} with {:?}", plan, before),
    }
    prop_assert_eq!(held(&partition), want, "after {:?}", plan);
    // All of it is there, and it knows so.
    let checkpoint = partition.checkpoint().expect("a store that answers").map(|held| held.offset);
    let had = before.filter(|_| matches!(plan, Plan::Tail { .. })).map(|before| before.offset);
    let last = left.last().map(|(offset, ..)| *offset).max(had);
    prop_assert_eq!(checkpoint, last);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_restored_store_is_the_one_that_was_lost(case in case()) {
        check(&case, &mut Ram::default())?;
    }
}

proptest! {
    // Each opens a few databases.
    #![proptest_config(ProptestConfig { max_shrink_iters: 60, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn a_restored_store_is_the_one_that_was_lost_on_rocksdb(case in case()) {
        check(&case, &mut Rocks { dir: Dir::new("restore"), lives: 0 })?;
    }
}
