//! The binary at work, its input and output in our hands.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::signal::{self, Leash};
use crate::support::{DEADLINE, wait_until};

/// The binary at work. Killed when dropped, and when the test process dies.
pub struct Running {
    pub child: Child,
    leash: Option<Leash>,
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<BufReader<ChildStdout>>,
    pub stderr: PathBuf,
}

pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is missing in\n{}", self.stderr);
        }
        self
    }

    #[track_caller]
    pub fn silent(self) -> Self {
        assert_eq!(self.stderr, "");
        self
    }
}

impl Running {
    pub fn start(args: &[impl AsRef<std::ffi::OsStr>], dir: &Path) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let stderr = dir.join(format!("stderr-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        for name in ["HIGHWATER_FILE", "HIGHWATER_LOG", "HIGHWATER_LOG_FORMAT", "HIGHWATER_STATE", "UNSET"] {
            command.env_remove(name);
        }
        command.args(args).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(fs::File::create(&stderr).expect("a file"));
        let mut child = command.spawn().expect("highwater");
        let leash = Some(Leash::on(child.id()));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Self { child, leash, stdin, stdout, stderr }
    }

    pub fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("an open input");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("an input that is read");
    }

    /// The next line of its output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().expect("an output").read_line(&mut line).expect("a line");
        line
    }

    pub fn signal(&self, name: &str) {
        signal::send(name, i64::from(self.child.id()));
    }

    /// The most it has had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).expect("a file")).into_owned()
    }

    /// Gives it the input to its end, and waits for its own.
    pub fn finish(mut self, input: &[u8]) -> Said {
        let mut stdin = self.stdin.take();
        let text = std::thread::scope(|scope| {
            // Who has enough of its input does not read on.
            scope.spawn(move || stdin.as_mut().map(|stdin| stdin.write_all(input)));
            let mut text = Vec::new();
            self.stdout.as_mut().map(|stdout| stdout.read_to_end(&mut text)).transpose().expect("an output");
            text
        });
        let stdout = String::from_utf8(text).expect("UTF-8");
        let ended = wait_until(DEADLINE, "the end of a command", || self.child.try_wait().expect("a status"));
        self.leash = None;
        Said { code: ended.code(), stdout, stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.stderr.display(), self.stderr());
        }
    }
}
