//! Which table goes through which stream into which topic. Debezium names topics PREFIX.SCHEMA.TABLE; the prefix is told, or
//! found in the names and patterns of the topology.

use std::collections::BTreeSet;

use crate::connectors::postgres::catalog::Table;
use crate::topology::{Source, Stream, Target, Topology, nearest};

/// A table on its way.
#[derive(Debug)]
pub struct Flow<'a> {
    pub stream: &'a Stream,
    pub table: &'a Table,
    /// Where its rows go.
    pub target: String,
}

/// The flows of some streams, or of all; or every stream for which there is no table.
pub fn flows<'a>(
    topology: &'a Topology,
    wanted: &[&'a Stream],
    tables: &'a [Table],
    prefix: Option<&str>,
    database: &str,
) -> Result<Vec<Flow<'a>>, String> {
    let prefixes = prefix.map_or_else(|| prefixes(topology), |prefix| BTreeSet::from([prefix.to_owned()]));
    let mut flows: Vec<Flow<'a>> = Vec::new();
    let mut topics = BTreeSet::new();
    for table in tables {
        for prefix in &prefixes {
            let topic = format!("{prefix}.{}", table.qualified());
            let stream = topology.reader_of(&topic).filter(|stream| wanted.iter().any(|one| one.name == stream.name));
            let Some(stream) = stream else { continue };
            topics.insert(topic.clone());
            if let Some(target) = target(stream, &topic, table) {
                flows.push(Flow { stream, table, target });
            }
        }
    }
    let missing: Vec<String> =
        wanted.iter().flat_map(|stream| missing(stream, &topics, &flows, tables, database)).collect();
    if missing.is_empty() { Ok(flows) } else { Err(missing.join("\n")) }
}

fn target(stream: &Stream, topic: &str, table: &Table) -> Option<String> {
    match &stream.to {
        Target::Topic(_) => stream.target_for(topic),
        Target::ByTable(topics) => topics.get(&table.name).cloned(),
    }
}

/// What a stream reads and no table is for.
fn missing(
    stream: &Stream,
    found: &BTreeSet<String>,
    flows: &[Flow<'_>],
    tables: &[Table],
    database: &str,
) -> Vec<String> {
    let names: Vec<String> = tables.iter().map(Table::qualified).collect();
    match &stream.source {
        Source::Topics(topics) => topics
            .iter()
            .filter(|topic| !found.contains(*topic))
            .map(|topic| {
                let table = topic.rsplitn(3, '.').take(2).collect::<Vec<_>>();
                let table = table.into_iter().rev().collect::<Vec<_>>().join(".");
                let meant = nearest(&table, names.iter().map(String::as_str))
                    .map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
                format!("stream `{}` reads {topic}, and {database} has no table {table}{meant}", stream.name)
            })
            .collect(),
        Source::Pattern(_) if flows.iter().any(|flow| flow.stream.name == stream.name) => Vec::new(),
        Source::Pattern(_) => vec![format!(
            "stream `{}` reads {}, and no table of {database} makes such a topic; --topic-prefix says what stands before \
             SCHEMA.TABLE",
            stream.name,
            stream.source.pattern().unwrap_or_default()
        )],
    }
}

/// What may stand before SCHEMA.TABLE.
fn prefixes(topology: &Topology) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for stream in &topology.streams {
        match &stream.source {
            Source::Topics(topics) => {
                found.extend(topics.iter().filter_map(|topic| Some(topic.rsplitn(3, '.').nth(2)?.to_owned())));
            }
            Source::Pattern(_) => {
                let begin = literal(stream.source.pattern().unwrap_or_default());
                let parts: Vec<&str> = begin.split('.').collect();
                found.extend((1..parts.len()).map(|count| parts[..count].join(".")));
            }
        }
    }
    found
}

/// What every topic of a pattern begins with.
fn literal(pattern: &str) -> String {
    let (mut text, mut chars) = (String::new(), pattern.chars().peekable());
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some(escaped) if !escaped.is_alphanumeric() => escaped,
                _ => break,
            },
            c if c.is_alphanumeric() || c == '_' || c == '-' => c,
            _ => break,
        };
        // It may be there not at all.
        if matches!(chars.peek(), Some('?' | '*' | '{' | '|')) {
            break;
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Mode;

    fn topology(streams: &str) -> Topology {
        let text = format!("application: a\nkafka: {{ bootstrap.servers: 'localhost:1' }}\nstreams:\n{streams}");
        let loaded = Topology::parse(&text, "t", std::path::Path::new("."), Mode::Check, &|_| None);
        loaded.unwrap_or_else(|found| panic!("{}", found.render(false))).topology
    }

    fn table(schema: &str, name: &str) -> Table {
        Table { schema: schema.into(), name: name.into(), columns: Vec::new(), key: Vec::new(), tells_old_rows: true }
    }

    fn found(topology: &Topology, prefix: Option<&str>) -> Result<Vec<String>, String> {
        let tables = [table("public", "customers"), table("public", "events"), table("shop", "orders")];
        let wanted: Vec<&Stream> = topology.streams.iter().collect();
        let flows = flows(topology, &wanted, &tables, prefix, "brew on h:1")?;
        Ok(flows
            .iter()
            .map(|flow| format!("{} {} {}", flow.table.qualified(), flow.stream.name, flow.target))
            .collect())
    }

    const STEPS: &str = "steps: [dedup, { mask: none }]";

    #[test]
    fn tables_are_found_by_topics_and_by_patterns() {
        let topology = topology(&format!(
            "  one: {{ from: a.b.public.customers, to: out.customers, {STEPS} }}\n  \
             rest: {{ from: {{ pattern: 'x\\.y\\.(?<schema>public|shop)\\.(?<table>events|orders)' }}, to: 'out.{{table}}', {STEPS} }}\n"
        ));
        let all =
            ["public.customers one out.customers", "public.events rest out.events", "shop.orders rest out.orders"];
        assert_eq!(found(&topology, None).unwrap(), all);
        // One that does not fit finds only what it fits.
        let why = found(&topology, Some("x.y")).unwrap_err();
        assert!(why.contains("stream `one` reads a.b.public.customers"), "{why}");
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let topology = topology(&format!(
            "  one: {{ from: a.public.custmers, to: out, {STEPS} }}\n  two: {{ from: {{ pattern: 'b\\..*' }}, to: out2, {STEPS} }}\n"
        ));
        let why = found(&topology, Some("a")).unwrap_err();
        for part in [
            "stream `one` reads a.public.custmers, and brew on h:1 has no table public.custmers, did you mean `public.customers`?",
            "stream `two` reads b\\..*, and no table of brew on h:1 makes such a topic; --topic-prefix",
        ] {
            assert!(why.contains(part), "{part}\n{why}");
        }
    }

    #[test]
    fn a_pattern_begins_with_its_literals() {
        for (pattern, want) in [
            (r"brew\.cdc\.public\.(?<table>a|b)", "brew.cdc.public."),
            (r"a\.b?\.c", "a."),
            (".*", ""),
            (r"a\d", "a"),
            ("a|b", ""),
        ] {
            assert_eq!(literal(pattern), want);
        }
    }
}
