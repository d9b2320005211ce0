//! Records that cannot be processed: each leaves by `on_error` and by nothing else, good ones around it pass, and
//! nothing personal is written anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use highwater::cli::leaks::{Kind, Search, Searcher, Values};
use highwater::record::Reason;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use serde_json::{Value, json};

use crate::running::{
    LONG, SECRET, change, env, get, metric, produce_large, rows_by_key, run_to_failure, start, stop, wait_for_group,
    wait_for_metric,
};
use crate::support::bad::{CANARY, OUTPUTS, RULES, bad, bad_others, bad_people, masked, person, topology};
use crate::support::oracle::hashed;
use crate::support::topics::{Isolation, config};
use crate::support::{Broker, Dir, Highwater, Line, Read, wait_until};

const LIMIT: &str = "8000000";

/// All of it lies in the second of two partitions, so that a reference must name the right one.
const PARTITION: i32 = 1;

fn create_outputs(broker: &Broker, name: &str) {
    for output in OUTPUTS {
        let limit = match output {
            "small" => &[("max.message.bytes", "100000")][..],
            "large" => &[("max.message.bytes", LIMIT)],
            _ => &[],
        };
        broker.create_topic(&format!("{name}.{output}"), 2, limit);
    }
}

/// What was written, and what must come of it.
struct Case {
    /// Topic, offset and reason of every bad record.
    bad: Vec<(String, i64, Reason)>,
    /// Rows by output, in the order of their offsets.
    rows: BTreeMap<&'static str, Vec<Value>>,
    /// Records in by stream.
    records: BTreeMap<&'static str, usize>,
    large: usize,
}

impl Case {
    fn bad_of(&self, stream: &str) -> impl Iterator<Item = &(String, i64, Reason)> {
        let topic = format!("bad.{stream}");
        self.bad.iter().filter(move |(of, ..)| *of == topic)
    }
}

/// Writes good and bad records by turns. Once; three applications read them.
fn written(broker: &Broker) -> Case {
    for input in OUTPUTS {
        let limit = if input == "large" { LIMIT } else { "1048588" };
        broker.create_topic(&format!("bad.{input}"), 2, &[("max.message.bytes", limit)]);
    }
    let mut case = Case { bad: Vec::new(), rows: BTreeMap::new(), records: BTreeMap::new(), large: 5_000_000 };
    let mut lines: Vec<Line> = Vec::new();
    let mut reasons: Vec<Option<Reason>> = Vec::new();
    let mut good =
        |lines: &mut Vec<Line>, reasons: &mut Vec<Option<Reason>>, stream: &'static str, line: Line, row: Value| {
            assert!(line.topic.ends_with(stream));
            lines.push(line);
            reasons.push(None);
            case.rows.entry(stream).or_default().push(row);
        };
    for (id, bad) in (1..).zip(bad_people()) {
        good(&mut lines, &mut reasons, "people", change("bad.people", "c", &person(id), id), masked(&person(id), id));
        lines.push(bad.line);
        reasons.push(Some(bad.reason));
    }
    // A bad version of a row leaves no position behind: what lies below it is still accepted.
    for (lsn, reason) in [(1000, None), (3000, Some(Reason::UnlistedColumn)), (2000, None)] {
        let mut row = person(900);
        if reason.is_some() {
            row["new_column"] = json!(CANARY);
            lines.push(change("bad.people", "u", &row, lsn));
            reasons.push(reason);
        } else {
            good(&mut lines, &mut reasons, "people", change("bad.people", "u", &row, lsn), masked(&row, lsn));
        }
    }
    // A table without a key.
    let keyless = Line { key: None, ..change("bad.people", "c", &person(901), 901) };
    good(&mut lines, &mut reasons, "people", keyless, masked(&person(901), 901));
    for bad in bad_others() {
        lines.push(bad.line);
        reasons.push(Some(bad.reason));
    }
    let row = json!({ "id": 8, "body": "fits" });
    let out = json!({ "id": 8, "body": "fits", "cdc_lsn": 11, "_deleted": 0 });
    good(&mut lines, &mut reasons, "small", change("bad.small", "c", &row, 11), out);
    let row = json!({ "id": 2, "email": format!("{CANARY}@example.com") });
    let out =
        json!({ "id": 2, "email": hashed(SECRET, &format!("{CANARY}@example.com")), "cdc_lsn": 11, "_deleted": 0 });
    good(&mut lines, &mut reasons, "tables", change("bad.tables", "c", &row, 11), out);
    let row = json!({ "email": format!("{CANARY}@example.com"), "full_name": format!("Ivan {CANARY}") });
    let mut line = change("bad.keys", "c", &row, 11);
    let key = json!({ "schema": { "name": CANARY }, "payload": { "email": row["email"] } });
    line.key = Some(key.to_string().into_bytes());
    line.headers = [("tenant", "acme"), ("__debezium.newkey", CANARY), ("x-user", CANARY)]
        .map(|(name, value)| (name.to_string(), Some(value.as_bytes().to_vec())))
        .into();
    let out = json!({ "email": hashed(SECRET, &format!("{CANARY}@example.com")), "full_name": "IvanC.", "cdc_lsn": 11, "_deleted": 0 });
    good(&mut lines, &mut reasons, "keys", line, out);

    let lines: Vec<Line> = lines.into_iter().map(|line| line.at(PARTITION)).collect();
    let places = broker.produce(&lines);
    for ((line, reason), (_, offset)) in lines.iter().zip(&reasons).zip(places) {
        let stream = OUTPUTS.iter().find(|stream| line.topic.ends_with(*stream)).expect("a stream");
        *case.records.entry(stream).or_default() += 1;
        if let Some(reason) = reason {
            case.bad.push((line.topic.clone(), offset, *reason));
        }
    }
    let row = json!({ "id": 1, "body": "x".repeat(case.large) });
    produce_large(broker, &change("bad.large", "c", &row, 10).at(PARTITION));
    case.records.insert("large", 1);
    case
}

fn sources() -> [String; 5] {
    OUTPUTS.map(|stream| format!("bad.{stream}"))
}

fn wait(broker: &Broker, name: &str, case: &Case, highwater: &mut Highwater) {
    sources().iter().for_each(|topic| wait_for_group(broker, name, topic));
    for (stream, records) in &case.records {
        wait_for_metric(highwater, "highwater_records_in_total", &[("stream", stream)], *records as f64);
    }
}

fn assert_rows(broker: &Broker, name: &str, case: &Case, keyless_times: usize) {
    for stream in OUTPUTS.iter().filter(|stream| **stream != "large") {
        let mut left = rows_by_key(broker, &format!("{name}.{stream}"));
        let keyless = left.remove("").unwrap_or_default();
        let mut left: Vec<Value> = left.into_values().flatten().map(Value::Object).collect();
        let mut want = case.rows[stream].clone();
        let keyless_want: Vec<Value> = want.extract_if(.., |row| row["id"] == 901).collect();
        let by_id = |row: &Value| (row["id"].as_u64(), row["cdc_lsn"].as_u64());
        left.sort_by_key(by_id);
        want.sort_by_key(by_id);
        assert_eq!(left, want, "{name}.{stream}");
        assert_eq!(keyless.len(), keyless_want.len() * keyless_times, "{name}.{stream}, keyless");
        keyless.into_iter().for_each(|row| assert_eq!(Value::Object(row), keyless_want[0]));
    }
    let large = broker.read_all(&format!("{name}.large"), Isolation::Committed);
    let sizes: Vec<_> = large.iter().map(|read| read.value.as_ref().map_or(0, Vec::len)).collect();
    let framing = r#"{"id":1,"body":"","cdc_lsn":10,"_deleted":0}"#.len();
    assert_eq!(sizes, [case.large + framing], "the row of five megabytes");
}

fn searcher() -> Searcher {
    Searcher::new(&Values::of(&[CANARY]).expect("values")).expect("a searcher")
}

/// Every topic but the sources, and every file: logs, RocksDB's.
fn assert_no_canary(broker: &Broker, name: &str, dir: &Path) {
    let topics = broker.topics();
    let own: Vec<&String> = topics.keys().filter(|topic| topic.starts_with(&format!("{name}."))).collect();
    let logs = topics.keys().filter(|topic| topic.starts_with(&format!("{name}-")) && topic.ends_with("-changelog"));
    let logs: Vec<&String> = logs.collect();
    assert!(own.len() >= 5 && logs.len() == 5, "{topics:?}");
    let searcher = searcher();
    let mut search = Search::new(&searcher);
    for topic in own.into_iter().chain(logs) {
        broker.search(&mut search, Kind::Topic, topic);
    }
    search.files(dir, &|_| None).expect("files");
    let of = |kind: Kind| search.places.iter().filter(move |place| place.kind == kind);
    assert!(of(Kind::File).any(|place| place.name.ends_with(".sst")), "{:?}", search.places);
    assert!(of(Kind::Store).any(|place| place.records > 0), "{:?}", search.places);
    assert!(search.hits.is_empty(), "{:?}", search.hits);
}

/// Each bad record once a round, as a reference.
fn assert_letters(broker: &Broker, name: &str, case: &Case, rounds: usize) {
    let letters = broker.read_all(&format!("{name}.letters"), Isolation::Committed);
    let header = |letter: &Read, name: &str| -> String {
        let mut values = letter.headers.iter().filter(|(header, _)| header == &format!("highwater.{name}"));
        let value =
            values.next().and_then(|(_, value)| value.clone()).unwrap_or_else(|| panic!("no {name}: {letter:?}"));
        assert!(values.next().is_none(), "{name} twice");
        String::from_utf8(value).expect("UTF-8")
    };
    let mut left: Vec<(String, String, String, String)> = letters
        .iter()
        .map(|l| (header(l, "topic"), header(l, "partition"), header(l, "offset"), header(l, "reason")))
        .collect();
    let mut want: Vec<_> = std::iter::repeat_n(&case.bad, rounds)
        .flatten()
        .map(|(topic, offset, reason)| (topic.clone(), PARTITION.to_string(), offset.to_string(), reason.to_string()))
        .collect();
    left.sort();
    want.sort();
    assert_eq!(left, want);
    let ids = topic_ids(broker);
    for letter in &letters {
        let (topic, partition, offset) =
            (header(letter, "topic"), header(letter, "partition"), header(letter, "offset"));
        assert_eq!(header(letter, "topic_id"), ids[&topic]);
        assert_eq!(header(letter, "application"), name);
        assert_eq!(format!("bad.{}", header(letter, "stream")), topic);
        assert_eq!(letter.key.as_deref(), Some(format!("{topic}-{partition}@{offset}").as_bytes()));
        let value: Value = serde_json::from_slice(letter.value.as_deref().expect("a value")).expect("JSON");
        for name in ["application", "stream", "topic", "topic_id", "reason", "detail"] {
            assert_eq!(value[name], header(letter, name), "{value}");
        }
        assert_eq!([&value["partition"], &value["offset"]].map(Value::to_string), [partition, offset]);
        assert!(!header(letter, "detail").is_empty());
    }
}

/// As Kafka's own tool tells them, in hexadecimal.
fn topic_ids(broker: &Broker) -> BTreeMap<String, String> {
    let told = crate::running::kafka_cli(&["topics", "--bootstrap-server", &broker.bootstrap(), "--describe"]);
    let field = |line: &str, name: &str| -> Option<String> {
        let (_, rest) = line.split_once(&format!("{name}: "))?;
        rest.split_whitespace().next().map(str::to_owned)
    };
    let id = |line: &str| Some((field(line, "Topic")?, hex(&field(line, "TopicId")?)));
    told.lines().filter_map(id).collect()
}

/// Kafka writes ids in base64 for URLs, without padding.
fn hex(id: &str) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: String =
        id.bytes().map(|b| format!("{:06b}", digits.iter().position(|d| *d == b).expect("base64"))).collect();
    let byte = |at: usize| u8::from_str_radix(&bits[at..at + 8], 2).expect("bits");
    (0..16).map(|index| format!("{:02x}", byte(8 * index))).collect()
}

fn rewind(broker: &Broker, group: &str) {
    let consumer: BaseConsumer = config(&broker.bootstrap()).set("group.id", group).create().expect("a consumer");
    let mut start = TopicPartitionList::new();
    for topic in sources() {
        start.add_partition_offset(&topic, PARTITION, rdkafka::Offset::Offset(0)).expect("a valid offset");
    }
    consumer.commit(&start, CommitMode::Sync).expect("offsets of a group without members");
}

fn spawn(broker: &Broker, topology: &str, dir: &Dir) -> Highwater {
    std::fs::write(dir.join("rules.yaml"), RULES).expect("the rules");
    let env = env(broker);
    let mut env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
    // All that it could ever say.
    env.push(("HIGHWATER_LOG", "debug"));
    Highwater::spawn(topology, &env, dir.path())
}

#[test]
fn bad_records_leave_a_reference_or_a_count_and_nothing_else() {
    let broker = Broker::shared();
    let case = written(broker);
    let met: BTreeSet<Reason> = case.bad.iter().map(|(.., reason)| *reason).collect();
    let of_streams = Reason::ALL.iter().copied().filter(|reason| !reason.is_of_sinks()).collect();
    assert_eq!(met, of_streams, "every reason that streams have");

    // Dead letters, then all again after a rewind.
    let (name, dir) = ("badletters", Dir::new("badletters"));
    create_outputs(broker, name);
    broker.create_topic("badletters.letters", 3, &[]);
    let topology_of_letters = topology(name, "{ dead_letter: { topic: badletters.letters } }");
    for round in 1..=2 {
        let mut highwater = spawn(broker, &topology_of_letters, &dir);
        wait(broker, name, &case, &mut highwater);
        let page = get(&mut highwater, "/metrics").1;
        for stream in OUTPUTS {
            for reason in Reason::ALL {
                let count = case.bad_of(stream).filter(|(.., of)| of == reason).count();
                let labels = [("stream", stream), ("reason", reason.as_str())];
                assert_eq!(metric(&page, "highwater_dead_letters_total", &labels), count as f64, "{labels:?}");
            }
            let skipped = metric(&page, "highwater_records_skipped_total", &[("stream", stream)]);
            assert_eq!(skipped, 0.0, "skipped of {stream}");
        }
        assert!(!searcher().holds(page.as_bytes()), "{page}");
        stop(highwater);
        assert_rows(broker, name, &case, round);
        assert_letters(broker, name, &case, round);
        assert_no_canary(broker, name, dir.path());
        rewind(broker, name);
    }
    let keyed = broker.read_all("badletters.keys", Isolation::Committed);
    let key = json!({ "email": hashed(SECRET, &format!("{CANARY}@example.com")) }).to_string();
    assert_eq!(keyed.len(), 1);
    assert_eq!(keyed[0].key.as_deref(), Some(key.as_bytes()), "the bare payload, under the rule of its column");
    assert_eq!(keyed[0].headers, [("tenant".to_string(), Some(b"acme".to_vec()))]);

    // Counted, and nothing out.
    let (name, dir) = ("badskip", Dir::new("badskip"));
    create_outputs(broker, name);
    let mut highwater = spawn(broker, &topology(name, "skip"), &dir);
    wait(broker, name, &case, &mut highwater);
    let page = get(&mut highwater, "/metrics").1;
    for stream in OUTPUTS {
        let labels = [("stream", stream), ("reason", "bad_record")];
        let count = case.bad_of(stream).count() as f64;
        assert_eq!(metric(&page, "highwater_records_skipped_total", &labels), count, "{labels:?}");
        assert_eq!(metric(&page, "highwater_dead_letters_total", &[("stream", stream)]), 0.0, "{stream}");
    }
    stop(highwater);
    assert_rows(broker, name, &case, 1);
    assert_no_canary(broker, name, dir.path());
}

#[test]
fn a_bad_record_stops_who_asked_for_it_and_commits_nothing_beyond() {
    let broker = Broker::shared();
    let (input, output, group) = ("badfail.in", "badfail.out", "badfail");
    let topology = |on_error: &str| {
        format!(
            "application: badfail\nkafka: {{ bootstrap.servers: '${{BROKERS}}' }}\nstreams:\n  rows:\n    from: badfail.in\n    \
             steps: [dedup, {{ mask: {{ unlisted: drop, fields: {{ id: passthrough }} }} }}]\n    to: badfail.out\n    \
             on_error: {on_error}\n"
        )
    };
    broker.create_topic(input, 1, &[]);
    broker.create_topic(output, 1, &[]);
    let good = |id: u64| change(input, "c", &person(id), id);
    let dir = Dir::new("badfail");
    broker.produce(&[good(1)]);
    let mut highwater = start(broker, &topology("fail"), dir.path());
    wait_for_group(broker, group, input);
    broker.produce(&[good(2), bad(Reason::NotJson, input, "{\"id\":3}", format!("{CANARY} {{")).line, good(4)]);
    assert_eq!(highwater.wait(LONG).code(), Some(1), "{}", highwater.log());
    let again = run_to_failure(broker, &topology("fail"), dir.path());
    for log in [highwater.log(), again] {
        for text in ["badfail.in-0@2", "not_json", "dead_letter", "skip", "on_error"] {
            assert!(log.contains(text), "{text:?} is missing in\n{log}");
        }
        assert!(!searcher().holds(log.as_bytes()), "{log}");
    }
    // The good record before it may share its transaction, or have had one of its own.
    let committed = broker.committed(group, input)[&0];
    assert!((1..=2).contains(&committed), "committed {committed}");
    let ids = || -> Vec<Value> {
        let rows = broker.read_all(output, Isolation::Committed);
        let row = |read: &Read| serde_json::from_slice::<Value>(read.value.as_deref().expect("a row")).expect("JSON");
        rows.iter().map(|read| row(read)["id"].clone()).collect()
    };
    assert_eq!(ids(), (1..=committed).map(Value::from).collect::<Vec<_>>());
    // Nothing hangs, and nothing was lost.
    wait_until(LONG, "a stable end", || (broker.stable_offsets(output) == broker.end_offsets(output)).then_some(()));
    let highwater = start(broker, &topology("skip"), dir.path());
    wait_for_group(broker, group, input);
    stop(highwater);
    assert_eq!(ids(), [1, 2, 4].map(Value::from));
    assert_eq!(broker.committed(group, input), broker.end_offsets(input));
}
