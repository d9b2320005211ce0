//! A process that stands still within a step: a request has left or its answer has come, and the world goes on.
//!
//! Such a step runs on a thread of its own, which works only while everybody else waits for it: whose turn it is follows
//! from the seed alone, as it does everywhere else.

use std::any::Any;
use std::sync::Arc;
use std::thread::JoinHandle;

use highwater::log::LogError;

use crate::gate::{Gate, Turn};

/// Of a stream or of a sink.
pub trait Worker: Send + 'static {
    type Status: Send;
    fn step(&mut self) -> Result<Self::Status, LogError>;
}

type Stepped<W> = Result<<W as Worker>::Status, LogError>;
type Outcome<W> = Result<(Box<W>, Stepped<W>), Box<dyn Any + Send>>;

/// A step that is under way.
pub struct Standing<W: Worker> {
    gate: Arc<Gate>,
    thread: Option<JoinHandle<Outcome<W>>>,
}

/// How far a step came.
pub enum Came<W: Worker> {
    Over(Box<W>, Stepped<W>),
    Stands(Standing<W>, i64),
}

impl<W: Worker> Standing<W> {
    /// Begins a step; `lend` is told where it can stand still.
    pub fn begin(mut worker: Box<W>, lend: impl FnOnce(Arc<Gate>)) -> Came<W> {
        let gate = Gate::new();
        lend(gate.clone());
        let passed = gate.clone();
        let thread = std::thread::spawn(move || {
            let stepped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                let stepped = worker.step();
                (worker, stepped)
            }));
            passed.pass(Turn::World { stands: None });
            stepped
        });
        Self { gate, thread: Some(thread) }.until_it_stands()
    }

    /// It wakes up.
    pub fn go_on(self) -> Came<W> {
        self.gate.pass(Turn::Step);
        self.until_it_stands()
    }

    fn until_it_stands(mut self) -> Came<W> {
        if let Some(ms) = self.gate.wait() {
            return Came::Stands(self, ms);
        }
        let thread = self.thread.take().expect("not joined yet");
        match thread.join().expect("panics are caught") {
            Ok((worker, stepped)) => Came::Over(worker, stepped),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Of a process that died while it stood still: whatever it asks for now fails.
impl<W: Worker> Drop for Standing<W> {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            loop {
                self.gate.pass(Turn::Step);
                if self.gate.wait().is_none() {
                    break;
                }
            }
            let _ = thread.join();
        }
    }
}
