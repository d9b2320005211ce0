//! On a real Kafka: partitions that move, owners that stall, offsets and records that somebody else changes.

use std::io::Write as _;
use std::process::{Command, Stdio};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;

use crate::app::{REPEATED, TABLE, assert_exact, count, fired, row, stop};
use crate::support::topics::config;
use crate::support::{Broker, ClickHouse, DEADLINE, Dir, Highwater, Line, wait_until};

/// An application of its own name on the broker that all tests share.
struct Fleet {
    name: &'static str,
    dir: Dir,
    topology: String,
    url: String,
}

impl Fleet {
    fn new(name: &'static str, clickhouse: &ClickHouse, partitions: i32, more: &str) -> Self {
        Broker::shared().create_topic(&format!("{name}.rows"), partitions, &[]);
        clickhouse.query(&format!("CREATE TABLE rows {TABLE}"));
        let topology = format!(
            "application: {name}\nkafka:\n  bootstrap.servers: '${{BROKERS}}'\n  session.timeout.ms: 4000\n  \
             heartbeat.interval.ms: 500\ntransaction_timeout: 10s\nhttp: 127.0.0.1:0\nsinks:\n  ch:\n    from: {name}.rows\n    \
             clickhouse: {{ url: '${{URL}}', table: rows, {more} }}\n"
        );
        Self { name, dir: Dir::new(name), topology, url: clickhouse.url() }
    }

    fn topic(&self) -> String {
        format!("{}.rows", self.name)
    }

    fn group(&self) -> String {
        format!("{}-ch", self.name)
    }

    fn produce(&self, partitions: i32, ids: std::ops::Range<u64>) {
        let line = |id: u64| Line::new(&self.topic(), "k", &row(id)).at((id % partitions as u64) as i32);
        Broker::shared().produce(&ids.map(line).collect::<Vec<_>>());
    }

    /// The instance of that number, in a directory of its own.
    fn start(&self, instance: &str) -> Highwater {
        let brokers = Broker::shared().bootstrap();
        let env = [("BROKERS", brokers.as_str()), ("URL", self.url.as_str()), ("HIGHWATER_LOG", "info")];
        Highwater::spawn(&self.topology, &env, &self.dir.join(instance))
    }

    /// Sets the group's offset in partition 0, as an operator does while nobody runs.
    fn set_offset(&self, offset: i64) {
        let mut config = config(&Broker::shared().bootstrap());
        let client: BaseConsumer = config.set("group.id", self.group()).create().expect("a consumer");
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&self.topic(), 0, Offset::Offset(offset)).expect("an offset");
        wait_until(DEADLINE, "an offset to be set", || client.commit(&offsets, CommitMode::Sync).ok());
    }

    /// The group has committed all that there is.
    fn wait_for_the_end(&self) {
        let broker = Broker::shared();
        let ends = broker.end_offsets(&self.topic());
        wait_until(DEADLINE, "the end of the topic", || {
            (broker.committed(&self.group(), &self.topic()) == ends).then_some(())
        });
    }
}

#[track_caller]
fn wait_for_rows(clickhouse: &ClickHouse, rows: u64) {
    wait_until(DEADLINE, &format!("{rows} rows"), || (count(clickhouse, "rows") >= rows).then_some(()));
}

/// What it was assigned last, as it wrote it; empty before.
fn assigned(process: &Highwater) -> String {
    process.log().lines().rev().find(|line| line.contains("assigned ")).unwrap_or_default().to_owned()
}

#[test]
fn partitions_move_while_inserts_are_under_way() {
    let clickhouse = ClickHouse::start();
    let fleet = Fleet::new("moving", &clickhouse, 6, "batch: { rows: 40, timeout: 50ms }, inserts: 3");
    fleet.produce(6, 0..3000);
    clickhouse.arm(&json!({"do": "delay", "ms": 300, "when": "insert", "skip": 4, "times": 12}));
    let mut first = fleet.start("first");
    wait_until(DEADLINE, "an insert that is held", || (fired(&clickhouse) > 0).then_some(()));
    let mut second = fleet.start("second");
    second.wait_for_log(&format!("{}-", fleet.topic()));
    assert!(assigned(&second).contains(&fleet.topic()), "{}", second.log());
    fleet.produce(6, 3000..6000);
    clickhouse.arm(&json!({"do": "delay", "ms": 300, "when": "insert", "skip": 2, "times": 6, "before": true}));
    // Another one goes in the middle of an insert, and one is killed in the middle of one.
    let before = fired(&clickhouse);
    wait_until(DEADLINE, "another that is held", || {
        (fired(&clickhouse) > before || count(&clickhouse, "rows") >= 6000).then_some(())
    });
    first.sigterm();
    assert!(first.wait(DEADLINE).success(), "{}", first.log());
    let third = fleet.start("third");
    second.sigkill();
    fleet.produce(6, 6000..7000);
    wait_for_rows(&clickhouse, 7000);
    fleet.wait_for_the_end();
    stop(third);
    assert_exact(&clickhouse, "rows", 0..7000);
}

/// Stopped while the server has its insert: another repeats it, then both are at it.
#[test]
fn an_owner_that_stalls_within_an_insert_repeats_nothing() {
    let clickhouse = ClickHouse::start();
    let fleet = Fleet::new("stalling", &clickhouse, 2, "batch: { rows: 40, timeout: 50ms }");
    fleet.produce(2, 0..1000);
    clickhouse.arm(&json!({"do": "delay", "ms": 600_000, "when": "insert", "skip": 3, "before": true}));
    let mut stalled = fleet.start("stalled");
    wait_until(DEADLINE, "an insert that is held", || (fired(&clickhouse) > 0).then_some(()));
    stalled.sigstop();
    let mut heir = fleet.start("heir");
    heir.wait_for_log(REPEATED);
    wait_for_rows(&clickhouse, 1000);
    // Now the server gets to the first one's, and the first one gets to itself.
    clickhouse.disarm();
    stalled.sigcont();
    stalled.wait_for_log("revoked");
    fleet.produce(2, 1000..2000);
    wait_for_rows(&clickhouse, 2000);
    fleet.wait_for_the_end();
    stop(stalled);
    stop(heir);
    assert_exact(&clickhouse, "rows", 0..2000);
}

/// Beyond what the table remembers only the group can tell that a plan is another's: it is asked before an old plan is sent.
#[test]
fn an_owner_that_stalls_before_an_insert_asks_whether_it_is_one_still() {
    let clickhouse = ClickHouse::start();
    let more = "batch: { rows: 10, timeout: 50ms }, inserts: 1, dedup_window: 3";
    let fleet = Fleet::new("asking", &clickhouse, 2, more);
    // A batch for each partition, and nothing that would be a reason to ask.
    fleet.produce(2, 0..20);
    // The first is in and has no answer; that of the other partition is planned, and waits for its turn.
    clickhouse.arm(&json!({"do": "delay", "ms": 600_000, "when": "insert"}));
    let mut stalled = fleet.start("stalled");
    wait_until(DEADLINE, "an insert that is held", || (fired(&clickhouse) > 0).then_some(()));
    let broker = Broker::shared();
    let planned = || broker.committed(&fleet.group(), &fleet.topic());
    wait_until(DEADLINE, "two plans", || (planned() == [(0, 10), (1, 10)].into()).then_some(()));
    stalled.sigstop();
    fleet.produce(2, 20..400);
    let mut heir = fleet.start("heir");
    heir.wait_for_log(REPEATED);
    wait_for_rows(&clickhouse, 400);
    fleet.wait_for_the_end();
    for partition in [0, 1] {
        let source = format!("source={}-{partition} ", fleet.topic());
        let repeated = |line: &str| line.contains(REPEATED) && line.contains(&source);
        assert!(heir.log().lines().any(repeated), "partition {partition}: {}", heir.log());
    }
    clickhouse.disarm();
    stalled.sigcont();
    stalled.wait_for_log("revoked");
    fleet.produce(2, 400..600);
    wait_for_rows(&clickhouse, 600);
    fleet.wait_for_the_end();
    stop(stalled);
    stop(heir);
    assert_exact(&clickhouse, "rows", 0..600);
}

/// Rows come again, because that was asked for, and the log says so; those that are cut as before are known by their token.
#[test]
fn offsets_that_are_reset_bring_rows_again_and_the_log_says_so() {
    let clickhouse = ClickHouse::start();
    let mut fleet = Fleet::new("resetting", &clickhouse, 1, "batch: { rows: 50, timeout: 2s }");
    fleet.produce(1, 0..200);
    let run = |fleet: &Fleet| {
        let process = fleet.start("one");
        fleet.wait_for_the_end();
        stop(process)
    };
    let log = run(&fleet);
    assert!(!log.contains("offset was set"), "{log}");
    assert_exact(&clickhouse, "rows", 0..200);
    fleet.set_offset(0);
    let log = run(&fleet);
    assert!(log.contains("the group's offset was set since the last insert was planned"), "{log}");
    assert_exact(&clickhouse, "rows", 0..200);
    // Cut in another way they are other inserts.
    fleet.topology = fleet.topology.replace("rows: 50", "rows: 40");
    fleet.set_offset(0);
    run(&fleet);
    let sql = "SELECT count() AS n, uniqExact(id) AS ids FROM rows";
    let counts = &clickhouse.query(sql)[0];
    assert_eq!((&counts["n"], &counts["ids"]), (&json!(400), &json!(200)));
}

#[test]
fn an_open_plan_whose_records_are_gone_stops_it_with_a_way_out_that_works() {
    let clickhouse = ClickHouse::start();
    let fleet = Fleet::new("retaining", &clickhouse, 1, "batch: { rows: 50, timeout: 50ms }");
    fleet.produce(1, 0..120);
    clickhouse.arm(&json!({"do": "delay", "ms": 600_000, "when": "insert", "skip": 1, "before": false}));
    let mut process = fleet.start("one");
    wait_until(DEADLINE, "an insert that is held", || (fired(&clickhouse) > 0).then_some(()));
    process.sigkill();
    clickhouse.disarm();
    let broker = Broker::shared();
    let planned = broker.committed(&fleet.group(), &fleet.topic())[&0];
    assert_eq!(planned, 100, "the second of three");
    delete_records(&fleet.topic(), 100);
    let mut process = fleet.start("one");
    let status = process.wait(DEADLINE);
    let log = process.log();
    assert!(!status.success(), "{log}");
    let plans = format!("{}-ch-plans", fleet.name);
    let way = format!("printf '{}-0\\tNULL\\n' | highwater produce {plans} --null NULL", fleet.topic());
    assert!(
        log.contains("offsets 50 to 99 into default.rows") && log.contains("some of its records are gone"),
        "{log}"
    );
    assert!(log.contains(&way), "{way} is not in {log}");
    // The way out, word for word but for where the program is.
    let bin = env!("CARGO_BIN_EXE_highwater");
    let script = way.replace("highwater produce", &format!("{bin} produce"));
    let mut shell = Command::new("bash")
        .args(["-e"])
        .current_dir(fleet.dir.join("one"))
        .stdin(Stdio::piped())
        .spawn()
        .expect("bash");
    shell.stdin.take().expect("a pipe").write_all(with_environment(&script, &fleet).as_bytes()).expect("its input");
    assert!(shell.wait().expect("bash").success());
    let process = fleet.start("one");
    fleet.wait_for_the_end();
    stop(process);
    // The insert was in: compared with the source, as the message asks, nothing is missing.
    assert_exact(&clickhouse, "rows", 0..120);
}

fn with_environment(script: &str, fleet: &Fleet) -> String {
    format!("export BROKERS={} URL={}\n{script}\n", Broker::shared().bootstrap(), fleet.url)
}

/// As retention does.
fn delete_records(topic: &str, before: i64) {
    let admin: AdminClient<DefaultClientContext> =
        config(&Broker::shared().bootstrap()).create().expect("an admin client");
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(before)).expect("an offset");
    let deleted = admin.delete_records(&offsets, &AdminOptions::new());
    crate::support::topics::block_on(deleted).expect("an answer");
}
