//! `connectors/debezium-pg-source.json` and `tools/connectors` on a real Kafka Connect worker with compose's settings:
//! from rows in Postgres to clean rows in ClickHouse.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::clickhouse::ClickHouse;
use crate::database::{DEBEZIUM_PASSWORD, Postgres, TABLES};
use crate::embedded::{Row, SALT};
use crate::support::oracle::{hashed, truncated};
use crate::support::{Broker, DEADLINE, Dir, Highwater, Isolation, wait_until};
use crate::{files, http};

pub use crate::support::connect::{SOURCE, Worker};

pub fn rows(broker: &Broker, topic: &str) -> Vec<Row> {
    let values = broker.read_all(topic, Isolation::Committed).into_iter().filter_map(|read| read.value);
    values.map(|value| serde_json::from_slice(&value).expect("a row")).collect()
}

#[test]
fn a_change_of_each_table_goes_from_postgres_to_clean_rows_in_clickhouse() {
    let (postgres, broker, dir) = (Postgres::with_tables(), Broker::start(), Dir::new("connect"));
    // One row of each table before the connector is there: its snapshot brings it.
    postgres.sql(
        "insert into customers (email, phone, full_name, birth_date, country)
           values ('ivan@example.com', '+7 911 0007919', 'Ivan Ivanov', '1970-02-01', 'RU');
         insert into orders (customer_id, total, notes, due_on, placed_at, external_id)
           values (1, 12.30, 'ring twice', '2026-05-02', '2026-05-01 10:00:00.123456', '7b4a0c9e-0d63-4b6f-9d0a-6f3f0a4b1c2d');
         insert into events (customer_id, kind, at, payload) values (1, 'view', '2026-05-01 10:00+00', '{\"note\": \"free form\"}');
         insert into visits (customer_id, shop, at) values (1, 7, '2026-05-01 10:00+00');",
    );
    let worker = Worker::start(&broker, &postgres, &dir);

    // The one plugin that comes from elsewhere is missed by its name.
    let missing = worker.refused(&["check"]);
    assert!(missing.contains("no plugin com.clickhouse.kafka.connect.ClickHouseSinkConnector"), "{missing}");
    assert!(missing.contains("it has io.debezium.connector.postgresql.PostgresConnector"), "{missing}");
    assert!(worker.done(&["check", SOURCE]).contains("PostgresConnector 3.7.0.Final"));
    assert!(worker.done(&["status"]).contains("no connectors"));
    // Connect's own words for what is wrong.
    for (setting, value, said) in [
        ("decimal.handling.mode", "loose", "decimal.handling.mode: "),
        // Found out by going there.
        ("database.dbname", "nowhere", "database \"nowhere\" does not exist"),
        ("database.password", "guessed", "password authentication failed"),
    ] {
        let mut wrong = files::json(SOURCE);
        wrong[setting] = value.into();
        let path = dir.join("wrong.json");
        fs::write(&path, wrong.to_string()).expect("a file");
        let why = worker.refused(&["create", &path.to_string_lossy()]);
        assert!(why.contains("is refused by") && why.contains(said), "{why}");
    }

    assert!(worker.done(&["create", SOURCE]).contains("brew-postgres created"));
    let again = worker.done(&["create", SOURCE]);
    assert!(again.contains("brew-postgres updated") && again.contains("brew-postgres runs, 1 task"), "{again}");
    let configuration = http::get(worker.port, "/connectors/brew-postgres/config").expect("an answer").1;
    assert!(configuration.contains("${env:DEBEZIUM_PASSWORD}") && !configuration.contains(DEBEZIUM_PASSWORD));

    for topic in
        TABLES.map(|table| format!("brew.analytics.{table}")).iter().chain([&"brew.analytics.dead-letters".into()])
    {
        broker.create_topic(topic, 4, &[]);
    }
    let topology = files::path("topology.yaml").to_string_lossy().into_owned();
    let bootstrap = broker.bootstrap();
    let env = [("KAFKA_BOOTSTRAP_SERVERS", bootstrap.as_str()), ("ANONYMIZE_SALT", SALT), ("HIGHWATER_LOG", "info")];
    let args = ["run", "-f", &topology, "--state", "state", "--http", "127.0.0.1:0"];
    let mut highwater = Highwater::command(&args, &env, dir.path());
    let arrived = |table: &str, what: &str, expected: usize| {
        wait_until(DEADLINE, &format!("{expected} rows of {table}: {what}"), || {
            (rows(&broker, &format!("brew.analytics.{table}")).len() >= expected).then_some(())
        });
    };
    TABLES.iter().for_each(|table| arrived(table, "the snapshot", 1));

    // Changes of all kinds while it runs.
    postgres.sql(
        "insert into customers (email, full_name) values ('second@example.com', 'Zoë Müller');
         update customers set email = 'other@example.com', updated_at = now() where id = 1;
         delete from customers where id = 2;
         insert into orders (customer_id, total) values (2, -9999999999.99);
         update orders set total = 12.31 where id = 1;
         insert into events (kind) values ('click');
         update visits set shop = 8;",
    );
    for (table, expected) in [("customers", 4), ("orders", 3), ("events", 2), ("visits", 2)] {
        arrived(table, "the changes", expected);
    }

    // Nothing personal in what left, in keys and values alike; and it was there before.
    let personal =
        ["ivan@", "other@", "second@", "0007919", "Ivanov", "Müller", "birth_date", "ring twice", "free form"];
    let (mut before, mut after) = (String::new(), String::new());
    for topic in broker.topics().into_keys().filter(|topic| !topic.starts_with("__")) {
        let side = if topic.starts_with("brew.cdc.") { &mut before } else { &mut after };
        for read in broker.read_all(&topic, Isolation::Uncommitted) {
            for bytes in read.key.into_iter().chain(read.value) {
                side.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }
    for value in personal {
        assert!(before.contains(value), "{value} never came");
        assert!(!after.contains(value), "{value} leaked");
    }
    assert!(!after.contains(DEBEZIUM_PASSWORD), "a password in Connect's own topics");
    let customers = rows(&broker, "brew.analytics.customers");
    assert_eq!(customers.len(), 4, "{customers:?}");
    let first = customers.iter().find(|row| row["id"] == 1 && row["updated_at"].is_null()).expect("the first version");
    assert_eq!(first["email"], hashed(SALT, "ivan@example.com"));
    assert_eq!(first["full_name"], truncated("Ivan Ivanov"));
    assert_eq!(customers.iter().filter(|row| row["id"] == 2 && row["_deleted"] == 1).count(), 1);
    assert_eq!(broker.read_all("brew.analytics.dead-letters", Isolation::Committed).len(), 0);

    // Every type as the tables of ClickHouse have it, nothing skipped.
    let clickhouse = ClickHouse::with_tables();
    TABLES.iter().for_each(|table| clickhouse.insert(table, &rows(&broker, &format!("brew.analytics.{table}")), true));
    let orders = clickhouse.sql("select id, total, due_on, placed_at, external_id from brew.orders_now order by id;");
    let orders: Vec<Value> = orders.into_iter().map(Value::Object).collect();
    assert_eq!(
        orders,
        [
            serde_json::json!({ "id": 1, "total": 12.31, "due_on": "2026-05-02", "placed_at": "2026-05-01 10:00:00.123456",
                "external_id": "7b4a0c9e-0d63-4b6f-9d0a-6f3f0a4b1c2d" }),
            serde_json::json!({ "id": 2, "total": -9999999999.99, "due_on": null, "placed_at": null, "external_id": null }),
        ]
    );
    for (sql, expected) in [
        ("select count() as n from brew.customers_now", 1),
        ("select count() as n from brew.events_now where at is null or at = '2026-05-01 10:00:00'", 2),
        ("select shop as n from brew.visits_now", 8),
    ] {
        assert_eq!(clickhouse.sql(&format!("{sql};"))[0]["n"], expected, "{sql}");
    }

    // While only other tables change, the slot moves on, and nothing of that is forwarded.
    postgres.sql("create table elsewhere as select repeat('x', 1000) from generate_series(1, 1000)");
    let written = postgres.sql("select pg_current_wal_lsn()");
    wait_until(DEADLINE, "the slot to pass what nobody reads", || {
        let passed = format!(
            "select confirmed_flush_lsn >= '{written}' from pg_replication_slots where slot_name = 'highwater'"
        );
        (postgres.sql(&passed) == "t").then_some(())
    });
    let expected: BTreeSet<String> = TABLES.iter().map(|table| format!("brew.cdc.public.{table}")).collect();
    let sent: BTreeSet<String> = broker.topics().into_keys().filter(|topic| topic.starts_with("brew.cdc")).collect();
    assert_eq!(sent, expected);
    assert_eq!(broker.topics()["brew.cdc.public.customers"], 4);

    assert!(worker.done(&["status"]).contains("task 0 RUNNING"));
    let deleted = worker.done(&["delete", SOURCE]);
    assert!(deleted.contains("brew-postgres deleted") && deleted.contains("pg_drop_replication_slot('highwater')"));
    assert!(worker.done(&["delete", SOURCE]).contains("was not there"));

    // A lost slot stops the connector; a new snapshot is the way on, and brings what was missed.
    wait_until(DEADLINE, "the slot to be left", || {
        let active = "select active from pg_replication_slots where slot_name = 'highwater'";
        (postgres.sql(active) == "f").then_some(())
    });
    postgres.sql("select pg_drop_replication_slot('highwater')");
    postgres.sql("insert into visits (customer_id, shop) values (66, 66)");
    let lost = worker.refused(&["create", SOURCE]);
    assert!(lost.contains("brew-postgres failed: ") && lost.contains("no longer available on the server"), "{lost}");
    assert!(worker.refused(&["status"]).contains("task 0 FAILED"));
    assert!(worker.done(&["resnapshot", SOURCE]).contains("brew-postgres runs, 1 task"));
    // The two rows of the table as they are now, beside its two changes from before.
    arrived("visits", "the new snapshot", 4);
    clickhouse.insert("visits", &rows(&broker, "brew.analytics.visits"), true);
    let shops = clickhouse.sql("select groupArray(shop) as shops from (select * from brew.visits_now order by id);");
    assert_eq!(shops[0]["shops"], serde_json::json!([8, 66]));
    highwater.sigterm();
    assert!(highwater.wait(DEADLINE).success(), "{}", highwater.log());
}

#[test]
fn a_worker_that_is_not_there_is_named() {
    let port = crate::support::broker::free_port();
    let out = Command::new(files::path("tools/connectors"))
        .arg("status")
        .env("CONNECT_URL", format!("http://127.0.0.1:{port}"))
        .env("CONNECT_WAIT", "0")
        .output()
        .expect("tools/connectors");
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && why.contains("does not answer"), "{why}");
}
