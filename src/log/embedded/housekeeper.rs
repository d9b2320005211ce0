//! The thread that does what a cluster does by itself: it writes what lingers, lets time pass, compacts what is due.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::broker::Broker;
use super::buffer::{Buffer, LINGER_MS};
use super::cleaner;

type Buffers = Arc<Mutex<Vec<Weak<Mutex<Buffer>>>>>;

/// Rounds between two looks for what is to be compacted.
const CLEAN_EVERY: u32 = 250;

pub struct Housekeeper {
    buffers: Buffers,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|p| p.into_inner())
}

impl Housekeeper {
    pub fn start(broker: Arc<Broker>) -> Self {
        let (buffers, stop) = (Buffers::default(), Arc::new(AtomicBool::new(false)));
        let (seen, stopped) = (buffers.clone(), stop.clone());
        let round = move || {
            let mut rounds = 0u32;
            while !stopped.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(LINGER_MS as u64));
                let lingering: Vec<_> = {
                    let mut all = locked(&seen);
                    all.retain(|buffer| buffer.strong_count() > 0);
                    all.iter().filter_map(Weak::upgrade).collect()
                };
                for buffer in lingering {
                    // A producer that is at work sees for itself.
                    if let Ok(mut buffer) = buffer.try_lock() {
                        buffer.flush_lingering();
                    }
                }
                rounds = rounds.wrapping_add(1);
                let cleaned = match rounds.is_multiple_of(CLEAN_EVERY) {
                    true => cleaner::clean(&broker, true),
                    false => broker.enter().map(drop),
                };
                if let Err(error) = cleaned {
                    tracing::error!(%error, "the embedded log cannot go on");
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("embedded-log".into()).spawn(round);
        let thread = thread.inspect_err(|error| tracing::error!(%error, "nobody looks after the embedded log")).ok();
        Self { buffers, stop, thread }
    }

    pub fn look_after(&self, buffer: &Arc<Mutex<Buffer>>) {
        locked(&self.buffers).push(Arc::downgrade(buffer));
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Its panics were told where they happened.
            let _ = thread.join();
        }
    }
}
