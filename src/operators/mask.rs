//! `mask`: rules per column, on splices of the original bytes.
//!
//! Guarantees: a value under a rule leaves only as the rule's result (null and Debezium's placeholder for an unchanged
//! out-of-line column say nothing and stay); untouched columns keep their bytes and their order; what the rules cannot
//! process, or do not foresee, is a [`BadRecord`] and leaves nothing in the output; no message holds a value.

mod generalize;
mod path;
mod plan;
mod rule;
mod text;
mod transform;
mod tree;
mod values;

use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

pub use self::generalize::{Decimal, Generalize, Period, Unit};
pub use self::path::{Path, Step};
pub use self::rule::{About, PERIODS, Rule, RuleOption, Takes, UNITS};
pub use self::transform::{IpPrefix, Partial, Transform};
pub use self::tree::Members;

use self::plan::{Plan, Shape};
use self::values::Values;
use crate::record::change::Change;
use crate::record::{BadRecord, Keyring, Reason, json, key};

/// The columns that Highwater adds to every row.
pub const RESERVED: [&str; 2] = ["cdc_lsn", "_deleted"];

/// What happens to a column without a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unlisted {
    #[default]
    Passthrough,
    Drop,
    Reject,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRule {
    pub path: Path,
    pub transform: Transform,
    /// A full row may lack it.
    pub optional: bool,
}

/// The rules of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableConfig {
    pub fields: Vec<FieldRule>,
    pub unlisted: Unlisted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rules {
    /// `mask: none`: the row as it is.
    None,
    /// `mask: { fields: … }`: one set of rules for every row of the stream.
    Fields(TableConfig),
    /// `mask: { rules: FILE }`: by `source.table`.
    Tables(BTreeMap<String, TableConfig>),
}

/// A `mask` step as topology.yaml states it, with its keys resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub rules: Rules,
    /// Present where a rule needs them.
    pub keys: Option<Keyring>,
    /// What Debezium sends for an unchanged out-of-line column (`unavailable.value.placeholder`).
    pub unavailable_value: String,
}

pub const UNAVAILABLE_VALUE: &str = "__debezium_unavailable_value";

/// How often each rule was applied to a row; indexed by `Rule as usize`. Columns without a rule count under what
/// `unlisted` makes of them. Nulls and placeholders under other rules are not counted: nothing was rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied([u32; Rule::ALL.len()]);

impl Applied {
    fn count(&mut self, rule: Rule) {
        if let Some(count) = self.0.get_mut(rule as usize) {
            *count += 1;
        }
    }

    pub fn of(&self, rule: Rule) -> u32 {
        self.0.get(rule as usize).copied().unwrap_or(0)
    }
}

/// A `mask` step, ready to run. One per worker: it keeps buffers and the layouts of the rows it met.
pub struct Mask {
    plans: Plans,
    values: Values,
}

enum Plans {
    One(Plan),
    ByTable(FxHashMap<String, Plan>),
}

impl Plans {
    fn of(&mut self, table: &str) -> Result<&mut Plan, BadRecord> {
        match self {
            Plans::One(plan) => Ok(plan),
            Plans::ByTable(plans) => plans.get_mut(table).ok_or_else(|| {
                BadRecord::new(Reason::TableWithoutRules, format!("no rules for the table {}", json::shown(table)))
            }),
        }
    }
}

impl Mask {
    /// Fails where a rule could not do what it says: `hash` without a secret, two rules for one column.
    pub fn new(config: Config) -> Result<Self, String> {
        let keys = config.keys.filter(|keys| !keys.current.secret.expose().is_empty());
        let plan = |table: TableConfig| match table.fields.iter().find_map(|field| without_key(field, keys.as_ref())) {
            Some(error) => Err(error),
            None => Plan::new(table),
        };
        let plans = match config.rules {
            Rules::None => Plans::One(plan(TableConfig::default())?),
            Rules::Fields(fields) => Plans::One(plan(fields)?),
            Rules::Tables(tables) => {
                let named = |(name, table): (String, TableConfig)| match plan(table) {
                    Ok(plan) => Ok((name, plan)),
                    Err(error) => Err(format!("table {}: {error}", json::shown(&name))),
                };
                Plans::ByTable(tables.into_iter().map(named).collect::<Result<_, String>>()?)
            }
        };
        Ok(Self { plans, values: Values::new(keys.as_ref(), &config.unavailable_value) })
    }

    /// Writes the output row into `out` (cleared first): the masked columns, then `cdc_lsn` and `_deleted`.
    /// After an error `out` is empty.
    pub fn row(
        &mut self,
        change: &Change<'_>,
        cdc_lsn: u64,
        deleted: bool,
        out: &mut Vec<u8>,
    ) -> Result<Applied, BadRecord> {
        let applied = self.write(&change.source.table, Shape::Row, change.row.get(), out)?;
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(b"\"cdc_lsn\":");
        out.extend_from_slice(itoa::Buffer::new().format(cdc_lsn).as_bytes());
        out.extend_from_slice(if deleted { b",\"_deleted\":1}" } else { b",\"_deleted\":0}" });
        Ok(applied)
    }

    /// Writes the output key into `out` (cleared first): the columns of the key under the rules of the same columns.
    /// After an error `out` is empty.
    ///
    /// Always the bare payload: the schema that some keys come with would be wrong for a hashed number.
    pub fn key(&mut self, table: &str, key: &[u8], out: &mut Vec<u8>) -> Result<(), BadRecord> {
        out.clear();
        let object = key::payload(key)?;
        self.write(table, Shape::Key, object.get(), out)?;
        out.push(b'}');
        Ok(())
    }

    /// How many rules have met no column yet (`rules_unmatched`).
    pub fn unmatched(&self) -> usize {
        match &self.plans {
            Plans::One(plan) => plan.unmatched(),
            Plans::ByTable(plans) => plans.values().map(Plan::unmatched).sum(),
        }
    }

    fn write(&mut self, table: &str, shape: Shape, object: &str, out: &mut Vec<u8>) -> Result<Applied, BadRecord> {
        let written = self.plans.of(table).and_then(|plan| plan.write(shape, object, &mut self.values, out));
        // Half a row must not be there for anyone to send.
        written.inspect_err(|_| out.clear())
    }
}

/// What a keyed rule misses.
fn without_key(field: &FieldRule, keys: Option<&Keyring>) -> Option<String> {
    let rule = field.transform.rule();
    let column = || json::shown(&field.path.to_string());
    match (&field.transform, keys) {
        (_, None) if rule.is_keyed() => Some(format!("{} of the column {} needs a secret", rule.as_str(), column())),
        (Transform::Hmac { previous: Some(_) }, Some(Keyring { previous: None, .. })) => {
            Some(format!("hmac of the column {} writes a value under the previous key, and there is none", column()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
