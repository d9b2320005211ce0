//! State: what a task knows beyond the record in its hand.
//!
//! A [`Store`] is one partition of a database (RocksDB) with an overlay in front. Writes are *staged* in the overlay while a
//! transaction is open, sent to the changelog with it, and applied to RocksDB only after it has committed: state that
//! got ahead of an aborted transaction would turn the replay of its records into a silent loss.
//! Data and checkpoint are applied in one atomic batch, so a partition always knows how much of its changelog it holds;
//! after a crash the rest is replayed from there.

pub mod checkpoint;
pub mod database;
pub mod digest;
pub mod layout;
pub mod restore;
pub mod rocks;

use std::fmt;

use rustc_hash::FxHashMap;

pub use checkpoint::Checkpoint;
pub use database::{Database, Partition};

/// What went wrong below the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// Another worker of this process has not closed the partition yet.
    InUse,
    /// The disk is full, the files are damaged, …
    Failed(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::InUse => f.write_str("the store partition is still open in another worker"),
            StoreError::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StoreError {}

pub type Result<T> = std::result::Result<T, StoreError>;

/// A key and its new value; None deletes it.
pub type Write = (Box<[u8]>, Option<Box<[u8]>>);

/// A store partition with what the open transaction changed.
pub struct Store {
    partition: Partition,
    overlay: FxHashMap<Box<[u8]>, Option<Box<[u8]>>>,
    staged_bytes: usize,
}

impl Store {
    pub fn new(partition: Partition) -> Self {
        Self { partition, overlay: FxHashMap::default(), staged_bytes: 0 }
    }

    pub fn partition(&mut self) -> &mut Partition {
        &mut self.partition
    }

    /// The value as the open transaction sees it.
    pub fn get<T>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        match self.overlay.get(key) {
            Some(staged) => Ok(staged.as_deref().map(read)),
            None => self.partition.get(key, read),
        }
    }

    /// None deletes the key.
    pub fn stage(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.staged_bytes += key.len() + value.map_or(0, <[u8]>::len);
        self.overlay.insert(key.into(), value.map(Into::into));
    }

    pub fn staged_bytes(&self) -> usize {
        self.staged_bytes
    }

    /// What the changelog gets: one record a key, in order of keys (RocksDB takes sorted batches far faster).
    pub fn staged(&self) -> Vec<(&[u8], Option<&[u8]>)> {
        let mut writes: Vec<_> = self.overlay.iter().map(|(k, v)| (&**k, v.as_deref())).collect();
        writes.sort_unstable_by_key(|(key, _)| *key);
        writes
    }

    /// After the commit: the staged writes and the checkpoint that covers them, atomically.
    pub fn apply(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.partition.write(self.staged(), checkpoint)?;
        self.discard();
        Ok(())
    }

    /// After an abort.
    pub fn discard(&mut self) {
        self.overlay.clear();
        self.staged_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str) -> (Store, std::path::PathBuf) {
        let path = std::env::temp_dir().join(format!("highwater-store-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let database = Database::open(&path, 8 << 20).unwrap();
        (Store::new(database.partition("s/t/0").unwrap()), path)
    }

    #[test]
    fn staged_writes_reach_the_disk_only_when_applied() {
        let (mut s, path) = store("staged");
        let read = |s: &Store, k: &[u8]| s.get(k, <[u8]>::to_vec).unwrap();
        s.stage(b"a", Some(b"1"));
        s.stage(b"b", Some(b"2"));
        assert_eq!(read(&s, b"a"), Some(b"1".to_vec()), "the open transaction sees its own writes");
        s.discard();
        assert_eq!(read(&s, b"a"), None);
        s.stage(b"a", Some(b"3"));
        let checkpoint = Checkpoint { topic_id: [7; 16], offset: 41, at_ms: 5 };
        s.apply(&checkpoint).unwrap();
        assert_eq!((read(&s, b"a"), s.staged().len()), (Some(b"3".to_vec()), 0));
        assert_eq!(s.partition().checkpoint().unwrap(), Some(checkpoint));
        s.stage(b"a", None);
        assert_eq!(read(&s, b"a"), None, "a staged delete hides the stored value");
        drop(s);
        std::fs::remove_dir_all(path).unwrap();
    }
}
