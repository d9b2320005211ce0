//! The forms in which a value could stand somewhere else than in its source.
//!
//! A value is text or any other bytes. What encodes a longer text that holds it holds the encoded value, too: of Base64
//! that is true for each of three alignments, without the characters that share bits with what is around it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::record::json;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    Plain,
    /// As JSON writes it, with as many escapes as it likes, and JSON within JSON.
    Json,
    /// As Rust, Python and C print text and bytes that are not ASCII.
    Escaped,
    Hex,
    Base64,
    Url,
    Utf16,
    /// Bytes as decimal numbers, as lists of them are printed.
    Numbers,
}

impl Form {
    pub const ALL: [Form; 8] =
        [Form::Plain, Form::Json, Form::Escaped, Form::Hex, Form::Base64, Form::Url, Form::Utf16, Form::Numbers];

    pub fn as_str(self) -> &'static str {
        match self {
            Form::Plain => "plain text",
            Form::Json => "JSON text",
            Form::Escaped => "escaped text",
            Form::Hex => "hex",
            Form::Base64 => "Base64",
            Form::Url => "a URL",
            Form::Utf16 => "UTF-16",
            Form::Numbers => "a list of bytes",
        }
    }
}

/// All forms of a value, each spelling once.
pub fn spellings(value: &[u8]) -> Vec<(Form, Vec<u8>)> {
    let mut all = Spellings(Vec::new());
    all.add(Form::Plain, value.to_vec());
    if let Ok(text) = std::str::from_utf8(value) {
        all.json(text);
        all.add(Form::Escaped, text.escape_default().to_string().into_bytes());
        let units: Vec<u16> = text.encode_utf16().collect();
        all.add(Form::Utf16, units.iter().flat_map(|unit| unit.to_le_bytes()).collect());
        all.add(Form::Utf16, units.iter().flat_map(|unit| unit.to_be_bytes()).collect());
    }
    all.add(Form::Escaped, value.escape_ascii().to_string().into_bytes());
    all.hex(value);
    all.base64(value);
    all.url(value);
    for between in [", ", ","] {
        let numbers: Vec<String> = value.iter().map(u8::to_string).collect();
        all.add(Form::Numbers, numbers.join(between).into_bytes());
    }
    all.0
}

struct Spellings(Vec<(Form, Vec<u8>)>);

impl Spellings {
    fn add(&mut self, form: Form, bytes: Vec<u8>) {
        if !self.0.iter().any(|(_, other)| *other == bytes) {
            self.0.push((form, bytes));
        }
    }

    fn json(&mut self, text: &str) {
        let short = escaped(text, &|_| false, false);
        self.add(Form::Json, short.clone().into_bytes());
        self.add(Form::Json, short.replace('/', "\\/").into_bytes());
        // Our own writer knows no \b and \f.
        let mut own = Vec::new();
        json::escape(text, &mut own);
        self.add(Form::Json, own);
        self.add(Form::Json, escaped(&short, &|_| false, false).into_bytes());
        for upper in [false, true] {
            let beyond = escaped(text, &|c| !c.is_ascii(), upper);
            self.add(Form::Json, escaped(&beyond, &|_| false, false).into_bytes());
            self.add(Form::Json, beyond.into_bytes());
            // What is to stand within HTML; and then everything.
            for chosen in [
                &(|c| "<>&".contains(c)) as &dyn Fn(char) -> bool,
                &|c| "<>&'=".contains(c),
                &|c| "<>&'=".contains(c) || !c.is_ascii(),
                &|_| true,
            ] {
                self.add(Form::Json, escaped(text, chosen, upper).into_bytes());
            }
        }
    }

    fn hex(&mut self, value: &[u8]) {
        let mut hex = Vec::new();
        json::hex(value, &mut hex);
        self.add(Form::Hex, hex.to_ascii_uppercase());
        self.add(Form::Hex, hex);
    }

    fn base64(&mut self, value: &[u8]) {
        for before in 0..3 {
            let shifted = [&[0; 2][..before], value].concat();
            // Six bits a character, and only those that are the value's alone.
            let (first, end) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
            for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
                self.add(Form::Base64, encoded.as_bytes().get(first..end).unwrap_or_default().to_vec());
            }
        }
    }

    fn url(&mut self, value: &[u8]) {
        for upper in [true, false] {
            for plus in [false, true] {
                let mut text = String::new();
                for byte in value {
                    match byte {
                        b' ' if plus => text.push('+'),
                        b'-' | b'_' | b'.' | b'~' => text.push(char::from(*byte)),
                        byte if byte.is_ascii_alphanumeric() => text.push(char::from(*byte)),
                        byte if upper => text += &format!("%{byte:02X}"),
                        byte => text += &format!("%{byte:02x}"),
                    }
                }
                self.add(Form::Url, text.into_bytes());
            }
        }
    }
}

/// As JSON has it between quotes; what is `chosen` as \uXXXX though it need not be.
fn escaped(text: &str, chosen: &dyn Fn(char) -> bool, upper: bool) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            c if chosen(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out += &if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
                }
            }
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            '\u{8}' => out += "\\b",
            '\u{c}' => out += "\\f",
            c if c < ' ' => out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(value: &str, form: Form, spelling: &[u8]) -> bool {
        spellings(value.as_bytes()).iter().any(|(of, bytes)| *of == form && bytes == spelling)
    }

    /// By other means than ours: the expected side was written by hand or by another program.
    #[test]
    fn spellings_are_those_that_others_write() {
        for (value, form, spelling) in [
            ("Zoë/1", Form::Plain, "Zoë/1"),
            ("a\"b\\c", Form::Json, r#"a\"b\\c"#),
            ("a\"b\\c", Form::Json, r#"a\\\"b\\\\c"#),
            // python3 -c 'import json; print(json.dumps("Zoë/1 😀"))'
            ("Zoë/1 😀", Form::Json, r"Zo\u00eb/1 \ud83d\ude00"),
            ("Zoë/1 😀", Form::Json, r"Zo\u00EB/1 \uD83D\uDE00"),
            ("Zoë/1 😀", Form::Json, r"Zo\\u00eb/1 \\ud83d\\ude00"),
            ("Zoë/1", Form::Json, r"Zoë\/1"),
            ("jo", Form::Json, r"\u006a\u006f"),
            ("jo", Form::Json, r"\u006A\u006F"),
            ("a<b&c", Form::Json, r"a\u003cb\u0026c"),
            ("a'b=", Form::Json, r"a\u0027b\u003d"),
            ("a\u{8}\u{1f}", Form::Json, r"a\b\u001f"),
            ("a\u{8}", Form::Json, r"a\u0008"),
            ("Zoë", Form::Escaped, r"Zo\xc3\xab"),
            ("Zoë", Form::Escaped, r"Zo\u{eb}"),
            ("Zoë+", Form::Hex, "5a6fc3ab2b"),
            ("Zoë+", Form::Hex, "5A6FC3AB2B"),
            // encodeURIComponent, and a form.
            ("+7 a@b/ё", Form::Url, "%2B7%20a%40b%2F%D1%91"),
            ("+7 a@b/ё", Form::Url, "%2b7+a%40b%2f%d1%91"),
            ("Zoë", Form::Numbers, "90, 111, 195, 171"),
            ("Zoë", Form::Numbers, "90,111,195,171"),
        ] {
            assert!(has(value, form, spelling.as_bytes()), "{value:?} as {form:?} {spelling}");
        }
        assert!(has("Zë", Form::Utf16, b"Z\0\xeb\0") && has("Zë", Form::Utf16, b"\0Z\0\xeb"));
        let plain = spellings(b"ivan");
        assert_eq!(plain.iter().filter(|(_, bytes)| bytes == b"ivan").count(), 1, "each spelling once");
    }

    /// Whatever stands before and after it.
    #[test]
    fn base64_of_what_holds_a_value_holds_a_spelling() {
        for value in ["CANARY", "ÿÿÿ>>>???", "a?>b?>c"] {
            let base64: Vec<_> =
                spellings(value.as_bytes()).into_iter().filter(|(form, _)| *form == Form::Base64).collect();
            for before in 0..7 {
                for after in 0..4 {
                    let text = format!(
                        "{}{value}{}",
                        "x~?".repeat(3).split_at(before).0,
                        "é~z".split_at([0, 2, 3, 4][after]).0
                    );
                    for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                        let held =
                            base64.iter().any(|(_, spelling)| encoded.contains(&*String::from_utf8_lossy(spelling)));
                        assert!(held, "{text:?}: {encoded}");
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_have_forms_too() {
        let all = spellings(b"\xff\x00\x10");
        let of = |form: Form| all.iter().filter(|(of, _)| *of == form).count();
        assert_eq!((of(Form::Json), of(Form::Utf16), of(Form::Hex)), (0, 0, 2));
        assert!(all.iter().any(|(_, bytes)| bytes == br"\xff\x00\x10"));
    }
}
