//! The canonical form of record keys, by a second implementation.

use std::collections::BTreeMap;

use highwater::record::key::canonical;

use super::json::{self, Fault, Node, Tree};

/// A record key: its form is the naive one, and is refused where that is.
pub fn key(bytes: &[u8]) {
    let mut got = b"left over".to_vec();
    let is_key = canonical(bytes, &mut got).is_ok();
    let want = match std::str::from_utf8(bytes).map(json::parse) {
        Err(_) | Ok(Err(Fault::Syntax)) => None,
        Ok(Err(Fault::Deep)) => return,
        Ok(Ok(node)) => form(payload(&node)),
    };
    assert_eq!(is_key.then_some(got), want);
}

/// The object of columns: the key, or what lies in its schema envelope.
pub fn payload<'a>(key: &'a Node<'a>) -> &'a Node<'a> {
    let members = key.members().unwrap_or_default();
    let [one, other] = members else { return key };
    let is = |(name, _): &(Node<'_>, _), wanted: &str| name.text().flatten().as_deref() == Some(wanted);
    let (schema, payload) = match () {
        () if is(one, "schema") && is(other, "payload") => (&one.1, &other.1),
        () if is(one, "payload") && is(other, "schema") => (&other.1, &one.1),
        () => return key,
    };
    let is_envelope = (schema.is_null() || schema.members().is_some()) && payload.members().is_some();
    if is_envelope { payload } else { key }
}

fn form(object: &Node<'_>) -> Option<Vec<u8>> {
    let mut columns = BTreeMap::new();
    for (name, value) in object.members()? {
        let (kind, bytes) = match &value.tree {
            Tree::Text => (b's', value.text()??),
            _ => (b'j', value.compact()),
        };
        if columns.insert(name.text()??.into_bytes(), (kind, bytes.into_bytes())).is_some() {
            return None;
        }
    }
    let mut out = Vec::new();
    for (name, (kind, value)) in &columns {
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(name);
        out.push(*kind);
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend_from_slice(value);
    }
    (!columns.is_empty()).then_some(out)
}
