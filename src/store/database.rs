//! The stores of an instance: one database, one claimed partition a task.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::rocks::Rocks;
use super::{Checkpoint, Result, StoreError, layout};

/// A key and its new value; None deletes it.
pub type Put<'a> = (&'a [u8], Option<&'a [u8]>);

/// What holds the bytes of stores, each by its name. RocksDB does ([`super::rocks`]); a simulation has disks of its own,
/// which forget what was not flushed, fill up and break when it says so.
pub trait Files: Send + Sync {
    /// Makes the store if it is not there.
    fn make(&self, store: &str) -> Result<()>;
    /// Hands over the key's value if it has one.
    fn get(&self, store: &str, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<()>;
    /// All or nothing. A crash may lose the newest writes of a store that were not flushed, never one in the middle.
    fn write(&self, store: &str, puts: &[Put<'_>]) -> Result<()>;
    /// Forgets everything.
    fn wipe(&self, store: &str) -> Result<()>;
    /// Makes what was written last.
    fn flush(&self, store: &str, wait: bool) -> Result<()>;
    /// Estimated number of keys, and bytes on disk and in memory.
    fn size(&self, store: &str) -> (u64, u64);
    /// The stores that are there from before.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
    /// Every key and value.
    fn scan(&self, store: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>>;
}

pub struct Database {
    files: Box<dyn Files>,
    /// The partitions that are open in some worker.
    claims: Mutex<HashSet<String>>,
}

impl Database {
    /// In RocksDB; made if it is not there, set aside and made anew if it is damaged.
    pub fn open(path: &Path, memory: u64) -> Result<Arc<Self>> {
        Ok(Self::over(Box::new(Rocks::open(path, memory)?)))
    }

    pub fn over(files: Box<dyn Files>) -> Arc<Self> {
        Arc::new(Self { files, claims: Mutex::default() })
    }

    /// The stores that were there when it was opened, whether anybody reads them or not.
    pub fn found(&self) -> Vec<String> {
        self.files.names()
    }

    /// Claims a store partition for one worker; `InUse` until the worker that has it lets go.
    pub fn partition(self: &Arc<Self>, name: &str) -> Result<Partition> {
        let mut claims = self.claims.lock().unwrap_or_else(|p| p.into_inner());
        if claims.contains(name) {
            return Err(StoreError::InUse);
        }
        self.files.make(name)?;
        claims.insert(name.to_string());
        Ok(Partition { database: self.clone(), name: name.to_string() })
    }
}

/// One store partition, claimed.
pub struct Partition {
    database: Arc<Database>,
    name: String,
}

impl Partition {
    fn files(&self) -> &dyn Files {
        self.database.files.as_ref()
    }

    pub fn get<T>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let (mut read, mut found) = (Some(read), None);
        self.files().get(&self.name, key, &mut |value| found = read.take().map(|read| read(value)))?;
        Ok(found)
    }

    /// One that cannot be read is an error: a store of a later version must not be taken for an empty one.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        let read = |bytes: &[u8]| Checkpoint::decode(bytes).ok_or_else(|| layout::unreadable("checkpoint", bytes));
        let kept = self.get(layout::CHECKPOINT, read)?.transpose();
        kept.map_err(|why| {
            StoreError::Failed(format!(
                "store {}: {why}. Run the version that wrote it, or use another state directory (--state DIR): its stores are \
                 restored from their changelogs",
                self.name
            ))
        })
    }

    /// Writes data and checkpoint in one atomic batch.
    pub fn write(&self, puts: Vec<Put<'_>>, checkpoint: &Checkpoint) -> Result<()> {
        let (mut puts, checkpoint) = (puts, checkpoint.encode());
        puts.push((layout::CHECKPOINT, Some(&checkpoint)));
        self.files().write(&self.name, &puts)
    }

    /// Forgets everything, checkpoint included.
    pub fn wipe(&mut self) -> Result<()> {
        self.files().wipe(&self.name)
    }

    /// Writes memtables out: without a write-ahead log, what a quiet store has in memory is lost by a crash, and a
    /// checkpoint that stays behind for days is good for nothing.
    pub fn flush(&self, wait: bool) -> Result<()> {
        self.files().flush(&self.name, wait)
    }

    /// Estimated number of keys, and bytes on disk and in memtables.
    pub fn size(&self) -> (u64, u64) {
        self.files().size(&self.name)
    }

    /// Every key and value, for tests and inspection.
    pub fn scan(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.files().scan(&self.name)
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        self.database.claims.lock().unwrap_or_else(|p| p.into_inner()).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_has_one_owner_and_a_wiped_one_is_empty() {
        let path = std::env::temp_dir().join(format!("highwater-rocks-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let database = Database::open(&path, 8 << 20).unwrap();
        let one = database.partition("a/t/0").unwrap();
        assert_eq!(database.partition("a/t/0").err(), Some(StoreError::InUse));
        let checkpoint = Checkpoint { topic_id: [0; 16], offset: 1, at_ms: 0 };
        one.write(vec![(b"k", Some(b"v"))], &checkpoint).unwrap();
        one.flush(true).unwrap();
        drop((one, database));
        let database = Database::open(&path, 8 << 20).unwrap();
        let mut one = database.partition("a/t/0").unwrap();
        assert_eq!(one.checkpoint().unwrap(), Some(checkpoint));
        one.wipe().unwrap();
        assert_eq!((one.checkpoint().unwrap(), one.scan().unwrap()), (None, vec![]));
        drop((one, database));
        // Damage: the database is set aside, and a new one begins empty.
        std::fs::write(path.join("CURRENT"), "MANIFEST-999999\n").unwrap();
        let database = Database::open(&path, 8 << 20).unwrap();
        assert_eq!(database.partition("a/t/0").unwrap().checkpoint().unwrap(), None);
        drop(database);
        std::fs::remove_dir_all(path.with_extension("damaged-1")).unwrap();
        std::fs::remove_dir_all(path).unwrap();
    }
}
