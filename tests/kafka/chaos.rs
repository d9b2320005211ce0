//! Three instances under fire: killed, stalled beyond every timeout, joined by a fourth; and every accepted change comes
//! out exactly once, in order per key, none stale.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::running::{LONG, env, rows_by_key, wait_for_group};
use crate::support::oracle::{self, Input};
use crate::support::topics::Isolation;
use crate::support::{Broker, Dir, Highwater, Line, wait_until};

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

/// Small and repeatable; not for keys.
struct Lottery(u64);

impl Lottery {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Changes as a Debezium would send them: LSNs rise, and every now and then a run of recent ones comes again.
fn changes() -> Vec<Line> {
    let mut lottery = Lottery(0x9e37_79b9_7f4a_7c15);
    let mut lines: Vec<Line> = Vec::with_capacity(CHANGES);
    let mut lsn = 1_000_000u64;
    let mut commit = lsn;
    while lines.len() < CHANGES {
        if lines.len() > 500 && lottery.next(400) == 0 {
            let from = lines.len() - 1 - lottery.next(300) as usize;
            let again: Vec<Line> = lines[from..].to_vec();
            lines.extend(again);
            continue;
        }
        if lottery.next(5) == 0 {
            commit = lsn;
        }
        lsn += 8 + lottery.next(200);
        let id = lottery.next(KEYS);
        let deleted = lottery.next(50) == 0;
        let row =
            json!({ "id": id, "email": format!("user{id}.{lsn}@example.com"), "full_name": "Ivan Ivanov", "n": lsn });
        let (before, after, op) = if deleted { (row, Value::Null, "d") } else { (Value::Null, row, "u") };
        let value = json!({
            "before": before, "after": after, "op": op,
            "source": { "name": "chaos", "db": "shop", "schema": "public", "table": "customers", "snapshot": "false",
                "lsn": lsn, "sequence": json!([commit.to_string(), lsn.to_string()]).to_string(),
                "ts_us": 1_700_000_000_000_000u64 + lsn },
        });
        lines.push(
            Line::new(SOURCE, &json!({ "id": id }).to_string(), &value.to_string()).at((id % PARTITIONS as u64) as i32),
        );
    }
    lines
}

/// The rows that must have left, by key, computed from the topic as it is.
fn truth(broker: &Broker) -> BTreeMap<String, Vec<Map<String, Value>>> {
    let rules = [("email", oracle::Rule::Hash), ("full_name", oracle::Rule::Truncate)];
    let mut partitions: BTreeMap<i32, Vec<_>> = BTreeMap::new();
    for read in broker.read_all(SOURCE, Isolation::Committed) {
        partitions.entry(read.partition).or_default().push(read);
    }
    let mut rows: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for reads in partitions.values() {
        for change in oracle::judge(reads.iter().map(Input::from)).accepted {
            let key = change.key.as_ref().map(Value::to_string).unwrap_or_default();
            rows.entry(key).or_default().push(oracle::output(&change, &rules, crate::running::SECRET));
        }
    }
    rows
}

fn assert_equal(
    left: &BTreeMap<String, Vec<Map<String, Value>>>,
    right: &BTreeMap<String, Vec<Map<String, Value>>>,
    when: &str,
) {
    let lsns = |rows: Option<&Vec<Map<String, Value>>>| -> Vec<Value> {
        rows.into_iter().flatten().map(|row| row["cdc_lsn"].clone()).collect()
    };
    let keys = left.keys().chain(right.keys());
    let wrong: Vec<&String> = keys.filter(|key| left.get(*key) != right.get(*key)).collect();
    let shown: Vec<String> =
        wrong.iter().take(5).map(|k| format!("{k}: {:?}, not {:?}", lsns(left.get(*k)), lsns(right.get(*k)))).collect();
    assert!(wrong.is_empty(), "{when}: {} keys are wrong: {}", wrong.len(), shown.join("; "));
}

fn total(broker: &Broker) -> i64 {
    broker.committed(GROUP, SOURCE).values().sum()
}

#[test]
fn every_change_leaves_once_through_kills_stalls_and_rebalances() {
    // One of its own: it also stalls and restarts elsewhere, and other tests should not wait for that.
    let broker = Broker::start();
    broker.create_topic(SOURCE, PARTITIONS, &[]);
    broker.create_topic(TARGET, PARTITIONS, &[]);
    let changes = changes();
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
    let truth = truth(&broker);
    assert_equal(&rows_by_key(&broker, TARGET), &truth, "after the blows");

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
        assert_equal(&rows_by_key(&broker, TARGET), &truth, round);
    }
}

fn remove(state: &Path) {
    std::fs::remove_dir_all(state).unwrap_or_else(|e| panic!("{}: {e}", state.display()));
}
