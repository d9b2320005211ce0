//! One run: processes take their steps in an order that chance gives, blows fall, and in the end all must be right.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use highwater::log::embedded::{EmbeddedLog, Time as LogTime};
use highwater::log::{Appender, Client, GroupConsumer, Log, LogError, Membership, Outgoing, Producer, TopicPartition};
use highwater::topology::{Mode, Topology};

use crate::chance::Chance;
use crate::plan::{Deed, Plan, What};
use crate::process::{Counted, GROUP, Life, Process, Stepped};
use crate::shadow::Shadow;
use crate::source::{Event, Source};
use crate::time::Time;
use crate::truth::{CHANGELOG, DEAD, Output, PASSES, RAW_SOURCE, RAW_TARGET, SALT, SOURCE, TARGET, Truth, check_store};
use crate::wire::Net;

const TOPOLOGY: &str = r"
application: sim
embedded: log
commit_interval: 30ms
transaction_timeout: 6s
secrets: { pii: '${SALT}' }
defaults: { on_error: { dead_letter: { topic: dead } } }
streams:
  rows:
    from: in
    steps: [dedup, FILTER { mask: { unlisted: passthrough, fields: { email: hash } } }]
    to: out
  raw:
    from: raw.in
    steps: [{ mask: none }]
    to: raw.out
";
const TRANSACTION_TIMEOUT_MS: i64 = 6000;
const SESSION_MS: i64 = 3000;
/// Steps in which everything must come to rest once nothing goes wrong any more.
const PATIENCE: u32 = 20_000;

/// What a run that went well has to tell.
#[derive(Debug, Default, Clone)]
pub struct Report {
    pub counts: BTreeMap<String, u64>,
    pub steps: u64,
    pub records: u64,
    pub kills_inside: u64,
    pub history: Vec<String>,
}

pub struct Failure {
    pub why: String,
    pub history: Vec<String>,
}

/// How far an operator's deed has come.
#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// Everybody is told to stop.
    Stopping,
    /// It is done, and somebody must stop with a text that says so.
    Expecting(&'static str),
    /// Seen; everybody is told to stop for the way out.
    Mending,
}

struct World<'p> {
    plan: &'p Plan,
    chance: Chance,
    time: Time,
    net: Arc<Net>,
    log: EmbeddedLog,
    topology: Arc<Topology>,
    processes: Vec<Process>,
    sources: [(&'static str, Source); 2],
    appender: Box<dyn Appender>,
    aborter: Box<dyn Producer>,
    inputs: Shadow,
    outputs: Shadow,
    changelogs: Shadow,
    truth: Truth,
    deed: Option<(Deed, Phase)>,
    /// Where the deed was done.
    scene: Option<(TopicPartition, i64, i64)>,
    holding: bool,
    batches: u32,
    counted: Counted,
    threads: usize,
    group: Box<dyn GroupConsumer>,
}

fn topology(filtered: bool) -> Arc<Topology> {
    static MADE: OnceLock<[Arc<Topology>; 2]> = OnceLock::new();
    let make = |filter: &str| {
        let env = |name: &str| (name == "SALT").then(|| SALT.to_string());
        let text = TOPOLOGY.replace("FILTER", filter);
        let loaded = Topology::parse(&text, "topology.yaml", std::path::Path::new("."), Mode::Run, &env);
        Arc::new(loaded.unwrap_or_else(|_| panic!("a topology")).topology)
    };
    let filter = format!("{{ filter: {{ field: email, starts_with: {PASSES} }} }},");
    let made = MADE.get_or_init(|| [make(""), make(&filter)]);
    made[usize::from(filtered)].clone()
}

/// Of the sources: one that commits each record, one that aborts.
fn writers(log: &EmbeddedLog) -> (Box<dyn Appender>, Box<dyn Producer>) {
    (log.appender().expect("an appender"), log.producer("debezium").expect("a producer"))
}

type Checked = Result<(), String>;

/// Runs a plan. The same plan takes the same steps in every run.
pub fn run(plan: &Plan, record: bool) -> Result<Report, Failure> {
    let mut world = World::new(plan, record);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run()));
    let outcome = caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or("?")))
    });
    let net = world.net.clone();
    match outcome {
        Ok(steps) => Ok(Report {
            counts: net.counts(),
            steps: steps.into(),
            records: world.truth.records() as u64,
            kills_inside: net.kills_inside() as u64,
            history: net.history(),
        }),
        Err(why) => Err(Failure { why, history: net.history() }),
    }
}

impl<'p> World<'p> {
    fn new(plan: &'p Plan, record: bool) -> Self {
        let mut chance = Chance::new(plan.seed);
        let time = Time::new();
        let client = Client { group: GROUP.into(), ..Client::named("world") };
        let log = EmbeddedLog::in_memory(client, LogTime::Manual(time.shared())).expect("a log");
        let admin = log.admin();
        admin.create(SOURCE, plan.partitions, &[]).expect("a topic");
        admin.create(RAW_SOURCE, 1, &[]).expect("a topic");
        admin.create(TARGET, 2, &[]).expect("a topic");
        admin.create(RAW_TARGET, 1, &[]).expect("a topic");
        admin.create(DEAD, 1, &[]).expect("a topic");
        admin.create_changelog(CHANGELOG, plan.partitions).expect("a topic");
        let (appender, aborter) = writers(&log);
        let shadows = [(); 3].map(|()| Shadow::new(&log));
        let [inputs, outputs, changelogs] = shadows;
        let group = log.group_consumer(99).expect("a consumer");
        let sources = [
            (SOURCE, Source::new(plan.partitions, plan.keys, plan.habits, Chance::new(chance.next()))),
            (RAW_SOURCE, Source::new(1, plan.keys, plan.habits, Chance::new(chance.next()))),
        ];
        let net = Net::new(log.clone(), time.clone(), Chance::new(chance.next()), SESSION_MS, record);
        let mut world = Self {
            plan,
            chance,
            time,
            net,
            log,
            topology: topology(plan.filtered),
            processes: (0..plan.processes).map(Process::new).collect(),
            sources,
            appender,
            aborter,
            inputs,
            outputs,
            changelogs,
            truth: Truth::new(plan.filtered),
            deed: None,
            scene: None,
            holding: false,
            batches: plan.batches,
            counted: Counted::default(),
            threads: plan.threads,
            group,
        };
        world.follow();
        world
    }

    fn partitions_of(&self, topic: &str) -> Vec<TopicPartition> {
        let info = self.log.admin().describe(topic).expect("an answer").expect("a topic");
        (0..info.partitions).map(|partition| TopicPartition::new(topic, partition)).collect()
    }

    fn source_partitions(&self) -> Vec<TopicPartition> {
        [SOURCE, RAW_SOURCE].iter().flat_map(|topic| self.partitions_of(topic)).collect()
    }

    fn follow(&mut self) {
        self.source_partitions().iter().for_each(|tp| self.inputs.follow(&self.log, tp));
        self.partitions_of(CHANGELOG).iter().for_each(|tp| self.changelogs.follow(&self.log, tp));
        for topic in [TARGET, RAW_TARGET, DEAD] {
            self.partitions_of(topic).iter().for_each(|tp| self.outputs.follow(&self.log, tp));
        }
    }

    fn run(&mut self) -> Result<u32, String> {
        let net = self.net.clone();
        let mut blows = self.plan.blows.iter().peekable();
        let mut step = 0;
        // With blows.
        while step < self.plan.steps || self.deed.is_some() {
            net.step.store(step, std::sync::atomic::Ordering::SeqCst);
            while let Some(blow) = blows.next_if(|blow| blow.step <= step) {
                self.strike(blow.what);
            }
            self.one_step(step)?;
            self.advance_deed(step)?;
            let left = u64::from(self.plan.steps.saturating_sub(step)).max(1);
            if self.batches > 0 && self.chance.below(left) < u64::from(self.batches) {
                self.batches -= 1;
                self.send();
            }
            if self.chance.one_in(80) {
                self.observe()?;
            }
            step += 1;
            if step > self.plan.steps + PATIENCE {
                return Err(format!("a deed did not come to its end: {:?}", self.deed.map(|(deed, _)| deed)));
            }
        }
        while self.batches > 0 {
            self.batches -= 1;
            self.send();
        }
        // Without.
        self.heal();
        let begun = step;
        loop {
            net.step.store(step, std::sync::atomic::Ordering::SeqCst);
            self.one_step(step)?;
            step += 1;
            if step % 10 == 0 && self.is_done()? {
                break;
            }
            if step > begun + PATIENCE {
                return Err(format!("no progress: {}", self.lags()));
            }
        }
        self.processes.iter().for_each(Process::stop);
        while self.processes.iter().any(|process| !process.is_down()) {
            self.processes.iter_mut().for_each(|process| process.restart_at = None);
            net.step.store(step, std::sync::atomic::Ordering::SeqCst);
            self.one_step(step)?;
            step += 1;
            if step > begun + 2 * PATIENCE {
                return Err("a clean stop did not come to its end".into());
            }
        }
        self.check_all()?;
        Ok(step)
    }

    /// Somebody takes a step, and time goes on.
    fn one_step(&mut self, step: u32) -> Checked {
        self.net.deliver(false);
        self.time.advance(self.chance.below(5) as i64);
        let stopping = matches!(self.deed, Some((_, Phase::Stopping | Phase::Mending)));
        for index in 0..self.processes.len() {
            let process = &mut self.processes[index];
            if process.is_down() && process.restart_at.is_some_and(|at| at <= step) && !stopping {
                let chance = Chance::new(self.chance.next());
                match process.start(&self.net, &self.log, &self.topology, self.threads, chance) {
                    Ok(()) | Err(LogError::Retry(_)) => {}
                    Err(error) => self.stopped(index, Some(error.to_string()), step)?,
                }
            }
            if stopping {
                self.processes[index].stop();
            }
        }
        let now = self.time.ms();
        let mut runnable = Vec::new();
        let mut wakes = i64::MAX;
        for (index, process) in self.processes.iter().enumerate() {
            let Some(life) = &process.life else { continue };
            let workers = life.runnable(now);
            if workers.is_empty() {
                wakes = wakes.min(life.wakes());
            }
            runnable.extend(workers.into_iter().map(|worker| (index, worker)));
        }
        if runnable.is_empty() {
            if wakes < i64::MAX {
                self.time.advance((wakes - now).clamp(1, 200));
            }
            return Ok(());
        }
        let (index, worker) = runnable[self.chance.index(runnable.len())];
        match self.processes[index].step(worker) {
            Stepped::On => Ok(()),
            Stepped::Stands(ms) => {
                self.stall(index, ms);
                Ok(())
            }
            Stepped::Dead => {
                self.net.count("kills");
                self.down(index, step);
                Ok(())
            }
            Stepped::Ended(why) => {
                let gone = self.processes[index].life.as_ref().is_none_or(Life::has_ended);
                self.stopped(index, why, step)?;
                if gone {
                    self.down(index, step);
                }
                Ok(())
            }
        }
    }

    fn down(&mut self, index: usize, step: u32) {
        let process = &mut self.processes[index];
        let counted = process.counted();
        self.counted.records_in += counted.records_in;
        self.counted.records_out += counted.records_out;
        self.counted.dead_letters += counted.dead_letters;
        process.bury(&mut self.chance);
        process.restart_at = process.restart_at.or(Some(step + self.chance.below(60) as u32));
    }

    /// A stop that only a person can help with must have a reason.
    fn stopped(&mut self, index: usize, why: Option<String>, step: u32) -> Checked {
        let Some(why) = why else { return Ok(()) };
        self.net.count("stops");
        if let Some((deed, Phase::Expecting(text))) = self.deed
            && why.contains(text)
        {
            self.net.count(format!("{deed:?} said").split('(').next().unwrap_or_default().to_string());
            self.deed = Some((deed, Phase::Mending));
            return Ok(());
        }
        let process = &self.processes[index];
        let stopping =
            process.life.as_ref().is_some_and(|life| life.shared.stop.load(std::sync::atomic::Ordering::SeqCst));
        let expected = (process.haunted && why.contains("another process uses this instance's transactional id"))
            || why.contains("No space left on device")
            || (stopping && why.contains("gave up waiting for the open transaction to end"))
            || (matches!(self.deed, Some((_, Phase::Mending))) && self.scene.is_some());
        if expected {
            // Whoever looks after it starts it again.
            self.processes[index].restart_at = Some(step + self.chance.below(60) as u32);
            return Ok(());
        }
        Err(format!("{} stopped without a reason that a person could mend: {why}", process.name))
    }

    fn strike(&mut self, what: What) {
        let kind = format!("{what:?}");
        let kind = kind.split('(').next().unwrap_or_default().to_string();
        let step = self.net.step.load(std::sync::atomic::Ordering::SeqCst);
        self.net.tell(|| format!("-- {what:?}"));
        let count = self.processes.len();
        let hit = |index: usize| Some(index).filter(|index| *index < count);
        match what {
            // Until somebody releases it: nobody would, while a deed waits for everybody.
            What::HoldMarkers(_) | What::HoldOffsets if self.deed.is_some() => return,
            What::Kill(p) | What::KillTwice(p, _) => {
                if let (What::KillTwice(_, armed), Some(p)) = (what, hit(p)) {
                    self.processes[p].armed.push(armed);
                }
                if let Some(life) = hit(p).and_then(|p| self.processes[p].life.as_ref()) {
                    life.line.die("of a signal");
                    self.net.count(kind);
                    self.net.count("kills");
                    self.down(p, step);
                }
                return;
            }
            What::LoseDisk(p) | What::LoseStore(p) | What::OldDisk(p) | What::SpoilStore(p) => {
                let Some(p) = hit(p) else { return };
                self.kill_with_disk(p, step);
                let disk = self.processes[p].disk.clone();
                match what {
                    What::LoseDisk(_) => disk.lose(),
                    What::LoseStore(_) => disk.lose_one(&mut self.chance),
                    What::SpoilStore(_) => disk.spoil_one(&mut self.chance),
                    _ if !disk.restore_backup() => return,
                    _ => {}
                }
            }
            What::SwapDisks(p, other) => {
                let (Some(p), Some(other)) = (hit(p), hit(other)) else { return };
                self.kill_with_disk(p, step);
                self.kill_with_disk(other, step);
                self.processes[p].disk.swap(&self.processes[other].disk);
            }
            What::BackUp(p) => {
                let Some(p) = hit(p) else { return };
                self.processes[p].disk.back_up();
            }
            What::FillDisk(p, writes) => {
                let Some(p) = hit(p) else { return };
                self.processes[p].disk.fill(writes);
            }
            What::Arm(p, armed) => {
                // Counted where it goes wrong.
                if let Some(life) = hit(p).and_then(|p| self.processes[p].life.as_ref()) {
                    life.line.arm(armed);
                }
                return;
            }
            What::Stall(p, ms) => {
                let Some(p) = hit(p) else { return };
                self.stall(p, ms as i64);
            }
            What::Terminate(p) => {
                let Some(p) = hit(p) else { return };
                self.processes[p].stop();
            }
            What::Remove(p) => {
                let Some(p) = hit(p).filter(|p| *p > 0) else { return };
                self.processes[p].stop();
                // A long way off: it comes back when nothing goes wrong any more.
                self.processes[p].restart_at = Some(u32::MAX);
            }
            What::Add => {
                if count >= 4 {
                    return;
                }
                self.processes.push(Process::new(count));
            }
            What::Expire(p, worker) => {
                let life = hit(p).and_then(|p| self.processes[p].life.as_ref());
                let Some(member) = life.and_then(|life| life.line.member(worker)) else { return };
                self.log.expire_member(GROUP, &member).expect("expired");
            }
            What::Stranger(p, worker) => {
                let Some(p) = hit(p).filter(|p| !self.processes[*p].is_down()) else { return };
                if worker >= self.threads {
                    return;
                }
                self.processes[p].haunted = true;
                let mut stranger = self.log.producer(&self.processes[p].transactional_id(worker)).expect("a producer");
                // Held markers may keep it from coming.
                let _ = stranger.init(Duration::ZERO);
            }
            What::HoldMarkers(which) => {
                let mut all = self.partitions_of(CHANGELOG);
                all.extend(self.partitions_of(TARGET));
                all.extend(self.partitions_of(DEAD));
                let tp = &all[(which % all.len() as u64) as usize];
                self.log.hold_markers(tp).expect("held");
                self.holding = true;
            }
            What::HoldOffsets => {
                self.log.hold_offsets(GROUP).expect("held");
                self.holding = true;
            }
            What::Release => self.release(),
            What::Clean => {
                self.refresh();
                self.log.clean().expect("cleaned");
            }
            What::Retention => {
                self.refresh();
                let Some(committed) = self.committed() else { return };
                committed.iter().for_each(|(tp, at)| self.log.truncate(tp, *at).expect("truncated"));
            }
            What::Survey(p) => {
                let life = hit(p).and_then(|p| self.processes[p].life.as_ref());
                // Whoever stands still looks at nothing.
                let Some(life) = life.filter(|life| life.within().is_none()) else { return };
                let surveyed = life.shared.survey();
                if life.line.is_dead() {
                    self.down(p, step);
                } else {
                    // Nothing that a survey would stop for happens while processes run.
                    surveyed.expect("nothing to stop for");
                }
            }
            What::Wait(ms) => self.time.advance(ms as i64),
            What::Operator(deed) => {
                if self.deed.is_none() {
                    self.deed = Some((deed, Phase::Stopping));
                    self.release();
                }
            }
        }
        self.net.count(kind);
    }

    /// It stands still; beyond the session it is missed.
    fn stall(&mut self, index: usize, ms: i64) {
        let Some(life) = &mut self.processes[index].life else { return };
        life.stalled_until = self.time.ms() + ms;
        if ms > SESSION_MS {
            let members = (0..self.threads).filter_map(|worker| life.line.member(worker));
            members.for_each(|member| self.log.expire_member(GROUP, &member).expect("expired"));
        }
    }

    fn kill_with_disk(&mut self, index: usize, step: u32) {
        if let Some(life) = &self.processes[index].life {
            life.line.die("with its disk");
            self.down(index, step);
        }
    }

    fn release(&mut self) {
        self.log.release_held().expect("released");
        self.holding = false;
    }

    /// Nothing goes wrong from now on.
    fn heal(&mut self) {
        self.net.tell(|| "-- nothing goes wrong any more".into());
        self.release();
        self.net.deliver(true);
        for process in &mut self.processes {
            process.disk.fill(0);
            process.armed.clear();
            process.restart_at = Some(0);
            if let Some(life) = &mut process.life {
                life.line.disarm();
                life.stalled_until = 0;
            }
        }
    }

    fn send(&mut self) {
        let which = usize::from(self.chance.one_in(4));
        let (topic, source) = &mut self.sources[which];
        let (topic, events) = (*topic, source.next());
        let outgoing = |event: &Event| (event.partition, event.key.clone(), event.value.clone());
        if events.iter().any(|event| event.aborted) {
            let producer = &mut self.aborter;
            // Where its last transaction is still being ended, it comes some other time.
            if producer.init(Duration::ZERO).is_err() || producer.begin().is_err() {
                return;
            }
            for event in &events {
                let (partition, key, value) = outgoing(event);
                let record = Outgoing {
                    topic,
                    partition: Some(partition),
                    key: key.as_deref().map(str::as_bytes),
                    value: value.as_deref().map(str::as_bytes),
                    headers: &[],
                    timestamp: None,
                };
                let _ = producer.send(&record);
            }
            let _ = producer.abort(Duration::ZERO);
            return;
        }
        for event in &events {
            let (partition, key, value) = outgoing(event);
            let record = Outgoing {
                topic,
                partition: Some(partition),
                key: key.as_deref().map(str::as_bytes),
                value: value.as_deref().map(str::as_bytes),
                headers: &[],
                timestamp: None,
            };
            self.appender.send(&record).expect("sent");
        }
        self.appender.flush(Duration::ZERO).expect("written");
        self.net.tell(|| format!("{topic} gets {} records", events.len()));
    }

    fn refresh(&mut self) {
        self.inputs.refresh();
        self.truth.sees(&self.inputs);
        self.outputs.refresh();
        self.changelogs.refresh();
    }

    /// Committed offsets, if no open transaction can change them.
    fn committed(&mut self) -> Option<BTreeMap<TopicPartition, i64>> {
        let tps = self.source_partitions();
        let offsets = self.group.committed(&tps, Duration::ZERO).ok()?;
        Some(tps.into_iter().zip(offsets).filter_map(|(tp, offset)| Some((tp, offset?))).collect())
    }

    /// At any time: nothing is out that the committed offsets do not cover.
    fn observe(&mut self) -> Checked {
        if self.holding || self.deed.is_some() {
            return Ok(());
        }
        // What is open now may end between two looks: offsets are looked at last.
        self.refresh();
        let Some(committed) = self.committed() else { return Ok(()) };
        self.net.count("observations");
        Output::seen(&self.outputs)?
            .is_part_of(&self.truth.expected(&committed))
            .map_err(|e| format!("seen midway: {e}"))
    }

    fn ends(&self) -> BTreeMap<TopicPartition, i64> {
        let end = |tp: &TopicPartition| self.log.admin().bounds(tp).expect("bounds").end;
        self.source_partitions().into_iter().map(|tp| (tp.clone(), end(&tp))).collect()
    }

    fn lags(&mut self) -> String {
        let ends = self.ends();
        let committed = self.committed();
        format!("committed {committed:?}, ends {ends:?}")
    }

    /// Everything is processed, but for aborted records and markers at the end, which nobody hands over.
    fn is_done(&mut self) -> Result<bool, String> {
        self.inputs.refresh();
        self.truth.sees(&self.inputs);
        let Some(committed) = self.committed() else { return Ok(false) };
        for tp in self.source_partitions() {
            let last = self.inputs.records.get(&tp).and_then(|reads| reads.last()).map(|read| read.offset);
            if last.is_some_and(|last| committed.get(&tp).copied().unwrap_or(0) <= last) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sets the group's offsets while nobody is in it.
    fn set_offsets(&mut self, offsets: &[(TopicPartition, i64)]) {
        if offsets.is_empty() {
            return;
        }
        let mut operator = self.log.producer("operator").expect("a producer");
        let nobody = Membership { group: GROUP.into(), member: String::new(), generation: -1, instance: None };
        operator.init(Duration::ZERO).expect("ready");
        operator.begin().expect("begun");
        operator.send_offsets(offsets, &nobody, Duration::ZERO).expect("sent");
        operator.commit(Duration::ZERO).expect("committed");
    }

    fn advance_deed(&mut self, step: u32) -> Checked {
        let Some((deed, phase)) = self.deed else { return Ok(()) };
        if matches!(phase, Phase::Expecting(_)) {
            return Ok(());
        }
        self.processes.iter_mut().for_each(|process| {
            if let Some(life) = &mut process.life {
                life.stalled_until = 0;
            }
        });
        if self.processes.iter().any(|process| !process.is_down()) {
            return Ok(());
        }
        // What the dead left open is over.
        self.net.deliver(true);
        self.time.advance(TRANSACTION_TIMEOUT_MS + 1);
        self.release();
        self.refresh();
        let committed = self.committed().ok_or("offsets are unstable though nobody is there")?;
        self.deed = match phase {
            Phase::Stopping => self.act(deed, &committed),
            _ => {
                self.mend(deed, &committed);
                None
            }
        };
        self.processes.iter_mut().for_each(|process| process.restart_at = process.restart_at.map(|at| at.min(step)));
        Ok(())
    }

    /// The first offset that a source partition still has.
    fn start(&self, tp: &TopicPartition) -> i64 {
        self.log.admin().bounds(tp).expect("bounds").start
    }

    fn act(&mut self, deed: Deed, committed: &BTreeMap<TopicPartition, i64>) -> Option<(Deed, Phase)> {
        self.net.tell(|| format!("everybody is down: {deed:?}"));
        match deed {
            Deed::Rewind(n) => {
                let mut chance = Chance::new(n);
                let to = |tp: &TopicPartition, at: i64, n: u64| {
                    self.start(tp) + (n % (at - self.start(tp) + 1) as u64) as i64
                };
                let offsets: Vec<_> =
                    committed.iter().map(|(tp, at)| (tp.clone(), to(tp, *at, chance.below(1 << 32)))).collect();
                offsets.iter().for_each(|(tp, to)| self.truth.moved(tp, committed[tp], *to));
                self.set_offsets(&offsets);
                None
            }
            Deed::StartOver => {
                let offsets: Vec<_> = committed.keys().map(|tp| (tp.clone(), self.start(tp))).collect();
                offsets.iter().for_each(|(tp, to)| self.truth.moved(tp, committed[tp], *to));
                self.set_offsets(&offsets);
                self.processes.iter().for_each(|process| process.disk.lose());
                None
            }
            Deed::Truncate => {
                (0..3).for_each(|_| self.send());
                self.refresh();
                let ends = self.ends();
                let behind: Vec<_> = committed.iter().filter(|(tp, at)| ends[*tp] > **at).collect();
                let (tp, at) = behind.first()?;
                let start = *at + 1 + self.chance.below((ends[*tp] - *at) as u64) as i64;
                self.log.truncate(tp, start).expect("truncated");
                self.scene = Some(((*tp).clone(), **at, start));
                Some((deed, Phase::Expecting("were deleted before they were processed")))
            }
            Deed::ExpireOffsets => {
                let (tp, at) = committed.iter().find(|(tp, at)| &*tp.topic == SOURCE && **at > 0)?;
                self.log.expire_offset(GROUP, tp).expect("expired");
                let to = if self.chance.one_in(2) { self.start(tp) } else { *at };
                self.scene = Some((tp.clone(), *at, to));
                Some((deed, Phase::Expecting("has no committed offset, but its store has processed it up to")))
            }
            Deed::Grow => {
                self.log.grow(SOURCE, self.plan.partitions + 1).expect("grown");
                self.scene = Some((TopicPartition::new(SOURCE, 0), 0, 0));
                Some((deed, Phase::Expecting("keys move between partitions when their number changes")))
            }
            Deed::Recreate => {
                let tps = self.partitions_of(SOURCE);
                self.log.admin().delete(SOURCE).expect("deleted");
                self.log.admin().create(SOURCE, self.plan.partitions, &[]).expect("created");
                (self.appender, self.aborter) = writers(&self.log);
                for tp in &tps {
                    self.truth.recreated(tp, committed.get(tp).copied().unwrap_or(0));
                    self.inputs.follow(&self.log, tp);
                }
                None
            }
        }
    }

    /// The way out that the stop told.
    fn mend(&mut self, deed: Deed, committed: &BTreeMap<TopicPartition, i64>) {
        self.net.tell(|| format!("everybody is down: the way out of {deed:?}"));
        let Some((tp, at, to)) = self.scene.take() else { return };
        if deed == Deed::Grow {
            for topic in [CHANGELOG, TARGET, RAW_TARGET, DEAD] {
                self.log.admin().delete(topic).expect("deleted");
            }
            let partitions = self.plan.partitions + 1;
            self.log.admin().create_changelog(CHANGELOG, partitions).expect("created");
            self.log.admin().create(TARGET, 2, &[]).expect("created");
            self.log.admin().create(RAW_TARGET, 1, &[]).expect("created");
            self.log.admin().create(DEAD, 1, &[]).expect("created");
            self.processes.iter().for_each(|process| process.disk.lose());
            let beginning: BTreeMap<_, _> = committed.keys().map(|tp| (tp.clone(), self.start(tp))).collect();
            self.set_offsets(&beginning.clone().into_iter().collect::<Vec<_>>());
            self.truth.start_over(&beginning);
            for shadow in [&mut self.outputs, &mut self.changelogs, &mut self.inputs] {
                shadow.records.clear();
            }
            self.follow();
            return;
        }
        self.truth.moved(&tp, at, to);
        self.set_offsets(&[(tp, to)]);
    }

    fn check_all(&mut self) -> Checked {
        self.net.deliver(true);
        self.time.advance(TRANSACTION_TIMEOUT_MS + 1);
        self.release();
        self.refresh();
        let committed = self.committed().ok_or("offsets are unstable at the end")?;
        Output::seen(&self.outputs)?.equals(&self.truth.expected(&committed))?;
        self.truth.check_changelog(&self.changelogs, &committed)?;
        let id = self.log.admin().describe(CHANGELOG).expect("an answer").expect("a topic").id;
        for process in &self.processes {
            for (name, bytes) in process.disk.stores() {
                check_store(&name, &bytes, &self.changelogs, &id).map_err(|e| format!("{}: {e}", process.name))?;
            }
        }
        self.check_counters(&committed)
    }

    /// Counters tell committed work: never more, and all of it where no process lost sight of a commit.
    fn check_counters(&self, committed: &BTreeMap<TopicPartition, i64>) -> Checked {
        if self.plan.blows.iter().any(|blow| matches!(blow.what, What::Operator(Deed::Grow))) {
            return Ok(());
        }
        let truth = self.truth.expected(committed);
        let (out, dead) = truth.counts();
        let all = !self.net.uncounted.load(std::sync::atomic::Ordering::SeqCst);
        let counted = (self.counted.records_out, self.counted.dead_letters);
        let right = if all { counted == (out, dead) } else { counted.0 <= out && counted.1 <= dead };
        if right {
            Ok(())
        } else {
            Err(format!("counters say {counted:?} rows and dead letters, there are {out} and {dead}"))
        }
    }
}
