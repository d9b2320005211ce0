//! From a path to a checked topology.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::diagnostics::Diagnostics;
use super::reader::Reader;
use super::substitute::Env;
use super::{Topology, spec};

/// How strict to be about what lies outside of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `validate`, `describe`: needs neither secrets nor brokers. What is not set has a stand-in.
    Check,
    /// `produce`, `consume`: only where the log is must be known.
    Connect,
    /// `run`: everything must be there.
    Run,
    /// `run --embedded`: everything but `kafka`, which is not looked at.
    RunEmbedded,
    /// `produce --embedded`, `consume --embedded`: only where the embedded log is; `kafka` is not looked at.
    ConnectEmbedded,
    /// `topology test`: the log is in memory, so `kafka` is not looked at, and secrets are those of the scenario.
    Test,
}

impl Mode {
    /// Whether what is not set has a stand-in.
    pub(super) fn stands_in(self) -> bool {
        matches!(self, Self::Check | Self::Connect | Self::ConnectEmbedded)
    }

    /// Whether where the log is must be known, and nothing else.
    pub(super) fn connects(self) -> bool {
        matches!(self, Self::Connect | Self::ConnectEmbedded)
    }

    /// Whether the log is in this process, whatever `kafka` says.
    pub(super) fn embeds(self) -> bool {
        matches!(self, Self::RunEmbedded | Self::ConnectEmbedded | Self::Test)
    }
}

#[derive(Debug)]
pub struct Loaded {
    pub topology: Topology,
    pub warnings: Diagnostics,
    /// Secrets that have a stand-in; always empty in [`Mode::Run`].
    pub unresolved: Vec<String>,
}

/// The environment of this process.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Topology {
    /// Reads and checks a file. Paths in it start at its directory, except `state.path`, which starts where the process runs.
    pub fn load(path: &Path, mode: Mode, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Diagnostics> {
        let name = path.display().to_string();
        let dir = path.parent().unwrap_or(Path::new(""));
        match std::fs::read(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Self::parse(&text, &name, dir, mode, env),
                Err(error) => {
                    let message = format!("the file is not UTF-8 from byte {} on", error.utf8_error().valid_up_to());
                    Err(unreadable(&name, dir, mode, env, message, &[]))
                }
            },
            Err(error) => {
                let help = match error.kind() {
                    std::io::ErrorKind::NotFound => &["name another with `-f FILE` or HIGHWATER_FILE"][..],
                    _ => &[],
                };
                Err(unreadable(&name, dir, mode, env, format!("the topology cannot be read: {error}"), help))
            }
        }
    }

    /// The same for a text. `name` stands in messages; `dir` is where its paths start.
    pub fn parse(
        text: &str,
        name: &str,
        dir: &Path,
        mode: Mode,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Loaded, Diagnostics> {
        let mut reader = reader(dir, mode, env);
        let root = reader.tree(name, text);
        let topology = root.and_then(|root| spec::read(&mut reader, &root));
        match topology {
            Some(topology) if reader.out.errors() == 0 => {
                Ok(Loaded { topology, warnings: reader.out, unresolved: reader.unresolved })
            }
            _ => {
                // Never refuse without a word, whatever a section forgot to report.
                if reader.out.errors() == 0 {
                    reader.file_error("incomplete", "the topology could not be read".into(), &[]);
                }
                Err(reader.out)
            }
        }
    }
}

pub(super) fn reader<'a>(dir: &Path, mode: Mode, env: Env<'a>) -> Reader<'a> {
    Reader {
        mode,
        env,
        dir: dir.to_owned(),
        out: Diagnostics::default(),
        secrets: BTreeMap::new(),
        rings: BTreeSet::new(),
        unresolved: Vec::new(),
        given: BTreeMap::new(),
    }
}

fn unreadable(name: &str, dir: &Path, mode: Mode, env: Env<'_>, message: String, help: &[&str]) -> Diagnostics {
    let mut reader = reader(dir, mode, env);
    reader.out.add_file(name, "");
    reader.file_error("unreadable", message, help);
    reader.out
}
