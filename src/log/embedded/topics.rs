//! Topics and their partitions: bounds, what is open, what was aborted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::layout::{self, Place};
use crate::log::{Bounds, DEFAULT_MESSAGE_LIMIT, Isolation, TopicId, TopicInfo};

/// Kafka's settings with a number for a value, and with anything else. Those that mean nothing here are kept.
const NUMBERS: [&str; 14] = [
    "delete.retention.ms",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "index.interval.bytes",
    "max.compaction.lag.ms",
    "max.message.bytes",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "min.insync.replicas",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.ms",
];
const WORDS: [&str; 5] = [
    "compression.type",
    "message.timestamp.type",
    "preallocate",
    "unclean.leader.election.enable",
    "segment.jitter.ms",
];

/// Refuses settings that Kafka would refuse.
pub fn check(config: &[(&str, &str)]) -> Result<(), String> {
    for (name, value) in config {
        let right = match *name {
            "cleanup.policy" => value.split(',').all(|policy| ["compact", "delete"].contains(&policy.trim())),
            name if NUMBERS.contains(&name) => value.parse::<f64>().is_ok(),
            name if WORDS.contains(&name) => true,
            _ => return Err(format!("there is no setting {name}")),
        };
        if !right {
            return Err(format!("{value} is no value of {name}"));
        }
    }
    Ok(())
}

/// A topic as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    pub number: u32,
    pub id: TopicId,
    pub partitions: i32,
    pub config: BTreeMap<String, String>,
}

pub struct Topic {
    pub settings: Settings,
    pub partitions: Vec<Partition>,
}

impl Topic {
    pub fn new(settings: Settings) -> Self {
        let partitions = (0..settings.partitions).map(|_| Partition::default()).collect();
        Self { settings, partitions }
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.settings.config.get(name)?.parse().ok()
    }

    fn policy(&self) -> &str {
        self.settings.config.get("cleanup.policy").map_or("delete", String::as_str)
    }

    pub fn is_compacted(&self) -> bool {
        self.policy().split(',').any(|p| p.trim() == "compact")
    }

    pub fn info(&self) -> TopicInfo {
        TopicInfo {
            id: self.settings.id,
            partitions: self.settings.partitions,
            compacted_only: self.policy() == "compact",
            max_message_bytes: self.number("max.message.bytes").unwrap_or(DEFAULT_MESSAGE_LIMIT),
            delete_retention: std::time::Duration::from_millis(
                self.number("delete.retention.ms").unwrap_or(86_400_000),
            ),
        }
    }

    pub fn places(&self) -> impl Iterator<Item = Place> {
        let topic = self.settings.number;
        (0..self.settings.partitions).map(move |partition| Place { topic, partition })
    }
}

/// A transaction whose records must not be seen, from its first record to its marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aborted {
    pub producer: i64,
    pub first: i64,
    pub last: i64,
}

/// One partition. What is kept of it is what `Serialize` writes; the aborted transactions have keys of their own.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Partition {
    /// Below it records were deleted.
    #[serde(default)]
    pub start: i64,
    /// The offset that the next record gets.
    pub end: i64,
    /// The first offset of every transaction without a marker here, by producer.
    pub open: BTreeMap<i64, i64>,
    /// The cleaner has been here.
    pub cleaned_to: i64,
    /// Ordered by their markers.
    #[serde(skip)]
    pub aborted: Vec<Aborted>,
}

impl Partition {
    /// The last stable offset: below it every transaction has its marker.
    pub fn stable(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.end)
    }

    pub fn limit(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::Committed => self.stable(),
            Isolation::Uncommitted => self.end,
        }
    }

    pub fn bounds(&self, isolation: Isolation) -> Bounds {
        Bounds { start: self.start, end: self.limit(isolation) }
    }

    pub fn is_aborted(&self, producer: i64, offset: i64) -> bool {
        let behind = self.aborted.partition_point(|a| a.last < offset);
        self.aborted[behind..].iter().any(|a| a.producer == producer && a.first <= offset)
    }

    /// Ends a producer's transaction here; its marker takes `end`.
    pub fn mark(&mut self, producer: i64, commit: bool) -> Option<Aborted> {
        let first = self.open.remove(&producer)?;
        let last = self.end;
        self.end += 1;
        if commit {
            return None;
        }
        let aborted = Aborted { producer, first, last };
        self.aborted.push(aborted);
        Some(aborted)
    }

    pub fn saved(&self, place: Place) -> (Vec<u8>, Option<Vec<u8>>) {
        (layout::partition(place), Some(layout::encode(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_open_transaction_holds_the_stable_offset() {
        let mut p = Partition { end: 10, open: [(1, 4), (2, 6)].into(), ..Partition::default() };
        assert_eq!((p.stable(), p.limit(Isolation::Uncommitted)), (4, 10));
        assert_eq!(p.mark(1, false), Some(Aborted { producer: 1, first: 4, last: 10 }));
        assert_eq!((p.stable(), p.end), (6, 11));
        assert_eq!(p.mark(2, true), None);
        assert_eq!((p.stable(), p.end), (12, 12));
        p.open.insert(1, 12);
        assert!(p.is_aborted(1, 4) && p.is_aborted(1, 9) && !p.is_aborted(1, 12) && !p.is_aborted(2, 6));
    }
}
