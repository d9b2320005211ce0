//! Bringing a store partition up to its changelog.
//!
//! The order is what makes it right: the producer is initialised (an open transaction of this id is over), committed
//! offsets are read once they are stable, *then* the changelog's end is taken as `read_uncommitted` sees it, and the
//! changelog is read `read_committed` until an end of partition at or beyond it. The first end met is only the last
//! stable offset: the marker of the very transaction that moved the committed offsets may still be on its way.

use std::time::{Duration, Instant};

use super::writes::Writes;
use super::{Checkpoint, Partition, Result, layout};

/// How to begin.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// Replay from here: the store holds everything before.
    Tail { from: i64 },
    /// The store holds nothing.
    Fresh { from: i64 },
    /// What the store holds does not fit its changelog: wipe it and replay all.
    Rebuild { from: i64, why: String },
}

impl Plan {
    pub fn from(&self) -> i64 {
        let (Plan::Tail { from } | Plan::Fresh { from } | Plan::Rebuild { from, .. }) = self;
        *from
    }
}

/// What a plan needs to know of a changelog partition.
#[derive(Debug, Clone, Copy)]
pub struct Changelog {
    pub topic_id: [u8; 16],
    pub start: i64,
    pub end: i64,
    pub delete_retention: Duration,
}

pub fn plan(held: Option<Checkpoint>, log: &Changelog, now_ms: i64) -> Plan {
    let from = log.start;
    let Some(held) = held else { return Plan::Fresh { from } };
    let rebuild = |why: String| Plan::Rebuild { from, why };
    if held.topic_id != log.topic_id {
        return rebuild("its changelog was deleted and created again".into());
    }
    if held.offset >= log.end {
        return rebuild(format!("its changelog ends at {} and the store holds offset {}", log.end, held.offset));
    }
    if held.offset + 1 < log.start {
        return rebuild(format!("its changelog begins at {} and the store holds only {}", log.start, held.offset));
    }
    let age = Duration::from_millis(now_ms.saturating_sub(held.at_ms).max(0) as u64);
    // Deletes older than this may be gone from the changelog; only a store that saw none of it is sure to be right.
    if age > log.delete_retention && held.offset + 1 < log.end {
        return rebuild(format!(
            "its checkpoint is {} hours old, more than the changelog keeps deletes",
            age.as_secs() / 3600
        ));
    }
    Plan::Tail { from: held.offset + 1 }
}

/// A restore under way: batches records and tells its progress.
pub struct Restore {
    log: Changelog,
    batch: Writes,
    fed: usize,
    position: i64,
    restored: u64,
    begun: Instant,
    told: Instant,
    moved: Instant,
}

/// Large, because RocksDB takes sorted batches far faster.
const BATCH: usize = 5000;

/// What is to be said of all entries, once those that were fed are written.
pub type Mark<'a> = &'a dyn Fn() -> Option<Vec<u8>>;

/// What a person is told while a restore goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    pub left: i64,
    pub restored: u64,
    pub per_second: f64,
    pub seconds_left: f64,
}

impl Restore {
    pub fn new(log: Changelog, from: i64, now: Instant) -> Self {
        Self { log, batch: Writes::default(), fed: 0, position: from, restored: 0, begun: now, told: now, moved: now }
    }

    /// Takes one changelog record.
    pub fn feed(
        &mut self,
        partition: &Partition,
        offset: i64,
        key: &[u8],
        value: Option<&[u8]>,
        now: (Instant, i64),
        mark: Mark<'_>,
    ) -> Result<()> {
        if !layout::known(key) {
            let text = format!("changelog offset {offset} was written by another version of highwater");
            return Err(super::StoreError::Failed(text));
        }
        self.batch.put(key, value);
        self.fed += 1;
        self.position = offset + 1;
        self.restored += 1;
        self.moved = now.0;
        if self.fed >= BATCH { self.write(partition, now.1, mark) } else { Ok(()) }
    }

    /// An end of partition at `offset`: true if it is the real one.
    pub fn ended(&mut self, partition: &Partition, offset: i64, now_ms: i64, mark: Mark<'_>) -> Result<bool> {
        if offset < self.log.end {
            return Ok(false);
        }
        self.write(partition, now_ms, mark)?;
        Ok(true)
    }

    fn write(&mut self, partition: &Partition, now_ms: i64, mark: Mark<'_>) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let checkpoint = Checkpoint { topic_id: self.log.topic_id, offset: self.position - 1, at_ms: now_ms };
        partition.write(self.batch.sorted(), &checkpoint, mark().as_deref())?;
        self.batch.clear();
        self.fed = 0;
        Ok(())
    }

    pub fn progress(&self, now: Instant) -> Progress {
        let left = (self.log.end - self.position).max(0);
        let seconds = now.saturating_duration_since(self.begun).as_secs_f64().max(1e-3);
        let per_second = self.restored as f64 / seconds;
        let seconds_left = if per_second > 0.0 { left as f64 / per_second } else { f64::INFINITY };
        Progress { left, restored: self.restored, per_second, seconds_left }
    }

    pub fn restored(&self) -> u64 {
        self.restored
    }

    /// Every few seconds: time to tell the progress.
    pub fn tell(&mut self, now: Instant) -> Option<Progress> {
        if now.saturating_duration_since(self.told) < Duration::from_secs(5) {
            return None;
        }
        self.told = now;
        Some(self.progress(now))
    }

    /// Nothing came for so long that a transaction seems to hang.
    pub fn stalled(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.moved) > Duration::from_secs(30)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Changelog =
        Changelog { topic_id: [1; 16], start: 10, end: 100, delete_retention: Duration::from_secs(86_400) };

    fn held(offset: i64) -> Checkpoint {
        Checkpoint { topic_id: [1; 16], offset, at_ms: 0 }
    }

    #[test]
    fn a_store_goes_on_only_where_it_fits_its_changelog() {
        assert_eq!(plan(None, &LOG, 0), Plan::Fresh { from: 10 });
        assert_eq!(plan(Some(held(50)), &LOG, 0), Plan::Tail { from: 51 });
        assert_eq!(plan(Some(held(9)), &LOG, 0), Plan::Tail { from: 10 });
        assert_eq!(plan(Some(held(99)), &LOG, i64::MAX), Plan::Tail { from: 100 }, "nothing was missed");
        let day = 86_400_000;
        let misfits =
            [(held(8), 0), (held(100), 0), (held(50), day + 1), (Checkpoint { topic_id: [2; 16], ..held(50) }, 0)];
        for (checkpoint, now) in misfits {
            assert!(matches!(plan(Some(checkpoint), &LOG, now), Plan::Rebuild { from: 10, .. }), "{checkpoint:?}");
        }
    }
}
