//! The contest: the same job by Highwater, by bare loops on the same client library, and by Kafka Streams.
//!
//!     make bench                                  1,000,000 records, three rounds, docs/benchmarks.md
//!     make bench ROUNDS=1 RECORDS=200000 REPORT=/tmp/bench.md
//!     make bench PART=latency                     another section of it
//!
//! `bench/workload.rs` is the job, `limit/` and `bench/kafka-streams` are the others, `drain.rs` is a run.

#[path = "../digest.rs"]
mod digest;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../workload.rs"]
mod workload;

mod contestant;
mod drain;
mod filling;
mod limit;
mod live;
mod machine;
mod parts;
mod report;
mod topic;

use std::path::PathBuf;

use clap::Parser;

use contestant::Contestant;
use parts::Part;
use support::{Broker, Dir};
use workload::{FIRST_LSN, Truth, Wide, Workload};

#[derive(Debug, clap::Parser)]
struct Args {
    #[command(subcommand)]
    command: Option<Process>,
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    #[arg(long, default_value_t = 200_000)]
    keys: u64,
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Who takes part, by their words; where it is not given, those that the part is about.
    #[arg(long, value_delimiter = ',')]
    contestants: Vec<String>,
    #[arg(long, value_enum, default_value_t = Part::Throughput)]
    part: Part,
    /// Instead of the part's own numbers of keys, partitions, or milliseconds from commit to commit.
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<u64>,
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md"))]
    report: PathBuf,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What this program starts itself as.
#[derive(Debug, clap::Subcommand)]
enum Process {
    #[command(hide = true)]
    Limit(limit::Args),
}

/// What all parts of the contest share.
struct Setting {
    broker: Broker,
    dir: Dir,
    workload: Workload,
    partitions: i32,
    rounds: usize,
    contestants: Vec<Contestant>,
    sizes: Vec<u64>,
    report: PathBuf,
}

impl Setting {
    /// Those that were asked for, else the part's.
    fn contestants(&self, usual: &[Contestant]) -> Vec<Contestant> {
        if self.contestants.is_empty() { usual.into() } else { self.contestants.clone() }
    }

    fn sizes(&self, usual: &[u64]) -> Vec<u64> {
        if self.sizes.is_empty() { usual.into() } else { self.sizes.clone() }
    }

    fn loaded(&self, truth: &Truth) -> String {
        format!(
            "{} records of {} bytes on average in {} partitions, {} of them to be accepted, of {} keys; {} stale, {} tombstones. \
             {}; medians of {} rounds.",
            truth.records,
            truth.bytes / truth.records,
            self.partitions,
            truth.accepted.rows,
            truth.accepted.keys,
            truth.stale,
            truth.tombstones,
            machine::description(),
            self.rounds
        )
    }

    fn write(&self, heading: &str, text: &str) {
        report::write(&self.report, heading, text);
    }
}

/// What a broker in the field has, where `tools/kafka-broker` has what suits tests.
const PROPERTIES: &str = "\
log.cleaner.backoff.ms=15000
transaction.abort.timed.out.transaction.cleanup.interval.ms=10000
# Files of deleted topics go before the next run, not during it.
log.segment.delete.delay.ms=500
";

fn contestants(words: &[String]) -> Vec<Contestant> {
    let find = |word: &String| Contestant::ALL.into_iter().find(|one| one.word() == word);
    let all: Vec<&str> = Contestant::ALL.iter().map(|one| one.word()).collect();
    let of = |word| find(word).unwrap_or_else(|| panic!("{word:?} does not take part; there are {}", all.join(", ")));
    words.iter().map(of).collect()
}

fn main() {
    let args = Args::parse();
    if let Some(Process::Limit(args)) = &args.command {
        limit::run(args);
    }
    let contestants = contestants(&args.contestants);
    if contestants.is_empty() || contestants.contains(&Contestant::KafkaStreams) {
        contestant::compile_kafka_streams();
    }
    let dir = Dir::new("contest");
    let properties = dir.join("broker.properties");
    std::fs::write(&properties, PROPERTIES).expect("a file");
    let broker = Broker::start_with(|| vec!["--properties".into(), properties.display().to_string()]);
    let workload = Workload {
        records: args.records,
        keys: args.keys,
        seed: args.seed,
        wide: Wide::default(),
        first_lsn: FIRST_LSN,
    };
    let Args { part, partitions, rounds, sizes, report, .. } = args;
    parts::run(part, &Setting { broker, dir, workload, partitions, rounds, contestants, sizes, report });
}
