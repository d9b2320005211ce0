//! Topics read from their start to the end they have now.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::log::{Bounds, Event, Isolation, Log, LogError, Result, TopicPartition};

/// How long an open transaction may hold the end back.
const PATIENCE: Duration = Duration::from_secs(30);

/// A record, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Everything in a topic, by partition and offset; nothing where there is no such topic.
pub fn read_back(log: &dyn Log, topic: &str, isolation: Isolation) -> Result<Vec<Kept>> {
    read(log, topic, isolation, true)
}

/// What a reader of committed records sees now, whatever an open transaction holds back.
pub fn read_stable(log: &dyn Log, topic: &str) -> Result<Vec<Kept>> {
    read(log, topic, Isolation::Committed, false)
}

/// Asks again while a partition has no leader, as after a broker's start.
fn bounds(log: &dyn Log, tp: &TopicPartition) -> Result<Bounds> {
    let begun = Instant::now();
    loop {
        match log.admin().bounds(tp) {
            Err(LogError::Retry(_)) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(100)),
            told => return told,
        }
    }
}

fn read(log: &dyn Log, topic: &str, isolation: Isolation, whole: bool) -> Result<Vec<Kept>> {
    let Some(info) = log.admin().describe(topic)? else { return Ok(Vec::new()) };
    let mut reader = log.reader(0, isolation)?;
    let mut open: BTreeSet<(TopicPartition, i64)> = BTreeSet::new();
    for partition in 0..info.partitions {
        let tp = TopicPartition::new(topic, partition);
        let bounds = bounds(log, &tp)?;
        if bounds.end > bounds.start {
            reader.start(&tp, bounds.start)?;
            open.insert((tp, bounds.end));
        }
    }
    let (mut found, begun) = (Vec::new(), Instant::now());
    while !open.is_empty() {
        if begun.elapsed() > PATIENCE {
            return Err(LogError::Retry(format!("an open transaction holds back the end of {topic}")));
        }
        let events = reader.poll(1000, Duration::from_millis(100), &mut |record| {
            let mut headers = Vec::new();
            record.headers.each(&mut |name, value| headers.push((name.to_string(), value.map(<[u8]>::to_vec))));
            found.push(Kept {
                partition: record.partition,
                offset: record.offset,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers,
            });
        });
        for event in events {
            match event {
                Event::End { tp, offset } => open.retain(|(other, end)| *other != tp || (whole && offset < *end)),
                Event::Fatal(error) => return Err(error),
                _ => {}
            }
        }
    }
    found.sort_by_key(|kept| (kept.partition, kept.offset));
    Ok(found)
}
