//! The blows, one after another, while others still last; and what they met.
//!
//! A blow that cannot fall now (nobody is in a transaction, a broker is still coming back) waits for its turn, and others
//! fall meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::coordinator::{Coordinators, Transaction};
use crate::feed::Feed;
use crate::fleet::{AT_FIRST, FEWEST, Fleet, LANES, SLOTS, SMALL_DISK};
use crate::plan::{Blow, Order, Plan};
use crate::report::Tally;
use crate::support::cluster::NODES;
use crate::support::{Cluster, Proxy};
use crate::verdict::written;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(600);
/// Blows that wait for their turn.
const WAITING: usize = 6;

/// An instance that was stopped, or cut off, in an open transaction, and came back after that was aborted.
#[derive(Debug, Clone)]
pub struct Zombie {
    pub producer: i64,
    /// The epoch of its transaction: nothing of this one or an earlier may be written any more.
    pub epoch: i16,
    /// By (topic, partition), where the log ended before it came back.
    pub ends: BTreeMap<(String, i32), i64>,
}

/// What lasts.
enum Wound {
    Dead { slot: usize, until: Instant },
    Stalled { slot: usize, transaction: Transaction },
    Dozing { slot: usize, transaction: Transaction },
    Silent { slot: usize, transaction: Option<Transaction> },
    Slow { lane: usize, until: Instant },
    Cut { lane: usize, until: Instant },
    Down { node: usize, until: Instant },
    Leaving { slot: usize, again: bool },
    Full { until: Instant, stage: Full },
}

enum Full {
    /// It runs, and does not know yet.
    Running,
    Ending,
    /// Started on the full disk: it must say so, and end.
    Starting,
}

pub struct Fire<'a> {
    pub cluster: &'a mut Cluster,
    pub proxies: &'a [Vec<Proxy>],
    pub fleet: Fleet,
    pub tally: &'a mut Tally,
    pub zombies: Vec<Zombie>,
    /// What must not have happened.
    pub complaints: Vec<String>,
    application: String,
    coordinators: Coordinators,
    wounds: Vec<(Wound, Instant)>,
    looked: Instant,
}

impl<'a> Fire<'a> {
    pub fn new(
        cluster: &'a mut Cluster,
        proxies: &'a [Vec<Proxy>],
        fleet: Fleet,
        application: &str,
        tally: &'a mut Tally,
    ) -> Self {
        let coordinators = Coordinators::new(cluster.ports());
        let (application, looked) = (application.to_owned(), Instant::now());
        let (zombies, complaints, wounds) = Default::default();
        Self { cluster, proxies, fleet, tally, zombies, complaints, application, coordinators, wounds, looked }
    }

    /// Blows until the time is over and, where that is asked for, the plan was dealt out once; then everything heals.
    pub fn rage(&mut self, plan: &mut Plan, feed: &Feed, time: Duration, whole: bool) {
        let begun = Instant::now();
        let (dealt, mut next, mut told) = (plan.dealt, begun, begun);
        let mut waiting: VecDeque<(Order, Instant)> = VecDeque::new();
        (0..AT_FIRST).for_each(|slot| self.fleet.start(slot));
        loop {
            self.tick();
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                eprintln!("chaos: {}: {}, {} changes", self.application, self.tally.line(), feed.written());
            }
            let over = begun.elapsed() > time && !(whole && plan.dealt == dealt) || feed.is_dry();
            if over && (waiting.is_empty() || !whole || feed.is_dry()) {
                break;
            }
            sleep(Duration::from_millis(20));
            // Who dozes is to wake while its transaction is open: the group must come to an end with its partitions.
            if Instant::now() < next || self.wounds.iter().any(|(w, _)| matches!(w, Wound::Dozing { .. })) {
                continue;
            }
            if !over && waiting.len() < WAITING {
                waiting.push_back((plan.deal(), Instant::now()));
            }
            for index in 0..waiting.len() {
                let (order, since) = &waiting[index];
                let (order, since) = (order.clone(), *since);
                assert!(since.elapsed() < PATIENCE, "{:?} could not fall; {:?}", order.blow, self.state());
                if self.strike(&order) {
                    waiting.remove(index);
                    *self.tally.blows.entry(order.blow).or_default() += 1;
                    next = Instant::now() + order.pause;
                    break;
                }
            }
        }
        let begun = Instant::now();
        while !self.wounds.is_empty() || !self.cluster.in_sync() {
            self.tick();
            assert!(begun.elapsed() < PATIENCE, "not everything healed; {:?}", self.state());
            sleep(Duration::from_millis(50));
        }
    }

    /// For whoever looks at a run that hangs.
    fn state(&mut self) -> String {
        let ids: Vec<_> = (0..SLOTS).filter_map(|slot| self.fleet.transactional_id(slot)).collect();
        format!(
            "brokers {:?}, in sync {}, instances {:?}, well {:?}, {:?}, group {:?}; see {}",
            (0..NODES).map(|node| self.cluster.runs(node)).collect::<Vec<_>>(),
            self.cluster.in_sync(),
            self.fleet.running(),
            self.fleet.well(),
            self.coordinators.transactions(&ids),
            self.coordinators.group(&self.application),
            self.fleet.path().display(),
        )
    }

    /// False where it cannot fall now.
    fn strike(&mut self, order: &Order) -> bool {
        match order.blow {
            Blow::Kill => self.kill(order, 1, false),
            Blow::KillTwo => self.kill(order, 2, false),
            Blow::KillAndWipe => self.kill(order, 1, true),
            Blow::Stall => self.stall(order),
            Blow::Doze => self.stall(order),
            Blow::Stop => self.stop(order, true),
            Blow::Remove => self.fleet.running().len() > FEWEST && self.stop(order, false),
            Blow::Add => self.add(order),
            Blow::Broker => self.kill_brokers(&order.nodes[..1], order.length),
            Blow::TwoBrokers => self.kill_brokers(&order.nodes[..2], order.length),
            Blow::TransactionCoordinator => self.kill_coordinator(order),
            Blow::GroupCoordinator => {
                let node = self.coordinators.of_group(&self.application);
                node.is_some_and(|node| self.kill_brokers(&[node], order.length))
            }
            Blow::Delay | Blow::Cut => self.disturb(order),
            Blow::Silence => self.silence(order),
            Blow::FullDisk => self.fill_disk(),
        }
    }

    /// Those that are well and in an open transaction, in the order of preference.
    fn in_transaction(&mut self, order: &Order) -> Vec<(usize, Transaction)> {
        let well = self.fleet.well();
        let ids: Vec<_> = well.iter().filter_map(|slot| self.fleet.transactional_id(*slot)).collect();
        let found = self.coordinators.transactions(&ids);
        let of = |slot: &usize| found.get(&self.fleet.transactional_id(*slot)?).filter(|t| t.is_open()).cloned();
        let preferred = order.whom.iter().filter(|slot| well.contains(slot));
        preferred.filter_map(|slot| Some((*slot, of(slot)?))).collect()
    }

    fn kill(&mut self, order: &Order, count: usize, wipe: bool) -> bool {
        let targets = self.in_transaction(order);
        if targets.len() < count {
            return false;
        }
        sleep(order.depth);
        let targets = &targets[..count];
        for (slot, _) in targets {
            self.fleet.process(*slot).sigkill();
        }
        // The process cannot end its transaction any more: what the coordinator says now is what it was killed in.
        let ids: Vec<_> = targets.iter().filter_map(|(slot, _)| self.fleet.transactional_id(*slot)).collect();
        let begun = Instant::now();
        let mut found = BTreeMap::new();
        while found.len() < count && begun.elapsed() < Duration::from_secs(2) {
            found = self.coordinators.transactions(&ids);
        }
        for id in &ids {
            let state = found.get(id).map_or("nobody knows", |t| &t.state);
            *self.tally.kills.entry(state.to_owned()).or_default() += 1;
        }
        for (slot, _) in targets {
            self.fleet.slots[*slot].process = None;
            if wipe {
                self.fleet.wipe(*slot);
            }
            // Some come back at once, some later.
            if order.length < Duration::from_millis(3000) {
                self.fleet.start(*slot);
            } else {
                self.fleet.slots[*slot].hurt = true;
                self.wound(Wound::Dead { slot: *slot, until: Instant::now() + order.length });
            }
        }
        true
    }

    /// The others must be able to go on meanwhile.
    fn enough_are_well(&self) -> bool {
        self.fleet.well().len() > 2
    }

    fn stall(&mut self, order: &Order) -> bool {
        if !self.enough_are_well() {
            return false;
        }
        let Some((slot, _)) = self.in_transaction(order).into_iter().next() else { return false };
        self.fleet.process(slot).sigstop();
        match self.transaction(slot).filter(Transaction::is_open) {
            Some(transaction) if self.membership(slot) == Some(true) => {
                self.fleet.slots[slot].hurt = true;
                self.wound(match order.blow {
                    Blow::Doze => Wound::Dozing { slot, transaction },
                    _ => Wound::Stalled { slot, transaction },
                });
                true
            }
            // It ended in between, or others have its partitions already.
            _ => {
                self.fleet.process(slot).sigcont();
                false
            }
        }
    }

    /// None while the group's coordinator does not answer.
    fn membership(&mut self, slot: usize) -> Option<bool> {
        let group = self.coordinators.group(&self.application)?;
        Some(group.members.iter().any(|member| self.fleet.is_member(slot, member)))
    }

    fn transaction(&mut self, slot: usize) -> Option<Transaction> {
        let id = self.fleet.transactional_id(slot)?;
        self.coordinators.transactions(std::slice::from_ref(&id)).remove(&id)
    }

    fn silence(&mut self, order: &Order) -> bool {
        let targets = self.in_transaction(order);
        let Some((slot, _)) = targets.into_iter().find(|(slot, _)| *slot < LANES) else { return false };
        if !self.enough_are_well() || self.disturbed(slot) {
            return false;
        }
        self.proxies[slot].iter().for_each(Proxy::black_hole);
        // What was on its way may have ended it still.
        sleep(Duration::from_millis(100));
        let transaction = self.transaction(slot).filter(Transaction::is_open);
        self.fleet.slots[slot].hurt = true;
        self.wound(Wound::Silent { slot, transaction });
        true
    }

    fn stop(&mut self, order: &Order, again: bool) -> bool {
        let well = self.fleet.well();
        let Some(slot) = order.whom.iter().copied().find(|slot| well.contains(slot)) else { return false };
        if !self.enough_are_well() {
            return false;
        }
        self.fleet.process(slot).sigterm();
        self.fleet.slots[slot].hurt = true;
        self.wound(Wound::Leaving { slot, again });
        true
    }

    fn add(&mut self, order: &Order) -> bool {
        let running = self.fleet.running();
        let free = |slot: &usize| !running.contains(slot) && !self.fleet.slots[*slot].hurt;
        let Some(slot) = order.whom.iter().copied().find(free) else { return false };
        self.fleet.start(slot);
        true
    }

    /// Only while all others have everything: what two brokers took must outlive the two that go.
    fn kill_brokers(&mut self, nodes: &[usize], length: Duration) -> bool {
        if !self.cluster.in_sync() {
            return false;
        }
        for (count, node) in nodes.iter().enumerate() {
            self.cluster.kill(*node);
            let until = Instant::now() + length * (count as u32 + 1) / 2;
            self.wound(Wound::Down { node: *node, until });
        }
        true
    }

    fn kill_coordinator(&mut self, order: &Order) -> bool {
        let Some((slot, found)) = self.in_transaction(order).into_iter().next() else { return false };
        // It was open a moment ago, and what it is now nobody can tell once its coordinator is dead: ask close to it.
        match self.transaction(slot).filter(Transaction::is_open) {
            Some(_) if self.kill_brokers(&[found.node], order.length) => {
                self.tally.coordinators += 1;
                true
            }
            _ => false,
        }
    }

    fn disturbed(&self, of: usize) -> bool {
        self.wounds.iter().any(|(wound, _)| match wound {
            Wound::Slow { lane, .. } | Wound::Cut { lane, .. } => *lane == of,
            Wound::Silent { slot, .. } => *slot == of,
            _ => false,
        })
    }

    fn disturb(&mut self, order: &Order) -> bool {
        let mut lanes = order.whom.iter().copied().filter(|slot| *slot < LANES);
        let Some(lane) = lanes.find(|lane| !self.disturbed(*lane)) else { return false };
        if order.blow == Blow::Delay {
            let delay = Duration::from_millis(20) + order.depth / 4;
            self.proxies[lane].iter().for_each(|proxy| proxy.delay(delay));
            self.wound(Wound::Slow { lane, until: Instant::now() + 2 * order.length });
        } else {
            self.proxies[lane].iter().for_each(Proxy::cut);
            self.wound(Wound::Cut { lane, until: Instant::now() + order.length });
        }
        true
    }

    fn fill_disk(&mut self) -> bool {
        let Some(disk) = &self.fleet.slots[SMALL_DISK].disk else {
            self.tally.no_disk = true;
            return true;
        };
        if !self.fleet.well().contains(&SMALL_DISK) || !self.enough_are_well() {
            return false;
        }
        disk.fill();
        self.fleet.slots[SMALL_DISK].hurt = true;
        self.wound(Wound::Full { until: Instant::now() + Duration::from_secs(2), stage: Full::Running });
        true
    }

    fn wound(&mut self, wound: Wound) {
        self.wounds.push((wound, Instant::now()));
    }

    /// Heals what is to heal, and looks after those that nothing is done to.
    fn tick(&mut self) {
        for slot in self.fleet.well() {
            if let Some(status) = self.fleet.process(slot).ended() {
                let process = self.fleet.process(slot);
                let log = process.log();
                let end: Vec<&str> = log.lines().rev().take(3).collect();
                let end = end.into_iter().rev().collect::<Vec<_>>().join("\n");
                self.complaints.push(format!("ended by itself, {status}; {}:\n{end}", process.log_path().display()));
                eprintln!("chaos: {}", self.complaints.last().expect("just pushed"));
                self.fleet.start(slot);
            }
        }
        // Asking the brokers takes its time: not more often than needed.
        let ask = self.looked.elapsed() > Duration::from_millis(250);
        if ask {
            self.looked = Instant::now();
        }
        for (wound, since) in std::mem::take(&mut self.wounds) {
            if let Some(wound) = self.heal(wound, ask) {
                assert!(since.elapsed() < PATIENCE, "a blow has no end; {:?}", self.state());
                self.wounds.push((wound, since));
            }
        }
    }

    /// What is left of it.
    fn heal(&mut self, wound: Wound, ask: bool) -> Option<Wound> {
        let now = Instant::now();
        match wound {
            Wound::Dead { slot, until } if now >= until => {
                self.fleet.start(slot);
                self.well_again(slot)
            }
            Wound::Stalled { slot, ref transaction } => {
                let zombie = if ask { self.is_zombie(slot, Some(transaction)) } else { None };
                let Some(zombie) = zombie else { return Some(wound) };
                if zombie {
                    self.zombie_returns(transaction);
                    self.tally.stalled += 1;
                }
                self.fleet.process(slot).sigcont();
                self.well_again(slot)
            }
            Wound::Dozing { slot, ref transaction } => {
                let settled = self.coordinators.group(&self.application).is_some_and(|group| group.state == "Stable");
                if !settled || self.membership(slot) != Some(false) {
                    return self.doze_on(slot, transaction.clone(), ask);
                }
                self.tally.dozed += u64::from(self.transaction(slot).as_ref() == Some(transaction));
                self.fleet.process(slot).sigcont();
                self.well_again(slot)
            }
            Wound::Silent { slot, ref transaction } => {
                let zombie = if ask { self.is_zombie(slot, transaction.as_ref()) } else { None };
                let Some(zombie) = zombie else { return Some(wound) };
                if let (true, Some(transaction)) = (zombie, transaction) {
                    self.zombie_returns(transaction);
                    self.tally.silenced += 1;
                }
                self.proxies[slot].iter().for_each(Proxy::heal);
                self.well_again(slot)
            }
            Wound::Slow { lane, until } | Wound::Cut { lane, until } if now >= until => {
                self.proxies[lane].iter().for_each(Proxy::heal);
                None
            }
            Wound::Down { node, until } if now >= until => {
                self.cluster.restart(node);
                None
            }
            Wound::Leaving { slot, again } => {
                let Some(status) = self.fleet.process(slot).ended() else { return Some(wound) };
                self.judge_stop(slot, status.success());
                self.fleet.slots[slot].process = None;
                if again {
                    self.fleet.start(slot);
                }
                self.well_again(slot)
            }
            Wound::Full { until, stage } => self.heal_disk(until, stage),
            wound => Some(wound),
        }
    }

    /// Where the group takes so long that the transaction times out, it is one more that was stalled past both.
    fn doze_on(&mut self, slot: usize, transaction: Transaction, ask: bool) -> Option<Wound> {
        let open = !ask || self.transaction(slot).is_none_or(|now| now == transaction);
        Some(if open { Wound::Dozing { slot, transaction } } else { Wound::Stalled { slot, transaction } })
    }

    fn well_again(&mut self, slot: usize) -> Option<Wound> {
        self.fleet.slots[slot].hurt = false;
        None
    }

    fn judge_stop(&mut self, slot: usize, success: bool) {
        let log = self.fleet.process(slot).log();
        match (success, log.contains("gave up waiting for the open transaction to end")) {
            (true, _) => {}
            (false, true) => self.tally.given_up += 1,
            (false, false) => self.complaints.push(format!("a stop failed:\n{log}")),
        }
    }

    /// None until the group has thrown it out and its transaction is over; then whether that was aborted by its
    /// coordinator, which renews the epoch, and not ended by a last word of its own that was still on its way.
    fn is_zombie(&mut self, slot: usize, transaction: Option<&Transaction>) -> Option<bool> {
        let mut aborted = false;
        if let Some(before) = transaction {
            let now = self.transaction(slot)?;
            if now.is_open() || now.state.starts_with("Prepare") {
                return None;
            }
            aborted = now.producer != before.producer || now.epoch > before.epoch;
        }
        (self.membership(slot) == Some(false)).then_some(aborted)
    }

    fn zombie_returns(&mut self, transaction: &Transaction) {
        let mut ends = BTreeMap::new();
        for topic in written(self.cluster, &self.application) {
            for (partition, end) in self.cluster.end_offsets(&topic) {
                ends.insert((topic.clone(), partition), end);
            }
        }
        self.zombies.push(Zombie { producer: transaction.producer, epoch: transaction.epoch, ends });
    }

    fn heal_disk(&mut self, until: Instant, stage: Full) -> Option<Wound> {
        let now = Instant::now();
        let next = |stage| Some(Wound::Full { until, stage });
        let ended = self.fleet.process(SMALL_DISK).ended();
        match (stage, ended) {
            (Full::Running, None) if now < until => next(Full::Running),
            (Full::Running, None) => {
                self.fleet.process(SMALL_DISK).sigterm();
                next(Full::Ending)
            }
            (Full::Starting, Some(status)) => {
                let log = self.fleet.process(SMALL_DISK).log();
                if status.code() != Some(1) || !log.contains("No space left") {
                    self.complaints.push(format!("on a full disk: {status}\n{log}"));
                }
                self.fleet.slots[SMALL_DISK].disk.as_ref().expect("a disk was filled").free();
                self.fleet.start(SMALL_DISK);
                self.tally.full_disks += 1;
                self.well_again(SMALL_DISK)
            }
            (stage @ (Full::Ending | Full::Starting), None) => next(stage),
            // It noticed by itself, or stopped and could keep nothing. What it gave back when it ended is taken, too.
            (Full::Running | Full::Ending, Some(_)) => {
                self.fleet.slots[SMALL_DISK].disk.as_ref().expect("a disk was filled").fill();
                self.fleet.start(SMALL_DISK);
                next(Full::Starting)
            }
        }
    }
}
