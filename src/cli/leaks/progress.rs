//! How far a long search is: one line on a terminal, written over and over; nothing in a pipe.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(200);

pub struct Progress {
    is_seen: bool,
    what: String,
    of: u64,
    done: u64,
    last: Instant,
}

impl Progress {
    pub fn on_a_terminal() -> Self {
        let mut progress = Self::hidden();
        progress.is_seen = std::io::stderr().is_terminal();
        progress
    }

    /// For who tells it otherwise.
    pub fn hidden() -> Self {
        Self { is_seen: false, what: String::new(), of: 0, done: 0, last: Instant::now() }
    }

    /// Begins something that has so many steps; none where nobody knows.
    pub fn begin(&mut self, what: impl Into<String>, of: u64) {
        (self.what, self.of, self.done) = (what.into(), of, 0);
        self.show();
    }

    pub fn step(&mut self, steps: u64) {
        self.done += steps;
        if self.is_seen && self.last.elapsed() > EVERY {
            self.show();
        }
    }

    fn show(&mut self) {
        if !self.is_seen {
            return;
        }
        self.last = Instant::now();
        let part = match self.of {
            0 => String::new(),
            of => format!(" {}%", (self.done * 100 / of).min(100)),
        };
        // If stderr is gone there is nobody left to tell.
        let _ = write!(std::io::stderr(), "\r\x1b[K{}{part}", self.what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_seen {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
