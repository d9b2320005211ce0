//! The keys of a store and of its changelog. They are the same bytes in both.
//!
//! ```text
//! 01 00 'k'        meta: the digest key of this partition (or the fingerprint of a derived one)
//! 01 00 'e'        meta: the epochs of the source partition
//! 01 01 digest     data: the last accepted change of a record key
//! 00 'checkpoint'  local: never in the changelog
//! 00 'mark'        local: what is said of all entries, behind the offset of the checkpoint of the same write
//! ```
//! The first byte is the version of the layout. A changelog with another one was written by another Highwater.

pub const VERSION: u8 = 1;

pub const CHECKPOINT: &[u8] = b"\x00checkpoint";
pub const MARK: &[u8] = b"\x00mark";
pub const DIGEST_KEY: &[u8] = &[VERSION, 0, b'k'];
pub const EPOCHS: &[u8] = &[VERSION, 0, b'e'];

pub const DIGEST_LEN: usize = 16;

pub type DataKey = [u8; 2 + DIGEST_LEN];

pub fn data_key(digest: &[u8; DIGEST_LEN]) -> DataKey {
    let mut key = [0; 2 + DIGEST_LEN];
    (key[0], key[1]) = (VERSION, 1);
    key[2..].copy_from_slice(digest);
    key
}

/// Whether it is the key of a record key's entry.
pub fn is_data(key: &[u8]) -> bool {
    key.starts_with(&[VERSION, 1])
}

/// False for keys of another layout, and for those of this one that no version wrote so far.
pub fn known(key: &[u8]) -> bool {
    [DIGEST_KEY, EPOCHS].contains(&key) || (is_data(key) && key.len() == 2 + DIGEST_LEN)
}

/// What is said of bytes that are not of a form which this version knows. It shows none but the first: they may be anything.
pub fn unreadable(what: &str, bytes: &[u8]) -> String {
    let first = bytes.first().map_or("nothing".into(), |first| format!("{first:#04x}"));
    format!(
        "its {what} ({} bytes, the first is {first}) is not of a form that this version of Highwater knows: a later version \
         wrote it, or it is damaged",
        bytes.len()
    )
}
