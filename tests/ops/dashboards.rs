//! `dashboards/`: the rules by promtool, and every metric, label and expression on a real Prometheus that scrapes a real
//! run of Highwater.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use highwater::telemetry::names;
use highwater::telemetry::slots::WalStatus;
use regex::Regex;
use serde_json::{Value, json};

use crate::embedded::{Embedded, change};
use crate::server::{Server, on_a_free_port};
use crate::support::broker::free_port;
use crate::support::{DEADLINE, Dir, Highwater, wait_until};
use crate::{files, http};

/// One of the programs that `tools/setup prometheus` fetches.
fn program(name: &str) -> PathBuf {
    files::fetched("prometheus", name)
}

fn promtool(args: &[&str]) -> Output {
    Command::new(program("promtool")).args(args).current_dir(files::path("dashboards")).output().expect("promtool")
}

#[track_caller]
fn accepted(args: &[&str]) {
    let out = promtool(args);
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "promtool {args:?}: {said}");
}

fn rules() -> Vec<Value> {
    let groups = files::yaml("dashboards/alerts.yml");
    let rules = groups["groups"].as_array().into_iter().flatten().filter_map(|group| group["rules"].as_array());
    rules.flatten().cloned().collect()
}

#[test]
fn promtool_accepts_the_configuration_and_the_rules_do_what_their_tests_say() {
    accepted(&["check", "config", "prometheus.yml"]);
    accepted(&["check", "rules", "alerts.yml"]);
    accepted(&["test", "rules", "alerts.test.yml"]);
}

#[test]
fn every_rule_has_a_test_that_misses_it_and_one_that_does_not_want_it() {
    let (whole, dir) = (files::read("dashboards/alerts.yml"), Dir::new("rules"));
    fs::copy(files::path("dashboards/alerts.test.yml"), dir.join("alerts.test.yml")).expect("a copy");
    let selector = Regex::new(r"(?:highwater_[a-z_]+|up)(?:\{[^}]*\})?").expect("a pattern");
    for rule in rules() {
        let name = rule["alert"].as_str().expect("a name");
        // Once it never fires, once it always does, for every series it looks at.
        let expr = rule["expr"].as_str().expect("an expression");
        let first = selector.find(expr).unwrap_or_else(|| panic!("{name} asks for no metric")).as_str();
        let metric = first.split('{').next().expect("a name");
        for expr in [format!("{first} < -1"), format!("{metric} > -1")] {
            let mut groups: Value = serde_yaml::from_str(&whole).expect("rules");
            for other in groups["groups"][0]["rules"].as_array_mut().expect("a list") {
                if other["alert"] == name {
                    other["expr"] = expr.as_str().into();
                    other.as_object_mut().expect("a rule").remove("for");
                }
            }
            // JSON is YAML.
            fs::write(dir.join("alerts.yml"), groups.to_string()).expect("rules");
            let out = Command::new(program("promtool"))
                .args(["test", "rules", "alerts.test.yml"])
                .current_dir(dir.path())
                .output()
                .expect("promtool");
            let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
            assert!(!out.status.success() && said.contains("FAILED"), "{name} as {expr:?} passes its tests: {said}");
        }
    }
}

#[test]
fn every_rule_says_what_is_wrong_how_bad_and_what_to_do() {
    let mut names = BTreeSet::new();
    for rule in rules() {
        let name = rule["alert"].as_str().expect("a name");
        assert!(names.insert(name.to_owned()), "{name} twice");
        assert!(name.starts_with("Highwater"), "{name}");
        assert!(["critical", "warning"].iter().any(|s| rule["labels"]["severity"] == **s), "{name}");
        let summary = rule["annotations"]["summary"].as_str().unwrap_or_default();
        assert!(summary.len() > 20 && summary.contains("{{"), "{name}: {summary:?}");
        let description = rule["annotations"]["description"].as_str().unwrap_or_default();
        assert!(description.contains("Next: "), "{name}: {description:?}");
    }
    assert!(names.len() >= 7, "{names:?}");
}

/// The panels, those of rows included.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let top = dashboard["panels"].as_array().expect("panels");
    top.iter()
        .flat_map(|panel| std::iter::once(panel).chain(panel["panels"].as_array().into_iter().flatten()))
        .collect()
}

/// Every expression of the dashboard, its variables filled in as Grafana does.
fn dashboard_expressions(dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((panel["title"].to_string(), target["expr"].as_str().expect("an expression").to_owned()));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().into_iter().flatten() {
        found.push((annotation["name"].to_string(), annotation["expr"].as_str().expect("an expression").to_owned()));
    }
    let label_values = Regex::new(r"^label_values\((.+), (\w+)\)$").expect("a pattern");
    for variable in dashboard["templating"]["list"].as_array().into_iter().flatten() {
        if variable["type"] == "query" {
            let query = variable["query"]["query"].as_str().expect("a query");
            let parts = label_values.captures(query).unwrap_or_else(|| panic!("{query}"));
            found.push((variable["name"].to_string(), format!("count by ({}) ({})", &parts[2], &parts[1])));
        }
    }
    for (_, expression) in &mut found {
        *expression =
            expression.replace("$application", ".+").replace("$stream", ".+").replace("$__rate_interval", "1m");
        assert!(!expression.contains('$'), "{expression}");
    }
    found
}

#[test]
fn the_dashboards_panels_have_a_unit_a_word_of_advice_and_room() {
    let dashboard = files::json("dashboards/highwater.json");
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id twice");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap_or_else(|| panic!("{title}: no {key}"));
        assert!(at("x") + at("w") <= 24, "{title} is out of the page");
        for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(cells.insert((x, y)), "{title} covers another panel");
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|d| d.len() > 40), "{title}: no description");
        assert!(panel["type"] == "table" || panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: no unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    }
    let text = dashboard.to_string();
    let declared = names::ALL.iter().map(|name| name.name);
    let absent: Vec<&str> = declared.filter(|name| !text.contains(name)).collect();
    assert!(absent.is_empty(), "no panel shows {absent:?}");
}

/// A Prometheus with the repository's configuration, which scrapes one instance as fast as it can.
struct Prometheus {
    _server: Server,
    port: u16,
    _dir: Dir,
}

impl Prometheus {
    fn scraping(target: u16) -> Self {
        on_a_free_port(|port| {
            let dir = Dir::new("prometheus");
            let text = files::read("dashboards/prometheus.yml");
            let config = text
                .replace("['highwater-1:9464', 'highwater-2:9464']", &format!("['127.0.0.1:{target}']"))
                .replace("_interval: 15s", "_interval: 200ms");
            assert!(config.contains(&target.to_string()) && config.contains("200ms"), "{config}");
            fs::write(dir.join("prometheus.yml"), config).map_err(|e| e.to_string())?;
            fs::copy(files::path("dashboards/alerts.yml"), dir.join("alerts.yml")).map_err(|e| e.to_string())?;
            let args = [
                "TERM".to_owned(),
                program("prometheus").display().to_string(),
                format!("--config.file={}", dir.join("prometheus.yml").display()),
                format!("--storage.tsdb.path={}", dir.join("data").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ];
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let ready = || http::get(port, "/-/ready").is_some_and(|(status, _)| status == 200);
            let server = Server::start("leashed", &args, &[], &dir.join("prometheus.log"), ready)?;
            Ok(Self { _server: server, port, _dir: dir })
        })
    }

    /// What an expression gives; it must be valid.
    #[track_caller]
    fn query(&self, expression: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/query?query={}", http::encode(expression)));
        answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{expression}: {answer}")).clone()
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let (status, body) = http::get(self.port, path).expect("an answer");
        let answer: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"));
        assert!(status == 200 && answer["status"] == "success", "{path}: {answer}");
        answer
    }

    /// By metric, by label, the values that were scraped.
    fn scraped(&self) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
        let mut found: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        let series = self.get(&format!("/api/v1/series?match[]={}", http::encode(r#"{job="highwater"}"#)));
        for series in series["data"].as_array().expect("a list") {
            let labels = series.as_object().expect("labels");
            let metric = found.entry(labels["__name__"].as_str().expect("a name").to_owned()).or_default();
            for (label, value) in labels {
                metric.entry(label.clone()).or_default().insert(value.as_str().expect("a value").to_owned());
            }
        }
        found
    }
}

/// The metrics of an expression, each with its matchers (label, operator, value); and the labels it groups by.
type Parts = (Vec<(String, Vec<(String, String, String)>)>, BTreeSet<String>);

fn parts(expression: &str) -> Parts {
    let metric = Regex::new(r"\b(highwater_[a-z_]+|up)\b(?:\{([^}]*)\})?").expect("a pattern");
    let matcher = Regex::new(r#"(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)""#).expect("a pattern");
    let grouping = Regex::new(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)").expect("a pattern");
    let metrics = metric.captures_iter(expression).map(|found| {
        let matchers = matcher.captures_iter(found.get(2).map_or("", |m| m.as_str()));
        (found[1].to_owned(), matchers.map(|m| (m[1].to_owned(), m[2].to_owned(), m[3].to_owned())).collect())
    });
    let labels = grouping
        .captures_iter(expression)
        .flat_map(|found| found[1].split(',').map(|label| label.trim().to_owned()).collect::<Vec<_>>());
    (metrics.collect(), labels.collect())
}

/// What `expression` names and nothing scraped has.
fn missing(expression: &str, scraped: &BTreeMap<String, BTreeMap<String, BTreeSet<String>>>) -> Vec<String> {
    let (metrics, grouped) = parts(expression);
    let mut missing = Vec::new();
    if metrics.is_empty() {
        missing.push("any metric".to_owned());
    }
    for (name, matchers) in &metrics {
        let Some(labels) = scraped.get(name) else {
            missing.push(name.clone());
            continue;
        };
        for (label, operator, wanted) in matchers {
            match labels.get(label) {
                None => missing.push(format!("{name}{{{label}}}")),
                // Each alternative that is asked for, or kept out, is one that there is.
                Some(values) if wanted != ".+" => {
                    let absent = wanted.split('|').filter(|one| !values.contains(*one));
                    missing.extend(absent.map(|one| format!("{name}{{{label}{operator}{one}}}")));
                }
                Some(_) => {}
            }
        }
        missing.extend(grouped.iter().filter(|label| !labels.contains_key(*label)).map(|l| format!("{name} by {l}")));
    }
    missing
}

#[test]
fn a_real_run_has_every_metric_and_label_that_rules_and_dashboard_ask_for() {
    let log = Embedded::new("scraped");
    let row =
        |id: u64| json!({ "id": id, "email": "a@example.com", "phone": "1", "full_name": "A B", "birth_date": 1 });
    // Two ways of being refused: a column is missing, and no envelope.
    let refused = |id: u64| [change("customers", "c", &json!({ "id": id }), 90), (json!({ "id": id }), json!([]))];
    let customers = "brew.cdc.public.customers";
    // A row, and once more.
    log.produce(customers, &[change("customers", "c", &row(1), 100), change("customers", "c", &row(1), 100)]);
    log.produce(customers, &[refused(2), refused(3)].concat());
    for table in ["orders", "events"] {
        let row = json!({ "id": 1, "notes": 1, "payload": 1 });
        log.produce(&format!("brew.cdc.public.{table}"), &[change(table, "c", &row, 130)]);
    }
    let port = free_port();
    let prometheus = Prometheus::scraping(port);
    let scrape = |highwater: &mut Highwater, records: u64| {
        let all = format!(
            "sum(highwater_records_in_total) == {records} and sum(highwater_store_bytes) > 0
             and sum(highwater_consumer_lag_seconds) >= 0"
        );
        wait_until(DEADLINE, "a scrape of what has been done", || {
            assert!(highwater.ended().is_none(), "{}", highwater.log());
            (!prometheus.query(&all).is_empty()).then_some(())
        });
    };
    let mut highwater = log.run(port);
    scrape(&mut highwater, 8);
    highwater.sigterm();
    assert!(highwater.wait(DEADLINE).success(), "{}", highwater.log());
    // An increase is what comes after a first scrape. Fewer than before, so that a counter that began anew shows.
    log.produce(customers, &refused(4));
    let mut highwater = log.run(port);
    scrape(&mut highwater, 2);

    let mut scraped = prometheus.scraped();
    // There only while a store is restored, which here takes no time, with a sink, with Redis or with Postgres: as they are
    // declared.
    let of_others = ["highwater_sink_", "highwater_last_sync_", "highwater_pg_"];
    let of_others = names::ALL.iter().filter(|name| of_others.iter().any(|prefix| name.name.starts_with(prefix)));
    let outcomes = ["written", "failed", "dropped"];
    let known = |label: &str| -> BTreeSet<String> {
        match label {
            "status" => WalStatus::ALL.iter().map(|status| status.as_str().to_owned()).collect(),
            "outcome" => outcomes.iter().map(|outcome| (*outcome).to_owned()).collect(),
            _ => BTreeSet::new(),
        }
    };
    for name in of_others.chain([&names::RESTORE_REMAINING_RECORDS]) {
        let suffix = if name.kind == names::Kind::Histogram { "_bucket" } else { "" };
        let labels = name.labels.iter().chain(&["application", "instance", "job"]);
        let labels = labels.chain(if suffix.is_empty() { &[][..] } else { &["le"] });
        scraped
            .entry(format!("{}{suffix}", name.name))
            .or_insert_with(|| labels.map(|l| (l.to_string(), known(l))).collect());
    }

    let dashboard = files::json("dashboards/highwater.json");
    let mut expressions = dashboard_expressions(&dashboard);
    expressions
        .extend(rules().iter().map(|rule| (rule["alert"].to_string(), rule["expr"].as_str().expect("one").to_owned())));
    assert!(expressions.len() > 30, "{}", expressions.len());
    let mut wrong = Vec::new();
    for (place, expression) in &expressions {
        prometheus.query(expression);
        wrong.extend(missing(expression, &scraped).into_iter().map(|what| format!("{place}: {what} of {expression}")));
    }
    assert!(wrong.is_empty(), "not in what was scraped:\n{}", wrong.join("\n"));
    // And the check would notice.
    for (expression, expected) in [
        ("sum by (stream) (highwater_consumer_lag_records)", "highwater_consumer_lag_records by stream"),
        ("highwater_lag > 1", "highwater_lag"),
        ("highwater_tasks{status=\"running\"}", "highwater_tasks{status}"),
        (
            "highwater_dead_letters_total{reason=~\"not_json|unlisted\"}",
            "highwater_dead_letters_total{reason=~unlisted}",
        ),
    ] {
        assert_eq!(missing(expression, &scraped), [expected]);
    }

    // An alert as a person reads it.
    let alerts = wait_until(DEADLINE, "alerts of refused rows", || {
        let alerts = prometheus.get("/api/v1/alerts")["data"]["alerts"].as_array().expect("a list").clone();
        let firing = |name: &str| alerts.iter().any(|a| a["labels"]["alertname"] == name && a["state"] == "firing");
        (firing("HighwaterColumnRefused") && firing("HighwaterDeadLetters")).then_some(alerts)
    });
    let refused = alerts.iter().find(|a| a["labels"]["alertname"] == "HighwaterColumnRefused").expect("it fires");
    assert_eq!(refused["annotations"]["summary"], "rows of customers are refused: rule_without_column");
    assert!(!json!(alerts).to_string().contains("error expanding"), "{alerts:?}");
    highwater.sigterm();
    assert!(highwater.wait(DEADLINE).success(), "{}", highwater.log());
}
