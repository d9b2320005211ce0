//! A sink's worker: one consumer, one transactional producer, some inserts under way; advanced by one step at a time.
//!
//! ```text
//!   Connect ──init──▶ Idle ──batch due, plan done, owner to be confirmed──▶ Offsets ──▶ End ──▶ Idle, and the inserts start
//!      ▲                ▲                                                     │         │
//!      │                └────────────── Abort ◀── Rejoin (the group moved on) ┴─────────┤
//!      └─────────────────────────────── Restore (outcome unknown, producer lost) ◀──────┘
//! ```
//! After an abort nothing is read again: what was read is rows still, whatever became of the transaction. After an unknown
//! outcome everything is, from what the log says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connectors::clickhouse::client::{About, Server};
use crate::connectors::clickhouse::table::Table;
use crate::engine::shared::Shared;
use crate::log::{Event, GroupConsumer, Isolation, Log, LogError, Producer, Reader, Result, TopicPartition};
use crate::telemetry::{InsertOutcome, PartitionFreshness, PartitionMetrics, SinkFreshness, SinkMetrics, WorkerHealth};
use crate::topology::Sink;

use super::commit::Change;
use super::inserts::{Finished, Inserts, Job, Outcome};
use super::opening::Opening;
use super::task::{INSERTS_FAIL, Limits, Planned, Taken, Task};
use super::topics::{self, Topics};

/// No request to the log waits longer.
pub(super) const WAIT: Duration = Duration::from_secs(1);
/// Records a poll hands over at most.
const BATCH: usize = 1000;
/// How often the cluster is asked for new topics, and the server for its tables.
const SURVEY_EVERY: Duration = Duration::from_secs(30);
/// That an insert is in waits so long for the next plan to say so with it.
const DONE_WAITS: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cycle {
    Connect,
    Idle,
    Offsets,
    End,
    Abort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Working,
    Stopped,
}

/// What a worker is made of.
pub struct Parts {
    pub shared: Arc<Shared>,
    pub sink: Arc<Sink>,
    /// The log as a member of the sink's own group.
    pub log: Arc<dyn Log>,
    pub server: Arc<dyn Server>,
    pub inserts: Box<dyn Inserts>,
    /// Among the workers of this instance, for health.
    pub index: usize,
    pub transactional_id: String,
}

pub struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) sink: Arc<Sink>,
    pub(super) log: Arc<dyn Log>,
    pub(super) server: Arc<dyn Server>,
    inserts: Box<dyn Inserts>,
    pub(super) index: usize,
    transactional_id: String,
    pub(super) consumer: Option<Box<dyn GroupConsumer>>,
    pub(super) reader: Box<dyn Reader>,
    pub(super) producer: Option<Box<dyn Producer>>,
    pub(super) cycle: Cycle,
    /// What the open transaction holds.
    pub(super) changes: Vec<Change>,
    pub(super) tasks: BTreeMap<TopicPartition, Task>,
    /// Ours, on their way up.
    pub(super) assigned: BTreeSet<TopicPartition>,
    pub(super) opening: Opening,
    pub(super) plans: TopicPartition,
    pub(super) topics: Topics,
    pub(super) tables: BTreeMap<String, Arc<Table>>,
    events: VecDeque<Event>,
    subscribed: Vec<String>,
    under_way: usize,
    pub(super) joined: bool,
    seek_wanted: bool,
    pub(super) pause: Option<Instant>,
    failures: u32,
    surveyed: Option<Instant>,
    pub(super) reported: Option<Instant>,
    last_warning: Option<Instant>,
    stop_since: Option<Instant>,
    pub(super) metrics: SinkMetrics,
    pub(super) lags: BTreeMap<TopicPartition, PartitionMetrics>,
    pub(super) freshness: Fresh,
}

/// How fresh the tables are, and the partitions that are ours.
pub(super) struct Fresh {
    pub sink: SinkFreshness,
    pub partitions: BTreeMap<TopicPartition, PartitionFreshness>,
}

/// A little longer each time, up to half a minute.
pub(super) fn back_off(failures: u32) -> Duration {
    Duration::from_millis(250 << failures.min(7))
}

impl Worker {
    pub fn new(parts: Parts) -> Result<Self> {
        let Parts { shared, sink, log, server, inserts, index, transactional_id } = parts;
        let consumer = log.group_consumer(index)?;
        let reader = log.reader(index, Isolation::Committed)?;
        let plans = TopicPartition::new(shared.topology.plans(&sink.name), 0);
        let metrics = shared.metrics.sink(&sink.name);
        let freshness = Fresh { sink: shared.metrics.sink_freshness(&sink.name), partitions: BTreeMap::new() };
        Ok(Self {
            shared,
            sink,
            log,
            server,
            inserts,
            index,
            transactional_id,
            consumer: Some(consumer),
            reader,
            producer: None,
            cycle: Cycle::Connect,
            changes: Vec::new(),
            tasks: BTreeMap::new(),
            assigned: BTreeSet::new(),
            opening: Opening::Nothing,
            plans,
            topics: Topics::default(),
            tables: BTreeMap::new(),
            events: VecDeque::new(),
            subscribed: Vec::new(),
            under_way: 0,
            joined: false,
            seek_wanted: false,
            pause: None,
            failures: 0,
            surveyed: None,
            reported: None,
            last_warning: None,
            stop_since: None,
            metrics,
            lags: BTreeMap::new(),
            freshness,
        })
    }

    /// One step. An error is final, and says what a person must do.
    pub fn step(&mut self) -> Result<Status> {
        let now = self.shared.clock.now();
        self.report(now);
        if let Some(until) = self.pause {
            if now < until && !self.shared.stopping() {
                self.serve();
                self.shared.clock.sleep((until - now).min(Duration::from_millis(50)));
                return Ok(Status::Working);
            }
            self.pause = None;
        }
        self.collect(now)?;
        if self.shared.stopping() && self.may_stop(now) {
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
            Cycle::Offsets => self.send_offsets(),
            Cycle::End => self.end_transaction(now),
            Cycle::Abort => self.abort(),
            Cycle::Idle => self.run(now),
        }
    }

    fn react(&mut self, advanced: Result<()>, now: Instant) -> Result<()> {
        match advanced {
            Ok(()) => Ok(()),
            Err(LogError::Retry(text)) => {
                self.pause = Some(now + Duration::from_millis(250));
                self.waits_for(&text);
                Ok(())
            }
            Err(LogError::Rejoin(text)) => {
                tracing::info!(sink = self.sink.name, reason = text, "aborting: the group moved on");
                self.failed(now);
                self.cycle = Cycle::Abort;
                Ok(())
            }
            Err(LogError::Restore(text)) => {
                tracing::warn!(
                    sink = self.sink.name,
                    reason = text,
                    "the transaction's outcome is unknown: a new producer, and committed offsets decide"
                );
                self.failed(now);
                self.reopen_all();
                Ok(())
            }
            Err(stop) => Err(stop),
        }
    }

    fn failed(&mut self, now: Instant) {
        self.failures += 1;
        if self.failures > 1 {
            self.pause = Some(now + back_off(self.failures).min(Duration::from_secs(5)));
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    pub(super) fn waits_for(&mut self, text: &str) {
        let now = self.shared.clock.now();
        if self.last_warning.is_none_or(|at| now.duration_since(at) > Duration::from_secs(10)) {
            self.last_warning = Some(now);
            tracing::warn!(sink = self.sink.name, reason = text, "waiting, and trying again");
        }
        self.shared.health.set_worker(self.index, WorkerHealth::waiting(text), now);
    }

    pub(super) fn serve(&mut self) {
        if let Some(consumer) = &mut self.consumer {
            self.events.extend(consumer.serve());
        }
    }

    pub(super) fn consumer(&mut self) -> Result<&mut Box<dyn GroupConsumer>> {
        self.consumer.as_mut().ok_or_else(|| LogError::Stop("the group was left".into()))
    }

    /// Nothing is known of the open transaction: everything from what the log says.
    fn reopen_all(&mut self) {
        self.producer = None;
        self.cycle = Cycle::Connect;
        self.changes.clear();
        self.stop_opening();
        self.assigned.extend(std::mem::take(&mut self.tasks).into_keys());
        self.freshness.partitions.values().for_each(PartitionFreshness::read);
        if let Some(consumer) = &mut self.consumer {
            let partitions: Vec<_> = self.assigned.iter().cloned().collect();
            if let Err(error) = consumer.pause(&partitions) {
                tracing::debug!(%error, "a pause was overtaken");
            }
        }
    }

    fn connect(&mut self) -> Result<()> {
        self.serve();
        let mut producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.log.producer(&self.transactional_id)?,
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
            Err(LogError::Restore(text) | LogError::Rejoin(text)) => Err(LogError::Retry(text)),
            Err(stop) => Err(stop),
        }
    }

    fn run(&mut self, now: Instant) -> Result<()> {
        if let Some(event) = self.events.pop_front() {
            return self.handle(event, now);
        }
        self.survey(now)?;
        self.release_held(now)?;
        if self.shared.stopping() {
            return self.wind_down(now);
        }
        if self.commit_due(now) {
            return self.begin_commit(now);
        }
        self.start_inserts(now);
        self.seek_after_rebalance()?;
        let opens = match self.open() {
            Err(LogError::Retry(text)) => {
                self.waits_for(&text);
                self.stop_opening();
                self.pause = Some(now + Duration::from_millis(250));
                return Ok(());
            }
            opens => opens?,
        };
        self.poll(now, opens)
    }

    fn survey(&mut self, now: Instant) -> Result<()> {
        if self.surveyed.is_some_and(|at| now.duration_since(at) < SURVEY_EVERY) {
            return Ok(());
        }
        let found = match topics::survey(&self.shared.topology, &self.sink, self.shared.log.admin()) {
            Err(LogError::Retry(text)) if self.surveyed.is_some() => {
                tracing::debug!(text, "the cluster could not be surveyed");
                return Ok(());
            }
            found => found?,
        };
        for (topic, info) in &self.topics.sources {
            if found.sources.get(topic).is_some_and(|now| now.id != info.id) {
                let text = format!("{topic} was deleted and created again; start again to read the new one");
                return Err(LogError::Stop(text));
            }
        }
        if self.surveyed.is_none() {
            for topic in &found.missing {
                tracing::warn!(topic, sink = self.sink.name, "the topic does not exist yet; it joins when it does");
            }
        }
        self.surveyed = Some(now);
        self.topics = found;
        self.report_tables();
        self.look_again();
        let names: Vec<_> = self.topics.sources.keys().cloned().collect();
        if names != self.subscribed && !names.is_empty() {
            self.consumer()?.subscribe(&names)?;
            self.subscribed = names;
        }
        if self.subscribed.is_empty() {
            self.surveyed = None;
            self.pause = Some(now + Duration::from_millis(500));
            self.waits_for("a topic that the sink reads");
        }
        Ok(())
    }

    /// Nothing new; the log is told what is in.
    fn wind_down(&mut self, now: Instant) -> Result<()> {
        if self.tasks.values().any(|task| task.planned.is_none() && task.done.is_some()) {
            return self.begin_commit(now);
        }
        self.serve();
        self.shared.clock.sleep(Duration::from_millis(5));
        Ok(())
    }

    /// Bytes and rows of one batch: of each task one is under way, one waits, and one is being filled.
    pub(super) fn limits(&self) -> Limits {
        let config = &self.sink.clickhouse;
        let tasks = (self.tasks.len() + self.assigned.len()).max(1) as u64;
        let share = config.memory / (3 * tasks);
        Limits { rows: config.batch.rows, bytes: config.batch.bytes.min(share).max(1) as usize }
    }

    fn poll(&mut self, now: Instant, busy: bool) -> Result<()> {
        let timeout = self.sink.clickhouse.batch.timeout;
        let due = self.tasks.values().filter_map(Task::waits_since).min().map(|since| since + timeout);
        let idle = Duration::from_millis(if busy || self.under_way > 0 { 1 } else { 20 });
        let wait = due.map_or(idle, |due| due.saturating_duration_since(now).min(idle));
        // What is read now would only wait; the client keeps it until then.
        let failing = |task: &Task| task.planned.as_ref().is_some_and(|planned| planned.failures > 0);
        let ahead = |task: &Task| task.held.is_none() && task.is_ahead();
        for task in self.tasks.values_mut().filter(|task| ahead(task) && failing(task)) {
            // Others need not wait for what fails.
            task.hold(INSERTS_FAIL.into(), Vec::new(), now);
        }
        if self.tasks.values().any(ahead) {
            self.serve();
            self.shared.clock.sleep(Duration::from_millis(1));
            return Ok(());
        }
        let Self { consumer, tasks, sink, shared, events, freshness, .. } = self;
        let Some(consumer) = consumer else { return Ok(()) };
        let application = &shared.topology.application;
        let (mut outcome, mut said) = (Ok(()), None);
        let mut tp = TopicPartition::new("", 0);
        let more = consumer.poll(BATCH, wait, &mut |record| {
            if outcome.is_err() {
                return;
            }
            if tp.partition != record.partition || *tp.topic != *record.topic {
                tp = TopicPartition::new(record.topic, record.partition);
                freshness.partitions.get(&tp).into_iter().for_each(PartitionFreshness::read);
            }
            let Some(task) = tasks.get_mut(&tp) else { return };
            if task.held.is_some() || record.offset < task.position {
                return;
            }
            match task.take(record, sink, application, now) {
                Ok(Taken::Done) => {}
                Ok(Taken::Hold(why, missing)) => {
                    if task.table.is_some() {
                        said = Some((task.table_name.clone(), why.clone()));
                    }
                    task.hold(why, missing, now);
                }
                Err(error) => outcome = Err(error),
            }
        });
        events.extend(more);
        outcome?;
        if let Some((table, why)) = said {
            self.metrics.not_fitting(&table);
            self.waits_for(&why);
        }
        let held: Vec<_> = self.tasks.values().filter(|task| task.held.is_some()).map(|task| task.tp.clone()).collect();
        if !held.is_empty() {
            self.consumer()?.pause(&held)?;
        }
        Ok(())
    }

    /// Sends what is planned, as far as there is room.
    fn start_inserts(&mut self, now: Instant) {
        for task in self.tasks.values_mut() {
            if self.under_way >= self.inserts.most() {
                return;
            }
            let Some(planned) = &mut task.planned else { continue };
            if planned.again.is_some_and(|again| now < again) || planned.needs_confirmation(now) {
                continue;
            }
            let Some(batch) = planned.batch.take() else { continue };
            let Some(target) = batch.target().cloned() else { continue };
            planned.sent = Some(now);
            self.under_way += 1;
            self.inserts.start(Job {
                tp: task.tp.clone(),
                table: target.table,
                columns: planned.plan.columns.iter().map(|(name, _)| name.clone()).collect(),
                token: planned.plan.token.clone(),
                confirmed: planned.confirmed,
                batch,
            });
        }
    }

    /// Takes what came back from the server.
    fn collect(&mut self, now: Instant) -> Result<()> {
        while let Some(Finished { job, outcome, took }) = self.inserts.finished() {
            self.under_way -= 1;
            let table = job.table.name.clone();
            let Some(task) = self.tasks.get_mut(&job.tp) else { continue };
            // Its plan may have become another's, and ours again as a new task.
            let Some(planned) = task.planned.take_if(|p| p.is_under_way() && p.plan.token == job.token) else {
                continue;
            };
            match outcome {
                Outcome::Done => {
                    let wall = self.shared.clock.wall_ms();
                    tracing::debug!(sink = self.sink.name, table, source = %job.tp, rows = job.batch.rows(),
                        took_ms = took.as_millis(), "inserted");
                    self.metrics.insert(&table, InsertOutcome::Done, took);
                    self.metrics.rows(&table, &job.batch.times().collect::<Vec<_>>(), wall * 1000);
                    task.done = Some((Planned::closed(planned.plan), now));
                    task.taken_again(now);
                    if let Some(freshness) = self.freshness.partitions.get(&job.tp) {
                        freshness.arrived(&job.batch.arrived());
                    }
                    self.report_waiting(&job.tp);
                }
                Outcome::Late => task.planned = Some(planned.back(job.batch, now, Duration::ZERO)),
                Outcome::Failed(trouble) => {
                    let again = trouble.about() == About::Server;
                    let outcome = if again { InsertOutcome::Failed } else { InsertOutcome::Refused };
                    self.metrics.insert(&table, outcome, took);
                    self.insert_failed(job, planned, trouble, now)?;
                }
            }
        }
        // A thread that is gone tells nothing.
        let limit = self.sink.clickhouse.insert_timeout * 2 + Duration::from_secs(60);
        let lost = |task: &&Task| {
            task.planned
                .as_ref()
                .is_some_and(|p| p.is_under_way() && p.sent.is_some_and(|at| now.duration_since(at) > limit))
        };
        match self.tasks.values().find(lost) {
            Some(task) => Err(LogError::Stop(format!("an insert of {} came to no end; this is a bug", task.tp))),
            None => Ok(()),
        }
    }

    fn handle(&mut self, event: Event, now: Instant) -> Result<()> {
        match event {
            Event::Assigned(partitions) => {
                tracing::info!(sink = self.sink.name, partitions = %names(&partitions), "assigned");
                (self.joined, self.seek_wanted) = (true, true);
                if let Err(error) = self.consumer()?.take(&partitions) {
                    tracing::warn!(sink = self.sink.name, %error, "an assignment was overtaken");
                    return Ok(());
                }
                for tp in &partitions {
                    let table = self.sink.table_for(&tp.topic).unwrap_or_default();
                    let freshness = self.freshness.sink.partition(&table, &tp.topic, tp.partition);
                    self.freshness.partitions.insert(tp.clone(), freshness);
                }
                self.assigned.extend(partitions);
                Ok(())
            }
            Event::Revoked { partitions, lost } => self.revoked(partitions, lost, now),
            Event::OutOfRange(tp) => self.out_of_reach(&tp).inspect_err(|error| {
                if matches!(error, LogError::Retry(_)) {
                    self.events.push_back(Event::OutOfRange(tp));
                }
            }),
            Event::Unreachable(text) => {
                self.waits_for(&text);
                Ok(())
            }
            Event::Notice(text) => {
                tracing::debug!(sink = self.sink.name, "{text}");
                Ok(())
            }
            Event::End { .. } => Ok(()),
            Event::Fatal(error) => Err(error),
        }
    }

    /// The client asked for an offset that is not there: ours, or one that it went astray to.
    fn out_of_reach(&mut self, tp: &TopicPartition) -> Result<()> {
        let Some(position) = self.tasks.get(tp).map(|task| task.position) else { return Ok(()) };
        let bounds = self.shared.log.admin().bounds(tp)?;
        if (bounds.start..=bounds.end).contains(&position) {
            return self.consumer()?.resume_at(tp, position);
        }
        Err(self.out_of_range(tp, position, bounds.start, bounds.end))
    }

    /// What is under way comes to its end first, and the log is told; what must not wait goes as it is: its plan stays open,
    /// and the next owner repeats it.
    fn revoked(&mut self, partitions: Vec<TopicPartition>, lost: bool, now: Instant) -> Result<()> {
        let going = |tp: &TopicPartition| partitions.contains(tp);
        let ours = self.tasks.values().filter(|task| going(&task.tp));
        let busy = ours.clone().any(|task| task.planned.as_ref().is_some_and(Planned::is_under_way));
        let untold = ours.clone().any(|task| task.done.is_some());
        if !lost && (busy || untold) {
            self.events.push_front(Event::Revoked { partitions, lost });
            if !busy {
                return self.begin_commit(now);
            }
            self.serve();
            self.shared.clock.sleep(Duration::from_millis(5));
            return Ok(());
        }
        tracing::info!(sink = self.sink.name, partitions = %names(&partitions), lost, "revoked");
        for tp in &partitions {
            self.tasks.remove(tp);
            self.assigned.remove(tp);
            self.lags.remove(tp);
            self.freshness.partitions.remove(tp);
        }
        self.seek_wanted = true;
        if let Err(error) = self.consumer()?.release(&partitions) {
            tracing::warn!(sink = self.sink.name, %error, "a revocation was overtaken");
        }
        Ok(())
    }

    /// Partitions that the group takes away as soon as events are handled.
    pub(super) fn is_going(&self, tp: &TopicPartition) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, Event::Revoked { partitions, lost: true } if partitions.contains(tp)))
    }

    fn seek_after_rebalance(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.seek_wanted) {
            return Ok(());
        }
        let limits = self.limits();
        self.tasks.values_mut().for_each(|task| task.limits = limits);
        let running: Vec<_> = self
            .tasks
            .values()
            .filter(|task| task.held.is_none())
            .map(|task| (task.tp.clone(), task.position))
            .collect();
        for (tp, position) in running {
            if !self.events.iter().any(|e| matches!(e, Event::Revoked { partitions, .. } if partitions.contains(&tp))) {
                self.consumer()?.resume_at(&tp, position)?;
            }
        }
        Ok(())
    }

    /// A batch is full or old enough, the log does not know that an insert is in, or an owner must be confirmed.
    fn commit_due(&mut self, now: Instant) -> bool {
        if let Some(since) = now.checked_sub(self.sink.clickhouse.batch.timeout) {
            self.tasks.values_mut().for_each(|task| task.seal_older_than(since));
        }
        self.tasks.values().any(|task| {
            task.is_due()
                || task.done.as_ref().is_some_and(|(_, at)| now.duration_since(*at) >= DONE_WAITS)
                || task.planned.as_ref().is_some_and(|planned| {
                    planned.again.is_none_or(|again| now >= again) && planned.needs_confirmation(now)
                })
        })
    }

    /// Everything that is under way has come back, and the log knows of it. An insert that hangs is left to whoever is next.
    fn may_stop(&mut self, now: Instant) -> bool {
        let since = *self.stop_since.get_or_insert(now);
        let patience = self.shared.topology.transaction_timeout;
        let untold = self.tasks.values().any(|task| task.done.is_some());
        let quiet = self.under_way == 0 && !untold && matches!(self.cycle, Cycle::Idle | Cycle::Connect);
        quiet || now.duration_since(since) > patience
    }

    fn close(&mut self) {
        let now = self.shared.clock.now();
        self.shared.health.set_worker(self.index, WorkerHealth::Stopping, now);
        self.stop_opening();
        self.tasks.clear();
        self.freshness.partitions.clear();
        if let Some(mut consumer) = self.consumer.take() {
            for event in self.events.drain(..) {
                if let Event::Revoked { partitions, .. } = event
                    && let Err(error) = consumer.release(&partitions)
                {
                    tracing::debug!(%error, "a rebalance was overtaken by the stop");
                }
            }
            consumer.leave();
        }
        self.producer = None;
    }

    /// Ends in a hurry after an error.
    pub fn give_up(mut self) {
        if let Some(producer) = &mut self.producer
            && !matches!(self.cycle, Cycle::Idle | Cycle::Connect)
            && let Err(error) = producer.abort(Duration::from_secs(5))
        {
            tracing::debug!(%error, "the open transaction is left to its timeout");
        }
        self.close();
    }
}

fn names(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
