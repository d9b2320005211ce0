//! The stores of an instance: one database, one claimed partition a task.

use std::cell::Cell;
use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::rocks::Rocks;
use super::{Checkpoint, Result, StoreError, layout};

/// A key and its new value; None deletes it.
pub type Put<'a> = (&'a [u8], Option<&'a [u8]>);

/// What holds the bytes of stores, each by its name. RocksDB does ([`super::rocks`]); a simulation has disks of its own,
/// which forget what was not flushed, fill up and break when it says so.
/// Whom a key or value is handed to must not ask for another meanwhile.
pub trait Files: Send + Sync {
    /// All these are about to be made: for what makes many at once with less work.
    fn prepare(&self, _stores: &[String]) -> Result<()> {
        Ok(())
    }
    /// Makes the store if it is not there; true where it was not.
    fn make(&self, store: &str) -> Result<bool>;
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
    fn each(&self, store: &str, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()>;
}

pub struct Database {
    files: Box<dyn Files>,
    /// What all partitions together may keep in memory before they write it.
    room: usize,
    /// The partitions that are open in some worker.
    claims: Mutex<HashSet<String>>,
}

impl Database {
    /// In RocksDB; made if it is not there, set aside and made anew if it is damaged.
    pub fn open(path: &Path, memory: u64) -> Result<Arc<Self>> {
        let room = usize::try_from(memory / 4).unwrap_or(usize::MAX);
        Ok(Self::over(Box::new(Rocks::open(path, memory - memory / 4)?), room))
    }

    pub fn over(files: Box<dyn Files>, room: usize) -> Arc<Self> {
        Arc::new(Self { files, room, claims: Mutex::default() })
    }

    /// The stores that were there when it was opened, whether anybody reads them or not.
    pub fn found(&self) -> Vec<String> {
        self.files.names()
    }

    /// These are about to be claimed.
    pub fn expect(&self, names: &[String]) -> Result<()> {
        self.files.prepare(names)
    }

    /// Claims a store partition for one worker; `InUse` until the worker that has it lets go.
    pub fn partition(self: &Arc<Self>, name: &str) -> Result<Partition> {
        let mut claims = self.claims.lock().unwrap_or_else(|p| p.into_inner());
        if claims.contains(name) {
            return Err(StoreError::InUse);
        }
        let made = self.files.make(name)?;
        claims.insert(name.to_string());
        Ok(Partition { database: self.clone(), name: name.to_string(), untouched: made.into() })
    }
}

/// One store partition, claimed.
pub struct Partition {
    database: Arc<Database>,
    name: String,
    /// Made by this claim, and nothing was written to it.
    untouched: Cell<bool>,
}

impl Partition {
    fn files(&self) -> &dyn Files {
        self.database.files.as_ref()
    }

    /// How much may be kept in memory before it is written here.
    pub fn room(&self) -> usize {
        let claims = self.database.claims.lock().unwrap_or_else(|p| p.into_inner()).len();
        self.database.room / claims.max(1)
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

    /// Writes data, the checkpoint that covers them, and what is said of all that is there then, in one atomic batch.
    pub fn write(&self, puts: Vec<Put<'_>>, checkpoint: &Checkpoint, mark: Option<&[u8]>) -> Result<()> {
        self.untouched.set(false);
        let mark = mark.map(|mark| [&checkpoint.offset.to_le_bytes(), mark].concat());
        let (mut puts, checkpoint) = (puts, checkpoint.encode());
        puts.push((layout::MARK, mark.as_deref()));
        puts.push((layout::CHECKPOINT, Some(&checkpoint)));
        self.files().write(&self.name, &puts)
    }

    /// What the last write said of all that is there. None where a version that knows no marks wrote after it: the mark
    /// bears the offset of its checkpoint.
    pub fn mark(&self) -> Result<Option<Vec<u8>>> {
        let Some(checkpoint) = self.checkpoint()? else { return Ok(None) };
        let kept = self.get(layout::MARK, <[u8]>::to_vec)?;
        Ok(kept.and_then(|mark| mark.strip_prefix(&checkpoint.offset.to_le_bytes()).map(<[u8]>::to_vec)))
    }

    /// Forgets everything, checkpoint included.
    pub fn wipe(&mut self) -> Result<()> {
        if self.untouched.get() { Ok(()) } else { self.files().wipe(&self.name) }
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

    pub fn each(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        self.files().each(&self.name, visit)
    }

    /// Every key and value, for tests and inspection.
    pub fn scan(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut all = Vec::new();
        self.each(&mut |key, value| all.push((key.to_vec(), value.to_vec())))?;
        Ok(all)
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
        one.write(vec![(b"k", Some(b"v"))], &checkpoint, None).unwrap();
        one.flush(true).unwrap();
        drop((one, database));
        let database = Database::open(&path, 8 << 20).unwrap();
        let mut one = database.partition("a/t/0").unwrap();
        assert_eq!(one.checkpoint().unwrap(), Some(checkpoint));
        // Whoever moves the checkpoint alone, as earlier versions do, leaves no mark that holds.
        one.write(vec![], &checkpoint, Some(b"m")).unwrap();
        assert_eq!(one.mark().unwrap(), Some(b"m".to_vec()));
        let moved = Checkpoint { offset: 2, ..checkpoint }.encode();
        one.files().write("a/t/0", &[(layout::CHECKPOINT, Some(&moved))]).unwrap();
        assert_eq!(one.mark().unwrap(), None);
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

    #[test]
    fn what_is_made_together_stands_beside_what_was_there() {
        let path = std::env::temp_dir().join(format!("highwater-together-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let names: Vec<String> = (0..20).map(|n| format!("s/t/{n}")).collect();
        let checkpoint = Checkpoint { topic_id: [0; 16], offset: 1, at_ms: 0 };
        let database = Database::open(&path, 8 << 20).unwrap();
        // Never flushed: it outlives the opening again all the same.
        database.partition(&names[3]).unwrap().write(vec![(b"k", Some(b"v"))], &checkpoint, None).unwrap();
        database.expect(&names).unwrap();
        let mut partitions: Vec<_> = names.iter().map(|name| database.partition(name).unwrap()).collect();
        for (n, partition) in partitions.iter().enumerate() {
            assert_eq!(partition.untouched.get(), n != 3, "{n}");
            assert_eq!(partition.checkpoint().unwrap(), (n == 3).then_some(checkpoint));
            partition.write(vec![(b"k", Some(b"w"))], &checkpoint, None).unwrap();
        }
        // Another worker's, while these are in use: what they wrote and never flushed is there afterwards.
        let more: Vec<String> = (20..40).map(|n| format!("s/t/{n}")).collect();
        database.expect(&more).unwrap();
        assert!(database.files.each(&more[0], &mut |_, _| {}).is_ok(), "not made together");
        assert!(database.partition(&more[0]).unwrap().untouched.get());
        assert!(partitions.iter().all(|partition| partition.get(b"k", |v| v == b"w").unwrap() == Some(true)));
        partitions[0].wipe().unwrap();
        assert_eq!((partitions[0].scan().unwrap(), partitions[1].checkpoint().unwrap()), (vec![], Some(checkpoint)));
        drop((partitions, database));
        std::fs::remove_dir_all(path).unwrap();
    }
}
