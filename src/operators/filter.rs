//! `filter`: rows that a predicate is true of.
//!
//! On a change stream that is not enough to be right: a row that was sent and then left the predicate would stay with
//! the readers for ever. So whether a key's row was sent is remembered with its position, and a row that leaves the
//! predicate is sent once more, as deleted. [`Mode::Record`] looks at each record alone.
//!
//! Guarantees: a predicate is true or false, never unknown (null equals nothing and is no number); what it cannot judge,
//! because a column is missing or did not come, is a [`BadRecord`], not a guess; no message holds a value.

use std::borrow::Cow;
use std::fmt;

use super::mask::{Decimal, Path, Step};
use super::unavailable::Unavailable;
use crate::record::json::{self, Kind};
use crate::record::{BadRecord, Reason};

/// A `filter` step as topology.yaml states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub mode: Mode,
    pub predicate: Predicate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// A row that leaves the predicate after it was sent leaves as deleted.
    #[default]
    Change,
    /// Each record for itself.
    Record,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Predicate {
    Field { path: Path, test: Test, optional: bool },
    And(Vec<Predicate>),
    Or(Vec<Predicate>),
    Not(Box<Predicate>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Equal to one of these.
    In(Vec<Literal>),
    IsNull(bool),
    StartsWith(String),
    Number(Comparison, Decimal, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    LessThan,
    AtMost,
    GreaterThan,
    AtLeast,
}

impl Comparison {
    pub const ALL: [(&str, Comparison); 4] = [
        ("less_than", Comparison::LessThan),
        ("at_most", Comparison::AtMost),
        ("greater_than", Comparison::GreaterThan),
        ("at_least", Comparison::AtLeast),
    ];

    fn holds(self, value: Decimal, bound: Decimal) -> bool {
        match self {
            Comparison::LessThan => value < bound,
            Comparison::AtMost => value <= bound,
            Comparison::GreaterThan => value > bound,
            Comparison::AtLeast => value >= bound,
        }
    }

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, one)| *one == self).map_or("", |(name, _)| name)
    }
}

/// What a value is compared with, as it was written: text by its letters, numbers by their value, `true` and `false`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal {
    text: String,
    number: Option<Decimal>,
}

impl Literal {
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let number = Decimal::parse(&text);
        Self { text, number }
    }
}

/// A `filter` step, ready to run.
pub struct Filter {
    mode: Mode,
    predicate: Predicate,
    unavailable: Unavailable,
}

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    Row,
    /// The row is gone, or is no longer one for the readers.
    Deleted,
    /// Nothing leaves: the readers never had the row, or have lost it already.
    Withheld,
}

impl Filter {
    pub fn new(config: Config, unavailable_value: &str) -> Self {
        let unavailable = Unavailable::new(unavailable_value);
        Self { mode: config.mode, predicate: config.predicate, unavailable }
    }

    /// `sent`: whether the readers have the key's row; None where no state tells (no key, or no `dedup`).
    pub fn judge(&self, row: &str, is_delete: bool, sent: Option<bool>) -> Result<Passage, BadRecord> {
        let sent = sent.filter(|_| self.mode == Mode::Change);
        if let (true, Some(sent)) = (is_delete, sent) {
            return Ok(if sent { Passage::Deleted } else { Passage::Withheld });
        }
        Ok(match (self.holds(row)?, is_delete) {
            (true, false) => Passage::Row,
            (true, true) => Passage::Deleted,
            (false, _) if sent == Some(true) => Passage::Deleted,
            (false, _) => Passage::Withheld,
        })
    }

    fn holds(&self, row: &str) -> Result<bool, BadRecord> {
        self.is_true(&self.predicate, row)
    }

    /// Every column that is asked for is looked at, also where `and` is false already: whether a row can be judged must not
    /// hang on its values.
    fn is_true(&self, predicate: &Predicate, row: &str) -> Result<bool, BadRecord> {
        match predicate {
            Predicate::Field { path, test, optional } => self.test(path, test, *optional, row),
            Predicate::Not(inner) => Ok(!self.is_true(inner, row)?),
            Predicate::And(all) => all.iter().try_fold(true, |so_far, one| Ok(self.is_true(one, row)? && so_far)),
            Predicate::Or(any) => any.iter().try_fold(false, |so_far, one| Ok(self.is_true(one, row)? || so_far)),
        }
    }

    fn test(&self, path: &Path, test: &Test, optional: bool, row: &str) -> Result<bool, BadRecord> {
        let found = self.find(path, optional, row)?;
        let value = found.as_deref().unwrap_or("null");
        let wrong = |what: &str| {
            let detail = format!("{} is {}, which {what}", shown(path), Kind::of(value));
            BadRecord::new(Reason::WrongType, detail)
        };
        if let Test::IsNull(wanted) = test {
            return Ok((Kind::of(value) == Kind::Null) == *wanted);
        }
        let text = match Kind::of(value) {
            Kind::Null => return Ok(false),
            Kind::Text => text_of(path, value)?,
            Kind::Number | Kind::Bool => Cow::Borrowed(value),
            Kind::Array | Kind::Object => return Err(wrong("`filter` cannot compare")),
        };
        let is_number = Kind::of(value) == Kind::Number;
        match test {
            Test::In(literals) => {
                let number = if is_number { Decimal::parse(&text) } else { None };
                let equal = |literal: &Literal| match (number, literal.number) {
                    (Some(number), Some(literal)) => number.cmp(&literal).is_eq(),
                    _ => *literal.text == *text,
                };
                Ok(literals.iter().any(equal))
            }
            Test::StartsWith(_) if Kind::of(value) != Kind::Text => Err(wrong("starts with nothing")),
            Test::StartsWith(start) => Ok(text.starts_with(start.as_str())),
            Test::Number(comparison, bound, _) => match Decimal::parse(text.trim()) {
                Some(number) => Ok(comparison.holds(number, *bound)),
                None => {
                    let detail = format!("{} is no number that `filter` can compare", shown(path));
                    Err(BadRecord::new(Reason::WrongType, detail))
                }
            },
            Test::IsNull(_) => Ok(false),
        }
    }

    /// The value at a path; None where it is missing and may be.
    fn find<'r>(&self, path: &Path, optional: bool, row: &'r str) -> Result<Option<Cow<'r, str>>, BadRecord> {
        let mut value = Cow::Borrowed(row);
        let names = path.steps.iter().filter_map(|step| match step {
            Step::Member(name) => Some(name),
            Step::Each => None,
        });
        for (depth, name) in std::iter::once(&path.column).chain(names).enumerate() {
            if depth > 0 {
                if self.is_placeholder(path, &value)? {
                    return Err(did_not_come(path));
                }
                // json and jsonb come as text.
                if Kind::of(&value) == Kind::Text {
                    let held = text_of(path, &value)?.into_owned();
                    json::parse(&held).map_err(|_| {
                        let detail = format!("{} reaches into text that is not JSON", shown(path));
                        BadRecord::new(Reason::WrongType, detail)
                    })?;
                    value = Cow::Owned(held.trim().to_owned());
                }
                match Kind::of(&value) {
                    Kind::Object => {}
                    Kind::Null => return Ok(None),
                    kind => {
                        let detail = format!("{} reaches into what is {kind}", shown(path));
                        return Err(BadRecord::new(Reason::WrongType, detail));
                    }
                }
            }
            let inner = match &value {
                Cow::Borrowed(object) => member(object, name)?.map(Cow::Borrowed),
                Cow::Owned(object) => member(object, name)?.map(|value| Cow::Owned(value.to_owned())),
            };
            match inner {
                Some(inner) => value = inner,
                None if optional => return Ok(None),
                None => {
                    let detail = format!("`filter` asks for {}, which the row lacks", shown(path));
                    return Err(BadRecord::new(Reason::RuleWithoutColumn, detail));
                }
            }
        }
        if self.is_placeholder(path, &value)? {
            return Err(did_not_come(path));
        }
        Ok(Some(value))
    }

    fn is_placeholder(&self, path: &Path, value: &str) -> Result<bool, BadRecord> {
        Ok(match Kind::of(value) {
            Kind::Text => self.unavailable.is_text(&text_of(path, value)?),
            Kind::Array | Kind::Object => self.unavailable.is_array_or_object(value, &mut Vec::new()),
            _ => false,
        })
    }
}

/// Twice the same name cannot be judged: nobody knows which one a reader would take.
fn member<'o>(object: &'o str, name: &str) -> Result<Option<&'o str>, BadRecord> {
    let mut found = None;
    for member in json::members(object) {
        let member = member?;
        if member.is_named(name) && found.replace(member.value).is_some() {
            return Err(BadRecord::new(Reason::DuplicateField, format!("the row names {} twice", json::shown(name))));
        }
    }
    Ok(found)
}

fn text_of<'v>(path: &Path, value: &'v str) -> Result<Cow<'v, str>, BadRecord> {
    json::text(json::quoted(value).unwrap_or_default()).map_err(|_| json::half_a_pair(&path.to_string()))
}

fn did_not_come(path: &Path) -> BadRecord {
    let detail = format!(
        "`filter` asks for {}, an unchanged out-of-line column that did not come: REPLICA IDENTITY FULL sends it",
        shown(path)
    );
    BadRecord::new(Reason::UnavailableColumn, detail)
}

fn shown(path: &Path) -> String {
    json::shown(&path.to_string())
}

/// As a person would say it: `country in (RU, KZ) and not (age less_than 18)`.
impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, all: &[Predicate], word: &str| {
            for (at, one) in all.iter().enumerate() {
                let between = if at > 0 { word } else { "" };
                match one {
                    Predicate::And(_) | Predicate::Or(_) => write!(f, "{between}({one})")?,
                    _ => write!(f, "{between}{one}")?,
                }
            }
            Ok(())
        };
        match self {
            Predicate::And(all) => joined(f, all, " and "),
            Predicate::Or(any) => joined(f, any, " or "),
            Predicate::Not(inner) => write!(f, "not ({inner})"),
            Predicate::Field { path, test, .. } => match test {
                Test::IsNull(true) => write!(f, "{path} is null"),
                Test::IsNull(false) => write!(f, "{path} is not null"),
                Test::StartsWith(start) => write!(f, "{path} starts with {start}"),
                Test::Number(comparison, _, bound) => {
                    write!(f, "{path} {} {bound}", comparison.as_str().replace('_', " "))
                }
                Test::In(literals) => match &literals[..] {
                    [only] => write!(f, "{path} = {}", only.text),
                    _ => {
                        let texts: Vec<&str> = literals.iter().map(|literal| literal.text.as_str()).collect();
                        write!(f, "{path} in ({})", texts.join(", "))
                    }
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(path: &str, test: Test) -> Predicate {
        let (path, optional) = (path.trim_end_matches('?'), path.ends_with('?'));
        Predicate::Field { path: Path::parse(path).unwrap(), test, optional }
    }

    fn is_in(path: &str, literals: &[&str]) -> Predicate {
        field(path, Test::In(literals.iter().map(|text| Literal::new(*text)).collect()))
    }

    fn number(path: &str, comparison: Comparison, bound: &str) -> Predicate {
        field(path, Test::Number(comparison, Decimal::parse(bound).unwrap(), bound.into()))
    }

    fn filter(predicate: Predicate) -> Filter {
        Filter::new(Config { mode: Mode::Change, predicate }, "gone")
    }

    fn holds(predicate: Predicate, row: &str) -> Result<bool, Reason> {
        let judged = filter(predicate).holds(row);
        judged.map_err(|bad| {
            assert!(!bad.detail.contains("secret"), "{bad}");
            bad.reason
        })
    }

    #[test]
    fn values_are_compared_by_what_they_say() {
        for (literals, value, want) in [
            (&["RU", "KZ"][..], r#""RU""#, true),
            (&["RU", "KZ"], r#""\u0052U""#, true),
            (&["RU"], r#""ru""#, false),
            (&["RU"], "null", false),
            (&["null"], "null", false),
            (&["null"], r#""null""#, true),
            (&["1"], "1.0", true),
            (&["1.50"], "15e-1", true),
            (&["1"], r#""1""#, true),
            (&["1"], r#""1.0""#, false),
            (&["1"], "2", false),
            (&["true"], "true", true),
            (&["true"], "false", false),
            (&["x"], "1e99999", false),
            (&["1e99999"], "1e99999", true),
        ] {
            assert_eq!(
                holds(is_in("a", literals), &format!(r#"{{"b":1,"a":{value}}}"#)),
                Ok(want),
                "{literals:?} {value}"
            );
        }
        for value in ["[]", "{}"] {
            assert_eq!(holds(is_in("a", &["x"]), &format!(r#"{{"a":{value}}}"#)), Err(Reason::WrongType));
        }
    }

    #[test]
    fn the_other_tests() {
        use Comparison::*;
        let null = |wanted| field("a", Test::IsNull(wanted));
        let starts = || field("a", Test::StartsWith("RU-".into()));
        for (predicate, value, want) in [
            (null(true), "null", Ok(true)),
            (null(true), "0", Ok(false)),
            (null(false), r#""""#, Ok(true)),
            (null(false), "null", Ok(false)),
            (starts(), r#""RU-MOW""#, Ok(true)),
            (starts(), r#""KZ""#, Ok(false)),
            (starts(), "null", Ok(false)),
            (starts(), "7", Err(Reason::WrongType)),
            (number("a", LessThan, "18"), "17.99", Ok(true)),
            (number("a", LessThan, "18"), "18", Ok(false)),
            (number("a", AtMost, "18"), "18.0", Ok(true)),
            (number("a", GreaterThan, "-0.5"), "0", Ok(true)),
            (number("a", AtLeast, "18"), r#"" 18.5 ""#, Ok(true)),
            (number("a", AtLeast, "18"), "null", Ok(false)),
            (number("a", LessThan, "18"), "null", Ok(false)),
            (number("a", LessThan, "18"), r#""secret""#, Err(Reason::WrongType)),
            (number("a", LessThan, "18"), "true", Err(Reason::WrongType)),
        ] {
            assert_eq!(holds(predicate.clone(), &format!(r#"{{"a":{value}}}"#)), want, "{predicate} {value}");
        }
    }

    #[test]
    fn and_or_not_have_two_values() {
        let (a, b) = (is_in("a", &["1"]), is_in("b", &["1"]));
        let not = |one: &Predicate| Predicate::Not(Box::new(one.clone()));
        let both = Predicate::And(vec![a.clone(), b.clone()]);
        let either = Predicate::Or(vec![a.clone(), not(&b)]);
        for (row, of_both, of_either, of_not) in [
            (r#"{"a":1,"b":1}"#, true, true, false),
            (r#"{"a":1,"b":2}"#, false, true, false),
            (r#"{"a":2,"b":1}"#, false, false, true),
            (r#"{"a":null,"b":null}"#, false, true, true),
        ] {
            assert_eq!(holds(both.clone(), row), Ok(of_both), "{row}");
            assert_eq!(holds(either.clone(), row), Ok(of_either), "{row}");
            assert_eq!(holds(not(&a), row), Ok(of_not), "{row}");
        }
        assert_eq!(
            format!("{} | {} | {}", both, either, not(&both)),
            "a = 1 and b = 1 | a = 1 or not (b = 1) | not (a = 1 and b = 1)"
        );
        // A row that cannot be judged is refused whatever its other columns say.
        assert_eq!(holds(both, r#"{"a":2}"#), Err(Reason::RuleWithoutColumn));
        assert_eq!(holds(either, r#"{"a":1}"#), Err(Reason::RuleWithoutColumn));
    }

    #[test]
    fn paths_and_what_is_not_there() {
        for (path, row, want) in [
            ("a.c", r#"{"a":{"b":2,"c":"x"}}"#, Ok(true)),
            ("a.c", r#"{"a":"{\"c\": \"x\"}"}"#, Ok(true)),
            ("a.b.c", r#"{"a":"{\"b\": \"{\\\"c\\\":\\\"x\\\"}\"}"}"#, Ok(true)),
            ("a.c", r#"{"a":null}"#, Ok(false)),
            ("a.c", r#"{"a":{}}"#, Err(Reason::RuleWithoutColumn)),
            ("a.c?", r#"{"a":{}}"#, Ok(false)),
            ("a?", r#"{"b":1}"#, Ok(false)),
            ("a", r#"{"b":1}"#, Err(Reason::RuleWithoutColumn)),
            ("a", r#"{"a":"x","\u0061":"secret"}"#, Err(Reason::DuplicateField)),
            ("a.c", r#"{"a":"secret"}"#, Err(Reason::WrongType)),
            ("a.c", r#"{"a":["secret"]}"#, Err(Reason::WrongType)),
            ("a", r#"{"a":"secret\ud83d"}"#, Err(Reason::NotJson)),
            ("a", r#"{"a":"gone"}"#, Err(Reason::UnavailableColumn)),
            ("a.c", r#"{"a":"gone"}"#, Err(Reason::UnavailableColumn)),
            ("a", r#"{"a":["gone"]}"#, Err(Reason::UnavailableColumn)),
        ] {
            assert_eq!(holds(is_in(path, &["x"]), row), want, "{path} {row}");
        }
    }

    #[test]
    fn what_was_sent_is_taken_back() {
        use Passage::*;
        let (inside, outside) = (r#"{"a":1}"#, r#"{"a":2}"#);
        for (row, is_delete, sent, of_change, of_record) in [
            (inside, false, Some(false), Row, Row),
            (inside, false, Some(true), Row, Row),
            (outside, false, Some(false), Withheld, Withheld),
            (outside, false, Some(true), Deleted, Withheld),
            (inside, true, Some(true), Deleted, Deleted),
            (outside, true, Some(true), Deleted, Withheld),
            (inside, true, Some(false), Withheld, Deleted),
            (outside, false, None, Withheld, Withheld),
            (inside, true, None, Deleted, Deleted),
        ] {
            let of = |mode| {
                let config = Config { mode, predicate: is_in("a", &["1"]) };
                Filter::new(config, "gone").judge(row, is_delete, sent).unwrap()
            };
            assert_eq!((of(Mode::Change), of(Mode::Record)), (of_change, of_record), "{row} {is_delete} {sent:?}");
        }
    }
}
