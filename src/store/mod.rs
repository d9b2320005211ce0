//! State: what a task knows beyond the record in its hand.
//!
//! A [`Store`] is one partition of a database (RocksDB) with two layers in front. Writes are *staged* while a transaction is
//! open, sent to the changelog with it, and applied only after it has committed: state that got ahead of an aborted
//! transaction would turn the replay of its records into a silent loss. What is applied stays in memory for a while, the
//! newest value of each key, and is then written to RocksDB as one sorted batch: keys that change often cost it one write, and
//! a crash loses no more than it loses of RocksDB's own memory, because there is no write-ahead log.
//! Data and the checkpoint that covers them are written in one atomic batch, so a partition always knows how much of its
//! changelog it holds; after a crash the rest is replayed from there.

pub mod checkpoint;
pub mod database;
pub mod digest;
pub mod layout;
pub mod restore;
pub mod rocks;
mod writes;

use std::fmt;

pub use checkpoint::Checkpoint;
pub use database::{Database, Partition, Put};
use writes::Writes;

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

/// A store partition with what the open transaction changed, and what those before it did.
pub struct Store {
    partition: Partition,
    /// By the open transaction.
    staged: Writes,
    /// By transactions that have committed.
    applied: Writes,
    /// What covers them, and what is said of all that is there.
    covered: Option<(Checkpoint, Option<Vec<u8>>)>,
}

impl Store {
    pub fn new(partition: Partition) -> Self {
        Self { partition, staged: Writes::default(), applied: Writes::default(), covered: None }
    }

    pub fn partition(&mut self) -> &mut Partition {
        &mut self.partition
    }

    /// The value as the open transaction sees it.
    pub fn get<T>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        match self.staged.get(key).or_else(|| self.applied.get(key)) {
            Some(newest) => Ok(newest.map(read)),
            None => self.partition.get(key, read),
        }
    }

    /// None deletes the key.
    pub fn stage(&mut self, key: &[u8], value: Option<&[u8]>) {
        self.staged.put(key, value);
    }

    pub fn staged_bytes(&self) -> usize {
        self.staged.bytes()
    }

    /// What the changelog gets: one record a key.
    pub fn staged(&self) -> impl Iterator<Item = Put<'_>> {
        self.staged.iter()
    }

    /// After the commit: what was staged is state, up to the checkpoint. `mark` is kept with it, see [`Partition::mark`].
    pub fn apply(&mut self, checkpoint: &Checkpoint, mark: Option<Vec<u8>>) -> Result<()> {
        self.applied.take(&mut self.staged);
        self.covered = Some((*checkpoint, mark));
        if self.applied.bytes() > self.partition.room() { self.write() } else { Ok(()) }
    }

    /// After an abort.
    pub fn discard(&mut self) {
        self.staged.clear();
    }

    /// Writes to RocksDB what is applied, with its checkpoint, atomically.
    pub fn write(&mut self) -> Result<()> {
        let Some((checkpoint, mark)) = &self.covered else { return Ok(()) };
        self.partition.write(self.applied.sorted(), checkpoint, mark.as_deref())?;
        self.applied.clear();
        self.covered = None;
        Ok(())
    }

    /// The same, and down to the disk.
    pub fn flush(&mut self, wait: bool) -> Result<()> {
        self.write()?;
        self.partition.flush(wait)
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
    fn what_is_applied_is_written_with_the_last_checkpoint() {
        let (mut s, path) = store("applied");
        for offset in 0..3u8 {
            s.stage(b"a", Some(&[offset]));
            s.stage(&[offset], (offset != 1).then_some(b"x"));
            s.apply(&Checkpoint { topic_id: [7; 16], offset: offset.into(), at_ms: 5 }, Some(vec![offset])).unwrap();
        }
        s.stage(b"a", Some(b"of a transaction that aborts"));
        s.discard();
        s.write().unwrap();
        let p = s.partition();
        assert_eq!((p.checkpoint().unwrap().unwrap().offset, p.mark().unwrap()), (2, Some(vec![2])));
        let mut left = p.scan().unwrap();
        left.retain(|(key, _)| key.len() == 1);
        assert_eq!(left, [(vec![0], b"x".to_vec()), (vec![2], b"x".to_vec()), (b"a".to_vec(), vec![2])]);
        drop(s);
        std::fs::remove_dir_all(path).unwrap();
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
        s.apply(&checkpoint, None).unwrap();
        assert_eq!((read(&s, b"a"), s.staged().count()), (Some(b"3".to_vec()), 0));
        assert_eq!(s.partition().checkpoint().unwrap(), None, "it is in memory still");
        s.write().unwrap();
        assert_eq!(s.partition().checkpoint().unwrap(), Some(checkpoint));
        assert_eq!(read(&s, b"a"), Some(b"3".to_vec()));
        s.stage(b"a", None);
        assert_eq!(read(&s, b"a"), None, "a staged delete hides the stored value");
        drop(s);
        std::fs::remove_dir_all(path).unwrap();
    }
}
