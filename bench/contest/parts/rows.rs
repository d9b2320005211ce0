//! Rows of many columns, and of many bytes; rules beyond `hash`.

use crate::Setting;
use crate::contestant::{Contestant, Job};
use crate::drain::{Run, Turns, drain};
use crate::limit::Kind;
use crate::report::{median, table};
use crate::workload::{Wide, Workload};
use crate::{machine, topic};

const HEADING: &str = "Wide rows";

struct Shape {
    title: &'static str,
    wide: Wide,
    /// A share of the usual number of records.
    one_in: u64,
}

const SHAPES: [Shape; 3] = [
    Shape { title: "16 columns", wide: Wide { columns: 0, masked: 0, width: 0 }, one_in: 1 },
    Shape { title: "200 columns, 20 more masked", wide: Wide { columns: 184, masked: 20, width: 24 }, one_in: 10 },
    Shape { title: "100 kB, 20 more masked", wide: Wide { columns: 100, masked: 20, width: 1000 }, one_in: 50 },
];

pub fn run(setting: &Setting) {
    let mut rows = Vec::new();
    for (number, shape) in SHAPES.iter().enumerate() {
        let source = format!("rows-{number}");
        let workload =
            Workload { wide: shape.wide, records: setting.workload.records / shape.one_in, ..setting.workload };
        setting.broker.create_topic(&source, setting.partitions, &[]);
        let truth = topic::load(&setting.broker, &source, &workload);
        let turns = Turns { broker: &setting.broker, rounds: setting.rounds, right: truth.accepted };
        let job = |name| Job { masked: shape.wide.masked, ..Job::new(setting, &source, format!("{name}-{number}")) };
        let contestants = setting.contestants(&[Contestant::Highwater, Contestant::Limit(Kind::Ideal)]);
        let mut all: Vec<(String, Vec<Run>)> = turns
            .run(&contestants, job)
            .into_iter()
            .zip(&contestants)
            .map(|(runs, contestant)| (contestant.word().to_owned(), runs))
            .collect();
        if shape.wide.masked > 0 {
            for rule in ["hmac", "partial"] {
                // Its rows are of its own kind: as many, of as many keys.
                let runs = (1..=setting.rounds).map(|round| {
                    let run = drain(
                        &setting.broker,
                        Contestant::Highwater,
                        &[Job { rule, ..job(format!("highwater-{rule}-{round}")) }],
                    );
                    println!("{}", run.line(rule));
                    assert_eq!((run.rows.rows, run.rows.keys), (truth.accepted.rows, truth.accepted.keys), "{rule}");
                    run
                });
                all.push((format!("highwater, {rule}"), runs.collect()));
            }
        }
        rows.extend(
            all.iter().map(|(who, runs)| row(&format!("{}; {who}", shape.title), runs, truth.records, truth.bytes)),
        );
        setting.broker.delete_topic(&source);
    }
    let heads = [
        "rows; contestant",
        "bytes a record",
        "records/s",
        "MB/s",
        "CPU µs a record",
        "CPU ns a byte",
        "peak resident MB",
    ];
    let text = format!(
        "A record holds the row twice where it is an update. What a rule costs a value is measured by `make bench-rules`. {}; medians \
         of {} rounds.\n\n{}",
        machine::description(),
        setting.rounds,
        table(&heads, &rows)
    );
    setting.write(HEADING, &text);
}

fn row(title: &str, runs: &[Run], records: u64, bytes: u64) -> Vec<String> {
    let of = |figure: fn(&Run) -> f64| median(runs.iter().map(figure));
    let (seconds, cpu, records, bytes) = (of(|run| run.seconds), of(|run| run.cpu), records as f64, bytes as f64);
    vec![
        title.to_owned(),
        format!("{:.0}", bytes / records),
        format!("{:.0}", records / seconds),
        format!("{:.0}", bytes / seconds / 1e6),
        format!("{:.2}", cpu * 1e6 / records),
        format!("{:.2}", cpu * 1e9 / bytes),
        format!("{:.0}", of(|run| run.megabytes)),
    ]
}
