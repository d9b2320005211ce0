//! A transactional producer of the embedded log, and one without transactions.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::Handle;
use super::broker::{Denied, Who};
use super::buffer::Buffer;
use super::groups::Refused;
use crate::log::{Appender, Ended, LogError, Membership, Outgoing, Producer, Result, Sent, TopicPartition, fenced};

type Shared = Arc<Mutex<Buffer>>;

fn locked(buffer: &Shared) -> MutexGuard<'_, Buffer> {
    buffer.lock().unwrap_or_else(|p| p.into_inner())
}

pub struct EmbeddedProducer {
    handle: Arc<Handle>,
    id: String,
    timeout: Duration,
    buffer: Shared,
    begun_ms: Option<i64>,
    /// Something was asked of the log since: an empty transaction ends without it.
    touched: bool,
    /// The group refused: only an abort goes on.
    doomed: Option<LogError>,
    /// Fenced for good.
    fenced: bool,
}

impl EmbeddedProducer {
    pub fn new(handle: Arc<Handle>, id: &str, timeout: Duration) -> Self {
        let buffer = handle.buffer();
        Self {
            handle,
            id: id.to_string(),
            timeout,
            buffer,
            begun_ms: None,
            touched: false,
            doomed: None,
            fenced: false,
        }
    }

    /// What a refusal demands, by the same rules as on Kafka.
    fn reaction(&mut self, call: &str, denied: Denied) -> LogError {
        let age = self.begun_ms.map_or(0, |begun| self.handle.broker.now() - begun).max(0) as u64;
        let aborts = |why: String| LogError::Rejoin(format!("{call}: {why}"));
        let error = match denied {
            Denied::Fenced => {
                self.fenced = true;
                return fenced(&format!("{call}: the producer is fenced"), Duration::from_millis(age), self.timeout);
            }
            Denied::Concurrent => {
                return LogError::Retry(format!("{call}: the transaction before is still being ended"));
            }
            Denied::Failed(error) => return error,
            Denied::Group(Refused::UnknownMember) => aborts("the group knows no such member".into()),
            Denied::Group(Refused::IllegalGeneration) => {
                aborts("the membership is of another generation of the group".into())
            }
            Denied::Unknown(what) => aborts(format!("no such partition: {what}")),
        };
        self.doomed = Some(error.clone());
        error
    }

    /// Writes what waits, and tells what failed since the transaction began.
    fn flush(&mut self, call: &str) -> Result<()> {
        let (failed, refused) = {
            let mut buffer = locked(&self.buffer);
            // What is still being ended is no failure: the records wait for it.
            if buffer.failed == Some(Denied::Concurrent) {
                buffer.failed = None;
            }
            buffer.flush(false);
            (buffer.failed.clone(), buffer.refused.clone())
        };
        match (failed, refused) {
            (Some(denied), _) => Err(self.reaction(call, denied)),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(()),
        }
    }

    fn me(&self, call: &str) -> Result<Who> {
        let who = locked(&self.buffer).who.clone().filter(|_| self.begun_ms.is_some());
        who.ok_or_else(|| LogError::Restore(format!("{call}: no transaction has begun")))
    }
}

impl Producer for EmbeddedProducer {
    fn init(&mut self, _wait: Duration) -> Result<()> {
        let who = self.handle.broker.init(&self.id, self.timeout)?;
        locked(&self.buffer).who = Some(who);
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        if self.fenced {
            return Err(fenced("begin_transaction: the producer is fenced", Duration::ZERO, self.timeout));
        }
        let mut buffer = locked(&self.buffer);
        if buffer.who.is_none() || self.begun_ms.is_some() {
            return Err(LogError::Restore("begin_transaction: the producer is in another state".into()));
        }
        (buffer.failed, buffer.refused) = (None, None);
        (self.touched, self.doomed) = (false, None);
        self.begun_ms = Some(self.handle.broker.now());
        Ok(())
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent> {
        if self.begun_ms.is_none() {
            return Err(LogError::Rejoin("produce: no transaction has begun".into()));
        }
        self.touched = true;
        let failed = {
            let mut buffer = locked(&self.buffer);
            match buffer.failed.clone().filter(|denied| *denied != Denied::Concurrent) {
                None => buffer.push(record).map(|()| None)?,
                failed => failed,
            }
        };
        failed.map_or(Ok(Sent::Queued), |denied| Err(self.reaction("produce", denied)))
    }

    fn send_offsets(&mut self, offsets: &[(TopicPartition, i64)], who: &Membership, _wait: Duration) -> Result<()> {
        if offsets.is_empty() {
            return Err(LogError::Restore("a transaction without offsets".into()));
        }
        let call = "send_offsets_to_transaction";
        let me = self.me(call)?;
        self.touched = true;
        if let Some(error) = &self.doomed {
            return Err(error.clone());
        }
        self.handle.broker.add_offsets(&me, offsets, who).map_err(|denied| self.reaction(call, denied))
    }

    fn commit(&mut self, _wait: Duration) -> Result<Ended> {
        let call = "commit_transaction";
        let me = self.me(call)?;
        if let Some(error) = &self.doomed {
            return Err(error.clone());
        }
        match self.flush(call) {
            Err(LogError::Retry(_)) => return Ok(Ended::Pending),
            flushed => flushed?,
        }
        let ended = if self.touched { self.handle.broker.end(&me, true) } else { Ok(()) };
        match ended {
            Ok(()) => {
                self.begun_ms = None;
                Ok(Ended::Done)
            }
            Err(Denied::Concurrent) => Ok(Ended::Pending),
            Err(denied) => Err(self.reaction(call, denied)),
        }
    }

    fn abort(&mut self, _wait: Duration) -> Result<Ended> {
        let me = self.me("abort_transaction")?;
        {
            let mut buffer = locked(&self.buffer);
            buffer.discard();
            (buffer.failed, buffer.refused) = (None, None);
        }
        let ended = if self.touched { self.handle.broker.end(&me, false) } else { Ok(()) };
        match ended {
            // What is still being ended is not ours to abort: this transaction wrote nothing.
            Ok(()) | Err(Denied::Concurrent) => {
                self.begun_ms = None;
                Ok(Ended::Done)
            }
            Err(Denied::Failed(error)) => Err(error),
            Err(denied) => {
                self.fenced |= denied == Denied::Fenced;
                self.begun_ms = None;
                Err(LogError::Restore("abort_transaction: the producer is fenced".into()))
            }
        }
    }

    fn acknowledged(&self, tp: &TopicPartition) -> Option<i64> {
        locked(&self.buffer).acknowledged(tp)
    }
}

pub struct EmbeddedAppender {
    _handle: Arc<Handle>,
    buffer: Shared,
}

impl EmbeddedAppender {
    pub fn new(handle: Arc<Handle>) -> Self {
        let buffer = handle.buffer();
        Self { _handle: handle, buffer }
    }
}

fn refused(denied: &Denied) -> LogError {
    match denied {
        Denied::Failed(error) => error.clone(),
        Denied::Unknown(what) => LogError::Stop(format!("no such partition: {what}")),
        // Only transactions are fenced or wait for others.
        Denied::Fenced | Denied::Concurrent | Denied::Group(_) => LogError::Stop("the record was refused".into()),
    }
}

impl Appender for EmbeddedAppender {
    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent> {
        let mut buffer = locked(&self.buffer);
        if let Some(denied) = &buffer.failed {
            return Err(refused(denied));
        }
        buffer.push(record)?;
        Ok(Sent::Queued)
    }

    fn flush(&mut self, _wait: Duration) -> Result<()> {
        let mut buffer = locked(&self.buffer);
        buffer.flush(true);
        match (&buffer.failed, &buffer.refused) {
            (Some(denied), _) => Err(refused(denied)),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(()),
        }
    }
}

impl Drop for EmbeddedAppender {
    fn drop(&mut self) {
        locked(&self.buffer).flush(false);
    }
}
