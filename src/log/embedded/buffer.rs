//! What a producer has been given and the log has not: records wait a moment, so that many go in one step.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::batch::Building;
use super::broker::{Broker, Denied, Who};
use super::layout::Place;
use super::partitioner::partition;
use crate::log::{LogError, Outgoing, Result, TopicPartition};

/// Records go to the log when there are so many bytes of them, or after this time.
const FULL: usize = 1 << 20;
pub const LINGER_MS: i64 = 20;

pub struct Buffer {
    broker: Arc<Broker>,
    pub who: Option<Who>,
    targets: FxHashMap<String, Target>,
    waiting: FxHashMap<Place, Building>,
    bytes: usize,
    /// Something was written that would not survive the machine.
    unsynced: bool,
    since_ms: i64,
    /// Where records without a key go next.
    turn: i32,
    /// Why the log did not take what was written.
    pub failed: Option<Denied>,
    /// A record that its topic does not take: told at the commit, or the flush.
    pub refused: Option<LogError>,
    /// Of partitions that were chosen by the sender.
    acknowledged: FxHashMap<Place, Option<i64>>,
}

#[derive(Clone, Copy)]
struct Target {
    number: u32,
    partitions: i32,
    limit: usize,
    compacted: bool,
}

impl Buffer {
    pub fn new(broker: Arc<Broker>) -> Self {
        Self {
            broker,
            who: None,
            targets: FxHashMap::default(),
            waiting: FxHashMap::default(),
            bytes: 0,
            unsynced: false,
            since_ms: 0,
            turn: 0,
            failed: None,
            refused: None,
            acknowledged: FxHashMap::default(),
        }
    }

    /// None for a topic that does not exist.
    fn target(&mut self, topic: &str) -> Result<Option<Target>> {
        if let Some(target) = self.targets.get(topic) {
            return Ok(Some(*target));
        }
        let state = self.broker.enter()?;
        let Some(found) = state.topics.get(topic) else { return Ok(None) };
        let info = found.info();
        let target = Target {
            number: found.settings.number,
            partitions: info.partitions,
            limit: info.max_message_bytes,
            compacted: found.is_compacted(),
        };
        self.targets.insert(topic.to_string(), target);
        Ok(Some(target))
    }

    /// A record that its topic does not take fails the commit, not the call: on a broker nobody knows before.
    pub fn push(&mut self, record: &Outgoing<'_>) -> Result<()> {
        let topic = record.topic;
        let Some(target) = self.target(topic)? else {
            self.refuse(format!("{topic}: no such topic: create the topic and start again"));
            return Ok(());
        };
        let partition = match (record.partition, record.key) {
            (Some(partition), _) if !(0..target.partitions).contains(&partition) => {
                return Err(LogError::Stop(format!("produce to {topic}: there is no partition {partition}")));
            }
            (Some(partition), _) => partition,
            (None, Some(key)) => partition(key, target.partitions),
            (None, None) => self.turn % target.partitions,
        };
        let place = Place { topic: target.number, partition };
        if record.partition.is_some() {
            self.acknowledged.entry(place).or_insert(None);
        }
        if record.key.is_none() && target.compacted {
            self.refuse(format!("{topic}: the topic refuses the record: compacted topics need keys"));
            return self.enlist(place);
        }
        let size = size(record);
        if size > target.limit {
            self.refuse(format!(
                "{topic}: a record of {size} bytes is too large: raise max.message.bytes of the topic"
            ));
            return self.enlist(place);
        }
        let now = self.broker.now();
        self.waiting.entry(place).or_default().push(record, now);
        if self.bytes == 0 {
            self.since_ms = now;
        }
        self.bytes += size;
        // Without time nobody would come by to write what lingers.
        if self.bytes >= FULL || !self.broker.waits() {
            self.flush(false);
        }
        Ok(())
    }

    fn refuse(&mut self, why: String) {
        self.refused.get_or_insert(LogError::Stop(why));
    }

    /// The partition of a refused record is part of the transaction all the same: its end leaves a marker there.
    fn enlist(&mut self, place: Place) -> Result<()> {
        self.flush(false);
        if let (Some(who), None) = (&self.who, &self.failed)
            && let Err(denied) = self.broker.append(vec![(place, Building::default())], Some(who), false)
        {
            self.failed = Some(denied);
        }
        Ok(())
    }

    /// Writes what waits. A failure is kept for the producer's next call.
    pub fn flush(&mut self, lasting: bool) {
        if self.failed.is_some() {
            return;
        }
        if self.waiting.is_empty() {
            if lasting && self.unsynced {
                match self.broker.sync() {
                    Ok(()) => self.unsynced = false,
                    Err(error) => self.failed = Some(Denied::Failed(error)),
                }
            }
            return;
        }
        // What waits goes on waiting.
        if self.who.as_ref().is_some_and(|who| self.broker.is_ending(who)) {
            self.failed = Some(Denied::Concurrent);
            return;
        }
        self.turn = self.turn.wrapping_add(1) & i32::MAX;
        let counts: Vec<(Place, i64)> = self.waiting.iter().map(|(p, b)| (*p, i64::from(b.count()))).collect();
        let mut batches: Vec<_> = self.waiting.drain().collect();
        batches.sort_by_key(|(place, _)| *place);
        self.bytes = 0;
        match self.broker.append(batches, self.who.as_ref(), lasting) {
            Ok(firsts) => {
                self.unsynced = !lasting;
                for (place, first) in firsts {
                    let count = counts.iter().find(|(p, _)| *p == place).map_or(0, |(_, count)| *count);
                    self.acknowledged.entry(place).and_modify(|offset| *offset = Some(first + count - 1));
                }
            }
            Err(denied) => self.failed = Some(denied),
        }
    }

    pub fn flush_lingering(&mut self) {
        if self.bytes > 0 && self.broker.now() - self.since_ms >= LINGER_MS {
            self.flush(false);
        }
    }

    pub fn discard(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
    }

    pub fn acknowledged(&self, tp: &TopicPartition) -> Option<i64> {
        let number = self.targets.get(&*tp.topic)?.number;
        *self.acknowledged.get(&Place { topic: number, partition: tp.partition })?
    }
}

/// What a record takes in a batch, about.
fn size(record: &Outgoing<'_>) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len) + 8).sum();
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers + 28
}
