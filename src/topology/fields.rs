//! Rules per column: `email: hash`, or `email: { rule: hash, optional: true }`.

use super::reader::{Reader, alternatives, nearest};
use super::rule_options::{self, Options};
use super::yaml::{Entry, Node, Span, Value};
use crate::operators::mask::{FieldRule, Members, Path, RESERVED, Rule, Transform};

/// Rules that are agreed on but not built, so that a message can say so.
const PLANNED: [&str; 1] = ["tokenize"];

/// `substituted`: false in rules files, which are read as they stand.
pub(super) fn read_fields(reader: &mut Reader<'_>, section: &Entry, substituted: bool) -> Vec<(FieldRule, Span)> {
    let Some(entries) = reader.map(&section.value, section.key_span, "`fields`") else { return Vec::new() };
    let mut together = Members::default();
    let mut fields = Vec::new();
    for entry in entries {
        let Some(field) = read_one(reader, entry, substituted) else { continue };
        match together.insert(&field) {
            Ok(()) => fields.push((field, entry.key_span)),
            Err(message) => reader.error("conflict", entry.key_span, message, "one place, one rule"),
        }
    }
    fields
}

fn read_one(reader: &mut Reader<'_>, entry: &Entry, substituted: bool) -> Option<FieldRule> {
    let (name, at) = (entry.key.as_str(), entry.key_span);
    let path = read_path(reader, name, at);
    let (transform, optional) = match &entry.value.value {
        Value::Map(entries) => {
            let given = entries.iter().find(|entry| entry.key == "rule");
            let given = given.and_then(|entry| match &entry.value.value {
                Value::Scalar { text, .. } => Rule::named(text),
                _ => None,
            });
            let what = match given {
                Some(rule) => format!("`{}`", rule.as_str()),
                None => format!("column `{name}`"),
            };
            let fields = reader.fields(&entry.value, at, &what, rule_options::known(given))?;
            let optional = match fields.get("optional") {
                Some(entry) => reader.choice(&entry.value, entry.key_span, "`optional`", BOOLEANS),
                None => Some(false),
            };
            let rule = fields.require(reader, "rule", "for example `rule: hash`")?;
            let options = Options { fields: Some(fields), at, substituted };
            (read_rule(reader, &rule.value, rule.key_span, name, &options)?, optional?)
        }
        _ => {
            let options = Options { fields: None, at: entry.value.span, substituted };
            (read_rule(reader, &entry.value, at, name, &options)?, false)
        }
    };
    Some(FieldRule { path: path?, transform, optional })
}

pub(super) const BOOLEANS: &[(&str, bool)] = &[("true", true), ("false", false)];

fn read_path(reader: &mut Reader<'_>, name: &str, at: Span) -> Option<Path> {
    let (message, label) = match Path::parse(name) {
        // A row that has them is refused, so a rule would never meet them.
        Ok(path) if RESERVED.contains(&path.column.as_str()) => {
            (format!("`{name}` is a column that Highwater writes"), "rows that bring it are refused".to_owned())
        }
        Ok(path) => return Some(path),
        Err(_) if name.is_empty() => ("the name of a column is empty".to_owned(), String::new()),
        Err(label) => (format!("`{name}` is no path to a value"), label),
    };
    reader.error("column", at, message, label);
    None
}

fn read_rule(reader: &mut Reader<'_>, node: &Node, at: Span, column: &str, options: &Options<'_>) -> Option<Transform> {
    let rules = || Rule::ALL.iter().map(|rule| rule.as_str());
    if node.is_blank() {
        let message = format!("column `{column}` has no rule");
        reader.error("blank", at, message, format!("expected {}", alternatives(rules())));
        return None;
    }
    if !matches!(node.value, Value::Scalar { .. }) {
        reader.error("wrong-type", node.span, "a rule must be a single word", format!("found {}", node.kind()));
        return None;
    }
    let (text, span) = options.word(reader, node, at, "a rule")?;
    if let Some(rule) = Rule::named(&text) {
        return options.transform(reader, rule);
    }
    let label = match nearest(&text, rules()) {
        _ if PLANNED.contains(&text.as_str()) => format!("`{text}` is not available yet"),
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("expected {}", alternatives(rules())),
    };
    reader.error("unknown-rule", span, format!("unknown rule `{text}`"), label);
    None
}
