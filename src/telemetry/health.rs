//! Is this process alive, and is it ready?
//!
//! Alive (`/healthz`): every worker lives and has taken a step lately. A broker that cannot be reached is no reason to
//! be restarted. Ready (`/readyz`): every worker has had its first assignment and nothing is being restored. An
//! instance beyond the number of partitions gets an empty assignment, and is ready.
//!
//! Both say why not, for people and for `kubectl describe`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A step is one request to the log; all of them return within seconds. Beyond this the worker hangs.
pub const STEP_LIMIT: Duration = Duration::from_secs(60);

/// What a worker is at.
///
/// ```text
/// Waiting ──▶ Assigned ⟲ ──▶ Stopping      from anywhere: ──▶ Waiting (the log is gone), ──▶ Failed
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerHealth {
    /// Not assigned yet, or cut off: `an assignment`, `broker 127.0.0.1:9092: connection refused`.
    Waiting { reason: String },
    /// An assignment has been seen, were it an empty one.
    Assigned {
        running: usize,
        restoring: usize,
        /// Assigned and not begun, for example until another owner's transaction has ended.
        waiting: usize,
        /// Changelog records left to read.
        records_left: u64,
    },
    /// A clean stop is under way or over.
    Stopping,
    /// The worker has ended with an error.
    Failed { reason: String },
}

impl WorkerHealth {
    pub fn waiting(reason: impl Into<String>) -> Self {
        WorkerHealth::Waiting { reason: reason.into() }
    }

    /// Of a member of a group that goes on; `assigned` where nothing keeps it.
    pub fn of_member(joined: bool, connected: bool, assigned: Self) -> Self {
        match (joined, connected) {
            (true, true) => assigned,
            (true, false) => Self::waiting("a broker: none is connected"),
            (false, _) => Self::waiting("an assignment"),
        }
    }

    pub fn failed(reason: impl Into<String>) -> Self {
        WorkerHealth::Failed { reason: reason.into() }
    }
}

/// An answer: yes or no, and a line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub ok: bool,
    pub text: String,
}

/// The health of an instance, shared by its workers and the HTTP server.
pub struct Health {
    limit: Duration,
    workers: Mutex<Vec<Worker>>,
}

struct Worker {
    health: WorkerHealth,
    last_step: Instant,
}

impl Health {
    /// All workers wait for an assignment and have just taken a step.
    pub fn new(workers: usize, limit: Duration, now: Instant) -> Self {
        let workers = (0..workers).map(|_| Worker::new(now)).collect();
        Self { limit, workers: Mutex::new(workers) }
    }

    /// A step that changed something.
    pub fn set_worker(&self, worker: usize, health: WorkerHealth, now: Instant) {
        self.step(worker, now, |w| w.health = health);
    }

    /// A step. Called by every one, so that a worker that hangs is noticed.
    pub fn beat(&self, worker: usize, now: Instant) {
        self.step(worker, now, |_| {});
    }

    /// `/healthz`.
    pub fn live(&self, now: Instant) -> Answer {
        let workers = self.lock();
        answer(workers.iter().map(|w| w.not_alive(now, self.limit)), || {
            format!("ok: {}", count(workers.len(), "worker"))
        })
    }

    /// `/readyz`.
    pub fn ready(&self, now: Instant) -> Answer {
        let workers = self.lock();
        let reasons = workers.iter().map(|w| w.not_alive(now, self.limit).or_else(|| w.not_ready()));
        answer(reasons, || {
            let running = workers.iter().map(Worker::running).sum();
            format!("ready: {} running on {}", count(running, "task"), count(workers.len(), "worker"))
        })
    }

    fn step(&self, worker: usize, now: Instant, change: impl FnOnce(&mut Worker)) {
        let mut workers = self.lock();
        if workers.len() <= worker {
            workers.resize_with(worker + 1, || Worker::new(now));
        }
        if let Some(w) = workers.get_mut(worker) {
            w.last_step = now;
            change(w);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Worker>> {
        // A worker that panicked while it reported has left a whole value behind.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    fn new(now: Instant) -> Self {
        Self { health: WorkerHealth::waiting("an assignment"), last_step: now }
    }

    fn not_alive(&self, now: Instant, limit: Duration) -> Option<String> {
        let idle = now.saturating_duration_since(self.last_step);
        match &self.health {
            WorkerHealth::Failed { reason } => Some(format!("failed: {reason}")),
            // It takes no more steps, and whoever stops it has a deadline of their own.
            WorkerHealth::Stopping => None,
            _ if idle > limit => Some(format!("no step for {} seconds", idle.as_secs())),
            _ => None,
        }
    }

    fn not_ready(&self) -> Option<String> {
        match &self.health {
            WorkerHealth::Waiting { reason } => Some(format!("waiting for {reason}")),
            WorkerHealth::Assigned { restoring: 0, waiting: 0, .. } => None,
            WorkerHealth::Assigned { restoring: 0, waiting, .. } => {
                Some(format!("{} not begun", count(*waiting, "task")))
            }
            WorkerHealth::Assigned { restoring, records_left, .. } => {
                Some(format!("restoring {}, {} left", count(*restoring, "task"), records(*records_left)))
            }
            WorkerHealth::Stopping => Some("stopping".to_owned()),
            WorkerHealth::Failed { reason } => Some(format!("failed: {reason}")),
        }
    }

    fn running(&self) -> usize {
        match self.health {
            WorkerHealth::Assigned { running, .. } => running,
            _ => 0,
        }
    }
}

/// One worker's reason stands alone; of several, each says whose it is.
fn answer(reasons: impl ExactSizeIterator<Item = Option<String>>, yes: impl FnOnce() -> String) -> Answer {
    let alone = reasons.len() == 1;
    let said: Vec<String> = reasons
        .enumerate()
        .filter_map(|(i, reason)| reason.map(|r| if alone { r } else { format!("worker {i}: {r}") }))
        .collect();
    if said.is_empty() { Answer { ok: true, text: yes() } } else { Answer { ok: false, text: said.join("\n") } }
}

fn count(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", thousands(n as u64), if n == 1 { "" } else { "s" })
}

fn records(n: u64) -> String {
    format!("{} record{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// 12345 → 12,345
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(running: usize, restoring: usize, waiting: usize, records_left: u64) -> WorkerHealth {
        WorkerHealth::Assigned { running, restoring, waiting, records_left }
    }

    #[test]
    fn one_worker_through_its_life() {
        let start = Instant::now();
        let health = Health::new(1, STEP_LIMIT, start);
        let broker = "broker 127.0.0.1:9092: connection refused";
        // Seconds since the last step, the state, alive?, ready?
        let table = [
            (0, WorkerHealth::waiting("an assignment"), (true, "ok: 1 worker"), (false, "waiting for an assignment")),
            (0, WorkerHealth::waiting(broker), (true, "ok: 1 worker"), (false, &*format!("waiting for {broker}"))),
            (0, assigned(0, 0, 0, 0), (true, "ok: 1 worker"), (true, "ready: 0 tasks running on 1 worker")),
            (0, assigned(0, 0, 1, 0), (true, "ok: 1 worker"), (false, "1 task not begun")),
            (9, assigned(1, 2, 0, 12_345), (true, "ok: 1 worker"), (false, "restoring 2 tasks, 12,345 records left")),
            (9, assigned(1, 1, 3, 1), (true, "ok: 1 worker"), (false, "restoring 1 task, 1 record left")),
            (60, assigned(4, 0, 0, 0), (true, "ok: 1 worker"), (true, "ready: 4 tasks running on 1 worker")),
            (61, assigned(4, 0, 0, 0), (false, "no step for 61 seconds"), (false, "no step for 61 seconds")),
            (900, WorkerHealth::Stopping, (true, "ok: 1 worker"), (false, "stopping")),
            (0, WorkerHealth::failed("fenced"), (false, "failed: fenced"), (false, "failed: fenced")),
        ];
        for (idle, state, live, ready) in table {
            health.set_worker(0, state.clone(), start);
            let now = start + Duration::from_secs(idle);
            let (l, r) = (health.live(now), health.ready(now));
            assert_eq!(((l.ok, &*l.text), (r.ok, &*r.text)), (live, ready), "{state:?}, idle for {idle} s");
        }
    }

    #[test]
    fn every_worker_counts_and_says_its_name() {
        let start = Instant::now();
        let health = Health::new(2, STEP_LIMIT, start);
        health.set_worker(0, assigned(3, 0, 0, 0), start);
        assert_eq!(health.ready(start).text, "worker 1: waiting for an assignment");
        health.set_worker(1, assigned(2, 0, 0, 0), start);
        assert_eq!(health.ready(start), Answer { ok: true, text: "ready: 5 tasks running on 2 workers".into() });
        let later = start + Duration::from_secs(100);
        health.beat(0, later);
        assert_eq!(health.live(later), Answer { ok: false, text: "worker 1: no step for 100 seconds".into() });
        health.beat(1, later);
        assert!(health.live(later).ok && health.ready(later).ok);
        health.set_worker(2, WorkerHealth::failed("disk full"), later);
        assert_eq!(health.live(later).text, "worker 2: failed: disk full");
    }

    #[test]
    fn thousands_are_grouped() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(n), text);
        }
    }
}
