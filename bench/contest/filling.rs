//! What fills a store: a short first change of every key, below the workload's LSNs.

use crate::digest::{Digest, Rows};
use crate::workload::{FIRST_LSN, Record};

/// Sends them, and returns the rows that must leave.
pub fn generate(keys: u64, send: &mut dyn FnMut(Record<'_>)) -> Rows {
    assert!(keys < FIRST_LSN);
    let mut digest = Digest::default();
    for id in 0..keys {
        let (key, lsn) = (format!(r#"{{"id":{id}}}"#), 1 + id);
        let value = format!(
            r#"{{"before":null,"after":{{"id":{id},"email":null,"phone":null,"full_name":null,"birth_date":null,"notes":null}},"source":{{"name":"brew.cdc","db":"brew","snapshot":"false","sequence":"[\"{lsn}\",\"{lsn}\"]","ts_us":{lsn},"table":"customers","lsn":{lsn}}},"op":"c","ts_ms":{lsn}}}"#
        );
        let row = format!(r#"{{"id":{id},"email":null,"phone":null,"full_name":null,"cdc_lsn":{lsn},"_deleted":0}}"#);
        digest.add(key.as_bytes(), row.as_bytes());
        send(Record { key: &key, value: Some(&value) });
    }
    digest.rows()
}
