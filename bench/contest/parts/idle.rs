//! What it costs when nothing arrives, and how soon the first record comes out then.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::Setting;
use crate::contestant::{Contestant, Job};
use crate::drain::Running;
use crate::live::{Feed, watch};
use crate::report::{median, table};
use crate::workload::Workload;
use crate::{machine, topic};

use super::SOURCE;

const HEADING: &str = "Idle";
const SETTLING: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_secs(20);
const PROBES: u64 = 20;

pub fn run(setting: &Setting) {
    let contestants = setting.contestants(&[Contestant::Highwater, Contestant::KafkaStreams]);
    let rows: Vec<Vec<String>> = contestants.iter().map(|contestant| one(setting, *contestant)).collect();
    let heads = [
        "contestant",
        "CPU % of a core",
        "broker's CPU % of a core",
        "transaction log appends a second",
        "resident MB at most",
        "first row out, median ms",
        "most ms",
    ];
    let text = format!(
        "A drained topic, and nothing more comes: {} s of it. Then a record every second, {PROBES} of them, each with nothing to do before \
         and after it. {}.\n\n{}",
        MEASURED.as_secs(),
        machine::description(),
        table(&heads, &rows)
    );
    setting.write(HEADING, &text);
}

fn one(setting: &Setting, contestant: Contestant) -> Vec<String> {
    let broker = &setting.broker;
    broker.create_topic(SOURCE, setting.partitions, &[]);
    let job = Job::new(setting, SOURCE, format!("{}-idle", contestant.word()));
    contestant.prepare(broker, &job);
    let workload = Workload { records: 20_000, ..setting.workload };
    let truth = topic::load(broker, SOURCE, &workload);
    let (_, mut running) = crate::drain::measure(broker, contestant, std::slice::from_ref(&job));
    let mut running = running.pop().expect("one");
    std::thread::sleep(SETTLING);
    let appended = || broker.end_offsets("__transaction_state").values().sum::<i64>();
    let counters = |running: &Running| (running.cpu(), machine::cpu(broker.id()), appended());
    let before = counters(&running);
    std::thread::sleep(MEASURED);
    let after = counters(&running);
    let per_second = |difference: f64| difference / MEASURED.as_secs_f64();
    let megabytes = machine::peak_megabytes(running.child.id());

    // Newer than all that was there; the same keys.
    let probes = Workload { records: PROBES, first_lsn: setting.workload.first_lsn << 1, ..workload };
    let from = broker.end_offsets(&job.target());
    let feed = Feed::start(broker, SOURCE, probes, 1);
    let (mut latencies, sent, begun) = (Vec::new(), feed.sent.clone(), Instant::now());
    watch(broker, &job.target(), &mut |row| {
        if let Some((lsn, at)) = row {
            latencies.push((at - sent.lock().expect("no panic")[&lsn]).as_secs_f64() * 1e3);
        }
        running.check(&job);
        assert!(begun.elapsed() < Duration::from_secs(PROBES * 3), "{}: probes are missing", job.name);
        if latencies.len() as u64 >= PROBES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let probed = feed.end();
    running.stop();
    probed.accepted.check(&topic::read(broker, &job.target(), &from), &job.name);
    assert!(truth.records >= 20_000);
    contestant.remove(broker, &job);
    broker.delete_topic(SOURCE);
    let _ = std::fs::remove_dir_all(&job.dir);
    vec![
        contestant.word().into(),
        format!("{:.1}", per_second(after.0 - before.0) * 100.0),
        format!("{:.1}", per_second(after.1 - before.1) * 100.0),
        format!("{:.1}", per_second((after.2 - before.2) as f64)),
        format!("{megabytes:.0}"),
        format!("{:.1}", median(latencies.iter().copied())),
        format!("{:.1}", latencies.iter().copied().fold(0.0, f64::max)),
    ]
}
