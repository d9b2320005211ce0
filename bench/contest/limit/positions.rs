//! The last LSN of each key.

use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, Options, WriteBatch, WriteOptions};
use rustc_hash::FxHashMap;

/// Keys that the cache in front of RocksDB holds; full, it begins anew.
const CACHED: usize = 1 << 20;

type Map = FxHashMap<Box<[u8]>, u64>;

pub enum Positions {
    Memory(Map),
    Store { db: DB, cache: Map, staged: Map },
}

/// True where the LSN is higher than the one that was there; then it takes its place.
fn rise(map: &mut Map, key: &[u8], lsn: u64) -> Option<bool> {
    let last = map.get_mut(key)?;
    let rises = lsn > *last;
    *last = (*last).max(lsn);
    Some(rises)
}

impl Positions {
    pub fn in_memory() -> Self {
        Self::Memory(Map::default())
    }

    pub fn in_rocksdb(path: &Path) -> Self {
        let mut table = BlockBasedOptions::default();
        table.set_bloom_filter(10.0, false);
        table.set_block_cache(&Cache::new_lru_cache(32 << 20));
        table.set_cache_index_and_filter_blocks(true);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compression_type(DBCompressionType::Lz4);
        // Small: a sorted batch goes in fast, and is found fast.
        options.set_write_buffer_size(8 << 20);
        options.set_block_based_table_factory(&table);
        let db = DB::open(&options, path).expect("RocksDB");
        Self::Store { db, cache: Map::default(), staged: Map::default() }
    }

    /// Whether the LSN is above the key's last one, which it then is.
    pub fn rise(&mut self, key: &[u8], lsn: u64) -> bool {
        match self {
            Self::Memory(map) => rise(map, key, lsn).unwrap_or_else(|| {
                map.insert(key.into(), lsn);
                true
            }),
            Self::Store { db, cache, staged } => {
                let rises = rise(cache, key, lsn).unwrap_or_else(|| {
                    let kept = db.get_pinned(key).expect("RocksDB");
                    let last = kept.map(|bytes| u64::from_be_bytes(bytes[..].try_into().expect("eight bytes")));
                    // What is staged and no longer cached is found here.
                    let last = last.max(staged.get(key).copied());
                    if cache.len() == CACHED {
                        cache.clear();
                    }
                    cache.insert(key.into(), last.unwrap_or(0).max(lsn));
                    last.is_none_or(|last| lsn > last)
                });
                if rises && rise(staged, key, lsn).is_none() {
                    staged.insert(key.into(), lsn);
                }
                rises
            }
        }
    }

    /// The transaction is decided: into the store.
    pub fn committed(&mut self) {
        if let Self::Store { db, staged, .. } = self {
            let mut sorted: Vec<_> = staged.drain().collect();
            sorted.sort_unstable();
            let mut batch = WriteBatch::default();
            sorted.iter().for_each(|(key, lsn)| batch.put(key, lsn.to_be_bytes()));
            let mut options = WriteOptions::default();
            options.disable_wal(true);
            db.write_opt(batch, &options).expect("RocksDB");
        }
    }
}
