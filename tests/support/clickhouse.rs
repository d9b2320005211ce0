//! ClickHouse: its engine behind its HTTP protocol, one process a test binary or one a test.

use std::fs::{self, File};
use std::io;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::broker::free_port;
use super::http::{Connection, Reply, encode};
use super::{DEADLINE, Dir, signal, wait_until};

pub type Row = Map<String, Value>;

/// Runs `tools/clickhouse-server`. Dropping it ends it and removes its data.
pub struct ClickHouse {
    port: u16,
    user: String,
    password: String,
    // The process holds a pipe to us: it goes when we go.
    child: Option<Child>,
    // After the process: fields drop in this order.
    dir: Dir,
}

impl ClickHouse {
    /// One of one's own, for tests that make it fail; user `default`, no password.
    pub fn start() -> Self {
        Self::with_user("default", "")
    }

    pub fn with_user(user: &str, password: &str) -> Self {
        // A port that was free a moment ago may be taken: another port, then.
        for attempt in 0.. {
            let (dir, port) = (Dir::new("clickhouse"), free_port());
            let mut new = Self { port, user: user.into(), password: password.into(), child: None, dir };
            match new.try_start() {
                Ok(()) => return new,
                Err(why) if attempt < 4 => eprintln!("once more with another port: {why}"),
                Err(why) => panic!("{why}; see {}", new.path().display()),
            }
        }
        unreachable!("the loop returns or panics")
    }

    /// The one that all tests of this binary share. Use names of your own, and arm no faults.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ClickHouse> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    pub fn password(&self) -> &str {
        &self.password
    }

    /// The directory of everything that it writes.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    // --- statements ------------------------------------------------------------------------------------------------

    /// One statement, and the rows that it answers.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Row> {
        let reply = self.ask(sql, &[]).unwrap_or_else(|e| panic!("{e}: {sql}"));
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        let text = reply.text();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// The only value of the only row.
    #[track_caller]
    pub fn value(&self, sql: &str) -> Value {
        let rows = self.query(sql);
        assert!(rows.len() == 1 && rows[0].len() == 1, "{sql}: {rows:?}");
        rows[0].values().next().cloned().expect("a value")
    }

    /// How many rows a table has.
    #[track_caller]
    pub fn count(&self, table: &str) -> u64 {
        self.value(&format!("SELECT count() FROM {table}")).as_u64().expect("a number")
    }

    /// A statement with settings, whatever comes of it. An error where no whole answer comes.
    pub fn ask(&self, sql: &str, settings: &[(&str, &str)]) -> io::Result<Reply> {
        self.post(&[&[("default_format", "JSONEachRow")], settings].concat(), sql.as_bytes())
    }

    /// An insert: the statement in the address, the rows in the body.
    pub fn insert(&self, sql: &str, settings: &[(&str, &str)], rows: &[u8]) -> io::Result<Reply> {
        self.post(&[&[("query", sql)], settings].concat(), rows)
    }

    /// A POST with these parameters and this body, as the user that may.
    pub fn post(&self, parameters: &[(&str, &str)], body: &[u8]) -> io::Result<Reply> {
        let headers = [("X-ClickHouse-User", self.user.as_str()), ("X-ClickHouse-Key", &self.password)];
        self.connect()?.exchange("POST", &target(parameters), &headers, body)
    }

    pub fn connect(&self) -> io::Result<Connection> {
        Connection::to(self.port)
    }

    // --- faults: tools/clickhouse/faults.py says what each does ----------------------------------------------------

    /// Arms one fault, or a list of them.
    #[track_caller]
    pub fn arm(&self, fault: &Value) {
        let reply = self.control("POST", "/_fault", fault.to_string().as_bytes());
        assert_eq!(reply.status, 200, "{fault}: {}", reply.text());
    }

    #[track_caller]
    pub fn disarm(&self) {
        self.control("DELETE", "/_fault", b"");
    }

    /// What is still armed, and what has fired since the process began: `{"armed": […], "fired": […]}`.
    #[track_caller]
    pub fn faults(&self) -> Value {
        serde_json::from_slice(&self.control("GET", "/_fault", b"").body).expect("JSON")
    }

    /// How many statements the engine was given since the process began, and how many of them were inserts.
    #[track_caller]
    pub fn queries(&self) -> (u64, u64) {
        let counts: Value = serde_json::from_slice(&self.control("GET", "/_queries", b"").body).expect("JSON");
        (counts["queries"].as_u64().expect("a number"), counts["inserts"].as_u64().expect("a number"))
    }

    #[track_caller]
    pub fn control(&self, method: &str, target: &str, body: &[u8]) -> Reply {
        let reply = self.connect().and_then(|mut connection| connection.exchange(method, target, &[], body));
        reply.unwrap_or_else(|e| panic!("{method} {target}: {e}"))
    }

    // --- the process -----------------------------------------------------------------------------------------------

    /// SIGKILL, as a machine that loses power. Returns when the process is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal::send("KILL", -i64::from(child.id()));
            let _ = child.wait();
            // The script has ended; the server below it lets go of its directory before its port.
            wait_until(DEADLINE, "the killed server's port", || TcpStream::connect(("127.0.0.1", self.port)).err());
        }
    }

    /// The script's process; the server is below it.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it was started").id()
    }

    /// A clean stop, as when its owner goes.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        drop(self.child.as_mut().expect("it was started").stdin.take());
        self.ended()
    }

    /// Asks it to end: TERM or INT.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        signal::send(name, i64::from(self.child.as_ref().expect("it was started").id()));
    }

    /// Waits until it has ended: after a signal, or the fault `kill_before` or `kill_after`.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("it was started");
        wait_until(DEADLINE, "the server to end", || child.try_wait().expect("a child"))
    }

    /// Starts it again on the same port and data, after `kill`, `stop`, a fault that killed it, or none of them.
    pub fn restart(&mut self) {
        self.kill();
        self.try_start().unwrap_or_else(|why| panic!("{why}; see {}", self.path().display()));
    }

    /// A second process on this directory or this port: how it ended, and what it said.
    pub fn run_another(&self, port: u16, dir: &Path) -> (ExitStatus, String) {
        let mut command = command(port, dir);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("tools/clickhouse-server");
        // Held open: it would end with its input.
        let _stdin = child.stdin.take();
        let output = child.wait_with_output().expect("a child");
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn try_start(&mut self) -> Result<(), String> {
        let script_log = self.dir.join("script.log");
        let child = command(self.port, self.path())
            .env("CLICKHOUSE_USER", &self.user)
            .env("CLICKHOUSE_PASSWORD", &self.password)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&script_log).map_err(|e| e.to_string())?)
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot start tools/clickhouse-server: {e}"))?;
        let child = self.child.insert(child);
        let ping = || Connection::to(self.port)?.exchange("GET", "/ping", &[], b"");
        wait_until(DEADLINE, "a ClickHouse that answers", || {
            if let Ok(Some(status)) = child.try_wait() {
                let why = fs::read_to_string(&script_log).unwrap_or_default();
                return Some(Err(format!("the server ended with {status}: {}", why.trim())));
            }
            ping().is_ok_and(|reply| reply.text() == "Ok.\n").then_some(Ok(()))
        })
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        // Its data goes too: no need for a clean stop.
        self.kill();
    }
}

/// The address of a statement with these parameters.
pub fn target(parameters: &[(&str, &str)]) -> String {
    let parameters: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    format!("/?{}", parameters.join("&"))
}

fn command(port: u16, dir: &Path) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/clickhouse-server"));
    command.arg(port.to_string()).arg(dir);
    command
}
