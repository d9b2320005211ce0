//! `highwater mask`: rows under the topology's own rules, before and after. No broker, no state.
//!
//! It is the very [`Mask`] that `run` has, so what leaves here is what leaves there.

mod row;

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::operators::filter::Filter;
use crate::operators::mask::{Mask, Rules};
use crate::topology::{Mode, OnError, Stream, Topology, nearest};

use super::file_arg::FileFlag;
use super::pair;
use super::validate::{colours, load};
use super::{FAILED, tell};
use row::{Masked, Row};

const EXAMPLES: &str = "\
Examples:
  highwater mask customers < rows.jsonl              before and after, on a terminal
  echo '{\"id\":1,\"email\":\"ann@example.com\"}' | highwater mask customers -o text
  highwater consume brew.cdc.public.customers --format value | highwater mask customers
  highwater mask others --table events -i rows.jsonl
  highwater mask customers --key id < rows.jsonl     the record key, too

A line is a row ({\"id\":1,…}) or a whole Debezium envelope; which of the two is
recognised. Envelopes bring their table, their LSN and deletes; of a bare row
`cdc_lsn` is 0. A row that the rules cannot process is named on stderr with its
reason, as `on_error` would get it, and the exit code is 1.

Secrets come from where `run` takes them. One that is not set has a stand-in,
and that is said: digests then differ from those of `run`.";

/// Show rows before and after, under the rules of a stream
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Whose rules
    #[arg(value_name = "STREAM")]
    stream: String,
    #[command(flatten)]
    file: FileFlag,
    /// Read this file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The table of bare rows, where rules go by table
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// The columns of the record key: shows the key that leaves. As JSON: lines with `key` and `value`
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    key: Vec<String>,
    /// The form of the output: text on a terminal, else json
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// Two lines a row, - before and + after
    Text,
    /// The row after, a line each
    Json,
}

pub fn run(args: &Args) -> ExitCode {
    let loaded = match load(args.file.path(), Mode::Check) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let outcome = find(&loaded.topology, args).and_then(|(stream, table)| {
        tell_of_stand_ins(stream, &loaded.unresolved);
        let mask = Mask::new(stream.mask.clone())?;
        let filter = stream.filter.clone().map(|config| Filter::new(config, &stream.mask.unavailable_value));
        let rows = Row::of(filter, mask, table, args.key.clone());
        match args.input.as_deref().filter(|path| *path != Path::new("-")) {
            None => {
                let stdin = std::io::stdin();
                if stdin.is_terminal() {
                    tell("rows are read from here, one a line; Ctrl-D ends them");
                }
                each_line(stdin.lock(), stream, args, rows)
            }
            Some(path) => {
                let file = std::fs::File::open(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
                each_line(std::io::BufReader::new(file), stream, args, rows)
            }
        }
    });
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FAILED),
        Err(error) => {
            tell(format_args!("error: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

/// The stream of that name, and the table of bare rows where that is known.
fn find<'t>(topology: &'t Topology, args: &Args) -> Result<(&'t Stream, Option<String>), String> {
    let names = || topology.streams.iter().map(|stream| stream.name.as_str());
    let Some(stream) = topology.streams.iter().find(|stream| stream.name == args.stream) else {
        let meant = match nearest(&args.stream, names()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        return Err(format!("no stream `{}` in {}, {meant}", args.stream, args.file.path().display()));
    };
    let Rules::Tables(tables) = &stream.mask.rules else {
        return Ok((stream, Some(args.table.clone().unwrap_or_default())));
    };
    match &args.table {
        Some(name) if !tables.contains_key(name) => {
            let meant = match nearest(name, tables.keys().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("there are {}", tables.keys().cloned().collect::<Vec<_>>().join(", ")),
            };
            Err(format!("no rules for the table `{name}`, {meant}"))
        }
        Some(name) => Ok((stream, Some(name.clone()))),
        None if tables.len() == 1 => Ok((stream, tables.keys().next().cloned())),
        None => Ok((stream, None)),
    }
}

fn tell_of_stand_ins(stream: &Stream, unresolved: &[String]) {
    let stands_in = stream.mask.keys.as_ref().is_some_and(|keys| {
        let all = [Some(&keys.current), keys.previous.as_ref()];
        all.into_iter().flatten().any(|key| key.secret.expose() == b"unresolved")
    });
    if stands_in && !unresolved.is_empty() {
        let names = unresolved.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        tell(format_args!(
            "note: secret {names} is not set: a stand-in is used, and digests differ from those of `run`"
        ));
    }
}

/// How many rows could not be processed.
fn each_line(mut input: impl BufRead, stream: &Stream, args: &Args, mut rows: Row) -> Result<usize, String> {
    let stdout = std::io::stdout();
    let colours = colours(&stdout);
    let is_text = match args.output {
        Some(output) => output == Output::Text,
        None => stdout.is_terminal(),
    };
    let mut out = std::io::BufWriter::new(stdout.lock());
    let (mut line, mut number, mut bad) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line).map_err(|e| format!("cannot read the input: {e}"))? == 0 {
            break;
        }
        number += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let written = match rows.mask(&line) {
            Ok(Masked::Skipped(kind)) => {
                tell(format_args!("line {number}: a {kind}: nothing leaves for it"));
                Ok(())
            }
            Ok(Masked::NoTable) => {
                let Rules::Tables(tables) = &stream.mask.rules else { continue };
                let tables = tables.keys().cloned().collect::<Vec<_>>().join(", ");
                return Err(format!(
                    "line {number} has no table, and rules go by table: say --table NAME, one of {tables}"
                ));
            }
            Ok(Masked::Row { before, after, key }) if is_text => {
                let [before, after] = pair::lines(&before, &after, colours);
                let key = key.map(|key| format!("  key {key}\n")).unwrap_or_default();
                write!(out, "{before}\n{after}\n{key}")
            }
            Ok(Masked::Row { key, .. }) => match key {
                Some(key) => writeln!(out, "{{\"key\":{key},\"value\":{}}}", rows.written()),
                None => writeln!(out, "{}", rows.written()),
            },
            Err(fault) => {
                bad += 1;
                // In the order of the lines, also where both streams are one terminal.
                let flushed = out.flush();
                tell(format_args!("line {number}: {fault}: {}", fate(stream)));
                flushed
            }
        };
        match written.and_then(|()| if is_text { out.flush() } else { Ok(()) }) {
            Ok(()) => {}
            // Who has seen enough reads no more.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(bad),
            Err(error) => return Err(format!("cannot write: {error}")),
        }
    }
    match out.flush() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("cannot write: {error}")),
        _ => Ok(bad),
    }
}

fn fate(stream: &Stream) -> String {
    match &stream.on_error {
        OnError::Fail => "`run` would stop here".into(),
        OnError::Skip => "`run` would skip it".into(),
        OnError::DeadLetter { topic } => format!("`run` would send a dead letter to {topic}"),
    }
}
