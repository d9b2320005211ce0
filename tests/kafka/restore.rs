//! Stores that come back from their changelogs, whatever lies there.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::running::{get, plain, run_through, start, stop, versions, wait_for_group};
use crate::support::topics::Isolation;
use crate::support::{Broker, DEADLINE, Dir, Line, wait_until};

fn topology(name: &str) -> String {
    format!(
        "application: {name}\n\
         kafka: {{ bootstrap.servers: '${{BROKERS}}' }}\n\
         http: {{ listen: 127.0.0.1:0 }}\n\
         streams:\n  people: {{ from: {name}.in, steps: [dedup, {{ mask: none }}], to: {name}.out }}\n"
    )
}

/// The last stable offset is the first end of partition that a restore meets. What was committed behind it is state too:
/// a restore that stopped there would let replays of it out again.
#[test]
fn a_restore_goes_on_behind_the_last_stable_offset() {
    let broker = Broker::shared();
    let (input, output, changelog) = ("lso.in", "lso.out", "lso-people-lso.in-changelog");
    broker.create_topic(input, 2, &[]);
    broker.create_topic(output, 1, &[]);
    let (dir, topology) = (Dir::new("lso"), topology("lso"));
    let at = |partition: i32, ids: Range<u64>, lsn: u64| -> Vec<Line> {
        plain(input, ids, lsn).into_iter().map(|line| line.at(partition)).collect()
    };

    let early = at(0, 0..50, 1_000);
    broker.produce(&early);
    let highwater = start(broker, &topology, dir.path());
    wait_for_group(broker, "lso", input);
    // A stranger's transaction is open on the changelog, in a key that no layout of ours knows, and will be aborted.
    let stranger = broker.begin("lso-stranger", &[Line::new(changelog, "never committed", "").at(0)]);
    let late = at(0, 50..100, 2_000);
    broker.produce(&late);
    wait_for_group(broker, "lso", input);
    stop(highwater);
    assert!(broker.stable_offsets(changelog)[&0] < broker.end_offsets(changelog)[&0], "the transaction is open");
    let before = versions(broker, output);
    assert_eq!(before.len(), 100);

    // The state is lost, and all changes come once more.
    std::fs::remove_dir_all(dir.join("state")).expect("the state directory");
    let processed = broker.committed("lso", input)[&0];
    broker.produce(&early);
    broker.produce(&late);
    let mut highwater = start(broker, &topology, dir.path());
    // The other partition comes up and works meanwhile; a restore that took the first end for the last would be through.
    for round in 0..5 {
        broker.produce(&at(1, 100..101, 3_000 + round));
        let end = broker.end_offsets(input)[&1];
        wait_until(DEADLINE, "the other partition", || {
            (broker.committed("lso", input).get(&1) == Some(&end)).then_some(())
        });
    }
    // The page is a second old at most.
    wait_until(DEADLINE, "a page that says that it restores", || {
        let (status, text) = get(&mut highwater, "/readyz");
        (status == 503 && text.contains("restoring")).then_some(())
    });
    assert_eq!(broker.committed("lso", input)[&0], processed);
    stranger.abort();
    wait_for_group(broker, "lso", input);
    let log = stop(highwater);
    assert!(log.contains("restored"), "{log}");
    let mut expected = before;
    expected.insert(r#"{"id":100}"#.into(), (3_000..3_005).collect());
    assert_eq!(versions(broker, output), expected);
}

/// A delete leaves its position behind: an older row that is delivered again must stay dead, also from a restored store.
#[test]
fn a_deleted_row_is_not_brought_back_by_a_replay() {
    let broker = Broker::shared();
    let (input, output) = ("dead.in", "dead.out");
    broker.create_topic(input, 1, &[]);
    broker.create_topic(output, 1, &[]);
    let (dir, topology) = (Dir::new("dead"), topology("dead"));
    let row = serde_json::json!({ "id": 7, "n": "x" });
    let created = crate::running::change(input, "c", &row, 1_000);
    let deleted = crate::running::change(input, "d", &row, 1_010);
    broker.produce(&[created.clone(), deleted, Line::tombstone(input, r#"{"id":7}"#)]);
    run_through(broker, &topology, dir.path(), "dead", &[input]);
    for wiped in [false, true] {
        if wiped {
            std::fs::remove_dir_all(dir.join("state")).expect("the state directory");
        }
        broker.produce(std::slice::from_ref(&created));
        run_through(broker, &topology, dir.path(), "dead", &[input]);
        assert_eq!(versions(broker, output), BTreeMap::from([(r#"{"id":7}"#.to_string(), vec![1_000, 1_010])]));
    }
    assert_eq!(broker.read_all(output, Isolation::Uncommitted).len(), 2, "and nothing was tried");
}

/// Two workers of one process hand a partition over through the changelog and the same database.
#[test]
fn threads_may_grow_and_shrink() {
    let broker = Broker::shared();
    let (input, output) = ("threads.in", "threads.out");
    broker.create_topic(input, 4, &[]);
    broker.create_topic(output, 1, &[]);
    let (dir, text) = (Dir::new("threads"), topology("threads"));
    for (round, threads) in [1, 3, 2].into_iter().enumerate() {
        let lsn = 1_000 * (round as u64 + 1);
        broker.produce(&plain(input, 0..200, lsn));
        broker.produce(&plain(input, 0..200, 1_000));
        run_through(broker, &format!("threads: {threads}\n{text}"), dir.path(), "threads", &[input]);
    }
    for (key, versions) in versions(broker, output) {
        assert_eq!(versions.len(), 3, "{key}: {versions:?}");
        assert!(versions.is_sorted(), "{key}: {versions:?}");
    }
}
