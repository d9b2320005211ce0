//! What each rule makes of values: examples in the reference, and tests of the rules.

/// The rule, as it stands behind a column; a value; what leaves, empty where the column is gone.
pub(super) const EXAMPLES: &[(&str, &str, &str)] = &[
    ("passthrough", r#""a\u0062c""#, r#""a\u0062c""#),
    ("hash", r#""ivan@example.com""#, r#""9263772d8ba1ab327ea92e13ae02119357e266a54b3371489e6669e784b8a0a8""#),
    ("hash", "42", r#""7e370bc48898b898ed91f6f4c085527c763cf811ffb6eceecd6c9594ac394a02""#),
    ("hash", r#"[ "a b", 1 ]"#, r#""0769adb958e88d37f0d96b9c4b9b24e5e5c1f9bcb11c10f88630305376a2f4ae""#),
    ("hash", "null", "null"),
    ("hash", r#""__debezium_unavailable_value""#, r#""__debezium_unavailable_value""#),
    ("hmac", r#""ivan@example.com""#, "\"k1:d36d43b73689669ee9cc6a965338a7a08ab8504371dacae7bf37f5501397d014\""),
    ("hmac", "42", "\"k1:7b25340b646377b8707a55deb0f09149bfd93b074f7fadbf7316f978f236fb53\""),
    (
        "{ rule: hmac, previous: before }",
        r#""ivan@example.com""#,
        "\"k2:f4ce6add44bd2a3f83d6a0286ea69550bd06c40765fd974d480c056fe1a156a0\",\"before\":\"k1:d36d43b73689669ee9cc6a965338a7a08ab8504371dacae7bf37f5501397d014\"",
    ),
    ("truncate", r#""Ivan Ivanov""#, r#""IvanI.""#),
    ("truncate", r#""李小龍""#, r#""李.""#),
    ("truncate", r#""  ""#, r#""""#),
    ("partial", r#""4111 1111 1111 1234""#, r#""***************1234""#),
    ("{ rule: partial, keep_first: 2, keep_last: 2, with: • }", r#""+37120000000""#, r#""+3••••••••00""#),
    ("partial", r#""short""#, r#""*****""#),
    ("redact", r#""anything""#, r#""[redacted]""#),
    ("{ rule: redact, with: hidden }", r#"{"a":[1]}"#, r#""hidden""#),
    ("{ rule: constant, value: 0 }", "7788", "0"),
    ("{ rule: constant, value: '0' }", "7788", r#""0""#),
    ("set_null", r#""anything""#, "null"),
    ("email_domain", r#""Ivan@Example.com""#, r#""example.com""#),
    ("email_domain", r#""not an address""#, r#""""#),
    ("{ rule: generalize, step: 10 }", "37", "30"),
    ("{ rule: generalize, step: 0.5 }", r#""-12.34""#, r#""-12.5""#),
    ("{ rule: generalize, to: month }", r#""1990-05-17""#, r#""1990-05-01""#),
    ("{ rule: generalize, to: hour }", r#""2026-11-02T10:11:12.123Z""#, r#""2026-11-02T10:00:00Z""#),
    ("{ rule: generalize, to: year, unit: days }", "7441", "7305"),
    ("ip_prefix", r#""203.0.113.77""#, r#""203.0.113.0""#),
    ("{ rule: ip_prefix, v6: 32 }", r#""2001:db8:1234::9""#, r#""2001:db8::""#),
    ("drop", r#""anything""#, ""),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::operators::mask::{Mask, Rule};
    use crate::record::change::{Decoded, decode};
    use crate::topology::{Mode, Topology};

    #[test]
    fn every_example_is_true() {
        for (rule, value, leaves) in EXAMPLES {
            let secret = match rule.contains("previous") {
                true => "{ keys: { k1: s3cr3t, k2: n3w }, current: k2 }",
                false => "{ keys: { k1: s3cr3t } }",
            };
            let text = format!(
                "application: a\nkafka: {{ bootstrap.servers: b }}\nsecrets:\n  k: {secret}\nstreams:\n  s:\n    from: in\n    to: out\n    \
                 steps:\n      - dedup\n      - mask:\n          fields:\n            c: {rule}\n"
            );
            let loaded = Topology::parse(&text, "topology.yaml", Path::new(""), Mode::Run, &|_| None);
            let mut topology = loaded.unwrap_or_else(|found| panic!("{found}")).topology;
            let mut mask = Mask::new(topology.streams.remove(0).mask).unwrap();
            let envelope = format!(r#"{{"op":"c","after":{{"c":{value}}},"source":{{"table":"t"}}}}"#);
            let Decoded::Change(change) = decode(Some(envelope.as_bytes())).unwrap() else { panic!("no change") };
            let mut out = Vec::new();
            mask.row(&change, 1, false, &mut out).unwrap_or_else(|bad| panic!("{rule} {value}: {bad}"));
            let column = if leaves.is_empty() { String::new() } else { format!(r#""c":{leaves},"#) };
            let want = format!(r#"{{{column}"cdc_lsn":1,"_deleted":0}}"#);
            assert_eq!(String::from_utf8(out).unwrap(), want, "{rule} {value}");
        }
        for rule in Rule::ALL {
            let shown =
                EXAMPLES.iter().any(|(text, ..)| text.split([' ', ',', '{', '}']).any(|word| word == rule.as_str()));
            assert!(shown, "{} has no example", rule.as_str());
        }
    }
}
