use std::collections::BTreeMap;

use super::*;
use crate::record::{Headers, NoHeaders};
use crate::topology::{Mode, Topology};

fn topology(rules: &str) -> Topology {
    let text = format!(
        "application: app\nembedded: log\nsecrets: {{ pii: 'sixteen bytes or more' }}\nstreams:\n  s:\n    from: in\n    to: {{ topic: out, \
         headers: [tenant] }}\n    steps: [dedup, {{ mask: {rules} }}]\n"
    );
    Topology::parse(&text, "t", std::path::Path::new(""), Mode::Run, &|_| None)
        .unwrap_or_else(|e| panic!("{e}"))
        .topology
}

const RULES: &str = "{ fields: { id: passthrough, email: hash, born: drop, age: { rule: generalize, step: 10 }, \
                     address.street: redact, 'contacts[].phone': hmac, nothing: set_null } }";

struct Named(&'static [(&'static str, &'static str)]);

impl Headers for Named {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.iter().for_each(|(name, value)| visit(name, Some(value.as_bytes())));
    }
}

/// By text: what becomes of it, and where it stands.
fn fates(rules: &str, key: Option<&str>, value: &str, headers: &dyn Headers) -> BTreeMap<String, (Fate, String)> {
    let topology = topology(rules);
    let (key, value) = (key.map(str::as_bytes), Some(value.as_bytes()));
    let record = Record { topic: "in", partition: 0, offset: 0, timestamp: None, key, value, headers };
    let mut all = BTreeMap::new();
    Personal::of(&topology.streams[0]).each(&record, &mut |leaf| {
        let told = (leaf.fate, leaf.place.part().to_string());
        let before = all.insert(leaf.text.to_owned(), told.clone());
        assert!(before.is_none_or(|before| before == told), "two fates of {}", leaf.text);
    });
    all
}

fn of_row(rules: &str, row: &str) -> BTreeMap<String, (Fate, String)> {
    fates(
        rules,
        None,
        &format!(r#"{{"op":"u","before":null,"after":{row},"source":{{"table":"t","db":"shop"}}}}"#),
        &NoHeaders,
    )
}

#[track_caller]
fn assert_fates(all: &BTreeMap<String, (Fate, String)>, want: &[(&str, Fate)]) {
    let all: Vec<_> = all.iter().map(|(text, (fate, _))| (text.as_str(), *fate)).collect();
    let mut want = want.to_vec();
    want.sort_by_key(|(text, _)| *text);
    assert_eq!(all, want);
}

use Fate::{Kept as Whole, Passes, Personal as Stays};

#[test]
fn columns_go_by_their_rules() {
    let row = r#"{"id":17,"email":"a\"\u0040b","born":-56270,"age":40,"city":"Riga","nothing":true}"#;
    let all = of_row(RULES, row);
    assert_fates(&all, &[("17", Passes), ("a\"@b", Stays), ("-56270", Stays), ("40", Whole), ("Riga", Passes)]);
    assert_eq!(all["a\"@b"].1, "column email");
    assert_eq!(of_row(RULES, &row.replace("40", "41"))["41"].0, Stays);
    // What is unlisted, by `unlisted`.
    for (unlisted, fate) in [("passthrough", Passes), ("drop", Stays), ("reject", Stays)] {
        let rules = format!("{{ unlisted: {unlisted}, fields: {{ id: passthrough }} }}");
        assert_eq!(of_row(&rules, row)["Riga"].0, fate, "{unlisted}");
    }
    assert!(of_row("none", row).values().all(|(fate, _)| *fate == Passes));
}

#[test]
fn the_row_before_is_personal_as_well() {
    let value = r#"{"op":"d","before":{"id":1,"email":"before@b.c"},"after":{"email":"after@b.c"},"source":{}}"#;
    let wrapped = format!(r#"{{"schema":{{"type":"struct"}},"payload":{value}}}"#);
    for value in [value, &wrapped] {
        assert_fates(
            &fates(RULES, None, value, &NoHeaders),
            &[("1", Passes), ("before@b.c", Stays), ("after@b.c", Stays)],
        );
    }
}

#[test]
fn places_within_columns_go_by_theirs() {
    let row =
        r#"{"address":{"street":"Elm 5","city":"Riga"},"contacts":[{"phone":"+371","kind":"work"},{"phone":"+372"}]}"#;
    let want = [("Elm 5", Stays), ("Riga", Passes), ("+371", Stays), ("+372", Stays), ("work", Passes)];
    assert_fates(&of_row(RULES, row), &want);
    // JSON in text, as Debezium sends json and jsonb.
    let row = r#"{"address":"{\"street\":\"Elm 5\",\"city\":\"Riga\"}","contacts":null}"#;
    assert_fates(&of_row(RULES, row), &want[..2]);
    // Reached into in vain: the row is refused.
    for held in [r#""Elm 5""#, r#"["Elm 5"]"#, "5"] {
        assert!(of_row(RULES, &format!("{{\"address\":{held}}}")).values().all(|(fate, _)| *fate == Stays), "{held}");
    }
    // A rule for a whole object is for all within it, and the object is a value itself.
    let all = of_row("{ fields: { email: drop } }", r#"{"email":{"a":["x",1.5],"b":"{\"c\":\"y\"}"}}"#);
    assert!(["x", "1.5", "y"].iter().all(|text| all[*text].0 == Stays) && all.len() == 6, "{all:?}");
}

#[test]
fn placeholders_are_no_values() {
    let unavailable = r#"{"email":"__debezium_unavailable_value","born":["__debezium_unavailable_value"]}"#;
    assert!(of_row(RULES, unavailable).is_empty());
}

#[test]
fn keys_go_by_the_rules_of_their_columns() {
    let value = r#"{"op":"u","after":{},"source":{}}"#;
    let key = r#"{"schema":{"name":"x"},"payload":{"id":17,"email":"a@b.c"}}"#;
    let all = fates(RULES, Some(key), value, &NoHeaders);
    assert_fates(&all, &[("17", Passes), ("a@b.c", Stays)]);
    assert_eq!(all["a@b.c"].1, "column email of the key");
    assert_fates(&fates(RULES, Some("a@b.c"), value, &NoHeaders), &[("a@b.c", Stays)]);
}

#[test]
fn headers_stay_unless_they_are_listed() {
    let headers = Named(&[("tenant", "acme"), ("user", "ann"), ("__debezium.newkey", r#"{"id":17,"email":"a@b.c"}"#)]);
    let all = fates(RULES, None, r#"{"op":"u","after":{},"source":{}}"#, &headers);
    assert_fates(&all, &[("acme", Passes), ("ann", Stays), ("17", Passes), ("a@b.c", Stays)]);
    assert_eq!(all["ann"].1, "header 2", "its name may be data");
}

#[test]
fn of_what_is_no_change_everything_stays() {
    for value in [r#""ann""#, r#"["ann"]"#, r#"{"op":"u","after":"ann","source":{}}"#, r#"{"op":"u","before":["ann"]}"#]
    {
        assert_eq!(fates(RULES, None, value, &NoHeaders)["ann"].0, Stays, "{value}");
    }
    let bare = r#"{"email":"a@b.c","city":"Riga"}"#;
    assert_fates(&fates(RULES, None, bare, &NoHeaders), &[("a@b.c", Stays), ("Riga", Passes)]);
    // Not JSON: the columns that can be seen, and all of it.
    let cut = r#"{"op":"u","after":{"id":4711,"email":"a@b.c","born" : -5,"city":"Ber"#;
    let all = fates(RULES, None, cut, &NoHeaders);
    assert_fates(&all, &[("a@b.c", Stays), ("-5", Stays), (cut, Stays)]);
    assert_eq!((all["a@b.c"].1.as_str(), all[cut].1.as_str()), ("column email", "the value, which is no change"));
    // What Debezium writes is nobody's.
    let cut = r#"{"op":"u","source":{"table":"people","db":"shop"},"after":{"name":"ann"#;
    assert_fates(
        &fates("{ unlisted: drop, fields: { id: passthrough } }", None, cut, &NoHeaders),
        &[(cut, Stays), ("ann", Stays)],
    );
    // Names in it may be anybody's.
    let all = fates("{ unlisted: drop, fields: { id: passthrough } }", None, r#"x "ann@b.c":"Riga""#, &NoHeaders);
    assert!(all.values().all(|(_, place)| !place.contains("ann")), "{all:?}");
}

#[test]
fn of_a_table_without_rules_nothing_leaves() {
    let dir = std::env::temp_dir().join(format!("highwater-personal-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("rules.yaml"), "tables: { people: { fields: { name: hash } } }").unwrap();
    let text = "application: a\nembedded: log\nsecrets: { pii: 'sixteen bytes or more' }\nstreams:\n  s:\n    from: in\n    to: out\n    \
                steps: [dedup, { mask: { rules: rules.yaml } }]\n";
    let loaded = Topology::parse(text, "t", &dir, Mode::Run, &|_| None).unwrap_or_else(|e| panic!("{e}"));
    std::fs::remove_dir_all(&dir).unwrap();
    for (table, city) in [("people", Passes), ("strangers", Stays)] {
        let value = format!(r#"{{"op":"c","after":{{"name":"ann","city":"Riga"}},"source":{{"table":"{table}"}}}}"#);
        let record = Record {
            topic: "in",
            partition: 0,
            offset: 0,
            timestamp: None,
            key: Some(br#"{"city":"Riga"}"#),
            value: Some(value.as_bytes()),
            headers: &NoHeaders,
        };
        let mut all = BTreeMap::new();
        Personal::of(&loaded.topology.streams[0]).each(&record, &mut |leaf| {
            all.insert(leaf.text.to_owned(), leaf.fate);
        });
        assert_eq!(all, BTreeMap::from([("ann".into(), Stays), ("Riga".into(), city)]), "{table}");
    }
}

/// What nobody would send: an answer, never a panic or an exhausted stack.
#[test]
fn depth_and_damage_never_panic() {
    let topology = topology(RULES);
    let personal = Personal::of(&topology.streams[0]);
    let count = |key: &str, value: &str| {
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        let record = Record { topic: "in", partition: 0, offset: 0, timestamp: None, key, value, headers: &NoHeaders };
        let mut count = 0;
        personal.each(&record, &mut |_| count += 1);
        count
    };
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let objects = "{\"street\":".repeat(5_000) + "1" + &"}".repeat(5_000);
    for value in [&deep, &objects, &format!(r#"{{"op":"u","after":{{"address":{objects},"email":{deep}}}}}"#)] {
        assert!((1..1000).contains(&count(&deep, value)));
    }
    let text = r#"{"op":"u","after":{"email":"x\u00e9","born":[1,{}]},"source":{"table":"t"}}"#;
    for cut in 0..text.len() {
        count("{}", &text[..cut]);
    }
}
