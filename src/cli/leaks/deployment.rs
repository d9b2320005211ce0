//! The topics of a topology that are there: what it reads, and what it writes.

use std::collections::BTreeSet;

use super::search::Kind;
use crate::cli::cluster_arg::{Connection, Ending};
use crate::topology::{OnError, Stream, Topology, nearest};

pub struct Deployment<'t> {
    pub topology: &'t Topology,
    /// Source topics that are there.
    pub sources: Vec<String>,
    /// Outputs, dead letters and changelogs that are there.
    pub written: BTreeSet<(Kind, String)>,
}

impl<'t> Deployment<'t> {
    pub fn of(topology: &'t Topology, connection: &Connection<'_>) -> Result<Self, Ending> {
        let topics: BTreeSet<String> = connection.ask(|admin| admin.topics())?.into_iter().collect();
        let mut deployment = Self { topology, sources: Vec::new(), written: BTreeSet::new() };
        for topic in topics.iter().filter(|topic| !topology.is_internal(topic)) {
            let Some(stream) = topology.reader_of(topic) else { continue };
            deployment.sources.push(topic.clone());
            let changelog = topology.changelog(&stream.name, topic);
            let written = [(Kind::Output, stream.target_for(topic)), (Kind::Changelog, Some(changelog))];
            deployment.written.extend(written.into_iter().filter_map(|(kind, topic)| Some((kind, topic?))));
        }
        for stream in &topology.streams {
            deployment.written.extend(by_table(stream).into_iter().map(|topic| (Kind::Output, topic)));
            if let OnError::DeadLetter { topic } = &stream.on_error {
                deployment.written.insert((Kind::DeadLetters, topic.clone()));
            }
        }
        deployment.written.retain(|(_, topic)| topics.contains(topic));
        Ok(deployment)
    }

    /// The sources of these names; all where none is named.
    pub fn chosen(&self, names: &[String]) -> Result<Vec<String>, String> {
        if let Some(name) = names.iter().find(|name| !self.sources.contains(name)) {
            let meant = match nearest(name, self.sources.iter().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("there are {}", self.sources.join(", ")),
            };
            return Err(format!("no stream reads a topic `{name}` that is there, {meant}"));
        }
        Ok(if names.is_empty() { self.sources.clone() } else { names.to_vec() })
    }

    /// Names that it writes everywhere: a value that is one of them says nothing.
    pub fn names(&self) -> String {
        let topology = self.topology;
        let mut names: Vec<&str> = vec![&topology.application];
        names.extend(topology.streams.iter().map(|stream| stream.name.as_str()));
        names.extend(self.sources.iter().chain(self.written.iter().map(|(_, topic)| topic)).map(String::as_str));
        names.join("\n")
    }
}

fn by_table(stream: &Stream) -> Vec<String> {
    stream.targets().into_iter().map(str::to_owned).collect()
}
