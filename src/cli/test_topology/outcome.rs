//! What came of a scenario, read back from the log.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::log::{Event, Isolation, Log, Result, TopicPartition};
use crate::topology::scenario::Content;

pub struct Outcome {
    /// Committed records of every topic that is no source, by partition and offset.
    pub committed: BTreeMap<String, Vec<Written>>,
    /// The same with what was aborted: it is on the disks of brokers all the same.
    pub left: BTreeMap<String, Vec<Written>>,
    /// By stream with a store: the keys whose position it holds.
    pub keys: Vec<(String, u64)>,
    /// As `/metrics` shows them.
    pub metrics: String,
    /// Why the topology stopped, if it did.
    pub stopped: Option<String>,
}

/// A record in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Written {
    pub fn key(&self) -> Content {
        Content::of(self.key.as_deref())
    }

    pub fn value(&self) -> Content {
        Content::of(self.value.as_deref())
    }
}

/// Every record of some topics. Topics without records are there, and empty.
pub fn read_topics(log: &dyn Log, topics: &[String], isolation: Isolation) -> Result<BTreeMap<String, Vec<Written>>> {
    let mut reader = log.reader(0, isolation)?;
    let mut read: BTreeMap<String, Vec<Written>> = topics.iter().map(|topic| (topic.clone(), Vec::new())).collect();
    let mut ends: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for topic in topics {
        let partitions = log.admin().describe(topic)?.map_or(0, |info| info.partitions);
        for tp in (0..partitions).map(|partition| TopicPartition::new(topic.as_str(), partition)) {
            let bounds = log.admin().bounds(&tp)?;
            if bounds.end > bounds.start {
                reader.start(&tp, bounds.start)?;
                ends.insert(tp, bounds.end);
            }
        }
    }
    while !ends.is_empty() {
        let events = reader.poll(10_000, Duration::ZERO, &mut |record| {
            let mut headers = Vec::new();
            record.headers.each(&mut |name, value| headers.push((name.to_owned(), value.map(<[u8]>::to_vec))));
            let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
            let written = Written { partition: record.partition, offset: record.offset, key, value, headers };
            read.entry(record.topic.to_owned()).or_default().push(written);
        });
        for event in events {
            match event {
                // An end below is that of an open transaction; nobody is left to end it.
                Event::End { tp, .. } => drop(ends.remove(&tp)),
                Event::Fatal(error) => return Err(error),
                _ => {}
            }
        }
    }
    for records in read.values_mut() {
        records.sort_by_key(|record| (record.partition, record.offset));
    }
    Ok(read)
}
