//! A real Postgres with compose's settings, and `db/init.sql` in it.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::server::{Server, on_a_free_port};
use super::{compose, files};

/// The tables whose changes leave.
pub const TABLES: [&str; 4] = ["customers", "events", "orders", "visits"];

pub const DEBEZIUM_PASSWORD: &str = "it's the connector's";
pub const PASSWORD: &str = "the superuser's";

/// A Postgres of one's own, with an empty database `brew`.
pub struct Postgres {
    server: Server,
    bin: PathBuf,
    port: u16,
    _dir: Below,
}

/// A directory that Postgres' user reaches: it does not run as root, and what is root's may be closed to it.
struct Below(PathBuf);

impl Below {
    const PREFIX: &str = "highwater-postgres-";

    fn new(port: u16) -> Result<Self, String> {
        let root = std::env::temp_dir();
        // What killed test processes left.
        for entry in std::fs::read_dir(&root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(pid) = name.strip_prefix(Self::PREFIX).and_then(|rest| rest.split('-').next()) else { continue };
            if !Path::new("/proc").join(pid).exists() {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let path = root.join(format!("{}{}-{port}", Self::PREFIX, std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Postgres {
    pub fn start() -> Self {
        Self::with_settings(&[])
    }

    /// With settings besides compose's, `-c name=value`, or in their stead.
    pub fn with_settings(more: &[&str]) -> Self {
        let bin = Command::new(files::path("tools/postgres-bin")).output().expect("tools/postgres-bin");
        assert!(bin.status.success(), "{}", String::from_utf8_lossy(&bin.stderr));
        let bin = PathBuf::from(String::from_utf8_lossy(&bin.stdout).trim());
        let postgres = on_a_free_port(|port| {
            let dir = Below::new(port)?;
            let (port_text, path) = (port.to_string(), dir.0.to_string_lossy().into_owned());
            let settings = compose::command("postgres");
            let settings = settings.iter().skip(1).map(String::as_str).chain(more.iter().copied());
            let args: Vec<&str> = [&*port_text, &path].into_iter().chain(settings).collect();
            let ready = || psql(&bin, port, "postgres", &[], "select 1").is_ok();
            let log = dir.0.join("script.log");
            let server = Server::start("postgres", &args, &[("PGPASSWORD", PASSWORD)], &log, ready)?;
            Ok(Self { server, bin: bin.clone(), port, _dir: dir })
        });
        postgres.sql_in("postgres", "create database brew");
        postgres
    }

    /// The same, with `db/init.sql` in it.
    pub fn with_tables() -> Self {
        let postgres = Self::start();
        postgres.init(DEBEZIUM_PASSWORD).expect("db/init.sql");
        postgres
    }

    /// A standby of it, which follows.
    pub fn standby(&self) -> Self {
        on_a_free_port(|port| {
            let dir = Below::new(port)?;
            let data = dir.0.join("data").display().to_string();
            let copied = Command::new(self.bin.join("pg_basebackup"))
                .args([
                    "-h",
                    "127.0.0.1",
                    "-U",
                    "postgres",
                    "-p",
                    &self.port.to_string(),
                    "-D",
                    &data,
                    "-R",
                    "-c",
                    "fast",
                ])
                .env("PGPASSWORD", PASSWORD)
                .output()
                .map_err(|e| format!("pg_basebackup: {e}"))?;
            assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
            // Root's copy becomes that of the user that Postgres runs as: the owner of the other's data.
            if std::fs::metadata(&data).is_ok_and(|data| data.uid() == 0) {
                let reference = format!("--reference={}", self._dir.0.join("data").display());
                let given = Command::new("chown").args(["-R", &reference, &data]).status();
                assert!(given.is_ok_and(|status| status.success()), "chown of {data}");
            }
            let (port_text, path) = (port.to_string(), dir.0.to_string_lossy().into_owned());
            let settings = compose::command("postgres");
            let args: Vec<&str> =
                [&*port_text, &path].into_iter().chain(settings.iter().skip(1).map(String::as_str)).collect();
            let ready = || psql(&self.bin, port, "postgres", &[], "select 1").is_ok();
            let log = dir.0.join("script.log");
            let server = Server::start("postgres", &args, &[("PGPASSWORD", PASSWORD)], &log, ready)?;
            Ok(Self { server, bin: self.bin.clone(), port, _dir: dir })
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Of the superuser; PASSWORD is its password.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/brew", self.port)
    }

    pub fn init(&self, password: &str) -> Result<String, String> {
        let file = files::path("db/init.sql").to_string_lossy().into_owned();
        let env: &[_] = if password.is_empty() { &[] } else { &[("DEBEZIUM_PASSWORD", password)] };
        run(&self.bin, self.port, ("postgres", PASSWORD), "brew", env, &["-f", &file])
    }

    /// As the superuser, in `brew`; unaligned, tuples only.
    #[track_caller]
    pub fn sql(&self, text: &str) -> String {
        self.sql_in("brew", text)
    }

    #[track_caller]
    pub fn sql_in(&self, database: &str, text: &str) -> String {
        psql(&self.bin, self.port, database, &[], text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// As the role of the connector.
    pub fn sql_as_connector(&self, text: &str) -> Result<String, String> {
        run(&self.bin, self.port, ("debezium", DEBEZIUM_PASSWORD), "brew", &[], &["-c", text])
    }

    /// As the superuser, in `brew`; what it refuses.
    pub fn refuses(&self, text: &str) -> String {
        psql(&self.bin, self.port, "brew", &[], text).expect_err(text)
    }

    /// A session that stays: `psql`, which reads statements from its input.
    pub fn session(&self) -> Command {
        let mut command = Command::new(self.bin.join("psql"));
        command.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-d",
            "brew",
        ]);
        command.args(["-p", &self.port.to_string()]).env("PGPASSWORD", PASSWORD);
        command
    }

    /// `pg_recvlogical`, which reads a slot of `pgoutput` and confirms every second what it has.
    pub fn reader_of(&self, slot: &str, publication: &str) -> Command {
        let mut command = Command::new(self.bin.join("pg_recvlogical"));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-d", "brew", "-p", &self.port.to_string(), "--slot", slot]);
        command.args(["--start", "-s", "1", "-o", "proto_version=1", "-f", "-"]);
        command.args(["-o", &format!("publication_names={publication}")]).env("PGPASSWORD", PASSWORD);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The rows of tables, as `pg_dump` writes them.
    pub fn dump(&self, tables: &[&str]) -> String {
        let mut command = Command::new(self.bin.join("pg_dump"));
        command.args(["--data-only", "-h", "127.0.0.1", "-U", "postgres", "-d", "brew", "-p", &self.port.to_string()]);
        for table in tables {
            command.args(["-t", &format!("public.{table}")]);
        }
        let out = command.env("PGPASSWORD", PASSWORD).output().expect("pg_dump");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("UTF-8")
    }

    /// What `dump` wrote, into empty tables.
    pub fn restore(&self, dump: &str) {
        let mut psql = self.session().stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("psql");
        psql.stdin.take().expect("a pipe").write_all(dump.as_bytes()).expect("psql takes it");
        assert!(psql.wait().expect("psql").success(), "a dump that cannot be restored");
    }

    /// The script's process; the server is below it.
    pub fn id(&self) -> u32 {
        self.server.id()
    }

    /// Columns of a table in their order.
    pub fn columns(&self, table: &str) -> Vec<String> {
        let columns = self.sql(&format!(
            "select column_name from information_schema.columns
             where table_schema = 'public' and table_name = '{table}' order by ordinal_position"
        ));
        columns.lines().map(str::to_owned).collect()
    }
}

fn psql(bin: &Path, port: u16, database: &str, env: &[(&str, &str)], text: &str) -> Result<String, String> {
    run(bin, port, ("postgres", PASSWORD), database, env, &["-c", text])
}

fn run(
    bin: &Path,
    port: u16,
    (user, password): (&str, &str),
    database: &str,
    env: &[(&str, &str)],
    args: &[&str],
) -> Result<String, String> {
    let out = Command::new(bin.join("psql"))
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", user, "-d", database])
        .args(["-p", &port.to_string()])
        .args(args)
        .env_remove("DEBEZIUM_PASSWORD")
        .env("PGPASSWORD", password)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&out.stdout).trim_end().to_owned();
    if out.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}
