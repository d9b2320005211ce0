//! `postgres:` of a topology on a real Postgres: its replication slots as metrics, and nothing else harmed when it is away.

use std::process::Child;

use highwater::log::embedded::EmbeddedLog;
use highwater::log::{Client, Log as _};

use crate::database::Postgres;
use crate::support::process::page;
use crate::support::{DEADLINE, Dir, Highwater, wait_until};

const PASSWORD: &str = "canary-of-the-watcher-90417";

/// Killed when dropped.
struct Reader(Child);

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The value of a series.
fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn of(metric: &str, slot: &str) -> String {
    format!("highwater_pg_replication_slot_{metric}{{slot=\"{slot}\"}}")
}

fn status(slot: &str, status: &str) -> String {
    format!("highwater_pg_replication_slot_wal_status{{slot=\"{slot}\",status=\"{status}\"}}")
}

/// Once every series has the value that is wanted.
#[track_caller]
fn wait_for(highwater: &mut Highwater, wanted: &[(String, f64)]) -> String {
    let mut last = String::new();
    wait_until(DEADLINE, &format!("{wanted:?}"), || {
        last = page(highwater, "/metrics").1;
        wanted.iter().all(|(series, want)| value(&last, series) == Some(*want)).then(|| last.clone())
    })
}

/// An application that has nothing to do but to watch.
fn watching(dir: &Dir, url: &str, slots: &str) -> Highwater {
    let topology = format!(
        "application: app\nembedded: log\nstate: state\nhttp: 127.0.0.1:0\n\
         postgres: {{ url: '${{DATABASE_URL}}', slots: [{slots}], interval: 1s }}\n\
         streams:\n  s: {{ from: in, steps: [dedup, {{ mask: none }}], to: out }}\n"
    );
    // Without its topic it would not be ready.
    let log = EmbeddedLog::open(&dir.join("log"), Client::named("test")).expect("the log");
    log.admin().create("in", 1, &[]).expect("a topic");
    drop(log);
    Highwater::spawn(&topology, &[("DATABASE_URL", url)], dir.path())
}

#[test]
fn slots_are_told_as_postgres_has_them_and_nothing_is_told_while_it_is_away() {
    // Little is kept for whoever is away.
    let postgres = Postgres::with_settings(&["-c", "wal_keep_size=0", "-c", "max_slot_wal_keep_size=48MB"]);
    postgres.sql("create table t (id int primary key); create publication p for table t");
    for slot in ["idle", "live", "not_watched"] {
        postgres.sql(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')"));
    }
    let dir = Dir::new("slots");
    let url = format!("postgres://watcher:{PASSWORD}@127.0.0.1:{}/brew", postgres.port());
    // The role is not there yet: it is asked again until it is. No more than a login is needed.
    let mut highwater = watching(&dir, &url, "idle, live, gone");
    highwater.wait_for_log("replication slots are not seen");
    let shown = wait_for(&mut highwater, &[("highwater_pg_up".into(), 0.0)]);
    assert!(!shown.contains("replication_slot_active{"), "{shown}");
    postgres.sql(&format!("create role watcher login password '{PASSWORD}'"));
    let first = wait_for(
        &mut highwater,
        &[
            ("highwater_pg_up".into(), 1.0),
            (of("active", "idle"), 0.0),
            (of("active", "live"), 0.0),
            (of("active", "gone"), 0.0),
            (status("idle", "reserved"), 1.0),
            (status("idle", "lost"), 0.0),
            (status("gone", "missing"), 1.0),
        ],
    );
    assert!(!first.contains("not_watched") && value(&first, &of("wal_bytes", "gone")).is_none(), "{first}");
    highwater.wait_for_log("its replication slots are seen again");

    // One is read, the other keeps what is written meanwhile.
    let reader = Reader(postgres.reader_of("live", "p").spawn().expect("pg_recvlogical"));
    wait_for(&mut highwater, &[(of("active", "live"), 1.0), (of("active", "idle"), 0.0)]);
    postgres.sql("select pg_logical_emit_message(false, 'x', repeat('x', 3000000))");
    wait_until(DEADLINE, "bytes that are kept", || {
        let page = page(&mut highwater, "/metrics").1;
        let bytes = |metric, slot| value(&page, &of(metric, slot)).unwrap_or(0.0);
        let kept = bytes("wal_bytes", "idle") >= 3e6 && bytes("unconfirmed_bytes", "idle") >= 3e6;
        (kept && bytes("unconfirmed_bytes", "live") < 1e6).then_some(())
    });
    drop(reader);
    wait_for(&mut highwater, &[(of("active", "live"), 0.0)]);

    // A slot that holds up more than it may loses it at the next checkpoint.
    for _ in 0..6 {
        postgres.sql("select pg_logical_emit_message(true, 'x', repeat('x', 9000000)), pg_switch_wal()");
    }
    postgres.sql("checkpoint");
    let lost = wait_for(&mut highwater, &[(status("idle", "lost"), 1.0), (status("idle", "reserved"), 0.0)]);
    assert!(value(&lost, &of("wal_bytes", "idle")).is_none(), "it keeps nothing any more: {lost}");

    // A connection that is cut is made again.
    postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'watcher'");
    wait_until(DEADLINE, "another connection", || {
        let sql = "select count(*) from pg_stat_activity where usename = 'watcher'";
        (postgres.sql(sql) == "1").then_some(())
    });
    wait_for(&mut highwater, &[("highwater_pg_up".into(), 1.0), (status("idle", "lost"), 1.0)]);
    drop(postgres);
    let away = wait_for(&mut highwater, &[("highwater_pg_up".into(), 0.0)]);
    assert!(!away.contains("slot=\""), "what is not known is not shown: {away}");
    assert_eq!(page(&mut highwater, "/healthz").0, 200);
    assert_eq!(page(&mut highwater, "/readyz").0, 200);
    highwater.sigterm();
    assert!(highwater.wait(DEADLINE).success(), "{}", highwater.log());
    let shown = [highwater.log(), first, away].concat();
    assert!(!shown.contains(PASSWORD) && !shown.contains("canary"), "{shown}");
}

/// A standby has no present of its own to measure from.
#[test]
fn a_standby_tells_of_its_slots_too() {
    let postgres = Postgres::start();
    let standby = postgres.standby();
    standby.sql("select pg_create_physical_replication_slot('below', true)");
    let url = format!("postgres://postgres:{}@127.0.0.1:{}/brew", "the%20superuser's", standby.port());
    let dir = Dir::new("standby");
    let mut highwater = watching(&dir, &url, "");
    wait_for(&mut highwater, &[("highwater_pg_up".into(), 1.0), (of("active", "below"), 0.0)]);
    postgres.sql("select pg_logical_emit_message(false, 'x', repeat('x', 3000000))");
    wait_until(DEADLINE, "bytes that the standby keeps", || {
        let page = page(&mut highwater, "/metrics").1;
        (value(&page, &of("wal_bytes", "below")) >= Some(3e6)).then_some(())
    });
    highwater.sigterm();
    assert!(highwater.wait(DEADLINE).success(), "{}", highwater.log());
}
