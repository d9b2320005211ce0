//! The nodes of a stream and the arrows between them, named as Kafka Streams names them.

use std::collections::BTreeMap;

use crate::operators::mask::Rules;
use crate::topology::{OnError, Sink, Source, Stream, Target};

pub(super) struct Node {
    pub name: String,
    pub kind: Kind,
}

pub(super) enum Kind {
    Source { topics: String },
    Processor { store: Option<String> },
    Sink { topic: String },
}

/// In the order of the flow; arrows are pairs of indices.
pub(super) struct Graph {
    pub nodes: Vec<Node>,
    pub arrows: Vec<(usize, usize)>,
}

impl Graph {
    pub fn of(stream: &Stream) -> Self {
        let mut graph = Graph { nodes: Vec::new(), arrows: Vec::new() };
        let name = |suffix: &str| format!("{}-{suffix}", stream.name);
        let source = graph.add(name("source"), Kind::Source { topics: topics(&stream.source) });
        let mut last = source;
        if stream.dedup.is_some() {
            last = graph.follow(last, name("dedup"), Kind::Processor { store: Some(name("dedup")) });
        }
        if stream.filter.is_some() {
            last = graph.follow(last, name("filter"), Kind::Processor { store: None });
        }
        if stream.mask.rules != Rules::None {
            last = graph.follow(last, name("mask"), Kind::Processor { store: None });
        }
        // Every step can refuse a record; without steps it is the source that does.
        let refusing: Vec<usize> = if last == source { vec![source] } else { (source + 1..=last).collect() };
        for (name, topic) in sinks(stream) {
            graph.follow(last, name, Kind::Sink { topic });
        }
        if let OnError::DeadLetter { topic } = &stream.on_error {
            let letters = graph.add(name("dead-letters"), Kind::Sink { topic: topic.clone() });
            graph.arrows.extend(refusing.iter().map(|from| (*from, letters)));
        }
        graph
    }

    /// A sink of another system: its table stands where Kafka Streams has a topic.
    pub fn of_sink(sink: &Sink) -> Self {
        let mut graph = Graph { nodes: Vec::new(), arrows: Vec::new() };
        let name = |suffix: &str| format!("{}-{suffix}", sink.name);
        let source = graph.add(name("source"), Kind::Source { topics: topics(&sink.source) });
        graph.follow(source, name("sink"), Kind::Sink { topic: table(sink) });
        if let OnError::DeadLetter { topic } = &sink.on_error {
            graph.follow(source, name("dead-letters"), Kind::Sink { topic: topic.clone() });
        }
        graph
    }

    fn add(&mut self, name: String, kind: Kind) -> usize {
        self.nodes.push(Node { name, kind });
        self.nodes.len() - 1
    }

    fn follow(&mut self, from: usize, name: String, kind: Kind) -> usize {
        let node = self.add(name, kind);
        self.arrows.push((from, node));
        node
    }

    pub fn after(&self, node: usize) -> Vec<usize> {
        self.arrows.iter().filter(|(from, _)| *from == node).map(|(_, to)| *to).collect()
    }

    pub fn before(&self, node: usize) -> Vec<usize> {
        self.arrows.iter().filter(|(_, to)| *to == node).map(|(from, _)| *from).collect()
    }

    /// The nodes that hang on one, itself included, counted as Kafka Streams does: once for each way.
    pub fn size(&self, node: usize) -> usize {
        1 + self.after(node).into_iter().map(|next| self.size(next)).sum::<usize>()
    }
}

fn topics(source: &Source) -> String {
    match source {
        Source::Topics(topics) => format!("[{}]", topics.join(", ")),
        Source::Pattern(_) => source.pattern().unwrap_or_default().to_owned(),
    }
}

/// `clickhouse:brew.{table}`
pub(super) fn table(sink: &Sink) -> String {
    format!("clickhouse:{}.{}", sink.clickhouse.database, sink.clickhouse.table)
}

/// One sink a topic; a rules file may send several tables to one.
fn sinks(stream: &Stream) -> Vec<(String, String)> {
    match &stream.to {
        Target::Topic(topic) => vec![(format!("{}-sink", stream.name), topic.clone())],
        Target::ByTable(topics) => {
            let mut first: BTreeMap<&str, &str> = BTreeMap::new();
            for (table, topic) in topics {
                first.entry(topic).or_insert(table);
            }
            first
                .into_iter()
                .map(|(topic, table)| (format!("{}-{table}-sink", stream.name), topic.to_owned()))
                .collect()
        }
    }
}
