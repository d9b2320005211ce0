//! Gauges that live as long as whoever reports them.
//!
//! Several workers report the same series (the tasks of an instance, the freshness of a stream), and a partition may
//! reach its next worker before the last one has let go. So every reporter has a slot of its own; a scrape folds the
//! slots that are still held. A plain gauge would flap between reporters and outlive them.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use super::names::Name;

/// What a scrape makes of several slots with the same labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    Sum,
    Max,
    Min,
    /// The slots hold seconds since 1970; the scrape shows the age of the latest.
    Age,
}

/// One reporter's value. Dropping every clone takes it out of the next scrape.
#[derive(Clone)]
pub struct Slot(Arc<Reported>);

struct Reported {
    labels: Vec<String>,
    /// The bits of an f64; NaN as long as nothing is known.
    value: AtomicU64,
}

impl Slot {
    pub fn set(&self, value: f64) {
        self.0.value.store(value.to_bits(), Relaxed);
    }

    /// As if nothing had been reported.
    pub fn unset(&self) {
        self.set(f64::NAN);
    }

    /// Sets the value unless it is above already.
    pub fn raise(&self, value: f64) {
        // An error only says that the value was high enough.
        let _ = self.0.value.fetch_update(Relaxed, Relaxed, |bits| {
            let known = f64::from_bits(bits);
            (known.is_nan() || value > known).then(|| value.to_bits())
        });
    }
}

/// A gauge made of slots.
#[derive(Clone)]
pub struct Live(Arc<Inner>);

struct Inner {
    name: Name,
    fold: Fold,
    /// Described once: a scrape fills a fresh one.
    template: GaugeVec,
    slots: Mutex<Vec<Weak<Reported>>>,
}

impl Live {
    pub fn new(name: Name, fold: Fold) -> prometheus::Result<Self> {
        let template = empty(&name)?;
        Ok(Self(Arc::new(Inner { name, fold, template, slots: Mutex::default() })))
    }

    /// A new slot, without a value yet. `labels` in the order of the name's.
    pub fn slot(&self, labels: &[&str]) -> Slot {
        debug_assert_eq!(labels.len(), self.0.name.labels.len(), "{}", self.0.name.name);
        let labels = labels.iter().map(|l| l.to_string()).collect();
        let reported = Arc::new(Reported { labels, value: AtomicU64::new(f64::NAN.to_bits()) });
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|s| s.strong_count() > 0);
        slots.push(Arc::downgrade(&reported));
        Slot(reported)
    }

    fn folded(&self) -> BTreeMap<Vec<String>, f64> {
        let slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let mut folded = BTreeMap::new();
        for slot in slots.iter().filter_map(Weak::upgrade) {
            let value = f64::from_bits(slot.value.load(Relaxed));
            if !value.is_nan() {
                let fold = self.0.fold;
                folded
                    .entry(slot.labels.clone())
                    .and_modify(|sofar| *sofar = fold.join(*sofar, value))
                    .or_insert(value);
            }
        }
        folded
    }
}

impl Fold {
    fn join(self, a: f64, b: f64) -> f64 {
        match self {
            Fold::Sum => a + b,
            Fold::Max | Fold::Age => a.max(b),
            Fold::Min => a.min(b),
        }
    }

    fn shown(self, value: f64) -> f64 {
        match self {
            // The clock of the source may run ahead of ours.
            Fold::Age => (seconds_since_1970() - value).max(0.0),
            _ => value,
        }
    }
}

impl Collector for Live {
    fn desc(&self) -> Vec<&Desc> {
        self.0.template.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Ok(gauge) = empty(&self.0.name) else { return Vec::new() };
        for (labels, value) in self.folded() {
            if let Ok(child) = gauge.get_metric_with_label_values(&labels) {
                child.set(self.0.fold.shown(value));
            }
        }
        gauge.collect()
    }
}

fn empty(name: &Name) -> prometheus::Result<GaugeVec> {
    GaugeVec::new(Opts::new(name.name, name.help), name.labels)
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::names::RULES_UNMATCHED;

    fn shown(live: &Live) -> Vec<f64> {
        live.collect().iter().flat_map(|f| f.get_metric().iter().map(|m| m.get_gauge().get_value())).collect()
    }

    #[test]
    fn slots_fold_and_leave() {
        for (fold, both) in [(Fold::Sum, 7.0), (Fold::Max, 5.0), (Fold::Min, 2.0)] {
            let live = Live::new(RULES_UNMATCHED, fold).unwrap();
            let (a, b, silent) = (live.slot(&["s"]), live.slot(&["s"]), live.slot(&["s"]));
            assert!(shown(&live).is_empty(), "nothing reported yet");
            a.set(2.0);
            b.set(5.0);
            assert_eq!(shown(&live), [both], "{fold:?}");
            drop(b);
            assert_eq!(shown(&live), [2.0], "{fold:?}: a dropped slot leaves");
            a.unset();
            assert!(shown(&live).is_empty());
            drop((a, silent));
            let next = live.slot(&["s"]);
            assert_eq!(live.0.slots.lock().unwrap().len(), 1, "dropped slots take no memory");
            drop(next);
        }
    }

    #[test]
    fn a_value_is_raised_never_lowered() {
        let live = Live::new(RULES_UNMATCHED, Fold::Max).unwrap();
        let slot = live.slot(&["s"]);
        for (value, expected) in [(-3.0, -3.0), (4.0, 4.0), (1.0, 4.0)] {
            slot.raise(value);
            assert_eq!(shown(&live), [expected]);
        }
    }

    #[test]
    fn age_is_that_of_the_latest_and_never_negative() {
        let live = Live::new(RULES_UNMATCHED, Fold::Age).unwrap();
        let (old, new) = (live.slot(&["s"]), live.slot(&["s"]));
        old.set(seconds_since_1970() - 500.0);
        new.set(seconds_since_1970() - 100.0);
        let age = shown(&live)[0];
        assert!((100.0..130.0).contains(&age), "{age}");
        new.set(seconds_since_1970() + 1000.0);
        assert_eq!(shown(&live), [0.0]);
    }
}
