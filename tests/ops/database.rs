//! `db/init.sql` on a real Postgres with compose's settings.

pub use crate::support::database::{DEBEZIUM_PASSWORD, PASSWORD, Postgres, TABLES};

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
        let answer = postgres.refuses(&insert);
        assert!(answer.contains("violates check constraint"), "{insert}: {answer}");
    }
}
