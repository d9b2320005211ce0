//! How late rows are: by Highwater's own histogram, and by rows that somebody else looks for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::probe::Seen;

/// A histogram of Prometheus: by upper bound in milliseconds (u64::MAX: none), how many.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Histogram(BTreeMap<u64, u64>);

impl Histogram {
    /// Of a page, all series of the name together.
    pub fn of(page: &str, name: &str) -> Self {
        let mut up_to: BTreeMap<u64, u64> = BTreeMap::new();
        for line in page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix("_bucket{")) {
            let bound = line.split("le=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a bound");
            let count: f64 = line.rsplit(' ').next().and_then(|text| text.parse().ok()).expect("a count");
            let bound =
                if bound == "+Inf" { u64::MAX } else { (bound.parse::<f64>().expect("a bound") * 1000.0) as u64 };
            *up_to.entry(bound).or_default() += count as u64;
        }
        let mut below = 0;
        Self(up_to.into_iter().map(|(bound, count)| (bound, count - std::mem::replace(&mut below, count))).collect())
    }

    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        other.0.iter().for_each(|(bound, count)| *sum.0.entry(*bound).or_default() += count);
        sum
    }

    /// What it counts more than an earlier one of the same process.
    pub fn minus(&self, earlier: &Self) -> Self {
        Self(self.0.iter().map(|(bound, count)| (*bound, count - earlier.0.get(bound).unwrap_or(&0))).collect())
    }

    /// Between which two bounds the value lies that so many of a hundred do not exceed.
    pub fn quantile(&self, percent: f64) -> String {
        let wanted = (self.count() as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let (mut below, mut lower) = (0, 0);
        for (&bound, &count) in &self.0 {
            below += count;
            if below >= wanted && count > 0 {
                let seconds = |ms: u64| ms as f64 / 1000.0;
                return match bound {
                    u64::MAX => format!("over {}", seconds(lower)),
                    _ => format!("{} to {}", seconds(lower), seconds(bound)),
                };
            }
            lower = bound;
        }
        "-".into()
    }

    /// Percent of them that are at or below a bound of the buckets.
    pub fn within(&self, ms: u64) -> f64 {
        assert!(self.0.contains_key(&ms), "{ms} is a bound");
        let within: u64 = self.0.range(..=ms).map(|(_, count)| count).sum();
        100.0 * within as f64 / self.count().max(1) as f64
    }
}

/// What is claimed of a row: no later than that.
pub const SOON: Duration = Duration::from_secs(5);
/// So many probes in a row are soon again where all is well again: four of each table.
const WELL: usize = 16;

/// Times in which somebody was dead, or what had waited meanwhile was not in yet.
pub struct Windows(pub Vec<(Instant, Instant)>);

impl Windows {
    /// From each kill until rows that are committed after it come soon again.
    pub fn of(kills: &[(Instant, Instant)], probes: &[Seen]) -> Self {
        let is_soon = |probe: &Seen| probe.late().is_some_and(|late| late <= SOON);
        let end = |back: Instant| {
            let after = probes.iter().position(|probe| probe.committed >= back).unwrap_or(probes.len());
            let well = probes[after..].windows(WELL).find(|probes| probes.iter().all(is_soon));
            // Of what never was, or the load was over before: the last that was seen.
            let end = well.map_or_else(|| probes.iter().filter_map(|probe| probe.seen).max(), |probes| probes[0].seen);
            end.unwrap_or(back).max(back)
        };
        Self(kills.iter().map(|(killed, back)| (*killed, end(*back))).collect())
    }

    /// Whether any of them has a moment of this time.
    pub fn holds(&self, from: Instant, to: Instant) -> bool {
        self.0.iter().any(|(begin, end)| from <= *end && to >= *begin)
    }

    pub fn time(&self) -> Duration {
        self.0.iter().map(|(begin, end)| *end - *begin).sum()
    }
}

/// Of sorted times, the one that so many of a hundred do not exceed.
pub fn quantile(sorted: &[Duration], percent: f64) -> Duration {
    let wanted = (sorted.len() as f64 * percent / 100.0).ceil().max(1.0) as usize;
    sorted.get(wanted - 1).copied().unwrap_or_default()
}

#[test]
fn quantiles_are_those_of_the_numbers() {
    let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
    assert_eq!([50.0, 99.0, 100.0].map(|p| quantile(&times, p).as_millis()), [100, 198, 200]);
    assert_eq!(quantile(&times[..1], 99.0).as_millis(), 1);
    let page =
        "a_bucket{le=\"0.5\"} 90\na_bucket{le=\"5\"} 99\na_bucket{le=\"+Inf\"} 100\na_sum 1\nab_bucket{le=\"5\"} 7\n";
    let histogram = Histogram::of(page, "a");
    assert_eq!((histogram.count(), histogram.within(500), histogram.within(5000)), (100, 90.0, 99.0));
    assert_eq!(
        [50.0, 91.0, 99.0, 100.0].map(|p| histogram.quantile(p)),
        ["0 to 0.5", "0.5 to 5", "0.5 to 5", "over 5"]
    );
    assert_eq!(histogram.plus(&histogram).minus(&histogram), histogram);
}
