//! What the rules do to a value. A value under a rule leaves rewritten, as null, as Debezium's placeholder, or not at
//! all: whatever a rule cannot process is a [`BadRecord`], never passed on as it is.

use sha2::{Digest, Sha256};

use super::unavailable::Unavailable;
use crate::record::json::{self, Kind};
use crate::record::{BadRecord, Reason, Secret};

pub(super) struct Values {
    /// SHA-256 with the secret already in it.
    salted: Sha256,
    unavailable: Unavailable,
    /// Buffers that live on between rows.
    text: String,
    nested: Vec<u8>,
}

/// What became of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its replacement was written.
    Rewritten,
    /// Null or the placeholder: nothing was written, it leaves as it came.
    Kept,
}

impl Values {
    pub fn new(secret: Option<&Secret>, unavailable_value: &str) -> Self {
        let salted = Sha256::new().chain_update(secret.map_or(&[][..], Secret::expose));
        Self { salted, unavailable: Unavailable::new(unavailable_value), text: String::new(), nested: Vec::new() }
    }

    /// Strings by their decoded text, numbers and booleans by their JSON text, arrays and objects by their JSON text
    /// without insignificant whitespace.
    pub fn hash(&mut self, column: &str, value: &str, out: &mut Vec<u8>) -> Result<Fate, BadRecord> {
        let hashed = match Kind::of(value) {
            Kind::Null => return Ok(Fate::Kept),
            Kind::Text => {
                let text = decoded(column, value, &mut self.text)?;
                if self.unavailable.is_text(text) {
                    return Ok(Fate::Kept);
                }
                text.as_bytes()
            }
            Kind::Array | Kind::Object => {
                if self.is_unavailable(value) {
                    return Ok(Fate::Kept);
                }
                self.nested.as_slice()
            }
            Kind::Number | Kind::Bool => value.as_bytes(),
        };
        let digest = self.salted.clone().chain_update(hashed).finalize();
        out.push(b'"');
        json::hex(&digest, out);
        out.push(b'"');
        Ok(Fate::Rewritten)
    }

    /// "Ivan Ivanov" → "IvanI."; one word becomes its first character and a full stop, because a whole name must not
    /// leave; blanks become empty. Words end at Unicode whitespace. Only text can be cut, so other types are refused.
    pub fn truncate(&mut self, column: &str, value: &str, out: &mut Vec<u8>) -> Result<Fate, BadRecord> {
        match Kind::of(value) {
            Kind::Null => return Ok(Fate::Kept),
            Kind::Text => {}
            Kind::Array | Kind::Object if self.is_unavailable(value) => return Ok(Fate::Kept),
            kind => {
                let detail = format!("{} is {kind}, which truncate cannot cut", json::shown(column));
                return Err(BadRecord::new(Reason::WrongType, detail));
            }
        }
        let text = decoded(column, value, &mut self.text)?;
        if self.unavailable.is_text(text) {
            return Ok(Fate::Kept);
        }
        let mut words = text.split_whitespace();
        let initial = |word: &'_ str| word.chars().next().map_or(0, char::len_utf8);
        let (name, cut) = match (words.next(), words.next()) {
            (None, _) => ("", ""),
            (Some(only), None) => ("", only.get(..initial(only)).unwrap_or_default()),
            (Some(first), Some(second)) => (first, second.get(..initial(second)).unwrap_or_default()),
        };
        out.push(b'"');
        json::escape(name, out);
        if !cut.is_empty() {
            json::escape(cut, out);
            out.push(b'.');
        }
        out.push(b'"');
        Ok(Fate::Rewritten)
    }

    /// Leaves the value's compact text in `self.nested`.
    fn is_unavailable(&mut self, value: &str) -> bool {
        self.nested.clear();
        json::compact(value, &mut self.nested);
        std::str::from_utf8(&self.nested).is_ok_and(|compact| self.unavailable.is_nested(compact))
    }
}

/// A string value's text; `buffer` is used only where it has escapes.
fn decoded<'a>(column: &str, value: &'a str, buffer: &'a mut String) -> Result<&'a str, BadRecord> {
    let raw = json::quoted(value).unwrap_or_default();
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Ok(raw);
    }
    buffer.clear();
    match json::unescape(raw, buffer) {
        Ok(()) => Ok(buffer),
        Err(_) => {
            let detail = format!("{} holds half a surrogate pair", json::shown(column));
            Err(BadRecord::new(Reason::NotJson, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::UNAVAILABLE_VALUE;
    use super::*;

    fn values() -> Values {
        Values::new(Some(&Secret::new("s3cr3t")), UNAVAILABLE_VALUE)
    }

    fn run(
        rule: fn(&mut Values, &str, &str, &mut Vec<u8>) -> Result<Fate, BadRecord>,
        value: &str,
    ) -> Result<String, BadRecord> {
        let mut out = Vec::new();
        let fate = rule(&mut values(), "col", value, &mut out)?;
        let out = String::from_utf8(out).unwrap();
        assert_eq!(fate == Fate::Kept, out.is_empty());
        Ok(if fate == Fate::Kept { "kept".into() } else { out })
    }

    /// The literals are those of `printf … | sha256sum`.
    #[test]
    fn hashes_are_those_of_sha256sum() {
        for (value, digest) in [
            (r#""ivan@example.com""#, "9263772d8ba1ab327ea92e13ae02119357e266a54b3371489e6669e784b8a0a8"),
            (r#""ivan\u0040example.com""#, "9263772d8ba1ab327ea92e13ae02119357e266a54b3371489e6669e784b8a0a8"),
            (r#""\ud83d\ude00 é""#, "85df61cf3f0832ed26098354fbfa0d0ff79e7abcfd6786f4615b9b2dc14fb791"),
            (r#""😀 \u00e9""#, "85df61cf3f0832ed26098354fbfa0d0ff79e7abcfd6786f4615b9b2dc14fb791"),
            (r#""""#, "4e738ca5563c06cfd0018299933d58db1dd8bf97f6973dc99bf6cdc64b5550bd"),
            ("42", "7e370bc48898b898ed91f6f4c085527c763cf811ffb6eceecd6c9594ac394a02"),
            ("-1.50", "3d91c78678965e39f614708e95c462dbe7af80d1738a0db294c8f49d6d0225a8"),
            ("true", "f09eeb5318c9dba7233e8609bd296d46b63b79e5050149b1c2ca20b43a6bcb16"),
            (r#"["a b",1]"#, "0769adb958e88d37f0d96b9c4b9b24e5e5c1f9bcb11c10f88630305376a2f4ae"),
            ("[ \"a b\" ,\n1 ]", "0769adb958e88d37f0d96b9c4b9b24e5e5c1f9bcb11c10f88630305376a2f4ae"),
            (r#"{ "k" : null }"#, "dd035664c18edc97c7236f62c635a0cc26361d1853ad51769659e8cb7ade9b1c"),
        ] {
            assert_eq!(run(Values::hash, value).unwrap(), format!("\"{digest}\""), "{value}");
        }
        assert_eq!(run(Values::hash, "null").unwrap(), "kept");
    }

    #[test]
    fn long_values_and_secrets_hash_whole() {
        let mut out = Vec::new();
        let secret = Secret::new("k".repeat(100));
        Values::new(Some(&secret), "").hash("c", &format!("\"{}\"", "v".repeat(200)), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"ec3c335f4766cf82f20075441b745eee13ced06b1905ac3b57f1bf88431e021a\""
        );
    }

    #[test]
    fn buffers_keep_nothing_of_the_last_value() {
        let mut values = values();
        for value in [r#""\u0061""#, r#""\u0062""#, "[1]", "[ 2 ]", "[1]"] {
            let mut out = Vec::new();
            values.hash("c", value, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), run(Values::hash, value).unwrap());
        }
    }

    #[test]
    fn truncate_has_the_bytes_of_the_seed() {
        for (value, cut) in [
            ("Ivan Ivanov", "IvanI."),
            ("李小龍", "李."),
            ("Ivan Ivanovich Ivanov", "IvanI."),
            ("Ivan", "I."),
            ("I", "I."),
            ("", ""),
            (" \\t\\n ", ""),
            ("  Ivan\\u00a0 \\u3000Ivanov ", "IvanI."),
            ("Ivan\\u2003ivanov", "Ivani."),
            ("\\uD83D\\uDE00 Zoë", "😀Z."),
            ("Zoë \\uD83D\\uDE00mega", "Zoë😀."),
            ("O\\\"Neill \\\\x", "O\\\"Neill\\\\."),
            ("\\u0000bc d\\u0001", "\\u0000bcd."),
            ("\\\"x\\\"", "\\\"."),
        ] {
            assert_eq!(run(Values::truncate, &format!("\"{value}\"")).unwrap(), format!("\"{cut}\""), "{value}");
        }
        assert_eq!(run(Values::truncate, "null").unwrap(), "kept");
    }

    #[test]
    fn truncate_refuses_what_it_cannot_cut() {
        for value in ["7788", "true", "[\"Ivan\"]", "{\"a\":\"Ivan\"}", "[]"] {
            let bad = run(Values::truncate, value).unwrap_err();
            assert_eq!(bad.reason, Reason::WrongType);
            assert!(bad.detail.contains("`col`") && !bad.detail.contains("Ivan") && !bad.detail.contains("7788"));
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_refused() {
        for value in [r#""\ud83d""#, r#""Ivan \udE00""#, r#""\ud83d\ud83d""#] {
            for rule in [Values::hash, Values::truncate] {
                let bad = run(rule, value).unwrap_err();
                assert!(bad.reason == Reason::NotJson && !bad.detail.contains("Ivan"));
            }
        }
    }

    #[test]
    fn the_placeholder_is_kept() {
        let p = UNAVAILABLE_VALUE;
        let hex: String = p.bytes().map(|b| format!("{b:02x}")).collect();
        for value in [
            format!("\"{p}\""),
            format!("\"\\u005f{}\"", &p[1..]),
            format!("[ \"{p}\" ]"),
            format!("{{\"{p}\" : \"{p}\"}}"),
            // printf %s __debezium_unavailable_value | base64
            "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"".into(),
            format!("\"{hex}\""),
        ] {
            assert_eq!(run(Values::hash, &value).unwrap(), "kept", "{value}");
            assert_eq!(run(Values::truncate, &value).unwrap(), "kept", "{value}");
        }
        for value in [format!("\"{p} \""), format!("[\"{p}\",\"x\"]"), format!("{{\"x\":\"{p}\"}}")] {
            assert_ne!(run(Values::hash, &value).unwrap(), "kept", "{value}");
        }
    }
}
