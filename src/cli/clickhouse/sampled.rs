//! Tables from rows: of a file, or of the output topics.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::connectors::clickhouse::ddl::Column;
use crate::log::{Client, Isolation, TopicPartition};
use crate::record::Record;
use crate::topology::{Cluster, Stream, Target, Topology};

use super::super::cluster_arg::{Connection, Ending};
use super::super::consume::reading::{Reading, Sink, Span};
use super::super::topics::on_its_cluster;
use super::ddl::{Args, Made, build, finish, is_stdin, rules_for, settle, wanted};
use super::debezium::Sent;
use super::rules::left;
use super::sample::{Forms, Sample, fields, read};

/// How long a log may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn from_file(args: &Args, topology: &Topology) -> Result<Vec<Made>, String> {
    let Some(path) = &args.sample else { return Err("nothing to read types from".into()) };
    let [stream] = wanted(args, topology)?[..] else {
        return Err(
            "a sample is of one stream: name it, as in `highwater clickhouse ddl customers --sample FILE`".into()
        );
    };
    let topic = topic_of(stream, args.table.as_deref())?;
    let name = path.display().to_string();
    let lines: Box<dyn BufRead> = match is_stdin(path) {
        true => Box::new(std::io::stdin().lock()),
        false => {
            Box::new(BufReader::new(std::fs::File::open(path).map_err(|error| format!("cannot read {name}: {error}"))?))
        }
    };
    let (forms, mut sample) = (Forms::new()?, Sample::default());
    for (line, number) in lines.lines().zip(1..) {
        let line = line.map_err(|error| format!("cannot read {name}: {error}"))?;
        if line.trim().is_empty() {
            continue;
        }
        let added = read(&line).and_then(|(row, key)| sample.add(&row, key.as_ref(), &forms));
        added.map_err(|why| format!("{name}:{number}: {why}"))?;
    }
    let made = table(args, stream, &topic, args.table.clone(), &sample, &name)?;
    settle(args, vec![made])
}

/// The topic that a sample is of.
fn topic_of(stream: &Stream, table: Option<&str>) -> Result<String, String> {
    let of_table = |table: &str| match &stream.to {
        Target::Topic(topic) => Some(topic.replace("{table}", table)),
        Target::ByTable(topics) => topics.get(table).cloned(),
    };
    match (&stream.to, table) {
        (Target::Topic(topic), _) if !topic.contains('{') => Ok(topic.clone()),
        (_, Some(table)) => of_table(table).filter(|topic| !topic.contains('{')).ok_or_else(|| {
            format!(
                "stream `{}` has no topic for a table `{table}`: --from-topic reads those that are there",
                stream.name
            )
        }),
        (_, None) => {
            Err(format!("stream `{}` writes several topics: --table says of which table the sample is", stream.name))
        }
    }
}

pub fn from_topics(args: &Args) -> ExitCode {
    on_its_cluster(&args.file, args.embedded.as_ref(), |topology, stopped| {
        if let Cluster::Embedded(path) = &topology.cluster
            && !path.exists()
        {
            return Err(Ending::Failed(format!("there is no embedded log in {}", path.display())));
        }
        let connection = Connection::open(&topology.cluster, Client::named("highwater-ddl"), stopped)?;
        let mut made = Vec::new();
        for stream in wanted(args, topology)? {
            for topic in targets(stream, &connection.ask(|admin| admin.topics())?) {
                let sample = look(args, &connection, &topic)?;
                if sample.rows > 0 {
                    made.push(table(args, stream, &topic, None, &sample, &topic)?);
                }
            }
        }
        if made.is_empty() {
            return Err(Ending::Failed(format!("no output topic on {} has any rows yet", topology.cluster)));
        }
        Ok(finish(args, topology, settle(args, made)))
    })
}

/// The topics that are there and that a stream writes.
fn targets(stream: &Stream, topics: &[String]) -> BTreeSet<String> {
    let written: BTreeSet<String> = match &stream.to {
        Target::Topic(_) => topics.iter().filter_map(|topic| stream.target_for(topic)).collect(),
        Target::ByTable(of) => of.values().cloned().collect(),
    };
    written.into_iter().filter(|topic| topics.contains(topic)).collect()
}

/// The first rows of a topic's partitions, so many in all.
fn look(args: &Args, connection: &Connection<'_>, topic: &str) -> Result<Sample, Ending> {
    let partitions = connection.ask(|admin| admin.describe(topic))?.map_or(0, |info| info.partitions);
    let mut spans = Vec::new();
    for tp in (0..partitions).map(|partition| TopicPartition::new(topic, partition)) {
        let bounds = connection.ask(|admin| admin.bounds(&tp))?;
        spans.push(Span { tp, next: bounds.start, first: bounds.start, end: bounds.end });
    }
    let mut looked = Looked { sample: Sample::default(), forms: Forms::new()?, most: args.rows, failed: None };
    let reading = Reading { connection, isolation: Isolation::Committed, follow: false, patience: PATIENCE };
    reading.run(&spans, &mut looked)?;
    looked.failed.map_or(Ok(looked.sample), |why| Err(Ending::Failed(why)))
}

struct Looked {
    sample: Sample,
    forms: Forms,
    most: u64,
    failed: Option<String>,
}

impl Sink for Looked {
    fn take(&mut self, record: &Record<'_>) -> bool {
        let text = |bytes: Option<&'_ [u8]>| bytes.and_then(|bytes| std::str::from_utf8(bytes).ok().map(str::to_owned));
        let key = text(record.key).and_then(|key| serde_json::from_str::<Value>(&key).ok());
        let row = text(record.value).ok_or_else(|| "no text".to_owned()).and_then(|row| fields(&row));
        let added = row.and_then(|row| self.sample.add(&row, key.as_ref(), &self.forms));
        if let Err(why) = added {
            self.failed = Some(format!("offset {} of {}-{}: {why}", record.offset, record.topic, record.partition));
        }
        self.failed.is_none() && self.sample.rows < self.most
    }

    fn pause(&mut self) -> bool {
        true
    }
}

fn table(
    args: &Args,
    stream: &Stream,
    topic: &str,
    name: Option<String>,
    sample: &Sample,
    source: &str,
) -> Result<Made, String> {
    if sample.rows == 0 {
        return Err(format!("{source} holds no rows"));
    }
    let last = topic.rsplit('.').next().unwrap_or(topic);
    let rules = rules_for(stream, name.as_deref().unwrap_or(last));
    let (mut columns, mut warnings) = (Vec::new(), Vec::new());
    for (column, sent) in sample.columns() {
        let known = rules.as_ref().and_then(|rules| decided(column, rules));
        let sent = known.unwrap_or(sent);
        warnings.extend(sent.doubt.iter().map(|doubt| format!("{last}.{column}: {}, {doubt}", sent.kind)));
        let comment = sent.doubt.map_or(sent.comment, |doubt| format!("a guess, {doubt}"));
        columns.push(Column { name: column.into(), kind: sent.kind, comment, shown: sent.shown });
    }
    let key = if args.key.is_empty() { sample.key.clone() } else { args.key.clone() };
    if let Some(lost) = key.iter().find(|key| columns.iter().all(|column| column.name != **key)) {
        return Err(format!("{source}: no row has the column `{lost}` of the key"));
    }
    let about = format!("{} rows of {source}, by the stream `{}`", sample.rows, stream.name);
    Ok(build(args, topic, name, about, columns, key, warnings))
}

/// The type of a column whose rule leaves no doubt: digests and cut texts are texts, whatever they were.
fn decided(column: &str, rules: &crate::operators::mask::TableConfig) -> Option<Sent> {
    let ruled = rules.fields.iter().any(|field| field.path.column == column && field.path.steps.is_empty());
    let doubted = || Sent::plain("a type that no rule makes").doubt("");
    let left = left(column, doubted(), rules).into_iter().find(|left| left.name == column)?;
    (ruled && left.sent.doubt.is_none()).then_some(left.sent)
}
