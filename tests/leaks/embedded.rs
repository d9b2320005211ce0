//! On the embedded log: its topics, all that its database keeps beside the sources, stores and logs.

use std::path::Path;

use highwater::cli::leaks::{Kind, Search, Searcher, Values};
use highwater::log::embedded::{self, EmbeddedLog};
use highwater::log::{Client, Log, Outgoing, TopicPartition};
use serde_json::json;

use crate::canaries::{EVERYTHING, lines, with_secret};
use crate::kafka::sources;
use crate::support::bad::{OUTPUTS, RULES, topology};
use crate::support::changes::SECRET;
use crate::support::{DEADLINE, Dir, Highwater, Line, wait_until};
use crate::tool::{leaks, planted, report, value};

const NAME: &str = "inside";

pub fn deployment() -> String {
    let topology = topology(NAME, &format!("{{ dead_letter: {{ topic: {NAME}.letters }} }}"));
    let topology =
        topology.replace("kafka: { bootstrap.servers: '${BROKERS}' }", "embedded: log\ncommit_interval: 50ms");
    topology + &EVERYTHING.replace("NAME", NAME)
}

pub fn open(dir: &Path) -> EmbeddedLog {
    let client = Client { group: NAME.into(), ..Client::named("test") };
    // The process that had it is gone; the system may take a moment to let go of its lock.
    wait_until(DEADLINE, "the embedded log to be free", || EmbeddedLog::open(&dir.join("log"), client.clone()).ok())
}

pub fn create_topics(log: &dyn Log) {
    sources().iter().for_each(|source| log.admin().create(source, 1, &[]).expect("a source"));
    for topic in OUTPUTS.iter().chain(&["everything", "letters"]) {
        let limit: &[(&str, &str)] = if *topic == "small" { &[("max.message.bytes", "100000")] } else { &[] };
        log.admin().create(&format!("{NAME}.{topic}"), 1, limit).expect("an output");
    }
}

pub fn append(log: &dyn Log, lines: &[Line]) {
    let mut appender = log.appender().expect("an appender");
    for Line { topic, partition, key, value, headers, .. } in lines {
        let headers: Vec<(&str, Option<&[u8]>)> =
            headers.iter().map(|(name, value)| (&**name, value.as_deref())).collect();
        let (key, value) = (key.as_deref(), value.as_deref());
        appender
            .send(&Outgoing { topic, partition: *partition, key, value, headers: &headers, timestamp: None })
            .expect("room");
    }
    appender.flush(DEADLINE).expect("written");
}

/// Everything that was there is processed.
fn is_done(log: &dyn Log) -> bool {
    let partitions: Vec<_> = sources().iter().map(|source| TopicPartition::new(source.as_str(), 0)).collect();
    let ends = partitions.iter().map(|tp| log.admin().bounds(tp).expect("bounds").end);
    let committed = log.group_consumer(9).expect("a consumer").committed(&partitions, std::time::Duration::ZERO);
    committed.is_ok_and(|committed| committed.into_iter().map(|offset| offset.unwrap_or(0)).eq(ends))
}

#[test]
fn no_byte_outside_of_the_sources_holds_a_personal_value() {
    let dir = Dir::new("leaks-embedded");
    std::fs::write(dir.join("rules.yaml"), RULES).expect("the rules");
    std::fs::write(dir.join("topology.yaml"), deployment()).expect("a topology");
    {
        let log = open(dir.path());
        create_topics(&log);
        append(&log, &lines(1));
    }
    let env = [("SALT", SECRET), ("HIGHWATER_LOG", "trace")];
    // Killed at some moment of its work, until it has come to the end.
    for round in 0.. {
        assert!(round < 200, "it does not come to the end");
        let mut process = Highwater::command(&["run"], &env, dir.path());
        process.wait_for_log("running worker=");
        std::thread::sleep(std::time::Duration::from_millis(100 + 40 * round));
        assert!(process.ended().is_none(), "{}", process.log());
        process.sigkill();
        if round >= 5 && is_done(&open(dir.path())) {
            break;
        }
    }

    let searcher = Searcher::new(&Values::of(&with_secret()).expect("values")).expect("a searcher");
    let mut search = Search::new(&searcher);
    let is_source = |topic: &str| sources().iter().any(|source| source == topic);
    let place = search.place(Kind::Store, "the log");
    embedded::each_entry(&dir.join("log"), &is_source, &mut |key, value| search.entry(place, "the log", key, value))
        .expect("the database");
    let log = dir.join("log");
    search.files(dir.path(), &|path| (path == log).then(|| "the sources".into())).expect("stores and logs");
    println!("embedded: {} bytes in {} places", search.bytes(), search.places.len());
    assert!(search.places[place].records > 20 && search.places[place].bytes > 1_000_000, "{:?}", search.places[place]);
    assert!(search.hits.is_empty(), "{:#?}", search.hits.values().collect::<Vec<_>>());

    // The command says the same, and finds what is planted: in an output, in a file, in a name.
    let args = ["--from", "earliest", "--files", "state", "logs", "-o", "json"];
    std::fs::create_dir(dir.join("logs")).expect("a directory");
    let said = leaks(dir.path(), &env[..1], &args);
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    append(&open(dir.path()), &[Line::new(&format!("{NAME}.letters"), "{}", &value(1)).at(0)]);
    let forms = highwater::cli::leaks::Form::ALL;
    std::fs::write(dir.join("logs/highwater.log"), planted(forms[3], &value(2))).expect("a file");
    let hex = String::from_utf8(planted(forms[3], &value(3))).expect("hex").replace(['<', '>'], "");
    std::fs::write(dir.join("logs").join(hex), "").expect("a file");
    let said = leaks(dir.path(), &env[..1], &args);
    assert_eq!(said.code, Some(1), "{}\n{}", said.stdout, said.stderr);
    let found = report(&said);
    let kinds: Vec<&str> =
        found["leaked"].as_array().expect("values").iter().filter_map(|v| v["found"][0]["kind"].as_str()).collect();
    assert_eq!(kinds, ["dead letter", "file", "file"], "{found:#}");
}

/// What stands in a column that passes is told apart from a leak, also where it passes in a record that was not sampled.
#[test]
fn what_the_rules_let_pass_elsewhere_is_told_apart() {
    let dir = Dir::new("leaks-passing");
    let topology = "application: app\nembedded: log\nstreams:\n  s:\n    from: in\n    to: out\n    steps: [dedup, { mask: { fields: { name: drop } } }]\n";
    std::fs::write(dir.join("topology.yaml"), topology).expect("a topology");
    let change = |name: &str, note: &str| {
        let row = json!({ "name": name, "note": note });
        Line::new("in", "{}", &json!({ "op": "c", "after": row, "source": {} }).to_string()).at(0)
    };
    {
        let log = open(dir.path());
        ["in", "out"].iter().for_each(|topic| log.admin().create(topic, 1, &[]).expect("a topic"));
        append(&log, &[change("nobody at all", "a call from Maria Garcia"), change("Maria Garcia", "")]);
        append(&log, &[Line::new("out", "{}", r#"{"note":"a call from Maria Garcia"}"#).at(0)]);
    }
    let said = |args: &[&str]| {
        let args = [&["--from", "-1"], args].concat();
        let said = leaks(dir.path(), &[], &args);
        assert!(!said.stdout.contains("Maria") && !said.stderr.contains("Maria"), "{}", said.stdout);
        said
    };
    let told = said(&[]);
    assert_eq!(told.code, Some(0), "{}\n{}", told.stdout, told.stderr);
    for part in [
        "column name of in-0@1",
        "passes by the rules elsewhere: column note of in-0@0",
        ": none found",
        "1 value more",
    ] {
        assert!(told.stdout.contains(part), "{part:?} is missing in\n{}", told.stdout);
    }
    assert_eq!(said(&["--strict"]).code, Some(1));
    assert_eq!(report(&said(&["-o", "json"]))["passing"][0]["passes"]["offset"], 0);
    append(&open(dir.path()), &[Line::new("out", "{}", r#"{"name":"nobody at all"}"#).at(0)]);
    let told = leaks(dir.path(), &[], &["--from", "earliest"]);
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    assert!(told.stdout.contains("output: the value of out-0@1, as plain text"), "{}", told.stdout);
}

/// A proof over nothing is none.
#[test]
fn what_cannot_be_searched_is_no_clean_end() {
    let dir = Dir::new("leaks-nothing");
    let write = |rules: &str| {
        let topology = format!(
            "application: app\nembedded: log\nstreams:\n  s: {{ from: in, to: out, steps: [dedup, {{ mask: {rules} }}] }}\n"
        );
        std::fs::write(dir.join("topology.yaml"), topology).expect("a topology");
    };
    write("{ fields: { name: drop } }");
    let fails = |args: &[&str], text: &str| {
        let said = leaks(dir.path(), &[], args);
        assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{}", said.stderr);
        assert!(said.stderr.contains(text), "{text:?} is missing in\n{}", said.stderr);
    };
    fails(&[], "there is no embedded log in log");
    drop(open(dir.path()));
    fails(&[], "no source topic is there");
    open(dir.path()).admin().create("in", 1, &[]).expect("a topic");
    fails(&[], "hold no record from there on");
    append(&open(dir.path()), &[Line::new("in", "{}", r#"{"op":"c","after":{"name":"ann"},"source":{}}"#).at(0)]);
    fails(&[], "all 1 personal values are too short: see --min-length");
    fails(&["--sample", "im"], "no stream reads a topic `im` that is there, did you mean `in`?");
    fails(&["--min-length", "3", "--topics", "in"], "in is a source");
    fails(&["--min-length", "3", "--topics", "ot"], "no topic `ot`");
    fails(&["--min-length", "3", "--files", "nowhere"], "there is no nowhere");
    fails(&["--min-length", "3", "--http", "127.0.0.1:1"], "cannot get http://127.0.0.1:1/");
    write("none");
    fails(&[], "1 records hold no value that must not leave");
    for wrong in [&["--from", "x"][..], &["--http", "x"], &["--values", "0"]] {
        assert_eq!(leaks(dir.path(), &[], wrong).code, Some(2));
    }
}
