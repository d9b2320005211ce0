//! What a record's value means, judged by a second reading of it.

use std::collections::HashSet;

use highwater::record::change::{Change, Decoded, Op, Skip, Snapshot, decode};

use super::json::{self, Fault, Node, Tree};

/// The value of a record. Whatever the bytes are, the decoder and the naive reading agree on what they are.
pub fn envelope(bytes: &[u8]) {
    let want = match std::str::from_utf8(bytes).map(json::parse) {
        Err(_) | Ok(Err(Fault::Syntax)) => None,
        Ok(Err(Fault::Deep)) => {
            let _ = decode(Some(bytes));
            return;
        }
        Ok(Ok(node)) => meaning(&node),
    };
    let got = match decode(Some(bytes)) {
        Err(_) => None,
        Ok(Decoded::Skip(skip)) => Some(Meaning::Skip(skip)),
        Ok(Decoded::Change(change)) => Some(Meaning::Change(told(&change))),
    };
    assert_eq!(got, want);
}

#[derive(Debug, PartialEq)]
enum Meaning {
    Skip(Skip),
    Change(Told),
}

#[derive(Debug, PartialEq)]
struct Told {
    op: Op,
    row: String,
    /// name, db, schema, table
    names: [String; 4],
    snapshot: Snapshot,
    lsn: Option<u64>,
    sequence: (Option<u64>, Option<u64>),
    ts_us: Option<i64>,
}

fn told(change: &Change<'_>) -> Told {
    let source = &change.source;
    Told {
        op: change.op,
        row: change.row.get().to_owned(),
        names: [&source.name, &source.db, &source.schema, &source.table].map(|name| name.to_string()),
        snapshot: source.snapshot,
        lsn: source.lsn,
        sequence: source.sequence,
        ts_us: source.ts_us,
    }
}

/// None: a bad record.
fn meaning(top: &Node<'_>) -> Option<Meaning> {
    let fields = fields(top)?;
    // Null counts here: what has the two members is a schema around an envelope, whatever they are.
    if let (None, Some(_), Some(payload)) = (fields.any("op"), fields.any("schema"), fields.any("payload")) {
        return if payload.is_null() { Some(Meaning::Skip(Skip::Tombstone)) } else { of_change(payload) };
    }
    of_change(top)
}

fn of_change(envelope: &Node<'_>) -> Option<Meaning> {
    let fields = fields(envelope)?;
    let (op, row) = match &*fields.get("op")?.text()?? {
        "c" => (Op::Create, "after"),
        "u" => (Op::Update, "after"),
        "r" => (Op::Read, "after"),
        "d" => (Op::Delete, "before"),
        "t" => return Some(Meaning::Skip(Skip::Truncate)),
        "m" => return Some(Meaning::Skip(Skip::Message)),
        _ => return None,
    };
    let source = Fields::of(fields.get("source")?)?;
    source.are_unique().then_some(())?;
    let row = fields.get(row)?;
    row.members()?;
    let name = |name| source.get(name).map_or(Some(String::new()), |name| name.text()?);
    let integer = |name| source.get(name).map(|node| node.raw.parse::<i64>());
    let ts_us = match (integer("ts_us"), integer("ts_ms")) {
        (Some(micros), _) => Some(micros.ok()?),
        (None, Some(millis)) => Some(millis.ok()?.checked_mul(1000)?),
        (None, None) => None,
    };
    Some(Meaning::Change(Told {
        op,
        row: row.raw.to_owned(),
        names: [name("name")?, name("db")?, name("schema")?, name("table")?],
        snapshot: match source.get("snapshot").map(|node| (node, &node.tree)) {
            None => Snapshot::No,
            Some((node, Tree::Bool)) if node.raw == "true" => Snapshot::Initial,
            Some((_, Tree::Bool)) => Snapshot::No,
            Some((node, _)) => match &*node.text()?? {
                "false" => Snapshot::No,
                "incremental" => Snapshot::Incremental,
                _ => Snapshot::Initial,
            },
        },
        lsn: match source.get("lsn") {
            None => None,
            Some(node) => Some(position(node.raw)?),
        },
        sequence: match source.get("sequence") {
            None => (None, None),
            Some(node) => sequence(&node.text()??)?,
        },
        ts_us,
    }))
}

fn position(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn sequence(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let list = json::parse(text).ok()?;
    let [commit, lsn] = list.elements()? else { return None };
    let element = |node: &Node<'_>| match node.is_null() {
        true => Some(None),
        false => position(&node.text()??).map(Some),
    };
    Some((element(commit)?, element(lsn)?))
}

/// The members of an object by their decoded names.
struct Fields<'a>(Vec<(String, &'a Node<'a>)>);

impl<'a> Fields<'a> {
    fn of(node: &'a Node<'a>) -> Option<Self> {
        let members = node.members()?.iter();
        members.map(|(name, value)| Some((name.text()??, value))).collect::<Option<_>>().map(Self)
    }

    fn any(&self, name: &str) -> Option<&'a Node<'a>> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }

    /// Null is as good as nothing.
    fn get(&self, name: &str) -> Option<&'a Node<'a>> {
        self.any(name).filter(|node| !node.is_null())
    }

    fn are_unique(&self) -> bool {
        let names: HashSet<_> = self.0.iter().map(|(name, _)| name).collect();
        names.len() == self.0.len()
    }
}

/// The fields of an envelope: none twice, and `source` readable even where it is not read.
fn fields<'a>(node: &'a Node<'a>) -> Option<Fields<'a>> {
    let fields = Fields::of(node)?;
    fields.are_unique().then_some(())?;
    match fields.get("source") {
        Some(source) if source.members().is_some() => drop(Fields::of(source)?),
        Some(source) if source.tree == Tree::Text => drop(source.text()??),
        Some(source) if source.tree == Tree::Number => drop(source.raw.parse::<f64>().ok().filter(|n| n.is_finite())?),
        _ => {}
    }
    Some(fields)
}
