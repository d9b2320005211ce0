//! Topics: what is there, what it is called inside, where it ends.

use std::ffi::{CStr, CString};
use std::future::Future;
use std::ptr;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, ConfigEntry, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka_sys as sys;

use super::super::{Admin, Bounds, DEFAULT_MESSAGE_LIMIT, LogError, Result, TopicId, TopicInfo, TopicPartition};
use super::context::log_line;
use super::errors::reaction;
use super::{KafkaConfig, config};

const WAIT: Duration = Duration::from_secs(5);

struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "admin");
    }
}

impl ConsumerContext for Quiet {}

pub struct KafkaAdmin {
    /// Metadata and bounds, `read_uncommitted`; never subscribed.
    consumer: BaseConsumer<Quiet>,
    admin: AdminClient<Quiet>,
    servers: String,
    group: String,
}

impl KafkaAdmin {
    pub fn connect(config: &KafkaConfig) -> Result<Self> {
        let client = config::admin(config);
        let consumer = BaseConsumer::from_config_and_context(&client, Quiet);
        let consumer = consumer.map_err(|e| reaction("create a client", &e))?;
        let admin = AdminClient::from_config_and_context(&client, Quiet);
        let admin = admin.map_err(|e| reaction("create an admin client", &e))?;
        let servers = config.properties.get("bootstrap.servers").cloned().unwrap_or_default();
        Ok(Self { consumer, admin, servers, group: config.client.group.clone() })
    }

    fn topic_id(&self, topic: &str) -> Result<TopicId> {
        let client = self.consumer.client().native_ptr();
        let name = CString::new(topic).map_err(|e| LogError::Stop(e.to_string()))?;
        // SAFETY: every object made here is destroyed here; what is borrowed from the event is copied before.
        unsafe {
            let queue = sys::rd_kafka_queue_new(client);
            let mut names = [name.as_ptr()];
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
            sys::rd_kafka_DescribeTopics(client, topics, ptr::null(), queue);
            sys::rd_kafka_TopicCollection_destroy(topics);
            let event = sys::rd_kafka_queue_poll(queue, 2 * WAIT.as_millis() as i32);
            let id = if event.is_null() { Err("no answer".to_string()) } else { id_of(event) };
            if !event.is_null() {
                sys::rd_kafka_event_destroy(event);
            }
            sys::rd_kafka_queue_destroy(queue);
            id.map_err(|e| LogError::Retry(format!("describe topic {topic}: {e}")))
        }
    }

    fn settings(&self, topic: &str) -> Result<Vec<ConfigEntry>> {
        let options = AdminOptions::new().request_timeout(Some(WAIT));
        let told = wait(self.admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options))?;
        let mut told = told.map_err(|e| reaction("describe a topic", &e))?;
        match told.pop() {
            Some(Ok(resource)) => Ok(resource.entries),
            Some(Err(code)) => Err(reaction(&format!("describe topic {topic}"), &KafkaError::Global(code))),
            None => Err(LogError::Retry(format!("no settings told for topic {topic}"))),
        }
    }
}

/// # Safety
/// `event` is a live event of a DescribeTopics call.
unsafe fn id_of(event: *mut sys::rd_kafka_event_t) -> std::result::Result<TopicId, String> {
    // SAFETY: the caller's promise; null results are checked.
    unsafe {
        if sys::rd_kafka_event_error(event) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(CStr::from_ptr(sys::rd_kafka_event_error_string(event)).to_string_lossy().into_owned());
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return Err("no such topic".into());
        }
        let error = sys::rd_kafka_TopicDescription_error(*topics);
        if !error.is_null() && sys::rd_kafka_error_code(error) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned());
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(*topics);
        let high = sys::rd_kafka_Uuid_most_significant_bits(id);
        let low = sys::rd_kafka_Uuid_least_significant_bits(id);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        Ok(bytes)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(WAIT)).request_timeout(Some(WAIT))
}

/// The admin futures are woken by the client's own thread; a bare runtime waits for them.
fn wait<F: Future>(future: F) -> Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|e| LogError::Retry(e.to_string()))?;
    let limited = async { tokio::time::timeout(3 * WAIT, future).await };
    runtime.block_on(limited).map_err(|_| LogError::Retry("no answer from the cluster".into()))
}

fn number<T: std::str::FromStr>(entries: &[ConfigEntry], name: &str) -> Option<T> {
    entries.iter().find(|e| e.name == name)?.value.as_ref()?.parse().ok()
}

impl Admin for KafkaAdmin {
    fn topics(&self) -> Result<Vec<String>> {
        let metadata = self.consumer.fetch_metadata(None, WAIT).map_err(|e| reaction("read the list of topics", &e))?;
        Ok(metadata.topics().iter().filter(|t| t.error().is_none()).map(|t| t.name().to_string()).collect())
    }

    fn describe(&self, topic: &str) -> Result<Option<TopicInfo>> {
        let metadata = self.consumer.fetch_metadata(Some(topic), WAIT);
        let metadata = metadata.map_err(|e| reaction(&format!("describe topic {topic}"), &e))?;
        let Some(found) = metadata.topics().iter().find(|t| t.name() == topic) else { return Ok(None) };
        match found.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => return Ok(None),
            Some(code) => return Err(reaction(&format!("describe topic {topic}"), &KafkaError::Global(code))),
        }
        let entries = self.settings(topic)?;
        let policy = entries.iter().find(|e| e.name == "cleanup.policy").and_then(|e| e.value.clone());
        Ok(Some(TopicInfo {
            id: self.topic_id(topic)?,
            partitions: found.partitions().len() as i32,
            compacted_only: policy.as_deref() == Some("compact"),
            max_message_bytes: number(&entries, "max.message.bytes").unwrap_or(DEFAULT_MESSAGE_LIMIT),
            delete_retention: Duration::from_millis(number(&entries, "delete.retention.ms").unwrap_or(86_400_000)),
        }))
    }

    fn create(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        self.create_replicated(topic, partitions, None, settings)
    }

    fn create_replicated(
        &self,
        topic: &str,
        partitions: i32,
        replication: Option<i32>,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        // -1: what the brokers are set to.
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replication.unwrap_or(-1)));
        new.config.extend_from_slice(settings);
        let made = wait(self.admin.create_topics([&new], &options()))?;
        for result in made.map_err(|e| reaction("create a topic", &e))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(reaction(&format!("create topic {topic}"), &KafkaError::Global(code))),
            }
        }
        // The answer comes before every broker knows the topic.
        let give_up = Instant::now() + 2 * WAIT;
        while self.describe(topic)?.is_none() {
            if Instant::now() > give_up {
                return Err(LogError::Retry(format!("topic {topic} was created and is not visible yet")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn replicas(&self, topic: &str) -> Result<Option<i32>> {
        let metadata = self.consumer.fetch_metadata(Some(topic), WAIT);
        let metadata = metadata.map_err(|e| reaction(&format!("describe topic {topic}"), &e))?;
        let partitions = metadata.topics().iter().filter(|t| t.name() == topic).flat_map(|t| t.partitions());
        Ok(partitions.map(|partition| partition.replicas().len() as i32).min())
    }

    fn delete(&self, topic: &str) -> Result<()> {
        let deleted = wait(self.admin.delete_topics(&[topic], &options()))?;
        for result in deleted.map_err(|e| reaction("delete a topic", &e))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) => {}
                Err((_, code)) => return Err(reaction(&format!("delete topic {topic}"), &KafkaError::Global(code))),
            }
        }
        Ok(())
    }

    fn bounds(&self, tp: &TopicPartition) -> Result<Bounds> {
        let (start, end) = self
            .consumer
            .fetch_watermarks(&tp.topic, tp.partition, WAIT)
            .map_err(|e| reaction(&format!("read the bounds of {tp}"), &e))?;
        Ok(Bounds { start, end })
    }

    fn creation_hint(&self, topic: &str, partitions: i32) -> Option<String> {
        let servers = &self.servers;
        Some(format!("kafka-topics.sh --bootstrap-server {servers} --create --topic {topic} --partitions {partitions}"))
    }

    fn reset_hint(&self, tp: &TopicPartition, to: &str) -> String {
        let (servers, group) = (&self.servers, &self.group);
        let to = if to == "earliest" { "--to-earliest".to_string() } else { format!("--to-offset {to}") };
        format!(
            "kafka-consumer-groups.sh --bootstrap-server {servers} --group {group} --topic {}:{} --reset-offsets {to} \
             --execute",
            tp.topic, tp.partition
        )
    }

    fn deletion_hint(&self, topic: &str) -> String {
        format!("kafka-topics.sh --bootstrap-server {} --delete --topic {topic}", self.servers)
    }

    fn hanging_hint(&self, tp: &TopicPartition) -> String {
        format!(
            "kafka-transactions.sh --bootstrap-server {} find-hanging --topic {} --partition {}",
            self.servers, tp.topic, tp.partition
        )
    }
}
