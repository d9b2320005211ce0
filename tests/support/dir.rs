//! Directories that go when their test is over, and stay when it failed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory of one test, below the target directory.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
        sweep(root);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = root.join(format!("{name}-{}-{count}", std::process::id()));
        // An earlier process with the same id may have left one.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for you to look at: {}", self.0.display());
            let _ = fs::write(self.0.join("kept"), "");
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Removes what killed test processes left: a shared broker's directory is never dropped.
fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.rsplit('-').nth(1).and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{pid}")).exists() && !entry.path().join("kept").exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
