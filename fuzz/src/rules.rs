//! A value through a rule: of what the rule masks, nothing leaves.
//!
//! ```text
//! partial 2 2 *         a rule and its options
//! +371 29 123 456       the rest is the value, as text; or as JSON where a `=` stands before it
//! ```

use highwater::operators::mask::{
    Config, Decimal, FieldRule, Generalize, IpPrefix, Mask, Partial, Path, Period, Rule, Rules, TableConfig, Transform,
    UNAVAILABLE_VALUE, Unit, Unlisted,
};
use highwater::record::change::{Change, Op, Snapshot, Source};
use highwater::record::{Keyring, Secret};
use serde_json::value::RawValue;

use super::json::{self, Node, Tree};
use super::naive;
use super::times;

const SECRET: &str = "a secret of some length";

/// What leaves is all that the rule's sentence allows, and no message says what went in.
pub fn rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some((rule, value)) = text.split_once('\n') else { return };
    let Some(transform) = transform(rule) else { return };
    let value = match value.strip_prefix('=') {
        Some(json) => json.trim_matches([' ', '\n', '\r', '\t']).to_owned(),
        None => serde_json::to_string(value).expect("a text is JSON"),
    };
    let Ok(node) = json::parse(&value) else { return };
    match apply(&transform, &value) {
        Ok(None) => assert_eq!(transform, Transform::Drop),
        Ok(Some(left)) if naive::says_nothing(&node) == Some(true) => assert_eq!(left, value),
        Ok(Some(left)) => judge(&transform, &node, &left),
        Err(said) => {
            let known = SAMPLES.iter().filter_map(|sample| apply(&transform, sample).err());
            assert!(known.into_iter().any(|known| known == said), "{transform:?} of {value} says {said}");
            assert!(may_refuse(&transform, &node), "{transform:?} refuses {value}");
        }
    }
}

/// One of each kind that some rule refuses: whatever is said of any value is said of one of these.
const SAMPLES: [&str; 7] = ["7", "1e99", "true", "[1]", "{\"a\":1}", "\"Ivan\"", "\"\\ud83d\""];

fn transform(line: &str) -> Option<Transform> {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize, most: usize| words.get(at)?.parse::<usize>().ok().filter(|number| *number <= most);
    let replace = |rule, json: &str| Transform::Replace { rule, json: json.into() };
    Some(match words[0] {
        "hash" => Transform::Hash,
        "hmac" => Transform::Hmac { previous: None },
        "truncate" => Transform::Truncate,
        "partial" => {
            let with = words.get(3)?.to_string();
            Transform::Partial(Partial { keep_first: number(1, 64)?, keep_last: number(2, 64)?, with })
        }
        "redact" => replace(Rule::Redact, "\"[redacted]\""),
        "constant" => replace(Rule::Constant, "17"),
        "set_null" => replace(Rule::SetNull, "null"),
        "email_domain" => Transform::EmailDomain,
        "step" => Transform::Generalize(Generalize::Step(Decimal::parse(words.get(1)?).filter(|d| d.is_positive())?)),
        "to" => {
            use Period::*;
            let period = *[Hour, Day, Month, Year, Decade].get(number(1, 4)?)?;
            let units = [Unit::Days, Unit::Seconds, Unit::Millis, Unit::Micros, Unit::Nanos];
            Transform::Generalize(Generalize::To(period, number(2, 4).map(|at| units[at])))
        }
        "ip_prefix" => Transform::IpPrefix(IpPrefix { v4: number(1, 32)? as u8, v6: number(2, 128)? as u8 }),
        "drop" => Transform::Drop,
        _ => return None,
    })
}

/// What leaves of a row with that value in it, by the public way; None where the column is gone.
fn apply(transform: &Transform, value: &str) -> Result<Option<String>, String> {
    let field = FieldRule { path: Path::column("v"), transform: transform.clone(), optional: false };
    let table = TableConfig { fields: vec![field], unlisted: Unlisted::Reject };
    let keys = Some(Keyring::of("k", Secret::new(SECRET)));
    let config = Config { rules: Rules::Fields(table), keys, unavailable_value: UNAVAILABLE_VALUE.into() };
    let mut mask = Mask::new(config).expect("one rule makes a mask");
    let row = format!("{{\"v\":{value}}}");
    let row: &RawValue = serde_json::from_str(&row).expect("a value makes a row");
    let empty = || "".into();
    let source = Source {
        name: empty(),
        db: empty(),
        schema: empty(),
        table: empty(),
        snapshot: Snapshot::No,
        lsn: None,
        sequence: (None, None),
        ts_us: None,
    };
    let mut out = Vec::new();
    match mask.row(&Change { op: Op::Create, row, source }, 7, false, &mut out) {
        Ok(_) => {
            let out = String::from_utf8(out).expect("text leaves");
            let out = out.strip_suffix("\"cdc_lsn\":7,\"_deleted\":0}").expect("what every row ends in");
            let value = out.strip_prefix("{\"v\":").and_then(|out| out.strip_suffix(','));
            assert!(value.is_some() || out == "{", "{out}");
            Ok(value.map(str::to_owned))
        }
        Err(bad) => {
            assert!(out.is_empty());
            Err(bad.to_string())
        }
    }
}

fn text_of(json: &str) -> String {
    let node = json::parse(json).unwrap_or_else(|fault| panic!("{fault:?}: {json}"));
    node.text().flatten().unwrap_or_else(|| panic!("{json} is no text"))
}

/// Judges what left for a value that says something.
fn judge(transform: &Transform, value: &Node<'_>, left: &str) {
    let text = || value.text().flatten().expect("only texts go through this rule");
    match transform {
        Transform::Hash => assert_eq!(text_of(left), naive::hash(SECRET, &naive::hashed(value).expect("whole"))),
        Transform::Hmac { .. } => {
            assert_eq!(text_of(left), naive::hmac("k", SECRET, &naive::hashed(value).expect("whole")));
        }
        Transform::Replace { json, .. } => assert_eq!(left, json),
        Transform::Truncate => assert_eq!(text_of(left), naive::truncate(&text())),
        Transform::Partial(Partial { keep_first, keep_last, with }) => {
            assert_eq!(text_of(left), naive::partial(&text(), *keep_first, *keep_last, with));
        }
        Transform::EmailDomain => assert_eq!(text_of(left), naive::email_domain(&text())),
        Transform::Generalize(Generalize::Step(_)) => {
            let number = match value.tree {
                Tree::Number => value.raw.to_owned(),
                _ => text().trim().to_owned(),
            };
            let floor = if value.tree == Tree::Number { left.to_owned() } else { text_of(left) };
            let number = Decimal::parse(&number).expect("what has a floor is a number");
            assert!(Decimal::parse(&floor).is_some_and(|floor| floor <= number), "{} → {left}", value.raw);
            again(transform, left);
        }
        Transform::Generalize(Generalize::To(period, unit)) => {
            match value.tree {
                Tree::Number => times::judge_number(value.raw, left, *period, unit.expect("numbers need a unit")),
                _ => times::judge_text(text().trim(), &text_of(left), *period),
            }
            again(transform, left);
        }
        Transform::IpPrefix(IpPrefix { v4, v6 }) => {
            use std::net::IpAddr;
            let is_zero_beyond = match text_of(left).parse().expect("an address leaves") {
                IpAddr::V4(ip) => u32::from(ip).checked_shl((*v4).into()).unwrap_or(0) == 0,
                IpAddr::V6(ip) => u128::from(ip).checked_shl((*v6).into()).unwrap_or(0) == 0,
            };
            assert!(is_zero_beyond, "{} → {left}", value.raw);
            again(transform, left);
        }
        Transform::Passthrough | Transform::Drop => panic!("{transform:?} rewrites nothing"),
    }
}

/// What was cut down already is left as it is.
fn again(transform: &Transform, left: &str) {
    assert_eq!(apply(transform, left), Ok(Some(left.to_owned())));
}

fn may_refuse(transform: &Transform, value: &Node<'_>) -> bool {
    let is_text = matches!(value.text(), Some(Some(_)));
    match transform {
        Transform::Hash | Transform::Hmac { .. } | Transform::Replace { .. } => value.text() == Some(None),
        Transform::Truncate | Transform::Partial(_) | Transform::EmailDomain => !is_text,
        Transform::Generalize(_) | Transform::IpPrefix(_) => true,
        Transform::Passthrough | Transform::Drop => false,
    }
}
