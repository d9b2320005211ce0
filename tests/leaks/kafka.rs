//! On a real Kafka: every topic but the sources, record by record and as raw segments; stores, logs, pages.

use std::path::Path;

use highwater::cli::leaks::{Kind, Search, Searcher, Values};

use crate::canaries::{EVERYTHING, all, lines, with_secret};
use crate::support::bad::{OUTPUTS, RULES, topology};
use crate::support::changes::SECRET;
use crate::support::process::page;
use crate::support::{Broker, DEADLINE, Dir, Highwater, Line, wait_until};

/// Transactions so long that kills land inside, and nothing compressed, so that segments can be read as they lie.
pub fn deployment(name: &str) -> String {
    let topology = topology(name, &format!("{{ dead_letter: {{ topic: {name}.letters }} }}"));
    let topology = topology
        .replace("'${BROKERS}' }", "'${BROKERS}', compression.type: none }\ncommit_interval: 200ms\nthreads: 2");
    topology + &EVERYTHING.replace("NAME", name)
}

pub fn create_topics(broker: &Broker, name: &str) {
    for topic in OUTPUTS.iter().chain(&["everything"]) {
        let source = if *topic == "everything" { "leaks.everything".to_owned() } else { format!("bad.{topic}") };
        broker.create_topic(&source, 2, &[]);
        // Indexes are made in their full size, mostly empty: small ones are quicker searched.
        let limit = ("max.message.bytes", if *topic == "small" { "100000" } else { "1048588" });
        broker.create_topic(&format!("{name}.{topic}"), 2, &[limit, ("segment.index.bytes", "65536")]);
    }
    broker.create_topic(&format!("{name}.letters"), 1, &[("segment.index.bytes", "65536")]);
}

pub fn sources() -> Vec<String> {
    OUTPUTS.iter().map(|stream| format!("bad.{stream}")).chain(["leaks.everything".to_owned()]).collect()
}

fn spawn(broker: &Broker, name: &str, dir: &Dir) -> Highwater {
    std::fs::write(dir.join("rules.yaml"), RULES).expect("the rules");
    let env = [("BROKERS", broker.bootstrap()), ("SALT", SECRET.into()), ("HIGHWATER_LOG", "trace".to_owned())];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Highwater::spawn(&deployment(name), &env, dir.path())
}

fn committed(broker: &Broker, group: &str) -> i64 {
    sources().iter().flat_map(|topic| broker.committed(group, topic).into_values()).sum()
}

fn ends(broker: &Broker) -> i64 {
    sources().iter().flat_map(|topic| broker.end_offsets(topic).into_values()).sum()
}

/// Runs it through these lines, killed as often in between; then stops it. Pages of the last one are searched.
fn run(broker: &Broker, name: &str, dir: &Dir, kills: usize, lines: &[Line], search: &mut Search<'_>) {
    let mut parts = lines.chunks(lines.len().div_ceil(kills + 1));
    // Something to do for each of them.
    let mut produce = || drop(broker.produce(parts.next().expect("a part")));
    for kill in 0..kills {
        produce();
        let mut highwater = spawn(broker, name, dir);
        let before = committed(broker, name);
        highwater.wait_for_log("running worker=");
        if kill % 2 == 1 {
            wait_until(DEADLINE, "a commit", || {
                (committed(broker, name) > before || before == ends(broker)).then_some(())
            });
        }
        highwater.sigkill();
    }
    produce();
    let mut highwater = spawn(broker, name, dir);
    wait_until(DEADLINE, "the end of the sources", || (committed(broker, name) >= ends(broker)).then_some(()));
    for path in ["/", "/metrics", "/healthz", "/readyz", "/nowhere"] {
        search.text(Kind::Page, path, page(&mut highwater, path).1.as_bytes());
    }
    highwater.sigterm();
    assert!(highwater.wait(DEADLINE).success(), "{}", highwater.log());
}

/// Everything in the broker's data directory but what it keeps of sources.
fn search_segments(search: &mut Search<'_>, data: &Path) {
    let sources = sources();
    let is_source = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str())?;
        let (topic, _) = name.rsplit_once('-')?;
        sources.iter().any(|source| source == topic).then(|| "a source".to_owned())
    };
    search.files(data, &is_source).expect("segments");
    assert_eq!(search.left_out.len(), 2 * sources.len(), "every partition of a source, and nothing else");
}

#[test]
fn no_byte_outside_of_the_sources_holds_a_personal_value() {
    let broker = Broker::start();
    let (name, dir) = ("proof", Dir::new("leaks-kafka"));
    create_topics(&broker, name);
    let searcher = Searcher::new(&Values::of(&with_secret()).expect("values")).expect("a searcher");
    let mut search = Search::new(&searcher);
    run(&broker, name, &dir, 6, &lines(2), &mut search);

    let topics: Vec<String> = broker.topics().into_keys().filter(|topic| !sources().contains(topic)).collect();
    for topic in
        ["__consumer_offsets", "__transaction_state", "proof-everything-leaks.everything-changelog", "proof.letters"]
    {
        assert!(topics.iter().any(|there| there == topic), "{topics:?}");
    }
    topics.iter().for_each(|topic| broker.search(&mut search, Kind::Topic, topic));
    let letters = broker.read_all("proof.letters", crate::support::Isolation::Committed).len();
    assert!(letters >= 100, "{letters} dead letters");
    search.files(dir.path(), &|_| None).expect("stores and logs");
    broker.logs().iter().for_each(|log| search.files(log, &|_| None).expect("a log"));
    search_segments(&mut search, &broker.data());

    let segments = search.places.iter().filter(|place| place.name.ends_with(".log") && place.bytes > 0).count();
    let entries: u64 = search.places.iter().filter(|place| place.kind == Kind::Store).map(|place| place.records).sum();
    println!(
        "Kafka: {} bytes in {} places searched for {} canaries in {} forms; {letters} dead letters, {entries} entries of stores, \
         {segments} logs and segments",
        search.bytes(),
        search.places.len(),
        all().len() + 1,
        highwater::cli::leaks::Form::ALL.len(),
    );
    assert!(segments >= 10 && entries >= 400, "{segments} segments, {entries} entries");
    assert!(search.hits.is_empty(), "{:#?}", search.hits.values().collect::<Vec<_>>());

    crate::tool::finds_nothing_and_then_what_is_planted(&broker, name, &dir);
}
