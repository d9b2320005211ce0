//! The language as JSON Schema, for editors: completion, hover, and a mark under what is wrong.
//!
//! Draft 7, because that is what the YAML servers of editors know best. It says what a file may look like; what only shows
//! between its parts (a secret that is not declared, a topic read twice) is left to `topology validate`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Field, Form, RULES_FILE, STEPS, Section, TOPOLOGY, Word};
use crate::operators::mask::{Rule, Takes};
use crate::topology::kafka;

/// What a scalar that comes from outside looks like.
const REFERENCE: &str = r"\$\{";

/// The schema of a topology, or of a rules file.
pub fn schema(of_rules: bool) -> Value {
    let root = if of_rules { &RULES_FILE } else { &TOPOLOGY };
    let mut made = Definitions::default();
    let Value::Object(section) = made.section(root) else { return Value::Null };
    let mut schema = Map::from_iter([
        ("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#")),
        ("title".to_owned(), json!(format!("Highwater {}", root.name))),
    ]);
    schema.extend(section);
    schema.insert("definitions".into(), Value::Object(made.done.into_iter().collect()));
    Value::Object(schema)
}

/// Every section once, however often it is used.
#[derive(Default)]
struct Definitions {
    done: BTreeMap<String, Value>,
}

impl Definitions {
    fn reference(&mut self, section: &'static Section) -> Value {
        let name = section.name.replace(' ', "-");
        if !self.done.contains_key(&name) {
            // Before it is known: a section may hold itself.
            self.done.insert(name.clone(), Value::Null);
            let made = self.section(section);
            self.done.insert(name.clone(), made);
        }
        json!({ "$ref": format!("#/definitions/{name}") })
    }

    fn section(&mut self, section: &'static Section) -> Value {
        let fields: Map<String, Value> =
            section.fields.iter().map(|field| (field.name.to_owned(), self.field(field))).collect();
        let required: Vec<_> = section.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        let mut made = json!({
            "type": "object",
            "description": section.about,
            "additionalProperties": false,
            "properties": fields,
        });
        if !required.is_empty() {
            made["required"] = json!(required);
        }
        if !section.one_of.is_empty() {
            made["oneOf"] = section.one_of.iter().map(|name| json!({ "required": [name] })).collect();
        }
        made
    }

    fn field(&mut self, field: &'static Field) -> Value {
        let mut made = self.form(&field.form);
        let mut about = field.about.to_owned();
        if !field.default.is_empty() {
            about += &format!("\n\nDefault: {}", field.default);
        }
        let described = json!(about);
        match made.as_object_mut() {
            // Draft 7 looks at nothing beside a `$ref`.
            Some(object) if object.contains_key("$ref") => {
                made = json!({ "description": described, "allOf": [made] });
            }
            Some(object) => drop(object.insert("description".into(), described)),
            None => {}
        }
        if !field.example.is_empty() {
            made["examples"] = json!([field.example]);
        }
        made
    }

    fn form(&mut self, form: &'static Form) -> Value {
        match form {
            Form::Text | Form::SecretName | Form::Path | Form::Pattern | Form::Verbatim => text(),
            Form::Name => name(r"^[A-Za-z0-9._-]{1,128}$"),
            Form::Topic => name(r"^[A-Za-z0-9._-]{1,249}$"),
            Form::Template => name(r"^([A-Za-z0-9._-]|\{[A-Za-z0-9_]+\})+$"),
            Form::Address => pattern(r"^\s*(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]+\s*$"),
            Form::Duration => pattern(r"^\s*[0-9]+\s*(ms|s|m|h)\s*$"),
            Form::Size => pattern(r"^\s*[0-9]+\s*(KiB|MiB|GiB|kB|KB|MB|GB)\s*$"),
            Form::Number { least, most } => number(*least, *most),
            Form::Boolean => boolean(),
            Form::Words(words) => choice(words.iter().map(|Word(word, about)| (*word, *about)), true),
            Form::Scalar => json!({ "type": ["string", "number", "boolean"] }),
            Form::Column(substituted) => column(*substituted),
            Form::Section(section) => self.with_short(section),
            Form::Either(forms) => json!({ "anyOf": forms.iter().map(|form| self.form(form)).collect::<Vec<_>>() }),
            Form::List(of) => json!({ "type": "array", "items": self.form(of) }),
            Form::Named(_, of) => {
                let mut made = json!({ "type": "object", "additionalProperties": self.form(of) });
                match of {
                    Form::Section(section) if section.name == "stream" => {
                        made["propertyNames"] = json!({ "pattern": r"^[A-Za-z0-9._-]+$" });
                        made["minProperties"] = json!(1);
                    }
                    Form::Section(section) if section.name == "table" => made["minProperties"] = json!(1),
                    _ => {}
                }
                made
            }
            Form::Properties => json!({
                "type": "object",
                "additionalProperties": text(),
                "required": ["bootstrap.servers"],
                "propertyNames": { "not": { "enum": kafka::refused().collect::<Vec<_>>() } },
            }),
            Form::Steps => {
                let each: Vec<_> = STEPS.iter().flat_map(|step| self.step(step)).collect();
                let mask = json!({ "type": "object", "required": ["mask"] });
                json!({ "type": "array", "items": { "anyOf": each }, "contains": mask })
            }
        }
    }

    /// A section, or the single value that stands for one of its fields.
    fn with_short(&mut self, section: &'static Section) -> Value {
        let whole = self.reference(section);
        match section.short.and_then(|name| section.field(name)) {
            Some(field) => json!({ "anyOf": [self.form(&field.form), whole] }),
            None => whole,
        }
    }

    fn step(&mut self, step: &'static super::Step) -> Vec<Value> {
        let mut forms = Vec::new();
        if step.bare {
            forms.push(json!({ "const": step.name, "description": step.about }));
        }
        let config = self.form(&step.form);
        forms.push(json!({
            "type": "object",
            "description": step.about,
            "properties": { step.name: config },
            "required": [step.name],
            "additionalProperties": false,
        }));
        forms
    }
}

/// The name of a rule, or one rule with its own options.
fn column(substituted: bool) -> Value {
    let words = choice(Rule::ALL.iter().map(|rule| (rule.as_str(), rule.about().does)), substituted);
    let mut forms = vec![words];
    forms.extend(Rule::ALL.iter().map(|rule| with_options(*rule)));
    json!({ "anyOf": forms })
}

fn with_options(rule: Rule) -> Value {
    let about = rule.about();
    let mut properties = Map::from_iter([
        ("rule".to_owned(), json!({ "const": about.name, "description": about.does })),
        ("optional".to_owned(), boolean()),
    ]);
    for option in about.options {
        let mut made = match option.takes {
            Takes::Text | Takes::Column => text(),
            Takes::Scalar => json!({ "type": ["string", "number", "boolean"] }),
            Takes::Count(most) => number(0, most.into()),
            Takes::Number => json!({ "anyOf": [{ "type": "number", "exclusiveMinimum": 0 }, text()] }),
            Takes::Word(words) => choice(words.iter().map(|word| (*word, "")), true),
        };
        let default = option.default.map(|default| format!("\n\nDefault: {default}")).unwrap_or_default();
        made["description"] = json!(format!("{}{default}", option.about));
        properties.insert(option.name.to_owned(), made);
    }
    json!({
        "type": "object",
        "description": about.does,
        "properties": properties,
        "required": ["rule"],
        "additionalProperties": false,
    })
}

fn boolean() -> Value {
    json!({ "anyOf": [{ "type": "boolean" }, pattern("^(true|false)$")] })
}

fn number(least: u64, most: u64) -> Value {
    json!({ "anyOf": [{ "type": "integer", "minimum": least, "maximum": most }, pattern("^[0-9]+$")] })
}

/// Any scalar: all of them are read as text.
fn text() -> Value {
    json!({ "type": ["string", "number", "boolean"], "minLength": 1 })
}

/// A text of this form, or one with something from outside in it.
fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": format!("{pattern}|{REFERENCE}") })
}

/// The same where a number or a word such as `true` is as good as a text.
fn name(form: &str) -> Value {
    let mut made = pattern(form);
    made["type"] = json!(["string", "number", "boolean"]);
    made
}

fn choice(words: impl Iterator<Item = (&'static str, &'static str)>, substituted: bool) -> Value {
    let (words, about): (Vec<_>, Vec<_>) = words.unzip();
    // Not of the standard; the YAML server shows them beside each word.
    let listed = json!({ "enum": words, "enumDescriptions": about });
    if !substituted {
        return listed;
    }
    json!({ "anyOf": [listed, { "type": "string", "pattern": REFERENCE }] })
}
