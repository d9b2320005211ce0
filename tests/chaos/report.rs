//! What happened, in numbers, and as a page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use highwater::telemetry::thousands;

use crate::plan::Blow;
use crate::support::changes::Differences;

#[derive(Debug, Default)]
pub struct Tally {
    pub blows: BTreeMap<Blow, u64>,
    /// SIGKILLs of instances by the state in which the coordinator found their transaction afterwards.
    pub kills: BTreeMap<String, u64>,
    /// The same of coordinators that were killed: transactions that were open there.
    pub coordinators: u64,
    /// Instances that were stopped, or cut off, in an open transaction until it was aborted and they were thrown out.
    pub stalled: u64,
    /// Stopped in an open transaction until the group had given their partitions away, and woken while it was still open.
    pub dozed: u64,
    pub silenced: u64,
    /// Record batches of theirs that the log took after they came back.
    pub zombie_batches: u64,
    /// Of theirs before that: what they had written when they were stopped.
    pub batches_before: u64,
    pub full_disks: u64,
    pub no_disk: bool,
    /// Stops that ended while the coordinator was away.
    pub given_up: u64,
    pub rounds: u64,
    pub changes: u64,
    pub source_records: u64,
    pub replayed: u64,
    pub rows: u64,
    pub rows_thrown_away: u64,
    pub committed: u64,
    pub aborted: u64,
    pub rejoins: u64,
    pub unknown: u64,
    pub restores: u64,
    pub differences: Differences,
    pub time: Duration,
}

/// Begun and not ended when the process died.
pub const OPEN: &str = "Ongoing";

impl Tally {
    pub fn kills_inside(&self) -> u64 {
        self.kills.get(OPEN).copied().unwrap_or_default()
    }

    /// Its end was asked for, and not yet in every partition.
    pub fn kills_ending(&self) -> u64 {
        let of = |state: &str| self.kills.get(state).copied().unwrap_or_default();
        of("PrepareCommit") + of("PrepareAbort")
    }

    pub fn all_kills(&self) -> u64 {
        self.kills.values().sum()
    }

    pub fn line(&self) -> String {
        format!(
            "{} blows, {} kills ({} in an open transaction, {} in one that ended), {} zombies",
            self.blows.values().sum::<u64>(),
            self.all_kills(),
            self.kills_inside(),
            self.kills_ending(),
            self.stalled + self.dozed + self.silenced,
        )
    }

    pub fn page(&self, seed: u64, minutes: u64, failure: Option<&str>) -> String {
        let mut page = String::new();
        let mut line = |text: &str| {
            page.push_str(text);
            page.push('\n');
        };
        line("# Chaos on a real Kafka cluster\n");
        line(
            "Three brokers (Kafka 4.3.1, replication 3, min.insync.replicas 2, also for offsets and transactions), three to",
        );
        line(
            "five instances of Highwater, eight source partitions, changes all the time, and blows that follow from one seed:",
        );
        line(&match minutes {
            0 => format!("once each, seed {seed}.\n"),
            minutes => format!("`make chaos MINUTES={minutes} SEED={seed}`.\n"),
        });
        line(match failure {
            None => "Nothing was lost, nothing repeated, nothing reordered.",
            Some(_) => "**It failed:**\n",
        });
        for text in failure.into_iter().flat_map(str::lines) {
            line(&format!("    {text}"));
        }
        line("");
        let table = |title: &str, rows: &[(String, String)]| {
            let mut text = format!("| {title} | |\n|---|---:|\n");
            for (name, value) in rows {
                let _ = writeln!(text, "| {name} | {value} |");
            }
            text
        };
        let row = |name: &str, value: u64| (name.to_owned(), thousands(value));
        let d = &self.differences;
        line(&table(
            "What came out",
            &[
                row("changes lost", d.lost),
                row("changes repeated", d.repeated),
                row("rows that no change demands", d.foreign),
                row("keys whose rows came in another order", d.reordered),
                row("record batches that zombies wrote after they came back", self.zombie_batches),
                row("records checked, replays included", self.source_records + self.replayed),
                row("of them fed under fire", self.changes),
                row("of them replayed at the end of rounds, with stores kept and with stores restored", self.replayed),
                row("rows compared with what the source demands, value by value", self.rows),
            ],
        ));
        line(&table("What was done", &self.blows.iter().map(|(b, n)| row(b.name(), *n)).collect::<Vec<_>>()));
        line(&table(
            "What it met",
            &[
                row("instances killed (SIGKILL)", self.all_kills()),
                row("of them in an open transaction (the coordinator still had it as Ongoing)", self.kills_inside()),
                row("of them while a transaction ended (PrepareCommit, PrepareAbort)", self.kills_ending()),
                row("coordinators killed with an open transaction", self.coordinators),
                row("zombies: stalled in an open transaction past both timeouts", self.stalled),
                row(
                    "zombies: stalled in an open transaction that was still open when their partitions were others'",
                    self.dozed,
                ),
                row("zombies: cut off in an open transaction past both timeouts", self.silenced),
                row("record batches that the zombies had written before", self.batches_before),
                row("full disks", self.full_disks),
                row("clean stops that gave up while no coordinator answered", self.given_up),
                row("transactions committed", self.committed),
                row("transactions aborted, at least (the most that one partition shows, by producer)", self.aborted),
                row("rows in aborted transactions, which no reader of committed records sees", self.rows_thrown_away),
                row("transactions aborted by Highwater because the group had moved on", self.rejoins),
                row("transactions of unknown outcome", self.unknown),
                row("stores restored from their changelogs", self.restores),
                row("rounds, each with topics of its own", self.rounds),
                ("time".to_owned(), format!("{} min {} s", self.time.as_secs() / 60, self.time.as_secs() % 60)),
            ],
        ));
        if self.no_disk {
            line("No disk was filled: mounting a small one was not allowed.\n");
        }
        let kills: Vec<String> = self.kills.iter().map(|(state, count)| format!("{state} {count}")).collect();
        line(&format!(
            "Killed instances by the state of their transaction at its coordinator, asked after they were dead: {}.",
            kills.join(", ")
        ));
        page
    }
}
