//! `highwater explain`: what a code means.

use std::process::ExitCode;

use crate::topology::explain::{Explanation, Kind, all, find};
use crate::topology::nearest;

use super::validate::{colours, print};
use super::{FAILED, tell};

/// Explain a code: of an error or a warning, or the reason of a dead letter
///
/// Its cause, what became of the data, the remedy, and an example of wrong and right. Without CODE: all of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  highwater explain                    every code there is
  highwater explain unlisted_column    the reason of a dead letter
  highwater explain error[bad-value]   as a message shows it")]
pub struct Args {
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

pub fn run(args: &Args) -> ExitCode {
    let colours = colours(&std::io::stdout());
    let Some(code) = &args.code else { return print(&list(colours)) };
    let found = find(code);
    if found.is_empty() {
        let all = all();
        let meant = match nearest(code, all.iter().map(|one| one.code)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "`highwater explain` lists them".to_owned(),
        };
        tell(format_args!("error: no code `{code}`, {meant}"));
        return ExitCode::from(FAILED);
    }
    print(&found.iter().map(|one| explained(one, colours)).collect::<Vec<_>>().join("\n"))
}

fn bold(text: &str, colours: bool) -> String {
    if colours { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

fn list(colours: bool) -> String {
    let all = all();
    let width = all.iter().map(|one| one.code.len()).max().unwrap_or_default();
    let mut out = String::new();
    for kind in [Kind::Error, Kind::Warning, Kind::Record, Kind::Scenario] {
        out += &format!("{}:\n", bold(kind.title(), colours));
        for one in all.iter().filter(|one| one.kind == kind) {
            out += &format!("  {:<width$}  {}\n", one.code, one.title);
        }
        out.push('\n');
    }
    out + "highwater explain CODE says more.\n"
}

fn explained(one: &Explanation, colours: bool) -> String {
    let mut out = format!("{}: {} ({})\n\n", bold(one.code, colours), one.title, one.kind.title());
    for (head, text) in [("cause", one.cause), ("data", one.data()), ("remedy", one.remedy)] {
        out += &format!("{}{}\n", bold(&format!("{head:<8}"), colours), wrapped(text));
    }
    for (head, text) in [("wrong", one.wrong), ("right", one.right)] {
        let lines: String = text.trim_end().lines().map(|line| format!("    {line}\n")).collect();
        out += &format!("\n{}\n{lines}", bold(head, colours));
    }
    out
}

/// Broken between words; further lines stand under the first.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 100;
    const INDENT: usize = 8;
    let (mut out, mut column) = (String::new(), INDENT);
    for word in text.split(' ') {
        let length = word.chars().count();
        if column + 1 + length > WIDTH && !out.is_empty() {
            out += &format!("\n{}", " ".repeat(INDENT));
            column = INDENT;
        } else if !out.is_empty() {
            out.push(' ');
            column += 1;
        }
        out += word;
        column += length;
    }
    out
}
