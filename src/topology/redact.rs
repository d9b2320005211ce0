//! Which places of a file hold secrets, so that no excerpt shows them.

use super::diagnostics::Diagnostics;
use super::substitute::is_reference;
use super::yaml::{self, Entry, Node, Span, Value};

const WORDS: [&str; 10] =
    ["secret", "salt", "password", "passphrase", "passwd", "token", "credential", "private", "jaas", "apikey"];

/// Whether a field of this name holds a secret.
pub(super) fn is_sensitive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // A name that is no name is a slip, and nobody knows what stands behind it.
    matches!(name.as_str(), "" | "~")
        || name.contains("${")
        || WORDS.iter().any(|word| name.contains(word) || name.split('.').any(|part| near(part, word)))
        || near_secrets(&name)
        || name.ends_with(".pem")
        || name == "sasl.oauthbearer.config"
}

/// A slip of the keyboard in `sercets` must not show what stands under it.
fn near(name: &str, word: &str) -> bool {
    name.len() >= 3 && strsim::damerau_levenshtein(name, word) <= word.len() / 4
}

/// As far as a message would ask "did you mean `secrets`?".
fn near_secrets(name: &str) -> bool {
    strsim::damerau_levenshtein(name, "secrets") <= 2
}

/// Lets excerpts show a tree, less its secrets.
pub(super) fn show_tree(out: &mut Diagnostics, node: &Node) {
    show_words(out, node);
    hide_secrets(out, node);
    hide_unknown_sections(out, node);
}

/// A section of a name that nobody knows may be `secrets` under more slips than [`near_secrets`] sees through.
fn hide_unknown_sections(out: &mut Diagnostics, root: &Node) {
    let Value::Map(sections) = &root.value else { return };
    for section in sections {
        let known = KNOWN.contains(&section.key.as_str()) || HARMLESS.contains(&section.key.as_str());
        if !known && !matches!(section.value.value, Value::Scalar { .. }) {
            hide_all(out, &section.value);
        }
    }
}

fn show_words(out: &mut Diagnostics, node: &Node) {
    match &node.value {
        Value::Scalar { .. } => out.show(node.span),
        // For an alias, itself; what it stands for is shown in its own place.
        _ if node.span != node.defined => out.show(node.span),
        Value::Seq(items) => items.iter().for_each(|item| show_words(out, item)),
        Value::Map(entries) => {
            for entry in entries {
                out.show(entry.key_span);
                show_words(out, &entry.value);
            }
        }
    }
}

/// Columns are left alone: what stands behind `password_hash` there is a rule.
fn hide_secrets(out: &mut Diagnostics, node: &Node) {
    match &node.value {
        Value::Scalar { .. } => {}
        Value::Seq(items) => items.iter().for_each(|item| hide_secrets(out, item)),
        Value::Map(entries) => {
            // What follows `secrets` under a name that nobody knows may have lost its indent.
            let mut slipped = false;
            for entry in entries {
                slipped &= entry.key != "kafka" && !HARMLESS.contains(&entry.key.as_str());
                match entry.key.as_str() {
                    _ if slipped => hide_all(out, &entry.value),
                    "fields" => {}
                    // A reference to a secret by its name; who reads it hides what is no name.
                    "secret" if matches!(entry.value.value, Value::Scalar { .. }) => {}
                    "secrets" => hide_named(out, &entry.value),
                    // An address with a user, or with settings of which one may be the password.
                    "url" if matches!(&entry.value.value, Value::Scalar { text, .. } if may_hold_password(text)) => {
                        hide_all(out, &entry.value);
                    }
                    "kafka" => hide_properties(out, &entry.value),
                    key if is_sensitive(key) => hide_all(out, &entry.value),
                    _ => hide_secrets(out, &entry.value),
                }
                slipped |= entry.key != "secret" && near_secrets(&entry.key);
            }
        }
    }
}

/// With a user, with settings, or with something behind a colon that is no port.
fn may_hold_password(url: &str) -> bool {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    let is_port = |text: &str| text.bytes().take_while(|byte| *byte != b'/').all(|byte| byte.is_ascii_digit());
    let host = place.strip_prefix('[').and_then(|v6| v6.split_once(']')).map_or(place, |(_, rest)| rest);
    url.contains(['@', '?', '#', '=']) || host.split(':').skip(1).any(|port| !is_port(port))
}

/// The section `secrets`: its names may be shown.
fn hide_named(out: &mut Diagnostics, node: &Node) {
    match &node.value {
        Value::Map(entries) => entries.iter().for_each(|entry| match &entry.value {
            // `pii:value` without a blank is a name without a value to YAML.
            value if value.is_blank() => out.hide(entry.key_span),
            Node { value: Value::Map(ring), .. } if ring.iter().any(|field| field.key == "keys") => {
                hide_keys(out, ring)
            }
            value => hide_all(out, value),
        }),
        _ => hide_all(out, node),
    }
}

/// A secret with several keys: their ids may be shown, and what names one of them.
fn hide_keys(out: &mut Diagnostics, ring: &[Entry]) {
    let ids: Vec<&str> = match ring.iter().find(|field| field.key == "keys").map(|field| &field.value.value) {
        Some(Value::Map(keys)) => keys.iter().map(|key| key.key.as_str()).collect(),
        _ => Vec::new(),
    };
    for field in ring {
        match &field.value.value {
            Value::Scalar { text, .. } if field.key != "keys" && ids.contains(&text.as_str()) => {}
            _ if field.key == "keys" => hide_named(out, &field.value),
            _ => hide_all(out, &field.value),
        }
    }
}

/// The section `kafka`: librdkafka has passwords under many names, so only what cannot be one is shown.
fn hide_properties(out: &mut Diagnostics, node: &Node) {
    let Value::Map(entries) = &node.value else { return hide_all(out, node) };
    for entry in entries {
        let plain = match &entry.value.value {
            Value::Scalar { text, .. } => matches!(text.as_str(), "true" | "false") || text.parse::<i64>().is_ok(),
            _ => false,
        };
        if entry.value.is_blank() {
            out.hide(entry.key_span);
        } else if is_sensitive(&entry.key) || !(plain || entry.key == "bootstrap.servers") {
            hide_all(out, &entry.value);
        }
    }
}

pub(super) fn hide_all(out: &mut Diagnostics, node: &Node) {
    match &node.value {
        Value::Scalar { text, .. } if is_reference(text) || node.is_blank() => {}
        _ => out.hide(node.defined),
    }
}

/// Sections that hold secrets in some of their places, which [`hide_secrets`] knows.
const KNOWN: [&str; 5] = ["kafka", "secrets", "topology", "redis", "postgres"];

/// Sections whose values are no secrets, unless a word says so.
const HARMLESS: [&str; 16] = [
    "application",
    "embedded",
    "commit_interval",
    "transaction_timeout",
    "static_membership",
    "threads",
    "state",
    "http",
    "defaults",
    "streams",
    "sinks",
    "tables",
    // Of scenarios.
    "name",
    "partitions",
    "input",
    "expect",
];

/// Hides secrets in a text that is not YAML, by its shape alone and rather too much. In the sections above: what stands
/// behind a sensitive word, and the lines below up to the next field that is not indented deeper. Elsewhere: everything
/// but the first name of a line.
pub(super) fn hide_text(out: &mut Diagnostics, file: usize, text: &str) {
    let mut harmless = false;
    let mut below: Option<usize> = None;
    for (index, line) in yaml::lines(text).enumerate() {
        let mut hide_from = |column: usize| {
            out.hide(Span { file, line: index + 1, column, end_line: index + 1, end_column: usize::MAX });
        };
        let indent = line.chars().take_while(|c| matches!(c, ' ' | '-' | '\t' | '#')).count();
        let name = field_name(line);
        if indent == 0 {
            harmless = name.is_some_and(|name| HARMLESS.contains(&name));
        }
        if below.is_some_and(|below| indent > below || name.is_none()) {
            hide_from(1);
            continue;
        }
        below = None;
        let after_name = name.map_or(1, |name| indent + name.chars().count() + 3);
        if !harmless {
            hide_from(after_name);
            continue;
        }
        let lower = line.to_ascii_lowercase();
        let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
        if words.any(|word| !word.is_empty() && is_sensitive(word)) {
            below = Some(indent);
            hide_from(after_name);
        }
    }
}

/// `name:` and then nothing or a blank.
fn field_name(line: &str) -> Option<&str> {
    let line = line.trim_start_matches([' ', '-', '\t', '#']);
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.'))?;
    let (name, rest) = line.split_at(end);
    (end > 0 && (rest.trim_end() == ":" || rest.starts_with(": "))).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::super::diagnostics::{Diagnostic, Severity};
    use super::*;

    #[test]
    fn names() {
        for name in [
            "salt",
            "sasl.password",
            "sasl.passwor",
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

    #[test]
    fn addresses_that_may_hold_a_password() {
        for url in
            ["http://localhost:8123", "redis://[::1]:6379/1", "postgres://db/shop", "${DATABASE_URL}", "https://h/"]
        {
            assert!(!may_hold_password(url), "{url}");
        }
        for url in
            ["redis://:CANARY", "postgres://me:CANARY/shop", "host=h password=CANARY", "http://a:b@h", "h:CANARY:1"]
        {
            assert!(may_hold_password(url), "{url}");
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
                    sercets: {pii: CANARY}\nsalt: [CANARY, {CANARY: CANARY}]\nstate: s\n\
                    x: &a shown2\ny: &b CANARY\npassword: *b\nsecrF 0s: {pii: CANARY}\nsecuurytes: [CANARY]\n\
                    streams: {fields: {password: drop}, list: [{secret: pii, token: CANARY}]}\n";
        let root = yaml::parse(text, 0).root.unwrap();
        let all = shown(text, |out| show_tree(out, &root));
        assert!(!all.contains("CANARY"), "{all}");
        for slipped in
            ["secrets:\npii: CANARY\n", "secrets:\n  pii: CANARY\nother: CANARY\n", "secrets: p\nii: [CANARY]\n"]
        {
            let text = format!("{slipped}streams: shown\nlater: shown");
            let root = yaml::parse(&text, 0).root.unwrap();
            let all = shown(&text, |out| show_tree(out, &root));
            assert!(!all.contains("CANARY") && all.contains("streams: shown") && all.contains("later: shown"), "{all}");
        }
        for want in ["pii: ***", "shown,", "ref: ${NAME}", "shown2", "password: drop", "secret: pii"] {
            assert!(all.contains(want), "{want} in {all}");
        }
    }

    #[test]
    fn broken_texts_hide_too_much_rather_than_too_little() {
        for (text, want) in [
            ("input: [\nsecrets: {pii: CANARY}", "input: ["),
            ("secrets:\n  pii: CANARY\n\n  b: CANARY\nstreams: [", "streams: ["),
            ("threads: 2\nsecrets: {pii: CANARY,\nother: CANARY\n", "threads: 2"),
            ("  sasl.password: CANARY\n  sasl.username: ann\n", "sasl.username:"),
            ("salt: \"CANARY\nCANARY", "salt:"),
            ("- {x: 1, salt: CANARY}\n- b: shown", "- b:"),
            ("sercets:\n\tpii: CANARY", "sercets:"),
        ] {
            let all = shown(text, |out| hide_text(out, 0, text));
            assert!(!all.contains("CANARY") && all.contains(want), "{all}");
        }
    }
}
