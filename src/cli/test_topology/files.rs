//! Which files are scenarios: those that are named, and those in named directories.

use std::path::{Path, PathBuf};

use crate::topology::scenario::is_another_kind;

/// The files behind the paths, sorted within each directory. Topologies and rules files lie among scenarios and are
/// left out, unless they are named.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        let cannot = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
        if std::fs::metadata(path).map_err(cannot)?.is_dir() {
            search(path, &mut found).map_err(cannot)?;
        } else {
            found.push(path.clone());
        }
    }
    if found.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(format!("no scenarios in {}: they are files *.yaml with `input:` and `expect:`", names.join(", ")));
    }
    Ok(found)
}

/// Hidden files and directories are left out, and links to directories are not followed.
fn search(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let entries: std::io::Result<Vec<_>> = std::fs::read_dir(directory)?.collect();
    let mut entries = entries?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        } else if entry.file_type()?.is_dir() {
            search(&path, found)?;
        } else if path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml") {
            // One that cannot be read is shown with the others' errors.
            let is_other = std::fs::read_to_string(&path).is_ok_and(|text| is_another_kind(&text));
            found.extend((!is_other).then_some(path));
        }
    }
    Ok(())
}
