//! Who takes part, and how each is started: a process, an output topic and a group of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Setting;
use crate::limit::Kind;
use crate::support::Broker;
use crate::workload::SALT;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contestant {
    /// As it comes: nothing is set that has a default.
    Highwater,
    Limit(Kind),
    KafkaStreams,
}

/// One run of one contestant.
#[derive(Debug, Clone)]
pub struct Job {
    pub source: String,
    /// The group, the prefix of topics, the transactional id.
    pub name: String,
    pub partitions: i32,
    pub interval_ms: u64,
    /// `cN` columns to mask besides the usual ones, and Highwater's rule for them.
    pub masked: u64,
    pub rule: &'static str,
    pub static_membership: bool,
    /// Of several processes that share a job.
    pub instance: usize,
    /// Its state and its logs.
    pub dir: PathBuf,
}

impl Job {
    pub fn new(setting: &Setting, source: &str, name: String) -> Self {
        Self {
            source: source.into(),
            dir: setting.dir.join(&name),
            name,
            partitions: setting.partitions,
            interval_ms: INTERVAL_MS,
            masked: setting.workload.wide.masked,
            rule: "hash",
            static_membership: false,
            instance: 0,
        }
    }

    pub fn target(&self) -> String {
        format!("{}-rows", self.name)
    }

    fn changelog(&self, store: &str) -> String {
        format!("{}-{store}-changelog", self.name)
    }

    pub fn state(&self) -> PathBuf {
        self.dir.join(format!("state-{}", self.instance))
    }

    pub fn log(&self) -> PathBuf {
        self.dir.join(format!("log-{}", self.instance))
    }
}

const INTERVAL_MS: u64 = 100;

impl Contestant {
    pub const ALL: [Self; 4] =
        [Self::Highwater, Self::Limit(Kind::Tuned), Self::Limit(Kind::Ideal), Self::KafkaStreams];

    /// For topics, groups and arguments.
    pub fn word(self) -> &'static str {
        match self {
            Self::Highwater => "highwater",
            Self::Limit(Kind::Ideal) => "ideal",
            Self::Limit(Kind::Tuned) => "tuned",
            Self::KafkaStreams => "kafka-streams",
        }
    }

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Highwater => "Highwater",
            Self::Limit(Kind::Ideal) => "ideal: bare loop, hash map",
            Self::Limit(Kind::Tuned) => "tuned: bare loop, RocksDB and changelog",
            Self::KafkaStreams => "Kafka Streams 4.3, exactly_once_v2, 2 threads",
        }
    }

    /// Makes the topics that it does not make itself.
    pub fn prepare(self, broker: &Broker, job: &Job) {
        fs::create_dir_all(&job.dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", job.dir.display()));
        broker.create_topic(&job.target(), job.partitions, &[]);
        if self == Self::Limit(Kind::Tuned) {
            broker.create_topic(&job.changelog("positions"), job.partitions, &[("cleanup.policy", "compact")]);
        }
    }

    pub fn command(self, broker: &Broker, job: &Job) -> Command {
        match self {
            Self::Highwater => highwater(broker, job),
            Self::Limit(kind) => limit(broker, job, kind),
            Self::KafkaStreams => kafka_streams(broker, job),
        }
    }

    /// Deletes what the run left in the broker.
    pub fn remove(self, broker: &Broker, job: &Job) {
        let begins = format!("{}-", job.name);
        let left: Vec<String> = broker.topics().into_keys().filter(|topic| topic.starts_with(&begins)).collect();
        left.iter().for_each(|topic| broker.delete_topic(topic));
    }
}

fn highwater(broker: &Broker, job: &Job) -> Command {
    let columns: String = (0..job.masked).map(|n| format!(", c{n}: {}", job.rule)).collect();
    let mut settings = String::new();
    if job.interval_ms != INTERVAL_MS {
        settings += &format!("commit_interval: {}ms\n", job.interval_ms);
    }
    if job.static_membership {
        settings += "static_membership: true\n";
    }
    let text = format!(
        "application: {}\nkafka: {{ bootstrap.servers: '{}' }}\nsecrets: {{ pii: {SALT} }}\n{settings}streams:\n  customers:\n    from: {}\n    \
         steps:\n      - dedup\n      - mask: {{ fields: {{ email: hash, phone: hash, full_name: truncate, birth_date: drop, notes: drop{columns} }} }}\n    \
         to: {}\n",
        job.name,
        broker.bootstrap(),
        job.source,
        job.target()
    );
    let file = job.dir.join(format!("topology-{}.yaml", job.instance));
    fs::write(&file, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", file.display()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(["run", "-f"]).arg(&file).arg("--state").arg(job.state());
    command
}

fn limit(broker: &Broker, job: &Job, kind: Kind) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("a path"));
    command.arg("limit").arg(Contestant::Limit(kind).word());
    command.args(["--bootstrap", &broker.bootstrap(), "--group", &job.name, "--source", &job.source]);
    command.args(["--target", &job.target(), "--changelog", &job.changelog("positions")]);
    command.args(["--partitions", &job.partitions.to_string(), "--interval-ms", &job.interval_ms.to_string()]);
    command.args(["--masked", &job.masked.to_string(), "--state"]).arg(job.state());
    command
}

/// The folder of its jars, and of its compiled program.
fn jars() -> String {
    let home = std::env::var("HOME").unwrap_or_default();
    let cache = std::env::var("HIGHWATER_CACHE").unwrap_or_else(|_| format!("{home}/.cache/highwater"));
    let libs = format!("{cache}/kafka-streams-4.3.1/libs");
    assert!(Path::new(&libs).is_dir(), "no Kafka Streams in {libs}: run tools/setup kafka-streams");
    format!("{libs}/*")
}

fn java(name: &str) -> PathBuf {
    std::env::var_os("JAVA_HOME").map_or_else(|| name.into(), |home| Path::new(&home).join("bin").join(name))
}

/// Compiles its program. Once: that is not what is measured.
pub fn compile_kafka_streams() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/kafka-streams/Customers.java");
    let mut command = Command::new(java("javac"));
    command.args(["--release", "17", "-nowarn", "-cp", &jars(), "-d"]).arg(classes()).arg(source);
    let status = command.status().unwrap_or_else(|e| panic!("no javac ({e}): run tools/setup kafka-streams"));
    assert!(status.success(), "{source} does not compile");
}

fn classes() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka-streams")
}

fn kafka_streams(broker: &Broker, job: &Job) -> Command {
    let mut command = Command::new(java("java"));
    // A heap that it does not fill, and the collector with which it needs the least CPU.
    command.args([
        "-Xms768m",
        "-Xmx768m",
        "-XX:+UseParallelGC",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
    ]);
    command.arg(format!("{}:{}", classes().display(), jars())).arg("Customers");
    command.args([&job.name, &broker.bootstrap(), &job.source, &job.target()]);
    command.arg(job.interval_ms.to_string()).arg(job.state()).arg(job.masked.to_string());
    if job.static_membership {
        command.arg(format!("{}-{}", job.name, job.instance));
    }
    command
}
