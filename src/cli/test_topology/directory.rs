//! The state directory of one scenario, gone with it.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct StateDirectory {
    root: PathBuf,
    /// Directories so far: a lost one is not used again.
    count: usize,
}

impl StateDirectory {
    pub fn new() -> io::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("highwater-scenario-{}-{count}", std::process::id()));
        // An earlier process with the same id may have left one.
        match std::fs::remove_dir_all(&root) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::fs::create_dir_all(&root)?;
        Ok(Self { root, count: 0 })
    }

    pub fn path(&self) -> PathBuf {
        self.root.join(format!("state-{}", self.count))
    }

    /// From now on a new and empty one.
    pub fn lose(&mut self) -> io::Result<()> {
        let lost = self.path();
        self.count += 1;
        if lost.exists() { std::fs::remove_dir_all(lost) } else { Ok(()) }
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        // Best effort: it lies in the system's directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.root);
    }
}
