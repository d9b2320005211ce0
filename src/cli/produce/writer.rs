//! Records on their way into the log: one by one, or all of them in one transaction.

use std::time::{Duration, Instant};

use crate::engine::clock::{Clock, SystemClock};
use crate::log::{Appender, Ended, LogError, Outgoing, Producer, Result, Sent};
use crate::topology::show_duration;

use super::super::cluster_arg::{Connection, Ending};

/// How long one call may take before a signal is looked for.
const CALL: Duration = Duration::from_secs(1);
/// How long it may take to write what the client has queued, before a word of it.
const SILENT: Duration = Duration::from_secs(5);
/// How long a log may take to make a transactional producer known: its first one is much work for a broker.
const INIT: Duration = Duration::from_secs(60);
const INIT_CALL: Duration = Duration::from_secs(5);
/// How long an abort may take before it is left to the transaction's timeout.
const ABORT: Duration = Duration::from_secs(10);

pub enum Writer {
    /// Every record is there for all to see as soon as it is written.
    Plain(Box<dyn Appender>),
    /// All records, or none.
    Whole(Transaction),
}

pub struct Transaction {
    producer: Box<dyn Producer>,
    begun: Option<Instant>,
    timeout: Duration,
}

impl Writer {
    pub fn plain(connection: &Connection<'_>) -> Result<Self> {
        Ok(Self::Plain(connection.log.appender()?))
    }

    /// The transaction begins with the first record; the log aborts it by itself after `timeout`.
    pub fn whole(connection: &Connection<'_>, timeout: Duration) -> std::result::Result<Self, Ending> {
        let mut random = [0; 8];
        SystemClock.random(&mut random)?;
        // One of its own: two loaders of one transactional id would fence each other.
        let id = format!("highwater-produce-{:016x}", u64::from_be_bytes(random));
        let mut producer = connection.log.producer(&id)?;
        let give_up = Instant::now() + INIT;
        connection.insist(|| producer.init(INIT_CALL), &|| Instant::now() > give_up)?;
        Ok(Self::Whole(Transaction { producer, begun: None, timeout }))
    }

    /// Waits while the client's queue is full.
    pub fn send(&mut self, record: &Outgoing<'_>, connection: &Connection<'_>) -> std::result::Result<(), Ending> {
        let mut wait = Wait::begin();
        loop {
            let sent = match self {
                Self::Plain(appender) => appender.send(record),
                Self::Whole(transaction) => transaction.send(record),
            };
            if sent? == Sent::Queued {
                return Ok(());
            }
            if (connection.stopped)() {
                return Err(Ending::Interrupted);
            }
            wait.goes_on(connection, "the client's queue is full");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until what was sent is written; within a transaction there is nothing to wait for yet. A signal does not
    /// end this, the second one does.
    pub fn settle(&mut self, connection: &Connection<'_>) -> Result<()> {
        let Self::Plain(appender) = self else { return Ok(()) };
        let mut wait = Wait::begin();
        loop {
            match appender.flush(CALL) {
                Err(LogError::Retry(text)) => wait.goes_on(connection, &text),
                settled => return settled,
            }
        }
    }

    /// Writes what was sent and commits it.
    pub fn finish(&mut self, connection: &Connection<'_>) -> std::result::Result<(), String> {
        match self {
            Self::Plain(_) => self.settle(connection).map_err(|e| e.to_string()),
            Self::Whole(transaction) => transaction.commit(connection),
        }
    }

    /// Gives up a transaction. What was written without one stays.
    pub fn abandon(&mut self) -> &'static str {
        match self {
            Self::Plain(_) => "",
            Self::Whole(transaction) => transaction.abort(),
        }
    }
}

/// A wait that is told once, when it has become long.
struct Wait(Option<Instant>);

impl Wait {
    fn begin() -> Self {
        Self(Some(Instant::now()))
    }

    fn goes_on(&mut self, connection: &Connection<'_>, text: &str) {
        if self.0.take_if(|begun| begun.elapsed() > SILENT).is_some() {
            tracing::warn!("waiting for {}: {text}; a second interrupt gives up", connection.cluster);
        }
    }
}

impl Transaction {
    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent> {
        if self.begun.is_none() {
            self.producer.begin()?;
            self.begun = Some(Instant::now());
        }
        self.producer.send(record).map_err(|error| self.explain(error))
    }

    fn commit(&mut self, connection: &Connection<'_>) -> std::result::Result<(), String> {
        let Some(begun) = self.begun else { return Ok(()) };
        let mut wait = Wait::begin();
        loop {
            match self.producer.commit(CALL) {
                Ok(Ended::Done | Ended::DoneDoubtfully) => {
                    self.begun = None;
                    return Ok(());
                }
                Ok(Ended::Pending) => wait.goes_on(connection, "the commit is not decided yet"),
                Err(LogError::Restore(text)) => {
                    // It has ended, one way or the other: nothing is left to abort.
                    self.begun = None;
                    return Err(match self.outlived(begun) {
                        Some(why) => {
                            format!("{why}, so most likely it was aborted: look before you write again ({text})")
                        }
                        None => format!(
                            "whether the transaction was committed is not known: look before you write again ({text})"
                        ),
                    });
                }
                Err(error) => return Err(self.explain(error).to_string()),
            }
        }
    }

    /// The usual cause of a transaction that fails late.
    fn outlived(&self, begun: Instant) -> Option<String> {
        let timeout = show_duration(self.timeout);
        (begun.elapsed() > self.timeout)
            .then(|| format!("the transaction took longer than its timeout of {timeout} (--transaction-timeout)"))
    }

    fn explain(&self, error: LogError) -> LogError {
        match self.begun.and_then(|begun| self.outlived(begun)) {
            Some(why) => LogError::Rejoin(format!("{why} ({error})")),
            None => error,
        }
    }

    fn abort(&mut self) -> &'static str {
        if self.begun.take().is_none() {
            return "";
        }
        let give_up = Instant::now() + ABORT;
        loop {
            match self.producer.abort(CALL) {
                Ok(Ended::Pending) | Err(LogError::Retry(_)) if Instant::now() < give_up => {}
                Ok(Ended::Done | Ended::DoneDoubtfully) => return ": the transaction was aborted",
                Ok(Ended::Pending) | Err(_) => return ": the log aborts the transaction when its time is over",
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::log::embedded::{EmbeddedLog, Time};
    use crate::log::{Client, Membership, TopicPartition};
    use crate::topology::Cluster;

    /// Answers as it was told, one after the other, and notes what it was asked.
    #[derive(Default, Clone)]
    struct Script {
        sends: Arc<Mutex<VecDeque<Result<Sent>>>>,
        flushes: Arc<Mutex<VecDeque<Result<()>>>>,
        commits: Arc<Mutex<VecDeque<Result<Ended>>>>,
        aborts: Arc<Mutex<VecDeque<Result<Ended>>>>,
        calls: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Script {
        fn answer<T>(&self, call: &'static str, answers: &Mutex<VecDeque<T>>) -> T {
            self.calls.lock().unwrap().push(call);
            answers.lock().unwrap().pop_front().unwrap_or_else(|| panic!("{call} once too often"))
        }
    }

    impl Appender for Script {
        fn send(&mut self, _: &Outgoing<'_>) -> Result<Sent> {
            self.answer("send", &self.sends)
        }
        fn flush(&mut self, _: Duration) -> Result<()> {
            self.answer("flush", &self.flushes)
        }
    }

    impl Producer for Script {
        fn init(&mut self, _: Duration) -> Result<()> {
            Ok(())
        }
        fn begin(&mut self) -> Result<()> {
            self.calls.lock().unwrap().push("begin");
            Ok(())
        }
        fn send(&mut self, _: &Outgoing<'_>) -> Result<Sent> {
            self.answer("send", &self.sends)
        }
        fn send_offsets(&mut self, _: &[(TopicPartition, i64)], _: &Membership, _: Duration) -> Result<()> {
            Err(LogError::Stop("nobody sends offsets here".into()))
        }
        fn commit(&mut self, _: Duration) -> Result<Ended> {
            self.answer("commit", &self.commits)
        }
        fn abort(&mut self, _: Duration) -> Result<Ended> {
            self.answer("abort", &self.aborts)
        }
        fn acknowledged(&self, _: &TopicPartition) -> Option<i64> {
            None
        }
    }

    const RECORD: Outgoing<'_> =
        Outgoing { topic: "t", partition: None, key: None, value: None, headers: &[], timestamp: None };

    fn connected<T>(stopped: &dyn Fn() -> bool, act: impl FnOnce(&Connection<'_>) -> T) -> T {
        let log = EmbeddedLog::in_memory(Client::named("tests"), Time::System).unwrap();
        let cluster = Cluster::Embedded("nowhere".into());
        act(&Connection { log: Arc::new(log), cluster: &cluster, stopped })
    }

    fn script(sends: Vec<Result<Sent>>, flushes: Vec<Result<()>>) -> Script {
        Script {
            sends: Arc::new(Mutex::new(sends.into())),
            flushes: Arc::new(Mutex::new(flushes.into())),
            ..Script::default()
        }
    }

    fn calls(script: &Script) -> Vec<&'static str> {
        script.calls.lock().unwrap().clone()
    }

    #[test]
    fn a_full_queue_is_waited_for() {
        let writers: [fn(&Script) -> Writer; 2] = [plain, |script| whole(script, 60)];
        for writer in writers {
            let full = script(vec![Ok(Sent::Full), Ok(Sent::Full), Ok(Sent::Queued)], vec![]);
            assert_eq!(connected(&|| false, |c| writer(&full).send(&RECORD, c)), Ok(()));
            assert_eq!(calls(&full).iter().filter(|call| **call == "send").count(), 3);
            // Not by who was told to stop, nor where it failed.
            let looks = AtomicUsize::new(0);
            let stopped = || looks.fetch_add(1, Ordering::SeqCst) == 1;
            let stopping = script(vec![Ok(Sent::Full), Ok(Sent::Full)], vec![]);
            assert_eq!(connected(&stopped, |c| writer(&stopping).send(&RECORD, c)), Err(Ending::Interrupted));
            let failing = script(vec![Ok(Sent::Full), Err(LogError::Stop("no room".into()))], vec![]);
            let failed = Err(Ending::Failed("no room".into()));
            assert_eq!(connected(&|| false, |c| writer(&failing).send(&RECORD, c)), failed);
        }
    }

    #[test]
    fn what_was_sent_is_written_also_when_told_to_stop() {
        let retry = || Err(LogError::Retry("later".into()));
        let slow = script(vec![], vec![retry(), retry(), Ok(())]);
        let mut writer = plain(&slow);
        assert_eq!(connected(&|| true, |c| writer.finish(c)), Ok(()));
        assert_eq!(calls(&slow), ["flush", "flush", "flush"]);
        let mut writer = plain(&script(vec![], vec![Err(LogError::Stop("gone".into()))]));
        assert_eq!(connected(&|| false, |c| writer.finish(c)), Err("gone".into()));
        assert_eq!(writer.abandon(), "");
    }

    fn plain(script: &Script) -> Writer {
        Writer::Plain(Box::new(script.clone()))
    }

    fn whole(script: &Script, timeout: u64) -> Writer {
        let timeout = Duration::from_secs(timeout);
        Writer::Whole(Transaction { producer: Box::new(script.clone()), begun: None, timeout })
    }

    /// A transaction of one record that ends like this: what is said, what is said when it is given up then, the calls.
    fn ended(
        commits: Vec<Result<Ended>>,
        aborts: Vec<Result<Ended>>,
        timeout: u64,
    ) -> (std::result::Result<(), String>, &'static str, Vec<&'static str>) {
        let script = Script {
            commits: Arc::new(Mutex::new(commits.into())),
            aborts: Arc::new(Mutex::new(aborts.into())),
            ..script(vec![Ok(Sent::Queued)], vec![])
        };
        let mut writer = whole(&script, timeout);
        let said = connected(&|| false, |c| {
            assert_eq!(writer.send(&RECORD, c), Ok(()));
            writer.finish(c)
        });
        (said, writer.abandon(), calls(&script).split_off(2))
    }

    #[test]
    fn every_end_of_a_transaction_is_told_as_it_is() {
        let pending = || Ok(Ended::Pending);
        let (said, then, calls) = ended(vec![pending(), pending(), Ok(Ended::Done)], vec![], 60);
        assert_eq!((said, then, calls), (Ok(()), "", vec!["commit", "commit", "commit"]));
        assert_eq!(ended(vec![Ok(Ended::DoneDoubtfully)], vec![], 60).0, Ok(()));
        let refused = || vec![Err(LogError::Rejoin("refused".into()))];
        let (said, then, calls) = ended(refused(), vec![pending(), Ok(Ended::Done)], 60);
        assert_eq!((said, calls), (Err("refused".into()), vec!["commit", "abort", "abort"]));
        assert_eq!(then, ": the transaction was aborted");
        let (_, then, _) = ended(refused(), vec![Err(LogError::Restore("fenced".into()))], 60);
        assert_eq!(then, ": the log aborts the transaction when its time is over");
        // Nobody knows: then nothing is said of what was written, and nothing is aborted.
        for (timeout, word) in [(60, "is not known"), (0, "longer than its timeout")] {
            let (said, then, calls) = ended(vec![Err(LogError::Restore("lost".into()))], vec![], timeout);
            let said = said.unwrap_err();
            assert!(said.contains(word) && said.contains("look before") && said.contains("lost"), "{said}");
            assert_eq!((then, calls), ("", vec!["commit"]));
        }
        // Nothing sent, nothing to end.
        let mut writer = whole(&Script::default(), 60);
        assert_eq!(connected(&|| false, |c| writer.finish(c)), Ok(()));
        assert_eq!(writer.abandon(), "");
    }
}
