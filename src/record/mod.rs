//! What flows through a topology. This room knows no other.

pub mod bad;
pub mod change;
pub mod json;
pub mod key;
pub mod position;
pub mod secret;

pub use bad::{BadRecord, Reason};
pub use secret::{Key, Keyring, Secret};

/// A record as the log hands it over, borrowed from the fetch buffer.
pub struct Record<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970, where the broker knows it.
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// Read only by streams that list headers to pass on.
    pub headers: &'a dyn Headers,
}

/// The headers of a record. A visitor, because most streams never look at them.
pub trait Headers {
    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>));
}

/// A record without headers.
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn each(&self, _: &mut dyn FnMut(&str, Option<&[u8]>)) {}
}
