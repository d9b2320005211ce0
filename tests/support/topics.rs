//! What tests do with topics and groups, over a client of their own.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::{DEADLINE, Line, wait_until};

const REQUEST: Duration = Duration::from_secs(30);

/// Whether aborted and open transactions are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    Committed,
    Uncommitted,
}

impl Isolation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "read_committed",
            Self::Uncommitted => "read_uncommitted",
        }
    }
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp: Option<i64>,
}

impl Read {
    pub fn of(record: &highwater::record::Record<'_>) -> Self {
        let mut headers = Vec::new();
        record.headers.each(&mut |name, value| headers.push((name.to_string(), value.map(<[u8]>::to_vec))));
        Self {
            partition: record.partition,
            offset: record.offset,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers,
            timestamp: record.timestamp,
        }
    }
}

/// A consumer group as the broker describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// "Stable", "PreparingRebalance", "Empty", "Dead" …
    pub state: String,
    /// By member id, the (topic, partition) it was given.
    pub members: BTreeMap<String, Vec<(String, i32)>>,
}

/// The client properties every client of the tests starts from.
pub fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    // A killed broker is found again quickly.
    config.set("reconnect.backoff.max.ms", "500").set("socket.nagle.disable", "true");
    config
}

/// What a broker or a cluster is asked. The clients are kept: making one costs more than what most helpers do with it.
pub struct Clients {
    bootstrap: String,
    replication: i32,
    uncommitted: OnceLock<BaseConsumer>,
    committed: OnceLock<BaseConsumer>,
    producer: Mutex<Option<Arc<ThreadedProducer<Delivered>>>>,
}

impl Clients {
    /// `replication`: how many copies of a topic there are to be.
    pub fn of(bootstrap: String, replication: i32) -> Self {
        let (uncommitted, committed, producer) = Default::default();
        Self { bootstrap, replication, uncommitted, committed, producer }
    }

    pub fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    /// Creates a topic and waits until the broker serves each of its partitions.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(self.replication));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        for result in block_on(self.admin().create_topics([&topic], &AdminOptions::new())).expect("create_topics") {
            result.unwrap_or_else(|(name, code)| panic!("cannot create {name}: {code}"));
        }
        wait_until(DEADLINE, &format!("leaders for {name}"), || {
            (0..partitions).all(|p| self.bounds(Isolation::Uncommitted, name, p).is_some()).then_some(())
        });
    }

    /// Deletes a topic and waits until it is gone from the metadata.
    pub fn delete_topic(&self, name: &str) {
        for result in block_on(self.admin().delete_topics(&[name], &AdminOptions::new())).expect("delete_topics") {
            result.unwrap_or_else(|(name, code)| panic!("cannot delete {name}: {code}"));
        }
        // Its sequence numbers belong to the topic that went.
        *self.producer.lock().unwrap_or_else(PoisonError::into_inner) = None;
        wait_until(DEADLINE, &format!("{name} to go"), || (!self.topics().contains_key(name)).then_some(()));
    }

    /// All topics with their numbers of partitions.
    pub fn topics(&self) -> BTreeMap<String, i32> {
        let metadata = self.client(Isolation::Uncommitted).fetch_metadata(None, REQUEST).expect("metadata");
        let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
        topics.map(|topic| (topic.name().to_owned(), topic.partitions().len() as i32)).collect()
    }

    /// So many brokers are there, and each partition of theirs has a leader and so many copies that are up to date.
    pub fn replicated(&self, copies: usize) -> bool {
        let Ok(metadata) = self.client(Isolation::Uncommitted).fetch_metadata(None, REQUEST) else { return false };
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        metadata.brokers().len() == copies
            && partitions.into_iter().all(|p| p.error().is_none() && p.leader() >= 0 && p.isr().len() == copies)
    }

    /// Writes the lines in their order and returns where each came to lie: (partition, offset).
    pub fn produce(&self, lines: &[Line]) -> Vec<(i32, i64)> {
        self.produce_within(DEADLINE, lines)
    }

    /// The same where brokers may be away for longer.
    pub fn produce_within(&self, deadline: Duration, lines: &[Line]) -> Vec<(i32, i64)> {
        let mut kept = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let producer = kept
            .get_or_insert_with(|| {
                Arc::new(self.producer(&[("enable.idempotence", "true"), ("message.timeout.ms", "900000")]))
            })
            .clone();
        drop(kept);
        send_all(&producer, lines, deadline)
    }

    /// Writes the lines inside a transaction and leaves it open: commit it, abort it, or let it hang.
    pub fn begin(&self, transactional_id: &str, lines: &[Line]) -> OpenTransaction {
        let producer = self.producer(&[("transactional.id", transactional_id)]);
        producer.init_transactions(REQUEST).expect("init_transactions");
        producer.begin_transaction().expect("begin_transaction");
        let places = send_all(&producer, lines, DEADLINE);
        OpenTransaction { producer, places }
    }

    /// Every record of a topic, from its start to the end it has now, by partition and offset.
    ///
    /// With `Isolation::Committed` this first waits until no transaction is open below that end: an end of partition
    /// comes at the last stable offset, and one met there is not the end. Panics where a transaction hangs.
    pub fn read_all(&self, topic: &str, isolation: Isolation) -> Vec<Read> {
        let ends = self.end_offsets(topic);
        if isolation == Isolation::Committed {
            for (&partition, &end) in &ends {
                let what = format!("the last stable offset of {topic}/{partition} at {end}: a transaction stays open");
                wait_until(DEADLINE, &what, || {
                    // A reader of committed records is told the last stable offset.
                    let (_, stable) = self.bounds(isolation, topic, partition)?;
                    (stable >= end).then_some(())
                });
            }
        }
        let mut assignment = TopicPartitionList::new();
        for &partition in ends.keys() {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
        }
        let consumer = self.consumer(isolation);
        // Assigned before it knows the brokers it would look for them at its leisure.
        consumer.fetch_metadata(Some(topic), REQUEST).expect("metadata");
        consumer.assign(&assignment).expect("assign");

        let (mut reads, mut open, start) = (Vec::new(), ends, Instant::now());
        while !open.is_empty() {
            assert!(start.elapsed() < DEADLINE, "the end of {topic} was not reached in {open:?}");
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => reads.push(read(&message.detach())),
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => panic!("cannot read {topic}: {error}"),
                None => {}
            }
        }
        reads.sort_by_key(|read| (read.partition, read.offset));
        reads
    }

    /// High watermarks: the offset the next record will get, open transactions included.
    pub fn end_offsets(&self, topic: &str) -> BTreeMap<i32, i64> {
        self.watermarks(topic, Isolation::Uncommitted)
    }

    /// Last stable offsets: below them every transaction is decided.
    pub fn stable_offsets(&self, topic: &str) -> BTreeMap<i32, i64> {
        self.watermarks(topic, Isolation::Committed)
    }

    fn watermarks(&self, topic: &str, isolation: Isolation) -> BTreeMap<i32, i64> {
        let partitions = *self.topics().get(topic).unwrap_or_else(|| panic!("no topic {topic}"));
        // A broker that just came back leads its partitions a moment later.
        let end = |p| {
            let ask = || self.bounds(isolation, topic, p);
            wait_until(DEADLINE, &format!("the end of {topic}/{p}"), ask).1
        };
        (0..partitions).map(|p| (p, end(p))).collect()
    }

    /// None for the moment.
    fn bounds(&self, isolation: Isolation, topic: &str, partition: i32) -> Option<(i64, i64)> {
        let client = self.client(isolation);
        let bounds = client.fetch_watermarks(topic, partition, REQUEST).ok();
        if bounds.is_none() {
            // A kept client answers from what it once knew of a topic: it never learns of new ones by being asked again.
            let _ = client.fetch_metadata(Some(topic), REQUEST);
        }
        bounds
    }

    /// The offsets a group has committed, partitions without one left out. Waits while a transaction is undecided.
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let mut config = config(&self.bootstrap);
        config.set("group.id", group).set("isolation.level", "read_committed");
        let client: BaseConsumer = config.create().expect("a consumer");
        let mut asked = TopicPartitionList::new();
        for partition in 0..*self.topics().get(topic).unwrap_or_else(|| panic!("no topic {topic}")) {
            asked.add_partition(topic, partition);
        }
        // A broker that just came back coordinates its groups a moment later.
        let ask = || client.committed_offsets(asked.clone(), DEADLINE).ok();
        let answer = wait_until(DEADLINE, &format!("offsets of {group}"), ask);
        let offsets = answer.elements().into_iter().filter_map(|e| match e.offset() {
            Offset::Offset(offset) => Some((e.partition(), offset)),
            _ => None,
        });
        offsets.collect()
    }

    /// A group of the classic protocol; None while it does not exist.
    pub fn group(&self, name: &str) -> Option<Group> {
        let groups = self.client(Isolation::Uncommitted).fetch_group_list(Some(name), REQUEST).ok()?;
        let group = groups.groups().iter().find(|group| group.name() == name)?;
        let members = group.members().iter();
        Some(Group {
            state: group.state().to_owned(),
            members: members.map(|m| (m.id().to_owned(), assignment(m.assignment().unwrap_or_default()))).collect(),
        })
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        config(&self.bootstrap).create().expect("an admin client")
    }

    fn client(&self, isolation: Isolation) -> &BaseConsumer {
        let kept = match isolation {
            Isolation::Committed => &self.committed,
            Isolation::Uncommitted => &self.uncommitted,
        };
        kept.get_or_init(|| self.consumer(isolation))
    }

    fn consumer(&self, isolation: Isolation) -> BaseConsumer {
        let mut config = config(&self.bootstrap);
        // assign() wants a group id, though nothing joins or commits.
        config.set("group.id", "tests").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        config.set("isolation.level", isolation.as_str()).set("fetch.wait.max.ms", "20");
        config.create().expect("a consumer")
    }

    fn producer(&self, settings: &[(&str, &str)]) -> ThreadedProducer<Delivered> {
        let mut config = config(&self.bootstrap);
        config.set("partitioner", "murmur2_random").set("linger.ms", "5");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        config.create_with_context(Delivered).expect("a producer")
    }
}

/// A transaction that has written its lines and is not decided.
pub struct OpenTransaction {
    producer: ThreadedProducer<Delivered>,
    /// (partition, offset) of each line.
    pub places: Vec<(i32, i64)>,
}

impl OpenTransaction {
    pub fn commit(self) {
        self.producer.commit_transaction(REQUEST).expect("commit_transaction");
    }

    pub fn abort(self) {
        self.producer.abort_transaction(REQUEST).expect("abort_transaction");
    }

    /// Goes without deciding, as a process that was killed: the broker aborts it after its timeout.
    pub fn forget(self) {
        // Dropping an open transaction would not abort it either; leaking the client also keeps it from fencing.
        std::mem::forget(self.producer);
    }
}

/// (index of the line, where it lies or why it does not)
type Report = (usize, Result<(i32, i64), String>);

pub struct Delivered;

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = Box<(usize, Sender<Report>)>;

    fn delivery(&self, result: &DeliveryResult<'_>, line: Self::DeliveryOpaque) {
        let report = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.to_string()),
        };
        // Nobody listens any more where a test has failed meanwhile.
        let _ = line.1.send((line.0, report));
    }
}

fn send_all(producer: &ThreadedProducer<Delivered>, lines: &[Line], deadline: Duration) -> Vec<(i32, i64)> {
    let (sender, receiver) = channel();
    for (index, line) in lines.iter().enumerate() {
        let opaque = Box::new((index, sender.clone()));
        let mut record: BaseRecord<'_, [u8], [u8], _> = BaseRecord::with_opaque_to(&line.topic, opaque);
        record.partition = line.partition;
        record.key = line.key.as_deref();
        record.payload = line.value.as_deref();
        record.timestamp = line.timestamp;
        if !line.headers.is_empty() {
            record.headers = Some(line.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: value.as_deref() })
            }));
        }
        let start = Instant::now();
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if start.elapsed() < deadline =>
                {
                    record = back;
                    thread::sleep(Duration::from_millis(5));
                }
                Err((error, _)) => panic!("cannot write to {}: {error}", line.topic),
            }
        }
    }
    let mut places = vec![None; lines.len()];
    for _ in lines {
        let (index, place) = receiver.recv_timeout(deadline).expect("a delivery report for every line");
        places[index] = Some(place.unwrap_or_else(|why| panic!("line {index} was not written: {why}")));
    }
    places.into_iter().flatten().collect()
}

fn read(message: &OwnedMessage) -> Read {
    let header = |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
    Read {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: message.headers().map(|headers| headers.iter().map(header).collect()).unwrap_or_default(),
        timestamp: message.timestamp().to_millis(),
    }
}

/// Errors that a broker which restarts causes, and that go with it.
fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve};
    let passing = [AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve];
    error.rdkafka_error_code().is_some_and(|code| passing.contains(&code))
}

/// Kafka's `ConsumerProtocolAssignment`: version, then topics with their partitions; big-endian.
fn assignment(bytes: &[u8]) -> Vec<(String, i32)> {
    fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
        let (head, rest) = bytes.split_first_chunk::<N>()?;
        *bytes = rest;
        Some(*head)
    }
    fn parse(mut bytes: &[u8], partitions: &mut Vec<(String, i32)>) -> Option<()> {
        take::<2>(&mut bytes)?;
        for _ in 0..i32::from_be_bytes(take(&mut bytes)?) {
            let length = usize::from(u16::from_be_bytes(take(&mut bytes)?));
            let (topic, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            for _ in 0..i32::from_be_bytes(take(&mut bytes)?) {
                let partition = i32::from_be_bytes(take(&mut bytes)?);
                partitions.push((String::from_utf8_lossy(topic).into_owned(), partition));
            }
        }
        Some(())
    }
    let mut partitions = Vec::new();
    // A member without an assignment sends no bytes.
    if !bytes.is_empty() {
        parse(bytes, &mut partitions).expect("a whole assignment");
    }
    partitions.sort();
    partitions
}

/// The admin client answers with futures; a test has nothing else to do meanwhile.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
