//! A process's disk: it survives the process, and forgets what was not flushed.
//!
//! RocksDB without a write-ahead log keeps of each store a prefix of what was written, another prefix of each store. So
//! does this disk, and the prefix is the worst that chance can find.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use highwater::store::database::{Files, Put};
use highwater::store::{Checkpoint, Result, StoreError, layout};

use crate::chance::Chance;
use crate::wire::{Call, Line, Moment};

type Bytes = BTreeMap<Vec<u8>, Vec<u8>>;
/// What a write replaced.
type Undo = Vec<(Vec<u8>, Option<Vec<u8>>)>;

#[derive(Default, Clone)]
struct Store {
    bytes: Bytes,
    /// Writes since the last flush, the newest last.
    unflushed: Vec<Undo>,
    /// Until it is wiped nobody may write to it.
    spoilt: bool,
}

#[derive(Default)]
struct Inner {
    stores: BTreeMap<String, Store>,
    backup: Option<BTreeMap<String, Bytes>>,
    /// So many writes fail for want of room.
    full: u64,
}

#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<Inner>>);

impl Disk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("one thread")
    }

    /// The process is gone: of every store some prefix of the unflushed writes is kept.
    pub fn crash(&self, chance: &mut Chance) {
        for store in self.inner().stores.values_mut() {
            let kept = chance.index(store.unflushed.len() + 1);
            for undo in store.unflushed.drain(kept..).rev().collect::<Vec<_>>() {
                for (key, old) in undo.into_iter().rev() {
                    match old {
                        Some(old) => drop(store.bytes.insert(key, old)),
                        None => drop(store.bytes.remove(&key)),
                    }
                }
            }
            store.unflushed.clear();
        }
    }

    /// A clean stop.
    pub fn flush_all(&self) {
        self.inner().stores.values_mut().for_each(|store| store.unflushed.clear());
    }

    /// Deleted, or so damaged that it is set aside.
    pub fn lose(&self) {
        self.inner().stores.clear();
    }

    /// One store is gone, the others are there.
    pub fn lose_one(&self, chance: &mut Chance) {
        let mut inner = self.inner();
        let at = chance.index(inner.stores.len());
        if let Some(name) = inner.stores.keys().nth(at).cloned() {
            inner.stores.remove(&name);
        }
    }

    /// A store as another application, another changelog or a broken copy left it: what it holds is good for nothing.
    pub fn spoil_one(&self, chance: &mut Chance) {
        let mut inner = self.inner();
        let at = chance.index(inner.stores.len());
        let Some(store) = inner.stores.values_mut().nth(at) else { return };
        store.unflushed.clear();
        store.spoilt = true;
        let held = store.bytes.remove(layout::CHECKPOINT).and_then(|bytes| Checkpoint::decode(&bytes));
        let Some(held) = held else { return };
        let spoilt = match chance.below(3) {
            0 => None,
            1 => Some(Checkpoint { topic_id: [0xee; 16], ..held }),
            _ => Some(Checkpoint { offset: held.offset + 1_000_000, ..held }),
        };
        if let Some(spoilt) = spoilt {
            store.bytes.insert(layout::CHECKPOINT.to_vec(), spoilt.encode().to_vec());
        }
        // Whoever went on with it would find keys where there are none, and none where there are some.
        for (at, value) in store.bytes.iter_mut().filter(|(key, _)| layout::is_data(key)).map(|(_, v)| v).enumerate() {
            if at % 2 == 0 {
                value.clear();
            }
        }
    }

    /// Somebody mixed up their volumes.
    pub fn swap(&self, other: &Disk) {
        if !Arc::ptr_eq(&self.0, &other.0) {
            std::mem::swap(&mut self.inner().stores, &mut other.inner().stores);
        }
    }

    pub fn back_up(&self) {
        let mut inner = self.inner();
        let whole = inner.stores.iter().filter(|(_, store)| !store.spoilt);
        let copy = whole.map(|(name, store)| (name.clone(), store.bytes.clone())).collect();
        inner.backup = Some(copy);
    }

    /// The disk of some time ago, if one was kept.
    pub fn restore_backup(&self) -> bool {
        let mut inner = self.inner();
        let Some(backup) = inner.backup.clone() else { return false };
        inner.stores = backup.into_iter().map(|(name, bytes)| (name, Store { bytes, ..Store::default() })).collect();
        true
    }

    pub fn fill(&self, writes: u64) {
        self.inner().full = writes;
    }

    /// Every store that is whole, with its bytes.
    pub fn stores(&self) -> Vec<(String, Bytes)> {
        self.inner()
            .stores
            .iter()
            .filter(|(_, store)| !store.spoilt)
            .map(|(name, store)| (name.clone(), store.bytes.clone()))
            .collect()
    }
}

/// A disk as a process has it mounted.
pub struct Mounted {
    pub disk: Disk,
    pub line: Arc<Line>,
}

impl Mounted {
    /// Before and after each write the process may die.
    fn write_through(&self, store: &str, write: impl FnOnce(&mut Store)) -> Result<()> {
        let gone = || StoreError::Failed("the process is dead".into());
        let moment = self.line.moment(Call::Apply).map_err(|_| gone())?;
        let mut inner = self.disk.inner();
        if inner.full > 0 {
            inner.full -= 1;
            // The process stops before it has counted what it committed.
            self.line.net.uncounted.store(true, Ordering::SeqCst);
            return Err(StoreError::Failed("write the state: IO error: No space left on device".into()));
        }
        let found = inner.stores.get_mut(store);
        write(found.ok_or_else(|| StoreError::Failed(format!("store {store} is gone")))?);
        drop(inner);
        if moment == Moment::CrashAfter {
            self.line.die("after a write to the disk");
            return Err(gone());
        }
        Ok(())
    }
}

impl Files for Mounted {
    fn make(&self, store: &str) -> Result<bool> {
        let mut inner = self.disk.inner();
        let made = !inner.stores.contains_key(store);
        inner.stores.entry(store.to_string()).or_default();
        Ok(made)
    }

    fn get(&self, store: &str, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<()> {
        if let Some(value) = self.disk.inner().stores.get(store).and_then(|store| store.bytes.get(key)) {
            read(value);
        }
        Ok(())
    }

    fn write(&self, store: &str, puts: &[Put<'_>]) -> Result<()> {
        self.write_through(store, |store| {
            assert!(!store.spoilt, "a store is gone on with that fits no changelog");
            let mut undo = Undo::new();
            for (key, value) in puts {
                let old = match value {
                    Some(value) => store.bytes.insert(key.to_vec(), value.to_vec()),
                    None => store.bytes.remove(*key),
                };
                undo.push((key.to_vec(), old));
            }
            store.unflushed.push(undo);
        })
    }

    fn wipe(&self, store: &str) -> Result<()> {
        self.write_through(store, |store| *store = Store::default())
    }

    fn flush(&self, store: &str, _wait: bool) -> Result<()> {
        if let Some(store) = self.disk.inner().stores.get_mut(store) {
            store.unflushed.clear();
        }
        Ok(())
    }

    fn size(&self, _store: &str) -> (u64, u64) {
        (0, 0)
    }

    fn each(&self, store: &str, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        self.disk.inner().stores.get(store).into_iter().flat_map(|s| &s.bytes).for_each(|(k, v)| visit(k, v));
        Ok(())
    }
}
