//! What was read, and a reader that keeps it.

use std::time::Duration;

use highwater::log::*;
use highwater::record::Record;

use crate::support::{DEADLINE, wait_until};

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub tp: TopicPartition,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Seen {
    pub fn copy(record: &Record<'_>) -> Self {
        let mut headers = Vec::new();
        record.headers.each(&mut |name, value| headers.push((name.to_owned(), value.map(<[u8]>::to_vec))));
        Self {
            tp: TopicPartition::new(record.topic, record.partition),
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers,
        }
    }
}

/// Offsets and values, as text.
pub fn places(seen: &[Seen]) -> Vec<(i64, String)> {
    seen.iter().map(|s| (s.offset, String::from_utf8_lossy(s.value.as_deref().unwrap_or(b"-")).into_owned())).collect()
}

pub fn values(seen: &[Seen]) -> Vec<String> {
    places(seen).into_iter().map(|(_, value)| value).collect()
}

/// What `places` is compared with.
pub fn lines(expected: &[(i64, &str)]) -> Vec<(i64, String)> {
    expected.iter().map(|(offset, value)| (*offset, (*value).to_string())).collect()
}

/// A reader and what it has read.
pub struct Tail {
    pub reader: Box<dyn Reader>,
}

impl Tail {
    #[track_caller]
    pub fn start(&mut self, tp: &TopicPartition, offset: i64) {
        self.reader.start(tp, offset).expect("started");
    }

    #[track_caller]
    pub fn stop(&mut self, tp: &TopicPartition) {
        self.reader.stop(tp).expect("stopped");
    }

    pub fn poll(&mut self) -> (Vec<Seen>, Vec<Event>) {
        let mut seen = Vec::new();
        let events = self.reader.poll(1000, Duration::from_millis(20), &mut |record| seen.push(Seen::copy(record)));
        (seen, events)
    }

    /// What comes until the first event that is no passing notice.
    #[track_caller]
    pub fn first_event(&mut self) -> (Vec<Seen>, Event) {
        let mut all = Vec::new();
        let event = wait_until(DEADLINE, "an event", || {
            let (seen, events) = self.poll();
            all.extend(seen);
            events.into_iter().find(|event| !matches!(event, Event::Notice(_) | Event::Unreachable(_)))
        });
        (all, event)
    }

    /// Reads until the next end of a partition, and says where it was.
    #[track_caller]
    pub fn next_end(&mut self, tp: &TopicPartition) -> (Vec<Seen>, i64) {
        let mut all = Vec::new();
        let end = wait_until(DEADLINE, &format!("an end of {tp}"), || {
            let (seen, events) = self.poll();
            all.extend(seen);
            events.into_iter().find_map(|event| match event {
                Event::End { tp: of, offset } if of == *tp => Some(offset),
                Event::End { .. } | Event::Notice(_) | Event::Unreachable(_) => None,
                other => panic!("{other:?}"),
            })
        });
        (all, end)
    }

    /// Reads until an end of the partition at or beyond `end`.
    #[track_caller]
    pub fn beyond(&mut self, tp: &TopicPartition, end: i64) -> Vec<Seen> {
        let mut all = Vec::new();
        wait_until(DEADLINE, &format!("the end of {tp} at {end}"), || {
            let (seen, offset) = self.next_end(tp);
            all.extend(seen);
            (offset >= end).then_some(())
        });
        all
    }
}
