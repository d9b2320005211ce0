//! The capture: what a real Debezium wrote of two scenarios, replays included, and one record that nobody can process.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::log::{Log, LogError, Outgoing, Sent};
use crate::topology::{OnError, Topology};

/// Changes of all kinds.
const CHANGES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/debezium/ops.jsonl"));
/// A connector that was killed twice, so that changes come two and three times.
const REPLAYS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/debezium/kill9_replay.jsonl"));

const PARTITIONS: i32 = 4;

struct Line {
    topic: String,
    partition: i32,
    key: Option<String>,
    value: Option<String>,
}

pub struct Capture(Vec<Line>);

impl Capture {
    /// The changes of the tables that the topology reads. `again`: what a connector sends that starts from an old place.
    pub fn read(topology: &Topology, again: bool) -> Result<Self, LogError> {
        let scenarios = if again { &[REPLAYS][..] } else { &[CHANGES, REPLAYS] };
        let lines = scenarios.iter().flat_map(|text| text.lines()).map(parse).collect::<Option<Vec<_>>>();
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

    pub fn topics(&self) -> BTreeSet<&str> {
        self.0.iter().map(|line| line.topic.as_str()).collect()
    }

    /// Creates the topics where they are not there, and appends the capture.
    pub fn load(&self, topology: &Topology, log: &dyn Log) -> Result<(), LogError> {
        for topic in self.topics() {
            log.admin().create(topic, PARTITIONS, &[])?;
            let Some(stream) = topology.reader_of(topic) else { continue };
            let letters = match &stream.on_error {
                OnError::DeadLetter { topic } => Some(topic.clone()),
                _ => None,
            };
            for output in stream.target_for(topic).into_iter().chain(letters) {
                log.admin().create(&output, PARTITIONS, &[])?;
            }
        }
        let mut appender = log.appender()?;
        for line in &self.0 {
            let out = Outgoing {
                topic: &line.topic,
                partition: Some(line.partition),
                key: line.key.as_deref().map(str::as_bytes),
                value: line.value.as_deref().map(str::as_bytes),
                headers: &[],
                timestamp: None,
            };
            while appender.send(&out)? == Sent::Full {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        appender.flush(Duration::from_secs(30))
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
