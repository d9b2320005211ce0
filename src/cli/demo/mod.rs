//! `highwater demo`: a real Debezium capture, a process that is killed inside a transaction, another that goes on, and an
//! audit of everything that was written.

mod audit;
mod broker;
mod capture;
mod crash;
mod leaks;
mod tell;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::engine::cluster;
use crate::engine::instance::Instance;
use crate::log::{Client, GroupConsumer, Isolation, Log, LogError, Result, TopicPartition};
use crate::topology::{Cluster, Mode, Topology};

use super::FAILED;
use super::cluster_arg::{Connection, Ending};
use super::read_back::{read_back, read_stable};
use super::validate::CONFIG;
use audit::Audit;
use broker::Broker;
use capture::Capture;
use crash::CrashingLog;
use tell::Teller;

const EXAMPLES: &str = "\
Examples:
  make demo                                    set up, build, and show it on the embedded log
  make demo-kafka                              the same on a real Kafka, started for it
  highwater demo                               again: it goes on where the last one stopped
  highwater demo --fresh                       from the beginning
  highwater demo --bootstrap localhost:9092    on a Kafka of yours (its topics brew.cdc.* and brew.analytics.*)

It leaves its log behind, to be looked at:
  highwater consume brew.analytics.customers --embedded=state/demo/log";

/// The secret of the demonstration; a real one comes from the environment.
const SECRET: &str = "a secret for demonstrations only";
/// The transaction that the first process does not survive.
const FATAL: usize = 3;
/// What the process that dies has to say.
const KILLED_LOG: &str = "killed.log";
/// Far longer than any part of it takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The topology to run.
    #[arg(short, long, value_name = "FILE", default_value = "topology.yaml")]
    file: PathBuf,
    /// Where the demonstration keeps its log and its state.
    #[arg(long, value_name = "DIR", default_value = "state/demo")]
    state: PathBuf,
    /// Forget what an earlier demonstration left there.
    #[arg(long)]
    fresh: bool,
    /// On a real Kafka, started for it, instead of the embedded log.
    #[arg(long)]
    kafka: bool,
    /// On this Kafka.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "kafka")]
    bootstrap: Option<String>,
    /// The program that starts a broker: PORT and DIR are appended.
    #[arg(long, value_name = "PROGRAM", default_value = "tools/kafka-broker")]
    broker: PathBuf,
    /// Run, and die inside this transaction.
    #[arg(long, value_name = "N", hide = true)]
    die_in: Option<usize>,
}

pub fn run(args: &Args) -> ExitCode {
    let cluster = args.bootstrap.as_deref().map(kafka_at);
    let outcome = match args.die_in {
        Some(transaction) => die(args, cluster, transaction),
        None => demonstrate(args, cluster),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(FAILED)
    })
}

fn kafka_at(servers: &str) -> Cluster {
    Cluster::Kafka(BTreeMap::from([("bootstrap.servers".to_string(), servers.to_string())]))
}

fn failed(what: &str) -> impl Fn(std::io::Error) -> LogError {
    move |error| LogError::Stop(format!("{what}: {error}"))
}

fn load(args: &Args, cluster: Option<Cluster>) -> std::result::Result<Topology, ExitCode> {
    let env = |name: &str| (name == "ANONYMIZE_SALT").then(|| SECRET.to_string());
    let loaded = Topology::load(&args.file, Mode::RunEmbedded, &env).map_err(|diagnostics| {
        eprint!("{}", diagnostics.render(false));
        ExitCode::from(CONFIG)
    })?;
    let mut topology = loaded.topology;
    // A member that is killed is waited for; one that comes back under its own name is not.
    topology.static_membership = cluster.is_some();
    topology.cluster = cluster.unwrap_or_else(|| Cluster::Embedded(args.state.join("log")));
    topology.state.path = args.state.join("state");
    topology.http = None;
    Ok(topology)
}

/// The process that dies: small transactions, and SIGKILL in one of them.
fn die(args: &Args, cluster: Option<Cluster>, transaction: usize) -> Result<ExitCode> {
    let mut topology = match load(args, cluster) {
        Ok(topology) => topology,
        Err(code) => return Ok(code),
    };
    topology.commit_interval = Duration::from_millis(1);
    let begun = Instant::now();
    let over = || begun.elapsed() > PATIENCE / 2;
    let connect = |topology: &Topology, client| {
        let log = cluster::connect(&topology.cluster, client)?;
        Ok(Arc::new(CrashingLog { log, left: Arc::new(transaction.into()), full: Default::default() }) as Arc<dyn Log>)
    };
    if let Some(instance) = Instance::start_on(topology, connect, &over)? {
        instance.run(&over)?;
    }
    Err(LogError::Stop("there was no transaction to die in".into()))
}

fn demonstrate(args: &Args, cluster: Option<Cluster>) -> Result<ExitCode> {
    let stop = super::run::stop_flag().map_err(failed("cannot listen for signals"))?;
    let stopped = || stop.load(Ordering::SeqCst);
    let begun = Instant::now();
    let tell = Teller::new();
    if args.fresh && args.state.exists() {
        std::fs::remove_dir_all(&args.state).map_err(failed("cannot forget the last demonstration"))?;
    }
    std::fs::create_dir_all(&args.state).map_err(failed("cannot make a working directory"))?;
    let broker = match args.kafka {
        true => Some(Broker::start(&args.broker, &args.state.join("kafka"))?),
        false => None,
    };
    let servers = args.bootstrap.clone().or(broker.as_ref().map(Broker::address));
    let topology = match load(args, cluster.or(servers.as_deref().map(kafka_at))) {
        Ok(topology) => topology,
        Err(code) => return Ok(code),
    };
    tell.title("Highwater", "change data, anonymized, exactly once");
    tell.note(&format!("on {}", topology.cluster));
    {
        let log = connect(&topology)?;
        let again = !read_back(log.as_ref(), "brew.cdc.public.customers", Isolation::Committed)?.is_empty();
        let capture = Capture::read(&topology, again)?;
        capture.load(&topology, log.as_ref())?;
        let how = if again { ", sent again as by a connector that lost its place" } else { "" };
        tell.done(&format!("loaded {} records of a real Debezium capture{how}", capture.len()));
        tell.note(&format!("into {}", capture.topics().into_iter().collect::<Vec<_>>().join(", ")));
    }

    let killed = kill(args, servers.as_deref())?;
    let log = connect(&topology)?;
    let (committed, all) = written(&topology, log.as_ref())?;
    tell.done(&format!("ran it in process {killed}, which killed itself with SIGKILL inside a transaction"));
    tell.note(&format!(
        "{committed} rows are committed; {} more lie in the log, and no reader of committed records sees them",
        all - committed
    ));

    let restarted = Instant::now();
    let connect = |_: &Topology, client| log.as_client(client);
    let Some(instance) = Instance::start_on(topology.clone(), connect, &stopped)? else {
        return Ok(ExitCode::from(FAILED));
    };
    let progress = Progress::of(&topology, log.as_ref())?;
    let over = || stopped() || restarted.elapsed() > PATIENCE || progress.borrow_mut().is_at_end();
    instance.run(&over)?;
    if !progress.borrow_mut().is_at_end() {
        return Err(LogError::Stop("the restarted process did not come to the end of its sources".into()));
    }
    tell.done(&format!("started again: it went on, and finished in {:.1} s", restarted.elapsed().as_secs_f64()));
    let metrics = instance.metrics().render();
    drop(instance);

    let audit = Audit::of(&topology, log.as_ref())?;
    tell.done("read everything back");
    tell.table(&audit);
    tell.pairs(&audit);
    let (state, killed_log) = (topology.state.path.clone(), args.state.join(KILLED_LOG));
    let connection = Connection { log, cluster: &topology.cluster, stopped: &stopped };
    let search =
        leaks::search(&topology, &connection, &[&state, &killed_log], &metrics).map_err(|ending| match ending {
            Ending::Failed(error) => LogError::Stop(error),
            Ending::Interrupted => LogError::Stop("interrupted".into()),
        })?;
    let sound = tell.verdict(&audit, &search);
    tell.end(begun.elapsed(), matches!(topology.cluster, Cluster::Embedded(_)).then_some(args.state.as_path()));
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Runs the process that dies, and waits for that. Its id.
fn kill(args: &Args, servers: Option<&str>) -> Result<u32> {
    let program = std::env::current_exe().map_err(failed("cannot find this program"))?;
    let log = std::fs::File::create(args.state.join(KILLED_LOG)).map_err(failed("cannot write a log"))?;
    let mut command = Command::new(program);
    command.args(["--log-level", "info", "demo", "--die-in", &FATAL.to_string()]);
    command.arg("--file").arg(&args.file).arg("--state").arg(&args.state);
    if let Some(servers) = servers {
        command.args(["--bootstrap", servers]);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
    let child = child.as_mut().map_err(|e| LogError::Stop(format!("cannot start a process: {e}")))?;
    let ended = child.wait().map_err(failed("cannot wait for a process"))?;
    match ended.signal() {
        Some(signal) if signal == signal_hook::consts::SIGKILL => Ok(child.id()),
        _ => Err(LogError::Stop(format!(
            "the process that was to be killed ended by itself ({ended}); its log is {}",
            args.state.join(KILLED_LOG).display()
        ))),
    }
}

/// Rows in the output topics: those that readers of committed records see now, and all.
fn written(topology: &Topology, log: &dyn Log) -> Result<(usize, usize)> {
    let topics = log.admin().topics()?;
    let targets: BTreeSet<String> =
        topology.streams.iter().flat_map(|s| topics.iter().filter_map(|topic| s.target_for(topic))).collect();
    let (mut committed, mut all) = (0, 0);
    for target in &targets {
        committed += read_stable(log, target)?.len();
        all += read_back(log, target, Isolation::Uncommitted)?.len();
    }
    Ok((committed, all))
}

/// How far the application has come with the records that were there at the start.
struct Progress {
    consumer: Box<dyn GroupConsumer>,
    partitions: Vec<TopicPartition>,
    ends: Vec<i64>,
    asked: Option<Instant>,
    at_end: bool,
}

impl Progress {
    fn of(topology: &Topology, log: &dyn Log) -> Result<RefCell<Self>> {
        let (mut partitions, mut ends) = (Vec::new(), Vec::new());
        for topic in log.admin().topics()?.iter().filter(|topic| topology.reader_of(topic).is_some()) {
            let count = log.admin().describe(topic)?.map_or(0, |info| info.partitions);
            for tp in (0..count).map(|partition| TopicPartition::new(topic.as_str(), partition)) {
                ends.push(log.admin().bounds(&tp)?.end);
                partitions.push(tp);
            }
        }
        let client = Client { group: topology.application.clone(), ..Client::named("highwater-demo") };
        // It asks for offsets and never joins.
        let consumer = log.as_client(client)?.group_consumer(0)?;
        Ok(RefCell::new(Self { consumer, partitions, ends, asked: None, at_end: false }))
    }

    fn is_at_end(&mut self) -> bool {
        if !self.at_end && self.asked.is_none_or(|asked| asked.elapsed() > Duration::from_millis(100)) {
            let committed = self.consumer.committed(&self.partitions, Duration::from_secs(5)).unwrap_or_default();
            self.at_end = committed.len() == self.ends.len()
                && committed.iter().zip(&self.ends).all(|(offset, end)| offset.unwrap_or(0) >= *end);
            self.asked = Some(Instant::now());
        }
        self.at_end
    }
}

/// Waits for a broker that has just been started.
fn connect(topology: &Topology) -> Result<Arc<dyn Log>> {
    let begun = Instant::now();
    let log = cluster::connect(&topology.cluster, Client::named("highwater-demo"))?;
    loop {
        match log.admin().topics() {
            Ok(_) => return Ok(log),
            Err(LogError::Stop(text)) => return Err(LogError::Stop(text)),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}
