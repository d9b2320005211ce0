//! Which change comes when: of each one its table, what it does and to which row. All of it follows from the seed and the
//! mix, so that a run that goes on computes where the last one was instead of looking for it.

use super::random::Random;

/// What a change may not alter in later versions: who goes on with a seed would go on with another plan. Any change to what
/// is planned or invented gives this another number.
pub const VERSION: u32 = 1;

/// Ids of a seed begin behind this many of the seed before: they meet neither those of another seed nor those that the
/// database gives out itself.
const IDS: u64 = 1_000_000_000;
/// The most changes of a seed, and the highest seed: ids stay below 2^53, which every reader of JSON can hold.
pub const MOST_CHANGES: u64 = IDS - 1;
pub const HIGHEST_SEED: u64 = 999_999;
/// Of each table so many rows are changed again; which ones, goes by chance. Others stay as they are.
const CHANGED_AGAIN: usize = 50_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    Customers,
    Orders,
    Events,
    Visits,
}

pub const TABLES: [Table; 4] = [Table::Customers, Table::Orders, Table::Events, Table::Visits];

impl Table {
    pub fn name(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Orders => "orders",
            Self::Events => "events",
            Self::Visits => "visits",
        }
    }

    /// Of a hundred changes.
    fn of_percent(percent: u64) -> Self {
        match percent {
            0..15 => Self::Customers,
            15..40 => Self::Orders,
            40..80 => Self::Events,
            _ => Self::Visits,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Insert,
    Update,
    Delete,
}

/// Percent of changes that are updates and deletes; the others are inserts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    pub updates: u8,
    pub deletes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// From 0 on.
    pub number: u64,
    pub table: Table,
    pub op: Op,
    /// Of the table, from 1 on.
    pub row: u64,
    /// Whom a new row belongs to; nobody where all customers are gone.
    pub customer: Option<u64>,
}

/// The id of a row.
pub fn id(seed: u64, row: u64) -> u64 {
    (seed + 1) * IDS + row
}

pub struct Plan {
    seed: u64,
    mix: Mix,
    next: u64,
    rows: [Rows; TABLES.len()],
}

/// The rows of a table.
#[derive(Default)]
struct Rows {
    made: u64,
    /// Those that are there and may be changed.
    live: Vec<u64>,
}

impl Plan {
    pub fn of(seed: u64, mix: Mix) -> Self {
        Self { seed, mix, next: 0, rows: Default::default() }
    }

    /// The plan after so many changes.
    pub fn after(seed: u64, mix: Mix, changes: u64) -> Self {
        let mut plan = Self::of(seed, mix);
        (0..changes).for_each(|_| {
            plan.step();
        });
        plan
    }

    pub fn step(&mut self) -> Step {
        let number = self.next;
        self.next += 1;
        let mut random = Random::of(&[self.seed, number]);
        let [customers, ..] = &self.rows;
        let (first, table) = (customers.made == 0, Table::of_percent(random.below(100)));
        let table = if first { Table::Customers } else { table };
        let op = self.mix.op(random.below(100));
        let rows = &self.rows[table as usize];
        if op == Op::Insert || rows.live.is_empty() {
            return self.insert(number, table, &mut random);
        }
        let at = random.below(rows.live.len() as u64) as usize;
        let rows = &mut self.rows[table as usize];
        let row = if op == Op::Delete { rows.live.swap_remove(at) } else { rows.live[at] };
        Step { number, table, op, row, customer: None }
    }

    fn insert(&mut self, number: u64, table: Table, random: &mut Random) -> Step {
        let customers = &self.rows[Table::Customers as usize].live;
        let customer = match customers.len() as u64 {
            0 => None,
            _ if table == Table::Customers => None,
            count => Some(customers[random.below(count) as usize]),
        };
        let rows = &mut self.rows[table as usize];
        rows.made += 1;
        let row = rows.made;
        if rows.live.len() < CHANGED_AGAIN {
            rows.live.push(row);
        } else {
            let at = random.below(CHANGED_AGAIN as u64) as usize;
            rows.live[at] = row;
        }
        Step { number, table, op: Op::Insert, row, customer }
    }
}

impl Mix {
    fn op(self, percent: u64) -> Op {
        let (updates, deletes) = (u64::from(self.updates), u64::from(self.deletes));
        match percent {
            _ if percent < updates => Op::Update,
            _ if percent < updates + deletes => Op::Delete,
            _ => Op::Insert,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MIX: Mix = Mix { updates: 30, deletes: 5 };

    fn steps(seed: u64, mix: Mix, count: usize) -> Vec<Step> {
        let mut plan = Plan::of(seed, mix);
        (0..count).map(|_| plan.step()).collect()
    }

    #[test]
    fn a_plan_that_goes_on_is_the_plan() {
        let whole = steps(7, MIX, 5000);
        for done in [0, 1, 17, 4999] {
            let mut plan = Plan::after(7, MIX, done as u64);
            for want in &whole[done..] {
                assert_eq!(plan.step(), *want, "after {done}");
            }
        }
        assert_ne!(whole, steps(8, MIX, 5000));
    }

    #[test]
    fn only_rows_that_are_there_are_changed_and_each_is_made_once() {
        for mix in
            [MIX, Mix { updates: 0, deletes: 0 }, Mix { updates: 20, deletes: 80 }, Mix { updates: 100, deletes: 0 }]
        {
            let mut live: BTreeSet<(Table, u64)> = BTreeSet::new();
            let mut made = BTreeSet::new();
            for step in steps(3, mix, 20_000) {
                let row = (step.table, step.row);
                match step.op {
                    Op::Insert => assert!(made.insert(row) && live.insert(row), "{step:?}"),
                    Op::Update => assert!(live.contains(&row), "{step:?}"),
                    Op::Delete => assert!(live.remove(&row), "{step:?}"),
                }
                if let Some(customer) = step.customer {
                    assert!(live.contains(&(Table::Customers, customer)), "{step:?}");
                }
            }
        }
    }

    #[test]
    fn the_mix_is_what_was_asked_for() {
        let all = steps(1, MIX, 100_000);
        let of = |op: Op| all.iter().filter(|step| step.op == op).count();
        assert!((29_000..31_000).contains(&of(Op::Update)), "{}", of(Op::Update));
        assert!((4_700..5_300).contains(&of(Op::Delete)), "{}", of(Op::Delete));
        for (table, share) in TABLES.iter().zip([15_000, 25_000, 40_000, 20_000]) {
            let count = all.iter().filter(|step| step.table == *table).count();
            assert!(count.abs_diff(share) < 1000, "{table:?}: {count}");
        }
    }

    #[test]
    fn what_is_kept_in_mind_of_a_plan_is_bounded() {
        let plan = Plan::after(1, Mix { updates: 0, deletes: 0 }, 200_000);
        assert_eq!(plan.rows.iter().map(|rows| rows.live.len()).max(), Some(CHANGED_AGAIN));
        assert!(plan.rows.iter().all(|rows| rows.live.iter().all(|row| (1..=rows.made).contains(row))));
    }

    #[test]
    fn ids_of_two_seeds_never_meet_and_fit_into_json() {
        assert_eq!(id(7, 1), 8_000_000_001);
        assert!(id(7, MOST_CHANGES) < id(8, 1));
        assert!(id(HIGHEST_SEED, MOST_CHANGES) < 1 << 53);
    }
}
