//! The metrics of an instance, and the handles through which its parts report.
//!
//! Handles look their series up once. Those of gauges are held by whoever reports, and take their series along when
//! they are dropped: a lost partition leaves no lag behind, a finished restore no remainder.

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use std::sync::Arc;
use std::time::Duration;

use super::freshness::{Freshness, Outbox, SinkFreshness};
use super::live::{Fold, Live, Slot};
use super::names::{self, Name};
use super::sink::{SinkMetrics, SinkSeries};
use super::slots::{SlotMetrics, SlotSeries};
use super::stream::StreamMetrics;

/// Label values that every stream counts from the start, at 0: `rate()` needs a first value, and a dashboard that says
/// "no data" looks like one that says "broken".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub dropped: Vec<&'static str>,
    pub skipped: Vec<&'static str>,
    pub dead_letters: Vec<&'static str>,
    pub rules: Vec<&'static str>,
    pub epochs: Vec<&'static str>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            dropped: vec![names::STALE, names::REPLAYED],
            skipped: vec!["tombstone", "truncate", "message", names::FILTERED, "bad_record"],
            dead_letters: Vec::new(),
            rules: Vec::new(),
            epochs: Vec::new(),
        }
    }
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

labels! {
    /// How a transaction ended.
    Outcome {
        Committed = "committed",
        Aborted = "aborted",
        /// The commit was sent and no answer came.
        Unknown = "unknown",
    }
}

labels! {
    /// How an insert ended.
    InsertOutcome {
        Done = "done",
        /// No answer, or a server that cannot now: it is sent again.
        Failed = "failed",
        /// The server takes a row or the table's columns not: it is planned anew.
        Refused = "refused",
    }
}

labels! {
    /// What a rebalance did.
    Rebalance { Assigned = "assigned", Revoked = "revoked", Lost = "lost", }
}

labels! {
    /// What a task is at.
    TaskState {
        /// Taken, its stores not opened yet.
        Assigned = "assigned",
        /// Reading the tail of its changelog.
        Restoring = "restoring",
        Running = "running",
    }
}

/// All metrics of this process, on a registry of their own.
pub struct Metrics {
    registry: Registry,
    known: Known,
    pub(super) stream: StreamSeries,
    lag_records: Live,
    lag_seconds: Live,
    restore_remaining: Live,
    store_keys: Live,
    store_bytes: Live,
    tasks: Live,
    /// Holds the states at 0 while no worker reports.
    _no_tasks: TaskMetrics,
    transactions: Vec<(Outcome, IntCounter)>,
    transaction_seconds: Histogram,
    rebalances: Vec<(Rebalance, IntCounter)>,
    sink: SinkSeries,
    freshness: Arc<Freshness>,
    last_sync_values: IntCounterVec,
    last_sync_waiting: Live,
    slots: SlotSeries,
}

/// The families of the per-stream metrics.
pub(super) struct StreamSeries {
    pub records_in: IntCounterVec,
    pub records_out: IntCounterVec,
    pub dropped: IntCounterVec,
    pub skipped: IntCounterVec,
    pub dead_letters: IntCounterVec,
    pub masked: IntCounterVec,
    pub epochs: IntCounterVec,
    pub rules_unmatched: Live,
    pub stale_run: Live,
    pub freshness: Live,
    pub end_to_end: Histogram,
}

impl Metrics {
    pub fn new(known: Known) -> Self {
        // Fails only on names that are wrong or declared twice, and those are constants.
        Self::build(known).expect("the metrics' names are valid")
    }

    fn build(known: Known) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        let stream = StreamSeries {
            records_in: counters(r, names::RECORDS_IN)?,
            records_out: counters(r, names::RECORDS_OUT)?,
            dropped: counters(r, names::DEDUP_DROPPED)?,
            skipped: counters(r, names::RECORDS_SKIPPED)?,
            dead_letters: counters(r, names::DEAD_LETTERS)?,
            masked: counters(r, names::MASKED_FIELDS)?,
            epochs: counters(r, names::EPOCHS)?,
            // A rule is unmatched while no task has met its column.
            rules_unmatched: live(r, names::RULES_UNMATCHED, Fold::Min)?,
            // The worst partition: a sum over many would hide one.
            stale_run: live(r, names::STALE_RUN_RECORDS, Fold::Max)?,
            freshness: live(r, names::SOURCE_FRESHNESS_SECONDS, Fold::Age)?,
            end_to_end: histogram(r, names::END_TO_END_SECONDS)?,
        };
        let sink = SinkSeries {
            rows: counters(r, names::SINK_ROWS)?,
            inserts: counters(r, names::SINK_INSERTS)?,
            errors: counters(r, names::SINK_INSERT_ERRORS)?,
            bad: counters(r, names::SINK_BAD_RECORDS)?,
            insert_seconds: histogram(r, names::SINK_INSERT_SECONDS)?,
            end_to_end: histogram(r, names::SINK_END_TO_END_SECONDS)?,
            freshness: live(r, names::SINK_FRESHNESS_SECONDS, Fold::Age)?,
            // Every instance sees the same table.
            parts: live(r, names::SINK_TABLE_PARTS, Fold::Max)?,
            held: live(r, names::SINK_HELD_PARTITIONS, Fold::Sum)?,
        };
        let transactions = counters(r, names::TRANSACTIONS)?;
        let rebalances = counters(r, names::REBALANCES)?;
        let tasks = live(r, names::TASKS, Fold::Sum)?;
        build_info(r)?;
        Ok(Self {
            stream,
            lag_records: live(r, names::CONSUMER_LAG_RECORDS, Fold::Max)?,
            lag_seconds: live(r, names::CONSUMER_LAG_SECONDS, Fold::Max)?,
            restore_remaining: live(r, names::RESTORE_REMAINING_RECORDS, Fold::Max)?,
            store_keys: live(r, names::STORE_KEYS, Fold::Sum)?,
            store_bytes: live(r, names::STORE_BYTES, Fold::Sum)?,
            _no_tasks: TaskMetrics::new(&tasks),
            tasks,
            transactions: Outcome::ALL.iter().map(|o| (*o, transactions.with_label_values(&[o.as_str()]))).collect(),
            transaction_seconds: histogram(r, names::TRANSACTION_SECONDS)?,
            rebalances: Rebalance::ALL.iter().map(|e| (*e, rebalances.with_label_values(&[e.as_str()]))).collect(),
            freshness: Arc::new(Freshness::new(counters(r, names::SINK_TENANTS_LEFT_OUT)?)),
            last_sync_values: counters(r, names::LAST_SYNC_VALUES)?,
            last_sync_waiting: live(r, names::LAST_SYNC_WAITING, Fold::Sum)?,
            slots: SlotSeries {
                up: live(r, names::PG_UP, Fold::Min)?,
                wal_bytes: live(r, names::PG_SLOT_WAL_BYTES, Fold::Max)?,
                unconfirmed_bytes: live(r, names::PG_SLOT_UNCONFIRMED_BYTES, Fold::Max)?,
                active: live(r, names::PG_SLOT_ACTIVE, Fold::Min)?,
                wal_status: live(r, names::PG_SLOT_WAL_STATUS, Fold::Max)?,
            },
            registry,
            known,
            sink,
        })
    }

    /// A stream's metrics, for one worker or one task: each reporter takes a handle of its own. The counters of a
    /// stream are shared and exist from the first call on.
    pub fn stream(&self, stream: &str) -> StreamMetrics {
        StreamMetrics::new(&self.stream, stream, &self.known)
    }

    /// A sink's metrics, as long as the handle is held.
    pub fn sink(&self, sink: &str) -> SinkMetrics {
        SinkMetrics::new(&self.sink, sink)
    }

    /// How fresh tables are, for whoever asks.
    pub fn freshness(&self) -> &Arc<Freshness> {
        &self.freshness
    }

    /// How fresh a sink's tables are, for the sink to say.
    pub fn sink_freshness(&self, sink: &str) -> SinkFreshness {
        SinkFreshness::new(&self.freshness, sink)
    }

    /// What another system is to be told of tenants.
    pub fn outbox(&self) -> Outbox {
        let outcome = |outcome: &str| self.last_sync_values.with_label_values(&[outcome]);
        Outbox::new([outcome("written"), outcome("failed"), outcome("dropped")], self.last_sync_waiting.slot(&[]))
    }

    /// The replication slots of a database.
    pub fn slots(&self) -> SlotMetrics {
        SlotMetrics::new(&self.slots)
    }

    /// A counter over all its labels.
    pub fn total(&self, counter: names::Name) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == counter.name);
        let each = family.into_iter().flat_map(|family| family.get_metric());
        each.map(|metric| metric.get_counter().get_value() as u64).sum()
    }

    /// A source partition's lag, as long as the handle is held.
    pub fn partition(&self, topic: &str, partition: i32) -> PartitionMetrics {
        let labels = &[topic, &partition.to_string()];
        PartitionMetrics { records: self.lag_records.slot(labels), seconds: self.lag_seconds.slot(labels) }
    }

    /// A store partition's restore, as long as the handle is held.
    pub fn restore(&self, store: &str, partition: i32) -> RestoreMetrics {
        RestoreMetrics { remaining: self.restore_remaining.slot(&[store, &partition.to_string()]) }
    }

    /// A store's size, as long as the handle is held. Parts of one store add up.
    pub fn store(&self, store: &str) -> StoreMetrics {
        StoreMetrics { keys: self.store_keys.slot(&[store]), bytes: self.store_bytes.slot(&[store]) }
    }

    /// A worker's tasks, as long as the handle is held. Workers add up.
    pub fn tasks(&self) -> TaskMetrics {
        TaskMetrics::new(&self.tasks)
    }

    /// A transaction has ended, this long after it began.
    pub fn transaction(&self, outcome: Outcome, took: Duration) {
        inc(&self.transactions, outcome);
        self.transaction_seconds.observe(took.as_secs_f64());
    }

    pub fn rebalance(&self, event: Rebalance) {
        inc(&self.rebalances, event);
    }

    /// The text exposition format, version 0.0.4.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|error| {
            tracing::error!(%error, "metrics cannot be rendered");
            String::new()
        })
    }
}

/// The lag of one source partition.
pub struct PartitionMetrics {
    records: Slot,
    seconds: Slot,
}

impl PartitionMetrics {
    /// `seconds` is the age of the oldest record not processed yet, 0 when there is none, nothing when it is not known.
    pub fn lag(&self, records: u64, seconds: Option<f64>) {
        self.records.set(records as f64);
        self.seconds.set(seconds.unwrap_or(f64::NAN));
    }

    /// `last` is the time of the last record that was processed; it and `now` are in milliseconds.
    pub fn behind(&self, records: u64, last: Option<i64>, now: i64) {
        let age = last.map(|at| (now - at).max(0) as f64 / 1000.0);
        self.lag(records, if records == 0 { Some(0.0) } else { age });
    }

    /// The partition is lost: its series go. The same as dropping the handle.
    pub fn remove(self) {}
}

/// How far one store partition is from its changelog's end.
pub struct RestoreMetrics {
    remaining: Slot,
}

impl RestoreMetrics {
    pub fn remaining(&self, records: u64) {
        self.remaining.set(records as f64);
    }

    /// Restored, or given up: the series goes. The same as dropping the handle.
    pub fn remove(self) {}
}

/// The size of one store, or of a part of it.
pub struct StoreMetrics {
    keys: Slot,
    bytes: Slot,
}

impl StoreMetrics {
    pub fn set(&self, keys: u64, bytes: u64) {
        self.keys.set(keys as f64);
        self.bytes.set(bytes as f64);
    }
}

/// The tasks of one worker by state.
pub struct TaskMetrics {
    states: Vec<(TaskState, Slot)>,
}

impl TaskMetrics {
    fn new(tasks: &Live) -> Self {
        let states: Vec<_> = TaskState::ALL.iter().map(|s| (*s, tasks.slot(&[s.as_str()]))).collect();
        states.iter().for_each(|(_, slot)| slot.set(0.0));
        Self { states }
    }

    pub fn set(&self, state: TaskState, tasks: usize) {
        if let Some((_, slot)) = self.states.iter().find(|(s, _)| *s == state) {
            slot.set(tasks as f64);
        }
    }
}

fn inc<L: PartialEq>(counters: &[(L, IntCounter)], label: L) {
    if let Some((_, counter)) = counters.iter().find(|(l, _)| *l == label) {
        counter.inc();
    }
}

fn counters(registry: &Registry, name: Name) -> prometheus::Result<IntCounterVec> {
    register(registry, IntCounterVec::new(opts(name), name.labels)?)
}

fn histogram(registry: &Registry, name: Name) -> prometheus::Result<Histogram> {
    let opts = HistogramOpts::new(name.name, name.help).buckets(names::SECONDS_BUCKETS.to_vec());
    register(registry, Histogram::with_opts(opts)?)
}

fn live(registry: &Registry, name: Name, fold: Fold) -> prometheus::Result<Live> {
    register(registry, Live::new(name, fold)?)
}

fn build_info(registry: &Registry) -> prometheus::Result<()> {
    let info = register(registry, IntGaugeVec::new(opts(names::BUILD_INFO), names::BUILD_INFO.labels)?)?;
    let commit = option_env!("HIGHWATER_COMMIT").unwrap_or("unknown");
    info.with_label_values(&[env!("CARGO_PKG_VERSION"), commit]).set(1);
    Ok(())
}

fn opts(name: Name) -> Opts {
    Opts::new(name.name, name.help)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Tally;
    use crate::telemetry::freshness::Arrived;
    use crate::telemetry::names::Kind;
    use crate::telemetry::slots::{SlotNow, WalStatus};

    fn sample(text: &str, series: &str) -> Option<f64> {
        text.lines().find_map(|l| l.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    #[test]
    fn every_name_is_rendered_with_help_type_and_labels() {
        let known =
            Known { dead_letters: vec!["not_json"], rules: vec!["hash"], epochs: vec!["snapshot"], ..Known::default() };
        let metrics = Metrics::new(known);
        let stream = metrics.stream("customers");
        stream.rules_unmatched(1);
        let mut tally = Tally::default();
        tally.source_time(1);
        stream.commit(&tally, 2);
        let (partition, restore, store) =
            (metrics.partition("t", 0), metrics.restore("customers", 0), metrics.store("customers"));
        let mut sink = metrics.sink("brew");
        sink.insert("orders", InsertOutcome::Failed, Duration::from_millis(20));
        sink.rows("orders", &[1, 2], 3);
        sink.bad("not_row");
        sink.parts("orders", 4);
        let arrived = Arrived { left_out: 1, ..Arrived::default() };
        metrics.sink_freshness("brew").partition("orders", "t", 0).arrived(&arrived);
        let (_outbox, mut slots) = (metrics.outbox(), metrics.slots());
        let slot = SlotNow {
            name: "s".into(),
            active: true,
            wal_bytes: Some(1),
            unconfirmed_bytes: Some(0),
            status: WalStatus::Reserved,
        };
        slots.read(&[slot]);
        partition.lag(5, Some(1.5));
        restore.remaining(7);
        store.set(8, 9);
        let text = metrics.render();
        for n in names::ALL {
            assert!(text.contains(&format!("# HELP {} {}\n", n.name, n.help)), "{}\n{text}", n.name);
            let kind = format!("{:?}", n.kind).to_lowercase();
            assert!(text.contains(&format!("# TYPE {} {kind}\n", n.name)), "{}", n.name);
            if n.kind != Kind::Histogram {
                let line = text.lines().find(|l| l.strip_prefix(n.name).is_some_and(|r| r.starts_with(['{', ' '])));
                let line = line.unwrap_or_else(|| panic!("no sample of {}", n.name));
                assert!(n.labels.iter().all(|l| line.contains(&format!("{l}=\""))), "{line}");
                assert_eq!(line.matches("=\"").count(), n.labels.len(), "{line}");
            }
        }
        let families = text.lines().filter(|l| l.starts_with("# TYPE")).count();
        assert_eq!(families, names::ALL.len(), "a metric is missing in names.rs");
    }

    #[test]
    fn what_is_known_starts_at_zero() {
        let metrics = Metrics::new(Known { dead_letters: vec!["not_json"], ..Known::default() });
        drop(metrics.stream("customers"));
        let text = metrics.render();
        for series in [
            "highwater_records_in_total{stream=\"customers\"}",
            "highwater_records_out_total{stream=\"customers\"}",
            "highwater_dedup_dropped_total{reason=\"stale\",stream=\"customers\"}",
            "highwater_dedup_dropped_total{reason=\"replayed\",stream=\"customers\"}",
            "highwater_records_skipped_total{reason=\"tombstone\",stream=\"customers\"}",
            "highwater_records_skipped_total{reason=\"truncate\",stream=\"customers\"}",
            "highwater_records_skipped_total{reason=\"message\",stream=\"customers\"}",
            "highwater_records_skipped_total{reason=\"filtered\",stream=\"customers\"}",
            "highwater_records_skipped_total{reason=\"bad_record\",stream=\"customers\"}",
            "highwater_dead_letters_total{reason=\"not_json\",stream=\"customers\"}",
            "highwater_transactions_total{outcome=\"unknown\"}",
            "highwater_rebalances_total{event=\"lost\"}",
            "highwater_tasks{state=\"restoring\"}",
            "highwater_transaction_seconds_count",
            "highwater_end_to_end_seconds_count",
        ] {
            assert_eq!(sample(&text, series), Some(0.0), "{series}\n{text}");
        }
        let build = format!("highwater_build_info{{commit=\"unknown\",version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        if option_env!("HIGHWATER_COMMIT").is_none() {
            assert_eq!(sample(&text, &build), Some(1.0), "{text}");
        }
    }

    #[test]
    fn a_lost_partition_leaves_no_lag_and_a_handover_keeps_it() {
        let metrics = Metrics::new(Known::default());
        let series = "highwater_consumer_lag_records{partition=\"3\",topic=\"t\"}";
        let before = metrics.partition("t", 3);
        before.lag(10, None);
        assert!(!metrics.render().contains("lag_seconds{"), "an unknown age is not reported");
        let after = metrics.partition("t", 3);
        after.lag(4, Some(0.5));
        before.remove();
        assert_eq!(sample(&metrics.render(), series), Some(4.0));
        assert!(metrics.render().contains("highwater_consumer_lag_seconds{partition=\"3\",topic=\"t\"} 0.5\n"));
        after.remove();
        assert!(!metrics.render().contains("highwater_consumer_lag"));

        let restore = metrics.restore("customers", 0);
        restore.remaining(12);
        let series = "highwater_restore_remaining_records{partition=\"0\",store=\"customers\"}";
        assert_eq!(sample(&metrics.render(), series), Some(12.0));
        restore.remove();
        assert!(!metrics.render().contains("highwater_restore_remaining_records"));
    }

    #[test]
    fn workers_add_up_and_take_their_share_along() {
        let metrics = Metrics::new(Known::default());
        let (a, b) = (metrics.tasks(), metrics.tasks());
        a.set(TaskState::Running, 2);
        b.set(TaskState::Running, 3);
        let series = "highwater_tasks{state=\"running\"}";
        assert_eq!(sample(&metrics.render(), series), Some(5.0));
        drop(b);
        assert_eq!(sample(&metrics.render(), series), Some(2.0));
        drop(a);
        assert_eq!(sample(&metrics.render(), series), Some(0.0));
    }

    #[test]
    fn transactions_and_rebalances_are_counted() {
        let metrics = Metrics::new(Known::default());
        metrics.transaction(Outcome::Committed, Duration::from_millis(20));
        metrics.transaction(Outcome::Aborted, Duration::from_secs(90));
        metrics.rebalance(Rebalance::Revoked);
        let text = metrics.render();
        for (series, expected) in [
            ("highwater_transactions_total{outcome=\"committed\"}", 1.0),
            ("highwater_transactions_total{outcome=\"aborted\"}", 1.0),
            ("highwater_transactions_total{outcome=\"unknown\"}", 0.0),
            ("highwater_transaction_seconds_bucket{le=\"0.01\"}", 0.0),
            ("highwater_transaction_seconds_bucket{le=\"0.025\"}", 1.0),
            ("highwater_transaction_seconds_bucket{le=\"60\"}", 1.0),
            ("highwater_transaction_seconds_bucket{le=\"+Inf\"}", 2.0),
            ("highwater_rebalances_total{event=\"revoked\"}", 1.0),
            ("highwater_rebalances_total{event=\"assigned\"}", 0.0),
        ] {
            assert_eq!(sample(&text, series), Some(expected), "{series}");
        }
    }
}
