//! Everything in some topics that a reader of committed records has seen, read along as it comes.

use std::collections::BTreeMap;
use std::time::Duration;

use highwater::log::{Isolation, Log, Reader, TopicPartition};

use crate::support::Read;

pub struct Shadow {
    reader: Box<dyn Reader>,
    pub records: BTreeMap<TopicPartition, Vec<Read>>,
}

impl Shadow {
    pub fn new(log: &dyn Log) -> Self {
        let reader = log.reader(0, Isolation::Committed).expect("a reader");
        Self { reader, records: BTreeMap::new() }
    }

    /// From the first offset that the partition still has; what was read of it before is forgotten.
    pub fn follow(&mut self, log: &dyn Log, tp: &TopicPartition) {
        let _ = self.reader.stop(tp);
        let start = log.admin().bounds(tp).expect("bounds").start;
        self.reader.start(tp, start).expect("started");
        self.records.insert(tp.clone(), Vec::new());
    }

    pub fn refresh(&mut self) {
        let Self { reader, records } = self;
        loop {
            let mut came = 0;
            reader.poll(10_000, Duration::ZERO, &mut |record| {
                came += 1;
                let tp = TopicPartition::new(record.topic, record.partition);
                let read = Read::of(record);
                records.entry(tp).or_default().push(read);
            });
            if came == 0 {
                return;
            }
        }
    }

    pub fn of(&self, topic: &str) -> impl Iterator<Item = (&TopicPartition, &Read)> {
        let found = self.records.iter().filter(move |(tp, _)| &*tp.topic == topic);
        found.flat_map(|(tp, reads)| reads.iter().map(move |read| (tp, read)))
    }
}
