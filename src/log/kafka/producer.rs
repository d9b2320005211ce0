//! A transactional producer: the raw commit call, acknowledged offsets, errors by the reaction they demand.

use std::ffi::{CStr, CString};
use std::mem::ManuallyDrop;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::{Producer as _, ThreadedProducer};
use rdkafka_sys as sys;
use rustc_hash::FxHashMap;

use super::super::{Ended, LogError, Membership, Outgoing, Producer, Result, Sent, TopicPartition};
use super::deliveries::{Deliveries, NOBODY};
use super::errors::{NativeError, reaction};
use super::sending::Topics;
use super::{KafkaConfig, config};

/// A request whose connection is lost, or that has no answer in time, is sent again by librdkafka, which does not tell:
/// after so long or more, give or take a fifth.
pub const ASKS_AGAIN: Duration = Duration::from_millis(750);

/// An answer that came sooner is one to the only request there was. Offsets are sent again after half a second, whatever
/// the configuration says.
const ASKED_ONCE: Duration = Duration::from_millis(450);

/// So long records are waited for before the group is served again.
const DELIVERY: Duration = Duration::from_secs(1);

/// While the broker writes the markers of a transaction it refuses the partitions of the next, and the client asks again 20 ms
/// later. Where transactions are short and follow closely, that is longer than waiting until the markers are written.
const SETTLING: Duration = Duration::from_millis(5);
const SHORT: Duration = Duration::from_millis(50);

pub struct KafkaProducer {
    producer: ManuallyDrop<ThreadedProducer<Deliveries>>,
    /// A call into the client never returned: it must not be destroyed under that call. It can do no harm, because the
    /// next producer of its id fences it.
    abandoned: bool,
    topics: ManuallyDrop<Topics>,
    /// Where the acknowledged offsets of partitions go that records were sent to by number.
    slots: FxHashMap<TopicPartition, usize>,
    /// The slot used last: changelog records come in runs of one partition.
    last: Option<(TopicPartition, usize)>,
    timeout: Duration,
    begun: Option<Instant>,
    /// When the last transaction ended, and how long it lasted.
    before: Option<(Instant, Duration)>,
    /// A request of this transaction may be on its way still, and arrive within a later one. The broker could not tell:
    /// the epoch stays from commit to commit, because librdkafka speaks the EndTxn of before KIP-890 to every cluster.
    doubtful: bool,
}

impl KafkaProducer {
    pub fn connect(config: &KafkaConfig, transactional_id: &str, limit: usize) -> Result<Self> {
        let client = config::transactional(config, transactional_id, limit);
        let producer = ThreadedProducer::from_config_and_context(&client, Deliveries::default())
            .map_err(|e| reaction("create a producer", &e))?;
        let timeout = config.client.transaction_timeout;
        Ok(Self {
            producer: ManuallyDrop::new(producer),
            abandoned: false,
            topics: ManuallyDrop::new(Topics::default()),
            slots: FxHashMap::default(),
            last: None,
            timeout,
            begun: None,
            before: None,
            doubtful: false,
        })
    }

    fn native(&self) -> *mut sys::rd_kafka_t {
        self.producer.client().native_ptr()
    }

    /// Waits for a broker. Without one at hand the client looks for its coordinator again only half a second later.
    fn reach(&self, wait: Duration) -> Result<()> {
        let mut metadata = std::ptr::null();
        // SAFETY: the client is alive; what it gives is released here. No topic is asked about.
        let code = unsafe {
            let code = sys::rd_kafka_metadata(self.native(), 0, std::ptr::null_mut(), &mut metadata, millis(wait));
            if !metadata.is_null() {
                sys::rd_kafka_metadata_destroy(metadata);
            }
            code
        };
        match code {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(reaction("reach a broker", &KafkaError::Global(code.into()))),
        }
    }

    fn slot(&mut self, topic: &str, partition: i32) -> usize {
        match &self.last {
            Some((tp, slot)) if tp.partition == partition && &*tp.topic == topic => *slot,
            _ => {
                let tp = TopicPartition::new(topic, partition);
                let slot = *self.slots.entry(tp.clone()).or_insert_with(|| self.producer.context().slot());
                self.last = Some((tp, slot));
                slot
            }
        }
    }

    fn age(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }

    /// What was asked for more than once may have a request left that arrives after the answer.
    fn doubt(&mut self, asked: Instant) {
        self.doubtful |= asked.elapsed() > ASKED_ONCE;
    }

    fn ended(&mut self) -> Ended {
        let now = Instant::now();
        self.before = self.begun.take().map(|begun| (now, now - begun));
        if self.doubtful { Ended::DoneDoubtfully } else { Ended::Done }
    }

    /// Waits for deliveries alone, so that the time they take casts no doubt on the request behind them.
    fn delivered(&self, wait: Duration) -> bool {
        // SAFETY: the client is alive.
        let code = unsafe { sys::rd_kafka_flush(self.native(), millis(wait)) };
        code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__TIMED_OUT
    }

    /// What made the client useless, where something did: fenced by a stranger, it must not come back and fence in turn.
    fn fatal(&self, call: &str) -> Option<LogError> {
        let mut text = [0; 512];
        // SAFETY: the client is alive; the buffer is as long as we say, and the text in it ends with a zero byte.
        let (code, text) = unsafe {
            let code = sys::rd_kafka_fatal_error(self.native(), text.as_mut_ptr(), text.len());
            (code, CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned())
        };
        if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let error = NativeError { code: code.into(), text, fatal: true, retriable: false, requires_abort: false };
        Some(error.reaction(call, self.age(), self.timeout))
    }

    fn check(&self, call: &str, error: *mut sys::rd_kafka_error_t) -> Result<()> {
        // SAFETY: fresh from a librdkafka call; nobody else holds it.
        self.judge(call, unsafe { NativeError::take(error) })
    }

    fn judge(&self, call: &str, error: Option<NativeError>) -> Result<()> {
        match error {
            None => Ok(()),
            Some(error) => match self.producer.context().hopeless() {
                Some(stop) if !error.retriable => Err(stop),
                _ => Err(error.reaction(call, self.age(), self.timeout)),
            },
        }
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        if !self.abandoned {
            // SAFETY: dropped once, here, and not used after; the topics' handles before their client.
            unsafe {
                ManuallyDrop::drop(&mut self.topics);
                ManuallyDrop::drop(&mut self.producer);
            }
        }
    }
}

/// How much longer than it was asked to a call may take before it is given up.
const GRACE: Duration = Duration::from_secs(5);

/// Sends offsets; `client` is a live producer's address.
fn call_send_offsets(
    client: usize,
    list: &TopicPartitionList,
    who: &Membership,
    wait: Duration,
) -> Option<NativeError> {
    let text = |s: &str| CString::new(s).unwrap_or_default();
    let (group, member) = (text(&who.group), text(&who.member));
    let instance = who.instance.as_deref().map(text);
    // SAFETY: the caller keeps the client alive, for ever if this does not return; the strings live as long as the call
    // that copies them, and the metadata object is released here.
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata_new_with_genid(
            group.as_ptr(),
            who.generation,
            member.as_ptr(),
            instance.as_ref().map_or(std::ptr::null(), |i| i.as_ptr()),
        );
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
        self.reach(wait)?;
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
        self.producer.context().forget();
        self.begun = Some(Instant::now());
        self.doubtful = false;
        // SAFETY: the client is alive.
        self.check("begin_transaction", unsafe { sys::rd_kafka_begin_transaction(self.native()) })
    }

    fn rest(&self) -> Duration {
        match self.before {
            Some((ended, lasted)) if lasted < SHORT => (ended + SETTLING).saturating_duration_since(Instant::now()),
            _ => Duration::ZERO,
        }
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent> {
        let slot = match record.partition {
            Some(partition) => self.slot(record.topic, partition),
            None => NOBODY,
        };
        let client = self.native();
        match self.topics.send(client, record, slot) {
            Err(LogError::Restore(text)) => Err(self.fatal("produce").unwrap_or(LogError::Restore(text))),
            sent => sent,
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
        // While the transaction before is still being ended, the broker refuses this one. The client asks again for its
        // partitions at once, for its offsets only after `ASKS_AGAIN`: what was delivered shows that the broker is ready.
        if !self.delivered(wait.min(DELIVERY)) {
            return Err(LogError::Retry("records are not delivered yet".into()));
        }
        // On a thread of its own: librdkafka forgets to answer this call when its producer id is renewed under it
        // (deliveries that time out while a broker is away), whatever timeout it was given.
        let (client, who) = (self.native() as usize, who.clone());
        let (tell, told) = channel();
        let call = move || {
            // Nobody listens any more once the call was given up.
            let _ = tell.send(call_send_offsets(client, &list, &who, wait));
        };
        let asked = Instant::now();
        let spawned = std::thread::Builder::new().name("send-offsets".into()).spawn(call);
        spawned.map_err(|e| LogError::Retry(format!("cannot start a thread: {e}")))?;
        let answer = told.recv_timeout(wait + GRACE);
        self.doubt(asked);
        match answer {
            Ok(error) => self.judge("send_offsets_to_transaction", error),
            Err(_) => {
                self.abandoned = true;
                Err(LogError::Restore("send_offsets_to_transaction does not return".into()))
            }
        }
    }

    fn commit(&mut self, wait: Duration) -> Result<Ended> {
        if !self.delivered(wait) {
            return Ok(Ended::Pending);
        }
        let asked = Instant::now();
        // SAFETY: the client is alive.
        let error = unsafe { sys::rd_kafka_commit_transaction(self.native(), millis(wait)) };
        self.doubt(asked);
        match self.check("commit_transaction", error) {
            Ok(()) => Ok(self.ended()),
            Err(LogError::Retry(text)) => {
                tracing::debug!(reason = text, "commit is still undecided");
                self.doubtful = true;
                Ok(Ended::Pending)
            }
            Err(error) => Err(error),
        }
    }

    fn abort(&mut self, wait: Duration) -> Result<Ended> {
        let asked = Instant::now();
        // SAFETY: the client is alive.
        let error = unsafe { sys::rd_kafka_abort_transaction(self.native(), millis(wait)) };
        self.doubt(asked);
        // SAFETY: as above.
        match unsafe { NativeError::take(error) } {
            None => Ok(self.ended()),
            Some(error) if error.retriable && !error.fatal => {
                self.doubtful = true;
                Ok(Ended::Pending)
            }
            Some(error) => Err(LogError::Restore(format!("abort_transaction: {}", error.text))),
        }
    }

    fn acknowledged(&self, tp: &TopicPartition) -> Option<i64> {
        self.slots.get(tp).and_then(|slot| self.producer.context().acknowledged(*slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_without_offsets_is_refused() {
        let mut producer = KafkaProducer::connect(&KafkaConfig::of_nowhere(), "id", 1 << 20).unwrap();
        let who = Membership { group: "g".into(), member: "member".into(), generation: 1, instance: None };
        let refused = producer.send_offsets(&[], &who, Duration::from_secs(1));
        assert!(matches!(refused, Err(LogError::Restore(_))), "{refused:?}");
    }
}
