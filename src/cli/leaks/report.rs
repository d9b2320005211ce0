//! What is told of it: places, bytes, values, and where something was found. Never a value.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::explained::Passage;
use super::sample::Sample;
use super::search::{Hit, Kind, Place, Search};
use super::values::{Part, Shortest, Value};
use crate::telemetry::thousands;

/// What a whole search came to.
pub struct Report<'a> {
    pub sample: &'a Sample,
    pub search: &'a Search<'a>,
    /// Of the values found, those that pass by the rules elsewhere.
    pub passages: &'a BTreeMap<usize, Passage>,
    pub shortest: Shortest,
}

/// Values that are shown one by one.
const SHOWN: usize = 20;
/// Places of a value.
const PLACES: usize = 5;

struct Paint(bool);

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

impl Report<'_> {
    /// Different values that were found and do not pass.
    pub fn leaked(&self) -> Vec<usize> {
        self.search.found().into_iter().filter(|value| !self.passages.contains_key(value)).collect()
    }

    fn hits(&self, value: usize) -> impl Iterator<Item = (&Place, &Hit)> {
        let of_value = self.search.hits.range((value, 0)..(value + 1, 0));
        of_value.filter_map(|((_, place), hit)| Some((self.search.places.get(*place)?, hit)))
    }

    fn value(&self, number: usize) -> Option<&Value> {
        self.sample.values.all.get(number)
    }

    pub fn text(&self, colours: bool) -> String {
        let paint = Paint(colours);
        let mut out = String::new();
        let head = |text: &str| paint.with("1", &format!("{text:<10}"));
        let records: u64 = self.sample.records.values().sum();
        let topics = count(self.sample.records.len() as u64, "source topic");
        out += &format!("{}{} of {topics}\n", head("sampled"), count(records, "record"));
        out += &format!("{}{}\n", head("values"), self.values());
        for (kind, places, records, bytes) in self.by_kind() {
            let what = if places == 1 { kind.as_str().trim_end_matches('s') } else { kind.as_str() };
            let what = if kind == Kind::DeadLetters { "of dead letters" } else { what };
            let entries = match kind {
                Kind::File | Kind::Page => String::new(),
                Kind::Store => format!(", {}", counted(records, "entry", "entries")),
                _ => format!(", {}", count(records, "record")),
            };
            let name = if kind == Kind::DeadLetters {
                format!("{} {what}", count(places, "topic"))
            } else {
                format!("{places} {what}")
            };
            out += &format!("{}{name}{entries}, {}\n", head("searched"), count(bytes, "byte"));
        }
        for (path, why) in &self.search.left_out {
            out += &format!("{}{}: {why}\n", head("left out"), path.display());
        }
        out.push('\n');
        let leaked = self.leaked();
        let passing: Vec<usize> = self.passages.keys().copied().collect();
        self.each(&mut out, &leaked, "found where it must not be", &paint);
        self.each(&mut out, &passing, "passes by the rules elsewhere", &paint);
        let places = count(self.search.places.len() as u64, "place");
        let bytes = count(self.search.bytes(), "byte");
        let all = count(self.sample.values.len() as u64, "value");
        let mark = if leaked.is_empty() { paint.with("32", "✓") } else { paint.with("31", "✗") };
        let found = if leaked.is_empty() { "none".to_owned() } else { leaked.len().to_string() };
        out += &format!("{mark} {bytes} in {places} searched for {all}: {found} found\n");
        if !passing.is_empty() {
            let passing = count(passing.len() as u64, "value");
            out += &format!("  {passing} more found that the rules let pass elsewhere: see whether they should\n");
        }
        out
    }

    fn each(&self, out: &mut String, values: &[usize], what: &str, paint: &Paint) {
        for number in values.iter().take(SHOWN) {
            let Some(value) = self.value(*number) else { continue };
            *out += &paint.with("1", &format!("{}  {}", value.digest, value.origin));
            *out += &match self.passages.get(number) {
                Some(Passage::Source(origin)) => format!("\n          {what}: {origin}\n"),
                Some(Passage::Name) => format!("\n          {what}: a name in the topology holds it\n"),
                None => "\n".to_owned(),
            };
            let hits: Vec<_> = self.hits(*number).collect();
            for (place, hit) in hits.iter().take(PLACES) {
                let times = if hit.times == 1 { String::new() } else { format!(", {} times", hit.times) };
                *out += &format!("          {}: {}, as {}{times}\n", one(place.kind), hit.first, hit.form.as_str());
            }
            if hits.len() > PLACES {
                *out += &format!("          and in {}\n", count((hits.len() - PLACES) as u64, "more place"));
            }
        }
        if values.len() > SHOWN {
            *out += &format!("and {}; -o json has them all\n", count((values.len() - SHOWN) as u64, "more value"));
        }
        if !values.is_empty() {
            out.push('\n');
        }
    }

    fn values(&self) -> String {
        let values = &self.sample.values;
        let mut text = format!("{} to look for", thousands(values.len() as u64));
        let mut by_part: BTreeMap<String, usize> = BTreeMap::new();
        for value in &values.all {
            *by_part.entry(part(&value.origin.part)).or_default() += 1;
        }
        let mut parts: Vec<_> = by_part.into_iter().collect();
        parts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), name.clone()));
        let shown: Vec<_> = parts.iter().take(6).map(|(name, count)| format!("{name} {count}")).collect();
        text += &format!(" ({}{})", shown.join(", "), if parts.len() > 6 { ", …" } else { "" });
        let Shortest { text: short, digits } = self.shortest;
        if values.too_short() > 0 {
            let left = thousands(values.too_short() as u64);
            text += &format!("; {left} too short (under {short} characters, numbers under {digits})");
        }
        if self.sample.kept > 0 {
            text += &format!("; {} that their rule leaves whole", thousands(self.sample.kept as u64));
        }
        if self.sample.is_full {
            text += "; there are more (--values)";
        }
        text
    }

    fn by_kind(&self) -> Vec<(Kind, u64, u64, u64)> {
        let mut kinds: BTreeMap<Kind, (u64, u64, u64)> = BTreeMap::new();
        for place in &self.search.places {
            let (places, records, bytes) = kinds.entry(place.kind).or_default();
            (*places, *records, *bytes) = (*places + 1, *records + place.records, *bytes + place.bytes);
        }
        kinds.into_iter().map(|(kind, (places, records, bytes))| (kind, places, records, bytes)).collect()
    }

    pub fn json(&self) -> Json {
        let leaked = self.leaked();
        let value = |number: &usize| {
            let value = self.value(*number)?;
            let hits: Vec<Json> = self.hits(*number).map(|(place, hit)| json!({
                "kind": one(place.kind), "place": place.name, "first": hit.first, "form": hit.form.as_str(), "times": hit.times,
            })).collect();
            let mut json = json!({ "digest": value.digest, "source": origin(&value.origin), "found": hits });
            match self.passages.get(number) {
                Some(Passage::Source(place)) => json["passes"] = origin(place),
                Some(Passage::Name) => json["passes"] = json!("name"),
                None => {}
            }
            Some(json)
        };
        let places = self.search.places.iter().map(|place| {
            json!({
                "kind": one(place.kind), "name": place.name, "records": place.records, "bytes": place.bytes,
            })
        });
        json!({
            "clean": leaked.is_empty(),
            "sampled": self.sample.records,
            "values": {
                "searched": self.sample.values.len(),
                "too_short": self.sample.values.too_short(),
                "left_whole_by_their_rule": self.sample.kept,
                "there_are_more": self.sample.is_full,
            },
            "bytes": self.search.bytes(),
            "places": places.collect::<Vec<_>>(),
            "left_out": self.search.left_out.iter().map(|(path, why)| json!({ "path": path.display().to_string(), "why": why })).collect::<Vec<_>>(),
            "leaked": leaked.iter().filter_map(value).collect::<Vec<_>>(),
            "passing": self.passages.keys().filter_map(value).collect::<Vec<_>>(),
        })
    }
}

fn origin(origin: &super::values::Origin) -> Json {
    json!({ "topic": origin.topic, "partition": origin.partition, "offset": origin.offset, "part": origin.part.to_string() })
}

fn part(part: &Part) -> String {
    match part {
        Part::Column(name) => name.clone(),
        Part::Key(_) => "keys".into(),
        Part::Header(_) => "headers".into(),
        Part::Value => "broken records".into(),
    }
}

fn one(kind: Kind) -> &'static str {
    match kind {
        Kind::Output => "output",
        Kind::DeadLetters => "dead letter",
        Kind::Changelog => "changelog",
        Kind::Topic => "topic",
        Kind::File => "file",
        Kind::Store => "store",
        Kind::Page => "page",
    }
}

fn count(number: u64, what: &str) -> String {
    counted(number, what, &format!("{what}s"))
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}
