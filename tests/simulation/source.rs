//! What a Debezium sends: changes of a small table, and everything that makes their order hard.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::chance::Chance;

/// A record on its way to the source topic.
#[derive(Clone)]
pub struct Event {
    pub partition: i32,
    pub key: Option<String>,
    pub value: Option<String>,
    /// Of a transaction of the source that was aborted.
    pub aborted: bool,
}

/// How likely the rare things are in this run: one in so many, 0 for never.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    pub again: u64,
    pub snapshot: u64,
    pub incremental: u64,
    pub restored: u64,
    pub bad: u64,
    pub keyless: u64,
    pub unranked: u64,
    pub aborted: u64,
}

pub struct Source {
    partitions: i32,
    keys: u64,
    chance: Chance,
    habits: Habits,
    lsn: u64,
    commit: u64,
    ts_us: i64,
    serial: u64,
    rows: BTreeMap<u64, Value>,
    sent: Vec<Event>,
}

impl Source {
    pub fn new(partitions: i32, keys: u64, habits: Habits, chance: Chance) -> Self {
        let (rows, sent) = (BTreeMap::new(), Vec::new());
        Self {
            partitions,
            keys,
            chance,
            habits,
            lsn: 1_000_000,
            commit: 1_000_000,
            ts_us: 1_700_000_000_000_000,
            serial: 0,
            rows,
            sent,
        }
    }

    fn happens(&mut self, one_in: u64) -> bool {
        one_in > 0 && self.chance.one_in(one_in)
    }

    /// What is sent next: mostly a change or a few.
    pub fn next(&mut self) -> Vec<Event> {
        let habits = self.habits;
        let mut events = Vec::new();
        if self.happens(habits.again) && !self.sent.is_empty() {
            // It was restarted, and begins again a little before where it was.
            let from = self.sent.len() - 1 - self.chance.index(self.sent.len().min(12));
            return self.sent[from..].to_vec();
        }
        if self.happens(habits.restored) {
            // Back to a backup: positions of before, and time goes on.
            self.lsn = self.lsn.saturating_sub(self.chance.between(1, 60_000)).max(1000);
            self.commit = self.lsn;
        }
        if self.happens(habits.snapshot) {
            let lsn = self.move_on();
            for (id, row) in self.rows.clone() {
                let source = self.source("true", Some(lsn), json!([Value::Null, lsn.to_string()]));
                events.push(self.event(id, &json!({ "before": null, "after": row, "op": "r", "source": source })));
            }
        } else if self.happens(habits.incremental) {
            for (id, row) in self.rows.clone().into_iter().take(3) {
                let sequence = json!([self.commit.to_string(), self.lsn.to_string()]);
                let source = self.source("incremental", None, sequence);
                events.push(self.event(id, &json!({ "before": null, "after": row, "op": "r", "source": source })));
            }
        } else if self.happens(habits.bad) {
            let id = self.chance.below(self.keys);
            let value = ["{\"op\":\"c\"", "[1]", "{\"op\":\"u\",\"after\":3}"][self.chance.index(3)];
            events.push(Event { value: Some(value.into()), ..self.event(id, &Value::Null) });
        } else if self.happens(habits.keyless) {
            let change = self.change();
            events.push(Event { key: None, ..change });
        } else if self.happens(habits.aborted) {
            for _ in 0..self.chance.between(1, 3) {
                let change = self.change();
                events.push(Event { aborted: true, ..change });
            }
            return events;
        } else {
            for _ in 0..self.chance.between(1, 4) {
                let change = self.change();
                let is_delete = change.value.as_ref().is_some_and(|value| value.contains("\"op\":\"d\""));
                let tombstone = Event { value: None, ..change.clone() };
                events.push(change);
                if is_delete {
                    events.push(tombstone);
                }
            }
        }
        self.sent.extend(events.iter().cloned());
        events
    }

    fn move_on(&mut self) -> u64 {
        self.lsn += 8 + self.chance.below(200);
        self.ts_us += 1 + self.chance.below(2000) as i64;
        self.lsn
    }

    fn source(&self, snapshot: &str, lsn: Option<u64>, sequence: Value) -> Value {
        json!({ "name": "sim", "db": "shop", "schema": "public", "table": "rows", "snapshot": snapshot, "lsn": lsn,
            "sequence": sequence.to_string(), "ts_us": self.ts_us })
    }

    fn change(&mut self) -> Event {
        if self.chance.one_in(3) {
            self.commit = self.lsn;
        }
        let lsn = self.move_on();
        let id = self.chance.below(self.keys);
        self.serial += 1;
        let row = json!({ "id": id, "email": format!("u{}@example.com", self.serial % 7), "n": self.serial });
        let mut source = self.source("false", Some(lsn), json!([self.commit.to_string(), lsn.to_string()]));
        if self.happens(self.habits.unranked) {
            (source["lsn"], source["sequence"]) = (Value::Null, Value::Null);
        }
        let known = self.rows.contains_key(&id);
        if known && self.chance.one_in(5) {
            self.rows.remove(&id);
            return self.event(id, &json!({ "before": row, "after": null, "op": "d", "source": source }));
        }
        let op = if known { "u" } else { "c" };
        let event = self.event(id, &json!({ "before": null, "after": row, "op": op, "source": source }));
        self.rows.insert(id, row);
        event
    }

    fn event(&self, id: u64, value: &Value) -> Event {
        let partition = (id % self.partitions as u64) as i32;
        Event { partition, key: Some(json!({ "id": id }).to_string()), value: Some(value.to_string()), aborted: false }
    }
}
