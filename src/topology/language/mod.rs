//! The language of topology.yaml, described once: sections, fields, what they take, what they mean.
//!
//! Three depend on it, so that they cannot differ: the readers take their lists of known fields from here, [`schema`] makes
//! the JSON Schema that editors know it by, and [`reference`] the pages of `docs/language.md`.

mod examples;
mod reference;
mod schema;
mod sections;

pub use reference::reference;
pub use schema::schema;
pub(super) use sections::*;

/// A mapping with fields of these names and no others.
#[derive(Debug)]
pub(super) struct Section {
    /// As a definition of the schema and a heading of the reference.
    pub name: &'static str,
    pub about: &'static str,
    /// What readers know: the names of `fields`.
    pub names: &'static [&'static str],
    pub fields: &'static [Field],
    /// The field that a single value stands for.
    pub short: Option<&'static str>,
    /// Exactly one of these is given.
    pub one_of: &'static [&'static str],
    /// YAML, under the section's own name.
    pub example: &'static str,
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub form: Form,
    /// One sentence, without a full stop.
    pub about: &'static str,
    pub required: bool,
    /// As it would be written; empty where there is none.
    pub default: &'static str,
    /// A value as it would be written; empty where the form says it all.
    pub example: &'static str,
}

/// A field that sets nothing but its name, form and meaning.
const FIELD: Field = Field { name: "", form: Form::Text, about: "", required: false, default: "", example: "" };

/// What a field takes.
#[derive(Debug)]
pub(super) enum Form {
    Text,
    /// Taken as it stands: nothing is substituted.
    Verbatim,
    /// Letters, digits, `.`, `_` and `-`.
    Name,
    Topic,
    /// A topic with `{group}` of the source's pattern.
    Template,
    Pattern,
    /// The name of an entry of the section `secrets`.
    SecretName,
    Path,
    Address,
    Duration,
    Size,
    Number {
        least: u64,
        most: u64,
    },
    Boolean,
    Words(&'static [Word]),
    Section(&'static Section),
    Either(&'static [Form]),
    List(&'static Form),
    /// A mapping with names of the user's own: what they name, and what stands behind each.
    Named(&'static str, &'static Form),
    /// librdkafka's properties.
    Properties,
    Steps,
    /// Any single value, blank text included.
    Scalar,
    /// A rule's name, or a rule with its options; `true` where `${…}` may stand in it.
    Column(bool),
}

/// One of a few words, and what it means.
#[derive(Debug)]
pub(super) struct Word(pub &'static str, pub &'static str);

/// A step of a stream.
#[derive(Debug)]
pub(super) struct Step {
    pub name: &'static str,
    pub about: &'static str,
    /// Its name alone is enough.
    pub bare: bool,
    pub form: Form,
    pub example: &'static str,
}

impl Section {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::topology::{Diagnostics, Mode, Topology};

    fn check(text: &str) -> Diagnostics {
        match Topology::parse(text, "topology.yaml", Path::new(""), Mode::Check, &|_| None) {
            Ok(loaded) => loaded.warnings,
            Err(found) => found,
        }
    }

    /// A topology whose section of this name is `{ FIELD: VALUE }`, and right else.
    fn with(section: &str, field: &str, value: &str) -> String {
        let given = format!("{{ {field}: {value} }}");
        let stream = |from: &str, steps: &str, rest: &str| {
            format!(
                "application: a\nkafka: {{ bootstrap.servers: b }}\nsecrets: {{ pii: '${{X}}' }}\nstreams:\n  s:\n    \
                 from: {from}\n    steps: {steps}\n    to: out\n    {rest}\n"
            )
        };
        let (plain, none) = ("in", "[dedup, mask: none]");
        match section {
            "from" => stream(&format!("{{ topic: in, {field}: {value} }}"), none, ""),
            "dedup" => stream(plain, &format!("[{{ dedup: {given} }}, mask: none]"), ""),
            "mask" => stream(plain, &format!("[dedup, mask: {{ fields: {{}}, {field}: {value} }}]"), ""),
            "predicate" if field == "is_null" => {
                stream(plain, &format!("[dedup, filter: {{ field: a, {field}: {value} }}, mask: none]"), "")
            }
            "predicate" => {
                stream(plain, &format!("[dedup, filter: {{ field: a, equals: b, {field}: {value} }}, mask: none]"), "")
            }
            "filter" => {
                let filter =
                    format!("[dedup, filter: {{ where: {{ field: a, equals: b }}, {field}: {value} }}, mask: none]");
                stream(plain, &filter, "")
            }
            "stream" => stream(plain, none, &format!("{field}: {value}")),
            "defaults" => format!("{}defaults: {given}\n", stream(plain, none, "")),
            "sink" => format!(
                "{}sinks: {{ s: {{ from: rows, clickhouse: {{ url: 'http://h', table: t }}, {field}: {value} }} }}\n",
                stream(plain, none, "")
            ),
            "clickhouse" => format!(
                "{}sinks: {{ s: {{ from: rows, clickhouse: {{ url: 'http://h', table: t, {field}: {value} }} }} }}\n",
                stream(plain, none, "")
            ),
            "topology" => format!("{}{field}: {value}\n", stream(plain, none, "")),
            other => panic!("where does {other} stand?"),
        }
    }

    fn words(form: &Form) -> Vec<&'static str> {
        match form {
            Form::Words(words) => words.iter().map(|Word(word, _)| *word).collect(),
            Form::Boolean => vec!["true", "false"],
            Form::Either(forms) => forms.iter().flat_map(words).collect(),
            _ => Vec::new(),
        }
    }

    fn each(form: &'static Form, seen: &mut Vec<&'static Section>) {
        match form {
            Form::Section(section) if !seen.iter().any(|other| other.name == section.name) => {
                seen.push(section);
                section.fields.iter().for_each(|field| each(&field.form, seen));
            }
            Form::Named(_, form) | Form::List(form) => each(form, seen),
            Form::Either(forms) => forms.iter().for_each(|form| each(form, seen)),
            Form::Steps => STEPS.iter().for_each(|step| each(&step.form, seen)),
            _ => {}
        }
    }

    fn all() -> Vec<&'static Section> {
        let mut seen = vec![&TOPOLOGY];
        TOPOLOGY.fields.iter().for_each(|field| each(&field.form, &mut seen));
        seen
    }

    /// The readers take the words that are described, and no others: their own message lists them.
    #[test]
    fn readers_and_description_know_the_same_words() {
        let mut compared = 0;
        for section in all() {
            for field in section.fields {
                let words = words(&field.form);
                if words.is_empty() {
                    continue;
                }
                for word in &words {
                    let found = check(&with(section.name, field.name, word));
                    assert_eq!(found.errors(), 0, "{}: {word}\n{found}", field.name);
                }
                let found = check(&with(section.name, field.name, "zzzzzzzzzz"));
                let said = found.iter().map(|item| item.label.clone()).collect::<String>();
                let listed: Vec<&str> = said.split('`').skip(1).step_by(2).filter(|word| !word.contains(' ')).collect();
                let listed: Vec<&str> = listed.into_iter().filter(|word| !word.ends_with(['…', ':'])).collect();
                assert_eq!(found.errors(), 1, "{}\n{found}", field.name);
                assert_eq!(listed, words, "{} of {}: {said}", field.name, section.name);
                compared += 1;
            }
        }
        assert!(compared >= 8, "{compared} fields with words");
    }

    #[test]
    fn every_section_is_described() {
        let sections = all();
        for section in &sections {
            let names: Vec<_> = section.fields.iter().map(|field| field.name).collect();
            assert_eq!(names, section.names);
            assert!(!section.example.is_empty(), "{} has no example", section.name);
            for field in section.fields {
                assert!(!field.about.is_empty() && !field.about.ends_with('.'), "{} of {}", field.name, section.name);
            }
            for name in section.one_of.iter().chain(&section.short) {
                assert!(section.field(name).is_some(), "{name} of {}", section.name);
            }
        }
        assert!(sections.len() >= 12, "{}", sections.len());
    }

    #[test]
    fn the_example_of_the_whole_is_right() {
        assert_eq!(check(TOPOLOGY.example).errors(), 0, "{}", check(TOPOLOGY.example));
    }
}
