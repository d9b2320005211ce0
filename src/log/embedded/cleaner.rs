//! Compaction: of every key the last committed value stays, at its old offset.
//!
//! Only what lies below the last stable offset is looked at. Each batch is replaced on its own by what is left of it,
//! which is right at any moment: a crash in between leaves a log that is merely less compact. Aborted records and markers
//! go at once, tombstones when they are older than `delete.retention.ms`.

use std::collections::HashMap;

use super::batch::Batch;
use super::broker::{Broker, Next};
use super::layout::{self, Place};
use super::storage::Changes;
use crate::log::{Isolation, LogError, Result, TopicPartition};

/// Less than this is not worth a pass.
const LEAST: i64 = 20_000;

/// Cleans every compacted partition; `due`: only where at least half is new since the last time.
pub fn clean(broker: &Broker, due: bool) -> Result<()> {
    let wanted: Vec<(TopicPartition, Place, i64, i64)> = {
        let state = broker.enter()?;
        let mut wanted = Vec::new();
        for (name, topic) in state.topics.iter().filter(|(_, topic)| topic.is_compacted()) {
            let retention = topic.info().delete_retention.as_millis() as i64;
            for (place, partition) in topic.places().zip(&topic.partitions) {
                let stable = partition.stable();
                let new = stable - partition.cleaned_to;
                if !due || (new >= LEAST && new * 2 >= stable) {
                    wanted.push((TopicPartition::new(name.clone(), place.partition), place, stable, retention));
                }
            }
        }
        wanted
    };
    wanted.iter().try_for_each(|(tp, place, to, retention)| partition(broker, tp, *place, *to, *retention))
}

fn partition(broker: &Broker, tp: &TopicPartition, place: Place, to: i64, retention: i64) -> Result<()> {
    let mut last: HashMap<Vec<u8>, i64> = HashMap::new();
    let damaged = || LogError::Stop(format!("the embedded log is damaged in {tp}"));
    let mut at = 0;
    while at < to {
        at = match broker.next(tp, at, Isolation::Committed)? {
            Next::Batch(mut batch) => {
                while let Some(entry) = batch.read().ok_or_else(damaged)? {
                    last.insert(entry.key.unwrap_or_default().to_vec(), entry.offset);
                }
                batch.last + 1
            }
            Next::Skip(to) => to,
            Next::End(_) | Next::Wait | Next::OutOfRange | Next::Gone => break,
        };
    }
    let now = broker.now();
    let mut at = 0;
    while let Some(batch) = broker.batch(place, at).map_err(LogError::Stop)?.filter(|batch| batch.last < to) {
        let seen = !batch.is_marker() && !broker.is_aborted(place, &batch)?;
        let expired = now - batch.appended_ms >= retention;
        let left = match seen {
            true => filtered(&batch, &last, expired).ok_or_else(damaged)?,
            false => None,
        };
        if left.as_ref().is_none_or(|left| left.len() < batch.size()) {
            let changes: Changes = vec![(layout::batch(place, batch.first), left)];
            broker.replace(place, changes, None)?;
        }
        at = batch.last + 1;
    }
    broker.replace(place, Changes::new(), Some(to))
}

#[expect(clippy::option_option, reason = "the outer one is about damage")]
fn filtered(batch: &Batch, last: &HashMap<Vec<u8>, i64>, expired: bool) -> Option<Option<Vec<u8>>> {
    batch.filtered(|entry| {
        let newest = last.get(entry.key.unwrap_or_default()) == Some(&entry.offset);
        newest && (entry.value.is_some() || !expired)
    })
}
