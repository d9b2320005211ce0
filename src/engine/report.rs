//! What a worker tells: on /metrics how its tasks stand, how far they lag and how large their stores are; on /readyz what it waits
//! for.

use std::time::{Duration, Instant};

use crate::telemetry::{TaskState, WorkerHealth};

use super::worker::{Cycle, Slot, Worker};

impl Worker {
    /// Once a second.
    pub(super) fn report(&mut self, now: Instant) {
        self.shared.health.beat(self.index, now);
        if self.reported.is_some_and(|at| now.duration_since(at) < Duration::from_secs(1)) {
            return;
        }
        self.reported = Some(now);
        let (mut waiting, mut restoring, mut records_left) = (0, 0, 0);
        for slot in self.tasks.values() {
            if let Slot::Opening(opening) = slot {
                match opening.left(now) {
                    Some(left) => (restoring, records_left) = (restoring + 1, records_left + left as u64),
                    None => waiting += 1,
                }
            }
        }
        let running = self.tasks.len() - waiting - restoring;
        self.task_metrics.set(TaskState::Assigned, waiting);
        self.task_metrics.set(TaskState::Restoring, restoring);
        self.task_metrics.set(TaskState::Running, running);
        self.report_lags();
        self.report_stores();
        let goes_on = self.pause.is_none() && matches!(self.cycle, Cycle::Idle | Cycle::Open { .. });
        if goes_on && !self.shared.stopping() {
            let connected = self.consumer.as_ref().is_some_and(|consumer| consumer.connected());
            let assigned = WorkerHealth::Assigned { running, restoring, waiting, records_left };
            let health = WorkerHealth::of_member(self.joined, connected, assigned);
            self.shared.health.set_worker(self.index, health, now);
        }
    }

    fn report_stores(&mut self) {
        for slot in self.tasks.values_mut() {
            let Slot::Running(task) = slot else { continue };
            let Some(dedup) = &mut task.dedup else { continue };
            let (keys, bytes) = dedup.store.partition().size();
            let name = format!("{}-dedup", task.stream_name());
            let metrics = self.stores.entry(task.tp.clone()).or_insert_with(|| self.shared.metrics.store(&name));
            metrics.set(keys, bytes);
        }
    }

    fn report_lags(&mut self) {
        let Some(consumer) = &self.consumer else { return };
        let wall = self.shared.clock.wall_ms();
        let positions = consumer.positions();
        for slot in self.tasks.values_mut() {
            let Slot::Running(task) = slot else { continue };
            let lag = self
                .lags
                .entry(task.tp.clone())
                .or_insert_with(|| self.shared.metrics.partition(&task.tp.topic, task.tp.partition));
            if let Some(bounds) = consumer.heard(&task.tp) {
                // Beyond our last record there may be control records, which nobody hands over. What is fetched and
                // not committed yet still counts as behind.
                let beyond = positions.get(&task.tp).filter(|_| task.committed == task.position);
                let position = task.committed.max(beyond.copied().unwrap_or(0)).max(bounds.start);
                let records = (bounds.end - position).max(0) as u64;
                lag.behind(records, task.last_timestamp, wall);
            }
        }
    }
}
