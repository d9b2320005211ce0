//! Where the embedded log keeps its keys and values: a database on disk, or a map.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, RwLock};

use super::disk::Disk;

/// What one step changes, all of it or nothing; None removes.
pub type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;
pub type Entry = (Vec<u8>, Arc<Vec<u8>>);
pub type Found = Option<Entry>;
pub type Result<T> = std::result::Result<T, String>;

pub enum Storage {
    Disk(Disk),
    Memory(RwLock<BTreeMap<Vec<u8>, Arc<Vec<u8>>>>),
}

impl Storage {
    pub fn in_memory() -> Self {
        Self::Memory(RwLock::default())
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Arc<Vec<u8>>>> {
        match self {
            Self::Disk(disk) => disk.get(key),
            Self::Memory(map) => Ok(map.read().unwrap_or_else(|p| p.into_inner()).get(key).cloned()),
        }
    }

    /// The greatest key that is at most `key`, among those with the prefix.
    pub fn at_most(&self, prefix: &[u8], key: &[u8]) -> Result<Found> {
        match self {
            Self::Disk(disk) => disk.at_most(prefix, key),
            Self::Memory(map) => {
                let map = map.read().unwrap_or_else(|p| p.into_inner());
                let range = (Bound::Included(prefix), Bound::Included(key));
                Ok(map.range::<[u8], _>(range).next_back().map(|(k, v)| (k.clone(), v.clone())))
            }
        }
    }

    /// The least key that is at least `key`, among those with the prefix.
    pub fn at_least(&self, prefix: &[u8], key: &[u8]) -> Result<Found> {
        match self {
            Self::Disk(disk) => disk.at_least(prefix, key),
            Self::Memory(map) => {
                let map = map.read().unwrap_or_else(|p| p.into_inner());
                let next = map.range::<[u8], _>((Bound::Included(key), Bound::Unbounded)).next();
                Ok(next.filter(|(k, _)| k.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())))
            }
        }
    }

    /// Every key with the prefix, in order.
    pub fn all(&self, prefix: &[u8]) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        let mut from = prefix.to_vec();
        while let Some((key, value)) = self.at_least(prefix, &from)? {
            from.clone_from(&key);
            from.push(0);
            found.push((key, value));
        }
        Ok(found)
    }

    /// Removes every key with the prefix.
    pub fn remove_all(&self, prefix: &[u8]) -> Result<()> {
        match self {
            Self::Disk(disk) => disk.remove_all(prefix),
            Self::Memory(map) => {
                map.write().unwrap_or_else(|p| p.into_inner()).retain(|key, _| !key.starts_with(prefix));
                Ok(())
            }
        }
    }

    /// `lasting`: it survives the machine, not only the process.
    pub fn write(&self, changes: Changes, lasting: bool) -> Result<()> {
        match self {
            Self::Disk(disk) => disk.write(&changes, lasting),
            Self::Memory(map) => {
                let mut map = map.write().unwrap_or_else(|p| p.into_inner());
                for (key, value) in changes {
                    match value {
                        Some(value) => drop(map.insert(key, Arc::new(value))),
                        None => drop(map.remove(&key)),
                    }
                }
                Ok(())
            }
        }
    }
}
