//! The topology as JSON, for scripts. Kafka's properties stay out: they hold passwords.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::operators::dedup::{MissingPosition, OnRegression};
use crate::operators::filter::Mode;
use crate::operators::mask::{FieldRule, Rules, TableConfig, Unlisted};
use crate::topology::{OnError, Sink, Source, Stream, Target, Topology};

#[derive(Serialize)]
struct Described<'a> {
    application: &'a str,
    commit_interval_ms: u128,
    transaction_timeout_ms: u128,
    static_membership: bool,
    threads: usize,
    streams: Vec<DescribedStream<'a>>,
    sinks: Vec<DescribedSink<'a>>,
    redis: Option<Redis<'a>>,
    postgres: Option<Slots<'a>>,
}

#[derive(Serialize)]
struct Redis<'a> {
    url: &'a str,
    key: &'a str,
}

/// Its address may hold a password.
#[derive(Serialize)]
struct Slots<'a> {
    database: String,
    slots: &'a [String],
    interval_ms: u128,
}

#[derive(Serialize)]
struct DescribedSink<'a> {
    name: &'a str,
    from: From<'a>,
    group: String,
    plans_topic: String,
    clickhouse: ClickHouse<'a>,
    tenant: Option<Tenant<'a>>,
    on_error: &'static str,
    dead_letter_topic: Option<&'a str>,
}

#[derive(Serialize)]
struct Tenant<'a> {
    column: Option<&'a str>,
    tables: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct ClickHouse<'a> {
    url: &'a str,
    database: &'a str,
    table: &'a str,
    batch_rows: usize,
    batch_bytes: u64,
    batch_timeout_ms: u128,
    dedup_window: u64,
}

#[derive(Serialize)]
struct DescribedStream<'a> {
    name: &'a str,
    from: From<'a>,
    dedup: Option<Dedup>,
    filter: Option<Filter>,
    mask: Mask<'a>,
    to: To<'a>,
    headers: &'a [String],
    on_error: &'static str,
    dead_letter_topic: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum From<'a> {
    Topics(&'a [String]),
    Pattern(&'a str),
}

#[derive(Serialize)]
struct Dedup {
    store: String,
    changelogs: Vec<String>,
    on_regression: &'static str,
    missing_position: &'static str,
}

#[derive(Serialize)]
struct Filter {
    predicate: String,
    mode: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Mask<'a> {
    None,
    Columns(Table),
    Tables(BTreeMap<&'a str, Table>),
}

#[derive(Serialize)]
struct Table {
    fields: Vec<Field>,
    unlisted: &'static str,
}

#[derive(Serialize)]
struct Field {
    column: String,
    rule: &'static str,
    /// The rule with its options, for people.
    text: String,
    optional: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum To<'a> {
    Topic(&'a str),
    ByTable(&'a BTreeMap<String, String>),
}

pub(super) fn render(topology: &Topology) -> String {
    let described = Described {
        application: &topology.application,
        commit_interval_ms: topology.commit_interval.as_millis(),
        transaction_timeout_ms: topology.transaction_timeout.as_millis(),
        static_membership: topology.static_membership,
        threads: topology.threads,
        streams: topology.streams.iter().map(|stream| of_stream(topology, stream)).collect(),
        sinks: topology.sinks.iter().map(|sink| of_sink(topology, sink)).collect(),
        redis: topology.redis.as_ref().map(|redis| Redis { url: &redis.url, key: &redis.key }),
        postgres: topology.slots.as_ref().map(|config| Slots {
            database: config.name(),
            slots: &config.slots,
            interval_ms: config.interval.as_millis(),
        }),
    };
    // Maps with string keys and plain values: nothing that serde_json refuses.
    serde_json::to_string_pretty(&described).unwrap_or_default() + "\n"
}

fn of_stream<'a>(topology: &'a Topology, stream: &'a Stream) -> DescribedStream<'a> {
    DescribedStream {
        name: &stream.name,
        from: from(&stream.source),
        dedup: stream.dedup.as_ref().map(|config| Dedup {
            store: format!("{}-dedup", stream.name),
            changelogs: match &stream.source {
                Source::Topics(topics) => topics.iter().map(|topic| topology.changelog(&stream.name, topic)).collect(),
                Source::Pattern(_) => vec![topology.changelog(&stream.name, "{topic}")],
            },
            on_regression: match config.on_regression {
                OnRegression::NewEpoch => "new_epoch",
                OnRegression::Fail => "fail",
            },
            missing_position: match config.missing_position {
                MissingPosition::Keep => "keep",
                MissingPosition::TsMs => "ts_ms",
            },
        }),
        filter: stream.filter.as_ref().map(|filter| Filter {
            predicate: filter.predicate.to_string(),
            mode: match filter.mode {
                Mode::Change => "change",
                Mode::Record => "record",
            },
        }),
        mask: match &stream.mask.rules {
            Rules::None => Mask::None,
            Rules::Fields(config) => Mask::Columns(table(config)),
            Rules::Tables(tables) => {
                Mask::Tables(tables.iter().map(|(name, config)| (name.as_str(), table(config))).collect())
            }
        },
        to: match &stream.to {
            Target::Topic(topic) => To::Topic(topic),
            Target::ByTable(topics) => To::ByTable(topics),
        },
        headers: &stream.headers,
        on_error: on_error(&stream.on_error).0,
        dead_letter_topic: on_error(&stream.on_error).1,
    }
}

fn of_sink<'a>(topology: &Topology, sink: &'a Sink) -> DescribedSink<'a> {
    let clickhouse = &sink.clickhouse;
    DescribedSink {
        name: &sink.name,
        from: from(&sink.source),
        group: topology.sink_group(&sink.name),
        plans_topic: topology.plans(&sink.name),
        clickhouse: ClickHouse {
            url: &clickhouse.url,
            database: &clickhouse.database,
            table: &clickhouse.table,
            batch_rows: clickhouse.batch.rows,
            batch_bytes: clickhouse.batch.bytes,
            batch_timeout_ms: clickhouse.batch.timeout.as_millis(),
            dedup_window: clickhouse.dedup_window,
        },
        tenant: sink.tenant.as_ref().map(|tenant| Tenant { column: tenant.column.as_deref(), tables: &tenant.tables }),
        on_error: on_error(&sink.on_error).0,
        dead_letter_topic: on_error(&sink.on_error).1,
    }
}

fn from(source: &Source) -> From<'_> {
    match source {
        Source::Topics(topics) => From::Topics(topics),
        Source::Pattern(_) => From::Pattern(source.pattern().unwrap_or_default()),
    }
}

/// The word, and the topic of dead letters.
fn on_error(on_error: &OnError) -> (&'static str, Option<&str>) {
    match on_error {
        OnError::Fail => ("fail", None),
        OnError::Skip => ("skip", None),
        OnError::DeadLetter { topic } => ("dead_letter", Some(topic)),
    }
}

fn table(config: &TableConfig) -> Table {
    Table {
        fields: config.fields.iter().map(field).collect(),
        unlisted: match config.unlisted {
            Unlisted::Passthrough => "passthrough",
            Unlisted::Drop => "drop",
            Unlisted::Reject => "reject",
        },
    }
}

fn field(field: &FieldRule) -> Field {
    Field {
        column: field.path.to_string(),
        rule: field.transform.rule().as_str(),
        text: field.transform.to_string(),
        optional: field.optional,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SAMPLE, sample};
    use super::*;

    #[test]
    fn holds_what_scripts_ask_for() {
        let value: serde_json::Value = serde_json::from_str(&render(&sample(SAMPLE))).unwrap();
        for (pointer, want) in [
            ("/application", "\"brew\""),
            ("/streams/0/from/topics/1", "\"b.clients\""),
            ("/streams/0/dedup/changelogs/0", "\"brew-customers-b.customers-changelog\""),
            ("/streams/0/mask/columns/fields/1", r#"{"column":"fax","optional":true,"rule":"drop","text":"drop"}"#),
            ("/streams/0/mask/columns/unlisted", "\"reject\""),
            ("/streams/0/dead_letter_topic", "\"brew.dead-letters\""),
            ("/streams/1/mask", "\"none\""),
            ("/streams/1/to/topic", "\"a.{table}\""),
            ("/streams/1/dedup", "null"),
        ] {
            assert_eq!(value.pointer(pointer).map(ToString::to_string).as_deref(), Some(want), "{pointer}");
        }
    }
}
