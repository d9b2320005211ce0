//! Values that a rule leaves whole, because it has nothing to take from them: 40 cut down to tens, 10.0.0.0 to its network.

use crate::operators::mask::{Config, FieldRule, Mask, Path, Rule, Rules, TableConfig, Transform, Unlisted};
use crate::record::change::{Decoded, decode};

/// Only of rules that leave less of a value: of any other, leaving it whole is a leak.
pub fn leaves_whole(transform: &Transform, value: &str) -> bool {
    matches!(transform.rule(), Rule::Generalize | Rule::IpPrefix) && applied(transform, value).as_deref() == Some(value)
}

fn applied(transform: &Transform, value: &str) -> Option<String> {
    let field = FieldRule { path: Path::column("c"), transform: transform.clone(), optional: true };
    let rules = Rules::Fields(TableConfig { fields: vec![field], unlisted: Unlisted::Passthrough });
    let mut mask = Mask::new(Config { rules, keys: None, unavailable_value: String::new() }).ok()?;
    let envelope = format!(r#"{{"op":"c","after":{{"c":{value}}},"source":{{}}}}"#);
    let Ok(Decoded::Change(change)) = decode(Some(envelope.as_bytes())) else { return None };
    let mut out = Vec::new();
    mask.row(&change, 0, false, &mut out).ok()?;
    let row = String::from_utf8(out).ok()?;
    row.strip_prefix(r#"{"c":"#)?.split_once(r#","cdc_lsn""#).map(|(value, _)| value.to_owned())
}
