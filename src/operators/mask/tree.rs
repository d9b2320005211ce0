//! The rules of a table as a tree of places: its columns, and below them members and elements.
//!
//! A value that is reached into leaves as it came but for the places that rules name: members without a rule go by
//! `unlisted` as columns do, and a member that a rule names must be there unless the rule is `optional`.
//!
//! Names of columns are the table's; names of members are data, and may be somebody's address. No message holds one that
//! no rule names.

use std::sync::atomic::{AtomicBool, Ordering};

use super::path::{Path, Step};
use super::rule::Rule;
use super::transform::Transform;
use super::values::{Fate, Under, Values};
use super::{Applied, FieldRule, Unlisted};
use crate::record::json::{self, Kind, Names};
use crate::record::{BadRecord, Reason};

/// The columns of a row, or the members of an object in it.
#[derive(Debug, Default)]
pub struct Members {
    members: Vec<Member>,
    /// Names that `previous` of a rule writes: a row must not bring them.
    written: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub name: String,
    /// All rules at and below it are.
    pub optional: bool,
    pub place: Place,
}

#[derive(Debug)]
pub(super) enum Place {
    Leaf(Leaf),
    Members(Members),
    Elements(Box<Place>),
}

#[derive(Debug)]
pub(super) struct Leaf {
    pub transform: Transform,
    /// A row had it.
    met: AtomicBool,
}

impl Leaf {
    pub fn meet(&self) {
        self.met.store(true, Ordering::Relaxed);
    }
}

/// What a value that is reached into is rewritten with.
pub(super) struct Work<'a> {
    pub values: &'a mut Values,
    pub applied: &'a mut Applied,
    pub unlisted: Unlisted,
}

impl Member {
    /// What is missing under `passthrough` cannot leak by a typo: its real name has no rule, and goes by `unlisted`. So rows
    /// from before a column was added pass.
    fn is_demanded(&self) -> bool {
        let passes = matches!(&self.place, Place::Leaf(Leaf { transform: Transform::Passthrough, .. }));
        !self.optional && !passes
    }
}

impl Members {
    /// Fails where it would be a matter of luck which of two rules holds.
    pub fn insert(&mut self, field: &FieldRule) -> Result<(), String> {
        let Path { column, steps } = &field.path;
        self.add(column, steps, field)
    }

    fn add(&mut self, name: &str, steps: &[Step], field: &FieldRule) -> Result<(), String> {
        if self.written.iter().any(|written| written == name) {
            return Err(format!("{} is what `previous` of another rule writes", json::shown(name)));
        }
        match self.members.iter_mut().find(|member| member.name == name) {
            Some(member) => {
                member.place.add(steps, field)?;
                member.optional &= field.optional;
            }
            None => {
                let place = Place::of(steps, field)?;
                self.members.push(Member { name: name.to_owned(), optional: field.optional, place });
            }
        }
        match &field.transform {
            Transform::Hmac { previous: Some(previous) } if steps.is_empty() => self.claim(previous),
            _ => Ok(()),
        }
    }

    fn claim(&mut self, name: &str) -> Result<(), String> {
        if self.written.iter().any(|written| written == name) || self.get(name).is_some() {
            return Err(format!("`previous` writes {}, which another rule names", json::shown(name)));
        }
        self.written.push(name.to_owned());
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    pub(super) fn writes(&self, name: &str) -> bool {
        self.written.iter().any(|written| written == name)
    }

    /// How many rules have met no value yet.
    pub(super) fn unmatched(&self) -> usize {
        self.members.iter().map(|member| member.place.unmatched()).sum()
    }

    /// Rules that name columns which are not there, with what they may have meant.
    pub(super) fn lacking(&self, names: &Names<'_>) -> Option<String> {
        self.absent(names, |member| {
            let nearest = self.nearest(&member.name, names);
            nearest.map(|near| format!(", nearest is {}", json::shown(near))).unwrap_or_default()
        })
    }

    fn absent(&self, names: &Names<'_>, meant: impl Fn(&Member) -> String) -> Option<String> {
        let absent = self.members.iter().filter(|member| member.is_demanded() && !names.contains(&member.name));
        let shown =
            |member: &Member| format!("{} ({}{})", json::shown(&member.name), member.place.noun(), meant(member));
        let absent: Vec<String> = absent.map(shown).collect();
        (!absent.is_empty()).then(|| listed(&absent))
    }

    /// What is there that a rule may have meant: near by name, without a rule of its own.
    fn nearest<'a>(&self, name: &str, names: &'a Names<'_>) -> Option<&'a str> {
        /// The comparison is quadratic, and no real name is longer.
        const LONGEST: usize = 256;
        let candidates = names.iter().filter(|near| near.len() <= LONGEST && name.len() <= LONGEST);
        candidates.min_by_key(|near| (self.get(near).is_some(), strsim::damerau_levenshtein(name, near), *near))
    }

    fn write(&self, path: &str, object: &str, work: &mut Work<'_>, out: &mut Vec<u8>) -> Result<(), BadRecord> {
        let mut names = Names::default();
        let mut unlisted = 0;
        let begin = out.len();
        out.push(b'{');
        for member in json::members(object) {
            let member = member?;
            let name = json::text(member.name).map_err(|_| {
                BadRecord::new(Reason::NotJson, format!("a name in {} holds half a surrogate pair", json::shown(path)))
            })?;
            if !names.insert(name.clone()) {
                let detail = format!("{} names a member twice", json::shown(path));
                return Err(BadRecord::new(Reason::DuplicateField, detail));
            }
            // Only for messages and what is reached into deeper: most members are passed over.
            let inner = || format!("{path}.{name}");
            if self.writes(&name) {
                return Err(written_by_rule(&inner()));
            }
            let (before, value_at) = (out.len(), member.end - member.value.len());
            let mut copy = |start: usize, end: usize| {
                if before > begin + 1 {
                    out.push(b',');
                }
                out.extend_from_slice(object.as_bytes().get(start..end).unwrap_or_default());
            };
            match (self.get(&name), work.unlisted) {
                (Some(Member { place, .. }), _) => {
                    let inner = inner();
                    copy(member.start, value_at);
                    if !place.write(&inner, member.value, work, out)? {
                        out.truncate(before);
                    }
                    if let Place::Leaf(Leaf { transform: Transform::Hmac { previous: Some(previous) }, .. }) = place {
                        out.extend_from_slice(b",\"");
                        json::escape(previous, out);
                        out.extend_from_slice(b"\":");
                        write_previous(work.values, &inner, member.value, out)?;
                    }
                }
                (None, Unlisted::Passthrough) => copy(member.start, member.end),
                (None, Unlisted::Drop) => work.applied.count(Rule::Drop),
                (None, Unlisted::Reject) => unlisted += 1,
            }
        }
        if unlisted > 0 {
            let members = if unlisted == 1 { "a member" } else { "members" };
            let detail = format!("no rule for {members} of {}", json::shown(path));
            return Err(BadRecord::new(Reason::UnlistedColumn, detail));
        }
        if let Some(lacking) = self.absent(&names, |_| String::new()) {
            let detail = format!("{} lacks what rules name: {lacking}", json::shown(path));
            return Err(BadRecord::new(Reason::RuleWithoutColumn, detail));
        }
        out.push(b'}');
        Ok(())
    }
}

impl Place {
    fn of(steps: &[Step], field: &FieldRule) -> Result<Self, String> {
        match steps {
            [] => Ok(Place::Leaf(Leaf { transform: field.transform.clone(), met: AtomicBool::new(false) })),
            [Step::Each, rest @ ..] => {
                if matches!((rest, &field.transform), ([], Transform::Hmac { previous: Some(_) })) {
                    return Err("elements of an array have no column beside them for `previous`".into());
                }
                Ok(Place::Elements(Box::new(Place::of(rest, field)?)))
            }
            [Step::Member(name), rest @ ..] => {
                let mut members = Members::default();
                members.add(name, rest, field)?;
                Ok(Place::Members(members))
            }
        }
    }

    fn add(&mut self, steps: &[Step], field: &FieldRule) -> Result<(), String> {
        match (self, steps) {
            (Place::Leaf(_), []) => Err(format!("two rules name {}", shown_path(field))),
            (Place::Leaf(_), _) => Err(format!("{} reaches into what has a rule of its own", shown_path(field))),
            (Place::Members(_) | Place::Elements(_), []) => {
                Err(format!("{} has a rule, and other rules reach into it", shown_path(field)))
            }
            (Place::Elements(place), [Step::Each, rest @ ..]) => place.add(rest, field),
            (Place::Members(members), [Step::Member(name), rest @ ..]) => members.add(name, rest, field),
            _ => Err(format!("{} takes for an array what another rule takes for an object", shown_path(field))),
        }
    }

    fn unmatched(&self) -> usize {
        match self {
            Place::Leaf(leaf) => usize::from(!leaf.met.load(Ordering::Relaxed)),
            Place::Members(members) => members.unmatched(),
            Place::Elements(place) => place.unmatched(),
        }
    }

    fn noun(&self) -> &'static str {
        match self {
            Place::Leaf(leaf) => leaf.transform.rule().as_str(),
            Place::Members(_) | Place::Elements(_) => "reached into",
        }
    }

    /// Rewrites a value; false: it is dropped.
    pub fn write(&self, path: &str, value: &str, work: &mut Work<'_>, out: &mut Vec<u8>) -> Result<bool, BadRecord> {
        if let Place::Leaf(leaf) = self {
            leaf.meet();
            let rule = leaf.transform.rule();
            match work.values.apply(&leaf.transform, path, value, out)? {
                Fate::Rewritten => work.applied.count(rule),
                Fate::Kept if rule == Rule::Drop => {
                    work.applied.count(rule);
                    return Ok(false);
                }
                Fate::Kept => out.extend_from_slice(value.as_bytes()),
            }
            return Ok(true);
        }
        match (self, Kind::of(value)) {
            (_, Kind::Null) => out.extend_from_slice(value.as_bytes()),
            (_, Kind::Text) => self.write_text(path, value, work, out)?,
            (_, Kind::Array | Kind::Object) if work.values.is_unavailable(value) => {
                out.extend_from_slice(value.as_bytes());
            }
            (Place::Members(members), Kind::Object) => members.write(path, value, work, out)?,
            (Place::Elements(place), Kind::Array) => {
                let path = format!("{path}[]");
                let begin = out.len();
                out.push(b'[');
                for element in json::members(value) {
                    let element = element?;
                    let before = out.len();
                    if before > begin + 1 {
                        out.push(b',');
                    }
                    if !place.write(&path, element.value, work, out)? {
                        out.truncate(before);
                    }
                }
                out.push(b']');
            }
            (_, kind) => {
                let detail = format!("{} is {kind}, which rules reach into as {}", json::shown(path), self.kind());
                return Err(BadRecord::new(Reason::WrongType, detail));
            }
        }
        Ok(true)
    }

    fn kind(&self) -> Kind {
        if matches!(self, Place::Elements(_)) { Kind::Array } else { Kind::Object }
    }

    /// Text that holds JSON, as Debezium sends json and jsonb. Text that does not is refused: nobody could say what in
    /// it a rule was for.
    fn write_text(&self, path: &str, value: &str, work: &mut Work<'_>, out: &mut Vec<u8>) -> Result<(), BadRecord> {
        let text = json::text(json::quoted(value).unwrap_or_default()).map_err(|_| json::half_a_pair(path))?;
        if work.values.is_unavailable_text(&text) {
            out.extend_from_slice(value.as_bytes());
            return Ok(());
        }
        let held = json::parse(&text).map_err(|bad| {
            let detail = format!("{} is text that rules reach into as JSON: {}", json::shown(path), bad.detail);
            BadRecord::new(Reason::WrongType, detail)
        })?;
        let mut inner = Vec::with_capacity(text.len());
        self.write(path, held.get(), work, &mut inner)?;
        out.push(b'"');
        // What went in was text, and so is all that rules write.
        json::escape(&String::from_utf8_lossy(&inner), out);
        out.push(b'"');
        Ok(())
    }
}

/// The value under the previous key; null and the placeholder as they came.
pub(super) fn write_previous(values: &mut Values, path: &str, value: &str, out: &mut Vec<u8>) -> Result<(), BadRecord> {
    if values.hmac(Under::Previous, path, value, out)? == Fate::Kept {
        out.extend_from_slice(value.as_bytes());
    }
    Ok(())
}

pub(super) fn written_by_rule(name: &str) -> BadRecord {
    let detail = format!("the row brings {}, which `previous` of a rule writes", json::shown(name));
    BadRecord::new(Reason::ReservedColumn, detail)
}

fn shown_path(field: &FieldRule) -> String {
    json::shown(&field.path.to_string())
}

/// The first few, and how many more.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.get(..SHOWN).unwrap_or(names).join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
