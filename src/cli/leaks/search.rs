//! What was searched, place by place, and what was found where.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::forms::Form;
use super::searcher::{Found, Searcher};
use crate::record::Record;
use crate::store::rocks;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Output,
    DeadLetters,
    Changelog,
    Topic,
    File,
    /// A database that is read through, because its files are compressed.
    Store,
    Page,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Output => "outputs",
            Kind::DeadLetters => "dead letters",
            Kind::Changelog => "changelogs",
            Kind::Topic => "other topics",
            Kind::File => "files",
            Kind::Store => "stores",
            Kind::Page => "pages",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub kind: Kind,
    pub name: String,
    /// Records, or entries of a store; of files and pages one.
    pub records: u64,
    pub bytes: u64,
}

/// A value in a place, as often as it is there. Never the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub form: Form,
    /// Where in the place it was met first.
    pub first: String,
    pub times: u64,
}

pub struct Search<'s> {
    searcher: &'s Searcher,
    pub places: Vec<Place>,
    /// By value and place.
    pub hits: BTreeMap<(usize, usize), Hit>,
    /// Paths that were left out, and why.
    pub left_out: Vec<(PathBuf, String)>,
}

impl<'s> Search<'s> {
    pub fn new(searcher: &'s Searcher) -> Self {
        Self { searcher, places: Vec::new(), hits: BTreeMap::new(), left_out: Vec::new() }
    }

    pub fn bytes(&self) -> u64 {
        self.places.iter().map(|place| place.bytes).sum()
    }

    /// Different values that were found.
    pub fn found(&self) -> Vec<usize> {
        let mut found: Vec<usize> = self.hits.keys().map(|(value, _)| *value).collect();
        found.dedup();
        found
    }

    /// Opens a place; its number.
    pub fn place(&mut self, kind: Kind, name: impl Into<String>) -> usize {
        self.places.push(Place { kind, name: name.into(), records: 0, bytes: 0 });
        self.places.len() - 1
    }

    fn note(&mut self, place: usize, found: Found, whereabouts: impl FnOnce() -> String) {
        let hit = self.hits.entry((found.value, place));
        hit.and_modify(|hit| hit.times += 1).or_insert_with(|| Hit {
            form: found.form,
            first: whereabouts(),
            times: 1,
        });
    }

    /// Searches bytes of a place that are a unit: a key, a value.
    fn unit(&mut self, place: usize, bytes: &[u8], whereabouts: &dyn Fn() -> String) {
        let searcher = self.searcher;
        searcher.search(bytes, &mut |found| self.note(place, found, whereabouts));
        if let Some(place) = self.places.get_mut(place) {
            place.bytes += bytes.len() as u64;
        }
    }

    fn count(&mut self, place: usize) {
        if let Some(place) = self.places.get_mut(place) {
            place.records += 1;
        }
    }

    /// Key, value, and names and values of headers.
    pub fn record(&mut self, place: usize, record: &Record<'_>) {
        self.count(place);
        let at = |part: &str| format!("{part} of {}-{}@{}", record.topic, record.partition, record.offset);
        self.unit(place, record.key.unwrap_or_default(), &|| at("the key"));
        self.unit(place, record.value.unwrap_or_default(), &|| at("the value"));
        let mut number = 0;
        record.headers.each(&mut |name, value| {
            number += 1;
            self.unit(place, name.as_bytes(), &|| at(&format!("the name of header {number}")));
            self.unit(place, value.unwrap_or_default(), &|| at(&format!("header {number}")));
        });
    }

    /// A key of a store and its value.
    pub fn entry(&mut self, place: usize, store: &str, key: &[u8], value: &[u8]) {
        self.count(place);
        self.unit(place, key, &|| format!("a key of {store}"));
        self.unit(place, value, &|| format!("a value of {store}"));
    }

    /// Bytes that are a place of their own.
    pub fn text(&mut self, kind: Kind, name: &str, bytes: &[u8]) {
        let place = self.place(kind, name);
        self.count(place);
        let searcher = self.searcher;
        searcher.search(bytes, &mut |found| self.note(place, found, || format!("byte {} of {name}", found.at)));
        if let Some(place) = self.places.get_mut(place) {
            place.bytes += bytes.len() as u64;
        }
    }

    /// What is read, to its end.
    pub fn read(&mut self, kind: Kind, name: &str, from: impl io::Read) -> io::Result<()> {
        let place = self.place(kind, name);
        self.count(place);
        let searcher = self.searcher;
        let length =
            searcher.read(from, &mut |found| self.note(place, found, || format!("byte {} of {name}", found.at)))?;
        if let Some(place) = self.places.get_mut(place) {
            place.bytes += length;
        }
        Ok(())
    }

    /// A file, or all below a directory: names, bytes, and of databases what they hold. `is_left_out` says why a directory is.
    pub fn files(&mut self, path: &Path, is_left_out: &dyn Fn(&Path) -> Option<String>) -> Result<(), String> {
        if let Some(why) = is_left_out(path) {
            self.left_out.push((path.to_owned(), why));
            return Ok(());
        }
        let failed = |e: io::Error| format!("cannot read {}: {e}", path.display());
        // A link may lead anywhere, also in a circle: what it leads to is named itself, or is not meant.
        let kind = match path.symlink_metadata() {
            Ok(metadata) => metadata.file_type(),
            // Whoever writes there tidies up, too.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        if kind.is_dir() {
            let entries: io::Result<Vec<PathBuf>> =
                std::fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
            let mut entries = entries.map_err(failed)?;
            entries.sort();
            entries.iter().try_for_each(|entry| self.files(entry, is_left_out))?;
            return if rocks::is_database(path) { self.store(path) } else { Ok(()) };
        }
        if !kind.is_file() {
            return Ok(());
        }
        match File::open(path) {
            Ok(file) => self.file(path, file).map_err(failed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    /// The name that whoever wrote it gave it is searched, too.
    fn file(&mut self, path: &Path, file: File) -> io::Result<()> {
        let name = path.display().to_string();
        self.read(Kind::File, &name, file)?;
        let place = self.places.len() - 1;
        let own = path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
        let parent = path.parent().unwrap_or(Path::new("")).display().to_string();
        self.unit(place, &own, &|| format!("the name of a file in {parent}"));
        Ok(())
    }

    fn store(&mut self, path: &Path) -> Result<(), String> {
        let name = path.display().to_string();
        let place = self.place(Kind::Store, &name);
        rocks::each_entry(path, &mut |store, key, value| {
            self.entry(place, store, key, value);
        })
        .map_err(|error| {
            format!("cannot read the database in {name}: {error}; search a copy of it, or what a stopped instance left")
        })
    }
}
