//! `highwater init`: a topology.yaml to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::topology::{Mode, Topology, check_topic_name, starter};

use super::file_arg::FileFlag;
use super::validate::{CONFIG, complain, print};
use super::{FAILED, schema, tell};

const EXAMPLES: &str = "\
Examples:
  highwater init                              topology.yaml, with comments; and topology.schema.json for editors
  highwater init -f shop.yaml --application shop
  highwater init --stdout | less
  highwater init --from anonymize.yaml        a topology around a rules file that is there already
  highwater init --from anonymize.yaml --topic-prefix shop.cdc.public. --table customers,orders

--from takes the file of an anonymizer that knew `salt` and `tables`. It stays as
it is: its salt, its rules and its target topics are used as they stand, and the
rows that leave are the same, byte for byte. One stream reads a topic for each of
its tables.";

/// The schema beside a topology; its first line names it.
const SCHEMA: &str = "topology.schema.json";

/// Write a topology.yaml to start from
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    file: FileFlag,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
    /// Print it, write nothing
    #[arg(long, conflicts_with = "force")]
    stdout: bool,
    /// The consumer group, and the prefix of internal topics
    #[arg(long, value_name = "NAME", default_value = "my-app", value_parser = plain)]
    application: String,
    /// A rules file to write the topology around
    #[arg(long, value_name = "RULES")]
    from: Option<PathBuf>,
    /// With --from: what stands before the table in the names of source topics
    #[arg(long, value_name = "PREFIX", default_value = "brew.cdc.public.", value_parser = plain, requires = "from")]
    topic_prefix: String,
    /// With --from: only these tables
    #[arg(long = "table", value_name = "NAME,…", value_delimiter = ',', requires = "from")]
    tables: Vec<String>,
}

fn plain(text: &str) -> Result<String, String> {
    check_topic_name(text).map(|()| text.to_owned())
}

pub fn run(args: &Args) -> ExitCode {
    let path = args.file.path();
    let dir = path.parent().unwrap_or(Path::new(""));
    let text = match &args.from {
        None => starter::new(&args.application),
        Some(rules) => match around(args, dir, rules) {
            Ok(text) => text,
            Err(code) => return code,
        },
    };
    if args.stdout {
        return print(&text);
    }
    match write(path, &text, args.force) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            tell(format_args!(
                "error: {} is there already; --force overwrites it, -f FILE writes another",
                path.display()
            ));
            return ExitCode::from(FAILED);
        }
        Err(error) => {
            tell(format_args!("error: cannot write {}: {error}", path.display()));
            return ExitCode::from(FAILED);
        }
    }
    let beside = path.with_file_name(SCHEMA);
    let schema = match write(&beside, &schema::text(false), args.force) {
        Ok(()) => format!(", and {} for editors", beside.display()),
        // Of another topology beside it, which has the same.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => String::new(),
        Err(error) => {
            tell(format_args!("note: cannot write {}: {error}", beside.display()));
            String::new()
        }
    };
    let flag = if path == Path::new("topology.yaml") { String::new() } else { format!(" -f {}", path.display()) };
    print(&format!(
        "wrote {}{schema}\n\nnext, when it says what you mean:\n  highwater topology validate{flag}\n  \
         highwater mask STREAM{flag} < rows.jsonl\n  highwater topics create{flag}\n  highwater run{flag}\n\n\
         or without a broker: highwater run --embedded{flag}\n",
        path.display()
    ))
}

/// The topology around a rules file, checked: what is wrong with the file is told, and nothing is written.
fn around(args: &Args, dir: &Path, rules: &Path) -> Result<String, ExitCode> {
    let path = seen_from(dir, rules);
    let around = starter::Around {
        application: &args.application,
        topic_prefix: &args.topic_prefix,
        tables: &args.tables,
        path: &path,
    };
    let name = args.file.path().display().to_string();
    let made = starter::around(dir, &around)
        .and_then(|text| Topology::parse(&text, &name, dir, Mode::Check, &|_| None).map(|_| text));
    made.map_err(|found| {
        complain(&found);
        ExitCode::from(CONFIG)
    })
}

/// A path as a topology in `dir` names it: paths in it start there.
fn seen_from(dir: &Path, file: &Path) -> String {
    let whole = |path: &Path| std::fs::canonicalize(if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let seen = match (whole(dir), whole(file)) {
        (Ok(dir), Ok(file)) => file.strip_prefix(&dir).map_or(file.clone(), Path::to_path_buf),
        _ => file.to_path_buf(),
    };
    seen.display().to_string()
}

fn write(path: &Path, text: &str, force: bool) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let options = if force { options.create(true).truncate(true) } else { options.create_new(true) };
    options.write(true).open(path)?.write_all(text.as_bytes())
}
