//! The capture: what a real Debezium wrote of two scenarios, replays included, and one record that nobody can process.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::log::{Ended, Event, Isolation, Log, LogError, Outgoing, Sent, TopicPartition};
use crate::topology::{OnError, Topology};

/// Changes of all kinds; then a worker that was killed twice, so that changes come two and three times.
const SCENARIOS: [&str; 2] = [
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/debezium/ops.jsonl")),
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/debezium/kill9_replay.jsonl")),
];

const PARTITIONS: i32 = 4;

struct Line {
    topic: String,
    partition: i32,
    key: Option<String>,
    value: Option<String>,
}

pub struct Capture(Vec<Line>);

impl Capture {
    /// The changes of the tables that the topology reads.
    pub fn read(topology: &Topology) -> Result<Self, LogError> {
        let lines = SCENARIOS.iter().flat_map(|text| text.lines()).map(parse).collect::<Option<Vec<_>>>();
        let mut lines = lines.ok_or_else(|| LogError::Stop("the capture is damaged".into()))?;
        lines.retain(|line| topology.reader_of(&line.topic).is_some());
        lines.push(Line {
            topic: "brew.cdc.public.customers".into(),
            partition: 0,
            key: Some(r#"{"id":4711}"#.into()),
            value: Some(r#"{"after":{"id":4711,"email":"half.a.record@example.com"#.into()),
        });
        Ok(Self(lines))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn topics(&self) -> Vec<String> {
        self.0.iter().map(|l| l.topic.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Creates the topics and writes the capture.
    pub fn load(&self, topology: &Topology, log: &dyn Log) -> Result<(), LogError> {
        let mut wanted: BTreeSet<String> = self.topics().into_iter().collect();
        for stream in &topology.streams {
            wanted.extend(self.topics().iter().filter(|t| stream.reads(t)).filter_map(|t| stream.target_for(t)));
            wanted.extend(stream.targets().iter().filter(|t| !t.contains('{')).map(|t| t.to_string()));
            if let OnError::DeadLetter { topic } = &stream.on_error {
                wanted.insert(topic.clone());
            }
        }
        for topic in wanted {
            log.admin().create(&topic, PARTITIONS, &[])?;
        }
        let mut producer = log.producer("highwater-demo-loader")?;
        producer.init(Duration::from_secs(30))?;
        producer.begin()?;
        for line in &self.0 {
            let out = Outgoing {
                topic: &line.topic,
                partition: Some(line.partition),
                key: line.key.as_deref().map(str::as_bytes),
                value: line.value.as_deref().map(str::as_bytes),
                headers: &[],
                timestamp: None,
            };
            while producer.send(&out)? == Sent::Full {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        while producer.commit(Duration::from_secs(30))? == Ended::Pending {}
        Ok(())
    }

    /// A few rows before and after.
    pub fn print_rows(&self, topology: &Topology, log: &dyn Log) -> Result<(), LogError> {
        let source = "brew.cdc.public.customers";
        let Some(target) = topology.reader_of(source).and_then(|s| s.target_for(source)) else { return Ok(()) };
        let written = read_all(&target, log)?;
        println!("\na few rows of {source}, before and after in {target}:");
        let mut shown = 0;
        for (key, row) in &written {
            let Some(before) = self.original(source, key, row) else { continue };
            let keep = ["id", "email", "phone", "full_name", "birth_date", "country", "cdc_lsn", "_deleted"];
            let pick = |v: &Value| {
                let fields = keep.iter().filter_map(|k| v.get(*k).map(|v| format!("\"{k}\":{v}")));
                fields.collect::<Vec<_>>().join(", ")
            };
            println!("  - {}\n  + {}", pick(&before), pick(row));
            shown += 1;
            if shown == 3 {
                break;
            }
        }
        if let Some(dead) = topology.streams.iter().find_map(|s| match &s.on_error {
            OnError::DeadLetter { topic } => Some(topic),
            _ => None,
        }) {
            for (_, letter) in read_all(dead, log)? {
                println!("\na dead letter refers to its record and holds none of it:\n  {letter}");
            }
        }
        Ok(())
    }

    /// The row that became `row`: same key, same LSN, with a birth date so that there is something to see.
    fn original(&self, topic: &str, key: &str, row: &Value) -> Option<Value> {
        self.0.iter().filter(|l| l.topic == topic && l.key.as_deref() == Some(key)).find_map(|line| {
            let envelope: Value = serde_json::from_str(line.value.as_deref()?).ok()?;
            let same = envelope.pointer("/source/lsn") == row.get("cdc_lsn");
            envelope.get("after").filter(|after| same && after.is_object()).cloned()
        })
    }
}

fn parse(line: &str) -> Option<Line> {
    let v: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| v.get(name)?.as_str().map(str::to_string);
    Some(Line {
        topic: text("topic")?.replacen("lab.cdc.", "brew.cdc.", 1),
        partition: i32::try_from(v.get("partition")?.as_i64()?).ok()?,
        key: text("key"),
        value: text("value"),
    })
}

/// Every committed record of a topic, as (key, JSON value).
fn read_all(topic: &str, log: &dyn Log) -> Result<Vec<(String, Value)>, LogError> {
    let admin = log.admin();
    let Some(info) = admin.describe(topic)? else { return Ok(vec![]) };
    let mut reader = log.reader(0, Isolation::Committed)?;
    let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
    for partition in 0..info.partitions {
        let tp = TopicPartition::new(topic, partition);
        let bounds = admin.bounds(&tp)?;
        if bounds.end > bounds.start {
            ends.insert(partition, bounds.end);
            reader.start(&tp, bounds.start)?;
        }
    }
    let mut found = Vec::new();
    while !ends.is_empty() {
        let events = reader.poll(1000, Duration::from_millis(100), &mut |record| {
            let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
            if let Ok(value) = serde_json::from_slice(record.value.unwrap_or_default()) {
                found.push((key, value));
            }
        });
        for event in events {
            if let Event::End { tp, offset } = event
                && ends.get(&tp.partition).is_some_and(|end| offset >= *end)
            {
                ends.remove(&tp.partition);
            }
        }
    }
    Ok(found)
}
