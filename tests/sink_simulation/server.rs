//! A ClickHouse as far as inserts matter: a table, the tokens of its last inserts, a constraint; and requests under way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use highwater::connectors::clickhouse::client::{Insert, Server, Trouble};
use serde_json::{Map, Value, json};

use crate::plan::Miss;

/// Inserts whose tokens the table remembers.
const WINDOW: usize = 200;
/// `n Int64, more Nullable(Int64)`: a row of RowBinary with both, and with the first alone.
pub const COLUMNS: [(&str, &str); 2] = [("n", "Int64"), ("more", "Nullable(Int64)")];

pub type Reply = Result<(), Trouble>;

/// An insert on its way.
#[derive(Clone)]
pub struct Request {
    pub sender: String,
    pub token: String,
    pub columns: Vec<String>,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct Inner {
    rows: Vec<i64>,
    tokens: VecDeque<(String, Vec<i64>)>,
    /// The step at which it arrives, and whether anybody waits for the answer.
    under_way: Vec<(u32, Option<u64>, Request)>,
    replies: Vec<(u64, Reply)>,
    next: u64,
    misses: VecDeque<Miss>,
    down_until: u32,
    /// Whoever is to die because its insert is in.
    doomed: Vec<String>,
    fault: Option<String>,
    counts: Vec<String>,
}

/// Shared by all that speak to it.
#[derive(Clone, Default)]
pub struct Model(Arc<Mutex<Inner>>);

impl Model {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("one thread")
    }

    /// Sends it; the number under which its answer comes. `travels`: steps until it arrives.
    pub fn send(&self, request: Request, step: u32, travels: u32) -> u64 {
        let mut inner = self.inner();
        inner.next += 1;
        let number = inner.next;
        inner.under_way.push((step + travels, Some(number), request));
        number
    }

    pub fn reply(&self, number: u64) -> Option<Reply> {
        let mut inner = self.inner();
        let at = inner.replies.iter().position(|(own, _)| *own == number)?;
        Some(inner.replies.remove(at).1)
    }

    pub fn miss(&self, miss: Miss) {
        self.inner().misses.push_back(miss);
    }

    pub fn be_down(&self, until: u32) {
        self.inner().down_until = until;
    }

    /// Nothing goes wrong any more; what is late arrives.
    pub fn heal(&self, step: u32) {
        let mut inner = self.inner();
        inner.misses.clear();
        inner.down_until = 0;
        inner.under_way.iter_mut().for_each(|(due, ..)| *due = (*due).min(step));
    }

    /// What has arrived is done. Who dies of it, what went wrong.
    pub fn deliver(&self, step: u32) -> (Vec<String>, Vec<String>) {
        let mut inner = self.inner();
        let (due, later): (Vec<_>, Vec<_>) = inner.under_way.drain(..).partition(|(at, ..)| *at <= step);
        inner.under_way = later;
        for (_, number, request) in due {
            inner.arrives(number, request, step);
        }
        (std::mem::take(&mut inner.doomed), std::mem::take(&mut inner.counts))
    }

    pub fn rows(&self) -> Vec<i64> {
        self.inner().rows.clone()
    }

    pub fn fault(&self) -> Option<String> {
        self.inner().fault.clone()
    }
}

impl Inner {
    fn arrives(&mut self, number: Option<u64>, request: Request, step: u32) {
        let unknown = || Err(Trouble::Unknown("no answer".into()));
        if step < self.down_until {
            self.counts.push("inserts that met no server".into());
            return self.answer(number, unknown());
        }
        // Whoever does not wait any more is not asked about.
        let miss = number.and_then(|_| self.misses.pop_front());
        if let Some(miss) = miss {
            self.counts.push(format!("{miss:?}").split('(').next().unwrap_or_default().to_owned());
        }
        match miss {
            Some(Miss::RequestLost) => self.answer(number, unknown()),
            Some(Miss::Late(steps)) => {
                self.under_way.push((step + steps, None, request));
                self.answer(number, unknown());
            }
            Some(Miss::Busy) => {
                self.answer(number, Err(Trouble::Refused { code: 252, text: "Too many parts".into() }));
            }
            Some(Miss::AnswerLost) => {
                drop(self.insert(&request));
                self.answer(number, unknown());
            }
            Some(Miss::KillsItsSender) => {
                drop(self.insert(&request));
                self.doomed.push(request.sender);
            }
            None => {
                let reply = self.insert(&request);
                self.answer(number, reply);
            }
        }
    }

    fn answer(&mut self, number: Option<u64>, reply: Reply) {
        self.replies.extend(number.map(|number| (number, reply)));
    }

    fn insert(&mut self, request: &Request) -> Reply {
        let rows = decode(&request.columns, &request.body);
        // As the server has it: constraints are checked before anything is looked up.
        if rows.iter().any(|n| *n < 0) {
            self.counts.push("inserts refused for a row".into());
            return Err(Trouble::Refused { code: 469, text: "Constraint `positive` is violated".into() });
        }
        if let Some((_, seen)) = self.tokens.iter().find(|(token, _)| *token == request.token) {
            if *seen != rows {
                self.fault = Some(format!("token {} came with other rows: they are dropped in silence", request.token));
            }
            self.counts.push("inserts that were in already".into());
            return Ok(());
        }
        self.tokens.push_back((request.token.clone(), rows.clone()));
        if self.tokens.len() > WINDOW {
            self.tokens.pop_front();
        }
        self.counts.push("inserts".into());
        self.rows.extend(rows);
        Ok(())
    }
}

/// The column `n` of rows of RowBinary.
fn decode(columns: &[String], mut body: &[u8]) -> Vec<i64> {
    let mut rows = Vec::new();
    while !body.is_empty() {
        for column in columns {
            let null = match column.as_str() {
                "n" => false,
                _ => body.split_off_first().is_some_and(|null| *null == 1),
            };
            if null {
                continue;
            }
            let value = body.split_off(..8).expect("a whole row");
            if column == "n" {
                rows.push(i64::from_le_bytes(value.try_into().expect("eight bytes")));
            }
        }
    }
    rows
}

impl Server for Model {
    fn query(&self, sql: &str, _: &[(&str, &str)]) -> Result<Vec<Map<String, Value>>, Trouble> {
        let rows = if sql.contains("system.tables") {
            let definition = format!("… SETTINGS non_replicated_deduplication_window = {WINDOW}");
            vec![json!({ "engine": "ReplacingMergeTree", "create_table_query": definition })]
        } else if sql.contains("system.columns") {
            let column = |(name, ty): &(&str, &str)| json!({ "name": name, "type": ty, "default_kind": "" });
            COLUMNS.iter().map(column).collect()
        } else {
            Vec::new()
        };
        Ok(rows.into_iter().filter_map(|row| row.as_object().cloned()).collect())
    }

    fn command(&self, sql: &str) -> Result<(), Trouble> {
        panic!("nothing is to be changed: {sql}")
    }

    fn insert(&self, _: &Insert<'_>) -> Result<(), Trouble> {
        panic!("inserts go by threads")
    }
}
