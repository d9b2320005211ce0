//! What must be in ClickHouse, from what Debezium delivered and from what Postgres holds; and what is there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::stage::{LETTERS, SALT, Stage, output, source};
use crate::support::database::TABLES;
use crate::support::oracle::{self, Accepted, Input, Rule, hashed, truncated};
use crate::support::{ClickHouse, Isolation, Read};

/// What topology.yaml and anonymize.yaml hide.
fn rules(table: &str) -> &'static [(&'static str, Rule)] {
    match table {
        "customers" => &[
            ("email", Rule::Hash),
            ("phone", Rule::Hash),
            ("full_name", Rule::Truncate),
            ("birth_date", Rule::Drop),
            ("passport", Rule::Hash),
        ],
        "orders" => &[("notes", Rule::Drop)],
        "events" => &[("payload", Rule::Drop)],
        _ => &[],
    }
}

/// Id, version, whether it is deleted.
pub type Version = (i64, u64, u64);

/// What Debezium delivered of a table, and what of it must leave.
#[derive(Default)]
pub struct Delivered {
    /// Records that carry a change of a row, however often it came.
    pub changes: usize,
    pub stale: usize,
    pub accepted: Vec<Accepted>,
    /// New epochs: by a new snapshot, and by positions that fell while time went on.
    pub snapshots: usize,
    pub regressions: usize,
    /// Those with anything in them.
    pub partitions: usize,
}

impl Delivered {
    pub fn of(reads: &[Read]) -> Self {
        let mut partitions: BTreeMap<i32, Vec<&Read>> = BTreeMap::new();
        reads.iter().for_each(|read| partitions.entry(read.partition).or_default().push(read));
        let mut delivered = Self::default();
        for reads in partitions.into_values() {
            let outcome = oracle::judge(reads.into_iter().map(Input::from));
            assert!(outcome.bad.is_empty(), "not read: {:?}", outcome.bad);
            delivered.stale += outcome.stale.len();
            delivered.changes += outcome.stale.len() + outcome.accepted.len();
            delivered.accepted.extend(outcome.accepted);
            delivered.snapshots += outcome.snapshots.len();
            delivered.regressions += outcome.regressions.len();
            delivered.partitions += 1;
        }
        delivered
    }

    /// Sorted.
    fn versions(&self) -> Vec<Version> {
        let version = |change: &Accepted| (id(&change.row["id"]), change.cdc_lsn, u64::from(change.deleted));
        let mut versions: Vec<_> = self.accepted.iter().map(version).collect();
        versions.sort_unstable();
        versions
    }

    /// Rows as they must stand in the output topic, sorted.
    fn rows(&self, table: &str) -> Vec<String> {
        let row = |change: &Accepted| Value::Object(oracle::output(change, rules(table), SALT)).to_string();
        let mut rows: Vec<_> = self.accepted.iter().map(row).collect();
        rows.sort_unstable();
        rows
    }
}

pub fn id(value: &Value) -> i64 {
    value.as_i64().expect("an id")
}

/// What was compared.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Records of the source topics that carry a change, and those of them that are replays.
    pub delivered: usize,
    pub stale: usize,
    /// Rows that were inserted into ClickHouse, each counted as often as it was.
    pub inserted: usize,
    pub lost: usize,
    pub doubled: usize,
    /// Keys whose last row is a delete, and rows that Postgres holds.
    pub deleted: usize,
    pub live: usize,
    /// New epochs, by their reason, and partitions that have any.
    pub snapshots: usize,
    pub regressions: usize,
    pub partitions: usize,
}

impl Stage {
    /// Every change that was delivered and is no replay is in ClickHouse once, and what is left of all of them is what
    /// Postgres holds.
    #[track_caller]
    pub fn verify(&self, when: &str) -> Counts {
        let counts = self.compare(when);
        assert_eq!(self.broker.read_all(LETTERS, Isolation::Committed).len(), 0, "{when}: dead letters");
        assert_eq!((counts.lost, counts.doubled), (0, 0), "{when}: {counts:?}");
        for table in TABLES {
            let (there, held) = (self.final_rows(table), self.held(table));
            assert_same(&there, &held, &format!("{when}: FINAL of {table} and Postgres"));
        }
        eprintln!("pipeline: {when}: {counts:?}");
        counts
    }

    /// The counts alone; what they are about must be right, whatever they are.
    #[track_caller]
    pub fn compare(&self, when: &str) -> Counts {
        let (mut counts, there) = (Counts::default(), self.broker.topics());
        for table in TABLES.iter().filter(|table| there.contains_key(&source(table))) {
            let delivered = Delivered::of(&self.broker.read_all(&source(table), Isolation::Committed));
            let expected = delivered.versions();
            let inserted = versions(&self.clickhouse, &format!("every.{table}"));
            let (lost, doubled) = (minus(&expected, &inserted), minus(&inserted, &expected));
            let shown = |which: &[Version]| which.iter().take(5).copied().collect::<Vec<_>>();
            if !lost.is_empty() || !doubled.is_empty() {
                eprintln!("{when}: {table}: lost {:?}…, too many {:?}…", shown(&lost), shown(&doubled));
            }
            counts.delivered += delivered.changes;
            counts.stale += delivered.stale;
            counts.snapshots += delivered.snapshots;
            counts.regressions += delivered.regressions;
            counts.partitions += delivered.partitions;
            counts.inserted += inserted.len();
            counts.lost += lost.len();
            counts.doubled += doubled.len();

            // The topic between the two has the same, to the byte of each value.
            let mut rows: Vec<String> = self
                .broker
                .read_all(&output(table), Isolation::Committed)
                .into_iter()
                .map(|read| serde_json::from_slice::<Value>(&read.value.expect("a row")).expect("JSON").to_string())
                .collect();
            rows.sort_unstable();
            let wanted = delivered.rows(table);
            let differs = rows.iter().zip(&wanted).find(|(row, wanted)| row != wanted);
            assert!(rows.len() == wanted.len() && differs.is_none(), "{when}: {}: {differs:?}", output(table));

            // The table may have forgotten what was replaced, and has nothing else; the last of each key is there.
            let kept = versions(&self.clickhouse, &format!("brew.{table}"));
            let strange = minus(&kept, &inserted);
            assert!(strange.is_empty(), "{when}: rows of brew.{table} that nobody inserted: {strange:?}");
            let last: BTreeMap<i64, Version> = expected.iter().map(|version| (version.0, *version)).collect();
            let missing: Vec<_> = last.values().filter(|version| kept.binary_search(version).is_err()).collect();
            assert!(missing.is_empty(), "{when}: of brew.{table}: {missing:?}");
            let deleted: BTreeSet<i64> =
                last.values().filter(|version| version.2 == 1).map(|version| version.0).collect();
            let sql = format!("select id, cdc_lsn, _deleted from brew.{table} final where _deleted = 1 order by id");
            let said: BTreeSet<i64> = select(&self.clickhouse, &sql).iter().map(|row| id(&row[0])).collect();
            assert_eq!(said, deleted, "{when}: rows of brew.{table} that are deleted");
            counts.deleted += deleted.len();
            counts.live += last.len() - deleted.len();
        }
        counts
    }

    /// What Postgres holds, masked, and what it lost without a word.
    pub fn held(&self, table: &str) -> BTreeMap<i64, Value> {
        let mut held = self.ghosts.get(table).cloned().unwrap_or_default();
        for line in self.postgres.sql(postgres_rows(table)).lines() {
            let mut row: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            if table == "customers" {
                for column in [1, 2] {
                    change(&mut row[column], |text| hashed(SALT, text));
                }
                change(&mut row[3], truncated);
                for column in [1, 2] {
                    let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
                    assert!(row[column].as_str().is_none_or(hex), "{row}");
                }
                assert!(row[3].as_str().is_none_or(|name| name.is_empty() || name.ends_with('.')), "{row}");
            }
            held.insert(id(&row[0]), row);
        }
        held
    }

    pub fn final_rows(&self, table: &str) -> BTreeMap<i64, Value> {
        let columns = match table {
            "customers" => {
                "id, email, phone, full_name, country, toUnixTimestamp64Micro(created_at), toUnixTimestamp64Micro(updated_at)"
            }
            "orders" => "id, customer_id, toInt64(total * 100), due_on, placed_at, toString(external_id)",
            "events" => "id, customer_id, kind, toUnixTimestamp64Micro(at)",
            _ => "id, customer_id, shop, toUnixTimestamp64Micro(at)",
        };
        let sql = format!("select {columns} from brew.{table} final where _deleted = 0");
        select(&self.clickhouse, &sql).into_iter().map(|row| (id(&row[0]), row)).collect()
    }
}

fn change(value: &mut Value, with: impl FnOnce(&str) -> String) {
    if let Some(text) = value.as_str() {
        *value = with(text).into();
    }
}

/// The columns of `final_rows`, in the clear.
fn postgres_rows(table: &str) -> &'static str {
    match table {
        "customers" => {
            "select json_build_array(id, email, phone, full_name, country,
               (extract(epoch from created_at) * 1000000)::bigint, (extract(epoch from updated_at) * 1000000)::bigint)
             from customers"
        }
        "orders" => {
            "select json_build_array(id, customer_id, (total * 100)::bigint, due_on - date '1970-01-01',
               (extract(epoch from placed_at) * 1000000)::bigint, external_id) from orders"
        }
        "events" => {
            "select json_build_array(id, customer_id, kind, (extract(epoch from at) * 1000000)::bigint) from events"
        }
        _ => "select json_build_array(id, customer_id, shop, (extract(epoch from at) * 1000000)::bigint) from visits",
    }
}

/// Rows as arrays.
pub fn select(clickhouse: &ClickHouse, sql: &str) -> Vec<Value> {
    let settings = [("default_format", "JSONCompactEachRow"), ("output_format_json_quote_64bit_integers", "0")];
    let reply = clickhouse.ask(sql, &settings).unwrap_or_else(|e| panic!("{sql}: {e}"));
    assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
    reply.text().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Sorted.
fn versions(clickhouse: &ClickHouse, table: &str) -> Vec<Version> {
    let rows = select(clickhouse, &format!("select id, cdc_lsn, _deleted from {table}"));
    let number = |value: &Value| value.as_u64().expect("a number");
    let mut versions: Vec<_> = rows.iter().map(|row| (id(&row[0]), number(&row[1]), number(&row[2]))).collect();
    versions.sort_unstable();
    versions
}

/// Of two sorted lists, what the first has more of.
fn minus(these: &[Version], those: &[Version]) -> Vec<Version> {
    let (mut more, mut those) = (Vec::new(), those.iter().peekable());
    for this in these {
        while those.next_if(|that| *that < this).is_some() {}
        if those.next_if(|that| *that == this).is_none() {
            more.push(*this);
        }
    }
    more
}

#[track_caller]
pub fn assert_same(there: &BTreeMap<i64, Value>, held: &BTreeMap<i64, Value>, what: &str) {
    let ids: BTreeSet<_> = there.keys().chain(held.keys()).collect();
    let differ = ids.into_iter().filter(|id| there.get(id) != held.get(id));
    let shown: Vec<_> = differ.map(|id| format!("{:?}\n  {:?}", there.get(id), held.get(id))).collect();
    assert!(
        shown.is_empty(),
        "{what}: {} of {} rows differ:\n{}",
        shown.len(),
        held.len(),
        shown[..shown.len().min(5)].join("\n")
    );
}
