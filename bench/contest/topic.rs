//! The preloaded source, and what came out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use highwater::log::kafka::KafkaLog;
use highwater::log::{Appender, Client, Log, Outgoing, Sent};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use rustc_hash::FxHashMap;

use crate::digest::{Digest, Rows};
use crate::filling;
use crate::support::topics::config;
use crate::support::{Broker, DEADLINE};
use crate::workload::{Record, Truth, Workload};

/// A producer of a source: lz4, partitions by murmur2 of the key.
pub fn appender(broker: &Broker, linger_ms: u64) -> Box<dyn Appender> {
    let mut properties = BTreeMap::from([("bootstrap.servers".to_owned(), broker.bootstrap())]);
    properties.insert("linger.ms".into(), linger_ms.to_string());
    let log = KafkaLog::connect(properties, Client::named("load")).expect("a log");
    log.appender().expect("an appender")
}

/// Writes the workload to a topic.
pub fn load(broker: &Broker, topic: &str, workload: &Workload) -> Truth {
    let mut appender = appender(broker, 20);
    let truth = workload.generate(&mut |record| {
        send(&mut *appender, topic, record);
        true
    });
    appender.flush(DEADLINE).expect("written");
    truth
}

/// Writes a short change of each key to a topic.
pub fn fill(broker: &Broker, topic: &str, keys: u64) -> Rows {
    let mut appender = appender(broker, 20);
    let rows = filling::generate(keys, &mut |record| send(&mut *appender, topic, record));
    appender.flush(DEADLINE).expect("written");
    rows
}

pub fn send(appender: &mut dyn Appender, topic: &str, record: Record<'_>) {
    let (key, value) = (Some(record.key.as_bytes()), record.value.map(str::as_bytes));
    let out = Outgoing { topic, partition: None, key, value, headers: &[], timestamp: None };
    while appender.send(&out).expect("sent") == Sent::Full {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Where partitions are read from: those that are not named, from their beginning.
pub type From = BTreeMap<i32, i64>;

/// What committed readers see of a topic. Panics where a key lies in two partitions.
pub fn read(broker: &Broker, topic: &str, from: &From) -> Rows {
    let partitions = broker.topics()[topic];
    let mut config = config(&broker.bootstrap());
    // assign() wants a group, though nothing joins or commits.
    config.set("group.id", "verify").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    config.set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        let start = from.get(&partition).map_or(Offset::Beginning, |offset| Offset::Offset(*offset));
        assignment.add_partition_offset(topic, partition, start).expect("a valid offset");
    }
    consumer.fetch_metadata(Some(topic), DEADLINE).expect("metadata");
    consumer.assign(&assignment).expect("assigned");
    let (mut digest, mut places) = (Digest::default(), FxHashMap::<u64, i32>::default());
    let (mut open, mut heard): (BTreeSet<i32>, _) = ((0..partitions).collect(), Instant::now());
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
                let place = *places.entry(digest.add(key, value)).or_insert(message.partition());
                assert_eq!(place, message.partition(), "{topic}: a key in two partitions");
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            Some(Err(error)) => panic!("cannot read {topic}: {error}"),
            None => assert!(heard.elapsed() < DEADLINE, "the end of {topic} was not reached in {open:?}"),
        }
    }
    digest.rows()
}
