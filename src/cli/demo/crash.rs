//! A log whose process dies inside a transaction: by SIGKILL, with records in the log that nobody committed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::log::around::{Around, ConsumerAround, ProducerAround};
use crate::log::{
    Admin, Appender, Client, Ended, Event, GroupConsumer, Isolation, Log, LogError, Outgoing, Producer, Reader, Result,
    Sent, TopicPartition,
};
use crate::record::Record;

/// Records of a transaction: few, so that some have committed before the one that dies.
const BATCH: usize = 40;
/// How long to wait for what was sent to be in the log.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct CrashingLog {
    pub log: Arc<dyn Log>,
    /// Transactions to go, the one that does not end among them; a producer that is made anew counts on.
    pub left: Arc<AtomicUsize>,
    /// The open transaction has its records.
    pub full: Arc<AtomicBool>,
}

impl Log for CrashingLog {
    fn admin(&self) -> &dyn Admin {
        self.log.admin()
    }

    fn group_consumer(&self, worker: usize) -> Result<Box<dyn GroupConsumer>> {
        Ok(Box::new(Around(Sipping {
            consumer: self.log.group_consumer(worker)?,
            full: self.full.clone(),
            waiting: BTreeSet::new(),
        })))
    }

    fn producer(&self, transactional_id: &str) -> Result<Box<dyn Producer>> {
        let producer = self.log.producer(transactional_id)?;
        Ok(Box::new(Around(Doomed {
            log: self.log.clone(),
            producer,
            left: self.left.clone(),
            sent: Vec::new(),
            full: self.full.clone(),
        })))
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

struct Doomed {
    log: Arc<dyn Log>,
    producer: Box<dyn Producer>,
    left: Arc<AtomicUsize>,
    /// Topics of the open transaction, with what their ends will be.
    sent: Vec<(String, i64)>,
    full: Arc<AtomicBool>,
}

impl Doomed {
    fn dies(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 1
    }

    fn end_of(&self, topic: &str) -> Result<i64> {
        let partitions = self.log.admin().describe(topic)?.map_or(0, |info| info.partitions);
        let ends = (0..partitions).map(|p| self.log.admin().bounds(&TopicPartition::new(topic, p)).map(|b| b.end));
        ends.sum()
    }

    /// Waits until the open transaction's records are in the log, and dies.
    fn die(&self) -> Result<()> {
        let begun = std::time::Instant::now();
        while begun.elapsed() < PATIENCE {
            let mut there = true;
            for (topic, end) in &self.sent {
                there &= self.end_of(topic)? >= *end;
            }
            if there {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        signal_hook::low_level::raise(signal_hook::consts::SIGKILL)
            .map_err(|e| LogError::Stop(format!("cannot die: {e}")))
    }
}

impl ProducerAround for Doomed {
    fn inner(&self) -> &dyn Producer {
        &*self.producer
    }

    fn inner_mut(&mut self) -> &mut dyn Producer {
        &mut *self.producer
    }

    fn begin(&mut self) -> Result<()> {
        self.sent.clear();
        self.producer.begin()
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent> {
        if self.dies() && self.sent.iter().all(|(topic, _)| topic != record.topic) {
            self.sent.push((record.topic.to_string(), self.end_of(record.topic)?));
        }
        let sent = self.producer.send(record)?;
        if let (Sent::Queued, Some((_, end))) = (sent, self.sent.iter_mut().find(|(topic, _)| topic == record.topic)) {
            *end += 1;
        }
        Ok(sent)
    }

    fn commit(&mut self, wait: Duration) -> Result<Ended> {
        if self.dies() {
            self.die()?;
        }
        let ended = self.producer.commit(wait)?;
        if ended != Ended::Pending {
            // Beyond the last it stays at nothing.
            let _ = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            self.full.store(false, Ordering::SeqCst);
        }
        Ok(ended)
    }

    fn abort(&mut self, wait: Duration) -> Result<Ended> {
        self.full.store(false, Ordering::SeqCst);
        self.producer.abort(wait)
    }
}

/// Hands over no more than one transaction's records at a time, and none before all partitions are up: the story is the
/// same each time.
struct Sipping {
    consumer: Box<dyn GroupConsumer>,
    full: Arc<AtomicBool>,
    /// Partitions on their way up.
    waiting: BTreeSet<TopicPartition>,
}

impl ConsumerAround for Sipping {
    fn inner(&self) -> &dyn GroupConsumer {
        &*self.consumer
    }

    fn inner_mut(&mut self) -> &mut dyn GroupConsumer {
        &mut *self.consumer
    }

    fn take(&mut self, tps: &[TopicPartition]) -> Result<()> {
        self.waiting.extend(tps.iter().cloned());
        self.consumer.take(tps)
    }

    fn release(&mut self, tps: &[TopicPartition]) -> Result<()> {
        self.waiting.retain(|tp| !tps.contains(tp));
        self.consumer.release(tps)
    }

    fn resume_at(&mut self, tp: &TopicPartition, offset: i64) -> Result<()> {
        self.waiting.remove(tp);
        self.consumer.resume_at(tp, offset)
    }

    fn poll(&mut self, max: usize, wait: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event> {
        if self.full.load(Ordering::SeqCst) || !self.waiting.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
            return self.consumer.serve();
        }
        let mut seen = 0;
        let events = self.consumer.poll(max.min(BATCH), wait, &mut |record| {
            seen += 1;
            visit(record);
        });
        self.full.store(seen > 0, Ordering::SeqCst);
        events
    }
}
