//! `highwater topology describe`: the topology, drawn.

use std::process::ExitCode;

use super::file_arg::FileArg;
use super::validate::{load, print};
use crate::topology::Mode;
use crate::topology::describe::{Form, describe};

/// Draw a topology
///
/// Without -o in the very text of Kafka Streams' Topology#describe(), which its public viewers draw. Needs neither
/// secrets nor brokers. Exits with 78 if the topology has errors.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  highwater topology describe
  highwater topology describe -o tree                        the rule of every column
  highwater topology describe -o dot | dot -Tsvg > out.svg   a picture, by Graphviz
  highwater topology describe prod/topology.yaml -o json | jq '.streams[].name'")]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// As Kafka Streams describes topologies
    Text,
    /// For people: every column and its rule
    Tree,
    /// A diagram for READMEs and wikis
    Mermaid,
    /// A diagram for Graphviz
    Dot,
    /// For scripts
    Json,
}

pub fn run(args: &Args) -> ExitCode {
    let form = match args.output {
        Output::Text => Form::Text,
        Output::Tree => Form::Tree,
        Output::Mermaid => Form::Mermaid,
        Output::Dot => Form::Dot,
        Output::Json => Form::Json,
    };
    match load(args.file.path(), Mode::Check) {
        Ok(loaded) => print(&describe(&loaded.topology, form)),
        Err(code) => code,
    }
}
