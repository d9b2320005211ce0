//! What lies in a partition, batch by batch: read from a broker's own files, because no client tells who wrote what.

use std::fs;
use std::path::Path;

/// A record batch (magic 2), by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    pub offset: i64,
    pub records: i32,
    pub producer: i64,
    pub epoch: i16,
    /// Set for the marker that ends a transaction: was it committed?
    pub committed: Option<bool>,
}

const HEADER: usize = 61;
const CONTROL: i16 = 1 << 5;

/// Every batch of a partition in the data directory of a broker.
pub fn batches(data: &Path, topic: &str, partition: i32) -> Vec<Batch> {
    let directory = data.join(format!("{topic}-{partition}"));
    let files = fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "log"));
    files.sort();
    files.iter().flat_map(|file| parse(&fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display())))).collect()
}

fn parse(mut bytes: &[u8]) -> Vec<Batch> {
    let mut batches = Vec::new();
    while bytes.len() >= HEADER {
        let length = 12 + i32::from_be_bytes(at(bytes, 8)) as usize;
        let Some((batch, rest)) = bytes.split_at_checked(length) else { break };
        assert_eq!(batch[16], 2, "a batch of another format");
        let attributes = i16::from_be_bytes(at(batch, 21));
        batches.push(Batch {
            offset: i64::from_be_bytes(at(batch, 0)),
            records: i32::from_be_bytes(at(batch, 57)),
            producer: i64::from_be_bytes(at(batch, 43)),
            epoch: i16::from_be_bytes(at(batch, 51)),
            committed: (attributes & CONTROL != 0).then(|| committed(&batch[HEADER..])),
        });
        bytes = rest;
    }
    batches
}

/// The key of a marker: version and type, two bytes each. Before it: lengths and deltas of a byte each, for they are
/// small: length, attributes, timestamp, offset, length of the key.
fn committed(record: &[u8]) -> bool {
    match i16::from_be_bytes(at(record, 7)) {
        0 => false,
        1 => true,
        other => panic!("a marker of type {other}"),
    }
}

fn at<const N: usize>(bytes: &[u8], from: usize) -> [u8; N] {
    *bytes[from..].first_chunk().expect("a whole header")
}
