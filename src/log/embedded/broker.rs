//! What a cluster keeps: topics, transactions, groups, offsets; under one lock, and in the storage by whole steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Time;
use super::batch::{self, Batch, Building};
use super::groups::{Group, Refused};
use super::layout::{self, Place};
use super::storage::{Changes, Storage};
use super::topics::{self, Aborted, Partition, Settings, Topic};
use super::transactions::{Pending, Phase, Transaction};
use crate::log::{Isolation, LogError, Membership, Result, TopicPartition};

/// How long a member may stay away from its poll: Kafka's default.
const MAX_POLL_INTERVAL_MS: i64 = 300_000;

pub struct Broker {
    storage: Storage,
    time: Time,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
pub struct State {
    pub topics: BTreeMap<Arc<str>, Topic>,
    names: BTreeMap<u32, Arc<str>>,
    transactions: BTreeMap<String, Transaction>,
    pub groups: BTreeMap<String, Group>,
    pub offsets: BTreeMap<(Place, String), Committed>,
    /// Grows with every offset sent.
    turn: u64,
    counters: Counters,
    /// Places whose markers are late, and groups whose offsets are.
    pub held: BTreeSet<Place>,
    pub held_groups: BTreeSet<String>,
    /// The storage failed: what is in memory may not be on disk, so nothing goes on.
    failed: Option<String>,
    version: u64,
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Counters {
    topic: u32,
    producer: i64,
}

/// A committed offset, with the turn at which it was sent.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct Committed {
    offset: i64,
    turn: u64,
}

/// A producer as the coordinator knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    pub id: Arc<str>,
    pub producer: i64,
    pub epoch: u32,
}

/// Why a producer's request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// Another producer of this id came, or the transaction outlived its timeout.
    Fenced,
    /// Markers of the transaction before are still missing.
    Concurrent,
    Group(Refused),
    /// A topic or partition that does not exist (any more).
    Unknown(String),
    Failed(LogError),
}

impl From<LogError> for Denied {
    fn from(error: LogError) -> Self {
        Self::Failed(error)
    }
}

/// What lies at an offset.
pub enum Next {
    Batch(Batch),
    /// Nothing to be seen before this offset.
    Skip(i64),
    End(i64),
    /// Beyond what this reader may see: it waits.
    Wait,
    OutOfRange,
    /// No such partition.
    Gone,
}

const COUNTERS: &[u8] = b"n";

impl State {
    fn partition(&self, place: Place) -> Option<&Partition> {
        self.topics.get(self.names.get(&place.topic)?)?.partitions.get(place.partition as usize)
    }

    pub fn partition_mut(&mut self, place: Place) -> Option<&mut Partition> {
        self.topics.get_mut(self.names.get(&place.topic)?)?.partitions.get_mut(place.partition as usize)
    }

    pub fn place(&self, tp: &TopicPartition) -> Option<Place> {
        let topic = self.topics.get(&*tp.topic)?;
        let known = (0..topic.settings.partitions).contains(&tp.partition);
        known.then_some(Place { topic: topic.settings.number, partition: tp.partition })
    }

    pub fn who(&self, id: &str) -> Option<Who> {
        let transaction = self.transactions.get(id)?;
        Some(Who { id: id.into(), producer: transaction.producer, epoch: transaction.epoch })
    }

    fn check(&mut self, who: &Who) -> std::result::Result<&mut Transaction, Denied> {
        match self.transactions.get_mut(&*who.id) {
            Some(t) if t.producer == who.producer && t.epoch == who.epoch => Ok(t),
            _ => Err(Denied::Fenced),
        }
    }

    /// Opens the producer's transaction if it is not open.
    fn open(&mut self, who: &Who, now: i64) -> std::result::Result<&mut Transaction, Denied> {
        let transaction = self.check(who)?;
        match transaction.phase {
            Phase::Ended { .. } => return Err(Denied::Concurrent),
            Phase::Idle => transaction.phase = Phase::Open { since_ms: now },
            Phase::Open { .. } => {}
        }
        Ok(transaction)
    }

    /// Writes the markers of a decided transaction that nothing holds back.
    fn settle(&mut self, id: &str, now: i64, changes: &mut Changes) {
        let Some(mut transaction) = self.transactions.remove(id) else { return };
        if let Phase::Ended { commit } = transaction.phase {
            let places: Vec<Place> = transaction
                .partitions
                .iter()
                .map(|(topic, partition)| Place { topic: *topic, partition: *partition })
                .collect();
            for place in places {
                if self.held.contains(&place) {
                    continue;
                }
                transaction.partitions.remove(&(place.topic, place.partition));
                // None where the topic was deleted meanwhile.
                let Some(partition) = self.partition_mut(place) else { continue };
                let at = partition.end;
                let aborted = partition.mark(transaction.producer, commit);
                let marker = batch::marker(at, transaction.producer, commit, now);
                changes.push((layout::batch(place, at), Some(marker)));
                changes.push(partition.saved(place));
                if let Some(aborted) = aborted {
                    changes.push((layout::aborted(place, aborted.last), Some(layout::encode(&aborted))));
                }
            }
            let held = &self.held_groups;
            let (late, ready): (BTreeMap<_, _>, _) =
                std::mem::take(&mut transaction.offsets).into_iter().partition(|(group, _)| held.contains(group));
            transaction.offsets = late;
            for (group, offsets) in ready {
                for pending in offsets.iter().filter(|_| commit) {
                    let place = pending.place();
                    let key = (place, group.clone());
                    let newer = self.offsets.get(&key).is_none_or(|old| old.turn < pending.turn);
                    if newer && self.partition(place).is_some() {
                        let committed = Committed { offset: pending.offset, turn: pending.turn };
                        changes.push((layout::offset(place, &group), Some(layout::encode(&committed))));
                        self.offsets.insert(key, committed);
                    }
                }
            }
            if transaction.is_settled() {
                transaction.phase = Phase::Idle;
            }
            changes.push(transaction.saved(id));
        }
        self.transactions.insert(id.to_string(), transaction);
    }

    fn decide(&mut self, id: &str, commit: bool, now: i64, changes: &mut Changes) {
        if let Some(transaction) = self.transactions.get_mut(id) {
            transaction.phase = Phase::Ended { commit };
        }
        self.settle(id, now, changes);
    }

    /// What time does: transactions outlive their timeout, members that do not poll are thrown out.
    fn tick(&mut self, now: i64, changes: &mut Changes) {
        let outlived: Vec<String> =
            self.transactions.iter().filter(|(_, t)| t.outlived(now)).map(|(id, _)| id.clone()).collect();
        for id in outlived {
            if let Some(transaction) = self.transactions.get_mut(&id) {
                transaction.epoch += 1;
            }
            tracing::debug!(transactional_id = id, "a transaction outlived its timeout");
            self.decide(&id, false, now, changes);
        }
        let mut changed = false;
        for group in self.groups.values_mut() {
            for member in group.silent_since(now - MAX_POLL_INTERVAL_MS) {
                tracing::warn!(member, "thrown out of its group: it has not polled for five minutes");
                group.remove(&member);
                changed = true;
            }
        }
        if changed {
            self.balance();
        }
    }

    pub fn balance(&mut self) {
        let partitions: BTreeMap<&str, i32> =
            self.topics.iter().map(|(name, topic)| (&**name, topic.settings.partitions)).collect();
        self.groups.values_mut().for_each(|group| group.balance(&partitions));
    }

    fn is_unstable(&self, place: Place, group: &str) -> bool {
        let about = |t: &Transaction| {
            t.offsets.get(group).is_some_and(|offsets| offsets.iter().any(|pending| pending.place() == place))
        };
        self.transactions.values().any(about)
    }
}

impl Broker {
    /// Reads what the storage holds; ends what was decided and not settled.
    pub fn open(storage: Storage, time: Time) -> std::result::Result<Self, String> {
        let broker = Self { storage, time, state: Mutex::default(), changed: Condvar::new() };
        match broker.storage.get(layout::FORMAT)? {
            None if broker.storage.at_least(b"", b"")?.is_none() => {
                broker.storage.write(vec![(layout::FORMAT.into(), Some(layout::FORMAT_IS.into()))], true)?;
            }
            Some(format) if **format == *layout::FORMAT_IS => broker.load()?,
            Some(format) => return Err(layout::unknown(&format)),
            None => return Err(layout::unknown(b"")),
        }
        Ok(broker)
    }

    fn load(&self) -> std::result::Result<(), String> {
        let mut state = State::default();
        if let Some(bytes) = self.storage.get(COUNTERS)? {
            state.counters = layout::decode("counters", &bytes)?;
        }
        for (key, value) in self.storage.all(layout::TOPICS)? {
            let name: Arc<str> = String::from_utf8_lossy(&key[1..]).into();
            let mut topic = Topic::new(layout::decode("a topic", &value)?);
            for place in topic.places().collect::<Vec<_>>() {
                let Some(bytes) = self.storage.get(&layout::partition(place))? else { continue };
                let mut partition: Partition = layout::decode("a partition", &bytes)?;
                for (_, bytes) in self.storage.all(&layout::all_aborted(place))? {
                    partition.aborted.push(layout::decode::<Aborted>("an aborted transaction", &bytes)?);
                }
                topic.partitions[place.partition as usize] = partition;
            }
            state.names.insert(topic.settings.number, name.clone());
            state.topics.insert(name, topic);
        }
        for (key, value) in self.storage.all(layout::PRODUCERS)? {
            let id = String::from_utf8_lossy(&key[1..]).into_owned();
            state.transactions.insert(id, layout::decode("a transaction", &value)?);
        }
        for (key, value) in self.storage.all(layout::OFFSETS)? {
            let Some((place, group)) = layout::offset_of(&key) else { continue };
            state.offsets.insert((place, group.to_string()), layout::decode("an offset", &value)?);
        }
        let pending = state.transactions.values().flat_map(|t| t.offsets.values().flatten()).map(|p| p.turn);
        state.turn = pending.chain(state.offsets.values().map(|o| o.turn)).max().unwrap_or(0);
        let mut changes = Changes::new();
        for id in state.transactions.keys().cloned().collect::<Vec<_>>() {
            state.settle(&id, self.now(), &mut changes);
        }
        self.storage.write(changes, true)?;
        *self.lock() = state;
        Ok(())
    }

    pub fn now(&self) -> i64 {
        match &self.time {
            Time::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64),
            Time::Manual(ms) => ms.load(std::sync::atomic::Ordering::SeqCst),
        }
    }

    pub fn waits(&self) -> bool {
        matches!(self.time, Time::System)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|p| p.into_inner())
    }

    /// The state as of now.
    pub fn enter(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        if let Some(text) = &state.failed {
            return Err(LogError::Stop(text.clone()));
        }
        let mut changes = Changes::new();
        state.tick(self.now(), &mut changes);
        if !changes.is_empty() {
            self.write(&mut state, changes, false)?;
        }
        Ok(state)
    }

    /// Writes a step, and wakes whoever waits for news.
    fn write(&self, state: &mut State, changes: Changes, lasting: bool) -> Result<()> {
        if let Err(text) = self.storage.write(changes, lasting) {
            state.failed = Some(text.clone());
            return Err(LogError::Stop(text));
        }
        self.announce(state);
        Ok(())
    }

    /// For moments: what happened by itself.
    pub fn keep(&self, state: &mut State, changes: Changes) -> Result<()> {
        self.write(state, changes, false)
    }

    /// What was written survives the machine from now on.
    pub fn sync(&self) -> Result<()> {
        let mut state = self.enter()?;
        self.write(&mut state, Changes::new(), true)
    }

    pub fn announce(&self, state: &mut State) {
        state.version += 1;
        self.changed.notify_all();
    }

    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// Waits for news since `version`.
    pub fn wait(&self, version: u64, wait: Duration) {
        if self.waits() && !wait.is_zero() {
            // Awake or timed out: the caller looks again in both cases.
            drop(self.changed.wait_timeout_while(self.lock(), wait, |state| state.version == version));
        }
    }

    pub fn create(&self, name: &str, partitions: i32, config: &[(&str, &str)]) -> Result<()> {
        let legal = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
        if name.is_empty() || name.len() > 249 || [".", ".."].contains(&name) || !name.chars().all(legal) {
            return Err(LogError::Stop(format!("`{name}` cannot be the name of a topic")));
        }
        if partitions < 1 {
            return Err(LogError::Stop(format!("topic {name}: it needs a partition")));
        }
        topics::check(config).map_err(|text| LogError::Stop(format!("topic {name}: {text}")))?;
        let mut state = self.enter()?;
        if state.topics.contains_key(name) {
            return Ok(());
        }
        let number = state.counters.topic;
        state.counters.topic += 1;
        let mut id = u128::from(number + 1).to_be_bytes();
        if self.waits() {
            getrandom::fill(&mut id).map_err(|e| LogError::Stop(e.to_string()))?;
        }
        let config = config.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let topic = Topic::new(Settings { number, id, partitions, config });
        let changes = vec![
            (COUNTERS.into(), Some(layout::encode(&state.counters))),
            (layout::topic(name), Some(layout::encode(&topic.settings))),
        ];
        let name: Arc<str> = name.into();
        state.names.insert(number, name.clone());
        state.topics.insert(name.clone(), topic);
        state.groups.values_mut().for_each(|group| group.topic_changed(&name));
        state.balance();
        self.write(&mut state, changes, true)
    }

    pub fn delete(&self, name: &str) -> Result<()> {
        let mut state = self.enter()?;
        let Some(topic) = state.topics.remove(name) else { return Ok(()) };
        state.names.remove(&topic.settings.number);
        let mut changes: Changes = vec![(layout::topic(name), None)];
        let mut prefixes = Vec::new();
        for place in topic.places() {
            changes.push((layout::partition(place), None));
            prefixes.extend([layout::all_aborted(place), layout::all_batches(place)]);
        }
        let gone: Vec<_> =
            state.offsets.keys().filter(|(place, _)| place.topic == topic.settings.number).cloned().collect();
        for (place, group) in gone {
            changes.push((layout::offset(place, &group), None));
            state.offsets.remove(&(place, group));
        }
        for (id, transaction) in &mut state.transactions {
            transaction.partitions.retain(|(number, _)| *number != topic.settings.number);
            changes.push(transaction.saved(id));
        }
        state.groups.values_mut().for_each(|group| group.topic_changed(name));
        state.balance();
        self.write(&mut state, changes, true)?;
        // Unreachable already: no number is given twice.
        prefixes.iter().try_for_each(|prefix| self.storage.remove_all(prefix)).map_err(LogError::Stop)
    }

    /// A producer of this id begins anew: what another left open is aborted, and whoever has an older epoch is fenced.
    pub fn init(&self, id: &str, timeout: Duration) -> Result<Who> {
        let mut state = self.enter()?;
        let mut changes = Changes::new();
        if !state.transactions.contains_key(id) {
            let producer = state.counters.producer;
            state.counters.producer += 1;
            changes.push((COUNTERS.into(), Some(layout::encode(&state.counters))));
            state.transactions.insert(id.to_string(), Transaction::new(producer));
        }
        let phase = state.transactions.get(id).map(|t| t.phase);
        if let Some(Phase::Open { .. }) = phase {
            if let Some(transaction) = state.transactions.get_mut(id) {
                transaction.epoch += 1;
            }
            state.decide(id, false, self.now(), &mut changes);
        }
        let Some(transaction) = state.transactions.get_mut(id) else { return Err(LogError::Retry(id.to_string())) };
        if matches!(transaction.phase, Phase::Ended { .. }) {
            self.write(&mut state, changes, false)?;
            return Err(LogError::Retry("the transaction before is still being ended".into()));
        }
        transaction.epoch += 1;
        transaction.timeout_ms = timeout.as_millis() as i64;
        let who = Who { id: id.into(), producer: transaction.producer, epoch: transaction.epoch };
        changes.push(transaction.saved(id));
        self.write(&mut state, changes, true)?;
        Ok(who)
    }

    /// Whether markers of the producer's transaction before are still missing.
    pub fn is_ending(&self, who: &Who) -> bool {
        let ended = |t: &Transaction| matches!(t.phase, Phase::Ended { .. });
        self.enter().is_ok_and(|mut state| state.check(who).is_ok_and(|transaction| ended(transaction)))
    }

    /// Appends, in one step; the first offset of each batch. `who` where they belong to a transaction.
    pub fn append(
        &self,
        batches: Vec<(Place, Building)>,
        who: Option<&Who>,
        lasting: bool,
    ) -> std::result::Result<Vec<(Place, i64)>, Denied> {
        let mut state = self.enter()?;
        let now = self.now();
        let mut changes = Changes::with_capacity(batches.len() * 2 + 1);
        if let Some((place, _)) = batches.iter().find(|(place, _)| state.partition(*place).is_none()) {
            return Err(Denied::Unknown(format!("partition {} of a topic that was deleted", place.partition)));
        }
        if let Some(who) = who {
            let transaction = state.open(who, now)?;
            let before = transaction.partitions.len();
            transaction.partitions.extend(batches.iter().map(|(place, _)| (place.topic, place.partition)));
            if transaction.partitions.len() > before {
                changes.push(transaction.saved(&who.id));
            }
        }
        let mut firsts = Vec::with_capacity(batches.len());
        for (place, building) in batches {
            let Some(partition) = state.partition_mut(place) else { continue };
            let first = partition.end;
            partition.end += i64::from(building.count());
            if let Some(who) = who {
                partition.open.entry(who.producer).or_insert(first);
            }
            changes.push(partition.saved(place));
            if building.count() > 0 {
                let batch = building.finish(first, who.map(|w| w.producer), now);
                changes.push((layout::batch(place, first), Some(batch)));
            }
            firsts.push((place, first));
        }
        self.write(&mut state, changes, lasting)?;
        Ok(firsts)
    }

    /// Offsets that count once the producer's transaction has committed.
    pub fn add_offsets(
        &self,
        who: &Who,
        offsets: &[(TopicPartition, i64)],
        member: &Membership,
    ) -> std::result::Result<(), Denied> {
        let mut state = self.enter()?;
        let now = self.now();
        state.check(who)?;
        state.turn += 1;
        let turn = state.turn;
        let places = offsets.iter().map(|(tp, offset)| {
            let place = state.place(tp).ok_or_else(|| Denied::Unknown(tp.to_string()))?;
            Ok(Pending { topic: place.topic, partition: place.partition, offset: *offset, turn })
        });
        let places = places.collect::<std::result::Result<Vec<_>, Denied>>()?;
        state.groups.entry(member.group.clone()).or_default().admits(member).map_err(Denied::Group)?;
        let transaction = state.open(who, now)?;
        let pending = transaction.offsets.entry(member.group.clone()).or_default();
        pending.retain(|old| places.iter().all(|new| new.place() != old.place()));
        pending.extend(places);
        let changes = vec![transaction.saved(&who.id)];
        Ok(self.write(&mut state, changes, false)?)
    }

    /// Ends the producer's transaction, if it has one.
    pub fn end(&self, who: &Who, commit: bool) -> std::result::Result<(), Denied> {
        let mut state = self.enter()?;
        match state.check(who)?.phase {
            Phase::Idle => return Ok(()),
            Phase::Ended { .. } => return Err(Denied::Concurrent),
            Phase::Open { .. } => {}
        }
        let mut changes = Changes::new();
        state.decide(&who.id, commit, self.now(), &mut changes);
        Ok(self.write(&mut state, changes, commit)?)
    }

    /// Writes the markers that were held back and are not any more.
    pub fn settle_all(&self) -> Result<()> {
        let mut state = self.enter()?;
        let mut changes = Changes::new();
        for id in state.transactions.keys().cloned().collect::<Vec<_>>() {
            state.settle(&id, self.now(), &mut changes);
        }
        self.write(&mut state, changes, false)
    }

    /// Committed offsets; `Retry` while an open transaction may change one of them.
    pub fn committed(&self, group: &str, tps: &[TopicPartition]) -> Result<Vec<Option<i64>>> {
        let state = self.enter()?;
        let mut found = Vec::with_capacity(tps.len());
        for tp in tps {
            let place = state.place(tp);
            if place.is_some_and(|place| state.is_unstable(place, group)) {
                return Err(LogError::Retry(format!("an open transaction holds the committed offset of {tp}")));
            }
            found.push(place.and_then(|place| state.offsets.get(&(place, group.to_string())).map(|o| o.offset)));
        }
        Ok(found)
    }

    /// What a reader at `from` comes to next.
    pub fn next(&self, tp: &TopicPartition, from: i64, isolation: Isolation) -> Result<Next> {
        let (place, limit) = {
            let state = self.enter()?;
            let Some(place) = state.place(tp) else { return Ok(Next::Gone) };
            let Some(partition) = state.partition(place) else { return Ok(Next::Gone) };
            if from < partition.start || from > partition.end {
                return Ok(Next::OutOfRange);
            }
            (place, partition.limit(isolation))
        };
        if from >= limit {
            return Ok(if from == limit { Next::End(from) } else { Next::Wait });
        }
        // Below the limit nothing changes but by the cleaner, which leaves what a reader may see.
        let Some(batch) = self.batch(place, from).map_err(LogError::Stop)?.filter(|batch| batch.first < limit) else {
            return Ok(Next::Skip(limit));
        };
        if batch.is_marker() {
            return Ok(Next::Skip(batch.last + 1));
        }
        if isolation == Isolation::Committed && self.is_aborted(place, &batch)? {
            return Ok(Next::Skip(batch.last + 1));
        }
        Ok(Next::Batch(batch))
    }

    /// Of a batch below the last stable offset: whether its transaction was aborted.
    pub fn is_aborted(&self, place: Place, batch: &Batch) -> Result<bool> {
        if !batch.is_transactional() {
            return Ok(false);
        }
        let state = self.enter()?;
        Ok(state.partition(place).is_some_and(|p| p.is_aborted(batch.producer, batch.first)))
    }

    /// The batch that holds the offset, or the next one.
    pub fn batch(&self, place: Place, from: i64) -> std::result::Result<Option<Batch>, String> {
        let open = |bytes| Batch::open(bytes).ok_or_else(|| format!("the embedded log is damaged at offset {from}"));
        let (prefix, key) = (layout::all_batches(place), layout::batch(place, from));
        // Readers mostly go on where a batch begins.
        if let Some(bytes) = self.storage.get(&key)? {
            return open(bytes).map(Some);
        }
        if let Some((_, bytes)) = self.storage.at_most(&prefix, &key)? {
            let batch = open(bytes)?;
            if batch.last >= from {
                return Ok(Some(batch));
            }
        }
        self.storage.at_least(&prefix, &key)?.map(|(_, bytes)| open(bytes)).transpose()
    }

    /// For the cleaner: replaces batches, and says how far it came.
    pub fn replace(&self, place: Place, mut changes: Changes, cleaned_to: Option<i64>) -> Result<()> {
        let mut state = self.enter()?;
        let Some(partition) = state.partition_mut(place) else { return Ok(()) };
        if let Some(to) = cleaned_to {
            partition.cleaned_to = to;
            changes.push(partition.saved(place));
        }
        self.write(&mut state, changes, false)
    }
}
