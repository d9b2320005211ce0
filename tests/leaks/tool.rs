//! `highwater leaks` on a deployment that has run: nothing is found; then something is planted in every form, and all of it
//! is.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use highwater::cli::leaks::{Form, spellings};
use serde_json::Value;

use crate::canaries::{all, row};
use crate::support::changes::SECRET;
use crate::support::{Broker, Dir, Line};

pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The command in the directory of a deployment. Whatever it says, it says no value.
pub fn leaks(dir: &Path, env: &[(&str, &str)], args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.arg("leaks").args(args).envs(env.iter().copied()).current_dir(dir).stdin(Stdio::null());
    let output = command.output().expect("highwater");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let said = Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
    for canary in all() {
        assert!(!said.stdout.contains(canary) && !said.stderr.contains(canary), "{}\n{}", said.stdout, said.stderr);
    }
    said
}

pub fn report(said: &Said) -> Value {
    serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{e}: {}\n{}", said.stdout, said.stderr))
}

/// A value that must not leave, of the row with that number.
pub fn value(id: u64) -> String {
    row(id)["hashed"].as_str().expect("a text").to_owned()
}

/// One spelling of each form: not one that is plain text, too.
pub fn planted(form: Form, value: &str) -> Vec<u8> {
    let mut all = spellings(value.as_bytes()).into_iter().filter(|(of, _)| *of == form);
    let (_, spelling) = all.next().unwrap_or_else(|| panic!("no {form:?}"));
    [&b"<"[..], &spelling, b">"].concat()
}

pub fn finds_nothing_and_then_what_is_planted(broker: &Broker, name: &str, dir: &Dir) {
    let servers = broker.bootstrap();
    let env = [("BROKERS", servers.as_str()), ("SALT", SECRET)];
    let args =
        ["--from", "earliest", "--topics", "__consumer_offsets,__transaction_state", "--files", "state", "-o", "json"];
    let said = leaks(dir.path(), &env, &args);
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    let clean = report(&said);
    let number = |path: &str| clean.pointer(path).and_then(Value::as_u64).unwrap_or_default();
    let kinds: BTreeSet<&str> =
        clean["places"].as_array().expect("places").iter().filter_map(|place| place["kind"].as_str()).collect();
    println!("the command: {} values, {} bytes, {kinds:?}", number("/values/searched"), number("/bytes"));
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["changelog", "dead letter", "file", "output", "store", "topic"]);
    assert!(number("/values/searched") > 2000 && number("/bytes") > 500_000, "{clean:#}");
    assert_eq!((&clean["leaked"], &clean["passing"]), (&serde_json::json!([]), &serde_json::json!([])));

    // Each form with a value of its own, in another part of another topic.
    let topics = [format!("{name}.letters"), format!("{name}.people"), format!("{name}-keys-bad.keys-changelog")];
    let lines = Form::ALL.into_iter().zip(1..).map(|(form, id)| {
        let bytes = planted(form, &value(id));
        let mut line = Line::new(&topics[(id % 3) as usize], "{}", "{}").at(0);
        match id % 4 {
            0 => line.key = Some(bytes),
            1 => line.value = Some(bytes),
            2 => line.headers = vec![("x".into(), Some(bytes))],
            _ => line.value = Some([vec![b' '; 300_000], bytes].concat()),
        }
        line
    });
    broker.produce(&lines.collect::<Vec<_>>());
    let said = leaks(dir.path(), &env, &args);
    assert_eq!(said.code, Some(1), "{}\n{}", said.stdout, said.stderr);
    let found = report(&said);
    let leaked = found["leaked"].as_array().expect("values");
    let forms: BTreeSet<&str> = leaked.iter().filter_map(|value| value["found"][0]["form"].as_str()).collect();
    let want: BTreeSet<&str> = Form::ALL.into_iter().map(Form::as_str).collect();
    assert_eq!((leaked.len(), forms), (want.len(), want), "{found:#}");
    for value in leaked {
        assert_eq!(value["source"]["topic"], "leaks.everything", "{value:#}");
        let part = value["source"]["part"].as_str().unwrap_or_default();
        // Debezium's header with the old key holds the same value.
        assert!(["column hashed", "column hashed of the key", "header 2"].contains(&part), "{value:#}");
    }
    // The same for people.
    let said = leaks(dir.path(), &env, &["--from", "earliest", "--sample", "leaks.everything"]);
    assert_eq!(said.code, Some(1), "{}\n{}", said.stdout, said.stderr);
    let told = format!("searched for {}", found["values"]["searched"]);
    assert!(said.stdout.contains(": 8 found") && !said.stdout.contains(&told), "{}", said.stdout);
    // Of another source, nothing was planted.
    let said = leaks(dir.path(), &env, &["--from", "earliest", "--sample", "bad.tables"]);
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
}
