//! A record as a JSON line, in both directions and byte by byte.
//!
//! ```json
//! {"topic":"t","partition":0,"offset":7,"timestamp":1700000000000,"key":"k","value":"v","headers":[["name","value"]]}
//! ```
//! A key or value is a string (its bytes in UTF-8) or `null`; other bytes are `key_base64` and `value_base64` instead.
//! A header's value is a string, `null`, or `{"base64": "…"}`; headers are left out where there are none.
//!
//! Only `value` must be there when a line is read. A key or value that is an object, an array, a number or a boolean
//! means its own JSON text, as it stands. Headers may be an object, too. `offset` is not looked at.
//! Messages hold names of fields and never a value: it may be personal.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT};
use serde_json::value::RawValue;

use super::{Header, Told};
use crate::record::Record;
use crate::record::json::{self, Kind};
use crate::topology::nearest;

const FIELDS: [&str; 9] =
    ["topic", "partition", "offset", "timestamp", "key", "key_base64", "value", "value_base64", "headers"];

/// The record of a line; None where it is blank.
pub fn parse<'a>(line: &'a [u8], topic: &str) -> Result<Option<Told<'a>>, String> {
    let text = std::str::from_utf8(line).map_err(|e| {
        let at = e.valid_up_to();
        format!("not UTF-8 from byte {at} on; other bytes go into `key_base64` and `value_base64`")
    })?;
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    let object: &RawValue = serde_json::from_str(text).map_err(|e| {
        let what = if e.is_eof() { "the JSON ends early" } else { "not JSON" };
        format!("{what} at column {}", e.column())
    })?;
    let object = object.get();
    if Kind::of(object) != Kind::Object {
        return Err(format!("expected an object, found {}", Kind::of(object)));
    }
    let mut fields: [Option<&str>; FIELDS.len()] = [None; FIELDS.len()];
    for member in json::members(object) {
        let member = member.map_err(|e| e.detail)?;
        let name = json::text(member.name).map_err(|_| HALF.to_string())?;
        let slot = FIELDS.iter().position(|known| *known == name).ok_or_else(|| unknown(&name))?;
        if fields[slot].replace(member.value).is_some() {
            return Err(format!("`{name}` stands there twice"));
        }
    }
    let [told_topic, partition, _, timestamp, key, key_base64, value, value_base64, headers] = fields;
    check_topic(told_topic, topic)?;
    if value.is_none() && value_base64.is_none() {
        return Err("`value` is missing; a tombstone is `\"value\": null`".into());
    }
    Ok(Some(Told {
        partition: number(partition, "partition", "a number from 0 on", |n| i32::try_from(n).is_ok_and(|n| n >= 0))?
            .map(|n| n as i32),
        // The Kafka client takes 0 for "now".
        timestamp: number(timestamp, "timestamp", "milliseconds since 1970, from 1 on", |n| n > 0)?,
        key: bytes(["key", "key_base64"], key, key_base64)?,
        value: bytes(["value", "value_base64"], value, value_base64)?,
        headers: headers.map_or(Ok(Vec::new()), read_headers)?,
    }))
}

const HALF: &str = "a string escape is half of a surrogate pair";

fn unknown(name: &str) -> String {
    match nearest(name, FIELDS.into_iter()) {
        Some(known) => format!("unknown field {}, did you mean `{known}`?", json::shown(name)),
        None => format!("unknown field {}, known are {}", json::shown(name), FIELDS.join(", ")),
    }
}

fn check_topic(told: Option<&str>, topic: &str) -> Result<(), String> {
    let Some(told) = told.filter(|told| Kind::of(told) != Kind::Null) else { return Ok(()) };
    match json::quoted(told).map(json::text) {
        Some(Ok(name)) if name == topic => Ok(()),
        Some(Ok(name)) => Err(format!(
            "the record is one of topic {}, this is {topic}; `jq -c 'del(.topic)'` makes it anyone's",
            json::shown(&name)
        )),
        _ => Err("`topic` must be a string".into()),
    }
}

/// An integer, or nothing where the field is null or not there.
fn number(told: Option<&str>, name: &str, what: &str, fits: fn(i64) -> bool) -> Result<Option<i64>, String> {
    match told {
        None | Some("null") => Ok(None),
        Some(text) => match text.parse().ok().filter(|n| fits(*n)) {
            Some(n) => Ok(Some(n)),
            None => Err(format!("`{name}` must be {what}")),
        },
    }
}

/// A key or value, from one of its two fields.
fn bytes<'a>(
    [name, coded_name]: [&str; 2],
    plain: Option<&'a str>,
    coded: Option<&'a str>,
) -> Result<Option<Cow<'a, [u8]>>, String> {
    match (plain, coded) {
        (Some(_), Some(_)) => Err(format!("`{name}` and `{coded_name}` exclude each other")),
        (None, None) | (Some("null"), None) => Ok(None),
        (None, Some(coded)) => decode(coded).map(Some).map_err(|e| format!("`{coded_name}` {e}")),
        (Some(plain), None) => match json::quoted(plain) {
            Some(raw) => string(raw).map(Some).map_err(|e| format!("`{name}`: {e}")),
            None => Ok(Some(Cow::Borrowed(plain.as_bytes()))),
        },
    }
}

fn string(raw: &str) -> Result<Cow<'_, [u8]>, String> {
    match json::text(raw) {
        Ok(Cow::Borrowed(text)) => Ok(Cow::Borrowed(text.as_bytes())),
        Ok(Cow::Owned(text)) => Ok(Cow::Owned(text.into_bytes())),
        Err(_) => Err(HALF.into()),
    }
}

fn decode(value: &str) -> Result<Cow<'_, [u8]>, String> {
    let raw = json::quoted(value).ok_or("must be a string")?;
    let text = json::text(raw).map_err(|_| "is not base64")?;
    STANDARD_PAD_INDIFFERENT.decode(text.as_bytes()).map(Cow::Owned).map_err(|_| "is not base64".into())
}

const HEADERS: &str = "`headers` must be an object, or a list of [name, value]";

fn read_headers(value: &str) -> Result<Vec<Header<'_>>, String> {
    let mut headers = Vec::new();
    match Kind::of(value) {
        Kind::Null => {}
        Kind::Object => {
            for member in json::members(value) {
                let member = member.map_err(|e| e.detail)?;
                headers.push(header(member.name, member.value)?);
            }
        }
        Kind::Array => {
            for pair in json::members(value) {
                let pair = pair.map_err(|e| e.detail)?.value;
                if Kind::of(pair) != Kind::Array {
                    return Err(HEADERS.into());
                }
                let parts: Vec<&str> = json::members(pair)
                    .map(|part| part.map(|part| part.value))
                    .collect::<Result<_, _>>()
                    .map_err(|e| e.detail)?;
                let [name, value] = parts[..] else { return Err(HEADERS.into()) };
                headers.push(header(json::quoted(name).ok_or(HEADERS)?, value)?);
            }
        }
        _ => return Err(HEADERS.into()),
    }
    Ok(headers)
}

fn header<'a>(name: &'a str, value: &'a str) -> Result<Header<'a>, String> {
    let name = json::text(name).map_err(|_| HALF.to_string())?;
    if name.contains('\0') {
        return Err("the Kafka client takes no header whose name holds a zero byte".into());
    }
    let faulty = |why: &str| format!("header {} {why}", json::shown(&name));
    let value = match Kind::of(value) {
        Kind::Null => None,
        Kind::Text => Some(string(json::quoted(value).unwrap_or_default()).map_err(|e| faulty(&format!(": {e}")))?),
        Kind::Object => {
            let mut members = json::members(value);
            match (members.next(), members.next()) {
                (Some(Ok(member)), None) if member.name == "base64" => {
                    Some(decode(member.value).map_err(|e| faulty(&format!("{e} (its `base64`)")))?)
                }
                _ => return Err(faulty(HEADER)),
            }
        }
        _ => return Err(faulty(HEADER)),
    };
    Ok((name, value))
}

const HEADER: &str = "must be a string, null or {\"base64\": \"…\"}";

/// Appends the record, without a line break.
pub fn write(record: &Record<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"topic\":");
    write_text(record.topic, out);
    // Writing to memory does not fail.
    let _ = write!(out, ",\"partition\":{},\"offset\":{}", record.partition, record.offset);
    if let Some(timestamp) = record.timestamp {
        let _ = write!(out, ",\"timestamp\":{timestamp}");
    }
    write_field("key", record.key, out);
    write_field("value", record.value, out);
    let mut any = false;
    record.headers.each(&mut |name, value| {
        out.extend_from_slice(if any { b",[" } else { b",\"headers\":[[" });
        any = true;
        write_text(name, out);
        out.push(b',');
        match value.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
            None => out.extend_from_slice(b"null"),
            Some((_, Ok(text))) => write_text(text, out),
            Some((bytes, Err(_))) => {
                out.extend_from_slice(b"{\"base64\":");
                write_coded(bytes, out);
                out.push(b'}');
            }
        }
        out.push(b']');
    });
    if any {
        out.push(b']');
    }
    out.push(b'}');
}

fn write_field(name: &str, value: Option<&[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    match value.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => out.extend_from_slice(b"\":null"),
        Some((_, Ok(text))) => {
            out.extend_from_slice(b"\":");
            write_text(text, out);
        }
        Some((bytes, Err(_))) => {
            out.extend_from_slice(b"_base64\":");
            write_coded(bytes, out);
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    json::escape(text, out);
    out.push(b'"');
}

fn write_coded(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Headers;

    struct Listed<'a>(Vec<(&'a str, Option<&'a [u8]>)>);

    impl Headers for Listed<'_> {
        fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
            self.0.iter().for_each(|(name, value)| visit(name, *value));
        }
    }

    fn told(line: &str) -> Told<'_> {
        parse(line.as_bytes(), "t").unwrap_or_else(|e| panic!("{line}: {e}")).unwrap_or_else(|| panic!("{line}: blank"))
    }

    fn line(record: &Record<'_>) -> String {
        let mut out = Vec::new();
        write(record, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Empty, null, text of every awkward kind, and bytes that are no text.
    const FIELDS: [Option<&[u8]>; 9] = [
        None,
        Some(b""),
        Some(b"null"),
        Some("Zo\u{eb} \u{1f600} \u{2028}".as_bytes()),
        Some(b"a\tb\nc\rd\0e\x7f\x1b\"\\/"),
        Some(b" { \"a\" : 12345678901234567890.123456789 } "),
        Some(b"\xff\xfe\0"),
        Some(b"half \xc3"),
        Some(b"\xed\xa0\x80"),
    ];

    #[test]
    fn what_is_written_is_read_as_the_same_record() {
        let mut lines = 0;
        for key in FIELDS {
            for value in FIELDS {
                for headers in [vec![], vec![("h", value), ("h", key), ("", None), ("\u{eb}\n\"", Some(&b"x"[..]))]] {
                    let listed = Listed(headers.clone());
                    let (partition, offset, timestamp) = (i32::MAX, i64::MAX, Some(1));
                    let record = Record { topic: "t", partition, offset, timestamp, key, value, headers: &listed };
                    let line = line(&record);
                    assert!(!line.contains('\n'), "{line}");
                    let back = told(&line);
                    assert_eq!((back.key.as_deref(), back.value.as_deref()), (key, value), "{line}");
                    assert_eq!((back.partition, back.timestamp), (Some(partition), timestamp), "{line}");
                    let names: Vec<_> = back.headers.iter().map(|(n, v)| (&**n, v.as_deref())).collect();
                    assert_eq!(names, headers, "{line}");
                    // Anybody's JSON, not only ours.
                    assert!(serde_json::from_str::<serde_json::Value>(&line).unwrap().is_object());
                    lines += 1;
                }
            }
        }
        assert_eq!(lines, 162);
    }

    #[test]
    fn the_form_that_is_written() {
        let listed = Listed(vec![("a", Some(b"x")), ("a", None), ("b", Some(b"\xff"))]);
        let mut record = Record {
            topic: "t",
            partition: 2,
            offset: 7,
            timestamp: Some(1_700_000_000_000),
            key: Some(b"k"),
            value: Some(b"{\"id\":1}"),
            headers: &listed,
        };
        assert_eq!(
            line(&record),
            r#"{"topic":"t","partition":2,"offset":7,"timestamp":1700000000000,"key":"k","value":"{\"id\":1}","headers":[["a","x"],["a",null],["b",{"base64":"/w=="}]]}"#
        );
        let none = crate::record::NoHeaders;
        (record.timestamp, record.key, record.value, record.headers) = (None, None, Some(&b"\xff"[..]), &none);
        assert_eq!(line(&record), r#"{"topic":"t","partition":2,"offset":7,"key":null,"value_base64":"/w=="}"#);
    }

    #[test]
    fn what_people_write() {
        fn values(line: &str) -> (Option<String>, Option<String>) {
            let text = |f: Option<Cow<'_, [u8]>>| f.map(|b| String::from_utf8(b.into_owned()).unwrap());
            let told = told(line);
            (text(told.key), text(told.value))
        }
        for (line, key, value) in [
            (r#"{"value":"v"}"#, None, Some("v")),
            (r#" { "key" : "k" , "value" : null } "#, Some("k"), None),
            ("{\"key\":\"k\",\"value\":\"v\"}\r", Some("k"), Some("v")),
            (
                r#"{"key":{"id": 1},"value":{ "n":12345678901234567890.10, "s":"\u0041" }}"#,
                Some(r#"{"id": 1}"#),
                Some(r#"{ "n":12345678901234567890.10, "s":"\u0041" }"#),
            ),
            (r#"{"key":7,"value":[1, 2]}"#, Some("7"), Some("[1, 2]")),
            (r#"{"key":true,"value":"\u0041\ud83d\ude00\n"}"#, Some("true"), Some("A\u{1f600}\n")),
            (r#"{"k\u0065y":"k","value":""}"#, Some("k"), Some("")),
            (r#"{"key_base64":"YQ==","value_base64":"YmM"}"#, Some("a"), Some("bc")),
            (r#"{"topic":"t","offset":9,"value":"v"}"#, None, Some("v")),
            (r#"{"topic":null,"partition":null,"timestamp":null,"headers":null,"value":"v"}"#, None, Some("v")),
        ] {
            assert_eq!(values(line), (key.map(str::to_string), value.map(str::to_string)), "{line}");
        }
        let headers = |line| -> Vec<(String, Option<Vec<u8>>)> {
            told(line).headers.into_iter().map(|(n, v)| (n.into(), v.map(Cow::into_owned))).collect()
        };
        let want = vec![("a".to_string(), Some(b"1".to_vec())), ("b".to_string(), None)];
        assert_eq!(headers(r#"{"value":"v","headers":{"a":"1","b":null}}"#), want);
        assert_eq!(headers(r#"{"value":"v","headers":[["\u0061",{"base64":"MQ=="}],["b",null]]}"#), want);
        assert_eq!(headers(r#"{"value":"v","headers":{}}"#), []);
        for blank in ["", " ", "\r", "\t \r"] {
            assert_eq!(parse(blank.as_bytes(), "t"), Ok(None), "{blank:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_value_is_shown() {
        for (line, why) in [
            (r#"{"key":"CANARY""#, "the JSON ends early at column 15"),
            (r#"{"key":"CANARY"} x"#, "not JSON at column 18"),
            ("CANARY", "not JSON at column 1"),
            (r#"["CANARY"]"#, "expected an object, found an array"),
            (r#""CANARY""#, "expected an object, found a string"),
            (r#"{"vlaue":"CANARY"}"#, "unknown field `vlaue`, did you mean `value`?"),
            (
                r#"{"x9":"CANARY"}"#,
                "unknown field `x9`, known are topic, partition, offset, timestamp, key, key_base64, value, \
                 value_base64, headers",
            ),
            (r#"{"value":"a","value":"CANARY"}"#, "`value` stands there twice"),
            (r#"{"value":"a","v\u0061lue":"CANARY"}"#, "`value` stands there twice"),
            (r#"{"key":"CANARY"}"#, "`value` is missing; a tombstone is `\"value\": null`"),
            (r#"{"value":"CANARY","value_base64":"YQ=="}"#, "`value` and `value_base64` exclude each other"),
            (r#"{"value":null,"key":null,"key_base64":"YQ=="}"#, "`key` and `key_base64` exclude each other"),
            (r#"{"value_base64":"CANARY!"}"#, "`value_base64` is not base64"),
            (r#"{"value_base64":null}"#, "`value_base64` must be a string"),
            (r#"{"value":"CANARY\ud83d"}"#, "`value`: a string escape is half of a surrogate pair"),
            (r#"{"value":"v","partition":-1}"#, "`partition` must be a number from 0 on"),
            (r#"{"value":"v","partition":1.5}"#, "`partition` must be a number from 0 on"),
            (r#"{"value":"v","partition":2147483648}"#, "`partition` must be a number from 0 on"),
            (r#"{"value":"v","partition":"CANARY"}"#, "`partition` must be a number from 0 on"),
            (r#"{"value":"v","timestamp":0}"#, "`timestamp` must be milliseconds since 1970, from 1 on"),
            (r#"{"value":"v","timestamp":"2026"}"#, "`timestamp` must be milliseconds since 1970, from 1 on"),
            (
                r#"{"value":"v","topic":"u"}"#,
                "the record is one of topic `u`, this is t; `jq -c 'del(.topic)'` makes it anyone's",
            ),
            (r#"{"value":"v","topic":7}"#, "`topic` must be a string"),
            (r#"{"value":"v","headers":"CANARY"}"#, HEADERS),
            (r#"{"value":"v","headers":["CANARY"]}"#, HEADERS),
            (r#"{"value":"v","headers":[["CANARY"]]}"#, HEADERS),
            (r#"{"value":"v","headers":[["a","b","CANARY"]]}"#, HEADERS),
            (r#"{"value":"v","headers":[[1,"CANARY"]]}"#, HEADERS),
            (
                r#"{"value":"v","headers":{"h":{"b":"CANARY"}}}"#,
                "header `h` must be a string, null or {\"base64\": \"…\"}",
            ),
            (r#"{"value":"v","headers":{"h":{}}}"#, "header `h` must be a string, null or {\"base64\": \"…\"}"),
            (r#"{"value":"v","headers":{"h":1}}"#, "header `h` must be a string, null or {\"base64\": \"…\"}"),
            (r#"{"value":"v","headers":{"h":{"base64":"CANARY!"}}}"#, "header `h` is not base64 (its `base64`)"),
            (
                r#"{"value":"v","headers":{"h\u0000":"CANARY"}}"#,
                "the Kafka client takes no header whose name holds a zero byte",
            ),
        ] {
            assert_eq!(parse(line.as_bytes(), "t"), Err(why.to_string()), "{line}");
        }
        let bytes = parse(b"{\"value\":\"\xff\"}", "t").unwrap_err();
        assert!(bytes.starts_with("not UTF-8 from byte 10 on"), "{bytes}");
    }
}
