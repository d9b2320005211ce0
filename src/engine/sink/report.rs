//! What a sink tells about itself: health, lags, and how fresh its tables are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::log::{Bounds, TopicPartition};
use crate::telemetry::WorkerHealth;

use super::task::Task;
use super::worker::Worker;

impl Worker {
    pub(super) fn report(&mut self, now: Instant) {
        self.shared.health.beat(self.index, now);
        if self.reported.is_some_and(|at| now.duration_since(at) < Duration::from_secs(1)) {
            return;
        }
        self.reported = Some(now);
        self.report_lags();
        self.metrics.held(self.tasks.values().filter(|task| task.held.is_some()).count());
        let held = self.tasks.values().find_map(|task| task.held.as_ref().map(|held| held.why.clone()));
        let failing = self.tasks.values().any(|task| task.planned.as_ref().is_some_and(|planned| planned.failures > 0));
        if self.shared.stopping() || self.pause.is_some() || failing {
            return;
        }
        let connected = self.consumer.as_ref().is_some_and(|consumer| consumer.connected());
        let (running, waiting) = (self.tasks.len(), self.waiting().len());
        let assigned = WorkerHealth::Assigned { running, restoring: 0, waiting, records_left: 0 };
        let health = match held {
            Some(why) => WorkerHealth::waiting(why),
            None => WorkerHealth::of_member(self.joined, connected, assigned),
        };
        self.shared.health.set_worker(self.index, health, now);
    }

    fn report_lags(&mut self) {
        let Some(consumer) = &self.consumer else { return };
        let wall = self.shared.clock.wall_ms();
        let positions = consumer.positions();
        for task in self.tasks.values() {
            let metrics = self
                .lags
                .entry(task.tp.clone())
                .or_insert_with(|| self.shared.metrics.partition(&task.tp.topic, task.tp.partition));
            if let Some(bounds) = consumer.heard(&task.tp) {
                let records = waiting(task, bounds, &positions);
                metrics.behind(records, task.last_timestamp, wall);
                if let Some(freshness) = self.freshness.partitions.get(&task.tp) {
                    freshness.waiting(records);
                }
            }
        }
    }

    /// At once after an insert: whoever waits for a table to be as of now is told as soon as it is.
    pub(super) fn report_waiting(&self, tp: &TopicPartition) {
        let (Some(consumer), Some(task)) = (&self.consumer, self.tasks.get(tp)) else { return };
        if let (Some(bounds), Some(freshness)) = (consumer.heard(tp), self.freshness.partitions.get(tp)) {
            freshness.waiting(waiting(task, bounds, &consumer.positions()));
        }
    }

    /// Partitions that each table's topics have.
    pub(super) fn report_tables(&self) {
        let mut tables: BTreeMap<String, i32> = BTreeMap::new();
        for (topic, info) in &self.topics.sources {
            if let Some(table) = self.sink.table_for(topic) {
                *tables.entry(table).or_default() += info.partitions;
            }
        }
        tables.iter().for_each(|(table, partitions)| self.freshness.sink.table(table, *partitions));
    }
}

/// Records that are not in the table, as far as the log was heard, or read beyond that.
fn waiting(task: &Task, bounds: Bounds, positions: &BTreeMap<TopicPartition, i64>) -> u64 {
    // Markers of transactions are no records: past them only the client knows its place.
    let beyond = positions.get(&task.tp).filter(|_| task.is_idle()).copied().unwrap_or(0);
    let end = bounds.end.max(task.position);
    (end - task.written().max(beyond).max(bounds.start)).max(0) as u64
}
