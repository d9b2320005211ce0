//! The contest's workload: Debezium changes of one table, about 1 kB each, 5 % of them stale replays, 2 % deletes with
//! their tombstones; the same for the same seed. With each change comes the row that must leave, made from the same
//! numbers and not from the change: what a contestant wrote is compared with it.

use std::collections::HashMap;
use std::fmt::Write;

use sha2::{Digest as _, Sha256};

use crate::digest::{Digest, Rows};

/// Of the pseudonyms.
pub const SALT: &str = "usecase-09-03-salt";

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

/// A change or a tombstone.
pub struct Record<'a> {
    pub key: &'a str,
    pub value: Option<&'a str>,
}

/// What the right answer is.
#[derive(Debug, Default, Clone, Copy)]
pub struct Truth {
    pub records: u64,
    pub bytes: u64,
    /// Changes that are newer than their key's last, as the rows that must leave.
    pub accepted: Rows,
    pub stale: u64,
    pub tombstones: u64,
}

#[derive(Debug, Clone, Copy)]
pub struct Workload {
    pub records: u64,
    pub keys: u64,
    pub seed: u64,
    pub wide: Wide,
    /// The least LSN.
    pub first_lsn: u64,
}

pub const FIRST_LSN: u64 = 0x16b3_74d0;

/// Columns beyond those of a customer: `c0`, `c1`, …, the first of them masked by `hash`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Wide {
    pub columns: u64,
    pub masked: u64,
    /// Characters of a value.
    pub width: u64,
}

const FIRST: [&str; 8] = ["Ivan", "Anna", "Petr", "Olga", "Grace", "Søren", "Zoë", "李"];
const LAST: [&str; 7] = ["Ivanov", "Smirnova", "Hopper", "Lovelace", "O'Neil", "Müller", "王"];
const CITY: [&str; 5] = ["Moscow", "Berlin", "Paris", "Łódź", "Osaka"];
const NOTE: &str = "Prefers oat milk; call before delivery. Gate code is written on the card.";
/// Runs of recent changes that come again.
const REPLAY: usize = 100;
const REPLAYED_ONCE_IN: u64 = 2_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As the source has it.
    Raw,
    /// As it must leave, without its last brace.
    Masked,
}

fn pseudonym(text: &mut String, value: &str) {
    let digest = Sha256::new().chain_update(SALT).chain_update(value).finalize();
    digest.iter().for_each(|byte| write!(text, "{byte:02x}").expect("a String"));
}

impl Workload {
    fn row(&self, text: &mut String, id: u64, version: u64, form: Form) {
        let (first, last) = (FIRST[(id % 8) as usize], LAST[(id / 7 % 7) as usize]);
        let (email, phone) = (format!("customer{id}.{version}@example.com"), format!("+7916{id:07}"));
        let _ = write!(text, r#"{{"id":{id},"email":""#);
        if form == Form::Raw {
            let born = 3650 + id % 20_000;
            let _ = write!(
                text,
                r#"{email}","phone":"{phone}","full_name":"{first} {last}","birth_date":{born},"country":"RU""#
            );
        } else {
            pseudonym(text, &email);
            text.push_str(r#"","phone":""#);
            pseudonym(text, &phone);
            let initial = last.chars().next().expect("a name");
            let _ = write!(text, r#"","full_name":"{first}{initial}.","country":"RU""#);
        }
        let _ = write!(
            text,
            r#","city":"{}","street":"{} Main Street, apt. {}""#,
            CITY[(id % 5) as usize],
            id % 311,
            version % 90
        );
        if form == Form::Raw {
            let _ = write!(text, r#","notes":"{NOTE} {version}""#);
        }
        let tags = if id.is_multiple_of(3) { r#"["vip","morning"]"# } else { "[]" };
        let _ = write!(
            text,
            r#","loyalty_points":{},"balance":"{}.{:02}","tags":{tags},"is_active":{},"created_at":"2026-03-01T09:{:02}:{:02}.123456Z","updated_at":"2026-10-{:02}T12:{:02}:00.000001Z""#,
            (id * 31 + version) % 10_000,
            id % 10_007,
            version % 100,
            !id.is_multiple_of(11),
            id % 60,
            version % 60,
            1 + version % 28,
            id % 60,
        );
        for column in 0..self.wide.columns {
            let mut value = format!("{column}.{version}.{id}.");
            while (value.len() as u64) < self.wide.width {
                let more = (self.wide.width as usize - value.len()).min(NOTE.len());
                value.push_str(&NOTE[..more]);
            }
            let _ = write!(text, r#","c{column}":""#);
            if form == Form::Masked && column < self.wide.masked {
                pseudonym(text, &value);
            } else {
                text.push_str(&value);
            }
            text.push('"');
        }
        if form == Form::Raw {
            text.push('}');
        }
    }

    /// Sends all records, each key's in their order, until `send` says that it is enough.
    pub fn generate(&self, send: &mut dyn FnMut(Record<'_>) -> bool) -> Truth {
        let mut lottery = Lottery(0x9e37_79b9_7f4a_7c15 ^ self.seed);
        let (mut truth, mut digest) = (Truth::default(), Digest::default());
        let mut more = true;
        let mut send = |truth: &mut Truth, key: &str, value: Option<&str>| {
            truth.records += 1;
            truth.bytes += (key.len() + value.map_or(0, str::len)) as u64;
            more &= send(Record { key, value });
            more
        };
        // By key: version, and whether the row is there.
        let mut rows: HashMap<u64, (u64, bool)> = HashMap::new();
        let mut recent: Vec<(String, String)> = Vec::new();
        let mut lsn = self.first_lsn;
        let mut masked = String::new();
        let mut wanted = true;
        while wanted && truth.records < self.records {
            let id = lottery.below(self.keys);
            let (version, exists) = rows.get(&id).copied().unwrap_or((0, false));
            lsn += 56 + lottery.below(344);
            let deleted = exists && lottery.one_in(50);
            let op = match (exists, deleted) {
                (_, true) => "d",
                (true, false) => "u",
                (false, false) => "c",
            };
            rows.insert(id, (version + 1, !deleted));
            let mut value = String::with_capacity(1200);
            value.push_str(r#"{"before":"#);
            if exists {
                self.row(&mut value, id, version, Form::Raw)
            } else {
                value.push_str("null")
            }
            value.push_str(r#","after":"#);
            if deleted {
                value.push_str("null")
            } else {
                self.row(&mut value, id, version + 1, Form::Raw)
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
            masked.clear();
            self.row(&mut masked, id, if deleted { version } else { version + 1 }, Form::Masked);
            let _ = write!(masked, r#","cdc_lsn":{lsn},"_deleted":{}}}"#, u8::from(deleted));
            let key = format!(r#"{{"id":{id}}}"#);
            digest.add(key.as_bytes(), masked.as_bytes());
            wanted = send(&mut truth, &key, Some(&value));
            if deleted {
                send(&mut truth, &key, None);
                truth.tombstones += 1;
            }
            recent.push((key, value));
            if recent.len() > 40 * REPLAY {
                recent.drain(..20 * REPLAY);
            }
            if lottery.one_in(REPLAYED_ONCE_IN) {
                for (key, value) in &recent[recent.len().saturating_sub(REPLAY)..] {
                    send(&mut truth, key, Some(value));
                    truth.stale += 1;
                }
            }
        }
        truth.accepted = digest.rows();
        truth
    }
}
