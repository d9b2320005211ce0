//! The log inside this process, by Kafka's rules.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use super::{Admin, Appender, Client, GroupConsumer, Isolation, Log, Producer, Reader, Result};

/// Whose clock the coordinators go by.
#[derive(Debug, Clone)]
pub enum Time {
    /// The machine's. Polls wait.
    System,
    /// Milliseconds since 1970, as a test moves them. Nothing waits.
    Manual(Arc<AtomicI64>),
}

#[derive(Clone)]
pub struct EmbeddedLog {
    client: Client,
}

impl EmbeddedLog {
    /// The log that lies in a directory; made if there is none. A second process on it is refused.
    pub fn open(_path: &Path, _client: Client) -> Result<Self> {
        todo!()
    }

    /// A log that lives as long as its handles.
    pub fn in_memory(client: Client, _time: Time) -> Self {
        Self { client }
    }

    /// The same log for another client: another application, a loader, a reader.
    pub fn as_client(&self, client: Client) -> Self {
        Self { client, ..self.clone() }
    }
}

impl Log for EmbeddedLog {
    fn admin(&self) -> &dyn Admin {
        todo!()
    }
    fn group_consumer(&self, _worker: usize) -> Result<Box<dyn GroupConsumer>> {
        todo!()
    }
    fn producer(&self, _transactional_id: &str) -> Result<Box<dyn Producer>> {
        todo!()
    }
    fn appender(&self) -> Result<Box<dyn Appender>> {
        todo!()
    }
    fn reader(&self, _worker: usize, _isolation: Isolation) -> Result<Box<dyn Reader>> {
        todo!("{:?}", self.client)
    }
}
