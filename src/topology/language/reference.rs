//! The language as pages for people: `docs/language.md`.

use std::fmt::Write;

use super::examples::EXAMPLES;
use super::{Field, Form, RULES_FILE, STEPS, Section, TOPOLOGY, Word};
use crate::operators::mask::{Rule, RuleOption, Takes};

const HEAD: &str = "\
# The language of topology.yaml

Made from the same description that reads it: `highwater topology schema` prints it as JSON Schema, for editors.

A single value is the short form of the common case; the long form is always there. Unknown fields are errors. Any
scalar may hold `${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `${file:PATH}` (which loses one trailing newline);
`$$` is a dollar. What comes from outside is text: it cannot change the structure of the file.
";

const RULES: &str = "
## rules

A rule alone, `email: hmac`, or with options, `email: { rule: hmac, optional: true }`. A blank where a rule belongs is an
error. Null stays null under every rule but `drop`, and so does the connector's placeholder for an unchanged out-of-line
column: neither is a value. What a rule cannot process goes by `on_error`, whole row and all; it never passes as it is.

A rule whose column a row lacks stops the row as well, because it may be a typo that leaks: `optional: true` lifts that,
and `passthrough` does not ask for its column at all.
Rules are for paths, too: `address.street`, `contacts[].phone`, `tags[]`, also into text that holds JSON (what Debezium
makes of json and jsonb); members without a rule go by `unlisted`, as columns do. A backslash takes the meaning from a dot.

The record key goes by the rules of its columns, and only some rules are allowed there: the others would merge keys.
";

const EXAMPLES_HEAD: &str = "
Examples, each of them a test. The secret is `s3cr3t`, its key id `k1`; during the rotation `k1` is `s3cr3t` and the current
key `k2` is `n3w`.
";

/// All of it, as Markdown.
pub fn reference() -> String {
    let mut out = HEAD.to_owned();
    let mut pages = Pages { out: &mut out, seen: Vec::new() };
    pages.section(&TOPOLOGY);
    pages.steps();
    pages.rules();
    pages.section(&RULES_FILE);
    out
}

struct Pages<'a> {
    out: &'a mut String,
    seen: Vec<&'static str>,
}

impl Pages<'_> {
    /// A section, and then those it holds.
    fn section(&mut self, section: &'static Section) {
        if self.seen.contains(&section.name) {
            return;
        }
        self.seen.push(section.name);
        let name = section.name;
        self.line(&format!("\n## {name}\n\n{}.{}{}\n", section.about, short(section), one_of(section)));
        self.line("| field | takes | default | meaning |\n|---|---|---|---|");
        for field in section.fields {
            let default = match (field.required, field.default) {
                (true, _) => "required".to_owned(),
                (false, "") => String::new(),
                (false, default) if default.starts_with("that ") => default.to_owned(),
                (false, default) => format!("`{default}`"),
            };
            let (name, takes, about) = (field.name, form(&field.form), cell(field.about));
            self.line(&format!("| `{name}` | {takes} | {default} | {about}{} |", example(field)));
        }
        for field in section.fields {
            self.words(field.name, &field.form);
        }
        if !section.example.is_empty() {
            self.line(&format!("\n```yaml\n{}```", section.example));
        }
        section.fields.iter().for_each(|field| self.within(&field.form));
    }

    fn words(&mut self, name: &str, form: &Form) {
        match form {
            Form::Words(words) => {
                self.line(&format!("\n`{name}`:"));
                words.iter().for_each(|Word(word, about)| self.line(&format!("- `{word}`: {about}")));
            }
            Form::Either(forms) => forms.iter().for_each(|form| self.words(name, form)),
            _ => {}
        }
    }

    fn within(&mut self, form: &'static Form) {
        match form {
            Form::Section(section) => self.section(section),
            Form::Named(_, form) | Form::List(form) => self.within(form),
            Form::Either(forms) => forms.iter().for_each(|form| self.within(form)),
            _ => {}
        }
    }

    fn steps(&mut self) {
        self.line("\n## steps\n\nA step is its name alone, or `name: { … }`.\n");
        for step in STEPS {
            self.line(&format!("- `{}` {}", step.name, step.about));
        }
        for step in STEPS {
            self.words(step.name, &step.form);
            self.line(&format!("\n```yaml\n{}```", step.example));
        }
        STEPS.iter().for_each(|step| self.within(&step.form));
    }

    fn rules(&mut self) {
        self.line(RULES);
        self.line("| rule | what leaves | options | on key columns |\n|---|---|---|---|");
        for rule in Rule::ALL {
            let about = rule.about();
            let options = about.options.iter().map(option).collect::<Vec<_>>().join("<br>");
            let on_key = if about.on_key { "yes" } else { "" };
            self.line(&format!("| `{}` | {} | {options} | {on_key} |", about.name, cell(about.does)));
        }
        self.line(EXAMPLES_HEAD);
        self.line("| rule | value | leaves |\n|---|---|---|");
        for (rule, value, leaves) in EXAMPLES {
            let leaves = if leaves.is_empty() { "*gone*".to_owned() } else { code(leaves) };
            self.line(&format!("| {} | {} | {leaves} |", code(rule), code(value)));
        }
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}"); // a String takes everything
    }
}

fn short(section: &Section) -> String {
    section.short.map_or_else(String::new, |name| format!(" A single value is its `{name}`."))
}

fn one_of(section: &Section) -> String {
    let names: Vec<_> = section.one_of.iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, first)) => format!(" Exactly one of {} and {last} is given.", first.join(", ")),
        None => String::new(),
    }
}

fn example(field: &Field) -> String {
    if field.example.is_empty() { String::new() } else { format!("; `{}`", cell(field.example)) }
}

fn form(form: &Form) -> String {
    match form {
        Form::Text => "text".into(),
        Form::Verbatim => "text, as it stands".into(),
        Form::Name => "a name".into(),
        Form::Topic => "a topic".into(),
        Form::Template => "a topic, or a template of one".into(),
        Form::Pattern => "a regular expression".into(),
        Form::SecretName => "the name of a secret".into(),
        Form::Path => "a path".into(),
        Form::Address => "an address and a port".into(),
        Form::Duration => "a duration: `100ms`, `10s`, `5m`, `1h`".into(),
        Form::Size => "a size: `64MiB`, `500MB`, `1GiB`".into(),
        Form::Number { least, most } => format!("a number from {least} to {most}"),
        Form::Boolean => "`true` or `false`".into(),
        Form::Words(words) => words.iter().map(|Word(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Form::Section(section) => {
            let anchor = section.name.replace(' ', "-");
            let whole = format!("[{}](#{anchor})", section.name);
            match section.short.and_then(|name| section.field(name)) {
                Some(field) => format!("{}, or {whole}", self::form(&field.form)),
                None => whole,
            }
        }
        Form::Either(forms) => forms.iter().map(self::form).collect::<Vec<_>>().join(", or "),
        Form::List(of) => format!("a list: {}", self::form(of)),
        Form::Named(name, of) => format!("`{name}:` {}", self::form(of)),
        Form::Properties => "`PROPERTY: VALUE`".into(),
        Form::Steps => "a list of [steps](#steps)".into(),
        Form::Scalar => "a single value".into(),
        Form::Column(_) => "a [rule](#rules)".into(),
    }
}

fn option(option: &RuleOption) -> String {
    let takes = match option.takes {
        Takes::Text => "text".to_owned(),
        Takes::Scalar => "a single value".to_owned(),
        Takes::Column => "a column".to_owned(),
        Takes::Count(most) => format!("0 to {most}"),
        Takes::Number => "a number above 0".to_owned(),
        Takes::Word(words) => words.join(", "),
    };
    let default = option.default.map(|default| format!(", else `{default}`")).unwrap_or_default();
    format!("`{}` ({takes}{default}): {}", option.name, cell(option.about))
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

/// Bars would end a cell of the table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
