//! What rows say, in one number: the same for the same rows of each key in the same order, however keys are mixed.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

use rustc_hash::FxHashMap;

/// By key, the chain over its rows: one left out, repeated, changed or out of its order changes the end of it.
#[derive(Debug, Default)]
pub struct Digest {
    chains: FxHashMap<u64, u64>,
    rows: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    pub rows: u64,
    pub keys: u64,
    pub digest: u64,
}

impl Rows {
    /// Panics where these rows are not the right ones.
    #[track_caller]
    pub fn check(&self, found: &Self, what: &str) {
        assert_eq!(found, self, "{what}: the answer is wrong");
    }
}

fn hash(seed: u64, bytes: &[u8]) -> u64 {
    // Its keys are fixed: the same in every process.
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(seed);
    hasher.write(bytes);
    hasher.finish()
}

impl Digest {
    /// Returns the key's hash.
    pub fn add(&mut self, key: &[u8], row: &[u8]) -> u64 {
        let key = hash(0, key);
        let chain = self.chains.entry(key).or_default();
        *chain = hash(*chain, row);
        self.rows += 1;
        key
    }

    pub fn rows(&self) -> Rows {
        let mixed = self.chains.iter().map(|(key, chain)| hash(*key, &chain.to_le_bytes()));
        Rows { rows: self.rows, keys: self.chains.len() as u64, digest: mixed.fold(0, u64::wrapping_add) }
    }
}
