//! Rows before and after, without a broker.

use std::fs;

use serde_json::Value;

use crate::said::{Said, highwater, run};
use crate::support::Dir;

const TOPOLOGY: &str = "application: app\nkafka: { bootstrap.servers: 'nowhere:1' }\nsecrets: { pii: '${SHOP}' }\n\
                        defaults: { on_error: { dead_letter: app.dead } }\nstreams:\n  customers:\n    from: in\n    steps:\n      \
                        - dedup\n      - mask:\n          unlisted: reject\n          fields:\n            \
                        id: passthrough\n            email: hash\n            name: truncate\n            born: drop\n    \
                        to: out\n  by-table:\n    from: { topics: [a, b] }\n    \
                        steps: [dedup, { mask: { rules: rules.yaml, unlisted: drop } }]\n    to: out.tables\n    \
                        on_error: skip\n";
const RULES: &str = "tables: { people: { fields: { name: truncate } }, places: { fields: { name: drop } } }";
const SALT: [(&str, &str); 1] = [("SHOP", "s3cr3t")];
const ROW: &str = r#"{"id":1,"email":"ivan@example.com","name":"Ivan Ivanov","born":-56270}"#;
// printf s3cr3tivan@example.com | sha256sum
const IVAN: &str = "9263772d8ba1ab327ea92e13ae02119357e266a54b3371489e6669e784b8a0a8";

fn mask(args: &[&str], input: &str) -> Said {
    let dir = Dir::new("mask");
    fs::write(dir.join("topology.yaml"), TOPOLOGY).expect("a file");
    fs::write(dir.join("rules.yaml"), RULES).expect("a file");
    fs::write(dir.join("rows.jsonl"), ROW).expect("a file");
    let args: Vec<&str> = ["mask"].iter().chain(args).copied().collect();
    let said = highwater(dir.path(), &args, &SALT, input);
    assert!(!dir.join("state").exists(), "a state was made");
    said
}

#[test]
fn rows_and_envelopes_leave_as_they_would() {
    let before = format!(r#"{{"op":"d","before":{ROW},"after":null,"source":{{"lsn":77,"table":"people"}}}}"#);
    let schema = format!(r#"{{"schema":{{}},"payload":{{"op":"u","after":{ROW},"source":{{"lsn":78}}}}}}"#);
    let input = format!("{ROW}\n\n  \n{before}\r\n{schema}\nnull\n{{\"op\":\"t\",\"source\":{{}}}}\n{ROW}");
    let said = mask(&["customers"], &input).ended(0);
    let row = |lsn: u64, deleted: u8| {
        format!(r#"{{"id":1,"email":"{IVAN}","name":"IvanI.","cdc_lsn":{lsn},"_deleted":{deleted}}}"#)
    };
    assert_eq!(said.stdout.lines().collect::<Vec<_>>(), [row(0, 0), row(77, 1), row(78, 0), row(0, 0)]);
    assert_eq!(said.stderr, "line 6: a tombstone: nothing leaves for it\nline 7: a truncate: nothing leaves for it\n");
    assert_eq!(mask(&["customers", "-i", "rows.jsonl"], "").ended(0).silent().stdout, format!("{}\n", row(0, 0)));
}

#[test]
fn people_see_both_and_a_pipe_gets_no_colours() {
    let said = mask(&["customers", "-o", "text", "--key", "id"], &format!("{ROW}\n")).ended(0).silent();
    let lines: Vec<&str> = said.stdout.lines().collect();
    let after = format!("+ id 1, email \"{}…\", name \"IvanI.\", cdc_lsn 0, _deleted 0", &IVAN[..31]);
    let before = "- id 1, email \"ivan@example.com\", name \"Ivan Ivanov\", born -56270";
    assert_eq!(lines, [before, &after, r#"  key {"id":1}"#]);
}

#[test]
fn the_key_goes_by_the_rules_of_its_columns() {
    let said = mask(&["customers", "--key", "id,email"], ROW).ended(0).silent();
    let line: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(line["key"], serde_json::json!({ "id": 1, "email": IVAN }));
    assert_eq!(line["value"]["name"], "IvanI.");
    mask(&["customers", "--key", "born"], ROW).ended(1).complains(&["line 1: rule_on_key: "]);
    mask(&["customers", "--key", "ident"], ROW).ended(1).complains(&["malformed_key", "no column `ident`"]);
}

#[test]
fn rows_that_cannot_be_processed_are_told_and_the_others_leave() {
    let input = format!(
        "{ROW}\n{}\n{}\n[\"CANARY\"]\n{{\"CANARY\n{ROW}\n",
        ROW.replace("born", "iban").replace("-56270", "\"CANARY\""),
        ROW.replace("\"Ivan Ivanov\"", "[\"CANARY\"]"),
    );
    let said = mask(&["customers"], &input).ended(1);
    assert_eq!(said.stdout.lines().count(), 2);
    let said = said.complains(&[
        "line 2: unlisted_column: no rule for `iban`: `run` would send a dead letter to app.dead",
        "line 3: wrong_type: ",
        "line 4: wrong_type: the line is an array, not a row",
        "line 5: not_json: ",
    ]);
    assert!(!said.stderr.contains("CANARY"), "{}", said.stderr);
    mask(&["by-table", "--table", "people"], "{\"name\":1}").ended(1).complains(&["`run` would skip it"]);
}

#[test]
fn rules_by_table_need_a_table() {
    let row = r#"{"id":1,"name":"Ivan Ivanov"}"#;
    let leaves = |table: &str| mask(&["by-table", "--table", table], row).ended(0).silent().stdout;
    assert_eq!(leaves("people"), "{\"name\":\"IvanI.\",\"cdc_lsn\":0,\"_deleted\":0}\n");
    assert_eq!(leaves("places"), "{\"cdc_lsn\":0,\"_deleted\":0}\n");
    mask(&["by-table"], row).ended(1).complains(&["line 1 has no table", "--table NAME, one of people, places"]);
    mask(&["by-table", "--table", "peple"], row).ended(1).complains(&["did you mean `people`?"]);
    // An envelope has one.
    let envelope = format!(r#"{{"op":"c","after":{row},"source":{{"table":"people"}}}}"#);
    assert_eq!(mask(&["by-table"], &envelope).ended(0).silent().stdout, leaves("people"));
    let other = envelope.replace("people", "orders");
    mask(&["by-table"], &other).ended(1).complains(&["table_without_rules"]);
}

#[test]
fn a_secret_that_is_not_set_has_a_stand_in() {
    let dir = Dir::new("mask");
    fs::write(dir.join("t.yaml"), TOPOLOGY).expect("a file");
    fs::write(dir.join("rules.yaml"), RULES).expect("a file");
    let said = highwater(dir.path(), &["mask", "customers", "-f", "t.yaml"], &[], ROW).ended(0);
    let said = said.complains(&["note: secret `pii` is not set", "digests differ"]);
    assert!(!said.stdout.contains(IVAN) && !said.stdout.contains("ivan@"), "{}", said.stdout);
    // Whose stream needs none is not told of it.
    highwater(dir.path(), &["mask", "by-table", "--table", "people", "-f", "t.yaml"], &[], "{\"name\":\"a\"}")
        .ended(0)
        .silent();
}

#[test]
fn names_that_are_not_there() {
    mask(&["custmers"], "").ended(1).complains(&["no stream `custmers`", "did you mean `customers`?"]);
    mask(&["xyz"], "").ended(1).complains(&["there are customers, by-table"]);
    mask(&["customers", "-i", "no.jsonl"], "").ended(1).complains(&["cannot read no.jsonl"]);
    mask(&[], "").ended(2);
    let dir = Dir::new("mask");
    run(dir.path(), &["mask", "customers"]).ended(78).complains(&["unreadable"]);
}

/// What `mask` shows is what the engine writes: its answer is the expectation of a scenario.
#[test]
fn the_engine_writes_what_is_shown() {
    let rows = [
        ROW.to_owned(),
        ROW.replace("\"Ivan Ivanov\"", "\"李小龍\"").replace("\"id\":1", "\"id\":2"),
        r#"{"name":null,"id":3,"born":null,"email":42}"#.to_owned(),
        r#"{ "id" : 4, "email":"a\u0040b", "name":"  ", "born":{"y":[1]} }"#.to_owned(),
        r#"{"id":5,"email":["x",{"y":1}],"name":"A B C","born":1}"#.to_owned(),
    ];
    let envelopes: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(n, row)| match n % 2 {
            0 => format!(r#"{{"op":"c","before":null,"after":{row},"source":{{"lsn":{},"table":"t"}}}}"#, 100 + n),
            _ => format!(r#"{{"op":"d","before":{row},"after":null,"source":{{"lsn":{},"table":"t"}}}}"#, 100 + n),
        })
        .collect();
    let shown = mask(&["customers", "--key", "id"], &envelopes.join("\n")).ended(0).silent().stdout;
    assert_eq!(shown.lines().count(), rows.len());
    let input = envelopes.iter().enumerate().map(|(n, value)| {
        let value: Value = serde_json::from_str(value).expect("JSON");
        serde_json::json!({ "topic": "in", "key": { "id": n + 1 }, "value": value })
    });
    let scenario = |output: Vec<Value>| {
        serde_json::json!({
            "topology": "topology.yaml",
            "secrets": { "pii": "s3cr3t" },
            "input": input.clone().collect::<Vec<_>>(),
            "expect": { "output": { "out": output } },
        })
    };
    let expected: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut wrong = expected.clone();
    wrong[0]["value"]["email"] = "other".into();
    let dir = Dir::new("mask");
    for (name, text) in [
        ("topology.yaml", TOPOLOGY.to_owned()),
        ("rules.yaml", RULES.to_owned()),
        // JSON is YAML.
        ("same.yaml", scenario(expected).to_string()),
        ("other.yaml", scenario(wrong).to_string()),
    ] {
        fs::write(dir.join(name), text).expect("a file");
    }
    run(dir.path(), &["topology", "test", "same.yaml"]).ended(0);
    run(dir.path(), &["topology", "test", "other.yaml"]).ended(1);
}
