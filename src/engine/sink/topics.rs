//! Which topics a sink reads, and where its plans stand.

use std::collections::BTreeMap;

use crate::log::{Admin, LogError, Result, TopicInfo};
use crate::topology::{OnError, Sink, Topology};

/// One look at the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topics {
    pub sources: BTreeMap<String, TopicInfo>,
    /// Named in the topology, and not there yet.
    pub missing: Vec<String>,
}

/// How the topic of plans is set up: the last plan of each partition, and quickly no more than that, because whoever takes a
/// partition reads it from the beginning.
const PLANS: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("segment.ms", "600000"),
    ("segment.bytes", "16777216"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

pub fn survey(topology: &Topology, sink: &Sink, admin: &dyn Admin) -> Result<Topics> {
    let existing = admin.topics()?;
    let mut topics = Topics::default();
    for topic in sink.topics(topology, &existing) {
        if let Some(stream) = topology.reader_of(&topic) {
            return Err(LogError::Stop(format!(
                "sink {} would write {topic} into its table, and stream {} reads it: its rows are not masked yet. Narrow the \
                 sink's `from` to what streams write",
                sink.name, stream.name
            )));
        }
        match admin.describe(&topic)? {
            Some(info) => drop(topics.sources.insert(topic, info)),
            None => topics.missing.push(topic),
        }
    }
    if let OnError::DeadLetter { topic } = &sink.on_error
        && admin.describe(topic)?.is_none()
    {
        match admin.creation_hint(topic, 1) {
            Some(hint) => {
                return Err(LogError::Stop(format!(
                    "the topic of dead letters {topic} of sink {} is missing; create it with `highwater topics create --execute`, \
                     or with\n  {hint}",
                    sink.name
                )));
            }
            None => admin.create(topic, 1, &[])?,
        }
    }
    let plans = topology.plans(&sink.name);
    if admin.describe(&plans)?.is_none() {
        tracing::info!(topic = plans, "creating the topic of plans");
        admin.create(&plans, 1, PLANS)?;
    }
    match admin.describe(&plans)? {
        None => Err(LogError::Retry(format!("topic {plans} is not visible yet"))),
        Some(info) if info.partitions != 1 => Err(LogError::Stop(format!(
            "topic {plans} has {} partitions; the plans of sink {} stand in one. Way out: stop every instance, delete it ({}) \
             and start again; an insert that was under way may come twice then",
            info.partitions,
            sink.name,
            admin.deletion_hint(&plans)
        ))),
        Some(info) if !info.compacted_only => Err(LogError::Stop(format!(
            "topic {plans} must have cleanup.policy=compact and nothing else: a plan that expires is an insert that may come \
             twice. Way out: kafka-configs.sh --alter --entity-type topics --entity-name {plans} --add-config \
             cleanup.policy=compact"
        ))),
        Some(_) => Ok(topics),
    }
}
