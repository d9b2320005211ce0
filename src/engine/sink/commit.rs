//! The transactions of a sink: what is decided about inserts, with the offsets that go with it.
//!
//! Every transaction carries the offset of every partition it speaks of, so that the group refuses it from whoever does not
//! own them any more. A plan is committed only when the one before it is in.

use std::time::Instant;

use crate::log::{Ended, LogError, Outgoing, Result, TopicPartition};
use crate::telemetry::Outcome;
use crate::topology::OnError;

use super::batch::Batch;
use super::plan::Plan;
use super::task::Planned;
use super::worker::{Cycle, WAIT, Worker};

/// What a transaction says of a partition.
pub(super) enum Change {
    /// The next insert. None where there is nothing to insert.
    Plan { tp: TopicPartition, plan: Plan, batch: Batch },
    /// The last insert is in; or it was withdrawn, and its records are read again.
    Close { tp: TopicPartition, plan: Plan },
    /// The last insert again: its owner is still the owner.
    Confirm { tp: TopicPartition, plan: Plan },
}

impl Change {
    fn plan(&self) -> (&TopicPartition, &Plan) {
        match self {
            Change::Plan { tp, plan, .. } | Change::Close { tp, plan } | Change::Confirm { tp, plan } => (tp, plan),
        }
    }
}

impl Worker {
    /// Begins a transaction of all that is due, and sends its records.
    pub(super) fn begin_commit(&mut self, now: Instant) -> Result<()> {
        let stopping = self.shared.stopping();
        let scope = format!("{}/{}", self.shared.topology.application, self.sink.name);
        let going: Vec<_> = self.tasks.keys().filter(|tp| self.is_going(tp)).cloned().collect();
        let mut changes = Vec::new();
        for task in self.tasks.values_mut().filter(|task| !going.contains(&task.tp)) {
            let tp = task.tp.clone();
            if let Some(planned) = &task.planned {
                let again = planned.again.is_none_or(|again| now >= again);
                if !stopping && again && planned.needs_confirmation(now) {
                    changes.push(Change::Confirm { tp, plan: planned.plan.clone() });
                }
                continue;
            }
            match task.sealed.pop_front_if(|_| !stopping) {
                Some(batch) => {
                    let plan = batch.plan(&scope, &tp, &task.topic_id, &task.told);
                    changes.push(Change::Plan { tp, plan, batch });
                }
                None => {
                    if let Some((plan, _)) = &task.done {
                        changes.push(Change::Close { tp, plan: plan.clone() });
                    }
                }
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.changes = changes;
        let Some(producer) = &mut self.producer else { return Err(LogError::Restore("no producer".into())) };
        if let Err(error) = producer.begin() {
            self.take_back();
            return Err(error);
        }
        // From here on an error leaves an open transaction.
        self.cycle = Cycle::Offsets;
        let letters_go_to = match &self.sink.on_error {
            OnError::DeadLetter { topic } => Some(topic.as_str()),
            OnError::Fail | OnError::Skip => None,
        };
        let shared = &self.shared;
        for change in &self.changes {
            let (tp, plan) = change.plan();
            let (key, value) = (super::plan::key(&tp.topic, tp.partition), plan.encode());
            let out = Outgoing {
                topic: &self.plans.topic,
                partition: Some(0),
                key: Some(key.as_bytes()),
                value: Some(&value),
                headers: &[],
                timestamp: None,
            };
            crate::engine::worker::send(producer.as_mut(), &out, shared)?;
            let (Change::Plan { batch, .. }, Some(topic)) = (change, letters_go_to) else { continue };
            for letter in batch.bad.iter().filter_map(|bad| bad.letter.as_ref()) {
                letter.send(topic, None, &mut |out| crate::engine::worker::send(producer.as_mut(), out, shared))?;
            }
        }
        Ok(())
    }

    pub(super) fn send_offsets(&mut self) -> Result<()> {
        self.serve();
        let offsets: Vec<_> = self.changes.iter().map(Change::plan).map(|(tp, plan)| (tp.clone(), plan.next)).collect();
        let membership = self.consumer()?.membership()?;
        let Some(producer) = &mut self.producer else { return Err(LogError::Restore("no producer".into())) };
        producer.send_offsets(&offsets, &membership, 5 * WAIT)?;
        self.cycle = Cycle::End;
        Ok(())
    }

    pub(super) fn end_transaction(&mut self, now: Instant) -> Result<()> {
        self.serve();
        let Some(producer) = &mut self.producer else { return Err(LogError::Restore("no producer".into())) };
        let ended = producer.commit(WAIT)?;
        if ended == Ended::Pending {
            self.waits_for("the end of a transaction: no answer from its coordinator yet");
            return Ok(());
        }
        self.shared.metrics.transaction(Outcome::Committed, std::time::Duration::ZERO);
        self.committed(now);
        self.succeeded();
        self.cycle = Cycle::Idle;
        if ended == Ended::DoneDoubtfully {
            self.producer = None;
            self.cycle = Cycle::Connect;
        }
        Ok(())
    }

    fn committed(&mut self, now: Instant) {
        for change in std::mem::take(&mut self.changes) {
            let (tp, plan) = change.plan();
            let Some(task) = self.tasks.get_mut(tp) else { continue };
            task.committed = plan.next;
            match change {
                Change::Plan { plan, mut batch, .. } => {
                    for bad in batch.bad.drain(..) {
                        self.metrics.bad(bad.reason);
                        task.told.insert(bad.offset);
                    }
                    // Nothing before it is read again.
                    task.told = task.told.split_off(&plan.first.min(plan.next));
                    task.done = None;
                    task.planned = plan.open.then(|| Planned::new(plan, batch, now, false));
                }
                Change::Close { .. } => task.done = None,
                Change::Confirm { .. } => {
                    if let Some(planned) = &mut task.planned {
                        planned.confirmed = now;
                    }
                }
            }
        }
    }

    pub(super) fn abort(&mut self) -> Result<()> {
        self.serve();
        let Some(producer) = &mut self.producer else { return Err(LogError::Restore("no producer".into())) };
        match producer.abort(WAIT)? {
            Ended::Pending => {
                self.waits_for("the abort of a transaction: no answer from its coordinator yet");
                return Ok(());
            }
            Ended::DoneDoubtfully => self.producer = None,
            Ended::Done => {}
        }
        self.shared.metrics.transaction(Outcome::Aborted, std::time::Duration::ZERO);
        self.take_back();
        self.cycle = if self.producer.is_some() { Cycle::Idle } else { Cycle::Connect };
        Ok(())
    }

    /// The batches of a transaction that was not to be wait for another.
    fn take_back(&mut self) {
        for change in std::mem::take(&mut self.changes) {
            if let Change::Plan { tp, batch, .. } = change
                && let Some(task) = self.tasks.get_mut(&tp)
            {
                task.sealed.push_front(batch);
            }
        }
    }
}
