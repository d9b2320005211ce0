//! `highwater consume`: records in, lines out.

pub(super) mod from;
pub(super) mod reading;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::log::{Client, Isolation, TopicPartition};
use crate::record::Record;
use crate::topology::{Cluster, duration};

use super::cluster_arg::{ClusterArg, Connection, Ending};
use super::lines::{Marks, OutputFormat};
use super::produce::topic_name;
use super::run::stop_flag;
use super::{FAILED, INTERRUPTED, tell};
use from::From;
use reading::{Reading, Sink};

const EXAMPLES: &str = "\
Examples:
  highwater consume orders                         everything that is there, KEY<TAB>VALUE
  highwater consume orders --from -10 -F           the last ten of each partition, and what comes
  highwater consume orders --format json --count 1 | jq
  highwater consume orders --format value | jq .total
  highwater consume orders --embedded=state/log    no Kafka at all
  highwater consume orders --format json > orders.jsonl
  highwater produce orders --format json < orders.jsonl

Plain lines are for reading: a tab in a key, a line break, or a null among empty
values does not survive in them, and what does not is told on stderr. --format
json carries every byte, and headers, partition and timestamp too.

Nothing is committed and no consumer group is joined. Records of several
partitions come in no order among each other.";

/// Write records of a topic to standard output, as lines.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The topics
    #[arg(value_name = "TOPIC", required = true, value_parser = topic_name)]
    topics: Vec<String>,
    #[command(flatten)]
    cluster: ClusterArg,
    /// Where to begin: `earliest`, `latest` (what is written from now on), an offset, or -N: the last N records, all
    /// of it in each partition
    #[arg(long, value_name = "WHERE", default_value = "earliest", allow_hyphen_values = true, value_parser = from::parse)]
    from: From,
    /// Only these partitions, repeatable
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
    /// Stop after so many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Go on when the end is reached
    #[arg(short = 'F', long)]
    follow: bool,
    /// Whether to see records of transactions that are open or were aborted
    #[arg(long, value_enum, default_value_t = Seen::Committed)]
    isolation: Seen,
    /// How long to wait, without --follow, for an open transaction to end, and for a log that does not answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// What a line is
    #[arg(long, value_enum, default_value_t = OutputFormat::Lines)]
    format: OutputFormat,
    #[command(flatten)]
    marks: Marks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Seen {
    /// No
    #[value(name = "read_committed")]
    Committed,
    /// Yes
    #[value(name = "read_uncommitted")]
    Uncommitted,
}

pub fn run(args: &Args) -> ExitCode {
    let cluster = match args.cluster.resolve() {
        Ok(cluster) => cluster,
        Err(code) => return code,
    };
    let mut lines = Lines::new(args);
    let outcome = consume(args, &cluster, &mut lines);
    let outcome = outcome.and(lines.flush().map_err(Ending::Failed));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // There is no other way to end that.
        Err(Ending::Interrupted) if args.follow => ExitCode::SUCCESS,
        Err(Ending::Interrupted) => {
            tell("interrupted");
            ExitCode::from(INTERRUPTED)
        }
        Err(Ending::Failed(error)) => {
            tell(format!("error: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn consume(args: &Args, cluster: &Cluster, lines: &mut Lines<'_>) -> Result<(), Ending> {
    if let Cluster::Embedded(path) = cluster
        && !path.exists()
    {
        return Err(Ending::Failed(format!("there is no embedded log in {}", path.display())));
    }
    let stop = stop_flag().map_err(|e| format!("cannot listen for signals: {e}"))?;
    let stopped = || stop.load(Ordering::SeqCst);
    let connection = Connection::open(cluster, Client::named("highwater-consume"), &stopped)?;
    let isolation = match args.isolation {
        Seen::Committed => Isolation::Committed,
        Seen::Uncommitted => Isolation::Uncommitted,
    };
    let reading = |follow| Reading { connection: &connection, isolation, follow, patience: args.timeout };
    let mut spans = Vec::new();
    for tp in partitions(args, &connection)? {
        let bounds = connection.ask(|admin| admin.bounds(&tp))?;
        let mut span = args.from.span(tp, bounds)?;
        if let From::Last(most) = args.from {
            from::shorten(&reading(false), &mut span, most)?;
        }
        spans.push(span);
    }
    reading(args.follow).run(&spans, lines)
}

/// The partitions that are to be read.
fn partitions(args: &Args, connection: &Connection<'_>) -> Result<Vec<TopicPartition>, Ending> {
    let mut found = Vec::new();
    for topic in &args.topics {
        let Some(info) = connection.ask(|admin| admin.describe(topic))? else {
            return Err(Ending::Failed(connection.unknown(topic)?));
        };
        if let Some(partition) = args.partition.iter().find(|partition| **partition >= info.partitions) {
            let last = info.partitions - 1;
            return Err(Ending::Failed(format!("topic {topic} has no partition {partition}, its last one is {last}")));
        }
        let wanted = |partition: &i32| args.partition.is_empty() || args.partition.contains(partition);
        found.extend(
            (0..info.partitions).filter(wanted).map(|partition| TopicPartition::new(topic.as_str(), partition)),
        );
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Records as lines on standard output.
struct Lines<'a> {
    args: &'a Args,
    left: Option<u64>,
    buffer: Vec<u8>,
    /// Nobody reads them any more, which is no failure: `| head`.
    closed: bool,
    failed: Option<String>,
    warned: bool,
}

/// Written at once when it is so long.
const BUFFER: usize = 64 << 10;

impl<'a> Lines<'a> {
    fn new(args: &'a Args) -> Self {
        Self { args, left: args.count, buffer: Vec::new(), closed: false, failed: None, warned: false }
    }

    fn write(&mut self) -> bool {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(&self.buffer).and_then(|()| stdout.flush());
        self.buffer.clear();
        if let Err(error) = written {
            match error.kind() {
                ErrorKind::BrokenPipe => self.closed = true,
                _ => self.failed = Some(format!("cannot write to standard output: {error}")),
            }
        }
        !self.closed && self.failed.is_none()
    }

    /// Writes what is left, and tells what failed.
    fn flush(mut self) -> Result<(), String> {
        if !self.closed && self.failed.is_none() {
            self.write();
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// Once is enough.
    fn warn(&mut self, record: &Record<'_>) {
        if !std::mem::replace(&mut self.warned, true) {
            let Record { topic, partition, offset, .. } = record;
            tell(format!(
                "warning: offset {offset} of {topic}-{partition}, and maybe others, cannot be told from a different record \
                 (a separator, a line break or a null): see --null, or --format json"
            ));
        }
    }
}

impl Sink for Lines<'_> {
    fn take(&mut self, record: &Record<'_>) -> bool {
        if !self.args.marks.write(self.args.format, record, &mut self.buffer) {
            self.warn(record);
        }
        self.left = self.left.map(|left| left - 1);
        self.left != Some(0) && (self.buffer.len() < BUFFER || self.write())
    }

    fn pause(&mut self) -> bool {
        self.buffer.is_empty() || self.write()
    }
}
