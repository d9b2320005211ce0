//! The Makefile's targets for the whole system.

use std::process::{Command, Output};

use crate::files;
use crate::support::Dir;
use crate::support::broker::free_port;

const TARGETS: [&str; 11] = [
    "up",
    "down",
    "pg-init",
    "ch-init",
    "topic-create-all",
    "connect-plugin-check",
    "connector-create-all",
    "connector-delete-all",
    "connector-status",
    "run-anonymizer",
    "ch-shell",
];

fn make(args: &[&str], env: &[(&str, &str)]) -> Output {
    // The makefile alone, away from the repository's own .env.
    let mut command = Command::new("make");
    command.args(["--no-print-directory", "-f"]).arg(files::path("Makefile")).args(args).envs(env.iter().copied());
    command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").output().expect("make")
}

#[test]
fn help_explains_every_target() {
    let out = make(&["help"], &[]);
    let help = String::from_utf8_lossy(&out.stdout).into_owned();
    for target in TARGETS {
        let line = help.lines().find(|line| line.starts_with(&format!("  make {target} ")));
        assert!(line.is_some_and(|line| line.len() > 30), "{target} in\n{help}");
    }
    for line in help.lines().filter(|line| line.starts_with("  make ")) {
        assert!(line[..30].ends_with(' ') && !line[30..].starts_with(' '), "out of its column: {line}");
    }
}

#[test]
fn recipes_name_services_and_files_that_compose_has() {
    let compose = files::yaml("docker-compose.yml");
    for target in TARGETS {
        let out = make(&["-n", target], &[]);
        let recipe = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success() && !recipe.is_empty(), "{target}: {}", String::from_utf8_lossy(&out.stderr));
        let words: Vec<&str> = recipe.split_whitespace().collect();
        let after = |name: &str| words.iter().position(|word| *word == name).map(|at| &words[at + 1..]);
        let service = after("exec").or(after("run")).and_then(|rest| rest.iter().find(|word| !word.starts_with('-')));
        if let Some(service) = service {
            assert!(compose["services"].get(*service).is_some(), "{target}: no service {service}");
            for file in words
                .iter()
                .map(|word| word.trim_end_matches('\''))
                .filter(|word| word.starts_with("/docker-entrypoint"))
            {
                let mounts = compose["services"][*service]["volumes"].to_string();
                assert!(mounts.contains(&format!(":{file}:")), "{target}: {service} has no {file}");
            }
        }
    }
}

#[test]
fn what_is_missing_is_named_with_the_way_out() {
    let dir = Dir::new("make");
    let path = dir.path().to_string_lossy().into_owned();
    let out = make(&["-C", &path, "up"], &[]);
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && why.contains("cp .env.example .env"), "{why}");
    let url = format!("http://127.0.0.1:{}", free_port());
    let repository = files::path("").to_string_lossy().into_owned();
    for target in ["connect-plugin-check", "connector-create-all", "connector-delete-all", "connector-status"] {
        let out = make(&["-C", &repository, target], &[("CONNECT_URL", &url), ("CONNECT_WAIT", "0")]);
        let why = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(
            !out.status.success() && why.contains(&format!("Kafka Connect at {url} does not answer")),
            "{target}: {why}"
        );
    }
}

/// `make fuzz` builds with `--locked`, and nothing else here builds it: its lock file must follow the dependencies.
#[test]
fn the_fuzzers_lock_file_knows_every_dependency() {
    let (manifest, lock) = (files::read("Cargo.toml"), files::read("fuzz/Cargo.lock"));
    let (_, own) = lock.split_once("name = \"highwater\"\n").expect("the package");
    let own = own.split("[[package]]").next().unwrap_or_default();
    let (_, wanted) = manifest.split_once("[dependencies]\n").expect("dependencies");
    let wanted = wanted.split("\n[").next().unwrap_or_default().lines();
    let mut seen = 0;
    for line in wanted.filter(|line| !line.starts_with('#') && line.contains(" = ")) {
        let package = line.split_once("package = \"").map(|(_, rest)| rest.split('"').next().unwrap_or_default());
        let name = package.unwrap_or_else(|| line.split(' ').next().unwrap_or_default());
        // Where two versions are locked, the version stands behind the name.
        let known = [format!("\"{name}\""), format!("\"{name} ")].iter().any(|entry| own.contains(entry));
        assert!(known, "{name}: cargo update --workspace --manifest-path fuzz/Cargo.toml");
        seen += 1;
    }
    assert!(seen > 15, "{seen} dependencies");
}
