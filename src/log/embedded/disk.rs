//! The embedded log's database. The only file of this room that knows RocksDB.
//!
//! Unlike the stores' it has its write-ahead log on: it *is* the log. Every write survives the process as soon as it
//! returns; those that must survive the machine are synced. Batches go to blob files, so that compaction does not write
//! them again and again.
//!
//! What is damaged or missing is an error and never an end: a transaction that was committed does not go with the bytes
//! behind it. Only the newest write-ahead log may end early, as a crash leaves it: that is no error.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, Direction, ErrorKind, IteratorMode, Options,
    WriteBatch, WriteOptions,
};

use super::storage::{Found, Result};

pub struct Disk {
    db: DB,
    lasting: WriteOptions,
}

fn failed(what: &str, error: &rocksdb::Error) -> String {
    let text = error.to_string();
    let hint = match error.kind() {
        _ if text.contains("No space left") => ": free some disk space and start again",
        ErrorKind::Corruption | ErrorKind::InvalidArgument => DAMAGED,
        ErrorKind::IOError if text.contains("No such file") => DAMAGED,
        _ => "",
    };
    format!("cannot {what} the embedded log: {text}{hint}")
}

const DAMAGED: &str = ". It is damaged: put a copy of the whole directory back, or begin anew in another one";

/// Visits every key and value of a database, whoever has it open, and writes nothing there.
pub fn each(path: &Path, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
    // A database that is only read writes a log, too: elsewhere, then.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let elsewhere = std::env::temp_dir().join(format!("highwater-looking-{}-{count}", std::process::id()));
    let mut options = Options::default();
    options.set_db_log_dir(&elsewhere);
    options.set_max_open_files(64);
    let mut read = || {
        let db = DB::open_for_read_only(&options, path, false)?;
        for entry in db.iterator(IteratorMode::Start) {
            let (key, value) = entry?;
            visit(&key, &value);
        }
        Ok(())
    };
    let outcome = read();
    // Where it was never made, there is nothing to remove.
    let _ = std::fs::remove_dir_all(&elsewhere);
    outcome.map_err(|e| failed("read", &e))
}

/// What is missing of a log that was whole once. RocksDB would make a new one in its place, or go on without what lay in a
/// write-ahead log that is gone.
fn missing(path: &Path, was_whole: bool) -> Option<&'static str> {
    let current = path.join("CURRENT").exists();
    let has = |extensions: &[&str]| {
        let mut files = std::fs::read_dir(path).into_iter().flatten().flatten().map(|file| file.path());
        files.any(|file| file.extension().is_some_and(|found| extensions.iter().any(|e| found == *e)))
    };
    match was_whole {
        _ if !current && has(&["sst", "blob", "log"]) => Some("CURRENT"),
        true if !current => Some("everything"),
        true if !has(&["log"]) => Some("the write-ahead log"),
        _ => None,
    }
}

impl Disk {
    /// `was_whole`: there must be one already.
    pub fn open(path: &Path, was_whole: bool) -> Result<Self> {
        if let Some(what) = missing(path, was_whole) {
            return Err(format!("cannot open {} for the embedded log: {what} is missing{DAMAGED}", path.display()));
        }
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&Cache::new_lru_cache(8 << 20));
        let mut options = Options::default();
        options.create_if_missing(!was_whole);
        // The default would end at the first damaged record, and forget all committed behind it.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_block_based_table_factory(&table);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(32 << 20);
        options.set_max_write_buffer_number(3);
        options.set_enable_blob_files(true);
        options.set_min_blob_size(4096);
        options.set_blob_file_size(256 << 20);
        options.set_blob_compression_type(DBCompressionType::Lz4);
        options.set_enable_blob_gc(true);
        options.set_max_background_jobs(2);
        options.set_max_open_files(256);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(4 << 20);
        let db = DB::open(&options, path).map_err(|e| failed(&format!("open {} for", path.display()), &e))?;
        let mut lasting = WriteOptions::default();
        lasting.set_sync(true);
        Ok(Self { db, lasting })
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Arc<Vec<u8>>>> {
        Ok(self.db.get(key).map_err(|e| failed("read", &e))?.map(Arc::new))
    }

    pub fn at_most(&self, prefix: &[u8], key: &[u8]) -> Result<Found> {
        self.seek(prefix, IteratorMode::From(key, Direction::Reverse))
    }

    pub fn at_least(&self, prefix: &[u8], key: &[u8]) -> Result<Found> {
        self.seek(prefix, IteratorMode::From(key, Direction::Forward))
    }

    fn seek(&self, prefix: &[u8], mode: IteratorMode<'_>) -> Result<Found> {
        match self.db.iterator(mode).next() {
            None => Ok(None),
            Some(Err(error)) => Err(failed("read", &error)),
            Some(Ok((key, value))) => Ok(key.starts_with(prefix).then(|| (key.into_vec(), Arc::new(value.into_vec())))),
        }
    }

    pub fn remove_all(&self, prefix: &[u8]) -> Result<()> {
        let mut end = prefix.to_vec();
        // No prefix of ours ends in 255 all through: it begins with a letter.
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let mut batch = WriteBatch::default();
        batch.delete_range(prefix, &end[..]);
        self.db.write(batch).map_err(|e| failed("write", &e))
    }

    pub fn write(&self, changes: &[(Vec<u8>, Option<Vec<u8>>)], lasting: bool) -> Result<()> {
        if changes.is_empty() {
            return if lasting { self.db.flush_wal(true).map_err(|e| failed("write", &e)) } else { Ok(()) };
        }
        let mut batch = WriteBatch::with_capacity_bytes(
            changes.iter().map(|(k, v)| k.len() + v.as_ref().map_or(0, Vec::len) + 16).sum(),
        );
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        let written = if lasting { self.db.write_opt(batch, &self.lasting) } else { self.db.write(batch) };
        written.map_err(|e| failed("write", &e))
    }
}
