//! How fresh the tables of sinks are: as of which moment of the source, for each table and for each tenant.
//!
//! What is said here is said of rows that are in their table, never before. Of a table:
//!
//! - `newest`: when the newest change in it was committed in the source. It never falls.
//! - `delivered`: nothing waits for it, as far as the log has been heard: old because quiet, not because behind.
//! - `as_of`: what was committed before is in the table, of all that this instance's partitions held so far. It is the least of
//!   what the partitions have delivered; one for which nothing waits holds nobody up, and is as far as the table from then on.
//!   That rests on the order of changes: what comes into a partition later was committed later. Where partitions come from
//!   another instance that was not as far, it is not known until they are; so it never falls either.
//!
//! A tenant is the value of a column of the rows. It is the only value of a record that telemetry holds, in memory, for the
//! page `/freshness` alone: it is no label, and in no log. A row without the time of its commit says nothing.

mod outbox;
mod page;
mod time;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use prometheus::IntCounterVec;

pub use outbox::{Outbox, Taken};
pub use page::parameter;
pub use time::iso8601;

/// Pairs of a table and a tenant that an instance tells apart: some 20 MB of short names. Rows of others are in their tables
/// all the same.
pub const MOST_TENANTS: usize = 100_000;

/// Of all sinks of an instance.
pub struct Freshness {
    sinks: Mutex<Sinks>,
    left_out: IntCounterVec,
    outbox: OnceLock<Arc<Outbox>>,
    most: usize,
}

#[derive(Default)]
struct Sinks {
    by_name: BTreeMap<String, Sink>,
    pairs: usize,
}

#[derive(Default)]
struct Sink {
    tables: BTreeMap<String, Table>,
    /// Some row's tenant is not told apart.
    left_out: bool,
}

#[derive(Default)]
struct Table {
    newest: Option<i64>,
    /// `as_of` is not shown below it.
    shown: Option<i64>,
    /// Partitions that its topics have, on whatever instance.
    of: i32,
    undated: u64,
    partitions: BTreeMap<(String, i32), Partition>,
    tenants: BTreeMap<Arc<str>, i64>,
}

struct Partition {
    /// What was committed before has been delivered.
    through: Option<i64>,
    /// Records that wait; None as long as nobody knows.
    waiting: Option<u64>,
    /// Something has been read since that was said.
    behind: Arc<AtomicBool>,
}

/// What an insert brought into a table. Times are microseconds since 1970.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    pub newest: Option<i64>,
    /// Rows that do not say when they were committed.
    pub undated: u64,
    pub tenants: Vec<(Arc<str>, i64)>,
    /// Rows whose tenant is not told apart.
    pub left_out: u64,
}

impl Freshness {
    pub(super) fn new(left_out: IntCounterVec) -> Self {
        Self { sinks: Mutex::default(), left_out, outbox: OnceLock::new(), most: MOST_TENANTS }
    }

    /// From now on what is known of tenants is put there as well.
    pub fn tell(&self, outbox: Arc<Outbox>) {
        // Told twice, the first stays.
        let _ = self.outbox.set(outbox);
    }

    fn sinks(&self) -> MutexGuard<'_, Sinks> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one sink reports.
pub struct SinkFreshness {
    freshness: Arc<Freshness>,
    sink: Arc<str>,
}

impl SinkFreshness {
    pub(super) fn new(freshness: &Arc<Freshness>, sink: &str) -> Self {
        freshness.sinks().by_name.entry(sink.to_owned()).or_default();
        Self { freshness: freshness.clone(), sink: sink.into() }
    }

    /// How many partitions the topics of a table have.
    pub fn table(&self, table: &str, partitions: i32) {
        self.freshness.sinks().table(&self.sink, table).of = partitions;
    }

    /// A partition has become ours, and belongs to the table as long as the handle is held.
    pub fn partition(&self, table: &str, topic: &str, partition: i32) -> PartitionFreshness {
        let behind = Arc::new(AtomicBool::new(true));
        let at = (topic.to_owned(), partition);
        let new = Partition { through: None, waiting: None, behind: behind.clone() };
        self.freshness.sinks().table(&self.sink, table).partitions.insert(at.clone(), new);
        PartitionFreshness {
            freshness: self.freshness.clone(),
            sink: self.sink.clone(),
            table: table.to_owned(),
            at,
            behind,
        }
    }
}

impl Sinks {
    fn table(&mut self, sink: &str, table: &str) -> &mut Table {
        self.by_name.entry(sink.to_owned()).or_default().tables.entry(table.to_owned()).or_default()
    }
}

/// What is known of one partition; dropping it takes the partition out, and leaves what it delivered.
pub struct PartitionFreshness {
    freshness: Arc<Freshness>,
    sink: Arc<str>,
    table: String,
    at: (String, i32),
    behind: Arc<AtomicBool>,
}

impl PartitionFreshness {
    /// A record was read: something waits until the next report.
    pub fn read(&self) {
        self.behind.store(true, Ordering::SeqCst);
    }

    /// How many records wait, as far as the log has been heard.
    pub fn waiting(&self, records: u64) {
        let mut sinks = self.freshness.sinks();
        let table = sinks.table(&self.sink, &self.table);
        if let Some(partition) = table.partitions.get_mut(&self.at) {
            partition.waiting = Some(records);
            self.behind.store(false, Ordering::SeqCst);
        }
        table.settle();
    }

    /// Rows are in the table.
    pub fn arrived(&self, arrived: &Arrived) {
        if let Some(outbox) = self.freshness.outbox.get() {
            arrived.tenants.iter().for_each(|(tenant, newest)| outbox.put(tenant, *newest));
        }
        let mut sinks = self.freshness.sinks();
        let Sinks { by_name, pairs } = &mut *sinks;
        let sink = by_name.entry(self.sink.to_string()).or_default();
        let table = sink.tables.entry(self.table.clone()).or_default();
        table.undated += arrived.undated;
        table.newest = table.newest.max(arrived.newest);
        if let Some(partition) = table.partitions.get_mut(&self.at) {
            partition.through = partition.through.max(arrived.newest);
        }
        let mut left_out = arrived.left_out;
        for (tenant, newest) in &arrived.tenants {
            match table.tenants.get_mut(tenant) {
                Some(known) => *known = (*known).max(*newest),
                None if *pairs < self.freshness.most => {
                    *pairs += 1;
                    table.tenants.insert(tenant.clone(), *newest);
                }
                None => left_out += 1,
            }
        }
        if left_out > 0 {
            sink.left_out = true;
            self.freshness.left_out.with_label_values(&[&*self.sink]).inc_by(left_out);
        }
    }
}

impl Drop for PartitionFreshness {
    fn drop(&mut self) {
        let mut sinks = self.freshness.sinks();
        let partitions = &mut sinks.table(&self.sink, &self.table).partitions;
        // It may have become ours anew meanwhile.
        if partitions.get(&self.at).is_some_and(|partition| Arc::ptr_eq(&partition.behind, &self.behind)) {
            partitions.remove(&self.at);
        }
    }
}

impl Partition {
    fn is_settled(&self) -> bool {
        self.waiting == Some(0) && !self.behind.load(Ordering::SeqCst)
    }
}

impl Table {
    fn is_delivered(&self) -> bool {
        !self.partitions.is_empty() && self.partitions.values().all(Partition::is_settled)
    }

    /// Records that wait; None as long as it is not known of each partition.
    fn waiting(&self) -> Option<u64> {
        self.partitions.values().map(|partition| partition.waiting).sum()
    }

    /// What it is as of, and from now on not less.
    fn settle(&mut self) -> Option<i64> {
        let waits = || self.partitions.values().filter(|partition| !partition.is_settled());
        let now = match waits().map(|partition| partition.through).min() {
            Some(least) => least,
            None if self.partitions.is_empty() => None,
            None => self.newest,
        };
        // None is below all: nothing is shown that is less than what was.
        if now.is_none() || now < self.shown {
            return None;
        }
        for partition in self.partitions.values_mut().filter(|partition| partition.is_settled()) {
            partition.through = partition.through.max(now);
        }
        self.shown = now;
        now
    }
}

impl Sink {
    /// Each tenant's newest change, and that of each table.
    fn tenants(&self) -> BTreeMap<Arc<str>, HashMap<&str, i64>> {
        let mut tenants: BTreeMap<Arc<str>, HashMap<&str, i64>> = BTreeMap::new();
        for (name, table) in &self.tables {
            for (tenant, newest) in &table.tenants {
                tenants.entry(tenant.clone()).or_default().insert(name, *newest);
            }
        }
        tenants
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Known, Metrics};

    fn arrived(newest: i64, tenants: &[(&str, i64)]) -> Arrived {
        let tenants = tenants.iter().map(|(name, at)| ((*name).into(), *at)).collect();
        Arrived { newest: Some(newest), tenants, ..Arrived::default() }
    }

    fn as_of(freshness: &Freshness) -> (Option<i64>, Option<i64>, bool) {
        let mut sinks = freshness.sinks();
        let table = sinks.table("s", "t");
        (table.newest, table.settle(), table.is_delivered())
    }

    #[test]
    fn the_slowest_partition_that_something_waits_for_decides() {
        let metrics = Metrics::new(Known::default());
        let (fresh, all) = (metrics.sink_freshness("s"), metrics.freshness().clone());
        let (a, b) = (fresh.partition("t", "x", 0), fresh.partition("t", "x", 1));
        assert_eq!(as_of(&all), (None, None, false));
        a.arrived(&arrived(100, &[]));
        a.waiting(0);
        assert_eq!(as_of(&all), (Some(100), None, false), "nothing is known of the other");
        b.waiting(5);
        b.arrived(&arrived(40, &[]));
        assert_eq!(as_of(&all), (Some(100), Some(40), false));
        b.waiting(0);
        assert_eq!(as_of(&all), (Some(100), Some(100), true), "nothing waits: both are as far");
        // A quiet one that wakes up was as far as the table: it does not fall.
        a.waiting(1);
        b.arrived(&arrived(120, &[]));
        assert_eq!(as_of(&all), (Some(120), Some(100), false));
        a.arrived(&arrived(110, &[]));
        a.waiting(0);
        assert_eq!(as_of(&all), (Some(120), Some(120), true));
        a.read();
        assert_eq!(as_of(&all), (Some(120), Some(120), false), "read and not in");
        // Replayed rows are older than what is known.
        a.arrived(&arrived(90, &[]));
        assert_eq!(as_of(&all).0, Some(120));
    }

    #[test]
    fn a_partition_of_an_instance_that_was_not_as_far_makes_it_unknown_and_never_less() {
        let metrics = Metrics::new(Known::default());
        let (fresh, all) = (metrics.sink_freshness("s"), metrics.freshness().clone());
        let a = fresh.partition("t", "x", 0);
        a.arrived(&arrived(100, &[]));
        a.waiting(0);
        assert_eq!(as_of(&all), (Some(100), Some(100), true));
        let b = fresh.partition("t", "x", 1);
        assert_eq!(as_of(&all), (Some(100), None, false));
        b.arrived(&arrived(50, &[]));
        b.waiting(7);
        assert_eq!(as_of(&all), (Some(100), None, false), "50 would be less than what was said");
        b.arrived(&arrived(101, &[]));
        a.waiting(2);
        assert_eq!(as_of(&all).1, Some(100));
        drop(b);
        a.waiting(0);
        assert_eq!(as_of(&all), (Some(101), Some(101), true));
        // A handle of an earlier time takes nothing along.
        let again = fresh.partition("t", "x", 0);
        drop(a);
        assert_eq!(all.sinks().table("s", "t").partitions.len(), 1);
        drop(again);
        assert_eq!(as_of(&all), (Some(101), None, false));
    }

    #[test]
    fn tenants_are_told_apart_up_to_a_number_and_what_is_left_out_is_counted() {
        let metrics = Metrics::new(Known::default());
        let mut all = Freshness::new(metrics.freshness().left_out.clone());
        all.most = 2;
        let all = Arc::new(all);
        let fresh = SinkFreshness::new(&all, "s");
        let a = fresh.partition("t", "x", 0);
        a.arrived(&arrived(9, &[("one", 5), ("two", 9), ("three", 7)]));
        a.arrived(&Arrived { left_out: 4, ..arrived(8, &[("one", 4), ("two", 11)]) });
        let sinks = all.sinks();
        let tenants: Vec<_> = sinks.by_name["s"].tables["t"].tenants.iter().map(|(t, at)| (&**t, *at)).collect();
        assert_eq!((tenants, sinks.by_name["s"].left_out), (vec![("one", 5), ("two", 11)], true));
        assert!(metrics.render().contains("highwater_sink_tenants_left_out_total{sink=\"s\"} 5\n"));
    }
}
