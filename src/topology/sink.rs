//! One sink: which topics' rows go to which tables.

use std::time::Duration;

use super::language;
use super::names;
use super::reader::{Fields, Reader};
use super::secrets::read_password;
use super::stream::{self, Draft};
use super::units::{duration, size};
use super::yaml::{Entry, Node, Span, Value};
use super::{OnError, Sink, Source, Target, Tenant, check};
use crate::connectors::clickhouse::client::MOST_ROWS;
use crate::connectors::clickhouse::{BatchConfig, Config, UnknownColumns};
use crate::operators::mask::{Rules, TableConfig, Transform, Unlisted};

const BATCH: BatchConfig = BatchConfig { rows: 100_000, bytes: 16 << 20, timeout: Duration::from_secs(1) };
const MEMORY: u64 = 256 << 20;
const LEAST_MEMORY: u64 = 1 << 20;
const INSERTS: usize = 2;
const INSERT_TIMEOUT: Duration = Duration::from_secs(60);
const DEDUP_WINDOW: u64 = 10_000;

/// `default`: what `defaults.on_error` says, with its place.
pub(super) fn read(
    reader: &mut Reader<'_>,
    entry: &Entry,
    default: &Option<(OnError, Span)>,
    drafts: &[Draft],
) -> Option<Sink> {
    let (name, at) = (entry.key.clone(), entry.key_span);
    if let Err(label) = names::plain(&name) {
        reader.error("name", at, format!("`{name}` cannot name a sink"), label);
    }
    let fields = reader.fields(&entry.value, at, "a sink", language::SINK.names)?;
    let (source, source_at) = match fields.require(reader, "from", "a sink reads topics: `from: TOPIC`") {
        Some(entry) => stream::read_source(reader, entry, true),
        None => (None, Vec::new()),
    };
    let label = "where the rows go: `clickhouse: { url: 'http://localhost:8123', table: TABLE }`";
    let clickhouse = fields.require(reader, "clickhouse", label);
    let clickhouse = clickhouse.and_then(|entry| read_clickhouse(reader, entry, source.as_ref()));
    let (on_error, letters_at) = match (fields.get("on_error"), default) {
        (Some(entry), _) => stream::read_on_error(reader, entry).map(|(on_error, at)| (on_error, Some(at)))?,
        (None, Some((on_error, at))) => (on_error.clone(), Some(*at)),
        (None, None) => (OnError::Fail, None),
    };
    check(reader, source.as_ref(), &source_at, &on_error, letters_at, drafts);
    let tenant = fields.get("tenant").and_then(|entry| read_tenant(reader, entry));
    let sink = Sink { name, source: source?, clickhouse: clickhouse?, tenant, on_error };
    if let Some(entry) = fields.get("tenant") {
        check_tenant(reader, &sink, entry.key_span, drafts);
    }
    Some(sink)
}

/// What only shows beside the streams.
fn check(
    reader: &mut Reader<'_>,
    source: Option<&Source>,
    source_at: &[Span],
    on_error: &OnError,
    letters_at: Option<Span>,
    drafts: &[Draft],
) {
    let (Some(source), Some(at)) = (source, source_at.first()) else { return };
    let literals = drafts.iter().flat_map(|draft| match &draft.source {
        Some(Source::Topics(topics)) => topics.iter().map(|topic| (&draft.name, topic)).collect(),
        _ => Vec::new(),
    });
    for (stream, topic) in literals {
        if source.matches(topic) {
            let label = format!("stream `{stream}` reads it: its rows are not masked yet");
            let help = ["a sink reads what streams write; narrow its `from` to the prefix of the outputs"];
            reader.explain("unmasked-sink", *at, format!("`{topic}` is the source of a stream"), label, &help);
        }
    }
    if let (OnError::DeadLetter { topic }, Source::Topics(topics), Some(at)) = (on_error, source, letters_at)
        && topics.contains(topic)
    {
        let message = format!("the topic of dead letters `{topic}` is read by the sink itself");
        reader.error("loop", at, message, "dead letters would go round for ever: give them another topic");
    }
}

fn read_clickhouse(reader: &mut Reader<'_>, section: &Entry, source: Option<&Source>) -> Option<Config> {
    let fields = reader.fields(&section.value, section.key_span, "`clickhouse`", language::CLICKHOUSE.names)?;
    let url = fields.require(reader, "url", "for example `url: http://localhost:8123`");
    let url = url.and_then(|entry| read_url(reader, entry));
    let database = match fields.get("database") {
        Some(entry) => reader.text(&entry.value, entry.key_span, "`database`").map(|text| text.text),
        None => Some("default".to_owned()),
    };
    let table = fields.require(reader, "table", "for example `table: orders`, or `'{table}'` of the pattern's group");
    let table = table.and_then(|entry| read_table(reader, &entry.value, entry.key_span, source));
    let user = fields.get("user").and_then(|entry| reader.text(&entry.value, entry.key_span, "`user`"));
    let password = read_password(reader, fields);
    let batch = match fields.get("batch") {
        Some(entry) => read_batch(reader, entry),
        None => BATCH,
    };
    let memory = number(reader, fields, "memory", MEMORY, |text| match size(text)? {
        bytes if bytes < LEAST_MEMORY => Err(format!("at least {}MiB", LEAST_MEMORY >> 20)),
        bytes => Ok(bytes),
    });
    let inserts = number(reader, fields, "inserts", INSERTS, |text| match text.parse() {
        Ok(inserts @ 1..=64) => Ok(inserts),
        _ => Err("expected a number from 1 to 64".into()),
    });
    let insert_timeout = number(reader, fields, "insert_timeout", INSERT_TIMEOUT, |text| match duration(text)? {
        time if time < Duration::from_secs(1) => Err("at least 1s".into()),
        time => Ok(time),
    });
    let dedup_window = number(reader, fields, "dedup_window", DEDUP_WINDOW, |text| match text.parse() {
        Ok(window @ 1..=1_000_000) => Ok(window),
        _ => Err("expected a number from 1 to 1000000".into()),
    });
    let unknown_columns = match fields.get("unknown_columns") {
        Some(entry) => reader.choice(&entry.value, entry.key_span, "`unknown_columns`", UnknownColumns::ALL),
        None => Some(UnknownColumns::Wait),
    };
    Some(Config {
        url: url?,
        database: database?,
        table: table?,
        user: user.map(|text| text.text),
        password,
        batch,
        memory,
        inserts,
        insert_timeout,
        dedup_window,
        unknown_columns: unknown_columns?,
    })
}

fn read_tenant(reader: &mut Reader<'_>, section: &Entry) -> Option<Tenant> {
    let mut tenant = Tenant::default();
    if matches!(section.value.value, Value::Scalar { .. }) {
        tenant.column = Some(reader.text(&section.value, section.key_span, "`tenant`")?.text);
        return Some(tenant);
    }
    let fields = reader.fields(&section.value, section.key_span, "`tenant`", language::TENANT.names)?;
    if let Some(entry) = fields.get("column") {
        tenant.column = Some(reader.text(&entry.value, entry.key_span, "`column`")?.text);
    }
    if let Some(entry) = fields.get("tables") {
        for table in reader.map(&entry.value, entry.key_span, "`tables`").unwrap_or_default() {
            let column = reader.text(&table.value, table.key_span, "a table's column")?;
            tenant.tables.insert(table.key.clone(), column.text);
        }
    }
    if tenant == Tenant::default() && fields.entries.is_empty() {
        let label = "name the column of the rows: `tenant: tenant_id`";
        reader.error("missing-field", section.key_span, "`tenant` names no column", label);
        return None;
    }
    Some(tenant)
}

/// What the streams that write a sink's rows make of the column that names their tenant, as far as that can be known here.
fn check_tenant(reader: &mut Reader<'_>, sink: &Sink, at: Span, drafts: &[Draft]) {
    let mut told = Vec::new();
    for draft in drafts {
        let rules: Vec<(&TableConfig, Option<&String>)> = match draft.mask.as_ref().map(|mask| &mask.rules) {
            Some(Rules::Fields(config)) => vec![(config, None)],
            Some(Rules::Tables(tables)) => {
                let own = |table| match &draft.to {
                    Some(Target::ByTable(topics)) => topics.get(table),
                    _ => None,
                };
                tables.iter().map(|(table, config)| (config, own(table))).collect()
            }
            Some(Rules::None) | None => Vec::new(),
        };
        for (config, own) in rules {
            let topics = match own {
                Some(topic) => vec![topic.clone()],
                None => draft.to_at.iter().flat_map(|(to, _)| check::samples(to, draft.source.as_ref())).collect(),
            };
            for topic in topics {
                let Some(table) = sink.table_for(&topic) else { continue };
                let Some(column) = sink.tenant_of(&table) else { continue };
                let Some(label) = what_is_left(config, column) else { continue };
                let message = format!("`{column}` does not leave stream `{}` as it came", draft.name);
                if !told.contains(&message) {
                    reader.warn("masked-tenant", at, message.clone(), label);
                    told.push(message);
                }
            }
        }
    }
}

/// Of a column, where it is not what it was.
fn what_is_left(config: &TableConfig, column: &str) -> Option<String> {
    let rule = config.fields.iter().find(|field| field.path.column == column).map(|field| &field.transform);
    match (rule, config.unlisted) {
        (Some(Transform::Passthrough), _) => None,
        (Some(Transform::Drop), _) | (None, Unlisted::Drop) => Some("it is dropped: no row names its tenant".into()),
        (Some(rule), _) => Some(format!("tenants are named by what `{}` leaves of it", rule.rule().as_str())),
        (None, Unlisted::Passthrough | Unlisted::Reject) => None,
    }
}

fn number<T>(
    reader: &mut Reader<'_>,
    fields: Fields<'_>,
    name: &str,
    default: T,
    parse: impl Fn(&str) -> Result<T, String>,
) -> T {
    let Some(entry) = fields.get(name) else { return default };
    reader.parsed(&entry.value, entry.key_span, &format!("`{name}`"), parse).unwrap_or(default)
}

/// No message repeats one that is wrong: it may hold a password.
fn read_url(reader: &mut Reader<'_>, entry: &Entry) -> Option<String> {
    let text = reader.text(&entry.value, entry.key_span, "`url`")?;
    match is_url(text.text.trim()) {
        Ok(url) => Some(url),
        Err(_) if text.placeholder => None,
        Err(label) => {
            reader.error("bad-value", text.span, "`url` is no address of a server", label);
            None
        }
    }
}

fn is_url(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        Some(host) if host.contains('@') => Err("user and password belong in `user` and `password`".into()),
        Some(host) if host.contains(['?', '#']) => Err("settings of the server do not belong here".into()),
        Some(host) if !host.trim_matches('/').is_empty() => Ok(text.to_owned()),
        _ => Err("expected an address such as http://localhost:8123 or https://host:8443".into()),
    }
}

fn read_batch(reader: &mut Reader<'_>, section: &Entry) -> BatchConfig {
    let Some(fields) = reader.fields(&section.value, section.key_span, "`batch`", language::BATCH.names) else {
        return BATCH;
    };
    let rows = number(reader, fields, "rows", BATCH.rows, |text| match text.parse() {
        Ok(rows @ 1..=MOST_ROWS) => Ok(rows),
        _ => Err(format!("expected a number from 1 to {MOST_ROWS}: a batch is one block of the server")),
    });
    let bytes = number(reader, fields, "bytes", BATCH.bytes, size);
    let timeout = number(reader, fields, "timeout", BATCH.timeout, duration);
    BatchConfig { rows, bytes, timeout }
}

/// A table's name, with `{group}` of the source's pattern.
fn read_table(reader: &mut Reader<'_>, node: &Node, at: Span, source: Option<&Source>) -> Option<String> {
    let text = reader.text(node, at, "`table`")?;
    let pieces = stream::check_template(reader, &text, source)?;
    let several = match source {
        Some(Source::Topics(topics)) => topics.len() > 1,
        _ => false,
    };
    if several && !pieces {
        let label = "all topics would go to one table; `'{topic}'` gives each its own";
        reader.warn("one-table", text.span, "several topics and one table", label);
    }
    Some(text.text)
}

/// A scalar that cannot be a topic is a pattern: `brew\.analytics\.(?<table>.+)`.
pub(super) fn looks_like_pattern(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar { text, .. } if text.contains(['(', '[', '*', '+', '?', '|', '\\', '^']) && !text.contains("${"))
}
