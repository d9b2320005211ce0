//! Restores: single partitions read to their end.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::super::{Event, Isolation, Reader, Result, TopicPartition};
use super::context::Context;
use super::errors::reaction;
use super::fetch::FetchQueue;
use super::{KafkaConfig, config};
use crate::record::Record;

pub struct KafkaReader {
    // Before the consumer: fields drop in this order, and the queue needs the client.
    queue: FetchQueue,
    consumer: BaseConsumer<Context>,
}

impl KafkaReader {
    pub fn connect(config: &KafkaConfig, worker: usize, isolation: Isolation) -> Result<Self> {
        let client = config::reader(config, worker, isolation);
        let consumer = BaseConsumer::from_config_and_context(&client, Context::default())
            .map_err(|e| reaction("create a reader", &e))?;
        let queue = FetchQueue::new(consumer.client().native_ptr());
        Ok(Self { queue, consumer })
    }
}

impl Reader for KafkaReader {
    fn start(&mut self, tp: &TopicPartition, offset: i64) -> Result<()> {
        self.queue.forward(tp);
        let at = |offset| -> KafkaResult<TopicPartitionList> {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&tp.topic, tp.partition, offset)?;
            Ok(list)
        };
        let assigned = at(Offset::Offset(offset)).and_then(|list| self.consumer.incremental_assign(&list));
        assigned
            .and_then(|()| at(Offset::End))
            .map(|asked| self.queue.wake(&asked))
            .map_err(|e| reaction("read a changelog", &e))
    }

    fn stop(&mut self, tp: &TopicPartition) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&tp.topic, tp.partition);
        self.consumer.incremental_unassign(&list).map_err(|e| reaction("stop reading a changelog", &e))
    }

    fn poll(&mut self, max: usize, wait: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event> {
        for _ in 0..self.queue.events_waiting() {
            self.consumer.poll(Duration::ZERO);
        }
        let mut events = self.consumer.context().drain();
        self.queue.drain(max, wait, visit, &mut events);
        events
    }
}
