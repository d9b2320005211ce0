//! The built binary's commands, as a person or a script meets them: exit codes, streams, forms, and no secret anywhere.

mod support;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use support::Dir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A right topology whose secrets stand in the file, and one that is missing.
const LITERAL: &str = "application: app\nkafka: { bootstrap.servers: 'localhost:1', sasl.password: CANARY-password }\n\
                       secrets: { pii: CANARY-in-the-file-itself, other: '${HIGHWATER_TEST_UNSET}' }\nstreams:\n  \
                       rows:\n    from: in\n    to: out\n    \
                       steps: [dedup, { mask: { secret: pii, unlisted: drop, fields: { email: hash, no: drop } } }]\n";

struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Said {
    #[track_caller]
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn silent_on_stdout(self) -> Self {
        assert_eq!(self.stdout, "");
        self
    }

    #[track_caller]
    fn without_secrets(self) -> Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(!all.contains("CANARY"), "{all}");
        self
    }
}

/// Runs the binary in `dir`, with nothing of this process' own settings.
fn highwater(dir: &str, args: &[&str], env: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    for name in ["HIGHWATER_FILE", "HIGHWATER_LOG", "HIGHWATER_LOG_FORMAT", "HIGHWATER_STATE", "ANONYMIZE_SALT"] {
        command.env_remove(name);
    }
    command.args(args).envs(env.iter().copied()).current_dir(dir).stdin(Stdio::null());
    let out = command.output().expect("highwater");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
}

/// Files of these names in a directory of their own.
fn directory(files: &[(&str, &str)]) -> (Dir, String) {
    let dir = Dir::new("cli");
    files.iter().for_each(|(name, text)| fs::write(dir.join(name), text).expect("a file"));
    let path = dir.path().to_str().expect("UTF-8").to_string();
    (dir, path)
}

fn named(application: &str) -> String {
    LITERAL.replace("application: app", &format!("application: {application}"))
}

#[test]
fn help_is_a_result_and_wrong_usage_is_not() {
    for args in [&["--help"][..], &["help"], &["run", "--help"], &["topology", "--help"], &["demo", "--help"]] {
        let said = highwater(ROOT, args, &[]).ended(0);
        assert!(said.stdout.contains("Usage: highwater") && said.stderr.is_empty(), "{args:?}: {}", said.stdout);
    }
    for command in [&["run"][..], &["topology", "describe"], &["topology", "validate"], &["demo"]] {
        let args: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        let help = highwater(ROOT, &args, &[]).ended(0).stdout;
        let example = format!("\n  highwater {}", command.join(" "));
        assert!(help.contains("Examples:") && help.contains(&example), "{help}");
    }
    let version = highwater(ROOT, &["--version"], &[]).ended(0).stdout;
    assert_eq!(version.trim(), concat!("highwater ", env!("CARGO_PKG_VERSION")));
    for args in [
        &[][..],
        &["nonsense"],
        &["topology"],
        &["topology", "validate", "-o", "xml"],
        &["topology", "describe", "-o", "xml"],
        &["topology", "validate", "a.yaml", "b.yaml"],
        &["run", "--threads", "0"],
        &["run", "--http", "nowhere"],
        &["--log-format", "xml", "topology", "validate"],
        &["--log-level", "loud", "topology", "validate"],
    ] {
        let said = highwater(ROOT, args, &[]).ended(2).silent_on_stdout();
        assert!(!said.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn the_file_is_named_in_one_of_four_ways() {
    let (_dir, dir) = directory(&[
        ("topology.yaml", &named("by-default")),
        ("env.yaml", &named("by-environment")),
        ("flag.yaml", &named("by-flag")),
        ("word.yaml", &named("by-word")),
    ]);
    let env = [("HIGHWATER_FILE", "env.yaml")];
    for (args, env, application) in [
        (&[][..], &[][..], "by-default"),
        (&[], &env, "by-environment"),
        (&["-f", "flag.yaml"], &env, "by-flag"),
        (&["--file=flag.yaml"], &[], "by-flag"),
        (&["word.yaml"], &env, "by-word"),
        (&["-f", "flag.yaml", "word.yaml"], &env, "by-word"),
    ] {
        let args: Vec<&str> = ["topology", "describe", "-o", "json"].iter().chain(args).copied().collect();
        let described: Value = serde_json::from_str(&highwater(&dir, &args, env).ended(0).stdout).expect("JSON");
        assert_eq!(described["application"], application, "{args:?}");
    }
    for args in [&["run", "no.yaml"][..], &["topology", "describe", "no.yaml"]] {
        let said = highwater(&dir, args, &[]).ended(78).silent_on_stdout();
        assert!(said.stderr.contains("no.yaml: 1 error"), "{}", said.stderr);
    }
    let said = highwater(&dir, &["topology", "validate", "no.yaml"], &[]).ended(78);
    assert!(said.stdout.contains("no.yaml: 1 error") && said.stderr.is_empty(), "{}{}", said.stdout, said.stderr);
}

#[test]
fn a_topology_is_drawn_in_every_form_without_secrets_or_brokers() {
    type IsRight = fn(&str) -> bool;
    let json: IsRight = |text| serde_json::from_str::<Value>(text).is_ok_and(|value| value["streams"].is_array());
    let forms: [(&[&str], IsRight); 6] = [
        (&[], |text| text.starts_with("Topologies:\n   Sub-topology: 0\n    Source: ")),
        (&["-o", "text"], |text| text.starts_with("Topologies:\n   Sub-topology: 0\n    Source: ")),
        (&["-o", "tree"], |text| text.contains("email") && text.contains("hash")),
        (&["-o", "mermaid"], |text| text.starts_with("flowchart ") || text.starts_with("graph ")),
        (&["-o", "dot"], |text| text.starts_with("digraph ") && text.trim_end().ends_with('}')),
        (&["--output", "json"], json),
    ];
    let (_dir, dir) = directory(&[("topology.yaml", LITERAL)]);
    for (args, is_right) in forms {
        let args: Vec<&str> = ["topology", "describe"].iter().chain(args).copied().collect();
        for dir in [ROOT, &dir] {
            let said = highwater(dir, &args, &[]).ended(0).without_secrets();
            assert!(is_right(&said.stdout) && said.stderr.is_empty(), "{args:?}: {}{}", said.stdout, said.stderr);
        }
    }
}

#[test]
fn validate_says_every_error_in_every_form() {
    let wrong = "application: app\nkafka: { bootstrap.servers: x, group.id: y }\nsecrets: { pii: CANARY-in-the-file }\n\
                 streams:\n  rows:\n    form: in\n    to: out\n    steps: [dedup, { mask: { fields: { email: hsah } } }]\n";
    let (_dir, dir) = directory(&[("wrong.yaml", wrong), ("topology.yaml", LITERAL)]);
    let validate = |args: &[&str]| {
        let args: Vec<&str> = ["topology", "validate"].iter().chain(args).copied().collect();
        highwater(&dir, &args, &[]).without_secrets()
    };
    let text = validate(&["wrong.yaml"]).ended(78).stdout;
    for part in ["group.id", "`form`", "`hash`", "wrong.yaml:2:", "wrong.yaml:6:", "wrong.yaml:8:", "^^^", " errors"] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "a pipe gets no colours");
    let github = validate(&["wrong.yaml", "-o", "github"]).ended(78).stdout;
    let errors = github.lines().filter(|line| line.starts_with("::error file=wrong.yaml,line=")).count();
    let json = validate(&["wrong.yaml", "-o", "json"]).ended(78).stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let listed = json["diagnostics"].as_array().expect("a list");
    assert_eq!(listed.iter().filter(|item| item["severity"] == "error").count(), errors, "{json:#}");
    assert!(errors >= 3, "{github}");
    // Warnings alone are no failure; what is missing outside is one of them.
    let text = validate(&[]).ended(0).stdout;
    assert!(text.contains("HIGHWATER_TEST_UNSET") && text.contains(" 0 errors, "), "{text}");
    assert!(validate(&["-o", "github"]).ended(0).stdout.contains("::warning file=topology.yaml"));
}

#[test]
fn run_refuses_an_unset_secret_and_shows_no_other() {
    let (kept, dir) = directory(&[("topology.yaml", LITERAL)]);
    for env in
        [&[][..], &[("HIGHWATER_TEST_UNSET", "")], &[("HIGHWATER_LOG", "trace"), ("HIGHWATER_LOG_FORMAT", "json")]]
    {
        let said = highwater(&dir, &["run"], env).ended(78).silent_on_stdout().without_secrets();
        for part in ["HIGHWATER_TEST_UNSET", "topology.yaml:3:", "secret `other` needs it", "1 error"] {
            assert!(said.stderr.contains(part), "{part:?} is missing in\n{}", said.stderr);
        }
    }
    assert!(!kept.join("state").exists(), "nothing was begun");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(["topology", "describe"]).current_dir(ROOT).stdin(Stdio::null()).stdout(writer);
    let out = command.output().expect("highwater");
    assert_eq!((out.status.code(), String::from_utf8_lossy(&out.stderr)), (Some(0), "".into()));
}

/// No other process can write a topic while this one has the log: to wait for one would be to wait for ever.
#[test]
fn a_run_without_a_source_on_the_embedded_log_says_so() {
    let text =
        "application: app\nembedded: log\nstreams:\n  rows: { from: in, steps: [dedup, { mask: none }], to: out }\n";
    let (_dir, path) = directory(&[("topology.yaml", text)]);
    let mut run = Command::new(env!("CARGO_BIN_EXE_highwater"));
    let mut run =
        run.arg("run").current_dir(&path).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("highwater");
    let deadline = Instant::now() + Duration::from_secs(60);
    while run.try_wait().expect("a child").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let waits = run.try_wait().expect("a child").is_none();
    run.kill().ok(); // gone already, if all is well
    let out = run.wait_with_output().expect("its output");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!waits && out.status.code() == Some(1), "{said}");
    assert!(said.contains("no source topic (in)") && said.contains("highwater produce"), "{said}");
    // Nothing was made that would be too narrow later.
    let said = highwater(&path, &["consume", "out", "--embedded"], &[]).ended(1);
    assert!(said.stderr.contains("no topic `out`"), "{}", said.stderr);
}
