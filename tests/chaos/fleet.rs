//! The instances: where each lives, how it reaches the brokers, what is the matter with it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::disk::SmallDisk;
use crate::support::{Dir, Highwater};

/// Places for instances. The first two reach the brokers by proxies, the third has a small disk for its state.
pub const SLOTS: usize = 5;
pub const LANES: usize = 2;
pub const SMALL_DISK: usize = 2;
/// Those that run at the beginning, and the fewest that are left.
pub const AT_FIRST: usize = 4;
pub const FEWEST: usize = 3;

pub const SECRET: &str = "a secret of the tests";

pub struct Fleet {
    pub slots: Vec<Slot>,
    topology: String,
    application: String,
    // After what lives in it: fields drop in this order.
    dir: Dir,
}

pub struct Slot {
    pub process: Option<Highwater>,
    /// Something is being done to it: nothing else may be.
    pub hurt: bool,
    pub disk: Option<SmallDisk>,
    brokers: String,
    dir: PathBuf,
}

impl Fleet {
    /// `brokers` are those of each slot.
    pub fn new(application: &str, topology: &str, brokers: [String; SLOTS]) -> Self {
        let dir = Dir::new(application);
        let slots = brokers.into_iter().enumerate().map(|(index, brokers)| {
            let dir = dir.join(&index.to_string());
            let disk = (index == SMALL_DISK).then(|| SmallDisk::mount(&dir.join("state"))).flatten();
            Slot { process: None, hurt: false, disk, brokers, dir }
        });
        Self { slots: slots.collect(), topology: topology.into(), application: application.into(), dir }
    }

    pub fn start(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let env = [("BROKERS", slot.brokers.as_str()), ("SALT", SECRET), ("HIGHWATER_LOG", "info")];
        slot.process = Some(Highwater::spawn(&self.topology, &env, &slot.dir));
    }

    pub fn process(&mut self, index: usize) -> &mut Highwater {
        self.slots[index].process.as_mut().expect("it runs")
    }

    /// Those that run and that nothing is done to.
    pub fn well(&self) -> Vec<usize> {
        (0..SLOTS).filter(|i| self.slots[*i].process.is_some() && !self.slots[*i].hurt).collect()
    }

    pub fn running(&self) -> Vec<usize> {
        (0..SLOTS).filter(|i| self.slots[*i].process.is_some()).collect()
    }

    /// Its name, once it has one.
    fn instance(&self, index: usize) -> Option<String> {
        let text = fs::read_to_string(self.slots[index].dir.join("state/instance")).ok()?;
        let mut words = text.split_whitespace();
        (words.next()? == self.application).then_some(words.next()?.to_owned())
    }

    /// The transactional id of its one worker.
    pub fn transactional_id(&self, index: usize) -> Option<String> {
        Some(format!("{}-{}-0", self.application, self.instance(index)?))
    }

    /// Whether a member of the group is this instance, by what the client calls itself.
    pub fn is_member(&self, index: usize, member: &str) -> bool {
        self.instance(index).is_some_and(|name| member.starts_with(&format!("{}-{name}-", self.application)))
    }

    /// Its state is gone; the directory stays, because it may be a disk of its own.
    pub fn wipe(&self, index: usize) {
        let state = self.slots[index].dir.join("state");
        for entry in fs::read_dir(&state).into_iter().flatten().flatten() {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }

    /// Every line that the instances wrote to their logs.
    pub fn logs(&self) -> Vec<String> {
        let files = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let logs =
            self.slots.iter().flat_map(|slot| files(&slot.dir).filter(|f| f.extension().is_some_and(|e| e == "log")));
        logs.flat_map(|file| {
            fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}
