//! Directories that may not be written to: a clear error, and nothing changed.
//!
//! Root may do everything, so where the tests run as root the application runs without the right to pass permissions by.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::application::*;
use crate::refusals::tree;

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0)
}

/// What it says before it ends with exit code 1.
#[track_caller]
fn fails(before: &[&str], topology: &str, dir: &Path) -> String {
    fs::write(dir.join("topology.yaml"), topology).expect("a topology");
    let rights = "-dac_override,-dac_read_search";
    let (bounding, inheritable) = (format!("--bounding-set={rights}"), format!("--inh-caps={rights}"));
    let mut words: Vec<&str> = before.to_vec();
    if is_root() {
        words.extend(["setpriv", &bounding, &inheritable]);
    }
    words.extend([env!("CARGO_BIN_EXE_highwater"), "run"]);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(dir).env("SALT", SECRET).stdin(Stdio::null());
    let out = command.output().unwrap_or_else(|e| panic!("{words:?}: {e}"));
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    said
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn each(path: &Path, act: &dyn Fn(&Path)) {
    act(path);
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        each(&entry.path(), act);
    }
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named() {
    let dir = unpacked("stopped");
    for (place, closed) in
        [("state", 0o500), ("state", 0o000), ("log", 0o000), ("state/stores", 0o500), ("log/data", 0o500)]
    {
        let path = dir.join(place);
        let before = tree(&path);
        mode(&path, closed);
        let said = fails(&[], TOPOLOGY, dir.path());
        mode(&path, 0o700);
        says(&said, &[place, "Permission denied"]);
        let after = tree(&path);
        assert!(before[1..] == after[1..], "{place} {closed:o}: {before:#?} {after:#?}");
    }
    // One that cannot be made.
    fs::create_dir(dir.join("closed")).expect("a directory");
    mode(&dir.join("closed"), 0o500);
    let said = fails(&[], &TOPOLOGY.replace("path: state", "path: closed/state"), dir.path());
    says(&said, &["cannot make the directory closed/state", "Permission denied"]);
    run_through(TOPOLOGY, dir.path());
    check_outputs(dir.path(), "with its rights back");
}

/// Only root can give a directory away, or mount one.
#[test]
fn a_directory_of_another_owner_and_one_that_is_read_only() {
    if !is_root() {
        eprintln!("not shown: this needs root");
        return;
    }
    let dir = unpacked("stopped");
    for place in ["state", "log"] {
        let path = dir.join(place);
        let before = tree(&path);
        each(&path, &|path| chown(path, Some(12_345), Some(12_345)).expect("given away"));
        // Another's, and closed to us.
        each(&path, &|path| if path.is_dir() { mode(path, 0o700) } else { mode(path, 0o600) });
        let said = fails(&[], TOPOLOGY, dir.path());
        says(&said, &[place, "Permission denied"]);
        each(&path, &|path| chown(path, Some(0), Some(0)).expect("taken back"));
        let bytes =
            |tree: Vec<String>| tree.iter().filter_map(|l| Some(l.rsplit_once(' ')?.1.to_owned())).collect::<Vec<_>>();
        assert_eq!(bytes(before).len(), bytes(tree(&path)).len());
    }
    for place in ["state", "log"] {
        let path = dir.join(place);
        let before = tree(&path);
        let mount = format!("mount --bind {place} {place} && mount -o remount,bind,ro {place} && exec \"$@\"");
        let said = fails(&["unshare", "--mount", "sh", "-c", &mount, "sh"], TOPOLOGY, dir.path());
        says(&said, &[place, "Read-only file system"]);
        assert!(before == tree(&path));
    }
    run_through(TOPOLOGY, dir.path());
    check_outputs(dir.path(), "as its owner again");
}
