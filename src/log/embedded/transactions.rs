//! Transactional producers as their coordinator keeps them.
//!
//! ```text
//!            first record or offset           commit, abort, timeout, init           last marker
//!   Idle ─────────────────────────────▶ Open ──────────────────────────────▶ Ended ───────────────▶ Idle
//! ```
//! A decided transaction has its end on each partition only once the marker is there, and markers come one by one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::layout::{self, Place};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Idle,
    Open { since_ms: i64 },
    Ended { commit: bool },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Transaction {
    pub producer: i64,
    /// Grows with every `init` and every timeout: whoever holds an older one is fenced.
    pub epoch: u32,
    pub timeout_ms: i64,
    pub phase: Phase,
    /// (topic number, partition) without a marker yet.
    pub partitions: BTreeSet<(u32, i32)>,
    /// By group, offsets that count once the transaction has committed.
    pub offsets: BTreeMap<String, Vec<Pending>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub topic: u32,
    pub partition: i32,
    pub offset: i64,
    /// Of two transactions on one offset the one that *sent* it later wins, whichever commits later.
    pub turn: u64,
}

impl Pending {
    pub fn place(&self) -> Place {
        Place { topic: self.topic, partition: self.partition }
    }
}

impl Transaction {
    pub fn new(producer: i64) -> Self {
        Self {
            producer,
            epoch: 0,
            timeout_ms: 0,
            phase: Phase::Idle,
            partitions: BTreeSet::new(),
            offsets: BTreeMap::new(),
        }
    }

    pub fn outlived(&self, now: i64) -> bool {
        matches!(self.phase, Phase::Open { since_ms } if now - since_ms > self.timeout_ms)
    }

    /// Every marker is written.
    pub fn is_settled(&self) -> bool {
        self.partitions.is_empty() && self.offsets.is_empty()
    }

    pub fn saved(&self, id: &str) -> (Vec<u8>, Option<Vec<u8>>) {
        (layout::producer(id), Some(layout::encode(self)))
    }
}
