//! One run: processes take their steps in an order that chance gives, blows fall, and in the end all must be right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use highwater::engine::catalog::Catalog;
use highwater::engine::clock::Clock;
use highwater::engine::instance::known;
use highwater::engine::shared::Shared;
use highwater::engine::sink::worker::{Parts, Status, Worker};
use highwater::log::embedded::{EmbeddedLog, Time as LogTime};
use highwater::log::{Appender, Client, GroupConsumer, Log, LogError, Outgoing, Producer, TopicPartition};
use highwater::store::{Database, StoreError, database};
use highwater::telemetry::{Health, Metrics};
use highwater::topology::{Mode, Topology};

use crate::chance::Chance;
use crate::plan::{Plan, What};
use crate::server::Model;
use crate::shadow::Shadow;
use crate::standing::{self, Came, Standing};
use crate::threads::Threads;
use crate::time::{ProcessClock, Time};
use crate::wire::{Armed, Call, FaultyLog, Line, Net, Wrong};

const SOURCE: &str = "rows";
const DEAD: &str = "dead";
const PLANS: &str = "sim-click-plans";
const GROUP: &str = "sim-click";
const TRANSACTION_TIMEOUT_MS: i64 = 6000;
const SESSION_MS: i64 = 3000;
/// Steps in which everything must come to rest once nothing goes wrong any more.
const PATIENCE: u32 = 20_000;

#[derive(Default)]
pub struct Report {
    pub counts: BTreeMap<String, u64>,
    pub history: Vec<String>,
}

pub struct Failure {
    pub why: String,
    pub history: Vec<String>,
}

type Checked = Result<(), String>;

struct Process {
    name: String,
    life: Option<Life>,
    restart_at: u32,
    /// What goes wrong in its next life.
    armed: Vec<Armed>,
    /// Expected to be stopped by whoever uses its transactional id.
    haunted: bool,
}

struct Life {
    line: Arc<Line>,
    shared: Arc<Shared>,
    clock: Arc<ProcessClock>,
    worker: Slot,
    threads: Threads,
    stalled_until: i64,
}

enum Slot {
    Between(Box<Worker>),
    /// It stands still within a step.
    Within(Standing<Worker>),
    Gone,
}

impl standing::Worker for Worker {
    type Status = Status;
    fn step(&mut self) -> Result<Status, LogError> {
        Worker::step(self)
    }
}

struct World<'p> {
    plan: &'p Plan,
    chance: Chance,
    time: Time,
    net: Arc<Net>,
    log: EmbeddedLog,
    model: Model,
    topology: Arc<Topology>,
    processes: Vec<Process>,
    appender: Box<dyn Appender>,
    aborter: Box<dyn Producer>,
    inputs: Shadow,
    letters: Shadow,
    group: Box<dyn GroupConsumer>,
    records: u32,
    number: i64,
    holding: bool,
    /// The group forgot offsets: what is in the table is covered by plans alone.
    expired: bool,
}

fn topology(plan: &Plan) -> Arc<Topology> {
    let text = format!(
        "application: sim\nembedded: log\ntransaction_timeout: 6s\nsinks:\n  click:\n    from: {SOURCE}\n    \
         on_error: {{ dead_letter: {DEAD} }}\n    clickhouse:\n      url: http://nowhere\n      database: d\n      table: t\n      \
         dedup_window: 1\n      batch: {{ rows: {}, timeout: {}ms }}\n",
        plan.rows, plan.timeout_ms
    );
    let loaded = Topology::parse(&text, "topology.yaml", std::path::Path::new("."), Mode::Run, &|_| None);
    Arc::new(loaded.unwrap_or_else(|found| panic!("{found}")).topology)
}

/// Runs a plan. The same plan takes the same steps in every run.
pub fn run(plan: &Plan, record: bool) -> Result<Report, Failure> {
    let mut world = World::new(plan, record);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    let outcome = caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("?")))
    });
    let net = world.net.clone();
    let history = net.history();
    match outcome {
        Ok(()) => Ok(Report { counts: net.counts(), history }),
        Err(why) => Err(Failure { why, history }),
    }
}

impl<'p> World<'p> {
    fn new(plan: &'p Plan, record: bool) -> Self {
        let mut chance = Chance::new(plan.seed);
        let time = Time::new();
        let client = Client { group: GROUP.into(), ..Client::named("world") };
        let log = EmbeddedLog::in_memory(client, LogTime::Manual(time.shared())).expect("a log");
        log.admin().create(SOURCE, plan.partitions, &[]).expect("a topic");
        log.admin().create(DEAD, 1, &[]).expect("a topic");
        log.admin().create(PLANS, 1, highwater::log::CHANGELOG).expect("a topic");
        let [mut inputs, mut letters] = [(); 2].map(|()| Shadow::new(&log));
        (0..plan.partitions).for_each(|p| inputs.follow(&log, &TopicPartition::new(SOURCE, p)));
        letters.follow(&log, &TopicPartition::new(DEAD, 0));
        let net = Net::new(log.clone(), time.clone(), Chance::new(chance.next()), SESSION_MS, record);
        Self {
            plan,
            appender: log.appender().expect("an appender"),
            aborter: log.producer("other").expect("a producer"),
            group: log.group_consumer(99).expect("a consumer"),
            chance,
            time,
            net,
            log,
            model: Model::default(),
            topology: topology(plan),
            processes: (0..plan.processes).map(Process::new).collect(),
            inputs,
            letters,
            records: plan.records,
            number: 0,
            holding: false,
            expired: false,
        }
    }

    fn run(&mut self) -> Checked {
        let mut blows = self.plan.blows.iter().peekable();
        let mut step = 0;
        while step < self.plan.steps {
            self.net.step.store(step, Ordering::SeqCst);
            while let Some(blow) = blows.next_if(|blow| blow.step <= step) {
                self.strike(blow.what, step);
            }
            self.one_step(step)?;
            let left = u64::from(self.plan.steps - step);
            if self.records > 0 && self.chance.below(left) < u64::from(self.records) {
                self.produce();
            }
            if self.chance.one_in(20) {
                self.observe()?;
            }
            step += 1;
        }
        while self.records > 0 {
            self.produce();
        }
        self.heal(step);
        let begun = step;
        while !(step.is_multiple_of(10) && self.is_done()) {
            self.net.step.store(step, Ordering::SeqCst);
            self.one_step(step)?;
            step += 1;
            if step > begun + PATIENCE {
                let rows = self.model.rows().len();
                return Err(format!("no progress: {rows} rows are in, committed {:?}", self.committed()));
            }
        }
        for process in self.processes.iter().filter_map(|process| process.life.as_ref()) {
            process.shared.stop.store(true, Ordering::SeqCst);
        }
        while self.processes.iter().any(|process| process.life.is_some()) {
            self.processes.iter_mut().for_each(|process| process.restart_at = u32::MAX);
            self.net.step.store(step, Ordering::SeqCst);
            self.one_step(step)?;
            step += 1;
            if step > begun + 2 * PATIENCE {
                return Err("a clean stop did not come to its end".into());
            }
        }
        self.check()
    }

    fn one_step(&mut self, step: u32) -> Checked {
        self.net.deliver(false);
        let (doomed, counts) = self.model.deliver(step);
        counts.into_iter().for_each(|what| {
            self.net.tell(|| format!("the server: {what}"));
            self.net.count(what);
        });
        if let Some(fault) = self.model.fault() {
            return Err(fault);
        }
        self.time.advance(self.chance.below(5) as i64);
        for index in 0..self.processes.len() {
            let doomed = doomed.contains(&self.processes[index].name);
            if doomed && let Some(life) = &self.processes[index].life {
                life.line.die("once its insert is in");
                self.down(index, step);
            }
            if self.processes[index].life.is_none() && self.processes[index].restart_at <= step {
                self.start(index)?;
            }
        }
        let now = self.time.ms();
        let (mut runnable, mut wakes) = (Vec::new(), i64::MAX);
        for (index, process) in self.processes.iter().enumerate() {
            let Some(life) = &process.life else { continue };
            if now >= life.stalled_until {
                life.threads.get_on(step, life.clock.now());
            }
            let wake = life.stalled_until.max(life.clock.wake());
            if now < wake {
                wakes = wakes.min(wake);
            } else {
                runnable.push(index);
            }
        }
        if runnable.is_empty() {
            if wakes < i64::MAX {
                self.time.advance((wakes - now).clamp(1, 200));
            }
            return Ok(());
        }
        let index = runnable[self.chance.index(runnable.len())];
        self.step_one(index, step)
    }

    fn step_one(&mut self, index: usize, step: u32) -> Checked {
        let Some(life) = &mut self.processes[index].life else { return Ok(()) };
        let came = match std::mem::replace(&mut life.worker, Slot::Gone) {
            Slot::Gone => return Ok(()),
            Slot::Within(standing) => standing.go_on(),
            Slot::Between(worker) if life.line.may_stand_still() => {
                Standing::begin(worker, |gate| life.line.lend(Some(gate)))
            }
            Slot::Between(mut worker) => {
                let stepped = worker.step();
                Came::Over(worker, stepped)
            }
        };
        let (worker, stepped) = match came {
            Came::Over(worker, stepped) => (worker, stepped),
            Came::Stands(standing, ms) => {
                life.worker = Slot::Within(standing);
                self.stall(index, ms);
                return Ok(());
            }
        };
        life.line.lend(None);
        if life.line.is_dead() {
            self.down(index, step);
            return Ok(());
        }
        match stepped {
            Ok(Status::Working) => {
                life.worker = Slot::Between(worker);
                Ok(())
            }
            Ok(Status::Stopped) => {
                self.down(index, step);
                Ok(())
            }
            Err(error) => {
                let name = self.processes[index].name.clone();
                self.net.tell(|| format!("{name} stops: {error}"));
                let expected = self.processes[index].haunted
                    && error.to_string().contains("another process uses this instance's transactional id");
                worker.give_up();
                self.processes[index].life = None;
                self.processes[index].restart_at = step + self.chance.below(60) as u32;
                if expected { Ok(()) } else { Err(format!("{name} stopped without a reason: {error}")) }
            }
        }
    }

    fn start(&mut self, index: usize) -> Checked {
        let name = self.processes[index].name.clone();
        let client = Client {
            group: GROUP.into(),
            transaction_timeout: self.topology.transaction_timeout,
            ..Client::named(&name)
        };
        let line = Line::new(self.net.clone(), name.clone(), &self.log.as_client(client).expect("a client"));
        self.processes[index].armed.drain(..).for_each(|armed| line.arm(armed));
        let faulty: Arc<dyn Log> = Arc::new(FaultyLog(line.clone()));
        let clock = Arc::new(ProcessClock::new(self.time.clone(), Chance::new(self.chance.next())));
        let shared = Arc::new(Shared {
            topology: self.topology.clone(),
            log: faulty.clone(),
            database: Database::over(Box::new(NoStores), 0),
            metrics: Arc::new(Metrics::new(known())),
            health: Arc::new(Health::new(1, Duration::from_secs(3600), clock.now())),
            clock: clock.clone(),
            catalog: RwLock::new(Arc::new(Catalog::default())),
            stop: AtomicBool::new(false),
        });
        let threads = Threads::new(&self.model, &name, self.plan.inserts, Chance::new(self.chance.next()));
        let worker = Worker::new(Parts {
            shared: shared.clone(),
            sink: Arc::new(self.topology.sinks[0].clone()),
            log: faulty,
            server: Arc::new(self.model.clone()),
            inserts: Box::new(threads.clone()),
            index: 0,
            transactional_id: id(&name),
        });
        let worker = worker.map_err(|error| error.to_string())?;
        self.net.tell(|| format!("{name} starts"));
        let process = &mut self.processes[index];
        let worker = Slot::Between(Box::new(worker));
        process.life = Some(Life { line, shared, clock, worker, threads, stalled_until: 0 });
        process.haunted = false;
        Ok(())
    }

    fn down(&mut self, index: usize, step: u32) {
        self.processes[index].life = None;
        self.processes[index].restart_at = step + 1 + self.chance.below(60) as u32;
    }

    fn strike(&mut self, what: What, step: u32) {
        self.net.tell(|| format!("-- {what:?}"));
        let kind = format!("{what:?}");
        let life = |p: usize| self.processes.get(p).and_then(|process| process.life.as_ref());
        match what {
            What::Kill(p) | What::KillTwice(p, _) => {
                let Some(life) = life(p) else { return };
                life.line.die("of a signal");
                self.down(p, step);
                if let What::KillTwice(_, armed) = what {
                    self.processes[p].armed.push(armed);
                }
            }
            What::Arm(p, armed) => {
                // Counted where it goes wrong.
                if let Some(life) = life(p) {
                    life.line.arm(armed);
                }
                return;
            }
            What::DiesAtACommit(p, steps, ms) => {
                for (index, process) in self.processes.iter().enumerate() {
                    let Some(life) = &process.life else { continue };
                    let arm = |call, wrong| life.line.arm(Armed { call, skip: 0, wrong });
                    match index == p {
                        true => {
                            arm(Call::Commit, Wrong::Late(steps));
                            arm(Call::Commit, Wrong::CrashBefore);
                        }
                        false => arm(Call::Committed, Wrong::StandsBefore(ms)),
                    }
                }
            }
            What::StandsInATransaction(p, wrong, dies) => {
                let Some(life) = life(p) else { return };
                life.line.arm(Armed { call: Call::Offsets, skip: 0, wrong });
                if dies {
                    life.line.arm(Armed { call: Call::Commit, skip: 0, wrong: Wrong::CrashAfter });
                }
                let heirs = self.processes.iter().enumerate().filter(|(index, _)| *index != p);
                for life in heirs.filter_map(|(_, process)| process.life.as_ref()) {
                    let wrong = Wrong::StandsBefore(SESSION_MS as u32 - 1);
                    life.line.arm(Armed { call: Call::Committed, skip: 0, wrong });
                }
            }
            What::Stall(p, ms) => {
                if life(p).is_none() {
                    return;
                }
                self.stall(p, ms as i64);
            }
            What::Terminate(p) => {
                let Some(life) = life(p) else { return };
                life.shared.stop.store(true, Ordering::SeqCst);
            }
            What::Add if self.processes.len() < 4 => self.processes.push(Process::new(self.processes.len())),
            What::Add => return,
            What::Expire(p) => {
                let Some(member) = life(p).and_then(|life| life.line.member(0)) else { return };
                self.log.expire_member(GROUP, &member).expect("expired");
            }
            What::Stranger(p) => {
                let Some(name) = life(p).map(|life| life.line.name.clone()) else { return };
                self.processes[p].haunted = true;
                let mut stranger = self.log.producer(&id(&name)).expect("a producer");
                // Held markers may keep it from coming.
                let _ = stranger.init(Duration::ZERO);
            }
            What::HoldMarkers(which) => {
                let tp = match which % 2 {
                    0 => TopicPartition::new(PLANS, 0),
                    _ => TopicPartition::new(DEAD, 0),
                };
                self.log.hold_markers(&tp).expect("held");
                self.holding = true;
            }
            What::HoldOffsets => {
                self.log.hold_offsets(GROUP).expect("held");
                self.holding = true;
            }
            What::Release => self.release(),
            What::Clean => self.log.clean().expect("cleaned"),
            What::ExpireOffsets => {
                for index in 0..self.processes.len() {
                    if let Some(life) = &self.processes[index].life {
                        life.line.die("with all others");
                    }
                    self.down(index, step);
                }
                self.settle();
                self.expired = true;
                self.partitions().iter().for_each(|tp| self.log.expire_offset(GROUP, tp).expect("expired"));
            }
            What::Server(miss) => return self.model.miss(miss),
            What::Outage(steps) => self.model.be_down(step + steps),
            What::Wait(ms) => self.time.advance(ms as i64),
        }
        self.net.count(kind.split('(').next().unwrap_or_default());
    }

    /// It stands still; beyond the session it is missed.
    fn stall(&mut self, index: usize, ms: i64) {
        let Some(life) = &mut self.processes[index].life else { return };
        life.stalled_until = self.time.ms() + ms;
        if let (true, Some(member)) = (ms > SESSION_MS, life.line.member(0)) {
            self.log.expire_member(GROUP, &member).expect("expired");
        }
    }

    fn release(&mut self) {
        self.log.release_held().expect("released");
        self.holding = false;
    }

    /// What the dead left open is over.
    fn settle(&mut self) {
        self.net.deliver(true);
        self.time.advance(TRANSACTION_TIMEOUT_MS + 1);
        self.release();
    }

    /// Nothing goes wrong from now on.
    fn heal(&mut self, step: u32) {
        self.net.tell(|| "-- nothing goes wrong any more".into());
        self.release();
        self.net.deliver(true);
        self.model.heal(step);
        for process in &mut self.processes {
            process.restart_at = step;
            process.armed.clear();
            if let Some(life) = &mut process.life {
                life.line.disarm();
                life.stalled_until = 0;
            }
        }
    }

    fn partitions(&self) -> Vec<TopicPartition> {
        (0..self.plan.partitions).map(|partition| TopicPartition::new(SOURCE, partition)).collect()
    }

    /// The source sends a few records, committed or not.
    fn produce(&mut self) {
        let count = (1 + self.chance.below(6) as u32).min(self.records);
        self.records -= count;
        let happens = |chance: &mut Chance, one_in: u64| one_in > 0 && chance.one_in(one_in);
        let aborted = happens(&mut self.chance, self.plan.aborted);
        if aborted && (self.aborter.init(Duration::ZERO).is_err() || self.aborter.begin().is_err()) {
            return;
        }
        for _ in 0..count {
            self.number += 1;
            let n = self.number;
            let value = if happens(&mut self.chance, self.plan.bad) {
                ["not json", "[1]", "{\"n\":null}", "{\"n\":9223372036854775808}"][self.chance.index(4)].to_owned()
            } else if happens(&mut self.chance, self.plan.refused) {
                format!("{{\"n\":-{n}}}")
            } else if happens(&mut self.chance, self.plan.wide) {
                format!("{{\"more\":{n},\"n\":{n}}}")
            } else {
                format!("{{\"n\":{n}}}")
            };
            let value = Some(value).filter(|_| !self.chance.one_in(60));
            let record = Outgoing {
                topic: SOURCE,
                partition: Some(self.chance.below(self.plan.partitions as u64) as i32),
                key: Some(b"k"),
                value: value.as_deref().map(str::as_bytes),
                headers: &[],
                timestamp: None,
            };
            match aborted {
                true => drop(self.aborter.send(&record)),
                false => drop(self.appender.send(&record).expect("sent")),
            }
        }
        match aborted {
            true => drop(self.aborter.abort(Duration::ZERO)),
            false => self.appender.flush(Duration::ZERO).expect("written"),
        }
    }

    /// Committed offsets, if no open transaction can change them.
    fn committed(&mut self) -> Option<BTreeMap<TopicPartition, i64>> {
        let tps = self.partitions();
        let offsets = self.group.committed(&tps, Duration::ZERO).ok()?;
        Some(tps.into_iter().zip(offsets).filter_map(|(tp, offset)| Some((tp, offset?))).collect())
    }

    /// Rows that are to be in the table, and the places of records that are to be dead letters; below these offsets.
    fn truth(&mut self, below: Option<&BTreeMap<TopicPartition, i64>>) -> (BTreeSet<i64>, BTreeSet<String>) {
        self.inputs.refresh();
        let (mut rows, mut letters) = (BTreeSet::new(), BTreeSet::new());
        for (tp, read) in self.inputs.of(SOURCE) {
            let covered = below.is_none_or(|below| below.get(tp).is_some_and(|end| read.offset < *end));
            let Some(value) = read.value.as_ref().filter(|_| covered) else { continue };
            let row: Option<serde_json::Value> = serde_json::from_slice(value).ok();
            match row.and_then(|row| row.get("n")?.as_i64()).filter(|n| *n >= 0) {
                Some(n) => drop(rows.insert(n)),
                None => drop(letters.insert(format!("{tp}@{}", read.offset))),
            }
        }
        (rows, letters)
    }

    fn letters(&mut self) -> Result<BTreeSet<String>, String> {
        self.letters.refresh();
        let mut found = BTreeSet::new();
        for (_, read) in self.letters.of(DEAD) {
            let key = String::from_utf8_lossy(read.key.as_deref().unwrap_or_default()).into_owned();
            if !found.insert(key.clone()) {
                return Err(format!("dead letter {key} twice"));
            }
        }
        Ok(found)
    }

    fn inserted(&self) -> Result<BTreeSet<i64>, String> {
        let mut found = BTreeSet::new();
        match self.model.rows().into_iter().find(|n| !found.insert(*n)) {
            Some(n) => Err(format!("row {n} is in the table twice")),
            None => Ok(found),
        }
    }

    /// At any time: nothing twice, and nothing that no committed plan covers.
    fn observe(&mut self) -> Checked {
        let inserted = self.inserted()?;
        if self.holding || self.expired {
            return Ok(());
        }
        let letters = self.letters()?;
        let Some(committed) = self.committed() else { return Ok(()) };
        if committed.is_empty() {
            return Ok(());
        }
        self.net.count("looks at what is visible midway");
        let (rows, _) = self.truth(Some(&committed));
        // Offsets go back where a plan is cut; what was told of its records stays told.
        let (_, bad) = self.truth(None);
        match (inserted.difference(&rows).next(), letters.difference(&bad).next()) {
            (Some(row), _) => {
                Err(format!("row {row} is in the table, and no committed offset covers it: {committed:?}"))
            }
            (_, Some(letter)) => Err(format!("dead letter {letter} of a record that is a row")),
            _ => Ok(()),
        }
    }

    fn is_done(&mut self) -> bool {
        self.inputs.refresh();
        let Some(committed) = self.committed() else { return false };
        let (rows, bad) = self.truth(None);
        let letters = self.letters().map_or(usize::MAX, |letters| letters.len());
        let last =
            |tp: &TopicPartition| self.inputs.records.get(tp).and_then(|reads| reads.last()).map(|read| read.offset);
        let covered = self
            .partitions()
            .iter()
            .all(|tp| last(tp).is_none_or(|last| committed.get(tp).is_some_and(|committed| *committed > last)));
        covered && self.model.rows().len() >= rows.len() && letters >= bad.len()
    }

    fn check(&mut self) -> Checked {
        self.settle();
        self.model.heal(u32::MAX);
        let _ = self.model.deliver(u32::MAX);
        let (rows, bad) = self.truth(None);
        let (inserted, letters) = (self.inserted()?, self.letters()?);
        if inserted != rows {
            let (lost, more) = (rows.difference(&inserted).next(), inserted.difference(&rows).next());
            return Err(format!("{} rows of {}; lost {lost:?}, never sent {more:?}", inserted.len(), rows.len()));
        }
        if letters != bad {
            let (lost, more) = (bad.difference(&letters).next(), letters.difference(&bad).next());
            return Err(format!("{} dead letters of {}; lost {lost:?}, more {more:?}", letters.len(), bad.len()));
        }
        (0..rows.len()).for_each(|_| self.net.count("rows"));
        (0..bad.len()).for_each(|_| self.net.count("dead letters"));
        Ok(())
    }
}

impl Process {
    fn new(number: usize) -> Self {
        Self { name: format!("p{number}"), life: None, restart_at: 0, armed: Vec::new(), haunted: false }
    }
}

fn id(name: &str) -> String {
    format!("sim-{name}-sink-click")
}

/// A sink has none.
struct NoStores;

impl database::Files for NoStores {
    fn make(&self, _: &str) -> Result<bool, StoreError> {
        Err(StoreError::InUse)
    }
    fn get(&self, _: &str, _: &[u8], _: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        Err(StoreError::InUse)
    }
    fn write(&self, _: &str, _: &[database::Put<'_>]) -> Result<(), StoreError> {
        Err(StoreError::InUse)
    }
    fn wipe(&self, _: &str) -> Result<(), StoreError> {
        Err(StoreError::InUse)
    }
    fn flush(&self, _: &str, _: bool) -> Result<(), StoreError> {
        Err(StoreError::InUse)
    }
    fn size(&self, _: &str) -> (u64, u64) {
        (0, 0)
    }
    fn each(&self, _: &str, _: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        Err(StoreError::InUse)
    }
}
