//! A rule with its options, checked and ready to be applied.

use std::fmt;

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

/// The rule with the options that it goes by, for people: `partial (first 0, last 4)`.
impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule().as_str())?;
        match self {
            Self::Hmac { previous: Some(column) } => write!(f, " (under the previous key: {column})"),
            Self::Partial(Partial { keep_first, keep_last, .. }) => {
                write!(f, " (first {keep_first}, last {keep_last})")
            }
            Self::Replace { rule: Rule::Redact | Rule::Constant, json } => write!(f, " ({json})"),
            Self::Generalize(generalize) => write!(f, " ({generalize})"),
            Self::IpPrefix(IpPrefix { v4, v6 }) => write!(f, " ({v4} bits of IPv4, {v6} of IPv6)"),
            _ => Ok(()),
        }
    }
}
