//! What tests search for canaries: by the searcher of `highwater leaks`, over clients of their own.

use std::fs;
use std::path::PathBuf;

use highwater::cli::leaks::{Kind, Search};
use highwater::record::{Headers, Record};

use super::{Broker, Isolation, Read};

struct Owned<'a>(&'a [(String, Option<Vec<u8>>)]);

impl Headers for Owned<'_> {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.iter().for_each(|(name, value)| visit(name, value.as_deref()));
    }
}

/// A record as a search takes it.
pub fn record(search: &mut Search<'_>, place: usize, topic: &str, read: &Read) {
    let headers = &Owned(&read.headers);
    let (key, value) = (read.key.as_deref(), read.value.as_deref());
    let Read { partition, offset, timestamp, .. } = *read;
    search.record(place, &Record { topic, partition, offset, timestamp, key, value, headers });
}

impl Broker {
    /// All of a topic, aborted and open transactions included.
    pub fn search(&self, search: &mut Search<'_>, kind: Kind, topic: &str) {
        let place = search.place(kind, topic);
        for read in self.read_all(topic, Isolation::Uncommitted) {
            record(search, place, topic, &read);
        }
    }

    /// Where it keeps partitions.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// All that it and its tools write about themselves.
    pub fn logs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path()).expect("a directory").map(|entry| entry.expect("an entry").path());
        entries.filter(|path| path.is_file()).collect()
    }
}
