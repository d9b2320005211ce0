//! The request that ends a transaction, as it is on the wire.

use crate::support::proxy::{Exchange, Request, api};

/// EndTxn before its version 3, which no librdkafka goes beyond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub transactional_id: String,
    pub producer: i64,
    pub epoch: i16,
    pub commit: bool,
}

impl End {
    pub fn of(request: &Request) -> Self {
        assert_eq!(request.key, api::END_TXN);
        assert!(request.version < 3, "version {}", request.version);
        let bytes = &request.bytes[8..];
        let (client, bytes) = bytes.split_at(2);
        // No client id is -1.
        let bytes = &bytes[i16::from_be_bytes([client[0], client[1]]).max(0) as usize..];
        let (length, bytes) = bytes.split_at(2);
        let (id, bytes) = bytes.split_at(usize::from(u16::from_be_bytes([length[0], length[1]])));
        Self {
            transactional_id: String::from_utf8(id.to_vec()).expect("a transactional id"),
            producer: i64::from_be_bytes(bytes[..8].try_into().expect("eight bytes")),
            epoch: i16::from_be_bytes([bytes[8], bytes[9]]),
            commit: bytes[10] != 0,
        }
    }
}

/// The error code of an answer to EndTxn: behind the correlation id and the throttle time.
pub fn verdict(answer: &[u8]) -> i16 {
    i16::from_be_bytes([answer[8], answer[9]])
}

pub const ACCEPTED: i16 = 0;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const PRODUCER_FENCED: i16 = 90;

/// Refused because another producer of the same id has begun.
pub fn is_fenced(verdict: i16) -> bool {
    verdict == INVALID_PRODUCER_EPOCH || verdict == PRODUCER_FENCED
}

/// Requests that end a transaction of `id` (the beginning of a transactional id) in this way.
pub fn ends(id: &str, commit: bool) -> impl FnMut(&Request) -> bool + Send + 'static {
    let id = id.to_owned();
    move |request| {
        let end = End::of(request);
        end.commit == commit && end.transactional_id.starts_with(&id)
    }
}

/// Whether the request is one of this transactional id's.
pub fn of_id(id: &str) -> impl FnMut(&Request) -> bool + Send + 'static {
    let id = id.as_bytes().to_vec();
    move |request| request.bytes.windows(id.len()).any(|window| window == id)
}

/// The recorded ends of `id`, with their exchanges.
pub fn of(id: &str, exchanges: Vec<Exchange>) -> Vec<(End, Exchange)> {
    let ends = exchanges.into_iter().map(|exchange| (End::of(&exchange.request), exchange));
    ends.filter(|(end, _)| end.transactional_id.starts_with(id)).collect()
}
