//! What came of a scenario against what it expects.

use std::collections::BTreeSet;

use super::difference::{Difference, count};
use super::outcome::{self, Outcome};
use super::{metrics, never, rows};
use crate::cli::read_back::Kept;
use crate::topology::OnError;
use crate::topology::scenario::{Content, DeadLetters, Expect, Json, Scenario, Stated};

/// Every difference; none where all is as expected.
pub fn compare(scenario: &Scenario, outcome: &Outcome) -> Vec<Difference> {
    let expect = &scenario.expect;
    let mut out = Vec::new();
    if stops(expect, outcome, &mut out) {
        return out;
    }
    let letters = dead_letter_topics(scenario);
    let of = |topic: &str| outcome.committed.get(topic).map(Vec::as_slice).unwrap_or_default();
    for output in &expect.output {
        rows::compare(output, expect.order, of(&output.topic), &mut out);
    }
    for wanted in &expect.counts {
        let got = of(&wanted.topic).len();
        if got as u64 != wanted.rows {
            let message = format!("{}: {} came, {} expected", wanted.topic, count(got, "row"), wanted.rows);
            out.push(Difference::new(wanted.line, message));
        }
    }
    for wanted in &expect.absent {
        absent(&wanted.topic, &wanted.columns, of(&wanted.topic), wanted.line, &mut out);
    }
    if expect.strict && !(expect.output.is_empty() && expect.counts.is_empty()) {
        unmentioned(scenario, outcome, &letters, &mut out);
    }
    if let DeadLetters::Listed(wanted) = &expect.dead_letters {
        let mentioned = |topic: &String| expect.output.iter().any(|output| output.topic == *topic);
        let got = letters.iter().filter(|topic| !mentioned(topic)).flat_map(|topic| of(topic));
        dead_letters(wanted, got.collect(), &mut out);
    }
    for wanted in &expect.state {
        let got = outcome.keys.iter().find(|(stream, _)| *stream == wanted.stream).map_or(0, |(_, keys)| *keys);
        if got != wanted.keys {
            let message = format!("state of {}: {got} keys are held, {} expected", wanted.stream, wanted.keys);
            out.push(Difference::new(wanted.line, message));
        }
    }
    metrics::compare(&expect.metrics, &outcome.metrics, &mut out);
    never::compare(scenario, outcome, &mut out);
    out
}

/// True where nothing else is worth a look: it stopped when it should not.
fn stops(expect: &Expect, outcome: &Outcome, out: &mut Vec<Difference>) -> bool {
    match (&expect.stops, &outcome.stopped) {
        (None, None) => {}
        (Some(wanted), Some(reason)) if reason.contains(&wanted.value) => {}
        (Some(wanted), Some(reason)) => {
            let difference = Difference::new(wanted.line, "it stops for another reason");
            out.push(difference.expected(&wanted.value).got(reason));
        }
        (Some(wanted), None) => {
            out.push(Difference::new(wanted.line, "it does not stop").expected(&wanted.value));
        }
        (None, Some(reason)) => {
            out.push(Difference::new(None, "it stops").got(reason));
            return true;
        }
    }
    false
}

fn dead_letter_topics(scenario: &Scenario) -> BTreeSet<String> {
    let topics = scenario.topology.streams.iter().filter_map(|stream| match &stream.on_error {
        OnError::DeadLetter { topic } => Some(topic.clone()),
        _ => None,
    });
    topics.collect()
}

fn absent(topic: &str, columns: &[String], got: &[Kept], line: usize, out: &mut Vec<Difference>) {
    for column in columns {
        let has = |written: &&Kept| match outcome::value(written) {
            Content::Json(json) => json.get(column).is_some(),
            _ => false,
        };
        let rows: Vec<&Kept> = got.iter().filter(has).collect();
        if let Some(first) = rows.first() {
            let message = format!("{topic}: {} with the column `{column}`", count(rows.len(), "row"));
            out.push(Difference::new(line, message).got(outcome::value(first)));
        }
    }
}

/// Rows where nobody looks for any.
fn unmentioned(scenario: &Scenario, outcome: &Outcome, letters: &BTreeSet<String>, out: &mut Vec<Difference>) {
    let expect = &scenario.expect;
    for (topic, got) in outcome.committed.iter().filter(|(topic, got)| !got.is_empty() && !letters.contains(*topic)) {
        let is_changelog = scenario.topology.streams.iter().any(|stream| {
            scenario.topics.keys().any(|source| *topic == scenario.topology.changelog(&stream.name, source))
        });
        let is_mentioned = expect.output.iter().any(|output| output.topic == *topic)
            || expect.counts.iter().any(|wanted| wanted.topic == *topic);
        if is_changelog || is_mentioned {
            continue;
        }
        let message = format!("{topic}: {} came, and the scenario does not mention the topic", count(got.len(), "row"));
        let difference = Difference::new(None, message).got(outcome::value(&got[0]));
        out.push(difference.note("mention it under `output` or `count`, or say `strict: false`"));
    }
}

fn dead_letters(wanted: &[Stated<Vec<(String, Json)>>], mut got: Vec<&Kept>, out: &mut Vec<Difference>) {
    let meets = |letter: &Stated<Vec<(String, Json)>>, written: &Kept| match outcome::value(written) {
        Content::Json(json) => letter.value.iter().all(|(name, value)| json.get(name) == Some(value)),
        _ => false,
    };
    let mut missing = Vec::new();
    // The more a letter says, the fewer can meet it: those first.
    let mut wanted: Vec<_> = wanted.iter().collect();
    wanted.sort_by_key(|letter| std::cmp::Reverse(letter.value.len()));
    for letter in wanted {
        match got.iter().position(|written| meets(letter, written)) {
            Some(at) => drop(got.remove(at)),
            None => missing.push(letter),
        }
    }
    missing.sort_by_key(|letter| letter.line);
    for letter in missing {
        let shown = Json::Object(letter.value.clone());
        out.push(Difference::new(letter.line, "a dead letter is missing").expected(shown));
    }
    for written in got {
        out.push(Difference::new(None, "a dead letter that is not expected").got(letter(written)));
    }
}

/// What a reader needs of a dead letter.
fn letter(written: &Kept) -> String {
    let Content::Json(json) = outcome::value(written) else { return outcome::value(written).to_string() };
    let fields = ["stream", "topic", "partition", "offset", "reason", "detail"];
    let members = fields.iter().filter_map(|name| Some(((*name).to_owned(), json.get(name)?.clone())));
    Json::Object(members.collect()).to_string()
}
