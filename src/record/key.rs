//! The record key: which row a change belongs to.

use serde_json::value::RawValue;
use std::borrow::Cow;

use super::json::{self, Kind};
use super::{BadRecord, Reason};

/// The object that holds the key's columns: the key itself, or the payload of `{"schema":…,"payload":{…}}`.
///
/// Only exactly these two fields make a schema envelope. A key that has further columns, whose `payload` is no object
/// or whose `schema` is neither an object nor null is a row's key that happens to use these names.
pub fn payload(key: &[u8]) -> Result<&RawValue, BadRecord> {
    let whole = json::utf8(key).and_then(json::parse).map_err(|bad| malformed(bad.detail))?;
    if Kind::of(whole.get()) != Kind::Object {
        return Err(malformed(format!("the key is {}, not an object of columns", Kind::of(whole.get()))));
    }
    let (mut schema, mut payload) = (false, None);
    for member in json::members(whole.get()) {
        let member = member.map_err(|bad| malformed(bad.detail))?;
        match (&*name(member.name)?, Kind::of(member.value)) {
            ("schema", Kind::Object | Kind::Null) if !schema => schema = true,
            ("payload", Kind::Object) if payload.is_none() => payload = Some(member.value),
            _ => return Ok(whole),
        }
    }
    match (schema, payload) {
        (true, Some(payload)) => json::parse(payload).map_err(|bad| malformed(bad.detail)),
        _ => Ok(whole),
    }
}

/// Writes the key's canonical form into `out` (cleared first): the payload's columns sorted by name, whitespace and
/// escapes normalised, so that one row keeps one digest when `schemas.enable` is switched or a converter spells a
/// string differently. Numbers keep their text.
///
/// Per column: length of the name (u32, little endian), name, `s` (a string, decoded) or `j` (any other JSON, compact),
/// length of the value, value. Lengths make it injective: two different keys never share a form. A key without columns
/// names no row and is refused, because all rows would share it.
pub fn canonical(key: &[u8], out: &mut Vec<u8>) -> Result<(), BadRecord> {
    out.clear();
    let object = payload(key)?;
    let mut columns = Vec::new();
    let mut members = json::members(object.get()).peekable();
    while let Some(member) = members.next() {
        let member = member.map_err(|bad| malformed(bad.detail))?;
        let name = name(member.name)?;
        if columns.is_empty() && members.peek().is_none() {
            return column(&name, member.value, out);
        }
        columns.push((name, member.value));
    }
    columns.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let twice = columns.windows(2).find_map(|pair| match pair {
        [a, b] if a.0 == b.0 => Some(&a.0),
        _ => None,
    });
    if let Some(name) = twice {
        return Err(malformed(format!("the key names {} twice", json::shown(name))));
    }
    if columns.is_empty() {
        return Err(malformed("the key has no columns"));
    }
    columns.iter().try_for_each(|(name, value)| column(name, value, out))
}

fn column(name: &str, value: &str, out: &mut Vec<u8>) -> Result<(), BadRecord> {
    sized(out, |out| out.extend_from_slice(name.as_bytes()))?;
    match json::quoted(value) {
        Some(raw) => {
            let text = json::text(raw).map_err(|_| surrogate())?;
            out.push(b's');
            sized(out, |out| out.extend_from_slice(text.as_bytes()))
        }
        None => {
            out.push(b'j');
            sized(out, |out| json::compact(value, out))
        }
    }
}

/// Writes the length of what `write` appends, then that.
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), BadRecord> {
    let at = out.len();
    out.extend([0; 4]);
    write(out);
    let length = u32::try_from(out.len() - at - 4).map_err(|_| malformed("the key is larger than 4 GiB"))?;
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    Ok(())
}

fn name(raw: &str) -> Result<Cow<'_, str>, BadRecord> {
    json::text(raw).map_err(|_| surrogate())
}

fn surrogate() -> BadRecord {
    malformed("the key holds half a surrogate pair")
}

fn malformed(detail: impl Into<String>) -> BadRecord {
    BadRecord::new(Reason::MalformedKey, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(key: &str) -> Vec<u8> {
        let mut out = b"left over".to_vec();
        canonical(key.as_bytes(), &mut out).unwrap_or_else(|bad| panic!("{key}: {bad}"));
        out
    }

    #[test]
    fn spellings_of_one_key_share_a_form() {
        for same in [
            &[r#"{"id":1}"#, r#" { "id" : 1 } "#, r#"{"i\u0064":1}"#, r#"{"schema":{"a":[{}]},"payload":{"id":1}}"#][..],
            &[r#"{"payload":{"id":1},"schema":null}"#, r#"{"id":1}"#, r#"{"schema":null,"\u0070ayload":{"id":1}}"#],
            &[r#"{"a":1,"b":"x"}"#, r#"{"b":"x","a":1}"#, r#"{"\u0062":"\u0078", "a":1}"#],
            &[r#"{"a":"é/\"😀"}"#, r#"{"a":"\u00e9\/\u0022\ud83d\ude00"}"#],
            &[r#"{"a":{"b":[1,null]},"c":true}"#, "{\"c\":true,\"a\":{ \"b\" :\n[1, null]}}"],
        ] {
            assert!(same.iter().all(|key| form(key) == form(same[0])), "{}", same[0]);
        }
        assert_eq!(form(r#"{"id":1}"#), b"\x02\0\0\0idj\x01\0\0\x001");
        assert_eq!(form(r#"{"b":"","a":null}"#), b"\x01\0\0\0aj\x04\0\0\0null\x01\0\0\0bs\0\0\0\0");
    }

    #[test]
    fn different_keys_differ() {
        let keys = [
            r#"{"id":1}"#,
            r#"{"id":"1"}"#,
            r#"{"id":1.0}"#,
            r#"{"id":null}"#,
            r#"{"id":"null"}"#,
            r#"{"id":true}"#,
            r#"{"id":"true"}"#,
            r#"{"Id":1}"#,
            r#"{"id":1,"b":2}"#,
            r#"{"id":[1]}"#,
            r#"{"id":"[1]"}"#,
            r#"{"i":"d1"}"#,
            r#"{"a":"x","b":"y"}"#,
            r#"{"a":"y","b":"x"}"#,
            r#"{"a":"xb","":"y"}"#,
            r#"{"":"x"}"#,
            // Names of the envelope that are not one.
            r#"{"schema":1,"payload":{"id":1}}"#,
            r#"{"schema":{},"payload":1}"#,
            r#"{"schema":{},"payload":{"id":1},"id":1}"#,
            r#"{"payload":{"id":1}}"#,
            r#"{"schema":{}}"#,
        ];
        let forms: std::collections::HashSet<_> = keys.iter().map(|key| form(key)).collect();
        assert_eq!(forms.len(), keys.len());
    }

    #[test]
    fn what_is_no_key_is_malformed() {
        let deep = format!("{{\"a\":{}", "[".repeat(1 << 20));
        for key in [
            &b""[..],
            b" ",
            b"null",
            b"1",
            b"\"id\"",
            b"[1]",
            b"{}",
            b"{\"schema\":{},\"payload\":{}}",
            b"{\"id\":1} x",
            b"{\"id\":1",
            b"{\"id\":\"\xff\"}",
            b"{\"a\":1,\"a\":1}",
            b"{\"a\":1,\"b\":2,\"\\u0061\":1}",
            b"{\"schema\":{},\"payload\":{\"a\":1,\"a\":2}}",
            b"{\"schema\":{},\"schema\":{},\"payload\":{\"a\":1}}",
            b"{\"a\":\"\\ud83d\"}",
            b"{\"\\ude00\":1}",
            deep.as_bytes(),
        ] {
            let bad = canonical(key, &mut Vec::new()).unwrap_err();
            assert_eq!(bad.reason, Reason::MalformedKey, "{:?}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn depth_does_not_matter() {
        let nested = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
        assert_eq!(form(&format!("{{\"a\":{nested}}}")).len(), 4 + 1 + 1 + 4 + nested.len());
    }
}
