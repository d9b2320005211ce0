//! `highwater leaks`: personal values of the sources, looked for in everything that was written.
//!
//! ```text
//! sources ─▶ sample ─▶ values ─▶ forms ─▶ searcher ─▶ search ◀─ topics, files, stores, pages
//!            personal (by the rules)                    │
//! sources ─▶ explained (what passes elsewhere) ─────────┴─▶ report
//! ```

mod deployment;
mod explained;
mod forms;
mod kept;
mod pages;
mod personal;
mod progress;
mod report;
mod sample;
mod search;
mod searcher;
mod values;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

pub use deployment::Deployment;
pub use forms::{Form, spellings};
pub use progress::Progress;
pub use sample::{Sample, Wish};
pub use search::{Hit, Kind, Place, Search};
pub use searcher::{Found, Searcher, Stream};
pub use values::{Origin, Part, Shortest, Value, Values};

use super::FAILED;
use super::cluster_arg::{Connection, Ending};
use super::consume::from::{self, From};
use super::consume::reading::{Reading, Sink};
use super::file_arg::FileFlag;
use super::produce::topic_name;
use super::topics::on_its_cluster;
use super::validate::{colours, print};
use crate::log::{Client, Isolation, embedded};
use crate::record::Record;
use crate::topology::{Cluster, Topology, duration};
use report::Report;

/// Look for personal values of the sources in everything that was written
///
/// Takes values that must not leave out of the source topics, by the rules of the topology, and searches outputs, dead
/// letters and changelogs for them in every form.
#[derive(Debug, clap::Args)]
#[command(after_help = "`--help` says what is looked for, where, and what a finding is", after_long_help = include_str!("help.txt"))]
pub struct Args {
    #[command(flatten)]
    file: FileFlag,
    /// The embedded log in PATH, or where the topology says, instead of Kafka
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    embedded: Option<Option<PathBuf>>,
    /// The source topics whose values are looked for; without it all of them
    #[arg(long, value_name = "SOURCE", num_args = 1.., value_delimiter = ',', value_parser = topic_name)]
    sample: Vec<String>,
    /// Which of their records: `earliest` (all), an offset and what follows, or -N: the last N, of each partition
    #[arg(long, value_name = "WHERE", default_value = "-100", allow_hyphen_values = true, value_parser = from::parse)]
    from: From,
    /// Look for so many values at most
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    values: u32,
    /// Leave shorter values out, in characters; without it under 6, numbers under 9
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    min_length: Option<u16>,
    /// Search these topics as well
    #[arg(long, value_name = "TOPIC", num_args = 1.., value_delimiter = ',', value_parser = topic_name)]
    topics: Vec<String>,
    /// Search these files and directories as well
    #[arg(long, value_name = "PATH", num_args = 1..)]
    files: Vec<PathBuf>,
    /// Search the pages of these instances as well
    #[arg(long, value_name = "HOST:PORT", num_args = 1.., value_delimiter = ',', value_parser = pages::address)]
    http: Vec<String>,
    /// Take for a leak what the rules let pass elsewhere
    #[arg(long)]
    strict: bool,
    /// How long a log may keep silent
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// The form of the report
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people
    Text,
    /// One object
    Json,
}

pub fn run(args: &Args) -> ExitCode {
    on_its_cluster(&args.file, args.embedded.as_ref(), |topology, stopped| look(args, topology, stopped))
}

fn look(args: &Args, topology: &Topology, stopped: &dyn Fn() -> bool) -> Result<ExitCode, Ending> {
    if let Cluster::Embedded(path) = &topology.cluster
        && !path.exists()
    {
        return Err(Ending::Failed(format!("there is no embedded log in {}", path.display())));
    }
    if let Some(path) = args.files.iter().find(|path| !path.exists()) {
        return Err(Ending::Failed(format!("there is no {}", path.display())));
    }
    let mut progress = Progress::on_a_terminal();
    let connection = Connection::open(&topology.cluster, Client::named("highwater-leaks"), stopped)?;
    let deployment = Deployment::of(topology, &connection)?;
    let length = args.min_length.map(usize::from);
    let shortest = length.map_or(Shortest::default(), |length| Shortest { text: length, digits: length });
    let sources = deployment.chosen(&args.sample)?;
    progress.begin("reading the sources", 0);
    let most = args.values as usize;
    let wish = Wish { sources: &sources, from: args.from, most, shortest, patience: args.timeout };
    let sample = Sample::take(&deployment, &connection, &wish)?;
    if sample.values.is_empty() {
        return Err(Ending::Failed(nothing_to_look_for(&deployment, &sample)));
    }
    let searcher = Searcher::new(&sample.values)?;
    let mut search = Search::new(&searcher);
    search_topics(&mut search, &deployment, &connection, &args.topics, args.timeout, &mut progress)?;
    for path in &args.files {
        progress.begin(format!("searching {}", path.display()), 0);
        let sources = Sources { deployment: &deployment };
        search.files(path, &|path| sources.lie_in(path))?;
    }
    for address in &args.http {
        pages::search(&mut search, address)?;
    }
    if stopped() {
        return Err(Ending::Interrupted);
    }
    if search.places.is_empty() {
        return Err(Ending::Failed("nothing was searched: no topic that the topology writes is there".into()));
    }
    let found = search.found();
    let passages = match found.is_empty() {
        true => Default::default(),
        false => {
            progress.begin("reading the sources again, for what passes", 0);
            explained::passages(&deployment, &connection, &searcher, &found, args.timeout)?
        }
    };
    drop(progress);
    let report = Report { sample: &sample, search: &search, passages: &passages, shortest };
    let printed = print(&match args.output {
        Output::Text => report.text(colours(&std::io::stdout())),
        Output::Json => format!("{:#}\n", report.json()),
    });
    let clean = report.leaked().is_empty() && (passages.is_empty() || !args.strict);
    Ok(if clean { printed } else { ExitCode::from(FAILED) })
}

fn nothing_to_look_for(deployment: &Deployment<'_>, sample: &Sample) -> String {
    let records: u64 = sample.records.values().sum();
    let why = match (deployment.sources.is_empty(), records) {
        (true, _) => "no source topic is there".to_owned(),
        (false, 0) => "the source topics hold no record from there on".to_owned(),
        (false, _) if sample.values.too_short() > 0 => {
            format!("all {} personal values are too short: see --min-length", sample.values.too_short())
        }
        (false, records) => format!("{records} records hold no value that must not leave"),
    };
    format!("nothing to look for: {why}")
}

/// Records on their way into the search.
struct Searching<'a, 's> {
    search: &'a mut Search<'s>,
    place: usize,
    progress: &'a mut Progress,
}

impl Sink for Searching<'_, '_> {
    fn take(&mut self, record: &Record<'_>) -> bool {
        self.search.record(self.place, record);
        self.progress.step(1);
        true
    }

    fn pause(&mut self) -> bool {
        true
    }
}

/// Every topic that is written and every other of these names, open and aborted records included; and what an embedded log
/// keeps beside its topics.
pub fn search_topics(
    search: &mut Search<'_>,
    deployment: &Deployment<'_>,
    connection: &Connection<'_>,
    others: &[String],
    patience: Duration,
    progress: &mut Progress,
) -> Result<(), Ending> {
    let mut topics: Vec<(Kind, &str)> =
        deployment.written.iter().map(|(kind, topic)| (*kind, topic.as_str())).collect();
    for other in others {
        if deployment.sources.contains(other) {
            return Err(Ending::Failed(format!("{other} is a source: its values are what is looked for")));
        }
        if connection.ask(|admin| admin.describe(other))?.is_none() {
            return Err(Ending::Failed(connection.unknown(other)?));
        }
        if !topics.iter().any(|(_, topic)| topic == other) {
            topics.push((Kind::Topic, other));
        }
    }
    let reading = Reading { connection, isolation: Isolation::Uncommitted, follow: false, patience };
    for (kind, topic) in topics {
        let spans = sample::spans(&reading, topic, From::Earliest)?;
        let records = spans.iter().map(|span| span.end - span.next).sum::<i64>();
        progress.begin(format!("searching {topic}"), records.unsigned_abs());
        let place = search.place(kind, topic);
        reading.run(&spans, &mut Searching { search, place, progress })?;
    }
    if let Cluster::Embedded(path) = connection.cluster {
        search_database(search, deployment, path)?;
    }
    Ok(())
}

fn search_database(search: &mut Search<'_>, deployment: &Deployment<'_>, path: &Path) -> Result<(), Ending> {
    let is_source = |topic: &str| deployment.sources.iter().any(|source| source == topic);
    let name = path.display().to_string();
    let place = search.place(Kind::Store, &name);
    let visited = embedded::each_entry(path, &is_source, &mut |key, value| search.entry(place, "the log", key, value));
    visited.map_err(Ending::Failed)
}

/// Directories that hold the sources themselves.
struct Sources<'a> {
    deployment: &'a Deployment<'a>,
}

impl Sources<'_> {
    fn lie_in(&self, path: &Path) -> Option<String> {
        if let Cluster::Embedded(log) = &self.deployment.topology.cluster
            && let (Ok(log), Ok(path)) = (log.canonicalize(), path.canonicalize())
            && log == path
        {
            return Some("the embedded log, which holds the sources; it is searched record by record".into());
        }
        let name = path.file_name()?.to_str()?;
        let (topic, partition) = name.rsplit_once('-')?;
        let is_source =
            partition.parse::<u32>().is_ok() && self.deployment.sources.iter().any(|source| source == topic);
        is_source.then(|| "a partition of a source, as Kafka keeps it".into())
    }
}
