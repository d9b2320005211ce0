//! Whose rows a batch holds: the value of the tenant column, row by row.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::record::json;
use crate::telemetry::freshness::Arrived;

/// A longer value is a text that somebody wrote, not the name of a tenant.
const LONGEST: usize = 256;

/// The row has none: null, empty, a list or an object.
const NOBODY: u32 = u32::MAX;
const TOO_LONG: u32 = u32::MAX - 1;

/// Empty where the sink names no column.
#[derive(Debug, Default)]
pub struct Tenants {
    of: Vec<u32>,
    names: Vec<Arc<str>>,
    places: FxHashMap<Arc<str>, u32>,
}

impl Tenants {
    /// The next row's, as it stands in the row.
    pub fn push(&mut self, value: &str) {
        let place = self.place(value);
        self.of.push(place);
    }

    fn place(&mut self, value: &str) -> u32 {
        let name = match value.as_bytes() {
            [b'"', ..] => json::quoted(value).and_then(|raw| json::text(raw).ok()),
            [b'{' | b'[', ..] | b"null" => None,
            _ => Some(value.into()),
        };
        let Some(name) = name.filter(|name| !name.is_empty()) else { return NOBODY };
        if name.len() > LONGEST {
            return TOO_LONG;
        }
        if let Some(place) = self.places.get(&*name) {
            return *place;
        }
        // As many as rows, which are far fewer.
        let (name, place): (Arc<str>, _) = (name.as_ref().into(), self.names.len() as u32);
        self.names.push(name.clone());
        self.places.insert(name, place);
        place
    }

    /// Those of the rows from one on.
    pub fn split_off(&mut self, row: usize) -> Self {
        let of = if self.of.is_empty() { Vec::new() } else { self.of.split_off(row) };
        Self { of, names: self.names.clone(), places: self.places.clone() }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// `committed`: of each row, when its change was committed in the source, where it says so.
    pub fn arrived(&self, committed: impl Iterator<Item = Option<i64>>) -> Arrived {
        let mut arrived = Arrived::default();
        let mut newest: Vec<Option<i64>> = vec![None; self.names.len()];
        for (row, committed) in committed.enumerate() {
            arrived.newest = arrived.newest.max(committed);
            arrived.undated += u64::from(committed.is_none());
            match self.of.get(row) {
                None | Some(&NOBODY) => {}
                Some(&TOO_LONG) => arrived.left_out += 1,
                Some(place) => {
                    let known = &mut newest[*place as usize];
                    *known = (*known).max(committed);
                }
            }
        }
        let named = self.names.iter().zip(newest);
        arrived.tenants = named.filter_map(|(name, newest)| Some((name.clone(), newest?))).collect();
        arrived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(tenants: &Tenants, committed: &[i64]) -> (Option<i64>, u64, Vec<(String, i64)>, u64) {
        let committed = committed.iter().map(|at| Some(*at).filter(|at| *at > 0));
        let Arrived { newest, undated, tenants, left_out } = tenants.arrived(committed);
        (newest, undated, tenants.into_iter().map(|(name, at)| (name.to_string(), at)).collect(), left_out)
    }

    #[test]
    fn values_of_every_kind_name_a_tenant_or_nobody() {
        let mut tenants = Tenants::default();
        let long = format!("\"{}\"", "x".repeat(LONGEST + 1));
        let values = [r#""a""#, r#""\u0061""#, "7", "true", "null", r#""""#, "[1]", r#"{"a":1}"#, &long, r#""\ud800""#];
        values.iter().for_each(|value| tenants.push(value));
        let named =
            |names: &[(&str, i64)]| names.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect::<Vec<_>>();
        let committed = [5, 3, 9, 2, 100, 100, 100, 100, 100, 0];
        assert_eq!(told(&tenants, &committed), (Some(100), 1, named(&[("a", 5), ("7", 9), ("true", 2)]), 1));
        // A tenant none of whose rows says when it was committed is not known.
        assert_eq!(told(&tenants, &[5, 3, 0, 2, 0, 0, 0, 0, 0, 0]).2, named(&[("a", 5), ("true", 2)]));
    }

    #[test]
    fn halves_have_what_is_theirs_and_no_column_is_nobody() {
        let mut tenants = Tenants::default();
        [r#""a""#, r#""b""#, r#""a""#, r#""c""#].iter().for_each(|value| tenants.push(value));
        let second = tenants.split_off(2);
        let named =
            |names: &[(&str, i64)]| names.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect::<Vec<_>>();
        assert_eq!(told(&tenants, &[1, 2]), (Some(2), 0, named(&[("a", 1), ("b", 2)]), 0));
        assert_eq!(told(&second, &[3, 4]), (Some(4), 0, named(&[("a", 3), ("c", 4)]), 0));
        let mut none = Tenants::default();
        assert_eq!(told(&none.split_off(1), &[3, 0]), (Some(3), 1, vec![], 0));
    }
}
