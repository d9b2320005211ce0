//! What happens in a run: everything follows from the seed, and everything that goes wrong is a line that can be left out.

use crate::chance::Chance;
use crate::wire::{Armed, Call, Wrong};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blow {
    pub step: u32,
    pub what: What,
}

/// Processes are named by number; one that is not there is not hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Kill(usize),
    /// The same, and something goes wrong in its next life: while it comes up, or later.
    KillTwice(usize, Armed),
    /// A request of it to the log goes wrong, or it dies of one.
    Arm(usize, Armed),
    /// It dies at its next commit, whose request arrives so many steps later, while its heirs stand still for so many
    /// milliseconds before they ask for its offsets.
    DiesAtACommit(usize, u32, u32),
    /// It stands still in the middle of its next transaction, just until the group has missed it, commits it all the same,
    /// and may die of that; its heirs stand still before they ask for its offsets.
    StandsInATransaction(usize, Wrong, bool),
    /// It stands still, its threads that insert as well, for so many milliseconds.
    Stall(usize, u64),
    Terminate(usize),
    Add,
    /// The group forgets it, which does not know it yet.
    Expire(usize),
    /// Another process uses its transactional id.
    Stranger(usize),
    HoldMarkers(u64),
    HoldOffsets,
    Release,
    /// Compaction.
    Clean,
    /// All are killed, and the group's offsets expire before the next one comes.
    ExpireOffsets,
    /// The next insert that reaches the server goes wrong.
    Server(Miss),
    /// No insert reaches the server for so many steps.
    Outage(u32),
    Wait(u64),
}

/// What becomes of an insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    RequestLost,
    AnswerLost,
    /// It arrives so many steps after its sender gave up.
    Late(u32),
    /// The server says that it cannot now.
    Busy,
    /// The sender dies when it is in, before the answer comes.
    KillsItsSender,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub processes: usize,
    pub partitions: i32,
    /// Of a batch.
    pub rows: usize,
    pub timeout_ms: u64,
    pub inserts: usize,
    /// What the source sends.
    pub records: u32,
    pub steps: u32,
    /// One in so many; 0 for never.
    pub bad: u64,
    pub refused: u64,
    pub wide: u64,
    pub aborted: u64,
    pub blows: Vec<Blow>,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x51_4e_4b);
        let rare = |chance: &mut Chance, most: u64| if chance.one_in(2) { 0 } else { chance.between(6, most) };
        let steps = chance.between(150, 600) as u32;
        let mut plan = Self {
            seed,
            processes: chance.between(1, 3) as usize,
            partitions: chance.between(1, 3) as i32,
            rows: [1, 2, 3, 5, 20, 1000][chance.index(6)],
            timeout_ms: [0, 10, 100, 1000][chance.index(4)],
            inserts: chance.between(1, 3) as usize,
            records: chance.between(20, 150) as u32,
            steps,
            bad: rare(&mut chance, 20),
            refused: rare(&mut chance, 40),
            wide: rare(&mut chance, 15),
            aborted: rare(&mut chance, 15),
            blows: Vec::new(),
        };
        let count = [0, 2, 4, 8, 16, 40][chance.index(6)];
        for _ in 0..chance.below(count + 1) {
            let step = chance.below(u64::from(steps)) as u32;
            plan.blows.push(Blow { step, what: what(&mut chance) });
        }
        plan.blows.sort_by_key(|blow| blow.step);
        plan
    }
}

fn what(chance: &mut Chance) -> What {
    let process = [0, 0, 1, 2][chance.index(4)];
    match chance.below(49) {
        43..=45 => {
            What::DiesAtACommit(process, chance.between(1, 300) as u32, [200, 1_000, 2_500, 5_000][chance.index(4)])
        }
        46..=48 => {
            let ms = chance.between(3_001, 3_400) as u32;
            let wrong = if chance.one_in(3) { Wrong::StandsBefore(ms) } else { Wrong::StandsAfter(ms) };
            What::StandsInATransaction(process, wrong, chance.one_in(2))
        }
        40..=42 => What::KillTwice(process, early(chance)),
        0..=3 => What::Kill(process),
        4..=13 => What::Arm(process, armed(chance)),
        14..=16 => What::Stall(process, [300, 2_000, 4_000, 7_000, 20_000][chance.index(5)]),
        17 => What::Terminate(process),
        18 => What::Add,
        19 | 20 => What::Expire(process),
        21 => What::Stranger(process),
        22 | 23 => What::HoldMarkers(chance.next()),
        24 => What::HoldOffsets,
        25 | 26 => What::Release,
        27 => What::Clean,
        28 => What::ExpireOffsets,
        29 => What::Outage(chance.between(5, 200) as u32),
        30 => What::Wait([50, 500, 4_000, 8_000][chance.index(4)]),
        _ => What::Server(match chance.below(8) {
            0 => Miss::RequestLost,
            1 | 2 => Miss::AnswerLost,
            3 | 4 => Miss::Late(chance.between(1, 120) as u32),
            5 => Miss::Busy,
            _ => Miss::KillsItsSender,
        }),
    }
}

/// Where a process comes up.
fn early(chance: &mut Chance) -> Armed {
    let call = [Call::Init, Call::Committed, Call::Committed, Call::Admin, Call::Admin, Call::Read, Call::Poll];
    Armed { call: call[chance.index(call.len())], skip: chance.below(2) as u32, wrong: wrong(chance) }
}

fn armed(chance: &mut Chance) -> Armed {
    let call = match chance.below(14) {
        0..=2 => Call::Commit,
        3 | 4 => Call::Offsets,
        5 => Call::Abort,
        6 => Call::Send,
        7 => Call::Begin,
        8 => Call::Init,
        9 => Call::Committed,
        10 => Call::Admin,
        11 => Call::Read,
        _ => Call::Poll,
    };
    let skip = chance.below(4) as u32;
    let wrong = if call == Call::Begin { Wrong::CrashAfter } else { wrong(chance) };
    Armed { call, skip, wrong }
}

fn wrong(chance: &mut Chance) -> Wrong {
    let times = chance.between(1, 4) as u32;
    let stands = [200, 3_500, 7_000, 20_000][chance.index(4)];
    match chance.below(12) {
        0 => Wrong::CrashBefore,
        1 => Wrong::CrashAfter,
        2 | 3 => Wrong::AnswerLost,
        4 => Wrong::RequestLost,
        5 => Wrong::Late(chance.between(1, 60) as u32),
        6 => Wrong::Pending(times),
        7 => Wrong::Refused,
        8 | 9 => Wrong::StandsBefore(stands),
        10 => Wrong::StandsAfter(stands),
        _ => Wrong::Full(times),
    }
}
