//! A rule with its options, checked and ready to be applied.

use super::generalize::Generalize;
use super::rule::Rule;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transform {
    Passthrough,
    Hash,
    Hmac {
        /// The column that the value under the previous key goes to.
        previous: Option<String>,
    },
    Truncate,
    Partial(Partial),
    /// `redact`, `constant` and `set_null`: one JSON value in place of all.
    Replace {
        rule: Rule,
        json: String,
    },
    EmailDomain,
    Generalize(Generalize),
    IpPrefix(IpPrefix),
    Drop,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    pub keep_first: usize,
    pub keep_last: usize,
    pub with: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpPrefix {
    pub v4: u8,
    pub v6: u8,
}

impl Transform {
    pub fn rule(&self) -> Rule {
        match self {
            Self::Passthrough => Rule::Passthrough,
            Self::Hash => Rule::Hash,
            Self::Hmac { .. } => Rule::Hmac,
            Self::Truncate => Rule::Truncate,
            Self::Partial(_) => Rule::Partial,
            Self::Replace { rule, .. } => *rule,
            Self::EmailDomain => Rule::EmailDomain,
            Self::Generalize(_) => Rule::Generalize,
            Self::IpPrefix(_) => Rule::IpPrefix,
            Self::Drop => Rule::Drop,
        }
    }
}
