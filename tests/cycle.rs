//! The commit cycle against a log that fails on demand: at every call, in every way, and what comes out is exactly once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use highwater::engine::catalog::Catalog;
use highwater::engine::clock::Clock;
use highwater::engine::shared::Shared;
use highwater::engine::worker::{Status, Worker};
use highwater::log::*;
use highwater::record::{NoHeaders, Record};
use highwater::store::Database;
use highwater::telemetry::metrics::Known;
use highwater::telemetry::{Health, Metrics};
use highwater::topology::{Mode, Topology};

const IN: &str = "in";
const LOG: &str = "app-rows-in-changelog";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing was decided, and the group moved on.
    Rejoin,
    /// As above, and another owner did the same work meanwhile.
    RejoinDoneByAnother,
    /// Unknown, and it was not committed.
    UnknownAborted,
    /// Unknown, and it was.
    UnknownCommitted,
    /// Only a person can help; then it is started again.
    Stop,
    /// Done, and the producer may not be used again.
    Doubtful,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Blow {
    Offsets(usize, Fault),
    Commit(usize, Fault),
    /// At this poll a partition goes, and comes back later.
    Revoke(usize, bool),
    /// A clean stop after so many steps, and a start.
    Halt(usize),
    None,
}

/// A changelog record: key and value.
type Written = (Vec<u8>, Option<Vec<u8>>);

#[derive(Default)]
struct World {
    source: [Vec<(String, String)>; 2],
    committed: BTreeMap<i32, i64>,
    out: Vec<(String, String)>,
    /// The changelog: None is an aborted record or a marker.
    log: [Vec<Option<Written>>; 2],
    open: Option<Txn>,
    producer: u64,
    calls: [usize; 3],
    blow: Option<Blow>,
    fetch: BTreeMap<i32, (i64, bool)>,
    lost: bool,
    back: Option<usize>,
    joined: bool,
    old: Vec<(i32, i64)>,
    keyless: bool,
}

#[derive(Default)]
struct Txn {
    out: Vec<(String, String)>,
    log: Vec<(usize, i64)>,
    offsets: Vec<(i32, i64)>,
}

impl World {
    fn end(&mut self, commit: bool) {
        let Some(txn) = self.open.take() else { return };
        for partition in txn.log.iter().map(|(p, _)| *p).collect::<BTreeSet<_>>() {
            self.log[partition].push(None);
        }
        if commit {
            assert!(!txn.offsets.is_empty(), "a transaction without offsets");
            self.out.extend(txn.out);
            self.committed.extend(txn.offsets);
        } else {
            txn.log.iter().for_each(|(p, at)| self.log[*p][*at as usize] = None);
        }
    }

    /// Another owner wrote what the open transaction has, and committed it.
    fn done_by_another(&mut self, offsets: &[(i32, i64)]) {
        let Some(txn) = self.open.as_ref() else { return };
        let out = txn.out.clone();
        for (p, at) in txn.log.clone() {
            let record = self.log[p][at as usize].clone();
            self.log[p].push(record);
        }
        self.out.extend(out);
        self.committed.extend(offsets.iter().copied());
    }

    fn fault(&mut self, call: usize) -> Option<Fault> {
        self.calls[call] += 1;
        let n = self.calls[call] - 1;
        match self.blow {
            Some(Blow::Offsets(at, fault)) if call == 0 && at == n => Some(fault),
            Some(Blow::Commit(at, fault)) if call == 1 && at == n => Some(fault),
            _ => None,
        }
    }
}

fn fail(fault: Fault) -> LogError {
    match fault {
        Fault::Rejoin | Fault::RejoinDoneByAnother => LogError::Rejoin("fault".into()),
        Fault::UnknownAborted | Fault::UnknownCommitted => LogError::Restore("fault".into()),
        Fault::Stop | Fault::Doubtful => LogError::Stop("fault".into()),
    }
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<World>>);

struct FakeProducer {
    world: Fake,
    id: u64,
    spent: bool,
    acked: BTreeMap<usize, i64>,
}

impl Log for Fake {
    fn admin(&self) -> &dyn Admin {
        self
    }
    fn group_consumer(&self, _: usize) -> Result<Box<dyn GroupConsumer>> {
        Ok(Box::new(self.clone()))
    }
    fn as_client(&self, _: Client) -> Result<Arc<dyn Log>> {
        Ok(Arc::new(self.clone()))
    }
    fn appender(&self) -> Result<Box<dyn Appender>> {
        unreachable!("the engine writes in transactions")
    }
    fn producer(&self, _: &str) -> Result<Box<dyn Producer>> {
        let mut w = self.0.lock().unwrap();
        w.producer += 1;
        Ok(Box::new(FakeProducer { world: self.clone(), id: w.producer, spent: false, acked: BTreeMap::new() }))
    }
    fn reader(&self, _: usize, _: Isolation) -> Result<Box<dyn Reader>> {
        Ok(Box::new(FakeReader { world: self.clone(), at: BTreeMap::new(), half: BTreeSet::new() }))
    }
}

impl Admin for Fake {
    fn topics(&self) -> Result<Vec<String>> {
        Ok(vec![IN.into(), "out".into(), LOG.into()])
    }
    fn describe(&self, _: &str) -> Result<Option<TopicInfo>> {
        let delete_retention = Duration::from_secs(86_400);
        Ok(Some(TopicInfo {
            id: [7; 16],
            partitions: 2,
            compacted_only: true,
            max_message_bytes: 1 << 20,
            delete_retention,
        }))
    }
    fn create(&self, _: &str, _: i32, _: &[(&str, &str)]) -> Result<()> {
        Ok(())
    }
    fn delete(&self, _: &str) -> Result<()> {
        Ok(())
    }
    fn bounds(&self, tp: &TopicPartition) -> Result<Bounds> {
        let w = self.0.lock().unwrap();
        let p = tp.partition as usize;
        let end = if &*tp.topic == IN { w.source[p].len() } else { w.log[p].len() };
        Ok(Bounds { start: 0, end: end as i64 })
    }
    fn creation_hint(&self, _: &str, _: i32) -> Option<String> {
        Some(String::new())
    }
    fn reset_hint(&self, _: &TopicPartition, _: &str) -> String {
        String::new()
    }
    fn deletion_hint(&self, _: &str) -> String {
        String::new()
    }
    fn hanging_hint(&self, _: &TopicPartition) -> String {
        String::new()
    }
}

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new(IN, partition)
}

impl Fake {
    fn due(&self) -> Vec<Event> {
        let mut w = self.0.lock().unwrap();
        if !w.joined {
            w.joined = true;
            return vec![Event::Assigned(vec![tp(0), tp(1)])];
        }
        w.calls[2] += 1;
        let n = w.calls[2];
        if let Some(Blow::Revoke(at, lost)) = w.blow
            && at == n
        {
            w.lost = lost;
            w.back = Some(n + 5);
            return vec![Event::Revoked { partitions: vec![tp(1)], lost }];
        }
        if w.back.is_some_and(|at| n >= at) && !w.fetch.contains_key(&1) {
            w.back = None;
            return vec![Event::Assigned(vec![tp(1)])];
        }
        Vec::new()
    }

    /// What stays is somewhere else after a rebalance.
    fn shake(&self) {
        self.0.lock().unwrap().fetch.values_mut().for_each(|(at, _)| *at += 1);
    }
}

impl GroupConsumer for Fake {
    fn subscribe(&mut self, _: &[String]) -> Result<()> {
        Ok(())
    }
    fn poll(&mut self, _: usize, _: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event> {
        let events = self.due();
        if !events.is_empty() {
            return events;
        }
        let mut fetched = Vec::new();
        {
            let mut w = self.0.lock().unwrap();
            let World { fetch, source, old, .. } = &mut *w;
            for (p, at) in old.drain(..).filter(|(p, _)| fetch.contains_key(p)) {
                let (key, value) = source[p as usize][at as usize].clone();
                fetched.push((p, at, key, value));
            }
            for (p, (at, paused)) in fetch.iter_mut().filter(|(_, (_, paused))| !paused) {
                let _ = paused;
                for _ in 0..2 {
                    let Some((key, value)) = source[*p as usize].get(*at as usize) else { break };
                    fetched.push((*p, *at, key.clone(), value.clone()));
                    *at += 1;
                }
            }
        }
        for (partition, offset, key, value) in fetched {
            let keyless = self.0.lock().unwrap().keyless;
            let (key, value) = ((!keyless).then_some(key.as_bytes()), Some(value.as_bytes()));
            visit(&Record { topic: IN, partition, offset, timestamp: None, key, value, headers: &NoHeaders });
        }
        Vec::new()
    }
    fn serve(&mut self) -> Vec<Event> {
        Vec::new()
    }
    fn take(&mut self, tps: &[TopicPartition]) -> Result<()> {
        self.shake();
        let mut w = self.0.lock().unwrap();
        w.fetch.extend(tps.iter().map(|tp| (tp.partition, (0, true))));
        Ok(())
    }
    fn release(&mut self, tps: &[TopicPartition]) -> Result<()> {
        let mut w = self.0.lock().unwrap();
        w.lost = false;
        w.fetch.retain(|partition, _| tps.iter().all(|tp| tp.partition != *partition));
        drop(w);
        self.shake();
        Ok(())
    }
    fn pause(&mut self, tps: &[TopicPartition]) -> Result<()> {
        let mut w = self.0.lock().unwrap();
        tps.iter().for_each(|tp| w.fetch.get_mut(&tp.partition).expect("assigned").1 = true);
        Ok(())
    }
    fn resume_at(&mut self, tp: &TopicPartition, offset: i64) -> Result<()> {
        let mut w = self.0.lock().unwrap();
        *w.fetch.get_mut(&tp.partition).expect("assigned") = (offset, false);
        // Fetched before the seek, and still under way.
        w.old.extend(offset.checked_sub(1).filter(|old| *old >= 0).map(|old| (tp.partition, old)));
        Ok(())
    }
    fn committed(&mut self, tps: &[TopicPartition], _: Duration) -> Result<Vec<Option<i64>>> {
        let w = self.0.lock().unwrap();
        Ok(tps.iter().map(|tp| w.committed.get(&tp.partition).copied()).collect())
    }
    fn membership(&mut self) -> Result<Membership> {
        match self.0.lock().unwrap().lost {
            true => Err(LogError::Rejoin("lost".into())),
            false => Ok(Membership { group: "app".into(), member: "m".into(), generation: 1, instance: None }),
        }
    }
    fn heard(&self, _: &TopicPartition) -> Option<Bounds> {
        None
    }
    fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        BTreeMap::new()
    }
    fn leave(&mut self) {
        let mut w = self.0.lock().unwrap();
        w.joined = false;
        w.fetch.clear();
    }
}

struct FakeReader {
    world: Fake,
    at: BTreeMap<i32, i64>,
    half: BTreeSet<i32>,
}

impl Reader for FakeReader {
    fn start(&mut self, tp: &TopicPartition, offset: i64) -> Result<()> {
        self.at.insert(tp.partition, offset);
        Ok(())
    }
    fn stop(&mut self, tp: &TopicPartition) -> Result<()> {
        self.at.remove(&tp.partition);
        self.half.remove(&tp.partition);
        Ok(())
    }
    fn poll(&mut self, _: usize, _: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event> {
        let w = self.world.0.lock().unwrap();
        let mut events = Vec::new();
        for (p, at) in &mut self.at {
            let log = &w.log[*p as usize];
            // The first end is only the last stable offset: half of what is left, until somebody's transaction ends.
            let from = *at as usize;
            let stable = if self.half.insert(*p) { from + (log.len() - from) / 2 } else { log.len() };
            for (offset, slot) in log.iter().enumerate().take(stable).skip(from) {
                if let Some((key, value)) = slot {
                    let (key, value, offset) = (Some(&key[..]), value.as_deref(), offset as i64);
                    visit(&Record {
                        topic: LOG,
                        partition: *p,
                        offset,
                        timestamp: None,
                        key,
                        value,
                        headers: &NoHeaders,
                    });
                }
            }
            *at = stable as i64;
            events.push(Event::End { tp: TopicPartition::new(LOG, *p), offset: *at });
        }
        events
    }
}

impl FakeProducer {
    fn failed(&mut self, fault: Fault, w: &mut World) -> LogError {
        match fault {
            Fault::UnknownAborted => w.end(false),
            Fault::UnknownCommitted => w.end(true),
            _ => {}
        }
        self.spent = matches!(fault, Fault::UnknownAborted | Fault::UnknownCommitted);
        fail(fault)
    }
}

impl Producer for FakeProducer {
    fn init(&mut self, _: Duration) -> Result<()> {
        self.world.0.lock().unwrap().end(false);
        Ok(())
    }
    fn begin(&mut self) -> Result<()> {
        assert!(!self.spent, "a producer whose outcome is unknown begins again");
        let mut w = self.world.0.lock().unwrap();
        assert!(w.open.is_none() && w.producer == self.id);
        w.open = Some(Txn::default());
        Ok(())
    }
    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent> {
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("text");
        let mut w = self.world.0.lock().unwrap();
        match record.partition {
            None => {
                let row = (text(record.key), text(record.value));
                w.open.as_mut().expect("open").out.push(row);
            }
            Some(p) => {
                let p = p as usize;
                w.log[p].push(Some((record.key.unwrap_or_default().to_vec(), record.value.map(<[u8]>::to_vec))));
                let at = w.log[p].len() as i64 - 1;
                w.open.as_mut().expect("open").log.push((p, at));
                self.acked.insert(p, at);
            }
        }
        Ok(Sent::Queued)
    }
    fn send_offsets(&mut self, offsets: &[(TopicPartition, i64)], _: &Membership, _: Duration) -> Result<()> {
        let world = self.world.clone();
        let mut w = world.0.lock().unwrap();
        let offsets: Vec<(i32, i64)> = offsets.iter().map(|(tp, at)| (tp.partition, *at)).collect();
        match w.fault(0) {
            Some(Fault::UnknownCommitted) | None => {}
            Some(fault) => {
                if fault == Fault::RejoinDoneByAnother {
                    w.done_by_another(&offsets);
                }
                return Err(self.failed(fault, &mut w));
            }
        }
        w.open.as_mut().expect("open").offsets = offsets;
        Ok(())
    }
    fn commit(&mut self, _: Duration) -> Result<Ended> {
        let world = self.world.clone();
        let mut w = world.0.lock().unwrap();
        if let Some(fault) = w.fault(1) {
            if fault == Fault::Doubtful {
                self.spent = true;
                w.end(true);
                return Ok(Ended::DoneDoubtfully);
            }
            if fault == Fault::RejoinDoneByAnother {
                let offsets = w.open.as_ref().expect("open").offsets.clone();
                w.done_by_another(&offsets);
            }
            return Err(self.failed(fault, &mut w));
        }
        w.end(true);
        Ok(Ended::Done)
    }
    fn abort(&mut self, _: Duration) -> Result<Ended> {
        self.world.0.lock().unwrap().end(false);
        Ok(Ended::Done)
    }
    fn acknowledged(&self, tp: &TopicPartition) -> Option<i64> {
        self.acked.get(&(tp.partition as usize)).copied()
    }
}

/// Time goes on whenever someone looks.
struct Ticks(Instant, AtomicU64);

impl Clock for Ticks {
    fn now(&self) -> Instant {
        self.0 + Duration::from_millis(self.1.fetch_add(1, Ordering::SeqCst))
    }
    fn wall_ms(&self) -> i64 {
        self.1.load(Ordering::SeqCst) as i64
    }
    fn sleep(&self, time: Duration) {
        self.1.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }
    fn random(&self, bytes: &mut [u8]) -> std::result::Result<(), String> {
        bytes.fill(self.1.fetch_add(1, Ordering::SeqCst) as u8);
        Ok(())
    }
}

/// From the ninth change on the source is another cluster: positions start over while time goes on.
fn lsn(n: u64) -> u64 {
    if n < 8 { 1000 + n } else { 10 + n }
}

fn change(partition: usize, n: u64) -> (String, String) {
    let id = partition as u64 * 100 + n % 3;
    let (lsn, commit) = (lsn(n), if n < 8 { 900 } else { 1 });
    let (op, field) = if n % 4 == 3 { ("d", "before") } else { ("u", "after") };
    let value = format!(
        r#"{{"op":"{op}","{field}":{{"id":{id}}},"source":{{"name":"s","db":"d","table":"t","snapshot":"false","lsn":{lsn},"sequence":"[\"{commit}\",\"{lsn}\"]","ts_us":{n}}}}}"#
    );
    // The same key in two spellings.
    let space = if n.is_multiple_of(2) { " " } else { "" };
    (format!("{{\"id\":{space}{id}}}"), value)
}

fn run(blow: Blow, keyless: bool) {
    let dir = std::env::temp_dir().join(format!(
        "highwater-cycle-{}-{}",
        std::process::id(),
        format!("{blow:?}{keyless}").replace(|c: char| !c.is_alphanumeric(), "")
    ));
    let _ = std::fs::remove_dir_all(&dir);
    let text = "application: app\nkafka: { bootstrap.servers: x }\ncommit_interval: 6ms\nstreams:\n  rows:\n    from: in\n    steps: [dedup, { mask: none }]\n    to: out\n";
    let topology =
        Topology::parse(text, "t", &dir, Mode::Check, &|_| None).unwrap_or_else(|_| panic!("a topology")).topology;
    let fake = Fake::default();
    let mut expected: BTreeMap<String, VecDeque<u64>> = BTreeMap::new();
    {
        let mut w = fake.0.lock().unwrap();
        (w.blow, w.keyless) = (Some(blow), keyless);
        for n in 0..12 {
            for p in 0..2 {
                let (key, value) = change(p, n);
                let rows = expected.entry(if keyless { String::new() } else { key.replace(' ', "") }).or_default();
                let above = rows.back().filter(|_| !keyless).map_or(0, |last| last + 1);
                rows.push_back(lsn(n).max(above));
                w.source[p].push((key, value));
            }
        }
    }
    let catalog = Arc::new(Catalog::survey(&topology, &fake).expect("a catalog"));
    let topology = Arc::new(topology);
    let clock: Arc<dyn Clock> = Arc::new(Ticks(Instant::now(), AtomicU64::new(1)));
    let shared = |state: &str| {
        Arc::new(Shared {
            topology: topology.clone(),
            log: Arc::new(fake.clone()),
            database: Database::open(&dir.join(state), 8 << 20).expect("a database"),
            metrics: Arc::new(Metrics::new(Known::default())),
            health: Arc::new(Health::new(1, Duration::from_secs(3600), clock.now())),
            clock: clock.clone(),
            catalog: RwLock::new(catalog.clone()),
            stop: AtomicBool::new(false),
        })
    };
    let new = |shared: &Arc<Shared>| Worker::new(shared.clone(), 0, "app-0".into()).expect("a worker");
    let mut state = shared("one");
    let mut worker = new(&state);
    for round in 0..4 {
        // All comes again: delivered again, then by a rewind with the state kept, then by one with the state lost.
        match round {
            0 => {}
            _ if keyless => break,
            1 => fake.0.lock().unwrap().source.iter_mut().for_each(|s| s.extend_from_within(8..12)),
            _ => {
                worker.give_up();
                fake.0.lock().unwrap().committed = [(0, 0), (1, 0)].into();
                if round == 3 {
                    state = shared("two");
                }
                worker = new(&state);
            }
        }
        let mut steps = 0;
        loop {
            if blow == Blow::Halt(steps) {
                state.stop.store(true, Ordering::SeqCst);
            }
            match worker.step() {
                Ok(Status::Working) => {}
                Ok(Status::Stopped) => {
                    assert!(fake.0.lock().unwrap().open.is_none(), "{blow:?}: stopped with a transaction open");
                    state.stop.store(false, Ordering::SeqCst);
                    worker = new(&state);
                }
                Err(_) => {
                    worker.give_up();
                    worker = new(&state);
                }
            }
            steps += 1;
            let w = fake.0.lock().unwrap();
            let ends: BTreeMap<i32, i64> = (0..).zip(w.source.iter().map(|s| s.len() as i64)).collect();
            if w.committed == ends && w.open.is_none() && w.back.is_none() && w.fetch.len() == 2 {
                break;
            }
            assert!(steps < 3000, "{blow:?}, round {round}: no progress: {:?} of {ends:?}", w.committed);
        }
        let mut left: BTreeMap<String, VecDeque<u64>> = BTreeMap::new();
        for (key, value) in &fake.0.lock().unwrap().out {
            let (_, lsn) = value.split_once("\"cdc_lsn\":").expect("a version");
            assert_eq!(key.is_empty(), keyless);
            left.entry(key.replace(' ', ""))
                .or_default()
                .push_back(lsn.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a number"));
        }
        if keyless {
            left.values_mut().chain(expected.values_mut()).for_each(|lsns| lsns.make_contiguous().sort_unstable());
        }
        assert_eq!(left, expected, "{blow:?}, round {round}");
    }
    worker.give_up();
    drop(state);
    let _ = std::fs::remove_dir_all(dir);
}

/// Keyless rows of two partitions come in any order.
fn every_blow(keyless: bool) {
    use Fault::*;
    run(Blow::None, keyless);
    for n in 0..4 {
        for fault in [Rejoin, UnknownAborted, Stop] {
            run(Blow::Offsets(n, fault), keyless);
            run(Blow::Commit(n, fault), keyless);
        }
        for fault in [Fault::RejoinDoneByAnother, UnknownCommitted, Doubtful] {
            run(Blow::Commit(n, fault), keyless);
        }
        run(Blow::Offsets(n, RejoinDoneByAnother), keyless);
    }
    for n in 1..20 {
        run(Blow::Halt(2 * n), keyless);
        run(Blow::Revoke(n, false), keyless);
        run(Blow::Revoke(n, true), keyless);
    }
}

#[test]
fn every_change_leaves_once_whatever_fails_and_when() {
    every_blow(false);
}

#[test]
fn every_keyless_change_leaves_once_too() {
    every_blow(true);
}
