//! The log inside this process, by Kafka's rules.
//!
//! Topics of partitions of offsets; transactions whose markers take an offset on every partition they touched; the last
//! stable offset, below which readers of committed records stay; transactional ids with epochs that fence; groups with
//! generations and cooperative rebalances; offsets that are unstable while a transaction holds them; compaction. The same
//! suite of cases runs on Kafka and on this: where the two differ, this one is wrong.
//!
//! One process has it at a time. On disk it is a RocksDB database of its own, its write-ahead log on and synced where a
//! transaction commits: a process that dies at any instruction leaves a log that the next one goes on with.
//!
//! ```text
//! producer ─▶ buffer ─▶ broker (topics, transactions, groups) ─▶ storage (disk or memory)
//! consumer, reader ─▶ fetch ─┘         ▲ housekeeper: what lingers, time, the cleaner
//! ```

mod admin;
mod assignor;
/// Public for what throws bytes at it.
pub mod batch;
mod broker;
mod buffer;
mod cleaner;
mod consumer;
mod disk;
mod fetch;
mod groups;
mod housekeeper;
mod layout;
mod moments;
mod partitioner;
mod producer;
mod reader;
mod storage;
mod topics;
mod transactions;

use std::path::Path;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};

use super::lock::{DirectoryLock, Taken};
use super::mark::{self, Found, Kind};
use super::{Admin, Appender, Client, GroupConsumer, Isolation, Log, LogError, Producer, Reader, Result};
use admin::EmbeddedAdmin;
use broker::Broker;
use buffer::Buffer;
use housekeeper::Housekeeper;
pub use moments::LateEnd;
use storage::Storage;

/// Whose clock the coordinators go by.
#[derive(Debug, Clone)]
pub enum Time {
    /// The machine's. Polls wait.
    System,
    /// Milliseconds since 1970, as a test moves them. Nothing waits.
    Manual(Arc<AtomicI64>),
}

/// What every client of one log shares. The log is closed when the last of them goes.
struct Handle {
    // Before the lock: fields drop in this order, and the database must be closed before another process opens it.
    housekeeper: Option<Housekeeper>,
    admin: EmbeddedAdmin,
    broker: Arc<Broker>,
    _lock: Option<DirectoryLock>,
}

impl Handle {
    fn new(broker: Broker, place: String, lock: Option<DirectoryLock>) -> Self {
        let broker = Arc::new(broker);
        let housekeeper = broker.waits().then(|| Housekeeper::start(broker.clone()));
        Self { housekeeper, admin: EmbeddedAdmin { broker: broker.clone(), place }, broker, _lock: lock }
    }

    /// For a producer; what lingers in it is written by the housekeeper.
    fn buffer(&self) -> Arc<Mutex<Buffer>> {
        let buffer = Arc::new(Mutex::new(Buffer::new(self.broker.clone())));
        if let Some(housekeeper) = &self.housekeeper {
            housekeeper.look_after(&buffer);
        }
        buffer
    }
}

/// Visits every key and value that a log on disk keeps, but for the records of topics that are `left_out`; whoever has it
/// open.
pub fn each_entry(
    path: &Path,
    left_out: &dyn Fn(&str) -> bool,
    visit: &mut dyn FnMut(&[u8], &[u8]),
) -> std::result::Result<(), String> {
    let path = path.join("data");
    let mut prefixes = Vec::new();
    disk::each(&path, &mut |key, value| {
        if let Some(name) = key.strip_prefix(layout::TOPICS).and_then(|name| std::str::from_utf8(name).ok())
            && left_out(name)
            && let Ok(settings) = layout::decode::<topics::Settings>("a topic", value)
        {
            let places = (0..settings.partitions).map(|partition| layout::Place { topic: settings.number, partition });
            prefixes.extend(places.map(layout::all_batches));
        }
    })?;
    disk::each(&path, &mut |key, value| {
        if !prefixes.iter().any(|prefix| key.starts_with(prefix)) {
            visit(key, value);
        }
    })
}

#[derive(Clone)]
pub struct EmbeddedLog {
    handle: Arc<Handle>,
    client: Client,
}

impl EmbeddedLog {
    /// The log that lies in a directory; made if there is none. A second process on it is refused, and so is a directory
    /// that is something else.
    pub fn open(path: &Path, client: Client) -> Result<Self> {
        let place = path.display().to_string();
        // Before the lock: what is not ours gets not even that.
        mark::look(path, Kind::Log).map_err(LogError::Stop)?;
        let lock = DirectoryLock::take(path).map_err(|taken| {
            LogError::Stop(match taken {
                Taken::InUse(owner) => {
                    format!("the embedded log {place} is in use by {owner}: one process at a time has it")
                }
                Taken::Failed(text) => text,
            })
        })?;
        let found = mark::look(path, Kind::Log).map_err(LogError::Stop)?;
        let disk = disk::Disk::open(&path.join("data"), found == Found::Marked).map_err(LogError::Stop)?;
        let broker = Broker::open(Storage::Disk(disk), Time::System).map_err(LogError::Stop)?;
        // Only now: a marked log was whole once, so that what is missing of it is missed.
        if found != Found::Marked {
            mark::write(path, Kind::Log).map_err(|e| LogError::Stop(format!("cannot write to {place}: {e}")))?;
        }
        Ok(Self { handle: Arc::new(Handle::new(broker, place, Some(lock))), client })
    }

    /// A log that lives as long as its handles.
    pub fn in_memory(client: Client, time: Time) -> Result<Self> {
        let broker = Broker::open(Storage::in_memory(), time).map_err(LogError::Stop)?;
        Ok(Self { handle: Arc::new(Handle::new(broker, "the log in memory".into(), None)), client })
    }

    fn broker(&self) -> &Broker {
        &self.handle.broker
    }
}

impl Log for EmbeddedLog {
    fn admin(&self) -> &dyn Admin {
        &self.handle.admin
    }

    fn group_consumer(&self, worker: usize) -> Result<Box<dyn GroupConsumer>> {
        let name = format!("{}-{worker}", self.client.client_id);
        Ok(Box::new(consumer::EmbeddedConsumer::new(self.handle.clone(), &self.client.group, name)))
    }

    fn producer(&self, transactional_id: &str) -> Result<Box<dyn Producer>> {
        let timeout = self.client.transaction_timeout;
        Ok(Box::new(producer::EmbeddedProducer::new(self.handle.clone(), transactional_id, timeout)))
    }

    fn appender(&self) -> Result<Box<dyn Appender>> {
        Ok(Box::new(producer::EmbeddedAppender::new(self.handle.clone())))
    }

    fn reader(&self, _worker: usize, isolation: Isolation) -> Result<Box<dyn Reader>> {
        Ok(Box::new(reader::EmbeddedReader::new(self.handle.clone(), isolation)))
    }

    fn as_client(&self, client: Client) -> Result<Arc<dyn Log>> {
        Ok(Arc::new(Self { client, handle: self.handle.clone() }))
    }
}
