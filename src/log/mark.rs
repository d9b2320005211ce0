//! What a directory is: the mark that says whose it is, and in which format its files are.
//!
//! The file `format` holds one line, `highwater state 1` or `highwater log 1`. It is read before anything is written, not
//! even a lock: what is another's, a later version's, or no directory of ours at all stays as it is.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

const NAME: &str = "format";
const FORMAT: u32 = 1;
/// Made by us, by file systems and by version control: they are in nobody's way.
const HARMLESS: [&str; 4] = ["lock", "lost+found", ".gitignore", ".gitkeep"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The stores and the name of an instance.
    State,
    /// An embedded log.
    Log,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::State, Kind::Log];

    fn word(self) -> &'static str {
        match self {
            Kind::State => "state",
            Kind::Log => "log",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::State => "a state directory",
            Kind::Log => "an embedded log",
        }
    }

    /// What to do instead.
    fn way_out(self) -> &'static str {
        match self {
            Kind::State => "use another directory (--state DIR): its stores are restored from their changelogs",
            Kind::Log => "use another directory (--embedded=DIR)",
        }
    }

    /// A file that only a directory of this kind has. It tells those from before there were marks.
    fn witness(self) -> &'static str {
        match self {
            Kind::State => "instance",
            Kind::Log => "data/CURRENT",
        }
    }
}

/// What was found, where it is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Ours, and it says so.
    Marked,
    /// Ours, from before there were marks; the owner of its files may have more to say.
    Unmarked,
    /// Nothing of anybody.
    Empty,
}

/// Looks at a directory and changes nothing. An error says what is there, what was expected, and the way out.
pub fn look(directory: &Path, kind: Kind) -> Result<Found, String> {
    let place = directory.display();
    match fs::metadata(directory) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::Empty),
        Err(e) => return Err(format!("cannot look at {place}: {e}")),
        Ok(found) if !found.is_dir() => {
            return Err(format!("{place} is a file, and {} is a directory: {}", kind.name(), kind.way_out()));
        }
        Ok(_) => {}
    }
    match read(directory).map_err(|e| format!("cannot read {}: {e}", directory.join(NAME).display()))? {
        Some(text) => judge(&text, kind).map(|()| Found::Marked).map_err(|why| format!("{place} {why}")),
        None if is_witnessed(directory, kind) => Ok(Found::Unmarked),
        None => match Kind::ALL.into_iter().find(|other| *other != kind && is_witnessed(directory, *other)) {
            Some(other) => Err(format!("{place} {}", is_another(other, kind))),
            None => strangers(directory, kind).map(|()| Found::Empty),
        },
    }
}

/// Marks a directory as ours. Whole or not at all: a process may die in between.
pub fn write(directory: &Path, kind: Kind) -> std::io::Result<()> {
    let fresh = directory.join("format.new");
    let mut file = File::create(&fresh)?;
    writeln!(file, "highwater {} {FORMAT}", kind.word())?;
    file.sync_all()?;
    fs::rename(fresh, directory.join(NAME))
}

fn read(directory: &Path) -> std::io::Result<Option<String>> {
    match fs::read(directory.join(NAME)) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn is_witnessed(directory: &Path, kind: Kind) -> bool {
    directory.join(kind.witness()).is_file()
}

fn is_another(found: Kind, wanted: Kind) -> String {
    format!("is {}, not {}: {}", found.name(), wanted.name(), wanted.way_out())
}

fn judge(text: &str, kind: Kind) -> Result<(), String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (found, format) = match words[..] {
        ["highwater", word, format] => (Kind::ALL.into_iter().find(|kind| kind.word() == word), format.parse().ok()),
        _ => (None, None),
    };
    match (found, format) {
        (Some(found), Some(_)) if found != kind => Err(is_another(found, kind)),
        (Some(_), Some(FORMAT)) => Ok(()),
        (Some(_), Some(format @ 0u32..)) => Err(format!(
            "is {} in format {format}, and this version of Highwater knows format {FORMAT} only. Run the version that wrote \
             it, or {}",
            kind.name(),
            kind.way_out()
        )),
        _ => Err(format!(
            "has a file `{NAME}` that does not say `highwater {} {FORMAT}`: it is damaged, or another program's. If the \
             directory is Highwater's, put a copy of it back; else {}",
            kind.word(),
            kind.way_out()
        )),
    }
}

/// Refuses a directory with files of somebody else: a mistyped path must not fill somebody's home with stores.
fn strangers(directory: &Path, kind: Kind) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("cannot read {}: {e}", directory.display());
    let mut strange = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !HARMLESS.contains(&name.as_str()) && !is_interrupted(&name, kind) && !holds_ours(&entry.path()) {
            strange.push(name);
        }
    }
    strange.sort();
    match &strange[..] {
        [] => Ok(()),
        [first, rest @ ..] => Err(format!(
            "{} is not {}: there are other files in it ({first:?}{}). Nothing was changed; {}",
            directory.display(),
            kind.name(),
            if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) },
            kind.way_out()
        )),
    }
}

/// What a process leaves that died while it made the directory.
fn is_interrupted(name: &str, kind: Kind) -> bool {
    match kind {
        Kind::State => ["instance.new", "format.new"].contains(&name),
        Kind::Log => ["data", "format.new"].contains(&name),
    }
}

/// Directories of ours may lie within one another, and beside one another: `state/log`, `state/demo/log`.
fn holds_ours(path: &Path) -> bool {
    let is_ours = |path: &Path| {
        let marked = read(path).ok().flatten().is_some_and(|text| text.starts_with("highwater "));
        marked || Kind::ALL.into_iter().any(|kind| is_witnessed(path, kind))
    };
    let children = || fs::read_dir(path).into_iter().flatten().flatten();
    path.is_dir() && (is_ours(path) || children().any(|child| is_ours(&child.path())))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Temporary(std::path::PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("highwater-mark-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Files with their text, and what is said of their directory as a state directory and as a log.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'static str, &'static str);

    #[test]
    fn a_directory_is_taken_for_what_it_is() {
        let cases: [Case<'_>; 15] = [
            (&[], "Empty", "Empty"),
            (&[("format", "highwater state 1\n"), ("x", "")], "Marked", "is a state directory, not an embedded log"),
            (&[("format", "highwater log 1\n")], "is an embedded log, not a state directory", "Marked"),
            (
                &[("format", "highwater state 2\n")],
                "in format 2, and this version of Highwater knows format 1",
                "is a state",
            ),
            (&[("format", "highwater log 4294967295")], "is an embedded log", "in format 4294967295"),
            (
                &[("format", "highwater state 1 2")],
                "does not say `highwater state 1`",
                "does not say `highwater log 1`",
            ),
            (&[("format", "highwater state 99999999999")], "does not say", "does not say"),
            (&[("format", "")], "does not say", "does not say"),
            (&[("instance", "a b 1\n"), ("stores/CURRENT", "")], "Unmarked", "is a state directory, not"),
            (&[("data/CURRENT", "")], "is an embedded log, not", "Unmarked"),
            (&[("data/LOG", "")], "(\"data\")", "Empty"),
            (&[("lock", "17"), ("lost+found/x", ""), (".gitkeep", "")], "Empty", "Empty"),
            (&[("demo/log/format", "highwater log 1\n"), ("log/data/CURRENT", "")], "Empty", "Empty"),
            (
                &[(".bashrc", "")],
                "is not a state directory: there are other files in it (\".bashrc\")",
                "is not an embedded",
            ),
            (&[("a/b", ""), ("c", "")], "(\"a\" and 1 more). Nothing was changed", "(\"a\" and 1 more)"),
        ];
        for (index, (files, state, log)) in cases.iter().enumerate() {
            let dir = Temporary::new(&format!("taken-{index}"));
            for (name, text) in *files {
                fs::create_dir_all(dir.0.join(name).parent().unwrap()).unwrap();
                fs::write(dir.0.join(name), text).unwrap();
            }
            for (kind, expected) in [(Kind::State, state), (Kind::Log, log)] {
                let said = look(&dir.0, kind).map_or_else(|text| text, |found| format!("{found:?}"));
                assert!(said.contains(expected), "{files:?} as {kind:?}: {said}");
            }
        }
    }

    #[test]
    fn a_mark_is_found_again() {
        let dir = Temporary::new("again");
        for kind in Kind::ALL {
            write(&dir.0, kind).unwrap();
            assert_eq!(look(&dir.0, kind), Ok(Found::Marked));
        }
        assert_eq!(fs::read_to_string(dir.0.join("format")).unwrap(), "highwater log 1\n");
        assert!(look(&dir.0.join("format"), Kind::Log).unwrap_err().contains("is a file"));
        assert_eq!(look(&dir.0.join("none"), Kind::Log), Ok(Found::Empty));
    }
}
