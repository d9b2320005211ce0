//! What rules make of a value.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::text;
use super::transform::Transform;
use crate::operators::unavailable::Unavailable;
use crate::record::json::{self, Kind};
use crate::record::secret::{Key, Keyring};
use crate::record::{BadRecord, Reason};

pub(super) struct Values {
    /// SHA-256 with the secret already in it.
    salted: Sha256,
    current: Option<Keyed>,
    previous: Option<Keyed>,
    unavailable: Unavailable,
    /// Buffers that live on between rows.
    text: String,
    nested: Vec<u8>,
    written: String,
}

/// A key with its pads already in it.
struct Keyed {
    /// `id:`, as JSON text.
    head: Vec<u8>,
    mac: Hmac<Sha256>,
}

/// What became of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its replacement was written.
    Rewritten,
    /// Null or the placeholder: nothing was written, it leaves as it came.
    Kept,
}

/// Under which key of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Under {
    Current,
    Previous,
}

impl Keyed {
    fn new(key: &Key) -> Option<Self> {
        let mut head = Vec::new();
        json::escape(&key.id, &mut head);
        head.push(b':');
        // HMAC takes keys of any length.
        Hmac::new_from_slice(key.secret.expose()).ok().map(|mac| Self { head, mac })
    }
}

impl Values {
    pub fn new(keys: Option<&Keyring>, unavailable_value: &str) -> Self {
        Self {
            salted: Sha256::new().chain_update(keys.map_or(&[][..], |keys| keys.current.secret.expose())),
            current: keys.and_then(|keys| Keyed::new(&keys.current)),
            previous: keys.and_then(|keys| Keyed::new(keys.previous.as_ref()?)),
            unavailable: Unavailable::new(unavailable_value),
            text: String::new(),
            nested: Vec::new(),
            written: String::new(),
        }
    }

    /// Writes what a rule makes of a value. `path` is for messages.
    pub fn apply(
        &mut self,
        transform: &Transform,
        path: &str,
        value: &str,
        out: &mut Vec<u8>,
    ) -> Result<Fate, BadRecord> {
        match transform {
            Transform::Hash => self.hash(path, value, out),
            Transform::Hmac { .. } => self.hmac(Under::Current, path, value, out),
            Transform::Truncate => self.of_text("truncate", path, value, out, text::truncate),
            Transform::Partial(config) => {
                self.of_text("partial", path, value, out, |text, out| text::partial(text, config, out))
            }
            Transform::EmailDomain => self.of_text("email_domain", path, value, out, text::email_domain),
            Transform::Replace { json, .. } => {
                if self.says_nothing(path, value)? {
                    return Ok(Fate::Kept);
                }
                out.extend_from_slice(json.as_bytes());
                Ok(Fate::Rewritten)
            }
            Transform::Generalize(config) => self.generalize(config, path, value, out),
            Transform::IpPrefix(config) => self.ip_prefix(*config, path, value, out),
            // These two never come here: their columns are not rewritten.
            Transform::Passthrough | Transform::Drop => Ok(Fate::Kept),
        }
    }

    /// Strings by their decoded text, numbers and booleans by their JSON text, arrays and objects by their JSON text
    /// without insignificant whitespace.
    fn hash(&mut self, path: &str, value: &str, out: &mut Vec<u8>) -> Result<Fate, BadRecord> {
        let Some(hashed) = hashed(value, path, &self.unavailable, &mut self.text, &mut self.nested)? else {
            return Ok(Fate::Kept);
        };
        let digest = self.salted.clone().chain_update(hashed).finalize();
        out.push(b'"');
        json::hex(&digest, out);
        out.push(b'"');
        Ok(Fate::Rewritten)
    }

    /// `"key id:hex"`, over the same bytes as [`Self::hash`].
    pub fn hmac(&mut self, under: Under, path: &str, value: &str, out: &mut Vec<u8>) -> Result<Fate, BadRecord> {
        let keyed = if under == Under::Current { &self.current } else { &self.previous };
        let Some(Keyed { head, mac }) = keyed else {
            // A mask without its key is not built.
            return Err(BadRecord::new(Reason::WrongType, format!("{} has no key to go under", json::shown(path))));
        };
        let Some(hashed) = hashed(value, path, &self.unavailable, &mut self.text, &mut self.nested)? else {
            return Ok(Fate::Kept);
        };
        let mut mac = mac.clone();
        mac.update(hashed);
        out.push(b'"');
        out.extend_from_slice(head);
        json::hex(&mac.finalize().into_bytes(), out);
        out.push(b'"');
        Ok(Fate::Rewritten)
    }

    /// A rule that only text can go through; other types are refused.
    fn of_text(
        &mut self,
        rule: &str,
        path: &str,
        value: &str,
        out: &mut Vec<u8>,
        write: impl Fn(&str, &mut Vec<u8>),
    ) -> Result<Fate, BadRecord> {
        let Some(text) = self.only_text(rule, path, value)? else { return Ok(Fate::Kept) };
        out.push(b'"');
        write(text, out);
        out.push(b'"');
        Ok(Fate::Rewritten)
    }

    fn generalize(
        &mut self,
        config: &super::Generalize,
        path: &str,
        value: &str,
        out: &mut Vec<u8>,
    ) -> Result<Fate, BadRecord> {
        let mut written = std::mem::take(&mut self.written);
        written.clear();
        let (done, quote) = match Kind::of(value) {
            Kind::Number => (config.number(value, &mut written), &b""[..]),
            _ => match self.only_text("generalize", path, value)? {
                Some(text) => (config.text(text, &mut written), &b"\""[..]),
                None => return Ok(Fate::Kept),
            },
        };
        match done {
            Some(()) => [quote, written.as_bytes(), quote].iter().for_each(|part| out.extend_from_slice(part)),
            None => {
                let what = match (config, Kind::of(value)) {
                    (super::Generalize::To(_, None), Kind::Number) => "a number, and `unit` does not say of what",
                    (super::Generalize::To(..), _) => "no time that can be cut down",
                    _ => "no number that can be cut down",
                };
                return Err(BadRecord::new(Reason::WrongType, format!("{} is {what}", json::shown(path))));
            }
        }
        self.written = written;
        Ok(Fate::Rewritten)
    }

    fn ip_prefix(
        &mut self,
        config: super::IpPrefix,
        path: &str,
        value: &str,
        out: &mut Vec<u8>,
    ) -> Result<Fate, BadRecord> {
        let Some(text) = self.only_text("ip_prefix", path, value)? else { return Ok(Fate::Kept) };
        let Some(address) = text::ip_prefix(text, config) else {
            return Err(BadRecord::new(Reason::WrongType, format!("{} is no IP address", json::shown(path))));
        };
        out.push(b'"');
        text::write_address(address, out);
        out.push(b'"');
        Ok(Fate::Rewritten)
    }

    /// The decoded text; None for what says nothing.
    fn only_text<'a>(&'a mut self, rule: &str, path: &str, value: &'a str) -> Result<Option<&'a str>, BadRecord> {
        match Kind::of(value) {
            Kind::Null => return Ok(None),
            Kind::Text => {}
            Kind::Array | Kind::Object if self.unavailable.is_array_or_object(value, &mut self.nested) => {
                return Ok(None);
            }
            kind => {
                let detail = format!("{} is {kind}, and {rule} takes text", json::shown(path));
                return Err(BadRecord::new(Reason::WrongType, detail));
            }
        }
        let text = decoded(path, value, &mut self.text)?;
        Ok((!self.unavailable.is_text(text)).then_some(text))
    }

    /// Null, or the placeholder.
    fn says_nothing(&mut self, path: &str, value: &str) -> Result<bool, BadRecord> {
        Ok(hashed(value, path, &self.unavailable, &mut self.text, &mut self.nested)?.is_none())
    }

    /// Whether a decoded text is the placeholder.
    pub fn is_unavailable_text(&self, text: &str) -> bool {
        self.unavailable.is_text(text)
    }

    /// Whether an array or object is.
    pub fn is_unavailable(&mut self, value: &str) -> bool {
        self.unavailable.is_array_or_object(value, &mut self.nested)
    }
}

/// The bytes of a value that digests are made of; None for null and the placeholder.
fn hashed<'a>(
    value: &'a str,
    path: &str,
    unavailable: &Unavailable,
    text: &'a mut String,
    nested: &'a mut Vec<u8>,
) -> Result<Option<&'a [u8]>, BadRecord> {
    Ok(match Kind::of(value) {
        Kind::Null => None,
        Kind::Text => {
            let text = decoded(path, value, text)?;
            (!unavailable.is_text(text)).then_some(text.as_bytes())
        }
        Kind::Array | Kind::Object => (!unavailable.is_array_or_object(value, nested)).then_some(nested),
        Kind::Number | Kind::Bool => Some(value.as_bytes()),
    })
}

/// A string value's text; `buffer` is used only where it has escapes.
fn decoded<'a>(column: &str, value: &'a str, buffer: &'a mut String) -> Result<&'a str, BadRecord> {
    let raw = json::quoted(value).unwrap_or_default();
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Ok(raw);
    }
    buffer.clear();
    json::unescape(raw, buffer).map_err(|_| json::half_a_pair(column))?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::super::{IpPrefix, Partial, Rule, UNAVAILABLE_VALUE};
    use super::*;
    use crate::record::Secret;

    fn keys(secret: &str) -> Keyring {
        let previous = Some(Key { id: "k0".into(), secret: Secret::new("s3cr3t") });
        Keyring { current: Key { id: "k1".into(), secret: Secret::new(secret) }, previous }
    }

    fn values() -> Values {
        Values::new(Some(&keys("s3cr3t")), UNAVAILABLE_VALUE)
    }

    fn run(transform: &Transform, value: &str) -> Result<String, BadRecord> {
        let mut out = Vec::new();
        let fate = values().apply(transform, "col", value, &mut out)?;
        let out = String::from_utf8(out).unwrap();
        assert_eq!(fate == Fate::Kept, out.is_empty());
        Ok(if fate == Fate::Kept { "kept".into() } else { out })
    }

    const HMAC: Transform = Transform::Hmac { previous: None };

    fn all_that_rewrite() -> Vec<Transform> {
        vec![
            Transform::Hash,
            HMAC,
            Transform::Truncate,
            Transform::Partial(Partial { keep_first: 1, keep_last: 1, with: "*".into() }),
            Transform::Replace { rule: Rule::Redact, json: "\"x\"".into() },
            Transform::EmailDomain,
            Transform::Generalize(super::super::Generalize::To(super::super::Period::Year, None)),
            Transform::IpPrefix(IpPrefix { v4: 24, v6: 48 }),
        ]
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
            assert_eq!(run(&Transform::Hash, value).unwrap(), format!("\"{digest}\""), "{value}");
        }
        assert_eq!(run(&Transform::Hash, "null").unwrap(), "kept");
    }

    #[test]
    fn long_values_and_secrets_hash_whole() {
        let mut out = Vec::new();
        Values::new(Some(&keys(&"k".repeat(100))), "")
            .hash("c", &format!("\"{}\"", "v".repeat(200)), &mut out)
            .unwrap();
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
            assert_eq!(String::from_utf8(out).unwrap(), run(&Transform::Hash, value).unwrap());
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
            assert_eq!(run(&Transform::Truncate, &format!("\"{value}\"")).unwrap(), format!("\"{cut}\""), "{value}");
        }
        assert_eq!(run(&Transform::Truncate, "null").unwrap(), "kept");
    }

    #[test]
    fn truncate_refuses_what_it_cannot_cut() {
        for value in ["7788", "true", "[\"Ivan\"]", "{\"a\":\"Ivan\"}", "[]"] {
            let bad = run(&Transform::Truncate, value).unwrap_err();
            assert_eq!(bad.reason, Reason::WrongType);
            assert!(bad.detail.contains("`col`") && !bad.detail.contains("Ivan") && !bad.detail.contains("7788"));
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_refused() {
        for value in [r#""\ud83d""#, r#""Ivan \udE00""#, r#""\ud83d\ud83d""#] {
            for rule in all_that_rewrite() {
                let bad = run(&rule, value).unwrap_err();
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
            for rule in all_that_rewrite() {
                assert_eq!(run(&rule, &value).unwrap(), "kept", "{rule:?} {value}");
            }
        }
        for value in [format!("\"{p} \""), format!("[\"{p}\",\"x\"]"), format!("{{\"x\":\"{p}\"}}")] {
            assert_ne!(run(&Transform::Hash, &value).unwrap(), "kept", "{value}");
        }
    }

    /// printf %s ivan@example.com | openssl dgst -sha256 -hmac s3cr3t
    #[test]
    fn keyed_digests_say_their_key() {
        const IVAN: &str = "d36d43b73689669ee9cc6a965338a7a08ab8504371dacae7bf37f5501397d014";
        const NUMBER: &str = "7b25340b646377b8707a55deb0f09149bfd93b074f7fadbf7316f978f236fb53";
        for (value, digest) in [(r#""ivan@example.com""#, IVAN), (r#""ivan\u0040example.com""#, IVAN), ("42", NUMBER)] {
            assert_eq!(run(&HMAC, value).unwrap(), format!("\"k1:{digest}\""), "{value}");
        }
        let mut out = Vec::new();
        values().hmac(Under::Previous, "col", r#""ivan@example.com""#, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("\"k0:{IVAN}\""));
        let bare = &mut Values::new(None, "");
        assert!(bare.apply(&HMAC, "col", "1", &mut Vec::new()).is_err());
    }

    #[test]
    fn null_says_nothing_and_types_are_held_to() {
        for rule in all_that_rewrite() {
            assert_eq!(run(&rule, "null").unwrap(), "kept", "{rule:?}");
        }
        for (rule, value) in [
            (Transform::EmailDomain, "7788"),
            (Transform::Partial(Partial { keep_first: 0, keep_last: 4, with: "*".into() }), "77887788"),
            (Transform::IpPrefix(IpPrefix { v4: 24, v6: 48 }), "\"Ivan\""),
            (Transform::IpPrefix(IpPrefix { v4: 24, v6: 48 }), "7788"),
            (Transform::Generalize(super::super::Generalize::To(super::super::Period::Year, None)), "7788"),
            (Transform::Generalize(super::super::Generalize::To(super::super::Period::Year, None)), "\"Ivan\""),
            (Transform::Generalize(super::super::Generalize::To(super::super::Period::Year, None)), "true"),
        ] {
            let bad = run(&rule, value).unwrap_err();
            assert_eq!(bad.reason, Reason::WrongType, "{rule:?}");
            assert!(
                bad.detail.contains("`col`") && !bad.detail.contains("Ivan") && !bad.detail.contains("7788"),
                "{bad}"
            );
        }
    }
}
