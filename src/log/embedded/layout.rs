//! What lies under which key of the embedded log's database. Numbers are big-endian, so that keys sort by them.
//!
//! ```text
//! f                                       the format: 1
//! t name                                  a topic                                   (JSON)
//! p topic:u32 partition:u32               a partition: its bounds, what is open     (JSON)
//! a topic:u32 partition:u32 last:u64      an aborted transaction: producer, first   (JSON)
//! b topic:u32 partition:u32 first:u64     a batch                                   (see `batch`)
//! x transactional id                      a transactional producer                  (JSON)
//! o topic:u32 partition:u32 group         a committed offset                        (JSON)
//! ```

use serde::Serialize;
use serde::de::DeserializeOwned;

pub const FORMAT: &[u8] = b"f";
pub const FORMAT_IS: &[u8] = b"1";
pub const TOPICS: &[u8] = b"t";
pub const PRODUCERS: &[u8] = b"x";
pub const OFFSETS: &[u8] = b"o";

/// A partition, by its topic's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub topic: u32,
    pub partition: i32,
}

fn key(kind: u8, place: Place) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&place.topic.to_be_bytes());
    key.extend_from_slice(&place.partition.to_be_bytes());
    key
}

fn at(kind: u8, place: Place, offset: i64) -> Vec<u8> {
    let mut key = key(kind, place);
    key.extend_from_slice(&offset.to_be_bytes());
    key
}

pub fn topic(name: &str) -> Vec<u8> {
    [TOPICS, name.as_bytes()].concat()
}

pub fn partition(place: Place) -> Vec<u8> {
    key(b'p', place)
}

pub fn aborted(place: Place, last: i64) -> Vec<u8> {
    at(b'a', place, last)
}

pub fn all_aborted(place: Place) -> Vec<u8> {
    key(b'a', place)
}

pub fn batch(place: Place, first: i64) -> Vec<u8> {
    at(b'b', place, first)
}

pub fn all_batches(place: Place) -> Vec<u8> {
    key(b'b', place)
}

pub fn producer(id: &str) -> Vec<u8> {
    [PRODUCERS, id.as_bytes()].concat()
}

pub fn offset(place: Place, group: &str) -> Vec<u8> {
    let mut key = key(b'o', place);
    key.extend_from_slice(group.as_bytes());
    key
}

/// The place and the group of an offset's key.
pub fn offset_of(key: &[u8]) -> Option<(Place, &str)> {
    let (numbers, group) = key.get(1..)?.split_at_checked(8)?;
    let topic = u32::from_be_bytes(numbers[..4].try_into().ok()?);
    let partition = i32::from_be_bytes(numbers[4..].try_into().ok()?);
    Some((Place { topic, partition }, std::str::from_utf8(group).ok()?))
}

/// Why a database is not opened whose format is not ours.
pub fn unknown(format: &[u8]) -> String {
    format!(
        "the embedded log has format {:?}, and this version of Highwater knows format {:?} only. Run the version that wrote \
         it, or use another directory (--embedded=DIR)",
        String::from_utf8_lossy(&format[..format.len().min(20)]),
        String::from_utf8_lossy(FORMAT_IS)
    )
}

pub fn encode(value: &impl Serialize) -> Vec<u8> {
    // Plain structs of numbers and strings: nothing in them can fail to be written.
    serde_json::to_vec(value).unwrap_or_default()
}

pub fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|e| format!("the embedded log is damaged: {what}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_place_and_offset() {
        let place = |topic, partition| Place { topic, partition };
        let keys = [batch(place(1, 0), 255), batch(place(1, 0), 256), batch(place(1, 1), 0), batch(place(256, 0), 0)];
        assert!(keys.is_sorted());
        assert!(keys[1].starts_with(&all_batches(place(1, 0))));
        assert_eq!(offset_of(&offset(place(7, 3), "g")), Some((place(7, 3), "g")));
        assert_eq!(offset_of(b"o123"), None);
    }

    #[test]
    fn keys_lie_on_disks_as_they_always_did() {
        let place = Place { topic: 258, partition: 3 };
        for (key, bytes) in [
            (FORMAT.to_vec(), &b"f"[..]),
            (FORMAT_IS.to_vec(), b"1"),
            (topic("name"), b"tname"),
            (partition(place), b"p\0\0\x01\x02\0\0\0\x03"),
            (aborted(place, 259), b"a\0\0\x01\x02\0\0\0\x03\0\0\0\0\0\0\x01\x03"),
            (batch(place, 259), b"b\0\0\x01\x02\0\0\0\x03\0\0\0\0\0\0\x01\x03"),
            (producer("id"), b"xid"),
            (offset(place, "group"), b"o\0\0\x01\x02\0\0\0\x03group"),
        ] {
            assert_eq!(key, bytes, "{}", crate::FROZEN);
        }
    }

    /// A form, and what it was written as.
    #[track_caller]
    fn lies_as<T: Serialize + DeserializeOwned>(text: &str) {
        let value: T = decode("a form", text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {}", crate::FROZEN));
        assert_eq!(String::from_utf8(encode(&value)).unwrap(), text, "{}", crate::FROZEN);
    }

    #[test]
    fn values_lie_on_disks_as_they_always_did() {
        use super::super::topics::{Aborted, Partition, Settings};
        use super::super::transactions::Transaction;
        lies_as::<Settings>(
            r#"{"number":7,"id":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,255],"partitions":4,"config":{"cleanup.policy":"compact"}}"#,
        );
        lies_as::<Partition>(r#"{"start":0,"end":12,"open":{"3":9},"cleaned_to":5}"#);
        lies_as::<Aborted>(r#"{"producer":3,"first":9,"last":11}"#);
        for phase in [r#""Idle""#, r#"{"Open":{"since_ms":1700000000000}}"#, r#"{"Ended":{"commit":true}}"#] {
            lies_as::<Transaction>(&format!(
                r#"{{"producer":3,"epoch":2,"timeout_ms":10000,"phase":{phase},"partitions":[[7,0],[7,1]],"offsets":{{"group":[{{"topic":1,"partition":0,"offset":42,"turn":9}}]}}}}"#
            ));
        }
        lies_as::<super::super::broker::Committed>(r#"{"offset":42,"turn":9}"#);
    }
}
