//! The tree: what a person wants to know of each stream, the rule of each column included.

use std::fmt::Write;

use super::graph::table;
use crate::operators::dedup::{MissingPosition, OnRegression};
use crate::operators::filter::Mode;
use crate::operators::mask::{Rules, TableConfig, Unlisted};
use crate::topology::units::show;
use crate::topology::{OnError, Sink, Source, Stream, Target, Tenant, Topology};

struct Branch {
    text: String,
    below: Vec<Branch>,
}

fn leaf(text: impl Into<String>) -> Branch {
    Branch { text: text.into(), below: Vec::new() }
}

pub(super) fn render(topology: &Topology) -> String {
    let mut out = String::new();
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let mut counts = count(topology.streams.len(), "stream");
    if !topology.sinks.is_empty() {
        counts = format!("{counts}, {}", count(topology.sinks.len(), "sink"));
    }
    let _ = writeln!(out, "{} ({counts})", topology.application);
    let streams = topology.streams.iter().map(|stream| of_stream(topology, stream));
    let mut branches: Vec<_> = streams.chain(topology.sinks.iter().map(|sink| of_sink(topology, sink))).collect();
    if let Some(redis) = &topology.redis {
        let below = vec![leaf(format!("to        {} at {}", redis.key, redis.url))];
        branches.push(Branch { text: "as of when each tenant's rows are".into(), below });
    }
    if let Some(config) = &topology.slots {
        let slots = if config.slots.is_empty() { "all".to_owned() } else { config.slots.join(", ") };
        let below = vec![
            leaf(format!("slots     {slots}")),
            leaf(format!("of        {}", config.name())),
            leaf(format!("every     {}", show(config.interval))),
        ];
        branches.push(Branch { text: "replication slots".into(), below });
    }
    grow(&mut out, &branches, "");
    out
}

fn grow(out: &mut String, branches: &[Branch], indent: &str) {
    for (index, branch) in branches.iter().enumerate() {
        let last = index + 1 == branches.len();
        let (fork, bar) = if last { ("└─", "   ") } else { ("├─", "│  ") };
        let _ = writeln!(out, "{indent}{fork} {}", branch.text);
        grow(out, &branch.below, &format!("{indent}{bar}"));
    }
}

fn of_stream(topology: &Topology, stream: &Stream) -> Branch {
    let mut below = vec![from(&stream.source)];
    if stream.dedup.is_some() {
        below.push(dedup(topology, stream));
    }
    if let Some(filter) = &stream.filter {
        let what = match filter.mode {
            Mode::Change => "a row that leaves it after it was sent is sent as deleted",
            Mode::Record => "each record for itself",
        };
        let below_it = vec![leaf(filter.predicate.to_string()), leaf(what)];
        below.push(Branch { text: "filter    a row passes if this is true of it".into(), below: below_it });
    }
    below.push(mask(stream));
    below.push(to(stream));
    let headers = if stream.headers.is_empty() { "none pass".to_owned() } else { stream.headers.join(", ") };
    below.push(leaf(format!("headers   {headers}")));
    below.push(on_error(&stream.on_error));
    Branch { text: stream.name.clone(), below }
}

fn of_sink(topology: &Topology, sink: &Sink) -> Branch {
    let batch = sink.clickhouse.batch;
    let mut below = vec![
        from(&sink.source),
        leaf(format!("group     {}", topology.sink_group(&sink.name))),
        leaf(format!("plans     {}", topology.plans(&sink.name))),
        leaf(format!("to        {} at {}", table(sink), sink.clickhouse.url)),
        leaf(format!("batch     {} rows, {} bytes or {}", batch.rows, batch.bytes, show(batch.timeout))),
        on_error(&sink.on_error),
    ];
    if let Some(Tenant { column, tables }) = &sink.tenant {
        let others = tables.iter().map(|(table, column)| format!("{column} of {table}"));
        let columns: Vec<String> = column.iter().cloned().chain(others).collect();
        below.insert(below.len() - 1, leaf(format!("tenant    {}", columns.join(", "))));
    }
    Branch { text: sink.name.clone(), below }
}

fn from(source: &Source) -> Branch {
    leaf(match source {
        Source::Topics(topics) => format!("from      {}", topics.join(", ")),
        Source::Pattern(_) => format!("from      pattern {}", source.pattern().unwrap_or_default()),
    })
}

fn on_error(on_error: &OnError) -> Branch {
    leaf(match on_error {
        OnError::Fail => "on error  stop".to_owned(),
        OnError::Skip => "on error  skip and count".to_owned(),
        OnError::DeadLetter { topic } => format!("on error  dead letter to {topic}"),
    })
}

fn dedup(topology: &Topology, stream: &Stream) -> Branch {
    let mut below = vec![leaf(format!("store {}-dedup", stream.name))];
    match &stream.source {
        Source::Topics(topics) => below
            .extend(topics.iter().map(|topic| leaf(format!("changelog {}", topology.changelog(&stream.name, topic))))),
        Source::Pattern(_) => below.push(leaf(format!("changelog {}", topology.changelog(&stream.name, "{topic}")))),
    }
    let config = stream.dedup.clone().unwrap_or_default();
    if config.on_regression == OnRegression::Fail {
        below.push(leaf("stops where positions fall while time goes on"));
    }
    if config.missing_position == MissingPosition::TsMs {
        below.push(leaf("ranks changes without a position by ts_ms"));
    }
    Branch { text: "dedup     a change passes if it is newer than its key's last".into(), below }
}

fn mask(stream: &Stream) -> Branch {
    match &stream.mask.rules {
        Rules::None => leaf("mask      none: rows pass as they are"),
        Rules::Fields(config) => Branch { text: "mask".into(), below: columns(config) },
        Rules::Tables(tables) => {
            let each =
                |(table, config): (&String, &TableConfig)| Branch { text: table.clone(), below: columns(config) };
            Branch { text: "mask      by table".into(), below: tables.iter().map(each).collect() }
        }
    }
}

fn columns(config: &TableConfig) -> Vec<Branch> {
    const REST: &str = "(all others)";
    let width =
        config.fields.iter().map(|field| field.path.to_string().chars().count()).max().unwrap_or(0).max(REST.len());
    let each = |column: &str, rule: &str| leaf(format!("{column:width$}  {rule}"));
    let mut below: Vec<_> = config
        .fields
        .iter()
        .map(|field| {
            each(
                &field.path.to_string(),
                &format!("{}{}", field.transform, if field.optional { ", may be missing" } else { "" }),
            )
        })
        .collect();
    below.push(each(
        REST,
        match config.unlisted {
            Unlisted::Passthrough => "passthrough",
            Unlisted::Drop => "drop",
            Unlisted::Reject => "reject the row",
        },
    ));
    below
}

fn to(stream: &Stream) -> Branch {
    match &stream.to {
        Target::Topic(topic) => leaf(format!("to        {topic}")),
        Target::ByTable(topics) => Branch {
            text: "to        by table".into(),
            below: topics.iter().map(|(table, topic)| leaf(format!("{table}: {topic}"))).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SAMPLE, sample};
    use super::*;

    #[test]
    fn tells_everything() {
        let want = "\
brew (2 streams)
├─ customers
│  ├─ from      b.customers, b.clients
│  ├─ dedup     a change passes if it is newer than its key's last
│  │  ├─ store customers-dedup
│  │  ├─ changelog brew-customers-b.customers-changelog
│  │  └─ changelog brew-customers-b.clients-changelog
│  ├─ mask
│  │  ├─ email         hash
│  │  ├─ fax           drop, may be missing
│  │  └─ (all others)  reject the row
│  ├─ to        a.customers
│  ├─ headers   trace
│  └─ on error  dead letter to brew.dead-letters
└─ plain
   ├─ from      pattern c\\.(?<table>x|\"y\")
   ├─ mask      none: rows pass as they are
   ├─ to        a.{table}
   ├─ headers   none pass
   └─ on error  skip and count
";
        assert_eq!(render(&sample(SAMPLE)), want);
    }
}
