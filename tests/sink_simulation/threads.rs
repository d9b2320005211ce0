//! The threads of a process that wait for the server.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use highwater::engine::sink::inserts::{CONFIRMED, Finished, Inserts, Job, Outcome};

use crate::chance::Chance;
use crate::server::{Model, Request};

struct Inner {
    /// Not sent yet: a thread must be scheduled first.
    queued: VecDeque<Job>,
    sent: Vec<(u64, Job)>,
    finished: VecDeque<Finished>,
    chance: Chance,
}

#[derive(Clone)]
pub struct Threads {
    inner: Arc<Mutex<Inner>>,
    model: Model,
    sender: String,
    most: usize,
}

impl Threads {
    pub fn new(model: &Model, sender: &str, most: usize, chance: Chance) -> Self {
        let inner = Inner { queued: VecDeque::new(), sent: Vec::new(), finished: VecDeque::new(), chance };
        Self { inner: Arc::new(Mutex::new(inner)), model: model.clone(), sender: sender.to_owned(), most }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("one thread")
    }

    /// By chance one of them gets on.
    pub fn get_on(&self, step: u32, now: Instant) {
        let mut inner = self.inner();
        if inner.chance.one_in(2)
            && let Some(job) = inner.queued.pop_front()
        {
            if now.saturating_duration_since(job.confirmed) > CONFIRMED {
                inner.finished.push_back(Finished { job, outcome: Outcome::Late, took: Duration::ZERO });
            } else {
                let (sender, token) = (self.sender.clone(), job.token.clone());
                let request = Request { sender, token, columns: job.columns.clone(), body: job.batch.body().to_vec() };
                let travels = inner.chance.below(12) as u32;
                inner.sent.push((self.model.send(request, step, travels), job));
            }
        }
        let mut at = 0;
        while at < inner.sent.len() {
            match self.model.reply(inner.sent[at].0) {
                Some(reply) => {
                    let (_, job) = inner.sent.remove(at);
                    let outcome = reply.map_or_else(Outcome::Failed, |()| Outcome::Done);
                    inner.finished.push_back(Finished { job, outcome, took: Duration::ZERO });
                }
                None => at += 1,
            }
        }
    }
}

impl Inserts for Threads {
    fn start(&mut self, job: Job) {
        self.inner().queued.push_back(job);
    }

    fn finished(&mut self) -> Option<Finished> {
        self.inner().finished.pop_front()
    }

    fn most(&self) -> usize {
        self.most
    }
}
