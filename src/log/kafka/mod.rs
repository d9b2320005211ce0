//! The log on Apache Kafka. The only room that knows librdkafka, and the only one with `unsafe`.

mod admin;
mod config;
mod consumer;
mod context;
mod errors;
mod fetch;
mod producer;
mod reader;

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Admin, GroupConsumer, Log, Producer, Reader, Result};

pub use admin::KafkaAdmin;

/// How to reach the cluster, and as whom.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// The user's librdkafka properties, checked by the topology.
    pub properties: BTreeMap<String, String>,
    pub group: String,
    pub client_id: String,
    pub transaction_timeout: Duration,
    /// `group.instance.id` prefix, for static membership.
    pub instance: Option<String>,
    /// The smallest `max.message.bytes` among the output topics.
    pub smallest_limit: usize,
}

#[cfg(test)]
impl KafkaConfig {
    /// For clients that never reach a broker.
    fn of_nowhere() -> Self {
        Self {
            properties: [("bootstrap.servers".to_string(), "127.0.0.1:1".to_string())].into(),
            group: "nobody".into(),
            client_id: "test".into(),
            transaction_timeout: Duration::from_secs(10),
            instance: None,
            smallest_limit: super::DEFAULT_MESSAGE_LIMIT,
        }
    }
}

pub struct KafkaLog {
    config: KafkaConfig,
    admin: KafkaAdmin,
}

impl KafkaLog {
    pub fn connect(config: KafkaConfig) -> Result<Self> {
        let admin = KafkaAdmin::connect(&config)?;
        Ok(Self { config, admin })
    }

    /// Output topics are known only after the first look at the cluster.
    pub fn set_smallest_limit(&mut self, bytes: usize) {
        self.config.smallest_limit = bytes;
    }
}

impl Log for KafkaLog {
    fn admin(&self) -> &dyn Admin {
        &self.admin
    }

    fn group_consumer(&self, worker: usize) -> Result<Box<dyn GroupConsumer>> {
        Ok(Box::new(consumer::KafkaConsumer::connect(&self.config, worker)?))
    }

    fn producer(&self, transactional_id: &str) -> Result<Box<dyn Producer>> {
        Ok(Box::new(producer::KafkaProducer::connect(&self.config, transactional_id)?))
    }

    fn reader(&self, worker: usize) -> Result<Box<dyn Reader>> {
        Ok(Box::new(reader::KafkaReader::connect(&self.config, worker)?))
    }
}
