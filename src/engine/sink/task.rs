//! What a sink knows of one partition.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connectors::clickhouse::layout::{self, Misfit};
use crate::connectors::clickhouse::table::{Refusal, Table};
use crate::engine::dead_letter::DeadLetter;
use crate::log::{LogError, Result, TopicId, TopicPartition};
use crate::record::{BadRecord, Reason, Record};
use crate::topology::{OnError, Sink, Topology};

use super::batch::{Bad, Batch, Committed, Target};
use super::inserts::CONFIRMED;
use super::plan::Plan;

/// The header with the time of a change's commit in its source, microseconds since 1970.
pub const COMMITTED: &str = "highwater.committed_us";

/// Why a partition is not read further while what was read of it waits.
pub const INSERTS_FAIL: &str = "its inserts fail";

pub struct Task {
    pub tp: TopicPartition,
    pub topic_id: TopicId,
    /// The next offset to read.
    pub position: i64,
    /// As of the last commit.
    pub committed: i64,
    /// Where its rows go; None until the server has been asked, and after it said that they do not fit.
    pub table: Option<Arc<Table>>,
    pub table_name: String,
    /// Open in the log, and not read yet.
    pub replay: Option<Plan>,
    filling: Option<Batch>,
    pub sealed: VecDeque<Batch>,
    pub planned: Option<Planned>,
    /// Offsets whose records have gone by `on_error`, and may be read again.
    pub told: BTreeSet<i64>,
    /// The last plan is in, and the log does not say so yet.
    pub done: Option<(Plan, Instant)>,
    pub held: Option<Held>,
    pub last_timestamp: Option<i64>,
    /// The column that names a row's tenant.
    tenant: Option<String>,
    bad_records: u64,
    looks: u32,
    pub limits: Limits,
}

/// When a batch is full.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub rows: usize,
    pub bytes: usize,
}

/// An insert that is decided and not known to be in.
pub struct Planned {
    pub plan: Plan,
    /// None while it is under way.
    pub batch: Option<Batch>,
    pub confirmed: Instant,
    pub sent: Option<Instant>,
    /// When it may be sent again.
    pub again: Option<Instant>,
    pub failures: u32,
    /// One of its inserts had no answer: it may be in.
    pub doubtful: bool,
}

/// It reads nothing until something is mended outside.
pub struct Held {
    pub why: String,
    pub again: Instant,
    pub failures: u32,
    /// Columns to be added to the table.
    pub missing: Vec<(String, &'static str)>,
}

/// What became of a record.
pub enum Taken {
    Done,
    /// The table must be looked at; the record is read again.
    Hold(String, Vec<(String, &'static str)>),
}

impl Task {
    pub fn new(
        tp: TopicPartition,
        topic_id: TopicId,
        (table_name, tenant): (String, Option<String>),
        start: i64,
        limits: Limits,
    ) -> Self {
        Self {
            tp,
            topic_id,
            position: start,
            committed: start,
            table: None,
            table_name,
            replay: None,
            filling: None,
            sealed: VecDeque::new(),
            planned: None,
            told: BTreeSet::new(),
            done: None,
            held: None,
            last_timestamp: None,
            tenant,
            bad_records: 0,
            looks: 0,
            limits,
        }
    }

    /// It has an open plan: its records first.
    pub fn repeat(&mut self, plan: Plan) {
        self.position = plan.first;
        self.committed = plan.next;
        self.told.extend(&plan.excluded);
        self.replay = Some(plan);
    }

    /// Takes a record at its position or beyond.
    pub fn take(&mut self, record: &Record<'_>, sink: &Sink, application: &str, now: Instant) -> Result<Taken> {
        if self.replay.is_some() {
            return self.take_again(record, &Topology::plans_of(application, &sink.name), now);
        }
        let taken = match record.value {
            _ if self.told.contains(&record.offset) => {
                self.filling(record.offset, now).leave_out(record.offset);
                Ok(Taken::Done)
            }
            // Of a compacted topic; rows that were deleted come as rows.
            None => {
                self.filling(record.offset, now).next = record.offset + 1;
                Ok(Taken::Done)
            }
            value => match layout::parse(value) {
                Ok(row) => self.row(record, row, sink, application, now),
                Err(bad) => self.bad(record.offset, &bad, sink, application, now).map(|()| Taken::Done),
            },
        }?;
        if matches!(taken, Taken::Done) {
            self.position = record.offset + 1;
            self.last_timestamp = record.timestamp;
            if self.is_full() {
                self.seal();
            }
        }
        Ok(taken)
    }

    fn is_full(&self) -> bool {
        self.filling.as_ref().is_some_and(|b| b.rows() >= self.limits.rows || b.bytes() >= self.limits.bytes)
    }

    fn filling(&mut self, offset: i64, now: Instant) -> &mut Batch {
        self.filling.get_or_insert_with(|| Batch::new(offset, now))
    }

    fn row(&mut self, record: &Record<'_>, row: &str, sink: &Sink, application: &str, now: Instant) -> Result<Taken> {
        let committed = committed(record);
        // One that waits for its table begins no batch, which would be sealed empty.
        let pushed = self.filling.as_mut().map_or(Err(Misfit::Layout), |b| b.push(record.offset, row, committed));
        match pushed {
            Ok(()) => return Ok(Taken::Done),
            Err(Misfit::Bad(bad)) => {
                return self.bad(record.offset, &bad, sink, application, now).map(|()| Taken::Done);
            }
            Err(Misfit::Layout) => {}
        }
        let Some(table) = &self.table else { return Ok(Taken::Hold("its table is not known".into(), Vec::new())) };
        let target = match table.layout(row, sink.clickhouse.unknown_columns) {
            Ok(layout) => aim(table, layout, self.tenant.as_deref()),
            Err(Refusal::Bad(bad)) => {
                return self.bad(record.offset, &bad, sink, application, now).map(|()| Taken::Done);
            }
            Err(Refusal::Table { said, missing }) => return Ok(Taken::Hold(said, missing)),
        };
        if self.filling.as_ref().is_some_and(|batch| batch.target().is_some()) {
            self.seal();
        }
        let filling = self.filling(record.offset, now);
        filling.aim(target);
        match filling.push(record.offset, row, committed) {
            Ok(()) => Ok(Taken::Done),
            Err(Misfit::Bad(bad)) => self.bad(record.offset, &bad, sink, application, now).map(|()| Taken::Done),
            Err(Misfit::Layout) => Err(LogError::Stop(format!(
                "{}@{}: a row does not fit the layout made for it; this is a bug",
                self.tp, record.offset
            ))),
        }
    }

    fn bad(&mut self, offset: i64, bad: &BadRecord, sink: &Sink, application: &str, now: Instant) -> Result<()> {
        let bad = self.judge(offset, bad, sink, application)?;
        self.filling(offset, now).exclude(bad);
        Ok(())
    }

    /// Where a record that is no row goes.
    fn judge(&mut self, offset: i64, bad: &BadRecord, sink: &Sink, application: &str) -> Result<Bad> {
        self.bad_records += 1;
        if self.bad_records <= 10 || self.bad_records.is_multiple_of(1000) {
            tracing::warn!(sink = sink.name, source = %self.tp, offset, reason = bad.reason.as_str(), detail = bad.detail,
                so_far = self.bad_records, "bad record");
        }
        let reason = bad.reason.as_str();
        match &sink.on_error {
            OnError::Fail => Err(LogError::Stop(format!(
                "sink {}: {}@{offset}: {bad}. Its on_error is `fail`; set it to `skip`, or to `{{ dead_letter: {{ topic: … }} }}`, \
                 or mend the cause and start again: nothing was lost",
                sink.name, self.tp
            ))),
            OnError::Skip => Ok(Bad { offset, reason, letter: None }),
            OnError::DeadLetter { .. } => {
                let letter = DeadLetter::at(application, &sink.name, &self.topic_id, &self.tp, offset, bad);
                Ok(Bad { offset, reason, letter: Some(letter) })
            }
        }
    }

    /// The server refused the only row of a batch.
    pub fn refused(&mut self, batch: Batch, said: &str, sink: &Sink, application: &str) -> Result<()> {
        let bad = BadRecord::new(Reason::RefusedByTable, format!("table {}: {said}", self.table_name));
        let bad = self.judge(batch.first().unwrap_or(batch.next), &bad, sink, application)?;
        self.sealed.push_front(batch.without_its_row(bad));
        Ok(())
    }

    /// A record of an open plan.
    fn take_again(&mut self, record: &Record<'_>, plans: &str, now: Instant) -> Result<Taken> {
        let Some(plan) = self.replay.clone() else { return Ok(Taken::Done) };
        if plan.excluded.contains(&record.offset) {
            if let Some(batch) = &mut self.filling {
                batch.leave_out(record.offset);
            }
            self.position = record.offset + 1;
            return Ok(Taken::Done);
        }
        if record.offset > plan.last {
            return Err(plan.lost(plans, "some of its records are gone"));
        }
        if record.value.is_none() {
            self.position = record.offset + 1;
            return Ok(Taken::Done);
        }
        let Ok(row) = layout::parse(record.value) else { return Err(plan.lost(plans, "a record of it is no row")) };
        let names: Vec<String> = plan.columns.iter().map(|(name, _)| name.clone()).collect();
        if self.filling.is_none() {
            let Some(table) = &self.table else { return Ok(Taken::Hold("its table is not known".into(), Vec::new())) };
            let target = match table.layout_of(row, &names) {
                Ok(layout) => aim(table, layout, self.tenant.as_deref()),
                Err(Refusal::Table { said, .. }) => return Ok(Taken::Hold(said, Vec::new())),
                Err(Refusal::Bad(_)) => return Err(plan.lost(plans, "a record of it is no row")),
            };
            let mut batch = Batch::new(plan.first, now);
            batch.aim(target);
            self.filling = Some(batch);
        }
        let committed = committed(record);
        let Some(batch) = &mut self.filling else { return Ok(Taken::Done) };
        if batch.push(record.offset, row, committed).is_err() {
            return Err(plan.lost(plans, "a record of it does not fit the table any more"));
        }
        self.position = record.offset + 1;
        self.last_timestamp = record.timestamp;
        if record.offset < plan.last {
            return Ok(Taken::Done);
        }
        let Some(mut batch) = self.filling.take() else { return Ok(Taken::Done) };
        // A column that was given another type has other bytes; the rows are the same.
        let same_types = batch.target().is_some_and(|target| *target.columns == plan.columns[..]);
        if batch.rows() as u64 != plan.rows || (same_types && batch.hash() != plan.hash) {
            return Err(plan.lost(plans, "its records are not those that it was made of"));
        }
        tracing::info!(source = %self.tp, first = plan.first, last = plan.last, rows = plan.rows, table = plan.table,
            "an insert that may be in already is repeated");
        plan.excluded.iter().filter(|at| **at > plan.last).for_each(|at| batch.leave_out(*at));
        batch.next = plan.next;
        self.position = plan.next;
        self.replay = None;
        self.planned = Some(Planned::new(plan, batch, now, true));
        Ok(Taken::Done)
    }

    pub fn seal(&mut self) {
        self.sealed.extend(self.filling.take());
    }

    /// Seals what has waited long enough.
    pub fn seal_older_than(&mut self, since: Instant) {
        // Of an open plan all records belong together.
        if self.replay.is_none() && self.filling.as_ref().is_some_and(|batch| batch.since <= since) {
            self.seal();
        }
    }

    pub fn waits_since(&self) -> Option<Instant> {
        self.filling.as_ref().filter(|_| self.replay.is_none()).map(|batch| batch.since)
    }

    /// A batch waits for its plan.
    pub fn is_due(&self) -> bool {
        self.planned.is_none() && !self.sealed.is_empty()
    }

    /// Enough of it waits: what is read now would wait longer.
    pub fn is_ahead(&self) -> bool {
        self.planned.is_some() && !self.sealed.is_empty()
    }

    /// Everything that was read from an offset on is read again.
    pub fn reread(&mut self, from: i64) {
        self.filling = None;
        self.sealed.clear();
        self.planned = None;
        self.position = from;
    }

    /// Nothing of the plan is in: the log is told, with the offset that its records are read from again.
    pub fn withdraw(&mut self, plan: Plan, now: Instant) {
        let (first, mut plan) = (plan.first, Planned::closed(plan));
        plan.next = first;
        plan.told = self.told.iter().copied().filter(|at| *at >= first).collect();
        self.done = Some((plan, now));
    }

    /// The first offset that may not be in the table.
    pub fn written(&self) -> i64 {
        let open = self.planned.as_ref().map(|planned| &planned.plan).or(self.replay.as_ref());
        // Below what is committed while rows are read again.
        open.map_or(self.committed.min(self.position), |plan| plan.first)
    }

    /// Everything that was read is in the table.
    pub fn is_idle(&self) -> bool {
        self.planned.is_none() && self.replay.is_none() && self.committed == self.position
    }

    /// How often it was looked at in vain.
    pub fn held_before(&mut self, failures: u32) {
        self.looks = failures;
    }

    /// The table takes inserts: what was held for its refusals goes on.
    pub fn taken_again(&mut self, now: Instant) {
        if let Some(held) = self.held.as_mut().filter(|held| held.why == INSERTS_FAIL) {
            held.again = now;
        }
    }

    pub fn hold(&mut self, why: String, missing: Vec<(String, &'static str)>, now: Instant) {
        let failures = self.held.as_ref().map_or(self.looks, |held| held.failures + 1);
        self.looks = 0;
        // At first nothing is wrong: nobody has asked yet.
        let unasked = self.table.is_none() && failures == 0;
        let again = if unasked { now } else { now + super::worker::back_off(failures) };
        self.held = Some(Held { why, again, failures, missing });
    }
}

/// When the change was committed in the source, as the stream that wrote the row says; else when it was written.
fn committed(record: &Record<'_>) -> Committed {
    let mut said = None;
    record.headers.each(&mut |name, value| {
        if name == COMMITTED {
            said = value.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        }
    });
    let written = || record.timestamp.map_or(0, |ms| ms.saturating_mul(1000));
    said.map_or_else(|| Committed::Before(written()), Committed::At)
}

fn aim(table: &Arc<Table>, layout: layout::Layout, tenant: Option<&str>) -> Target {
    let layout = match tenant {
        Some(column) => layout.watching(column),
        None => layout,
    };
    let columns = layout.written().into_iter().map(|name| {
        let ty = table.type_of(&name).to_owned();
        (name, ty)
    });
    Target { table: table.clone(), columns: columns.collect(), layout: layout.into() }
}

impl Planned {
    pub fn new(plan: Plan, batch: Batch, confirmed: Instant, doubtful: bool) -> Self {
        Self { plan, batch: Some(batch), confirmed, sent: None, again: None, failures: 0, doubtful }
    }

    pub fn is_under_way(&self) -> bool {
        self.batch.is_none()
    }

    /// The group said so long ago that the partition is ours that it must say it again.
    pub fn needs_confirmation(&self, now: Instant) -> bool {
        !self.is_under_way() && now.saturating_duration_since(self.confirmed) > CONFIRMED
    }

    /// To be sent again.
    pub fn back(mut self, batch: Batch, now: Instant, wait: Duration) -> Self {
        self.batch = Some(batch);
        self.again = Some(now + wait);
        self
    }

    /// As it is told when it is in.
    pub fn closed(mut plan: Plan) -> Plan {
        plan.open = false;
        plan
    }
}
