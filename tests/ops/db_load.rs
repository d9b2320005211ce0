//! `highwater db-load` on a real Postgres: which changes a connector would see.

use std::process::{Command, Output};

use serde_json::Value;

use crate::database::{PASSWORD, Postgres, TABLES};
use crate::files;
use crate::support::broker::free_port;
use crate::support::{DEADLINE, Dir, Highwater, wait_until};

/// A Postgres that keeps every change for us to read.
fn watched() -> Postgres {
    let postgres = Postgres::with_tables();
    postgres.sql("select pg_create_logical_replication_slot('watch', 'test_decoding')");
    postgres
}

/// The changes of the shop's tables, in the order of their commits, as a connector reads them.
fn changes(postgres: &Postgres) -> Vec<String> {
    let all = postgres.sql("select data from pg_logical_slot_peek_changes('watch', null, null, 'include-xids', '0')");
    // A change is one line, unless a text has line breaks: then what follows belongs to it.
    let mut changes: Vec<String> = Vec::new();
    for line in all.lines().filter(|line| !matches!(*line, "BEGIN" | "COMMIT")) {
        match changes.last_mut().filter(|_| !line.starts_with("table ")) {
            Some(last) => *last += line,
            None => changes.push(line.into()),
        }
    }
    changes.retain(|change| change.starts_with("table public."));
    changes
}

fn load(url: &str, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(["db-load", "--url", url]).args(args).current_dir(files::path("."));
    command.env_remove("DATABASE_URL").env("PGPASSWORD", PASSWORD).output().expect("highwater")
}

/// The report of a run that must succeed.
#[track_caller]
fn loaded(postgres: &Postgres, args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
    let out = load(&postgres.url(), &args);
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && why.is_empty(), "{args:?}: {why}");
    serde_json::from_slice(&out.stdout).expect("a report")
}

/// What a run that must fail says of it.
#[track_caller]
fn refused(url: &str, args: &[&str]) -> String {
    let out = load(url, args);
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{args:?}: {why}");
    assert!(why.starts_with("error: "), "{why}");
    why
}

/// How far a seed has come, as Postgres keeps it.
fn progress(postgres: &Postgres, seed: u64) -> u64 {
    // The table is made by the first run.
    let there = postgres.sql("select to_regclass('highwater_db_load.progress')");
    if there.is_empty() {
        return 0;
    }
    let changes = postgres.sql(&format!("select changes from highwater_db_load.progress where seed = {seed}"));
    changes.parse().unwrap_or(0)
}

#[test]
fn a_seed_gives_the_same_changes_however_they_are_written() {
    let (one, other) = (watched(), watched());
    // In parts, and some of them in the mix that the first one chose.
    let first = loaded(&one, &["--seed", "3", "--count", "601", "--batch", "7", "--deletes", "9"]);
    let second = loaded(&one, &["--seed", "3", "--count", "399", "--rate", "100000"]);
    let whole = loaded(&other, &["--seed", "3", "--total", "1000", "--batch", "1000", "--deletes", "9"]);
    let (in_parts, at_once) = (changes(&one), changes(&other));
    assert_eq!(in_parts.len(), 1000);
    assert_eq!(in_parts, at_once);
    assert_eq!(
        (&first["changes"], &second["changes"], &second["changes_in_all"], &whole["changes"]),
        (&601.into(), &399.into(), &1000.into(), &1000.into())
    );
    assert_eq!((&first["transactions"], &whole["transactions"]), (&86.into(), &1.into()));
    // What the report counts is what happened.
    for table in TABLES {
        for (name, verb) in [("inserts", "INSERT"), ("updates", "UPDATE"), ("deletes", "DELETE")] {
            let seen =
                at_once.iter().filter(|change| change.starts_with(&format!("table public.{table}: {verb}: "))).count();
            assert_eq!(whole["tables"][table][name], seen, "{table} {name}");
            assert!(seen > 0, "{table} {name}");
        }
    }
    // Another seed is other rows, beside them.
    loaded(&one, &["--seed", "4", "--count", "200"]);
    assert_eq!((progress(&one, 3), progress(&one, 4)), (1000, 200));
    assert_eq!(changes(&one).len(), 1200);
    // What it keeps for itself is in no publication, so no connector sees it.
    let published = one.sql("select schemaname || '.' || tablename from pg_publication_tables order by 1");
    assert_eq!(published.lines().collect::<Vec<_>>(), TABLES.map(|table| format!("public.{table}")));
    let included = files::json("connectors/debezium-pg-source.json")["table.include.list"].clone();
    assert!(!included.to_string().contains("highwater_db_load"), "{included}");
    // Who has that much already has nothing more to do.
    assert_eq!(loaded(&one, &["--seed", "3", "--total", "900"])["changes"], 0);
}

#[test]
fn a_run_that_is_killed_neither_repeats_nor_skips() {
    let (whole, killed, dir) = (watched(), watched(), Dir::new("db-load"));
    loaded(&whole, &["--total", "3000"]);
    let url = killed.url();
    let args = ["db-load", "--url", &url, "--total", "3000", "--batch", "9", "--rate", "2000"];
    for kill in 1..=4 {
        let mut run = Highwater::command(&args, &[("PGPASSWORD", PASSWORD)], dir.path());
        wait_until(DEADLINE, "changes to be written", || (progress(&killed, 7) >= 200 * kill).then_some(()));
        run.sigkill();
        // A backend whose client is gone finishes what it was told last.
        wait_until(DEADLINE, "its backend to end", || {
            let busy = killed.sql("select count(*) from pg_stat_activity where application_name = 'highwater'");
            (busy == "0").then_some(())
        });
        let done = progress(&killed, 7);
        assert!(done < 3000, "it was over before it was killed");
        assert_eq!(changes(&killed).len() as u64, done);
    }
    loaded(&killed, &["--total", "3000"]);
    assert_eq!(changes(&killed), changes(&whole));
}

#[test]
fn a_signal_ends_it_between_two_transactions_and_time_ends_it_as_well() {
    let (postgres, dir) = (watched(), Dir::new("db-load"));
    let url = postgres.url();
    let args = ["db-load", "--url", &url, "--for", "1h", "--batch", "10", "--rate", "500"];
    let mut run = Highwater::command(&args, &[("PGPASSWORD", PASSWORD)], dir.path());
    wait_until(DEADLINE, "changes to be written", || (progress(&postgres, 7) > 20).then_some(()));
    run.sigterm();
    assert_eq!(run.wait(DEADLINE).code(), Some(130), "{}", run.log());
    let done = progress(&postgres, 7);
    assert_eq!((changes(&postgres).len() as u64, done % 10), (done, 0));
    let report = loaded(&postgres, &["--for", "50ms"]);
    assert_eq!(report["changes_in_all"], progress(&postgres, 7));
}

#[test]
fn a_second_run_of_the_seed_is_told_from_the_first() {
    let (postgres, dir) = (watched(), Dir::new("db-load"));
    let url = postgres.url();
    let args = ["db-load", "--url", &url, "--for", "1h", "--batch", "1", "--rate", "500"];
    let mut run = Highwater::command(&args, &[("PGPASSWORD", PASSWORD)], dir.path());
    wait_until(DEADLINE, "changes to be written", || (progress(&postgres, 7) > 0).then_some(()));
    // Whoever comes between the other's two looks is first, and chance decides who does.
    wait_until(DEADLINE, "the second run to be first once", || {
        let out = load(&url, &["--count", "1"]);
        let why = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() || why.contains("another db-load of seed 7 goes on here"), "{why}");
        out.status.success().then_some(())
    });
    assert_eq!(run.wait(DEADLINE).code(), Some(1), "{}", run.log());
    assert!(run.log().contains("another db-load of seed 7 goes on here"), "{}", run.log());
    // Nothing of what it wanted to write is there.
    assert_eq!(changes(&postgres).len() as u64, progress(&postgres, 7));
}

#[test]
fn what_is_wrong_is_named_with_the_way_out() {
    let postgres = Postgres::start();
    let url = postgres.url();
    let why = refused(&url, &[]);
    assert!(why.contains("no table public.customers, public.orders, public.events, public.visits"), "{why}");
    assert!(why.contains("db/init.sql") && why.contains("make pg-init"), "{why}");
    // Nothing was made in a database that is none of ours.
    assert_eq!(postgres.sql("select to_regclass('highwater_db_load.progress')"), "");

    let postgres = watched();
    let url = postgres.url();
    loaded(&postgres, &["--count", "50"]);
    for (args, parts) in [
        (&["--updates", "1"][..], &["seed 7 was begun with --updates 30 --deletes 5"][..]),
        (&["--deletes", "6"], &["seed 7 was begun with --updates 30 --deletes 5", "another --seed"]),
    ] {
        let why = refused(&url, args);
        parts.iter().for_each(|part| assert!(why.contains(part), "{part}: {why}"));
    }
    // A row that somebody took away.
    postgres.sql("delete from orders; delete from customers; delete from events; delete from visits");
    let before = progress(&postgres, 7);
    let why = refused(&url, &["--count", "500"]);
    assert!(why.contains("somebody else deleted it") && why.contains("seed 7"), "{why}");
    assert_eq!(progress(&postgres, 7), before);
    // Rows that the progress does not know of.
    loaded(&postgres, &["--seed", "8", "--count", "50"]);
    postgres.sql("delete from highwater_db_load.progress where seed = 8");
    let why = refused(&url, &["--seed", "8"]);
    assert!(why.contains("ids from 9000000001") && why.contains("take another --seed"), "{why}");
    postgres.sql("alter table orders rename column total to totals");
    let why = refused(&url, &[]);
    assert!(why.contains("public.orders") && why.contains("no column `total`, did you mean `totals`?"), "{why}");

    let nobody = format!("postgres://me:CANARY@127.0.0.1:{}/brew", free_port());
    let why = refused(&nobody, &[]);
    assert!(why.contains("no way to brew on 127.0.0.1:") && !why.contains("CANARY"), "{why}");
    let wrong = url.replace("postgres@", "postgres:CANARY@");
    let why = refused(&wrong, &[]);
    assert!(why.contains("password authentication failed") && why.contains("PGPASSWORD"), "{why}");
    assert!(!why.contains("CANARY"), "{why}");
    let why = refused(&format!("{url}?sslmode=require"), &[]);
    assert!(why.contains("speaks no TLS"), "{why}");
}

#[test]
fn help_shows_no_password_of_the_environment() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    let out =
        command.args(["db-load", "--help"]).env("DATABASE_URL", "postgres://me:CANARY@h/x").output().expect("help");
    let help = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(help.contains("DATABASE_URL") && !help.contains("CANARY"), "{help}");
}

#[test]
fn make_takes_composes_password_and_any_database() {
    let dir = Dir::new("make-db-load");
    std::fs::write(dir.join(".env"), "POSTGRES_PASSWORD=from the file\n").expect("a file");
    let recipe = |args: &[&str]| {
        let mut make = Command::new("make");
        make.args(["-n", "--no-print-directory", "-C"]).arg(dir.path()).arg("-f").arg(files::path("Makefile"));
        let out = make.args(args).env_remove("MAKEFLAGS").output().expect("make");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let usual = recipe(&["db-load", "DLOAD_COUNT=200"]);
    assert!(usual.contains("-- db-load --count 200 ") && usual.contains("localhost:15442/brew"), "{usual}");
    assert!(recipe(&["db-load", "DLOAD_RATE=50"]).contains("--count 1000 --rate 50 "));
    // The words before cargo's, as the shell reads them.
    let words: String =
        usual.lines().skip_while(|line| !line.starts_with("PGPASSWORD=")).take(2).collect::<Vec<_>>().join("\n");
    let script = format!(
        "cd '{}'; {} sh -c 'echo $PGPASSWORD $DATABASE_URL'",
        dir.path().display(),
        words.trim_end_matches('\\')
    );
    let out = Command::new("sh")
        .args(["-c", &script])
        .env_remove("PGPASSWORD")
        .env_remove("DATABASE_URL")
        .output()
        .expect("sh");
    assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "from the file postgres://postgres@localhost:15442/brew");
}
