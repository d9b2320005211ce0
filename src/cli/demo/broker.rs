//! A real broker for the demonstration, started by the repository's own script. It ends when its standard input does,
//! so that it cannot outlive us.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::log::LogError;

pub struct Broker {
    child: Child,
    port: u16,
}

impl Broker {
    pub fn start(program: &Path, dir: &Path) -> Result<Self, LogError> {
        let port = free_port().map_err(|e| LogError::Stop(format!("no free port: {e}")))?;
        let child = Command::new(program)
            .arg(port.to_string())
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| {
                LogError::Stop(format!(
                    "cannot start {}: {e}; run `make demo-kafka` in the repository",
                    program.display()
                ))
            })?;
        Ok(Self { child, port })
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends by itself now; waiting only collects it.
        let _ = self.child.wait();
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
