//! The rows of one topic against those that are expected.

use std::collections::BTreeMap;

use super::difference::Difference;
use super::outcome;
use crate::cli::read_back::Kept;
use crate::topology::scenario::{Content, Json, Order, Output, Row, Wanted};

/// More comparisons than this are not worth a better alignment.
const MOST_CELLS: usize = 4_000_000;

/// A row as it came.
struct Came<'a> {
    key: Content,
    value: Content,
    headers: &'a [(String, Option<Vec<u8>>)],
}

pub fn compare(expected: &Output, order: Order, got: &[Kept], out: &mut Vec<Difference>) {
    let topic = expected.topic.as_str();
    let wanted: Vec<&Row> = expected.rows.iter().collect();
    let came = |record| Came { key: outcome::key(record), value: outcome::value(record), headers: &record.headers };
    let got: Vec<Came<'_>> = got.iter().map(came).collect();
    let got: Vec<&Came<'_>> = got.iter().collect();
    match order {
        Order::Exact => sequence(topic, &wanted, &got, expected.line, out),
        Order::Any => multiset(topic, wanted, got, expected.line, out),
        Order::PerKey => {
            let mut keys: BTreeMap<String, (Vec<&Row>, Vec<&Came<'_>>)> = BTreeMap::new();
            for row in wanted {
                let key = row.key.as_ref().map(Content::canonical).unwrap_or_default();
                keys.entry(key).or_default().0.push(row);
            }
            for row in got {
                keys.entry(row.key.canonical()).or_default().1.push(row);
            }
            for (wanted, got) in keys.into_values() {
                sequence(topic, &wanted, &got, expected.line, out);
            }
        }
    }
}

/// Rows whose order matters. What stands between two that agree is compared pair by pair, unless it came elsewhere.
fn sequence(topic: &str, wanted: &[&Row], got: &[&Came<'_>], line: usize, out: &mut Vec<Difference>) {
    let anchors = agreeing(wanted, got);
    let is_left = |at: usize, side: fn(&(usize, usize)) -> usize| anchors.iter().all(|pair| side(pair) != at);
    let mut left_w: Vec<usize> = (0..wanted.len()).filter(|w| is_left(*w, |pair| pair.0)).collect();
    let mut left_g: Vec<usize> = (0..got.len()).filter(|g| is_left(*g, |pair| pair.1)).collect();
    left_w.retain(|w| match left_g.iter().position(|g| is_met(wanted[*w], got[*g])) {
        Some(at) => {
            out.push(displaced(topic, wanted[*w], got[left_g.remove(at)]));
            false
        }
        None => true,
    });
    let ends = anchors.iter().copied().chain([(wanted.len(), got.len())]);
    let (mut w, mut g) = (left_w.into_iter().peekable(), left_g.into_iter().peekable());
    for (end_w, end_g) in ends {
        loop {
            match (w.next_if(|w| *w < end_w), g.next_if(|g| *g < end_g)) {
                (Some(w), Some(g)) => out.push(differing(topic, wanted[w], got[g])),
                (Some(w), None) => out.push(missing(topic, wanted[w])),
                (None, Some(g)) => out.push(surplus(topic, got[g], line)),
                (None, None) => break,
            }
        }
    }
}

/// The longest run of pairs that agree, in order: indices into both.
fn agreeing(wanted: &[&Row], got: &[&Came<'_>]) -> Vec<(usize, usize)> {
    let agrees = |w: usize, g: usize| is_met(wanted[w], got[g]);
    let shortest = wanted.len().min(got.len());
    let head = (0..shortest).take_while(|i| agrees(*i, *i)).count();
    let mut pairs: Vec<(usize, usize)> = (0..head).map(|i| (i, i)).collect();
    let (rows, columns) = (wanted.len() - head, got.len() - head);
    if rows.saturating_mul(columns) > MOST_CELLS {
        pairs.extend((head..shortest).filter(|i| agrees(*i, *i)).map(|i| (i, i)));
        return pairs;
    }
    // longest[w][g]: pairs among wanted[w..] and got[g..].
    let mut longest = vec![vec![0_u32; columns + 1]; rows + 1];
    let mut same = vec![vec![false; columns]; rows];
    for w in (0..rows).rev() {
        for g in (0..columns).rev() {
            same[w][g] = agrees(head + w, head + g);
            longest[w][g] =
                if same[w][g] { longest[w + 1][g + 1] + 1 } else { longest[w + 1][g].max(longest[w][g + 1]) };
        }
    }
    let (mut w, mut g) = (0, 0);
    while w < rows && g < columns {
        if same[w][g] {
            pairs.push((head + w, head + g));
            (w, g) = (w + 1, g + 1);
        } else if longest[w + 1][g] >= longest[w][g + 1] {
            w += 1;
        } else {
            g += 1;
        }
    }
    pairs
}

/// Rows in any order. What is left over on both sides is paired by key.
fn multiset(topic: &str, wanted: Vec<&Row>, mut got: Vec<&Came<'_>>, line: usize, out: &mut Vec<Difference>) {
    let mut left = Vec::new();
    // The more a row says, the fewer can meet it: those first.
    let (exact, partial): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|row| matches!(row.value, Wanted::Exactly(_)) && row.key.is_some());
    for row in exact.into_iter().chain(partial) {
        match got.iter().position(|written| is_met(row, written)) {
            Some(at) => drop(got.remove(at)),
            None => left.push(row),
        }
    }
    left.sort_by_key(|row| row.line);
    for row in left {
        let same_key = |written: &&Came<'_>| row.key.as_ref().is_some_and(|key| *key == written.key);
        match got.iter().position(same_key) {
            Some(at) => out.push(differing(topic, row, got.remove(at))),
            None => out.push(missing(topic, row)),
        }
    }
    got.into_iter().for_each(|written| out.push(surplus(topic, written, line)));
}

/// Whether a row is what is wanted: where `unmet` finds nothing, and without a word about it.
fn is_met(row: &Row, written: &Came<'_>) -> bool {
    let value = match (&row.value, &written.value) {
        (Wanted::Any, _) => true,
        (Wanted::Exactly(wanted), got) => wanted == got,
        (Wanted::Columns(wanted), got @ Content::Json(Json::Object(_))) => {
            wanted.iter().all(|(name, value)| member(got, name) == Some(value))
        }
        (Wanted::Columns(_), _) => false,
    };
    value
        && row.key.as_ref().is_none_or(|key| *key == written.key)
        && row.absent.iter().all(|name| member(&written.value, name).is_none())
        && row.headers.as_deref().is_none_or(|wanted| has_headers(wanted, written.headers))
}

/// These headers, in any order, and no others.
fn has_headers(wanted: &[(String, Option<String>)], got: &[(String, Option<Vec<u8>>)]) -> bool {
    let same = |(name, value): &(String, Option<String>), (own, bytes): &(String, Option<Vec<u8>>)| {
        name == own && value.as_deref().map(str::as_bytes) == bytes.as_deref()
    };
    wanted.iter().all(|header| got.iter().any(|own| same(header, own)))
        && got.iter().all(|(own, _)| wanted.iter().any(|(name, _)| name == own))
}

fn differing(topic: &str, row: &Row, written: &Came<'_>) -> Difference {
    let key = row.key.as_ref().filter(|key| **key == written.key).map_or(String::new(), of_key);
    let difference = unmet(row, written, Difference::new(row.line, format!("{topic}{key}: a row differs")));
    match agreeing_columns(row, written) {
        columns if columns.is_empty() => difference,
        columns => difference.note(format!("as expected: {}", columns.join(", "))),
    }
}

fn of_key(key: &Content) -> String {
    match key {
        Content::Absent => ", no key".into(),
        key => format!(", key {key}"),
    }
}

/// Everything in which a row is not what is wanted.
fn unmet(row: &Row, written: &Came<'_>, mut difference: Difference) -> Difference {
    if let Some(key) = row.key.as_ref().filter(|key| **key != written.key) {
        difference = difference.expected(format!("key: {key}")).got(format!("key: {}", written.key));
    }
    let value = &written.value;
    match (&row.value, value) {
        (Wanted::Any, _) => {}
        (Wanted::Exactly(Content::Json(Json::Object(wanted))), Content::Json(Json::Object(got))) => {
            difference = columns(wanted, value, difference);
            for (name, value) in got.iter().filter(|(name, _)| wanted.iter().all(|(own, _)| own != name)) {
                difference = difference.got(column(name, value));
            }
        }
        (Wanted::Exactly(wanted), got) if wanted != got => {
            difference = difference.expected(format!("value: {wanted}")).got(format!("value: {got}"));
        }
        (Wanted::Exactly(_), _) => {}
        (Wanted::Columns(wanted), Content::Json(Json::Object(_))) => {
            difference = columns(wanted, value, difference);
        }
        (Wanted::Columns(wanted), got) => {
            difference = difference.expected(Json::Object(wanted.clone())).got(format!("value: {got}"));
        }
    }
    for name in &row.absent {
        if let Some(value) = member(value, name) {
            difference = difference.got(format!("{}  (must be absent)", column(name, value)));
        }
    }
    for (name, wanted) in row.headers.iter().flatten() {
        let got: Vec<_> = written.headers.iter().filter(|(own, _)| own == name).collect();
        if !got.iter().any(|(_, value)| value.as_deref() == wanted.as_deref().map(str::as_bytes)) {
            difference = difference.expected(header(name, wanted.as_deref().map(str::as_bytes)));
            difference = got.iter().fold(difference, |all, (name, value)| all.got(header(name, value.as_deref())));
        }
    }
    if let Some(wanted) = &row.headers {
        for (name, value) in written.headers.iter().filter(|(name, _)| wanted.iter().all(|(own, _)| own != name)) {
            difference = difference.got(header(name, value.as_deref()));
        }
    }
    difference
}

fn columns(wanted: &[(String, Json)], got: &Content, mut difference: Difference) -> Difference {
    for (name, wanted) in wanted {
        match member(got, name) {
            Some(value) if value == wanted => {}
            value => {
                difference = difference.expected(column(name, wanted));
                difference = value.map_or(difference.clone(), |value| difference.got(column(name, value)));
            }
        }
    }
    difference
}

fn member<'c>(content: &'c Content, name: &str) -> Option<&'c Json> {
    match content {
        Content::Json(json) => json.get(name),
        _ => None,
    }
}

fn column(name: &str, value: &Json) -> String {
    format!("{}: {value}", Json::Text(name.to_owned()))
}

fn header(name: &str, value: Option<&[u8]>) -> String {
    let value = value.map_or("(none)".into(), String::from_utf8_lossy);
    format!("header {name}: {value}")
}

/// Columns that are what they should be, so that a reader can tell which row it is.
fn agreeing_columns(row: &Row, written: &Came<'_>) -> Vec<String> {
    let wanted = match &row.value {
        Wanted::Exactly(Content::Json(Json::Object(wanted))) | Wanted::Columns(wanted) => wanted,
        _ => return Vec::new(),
    };
    let value = &written.value;
    wanted.iter().filter(|(name, wanted)| member(value, name) == Some(wanted)).map(|(name, _)| name.clone()).collect()
}

fn missing(topic: &str, row: &Row) -> Difference {
    let key = row.key.as_ref().map(of_key).unwrap_or_default();
    let shown = match &row.value {
        Wanted::Any => "any row".to_owned(),
        Wanted::Exactly(Content::Absent) => "a tombstone".to_owned(),
        Wanted::Exactly(value) => value.to_string(),
        Wanted::Columns(columns) => format!("a row with {}", Json::Object(columns.clone())),
    };
    Difference::new(row.line, format!("{topic}{key}: a row is missing")).expected(shown)
}

fn displaced(topic: &str, row: &Row, written: &Came<'_>) -> Difference {
    let key = of_key(&written.key);
    Difference::new(row.line, format!("{topic}{key}: a row came at another place")).got(shown(written))
}

fn surplus(topic: &str, written: &Came<'_>, line: usize) -> Difference {
    Difference::new(line, format!("{topic}{}: a row too many", of_key(&written.key))).got(shown(written))
}

fn shown(written: &Came<'_>) -> String {
    match &written.value {
        Content::Absent => "a tombstone".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::difference::Paint;
    use super::*;

    fn content(text: &str) -> Content {
        Content::of(Some(text.as_bytes()))
    }

    fn row(line: usize, key: &str, value: &str) -> Row {
        let value = Wanted::Exactly(content(value));
        Row { line, key: Some(content(key)), value, absent: Vec::new(), headers: None }
    }

    fn written(offset: i64, key: &str, value: &str) -> Kept {
        let (key, value) = (Some(key.into()), Some(value.into()));
        Kept { partition: 0, offset, key, value, headers: Vec::new() }
    }

    fn said(order: Order, rows: Vec<Row>, got: &[Kept]) -> String {
        // What is no difference has nothing to show, and the other way round.
        for (row, kept) in rows.iter().flat_map(|row| got.iter().map(move |kept| (row, kept))) {
            let came = Came { key: outcome::key(kept), value: outcome::value(kept), headers: &kept.headers };
            let shown = unmet(row, &came, Difference::new(None, "")).shown;
            assert_eq!(is_met(row, &came), shown.is_empty(), "{row:?} {kept:?}");
        }
        let expected = Output { topic: "out".into(), line: 9, rows };
        let mut found = Vec::new();
        compare(&expected, order, got, &mut found);
        found.iter().map(|difference| difference.render("f", Paint(false))).collect()
    }

    #[test]
    fn equal_rows_differ_in_nothing() {
        let rows = || vec![row(1, "1", r#"{"a":1,"b":2}"#), row(2, "2", "{}"), row(3, "1", "[1]")];
        let got = [written(0, "1", r#"{"b":2,"a":1}"#), written(1, "1", " [1]"), written(2, "2", "{}")];
        assert_eq!(said(Order::PerKey, rows(), &got), "");
        assert_eq!(said(Order::Any, rows(), &got), "");
        // Between keys the order matters only if it is asked for.
        assert!(!said(Order::Exact, rows(), &got).is_empty());
    }

    #[test]
    fn columns_that_differ_are_named() {
        let rows = vec![row(4, r#"{"id":1}"#, r#"{"id":1,"email":"aa","old":null,"n":1.10}"#)];
        let got = [written(0, r#"{"id":1}"#, r#"{"id":1,"email":"bb","n":1.1,"new":true}"#)];
        let want = "  out, key {\"id\":1}: a row differs (f:4)\n    - \"email\": \"aa\"\n    + \"email\": \"bb\"\n    \
                    - \"old\": null\n    - \"n\": 1.10\n    + \"n\": 1.1\n    + \"new\": true\n      as expected: id\n";
        assert_eq!(said(Order::PerKey, rows, &got), want);
    }

    #[test]
    fn missing_and_surplus_rows_are_told_from_changed_ones() {
        let rows = || vec![row(1, "1", "\"a\""), row(2, "1", "\"b\""), row(3, "1", "\"c\"")];
        let of = |values: &[&str]| -> Vec<Kept> {
            values.iter().enumerate().map(|(at, value)| written(at as i64, "1", &format!("\"{value}\""))).collect()
        };
        let missing = "  out, key 1: a row is missing (f:2)\n    - \"b\"\n";
        let surplus = "  out, key 1: a row too many (f:9)\n    + \"x\"\n";
        let changed = "  out, key 1: a row differs (f:2)\n    - value: \"b\"\n    + value: \"x\"\n";
        for order in [Order::PerKey, Order::Exact] {
            assert_eq!(said(order, rows(), &of(&["a", "c"])), missing);
            assert_eq!(said(order, rows(), &of(&["a", "b", "x", "c"])), surplus);
            assert_eq!(said(order, rows(), &of(&["a", "x", "c"])), changed);
            assert_eq!(said(order, rows(), &of(&["b", "c"])), missing.replace("f:2", "f:1").replace("\"b\"", "\"a\""));
        }
        assert_eq!(said(Order::Any, rows(), &of(&["c", "b", "a"])), "");
        assert_eq!(said(Order::Any, rows(), &of(&["c", "a", "x"])), changed);
        let displaced = "  out, key 1: a row came at another place (f:1)\n    + \"a\"\n";
        assert_eq!(said(Order::PerKey, rows(), &of(&["b", "a", "c"])), displaced);
        assert_eq!(said(Order::Any, vec![], &of(&["x"])), surplus);
    }

    #[test]
    fn parts_of_rows() {
        let columns = |text: &str| match Json::parse(text) {
            Some(Json::Object(members)) => Wanted::Columns(members),
            _ => panic!("{text}"),
        };
        let part = |value, absent: &[&str]| Row {
            line: 1,
            key: None,
            value,
            absent: absent.iter().map(|name| (*name).to_owned()).collect(),
            headers: None,
        };
        let got = [written(0, "1", r#"{"a":1,"b":2}"#)];
        assert_eq!(said(Order::Any, vec![part(columns("{\"a\":1}"), &["c"])], &got), "");
        assert_eq!(said(Order::Exact, vec![part(Wanted::Any, &[])], &got), "");
        let text = said(Order::Exact, vec![part(columns("{\"a\":1,\"c\":3}"), &["b"])], &got);
        let want =
            "  out: a row differs (f:1)\n    - \"c\": 3\n    + \"b\": 2  (must be absent)\n      as expected: a\n";
        assert_eq!(text, want);
    }

    #[test]
    fn headers_are_compared_whole() {
        let with = |headers: &[(&str, &str)]| Row {
            headers: Some(headers.iter().map(|(n, v)| ((*n).into(), Some((*v).into()))).collect()),
            ..row(1, "1", "1")
        };
        let mut got = [written(0, "1", "1")];
        got[0].headers = vec![("a".into(), Some(b"x".to_vec())), ("b".into(), None)];
        let want = "  out, key 1: a row differs (f:1)\n    - header a: y\n    + header a: x\n    + header b: (none)\n";
        assert_eq!(said(Order::PerKey, vec![with(&[("a", "y")])], &got), want);
        got[0].headers.pop();
        assert_eq!(said(Order::PerKey, vec![with(&[("a", "x")])], &got), "");
    }
}
