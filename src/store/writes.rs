//! Keys and their newest values, in memory.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::Put;

/// The keys of stores, and all but the longest of their values, fit without an allocation.
type Bytes = SmallVec<[u8; 24]>;

/// What an entry takes beyond its bytes, about.
const OVERHEAD: usize = 64;

/// One value a key; None where it is deleted.
#[derive(Default)]
pub struct Writes {
    newest: FxHashMap<Bytes, Option<Bytes>>,
    bytes: usize,
}

impl Writes {
    /// None where it says nothing of the key.
    pub fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.newest.get(key).map(Option::as_deref)
    }

    pub fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.insert(key.into(), value.map(Into::into));
    }

    fn insert(&mut self, key: Bytes, value: Option<Bytes>) {
        let of = |value: &Option<Bytes>| value.as_ref().map_or(0, SmallVec::len);
        let (more, key_bytes) = (of(&value), key.len());
        match self.newest.insert(key, value) {
            Some(old) => self.bytes -= of(&old),
            None => self.bytes += OVERHEAD + key_bytes,
        }
        self.bytes += more;
    }

    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
    }

    /// About what it takes of memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn iter(&self) -> impl Iterator<Item = Put<'_>> {
        self.newest.iter().map(|(key, value)| (&**key, value.as_deref()))
    }

    /// In order of keys: RocksDB takes sorted batches far faster.
    pub fn sorted(&self) -> Vec<Put<'_>> {
        let mut writes: Vec<_> = self.iter().collect();
        writes.sort_unstable_by_key(|(key, _)| *key);
        writes
    }

    /// Everything of another, which is newer.
    pub fn take(&mut self, newer: &mut Self) {
        newer.newest.drain().for_each(|(key, value)| self.insert(key, value));
        newer.bytes = 0;
    }

    pub fn clear(&mut self) {
        self.newest.clear();
        self.bytes = 0;
    }
}
