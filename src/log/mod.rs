//! The log: topics of partitions of offsets, transactions, consumer groups.
//!
//! The engine knows only these traits. [`kafka`] implements them on Apache Kafka, [`embedded`] inside this process, by the
//! same rules; nothing above this room knows which it is, nor Kafka's client library. Calls that go to a broker take a `wait` and return when it is over, so that a worker stays a state
//! machine that answers signals and serves its consumer group.
//!
//! Errors say by their type what must be done, because with exactly-once the reaction matters more than the cause.

pub mod around;
pub mod embedded;
pub mod kafka;
pub mod lock;
pub mod mark;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::record::Record;

/// What an error of the log demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogError {
    /// The group moved on: abort, discard what is staged, rewind what is still assigned.
    Rejoin(String),
    /// The transaction's outcome is unknown, or the producer is gone: a new producer with the same transactional id,
    /// committed offsets decide, stores are restored.
    Restore(String),
    /// Nothing was decided: the same call again.
    Retry(String),
    /// Only a person can help. The text says how.
    Stop(String),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (LogError::Rejoin(s) | LogError::Restore(s) | LogError::Retry(s) | LogError::Stop(s)) = self;
        f.write_str(s)
    }
}

impl std::error::Error for LogError {}

pub type Result<T> = std::result::Result<T, LogError>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// Kafka's own default of `max.message.bytes`.
pub const DEFAULT_MESSAGE_LIMIT: usize = 1_048_588;

/// How a changelog is set up. One that expires would forget positions.
pub const CHANGELOG: &[(&str, &str)] = &[("cleanup.policy", "compact"), ("compression.type", "producer")];

/// A topic's identity: deleted and created again under one name, it gets another.
pub type TopicId = [u8; 16];

/// What the engine asks of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    pub id: TopicId,
    pub partitions: i32,
    pub compacted_only: bool,
    pub max_message_bytes: usize,
    pub delete_retention: Duration,
}

/// The first offset held and the one after the last written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub start: i64,
    pub end: i64,
}

/// As whom a process speaks to the log.
#[derive(Debug, Clone)]
pub struct Client {
    pub group: String,
    pub client_id: String,
    pub transaction_timeout: Duration,
    /// `group.instance.id` prefix, for static membership.
    pub instance: Option<String>,
    /// Those who read and write at the same time, and share the memory that is meant for what is on its way.
    pub workers: usize,
}

impl Client {
    /// For commands that are in no group and need no name of their own.
    pub fn named(name: &str) -> Self {
        let transaction_timeout = Duration::from_secs(60);
        Self { group: name.into(), client_id: name.into(), transaction_timeout, instance: None, workers: 1 }
    }
}

/// What of open and aborted transactions a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Nothing; and nothing at or beyond the last stable offset.
    Committed,
    Uncommitted,
}

/// Makes clients. One per process.
pub trait Log: Send + Sync {
    fn admin(&self) -> &dyn Admin;
    fn group_consumer(&self, worker: usize) -> Result<Box<dyn GroupConsumer>>;
    fn producer(&self, transactional_id: &str) -> Result<Box<dyn Producer>>;
    /// A producer without transactions.
    fn appender(&self) -> Result<Box<dyn Appender>>;
    fn reader(&self, worker: usize, isolation: Isolation) -> Result<Box<dyn Reader>>;
    /// The same log for another client: another application, a loader, an auditor.
    fn as_client(&self, client: Client) -> Result<Arc<dyn Log>>;
    /// No batch of producers made from now on may be larger: output topics are known only after the first look.
    fn limit_batches(&self, _bytes: usize) {}
}

/// Metadata. Calls wait some seconds for a broker and then ask for `Retry`.
pub trait Admin: Send + Sync {
    fn topics(&self) -> Result<Vec<String>>;
    /// None where there is no such topic.
    fn describe(&self, topic: &str) -> Result<Option<TopicInfo>>;
    /// Settings are Kafka's. A topic that exists already is no error: another instance was faster.
    fn create(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()>;
    /// With all its records and every group's offsets in it. None of that name is no error.
    fn delete(&self, topic: &str) -> Result<()>;
    fn create_changelog(&self, topic: &str, partitions: i32) -> Result<()> {
        self.create(topic, partitions, CHANGELOG)
    }
    /// `create` with so many copies; the log's own number where none is given. A log that keeps one copy takes no notice.
    fn create_replicated(
        &self,
        topic: &str,
        partitions: i32,
        _replication: Option<i32>,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        self.create(topic, partitions, settings)
    }
    /// How many copies a topic has, where that means something.
    fn replicas(&self, _topic: &str) -> Result<Option<i32>> {
        Ok(None)
    }
    /// Bounds as `read_uncommitted` sees them: `end` counts open transactions.
    fn bounds(&self, tp: &TopicPartition) -> Result<Bounds>;
    /// How a person creates a topic on this log; None where nobody else could, so that we do.
    fn creation_hint(&self, topic: &str, partitions: i32) -> Option<String>;
    /// How a person sets the committed offset of a partition, `to` being `earliest` or an offset.
    fn reset_hint(&self, tp: &TopicPartition, to: &str) -> String;
    /// How a person deletes a topic.
    fn deletion_hint(&self, topic: &str) -> String;
    /// How a person finds a transaction that was never ended.
    fn hanging_hint(&self, tp: &TopicPartition) -> String;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Partitions came. They stay paused until `resume_at`.
    Assigned(Vec<TopicPartition>),
    /// Partitions must go: commit, close, then `release` them. If `lost`, they are another's already.
    Revoked {
        partitions: Vec<TopicPartition>,
        lost: bool,
    },
    /// A reader of committed records stands at the last stable offset, `offset` being the next to come.
    End {
        tp: TopicPartition,
        offset: i64,
    },
    /// The offset asked for is not in the log.
    OutOfRange(TopicPartition),
    /// No broker can be reached; recovers by itself.
    Unreachable(String),
    /// Worth a line in the log.
    Notice(String),
    Fatal(LogError),
}

/// A member of the application's consumer group. Rebalances are queued as events, never acted upon in a callback.
pub trait GroupConsumer: Send {
    /// Finds out who coordinates the group, so that joining it later takes no time. What fails here fails again there.
    fn reach(&mut self, _wait: Duration) {}
    fn subscribe(&mut self, topics: &[String]) -> Result<()>;
    /// Waits for records, hands over up to `max` of them, and returns what else happened, in order.
    fn poll(&mut self, max: usize, wait: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event>;
    /// Serves the group without fetching.
    fn serve(&mut self) -> Vec<Event>;
    /// Takes partitions of an `Assigned` event, paused. What was there before must be sought again: see `resume_at`.
    fn take(&mut self, partitions: &[TopicPartition]) -> Result<()>;
    /// Gives back the partitions of a `Revoked` event. What stays must be sought again: see `resume_at`.
    fn release(&mut self, partitions: &[TopicPartition]) -> Result<()>;
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()>;
    /// Fetches from `offset` on. Needed after every rebalance for what stays assigned, too: where the client goes on by
    /// itself is not where we are.
    fn resume_at(&mut self, tp: &TopicPartition, offset: i64) -> Result<()>;
    /// Committed offsets once no open transaction can change them.
    fn committed(&mut self, partitions: &[TopicPartition], wait: Duration) -> Result<Vec<Option<i64>>>;
    /// Who we are in the group; `Rejoin` where the group would not fence us by it.
    fn membership(&mut self) -> Result<Membership>;
    /// Start and last stable offset as last heard from the broker.
    fn heard(&self, tp: &TopicPartition) -> Option<Bounds>;
    /// False while no broker is connected.
    fn connected(&self) -> bool {
        true
    }
    /// The next offset to be handed over, past control records; partitions of which nothing was yet are left out.
    fn positions(&self) -> BTreeMap<TopicPartition, i64>;
    /// Leaves the group. Everything must be committed or aborted before.
    fn leave(&mut self);
}

/// A place in the group. Taken from a consumer it is checked: a non-empty member id and a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    pub group: String,
    pub member: String,
    pub generation: i32,
    /// `group.instance.id`, of static members.
    pub instance: Option<String>,
}

/// The client resets its member id and generation in the background when it leaves or is thrown out, and the broker
/// skips its fencing for exactly these values: an offset commit with them would pass whoever owns the partition.
fn check_membership(member: &str, generation: i32) -> Result<()> {
    if member.is_empty() || generation < 0 {
        return Err(LogError::Rejoin("between two generations of the group".into()));
    }
    Ok(())
}

/// What it demands that a producer is fenced, `age` being how long its transaction has been open.
///
/// The coordinator fences it once its transaction outlived its timeout: a stall, and we start over. Fenced before that,
/// another process uses the same transactional id: starting over would fence it in turn, for ever.
fn fenced(text: &str, age: Duration, timeout: Duration) -> LogError {
    if age >= timeout {
        return LogError::Restore(text.into());
    }
    LogError::Stop(format!(
        "{text}: another process uses this instance's transactional id. Each instance needs a state directory of its own \
         that was never copied; stop the other process, or remove this one's state directory (its stores are restored \
         from their changelogs)"
    ))
}

/// Reads single partitions to their end without a group: restores.
pub trait Reader: Send {
    fn start(&mut self, tp: &TopicPartition, offset: i64) -> Result<()>;
    fn stop(&mut self, tp: &TopicPartition) -> Result<()>;
    fn poll(&mut self, max: usize, wait: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event>;
}

/// A record on its way out.
pub struct Outgoing<'a> {
    pub topic: &'a str,
    /// None: by murmur2 of the key.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    /// None: a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    pub timestamp: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    Queued,
    /// The queue is full: serve and try again.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Done,
    /// It took so long that a request may still be under way: done, but never begin again on this producer.
    DoneDoubtfully,
    /// Not decided yet: call again.
    Pending,
}

/// A producer without transactions: every record is there for all to see as soon as it is written.
pub trait Appender: Send {
    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent>;
    /// Waits until everything sent is written; a failed delivery fails it.
    fn flush(&mut self, wait: Duration) -> Result<()>;
}

/// A transactional producer. An unknown outcome is `Restore`; after it the producer is only good to be dropped.
pub trait Producer: Send {
    /// Ends what an earlier producer of this id left open, and fences it.
    fn init(&mut self, wait: Duration) -> Result<()>;
    /// How long the log would keep the next transaction waiting if it began now. It is better to wait before records are taken.
    fn rest(&self) -> Duration {
        Duration::ZERO
    }
    fn begin(&mut self) -> Result<()>;
    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent>;
    fn send_offsets(&mut self, offsets: &[(TopicPartition, i64)], who: &Membership, wait: Duration) -> Result<()>;
    /// Flushes and commits; a failed delivery fails it.
    /// One that was asked for in vain, and an abort after it, are done doubtfully at best.
    fn commit(&mut self, wait: Duration) -> Result<Ended>;
    fn abort(&mut self, wait: Duration) -> Result<Ended>;
    /// The highest offset the log acknowledged on an explicitly chosen partition.
    fn acknowledged(&self, tp: &TopicPartition) -> Option<i64>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_that_the_broker_would_not_fence_are_refused() {
        assert!(check_membership("member", 1).is_ok());
        assert!(matches!(check_membership("", 1), Err(LogError::Rejoin(_))));
        assert!(matches!(check_membership("member", -1), Err(LogError::Rejoin(_))));
    }
}
