//! A topology for people and for viewers. Needs neither secrets nor brokers, and shows no secret.

mod draw;
mod graph;
mod json;
mod text;
mod tree;

use super::Topology;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// What `Topology#describe()` of Kafka Streams prints; public viewers draw it.
    #[default]
    Text,
    Tree,
    Mermaid,
    Dot,
    Json,
}

pub fn describe(topology: &Topology, form: Form) -> String {
    match form {
        Form::Text => text::render(topology),
        Form::Tree => tree::render(topology),
        Form::Mermaid => draw::mermaid(topology),
        Form::Dot => draw::dot(topology),
        Form::Json => json::render(topology),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::super::Mode;
    use super::*;

    pub const SAMPLE: &str = r#"
application: brew
kafka: { bootstrap.servers: "${BROKERS:-localhost:9092}", sasl.password: "${PASSWORD}" }
secrets: { pii: "${SALT}" }
defaults: { on_error: { dead_letter: brew.dead-letters } }
streams:
  customers:
    from: { topics: [b.customers, b.clients] }
    steps: [dedup, { mask: { unlisted: reject, fields: { email: hash, fax: { rule: drop, optional: true } } } }]
    to: { topic: a.customers, headers: [trace] }
  plain:
    from: { pattern: 'c\.(?<table>x|"y")' }
    steps: [{ mask: none }]
    to: 'a.{table}'
    on_error: skip
"#;

    pub fn sample(text: &str) -> Topology {
        Topology::parse(text, "topology.yaml", Path::new(""), Mode::Check, &|_| None).unwrap().topology
    }

    #[test]
    fn no_form_shows_a_secret() {
        let env = |name: &str| (name != "BROKERS").then(|| "CANARY-of-a-secret".to_owned());
        let loaded = Topology::parse(SAMPLE, "topology.yaml", Path::new(""), Mode::Run, &env).unwrap();
        let crate::topology::Cluster::Kafka(properties) = &loaded.topology.cluster else { panic!("not Kafka") };
        assert_eq!(properties["sasl.password"], "CANARY-of-a-secret");
        for form in [Form::Text, Form::Tree, Form::Mermaid, Form::Dot, Form::Json] {
            assert!(!describe(&loaded.topology, form).contains("CANARY"), "{form:?}");
        }
    }
}
