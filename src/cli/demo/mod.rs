//! `highwater demo`: a Kafka of its own, a real Debezium capture, the repository's topology, a short account.

mod account;
mod broker;
mod capture;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::cluster;
use crate::engine::instance::Instance;
use crate::log::{Client, Log, LogError};
use crate::topology::{Cluster, Mode, Topology};

use super::FAILED;
use super::validate::CONFIG;
use account::Account;
use broker::Broker;
use capture::Capture;

const EXAMPLES: &str = "\
Examples:
  make demo                                      set up, build, and show it
  highwater demo --keep                          leave the broker's data behind, and say where
  highwater demo --bootstrap localhost:9092      on a Kafka of yours (its topics brew.cdc.* and brew.analytics.*)";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The topology to run.
    #[arg(short, long, value_name = "FILE", default_value = "topology.yaml")]
    file: PathBuf,
    /// Use this Kafka instead of starting one.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    /// The program that starts a broker: PORT and DIR are appended.
    #[arg(long, value_name = "PROGRAM", default_value = "tools/kafka-broker")]
    broker: PathBuf,
    /// Keep the working directory (broker data and state).
    #[arg(long)]
    keep: bool,
}

/// The secret of the demonstration; a real one comes from the environment.
const SECRET: &str = "a secret for demonstrations only";

pub fn run(args: &Args) -> ExitCode {
    match demonstrate(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn demonstrate(args: &Args) -> Result<ExitCode, LogError> {
    let stop = super::run::stop_flag().map_err(|e| LogError::Stop(e.to_string()))?;
    let stopped = || stop.load(std::sync::atomic::Ordering::SeqCst);
    let work = WorkDir::new(args.keep).map_err(|e| LogError::Stop(format!("cannot make a working directory: {e}")))?;
    let broker = match &args.bootstrap {
        Some(_) => None,
        None => Some(Broker::start(&args.broker, &work.0.join("kafka"), &stopped)?),
    };
    let servers = args.bootstrap.clone().or(broker.as_ref().map(|b| b.address())).unwrap_or_default();
    let env = |name: &str| match name {
        "ANONYMIZE_SALT" => Some(SECRET.to_string()),
        "KAFKA_BOOTSTRAP_SERVERS" => Some(servers.clone()),
        _ => None,
    };
    let mut topology = match Topology::load(&args.file, Mode::Run, &env) {
        Ok(loaded) => loaded.topology,
        Err(diagnostics) => {
            eprint!("{}", diagnostics.render(false));
            return Ok(ExitCode::from(CONFIG));
        }
    };
    topology.cluster = Cluster::Kafka([("bootstrap.servers".to_string(), servers)].into());
    topology.state.path = work.0.join("state");
    topology.http = None;
    let log = connect(&topology)?;
    let capture = Capture::read(&topology)?;
    capture.load(&topology, log.as_ref())?;
    println!("loaded {} records of a real Debezium capture into {}", capture.len(), capture.topics().join(", "));

    let begun = Instant::now();
    let Some(instance) = Instance::start(topology.clone(), &stopped)? else { return Ok(ExitCode::SUCCESS) };
    let expected = capture.len() as u64;
    let done = || {
        let account = Account::of(&instance.metrics().render());
        stopped() || account.total("records_in") >= expected || begun.elapsed() > Duration::from_secs(120)
    };
    instance.run(&done)?;
    let took = begun.elapsed();
    let account = Account::of(&instance.metrics().render());
    if account.total("records_in") < expected {
        return Err(LogError::Stop(format!("only {} of {expected} records were read", account.total("records_in"))));
    }
    account.print(&topology);
    capture.print_rows(&topology, log.as_ref())?;
    println!("\n{expected} records in {:.1} s, joining the group included", took.as_secs_f64());
    if args.keep {
        println!("kept {}", work.0.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for a broker that has just been started.
fn connect(topology: &Topology) -> Result<Arc<dyn Log>, LogError> {
    let give_up = Instant::now() + Duration::from_secs(120);
    let log = cluster::connect(&topology.cluster, Client::named("highwater-demo"))?;
    loop {
        match log.admin().topics() {
            Ok(_) => return Ok(log),
            Err(LogError::Stop(text)) => return Err(LogError::Stop(text)),
            Err(error) if Instant::now() > give_up => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// A directory that goes when the demonstration ends.
struct WorkDir(PathBuf, bool);

impl WorkDir {
    fn new(keep: bool) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("highwater-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path, keep))
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if !self.1 {
            // Best effort: it lies in the system's directory for temporary files.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
