//! The commit cycle.
//!
//! fetch → process, staging output, changelog and state → … commit interval … → changelog records → offsets → commit →
//! apply the staged state to RocksDB, one batch with its checkpoint a store.
//!
//! | the process dies | what the log holds | after restart |
//! |---|---|---|
//! | before the commit | an open transaction: aborted by the next `init` of the same id, or by its timeout | its records are processed again; state never saw them |
//! | during the commit, outcome unknown | committed or aborted, never half | committed offsets decide; stores are restored |
//! | after the commit, before the apply | committed | the checkpoint is behind the changelog; the tail is replayed, then the task runs |
//! | within the apply | committed | a batch is atomic with its checkpoint: as above |
//!
//! Every transaction carries the offset of every task it touched: one without offsets would not be fenced by the group.

use std::time::{Duration, Instant};

use crate::log::{Ended, LogError, Outgoing, Result, TopicPartition};
use crate::store::Checkpoint;
use crate::telemetry::Outcome;

use super::worker::{Cycle, Slot, WAIT, Worker, send};

/// So often what stores keep in memory is written and flushed, so that a crash does not throw their checkpoints far back.
const FLUSH_EVERY: Duration = Duration::from_secs(300);

impl Worker {
    /// Sends what the tasks staged to their changelogs, on the partitions of the tasks' own numbers.
    pub(super) fn begin_commit(&mut self, since: Instant) -> Result<()> {
        self.commit_begun = self.shared.clock.now();
        let Self { tasks, producer, catalog, shared, .. } = self;
        let Some(producer) = producer else { return Err(LogError::Restore("no producer".into())) };
        for slot in tasks.values_mut() {
            let Slot::Running(task) = slot else { continue };
            if !task.touched {
                continue;
            }
            let Some(changelog) = catalog.changelog(&task.tp.topic) else {
                continue;
            };
            let partition = Some(task.tp.partition);
            for (key, value) in task.staged() {
                let out = Outgoing {
                    topic: &changelog.topic,
                    partition,
                    key: Some(key),
                    value,
                    headers: &[],
                    timestamp: None,
                };
                send(producer.as_mut(), &out, shared)?;
            }
        }
        self.cycle = Cycle::Offsets { since };
        Ok(())
    }

    pub(super) fn send_offsets(&mut self, since: Instant) -> Result<()> {
        self.serve();
        let touched = self.running().filter(|task| task.touched);
        let offsets: Vec<_> = touched.map(|task| (task.tp.clone(), task.position)).collect();
        // Refuses what the broker would not fence: an empty member id, a negative generation, a lost assignment.
        let membership = self.consumer()?.membership()?;
        let Some(producer) = &mut self.producer else { return Err(LogError::Restore("no producer".into())) };
        producer.send_offsets(&offsets, &membership, 5 * WAIT)?;
        self.cycle = Cycle::End { since };
        Ok(())
    }

    pub(super) fn end_transaction(&mut self, since: Instant) -> Result<()> {
        self.serve();
        let Some(producer) = &mut self.producer else { return Err(LogError::Restore("no producer".into())) };
        let ended = producer.commit(WAIT)?;
        if ended == Ended::Pending {
            self.waits_for("the end of a transaction: no answer from its coordinator yet");
            return Ok(());
        }
        self.apply()?;
        let now = self.shared.clock.now();
        self.commit_took = now.duration_since(self.commit_begun);
        let took = now.duration_since(since);
        self.shared.metrics.transaction(Outcome::Committed, took);
        tracing::trace!(
            worker = self.index,
            lasted_ms = took.as_millis(),
            commit_ms = self.commit_took.as_millis(),
            "committed"
        );
        self.succeeded();
        self.cycle = Cycle::Idle;
        if ended == Ended::DoneDoubtfully {
            // A request of this commit may still be on its way, and could end a later transaction.
            self.producer = None;
            self.cycle = Cycle::Connect;
        }
        Ok(())
    }

    /// What was committed becomes state; what was staged becomes visible to restarts.
    fn apply(&mut self) -> Result<()> {
        let wall = self.shared.clock.wall_ms();
        let Self { tasks, producer, catalog, .. } = self;
        let Some(producer) = producer else { return Err(LogError::Restore("no producer".into())) };
        for slot in tasks.values_mut() {
            let Slot::Running(task) = slot else { continue };
            if !task.touched {
                continue;
            }
            // A transaction of replays only writes nothing to the changelog, and leaves the store where it is.
            if let (Some(dedup), Some(changelog)) = (task.dedup.as_mut(), catalog.changelog(&task.tp.topic))
                && dedup.store.staged_bytes() > 0
            {
                let log = TopicPartition::new(changelog.topic.as_str(), task.tp.partition);
                let acknowledged = producer.acknowledged(&log);
                let offset =
                    acknowledged.ok_or_else(|| LogError::Restore(format!("no write to {log} was acknowledged")))?;
                let checkpoint = Checkpoint { topic_id: changelog.info.id, offset, at_ms: wall };
                dedup.apply(&checkpoint).map_err(|e| {
                    LogError::Stop(format!(
                        "{e}. The transaction is committed; the store catches up from its changelog at the next start"
                    ))
                })?;
            }
            task.committed(wall);
        }
        Ok(())
    }

    pub(super) fn abort(&mut self) -> Result<()> {
        self.serve();
        let Some(producer) = &mut self.producer else { return Err(LogError::Restore("no producer".into())) };
        match producer.abort(WAIT)? {
            Ended::Pending => {
                self.waits_for("the abort of a transaction: no answer from its coordinator yet");
                return Ok(());
            }
            // A request of it may still be on its way, and could abort the first half of a later transaction.
            Ended::DoneDoubtfully => self.producer = None,
            Ended::Done => {}
        }
        self.shared.metrics.transaction(Outcome::Aborted, Duration::ZERO);
        for slot in self.tasks.values_mut() {
            if let Slot::Running(task) = slot {
                task.discard();
            }
        }
        self.cycle = Cycle::Rewind;
        Ok(())
    }

    /// After an abort: every task that stays goes back to its committed offset. A task whose offset is not where we
    /// committed it was another's in between: its store is behind, so it is opened anew. A second line: its loss is on its way
    /// to us, and nothing of ours can be committed before it is told.
    pub(super) fn rewind(&mut self) -> Result<()> {
        self.serve();
        let staying: Vec<_> =
            self.running().map(|task| task.tp.clone()).filter(|tp| !self.revocation_waits(tp)).collect();
        if !staying.is_empty() {
            let committed = self.consumer()?.committed(&staying, WAIT)?;
            for (tp, committed) in staying.iter().zip(committed) {
                let Some(Slot::Running(task)) = self.tasks.get(tp) else { continue };
                let expected = task.committed;
                if committed == Some(expected) || (committed.is_none() && task.never_committed) {
                    self.consumer()?.resume_at(tp, expected)?;
                } else {
                    self.reopen(tp)?;
                }
            }
        }
        self.cycle = if self.producer.is_some() { Cycle::Idle } else { Cycle::Connect };
        Ok(())
    }

    pub(super) fn flush_by_age(&mut self, now: Instant) {
        if now.duration_since(self.last_flush) < FLUSH_EVERY {
            return;
        }
        self.last_flush = now;
        for slot in self.tasks.values_mut() {
            if let Slot::Running(task) = slot
                && let Some(dedup) = &mut task.dedup
                && let Err(error) = dedup.store.flush(false)
            {
                tracing::warn!(%error, source = %task.tp, "the store could not be flushed");
            }
        }
    }
}
