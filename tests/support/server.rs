//! Servers, run by a script of `tools/`: they end when their test ends, however that one ends.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{DEADLINE, files, signal, wait_until};

/// A running script. It holds the read end of a pipe to us and stops its server when that closes.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Runs `tools/NAME` and returns when `ready`; with the reason, when it ends before that.
    pub fn start(
        name: &str,
        args: &[&str],
        env: &[(&str, &str)],
        log: &Path,
        mut ready: impl FnMut() -> bool,
    ) -> Result<Self, String> {
        let stderr = File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
        let child = Command::new(files::path("tools").join(name))
            .args(args)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot start tools/{name}: {e}"))?;
        let mut server = Self { child, log: log.to_owned() };
        wait_until(DEADLINE, &format!("tools/{name} to be ready"), || {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Some(Err(format!("tools/{name} ended with {status}: {}", server.log().trim())));
            }
            ready().then_some(Ok(()))
        })?;
        Ok(server)
    }

    /// SIGKILL to all of it. Returns when it is gone.
    pub fn kill(&mut self) {
        signal::send("KILL", -i64::from(self.child.id()));
        let _ = self.child.wait();
    }

    /// Of the script; the server is below it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Postgres gives its shared memory back only when it is asked to end.
        drop(self.child.stdin.take());
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(10) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }
}

/// Starts on other ports until one is free: a port that was free a moment ago may be taken.
#[track_caller]
pub fn on_a_free_port<S>(mut start: impl FnMut(u16) -> Result<S, String>) -> S {
    for attempt in 0.. {
        match start(super::broker::free_port()) {
            Ok(server) => return server,
            Err(why) if attempt < 2 => eprintln!("once more with another port: {why}"),
            Err(why) => panic!("{why}"),
        }
    }
    unreachable!("the loop returns or panics")
}
