//! Rows that are written into Postgres every quarter of a second, each table in turn, and looked for in ClickHouse: how late
//! they are, whatever Highwater says of it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::stage::LONG;
use crate::support::database::{Postgres, TABLES};
use crate::support::http::Connection;
use crate::support::wait_until;

const EVERY: Duration = Duration::from_millis(250);
/// How often it is looked: so much too late a row may be seen.
const LOOK: Duration = Duration::from_millis(50);
/// Of rows that nobody else writes.
const FIRST: u64 = 500_000_000;

#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// When its transaction was sent: it was committed after that.
    pub committed: Instant,
    pub seen: Option<Instant>,
}

impl Seen {
    pub fn late(&self) -> Option<Duration> {
        self.seen.map(|seen| seen - self.committed)
    }
}

type Probes = Arc<Mutex<BTreeMap<u64, Seen>>>;

pub struct Probe {
    probes: Probes,
    stop_writing: Arc<AtomicBool>,
    stop_looking: Arc<AtomicBool>,
    writer: JoinHandle<()>,
    looker: JoinHandle<()>,
}

impl Probe {
    pub fn start(postgres: &Postgres, clickhouse: u16) -> Self {
        let probes = Probes::default();
        let [stop_writing, stop_looking] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let mut session = Session::open(postgres);
        let (to, stop) = (probes.clone(), stop_writing.clone());
        let writer = thread::spawn(move || {
            for id in FIRST.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let committed = Instant::now();
                let table = TABLES[(id % 4) as usize];
                session.run(&format!("insert into {table} (id) values ({id}) returning id"));
                to.lock().expect("no panic").insert(id, Seen { committed, seen: None });
                thread::sleep(EVERY.saturating_sub(committed.elapsed()));
            }
        });
        let (of, stop) = (probes.clone(), stop_looking.clone());
        let looker = thread::spawn(move || {
            let mut connection = None;
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(LOOK);
                let waiting =
                    of.lock().expect("no panic").iter().find(|(_, probe)| probe.seen.is_none()).map(|(id, _)| *id);
                let Some(first) = waiting else { continue };
                let Some(ids) = look(&mut connection, clickhouse, first) else {
                    connection = None;
                    continue;
                };
                let (now, mut probes) = (Instant::now(), of.lock().expect("no panic"));
                for id in ids {
                    if let Some(probe) = probes.get_mut(&id) {
                        probe.seen.get_or_insert(now);
                    }
                }
            }
        });
        Self { probes, stop_writing, stop_looking, writer, looker }
    }

    /// Waits until the last one is seen.
    pub fn stop(self) -> Vec<Seen> {
        self.stop_writing.store(true, Ordering::Relaxed);
        self.writer.join().expect("the probes were written");
        wait_until(LONG, "the last probe to be seen", || {
            self.probes.lock().expect("no panic").values().all(|probe| probe.seen.is_some()).then_some(())
        });
        self.stop_looking.store(true, Ordering::Relaxed);
        self.looker.join().expect("the probes were looked for");
        self.probes.lock().expect("no panic").values().copied().collect()
    }
}

/// The probes from `first` on that are visible; None while nobody answers.
fn look(connection: &mut Option<Connection>, port: u16, first: u64) -> Option<Vec<u64>> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Connection::to(port).ok()?),
    };
    let of = |table| format!("select id from brew.{table} where id between {first} and 999999999");
    let sql = TABLES.map(of).join(" union all ");
    let reply = connection.exchange("POST", "/", &[("X-ClickHouse-User", "default")], sql.as_bytes()).ok()?;
    (reply.status == 200).then(|| reply.text().lines().filter_map(|line| line.parse().ok()).collect())
}

/// A `psql` that stays.
struct Session {
    child: Child,
    input: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Session {
    fn open(postgres: &Postgres) -> Self {
        let mut command = postgres.session();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql");
        let input = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, input, answers }
    }

    /// One statement that answers one line.
    fn run(&mut self, sql: &str) -> String {
        writeln!(self.input.as_mut().expect("an open session"), "{sql};").expect("psql takes it");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("psql answers");
        assert!(!line.trim().is_empty(), "psql ended: {sql}");
        line
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
