//! What the run did, read from its own metrics.

use std::collections::BTreeMap;

use crate::topology::Topology;

/// Counters by (name without prefix and suffix, stream).
pub struct Account(BTreeMap<(String, String), u64>);

impl Account {
    /// From the text exposition. Labels other than the stream are summed over.
    pub fn of(text: &str) -> Self {
        let mut sums = BTreeMap::new();
        for line in text.lines().filter(|l| l.starts_with("highwater_")) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let Some(name) = name.strip_prefix("highwater_").and_then(|n| n.strip_suffix("_total")) else { continue };
            let label = |wanted: &str| {
                let found = labels.trim_end_matches('}').split(',').find_map(|l| l.strip_prefix(wanted));
                found.map(|v| v.trim_matches('"').to_string())
            };
            let mut name = name.to_string();
            if let Some(outcome) = label("outcome=") {
                name = format!("{name}_{outcome}");
            }
            let value: f64 = value.parse().unwrap_or(0.0);
            *sums.entry((name, label("stream=").unwrap_or_default())).or_insert(0) += value as u64;
        }
        Self(sums)
    }

    pub fn total(&self, name: &str) -> u64 {
        self.0.iter().filter(|((n, _), _)| n == name).map(|(_, v)| v).sum()
    }

    fn of_stream(&self, name: &str, stream: &str) -> u64 {
        self.0.get(&(name.to_string(), stream.to_string())).copied().unwrap_or(0)
    }

    pub fn print(&self, topology: &Topology) {
        let columns = ["read", "written", "stale", "skipped", "dead-lettered"];
        let counters = ["records_in", "records_out", "dedup_dropped", "records_skipped", "dead_letters"];
        println!("\n{:<12}{}", "stream", columns.map(|c| format!("{c:>15}")).concat());
        for stream in &topology.streams {
            let cells = counters.map(|c| format!("{:>15}", self.of_stream(c, &stream.name)));
            println!("{:<12}{}", stream.name, cells.concat());
        }
        println!("{:<12}{}", "total", counters.map(|c| format!("{:>15}", self.total(c))).concat());
        let (committed, aborted) = (self.total("transactions_committed"), self.total("transactions_aborted"));
        println!("\ntransactions: {committed} committed, {aborted} aborted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_by_stream() {
        let account = Account::of(
            "# HELP highwater_x_total x\nhighwater_x_total{reason=\"a\",stream=\"s\"} 2\n\
             highwater_x_total{reason=\"b\",stream=\"s\"} 3\nhighwater_x_total{reason=\"a\",stream=\"t\"} 4\n\
             highwater_transactions_total{outcome=\"committed\"} 7\nhighwater_lag{stream=\"s\"} 9\n",
        );
        assert_eq!((account.of_stream("x", "s"), account.total("x")), (5, 9));
        assert_eq!((account.total("transactions_committed"), account.total("lag")), (7, 0));
    }
}
