//! A real Kafka Connect worker with compose's settings, and Debezium in it.

use std::process::{Command, Output};

use super::database::{DEBEZIUM_PASSWORD, Postgres};
use super::server::{Server, on_a_free_port};
use super::{Broker, Dir, compose, files, http};

/// The connector of the repository.
pub const SOURCE: &str = "connectors/debezium-pg-source.json";

/// A worker of one's own.
pub struct Worker {
    server: Server,
    pub port: u16,
}

impl Worker {
    pub fn start(broker: &Broker, postgres: &Postgres, dir: &Dir) -> Self {
        let settings = compose::worker_properties();
        on_a_free_port(|port| {
            let (text, path) = (port.to_string(), dir.join("connect").to_string_lossy().into_owned());
            let bootstrap = broker.bootstrap();
            let mut args = vec![text.as_str(), &bootstrap, &path];
            args.extend(settings.iter().map(String::as_str));
            let postgres_port = postgres.port().to_string();
            let env = [
                ("POSTGRES_HOST", "127.0.0.1"),
                ("POSTGRES_PORT", &postgres_port),
                ("DEBEZIUM_PASSWORD", DEBEZIUM_PASSWORD),
            ];
            let ready = || http::get(port, "/connector-plugins").is_some_and(|(status, _)| status == 200);
            let server = Server::start("connect-worker", &args, &env, &dir.join("connect.log"), ready)?;
            Ok(Self { server, port })
        })
    }

    fn connectors(&self, args: &[&str]) -> Output {
        let mut command = Command::new(files::path("tools/connectors"));
        command.args(args).env("CONNECT_URL", format!("http://127.0.0.1:{}", self.port));
        command.output().expect("tools/connectors")
    }

    /// What it prints; it must succeed.
    #[track_caller]
    pub fn done(&self, args: &[&str]) -> String {
        let out = self.connectors(args);
        let (said, why) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{args:?}: {said}{why}");
        said.into_owned()
    }

    /// All that it says; it must fail.
    #[track_caller]
    pub fn refused(&self, args: &[&str]) -> String {
        let out = self.connectors(args);
        let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.code(), Some(1), "{args:?}: {said}");
        said
    }

    /// SIGKILL: what it had not stored of its offsets, its successor sends again.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// The script's process; the worker is below it.
    pub fn id(&self) -> u32 {
        self.server.id()
    }
}
