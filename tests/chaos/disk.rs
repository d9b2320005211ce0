//! A small disk of its own, that can be filled.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Room for some stores, and soon full.
const SIZE: &str = "size=96m";

/// A tmpfs. Unmounted when dropped, and when the test process dies.
pub struct SmallDisk {
    path: PathBuf,
    leash: Child,
}

impl SmallDisk {
    /// None where we may not mount.
    pub fn mount(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "highwater-chaos"]).arg(path).stderr(Stdio::null());
        if !mount.status().is_ok_and(|status| status.success()) {
            return None;
        }
        let mut leash = Command::new("bash");
        leash.args(["-c", "while read -r _; do :; done; umount -l \"$0\""]).arg(path);
        leash.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut leash, 0);
        let leash = leash.spawn().unwrap_or_else(|e| panic!("cannot start bash: {e}"));
        Some(Self { path: path.into(), leash })
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let file = File::options().create(true).append(true).open(self.filler());
        let mut file = file.unwrap_or_else(|e| panic!("{}: {e}", self.filler().display()));
        for size in [1 << 20, 1 << 12, 1] {
            let zeros = vec![0; size];
            while file.write_all(&zeros).is_ok() {}
        }
    }

    pub fn free(&self) {
        fs::remove_file(self.filler()).unwrap_or_else(|e| panic!("{}: {e}", self.filler().display()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.leash.stdin.take());
        let _ = self.leash.wait();
    }
}
