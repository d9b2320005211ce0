//! A member of the consumer group.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as sys;

use super::super::{Bounds, Event, GroupConsumer, LogError, Membership, Result, TopicPartition, check_membership};
use super::context::Context;
use super::errors::reaction;
use super::fetch::FetchQueue;
use super::{KafkaConfig, config};
use crate::record::Record;

/// How long a clean stop waits for the coordinator.
const LEAVING: Duration = Duration::from_secs(10);

/// How long it waits for what joining the group comes to: longer than a group that is empty waits for others by default.
const JOINING: Duration = Duration::from_secs(5);

pub struct KafkaConsumer {
    // Before the consumer: fields drop in this order, and the queue needs the client.
    queue: FetchQueue,
    /// Never dropped: the library's own drop closes the consumer and waits for that without end, and a process that
    /// cannot end is worse than a client that lives until its process does. `leave` closes it, with a deadline.
    consumer: ManuallyDrop<BaseConsumer<Context>>,
    subscribed: bool,
    left: bool,
    group: String,
    instance: Option<String>,
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.leave();
    }
}

impl KafkaConsumer {
    pub fn connect(config: &KafkaConfig, worker: usize) -> Result<Self> {
        let client = config::consumer(config, worker);
        let consumer = BaseConsumer::from_config_and_context(&client, Context::default())
            .map_err(|e| reaction("create a consumer", &e))?;
        let queue = FetchQueue::new(consumer.client().native_ptr());
        let (group, instance) = (config.client.group.clone(), config::instance(config, worker));
        Ok(Self { queue, consumer: ManuallyDrop::new(consumer), subscribed: false, left: false, group, instance })
    }

    /// Serves rebalances, statistics and errors. A message that slipped into the main queue before its partition was
    /// forwarded is fetched again, so that it is neither lost nor overtaken.
    fn serve_main_queue(&mut self) {
        // At least once: polling is also what tells the group that we live.
        let mut waiting = self.queue.events_waiting().max(1);
        while waiting > 0 {
            waiting -= 1;
            let Some(polled) = self.consumer.poll(Duration::ZERO) else { continue };
            match polled {
                Ok(message) => {
                    let (topic, partition) = (message.topic(), message.partition());
                    let back = Offset::Offset(message.offset());
                    if let Err(error) = self.consumer.seek(topic, partition, back, Duration::from_secs(5)) {
                        let text = format!("a message of {topic}-{partition} could not be fetched again: {error}");
                        self.consumer.context().push(Event::Fatal(LogError::Restore(text)));
                    }
                }
                Err(error) => self.consumer.context().push(Event::Notice(error.to_string())),
            }
        }
    }

    /// Who is about to join has no name yet, or one that only a join under way makes known to it.
    fn finish_joining(&mut self) {
        let give_up = Instant::now() + JOINING;
        while self.subscribed && !self.consumer.context().assigned() && Instant::now() < give_up {
            self.serve_main_queue();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// To rebalances that nobody works on any more.
    fn answer(&self) {
        for event in self.consumer.context().drain() {
            let answered = match event {
                Event::Assigned(tps) => list(&tps, Some(Offset::End)).map(|l| self.consumer.incremental_assign(&l)),
                Event::Revoked { partitions, .. } => {
                    list(&partitions, None).map(|l| self.consumer.incremental_unassign(&l))
                }
                _ => continue,
            };
            if let Ok(Err(error)) = answered {
                tracing::debug!(%error, "a rebalance was overtaken by leaving the group");
            }
        }
    }
}

fn list(tps: &[TopicPartition], offset: Option<Offset>) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(tps.len());
    for tp in tps {
        let added = list.add_partition_offset(&tp.topic, tp.partition, offset.unwrap_or(Offset::Invalid));
        added.map_err(|e| reaction("name a partition", &e))?;
    }
    Ok(list)
}

impl GroupConsumer for KafkaConsumer {
    fn reach(&mut self, wait: Duration) {
        // Only the coordinator knows committed offsets. One of a partition that nobody has waits for no transaction.
        let nobodys = TopicPartition::new(self.group.as_str(), i32::MAX);
        if let Err(error) = self.committed(&[nobodys], wait) {
            tracing::debug!(%error, "the group's coordinator is not found yet");
        }
    }

    fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics).map_err(|e| reaction("subscribe", &e))?;
        self.subscribed = true;
        Ok(())
    }

    fn poll(&mut self, max: usize, wait: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event> {
        self.serve_main_queue();
        let mut events = self.consumer.context().drain();
        // A rebalance first: records fetched after it may belong to another owner.
        if events.is_empty() {
            self.queue.drain(max, wait, visit, &mut events);
        }
        events
    }

    fn serve(&mut self) -> Vec<Event> {
        self.serve_main_queue();
        self.consumer.context().drain()
    }

    fn take(&mut self, tps: &[TopicPartition]) -> Result<()> {
        tps.iter().for_each(|tp| self.queue.forward(tp));
        // Before they are assigned, so that nothing is fetched.
        self.pause(tps)?;
        // Where they start does not matter: `resume_at` says where to begin. But it must be a number: the end or the
        // beginning would be looked up, and where the answer crosses with a seek, the client looks it up once more half a
        // second later and goes on from there. The records in between would never be seen.
        let assigned = list(tps, Some(Offset::Offset(0)))?;
        self.consumer.incremental_assign(&assigned).map_err(|e| reaction("take partitions", &e))
    }

    fn release(&mut self, tps: &[TopicPartition]) -> Result<()> {
        self.consumer.incremental_unassign(&list(tps, None)?).map_err(|e| reaction("release partitions", &e))
    }

    fn pause(&mut self, tps: &[TopicPartition]) -> Result<()> {
        if tps.is_empty() {
            return Ok(());
        }
        self.consumer.pause(&list(tps, None)?).map_err(|e| reaction("pause partitions", &e))
    }

    fn resume_at(&mut self, tp: &TopicPartition, offset: i64) -> Result<()> {
        let tps = std::slice::from_ref(tp);
        let sought = list(tps, Some(Offset::Offset(offset)))?;
        let sought = self.consumer.seek_partitions(sought, Duration::from_secs(5));
        let sought = sought.map_err(|e| LogError::Retry(format!("seek {tp}: {e}")))?;
        for element in sought.elements() {
            element.error().map_err(|e| LogError::Retry(format!("seek {tp}: {e}")))?;
        }
        self.consumer.resume(&list(tps, None)?).map_err(|e| reaction("resume a partition", &e))?;
        self.queue.wake(&list(tps, Some(Offset::End))?);
        Ok(())
    }

    fn committed(&mut self, tps: &[TopicPartition], wait: Duration) -> Result<Vec<Option<i64>>> {
        // isolation.level=read_committed makes librdkafka ask for stable offsets: open transactions are waited for.
        let found = self.consumer.committed_offsets(list(tps, None)?, wait);
        let found = found.map_err(|e| reaction("read committed offsets", &e))?;
        tps.iter()
            .map(|tp| {
                let element = found.find_partition(&tp.topic, tp.partition);
                let element = element.ok_or_else(|| LogError::Retry(format!("no committed offset told for {tp}")))?;
                element.error().map_err(|e| reaction("read committed offsets", &e))?;
                Ok(match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                })
            })
            .collect()
    }

    fn membership(&mut self) -> Result<Membership> {
        if self.consumer.assignment_lost() {
            return Err(LogError::Rejoin("the assignment was lost".into()));
        }
        let native = self.consumer.client().native_ptr();
        // SAFETY: the client is alive; the metadata object is ours and released here.
        let (member, generation) = unsafe {
            let metadata = sys::rd_kafka_consumer_group_metadata(native);
            if metadata.is_null() {
                return Err(LogError::Rejoin("not a member of the group".into()));
            }
            let member = sys::rd_kafka_consumer_group_metadata_member_id(metadata);
            let member = CStr::from_ptr(member).to_string_lossy().into_owned();
            let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
            sys::rd_kafka_consumer_group_metadata_destroy(metadata);
            (member, generation)
        };
        check_membership(&member, generation)?;
        Ok(Membership { group: self.group.clone(), member, generation, instance: self.instance.clone() })
    }

    fn heard(&self, tp: &TopicPartition) -> Option<Bounds> {
        self.consumer.context().heard(tp)
    }

    fn connected(&self) -> bool {
        self.consumer.context().connected()
    }

    fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        let Ok(positions) = self.consumer.position() else { return BTreeMap::new() };
        let known = positions.elements().into_iter().filter_map(|e| match e.offset() {
            Offset::Offset(offset) => Some((TopicPartition::new(e.topic(), e.partition()), offset)),
            _ => None,
        });
        known.collect()
    }

    fn leave(&mut self) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        self.finish_joining();
        // From here on revocations are answered at once: all work is committed or aborted.
        self.consumer.context().leave();
        self.answer();
        // The client leaves when the last of its partitions is given back, and never where it has none. A member that goes
        // without a word holds up its group for a session, and a new one for five minutes.
        let has_none = self.consumer.assignment().is_ok_and(|assigned| assigned.count() == 0);
        if has_none && self.instance.is_none() {
            self.consumer.unsubscribe();
        }
        if let Err(error) = self.consumer.close_queue() {
            tracing::warn!(%error, "could not leave the group; it will notice when the session ends");
            return;
        }
        let give_up = Instant::now() + LEAVING;
        while !self.consumer.closed() {
            if Instant::now() > give_up {
                tracing::warn!("leaving the group takes too long; it will notice when the session ends");
                return;
            }
            self.consumer.poll(Duration::from_millis(50));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that is in no group is in the state of one between two generations.
    #[test]
    fn a_consumer_without_a_group_has_no_membership() {
        let mut consumer = KafkaConsumer::connect(&KafkaConfig::of_nowhere(), 0).unwrap();
        assert!(matches!(consumer.membership(), Err(LogError::Rejoin(_))));
    }
}
