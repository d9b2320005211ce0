//! What one process can do with librdkafka and nothing else: the bare loop, exactly once in one transaction per interval.
//!
//! `ideal` remembers positions in a hash map: it cannot restart. `tuned` keeps them in RocksDB and writes a changelog, with
//! batches sorted before the store and a cache in front of it: what one writes by hand and then tunes. It never reads
//! its changelog. Both are the only member of their group, check no rebalance, and end at the first error.

mod positions;
mod rows;

use std::ffi::{CString, c_void};
use std::path::PathBuf;
use std::ptr;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rdkafka_sys as sys;

use positions::Positions;
use rows::Rows;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Ideal,
    Tuned,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    pub kind: Kind,
    #[arg(long)]
    pub bootstrap: String,
    #[arg(long)]
    pub group: String,
    #[arg(long)]
    pub source: String,
    #[arg(long)]
    pub target: String,
    #[arg(long)]
    pub changelog: String,
    #[arg(long)]
    pub partitions: i32,
    #[arg(long)]
    pub interval_ms: u64,
    #[arg(long)]
    pub state: PathBuf,
    /// `cN` columns to mask besides the usual ones.
    #[arg(long, default_value_t = 0)]
    pub masked: u64,
}

const WAIT: Duration = Duration::from_secs(30);
/// Messages of one fetch.
const BATCH: usize = 1000;
/// So often the group is served; before anything came, at every turn.
const SERVE_EVERY: Duration = Duration::from_millis(50);

fn consumer(args: &Args) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &args.bootstrap).set("group.id", &args.group);
    config.set("isolation.level", "read_committed").set("auto.offset.reset", "earliest");
    config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    config.set("queued.min.messages", "100000").set("queued.max.messages.kbytes", "65536");
    config.set("max.partition.fetch.bytes", "2097152").set("fetch.queue.backoff.ms", "5");
    config.create().expect("a consumer")
}

fn producer(args: &Args) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &args.bootstrap).set("transactional.id", &args.group);
    config.set("compression.type", "lz4").set("linger.ms", "20");
    config.set("batch.num.messages", "10000").set("batch.size", "1000000");
    config.set("queue.buffering.max.messages", "500000").set("queue.buffering.max.kbytes", "262144");
    // Nobody asks for offsets: reports of success would be made for nothing.
    config.set("delivery.report.only.error", "true");
    let producer: BaseProducer = config.create().expect("a producer");
    producer.init_transactions(WAIT).expect("init_transactions");
    producer
}

/// Messages of all partitions in one queue: a batch of them is one call. Set up before the group assigns anything.
struct Fetch {
    queue: *mut sys::rd_kafka_queue_t,
    batch: Vec<*mut sys::rd_kafka_message_t>,
}

impl Fetch {
    fn new(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Self {
        let (client, topic) = (consumer.client().native_ptr(), CString::new(topic).expect("no zero byte"));
        // SAFETY: the client and the name are alive; each partition's handle is released once.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_new(client);
            for partition in 0..partitions {
                let own = sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
                sys::rd_kafka_queue_forward(own, queue);
                sys::rd_kafka_queue_destroy(own);
            }
            queue
        };
        Self { queue, batch: vec![ptr::null_mut(); BATCH] }
    }

    /// Partition, offset, key, value.
    fn each(&mut self, mut visit: impl FnMut(i32, i64, &[u8], Option<&[u8]>)) {
        let field = |data: *mut c_void, len: usize| {
            // SAFETY: pointer and length of one field of a message that is alive; null means absent.
            (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) })
        };
        // SAFETY: the batch has room for so many pointers.
        let got = unsafe { sys::rd_kafka_consume_batch_queue(self.queue, 5, self.batch.as_mut_ptr(), BATCH) };
        for &pointer in &self.batch[..usize::try_from(got).unwrap_or(0)] {
            // SAFETY: from the call above, released below and not used after.
            let message = unsafe { &*pointer };
            assert_eq!(message.err, sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR, "a message");
            let key = field(message.key, message.key_len).unwrap_or_default();
            visit(message.partition, message.offset, key, field(message.payload, message.len));
            // SAFETY: see above.
            unsafe { sys::rd_kafka_message_destroy(pointer) };
        }
    }
}

/// A topic that is written to.
struct Target(*mut sys::rd_kafka_topic_t);

impl Target {
    fn new(producer: &BaseProducer, topic: &str) -> Self {
        let topic = CString::new(topic).expect("no zero byte");
        // SAFETY: the client and the name are alive; the handle lives as long as the process.
        Self(unsafe { sys::rd_kafka_topic_new(producer.client().native_ptr(), topic.as_ptr(), ptr::null_mut()) })
    }

    fn send(&self, partition: i32, key: &[u8], value: &[u8]) {
        let data = |bytes: &[u8]| bytes.as_ptr().cast_mut().cast::<c_void>();
        loop {
            // SAFETY: the handle is alive; key and value are copied by the call.
            let sent = unsafe {
                let (copy, key, len) = (sys::RD_KAFKA_MSG_F_COPY, data(key), key.len());
                sys::rd_kafka_produce(self.0, partition, copy, data(value), value.len(), key, len, ptr::null_mut())
            };
            if sent == 0 {
                return;
            }
            // SAFETY: the error of this thread's last call.
            let error = RDKafkaErrorCode::from(unsafe { sys::rd_kafka_last_error() });
            assert_eq!(error, RDKafkaErrorCode::QueueFull, "producing");
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

/// Never returns: whoever started it ends it.
pub fn run(args: &Args) -> ! {
    let (consumer, producer) = (consumer(args), producer(args));
    let mut fetch = Fetch::new(&consumer, &args.source, args.partitions);
    let target = Target::new(&producer, &args.target);
    let changelog = (args.kind == Kind::Tuned).then(|| Target::new(&producer, &args.changelog));
    let mut positions = match args.kind {
        Kind::Ideal => Positions::in_memory(),
        Kind::Tuned => Positions::in_rocksdb(&args.state),
    };
    let rows = Rows::new(args.masked);
    let mut next: Vec<Option<i64>> = vec![None; args.partitions as usize];
    let (mut open, mut out) = (false, Vec::with_capacity(4096));
    let interval = Duration::from_millis(args.interval_ms);
    consumer.subscribe(&[&args.source]).expect("subscribed");
    let (mut served, mut committed) = (Instant::now(), Instant::now());
    loop {
        if served.elapsed() >= SERVE_EVERY || next.iter().all(Option::is_none) {
            served = Instant::now();
            // Rebalances and errors; messages have their own queue.
            if let Some(Err(error)) = consumer.poll(Duration::ZERO) {
                panic!("{error}");
            }
        }
        fetch.each(|partition, offset, key, value| {
            if !std::mem::replace(&mut open, true) {
                producer.begin_transaction().expect("begin_transaction");
            }
            next[partition as usize] = Some(offset + 1);
            let Some(change) = value.map(|value| rows.read(value)) else { return };
            if positions.rise(key, change.lsn()) {
                change.write(&rows, &mut out);
                target.send(partition, key, &out);
                if let Some(changelog) = &changelog {
                    changelog.send(partition, key, &change.lsn().to_be_bytes());
                }
            }
        });
        if committed.elapsed() >= interval {
            committed = Instant::now();
            if std::mem::take(&mut open) {
                commit(&consumer, &producer, &args.source, &next);
                positions.committed();
            }
        }
    }
}

fn commit(consumer: &BaseConsumer, producer: &BaseProducer, source: &str, next: &[Option<i64>]) {
    let mut offsets = TopicPartitionList::new();
    for (partition, next) in next.iter().enumerate().filter_map(|(p, next)| Some((p as i32, (*next)?))) {
        offsets.add_partition_offset(source, partition, Offset::Offset(next)).expect("a valid offset");
    }
    let member = consumer.group_metadata().expect("a member");
    producer.send_offsets_to_transaction(&offsets, &member, WAIT).expect("send_offsets_to_transaction");
    // Not rdkafka's own call: it flushes in steps of 100 ms, each waited out.
    // SAFETY: the client is alive.
    let error = unsafe { sys::rd_kafka_commit_transaction(producer.client().native_ptr(), -1) };
    assert!(error.is_null(), "commit_transaction");
}
