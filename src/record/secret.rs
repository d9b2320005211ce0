//! Secret bytes that cannot be printed by accident.

use std::fmt;

/// The bytes of a secret. `Debug` and `Display` never show them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret with the name that tells which one made a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: String,
    pub secret: Secret,
}

/// The key that values go under, and while it is rotated the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    pub current: Key,
    pub previous: Option<Key>,
}

impl Keyring {
    /// One key that is not rotated.
    pub fn of(id: impl Into<String>, secret: Secret) -> Self {
        Self { current: Key { id: id.into(), secret }, previous: None }
    }
}
