//! The oracle against what a real Debezium sent and what Postgres held at the end.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use support::Fixture;
use support::fixture::NAMES;
use support::oracle::{Accepted, Input, Outcome, Rule, finals, judge, masked, output, truncated};

/// Captures whose message keys are not the primary key: no rank can tell their rows apart.
const OTHER_KEYS: [&str; 2] = ["collisions", "custom_key"];

fn inputs(fixture: &Fixture) -> BTreeMap<(&str, i32), Vec<Input<'_>>> {
    let tables = fixture.tables();
    let partitions = fixture.partitions().into_iter().filter(|((topic, _), _)| tables.contains(topic));
    let input = |line| Input::new(line, line.captured_offset.expect("a captured line"));
    partitions.map(|(at, lines)| (at, lines.into_iter().map(input).collect())).collect()
}

fn outcomes(fixture: &Fixture) -> Vec<Outcome> {
    inputs(fixture).into_values().map(judge).collect()
}

#[test]
fn what_is_left_is_what_postgres_holds() {
    for name in NAMES {
        let fixture = Fixture::load(name);
        let outcomes = outcomes(&fixture);
        let last = finals(outcomes.iter().flat_map(|outcome| &outcome.accepted));
        let left = last.into_iter().map(|(table, rows)| (table, rows.into_iter().cloned().collect())).collect();
        assert_eq!(fixture.differences(&left), fixture.expected_differences(), "{name}");
    }
}

/// One change of the database, however often it was delivered. Reads of incremental snapshots are no changes.
fn identity(input: &Input<'_>) -> Option<String> {
    let mut value: Value = serde_json::from_slice(input.value?).expect("a captured value");
    if value.get("payload").is_some() {
        value = value["payload"].take();
    }
    let source = &value["source"];
    let key = String::from_utf8_lossy(input.key?);
    let is_change = ["c", "u", "d", "r"].contains(&value["op"].as_str()?) && source["snapshot"] != "incremental";
    is_change.then(|| format!("{key} {} {} {}", value["op"], source["lsn"], source["txId"]))
}

#[test]
fn no_change_is_lost_and_no_delivery_comes_out_twice() {
    let (mut lost, mut twice, mut changes, mut again) = (Vec::new(), Vec::new(), 0, 0);
    for name in NAMES.into_iter().filter(|name| !OTHER_KEYS.contains(name)) {
        let fixture = Fixture::load(name);
        for ((topic, _), inputs) in inputs(&fixture) {
            let accepted: BTreeSet<i64> = judge(inputs.clone()).accepted.iter().map(|change| change.offset).collect();
            let mut deliveries: BTreeMap<String, (u32, u32)> = BTreeMap::new();
            for input in &inputs {
                let Some(identity) = identity(input) else { continue };
                let (delivered, kept) = deliveries.entry(identity).or_default();
                *delivered += 1;
                *kept += u32::from(accepted.contains(&input.offset));
            }
            for (identity, (delivered, kept)) in deliveries {
                changes += 1;
                again += delivered - 1;
                match kept {
                    0 => lost.push(format!("{name} {topic} {identity}")),
                    1 => {}
                    _ => twice.push(format!("{name} {topic} {identity}")),
                }
            }
        }
    }
    assert_eq!((lost, twice), (vec![], vec![]), "of {changes} changes and {again} deliveries again");
    // Else the captures no longer show what they were made for.
    assert_eq!((changes, again), (606, 280), "changes, deliveries again");
}

#[test]
fn a_reader_that_goes_back_changes_nothing() {
    let keyed = |outcome: Outcome| -> Vec<Accepted> {
        outcome.accepted.into_iter().filter(|change| change.key.is_some()).collect()
    };
    for name in NAMES {
        for (at, inputs) in inputs(&Fixture::load(name)) {
            let expected = keyed(judge(inputs.clone()));
            let quarter = |n: usize| inputs.len() * n / 4;
            for (from, to) in [(1, 0), (2, 1), (3, 0), (4, 0), (4, 1), (4, 2), (4, 3)] {
                let went_back = inputs[..quarter(from)].iter().chain(&inputs[quarter(to)..]).copied();
                assert_eq!(keyed(judge(went_back)), expected, "{name} {at:?}: from quarter {from} back to {to}");
            }
        }
    }
}

#[test]
fn every_capture_is_decoded_whole() {
    for name in NAMES {
        for outcome in outcomes(&Fixture::load(name)) {
            assert_eq!(outcome.bad, [] as [i64; 0], "{name}");
        }
    }
    let skipped = |name| {
        outcomes(&Fixture::load(name)).iter().fold(BTreeMap::new(), |mut all: BTreeMap<_, u64>, outcome| {
            outcome.skipped.iter().for_each(|(kind, count)| *all.entry(*kind).or_default() += count);
            all
        })
    };
    assert!(skipped("ops")["truncate"] >= 3 && skipped("ops")["tombstone"] > 0, "{:?}", skipped("ops"));
}

/// A synthetic change of row 1 (or of row `id`).
struct Given {
    id: u32,
    snapshot: &'static str,
    commit: Option<u64>,
    lsn: Option<u64>,
    ts: i64,
}

fn streamed(commit: u64, lsn: u64, ts: i64) -> Given {
    Given { id: 1, snapshot: "false", commit: Some(commit), lsn: Some(lsn), ts }
}

fn snapshot(lsn: u64, ts: i64) -> Given {
    Given { id: 1, snapshot: "true", commit: None, lsn: Some(lsn), ts }
}

fn incremental(commit: u64, lsn: u64, ts: i64) -> Given {
    Given { snapshot: "incremental", ..streamed(commit, lsn, ts) }
}

fn nowhere(ts: i64) -> Given {
    Given { id: 1, snapshot: "false", commit: None, lsn: None, ts }
}

fn judge_given(given: &[Given]) -> Outcome {
    let text = |lsn: Option<u64>| lsn.map(|lsn| lsn.to_string());
    let value = |given: &Given| {
        let lsn = if given.snapshot == "incremental" { None } else { given.lsn };
        let sequence = json!([text(given.commit), text(given.lsn)]).to_string();
        let source = json!({ "name": "n", "db": "d", "table": "t", "snapshot": given.snapshot, "lsn": lsn,
            "sequence": sequence, "ts_us": given.ts });
        json!({ "op": "u", "after": { "id": given.id }, "source": source }).to_string().into_bytes()
    };
    let records: Vec<_> = given.iter().map(|g| (json!({ "id": g.id }).to_string().into_bytes(), value(g))).collect();
    let inputs =
        records.iter().zip(0..).map(|((key, value), offset)| Input { offset, key: Some(key), value: Some(value) });
    judge(inputs)
}

#[test]
fn the_rules_one_by_one() {
    // What is given; the versions of what is accepted; the offsets of what is stale, of new snapshots, of regressions.
    type Case = (&'static str, Vec<Given>, &'static [u64], [&'static [i64]; 3]);
    let cases: Vec<Case> = vec![
        ("the same change again", vec![streamed(5, 7, 1), streamed(5, 7, 1)], &[7], [&[1], &[], &[]]),
        ("commit order wins over change order", vec![streamed(5, 9, 1), streamed(6, 8, 2)], &[9, 10], [&[], &[], &[]]),
        (
            "a change that carries its snapshot's lsn",
            vec![snapshot(7, 1), streamed(0, 7, 2)],
            &[7, 8],
            [&[], &[0], &[]],
        ),
        ("a second snapshot, stamped lower", vec![snapshot(9, 1), snapshot(4, 2)], &[9, 10], [&[], &[0, 1], &[]]),
        (
            "a known snapshot keeps its epoch, and streamed changes theirs",
            vec![snapshot(9, 1), snapshot(20, 2), snapshot(9, 3), streamed(1, 21, 4)],
            &[9, 20, 21],
            [&[2], &[0, 1], &[]],
        ),
        (
            "positions fall while time goes on",
            vec![streamed(50, 60, 1), streamed(5, 6, 2)],
            &[60, 61],
            [&[], &[], &[1]],
        ),
        (
            "positions fall and time too: delivered again",
            vec![streamed(50, 60, 2), streamed(5, 6, 1)],
            &[60],
            [&[1], &[], &[]],
        ),
        (
            "after a regression the highest commit starts again",
            vec![streamed(50, 60, 1), streamed(5, 6, 2), streamed(7, 8, 3)],
            &[60, 61, 62],
            [&[], &[], &[1]],
        ),
        (
            "no commit counts as 0",
            vec![streamed(50, 60, 1), Given { commit: None, ..streamed(0, 6, 2) }],
            &[60, 61],
            [&[], &[], &[1]],
        ),
        (
            "an incremental read never raises an epoch",
            vec![streamed(50, 60, 1), incremental(5, 6, 2)],
            &[60],
            [&[1], &[], &[]],
        ),
        (
            "a change wins over the read that carries its lsn",
            vec![streamed(5, 7, 1), incremental(5, 7, 2)],
            &[7],
            [&[1], &[], &[]],
        ),
        (
            "an incremental read's lsn stands in its sequence",
            vec![incremental(5, 7, 1), streamed(5, 7, 2)],
            &[7, 8],
            [&[], &[], &[]],
        ),
        (
            "no position: the version counts on, the position stays",
            vec![streamed(5, 7, 1), nowhere(2), streamed(5, 7, 3), streamed(6, 8, 4)],
            &[7, 8, 9],
            [&[2], &[], &[]],
        ),
        ("no position at first", vec![nowhere(1), streamed(5, 7, 2)], &[1, 7], [&[], &[], &[]]),
        (
            "keys do not know each other",
            vec![streamed(5, 9, 1), Given { id: 2, ..streamed(5, 8, 1) }],
            &[9, 8],
            [&[], &[], &[]],
        ),
    ];
    for (what, given, versions, [stale, snapshots, regressions]) in cases {
        let outcome = judge_given(&given);
        let accepted: Vec<u64> = outcome.accepted.iter().map(|change| change.cdc_lsn).collect();
        assert_eq!(accepted, versions, "{what}");
        assert_eq!(
            (&outcome.stale[..], &outcome.snapshots[..], &outcome.regressions[..]),
            (stale, snapshots, regressions),
            "{what}"
        );
    }
}

#[test]
fn the_rules_of_the_seed() {
    let row =
        json!({ "id": 1, "email": "a@b.c", "phone": 7, "none": null, "full_name": "Ivan Ivanov", "birth_date": "x" });
    let rules = [
        ("email", Rule::Hash),
        ("phone", Rule::Hash),
        ("none", Rule::Hash),
        ("full_name", Rule::Truncate),
        ("birth_date", Rule::Drop),
    ];
    let row = row.as_object().expect("an object");
    // printf 'salta@b.c' | sha256sum; printf 'salt7' | sha256sum
    let expected = json!({ "id": 1, "email": "64e00aeee03713efc7b9a3eb44b91f14610af815d66b43de91beeff6fb5a11ff", "phone": "2ab204d76cdcec4609d290441fed2eec4186d288ca47c40cc7dd661a0de1b0d0", "none": null, "full_name": "IvanI." });
    assert_eq!(Value::Object(masked(row, &rules, "salt")), expected);

    for (name, short) in
        [("Ivan Ivanov", "IvanI."), ("a  b c", "ab."), ("李小龍", "李."), ("Zoë Müller", "ZoëM."), (" ", ""), ("", "")]
    {
        assert_eq!(truncated(name), short, "{name:?}");
    }

    let outcome = judge_given(&[streamed(5, 7, 1)]);
    let out = output(&outcome.accepted[0], &[], "salt");
    assert_eq!(Value::Object(out), json!({ "id": 1, "cdc_lsn": 7, "_deleted": 0 }));
}
