//! Clients with something around them: a watch, a crash, a fault. What a wrapper does not say goes on to the client in it.
//!
//! A wrapper implements [`ConsumerAround`] or [`ProducerAround`] and overrides the calls it is about; [`Around`] makes a
//! client of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bounds, Ended, Event, GroupConsumer, Membership, Outgoing, Producer, Result, Sent, TopicPartition};
use crate::record::Record;

/// A wrapper as a client.
pub struct Around<T>(pub T);

/// Around a member of a group.
pub trait ConsumerAround: Send {
    fn inner(&self) -> &dyn GroupConsumer;
    fn inner_mut(&mut self) -> &mut dyn GroupConsumer;

    fn poll(&mut self, max: usize, wait: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event> {
        self.inner_mut().poll(max, wait, visit)
    }

    fn take(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.inner_mut().take(partitions)
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.inner_mut().release(partitions)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.inner_mut().pause(partitions)
    }

    fn resume_at(&mut self, tp: &TopicPartition, offset: i64) -> Result<()> {
        self.inner_mut().resume_at(tp, offset)
    }
}

impl<T: ConsumerAround> GroupConsumer for Around<T> {
    fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        self.0.inner_mut().subscribe(topics)
    }

    fn poll(&mut self, max: usize, wait: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event> {
        self.0.poll(max, wait, visit)
    }

    fn serve(&mut self) -> Vec<Event> {
        self.0.inner_mut().serve()
    }

    fn take(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.0.take(partitions)
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.0.release(partitions)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.0.pause(partitions)
    }

    fn resume_at(&mut self, tp: &TopicPartition, offset: i64) -> Result<()> {
        self.0.resume_at(tp, offset)
    }

    fn committed(&mut self, partitions: &[TopicPartition], wait: Duration) -> Result<Vec<Option<i64>>> {
        self.0.inner_mut().committed(partitions, wait)
    }

    fn membership(&mut self) -> Result<Membership> {
        self.0.inner_mut().membership()
    }

    fn heard(&self, tp: &TopicPartition) -> Option<Bounds> {
        self.0.inner().heard(tp)
    }

    fn connected(&self) -> bool {
        self.0.inner().connected()
    }

    fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        self.0.inner().positions()
    }

    fn leave(&mut self) {
        self.0.inner_mut().leave();
    }
}

/// Around a transactional producer.
pub trait ProducerAround: Send {
    fn inner(&self) -> &dyn Producer;
    fn inner_mut(&mut self) -> &mut dyn Producer;

    fn begin(&mut self) -> Result<()> {
        self.inner_mut().begin()
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent> {
        self.inner_mut().send(record)
    }

    fn commit(&mut self, wait: Duration) -> Result<Ended> {
        self.inner_mut().commit(wait)
    }

    fn abort(&mut self, wait: Duration) -> Result<Ended> {
        self.inner_mut().abort(wait)
    }
}

impl<T: ProducerAround> Producer for Around<T> {
    fn init(&mut self, wait: Duration) -> Result<()> {
        self.0.inner_mut().init(wait)
    }

    fn begin(&mut self) -> Result<()> {
        self.0.begin()
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent> {
        self.0.send(record)
    }

    fn send_offsets(&mut self, offsets: &[(TopicPartition, i64)], who: &Membership, wait: Duration) -> Result<()> {
        self.0.inner_mut().send_offsets(offsets, who, wait)
    }

    fn commit(&mut self, wait: Duration) -> Result<Ended> {
        self.0.commit(wait)
    }

    fn abort(&mut self, wait: Duration) -> Result<Ended> {
        self.0.abort(wait)
    }

    fn acknowledged(&self, tp: &TopicPartition) -> Option<i64> {
        self.0.inner().acknowledged(tp)
    }
}
