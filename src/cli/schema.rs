//! `highwater topology schema`: the language, for editors.

use std::process::ExitCode;

use super::validate::print;
use crate::topology::language;

/// Print the JSON Schema of topology.yaml
///
/// Editors complete, explain and check a file by it. Draft 7, made from the very lists that read the file.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  highwater topology schema > topology.schema.json
  highwater topology schema --rules > rules.schema.json

The first line of a topology.yaml tells editors where it is:
  # yaml-language-server: $schema=topology.schema.json")]
pub struct Args {
    /// That of a rules file, as `mask: { rules: FILE }` reads it
    #[arg(long)]
    rules: bool,
}

pub fn run(args: &Args) -> ExitCode {
    print(&text(args.rules))
}

/// As it is printed, and as it lies beside a topology.
pub fn text(of_rules: bool) -> String {
    format!("{:#}\n", language::schema(of_rules))
}
