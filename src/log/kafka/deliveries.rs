//! What becomes of records on their way to the broker: acknowledged offsets, and the first failure.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};

use super::super::{LogError, Outgoing, Result, Sent};
use super::context::log_line;

/// What the delivery thread tells the worker.
#[derive(Default)]
pub struct Deliveries {
    failed: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

/// Where the acknowledged offsets of one partition go.
pub type Slot = Arc<AtomicI64>;

impl Deliveries {
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
                self.failed().get_or_insert_with(|| (code, format!("{}: {error}", message.topic())));
            }
        }
    }
}

/// Queues a record, its acknowledged offset to go to `slot`.
pub fn send(producer: &ThreadedProducer<Deliveries>, record: &Outgoing<'_>, slot: Slot) -> Result<Sent> {
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
    match producer.send(r) {
        Ok(()) => Ok(Sent::Queued),
        Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(Sent::Full),
        Err((error, _)) => {
            use RDKafkaErrorCode::*;
            let text = format!("produce to {}: {error}", record.topic);
            Err(match error.rdkafka_error_code() {
                Some(MessageSizeTooLarge | UnknownTopic | UnknownPartition) => LogError::Stop(text),
                // The producer is fatal or its transaction is to be aborted: the next commit tells which.
                Some(Fatal | Fenced) => LogError::Restore(text),
                _ => LogError::Rejoin(text),
            })
        }
    }
}
