//! Names of metrics: `records_out_total{stream="customers"}`, with or without the prefix.

use crate::telemetry::names::{self, Kind, Name};
use crate::topology::reader::{list, nearest};

const PREFIX: &str = "highwater_";

/// A series as an expectation names it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Series {
    /// With the prefix.
    pub name: String,
    pub labels: Vec<(String, String)>,
}

/// What is wrong with it comes as message and label.
pub(super) fn parse(text: &str) -> Result<Series, (String, String)> {
    let form = || ("this names no metric".to_owned(), "expected `name` or `name{label=\"value\"}`".to_owned());
    let (given, labels) = match text.trim().split_once('{') {
        Some((name, rest)) => (name.trim(), Some(rest.trim_end().strip_suffix('}').ok_or_else(form)?)),
        None => (text.trim(), None),
    };
    let given = given.strip_prefix(PREFIX).unwrap_or(given);
    let known = names::ALL.iter().find(|name| counted_as(name).any(|own| own == given));
    let Some(known) = known else {
        let names: Vec<String> = names::ALL.iter().flat_map(counted_as).collect();
        let label = match nearest(given, names.iter().map(String::as_str)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("there are {}", list(names.iter().map(String::as_str))),
        };
        return Err((format!("there is no metric `{given}`"), label));
    };
    let mut read = Vec::new();
    for pair in labels.unwrap_or_default().split(',').filter(|pair| !pair.trim().is_empty()) {
        let (label, value) = pair.split_once('=').ok_or_else(form)?;
        let (label, value) = (label.trim(), value.trim().trim_matches('"'));
        if !known.labels.contains(&label) {
            let names = list(known.labels.iter().copied());
            let remedy = match nearest(label, known.labels.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None if names.is_empty() => "it has none".to_owned(),
                None => format!("its labels: {names}"),
            };
            return Err((format!("`{given}` has no label `{label}`"), remedy));
        }
        read.push((label.to_owned(), value.to_owned()));
    }
    Ok(Series { name: format!("{PREFIX}{given}"), labels: read })
}

/// The names under which a metric has one number, without the prefix.
fn counted_as(name: &Name) -> impl Iterator<Item = String> + use<> {
    let plain = name.name.strip_prefix(PREFIX).unwrap_or(name.name);
    let endings: &[&str] = if name.kind == Kind::Histogram { &["_count", "_sum"] } else { &[""] };
    endings.iter().map(move |ending| format!("{plain}{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series() {
        let of = |name: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            Ok(Series { name: name.into(), labels })
        };
        for (text, want) in [
            ("records_in_total", of("highwater_records_in_total", &[])),
            ("highwater_records_in_total{}", of("highwater_records_in_total", &[])),
            (
                r#" dedup_dropped_total{reason="stale", stream=a}"#,
                of("highwater_dedup_dropped_total", &[("reason", "stale"), ("stream", "a")]),
            ),
            ("transaction_seconds_count", of("highwater_transaction_seconds_count", &[])),
        ] {
            assert_eq!(parse(text), want, "{text}");
        }
        for (text, message, label) in [
            ("record_in_total", "there is no metric `record_in_total`", "did you mean `records_in_total`?"),
            (
                "transaction_seconds",
                "there is no metric `transaction_seconds`",
                "did you mean `transaction_seconds_count`?",
            ),
            ("records_in_total{steam=\"a\"}", "`records_in_total` has no label `steam`", "did you mean `stream`?"),
            ("transaction_seconds_count{x=1}", "`transaction_seconds_count` has no label `x`", "it has none"),
            ("records_in_total{", "this names no metric", "expected `name` or `name{label=\"value\"}`"),
        ] {
            assert_eq!(parse(text), Err((message.to_owned(), label.to_owned())), "{text}");
        }
    }
}
