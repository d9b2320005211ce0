//! Several instances of one application: what they do together, beside one.

use crate::Setting;
use crate::contestant::{Contestant, Job};
use crate::drain::{Run, Turns};
use crate::report::{median, table};
use crate::{machine, topic};

use super::SOURCE;

const HEADING: &str = "Two and four instances";

pub fn run(setting: &Setting) {
    let broker = &setting.broker;
    broker.create_topic(SOURCE, setting.partitions, &[]);
    let truth = topic::load(broker, SOURCE, &setting.workload);
    let turns = Turns { broker, rounds: 1, right: truth.accepted };
    let sizes = [1, 2, 4];
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); sizes.len()];
    for round in 1..=setting.rounds {
        for (runs, instances) in runs.iter_mut().zip(sizes) {
            let jobs = |attempt| {
                let job = Job::new(setting, SOURCE, format!("instances-{instances}-{round}-{attempt}"));
                (0..instances).map(|instance| Job { instance, ..job.clone() }).collect()
            };
            runs.push(turns.valid(Contestant::Highwater, jobs));
        }
    }
    let of = |runs: &Vec<Run>, figure: fn(&Run) -> f64| median(runs.iter().map(figure));
    let one = of(&runs[0], |run| run.seconds);
    let rows = sizes.iter().zip(&runs).map(|(instances, runs)| {
        let seconds = of(runs, |run| run.seconds);
        vec![
            instances.to_string(),
            format!("{:.0}", truth.records as f64 / seconds),
            format!("{:.2}", one / seconds),
            format!("{:.2}", of(runs, |run| run.cpu) * 1e6 / truth.records as f64),
            format!("{:.0}", of(runs, |run| run.megabytes)),
        ]
    });
    let heads = [
        "instances",
        "records/s together",
        "throughput of one",
        "CPU µs a record together",
        "peak resident MB together",
    ];
    let text = format!(
        "Started at the same moment; the broker has the same {} cores to itself and them. {}\n\n{}",
        machine::cores(),
        setting.loaded(&truth),
        table(&heads, &rows.collect::<Vec<_>>())
    );
    setting.write(HEADING, &text);
}
