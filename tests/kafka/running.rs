//! What several tests here do with a running application.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::{Map, Value, json};

use crate::support::changes::by_key;
pub use crate::support::changes::{SECRET, change};
pub use crate::support::process::page as get;
use crate::support::topics::{Isolation, config};
use crate::support::{Broker, DEADLINE, Highwater, Line, wait_until};

/// Far beyond what any of this takes.
pub const LONG: Duration = Duration::from_secs(300);

/// The environment of every instance.
pub fn env(broker: &Broker) -> Vec<(&'static str, String)> {
    vec![("BROKERS", broker.bootstrap()), ("SALT", SECRET.into()), ("HIGHWATER_LOG", "info".into())]
}

/// Waits until the group has processed everything that is in the topic now.
pub fn wait_for_group(broker: &Broker, group: &str, topic: &str) {
    let ends: BTreeMap<i32, i64> = broker.end_offsets(topic).into_iter().filter(|(_, end)| *end > 0).collect();
    wait_until(LONG, &format!("{group} at the end of {topic}, {ends:?}"), || {
        let committed = broker.committed(group, topic);
        ends.iter().all(|(p, end)| committed.get(p) >= Some(end)).then_some(())
    });
}

/// Committed output rows by key, in their order; the keyless ones under "".
pub fn rows_by_key(broker: &Broker, topic: &str) -> BTreeMap<String, Vec<Map<String, Value>>> {
    by_key(broker.read_all(topic, Isolation::Committed))
}

/// The same, only what left as `cdc_lsn`.
pub fn versions(broker: &Broker, topic: &str) -> BTreeMap<String, Vec<u64>> {
    let lsn = |row: Map<String, Value>| row["cdc_lsn"].as_u64().expect("a version");
    rows_by_key(broker, topic).into_iter().map(|(key, rows)| (key, rows.into_iter().map(lsn).collect())).collect()
}

/// An instance of a topology in a directory of its own.
pub fn start(broker: &Broker, topology: &str, dir: &Path) -> Highwater {
    let env = env(broker);
    let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
    Highwater::spawn(topology, &env, dir)
}

/// A clean end by SIGTERM.
#[track_caller]
pub fn stop(mut highwater: Highwater) -> String {
    highwater.sigterm();
    assert!(highwater.wait(LONG).success(), "{}", highwater.log());
    highwater.log()
}

/// An instance that processes what its topics hold, and stops. Returns its log.
#[track_caller]
pub fn run_through(broker: &Broker, topology: &str, dir: &Path, group: &str, topics: &[&str]) -> String {
    let highwater = start(broker, topology, dir);
    topics.iter().for_each(|topic| wait_for_group(broker, group, topic));
    stop(highwater)
}

/// An instance that ends by itself with exit code 1. Returns its log.
#[track_caller]
pub fn run_to_failure(broker: &Broker, topology: &str, dir: &Path) -> String {
    let mut highwater = start(broker, topology, dir);
    let status = highwater.wait(LONG);
    assert_eq!(status.code(), Some(1), "{}", highwater.log());
    highwater.log()
}

/// Rows `{ id, n }` under the keys `ids`, their LSNs from `lsn` on.
pub fn plain(topic: &str, ids: std::ops::Range<u64>, lsn: u64) -> Vec<Line> {
    ids.zip(lsn..)
        .map(|(id, lsn)| change(topic, "c", &json!({ "id": id, "n": format!("{id} at {lsn}") }), lsn))
        .collect()
}

/// One of Kafka's own tools.
#[track_caller]
pub fn kafka_cli(args: &[&str]) -> String {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/kafka-cli"));
    let out = command.args(args).stdin(Stdio::null()).output().expect("tools/kafka-cli");
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{args:?}: {said}");
    said
}

/// Runs the command that a message tells a person to run: from `kafka-NAME.sh` up to what ends it there.
#[track_caller]
pub fn follow_hint(log: &str, tool: &str, end: &str) {
    let script = format!("kafka-{tool}.sh ");
    let (_, rest) = log.split_once(&script).unwrap_or_else(|| panic!("no {script}in {log}"));
    let command = rest.split_once(end).map_or(rest, |(command, _)| command).trim();
    let args: Vec<&str> = [tool].into_iter().chain(command.split_whitespace()).chain(end.split_whitespace()).collect();
    kafka_cli(&args);
}

/// What a test does to a cluster behind the application's back.
pub fn administer<T, F: Future<Output = T>>(
    broker: &Broker,
    act: impl FnOnce(AdminClient<DefaultClientContext>, AdminOptions) -> F,
) -> T {
    let admin: AdminClient<DefaultClientContext> = config(&broker.bootstrap()).create().expect("an admin client");
    let options = AdminOptions::new().operation_timeout(Some(DEADLINE)).request_timeout(Some(DEADLINE));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(act(admin, options))
}

/// The sum of a metric's series that have all these labels.
pub fn metric(page: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let of_name = page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    let series = of_name.filter(|line| labels.iter().all(|label| line.contains(label)));
    series.map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok()).expect("a number")).sum()
}

/// Waits until a metric has a value; counters follow their transaction by a moment.
#[track_caller]
pub fn wait_for_metric(highwater: &mut Highwater, name: &str, labels: &[(&str, &str)], value: f64) {
    wait_until(DEADLINE, &format!("{name} {labels:?} at {value}"), || {
        (metric(&get(highwater, "/metrics").1, name, labels) == value).then_some(())
    });
}

/// Writes a record that is larger than clients usually send.
pub fn produce_large(broker: &Broker, line: &Line) {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    let producer: BaseProducer =
        config(&broker.bootstrap()).set("message.max.bytes", "16000000").create().expect("a producer");
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&line.topic);
    (record.partition, record.key, record.payload) = (line.partition, line.key.as_deref(), line.value.as_deref());
    producer.send(record).map_err(|(error, _)| error).expect("a record in the queue");
    producer.flush(DEADLINE).expect("a record in the log");
}
