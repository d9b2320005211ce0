//! The tables of a sink, as they are now: what rows must wait for, what remembers inserts, and what is refused.

use std::sync::Arc;
use std::time::Instant;

use crate::connectors::clickhouse::UnknownColumns;
use crate::connectors::clickhouse::client::{About, Trouble};
use crate::connectors::clickhouse::table::{Dedup, Table};
use crate::log::Result;

use super::inserts::Job;
use super::task::{Planned, Task};
use super::worker::{Worker, back_off};

impl Worker {
    /// Looks again at what did not fit.
    pub(super) fn release_held(&mut self, now: Instant) -> Result<()> {
        let ready = |task: &&Task| !task.is_ahead() && task.held.as_ref().is_some_and(|held| now >= held.again);
        let Some(tp) = self.tasks.values().find(ready).map(|task| task.tp.clone()) else { return Ok(()) };
        let Some(task) = self.tasks.get_mut(&tp) else { return Ok(()) };
        let (name, missing) =
            (task.table_name.clone(), task.held.as_ref().map(|h| h.missing.clone()).unwrap_or_default());
        let before = task.table.clone();
        let found = self.look_at(&name, &missing);
        let Some(task) = self.tasks.get_mut(&tp) else { return Ok(()) };
        match found {
            Ok(table) => {
                let position = task.position;
                let changed = before.as_ref() != Some(&table);
                task.table = Some(table);
                self.consumer()?.resume_at(&tp, position)?;
                let Some(task) = self.tasks.get_mut(&tp) else { return Ok(()) };
                // The same table would refuse the same row at once: the wait grows with every look.
                let failures = task.held.take().map_or(0, |held| held.failures + 1);
                task.held_before(if changed { 0 } else { failures });
            }
            Err(why) => {
                task.hold(why.clone(), missing, now);
                self.metrics.not_fitting(&name);
                self.waits_for(&why);
            }
        }
        Ok(())
    }

    /// The table as it is now.
    fn look_at(&mut self, name: &str, missing: &[(String, &'static str)]) -> std::result::Result<Arc<Table>, String> {
        let config = &self.sink.clickhouse;
        let find = || Table::find(self.server.as_ref(), &config.database, name).map_err(|trouble| trouble.to_string());
        let none = || {
            format!(
                "there is no table {}.{name}: create it (`highwater clickhouse ddl` writes the statement)",
                config.database
            )
        };
        let mut table = find()?.ok_or_else(none)?;
        if !missing.is_empty() && config.unknown_columns == UnknownColumns::Add {
            table.add_columns(self.server.as_ref(), missing).map_err(|trouble| trouble.to_string())?;
            table = find()?.ok_or_else(none)?;
        }
        table.widen(self.server.as_ref(), config.dedup_window).map_err(|trouble| trouble.to_string())?;
        // What a view writes elsewhere is deduplicated there, or not.
        let mut behind = table.behind(self.server.as_ref()).map_err(|trouble| trouble.to_string())?;
        for table in &mut behind {
            table.widen(self.server.as_ref(), config.dedup_window).map_err(|trouble| trouble.to_string())?;
        }
        for table in behind.iter().chain([&table]) {
            if let (Dedup::None(why), false) = (&table.dedup, self.tables.contains_key(name)) {
                tracing::warn!(
                    sink = self.sink.name,
                    table = table.full_name(),
                    why,
                    "inserts are not deduplicated: one whose answer is lost may come twice. A ReplacingMergeTree by cdc_lsn \
                     shows each row once all the same, under FINAL"
                );
            }
        }
        let table = Arc::new(table);
        self.tables.insert(name.to_owned(), table.clone());
        Ok(table)
    }

    /// What became of the tables meanwhile: one that was made anew has no memory of inserts, and is given one.
    pub(super) fn look_again(&mut self) {
        let names: Vec<_> = self.tables.keys().cloned().collect();
        for name in names {
            if let Err(error) = self.look_at(&name, &[]).and_then(|_| self.count_parts(&name)) {
                tracing::debug!(table = name, error, "it could not be looked at");
                return;
            }
        }
    }

    /// For tables that grow into too many parts.
    fn count_parts(&mut self, name: &str) -> std::result::Result<(), String> {
        let sql = "SELECT count() AS parts FROM system.parts WHERE active AND database = {database:String} AND table = {table:String}";
        let place = [("database", self.sink.clickhouse.database.as_str()), ("table", name)];
        let rows = self.server.query(sql, &place).map_err(|trouble| trouble.to_string())?;
        let parts = rows.first().and_then(|row| row.get("parts")).map(ToString::to_string);
        let parts = parts.and_then(|text| text.trim_matches('"').parse().ok());
        parts.into_iter().for_each(|parts| self.metrics.parts(name, parts));
        Ok(())
    }

    /// What becomes of an insert that is not known to be in.
    pub(super) fn insert_failed(
        &mut self,
        job: Job,
        mut planned: Planned,
        trouble: Trouble,
        now: Instant,
    ) -> Result<()> {
        let Some(task) = self.tasks.get_mut(&job.tp) else { return Ok(()) };
        let table = job.table.full_name();
        let doubtful = planned.doubtful || matches!(trouble, Trouble::Unknown(_));
        match trouble.about() {
            About::Rows => {
                tracing::warn!(sink = self.sink.name, source = %job.tp, table, rows = job.batch.rows(), error = %trouble,
                    "the server refuses a row of an insert: it is cut in two");
                match job.batch.split() {
                    Ok((first, second)) => {
                        task.sealed.push_front(second);
                        task.sealed.push_front(first);
                    }
                    Err(one) => {
                        task.refused(*one, &trouble.to_string(), &self.sink, &self.shared.topology.application)?
                    }
                }
            }
            About::Table => {
                tracing::warn!(sink = self.sink.name, source = %job.tp, table, error = %trouble, doubtful,
                    "the table has changed: the rows of an insert are read again");
                task.reread(planned.plan.first);
                task.done = None;
                // What may be in already stays as it was decided, in the types that the table has now.
                match doubtful {
                    true => task.repeat(planned.plan),
                    false => task.withdraw(planned.plan, now),
                }
                // Read from there: what the client has next is not the first of them.
                task.hold(format!("{table}: {trouble}"), Vec::new(), now);
            }
            _ => {
                planned.failures += 1;
                planned.doubtful = doubtful;
                let wait = back_off(planned.failures);
                let said = format!("{table}: {trouble}");
                task.planned = Some(planned.back(job.batch, now, wait));
                self.waits_for(&said);
            }
        }
        Ok(())
    }
}
