//! Small tools over raw JSON text.
//!
//! Text is validated once, by serde_json ([`parse`]); everything else here walks text that passed. No value tree is
//! built and nothing recurses, so neither size nor depth of a value can exhaust the stack, and what is not rewritten
//! keeps its bytes. No message holds a byte of the text.

use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use super::{BadRecord, Reason};

/// Checks UTF-8 for a whole value at once.
pub fn utf8(bytes: &[u8]) -> Result<&str, BadRecord> {
    std::str::from_utf8(bytes)
        .map_err(|e| BadRecord::new(Reason::NotJson, format!("not UTF-8 from byte {} on", e.valid_up_to())))
}

/// Validates text as exactly one JSON value, without surrounding whitespace in the result.
pub fn parse(text: &str) -> Result<&RawValue, BadRecord> {
    serde_json::from_str(text).map_err(|e| not_json(&e))
}

/// serde_json's own messages may quote the input, so only the position is kept.
pub fn not_json(error: &serde_json::Error) -> BadRecord {
    let what = if error.is_eof() { "JSON ends early" } else { "not JSON" };
    BadRecord::new(Reason::NotJson, format!("{what} at line {}, column {}", error.line(), error.column()))
}

/// The type of a value, as its first byte tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Array,
    Object,
}

impl Kind {
    pub fn of(value: &str) -> Kind {
        match value.as_bytes().first() {
            Some(b'"') => Kind::Text,
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::Text => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        })
    }
}

/// One member of an object, or one element of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// The name's text between its quotes, escapes as they stand. Empty for elements and where the caller knows it.
    pub name: &'a str,
    pub value: &'a str,
    /// Where the member begins (its opening quote) and ends, in bytes of the object's text.
    pub start: usize,
    pub end: usize,
}

impl Member<'_> {
    /// However its name is written.
    pub fn is_named(&self, name: &str) -> bool {
        text(self.name).is_ok_and(|own| own == name)
    }
}

/// Walks the members of a validated object, or the elements of a validated array, in their order.
#[inline]
pub fn members(text: &str) -> Members<'_> {
    Members { text, at: 1, named: text.starts_with('{') }
}

pub struct Members<'a> {
    text: &'a str,
    at: usize,
    named: bool,
}

impl<'a> Members<'a> {
    /// The value of the next member, if its text begins with exactly `head` (`"name":`), which saves reading the name.
    /// Moves on only then.
    #[inline]
    pub fn next_if(&mut self, head: &str) -> Option<Member<'a>> {
        let bytes = self.text.as_bytes();
        let start = if bytes.get(self.at) == Some(&b',') { self.at + 1 } else { self.at };
        let value = start + head.len();
        if bytes.get(start..value) != Some(head.as_bytes()) {
            return None;
        }
        // Finds no end where a blank stands before the value, so that such a member is left to `next`.
        let end = value_end(bytes, value)?;
        self.at = end;
        Some(Member { name: "", value: self.text.get(value..end)?, start, end })
    }

    fn member(&self, start: usize) -> Option<Member<'a>> {
        let bytes = self.text.as_bytes();
        let mut value = start;
        let mut name = "";
        if self.named {
            let close = closing_quote(bytes, start + 1)?;
            name = self.text.get(start + 1..close)?;
            let colon = blanks(bytes, close + 1);
            if bytes.get(colon) != Some(&b':') {
                return None;
            }
            value = blanks(bytes, colon + 1);
        }
        let end = value_end(bytes, value)?;
        Some(Member { name, value: self.text.get(value..end)?, start, end })
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, BadRecord>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        let mut start = blanks(bytes, self.at);
        match bytes.get(start) {
            Some(b'}' | b']') => return None,
            Some(b',') => start = blanks(bytes, start + 1),
            _ => {}
        }
        // Validated text always has a member here. Should it ever not, the record must not pass half read.
        let member = self.member(start);
        self.at = member.as_ref().map_or(self.at, |member| member.end);
        Some(member.ok_or_else(|| BadRecord::new(Reason::NotJson, format!("broken JSON at byte {start}"))))
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[inline]
fn blanks(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|b| is_blank(*b)) {
        at += 1;
    }
    at
}

/// The index of the quote that closes the string whose text begins at `at`.
#[inline]
fn closing_quote(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = quote_or_escape(bytes, at)?;
        match bytes.get(at)? {
            b'"' => return Some(at),
            _ => at += 2,
        }
    }
}

/// The index of the next quote or backslash. Most strings are short: eight bytes at a time beat the set-up of a vector
/// search, which takes over for long ones.
#[inline]
fn quote_or_escape(bytes: &[u8], mut at: usize) -> Option<usize> {
    const SHORT: usize = 32;
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    /// The high bit of every byte that is zero, and maybe of some after the first such.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGHS
    }
    let far = at.saturating_add(SHORT);
    while at < far {
        let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) else { break };
        let word = u64::from_le_bytes(*chunk);
        let hits = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr::memchr2(b'"', b'\\', bytes.get(at..)?).map(|step| at + step)
}

/// One past the last byte of the value that begins at `at`.
#[inline]
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => closing_quote(bytes, at + 1).map(|quote| quote + 1),
        b'{' | b'[' => nested_end(bytes, at),
        _ => {
            let rest = bytes.get(at..)?;
            let length = rest.iter().position(|b| matches!(b, b',' | b'}' | b']') || is_blank(*b));
            Some(at + length.unwrap_or(rest.len())).filter(|end| *end > at)
        }
    }
}

fn nested_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = closing_quote(bytes, at + 1)?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// A string escape names half a surrogate pair: JSON by its grammar, but text that UTF-8 cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoneSurrogate;

/// A string value's text between its quotes; None for other types.
pub fn quoted(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

/// Decodes the text between a string's quotes; borrowed where it has no escapes.
pub fn text(raw: &str) -> Result<Cow<'_, str>, LoneSurrogate> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = String::with_capacity(raw.len());
    unescape(raw, &mut out)?;
    Ok(Cow::Owned(out))
}

/// Of text that cannot be decoded; `place` is where it stands.
pub fn half_a_pair(place: &str) -> BadRecord {
    BadRecord::new(Reason::NotJson, format!("{} holds half a surrogate pair", shown(place)))
}

/// Appends the decoded text of `raw`, the text between a string's quotes.
pub fn unescape(raw: &str, out: &mut String) -> Result<(), LoneSurrogate> {
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = escape.chars();
        out.push(match chars.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let (decoded, tail) = unicode(chars.as_str()).ok_or(LoneSurrogate)?;
                chars = tail.chars();
                decoded
            }
            Some(same) => same,
            None => return Err(LoneSurrogate),
        });
        rest = chars.as_str();
    }
    out.push_str(rest);
    Ok(())
}

/// The character of `XXXX` or of `XXXX\uXXXX`, and what follows it.
fn unicode(digits: &str) -> Option<(char, &str)> {
    let (first, rest) = unit(digits)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, rest));
    }
    let (second, rest) = unit(rest.strip_prefix("\\u")?)?;
    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + low)?, rest))
}

fn unit(digits: &str) -> Option<(u32, &str)> {
    let (digits, rest) = digits.split_at_checked(4)?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

/// Appends `text` as it stands between the quotes of a JSON string.
pub fn escape(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0..0x20 => {
                out.extend(b"\\u00");
                hex(&[byte], out);
            }
            _ => out.push(byte),
        }
    }
}

/// A name as messages show it: quoted, escaped, and cut where it is absurdly long.
pub fn shown(name: &str) -> String {
    const LONGEST: usize = 64;
    match name.char_indices().nth(LONGEST).and_then(|(at, _)| name.get(..at)) {
        Some(cut) => format!("`{}…`", cut.escape_debug()),
        None => format!("`{}`", name.escape_debug()),
    }
}

/// Appends lower-case hex.
pub fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

/// Appends a validated value without its insignificant whitespace.
pub fn compact(value: &str, out: &mut Vec<u8>) {
    let bytes = value.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let end = match byte {
            b'"' => closing_quote(bytes, at + 1).map_or(bytes.len(), |quote| quote + 1),
            _ => at + 1,
        };
        if !is_blank(*byte) {
            out.extend_from_slice(bytes.get(at..end).unwrap_or_default());
        }
        at = end;
    }
}

/// The names met so far in one object, to find those that come twice. Does not allocate for the usual few.
#[derive(Default)]
pub struct Names<'a> {
    /// One bit per name, so that most new names are seen to be new without a comparison.
    filter: u64,
    few: [&'a str; 16],
    count: usize,
    more: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    /// False: the (decoded) name was there before.
    pub fn insert(&mut self, name: Cow<'a, str>) -> bool {
        let ends = [name.as_bytes().first(), name.as_bytes().last()].map(|b| b.copied().unwrap_or(0) as usize);
        let bit = 1 << ((name.len() + 7 * ends[0] + 29 * ends[1]) % 64);
        if self.filter & bit != 0 && self.contains(&name) {
            return false;
        }
        self.filter |= bit;
        match (name, self.few.get_mut(self.count)) {
            (Cow::Borrowed(name), Some(free)) => {
                *free = name;
                self.count += 1;
            }
            (name, _) => {
                self.more.insert(name);
            }
        }
        true
    }

    pub fn contains(&self, name: &str) -> bool {
        self.few.iter().take(self.count).any(|few| *few == name) || self.more.contains(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.few.iter().take(self.count).copied().chain(self.more.iter().map(|name| &**name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn walk(text: &str) -> Vec<(&str, &str)> {
        members(parse(text).unwrap().get()).map(|m| m.map(|m| (m.name, m.value)).unwrap()).collect()
    }

    #[test]
    fn walks_members_and_elements() {
        assert_eq!(walk("{}"), []);
        assert_eq!(walk(" [ ] "), []);
        assert_eq!(walk(r#"{"a":1}"#), [("a", "1")]);
        assert_eq!(
            walk("{ \"a\" : -1.5e3 ,\n\t\"b\\\"\":\"x,}\\\\\" , \"\":{\"a\":[\"}\",{}]},\"ü\" : [1,2] ,\"n\":null }"),
            [("a", "-1.5e3"), ("b\\\"", r#""x,}\\""#), ("", r#"{"a":["}",{}]}"#), ("ü", "[1,2]"), ("n", "null")]
        );
        assert_eq!(walk(r#"[1, "a\"]", [[]], true ]"#), [("", "1"), ("", r#""a\"]""#), ("", "[[]]"), ("", "true")]);
        let long = format!(r#"{{"a":"{0}\\\"{0}","b":2}}"#, "x".repeat(40));
        assert_eq!(walk(&long)[1], ("b", "2"));
    }

    #[test]
    fn member_bounds_cut_the_object() {
        let text = r#"{ "a" : 1 , "b":"x" }"#;
        let cut: Vec<_> = members(text).map(|m| m.map(|m| &text[m.start..m.end]).unwrap()).collect();
        assert_eq!(cut, [r#""a" : 1"#, r#""b":"x""#]);
    }

    #[test]
    fn a_known_head_is_skipped_and_others_are_left() {
        let text = r#"{"a":1,"ab" :2,"c": 3,"d":[4]}"#;
        let mut walk = members(text);
        assert_eq!(walk.next_if("\"ab\":"), None);
        let first = walk.next_if("\"a\":").unwrap();
        assert_eq!((first.value, &text[first.start..first.end]), ("1", r#""a":1"#));
        assert_eq!(walk.next_if("\"ab\":"), None, "blank before the colon");
        assert_eq!(walk.next().unwrap().unwrap().name, "ab");
        assert_eq!(walk.next_if("\"c\":"), None, "blank before the value");
        assert_eq!(walk.next().unwrap().unwrap().value, "3");
        assert_eq!(walk.next_if("\"d\":").unwrap().value, "[4]");
        assert_eq!((walk.next_if("\"d\":"), walk.next()), (None, None));
        assert_eq!(members("{}").next_if("\"a\":"), None);
    }

    #[test]
    fn strings_of_every_length_end_where_they_end() {
        for length in 0..80 {
            for escape in 0..length {
                let text = "é".repeat(length - escape) + "\\\"" + &"\u{a2}\u{dc}".repeat(escape);
                let object = format!("{{\"a\":\"{text}\",\"b\":\"{text}\"}}");
                assert_eq!(walk(&object)[1].1, format!("\"{text}\""));
            }
        }
    }

    /// Walking text that was never validated may fail, but must end and must not panic.
    #[test]
    fn broken_text_is_an_error_and_never_a_silent_end() {
        for text in
            ["{", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":\"", "{\"a\":[", "{\"a\":1", "{\"a\" 1}", "{,}", "[", "[1"]
        {
            assert!(members(text).take(9).any(|m| m.is_err()), "{text}");
        }
    }

    #[test]
    fn unescapes_like_serde_json() {
        for raw in [
            "",
            "plain",
            r#"a\"b\\c\/d\b\f\n\r\t"#,
            r"\u0041\u00e9\u4e2d",
            r"x\uD83D\uDE00y\ud83d\ude00",
            r"\u0000\u001f\uffff",
            "李\\n小龍",
        ] {
            let expected: String = serde_json::from_str(&format!("\"{raw}\"")).unwrap();
            assert_eq!(text(raw).unwrap(), expected, "{raw}");
        }
        for raw in [
            r"\ud83d",
            r"\ud83dx",
            r"\ude00",
            r"\ud83d\ud83d",
            r"\ud83d\n",
            r"a\udfff",
            r"\ud83d\u0041",
            r"\ud83d\ue000",
        ] {
            parse(&format!("\"{raw}\"")).expect("raw text is not checked for surrogates");
            assert_eq!(text(raw), Err(LoneSurrogate), "{raw}");
        }
    }

    #[test]
    fn escapes_so_that_serde_json_reads_it_back() {
        for plain in ["", "a\"b\\c/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}", "李小龍 😀 \u{2028}"] {
            let mut out = vec![b'"'];
            escape(plain, &mut out);
            out.push(b'"');
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), plain);
        }
    }

    #[test]
    fn compacts_outside_of_strings_only() {
        let mut out = Vec::new();
        compact("{ \"a b\" : [ 1 ,\n\t\"x \\\" y\" , { } ] }", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "{\"a b\":[1,\"x \\\" y\",{}]}");
    }

    #[test]
    fn depth_does_not_matter() {
        let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert_eq!(members(parse(&deep).unwrap().get()).count(), 1);
        let mut out = Vec::new();
        compact(&deep, &mut out);
        assert_eq!(out, deep.as_bytes());
        assert_eq!(parse(&deep[..1 << 20]).unwrap_err().reason, Reason::NotJson);
    }

    #[test]
    fn finds_every_second_name() {
        for count in [1usize, 3, 16, 17, 40, 1000] {
            let mut names = Names::default();
            let all: Vec<String> = (0..count).map(|i| format!("c{i}")).collect();
            assert!(all.iter().all(|n| names.insert(Cow::Borrowed(n))));
            assert!(all.iter().all(|n| !names.insert(Cow::Owned(n.clone()))));
            assert_eq!(names.iter().count(), count);
        }
        let mut names = Names::default();
        assert!(names.insert(text(r"a\u0062").unwrap()));
        assert!(!names.insert(Cow::Borrowed("ab")));
    }

    #[test]
    fn messages_hold_no_bytes_of_the_text() {
        for text in ["{\"a\":secret}", "\"secret", "{\"secret\":1}}", "nullsecret", "{\"a\" \"secret\"}"] {
            let bad = parse(text).unwrap_err();
            assert!(bad.reason == Reason::NotJson && !bad.detail.contains("secret"), "{bad}");
        }
        assert_eq!(utf8(b"secret\xff").unwrap_err().detail, "not UTF-8 from byte 6 on");
    }

    /// The walker against a parser of its own kind, on generated objects.
    #[test]
    fn agrees_with_serde_json_on_generated_objects() {
        let mut seed = 7u64;
        let mut next = move |n: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % n
        };
        let atoms = [
            "1",
            "-0.5E+3",
            "true",
            "null",
            "\"\"",
            "\"a\\\"]},{\"",
            "\"\\\\\"",
            "[ ]",
            "{ }",
            "\"😀 long long long\"",
        ];
        for _ in 0..2000 {
            let mut text = String::from("{");
            for i in 0..next(6) {
                let mut value = atoms[next(10) as usize].to_string();
                for _ in 0..next(4) {
                    let other = atoms[next(10) as usize];
                    let blank = [" ", "", "\n"][next(3) as usize];
                    value = match next(2) {
                        0 => format!("[{value}{blank},{other}]"),
                        _ => format!("{{\"k\\n\":{blank}{value},\"m\":{other}{blank}}}"),
                    };
                }
                let comma = if i == 0 { "" } else { " ," };
                text += &format!("{comma} \"c{i}\" : {value}");
            }
            text += " }";
            let tree: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
            let walked = walk(&text);
            assert_eq!(walked.len(), tree.len());
            for (name, value) in walked {
                assert_eq!(tree[name], serde_json::from_str::<Value>(value).unwrap());
            }
        }
    }
}
