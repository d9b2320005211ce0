//! The steps of a stream: `dedup`, `filter`, `mask`, in this order.

use std::collections::BTreeMap;

use super::fields::read_fields;
use super::language;
use super::predicate;
use super::reader::{Fields, Reader};
use super::rules_file::{self, RulesFile};
use super::weak;
use super::yaml::{Entry, Node, Span, Value};
use crate::operators::dedup::{self, MissingPosition, OnRegression};
use crate::operators::filter;
use crate::operators::mask::{self, FieldRule, Rules, TableConfig, UNAVAILABLE_VALUE, Unlisted};
use crate::record::Secret;

#[derive(Default)]
pub(super) struct Steps {
    pub dedup: Option<dedup::Config>,
    pub filter: Option<filter::Config>,
    pub mask: Option<mask::Config>,
    /// A mask step is there, be it right or wrong.
    pub mask_given: bool,
    pub dedup_given: bool,
    filter_at: Option<Span>,
    /// Tables of the rules file with where each stands, and its `target_topic`.
    pub tables: Option<Vec<TableTarget>>,
}

pub(super) struct TableTarget {
    pub table: String,
    pub at: Span,
    pub topic: Option<(String, Span)>,
}

pub(super) fn read(reader: &mut Reader<'_>, section: &Entry) -> Steps {
    let mut steps = Steps::default();
    let Some(items) = reader.seq(&section.value, section.key_span, "`steps`") else {
        // The mask may be meant here: one error is enough.
        (steps.mask_given, steps.dedup_given) = (true, true);
        return steps;
    };
    let mut unclear = false;
    for item in items {
        let Some((name, at, config)) = name_of(reader, item) else {
            unclear = true;
            continue;
        };
        match name {
            "dedup" => {
                if steps.dedup_given {
                    reader.error("step", at, "`dedup` is given twice", "one is enough");
                } else if steps.mask_given || steps.filter_at.is_some() {
                    let label = "put it first: it looks at the change as it came";
                    let other = if steps.mask_given { "mask" } else { "filter" };
                    reader.error("step", at, format!("`dedup` must stand before `{other}`"), label);
                }
                steps.dedup_given = true;
                steps.dedup = read_dedup(reader, config, at);
            }
            "filter" => {
                if steps.filter_at.is_some() {
                    reader.error("step", at, "`filter` is given twice", "put both predicates into one: `and: […]`");
                } else if steps.mask_given {
                    let label = "put it before: it looks at the row as it came";
                    reader.error("step", at, "`filter` must stand before `mask`", label);
                }
                steps.filter_at = Some(at);
                steps.filter = predicate::read_filter(reader, config, at);
            }
            _ => {
                if steps.mask_given {
                    reader.error("step", at, "`mask` is given twice", "put all columns into one");
                }
                steps.mask_given = true;
                (steps.mask, steps.tables) = read_mask(reader, config, at);
            }
        }
    }
    // A step that nobody knows may be the one that is missing.
    (steps.mask_given, steps.dedup_given) = (steps.mask_given || unclear, steps.dedup_given || unclear);
    if let (Some(at), Some(filter)) = (steps.filter_at, &steps.filter)
        && filter.mode == filter::Mode::Change
        && !steps.dedup_given
    {
        let help = [
            "a row that leaves the predicate is taken back from the readers, and `dedup` remembers which ones they have",
            "`filter: { mode: record, where: … }` looks at each record alone",
        ];
        reader.explain("filter-without-dedup", at, "`filter` of changes needs `dedup` before it", "", &help);
    }
    steps
}

/// The name of a step, where it stands, and what stands behind it.
fn name_of<'n>(reader: &mut Reader<'_>, item: &'n Node) -> Option<(&'static str, Span, Option<&'n Node>)> {
    let (name, at, config) = match &item.value {
        Value::Scalar { text, .. } if !item.is_blank() => (text.as_str(), item.span, None),
        Value::Map(entries) => match &entries[..] {
            [entry] => (entry.key.as_str(), entry.key_span, Some(&entry.value)),
            [_, second, ..] => {
                let label = "is a `- ` or a deeper indent missing?";
                reader.error("step", second.key_span, "a step has one name", label);
                return None;
            }
            [] => ("", item.span, None),
        },
        _ => ("", item.span, None),
    };
    if let Some(step) = language::steps().find(|step| *step == name) {
        return Some((step, at, config));
    }
    match name {
        "" => {
            reader.error("step", at, "a step is missing", "expected `dedup`, `filter: …` or `mask: …`");
            None
        }
        _ => {
            let label = match super::reader::nearest(name, language::steps()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "expected `dedup`, `filter` or `mask`".to_owned(),
            };
            reader.error("unknown-step", at, format!("unknown step `{name}`"), label);
            None
        }
    }
}

fn read_dedup(reader: &mut Reader<'_>, config: Option<&Node>, at: Span) -> Option<dedup::Config> {
    let Some(node) = config else { return Some(dedup::Config::default()) };
    let fields = reader.fields(node, at, "`dedup`", language::DEDUP.names)?;
    // Both are read before one that is wrong ends it, so that every error is seen.
    let on_regression = fields.get("on_regression").map(|entry| {
        let choices = &[("new_epoch", OnRegression::NewEpoch), ("fail", OnRegression::Fail)];
        reader.choice(&entry.value, entry.key_span, "`on_regression`", choices)
    });
    let missing_position = fields.get("missing_position").map(|entry| {
        let choices = &[("keep", MissingPosition::Keep), ("ts_ms", MissingPosition::TsMs)];
        reader.choice(&entry.value, entry.key_span, "`missing_position`", choices)
    });
    Some(dedup::Config {
        on_regression: on_regression.unwrap_or(Some(OnRegression::default()))?,
        missing_position: missing_position.unwrap_or(Some(MissingPosition::default()))?,
    })
}

type Masked = (Option<mask::Config>, Option<Vec<TableTarget>>);

fn read_mask(reader: &mut Reader<'_>, config: Option<&Node>, at: Span) -> Masked {
    let node = match config {
        Some(node) if matches!(node.value, Value::Map(_)) => node,
        // A blank `mask:` must not mean `none`.
        Some(node) if !node.is_blank() && matches!(node.value, Value::Scalar { .. }) => {
            let none = reader.choice(node, at, "`mask`", &[("none", ())]);
            let unavailable_value = UNAVAILABLE_VALUE.to_owned();
            return (none.map(|()| mask::Config { rules: Rules::None, keys: None, unavailable_value }), None);
        }
        other => {
            let span = other.filter(|node| !node.is_blank()).map_or(at, |node| node.span);
            let help = ["`mask: { fields: { email: hash } }` names rules, `mask: none` lets rows pass as they are"];
            reader.explain("step", span, "`mask` needs to be told what to do", "", &help);
            return (None, None);
        }
    };
    let Some(fields) = reader.fields(node, at, "`mask`", language::MASK.names) else { return (None, None) };
    read_rules(reader, fields)
}

fn read_rules(reader: &mut Reader<'_>, fields: Fields<'_>) -> Masked {
    let named = fields.get("secret").map(|entry| reader.named_secret(&entry.value, entry.key_span));
    let unlisted = fields.get("unlisted").map(|entry| {
        let choices = &[("passthrough", Unlisted::Passthrough), ("drop", Unlisted::Drop), ("reject", Unlisted::Reject)];
        // Where it is wrong, nothing more is said of it.
        reader.choice(&entry.value, entry.key_span, "`unlisted`", choices).unwrap_or(Unlisted::Reject)
    });
    let unavailable_value = match fields.get("unavailable_value") {
        Some(entry) => reader.text(&entry.value, entry.key_span, "`unavailable_value`").map(|text| text.text),
        None => Some(UNAVAILABLE_VALUE.to_owned()),
    };
    let unlisted_at = fields.get("unlisted").map_or(fields.at, |entry| entry.key_span);
    let unlisted = unlisted.unwrap_or_default();
    if unlisted == Unlisted::Passthrough {
        let label = "`unlisted: drop` or `unlisted: reject` keeps a new column from leaking";
        reader.warn("unlisted", unlisted_at, "columns without a rule pass as they are", label);
    }
    let (rules, salt, listed, tables) = match (fields.get("fields"), fields.get("rules")) {
        (Some(entry), None) => {
            let listed = read_fields(reader, entry, true);
            let fields = listed.iter().map(|(rule, _)| rule.clone()).collect();
            (Rules::Fields(TableConfig { fields, unlisted }), None, listed, None)
        }
        (None, Some(entry)) => match read_file(reader, entry) {
            Some(file) => from_file(file, unlisted),
            None => return (None, None),
        },
        (Some(_), Some(rules)) => {
            let label = "`fields` are there already: give one of the two";
            reader.error("conflict", rules.key_span, "`fields` and `rules` exclude each other", label);
            return (None, None);
        }
        (None, None) => {
            let label = "`fields: { email: hash }` or `rules: FILE`";
            reader.error("missing-field", fields.at, "`mask` names no rules", label);
            return (None, None);
        }
    };
    let keyed = listed.iter().map(|(field, at)| (field.transform.rule(), *at)).find(|(rule, _)| rule.is_keyed());
    let keys = reader.choose_secret(named, salt, keyed, fields.at);
    if let Some(keys) = &keys {
        reader.check_keys(keys.as_ref(), &listed);
    }
    weak::warn(reader, &listed);
    let config = match (keys, unavailable_value) {
        (Some(keys), Some(unavailable_value)) => Some(mask::Config { rules, keys, unavailable_value }),
        _ => None,
    };
    (config, tables)
}

fn read_file(reader: &mut Reader<'_>, entry: &Entry) -> Option<RulesFile> {
    let path = reader.text(&entry.value, entry.key_span, "`rules`")?;
    rules_file::read(reader, &path)
}

type Read = (Rules, Option<(Secret, Span)>, Vec<(FieldRule, Span)>, Option<Vec<TableTarget>>);

fn from_file(file: RulesFile, unlisted: Unlisted) -> Read {
    let rules: BTreeMap<String, TableConfig> = file.rules(unlisted);
    let listed = file.tables.iter().flat_map(|table| table.fields.iter().cloned()).collect();
    let targets =
        file.tables.into_iter().map(|table| TableTarget { table: table.name, at: table.at, topic: table.target });
    (Rules::Tables(rules), file.salt, listed, Some(targets.collect()))
}
