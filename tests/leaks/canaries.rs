//! Where canaries sit: in every column that has a rule, in places within columns, in rows before the change, in keys and
//! headers, in records that cannot be processed.

use serde_json::{Value, json};

use crate::support::Line;
use crate::support::bad::{CANARY, bad_others, bad_people};
use crate::support::changes::SECRET;

/// Of what is no text: a number that is cut down to thousands of millions, one that is gone, addresses.
pub const OTHERS: [&str; 4] = ["98765432198", "987654321987", "203.0.113.77", "2001:db8:77:aaaa::7"];

/// Everything that may be found nowhere. One word stands in all texts, so that a part of one is found as well.
pub fn all() -> Vec<&'static str> {
    [&[CANARY][..], &OTHERS].concat()
}

/// The secret, too: it is in no topic, so that every byte is searched for it.
pub fn with_secret() -> Vec<&'static str> {
    [all(), vec![SECRET]].concat()
}

/// What stands around a canary decides how text is encoded: all alignments, and what must be escaped.
fn text(what: &str, id: u64) -> String {
    let before = ["", "x", "yz"][(id % 3) as usize];
    format!("{before}{CANARY}-{what}-{id} \"q\" ä/\u{1f37a}")
}

/// A row with every rule there is, and members, elements and JSON in text.
pub fn row(id: u64) -> Value {
    let document = json!({ "name": text("document", id), "kind": "passport" }).to_string();
    json!({
        "id": id,
        "hashed": text("hashed", id),
        "keyed": text("keyed", id),
        "name": format!("Ivan {CANARY}ov"),
        "one_word": format!("{CANARY}ov"),
        "card": format!("{CANARY}{CANARY}1234"),
        "redacted": { "deep": [text("redacted", id)], CANARY: 1 },
        "constant": text("constant", id),
        "nulled": text("nulled", id),
        "email": format!("{CANARY}.{id}@domain.example"),
        "salary": 98_765_432_198_u64,
        "ip": OTHERS[2],
        "ip6": OTHERS[3],
        "dropped": 987_654_321_987_u64,
        "address": { "street": text("street", id), "city": "Riga" },
        "contacts": [{ "phone": text("phone", id), "kind": "work" }, { "phone": text("second", id), "kind": "home" }],
        "tags": [text("tag", id), null],
        "document": document,
        "country": "LV",
    })
}

/// The stream of that row; rules of every kind.
pub const EVERYTHING: &str = "
  everything:
    from: leaks.everything
    steps:
      - dedup
      - filter: { field: country, is_null: false }
      - mask:
          unlisted: drop
          fields:
            id: passthrough
            country: passthrough
            hashed: hash
            keyed: hmac
            name: truncate
            one_word: truncate
            card: partial
            redacted: redact
            constant: { rule: constant, value: 7 }
            nulled: set_null
            email: email_domain
            salary: { rule: generalize, step: 1000000000 }
            ip: ip_prefix
            ip6: ip_prefix
            dropped: drop
            address.street: hash
            'contacts[].phone': hmac
            'tags[]': redact
            document.name: redact
    to: { topic: NAME.everything, headers: [tenant] }
";

/// A change of it with rows before and after, of any kind of operation.
pub fn change(id: u64, lsn: u64) -> Line {
    let (before, after, op) = match lsn % 4 {
        0 => (row(id), Value::Null, "d"),
        1 => (Value::Null, row(id), "c"),
        2 => (row(id), row(id), "u"),
        _ => (Value::Null, row(id), "r"),
    };
    let mut unlisted = after.clone();
    if let Some(row) = unlisted.as_object_mut().filter(|_| lsn.is_multiple_of(7)) {
        row.insert("new_column".into(), json!(CANARY));
    }
    let value = json!({
        "before": before, "after": unlisted, "op": op,
        "source": { "name": "leaks", "db": "shop", "schema": "public", "table": "people", "snapshot": "false", "lsn": lsn,
            "sequence": format!("[\"1\",\"{lsn}\"]"), "ts_us": 1_700_000_000_000_000_u64 + lsn },
    });
    let key = json!({ "id": id, "keyed": text("keyed", id), "hashed": text("hashed", id) });
    let mut line = Line::new("leaks.everything", &key.to_string(), &value.to_string());
    line.headers =
        [("tenant", "acme".to_owned()), ("__debezium.oldkey", key.to_string()), (CANARY, text("header", id))]
            .map(|(name, value)| (name.to_owned(), Some(value.into_bytes())))
            .into();
    line
}

/// Good records, and among them bad ones of every reason, to every stream.
pub fn lines(partitions: i32) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut bad = bad_people().into_iter().chain(bad_others());
    for lsn in 1..=1500_u64 {
        lines.push(change(lsn % 400, lsn).at((lsn % partitions as u64) as i32));
        if lsn.is_multiple_of(10) {
            lines.extend(bad.next().map(|bad| Line { partition: Some(0), ..bad.line }));
        }
        if lsn.is_multiple_of(20) {
            // The same of this stream's: no envelope at all, and none of UTF-8.
            let value =
                if lsn.is_multiple_of(40) { format!("{CANARY} {{") } else { format!("{{\"email\":\"{CANARY}\"}}") };
            lines.push(Line::new("leaks.everything", CANARY, &value).at(0));
        }
    }
    assert!(bad.next().is_none(), "all bad records are among them");
    lines
}
