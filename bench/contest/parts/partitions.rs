//! One instance with many partitions, and what it takes when a second one joins.

use std::time::{Duration, Instant};

use crate::Setting;
use crate::contestant::{Contestant, Job};
use crate::drain::{Running, measure};
use crate::report::table;
use crate::{machine, topic};

const HEADING: &str = "Many partitions";

pub fn run(setting: &Setting) {
    let mut rows = Vec::new();
    for &partitions in &setting.sizes(&[4, 64, 256]) {
        for &contestant in &setting.contestants(&[Contestant::Highwater]) {
            rows.push(one(setting, contestant, partitions as i32));
        }
    }
    let heads =
        ["contestant, partitions", "records/s", "CPU µs a record", "peak resident MB", "open files", "rebalance s"];
    let text = format!(
        "One instance drains {} records. Then a second one is started: the last column is the time from its start until the group is \
         stable and both have half of the partitions. {}; single runs.\n\n{}",
        setting.workload.records,
        machine::description(),
        table(&heads, &rows)
    );
    setting.write(HEADING, &text);
}

fn one(setting: &Setting, contestant: Contestant, partitions: i32) -> Vec<String> {
    let broker = &setting.broker;
    let source = format!("partitions-{partitions}");
    broker.create_topic(&source, partitions, &[]);
    let truth = topic::load(broker, &source, &setting.workload);
    let job = Job { partitions, ..Job::new(setting, &source, format!("{}-{partitions}", contestant.word())) };
    contestant.prepare(broker, &job);
    let (run, mut first) = measure(broker, contestant, std::slice::from_ref(&job));
    println!("{}", run.line(&job.name));

    let alone = broker.group(&job.name).map_or(0, |group| group.members.len());
    let second = Job { instance: 1, ..job.clone() };
    let begun = Instant::now();
    let mut joined = Running::on(broker, contestant, &second);
    let is_shared = || {
        let Some(group) = broker.group(&job.name) else { return false };
        let shares: Vec<usize> = group.members.values().map(Vec::len).collect();
        // An instance may be several members.
        group.state == "Stable"
            && shares.len() == 2 * alone
            && shares.iter().all(|share| *share > 0)
            && shares.iter().sum::<usize>() == partitions as usize
    };
    while !is_shared() {
        joined.check(&second);
        first.iter_mut().for_each(|one| one.check(&job));
        assert!(begun.elapsed() < Duration::from_secs(120), "{}: the group is not stable", job.name);
        std::thread::sleep(Duration::from_millis(20));
    }
    let rebalance = begun.elapsed().as_secs_f64();
    joined.stop();
    first.into_iter().for_each(Running::stop);
    truth.accepted.check(&topic::read(broker, &job.target(), &topic::From::new()), &job.name);
    contestant.remove(broker, &job);
    broker.delete_topic(&source);
    let _ = std::fs::remove_dir_all(&job.dir);
    vec![
        format!("{}, {partitions}{}", contestant.word(), if run.is_void() { " (others were busy)" } else { "" }),
        format!("{:.0}", truth.records as f64 / run.seconds),
        format!("{:.2}", run.cpu * 1e6 / truth.records as f64),
        format!("{:.0}", run.megabytes),
        run.files.to_string(),
        format!("{rebalance:.2}"),
    ]
}
