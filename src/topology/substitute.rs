//! `${…}` in scalars: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`, `${file:PATH}`, and `$$` for a dollar.
//!
//! Works on parsed scalars, so that no value can change the structure of the file. Faults never quote the text they
//! were found in: it may be a secret.

use std::path::Path;

/// What came of a scalar. Where something was missing, `unresolved.NAME` stands in its place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Bytes, because a secret file need not be text.
    pub bytes: Vec<u8>,
    pub faults: Vec<Fault>,
    /// Nothing of it came from outside of the file.
    pub literal: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not to be mended by setting something.
    Form(String),
    /// To be mended outside of the file; the text says how.
    Missing(String),
}

pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Paths are relative to `dir`.
pub(super) fn substitute(text: &str, env: Env<'_>, dir: &Path) -> Outcome {
    let mut out = Outcome { literal: true, ..Outcome::default() };
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let tail = &rest[at + 1..];
        if let Some(after) = tail.strip_prefix('$') {
            out.bytes.push(b'$');
            rest = after;
        } else if let Some(after) = tail.strip_prefix('{') {
            let Some(end) = after.find('}') else {
                out.faults.push(Fault::Form("`${` without its `}`; a plain dollar before a brace is `$$`".into()));
                rest = "";
                break;
            };
            out.reference(&after[..end], env, dir);
            rest = &after[end + 1..];
        } else {
            out.bytes.push(b'$');
            rest = tail;
        }
    }
    out.bytes.extend_from_slice(rest.as_bytes());
    out
}

impl Outcome {
    fn reference(&mut self, inner: &str, env: Env<'_>, dir: &Path) {
        if let Some(path) = inner.strip_prefix("file:") {
            return self.file(path, dir);
        }
        let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
        let (name, operator) = inner.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return self.faults.push(Fault::Form(FORMS.into()));
        }
        let value = env(name);
        let present = value.as_deref().filter(|value| !value.is_empty());
        match (present, operator) {
            (Some(value), _) if operator.is_empty() || operator.starts_with(":-") || operator.starts_with(":?") => {
                self.literal = false;
                self.bytes.extend_from_slice(value.as_bytes());
            }
            (None, "") => {
                let state = if value.is_some() { "empty" } else { "not set" };
                self.missing(name, format!("the environment variable `{name}` is {state}"));
            }
            (None, operator) if operator.starts_with(":-") && operator.contains("${") => {
                self.faults.push(Fault::Form("a default cannot hold another `${…}`".into()));
            }
            (None, operator) if operator.starts_with(":-") => self.bytes.extend_from_slice(&operator.as_bytes()[2..]),
            (None, operator) if operator.starts_with(":?") => {
                self.missing(name, format!("the environment variable `{name}` is not set: {}", &operator[2..]));
            }
            _ => self.faults.push(Fault::Form(FORMS.into())),
        }
    }

    fn file(&mut self, path: &str, dir: &Path) {
        let problem = match std::fs::read(dir.join(path)) {
            Ok(mut bytes) => {
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                    if bytes.last() == Some(&b'\r') {
                        bytes.pop();
                    }
                }
                if !bytes.is_empty() {
                    self.literal = false;
                    return self.bytes.extend_from_slice(&bytes);
                }
                format!("the file `{path}` is empty")
            }
            Err(error) => format!("the file `{path}` cannot be read: {error}"),
        };
        let name: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        self.missing(&name, problem);
    }

    fn missing(&mut self, name: &str, problem: String) {
        self.literal = false;
        self.bytes.extend_from_slice(b"unresolved.");
        self.bytes.extend_from_slice(name.as_bytes());
        self.faults.push(Fault::Missing(problem));
    }
}

const FORMS: &str = "`${…}` takes one of ${NAME}, ${NAME:-default}, ${NAME:?message} and ${file:PATH}; a plain dollar \
                     before a brace is `$$`";

/// A text that is one reference and nothing else, without a default: it may be shown where a secret may not.
pub(super) fn is_reference(text: &str) -> bool {
    let inner = text.trim().strip_prefix("${").and_then(|text| text.strip_suffix('}'));
    inner.is_some_and(|inner| !inner.is_empty() && !inner.contains(['$', '{', '}']) && !inner.contains(":-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        [("HOST", "h1"), ("EMPTY", ""), ("ODD", "a: {b}\n${HOST}")]
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| (*v).into())
    }

    #[test]
    fn forms() {
        for (text, want, literal) in [
            ("plain", "plain", true),
            ("${HOST}:9092", "h1:9092", false),
            ("a${HOST}b${HOST}c", "ah1bh1c", false),
            ("${NO:-x y}", "x y", true),
            ("${EMPTY:-x}", "x", true),
            ("${HOST:-x}", "h1", false),
            ("${HOST:?set it}", "h1", false),
            ("${NO:-}", "", true),
            ("a$$b", "a$b", true),
            ("$${HOST}", "${HOST}", true),
            ("$1 $", "$1 $", true),
            ("(a|b)$", "(a|b)$", true),
            // What comes from outside is not read again.
            ("${ODD}", "a: {b}\n${HOST}", false),
        ] {
            let want = Outcome { bytes: want.into(), faults: vec![], literal };
            assert_eq!(substitute(text, &env, Path::new("")), want, "{text}");
        }
    }

    #[test]
    fn faults() {
        for (text, fault, missing) in [
            ("${NO}", "the environment variable `NO` is not set", true),
            ("${EMPTY}", "the environment variable `EMPTY` is empty", true),
            ("${NO:?ask Ann}", "the environment variable `NO` is not set: ask Ann", true),
            ("${file:nowhere}", "the file `nowhere` cannot be read", true),
            ("hunter2${", "`${` without", false),
            ("hunter2${}", "`${…}` takes one of", false),
            ("hunter2${a-b}", "`${…}` takes one of", false),
            ("hunter2${HOST:x}", "`${…}` takes one of", false),
            ("${NO:-${HOST}}", "a default cannot", false),
        ] {
            let outcome = substitute(text, &env, Path::new(""));
            let [fault_got] = &outcome.faults[..] else { panic!("{text}: {outcome:?}") };
            let (got, kind) = match fault_got {
                Fault::Missing(text) => (text, true),
                Fault::Form(text) => (text, false),
            };
            assert!(got.starts_with(fault) && kind == missing && !got.contains("hunter2"), "{text}: {fault_got:?}");
        }
    }

    #[test]
    fn files_lose_one_newline() {
        let dir = std::env::temp_dir().join(format!("highwater-substitute-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        for (content, want) in [("s", "s"), ("s\n", "s"), ("s\r\n", "s"), ("s\n\n", "s\n"), ("${X}", "${X}")] {
            std::fs::write(dir.join("secret"), content).unwrap();
            let outcome = substitute("<${file:secret}>", &env, &dir);
            assert_eq!((outcome.bytes, outcome.literal), (format!("<{want}>").into_bytes(), false));
        }
        std::fs::write(dir.join("secret"), "\n").unwrap();
        assert_eq!(
            substitute("${file:secret}", &env, &dir).faults,
            [Fault::Missing("the file `secret` is empty".into())]
        );
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn references() {
        for (text, want) in [
            ("${A}", true),
            (" ${file:/run/x} ", true),
            ("${A:?m}", true),
            ("${A:-s}", false),
            ("x${A}", false),
            ("${A}${B}", false),
            ("s", false),
            ("${}", false),
        ] {
            assert_eq!(is_reference(text), want, "{text}");
        }
    }
}
