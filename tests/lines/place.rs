//! A log, reached past the commands under test.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use highwater::log::embedded::EmbeddedLog;
use highwater::log::{Client, Event, Log, Outgoing, Sent, TopicPartition};

use crate::command::{Running, Said};
use crate::support::topics::{Isolation, Read};
use crate::support::{Broker, DEADLINE, Dir, Line, wait_until};

/// A log, reached past the commands under test.
pub struct Place {
    pub dir: Dir,
    pub kafka: Option<&'static Broker>,
    /// One topic a case: all cases share the broker.
    pub topic: String,
}

impl Place {
    pub fn kafka(case: &str) -> Self {
        Self { dir: Dir::new("lines"), kafka: Some(Broker::shared()), topic: case.into() }
    }

    pub fn embedded(case: &str) -> Self {
        Self { dir: Dir::new("lines"), kafka: None, topic: case.into() }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub fn args(&self) -> Vec<String> {
        match self.kafka {
            Some(broker) => vec!["--bootstrap".into(), broker.bootstrap()],
            None => vec![format!("--embedded={}", self.path().display())],
        }
    }

    pub fn open(&self) -> EmbeddedLog {
        let hours = Duration::from_secs(10 * 3600);
        EmbeddedLog::open(&self.path(), Client { transaction_timeout: hours, ..Client::named("tests") }).expect("a log")
    }

    pub fn create(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        match self.kafka {
            Some(broker) => broker.create_topic(topic, partitions, settings),
            None => self.open().admin().create(topic, partitions, settings).expect("a topic"),
        }
    }

    pub fn write(&self, lines: &[Line]) {
        let Some(broker) = self.kafka else {
            let mut appender = self.open().appender().expect("an appender");
            lines.iter().for_each(|line| sent(line, &mut |record| assert_eq!(appender.send(record), Ok(Sent::Queued))));
            return appender.flush(DEADLINE).expect("records");
        };
        broker.produce(lines);
    }

    /// Writes the lines, all of partition 0, in a transaction and ends it; never, where that is not said.
    pub fn transaction(&self, lines: &[Line], commit: Option<bool>) {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let id = format!("tests-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let Some(broker) = self.kafka else {
            let log = self.open();
            let tp = TopicPartition::new(self.topic.as_str(), 0);
            let end = |log: &EmbeddedLog| log.admin().bounds(&tp).expect("bounds").end;
            let before = end(&log);
            let mut producer = log.producer(&id).expect("a producer");
            producer.init(DEADLINE).and_then(|()| producer.begin()).expect("a transaction");
            lines.iter().for_each(|line| sent(line, &mut |record| assert_eq!(producer.send(record), Ok(Sent::Queued))));
            // What lingers is written soon: an abort would throw it away.
            wait_until(DEADLINE, "records of an open transaction", || {
                (end(&log) >= before + lines.len() as i64).then_some(())
            });
            match commit {
                Some(true) => drop(producer.commit(DEADLINE).expect("a commit")),
                Some(false) => drop(producer.abort(DEADLINE).expect("an abort")),
                None => {}
            }
            return;
        };
        let open = broker.begin(&id, lines);
        match commit {
            Some(true) => open.commit(),
            Some(false) => open.abort(),
            None => open.forget(),
        }
    }

    pub fn read(&self, topic: &str) -> Vec<Read> {
        if let Some(broker) = self.kafka {
            return broker.read_all(topic, Isolation::Committed);
        }
        let log = self.open();
        let partitions = log.admin().describe(topic).expect("an answer").expect("a topic").partitions;
        let mut reader = log.reader(0, highwater::log::Isolation::Committed).expect("a reader");
        let tps = (0..partitions).map(|partition| TopicPartition::new(topic, partition));
        tps.for_each(|tp| reader.start(&tp, 0).expect("a partition"));
        let (mut reads, mut ends) = (Vec::new(), 0);
        while ends < partitions {
            let events = reader.poll(1000, Duration::from_millis(10), &mut |record| {
                reads.push(Read::of(record));
            });
            ends += events.iter().filter(|event| matches!(event, Event::End { .. })).count() as i32;
        }
        reads.sort_by_key(|read| (read.partition, read.offset));
        reads
    }

    /// A command on this log and this topic.
    pub fn command(&self, command: &str, args: &[&str]) -> Running {
        let args: Vec<String> = [command.to_string(), self.topic.clone()]
            .into_iter()
            .chain(self.args())
            .chain(args.iter().map(ToString::to_string))
            .collect();
        Running::start(&args, self.dir.path())
    }

    pub fn produce(&self, args: &[&str], input: impl AsRef<[u8]>) -> Said {
        self.command("produce", args).finish(input.as_ref())
    }

    pub fn consume(&self, args: &[&str]) -> Said {
        self.command("consume", args).finish(&[])
    }

    /// What is in the topic, by `consume` itself.
    pub fn lines(&self, args: &[&str]) -> Vec<String> {
        let mut lines: Vec<String> = self.consume(args).ended(0).stdout.lines().map(str::to_string).collect();
        lines.sort();
        lines
    }
}

pub fn sent(line: &Line, send: &mut dyn FnMut(&Outgoing<'_>)) {
    let headers: Vec<(&str, Option<&[u8]>)> = line.headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
    send(&Outgoing {
        topic: &line.topic,
        partition: line.partition,
        key: line.key.as_deref(),
        value: line.value.as_deref(),
        headers: &headers,
        timestamp: line.timestamp,
    });
}

/// `kN` and `vN`.
pub fn numbered(topic: &str, partition: i32, range: std::ops::Range<i32>) -> Vec<Line> {
    range.map(|n| Line::new(topic, &format!("k{n}"), &format!("v{n}")).at(partition)).collect()
}
