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
}
