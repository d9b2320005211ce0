//! JSON as scenarios state and compare it: numbers by their text, members in any order.

use std::fmt;

use crate::record::json::{self, Kind};
use crate::topology::yaml::{Node, Value};

/// A JSON value. Equal ones may have their members in another order.
#[derive(Debug, Clone)]
pub enum Json {
    Null,
    Bool(bool),
    /// As it was written: 1.10 is not 1.1, and 12345678901234567890 stays what it is.
    Number(String),
    Text(String),
    Array(Vec<Json>),
    /// In the order in which they were written.
    Object(Vec<(String, Json)>),
    /// Nested deeper than anyone writes: its text, uninterpreted.
    Deep(String),
}

/// Deeper values are compared as texts.
const MAX_DEPTH: usize = 100;

impl Json {
    /// None where the text is not one JSON value.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(json::parse(text).ok()?.get(), 0)
    }

    fn read(text: &str, depth: usize) -> Option<Self> {
        if depth > MAX_DEPTH {
            return Some(Json::Deep(text.to_owned()));
        }
        let inner = |value: &str| Self::read(value, depth + 1);
        Some(match Kind::of(text) {
            Kind::Null => Json::Null,
            Kind::Bool => Json::Bool(text == "true"),
            Kind::Number => Json::Number(text.to_owned()),
            Kind::Text => Json::Text(decoded(json::quoted(text)?)),
            Kind::Array => {
                Json::Array(json::members(text).map(|member| inner(member.ok()?.value)).collect::<Option<_>>()?)
            }
            Kind::Object => {
                let member = |member: json::Member<'_>| Some((decoded(member.name), inner(member.value)?));
                Json::Object(json::members(text).map(|found| member(found.ok()?)).collect::<Option<_>>()?)
            }
        })
    }

    /// A YAML node: what is written without quotes and is a JSON number, `true`, `false` or nothing is that; all else is
    /// a string. `007`, `yes` and `2026-11-20` are strings, because they are no JSON.
    pub(in crate::topology) fn of_yaml(node: &Node) -> Self {
        match &node.value {
            _ if node.is_blank() => Json::Null,
            Value::Scalar { text, plain: true } => match text.as_str() {
                "true" | "True" | "TRUE" => Json::Bool(true),
                "false" | "False" | "FALSE" => Json::Bool(false),
                _ if is_number(text) => Json::Number(text.clone()),
                _ => Json::Text(text.clone()),
            },
            Value::Scalar { text, .. } => Json::Text(text.clone()),
            Value::Seq(items) => Json::Array(items.iter().map(Self::of_yaml).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|entry| (entry.key.clone(), Self::of_yaml(&entry.value))).collect())
            }
        }
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        members.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// The same for equal values: members in the order of their names.
    pub fn canonical(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out, true);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Every string in it, names included.
    pub fn texts(&self, visit: &mut dyn FnMut(&str)) {
        match self {
            Json::Null | Json::Bool(_) => {}
            Json::Number(text) | Json::Text(text) | Json::Deep(text) => visit(text),
            Json::Array(items) => items.iter().for_each(|item| item.texts(visit)),
            Json::Object(members) => members.iter().for_each(|(name, value)| {
                visit(name);
                value.texts(visit);
            }),
        }
    }

    fn write(&self, out: &mut Vec<u8>, sorted: bool) {
        match self {
            Json::Null => out.extend(b"null"),
            Json::Bool(value) => out.extend(if *value { &b"true"[..] } else { b"false" }),
            Json::Number(text) => out.extend(text.bytes()),
            Json::Deep(text) => json::compact(text, out),
            Json::Text(text) => quote(text, out),
            Json::Array(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    out.extend(if index > 0 { &b","[..] } else { b"" });
                    item.write(out, sorted);
                }
                out.push(b']');
            }
            Json::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if sorted {
                    members.sort_by(|a, b| a.0.cmp(&b.0));
                }
                out.push(b'{');
                for (index, (name, value)) in members.into_iter().enumerate() {
                    out.extend(if index > 0 { &b","[..] } else { b"" });
                    quote(name, out);
                    out.push(b':');
                    value.write(out, sorted);
                }
                out.push(b'}');
            }
        }
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Json::Null, Json::Null) => true,
            (Json::Bool(a), Json::Bool(b)) => a == b,
            (Json::Number(a), Json::Number(b)) | (Json::Text(a), Json::Text(b)) => a == b,
            (Json::Array(a), Json::Array(b)) => a == b,
            (Json::Object(a), Json::Object(b)) if a.len() == b.len() => {
                a.iter().all(|member| b.contains(member)) && b.iter().all(|member| a.contains(member))
            }
            (Json::Deep(_), Json::Deep(_)) => self.canonical() == other.canonical(),
            _ => false,
        }
    }
}

impl Eq for Json {}

/// Compact JSON text, members as they were written.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write(&mut out, false);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

/// Half a surrogate pair cannot be decoded: the text stays as it is.
fn decoded(raw: &str) -> String {
    json::text(raw).map_or_else(|_| raw.to_owned(), |text| text.into_owned())
}

fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    json::escape(text, out);
    out.push(b'"');
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && json::parse(text).is_ok_and(|raw| raw.get() == text)
}

/// What a record has for a key, or for a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A keyless record; a tombstone.
    Absent,
    Json(Json),
    /// Bytes that are no JSON.
    Other(Vec<u8>),
}

impl Content {
    pub fn of(bytes: Option<&[u8]>) -> Self {
        let Some(bytes) = bytes else { return Content::Absent };
        let json = std::str::from_utf8(bytes).ok().and_then(Json::parse);
        json.map_or_else(|| Content::Other(bytes.to_owned()), Content::Json)
    }

    /// The same for equal contents, and for no others.
    pub fn canonical(&self) -> String {
        match self {
            Content::Absent => String::new(),
            Content::Json(json) => json.canonical(),
            Content::Other(bytes) => format!("bytes {bytes:?}"),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Absent => f.write_str("(none)"),
            Content::Json(json) => json.fmt(f),
            Content::Other(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
        }
    }
}

/// Bytes as they stand in a YAML node: a mapping or a list is JSON text, a scalar its own bytes, nothing is nothing.
pub(in crate::topology) fn bytes_of(node: &Node) -> Option<Vec<u8>> {
    match &node.value {
        _ if node.is_blank() => None,
        Value::Scalar { text, .. } => Some(text.clone().into_bytes()),
        _ => Some(Json::of_yaml(node).to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::yaml;

    fn of_yaml(text: &str) -> Json {
        let root = yaml::parse(text, 0).root;
        root.map_or(Json::Null, |node| Json::of_yaml(&node))
    }

    #[test]
    fn yaml_becomes_json_and_keeps_its_numbers() {
        for (yaml, json) in [
            ("1.10", "1.10"),
            ("-0", "-0"),
            ("12345678901234567890.123456789", "12345678901234567890.123456789"),
            ("1e3", "1e3"),
            ("'1'", "\"1\""),
            ("007", "\"007\""),
            ("+1", "\"+1\""),
            (".5", "\".5\""),
            ("1.", "\"1.\""),
            ("0x1F", "\"0x1F\""),
            ("yes", "\"yes\""),
            ("True", "true"),
            ("false", "false"),
            ("~", "null"),
            ("2026-11-20", "\"2026-11-20\""),
            ("-", "[null]"),
            ("a\"b", "\"a\\\"b\""),
            ("[1, b, {c: [], d: {}}]", "[1,\"b\",{\"c\":[],\"d\":{}}]"),
            ("{\"id\":1,\"a\":\"x\"}", "{\"id\":1,\"a\":\"x\"}"),
        ] {
            assert_eq!(of_yaml(yaml).to_string(), json, "{yaml}");
            assert_eq!(Json::parse(json), Some(of_yaml(yaml)), "{json}");
        }
    }

    #[test]
    fn values_are_equal_but_for_order_and_spelling() {
        let parse = |text: &str| Json::parse(text).unwrap_or_else(|| panic!("{text}"));
        for (a, b, same) in [
            (r#"{"a":1,"b":[2,{"c":3,"d":4}]}"#, r#" { "b" : [2,{"d":4,"c":3}], "a":1 }"#, true),
            (r#""\u00e9\/""#, r#""é/""#, true),
            ("1.10", "1.1", false),
            ("1", "1.0", false),
            ("1e2", "100", false),
            ("1", "\"1\"", false),
            ("null", "\"null\"", false),
            ("[1,2]", "[2,1]", false),
            ("{\"a\":null}", "{}", false),
            ("9007199254740993", "9007199254740992", false),
        ] {
            assert_eq!(parse(a) == parse(b), same, "{a} {b}");
        }
        for text in ["", "{", "1 2", "abc", "01"] {
            assert_eq!(Json::parse(text).map(|json| json.to_string()), None, "{text}");
        }
    }

    #[test]
    fn depth_does_no_harm() {
        let nested = "[".repeat(200_000) + &"]".repeat(200_000);
        let json = Json::parse(&nested);
        assert_eq!(json.map(|json| json.to_string()), Some(nested));
    }

    #[test]
    fn contents() {
        for (bytes, canonical, shown) in [
            (None, "", "(none)"),
            (Some(&b"null"[..]), "null", "null"),
            (Some(b"{\"b\":1, \"a\":2}"), "{\"a\":2,\"b\":1}", "{\"b\":1,\"a\":2}"),
            (Some(b"abc"), "bytes [97, 98, 99]", "abc"),
            (Some(b""), "bytes []", ""),
        ] {
            let content = Content::of(bytes);
            assert_eq!((content.canonical(), content.to_string()), (canonical.into(), shown.into()));
        }
    }
}
