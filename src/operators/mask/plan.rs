//! The rules of one table, and the layouts they were worked out for.
//!
//! Rows of one table have the same columns in the same order, so what a rule set means for them is worked out once: a
//! [`Layout`] lists the columns with the rule that each falls under. A row whose names match a layout's one by one needs
//! no look-up, and has no duplicates, reserved or unlisted columns either, because the layout has none. Any other row
//! is worked out afresh.

use rustc_hash::FxHashMap;
use std::collections::VecDeque;

use super::values::{Fate, Values};
use super::{Applied, RESERVED, Rule, TableConfig, Unlisted};
use crate::record::json::{self, Names};
use crate::record::{BadRecord, Reason};

/// The rules of one table.
pub(super) struct Plan {
    rules: Vec<Planned>,
    by_column: FxHashMap<String, usize>,
    unlisted: Unlisted,
    rows: VecDeque<Layout>,
    keys: VecDeque<Layout>,
}

struct Planned {
    column: String,
    rule: Rule,
    optional: bool,
    /// A row had the column.
    met: bool,
}

/// A row's shape: its columns in their order, none twice, none refused.
struct Layout {
    columns: Vec<Column>,
    /// Why a row of this shape must not pass: columns that rules name and it lacks.
    lacking: Option<String>,
}

struct Column {
    /// `"name":` as rows write it, so that most rows need no reading of names.
    head: Box<str>,
    rule: Rule,
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
    /// Fails where two rules name one column: it would be a matter of luck which one holds.
    pub fn new(config: TableConfig) -> Result<Self, String> {
        let mut by_column = FxHashMap::default();
        let mut rules = Vec::new();
        for field in config.fields {
            if by_column.insert(field.column.clone(), rules.len()).is_some() {
                return Err(format!("two rules name the column {}", json::shown(&field.column)));
            }
            rules.push(Planned { column: field.column, rule: field.rule, optional: field.optional, met: false });
        }
        Ok(Self { rules, by_column, unlisted: config.unlisted, rows: VecDeque::new(), keys: VecDeque::new() })
    }

    pub fn unmatched(&self) -> usize {
        self.rules.iter().filter(|rule| !rule.met).count()
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
    fn lay_out(&mut self, shape: Shape, object: &str) -> Result<Layout, BadRecord> {
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
            let rule = match (self.by_column.get(&*name).and_then(|at| self.rules.get_mut(*at)), self.unlisted) {
                (Some(planned), _) => {
                    planned.met |= shape != Shape::Key;
                    planned.rule
                }
                (None, Unlisted::Passthrough) => Rule::Passthrough,
                (None, Unlisted::Drop) => Rule::Drop,
                (None, Unlisted::Reject) => {
                    unlisted.push(json::shown(&name));
                    Rule::Drop
                }
            };
            if unlisted.is_empty() {
                shape.check(&name, rule)?;
            }
            columns.push(Column { head: format!("\"{}\":", member.name).into(), rule });
        }
        if !unlisted.is_empty() {
            return Err(BadRecord::new(Reason::UnlistedColumn, format!("no rule for {}", listed(&unlisted))));
        }
        let lacking = if shape == Shape::Key { None } else { self.lacking(&names) };
        Ok(Layout { columns, lacking })
    }

    fn lacking(&self, names: &Names<'_>) -> Option<String> {
        let absent = self.rules.iter().filter(|rule| !rule.optional && !names.contains(&rule.column));
        let absent: Vec<String> = absent
            .map(|rule| {
                let nearest =
                    self.nearest(&rule.column, names).map(|near| format!(", nearest is {}", json::shown(near)));
                format!("{} ({}{})", json::shown(&rule.column), rule.rule.as_str(), nearest.unwrap_or_default())
            })
            .collect();
        (!absent.is_empty()).then(|| format!("the row lacks what rules name: {}", listed(&absent)))
    }

    /// The row's column that a rule may have meant: near by name, without a rule of its own.
    fn nearest<'a>(&self, column: &str, names: &'a Names<'_>) -> Option<&'a str> {
        /// The comparison is quadratic, and no real name is longer.
        const LONGEST: usize = 256;
        let candidates = names.iter().filter(|name| name.len() <= LONGEST && column.len() <= LONGEST);
        let taken = |name: &str| self.by_column.contains_key(name);
        candidates.min_by_key(|name| (taken(name), strsim::damerau_levenshtein(column, name), *name))
    }
}

impl Layout {
    /// None: the object has other columns than this layout.
    fn write(&self, object: &str, values: &mut Values, out: &mut Vec<u8>) -> Result<Option<Applied>, BadRecord> {
        let mut sink = Sink { object, out, run: None };
        sink.out.clear();
        sink.out.push(b'{');
        let mut applied = Applied::default();
        let [passed, hashed, truncated, dropped] = &mut applied.0;
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
            let (fate, count) = match column.rule {
                Rule::Passthrough => {
                    sink.pass(member.start, member.end);
                    *passed += 1;
                    continue;
                }
                Rule::Drop => {
                    // Else the run that goes on after it would take it along.
                    sink.flush();
                    *dropped += 1;
                    continue;
                }
                Rule::Hash => {
                    sink.begin(member.start, value_at);
                    (values.hash(column.name(), member.value, sink.out)?, &mut *hashed)
                }
                Rule::Truncate => {
                    sink.begin(member.start, value_at);
                    (values.truncate(column.name(), member.value, sink.out)?, &mut *truncated)
                }
            };
            match fate {
                Fate::Rewritten => *count += 1,
                Fate::Kept => sink.out.extend_from_slice(member.value.as_bytes()),
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
    fn check(self, column: &str, rule: Rule) -> Result<(), BadRecord> {
        match rule {
            Rule::Drop | Rule::Truncate if self == Shape::Key => {
                let detail =
                    format!("{} is part of the key, where {} is not allowed", json::shown(column), rule.as_str());
                Err(BadRecord::new(Reason::RuleOnKey, detail))
            }
            _ => Ok(()),
        }
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

/// The first few, and how many more.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.get(..SHOWN).unwrap_or(names).join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
