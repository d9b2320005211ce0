//! What needs a Kafka: others who write meanwhile, transactions that time out, brokers that go.

use std::time::Duration;

use crate::command::Running;
use crate::place::{Place, numbered};
use crate::support::{Broker, DEADLINE, Dir, wait_until};

#[test]
fn records_that_come_later_are_followed() {
    let (log, broker) = (Place::kafka("follow"), Broker::shared());
    log.create("follow", 2, &[]);
    log.write(&numbered("follow", 0, 0..2));
    let mut all = log.command("consume", &["--follow", "--format", "value"]);
    assert_eq!([all.line(), all.line()], ["v0\n", "v1\n"]);
    // It stands at the end now, and goes on.
    log.write(&numbered("follow", 1, 2..3));
    assert_eq!(all.line(), "v2\n");
    let open = broker.begin("follow", &numbered("follow", 0, 3..5));
    log.write(&numbered("follow", 1, 5..6));
    assert_eq!(all.line(), "v5\n", "nothing of an open transaction");
    open.commit();
    assert_eq!([all.line(), all.line()], ["v3\n", "v4\n"]);
    let mut producer = log.command("produce", &["--partition", "1"]);
    producer.write("k6\tv6\n");
    assert_eq!(all.line(), "v6\n", "as soon as it was typed");
    producer.write("k7\tv7\n");
    assert_eq!(all.line(), "v7\n");
    producer.finish(&[]).ended(0);
    let tail = log.command("consume", &["-F", "--from", "-1", "--format", "value", "--count", "4"]);
    let mut tail = tail;
    let mut first = [tail.line(), tail.line()];
    first.sort();
    assert_eq!(first, ["v4\n", "v7\n"]);
    log.write(&numbered("follow", 0, 8..10));
    assert_eq!(tail.finish(&[]).ended(0).silent().stdout, "v8\nv9\n");
    // An offset that is still to come.
    let next = broker.end_offsets("follow")[&0];
    let args = ["-F", "--partition", "0", "--format", "value", "--count", "1", "--from", &(next + 1).to_string()];
    let later = log.command("consume", &args);
    log.write(&numbered("follow", 0, 10..12));
    assert_eq!(later.finish(&[]).ended(0).silent().stdout, "v11\n");
    all.signal("TERM");
    assert_eq!(all.finish(&[]).ended(0).silent().stdout, "v8\nv9\nv10\nv11\n");
}

#[test]
fn a_transaction_that_takes_longer_than_its_time() {
    let (log, broker) = (Place::kafka("overtime"), Broker::shared());
    log.create("overtime", 1, &[]);
    let mut late = log.command("produce", &["--transaction", "--transaction-timeout", "1s"]);
    late.write("k\tv\n");
    // The client's own timeout is a minute.
    wait_until(Duration::from_secs(45), "an aborted transaction", || {
        let (end, stable) = (broker.end_offsets("overtime")[&0], broker.stable_offsets("overtime")[&0]);
        (end == 2 && stable == 2).then_some(())
    });
    let said = late.finish(b"k\tw\n").ended(1);
    said.says(&["took longer than its timeout of 1s", "--transaction-timeout"]);
    assert_eq!(log.read("overtime"), []);
}

#[test]
fn a_broker_that_goes_and_comes() {
    let mut broker = Broker::start();
    broker.create_topic("outage", 2, &[]);
    let dir = Dir::new("lines");
    let bootstrap = broker.bootstrap();
    let start = |command| Running::start(&[command, "outage", "--bootstrap", &bootstrap], dir.path());
    let mut follow = Running::start(&["consume", "outage", "-F", "--bootstrap", &bootstrap], dir.path());
    let mut produce = start("produce");
    produce.write("k0\tv0\n");
    assert_eq!(follow.line(), "k0\tv0\n");
    broker.kill();
    produce.write("k1\tv1\nk2\tv2\n");
    for running in [&produce, &follow] {
        wait_until(DEADLINE, "word of what it waits for", || {
            running.stderr().contains(&format!("waiting for Kafka at {bootstrap}")).then_some(())
        });
    }
    broker.restart();
    let mut lines = [follow.line(), follow.line()];
    lines.sort();
    assert_eq!(lines, ["k1\tv1\n", "k2\tv2\n"]);
    produce.finish(b"k3\tv3\n").ended(0).says(&["4 records written to outage"]);
    assert_eq!(follow.line(), "k3\tv3\n");
    follow.signal("TERM");
    assert_eq!(follow.finish(&[]).ended(0).stdout, "");
    assert_eq!(start("consume").finish(&[]).ended(0).stdout.lines().count(), 4, "each once");
}

#[test]
fn a_broker_that_is_not_there() {
    let dir = Dir::new("lines");
    for command in ["produce", "consume"] {
        let said = Running::start(&[command, "topic", "--bootstrap", "127.0.0.1:1"], dir.path()).finish(b"k\tv\n");
        let said = said.ended(1).says(&["error: Kafka at 127.0.0.1:1: ", "waiting for Kafka at 127.0.0.1:1"]);
        assert_eq!(said.stdout, "");
    }
    let args = ["consume", "topic", "--bootstrap", "127.0.0.1:1", "-X", "no.such.property=1"];
    Running::start(&args, dir.path()).finish(&[]).ended(1).says(&["no.such.property"]);
}
