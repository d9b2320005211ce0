use super::*;
use crate::record::Secret;
use crate::record::change::{Decoded, Op, decode};
use serde_json::Value;

/// The rule with options that are easy to see.
fn plain(rule: Rule) -> Transform {
    let replace = |json: &str| Transform::Replace { rule, json: json.into() };
    match rule {
        Rule::Passthrough => Transform::Passthrough,
        Rule::Hash => Transform::Hash,
        Rule::Hmac => Transform::Hmac { previous: None },
        Rule::Truncate => Transform::Truncate,
        Rule::Partial => Transform::Partial(Partial { keep_first: 1, keep_last: 1, with: "*".into() }),
        Rule::Redact => replace("\"[redacted]\""),
        Rule::Constant => replace("0"),
        Rule::SetNull => replace("null"),
        Rule::EmailDomain => Transform::EmailDomain,
        Rule::Generalize => Transform::Generalize(Generalize::To(Period::Year, Some(Unit::Days))),
        Rule::IpPrefix => Transform::IpPrefix(IpPrefix { v4: 24, v6: 48 }),
        Rule::Drop => Transform::Drop,
    }
}

pub(super) fn fields(rules: &[(&str, Rule)], unlisted: Unlisted) -> TableConfig {
    let field = |(path, rule): &(&str, Rule)| FieldRule {
        path: match path.trim_end_matches('?') {
            "" => Path::column(""),
            path => Path::parse(path).unwrap(),
        },
        transform: plain(*rule),
        optional: path.ends_with('?'),
    };
    TableConfig { fields: rules.iter().map(field).collect(), unlisted }
}

fn try_new(rules: Rules, secret: Option<&str>) -> Result<Mask, String> {
    let keys = secret.map(|secret| Keyring::of("k1", Secret::new(secret)));
    Mask::new(Config { rules, keys, unavailable_value: UNAVAILABLE_VALUE.into() })
}

pub(super) fn mask(rules: &[(&str, Rule)], unlisted: Unlisted) -> Mask {
    try_new(Rules::Fields(fields(rules, unlisted)), Some("s3cr3t")).unwrap()
}

fn envelope(op: &str, row: &str) -> String {
    let field = if op == "d" { "before" } else { "after" };
    format!(r#"{{"op":"{op}","{field}":{row},"source":{{"table":"people"}}}}"#)
}

pub(super) fn run(mask: &mut Mask, op: &str, row: &str) -> Result<String, BadRecord> {
    let envelope = envelope(op, row);
    let Decoded::Change(change) = decode(Some(envelope.as_bytes())).unwrap() else { panic!("no change") };
    let mut out = b"left over".to_vec();
    let result = mask.row(&change, 7, change.op == Op::Delete, &mut out);
    assert!(result.is_ok() || out.is_empty());
    result.map(|_| String::from_utf8(out).unwrap())
}

fn key(mask: &mut Mask, key: &str) -> Result<String, BadRecord> {
    let mut out = b"left over".to_vec();
    let result = mask.key("people", key.as_bytes(), &mut out);
    assert!(result.is_ok() || out.is_empty());
    result.map(|_| String::from_utf8(out).unwrap())
}

const SEED: &[(&str, Rule)] =
    &[("email", Rule::Hash), ("name", Rule::Truncate), ("born", Rule::Drop), ("id", Rule::Passthrough)];

// printf s3cr3tivan@example.com | sha256sum
const IVAN: &str = "9263772d8ba1ab327ea92e13ae02119357e266a54b3371489e6669e784b8a0a8";

#[test]
fn the_rules_of_the_seed() {
    let mut mask = mask(SEED, Unlisted::Passthrough);
    assert_eq!(mask.unmatched(), 4);
    let row = r#"{"id":1,"email":"ivan@example.com","name":"Ivan Ivanov","born":-56270,"note":"a\u0062"}"#;
    let expected = format!(r#"{{"id":1,"email":"{IVAN}","name":"IvanI.","note":"a\u0062","cdc_lsn":7,"_deleted":0}}"#);
    // The second run goes by the layout that the first one learned.
    for op in ["c", "u", "r", "c"] {
        assert_eq!(run(&mut mask, op, row).unwrap(), expected);
    }
    assert_eq!(run(&mut mask, "d", row).unwrap(), expected.replace("_deleted\":0", "_deleted\":1"));
    assert_eq!(mask.unmatched(), 0);
}

/// (rules, unlisted, row, output) with the same outcome on the first row and on every later one.
#[test]
fn splices() {
    use Rule::*;
    use Unlisted::{Drop as DropUnlisted, Passthrough as PassUnlisted, Reject};
    for (rules, unlisted, row, expected) in [
        (&[][..], PassUnlisted, "{}", ""),
        (&[("a?", Drop)], PassUnlisted, "{}", ""),
        (
            &[],
            PassUnlisted,
            "{ \"a\" : 1 ,\n \"b\":\t[ 1, {\"x\" : null} ] }",
            "\"a\" : 1 ,\n \"b\":\t[ 1, {\"x\" : null} ],",
        ),
        (&[("a", Drop)], PassUnlisted, r#"{"a":"x","b":2}"#, r#""b":2,"#),
        (&[("b", Drop)], PassUnlisted, r#"{"a":1,"b":"x","c":3}"#, r#""a":1,"c":3,"#),
        (&[("c", Drop)], PassUnlisted, r#"{"a":1,"b":2,"c":"x"}"#, r#""a":1,"b":2,"#),
        (&[("a", Drop), ("b", Drop)], PassUnlisted, r#"{"a":1,"b":{"c":[1]}}"#, ""),
        (&[("b", Truncate)], PassUnlisted, r#"{"a":1, "b" : "x y" , "c":3}"#, r#""a":1,"b" : "xy.","c":3,"#),
        (&[("a", Truncate), ("b", Truncate)], PassUnlisted, r#"{"a":null,"b":""}"#, r#""a":null,"b":"","#),
        (&[("b", Passthrough)], DropUnlisted, r#"{"a":"x","b":2,"c":"x"}"#, r#""b":2,"#),
        (&[("b", Passthrough), ("a?", Drop)], Reject, r#"{"b":2}"#, r#""b":2,"#),
        // Not demanded: a slip in its name leaks nothing that `unlisted` would not.
        (&[("a", Passthrough), ("b", Passthrough)], Reject, r#"{"b":2}"#, r#""b":2,"#),
        // Escaped names meet their rules, and leave as they came.
        (&[("ab", Truncate), ("c\"", Drop)], PassUnlisted, r#"{"a\u0062":"x y","c\u0022":1}"#, r#""a\u0062":"xy.","#),
        (&[("имя", Truncate), ("", Drop)], PassUnlisted, r#"{"имя":"李小龍","":1}"#, r#""имя":"李.","#),
    ] {
        let mut mask = mask(rules, unlisted);
        for _ in 0..2 {
            let end = r#""cdc_lsn":7,"_deleted":0}"#;
            assert_eq!(run(&mut mask, "c", row).unwrap(), format!("{{{expected}{end}"), "{row}");
        }
    }
}

#[test]
fn refusals() {
    use Rule::*;
    use Unlisted::{Passthrough as PassUnlisted, Reject};
    for (rules, unlisted, row, reason, detail) in [
        (&[][..], PassUnlisted, r#"{"cdc_lsn":"secret"}"#, Reason::ReservedColumn, "`cdc_lsn`"),
        (&[], PassUnlisted, r#"{"a":1,"_deleted":"secret"}"#, Reason::ReservedColumn, "`_deleted`"),
        (&[], PassUnlisted, r#"{"cdc\u005flsn":"secret"}"#, Reason::ReservedColumn, "`cdc_lsn`"),
        (&[], PassUnlisted, r#"{"a":"secret","b":1,"a":2}"#, Reason::DuplicateField, "`a`"),
        (&[("ab", Drop)], PassUnlisted, r#"{"a\u0062":"secret","ab":2}"#, Reason::DuplicateField, "`ab`"),
        (&[("a", Hash)], Reject, r#"{"a":"secret","b":2,"c":3}"#, Reason::UnlistedColumn, "`b`, `c`"),
        (
            &[("emial", Hash)],
            PassUnlisted,
            r#"{"id":1,"email":"secret"}"#,
            Reason::RuleWithoutColumn,
            "nearest is `email`",
        ),
        (&[("a", Redact)], PassUnlisted, r#"{}"#, Reason::RuleWithoutColumn, "`a` (redact)"),
        (&[("a", Truncate)], PassUnlisted, r#"{"a":["secret"]}"#, Reason::WrongType, "`a` is an array"),
        (&[("a", Hash)], PassUnlisted, r#"{"b":1,"a":"secret\ud83d"}"#, Reason::NotJson, "`a`"),
        (&[], PassUnlisted, r#"{"a\ude00":"secret"}"#, Reason::NotJson, "surrogate"),
    ] {
        let mut mask = mask(rules, unlisted);
        for _ in 0..2 {
            let bad = run(&mut mask, "c", row).unwrap_err();
            assert_eq!(bad.reason, reason, "{row}");
            assert!(bad.detail.contains(detail) && !bad.detail.contains("secret"), "{row}: {bad}");
        }
    }
}

#[test]
fn a_delete_is_held_to_the_same_rules() {
    let mut mask = mask(&[("emial", Rule::Hash)], Unlisted::Passthrough);
    for op in ["d", "c", "d"] {
        let bad = run(&mut mask, op, r#"{"id":1,"email":"secret"}"#).unwrap_err();
        assert_eq!(bad.reason, Reason::RuleWithoutColumn, "{op}");
    }
}

#[test]
fn rows_of_changing_layouts() {
    let mut mask = mask(&[("p?", Rule::Truncate), ("q?", Rule::Drop)], Unlisted::Passthrough);
    // More layouts than are kept, each met again; prefixes and permutations of each other among them.
    for _ in 0..3 {
        for n in 0..40 {
            let others: Vec<String> = (0..n).map(|i| format!(r#""c{i}":{i}"#)).collect();
            let mut columns = others.clone();
            columns.insert(n / 2, r#""p":"secret x","q":"secret""#.into());
            let joined = |columns: &[String]| columns.iter().map(|c| format!("{c},")).collect::<String>();
            let expected = {
                let mut columns = others;
                columns.insert(n / 2, r#""p":"secretx.""#.into());
                format!("{{{}\"cdc_lsn\":7,\"_deleted\":0}}", joined(&columns))
            };
            assert_eq!(run(&mut mask, "c", &format!("{{{}}}", columns.join(","))).unwrap(), expected);
        }
    }
}

#[test]
fn a_duplicate_is_found_after_its_layout_is_known() {
    let mut mask = mask(&[("a", Rule::Drop)], Unlisted::Passthrough);
    run(&mut mask, "c", r#"{"a":1,"b":2}"#).unwrap();
    for row in [r#"{"a":1,"b":2,"a":"secret"}"#, r#"{"a":1,"b":2,"b":3}"#, r#"{"a":1,"a":2}"#] {
        assert_eq!(run(&mut mask, "c", row).unwrap_err().reason, Reason::DuplicateField);
    }
    let many: Vec<String> = (0..3000).map(|i| format!("\"c{}\":1", i % 2999)).collect();
    let bad = run(&mut mask, "c", &format!("{{{}}}", many.join(","))).unwrap_err();
    assert_eq!(bad.detail, "the row names `c0` twice");
}

#[test]
fn placeholders_leave_as_they_came_unless_dropped() {
    let row = format!(r#"{{"t":"{0}","h":["{0}"],"d":"{0}"}}"#, UNAVAILABLE_VALUE);
    let mut mask = mask(&[("t", Rule::Truncate), ("h", Rule::Hash), ("d", Rule::Drop)], Unlisted::Reject);
    let expected = format!(r#"{{"t":"{0}","h":["{0}"],"cdc_lsn":7,"_deleted":0}}"#, UNAVAILABLE_VALUE);
    assert_eq!(run(&mut mask, "u", &row).unwrap(), expected);
}

#[test]
fn applied_counts_what_was_done() {
    let mut mask = mask(SEED, Unlisted::Drop);
    let mut applied = |row: &str| {
        let envelope = envelope("c", row);
        let Decoded::Change(change) = decode(Some(envelope.as_bytes())).unwrap() else { panic!("no change") };
        let applied = mask.row(&change, 1, false, &mut Vec::new()).unwrap();
        [Rule::Passthrough, Rule::Hash, Rule::Truncate, Rule::Drop].map(|rule| applied.of(rule))
    };
    assert_eq!(applied(r#"{"id":1,"email":"a","name":"b","born":1,"x":1,"y":2}"#), [1, 1, 1, 3]);
    assert_eq!(applied(r#"{"id":1,"email":null,"name":null,"born":null}"#), [1, 0, 0, 1]);
}

#[test]
fn without_rules_a_row_is_still_checked() {
    let mut mask = try_new(Rules::None, None).unwrap();
    assert_eq!(run(&mut mask, "d", r#"{"a": 1}"#).unwrap(), r#"{"a": 1,"cdc_lsn":7,"_deleted":1}"#);
    assert_eq!(run(&mut mask, "c", r#"{"a":1,"a":2}"#).unwrap_err().reason, Reason::DuplicateField);
    assert_eq!(run(&mut mask, "c", r#"{"cdc_lsn":1}"#).unwrap_err().reason, Reason::ReservedColumn);
    assert_eq!((mask.unmatched(), key(&mut mask, r#"{"a" : 1}"#).unwrap()), (0, r#"{"a" : 1}"#.into()));
}

#[test]
fn rules_by_table() {
    let people = fields(&[("a", Rule::Drop)], Unlisted::Passthrough);
    let mut mask = try_new(Rules::Tables([("people".into(), people.clone())].into()), None).unwrap();
    assert_eq!(run(&mut mask, "c", r#"{"a":1}"#).unwrap(), r#"{"cdc_lsn":7,"_deleted":0}"#);
    let mut mask = try_new(Rules::Tables([("other".into(), people)].into()), None).unwrap();
    let bad = run(&mut mask, "c", r#"{"a":1}"#).unwrap_err();
    assert_eq!(bad.to_string(), "table_without_rules: no rules for the table `people`");
    assert_eq!(key(&mut mask, r#"{"a":1}"#).unwrap_err().reason, Reason::TableWithoutRules);
    assert_eq!(mask.unmatched(), 1);
}

#[test]
fn what_cannot_work_is_not_built() {
    let hash = || fields(&[("a", Rule::Passthrough), ("b", Rule::Hash)], Unlisted::Passthrough);
    for secret in [None, Some("")] {
        let error = try_new(Rules::Fields(hash()), secret).err().unwrap();
        assert_eq!(error, "hash of the column `b` needs a secret");
        assert!(try_new(Rules::Tables([("t".into(), hash())].into()), secret).is_err());
    }
    let twice = fields(&[("a", Rule::Drop), ("a", Rule::Passthrough)], Unlisted::Passthrough);
    assert_eq!(try_new(Rules::Fields(twice), None).err().unwrap(), "two rules name `a`");
}

#[test]
fn keys_follow_the_rules_of_their_columns() {
    let mut mask = mask(SEED, Unlisted::Passthrough);
    for (before, after) in [
        (r#"{"id":1}"#, r#"{"id":1}"#.to_string()),
        (r#" {"id" : 1 , "x":"a\u0062"} "#, r#"{"id" : 1 , "x":"a\u0062"}"#.to_string()),
        (r#"{"id":1,"email":"ivan@example.com"}"#, format!(r#"{{"id":1,"email":"{IVAN}"}}"#)),
        (r#"{"email":null}"#, r#"{"email":null}"#.to_string()),
        (r#"{"schema":{},"payload":{"email":"ivan@example.com"}}"#, format!(r#"{{"email":"{IVAN}"}}"#)),
        (r#"{"schema":{},"payload":{"id":1}}"#, r#"{"id":1}"#.to_string()),
    ] {
        for _ in 0..2 {
            assert_eq!(key(&mut mask, before).unwrap(), after);
        }
    }
    for (bad, reason) in [
        (r#"{"name":"Ivan Ivanov"}"#, Reason::RuleOnKey),
        (r#"{"born":1}"#, Reason::RuleOnKey),
        (r#"{"id":1,"id":2}"#, Reason::MalformedKey),
        (r#"{"\ud83d":1}"#, Reason::MalformedKey),
        ("7", Reason::MalformedKey),
        ("", Reason::MalformedKey),
    ] {
        assert_eq!(key(&mut mask, bad).unwrap_err().reason, reason, "{bad}");
    }
    assert_eq!(mask.unmatched(), 4, "keys are no rows");
}

#[test]
fn unlisted_key_columns() {
    for (unlisted, reason) in [(Unlisted::Drop, Reason::RuleOnKey), (Unlisted::Reject, Reason::UnlistedColumn)] {
        let mut mask = mask(&[("id", Rule::Passthrough)], unlisted);
        assert_eq!(key(&mut mask, r#"{"id":1}"#).unwrap(), r#"{"id":1}"#);
        let bad = key(&mut mask, r#"{"id":1,"passport":"secret"}"#).unwrap_err();
        assert!(bad.reason == reason && bad.detail.contains("`passport`") && !bad.detail.contains("secret"), "{bad}");
    }
}

#[test]
fn depth_does_not_matter() {
    let deep = "[".repeat(1 << 20) + &"]".repeat(1 << 20);
    let row = format!(r#"{{"a":{deep},"b":{deep},"c":{deep}}}"#);
    let mut mask = mask(&[("b", Rule::Hash), ("c", Rule::Drop)], Unlisted::Passthrough);
    let out = run(&mut mask, "c", &row).unwrap();
    assert!(out.starts_with(&format!(r#"{{"a":{deep},"b":""#)) && out.len() < deep.len() + 200);
}

/// (rules, unlisted, row, output)
#[test]
fn places_within_columns() {
    use Rule::*;
    use Unlisted::{Drop as DropUnlisted, Passthrough as PassUnlisted, Reject};
    for (rules, unlisted, row, expected) in [
        (
            &[("a.s", Truncate)][..],
            PassUnlisted,
            r#"{"a":{"s":"x y", "t" : [1, 2]}}"#,
            r#"{"a":{"s":"xy.","t" : [1, 2]}"#,
        ),
        (&[("a.s", Truncate)], PassUnlisted, r#"{"b":1,"a":null,"c":2}"#, r#"{"b":1,"a":null,"c":2"#),
        (&[("a.s", Truncate)], PassUnlisted, r#"{"a":{"s":null}}"#, r#"{"a":{"s":null}"#),
        (
            &[("a.s.u", Drop), ("a.s.v", Redact)],
            PassUnlisted,
            r#"{"a":{"s":{"u":1,"w":2,"v":3}}}"#,
            r#"{"a":{"s":{"w":2,"v":"[redacted]"}}"#,
        ),
        (
            &[("c[].p", Drop)],
            PassUnlisted,
            r#"{"c":[{"p":"x"}, {"q":1,"p":"y"},{"p":"z","r":2} , null]}"#,
            r#"{"c":[{},{"q":1},{"r":2},null]"#,
        ),
        (&[("t[]", Redact)], PassUnlisted, r#"{"t":["x", null ,["y"]]}"#, r#"{"t":["[redacted]",null,"[redacted]"]"#),
        (&[("t[]", Drop)], PassUnlisted, r#"{"t":["x","y"]}"#, r#"{"t":[]"#),
        (&[("t[]", Redact)], PassUnlisted, r#"{"t":[]}"#, r#"{"t":[]"#),
        (&[("m[][]", Constant)], PassUnlisted, r#"{"m":[[1,2],[],[3]]}"#, r#"{"m":[[0,0],[],[0]]"#),
        (&[("a.s", Passthrough)], DropUnlisted, r#"{"a":{"s":1,"new":"x"},"b":2}"#, r#"{"a":{"s":1}"#),
        (&[("a.s", Passthrough)], Reject, r#"{"a":{"s":1}}"#, r#"{"a":{"s":1}"#),
        (&[("a.s?", Drop), ("b.s?", Drop)], PassUnlisted, r#"{"a":{}}"#, r#"{"a":{}"#),
        (&[("a.s\\.t", SetNull)], PassUnlisted, r#"{"a":{"\u0073.t":1}}"#, r#"{"a":{"\u0073.t":null}"#),
        // json and jsonb come as text.
        (
            &[("j.e", Redact)],
            PassUnlisted,
            r#"{"j":"{\"e\": \"x\", \"k\": \"a\\u0062\"}"}"#,
            r#"{"j":"{\"e\": \"[redacted]\",\"k\": \"a\\u0062\"}""#,
        ),
        (&[("j[].e", SetNull)], PassUnlisted, r#"{"j":"[{\"e\":1}]"}"#, r#"{"j":"[{\"e\":null}]""#),
        (
            &[("j.i.e", Drop)],
            PassUnlisted,
            r#"{"j":"{\"i\":\"{\\\"e\\\":1,\\\"f\\\":2}\"}"}"#,
            r#"{"j":"{\"i\":\"{\\\"f\\\":2}\"}""#,
        ),
        (&[("j.e", Redact)], PassUnlisted, r#"{"j":"null"}"#, r#"{"j":"null""#),
        (
            &[("j.e", Redact)],
            PassUnlisted,
            r#"{"j":"__debezium_unavailable_value"}"#,
            r#"{"j":"__debezium_unavailable_value""#,
        ),
    ] {
        let mut mask = mask(rules, unlisted);
        for _ in 0..2 {
            assert_eq!(run(&mut mask, "c", row).unwrap(), format!(r#"{expected},"cdc_lsn":7,"_deleted":0}}"#), "{row}");
        }
    }
}

#[test]
fn refusals_within_columns() {
    use Rule::*;
    use Unlisted::{Passthrough as PassUnlisted, Reject};
    for (rules, unlisted, row, reason, detail) in [
        (
            &[("a.s", Drop)][..],
            PassUnlisted,
            r#"{"a":{"secret":"secret"}}"#,
            Reason::RuleWithoutColumn,
            "`a` lacks what rules name: `s` (drop)",
        ),
        (
            &[("a.s", Drop)],
            PassUnlisted,
            r#"{"b":"secret"}"#,
            Reason::RuleWithoutColumn,
            "`a` (reached into, nearest is `b`)",
        ),
        (&[("c[].s", Drop)], PassUnlisted, r#"{"c":[{"s":1},{}]}"#, Reason::RuleWithoutColumn, "`c[]` lacks"),
        (
            &[("a.s", Drop)],
            Reject,
            r#"{"a":{"s":1,"secret":2}}"#,
            Reason::UnlistedColumn,
            "no rule for a member of `a`",
        ),
        (
            &[("a.s", Drop)],
            PassUnlisted,
            r#"{"a":["secret"]}"#,
            Reason::WrongType,
            "`a` is an array, which rules reach into as an object",
        ),
        (
            &[("a[]", Drop)],
            PassUnlisted,
            r#"{"a":{"s":"secret"}}"#,
            Reason::WrongType,
            "`a` is an object, which rules reach into as an array",
        ),
        (&[("a.s", Drop)], PassUnlisted, r#"{"a":7}"#, Reason::WrongType, "`a` is a number"),
        (
            &[("a.s", Drop)],
            PassUnlisted,
            r#"{"a":"secret"}"#,
            Reason::WrongType,
            "`a` is text that rules reach into as JSON",
        ),
        (&[("a.s", Drop)], PassUnlisted, r#"{"a":"{\"s\":1} secret"}"#, Reason::WrongType, "`a` is text"),
        (&[("a.s", Drop)], PassUnlisted, r#"{"a":""}"#, Reason::WrongType, "`a` is text"),
        (&[("a.s", Drop)], PassUnlisted, r#"{"a":"[\"secret\"]"}"#, Reason::WrongType, "`a` is an array"),
        (
            &[("a.s", Drop)],
            PassUnlisted,
            r#"{"a":{"s":"secret","\u0073":2}}"#,
            Reason::DuplicateField,
            "`a` names a member twice",
        ),
        (&[("a.s", Truncate)], PassUnlisted, r#"{"a":{"s":["secret"]}}"#, Reason::WrongType, "`a.s` is an array"),
        (&[("a.s", Truncate)], PassUnlisted, r#"{"a":{"s":"secret\ud83d"}}"#, Reason::NotJson, "`a.s`"),
    ] {
        let mut mask = mask(rules, unlisted);
        for _ in 0..2 {
            let bad = run(&mut mask, "c", row).unwrap_err();
            assert_eq!(bad.reason, reason, "{row}: {bad}");
            assert!(bad.detail.contains(detail) && !bad.detail.contains("secret"), "{row}: {bad}");
        }
    }
    let mut mask = mask(&[("id.x", Hash)], PassUnlisted);
    assert_eq!(key(&mut mask, r#"{"id":{"x":1}}"#).unwrap_err().reason, Reason::RuleOnKey);
}

#[test]
fn rules_that_cannot_both_hold() {
    for (one, other) in [("a.b", "a"), ("a", "a.b"), ("a.b", "a.b"), ("a[]", "a.b"), ("a.b", "a[].b"), ("a[]", "a[].b")]
    {
        let both = fields(&[(one, Rule::Drop), (other, Rule::Redact)], Unlisted::Passthrough);
        assert!(try_new(Rules::Fields(both), None).is_err(), "{one} {other}");
    }
    let apart = fields(&[("a.b", Rule::Drop), ("a.c[]", Rule::Redact), ("a.d.e", Rule::Drop)], Unlisted::Passthrough);
    assert_eq!(try_new(Rules::Fields(apart), None).unwrap().unmatched(), 3);
}

fn rotating(rules: &[(&str, Option<&str>)]) -> Result<Mask, String> {
    let field = |(path, previous): &(&str, Option<&str>)| FieldRule {
        path: Path::parse(path).unwrap(),
        transform: Transform::Hmac { previous: previous.map(str::to_owned) },
        optional: false,
    };
    let fields = rules.iter().map(field).collect();
    let key = |id: &str| crate::record::Key { id: id.into(), secret: Secret::new(format!("secret of {id}")) };
    let keys = Some(Keyring { current: key("k2"), previous: Some(key("k1")) });
    let rules = Rules::Fields(TableConfig { fields, unlisted: Unlisted::Passthrough });
    Mask::new(Config { rules, keys, unavailable_value: UNAVAILABLE_VALUE.into() })
}

#[test]
fn while_a_key_is_rotated_both_values_leave() {
    // printf ivan@example.com | openssl dgst -sha256 -hmac 'secret of k1'
    const K1: &str = "e3ded537f8e25ce35ca0ec03c65607d3e3c3f802dcf6b0698bb3e7b849ea8aab";
    const K2: &str = "2d6ea6650b3fb8a234f922ead7de32a09d71ff8514c47c39681084fb314f5edc";
    let mut mask = rotating(&[("e", Some("e_before")), ("a.e", Some("old")), ("x", None)]).unwrap();
    let row = r#"{"e":"ivan@example.com","a":{"e":"ivan@example.com","n":1},"x":null,"y":1}"#;
    let want = format!(
        r#"{{"e":"k2:{K2}","e_before":"k1:{K1}","a":{{"e":"k2:{K2}","old":"k1:{K1}","n":1}},"x":null,"y":1,"cdc_lsn":7,"_deleted":0}}"#
    );
    for _ in 0..2 {
        assert_eq!(run(&mut mask, "c", row).unwrap(), want);
    }
    let nulls = r#"{"e":null,"a":{"e":"__debezium_unavailable_value"},"x":null}"#;
    let want = r#"{"e":null,"e_before":null,"a":{"e":"__debezium_unavailable_value","old":"__debezium_unavailable_value"},"x":null,"cdc_lsn":7,"_deleted":0}"#;
    assert_eq!(run(&mut mask, "c", nulls).unwrap(), want);
    // The key of a record has one column, whatever else leaves.
    assert_eq!(key(&mut mask, r#"{"e":"ivan@example.com"}"#).unwrap(), format!(r#"{{"e":"k2:{K2}"}}"#));
    for row in [
        r#"{"e":null,"a":{"e":null},"x":null,"e_before":"secret"}"#,
        r#"{"e":null,"a":{"e":null,"old":"secret"},"x":null}"#,
    ] {
        let bad = run(&mut mask, "c", row).unwrap_err();
        assert!(bad.reason == Reason::ReservedColumn && !bad.detail.contains("secret"), "{bad}");
    }
}

#[test]
fn what_previous_writes_is_nobody_elses() {
    for rules in [
        &[("e", Some("f")), ("f", None)][..],
        &[("f", None), ("e", Some("f"))],
        &[("e", Some("f")), ("g", Some("f"))],
        &[("e", Some("e"))],
        &[("t[]", Some("f"))],
    ] {
        assert!(rotating(rules).is_err(), "{rules:?}");
    }
    let fields = vec![FieldRule {
        path: Path::column("e"),
        transform: Transform::Hmac { previous: Some("f".into()) },
        optional: false,
    }];
    let rules = Rules::Fields(TableConfig { fields, unlisted: Unlisted::Passthrough });
    let error = try_new(rules, Some("s3cr3t")).err().unwrap();
    assert_eq!(error, "hmac of the column `e` writes a value under the previous key, and there is none");
}

#[test]
fn a_mask_can_move_to_its_worker() {
    fn send<T: Send>() {}
    send::<Mask>();
}

/// Every captured record, against a computation of its own over value trees.
#[test]
fn captured_topics() {
    const MASKED: &[(&str, Rule)] = &[
        ("email?", Rule::Hash),
        ("phone?", Rule::Hash),
        ("tags?", Rule::Hash),
        ("ver?", Rule::Hash),
        ("full_name?", Rule::Truncate),
        ("title?", Rule::Truncate),
        ("body?", Rule::Hash),
        ("birth_date?", Rule::Drop),
        ("profile?", Rule::Drop),
    ];
    let mut mask = mask(MASKED, Unlisted::Passthrough);
    let (mut rows, mut secrets) = (0, 0);
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/debezium")).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let value = line["value"].as_str();
            let decoded = match decode(value.map(str::as_bytes)) {
                Ok(Decoded::Change(change)) => change,
                Ok(Decoded::Skip(_)) => continue,
                Err(bad) => {
                    let topic = line["topic"].as_str().unwrap();
                    assert!(topic.starts_with("__debezium") || topic.ends_with(".transaction"), "{topic}: {bad}");
                    continue;
                }
            };
            let mut tree: Value = serde_json::from_str(value.unwrap()).unwrap();
            let envelope = if tree["payload"].is_object() { tree["payload"].take() } else { tree };
            let row = &envelope[if envelope["op"] == "d" { "before" } else { "after" }];
            let mut out = Vec::new();
            mask.row(&decoded, 42, false, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            secrets += check(MASKED, row.as_object().unwrap(), &text);
            rows += 1;
        }
    }
    assert!(rows > 1100 && secrets > 1000, "{rows} rows, {secrets} secrets");
    assert_eq!(mask.unmatched(), 0);
}

/// Returns how many values were looked for in the output.
fn check(rules: &[(&str, Rule)], row: &serde_json::Map<String, Value>, out: &str) -> usize {
    let tree: serde_json::Map<String, Value> = serde_json::from_str(out).unwrap();
    let (mut kept, mut secrets) = (2, 0);
    for (column, value) in row {
        let rule = rules.iter().find(|(name, _)| name.trim_end_matches('?') == column).map(|(_, rule)| *rule);
        let is_dropped = rule == Some(Rule::Drop);
        assert_eq!(tree.contains_key(column), !is_dropped, "{column}");
        kept += usize::from(!is_dropped);
        if rule.is_none() || !is_dropped && (value.is_null() || value == UNAVAILABLE_VALUE) {
            assert_eq!(&tree[column], value, "{column}");
            continue;
        }
        let texts = [value.as_str().map(str::to_string).unwrap_or_else(|| value.to_string()), value.to_string()];
        for text in texts.iter().filter(|text| text.len() >= 6) {
            assert!(!out.contains(text.as_str()), "{column} leaks");
            secrets += 1;
        }
    }
    assert_eq!(tree.len(), kept);
    assert!((&tree["cdc_lsn"], tree["_deleted"].as_u64() <= Some(1)) == (&42.into(), true));
    secrets
}
