//! From where the topology says the log is, to the log.

use std::sync::Arc;

use crate::log::embedded::EmbeddedLog;
use crate::log::kafka::KafkaLog;
use crate::log::{Client, Log, Result};
use crate::topology::Cluster;

pub fn connect(cluster: &Cluster, client: Client) -> Result<Arc<dyn Log>> {
    Ok(match cluster {
        Cluster::Kafka(properties) => Arc::new(KafkaLog::connect(properties.clone(), client)?),
        Cluster::Embedded(path) => Arc::new(EmbeddedLog::open(path, client)?),
    })
}
