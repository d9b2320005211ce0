//! One stream's metrics, as one worker or one task reports them.

use prometheus::{Histogram, IntCounter, IntCounterVec};

use super::live::Slot;
use super::metrics::{Known, StreamSeries};
use super::tally::{Counts, Tally};

/// Counters are shared with every other handle of the stream; gauges are this handle's own and leave with it.
pub struct StreamMetrics {
    name: String,
    records_in: IntCounter,
    records_out: IntCounter,
    dropped: Labelled,
    skipped: Labelled,
    dead_letters: Labelled,
    masked: Labelled,
    epochs: Labelled,
    rules_unmatched: Slot,
    stale_run: Slot,
    /// The newest source time, in seconds since 1970.
    freshness: Slot,
    end_to_end: Histogram,
}

impl StreamMetrics {
    pub(super) fn new(series: &StreamSeries, stream: &str, known: &Known) -> Self {
        let labelled = |vec: &IntCounterVec, known: &[&'static str]| Labelled::new(vec, stream, known);
        let stale_run = series.stale_run.slot(&[stream]);
        stale_run.set(0.0);
        Self {
            name: stream.to_owned(),
            records_in: series.records_in.with_label_values(&[stream]),
            records_out: series.records_out.with_label_values(&[stream]),
            dropped: labelled(&series.dropped, &known.dropped),
            skipped: labelled(&series.skipped, &known.skipped),
            dead_letters: labelled(&series.dead_letters, &known.dead_letters),
            masked: labelled(&series.masked, &known.rules),
            epochs: labelled(&series.epochs, &known.epochs),
            rules_unmatched: series.rules_unmatched.slot(&[stream]),
            stale_run,
            freshness: series.freshness.slot(&[stream]),
            end_to_end: series.end_to_end.clone(),
        }
    }

    /// Adds what a transaction did. Only after its commit: an aborted one is done again.
    ///
    /// `now_ms` is the time of the commit, in milliseconds since 1970.
    pub fn commit(&self, tally: &Tally, now_ms: i64) {
        self.records_in.inc_by(tally.records_in);
        self.records_out.inc_by(tally.records_out);
        for (labelled, counts) in [
            (&self.dropped, &tally.dropped),
            (&self.skipped, &tally.skipped),
            (&self.dead_letters, &tally.dead_letters),
            (&self.masked, &tally.masked),
            (&self.epochs, &tally.epochs),
        ] {
            labelled.add(&self.name, counts);
        }
        self.source_times(tally.source_times(), now_ms);
    }

    fn source_times(&self, times: &[(i64, u32)], now_ms: i64) {
        let Some(newest) = times.iter().map(|(ms, _)| *ms).max() else { return };
        self.freshness.raise(newest as f64 / 1000.0);
        let local = self.end_to_end.local();
        for (ms, n) in times {
            // The clock of the source may run ahead of ours.
            let seconds = now_ms.saturating_sub(*ms).max(0) as f64 / 1000.0;
            (0..*n).for_each(|_| local.observe(seconds));
        }
        local.flush();
    }

    /// The present run of never seen changes that were all stale.
    pub fn stale_run(&self, records: u64) {
        self.stale_run.set(records as f64);
    }

    /// Rules that have met no column yet.
    pub fn rules_unmatched(&self, rules: usize) {
        self.rules_unmatched.set(rules as f64);
    }
}

/// A counter's children by their second label; the known ones are looked up once.
struct Labelled {
    vec: IntCounterVec,
    children: Vec<(&'static str, IntCounter)>,
}

impl Labelled {
    fn new(vec: &IntCounterVec, stream: &str, known: &[&'static str]) -> Self {
        let children = known.iter().map(|label| (*label, vec.with_label_values(&[stream, label]))).collect();
        Self { vec: vec.clone(), children }
    }

    fn add(&self, stream: &str, counts: &Counts) {
        for (label, n) in counts.iter() {
            match self.children.iter().find(|(known, _)| *known == label) {
                Some((_, child)) => child.inc_by(n),
                None => self.vec.with_label_values(&[stream, label]).inc_by(n),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::{Known, Metrics, Tally};

    fn line(metrics: &Metrics, series: &str) -> String {
        let text = metrics.render();
        text.lines().find(|l| l.starts_with(&format!("{series} "))).unwrap_or("absent").replace(series, "")
    }

    #[test]
    fn a_commit_adds_and_a_cleared_tally_does_not() {
        let metrics = Metrics::new(Known::default());
        // Two workers of one stream.
        let handles = [metrics.stream("s"), metrics.stream("s")];
        let mut tally = Tally::default();
        (tally.records_in, tally.records_out) = (10, 6);
        tally.dropped.add("stale", 3);
        tally.skipped.add("tombstone", 1);
        tally.dead_letters.add("not_json", 2);
        tally.masked.add("hash", 12);
        tally.epochs.add("regression", 1);
        handles.iter().for_each(|h| h.commit(&tally, 0));
        tally.records_in = 1_000_000;
        tally.clear();
        handles.iter().for_each(|h| h.commit(&tally, 0));
        for (series, expected) in [
            ("highwater_records_in_total{stream=\"s\"}", " 20"),
            ("highwater_records_out_total{stream=\"s\"}", " 12"),
            ("highwater_dedup_dropped_total{reason=\"stale\",stream=\"s\"}", " 6"),
            ("highwater_dedup_dropped_total{reason=\"replayed\",stream=\"s\"}", " 0"),
            ("highwater_records_skipped_total{reason=\"tombstone\",stream=\"s\"}", " 2"),
            ("highwater_dead_letters_total{reason=\"not_json\",stream=\"s\"}", " 4"),
            ("highwater_masked_fields_total{rule=\"hash\",stream=\"s\"}", " 24"),
            ("highwater_epochs_total{reason=\"regression\",stream=\"s\"}", " 2"),
            ("highwater_end_to_end_seconds_count", " 0"),
        ] {
            assert_eq!(line(&metrics, series), expected, "{series}");
        }
    }

    #[test]
    fn latencies_run_from_the_source_to_the_commit() {
        let metrics = Metrics::new(Known::default());
        let stream = metrics.stream("s");
        let mut tally = Tally::default();
        // 40 ms, twice; 2 s; a source whose clock is ahead.
        [960_000, 960_999, -1_000_000, 9_000_000].iter().for_each(|us| tally.source_time(*us));
        stream.commit(&tally, 1_000);
        for (series, expected) in [
            ("highwater_end_to_end_seconds_bucket{le=\"0.001\"}", " 1"),
            ("highwater_end_to_end_seconds_bucket{le=\"0.025\"}", " 1"),
            ("highwater_end_to_end_seconds_bucket{le=\"0.05\"}", " 3"),
            ("highwater_end_to_end_seconds_bucket{le=\"1\"}", " 3"),
            ("highwater_end_to_end_seconds_bucket{le=\"2.5\"}", " 4"),
            ("highwater_end_to_end_seconds_sum", " 2.08"),
        ] {
            assert_eq!(line(&metrics, series), expected, "{series}");
        }
    }

    #[test]
    fn gauges_of_several_tasks_show_the_one_that_matters() {
        let metrics = Metrics::new(Known::default());
        let (a, b) = (metrics.stream("s"), metrics.stream("s"));
        assert_eq!(line(&metrics, "highwater_stale_run_records{stream=\"s\"}"), " 0");
        assert!(!metrics.render().contains("highwater_source_freshness_seconds"), "nothing seen yet");
        a.stale_run(500);
        b.stale_run(0);
        a.rules_unmatched(1);
        b.rules_unmatched(4);
        assert_eq!(line(&metrics, "highwater_stale_run_records{stream=\"s\"}"), " 500");
        assert_eq!(line(&metrics, "highwater_rules_unmatched{stream=\"s\"}"), " 1");
        drop(a);
        assert_eq!(line(&metrics, "highwater_stale_run_records{stream=\"s\"}"), " 0");
        let mut tally = Tally::default();
        tally.source_time(1_000_000);
        b.commit(&tally, 2_000);
        let age: f64 = line(&metrics, "highwater_source_freshness_seconds{stream=\"s\"}").trim().parse().unwrap();
        assert!(age > 1.7e9, "since 1970: {age}");
    }
}
