//! What every code means: of errors and warnings in files, and of reasons why a record cannot be processed.
//!
//! Each has its cause, what became of the data, the remedy, and an example of wrong and right. The examples are tried by
//! the tests: the wrong one has the code, the right one has not.

mod files;
mod reasons;

use crate::record::Reason;

/// What a code is said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Of a topology or a rules file: `run` does not start.
    Error,
    /// Of a topology that runs all the same.
    Warning,
    /// Of a scenario of `topology test`.
    Scenario,
    /// Why a record goes by `on_error`.
    Record,
}

#[derive(Debug, Clone, Copy)]
pub struct Explanation {
    pub code: &'static str,
    pub kind: Kind,
    /// Half a line, for the list.
    pub title: &'static str,
    pub cause: &'static str,
    /// What became of the data; empty where the kind says it.
    pub data: &'static str,
    pub remedy: &'static str,
    pub wrong: &'static str,
    pub right: &'static str,
}

impl Kind {
    pub fn title(self) -> &'static str {
        match self {
            Kind::Error => "errors of a topology",
            Kind::Warning => "warnings of a topology",
            Kind::Scenario => "errors of a scenario",
            Kind::Record => "reasons of bad records",
        }
    }

    fn data(self) -> &'static str {
        match self {
            Kind::Error => "Nothing was read or written: `run` does not start with an error in its files.",
            Kind::Warning => "It runs all the same.",
            Kind::Scenario => "Nothing ran: a scenario is read whole before its topology starts.",
            Kind::Record => {
                "The record left nothing, neither a row nor state; it went by the stream's `on_error`, in the transaction \
                 that went past it. A dead letter names its topic id, partition and offset and holds nothing of it. The \
                 record itself is still in its topic."
            }
        }
    }
}

/// What to do about a code, as a line of help; nothing where it is not known.
pub(super) fn remedy(code: &str) -> Option<String> {
    let one = files::ALL.iter().find(|one| one.code == code)?;
    let mut letters = one.remedy.trim_end_matches('.').chars();
    let first = letters.next()?;
    Some(first.to_lowercase().chain(letters).collect())
}

impl Explanation {
    pub fn data(&self) -> &'static str {
        if self.data.is_empty() { self.kind.data() } else { self.data }
    }
}

/// Every one, in the order in which they are listed.
pub fn all() -> Vec<Explanation> {
    let reasons = Reason::ALL.iter().map(|reason| reasons::of(*reason));
    files::ALL.iter().copied().chain(reasons).collect()
}

/// Those of this code: written exactly, or with `-` and `_` and case mixed up, or as a message shows it, `error[CODE]`.
pub fn find(code: &str) -> Vec<Explanation> {
    let inner = code.split_once('[').map_or(code, |(_, inner)| inner.trim_end_matches(']'));
    let exact: Vec<_> = all().into_iter().filter(|one| one.code == inner).collect();
    if !exact.is_empty() {
        return exact;
    }
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    all().into_iter().filter(|one| plain(one.code) == plain(inner)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::record::change::decode;
    use crate::topology::{Diagnostics, Mode, Topology};

    /// A fragment as a whole topology: of a stream, of the top, or whole already.
    fn whole(fragment: &str) -> String {
        const TOP: [(&str, &str); 4] = [
            ("application", "application: app\n"),
            ("kafka", "kafka: { bootstrap.servers: b }\n"),
            ("secrets", "secrets: { pii: '${PII}' }\n"),
            ("streams", "streams:\n  s: { from: in, steps: [dedup, mask: none], to: out }\n"),
        ];
        const STREAM: [(&str, &str); 3] =
            [("from", "from: in\n"), ("steps", "steps: [dedup, { mask: none }]\n"), ("to", "to: out\n")];
        let has = |text: &str, name: &str| text.lines().any(|line| line.starts_with(&format!("{name}:")));
        let of_stream = STREAM.iter().any(|(name, _)| has(fragment, name)) || has(fragment, "on_error");
        let mut text = fragment.to_owned();
        if of_stream {
            for (_, line) in STREAM.iter().filter(|(name, _)| !has(fragment, name)) {
                text += line;
            }
            text = format!("streams:\n  s:\n{}", text.lines().map(|line| format!("    {line}\n")).collect::<String>());
        }
        let missing = TOP.iter().filter(|(name, _)| !has(&text, name));
        missing.map(|(_, line)| *line).collect::<String>() + &text
    }

    fn check(text: &str) -> Diagnostics {
        let env = |name: &str| (name == "PII").then(|| "0123456789abcdef".to_owned());
        match Topology::parse(text, "topology.yaml", Path::new(""), Mode::Run, &env) {
            Ok(loaded) => loaded.warnings,
            Err(found) => found,
        }
    }

    #[test]
    fn examples_of_files_are_what_they_say() {
        let mut tried = 0;
        for one in files::ALL.iter().filter(|one| one.kind != Kind::Scenario) {
            let has = |text: &str| check(text).iter().any(|item| item.code == one.code);
            // What is no YAML, no topology, or lies in another file, is told of in words.
            let said = ["yaml", "empty-file", "unreadable", "incomplete", "rules-file", "unknown-name"];
            if said.contains(&one.code) {
                continue;
            }
            assert!(has(&whole(one.wrong)), "{} is not what is wrong in\n{}", one.code, whole(one.wrong));
            let found = check(&whole(one.right));
            assert!(!has(&whole(one.right)) && found.errors() == 0, "{}:\n{found}", one.code);
            tried += 1;
        }
        assert!(tried >= 30, "{tried} examples");
    }

    #[test]
    fn examples_of_records_are_what_they_say() {
        let mut tried = 0;
        for reason in Reason::ALL {
            let one = reasons::of(*reason);
            assert_eq!(one.code, reason.as_str());
            // The others need a topology, and are told of in two lines.
            if one.wrong.contains('\n') || !one.wrong.starts_with('{') {
                continue;
            }
            assert_eq!(decode(Some(one.wrong.as_bytes())).err().map(|bad| bad.reason), Some(*reason), "{}", one.wrong);
            assert!(decode(Some(one.right.as_bytes())).is_ok(), "{}", one.right);
            tried += 1;
        }
        assert!(tried >= 6, "{tried} examples");
    }

    #[test]
    fn every_explanation_is_whole() {
        let all = all();
        let codes: BTreeSet<_> = all.iter().map(|one| one.code).collect();
        assert_eq!(codes.len(), all.len(), "a code is explained twice");
        for one in all {
            for (name, text) in [("cause", one.cause), ("data", one.data()), ("remedy", one.remedy)] {
                assert!(text.ends_with('.'), "the {name} of {} is no sentence: {text}", one.code);
            }
            assert!(!one.title.is_empty() && !one.wrong.is_empty() && !one.right.is_empty(), "{}", one.code);
        }
    }

    #[test]
    fn codes_are_found_as_people_write_them() {
        let codes = |text: &str| find(text).iter().map(|one| one.code).collect::<Vec<_>>();
        assert_eq!(codes("wrong-type"), ["wrong-type"]);
        assert_eq!(codes("wrong_type"), ["wrong_type"]);
        assert_eq!(codes("error[bad-value]"), ["bad-value"]);
        assert_eq!(codes("Unlisted-Column"), ["unlisted_column"]);
        assert_eq!(codes("WRONG-TYPE"), ["wrong-type", "wrong_type"]);
        assert!(codes("nonsense").is_empty());
    }

    /// Every code in the sources is explained, and nothing else is.
    #[test]
    fn every_code_that_can_be_met_is_explained() {
        let mut met = BTreeSet::new();
        let mut loose = Vec::new();
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/topology"), &mut |path, text| {
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let call = regex::Regex::new(
                r#"(?:\.(?:error|warn|explain|file_error)\(|\.report\(\s*[A-Za-z:.]+,|\bcode:)\s*("([a-z-]+)"|[^\s"&'][^,;)]*)"#,
            )
            .unwrap();
            for found in call.captures_iter(text) {
                match found.get(2) {
                    Some(code) => drop(met.insert(code.as_str().to_owned())),
                    None => loose.push(format!("{}: {}", path.file_name().unwrap().display(), &found[1])),
                }
            }
        });
        loose.sort();
        // The reader hands on what it was given; a code from elsewhere would not be seen here.
        assert_eq!(loose, ["reader.rs: code", "reader.rs: code", "reader.rs: code", "reader.rs: problem.code"]);
        let explained: BTreeSet<_> = files::ALL.iter().map(|one| one.code.to_owned()).collect();
        assert_eq!(met.difference(&explained).collect::<Vec<_>>(), [""; 0], "not explained");
        assert_eq!(explained.difference(&met).collect::<Vec<_>>(), [""; 0], "explained, and never met");
    }

    fn read(folder: &Path, visit: &mut dyn FnMut(&Path, &str)) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("explain") {
                // These only speak of them.
            } else if path.is_dir() {
                read(&path, visit);
            } else {
                visit(&path, &std::fs::read_to_string(&path).unwrap());
            }
        }
    }
}
