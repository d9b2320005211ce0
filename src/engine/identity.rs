//! Who this instance is: a name made once inside the locked state directory.
//!
//! Transactional ids derive from it, so that a restarted instance ends what its predecessor left open. Two processes
//! under one name would fence each other for ever; the lock keeps the second one out. What is not this application's state,
//! in a format that this version knows, is refused before anything is written.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::log::lock::{DirectoryLock, Taken};
use crate::log::mark::{self, Found, Kind};

use super::clock::Clock;

/// Holds the lock for as long as it lives.
pub struct Identity {
    pub instance: String,
    /// The number of workers the instance ran with before, if that was more.
    pub retired_workers: usize,
    directory: PathBuf,
    _lock: DirectoryLock,
}

const NAME: &str = "instance";

impl Identity {
    /// Locks the state directory, making it if it is not there.
    pub fn claim(directory: &Path, application: &str, threads: usize, clock: &dyn Clock) -> Result<Self, String> {
        let context = |what: &str, e: std::io::Error| format!("{what} {}: {e}", directory.display());
        // Before the lock: what is not ours gets not even that.
        mark::look(directory, Kind::State)?;
        let lock = DirectoryLock::take(directory).map_err(|taken| match taken {
            Taken::InUse(owner) => format!("state {} is in use by {owner}; use --state DIR", directory.display()),
            Taken::Failed(text) => text,
        })?;
        // Another process may have made something else of it in between.
        let found = mark::look(directory, Kind::State)?;
        let path = directory.join(NAME);
        let kept = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(context("cannot read the instance's name in", e)),
        };
        let (instance, before) = match kept.as_deref().map(parse) {
            Some(Some((owner, instance, workers))) if owner == application => (instance.to_string(), workers),
            Some(Some((owner, ..))) => {
                return Err(format!(
                    "{} holds the state of application `{owner}`, this is `{application}`: use another --state directory",
                    directory.display()
                ));
            }
            Some(None) => return Err(unreadable(&path, found)),
            None => (new_name(clock)?, 0),
        };
        if found != Found::Marked {
            mark::write(directory, Kind::State).map_err(|e| context("cannot write to", e))?;
        }
        let identity = Self { instance, retired_workers: before, directory: directory.to_path_buf(), _lock: lock };
        identity.save(application, before.max(threads)).map_err(|e| context("cannot write to", e))?;
        Ok(identity)
    }

    /// Once the retired workers' transactions are ended, their number need not be known any more.
    pub fn settle(&self, application: &str, threads: usize) -> std::io::Result<()> {
        self.save(application, threads)
    }

    pub fn transactional_id(&self, application: &str, worker: usize) -> String {
        format!("{application}-{}-{worker}", self.instance)
    }

    fn save(&self, application: &str, workers: usize) -> std::io::Result<()> {
        let fresh = self.directory.join("instance.new");
        let mut file = File::create(&fresh)?;
        writeln!(file, "{application} {} {workers}", self.instance)?;
        file.sync_all()?;
        std::fs::rename(fresh, self.directory.join(NAME))
    }
}

fn parse(text: &str) -> Option<(&str, &str, usize)> {
    let mut words = text.split_whitespace();
    let kept = (words.next()?, words.next()?, words.next()?.parse().ok()?);
    words.next().is_none().then_some(kept)
}

fn unreadable(path: &Path, found: Found) -> String {
    let way_out = match found {
        Found::Marked => {
            "It is damaged: remove this one file. The instance gets a new name and keeps its stores; what it left open under \
             the old name is aborted by its timeout"
        }
        Found::Unmarked | Found::Empty => "It is another program's, or damaged: use another --state directory",
    };
    format!("{} does not say APPLICATION INSTANCE WORKERS. {way_out}", path.display())
}

fn new_name(clock: &dyn Clock) -> Result<String, String> {
    let mut bytes = [0u8; 8];
    clock.random(&mut bytes)?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::super::clock::SystemClock;
    use super::*;

    #[test]
    fn a_name_is_kept_locked_and_bound_to_its_application() {
        let dir = std::env::temp_dir().join(format!("highwater-identity-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let first = Identity::claim(&dir, "app", 3, &SystemClock).unwrap();
        let refused = Identity::claim(&dir, "app", 3, &SystemClock).err().unwrap();
        assert!(refused.contains(&format!("in use by pid {}", std::process::id())), "{refused}");
        let name = first.instance.clone();
        drop(first);
        assert!(Identity::claim(&dir, "other", 1, &SystemClock).err().unwrap().contains("application `app`"));
        let again = Identity::claim(&dir, "app", 1, &SystemClock).unwrap();
        assert_eq!((again.instance.as_str(), again.retired_workers), (name.as_str(), 3));
        assert_eq!(again.transactional_id("app", 2), format!("app-{name}-2"));
        drop(again);
        // It died before it had ended their transactions: they are not forgotten.
        let again = Identity::claim(&dir, "app", 1, &SystemClock).unwrap();
        assert_eq!(again.retired_workers, 3);
        again.settle("app", 1).unwrap();
        drop(again);
        assert_eq!(Identity::claim(&dir, "app", 1, &SystemClock).unwrap().retired_workers, 1);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
