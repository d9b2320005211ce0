//! Drives the topology of a scenario: one worker on the log in memory, in one thread, by a clock that only we move.
//!
//! Whatever is written before a step is processed in one transaction: while one is open the clock stands still until
//! the worker has read everything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::directory::StateDirectory;
use super::outcome::Outcome;
use super::time::ManualClock;
use super::watch::{Watch, Watched};
use crate::cli::read_back::{Kept, read_back, read_stable};
use crate::engine::catalog::Catalog;
use crate::engine::clock::Clock;
use crate::engine::instance;
use crate::engine::worker::{Shared, Status, Worker};
use crate::log::embedded::{EmbeddedLog, Time};
use crate::log::{Client, Ended, GroupConsumer, Isolation, Log, LogError, Membership, Outgoing, Sent, TopicPartition};
use crate::store::{Database, StoreError, layout};
use crate::telemetry::{Health, Metrics};
use crate::topology::Topology;
use crate::topology::scenario::{Crash, Input, Scenario, Step};

/// Steps without progress before a scenario is given up. By then the clock is past every timeout there is.
const PATIENCE: u32 = 12_000;
/// So long time goes in small steps; then in larger ones, so that long timeouts end as well.
const BRISK: u32 = 2_000;
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
const WAIT: Duration = Duration::from_secs(1);

/// Runs a scenario to its end. An error is one of the machinery. That the topology stops is an outcome.
pub fn run(scenario: &Scenario) -> Result<Outcome, String> {
    let played = Stage::set(scenario).and_then(|mut stage| {
        let stopped = match stage.play() {
            Ok(()) => None,
            Err(End::Stopped(reason)) => Some(reason),
            Err(broken) => return Err(broken),
        };
        stage.outcome(stopped)
    });
    played.map_err(|(End::Stopped(text) | End::Broken(text))| text)
}

/// Why it went no further.
enum End {
    /// The topology stopped, and only a person can help it.
    Stopped(String),
    /// The scenario could not be played.
    Broken(String),
}

impl From<LogError> for End {
    fn from(error: LogError) -> Self {
        End::Broken(error.to_string())
    }
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        End::Broken(error.to_string())
    }
}

fn disk(error: std::io::Error) -> End {
    End::Broken(format!("the state directory of a scenario: {error}"))
}

/// Everything that outlives a worker.
struct Stage<'a> {
    scenario: &'a Scenario,
    topology: Arc<Topology>,
    log: EmbeddedLog,
    clock: Arc<ManualClock>,
    metrics: Arc<Metrics>,
    /// As they were when all was processed.
    rendered: Option<String>,
    directory: StateDirectory,
    /// Looks up committed offsets; in no group.
    offsets: Box<dyn GroupConsumer>,
    /// Of the source topics.
    partitions: Vec<TopicPartition>,
}

/// A worker with what it alone has. Dropped, it is as if its process had been killed.
struct Actor {
    worker: Worker,
    shared: Arc<Shared>,
    watch: Watch,
}

struct Reached {
    positions: Vec<Option<i64>>,
    /// None while a transaction may change it.
    committed: Option<Vec<Option<i64>>>,
    is_open: bool,
}

impl Reached {
    /// Records read, and records committed: while neither is more than ever before there is no progress.
    fn extent(&self) -> [i64; 2] {
        let sum = |offsets: &[Option<i64>]| offsets.iter().flatten().sum();
        [sum(&self.positions), self.committed.as_deref().map_or(0, sum)]
    }
}

impl<'a> Stage<'a> {
    fn set(scenario: &'a Scenario) -> Result<Self, End> {
        let mut topology = scenario.topology.clone();
        (topology.threads, topology.http) = (1, None);
        // When a transaction ends is ours to say; an hour at once would throw the worker out of its group.
        (topology.commit_interval, topology.transaction_timeout) = (COMMIT_INTERVAL, TRANSACTION_TIMEOUT);
        let clock = Arc::new(ManualClock::new());
        let client = Client {
            group: topology.application.clone(),
            client_id: topology.application.clone(),
            transaction_timeout: topology.transaction_timeout,
            instance: None,
        };
        let log = EmbeddedLog::in_memory(client, Time::Manual(clock.shared()))?;
        let mut partitions = Vec::new();
        for (topic, count) in &scenario.topics {
            log.admin().create(topic, *count, &[])?;
            partitions.extend((0..*count).map(|partition| TopicPartition::new(topic.as_str(), partition)));
        }
        let metrics = Arc::new(Metrics::new(instance::known()));
        topology.streams.iter().for_each(|stream| drop(metrics.stream(&stream.name)));
        Ok(Self {
            scenario,
            topology: Arc::new(topology),
            offsets: log.group_consumer(1)?,
            log,
            clock,
            metrics,
            rendered: None,
            directory: StateDirectory::new().map_err(disk)?,
            partitions,
        })
    }

    /// All steps, and a clean stop.
    fn play(&mut self) -> Result<(), End> {
        let mut actor = self.start()?;
        for step in &self.scenario.steps {
            if let Step::Write(records) = step {
                self.write(records)?;
                continue;
            }
            if let Step::Crash(crash) = step {
                self.crash(actor, *crash)?;
            } else {
                self.drive(&mut actor)?;
                self.stop(actor)?;
            }
            match step {
                Step::LoseState => self.directory.lose().map_err(disk)?,
                Step::Rewind { topic, partition, offset } => self.rewind(topic, *partition, *offset)?,
                Step::Write(_) | Step::Restart | Step::Crash(_) => {}
            }
            actor = self.start()?;
        }
        self.drive(&mut actor)?;
        // Gauges are reported every second, and are gone after the stop.
        self.clock.advance(Duration::from_secs(2));
        self.step(&mut actor)?;
        self.rendered = Some(self.metrics.render());
        self.stop(actor)
    }

    fn outcome(self, stopped: Option<String>) -> Result<Outcome, End> {
        let topics = self.log.admin().topics()?;
        let topics: Vec<String> =
            topics.into_iter().filter(|topic| !self.scenario.topics.contains_key(topic)).collect();
        type Read<'r> = &'r dyn Fn(&str) -> crate::log::Result<Vec<Kept>>;
        let read =
            |of: Read<'_>| topics.iter().map(|topic| Ok((topic.clone(), of(topic)?))).collect::<Result<_, End>>();
        Ok(Outcome {
            committed: read(&|topic| read_stable(&self.log, topic))?,
            left: read(&|topic| read_back(&self.log, topic, Isolation::Uncommitted))?,
            keys: self.keys()?,
            metrics: self.rendered.clone().unwrap_or_else(|| self.metrics.render()),
            stopped,
        })
    }

    fn start(&self) -> Result<Actor, End> {
        let watch = Watch::default();
        let log = Watched { log: self.log.clone(), watch: watch.clone() };
        // What a person must mend is an outcome of the scenario.
        let catalog = Catalog::survey(&self.topology, log.admin()).map_err(|error| End::Stopped(error.to_string()))?;
        let shared = Arc::new(Shared {
            topology: self.topology.clone(),
            log: Arc::new(log),
            clock: self.clock.clone(),
            database: self.database()?,
            metrics: self.metrics.clone(),
            health: Arc::new(Health::new(1, Duration::from_secs(3600), self.clock.now())),
            catalog: RwLock::new(Arc::new(catalog)),
            stop: AtomicBool::new(false),
        });
        let worker = Worker::new(shared.clone(), 0, format!("{}-test-0", self.topology.application))?;
        Ok(Actor { worker, shared, watch })
    }

    fn database(&self) -> Result<Arc<Database>, End> {
        let path = self.directory.path();
        std::fs::create_dir_all(&path).map_err(disk)?;
        Ok(Database::open(&path.join("stores"), self.topology.state.memory)?)
    }

    fn step(&self, actor: &mut Actor) -> Result<Status, End> {
        actor.worker.step().map_err(|error| End::Stopped(error.to_string()))
    }

    /// Processes what is written, to its end: everything is committed and every task runs.
    fn drive(&mut self, actor: &mut Actor) -> Result<(), End> {
        let ends = self.ends()?;
        let (mut idle, mut is_due) = (0, false);
        let mut reached = self.reached(actor)?;
        let mut furthest = reached.extent();
        while !is_done(&reached, &ends) {
            self.step(actor)?;
            let has_read_all = reached.positions.iter().zip(&ends).all(|(at, end)| at.is_some_and(|at| at >= *end));
            if !reached.is_open {
                is_due = false;
                self.clock.advance(Duration::from_millis(if idle < BRISK { 1 } else { 50 }));
            } else if has_read_all && !is_due {
                is_due = true;
                self.clock.advance(COMMIT_INTERVAL);
            } else if idle > 100 {
                // Whatever it waits for takes time.
                self.clock.advance(Duration::from_millis(if idle < BRISK { 1 } else { 50 }));
            }
            reached = self.reached(actor)?;
            idle += 1;
            for (furthest, now) in furthest.iter_mut().zip(reached.extent()) {
                idle = if now > *furthest { 0 } else { idle };
                *furthest = now.max(*furthest);
            }
            if idle > PATIENCE {
                let reason = actor.shared.health.ready(self.clock.now()).text;
                return Err(End::Broken(format!(
                    "no progress in {PATIENCE} steps; the worker's last word: {reason}. `--log-level debug` shows more"
                )));
            }
        }
        Ok(())
    }

    fn ends(&self) -> Result<Vec<i64>, End> {
        let ends = self.partitions.iter().map(|tp| self.log.admin().bounds(tp).map(|bounds| bounds.end));
        Ok(ends.collect::<Result<_, _>>()?)
    }

    fn reached(&mut self, actor: &Actor) -> Result<Reached, End> {
        let committed = match self.offsets.committed(&self.partitions, Duration::ZERO) {
            Ok(committed) => Some(committed),
            Err(LogError::Retry(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let positions = actor.watch.positions();
        let positions = self.partitions.iter().map(|tp| positions.get(tp).copied()).collect();
        Ok(Reached { positions, committed, is_open: actor.watch.is_open() })
    }

    /// A clean stop: everything is committed, the group is left.
    fn stop(&mut self, mut actor: Actor) -> Result<(), End> {
        actor.shared.stop.store(true, Ordering::SeqCst);
        for _ in 0..PATIENCE {
            if self.step(&mut actor)? == Status::Stopped {
                return Ok(());
            }
            self.clock.advance(Duration::from_millis(10));
        }
        Err(End::Broken("the worker does not stop".into()))
    }

    /// The worker processes what there is, and dies at its commit. All that it had applied to its stores is taken to
    /// have reached the disk: state that got ahead of the log shows.
    fn crash(&mut self, mut actor: Actor, crash: Crash) -> Result<(), End> {
        actor.watch.crash_at_commit(crash);
        match self.drive(&mut actor) {
            // There was nothing to commit: it dies all the same.
            Ok(()) => Ok(()),
            Err(End::Stopped(_)) if actor.watch.has_died() => Ok(()),
            end => end,
        }
    }

    fn write(&self, records: &[Input]) -> Result<(), End> {
        let mut appender = self.log.appender()?;
        for record in records {
            let headers: Vec<_> =
                record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            let out = Outgoing {
                topic: &record.topic,
                partition: record.partition,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
                timestamp: record.timestamp,
            };
            while appender.send(&out)? == Sent::Full {
                appender.flush(WAIT)?;
            }
        }
        Ok(appender.flush(WAIT)?)
    }

    /// As kafka-consumer-groups.sh does it: a commit in nobody's name, which a group without members takes.
    fn rewind(&self, topic: &str, partition: Option<i32>, offset: i64) -> Result<(), End> {
        let wanted = |tp: &&TopicPartition| &*tp.topic == topic && partition.is_none_or(|p| p == tp.partition);
        let offsets: Vec<_> = self.partitions.iter().filter(wanted).map(|tp| (tp.clone(), offset)).collect();
        let nobody = Membership {
            group: self.topology.application.clone(),
            member: String::new(),
            generation: -1,
            instance: None,
        };
        let mut producer = self.log.producer("scenario-rewind")?;
        producer.init(WAIT)?;
        producer.begin()?;
        producer.send_offsets(&offsets, &nobody, WAIT)?;
        while producer.commit(WAIT)? == Ended::Pending {}
        Ok(())
    }

    /// By stream: keys whose position the stores hold.
    fn keys(&self) -> Result<Vec<(String, u64)>, End> {
        let database = self.database()?;
        let mut keys = Vec::new();
        for stream in self.topology.streams.iter().filter(|stream| stream.dedup.is_some()) {
            let mut count = 0;
            for tp in self.partitions.iter().filter(|tp| stream.reads(&tp.topic)) {
                let partition = database.partition(&format!("{}/{tp}", stream.name))?;
                count += partition.scan()?.iter().filter(|(key, _)| layout::is_data(key)).count() as u64;
            }
            keys.push((stream.name.clone(), count));
        }
        Ok(keys)
    }
}

/// Every task runs, and everything written is committed.
fn is_done(reached: &Reached, ends: &[i64]) -> bool {
    let Some(committed) = &reached.committed else { return false };
    let is_committed = |(committed, end): (&Option<i64>, &i64)| committed.unwrap_or(0) == *end;
    !reached.is_open && reached.positions.iter().all(Option::is_some) && committed.iter().zip(ends).all(is_committed)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Two records with something between them.
    fn outcome(between: &str) -> Outcome {
        let record = |id: u32| {
            format!("  - {{ topic: in, key: {{ id: {id} }}, change: {{ after: {{ id: {id} }}, lsn: 1 }} }}\n")
        };
        let text = format!(
            "topology: {{ streams: {{ s: {{ from: in, steps: [dedup, {{ mask: none }}], to: out }} }} }}\n\
             input:\n{}{between}{}expect: {{ output: {{}} }}\n",
            record(1),
            record(2)
        );
        let scenario = Scenario::parse(&text, Path::new("s.yaml"), None).unwrap_or_else(|found| panic!("{found}"));
        run(&scenario).unwrap_or_else(|error| panic!("{error}"))
    }

    fn transactions(outcome: &Outcome, kind: &str) -> u32 {
        let series = format!("highwater_transactions_total{{outcome=\"{kind}\"}} ");
        let line = outcome.metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok());
        line.unwrap_or_else(|| panic!("{series}"))
    }

    #[test]
    fn what_is_written_before_a_step_is_one_transaction() {
        let rows = |outcome: &Outcome| (outcome.committed["out"].len(), outcome.left["out"].len());
        // (between, rows committed, rows written, transactions that the workers saw commit)
        for (between, committed, left, seen) in [
            ("", 2, 2, 1),
            ("  - restart\n", 2, 2, 2),
            ("  - lose_state\n", 2, 2, 2),
            // The first row is written, aborted, and written again with the second.
            ("  - crash\n", 2, 3, 1),
            // The first transaction is committed, and the one who did it never learns.
            ("  - crash: after_commit\n", 2, 2, 1),
            ("  - crash: after_commit\n  - crash\n", 2, 2, 1),
            // Read again, and not new.
            ("  - rewind: in\n", 2, 2, 2),
        ] {
            let outcome = outcome(between);
            assert_eq!(rows(&outcome), (committed, left), "{between}");
            assert_eq!(
                (transactions(&outcome, "committed"), transactions(&outcome, "unknown")),
                (seen, 0),
                "{between}"
            );
            assert_eq!((outcome.keys, outcome.stopped), (vec![("s".to_owned(), 2)], None), "{between}");
        }
    }

    #[test]
    fn every_run_is_the_same() {
        let all = |outcome: Outcome| (outcome.left, outcome.keys);
        let between = "  - crash\n  - lose_state\n  - rewind: in\n";
        assert_eq!(all(outcome(between)), all(outcome(between)));
    }

    #[test]
    fn nothing_is_left_behind() {
        let before = |name: &str| name.starts_with(&format!("highwater-scenario-{}-", std::process::id()));
        let root = {
            let directory = StateDirectory::new().unwrap();
            std::fs::create_dir_all(directory.path()).unwrap();
            directory.path().parent().unwrap().to_owned()
        };
        assert!(before(&root.file_name().unwrap().to_string_lossy()) && !root.exists());
    }
}
