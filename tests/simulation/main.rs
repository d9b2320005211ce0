//! The whole application in one thread: processes over the embedded log, a wire that loses and delays, disks that forget,
//! and one seed from which everything follows.
//!
//! A step that stands still in its middle has a thread of its own, which works while everybody else waits for it (`standing`).
//!
//! A run feeds two sources what a Debezium sends at its worst, lets blows fall between any two requests, then lets
//! everything come to rest and compares outputs, dead letters, changelogs, stores, offsets and counters with what the
//! sources alone demand. A seed that fails fails again, step by step; it is shrunk to the blows that matter.
//!
//! ```text
//! make simulate SEEDS=100000 FIRST_SEED=1
//! ```

#[path = "../support/mod.rs"]
mod support;

mod chance;
mod disk;
mod gate;
mod linger;
mod plan;
mod process;
mod shadow;
mod shrink;
mod source;
mod standing;
mod time;
mod truth;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use plan::Plan;
use world::run;

/// Runs seeds on all cores; panics with the story of the first that fails.
fn simulate(first: u64, seeds: u64) {
    let (next, done, failed) = (AtomicU64::new(first), AtomicU64::new(0), AtomicBool::new(false));
    let total: Mutex<BTreeMap<String, u64>> = Mutex::default();
    let stories: Mutex<BTreeMap<u64, String>> = Mutex::default();
    let (begun, cores) = (Instant::now(), std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while !failed.load(Ordering::SeqCst) {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + seeds {
                        break;
                    }
                    match run(&Plan::new(seed), false) {
                        Ok(report) => {
                            let mut total = total.lock().expect("whole");
                            for (what, count) in report.counts {
                                *total.entry(what).or_default() += count;
                            }
                            for (what, count) in [
                                ("steps", report.steps),
                                ("source records", report.records),
                                ("kills inside a transaction", report.kills_inside),
                            ] {
                                *total.entry(what.into()).or_default() += count;
                            }
                        }
                        Err(failure) => {
                            failed.store(true, Ordering::SeqCst);
                            stories.lock().expect("whole").insert(seed, failure.why);
                        }
                    }
                    let done = done.fetch_add(1, Ordering::SeqCst) + 1;
                    if done.is_multiple_of(5000) {
                        eprintln!("{done} seeds, {:.0} s", begun.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    let total = total.into_inner().expect("whole");
    let each: Vec<String> = total.iter().map(|(what, count)| format!("  {count:>9} {what}")).collect();
    let done = done.into_inner();
    println!("{done} seeds from {first} on, {:.0} s\n{}", begun.elapsed().as_secs_f64(), each.join("\n"));
    let stories = stories.into_inner().expect("whole");
    if let Some((seed, why)) = stories.iter().next().filter(|_| std::env::var_os("BRIEFLY").is_some()) {
        panic!("seed {seed}: {why}");
    }
    if let Some((seed, why)) = stories.into_iter().next() {
        panic!("{}", shrink::story(&Plan::new(seed), &why));
    }
}

#[test]
fn every_change_leaves_once_whatever_goes_wrong() {
    simulate(1, 10_000);
}

/// What failed once, and was mended.
#[test]
fn seeds_that_found_something_stay_right() {
    for seed in [0u64; 0] {
        if let Err(failure) = run(&Plan::new(seed), false) {
            panic!("{}", shrink::story(&Plan::new(seed), &failure.why));
        }
    }
}

#[test]
fn a_seed_replays_bit_for_bit() {
    for seed in 1..40 {
        let plan = Plan::new(seed);
        let history = |_| run(&plan, true).map(|report| report.history).unwrap_or_else(|failure| failure.history);
        let [one, two] = [(); 2].map(history);
        assert!(one.len() > 20, "seed {seed} has a history of {} lines", one.len());
        assert_eq!(one, two, "seed {seed}");
    }
}

/// `make simulate`.
#[test]
#[ignore = "as long as SEEDS says"]
fn soak() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
    };
    simulate(number("FIRST_SEED", 1), number("SEEDS", 10_000));
}
