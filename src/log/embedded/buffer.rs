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
    since_ms: i64,
    /// Where records without a key go next.
    turn: i32,
    pub failed: Option<Denied>,
    acknowledged: FxHashMap<Place, i64>,
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
            since_ms: 0,
            turn: 0,
            failed: None,
            acknowledged: FxHashMap::default(),
        }
    }

    fn target(&mut self, topic: &str) -> Result<Target> {
        if let Some(target) = self.targets.get(topic) {
            return Ok(*target);
        }
        let state = self.broker.enter()?;
        let found = state.topics.get(topic).ok_or_else(|| {
            LogError::Stop(format!("produce to {topic}: no such topic: create the topic and start again"))
        })?;
        let info = found.info();
        let target = Target {
            number: found.settings.number,
            partitions: info.partitions,
            limit: info.max_message_bytes,
            compacted: found.is_compacted(),
        };
        self.targets.insert(topic.to_string(), target);
        Ok(target)
    }

    pub fn push(&mut self, record: &Outgoing<'_>) -> Result<()> {
        let target = self.target(record.topic)?;
        let refused = |why: &str| Err(LogError::Stop(format!("produce to {}: {why}", record.topic)));
        let partition = match (record.partition, record.key) {
            (Some(partition), _) if !(0..target.partitions).contains(&partition) => {
                return refused(&format!("there is no partition {partition}"));
            }
            (Some(partition), _) => partition,
            (None, Some(key)) => partition(key, target.partitions),
            (None, None) => self.turn % target.partitions,
        };
        if record.key.is_none() && target.compacted {
            return refused("the topic refuses the record: compacted topics need keys");
        }
        let place = Place { topic: target.number, partition };
        let now = if self.broker.waits() && record.timestamp.is_some() { self.since_ms } else { self.broker.now() };
        let building = self.waiting.entry(place).or_default();
        let before = building.len();
        building.push(record, now);
        let size = building.len() - before;
        if size > target.limit {
            return refused(&format!("a record of {size} bytes is too large: raise max.message.bytes of the topic"));
        }
        if self.bytes == 0 {
            self.since_ms = self.broker.now();
        }
        self.bytes += size;
        // Without time nobody would come by to write what lingers.
        if self.bytes >= FULL || !self.broker.waits() {
            self.flush(false);
        }
        Ok(())
    }

    /// Writes what waits. A failure is kept for the producer's next call.
    pub fn flush(&mut self, lasting: bool) {
        if self.waiting.is_empty() || self.failed.is_some() {
            return;
        }
        self.turn = self.turn.wrapping_add(1) & i32::MAX;
        let counts: Vec<(Place, i64)> = self.waiting.iter().map(|(p, b)| (*p, i64::from(b.count()))).collect();
        let mut batches: Vec<_> = self.waiting.drain().collect();
        batches.sort_by_key(|(place, _)| *place);
        self.bytes = 0;
        match self.broker.append(batches, self.who.as_ref(), lasting) {
            Ok(firsts) => {
                for (place, first) in firsts {
                    let count = counts.iter().find(|(p, _)| *p == place).map_or(0, |(_, count)| *count);
                    self.acknowledged.insert(place, first + count - 1);
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
        self.acknowledged.get(&Place { topic: number, partition: tp.partition }).copied()
    }
}
