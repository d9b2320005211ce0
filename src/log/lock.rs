//! A directory that one process has to itself.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

const NAME: &str = "lock";

/// Held for as long as it lives.
#[derive(Debug)]
pub struct DirectoryLock(File);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing is not enough: a child that another thread is just starting holds a copy of the file until it becomes
        // its own program. If it fails, closing it is as good a moment later.
        let _ = self.0.unlock();
    }
}

/// Why a directory cannot be locked.
#[derive(Debug)]
pub enum Taken {
    /// By a process, in words: `pid 17`.
    InUse(String),
    Failed(String),
}

impl DirectoryLock {
    /// Makes the directory if there is none, for its owner only: an embedded log holds what its sources held.
    pub fn take(directory: &Path) -> Result<Self, Taken> {
        let failed = |e: std::io::Error| Taken::Failed(format!("cannot lock {}: {e}", directory.display()));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|e| Taken::Failed(format!("cannot make the directory {}: {e}", directory.display())))?;
        let path = directory.join(NAME);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Its owner may not have written it yet.
                let _ = file.read_to_string(&mut pid);
                let pid = pid.trim();
                return Err(Taken::InUse(if pid.is_empty() { "another process".into() } else { format!("pid {pid}") }));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        write!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_made_is_for_its_owner_only() {
        let dir = std::env::temp_dir().join(format!("highwater-lock-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let lock = DirectoryLock::take(&dir.join("log")).expect("locked");
        for made in [&dir, &dir.join("log")] {
            assert_eq!(made.metadata().expect("made").permissions().mode() & 0o777, 0o700);
        }
        assert!(matches!(DirectoryLock::take(&dir.join("log")), Err(Taken::InUse(pid)) if pid.starts_with("pid ")));
        drop(lock);
        DirectoryLock::take(&dir.join("log")).expect("free again");
        std::fs::remove_dir_all(dir).expect("removed");
    }
}
