//! What one stream did in one transaction: plain integers, added to the metrics once the transaction is committed.

/// Counts by name. Few names, so a list is faster than a map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    pub fn add(&mut self, name: &'static str, n: u64) {
        if n == 0 {
            return;
        }
        // Names are literals: nearly always the very same one, and comparing addresses is enough.
        match self.0.iter_mut().find(|(known, _)| std::ptr::eq(*known, name)) {
            Some((_, count)) => *count += n,
            None => self.add_by_text(name, n),
        }
    }

    #[cold]
    fn add_by_text(&mut self, name: &'static str, n: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += n,
            None => self.0.push((name, n)),
        }
    }

    pub fn get(&self, name: &str) -> u64 {
        self.0.iter().find(|(known, _)| *known == name).map_or(0, |(_, n)| *n)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().copied().filter(|(_, n)| *n > 0)
    }

    fn clear(&mut self) {
        // The names stay: the next transaction will count the same ones.
        self.0.iter_mut().for_each(|(_, n)| *n = 0);
    }
}

/// A stream's work in the open transaction. Of an aborted transaction it is cleared and nothing was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub records_in: u64,
    pub records_out: u64,
    /// By reason: `names::STALE`, `names::REPLAYED`.
    pub dropped: Counts,
    /// By kind: tombstone, truncate, message, filtered, bad_record.
    pub skipped: Counts,
    /// By reason of the bad record.
    pub dead_letters: Counts,
    /// By rule.
    pub masked: Counts,
    /// By reason.
    pub epochs: Counts,
    /// Source times of what leaves, in milliseconds since 1970, each with the number of changes. The changes of a
    /// source transaction share one time, so runs are long.
    source_times: Vec<(i64, u32)>,
}

impl Tally {
    /// A change that leaves was committed in the source at this time.
    pub fn source_time(&mut self, ts_us: i64) {
        let ms = ts_us.div_euclid(1000);
        match self.source_times.last_mut() {
            Some((last, n)) if *last == ms && *n < u32::MAX => *n += 1,
            _ => self.source_times.push((ms, 1)),
        }
    }

    /// Milliseconds since 1970, and how many changes.
    pub fn source_times(&self) -> &[(i64, u32)] {
        &self.source_times
    }

    /// Ready for the next transaction; keeps its memory.
    pub fn clear(&mut self) {
        let Self { records_in, records_out, dropped, skipped, dead_letters, masked, epochs, source_times } = self;
        (*records_in, *records_out) = (0, 0);
        [dropped, skipped, dead_letters, masked, epochs].into_iter().for_each(Counts::clear);
        source_times.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_by_name_and_not_by_address() {
        let mut counts = Counts::default();
        let elsewhere: &'static str = String::from("stale").leak();
        for (name, n) in [("stale", 2), ("replayed", 1), (elsewhere, 3), ("never", 0)] {
            counts.add(name, n);
        }
        assert_eq!(counts.iter().collect::<Vec<_>>(), [("stale", 5), ("replayed", 1)]);
        assert_eq!((counts.get("stale"), counts.get("never")), (5, 0));
    }

    #[test]
    fn source_times_are_kept_in_runs() {
        let mut tally = Tally::default();
        for us in [5_000, 5_999, 6_000, 5_000, -1] {
            tally.source_time(us);
        }
        assert_eq!(tally.source_times(), [(5, 2), (6, 1), (5, 1), (-1, 1)]);
    }

    #[test]
    fn a_cleared_tally_counts_nothing() {
        let mut tally = Tally { records_in: 1, records_out: 2, ..Tally::default() };
        for counts in
            [&mut tally.dropped, &mut tally.skipped, &mut tally.dead_letters, &mut tally.masked, &mut tally.epochs]
        {
            counts.add("x", 4);
        }
        tally.source_time(1);
        tally.clear();
        assert_eq!((tally.records_in, tally.records_out, tally.source_times().len()), (0, 0, 0));
        let all = [&tally.dropped, &tally.skipped, &tally.dead_letters, &tally.masked, &tally.epochs];
        assert!(all.iter().all(|c| c.iter().next().is_none() && c.get("x") == 0));
    }
}
