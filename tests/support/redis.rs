//! A real Redis, which is killed and comes back on the same port with what it had.

use std::path::Path;

use redis_client::{Connection, IntoConnectionInfo as _, RedisConnectionInfo};

use super::server::{Server, on_a_free_port};
use super::{DEADLINE, Dir, files, wait_until};

pub struct Redis {
    // None while it is away.
    server: Option<Server>,
    port: u16,
    password: String,
    dir: Dir,
}

impl Redis {
    pub fn start(password: &str) -> Self {
        on_a_free_port(|port| {
            let mut new = Self { server: None, port, password: password.into(), dir: Dir::new("redis") };
            new.try_start()?;
            Ok(new)
        })
    }

    /// One that is not there yet: a port, until [`restart`](Self::restart).
    pub fn away(password: &str) -> Self {
        let mut redis = Self::start(password);
        redis.kill();
        redis
    }

    fn try_start(&mut self) -> Result<(), String> {
        let program = files::fetched("redis", "redis-server");
        let libraries = format!("LD_LIBRARY_PATH={}", program.parent().unwrap_or(Path::new("")).join("lib").display());
        let (port, dir) = (self.port.to_string(), self.dir.path().display().to_string());
        let program = program.display().to_string();
        let args = ["TERM", "env", &libraries, &program, "--port", &port, "--bind", "127.0.0.1", "--dir", &dir];
        let kept = ["--save", "", "--appendonly", "yes", "--appendfsync", "always", "--requirepass", &self.password];
        let log = self.dir.join("redis.log");
        let server = Server::start("leashed", &[&args[..], &kept].concat(), &[], &log, || self.connect().is_ok())?;
        self.server = Some(server);
        Ok(())
    }

    pub fn kill(&mut self) {
        self.server.take().into_iter().for_each(|mut server| server.kill());
    }

    pub fn restart(&mut self) {
        self.kill();
        // The system may take a moment to let go of its port.
        wait_until(DEADLINE, "a Redis that is back", || self.try_start().ok());
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn connect(&self) -> redis_client::RedisResult<Connection> {
        let info = self.url().as_str().into_connection_info()?;
        let settings = RedisConnectionInfo::default().set_password(&self.password);
        redis_client::Client::open(info.set_redis_settings(settings))?.get_connection_with_timeout(DEADLINE)
    }

    /// Any command, its words apart by blanks.
    #[track_caller]
    pub fn ask<T: redis_client::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut asked = redis_client::cmd(words.next().unwrap_or_default());
        for word in words {
            asked.arg(word);
        }
        let mut connection = self.connect().unwrap_or_else(|e| panic!("{command}: {e}"));
        asked.query(&mut connection).unwrap_or_else(|e| panic!("{command}: {e}"))
    }

    pub fn get(&self, key: &str) -> Option<String> {
        self.ask(&format!("GET {key}"))
    }
}
