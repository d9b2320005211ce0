//! The text of Kafka Streams' `Topology#describe()`, to the blank.

use std::fmt::Write;

use super::graph::{Graph, Kind};
use crate::topology::Topology;

pub(super) fn render(topology: &Topology) -> String {
    let mut out = String::from("Topologies:\n ");
    let graphs = topology.streams.iter().map(Graph::of).chain(topology.sinks.iter().map(Graph::of_sink));
    for (id, graph) in graphs.enumerate() {
        let _ = writeln!(out, "  Sub-topology: {id}");
        for index in sorted(&graph, (0..graph.nodes.len()).collect()) {
            out.push_str("    ");
            node(&mut out, &graph, index);
            out.push('\n');
        }
        out.push('\n');
    }
    out
}

fn node(out: &mut String, graph: &Graph, index: usize) {
    let Some(node) = graph.nodes.get(index) else { return };
    let name = &node.name;
    let next = format!("\n      --> {}", names(graph, graph.after(index)));
    let previous = format!("\n      <-- {}", names(graph, graph.before(index)));
    let _ = match &node.kind {
        Kind::Source { topics } => write!(out, "Source: {name} (topics: {topics}){next}"),
        Kind::Processor { store } => {
            write!(out, "Processor: {name} (stores: [{}]){next}{previous}", store.as_deref().unwrap_or_default())
        }
        Kind::Sink { topic } => write!(out, "Sink: {name} (topic: {topic}){previous}"),
    };
}

fn names(graph: &Graph, nodes: Vec<usize>) -> String {
    let names: Vec<_> = sorted(graph, nodes).into_iter().filter_map(|index| graph.nodes.get(index)).collect();
    let names: Vec<_> = names.iter().map(|node| node.name.as_str()).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

/// Most nodes behind it first, then by name.
fn sorted(graph: &Graph, mut nodes: Vec<usize>) -> Vec<usize> {
    nodes.sort_by_key(|index| {
        let name = graph.nodes.get(*index).map(|node| node.name.clone());
        (usize::MAX - graph.size(*index), name)
    });
    nodes
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SAMPLE, sample};
    use super::*;

    #[test]
    fn is_what_kafka_streams_prints() {
        let want = r#"Topologies:
   Sub-topology: 0
    Source: customers-source (topics: [b.customers, b.clients])
      --> customers-dedup
    Processor: customers-dedup (stores: [customers-dedup])
      --> customers-mask, customers-dead-letters
      <-- customers-source
    Processor: customers-mask (stores: [])
      --> customers-dead-letters, customers-sink
      <-- customers-dedup
    Sink: customers-dead-letters (topic: brew.dead-letters)
      <-- customers-dedup, customers-mask
    Sink: customers-sink (topic: a.customers)
      <-- customers-mask

  Sub-topology: 1
    Source: plain-source (topics: c\.(?<table>x|"y"))
      --> plain-sink
    Sink: plain-sink (topic: a.{table})
      <-- plain-source

"#;
        assert_eq!(render(&sample(SAMPLE)), want);
    }
}
