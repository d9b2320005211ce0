//! Diagrams: Mermaid for READMEs, DOT for Graphviz. Topics are drawn once, so that streams meet at them.

use std::fmt::Write;

use super::graph::{Graph, Kind};
use crate::topology::{Source, Topology};

/// Every topic and what stands between them, numbered in the order of appearance.
struct Drawing {
    topics: Vec<String>,
    streams: Vec<Part>,
}

/// A stream or a sink.
struct Part {
    name: String,
    graph: Graph,
    sources: Vec<String>,
}

/// Kafka Streams' sources and sinks are topics in a picture.
enum End {
    Topic(usize),
    Node(usize, usize),
}

impl Drawing {
    fn of(topology: &Topology) -> Self {
        let mut drawing = Drawing { topics: Vec::new(), streams: Vec::new() };
        for stream in &topology.streams {
            drawing.add(&stream.name, Graph::of(stream), sources(&stream.source));
        }
        for sink in &topology.sinks {
            // What streams write to is there already.
            let letters = topology.dead_letter_topics().map(str::to_owned).collect::<Vec<_>>();
            let drawn = drawing.topics.iter().filter(|topic| sink.source.matches(topic) && !letters.contains(topic));
            let drawn: Vec<String> = drawn.cloned().collect();
            let sources = if drawn.is_empty() { sources(&sink.source) } else { drawn };
            drawing.add(&sink.name, Graph::of_sink(sink), sources);
        }
        drawing
    }

    fn add(&mut self, name: &str, graph: Graph, sources: Vec<String>) {
        let sinks = graph.nodes.iter().filter_map(|node| match &node.kind {
            Kind::Sink { topic } => Some(topic),
            _ => None,
        });
        for topic in sources.iter().chain(sinks) {
            if !self.topics.contains(topic) {
                self.topics.push(topic.clone());
            }
        }
        self.streams.push(Part { name: name.to_owned(), graph, sources });
    }

    fn topic(&self, name: &str) -> Vec<End> {
        self.topics.iter().position(|topic| topic == name).map(End::Topic).into_iter().collect()
    }

    fn ends(&self, stream: usize, node: usize) -> Vec<End> {
        let Some(part) = self.streams.get(stream) else { return Vec::new() };
        match part.graph.nodes.get(node).map(|node| &node.kind) {
            Some(Kind::Source { .. }) => part.sources.iter().flat_map(|topic| self.topic(topic)).collect(),
            Some(Kind::Sink { topic }) => self.topic(topic),
            _ => vec![End::Node(stream, node)],
        }
    }

    fn arrows(&self) -> Vec<(End, End)> {
        let mut arrows = Vec::new();
        for (stream, part) in self.streams.iter().enumerate() {
            for (from, to) in &part.graph.arrows {
                for from in self.ends(stream, *from) {
                    arrows.extend(self.ends(stream, *to).into_iter().map(|to| (from.copy(), to)));
                }
            }
        }
        arrows
    }
}

impl End {
    fn copy(&self) -> End {
        match self {
            End::Topic(topic) => End::Topic(*topic),
            End::Node(stream, node) => End::Node(*stream, *node),
        }
    }

    fn id(&self) -> String {
        match self {
            End::Topic(topic) => format!("t{topic}"),
            End::Node(stream, node) => format!("s{stream}n{node}"),
        }
    }
}

fn sources(source: &Source) -> Vec<String> {
    match source {
        Source::Topics(topics) => topics.clone(),
        Source::Pattern(_) => vec![source.pattern().unwrap_or_default().to_owned()],
    }
}

pub(super) fn mermaid(topology: &Topology) -> String {
    let drawing = Drawing::of(topology);
    // Mermaid reads entities; a backslash or a brace in quotes is text.
    let quote = |text: &str| {
        format!("\"{}\"", text.replace('&', "#amp;").replace('"', "#quot;").replace('<', "#lt;").replace('>', "#gt;"))
    };
    let mut out = String::from("flowchart LR\n");
    for (index, topic) in drawing.topics.iter().enumerate() {
        let _ = writeln!(out, "  t{index}([{}])", quote(topic));
    }
    for (stream, Part { name, graph, .. }) in drawing.streams.iter().enumerate().take(topology.streams.len()) {
        let _ = writeln!(out, "  subgraph s{stream}[{}]", quote(name));
        for (index, node) in graph.nodes.iter().enumerate() {
            if let Kind::Processor { store } = &node.kind {
                let _ = writeln!(out, "    s{stream}n{index}[{}]", quote(&node.name));
                if let Some(store) = store {
                    let _ = writeln!(out, "    s{stream}n{index} --- s{stream}n{index}store[({})]", quote(store));
                }
            }
        }
        out.push_str("  end\n");
    }
    for (from, to) in drawing.arrows() {
        let _ = writeln!(out, "  {} --> {}", from.id(), to.id());
    }
    out
}

pub(super) fn dot(topology: &Topology) -> String {
    let drawing = Drawing::of(topology);
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut out =
        format!("digraph {} {{\n  rankdir=LR\n  node [fontname=\"sans-serif\"]\n", quote(&topology.application));
    for (index, topic) in drawing.topics.iter().enumerate() {
        let _ = writeln!(out, "  t{index} [label={}, shape=cds]", quote(topic));
    }
    for (stream, Part { name, graph, .. }) in drawing.streams.iter().enumerate().take(topology.streams.len()) {
        let _ = writeln!(out, "  subgraph cluster_{stream} {{\n    label={}", quote(name));
        for (index, node) in graph.nodes.iter().enumerate() {
            if let Kind::Processor { store } = &node.kind {
                let _ = writeln!(out, "    s{stream}n{index} [label={}, shape=box]", quote(&node.name));
                if let Some(store) = store {
                    let _ = writeln!(out, "    s{stream}n{index}store [label={}, shape=cylinder]", quote(store));
                    let _ = writeln!(out, "    s{stream}n{index} -> s{stream}n{index}store [dir=none]");
                }
            }
        }
        out.push_str("  }\n");
    }
    for (from, to) in drawing.arrows() {
        let _ = writeln!(out, "  {} -> {}", from.id(), to.id());
    }
    out.push_str("}\n");
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SAMPLE, sample};
    use super::*;

    #[test]
    fn mermaid_draws() {
        let want = "flowchart LR
  t0([\"b.customers\"])
  t1([\"b.clients\"])
  t2([\"a.customers\"])
  t3([\"brew.dead-letters\"])
  t4([\"c\\.(?#lt;table#gt;x|#quot;y#quot;)\"])
  t5([\"a.{table}\"])
  subgraph s0[\"customers\"]
    s0n1[\"customers-dedup\"]
    s0n1 --- s0n1store[(\"customers-dedup\")]
    s0n2[\"customers-mask\"]
  end
  subgraph s1[\"plain\"]
  end
  t0 --> s0n1
  t1 --> s0n1
  s0n1 --> s0n2
  s0n2 --> t2
  s0n1 --> t3
  s0n2 --> t3
  t4 --> t5
";
        assert_eq!(mermaid(&sample(SAMPLE)), want);
    }

    #[test]
    fn dot_draws() {
        let got = dot(&sample(SAMPLE));
        for want in [
            "digraph \"brew\" {",
            "  t4 [label=\"c\\\\.(?<table>x|\\\"y\\\")\", shape=cds]",
            "    s0n1store [label=\"customers-dedup\", shape=cylinder]",
            "  s0n2 -> t3\n",
            "  t4 -> t5\n}\n",
        ] {
            assert!(got.contains(want), "{want} in {got}");
        }
        assert_eq!(got.matches('{').count() - 1, got.matches('}').count() - 1);
    }
}
