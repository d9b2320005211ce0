//! topology.yaml: its text in, a checked topology out, or every error in it at once.
//!
//! [`Topology::load`] is the way in. The text becomes a tree with positions (`yaml`), the tree is read section by section
//! (`spec`, `stream`, `sink`, `watch`, `steps`, `fields`, `kafka`, `rules_file`, `secrets`) while everything wrong is collected (`reader`,
//! `diagnostics`), and what only shows between streams is checked at the end (`check`). No diagnostic shows a secret
//! (`redact`). Files of [`scenario`]s are read by the same means.

mod check;
pub mod describe;
pub mod diagnostics;
pub mod explain;
mod fields;
mod kafka;
pub mod language;
mod load;
mod names;
mod patterns;
mod predicate;
mod reader;
mod redact;
mod rule_options;
mod rules_file;
pub mod scenario;
mod secrets;
mod sink;
mod spec;
pub mod starter;
mod steps;
mod stream;
mod substitute;
mod units;
mod watch;
mod weak;
pub mod yaml;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use kafka::refusal;
pub use load::{Loaded, Mode, process_env};
pub use names::topic as check_topic_name;
pub use reader::nearest;
pub use units::{duration, show as show_duration};

use crate::connectors::{clickhouse, postgres, redis};
use crate::operators::{dedup, filter, mask};
use crate::record::Secret;

/// A checked topology. What `run` gets; `validate` and `describe` get the same with secrets unresolved.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Consumer group; prefix of transactional ids and internal topics.
    pub application: String,
    pub cluster: Cluster,
    pub commit_interval: Duration,
    pub transaction_timeout: Duration,
    pub static_membership: bool,
    pub threads: usize,
    pub state: State,
    pub http: Option<SocketAddr>,
    pub streams: Vec<Stream>,
    pub sinks: Vec<Sink>,
    /// Where it is written as of when each tenant's rows are.
    pub redis: Option<redis::Config>,
    /// Whose replication slots are watched.
    pub slots: Option<postgres::slots::Config>,
    /// No place was named for the embedded log: it lies with the state.
    log_in_state: bool,
}

/// Where the log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cluster {
    /// librdkafka properties, checked against those that would break the guarantee.
    Kafka(BTreeMap<String, String>),
    /// In this process, in this directory.
    Embedded(PathBuf),
}

/// Where the embedded log lies below the state, unless another place is named.
pub const EMBEDDED_LOG: &str = "log";

impl std::fmt::Display for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kafka(properties) => {
                write!(f, "Kafka at {}", properties.get("bootstrap.servers").map_or("", String::as_str))
            }
            Self::Embedded(path) => write!(f, "the embedded log in {}", path.display()),
        }
    }
}

#[derive(Debug, Clone)]
pub struct State {
    pub path: PathBuf,
    /// Where set, the stores' digest keys derive from it; else each store partition makes its own.
    pub secret: Option<Secret>,
    /// Bytes for all stores together: block cache and memtables.
    pub memory: u64,
}

#[derive(Debug, Clone)]
pub struct Stream {
    pub name: String,
    pub source: Source,
    pub dedup: Option<dedup::Config>,
    pub filter: Option<filter::Config>,
    pub mask: mask::Config,
    pub to: Target,
    /// Header names that pass; all others stay behind.
    pub headers: Vec<String>,
    /// A sink tells how old its rows are, by a header with the time of their commit.
    pub stamped: bool,
    pub on_error: OnError,
}

/// Rows of topics into tables of another system.
#[derive(Debug, Clone)]
pub struct Sink {
    pub name: String,
    pub source: Source,
    pub clickhouse: clickhouse::Config,
    pub tenant: Option<Tenant>,
    pub on_error: OnError,
}

/// Which column of a row says whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tenant {
    /// Of every table that is not among `tables`.
    pub column: Option<String>,
    pub tables: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub enum Source {
    Topics(Vec<String>),
    /// Anchored at both ends.
    Pattern(regex::Regex),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// May hold `{name}` of the source pattern's named groups.
    Topic(String),
    /// `target_topic` of the rules file, by table.
    ByTable(BTreeMap<String, String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnError {
    Fail,
    Skip,
    DeadLetter { topic: String },
}

impl Topology {
    /// Keeps the state in another directory, and with it an embedded log for which no place was named.
    pub fn keep_state_in(&mut self, path: &Path) {
        self.state.path = path.to_owned();
        if self.log_in_state && matches!(self.cluster, Cluster::Embedded(_)) {
            self.cluster = Cluster::Embedded(path.join(EMBEDDED_LOG));
        }
    }

    /// The topic that backs the store of one source topic.
    pub fn changelog(&self, stream: &str, source_topic: &str) -> String {
        changelog(&self.application, stream, source_topic)
    }

    /// Kafka's own topics and our changelogs may match a generous pattern; they are nobody's input.
    pub fn is_internal(&self, topic: &str) -> bool {
        let ours = topic.strip_prefix(&self.application).is_some_and(|rest| rest.starts_with('-'));
        topic.starts_with("__") || (ours && (topic.ends_with("-changelog") || topic.ends_with("-plans")))
    }

    /// The topic where a sink's plans stand.
    pub fn plans(&self, sink: &str) -> String {
        Self::plans_of(&self.application, sink)
    }

    pub fn plans_of(application: &str, sink: &str) -> String {
        format!("{application}-{sink}-plans")
    }

    /// A sink's consumer group.
    pub fn sink_group(&self, sink: &str) -> String {
        format!("{}-{sink}", self.application)
    }

    /// Topics of dead letters: nobody's rows.
    pub fn dead_letter_topics(&self) -> impl Iterator<Item = &str> {
        let each =
            self.streams.iter().map(|stream| &stream.on_error).chain(self.sinks.iter().map(|sink| &sink.on_error));
        each.filter_map(|on_error| match on_error {
            OnError::DeadLetter { topic } => Some(topic.as_str()),
            OnError::Fail | OnError::Skip => None,
        })
    }

    /// The stream that reads a topic; a checked topology has at most one for each literal topic.
    pub fn reader_of(&self, topic: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.reads(topic))
    }
}

fn changelog(application: &str, stream: &str, source_topic: &str) -> String {
    format!("{application}-{stream}-{source_topic}-changelog")
}

impl Source {
    pub fn matches(&self, topic: &str) -> bool {
        match self {
            Source::Topics(topics) => topics.iter().any(|own| own == topic),
            Source::Pattern(regex) => regex.is_match(topic),
        }
    }

    /// A template with the groups of a topic.
    fn expand(&self, template: &str, topic: &str) -> String {
        let groups = match self {
            Source::Pattern(regex) => regex.captures(topic),
            Source::Topics(_) => None,
        };
        names::expand(template, |name: &str| match groups.as_ref().and_then(|groups| groups.name(name)) {
            Some(group) => group.as_str().to_owned(),
            None if name == "topic" => topic.to_owned(),
            None => String::new(),
        })
    }

    /// The pattern as it was written, without the anchors.
    pub fn pattern(&self) -> Option<&str> {
        let Source::Pattern(regex) = self else { return None };
        let text = regex.as_str();
        Some(text.strip_prefix("^(?:").and_then(|text| text.strip_suffix(")$")).unwrap_or(text))
    }
}

impl Sink {
    /// Those that it reads, of those that there are and of those that it names.
    pub fn topics(&self, topology: &Topology, existing: &[String]) -> Vec<String> {
        match &self.source {
            Source::Topics(topics) => topics.clone(),
            Source::Pattern(regex) => {
                let rows = |topic: &&String| {
                    regex.is_match(topic)
                        && !topology.is_internal(topic)
                        && topology.dead_letter_topics().all(|letters| letters != *topic)
                };
                existing.iter().filter(rows).cloned().collect()
            }
        }
    }

    /// The column of a table's rows that names their tenant.
    pub fn tenant_of(&self, table: &str) -> Option<&str> {
        let tenant = self.tenant.as_ref()?;
        tenant.tables.get(table).or(tenant.column.as_ref()).map(String::as_str)
    }

    /// The table of a topic; None for topics that it does not read.
    pub fn table_for(&self, topic: &str) -> Option<String> {
        self.source.matches(topic).then(|| self.source.expand(&self.clickhouse.table, topic))
    }
}

impl Stream {
    pub fn reads(&self, topic: &str) -> bool {
        self.source.matches(topic)
    }

    /// Where rows of a source topic go. `None` where the table decides, and for topics that the stream does not read.
    pub fn target_for(&self, source_topic: &str) -> Option<String> {
        let Target::Topic(template) = &self.to else { return None };
        if !self.reads(source_topic) {
            return None;
        }
        Some(self.source.expand(template, source_topic))
    }

    /// Every topic or template written to, each once.
    pub fn targets(&self) -> Vec<&str> {
        match &self.to {
            Target::Topic(topic) => vec![topic],
            Target::ByTable(topics) => {
                let unique: std::collections::BTreeSet<&str> = topics.values().map(String::as_str).collect();
                unique.into_iter().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::mask::Transform;
    use crate::operators::mask::{Rule, Rules, Unlisted};
    use crate::record::Keyring;

    const RULES: &str = "salt: salt-of-the-file\ntables:\n  events: { target_topic: out.events, fields: { ip: hash } }\n  \
                         visits: { target_topic: out.visits, fields: { no: drop } }\n";

    /// The environment of these tests holds SALT and nothing else; `rules.yaml` is [`RULES`].
    fn load_in(mode: Mode, text: &str) -> Result<Loaded, Diagnostics> {
        static MADE: std::sync::Once = std::sync::Once::new();
        let dir = std::env::temp_dir().join(format!("highwater-topology-{}", std::process::id()));
        MADE.call_once(|| {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("rules.yaml"), RULES).unwrap();
        });
        let env = |name: &str| (name == "SALT").then(|| "a-salt-of-some-length".to_owned());
        Topology::parse(text, "topology.yaml", &dir, mode, &env)
    }

    fn load(text: &str) -> Loaded {
        load_in(Mode::Run, text).unwrap_or_else(|found| panic!("{found}"))
    }

    fn one(head: &str, stream: &str) -> Loaded {
        load(&format!(
            "application: app\nkafka: {{ bootstrap.servers: b, linger.ms: 5 }}\n{head}\nstreams:\n  s: {stream}\n"
        ))
    }

    const PLAIN: &str = "{ from: in, steps: [dedup, { mask: none }], to: out }";

    fn codes(found: &Diagnostics) -> Vec<&str> {
        found.iter().map(|item| item.code).collect()
    }

    #[test]
    fn the_topology_of_the_repository() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let load = |mode, env: &dyn Fn(&str) -> Option<String>| Topology::load(&root.join("topology.yaml"), mode, env);
        let salt = |name: &str| (name == "ANONYMIZE_SALT").then(|| "0123456789abcdef".to_owned());
        let topology = load(Mode::Run, &salt).unwrap_or_else(|found| panic!("{found}")).topology;
        assert_eq!(topology.application, "brew-analytics");
        assert_eq!(topology.cluster.to_string(), "Kafka at localhost:9092");
        assert_eq!(topology.http, "127.0.0.1:9464".parse().ok());
        let names: Vec<_> = topology.streams.iter().map(|stream| stream.name.as_str()).collect();
        assert_eq!(names, ["customers", "orders", "others"]);
        let [customers, orders, others] = &topology.streams[..] else { panic!() };
        let Rules::Fields(config) = &customers.mask.rules else { panic!() };
        let rules: Vec<_> =
            config.fields.iter().map(|field| (field.path.column.as_str(), field.transform.rule())).collect();
        let want =
            [("email", Rule::Hash), ("phone", Rule::Hash), ("full_name", Rule::Truncate), ("birth_date", Rule::Drop)];
        assert_eq!(rules, want);
        assert_eq!(customers.mask.keys, Some(Keyring::of("pii", Secret::new(&b"0123456789abcdef"[..]))));
        assert_eq!(orders.mask.keys, None);
        assert_eq!(others.target_for("brew.cdc.public.visits").as_deref(), Some("brew.analytics.visits"));
        assert!(!others.reads("brew.cdc.public.orders") && !others.reads("xbrew.cdc.public.visits"));
        let letters = OnError::DeadLetter { topic: "brew.analytics.dead-letters".into() };
        assert!(topology.streams.iter().all(|stream| stream.dedup.is_some() && stream.on_error == letters));
        // Without the salt: an error of `run`, a note of `validate`.
        assert_eq!(
            codes(&load(Mode::Run, &|_| None).unwrap_err()),
            ["unset", "unlisted", "phone-hash", "unlisted", "unlisted"]
        );
        let loaded = load(Mode::Check, &|_| None).unwrap();
        assert_eq!((loaded.unresolved, loaded.warnings.warnings()), (vec!["pii".to_owned()], 4));
    }

    #[test]
    fn the_log_is_a_cluster_or_in_this_process() {
        let of = |mode, log: &str| {
            let text = format!("application: app\nstate: s\n{log}streams:\n  s: {PLAIN}\n");
            let loaded = load_in(mode, &text).unwrap_or_else(|found| panic!("{found}"));
            loaded.topology.cluster.to_string()
        };
        assert_eq!(of(Mode::Run, "embedded: { path: a/b }\n"), "the embedded log in a/b");
        assert_eq!(of(Mode::Run, "embedded: a/c\n"), "the embedded log in a/c");
        assert_eq!(of(Mode::Run, "embedded: {}\n"), "the embedded log in s/log");
        let kafka = "kafka: { bootstrap.servers: '${NOWHERE}' }\n";
        assert_eq!(of(Mode::RunEmbedded, kafka), "the embedded log in s/log");
        assert_eq!(of(Mode::RunEmbedded, &format!("{kafka}embedded: d\n")), "the embedded log in d");
        let text = |log: &str| format!("application: app\n{log}streams:\n  s: {PLAIN}\n");
        assert_eq!(load_in(Mode::Connect, &text(kafka)).unwrap_err().errors(), 1);
        assert_eq!(load_in(Mode::Check, &text(kafka)).unwrap().warnings.errors(), 0);
    }

    #[test]
    fn only_where_the_log_is_must_be_known_to_connect() {
        let load = |mode, head: &str| {
            let text = format!("application: app\nsecrets: {{ a: '${{NOWHERE}}' }}\n{head}\nstreams:\n  s: {PLAIN}\n");
            load_in(mode, &text).map(|loaded| loaded.topology.cluster.to_string()).map_err(|found| found.errors())
        };
        use Mode::{Connect, ConnectEmbedded};
        let (known, unknown) = ("kafka: { bootstrap.servers: b }", "kafka: { bootstrap.servers: '${NOWHERE}' }");
        let unset = "state: { path: '${NOWHERE}', secret: a }";
        for (mode, head, want) in [
            (Connect, known.into(), Ok("Kafka at b")),
            (Connect, unknown.into(), Err(1)),
            (Connect, format!("{known}\n{unset}"), Ok("Kafka at b")),
            (Connect, format!("embedded: a/b\n{unset}"), Ok("the embedded log in a/b")),
            (Connect, format!("embedded: {{ path: a/b }}\n{unset}"), Ok("the embedded log in a/b")),
            (Connect, format!("embedded: {{}}\n{unset}"), Err(1)),
            (Connect, "embedded: { path: '${NOWHERE}' }".into(), Err(1)),
            (ConnectEmbedded, unknown.into(), Ok("the embedded log in state/log")),
            (ConnectEmbedded, format!("{unknown}\nembedded: a/b\n{unset}"), Ok("the embedded log in a/b")),
            (ConnectEmbedded, format!("{known}\n{unset}"), Err(1)),
        ] {
            assert_eq!(load(mode, &head), want.map(str::to_string), "{mode:?} {head}");
        }
    }

    #[test]
    fn the_embedded_log_goes_with_the_state_unless_it_has_a_place_of_its_own() {
        let moved = |mode, log: &str| {
            let text = format!("application: app\nstate: s\n{log}\nstreams:\n  s: {PLAIN}\n");
            let mut topology = load_in(mode, &text).unwrap_or_else(|found| panic!("{found}")).topology;
            topology.keep_state_in(Path::new("d"));
            assert_eq!(topology.state.path, PathBuf::from("d"));
            topology.cluster.to_string()
        };
        let kafka = "kafka: { bootstrap.servers: b }";
        assert_eq!(moved(Mode::Run, "embedded: {}"), "the embedded log in d/log");
        assert_eq!(moved(Mode::RunEmbedded, kafka), "the embedded log in d/log");
        assert_eq!(moved(Mode::Run, kafka), "Kafka at b");
        // Named, it stays, also where the name is that of the default.
        for log in ["embedded: s/log", "embedded: { path: s/log }"] {
            assert_eq!(moved(Mode::Run, log), "the embedded log in s/log");
        }
    }

    #[test]
    fn defaults_and_their_opposites() {
        let Topology {
            commit_interval,
            transaction_timeout,
            static_membership,
            threads,
            state,
            http,
            streams,
            cluster,
            ..
        } = one("", PLAIN).topology;
        let Cluster::Kafka(kafka) = cluster else { panic!("{cluster}") };
        assert_eq!((commit_interval.as_millis(), transaction_timeout.as_secs(), static_membership), (100, 10, false));
        assert_eq!(threads, std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)));
        assert_eq!((state.path, state.secret, state.memory, http), ("state".into(), None, 128 << 20, None));
        assert_eq!(
            (&streams[0].on_error, &streams[0].headers[..], kafka["linger.ms"].as_str()),
            (&OnError::Fail, &[][..], "5")
        );
        let head = "commit_interval: 1s\ntransaction_timeout: 1m\nstatic_membership: true\nthreads: 64\nhttp: 0.0.0.0:1\n\
                    secrets: { a: '${SALT}', b: '$$x-of-the-file-itself' }\nstate: { path: /x, secret: b, memory: 1GiB }\n\
                    defaults: { on_error: skip }";
        let topology = one(head, PLAIN).topology;
        assert_eq!((topology.commit_interval.as_millis(), topology.transaction_timeout.as_secs()), (1000, 60));
        assert_eq!((topology.static_membership, topology.threads, topology.state.memory), (true, 64, 1 << 30));
        assert_eq!(topology.state.secret, Some(Secret::new(&b"$x-of-the-file-itself"[..])));
        assert_eq!((topology.streams[0].on_error.clone(), topology.http), (OnError::Skip, "0.0.0.0:1".parse().ok()));
        assert_eq!(one("state: elsewhere", PLAIN).topology.state.path, PathBuf::from("elsewhere"));
    }

    #[test]
    fn steps() {
        use crate::operators::dedup::{MissingPosition, OnRegression};
        let stream = "{ from: in, to: out, steps: [{ dedup: { on_regression: fail, missing_position: ts_ms } }, \
                      { mask: { unlisted: reject, unavailable_value: gone, fields: { no: drop, on: { rule: truncate, optional: true } } } }] }";
        let loaded = one("", stream);
        assert_eq!(codes(&loaded.warnings), [""; 0]);
        let stream = &loaded.topology.streams[0];
        let want = dedup::Config { on_regression: OnRegression::Fail, missing_position: MissingPosition::TsMs };
        assert_eq!(stream.dedup, Some(want));
        let field =
            |column, transform, optional| mask::FieldRule { path: mask::Path::column(column), transform, optional };
        let fields = vec![field("no", Transform::Drop, false), field("on", Transform::Truncate, true)];
        let rules = Rules::Fields(mask::TableConfig { fields, unlisted: Unlisted::Reject });
        assert_eq!(stream.mask, mask::Config { rules, keys: None, unavailable_value: "gone".into() });
    }

    #[test]
    fn which_secret_hashes() {
        let secret = |text: &str| Some(Secret::new(text.as_bytes()));
        let fields = "fields: { e: hash }";
        for (head, config, want, warned) in [
            ("secrets: { a: '${SALT}' }", fields, secret("a-salt-of-some-length"), 0),
            (
                "secrets: { a: '${SALT}', b: '${SALT}2' }",
                "secret: b, fields: { e: hash }",
                secret("a-salt-of-some-length2"),
                0,
            ),
            ("secrets: { a: '${SALT}' }", "fields: { e: drop }", None, 0),
            ("", "rules: rules.yaml", secret("salt-of-the-file"), 1),
            ("secrets: { a: '${SALT}' }", "rules: rules.yaml", secret("salt-of-the-file"), 1),
            ("secrets: { a: '${SALT}' }", "secret: a, rules: rules.yaml", secret("a-salt-of-some-length"), 0),
        ] {
            let stream = format!("{{ from: in, to: out, steps: [dedup, {{ mask: {{ unlisted: drop, {config} }} }}] }}");
            let loaded = one(head, &stream);
            assert_eq!(
                (
                    loaded.topology.streams[0].mask.keys.clone().map(|keys| keys.current.secret),
                    loaded.warnings.warnings()
                ),
                (want, warned),
                "{head} {config}"
            );
        }
    }

    #[test]
    fn where_rows_go() {
        let masked = |from: &str, rest: &str| {
            let stream = format!(
                "{{ from: {from}, steps: [dedup, {{ mask: {{ unlisted: drop, rules: rules.yaml }} }}]{rest} }}"
            );
            one("", &stream).topology.streams.remove(0)
        };
        let by_table = masked("in", "");
        assert_eq!((by_table.targets(), by_table.target_for("in")), (vec!["out.events", "out.visits"], None));
        let Rules::Tables(tables) = &by_table.mask.rules else { panic!() };
        assert_eq!(tables["visits"].fields[0].path.column, "no");
        assert_eq!(tables["visits"].unlisted, Unlisted::Drop);
        let over = masked("in", ", to: { topic: all, headers: [a, b] }");
        assert_eq!(
            (over.targets(), over.target_for("in"), over.headers.clone()),
            (vec!["all"], Some("all".into()), vec!["a".into(), "b".into()])
        );
        let pattern = masked(r"{ pattern: 'x\.(?<t>a|b)(?<n>\d+)?' }", ", to: 'out.{t}{n}.{topic}'");
        assert_eq!(pattern.target_for("x.a7").as_deref(), Some("out.a7.x.a7"));
        assert_eq!(pattern.target_for("x.b").as_deref(), Some("out.b.x.b"));
        assert_eq!(pattern.target_for("x.c"), None);
        assert_eq!(pattern.source.pattern(), Some(r"x\.(?<t>a|b)(?<n>\d+)?"));
        let several = masked("{ topics: [p, q], format: debezium-json }", ", to: 'out.{topic}'");
        assert_eq!((several.target_for("q").as_deref(), several.target_for("r")), (Some("out.q"), None));
    }

    #[test]
    fn names_of_changelogs_and_readers() {
        let topology = one("", PLAIN).topology;
        assert_eq!(topology.changelog("s", "in"), "app-s-in-changelog");
        assert_eq!(topology.reader_of("in").map(|stream| stream.name.as_str()), Some("s"));
        assert!(topology.reader_of("out").is_none());
    }

    #[test]
    fn warnings() {
        for (head, stream, want) in [
            ("", PLAIN, &[][..]),
            ("", "{ from: in, steps: [{ mask: none }], to: out }", &["no-dedup"]),
            ("", "{ from: in, steps: [dedup, { mask: { fields: {} } }], to: out }", &["unlisted"]),
            ("secrets: { a: short }", PLAIN, &["literal-secret", "short-secret"]),
            ("secrets: { a: '${NO:-a-default-is-literal}' }", PLAIN, &["literal-secret"]),
            (
                "secrets: { a: '${SALT}' }",
                "{ from: in, steps: [dedup, { mask: { unlisted: drop, fields: { tel: hash } } }], to: out }",
                &["phone-hash"],
            ),
        ] {
            assert_eq!(codes(&one(head, stream).warnings), want, "{head} {stream}");
        }
    }

    #[test]
    fn what_is_missing_outside_is_no_error_of_check() {
        let text = "application: ${A}\nkafka: { bootstrap.servers: '${B}' }\nthreads: ${C}\ncommit_interval: ${D}\nhttp: ${E}\n\
                    secrets: { s: '${F}', t: '${file:nowhere}' }\nstate: { memory: '${G}', secret: s }\nstreams:\n  \
                    a: { from: '${H}', to: '${I}', steps: [dedup, { mask: { secret: t, unlisted: drop, fields: { x: hash } } }] }\n";
        let loaded = load_in(Mode::Check, text).unwrap_or_else(|found| panic!("{found}"));
        assert_eq!(codes(&loaded.warnings), ["unset"; 8]);
        assert_eq!(loaded.unresolved, ["s", "t"]);
        assert_eq!(load_in(Mode::Run, text).unwrap_err().errors(), 10);
    }

    #[test]
    fn files_that_cannot_be_read() {
        let found = Topology::load(Path::new("no/such.yaml"), Mode::Check, &|_| None).unwrap_err();
        let said = found.to_string();
        assert!(said.starts_with("error[unreadable]: the topology cannot be read"), "{said}");
        assert!(
            said.contains("= help: name another with `-f FILE` or HIGHWATER_FILE")
                && said.contains("no/such.yaml: 1 error"),
            "{said}"
        );
        let path = std::env::temp_dir().join(format!("highwater-not-text-{}", std::process::id()));
        std::fs::write(&path, b"a: \xff").unwrap();
        let found = Topology::load(&path, Mode::Check, &|_| None).unwrap_err();
        assert!(found.to_string().contains("not UTF-8 from byte 3 on"), "{found}");
        std::fs::remove_file(path).unwrap();
    }
}
