//! Why a record cannot be processed.

use std::fmt;

/// A record that goes where the stream's `on_error` says.
///
/// Neither field ever holds a value of the record: both travel to dead letters, logs and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord {
    pub reason: Reason,
    /// One sentence for people: names of fields, types, sizes, positions in bytes. No values.
    pub detail: String,
}

impl BadRecord {
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

impl std::error::Error for BadRecord {}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The reasons, as they stand in metrics and dead letters. Names are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }
        }
    };
}

reasons! {
    /// The value is not JSON, or not UTF-8.
    NotJson = "not_json",
    /// JSON, but not a Debezium envelope.
    NotEnvelope = "not_envelope",
    /// A field of the envelope, or a value under a rule, has a type that cannot be processed.
    WrongType = "wrong_type",
    /// An `op` that Highwater does not know.
    UnknownOp = "unknown_op",
    /// A delete without `before`, or another change without `after`.
    MissingRow = "missing_row",
    /// One object names a field twice.
    DuplicateField = "duplicate_field",
    /// The record key is not a JSON object of columns.
    MalformedKey = "malformed_key",
    /// `unlisted: reject` met a column without a rule.
    UnlistedColumn = "unlisted_column",
    /// A rule names a column that a full row lacks.
    RuleWithoutColumn = "rule_without_column",
    /// A predicate asks for a column that did not come because it had not changed.
    UnavailableColumn = "unavailable_column",
    /// The row has a column that Highwater writes itself (`cdc_lsn`, `_deleted`).
    ReservedColumn = "reserved_column",
    /// A rule that is not allowed on a column of the record key.
    RuleOnKey = "rule_on_key",
    /// `mask: { rules: FILE }` has no entry for the row's table.
    TableWithoutRules = "table_without_rules",
    /// The result is larger than the output topic takes.
    TooLarge = "too_large",
    /// What a sink reads is no row: not a JSON object.
    NotRow = "not_row",
    /// A column of the sink's table cannot hold the value exactly.
    ColumnMisfit = "column_misfit",
    /// The sink's server refused the row, for example by a constraint.
    RefusedByTable = "refused_by_table",
}

impl Reason {
    /// Only sinks have it.
    pub fn is_of_sinks(self) -> bool {
        matches!(self, Reason::NotRow | Reason::ColumnMisfit | Reason::RefusedByTable)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
