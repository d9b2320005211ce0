//! `highwater clickhouse`: what a ClickHouse needs for the rows of a topology.

mod ddl;
mod debezium;
mod flows;
mod rules;
mod sample;
mod sampled;

use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub enum ClickhouseCommand {
    /// CREATE TABLE for every stream, and the views to read them by; from Postgres' catalog, or from rows.
    Ddl(ddl::Args),
}

pub fn run(command: &ClickhouseCommand) -> ExitCode {
    let ClickhouseCommand::Ddl(args) = command;
    ddl::run(args)
}
