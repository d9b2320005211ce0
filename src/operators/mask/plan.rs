//! The rules of one table, and the layouts they were worked out for.
//!
//! Rows of one table have the same columns in the same order, so what a rule set means for them is worked out once: a
//! [`Layout`] lists the columns with the rule that each falls under. A row whose names match a layout's one by one needs
//! no look-up, and has no duplicates, reserved or unlisted columns either, because the layout has none. Any other row
//! is worked out afresh.

use std::collections::VecDeque;
use std::sync::Arc;

use super::rule::Rule;
use super::transform::Transform;
use super::tree::{self, Members, Place, Work, listed, written_by_rule};
use super::values::{Fate, Values};
use super::{Applied, RESERVED, TableConfig, Unlisted};
use crate::record::json::{self, Names};
use crate::record::{BadRecord, Reason};

/// The rules of one table.
pub(super) struct Plan {
    columns: Arc<Members>,
    unlisted: Unlisted,
    rows: VecDeque<Layout>,
    keys: VecDeque<Layout>,
}

/// A row's shape: its columns in their order, none twice, none refused.
struct Layout {
    columns: Vec<Column>,
    unlisted: Unlisted,
    /// Why a row of this shape must not pass: columns that rules name and it lacks.
    lacking: Option<String>,
}

struct Column {
    /// `"name":` as rows write it, so that most rows need no reading of names.
    head: Box<str>,
    action: Action,
}

enum Action {
    Pass,
    Drop,
    Rewrite {
        transform: Transform,
        /// `,"name":` of the column for the value under the previous key.
        previous: Option<Box<str>>,
    },
    Reach(Reached),
}

/// A column that rules reach into.
struct Reached {
    columns: Arc<Members>,
    name: Box<str>,
}

impl Column {
    /// As it stands between its quotes.
    fn name(&self) -> &str {
        self.head.get(1..self.head.len().saturating_sub(2)).unwrap_or_default()
    }
}

/// What an object of columns is: decides which rules and reasons there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `after` of c, u, r; `before` of d, which Debezium fills up with nulls whatever the replica identity is.
    Row,
    Key,
}

impl Plan {
    /// Fails where two rules name one place: it would be a matter of luck which one holds.
    pub fn new(config: TableConfig) -> Result<Self, String> {
        let mut columns = Members::default();
        config.fields.iter().try_for_each(|field| columns.insert(field))?;
        let columns = Arc::new(columns);
        Ok(Self { columns, unlisted: config.unlisted, rows: VecDeque::new(), keys: VecDeque::new() })
    }

    pub fn unmatched(&self) -> usize {
        self.columns.unmatched()
    }

    /// Writes `{` and the columns that leave, without the closing brace.
    pub fn write(
        &mut self,
        shape: Shape,
        object: &str,
        values: &mut Values,
        out: &mut Vec<u8>,
    ) -> Result<Applied, BadRecord> {
        let layouts = if shape == Shape::Key { &mut self.keys } else { &mut self.rows };
        for at in 0..layouts.len() {
            let Some(layout) = layouts.get(at) else { break };
            if let Some(applied) = layout.write(object, values, out)? {
                // The usual layout is tried first.
                layouts.swap(0, at);
                return Ok(applied);
            }
        }
        let layout = self.lay_out(shape, object)?;
        let applied = layout.write(object, values, out)?;
        self.remember(shape, layout);
        applied.ok_or_else(|| BadRecord::new(Reason::NotJson, "the row does not read twice the same"))
    }

    /// Bounded in number and size, so that odd rows cannot fill the memory.
    fn remember(&mut self, shape: Shape, layout: Layout) {
        const LAYOUTS: usize = 16;
        const NAMES: usize = 128 << 10;
        if layout.columns.iter().map(|column| column.head.len()).sum::<usize>() > NAMES {
            return;
        }
        let layouts = if shape == Shape::Key { &mut self.keys } else { &mut self.rows };
        layouts.truncate(LAYOUTS - 1);
        layouts.push_front(layout);
    }

    /// Works out the layout of an object, or why it must not pass.
    fn lay_out(&self, shape: Shape, object: &str) -> Result<Layout, BadRecord> {
        let mut names = Names::default();
        let mut columns = Vec::new();
        let mut unlisted = Vec::new();
        for member in json::members(object) {
            let member = member?;
            let name = json::text(member.name).map_err(|_| shape.half_a_name())?;
            if !names.insert(name.clone()) {
                return Err(shape.twice(&name));
            }
            if RESERVED.contains(&&*name) {
                let detail =
                    format!("{} has a column {}, which highwater writes itself", shape.noun(), json::shown(&name));
                return Err(BadRecord::new(Reason::ReservedColumn, detail));
            }
            if self.columns.writes(&name) {
                return Err(written_by_rule(&name));
            }
            let action = match (self.columns.get(&name), self.unlisted) {
                (Some(rules), _) => self.action(shape, &rules.name, &rules.place),
                (None, Unlisted::Passthrough) => Action::Pass,
                (None, Unlisted::Drop) => Action::Drop,
                (None, Unlisted::Reject) => {
                    unlisted.push(json::shown(&name));
                    Action::Drop
                }
            };
            if unlisted.is_empty() {
                shape.check(&name, &action)?;
            }
            columns.push(Column { head: format!("\"{}\":", member.name).into(), action });
        }
        if !unlisted.is_empty() {
            return Err(BadRecord::new(Reason::UnlistedColumn, format!("no rule for {}", listed(&unlisted))));
        }
        let lacking = if shape == Shape::Key { None } else { self.columns.lacking(&names) };
        let lacking = lacking.map(|lacking| format!("the row lacks what rules name: {lacking}"));
        Ok(Layout { columns, unlisted: self.unlisted, lacking })
    }

    fn action(&self, shape: Shape, name: &str, place: &Place) -> Action {
        let Place::Leaf(leaf) = place else {
            return Action::Reach(Reached { columns: Arc::clone(&self.columns), name: name.into() });
        };
        if shape != Shape::Key {
            leaf.meet();
        }
        match &leaf.transform {
            Transform::Passthrough => Action::Pass,
            Transform::Drop => Action::Drop,
            Transform::Hmac { previous: Some(previous) } if shape != Shape::Key => {
                let mut head = b",\"".to_vec();
                json::escape(previous, &mut head);
                head.extend_from_slice(b"\":");
                let previous = Some(String::from_utf8_lossy(&head).into());
                Action::Rewrite { transform: leaf.transform.clone(), previous }
            }
            transform => Action::Rewrite { transform: transform.clone(), previous: None },
        }
    }
}

impl Layout {
    /// None: the object has other columns than this layout.
    fn write(&self, object: &str, values: &mut Values, out: &mut Vec<u8>) -> Result<Option<Applied>, BadRecord> {
        let mut sink = Sink { object, out, run: None };
        sink.out.clear();
        sink.out.push(b'{');
        let mut applied = Applied::default();
        let mut members = json::members(object);
        for column in &self.columns {
            let member = match members.next_if(&column.head) {
                Some(member) => member,
                None => match members.next().transpose()? {
                    Some(member) if *member.name == *column.name() => member,
                    _ => return Ok(None),
                },
            };
            let value_at = member.end - member.value.len();
            match &column.action {
                Action::Pass => {
                    sink.pass(member.start, member.end);
                    applied.count(Rule::Passthrough);
                }
                Action::Drop => {
                    // Else the run that goes on after it would take it along.
                    sink.flush();
                    applied.count(Rule::Drop);
                }
                Action::Rewrite { transform, previous } => {
                    sink.begin(member.start, value_at);
                    match values.apply(transform, column.name(), member.value, sink.out)? {
                        Fate::Rewritten => applied.count(transform.rule()),
                        Fate::Kept => sink.out.extend_from_slice(member.value.as_bytes()),
                    }
                    if let Some(head) = previous {
                        sink.out.extend_from_slice(head.as_bytes());
                        tree::write_previous(values, column.name(), member.value, sink.out)?;
                    }
                }
                Action::Reach(reached) => {
                    sink.begin(member.start, value_at);
                    reached.write(member.value, self.unlisted, values, &mut applied, sink.out)?;
                }
            }
        }
        if members.next().is_some() {
            return Ok(None);
        }
        sink.flush();
        match &self.lacking {
            Some(lacking) => Err(BadRecord::new(Reason::RuleWithoutColumn, lacking.as_str())),
            None => Ok(Some(applied)),
        }
    }
}

impl Reached {
    fn write(
        &self,
        value: &str,
        unlisted: Unlisted,
        values: &mut Values,
        applied: &mut Applied,
        out: &mut Vec<u8>,
    ) -> Result<(), BadRecord> {
        let Some(member) = self.columns.get(&self.name) else { return Ok(()) };
        member.place.write(&self.name, value, &mut Work { values, applied, unlisted }, out).map(|_| ())
    }
}

/// Splices the output: runs of untouched columns are copied as they stand, whitespace between them included.
struct Sink<'a> {
    object: &'a str,
    out: &'a mut Vec<u8>,
    run: Option<(usize, usize)>,
}

impl Sink<'_> {
    fn pass(&mut self, start: usize, end: usize) {
        match &mut self.run {
            Some((_, run_end)) => *run_end = end,
            None => self.run = Some((start, end)),
        }
    }

    /// Writes a column up to where its value begins.
    fn begin(&mut self, start: usize, value: usize) {
        self.flush();
        self.copy(start, value);
    }

    fn flush(&mut self) {
        if let Some((start, end)) = self.run.take() {
            self.copy(start, end);
        }
    }

    fn copy(&mut self, start: usize, end: usize) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        self.out.extend_from_slice(self.object.as_bytes().get(start..end).unwrap_or_default());
    }
}

impl Shape {
    /// A key column that is dropped would merge rows, one that is cut would merge namesakes.
    fn check(self, column: &str, action: &Action) -> Result<(), BadRecord> {
        let what = match action {
            Action::Pass => return Ok(()),
            Action::Rewrite { transform, .. } if transform.rule().about().on_key => return Ok(()),
            Action::Rewrite { transform, .. } => transform.rule().as_str(),
            Action::Drop => Rule::Drop.as_str(),
            Action::Reach(_) => "reaching into it",
        };
        if self == Shape::Row {
            return Ok(());
        }
        let detail = format!("{} is part of the key, where {what} is not allowed", json::shown(column));
        Err(BadRecord::new(Reason::RuleOnKey, detail))
    }

    fn noun(self) -> &'static str {
        if self == Shape::Key { "the key" } else { "the row" }
    }

    fn twice(self, name: &str) -> BadRecord {
        let reason = if self == Shape::Key { Reason::MalformedKey } else { Reason::DuplicateField };
        BadRecord::new(reason, format!("{} names {} twice", self.noun(), json::shown(name)))
    }

    fn half_a_name(self) -> BadRecord {
        let reason = if self == Shape::Key { Reason::MalformedKey } else { Reason::NotJson };
        BadRecord::new(reason, format!("a name in {} holds half a surrogate pair", self.noun()))
    }
}
