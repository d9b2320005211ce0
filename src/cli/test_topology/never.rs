//! Texts that must occur in no byte that was written: keys, values, headers, changelogs, dead letters, what was aborted.

use super::difference::Difference;
use super::outcome::{self, Outcome};
use crate::cli::read_back::Kept;
use crate::topology::scenario::{Content, Scenario, Step};

pub fn compare(scenario: &Scenario, outcome: &Outcome, out: &mut Vec<Difference>) {
    for wanted in &scenario.expect.never {
        let text = wanted.value.as_str();
        if !is_put_in(scenario, text) {
            // A misspelled name would be found nowhere for ever.
            let message = format!("never {text:?}: it is in no record of the input, so it could not leak");
            out.push(Difference::new(wanted.line, message));
        }
        for (topic, records) in &outcome.left {
            let found = records.iter().find_map(|written| Some((written, place(written, text)?)));
            if let Some((written, place)) = found {
                let at = format!("{topic}-{}@{}", written.partition, written.offset);
                let difference = Difference::new(wanted.line, format!("{text:?} is in the {place} of {at}"));
                out.push(difference.got(shown(written)));
            }
        }
        if holds(Some(outcome.metrics.as_bytes()), text) {
            out.push(Difference::new(wanted.line, format!("{text:?} is in the metrics")));
        }
    }
}

fn is_put_in(scenario: &Scenario, text: &str) -> bool {
    let records = scenario.steps.iter().flat_map(|step| match step {
        Step::Write(records) => records.as_slice(),
        _ => &[],
    });
    let mut parts = records.flat_map(|record| {
        let headers = record.headers.iter().flat_map(|(name, value)| [Some(name.as_bytes()), value.as_deref()]);
        [record.key.as_deref(), record.value.as_deref()].into_iter().chain(headers)
    });
    parts.any(|part| holds(part, text))
}

fn place(written: &Kept, text: &str) -> Option<&'static str> {
    let headers = || written.headers.iter().any(|(name, value)| name.contains(text) || holds(value.as_deref(), text));
    match () {
        () if holds(written.key.as_deref(), text) => Some("key"),
        () if holds(written.value.as_deref(), text) => Some("value"),
        () if headers() => Some("headers"),
        () => None,
    }
}

/// As bytes; and in JSON however it is spelled there.
fn holds(bytes: Option<&[u8]>, text: &str) -> bool {
    let Some(bytes) = bytes else { return false };
    if memchr::memmem::find(bytes, text.as_bytes()).is_some() {
        return true;
    }
    let mut found = false;
    if let Content::Json(json) = Content::of(Some(bytes)) {
        json.texts(&mut |part| found |= part.contains(text));
    }
    found
}

fn shown(written: &Kept) -> String {
    format!("{} = {}", outcome::key(written), outcome::value(written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_however_it_is_spelled() {
        for (bytes, text, want) in [
            (&b"Ivan Ivanov"[..], "Ivanov", true),
            (b"{\"a\":\"M\\u00fcller\"}", "Müller", true),
            (b"{\"M\\u00fcller\":1}", "Müller", true),
            (b"{\"a\":\"M\xc3\xbcller\"}", "Müller", true),
            (b"\xff\xfeIvanov", "Ivanov", true),
            (b"{\"a\":\"Ivan\"}", "Ivanov", false),
        ] {
            assert_eq!(holds(Some(bytes), text), want, "{}", String::from_utf8_lossy(bytes));
        }
        assert!(!holds(None, "x"));
    }
}
