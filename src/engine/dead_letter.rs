//! Dead letters: a record that could not be processed leaves a reference, never its content.
//!
//! Whoever may read the source topic finds the record there by topic id, partition and offset; whoever may not learns
//! nothing but the reason.

use serde_json::json;

use crate::log::{Outgoing, TopicId, TopicPartition};
use crate::record::{BadRecord, Record};

pub struct DeadLetter {
    key: String,
    value: String,
    headers: Vec<(&'static str, String)>,
}

impl DeadLetter {
    pub fn new(application: &str, stream: &str, topic_id: &TopicId, record: &Record<'_>, bad: &BadRecord) -> Self {
        let tp = TopicPartition::new(record.topic, record.partition);
        Self::at(application, stream, topic_id, &tp, record.offset, bad)
    }

    /// Of a record that is known by its place alone.
    pub fn at(
        application: &str,
        stream: &str,
        topic_id: &TopicId,
        tp: &TopicPartition,
        offset: i64,
        bad: &BadRecord,
    ) -> Self {
        let (topic, partition) = (&*tp.topic, tp.partition);
        let topic_id: String = topic_id.iter().map(|b| format!("{b:02x}")).collect();
        let value = json!({
            "application": application,
            "stream": stream,
            "topic": topic,
            "topic_id": topic_id,
            "partition": partition,
            "offset": offset,
            "reason": bad.reason.as_str(),
            "detail": bad.detail,
        });
        let headers = vec![
            ("highwater.application", application.to_string()),
            ("highwater.stream", stream.to_string()),
            ("highwater.topic", topic.to_string()),
            ("highwater.topic_id", topic_id),
            ("highwater.partition", partition.to_string()),
            ("highwater.offset", offset.to_string()),
            ("highwater.reason", bad.reason.to_string()),
            ("highwater.detail", bad.detail.clone()),
        ];
        let key = format!("{topic}-{partition}@{offset}");
        Self { key, value: value.to_string(), headers }
    }

    pub fn send(
        &self,
        topic: &str,
        timestamp: Option<i64>,
        send: &mut dyn FnMut(&Outgoing<'_>) -> crate::log::Result<()>,
    ) -> crate::log::Result<()> {
        let headers: Vec<_> = self.headers.iter().map(|(k, v)| (*k, Some(v.as_bytes()))).collect();
        send(&Outgoing {
            topic,
            partition: None,
            key: Some(self.key.as_bytes()),
            value: Some(self.value.as_bytes()),
            headers: &headers,
            timestamp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{NoHeaders, Reason};

    #[test]
    fn a_dead_letter_looks_as_it_always_did() {
        let record = Record {
            topic: "brew.cdc",
            partition: 2,
            offset: 41,
            timestamp: Some(7),
            key: Some(b"personal"),
            value: Some(b"personal"),
            headers: &NoHeaders,
        };
        let letter = DeadLetter::new("app", "people", &[0xab; 16], &record, &BadRecord::new(Reason::NotJson, "why"));
        let mut sent = Vec::new();
        let mut send = |out: &Outgoing<'_>| {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            let headers = out.headers.iter().map(|(name, value)| format!("{name}={}", text(*value)));
            let headers = headers.collect::<Vec<_>>().join(" ");
            sent.push(format!("{} {} {}\n{headers}", out.topic, text(out.key), text(out.value)));
            Ok(())
        };
        letter.send("letters", record.timestamp, &mut send).unwrap();
        let id = "ab".repeat(16);
        let expected = format!(
            "letters brew.cdc-2@41 {{\"application\":\"app\",\"detail\":\"why\",\"offset\":41,\"partition\":2,\
             \"reason\":\"not_json\",\"stream\":\"people\",\"topic\":\"brew.cdc\",\"topic_id\":\"{id}\"}}\n\
             highwater.application=app highwater.stream=people highwater.topic=brew.cdc highwater.topic_id={id} \
             highwater.partition=2 highwater.offset=41 highwater.reason=not_json highwater.detail=why"
        );
        assert_eq!(sent, [expected], "{}", crate::FROZEN);
    }
}
