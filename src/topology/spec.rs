//! The sections of topology.yaml, from the top.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fields::BOOLEANS;
use super::language;
use super::reader::{Fields, Reader};
use super::sink;
use super::stream::{self, Draft};
use super::units::{duration, show, size};
use super::yaml::{Entry, Node, Span, Value};
use super::{Cluster, EMBEDDED_LOG, Mode, OnError, Sink, State, Topology, check, kafka, names, watch};
use crate::record::Secret;

const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Room for the worst stall between the last record of a commit interval and the end of its transaction.
const STALL: Duration = Duration::from_secs(1);
const MEMORY: u64 = 128 << 20;
const LEAST_MEMORY: u64 = 8 << 20;
/// A worker a core, where nothing is said. Each is a member of the group: beyond so many it should be asked for.
const MOST_THREADS_UNASKED: usize = 4;
/// Changelogs are named after it, the stream and the source topic, and Kafka takes 249 characters.
const MAX_APPLICATION: usize = 128;

/// The topology, as far as nothing was wrong: only an empty list of errors makes it one to be used.
pub(super) fn read(reader: &mut Reader<'_>, root: &Node) -> Option<Topology> {
    let top = reader.fields(root, root.span, "a topology", language::TOPOLOGY.names)?;
    read_secrets(reader, top);
    let application = read_application(reader, top);
    let (commit_interval, transaction_timeout) = read_times(reader, top);
    let static_membership = match top.get("static_membership") {
        Some(entry) => reader.choice(&entry.value, entry.key_span, "`static_membership`", BOOLEANS).unwrap_or_default(),
        None => false,
    };
    let threads = read_threads(reader, top);
    let log_in_state = log_in_state(reader.mode, top);
    let state = read_state(reader, top, log_in_state);
    let cluster = read_cluster(reader, top, &state.path);
    let http = read_http(reader, top);
    let on_error = read_defaults(reader, top);
    let drafts = read_streams(reader, top, &on_error);
    check::streams(reader, application.as_deref().unwrap_or_default(), &drafts);
    let (sinks, all_read) = read_sinks(reader, top, &on_error, &drafts);
    let redis = watch::read_redis(reader, top, &sinks);
    let slots = watch::read_postgres(reader, top);
    let count = drafts.len();
    let mut streams: Vec<_> = drafts.into_iter().filter_map(Draft::finish).collect();
    streams.iter_mut().for_each(|stream| stream.stamped = !sinks.is_empty());
    if streams.len() < count || !all_read {
        return None;
    }
    let application = application?;
    Some(Topology {
        application,
        cluster,
        commit_interval,
        transaction_timeout,
        static_membership,
        threads,
        state,
        http,
        streams,
        sinks,
        redis,
        slots,
        log_in_state,
    })
}

fn read_secrets(reader: &mut Reader<'_>, top: Fields<'_>) {
    let Some(section) = top.get("secrets") else { return };
    let entries = reader.map(&section.value, section.key_span, "`secrets`").unwrap_or_default();
    for entry in entries {
        let ring = reader.keyring(entry);
        reader.secrets.insert(entry.key.clone(), ring);
    }
}

fn read_application(reader: &mut Reader<'_>, top: Fields<'_>) -> Option<String> {
    let entry = top.require(reader, "application", "it names the consumer group and the internal topics")?;
    reader.parsed(&entry.value, entry.key_span, "`application`", |text| match names::plain(text) {
        Err(label) => Err(label),
        Ok(()) if text == "." || text == ".." => Err("expected a name".into()),
        Ok(()) if text.len() > MAX_APPLICATION => Err(format!("it is longer than {MAX_APPLICATION} characters")),
        Ok(()) => Ok(text.to_owned()),
    })
}

/// Where the log is. `kafka` and `embedded` exclude each other, unless a flag has decided already.
fn read_cluster(reader: &mut Reader<'_>, top: Fields<'_>, state: &Path) -> Cluster {
    let mode = reader.mode;
    if mode.connects() {
        reader.mode = Mode::Run;
    }
    let cluster = match (top.get("embedded"), top.get("kafka")) {
        (Some(entry), kafka) => {
            if let Some(kafka) = kafka.filter(|_| !mode.embeds()) {
                let label = "`embedded` keeps the log in this process, `kafka` names a cluster";
                reader.error("conflict", kafka.key_span, "`kafka` and `embedded` exclude each other", label);
            }
            Cluster::Embedded(read_embedded(reader, entry, state))
        }
        (None, _) if mode.embeds() => Cluster::Embedded(state.join(EMBEDDED_LOG)),
        (None, _) => {
            let label =
                "it names the brokers: `kafka: { bootstrap.servers: localhost:9092 }`; or `embedded: state/log`";
            let section = top.require(reader, "kafka", label);
            Cluster::Kafka(section.map(|entry| kafka::read(reader, entry)).unwrap_or_default())
        }
    };
    reader.mode = mode;
    cluster
}

/// Whether the log is embedded and no place is named for it: it lies with the state.
fn log_in_state(mode: Mode, top: Fields<'_>) -> bool {
    match top.get("embedded").map(|section| (scalar(section), &section.value.value)) {
        None => mode.embeds(),
        Some((Some(_), _)) => false,
        Some((None, Value::Map(fields))) => !fields.iter().any(|field| field.key == "path"),
        Some((None, _)) => true,
    }
}

fn read_embedded(reader: &mut Reader<'_>, section: &Entry, state: &Path) -> PathBuf {
    let path = match scalar(section) {
        Some(section) => Some(section),
        None => {
            let fields = reader.fields(&section.value, section.key_span, "`embedded`", language::EMBEDDED.names);
            fields.and_then(|fields| fields.get("path"))
        }
    };
    let text = path.and_then(|entry| reader.text(&entry.value, entry.key_span, "`embedded`"));
    text.map_or_else(|| state.join(EMBEDDED_LOG), |text| PathBuf::from(text.text))
}

fn read_times(reader: &mut Reader<'_>, top: Fields<'_>) -> (Duration, Duration) {
    let mut read = |name: &str, default| match top.get(name) {
        Some(entry) => {
            reader.parsed(&entry.value, entry.key_span, &format!("`{name}`"), |text| match duration(text)? {
                Duration::ZERO => Err("it must be more than nothing".into()),
                time => Ok(time),
            })
        }
        None => Some(default),
    };
    let (commit, timeout) =
        (read("commit_interval", COMMIT_INTERVAL), read("transaction_timeout", TRANSACTION_TIMEOUT));
    let place = top.get("transaction_timeout").or_else(|| top.get("commit_interval"));
    if let (Some(commit), Some(timeout), Some(place)) = (commit, timeout, place)
        && timeout <= commit.saturating_add(STALL)
    {
        let message = format!(
            "`transaction_timeout` is {}, too short for a `commit_interval` of {}",
            show(timeout),
            show(commit)
        );
        let label = format!("must be more than {}", show(commit.saturating_add(STALL)));
        let help = [
            "the broker aborts a transaction after `transaction_timeout`; one lasts a `commit_interval` and the worst stall",
        ];
        reader.explain("timeout", place.value.span, message, label, &help);
    }
    (commit.unwrap_or(COMMIT_INTERVAL), timeout.unwrap_or(TRANSACTION_TIMEOUT))
}

fn read_threads(reader: &mut Reader<'_>, top: Fields<'_>) -> usize {
    let Some(entry) = top.get("threads") else {
        return std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_THREADS_UNASKED));
    };
    let threads = reader.parsed(&entry.value, entry.key_span, "`threads`", |text| match text.parse() {
        Ok(threads @ 1..=64) => Ok(threads),
        _ => Err("expected a number from 1 to 64".into()),
    });
    threads.unwrap_or(1)
}

/// The state, `holds_log` where the log's place depends on it.
fn read_state(reader: &mut Reader<'_>, top: Fields<'_>, holds_log: bool) -> State {
    let mut state = State { path: PathBuf::from("state"), secret: None, memory: MEMORY };
    let Some(section) = top.get("state") else { return state };
    let mut path = scalar(section);
    if path.is_none() {
        let Some(fields) = reader.fields(&section.value, section.key_span, "`state`", language::STATE.names) else {
            return state;
        };
        path = fields.get("path");
        state.secret = fields.get("secret").and_then(|entry| read_state_secret(reader, entry));
        if let Some(entry) = fields.get("memory") {
            let memory = reader.parsed(&entry.value, entry.key_span, "`memory`", |text| match size(text)? {
                bytes if bytes < LEAST_MEMORY => Err(format!("the stores need at least {}MiB", LEAST_MEMORY >> 20)),
                bytes => Ok(bytes),
            });
            state.memory = memory.unwrap_or(MEMORY);
        }
    }
    let mode = reader.mode;
    if holds_log && mode.connects() {
        reader.mode = Mode::Run;
    }
    if let Some(text) = path.and_then(|entry| reader.text(&entry.value, entry.key_span, "`state`")) {
        state.path = PathBuf::from(text.text);
    }
    reader.mode = mode;
    state
}

/// Digest keys are never rotated: positions under two keys would never meet.
fn read_state_secret(reader: &mut Reader<'_>, entry: &Entry) -> Option<Secret> {
    let ring = reader.named_secret(&entry.value, entry.key_span)?;
    if ring.previous.is_some() {
        let label = "name a secret with one key: keys of the stores are never rotated";
        reader.error("key-rotation", entry.value.span, "the secret of the state has two keys", label);
        return None;
    }
    Some(ring.current.secret)
}

/// The short form of a section: its most common field as a scalar.
fn scalar(section: &Entry) -> Option<&Entry> {
    (matches!(section.value.value, Value::Scalar { .. }) && !section.value.is_blank()).then_some(section)
}

fn read_http(reader: &mut Reader<'_>, top: Fields<'_>) -> Option<SocketAddr> {
    let section = top.get("http")?;
    let listen = match scalar(section) {
        Some(section) => section,
        None => {
            let fields = reader.fields(&section.value, section.key_span, "`http`", language::HTTP.names)?;
            fields.require(reader, "listen", "for example `listen: 127.0.0.1:9464`")?
        }
    };
    reader.parsed(&listen.value, listen.key_span, "`listen`", |text| {
        text.parse().map_err(|_| "expected an address and a port, such as 127.0.0.1:9464 or 0.0.0.0:9464".to_owned())
    })
}

type OnErrorAt = Option<(OnError, Span)>;

fn read_defaults(reader: &mut Reader<'_>, top: Fields<'_>) -> OnErrorAt {
    let section = top.get("defaults")?;
    let fields = reader.fields(&section.value, section.key_span, "`defaults`", language::DEFAULTS.names)?;
    fields.get("on_error").and_then(|entry| stream::read_on_error(reader, entry))
}

fn read_streams(reader: &mut Reader<'_>, top: Fields<'_>, on_error: &OnErrorAt) -> Vec<Draft> {
    const NOTHING: &str = "a topology without streams does nothing";
    // Sinks may stand alone, deployed apart from what they read.
    let section = match top.get("sinks") {
        Some(_) => top.get("streams"),
        None => top.require(reader, "streams", NOTHING),
    };
    let Some(section) = section else { return Vec::new() };
    let entries = reader.map(&section.value, section.key_span, "`streams`").unwrap_or_default();
    if entries.is_empty() && matches!(section.value.value, Value::Map(_)) {
        reader.error("blank", section.key_span, "`streams` lists no stream", NOTHING);
    }
    entries.iter().filter_map(|entry| stream::read(reader, entry, on_error)).collect()
}

/// The sinks, and whether that is all of them.
fn read_sinks(reader: &mut Reader<'_>, top: Fields<'_>, on_error: &OnErrorAt, drafts: &[Draft]) -> (Vec<Sink>, bool) {
    let Some(section) = top.get("sinks") else { return (Vec::new(), true) };
    let entries = reader.map(&section.value, section.key_span, "`sinks`").unwrap_or_default();
    let sinks: Vec<_> = entries.iter().filter_map(|entry| sink::read(reader, entry, on_error, drafts)).collect();
    let all_read = sinks.len() == entries.len();
    (sinks, all_read)
}
