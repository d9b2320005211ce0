//! What a topology's rules make of a column's type.

use crate::operators::mask::{FieldRule, Generalize, TableConfig, Transform, Unlisted};
use crate::record::json::Kind as Json;

use super::debezium::Sent;

/// A column that leaves.
pub struct Left {
    pub name: String,
    pub sent: Sent,
    /// Its values are the source's own, so that a key stays a key: as they came, or digests of them.
    pub identifies: bool,
}

/// The columns that leave for one column of a table; several while a key is rotated.
pub fn left(name: &str, sent: Sent, rules: &TableConfig) -> Vec<Left> {
    let of_column = |field: &&FieldRule| field.path.column == name;
    let mut fields = rules.fields.iter().filter(of_column);
    let Some(field) = fields.next() else {
        return match rules.unlisted {
            Unlisted::Passthrough => vec![Left { name: name.into(), sent, identifies: true }],
            Unlisted::Drop | Unlisted::Reject => Vec::new(),
        };
    };
    if !field.path.steps.is_empty() {
        // Something within the column changes, and the column stays what it is.
        return vec![Left { name: name.into(), sent, identifies: true }];
    }
    ruled(name, sent, &field.transform)
}

fn ruled(name: &str, sent: Sent, transform: &Transform) -> Vec<Left> {
    let text = |identifies| {
        let sent = Sent { comment: transform.to_string(), ..Sent::plain("String") };
        Left { name: name.into(), sent, identifies }
    };
    let changed = |sent: Sent| vec![Left { name: name.into(), sent, identifies: false }];
    match transform {
        Transform::Drop => Vec::new(),
        Transform::Passthrough => vec![Left { name: name.into(), sent, identifies: true }],
        Transform::Hash => vec![text(true)],
        Transform::Hmac { previous: None } => vec![text(true)],
        Transform::Hmac { previous: Some(column) } => {
            let before = Sent { comment: format!("{name} under the previous key"), ..Sent::plain("String") };
            vec![text(true), Left { name: column.clone(), sent: before, identifies: false }]
        }
        Transform::Truncate | Transform::Partial(_) | Transform::EmailDomain | Transform::IpPrefix(_) => {
            vec![text(false)]
        }
        Transform::Replace { json, .. } => {
            let kind = match Json::of(json) {
                Json::Null => return changed(Sent { comment: "always null".into(), ..sent }),
                Json::Bool => "Bool",
                Json::Number if json.parse::<i64>().is_ok() => "Int64",
                Json::Number => "Float64",
                _ => "String",
            };
            changed(Sent { comment: transform.to_string(), ..Sent::plain(kind) })
        }
        Transform::Generalize(Generalize::To(..)) => changed(Sent { comment: comment(&sent, transform), ..sent }),
        Transform::Generalize(Generalize::Step(step)) => {
            let kind = stepped(&sent.kind, step.decimals());
            changed(Sent { comment: comment(&sent, transform), kind, ..sent })
        }
    }
}

/// What the column is stays worth a word beside what was made of it.
fn comment(sent: &Sent, transform: &Transform) -> String {
    match sent.comment.as_str() {
        "" => transform.to_string(),
        what => format!("{what}; {transform}"),
    }
}

/// A multiple of a step has the step's digits behind the point. The multiple below may have one more in front of it.
fn stepped(kind: &str, decimals: u32) -> String {
    let whole = match kind {
        "Int16" => 5,
        "Int32" => 10,
        "Int64" => 19,
        _ => match kind.strip_prefix("Decimal(").and_then(|rest| rest.strip_suffix(')')?.split_once(", ")) {
            Some((precision, scale)) => {
                let number = |text: &str| text.parse::<u32>().unwrap_or(0);
                return format!("Decimal({}, {decimals})", (number(precision) - number(scale) + 1 + decimals).min(76));
            }
            // Texts that are numbers stay texts, floats stay floats.
            None => return kind.into(),
        },
    };
    if decimals == 0 { kind.into() } else { format!("Decimal({}, {decimals})", whole + decimals) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Mode, Topology};

    /// The rules of a stream whose mask has these fields.
    fn rules(unlisted: &str, fields: &str) -> TableConfig {
        let text = format!(
            "application: a\nkafka: {{ bootstrap.servers: 'localhost:1' }}\nsecrets: {{ s: '${{S}}' }}\n\
             streams:\n  rows:\n    from: in\n    to: out\n    steps: [dedup, {{ mask: {{ unlisted: {unlisted}, fields: {fields} }} }}]\n"
        );
        let loaded = Topology::parse(&text, "t", std::path::Path::new("."), Mode::Check, &|_| None);
        let topology = loaded.unwrap_or_else(|found| panic!("{}", found.render(false))).topology;
        match topology.streams[0].mask.rules.clone() {
            crate::operators::mask::Rules::Fields(rules) => rules,
            other => panic!("{other:?}"),
        }
    }

    fn told(kind: &str, rules: &TableConfig) -> String {
        let left = left("c", Sent::plain(kind), rules);
        left.iter()
            .map(|left| format!("{} {} {}", left.name, left.sent.kind, left.identifies))
            .collect::<Vec<_>>()
            .join("; ")
    }

    #[test]
    fn what_each_rule_leaves() {
        for (rule, kind, want) in [
            ("passthrough", "Int64", "c Int64 true"),
            ("hash", "Int64", "c String true"),
            ("hmac", "UUID", "c String true"),
            ("truncate", "String", "c String false"),
            ("partial", "String", "c String false"),
            ("email_domain", "String", "c String false"),
            ("ip_prefix", "String", "c String false"),
            ("redact", "Int64", "c String false"),
            ("{ rule: constant, value: 7 }", "String", "c Int64 false"),
            ("{ rule: constant, value: 7.5 }", "String", "c Float64 false"),
            ("{ rule: constant, value: true }", "String", "c Bool false"),
            ("{ rule: constant, value: x }", "Int64", "c String false"),
            ("set_null", "Decimal(12, 2)", "c Decimal(12, 2) false"),
            ("{ rule: generalize, step: 10 }", "Int32", "c Int32 false"),
            ("{ rule: generalize, step: 0.5 }", "Int32", "c Decimal(11, 1) false"),
            ("{ rule: generalize, step: 10 }", "Decimal(12, 2)", "c Decimal(11, 0) false"),
            ("{ rule: generalize, step: 0.125 }", "Decimal(12, 2)", "c Decimal(14, 3) false"),
            ("{ rule: generalize, step: 0.5 }", "Float64", "c Float64 false"),
            ("{ rule: generalize, to: month, unit: days }", "Int32", "c Int32 false"),
            ("drop", "Int64", ""),
        ] {
            assert_eq!(told(kind, &rules("passthrough", &format!("{{ c: {rule} }}"))), want, "{rule} of {kind}");
        }
        assert_eq!(told("Int64", &rules("drop", "{ other: hash }")), "");
        assert_eq!(told("Int64", &rules("passthrough", "{ other: hash }")), "c Int64 true");
        // Places within a column leave it what it is.
        assert_eq!(told("String", &rules("passthrough", "{ c.street: drop, 'c.town': hash }")), "c String true");
    }
}
