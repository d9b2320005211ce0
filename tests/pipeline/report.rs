//! What a soak came to, as a page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::latency::{Histogram, SOON, Windows, quantile};
use crate::probe::Seen;
use crate::soak::Victim;
use crate::truth::Counts;

pub struct Kill {
    pub victim: Victim,
    pub killed: Instant,
    /// Started again; of ClickHouse, when it answered.
    pub back: Instant,
}

pub struct Report<'a> {
    pub seed: u64,
    pub minutes: u64,
    pub rate: u64,
    pub changes: u64,
    pub loaded_for: Duration,
    /// From the end of the load until everything was in.
    pub drained: Duration,
    pub begun: Instant,
    pub counts: Counts,
    pub kills: &'a [Kill],
    pub windows: &'a Windows,
    pub probes: &'a [Seen],
    pub all: Histogram,
    pub quiet: Histogram,
    pub cpu: &'a BTreeMap<&'static str, f64>,
}

fn seconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}

impl Report<'_> {
    pub fn page(&self) -> String {
        let Self { seed, minutes, rate, changes, counts, .. } = self;
        let mut page = format!(
            "# Soak of the whole pipeline\n\n\
             Postgres → Debezium → Kafka → Highwater → ClickHouse, {minutes} minutes at {rate} changes a second, seed {seed}: \
             `make soak MINUTES={minutes} RATE={rate} SEED={seed}`.\n\n\
             | | |\n|---|---|\n"
        );
        let held = *changes as f64 / self.loaded_for.as_secs_f64();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        for (what, value) in [
            ("cores of the machine", cores.to_string()),
            ("changes committed in Postgres", changes.to_string()),
            ("changes a second that were held", format!("{held:.0}")),
            ("from the end of the load until all was in", format!("{} s", seconds(self.drained))),
            ("changes that Debezium delivered, replays among them", format!("{}, {}", counts.delivered, counts.stale)),
            ("rows inserted into ClickHouse", counts.inserted.to_string()),
            ("**lost**", format!("**{}**", counts.lost)),
            ("**doubled**", format!("**{}**", counts.doubled)),
        ] {
            let _ = writeln!(page, "| {what} | {value} |");
        }
        page += "\n## Seconds from commit in Postgres to visible in ClickHouse\n\n\
                 | measured by | | count | p50 | p99 | max | within 5 s |\n|---|---|---:|---:|---:|---:|---:|\n";
        let outside = |probe: &&Seen| !self.windows.holds(probe.committed, probe.seen.unwrap_or(probe.committed));
        let sorted = |which: &dyn Fn(&&Seen) -> bool| {
            let mut times: Vec<Duration> = self.probes.iter().filter(which).filter_map(Seen::late).collect();
            times.sort_unstable();
            times
        };
        for (what, times) in [("outside of recovery", sorted(&outside)), ("all", sorted(&|_| true))] {
            let within = times.iter().filter(|time| **time <= SOON).count();
            let [p50, p99, most] = [50.0, 99.0, 100.0].map(|percent| seconds(quantile(&times, percent)));
            let percent = 100.0 * within as f64 / times.len().max(1) as f64;
            let _ =
                writeln!(page, "| probe rows | {what} | {} | {p50} | {p99} | {most} | {percent:.2} % |", times.len());
        }
        for (what, histogram) in [("outside of recovery", &self.quiet), ("all", &self.all)] {
            let [p50, p99, most] = [50.0, 99.0, 100.0].map(|percent| histogram.quantile(percent));
            let within = histogram.within(5000);
            let _ = writeln!(
                page,
                "| its own histogram | {what} | {} | {p50} | {p99} | {most} | {within:.2} % |",
                histogram.count()
            );
        }
        page += "\nA probe row is written every 250 ms, into each table in turn, and looked for every 50 ms; its time begins before its commit. The histogram \
                 (`highwater_sink_end_to_end_seconds`) knows its buckets only, and loses what a life counted in the second before its \
                 kill. Recovery: from a kill until 16 probes in a row are visible within 5 s again.\n\n\
                 ## Kills\n\n| after, s | who | dead for, s | recovered after, s |\n|---:|---|---:|---:|\n";
        for (kill, (begin, end)) in self.kills.iter().zip(&self.windows.0) {
            let _ = writeln!(
                page,
                "| {} | {:?} | {} | {} |",
                seconds(kill.killed - self.begun),
                kill.victim,
                seconds(kill.back - kill.killed),
                seconds(*end - *begin)
            );
        }
        let _ =
            writeln!(page, "\n{} s of {} s were recovery.\n", seconds(self.windows.time()), seconds(self.loaded_for));
        page += "## CPU\n\n| | seconds | of one core |\n|---|---:|---:|\n";
        let mut cpu: Vec<_> = self.cpu.iter().collect();
        cpu.sort_by(|a, b| b.1.total_cmp(a.1));
        for (name, taken) in cpu {
            let _ = writeln!(page, "| {name} | {taken:.1} | {:.0} % |", 100.0 * taken / self.loaded_for.as_secs_f64());
        }
        page
    }
}
