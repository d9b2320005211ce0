//! A process of the application: its disk, and, while it lives, its workers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use highwater::engine::catalog::Catalog;
use highwater::engine::clock::Clock;
use highwater::engine::instance::known;
use highwater::engine::shared::Shared;
use highwater::engine::worker::{Status, Worker};
use highwater::log::embedded::EmbeddedLog;
use highwater::log::{Client, Log, LogError};
use highwater::store::Database;
use highwater::telemetry::{Health, Metrics, names};
use highwater::topology::Topology;

use crate::chance::Chance;
use crate::disk::{Disk, Mounted};
use crate::standing::{self, Came, Standing};
use crate::time::ProcessClock;
use crate::wire::{Armed, FaultyLog, Line, Net};

pub const GROUP: &str = "sim";

pub struct Process {
    pub name: String,
    pub disk: Disk,
    pub life: Option<Life>,
    /// The step at which it is started again; None for never.
    pub restart_at: Option<u32>,
    /// What goes wrong in its next life.
    pub armed: Vec<Armed>,
    /// Expected to be stopped by whoever uses its transactional ids.
    pub haunted: bool,
}

/// From start to end.
pub struct Life {
    pub line: Arc<Line>,
    pub shared: Arc<Shared>,
    clock: Arc<ProcessClock>,
    pub workers: Vec<Slot>,
    pub stalled_until: i64,
}

pub enum Slot {
    Between(Box<Worker>),
    /// It stands still within a step.
    Within(Standing<Worker>),
    Ended,
}

impl standing::Worker for Worker {
    type Status = Status;
    fn step(&mut self) -> Result<Status, LogError> {
        Worker::step(self)
    }
}

/// What a step of a process came to.
pub enum Stepped {
    On,
    /// It stands still within the step, for so many milliseconds.
    Stands(i64),
    /// It is down, after a clean stop or with an error that only a person can help with.
    Ended(Option<String>),
    Dead,
}

/// What the counters said of work that was committed.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counted {
    pub records_in: u64,
    pub records_out: u64,
    pub dead_letters: u64,
}

impl Process {
    pub fn new(number: usize) -> Self {
        let name = format!("p{number}");
        Self { name, disk: Disk::default(), life: None, restart_at: Some(0), armed: Vec::new(), haunted: false }
    }

    pub fn transactional_id(&self, worker: usize) -> String {
        format!("{GROUP}-{}-{worker}", self.name)
    }

    /// Comes up; `Retry` where the log did not answer.
    pub fn start(
        &mut self,
        net: &Arc<Net>,
        log: &EmbeddedLog,
        topology: &Arc<Topology>,
        threads: usize,
        mut chance: Chance,
    ) -> Result<(), LogError> {
        let client = Client {
            group: GROUP.into(),
            transaction_timeout: topology.transaction_timeout,
            ..Client::named(&self.name)
        };
        let line = Line::new(net.clone(), self.name.clone(), &log.as_client(client)?);
        self.armed.drain(..).for_each(|armed| line.arm(armed));
        let faulty: Arc<dyn Log> = Arc::new(FaultyLog(line.clone()));
        // Some write to the disk after each commit, some seldom.
        let room = [0, 500, 4000][chance.index(3)];
        let clock = Arc::new(ProcessClock::new(net.time.clone(), chance));
        let catalog = match Catalog::survey(topology, faulty.admin()) {
            Err(_) if line.is_dead() => return Err(LogError::Retry("it died while it came up".into())),
            catalog => catalog?,
        };
        let shared = Arc::new(Shared {
            topology: topology.clone(),
            log: faulty,
            database: Database::over(Box::new(Mounted { disk: self.disk.clone(), line: line.clone() }), room),
            metrics: Arc::new(Metrics::new(known())),
            health: Arc::new(Health::new(threads, Duration::from_secs(3600), clock.now())),
            clock: clock.clone(),
            catalog: RwLock::new(Arc::new(catalog)),
            stop: AtomicBool::new(false),
        });
        let workers = (0..threads).map(|index| Worker::new(shared.clone(), index, self.transactional_id(index)));
        let workers =
            workers.map(|worker| worker.map(|worker| Slot::Between(Box::new(worker)))).collect::<Result<_, _>>()?;
        net.tell(|| format!("{} starts", self.name));
        self.life = Some(Life { line, shared, clock, workers, stalled_until: 0 });
        (self.restart_at, self.haunted) = (None, false);
        Ok(())
    }

    /// One step of one worker.
    pub fn step(&mut self, worker: usize) -> Stepped {
        let Some(life) = &mut self.life else { return Stepped::On };
        let came = match std::mem::replace(&mut life.workers[worker], Slot::Ended) {
            Slot::Ended => return Stepped::On,
            Slot::Within(standing) => standing.go_on(),
            Slot::Between(running) if life.line.may_stand_still() => {
                Standing::begin(running, |gate| life.line.lend(Some(gate)))
            }
            Slot::Between(mut running) => {
                let stepped = running.step();
                Came::Over(running, stepped)
            }
        };
        let (running, stepped) = match came {
            Came::Over(running, stepped) => (running, stepped),
            Came::Stands(standing, ms) => {
                life.workers[worker] = Slot::Within(standing);
                return Stepped::Stands(ms);
            }
        };
        life.line.lend(None);
        if life.line.is_dead() {
            // Buried with the others: what it holds of the dead line is no clean leave.
            life.workers[worker] = Slot::Between(running);
            return Stepped::Dead;
        }
        let mut stopped = None;
        match stepped {
            Ok(Status::Working) => {
                life.workers[worker] = Slot::Between(running);
                return Stepped::On;
            }
            Ok(Status::Stopped) => {}
            Err(error) => {
                life.line.net.tell(|| format!("{}.{worker} stops: {error}", self.name));
                stopped = Some(error.to_string());
                // As an instance does: the others stop cleanly.
                life.shared.stop.store(true, Ordering::SeqCst);
                running.give_up();
            }
        }
        match (life.has_ended(), stopped) {
            (true, stopped) => Stepped::Ended(stopped),
            (false, None) => Stepped::On,
            (false, Some(text)) => Stepped::Ended(Some(text)),
        }
    }

    pub fn is_down(&self) -> bool {
        self.life.is_none()
    }

    pub fn stop(&self) {
        if let Some(life) = &self.life {
            life.shared.stop.store(true, Ordering::SeqCst);
        }
    }

    pub fn counted(&self) -> Counted {
        let Some(life) = &self.life else { return Counted::default() };
        let total = |counter| life.shared.metrics.total(counter);
        Counted {
            records_in: total(names::RECORDS_IN),
            records_out: total(names::RECORDS_OUT),
            dead_letters: total(names::DEAD_LETTERS),
        }
    }

    /// Takes the process down for good: a dead one loses what its disk had not flushed.
    pub fn bury(&mut self, chance: &mut Chance) {
        let Some(life) = self.life.take() else { return };
        let dead = life.line.is_dead();
        drop(life);
        if dead {
            self.disk.crash(chance);
        } else {
            // A database that is closed writes what it has.
            self.disk.flush_all();
        }
    }
}

impl Life {
    /// Workers that may be stepped now.
    pub fn runnable(&self, now: i64) -> Vec<usize> {
        if now < self.stalled_until || now < self.clock.wake() {
            return Vec::new();
        }
        // One that stands still within a step has the process stand still with it.
        if let Some(within) = self.within() {
            return vec![within];
        }
        (0..self.workers.len()).filter(|index| !matches!(self.workers[*index], Slot::Ended)).collect()
    }

    /// The worker that stands still within a step.
    pub fn within(&self) -> Option<usize> {
        self.workers.iter().position(|slot| matches!(slot, Slot::Within(_)))
    }

    pub fn has_ended(&self) -> bool {
        self.workers.iter().all(|slot| matches!(slot, Slot::Ended))
    }

    /// When it wakes up, if it sleeps.
    pub fn wakes(&self) -> i64 {
        self.stalled_until.max(self.clock.wake())
    }
}
