//! All of it at once: Postgres, Kafka, Kafka Connect with Debezium, Highwater, ClickHouse.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::broker::free_port;
use crate::support::connect::{SOURCE, Worker};
use crate::support::database::{PASSWORD, Postgres, TABLES};
use crate::support::{Broker, ClickHouse, DEADLINE, Dir, Highwater, Isolation, files, http, wait_until};

pub const SALT: &str = "a salt of the tests, long enough";

/// What the streams are to the cluster, and what the sink is.
pub const APPLICATION: &str = "brew-analytics";
pub const SINK: &str = "brew-analytics-brew";
pub const LETTERS: &str = "brew.analytics.dead-letters";
const PLANS: &str = "brew-analytics-brew-plans";

/// Behind the repository's own topology.
const SINKS: &str = r"
sinks:
  brew:
    from: 'brew\.analytics\.(?<table>.+)'
    clickhouse: { url: '${CLICKHOUSE_URL}', database: brew, table: '{table}' }
";

/// The tables that count: a table of `ch/init.sql` may forget a row that a newer one of its key replaces, at an insert or at
/// a merge. These hold every row that was inserted, and a row that was inserted twice, twice.
const WITNESSES: &str = "
create database every;
create table every.TABLE (id Int64, cdc_lsn UInt64, _deleted UInt8) engine = MergeTree order by id
    settings non_replicated_deduplication_window = 10000;
create materialized view every.TABLE_in to every.TABLE as select id, cdc_lsn, _deleted from brew.TABLE;
";

pub struct Stage {
    // Whoever depends on another goes before it: fields drop in this order.
    pub highwater: Option<Highwater>,
    pub worker: Option<Worker>,
    pub clickhouse: ClickHouse,
    pub postgres: Postgres,
    pub broker: Broker,
    pub http: u16,
    /// Rows that Postgres lost without a change that says so. By table and id, as they were.
    pub ghosts: BTreeMap<String, BTreeMap<i64, Value>>,
    followed: i32,
    pub dir: Dir,
}

impl Stage {
    /// Everything but the connector and Highwater.
    pub fn build(name: &str) -> Self {
        let dir = Dir::new(name);
        let (broker, postgres, clickhouse) = thread::scope(|scope| {
            let postgres = scope.spawn(Postgres::with_tables);
            let clickhouse = scope.spawn(ClickHouse::start);
            (Broker::start(), postgres.join().expect("Postgres"), clickhouse.join().expect("ClickHouse"))
        });
        for topic in TABLES.map(output).iter().map(String::as_str).chain([LETTERS]) {
            broker.create_topic(topic, 4, &[]);
        }
        let stage = Self {
            highwater: None,
            worker: None,
            clickhouse,
            postgres,
            broker,
            http: free_port(),
            ghosts: BTreeMap::new(),
            followed: 0,
            dir,
        };
        statements(&files::read("ch/init.sql")).iter().for_each(|sql| drop(stage.clickhouse.query(sql)));
        let database = statements(WITNESSES)[0].clone();
        stage.clickhouse.query(&database);
        for table in TABLES {
            for sql in &statements(&WITNESSES.replace("TABLE", table))[1..] {
                stage.clickhouse.query(sql);
            }
        }
        // Positions well above those of a fresh cluster.
        stage.postgres.sql("create table turn (n int)");
        for _ in 0..4 {
            stage.postgres.sql("insert into turn values (1); select pg_switch_wal()");
        }
        stage.topology(&soon);
        fs::write(stage.dir.join("anonymize.yaml"), files::read("anonymize.yaml")).expect("the rules");
        stage
    }

    /// Writes the repository's topology with the sink behind it, changed.
    pub fn topology(&self, change: &dyn Fn(String) -> String) {
        let text = change(files::read("topology.yaml") + SINKS);
        fs::write(self.dir.join("topology.yaml"), text).expect("a topology");
    }

    // --- Highwater -------------------------------------------------------------------------------------------------

    pub fn run(&mut self) {
        let (bootstrap, url, http) =
            (self.broker.bootstrap(), self.clickhouse.url(), format!("127.0.0.1:{}", self.http));
        let env = [
            ("KAFKA_BOOTSTRAP_SERVERS", bootstrap.as_str()),
            ("ANONYMIZE_SALT", SALT),
            ("CLICKHOUSE_URL", &url),
            ("HIGHWATER_LOG", "info"),
        ];
        let args = ["run", "-f", "topology.yaml", "--state", "state", "--http", &http];
        self.highwater = Some(Highwater::command(&args, &env, self.dir.path()));
    }

    pub fn highwater(&mut self) -> &mut Highwater {
        self.highwater.as_mut().expect("Highwater was started")
    }

    pub fn stop(&mut self) {
        let highwater = self.highwater();
        highwater.sigterm();
        assert!(highwater.wait(DEADLINE).success(), "{}", highwater.log());
        self.highwater = None;
    }

    /// It must not end by itself.
    #[track_caller]
    fn runs(&mut self) {
        if let Some(highwater) = &mut self.highwater {
            assert!(highwater.ended().is_none(), "it ended:\n{}", highwater.log());
        }
    }

    pub fn metrics(&self) -> Option<String> {
        http::get(self.http, "/metrics").map(|(_, page)| page)
    }

    // --- the connector ---------------------------------------------------------------------------------------------

    /// A worker, and the connector of the repository in it, with a slot of its own.
    pub fn connect(&mut self) {
        self.start_worker();
        self.register("brew-postgres", "pipeline", &[]);
    }

    pub fn start_worker(&mut self) {
        self.worker = Some(Worker::start(&self.broker, &self.postgres, &self.dir));
    }

    /// The connector of the repository under a name, with a slot and what else differs.
    pub fn register(&self, name: &str, slot: &str, more: &[(&str, Value)]) {
        let mut connector = files::json(SOURCE);
        (connector["name"], connector["slot.name"]) = (json!(name), json!(slot));
        more.iter().for_each(|(key, value)| connector[*key] = value.clone());
        let path = self.connector(name);
        fs::write(&path, connector.to_string()).expect("a file");
        self.worker().done(&["create", &path.to_string_lossy()]);
    }

    /// Its configuration goes, its offsets and its slot do not.
    pub fn delete_connector(&self, name: &str, slot: &str) {
        self.worker().done(&["delete", &self.connector(name).to_string_lossy()]);
        wait_until(DEADLINE, "the slot to be left", || {
            let active = format!("select active from pg_replication_slots where slot_name = '{slot}'");
            (self.postgres.sql(&active) == "f").then_some(())
        });
    }

    pub fn worker(&self) -> &Worker {
        self.worker.as_ref().expect("the worker was started")
    }

    fn connector(&self, name: &str) -> PathBuf {
        self.dir.join(&format!("{name}.json"))
    }

    // --- changes ---------------------------------------------------------------------------------------------------

    /// `highwater db-load`, on its way.
    pub fn loading(&self, args: &[&str]) -> Highwater {
        loading(&self.postgres, args, self.dir.path())
    }

    pub fn load(&self, args: &[&str]) {
        loaded(self.loading(args));
    }

    /// So many records are in the source topics now.
    pub fn delivered(&self) -> i64 {
        self.sources().values().flat_map(BTreeMap::values).sum()
    }

    pub fn source_topics(&self) -> usize {
        self.sources().len()
    }

    fn sources(&self) -> BTreeMap<String, BTreeMap<i32, i64>> {
        let there = self.broker.topics();
        let sources = TABLES.map(source).into_iter().filter(|topic| there.contains_key(topic));
        sources.map(|topic| (topic.clone(), self.broker.end_offsets(&topic))).collect()
    }

    /// Waits until everything that was committed in Postgres before is in ClickHouse, and nothing is under way any more.
    pub fn settle(&mut self) {
        self.follow_a_row();
        loop {
            let sources = self.sources();
            for (topic, ends) in &sources {
                let what = format!("{topic} to be processed up to {ends:?}");
                self.wait(&what, |stage| has_come(&stage.broker.committed(APPLICATION, topic), ends));
            }
            for table in TABLES {
                let reads = self.broker.read_all(&output(table), Isolation::Committed);
                // By partition and offset: the last of each partition stays. The end lies behind a transaction's marker.
                let ends = reads.iter().map(|read| (read.partition, read.offset + 1)).collect();
                let rows = reads.len() as u64;
                let what = format!("{rows} rows of {table} to be in their table");
                self.wait(&what, |stage| {
                    let committed = stage.broker.committed(SINK, &output(table));
                    has_come(&committed, &ends) && stage.inserted(table).is_some_and(|inserted| inserted >= rows)
                });
            }
            self.wait("no insert to be under way", |stage| stage.open_plans() == 0);
            if self.sources() == sources {
                return;
            }
        }
    }

    /// A row through all of it. Debezium sends in the order of commits: what was committed before is in the topics by then.
    fn follow_a_row(&mut self) {
        self.followed += 1;
        // Ids may come again, from another database.
        let shop = -self.followed;
        let id = self.postgres.sql(&format!("insert into visits (shop, at) values ({shop}, now()) returning id"));
        self.wait(&format!("row {id} of visits"), |stage| {
            let sql = format!("select count() from brew.visits where id = {id} and shop = {shop}");
            let reply = stage.clickhouse.ask(&sql, &[("default_format", "TSV")]);
            reply.is_ok_and(|reply| reply.status == 200 && reply.text().trim() != "0")
        });
    }

    /// None while ClickHouse does not answer.
    fn inserted(&self, table: &str) -> Option<u64> {
        let reply = self.clickhouse.ask(&format!("select count() from every.{table}"), &[("default_format", "TSV")]);
        reply.ok()?.text().trim().parse().ok()
    }

    /// Inserts that the log does not know to be in.
    fn open_plans(&self) -> usize {
        if !self.broker.topics().contains_key(PLANS) {
            return 0;
        }
        let mut last = BTreeMap::new();
        for read in self.broker.read_all(PLANS, Isolation::Committed) {
            let plan: Value = serde_json::from_slice(&read.value.expect("a plan")).expect("JSON");
            last.insert(read.key.expect("a partition"), plan["open"] == true);
        }
        last.values().filter(|open| **open).count()
    }

    /// Asks not too often: those who answer share the machine with those who work.
    #[track_caller]
    pub fn wait(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        wait_until(LONG, what, || {
            self.runs();
            if done(self) {
                return Some(());
            }
            thread::sleep(Duration::from_millis(100));
            None
        });
    }
}

/// A backlog of minutes may lie before what is waited for.
pub const LONG: Duration = Duration::from_secs(600);

pub fn source(table: &str) -> String {
    format!("brew.cdc.public.{table}")
}

pub fn output(table: &str) -> String {
    format!("brew.analytics.{table}")
}

/// What a killed member leaves is given to the next one soon, and not after the usual three quarters of a minute.
pub fn soon(text: String) -> String {
    let broker = "  bootstrap.servers: ";
    assert!(text.contains(broker), "{text}");
    text.replace(broker, &format!("  session.timeout.ms: 6000\n  heartbeat.interval.ms: 1500\n{broker}"))
}

fn has_come(committed: &BTreeMap<i32, i64>, ends: &BTreeMap<i32, i64>) -> bool {
    ends.iter().all(|(partition, end)| *end == 0 || committed.get(partition) >= Some(end))
}

pub fn loading(postgres: &Postgres, args: &[&str], dir: &Path) -> Highwater {
    let url = postgres.url();
    let args = [&["db-load", "--url", &url], args].concat();
    Highwater::command(&args, &[("PGPASSWORD", PASSWORD)], dir)
}

#[track_caller]
pub fn loaded(mut load: Highwater) {
    assert!(load.wait(LONG).success(), "{}", load.log());
}

/// Statements of a text, one by one: the server takes no more in a request.
fn statements(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let lines = lines.join("\n");
    lines.split(';').map(|sql| sql.trim().to_owned()).filter(|sql| !sql.is_empty()).collect()
}
