//! `highwater clickhouse ddl`: the tables for the rows that a topology writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::connectors::clickhouse::ddl::{Column, Style, Table, identifier};
use crate::connectors::postgres::{Database, catalog};
use crate::operators::mask::{Rules, TableConfig, Unlisted};
use crate::topology::{Cluster, Mode, Stream, Topology, nearest, process_env};

use super::super::file_arg::FileFlag;
use super::super::validate::{load, print};
use super::super::{FAILED, tell};
use super::debezium::{Sent, Settings, USUAL};
use super::flows::{Flow, flows};
use super::rules::left;
use super::sampled;

const EXAMPLES: &str = "\
Examples:
  highwater clickhouse ddl --postgres postgres://debezium@localhost:15442/brew --database brew
  highwater clickhouse ddl customers --postgres \"$DATABASE_URL\" --connector connectors/debezium-pg-source.json
  highwater clickhouse ddl --postgres \"$DATABASE_URL\" | clickhouse-client --multiquery
  highwater clickhouse ddl --from-topic                         types read off the rows that are there
  highwater consume brew.analytics.customers --count 1000 --format json |
      highwater clickhouse ddl customers --sample -
  highwater clickhouse ddl --postgres \"$DATABASE_URL\" --style kafka-engine

Types are what the connector's JSON makes of Postgres' types, after the rules: a
column under `hash` is text, one under `drop` is not there. The primary key is
ORDER BY; every other column is Nullable, for a delete may know its key alone.
TABLE_now is the view to read: the last version of each row that is not deleted.

Rows tell less than a catalog: what was read off them is a guess, and is said.
PGPASSWORD is the password of a URL that has none.";

/// Print the tables for the rows that leave
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group(clap::ArgGroup::new("types").required(true).args(["postgres", "sample", "from_topic"])))]
pub struct Args {
    /// Only these; all of the topology without any
    #[arg(value_name = "STREAM")]
    pub streams: Vec<String>,
    #[command(flatten)]
    pub file: FileFlag,
    /// Types from the catalog of this database: postgres://USER@HOST:PORT/DATABASE
    #[arg(long, value_name = "URL")]
    pub postgres: Option<String>,
    /// With --postgres: the Debezium connector whose settings hold [default: those of
    /// connectors/debezium-pg-source.json in Highwater's repository]
    #[arg(long, value_name = "FILE", requires = "postgres")]
    pub connector: Option<PathBuf>,
    /// With --postgres: what stands before SCHEMA.TABLE in the names of source topics [default: found in the topology]
    #[arg(long, value_name = "PREFIX", requires = "postgres")]
    pub topic_prefix: Option<String>,
    /// Types from rows that left: JSON lines, of rows or of `consume --format json`; - is standard input
    #[arg(long, value_name = "FILE")]
    pub sample: Option<PathBuf>,
    /// With --sample: the table's name [default: the last part of the stream's output topic]
    #[arg(long, value_name = "NAME", requires = "sample")]
    pub table: Option<String>,
    /// Types from the rows in the output topics
    #[arg(long)]
    pub from_topic: bool,
    /// With --from-topic: how many rows of each topic
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub rows: u64,
    /// With --from-topic: the embedded log in PATH, or where the topology says, instead of Kafka
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, requires = "from_topic")]
    pub embedded: Option<Option<PathBuf>>,
    /// The columns that tell rows apart [default: the primary key, or the record key of the sample]
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    pub key: Vec<String>,
    /// The database of the tables
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub database: String,
    /// Partition the tables that have this column by it, as by a tenant. It must never change for a row
    #[arg(long, value_name = "COLUMN")]
    pub partition_by: Option<String>,
    /// How rows get there
    #[arg(long, value_enum, default_value_t = Way::Sink)]
    style: Way,
    /// With --style kafka-engine: where ClickHouse finds Kafka [default: the topology's bootstrap.servers]
    #[arg(long, value_name = "HOST:PORT,…")]
    brokers: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    /// They are inserted: by Highwater, or by a connector
    Sink,
    /// ClickHouse fetches them itself: at least once
    KafkaEngine,
}

/// A table, and where its rows come from.
pub struct Made {
    pub table: Table,
    pub topic: String,
    pub warnings: Vec<String>,
}

pub fn run(args: &Args) -> ExitCode {
    if args.from_topic {
        return sampled::from_topics(args);
    }
    let loaded = match load(args.file.path(), Mode::Check) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let topology = &loaded.topology;
    let made = match &args.postgres {
        Some(url) => from_postgres(args, topology, url),
        None => sampled::from_file(args, topology),
    };
    finish(args, topology, made)
}

/// Prints what was made: SQL to standard output, doubts to standard error.
pub fn finish(args: &Args, topology: &Topology, made: Result<Vec<Made>, String>) -> ExitCode {
    match made.and_then(|made| Ok((sql(args, topology, &made)?, made))) {
        Ok((sql, made)) => {
            made.iter().flat_map(|made| &made.warnings).for_each(|warning| tell(format_args!("warning: {warning}")));
            print(&sql)
        }
        Err(error) => {
            tell(format_args!("error: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn sql(args: &Args, topology: &Topology, made: &[Made]) -> Result<String, String> {
    let brokers = match (args.style, &args.brokers) {
        (Way::Sink, None) => String::new(),
        (Way::Sink, Some(_)) => return Err("--brokers goes with --style kafka-engine".into()),
        (Way::KafkaEngine, Some(brokers)) => brokers.clone(),
        (Way::KafkaEngine, None) => match &topology.cluster {
            Cluster::Kafka(properties) => properties.get("bootstrap.servers").cloned().unwrap_or_default(),
            Cluster::Embedded(_) => return Err("an embedded log has no brokers: --brokers says where Kafka is".into()),
        },
    };
    let group = format!("{}-clickhouse", topology.application);
    let mut text = format!(
        "-- Tables for the rows of `{}`, by `highwater clickhouse ddl`. Insert with async_insert = 0,\n\
         -- input_format_null_as_default = 0 and input_format_skip_unknown_fields = 0: what does not fit must stop, not change.\n\n",
        topology.application
    );
    if args.database != "default" {
        text += &format!("create database if not exists {};\n\n", identifier(&args.database));
    }
    for made in made {
        let style = match args.style {
            Way::Sink => Style::Sink,
            Way::KafkaEngine => Style::KafkaEngine { brokers: &brokers, topic: &made.topic, group: &group },
        };
        text += &made.table.create(style);
    }
    Ok(text.trim_end().to_owned() + "\n")
}

/// The streams that were asked for.
pub fn wanted<'t>(args: &Args, topology: &'t Topology) -> Result<Vec<&'t Stream>, String> {
    let names = || topology.streams.iter().map(|stream| stream.name.as_str());
    if args.streams.is_empty() {
        return Ok(topology.streams.iter().collect());
    }
    let find = |name: &String| {
        topology.streams.iter().find(|stream| stream.name == *name).ok_or_else(|| {
            let meant = match nearest(name, names()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
            };
            format!("no stream `{name}` in {}, {meant}", args.file.path().display())
        })
    };
    args.streams.iter().map(find).collect()
}

fn from_postgres(args: &Args, topology: &Topology, url: &str) -> Result<Vec<Made>, String> {
    let settings = match &args.connector {
        None => Settings::read(USUAL, "the usual connector")?,
        Some(path) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
            Settings::read(&text, &name)?
        }
    };
    let wanted = wanted(args, topology)?;
    let password = process_env("PGPASSWORD").filter(|password| !password.is_empty());
    let mut database = Database::connect(url, password.as_deref()).map_err(|fault| fault.to_string())?;
    let tables = catalog::tables(&mut database).map_err(|fault| fault.to_string())?;
    let flows = flows(topology, &wanted, &tables, args.topic_prefix.as_deref(), database.name())?;
    let mut made = flows.iter().map(|flow| from_catalog(args, flow, &settings)).collect::<Result<Vec<_>, _>>()?;
    in_the_topologys_order(topology, &mut made);
    settle(args, made.into_iter().map(|(_, made)| made).collect())
}

fn in_the_topologys_order<T>(topology: &Topology, made: &mut [(String, T)]) {
    let place = |name: &str| topology.streams.iter().position(|stream| stream.name == name);
    made.sort_by_key(|(stream, _)| place(stream));
}

/// The rules for a table, where the stream has any for it.
pub fn rules_for<'s>(stream: &'s Stream, table: &str) -> Option<std::borrow::Cow<'s, TableConfig>> {
    use std::borrow::Cow;
    match &stream.mask.rules {
        Rules::None => Some(Cow::Owned(TableConfig::default())),
        Rules::Fields(fields) => Some(Cow::Borrowed(fields)),
        Rules::Tables(tables) => tables.get(table).map(Cow::Borrowed),
    }
}

fn from_catalog(args: &Args, flow: &Flow<'_>, settings: &Settings) -> Result<(String, Made), String> {
    let (stream, table) = (flow.stream, flow.table);
    let name = table.qualified();
    let rules = rules_for(stream, &table.name)
        .ok_or_else(|| format!("stream `{}` has no rules for the table {name}, so no row of it leaves", stream.name))?;
    let (mut columns, mut warnings, mut identifying) = (Vec::new(), Vec::new(), Vec::new());
    for column in &table.columns {
        let place = format!("{name}.{}", column.name);
        let Some(sent) = settings.sent(&column.kind) else {
            warnings.push(format!("{place}: Debezium leaves columns of the type {} out", column.kind.name));
            continue;
        };
        if column.is_generated {
            warnings.push(format!("{place} is generated: logical replication does not carry it before Postgres 18"));
        }
        let has_rule = rules.fields.iter().any(|field| field.path.column == column.name);
        if !has_rule && rules.unlisted == Unlisted::Reject {
            warnings.push(format!("{place} has no rule, and `unlisted: reject` lets no row with it through"));
        }
        for left in left(&column.name, sent, &rules) {
            warnings.extend(left.sent.doubt.iter().map(|doubt| format!("{place}: {doubt}")));
            if left.identifies {
                identifying.push(left.name.clone());
            }
            columns.push(to_column(left.name, left.sent));
        }
    }
    let key = if args.key.is_empty() { &table.key } else { &args.key };
    check_key(key, &identifying, &columns, &name, &stream.name)?;
    if !table.tells_old_rows {
        warnings.push(format!(
            "{name} has no REPLICA IDENTITY FULL: of a deleted row only its key comes, and of large values that an update \
             left alone a placeholder, which only columns of text take"
        ));
    }
    let about = format!("{name} of Postgres, by the stream `{}`, from {}", stream.name, flow.target);
    Ok((stream.name.clone(), build(args, &flow.target, None, about, columns, key.clone(), warnings)))
}

fn to_column(name: String, sent: Sent) -> Column {
    Column { name, kind: sent.kind, comment: sent.comment, shown: sent.shown }
}

/// Rows must be told apart by what leaves of their key.
fn check_key(
    key: &[String],
    identifying: &[String],
    columns: &[Column],
    table: &str,
    stream: &str,
) -> Result<(), String> {
    let Some(lost) = key.iter().find(|column| !identifying.contains(column)) else { return Ok(()) };
    if columns.iter().any(|column| column.name == *lost) {
        return Err(format!(
            "{table}: its key `{lost}` leaves stream `{stream}` changed, and rows could not be told apart: `passthrough`, \
             `hash` and `hmac` keep keys apart; --key names other columns"
        ));
    }
    let meant = nearest(lost, columns.iter().map(|column| column.name.as_str()))
        .map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
    Err(format!("{table}: its key `{lost}` does not leave stream `{stream}`{meant}; --key names other columns"))
}

/// A table of these columns; `name` where it is not the topic's last part.
pub fn build(
    args: &Args,
    topic: &str,
    name: Option<String>,
    about: String,
    columns: Vec<Column>,
    key: Vec<String>,
    mut warnings: Vec<String>,
) -> Made {
    let name = name.unwrap_or_else(|| topic.rsplit('.').next().unwrap_or(topic).to_owned());
    let mut notes = Vec::new();
    if key.is_empty() {
        notes.push(
            "Without a key: every change is a row of its own, and a deleted row stays beside the one that says so."
                .into(),
        );
        warnings
            .push(format!("{name} has no key: it keeps every change, and there is no {name}_now; --key names columns"));
    }
    let partition_by = args.partition_by.clone().filter(|column| columns.iter().any(|own| own.name == *column));
    if let Some(column) = partition_by.as_ref().filter(|column| !key.contains(column)) {
        let why = format!(
            "partitioned by {column}, which is not of the key: where it changes, or a delete does not know it, versions of a \
             row lie in two partitions, and only FINAL with do_not_merge_across_partitions_select_final = 0 finds the last"
        );
        notes.push(why.clone());
        warnings.push(format!("{name} is {why}"));
    }
    let table = Table { database: args.database.clone(), name, about, columns, key, partition_by, notes };
    Made { table, topic: topic.to_owned(), warnings }
}

/// What only shows between tables.
pub fn settle(args: &Args, made: Vec<Made>) -> Result<Vec<Made>, String> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for made in &made {
        if let Some(other) = seen.insert(&made.table.name, &made.table.about) {
            let Table { name, about, .. } = &made.table;
            return Err(format!(
                "two tables would be {name}: {other}; and {about}. One table has one source: name STREAM"
            ));
        }
    }
    if let Some(column) = &args.partition_by
        && made.iter().all(|made| made.table.partition_by.is_none())
    {
        let names = made.iter().flat_map(|made| &made.table.columns).map(|column| column.name.as_str());
        let meant = nearest(column, names).map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
        return Err(format!("no table has the column `{column}` to be partitioned by{meant}"));
    }
    Ok(made)
}

/// Standard input for `-`.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}
