//! How throughput, disk and memory go with the number of keys in the store.

use crate::Setting;
use crate::contestant::{Contestant, Job};
use crate::drain::{Running, measure};
use crate::report::table;
use crate::workload::Workload;
use crate::{machine, topic};

const HEADING: &str = "Many keys";

pub fn run(setting: &Setting) {
    let mut rows = Vec::new();
    for &keys in &setting.sizes(&[100_000, 1_000_000, 10_000_000]) {
        for &contestant in &setting.contestants(&[Contestant::Highwater]) {
            rows.push(one(setting, contestant, keys));
        }
    }
    let heads = [
        "contestant, keys in the store",
        "records/s",
        "CPU µs a record",
        "peak resident MB",
        "state on disk MB",
        "disk bytes a key",
        "filling: records/s",
    ];
    let text = format!(
        "The store is filled with a short change of every key by one process, which is stopped. Another one then begins, and \
         drains {} records about keys taken at random from all of them. {}; single runs.\n\n{}",
        setting.workload.records,
        machine::description(),
        table(&heads, &rows)
    );
    setting.write(HEADING, &text);
}

fn one(setting: &Setting, contestant: Contestant, keys: u64) -> Vec<String> {
    let broker = &setting.broker;
    let workload = Workload { keys, ..setting.workload };
    let source = format!("keys-{keys}");
    broker.create_topic(&source, setting.partitions, &[]);
    let job = Job::new(setting, &source, format!("{}-{keys}", contestant.word()));
    contestant.prepare(broker, &job);

    let filled = topic::fill(broker, &source, keys);
    let (filling, running) = measure(broker, contestant, std::slice::from_ref(&job));
    println!("{}", filling.line(&format!("{} filling", job.name)));
    running.into_iter().for_each(Running::stop);
    filled.check(&topic::read(broker, &job.target(), &topic::From::new()), &job.name);
    let from = broker.end_offsets(&job.target());

    let truth = topic::load(broker, &source, &workload);
    let (run, running) = measure(broker, contestant, std::slice::from_ref(&job));
    println!("{}", run.line(&job.name));
    running.into_iter().for_each(Running::stop);
    truth.accepted.check(&topic::read(broker, &job.target(), &from), &job.name);
    let disk = machine::disk_bytes(&job.state()) as f64;
    contestant.remove(broker, &job);
    broker.delete_topic(&source);
    let _ = std::fs::remove_dir_all(&job.dir);
    vec![
        format!("{}, {keys}{}", contestant.word(), if run.is_void() { " (others were busy)" } else { "" }),
        format!("{:.0}", truth.records as f64 / run.seconds),
        format!("{:.2}", run.cpu * 1e6 / truth.records as f64),
        format!("{:.0}", run.megabytes),
        format!("{:.1}", disk / f64::from(1 << 20)),
        format!("{:.0}", disk / keys as f64),
        format!("{:.0}", keys as f64 / filling.seconds),
    ]
}
