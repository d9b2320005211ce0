//! Whoever is killed: Highwater, Kafka Connect, ClickHouse.

use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::stage::{Stage, loaded};
use crate::support::database::TABLES;
use crate::support::{DEADLINE, wait_until};

/// A hundred rows before anybody reads them, Highwater killed, a hundred more changes, Highwater started again.
pub fn of_highwater(stage: &mut Stage) {
    stage.load(&["--seed", "1", "--updates", "0", "--deletes", "0", "--count", "100"]);
    stage.load(&["--seed", "2", "--updates", "40", "--deletes", "20", "--count", "60"]);
    let rows: usize = TABLES.map(|table| stage.held(table).len()).iter().sum();
    assert!(rows >= 100, "{rows}");
    stage.connect();
    stage.run();
    stage.settle();
    let snapshot = stage.verify("the snapshot");
    // And the row that was followed.
    assert_eq!((snapshot.delivered, snapshot.inserted, snapshot.stale), (rows + 1, rows + 1, 0));

    stage.highwater().sigkill();
    stage.load(&["--seed", "2", "--count", "100"]);
    stage.run();
    stage.settle();
    let more = stage.verify("a hundred more changes");
    // A followed row each time.
    assert_eq!(more.delivered - snapshot.delivered, 101);
    assert!(more.deleted > 0, "{more:?}");

    // Now while it is at it, and something is on each part of the way.
    let load = stage.loading(&["--seed", "2", "--count", "600", "--rate", "150"]);
    let begun = stage.delivered();
    stage.wait("changes to flow", |stage| stage.delivered() > begun + 200);
    stage.highwater().sigkill();
    stage.run();
    loaded(load);
    stage.settle();
    stage.verify("Highwater was killed in mid-stream");
}

/// What a killed worker had sent and not noted, the next one sends again.
pub fn of_connect(stage: &mut Stage) {
    let before = stage.verify("before Connect is killed");
    let load = stage.loading(&["--seed", "2", "--count", "2000", "--rate", "100"]);
    // Killed when a good deal was sent since it last wrote down how far it is.
    let noted = |stage: &Stage| -> i64 { stage.broker.end_offsets("brew.connect.offsets").values().sum() };
    let (mut at, mut since) = (noted(stage), stage.delivered());
    stage.wait("changes that are sent and not noted", |stage| {
        let (now, delivered) = (noted(stage), stage.delivered());
        if now != at {
            (at, since) = (now, delivered);
        }
        delivered > since + 100
    });
    stage.worker.take().expect("a worker").kill();
    stage.start_worker();
    loaded(load);
    stage.settle();
    let after = stage.verify("Connect was killed in mid-stream");
    assert!(after.stale > before.stale, "nothing was sent again: {after:?}");
    assert!(after.deleted > before.deleted, "{after:?}");
}

/// An insert whose answer is lost, one whose connection breaks first, a server that dies before, after and within one.
pub fn of_clickhouse(stage: &mut Stage) {
    let load = stage.loading(&["--seed", "2", "--count", "100000", "--rate", "100"]);
    for lost in ["lose_reply", "lose_request"] {
        stage.clickhouse.arm(&json!({ "do": lost, "when": "insert", "match": "brew", "times": 2 }));
        stage.wait(&format!("{lost} to befall inserts"), |stage| {
            stage.clickhouse.faults()["armed"].as_array().is_some_and(Vec::is_empty)
        });
    }
    for kill in ["kill_after", "kill_before"] {
        stage.clickhouse.arm(&json!({ "do": kill, "when": "insert", "match": "brew" }));
        stage.clickhouse.ended();
        stage.clickhouse.restart();
        wait_until(DEADLINE, "inserts to go on", || (stage.clickhouse.queries().1 > 0).then_some(()));
    }
    // Not asked to: the process is gone while inserts are under way, some of them in the engine.
    stage.clickhouse.arm(&json!({ "do": "delay", "when": "insert", "match": "brew", "ms": 180_000, "before": true }));
    stage.wait("an insert to be held", |stage| {
        stage.clickhouse.faults()["fired"].as_array().is_some_and(|f| !f.is_empty())
    });
    stage.clickhouse.kill();
    // Highwater meets nobody at all.
    thread::sleep(Duration::from_millis(500));
    stage.clickhouse.restart();
    load.sigterm();
    let mut load = load;
    assert_eq!(load.wait(DEADLINE).code(), Some(130), "{}", load.log());
    stage.settle();
    stage.verify("ClickHouse was killed in mid-insert");
}
