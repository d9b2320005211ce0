//! Single partitions of the embedded log, read to their end.

use std::sync::Arc;
use std::time::Duration;

use super::Handle;
use super::fetch::Fetches;
use crate::log::{Event, Isolation, Reader, Result, TopicPartition};
use crate::record::Record;

pub struct EmbeddedReader {
    handle: Arc<Handle>,
    fetches: Fetches,
}

impl EmbeddedReader {
    pub fn new(handle: Arc<Handle>, isolation: Isolation) -> Self {
        Self { handle, fetches: Fetches::new(isolation, true) }
    }
}

impl Reader for EmbeddedReader {
    fn start(&mut self, tp: &TopicPartition, offset: i64) -> Result<()> {
        self.fetches.add(tp, offset, false);
        Ok(())
    }

    fn stop(&mut self, tp: &TopicPartition) -> Result<()> {
        self.fetches.remove(tp);
        Ok(())
    }

    fn poll(&mut self, max: usize, wait: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event> {
        let mut events = Vec::new();
        self.fetches.poll(&self.handle.broker, max, wait, visit, &mut events);
        events
    }
}
