//! The language as others see it: `topology.schema.json` and `docs/language.md` are what the description makes, and the
//! schema takes what the readers take. `UPDATE_EXPECTED=1 cargo test --test schema` writes both, and the verdicts.

use std::fs;
use std::path::{Path, PathBuf};

use highwater::topology::language::{reference, schema};
use highwater::topology::yaml::{self, Node, Value as Yaml};
use highwater::topology::{Mode, Topology};
use jsonschema::Validator;
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).expect(folder).map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "yaml")).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

/// As an editor's YAML server reads it: YAML 1.2, plain scalars have types.
fn json_of(node: &Node) -> Value {
    match &node.value {
        Yaml::Seq(items) => items.iter().map(json_of).collect(),
        Yaml::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), json_of(&entry.value))).collect(),
        _ if node.is_blank() => Value::Null,
        Yaml::Scalar { text, plain: false } => json!(text),
        Yaml::Scalar { text, .. } => match text.as_str() {
            "true" => json!(true),
            "false" => json!(false),
            text => match serde_json::from_str::<serde_json::Number>(text) {
                Ok(number) => json!(number),
                Err(_) => json!(text),
            },
        },
    }
}

/// Nothing where it is not YAML: an editor says so without a schema.
fn read(path: &Path) -> Option<Value> {
    yaml::parse(&fs::read_to_string(path).expect("a file"), 0).root.map(|root| json_of(&root))
}

fn validator(of_rules: bool) -> Validator {
    let schema = schema(of_rules);
    jsonschema::draft7::meta::validate(&schema).expect("a schema of draft 7");
    jsonschema::draft7::new(&schema).expect("a schema")
}

fn faults(validator: &Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Compares with what is in the repository, or writes it.
fn is_kept(name: &str, made: &str) {
    let path = root().join(name);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, made).expect("a file");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
    assert!(kept == made, "{name} is not what the language makes (line {differs:?}): UPDATE_EXPECTED=1 writes it");
}

#[test]
fn what_lies_in_the_repository_is_what_the_language_makes() {
    is_kept("topology.schema.json", &format!("{:#}\n", schema(false)));
    is_kept("docs/language.md", &reference());
}

#[test]
fn the_topology_of_the_repository_names_its_schema() {
    let text = fs::read_to_string(root().join("topology.yaml")).expect("a file");
    assert_eq!(text.lines().next(), Some("# yaml-language-server: $schema=topology.schema.json"));
}

#[test]
fn every_right_topology_passes_the_schema() {
    let (of_topology, of_rules) = (validator(false), validator(true));
    let ours = read(&root().join("topology.yaml")).expect("YAML");
    assert_eq!(faults(&of_topology, &ours), [""; 0]);
    let mut within = 0;
    for path in files("tests/scenarios") {
        let Some(mut topology) = read(&path).and_then(|mut scenario| scenario.get_mut("topology").map(Value::take))
        else {
            continue;
        };
        let Some(object) = topology.as_object_mut() else { continue };
        // A scenario needs neither.
        object.entry("application").or_insert(json!("app"));
        object.entry("embedded").or_insert(json!("state/log"));
        assert_eq!(faults(&of_topology, &topology), [""; 0], "{}", path.display());
        within += 1;
    }
    assert!(within >= 15, "{within} topologies were found in scenarios");
    for path in [root().join("anonymize.yaml")].into_iter().chain(files("tests/scenarios/rules")) {
        assert_eq!(faults(&of_rules, &read(&path).expect("YAML")), [""; 0], "{}", path.display());
    }
}

/// What the schema says of each wrong configuration. An unknown field it must see.
#[test]
fn wrong_topologies_and_what_the_schema_sees_of_them() {
    let validator = validator(false);
    let mut verdicts = String::new();
    for path in files("tests/topology") {
        let text = fs::read_to_string(&path).expect("a file");
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let verdict = match read(&path) {
            None => "not YAML",
            Some(value) if faults(&validator, &value).is_empty() => "passes",
            Some(_) => "refused",
        };
        let found = Topology::parse(&text, "topology.yaml", path.parent().expect("a folder"), Mode::Check, &|_| None);
        let unknown = found.err().is_some_and(|found| {
            let own = |item: &&highwater::topology::Diagnostic| found.file(item) == "topology.yaml";
            found
                .iter()
                .filter(own)
                .any(|item| ["unknown-field", "refused-property", "unknown-rule"].contains(&item.code))
        });
        assert!(!unknown || verdict == "refused", "{name}: the schema lets a wrong name pass");
        verdicts += &format!("{verdict:<8} {name}\n");
    }
    is_kept("tests/topology/schema-sees.txt", &verdicts);
    assert!(verdicts.lines().filter(|line| line.starts_with("refused")).count() >= 20, "{verdicts}");
}

#[test]
fn what_comes_from_outside_passes_wherever_a_scalar_stands() {
    let validator = validator(false);
    let text = "application: ${A}\nkafka: { bootstrap.servers: '${B}', linger.ms: 5, enable.x: true }\n\
                commit_interval: ${C:-1s}\ntransaction_timeout: ${D}\nstatic_membership: ${E}\nthreads: ${F}\n\
                state: { path: '${G}', memory: '${H}', secret: '${I}' }\nhttp: ${J}\nsecrets: { a: '${file:K}' }\n\
                defaults: { on_error: '${L}' }\nstreams:\n  s:\n    from: { topic: '${M}', format: '${N}' }\n    \
                steps: [{ dedup: { on_regression: '${O}' } }, { mask: { unlisted: '${P}', fields: { a: '${Q}' } } }]\n    \
                to: 'out.${R}'\n";
    let value = yaml::parse(text, 0).root.map(|root| json_of(&root)).expect("YAML");
    assert_eq!(faults(&validator, &value), [""; 0]);
    for (right, wrong) in [
        ("threads: ${F}", "threads: 65"),
        ("threads: ${F}", "threads: many"),
        ("commit_interval: ${C:-1s}", "commit_interval: 100"),
        ("memory: '${H}'", "memory: 64"),
        ("http: ${J}", "http: localhost:9464"),
        ("on_error: '${L}'", "on_error: ignore"),
        ("fields: { a: '${Q}' }", "fields: { a: hsah }"),
        ("fields: { a: '${Q}' }", "fields: { a: }"),
        ("to: 'out.${R}'", "to: 'out put'"),
        ("streams:", "embedded: a\nstreams:"),
        ("linger.ms: 5", "group.id: x"),
        ("{ mask: ", "{ musk: "),
    ] {
        let text = text.replace(right, wrong);
        let value = yaml::parse(&text, 0).root.map(|root| json_of(&root)).expect("YAML");
        assert!(!faults(&validator, &value).is_empty(), "{wrong} passes");
    }
}
