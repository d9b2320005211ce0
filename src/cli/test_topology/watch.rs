//! A log with a watch on it: how far the worker has read, whether its transaction is open; and the moment of its death.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::log::around::{Around, ConsumerAround, ProducerAround};
use crate::log::embedded::EmbeddedLog;
use crate::log::{
    Admin, Appender, Client, Ended, Event, GroupConsumer, Isolation, Log, LogError, Producer, Reader, Result,
    TopicPartition,
};
use crate::record::Record;
use crate::topology::scenario::Crash;

/// What the worker's clients did.
#[derive(Default)]
struct Seen {
    /// The next offset of each partition that has a running task.
    positions: BTreeMap<TopicPartition, i64>,
    /// A transaction has begun and not ended.
    open: bool,
    /// The next commit is the worker's last call.
    crash: Option<Crash>,
    died: bool,
}

/// Shared by the clients of one worker.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        self.seen().positions.clone()
    }

    pub fn is_open(&self) -> bool {
        self.seen().open
    }

    /// The next commit fails as if the process had died, before it reached the log or after.
    pub fn crash_at_commit(&self, crash: Crash) {
        self.seen().crash = Some(crash);
    }

    /// It failed so.
    pub fn has_died(&self) -> bool {
        self.seen().died
    }
}

/// The embedded log for one worker.
pub struct Watched {
    pub log: EmbeddedLog,
    pub watch: Watch,
}

impl Log for Watched {
    fn admin(&self) -> &dyn Admin {
        self.log.admin()
    }

    fn group_consumer(&self, worker: usize) -> Result<Box<dyn GroupConsumer>> {
        let (inner, watch) = (self.log.group_consumer(worker)?, self.watch.clone());
        Ok(Box::new(Around(WatchedConsumer { inner, watch })))
    }

    fn producer(&self, transactional_id: &str) -> Result<Box<dyn Producer>> {
        let (inner, watch) = (self.log.producer(transactional_id)?, self.watch.clone());
        Ok(Box::new(Around(WatchedProducer { inner, watch })))
    }

    fn appender(&self) -> Result<Box<dyn Appender>> {
        self.log.appender()
    }

    fn reader(&self, worker: usize, isolation: Isolation) -> Result<Box<dyn Reader>> {
        self.log.reader(worker, isolation)
    }

    fn as_client(&self, client: Client) -> Result<Arc<dyn Log>> {
        self.log.as_client(client)
    }
}

struct WatchedConsumer {
    inner: Box<dyn GroupConsumer>,
    watch: Watch,
}

impl WatchedConsumer {
    /// Where nothing went by yet, the position is where the task began.
    fn look(&self) {
        let mut seen = self.watch.seen();
        for (tp, next) in self.inner.positions() {
            if let Some(position) = seen.positions.get_mut(&tp) {
                *position = next;
            }
        }
    }

    fn forget(&self, partitions: &[TopicPartition]) {
        self.watch.seen().positions.retain(|tp, _| !partitions.contains(tp));
    }
}

impl ConsumerAround for WatchedConsumer {
    fn inner(&self) -> &dyn GroupConsumer {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn GroupConsumer {
        &mut *self.inner
    }

    fn poll(&mut self, max: usize, wait: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event> {
        let events = self.inner.poll(max, wait, visit);
        self.look();
        events
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.forget(partitions);
        self.inner.release(partitions)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.forget(partitions);
        self.inner.pause(partitions)
    }

    fn resume_at(&mut self, tp: &TopicPartition, offset: i64) -> Result<()> {
        self.inner.resume_at(tp, offset)?;
        self.watch.seen().positions.insert(tp.clone(), offset);
        Ok(())
    }
}

struct WatchedProducer {
    inner: Box<dyn Producer>,
    watch: Watch,
}

impl WatchedProducer {
    fn ended(&self, ended: Ended) -> Ended {
        self.watch.seen().open = ended == Ended::Pending;
        ended
    }

    fn die<T>(&self) -> Result<T> {
        self.watch.seen().died = true;
        Err(LogError::Stop("the process died".into()))
    }
}

impl ProducerAround for WatchedProducer {
    fn inner(&self) -> &dyn Producer {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Producer {
        &mut *self.inner
    }

    fn begin(&mut self) -> Result<()> {
        self.inner.begin()?;
        self.watch.seen().open = true;
        Ok(())
    }

    fn commit(&mut self, wait: Duration) -> Result<Ended> {
        let crash = self.watch.seen().crash;
        if crash == Some(Crash::InTransaction) {
            return self.die();
        }
        let ended = self.inner.commit(wait)?;
        if crash == Some(Crash::AfterCommit) && ended != Ended::Pending {
            return self.die();
        }
        Ok(self.ended(ended))
    }

    fn abort(&mut self, wait: Duration) -> Result<Ended> {
        let ended = self.inner.abort(wait)?;
        Ok(self.ended(ended))
    }
}
