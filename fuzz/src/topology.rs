//! Texts as a topology.

use std::path::Path;

use highwater::topology::describe::{Form, describe};
use highwater::topology::{Diagnostics, Mode, Topology};

/// Any text: a topology or errors that say where, and no secret that is known to be one in any of it.
pub fn topology(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // What has no end cannot be read to it.
    if ["/dev", "/proc", "/sys", ".."].iter().any(|endless| text.contains(endless)) {
        return;
    }
    for mode in [Mode::Check, Mode::Run] {
        match load(text, mode) {
            Ok((topology, found)) => {
                let mut said = forms(&found);
                said.extend(FORMS.map(|form| describe(&topology, form)));
                said.push(format!("{topology:?}"));
                // Meant as a secret, and as nothing else.
                let is_secret = topology.streams.iter().filter_map(|stream| stream.mask.keys.as_ref()).any(|keys| {
                    let keys = [Some(&keys.current), keys.previous.as_ref()];
                    keys.into_iter().flatten().any(|key| key.secret.expose() == SECRET.as_bytes())
                });
                if is_secret && text.matches("SECRET").count() == 1 {
                    said.iter().for_each(|said| assert!(!said.contains(SECRET), "{said}"));
                }
            }
            Err(found) => {
                assert!(found.errors() > 0);
                assert!(found.iter().all(|item| !item.message.is_empty()));
                forms(&found);
            }
        }
    }
}

const SECRET: &str = "0123456789abcdef-of-the-environment";

const FORMS: [Form; 5] = [Form::Text, Form::Tree, Form::Mermaid, Form::Dot, Form::Json];

fn load(text: &str, mode: Mode) -> Result<(Topology, Diagnostics), Diagnostics> {
    let env = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    let loaded = Topology::parse(text, "topology.yaml", Path::new("/nowhere"), mode, &env)?;
    Ok((loaded.topology, loaded.warnings))
}

fn forms(found: &Diagnostics) -> Vec<String> {
    vec![found.to_string(), found.render(true), found.github(), found.json().to_string()]
}

/// Two slips of the keyboard in a file full of secrets: none of them is shown.
///
/// A line a slip: where, how many characters go (two at most), and what comes in (three at most).
pub fn slips(bytes: &[u8]) {
    let Ok(script) = std::str::from_utf8(bytes) else { return };
    let mut lines = script.lines();
    let number: usize = lines.next().and_then(|line| line.parse().ok()).unwrap_or(0);
    let mut text: Vec<char> = FULL_OF_SECRETS[number % FULL_OF_SECRETS.len()].chars().collect();
    for line in lines.take(2) {
        let mut words = line.splitn(3, ' ');
        let mut number = || words.next().and_then(|word| word.parse::<usize>().ok());
        let (Some(at), Some(gone)) = (number(), number()) else { return };
        let at = at % text.len();
        let end = text.len().min(at + gone.min(2));
        let new = words.next().unwrap_or_default().replace("\\n", "\n");
        text.splice(at..end, new.chars().take(3));
    }
    let text: String = text.into_iter().collect();
    let said = match load(&text, Mode::Check) {
        Ok((topology, found)) => {
            let mut said = forms(&found);
            said.extend(FORMS.map(|form| describe(&topology, form)));
            said
        }
        Err(found) => forms(&found),
    };
    said.iter().for_each(|said| assert!(!said.contains("CANARY"), "{text}\n{said}"));
}

const FULL_OF_SECRETS: [&str; 3] = [
    "application: app\nkafka: { bootstrap.servers: x, sasl.password: CANARY-1 }\nsecrets:\n  pii: CANARY-2\n  other: \
     \"CANARY-3\"\n  long: |\n    CANARY-4\n    CANARY-5\nstreams:\n  a:\n    from: in\n    steps: [dedup, { mask: { \
     secret: pii, fields: { a: hash } } }]\n    to: out\n",
    "application: app\nkafka:\n  bootstrap.servers: x\n  sasl.jaas.config: 'a b=\"CANARY-1\";'\nsecrets:\n  pii:\n    \
     keys:\n      k1: CANARY-2\n      k2: 'CANARY-3'   # a comment\n    current: k2\n    previous: k1\nstreams:\n  a:\n    \
     from: in\n    steps:\n      - mask:\n          fields:\n            a: { rule: hmac, previous: b }\n    to: out\n",
    "# a comment\napplication: app\nembedded: log\nsecrets: { pii: &salt CANARY-2, other: *salt, third: !!str CANARY-3 \
     }\nstate: { path: s, secret: other }\nstreams: { a: { from: in, to: out, steps: [ dedup, { mask: { secret: third, \
     fields: { a: hash } } } ] } }\n",
];
