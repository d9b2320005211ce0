//! Chaos on a real cluster: three brokers, three to five instances, changes all the time, and whatever can go wrong.
//!
//! Instances are killed in their transactions, stalled and cut off past every timeout, stopped, added, removed; they lose
//! their state and the room for it; brokers are killed, coordinators of open transactions first of all. Then everything
//! comes to rest, and every committed row is compared with what the source alone demands. The blows follow from a seed.
//!
//! ```text
//! make chaos MINUTES=30 SEED=7 REPORT=docs/chaos-report.md
//! ```

#[path = "../support/mod.rs"]
mod support;

mod coordinator;
mod disk;
mod feed;
mod fire;
mod fleet;
mod plan;
mod report;
mod segments;
mod verdict;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use feed::Feed;
use fire::Fire;
use fleet::{FEWEST, Fleet, LANES, SECRET, SLOTS};
use plan::Plan;
use report::Tally;
use support::changes::{self, Rows, assert_equal, by_key, differences, truth};
use support::cluster::NODES;
use support::topics::Isolation;
use support::{Cluster, Line, Proxy, wait_until};
use verdict::{LONG, count_transactions, count_zombie_writes, everything, written};

const PARTITIONS: i32 = 8;
const KEYS: u64 = 20_000;
/// Enough that every task always has something in its transaction, and little enough for two cores.
const CHANGES_A_SECOND: usize = 1200;
/// Of a long run: the topics are checked, and others begun.
const ROUND: Duration = Duration::from_secs(300);

// Sessions and transactions short enough that a stall outlives them soon, and a commit interval long enough that most
// blows land in a transaction.
const TOPOLOGY: &str = r"
application: APPLICATION
kafka:
  bootstrap.servers: '${BROKERS}'
  session.timeout.ms: 3000
  heartbeat.interval.ms: 300
commit_interval: 800ms
transaction_timeout: 7s
secrets: { pii: '${SALT}' }
streams:
  customers:
    from: SOURCE
    steps: [dedup, { mask: { fields: { email: hash, full_name: truncate } } }]
    to: TARGET
";

/// Three brokers, and the ways to them that can be disturbed.
struct Stage {
    // Before the proxies that its brokers make known: fields drop in this order.
    cluster: Cluster,
    proxies: Vec<Vec<Proxy>>,
}

impl Stage {
    fn build() -> Self {
        let begun = Instant::now();
        let proxies: Vec<Vec<Proxy>> = (0..LANES).map(|_| (0..NODES).map(|_| Proxy::start(1)).collect()).collect();
        let cluster = Cluster::start(LANES, |lane, node, port| {
            proxies[lane][node].lead_to(port);
            proxies[lane][node].port()
        });
        eprintln!("chaos: three brokers after {} s", begun.elapsed().as_secs());
        Self { cluster, proxies }
    }

    /// The brokers as each slot is to reach them.
    fn brokers(&self) -> [String; SLOTS] {
        std::array::from_fn(|slot| match self.proxies.get(slot) {
            Some(lane) => lane.iter().map(Proxy::address).collect::<Vec<_>>().join(","),
            None => self.cluster.bootstrap(),
        })
    }
}

/// Topics of its own, blows, rest, and the verdict.
struct Round {
    application: String,
    source: String,
    target: String,
}

impl Round {
    fn new(number: u64) -> Self {
        let application = format!("chaos-{number:03}");
        let (source, target) = (format!("{application}.cdc.public.customers"), format!("{application}.out"));
        Self { application, source, target }
    }

    fn run(&self, stage: &mut Stage, plan: &mut Plan, time: Duration, whole: bool, tally: &mut Tally) {
        for topic in [&self.source, &self.target] {
            stage.cluster.create_topic(topic, PARTITIONS, &[]);
        }
        let topology = TOPOLOGY
            .replace("APPLICATION", &self.application)
            .replace("SOURCE", &self.source)
            .replace("TARGET", &self.target);
        let fleet = Fleet::new(&self.application, &topology, stage.brokers());
        let seconds = time.as_secs() as usize + 120;
        let lines = changes::lines(&self.source, PARTITIONS, KEYS, seconds * CHANGES_A_SECOND);
        let feed = Feed::start(stage.cluster.bootstrap(), lines, CHANGES_A_SECOND);
        let Stage { cluster, proxies } = stage;
        let mut fire = Fire::new(cluster, proxies, fleet, &self.application, tally);
        fire.rage(plan, &feed, time, whole);
        let mut complaints = std::mem::take(&mut fire.complaints);
        fire.tally.changes += feed.stop() as u64;
        self.come_to_rest(&mut fire, &mut complaints);

        let (mut fleet, zombies) = (fire.fleet, fire.zombies);
        wait_until(LONG, "brokers in sync", || cluster.in_sync().then_some(()));
        let log = everything(cluster, &written(cluster, &self.application));
        complaints.extend(count_zombie_writes(&zombies, &log, tally));
        count_transactions(&log, &self.application, &self.target, tally);
        drop(log);
        count_lines(&fleet.logs(), tally);

        let source = cluster.read_all(&self.source, Isolation::Committed);
        let again: Vec<Line> = source
            .iter()
            .map(|read| Line {
                topic: self.source.clone(),
                partition: Some(read.partition),
                key: read.key.clone(),
                value: read.value.clone(),
                ..Line::default()
            })
            .collect();
        tally.source_records += source.len() as u64;
        let truth = truth(source, SECRET);
        let rows = |cluster: &Cluster| by_key(cluster.read_all(&self.target, Isolation::Committed));
        let compare = |rows: &Rows, tally: &mut Tally, when: &str| {
            tally.rows += rows.values().map(Vec::len).sum::<usize>() as u64;
            tally.differences.add(differences(rows, &truth));
            assert_equal(rows, &truth, when);
        };
        compare(&rows(cluster), tally, "after the blows");

        // The stores equal the truth: all changes once more, as stale replays, and nothing comes out; also from stores
        // that were deleted and restored.
        for (when, wiped) in [("with their stores", false), ("with restored stores", true)] {
            if wiped {
                (0..SLOTS).for_each(|slot| fleet.wipe(slot));
            }
            (0..FEWEST).for_each(|slot| fleet.start(slot));
            cluster.produce(&again);
            tally.replayed += again.len() as u64;
            self.processed(cluster);
            complaints.extend(stop_all(&mut fleet));
            assert_eq!(cluster.committed(&self.application, &self.source), cluster.end_offsets(&self.source), "{when}");
            compare(&rows(cluster), tally, when);
        }
        tally.rounds += 1;
        assert!(
            complaints.is_empty(),
            "{} complaints; see {}:\n{}",
            complaints.len(),
            fleet.path().display(),
            complaints.join("\n")
        );
        for topic in cluster.topics().keys().filter(|topic| topic.starts_with(&self.application)) {
            cluster.delete_topic(topic);
        }
    }

    /// Everything is processed, everybody stops cleanly, every offset is committed.
    fn come_to_rest(&self, fire: &mut Fire<'_>, complaints: &mut Vec<String>) {
        self.processed(fire.cluster);
        complaints.extend(stop_all(&mut fire.fleet));
        let committed = fire.cluster.committed(&self.application, &self.source);
        assert_eq!(committed, fire.cluster.end_offsets(&self.source), "committed offsets");
    }

    /// Waits until the group has processed everything that is in the source now.
    fn processed(&self, cluster: &Cluster) {
        let ends: BTreeMap<i32, i64> =
            cluster.end_offsets(&self.source).into_iter().filter(|(_, end)| *end > 0).collect();
        wait_until(LONG, &format!("{} at the end of its source, {ends:?}", self.application), || {
            let committed = cluster.committed(&self.application, &self.source);
            ends.iter().all(|(p, end)| committed.get(p) >= Some(end)).then_some(())
        });
    }
}

fn stop_all(fleet: &mut Fleet) -> Vec<String> {
    let running = fleet.running();
    running.iter().for_each(|slot| fleet.process(*slot).sigterm());
    let ended = running.iter().map(|slot| (*slot, fleet.process(*slot).wait(LONG)));
    let failed: Vec<usize> = ended.filter(|(_, status)| !status.success()).map(|(slot, _)| slot).collect();
    let complaints = failed.iter().map(|slot| format!("a stop failed:\n{}", fleet.process(*slot).log())).collect();
    running.iter().for_each(|slot| fleet.slots[*slot].process = None);
    complaints
}

fn count_lines(logs: &[String], tally: &mut Tally) {
    let count = |text: &str| logs.iter().filter(|line| line.contains(text)).count() as u64;
    tally.rejoins += count("aborting: the group moved on");
    tally.unknown += count("the transaction's outcome is unknown");
    tally.restores += count(" restored ");
}

/// A run, and its report: written where one is wanted, after each round and also when it fails.
struct Told {
    seed: u64,
    minutes: u64,
    begun: Instant,
    tally: Tally,
}

impl Told {
    fn new(seed: u64, minutes: u64) -> Self {
        Self { seed, minutes, begun: Instant::now(), tally: Tally::default() }
    }

    /// A round. What it panics with is in the report.
    fn round(&mut self, run: impl FnOnce(&mut Tally)) {
        let ran = catch_unwind(AssertUnwindSafe(|| run(&mut self.tally)));
        self.tally.time = self.begun.elapsed();
        let failure = ran.as_ref().err().map(|why| {
            let text = why.downcast_ref::<String>().map(String::as_str).or_else(|| why.downcast_ref::<&str>().copied());
            text.unwrap_or("it panicked").to_owned()
        });
        let page = self.tally.page(self.seed, self.minutes, failure.as_deref());
        match std::env::var("CHAOS_REPORT") {
            Ok(path) if !path.is_empty() => std::fs::write(&path, &page).unwrap_or_else(|e| panic!("{path}: {e}")),
            _ => eprintln!("{page}"),
        }
        if let Err(why) = ran {
            eprintln!("chaos: seed {}", self.seed);
            resume_unwind(why);
        }
    }
}

fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

/// Every kind of blow, as often as the plan has it.
#[test]
fn every_change_leaves_once_whatever_falls_on_three_brokers_and_their_instances() {
    let mut told = Told::new(asked("CHAOS_SEED").unwrap_or(1), 0);
    let (mut stage, mut plan) = (Stage::build(), Plan::new(told.seed, 1));
    told.round(|tally| {
        Round::new(0).run(&mut stage, &mut plan, Duration::ZERO, true, tally);
        assert!(tally.kills_inside() > 0 && tally.stalled + tally.dozed > 0, "{tally:?}");
    });
}

/// `make chaos`: rounds until the time is over.
#[test]
#[ignore = "as long as one likes: make chaos MINUTES=30"]
fn for_as_long_as_it_was_told_to() {
    let seed = asked("CHAOS_SEED").unwrap_or_else(|| RandomState::new().hash_one("seed") >> 40);
    let mut told = Told::new(seed, asked("CHAOS_MINUTES").unwrap_or(30));
    eprintln!("chaos: {} minutes, seed {seed}", told.minutes);
    let (time, begun) = (Duration::from_secs(60 * told.minutes), told.begun);
    let (mut stage, mut plan) = (Stage::build(), Plan::new(seed, 3));
    for number in 0.. {
        let left = time.saturating_sub(begun.elapsed());
        if left.is_zero() {
            break;
        }
        told.round(|tally| Round::new(number).run(&mut stage, &mut plan, left.min(ROUND), false, tally));
        let (after, line) = (begun.elapsed().as_secs(), told.tally.line());
        eprintln!("chaos: round {number} is over after {after} s: nothing lost, nothing repeated; {line}");
    }
}
