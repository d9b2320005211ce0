//! `highwater topics create`: the topics that a topology needs.

mod plan;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::log::embedded::{EmbeddedLog, Time};
use crate::log::{Client, Log};
use crate::topology::{Cluster, Mode, Topology};

use super::cluster_arg::{Connection, Ending};
use super::file_arg::FileFlag;
use super::produce::exit;
use super::run::stop_flag;
use super::validate::{CONFIG, colours, complain, load, print};
use super::{FAILED, tell};
use plan::{Plan, State};

const EXAMPLES: &str = "\
Examples:
  highwater topics create                        what is missing; nothing is changed
  highwater topics create --execute              create it
  highwater topics create --sources --partitions 8 --replication-factor 3 --execute
  highwater topics create --embedded=state/log --execute

Outputs get as many partitions as their sources, dead letters one, changelogs
exactly those of their source, compacted. Sources are a connector's to make, and
are left alone without --sources. What is there is never changed: run it as often
as you like. A changelog that does not fit its source is said, with exit code 1.";

#[derive(Debug, clap::Subcommand)]
pub enum TopicsCommand {
    /// Create the topics that the topology needs; a preview without --execute.
    Create(Args),
}

/// Create the topics that the topology needs
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    file: FileFlag,
    /// The embedded log in PATH, or where the topology says, instead of Kafka
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    embedded: Option<Option<PathBuf>>,
    /// Create source topics as well
    #[arg(long)]
    sources: bool,
    /// Partitions of sources that are created, and of outputs whose sources are not there
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Copies of each topic; the cluster's own default without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100))]
    replication_factor: Option<i32>,
    /// Do it
    #[arg(long)]
    execute: bool,
}

pub fn run(command: &TopicsCommand) -> ExitCode {
    let TopicsCommand::Create(args) = command;
    on_its_cluster(&args.file, args.embedded.as_ref(), |topology, stopped| create(args, topology, stopped))
}

/// For commands about a topology's topics: the topology, and whether a signal wants an end.
pub(super) fn on_its_cluster(
    file: &FileFlag,
    embedded: Option<&Option<PathBuf>>,
    work: impl FnOnce(&Topology, &dyn Fn() -> bool) -> Result<ExitCode, Ending>,
) -> ExitCode {
    let topology = match topology(file, embedded) {
        Ok(topology) => topology,
        Err(code) => return code,
    };
    let stop = match stop_flag() {
        Ok(stop) => stop,
        Err(error) => {
            tell(format_args!("error: cannot listen for signals: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    match work(&topology, &|| stop.load(Ordering::SeqCst)) {
        Ok(code) => code,
        Err(ending) => exit(&ending),
    }
}

/// Where the log is must be known, and every name; secrets need not.
fn topology(file: &FileFlag, embedded: Option<&Option<PathBuf>>) -> Result<Topology, ExitCode> {
    let mode = if embedded.is_some() { Mode::ConnectEmbedded } else { Mode::Connect };
    let mut loaded = load(file.path(), mode)?;
    if let Some(Some(path)) = embedded {
        loaded.topology.cluster = Cluster::Embedded(path.clone());
    }
    if plan::has_stand_ins(&loaded.topology) {
        loaded.warnings.retain(|item| item.code == "unset");
        complain(&loaded.warnings);
        tell("names of topics depend on what is not set");
        return Err(ExitCode::from(CONFIG));
    }
    Ok(loaded.topology)
}

fn create(args: &Args, topology: &Topology, stopped: &dyn Fn() -> bool) -> Result<ExitCode, Ending> {
    if args.replication_factor.is_some_and(|n| n > 1) && matches!(topology.cluster, Cluster::Embedded(_)) {
        return Err(Ending::Failed("the embedded log keeps one copy: leave --replication-factor out".into()));
    }
    let connection = Connection { log: connect(args, topology)?, cluster: &topology.cluster, stopped };
    let plan = Plan::of(topology, &connection, args.sources, args.partitions)?;
    let missing: Vec<_> = plan.topics.iter().filter(|topic| topic.state == State::Missing).collect();
    // A cluster that half fits is not touched.
    let execute = args.execute && plan.is_sound();
    if execute {
        for topic in &missing {
            let settings: Vec<_> = topic.settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let (name, partitions) = (&topic.name, topic.partitions.unwrap_or(1));
            connection.ask(|admin| admin.create_replicated(name, partitions, args.replication_factor, &settings))?;
        }
    }
    let text = plan.show(args.replication_factor, execute, colours(&std::io::stdout()));
    let count = match missing.len() {
        1 => "1 topic".to_owned(),
        n => format!("{n} topics"),
    };
    let last = match (plan.is_sound(), missing.is_empty(), execute) {
        (false, ..) => "nothing was created: mend first what differs".to_owned(),
        (true, true, _) => "nothing is missing".to_owned(),
        (true, false, true) => format!("created {count} on {}", topology.cluster),
        (true, false, false) => format!("nothing was changed; --execute creates {count} on {}", topology.cluster),
    };
    let printed = print(&format!("{text}{last}\n"));
    Ok(if plan.is_sound() { printed } else { ExitCode::from(FAILED) })
}

/// A look at an embedded log that is not there yet must not make it.
fn connect(args: &Args, topology: &Topology) -> Result<Arc<dyn Log>, Ending> {
    let client = Client { group: topology.application.clone(), ..Client::named("highwater-topics") };
    match &topology.cluster {
        Cluster::Embedded(path) if !args.execute && !path.exists() => {
            Ok(Arc::new(EmbeddedLog::in_memory(client, Time::System)?))
        }
        cluster => Ok(crate::engine::cluster::connect(cluster, client)?),
    }
}
