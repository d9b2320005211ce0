//! Records that cannot be processed, of every reason there is, and a topology that meets them.

use highwater::record::Reason;
use serde_json::{Value, json};

use super::Line;
use super::changes::{SECRET, envelope};
use super::oracle::{hashed, truncated};

/// Stands in every personal value, and may stand nowhere but in the sources.
pub const CANARY: &str = "CANARY";

/// Streams: `people` with a rule of each kind; `small`, whose output takes little; `large`, which takes 8 MB; `tables`,
/// with rules for one table; `keys`, with a rule on a column of the key, and one header that passes.
pub fn topology(name: &str, on_error: &str) -> String {
    format!(
        r"
application: {name}
kafka: {{ bootstrap.servers: '${{BROKERS}}' }}
http: 127.0.0.1:0
secrets: {{ pii: '${{SALT}}' }}
defaults: {{ on_error: {on_error} }}
streams:
  people:
    from: bad.people
    steps:
      - dedup
      - filter: {{ field: note, is_null: false }}
      - mask:
          unlisted: reject
          fields:
            {{ id: passthrough, email: hash, full_name: truncate, born: drop, note: passthrough, profile.city: truncate }}
    to: {name}.people
  small:
    from: bad.small
    steps: [dedup, {{ mask: none }}]
    to: {name}.small
  large:
    from: bad.large
    steps: [dedup, {{ mask: {{ unlisted: drop, fields: {{ id: passthrough, body: passthrough }} }} }}]
    to: {name}.large
  tables:
    from: bad.tables
    steps: [dedup, {{ mask: {{ rules: rules.yaml }} }}]
    to: {name}.tables
  keys:
    from: bad.keys
    steps: [dedup, {{ mask: {{ unlisted: drop, fields: {{ email: hash, full_name: truncate }} }} }}]
    to: {{ topic: {name}.keys, headers: [tenant] }}
"
    )
}

pub const RULES: &str = "tables: { people: { fields: { id: passthrough, email: hash } } }\n";
pub const OUTPUTS: [&str; 5] = ["people", "small", "large", "tables", "keys"];
pub fn person(id: u64) -> Value {
    json!({ "id": id, "email": format!("{CANARY}-{id}@example.com"), "full_name": format!("Ivan {CANARY}ov"),
        "born": format!("{CANARY}-born"), "note": "ä\u{1f37a} \"quoted\"",
        "profile": { "city": "Riga" } })
}

/// What must leave for a person.
pub fn masked(row: &Value, lsn: u64) -> Value {
    let text = |name: &str| row[name].as_str().expect("a text");
    json!({ "id": row["id"], "email": hashed(SECRET, text("email")), "full_name": truncated(text("full_name")),
        "note": row["note"], "profile": { "city": "R." }, "cdc_lsn": lsn, "_deleted": 0 })
}

/// A record that cannot be processed, with the reason.
pub struct Bad {
    pub line: Line,
    pub reason: Reason,
}

pub fn bad(reason: Reason, topic: &str, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Bad {
    let headers = vec![
        ("__debezium.newkey".to_string(), Some(format!("{{\"email\":\"{CANARY}-header\"}}").into_bytes())),
        ("tenant".to_string(), Some(format!("{CANARY}-tenant").into_bytes())),
    ];
    let (key, value) = (Some(key.into()), Some(value.into()));
    Bad { line: Line { topic: topic.into(), key, value, headers, ..Line::default() }, reason }
}

/// Every way in which a record of the stream `people` can be bad.
pub fn bad_people() -> Vec<Bad> {
    let row = person(500);
    let text = envelope("u", &row, 500_000).to_string();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value = envelope("u", &row, 500_000);
        change(&mut value);
        value.to_string()
    };
    let with_column = |name: &str| with(&|v| v["after"][name] = json!(CANARY));
    let mut not_utf8 = text.clone().into_bytes();
    let at = text.find(CANARY).expect("a canary");
    not_utf8[at + CANARY.len()] = 0xff;
    let deep = "[".repeat(100_000);
    let deep_closed = format!("{deep}{}", "]".repeat(100_000));
    let value =
        |reason: Reason, value: Vec<u8>| bad(reason, "bad.people", format!("{{\"id\":\"{CANARY}-key\"}}"), value);
    let texts = [
        (Reason::NotJson, format!("{CANARY} is no JSON")),
        (Reason::NotJson, format!("{{\"op\":\"c\",\"after\":{{\"email\":\"{CANARY}")),
        (Reason::NotJson, format!("{text}{{\"{CANARY}\":1}}")),
        (Reason::NotJson, String::new()),
        (Reason::NotJson, format!("{{\"{CANARY}\":{deep}")),
        (Reason::NotEnvelope, deep_closed.clone()),
        (Reason::NotEnvelope, format!("{{\"before\":{deep_closed},\"email\":\"{CANARY}\"}}")),
        (Reason::NotEnvelope, format!("\"{CANARY}\"")),
        (Reason::NotEnvelope, json!({ "id": 1, "email": CANARY }).to_string()),
        (Reason::NotEnvelope, with(&|v| v["source"] = json!([CANARY]))),
        (Reason::NotEnvelope, with(&|v| v["source"] = json!(CANARY))),
        (Reason::NotEnvelope, json!({ "schema": {}, "payload": { "email": CANARY } }).to_string()),
        (Reason::WrongType, with(&|v| v["source"]["lsn"] = json!(format!("{CANARY}-lsn")))),
        (Reason::WrongType, with(&|v| v["source"]["lsn"] = json!(-1))),
        (Reason::WrongType, with(&|v| v["source"]["sequence"] = json!(CANARY))),
        (Reason::WrongType, with(&|v| v["source"]["ts_us"] = json!(CANARY))),
        (Reason::WrongType, with(&|v| v["source"]["table"] = json!({ "name": CANARY }))),
        (Reason::WrongType, with(&|v| v["op"] = json!([CANARY]))),
        (Reason::WrongType, with(&|v| v["after"]["full_name"] = json!(123_456_789))),
        (Reason::WrongType, with(&|v| v["after"]["full_name"] = json!([CANARY]))),
        (Reason::WrongType, text.replace(&format!("\"Ivan {CANARY}ov\""), &deep_closed)),
        (Reason::UnknownOp, with(&|v| v["op"] = json!(CANARY))),
        (Reason::MissingRow, with(&|v| v["after"] = Value::Null)),
        (Reason::MissingRow, with(&|v| v["after"] = json!(CANARY))),
        (Reason::MissingRow, with(&|v| v["op"] = json!("d"))),
        (Reason::DuplicateField, text.replacen("\"op\":", "\"op\":\"c\",\"op\":", 1)),
        (Reason::DuplicateField, text.replacen("\"after\":{", "\"after\":{},\"after\":{", 1)),
        (Reason::DuplicateField, text.replacen("\"lsn\":", "\"lsn\":1,\"lsn\":", 1)),
        (Reason::DuplicateField, text.replacen("\"email\":", &format!("\"email\":\"{CANARY}-twice\",\"email\":"), 1)),
        (Reason::DuplicateField, text.replacen("\"email\":", "\"\\u0065mail\":\"x\",\"email\":", 1)),
        (Reason::UnlistedColumn, with_column("new_column")),
        // Names of members are data.
        (Reason::UnlistedColumn, with(&|v| v["after"]["profile"][CANARY] = json!(CANARY))),
        (Reason::RuleWithoutColumn, with(&|v| v["after"]["profile"] = json!({}))),
        (Reason::DuplicateField, text.replacen("\"city\":", &format!("\"{CANARY}\":1,\"{CANARY}\":2,\"city\":"), 1)),
        (Reason::WrongType, with(&|v| v["after"]["profile"] = json!(format!("{{{CANARY}")))),
        (Reason::UnavailableColumn, with(&|v| v["after"]["note"] = json!("__debezium_unavailable_value"))),
        (Reason::RuleWithoutColumn, with(&|v| drop(v["after"].as_object_mut().expect("a row").remove("email")))),
        (Reason::ReservedColumn, with_column("cdc_lsn")),
        (Reason::ReservedColumn, with_column("_deleted")),
    ];
    let mut all = vec![value(Reason::NotJson, not_utf8), value(Reason::NotJson, vec![0, 1, 2, 3])];
    all.extend(texts.map(|(reason, text)| value(reason, text.into_bytes())));
    let keys = [
        (Reason::MalformedKey, String::new()),
        (Reason::MalformedKey, format!("{CANARY}-key")),
        (Reason::MalformedKey, format!("\"{CANARY}-key\"")),
        (Reason::MalformedKey, format!("{{\"id\":\"{CANARY}\",\"id\":1}}")),
        (Reason::MalformedKey, "{}".to_string()),
        (Reason::MalformedKey, format!("{{\"id\":{deep}")),
        (Reason::RuleOnKey, format!("{{\"id\":1,\"born\":\"{CANARY}\"}}")),
        (Reason::RuleOnKey, format!("{{\"id\":1,\"full_name\":\"{CANARY} {CANARY}\"}}")),
        (Reason::UnlistedColumn, format!("{{\"id\":1,\"ssn\":\"{CANARY}\"}}")),
    ];
    all.extend(keys.map(|(reason, key)| bad(reason, "bad.people", key, text.clone())));
    all
}

pub fn bad_others() -> Vec<Bad> {
    let mut stranger = envelope("c", &json!({ "id": 1, "email": CANARY }), 10);
    stranger["source"]["table"] = json!("strangers");
    let wide = json!({ "id": 7, "body": CANARY.repeat(50_000) });
    vec![
        bad(Reason::TableWithoutRules, "bad.tables", "{\"id\":1}", stranger.to_string()),
        bad(Reason::TooLarge, "bad.small", "{\"id\":7}", envelope("c", &wide, 10).to_string()),
    ]
}
