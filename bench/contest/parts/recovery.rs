//! From the start of a process after SIGKILL to its first commit, with a store of many keys and a source that goes on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::Setting;
use crate::contestant::{Contestant, Job};
use crate::drain::{Progress, Running};
use crate::live::Feed;
use crate::report::table;
use crate::workload::Workload;
use crate::{machine, topic};

const HEADING: &str = "Recovery";
const KEYS: u64 = 900_000;
const PER_SECOND: u64 = 2_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    /// `static_membership`: the group waits for it.
    Static,
    /// The dead member's session must end first.
    Dynamic,
    /// The state directory is gone, and with it the instance's name: it comes as another member.
    Lost,
}

impl Case {
    fn title(self) -> &'static str {
        match self {
            Self::Static => "static membership",
            Self::Dynamic => "dynamic membership",
            Self::Lost => "state directory deleted",
        }
    }
}

pub fn run(setting: &Setting) {
    let keys = setting.sizes(&[KEYS])[0];
    let mut rows = Vec::new();
    for &contestant in &setting.contestants(&[Contestant::Highwater, Contestant::KafkaStreams]) {
        for case in [Case::Static, Case::Dynamic, Case::Lost] {
            rows.push(one(setting, contestant, case, keys));
        }
    }
    let heads = [
        "contestant, case",
        "first commit after s",
        "changelog records restored",
        "restored/s (start included)",
        "caught up after s",
    ];
    let text = format!(
        "{keys} keys in the store, {PER_SECOND} more records a second all the while. The process is killed (SIGKILL) in mid-stream and \
         started again a second later; where the state directory is deleted, it is stopped cleanly instead, so that what is \
         measured is the restoring and not the dead member's session. Then everything that came out is compared with \
         what is right. {}; single runs.\n\n{}",
        machine::description(),
        table(&heads, &rows)
    );
    setting.write(HEADING, &text);
}

fn one(setting: &Setting, contestant: Contestant, case: Case, keys: u64) -> Vec<String> {
    let broker = &setting.broker;
    let source = "recovery";
    broker.create_topic(source, setting.partitions, &[]);
    let name = format!("{}-{case:?}", contestant.word()).to_lowercase();
    // Kafka Streams leaves its group on no clean stop: without a name it would wait for its own dead session.
    let static_membership = case == Case::Static || (case == Case::Lost && contestant == Contestant::KafkaStreams);
    let job = Job { static_membership, ..Job::new(setting, source, name) };
    contestant.prepare(broker, &job);
    let workload = Workload { keys, records: u64::MAX, ..setting.workload };
    let filled = topic::fill(broker, source, keys);
    let mut running = Running::on(broker, contestant, &job);
    let wait = |running: &mut Running, what: &str, done: &mut dyn FnMut() -> bool| {
        let begun = Instant::now();
        while !done() {
            running.check(&job);
            assert!(begun.elapsed() < Duration::from_secs(240), "{}: not {what}", job.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let progress = Progress::of(broker, &job);
    wait(&mut running, "filled", &mut || progress.is_at_end());
    filled.check(&topic::read(broker, &job.target(), &BTreeMap::new()), &job.name);
    let from = broker.end_offsets(&job.target());

    let feed = Feed::start(broker, source, workload, PER_SECOND);
    let before = progress.committed();
    wait(&mut running, "processing", &mut || progress.committed() > before + PER_SECOND as i64 * 3);
    if case == Case::Lost {
        running.stop();
        std::fs::remove_dir_all(job.state()).expect("a state directory");
    } else {
        running.kill();
    }
    std::thread::sleep(Duration::from_secs(1));
    let _ = std::fs::remove_file(job.log());
    let before = progress.committed();
    let begun = Instant::now();
    let mut running = Running::on(broker, contestant, &job);
    wait(&mut running, "committing", &mut || progress.committed() > before);
    let first = begun.elapsed().as_secs_f64();
    // Half a second's records are always on their way.
    wait(&mut running, "caught up", &mut || Progress::of(broker, &job).behind() < PER_SECOND as i64 / 2);
    let caught_up = begun.elapsed().as_secs_f64();
    let truth = feed.stop();
    let progress = Progress::of(broker, &job);
    wait(&mut running, "at the end", &mut || progress.is_at_end());
    running.stop();
    truth.accepted.check(&topic::read(broker, &job.target(), &from), &job.name);
    let restored = restored(&job);
    contestant.remove(broker, &job);
    broker.delete_topic(source);
    let _ = std::fs::remove_dir_all(&job.dir);
    println!("{:32}first commit {first:6.2} s, restored {restored}, caught up {caught_up:6.2} s", job.name);
    vec![
        format!("{}, {}", contestant.word(), case.title()),
        format!("{first:.2}"),
        restored.to_string(),
        if restored > 0 { format!("{:.0}", restored as f64 / first) } else { "–".into() },
        format!("{caught_up:.2}"),
    ]
}

/// As the process says it, a line for each partition.
fn restored(job: &Job) -> u64 {
    let log = std::fs::read_to_string(job.log()).unwrap_or_default();
    let counts = log.lines().filter(|line| line.contains("restored")).filter_map(|line| {
        let (_, rest) = line.split_once("records=")?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().ok()
    });
    counts.sum()
}
