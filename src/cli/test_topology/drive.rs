//! One worker of a scenario, from its start to its stop or its death.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::run::{COMMIT_INTERVAL, End, Stage, disk};
use super::watch::{Watch, Watched};
use crate::engine::catalog::Catalog;
use crate::engine::clock::Clock;
use crate::engine::shared::Shared;
use crate::engine::worker::{Status, Worker};
use crate::log::{Log, LogError};
use crate::store::Database;
use crate::telemetry::Health;
use crate::topology::scenario::Crash;

/// Steps without progress before a scenario is given up. By then the clock is past every timeout there is.
const PATIENCE: u32 = 12_000;
/// So long time goes in small steps; then in larger ones, so that long timeouts end as well.
const BRISK: u32 = 2_000;

/// A worker with what it alone has. Dropped, it is as if its process had been killed.
pub struct Actor {
    worker: Worker,
    shared: Arc<Shared>,
    watch: Watch,
}

struct Reached {
    positions: Vec<Option<i64>>,
    /// None while a transaction may change it.
    committed: Option<Vec<Option<i64>>>,
    is_open: bool,
}

impl Reached {
    /// Records read, and records committed: while neither is more than ever before there is no progress.
    fn extent(&self) -> [i64; 2] {
        let sum = |offsets: &[Option<i64>]| offsets.iter().flatten().sum();
        [sum(&self.positions), self.committed.as_deref().map_or(0, sum)]
    }
}

impl Stage<'_> {
    pub(super) fn start(&self) -> Result<Actor, End> {
        let watch = Watch::default();
        let log = Watched { log: self.log.clone(), watch: watch.clone() };
        // What a person must mend is an outcome of the scenario.
        let catalog = Catalog::survey(&self.topology, log.admin()).map_err(|error| End::Stopped(error.to_string()))?;
        let shared = Arc::new(Shared {
            topology: self.topology.clone(),
            log: Arc::new(log),
            clock: self.clock.clone(),
            database: self.database()?,
            metrics: self.metrics.clone(),
            health: Arc::new(Health::new(1, Duration::from_secs(3600), self.clock.now())),
            catalog: RwLock::new(Arc::new(catalog)),
            stop: AtomicBool::new(false),
        });
        let worker = Worker::new(shared.clone(), 0, format!("{}-test-0", self.topology.application))?;
        Ok(Actor { worker, shared, watch })
    }

    pub(super) fn database(&self) -> Result<Arc<Database>, End> {
        let path = self.directory.path();
        std::fs::create_dir_all(&path).map_err(disk)?;
        Ok(Database::open(&path.join("stores"), self.topology.state.memory)?)
    }

    pub(super) fn step(&self, actor: &mut Actor) -> Result<Status, End> {
        actor.worker.step().map_err(|error| End::Stopped(error.to_string()))
    }

    /// Processes what is written, to its end: everything is committed and every task runs.
    pub(super) fn drive(&mut self, actor: &mut Actor) -> Result<(), End> {
        let ends = self.ends()?;
        let (mut idle, mut is_due) = (0, false);
        let mut reached = self.reached(actor)?;
        let mut furthest = reached.extent();
        while !is_done(&reached, &ends) {
            self.step(actor)?;
            let has_read_all = reached.positions.iter().zip(&ends).all(|(at, end)| at.is_some_and(|at| at >= *end));
            if !reached.is_open {
                is_due = false;
                self.clock.advance(Duration::from_millis(if idle < BRISK { 1 } else { 50 }));
            } else if has_read_all && !is_due {
                is_due = true;
                self.clock.advance(COMMIT_INTERVAL);
            } else if idle > 100 {
                // Whatever it waits for takes time.
                self.clock.advance(Duration::from_millis(if idle < BRISK { 1 } else { 50 }));
            }
            reached = self.reached(actor)?;
            idle += 1;
            for (furthest, now) in furthest.iter_mut().zip(reached.extent()) {
                idle = if now > *furthest { 0 } else { idle };
                *furthest = now.max(*furthest);
            }
            if idle > PATIENCE {
                let reason = actor.shared.health.ready(self.clock.now()).text;
                return Err(End::Broken(format!(
                    "no progress in {PATIENCE} steps; the worker's last word: {reason}. `--log-level debug` shows more"
                )));
            }
        }
        Ok(())
    }

    fn ends(&self) -> Result<Vec<i64>, End> {
        let ends = self.partitions.iter().map(|tp| self.log.admin().bounds(tp).map(|bounds| bounds.end));
        Ok(ends.collect::<Result<_, _>>()?)
    }

    fn reached(&mut self, actor: &Actor) -> Result<Reached, End> {
        let committed = match self.offsets.committed(&self.partitions, Duration::ZERO) {
            Ok(committed) => Some(committed),
            Err(LogError::Retry(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let positions = actor.watch.positions();
        let positions = self.partitions.iter().map(|tp| positions.get(tp).copied()).collect();
        Ok(Reached { positions, committed, is_open: actor.watch.is_open() })
    }

    /// A clean stop: everything is committed, the group is left.
    pub(super) fn stop(&mut self, mut actor: Actor) -> Result<(), End> {
        actor.shared.stop.store(true, Ordering::SeqCst);
        for _ in 0..PATIENCE {
            if self.step(&mut actor)? == Status::Stopped {
                return Ok(());
            }
            self.clock.advance(Duration::from_millis(10));
        }
        Err(End::Broken("the worker does not stop".into()))
    }

    /// The worker processes what there is, and dies at its commit. All that it had applied to its stores is taken to
    /// have reached the disk: state that got ahead of the log shows.
    pub(super) fn crash(&mut self, mut actor: Actor, crash: Crash) -> Result<(), End> {
        actor.watch.crash_at_commit(crash);
        match self.drive(&mut actor) {
            // There was nothing to commit: it dies all the same.
            Ok(()) => Ok(()),
            Err(End::Stopped(_)) if actor.watch.has_died() => Ok(()),
            end => end,
        }
    }
}

/// Every task runs, and everything written is committed.
fn is_done(reached: &Reached, ends: &[i64]) -> bool {
    let Some(committed) = &reached.committed else { return false };
    let is_committed = |(committed, end): (&Option<i64>, &i64)| committed.unwrap_or(0) == *end;
    !reached.is_open && reached.positions.iter().all(Option::is_some) && committed.iter().zip(ends).all(is_committed)
}
