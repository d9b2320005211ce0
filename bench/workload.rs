//! The contest's workload: Debezium changes of one table, about 1 kB each, 5 % of them stale replays, 2 % deletes with
//! their tombstones; the same for the same seed.

use std::collections::HashMap;
use std::fmt::Write;

/// Small and repeatable; not for keys.
struct Lottery(u64);

impl Lottery {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True once in so many times.
    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// What the right answer is.
#[derive(Debug, Default, Clone, Copy)]
pub struct Truth {
    pub records: u64,
    /// Changes that are newer than their key's last: rows that must leave.
    pub accepted: u64,
    pub stale: u64,
    pub tombstones: u64,
}

const FIRST: [&str; 8] = ["Ivan", "Anna", "Petr", "Olga", "Grace", "Søren", "Zoë", "李"];
const LAST: [&str; 7] = ["Ivanov", "Smirnova", "Hopper", "Lovelace", "O'Neil", "Müller", "王"];
const CITY: [&str; 5] = ["Moscow", "Berlin", "Paris", "Łódź", "Osaka"];
/// Runs of recent changes that come again.
const REPLAY: usize = 100;
const REPLAYED_ONCE_IN: u64 = 2_000;

fn row(text: &mut String, id: u64, version: u64) {
    let (first, last) = (FIRST[(id % 8) as usize], LAST[(id / 7 % 7) as usize]);
    let tags = if id.is_multiple_of(3) { r#"["vip","morning"]"# } else { "[]" };
    let _ = write!(
        text,
        r#"{{"id":{id},"email":"customer{id}.{version}@example.com","phone":"+7916{id:07}","full_name":"{first} {last}","birth_date":{},"country":"RU","city":"{}","street":"{} Main Street, apt. {}","notes":"Prefers oat milk; call before delivery. Gate code is written on the card. {version}","loyalty_points":{},"balance":"{}.{:02}","tags":{tags},"is_active":{},"created_at":"2026-03-01T09:{:02}:{:02}.123456Z","updated_at":"2026-10-{:02}T12:{:02}:00.000001Z"}}"#,
        3650 + id % 20_000,
        CITY[(id % 5) as usize],
        id % 311,
        version % 90,
        (id * 31 + version) % 10_000,
        id % 10_007,
        version % 100,
        !id.is_multiple_of(11),
        id % 60,
        version % 60,
        1 + version % 28,
        id % 60,
    );
}

/// Sends `count` records about so many keys: key, and value or tombstone.
pub fn generate(count: u64, keys: u64, send: &mut dyn FnMut(&str, Option<&str>)) -> Truth {
    let mut lottery = Lottery(0x9e37_79b9_7f4a_7c15);
    let mut truth = Truth::default();
    // By key: version, and whether the row is there.
    let mut rows: HashMap<u64, (u64, bool)> = HashMap::new();
    let mut recent: Vec<(String, String)> = Vec::new();
    let mut lsn = 0x16b3_74d0u64;
    while truth.records < count {
        let id = lottery.below(keys);
        let (version, exists) = rows.get(&id).copied().unwrap_or((0, false));
        lsn += 56 + lottery.below(344);
        let deleted = exists && lottery.one_in(50);
        let (op, before, after) = (
            if deleted {
                "d"
            } else if exists {
                "u"
            } else {
                "c"
            },
            exists,
            !deleted,
        );
        rows.insert(id, (version + 1, after));
        let mut value = String::with_capacity(1200);
        value.push_str(r#"{"before":"#);
        if before {
            row(&mut value, id, version)
        } else {
            value.push_str("null")
        }
        value.push_str(r#","after":"#);
        if after {
            row(&mut value, id, version + 1)
        } else {
            value.push_str("null")
        }
        let ms = 1_790_000_000_000 + truth.records;
        let _ = write!(
            value,
            r#","source":{{"version":"3.7.0.Final","connector":"postgresql","name":"brew.cdc","ts_ms":{},"snapshot":"false","db":"brew","sequence":"[\"{}\",\"{lsn}\"]","ts_us":{},"ts_ns":{},"schema":"public","table":"customers","txId":{},"lsn":{lsn},"xmin":null}},"transaction":null,"op":"{op}","ts_ms":{ms},"ts_us":{},"ts_ns":{}}}"#,
            ms - 5,
            lsn - 40,
            (ms - 5) * 1000,
            (ms - 5) * 1_000_000,
            700 + truth.records / 3,
            ms * 1000,
            ms * 1_000_000,
        );
        let key = format!(r#"{{"id":{id}}}"#);
        send(&key, Some(&value));
        truth.records += 1;
        truth.accepted += 1;
        if deleted {
            send(&key, None);
            truth.records += 1;
            truth.tombstones += 1;
        }
        recent.push((key, value));
        if recent.len() > 40 * REPLAY {
            recent.drain(..20 * REPLAY);
        }
        if lottery.one_in(REPLAYED_ONCE_IN) {
            for (key, value) in &recent[recent.len().saturating_sub(REPLAY)..] {
                send(key, Some(value));
                truth.records += 1;
                truth.stale += 1;
            }
        }
    }
    truth
}
