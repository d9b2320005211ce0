//! Which topics a topology needs, and how that compares with those that are there.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::cluster_arg::{Connection, Ending};
use crate::log::{CHANGELOG, DEFAULT_MESSAGE_LIMIT, TopicInfo};
use crate::topology::{OnError, Source, Stream, Target, Topology};

/// What a topic is to the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Source,
    Output,
    DeadLetters,
    Changelog,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Missing,
    Exists,
    /// It is there and works, and somebody should know this.
    Notable(String),
    /// It cannot be used as it is.
    Differs(String),
    /// Not there, and not to be made now: somebody else makes it.
    Left(&'static str),
}

#[derive(Debug)]
pub struct Topic {
    pub name: String,
    pub role: Role,
    /// Those it has, else those it gets; unknown where its source is not there.
    pub partitions: Option<i32>,
    pub replicas: Option<i32>,
    pub settings: Vec<(&'static str, String)>,
    pub state: State,
}

#[derive(Debug)]
pub struct Plan {
    pub topics: Vec<Topic>,
    /// What it cannot plan for.
    pub notes: Vec<String>,
}

/// What stands for something that is not set.
const STAND_IN: &str = "unresolved.";

/// Whether a name is made of something that is not set.
pub fn has_stand_ins(topology: &Topology) -> bool {
    let of = |stream: &Stream| {
        let read = match &stream.source {
            Source::Topics(topics) => topics.iter().any(|topic| topic.contains(STAND_IN)),
            Source::Pattern(_) => stream.source.pattern().is_some_and(|pattern| pattern.contains(STAND_IN)),
        };
        let letters = matches!(&stream.on_error, OnError::DeadLetter { topic } if topic.contains(STAND_IN));
        read || letters || stream.targets().iter().any(|topic| topic.contains(STAND_IN))
    };
    topology.application.contains(STAND_IN) || topology.streams.iter().any(of)
}

impl Plan {
    pub fn of(
        topology: &Topology,
        connection: &Connection<'_>,
        with_sources: bool,
        partitions: i32,
    ) -> Result<Self, Ending> {
        let existing = connection.ask(|admin| admin.topics())?;
        let (topics, notes) = (Vec::new(), Vec::new());
        let mut survey = Survey { topology, connection, plan: Plan { topics, notes }, with_sources, partitions };
        let sources = survey.sources(&existing)?;
        survey.outputs(&sources)?;
        survey.dead_letters()?;
        survey.changelogs(&sources)?;
        Ok(survey.plan)
    }

    /// Nothing that is there stands in the way.
    pub fn is_sound(&self) -> bool {
        !self.topics.iter().any(|topic| matches!(topic.state, State::Differs(_)))
    }

    /// A table, and below it what there is to say.
    pub fn show(&self, replication: Option<i32>, created: bool, colours: bool) -> String {
        let heads = ["topic", "what", "partitions", "replicas", "settings", "state"].map(str::to_owned);
        let mut rows = vec![heads];
        for topic in &self.topics {
            let number = |n: Option<i32>, none: &str| n.map_or(none.to_owned(), |n| n.to_string());
            let replicas = match topic.state {
                State::Missing => number(replication, "default"),
                _ => number(topic.replicas, ""),
            };
            let settings: Vec<_> = topic.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
            rows.push([
                topic.name.clone(),
                topic.role.as_str().to_owned(),
                number(topic.partitions, "?"),
                replicas,
                settings.join(" "),
                topic.state.as_str(created).to_owned(),
            ]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths = [0, 1, 2, 3, 4, 5].map(width);
        let mut out = String::new();
        for (index, row) in rows.iter().enumerate() {
            let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            let line = cells.join("  ");
            let hue = match index.checked_sub(1).and_then(|index| self.topics.get(index)).map(|topic| &topic.state) {
                None => "1",
                Some(State::Missing) => "32",
                Some(State::Differs(_)) => "31",
                Some(State::Notable(_)) => "33",
                Some(State::Exists | State::Left(_)) => "",
            };
            match line.trim_end() {
                line if colours && !hue.is_empty() => out += &format!("\x1b[{hue}m{line}\x1b[0m\n"),
                line => out += &format!("{line}\n"),
            }
        }
        out.push('\n');
        for topic in &self.topics {
            match &topic.state {
                State::Differs(text) => out += &format!("error: {text}\n"),
                State::Notable(text) => out += &format!("note: {text}\n"),
                State::Left(text) => out += &format!("note: {} {text}\n", topic.name),
                State::Missing | State::Exists => {}
            }
        }
        self.notes.iter().for_each(|note| out += &format!("note: {note}\n"));
        out
    }
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Output => "output",
            Role::DeadLetters => "dead letters",
            Role::Changelog => "changelog",
        }
    }
}

impl State {
    fn as_str(&self, created: bool) -> &'static str {
        match self {
            State::Missing if created => "created",
            State::Missing => "missing",
            State::Exists => "exists",
            State::Notable(_) => "exists, see below",
            State::Differs(_) => "differs",
            State::Left(_) => "missing, left alone",
        }
    }
}

/// A source topic: its stream, how many partitions it has or will have, and how large a record it takes.
struct Known<'t> {
    stream: &'t Stream,
    partitions: Option<i32>,
    limit: usize,
}

struct Survey<'t, 'c> {
    topology: &'t Topology,
    connection: &'c Connection<'c>,
    plan: Plan,
    with_sources: bool,
    partitions: i32,
}

impl<'t> Survey<'t, '_> {
    fn describe(&self, topic: &str) -> Result<Option<TopicInfo>, Ending> {
        self.connection.ask(|admin| admin.describe(topic))
    }

    fn add(&mut self, name: String, role: Role, found: Option<&TopicInfo>, wanted: Wanted) -> Result<(), Ending> {
        let replicas = match found {
            Some(_) => self.connection.ask(|admin| admin.replicas(&name))?,
            None => None,
        };
        let partitions = found.map(|info| info.partitions).or(wanted.partitions);
        self.plan.topics.push(Topic {
            name,
            role,
            partitions,
            replicas,
            settings: wanted.settings,
            state: wanted.state,
        });
        Ok(())
    }

    fn sources(&mut self, existing: &[String]) -> Result<BTreeMap<String, Known<'t>>, Ending> {
        let mut known = BTreeMap::new();
        for stream in &self.topology.streams {
            let mut topics: BTreeSet<String> =
                stream.source.possible_topics().unwrap_or_default().into_iter().collect();
            if let (Source::Pattern(_), None) = (&stream.source, stream.source.possible_topics()) {
                topics = existing
                    .iter()
                    .filter(|topic| stream.reads(topic) && !self.topology.is_internal(topic))
                    .cloned()
                    .collect();
                self.plan.notes.push(format!(
                    "stream {} reads by a pattern that leaves its topics open: only those that are there are planned for",
                    stream.name
                ));
            }
            for topic in topics {
                known.entry(topic).or_insert(stream);
            }
        }
        let mut sources = BTreeMap::new();
        for (topic, stream) in known {
            let found = self.describe(&topic)?;
            let state = match found {
                Some(_) => State::Exists,
                None if self.with_sources => State::Missing,
                None => State::Left("is a connector's to make; --sources makes it"),
            };
            let partitions = match &found {
                Some(info) => Some(info.partitions),
                None => self.with_sources.then_some(self.partitions),
            };
            let limit = found.as_ref().map_or(DEFAULT_MESSAGE_LIMIT, |info| info.max_message_bytes);
            let settings = vec![("cleanup.policy", "delete".to_owned())];
            let settings = if state == State::Missing { settings } else { Vec::new() };
            self.add(topic.clone(), Role::Source, found.as_ref(), Wanted { partitions, settings, state })?;
            sources.insert(topic, Known { stream, partitions, limit });
        }
        Ok(sources)
    }

    /// Each with the most partitions and the largest records of what goes into it.
    fn outputs(&mut self, sources: &BTreeMap<String, Known<'t>>) -> Result<(), Ending> {
        let mut wanted: BTreeMap<String, (Option<i32>, usize)> = BTreeMap::new();
        let mut want = |topic: String, partitions: Option<i32>, limit: usize| {
            let entry = wanted.entry(topic).or_insert((None, 0));
            *entry = (entry.0.max(partitions), entry.1.max(limit));
        };
        for (topic, source) in sources {
            match &source.stream.to {
                Target::Topic(_) => {
                    if let Some(target) = source.stream.target_for(topic) {
                        want(target, source.partitions, source.limit);
                    }
                }
                // Any of its tables may be in any of its topics.
                Target::ByTable(tables) => {
                    tables.values().for_each(|target| want(target.clone(), source.partitions, source.limit));
                }
            }
        }
        for stream in &self.topology.streams {
            for target in stream.targets().into_iter().filter(|target| !target.contains('{')) {
                want(target.to_owned(), None, DEFAULT_MESSAGE_LIMIT);
            }
        }
        for (topic, (partitions, limit)) in wanted {
            let found = self.describe(&topic)?;
            let partitions = partitions.unwrap_or(self.partitions);
            let mut settings = vec![("cleanup.policy", "delete".to_owned())];
            if limit > DEFAULT_MESSAGE_LIMIT {
                settings.push(("max.message.bytes", limit.to_string()));
            }
            let state = match &found {
                _ if self.topology.reader_of(&topic).is_some() => {
                    State::Differs(format!("{topic} is written to and read: narrow the pattern that reads it"))
                }
                None => State::Missing,
                Some(info) if info.max_message_bytes < limit => State::Notable(format!(
                    "{topic} takes {} bytes and its source {limit}: larger rows become bad records (too_large); raise its \
                     max.message.bytes",
                    info.max_message_bytes
                )),
                Some(info) if info.partitions != partitions => State::Notable(format!(
                    "{topic} has {} partitions and its source {partitions}: that works, keys are spread anew",
                    info.partitions
                )),
                Some(_) => State::Exists,
            };
            let settings = if found.is_none() { settings } else { Vec::new() };
            self.add(topic, Role::Output, found.as_ref(), Wanted { partitions: Some(partitions), settings, state })?;
        }
        Ok(())
    }

    fn dead_letters(&mut self) -> Result<(), Ending> {
        let letters = self.topology.dead_letter_topics().map(str::to_owned);
        for topic in letters.collect::<BTreeSet<_>>() {
            let found = self.describe(&topic)?;
            let state = match &found {
                _ if self.topology.reader_of(&topic).is_some() => {
                    State::Differs(format!("{topic} gets dead letters and is read: narrow the pattern that reads it"))
                }
                None => State::Missing,
                Some(_) => State::Exists,
            };
            let settings = if found.is_none() { vec![("cleanup.policy", "delete".to_owned())] } else { Vec::new() };
            self.add(topic, Role::DeadLetters, found.as_ref(), Wanted { partitions: Some(1), settings, state })?;
        }
        Ok(())
    }

    fn changelogs(&mut self, sources: &BTreeMap<String, Known<'t>>) -> Result<(), Ending> {
        for (source, known) in sources.iter().filter(|(_, known)| known.stream.dedup.is_some()) {
            let topic = self.topology.changelog(&known.stream.name, source);
            let found = self.describe(&topic)?;
            let state = match (&found, known.partitions) {
                (None, None) => State::Left("is made by `run` when its source is there"),
                (None, Some(_)) => State::Missing,
                (Some(info), Some(partitions)) if info.partitions != partitions => State::Differs(format!(
                    "{source} has {partitions} partitions, its changelog {topic} has {}: keys would be away from their \
                     positions. Where nothing has run yet, delete the changelog: {}. Else `highwater run` says the way out",
                    info.partitions,
                    self.connection.log.admin().deletion_hint(&topic)
                )),
                (Some(info), _) if !info.compacted_only => State::Differs(format!(
                    "{topic} must have cleanup.policy=compact and nothing else: a changelog that expires forgets positions. \
                     Set it with kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config \
                     cleanup.policy=compact"
                )),
                (Some(_), _) => State::Exists,
            };
            let settings = CHANGELOG.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            let settings = if state == State::Missing { settings } else { Vec::new() };
            self.add(topic, Role::Changelog, found.as_ref(), Wanted { partitions: known.partitions, settings, state })?;
        }
        Ok(())
    }
}

/// How a topic should be, and what to say of it.
struct Wanted {
    partitions: Option<i32>,
    settings: Vec<(&'static str, String)>,
    state: State,
}
