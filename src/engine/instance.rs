//! An instance: one process of the application.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::connectors::clickhouse;
use crate::log::{Client, Log, LogError, Result};
use crate::operators::mask::Rule;
use crate::record::Reason;
use crate::record::position::Rise;
use crate::store::Database;
use crate::telemetry::{self, Health, Known, Metrics, names};
use crate::topology::{Sink, Topology};

use super::catalog::Catalog;
use super::clock::{Clock, SystemClock};
use super::cluster;
use super::identity::Identity;
use super::last_sync::LastSync;
use super::shared::Shared;
use super::sink;
use super::slots::Slots;
use super::worker::{Status, Worker};

/// How often the cluster is asked for new topics.
const SURVEY_EVERY: Duration = Duration::from_secs(30);

/// Runs until `stop` is set or something only a person can mend happens.
pub struct Instance {
    shared: Arc<Shared>,
    identity: Identity,
    _http: Option<telemetry::Server>,
    _slots: Option<Slots>,
}

impl Instance {
    /// Claims the state directory, opens the state, waits for a cluster, surveys it.
    pub fn start(topology: Topology, stop: &dyn Fn() -> bool) -> Result<Option<Self>> {
        Self::start_on(topology, |topology, client| cluster::connect(&topology.cluster, client), stop)
    }

    /// The same on a log that is not the topology's.
    pub fn start_on(
        topology: Topology,
        connect: impl FnOnce(&Topology, Client) -> Result<Arc<dyn Log>>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Self>> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let identity = Identity::claim(&topology.state.path, &topology.application, topology.threads, clock.as_ref())
            .map_err(LogError::Stop)?;
        let metrics = Arc::new(Metrics::new(known()));
        // Counters stand at zero before the first record.
        topology.streams.iter().for_each(|stream| drop(metrics.stream(&stream.name)));
        let workers = stream_workers(&topology) + topology.sinks.len();
        let health = Arc::new(Health::new(workers, telemetry::health::STEP_LIMIT, clock.now()));
        let http = serve(&topology, &metrics, &health)?;
        // Before a cluster is there: what fills the source's disk meanwhile is to be seen.
        let slots = topology.slots.as_ref().map(|config| Slots::start(config, metrics.slots())).transpose();
        let slots = slots.map_err(no_thread)?;
        let log = connect(&topology, client(&topology, &identity))?;
        // After the log: where that is refused, the stores stay as they are.
        let database = Database::open(&topology.state.path.join("stores"), topology.state.memory)
            .map_err(|e| LogError::Stop(e.to_string()))?;
        tell_unread(&topology, &database);
        let Some(catalog) = first_survey(&topology, log.as_ref(), &health, clock.as_ref(), stop)? else {
            return Ok(None);
        };
        log.limit_batches(catalog.smallest_limit());
        let shared = Arc::new(Shared {
            topology: Arc::new(topology),
            log,
            clock,
            database,
            metrics,
            health,
            catalog: RwLock::new(Arc::new(catalog)),
            stop: AtomicBool::new(false),
        });
        Ok(Some(Self { shared, identity, _http: http, _slots: slots }))
    }

    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Runs the workers until `stop` says so, or one of them ends with an error: then the others stop cleanly.
    pub fn run(&self, stop: &dyn Fn() -> bool) -> Result<()> {
        let topology = &self.shared.topology;
        tracing::info!(
            application = topology.application,
            instance = self.identity.instance,
            workers = topology.threads,
            streams = topology.streams.len(),
            "running"
        );
        let last_sync = topology.redis.as_ref().map(|config| LastSync::start(config, &self.shared.metrics)).transpose();
        let last_sync = last_sync.map_err(no_thread)?;
        let (tell, ended) = channel();
        let mut threads = Vec::new();
        let workers = stream_workers(topology);
        let made = (0..workers).map(|index| {
            let id = self.identity.transactional_id(&topology.application, index);
            Worker::new(self.shared.clone(), index, id)
        });
        let mut made = made.collect::<Result<Vec<_>>>()?;
        Worker::join(&mut made);
        for (index, worker) in made.into_iter().enumerate() {
            threads.push(self.thread(&tell, index, format!("worker-{index}"), move || drive(worker))?);
        }
        for (place, sink) in topology.sinks.iter().enumerate() {
            let worker = self.sink_worker(workers + place, sink)?;
            threads
                .push(self.thread(&tell, workers + place, format!("sink-{}", sink.name), move || drive_sink(worker))?);
        }
        drop(tell);
        self.retire_workers();
        let outcome = self.watch(&ended, stop);
        for thread in threads {
            // Panics were caught inside.
            let _ = thread.join();
        }
        last_sync.into_iter().for_each(LastSync::finish);
        self.sum_up();
        outcome
    }

    fn thread(
        &self,
        tell: &Sender<Result<()>>,
        index: usize,
        name: String,
        work: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<JoinHandle<()>> {
        let (tell, shared) = (tell.clone(), self.shared.clone());
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            let end = end.unwrap_or_else(|_| Err(LogError::Stop("a worker panicked; this is a bug".into())));
            if let Err(error) = &end {
                shared.health.set_worker(index, telemetry::WorkerHealth::failed(error.to_string()), Instant::now());
            }
            // The main thread may be gone already; then nobody needs to know.
            let _ = tell.send(end);
        });
        thread.map_err(no_thread)
    }

    /// A sink has a consumer group and a transactional id of its own.
    fn sink_worker(&self, index: usize, sink: &Sink) -> Result<sink::worker::Worker> {
        let topology = &self.shared.topology;
        let group = topology.sink_group(&sink.name);
        let client = client(topology, &self.identity);
        let log = self.shared.log.as_client(Client {
            client_id: format!("{}-{}", client.client_id, sink.name),
            instance: client.instance.map(|instance| format!("{instance}-{}", sink.name)),
            group,
            workers: 1,
            ..client
        })?;
        let server: Arc<dyn clickhouse::client::Server> = Arc::new(clickhouse::client::Client::new(&sink.clickhouse));
        let inserts = sink::inserts::Pool::start(&server, &sink.name, sink.clickhouse.inserts).map_err(no_thread)?;
        sink::worker::Worker::new(sink::worker::Parts {
            shared: self.shared.clone(),
            sink: Arc::new(sink.clone()),
            log,
            server,
            inserts: Box::new(inserts),
            index,
            transactional_id: format!("{}-{}-sink-{}", topology.application, self.identity.instance, sink.name),
        })
    }

    /// What became of the records, for whoever stopped it.
    fn sum_up(&self) {
        let total = |counter| self.shared.metrics.total(counter);
        tracing::info!(
            records_in = total(names::RECORDS_IN),
            records_out = total(names::RECORDS_OUT),
            dropped = total(names::DEDUP_DROPPED),
            skipped = total(names::RECORDS_SKIPPED),
            dead_letters = total(names::DEAD_LETTERS),
            inserted = total(names::SINK_ROWS),
            "stopped"
        );
    }

    /// Transactions that workers of an earlier, larger instance left open would hold their partitions until they time out.
    fn retire_workers(&self) {
        let topology = &self.shared.topology;
        for index in topology.threads..self.identity.retired_workers {
            let id = self.identity.transactional_id(&topology.application, index);
            let ended = self.shared.log.producer(&id).and_then(|mut p| p.init(Duration::from_secs(10)));
            if let Err(error) = ended {
                tracing::warn!(worker = index, %error, "the transactions of a former worker are left to their timeout");
                return;
            }
        }
        if let Err(error) = self.identity.settle(&topology.application, topology.threads) {
            tracing::warn!(%error, "the instance's file could not be written");
        }
    }

    fn watch(&self, ended: &Receiver<Result<()>>, stop: &dyn Fn() -> bool) -> Result<()> {
        let mut outcome = Ok(());
        let mut surveyed = Instant::now();
        loop {
            match ended.recv_timeout(Duration::from_millis(50)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    self.shared.stop.store(true, Ordering::SeqCst);
                    outcome = outcome.and(Err(error));
                }
                Err(RecvTimeoutError::Disconnected) => return outcome,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if stop() && !self.shared.stop.swap(true, Ordering::SeqCst) {
                tracing::info!("stopping: committing and leaving the group");
            }
            if surveyed.elapsed() > SURVEY_EVERY && outcome.is_ok() {
                surveyed = Instant::now();
                if let Err(error) = self.shared.survey() {
                    self.shared.stop.store(true, Ordering::SeqCst);
                    outcome = Err(error);
                }
            }
        }
    }
}

fn no_thread(error: std::io::Error) -> LogError {
    LogError::Stop(format!("cannot start a thread: {error}"))
}

fn drive(mut worker: Worker) -> Result<()> {
    loop {
        match worker.step() {
            Ok(Status::Working) => {}
            Ok(Status::Stopped) => return Ok(()),
            Err(error) => {
                worker.give_up();
                return Err(error);
            }
        }
    }
}

fn drive_sink(mut worker: sink::worker::Worker) -> Result<()> {
    loop {
        match worker.step() {
            Ok(sink::worker::Status::Working) => {}
            Ok(sink::worker::Status::Stopped) => return Ok(()),
            Err(error) => {
                worker.give_up();
                return Err(error);
            }
        }
    }
}

/// A topology of sinks alone needs none.
fn stream_workers(topology: &Topology) -> usize {
    if topology.streams.is_empty() { 0 } else { topology.threads }
}

fn serve(topology: &Topology, metrics: &Arc<Metrics>, health: &Arc<Health>) -> Result<Option<telemetry::Server>> {
    let Some(listen) = topology.http else { return Ok(None) };
    let server =
        telemetry::serve(listen, metrics.clone(), health.clone()).map_err(|e| LogError::Stop(e.to_string()))?;
    tracing::info!(address = %server.addr(), "serving /metrics, /healthz, /readyz, /freshness");
    Ok(Some(server))
}

/// The label values that are counted from the start.
pub fn known() -> Known {
    Known {
        dead_letters: Reason::ALL.iter().filter(|r| !r.is_of_sinks()).map(|r| r.as_str()).collect(),
        rules: Rule::ALL.iter().map(|r| r.as_str()).collect(),
        epochs: Rise::ALL.iter().map(|r| r.as_str()).collect(),
        ..Known::default()
    }
}

/// Stores of streams and sources that the topology has no more are nobody's to delete but a person's.
fn tell_unread(topology: &Topology, database: &Database) {
    let is_read = |store: &str| {
        let Some((stream, tp)) = store.split_once('/') else { return false };
        let topic = tp.rsplit_once('-').map_or(tp, |(topic, _)| topic);
        topology.streams.iter().any(|s| s.name == stream && s.dedup.is_some() && s.reads(topic))
    };
    let unread: Vec<String> = database.found().into_iter().filter(|store| !is_read(store)).collect();
    if !unread.is_empty() {
        tracing::warn!(
            stores = unread.join(", "),
            "no stream of the topology has these stores (STREAM/TOPIC-PARTITION) any more: they are kept, and nobody reads them"
        );
    }
}

fn client(topology: &Topology, identity: &Identity) -> Client {
    Client {
        group: topology.application.clone(),
        client_id: format!("{}-{}", topology.application, identity.instance),
        transaction_timeout: topology.transaction_timeout,
        instance: topology.static_membership.then(|| identity.instance.clone()),
        workers: stream_workers(topology).max(1),
    }
}

/// The first look at the cluster, which may not be there yet. None if a stop came first.
fn first_survey(
    topology: &Topology,
    log: &dyn Log,
    health: &Health,
    clock: &dyn Clock,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Catalog>> {
    let mut told: Option<Instant> = None;
    let mut say = |text: &str| {
        let now = clock.now();
        if told.is_none_or(|at| now.duration_since(at) > Duration::from_secs(10)) {
            told = Some(now);
            tracing::warn!("waiting: {text}");
        }
        (0..stream_workers(topology)).for_each(|w| health.set_worker(w, telemetry::WorkerHealth::waiting(text), now));
        clock.sleep(Duration::from_millis(500));
    };
    while !stop() {
        match Catalog::survey(topology, log.admin()) {
            Ok(catalog) if catalog.sources.is_empty() && !topology.streams.is_empty() => {
                say(&no_sources(topology, &catalog))
            }
            Ok(catalog) => {
                for topic in &catalog.missing {
                    tracing::warn!(topic, "the source topic does not exist yet; it joins when it does");
                }
                return Ok(Some(catalog));
            }
            Err(LogError::Stop(text)) => return Err(LogError::Stop(text)),
            Err(error) => say(&format!("for {}: {error}", topology.cluster)),
        }
    }
    Ok(None)
}

fn no_sources(topology: &Topology, catalog: &Catalog) -> String {
    match catalog.missing.is_empty() {
        true => format!("for a topic that a stream of {} reads", topology.application),
        false => format!("for the source topics {} to be created", catalog.missing.join(", ")),
    }
}
