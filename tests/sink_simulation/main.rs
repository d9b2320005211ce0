//! A sink in one thread: processes over the embedded log, a ClickHouse that answers late, twice or not at all, and one seed
//! from which everything follows.
//!
//! Blows fall between any two requests, to the log or to the server; then everything comes to rest. At any time no row may be
//! twice in the table, nor one that no committed plan covers; in the end every row is there once, and every record that is no
//! row is a dead letter once.
//!
//! ```text
//! make simulate SEEDS=100000 FIRST_SEED=1
//! ```

#[path = "../support/mod.rs"]
mod support;

#[path = "../simulation/chance.rs"]
mod chance;
#[path = "../simulation/gate.rs"]
mod gate;
#[path = "../simulation/linger.rs"]
mod linger;
mod plan;
mod server;
#[path = "../simulation/shadow.rs"]
mod shadow;
#[path = "../simulation/standing.rs"]
mod standing;
mod threads;
#[path = "../simulation/time.rs"]
mod time;
// The other simulation uses more of it.
#[allow(dead_code)]
#[path = "../simulation/wire.rs"]
mod wire;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use plan::Plan;
use world::run;

/// Runs seeds on all cores; panics with the story of the first that fails.
fn simulate(first: u64, seeds: u64) {
    let next = AtomicU64::new(first);
    let total: Mutex<BTreeMap<String, u64>> = Mutex::default();
    let failed: Mutex<BTreeMap<u64, String>> = Mutex::default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= first + seeds || !failed.lock().expect("whole").is_empty() {
                        return;
                    }
                    match run(&Plan::new(seed), false) {
                        Ok(report) => {
                            let mut total = total.lock().expect("whole");
                            report
                                .counts
                                .into_iter()
                                .for_each(|(what, count)| *total.entry(what).or_default() += count);
                        }
                        Err(failure) => drop(failed.lock().expect("whole").insert(seed, failure.why)),
                    }
                }
            });
        }
    });
    let each: Vec<String> =
        total.into_inner().expect("whole").iter().map(|(what, n)| format!("  {n:>9} {what}")).collect();
    println!("{seeds} seeds from {first} on\n{}", each.join("\n"));
    if let Some((seed, why)) = failed.into_inner().expect("whole").into_iter().next() {
        panic!("seed {seed}: {}", story(seed, &why));
    }
}

/// What a person needs to understand it: the blows that matter, and what happened under them.
fn story(seed: u64, why: &str) -> String {
    let plan = Plan::new(seed);
    if std::env::var_os("BRIEFLY").is_some() {
        return why.to_owned();
    }
    let fails = |plan: &Plan| run(plan, false).is_err();
    let mut least = plan.clone();
    let mut chunk = least.blows.len().max(1);
    while chunk > 0 {
        let mut at = 0;
        while at < least.blows.len() {
            let mut fewer = least.clone();
            fewer.blows.drain(at..(at + chunk).min(fewer.blows.len()));
            if fails(&fewer) { least = fewer } else { at += chunk }
        }
        chunk /= 2;
    }
    for records in [4, 8, 16, 32, 64] {
        let shorter = Plan { records, ..least.clone() };
        if records < least.records && fails(&shorter) {
            least = shorter;
            break;
        }
    }
    let (reason, history) = match run(&least, true) {
        Ok(_) => ("it does not fail again: that is a bug of the simulation".to_owned(), Vec::new()),
        Err(failure) => (failure.why, failure.history),
    };
    let tail = history.len().saturating_sub(300);
    format!(
        "{why}\n{least:#?}\nfails: {reason}\n\n{}\n\nagain: make simulate SEEDS=1 FIRST_SEED={seed}",
        history[tail..].join("\n")
    )
}

#[test]
fn every_row_is_inserted_once_whatever_goes_wrong() {
    simulate(1, 4_000);
}

#[test]
fn a_seed_replays_bit_for_bit() {
    for seed in 1..20 {
        let plan = Plan::new(seed);
        let history = |_| run(&plan, true).map(|report| report.history).unwrap_or_else(|failure| failure.history);
        let [one, two] = [(); 2].map(history);
        assert!(one.len() > 10, "seed {seed} has a history of {} lines", one.len());
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
