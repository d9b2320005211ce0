//! From a source record to its row, visible to committed readers.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::Setting;
use crate::contestant::{Contestant, Job};
use crate::drain::Running;
use crate::live::{Feed, watch};
use crate::report::table;
use crate::workload::Workload;
use crate::{machine, topic};

use super::SOURCE;

const HEADING: &str = "Latency";
const PER_SECOND: u64 = 5_000;
const SECONDS: u64 = 30;
/// At first stores are empty, code is cold, caches too.
const IGNORED: Duration = Duration::from_secs(10);

pub fn run(setting: &Setting) {
    let mut rows = Vec::new();
    for interval_ms in setting.sizes(&[10, 50, 100]) {
        for &contestant in &setting.contestants(&[Contestant::Highwater, Contestant::KafkaStreams]) {
            rows.push(one(setting, contestant, interval_ms));
        }
    }
    let text = format!(
        "{PER_SECOND} records a second for {SECONDS} s, of which the first {} do not count. From the call that hands a record to the \
         source's producer to the moment when a committed reader has its row. {}.\n\n{}",
        IGNORED.as_secs(),
        machine::description(),
        table(&["contestant, commit interval", "p50 ms", "p99 ms", "most ms", "CPU % of a core"], &rows)
    );
    setting.write(HEADING, &text);
}

fn one(setting: &Setting, contestant: Contestant, interval_ms: u64) -> Vec<String> {
    let broker = &setting.broker;
    broker.create_topic(SOURCE, setting.partitions, &[]);
    let name = format!("{}-{interval_ms}", contestant.word());
    let job = Job { interval_ms, ..Job::new(setting, SOURCE, name) };
    contestant.prepare(broker, &job);
    let mut running = Running::on(broker, contestant, &job);
    let workload = Workload { records: PER_SECOND * SECONDS, ..setting.workload };
    let feed = Feed::start(broker, SOURCE, workload, PER_SECOND);
    let (begun, sent) = (Instant::now(), feed.sent.clone());
    let (mut feed, mut truth, mut seen) = (Some(feed), None, 0);
    let (mut latencies, mut cpu) = (Vec::new(), None);
    watch(broker, &job.target(), &mut |row| {
        if let Some((lsn, at)) = row {
            seen += 1;
            let sent = sent.lock().expect("no panic")[&lsn];
            if sent > begun + IGNORED {
                latencies.push((at - sent).as_secs_f64() * 1e3);
            }
            return ControlFlow::Continue(());
        }
        // A pause.
        running.check(&job);
        if cpu.is_none() && begun.elapsed() > IGNORED {
            cpu = Some((Instant::now(), running.cpu()));
        }
        if begun.elapsed() > Duration::from_secs(SECONDS) {
            truth = truth.or_else(|| feed.take().map(Feed::end));
        }
        if truth.is_some_and(|truth| seen >= truth.accepted.rows) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let (since, before) = cpu.expect("a pause");
    let cpu = (running.cpu() - before) / since.elapsed().as_secs_f64();
    running.stop();
    let truth = truth.expect("an end");
    truth.accepted.check(&topic::read(broker, &job.target(), &topic::From::new()), &job.name);
    contestant.remove(broker, &job);
    broker.delete_topic(SOURCE);
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!("{:24}p50 {:6.1} ms, p99 {:6.1} ms, most {:6.1} ms", job.name, at(0.5), at(0.99), at(1.0));
    let mut row = vec![format!("{}, {interval_ms} ms", contestant.word())];
    row.extend([0.5, 0.99, 1.0].map(|share| format!("{:.1}", at(share))));
    row.push(format!("{:.0}", cpu * 100.0));
    row
}
