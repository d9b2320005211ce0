//! What librdkafka calls back: logs, statistics, rebalances. Everything is queued; nothing is decided here.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rustc_hash::FxHashMap;

use super::super::{Bounds, Event, LogError, TopicPartition};

#[derive(Default)]
pub struct Context {
    events: Mutex<VecDeque<Event>>,
    heard: Mutex<FxHashMap<TopicPartition, Bounds>>,
    /// As of the last statistics: no broker is up.
    cut_off: AtomicBool,
    /// The group has given an assignment, be it an empty one.
    assigned: AtomicBool,
    /// Set when the consumer leaves: its partitions are committed, so a revocation needs nobody's attention.
    leaving: AtomicBool,
}

/// A lock whose holder panicked still guards plain data.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Context {
    pub fn push(&self, event: Event) {
        locked(&self.events).push_back(event);
    }

    pub fn drain(&self) -> Vec<Event> {
        locked(&self.events).drain(..).collect()
    }

    pub fn heard(&self, tp: &TopicPartition) -> Option<Bounds> {
        locked(&self.heard).get(tp).copied()
    }

    pub fn connected(&self) -> bool {
        !self.cut_off.load(Ordering::SeqCst)
    }

    pub fn assigned(&self) -> bool {
        self.assigned.load(Ordering::SeqCst)
    }

    pub fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        let up = statistics.brokers.values().any(|broker| broker.state == "UP");
        self.cut_off.store(!up, Ordering::SeqCst);
        let mut heard = locked(&self.heard);
        for topic in statistics.topics.values() {
            for p in topic.partitions.values().filter(|p| p.ls_offset >= 0) {
                let tp = TopicPartition::new(topic.topic.as_str(), p.partition);
                heard.insert(tp, Bounds { start: p.lo_offset.max(0), end: p.ls_offset });
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        self.push(match code {
            Some(RDKafkaErrorCode::AllBrokersDown) => Event::Unreachable(reason.to_string()),
            Some(RDKafkaErrorCode::Fatal) => Event::Fatal(LogError::Stop(reason.to_string())),
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
                Event::Unreachable(reason.to_string())
            }
            _ => Event::Notice(reason.to_string()),
        });
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, tpl: &mut TopicPartitionList) {
        if self.leaving.load(Ordering::SeqCst) {
            if let Err(error) = consumer.unassign() {
                tracing::warn!(%error, "could not give partitions back while leaving the group");
            }
            return;
        }
        let partitions = partitions(tpl);
        self.push(match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assigned.store(true, Ordering::SeqCst);
                Event::Assigned(partitions)
            }
            _ => Event::Revoked { partitions, lost: consumer.assignment_lost() },
        });
    }
}

/// For producers and readers: only logs.
pub fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    use RDKafkaLogLevel::*;
    // Users' properties go to every client; connections that fail and coordinators that are not ready are tried again,
    // and the engine says what it waits for in its own words.
    if matches!(facility, "CONFWARN" | "GETPID" | "FAIL") {
        tracing::debug!(target: "librdkafka", facility, "{message}");
        return;
    }
    match level {
        Emerg | Alert | Critical | Error => tracing::error!(target: "librdkafka", facility, "{message}"),
        Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        // librdkafka tells of every reconnection here; the engine says what it waits for in its own words.
        Notice | Info => tracing::debug!(target: "librdkafka", facility, "{message}"),
        Debug => tracing::trace!(target: "librdkafka", facility, "{message}"),
    }
}

fn partitions(tpl: &TopicPartitionList) -> Vec<TopicPartition> {
    tpl.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect()
}
