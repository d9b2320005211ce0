//! `highwater topology validate`: every error and warning of a topology.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use super::file_arg::FileArg;
use super::tell;
use crate::topology::{Diagnostics, Mode, Topology, process_env};

/// The exit code of a wrong configuration (EX_CONFIG of sysexits.h).
pub const CONFIG: u8 = 78;

/// Show every error and warning of a topology
///
/// Needs neither secrets nor brokers. Exits with 78 if there are errors, with 0 if there are only warnings.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  highwater topology validate
  highwater topology validate prod/topology.yaml
  highwater topology validate -o github      annotations on a pull request
  highwater topology validate -o json | jq '.diagnostics[].message'")]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people: place, line, caret
    Text,
    /// Workflow commands of GitHub Actions
    Github,
    /// One object
    Json,
}

pub fn run(args: &Args) -> ExitCode {
    let (found, ok, unset) = match Topology::load(args.file.path(), Mode::Check, &process_env) {
        Ok(loaded) => (loaded.warnings, true, loaded.unresolved),
        Err(found) => (found, false, Vec::new()),
    };
    let text = match args.output {
        Output::Text => format!("{}{}", found.render(colours(&std::io::stdout())), ending(&found)),
        Output::Github => found.github(),
        Output::Json => format!("{:#}\n", found.json()),
    };
    let printed = print(&text);
    if args.output == Output::Text && !unset.is_empty() {
        let names = unset.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        tell(format_args!("note: not set here, and `run` needs it: secret {names}"));
    }
    if ok { printed } else { ExitCode::from(CONFIG) }
}

/// Loads the topology for another command: errors go to stderr, and their exit code comes back.
pub fn load(path: &std::path::Path, mode: Mode) -> Result<crate::topology::Loaded, ExitCode> {
    Topology::load(path, mode, &process_env).map_err(|found| {
        complain(&found);
        ExitCode::from(CONFIG)
    })
}

pub fn complain(found: &Diagnostics) {
    let mut stderr = std::io::stderr();
    let text = found.render(colours(&stderr));
    // If stderr is gone there is nobody left to tell.
    let _ = write!(stderr, "{text}{}", ending(found));
}

/// How many there are, and where more is to be read.
fn ending(found: &Diagnostics) -> String {
    let more = found.more().map(|more| format!("{more}\n")).unwrap_or_default();
    format!("{}\n{more}", found.summary())
}

/// Prints a result. A reader that has seen enough (`| head`) is no failure.
pub fn print(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

/// Whether a stream is looked at by somebody who likes colours.
pub fn colours(stream: &impl IsTerminal) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !refused
}
