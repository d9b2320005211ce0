//! `highwater produce`: lines in, records out.

mod input;
mod writer;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::log::{Client, Outgoing, TopicInfo};
use crate::telemetry::thousands;
use crate::topology::{check_topic_name, duration};

use super::cluster_arg::{ClusterArg, Connection, Ending};
use super::lines::{InputFormat, Marks, Told, json};
use super::run::stop_flag;
use super::{FAILED, INTERRUPTED, tell};
use input::{Input, Next};
use writer::Writer;

const EXAMPLES: &str = "\
Examples:
  highwater produce orders < orders.tsv          KEY<TAB>VALUE a line; without a TAB a value without a key
  highwater produce orders --null NULL           KEY<TAB>NULL is a tombstone
  highwater produce orders --format json -i orders.jsonl --transaction
  highwater produce orders --embedded=state/log  no Kafka at all
  highwater produce orders --bootstrap broker:9092 -X security.protocol=ssl

A JSON line has `value` and may have `key`, `headers`, `partition`, `timestamp`:
  {\"key\": \"k\", \"value\": {\"id\": 1}, \"headers\": {\"source\": \"shop\"}}
A string is its text, null is null (a tombstone, as `value`), anything else its
own JSON text, byte for byte. Bytes that are no text: `key_base64`,
`value_base64`. What `highwater consume --format json` writes comes out as the
same records.

Without --transaction every record is visible as soon as it is written, and a
wrong line stops after those before it; with it, all lines or none.";

/// Write lines to a topic, as records.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The topic. The embedded log makes it where it is missing
    #[arg(value_name = "TOPIC", value_parser = topic_name)]
    topic: String,
    #[command(flatten)]
    cluster: ClusterArg,
    /// Read this file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// What a line is
    #[arg(long, value_enum, default_value_t = InputFormat::Lines)]
    format: InputFormat,
    #[command(flatten)]
    marks: Marks,
    /// Write all records to this partition, or `key`: each to that of its key. By default a JSON line decides, and
    /// where it does not, its key
    #[arg(long, value_name = "N|key", value_parser = place)]
    partition: Option<Place>,
    /// Stop after so many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// All records in one transaction: all or none
    #[arg(long)]
    transaction: bool,
    /// How long the transaction may take; Kafka's own limit is 15m unless it is set higher. A transaction of a loader
    /// that was killed stays open as long, and holds up those who read committed records
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration, requires = "transaction")]
    transaction_timeout: Duration,
    /// Make the topic where it is missing, on Kafka too
    #[arg(long)]
    create: bool,
    /// How many partitions a topic gets that is made
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
}

/// Where records go, whatever their lines say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Partition(i32),
    ByKey,
}

pub(super) fn topic_name(text: &str) -> Result<String, String> {
    check_topic_name(text).map(|()| text.to_owned())
}

fn place(text: &str) -> Result<Place, String> {
    match text.parse() {
        _ if text == "key" => Ok(Place::ByKey),
        Ok(partition @ 0..) => Ok(Place::Partition(partition)),
        _ => Err("expected a partition, from 0 on, or `key`".into()),
    }
}

pub fn run(args: &Args) -> ExitCode {
    let cluster = match args.cluster.resolve() {
        Ok(cluster) => cluster,
        Err(code) => return code,
    };
    let stop = match stop_flag() {
        Ok(stop) => stop,
        Err(error) => {
            tell(format!("error: cannot listen for signals: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let stopped = || stop.load(Ordering::SeqCst);
    let client = Client {
        // Only a transaction has one.
        transaction_timeout: args.transaction_timeout,
        ..Client::named("highwater-produce")
    };
    let load = || -> Result<(Connection<'_>, Load<'_>), Ending> {
        // A file that is not there is told before a broker is waited for.
        let input = Input::open(args.input.as_deref())?;
        let connection = Connection::open(&cluster, client, &stopped)?;
        let info = topic(args, &connection)?;
        connection.log.limit_batches(info.max_message_bytes);
        let writer = match args.transaction {
            true => Writer::whole(&connection, args.transaction_timeout)?,
            false => Writer::plain(&connection)?,
        };
        Ok((connection, Load { args, info, input, writer, sent: 0, settled: 0 }))
    };
    match load() {
        Ok((connection, load)) => load.run(&connection),
        Err(ending) => exit(&ending),
    }
}

/// Tells why it ended early.
pub(super) fn exit(ending: &Ending) -> ExitCode {
    match ending {
        Ending::Failed(error) => {
            tell(format!("error: {error}"));
            ExitCode::from(FAILED)
        }
        Ending::Interrupted => {
            tell("interrupted");
            ExitCode::from(INTERRUPTED)
        }
    }
}

/// The topic, made where that is wanted.
fn topic(args: &Args, connection: &Connection<'_>) -> Result<TopicInfo, Ending> {
    let (topic, partitions) = (&args.topic, args.partitions);
    if let Some(info) = connection.ask(|admin| admin.describe(topic))? {
        return Ok(info);
    }
    if let Some(hint) = connection.log.admin().creation_hint(topic, partitions).filter(|_| !args.create) {
        let unknown = connection.unknown(topic)?;
        return Err(Ending::Failed(format!("{unknown}\nto make it, say --create, or run\n  {hint}")));
    }
    connection.ask(|admin| admin.create(topic, partitions, &[]))?;
    tell(format!("made topic {topic} with {}", counted(partitions as u64, "partition")));
    let made = connection.ask(|admin| admin.describe(topic))?;
    made.ok_or_else(|| Ending::Failed(format!("topic {topic} was made and is not there")))
}

/// Lines on their way into a topic.
struct Load<'a> {
    args: &'a Args,
    info: TopicInfo,
    input: Input,
    writer: Writer,
    sent: u64,
    /// Of those sent, how many are known to be written.
    settled: u64,
}

/// A pause of the input for so long makes what was sent visible.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a long load waits until all of it is written, so that a failure is told soon.
const SETTLE: Duration = Duration::from_secs(5);

impl Load<'_> {
    fn run(mut self, connection: &Connection<'_>) -> ExitCode {
        let begun = Instant::now();
        let mut progress = Progress::new();
        let pumped = self.pump(connection, &mut progress);
        let done = match &pumped {
            Ok(()) => self.writer.finish(connection).map_err(Ending::Failed),
            // What was read before goes out, unless all belongs together.
            Err(_) if !self.args.transaction => self.writer.settle(connection).map_err(Ending::from),
            Err(_) => Ok(()),
        };
        progress.clear();
        let topic = &self.args.topic;
        let code = match pumped.as_ref().err().or(done.as_ref().err()) {
            None => {
                let how = if self.args.transaction { " in one transaction" } else { "" };
                let (sent, seconds) = (counted(self.sent, "record"), begun.elapsed().as_secs_f64());
                tell(format!("{sent} written to {topic}{how} in {seconds:.1} s"));
                return ExitCode::SUCCESS;
            }
            Some(ending) => exit(ending),
        };
        if let (Err(first), Err(Ending::Failed(error))) = (&pumped, &done)
            && *first != Ending::Failed(error.clone())
        {
            tell(format!("error: {error}"));
        }
        match (self.args.transaction, &done) {
            (true, _) => {
                let how = self.writer.abandon();
                if !how.is_empty() {
                    tell(format!("no record was written to {topic}{how}"));
                }
            }
            (false, Ok(())) => tell(format!("{} written to {topic} before that", counted(self.sent, "record"))),
            (false, Err(_)) => {
                tell(format!("at least {} written to {topic} before that", counted(self.settled, "record")))
            }
        }
        code
    }

    /// Sends line by line until the input ends.
    fn pump(&mut self, connection: &Connection<'_>, progress: &mut Progress) -> Result<(), Ending> {
        let mut last = Instant::now();
        loop {
            if (connection.stopped)() {
                return Err(Ending::Interrupted);
            }
            match self.input.next(PAUSE)? {
                Next::End => return Ok(()),
                Next::Pause => self.settle(connection)?,
                Next::Line => {
                    if self.line(connection)? {
                        self.sent += 1;
                    }
                    if Some(self.sent) == self.args.count {
                        return Ok(());
                    }
                    if self.sent.is_multiple_of(256) {
                        progress.show(self.sent);
                        if last.elapsed() > SETTLE {
                            self.settle(connection)?;
                            last = Instant::now();
                        }
                    }
                }
            }
        }
    }

    fn settle(&mut self, connection: &Connection<'_>) -> Result<(), Ending> {
        if self.settled < self.sent {
            self.writer.settle(connection)?;
            self.settled = self.sent;
        }
        Ok(())
    }

    /// Sends the record of the last line; false where the line is blank.
    fn line(&mut self, connection: &Connection<'_>) -> Result<bool, Ending> {
        let wrong = |why: String| Ending::Failed(format!("{}: {why}", self.input.place()));
        let line = self.input.line();
        let told = match self.args.format {
            InputFormat::Lines => Some(self.args.marks.parse(line)),
            InputFormat::Json => json::parse(line, &self.args.topic).map_err(wrong)?,
        };
        let Some(told) = told else { return Ok(false) };
        let partition = match self.args.partition {
            None => told.partition,
            Some(Place::Partition(partition)) => Some(partition),
            Some(Place::ByKey) => None,
        };
        check(&told, partition, &self.info).map_err(wrong)?;
        let headers: Vec<(&str, Option<&[u8]>)> =
            told.headers.iter().map(|(name, value)| (&**name, value.as_deref())).collect();
        let record = Outgoing {
            topic: &self.args.topic,
            partition,
            key: told.key.as_deref(),
            value: told.value.as_deref(),
            headers: &headers,
            timestamp: told.timestamp,
        };
        self.writer.send(&record, connection)?;
        Ok(true)
    }
}

/// What a batch of one record has beyond keys, values and headers, generously.
const FRAMING: usize = 128;

/// What the topic would refuse later, when nobody knows which line it came from.
fn check(told: &Told<'_>, partition: Option<i32>, info: &TopicInfo) -> Result<(), String> {
    if let Some(partition) = partition.filter(|partition| *partition >= info.partitions) {
        return Err(format!("there is no partition {partition}, the topic's last one is {}", info.partitions - 1));
    }
    if info.compacted_only && told.key.is_none() {
        return Err("the topic is compacted and takes no record without a key".into());
    }
    let length = |field: &Option<_>| field.as_deref().map_or(0, <[u8]>::len);
    let headers: usize = told.headers.iter().map(|(name, value)| name.len() + length(value) + 16).sum();
    let size = length(&told.key) + length(&told.value) + headers + FRAMING;
    match info.max_message_bytes {
        limit if size > limit => {
            Err(format!("{size} bytes with framing, and the topic takes {limit}: raise its max.message.bytes"))
        }
        _ => Ok(()),
    }
}

/// How far it is, on a terminal, about once a second.
struct Progress {
    terminal: bool,
    shown: bool,
    last: Instant,
}

impl Progress {
    fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: false, last: Instant::now() }
    }

    fn show(&mut self, records: u64) {
        if self.terminal && self.last.elapsed() > Duration::from_secs(1) {
            (self.shown, self.last) = (true, Instant::now());
            // Decoration: nothing is lost with it.
            let _ = write!(std::io::stderr(), "\r{}", counted(records, "record"));
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// `1 record`, `1,234 records`.
fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (number, want) in
            [(0, "0 lines"), (1, "1 line"), (999, "999 lines"), (1000, "1,000 lines"), (1_234_567, "1,234,567 lines")]
        {
            assert_eq!(counted(number, "line"), want);
        }
    }

    #[test]
    fn places() {
        assert_eq!(
            (place("0"), place("7"), place("key")),
            (Ok(Place::Partition(0)), Ok(Place::Partition(7)), Ok(Place::ByKey))
        );
        for wrong in ["-1", "", "all", "3000000000", "1.0"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_a_topic_would_refuse() {
        let info = |compacted_only| TopicInfo {
            id: [0; 16],
            partitions: 4,
            compacted_only,
            max_message_bytes: 1000,
            delete_retention: Duration::ZERO,
        };
        let told = |key: Option<usize>, value: usize| Told {
            key: key.map(|n| vec![b'k'; n].into()),
            value: Some(vec![b'v'; value].into()),
            headers: vec![("name".into(), Some(vec![b'h'; 80].into()))],
            ..Told::default()
        };
        for (told, partition, compacted, want) in [
            (told(Some(1), 1), Some(3), true, None),
            (told(Some(1), 1), Some(4), false, Some("there is no partition 4, the topic's last one is 3")),
            (told(None, 1), None, false, None),
            (told(None, 1), None, true, Some("the topic is compacted and takes no record without a key")),
            (told(Some(2), 770), None, false, None),
            (
                told(Some(2), 771),
                None,
                false,
                Some("1001 bytes with framing, and the topic takes 1000: raise its max.message.bytes"),
            ),
        ] {
            assert_eq!(check(&told, partition, &info(compacted)).err().as_deref(), want);
        }
    }
}
