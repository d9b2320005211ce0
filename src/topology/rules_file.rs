//! `mask: { rules: FILE }`: a file of the seed system's own form, edited by people who never see the topology.
//!
//! It is read as it stands: nothing is substituted in it, and its salt is taken byte for byte.

use std::collections::BTreeMap;

use super::fields::read_fields;
use super::language;
use super::names;
use super::reader::{Reader, Text};
use super::yaml::{Entry, Span, Value};
use crate::operators::mask::{FieldRule, TableConfig, Unlisted};
use crate::record::Secret;

pub(super) struct RulesFile {
    pub salt: Option<(Secret, Span)>,
    pub tables: Vec<Table>,
}

pub(super) struct Table {
    pub name: String,
    pub at: Span,
    pub target: Option<(String, Span)>,
    pub fields: Vec<(FieldRule, Span)>,
}

impl RulesFile {
    pub fn rules(&self, unlisted: Unlisted) -> BTreeMap<String, TableConfig> {
        let config = |table: &Table| {
            let fields = table.fields.iter().map(|(rule, _)| rule.clone()).collect();
            (table.name.clone(), TableConfig { fields, unlisted })
        };
        self.tables.iter().map(config).collect()
    }
}

/// `path` is the scalar that names the file.
pub(super) fn read(reader: &mut Reader<'_>, path: &Text) -> Option<RulesFile> {
    let full = reader.dir.join(&path.text);
    let text = match std::fs::read_to_string(&full) {
        Ok(text) => text,
        Err(_) if path.placeholder => return Some(RulesFile { salt: None, tables: Vec::new() }),
        Err(error) => {
            let message = format!("the rules file `{}` cannot be read", full.display());
            reader.error("rules-file", path.span, message, format!("{error}; paths start at the topology's directory"));
            return None;
        }
    };
    let root = reader.tree(&full.display().to_string(), &text)?;
    let fields = reader.fields(&root, root.span, "a rules file", language::RULES_FILE.names)?;
    let salt = fields.get("salt").and_then(|entry| read_salt(reader, entry));
    let section =
        fields.require(reader, "tables", "a rules file lists tables: `tables: { customers: { fields: … } }`")?;
    let entries = reader.map(&section.value, section.key_span, "`tables`")?;
    if entries.is_empty() {
        reader.error("blank", section.key_span, "`tables` lists no table", "every row would be refused");
    }
    let tables = entries.iter().filter_map(|entry| read_table(reader, entry)).collect();
    Some(RulesFile { salt, tables })
}

fn read_salt(reader: &mut Reader<'_>, entry: &Entry) -> Option<(Secret, Span)> {
    let text = match &entry.value.value {
        Value::Scalar { text, .. } if !entry.value.is_blank() && !text.is_empty() => text,
        Value::Scalar { .. } => {
            let label = "leave it out and name a secret in the mask step";
            reader.error("blank", entry.key_span, "`salt` is blank", label);
            return None;
        }
        _ => {
            reader.error(
                "wrong-type",
                entry.value.span,
                "`salt` must be a single value",
                format!("found {}", entry.value.kind()),
            );
            return None;
        }
    };
    if text.contains("${") {
        let message = "`salt` is taken as it stands: nothing is substituted in a rules file";
        reader.error("substitution", entry.key_span, message, "leave it out and name a secret in the mask step");
        return None;
    }
    Some((Secret::new(text.as_bytes()), entry.value.span))
}

fn read_table(reader: &mut Reader<'_>, entry: &Entry) -> Option<Table> {
    let (name, at) = (entry.key.clone(), entry.key_span);
    let what = format!("table `{name}`");
    let table = reader.fields(&entry.value, at, &what, language::TABLE.names)?;
    let target = table.get("target_topic").and_then(|entry| read_target(reader, entry));
    let label = "to pass every column as it is, say so: `fields: {}`";
    let fields = match table.require(reader, "fields", label) {
        Some(entry) => read_fields(reader, entry, false),
        None => Vec::new(),
    };
    Some(Table { name, at, target, fields })
}

fn read_target(reader: &mut Reader<'_>, entry: &Entry) -> Option<(String, Span)> {
    let Value::Scalar { text, .. } = &entry.value.value else {
        let message = "`target_topic` must be a single value";
        reader.error("wrong-type", entry.value.span, message, format!("found {}", entry.value.kind()));
        return None;
    };
    if entry.value.is_blank() {
        reader.error("blank", entry.key_span, "`target_topic` is blank", "a topic is missing");
        return None;
    }
    if let Err(label) = names::topic(text) {
        reader.error("topic-name", entry.value.span, format!("`{text}` cannot be a topic"), label);
        return None;
    }
    Some((text.clone(), entry.value.span))
}
