//! The metrics of a sink.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec};

use super::live::{Live, Slot};
use super::metrics::InsertOutcome;

/// The families.
#[derive(Clone)]
pub(super) struct SinkSeries {
    pub rows: IntCounterVec,
    pub inserts: IntCounterVec,
    pub errors: IntCounterVec,
    pub bad: IntCounterVec,
    pub insert_seconds: Histogram,
    pub end_to_end: Histogram,
    pub freshness: Live,
    pub parts: Live,
    pub held: Live,
}

/// What one sink reports.
pub struct SinkMetrics {
    series: SinkSeries,
    sink: String,
    held: Slot,
    tables: BTreeMap<String, Table>,
}

struct Table {
    rows: IntCounter,
    errors: IntCounter,
    freshness: Slot,
    parts: Slot,
}

impl SinkMetrics {
    pub(super) fn new(series: &SinkSeries, sink: &str) -> Self {
        let held = series.held.slot(&[sink]);
        held.set(0.0);
        Self { series: series.clone(), sink: sink.to_owned(), held, tables: BTreeMap::new() }
    }

    fn table(&mut self, table: &str) -> &Table {
        let Self { series, sink, tables, .. } = self;
        tables.entry(table.to_owned()).or_insert_with(|| {
            let labels = &[sink.as_str(), table];
            // They stand at zero before anything happens.
            for outcome in InsertOutcome::ALL {
                series.inserts.with_label_values(&[sink.as_str(), table, outcome.as_str()]);
            }
            Table {
                rows: series.rows.with_label_values(labels),
                errors: series.errors.with_label_values(labels),
                freshness: series.freshness.slot(labels),
                parts: series.parts.slot(labels),
            }
        })
    }

    /// An insert has ended, this long after it was sent.
    pub fn insert(&mut self, table: &str, outcome: InsertOutcome, took: Duration) {
        if outcome != InsertOutcome::Done {
            self.table(table).errors.inc();
        }
        self.table(table);
        self.series.inserts.with_label_values(&[&self.sink, table, outcome.as_str()]).inc();
        self.series.insert_seconds.observe(took.as_secs_f64());
    }

    /// Its rows do not fit into the table, or it is not there.
    pub fn not_fitting(&mut self, table: &str) {
        self.table(table).errors.inc();
    }

    /// Rows are in the table, with the times of their commits in the source, in microseconds since 1970.
    pub fn rows(&mut self, table: &str, committed: &[i64], now_us: i64) {
        let known = committed.iter().copied().filter(|at| *at > 0);
        let local = self.series.end_to_end.local();
        known.clone().for_each(|at| local.observe((now_us - at).max(0) as f64 / 1e6));
        local.flush();
        let of_table = self.table(table);
        of_table.rows.inc_by(committed.len() as u64);
        if let Some(newest) = known.max() {
            of_table.freshness.raise(newest as f64 / 1e6);
        }
    }

    /// A record that is no row of its table.
    pub fn bad(&self, reason: &str) {
        self.series.bad.with_label_values(&[self.sink.as_str(), reason]).inc();
    }

    /// Parts that a table is made of.
    pub fn parts(&mut self, table: &str, parts: u64) {
        self.table(table).parts.set(parts as f64);
    }

    /// Partitions that wait for something to be mended.
    pub fn held(&self, partitions: usize) {
        self.held.set(partitions as f64);
    }
}
