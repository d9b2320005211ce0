//! Dead letters: a record that could not be processed leaves a reference, never its content.
//!
//! Whoever may read the source topic finds the record there by topic id, partition and offset; whoever may not learns
//! nothing but the reason.

use serde_json::json;

use crate::log::{Outgoing, TopicId};
use crate::record::{BadRecord, Record};

pub struct DeadLetter {
    key: String,
    value: String,
    headers: Vec<(&'static str, String)>,
}

impl DeadLetter {
    pub fn new(application: &str, stream: &str, topic_id: &TopicId, record: &Record<'_>, bad: &BadRecord) -> Self {
        let topic_id: String = topic_id.iter().map(|b| format!("{b:02x}")).collect();
        let value = json!({
            "application": application,
            "stream": stream,
            "topic": record.topic,
            "topic_id": topic_id,
            "partition": record.partition,
            "offset": record.offset,
            "reason": bad.reason.as_str(),
            "detail": bad.detail,
        });
        let headers = vec![
            ("highwater.application", application.to_string()),
            ("highwater.stream", stream.to_string()),
            ("highwater.topic", record.topic.to_string()),
            ("highwater.topic_id", topic_id),
            ("highwater.partition", record.partition.to_string()),
            ("highwater.offset", record.offset.to_string()),
            ("highwater.reason", bad.reason.to_string()),
            ("highwater.detail", bad.detail.clone()),
        ];
        let key = format!("{}-{}@{}", record.topic, record.partition, record.offset);
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
