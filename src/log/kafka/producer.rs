//! A transactional producer.
//!
//! Commits call librdkafka directly: rust-rdkafka's `commit_transaction` polls in steps of 100 ms that always run to
//! their end, which costs about 100 ms a commit; the native call costs about one, because the threaded producer serves
//! delivery reports beside it. For the same reason the outcome is read from the native error object, whose flags say
//! whether a transaction is undecided, to be aborted, or lost.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka_sys as sys;
use rustc_hash::FxHashMap;

use super::super::{Ended, LogError, Membership, Outgoing, Producer, Result, Sent, TopicPartition};
use super::context::log_line;
use super::errors::{NativeError, reaction};
use super::{KafkaConfig, config};

/// What the delivery thread tells the worker.
#[derive(Default)]
struct Deliveries {
    failed: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

/// Where the acknowledged offsets of one partition go.
type Slot = Arc<AtomicI64>;

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "producer");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Slot;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Self::DeliveryOpaque) {
        match result {
            Ok(message) => {
                slot.fetch_max(message.offset(), Ordering::SeqCst);
            }
            // What an abort throws out of the queue is no failure.
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight), _)) => {
            }
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                let mut failed = self.failed.lock().unwrap_or_else(|p| p.into_inner());
                failed.get_or_insert_with(|| (code, format!("{}: {error}", message.topic())));
            }
        }
    }
}

pub struct KafkaProducer {
    producer: ManuallyDrop<ThreadedProducer<Deliveries>>,
    /// A call into the client never returned: it must not be destroyed under that call. It can do no harm, because the
    /// next producer of its id fences it.
    abandoned: bool,
    slots: FxHashMap<TopicPartition, Slot>,
    /// The slot used last: changelog records come in runs of one partition.
    last: Option<(TopicPartition, Slot)>,
    /// For records whose offset nobody asks for.
    nobody: Slot,
    timeout: Duration,
    begun: Option<Instant>,
    doubtful: bool,
}

impl KafkaProducer {
    pub fn connect(config: &KafkaConfig, transactional_id: &str) -> Result<Self> {
        let client = config::producer(config, transactional_id);
        let producer = ThreadedProducer::from_config_and_context(&client, Deliveries::default())
            .map_err(|e| reaction("create a producer", &e))?;
        let timeout = config.transaction_timeout;
        Ok(Self {
            producer: ManuallyDrop::new(producer),
            abandoned: false,
            slots: FxHashMap::default(),
            last: None,
            nobody: Slot::default(),
            timeout,
            begun: None,
            doubtful: false,
        })
    }

    fn native(&self) -> *mut sys::rd_kafka_t {
        self.producer.client().native_ptr()
    }

    fn slot(&mut self, topic: &str, partition: i32) -> Slot {
        match &self.last {
            Some((tp, slot)) if tp.partition == partition && &*tp.topic == topic => slot.clone(),
            _ => {
                let tp = TopicPartition::new(topic, partition);
                let slot = self.slots.entry(tp.clone()).or_insert_with(|| Arc::new(AtomicI64::new(-1))).clone();
                self.last = Some((tp, slot.clone()));
                slot
            }
        }
    }

    fn age(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// A delivery that failed for a reason that will not pass: processing the same records again would fail for ever.
    fn hopeless_delivery(&self) -> Option<LogError> {
        use RDKafkaErrorCode::*;
        let failed = self.producer.context().failed.lock().unwrap_or_else(|p| p.into_inner());
        let (code, text) = failed.as_ref()?;
        let hint = match code {
            MessageSizeTooLarge => "raise max.message.bytes of the topic, or the broker's message.max.bytes",
            TopicAuthorizationFailed => "grant the principal Write on the topic",
            UnknownTopicOrPartition | UnknownTopic | UnknownPartition => "create the topic and start again",
            InvalidRecord => "the topic refuses the record: compacted topics need keys",
            _ => return None,
        };
        Some(LogError::Stop(format!("{text}: {hint}")))
    }

    fn check(&self, call: &str, error: *mut sys::rd_kafka_error_t) -> Result<()> {
        // SAFETY: fresh from a librdkafka call; nobody else holds it.
        self.judge(call, unsafe { NativeError::take(error) })
    }

    fn judge(&self, call: &str, error: Option<NativeError>) -> Result<()> {
        match error {
            None => Ok(()),
            Some(error) => match self.hopeless_delivery() {
                Some(stop) if !error.retriable => Err(stop),
                _ => Err(error.reaction(call, self.age(), self.timeout)),
            },
        }
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        if !self.abandoned {
            // SAFETY: dropped once, here, and not used after.
            unsafe { ManuallyDrop::drop(&mut self.producer) }
        }
    }
}

/// How much longer than it was asked to a call may take before it is given up.
const GRACE: Duration = Duration::from_secs(5);

/// Sends offsets; `client` is a live producer's address.
fn call_send_offsets(client: usize, list: &TopicPartitionList, encoded: &[u8], wait: Duration) -> Option<NativeError> {
    // SAFETY: the caller keeps the client alive, for ever if this does not return; the metadata object is read from
    // bytes that librdkafka wrote, and released here.
    unsafe {
        let mut metadata = std::ptr::null_mut();
        let error = sys::rd_kafka_consumer_group_metadata_read(&mut metadata, encoded.as_ptr().cast(), encoded.len());
        if let Some(error) = NativeError::take(error) {
            return Some(error);
        }
        let error = sys::rd_kafka_send_offsets_to_transaction(client as *mut _, list.ptr(), metadata, millis(wait));
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        NativeError::take(error)
    }
}

fn millis(wait: Duration) -> i32 {
    wait.as_millis().min(i32::MAX as u128) as i32
}

impl Producer for KafkaProducer {
    fn init(&mut self, wait: Duration) -> Result<()> {
        // SAFETY: the client is alive.
        let error = unsafe { sys::rd_kafka_init_transactions(self.native(), millis(wait)) };
        // SAFETY: as above.
        match unsafe { NativeError::take(error) } {
            None => Ok(()),
            Some(e) if e.fatal => Err(LogError::Restore(format!("init_transactions: {}", e.text))),
            Some(e) => match reaction("init_transactions", &KafkaError::Global(e.code)) {
                LogError::Stop(text) => Err(LogError::Stop(format!("{text} ({})", e.text))),
                _ => Err(LogError::Retry(format!("init_transactions: {}", e.text))),
            },
        }
    }

    fn begin(&mut self) -> Result<()> {
        self.producer.context().failed.lock().unwrap_or_else(|p| p.into_inner()).take();
        self.begun = Some(Instant::now());
        self.doubtful = false;
        // SAFETY: the client is alive.
        self.check("begin_transaction", unsafe { sys::rd_kafka_begin_transaction(self.native()) })
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent> {
        let slot = match record.partition {
            Some(partition) => self.slot(record.topic, partition),
            None => self.nobody.clone(),
        };
        let mut r: BaseRecord<'_, [u8], [u8], _> = BaseRecord::with_opaque_to(record.topic, slot);
        r.partition = record.partition;
        r.key = record.key;
        r.payload = record.value;
        r.timestamp = record.timestamp;
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            r.headers =
                Some(record.headers.iter().fold(headers, |h, (key, value)| h.insert(Header { key, value: *value })));
        }
        match self.producer.send(r) {
            Ok(()) => Ok(Sent::Queued),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(Sent::Full),
            Err((error, _)) => {
                let text = format!("produce to {}: {error}", record.topic);
                Err(match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::UnknownTopic) => {
                        LogError::Stop(text)
                    }
                    Some(RDKafkaErrorCode::UnknownPartition) => LogError::Stop(text),
                    // The producer is fatal or its transaction is to be aborted: the next commit tells which.
                    Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced) => LogError::Restore(text),
                    _ => LogError::Rejoin(text),
                })
            }
        }
    }

    fn send_offsets(&mut self, offsets: &[(TopicPartition, i64)], who: &Membership, wait: Duration) -> Result<()> {
        if offsets.is_empty() {
            // librdkafka would answer success and send nothing: a transaction that the group cannot fence.
            return Err(LogError::Restore("a transaction without offsets".into()));
        }
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (tp, offset) in offsets {
            let added = list.add_partition_offset(&tp.topic, tp.partition, rdkafka::Offset::Offset(*offset));
            added.map_err(|e| reaction("name an offset", &e))?;
        }
        // On a thread of its own: librdkafka forgets to answer this call when its producer id is renewed under it
        // (deliveries that time out while a broker is away), whatever timeout it was given.
        let (client, encoded) = (self.native() as usize, who.encoded.clone());
        let (tell, told) = channel();
        let call = move || {
            // Nobody listens any more once the call was given up.
            let _ = tell.send(call_send_offsets(client, &list, &encoded, wait));
        };
        let spawned = std::thread::Builder::new().name("send-offsets".into()).spawn(call);
        spawned.map_err(|e| LogError::Retry(format!("cannot start a thread: {e}")))?;
        match told.recv_timeout(wait + GRACE) {
            Ok(error) => self.judge("send_offsets_to_transaction", error),
            Err(_) => {
                self.abandoned = true;
                Err(LogError::Restore("send_offsets_to_transaction does not return".into()))
            }
        }
    }

    fn commit(&mut self, wait: Duration) -> Result<Ended> {
        // SAFETY: the client is alive.
        let error = unsafe { sys::rd_kafka_commit_transaction(self.native(), millis(wait)) };
        match self.check("commit_transaction", error) {
            Ok(()) => {
                self.begun = None;
                Ok(if self.doubtful { Ended::DoneDoubtfully } else { Ended::Done })
            }
            Err(LogError::Retry(text)) => {
                tracing::debug!(reason = text, "commit is still undecided");
                self.doubtful = true;
                Ok(Ended::Pending)
            }
            Err(error) => Err(error),
        }
    }

    fn abort(&mut self, wait: Duration) -> Result<Ended> {
        // SAFETY: the client is alive.
        let error = unsafe { sys::rd_kafka_abort_transaction(self.native(), millis(wait)) };
        // SAFETY: as above.
        match unsafe { NativeError::take(error) } {
            None => {
                self.begun = None;
                Ok(Ended::Done)
            }
            Some(error) if error.retriable && !error.fatal => Ok(Ended::Pending),
            Some(error) => Err(LogError::Restore(format!("abort_transaction: {}", error.text))),
        }
    }

    fn acknowledged(&self, tp: &TopicPartition) -> Option<i64> {
        self.slots.get(tp).map(|slot| slot.load(Ordering::SeqCst)).filter(|offset| *offset >= 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_without_offsets_is_refused() {
        let mut producer = KafkaProducer::connect(&KafkaConfig::of_nowhere(), "id").unwrap();
        let who = Membership { member: "member".into(), generation: 1, encoded: Vec::new() };
        let refused = producer.send_offsets(&[], &who, Duration::from_secs(1));
        assert!(matches!(refused, Err(LogError::Restore(_))), "{refused:?}");
    }
}
