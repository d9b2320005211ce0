//! Reading partitions: positions, what is paused, the batch under way.

use std::collections::BTreeMap;
use std::time::Duration;

use super::batch::Batch;
use super::broker::{Broker, Next};
use crate::log::{Event, Isolation, LogError, Result, TopicPartition};
use crate::record::Record;

struct Fetch {
    position: i64,
    /// Something was handed over, or passed by, since it was sought.
    moved: bool,
    paused: bool,
    /// Told out of range; nothing comes until it is sought.
    astray: bool,
    /// The end that was told last.
    told: Option<i64>,
    batch: Option<Batch>,
}

pub struct Fetches {
    isolation: Isolation,
    /// Whether ends of partitions are told.
    tells_ends: bool,
    fetches: BTreeMap<TopicPartition, Fetch>,
    /// Where the next poll begins: everybody has their turn.
    turn: usize,
}

impl Fetches {
    pub fn new(isolation: Isolation, tells_ends: bool) -> Self {
        Self { isolation, tells_ends, fetches: BTreeMap::new(), turn: 0 }
    }

    pub fn add(&mut self, tp: &TopicPartition, position: i64, paused: bool) {
        let fetch = Fetch { position, moved: false, paused, astray: false, told: None, batch: None };
        self.fetches.insert(tp.clone(), fetch);
    }

    pub fn remove(&mut self, tp: &TopicPartition) {
        self.fetches.remove(tp);
    }

    pub fn contains(&self, tp: &TopicPartition) -> bool {
        self.fetches.contains_key(tp)
    }

    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.fetches.keys().cloned().collect()
    }

    pub fn pause(&mut self, tp: &TopicPartition) {
        if let Some(fetch) = self.fetches.get_mut(tp) {
            fetch.paused = true;
        }
    }

    pub fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        self.fetches.iter().filter(|(_, f)| f.moved).map(|(tp, f)| (tp.clone(), f.position)).collect()
    }

    /// Hands over up to `max` records, waiting for some if there are none.
    pub fn poll(
        &mut self,
        broker: &Broker,
        max: usize,
        wait: Duration,
        visit: &mut dyn FnMut(&Record<'_>),
        events: &mut Vec<Event>,
    ) {
        let version = broker.version();
        if self.round(broker, max, visit, events) == 0 && events.is_empty() {
            broker.wait(version, wait);
            self.round(broker, max, visit, events);
        }
    }

    fn round(
        &mut self,
        broker: &Broker,
        max: usize,
        visit: &mut dyn FnMut(&Record<'_>),
        events: &mut Vec<Event>,
    ) -> usize {
        let (count, mut seen) = (self.fetches.len(), 0);
        self.turn = (self.turn + 1) % count.max(1);
        let (isolation, tells_ends) = (self.isolation, self.tells_ends);
        let turn = self.turn;
        let (early, late): (Vec<_>, Vec<_>) = self.fetches.iter_mut().enumerate().partition(|(at, _)| *at < turn);
        for (_, (tp, fetch)) in late.into_iter().chain(early).filter(|(_, (_, f))| !f.paused && !f.astray) {
            if seen >= max {
                break;
            }
            match fetch.read(broker, tp, isolation, max - seen, visit) {
                Ok(Read { records, end }) => {
                    seen += records;
                    if let Some(offset) = end.filter(|end| tells_ends && fetch.told != Some(*end)) {
                        fetch.told = Some(offset);
                        events.push(Event::End { tp: tp.clone(), offset });
                    }
                    if fetch.astray {
                        events.push(Event::OutOfRange(tp.clone()));
                    }
                }
                Err(error) => events.push(Event::Fatal(error)),
            }
        }
        seen
    }
}

struct Read {
    records: usize,
    end: Option<i64>,
}

impl Fetch {
    fn read(
        &mut self,
        broker: &Broker,
        tp: &TopicPartition,
        isolation: Isolation,
        max: usize,
        visit: &mut dyn FnMut(&Record<'_>),
    ) -> Result<Read> {
        let mut records = 0;
        loop {
            if let Some(batch) = &mut self.batch {
                while records < max {
                    let entry =
                        batch.read().ok_or_else(|| LogError::Stop(format!("the embedded log is damaged in {tp}")))?;
                    let Some(entry) = entry else { break };
                    // A batch is found by any offset in it.
                    if entry.offset >= self.position {
                        entry.visit(&tp.topic, tp.partition, visit);
                        records += 1;
                    }
                }
                if !batch.is_done() {
                    self.position = self.position.max(batch.next_offset());
                    return Ok(Read { records, end: None });
                }
                self.position = batch.last + 1;
                self.batch = None;
            }
            if records >= max {
                return Ok(Read { records, end: None });
            }
            match broker.next(tp, self.position, isolation)? {
                Next::Batch(batch) => (self.batch, self.moved) = (Some(batch), true),
                Next::Skip(to) => (self.position, self.moved) = (to, true),
                Next::End(offset) => return Ok(Read { records, end: Some(offset) }),
                Next::Wait | Next::Gone => return Ok(Read { records, end: None }),
                Next::OutOfRange => {
                    self.astray = true;
                    return Ok(Read { records, end: None });
                }
            }
        }
    }
}
