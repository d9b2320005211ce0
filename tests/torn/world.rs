//! A broker of each transaction.version, each with a proxy before it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use highwater::log::kafka::KafkaLog;
use highwater::log::{Client, Ended, Log, Membership, Outgoing, Producer, Sent, TopicPartition};

use crate::end::{self, End};
pub use crate::support::patiently;
use crate::support::proxy::{Exchange, api};
use crate::support::topics::Isolation;
use crate::support::{Broker, DEADLINE, Proxy, wait_until};

/// What the engine's worker waits for one request.
pub const WAIT: Duration = Duration::from_secs(1);

pub struct World {
    pub version: u8,
    pub proxy: Proxy,
    pub broker: Broker,
}

static WORLDS: [(u8, Mutex<Option<World>>); 2] = [(0, Mutex::new(None)), (2, Mutex::new(None))];

/// Runs the test on either version. A proxy's rules are one test's at a time.
pub fn on_each_version(test: impl Fn(&World)) {
    for (version, world) in &WORLDS {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        let world = world.get_or_insert_with(|| World::start(*version));
        world.proxy.forget();
        test(world);
        world.proxy.forget();
    }
}

impl World {
    pub fn start(version: u8) -> Self {
        let proxy = Proxy::start(1);
        let broker = Broker::start_behind(&proxy, &[&format!("transaction.version={version}")]);
        Self { version, proxy, broker }
    }

    /// A name of this version's own, for topics and ids.
    pub fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.version)
    }

    /// The engine's log, behind the proxy.
    pub fn log(&self, more: &[(&str, &str)]) -> KafkaLog {
        self.log_of(Duration::from_secs(60), more)
    }

    /// One with transactions that may stay open so long.
    pub fn log_of(&self, transaction_timeout: Duration, more: &[(&str, &str)]) -> KafkaLog {
        let address = self.proxy.address();
        let properties = [("bootstrap.servers", address.as_str()), ("linger.ms", "1")];
        let properties = properties.iter().chain(more).map(|(name, value)| (name.to_string(), value.to_string()));
        let client = Client { transaction_timeout, ..Client::named("torn") };
        KafkaLog::connect(properties.collect(), client).expect("a log")
    }

    /// The recorded ends of transactions of an id, or of all that begin so.
    pub fn ends(&self, id: &str) -> Vec<(End, Exchange)> {
        end::of(id, self.proxy.exchanges(api::END_TXN))
    }

    /// Below it every transaction of a topic of one partition is decided.
    pub fn stable(&self, topic: &str) -> i64 {
        self.broker.stable_offsets(topic)[&0]
    }

    /// Values that are committed, once nothing is open any more.
    pub fn committed(&self, topic: &str) -> Vec<String> {
        self.broker.read_all(topic, Isolation::Committed).into_iter().filter_map(|read| read.value).map(text).collect()
    }

    /// Waits until a record is in the log, and returns its offset. Its transaction is open then.
    pub fn wait_for(&self, topic: &str, value: &str) -> i64 {
        wait_until(DEADLINE, &format!("{value:?} in {topic}"), || {
            let reads = self.broker.read_all(topic, Isolation::Uncommitted);
            reads.into_iter().find(|read| read.value.as_deref() == Some(value.as_bytes())).map(|read| read.offset)
        })
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

#[track_caller]
pub fn producer(log: &KafkaLog, id: &str) -> Box<dyn Producer> {
    let mut producer = log.producer(id).expect("a producer");
    patiently("init", || producer.init(WAIT));
    producer
}

#[track_caller]
pub fn send(producer: &mut dyn Producer, topic: &str, value: &str) {
    send_to(producer, topic, 0, value);
}

#[track_caller]
pub fn send_to(producer: &mut dyn Producer, topic: &str, partition: i32, value: &str) {
    assert_eq!(producer.send(&record(topic, partition, value)).expect("a record in the queue"), Sent::Queued);
}

pub fn record<'a>(topic: &'a str, partition: i32, value: &'a str) -> Outgoing<'a> {
    Outgoing {
        topic,
        partition: Some(partition),
        key: Some(b"key"),
        value: Some(value.as_bytes()),
        headers: &[],
        timestamp: None,
    }
}

/// Ends the transaction, as often as that must be asked for.
#[track_caller]
pub fn end(producer: &mut dyn Producer, commit: bool) -> Ended {
    wait_until(DEADLINE, "the end of a transaction", || {
        let ended = if commit { producer.commit(WAIT) } else { producer.abort(WAIT) };
        Some(ended.expect("an end")).filter(|ended| *ended != Ended::Pending)
    })
}

/// An offset of a group without members: the broker asks for no membership then.
#[track_caller]
pub fn send_offset(producer: &mut dyn Producer, group: &str, topic: &str, offset: i64) {
    let who = Membership { group: group.into(), member: String::new(), generation: -1, instance: None };
    let offsets = [(TopicPartition::new(topic, 0), offset)];
    patiently("send_offsets", || producer.send_offsets(&offsets, &who, WAIT));
}
