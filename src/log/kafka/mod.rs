//! The log on Apache Kafka. The only room that knows librdkafka, and the only one with `unsafe`.

mod admin;
mod appender;
mod config;
mod consumer;
mod context;
mod deliveries;
mod errors;
mod fetch;
mod producer;
mod reader;
mod sending;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Admin, Appender, Client, DEFAULT_MESSAGE_LIMIT, GroupConsumer, Isolation, Log, Producer, Reader, Result};

use admin::KafkaAdmin;

/// How to reach the cluster, and as whom.
#[derive(Debug, Clone)]
struct KafkaConfig {
    /// The user's librdkafka properties, checked by the topology.
    properties: BTreeMap<String, String>,
    client: Client,
}

#[cfg(test)]
impl KafkaConfig {
    /// For clients that never reach a broker.
    fn of_nowhere() -> Self {
        let properties = [("bootstrap.servers".to_string(), "127.0.0.1:1".to_string())].into();
        Self { properties, client: Client::named("nobody") }
    }
}

pub struct KafkaLog {
    config: KafkaConfig,
    admin: KafkaAdmin,
    /// The smallest `max.message.bytes` among the output topics.
    smallest_limit: AtomicUsize,
}

impl KafkaLog {
    pub fn connect(properties: BTreeMap<String, String>, client: Client) -> Result<Self> {
        let config = KafkaConfig { properties, client };
        let admin = KafkaAdmin::connect(&config)?;
        Ok(Self { config, admin, smallest_limit: AtomicUsize::new(DEFAULT_MESSAGE_LIMIT) })
    }

    fn batch_limit(&self) -> usize {
        self.smallest_limit.load(Ordering::SeqCst)
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
        Ok(Box::new(producer::KafkaProducer::connect(&self.config, transactional_id, self.batch_limit())?))
    }

    fn appender(&self) -> Result<Box<dyn Appender>> {
        Ok(Box::new(appender::KafkaAppender::connect(&self.config, self.batch_limit())?))
    }

    fn reader(&self, worker: usize, isolation: Isolation) -> Result<Box<dyn Reader>> {
        Ok(Box::new(reader::KafkaReader::connect(&self.config, worker, isolation)?))
    }

    fn as_client(&self, client: Client) -> Result<Arc<dyn Log>> {
        Ok(Arc::new(Self::connect(self.config.properties.clone(), client)?))
    }

    fn limit_batches(&self, bytes: usize) {
        self.smallest_limit.store(bytes, Ordering::SeqCst);
    }
}
