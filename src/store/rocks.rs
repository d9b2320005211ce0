//! The only file that knows RocksDB: one database an instance, one column family a store partition.
//!
//! The write-ahead log is off, because the changelog is one. A crash therefore loses the newest writes, but a column
//! family keeps a prefix of its batches, and each batch carries its checkpoint: what is left is always a state that the
//! changelog can complete. One block cache, which memtables are charged to, bounds the memory of all stores together.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBWithThreadMode, DataBlockIndexType,
    MultiThreaded, Options, WriteBatch, WriteBufferManager, WriteOptions,
};

use super::{Checkpoint, Result, StoreError, layout};

type Db = DBWithThreadMode<MultiThreaded>;

pub struct Database {
    db: Db,
    options: Options,
    writes: WriteOptions,
    /// The partitions that are open in some worker.
    claims: Mutex<HashSet<String>>,
}

fn failed(what: &str, error: rocksdb::Error) -> StoreError {
    let text = error.to_string();
    let hint = if text.contains("No space left") { ": free some disk space and start again" } else { "" };
    StoreError::Failed(format!("{what}: {text}{hint}"))
}

fn column_family(cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_bloom_filter(10.0, false);
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(8 << 20);
    options.set_max_write_buffer_number(3);
    options.set_memtable_whole_key_filtering(true);
    options.set_memtable_prefix_bloom_ratio(0.1);
    options
}

impl Database {
    /// Opens or makes the database. A damaged one is set aside and made anew: its stores are restored from their
    /// changelogs.
    pub fn open(path: &Path, memory: u64) -> Result<Arc<Self>> {
        match Self::try_open(path, memory) {
            Ok(database) => Ok(Arc::new(database)),
            Err(error) if is_damage(&error) => {
                let aside = set_aside(path)?;
                tracing::error!(%error, path = %path.display(), aside = %aside.display(),
                    "the state is damaged; it was set aside and every store will be restored from its changelog");
                Self::try_open(path, memory).map(Arc::new).map_err(|e| failed("open the state", e))
            }
            Err(error) => Err(failed(&format!("open the state in {}", path.display()), error)),
        }
    }

    fn try_open(path: &Path, memory: u64) -> std::result::Result<Self, rocksdb::Error> {
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let cache = Cache::new_lru_cache(memory);
        let mut options = column_family(&cache);
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager_with_cache(
            memory / 2,
            false,
            cache.clone(),
        ));
        options.set_max_background_jobs(2);
        options.set_max_open_files(512);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(4 << 20);
        options.set_max_total_wal_size(1 << 20);
        let names = if path.join("CURRENT").exists() { Db::list_cf(&options, path)? } else { vec!["default".into()] };
        let families = names.into_iter().map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
        let db = Db::open_cf_descriptors(&options, path, families)?;
        let mut writes = WriteOptions::default();
        writes.disable_wal(true);
        Ok(Self { db, options, writes, claims: Mutex::default() })
    }

    /// Claims a store partition for one worker; `InUse` until the worker that has it lets go.
    pub fn partition(self: &Arc<Self>, name: &str) -> Result<Partition> {
        let mut claims = self.claims.lock().unwrap_or_else(|p| p.into_inner());
        if claims.contains(name) {
            return Err(StoreError::InUse);
        }
        if self.db.cf_handle(name).is_none() {
            self.db.create_cf(name, &self.options).map_err(|e| failed("make a store", e))?;
        }
        claims.insert(name.to_string());
        Ok(Partition { database: self.clone(), name: name.to_string() })
    }
}

fn is_damage(error: &rocksdb::Error) -> bool {
    use rocksdb::ErrorKind::*;
    let missing = error.kind() == IOError && error.to_string().contains("No such file");
    matches!(error.kind(), Corruption | Incomplete | InvalidArgument) || missing
}

fn set_aside(path: &Path) -> Result<PathBuf> {
    let free = (1..).map(|n| path.with_extension(format!("damaged-{n}"))).find(|p| !p.exists());
    let aside = free.unwrap_or_else(|| path.with_extension("damaged"));
    std::fs::rename(path, &aside).map_err(|e| StoreError::Failed(format!("set damaged state aside: {e}")))?;
    Ok(aside)
}

/// One store partition, claimed.
pub struct Partition {
    database: Arc<Database>,
    name: String,
}

impl Partition {
    fn family(&self) -> Result<Arc<rocksdb::BoundColumnFamily<'_>>> {
        let family = self.database.db.cf_handle(&self.name);
        family.ok_or_else(|| StoreError::Failed(format!("store {} is gone", self.name)))
    }

    pub fn get<T>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> T) -> Result<Option<T>> {
        let found = self.database.db.get_pinned_cf(&self.family()?, key);
        Ok(found.map_err(|e| failed("read the state", e))?.map(|value| read(&value)))
    }

    pub fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        Ok(self.get(layout::CHECKPOINT, Checkpoint::decode)?.flatten())
    }

    /// Writes data and checkpoint in one atomic batch.
    pub fn write(&self, writes: &[(&[u8], Option<&[u8]>)], checkpoint: &Checkpoint) -> Result<()> {
        let family = self.family()?;
        let mut batch = WriteBatch::with_capacity_bytes(writes.len() * 64 + 64);
        for (key, value) in writes {
            match value {
                Some(value) => batch.put_cf(&family, key, value),
                None => batch.delete_cf(&family, key),
            }
        }
        batch.put_cf(&family, layout::CHECKPOINT, checkpoint.encode());
        self.database.db.write_opt(batch, &self.database.writes).map_err(|e| failed("write the state", e))
    }

    /// Forgets everything, checkpoint included.
    pub fn wipe(&mut self) -> Result<()> {
        let db = &self.database.db;
        db.drop_cf(&self.name).map_err(|e| failed("wipe a store", e))?;
        db.create_cf(&self.name, &self.database.options).map_err(|e| failed("wipe a store", e))
    }

    /// Writes memtables out: without a write-ahead log, what a quiet store has in memory is lost by a crash, and a
    /// checkpoint that stays behind for days is good for nothing.
    pub fn flush(&self, wait: bool) -> Result<()> {
        let mut options = rocksdb::FlushOptions::default();
        options.set_wait(wait);
        self.database.db.flush_cf_opt(&self.family()?, &options).map_err(|e| failed("flush the state", e))
    }

    /// Estimated number of keys, and bytes on disk and in memtables.
    pub fn size(&self) -> (u64, u64) {
        let Ok(family) = self.family() else { return (0, 0) };
        let of = |name: &str| self.database.db.property_int_value_cf(&family, name).ok().flatten().unwrap_or(0);
        let bytes = of("rocksdb.total-sst-files-size") + of("rocksdb.cur-size-all-mem-tables");
        (of("rocksdb.estimate-num-keys"), bytes)
    }

    /// Every key and value, for tests and inspection.
    pub fn scan(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let family = self.family()?;
        let all = self.database.db.iterator_cf(&family, rocksdb::IteratorMode::Start);
        all.map(|entry| entry.map(|(k, v)| (k.to_vec(), v.to_vec())).map_err(|e| failed("read the state", e))).collect()
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
        one.write(&[(b"k", Some(b"v"))], &checkpoint).unwrap();
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
