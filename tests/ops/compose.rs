//! `docker-compose.yml`. No Docker runs the tests: what it says is checked against its schema, the files it names, and
//! the commands by which the tests start the same services themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use regex::Regex;
use serde_json::Value;

use crate::files;
use crate::support::compose::command;

/// One of the programs that `tools/setup linters` fetches.
pub fn linter(name: &str) -> Command {
    let mut command = Command::new(files::fetched("linters", &format!("bin/{name}")));
    command.current_dir(files::path("."));
    command
}

fn services() -> BTreeMap<String, Value> {
    let compose = files::yaml("docker-compose.yml");
    let services = compose["services"].as_object().expect("services").clone();
    services.into_iter().collect()
}

#[test]
fn it_follows_the_compose_specification() {
    let mut check = linter("check-jsonschema");
    let out = check.args(["--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]).output().expect("a check");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
}

#[test]
fn images_are_pinned_ports_are_local_and_taken_once() {
    let mut ports = BTreeSet::new();
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name} has no image"));
        let tag = image
            .rsplit('/')
            .next()
            .and_then(|last| last.split_once(':'))
            .unwrap_or_else(|| panic!("{image}: no tag"))
            .1;
        assert!(tag != "latest" && (tag == "local") == service["build"].is_string(), "{name}: {image}");
        for port in service["ports"].as_array().into_iter().flatten() {
            let parts: Vec<&str> = port.as_str().expect("a short form").split(':').collect();
            assert!(parts.len() == 3 && parts[0] == "127.0.0.1", "{name}: {port} is open to everyone");
            assert!(ports.insert(parts[1].to_owned()), "{name}: {port} is taken");
        }
    }
    for port in ["15442", "18123", "18083"] {
        assert!(ports.contains(port), "{port} of {ports:?}");
    }
}

#[test]
fn what_it_mounts_is_there_and_what_it_keeps_is_declared() {
    let compose = files::yaml("docker-compose.yml");
    let mut volumes = BTreeMap::new();
    for (name, service) in services() {
        if let Some(context) = service["build"].as_str() {
            assert!(files::path(context).join("Dockerfile").exists(), "{name}: no Dockerfile in {context}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let text = volume.as_str().expect("a short form");
            let source = text.split(':').next().expect("a source");
            if source.starts_with("./") {
                assert!(files::path(source).exists(), "{name}: {source} is not there");
                assert!(text.ends_with(":ro"), "{name}: {text} may be written to");
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{name}: the volume {source} is not declared");
                assert_eq!(volumes.insert(source.to_owned(), name.clone()), None, "two services share {source}");
            }
        }
    }
    // Two instances on one state directory would be one too many.
    assert_eq!((volumes["highwater-1"].as_str(), volumes["highwater-2"].as_str()), ("highwater-1", "highwater-2"));
}

#[test]
fn who_depends_on_a_service_waits_until_it_is_healthy() {
    let services = services();
    for (name, service) in &services {
        for (on, how) in service["depends_on"].as_object().into_iter().flatten() {
            let needed = services.get(on).unwrap_or_else(|| panic!("{name} depends on {on}, which is not there"));
            let built = needed["build"] == ".";
            match how["condition"].as_str() {
                Some("service_completed_successfully") => assert_eq!(on, "topics", "{name}"),
                Some("service_healthy") => {
                    assert!(built || needed["healthcheck"].is_object(), "{name}: {on} has no healthcheck")
                }
                other => panic!("{name}: {on}: {other:?}"),
            }
        }
    }
    for instance in ["highwater-1", "highwater-2"] {
        assert!(services[instance]["stop_grace_period"].is_string(), "{instance}");
        assert_eq!(services[instance]["depends_on"]["topics"]["condition"], "service_completed_successfully");
    }
}

#[test]
fn every_secret_comes_from_the_environment_and_has_no_default() {
    let text = files::read("docker-compose.yml");
    let used = Regex::new(r"\$\{([A-Z_]+)([^}]*)\}").expect("a pattern");
    let mut names = BTreeSet::new();
    for found in used.captures_iter(&text) {
        assert!(found[2].starts_with(":?"), "{} has a default, or may be empty", &found[1]);
        names.insert(found[1].to_owned());
    }
    let example = files::read(".env.example");
    let lines = example.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let offered: BTreeSet<String> =
        lines.map(|line| line.strip_suffix('=').unwrap_or_else(|| panic!("{line}")).to_owned()).collect();
    assert_eq!(names, offered);
    for (name, service) in services() {
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            let secret = ["PASSWORD", "SALT", "SECRET"].iter().any(|word| variable.contains(word));
            assert!(
                !secret || value.as_str().is_some_and(|v| v.starts_with("${")),
                "{name}: {variable} is written down"
            );
        }
    }
    assert!(files::read(".gitignore").lines().any(|line| line == "/.env"));
}

/// KAFKA_MIN_INSYNC_REPLICAS is min.insync.replicas: what the image makes of its environment.
#[test]
fn its_broker_is_the_one_of_the_tests() {
    let native = files::read("tools/kafka-broker");
    let native: BTreeMap<&str, &str> = native.lines().filter_map(|line| line.split_once('=')).collect();
    let services = services();
    let (mut same, environment) = (0, services["kafka"]["environment"].as_object().expect("an environment"));
    for (name, value) in environment {
        let property = name.strip_prefix("KAFKA_").expect("a setting of Kafka").to_lowercase().replace('_', ".");
        // Where it listens is its own.
        if ["listener", "voters", "log.dirs", "process.roles"].iter().any(|own| property.contains(own)) {
            continue;
        }
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(native.get(&*property).copied(), Some(value.as_str()), "{property}");
        same += 1;
    }
    assert!(same >= 8, "{same}");
    let version = services["kafka"]["image"].as_str().and_then(|image| image.split_once(':')).expect("a tag").1;
    assert!(files::read("tools/kafka/pom.xml").contains(&format!("<version>{version}</version>")), "{version}");
}

#[test]
fn the_versions_are_those_that_the_tests_run() {
    let connect = files::read("connectors/Dockerfile");
    let debezium = Regex::new(r"debezium/connect:(\S+)").expect("a pattern");
    let version = &debezium.captures(&connect).expect("a version")[1];
    assert!(files::read("tools/debezium/pom.xml").contains(&format!("<version>{version}</version>")), "{version}");
    let clickhouse = services()["clickhouse"]["image"].as_str().expect("an image").to_owned();
    let engine = files::read("tools/clickhouse/requirements.txt");
    let version = clickhouse.split_once(':').expect("a tag").1;
    assert!(engine.contains(&format!("chdb-core=={version}.")), "{clickhouse}");
}

#[test]
fn highwaters_commands_are_ones_that_the_binary_has() {
    for service in ["highwater-1", "highwater-2"] {
        let mut words = command(service);
        words.push("--help".into());
        let out = Command::new(env!("CARGO_BIN_EXE_highwater")).args(&words).output().expect("highwater");
        assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
        let http = words.iter().position(|word| word == "--http").map(|at| words[at + 1].clone()).expect("--http");
        let port = http.rsplit(':').next().expect("a port");
        assert_eq!(port, "9464", "the port that the image's healthcheck asks");
        assert!(files::read("dashboards/prometheus.yml").contains(&format!("{service}:{port}")));
    }
    let mut words = command("topics");
    assert!(words.contains(&"--execute".to_owned()), "{words:?}");
    words.push("--help".into());
    let out = Command::new(env!("CARGO_BIN_EXE_highwater")).args(&words).output().expect("highwater");
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn the_connectors_read_only_variables_that_the_worker_may_read_and_has() {
    let services = services();
    let environment = services["connect"]["environment"].as_object().expect("an environment");
    let pattern = environment["CONNECT_CONFIG_PROVIDERS_ENV_PARAM_ALLOWLIST_PATTERN"].as_str().expect("a pattern");
    let allowed = Regex::new(&format!("^(?:{pattern})$")).expect("a pattern");
    let used = Regex::new(r"\$\{env:([A-Z_]+)\}").expect("a pattern");
    for file in ["connectors/debezium-pg-source.json", "connectors/clickhouse-sink.json"] {
        for found in used.captures_iter(&files::read(file)) {
            assert!(allowed.is_match(&found[1]), "{file}: {} may not be read", &found[1]);
            assert!(environment.contains_key(&found[1]), "{file}: {} is not set", &found[1]);
        }
        let connector = files::json(file);
        let secret = connector.get("password").or(connector.get("database.password")).expect("a password");
        assert!(secret.as_str().is_some_and(|s| s.starts_with("${env:")), "{file}");
    }
    // What a superuser, or a salt, would let a connector do.
    assert!(!allowed.is_match("ANONYMIZE_SALT") && !environment.contains_key("POSTGRES_PASSWORD"));
}

#[test]
fn the_sink_takes_each_table_from_the_topic_that_highwater_writes() {
    let sink = files::json("connectors/clickhouse-sink.json");
    let pairs: BTreeMap<&str, &str> =
        sink["topic2TableMap"].as_str().expect("a map").split(", ").filter_map(|p| p.split_once('=')).collect();
    let topics: BTreeSet<&str> = sink["topics"].as_str().expect("a list").split(',').collect();
    assert_eq!(pairs.keys().copied().collect::<BTreeSet<_>>(), topics);
    for (topic, table) in pairs {
        assert_eq!(topic, format!("brew.analytics.{table}"));
        assert!(crate::database::TABLES.contains(&table), "{table}");
    }
    assert_eq!(sink["exactlyOnce"], "true");
    assert_eq!(sink["consumer.override.isolation.level"], "read_committed");
    assert_eq!(sink["errors.tolerance"], "none");
}
