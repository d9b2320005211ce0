//! What Debezium sends in place of an unchanged out-of-line (TOAST) column.

use crate::record::json::{self, Kind};

/// The placeholder in the shapes it takes by column type. It says "unchanged", so it is never hashed or truncated:
/// a consumer could no longer tell it from a value. It is a constant of the connector, so letting it out leaks nothing.
///
/// Known: text, bytes as base64 or hex, arrays of these, integer arrays (the placeholder's bytes), hstore as an object.
/// Not known: arrays of UUIDs and geometry, whose placeholders are hashed like values.
pub struct Unavailable {
    plain: String,
    texts: Vec<String>,
    numbers: String,
}

impl Unavailable {
    pub fn new(placeholder: &str) -> Self {
        let bytes = placeholder.as_bytes();
        let mut hex = Vec::new();
        json::hex(bytes, &mut hex);
        let hex = String::from_utf8_lossy(&hex).into_owned();
        let encoded = base64(bytes);
        let url_safe = encoded.replace('+', "-").replace('/', "_");
        let numbers: Vec<String> = bytes.iter().map(|byte| (*byte as i8).to_string()).collect();
        let texts = match placeholder {
            // No placeholder: nothing may look like one, least of all the empty string.
            "" => Vec::new(),
            _ => vec![placeholder.to_string(), encoded, url_safe, hex.to_uppercase(), hex],
        };
        Self { plain: placeholder.to_string(), texts, numbers: format!("[{}]", numbers.join(",")) }
    }

    /// Whether a string's decoded text is the placeholder.
    pub fn is_text(&self, text: &str) -> bool {
        self.texts.iter().any(|one| one == text)
    }

    /// Whether an array or object is the placeholder. Leaves its text without whitespace in `compact`.
    pub fn is_array_or_object(&self, value: &str, compact: &mut Vec<u8>) -> bool {
        compact.clear();
        json::compact(value, compact);
        std::str::from_utf8(compact).is_ok_and(|compact| self.is_nested(compact))
    }

    fn is_nested(&self, compact: &str) -> bool {
        let mut members = json::members(compact);
        let (Some(Ok(only)), None) = (members.next(), members.next()) else {
            return !self.texts.is_empty() && compact == self.numbers;
        };
        let is_value = json::quoted(only.value).and_then(|raw| json::text(raw).ok()).is_some_and(|t| self.is_text(&t));
        let is_name = || json::text(only.name).is_ok_and(|name| name == self.plain);
        is_value && (Kind::of(compact) == Kind::Array || is_name())
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(group.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let index = (bits >> (18 - 6 * i) & 63) as usize;
            out.push(if i > group.len() { '=' } else { ALPHABET.get(index).copied().map_or('=', char::from) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_rfc_4648_has_it() {
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn knows_its_shapes_and_nothing_else() {
        let unavailable = Unavailable::new("ab?~");
        for text in ["ab?~", "YWI/fg==", "YWI_fg==", "61623f7e", "61623F7E"] {
            assert!(unavailable.is_text(text), "{text}");
        }
        for text in ["", "ab?", "ab?~ ", "AB?~", "x"] {
            assert!(!unavailable.is_text(text), "{text}");
        }
        for nested in [r#"["ab?~"]"#, r#"["\u0061b?~"]"#, r#"["61623f7e"]"#, r#"{"ab?~":"ab?~"}"#, "[97,98,63,126]"] {
            assert!(unavailable.is_nested(nested), "{nested}");
        }
        for nested in [
            "[]",
            "{}",
            r#"["ab?~","ab?~"]"#,
            r#"["x"]"#,
            r#"{"x":"ab?~"}"#,
            r#"{"ab?~":"x"}"#,
            "[97]",
            r#"[["ab?~"]]"#,
        ] {
            assert!(!unavailable.is_nested(nested), "{nested}");
        }
    }

    #[test]
    fn an_empty_placeholder_is_none() {
        let none = Unavailable::new("");
        assert!(
            !none.is_text("") && !none.is_nested(r#"[""]"#) && !none.is_nested(r#"{"":""}"#) && !none.is_nested("[]")
        );
    }
}
