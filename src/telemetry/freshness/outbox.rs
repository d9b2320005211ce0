//! What another system is still to be told of tenants: of each the newest change, and no more than that.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use crate::telemetry::live::Slot;

/// Tenants that wait at most, while the other system is away.
const MOST: usize = 100_000;

/// Whoever puts something in never waits.
pub struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    written: IntCounter,
    failed: IntCounter,
    dropped: IntCounter,
    length: Slot,
    most: usize,
}

#[derive(Default)]
struct Waiting {
    newest: HashMap<Arc<str>, i64>,
    closed: Option<Instant>,
}

/// What is to be told next.
pub enum Taken {
    Some(Vec<(Arc<str>, i64)>),
    Nothing,
    /// Nothing, and nothing will come.
    Closed,
}

impl Outbox {
    pub(in crate::telemetry) fn new([written, failed, dropped]: [IntCounter; 3], length: Slot) -> Self {
        length.set(0.0);
        let (waiting, changed) = (Mutex::default(), Condvar::new());
        Self { waiting, changed, written, failed, dropped, length, most: MOST }
    }

    /// A tenant's change is in its table.
    pub fn put(&self, tenant: &Arc<str>, newest: i64) {
        let mut waiting = self.lock();
        self.merge(&mut waiting, tenant.clone(), newest);
        drop(waiting);
        self.changed.notify_one();
    }

    fn merge(&self, waiting: &mut Waiting, tenant: Arc<str>, newest: i64) {
        let full = waiting.newest.len() >= self.most;
        match waiting.newest.get_mut(&tenant) {
            Some(known) => *known = (*known).max(newest),
            None if full => self.dropped.inc(),
            None => drop(waiting.newest.insert(tenant, newest)),
        }
        self.length.set(waiting.newest.len() as f64);
    }

    /// Some of what waits; waits for it itself, up to a time.
    pub fn take(&self, most: usize, wait: Duration) -> Taken {
        let idle = |waiting: &mut Waiting| waiting.newest.is_empty() && waiting.closed.is_none();
        let waiting = self.lock();
        let (mut waiting, _) =
            self.changed.wait_timeout_while(waiting, wait, idle).unwrap_or_else(PoisonError::into_inner);
        let taken: Vec<_> = waiting.newest.iter().take(most).map(|(tenant, at)| (tenant.clone(), *at)).collect();
        for (tenant, _) in &taken {
            waiting.newest.remove(tenant);
        }
        match (taken.is_empty(), waiting.closed) {
            (true, None) => Taken::Nothing,
            (true, Some(_)) => Taken::Closed,
            (false, _) => Taken::Some(taken),
        }
    }

    /// They were told; of some the other system would not hear.
    pub fn told(&self, tenants: usize, refused: usize) {
        self.written.inc_by(tenants.saturating_sub(refused) as u64);
        self.failed.inc_by(refused as u64);
        self.length.set(self.lock().newest.len() as f64);
    }

    /// They could not be told: they wait again, with what has come meanwhile.
    pub fn put_back(&self, taken: Vec<(Arc<str>, i64)>) {
        self.failed.inc_by(taken.len() as u64);
        let mut waiting = self.lock();
        taken.into_iter().for_each(|(tenant, newest)| self.merge(&mut waiting, tenant, newest));
    }

    /// Sleeps, unless the end comes.
    pub fn pause(&self, time: Duration) {
        let waiting = self.lock();
        let _ = self.changed.wait_timeout_while(waiting, time, |waiting| waiting.closed.is_none());
    }

    /// Nothing more comes.
    pub fn close(&self) {
        self.lock().closed.get_or_insert_with(Instant::now);
        self.changed.notify_all();
    }

    /// How long ago it was closed.
    pub fn closed_for(&self) -> Option<Duration> {
        self.lock().closed.map(|at| at.elapsed())
    }

    pub fn len(&self) -> usize {
        self.lock().newest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Known, Metrics};

    fn take(outbox: &Outbox) -> Vec<(String, i64)> {
        let Taken::Some(taken) = outbox.take(10, Duration::ZERO) else { return Vec::new() };
        let mut taken: Vec<_> = taken.into_iter().map(|(tenant, at)| (tenant.to_string(), at)).collect();
        taken.sort();
        taken
    }

    #[test]
    fn of_each_tenant_the_newest_waits_however_often_it_comes_back() {
        let metrics = Metrics::new(Known::default());
        let outbox = metrics.outbox();
        assert!(matches!(outbox.take(10, Duration::ZERO), Taken::Nothing));
        for (tenant, at) in [("a", 5), ("b", 1), ("a", 3), ("a", 7)] {
            outbox.put(&tenant.into(), at);
        }
        let Taken::Some(taken) = outbox.take(10, Duration::ZERO) else { panic!() };
        outbox.put(&"a".into(), 9);
        outbox.put_back(taken);
        outbox.put(&"b".into(), 0);
        assert_eq!(take(&outbox), [("a".to_owned(), 9), ("b".to_owned(), 1)]);
        outbox.put(&"c".into(), 1);
        outbox.close();
        assert_eq!(take(&outbox).len(), 1, "what waits comes before the end");
        assert!(matches!(outbox.take(10, Duration::from_secs(600)), Taken::Closed));
    }

    #[test]
    fn a_full_one_takes_no_new_tenants_and_counts_them() {
        let metrics = Metrics::new(Known::default());
        let mut outbox = metrics.outbox();
        outbox.most = 2;
        for (tenant, at) in [("a", 1), ("b", 1), ("c", 1), ("a", 2)] {
            outbox.put(&tenant.into(), at);
        }
        assert_eq!(take(&outbox), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        assert!(metrics.render().contains("highwater_last_sync_values_total{outcome=\"dropped\"} 1\n"));
    }
}
