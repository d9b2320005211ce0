//! Which blows fall, in which order, on whom, how hard: all from one seed.
//!
//! Real time is not repeatable, and what a blow meets differs from run to run; the list of blows does not.

use std::collections::VecDeque;
use std::time::Duration;

use crate::fleet::SLOTS;
use crate::support::changes::Lottery;
use crate::support::cluster::NODES;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// SIGKILL to an instance with an open transaction.
    Kill,
    /// To two at once.
    KillTwo,
    /// SIGKILL, and its state directory is gone.
    KillAndWipe,
    /// SIGSTOP within a transaction, past session and transaction timeout, then SIGCONT.
    Stall,
    /// SIGSTOP within a transaction until the group has given its partitions to others, then SIGCONT: its transaction is
    /// still open, and must not be committed.
    Doze,
    /// SIGTERM, and started again.
    Stop,
    Add,
    Remove,
    /// SIGKILL to a broker.
    Broker,
    TwoBrokers,
    /// SIGKILL to the broker that coordinates an open transaction.
    TransactionCoordinator,
    GroupCoordinator,
    /// Everything between an instance and the brokers takes longer.
    Delay,
    /// Its connections are closed, and no new ones made.
    Cut,
    /// Its connections are silent, past both timeouts: what was sent arrives after all.
    Silence,
    /// No space is left for the state of an instance.
    FullDisk,
}

impl Blow {
    pub const ALL: [(Self, &'static str, usize); 16] = [
        (Self::Kill, "instance killed in a transaction", 18),
        (Self::KillTwo, "two instances killed at once", 3),
        (Self::KillAndWipe, "instance killed, state directory deleted", 2),
        (Self::Stall, "instance stalled past its timeouts", 2),
        (Self::Doze, "instance stalled past its session, within its transaction's timeout", 2),
        (Self::Stop, "instance stopped and started", 1),
        (Self::Add, "instance added", 1),
        (Self::Remove, "instance removed", 1),
        (Self::Broker, "broker killed", 1),
        (Self::TwoBrokers, "two brokers killed", 1),
        (Self::TransactionCoordinator, "coordinator of an open transaction killed", 1),
        (Self::GroupCoordinator, "coordinator of the group killed", 1),
        (Self::Delay, "connections slowed down", 1),
        (Self::Cut, "connections cut", 1),
        (Self::Silence, "connections silent past the timeouts", 1),
        (Self::FullDisk, "disk full", 1),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(blow, ..)| *blow == self).map(|(_, name, _)| *name).expect("all are listed")
    }
}

#[derive(Debug, Clone)]
pub struct Order {
    pub blow: Blow,
    /// Instances by preference: the first that the blow can meet.
    pub whom: [usize; SLOTS],
    pub nodes: [usize; NODES],
    /// How far into the transaction it falls.
    pub depth: Duration,
    /// How long it lasts, where that is not up to the timeouts.
    pub length: Duration,
    /// Until the next.
    pub pause: Duration,
}

/// Every blow as often as it is listed, in an order of chance; then again in another.
pub struct Plan {
    lottery: Lottery,
    kills: usize,
    deck: VecDeque<Blow>,
    /// How often the deck has been dealt out.
    pub dealt: usize,
}

impl Plan {
    /// With so many times the kills: a long run is about them.
    pub fn new(seed: u64, kills: usize) -> Self {
        let mut lottery = Lottery((seed ^ 0x9e37_79b9_7f4a_7c15) | (1 << 63));
        (0..16).for_each(|_| _ = lottery.next(2));
        Self { lottery, kills, deck: VecDeque::new(), dealt: 0 }
    }

    pub fn deal(&mut self) -> Order {
        if self.deck.is_empty() {
            let times = |blow: Blow, times: usize| if blow == Blow::Kill { times * self.kills } else { times };
            let all = Blow::ALL.iter().flat_map(|&(blow, _, n)| std::iter::repeat_n(blow, times(blow, n)));
            let mut deck: Vec<Blow> = all.collect();
            self.shuffle(&mut deck);
            self.deck = deck.into();
        }
        let blow = self.deck.pop_front().expect("just filled");
        self.dealt += usize::from(self.deck.is_empty());
        let (mut whom, mut nodes) = (std::array::from_fn(|i| i), std::array::from_fn(|i| i));
        self.shuffle(&mut whom);
        self.shuffle(&mut nodes);
        let depth = self.millis(0, 800);
        let length = self.millis(500, 4000);
        let pause = self.millis(200, 2500);
        Order { blow, whom, nodes, depth, length, pause }
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.lottery.next(to - from))
    }

    fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.lottery.next(last as u64 + 1) as usize);
        }
    }
}
