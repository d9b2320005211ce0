//! The rules by name: what each does, and which options it takes. Messages, the schema, the reference and the metrics
//! all read this table.

/// What a rule does to a value, without its options (see [`super::Transform`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    Passthrough,
    Hash,
    Hmac,
    Truncate,
    Partial,
    Redact,
    Constant,
    SetNull,
    EmailDomain,
    Generalize,
    IpPrefix,
    Drop,
}

/// A rule for people.
#[derive(Debug, Clone, Copy)]
pub struct About {
    pub rule: Rule,
    pub name: &'static str,
    /// One sentence.
    pub does: &'static str,
    pub options: &'static [RuleOption],
    /// Whether a column of the record key may have it: it must neither merge keys nor lose them.
    pub on_key: bool,
}

/// An option beside `rule` and `optional`.
#[derive(Debug, Clone, Copy)]
pub struct RuleOption {
    pub name: &'static str,
    pub takes: Takes,
    pub default: Option<&'static str>,
    /// One sentence.
    pub about: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Text,
    /// Text, a number, true or false: leaves as JSON of that type.
    Scalar,
    /// The name of a column.
    Column,
    /// A whole number from 0 to the given one.
    Count(u32),
    /// A number above 0.
    Number,
    Word(&'static [&'static str]),
}

/// What a value is cut down to.
pub const PERIODS: &[&str] = &["hour", "day", "month", "year", "decade"];
/// What a number counts since 1970, as Debezium's time types do.
pub const UNITS: &[&str] = &["days", "s", "ms", "us", "ns"];

const fn about(rule: Rule, name: &'static str, does: &'static str, options: &'static [RuleOption]) -> About {
    About { rule, name, does, options, on_key: false }
}

const fn key(rule: Rule, name: &'static str, does: &'static str, options: &'static [RuleOption]) -> About {
    About { rule, name, does, options, on_key: true }
}

const fn option(name: &'static str, takes: Takes, default: Option<&'static str>, about: &'static str) -> RuleOption {
    RuleOption { name, takes, default, about }
}

/// In the order of [`Rule`].
const ABOUT: [About; Rule::ALL.len()] = [
    key(Rule::Passthrough, "passthrough", "leaves as it came, byte for byte", &[]),
    key(Rule::Hash, "hash", "SHA-256 over the secret and the value, as hex; one secret for ever", &[]),
    key(
        Rule::Hmac,
        "hmac",
        "HMAC-SHA-256 under a key, as `key id:hex`: keyed, and the key can be rotated",
        &[option(
            "previous",
            Takes::Column,
            None,
            "while a key is rotated, the value under the previous key leaves in this column as well",
        )],
    ),
    about(Rule::Truncate, "truncate", "first word and the second one's initial; one word becomes its initial", &[]),
    about(
        Rule::Partial,
        "partial",
        "shows the ends of a text and hides the rest, and never shows more than half",
        &[
            option("keep_first", Takes::Count(64), Some("0"), "characters shown at the start"),
            option("keep_last", Takes::Count(64), Some("4"), "characters shown at the end"),
            option("with", Takes::Text, Some("*"), "what stands for each hidden character"),
        ],
    ),
    about(
        Rule::Redact,
        "redact",
        "a fixed text, for values of any type",
        &[option("with", Takes::Text, Some("[redacted]"), "the text")],
    ),
    about(
        Rule::Constant,
        "constant",
        "a fixed value of a type of your choice",
        &[option("value", Takes::Scalar, None, "the value; quoted, it is text")],
    ),
    about(Rule::SetNull, "set_null", "null", &[]),
    about(
        Rule::EmailDomain,
        "email_domain",
        "what follows the last @, in lower case; empty where that is no domain",
        &[],
    ),
    about(
        Rule::Generalize,
        "generalize",
        "a number cut down to a multiple of `step`, or a time to the start of its hour, day, month, year or decade",
        &[
            option("step", Takes::Number, None, "numbers, and texts that are one, are cut down to a multiple of it"),
            option("to", Takes::Word(PERIODS), None, "dates and times are cut down to the start of this"),
            option("unit", Takes::Word(UNITS), None, "what a number counts since 1970, where `to` meets numbers"),
        ],
    ),
    about(
        Rule::IpPrefix,
        "ip_prefix",
        "an IP address with the bits behind the prefix set to zero",
        &[
            option("v4", Takes::Count(32), Some("24"), "bits of an IPv4 address that stay"),
            option("v6", Takes::Count(128), Some("48"), "bits of an IPv6 address that stay"),
        ],
    ),
    about(Rule::Drop, "drop", "the column is gone", &[]),
];

impl Rule {
    pub const ALL: [Rule; 12] = [
        Rule::Passthrough,
        Rule::Hash,
        Rule::Hmac,
        Rule::Truncate,
        Rule::Partial,
        Rule::Redact,
        Rule::Constant,
        Rule::SetNull,
        Rule::EmailDomain,
        Rule::Generalize,
        Rule::IpPrefix,
        Rule::Drop,
    ];

    pub fn about(self) -> &'static About {
        static TABLE: [About; Rule::ALL.len()] = ABOUT;
        // The order is that of the enum, which a test holds; an index out of range cannot be.
        TABLE.get(self as usize).unwrap_or(&TABLE[0])
    }

    pub fn as_str(self) -> &'static str {
        self.about().name
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == name)
    }

    /// Whether it needs a secret.
    pub fn is_keyed(self) -> bool {
        matches!(self, Rule::Hash | Rule::Hmac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (at, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!((rule as usize, rule.about().rule), (at, rule));
            assert_eq!(Rule::named(rule.as_str()), Some(rule));
        }
    }
}
