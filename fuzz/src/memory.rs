//! Stores in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use highwater::store::Result;
use highwater::store::database::{Files, Put};

type Bytes = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Default)]
pub struct Memory(Mutex<BTreeMap<String, Bytes>>);

impl Memory {
    fn with<T>(&self, store: &str, act: impl FnOnce(&mut Bytes) -> T) -> Result<T> {
        Ok(act(self.0.lock().expect("no write panics").entry(store.to_owned()).or_default()))
    }
}

impl Files for Memory {
    fn make(&self, store: &str) -> Result<bool> {
        let mut stores = self.0.lock().expect("no write panics");
        let made = !stores.contains_key(store);
        stores.entry(store.to_owned()).or_default();
        Ok(made)
    }

    fn get(&self, store: &str, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.with(store, |bytes| {
            if let Some(value) = bytes.get(key) {
                read(value);
            }
        })
    }

    fn write(&self, store: &str, puts: &[Put<'_>]) -> Result<()> {
        self.with(store, |bytes| {
            for (key, value) in puts {
                match value {
                    Some(value) => bytes.insert(key.to_vec(), value.to_vec()),
                    None => bytes.remove(*key),
                };
            }
        })
    }

    fn wipe(&self, store: &str) -> Result<()> {
        self.with(store, BTreeMap::clear)
    }

    fn flush(&self, _: &str, _: bool) -> Result<()> {
        Ok(())
    }

    fn size(&self, _: &str) -> (u64, u64) {
        (0, 0)
    }

    fn each(&self, store: &str, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<()> {
        self.with(store, |bytes| bytes.iter().for_each(|(key, value)| visit(key, value)))
    }
}
