//! Partitions on their way up: committed offsets, then the plans, then where to begin.
//!
//! In this order, and after the producer's `init`: offsets are stable when no transaction is open that may change them, and the
//! plans of the same transactions are below the end that is taken after that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::log::{Event, LogError, Result, TopicPartition};

use super::plan::{self, Plan};
use super::task::Task;
use super::worker::{WAIT, Worker};

/// Where it stands.
#[derive(Default)]
pub enum Opening {
    #[default]
    Nothing,
    /// Up to `end`, the plans of these partitions.
    Plans { committed: BTreeMap<TopicPartition, Option<i64>>, end: i64, found: BTreeMap<String, Vec<u8>>, ended: bool },
}

impl Worker {
    /// One request further with what was assigned. True: something is still on its way up.
    pub(super) fn open(&mut self) -> Result<bool> {
        match &mut self.opening {
            Opening::Nothing if self.assigned.is_empty() => return Ok(false),
            Opening::Nothing => self.begin_opening()?,
            Opening::Plans { ended: true, .. } => self.begin_tasks()?,
            Opening::Plans { .. } => self.read_plans()?,
        }
        Ok(true)
    }

    fn begin_opening(&mut self) -> Result<()> {
        let partitions: Vec<_> = self.assigned.iter().cloned().collect();
        let committed = self.consumer()?.committed(&partitions, WAIT)?;
        let plans = self.plans.clone();
        let bounds = self.shared.log.admin().bounds(&plans)?;
        let committed = partitions.into_iter().zip(committed).collect();
        let ended = bounds.start >= bounds.end;
        if !ended {
            self.reader.start(&plans, bounds.start)?;
        }
        self.opening = Opening::Plans { committed, end: bounds.end, found: BTreeMap::new(), ended };
        Ok(())
    }

    fn read_plans(&mut self) -> Result<()> {
        let Opening::Plans { end, found, ended, .. } = &mut self.opening else { return Ok(()) };
        let plans = &self.plans;
        let events = self.reader.poll(1000, Duration::from_millis(20), &mut |record| {
            if *record.topic == *plans.topic
                && let Some(key) = record.key
            {
                let key = String::from_utf8_lossy(key).into_owned();
                match record.value {
                    Some(value) => found.insert(key, value.to_vec()),
                    // A person has seen to it.
                    None => found.remove(&key),
                };
            }
        });
        for event in events {
            match event {
                Event::End { tp, offset } if tp == *plans && offset >= *end => *ended = true,
                Event::Fatal(error) => return Err(error),
                // Compacted or deleted under our hands: from the beginning again.
                Event::OutOfRange(_) => {
                    self.stop_opening();
                    return Ok(());
                }
                _ => {}
            }
        }
        if *ended {
            self.reader.stop(&self.plans)?;
        }
        Ok(())
    }

    /// Forgets what was read; the assigned partitions begin again.
    pub(super) fn stop_opening(&mut self) {
        if let Opening::Plans { ended: false, .. } = self.opening
            && let Err(error) = self.reader.stop(&self.plans)
        {
            tracing::debug!(%error, "the reading of plans was cut short");
        }
        self.opening = Opening::Nothing;
    }

    fn begin_tasks(&mut self) -> Result<()> {
        let Opening::Plans { committed, found, .. } = std::mem::take(&mut self.opening) else { return Ok(()) };
        for (tp, committed) in committed {
            // What was revoked meanwhile is gone; what was assigned meanwhile comes next.
            if !self.assigned.contains(&tp) {
                continue;
            }
            let plan = match found.get(&plan::key(&tp.topic, tp.partition)) {
                Some(bytes) => Some(Plan::decode(bytes).map_err(|why| self.unreadable(&tp, &why))?),
                None => None,
            };
            let task = self.begin_task(&tp, committed, plan)?;
            self.consumer()?.resume_at(&tp, task.position)?;
            self.assigned.remove(&tp);
            self.tasks.insert(tp, task);
        }
        Ok(())
    }

    fn unreadable(&self, tp: &TopicPartition, why: &str) -> LogError {
        LogError::Stop(format!(
            "the plan of {tp} in topic {}: {why}. If a later version of Highwater runs this application, run that one in every \
             instance. Else somebody wrote to the topic: delete it ({}), and an insert that was under way may come twice",
            self.plans.topic,
            self.shared.log.admin().deletion_hint(&self.plans.topic)
        ))
    }

    fn begin_task(&self, tp: &TopicPartition, committed: Option<i64>, plan: Option<Plan>) -> Result<Task> {
        let admin = self.shared.log.admin();
        let Some(info) = self.topics.sources.get(&*tp.topic) else {
            return Err(LogError::Retry(format!("{} is not known yet", tp.topic)));
        };
        let bounds = admin.bounds(tp)?;
        let ours = plan.filter(|plan| plan.is_of(&info.id));
        let start = match (committed, &ours) {
            // The group forgot; the plan did not.
            (None, Some(plan)) => plan.next,
            (None, None) => bounds.start,
            (Some(offset), _) => offset,
        };
        if start < bounds.start || start > bounds.end {
            return Err(self.out_of_range(tp, start, bounds.start, bounds.end));
        }
        let table = self.sink.table_for(&tp.topic).unwrap_or_default();
        let tenant = self.sink.tenant_of(&table).map(str::to_owned);
        let mut task = Task::new(tp.clone(), info.id, (table, tenant), start, self.limits());
        if let Some(plan) = ours.as_ref().filter(|plan| plan.next == start) {
            task.told.extend(&plan.told);
        }
        match ours {
            Some(plan) if plan.open && plan.next == start => {
                if plan.first < bounds.start {
                    return Err(plan.lost(&self.plans.topic, "some of its records are gone"));
                }
                task.repeat(plan);
            }
            // For whoever looks at the group's lag.
            Some(plan) if committed.is_none() => task.done = Some((plan, self.shared.clock.now())),
            Some(plan) if plan.next != start => {
                tracing::warn!(source = %tp, offset = start, before = plan.next, open = plan.open,
                "the group's offset was set since the last insert was planned: rows come again or are left out, an open plan is \
                 not repeated")
            }
            _ => {}
        }
        Ok(task)
    }

    pub(super) fn out_of_range(&self, tp: &TopicPartition, offset: i64, start: i64, end: i64) -> LogError {
        // Of the sink's group.
        let hint = self.log.admin().reset_hint(tp, &start.to_string());
        LogError::Stop(if offset < start {
            format!(
                "{tp}: offsets {offset} to {} were deleted before they were written by sink {}: those rows are missing in its \
                 table. To go on without them, stop every instance and set the group's offset: {hint}",
                start - 1,
                self.sink.name
            )
        } else {
            format!(
                "{tp}: the offset {offset} of sink {} is beyond the end {end}: the topic was deleted and created again, or \
                 belongs to another cluster. To begin with what is there, stop every instance and set the group's offset: {hint}",
                self.sink.name
            )
        })
    }

    /// Partitions that are ours and have no task yet.
    pub(super) fn waiting(&self) -> &BTreeSet<TopicPartition> {
        &self.assigned
    }
}
