//! What the log reads: batches of the embedded log, and the lines of `produce` and `consume`.

use std::sync::Arc;

use highwater::cli::lines::{Told, json};
use highwater::log::embedded::batch::Batch;
use highwater::record::{Headers, Record};

/// Bytes of a batch, whole or damaged: records up to the damage, and what is left of it is the same batch.
pub fn batch(bytes: &[u8]) {
    let Some(mut batch) = Batch::open(Arc::new(bytes.to_vec())) else { return };
    let whole = batch.clone();
    assert_eq!(batch.size(), bytes.len());
    let mut is_damaged = false;
    loop {
        let next = batch.next_offset();
        match batch.read() {
            Some(Some(entry)) => {
                assert_eq!(entry.offset, next);
                entry.visit("t", 0, &mut |record| record.headers.each(&mut |_, _| {}));
            }
            Some(None) => break,
            None => {
                is_damaged = true;
                break;
            }
        }
    }
    match whole.filtered(|_| true) {
        None => assert!(is_damaged),
        Some(left) => {
            assert!(!is_damaged && batch.is_done());
            assert_eq!(left.as_deref().unwrap_or(&bytes[..29]), bytes);
        }
    }
}

/// A line of `produce`: the record that it tells, written by `consume`, tells the same. And any two fields are told whole.
pub fn lines(bytes: &[u8]) {
    if let Ok(Some(told)) = json::parse(bytes, "t") {
        let line = written(&told);
        let again = json::parse(&line, "t").expect("what was written is read").expect("it is not blank");
        let partition = Some(told.partition.unwrap_or(0));
        assert_eq!(again, Told { partition, ..told }, "{}", String::from_utf8_lossy(&line));
    }
    let (key, value) = bytes.split_at(bytes.len() / 2);
    let told = Told { key: Some(key.into()), value: Some(value.into()), ..Told::default() };
    let line = written(&told);
    assert!(!line.contains(&b'\n'));
    let again = json::parse(&line, "t").expect("what was written is read").expect("it is not blank");
    assert_eq!((again.key.as_deref(), again.value.as_deref()), (Some(key), Some(value)));
}

fn written(told: &Told<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    let record = Record {
        topic: "t",
        partition: told.partition.unwrap_or(0),
        offset: 0,
        timestamp: told.timestamp,
        key: told.key.as_deref(),
        value: told.value.as_deref(),
        headers: &Listed(told),
    };
    json::write(&record, &mut line);
    line
}

struct Listed<'a>(&'a Told<'a>);

impl Headers for Listed<'_> {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.headers.iter().for_each(|(name, value)| visit(name, value.as_deref()));
    }
}
