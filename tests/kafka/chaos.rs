//! Three instances under fire: killed, stalled beyond every timeout, joined by a fourth; and every accepted change comes
//! out exactly once, in order per key, none stale.

use std::path::Path;

use crate::running::{LONG, SECRET, env, wait_for_group};
use crate::support::changes::{self, assert_equal, by_key, truth};
use crate::support::topics::Isolation;
use crate::support::{Broker, Dir, Highwater, wait_until};

const CHANGES: usize = 200_000;
const KEYS: u64 = 20_000;
const PARTITIONS: i32 = 8;
const SOURCE: &str = "chaos.cdc.public.customers";
const TARGET: &str = "chaos.out";
const GROUP: &str = "chaos";

// Sessions short enough that a stall outlives them, and a commit interval long enough that kills land in transactions.
const TOPOLOGY: &str = r"
application: chaos
kafka:
  bootstrap.servers: '${BROKERS}'
  session.timeout.ms: 6000
  heartbeat.interval.ms: 500
commit_interval: 300ms
transaction_timeout: 5s
secrets: { pii: '${SALT}' }
streams:
  customers:
    from: chaos.cdc.public.customers
    steps: [dedup, { mask: { fields: { email: hash, full_name: truncate } } }]
    to: chaos.out
";

fn total(broker: &Broker) -> i64 {
    broker.committed(GROUP, SOURCE).values().sum()
}

#[test]
fn every_change_leaves_once_through_kills_stalls_and_rebalances() {
    // One of its own: it also stalls and restarts elsewhere, and other tests should not wait for that.
    let broker = Broker::start();
    broker.create_topic(SOURCE, PARTITIONS, &[]);
    broker.create_topic(TARGET, PARTITIONS, &[]);
    let changes = changes::lines(SOURCE, PARTITIONS, KEYS, CHANGES);
    let dir = Dir::new("chaos");
    let env = env(&broker);
    let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let start = |name: &str| Highwater::spawn(TOPOLOGY, &env, &dir.join(name));

    let mut instances: Vec<Highwater> = ["a", "b", "c"].map(start).into();
    // The changes come in slices, so that something is going on at every blow.
    let mut slices = changes.chunks(CHANGES / 8);
    let mut produce = || {
        let lines = slices.next().expect("a slice is left");
        broker.produce(lines);
    };
    let advance = |by: i64, what: &str| {
        let from = total(&broker);
        wait_until(LONG, what, || (total(&broker) >= from + by).then_some(()));
    };

    produce();
    advance(1000, "the first commits");
    produce();
    instances[0].sigkill();
    produce();
    advance(1000, "commits after a kill");
    instances[0] = start("a");
    produce();
    // A stall beyond session and transaction timeout: its partitions go to others, and its transaction is aborted.
    instances[1].sigstop();
    let gone = || broker.group(GROUP).filter(|g| g.state == "Stable" && g.members.len() == 2).map(|_| ());
    wait_until(LONG, "the stalled instance to be thrown out", gone);
    produce();
    advance(1000, "commits without the stalled instance");
    instances[1].sigcont();
    instances.push(start("d"));
    produce();
    let all = || broker.group(GROUP).filter(|g| g.state == "Stable" && g.members.len() == 4).map(|_| ());
    wait_until(LONG, "four members", all);
    produce();
    instances[2].sigkill();
    produce();
    instances[2] = start("c");
    wait_for_group(&broker, GROUP, SOURCE);
    for instance in &mut instances {
        instance.sigterm();
    }
    for instance in &mut instances {
        assert!(instance.wait(LONG).success(), "{}", instance.log());
    }
    let (mut committed, mut ends) = (broker.committed(GROUP, SOURCE), broker.end_offsets(SOURCE));
    assert_eq!(committed, ends, "committed offsets");
    let truth = truth(broker.read_all(SOURCE, Isolation::Committed), SECRET);
    let rows = || by_key(broker.read_all(TARGET, Isolation::Committed));
    assert_equal(&rows(), &truth, "after the blows");

    // The stores equal the truth: all changes once more, as stale replays, and nothing comes out; also from stores that
    // were deleted and restored.
    for (round, wiped) in [("with their stores", false), ("with restored stores", true)] {
        if wiped {
            ["a", "b", "c", "d"].iter().for_each(|name| remove(&dir.join(name).join("state")));
        }
        let mut instances: Vec<Highwater> = ["a", "b"].map(start).into();
        broker.produce(&changes);
        wait_for_group(&broker, GROUP, SOURCE);
        for instance in &mut instances {
            instance.sigterm();
            assert!(instance.wait(LONG).success(), "{}", instance.log());
        }
        (committed, ends) = (broker.committed(GROUP, SOURCE), broker.end_offsets(SOURCE));
        assert_eq!(committed, ends, "committed offsets {round}");
        assert_equal(&rows(), &truth, round);
    }
}

fn remove(state: &Path) {
    std::fs::remove_dir_all(state).unwrap_or_else(|e| panic!("{}: {e}", state.display()));
}
