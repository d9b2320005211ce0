//! How much of its changelog a store partition holds.

use crate::store::layout::VERSION;

/// The highest changelog offset whose write is in the store. It lives in the store's own column family and is written
/// in the same batch as the data; it never goes to the changelog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The changelog's identity: offsets of another incarnation mean nothing.
    pub topic_id: [u8; 16],
    pub offset: i64,
    /// Wall clock, milliseconds since 1970: tombstones are kept only for a while.
    pub at_ms: i64,
}

impl Checkpoint {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.topic_id);
        out.extend_from_slice(&self.offset.to_be_bytes());
        out.extend_from_slice(&self.at_ms.to_be_bytes());
        out
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (topic_id, rest) = rest.split_first_chunk::<16>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let at_ms: &[u8; 8] = rest.try_into().ok()?;
        let (offset, at_ms) = (i64::from_be_bytes(*offset), i64::from_be_bytes(*at_ms));
        (*version == VERSION).then_some(Self { topic_id: *topic_id, offset, at_ms })
    }
}
