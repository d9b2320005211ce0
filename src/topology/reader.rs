//! Reads the tree field by field and collects what is wrong, so that one run shows every error.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::Mode;
use super::diagnostics::{Diagnostic, Diagnostics, Severity};
use super::explain;
use super::redact;
use super::substitute::{Env, Fault, substitute};
use super::yaml::{self, Entry, Node, Span, Value};
use crate::record::{Keyring, Secret};

pub(super) struct Reader<'a> {
    pub mode: Mode,
    pub env: Env<'a>,
    /// The topology's own directory: paths in it start there.
    pub dir: PathBuf,
    pub out: Diagnostics,
    /// By name; `None` where the declaration is wrong, which has been reported.
    pub secrets: BTreeMap<String, Option<Keyring>>,
    /// Those of them that list their keys.
    pub rings: BTreeSet<String>,
    /// Secrets that are not known in [`Mode::Check`].
    pub unresolved: Vec<String>,
    /// The secrets of the scenario, in [`Mode::Test`].
    pub given: BTreeMap<String, Secret>,
}

/// A scalar after substitution.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub text: String,
    pub span: Span,
    /// Something of it is not known in [`Mode::Check`]; its form need not be right.
    pub placeholder: bool,
    pub literal: bool,
}

impl<'a> Reader<'a> {
    pub fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>, label: impl Into<String>) {
        self.report(Severity::Error, code, span, message.into(), label.into(), &[]);
    }

    /// An error with lines of help.
    pub fn explain(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: &[&str],
    ) {
        self.report(Severity::Error, code, span, message.into(), label.into(), help);
    }

    pub fn warn(&mut self, code: &'static str, span: Span, message: impl Into<String>, label: impl Into<String>) {
        self.report(Severity::Warning, code, span, message.into(), label.into(), &[]);
    }

    pub fn report(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Span,
        message: String,
        label: String,
        help: &[&str],
    ) {
        let help = helping(code, &label, help);
        self.out.push(Diagnostic { severity, code, message, span: Some(span), label, help });
    }

    /// An error of a whole file.
    pub fn file_error(&mut self, code: &'static str, message: String, help: &[&str]) {
        let help = helping(code, "", help);
        self.out.push(Diagnostic { severity: Severity::Error, code, message, span: None, label: String::new(), help });
    }

    /// Parses a file's text, reports what YAML says of it and hides its secrets.
    pub fn tree(&mut self, name: &str, text: &str) -> Option<Node> {
        let file = self.out.add_file(name, text);
        let parsed = yaml::parse(text, file);
        match &parsed.root {
            Some(root) => redact::show_tree(&mut self.out, root),
            None => redact::hide_text(&mut self.out, file, text),
        }
        if parsed.root.is_none() && parsed.problems.is_empty() {
            let span = Span { file, line: 1, column: 1, end_line: 1, end_column: 1 };
            self.error("empty-file", span, "the file is empty", "");
        }
        for problem in parsed.problems {
            if problem.code == "duplicate-field" {
                // The tree has only the first of the two.
                self.out.show(problem.span);
            }
            self.error(problem.code, problem.span, problem.message, problem.label);
        }
        parsed.root
    }

    /// Opens a mapping and reports the fields it does not know. `at` is its name, for messages.
    pub fn fields<'n>(
        &mut self,
        node: &'n Node,
        at: Span,
        what: &str,
        known: &'static [&'static str],
    ) -> Option<Fields<'n>> {
        let entries = self.map(node, at, what)?;
        for entry in entries {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let label = match nearest(&entry.key, known.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("{what} takes {}", list(known.iter().copied())),
            };
            self.error("unknown-field", entry.key_span, format!("unknown field `{}`", entry.key), label);
        }
        Some(Fields { entries, at, known })
    }

    /// A mapping with names of the user's own.
    pub fn map<'n>(&mut self, node: &'n Node, at: Span, what: &str) -> Option<&'n [Entry]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            _ if node.is_blank() => {
                let label = "expected a mapping: give it fields, or take the line out";
                self.error("blank", at, format!("{what} is blank"), label);
                None
            }
            _ => {
                let help = ["fields stand on lines of their own, indented below the name, or in `{ name: value }`"];
                let (message, label) = (format!("{what} must be a mapping"), format!("found {}", node.kind()));
                self.explain("wrong-type", node.span, message, label, &help);
                None
            }
        }
    }

    pub fn seq<'n>(&mut self, node: &'n Node, at: Span, what: &str) -> Option<&'n [Node]> {
        match &node.value {
            Value::Seq(items) => Some(items),
            _ if node.is_blank() => {
                let label = "expected a list: give it items, or take the line out";
                self.error("blank", at, format!("{what} is blank"), label);
                None
            }
            _ => {
                let help = ["items stand on lines of their own, `- ` before each, or in `[a, b]`"];
                let (message, label) = (format!("{what} must be a list"), format!("found {}", node.kind()));
                self.explain("wrong-type", node.span, message, label, &help);
                None
            }
        }
    }

    /// The text of a scalar before substitution. `at` is where its name stands, for blanks.
    pub fn scalar<'n>(&mut self, node: &'n Node, at: Span, what: &str) -> Option<&'n str> {
        match &node.value {
            _ if node.is_blank() => {
                let label = "a value is missing: give it one, or take the line out";
                self.error("blank", at, format!("{what} is blank"), label);
                None
            }
            Value::Scalar { text, .. } => Some(text),
            _ => {
                let message = format!("{what} must be a single value");
                let help = ["one word, number or text belongs here; quotes keep brackets and braces in a text"];
                self.explain("wrong-type", node.span, message, format!("found {}", node.kind()), &help);
                None
            }
        }
    }

    /// A scalar, substituted. In [`Mode::Check`] what is missing outside is a warning and a placeholder.
    pub fn text(&mut self, node: &Node, at: Span, what: &str) -> Option<Text> {
        let raw = self.scalar(node, at, what)?;
        let outcome = substitute(raw, self.env, &self.dir);
        let mut placeholder = false;
        let mut broken = false;
        for fault in outcome.faults {
            match fault {
                Fault::Missing(message) if self.mode.stands_in() => {
                    placeholder = true;
                    self.warn("unset", node.span, message, "`run` needs it");
                }
                Fault::Missing(message) => {
                    broken = true;
                    let help = match self.mode {
                        Mode::Test => {
                            &["nothing comes from outside: the scenario gives it, `env: { NAME: value }`"][..]
                        }
                        _ => &["set it where the command runs, or give a default: `${NAME:-default}`"],
                    };
                    self.explain("unset", node.span, message, format!("{what} needs it"), help);
                }
                Fault::Form(message) => {
                    broken = true;
                    self.error("substitution", node.span, message, "");
                }
            }
        }
        if broken {
            return None;
        }
        let Ok(text) = String::from_utf8(outcome.bytes) else {
            self.error("bad-value", node.span, format!("{what} is not UTF-8"), "");
            return None;
        };
        if text.is_empty() {
            self.error("blank", node.span, format!("{what} is empty"), "a value is missing");
            return None;
        }
        Some(Text { text, span: node.span, placeholder, literal: outcome.literal })
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, node: &Node, at: Span, what: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, at, what)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text.text) {
            return Some(*value);
        }
        let names = || choices.iter().map(|(name, _)| *name);
        let label = match nearest(&text.text, names()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("expected {}", alternatives(names())),
        };
        self.error("bad-value", text.span, format!("{what} cannot be `{}`", text.text), label);
        None
    }

    /// A scalar that `parse` understands; a placeholder passes as `None` without an error.
    pub fn parsed<T>(
        &mut self,
        node: &Node,
        at: Span,
        what: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(node, at, what)?;
        match parse(text.text.trim()) {
            Ok(value) => Some(value),
            Err(_) if text.placeholder => None,
            Err(label) => {
                self.error("bad-value", text.span, format!("{what} cannot be `{}`", text.text), label);
                None
            }
        }
    }
}

/// Nothing is left without a way out: where nobody said one, the code's own remedy stands.
fn helping(code: &str, label: &str, help: &[&str]) -> Vec<String> {
    match help {
        [] if label.is_empty() => explain::remedy(code).into_iter().collect(),
        help => help.iter().map(|line| (*line).to_owned()).collect(),
    }
}

/// The fields of a mapping whose names are known.
#[derive(Clone, Copy)]
pub(super) struct Fields<'n> {
    pub entries: &'n [Entry],
    /// Where the mapping's own name stands.
    pub at: Span,
    known: &'static [&'static str],
}

impl<'n> Fields<'n> {
    pub fn get(&self, name: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == name)
    }

    /// A misspelled name has been reported with this one as its remedy.
    pub fn is_misspelt(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| {
            !self.known.contains(&entry.key.as_str()) && nearest(&entry.key, self.known.iter().copied()) == Some(name)
        })
    }

    pub fn require(&self, reader: &mut Reader<'_>, name: &str, label: &str) -> Option<&'n Entry> {
        let entry = self.get(name);
        if entry.is_none() && !self.is_misspelt(name) {
            reader.error("missing-field", self.at, format!("field `{name}` is missing"), label);
        }
        entry
    }
}

/// The name that was probably meant.
pub fn nearest<'n>(given: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let given = given.to_lowercase();
    let names: Vec<&str> = names.collect();
    if let Some(longer) = names.iter().find(|name| given.len() >= 3 && name.to_lowercase().starts_with(&given)) {
        return Some(longer);
    }
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.chars().count().max(given.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `a, b, c`
pub(super) fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// `a, b or c`
pub(super) fn alternatives<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_names() {
        let names = ["threads", "streams", "state", "to", "on_error"];
        for (given, want) in [
            ("treads", Some("threads")),
            ("Threads", Some("threads")),
            ("stream", Some("streams")),
            ("onerror", Some("on_error")),
            ("ot", Some("to")),
            ("thr", Some("threads")),
            ("banana", None),
            ("x", None),
        ] {
            assert_eq!(nearest(given, names.into_iter()), want, "{given}");
        }
    }
}
