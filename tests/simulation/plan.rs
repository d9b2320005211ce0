//! What happens in a run: everything follows from the seed, and everything that goes wrong is a line that can be left out.

use crate::chance::Chance;
use crate::source::Habits;
use crate::wire::{Armed, Call, Wrong};

/// Something that goes wrong at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blow {
    pub step: u32,
    pub what: What,
}

/// Processes are named by number; one that is not there is not hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// SIGKILL between two steps.
    Kill(usize),
    /// The same, and the next life begins with something that goes wrong: while it comes up, or restores.
    KillTwice(usize, Armed),
    /// A request of it goes wrong, or it dies of one.
    Arm(usize, Armed),
    /// It stands still for so many milliseconds; beyond the session the group misses it.
    Stall(usize, u64),
    /// A clean stop, and a start later.
    Terminate(usize),
    /// A clean stop for good.
    Remove(usize),
    Add,
    /// The group forgets a worker, which does not know it yet.
    Expire(usize, usize),
    /// Another process uses a worker's transactional id.
    Stranger(usize, usize),
    /// From now on the markers of ended transactions come late to a partition; of the changelogs, outputs or sources.
    HoldMarkers(u64),
    /// From now on committed offsets become stable late.
    HoldOffsets,
    /// What was held back comes.
    Release,
    /// Compaction.
    Clean,
    /// What is processed may be deleted from the sources.
    Retention,
    /// Killed, and its disk is lost, or one store of it, or it is as it was when it was backed up.
    LoseDisk(usize),
    LoseStore(usize),
    /// Killed; a store of it is another application's, or damaged; or two get each other's disks.
    SpoilStore(usize),
    SwapDisks(usize, usize),
    BackUp(usize),
    OldDisk(usize),
    /// So many writes to the disk fail.
    FillDisk(usize, u64),
    /// It looks at the cluster's topics.
    Survey(usize),
    /// Nothing happens for so long.
    Wait(u64),
    /// All are stopped, and an operator does something.
    Operator(Deed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Committed offsets are set back, by chance.
    Rewind(u64),
    /// All offsets of the group are set to the beginning, and every disk is lost.
    StartOver,
    /// Records that were not processed are deleted from the source. Expected: a stop that says so.
    Truncate,
    /// Committed offsets expire. Expected: a stop that says so.
    ExpireOffsets,
    /// The source topic gets more partitions. Expected: a stop that says so, and no way on but a new changelog.
    Grow,
    /// The source topic is deleted and made anew.
    Recreate,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub processes: usize,
    pub threads: usize,
    pub partitions: i32,
    /// The keyed stream has a filter, which remembers what it let through.
    pub filtered: bool,
    pub keys: u64,
    /// Batches that the source sends.
    pub batches: u32,
    /// Steps in which blows fall and the source sends.
    pub steps: u32,
    pub habits: Habits,
    pub blows: Vec<Blow>,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x5eed);
        let processes = chance.between(1, 3) as usize;
        let threads = chance.between(1, 2) as usize;
        let steps = chance.between(150, 700) as u32;
        let rare = |chance: &mut Chance, most: u64| if chance.one_in(3) { 0 } else { chance.between(8, most) };
        let habits = Habits {
            again: rare(&mut chance, 40),
            snapshot: rare(&mut chance, 60),
            incremental: rare(&mut chance, 60),
            restored: rare(&mut chance, 80),
            bad: rare(&mut chance, 30),
            keyless: rare(&mut chance, 40),
            unranked: rare(&mut chance, 60),
            aborted: rare(&mut chance, 30),
        };
        let mut plan = Self {
            seed,
            processes,
            threads,
            partitions: chance.between(1, 4) as i32,
            filtered: chance.one_in(3),
            keys: chance.between(2, 12),
            batches: chance.between(20, 70) as u32,
            steps,
            habits,
            blows: Vec::new(),
        };
        let count = match chance.below(10) {
            0 => 0,
            1..=3 => chance.between(1, 4),
            4..=8 => chance.between(4, 16),
            _ => chance.between(16, 50),
        };
        for _ in 0..count {
            let step = chance.below(u64::from(steps)) as u32;
            plan.blows.push(Blow { step, what: what(&mut chance) });
        }
        // Rebalances that overtake one another, while a transaction does not come to its end.
        while chance.one_in(4) {
            let begins = chance.below(u64::from(steps)) as u32;
            for _ in 0..chance.between(4, 9) {
                let step = begins + chance.below(40) as u32;
                plan.blows.push(Blow { step, what: storm(&mut chance) });
            }
        }
        // At most one deed: what is expected after it stays simple.
        let mut done = false;
        plan.blows.retain(|blow| !matches!(blow.what, What::Operator(_)) || !std::mem::replace(&mut done, true));
        plan.blows.sort_by_key(|blow| blow.step);
        plan
    }

    /// Whether it is worth telling apart from others.
    pub fn summary(&self) -> String {
        format!(
            "seed {}: {} processes of {} workers, {} partitions{}, {} keys, {} batches, {} steps, {:?}",
            self.seed,
            self.processes,
            self.threads,
            self.partitions,
            if self.filtered { ", filtered" } else { "" },
            self.keys,
            self.batches,
            self.steps,
            self.habits
        )
    }
}

fn what(chance: &mut Chance) -> What {
    // The first is always there.
    let process = [0, 0, 1, 1, 2, 3][chance.index(6)];
    let worker = chance.index(2);
    match chance.below(44) {
        42 => What::SpoilStore(process),
        43 => What::SwapDisks(process, chance.index(4)),
        40 | 41 => What::KillTwice(process, early(chance)),
        0 | 1 => What::Kill(process),
        2..=18 => What::Arm(process, armed(chance)),
        19 | 20 => What::Stall(process, [300, 2_000, 4_000, 9_000, 20_000][chance.index(5)]),
        21 => What::Terminate(process),
        22 => What::Remove(process),
        23 => What::Add,
        24 | 25 => What::Expire(process, worker),
        26 => What::Stranger(process, worker),
        27 | 28 => What::HoldMarkers(chance.next()),
        29 => What::HoldOffsets,
        30 | 31 => What::Release,
        32 => {
            if chance.one_in(2) {
                What::Clean
            } else {
                What::Retention
            }
        }
        33 => What::LoseDisk(process),
        34 => {
            if chance.one_in(2) {
                What::LoseStore(process)
            } else {
                What::BackUp(process)
            }
        }
        35 => What::OldDisk(process),
        36 => What::FillDisk(process, chance.between(1, 3)),
        37 => What::Survey(process),
        38 => What::Wait([50, 500, 4_000, 8_000][chance.index(4)]),
        _ => What::Operator(match chance.below(12) {
            0..=4 => Deed::Rewind(chance.next()),
            5 => Deed::StartOver,
            6 | 7 => Deed::Truncate,
            8 | 9 => Deed::ExpireOffsets,
            10 => Deed::Grow,
            _ => Deed::Recreate,
        }),
    }
}

fn storm(chance: &mut Chance) -> What {
    let (process, worker) = ([0, 0, 1, 1, 2][chance.index(5)], chance.index(2));
    let times = chance.between(2, 12) as u32;
    let stands = [200, 3_500, 5_000][chance.index(3)];
    let call = |chance: &mut Chance, calls: &[Call]| calls[chance.index(calls.len())];
    let (call, wrong) = match chance.below(10) {
        0..=2 => return What::Expire(process, worker),
        3 => return What::Add,
        4 => return What::Terminate(process),
        5 => (call(chance, &[Call::Commit, Call::Abort]), Wrong::Pending(times)),
        6 => (Call::Offsets, Wrong::Refused),
        7 => (call(chance, &[Call::Take, Call::Release, Call::Committed, Call::Admin]), Wrong::StandsBefore(stands)),
        8 => (call(chance, &[Call::Committed, Call::Commit, Call::Poll, Call::Admin]), Wrong::StandsAfter(stands)),
        _ => (Call::Committed, Wrong::RequestLost),
    };
    What::Arm(process, Armed { call, skip: chance.below(2) as u32, wrong })
}

/// Where a process comes up.
fn early(chance: &mut Chance) -> Armed {
    let call = [Call::Init, Call::Committed, Call::Admin, Call::Poll, Call::Read, Call::Read, Call::Apply, Call::Apply];
    let call = call[chance.index(call.len())];
    Armed { call, skip: chance.below(6) as u32, wrong: wrong(chance, call) }
}

fn armed(chance: &mut Chance) -> Armed {
    // Mostly where a transaction is at stake.
    let call = match chance.below(16) {
        0..=2 => Call::Commit,
        3 | 4 => Call::Offsets,
        5 | 6 => Call::Abort,
        7 => Call::Send,
        n => Call::ALL[n as usize % Call::ALL.len()],
    };
    Armed { call, skip: chance.below(4) as u32, wrong: wrong(chance, call) }
}

fn wrong(chance: &mut Chance, call: Call) -> Wrong {
    let steps = chance.between(1, 60) as u32;
    let times = chance.between(1, 4) as u32;
    let stands = [200, 3_500, 5_000, 9_000][chance.index(4)];
    let wrong = match chance.below(11) {
        0 => Wrong::CrashBefore,
        1 => Wrong::CrashAfter,
        2 | 3 => Wrong::AnswerLost,
        4 => Wrong::RequestLost,
        5 => Wrong::Late(steps),
        6 => Wrong::Pending(times),
        7 => Wrong::Refused,
        8 => Wrong::Full(times),
        9 => Wrong::StandsBefore(stands),
        _ => Wrong::StandsAfter(stands),
    };
    // A disk answers, or its process dies.
    match (call, wrong) {
        (Call::Apply | Call::Begin, Wrong::CrashBefore) => Wrong::CrashBefore,
        (Call::Apply | Call::Begin, _) => Wrong::CrashAfter,
        (Call::Take | Call::Release, Wrong::CrashBefore | Wrong::CrashAfter | Wrong::StandsAfter(_)) => wrong,
        (Call::Take | Call::Release, _) => Wrong::StandsBefore(stands),
        (_, wrong) => wrong,
    }
}
