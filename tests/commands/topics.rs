//! The topics that a topology needs, on a real Kafka and on the embedded log.

use std::fs;

use highwater::engine::cluster;
use highwater::log::{Client, TopicInfo};
use highwater::topology::Cluster;

use crate::said::{Said, highwater};
use crate::support::{Broker, Dir};

/// A log, and a prefix of this test's own for names on it.
struct Place {
    dir: Dir,
    kafka: Option<&'static Broker>,
    prefix: &'static str,
}

impl Place {
    fn new(kafka: Option<&'static Broker>, prefix: &'static str) -> Self {
        let dir = Dir::new("topics");
        let log = match kafka {
            Some(broker) => format!("kafka: {{ bootstrap.servers: '{}' }}", broker.bootstrap()),
            None => "embedded: log".to_owned(),
        };
        let text = format!(
            "application: {prefix}\n{log}\nsecrets: {{ pii: '${{HIGHWATER_TEST_UNSET}}' }}\n\
             defaults: {{ on_error: {{ dead_letter: {prefix}.dead }} }}\nstreams:\n  one:\n    from: {prefix}.src.one\n    \
             steps: [dedup, {{ mask: {{ unlisted: drop, fields: {{ email: hash }} }} }}]\n    to: {prefix}.out.one\n  \
             more:\n    from: {{ pattern: '{prefix}\\.src\\.(?<table>two|three)' }}\n    \
             steps: [dedup, {{ mask: none }}]\n    to: '{prefix}.out.{{table}}'\n"
        );
        fs::write(dir.join("topology.yaml"), text).expect("a file");
        Self { dir, kafka, prefix }
    }

    fn create(&self, args: &[&str]) -> Said {
        let args: Vec<&str> = ["topics", "create"].iter().chain(args).copied().collect();
        highwater(self.dir.path(), &args, &[], "")
    }

    fn cluster(&self) -> Cluster {
        match self.kafka {
            Some(broker) => Cluster::Kafka([("bootstrap.servers".to_owned(), broker.bootstrap())].into()),
            None => Cluster::Embedded(self.dir.join("log")),
        }
    }

    fn describe(&self, topic: &str) -> Option<TopicInfo> {
        let log = cluster::connect(&self.cluster(), Client::named("tests")).expect("a log");
        log.admin().describe(&format!("{}{topic}", self.prefix)).expect("an answer")
    }

    fn make(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let log = cluster::connect(&self.cluster(), Client::named("tests")).expect("a log");
        log.admin().create(&format!("{}{topic}", self.prefix), partitions, settings).expect("a topic");
    }

    fn partitions(&self, topic: &str) -> Option<i32> {
        self.describe(topic).map(|info| info.partitions)
    }
}

/// Every case below, on both logs.
macro_rules! on_both {
    ($($case:ident = $prefix:literal),* $(,)?) => {
        mod kafka {
            $(#[test] fn $case() { super::$case(&super::Place::new(Some(crate::support::Broker::shared()), $prefix)) })*
        }
        mod embedded { $(#[test] fn $case() { super::$case(&super::Place::new(None, $prefix)) })* }
    };
}

on_both![
    nothing_is_there = "fresh",
    sources_are_there = "sources",
    what_is_there_is_never_changed = "there",
    a_changelog_that_does_not_fit = "misfit",
];

fn nothing_is_there(log: &Place) {
    let said = log.create(&[]).ended(0).silent();
    let said = said.says(&["missing, left alone", "--sources", "nothing was changed; --execute creates 4 topics"]);
    assert!(said.stdout.contains("fresh.src.three"), "a finite pattern is listed: {}", said.stdout);
    assert!(!log.dir.join("log").exists(), "a look made the log");
    for topic in [".src.one", ".out.one", ".dead"] {
        assert_eq!(log.partitions(topic), None, "{topic}");
    }
    if log.kafka.is_none() {
        fs::remove_dir_all(log.dir.join("log")).expect("what the look of the test made");
    }
    let args = ["--sources", "--partitions", "3", "--execute"];
    log.create(&args).ended(0).silent().says(&["created 10 topics on "]);
    for topic in ["one", "two", "three"] {
        let source = log.describe(&format!(".src.{topic}")).expect("a source");
        assert_eq!((source.partitions, source.compacted_only), (3, false));
        assert_eq!(log.partitions(&format!(".out.{topic}")), Some(3));
        let stream = if topic == "one" { "one" } else { "more" };
        let changelog = log.describe(&format!("-{stream}-fresh.src.{topic}-changelog")).expect("a changelog");
        assert_eq!((changelog.partitions, changelog.compacted_only), (3, true));
    }
    assert_eq!(log.partitions(".dead"), Some(1));
    for args in [&args[..], &[]] {
        log.create(args).ended(0).silent().says(&["nothing is missing\n"]);
    }
}

fn sources_are_there(log: &Place) {
    log.make(".src.one", 2, &[("max.message.bytes", "2000000")]);
    log.make(".src.two", 5, &[]);
    let said = log.create(&["--execute"]).ended(0).silent();
    said.says(&["created 6 topics", "max.message.bytes=2000000", "sources.src.three is a connector's to make"]);
    let one = log.describe(".out.one").expect("an output");
    assert_eq!((one.partitions, one.max_message_bytes, one.compacted_only), (2, 2_000_000, false));
    assert_eq!(log.partitions(".out.two"), Some(5));
    // Its source is not there to go by.
    assert_eq!(log.partitions(".out.three"), Some(4));
    assert_eq!(log.partitions(".src.three"), None);
    assert_eq!(log.partitions("-more-sources.src.three-changelog"), None);
    assert_eq!(log.partitions("-more-sources.src.two-changelog"), Some(5));
}

fn what_is_there_is_never_changed(log: &Place) {
    for topic in [".src.one", ".src.two", ".src.three"] {
        log.make(topic, 2, &[("max.message.bytes", "2000000")]);
    }
    log.make(".out.one", 1, &[("max.message.bytes", "2000000")]);
    log.make(".out.two", 2, &[]);
    let said = log.create(&["--execute"]).ended(0).silent();
    said.says(&[
        "exists, see below",
        "note: there.out.one has 1 partitions and its source 2: that works",
        "note: there.out.two takes 1048588 bytes and its source 2000000",
        "created 5 topics",
    ]);
    assert_eq!(log.partitions(".out.one"), Some(1));
    assert_eq!(log.describe(".out.two").expect("an output").max_message_bytes, 1_048_588);
}

fn a_changelog_that_does_not_fit(log: &Place) {
    log.make(".src.one", 2, &[]);
    log.make(".src.two", 2, &[]);
    log.make("-one-misfit.src.one-changelog", 3, &[("cleanup.policy", "compact")]);
    log.make("-more-misfit.src.two-changelog", 2, &[("cleanup.policy", "delete")]);
    let said = log.create(&["--execute"]).ended(1).silent();
    said.says(&[
        "differs",
        "error: misfit.src.one has 2 partitions, its changelog misfit-one-misfit.src.one-changelog has 3",
        "error: misfit-more-misfit.src.two-changelog must have cleanup.policy=compact",
        "nothing was created: mend first what differs",
    ]);
    assert_eq!(log.partitions(".out.one"), None, "a cluster that half fits is left alone");
}

#[test]
fn copies_are_a_matter_of_the_cluster() {
    let kafka = Place::new(Some(Broker::shared()), "copies");
    // One broker cannot keep two.
    kafka
        .create(&["--replication-factor", "2", "--execute"])
        .ended(1)
        .complains(&["create topic copies.", "InvalidReplicationFactor"]);
    let said = kafka.create(&["--replication-factor", "1", "--execute"]).ended(0).silent();
    said.says(&["created 4 topics"]);
    kafka.create(&["--replication-factor", "0"]).ended(2);
    let embedded = Place::new(None, "copies");
    let args = ["--replication-factor", "3", "--execute"];
    embedded.create(&args).ended(1).complains(&["the embedded log keeps one copy"]);
}

#[test]
fn a_log_is_named_by_the_topology_or_by_a_flag() {
    let place = Place::new(None, "named");
    place.create(&["--embedded=other", "--execute"]).ended(0).silent().says(&["the embedded log in other"]);
    assert!(place.dir.join("other").exists() && !place.dir.join("log").exists());
    let text = "application: '${SHOP}'\nkafka: { bootstrap.servers: '127.0.0.1:1' }\nstreams:\n  \
                s: { from: 'in', steps: [dedup, mask: none], to: out }\n";
    fs::write(place.dir.join("topology.yaml"), text).expect("a file");
    place.create(&[]).ended(78).complains(&["error", "SHOP", "names of topics depend on what is not set"]);
    fs::write(place.dir.join("topology.yaml"), text.replace("${SHOP}", "shop")).expect("a file");
    place.create(&[]).ended(1).complains(&["error: Kafka at 127.0.0.1:1: "]);
}
