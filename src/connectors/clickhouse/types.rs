//! The types of columns, as `system.columns` writes them.

/// A type that rows can be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    Bool,
    /// Bytes.
    Int(usize),
    UInt(usize),
    Float32,
    Float64,
    String,
    FixedString(usize),
    Uuid,
    Ipv4,
    Ipv6,
    Date,
    Date32,
    DateTime,
    /// Digits of a second's fraction.
    DateTime64(u32),
    Decimal {
        bytes: usize,
        precision: u32,
        scale: u32,
    },
    /// Bytes of a value; names and their numbers.
    Enum(usize, Vec<(String, i16)>),
    Json,
    Array(Box<Type>),
    Map(Box<Type>, Box<Type>),
    Nullable(Box<Type>),
}

impl Type {
    /// None: a type that is not written to.
    pub fn parse(text: &str) -> Option<Type> {
        let text = text.trim();
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => (name, arguments(rest.strip_suffix(')')?)),
            None => (text, Vec::new()),
        };
        let inner = |index: usize| arguments.get(index).and_then(|text| Type::parse(text));
        let number = |index: usize| arguments.get(index).and_then(|text| text.trim().parse::<u32>().ok());
        Some(match name {
            "Bool" => Type::Bool,
            "Int8" | "Int16" | "Int32" | "Int64" | "Int128" | "Int256" => Type::Int(bits(name)? / 8),
            "UInt8" | "UInt16" | "UInt32" | "UInt64" | "UInt128" | "UInt256" => Type::UInt(bits(name)? / 8),
            "Float32" => Type::Float32,
            "Float64" => Type::Float64,
            "String" => Type::String,
            "FixedString" => Type::FixedString(number(0)? as usize),
            "UUID" => Type::Uuid,
            "IPv4" => Type::Ipv4,
            "IPv6" => Type::Ipv6,
            "Date" => Type::Date,
            "Date32" => Type::Date32,
            "DateTime" => Type::DateTime,
            "DateTime64" => Type::DateTime64(number(0)?),
            "Decimal" => {
                let (precision, scale) = (number(0)?, number(1)?);
                let bytes = match precision {
                    0..=9 => 4,
                    10..=18 => 8,
                    19..=38 => 16,
                    39..=76 => 32,
                    _ => return None,
                };
                Type::Decimal { bytes, precision, scale }
            }
            "Enum8" | "Enum16" => {
                let values = arguments.iter().map(|text| enum_value(text)).collect::<Option<Vec<_>>>()?;
                Type::Enum(if name == "Enum8" { 1 } else { 2 }, values)
            }
            "JSON" => Type::Json,
            "Array" => Type::Array(inner(0)?.into()),
            "Map" => Type::Map(inner(0)?.into(), inner(1)?.into()),
            "Nullable" => Type::Nullable(inner(0)?.into()),
            // The same bytes.
            "LowCardinality" => inner(0)?,
            "SimpleAggregateFunction" => inner(1)?,
            _ => return None,
        })
    }

    pub fn takes_null(&self) -> bool {
        matches!(self, Type::Nullable(_))
    }
}

fn bits(name: &str) -> Option<usize> {
    name.trim_start_matches(|c: char| c.is_ascii_alphabetic()).parse().ok()
}

/// Split at commas that are in no brackets and no quotes.
fn arguments(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut escaped, mut start) = (0usize, false, false, 0);
    let mut parts = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '\'' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

/// `'name' = 1`
fn enum_value(text: &str) -> Option<(String, i16)> {
    let (name, number) = text.rsplit_once('=')?;
    let name = name.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    let mut plain = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                '0' => '\0',
                other => other,
            },
            c => c,
        });
    }
    Some((plain, number.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_as_the_server_writes_them() {
        let nullable = |inner: Type| Type::Nullable(inner.into());
        for (text, want) in [
            ("UInt64", Type::UInt(8)),
            ("Int256", Type::Int(32)),
            ("Nullable(DateTime64(6, 'UTC'))", nullable(Type::DateTime64(6))),
            ("DateTime('Europe/Berlin')", Type::DateTime),
            ("LowCardinality(Nullable(String))", nullable(Type::String)),
            ("Decimal(18, 4)", Type::Decimal { bytes: 8, precision: 18, scale: 4 }),
            ("Decimal(76, 0)", Type::Decimal { bytes: 32, precision: 76, scale: 0 }),
            ("Array(Array(Nullable(Int32)))", Type::Array(Type::Array(nullable(Type::Int(4)).into()).into())),
            ("Map(LowCardinality(String), UInt8)", Type::Map(Type::String.into(), Type::UInt(1).into())),
            (
                "Enum8('a, (b' = -1, 'it\\'s = x' = 2)",
                Type::Enum(1, vec![("a, (b".into(), -1), ("it's = x".into(), 2)]),
            ),
            ("JSON(max_dynamic_paths=10, a.b UInt32)", Type::Json),
            ("SimpleAggregateFunction(max, Float64)", Type::Float64),
        ] {
            assert_eq!(Type::parse(text), Some(want), "{text}");
        }
        for text in ["AggregateFunction(sum, UInt64)", "Tuple(a UInt8)", "Point", "Nullable(Point)", "Array(", ""] {
            assert_eq!(Type::parse(text), None, "{text}");
        }
    }
}
