//! A real Kafka broker, one process a test binary or one a test.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::topics::{Clients, config};
use super::{DEADLINE, Dir, Proxy, signal, wait_until};

/// Runs `tools/kafka-broker`. Dropping it ends the broker and removes its data.
pub struct Broker {
    dir: Dir,
    port: u16,
    /// More arguments of the script.
    arguments: Vec<String>,
    pub(super) clients: Clients,
    // The process holds a pipe to us: the broker goes when we go.
    child: Option<Child>,
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

    fn start_with(arguments: impl Fn() -> Vec<String>) -> Self {
        // A port that was free a moment ago may be taken: another port, then.
        for attempt in 0.. {
            let (dir, arguments) = (Dir::new("broker"), arguments());
            let mut broker = Self { dir, port: free_port(), arguments, clients: Clients::default(), child: None };
            match broker.run() {
                Ok(()) => return broker,
                Err(why) if attempt < 4 => eprintln!("once more with another port: {why}"),
                Err(why) => panic!("{why}; see {}", broker.dir.path().display()),
            }
        }
        unreachable!("the loop returns or panics")
    }

    /// The broker that all tests of this binary share. Use topic and group names of your own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The directory of everything that it writes.
    pub fn path(&self) -> &Path {
        self.dir.path()
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

    /// Starts it again on the same port and data, after `kill`, `stop` or neither.
    pub fn restart(&mut self) {
        self.kill();
        self.run().unwrap_or_else(|why| panic!("{why}; see {}", self.dir.path().display()));
    }

    /// Stops its clock: connections stay open and nothing answers.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("the broker runs");
        signal::send(name, -i64::from(child.id()));
    }

    fn run(&mut self) -> Result<(), String> {
        let script_log = self.dir.join("script.log");
        let log = File::create(&script_log).map_err(|e| e.to_string())?;
        let child = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/kafka-broker"))
            .arg(self.port.to_string())
            .arg(self.dir.path())
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot start tools/kafka-broker: {e}"))?;
        let mut config = config(&self.bootstrap());
        config.set("log_level", "0");
        let client: BaseConsumer = config.create().map_err(|e| e.to_string())?;
        let child = self.child.insert(child);
        wait_until(DEADLINE, "a broker that answers", || {
            if let Ok(Some(status)) = child.try_wait() {
                let why = fs::read_to_string(&script_log).unwrap_or_default();
                return Some(Err(format!("the broker ended with {status}: {}", why.trim())));
            }
            let metadata = client.fetch_metadata(None, Duration::from_secs(1)).ok()?;
            (!metadata.brokers().is_empty()).then_some(Ok(()))
        })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Its data goes too: no need for a clean stop.
        self.kill();
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
