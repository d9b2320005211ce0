//! A log whose process dies inside a transaction: by SIGKILL, with records in the log that nobody committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::log::{
    Admin, Appender, Bounds, Client, Ended, Event, GroupConsumer, Isolation, Log, LogError, Membership, Outgoing,
    Producer, Reader, Result, Sent, TopicPartition,
};
use crate::record::Record;

/// Records of a transaction: few, so that some have committed before the one that dies.
const BATCH: usize = 40;
/// How long to wait for what was sent to be in the log.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct CrashingLog {
    pub log: Arc<dyn Log>,
    /// The transaction that does not end, counted from one.
    pub transaction: usize,
    /// The open transaction has its records.
    pub full: Arc<AtomicBool>,
}

impl Log for CrashingLog {
    fn admin(&self) -> &dyn Admin {
        self.log.admin()
    }

    fn group_consumer(&self, worker: usize) -> Result<Box<dyn GroupConsumer>> {
        Ok(Box::new(Sipping { consumer: self.log.group_consumer(worker)?, full: self.full.clone() }))
    }

    fn producer(&self, transactional_id: &str) -> Result<Box<dyn Producer>> {
        let producer = self.log.producer(transactional_id)?;
        Ok(Box::new(Doomed {
            log: self.log.clone(),
            producer,
            left: self.transaction,
            sent: Vec::new(),
            full: self.full.clone(),
        }))
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
    left: usize,
    /// Topics of the open transaction, with their ends before it.
    sent: Vec<(String, i64)>,
    full: Arc<AtomicBool>,
}

impl Doomed {
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
            for (topic, before) in &self.sent {
                there &= self.end_of(topic)? > *before;
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

impl Producer for Doomed {
    fn init(&mut self, wait: Duration) -> Result<()> {
        self.producer.init(wait)
    }

    fn begin(&mut self) -> Result<()> {
        self.sent.clear();
        self.producer.begin()
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent> {
        if self.left == 1 && self.sent.iter().all(|(topic, _)| topic != record.topic) {
            self.sent.push((record.topic.to_string(), self.end_of(record.topic)?));
        }
        self.producer.send(record)
    }

    fn send_offsets(&mut self, offsets: &[(TopicPartition, i64)], who: &Membership, wait: Duration) -> Result<()> {
        self.producer.send_offsets(offsets, who, wait)
    }

    fn commit(&mut self, wait: Duration) -> Result<Ended> {
        if self.left == 1 {
            self.die()?;
        }
        let ended = self.producer.commit(wait)?;
        if ended != Ended::Pending {
            self.left = self.left.saturating_sub(1);
            self.full.store(false, Ordering::SeqCst);
        }
        Ok(ended)
    }

    fn abort(&mut self, wait: Duration) -> Result<Ended> {
        self.full.store(false, Ordering::SeqCst);
        self.producer.abort(wait)
    }

    fn acknowledged(&self, tp: &TopicPartition) -> Option<i64> {
        self.producer.acknowledged(tp)
    }
}

/// Hands over no more than one transaction's records at a time.
struct Sipping {
    consumer: Box<dyn GroupConsumer>,
    full: Arc<AtomicBool>,
}

impl GroupConsumer for Sipping {
    fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        self.consumer.subscribe(topics)
    }

    fn poll(&mut self, max: usize, wait: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event> {
        if self.full.load(Ordering::SeqCst) {
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

    fn serve(&mut self) -> Vec<Event> {
        self.consumer.serve()
    }

    fn take(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.consumer.take(partitions)
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.consumer.release(partitions)
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.consumer.pause(partitions)
    }

    fn resume_at(&mut self, tp: &TopicPartition, offset: i64) -> Result<()> {
        self.consumer.resume_at(tp, offset)
    }

    fn committed(&mut self, partitions: &[TopicPartition], wait: Duration) -> Result<Vec<Option<i64>>> {
        self.consumer.committed(partitions, wait)
    }

    fn membership(&mut self) -> Result<Membership> {
        self.consumer.membership()
    }

    fn heard(&self, tp: &TopicPartition) -> Option<Bounds> {
        self.consumer.heard(tp)
    }

    fn connected(&self) -> bool {
        self.consumer.connected()
    }

    fn positions(&self) -> std::collections::BTreeMap<TopicPartition, i64> {
        self.consumer.positions()
    }

    fn leave(&mut self) {
        self.consumer.leave();
    }
}
