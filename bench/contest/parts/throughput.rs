//! The whole job: throughput, CPU, memory.

use std::fmt::Write as _;

use crate::Setting;
use crate::contestant::{Contestant, Job};
use crate::drain::{Run, Turns};
use crate::limit::Kind;
use crate::report::{median, plot, table};
use crate::topic;

use super::SOURCE;

const HEADING: &str = "The whole job";

struct Medians {
    contestant: Contestant,
    seconds: f64,
    cpu: f64,
    broker: f64,
    megabytes: f64,
}

pub fn run(setting: &Setting) {
    setting.broker.create_topic(SOURCE, setting.partitions, &[]);
    let truth = topic::load(&setting.broker, SOURCE, &setting.workload);
    println!("{}\n", setting.loaded(&truth));
    let job = |name: String| Job::new(setting, SOURCE, name);
    let turns = Turns { broker: &setting.broker, rounds: setting.rounds, right: truth.accepted };
    // The broker's first drain compiles its code: nobody's figure.
    turns.attempt(Contestant::Limit(Kind::Ideal), &[job("warming".into())]);
    let contestants = setting.contestants(&Contestant::ALL);
    let runs = turns.run(&contestants, job);
    let records = truth.records as f64;
    let medians: Vec<Medians> = contestants
        .iter()
        .zip(&runs)
        .map(|(contestant, runs)| {
            let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure));
            Medians {
                contestant: *contestant,
                seconds: of(|run| run.seconds),
                cpu: of(|run| run.cpu) * 1e6 / records,
                broker: of(|run| run.broker_cpu) * 1e6 / records,
                megabytes: of(|run| run.megabytes),
            }
        })
        .collect();
    let void = runs.iter().flatten().filter(|run| run.is_void()).count();
    let mut text = format!("{}\n\n", setting.loaded(&truth));
    let rows: Vec<Vec<String>> = medians.iter().map(|one| row(one, records)).collect();
    let heads =
        ["contestant", "records/s", "wall s", "CPU µs a record", "broker's CPU µs a record", "peak resident MB"];
    let _ = writeln!(text, "{}", table(&heads, &rows));
    text.push_str(&ratios(&medians));
    let bars: Vec<(&str, f64)> = medians.iter().map(|one| (one.contestant.word(), one.cpu)).collect();
    let _ = writeln!(text, "\n{}", plot("CPU a record", "µs", &bars));
    let _ = writeln!(text, "{}", spread(&contestants, &runs));
    if void > 0 {
        let _ = writeln!(text, "Of these runs {void} are void: others were busy at each attempt.");
    }
    setting.write(HEADING, &text);
}

fn row(one: &Medians, records: f64) -> Vec<String> {
    let cells = [
        format!("{:.0}", records / one.seconds),
        format!("{:.2}", one.seconds),
        format!("{:.2}", one.cpu),
        format!("{:.2}", one.broker),
        format!("{:.0}", one.megabytes),
    ];
    std::iter::once(one.contestant.title().to_owned()).chain(cells).collect()
}

/// Highwater beside each other one.
fn ratios(medians: &[Medians]) -> String {
    let Some(own) = medians.iter().find(|one| one.contestant == Contestant::Highwater) else { return String::new() };
    let others = medians.iter().filter(|one| one.contestant != Contestant::Highwater);
    let rows: Vec<Vec<String>> = others
        .map(|other| {
            vec![
                format!("Highwater / {}", other.contestant.word()),
                format!("{:.2}", other.seconds / own.seconds),
                format!("{:.2}", own.cpu / other.cpu),
                format!("{:.2}", (own.cpu + own.broker) / (other.cpu + other.broker)),
                format!("{:.2}", own.megabytes / other.megabytes),
            ]
        })
        .collect();
    table(&["ratio", "throughput", "CPU", "CPU with the broker's", "memory"], &rows)
}

/// Every run, as seconds and CPU seconds.
fn spread(contestants: &[Contestant], runs: &[Vec<Run>]) -> String {
    let one = |run: &Run| format!("{:.2} ({:.2})", run.seconds, run.cpu);
    let lines = contestants.iter().zip(runs).map(|(contestant, runs)| {
        format!("{} {}", contestant.word(), runs.iter().map(one).collect::<Vec<_>>().join(", "))
    });
    format!("Wall seconds (CPU seconds) of each round: {}.\n", lines.collect::<Vec<_>>().join("; "))
}
