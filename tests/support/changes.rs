//! Many changes with replays among them, what must become of them, and what did.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::oracle::{self, Input, Rule};
use super::{Line, Read};

/// Small and repeatable; not for keys.
pub struct Lottery(pub u64);

impl Lottery {
    pub fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

pub const SECRET: &str = "a secret of the tests";

/// By key, rows in their order.
pub type Rows = BTreeMap<String, Vec<Map<String, Value>>>;

/// How a topology masks these rows, as the oracle has it.
pub const RULES: [(&str, Rule); 2] = [("email", Rule::Hash), ("full_name", Rule::Truncate)];

/// Changes as a Debezium would send them: LSNs rise, and every now and then a run of recent ones comes again.
pub fn lines(topic: &str, partitions: i32, keys: u64, count: usize) -> Vec<Line> {
    let mut lottery = Lottery(0x9e37_79b9_7f4a_7c15);
    let mut lines: Vec<Line> = Vec::with_capacity(count);
    let mut lsn = 1_000_000u64;
    let mut commit = lsn;
    while lines.len() < count {
        if lines.len() > 500 && lottery.next(400) == 0 {
            let from = lines.len() - 1 - lottery.next(300) as usize;
            let again: Vec<Line> = lines[from..].to_vec();
            lines.extend(again);
            continue;
        }
        if lottery.next(5) == 0 {
            commit = lsn;
        }
        lsn += 8 + lottery.next(200);
        let id = lottery.next(keys);
        let deleted = lottery.next(50) == 0;
        let row =
            json!({ "id": id, "email": format!("user{id}.{lsn}@example.com"), "full_name": "Ivan Ivanov", "n": lsn });
        let (before, after, op) = if deleted { (row, Value::Null, "d") } else { (Value::Null, row, "u") };
        let value = json!({
            "before": before, "after": after, "op": op,
            "source": { "name": "chaos", "db": "shop", "schema": "public", "table": "customers", "snapshot": "false",
                "lsn": lsn, "sequence": json!([commit.to_string(), lsn.to_string()]).to_string(),
                "ts_us": 1_700_000_000_000_000u64 + lsn },
        });
        let key = json!({ "id": id }).to_string();
        lines.push(Line::new(topic, &key, &value.to_string()).at((id % partitions as u64) as i32));
    }
    lines
}

/// The rows that must have left, computed from the source topic as it is.
pub fn truth(source: Vec<Read>, secret: &str) -> Rows {
    let mut partitions: BTreeMap<i32, Vec<_>> = BTreeMap::new();
    for read in source {
        partitions.entry(read.partition).or_default().push(read);
    }
    let mut rows = Rows::new();
    for reads in partitions.values() {
        for change in oracle::judge(reads.iter().map(Input::from)).accepted {
            let key = change.key.as_ref().map(Value::to_string).unwrap_or_default();
            rows.entry(key).or_default().push(oracle::output(&change, &RULES, secret));
        }
    }
    rows
}

/// The rows that did, read from the output topic; the keyless ones under "".
pub fn by_key(output: Vec<Read>) -> Rows {
    let mut rows = Rows::new();
    for read in output {
        let key = read.key.map(|k| serde_json::from_slice::<Value>(&k).expect("a JSON key").to_string());
        let row = serde_json::from_slice(&read.value.expect("a row")).expect("a JSON row");
        rows.entry(key.unwrap_or_default()).or_default().push(row);
    }
    rows
}

/// How what came out differs from what had to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    pub lost: u64,
    pub repeated: u64,
    /// Rows that no change demands.
    pub foreign: u64,
    /// Keys with the right rows in another order.
    pub reordered: u64,
}

impl Differences {
    pub fn add(&mut self, more: Self) {
        self.lost += more.lost;
        self.repeated += more.repeated;
        self.foreign += more.foreign;
        self.reordered += more.reordered;
    }
}

pub fn differences(output: &Rows, truth: &Rows) -> Differences {
    let count = |rows: Option<&Vec<Map<String, Value>>>| {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for row in rows.into_iter().flatten() {
            *counts.entry(Value::Object(row.clone()).to_string()).or_default() += 1;
        }
        counts
    };
    let mut found = Differences::default();
    let keys: std::collections::BTreeSet<&String> = output.keys().chain(truth.keys()).collect();
    for key in keys.into_iter().filter(|key| output.get(*key) != truth.get(*key)) {
        let (came, due) = (count(output.get(key)), count(truth.get(key)));
        found.reordered += u64::from(came == due);
        for (row, times) in &due {
            let came = came.get(row).copied().unwrap_or_default();
            found.lost += u64::try_from(times - came).unwrap_or_default();
            found.repeated += u64::try_from(came - times).unwrap_or_default();
        }
        let foreign = came.iter().filter(|(row, _)| !due.contains_key(*row));
        found.foreign += foreign.map(|(_, times)| times.unsigned_abs()).sum::<u64>();
    }
    found
}

#[track_caller]
pub fn assert_equal(left: &Rows, right: &Rows, when: &str) {
    let lsns = |rows: Option<&Vec<Map<String, Value>>>| -> Vec<Value> {
        rows.into_iter().flatten().map(|row| row["cdc_lsn"].clone()).collect()
    };
    let keys = left.keys().chain(right.keys());
    let wrong: Vec<&String> = keys.filter(|key| left.get(*key) != right.get(*key)).collect();
    let shown: Vec<String> =
        wrong.iter().take(5).map(|k| format!("{k}: {:?}, not {:?}", lsns(left.get(*k)), lsns(right.get(*k)))).collect();
    assert!(wrong.is_empty(), "{when}: {} keys are wrong: {}", wrong.len(), shown.join("; "));
}

/// A streamed change as Debezium sends it, all of one source transaction's past.
pub fn envelope(op: &str, row: &Value, lsn: u64) -> Value {
    let (before, after) = if op == "d" { (row, &Value::Null) } else { (&Value::Null, row) };
    json!({
        "before": before, "after": after, "op": op,
        "source": { "name": "tests", "db": "shop", "schema": "public", "table": "people", "snapshot": "false",
            "lsn": lsn, "sequence": format!("[\"1\",\"{lsn}\"]"), "ts_us": 1_700_000_000_000_000u64 + lsn },
    })
}

/// A change of the row `id`.
pub fn change(topic: &str, op: &str, row: &Value, lsn: u64) -> Line {
    Line::new(topic, &json!({ "id": row["id"] }).to_string(), &envelope(op, row, lsn).to_string())
}
