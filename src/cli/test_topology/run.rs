//! Drives the topology of a scenario: one worker on the log in memory, in one thread, by a clock that only we move.
//!
//! Whatever is written before a step is processed in one transaction: while one is open the clock stands still until
//! the worker has read everything.

use std::sync::Arc;
use std::time::Duration;

use super::directory::StateDirectory;
use super::outcome::Outcome;
use super::time::ManualClock;
use crate::cli::read_back::{Kept, read_back, read_stable};
use crate::engine::instance;
use crate::log::embedded::{EmbeddedLog, Time};
use crate::log::{Client, Ended, GroupConsumer, Isolation, Log, LogError, Membership, Outgoing, Sent, TopicPartition};
use crate::store::{StoreError, layout};
use crate::telemetry::Metrics;
use crate::topology::Topology;
use crate::topology::scenario::{Input, Scenario, Step};

pub(super) const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
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
pub(super) enum End {
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

pub(super) fn disk(error: std::io::Error) -> End {
    End::Broken(format!("the state directory of a scenario: {error}"))
}

/// Everything that outlives a worker.
pub(super) struct Stage<'a> {
    scenario: &'a Scenario,
    pub(super) topology: Arc<Topology>,
    pub(super) log: EmbeddedLog,
    pub(super) clock: Arc<ManualClock>,
    pub(super) metrics: Arc<Metrics>,
    /// As they were when all was processed.
    rendered: Option<String>,
    pub(super) directory: StateDirectory,
    /// Looks up committed offsets; in no group.
    pub(super) offsets: Box<dyn GroupConsumer>,
    /// Of the source topics.
    pub(super) partitions: Vec<TopicPartition>,
}

impl<'a> Stage<'a> {
    fn set(scenario: &'a Scenario) -> Result<Self, End> {
        let mut topology = scenario.topology.clone();
        (topology.threads, topology.http) = (1, None);
        // When a transaction ends is ours to say; an hour at once would throw the worker out of its group.
        (topology.commit_interval, topology.transaction_timeout) = (COMMIT_INTERVAL, TRANSACTION_TIMEOUT);
        let clock = Arc::new(ManualClock::new());
        let client =
            Client { transaction_timeout: topology.transaction_timeout, ..Client::named(&topology.application) };
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
    fn what_never_ends_is_given_up() {
        let text = "topology: { streams: { s: { from: in, steps: [dedup, { mask: none }], to: out } } }\n\
                    input: [{ topic: in, key: { id: 1 }, change: { after: { id: 1 }, lsn: 1 } }]\nexpect: { output: {} }\n";
        let scenario = Scenario::parse(text, Path::new("s.yaml"), None).unwrap_or_else(|found| panic!("{found}"));
        let Ok(mut stage) = Stage::set(&scenario) else { panic!("no stage") };
        stage.log.hold_offsets("test").unwrap();
        let Err(End::Broken(text)) = stage.play() else { panic!("it ended") };
        assert!(text.starts_with("no progress in ") && text.contains("the worker's last word: "), "{text}");
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
