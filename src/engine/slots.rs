//! Watches a database's replication slots. Where that fails nothing else does.
//!
//! One thread asks, another waits for its answers: a database that stands still must not leave its last answer standing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::connectors::postgres::slots::Config;
use crate::connectors::postgres::{Database, Fault};
use crate::telemetry::SlotMetrics;
use crate::telemetry::slots::SlotNow;

/// Beyond the interval, how long an answer may take.
const ANSWER: Duration = Duration::from_secs(15);
const WARN_EVERY: Duration = Duration::from_secs(600);
/// How soon a stop is noticed.
const LOOK: Duration = Duration::from_millis(100);

type Answer = Result<Vec<SlotNow>, Fault>;

/// Runs until it is dropped.
pub struct Slots {
    stop: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

impl Slots {
    pub fn start(config: &Config, metrics: SlotMetrics) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, answers) = channel();
        let (own, limit, name) = (config.clone(), config.interval + ANSWER, config.name());
        // It may hang in a request: nobody waits for its end.
        let asks = stop.clone();
        std::thread::Builder::new().name("slots-ask".into()).spawn(move || ask(&own, &tell, &asks))?;
        let stopped = stop.clone();
        let watcher = std::thread::Builder::new()
            .name("slots".into())
            .spawn(move || watch(&answers, metrics, limit, &name, &stopped))?;
        Ok(Self { stop, watcher: Some(watcher) })
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.watcher.take().map(JoinHandle::join);
    }
}

fn ask(config: &Config, tell: &Sender<Answer>, stop: &AtomicBool) {
    let mut database: Option<Database> = None;
    while !stop.load(Ordering::SeqCst) {
        let answer = match &mut database {
            Some(database) => config.read(database),
            None => config.connect().and_then(|new| config.read(database.insert(new))),
        };
        if answer.is_err() {
            database = None;
        }
        if tell.send(answer).is_err() {
            return;
        }
        let next = Instant::now() + config.interval;
        while Instant::now() < next && !stop.load(Ordering::SeqCst) {
            std::thread::sleep(LOOK.min(config.interval));
        }
    }
}

fn watch(answers: &Receiver<Answer>, mut metrics: SlotMetrics, limit: Duration, name: &str, stop: &AtomicBool) {
    let (mut heard, mut warned, mut away) = (Instant::now(), None::<Instant>, false);
    while !stop.load(Ordering::SeqCst) {
        let why = match answers.recv_timeout(LOOK) {
            Ok(Ok(slots)) => {
                heard = Instant::now();
                metrics.read(&slots);
                if std::mem::take(&mut away) {
                    tracing::info!(database = name, "its replication slots are seen again");
                    warned = None;
                }
                continue;
            }
            Ok(Err(fault)) => {
                heard = Instant::now();
                fault.to_string()
            }
            Err(RecvTimeoutError::Timeout) if heard.elapsed() < limit => continue,
            Err(RecvTimeoutError::Timeout) => "no answer".to_owned(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        metrics.away();
        away = true;
        if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            warned = Some(Instant::now());
            tracing::warn!(database = name, error = why, "replication slots are not seen; asking again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::slots::WalStatus;
    use crate::telemetry::{Known, Metrics};

    /// Waits for a line of the page, however slow the machine is.
    fn wait_for(metrics: &Metrics, line: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !metrics.render().contains(line) {
            assert!(Instant::now() < deadline, "no {line:?} in {}", metrics.render());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_database_that_stands_still_leaves_no_answer_standing() {
        let metrics = Metrics::new(Known::default());
        let stop = AtomicBool::new(false);
        let (tell, answers) = channel();
        std::thread::scope(|scope| {
            let slots = metrics.slots();
            let stopped = &stop;
            scope.spawn(move || watch(&answers, slots, Duration::from_millis(300), "brew", stopped));
            let slot = SlotNow {
                name: "s".into(),
                active: true,
                wal_bytes: Some(7),
                unconfirmed_bytes: Some(7),
                status: WalStatus::Reserved,
            };
            tell.send(Ok(vec![slot])).unwrap();
            wait_for(&metrics, "highwater_pg_replication_slot_wal_bytes{slot=\"s\"} 7\n");
            wait_for(&metrics, "highwater_pg_up 0\n");
            assert!(!metrics.render().contains("slot=\"s\""));
            stop.store(true, Ordering::SeqCst);
        });
    }
}
