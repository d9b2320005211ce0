//! An instance from its start to its end: what it waits for and recovers from by itself, what it shows meanwhile, and
//! how it goes.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Map, Value, json};

use crate::running::{
    LONG, env, get, metric, plain, rows_by_key, run_to_failure, start, stop, wait_for_group, wait_for_metric,
};
use crate::support::oracle::{self, Input};
use crate::support::topics::Isolation;
use crate::support::{Broker, DEADLINE, Dir, Highwater, Line, signal, wait_until};

/// One stream that passes rows as they are, `NAME.in` to `NAME.out`. Whoever does not leave the group stays in it for
/// longer than any test waits.
fn topology(name: &str) -> String {
    format!(
        "application: {name}\nkafka:\n  bootstrap.servers: '${{BROKERS}}'\n  session.timeout.ms: 1200000\n  \
         max.poll.interval.ms: 1200000\ncommit_interval: 10ms\nhttp: {{ listen: 127.0.0.1:0 }}\nstreams:\n  rows:\n    from: {name}.in\n    \
         steps: [dedup, {{ mask: none }}]\n    to: {name}.out\n"
    )
}

/// The rows that must have left, by key, computed from the topic up to the committed offsets.
fn truth(broker: &Broker, source: &str, committed: &BTreeMap<i32, i64>) -> BTreeMap<String, Vec<Map<String, Value>>> {
    let mut rows: BTreeMap<String, Vec<_>> = BTreeMap::new();
    let reads = broker.read_all(source, Isolation::Committed);
    for (partition, end) in committed {
        let inputs = reads.iter().filter(|read| read.partition == *partition && read.offset < *end).map(Input::from);
        for change in oracle::judge(inputs).accepted {
            let key = change.key.as_ref().map(Value::to_string).unwrap_or_default();
            rows.entry(key).or_default().push(oracle::output(&change, &[], ""));
        }
    }
    rows
}

fn is_empty(broker: &Broker, group: &str) -> Option<()> {
    broker.group(group).is_some_and(|group| group.state == "Empty" && group.members.is_empty()).then_some(())
}

#[test]
fn a_signal_commits_what_was_processed_and_leaves_the_group() {
    let (broker, name) = (Broker::shared(), "signals");
    broker.create_topic("signals.in", 4, &[]);
    broker.create_topic("signals.out", 4, &[]);
    let dir = Dir::new(name);
    let mut lsn = 1000;
    for name_of_signal in ["TERM", "INT"] {
        let mut highwater = start(broker, &topology(name), &dir.join(name_of_signal));
        let before: i64 = broker.committed(name, "signals.in").values().sum();
        broker.produce(&plain("signals.in", 0..60_000, lsn));
        lsn += 100_000;
        wait_until(LONG, "a commit", || {
            (broker.committed(name, "signals.in").values().sum::<i64>() > before).then_some(())
        });
        // It is in the middle of the rest.
        signal::send(name_of_signal, i64::from(highwater.id()));
        assert_eq!(highwater.wait(LONG).code(), Some(0), "{}", highwater.log());
        assert!(highwater.log().contains("stopping: committing and leaving the group"), "{}", highwater.log());
        wait_until(DEADLINE, "an empty group", || is_empty(broker, name));
        let committed = broker.committed(name, "signals.in");
        assert_eq!(rows_by_key(broker, "signals.out"), truth(broker, "signals.in", &committed), "{name_of_signal}");
        // The one that follows, with no state of its own, waits for nobody.
        let heir = start(broker, &topology(name), &dir.join("heir"));
        wait_for_group(broker, name, "signals.in");
        wait_until(DEADLINE, "a group with all partitions", || {
            let group = broker.group(name)?;
            (group.members.values().map(Vec::len).sum::<usize>() == 4).then_some(())
        });
        stop(heir);
    }
    let ends = broker.end_offsets("signals.in");
    assert_eq!(rows_by_key(broker, "signals.out"), truth(broker, "signals.in", &ends));
}

/// The client's own close forgets about members without partitions, and about those that are still joining.
#[test]
fn members_that_are_idle_or_still_joining_leave_the_group_too() {
    let (broker, name) = (Broker::shared(), "leaving");
    broker.create_topic("leaving.in", 1, &[]);
    broker.create_topic("leaving.out", 1, &[]);
    let (dir, text) = (Dir::new(name), format!("threads: 3\n{}", topology(name)));
    let highwater = start(broker, &text, dir.path());
    wait_until(DEADLINE, "a stable group of three, of which one has the partition", || {
        let group = broker.group(name).filter(|group| group.state == "Stable")?;
        let owned: usize = group.members.values().map(Vec::len).sum();
        (group.members.len() == 3 && owned == 1).then_some(())
    });
    stop(highwater);
    assert_eq!(is_empty(broker, name), Some(()), "idle members stayed");
    // Wherever they stand in joining: the workers of an instance seldom stand at the same place.
    for round in 0..12 {
        let mut highwater = start(broker, &text, dir.path());
        highwater.wait_for_log(if round % 2 == 0 { "INFO running application" } else { "INFO assigned" });
        let log = stop(highwater);
        assert_eq!(is_empty(broker, name), Some(()), "in round {round}\n{log}");
    }
}

#[test]
fn two_processes_never_share_a_state_directory() {
    let (broker, name) = (Broker::shared(), "twice");
    broker.create_topic("twice.in", 1, &[]);
    broker.create_topic("twice.out", 1, &[]);
    let dir = Dir::new(name);
    let mut first = start(broker, &topology(name), dir.path());
    first.wait_for_log("running");
    let log = run_to_failure(broker, &topology(name), dir.path());
    for text in [format!("is in use by pid {}", first.id()), "--state".into()] {
        assert!(log.contains(&text), "{text:?} is missing in\n{log}");
    }
    broker.produce(&plain("twice.in", 0..3, 1000));
    wait_for_group(broker, name, "twice.in");
    // A process that was killed holds nothing.
    first.sigkill();
    let again = dir.join("topology.yaml");
    fs::write(&again, topology(name).replace("1200000", "45000")).expect("a topology");
    let mut second = start(broker, &topology(name), dir.path());
    second.wait_for_log("running");
    assert!(!second.log().contains("is in use"), "{}", second.log());
}

const PAGES: &str = r"
application: pages
kafka: { bootstrap.servers: '${BROKERS}' }
http: 127.0.0.1:0
secrets: { pii: '${SALT}' }
defaults: { on_error: { dead_letter: pages.letters } }
streams:
  rows:
    from: pages.in
    steps: [dedup, { mask: { fields: { n: hash, born: drop, name: { rule: truncate, optional: true } } } }]
    to: pages.out
  later:
    from: { pattern: 'pages\.later\.\w+' }
    steps: [dedup, { mask: none }]
    to: pages.out
";

#[test]
fn pages_and_logs_tell_how_it_is() {
    let (broker, name) = (Broker::shared(), "pages");
    let dir = Dir::new(name);
    broker.create_topic("pages.out", 2, &[]);
    broker.create_topic("pages.letters", 1, &[]);
    fs::write(dir.join("topology.yaml"), PAGES).expect("a topology");
    let env = env(broker);
    let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let args = ["run", "-f", "topology.yaml", "--log-format", "json"];
    let mut highwater = Highwater::command(&args, &env, dir.path());
    highwater.wait_for_log("for the source topics pages.in to be created");
    let page = |highwater: &mut Highwater, path: &str| get(highwater, path);
    assert_eq!(page(&mut highwater, "/healthz").0, 200);
    let (status, why) = page(&mut highwater, "/readyz");
    assert!(status == 503 && why.contains("pages.in"), "{status} {why}");

    broker.create_topic("pages.in", 2, &[]);
    wait_until(LONG, "/readyz", || (page(&mut highwater, "/readyz").0 == 200).then_some(()));
    // 10 rows; 4 of them again; 10 more; a delete with its tombstone; a truncate; a message; two bad ones.
    let row = |id: u64| json!({ "id": id, "n": format!("row {id}"), "born": 1 });
    let change = |op: &str, id: u64, lsn: u64| crate::running::change("pages.in", op, &row(id), lsn);
    let mut lines: Vec<Line> = (0..10).map(|id| change("c", id, 1000 + id)).collect();
    lines.extend((0..4).map(|id| change("c", id, 1000 + id)));
    lines.extend((10..20).map(|id| change("c", id, 1000 + id)));
    lines.extend([change("d", 3, 2000), Line::tombstone("pages.in", "{\"id\":3}")]);
    lines.extend(
        ["t", "m"].map(|op| Line::new("pages.in", "{\"id\":0}", &json!({ "op": op, "source": {} }).to_string())),
    );
    lines.extend(["{", "[]"].map(|value| Line::new("pages.in", "{\"id\":0}", value)));
    broker.produce(&lines);
    let rows = ("stream", "rows");
    wait_for_metric(&mut highwater, "highwater_records_in_total", &[rows], lines.len() as f64);
    for (name, labels, value) in [
        ("records_out_total", &[rows][..], 21.0),
        ("dedup_dropped_total", &[rows, ("reason", "stale")], 4.0),
        ("dedup_dropped_total", &[rows], 4.0),
        ("records_skipped_total", &[rows, ("reason", "tombstone")], 1.0),
        ("records_skipped_total", &[rows, ("reason", "truncate")], 1.0),
        ("records_skipped_total", &[rows, ("reason", "message")], 1.0),
        ("records_skipped_total", &[rows], 3.0),
        ("dead_letters_total", &[rows, ("reason", "not_json")], 1.0),
        ("dead_letters_total", &[rows, ("reason", "not_envelope")], 1.0),
        ("dead_letters_total", &[rows], 2.0),
        ("masked_fields_total", &[rows, ("rule", "hash")], 21.0),
        ("masked_fields_total", &[rows, ("rule", "drop")], 21.0),
        ("masked_fields_total", &[rows, ("rule", "truncate")], 0.0),
        ("rules_unmatched", &[rows], 1.0),
        ("epochs_total", &[rows], 0.0),
        ("stale_run_records", &[rows], 0.0),
        ("end_to_end_seconds_count", &[], 21.0),
        ("transactions_total", &[("outcome", "unknown")], 0.0),
        ("transactions_total", &[("outcome", "aborted")], 0.0),
        ("build_info", &[], 1.0),
        ("rebalances_total", &[("event", "lost")], 0.0),
    ] {
        let page = page(&mut highwater, "/metrics").1;
        assert_eq!(metric(&page, &format!("highwater_{name}"), labels), value, "{name} {labels:?}\n{page}");
    }
    let text = page(&mut highwater, "/metrics").1;
    for name in ["transactions_total", "transaction_seconds_count", "rebalances_total", "source_freshness_seconds"] {
        assert!(metric(&text, &format!("highwater_{name}"), &[]) >= 1.0, "{name}\n{text}");
    }
    wait_for_metric(&mut highwater, "highwater_tasks", &[("state", "running")], 2.0);
    wait_until(DEADLINE, "no lag, and a report of it for both partitions", || {
        let text = page(&mut highwater, "/metrics").1;
        let lags =
            ["0", "1"].map(|p| format!("highwater_consumer_lag_records{{partition=\"{p}\",topic=\"pages.in\"}} 0"));
        lags.iter().all(|lag| text.lines().any(|line| line == lag)).then_some(())
    });

    // A topic that is made while it runs joins by itself.
    broker.create_topic("pages.later.one", 1, &[]);
    broker.produce(&plain("pages.later.one", 0..5, 10));
    wait_for_metric(&mut highwater, "highwater_records_out_total", &[("stream", "later")], 5.0);
    wait_for_metric(&mut highwater, "highwater_tasks", &[("state", "running")], 3.0);
    assert_eq!(broker.read_all("pages.out", Isolation::Committed).len(), 26);

    let log = stop(highwater);
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(["timestamp", "level", "message"].iter().all(|name| event[name].is_string()), "{line}");
    }
    assert!(log.lines().count() > 10 && log.contains("\"offset\":"), "{log}");
}

/// What a worker says while it cannot go on.
const WAITS: &str = "waiting, and trying again";

#[test]
fn a_broker_that_goes_and_comes_loses_and_repeats_nothing() {
    let (mut broker, name) = (Broker::start(), "outage");
    broker.create_topic("outage.in", 4, &[]);
    broker.create_topic("outage.out", 4, &[]);
    let mut lsn = 1000;
    let mut produce = |broker: &Broker| {
        broker.produce(&plain("outage.in", 0..5_000, lsn));
        lsn += 10_000;
    };
    produce(&broker);
    // Down before it starts.
    broker.kill();
    let dir = Dir::new(name);
    // Longer than the outages: a transaction that the coordinator aborts while its records are still on their way can be
    // left hanging by the broker (seen once: data behind no marker), and then nothing reads on. Transactions that outlive
    // their timeout are the stalled one's test.
    let topology = format!("transaction_timeout: 5m\n{}", topology(name));
    let mut highwater = start(&broker, &topology, dir.path());
    highwater.wait_for_log(&format!("waiting: for Kafka at {}", broker.bootstrap()));
    let (status, why) = get(&mut highwater, "/readyz");
    assert!(status == 503 && why.contains("waiting for"), "{status} {why}");
    assert_eq!(get(&mut highwater, "/healthz").0, 200);
    broker.restart();
    wait_for_group(&broker, name, "outage.in");
    for _ in 0..2 {
        // Down while it works.
        let before: i64 = broker.committed(name, "outage.in").values().sum();
        produce(&broker);
        wait_until(LONG, "a commit", || {
            (broker.committed(name, "outage.in").values().sum::<i64>() > before).then_some(())
        });
        broker.kill();
        let told = highwater.log().matches(WAITS).count();
        wait_until(LONG, "word of what it waits for", || (highwater.log().matches(WAITS).count() > told).then_some(()));
        wait_until(LONG, "/readyz to say so", || (get(&mut highwater, "/readyz").0 == 503).then_some(()));
        assert_eq!(get(&mut highwater, "/healthz").0, 200);
        broker.restart();
        wait_until(LONG, "/readyz", || (get(&mut highwater, "/readyz").0 == 200).then_some(()));
        wait_for_group(&broker, name, "outage.in");
    }
    let log = stop(highwater);
    let ends = broker.end_offsets("outage.in");
    assert_eq!(broker.committed(name, "outage.in"), ends);
    assert_eq!(rows_by_key(&broker, "outage.out"), truth(&broker, "outage.in", &ends), "{log}");
}
