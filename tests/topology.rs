//! Wrong configurations and what is said of them: `tests/topology/NAME.yaml` and `NAME.expected` beside it.
//!
//! A case may start with `# mode: run` and `# env: NAME=VALUE` lines. `UPDATE_EXPECTED=1 cargo test --test topology`
//! writes what is said now; read the difference before you keep it. Whatever must stay secret is called CANARY in the cases.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use highwater::topology::explain::find;
use highwater::topology::{Diagnostics, Loaded, Mode, Topology};

fn cases() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/topology");
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "yaml")).collect();
    cases.sort();
    cases
}

fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    let text = std::fs::read_to_string(path).unwrap();
    let options =
        |name: &str| text.lines().filter_map(move |line| line.strip_prefix(&format!("# {name}: "))).collect::<Vec<_>>();
    let mode = if options("mode") == ["run"] { Mode::Run } else { Mode::Check };
    let env: BTreeMap<_, _> = options("env").into_iter().filter_map(|line| line.split_once('=')).collect();
    let env = |name: &str| env.get(name).map(|value| (*value).to_owned());
    Topology::parse(&text, "topology.yaml", path.parent().unwrap(), mode, &env)
}

#[test]
fn every_error_is_shown_where_it_stands() {
    let cases = cases();
    assert!(cases.len() >= 64, "{} cases found", cases.len());
    let mut wrong = Vec::new();
    for path in cases {
        let Err(found) = load(&path) else { panic!("{} is accepted", path.display()) };
        assert!(found.errors() > 0, "{}", path.display());
        let dir = format!("{}/", path.parent().unwrap().display());
        let said = format!("{found}\n").replace(&dir, "");
        for form in [&said, &found.render(true), &found.github(), &found.json().to_string()] {
            assert!(!form.contains("CANARY"), "{} shows a secret:\n{form}", path.display());
        }
        let expected = path.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&expected, &said).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{}:\n{said}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
}

/// Like a good compiler: a code that is explained, a caret, what is wrong, and what to do about it.
#[test]
fn every_error_says_what_to_do() {
    let mut judged = 0;
    for path in cases() {
        let Err(found) = load(&path) else { panic!("{} is accepted", path.display()) };
        for item in found.iter() {
            let place = format!("{}: {}: {}", path.display(), item.code, item.message);
            assert!(!item.message.is_empty() && !item.message.ends_with('.'), "{place}");
            assert!(!item.label.is_empty() || !item.help.is_empty(), "{place}: neither a label nor a help");
            assert_eq!(find(item.code).len(), 1, "{place}: the code is not explained");
            let caret = item.span.is_some_and(|span| span.line > 0 && span.column > 0);
            assert!(caret, "{place}: no caret");
            judged += 1;
        }
        assert!(found.to_string().ends_with(&found.more().expect("a code")), "{}", path.display());
    }
    assert!(judged >= 150, "{judged} errors");
}

/// A canary that no case holds proves nothing.
#[test]
fn the_cases_hold_secrets() {
    let texts: Vec<_> = cases().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert!(texts.iter().filter(|text| text.contains("CANARY")).count() >= 8);
}

/// Whatever is cut out of the real topology: an answer or errors, no panic, and no wrong file without a word.
#[test]
fn no_text_makes_it_panic() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(dir.join("topology.yaml")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let parse = |text: &str| match Topology::parse(text, "topology.yaml", dir, Mode::Check, &|_| None) {
        Ok(_) => {}
        Err(found) => assert!(found.errors() > 0 && !found.to_string().is_empty(), "{text}"),
    };
    for index in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(index);
        parse(&fewer.join("\n"));
    }
    for (index, _) in text.char_indices().step_by(7) {
        parse(&text[..index]);
        let mut other = text.clone();
        other.replace_range(index..index + text[index..].chars().next().map_or(1, char::len_utf8), "{");
        parse(&other);
    }
}

/// One slip of the keyboard anywhere in a file full of secrets: none of them is shown.
#[test]
fn no_slip_shows_a_secret() {
    let text = "application: app\nkafka: { bootstrap.servers: x, sasl.password: CANARY-1 }\nsecrets:\n  pii: CANARY-2\n  \
                other: \"CANARY-3\"\n  long: |\n    CANARY-4\n    CANARY-5\nstreams:\n  a:\n    from: in\n    \
                steps: [dedup, { mask: { secret: pii, fields: { a: hash } } }]\n    to: out\n";
    let check = |text: &str| {
        let found = match Topology::parse(text, "topology.yaml", Path::new(""), Mode::Check, &|_| None) {
            Ok(loaded) => loaded.warnings,
            Err(found) => found,
        };
        for form in [found.to_string(), found.github(), found.json().to_string()] {
            assert!(!form.contains("CANARY"), "{text}\n{form}");
        }
    };
    check(text);
    for (index, old) in text.char_indices() {
        let after = index + old.len_utf8();
        for new in [
            "", " ", "\n", "#", ":", ": ", "{", "}", "[", "]", "\"", "'", "|", "-", "- ", ",", "&", "*", "!", "%", "@",
            "${", "x", "\r", "\t", "\0", "\u{85}", "\u{2028}", "\u{feff}",
        ] {
            check(&format!("{}{new}{}", &text[..index], &text[after..]));
            check(&format!("{}{new}{}", &text[..index], &text[index..]));
        }
    }
}
