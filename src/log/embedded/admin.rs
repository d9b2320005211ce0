//! Topics of the embedded log.

use std::sync::Arc;

use super::broker::Broker;
use crate::log::{Admin, Bounds, Isolation, LogError, Result, TopicInfo, TopicPartition};

pub struct EmbeddedAdmin {
    pub broker: Arc<Broker>,
    /// Where the log lies, for messages.
    pub place: String,
}

impl EmbeddedAdmin {
    fn start_over(&self) -> String {
        format!("the embedded log has no command for this: remove {} and load its topics again", self.place)
    }
}

impl Admin for EmbeddedAdmin {
    fn topics(&self) -> Result<Vec<String>> {
        Ok(self.broker.enter()?.topics.keys().map(ToString::to_string).collect())
    }

    fn describe(&self, topic: &str) -> Result<Option<TopicInfo>> {
        Ok(self.broker.enter()?.topics.get(topic).map(|topic| topic.info()))
    }

    fn create(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        self.broker.create(topic, partitions, settings)
    }

    fn delete(&self, topic: &str) -> Result<()> {
        self.broker.delete(topic)
    }

    fn bounds(&self, tp: &TopicPartition) -> Result<Bounds> {
        let mut state = self.broker.enter()?;
        let partition = state.place(tp).and_then(|place| state.partition_mut(place));
        let partition =
            partition.ok_or_else(|| LogError::Retry(format!("read the bounds of {tp}: no such partition")))?;
        Ok(partition.bounds(Isolation::Uncommitted))
    }

    fn creation_hint(&self, _topic: &str, _partitions: i32) -> Option<String> {
        None
    }

    fn reset_hint(&self, _tp: &TopicPartition, _to: &str) -> String {
        self.start_over()
    }

    fn deletion_hint(&self, _topic: &str) -> String {
        self.start_over()
    }

    fn hanging_hint(&self, _tp: &TopicPartition) -> String {
        "start again: a transaction that nobody ends is aborted when its timeout is over".into()
    }
}
