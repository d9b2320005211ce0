//! How the demonstration looks: colours on a terminal, plain text in a pipe.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::audit::{Audit, Line};
use super::leaks::Outcome;
use crate::cli::pair;
use crate::cli::validate::colours;

/// Rows shown before and after.
const PAIRS: usize = 2;
const COLUMNS: [&str; 8] = ["id", "email", "phone", "full_name", "birth_date", "country", "cdc_lsn", "_deleted"];

pub struct Teller {
    colours: bool,
}

impl Teller {
    pub fn new() -> Self {
        Self { colours: colours(&std::io::stdout()) }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    pub fn title(&self, name: &str, what: &str) {
        println!("{}: {what}", self.paint("1", name));
    }

    pub fn done(&self, text: &str) {
        println!("{} {text}", self.paint("32", "✓"));
    }

    pub fn note(&self, text: &str) {
        println!("  {}", self.paint("2", text));
    }

    pub fn table(&self, audit: &Audit) {
        type Column = (&'static str, fn(&Line) -> usize);
        let columns: [Column; 6] = [
            ("records", |l| l.records),
            ("changes", |l| l.changes),
            ("rows", |l| l.rows),
            ("stale", |l| l.stale),
            ("skipped", |l| l.skipped),
            ("dead letters", |l| l.dead_letters),
        ];
        let heads: String = columns.iter().map(|(name, _)| format!("{name:>14}")).collect();
        println!("\n  {}", self.paint("1", &format!("{:<10}{heads}", "stream")));
        for line in &audit.lines {
            let numbers: String = columns.iter().map(|(_, of)| format!("{:>14}", of(line))).collect();
            println!("  {:<10}{numbers}", line.stream);
        }
        let sums: String = columns.iter().map(|(_, of)| format!("{:>14}", audit.total(of))).collect();
        println!("  {}\n", self.paint("1", &format!("{:<10}{sums}", "all")));
    }

    /// A few rows that had something to hide.
    pub fn pairs(&self, audit: &Audit) {
        let pick = |row: &Value| {
            let columns = COLUMNS.iter().filter_map(|name| Some((name.to_string(), row.get(*name)?.to_string())));
            columns.collect::<pair::Columns>()
        };
        let told = |row: &Value, name: &str| row.get(name).is_some_and(|value| !value.is_null());
        let telling = audit.pairs.iter().filter(|pair| told(&pair.before, "email") && told(&pair.before, "phone"));
        for told in telling.take(PAIRS) {
            let lines = pair::lines(&pick(&told.before), &pick(&told.after), self.colours);
            lines.iter().for_each(|line| println!("  {line}"));
        }
        if let Some(letter) = audit.letters.last() {
            println!(
                "  a dead letter names its record and holds none of it:\n  {}",
                self.paint("2", &letter.to_string())
            );
        }
        println!();
    }

    /// What was verified. False where something is not as promised.
    pub fn verdict(&self, audit: &Audit, search: &Outcome) -> bool {
        let (missing, surplus) = (audit.total(|l| l.missing), audit.total(|l| l.surplus));
        let letters = audit.total(|l| l.dead_letters);
        let accepted = format!(
            "{} changes accepted, each exactly once: {missing} missing, {surplus} too many; {} stale dropped, {letters} dead \
             letter{}",
            audit.total(|l| l.changes),
            audit.total(|l| l.stale),
            if letters == 1 { "" } else { "s" },
        );
        let searched = format!(
            "{} bytes in {} places outside the source topics searched for every personal value: {} of {} found",
            search.bytes, search.places, search.leaked, search.values
        );
        let sound = missing + surplus == 0 && letters == audit.letters.len();
        for (good, text) in [(sound, accepted), (search.found.is_empty(), searched)] {
            let mark = if good { self.paint("32", "✓") } else { self.paint("31", "✗") };
            println!("{mark} {}", self.paint("1", &text));
        }
        search.found.iter().for_each(|place| self.note(place));
        sound && search.found.is_empty()
    }

    pub fn end(&self, took: Duration, log: Option<&Path>) {
        println!("\n{:.1} s in all. Once more, and it goes on from here.", took.as_secs_f64());
        if let Some(state) = log {
            self.note(&format!(
                "look inside: highwater consume brew.analytics.customers --embedded={}/log",
                state.display()
            ));
        }
    }
}
