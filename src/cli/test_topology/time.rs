//! Time and chance of a scenario: the same in every run.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::engine::clock::Clock;

/// 2026-01-01T00:00:00Z.
const BEGINNING_MS: i64 = 1_767_225_600_000;

/// Stands still unless it is moved.
pub struct ManualClock {
    beginning: Instant,
    ms: Arc<AtomicI64>,
    drawn: AtomicU64,
}

impl ManualClock {
    pub fn new() -> Self {
        let ms = Arc::new(AtomicI64::new(BEGINNING_MS));
        Self { beginning: Instant::now(), ms, drawn: AtomicU64::new(0) }
    }

    /// For the log: the same milliseconds.
    pub fn shared(&self) -> Arc<AtomicI64> {
        self.ms.clone()
    }

    pub fn advance(&self, time: Duration) {
        self.ms.fetch_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.beginning + Duration::from_millis((self.wall_ms() - BEGINNING_MS).unsigned_abs())
    }

    fn wall_ms(&self) -> i64 {
        self.ms.load(Ordering::SeqCst)
    }

    fn sleep(&self, time: Duration) {
        self.advance(time);
    }

    /// SplitMix64 of a count: nothing here is to be kept from anybody.
    fn random(&self, bytes: &mut [u8]) -> Result<(), String> {
        for chunk in bytes.chunks_mut(8) {
            let count = self.drawn.fetch_add(1, Ordering::SeqCst) + 1;
            let mut mixed = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            let drawn = (mixed ^ mixed >> 31).to_le_bytes();
            chunk.iter_mut().zip(drawn).for_each(|(byte, new)| *byte = new);
        }
        Ok(())
    }
}
