//! What a run has written, while it runs and at its end.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::telemetry::thousands;

use super::plan::{Op, Step, TABLES};

/// Changes by table and kind.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally {
    pub transactions: u64,
    tables: [[u64; 3]; TABLES.len()],
}

impl Tally {
    pub fn add(&mut self, steps: &[Step]) {
        self.transactions += 1;
        steps.iter().for_each(|step| self.tables[step.table as usize][step.op as usize] += 1);
    }

    pub fn changes(&self) -> u64 {
        self.tables.iter().flatten().sum()
    }

    fn of(&self, op: Op) -> u64 {
        self.tables.iter().map(|ops| ops[op as usize]).sum()
    }
}

/// A run, told.
pub struct Report<'a> {
    pub tally: &'a Tally,
    pub database: &'a str,
    pub seed: u64,
    /// How many changes the seed has in all.
    pub total: u64,
    pub took: Duration,
}

impl Report<'_> {
    pub fn text(&self) -> String {
        let (tally, changes) = (self.tally, self.tally.changes());
        let mut text = format!(
            "{} written to {} in {:.1} s, {}\n\n  {:<12}{:>12}{:>12}{:>12}\n",
            counted(changes, "change"),
            self.database,
            self.took.as_secs_f64(),
            counted(tally.transactions, "transaction"),
            "table",
            "inserts",
            "updates",
            "deletes"
        );
        let mut line = |name: &str, ops: [u64; 3]| {
            let [inserts, updates, deletes] = ops.map(thousands);
            text += &format!("  {name:<12}{inserts:>12}{updates:>12}{deletes:>12}\n");
        };
        TABLES.iter().for_each(|table| line(table.name(), tally.tables[*table as usize]));
        line("all", [Op::Insert, Op::Update, Op::Delete].map(|op| tally.of(op)));
        text + &format!(
            "\nseed {} has {} in all; once more, and it goes on from here\n",
            self.seed,
            counted(self.total, "change")
        )
    }

    pub fn json(&self) -> String {
        let ops = |[inserts, updates, deletes]: [u64; 3]| json!({ "inserts": inserts, "updates": updates, "deletes": deletes });
        let tables: serde_json::Map<_, _> =
            TABLES.iter().map(|table| (table.name().to_owned(), ops(self.tally.tables[*table as usize]))).collect();
        let report = json!({
            "database": self.database,
            "seed": self.seed,
            "changes": self.tally.changes(),
            "changes_in_all": self.total,
            "transactions": self.tally.transactions,
            "seconds": self.took.as_secs_f64(),
            "tables": tables,
        });
        format!("{report:#}\n")
    }
}

/// `1 change`, `1,234 changes`.
pub fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// How far a run is: one line on a terminal, written over and over; nothing in a pipe.
pub struct Progress {
    is_seen: bool,
    begun: Instant,
    last: Option<Instant>,
}

const EVERY: Duration = Duration::from_millis(200);

impl Progress {
    pub fn on_a_terminal() -> Self {
        Self { is_seen: std::io::stderr().is_terminal(), begun: Instant::now(), last: None }
    }

    /// `left` is what is still to be written, where that is known.
    pub fn show(&mut self, written: u64, left: Option<u64>) {
        if !self.is_seen || self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        self.last = Some(Instant::now());
        // Decoration: nothing is lost with it.
        let _ = write!(std::io::stderr(), "\r\x1b[K{}", line(written, left, self.begun.elapsed()));
    }
}

fn line(written: u64, left: Option<u64>, took: Duration) -> String {
    let rate = written as f64 / took.as_secs_f64().max(0.001);
    let left = left.map(|left| format!(", {} to go: {:.0} s", thousands(left), left as f64 / rate.max(0.001)));
    format!("{}, {} a second{}", counted(written, "change"), thousands(rate as u64), left.unwrap_or_default())
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_seen && self.last.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Table;
    use super::*;

    #[test]
    fn a_report_counts_what_was_written() {
        let step = |table, op| Step { number: 0, table, op, row: 1, customer: None };
        let mut tally = Tally::default();
        tally.add(&[step(Table::Customers, Op::Insert), step(Table::Orders, Op::Insert)]);
        tally.add(&[step(Table::Orders, Op::Update), step(Table::Orders, Op::Delete), step(Table::Orders, Op::Update)]);
        let report =
            Report { tally: &tally, database: "brew on h:1", seed: 7, total: 1205, took: Duration::from_millis(1500) };
        assert_eq!(
            report.text(),
            "5 changes written to brew on h:1 in 1.5 s, 2 transactions\n\n\
             \x20 table            inserts     updates     deletes\n\
             \x20 customers              1           0           0\n\
             \x20 orders                 1           2           1\n\
             \x20 events                 0           0           0\n\
             \x20 visits                 0           0           0\n\
             \x20 all                    2           2           1\n\n\
             seed 7 has 1,205 changes in all; once more, and it goes on from here\n"
        );
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["tables"]["orders"], json!({ "inserts": 1, "updates": 2, "deletes": 1 }));
        assert_eq!((&json["changes"], &json["changes_in_all"]), (&json!(5), &json!(1205)));
    }

    #[test]
    fn progress_tells_what_is_left() {
        let two = Duration::from_secs(2);
        assert_eq!(line(2000, Some(3000), two), "2,000 changes, 1,000 a second, 3,000 to go: 3 s");
        assert_eq!(line(1, None, two), "1 change, 0 a second");
    }
}
