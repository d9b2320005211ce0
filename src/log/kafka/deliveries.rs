//! What becomes of records on their way to the broker: acknowledged offsets, and the first failure.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, RwLock};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use super::super::LogError;
use super::context::log_line;

/// What the delivery thread tells the worker.
#[derive(Default)]
pub struct Deliveries {
    failed: Mutex<Option<(RDKafkaErrorCode, String)>>,
    /// The highest acknowledged offset of each partition that somebody asks for, by the number of its slot; -1 for none yet.
    acknowledged: RwLock<Vec<AtomicI64>>,
}

/// What comes back with a record whose offset nobody asks for. Slots are numbered from 1.
pub const NOBODY: usize = 0;

impl Deliveries {
    /// A slot for the offsets of one partition.
    pub fn slot(&self) -> usize {
        let mut acknowledged = self.acknowledged.write().unwrap_or_else(|p| p.into_inner());
        acknowledged.push(AtomicI64::new(-1));
        acknowledged.len()
    }

    fn of<T>(&self, slot: usize, read: impl FnOnce(&AtomicI64) -> T) -> Option<T> {
        let index = slot.checked_sub(1)?;
        self.acknowledged.read().unwrap_or_else(|p| p.into_inner()).get(index).map(read)
    }

    pub fn acknowledged(&self, slot: usize) -> Option<i64> {
        self.of(slot, |offset| offset.load(Ordering::SeqCst)).filter(|offset| *offset >= 0)
    }

    fn failed(&self) -> MutexGuard<'_, Option<(RDKafkaErrorCode, String)>> {
        self.failed.lock().unwrap_or_else(|p| p.into_inner())
    }

    pub fn forget(&self) {
        self.failed().take();
    }

    /// What failed since, whatever the reason.
    pub fn failure(&self) -> Option<String> {
        self.failed().as_ref().map(|(_, text)| text.clone())
    }

    /// A delivery that failed for a reason that will not pass: processing the same records again would fail for ever.
    pub fn hopeless(&self) -> Option<LogError> {
        use RDKafkaErrorCode::*;
        let failed = self.failed();
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
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "producer");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Self::DeliveryOpaque) {
        match result {
            Ok(_) if slot == NOBODY => {}
            Ok(message) => {
                self.of(slot, |offset| offset.fetch_max(message.offset(), Ordering::SeqCst));
            }
            // What an abort throws out of the queue is no failure.
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight), _)) => {
            }
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                self.failed().get_or_insert_with(|| (code, format!("{}: {error}", message.topic())));
            }
        }
    }
}
