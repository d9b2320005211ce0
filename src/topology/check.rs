//! What can only be seen with all streams side by side: topics read twice, loops, names that collide.

use std::collections::HashMap;

use super::names::{MAX_TOPIC, expand};
use super::reader::Reader;
use super::stream::Draft;
use super::yaml::Span;
use super::{OnError, Source, changelog};

pub(super) fn streams(reader: &mut Reader<'_>, application: &str, drafts: &[Draft]) {
    same_sources(reader, drafts);
    loops(reader, application, drafts);
    dead_letters(reader, drafts);
    internal_names(reader, application, drafts);
}

const ONE_READER: &str = "a topic's offsets and state belong to one stream: let one of them read it";
const ANOTHER_PREFIX: &str = "write to topics under another prefix, or narrow what is read";

/// A topic has one reader: its state and its committed offsets belong to one stream.
fn same_sources(reader: &mut Reader<'_>, drafts: &[Draft]) {
    for (index, draft) in drafts.iter().enumerate() {
        for (own, (topic, at)) in literals(draft).enumerate() {
            let twice = literals(draft).take(own).any(|(other, _)| other == topic);
            let elsewhere = drafts.iter().enumerate().find(|(other, draft)| {
                let matched = matches!(draft.source, Some(Source::Pattern(_))) && reads(draft, topic);
                *other != index && (matched || (*other < index && reads(draft, topic)))
            });
            if twice {
                reader.error("same-source", at, format!("`{topic}` is listed twice"), "remove one of the two");
            } else if let Some((_, other)) = elsewhere {
                let message = format!("`{topic}` is read by two streams");
                let label = format!("stream `{}` reads it as well", other.name);
                reader.explain("same-source", at, message, label, &[ONE_READER]);
            }
        }
        if let (Some(Source::Pattern(own)), Some(at)) = (&draft.source, draft.source_at.first()) {
            let same = |other: &&Draft| matches!(&other.source, Some(Source::Pattern(regex)) if regex.as_str() == own.as_str());
            if let Some(other) = drafts[..index].iter().find(same) {
                let (message, label) =
                    ("the pattern is read by two streams", format!("stream `{}` has the same", other.name));
                reader.explain("same-source", *at, message, label, &[ONE_READER]);
            }
        }
    }
}

/// No stream may read what the topology writes: it would go round for ever, and hashes would be hashed again.
fn loops(reader: &mut Reader<'_>, application: &str, drafts: &[Draft]) {
    for draft in drafts {
        for (template, at) in &draft.to_at {
            let topics = samples(template, draft.source.as_ref());
            let hit = topics.iter().find_map(|topic| Some((topic, drafts.iter().find(|other| reads(other, topic))?)));
            if let Some((topic, other)) = hit {
                let label = format!("stream `{}` reads it: it would go round for ever", other.name);
                reader.explain("loop", *at, format!("the output `{topic}` is a source"), label, &[ANOTHER_PREFIX]);
            }
        }
        let Some(Source::Pattern(pattern)) = &draft.source else { continue };
        let internal = |other: &Draft| {
            let topics = literals(other).map(|(topic, _)| topic.to_owned()).chain([String::from("topic")]);
            topics.map(|topic| changelog(application, &other.name, &topic)).find(|topic| pattern.is_match(topic))
        };
        if let (Some(topic), Some(at)) = (drafts.iter().find_map(internal), draft.source_at.first()) {
            let (message, label) =
                ("the pattern matches changelogs of the application itself", format!("it matches `{topic}`"));
            reader.explain("loop", *at, message, label, &["narrow the pattern to the prefix of your sources"]);
        }
    }
}

/// Dead letters are read by people. As a source they would loop; as an output they would mix with clean rows.
fn dead_letters(reader: &mut Reader<'_>, drafts: &[Draft]) {
    let mut seen: Vec<(Span, String)> = Vec::new();
    for draft in drafts {
        let (Some(OnError::DeadLetter { topic }), Some(at)) = (&draft.on_error, draft.dead_letters_at) else {
            continue;
        };
        if seen.iter().any(|(place, _)| *place == at) {
            continue;
        }
        seen.push((at, topic.clone()));
        if let Some(other) = drafts.iter().find(|other| reads(other, topic)) {
            let label = format!("stream `{}` reads it: dead letters would go round for ever", other.name);
            let message = format!("the topic of dead letters `{topic}` is a source");
            reader.explain("loop", at, message, label, &[ANOTHER_PREFIX]);
        }
        let writes =
            |other: &&Draft| other.to_at.iter().any(|(to, _)| samples(to, other.source.as_ref()).contains(topic));
        if let Some(other) = drafts.iter().find(writes) {
            let label = format!("stream `{}` writes its rows there", other.name);
            let message = format!("the topic of dead letters `{topic}` is an output");
            reader.explain("conflict", at, message, label, &["give dead letters a topic of their own"]);
        }
    }
}

/// Changelogs: short enough for Kafka, and no two alike.
fn internal_names(reader: &mut Reader<'_>, application: &str, drafts: &[Draft]) {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for draft in drafts.iter().filter(|draft| draft.dedup.is_some()) {
        let sources: Vec<_> = match &draft.source {
            Some(Source::Pattern(_)) => draft.source_at.iter().map(|at| ("x", *at)).collect(),
            _ => literals(draft).collect(),
        };
        for (topic, at) in sources {
            let name = changelog(application, &draft.name, topic);
            if name.len() > MAX_TOPIC {
                let message =
                    format!("the changelog's name would have {} characters, Kafka takes {MAX_TOPIC}", name.len());
                let label = "it is made of `application`, the stream's name and this topic: shorten one";
                reader.error("topic-name", at, message, label);
            }
            match seen.get(&name) {
                Some(other) if *other != draft.name => {
                    let message = format!("streams `{other}` and `{}` would share a changelog", draft.name);
                    reader.error("conflict", draft.at, message, format!("both make `{name}`: rename one"));
                }
                _ => {
                    seen.insert(name, &draft.name);
                }
            }
        }
    }
}

fn literals(draft: &Draft) -> impl Iterator<Item = (&str, Span)> {
    let topics: &[String] = match &draft.source {
        Some(Source::Topics(topics)) => topics,
        _ => &[],
    };
    topics.iter().map(String::as_str).zip(draft.source_at.iter().copied())
}

fn reads(draft: &Draft, topic: &str) -> bool {
    draft.source.as_ref().is_some_and(|source| source.matches(topic))
}

/// Topics that a template can become: all of them for literal sources, and for patterns whose groups are plain
/// alternatives; a probe else. The engine looks again at every topic that it meets.
pub(super) fn samples(template: &str, source: Option<&Source>) -> Vec<String> {
    match source {
        Some(Source::Topics(topics)) => topics.iter().map(|topic| expand(template, |_| topic.clone())).collect(),
        Some(Source::Pattern(regex)) => {
            let most = regex.capture_names().flatten().map(|name| alternatives(regex.as_str(), name).len()).max();
            let pick = |name: &str, index: usize| {
                let words = alternatives(regex.as_str(), name);
                words.get(index % words.len().max(1)).cloned().unwrap_or_default()
            };
            (0..most.unwrap_or(1)).map(|index| expand(template, |name| pick(name, index))).collect()
        }
        None => vec![template.to_owned()],
    }
}

/// The words of `(?<name>a|b)`; probes where it holds more than words.
fn alternatives(pattern: &str, name: &str) -> Vec<String> {
    let probes = || vec!["x".to_owned(), "a.b".to_owned()];
    let opened = [format!("(?<{name}>"), format!("(?P<{name}>")];
    let Some(inner) = opened.iter().find_map(|open| Some(pattern.split_once(open.as_str())?.1)) else {
        return probes();
    };
    let Some(end) = inner.find(')') else { return probes() };
    let words = inner[..end].replace("\\.", "\u{0}");
    if words.contains(|c: char| !c.is_alphanumeric() && !matches!(c, '|' | '_' | '-' | '\u{0}')) {
        return probes();
    }
    words.split('|').map(|word| word.replace('\u{0}', ".")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_expanded() {
        let pattern = |text: &str| Source::Pattern(regex::Regex::new(text).unwrap());
        for (template, source, want) in [
            ("a.{t}", pattern(r"b\.(?<t>x|y\.z)"), vec!["a.x", "a.y.z"]),
            ("a.{t}", pattern(r"b\.(?P<t>.*)"), vec!["a.x", "a.a.b"]),
            ("a.{t}.{u}", pattern(r"(?<t>a|b|c)(?<u>d|e)"), vec!["a.a.d", "a.b.e", "a.c.d"]),
            ("a", pattern("b"), vec!["a"]),
            ("a.{topic}", Source::Topics(vec!["x".into(), "y".into()]), vec!["a.x", "a.y"]),
        ] {
            assert_eq!(samples(template, Some(&source)), want, "{template}");
        }
    }
}
