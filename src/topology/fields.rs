//! Rules per column: `email: hash`, or `email: { rule: hash, optional: true }`.

use super::reader::{Reader, alternatives, nearest};
use super::yaml::{Entry, Node, Span, Value};
use crate::operators::mask::{FieldRule, Rule};

/// Columns that Highwater writes itself; a row that has them is refused, so a rule would never meet them.
const RESERVED: [&str; 2] = ["cdc_lsn", "_deleted"];

/// Rules that are agreed on but not built, so that a message can say so.
const PLANNED: [&str; 9] =
    ["hmac", "redact", "constant", "set_null", "partial", "email_domain", "generalize", "ip_prefix", "tokenize"];

/// `substituted`: false in rules files, which are read as they stand.
pub(super) fn read_fields(reader: &mut Reader<'_>, section: &Entry, substituted: bool) -> Vec<(FieldRule, Span)> {
    let Some(entries) = reader.map(&section.value, section.key_span, "`fields`") else { return Vec::new() };
    entries.iter().filter_map(|entry| read_one(reader, entry, substituted)).collect()
}

fn read_one(reader: &mut Reader<'_>, entry: &Entry, substituted: bool) -> Option<(FieldRule, Span)> {
    let (column, at) = (entry.key.clone(), entry.key_span);
    let known = check_column(reader, &column, at);
    let (rule, optional) = match &entry.value.value {
        Value::Map(_) => {
            let fields = reader.fields(&entry.value, at, &format!("column `{column}`"), &["rule", "optional"])?;
            let optional = match fields.get("optional") {
                Some(entry) => reader.choice(&entry.value, entry.key_span, "`optional`", BOOLEANS)?,
                None => false,
            };
            let rule = fields.require(reader, "rule", "for example `rule: hash`")?;
            (read_rule(reader, &rule.value, rule.key_span, &column, substituted)?, optional)
        }
        _ => (read_rule(reader, &entry.value, at, &column, substituted)?, false),
    };
    known.then_some((FieldRule { column, rule, optional }, at))
}

pub(super) const BOOLEANS: &[(&str, bool)] = &[("true", true), ("false", false)];

fn check_column(reader: &mut Reader<'_>, column: &str, at: Span) -> bool {
    let (message, label) = match column {
        "" => ("the name of a column is empty".to_owned(), ""),
        _ if RESERVED.contains(&column) => {
            (format!("`{column}` is a column that Highwater writes"), "rows that bring it are refused")
        }
        _ if column.contains(['.', '[']) => (
            format!("`{column}` reaches into a column"),
            "nested paths are not available yet: give the whole column a rule",
        ),
        _ => return true,
    };
    reader.error("column", at, message, label);
    false
}

fn read_rule(reader: &mut Reader<'_>, node: &Node, at: Span, column: &str, substituted: bool) -> Option<Rule> {
    if node.is_blank() {
        let rules = alternatives(Rule::ALL.iter().map(|rule| rule.as_str()));
        reader.error("blank", at, format!("column `{column}` has no rule"), format!("expected {rules}"));
        return None;
    }
    let (text, span) = match &node.value {
        Value::Scalar { .. } if substituted => {
            let text = reader.text(node, at, "a rule")?;
            (text.text, text.span)
        }
        Value::Scalar { text, .. } => (text.clone(), node.span),
        _ => {
            reader.error("wrong-type", node.span, "a rule must be a single word", format!("found {}", node.kind()));
            return None;
        }
    };
    if let Some(rule) = Rule::ALL.iter().find(|rule| rule.as_str() == text) {
        return Some(*rule);
    }
    let label = match nearest(&text, Rule::ALL.iter().map(|rule| rule.as_str())) {
        _ if PLANNED.contains(&text.as_str()) => format!("`{text}` is not available yet"),
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("expected {}", alternatives(Rule::ALL.iter().map(|rule| rule.as_str()))),
    };
    reader.error("unknown-rule", span, format!("unknown rule `{text}`"), label);
    None
}

/// Numbers of telephones are few enough to be tried one by one.
pub(super) fn looks_like_phone(column: &str) -> bool {
    let column = column.to_ascii_lowercase();
    let words = ["phone", "mobile", "tel", "cell", "cellular", "fax", "gsm", "msisdn", "handy"];
    column.contains("phone")
        || column.contains("mobile")
        || column.split(|c: char| !c.is_ascii_alphabetic()).any(|word| words.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones() {
        for column in ["phone", "phone_number", "HomePhone", "tel", "tel_2", "mobile", "work_fax", "telephone"] {
            assert!(looks_like_phone(column), "{column}");
        }
        for column in ["email", "hotel", "title", "telemetry", "cells_count", "intel"] {
            assert!(!looks_like_phone(column), "{column}");
        }
    }
}
