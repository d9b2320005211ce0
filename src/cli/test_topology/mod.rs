//! `highwater topology test`: scenario files, run on the log in memory.

mod compare;
mod difference;
mod directory;
mod drive;
mod files;
mod metrics;
mod never;
mod outcome;
mod print;
mod report;
mod rows;
mod run;
mod time;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::FAILED;
use super::validate::{CONFIG, colours, print};
use crate::topology::Diagnostics;
use crate::topology::scenario::Scenario;
use report::{Report, Verdict};

/// The exit code of a command line that names nothing to be run.
const USAGE: u8 = 2;

/// Run scenarios: records in, and what must come of them
///
/// Needs neither brokers nor secrets. `--help` teaches the form of a scenario.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "`--help` teaches the form of a scenario, with an example", after_long_help = include_str!("help.txt"))]
pub struct Args {
    /// Scenario files, and directories of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The topology of scenarios that name none
    #[arg(short, long, env = "HIGHWATER_FILE", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only scenarios whose name or path holds this text
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Show what came out, as an `expect:` block, instead of comparing it
    #[arg(long)]
    print: bool,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people: what differs, line by line
    Text,
    /// Workflow commands of GitHub Actions
    Github,
    /// One object
    Json,
}

pub fn run(args: &Args) -> ExitCode {
    let files = match files::find(&args.paths) {
        Ok(files) => files,
        Err(error) => return unusable(&error),
    };
    let (scenarios, wrong) = load(args, &files);
    if !wrong.is_empty() {
        return complain(&wrong, args.output);
    }
    if scenarios.is_empty() {
        let filter = args.filter.as_deref().unwrap_or_default();
        return unusable(&format!("none of {} scenarios has `{filter}` in its name or path", files.len()));
    }
    if args.print {
        return show(&scenarios);
    }
    let mut report = Report::default();
    for (file, scenario) in &scenarios {
        let verdict = match run::run(scenario) {
            Ok(outcome) => Verdict::of(compare::compare(scenario, &outcome)),
            Err(error) => Verdict::Broken(error),
        };
        report.add(file, &scenario.name, verdict);
    }
    let text = match args.output {
        Output::Text => report.text(colours(&std::io::stdout())),
        Output::Github => report.github(),
        Output::Json => format!("{:#}\n", report.json()),
    };
    let printed = print(&text);
    if report.failed() == 0 { printed } else { ExitCode::from(FAILED) }
}

fn unusable(error: &str) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(USAGE)
}

/// The scenarios that are wanted, and what is wrong with files.
fn load(args: &Args, files: &[PathBuf]) -> (Vec<(PathBuf, Scenario)>, Vec<Diagnostics>) {
    let (mut scenarios, mut wrong) = (Vec::new(), Vec::new());
    for file in files {
        match Scenario::load(file, args.file.as_deref()) {
            Ok(scenario) if is_wanted(args.filter.as_deref(), file, &scenario.name) => {
                scenarios.push((file.clone(), scenario));
            }
            Ok(_) => {}
            Err(found) => wrong.push(found),
        }
    }
    (scenarios, wrong)
}

fn is_wanted(filter: Option<&str>, file: &Path, name: &str) -> bool {
    filter.is_none_or(|filter| name.contains(filter) || file.display().to_string().contains(filter))
}

/// Wrong scenarios are no failed ones: nothing is run.
fn complain(wrong: &[Diagnostics], output: Output) -> ExitCode {
    match output {
        Output::Text => {
            let colour = colours(&std::io::stderr());
            wrong.iter().for_each(|found| eprintln!("{}{}", found.render(colour), found.summary()));
        }
        Output::Github => {
            print(&wrong.iter().map(Diagnostics::github).collect::<String>());
        }
        Output::Json => {
            let all: Vec<_> = wrong.iter().map(Diagnostics::json).collect();
            print(&format!("{:#}\n", serde_json::json!({ "wrong": all })));
        }
    }
    ExitCode::from(CONFIG)
}

fn show(scenarios: &[(PathBuf, Scenario)]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for (file, scenario) in scenarios {
        match run::run(scenario) {
            Ok(outcome) => {
                let text = print::expectation(scenario, &outcome);
                print(&format!("# {}: {}\n{text}", file.display(), scenario.name));
            }
            Err(error) => {
                eprintln!("error: {}: {error}", file.display());
                code = ExitCode::from(FAILED);
            }
        }
    }
    code
}
