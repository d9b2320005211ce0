//! Who waits for the server: some threads, so that reading goes on meanwhile.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::connectors::clickhouse::client::{Insert, Server, Trouble};
use crate::connectors::clickhouse::table::Table;
use crate::log::TopicPartition;

use super::batch::Batch;

/// An insert that is decided.
pub struct Job {
    pub tp: TopicPartition,
    pub table: Arc<Table>,
    pub columns: Vec<String>,
    pub token: String,
    pub batch: Batch,
    /// When the group last said that the partition is ours.
    pub confirmed: Instant,
}

pub struct Finished {
    pub job: Job,
    pub outcome: Outcome,
    pub took: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Failed(Trouble),
    /// Not sent: the partition may have become another's meanwhile.
    Late,
}

/// Where inserts go, and come back from.
pub trait Inserts: Send {
    fn start(&mut self, job: Job);
    fn finished(&mut self) -> Option<Finished>;
    /// How many may be under way at once.
    fn most(&self) -> usize;
}

/// An owner that was not confirmed for so long does not insert. Well below any session timeout would not do: what matters is
/// that a stall is noticed after it.
pub const CONFIRMED: Duration = Duration::from_secs(5);

/// Sends one, if its owner is still to be believed.
pub fn send(server: &dyn Server, job: Job, now: Instant) -> Finished {
    if now.saturating_duration_since(job.confirmed) > CONFIRMED {
        return Finished { job, outcome: Outcome::Late, took: Duration::ZERO };
    }
    let begun = Instant::now();
    let sent = server.insert(&Insert {
        table: &job.table,
        columns: &job.columns,
        token: &job.token,
        rows: job.batch.rows() as u64,
        body: job.batch.body(),
    });
    let outcome = match sent {
        Ok(()) => Outcome::Done,
        Err(trouble) => Outcome::Failed(trouble),
    };
    Finished { job, outcome, took: begun.elapsed() }
}

/// Threads that end when this is dropped, each after its insert.
pub struct Pool {
    jobs: Sender<Job>,
    done: Receiver<Finished>,
    threads: usize,
}

impl Pool {
    pub fn start(server: &Arc<dyn Server>, name: &str, threads: usize) -> std::io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let (tell, done) = channel();
        for index in 0..threads {
            let (server, queue, tell) = (server.clone(), queue.clone(), tell.clone());
            std::thread::Builder::new().name(format!("{name}-insert-{index}")).spawn(move || {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    if tell.send(send(server.as_ref(), job, Instant::now())).is_err() {
                        return;
                    }
                }
            })?;
        }
        Ok(Self { jobs, done, threads })
    }
}

impl Inserts for Pool {
    fn start(&mut self, job: Job) {
        // The threads live as long as this.
        let _ = self.jobs.send(job);
    }

    fn finished(&mut self) -> Option<Finished> {
        self.done.try_recv().ok()
    }

    fn most(&self) -> usize {
        self.threads
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::{Map, Value};

    use super::*;

    /// Counts what it is sent.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Server for Counting {
        fn query(&self, _: &str, _: &[(&str, &str)]) -> Result<Vec<Map<String, Value>>, Trouble> {
            Ok(Vec::new())
        }
        fn command(&self, _: &str) -> Result<(), Trouble> {
            Ok(())
        }
        fn insert(&self, _: &Insert<'_>) -> Result<(), Trouble> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    fn job(confirmed: Instant) -> Job {
        Job {
            tp: TopicPartition::new("t", 0),
            table: Table::of("d", "t", &[]).into(),
            columns: Vec::new(),
            token: "token".into(),
            batch: Batch::new(0, confirmed),
            confirmed,
        }
    }

    #[test]
    fn whoever_stood_still_asks_before_it_inserts() {
        let (server, now) = (Counting::default(), Instant::now());
        let later = now + CONFIRMED + Duration::from_millis(1);
        assert_eq!(send(&server, job(now), later).outcome, Outcome::Late);
        assert_eq!(server.0.load(Ordering::SeqCst), 0);
        assert_eq!(send(&server, job(now), now + CONFIRMED).outcome, Outcome::Done);
        assert_eq!(server.0.load(Ordering::SeqCst), 1);
    }
}
