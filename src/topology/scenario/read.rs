//! The sections of a scenario file, from the top.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Scenario, expect, input};
use crate::record::Secret;
use crate::topology::diagnostics::Diagnostics;
use crate::topology::reader::{Fields, Reader, list, nearest};
use crate::topology::yaml::{self, Entry, Node, Span, Value};
use crate::topology::{Mode, Topology, load, spec};

const KNOWN: [&str; 7] = ["name", "topology", "secrets", "env", "partitions", "input", "expect"];

const NEEDS: &str = "a scenario has `input:`, a list of records, and `expect:`, what must come of them: see \
                     `highwater topology test --help`";

const TOPOLOGY: &str = "topology.yaml";

impl Scenario {
    /// Reads and checks a file. `default`: the topology of those that name none, instead of one that lies beside the
    /// file or where the process runs.
    pub fn load(path: &Path, default: Option<&Path>) -> Result<Self, Diagnostics> {
        let text = match std::fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => {
                let at = error.utf8_error().valid_up_to();
                return Err(unreadable(path, format!("the file is not UTF-8 from byte {at} on")));
            }
            Err(error) => return Err(unreadable(path, format!("the scenario cannot be read: {error}"))),
        };
        Self::parse(&text, path, default)
    }

    /// The same for a text; `path` stands in messages, and paths in it start at its directory.
    pub fn parse(text: &str, path: &Path, default: Option<&Path>) -> Result<Self, Diagnostics> {
        let mut reader = load::reader(path.parent().unwrap_or(Path::new("")), Mode::Test, &|_| None);
        let root = reader.tree(&path.display().to_string(), text);
        let scenario = root.and_then(|root| read(&mut reader, &root, path, default));
        match scenario {
            Some(scenario) if reader.out.errors() == 0 => Ok(scenario),
            _ => {
                // Never refuse without a word, whatever a section forgot to report.
                if reader.out.errors() == 0 {
                    reader.file_error("incomplete", "the scenario could not be read".into(), &[]);
                }
                reader.out.retain(|item| item.severity == crate::topology::Severity::Error);
                Err(reader.out)
            }
        }
    }
}

/// Whether a text is a topology or a rules file: such lie among scenarios.
pub fn is_another_kind(text: &str) -> bool {
    let Some(Node { value: Value::Map(entries), .. }) = yaml::parse(text, 0).root else { return false };
    let has = |name: &str| entries.iter().any(|entry| entry.key == name);
    !has("input") && !has("expect") && (has("streams") || has("tables"))
}

fn unreadable(path: &Path, message: String) -> Diagnostics {
    let mut reader = load::reader(Path::new(""), Mode::Test, &|_| None);
    reader.out.add_file(path.display().to_string(), "");
    reader.file_error("unreadable", message, &[]);
    reader.out
}

fn read(reader: &mut Reader<'_>, root: &Node, path: &Path, default: Option<&Path>) -> Option<Scenario> {
    if let Value::Map(entries) = &root.value
        && !entries.iter().any(|entry| near(&entry.key, "input") || near(&entry.key, "expect"))
    {
        let at = entries.first().map_or(root.span, |entry| entry.key_span);
        reader.explain("no-scenario", at, "this is no scenario", "", &[NEEDS]);
        return None;
    }
    let top = reader.fields(root, root.span, "a scenario", &KNOWN)?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = top.get("name").and_then(|entry| text(reader, &entry.value, entry.key_span, "`name`"));
    let env = top.get("env").map(|entry| texts(reader, entry, "`env`")).unwrap_or_default();
    let secrets = top.get("secrets").map(|entry| texts(reader, entry, "`secrets`")).unwrap_or_default();
    let partitions = top.get("partitions").map(|entry| read_partitions(reader, entry)).unwrap_or_default();
    let topology = read_topology(reader, root, top, Outside { env, secrets, default });
    let input = top.require(reader, "input", "a list of records");
    let input = input.map(|entry| input::read(reader, entry, &partitions, topology.as_ref()));
    let expect = match top.require(reader, "expect", "what must come of the input: output, dead_letters, state, …") {
        Some(entry) => {
            let sources = input.as_ref().map(|input| &input.topics);
            expect::read(reader, entry, topology.as_ref().zip(sources))
        }
        None => None,
    };
    let input = input?;
    Some(Scenario {
        name: name.or(stem)?,
        topology: topology?,
        topics: input.topics,
        steps: input.steps,
        expect: expect?,
    })
}

fn near(given: &str, name: &str) -> bool {
    given == name || nearest(given, [name].into_iter()).is_some()
}

/// A scalar as it stands: nothing is substituted in scenarios.
pub(super) fn text(reader: &mut Reader<'_>, node: &Node, at: Span, what: &str) -> Option<String> {
    reader.scalar(node, at, what).map(str::to_owned)
}

/// A mapping of names to scalars.
fn texts(reader: &mut Reader<'_>, section: &Entry, what: &str) -> Vec<(String, String, Span)> {
    let entries = reader.map(&section.value, section.key_span, what).unwrap_or_default();
    let mut read = Vec::new();
    for entry in entries {
        if let Some(text) = text(reader, &entry.value, entry.key_span, &format!("`{}`", entry.key)) {
            read.push((entry.key.clone(), text, entry.key_span));
        }
    }
    read
}

/// A whole number.
pub(super) fn number<T: std::str::FromStr>(
    reader: &mut Reader<'_>,
    entry: &Entry,
    what: &str,
    is_right: impl Fn(&T) -> bool,
    wanted: &str,
) -> Option<T> {
    let given = text(reader, &entry.value, entry.key_span, what)?;
    match given.parse().ok().filter(|number| is_right(number)) {
        Some(number) => Some(number),
        None => {
            reader.error("bad-value", entry.value.span, format!("{what} cannot be `{given}`"), wanted);
            None
        }
    }
}

/// How many partitions source topics have.
#[derive(Default)]
pub(super) struct Partitions {
    pub all: Option<i32>,
    pub of: BTreeMap<String, (i32, Span)>,
}

fn read_partitions(reader: &mut Reader<'_>, section: &Entry) -> Partitions {
    let mut partitions = Partitions::default();
    let read = |reader: &mut Reader<'_>, entry: &Entry| {
        number(
            reader,
            entry,
            "the number of partitions",
            |n| (1..=1000).contains(n),
            "expected a number from 1 to 1000",
        )
    };
    match &section.value.value {
        Value::Map(entries) => {
            for entry in entries {
                if let Some(number) = read(reader, entry) {
                    partitions.of.insert(entry.key.clone(), (number, entry.key_span));
                }
            }
        }
        _ => partitions.all = read(reader, section),
    }
    partitions
}

/// What a topology takes from its scenario.
struct Outside<'a> {
    env: Vec<(String, String, Span)>,
    secrets: Vec<(String, String, Span)>,
    default: Option<&'a Path>,
}

fn read_topology(reader: &mut Reader<'_>, root: &Node, top: Fields<'_>, outside: Outside<'_>) -> Option<Topology> {
    let (node, dir) = match top.get("topology") {
        Some(entry) if matches!(entry.value.value, Value::Map(_)) => (inline(entry), reader.dir.clone()),
        Some(entry) => {
            let path = text(reader, &entry.value, entry.key_span, "`topology`")?;
            if path.contains('\n') {
                let label = "leave out the `|`: it is a mapping";
                reader.error("wrong-type", entry.value.span, "`topology` is a text", label);
                return None;
            }
            let path = reader.dir.join(path);
            file(reader, &path, entry.value.span)?
        }
        None => {
            let at = Span { end_line: root.span.line, end_column: root.span.column + 1, ..root.span };
            let path = found(&reader.dir, outside.default);
            let Some(path) = path else {
                let help = ["name it: `topology: PATH` from here, or `-f FILE`; or write it here, as a mapping"];
                let message = format!("no topology: there is no `{TOPOLOGY}` beside the scenario, nor where you are");
                reader.explain("missing-field", at, message, "", &help);
                return None;
            };
            file(reader, &path, at)?
        }
    };
    let env: BTreeMap<_, _> = outside.env.into_iter().map(|(name, value, _)| (name, value)).collect();
    let lookup = |name: &str| env.get(name).cloned();
    let mut inner = load::reader(&dir, Mode::Test, &lookup);
    inner.given = outside.secrets.iter().map(|(name, text, _)| (name.clone(), Secret::new(text.as_bytes()))).collect();
    inner.out = std::mem::take(&mut reader.out);
    let topology = spec::read(&mut inner, &node);
    let declared: Vec<String> = inner.givable().collect();
    reader.out = inner.out;
    for (name, _, at) in &outside.secrets {
        if declared.contains(name) {
            continue;
        }
        let label = match nearest(name, declared.iter().map(String::as_str)) {
            Some(name) => format!("did you mean `{name}`?"),
            None if declared.is_empty() => "it declares none".to_owned(),
            None => format!("declared: {}", list(declared.iter().map(String::as_str))),
        };
        reader.error("unknown-secret", *at, format!("the topology declares no secret `{name}`"), label);
    }
    topology
}

/// The topology of a scenario that names none.
fn found(dir: &Path, default: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = default {
        return Some(path.to_owned());
    }
    [dir.join(TOPOLOGY), PathBuf::from(TOPOLOGY)].into_iter().find(|path| path.is_file())
}

fn file(reader: &mut Reader<'_>, path: &Path, at: Span) -> Option<(Node, PathBuf)> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("the topology `{}` cannot be read", path.display());
            reader.error("unreadable", at, message, format!("{error}; paths start at the scenario's directory"));
            return None;
        }
    };
    let root = reader.tree(&path.display().to_string(), &text)?;
    Some((root, path.parent().unwrap_or(Path::new("")).to_owned()))
}

/// A topology within a scenario needs no name.
fn inline(section: &Entry) -> Node {
    let mut node = section.value.clone();
    if let Value::Map(entries) = &mut node.value
        && entries.iter().all(|entry| entry.key != "application")
    {
        let value = Value::Scalar { text: "test".into(), plain: true };
        let value = Node { value, span: section.key_span, defined: section.key_span };
        entries.push(Entry { key: "application".into(), key_span: section.key_span, value });
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::mask::Rules;
    use crate::topology::Cluster;

    const REST: &str = "input: [{ topic: in, value: null }]\nexpect: { output: {} }\n";

    fn topology(name: &str, secret: &str) -> String {
        format!(
            "application: {name}\nkafka: {{ bootstrap.servers: '${{NOWHERE}}' }}\nsecrets: {{ pii: '{secret}' }}\nstreams:\n  \
             s: {{ from: '${{IN:-in}}', steps: [dedup, {{ mask: {{ fields: {{ a: hash }} }} }}], to: out }}\n"
        )
    }

    fn load(text: &str, dir: &Path, default: Option<&Path>) -> Scenario {
        Scenario::parse(text, &dir.join("s.yaml"), default).unwrap_or_else(|found| panic!("{found}"))
    }

    fn directory(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("highwater-scenario-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn a_topology_is_named_or_given_or_found() {
        let dir = directory("found");
        for name in ["topology", "named", "default"] {
            std::fs::write(dir.join(format!("{name}.yaml")), topology(name, "${X}")).unwrap();
        }
        let of = |head: &str, default: Option<&Path>| load(&format!("{head}{REST}"), &dir, default).topology;
        assert_eq!(of("", None).application, "topology");
        assert_eq!(of("", Some(&dir.join("default.yaml"))).application, "default");
        assert_eq!(of("topology: named.yaml\n", Some(&dir.join("default.yaml"))).application, "named");
        let inline = "topology: { streams: { s: { from: in, steps: [dedup, { mask: none }], to: out } } }\n";
        let inline = of(inline, None);
        assert_eq!(inline.application, "test");
        assert!(matches!(inline.cluster, Cluster::Embedded(_)), "no broker");
        assert_eq!(load(REST, &dir, None).name, "s");
        assert_eq!(load(&format!("name: n\n{REST}"), &dir, None).name, "n");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn nothing_comes_from_outside() {
        let dir = directory("outside");
        std::fs::write(dir.join("secret"), "from a file").unwrap();
        let secret = |declared: &str, head: &str| {
            std::fs::write(dir.join("topology.yaml"), topology("a", declared)).unwrap();
            let topology = load(&format!("{head}{REST}"), &dir, None).topology;
            assert!(matches!(&topology.streams[0].mask.rules, Rules::Fields(_)));
            topology.streams[0]
                .mask
                .keys
                .as_ref()
                .map(|keys| String::from_utf8_lossy(keys.current.secret.expose()).into_owned())
        };
        // PATH is set wherever this runs.
        for (declared, head, want) in [
            ("${PATH}", "", "stand-in-for-pii"),
            ("${file:secret}", "", "stand-in-for-pii"),
            ("${PATH}", "env: { PATH: x }\n", "stand-in-for-pii"),
            ("${PATH}", "secrets: { pii: given }\n", "given"),
            ("literal", "", "literal"),
            ("literal", "secrets: { pii: given }\n", "given"),
        ] {
            assert_eq!(secret(declared, head).as_deref(), Some(want), "{declared} {head}");
        }
        // A key of a ring goes by its full name, whatever it is called.
        let ring =
            topology("a", "x").replace("pii: 'x'", "pii: { keys: { pii: '${PATH}', k2: '${PATH}' }, current: pii }");
        std::fs::write(dir.join("topology.yaml"), ring.replace("hash", "hmac")).unwrap();
        let keys = load(&format!("secrets: {{ pii.pii: one, pii.k2: two }}\n{REST}"), &dir, None)
            .topology
            .streams
            .remove(0)
            .mask
            .keys;
        let secrets = keys.map(|keys| (keys.current.secret, keys.previous.unwrap().secret));
        assert_eq!(secrets, Some((Secret::new("one"), Secret::new("two"))));
        let text = format!("env: {{ IN: elsewhere }}\n{}", REST.replace("topic: in", "topic: elsewhere"));
        assert!(load(&text, &dir, None).topology.streams[0].reads("elsewhere"));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn topics_have_the_partitions_that_are_named() {
        let of = |head: &str, input: &str| {
            let text = format!(
                "topology: {{ streams: {{ s: {{ from: {{ topics: [a, b] }}, steps: [dedup, {{ mask: none }}], to: out }} }} }}\n\
                 {head}input: [{input}]\nexpect: {{ output: {{}} }}\n"
            );
            load(&text, Path::new(""), None).topics.into_values().collect::<Vec<_>>()
        };
        let record = "{ topic: b, partition: 2, value: null }";
        assert_eq!(of("", "{ topic: a, value: null }"), [1, 1]);
        assert_eq!(of("", record), [1, 3]);
        assert_eq!(of("partitions: 4\n", record), [4, 4]);
        assert_eq!(of("partitions: { b: 5 }\n", record), [1, 5]);
    }

    #[test]
    fn other_files_among_scenarios_are_known() {
        for (text, want) in [
            ("application: a\nstreams: {}\n", true),
            ("tables: {}\n", true),
            ("streams: {}\ninput: []\n", false),
            ("inputs: []\n", false),
            ("[a]", false),
            ("{", false),
        ] {
            assert_eq!(is_another_kind(text), want, "{text}");
        }
    }
}
