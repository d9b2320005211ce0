//! `highwater db-load`: invented people, orders, events and visits, as changes in Postgres.

mod cultures;
mod people;
mod plan;
mod random;
mod report;
mod rows;
mod writer;

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::connectors::postgres::Database;
use crate::topology::{duration, process_env};

use super::run::stop_flag;
use super::validate::print;
use super::{FAILED, INTERRUPTED, tell};
use plan::{HIGHEST_SEED, MOST_CHANGES};
use report::{Progress, Report, Tally};
use writer::{Wanted, Writer};

const EXAMPLES: &str = "\
Examples:
  highwater db-load --url postgres://postgres@localhost:15442/brew --count 200
  highwater db-load --count 200                       DATABASE_URL says where; PGPASSWORD, with which password
  highwater db-load --for 5m --rate 1000              a steady stream
  highwater db-load --total 100000 --seed 8           after a crash the same command ends at the same rows
  highwater db-load --updates 60 --deletes 20 --seed 9 -o json
  make db-load DLOAD_COUNT=200                        on the Postgres of docker-compose.yml

It writes into customers, orders, events and visits of db/init.sql, by INSERT,
UPDATE and DELETE, some of each in every transaction. All of it is invented:
names of eighteen countries in their scripts, mail at reserved domains, phones of
ranges that belong to nobody. The same seed gives the same changes in the same
order, whatever --batch and --rate are.

How far a seed has come is kept with its rows, in highwater_db_load.progress, by
the same transactions: the next run goes on there, and a run that was killed has
repeated nothing and left nothing out. Each seed has ids of its own, from
1,000,000,001 on for seed 0, from 2,000,000,001 on for seed 1.";

/// Write invented people, orders, events and visits to Postgres
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The database, as postgres://USER:PASSWORD@HOST:PORT/DATABASE. Others can see what stands on a command line:
    /// a password is better off in DATABASE_URL, or in PGPASSWORD
    // A URL may hold a password, and help shows what the environment holds unless it is told not to.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    url: String,
    /// How many more changes [default: 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MOST_CHANGES))]
    count: Option<u64>,
    /// Until the seed has so many changes in all, those of earlier runs included
    #[arg(long, value_name = "N", conflicts_with = "count")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=MOST_CHANGES))]
    total: Option<u64>,
    /// Go on for so long: 30s, 5m, 1h
    #[arg(long = "for", value_name = "TIME", conflicts_with_all = ["count", "total"], value_parser = duration)]
    time: Option<Duration>,
    /// No more changes in a second than that; as fast as it goes without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// What all of it follows from
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u64).range(..=HIGHEST_SEED))]
    seed: u64,
    /// Percent of changes that are updates; fixed when a seed begins [default: 30]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(..=100))]
    updates: Option<u8>,
    /// Percent of changes that are deletes; fixed when a seed begins [default: 5]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(..=100))]
    deletes: Option<u8>,
    /// Changes in a transaction, at most; with --rate no more than a tenth of a second's
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch: u64,
    /// The form of the summary
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A table
    Text,
    /// One object
    Json,
}

const DEFAULT_COUNT: u64 = 1000;

pub fn run(args: &Args) -> ExitCode {
    if u16::from(args.updates.unwrap_or(0)) + u16::from(args.deletes.unwrap_or(0)) > 100 {
        tell("error: --updates and --deletes are more than 100 percent together");
        return ExitCode::from(2);
    }
    match load(args) {
        Ok(code) => code,
        Err(error) => {
            tell(format_args!("error: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn load(args: &Args) -> Result<ExitCode, String> {
    let stop = stop_flag().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let stopped = || stop.load(Ordering::SeqCst);
    let password = process_env("PGPASSWORD").filter(|password| !password.is_empty());
    let database = Database::connect(&args.url, password.as_deref()).map_err(|fault| fault.to_string())?;
    let mut writer = Writer::open(database, args.seed, &Wanted { updates: args.updates, deletes: args.deletes })?;
    let (begun, mut tally) = (Instant::now(), Tally::default());
    let ended = write(args, &mut writer, &mut tally, &stopped);
    let report = Report {
        tally: &tally,
        database: writer.database(),
        seed: args.seed,
        total: writer.done(),
        took: begun.elapsed(),
    };
    // Also of a run that failed: what it has committed is there.
    let code = print(&match args.output {
        Output::Text => report.text(),
        Output::Json => report.json(),
    });
    ended?;
    if stopped() {
        tell("interrupted");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(code)
}

/// Transaction by transaction, until it is enough.
fn write(args: &Args, writer: &mut Writer, tally: &mut Tally, stopped: &dyn Fn() -> bool) -> Result<(), String> {
    let begun = Instant::now();
    let mut progress = Progress::on_a_terminal();
    let first = writer.done();
    let batch = args.batch.min(args.rate.map_or(u64::MAX, |rate| rate.div_ceil(10)));
    loop {
        let written = writer.done() - first;
        let left = match (args.total, args.time) {
            (Some(total), _) => Some(total.saturating_sub(writer.done())),
            (None, Some(_)) => None,
            (None, None) => Some(args.count.unwrap_or(DEFAULT_COUNT) - written),
        };
        progress.show(written, left);
        let over = || stopped() || args.time.is_some_and(|time| begun.elapsed() >= time);
        pause_until(args.rate.map_or(begun, |rate| begun + time_of(written, rate)), &over);
        let count = left.map_or(batch, |left| left.min(batch));
        if count == 0 || over() {
            return Ok(());
        }
        tally.add(&writer.write(count)?);
    }
}

/// When so many changes may have been written.
fn time_of(changes: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(changes as f64 / rate as f64)
}

/// In short sleeps, so that a signal is soon heard.
fn pause_until(moment: Instant, over: &dyn Fn() -> bool) {
    const SHORT: Duration = Duration::from_millis(50);
    while !over() {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(SHORT));
    }
}
