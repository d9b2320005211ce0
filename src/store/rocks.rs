//! The only file that knows RocksDB: one database an instance, one column family a store partition.
//!
//! The write-ahead log is off, because the changelog is one. A crash therefore loses the newest writes, but a column
//! family keeps a prefix of its batches, and each batch carries its checkpoint: what is left is always a state that the
//! changelog can complete. One block cache, which memtables are charged to, bounds the memory of all stores together.

use std::collections::HashSet;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBWithThreadMode, DataBlockIndexType,
    MultiThreaded, Options, WriteBatch, WriteBufferManager, WriteOptions,
};

use super::database::{Files, Put};
use super::{Result, StoreError};

type Db = DBWithThreadMode<MultiThreaded>;

pub struct Rocks {
    /// None where it could not be opened again.
    db: RwLock<Option<Db>>,
    options: Options,
    writes: WriteOptions,
    path: PathBuf,
    /// The stores that were there when it was opened.
    found: Vec<String>,
    /// Made together, and not asked for one by one yet.
    fresh: Mutex<HashSet<String>>,
}

/// RocksDB writes and reads back the options of every store when it makes one, 13 ms among sixty of them; those that are
/// missing when it opens it makes together. From so many on it is opened again.
const TOGETHER: usize = 8;

/// The database, as long as nobody opens it again.
struct Open<'a>(RwLockReadGuard<'a, Option<Db>>);

impl Deref for Open<'_> {
    type Target = Db;

    fn deref(&self) -> &Db {
        self.0.as_ref().expect("looked at before it is handed out")
    }
}

impl Open<'_> {
    fn family(&self, store: &str) -> Result<Arc<rocksdb::BoundColumnFamily<'_>>> {
        self.cf_handle(store).ok_or_else(|| StoreError::Failed(format!("store {store} is gone")))
    }
}

/// Damage that is met while the database is open is left for the next start, which sets the database aside.
const DAMAGED: &str = "damaged";

fn failed(what: &str, path: &Path, error: &rocksdb::Error) -> StoreError {
    let text = error.to_string();
    let hint = if error.kind() == rocksdb::ErrorKind::Corruption {
        match std::fs::write(path.join(DAMAGED), &text) {
            Ok(()) => {
                ". Start again: what is damaged is set aside then, and every store restored from its changelog".into()
            }
            Err(e) => format!(". Remove {}: every store is restored from its changelog then ({e})", path.display()),
        }
    } else if text.contains("No space left") {
        ": free some disk space and start again".into()
    } else {
        String::new()
    };
    StoreError::Failed(format!("{what}: {text}{hint}"))
}

/// RocksDB would make a new database in place of one that lost this file, and remove what is left of the old one.
fn has_lost_current(path: &Path) -> bool {
    let mut files = std::fs::read_dir(path).into_iter().flatten().flatten().map(|file| file.path());
    !path.join("CURRENT").exists() && files.any(|file| file.extension().is_some_and(|e| e == "sst"))
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
    options
}

impl Rocks {
    /// Opens or makes the database. A damaged one is set aside and made anew: its stores are restored from their
    /// changelogs.
    pub fn open(path: &Path, memory: u64) -> Result<Self> {
        if has_lost_current(path) {
            set_aside(path, "CURRENT is missing")?;
        } else if let Ok(text) = std::fs::read_to_string(path.join(DAMAGED)) {
            set_aside(path, &text)?;
        }
        match Self::try_open(path, memory) {
            Ok(rocks) => Ok(rocks),
            Err(error) if is_damage(&error) => {
                set_aside(path, error.as_ref())?;
                Self::try_open(path, memory).map_err(|e| failed("open the state", path, &e))
            }
            Err(error) => Err(failed(&format!("open the state in {}", path.display()), path, &error)),
        }
    }

    fn failed(&self, what: &str) -> impl Fn(rocksdb::Error) -> StoreError {
        move |error| failed(what, &self.path, &error)
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
        let db = Some(open_with(&options, path, &names)?).into();
        let mut writes = WriteOptions::default();
        writes.disable_wal(true);
        Ok(Self { db, options, writes, path: path.to_path_buf(), found: names, fresh: Mutex::default() })
    }

    fn db(&self) -> Result<Open<'_>> {
        let db = self.db.read().unwrap_or_else(|p| p.into_inner());
        if db.is_none() {
            return Err(StoreError::Failed("the state could not be opened again".into()));
        }
        Ok(Open(db))
    }
}

fn open_with(options: &Options, path: &Path, names: &[String]) -> std::result::Result<Db, rocksdb::Error> {
    let families = names.iter().map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
    Db::open_cf_descriptors(options, path, families)
}

impl Files for Rocks {
    fn prepare(&self, stores: &[String]) -> Result<()> {
        let mut db = self.db.write().unwrap_or_else(|p| p.into_inner());
        // Nobody writes meanwhile. What others wrote is on disk before the database is closed: where it cannot be, it stays open.
        let Some(open) = &*db else { return Ok(()) };
        let missing: Vec<_> = stores.iter().filter(|store| open.cf_handle(store).is_none()).cloned().collect();
        if missing.len() < TOGETHER {
            return Ok(());
        }
        let there = Db::list_cf(&self.options, &self.path).map_err(self.failed("make stores"))?;
        for name in &there {
            let Some(family) = open.cf_handle(name) else { continue };
            open.flush_cf(&family).map_err(self.failed("flush the state"))?;
        }
        *db = None;
        let again = open_with(&self.options, &self.path, &[there, missing.clone()].concat());
        *db = Some(again.map_err(self.failed("make stores"))?);
        self.fresh.lock().unwrap_or_else(|p| p.into_inner()).extend(missing);
        Ok(())
    }

    fn make(&self, store: &str) -> Result<bool> {
        let db = self.db()?;
        if db.cf_handle(store).is_some() {
            return Ok(self.fresh.lock().unwrap_or_else(|p| p.into_inner()).remove(store));
        }
        db.create_cf(store, &self.options).map_err(self.failed("make a store")).map(|()| true)
    }

    fn get(&self, store: &str, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<()> {
        let db = self.db()?;
        let found = db.get_pinned_cf(&db.family(store)?, key).map_err(self.failed("read the state"))?;
        if let Some(value) = found {
            read(&value);
        }
        Ok(())
    }

    fn write(&self, store: &str, puts: &[Put<'_>]) -> Result<()> {
        let db = self.db()?;
        let family = db.family(store)?;
        let mut batch = WriteBatch::with_capacity_bytes(puts.len() * 64);
        for (key, value) in puts {
            match value {
                Some(value) => batch.put_cf(&family, key, value),
                None => batch.delete_cf(&family, key),
            }
        }
        db.write_opt(batch, &self.writes).map_err(self.failed("write the state"))
    }

    fn wipe(&self, store: &str) -> Result<()> {
        let db = self.db()?;
        db.drop_cf(store).map_err(self.failed("wipe a store"))?;
        db.create_cf(store, &self.options).map_err(self.failed("wipe a store"))
    }

    fn flush(&self, store: &str, wait: bool) -> Result<()> {
        let mut options = rocksdb::FlushOptions::default();
        options.set_wait(wait);
        let db = self.db()?;
        db.flush_cf_opt(&db.family(store)?, &options).map_err(self.failed("flush the state"))
    }

    fn size(&self, store: &str) -> (u64, u64) {
        let Ok(db) = self.db() else { return (0, 0) };
        let Ok(family) = db.family(store) else { return (0, 0) };
        let of = |name: &str| db.property_int_value_cf(&family, name).ok().flatten().unwrap_or(0);
        let bytes = of("rocksdb.total-sst-files-size") + of("rocksdb.cur-size-all-mem-tables");
        (of("rocksdb.estimate-num-keys"), bytes)
    }

    fn names(&self) -> Vec<String> {
        self.found.iter().filter(|name| *name != "default").cloned().collect()
    }

    fn each(&self, store: &str, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        let db = self.db()?;
        let family = db.family(store)?;
        for entry in db.iterator_cf(&family, rocksdb::IteratorMode::Start) {
            let (key, value) = entry.map_err(self.failed("read the state"))?;
            visit(&key, &value);
        }
        Ok(())
    }
}

/// Whether a directory holds a database.
pub fn is_database(path: &Path) -> bool {
    path.join("CURRENT").is_file()
}

/// Takes a store's name, a key and its value.
pub type Visit<'a> = &'a mut dyn FnMut(&str, &[u8], &[u8]);

/// Visits every store's name, key and value in the database of a directory, whoever has it open, and writes nothing there.
/// What its owner has not written out yet is not seen.
pub fn each_entry(path: &Path, visit: Visit<'_>) -> Result<()> {
    // A database that is only read writes a log, too: elsewhere, then.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let elsewhere = std::env::temp_dir().join(format!("highwater-reading-{}-{count}", std::process::id()));
    let mut options = Options::default();
    options.set_db_log_dir(&elsewhere);
    options.set_max_open_files(64);
    let mut read = || -> std::result::Result<(), rocksdb::Error> {
        let names = Db::list_cf(&options, path)?;
        let families = names.iter().map(|name| ColumnFamilyDescriptor::new(name, Options::default()));
        let db = Db::open_cf_descriptors_read_only(&options, path, families, false)?;
        for name in &names {
            let Some(family) = db.cf_handle(name) else { continue };
            for entry in db.iterator_cf(&family, rocksdb::IteratorMode::Start) {
                let (key, value) = entry?;
                visit(name, &key, &value);
            }
        }
        Ok(())
    };
    let outcome = read();
    // Where it was never made, there is nothing to remove.
    let _ = std::fs::remove_dir_all(&elsewhere);
    outcome.map_err(|e| failed("read the database", path, &e))
}

fn is_damage(error: &rocksdb::Error) -> bool {
    use rocksdb::ErrorKind::*;
    let missing = error.kind() == IOError && error.to_string().contains("No such file");
    matches!(error.kind(), Corruption | Incomplete | InvalidArgument) || missing
}

fn set_aside(path: &Path, why: &str) -> Result<()> {
    let free = (1..).map(|n| path.with_extension(format!("damaged-{n}"))).find(|p| !p.exists());
    let aside = free.unwrap_or_else(|| path.with_extension("damaged"));
    std::fs::rename(path, &aside).map_err(|e| StoreError::Failed(format!("set damaged state aside: {e}")))?;
    tracing::error!(why, path = %path.display(), aside = %aside.display(),
        "the state is damaged; it was set aside and every store will be restored from its changelog");
    Ok(())
}
