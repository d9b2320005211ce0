//! The built binary as a process.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::signal::{self, Leash};
use super::{DEADLINE, wait_until};

/// `highwater run` on a topology. Killed when dropped, and when the test process dies.
pub struct Highwater {
    child: Child,
    leash: Option<Leash>,
    log: PathBuf,
}

impl Highwater {
    /// Writes the topology into `dir` and runs it there: `state: { path: state }` lies in `dir`, and a second
    /// instance takes another `dir`. Started again on the same `dir` it finds its state.
    pub fn spawn(topology: &str, env: &[(&str, &str)], dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap_or_else(|e| panic!("cannot make {}: {e}", dir.display()));
        let file = dir.join("topology.yaml");
        fs::write(&file, topology).unwrap_or_else(|e| panic!("cannot write {}: {e}", file.display()));
        Self::command(&["run", "-f", "topology.yaml"], env, dir)
    }

    /// Any command of the binary, its standard error kept in a file of its own.
    pub fn command(args: &[&str], env: &[(&str, &str)], dir: &Path) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let log = dir.join(format!("highwater-{}.log", COUNT.fetch_add(1, Ordering::Relaxed)));
        let stderr = File::create(&log).unwrap_or_else(|e| panic!("cannot write {}: {e}", log.display()));
        let child = Command::new(env!("CARGO_BIN_EXE_highwater"))
            .args(args)
            .envs(env.iter().copied())
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start highwater: {e}"));
        let leash = Some(Leash::on(child.id()));
        Self { child, leash, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it and waits until it is gone.
    pub fn sigkill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.leash = None;
    }

    pub fn sigstop(&self) {
        self.signal("STOP");
    }

    pub fn sigcont(&self) {
        self.signal("CONT");
    }

    pub fn sigterm(&self) {
        self.signal("TERM");
    }

    fn signal(&self, name: &str) {
        // Once it was waited for, its id may be another's.
        assert!(self.leash.is_some(), "highwater has ended; its log:\n{}", self.log());
        signal::send(name, i64::from(self.child.id()));
    }

    /// None while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().unwrap_or_else(|e| panic!("cannot wait for highwater: {e}"));
        if status.is_some() {
            self.leash = None;
        }
        status
    }

    /// Waits until it has ended; its log is in the message when it does not.
    #[track_caller]
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let start = std::time::Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(start.elapsed() < deadline, "highwater still runs; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a text in the log; fails at once when the process has ended without it.
    #[track_caller]
    pub fn wait_for_log(&mut self, text: &str) {
        wait_until(DEADLINE, &format!("{text:?} in {}", self.log.display()), || {
            let ended = self.ended();
            if self.log().contains(text) {
                return Some(());
            }
            assert!(ended.is_none(), "highwater ended without {text:?}; its log:\n{}", self.log());
            None
        });
    }

    /// What it has written to standard error.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn log_path(&self) -> &Path {
        &self.log
    }
}

impl Drop for Highwater {
    fn drop(&mut self) {
        self.sigkill();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.lines().rev().take(40).collect::<Vec<_>>();
            eprintln!("--- end of {}", self.log.display());
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Status and text of one of an instance's pages.
pub fn page(highwater: &mut Highwater, path: &str) -> (u16, String) {
    highwater.wait_for_log("serving /metrics");
    let log = highwater.log();
    let line = log.lines().find(|line| line.contains("serving /metrics")).expect("just seen");
    let (_, port) = line.split_once("127.0.0.1:").expect("an address");
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    (status, body.to_string())
}
