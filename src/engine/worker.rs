//! A worker: one consumer, one transactional producer, some tasks; advanced by one request to the log a step.
//!
//! ```text
//!   Connect ──init──▶ Idle ──first record──▶ Open ──interval, revocation, stop──▶ Offsets ──▶ End ──apply──▶ Idle
//!      ▲                ▲                      │                                     │         │
//!      │                └──── Rewind ◀── Abort ◀── Rejoin (the group moved on) ──────┴─────────┤
//!      └──────────────────────────────── Restore (outcome unknown, producer lost) ◀────────────┘
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::log::{Event, GroupConsumer, Isolation, LogError, Outgoing, Producer, Reader, Result, Sent, TopicPartition};
use crate::telemetry::{Outcome, PartitionMetrics, Rebalance, StoreMetrics, TaskMetrics, TaskState, WorkerHealth};

use super::catalog::Catalog;
use super::clock::Clock;
use super::opening::Opening;
use super::shared::Shared;
use super::task::Task;

/// Where the worker stands in the commit cycle; drawn above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cycle {
    Connect,
    Idle,
    Open { since: Instant },
    Offsets { since: Instant },
    End { since: Instant },
    Abort,
    Rewind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Working,
    /// Everything is committed, the group is left.
    Stopped,
}

/// A task on its way up, or up.
pub(super) enum Slot {
    Opening(Box<Opening>),
    Running(Box<Task>),
}

/// No request to the log waits longer.
pub(super) const WAIT: Duration = Duration::from_secs(1);
/// Records a poll hands over at most.
const BATCH: usize = 1000;
/// With a backlog there are so many times as long as the last commit took from commit to commit, and no longer than this.
const WORTH: u32 = 13;
const LONGEST: Duration = Duration::from_millis(500);
/// A transaction ends before its interval when it has staged this much.
const STAGED_BYTES: usize = 32 << 20;

pub struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) index: usize,
    transactional_id: String,
    pub(super) consumer: Option<Box<dyn GroupConsumer>>,
    pub(super) reader: Box<dyn Reader>,
    pub(super) producer: Option<Box<dyn Producer>>,
    pub(super) cycle: Cycle,
    pub(super) tasks: BTreeMap<TopicPartition, Slot>,
    events: VecDeque<Event>,
    pub(super) catalog: Arc<Catalog>,
    subscribed: Vec<String>,
    /// An assignment has been seen.
    pub(super) joined: bool,
    pub(super) catching_up: usize,
    /// A rebalance went by: running tasks must be sought before the next poll.
    seek_wanted: bool,
    pub(super) pause: Option<Instant>,
    opening_pause: Option<Instant>,
    failures: u32,
    stop_since: Option<Instant>,
    pub(super) reported: Option<Instant>,
    last_warning: Option<Instant>,
    pub(super) last_flush: Instant,
    pub(super) commit_begun: Instant,
    /// How long the last commit took, from its first record to its last answer.
    pub(super) commit_took: Duration,
    /// The last poll handed over all that it may: more is waiting.
    has_backlog: bool,
    pub(super) task_metrics: TaskMetrics,
    pub(super) lags: BTreeMap<TopicPartition, PartitionMetrics>,
    pub(super) stores: BTreeMap<TopicPartition, StoreMetrics>,
}

impl Worker {
    pub fn new(shared: Arc<Shared>, index: usize, transactional_id: String) -> Result<Self> {
        let consumer = shared.log.group_consumer(index)?;
        let reader = shared.log.reader(index, Isolation::Committed)?;
        let catalog = shared.catalog();
        let last_flush = shared.clock.now();
        let task_metrics = shared.metrics.tasks();
        Ok(Self {
            shared,
            index,
            transactional_id,
            consumer: Some(consumer),
            reader,
            producer: None,
            cycle: Cycle::Connect,
            tasks: BTreeMap::new(),
            events: VecDeque::new(),
            catalog,
            subscribed: Vec::new(),
            joined: false,
            catching_up: 0,
            seek_wanted: false,
            pause: None,
            opening_pause: None,
            failures: 0,
            stop_since: None,
            reported: None,
            last_warning: None,
            last_flush,
            commit_begun: last_flush,
            commit_took: Duration::ZERO,
            has_backlog: false,
            task_metrics,
            lags: BTreeMap::new(),
            stores: BTreeMap::new(),
        })
    }

    /// Begins to join the group before the first step, which tries again where that fails. Whoever begins at the same time
    /// with its coordinator at hand is balanced with us, where else it would be after us: twice more, and a heartbeat each.
    pub fn join(workers: &mut [Self]) {
        if workers.len() > 1 {
            workers.iter_mut().filter_map(|worker| worker.consumer.as_mut()).for_each(|consumer| consumer.reach(WAIT));
        }
        for worker in workers {
            if let Err(error) = worker.follow_catalog() {
                tracing::debug!(worker = worker.index, %error, "not joining the group yet");
            }
        }
    }

    /// One step. An error is final, and says what a person must do.
    pub fn step(&mut self) -> Result<Status> {
        let now = self.shared.clock.now();
        self.report(now);
        if let Some(until) = self.pause {
            if now < until && !self.shared.stopping() {
                self.hold(until - now);
                return Ok(Status::Working);
            }
            self.pause = None;
        }
        if self.shared.stopping() && self.may_stop(now)? {
            self.close();
            return Ok(Status::Stopped);
        }
        let advanced = self.advance(now);
        self.react(advanced, now)?;
        Ok(Status::Working)
    }

    fn advance(&mut self, now: Instant) -> Result<()> {
        match self.cycle {
            Cycle::Connect => self.connect(),
            Cycle::Offsets { since } => self.send_offsets(since),
            Cycle::End { since } => self.end_transaction(since),
            Cycle::Abort => self.abort(),
            Cycle::Rewind => self.rewind(),
            Cycle::Idle | Cycle::Open { .. } => self.run(now),
        }
    }

    /// The one place where errors become reactions.
    fn react(&mut self, advanced: Result<()>, now: Instant) -> Result<()> {
        match advanced {
            Ok(()) => Ok(()),
            Err(LogError::Retry(text)) => {
                self.back_off(&text, now);
                Ok(())
            }
            Err(LogError::Rejoin(text)) => {
                tracing::info!(worker = self.index, reason = text, "aborting: the group moved on");
                self.back_off_after_failure(now);
                self.cycle = Cycle::Abort;
                Ok(())
            }
            Err(LogError::Restore(text)) => {
                tracing::warn!(
                    worker = self.index,
                    reason = text,
                    "the transaction's outcome is unknown: a new producer, and committed offsets decide"
                );
                self.shared.metrics.transaction(Outcome::Unknown, Duration::ZERO);
                self.back_off_after_failure(now);
                self.reopen_all()
            }
            Err(stop @ LogError::Stop(_)) => Err(stop),
        }
    }

    fn back_off(&mut self, text: &str, now: Instant) {
        self.pause = Some(now + Duration::from_millis(250));
        self.waits_for(text);
    }

    /// Says what keeps the worker from going on, in the log and on /readyz.
    pub(super) fn waits_for(&mut self, text: &str) {
        let now = self.shared.clock.now();
        self.warn(text, now);
        self.shared.health.set_worker(self.index, WorkerHealth::waiting(text), now);
    }

    /// Not more often than every ten seconds: what is waited for does not change that fast.
    fn warn(&mut self, text: &str, now: Instant) {
        if self.last_warning.is_none_or(|at| now.duration_since(at) > Duration::from_secs(10)) {
            self.last_warning = Some(now);
            tracing::warn!(worker = self.index, reason = text, "waiting, and trying again");
        }
    }

    fn back_off_after_failure(&mut self, now: Instant) {
        self.failures += 1;
        if self.failures > 1 {
            let wait = Duration::from_millis(100 << self.failures.min(6));
            self.pause = Some(now + wait.min(Duration::from_secs(5)));
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Waits without losing touch with the group.
    fn hold(&mut self, time: Duration) {
        self.serve();
        self.shared.clock.sleep(time.min(Duration::from_millis(50)));
    }

    /// Collects rebalances; they are handled between transactions.
    pub(super) fn serve(&mut self) {
        if let Some(consumer) = &mut self.consumer {
            self.events.extend(consumer.serve());
        }
    }

    fn run(&mut self, now: Instant) -> Result<()> {
        if let Some(event) = self.events.pop_front() {
            return self.handle(event);
        }
        if let Cycle::Open { since } = self.cycle
            && self.commit_due(now)
        {
            return self.begin_commit(since);
        }
        self.seek_after_rebalance()?;
        self.flush_by_age(now);
        self.follow_catalog()?;
        self.open_some(now)?;
        self.rest();
        self.poll(now)
    }

    /// Before records are taken: those that come meanwhile belong to the same transaction.
    fn rest(&self) {
        if let (Cycle::Idle, Some(producer)) = (self.cycle, &self.producer) {
            let rest = producer.rest();
            if !rest.is_zero() {
                self.shared.clock.sleep(rest);
            }
        }
    }

    /// Tasks that come up must not hold up those that run: what they wait for is asked for again a little later.
    fn open_some(&mut self, now: Instant) -> Result<()> {
        if self.opening_pause.is_some_and(|until| now < until) {
            return Ok(());
        }
        self.opening_pause = None;
        match self.open_next() {
            Err(LogError::Retry(text)) => {
                self.opening_pause = Some(now + Duration::from_millis(250));
                self.warn(&text, now);
                Ok(())
            }
            opened => opened,
        }
    }

    /// From commit to commit, not from a transaction's first record: the first one after a pause does not wait.
    fn commit_due(&self, now: Instant) -> bool {
        let staged: usize = self.running().map(Task::staged_bytes).sum();
        self.shared.stopping() || now >= self.commit_begun + self.interval() || staged > STAGED_BYTES
    }

    /// The time from commit to commit. Where more is waiting than can be processed, rows are late by more than an interval
    /// anyhow, and commits should not be what they wait for.
    fn interval(&self) -> Duration {
        let worth = if self.has_backlog { (WORTH * self.commit_took).min(LONGEST) } else { Duration::ZERO };
        self.shared.topology.commit_interval.max(worth)
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter_map(|slot| match slot {
            Slot::Running(task) => Some(&**task),
            Slot::Opening(_) => None,
        })
    }

    /// The topics to read may grow while we run.
    fn follow_catalog(&mut self) -> Result<()> {
        let catalog = self.shared.catalog();
        if !Arc::ptr_eq(&catalog, &self.catalog) || self.subscribed.is_empty() {
            let topics = catalog.topics();
            self.catalog = catalog;
            if topics != self.subscribed && !topics.is_empty() {
                self.consumer()?.subscribe(&topics)?;
                self.subscribed = topics;
            }
        }
        Ok(())
    }

    pub(super) fn consumer(&mut self) -> Result<&mut Box<dyn GroupConsumer>> {
        self.consumer.as_mut().ok_or_else(|| LogError::Stop("the group was left".into()))
    }

    fn poll(&mut self, now: Instant) -> Result<()> {
        let wait = self.poll_wait(now);
        let Self { consumer, producer, tasks, cycle, catalog, shared, events, .. } = self;
        let (Some(consumer), Some(producer)) = (consumer, producer) else { return Ok(()) };
        let mut outcome = Ok(());
        let mut count = 0;
        let mut tp = TopicPartition::new("", 0);
        let more = consumer.poll(BATCH, wait, &mut |record| {
            count += 1;
            if outcome.is_err() {
                return;
            }
            // Records come in runs of one partition.
            if tp.partition != record.partition || *tp.topic != *record.topic {
                tp = TopicPartition::new(record.topic, record.partition);
            }
            // Tasks that are not up yet are paused, and begin at an offset of their own.
            let Some(Slot::Running(task)) = tasks.get_mut(&tp) else { return };
            if record.offset < task.position {
                // Fetched before a rewind that it does not belong to. No transaction begins for it: one without
                // offsets would not be fenced.
                return;
            }
            outcome = begin(cycle, producer.as_mut(), shared.clock.as_ref())
                .and_then(|()| task.process(record, catalog, &mut |out| send(producer.as_mut(), out, shared)));
        });
        events.extend(more);
        self.has_backlog = count == BATCH;
        outcome
    }

    fn poll_wait(&self, now: Instant) -> Duration {
        let idle = Duration::from_millis(if self.catching_up > 0 { 1 } else { 20 });
        match self.cycle {
            Cycle::Open { .. } => {
                let due = self.commit_begun + self.interval();
                due.saturating_duration_since(now).min(idle)
            }
            _ => idle,
        }
    }

    fn handle(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Assigned(partitions) => self.assigned(partitions),
            Event::Revoked { partitions, lost } => self.revoked(partitions, lost),
            Event::End { .. } => Ok(()),
            Event::OutOfRange(tp) => self.out_of_range(&tp).inspect_err(|error| {
                if matches!(error, LogError::Retry(_)) {
                    self.events.push_back(Event::OutOfRange(tp));
                }
            }),
            Event::Unreachable(text) => {
                self.warn(&text, self.shared.clock.now());
                Ok(())
            }
            Event::Notice(text) => {
                tracing::debug!(worker = self.index, "{text}");
                Ok(())
            }
            Event::Fatal(error) => Err(error),
        }
    }

    fn assigned(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        self.shared.metrics.rebalance(Rebalance::Assigned);
        if !partitions.is_empty() || !self.joined {
            tracing::info!(worker = self.index, partitions = %names(&partitions), "assigned");
        }
        self.joined = true;
        self.seek_wanted = true;
        // Refused where we were thrown out of the group meanwhile. Of what was never taken no loss will be told: a task for it
        // would wait for ever, and keep its store from whoever is given the partition next.
        if let Err(error) = self.consumer()?.take(&partitions) {
            tracing::warn!(worker = self.index, %error, "an assignment was overtaken");
            return Ok(());
        }
        for tp in partitions {
            let opening = Opening::new(&tp, &self.catalog)?;
            self.tasks.insert(tp, Slot::Opening(Box::new(opening)));
        }
        self.count_opening();
        Ok(())
    }

    /// Commit all, apply, close the revoked tasks, give them back. If they are lost already, nothing of the open
    /// transaction may be committed in their name: abort, and rewind what stays.
    fn revoked(&mut self, partitions: Vec<TopicPartition>, lost: bool) -> Result<()> {
        if let Cycle::Open { since } = self.cycle {
            self.events.push_front(Event::Revoked { partitions: partitions.clone(), lost });
            if !lost {
                return self.begin_commit(since);
            }
            // The event is handled again once the abort is through; what stays is rewound then.
            self.cycle = Cycle::Abort;
            return Ok(());
        }
        self.shared.metrics.rebalance(if lost { Rebalance::Lost } else { Rebalance::Revoked });
        tracing::info!(worker = self.index, partitions = %names(&partitions), lost, "revoked");
        for tp in &partitions {
            self.close_task(tp);
        }
        self.count_opening();
        self.seek_wanted = true;
        if let Err(error) = self.consumer()?.release(&partitions) {
            tracing::warn!(worker = self.index, %error, "a revocation was overtaken");
        }
        Ok(())
    }

    pub(super) fn want_seek(&mut self) {
        self.seek_wanted = true;
    }

    /// A rebalance pauses and resumes what stays assigned. Where the client then goes on is its own business; where we
    /// go on is ours.
    fn seek_after_rebalance(&mut self) -> Result<()> {
        if !self.seek_wanted {
            return Ok(());
        }
        let places: Vec<_> = self.running().map(|task| (task.tp.clone(), task.position)).collect();
        for (tp, position) in places {
            self.consumer()?.resume_at(&tp, position)?;
        }
        self.seek_wanted = false;
        Ok(())
    }

    fn close_task(&mut self, tp: &TopicPartition) {
        self.lags.remove(tp);
        self.stores.remove(tp);
        match self.tasks.remove(tp) {
            Some(Slot::Opening(opening)) => opening.cancel(self.reader.as_mut()),
            Some(Slot::Running(mut task)) => {
                if let Some(dedup) = &mut task.dedup
                    && let Err(error) = dedup.store.flush(false)
                {
                    tracing::warn!(%error, source = %tp, "the store could not be flushed; it will replay more of its changelog");
                }
            }
            None => {}
        }
    }

    /// Events that were queued while a transaction was open may revoke tasks that `rewind` should then leave alone.
    pub(super) fn revocation_waits(&self, tp: &TopicPartition) -> bool {
        let about = |e: &Event| matches!(e, Event::Revoked { partitions, .. } if partitions.contains(tp));
        self.events.iter().any(about)
    }

    /// True once nothing is open any more.
    fn may_stop(&mut self, now: Instant) -> Result<bool> {
        let since = *self.stop_since.get_or_insert(now);
        let patience = self.shared.topology.transaction_timeout + Duration::from_secs(5);
        let quiet = matches!(self.cycle, Cycle::Idle | Cycle::Connect);
        if !quiet && now.duration_since(since) > patience {
            return Err(LogError::Stop(
                "gave up waiting for the open transaction to end; it will be decided at the next start: nothing is lost"
                    .into(),
            ));
        }
        Ok(quiet)
    }

    /// Closes the stores and leaves the group.
    fn close(&mut self) {
        let now = self.shared.clock.now();
        self.shared.health.set_worker(self.index, WorkerHealth::Stopping, now);
        for tp in self.tasks.keys().cloned().collect::<Vec<_>>() {
            self.close_task(&tp);
        }
        self.task_metrics.set(TaskState::Running, 0);
        if let Some(mut consumer) = self.consumer.take() {
            for event in self.events.drain(..) {
                let answered = match event {
                    Event::Revoked { partitions, .. } => consumer.release(&partitions),
                    Event::Assigned(partitions) => consumer.take(&partitions),
                    _ => continue,
                };
                if let Err(error) = answered {
                    tracing::debug!(%error, "a rebalance was overtaken by the stop");
                }
            }
            consumer.leave();
        }
        self.producer = None;
    }

    /// Ends in a hurry after an error: nothing of the open transaction is committed.
    pub fn give_up(mut self) {
        if let Some(producer) = &mut self.producer
            && !matches!(self.cycle, Cycle::Idle | Cycle::Connect)
            && let Err(error) = producer.abort(Duration::from_secs(5))
        {
            tracing::debug!(%error, "the open transaction is left to its timeout");
        }
        self.tasks.values_mut().for_each(|slot| {
            if let Slot::Running(task) = slot {
                task.discard();
            }
        });
        self.close();
    }

    /// A producer that nothing is known against; whatever one of this id left open is over then.
    fn connect(&mut self) -> Result<()> {
        self.serve();
        let mut producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.shared.log.producer(&self.transactional_id)?,
        };
        match producer.init(WAIT) {
            Ok(()) => {
                self.producer = Some(producer);
                self.cycle = Cycle::Idle;
                Ok(())
            }
            Err(LogError::Retry(text)) => {
                self.producer = Some(producer);
                Err(LogError::Retry(text))
            }
            // This one is spent: the next step makes another.
            Err(LogError::Restore(text) | LogError::Rejoin(text)) => Err(LogError::Retry(text)),
            Err(stop) => Err(stop),
        }
    }
}

fn names(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Begins the transaction with its first record.
fn begin(cycle: &mut Cycle, producer: &mut dyn Producer, clock: &dyn Clock) -> Result<()> {
    if *cycle == Cycle::Idle {
        producer.begin()?;
        *cycle = Cycle::Open { since: clock.now() };
    }
    Ok(())
}

/// Sends, waiting while the client's queue is full.
pub(super) fn send(producer: &mut dyn Producer, out: &Outgoing<'_>, shared: &Shared) -> Result<()> {
    let begun = shared.clock.now();
    loop {
        match producer.send(out)? {
            Sent::Queued => return Ok(()),
            Sent::Full => {}
        }
        shared.clock.sleep(Duration::from_millis(1));
        if shared.clock.now().duration_since(begun) > shared.topology.transaction_timeout {
            return Err(LogError::Rejoin("the cluster takes no records".into()));
        }
    }
}
