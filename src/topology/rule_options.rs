//! The options of a rule: `{ rule: partial, keep_last: 4 }`.

use std::sync::LazyLock;

use super::reader::{Fields, Reader, alternatives, nearest};
use super::yaml::{Entry, Node, Span, Value};
use crate::operators::mask::{
    Decimal, Generalize, IpPrefix, PERIODS, Partial, Period, Rule, Takes, Transform, UNITS, Unit,
};
use crate::record::json;

/// What the long form of each rule takes, in the order of [`Rule::ALL`]; the last one is of a rule that is not known.
static KNOWN: LazyLock<Vec<Vec<&'static str>>> = LazyLock::new(|| {
    let names = |rule: &Rule| rule.about().options.iter().map(|option| option.name);
    let one = |rule: &Rule| ["rule", "optional"].into_iter().chain(names(rule)).collect();
    let mut known: Vec<Vec<&str>> = Rule::ALL.iter().map(one).collect();
    known.push(["rule", "optional"].into_iter().chain(Rule::ALL.iter().flat_map(names)).collect());
    known
});

pub(super) fn known(rule: Option<Rule>) -> &'static [&'static str] {
    KNOWN.get(rule.map_or(Rule::ALL.len(), |rule| rule as usize)).map_or(&[], Vec::as_slice)
}

/// The rule of the options. The outer `None` is an error that has been reported. `substituted`: false in rules files,
/// which are read as they stand.
pub(super) struct Options<'n> {
    pub fields: Option<Fields<'n>>,
    pub at: Span,
    pub substituted: bool,
}

impl<'n> Options<'n> {
    pub fn transform(&self, reader: &mut Reader<'_>, rule: Rule) -> Option<Transform> {
        Some(match rule {
            Rule::Passthrough => Transform::Passthrough,
            Rule::Hash => Transform::Hash,
            Rule::Hmac => Transform::Hmac { previous: self.optional(reader, "previous", Self::column)? },
            Rule::Truncate => Transform::Truncate,
            Rule::Partial => self.partial(reader)?,
            Rule::Redact => {
                let with = self.optional(reader, "with", Self::text)?;
                let with = with.as_deref().or_else(|| default(rule, "with")).unwrap_or_default();
                Transform::Replace { rule, json: quoted(with) }
            }
            Rule::Constant => Transform::Replace { rule, json: self.constant(reader)? },
            Rule::SetNull => Transform::Replace { rule, json: "null".to_owned() },
            Rule::EmailDomain => Transform::EmailDomain,
            Rule::Generalize => Transform::Generalize(self.generalize(reader)?),
            Rule::IpPrefix => Transform::IpPrefix(IpPrefix {
                v4: u8::try_from(self.count(reader, rule, "v4")?).ok()?,
                v6: u8::try_from(self.count(reader, rule, "v6")?).ok()?,
            }),
            Rule::Drop => Transform::Drop,
        })
    }

    fn partial(&self, reader: &mut Reader<'_>) -> Option<Transform> {
        let keep_first = self.count(reader, Rule::Partial, "keep_first");
        let keep_last = self.count(reader, Rule::Partial, "keep_last");
        let with = self.optional(reader, "with", Self::text)?;
        let with = with.as_deref().or_else(|| default(Rule::Partial, "with")).unwrap_or_default().to_owned();
        Some(Transform::Partial(Partial { keep_first: keep_first?, keep_last: keep_last?, with }))
    }

    /// As JSON: plain numbers, true and false as such; what is quoted, or comes from outside, as text.
    fn constant(&self, reader: &mut Reader<'_>) -> Option<String> {
        let Some(entry) = self.get("value") else {
            let label = "for example `{ rule: constant, value: 0 }`";
            reader.error("missing-field", self.at, "`constant` has no `value`", label);
            return None;
        };
        if entry.value.is_blank() {
            reader.error("blank", entry.key_span, "`value` is blank", "for null there is the rule `set_null`");
            return None;
        }
        let Value::Scalar { text: raw, plain } = &entry.value.value else {
            let message = "`value` must be a single value";
            reader.error("wrong-type", entry.value.span, message, format!("found {}", entry.value.kind()));
            return None;
        };
        if *plain && (matches!(raw.as_str(), "true" | "false") || raw.parse::<serde_json::Number>().is_ok()) {
            return Some(raw.clone());
        }
        // Quoted and empty is a text like any other.
        if raw.is_empty() {
            return Some(quoted(""));
        }
        self.word(reader, &entry.value, entry.key_span, "`value`").map(|(text, _)| quoted(&text))
    }

    fn generalize(&self, reader: &mut Reader<'_>) -> Option<Generalize> {
        let periods = [Period::Hour, Period::Day, Period::Month, Period::Year, Period::Decade];
        let units = [Unit::Days, Unit::Seconds, Unit::Millis, Unit::Micros, Unit::Nanos];
        let unit = match self.get("unit") {
            Some(entry) => Some(self.choice(reader, entry, UNITS, units)?),
            None => None,
        };
        match (self.get("step"), self.get("to")) {
            (Some(entry), None) => {
                let (text, span) = self.word(reader, &entry.value, entry.key_span, "`step`")?;
                if let Some(unit) = self.get("unit") {
                    let label = "it says what a number counts where `to` cuts times down";
                    reader.error("conflict", unit.key_span, "`unit` does not go with `step`", label);
                }
                match Decimal::parse(&text).filter(|step| step.is_positive()) {
                    Some(step) => Some(Generalize::Step(step)),
                    None => {
                        let label = "expected a number above 0, such as 10 or 0.5";
                        reader.error("bad-value", span, format!("`step` cannot be `{text}`"), label);
                        None
                    }
                }
            }
            (None, Some(entry)) => Some(Generalize::To(self.choice(reader, entry, PERIODS, periods)?, unit)),
            (Some(_), Some(to)) => {
                let label = "`step` is for numbers, `to` for times: give one of the two";
                reader.error("conflict", to.key_span, "`step` and `to` exclude each other", label);
                None
            }
            (None, None) => {
                let label = "`step: 10` cuts numbers down, `to: year` dates and times";
                reader.error("missing-field", self.at, "`generalize` does not say to what", label);
                None
            }
        }
    }

    fn get(&self, name: &str) -> Option<&'n Entry> {
        self.fields.and_then(|fields| fields.get(name))
    }

    /// The inner `None`: it is not given.
    fn optional<T>(
        &self,
        reader: &mut Reader<'_>,
        name: &str,
        read: impl Fn(&Self, &mut Reader<'_>, &Entry) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.get(name) {
            Some(entry) => read(self, reader, entry).map(Some),
            None => Some(None),
        }
    }

    fn text(&self, reader: &mut Reader<'_>, entry: &Entry) -> Option<String> {
        self.word(reader, &entry.value, entry.key_span, &format!("`{}`", entry.key)).map(|(text, _)| text)
    }

    fn column(&self, reader: &mut Reader<'_>, entry: &Entry) -> Option<String> {
        let (text, span) = self.word(reader, &entry.value, entry.key_span, &format!("`{}`", entry.key))?;
        if crate::operators::mask::RESERVED.contains(&text.as_str()) {
            let label = "name a column of its own";
            reader.error("column", span, format!("`{text}` is a column that Highwater writes"), label);
            return None;
        }
        Some(text)
    }

    fn count(&self, reader: &mut Reader<'_>, rule: Rule, name: &str) -> Option<usize> {
        let Some(entry) = self.get(name) else { return default(rule, name)?.parse().ok() };
        let most = rule
            .about()
            .options
            .iter()
            .find(|option| option.name == name)
            .map_or(0, |option| if let Takes::Count(most) = option.takes { most as usize } else { 0 });
        let (text, span) = self.word(reader, &entry.value, entry.key_span, &format!("`{name}`"))?;
        match text.parse() {
            Ok(count) if count <= most => Some(count),
            _ => {
                let label = format!("expected a number from 0 to {most}");
                reader.error("bad-value", span, format!("`{name}` cannot be `{text}`"), label);
                None
            }
        }
    }

    fn choice<T: Copy, const N: usize>(
        &self,
        reader: &mut Reader<'_>,
        entry: &Entry,
        names: &[&str],
        values: [T; N],
    ) -> Option<T> {
        let what = format!("`{}`", entry.key);
        let (text, span) = self.word(reader, &entry.value, entry.key_span, &what)?;
        if let Some((_, value)) = names.iter().zip(values).find(|(name, _)| **name == text) {
            return Some(value);
        }
        let label = match nearest(&text, names.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("expected {}", alternatives(names.iter().copied())),
        };
        reader.error("bad-value", span, format!("{what} cannot be `{text}`"), label);
        None
    }

    /// A scalar, substituted where the file is one that is.
    pub fn word(&self, reader: &mut Reader<'_>, node: &Node, at: Span, what: &str) -> Option<(String, Span)> {
        if self.substituted {
            return reader.text(node, at, what).map(|text| (text.text, text.span));
        }
        reader.scalar(node, at, what).map(|text| (text.to_owned(), node.span))
    }
}

fn default(rule: Rule, name: &str) -> Option<&'static str> {
    rule.about().options.iter().find(|option| option.name == name)?.default
}

fn quoted(text: &str) -> String {
    let mut out = vec![b'"'];
    json::escape(text, &mut out);
    out.push(b'"');
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every option stands in the table, is read, and its default is one that would be taken.
    #[test]
    fn defaults_are_values() {
        for rule in Rule::ALL {
            for option in rule.about().options {
                let Some(default) = option.default else { continue };
                match option.takes {
                    Takes::Count(most) => assert!(default.parse::<u32>().unwrap() <= most),
                    Takes::Text => assert!(!default.is_empty()),
                    other => panic!("{} has a default of {other:?}", option.name),
                }
            }
            assert_eq!(&known(Some(rule))[..2], ["rule", "optional"]);
        }
    }
}
