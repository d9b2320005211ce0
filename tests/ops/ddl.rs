//! `highwater clickhouse ddl` against the real things: a catalog of Postgres, rows of a real Debezium, ClickHouse's engine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::clickhouse::ClickHouse;
use crate::connect::{SOURCE, Worker, rows as rows_on};
use crate::database::{PASSWORD, Postgres};
use crate::embedded::{Row, highwater, rows};
use crate::files;
use crate::support::postgres::remaining;
use crate::support::{Broker, DEADLINE, Dir, Highwater, wait_until};

fn ddl(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(["clickhouse", "ddl"]).args(args).current_dir(files::path("."));
    command.env_remove("DATABASE_URL").env_remove("HIGHWATER_FILE").env_remove("KAFKA_BOOTSTRAP_SERVERS");
    command.env("PGPASSWORD", PASSWORD).output().expect("highwater")
}

/// The SQL, and what is said beside it.
#[track_caller]
fn printed(args: &[&str]) -> (String, String) {
    let out = ddl(args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let (sql, said) = (text(out.stdout), text(out.stderr));
    assert!(out.status.success(), "{args:?}: {said}");
    (sql, said)
}

#[track_caller]
fn refused(args: &[&str]) -> String {
    let out = ddl(args);
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && out.stdout.is_empty() && why.starts_with("error: "), "{args:?}: {why}");
    why
}

/// What is printed must be what a file here holds. Where a change is meant: `UPDATE_EXPECTED=1 cargo test --test ops ddl` writes it.
#[track_caller]
fn golden(name: &str, sql: &str) {
    let path = files::path("tests/ops/ddl").join(name);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::create_dir_all(path.parent().expect("a folder"))
            .and_then(|()| fs::write(&path, sql))
            .expect("a golden file");
    }
    assert_eq!(sql, fs::read_to_string(&path).unwrap_or_default(), "{}", path.display());
}

/// One insert, as the head of the SQL says it must be made.
fn insert(clickhouse: &ClickHouse, table: &str, rows: &[Row]) {
    let rows: Vec<String> = rows.iter().map(|row| Value::Object(row.clone()).to_string()).collect();
    clickhouse.sql(&format!(
        "set async_insert = 0, input_format_skip_unknown_fields = 0, input_format_null_as_default = 0;
         insert into brew.{table} format JSONEachRow {};",
        rows.join("\n")
    ));
}

/// Columns of a database's tables, and their types without what only says how they are kept, or whether they may be null.
fn columns(clickhouse: &ClickHouse) -> Vec<(String, String, String)> {
    let sql = "select table, name, type from system.columns where database = 'brew' and table not like '%\\_%' order by 1, position;";
    let text = |row: &Row, name: &str| row[name].as_str().expect("text").to_owned();
    let bare = |kind: String| {
        let mut kind = kind;
        for wrapper in ["LowCardinality(", "Nullable("] {
            kind =
                kind.strip_prefix(wrapper).and_then(|kind| kind.strip_suffix(')')).map_or(kind.clone(), str::to_owned);
        }
        kind
    };
    clickhouse.sql(sql).iter().map(|row| (text(row, "table"), text(row, "name"), bare(text(row, "type")))).collect()
}

#[test]
fn the_shops_tables_are_those_of_init_sql() {
    let postgres = Postgres::with_tables();
    let (sql, said) = printed(&["--postgres", &postgres.url(), "--database", "brew"]);
    assert_eq!(said, "", "there is nothing to doubt");
    golden("brew.sql", &sql);
    let (made, written) = (ClickHouse::empty(), ClickHouse::with_tables());
    made.sql(&sql);
    // It may run twice.
    made.sql(&sql);
    let sort = |mut columns: Vec<(String, String, String)>| {
        columns.sort();
        columns
    };
    assert_eq!(sort(columns(&made)), sort(columns(&written)));
    // A view shows dates and times as what they are, in both.
    for clickhouse in [&made, &written] {
        let row = json!({ "id": 1, "customer_id": null, "total": "12.30", "due_on": -1, "placed_at": 1_777_629_600_123_456_i64,
            "external_id": "7b4a0c9e-0d63-4b6f-9d0a-6f3f0a4b1c2d", "cdc_lsn": 5, "_deleted": 0 });
        insert(clickhouse, "orders", &[row.as_object().expect("a row").clone()]);
        let shown = clickhouse.sql("select * from brew.orders_now;");
        assert_eq!(
            (&shown[0]["due_on"], &shown[0]["placed_at"]),
            (&json!("1969-12-31"), &json!("2026-05-01 10:00:00.123456"))
        );
    }
    // One stream alone, by a role that may not do much.
    let url = postgres.url().replace("postgres@", "debezium@");
    let as_connector = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.args(["clickhouse", "ddl"]).args(args).current_dir(files::path("."));
        command.env("PGPASSWORD", crate::database::DEBEZIUM_PASSWORD).output().expect("highwater")
    };
    let out = as_connector(&["customers", "--postgres", &url, "--database", "brew"]);
    let one = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(one.contains("brew.customers\n(") && !one.contains("brew.orders"), "{one}");
}

#[test]
fn the_kafka_engines_tables_say_what_they_do_not_promise() {
    let postgres = Postgres::with_tables();
    let (sql, _) = printed(&[
        "customers",
        "--postgres",
        &postgres.url(),
        "--database",
        "brew",
        "--style",
        "kafka-engine",
        "--partition-by",
        "country",
    ]);
    golden("kafka-engine.sql", &sql);
    let why = refused(&["--postgres", &postgres.url(), "--partition-by", "contry"]);
    assert!(why.contains("no table has the column `contry`") && why.contains("did you mean `country`?"), "{why}");
}

#[test]
fn what_leaves_of_the_demonstration_goes_into_the_tables_made_of_its_rows() {
    let (clickhouse, dir) = (ClickHouse::empty(), Dir::new("ddl-demo"));
    let state = dir.join("demo").to_string_lossy().into_owned();
    highwater(&["demo", "--state", &state], &files::path("."), "");
    let log = format!("--embedded={state}/log");
    let (sql, said) = printed(&["--from-topic", &log, "--database", "brew"]);
    golden("demo.sql", &sql);
    assert!(said.contains("warning: customers.created_at: DateTime64(6, 'UTC'), read off "), "{said}");
    assert!(!said.contains("customers.email"), "a digest is no guess: {said}");
    clickhouse.sql(&sql);
    let (mut tables, mut deleted) = (0, 0);
    for table in ["customers", "orders", "visits"] {
        let all = rows(&format!("brew.analytics.{table}"), &log, dir.path());
        deleted += all.iter().filter(|row| row["_deleted"] == 1).count();
        let (early, late) = all.split_at(all.len() / 2);
        insert(&clickhouse, table, late);
        insert(&clickhouse, table, early);
        let mut by_key: BTreeMap<String, Vec<Row>> = BTreeMap::new();
        all.iter().for_each(|row| by_key.entry(row["id"].to_string()).or_default().push(row.clone()));
        let expected: BTreeSet<String> = remaining(&by_key).iter().map(|row| row["id"].to_string()).collect();
        let shown = clickhouse.sql(&format!("select id from brew.{table}_now;"));
        assert_eq!(shown.len(), expected.len(), "{table}");
        assert_eq!(shown.iter().map(|row| row["id"].to_string()).collect::<BTreeSet<_>>(), expected, "{table}");
        tables += 1;
    }
    assert!(tables == 3 && deleted > 0, "{deleted}");
    // The same of a file, by the records with their keys, and by bare rows with a key that is told.
    let (json, values) = (dir.join("records.jsonl"), dir.join("rows.jsonl"));
    for (format, path) in [("json", &json), ("value", &values)] {
        let lines = highwater(&["consume", "brew.analytics.customers", &log, "--format", format], dir.path(), "");
        fs::write(path, lines).expect("a file");
    }
    let create = |sql: &str| sql.split_once("create table").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    let of = |sql: &str| create(sql).split_once(";\n").map(|(table, _)| table.to_owned()).unwrap_or_default();
    let (records, _) = printed(&["customers", "--sample", &json.to_string_lossy(), "--database", "brew"]);
    let (bare, _) = printed(&["customers", "--sample", &values.to_string_lossy(), "--database", "brew", "--key", "id"]);
    assert_eq!((of(&records), of(&bare)), (of(&sql), of(&sql)));
    let keyless = printed(&["customers", "--sample", &values.to_string_lossy()]);
    assert!(keyless.0.contains("engine = MergeTree") && keyless.1.contains("customers has no key"), "{}", keyless.1);
    let why = refused(&["others", "--sample", &values.to_string_lossy()]);
    assert!(why.contains("writes several topics: --table says"), "{why}");
    let why = refused(&["custmers", "--sample", &values.to_string_lossy()]);
    assert!(why.contains("no stream `custmers`") && why.contains("did you mean `customers`?"), "{why}");
}

const KINDS: &str = "
create type mood as enum ('sad', 'fine');
create domain price as numeric(10, 2);
create table kinds (
  id bigint primary key, b bool, i2 smallint, i4 integer, f4 real, f8 double precision, n numeric(12, 2), wide numeric,
  coarse numeric(5, -2), m money, t text, vc varchar(10), c char(3), u uuid, d date, ti time, ti3 time(3), ts timestamp,
  ts3 timestamp(3), tz timestamptz, tt timetz, iv interval, ba bytea, j jsonb, x xml, mo mood, p price, ia integer[],
  ta text[], fa float8[], da date[], na numeric(5, 1)[], bt bit, b8 bit(8), ip inet, mac macaddr, r int4range, pt point, ox oid,
  bx box, ci circle, li line, ls lseg, pa path, po polygon, m8 macaddr8, ch \"char\", nm name, vb bit varying(5), cd cidr,
  tv tsvector, lsn pg_lsn, tq tsquery, made bigint generated always as identity);
alter table kinds replica identity full;
alter publication highwater add table kinds;
grant select on kinds to debezium;
insert into kinds (id) values (2);
insert into kinds values (1, true, -32768, 2147483647, 1.5, -2.25, 9999999999.99, 123456789012345678901234567890.123, 12345, '12.34',
  'it''s', 'vc', 'ab', '7b4a0c9e-0d63-4b6f-9d0a-6f3f0a4b1c2d', '1969-12-31', '12:34:56.789012', '12:34:56.789', '2026-05-01 10:00:00.123456',
  '2026-05-01 10:00:00.123', '2026-05-01 12:00:00.123456+02', '10:00:00+02', '1 day 2 seconds', '\\x00ff', '{\"a\": 1}', '<a/>', 'fine', 7.5,
  '{1,null,3}', '{a,\"b c\"}', '{1.5}', '{2026-05-01}', '{1.5,null}', B'1', B'00000001', '192.0.2.1', '08:00:2b:01:02:03', '[1,5)', '(1,2)', 7, '((0,0),(1,1))',
  '<(0,0),2>', '{1,2,3}', '[(0,0),(1,1)]', '[(0,0),(1,1)]', '((0,0),(1,1),(1,0))', '08:00:2b:01:02:03:04:05', 'x', 'n', B'101', '192.0.2.0/24',
  'a b', '0/16B3748', 'a & b');
update kinds set t = 'changed' where id = 2;
insert into kinds (id) values (3);
delete from kinds where id = 3;
";

#[test]
fn every_type_of_postgres_arrives_as_what_it_is() {
    let (postgres, broker, dir) = (Postgres::with_tables(), Broker::start(), Dir::new("ddl-kinds"));
    postgres.sql(KINDS);
    let worker = Worker::start(&broker, &postgres, &dir);
    let mut connector = files::json(SOURCE);
    for (setting, value) in [("name", "kinds"), ("slot.name", "kinds"), ("table.include.list", "public.kinds")] {
        connector[setting] = value.into();
    }
    let path = dir.join("kinds.json").to_string_lossy().into_owned();
    fs::write(&path, connector.to_string()).expect("a file");
    worker.done(&["create", &path]);
    broker.create_topic("out.kinds", 1, &[]);
    let topology = format!(
        "application: kinds\nkafka: {{ bootstrap.servers: '{}' }}\nstate: {{ path: state }}\nstreams:\n  kinds:\n    \
         from: brew.cdc.public.kinds\n    steps: [dedup, {{ mask: none }}]\n    to: out.kinds\n",
        broker.bootstrap()
    );
    let mut highwater = Highwater::spawn(&topology, &[], dir.path());
    // The snapshot's two rows, and a row that comes and goes while it runs.
    wait_until(DEADLINE, "the snapshot", || (rows_on(&broker, "out.kinds").len() >= 2).then_some(()));
    postgres.sql("insert into kinds (id) values (4); update kinds set d = '2026-05-02' where id = 4; delete from kinds where id = 4;");
    wait_until(DEADLINE, "the changes", || (rows_on(&broker, "out.kinds").len() >= 5).then_some(()));
    highwater.sigterm();
    assert!(highwater.wait(DEADLINE).success(), "{}", highwater.log());

    let file = dir.join("topology.yaml").to_string_lossy().into_owned();
    let (sql, said) =
        printed(&["-f", &file, "--postgres", &postgres.url(), "--connector", &path, "--database", "brew"]);
    golden("kinds.sql", &sql);
    for part in [
        "public.kinds.lsn: Debezium leaves columns of the type pg_lsn out",
        "public.kinds.wide: numeric without precision",
    ] {
        assert!(said.contains(&format!("warning: {part}")), "{part}: {said}");
    }
    let clickhouse = ClickHouse::empty();
    clickhouse.sql(&sql);
    insert(&clickhouse, "kinds", &rows_on(&broker, "out.kinds"));
    let shown = clickhouse.sql("select * from brew.kinds_now order by id;");
    assert_eq!(shown.iter().map(|row| row["id"].clone()).collect::<Vec<_>>(), [json!(1), json!(2)]);
    // What the view is to show of the first row.
    for (column, want) in files::json("tests/ops/ddl/kinds.json").as_object().expect("columns") {
        assert_eq!(shown[0][column], *want, "{column}");
    }
    assert!(shown[0]["pt"].as_str().is_some_and(|point| point.contains("\"x\":1.0")), "{}", shown[0]["pt"]);
    let empty = |value: &Value| value.is_null() || *value == json!([]);
    let told: BTreeSet<&str> =
        shown[1].iter().filter(|(_, value)| !empty(value)).map(|(name, _)| name.as_str()).collect();
    assert_eq!(told, BTreeSet::from(["id", "made", "t"]));
}

#[test]
fn what_no_table_can_be_made_of_is_named() {
    let postgres = Postgres::with_tables();
    let (url, dir) = (postgres.url(), Dir::new("ddl-wrong"));
    let with = |rules: &str| {
        let text = format!(
            "application: a\nkafka: {{ bootstrap.servers: 'localhost:1' }}\nsecrets: {{ s: '${{S}}' }}\n\
             streams:\n  one:\n    from: x.public.customers\n    steps: [dedup, {{ mask: {{ {rules} }} }}]\n    to: out.customers\n"
        );
        let path = dir.join("topology.yaml").to_string_lossy().into_owned();
        fs::write(&path, text).expect("a file");
        path
    };
    let file = with("unlisted: drop, fields: { email: hash }");
    let why = refused(&["-f", &file, "--postgres", &url]);
    assert!(why.contains("its key `id` does not leave stream `one`"), "{why}");
    let (sql, said) =
        printed(&["-f", &with("unlisted: reject, fields: { id: hash, email: drop }"), "--postgres", &url]);
    assert!(sql.contains("    id        String comment 'hash',\n") && sql.contains("\norder by id\n"), "{sql}");
    assert!(
        said.contains("public.customers.phone has no rule, and `unlisted: reject` lets no row with it through"),
        "{said}"
    );
    // A key of one's own, told wrongly.
    let why = refused(&["-f", &with("fields: { email: hash }"), "--postgres", &url, "--key", "emial"]);
    assert!(why.contains("its key `emial` does not leave stream `one`, did you mean `email`?"), "{why}");
    postgres.sql("alter table customers replica identity default");
    let (_, said) = printed(&["-f", &with("fields: { email: hash }"), "--postgres", &url]);
    assert!(said.contains("no REPLICA IDENTITY FULL"), "{said}");
    let connector = dir.join("avro.json").to_string_lossy().into_owned();
    fs::write(&connector, "{\"value.converter\": \"io.confluent.connect.avro.AvroConverter\"}").expect("a file");
    let why = refused(&["--postgres", &url, "--connector", &connector]);
    assert!(why.contains("value.converter is none of org.apache.kafka.connect.json.JsonConverter"), "{why}");
}
