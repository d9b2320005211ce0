//! Whose turn it is, where a step stands still in its middle: the step's, on its own thread, or everybody else's.

use std::sync::{Arc, Condvar, Mutex};

#[derive(Clone, Copy, PartialEq)]
pub enum Turn {
    Step,
    World { stands: Option<i64> },
}

/// Whose turn it is.
pub struct Gate {
    turn: Mutex<Turn>,
    passed: Condvar,
}

impl Gate {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { turn: Mutex::new(Turn::Step), passed: Condvar::new() })
    }

    pub fn pass(&self, to: Turn) {
        *self.turn.lock().expect("whole") = to;
        self.passed.notify_all();
    }

    /// From within the step: the world goes on for so many milliseconds of its time.
    pub fn stand_still(&self, ms: i64) {
        self.pass(Turn::World { stands: Some(ms) });
        let turn = self.turn.lock().expect("whole");
        drop(self.passed.wait_while(turn, |turn| *turn != Turn::Step).expect("whole"));
    }

    /// Until the step stands still, for how long, or is over.
    pub fn wait(&self) -> Option<i64> {
        let turn = self.turn.lock().expect("whole");
        let turn = self.passed.wait_while(turn, |turn| *turn == Turn::Step).expect("whole");
        match *turn {
            Turn::World { stands } => stands,
            Turn::Step => None,
        }
    }
}
