//! The preloaded source, and what came out.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use highwater::log::kafka::KafkaLog;
use highwater::log::{Appender, Client, Log, Outgoing, Sent};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use rustc_hash::FxHashMap;

use crate::digest::{Digest, Rows};
use crate::support::topics::config;
use crate::support::{Broker, DEADLINE};
use crate::workload::{Truth, Workload};

/// Creates the topic and fills it: lz4, partitions by murmur2 of the key.
pub fn load(broker: &Broker, topic: &str, partitions: i32, workload: &Workload) -> Truth {
    broker.create_topic(topic, partitions, &[]);
    let properties = [("bootstrap.servers".to_owned(), broker.bootstrap()), ("compression.type".into(), "lz4".into())];
    let log = KafkaLog::connect(properties.into(), Client::named("load")).expect("a log");
    let mut appender = log.appender().expect("an appender");
    let truth = workload.generate(&mut |record| {
        send(&mut *appender, topic, record.key.as_bytes(), record.value.map(str::as_bytes));
    });
    appender.flush(DEADLINE).expect("written");
    truth
}

pub fn send(appender: &mut dyn Appender, topic: &str, key: &[u8], value: Option<&[u8]>) {
    let out = Outgoing { topic, partition: None, key: Some(key), value, headers: &[], timestamp: None };
    while appender.send(&out).expect("sent") == Sent::Full {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What committed readers see of a topic. Panics where a key lies in two partitions.
pub fn read(broker: &Broker, topic: &str) -> Rows {
    let partitions = broker.topics()[topic];
    let mut config = config(&broker.bootstrap());
    // assign() wants a group, though nothing joins or commits.
    config.set("group.id", "verify").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    config.set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
    }
    consumer.fetch_metadata(Some(topic), DEADLINE).expect("metadata");
    consumer.assign(&assignment).expect("assigned");
    let (mut digest, mut places) = (Digest::default(), FxHashMap::<Vec<u8>, i32>::default());
    let (mut open, mut heard): (BTreeSet<i32>, _) = ((0..partitions).collect(), Instant::now());
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let (key, value) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
                digest.add(key, value);
                let place = match places.get(key) {
                    Some(place) => *place,
                    None => *places.entry(key.to_vec()).or_insert(message.partition()),
                };
                assert_eq!(place, message.partition(), "{topic}: a key in two partitions");
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            Some(Err(error)) => panic!("cannot read {topic}: {error}"),
            None => assert!(heard.elapsed() < DEADLINE, "the end of {topic} was not reached in {open:?}"),
        }
    }
    digest.rows()
}
