//! The splice against a naive oracle: rows and rules at random, a value tree rebuilt by the book, the same answer.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::tests::{fields, mask as mask_of, run};
use super::{Members, Rule, Unlisted};

/// Xorshift: the same cases in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "é\""];
const PATHS: [&str; 16] = [
    "a", "b", "c", "é\"", "a.a", "a.b", "a.b.c", "a[]", "a[].b", "a[].c", "b.a", "b.é\"", "b[][]", "b[].a[]", "c.a.b",
    "c.a.c",
];
const RULES: [Rule; 6] = [Rule::Passthrough, Rule::Hash, Rule::Redact, Rule::Constant, Rule::SetNull, Rule::Drop];

fn value(dice: &mut Dice, depth: usize) -> Value {
    match dice.roll(if depth == 0 { 5 } else { 10 }) {
        0 => Value::Null,
        1 => json!(dice.roll(100)),
        2 => json!(dice.roll(2) == 0),
        3 => json!("text \u{1f37a}\n\"quoted\""),
        4 => json!(""),
        5..=6 => object(dice, depth - 1),
        7..=8 => (0..dice.roll(4)).map(|_| value(dice, depth - 1)).collect(),
        // json and jsonb.
        _ => Value::String(value(dice, depth - 1).to_string()),
    }
}

fn object(dice: &mut Dice, depth: usize) -> Value {
    let names = NAMES.iter().filter(|_| dice.roll(4) > 0).copied().collect::<Vec<_>>();
    names.into_iter().map(|name| (name.to_owned(), value(dice, depth))).collect::<Map<_, _>>().into()
}

/// A rule for what lies at the steps below: `name`, or `[]`.
#[derive(Clone)]
struct Below<'a> {
    steps: Vec<&'a str>,
    rule: Rule,
    optional: bool,
}

impl<'a> Below<'a> {
    fn of(path: &'a str, rule: Rule, optional: bool) -> Self {
        let split = |part: &'a str| {
            let name = part.trim_end_matches("[]");
            std::iter::once(name).chain(std::iter::repeat_n("[]", (part.len() - name.len()) / 2))
        };
        Self { steps: path.split('.').flat_map(split).collect(), rule, optional }
    }

    fn under(&self, step: &str) -> Option<Self> {
        let (first, rest) = self.steps.split_first()?;
        (*first == step).then(|| Self { steps: rest.to_vec(), ..self.clone() })
    }
}

/// What leaves; the inner None is a value that is gone, and an error a row that is refused.
fn leaves(rules: &[Below<'_>], value: &Value, unlisted: Unlisted) -> Result<Option<Value>, ()> {
    if let [Below { steps, rule, .. }] = rules
        && steps.is_empty()
    {
        return Ok(match (rule, value) {
            (Rule::Drop, _) => None,
            (Rule::Passthrough, _) | (_, Value::Null) => Some(value.clone()),
            (Rule::SetNull, _) => Some(Value::Null),
            (Rule::Constant, _) => Some(json!(0)),
            (Rule::Redact, _) => Some(json!("[redacted]")),
            (_, Value::String(text)) => Some(json!(hashed(text))),
            (_, other) => Some(json!(hashed(&other.to_string()))),
        });
    }
    let each = rules.iter().any(|rule| rule.steps.first() == Some(&"[]"));
    match value {
        Value::Null => Ok(Some(Value::Null)),
        Value::String(text) => {
            let held: Value = serde_json::from_str(text).map_err(|_| ())?;
            Ok(leaves(rules, &held, unlisted)?.map(|held| Value::String(held.to_string())))
        }
        Value::Array(elements) if each => {
            let below: Vec<_> = rules.iter().filter_map(|rule| rule.under("[]")).collect();
            let left = elements.iter().map(|element| leaves(&below, element, unlisted));
            Ok(Some(left.collect::<Result<Vec<_>, ()>>()?.into_iter().flatten().collect()))
        }
        Value::Object(members) if !each => of_members(rules, members, unlisted).map(|left| Some(left.into())),
        _ => Err(()),
    }
}

fn of_members(rules: &[Below<'_>], members: &Map<String, Value>, unlisted: Unlisted) -> Result<Map<String, Value>, ()> {
    // What passes as it is, is not demanded.
    let missing = |rule: &Below<'_>| {
        let passes = rule.rule == Rule::Passthrough && rule.steps.len() == 1;
        !rule.optional && !passes && rule.steps.first().is_some_and(|name| !members.contains_key(*name))
    };
    if rules.iter().any(missing) {
        return Err(());
    }
    let mut left = Map::new();
    for (name, value) in members {
        let below: Vec<_> = rules.iter().filter_map(|rule| rule.under(name)).collect();
        let value = match (below.is_empty(), unlisted) {
            (false, _) => leaves(&below, value, unlisted)?,
            (true, Unlisted::Passthrough) => Some(value.clone()),
            (true, Unlisted::Drop) => None,
            (true, Unlisted::Reject) => return Err(()),
        };
        left.extend(value.map(|value| (name.clone(), value)));
    }
    Ok(left)
}

fn hashed(text: &str) -> String {
    Sha256::new()
        .chain_update("s3cr3t")
        .chain_update(text)
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn rows_and_rules_at_random() {
    let mut dice = Dice(20_261_121);
    let (mut passed, mut refused) = (0, 0);
    for case in 0..6000 {
        let mut together = Members::default();
        let mut rules = Vec::new();
        for _ in 0..dice.roll(6) {
            let (path, rule) = (*dice.pick(&PATHS), *dice.pick(&RULES));
            let optional = dice.roll(4) > 0;
            let written = format!("{path}{}", if optional { "?" } else { "" });
            let one = fields(&[(written.as_str(), rule)], Unlisted::Drop);
            if together.insert(&one.fields[0]).is_ok() {
                rules.push((written, Below::of(path, rule, optional)));
            }
        }
        let unlisted = *dice.pick(&[Unlisted::Passthrough, Unlisted::Passthrough, Unlisted::Drop, Unlisted::Reject]);
        let listed: Vec<_> = rules.iter().map(|(path, below)| (path.as_str(), below.rule)).collect();
        let mut mask = mask_of(&listed, unlisted);
        let below: Vec<_> = rules.iter().map(|(_, below)| below.clone()).collect();
        // Several rows for one mask: layouts that it learned before are met again.
        for _ in 0..3 {
            let row = object(&mut dice, 3);
            let want = of_members(&below, row.as_object().unwrap(), unlisted);
            let got = run(&mut mask, "c", &row.to_string());
            match (want, got) {
                (Ok(mut want), Ok(got)) => {
                    want.extend([("cdc_lsn".to_owned(), json!(7)), ("_deleted".to_owned(), json!(0))]);
                    let got: Map<String, Value> = serde_json::from_str(&got).unwrap();
                    assert_eq!(got, want, "case {case}: {listed:?} {unlisted:?}\n{row}");
                    passed += 1;
                }
                (Err(()), Err(_)) => refused += 1,
                (want, got) => panic!("case {case}: {listed:?} {unlisted:?}\n{row}\nwant {want:?}, got {got:?}"),
            }
        }
    }
    assert!(passed > 4000 && refused > 4000, "{passed} passed, {refused} refused");
}
