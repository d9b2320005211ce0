//! Changes on their way into Postgres. Each transaction also moves its seed's row in `highwater_db_load.progress`, so that
//! what is written and how far it has come are one: a run that is killed anywhere has neither to repeat nor to guess.
//!
//! The row is locked by that, and a second run of the same seed finds it moved and ends. The table is in a schema of its
//! own and in no publication: what a connector captures are the shop's tables, as `db/init.sql` says.

use std::fmt::Write;

use crate::connectors::postgres::{Database, Fault, quoted};
use crate::topology::nearest;

use super::plan::{MOST_CHANGES, Mix, Op, Plan, Step, TABLES, Table, VERSION, id};
use super::rows::{Cell, cells, columns};

const PROGRESS: &str = "highwater_db_load.progress";

/// Changes of a seed on their way.
pub struct Writer {
    database: Database,
    seed: u64,
    plan: Plan,
    done: u64,
}

/// What a seed has begun with; `None` takes what it was begun with.
pub struct Wanted {
    pub updates: Option<u8>,
    pub deletes: Option<u8>,
}

const USUAL: Mix = Mix { updates: 30, deletes: 5 };

impl Wanted {
    /// Of a seed that begins. What is left open makes room for what is not.
    fn mix(&self) -> Mix {
        let open = |usual: u8, other: Option<u8>| usual.min(100_u8.saturating_sub(other.unwrap_or(0)));
        Mix {
            updates: self.updates.unwrap_or(open(USUAL.updates, self.deletes)),
            deletes: self.deletes.unwrap_or(open(USUAL.deletes, self.updates)),
        }
    }
}

impl Writer {
    /// Where the seed stopped, or at its beginning.
    pub fn open(mut database: Database, seed: u64, wanted: &Wanted) -> Result<Self, String> {
        check_tables(&mut database)?;
        database
            .ask(&format!(
                "set client_min_messages = warning;
                 create schema if not exists highwater_db_load;
                 create table if not exists {PROGRESS} (
                   seed bigint primary key, plan int not null, updates int not null, deletes int not null,
                   changes bigint not null, written_at timestamptz not null default now());
                 comment on table {PROGRESS} is 'how far `highwater db-load` has come; not for a publication'"
            ))
            .map_err(|fault| fault.to_string())?;
        let mix = wanted.mix();
        let rows = database
            .ask(&format!(
                "insert into {PROGRESS} (seed, plan, updates, deletes, changes)
                 values ({seed}, {VERSION}, {}, {}, 0) on conflict (seed) do nothing;
                 select plan, updates, deletes, changes from {PROGRESS} where seed = {seed}",
                mix.updates, mix.deletes
            ))
            .map_err(|fault| fault.to_string())?;
        let kept = rows.first().and_then(|row| kept(row)).ok_or_else(|| {
            format!(
                "{}: {PROGRESS} does not hold what it should; drop the table, and take another --seed",
                database.name()
            )
        })?;
        let mix = fits(seed, wanted, &kept)?;
        Ok(Self { database, seed, plan: Plan::after(seed, mix, kept.changes), done: kept.changes })
    }

    /// How many changes the seed has in all.
    pub fn done(&self) -> u64 {
        self.done
    }

    pub fn database(&self) -> &str {
        self.database.name()
    }

    /// So many of the next changes, in one transaction.
    pub fn write(&mut self, count: u64) -> Result<Vec<Step>, String> {
        let (seed, done) = (self.seed, self.done);
        if done + count > MOST_CHANGES {
            return Err(format!(
                "seed {seed} has {done} changes, and {MOST_CHANGES} are the most: take another --seed"
            ));
        }
        let steps: Vec<Step> = (0..count).map(|_| self.plan.step()).collect();
        let mut sql = String::new();
        steps.iter().for_each(|step| statement(seed, step, &mut sql));
        let written = self.database.transact(|transaction| {
            let moved = transaction.met(&format!(
                "update {PROGRESS} set changes = changes + {count}, written_at = now()
                 where seed = {seed} and changes = {done}"
            ))?;
            // Before the rows: those of the other run are there already.
            if moved != [1] {
                return Err(Fault::Unwanted(format!(
                    "another db-load of seed {seed} goes on here, or has just ended: one at a time, or another --seed"
                )));
            }
            let met = transaction.met(&sql)?;
            match steps.iter().zip(met.iter().chain(std::iter::repeat(&0))).find(|(_, met)| **met != 1) {
                Some((step, _)) => Err(Fault::Unwanted(gone(seed, step))),
                None => Ok(()),
            }
        });
        written.map_err(|fault| self.explain(&fault))?;
        self.done += count;
        Ok(steps)
    }

    fn explain(&self, fault: &Fault) -> String {
        let seed = self.seed;
        match fault {
            Fault::Lost(text) => {
                format!("{text}\nthe same command goes on behind the last transaction that Postgres has committed")
            }
            fault if fault.is_of_a_row_that_is_there() => format!(
                "{fault}\nrows of seed {seed} are there (ids from {}), and {PROGRESS} does not know them: \
                 delete them, or take another --seed",
                id(seed, 1)
            ),
            fault => fault.to_string(),
        }
    }
}

fn gone(seed: u64, step: &Step) -> String {
    let (table, id) = (step.table.name(), id(seed, step.row));
    format!(
        "public.{table} has no row {id} any more, which seed {seed} wants to change: somebody else deleted it. \
         Take another --seed; or to begin anew: delete the rows of this one (ids from {}) and its row in {PROGRESS}",
        self::id(seed, 1)
    )
}

/// What is kept of a seed.
struct Kept {
    plan: u32,
    mix: Mix,
    changes: u64,
}

fn kept(row: &[Option<String>]) -> Option<Kept> {
    let [Some(plan), Some(updates), Some(deletes), Some(changes)] = row else { return None };
    let mix = Mix { updates: updates.parse().ok()?, deletes: deletes.parse().ok()? };
    Some(Kept { plan: plan.parse().ok()?, mix, changes: changes.parse().ok()? })
}

/// With what the seed goes on. Another mix would be another plan, and so other rows than those that are there.
fn fits(seed: u64, wanted: &Wanted, kept: &Kept) -> Result<Mix, String> {
    let mix = kept.mix;
    if kept.plan != VERSION {
        return Err(format!(
            "seed {seed} was begun by another version of highwater, which invents other rows (plan {}, this one has \
             {VERSION}): take another --seed",
            kept.plan
        ));
    }
    let differs = |wanted: Option<u8>, kept: u8| wanted.is_some_and(|wanted| wanted != kept);
    if differs(wanted.updates, mix.updates) || differs(wanted.deletes, mix.deletes) {
        return Err(format!(
            "seed {seed} was begun with --updates {} --deletes {}, and goes on with them alone: leave both out, or take \
             another --seed",
            mix.updates, mix.deletes
        ));
    }
    Ok(mix)
}

/// Before anything is made: are the tables there, and what is written of them?
fn check_tables(database: &mut Database) -> Result<(), String> {
    let found = database
        .ask(
            "select c.relname, a.attname from pg_class c
             join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public'
             join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             where c.relkind in ('r', 'p')",
        )
        .map_err(|fault| fault.to_string())?;
    let of = |table: Table| -> Vec<&str> {
        let of = found.iter().filter(|row| row.first().and_then(Option::as_deref) == Some(table.name()));
        of.filter_map(|row| row.get(1)?.as_deref()).collect()
    };
    let name = database.name();
    let makes = "psql -v ON_ERROR_STOP=1 -f db/init.sql makes them (make pg-init, where compose runs it)";
    let missing: Vec<String> = TABLES
        .into_iter()
        .filter(|table| of(*table).is_empty())
        .map(|table| format!("public.{}", table.name()))
        .collect();
    if !missing.is_empty() {
        return Err(format!("{name} has no table {}; {makes}", missing.join(", ")));
    }
    for table in TABLES {
        let there = of(table);
        let Some(column) = columns(table).iter().find(|column| !there.contains(column)) else { continue };
        let meant = nearest(column, there.iter().copied()).map(|near| format!(", did you mean `{near}`?"));
        let (table, meant) = (table.name(), meant.unwrap_or_default());
        return Err(format!(
            "public.{table} of {name} has no column `{column}`{meant}; db/init.sql has the tables' form"
        ));
    }
    Ok(())
}

fn statement(seed: u64, step: &Step, sql: &mut String) {
    let (table, id, cells) = (step.table.name(), id(seed, step.row), cells(seed, step));
    // Writing to a String cannot fail.
    let _ = match step.op {
        Op::Insert => {
            let names: String = cells.iter().map(|(name, _)| format!(", {name}")).collect();
            let values: String = cells.iter().map(|(_, cell)| format!(", {}", literal(cell))).collect();
            writeln!(sql, "insert into public.{table} (id{names}) values ({id}{values});")
        }
        Op::Update => {
            let set: Vec<String> = cells.iter().map(|(name, cell)| format!("{name} = {}", literal(cell))).collect();
            writeln!(sql, "update public.{table} set {} where id = {id};", set.join(", "))
        }
        Op::Delete => writeln!(sql, "delete from public.{table} where id = {id};"),
    };
}

fn literal(cell: &Cell) -> String {
    match cell {
        Cell::Null => "null".into(),
        Cell::Number(number) => number.to_string(),
        Cell::Text(text) => quoted(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_what_the_plan_says() {
        let (mut plan, mut seen) = (Plan::of(7, USUAL), Vec::new());
        for _ in 0..500 {
            let (step, mut sql) = (plan.step(), String::new());
            statement(7, &step, &mut sql);
            let (verb, end) = match step.op {
                Op::Insert => ("insert into public.", format!(" values ({}, ", id(7, step.row))),
                Op::Update => ("update public.", format!(" where id = {};\n", id(7, step.row))),
                Op::Delete => ("delete from public.", format!(" where id = {};\n", id(7, step.row))),
            };
            let starts = format!("{verb}{} ", step.table.name());
            assert!(sql.starts_with(&starts) && sql.contains(&end) && sql.ends_with(";\n"), "{sql}");
            seen.push(verb);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 3);
        assert_eq!(literal(&Cell::Text("it's".into())), "'it''s'");
        assert_eq!((literal(&Cell::Null), literal(&Cell::Number(7))), ("null".into(), "7".into()));
    }

    #[test]
    fn a_mix_is_never_more_than_everything() {
        for (updates, deletes, want) in [
            (None, None, (30, 5)),
            (Some(100), None, (100, 0)),
            (Some(97), None, (97, 3)),
            (None, Some(80), (20, 80)),
            (Some(0), Some(0), (0, 0)),
        ] {
            let mix = Wanted { updates, deletes }.mix();
            assert_eq!((mix.updates, mix.deletes), want);
        }
    }

    #[test]
    fn a_seed_goes_on_as_it_was_begun() {
        let kept = |plan| Kept { plan, mix: Mix { updates: 10, deletes: 1 }, changes: 5 };
        let wanted = |updates, deletes| Wanted { updates, deletes };
        for (updates, deletes) in [(None, None), (Some(10), None), (Some(10), Some(1))] {
            assert_eq!(fits(7, &wanted(updates, deletes), &kept(VERSION)), Ok(kept(VERSION).mix));
        }
        let said = fits(7, &wanted(Some(30), None), &kept(VERSION)).unwrap_err();
        assert!(said.contains("begun with --updates 10 --deletes 1"), "{said}");
        let said = fits(7, &wanted(None, None), &kept(VERSION + 1)).unwrap_err();
        assert!(said.contains("another version") && said.contains("another --seed"), "{said}");
    }
}
