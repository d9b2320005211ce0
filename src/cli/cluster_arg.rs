//! Which log a command is about, and the way there.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::cluster;
use crate::log::{self, Admin, Client, Log, LogError};
use crate::topology::{Cluster, EMBEDDED_LOG, Mode, process_env, refusal};

use super::tell;
use super::validate::load;

const DEFAULT_FILE: &str = "topology.yaml";

/// For commands that need a log and no more of a topology.
#[derive(Debug, Clone, clap::Args)]
pub struct ClusterArg {
    /// The topology whose `kafka` or `embedded` section says where the log is [env: HIGHWATER_FILE] [default:
    /// topology.yaml]
    #[arg(short, long, value_name = "FILE", conflicts_with = "bootstrap")]
    file: Option<PathBuf>,
    /// Kafka at these brokers, without a topology
    #[arg(long, value_name = "HOST:PORT,…", conflicts_with = "embedded")]
    bootstrap: Option<String>,
    /// With --bootstrap: a librdkafka property, repeatable. Others can see it; passwords are better off in a topology
    // Clap takes no notice of what is required where it conflicts with what is there.
    #[arg(short = 'X', value_name = "PROPERTY=VALUE", requires = "bootstrap", conflicts_with_all = ["file", "embedded"])]
    #[arg(value_parser = property)]
    properties: Vec<(String, String)>,
    /// The embedded log in PATH; without PATH the topology's, or state/log where there is no topology
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    embedded: Option<Option<PathBuf>>,
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected PROPERTY=VALUE")?;
    match (name, refusal(name)) {
        ("", _) => Err("expected PROPERTY=VALUE".into()),
        ("bootstrap.servers", _) => Err("that is --bootstrap".into()),
        (_, Some(reason)) => Err(format!("`{name}` cannot be set: {reason}")),
        (_, None) => Ok((name.into(), value.into())),
    }
}

impl ClusterArg {
    /// Where the log is. What is wrong with a topology goes to stderr.
    pub fn resolve(&self) -> Result<Cluster, ExitCode> {
        let named = || self.file.clone().or_else(in_environment);
        match (&self.bootstrap, &self.embedded) {
            (Some(servers), _) => {
                let servers = ("bootstrap.servers".to_string(), servers.clone());
                Ok(Cluster::Kafka(self.properties.iter().cloned().chain([servers]).collect()))
            }
            (None, Some(Some(path))) => Ok(Cluster::Embedded(path.clone())),
            (None, Some(None)) => match named() {
                None if !Path::new(DEFAULT_FILE).exists() => {
                    Ok(Cluster::Embedded(Path::new("state").join(EMBEDDED_LOG)))
                }
                file => cluster_of(file, Mode::ConnectEmbedded),
            },
            (None, None) => {
                let file = named();
                let needed = file.is_some() || Path::new(DEFAULT_FILE).exists();
                cluster_of(file, Mode::Connect).inspect_err(|_| {
                    if !needed {
                        tell("--bootstrap HOST:PORT and --embedded=PATH need no topology");
                    }
                })
            }
        }
    }
}

/// As for the commands that take nothing but a topology.
fn in_environment() -> Option<PathBuf> {
    process_env("HIGHWATER_FILE").filter(|file| !file.is_empty()).map(PathBuf::from)
}

fn cluster_of(file: Option<PathBuf>, mode: Mode) -> Result<Cluster, ExitCode> {
    load(file.as_deref().unwrap_or(Path::new(DEFAULT_FILE)), mode).map(|loaded| loaded.topology.cluster)
}

/// Why a command ended before its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    Failed(String),
    /// By a signal.
    Interrupted,
}

impl From<LogError> for Ending {
    fn from(error: LogError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<String> for Ending {
    fn from(text: String) -> Self {
        Self::Failed(text)
    }
}

/// A log that a command talks to until it is told to stop.
pub struct Connection<'a> {
    pub log: Arc<dyn Log>,
    pub cluster: &'a Cluster,
    pub stopped: &'a dyn Fn() -> bool,
}

/// How long a log may keep a command waiting without a word.
const PATIENCE: Duration = Duration::from_secs(10);

impl<'a> Connection<'a> {
    pub fn open(cluster: &'a Cluster, client: Client, stopped: &'a dyn Fn() -> bool) -> log::Result<Self> {
        Ok(Self { log: cluster::connect(cluster, client)?, cluster, stopped })
    }

    /// Asks until there is an answer, for some seconds.
    pub fn ask<T>(&self, call: impl Fn(&dyn Admin) -> log::Result<T>) -> Result<T, Ending> {
        let give_up = Instant::now() + PATIENCE;
        self.insist(|| call(self.log.admin()), &|| Instant::now() > give_up)
    }

    /// Makes a call that may have to be made again, until it is decided or `enough`.
    pub fn insist<T>(&self, mut call: impl FnMut() -> log::Result<T>, enough: &dyn Fn() -> bool) -> Result<T, Ending> {
        let mut told = false;
        loop {
            let error = match call() {
                Ok(answer) => return Ok(answer),
                Err(LogError::Retry(text)) => format!("{}: {text}", self.cluster),
                Err(error) => return Err(error.into()),
            };
            if (self.stopped)() {
                return Err(Ending::Interrupted);
            }
            if enough() {
                return Err(Ending::Failed(error));
            }
            if !std::mem::replace(&mut told, true) {
                tracing::warn!("waiting for {error}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What is said of a topic that is not there, with the name that was probably meant.
    pub fn unknown(&self, topic: &str) -> Result<String, Ending> {
        let topics = self.ask(|admin| admin.topics())?;
        Ok(match crate::topology::nearest(topic, topics.iter().map(String::as_str)) {
            Some(name) => format!("no topic `{topic}` on {}, did you mean `{name}`?", self.cluster),
            None => format!("no topic `{topic}` on {}", self.cluster),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        cluster: ClusterArg,
        #[arg(value_name = "TOPIC")]
        topic: String,
    }

    fn parse(args: &[&str]) -> Option<Command> {
        Command::try_parse_from(["x"].iter().chain(args).chain(&["topic"])).ok()
    }

    #[test]
    fn a_log_is_named_in_one_way() {
        let cluster = |args: &[&str]| {
            let command = parse(args).unwrap_or_else(|| panic!("{args:?}"));
            assert_eq!(command.topic, "topic");
            command.cluster.resolve().ok().unwrap_or_else(|| panic!("{args:?}"))
        };
        let kafka = |properties: &[(&str, &str)]| {
            Cluster::Kafka(properties.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
        };
        assert_eq!(cluster(&["--bootstrap", "a:1,b:2"]), kafka(&[("bootstrap.servers", "a:1,b:2")]));
        assert_eq!(
            cluster(&["--bootstrap", "a:1", "-X", "ssl.ca.location=a=b", "-Xlinger.ms=5"]),
            kafka(&[("bootstrap.servers", "a:1"), ("ssl.ca.location", "a=b"), ("linger.ms", "5")])
        );
        assert_eq!(cluster(&["--embedded=a/b"]), Cluster::Embedded("a/b".into()));
        assert_eq!(cluster(&["--embedded=a/b", "-f", "nowhere.yaml"]), Cluster::Embedded("a/b".into()));
        for wrong in [
            &["--bootstrap", "a:1", "--embedded"][..],
            &["--bootstrap", "a:1", "--embedded=p"],
            &["--bootstrap", "a:1", "-f", "topology.yaml"],
            &["-X", "linger.ms=5"],
            &["-X", "linger.ms=5", "--embedded"],
            &["-X", "linger.ms=5", "-f", "topology.yaml"],
            &["--bootstrap", "a:1", "-X", "linger.ms"],
            &["--bootstrap", "a:1", "-X", "=5"],
            &["--bootstrap", "a:1", "-X", "isolation.level=read_uncommitted"],
            &["--bootstrap", "a:1", "-X", "bootstrap.servers=b:2"],
            &["--bootstrap"],
        ] {
            assert!(parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
