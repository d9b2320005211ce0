//! Client properties: what the guarantee needs, then what was measured to be lean, then the user's own.

use rdkafka::ClientConfig;

use super::super::Isolation;
use super::{KafkaConfig, producer};

fn base(config: &KafkaConfig, role: &str) -> ClientConfig {
    let mut c = ClientConfig::new();
    c.set("client.id", format!("{}-{role}", config.client.client_id));
    // A missing topic is an error that names the way out, never a topic with default settings.
    c.set("allow.auto.create.topics", "false");
    c.set("reconnect.backoff.max.ms", "2000");
    c.set("log.connection.close", "false");
    config.properties.iter().for_each(|(k, v)| {
        c.set(k, v);
    });
    c
}

/// A worker's part of what all of them may keep in memory.
fn share(config: &KafkaConfig, kilobytes: usize, least: usize) -> String {
    (kilobytes / config.client.workers.max(1)).max(least).to_string()
}

fn fetching(c: &mut ClientConfig, config: &KafkaConfig) {
    let queue = share(config, 16 << 10, 4 << 10);
    let defaults = [
        ("queued.min.messages", "20000"),
        ("queued.max.messages.kbytes", queue.as_str()),
        ("max.partition.fetch.bytes", "1048576"),
        // The default of a second stalls a partition whose queue was full for just a moment.
        ("fetch.queue.backoff.ms", "5"),
        ("fetch.wait.max.ms", "100"),
    ];
    for (k, v) in defaults {
        if c.get(k).is_none() {
            c.set(k, v);
        }
    }
    c.set("enable.auto.commit", "false");
    c.set("enable.auto.offset.store", "false");
    c.set("isolation.level", "read_committed");
    // An offset that is not in the log is a matter for a person, not for a silent jump.
    c.set("auto.offset.reset", "error");
    c.set("check.crcs", "true");
}

pub fn consumer(config: &KafkaConfig, worker: usize) -> ClientConfig {
    let mut c = base(config, &format!("consumer-{worker}"));
    fetching(&mut c, config);
    c.set("group.id", &config.client.group);
    // The batch fetch takes an end of partition for a message and moves the position beyond it; a rebalance, which
    // pauses and resumes what stays assigned, would then skip the next record.
    c.set("enable.partition.eof", "false");
    c.set("partition.assignment.strategy", "cooperative-sticky");
    c.set("statistics.interval.ms", "1000");
    // A member learns by its heartbeats that partitions are to move: the default of three seconds is what that takes.
    if c.get("heartbeat.interval.ms").is_none() {
        let session = c.get("session.timeout.ms").and_then(|text| text.parse().ok()).unwrap_or(45_000);
        c.set("heartbeat.interval.ms", (session / 3).clamp(1, 500).to_string());
    }
    if let Some(instance) = instance(config, worker) {
        c.set("group.instance.id", instance);
    }
    c
}

/// `group.instance.id` of a worker's consumer.
pub fn instance(config: &KafkaConfig, worker: usize) -> Option<String> {
    config.client.instance.as_ref().map(|instance| format!("{instance}-{worker}"))
}

pub fn reader(config: &KafkaConfig, worker: usize, isolation: Isolation) -> ClientConfig {
    let mut c = base(config, &format!("restore-{worker}"));
    fetching(&mut c, config);
    // librdkafka wants a group for assign(); it is never joined and never committed to.
    c.set("group.id", format!("{}-restore", config.client.group));
    c.set("enable.partition.eof", "true");
    if isolation == Isolation::Uncommitted {
        c.set("isolation.level", "read_uncommitted");
    }
    c
}

/// No batch will be larger than `limit`.
pub fn transactional(config: &KafkaConfig, transactional_id: &str, limit: usize) -> ClientConfig {
    let mut c = appender(config, limit);
    c.set("transactional.id", transactional_id);
    c.set("transaction.timeout.ms", config.client.transaction_timeout.as_millis().to_string());
    // The client asks again by itself: late enough that the answer to a first request is known by its time.
    let backoff = producer::ASKS_AGAIN.as_millis().to_string();
    c.set("retry.backoff.ms", &backoff).set("retry.backoff.max.ms", &backoff);
    c
}

pub fn appender(config: &KafkaConfig, limit: usize) -> ClientConfig {
    let mut c = base(config, "producer");
    let queue = share(config, 64 << 10, 16 << 10);
    let defaults = [
        ("compression.type", "lz4"),
        ("linger.ms", "20"),
        ("batch.num.messages", "10000"),
        ("queue.buffering.max.messages", "200000"),
        ("queue.buffering.max.kbytes", queue.as_str()),
    ];
    for (k, v) in defaults {
        if c.get(k).is_none() {
            c.set(k, v);
        }
    }
    // The engine knows each topic's limit and refuses what exceeds it; the client must not refuse before.
    c.set("message.max.bytes", "1000000000");
    // The broker's limit is one of batches: a batch of many records must never exceed what one record may.
    c.set("batch.size", limit.saturating_sub(1024).clamp(1024, 1_000_000).to_string());
    c.set("enable.idempotence", "true");
    c.set("partitioner", "murmur2_random");
    // Acknowledged offsets are the stores' checkpoints.
    c.set("delivery.report.only.error", "false");
    c
}

/// Metadata and `read_uncommitted` bounds.
pub fn admin(config: &KafkaConfig) -> ClientConfig {
    let mut c = base(config, "admin");
    c.set("isolation.level", "read_uncommitted");
    c
}
