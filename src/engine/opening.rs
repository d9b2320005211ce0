//! Bringing a task up: claim its store, wait for stable committed offsets, read the changelog to its end, begin.
//!
//! ```text
//! Claim ──▶ Offsets ──▶ Ends ──▶ Restoring ──▶ (the task runs)
//! ```
//! In this order, and after the producer's `init`: see [`crate::store::restore`].

use std::sync::Arc;
use std::time::Instant;

use crate::log::{Admin, Bounds, Event, LogError, Reader, Result, TopicPartition};
use crate::operators::dedup::{Entry, Highest};
use crate::record::Record;
use crate::record::position::{Epochs, Rise};
use crate::store::digest::Digester;
use crate::store::restore::{self, Plan, Restore};
use crate::store::{Partition, Store, StoreError, layout};
use crate::telemetry::RestoreMetrics;

use super::catalog::{Catalog, SourceTopic};
use super::changelog;
use super::shared::Shared;
use super::task::{Dedup, Parts, Task};
use super::worker::{Slot, WAIT, Worker};

enum Stage {
    Claim,
    Offsets,
    Ends { committed: Option<i64> },
    Restoring { committed: Option<i64>, restore: Box<Restore>, metrics: RestoreMetrics },
    Ready { committed: Option<i64>, reading: bool },
}

/// A task on its way up.
pub struct Opening {
    tp: TopicPartition,
    source: SourceTopic,
    /// The changelog partition, where the stream has a store.
    changelog: Option<TopicPartition>,
    store: Option<Partition>,
    /// What none of its entries exceeds, where that is known.
    highest: Option<Highest>,
    stage: Stage,
}

impl Opening {
    pub fn new(tp: &TopicPartition, catalog: &Catalog) -> Result<Self> {
        let source = catalog.sources.get(&*tp.topic).cloned();
        let source =
            source.ok_or_else(|| LogError::Stop(format!("{} is not among the topics that we read", tp.topic)))?;
        if tp.partition >= source.info.partitions {
            return Err(LogError::Stop(format!(
                "{} has grown to more than {} partitions while we ran; start again to be told the way out",
                tp.topic, source.info.partitions
            )));
        }
        let changelog = source.changelog.as_ref().map(|c| TopicPartition::new(c.topic.as_str(), tp.partition));
        Ok(Self { tp: tp.clone(), source, changelog, store: None, highest: None, stage: Stage::Claim })
    }

    /// Records left to restore; None while it waits for something else.
    pub fn left(&self, now: Instant) -> Option<i64> {
        match &self.stage {
            Stage::Restoring { restore, .. } => Some(restore.progress(now).left),
            _ => None,
        }
    }

    pub fn cancel(self: Box<Self>, reader: &mut dyn Reader) {
        let reading = matches!(self.stage, Stage::Restoring { .. } | Stage::Ready { reading: true, .. });
        if let (true, Some(changelog)) = (reading, &self.changelog)
            && let Err(error) = reader.stop(changelog)
        {
            tracing::debug!(%error, "a restore was cancelled");
        }
    }

    /// The name of the store that it is to claim.
    fn to_claim(&self, shared: &Shared) -> Option<String> {
        let claims = self.changelog.is_some() && matches!(self.stage, Stage::Claim);
        claims.then(|| format!("{}/{}", self.stream(shared), self.tp))
    }

    /// The store, once no other worker of this process has it: that worker may still be about to apply.
    fn claim(&mut self, shared: &Shared) -> Result<()> {
        if let Some(name) = self.to_claim(shared) {
            match shared.database.partition(&name) {
                Ok(partition) => {
                    self.check_key(shared, &partition)?;
                    self.store = Some(partition);
                }
                Err(StoreError::InUse) => return Ok(()),
                Err(error) => return Err(LogError::Stop(error.to_string())),
            }
        }
        self.stage = Stage::Offsets;
        Ok(())
    }

    /// Nothing is restored into a store, nor wiped, that another digest key filled.
    fn check_key(&self, shared: &Shared, partition: &Partition) -> Result<()> {
        match partition.get(layout::DIGEST_KEY, <[u8]>::to_vec).map_err(stop)? {
            None => Ok(()),
            kept => changelog::state_key(shared, self.stream(shared), &self.tp, kept.as_deref(), [0; 32]).map(drop),
        }
    }

    fn stream<'a>(&self, shared: &'a Shared) -> &'a str {
        &shared.topology.streams[self.source.stream].name
    }

    /// The changelog's end as `read_uncommitted` sees it, *after* the committed offsets were stable: the marker of the
    /// transaction that moved them may reach this partition later than theirs.
    fn read_ends(&mut self, shared: &Shared, reader: &mut dyn Reader, committed: Option<i64>) -> Result<()> {
        let (Some(tp), Some(store), Some(changelog)) = (&self.changelog, &mut self.store, &self.source.changelog)
        else {
            self.stage = Stage::Ready { committed, reading: false };
            return Ok(());
        };
        let Bounds { start, end } = shared.log.admin().bounds(tp)?;
        let delete_retention = changelog.info.delete_retention;
        let log = restore::Changelog { topic_id: changelog.info.id, start, end, delete_retention };
        let held = store.checkpoint().map_err(stop)?;
        let plan = restore::plan(held, &log, shared.clock.wall_ms());
        if let Plan::Rebuild { why, .. } = &plan {
            tracing::warn!(source = %self.tp, changelog = %tp, why, "the store does not fit its changelog: rebuilding it");
        }
        if matches!(plan, Plan::Tail { .. }) {
            self.highest = store.mark().map_err(stop)?.and_then(|mark| Highest::decode(&mark));
        } else {
            store.wipe().map_err(stop)?;
            self.highest = Some(Highest::default());
        }
        let from = plan.from();
        if from >= end {
            self.stage = Stage::Ready { committed, reading: false };
            return Ok(());
        }
        tracing::info!(source = %self.tp, changelog = %tp, from, end, "restoring");
        reader.start(tp, from)?;
        let metrics = shared.metrics.restore(&tp.topic, tp.partition);
        let restore = Box::new(Restore::new(log, from, shared.clock.now()));
        self.stage = Stage::Restoring { committed, restore, metrics };
        Ok(())
    }

    fn restores(&self, topic: &str, partition: i32) -> bool {
        self.changelog.as_ref().is_some_and(|c| &*c.topic == topic && c.partition == partition)
    }

    fn feed(&mut self, shared: &Shared, record: &Record<'_>, now: (Instant, i64)) -> Result<()> {
        let (Stage::Restoring { restore, .. }, Some(store), Some(from)) =
            (&mut self.stage, &mut self.store, &self.changelog)
        else {
            return Ok(());
        };
        let (offset, key, value) = (record.offset, record.key, record.value);
        if let Some(why) = changelog::refusal(key, value) {
            return Err(changelog::stop_at(shared.log.admin(), from, &self.tp.topic, offset, &why));
        }
        if key == Some(layout::DIGEST_KEY) {
            let stream = &shared.topology.streams[self.source.stream].name;
            changelog::state_key(shared, stream, &self.tp, value, [0; 32])?;
        }
        let key = key.unwrap_or_default();
        if let (Some(highest), true, Some(value)) = (&mut self.highest, layout::is_data(key), value)
            && let Some(entry) = Entry::decode(value)
        {
            highest.raise(&entry);
        }
        let highest = self.highest;
        restore.feed(store, offset, key, value, now, &|| highest.map(|h| h.encode())).map_err(stop)
    }

    /// An end of partition: the last stable offset at first, the real end when it is at or beyond the end we took.
    fn ended(&mut self, offset: i64, now_ms: i64) -> Result<()> {
        let (Stage::Restoring { committed, restore, .. }, Some(store)) = (&mut self.stage, &mut self.store) else {
            return Ok(());
        };
        let highest = self.highest;
        if restore.ended(store, offset, now_ms, &|| highest.map(|h| h.encode())).map_err(stop)? {
            tracing::info!(source = %self.tp, records = restore.restored(), "restored");
            self.stage = Stage::Ready { committed: *committed, reading: true };
        }
        Ok(())
    }

    fn tell(&mut self, admin: &dyn Admin, now: Instant) {
        let Stage::Restoring { restore, metrics, .. } = &mut self.stage else { return };
        metrics.remaining(restore.progress(now).left.max(0) as u64);
        let Some(p) = restore.tell(now) else { return };
        tracing::info!(source = %self.tp, records_left = p.left, per_second = p.per_second.round(),
            seconds_left = p.seconds_left.round(), "restoring");
        if let (true, Some(changelog)) = (restore.stalled(now), &self.changelog) {
            tracing::error!(changelog = %changelog, help = admin.hanging_hint(changelog),
                "the changelog's last stable offset does not move: a transaction was never ended");
        }
    }

    fn reads(&self) -> Option<&TopicPartition> {
        matches!(self.stage, Stage::Ready { reading: true, .. }).then_some(self.changelog.as_ref())?
    }

    /// The offset that it would begin from, once it is ready.
    fn committed(&self) -> Option<i64> {
        match self.stage {
            Stage::Ready { committed, .. } => committed,
            _ => None,
        }
    }

    fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready { .. })
    }

    fn kept_epochs(&self) -> Result<Option<Epochs>> {
        let Some(store) = &self.store else { return Ok(None) };
        let kept = store.get(layout::EPOCHS, Epochs::decode).map_err(stop)?;
        match kept {
            Some(None) => Err(LogError::Stop(format!(
                "the store of {}: its epochs are damaged, or a later version's. Run the version that wrote them, or use \
                     another state directory (--state DIR): its stores are restored from their changelogs",
                self.tp
            ))),
            kept => Ok(kept.flatten()),
        }
    }

    /// Where to begin, if committed offset, store and source agree.
    fn start_offset(&self, shared: &Shared) -> Result<i64> {
        let admin = shared.log.admin();
        let Stage::Ready { committed, .. } = self.stage else { return Err(LogError::Retry("not ready".into())) };
        let bounds = admin.bounds(&self.tp)?;
        self.check_whole(admin)?;
        let kept = self.kept_epochs()?;
        let recreated = kept.as_ref().is_some_and(|epochs| !epochs.is_of(&self.source.info.id));
        let seen = kept.as_ref().map_or(0, Epochs::evaluated_to);
        let reset = |to: &str| admin.reset_hint(&self.tp, to);
        match committed {
            None if seen > 0 && !recreated => Err(LogError::Stop(format!(
                "{} has no committed offset, but its store has processed it up to {seen}: the offset expired or was \
                 deleted. Stop every instance, and go on from there ({}) or process all again ({}); changes that were \
                 sent already are dropped then, except those of tables without a key",
                self.tp,
                reset(&seen.to_string()),
                reset("earliest")
            ))),
            None => Ok(bounds.start),
            Some(offset) if recreated => Err(LogError::Stop(format!(
                "{} was deleted and created again, and the committed offset {offset} belongs to the old one. Stop every \
                 instance and begin with the new one: {}",
                self.tp,
                reset("earliest")
            ))),
            Some(offset) if offset < bounds.start || offset > bounds.end => {
                Err(LogError::Stop(out_of_range(admin, &self.tp, offset, bounds)))
            }
            Some(offset) => {
                if seen == 0 && self.store.is_some() {
                    self.check_name(shared)?;
                }
                Ok(offset)
            }
        }
    }

    /// A stream that was renamed has left its positions behind, and would let out again what is delivered again.
    fn check_name(&self, shared: &Shared) -> Result<()> {
        let (tp, own) = (&self.tp, self.stream(shared));
        let Some((former, left)) = changelog::left_behind(shared, tp, own)? else { return Ok(()) };
        Err(LogError::Stop(format!(
            "{tp} was processed by stream `{former}`, whose positions are in the changelog {left}; stream `{own}` has none, and \
             what is delivered again would leave again. Give the stream its name `{former}` back. Or, if what was sent may be \
             forgotten, delete that changelog ({}) and start again",
            shared.log.admin().deletion_hint(&left)
        )))
    }

    /// A changelog that lost its beginning leaves rows that nobody finds again: their digests need the key that is gone.
    fn check_whole(&self, admin: &dyn Admin) -> Result<()> {
        let (Some(store), Some(changelog)) = (&self.store, &self.changelog) else { return Ok(()) };
        if store.checkpoint().map_err(stop)?.is_none() {
            return Ok(());
        }
        for (key, what) in [(layout::DIGEST_KEY, "digest key"), (layout::EPOCHS, "epochs")] {
            if store.get(key, |_| ()).map_err(stop)?.is_none() {
                return Err(LogError::Stop(format!(
                    "the store of {} holds rows and not its {what}: records of its changelog {changelog} were \
                     deleted. {}",
                    self.tp,
                    changelog::begin_anew(admin, &changelog.topic, &self.tp.topic)
                )));
            }
        }
        Ok(())
    }

    fn finish(self, shared: &Shared, start: i64) -> Result<Task> {
        let stream = Arc::new(shared.topology.streams[self.source.stream].clone());
        let kept_epochs = self.kept_epochs()?;
        let topic_id = self.source.info.id;
        let committed = matches!(self.stage, Stage::Ready { committed: Some(_), .. });
        let dedup = match (self.store, stream.dedup.clone()) {
            (Some(partition), Some(config)) => {
                let mut epochs = kept_epochs.unwrap_or_default();
                if epochs.bind(topic_id) == Some(Rise::TopicRecreated) {
                    tracing::warn!(source = %self.tp, "the source topic was deleted and created again: a new epoch begins");
                }
                let (digester, fresh_key) = digester(shared, &stream.name, &self.tp, &partition)?;
                // An earlier version kept none.
                let highest = self.highest.map_or_else(|| Highest::of(&partition), Ok).map_err(stop)?;
                Some(Dedup::new(config, Store::new(partition), digester, epochs, highest, fresh_key))
            }
            _ => None,
        };
        if committed && dedup.as_ref().is_some_and(|d| d.epochs.evaluated_to() == 0) {
            tracing::warn!(source = %self.tp, offset = start,
                "the group has processed this partition and its changelog holds no positions: changes from before this \
                 offset are not recognised if they are delivered again");
        }
        let metrics = shared.metrics.stream(&stream.name);
        let application = shared.topology.application.as_str().into();
        Task::new(Parts { tp: self.tp, application, stream, topic_id, dedup, start, committed, metrics })
    }
}

fn stop(error: StoreError) -> LogError {
    LogError::Stop(error.to_string())
}

/// The digester of a store partition; a key made just now is returned too, to be committed with the first data.
fn digester(
    shared: &Shared,
    stream: &str,
    tp: &TopicPartition,
    partition: &Partition,
) -> Result<(Digester, Option<Vec<u8>>)> {
    let kept = partition.get(layout::DIGEST_KEY, <[u8]>::to_vec).map_err(stop)?;
    let mut fresh = [0; 32];
    shared.clock.random(&mut fresh).map_err(LogError::Stop)?;
    let key = changelog::state_key(shared, stream, tp, kept.as_deref(), fresh)?;
    let fresh_key = kept.is_none().then(|| key.encode());
    Ok((Digester::new(&key, stream, &tp.topic), fresh_key))
}

fn out_of_range(admin: &dyn Admin, tp: &TopicPartition, offset: i64, bounds: Bounds) -> String {
    let Bounds { start, end } = bounds;
    if offset < start {
        format!(
            "{tp}: offsets {offset} to {} were deleted before they were processed; those changes are lost to the \
             pipeline. Take a new snapshot of the table (Debezium: an incremental snapshot signal), stop every \
             instance, and go on from the log's start: {}",
            start - 1,
            admin.reset_hint(tp, "earliest")
        )
    } else {
        format!(
            "{tp}: the committed offset {offset} is beyond the log's end {end}: the topic was truncated or restored from \
             an older copy. Stop every instance, and begin again (what was sent already is dropped): {}",
            admin.reset_hint(tp, "earliest")
        )
    }
}

impl Worker {
    pub(super) fn count_opening(&mut self) {
        self.catching_up = self.tasks.values().filter(|slot| matches!(slot, Slot::Opening(_))).count();
    }

    /// After an unknown outcome: nothing in memory is to be trusted.
    pub(super) fn reopen_all(&mut self) -> Result<()> {
        self.producer = None;
        self.cycle = super::worker::Cycle::Connect;
        for tp in self.tasks.keys().cloned().collect::<Vec<_>>() {
            self.reopen(&tp)?;
        }
        Ok(())
    }

    /// Takes a running task back to its opening.
    pub(super) fn reopen(&mut self, tp: &TopicPartition) -> Result<()> {
        match self.tasks.remove(tp) {
            Some(Slot::Opening(opening)) => opening.cancel(self.reader.as_mut()),
            Some(Slot::Running(mut task)) => task.discard(),
            None => return Ok(()),
        }
        // Records that come all the same find no running task and are fetched again from where it begins.
        if let Err(error) = self.consumer()?.pause(std::slice::from_ref(tp)) {
            tracing::debug!(%error, source = %tp, "not paused");
        }
        let opening = Opening::new(tp, &self.catalog)?;
        self.tasks.insert(tp.clone(), Slot::Opening(Box::new(opening)));
        self.count_opening();
        Ok(())
    }

    /// One request for the tasks that are on their way up.
    pub(super) fn open_next(&mut self) -> Result<()> {
        if self.catching_up == 0 {
            return Ok(());
        }
        self.read_offsets()?;
        let opening = self.tasks.values().filter_map(|slot| match slot {
            Slot::Opening(opening) => opening.to_claim(&self.shared),
            Slot::Running(_) => None,
        });
        self.shared.database.expect(&opening.collect::<Vec<_>>()).map_err(stop)?;
        for slot in self.tasks.values_mut() {
            let Slot::Opening(opening) = slot else { continue };
            match opening.stage {
                Stage::Claim => opening.claim(&self.shared)?,
                Stage::Ends { committed } => return opening.read_ends(&self.shared, self.reader.as_mut(), committed),
                _ => {}
            }
        }
        self.restore_some()?;
        self.start_ready()
    }

    /// Committed offsets of all tasks that wait for them, in one request; unstable ones are waited for.
    fn read_offsets(&mut self) -> Result<()> {
        let waiting: Vec<TopicPartition> = self
            .tasks
            .values()
            .filter_map(|slot| match slot {
                Slot::Opening(opening) if matches!(opening.stage, Stage::Offsets) => Some(opening.tp.clone()),
                _ => None,
            })
            .collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let committed = self.consumer()?.committed(&waiting, WAIT)?;
        for (tp, committed) in waiting.iter().zip(committed) {
            if let Some(Slot::Opening(opening)) = self.tasks.get_mut(tp) {
                opening.stage = Stage::Ends { committed };
            }
        }
        Ok(())
    }

    /// Feeds what the reader has to the restores under way.
    fn restore_some(&mut self) -> Result<()> {
        let now = (self.shared.clock.now(), self.shared.clock.wall_ms());
        let mut outcome = Ok(());
        let Self { tasks, reader, shared, .. } = self;
        let mut restoring: Vec<&mut Opening> = tasks
            .values_mut()
            .filter_map(|slot| match slot {
                Slot::Opening(opening) if matches!(opening.stage, Stage::Restoring { .. }) => Some(&mut **opening),
                _ => None,
            })
            .collect();
        if restoring.is_empty() {
            return Ok(());
        }
        let events = reader.poll(10_000, std::time::Duration::from_millis(20), &mut |record| {
            let found = restoring.iter_mut().find(|o| o.restores(record.topic, record.partition));
            let Some(opening) = found else { return };
            if outcome.is_ok() {
                outcome = opening.feed(shared, record, now);
            }
        });
        outcome?;
        for event in events {
            match event {
                Event::End { tp, offset } => {
                    if let Some(opening) = restoring.iter_mut().find(|o| o.restores(&tp.topic, tp.partition)) {
                        opening.ended(offset, now.1)?;
                    }
                }
                Event::Fatal(error) => return Err(error),
                Event::OutOfRange(tp) => return Err(LogError::Restore(format!("{tp} was truncated during a restore"))),
                Event::Notice(text) | Event::Unreachable(text) => tracing::debug!("restore: {text}"),
                Event::Assigned(_) | Event::Revoked { .. } => {}
            }
        }
        for opening in restoring {
            opening.tell(self.shared.log.admin(), now.0);
        }
        Ok(())
    }

    /// Turns tasks that are up to date into running ones.
    fn start_ready(&mut self) -> Result<()> {
        let ready = self.tasks.iter().find(|(_, slot)| matches!(slot, Slot::Opening(o) if o.is_ready()));
        let Some(tp) = ready.map(|(tp, _)| tp.clone()) else { return Ok(()) };
        let Some(Slot::Opening(opening)) = self.tasks.get_mut(&tp) else { return Ok(()) };
        let start = match opening.start_offset(&self.shared) {
            Err(LogError::Stop(text)) => {
                let read = opening.committed();
                return self.stop_unless_moved(&tp, read, text);
            }
            start => start?,
        };
        self.consumer()?.resume_at(&tp, start)?;
        let Some(Slot::Opening(opening)) = self.tasks.remove(&tp) else { return Ok(()) };
        if let Some(changelog) = opening.reads() {
            self.reader.stop(changelog)?;
        }
        let task = opening.finish(&self.shared, start)?;
        tracing::info!(worker = self.index, source = %tp, offset = start, "running");
        self.tasks.insert(tp, Slot::Running(Box::new(task)));
        self.count_opening();
        Ok(())
    }

    /// What a person would have to mend is looked at twice. This process may have stood still, and the partition may have
    /// been another's in between: then the committed offset is not what it was, and the task is opened anew (or its loss
    /// is on its way to us).
    fn stop_unless_moved(&mut self, tp: &TopicPartition, committed: Option<i64>, text: String) -> Result<()> {
        let now = self.consumer()?.committed(std::slice::from_ref(tp), WAIT)?;
        if now == [committed] {
            return Err(LogError::Stop(text));
        }
        tracing::info!(worker = self.index, source = %tp, "another had the partition in between");
        self.reopen(tp)
    }

    /// The log has not what a task is to read next; or it had not, before a seek that crossed with the answer.
    pub(super) fn out_of_range(&mut self, tp: &TopicPartition) -> Result<()> {
        let Some(Slot::Running(task)) = self.tasks.get(tp) else { return Ok(()) };
        let committed = (!task.never_committed).then_some(task.committed);
        let (admin, position) = (self.shared.log.admin(), task.position);
        let bounds = admin.bounds(tp)?;
        if position < bounds.start || position > bounds.end {
            let text = out_of_range(admin, tp, position, bounds);
            return self.stop_unless_moved(tp, committed, text);
        }
        self.want_seek();
        Ok(())
    }
}
