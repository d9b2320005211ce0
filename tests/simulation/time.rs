//! Time stands still unless the simulation moves it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use highwater::engine::clock::Clock;

use crate::chance::Chance;

/// 2026-01-01T00:00:00Z.
const BEGINNING_MS: i64 = 1_767_225_600_000;

/// The world's time; everybody has the same.
#[derive(Clone)]
pub struct Time {
    beginning: Instant,
    ms: Arc<AtomicI64>,
}

impl Time {
    pub fn new() -> Self {
        Self { beginning: Instant::now(), ms: Arc::new(AtomicI64::new(BEGINNING_MS)) }
    }

    /// For the log's coordinators.
    pub fn shared(&self) -> Arc<AtomicI64> {
        self.ms.clone()
    }

    pub fn ms(&self) -> i64 {
        self.ms.load(Ordering::SeqCst) - BEGINNING_MS
    }

    pub fn advance(&self, ms: i64) {
        self.ms.fetch_add(ms, Ordering::SeqCst);
    }
}

/// A process's clock. Sleeping is not being scheduled.
pub struct ProcessClock {
    time: Time,
    chance: Mutex<Chance>,
    wake: AtomicI64,
}

impl ProcessClock {
    pub fn new(time: Time, chance: Chance) -> Self {
        Self { time, chance: Mutex::new(chance), wake: AtomicI64::new(0) }
    }

    /// Until when the process sleeps.
    pub fn wake(&self) -> i64 {
        self.wake.load(Ordering::SeqCst)
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Instant {
        self.time.beginning + Duration::from_millis(self.time.ms().unsigned_abs())
    }

    fn wall_ms(&self) -> i64 {
        self.time.ms.load(Ordering::SeqCst)
    }

    fn sleep(&self, time: Duration) {
        // Whoever waits in a loop waits for something: time goes on.
        self.time.advance(1);
        self.wake.store(self.time.ms() + time.as_millis() as i64, Ordering::SeqCst);
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), String> {
        let mut chance = self.chance.lock().expect("one thread");
        bytes.chunks_mut(8).for_each(|chunk| {
            let drawn = chance.next().to_le_bytes();
            chunk.iter_mut().zip(drawn).for_each(|(byte, new)| *byte = new);
        });
        Ok(())
    }
}
