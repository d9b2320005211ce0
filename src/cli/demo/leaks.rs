//! Every byte that was written outside the source topics, searched for the values that had to stay inside.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use memchr::memmem::Finder;
use serde_json::Value;

use crate::cli::read_back::read_back;
use crate::log::{Isolation, Log, LogError, Result};
use crate::operators::mask::{Rule, Rules, Unlisted};
use crate::topology::{Stream, Topology};

/// Shorter values turn up by chance.
const SHORTEST: usize = 6;

#[derive(Default)]
pub struct Search {
    pub values: usize,
    pub bytes: usize,
    pub places: usize,
    /// Where something was found: never the value itself.
    pub found: Vec<String>,
}

/// Searches all topics but the sources, open and aborted records included, and the files below `files`.
pub fn search(topology: &Topology, log: &dyn Log, files: &[&Path], more: &[(&str, &[u8])]) -> Result<Search> {
    let topics = log.admin().topics()?;
    let mut personal = BTreeSet::new();
    for topic in &topics {
        let Some(stream) = topology.reader_of(topic) else { continue };
        for record in read_back(log, topic, Isolation::Committed)? {
            collect(stream, record.value.as_deref().unwrap_or_default(), &mut personal);
        }
    }
    let finders: BTreeMap<&str, Finder<'_>> =
        personal.iter().map(|v| (v.as_str(), Finder::new(v.as_bytes()))).collect();
    let mut search = Search { values: personal.len(), ..Search::default() };
    for topic in topics.iter().filter(|topic| topology.reader_of(topic).is_none() && !topic.starts_with("__")) {
        let mut bytes = Vec::new();
        for record in read_back(log, topic, Isolation::Uncommitted)? {
            let fields = record.headers.iter().flat_map(|(name, value)| [Some(name.as_bytes()), value.as_deref()]);
            for field in fields.chain([record.key.as_deref(), record.value.as_deref()]).flatten() {
                bytes.extend_from_slice(field);
                bytes.push(b'\n');
            }
        }
        look(&mut search, &finders, topic, &bytes);
    }
    for path in files {
        each_file(path, &mut |name, bytes| look(&mut search, &finders, name, bytes))
            .map_err(|e| LogError::Stop(format!("cannot read {}: {e}", path.display())))?;
    }
    for (name, bytes) in more {
        look(&mut search, &finders, name, bytes);
    }
    Ok(search)
}

fn look(search: &mut Search, finders: &BTreeMap<&str, Finder<'_>>, place: &str, bytes: &[u8]) {
    search.bytes += bytes.len();
    search.places += 1;
    let found = finders.values().filter(|finder| finder.find(bytes).is_some()).count();
    if found > 0 {
        search.found.push(format!("{found} in {place}"));
    }
}

fn each_file(path: &Path, visit: &mut dyn FnMut(&str, &[u8])) -> std::io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            each_file(&entry?.path(), visit)?;
        }
        return Ok(());
    }
    match std::fs::read(path) {
        Ok(bytes) => visit(&path.display().to_string(), &bytes),
        // The database tidies up behind us.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    Ok(())
}

/// The values of masked columns in a record, before and after, each as it stands and as JSON writes it.
fn collect(stream: &Stream, value: &[u8], personal: &mut BTreeSet<String>) {
    let Ok(envelope) = serde_json::from_slice::<Value>(value) else {
        return collect_damaged(stream, value, personal);
    };
    let table = envelope.pointer("/source/table").and_then(Value::as_str).unwrap_or_default();
    for row in ["before", "after"].iter().filter_map(|side| envelope.get(side)?.as_object()) {
        for (_, value) in row.iter().filter(|(column, _)| is_masked(stream, table, column)) {
            let escaped = value.to_string();
            let plain = value.as_str().map_or(escaped.clone(), str::to_string);
            // A placeholder stands for a value that is not there.
            if value.is_null() || plain == stream.mask.unavailable_value {
                continue;
            }
            let escaped = escaped.trim_matches('"').to_string();
            personal.extend([plain, escaped].into_iter().filter(|text| text.chars().count() >= SHORTEST));
        }
    }
}

/// A record that is no JSON still has its columns' values in it.
fn collect_damaged(stream: &Stream, value: &[u8], personal: &mut BTreeSet<String>) {
    let text = String::from_utf8_lossy(value);
    let mut parts = text.split('"').skip(1);
    while let (Some(column), Some(colon)) = (parts.next(), parts.next()) {
        if is_masked(stream, "", column)
            && colon.trim() == ":"
            && let Some(value) = parts.next().filter(|value| value.chars().count() >= SHORTEST)
        {
            personal.insert(value.to_string());
            parts.next();
        }
    }
}

fn is_masked(stream: &Stream, table: &str, column: &str) -> bool {
    let config = match &stream.mask.rules {
        Rules::None => return false,
        Rules::Fields(config) => config,
        Rules::Tables(tables) => match tables.get(table) {
            Some(config) => config,
            None => return false,
        },
    };
    match config.fields.iter().find(|field| field.path.column == column) {
        // Of a column that rules reach into, other parts may pass.
        Some(field) => field.path.steps.is_empty() && field.transform.rule() != Rule::Passthrough,
        None => config.unlisted != Unlisted::Passthrough,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::embedded::{EmbeddedLog, Time};
    use crate::log::{Client, Outgoing};
    use crate::topology::Mode;

    const TOPOLOGY: &str = "application: app\nembedded: log\nsecrets: { pii: 'sixteen bytes or more' }\nstreams:\n  s:\n    from: in\n    \
                            to: out\n    steps: [dedup, { mask: { fields: { email: hash, n: drop } } }]\n";
    const ROW: &str = r#"{"op":"u","before":{"email":"before@example.com"},"after":{"email":"\"q\"@example.com","n":1234567,"city":"Moscow"}}"#;

    fn found(outside: &[u8]) -> Search {
        let topology = Topology::parse(TOPOLOGY, "t", Path::new(""), Mode::Run, &|_| None).unwrap().topology;
        let log = EmbeddedLog::in_memory(Client::named("test"), Time::System).unwrap();
        let mut appender = log.appender().unwrap();
        let mut append = |topic: &str, value: &[u8]| {
            log.admin().create(topic, 1, &[]).unwrap();
            let out = Outgoing { topic, partition: None, key: None, value: Some(value), headers: &[], timestamp: None };
            appender.send(&out).unwrap();
        };
        append("in", ROW.as_bytes());
        append("in", br#"{"after":{"id":4711,"email":"half@example.com","city":"Berlin"#);
        append("out", outside);
        appender.flush(std::time::Duration::ZERO).unwrap();
        search(&topology, &log, &[], &[]).unwrap()
    }

    #[test]
    fn every_form_of_a_masked_value_is_looked_for_and_found() {
        let clean = found(b"{\"city\":\"Moscow\"}");
        assert_eq!((clean.values, clean.found.len()), (5, 0), "{:?}", clean.found);
        for leak in
            ["x before@example.com y", r#""q"@example.com"#, r#"\"q\"@example.com"#, "=1234567,", "half@example.com"]
        {
            assert_eq!(found(leak.as_bytes()).found.len(), 1, "{leak}");
        }
    }
}
