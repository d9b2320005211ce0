//! Record keys as the store knows them: keyed digests, because a record key is personal data and a changelog is a topic
//! that others may read.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::layout::{DIGEST_LEN, DataKey, data_key};

type HmacSha256 = Hmac<Sha256>;

/// The digest key of one store partition.
#[derive(Clone, PartialEq, Eq)]
pub enum StateKey {
    /// Made by the partition's first owner; kept in the store and in the changelog.
    Own([u8; 32]),
    /// Derived from `state.secret`; store and changelog hold only its fingerprint.
    Derived([u8; 32]),
}

impl StateKey {
    /// From the configured secret, for one store partition.
    pub fn derive(secret: &[u8], store: &str, partition: i32) -> Self {
        StateKey::Derived(hmac(secret, &[b"highwater state key", store.as_bytes(), &partition.to_be_bytes()]))
    }

    /// What is kept under the meta key: `01` and the key, or `02` and the fingerprint of a derived one.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            StateKey::Own(key) => [&[1], &key[..]].concat(),
            StateKey::Derived(key) => [&[2], &Sha256::digest(key)[..]].concat(),
        }
    }

    /// Whether these are bytes of `encode`.
    pub fn is_kept(bytes: &[u8]) -> bool {
        matches!(bytes, [1 | 2, rest @ ..] if rest.len() == 32)
    }

    /// The key to go on with, given what is kept and what is configured. Digests under two keys would never meet, so a
    /// key that changed is an error in words.
    pub fn resume(
        kept: Option<&[u8]>,
        derived: Option<StateKey>,
        fresh: impl FnOnce() -> [u8; 32],
    ) -> Result<Self, String> {
        match (kept, derived) {
            (None, Some(derived)) => Ok(derived),
            (None, None) => Ok(StateKey::Own(fresh())),
            (Some(kept), Some(derived)) if kept == derived.encode() => Ok(derived),
            (Some([1, key @ ..]), None) if key.len() == 32 => {
                let mut own = [0; 32];
                own.copy_from_slice(key);
                Ok(StateKey::Own(own))
            }
            (Some([1, ..]), Some(_)) => Err("it was filled without state.secret, and now one is set".into()),
            (Some([2, ..]), None) => Err("it was filled under state.secret, and now none is set".into()),
            (Some([2, ..]), Some(_)) => Err("state.secret is not the one that it was filled under".into()),
            (Some(_), _) => Err("its digest key is damaged, or a later version's".into()),
        }
    }

    fn bytes(&self) -> &[u8; 32] {
        let (StateKey::Own(key) | StateKey::Derived(key)) = self;
        key
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    #[allow(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = <HmacSha256 as Mac>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(&(part.len() as u32).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Digests the keys of one stream and source topic. The keyed state is computed once.
pub struct Digester(HmacSha256);

impl Digester {
    pub fn new(key: &StateKey, stream: &str, topic: &str) -> Self {
        let scope = hmac(key.bytes(), &[stream.as_bytes(), topic.as_bytes()]);
        #[allow(clippy::expect_used, reason = "HMAC takes keys of every length")]
        Self(<HmacSha256 as Mac>::new_from_slice(&scope).expect("HMAC takes keys of every length"))
    }

    pub fn data_key(&self, canonical: &[u8]) -> DataKey {
        let mut mac = self.0.clone();
        mac.update(canonical);
        let full = mac.finalize().into_bytes();
        let mut digest = [0; DIGEST_LEN];
        digest.copy_from_slice(&full[..DIGEST_LEN]);
        data_key(&digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_depend_on_key_stream_and_topic() {
        let key = StateKey::Own([7; 32]);
        let other = StateKey::Own([8; 32]);
        let one = Digester::new(&key, "customers", "t").data_key(b"1");
        assert_eq!(one, Digester::new(&key, "customers", "t").data_key(b"1"));
        assert_ne!(one, Digester::new(&other, "customers", "t").data_key(b"1"));
        assert_ne!(one, Digester::new(&key, "customer", "st").data_key(b"1"));
        assert_ne!(one, Digester::new(&key, "customers", "t").data_key(b"2"));
    }

    #[test]
    fn a_key_that_changed_is_noticed() {
        let fresh = || [9; 32];
        let derived = |secret: &[u8]| Some(StateKey::derive(secret, "s", 0));
        let own = StateKey::Own([9; 32]);
        assert!(StateKey::resume(None, None, fresh) == Ok(own.clone()));
        assert!(StateKey::resume(Some(&own.encode()), None, || [0; 32]) == Ok(own.clone()));
        let kept = derived(b"a").unwrap().encode();
        assert!(!kept.windows(32).any(|w| w == derived(b"a").unwrap().bytes()), "the derived key itself is not kept");
        assert!(StateKey::resume(Some(&kept), derived(b"a"), fresh).is_ok());
        for (kept, secret) in [(&kept, derived(b"b")), (&kept, None), (&own.encode(), derived(b"a")), (&vec![3], None)]
        {
            assert!(StateKey::resume(Some(kept), secret, fresh).is_err());
        }
    }
}
