//! What a database does to its readers: it truncates, loses a slot, comes back from a backup with lower positions.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::support::database::{Postgres, TABLES};
use crate::truth::assert_same;

/// A truncate names no rows: it is counted, and they stay.
pub fn truncated(stage: &mut Stage) {
    let (before, held) = (stage.verify("before a truncate"), stage.held("visits"));
    assert!(held.len() > 10, "{}", held.len());
    stage.postgres.sql("truncate visits");
    stage.settle();
    let page = stage.metrics().expect("its page");
    let counted: f64 = page
        .lines()
        .filter(|line| line.starts_with("highwater_records_skipped_total{") && line.contains("reason=\"truncate\""))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert_eq!(counted, 1.0, "truncates that were counted");
    stage.ghosts.insert("visits".into(), held);
    let after = stage.verify("visits were truncated");
    // The followed row alone: nothing left as deleted.
    assert_eq!((after.inserted, after.deleted), (before.inserted + 1, before.deleted));
}

/// The slot is gone, and with it what was changed meanwhile. A new one, and all rows are read anew.
pub fn read_anew(stage: &mut Stage) {
    stage.load(&["--seed", "3", "--count", "120"]);
    stage.settle();
    let before = stage.verify("before the slot is lost");
    stage.delete_connector("brew-postgres", "pipeline");
    stage.postgres.sql("select pg_drop_replication_slot('pipeline')");
    // Nobody tells of this row's end.
    let orders = stage.held("orders");
    let (gone, row) = orders.last_key_value().expect("orders");
    stage.postgres.sql(&format!("delete from orders where id = {gone}"));
    stage.ghosts.entry("orders".into()).or_default().insert(*gone, row.clone());
    stage.postgres.sql("update customers set country = 'LV', email = 'moved@example.com'");
    stage.postgres.sql("insert into events (kind) values ('while nobody listened')");
    let count = |table| stage.postgres.sql(&format!("select count(*) from {table}")).parse::<usize>().expect("a count");
    let rows: usize = TABLES.map(count).iter().sum();
    stage.register("brew-again", "pipeline_again", &[]);
    stage.settle();
    let after = stage.verify("all rows were read anew");
    // Each row once more, as its newest version, and the followed one.
    assert_eq!(after.inserted - before.inserted, rows + 1);
    assert_eq!(after.snapshots - before.snapshots, after.partitions, "new epochs by a new snapshot");
}

/// A database from a backup, in another cluster whose log begins low. What it changes from there on is newer.
pub fn restored(stage: &mut Stage) {
    let backup = stage.postgres.dump(&TABLES);
    // Lost with the disk, but not for those who read.
    stage.postgres.sql("update customers set country = 'XX'");
    let lost = stage.postgres.sql("insert into orders (total) values (66.66) returning id");
    stage.settle();
    let before = stage.verify("before the disaster");
    stage.delete_connector("brew-again", "pipeline_again");
    let high = lsn(&stage.postgres);

    stage.postgres = Postgres::with_tables();
    stage.postgres.restore(&backup);
    assert!(lsn(&stage.postgres) < high, "{} is not below {high}", lsn(&stage.postgres));
    // No snapshot: positions that fall, and a clock that goes on, are all there is to tell.
    let port = stage.postgres.port().to_string();
    let more = [("database.port", json!(port)), ("snapshot.mode", json!("no_data"))];
    stage.register("brew-restored", "pipeline_restored", &more);
    let ids = |stage: &Stage, what: &str| -> Vec<i64> {
        let ids = stage.postgres.sql(&format!("select id from {what}"));
        ids.lines().map(|id| id.parse().expect("an id")).collect()
    };
    let deleted = ids(stage, "orders where id % 3 = 1");
    stage.postgres.sql(
        "update customers set email = 'restored@example.com', country = 'EE' where id % 2 = 0;
         update orders set total = 77.77 where id % 3 = 0; delete from orders where id % 3 = 1",
    );
    // An id that is given out twice: by the lost database, and by the restored one.
    let again = stage.postgres.sql("insert into orders (total) values (88.88) returning id");
    assert_eq!(again, lost);
    stage.settle();
    let after = stage.compare("another cluster");
    eprintln!("pipeline: another cluster: {after:?}");
    assert_eq!((after.lost, after.doubled), (0, 0), "{after:?}");
    assert!(after.regressions > before.regressions && after.snapshots == before.snapshots, "{after:?}");
    // Its own word for what it did.
    let page = stage.metrics().expect("its page");
    assert!(page.contains("reason=\"regression\""), "{page}");

    let changed_orders = format!("orders where id % 3 = 0 or id = {lost}");
    for (table, changed) in [("customers", "customers where id % 2 = 0"), ("orders", &changed_orders)] {
        let (there, held, changed) = (stage.final_rows(table), stage.held(table), ids(stage, changed));
        assert!(changed.len() > 5, "{changed:?}");
        let of =
            |rows: &BTreeMap<i64, Value>| changed.iter().filter_map(|id| Some((*id, rows.get(id)?.clone()))).collect();
        assert_same(&of(&there), &of(&held), &format!("{table} that were changed after the restore"));
    }
    let there = stage.final_rows("orders");
    let back: Vec<_> = deleted.iter().filter(|id| there.contains_key(id)).collect();
    assert!(
        deleted.len() > 5 && back.is_empty(),
        "deleted by the restored database, and there: {back:?} of {deleted:?}"
    );
}

fn lsn(postgres: &Postgres) -> u64 {
    postgres.sql("select (pg_current_wal_lsn() - '0/0')::bigint").parse().expect("an LSN")
}
