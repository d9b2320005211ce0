//! Signals, without unsafe code: the shell sends them.

use std::process::{Child, Command, Stdio};

/// Sends a signal by its name ("KILL", "STOP", …) to a process, or to a process group where `target` is negative.
pub fn send(signal: &str, target: i64) {
    let status = Command::new("bash")
        .args(["-c", "kill -s \"$0\" -- \"$1\"", signal, &target.to_string()])
        .stderr(Stdio::null())
        .status();
    status.unwrap_or_else(|e| panic!("cannot send {signal}: {e}"));
}

/// Kills a process when the one that holds the leash ends, however that one dies.
pub struct Leash(Child);

impl Leash {
    pub fn on(pid: u32) -> Self {
        // Its own process group: an interrupt from the terminal must not take the leash before the dog.
        let mut command = Command::new("bash");
        command.args(["-c", "while read -r _; do :; done; kill -KILL \"$0\"", &pid.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Self(command.spawn().unwrap_or_else(|e| panic!("cannot start bash: {e}")))
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        // Before its input closes: what it watched has ended, and the id may be another's by now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
