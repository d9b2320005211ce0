//! `filter: { field: country, in: [RU, KZ] }`, and what `and`, `or` and `not` make of such.

use super::fields::BOOLEANS;
use super::language;
use super::reader::{Fields, Reader};
use super::yaml::{Entry, Node, Span, Value};
use crate::operators::filter::{Comparison, Config, Literal, Mode, Predicate, Test};
use crate::operators::mask::{Decimal, Path, Step};

const EXAMPLE: &str = "for example `filter: { field: country, in: [RU, KZ] }`";

/// The step: a predicate, or `{ where: PREDICATE, mode: record }`.
pub(super) fn read_filter(reader: &mut Reader<'_>, config: Option<&Node>, at: Span) -> Option<Config> {
    let node = match config {
        Some(node) if !node.is_blank() => node,
        _ => {
            reader.error("step", at, "`filter` needs a predicate", EXAMPLE);
            return None;
        }
    };
    let is_long = matches!(&node.value, Value::Map(entries) if entries.iter().any(|entry| language::FILTER.names.contains(&entry.key.as_str())));
    if !is_long {
        let predicate = read(reader, node, at)?;
        return Some(Config { mode: Mode::default(), predicate });
    }
    let fields = reader.fields(node, at, "`filter`", language::FILTER.names)?;
    let mode = match fields.get("mode") {
        Some(entry) => {
            let choices = &[("change", Mode::Change), ("record", Mode::Record)];
            reader.choice(&entry.value, entry.key_span, "`mode`", choices)
        }
        None => Some(Mode::default()),
    };
    let predicate = fields.require(reader, "where", EXAMPLE)?;
    let predicate = read(reader, &predicate.value, predicate.key_span);
    Some(Config { mode: mode?, predicate: predicate? })
}

fn read(reader: &mut Reader<'_>, node: &Node, at: Span) -> Option<Predicate> {
    let fields = reader.fields(node, at, "a predicate", language::PREDICATE.names)?;
    let heads: Vec<&Entry> = ["field", "and", "or", "not"].iter().filter_map(|name| fields.get(name)).collect();
    match heads[..] {
        [head] if head.key == "field" => read_field(reader, fields, head),
        [head] => {
            // Whoever writes `not: …` beside `equals: …` means something else than what would be done.
            if let Some(other) = fields
                .entries
                .iter()
                .find(|entry| entry.key != head.key && language::PREDICATE.names.contains(&entry.key.as_str()))
            {
                let message = format!("`{}` does not go with `{}`", other.key, head.key);
                reader.error("conflict", other.key_span, message, "put each into a predicate of its own");
                return None;
            }
            if head.key == "not" {
                return read(reader, &head.value, head.key_span).map(|inner| Predicate::Not(Box::new(inner)));
            }
            let all = read_list(reader, head)?;
            Some(if head.key == "and" { Predicate::And(all) } else { Predicate::Or(all) })
        }
        [] => {
            reader.error("missing-field", at, "the predicate names no field", EXAMPLE);
            None
        }
        [_, second, ..] => {
            let message = format!("`{}` stands beside another of `field`, `and`, `or`, `not`", second.key);
            reader.error("conflict", second.key_span, message, "a predicate has one of them: put them into `and: […]`");
            None
        }
    }
}

fn read_list(reader: &mut Reader<'_>, head: &Entry) -> Option<Vec<Predicate>> {
    let items = reader.seq(&head.value, head.key_span, &format!("`{}`", head.key))?;
    if items.is_empty() {
        reader.error("blank", head.key_span, format!("`{}` lists no predicate", head.key), EXAMPLE);
        return None;
    }
    // All of them are read before one that is wrong ends it, so that every error is seen.
    let read: Vec<_> = items.iter().map(|item| read(reader, item, item.span)).collect();
    read.into_iter().collect()
}

fn read_field(reader: &mut Reader<'_>, fields: Fields<'_>, head: &Entry) -> Option<Predicate> {
    let path = reader.parsed(&head.value, head.key_span, "`field`", |text| match Path::parse(text) {
        Ok(path) if path.steps.contains(&Step::Each) => {
            Err("a predicate is about one value, not about elements".into())
        }
        parsed => parsed,
    });
    let optional = match fields.get("optional") {
        Some(entry) => reader.choice(&entry.value, entry.key_span, "`optional`", BOOLEANS)?,
        None => false,
    };
    let tests: Vec<&Entry> = fields
        .entries
        .iter()
        .filter(|entry| {
            !matches!(entry.key.as_str(), "field" | "optional")
                && language::PREDICATE.names.contains(&entry.key.as_str())
        })
        .collect();
    let test = match tests[..] {
        [test] => read_test(reader, test)?,
        [] => {
            let label =
                "`equals`, `in`, `is_null`, `starts_with`, `less_than`, `at_most`, `greater_than` or `at_least`";
            reader.error("missing-field", head.key_span, "the predicate does not say what of the field", label);
            return None;
        }
        [_, second, ..] => {
            let label = "a predicate tests one thing: put them into `and: […]`";
            reader.error("conflict", second.key_span, "the predicate tests two things", label);
            return None;
        }
    };
    Some(Predicate::Field { path: path?, test, optional })
}

fn read_test(reader: &mut Reader<'_>, entry: &Entry) -> Option<Test> {
    let what = format!("`{}`", entry.key);
    if let Some((_, comparison)) = Comparison::ALL.iter().find(|(name, _)| *name == entry.key) {
        return reader.parsed(&entry.value, entry.key_span, &what, |text| match Decimal::parse(text) {
            Some(bound) => Ok(Test::Number(*comparison, bound, text.to_owned())),
            None => Err("expected a number".into()),
        });
    }
    match entry.key.as_str() {
        "equals" => {
            let text = read_literal(reader, &entry.value, entry.key_span, &what)?;
            Some(Test::In(vec![text]))
        }
        "in" => {
            let items = reader.seq(&entry.value, entry.key_span, &what)?;
            if items.is_empty() {
                reader.error("blank", entry.key_span, "`in` lists no value", "it would be true of nothing");
                return None;
            }
            let read: Vec<_> = items.iter().map(|item| read_literal(reader, item, item.span, "a value")).collect();
            read.into_iter().collect::<Option<_>>().map(Test::In)
        }
        "is_null" => reader.choice(&entry.value, entry.key_span, &what, BOOLEANS).map(Test::IsNull),
        _ => reader.text(&entry.value, entry.key_span, &what).map(|text| Test::StartsWith(text.text)),
    }
}

fn read_literal(reader: &mut Reader<'_>, node: &Node, at: Span, what: &str) -> Option<Literal> {
    if node.is_blank() {
        reader.error("blank", at, format!("{what} is blank"), "nothing equals null: `is_null: true`");
        return None;
    }
    // Quoted and empty is a text like any other.
    if matches!(&node.value, Value::Scalar { text, plain: false } if text.is_empty()) {
        return Some(Literal::new(""));
    }
    reader.text(node, at, what).map(|text| Literal::new(text.text))
}
