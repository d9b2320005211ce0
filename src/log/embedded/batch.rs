//! A batch: records that one producer wrote to one partition in one go, or the marker that ends a transaction there.
//!
//! ```text
//! flags u8 · producer i64 · first offset i64 · last offset − first u32 · appended at i64 · record…     (little-endian)
//! record:  length of the rest u32 · offset − first u32 · timestamp i64 · key · value · headers u32 · (name · value)…
//! key, value, name:  length u32, u32::MAX for null · bytes
//! ```

use std::sync::Arc;

use crate::log::Outgoing;
use crate::record::{Headers, Record};

const TRANSACTIONAL: u8 = 1;
const MARKER: u8 = 2;
const COMMIT: u8 = 4;
const HEAD: usize = 29;
const NULL: u32 = u32::MAX;

/// Records on their way into the log, without offsets yet.
pub struct Building {
    bytes: Vec<u8>,
    count: u32,
}

impl Default for Building {
    fn default() -> Self {
        Self { bytes: vec![0; HEAD], count: 0 }
    }
}

impl Building {
    /// A timestamp of zero means now, as it does to Kafka's clients.
    pub fn push(&mut self, record: &Outgoing<'_>, now: i64) {
        let bytes = &mut self.bytes;
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&record.timestamp.filter(|ts| *ts != 0).unwrap_or(now).to_le_bytes());
        put(bytes, record.key);
        put(bytes, record.value);
        bytes.extend_from_slice(&(record.headers.len() as u32).to_le_bytes());
        for (name, value) in record.headers {
            put(bytes, Some(name.as_bytes()));
            put(bytes, *value);
        }
        let length = (bytes.len() - start - 4) as u32;
        bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.count += 1;
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// `producer` is set for records of a transaction.
    pub fn finish(mut self, first: i64, producer: Option<i64>, now: i64) -> Vec<u8> {
        let flags = if producer.is_some() { TRANSACTIONAL } else { 0 };
        head(&mut self.bytes, flags, producer.unwrap_or(-1), first, self.count.saturating_sub(1), now);
        self.bytes
    }
}

fn head(bytes: &mut [u8], flags: u8, producer: i64, first: i64, last: u32, now: i64) {
    bytes[0] = flags;
    bytes[1..9].copy_from_slice(&producer.to_le_bytes());
    bytes[9..17].copy_from_slice(&first.to_le_bytes());
    bytes[17..21].copy_from_slice(&last.to_le_bytes());
    bytes[21..29].copy_from_slice(&now.to_le_bytes());
}

/// The control record that ends a transaction on a partition.
pub fn marker(at: i64, producer: i64, commit: bool, now: i64) -> Vec<u8> {
    let mut bytes = vec![0; HEAD];
    let flags = TRANSACTIONAL | MARKER | if commit { COMMIT } else { 0 };
    head(&mut bytes, flags, producer, at, 0, now);
    bytes
}

fn put(bytes: &mut Vec<u8>, field: Option<&[u8]>) {
    bytes.extend_from_slice(&field.map_or(NULL, |f| f.len() as u32).to_le_bytes());
    bytes.extend_from_slice(field.unwrap_or_default());
}

/// Reads fields off the front; None where the bytes end too early.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn i64(&mut self) -> Option<i64> {
        Some(i64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// The outer option is about damage, the inner one about null.
    fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match self.u32()? {
            NULL => Some(None),
            length => self.take(length as usize).map(Some),
        }
    }
}

/// A batch as it lies in the log.
#[derive(Clone)]
pub struct Batch {
    bytes: Arc<Vec<u8>>,
    flags: u8,
    /// Of transactions only.
    pub producer: i64,
    pub first: i64,
    pub last: i64,
    pub appended_ms: i64,
    /// Where the next record begins.
    at: usize,
}

/// A record within a batch.
pub struct Entry<'a> {
    pub offset: i64,
    timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    headers: &'a [u8],
    whole: &'a [u8],
}

impl Batch {
    /// None for damaged bytes.
    pub fn open(bytes: Arc<Vec<u8>>) -> Option<Self> {
        let mut fields = Fields(&bytes);
        let flags = *fields.take(1)?.first()?;
        let (producer, first) = (fields.i64()?, fields.i64()?);
        // Of damaged bytes, an offset beyond every other.
        let last = first.checked_add(fields.u32()?.into())?;
        let appended_ms = fields.i64()?;
        Some(Self { flags, producer, first, last, appended_ms, at: HEAD, bytes })
    }

    pub fn is_marker(&self) -> bool {
        self.flags & MARKER != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.flags & TRANSACTIONAL != 0
    }

    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The offset of the record that `next` hands over next; beyond the batch at its end.
    pub fn next_offset(&self) -> i64 {
        let delta = Fields(&self.bytes[self.at..]).take(8).and_then(|head| head[4..].try_into().ok());
        delta.map_or(self.last.saturating_add(1), |delta| self.first.saturating_add(u32::from_le_bytes(delta).into()))
    }

    pub fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The next record; the outer None stands for damage, the inner one for the end.
    pub fn read(&mut self) -> Option<Option<Entry<'_>>> {
        if self.is_done() {
            return Some(None);
        }
        let mut rest = Fields(&self.bytes[self.at..]);
        let length = rest.u32()? as usize;
        let whole = &self.bytes[self.at..][..4 + length.min(rest.0.len())];
        let mut fields = Fields(rest.take(length)?);
        let offset = self.first.checked_add(fields.u32()?.into())?;
        let timestamp = fields.i64()?;
        let (key, value) = (fields.bytes()?, fields.bytes()?);
        self.at += 4 + length;
        Some(Some(Entry { offset, timestamp, key, value, headers: fields.0, whole }))
    }

    /// The same batch with only some of its records, at their old offsets; None where none is left.
    pub fn filtered(&self, mut keep: impl FnMut(&Entry<'_>) -> bool) -> Option<Option<Vec<u8>>> {
        let mut bytes = self.bytes[..HEAD].to_vec();
        let mut all = Self { at: HEAD, ..self.clone() };
        while let Some(entry) = all.read()? {
            if keep(&entry) {
                bytes.extend_from_slice(entry.whole);
            }
        }
        Some((bytes.len() > HEAD).then_some(bytes))
    }
}

impl Entry<'_> {
    pub fn visit(&self, topic: &str, partition: i32, visit: &mut dyn FnMut(&Record<'_>)) {
        visit(&Record {
            topic,
            partition,
            offset: self.offset,
            timestamp: Some(self.timestamp),
            key: self.key,
            value: self.value,
            headers: self,
        });
    }
}

impl Headers for Entry<'_> {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        let mut fields = Fields(self.headers);
        for _ in 0..fields.u32().unwrap_or(0) {
            let (Some(name), Some(value)) = (fields.bytes(), fields.bytes()) else { return };
            visit(std::str::from_utf8(name.unwrap_or_default()).unwrap_or_default(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Outgoing<'a> {
        Outgoing {
            topic: "t",
            partition: Some(0),
            key,
            value,
            headers: &[("a", None), ("a", Some(b"1"))],
            timestamp: None,
        }
    }

    fn batch() -> Vec<u8> {
        let mut building = Building::default();
        building.push(&record(None, Some(b"")), 7);
        building.push(&record(Some(b"k"), None), 8);
        building.finish(40, Some(3), 9)
    }

    #[test]
    fn records_come_back_as_they_went_in() {
        let mut batch = Batch::open(Arc::new(batch())).unwrap();
        assert_eq!((batch.producer, batch.first, batch.last, batch.appended_ms), (3, 40, 41, 9));
        assert!(batch.is_transactional() && !batch.is_marker());
        let first = batch.read().unwrap().unwrap();
        assert_eq!((first.offset, first.timestamp, first.key, first.value), (40, 7, None, Some(&b""[..])));
        let mut headers = Vec::new();
        first.each(&mut |name, value| headers.push((name.to_string(), value.map(<[u8]>::to_vec))));
        assert_eq!(headers, [("a".into(), None), ("a".into(), Some(b"1".to_vec()))]);
        let second = batch.read().unwrap().unwrap();
        assert_eq!((second.offset, second.key, second.value), (41, Some(&b"k"[..]), None));
        assert!(batch.read().unwrap().is_none());
    }

    #[test]
    fn what_is_left_of_a_batch_keeps_its_offsets() {
        let batch = Batch::open(Arc::new(batch())).unwrap();
        let left = batch.filtered(|entry| entry.key.is_some()).unwrap().unwrap();
        let mut left = Batch::open(Arc::new(left)).unwrap();
        assert_eq!((left.first, left.last, left.read().unwrap().unwrap().offset), (40, 41, 41));
        assert!(batch.filtered(|_| false).unwrap().is_none());
    }

    #[test]
    fn batches_lie_on_disks_as_they_always_did() {
        let text = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(text(batch()), BATCH, "{}", crate::FROZEN);
        assert_eq!(text(marker(5, 1, true, 258)), MARKER_COMMIT, "{}", crate::FROZEN);
        assert_eq!(text(marker(5, 1, false, 258)), MARKER_COMMIT.replacen("07", "03", 1), "{}", crate::FROZEN);
    }

    const BATCH: &str = concat!(
        "01030000000000000028000000000000000100000009000000000000002b000000000000000700000000000000ffffff",
        "ff00000000020000000100000061ffffffff010000006101000000312c00000001000000080000000000000001000000",
        "6bffffffff020000000100000061ffffffff01000000610100000031",
    );
    const MARKER_COMMIT: &str = "0701000000000000000500000000000000000000000201000000000000";

    #[test]
    fn damage_is_no_panic() {
        let whole = batch();
        for end in 0..whole.len() {
            let Some(mut cut) = Batch::open(Arc::new(whole[..end].to_vec())) else { continue };
            while let Some(Some(_)) = cut.read() {}
        }
    }

    #[test]
    fn markers_hold_no_record() {
        let mut marker = Batch::open(Arc::new(marker(5, 1, false, 0))).unwrap();
        assert!(marker.is_marker() && marker.is_done() && (marker.first, marker.last) == (5, 5));
        assert!(marker.read().unwrap().is_none());
    }
}
