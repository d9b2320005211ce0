//! `db/init.sql` on a real Postgres with compose's settings.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::compose;
use crate::files;
use crate::server::{Server, on_a_free_port};

/// The tables whose changes leave.
pub const TABLES: [&str; 4] = ["customers", "events", "orders", "visits"];

pub const DEBEZIUM_PASSWORD: &str = "it's the connector's";
pub const PASSWORD: &str = "the superuser's";

/// A Postgres of one's own, with an empty database `brew`.
pub struct Postgres {
    _server: Server,
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
        let bin = Command::new(files::path("tools/postgres-bin")).output().expect("tools/postgres-bin");
        assert!(bin.status.success(), "{}", String::from_utf8_lossy(&bin.stderr));
        let bin = PathBuf::from(String::from_utf8_lossy(&bin.stdout).trim());
        let postgres = on_a_free_port(|port| {
            let dir = Below::new(port)?;
            let (port_text, path) = (port.to_string(), dir.0.to_string_lossy().into_owned());
            let settings = compose::command("postgres");
            let args: Vec<&str> =
                [&*port_text, &path].into_iter().chain(settings.iter().skip(1).map(String::as_str)).collect();
            let ready = || psql(&bin, port, "postgres", &[], "select 1").is_ok();
            let log = dir.0.join("script.log");
            let server = Server::start("postgres", &args, &[("PGPASSWORD", PASSWORD)], &log, ready)?;
            Ok(Self { _server: server, bin: bin.clone(), port, _dir: dir })
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

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Of the superuser; PASSWORD is its password.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/brew", self.port)
    }

    fn init(&self, password: &str) -> Result<String, String> {
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
    fn sql_in(&self, database: &str, text: &str) -> String {
        psql(&self.bin, self.port, database, &[], text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// As the role of the connector.
    fn sql_as_connector(&self, text: &str) -> Result<String, String> {
        run(&self.bin, self.port, ("debezium", DEBEZIUM_PASSWORD), "brew", &[], &["-c", text])
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

/// What differs between a first and a second run would show in any of these.
fn catalog(postgres: &Postgres) -> String {
    postgres.sql(
        "select 'table', relname, relreplident::text from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
         union all select 'column', table_name, column_name || ' ' || data_type from information_schema.columns
           where table_schema = 'public'
         union all select 'constraint', conrelid::regclass::text, conname from pg_constraint
           where connamespace = 'public'::regnamespace
         union all select 'publication', pubname, tablename from pg_publication_tables
         union all select 'grant', table_name, grantee || ' ' || privilege_type from information_schema.role_table_grants
           where table_schema = 'public'
         order by 1, 2, 3",
    )
}

#[test]
fn init_sql_may_run_twice_and_captures_exactly_the_tables() {
    let postgres = Postgres::start();
    let refused = postgres.init("").expect_err("no password was given");
    assert!(refused.contains("DEBEZIUM_PASSWORD is not set"), "{refused}");
    postgres.init("another").expect("the first time");
    let first = catalog(&postgres);
    postgres.init(DEBEZIUM_PASSWORD).expect("the second time");
    assert_eq!(catalog(&postgres), first);
    // A table that someone makes later does not leave by itself.
    postgres.sql("create table later (id int primary key)");
    let published = postgres.sql("select tablename from pg_publication_tables where pubname = 'highwater' order by 1");
    assert_eq!(published.lines().collect::<Vec<_>>(), TABLES);
    let full = postgres.sql("select relname from pg_class where relreplident = 'f' order by 1");
    assert_eq!(full.lines().collect::<Vec<_>>(), TABLES);
    for (setting, value) in [
        ("wal_level", "logical"),
        ("max_slot_wal_keep_size", "50GB"),
        ("wal_keep_size", "1GB"),
        ("max_wal_senders", "10"),
    ] {
        assert_eq!(postgres.sql(&format!("show {setting}")), value, "{setting}");
    }
}

#[test]
fn a_slot_delivers_the_whole_old_row_of_updates_and_deletes() {
    let postgres = Postgres::with_tables();
    postgres.sql("select pg_create_logical_replication_slot('watch', 'test_decoding')");
    postgres.sql(
        "insert into customers (id, email, full_name) values (1, 'ivan@example.com', 'Ivan Ivanov');
         insert into orders (id, customer_id, total, notes) values (1, 1, 12.30, repeat('long ', 10000));
         insert into events (id, kind, payload) values (1, 'view', '{\"page\": 1}');
         insert into visits (id, customer_id, shop) values (1, 1, 7);
         update customers set country = 'RU';
         update orders set total = 12.31;
         update events set kind = 'click';
         update visits set shop = 8;
         delete from customers; delete from orders; delete from events; delete from visits;",
    );
    let changes = postgres.sql("select data from pg_logical_slot_get_changes('watch', null, null)");
    let of = |what: &str| -> Vec<&str> { changes.lines().filter(|line| line.contains(what)).collect() };
    for (table, old) in [
        ("customers", "full_name[text]:'Ivan Ivanov'"),
        // A value out of line that the update did not touch.
        ("orders", "notes[text]:'long long "),
        ("events", "payload[jsonb]:'{\"page\": 1}'"),
        ("visits", "shop[integer]:7"),
    ] {
        let update = of(&format!("table public.{table}: UPDATE: "));
        assert_eq!(update.len(), 1, "{table}: {changes}");
        let before = update[0].split(" new-tuple: ").next().expect("a first part");
        assert!(before.contains("old-key: ") && before.contains(old), "{table}: {update:?}");
        let delete = of(&format!("table public.{table}: DELETE: "));
        let column = old.split('[').next().expect("a name");
        assert!(delete.len() == 1 && delete[0].contains(&format!("{column}[")), "{table}: {delete:?}");
    }
    // What the connector speaks: the same publication, by its own protocol.
    postgres.sql("select pg_create_logical_replication_slot('wire', 'pgoutput')");
    postgres.sql("insert into customers (id, email) values (2, 'second@example.com')");
    let bytes = postgres.sql(
        "select encode(data, 'escape') from pg_logical_slot_get_binary_changes('wire', null, null,
           'proto_version', '1', 'publication_names', 'highwater')",
    );
    assert!(bytes.contains("second@example.com"), "{bytes}");
}

#[test]
fn the_connectors_role_reads_the_tables_and_can_do_nothing_else() {
    let postgres = Postgres::with_tables();
    postgres.sql("create table secrets (id int); insert into customers (id, email) values (1, 'x')");
    assert_eq!(postgres.sql_as_connector("select email from customers").as_deref(), Ok("x"));
    for (forbidden, why) in [
        ("select * from secrets", "permission denied"),
        ("delete from customers", "permission denied"),
        ("insert into events (kind) values ('x')", "permission denied"),
        ("alter publication highwater add table secrets", "must be owner"),
        ("create table mine ()", "permission denied"),
        ("create role other", "permission denied"),
        ("copy customers to program 'cat'", "must be superuser"),
    ] {
        let answer = postgres.sql_as_connector(forbidden).expect_err(forbidden);
        assert!(answer.contains(why), "{forbidden}: {answer}");
    }
    // REPLICATION is what lets it have a slot.
    let slot = "select slot_name from pg_create_logical_replication_slot('its_own', 'pgoutput')";
    assert_eq!(postgres.sql_as_connector(slot).as_deref(), Ok("its_own"));
}

#[test]
fn what_an_analytical_store_cannot_hold_does_not_get_in() {
    let postgres = Postgres::with_tables();
    for (table, column, value) in [
        ("orders", "total", "'NaN'"),
        ("orders", "due_on", "'infinity'"),
        ("orders", "placed_at", "'-infinity'"),
        ("customers", "created_at", "'infinity'"),
        ("customers", "updated_at", "'infinity'"),
        ("events", "at", "'infinity'"),
        ("visits", "at", "'infinity'"),
    ] {
        let insert = format!("insert into {table} ({column}) values ({value})");
        let answer = psql(&postgres.bin, postgres.port, "brew", &[], &insert).expect_err(&insert);
        assert!(answer.contains("violates check constraint"), "{insert}: {answer}");
    }
}
