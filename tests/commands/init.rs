//! A topology to start from, and one around a rules file that is there already.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::said::{highwater, run};
use crate::support::Dir;

const SECRET: [(&str, &str); 1] = [("MASK_SECRET", "0123456789abcdef0123")];

fn is_right(dir: &Path, file: &str) {
    let said = highwater(dir, &["topology", "validate", file], &SECRET, "").ended(0).silent();
    assert_eq!(said.stdout, format!("{file}: 0 errors, 0 warnings\n"));
}

#[test]
fn what_is_written_is_right_and_nothing_is_overwritten() {
    let dir = Dir::new("init");
    let at = dir.path();
    run(at, &["init"])
        .ended(0)
        .silent()
        .says(&["wrote topology.yaml, and topology.schema.json", "topology validate\n"]);
    is_right(at, "topology.yaml");
    let first = fs::read_to_string(at.join("topology.yaml")).expect("a file");
    assert!(first.starts_with("# yaml-language-server: $schema=topology.schema.json\n"), "{first}");
    assert!(first.contains("unlisted: reject"), "{first}");
    let schema = fs::read_to_string(at.join("topology.schema.json")).expect("a file");
    assert_eq!(schema, run(at, &["topology", "schema"]).ended(0).silent().stdout);

    fs::write(at.join("topology.yaml"), "mine").expect("a file");
    let said = run(at, &["init"]).ended(1).complains(&["topology.yaml is there already", "--force"]);
    assert_eq!(said.stdout, "");
    assert_eq!(fs::read_to_string(at.join("topology.yaml")).expect("a file"), "mine");
    run(at, &["init", "--force"]).ended(0).silent();
    assert_eq!(fs::read_to_string(at.join("topology.yaml")).expect("a file"), first);

    run(at, &["init", "-f", "shop.yaml", "--application", "shop"]).ended(0).silent().says(&["validate -f shop.yaml"]);
    is_right(at, "shop.yaml");
    let described = run(at, &["topology", "describe", "shop.yaml", "-o", "json"]).ended(0).stdout;
    assert!(described.contains("\"shop\""), "{described}");
    run(at, &["init", "-f", "no/such/topology.yaml"]).ended(1).complains(&["cannot write no/such/topology.yaml"]);
    run(at, &["init", "--application", "my app"]).ended(2);
}

#[test]
fn stdout_gets_it_and_no_file_does() {
    let dir = Dir::new("init");
    let said = run(dir.path(), &["init", "--stdout"]).ended(0).silent().says(&["application: my-app"]);
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
    fs::write(dir.join("t.yaml"), said.stdout).expect("a file");
    is_right(dir.path(), "t.yaml");
}

const SEED: &str = "salt: old-salt-of-the-service\ntables:\n  customers:\n    target_topic: brew.analytics.customers\n    \
                    fields: { email: hash, full_name: truncate, birth_date: drop }\n  \
                    orders:\n    target_topic: brew.analytics.orders\n    fields: { notes: drop }\n";

/// What the file's rules say, computed without Highwater.
#[test]
fn around_a_rules_file_the_rows_are_what_they_were() {
    let dir = Dir::new("init");
    let at = dir.path();
    fs::write(at.join("anonymize.yaml"), SEED).expect("a file");
    run(at, &["init", "--from", "anonymize.yaml"]).ended(0).silent();
    let said = run(at, &["topology", "validate"]).ended(0).says(&[" 0 errors, "]);
    assert!(!said.stdout.contains("old-salt"), "{}", said.stdout);
    run(at, &["topology", "describe", "-o", "json"]).ended(0).says(&[
        "brew.cdc.public.customers",
        "brew.cdc.public.orders",
        "brew.analytics.orders",
    ]);
    let row = r#"{"id":1,"email":"ivan@example.com","full_name":"Ivan Ivanov","birth_date":3650,"country":"RU"}"#;
    let digest = Sha256::digest(b"old-salt-of-the-serviceivan@example.com");
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let want = format!(r#"{{"id":1,"email":"{hex}","full_name":"IvanI.","country":"RU","cdc_lsn":0,"_deleted":0}}"#);
    let said = highwater(at, &["mask", "tables", "--table", "customers"], &[], &format!("{row}\n")).ended(0).silent();
    assert_eq!(said.stdout, format!("{want}\n"));
    // It is the file that is asked, not a copy of it.
    fs::write(at.join("anonymize.yaml"), SEED.replace("full_name: truncate", "full_name: drop")).expect("a file");
    let said = highwater(at, &["mask", "tables", "--table", "customers"], &[], row).ended(0).silent();
    assert_eq!(said.stdout, format!("{}\n", want.replace(r#""full_name":"IvanI.","#, "")));
}

#[test]
fn around_a_rules_file_elsewhere() {
    let dir = Dir::new("init");
    let at = dir.path();
    fs::create_dir_all(at.join("rules of old")).expect("a folder");
    fs::create_dir_all(at.join("new")).expect("a folder");
    let file = "rules of old/it's.yaml";
    // Without a salt, and without target topics.
    fs::write(at.join(file), "tables: { customers: { fields: { email: hash } }, visits: { fields: {} } }")
        .expect("a file");
    let args = ["init", "--from", file, "-f", "new/t.yaml", "--topic-prefix", "shop.", "--table", "customers"];
    run(at, &args).ended(0).silent();
    let said = run(at, &["topology", "describe", "new/t.yaml", "-o", "tree"]).ended(0).says(&["shop.customers"]);
    assert!(!said.stdout.contains("shop.visits"), "{}", said.stdout);
    highwater(at, &["topology", "validate", "new/t.yaml"], &[("ANONYMIZE_SALT", "0123456789abcdef")], "").ended(0);
    run(at, &["run", "new/t.yaml"]).ended(78).complains(&["ANONYMIZE_SALT"]);
    let text = run(at, &["init", "--stdout", "--from", file]).ended(0).silent().stdout;
    assert!(text.contains("rules: 'rules of old/it''s.yaml'") && text.contains("secrets:"), "{text}");
}

#[test]
fn what_is_wrong_with_a_rules_file_is_told_and_nothing_is_written() {
    let dir = Dir::new("init");
    let at = dir.path();
    fs::write(at.join("seed.yaml"), SEED).expect("a file");
    let one = SEED.replace("    target_topic: brew.analytics.orders\n", "");
    for (name, text, parts) in [
        ("typo.yaml", SEED.replace("email: hash", "email: hsah"), &["typo.yaml:5:", "did you mean `hash`?"][..]),
        ("half.yaml", one, &["table `orders` has no `target_topic`"]),
        ("loop.yaml", SEED.replace("brew.analytics.orders", "brew.cdc.public.orders"), &["error[loop]"]),
    ] {
        fs::write(at.join(name), text).expect("a file");
        let said = run(at, &["init", "--from", name]).ended(78).complains(parts);
        assert!(said.stdout.is_empty() && !said.stderr.contains("old-salt"), "{}", said.stderr);
    }
    run(at, &["init", "--from", "no.yaml"]).ended(78).complains(&["error[rules-file]", "no.yaml"]);
    let args = ["init", "--from", "seed.yaml", "--table", "custmers,orders"];
    run(at, &args).ended(78).complains(&["no table `custmers`", "did you mean `customers`?"]);
    run(at, &["init", "--topic-prefix", "x."]).ended(2);
    assert!(!at.join("topology.yaml").exists() && !at.join("topology.schema.json").exists());
}
