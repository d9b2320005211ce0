//! Which values of a source record must not leave, by the rules of its stream, and which may.
//!
//! Told apart by what topology.yaml says, not by what the engine does: what is looked for must not depend on what is
//! looked at. So a column is personal where it has a rule other than `passthrough`, or has none and `unlisted` is not
//! `passthrough`; of a record that is no change, everything is.

use std::borrow::Cow;

use super::kept::leaves_whole;
use crate::operators::mask::{Path, Rule, Rules, Step, TableConfig, Transform, Unlisted};
use crate::operators::unavailable::Unavailable;
use crate::record::json::{self, Kind};
use crate::record::{Record, key};
use crate::topology::Stream;

use super::values::Part;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Must not leave.
    Personal,
    /// Leaves as it is, because the rules say so.
    Passes,
    /// Under a rule that leaves less of a value, and of this one all of it.
    Kept,
}

/// A value in a record.
pub struct Leaf<'a> {
    pub fate: Fate,
    pub place: Place<'a>,
    /// What it says, and how it is spelled.
    pub text: &'a str,
    pub raw: &'a str,
}

/// Where it stands; becomes a [`Part`] when it is kept.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    Column(&'a str),
    Key(&'a str),
    Header(usize),
    Value,
}

impl Place<'_> {
    pub fn part(self) -> Part {
        match self {
            Place::Column(name) => Part::Column(name.to_owned()),
            Place::Key(name) => Part::Key(name.to_owned()),
            Place::Header(at) => Part::Header(at),
            Place::Value => Part::Value,
        }
    }
}

/// What Debezium itself writes into a change: of a broken one, too, that is nobody's.
const ENVELOPE: [&str; 15] = [
    "op",
    "version",
    "connector",
    "db",
    "schema",
    "table",
    "snapshot",
    "sequence",
    "lsn",
    "txId",
    "xmin",
    "ts_ms",
    "ts_us",
    "ts_ns",
    "transaction",
];

/// Nothing real lies deeper. What does is one value.
const DEPTH: usize = 64;

/// The values of one stream's records.
pub struct Personal<'t> {
    stream: &'t Stream,
    unavailable: Unavailable,
}

/// Rules for what lies within a value: the rest of their paths.
type Within<'t> = Vec<(&'t [Step], &'t Transform)>;

/// What is to be told, of a value and all within it.
struct Walk<'t, 'v> {
    place: Place<'v>,
    unlisted: Unlisted,
    personal: &'v Personal<'t>,
    visit: &'v mut dyn FnMut(&Leaf<'_>),
}

impl<'t> Personal<'t> {
    pub fn of(stream: &'t Stream) -> Self {
        Self { stream, unavailable: Unavailable::new(&stream.mask.unavailable_value) }
    }

    /// Every value in a record but nulls, booleans and placeholders for what did not change.
    pub fn each(&self, record: &Record<'_>, visit: &mut dyn FnMut(&Leaf<'_>)) {
        let value =
            record.value.map(|bytes| (bytes, std::str::from_utf8(bytes).ok().and_then(|t| json::parse(t).ok())));
        let table = value.and_then(|(_, whole)| table(payload(whole?.get())));
        let config = self.config(table.as_deref());
        let mut number = 0;
        record.headers.each(&mut |name, bytes| {
            number += 1;
            let listed = self.stream.headers.iter().any(|header| header == name);
            if let Some(bytes) = bytes {
                self.header(number, listed, config, bytes, visit);
            }
        });
        if let Some(bytes) = record.key {
            match key::payload(bytes) {
                Ok(object) => self.row(config, object.get(), &|name| Place::Key(name), visit),
                Err(_) => opaque(Place::Key(""), bytes, visit),
            }
        }
        match value {
            None => {}
            Some((_, Some(whole))) => self.value(config, payload(whole.get()), visit),
            Some((bytes, None)) => {
                self.damaged(config, bytes, visit);
                opaque(Place::Value, bytes, visit);
            }
        }
    }

    /// None where nothing of a row may leave.
    fn config(&self, table: Option<&str>) -> Option<&'t TableConfig> {
        match &self.stream.mask.rules {
            Rules::None => Some(&PASS),
            Rules::Fields(config) => Some(config),
            Rules::Tables(tables) => tables.get(table?),
        }
    }

    /// Debezium puts keys into some: those go by the rules of their columns, and everything else is personal.
    fn header(
        &self,
        at: usize,
        listed: bool,
        config: Option<&TableConfig>,
        bytes: &[u8],
        visit: &mut dyn FnMut(&Leaf<'_>),
    ) {
        let place = Place::Header(at);
        match (listed, key::payload(bytes)) {
            (true, _) => {
                for text in valid(bytes) {
                    visit(&Leaf { fate: Fate::Passes, place, text, raw: text });
                }
            }
            (false, Ok(object)) => self.row(config, object.get(), &|_| place, visit),
            (false, Err(_)) => opaque(place, bytes, visit),
        }
    }

    /// Rows before and after; all of it where that is no change.
    fn value(&self, config: Option<&TableConfig>, text: &str, visit: &mut dyn FnMut(&Leaf<'_>)) {
        if Kind::of(text) != Kind::Object {
            self.walk(Place::Value, Unlisted::Reject, visit).leaves(text, Fate::Personal, 0);
            return;
        }
        let is_row = |name: &str| name == "before" || name == "after";
        let (mut rows, mut has_op) = (false, false);
        for member in members(text) {
            let name = decoded(member.name);
            has_op |= name == "op";
            match Kind::of(member.value) {
                Kind::Object if is_row(&name) => {
                    rows = true;
                    self.row(config, member.value, &|name| Place::Column(name), visit);
                }
                Kind::Null => {}
                _ if is_row(&name) => {
                    self.walk(Place::Value, Unlisted::Reject, visit).leaves(member.value, Fate::Personal, 0);
                }
                _ => {}
            }
        }
        // A bare row, perhaps; a message of Debezium is neither.
        if !rows && !has_op {
            self.row(config, text, &|name| named(config, name), visit);
        }
    }

    fn row<'n>(
        &self,
        config: Option<&TableConfig>,
        object: &'n str,
        place: &dyn for<'a> Fn(&'a str) -> Place<'a>,
        visit: &mut dyn FnMut(&Leaf<'_>),
    ) {
        for member in members(object) {
            let name = decoded(member.name);
            let rules: Within<'_> = match config {
                Some(config) => within(config, &name),
                None => Vec::new(),
            };
            let unlisted = config.map_or(Unlisted::Reject, |config| config.unlisted);
            self.walk(place(&name), unlisted, visit).node(member.value, &rules, 0);
        }
    }

    fn walk<'v>(&'v self, place: Place<'v>, unlisted: Unlisted, visit: &'v mut dyn FnMut(&Leaf<'_>)) -> Walk<'t, 'v> {
        Walk { place, unlisted, personal: self, visit }
    }

    /// A value that is no JSON still has its columns' values in it.
    fn damaged(&self, config: Option<&TableConfig>, bytes: &[u8], visit: &mut dyn FnMut(&Leaf<'_>)) {
        let text = String::from_utf8_lossy(bytes);
        // What stands in quotes, and what follows that.
        let parts: Vec<&str> = text.split('"').skip(1).collect();
        for (at, pair) in parts.chunks(2).enumerate() {
            let [column, behind] = pair else { break };
            let Some(number) = behind.trim_start().strip_prefix(':') else { continue };
            let rules = config.map(|config| within(config, column)).unwrap_or_default();
            let personal = match rules.first() {
                Some(([], transform)) => transform.rule() != Rule::Passthrough,
                Some(_) => true,
                None if ENVELOPE.contains(column) => false,
                None => config.is_none_or(|config| config.unlisted != Unlisted::Passthrough),
            };
            let number = number.trim_start().split([',', '}', ']']).next().unwrap_or_default().trim_end();
            let value = if number.is_empty() { parts.get(2 * at + 2).copied().unwrap_or_default() } else { number };
            if personal && !value.starts_with(['{', '[']) {
                visit(&Leaf { fate: Fate::Personal, place: named(config, column), text: value, raw: value });
            }
        }
    }
}

static PASS: TableConfig = TableConfig { fields: Vec::new(), unlisted: Unlisted::Passthrough };

fn within<'c>(config: &'c TableConfig, column: &str) -> Within<'c> {
    let of = |path: &Path| path.column == column;
    config.fields.iter().filter(|rule| of(&rule.path)).map(|rule| (&*rule.path.steps, &rule.transform)).collect()
}

/// Names in what is no row may be anything: only those that rules name are repeated.
fn named<'a>(config: Option<&TableConfig>, name: &'a str) -> Place<'a> {
    let is_known = config.is_some_and(|config| config.fields.iter().any(|rule| rule.path.column == name));
    if is_known { Place::Column(name) } else { Place::Value }
}

fn decoded(raw: &str) -> Cow<'_, str> {
    json::text(raw).unwrap_or(Cow::Borrowed(raw))
}

/// Of an object or an array; of anything else there are none.
fn members(text: &str) -> impl Iterator<Item = json::Member<'_>> {
    let holds = matches!(Kind::of(text), Kind::Object | Kind::Array);
    json::members(if holds { text } else { "[]" }).map_while(Result::ok)
}

/// The envelope itself, where it is wrapped with its schema.
fn payload(text: &str) -> &str {
    if Kind::of(text) != Kind::Object {
        return text;
    }
    let (mut has_op, mut has_schema, mut payload) = (false, false, None);
    for member in members(text) {
        has_op |= member.is_named("op");
        has_schema |= member.is_named("schema");
        if member.is_named("payload") && Kind::of(member.value) == Kind::Object {
            payload = Some(member.value);
        }
    }
    payload.filter(|_| has_schema && !has_op).unwrap_or(text)
}

fn table(envelope: &str) -> Option<String> {
    let member = |object: &str, name: &str| {
        let mut members = members(object);
        members.find(|member| member.is_named(name)).map(|member| member.value.to_owned())
    };
    let table = member(&member(envelope, "source")?, "table")?;
    Some(decoded(json::quoted(&table)?).into_owned())
}

/// Text without what is no UTF-8.
fn valid(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes.utf8_chunks().map(|chunk| chunk.valid()).filter(|text| !text.is_empty())
}

fn opaque(place: Place<'_>, bytes: &[u8], visit: &mut dyn FnMut(&Leaf<'_>)) {
    for text in valid(bytes) {
        visit(&Leaf { fate: Fate::Personal, place, text, raw: text });
    }
}

impl Walk<'_, '_> {
    fn tell(&mut self, fate: Fate, text: &str, raw: &str) {
        (self.visit)(&Leaf { fate, place: self.place, text, raw });
    }

    /// A value that rules are for, or that goes by `unlisted`.
    fn node(&mut self, value: &str, rules: &[(&[Step], &Transform)], depth: usize) {
        let Some((steps, transform)) = rules.first() else {
            let passes = self.unlisted == Unlisted::Passthrough;
            return self.leaves(value, if passes { Fate::Passes } else { Fate::Personal }, depth);
        };
        if steps.is_empty() {
            let fate = match transform.rule() {
                Rule::Passthrough => Fate::Passes,
                _ if leaves_whole(transform, value) => Fate::Kept,
                _ => Fate::Personal,
            };
            return self.leaves(value, fate, depth);
        }
        let of_text = json::quoted(value).and_then(|raw| json::text(raw).ok());
        let inner = of_text.as_deref().and_then(|text| json::parse(text).ok()).map(|inner| inner.get());
        let held = inner.unwrap_or(value);
        let each = rules.iter().any(|(steps, _)| steps.first() == Some(&Step::Each));
        match Kind::of(held) {
            _ if depth > DEPTH => self.leaves(value, Fate::Personal, depth),
            Kind::Object if !each => {
                for member in members(held) {
                    let name = decoded(member.name);
                    let is_next = |step: &Step| matches!(step, Step::Member(own) if *own == *name);
                    self.node(member.value, &next(rules, &is_next), depth + 1);
                }
            }
            Kind::Array if each => {
                for element in members(held) {
                    self.node(element.value, &next(rules, &|step| *step == Step::Each), depth + 1);
                }
            }
            // Where rules reach in vain, the row is refused: nothing of it leaves.
            _ => self.leaves(value, Fate::Personal, depth),
        }
    }

    /// Texts and numbers of a value; objects and arrays are one as well, because their parts may be too short.
    fn leaves(&mut self, value: &str, fate: Fate, depth: usize) {
        match Kind::of(value) {
            Kind::Null | Kind::Bool => {}
            Kind::Number => self.tell(fate, value, value),
            Kind::Text => {
                let raw = json::quoted(value).unwrap_or_default();
                let text = decoded(raw);
                if self.personal.unavailable.is_text(&text) {
                    return;
                }
                self.tell(fate, &text, raw);
                let held = text.starts_with(['{', '[']).then(|| json::parse(&text).ok()).flatten();
                if let Some(held) = held.filter(|_| depth < DEPTH) {
                    self.leaves(held.get(), fate, depth + 1);
                }
            }
            Kind::Array | Kind::Object => {
                if self.personal.unavailable.is_array_or_object(value, &mut Vec::new()) {
                    return;
                }
                self.tell(fate, value, value);
                for member in members(value).filter(|_| depth < DEPTH) {
                    self.leaves(member.value, fate, depth + 1);
                }
            }
        }
    }
}

fn next<'r>(rules: &[(&'r [Step], &'r Transform)], is_next: &dyn Fn(&Step) -> bool) -> Within<'r> {
    let rest = |(steps, transform): &(&'r [Step], &'r Transform)| match *steps {
        [first, rest @ ..] if is_next(first) => Some((rest, *transform)),
        _ => None,
    };
    rules.iter().filter_map(rest).collect()
}

#[cfg(test)]
mod tests;
