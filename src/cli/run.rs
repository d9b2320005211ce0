//! `highwater run`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::engine::instance::Instance;
use crate::log::LogError;
use crate::topology::{Cluster, Mode, Topology};

use super::file_arg::FileArg;
use super::validate::load;
use super::{FAILED, INTERRUPTED};

const EXAMPLES: &str = "\
Examples:
  highwater run                                  the topology.yaml of this directory
  highwater run -f shop.yaml --threads 2         another file, two workers
  highwater run --state /var/lib/highwater/2     a second instance on one machine
  highwater run --embedded                       no Kafka: the log lies in the state directory

Every instance of one application joins its consumer group and shares the
partitions. Each needs a state directory of its own: it holds the stores and the
instance's name. An embedded log belongs to one process, which is then the only
instance. A second SIGTERM or SIGINT ends the process at once; nothing is lost by
that, the next start takes a little longer.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Use the embedded log instead of Kafka: in PATH, or where the topology says, or in `log` of the state directory.
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    embedded: Option<Option<PathBuf>>,
    /// Directory of the stores and the instance's name, instead of the topology's. An embedded log without a place of
    /// its own goes along.
    #[arg(long, value_name = "DIR", env = "HIGHWATER_STATE")]
    state: Option<PathBuf>,
    /// Workers, instead of the topology's number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: Option<u8>,
    /// Address of /metrics, /healthz and /readyz, instead of the topology's.
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
}

pub fn run(args: &Args) -> ExitCode {
    let mode = if args.embedded.is_some() { Mode::RunEmbedded } else { Mode::Run };
    let loaded = match load(args.file.path(), mode) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    for warning in loaded.warnings.iter() {
        tracing::warn!(code = warning.code, "{}", warning.message);
    }
    let mut topology = loaded.topology;
    if let Some(path) = &args.state {
        topology.keep_state_in(path);
    }
    if let Some(Some(path)) = &args.embedded {
        topology.cluster = Cluster::Embedded(path.clone());
    }
    topology.threads = args.threads.map_or(topology.threads, usize::from);
    topology.http = args.http.or(topology.http);
    match start(topology) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(FAILED)
        }
    }
}

fn start(topology: Topology) -> Result<(), LogError> {
    let stop = stop_flag().map_err(|e| LogError::Stop(format!("cannot listen for signals: {e}")))?;
    let stopped = || stop.load(Ordering::SeqCst);
    match Instance::start(topology, &stopped)? {
        Some(instance) => instance.run(&stopped),
        None => Ok(()),
    }
}

/// Set by the first SIGTERM or SIGINT; the second one ends the process.
pub fn stop_flag() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED.into(), stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}
