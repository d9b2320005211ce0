//! The pipeline under load for minutes, Highwater and ClickHouse killed in it: nothing lost, nothing doubled, and how late.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use crate::cpu::Cpu;
use crate::latency::{Histogram, Windows};
use crate::probe::Probe;
use crate::report::{Kill, Report};
use crate::stage::{Stage, loaded};
use crate::support::changes::Lottery;
use crate::support::database::TABLES;

/// How often everybody is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A variable of the environment, or what holds without it.
fn asked(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")),
        _ => usual,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Highwater,
    ClickHouse,
}

/// Who is killed when: one in each quarter of the time, one of the four is ClickHouse.
fn blows(seed: u64, time: Duration) -> Vec<(Duration, Victim)> {
    let mut lottery = Lottery(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    // The first ones of a small seed are small.
    for _ in 0..20 {
        lottery.next(2);
    }
    let clickhouse = lottery.next(4);
    let quarter = time.as_millis() as u64 / 4;
    let mut blow = |n: u64| {
        // Early in its quarter, so that there is a time of rest before the next.
        let at = n * quarter + quarter / 10 + lottery.next(quarter / 3);
        (Duration::from_millis(at), if n == clickhouse { Victim::ClickHouse } else { Victim::Highwater })
    };
    (0..4).map(&mut blow).collect()
}

pub fn run() {
    let (minutes, rate) = (asked("SOAK_MINUTES", 5), asked("SOAK_RATE", 1000));
    let seed = asked("SOAK_SEED", RandomState::new().hash_one(0) % 1_000_000);
    eprintln!("soak: {minutes} minutes at {rate} changes a second, seed {seed}");
    let time = Duration::from_secs(60 * minutes);
    let mut stage = Stage::build("soak");
    // Topics that Connect makes later are found half a minute later: that is not what is measured here.
    stage.load(&["--seed", "1", "--count", "500"]);
    stage.connect();
    stage.wait("a topic of each table", |stage| stage.source_topics() == TABLES.len());
    stage.run();
    stage.settle();

    let mut cpu = Cpu::default();
    let probe = Probe::start(&stage.postgres, stage.clickhouse.port());
    let (begun, load) =
        (Instant::now(), stage.loading(&["--for", &format!("{minutes}m"), "--rate", &rate.to_string()]));
    let mut load = load;
    let (mut blows, mut kills) = (blows(seed, time).into_iter().peekable(), Vec::new());
    // By life of Highwater, what it said last; and what it said at each look.
    let (mut lives, mut looks) = (vec![Histogram::default()], Vec::new());
    loop {
        let look = Instant::now();
        if let Some(page) = stage.metrics() {
            let said = Histogram::of(&page, "highwater_sink_end_to_end_seconds");
            let last = lives.last_mut().expect("a life");
            looks.push((look, said.minus(last)));
            *last = said;
        }
        cpu.look(&[
            ("Postgres", stage.postgres.id()),
            ("Kafka", stage.broker.id()),
            ("Connect with Debezium", stage.worker().id()),
            ("Highwater", stage.highwater().id()),
            ("ClickHouse", stage.clickhouse.id()),
            ("db-load", load.id()),
        ]);
        if let Some((_, victim)) = blows.next_if(|(at, _)| begun.elapsed() >= *at) {
            let killed = Instant::now();
            match victim {
                Victim::Highwater => {
                    stage.highwater().sigkill();
                    // As soon as a supervisor would.
                    thread::sleep(Duration::from_secs(1));
                    stage.run();
                    lives.push(Histogram::default());
                }
                Victim::ClickHouse => {
                    stage.clickhouse.kill();
                    thread::sleep(Duration::from_secs(1));
                    stage.clickhouse.restart();
                }
            }
            kills.push(Kill { victim, killed, back: Instant::now() });
            eprintln!("soak: {victim:?} killed after {:.1} s", (killed - begun).as_secs_f64());
        }
        if load.ended().is_some() {
            break;
        }
        thread::sleep(LOOK.saturating_sub(look.elapsed()));
    }
    let loaded_for = begun.elapsed();
    loaded(load);
    assert!(blows.peek().is_none(), "the load was over before the blows were");
    let changes: u64 =
        stage.postgres.sql("select changes from highwater_db_load.progress where seed = 7").parse().expect("a number");
    // The last probe is behind everything that was loaded.
    let drained = Instant::now();
    let probes = probe.stop();
    let drained = drained.elapsed();
    stage.settle();
    let page = stage.metrics().expect("its page");
    let said = Histogram::of(&page, "highwater_sink_end_to_end_seconds");
    looks.push((Instant::now(), said.minus(lives.last().expect("a life"))));
    *lives.last_mut().expect("a life") = said;

    let counts = stage.compare("after the soak");
    let windows = Windows::of(&kills.iter().map(|kill| (kill.killed, kill.back)).collect::<Vec<_>>(), &probes);
    let report = Report {
        seed,
        minutes,
        rate,
        changes,
        loaded_for,
        drained,
        begun,
        counts,
        kills: &kills,
        windows: &windows,
        probes: &probes,
        all: lives.iter().fold(Histogram::default(), |sum, life| sum.plus(life)),
        quiet: looks
            .iter()
            .filter(|(at, _)| !windows.holds(*at - LOOK, *at))
            .fold(Histogram::default(), |sum, (_, more)| sum.plus(more)),
        cpu: &cpu.seconds,
    }
    .page();
    match std::env::var("SOAK_REPORT") {
        Ok(path) if !path.is_empty() => std::fs::write(&path, &report).unwrap_or_else(|e| panic!("{path}: {e}")),
        _ => {}
    }
    println!("{report}");
    stage.verify("after the soak");
    assert!(probes.iter().all(|probe| probe.seen.is_some()), "a probe that was never seen");
}
