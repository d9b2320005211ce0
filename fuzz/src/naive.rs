//! What rules make of a value, done again in the most obvious way.

use highwater::operators::mask::UNAVAILABLE_VALUE;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::json::{Node, Tree};

/// Null, or what Debezium sends for a value that has not changed. None: half a surrogate pair, so nobody knows.
pub fn says_nothing(value: &Node<'_>) -> Option<bool> {
    match value.text() {
        Some(text) => text.map(|text| is_placeholder_text(&text)),
        None => Some(value.is_null() || is_placeholder(value)),
    }
}

pub fn is_placeholder(value: &Node<'_>) -> bool {
    let is_text = |node: &Node<'_>| node.text().flatten().is_some_and(|text| is_placeholder_text(&text));
    match &value.tree {
        Tree::Text => is_text(value),
        Tree::Array(elements) => match &elements[..] {
            [only] => is_text(only),
            elements => {
                let bytes = UNAVAILABLE_VALUE.bytes().map(|byte| (byte as i8).to_string());
                bytes.eq(elements.iter().map(|element| element.raw.to_owned()))
            }
        },
        Tree::Object(members) => match &members[..] {
            [(name, only)] => name.text().flatten().as_deref() == Some(UNAVAILABLE_VALUE) && is_text(only),
            _ => false,
        },
        _ => false,
    }
}

fn is_placeholder_text(text: &str) -> bool {
    let hex: String = UNAVAILABLE_VALUE.bytes().map(|byte| format!("{byte:02x}")).collect();
    // printf __debezium_unavailable_value | base64
    let base64 = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
    [UNAVAILABLE_VALUE, base64, &hex, &hex.to_uppercase()].contains(&text)
}

/// What digests are made of. None: half a surrogate pair.
pub fn hashed(value: &Node<'_>) -> Option<String> {
    value.text().unwrap_or_else(|| Some(value.compact()))
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn hash(secret: &str, text: &str) -> String {
    hex(Sha256::digest(format!("{secret}{text}")))
}

pub fn hmac(id: &str, secret: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(text.as_bytes());
    format!("{id}:{}", hex(mac.finalize().into_bytes()))
}

pub fn truncate(text: &str) -> String {
    let words: Vec<&str> = text.split(char::is_whitespace).filter(|word| !word.is_empty()).collect();
    let initial = |word: &str| word.chars().take(1).collect::<String>();
    match &words[..] {
        [] => String::new(),
        [only] => initial(only) + ".",
        [first, second, ..] => format!("{first}{}.", initial(second)),
    }
}

pub fn partial(text: &str, first: usize, last: usize, with: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let shown = 2 * (first + last) <= chars.len();
    let is_shown = |at: usize| shown && (at < first || at >= chars.len() - last);
    chars.iter().enumerate().map(|(at, c)| if is_shown(at) { c.to_string() } else { with.to_owned() }).collect()
}

pub fn email_domain(text: &str) -> String {
    let text = text.trim();
    let Some(at) = text.rfind('@') else { return String::new() };
    let domain = &text[at + 1..];
    let labels: Vec<&str> = domain.split('.').collect();
    let is_label = |label: &&str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    let is_domain = labels.len() > 1 && domain.len() <= 253 && labels.iter().all(is_label);
    if is_domain { domain.to_lowercase() } else { String::new() }
}
