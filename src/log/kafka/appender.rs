//! A producer without transactions, idempotent.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::producer::{Producer as _, ThreadedProducer};

use super::super::{Appender, LogError, Outgoing, Result, Sent};
use super::deliveries::{Deliveries, NOBODY};
use super::errors::reaction;
use super::sending::Topics;
use super::{KafkaConfig, config};

pub struct KafkaAppender {
    // Before the client.
    topics: Topics,
    producer: ThreadedProducer<Deliveries>,
}

impl KafkaAppender {
    pub fn connect(config: &KafkaConfig, limit: usize) -> Result<Self> {
        let client = config::appender(config, limit);
        let producer = ThreadedProducer::from_config_and_context(&client, Deliveries::default());
        let producer = producer.map_err(|e| reaction("create a producer", &e))?;
        Ok(Self { topics: Topics::default(), producer })
    }
}

impl Appender for KafkaAppender {
    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent> {
        self.topics.send(self.producer.client().native_ptr(), record, NOBODY)
    }

    fn flush(&mut self, wait: Duration) -> Result<()> {
        self.producer.flush(wait).map_err(|e| LogError::Retry(format!("write what was sent: {e}")))?;
        let deliveries = self.producer.context();
        match deliveries.hopeless() {
            Some(stop) => Err(stop),
            None => deliveries.failure().map_or(Ok(()), |text| Err(LogError::Stop(text))),
        }
    }
}
