//! A reader at a terminal: one directory, one command after the other.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::page::ROOT;
use crate::support::broker::free_port;
use crate::support::signal::{self, Leash};
use crate::support::{Broker, DEADLINE, Dir};

/// Where documents say that Kafka is, and the pages of a running instance.
const KAFKA: &str = "localhost:9092";
const PAGES: &str = "127.0.0.1:9464";

pub struct Session {
    dir: Dir,
    port: u16,
    /// Of its own: documents use the same names of topics.
    kafka: OnceCell<Broker>,
}

pub struct Said {
    pub code: Option<i32>,
    /// Both streams, as a terminal shows them.
    pub output: String,
}

impl Session {
    /// In an empty directory, or in what is a clone to those who only read.
    pub fn new(in_clone: bool) -> Self {
        let session = Self { dir: Dir::new("docs"), port: free_port(), kafka: OnceCell::new() };
        fs::create_dir(session.dir.join("home")).expect("a home");
        fs::create_dir(session.dir.join("bin")).expect("a folder");
        fs::write(session.dir.join("exported"), "").expect("a file");
        // Many tests run at once, and an instance takes a port.
        let program = format!(
            "#!/bin/sh\ncase \"$*\" in run*--http*) ;; run*) set -- \"$@\" --http 127.0.0.1:{} ;; esac\nexec '{}' \"$@\"\n",
            session.port,
            env!("CARGO_BIN_EXE_highwater")
        );
        let path = session.dir.join("bin/highwater");
        fs::write(&path, program).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
        let desk = session.desk();
        fs::create_dir(&desk).expect("a desk");
        if in_clone {
            for entry in fs::read_dir(ROOT).expect("the repository").map(|entry| entry.expect("an entry")) {
                let (name, path) = (entry.file_name(), entry.path());
                if ["state", "target", ".git"].iter().any(|other| name == *other) {
                    continue;
                }
                // What is written goes into copies.
                let there = desk.join(&name);
                let done = if path.is_file() { fs::copy(path, there).map(drop) } else { symlink(path, there) };
                done.unwrap_or_else(|e| panic!("{}: {e}", name.display()));
            }
        }
        session
    }

    /// Where the reader is.
    pub fn desk(&self) -> std::path::PathBuf {
        self.dir.join("desk")
    }

    /// A command to its end. `highwater run` gets a SIGINT when it has read everything.
    pub fn run(&self, command: &str, on_kafka: bool) -> Said {
        let kafka = if on_kafka { self.kafka.get_or_init(Broker::start).bootstrap() } else { "127.0.0.1:1".to_owned() };
        let command = command.replace(KAFKA, &kafka);
        let runs = is_run(&command);
        let exported = self.dir.join("exported");
        let before = format!(". '{}'\nexport KAFKA_BOOTSTRAP_SERVERS={kafka}", exported.display());
        let exported = exported.display();
        let script = match runs {
            // It becomes the process that gets the signal.
            true => format!("{before}\n{}", command.replacen("highwater ", "exec highwater ", 1)),
            false => {
                format!("set -o pipefail\n{before}\n{command}\nstatus=$?\nexport -p > '{exported}'\nexit $status")
            }
        };
        let out = self.dir.join("output");
        let file = File::create(&out).expect("a file");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).current_dir(self.desk()).env_clear();
        shell.env("PATH", format!("{}:{path}", self.dir.join("bin").display()));
        shell.env("HOME", self.dir.join("home")).env("LANG", "C.UTF-8");
        shell.stdin(Stdio::null()).stdout(file.try_clone().expect("a file")).stderr(file);
        let mut child = shell.spawn().expect("bash");
        let leash = Leash::on(child.id());
        let begun = Instant::now();
        let mut told = false;
        let status = loop {
            if let Some(status) = child.try_wait().expect("a process") {
                break status;
            }
            if runs && !told && self.caught_up() {
                signal::send("INT", i64::from(child.id()));
                told = true;
            }
            if begun.elapsed() > DEADLINE {
                let _ = child.kill();
                let _ = child.wait();
                panic!("`{command}` does not end: {}", read(&out));
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        drop(leash);
        let pages = format!("127.0.0.1:{}", self.port);
        let output = read(&out).replace(&pages, PAGES);
        let output = if on_kafka { output.replace(&kafka, KAFKA) } else { output };
        Said { code: status.code(), output }
    }

    /// Every task runs, and none has anything left that was committed to its source.
    fn caught_up(&self) -> bool {
        if !self.get("/readyz").is_some_and(|answer| answer.contains(" 200 ")) {
            return false;
        }
        let metrics = self.get("/metrics").unwrap_or_default();
        let values = |name: &str| -> Vec<f64> {
            let lines = metrics.lines().filter(|line| line.starts_with(name));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
        };
        let lags = values("highwater_consumer_lag_records{");
        let running = values("highwater_tasks{state=\"running\"}");
        !lags.is_empty() && running == [lags.len() as f64] && lags.iter().all(|lag| *lag == 0.0)
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// `highwater run`, with settings before it or not.
fn is_run(command: &str) -> bool {
    let mut words = command.split_whitespace().skip_while(|word| word.contains('='));
    words.next() == Some("highwater") && words.next() == Some("run")
}
