//! What the topology means on this cluster: which topics its streams read, where they go, what their limits are.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::{Admin, DEFAULT_MESSAGE_LIMIT, LogError, Result, TopicInfo};
use crate::topology::{OnError, Source, Target, Topology};

use super::changelog::begin_anew;

/// A source topic, with the stream that reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTopic {
    /// Index into `topology.streams`.
    pub stream: usize,
    pub info: TopicInfo,
    pub changelog: Option<Changelog>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changelog {
    pub topic: String,
    pub info: TopicInfo,
}

/// One look at the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    pub sources: BTreeMap<String, SourceTopic>,
    /// `max.message.bytes` of output and dead-letter topics.
    pub limits: BTreeMap<String, usize>,
    /// Source topics that are named in the topology and do not exist yet.
    pub missing: Vec<String>,
}

impl Catalog {
    /// Surveys the cluster and makes the changelogs that are not there. Everything a person must mend is told at once.
    pub fn survey(topology: &Topology, admin: &dyn Admin) -> Result<Self> {
        let existing = admin.topics()?;
        let mut survey = Survey { topology, admin, catalog: Catalog::default(), faults: Vec::new() };
        for (topic, stream) in survey.routes(&existing) {
            survey.source(topic, stream)?;
        }
        survey.outputs()?;
        if survey.faults.is_empty() { Ok(survey.catalog) } else { Err(LogError::Stop(survey.faults.join("\n"))) }
    }

    pub fn topics(&self) -> Vec<String> {
        self.sources.keys().cloned().collect()
    }

    /// The changelog of a source topic, where its stream has a store.
    pub fn changelog(&self, source: &str) -> Option<&Changelog> {
        self.sources.get(source)?.changelog.as_ref()
    }

    /// The smallest limit of an output; Kafka's default where there is none.
    pub fn smallest_limit(&self) -> usize {
        self.limits.values().copied().min().unwrap_or(DEFAULT_MESSAGE_LIMIT)
    }
}

struct Survey<'a> {
    topology: &'a Topology,
    admin: &'a dyn Admin,
    catalog: Catalog,
    faults: Vec<String>,
}

impl Survey<'_> {
    /// Every source topic with its stream.
    fn routes(&mut self, existing: &[String]) -> BTreeMap<String, usize> {
        let mut routes: BTreeMap<String, usize> = BTreeMap::new();
        for (index, stream) in self.topology.streams.iter().enumerate() {
            let topics: Vec<String> = match &stream.source {
                Source::Topics(topics) => topics.clone(),
                Source::Pattern(_) => {
                    existing.iter().filter(|t| stream.reads(t) && !self.topology.is_internal(t)).cloned().collect()
                }
            };
            for topic in topics {
                if let Some(other) = routes.insert(topic.clone(), index).filter(|other| *other != index) {
                    let other = &self.topology.streams[other].name;
                    let name = &stream.name;
                    self.faults.push(format!("topic {topic} is read by two streams, {other} and {name}"));
                }
            }
        }
        routes
    }

    fn source(&mut self, topic: String, stream: usize) -> Result<()> {
        let Some(info) = self.admin.describe(&topic)? else {
            self.catalog.missing.push(topic);
            return Ok(());
        };
        let spec = &self.topology.streams[stream];
        let changelog = match &spec.dedup {
            Some(_) => self.changelog(&topic, &spec.name, &info)?,
            None => None,
        };
        self.catalog.sources.insert(topic, SourceTopic { stream, info, changelog });
        Ok(())
    }

    fn changelog(&mut self, source: &str, stream: &str, info: &TopicInfo) -> Result<Option<Changelog>> {
        let topic = self.topology.changelog(stream, source);
        if self.admin.describe(&topic)?.is_none() {
            tracing::info!(topic, partitions = info.partitions, "creating the changelog");
            self.admin.create_changelog(&topic, info.partitions)?;
        }
        let Some(found) = self.admin.describe(&topic)? else {
            return Err(LogError::Retry(format!("changelog {topic} is not visible yet")));
        };
        if found.partitions != info.partitions {
            self.faults.push(format!(
                "{source} has {} partitions, its changelog {topic} has {}: keys move between partitions when their \
                 number changes, away from their positions. {}",
                info.partitions,
                found.partitions,
                begin_anew(self.admin, &topic, source),
            ));
            return Ok(None);
        }
        if !found.compacted_only {
            self.faults.push(format!(
                "changelog {topic} must have cleanup.policy=compact and nothing else: a changelog that expires forgets \
                 positions. Way out: set it with kafka-configs.sh --alter --entity-type topics --entity-name {topic} \
                 --add-config cleanup.policy=compact"
            ));
        }
        Ok(Some(Changelog { topic, info: found }))
    }

    /// Nobody else can make topics while this process has the log.
    fn is_alone(&self) -> bool {
        self.admin.creation_hint("", 1).is_none()
    }

    fn outputs(&mut self) -> Result<()> {
        let alone = self.is_alone();
        if alone && self.catalog.sources.is_empty() && !self.topology.streams.is_empty() {
            let missing = self.catalog.missing.join(", ");
            let missing = if missing.is_empty() { "that the pattern matches".to_owned() } else { missing };
            self.faults.push(format!(
                "there is no source topic ({missing}) on the embedded log, and no other process can write one while this \
                 one has it. Way out: `highwater produce TOPIC --embedded < FILE`, then run again"
            ));
            return Ok(());
        }
        let mut wanted: BTreeMap<String, i32> = BTreeMap::new();
        for (topic, source) in &self.catalog.sources {
            let stream = &self.topology.streams[source.stream];
            if let Some(target) = stream.target_for(topic) {
                let partitions = wanted.entry(target).or_insert(1);
                *partitions = source.info.partitions.max(*partitions);
            }
        }
        // Of a log that only this process has, topics that are not there will not come: how wide their outputs are to be is
        // for the run that finds them.
        let read = |index: usize| self.catalog.sources.values().any(|source| source.stream == index);
        for (_, stream) in self.topology.streams.iter().enumerate().filter(|(index, _)| !alone || read(*index)) {
            match &stream.to {
                Target::ByTable(tables) => tables.values().for_each(|t| {
                    wanted.entry(t.clone()).or_insert(1);
                }),
                Target::Topic(topic) if !topic.contains('{') => {
                    wanted.entry(topic.clone()).or_insert(1);
                }
                Target::Topic(_) => {}
            }
            if let OnError::DeadLetter { topic } = &stream.on_error {
                wanted.entry(topic.clone()).or_insert(1);
            }
        }
        let mut missing = BTreeSet::new();
        for (topic, partitions) in wanted {
            if let Some(stream) = self.topology.reader_of(&topic) {
                let name = &stream.name;
                self.faults.push(format!("{topic} is written to, and stream {name} reads it: narrow the pattern"));
            }
            match self.admin.describe(&topic)? {
                Some(info) => {
                    self.catalog.limits.insert(topic, info.max_message_bytes);
                }
                None => match self.admin.creation_hint(&topic, partitions) {
                    Some(hint) => drop(missing.insert(format!("  {hint}"))),
                    None => {
                        tracing::info!(topic, partitions, "creating the output topic");
                        self.admin.create(&topic, partitions, &[])?;
                        self.catalog.limits.insert(topic, DEFAULT_MESSAGE_LIMIT);
                    }
                },
            }
        }
        if !missing.is_empty() {
            let commands = missing.into_iter().collect::<Vec<_>>().join("\n");
            self.faults.push(format!(
                "output topics are missing; create them with `highwater topics create --execute`, or with\n{commands}"
            ));
        }
        Ok(())
    }
}
