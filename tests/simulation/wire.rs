//! What lies between a process and the log: requests and answers that are lost, late, repeated, and a process that dies
//! between any two of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater::log::embedded::{EmbeddedLog, LateEnd};
use highwater::log::{
    Admin, Appender, Bounds, Client, Ended, Event, GroupConsumer, Isolation, Log, LogError, Membership, Outgoing,
    Producer, Reader, Result, Sent, TopicInfo, TopicPartition,
};
use highwater::record::Record;

use crate::chance::Chance;
use crate::gate::Gate;
use crate::linger::Queue;
use crate::time::Time;

/// Where something may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Init,
    Begin,
    Send,
    Offsets,
    Commit,
    Abort,
    Committed,
    Admin,
    Poll,
    Read,
    /// What is answered to a rebalance: it never fails, but time may pass.
    Take,
    Release,
    /// A write to the disk.
    Apply,
}

impl Call {
    pub const ALL: [Call; 13] = [
        Call::Init,
        Call::Begin,
        Call::Send,
        Call::Offsets,
        Call::Commit,
        Call::Abort,
        Call::Committed,
        Call::Admin,
        Call::Poll,
        Call::Read,
        Call::Take,
        Call::Release,
        Call::Apply,
    ];
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// The process dies before the request leaves.
    CrashBefore,
    /// It dies once the request is done.
    CrashAfter,
    /// Done, and the answer is lost.
    AnswerLost,
    /// The request is lost.
    RequestLost,
    /// The request arrives so many steps later; nobody waits for it any more.
    Late(u32),
    /// No answer so many times, then one; and a copy of the request that arrives after it.
    Pending(u32),
    /// Refused: the group moved on, a record could not be delivered.
    Refused,
    /// The client's queue is full so many times.
    Full(u32),
    /// The process stands still for so many milliseconds, before the request leaves or once its answer is there.
    StandsBefore(u32),
    StandsAfter(u32),
}

/// The next call of this kind but `skip` goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Armed {
    pub call: Call,
    pub wrong: Wrong,
    pub skip: u32,
}

/// How a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Well,
    CrashAfter,
    StandsAfter(u32),
    Badly(Wrong),
}

type SharedProducer = Arc<Mutex<Box<dyn Producer>>>;

/// A request whose sender does not wait for it any more.
enum Straggler {
    /// The first request of a producer that waits no more.
    End {
        producer: SharedProducer,
        commit: bool,
    },
    /// A copy of one that was answered already, or another than its producer went on with.
    Again(LateEnd),
    Offsets {
        producer: SharedProducer,
        offsets: Vec<(TopicPartition, i64)>,
        who: Membership,
    },
}

/// What all processes share.
pub struct Net {
    log: EmbeddedLog,
    pub time: Time,
    pub step: AtomicU32,
    /// How long the group keeps a member of which nothing is heard.
    session_ms: i64,
    stragglers: Mutex<Vec<(u32, Straggler)>>,
    graveyard: Mutex<Vec<(i64, Box<dyn GroupConsumer>)>>,
    history: Mutex<Option<Vec<String>>>,
    counts: Mutex<BTreeMap<String, u64>>,
    /// Some commit may have gone through without its process knowing: its counters miss it.
    pub uncounted: AtomicBool,
    chance: Mutex<Chance>,
    kills_inside: AtomicI64,
}

impl Net {
    pub fn new(log: EmbeddedLog, time: Time, chance: Chance, session_ms: i64, record: bool) -> Arc<Self> {
        Arc::new(Self {
            log,
            time,
            step: AtomicU32::new(0),
            session_ms,
            stragglers: Mutex::default(),
            graveyard: Mutex::default(),
            history: Mutex::new(record.then(Vec::new)),
            counts: Mutex::default(),
            uncounted: AtomicBool::new(false),
            chance: Mutex::new(chance),
            kills_inside: AtomicI64::new(0),
        })
    }

    pub fn tell(&self, line: impl FnOnce() -> String) {
        if let Some(history) = self.history.lock().expect("one thread").as_mut() {
            history.push(format!("{:>5} {:>7} ms  {}", self.step.load(Ordering::SeqCst), self.time.ms(), line()));
        }
    }

    pub fn history(&self) -> Vec<String> {
        self.history.lock().expect("one thread").take().unwrap_or_default()
    }

    pub fn count(&self, what: impl Into<String>) {
        *self.counts.lock().expect("one thread").entry(what.into()).or_default() += 1;
    }

    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().expect("one thread").clone()
    }

    fn below(&self, end: u64) -> u64 {
        self.chance.lock().expect("one thread").below(end)
    }

    fn later(&self, steps: u32, straggler: Straggler) {
        let due = self.step.load(Ordering::SeqCst) + steps;
        self.stragglers.lock().expect("one thread").push((due, straggler));
    }

    /// What was under way arrives; members that died are missed.
    pub fn deliver(&self, all: bool) {
        let step = self.step.load(Ordering::SeqCst);
        let (due, later): (Vec<_>, Vec<_>) =
            self.stragglers.lock().expect("one thread").drain(..).partition(|(at, _)| all || *at <= step);
        *self.stragglers.lock().expect("one thread") = later;
        for (_, straggler) in due {
            let wait = Duration::ZERO;
            let (what, outcome) = match straggler {
                Straggler::End { producer, commit: true } => {
                    ("a late commit", producer.lock().expect("one thread").commit(wait).map(drop))
                }
                Straggler::End { producer, commit: false } => {
                    ("a late abort", producer.lock().expect("one thread").abort(wait).map(drop))
                }
                Straggler::Again(late) => {
                    let refused = || LogError::Retry("refused".into());
                    ("a late end, again,", self.log.arrives(&late).then_some(()).ok_or_else(refused))
                }
                Straggler::Offsets { producer, offsets, who } => {
                    ("late offsets", producer.lock().expect("one thread").send_offsets(&offsets, &who, wait))
                }
            };
            self.tell(|| format!("{what} arrives: {}", outcome.map_or_else(|e| e.to_string(), |()| "done".into())));
        }
        let now = self.time.ms();
        let mut graveyard = self.graveyard.lock().expect("one thread");
        graveyard.retain(|(at, _)| !all && now < *at);
    }

    pub fn kills_inside(&self) -> i64 {
        self.kills_inside.load(Ordering::SeqCst)
    }
}

/// One process's connection to the log, for as long as it lives.
pub struct Line {
    pub net: Arc<Net>,
    pub name: String,
    log: Arc<dyn Log>,
    admin: FaultyAdmin,
    dead: AtomicBool,
    armed: Mutex<Vec<Armed>>,
    /// By worker, its id in the group as last heard.
    members: Mutex<BTreeMap<usize, String>>,
    /// Transactions that are open.
    open: AtomicI64,
    /// Where the step that is under way can stand still.
    gate: Mutex<Option<Arc<Gate>>>,
}

impl Line {
    pub fn new(net: Arc<Net>, name: String, log: &Arc<dyn Log>) -> Arc<Self> {
        Arc::new_cyclic(|line| Self {
            net,
            name,
            log: log.clone(),
            admin: FaultyAdmin { line: line.clone(), log: log.clone() },
            dead: AtomicBool::new(false),
            armed: Mutex::default(),
            members: Mutex::default(),
            open: AtomicI64::new(0),
            gate: Mutex::default(),
        })
    }

    pub fn may_stand_still(&self) -> bool {
        let stands = |armed: &Armed| matches!(armed.wrong, Wrong::StandsBefore(_) | Wrong::StandsAfter(_));
        self.armed.lock().expect("one thread").iter().any(stands)
    }

    /// Where it can, from now on.
    pub fn lend(&self, gate: Option<Arc<Gate>>) {
        *self.gate.lock().expect("one thread") = gate;
    }

    /// What comes up has no gate yet: it does not stand still.
    fn stand_still(&self, ms: u32) {
        let gate = self.gate.lock().expect("one thread").clone();
        if let Some(gate) = gate {
            gate.stand_still(i64::from(ms));
            self.net.tell(|| format!("{} wakes up", self.name));
        }
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    pub fn die(&self, when: &str) {
        if !self.dead.swap(true, Ordering::SeqCst) {
            let inside = self.open.load(Ordering::SeqCst) > 0;
            self.net.kills_inside.fetch_add(i64::from(inside), Ordering::SeqCst);
            self.net.uncounted.store(true, Ordering::SeqCst);
            self.net
                .tell(|| format!("{} dies {when}{}", self.name, if inside { ", inside a transaction" } else { "" }));
        }
    }

    pub fn arm(&self, armed: Armed) {
        self.armed.lock().expect("one thread").push(armed);
    }

    pub fn disarm(&self) {
        self.armed.lock().expect("one thread").clear();
    }

    pub fn member(&self, worker: usize) -> Option<String> {
        self.members.lock().expect("one thread").get(&worker).cloned()
    }

    /// How the call goes; an error where the process is dead or dies of it.
    pub fn moment(&self, call: Call) -> Result<Moment> {
        let gone = || LogError::Stop("the process is dead".into());
        if self.is_dead() {
            return Err(gone());
        }
        let mut armed = self.armed.lock().expect("one thread");
        let Some(at) = armed.iter().position(|a| a.call == call) else { return Ok(Moment::Well) };
        if armed[at].skip > 0 {
            armed[at].skip -= 1;
            return Ok(Moment::Well);
        }
        let wrong = armed.remove(at).wrong;
        drop(armed);
        let kind = format!("{wrong:?}");
        self.net.count(format!("{call:?} {}", kind.split('(').next().unwrap_or_default()));
        self.net.tell(|| format!("{}: {call:?} goes wrong: {wrong:?}", self.name));
        match wrong {
            Wrong::CrashBefore => {
                self.die(&format!("before {call:?}"));
                Err(gone())
            }
            Wrong::CrashAfter => Ok(Moment::CrashAfter),
            Wrong::StandsBefore(ms) => {
                self.stand_still(ms);
                if self.is_dead() { Err(gone()) } else { Ok(Moment::Well) }
            }
            Wrong::StandsAfter(ms) => Ok(Moment::StandsAfter(ms)),
            wrong => Ok(Moment::Badly(wrong)),
        }
    }

    /// The process dies here, if it is to die after the call.
    fn after(&self, call: Call, moment: Moment) -> Result<()> {
        if moment == Moment::CrashAfter {
            self.die(&format!("after {call:?}"));
        }
        if let Moment::StandsAfter(ms) = moment {
            self.stand_still(ms);
        }
        if self.is_dead() { Err(LogError::Stop("the process is dead".into())) } else { Ok(()) }
    }

    /// For calls that may be tried again: the request or its answer is lost.
    fn retried<T>(&self, call: Call, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let lost = || Err(LogError::Retry("no answer".into()));
        match self.moment(call)? {
            Moment::Badly(Wrong::AnswerLost) => work().and_then(|_| lost()),
            Moment::Badly(_) => lost(),
            moment => {
                let done = work()?;
                self.after(call, moment)?;
                Ok(done)
            }
        }
    }
}

/// The log as the process sees it.
pub struct FaultyLog(pub Arc<Line>);

impl Log for FaultyLog {
    fn admin(&self) -> &dyn Admin {
        &self.0.admin
    }

    fn group_consumer(&self, worker: usize) -> Result<Box<dyn GroupConsumer>> {
        let inner = Some(self.0.log.group_consumer(worker)?);
        Ok(Box::new(FaultyConsumer { line: self.0.clone(), worker, inner }))
    }

    fn producer(&self, transactional_id: &str) -> Result<Box<dyn Producer>> {
        let inner = Arc::new(Mutex::new(self.0.log.producer(transactional_id)?));
        Ok(Box::new(FaultyProducer {
            line: self.0.clone(),
            id: transactional_id.to_string(),
            inner,
            pending: None,
            failed: None,
            doubtful: false,
            open: false,
            full: 0,
            lingers: self.0.net.below(2) == 0,
            queue: Queue::default(),
        }))
    }

    fn appender(&self) -> Result<Box<dyn Appender>> {
        self.0.log.appender()
    }

    fn reader(&self, worker: usize, isolation: Isolation) -> Result<Box<dyn Reader>> {
        Ok(Box::new(FaultyReader { line: self.0.clone(), inner: self.0.log.reader(worker, isolation)? }))
    }

    fn as_client(&self, client: Client) -> Result<Arc<dyn Log>> {
        self.0.log.as_client(client)
    }
}

struct FaultyAdmin {
    line: std::sync::Weak<Line>,
    log: Arc<dyn Log>,
}

impl FaultyAdmin {
    fn ask<T>(&self, work: impl FnOnce(&dyn Admin) -> Result<T>) -> Result<T> {
        let line = self.line.upgrade().ok_or_else(|| LogError::Stop("the process is dead".into()))?;
        line.retried(Call::Admin, || work(self.log.admin()))
    }
}

impl Admin for FaultyAdmin {
    fn topics(&self) -> Result<Vec<String>> {
        self.ask(|admin| admin.topics())
    }
    fn describe(&self, topic: &str) -> Result<Option<TopicInfo>> {
        self.ask(|admin| admin.describe(topic))
    }
    fn create(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        self.ask(|admin| admin.create(topic, partitions, settings))
    }
    fn delete(&self, topic: &str) -> Result<()> {
        self.ask(|admin| admin.delete(topic))
    }
    fn bounds(&self, tp: &TopicPartition) -> Result<Bounds> {
        self.ask(|admin| admin.bounds(tp))
    }
    fn creation_hint(&self, topic: &str, partitions: i32) -> Option<String> {
        self.log.admin().creation_hint(topic, partitions)
    }
    fn reset_hint(&self, tp: &TopicPartition, to: &str) -> String {
        self.log.admin().reset_hint(tp, to)
    }
    fn deletion_hint(&self, topic: &str) -> String {
        self.log.admin().deletion_hint(topic)
    }
    fn hanging_hint(&self, tp: &TopicPartition) -> String {
        self.log.admin().hanging_hint(tp)
    }
}

struct FaultyConsumer {
    line: Arc<Line>,
    worker: usize,
    inner: Option<Box<dyn GroupConsumer>>,
}

impl FaultyConsumer {
    fn inner(&mut self) -> Result<&mut Box<dyn GroupConsumer>> {
        match (self.line.is_dead(), self.inner.as_mut()) {
            (false, Some(inner)) => Ok(inner),
            _ => Err(LogError::Stop("the process is dead".into())),
        }
    }

    /// What stays assigned is resumed by the client itself after a rebalance, and now and then it skips a record.
    fn wander(&mut self) -> Result<()> {
        let further = self.line.net.below(4) as i64;
        let inner = self.inner()?;
        for (tp, position) in inner.positions().into_iter().filter(|_| further > 0) {
            inner.resume_at(&tp, position + further - 1)?;
        }
        Ok(())
    }

    /// What the process heard of the group.
    fn heard_of(&mut self, events: Vec<Event>) -> Vec<Event> {
        if !events.is_empty() {
            let told = self.inner().and_then(|inner| inner.membership());
            if let Ok(who) = told {
                self.line.members.lock().expect("one thread").insert(self.worker, who.member);
            }
        }
        for event in &events {
            self.line.net.tell(|| format!("{}.{} hears {}", self.line.name, self.worker, shown(event)));
        }
        events
    }
}

fn shown(event: &Event) -> String {
    let names = |tps: &[TopicPartition]| tps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    match event {
        Event::Assigned(tps) => format!("assigned {}", names(tps)),
        Event::Revoked { partitions, lost } => {
            format!("{} {}", if *lost { "lost" } else { "revoked" }, names(partitions))
        }
        other => format!("{other:?}"),
    }
}

impl GroupConsumer for FaultyConsumer {
    fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        self.inner()?.subscribe(topics)
    }

    fn poll(&mut self, max: usize, wait: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event> {
        let few = 1 + self.line.net.below(5) as usize;
        let moment = match self.line.moment(Call::Poll) {
            Ok(Moment::Badly(_)) => return vec![Event::Unreachable("no broker can be reached".into())],
            Ok(moment) => moment,
            Err(_) => return Vec::new(),
        };
        let Ok(inner) = self.inner() else { return Vec::new() };
        let events = inner.poll(max.min(few), wait, visit);
        let events = self.heard_of(events);
        match self.line.after(Call::Poll, moment) {
            Ok(()) => events,
            Err(_) => Vec::new(),
        }
    }

    fn serve(&mut self) -> Vec<Event> {
        let Ok(inner) = self.inner() else { return Vec::new() };
        let events = inner.serve();
        self.heard_of(events)
    }

    fn take(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let moment = self.line.moment(Call::Take)?;
        self.inner()?.take(partitions)?;
        self.line.after(Call::Take, moment)?;
        self.wander()
    }

    fn release(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let moment = self.line.moment(Call::Release)?;
        self.inner()?.release(partitions)?;
        self.line.after(Call::Release, moment)?;
        self.wander()
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.inner()?.pause(partitions)
    }

    fn resume_at(&mut self, tp: &TopicPartition, offset: i64) -> Result<()> {
        self.line.net.tell(|| format!("{}.{} reads {tp} from {offset}", self.line.name, self.worker));
        self.inner()?.resume_at(tp, offset)
    }

    fn committed(&mut self, partitions: &[TopicPartition], wait: Duration) -> Result<Vec<Option<i64>>> {
        let line = self.line.clone();
        let inner = self.inner()?;
        line.retried(Call::Committed, || inner.committed(partitions, wait))
    }

    fn membership(&mut self) -> Result<Membership> {
        let who = self.inner()?.membership()?;
        self.line.members.lock().expect("one thread").insert(self.worker, who.member.clone());
        Ok(who)
    }

    fn heard(&self, tp: &TopicPartition) -> Option<Bounds> {
        self.inner.as_ref()?.heard(tp)
    }

    fn positions(&self) -> BTreeMap<TopicPartition, i64> {
        self.inner.as_ref().map(|inner| inner.positions()).unwrap_or_default()
    }

    fn leave(&mut self) {
        if let Ok(inner) = self.inner() {
            inner.leave();
            self.line.net.tell(|| format!("{}.{} leaves the group", self.line.name, self.worker));
        }
    }
}

impl Drop for FaultyConsumer {
    fn drop(&mut self) {
        // The dead do not leave: they are missed when their session is over.
        if let (true, Some(inner)) = (self.line.is_dead(), self.inner.take()) {
            let net = &self.line.net;
            let missed = net.time.ms() + net.session_ms;
            net.graveyard.lock().expect("one thread").push((missed, inner));
        }
    }
}

struct FaultyReader {
    line: Arc<Line>,
    inner: Box<dyn Reader>,
}

impl Reader for FaultyReader {
    fn start(&mut self, tp: &TopicPartition, offset: i64) -> Result<()> {
        self.line.net.tell(|| format!("{} restores from {tp} at {offset}", self.line.name));
        self.inner.start(tp, offset)
    }

    fn stop(&mut self, tp: &TopicPartition) -> Result<()> {
        self.inner.stop(tp)
    }

    fn poll(&mut self, max: usize, wait: Duration, visit: &mut dyn FnMut(&Record<'_>)) -> Vec<Event> {
        let few = 1 + self.line.net.below(9) as usize;
        match self.line.moment(Call::Read) {
            Ok(Moment::Well) => self.inner.poll(max.min(few), wait, visit),
            Ok(moment @ Moment::StandsAfter(_)) => {
                let events = self.inner.poll(max.min(few), wait, visit);
                self.line.after(Call::Read, moment).map(|()| events).unwrap_or_default()
            }
            Ok(Moment::Badly(_)) => vec![Event::Unreachable("no broker can be reached".into())],
            Ok(Moment::CrashAfter) => {
                self.inner.poll(max.min(few), wait, visit);
                self.line.die("after Read");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }
}

#[derive(Clone, Copy)]
struct Pending {
    commit: bool,
    /// So many more times.
    left: u32,
    /// It was done at the first request.
    done: bool,
}

struct FaultyProducer {
    line: Arc<Line>,
    id: String,
    /// Requests under way hold it, too.
    inner: SharedProducer,
    /// An end without an answer.
    pending: Option<Pending>,
    /// A record that could not be delivered: only an abort goes on.
    failed: Option<LogError>,
    /// A request for the end of this transaction may still be under way.
    doubtful: bool,
    open: bool,
    full: u32,
    /// What is sent is written when the transaction is to be committed.
    lingers: bool,
    queue: Queue,
}

impl FaultyProducer {
    fn opened(&mut self, open: bool) {
        if self.open != open {
            self.open = open;
            self.line.open.fetch_add(if open { 1 } else { -1 }, Ordering::SeqCst);
        }
    }

    /// Nobody will ever know what became of it.
    fn unknown(&self, call: &str) -> LogError {
        self.line.net.uncounted.store(true, Ordering::SeqCst);
        LogError::Restore(format!("{call}: no answer"))
    }

    /// By chance a copy of a request that got no answer.
    fn copy(&self, commit: bool) -> Option<LateEnd> {
        let net = &self.line.net;
        if net.below(2) == 0 { net.log.late_end(&self.id, commit) } else { None }
    }

    fn inner_end(&self, commit: bool) -> Result<Ended> {
        let mut inner = self.inner.lock().expect("one thread");
        if commit { inner.commit(Duration::ZERO) } else { inner.abort(Duration::ZERO) }
    }

    fn end(&mut self, commit: bool) -> Result<Ended> {
        let (call, name) = if commit { (Call::Commit, "commit") } else { (Call::Abort, "abort") };
        let net = self.line.net.clone();
        // An abort after a commit without an answer is a request of its own.
        if let Some(pending) = self.pending.filter(|pending| pending.commit == commit) {
            if self.line.is_dead() {
                return Err(LogError::Stop("the process is dead".into()));
            }
            if pending.left > 0 {
                self.pending = Some(Pending { left: pending.left - 1, ..pending });
                return Ok(Ended::Pending);
            }
            if !pending.done && self.inner_end(commit)? == Ended::Pending {
                return Ok(Ended::Pending);
            }
            self.pending = None;
            // The first request was lost, or it was not.
            if let Some(late) = self.copy(commit) {
                net.later(1 + net.below(12) as u32, Straggler::Again(late));
            }
            self.opened(false);
            net.tell(|| format!("{}: {name}: done, doubtfully", self.line.name));
            return Ok(Ended::DoneDoubtfully);
        }
        match commit {
            true => self.queue.write(self.inner.lock().expect("one thread").as_mut())?,
            false => self.queue.forget(),
        }
        let moment = self.line.moment(call)?;
        match moment {
            Moment::Badly(Wrong::AnswerLost) => {
                let ended = self.inner_end(commit);
                net.tell(|| format!("{}: {name}: {ended:?}, and nobody hears", self.line.name));
                Err(self.unknown(name))
            }
            Moment::Badly(Wrong::RequestLost) => Err(self.unknown(name)),
            Moment::Badly(Wrong::Late(steps)) => {
                net.later(steps, Straggler::End { producer: self.inner.clone(), commit });
                Err(self.unknown(name))
            }
            Moment::Badly(Wrong::Pending(times) | Wrong::Full(times)) => {
                let done = net.below(2) == 0 && matches!(self.inner_end(commit), Ok(Ended::Done));
                // A copy stays on its way though the producer gives up. None of a commit that waits for its records.
                if let Some(late) = self.copy(commit).filter(|_| done || !commit) {
                    net.later(1 + net.below(40) as u32, Straggler::Again(late));
                }
                self.doubtful = true;
                self.pending = Some(Pending { commit, left: times, done });
                Ok(Ended::Pending)
            }
            Moment::Badly(Wrong::Refused) if commit => {
                Err(LogError::Rejoin("commit: a record could not be delivered".into()))
            }
            Moment::Badly(_) => Err(self.unknown(name)),
            Moment::Well | Moment::CrashAfter | Moment::StandsAfter(_) => {
                let ended = self.inner_end(commit)?;
                if ended == Ended::Done {
                    self.opened(false);
                }
                self.line.after(call, moment)?;
                net.tell(|| format!("{}: {name}: {ended:?}", self.line.name));
                Ok(if ended == Ended::Done && self.doubtful { Ended::DoneDoubtfully } else { ended })
            }
        }
    }
}

impl Drop for FaultyProducer {
    fn drop(&mut self) {
        self.opened(false);
    }
}

impl Producer for FaultyProducer {
    fn init(&mut self, wait: Duration) -> Result<()> {
        self.line.retried(Call::Init, || self.inner.lock().expect("one thread").init(wait))?;
        self.line.net.tell(|| format!("{}: init", self.line.name));
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        let moment = self.line.moment(Call::Begin)?;
        self.inner.lock().expect("one thread").begin()?;
        (self.failed, self.doubtful, self.pending) = (None, false, None);
        self.queue.forget();
        self.opened(true);
        self.line.after(Call::Begin, moment)
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent> {
        if self.full > 0 {
            self.full -= 1;
            return Ok(Sent::Full);
        }
        let moment = self.line.moment(Call::Send)?;
        match moment {
            Moment::Badly(Wrong::Full(times) | Wrong::Pending(times) | Wrong::Late(times)) => {
                self.full = times;
                return Ok(Sent::Full);
            }
            Moment::Badly(Wrong::Refused) => return Err(LogError::Rejoin("produce: the transaction must end".into())),
            // Written or not, its delivery failed as far as the client knows.
            Moment::Badly(wrong) => {
                self.failed = Some(LogError::Rejoin("commit: a record could not be delivered".into()));
                if wrong == Wrong::RequestLost {
                    return Ok(Sent::Queued);
                }
            }
            Moment::Well | Moment::CrashAfter | Moment::StandsAfter(_) => {}
        }
        let sent = match self.lingers {
            true => {
                self.queue.keep(record);
                Sent::Queued
            }
            false => self.inner.lock().expect("one thread").send(record)?,
        };
        self.line.after(Call::Send, moment)?;
        Ok(sent)
    }

    fn send_offsets(&mut self, offsets: &[(TopicPartition, i64)], who: &Membership, wait: Duration) -> Result<()> {
        let net = self.line.net.clone();
        let shown = || offsets.iter().map(|(tp, at)| format!("{tp}@{at}")).collect::<Vec<_>>().join(" ");
        let call = || self.inner.lock().expect("one thread").send_offsets(offsets, who, wait);
        let moment = self.line.moment(Call::Offsets)?;
        if let (Some(failed), Moment::Well | Moment::CrashAfter | Moment::StandsAfter(_)) = (&self.failed, moment) {
            return Err(failed.clone());
        }
        let name = &self.line.name;
        match moment {
            Moment::Badly(Wrong::AnswerLost) => {
                let done = call();
                net.tell(|| format!("{name}: offsets {}: {done:?}, and nobody hears", shown()));
                Err(self.unknown("offsets"))
            }
            Moment::Badly(Wrong::RequestLost) => Err(self.unknown("offsets")),
            Moment::Badly(Wrong::Late(steps)) => {
                let (offsets, who) = (offsets.to_vec(), who.clone());
                net.later(steps, Straggler::Offsets { producer: self.inner.clone(), offsets, who });
                Err(self.unknown("offsets"))
            }
            Moment::Badly(Wrong::Pending(_) | Wrong::Full(_)) => Err(LogError::Retry("offsets: no answer yet".into())),
            Moment::Badly(_) => Err(LogError::Rejoin("offsets: refused".into())),
            Moment::Well | Moment::CrashAfter | Moment::StandsAfter(_) => {
                let done = call();
                net.tell(|| format!("{name}: offsets {} of generation {}: {done:?}", shown(), who.generation));
                done?;
                self.line.after(Call::Offsets, moment)
            }
        }
    }

    fn commit(&mut self, _wait: Duration) -> Result<Ended> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        self.end(true)
    }

    fn abort(&mut self, _wait: Duration) -> Result<Ended> {
        self.end(false)
    }

    fn acknowledged(&self, tp: &TopicPartition) -> Option<i64> {
        self.inner.lock().expect("one thread").acknowledged(tp)
    }
}
