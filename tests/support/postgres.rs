//! What Postgres held at the end of a capture, against what is left of its changes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Fixture;

type Row = Map<String, Value>;

/// What a `ReplacingMergeTree(cdc_lsn)` keeps of output rows, given each key's rows: the highest version, if it is no
/// delete. Rows without a key are not counted.
pub fn remaining(rows: &BTreeMap<String, Vec<Row>>) -> Vec<Row> {
    let version = |row: &&Row| row["cdc_lsn"].as_u64().expect("a version");
    let keyed = rows.iter().filter(|(key, _)| !key.is_empty());
    keyed.filter_map(|(_, rows)| rows.iter().max_by_key(version)).filter(|row| row["_deleted"] == 0).cloned().collect()
}

impl Fixture {
    /// Rows as `[primary key columns…, ver]`: what is left and Postgres does not hold as `table +row`, the other way round as
    /// `table -row`.
    pub fn differences(&self, left: &BTreeMap<String, Vec<Row>>) -> Vec<String> {
        let mut all = Vec::new();
        for (table, held) in &self.finals {
            let columns: &[&str] =
                if table == "order_items" { &["order_id", "line_no", "ver"] } else { &["id", "ver"] };
            let row = |row: &Row| columns.iter().map(|c| row[*c].clone()).collect::<Value>().to_string();
            let left: BTreeSet<String> = left.get(table).into_iter().flatten().map(row).collect();
            let held: BTreeSet<String> = held.iter().map(|row| json!(row).to_string()).collect();
            all.extend(left.difference(&held).map(|row| format!("{table} +{row}")));
            all.extend(held.difference(&left).map(|row| format!("{table} -{row}")));
        }
        all
    }

    /// The differences that no order of changes can avoid, and why.
    pub fn expected_differences(&self) -> &'static [&'static str] {
        match self.name.as_str() {
            // Deleted between the last delivered change and a new snapshot: no delete event exists.
            "kill9_snapshot" => &["customers +[3,1]", "customers +[31,1]"],
            "resnapshot" => &["customers +[5,1]"],
            // Truncated tables: a truncate names no rows.
            "ops" => &[
                "order_items +[1,1,1]",
                "order_items +[1,5,2]",
                "orders +[1,2]",
                "visits +[1,4]",
                "visits +[2,5]",
                "visits +[3,1]",
                "visits +[4,1]",
                "visits +[5,1]",
                "visits +[6,1]",
                "visits +[7,1]",
                "visits +[8,1]",
            ],
            // Keyed by customer: its last row stands for all of them.
            "custom_key" => &["orders -[3,1]"],
            // Keyed by customer; and a deferrable key that is created before its old row is deleted.
            "collisions" => &[
                "seats -[2,2]",
                "seats -[3,2]",
                "visits -[1,1]",
                "visits -[10,1]",
                "visits -[2,1]",
                "visits -[3,1]",
                "visits -[4,1]",
                "visits -[5,1]",
                "visits -[6,1]",
                "visits -[7,1]",
                "visits -[8,1]",
                "visits -[9,1]",
            ],
            _ => &[],
        }
    }
}
