//! Which places of a file hold secrets, so that no excerpt shows them.

use super::diagnostics::Diagnostics;
use super::substitute::is_reference;
use super::yaml::{Node, Span, Value};

const WORDS: [&str; 10] =
    ["secret", "salt", "password", "passphrase", "passwd", "token", "credential", "private", "jaas", "apikey"];

/// Whether a field of this name holds a secret.
pub(super) fn is_sensitive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word) || near(&name, word))
        || near(&name, "secrets")
        || name.ends_with(".pem")
        || name == "sasl.oauthbearer.config"
}

/// A slip of the keyboard in `sercets` must not show what stands under it.
fn near(name: &str, word: &str) -> bool {
    name.len() >= 4 && strsim::damerau_levenshtein(name, word) <= word.len() / 4
}

/// Hides every secret of a tree. Columns are left alone: what stands behind `password_hash` there is a rule.
pub(super) fn hide_tree(out: &mut Diagnostics, node: &Node) {
    match &node.value {
        Value::Scalar { .. } => {}
        Value::Seq(items) => items.iter().for_each(|item| hide_tree(out, item)),
        Value::Map(entries) => {
            for entry in entries {
                match entry.key.as_str() {
                    "fields" => {}
                    // A reference to a secret by its name; who reads it hides what is no name.
                    "secret" => {}
                    "secrets" => hide_named(out, &entry.value),
                    key if is_sensitive(key) => hide_all(out, &entry.value),
                    _ => hide_tree(out, &entry.value),
                }
            }
        }
    }
}

/// The section `secrets`: its names may be shown.
fn hide_named(out: &mut Diagnostics, node: &Node) {
    match &node.value {
        Value::Map(entries) => entries.iter().for_each(|entry| match &entry.value {
            // `pii:value` without a blank is a name without a value to YAML.
            value if value.is_blank() => out.hide(entry.key_span),
            value => hide_all(out, value),
        }),
        _ => hide_all(out, node),
    }
}

pub(super) fn hide_all(out: &mut Diagnostics, node: &Node) {
    match &node.value {
        Value::Scalar { text, .. } if is_reference(text) || node.is_blank() => {}
        _ => out.hide(node.defined),
    }
}

/// Hides secrets in a text that is not YAML, by its shape alone and rather too much: behind a sensitive word, and all
/// lines that are indented below it; after an open quote or bracket, everything.
pub(super) fn hide_text(out: &mut Diagnostics, file: usize, text: &str) {
    let mut below: Option<usize> = None;
    let mut hide = |line: usize, column: usize, end_line: usize| {
        out.hide(Span { file, line, column, end_line, end_column: usize::MAX });
    };
    for (index, line) in text.lines().enumerate() {
        let indent = line.chars().take_while(|c| *c == ' ' || *c == '-' || *c == '\t').count();
        if below.is_some_and(|below| indent > below || line.trim().is_empty()) {
            hide(index + 1, 1, index + 1);
            continue;
        }
        below = None;
        let lower = line.to_ascii_lowercase();
        let words = lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
        if !words.filter(|word| !word.is_empty()).any(is_sensitive) {
            continue;
        }
        below = Some(indent);
        let column = line.chars().position(|c| c == ':').map_or(1, |colon| colon + 2);
        let open = ["\"", "'"].iter().any(|quote| line.matches(quote).count() % 2 == 1)
            || line.matches(['{', '[']).count() != line.matches(['}', ']']).count();
        hide(index + 1, column, if open { usize::MAX } else { index + 1 });
    }
}

#[cfg(test)]
mod tests {
    use super::super::diagnostics::{Diagnostic, Severity};
    use super::super::yaml;
    use super::*;

    #[test]
    fn names() {
        for name in [
            "salt",
            "sasl.password",
            "ssl.key.password",
            "ssl.key.pem",
            "sercets",
            "secretes",
            "Salt",
            "slat",
            "api_token",
            "sasl.oauthbearer.client.secret",
        ] {
            assert!(is_sensitive(name), "{name}");
        }
        for name in
            ["state", "streams", "steps", "topic", "bootstrap.servers", "sasl.username", "mask", "static_membership"]
        {
            assert!(!is_sensitive(name), "{name}");
        }
    }

    /// Every line of the text as an excerpt would show it.
    fn shown(text: &str, hide: impl Fn(&mut Diagnostics)) -> String {
        let mut out = Diagnostics::default();
        out.add_file("f", text);
        hide(&mut out);
        for line in 1..=text.lines().count() {
            let span = Span { file: 0, line, column: 1, end_line: line, end_column: 2 };
            let (message, label) = (String::new(), String::new());
            out.push(Diagnostic {
                severity: Severity::Error,
                code: "x",
                message,
                span: Some(span),
                label,
                help: vec![],
            });
        }
        out.render(false)
    }

    #[test]
    fn trees_hide_secrets_and_nothing_else() {
        let text = "secrets:\n  pii: CANARY\n  multi: |\n    CANARY\n    CANARY2\n  ref: ${NAME}\n  def: ${X:-CANARY}\n  CANARY:\n\
                    kafka: {bootstrap.servers: shown, sasl.password: 'CANARY', ssl.key.pem: \"CANARY\n  CANARY\"}\n\
                    sercets: {pii: CANARY}\nsalt: [CANARY, {CANARY: CANARY}]\n\
                    x: &a shown2\ny: &b CANARY\npassword: *b\nfields: {password: drop}\nlist: [{secret: pii, token: CANARY}]\n";
        let root = yaml::parse(text, 0).root.unwrap();
        let all = shown(text, |out| hide_tree(out, &root));
        assert!(!all.contains("CANARY"), "{all}");
        for want in ["pii: ***", "shown,", "ref: ${NAME}", "shown2", "password: drop", "secret: pii"] {
            assert!(all.contains(want), "{want} in {all}");
        }
    }

    #[test]
    fn broken_texts_hide_too_much_rather_than_too_little() {
        for (text, want) in [
            ("secrets:\n  pii: CANARY\n\n  b: CANARY\nstreams: [", "streams: ["),
            ("a: b\nsecrets: {pii: CANARY,\nother: CANARY\n", "a: b"),
            ("  sasl.password: CANARY\n  sasl.username: ann\n", "sasl.username: ann"),
            ("salt: \"CANARY\nCANARY", "salt:"),
            ("- {x: 1, salt: CANARY}\n- shown", "- shown"),
            ("sercets:\n\tpii: CANARY", "sercets:"),
        ] {
            let all = shown(text, |out| hide_text(out, 0, text));
            assert!(!all.contains("CANARY") && all.contains(want), "{all}");
        }
    }
}
