//! One stream: where it reads, what it does, where it writes.

use std::collections::BTreeMap;

use regex::Regex;

use super::language;
use super::names::{self, Piece};
use super::reader::{Fields, Reader, Text, list, nearest};
use super::sink;
use super::steps::{self, TableTarget};
use super::yaml::{Entry, Node, Span, Value};
use super::{OnError, Source, Stream, Target};
use crate::operators::{dedup, filter, mask};

/// A stream as far as it could be read, with the places that later checks point at.
pub(super) struct Draft {
    pub name: String,
    pub at: Span,
    pub source: Option<Source>,
    /// One place a topic, or that of the pattern.
    pub source_at: Vec<Span>,
    pub dedup: Option<dedup::Config>,
    pub filter: Option<filter::Config>,
    pub mask: Option<mask::Config>,
    pub to: Option<Target>,
    /// Every topic or template written to.
    pub to_at: Vec<(String, Span)>,
    pub headers: Vec<String>,
    pub on_error: Option<OnError>,
    pub dead_letters_at: Option<Span>,
}

impl Draft {
    pub fn finish(self) -> Option<Stream> {
        Some(Stream {
            name: self.name,
            source: self.source?,
            dedup: self.dedup,
            filter: self.filter,
            mask: self.mask?,
            to: self.to?,
            headers: self.headers,
            stamped: false,
            on_error: self.on_error?,
        })
    }
}

/// `default`: what `defaults.on_error` says, with its place.
pub(super) fn read(reader: &mut Reader<'_>, entry: &Entry, default: &Option<(OnError, Span)>) -> Option<Draft> {
    let (name, at) = (entry.key.clone(), entry.key_span);
    if let Err(label) = names::plain(&name) {
        reader.error("name", at, format!("`{name}` cannot name a stream"), label);
    }
    let fields = reader.fields(&entry.value, at, "a stream", language::STREAM.names)?;
    let (source, source_at) = match fields.require(reader, "from", "a stream reads a topic: `from: TOPIC`") {
        Some(entry) => read_source(reader, entry, false),
        None => (None, Vec::new()),
    };
    let steps = match fields.get("steps") {
        Some(entry) => steps::read(reader, entry),
        None => steps::Steps::default(),
    };
    if !steps.mask_given {
        let span = fields.get("steps").map_or(at, |entry| entry.key_span);
        let help = ["`- mask: { fields: { email: hash } }` masks, `- mask: none` lets rows pass as they are"];
        reader.explain(
            "missing-mask",
            span,
            format!("stream `{name}` has no `mask` step"),
            "personal data would pass",
            &help,
        );
    }
    if !steps.dedup_given {
        let span = fields.get("steps").map_or(at, |entry| entry.key_span);
        let label = "what Debezium delivers again passes again: `steps: [dedup, …]`";
        reader.warn("no-dedup", span, format!("stream `{name}` has no `dedup` step"), label);
    }
    let (to, to_at, headers) = read_target(reader, fields, source.as_ref(), steps.tables, steps.mask.is_some());
    let (on_error, dead_letters_at) = match (fields.get("on_error"), default) {
        (Some(entry), _) => match read_on_error(reader, entry) {
            Some((on_error, at)) => (Some(on_error), Some(at)),
            None => (None, None),
        },
        (None, Some((on_error, at))) => (Some(on_error.clone()), Some(*at)),
        (None, None) => (Some(OnError::Fail), None),
    };
    let (dedup, filter, mask) = (steps.dedup, steps.filter, steps.mask);
    Some(Draft { name, at, source, source_at, dedup, filter, mask, to, to_at, headers, on_error, dead_letters_at })
}

/// `patterns`: a single value may be one.
pub(super) fn read_source(reader: &mut Reader<'_>, entry: &Entry, patterns: bool) -> (Option<Source>, Vec<Span>) {
    let at = entry.key_span;
    if patterns && sink::looks_like_pattern(&entry.value) {
        return read_pattern(reader, entry);
    }
    if matches!(entry.value.value, Value::Scalar { .. }) {
        return topics(read_topic(reader, &entry.value, at, "`from`").into_iter().collect());
    }
    if matches!(entry.value.value, Value::Seq(_)) {
        let (message, label) = ("`from` is a list", "several topics are `from: { topics: [a, b] }`");
        reader.error("wrong-type", entry.value.span, message, label);
        return (None, Vec::new());
    }
    let Some(fields) = reader.fields(&entry.value, at, "`from`", language::FROM.names) else {
        return (None, Vec::new());
    };
    if let Some(format) = fields.get("format") {
        reader.choice(&format.value, format.key_span, "`format`", &[("debezium-json", ())]);
    }
    let given: Vec<&Entry> = ["topic", "topics", "pattern"].iter().filter_map(|name| fields.get(name)).collect();
    match given[..] {
        [one] if one.key == "topic" => {
            topics(read_topic(reader, &one.value, one.key_span, "`topic`").into_iter().collect())
        }
        [one] if one.key == "topics" => {
            let items = reader.seq(&one.value, one.key_span, "`topics`").unwrap_or_default();
            if items.is_empty() && matches!(one.value.value, Value::Seq(_)) {
                reader.error("blank", one.key_span, "`topics` lists no topic", "name at least one: `topics: [a, b]`");
            }
            topics(items.iter().filter_map(|item| read_topic(reader, item, item.span, "a topic")).collect())
        }
        [one] => read_pattern(reader, one),
        [] => {
            reader.error("missing-field", at, "`from` names no topic", "expected `topic`, `topics` or `pattern`");
            (None, Vec::new())
        }
        [_, second, ..] => {
            let label = "expected one of `topic`, `topics` and `pattern`";
            reader.error("conflict", second.key_span, "`from` names its topics twice", label);
            (None, Vec::new())
        }
    }
}

fn topics(topics: Vec<(String, Span)>) -> (Option<Source>, Vec<Span>) {
    let (topics, at): (Vec<_>, Vec<_>) = topics.into_iter().unzip();
    ((!topics.is_empty()).then_some(Source::Topics(topics)), at)
}

fn read_topic(reader: &mut Reader<'_>, node: &Node, at: Span, what: &str) -> Option<(String, Span)> {
    let text = reader.text(node, at, what)?;
    if let Err(label) = names::topic(&text.text) {
        let label = if text.text.contains(['*', '(', '|', '\\']) {
            "a pattern? then `from: { pattern: … }`".into()
        } else {
            label
        };
        reader.error("topic-name", text.span, format!("`{}` cannot be a topic", text.text), label);
        return None;
    }
    Some((text.text, text.span))
}

fn read_pattern(reader: &mut Reader<'_>, entry: &Entry) -> (Option<Source>, Vec<Span>) {
    let Some(text) = reader.text(&entry.value, entry.key_span, "`pattern`") else { return (None, Vec::new()) };
    // Alone first: a pattern such as `a)|(b` must not become right by what is put around it.
    let compiled = Regex::new(&text.text).and_then(|_| Regex::new(&format!("^(?:{})$", text.text)));
    match compiled {
        Ok(regex) => (Some(Source::Pattern(regex)), vec![text.span]),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let help =
                ["what is opened must be closed; a dot, a bracket or a brace that means itself is `\\.`, `\\(`, `\\{`"];
            reader.explain("pattern", text.span, "`pattern` is not a regular expression", reason, &help);
            (None, Vec::new())
        }
    }
}

type Written = (Option<Target>, Vec<(String, Span)>, Vec<String>);

fn read_target(
    reader: &mut Reader<'_>,
    stream: Fields<'_>,
    source: Option<&Source>,
    tables: Option<Vec<TableTarget>>,
    mask_is_right: bool,
) -> Written {
    let mut headers = Vec::new();
    let mut topic = None;
    let mut wrong = false;
    if let Some(entry) = stream.get("to") {
        let (node, at) = match &entry.value.value {
            Value::Map(_) => match reader.fields(&entry.value, entry.key_span, "`to`", language::TO.names) {
                Some(fields) => {
                    headers = read_headers(reader, fields);
                    wrong = fields.get("topic").is_none() && fields.is_misspelt("topic");
                    fields.get("topic").map(|entry| (&entry.value, entry.key_span)).unzip()
                }
                None => (None, None),
            },
            _ => (Some(&entry.value), Some(entry.key_span)),
        };
        if let (Some(node), Some(at)) = (node, at) {
            topic = read_template(reader, node, at, source);
            wrong = topic.is_none();
        }
    }
    if let Some((topic, at)) = topic {
        return (Some(Target::Topic(topic.clone())), vec![(topic, at)], headers);
    }
    if wrong {
        return (None, Vec::new(), headers);
    }
    match tables {
        Some(tables) => {
            let (target, at) = by_table(reader, tables);
            (target, at, headers)
        }
        // A mask step that could not be read may have named a rules file.
        None if stream.get("to").is_none() && !mask_is_right && stream.get("steps").is_some() => {
            (None, Vec::new(), headers)
        }
        None => {
            let at = stream.get("to").map_or(stream.at, |entry| entry.key_span);
            reader.error("missing-field", at, "the output topic is missing", "`to: TOPIC`");
            (None, Vec::new(), headers)
        }
    }
}

fn by_table(reader: &mut Reader<'_>, tables: Vec<TableTarget>) -> (Option<Target>, Vec<(String, Span)>) {
    let (mut targets, mut places, mut complete) = (BTreeMap::new(), Vec::new(), true);
    for table in tables {
        match table.topic {
            Some((topic, at)) => {
                places.push((topic.clone(), at));
                targets.insert(table.table, topic);
            }
            None => {
                complete = false;
                let message = format!("table `{}` has no `target_topic`", table.table);
                reader.error("missing-field", table.at, message, "give it one, or give the stream a `to`");
            }
        }
    }
    (complete.then_some(Target::ByTable(targets)), places)
}

fn read_headers(reader: &mut Reader<'_>, fields: Fields<'_>) -> Vec<String> {
    let Some(entry) = fields.get("headers") else { return Vec::new() };
    let items = reader.seq(&entry.value, entry.key_span, "`headers`").unwrap_or_default();
    items.iter().filter_map(|item| reader.text(item, item.span, "a header")).map(|text| text.text).collect()
}

fn read_template(reader: &mut Reader<'_>, node: &Node, at: Span, source: Option<&Source>) -> Option<(String, Span)> {
    let text = reader.text(node, at, "the output topic")?;
    let literal: String = names::expand(&text.text, |_| "x".into());
    if let (Ok(_), Err(label)) = (names::template(&text.text), names::topic(&literal)) {
        reader.error("topic-name", text.span, format!("`{}` cannot be a topic", text.text), label);
        return None;
    }
    check_template(reader, &text, source)?;
    Some((text.text, text.span))
}

/// Whether it has groups; None where they are wrong.
pub(super) fn check_template(reader: &mut Reader<'_>, text: &Text, source: Option<&Source>) -> Option<bool> {
    let pieces = match names::template(&text.text) {
        Ok(pieces) => pieces,
        Err(label) => {
            reader.error("template", text.span, format!("`{}` is not a template", text.text), label);
            return None;
        }
    };
    let mut known = vec!["topic"];
    if let Some(Source::Pattern(regex)) = source {
        known.extend(regex.capture_names().flatten());
    }
    let unknown = pieces.iter().find_map(|piece| match piece {
        // Without its source nothing can be said about a template.
        Piece::Group(name) if source.is_some() && !known.contains(name) => Some(*name),
        _ => None,
    });
    if let Some(name) = unknown {
        let label = match nearest(name, known.iter().copied()) {
            Some(name) => format!("did you mean `{{{name}}}`?"),
            None if known.len() == 1 => "only a `pattern` with named groups has more than `{topic}`".to_owned(),
            None => format!("its groups: {}", list(known.iter().copied())),
        };
        reader.error("template", text.span, format!("`{{{name}}}` is no group of the pattern"), label);
        return None;
    }
    Some(pieces.iter().any(|piece| matches!(piece, Piece::Group(_))))
}

/// `fail`, `skip` or `{ dead_letter: { topic: T } }`, with the place of the topic.
pub(super) fn read_on_error(reader: &mut Reader<'_>, entry: &Entry) -> Option<(OnError, Span)> {
    let at = entry.key_span;
    if !matches!(entry.value.value, Value::Map(_)) {
        let text = reader.text(&entry.value, at, "`on_error`")?;
        return match text.text.as_str() {
            "fail" => Some((OnError::Fail, text.span)),
            "skip" => Some((OnError::Skip, text.span)),
            other => {
                let label = match nearest(other, ["fail", "skip"].into_iter()) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => "expected `fail`, `skip` or `{ dead_letter: { topic: TOPIC } }`".to_owned(),
                };
                reader.error("bad-value", text.span, format!("`on_error` cannot be `{other}`"), label);
                None
            }
        };
    }
    let fields = reader.fields(&entry.value, at, "`on_error`", language::ON_ERROR.names)?;
    let letter = fields.require(reader, "dead_letter", "expected `{ dead_letter: { topic: TOPIC } }`")?;
    let topic = match &letter.value.value {
        Value::Map(_) => {
            let fields = reader.fields(&letter.value, letter.key_span, "`dead_letter`", language::DEAD_LETTER.names)?;
            fields.require(reader, "topic", "expected `{ topic: TOPIC }`")?
        }
        _ => letter,
    };
    let (topic, at) = read_topic(reader, &topic.value, topic.key_span, "the topic of dead letters")?;
    Some((OnError::DeadLetter { topic }, at))
}
