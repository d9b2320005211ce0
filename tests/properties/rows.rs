//! Rows and rules at random, spelled in every way that JSON allows: what leaves is what a value tree rebuilt by the book says.

use proptest::prelude::*;

/// Columns, members and what rules name.
const NAMES: [&str; 5] = ["a", "b", "c", "b4", "é\""];

/// JSON, as text.
fn json() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?";
    let leaf = prop_oneof![
        2 => Just("null".to_owned()),
        1 => Just("true".to_owned()),
        3 => number,
        4 => text(".{0,12}"),
        1 => text("[A-Z][a-z]{0,6} [A-Z][a-z]{0,6}"),
        1 => text("[a-z]{1,5}@[a-z]{1,5}\\.[a-z]{2}"),
        1 => Just("\"__debezium_unavailable_value\"".to_owned()),
        1 => Just("[\"\\u005f_debezium_unavailable_value\"]".to_owned()),
        1 => Just("\"half \\ud83d\"".to_owned()),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            3 => object(inner.clone()),
            2 => (proptest::collection::vec(inner.clone(), 0..4), blank())
                .prop_map(|(elements, blank)| format!("[{blank}{}]", elements.join(&format!("{blank},")))),
            // json and jsonb
            2 => inner.prop_map(|value| serde_json::to_string(&value).expect("text")),
        ]
    })
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just(""), 1 => Just(" "), 1 => Just("\t\r")]
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let member = (proptest::sample::select(&NAMES[..]), any::<bool>(), value, blank()).prop_map(
        |(name, is_escaped, value, blank)| {
            let name = if is_escaped { escaped(name) } else { serde_json::to_string(name).expect("text") };
            (name.clone(), format!("{blank}{name}{blank}:{value}{blank}"))
        },
    );
    // A name twice is rare in what follows, and not left out.
    (proptest::collection::vec(member, 0..5), any::<u8>()).prop_map(|(mut all, twice)| {
        if twice > 20 {
            let mut met = std::collections::BTreeSet::new();
            all.retain(|(name, _)| met.insert(serde_json::from_str::<String>(name).expect("text")));
        }
        format!("{{{}}}", all.into_iter().map(|(_, member)| member).collect::<Vec<_>>().join(","))
    })
}

fn text(pattern: &'static str) -> impl Strategy<Value = String> {
    (pattern, any::<bool>()).prop_map(|(text, is_escaped)| {
        if is_escaped { escaped(&text) } else { serde_json::to_string(&text).expect("text") }
    })
}

/// Every character as an escape.
fn escaped(text: &str) -> String {
    format!("\"{}\"", text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>())
}

const RULES: [&str; 11] = [
    "passthrough",
    "hash",
    "hmac",
    "rotated",
    "truncate",
    "partial",
    "redact",
    "constant",
    "set_null",
    "email_domain",
    "drop",
];

fn rule() -> impl Strategy<Value = String> {
    let step = prop_oneof![1 => Just(""), 1 => Just(".a"), 1 => Just(".b"), 1 => Just("[]")];
    let path = (proptest::sample::select(&NAMES[..]), proptest::collection::vec(step, 0..3));
    let path = path.prop_map(|(column, steps)| format!("{column}{}", steps.concat()));
    let optional = prop_oneof![3 => Just("?"), 1 => Just("")];
    (path, optional, proptest::sample::select(&RULES[..]))
        .prop_map(|(path, optional, rule)| format!("{path}{optional}={rule}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn rows_leave_as_a_rebuilt_tree_says(
        unlisted in prop_oneof![2 => Just("passthrough"), 1 => Just("drop"), 1 => Just("reject")],
        rules in proptest::collection::vec(rule(), 0..6),
        // Several rows for one mask: layouts that it learned before are met again.
        rows in proptest::collection::vec(object(json()), 1..5),
    ) {
        let rules = rules.join(" ");
        crate::fuzz::splice(format!("{unlisted} {rules}\n{}", rows.join("\n")).as_bytes());
    }

    #[test]
    fn keys_have_one_form_however_they_are_spelled(key in object(json())) {
        crate::fuzz::key(key.as_bytes());
        crate::fuzz::key(format!("{{\"schema\":{{}},\"payload\":{key}}}").as_bytes());
    }
}
