//! A source that never rests: changes at a steady pace, whatever becomes of the brokers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::Line;
use crate::support::cluster::NODES;
use crate::support::topics::Clients;

/// Longer than brokers are ever away.
const PATIENCE: Duration = Duration::from_secs(600);

pub struct Feed {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    written: AtomicUsize,
}

impl Feed {
    pub fn start(bootstrap: String, lines: Vec<Line>, per_second: usize) -> Self {
        let shared = Arc::new(Shared::default());
        let ours = shared.clone();
        let thread = thread::spawn(move || {
            let clients = Clients::of(bootstrap, NODES as i32);
            for some in lines.chunks(per_second / 20) {
                let due = Instant::now() + Duration::from_millis(50);
                if ours.stop.load(Ordering::SeqCst) {
                    return;
                }
                // Returns when they are written: what brokers hold up is not made up for.
                clients.produce_within(PATIENCE, some);
                ours.written.fetch_add(some.len(), Ordering::SeqCst);
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        Self { shared, thread: Some(thread) }
    }

    pub fn written(&self) -> usize {
        self.shared.written.load(Ordering::SeqCst)
    }

    /// It has nothing left, or it failed.
    pub fn is_dry(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The number of changes written.
    pub fn stop(mut self) -> usize {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the source writes");
        }
        self.written()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}
