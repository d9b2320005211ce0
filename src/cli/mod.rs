//! The command line: one file a command. Logs go to stderr, results to stdout.

pub mod clickhouse;
pub mod cluster_arg;
pub mod completions;
pub mod consume;
pub mod db_load;
pub mod demo;
pub mod describe;
pub mod explain;
pub mod file_arg;
pub mod init;
pub mod leaks;
pub mod lines;
pub mod mask;
mod pair;
pub mod produce;
mod read_back;
pub mod run;
pub mod schema;
pub mod test_topology;
pub mod topics;
pub mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::telemetry::{LogFormat, logging};

/// Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration, 130 interrupted.
pub const FAILED: u8 = 1;
/// A signal came before the end; as shells say it of SIGINT.
pub const INTERRUPTED: u8 = 130;

const GUIDE: &str = "\
Start here:
  highwater init                       a topology.yaml to start from
  highwater topology validate          every error of topology.yaml at once
  highwater topology describe          what it reads, does and writes
  highwater topology test PATH…        scenarios: records in, rows out, no broker
  highwater mask STREAM < rows.jsonl   rows before and after, under your own rules, no broker
  highwater topics create              the topics it needs; a preview without --execute
  highwater run                        run it, in as many instances as you like
  highwater produce TOPIC              lines in, records out
  highwater consume TOPIC              records in, lines out
  highwater clickhouse ddl             the tables for the rows, as SQL
  highwater db-load                    invented people and orders, as changes in Postgres
  highwater leaks                      personal values, looked for in all that was written
  highwater explain CODE               cause and remedy of an error, or of a dead letter

Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration, 130 interrupted.";

/// A stateful stream processor for change data: anonymized, exactly once, from one topology.yaml.
#[derive(Debug, Parser)]
#[command(name = "highwater", version, after_help = GUIDE)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How logs look: text or json.
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text", env = "HIGHWATER_LOG_FORMAT")]
    log_format: LogFormat,
    /// Which logs: a level, or directives like `warn,highwater::engine=debug`.
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true,
        env = "HIGHWATER_LOG"
    )]
    log_level: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a topology.yaml to start from.
    Init(init::Args),
    /// Run a topology until SIGTERM or SIGINT, which commit and leave the group.
    Run(run::Args),
    /// Look at a topology without running it: needs neither a broker nor secrets.
    #[command(subcommand)]
    Topology(TopologyCommand),
    /// Rows before and after, under the rules of a stream: no broker, no state.
    Mask(mask::Args),
    /// The topics that a topology needs.
    #[command(subcommand)]
    Topics(topics::TopicsCommand),
    /// Write lines to a topic, as records.
    Produce(produce::Args),
    /// Read records of a topic, as lines.
    Consume(consume::Args),
    /// What a ClickHouse needs for the rows.
    #[command(subcommand)]
    Clickhouse(clickhouse::ClickhouseCommand),
    /// Write invented people, orders, events and visits to Postgres.
    DbLoad(db_load::Args),
    /// Look for personal values of the sources in everything that was written.
    Leaks(leaks::Args),
    /// The whole story on the embedded log: a real Debezium capture in, a crash, anonymized rows out, an audit.
    Demo(demo::Args),
    /// What a code means: of an error, a warning, or the reason of a dead letter.
    Explain(explain::Args),
    /// The completion script of a shell.
    Completions(completions::Args),
}

#[derive(Debug, Subcommand)]
enum TopologyCommand {
    /// What the topology reads, does and writes: Kafka Streams' text form, a tree, or a graph.
    Describe(describe::Args),
    /// Every error and warning of the topology at once.
    Validate(validate::Args),
    /// The JSON Schema of topology.yaml, for editors.
    Schema(schema::Args),
    /// Scenario files: records in, and what must come of them; in memory, no broker.
    Test(test_topology::Args),
}

/// Arguments in, exit code out.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match cli.command {
        _ if !cli.log_level.is_empty() => &cli.log_level,
        // The demonstration tells its story itself, and who moves records has nothing to tell.
        Command::Demo(_) | Command::Produce(_) | Command::Consume(_) | Command::Topics(_) | Command::Leaks(_) => "warn",
        // What a scenario does to a topology is meant.
        Command::Topology(TopologyCommand::Test(_)) => "error",
        _ => "",
    };
    if let Err(error) = logging::init(cli.log_format, filter) {
        eprintln!("error: {error}");
        return ExitCode::from(2);
    }
    match cli.command {
        Command::Init(args) => init::run(&args),
        Command::Mask(args) => mask::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Topology(TopologyCommand::Describe(args)) => describe::run(&args),
        Command::Topology(TopologyCommand::Validate(args)) => validate::run(&args),
        Command::Topology(TopologyCommand::Schema(args)) => schema::run(&args),
        Command::Topology(TopologyCommand::Test(args)) => test_topology::run(&args),
        Command::Topics(command) => topics::run(&command),
        Command::Produce(args) => produce::run(&args),
        Command::Consume(args) => consume::run(&args),
        Command::Clickhouse(command) => clickhouse::run(&command),
        Command::DbLoad(args) => db_load::run(&args),
        Command::Leaks(args) => leaks::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}

/// A line on stderr. If that is gone there is nobody left to tell.
fn tell(line: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
