//! Where a case takes place: a log, names of its own, and what cases do again and again.

use std::sync::Arc;
use std::time::Duration;

use highwater::log::embedded::{EmbeddedLog, Time};
use highwater::log::kafka::KafkaLog;
use highwater::log::*;

pub use crate::support::patiently;
use crate::support::{Broker, DEADLINE, Dir, wait_until};
pub use crate::tail::*;

/// What a call to the log is given before it is made again.
pub const WAIT: Duration = Duration::from_secs(5);
/// Beyond what any case takes.
pub const LONG: Duration = Duration::from_secs(60);

/// The key of records that only close segments.
const NOBODY: &str = "nobody";

enum Kind {
    Kafka(&'static Broker),
    Embedded(EmbeddedLog),
}

pub struct World {
    case: &'static str,
    kind: Kind,
    log: Arc<dyn Log>,
    /// After the log: fields drop in this order.
    _dir: Option<Dir>,
}

impl World {
    pub fn kafka(case: &'static str) -> Self {
        let broker = Broker::shared();
        let log = kafka_log(broker, client(&format!("{case}-group"), LONG), &[]);
        Self { case, kind: Kind::Kafka(broker), log, _dir: None }
    }

    /// A log in memory, of this case alone.
    pub fn embedded(case: &'static str) -> Self {
        let log = EmbeddedLog::in_memory(client(&format!("{case}-group"), LONG), Time::System).expect("a log");
        Self { case, kind: Kind::Embedded(log.clone()), log: Arc::new(log), _dir: None }
    }

    /// A log on disk, of this case alone.
    pub fn durable(case: &'static str) -> Self {
        let dir = Dir::new(case);
        let log = EmbeddedLog::open(dir.path(), client(&format!("{case}-group"), LONG)).expect("a log");
        Self { case, kind: Kind::Embedded(log.clone()), log: Arc::new(log), _dir: Some(dir) }
    }

    /// The log as a client that takes part in `group` and whose transactions may last so long.
    pub fn client(&self, group: &str, transaction_timeout: Duration) -> Arc<dyn Log> {
        let client = client(group, transaction_timeout);
        match &self.kind {
            Kind::Kafka(broker) => kafka_log(broker, client, &[]),
            Kind::Embedded(log) => log.as_client(client).expect("a client"),
        }
    }

    /// From now on the markers of transactions come late to a partition; on Kafka they may anyway.
    pub fn hold_markers(&self, tp: &TopicPartition) {
        if let Kind::Embedded(log) = &self.kind {
            log.hold_markers(tp).expect("held");
        }
    }

    /// From now on what a transaction committed for this case's group is told late; on Kafka it may be anyway.
    pub fn hold_offsets(&self) {
        if let Kind::Embedded(log) = &self.kind {
            log.hold_offsets(&self.group()).expect("held");
        }
    }

    pub fn release_held(&self) {
        if let Kind::Embedded(log) = &self.kind {
            log.release_held().expect("released");
        }
    }

    /// The log as a client whose members `expire` can throw out.
    pub fn mortal(&self) -> Arc<dyn Log> {
        match &self.kind {
            Kind::Kafka(broker) => {
                let mortal = [("session.timeout.ms", "2000"), ("max.poll.interval.ms", "2000")];
                kafka_log(broker, client(&self.group(), LONG), &mortal)
            }
            Kind::Embedded(_) => self.client(&self.group(), LONG),
        }
    }

    /// The group throws a member out, and the member does not know. On Kafka it does after a stall.
    pub fn expire(&self, who: &Membership) {
        match &self.kind {
            Kind::Kafka(_) => std::thread::sleep(Duration::from_millis(2500)),
            Kind::Embedded(log) => log.expire_member(&who.group, &who.member).expect("expired"),
        }
    }

    pub fn log(&self) -> &dyn Log {
        self.log.as_ref()
    }

    pub fn admin(&self) -> &dyn Admin {
        self.log.admin()
    }

    /// A name that no other case has.
    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.case)
    }

    /// The group of this case's own client.
    pub fn group(&self) -> String {
        self.name("group")
    }

    pub fn topic(&self, what: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
        let name = self.name(what);
        patiently("create a topic", || self.admin().create(&name, partitions, settings));
        name
    }

    /// The only partition of a compacted topic, on which `compact` works.
    pub fn compacted(&self, what: &str, settings: &[(&str, &str)]) -> TopicPartition {
        let ours = [("cleanup.policy", "compact"), ("segment.ms", "1"), ("min.cleanable.dirty.ratio", "0")];
        TopicPartition::new(self.topic(what, 1, &[&ours, settings].concat()), 0)
    }

    /// Has the cleaner go over a partition until something holds of what is left.
    ///
    /// It looks at closed segments only: each time a record is appended that is nobody's, to close the last one.
    #[track_caller]
    pub fn compact(&self, tp: &TopicPartition, what: &str, mut holds: impl FnMut() -> bool) {
        let mut appender = self.appender();
        wait_until(DEADLINE, what, || {
            assert_eq!(appender.send(&record(tp, NOBODY, "")), Ok(Sent::Queued));
            appender.flush(WAIT).expect("written");
            match &self.kind {
                Kind::Kafka(_) => std::thread::sleep(Duration::from_millis(300)),
                Kind::Embedded(log) => log.clean().expect("cleaned"),
            }
            holds().then_some(())
        });
    }

    /// The only partition of a new topic.
    pub fn partition(&self, what: &str) -> TopicPartition {
        TopicPartition::new(self.topic(what, 1, &[]), 0)
    }

    pub fn bounds(&self, tp: &TopicPartition) -> Bounds {
        patiently("bounds", || self.admin().bounds(tp))
    }

    pub fn end(&self, tp: &TopicPartition) -> i64 {
        self.bounds(tp).end
    }

    /// Waits until everything up to `end` is written: records leave the producer and markers the coordinator when they may.
    #[track_caller]
    pub fn wait_for_end(&self, tp: &TopicPartition, end: i64) {
        wait_until(DEADLINE, &format!("the end of {tp} at {end}"), || {
            let now = self.end(tp);
            assert!(now <= end, "the end of {tp} is {now}, beyond {end}");
            (now == end).then_some(())
        });
    }

    /// A producer that begun nothing and owns its id.
    pub fn producer(&self, id: &str) -> Box<dyn Producer> {
        producer(self.log(), &self.name(id))
    }

    pub fn appender(&self) -> Box<dyn Appender> {
        self.log.appender().expect("an appender")
    }

    pub fn tail(&self, isolation: Isolation) -> Tail {
        Tail { reader: self.log.reader(0, isolation).expect("a reader") }
    }

    /// What can be seen of a partition just now, and where that ends.
    pub fn now(&self, tp: &TopicPartition, isolation: Isolation) -> (Vec<Seen>, i64) {
        let mut tail = self.tail(isolation);
        let start = self.bounds(tp).start;
        tail.start(tp, start);
        tail.next_end(tp)
    }

    /// Every committed record up to the end that the partition has now; waits for open transactions as a restore does.
    pub fn committed(&self, tp: &TopicPartition) -> Vec<Seen> {
        let Bounds { start, end } = self.bounds(tp);
        let mut tail = self.tail(Isolation::Committed);
        tail.start(tp, start);
        tail.beyond(tp, end).into_iter().filter(|seen| seen.key.as_deref() != Some(NOBODY.as_bytes())).collect()
    }
}

fn client(group: &str, transaction_timeout: Duration) -> Client {
    Client { transaction_timeout, ..Client::named(group) }
}

fn kafka_log(broker: &Broker, client: Client, more: &[(&str, &str)]) -> Arc<dyn Log> {
    let bootstrap = broker.bootstrap();
    let properties = [
        ("bootstrap.servers", bootstrap.as_str()),
        // What is not there is given up soon.
        ("topic.metadata.propagation.max.ms", "1000"),
        ("topic.metadata.refresh.fast.interval.ms", "20"),
        // A subscription that changes while no broker is at hand is only looked at again with the next refresh.
        ("topic.metadata.refresh.interval.ms", "1000"),
        // Rebalances are heard of soon.
        ("heartbeat.interval.ms", "100"),
        ("session.timeout.ms", "10000"),
        ("fetch.wait.max.ms", "20"),
        ("linger.ms", "1"),
        ("socket.nagle.disable", "true"),
    ];
    let properties = properties.iter().chain(more).map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Arc::new(KafkaLog::connect(properties, client).expect("a log"))
}

#[track_caller]
pub fn producer(log: &dyn Log, id: &str) -> Box<dyn Producer> {
    let mut producer = log.producer(id).expect("a producer");
    patiently("init", || producer.init(WAIT));
    producer
}

/// A record for an explicit partition.
pub fn record<'a>(tp: &'a TopicPartition, key: &'a str, value: &'a str) -> Outgoing<'a> {
    Outgoing {
        topic: &tp.topic,
        partition: Some(tp.partition),
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        headers: &[],
        timestamp: None,
    }
}

#[track_caller]
pub fn send(producer: &mut dyn Producer, tp: &TopicPartition, value: &str) {
    assert_eq!(producer.send(&record(tp, "key", value)), Ok(Sent::Queued));
}

#[track_caller]
pub fn append(appender: &mut dyn Appender, tp: &TopicPartition, value: &str) {
    assert_eq!(appender.send(&record(tp, "key", value)), Ok(Sent::Queued));
    appender.flush(WAIT).expect("written");
}

#[track_caller]
pub fn end(what: &str, mut call: impl FnMut() -> Result<Ended>) -> Ended {
    wait_until(DEADLINE, what, || match call() {
        Ok(Ended::Pending) | Err(LogError::Retry(_)) => None,
        Ok(ended) => Some(ended),
        Err(error) => panic!("{what}: {error:?}"),
    })
}

#[track_caller]
pub fn commit(producer: &mut dyn Producer) {
    end("a commit", || producer.commit(WAIT));
}

#[track_caller]
pub fn abort(producer: &mut dyn Producer) {
    end("an abort", || producer.abort(WAIT));
}

/// Asserts by what the call failed: "rejoin", "restore", "retry" or "stop".
#[track_caller]
pub fn demands<T: std::fmt::Debug>(result: Result<T>, reaction: &str) {
    let found = match &result {
        Ok(_) => "nothing",
        Err(LogError::Rejoin(_)) => "rejoin",
        Err(LogError::Restore(_)) => "restore",
        Err(LogError::Retry(_)) => "retry",
        Err(LogError::Stop(_)) => "stop",
    };
    assert_eq!(found, reaction, "{result:?}");
}
