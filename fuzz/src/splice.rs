//! Rows and rules in, output rows out, against a tree that is rebuilt by the book.
//!
//! ```text
//! passthrough id=passthrough email=hash address.street=drop tags[]?=redact     what becomes of the unlisted, and rules
//! {"id":1,"email":"ann@example.com","address":{"street":"x"}}                  rows for one mask, one a line
//! ```

use highwater::operators::mask::{
    Config, FieldRule, Mask, Members, Partial, Path, Rule, Rules, Step, TableConfig, Transform, UNAVAILABLE_VALUE,
    Unlisted,
};
use highwater::record::change::{Change, Op, Snapshot, Source};
use highwater::record::{Key, Keyring, Secret};
use serde_json::value::RawValue;

use super::json::{self, Fault, Node, Tree};
use super::key::payload;
use super::naive;

const MOST_RULES: usize = 12;
const MOST_ROWS: usize = 6;

/// Every row that leaves is what the naive reading makes of it, and every row that it refuses is refused.
pub fn splice(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let Some(table) = lines.next().map(table) else { return };
    let mut mask = mask(table.clone());
    let rules: Vec<Below<'_>> = table.fields.iter().map(Below::of).collect();
    for line in lines.take(MOST_ROWS) {
        let read = json::parse(line);
        let valid: Result<&RawValue, _> = serde_json::from_str(line);
        let (Ok(node), Ok(row)) = (&read, valid) else {
            assert!(read != Err(Fault::Syntax) || serde_json::from_str::<&RawValue>(line).is_err(), "{line}");
            assert!(read.is_err(), "serde_json refuses {line}");
            continue;
        };
        assert_eq!(node.raw, row.get());
        let mut got = b"left over".to_vec();
        if node.members().is_some() {
            let passed = mask.row(&change(row), 7, false, &mut got);
            let want = of_row(&rules, node, table.unlisted).map(|mut members| {
                members.push(("\"cdc_lsn\"".into(), Out::Raw("7".into())));
                members.push(("\"_deleted\"".into(), Out::Raw("0".into())));
                Out::Object(members)
            });
            compare(passed.is_ok(), &got, want);
        }
        let passed = mask.key("people", line.as_bytes(), &mut got);
        let want = of_key(&rules, payload(node), table.unlisted).map(Out::Object);
        compare(passed.is_ok(), &got, want);
    }
}

fn compare(passed: bool, got: &[u8], want: Result<Out, No>) {
    let got = std::str::from_utf8(got).expect("text leaves");
    match want {
        Ok(want) => {
            assert!(passed, "refused: {want:?}");
            let node = json::parse(got).unwrap_or_else(|fault| panic!("{fault:?}: {got}"));
            assert!(want.is(&node), "left {got}, want {want:?}");
        }
        Err(Refused) => assert!(!passed && got.is_empty(), "passed: {got}"),
        Err(No::Deep) => {}
    }
}

fn change(row: &RawValue) -> Change<'_> {
    let source = Source {
        name: "".into(),
        db: "".into(),
        schema: "".into(),
        table: "people".into(),
        snapshot: Snapshot::No,
        lsn: Some(7),
        sequence: (None, None),
        ts_us: None,
    };
    Change { op: Op::Create, row, source }
}

/// As many rules of the line as go together.
fn table(line: &str) -> TableConfig {
    let mut words = line.split(' ');
    let unlisted = match words.next() {
        Some("drop") => Unlisted::Drop,
        Some("reject") => Unlisted::Reject,
        _ => Unlisted::Passthrough,
    };
    let mut fields = Vec::new();
    for word in words.take(MOST_RULES) {
        let Some((path, rule)) = word.rsplit_once('=') else { continue };
        let (path, optional) = path.strip_suffix('?').map_or((path, false), |path| (path, true));
        let (Ok(path), Some(transform)) = (Path::parse(path), transform(rule)) else { continue };
        let field = FieldRule { path, transform, optional };
        // One that is refused may have been half inserted: the others are tried without it.
        let mut all = Members::default();
        fields.push(field);
        if !fields.iter().all(|field| all.insert(field).is_ok()) {
            fields.pop();
        }
    }
    TableConfig { fields, unlisted }
}

fn transform(rule: &str) -> Option<Transform> {
    let replace = |rule, json: &str| Transform::Replace { rule, json: json.into() };
    Some(match rule {
        "passthrough" => Transform::Passthrough,
        "hash" => Transform::Hash,
        "hmac" => Transform::Hmac { previous: None },
        "rotated" => Transform::Hmac { previous: Some("b4".into()) },
        "truncate" => Transform::Truncate,
        "partial" => Transform::Partial(Partial { keep_first: 1, keep_last: 2, with: "*".into() }),
        "redact" => replace(Rule::Redact, "\"[redacted]\""),
        "constant" => replace(Rule::Constant, "0"),
        "set_null" => replace(Rule::SetNull, "null"),
        "email_domain" => Transform::EmailDomain,
        "drop" => Transform::Drop,
        _ => return None,
    })
}

const NEW: &str = "new secret";
const OLD: &str = "old secret";

fn mask(table: TableConfig) -> Mask {
    let key = |id: &str, secret: &str| Key { id: id.into(), secret: Secret::new(secret) };
    let keys = Keyring { current: key("n", NEW), previous: Some(key("o", OLD)) };
    let config = Config { rules: Rules::Fields(table), keys: Some(keys), unavailable_value: UNAVAILABLE_VALUE.into() };
    Mask::new(config).expect("rules that go together make a mask")
}

/// What leaves in a value's place.
#[derive(Debug)]
enum Out {
    /// Byte for byte.
    Raw(String),
    Text(String),
    Array(Vec<Out>),
    /// Names as they are spelled, in their quotes.
    Object(Vec<(String, Out)>),
    /// A text that holds JSON.
    Held(Box<Out>),
}

impl Out {
    fn is(&self, node: &Node<'_>) -> bool {
        match self {
            Out::Raw(raw) => node.raw == raw,
            Out::Text(text) => node.text() == Some(Some(text.clone())),
            Out::Array(items) => node.elements().is_some_and(|elements| {
                items.len() == elements.len() && items.iter().zip(elements).all(|(item, node)| item.is(node))
            }),
            Out::Object(items) => node.members().is_some_and(|members| {
                let same = |((name, item), (own, node)): (&(String, Out), &(Node<'_>, Node<'_>))| {
                    let named = own.raw == name || own.text() == json::parse(name).ok().and_then(|name| name.text());
                    named && item.is(node)
                };
                items.len() == members.len() && items.iter().zip(members).all(same)
            }),
            Out::Held(inner) => {
                node.text().flatten().is_some_and(|text| json::parse(&text).is_ok_and(|held| inner.is(&held)))
            }
        }
    }
}

enum No {
    Refused,
    /// Deeper than the naive reading goes.
    Deep,
}

use No::Refused;

/// A rule for what lies at the steps below.
#[derive(Clone)]
struct Below<'a> {
    name: Option<&'a str>,
    /// None: an element.
    steps: &'a [Step],
    transform: &'a Transform,
    optional: bool,
}

impl<'a> Below<'a> {
    fn of(field: &'a FieldRule) -> Self {
        let FieldRule { path, transform, optional } = field;
        Self { name: Some(&path.column), steps: &path.steps, transform, optional: *optional }
    }

    fn is_leaf(&self) -> bool {
        self.name.is_none() && self.steps.is_empty()
    }

    /// The rule as seen from a member of that name.
    fn at(&self, name: &str) -> Option<Self> {
        (self.name == Some(name)).then(|| Self { name: None, ..self.clone() }.next())
    }

    fn next(self) -> Self {
        match self.steps {
            [Step::Member(name), rest @ ..] => Self { name: Some(name), steps: rest, ..self },
            _ => self,
        }
    }

    fn each(&self) -> Option<Self> {
        match (self.name, self.steps) {
            (None, [Step::Each, rest @ ..]) => Some(Self { steps: rest, ..self.clone() }.next()),
            _ => None,
        }
    }

    fn previous(&self) -> Option<&'a str> {
        match self.transform {
            Transform::Hmac { previous: Some(previous) } => Some(previous),
            _ => None,
        }
    }
}

fn of_row(rules: &[Below<'_>], row: &Node<'_>, unlisted: Unlisted) -> Result<Vec<(String, Out)>, No> {
    let members = row.members().ok_or(Refused)?;
    let reserved = |name: &Node<'_>| matches!(name.text().flatten().as_deref(), Some("cdc_lsn" | "_deleted"));
    if members.iter().any(|(name, _)| reserved(name)) {
        return Err(Refused);
    }
    of_members(rules, members, unlisted)
}

/// No rule has to meet a column of a key, and only some may.
fn of_key(rules: &[Below<'_>], key: &Node<'_>, unlisted: Unlisted) -> Result<Vec<(String, Out)>, No> {
    let members = key.members().ok_or(Refused)?;
    let mut met = Vec::new();
    for (name, _) in members {
        let name = name.text().flatten().ok_or(Refused)?;
        let below: Vec<_> = rules.iter().filter_map(|rule| rule.at(&name)).collect();
        let allowed = |rule: &Below<'_>| {
            let transform = matches!(rule.transform, Transform::Passthrough | Transform::Hash | Transform::Hmac { .. });
            rule.is_leaf() && transform
        };
        // A column that goes would merge keys.
        if !below.iter().all(allowed) || (below.is_empty() && unlisted != Unlisted::Passthrough) {
            return Err(Refused);
        }
        met.extend(rules.iter().filter(|rule| rule.at(&name).is_some()).cloned());
    }
    // Where `previous` writes no column may stand, in a key as in a row; but a key has one form only.
    let writes = |name: &str| rules.iter().any(|rule| rule.steps.is_empty() && rule.previous() == Some(name));
    if members.iter().any(|(name, _)| name.text().flatten().is_some_and(|name| writes(&name))) {
        return Err(Refused);
    }
    static CURRENT_ONLY: Transform = Transform::Hmac { previous: None };
    for rule in &mut met {
        if rule.previous().is_some() {
            rule.transform = &CURRENT_ONLY;
        }
    }
    of_row(&met, key, unlisted)
}

fn of_members(
    rules: &[Below<'_>],
    members: &[(Node<'_>, Node<'_>)],
    unlisted: Unlisted,
) -> Result<Vec<(String, Out)>, No> {
    let names: Vec<String> =
        members.iter().map(|(name, _)| name.text().flatten()).collect::<Option<_>>().ok_or(Refused)?;
    let is_twice = |name| names.iter().filter(|own| *own == name).count() > 1;
    let is_written = |name: &str| rules.iter().any(|rule| rule.steps.is_empty() && rule.previous() == Some(name));
    if names.iter().any(|name| is_twice(name) || is_written(name)) {
        return Err(Refused);
    }
    // What passes as it is, is not demanded.
    let demanded =
        |rule: &&Below<'_>| !(rule.optional || rule.steps.is_empty() && *rule.transform == Transform::Passthrough);
    let lacks = |rule: &Below<'_>| rule.name.is_some_and(|name| !names.iter().any(|own| own == name));
    if rules.iter().filter(demanded).any(lacks) {
        return Err(Refused);
    }
    let mut left = Vec::new();
    for (name, (spelled, value)) in names.iter().zip(members) {
        let below: Vec<_> = rules.iter().filter_map(|rule| rule.at(name)).collect();
        let out = match (&below[..], unlisted) {
            ([], Unlisted::Passthrough) => Some(Out::Raw(value.raw.into())),
            ([], Unlisted::Drop) => None,
            ([], Unlisted::Reject) => return Err(Refused),
            (below, _) => of_value(below, value, unlisted)?,
        };
        left.extend(out.map(|out| (spelled.raw.to_owned(), out)));
        if let [rule] = &below[..]
            && rule.is_leaf()
            && let Some(previous) = rule.previous()
        {
            let out = match naive::says_nothing(value).ok_or(Refused)? {
                true => Out::Raw(value.raw.into()),
                false => Out::Text(naive::hmac("o", OLD, &naive::hashed(value).ok_or(Refused)?)),
            };
            left.push((format!("\"{previous}\""), out));
        }
    }
    Ok(left)
}

/// What leaves for a value; the inner None: it is gone.
fn of_value(rules: &[Below<'_>], value: &Node<'_>, unlisted: Unlisted) -> Result<Option<Out>, No> {
    if let [rule] = rules
        && rule.is_leaf()
    {
        return of_leaf(rule.transform, value);
    }
    if value.is_null() || (value.tree != Tree::Text && naive::is_placeholder(value)) {
        return Ok(Some(Out::Raw(value.raw.into())));
    }
    let each: Vec<_> = rules.iter().filter_map(Below::each).collect();
    match &value.tree {
        Tree::Text => {
            let text = value.text().flatten().ok_or(Refused)?;
            if naive::is_placeholder(value) {
                return Ok(Some(Out::Raw(value.raw.into())));
            }
            let held = json::parse(&text).map_err(|fault| if fault == Fault::Deep { No::Deep } else { Refused })?;
            Ok(of_value(rules, &held, unlisted)?.map(|out| Out::Held(Box::new(out))))
        }
        Tree::Array(elements) if !each.is_empty() => {
            let left = elements.iter().map(|element| of_value(&each, element, unlisted));
            Ok(Some(Out::Array(left.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())))
        }
        Tree::Object(members) if each.is_empty() => Ok(Some(Out::Object(of_members(rules, members, unlisted)?))),
        _ => Err(Refused),
    }
}

fn of_leaf(transform: &Transform, value: &Node<'_>) -> Result<Option<Out>, No> {
    match transform {
        Transform::Drop => return Ok(None),
        Transform::Passthrough => return Ok(Some(Out::Raw(value.raw.into()))),
        _ => {}
    }
    if naive::says_nothing(value).ok_or(Refused)? {
        return Ok(Some(Out::Raw(value.raw.into())));
    }
    let text = || value.text().flatten().ok_or(Refused);
    Ok(Some(match transform {
        Transform::Hash => Out::Text(naive::hash(NEW, &naive::hashed(value).ok_or(Refused)?)),
        Transform::Hmac { .. } => Out::Text(naive::hmac("n", NEW, &naive::hashed(value).ok_or(Refused)?)),
        Transform::Replace { json, .. } => Out::Raw(json.clone()),
        Transform::Truncate => Out::Text(naive::truncate(&text()?)),
        Transform::Partial(Partial { keep_first, keep_last, with }) => {
            Out::Text(naive::partial(&text()?, *keep_first, *keep_last, with))
        }
        Transform::EmailDomain => Out::Text(naive::email_domain(&text()?)),
        _ => unreachable!("no rule of this target"),
    }))
}
