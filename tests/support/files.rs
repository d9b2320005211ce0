//! The repository's files, as the tests read them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[track_caller]
pub fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[track_caller]
pub fn json(name: &str) -> Value {
    serde_json::from_str(&read(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[track_caller]
pub fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&read(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// What a word of `tools/setup` fetches into the cache.
#[track_caller]
pub fn fetched(word: &str, file: &str) -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache/highwater");
    let cache = std::env::var_os("HIGHWATER_CACHE").map_or_else(home, PathBuf::from);
    let found = path("").join(cache).join(word).join(file);
    assert!(found.exists(), "no {}: run tools/setup tests", found.display());
    found
}
