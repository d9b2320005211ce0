//! A real Kafka broker, one process a test binary or one a test.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::topics::{Clients, config};
use super::{DEADLINE, Dir, Proxy, signal, wait_until};

/// One `tools/kafka-broker`, running or not. Dropping it kills it; its directory is its owner's.
pub(super) struct Server {
    pub port: u16,
    dir: PathBuf,
    /// More arguments of the script, and variables of its environment.
    arguments: Vec<String>,
    env: Vec<(&'static str, String)>,
    // The process holds a pipe to us: the broker goes when we go.
    child: Option<Child>,
}

impl Server {
    pub fn new(port: u16, dir: &Path) -> Self {
        Self { port, dir: dir.into(), arguments: Vec::new(), env: Vec::new(), child: None }
    }

    pub fn with(mut self, arguments: Vec<String>, env: Vec<(&'static str, String)>) -> Self {
        (self.arguments, self.env) = (arguments, env);
        self
    }

    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Does not wait until it answers.
    pub fn start(&mut self) -> Result<(), String> {
        let log = File::create(self.dir.join("script.log")).map_err(|e| e.to_string())?;
        let child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/kafka-broker"))
            .arg(self.port.to_string())
            .arg(&self.dir)
            .args(&self.arguments)
            .envs(self.env.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn();
        self.child = Some(child.map_err(|e| format!("cannot start tools/kafka-broker: {e}"))?);
        Ok(())
    }

    /// Waits until it answers, or says why it ended instead.
    pub fn wait(&mut self) -> Result<(), String> {
        let mut config = config(&format!("127.0.0.1:{}", self.port));
        config.set("log_level", "0");
        let client: BaseConsumer = config.create().map_err(|e| e.to_string())?;
        let Some(child) = &mut self.child else { return Err("it was not started".into()) };
        wait_until(DEADLINE, "a broker that answers", || {
            if let Ok(Some(status)) = child.try_wait() {
                let why = fs::read_to_string(self.dir.join("script.log")).unwrap_or_default();
                return Some(Err(format!("the broker ended with {status}: {}", why.trim())));
            }
            let metadata = client.fetch_metadata(None, Duration::from_secs(1)).ok()?;
            (!metadata.brokers().is_empty()).then_some(Ok(()))
        })
    }

    /// SIGKILL, as a machine that loses power. Returns when the process is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal::send("KILL", -i64::from(child.id()));
            let _ = child.wait();
        }
    }

    /// A clean stop.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }

    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("the broker runs");
        signal::send(name, -i64::from(child.id()));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its data goes too: no need for a clean stop.
        self.kill();
    }
}

/// Runs `tools/kafka-broker`. Dropping it ends the broker and removes its data.
pub struct Broker {
    // Before its directory: fields drop in this order.
    server: Server,
    dir: Dir,
    clients: Clients,
}

impl Broker {
    /// A broker of one's own: for tests that kill it.
    pub fn start() -> Self {
        Self::start_with(Vec::new)
    }

    /// A broker with a second door: what comes to the proxy stays behind it, and the tests' own clients go past it.
    pub fn start_behind(proxy: &Proxy, features: &[&str]) -> Self {
        Self::start_with(|| {
            let port = free_port();
            proxy.lead_to(port);
            let features = features.iter().flat_map(|feature| ["--feature".to_owned(), (*feature).to_owned()]);
            ["--proxied".to_owned(), format!("{port}:{}", proxy.port())].into_iter().chain(features).collect()
        })
    }

    /// `arguments`: more of the script's, made anew for each attempt.
    pub fn start_with(arguments: impl Fn() -> Vec<String>) -> Self {
        // A port that was free a moment ago may be taken: another port, then.
        for attempt in 0.. {
            let (dir, port) = (Dir::new("broker"), free_port());
            let mut server = Server::new(port, dir.path()).with(arguments(), Vec::new());
            match server.start().and_then(|()| server.wait()) {
                Ok(()) => return Self { server, dir, clients: Clients::of(format!("127.0.0.1:{port}"), 1) },
                Err(why) if attempt < 4 => eprintln!("once more with another port: {why}"),
                Err(why) => panic!("{why}; see {}", dir.path().display()),
            }
        }
        unreachable!("the loop returns or panics")
    }

    /// The broker that all tests of this binary share. Use topic and group names of your own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The directory of everything that it writes.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The script's process; the broker is below it.
    pub fn id(&self) -> u32 {
        self.server.child.as_ref().expect("the broker runs").id()
    }

    /// SIGKILL, as a machine that loses power. Returns when the process is gone.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// A clean stop.
    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Starts it again on the same port and data, after `kill`, `stop` or neither.
    pub fn restart(&mut self) {
        self.kill();
        let started = self.server.start().and_then(|()| self.server.wait());
        started.unwrap_or_else(|why| panic!("{why}; see {}", self.dir.path().display()));
    }

    /// Stops its clock: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.server.signal("STOP");
    }

    pub fn resume(&self) {
        self.server.signal("CONT");
    }
}

impl Deref for Broker {
    type Target = Clients;

    fn deref(&self) -> &Clients {
        &self.clients
    }
}

/// A port nobody listens on, below the range that outgoing connections take theirs from.
pub fn free_port() -> u16 {
    for attempt in 0..1000_u32 {
        let port = 10_000 + (RandomState::new().hash_one(attempt) % 20_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port")
}
