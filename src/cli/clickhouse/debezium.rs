//! What Debezium's JSON makes of each type of Postgres, with a connector's settings, and the type of ClickHouse that takes
//! it. A test runs all of it through a real Debezium.

use serde_json::Value;

use crate::connectors::postgres::catalog::Kind;

/// The connector of this repository: its settings are assumed where no other is named.
pub const USUAL: &str = include_str!("../../../connectors/debezium-pg-source.json");

/// A column's values on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Of ClickHouse, without `Nullable`.
    pub kind: String,
    /// What it is, where the type does not say so.
    pub comment: String,
    /// How a view shows it; `{}` stands for the column.
    pub shown: Option<String>,
    /// What is not certain, or not good.
    pub doubt: Option<String>,
}

impl Sent {
    pub fn plain(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), comment: String::new(), shown: None, doubt: None }
    }

    fn of(kind: &str, comment: impl Into<String>) -> Self {
        Self { comment: comment.into(), ..Self::plain(kind) }
    }

    fn shown(self, form: impl Into<String>) -> Self {
        Self { shown: Some(form.into()), ..self }
    }

    pub fn doubt(self, why: impl Into<String>) -> Self {
        Self { doubt: Some(why.into()), ..self }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decimals {
    Precise,
    Text,
    Double,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Adaptive,
    AdaptiveMicroseconds,
    Connect,
    Iso,
}

/// The settings of a connector that decide what a value looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    decimals: Decimals,
    times: Times,
    binary: String,
    intervals_as_text: bool,
    sends_unknown: bool,
}

/// Those that are read, with Debezium's own defaults.
const READ: [(&str, &str, &[&str]); 6] = [
    ("decimal.handling.mode", "precise", &["precise", "string", "double"]),
    ("time.precision.mode", "adaptive", &["adaptive", "adaptive_time_microseconds", "connect", "isostring"]),
    ("binary.handling.mode", "bytes", &["bytes", "base64", "base64-url-safe", "hex"]),
    ("interval.handling.mode", "numeric", &["numeric", "string"]),
    ("include.unknown.datatypes", "false", &["false", "true"]),
    ("value.converter", JSON, &[JSON]),
];
const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";

impl Settings {
    /// From a connector's configuration. Settings that nothing here knows are refused: to guess would be to be wrong.
    pub fn read(text: &str, name: &str) -> Result<Self, String> {
        let configuration: Value = serde_json::from_str(text).map_err(|error| format!("{name} is no JSON: {error}"))?;
        // As it lies in files, and as Connect's REST interface has it.
        let settings = configuration.get("config").unwrap_or(&configuration);
        let mut values = [""; READ.len()];
        for (value, (setting, default, known)) in values.iter_mut().zip(READ) {
            let given = settings.get(setting).map_or(Some(default), Value::as_str);
            let Some(found) = given.and_then(|given| known.iter().find(|known| **known == given)) else {
                return Err(format!("{name}: {setting} is none of {}", known.join(", ")));
            };
            *value = found;
        }
        let [decimals, times, binary, intervals, unknown, _] = values;
        Ok(Self {
            decimals: match decimals {
                "string" => Decimals::Text,
                "double" => Decimals::Double,
                _ => Decimals::Precise,
            },
            times: match times {
                "adaptive_time_microseconds" => Times::AdaptiveMicroseconds,
                "connect" => Times::Connect,
                "isostring" => Times::Iso,
                _ => Times::Adaptive,
            },
            // Bytes are base64 in JSON.
            binary: if binary == "bytes" { "base64" } else { binary }.into(),
            intervals_as_text: intervals == "string",
            sends_unknown: unknown == "true",
        })
    }

    /// None where Debezium leaves a column of that type out.
    pub fn sent(&self, kind: &Kind) -> Option<Sent> {
        if !kind.is_array {
            return self.one(kind);
        }
        let element = self.one(&Kind { is_array: false, ..kind.clone() })?;
        // An array cannot be null in ClickHouse, so it is kept as the text of its JSON.
        let inner = match element.kind.as_str() {
            plain @ ("Bool" | "Int16" | "Int32" | "Int64" | "Float32" | "Float64") => plain,
            _ => "String",
        };
        let sent = Sent::of("String", "JSON array; null is empty in the view");
        Some(sent.shown(format!("JSONExtract(ifNull({{}}, '[]'), 'Array(Nullable({inner}))')")))
    }

    fn one(&self, kind: &Kind) -> Option<Sent> {
        if kind.is_enum {
            return Some(Sent::of("String", "enum"));
        }
        Some(match kind.name.as_str() {
            "bool" => Sent::plain("Bool"),
            "int2" => Sent::plain("Int16"),
            "int4" => Sent::plain("Int32"),
            "int8" | "oid" => Sent::plain("Int64"),
            "float4" => Sent::plain("Float32"),
            "float8" => Sent::plain("Float64"),
            "numeric" => self.decimal(kind.precision_and_scale()),
            // As the smallest units of most currencies are; money.fraction.digits says otherwise.
            "money" => self.decimal(Some((19, 2))),
            "text" | "varchar" | "bpchar" | "char" | "name" | "citext" | "ltree" | "inet" | "cidr" | "macaddr"
            | "macaddr8" | "int4range" | "int8range" | "numrange" | "tsrange" | "tstzrange" | "daterange"
            | "tsvector" => Sent::plain("String"),
            "uuid" => Sent::plain("UUID"),
            "json" | "jsonb" | "hstore" => Sent::of("String", "JSON text"),
            "xml" => Sent::of("String", "XML"),
            "point" | "box" | "circle" | "line" | "lseg" | "path" | "polygon" | "geometry" | "geography" => {
                Sent::of("String", "JSON object; shapes as wkb in base64")
            }
            "date" => self.date(),
            "time" => self.time(kind.fraction_digits()),
            "timetz" => Sent::of("String", "time with a zone, ISO 8601"),
            "timestamp" => self.timestamp(kind.fraction_digits()),
            "timestamptz" => Sent::plain("DateTime64(6, 'UTC')"),
            "interval" if self.intervals_as_text => Sent::of("String", "interval, ISO 8601"),
            "interval" => Sent::of("Int64", "microseconds; a month counts 30.4375 days"),
            "bytea" => Sent::of("String", &*self.binary),
            "bit" if kind.modifier == 1 => Sent::plain("Bool"),
            "bit" | "varbit" => Sent::of("String", format!("bits, {}", self.binary)),
            _ if self.sends_unknown => Sent::of("String", "base64"),
            _ => return None,
        })
    }

    fn decimal(&self, size: Option<(u32, i32)>) -> Sent {
        match (self.decimals, size) {
            (Decimals::Double, _) => Sent::of("Float64", "rounded: decimal.handling.mode is double"),
            (Decimals::Precise, _) => Sent::of("String", "base64 of an integer").doubt(
                "decimal.handling.mode=precise sends decimals as bytes, which nobody reads: string sends their digits",
            ),
            (Decimals::Text, Some((precision, scale @ 0..)))
                if (1..=76).contains(&precision) && scale as u32 <= precision =>
            {
                Sent::plain(format!("Decimal({precision}, {scale})"))
            }
            (Decimals::Text, Some((precision, scale))) => {
                let (scale, zeros) = (scale.max(0) as u32, scale.min(0).unsigned_abs());
                let precision = precision.max(scale) + zeros;
                match precision {
                    1..=76 => Sent::plain(format!("Decimal({precision}, {scale})")),
                    _ => Sent::of("String", "decimal").doubt("more digits than Decimal has: kept as text"),
                }
            }
            (Decimals::Text, None) => Sent::of("String", "decimal").doubt(
                "numeric without precision may be any number: kept as text; Decimal(P, S) takes it where you know both",
            ),
        }
    }

    fn date(&self) -> Sent {
        match self.times {
            Times::Iso => iso("date"),
            _ => Sent::of("Int32", "days since 1970-01-01").shown("toDate32('1970-01-01') + {}"),
        }
    }

    fn time(&self, digits: u32) -> Sent {
        match self.times {
            Times::Iso => iso("time"),
            Times::Connect => Sent::of("Int32", "milliseconds since midnight"),
            Times::Adaptive if digits <= 3 => Sent::of("Int32", "milliseconds since midnight"),
            Times::Adaptive | Times::AdaptiveMicroseconds => Sent::of("Int64", "microseconds since midnight"),
        }
    }

    fn timestamp(&self, digits: u32) -> Sent {
        let is_coarse = digits <= 3 || self.times == Times::Connect;
        match self.times {
            Times::Iso => iso("time"),
            _ if is_coarse => {
                Sent::of("Int64", "milliseconds since 1970-01-01, UTC").shown("fromUnixTimestamp64Milli({}, 'UTC')")
            }
            _ => Sent::of("Int64", "microseconds since 1970-01-01, UTC").shown("fromUnixTimestamp64Micro({}, 'UTC')"),
        }
    }
}

fn iso(what: &str) -> Sent {
    Sent::of("String", format!("{what}, ISO 8601")).doubt("time.precision.mode=isostring: kept as the text that comes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, modifier: i32) -> Kind {
        Kind { name: name.into(), is_enum: false, is_array: false, modifier }
    }

    fn settings(text: &str) -> Settings {
        Settings::read(text, "c.json").unwrap()
    }

    /// What of a type is told here: `type | comment`.
    fn told(settings: &Settings, kind: &Kind) -> String {
        settings.sent(kind).map_or("not sent".into(), |sent| match sent.comment.as_str() {
            "" => sent.kind,
            comment => format!("{} | {comment}", sent.kind),
        })
    }

    #[test]
    fn types_under_the_usual_settings() {
        let usual = settings(USUAL);
        for (name, modifier, want) in [
            ("bool", -1, "Bool"),
            ("int2", -1, "Int16"),
            ("int8", -1, "Int64"),
            ("numeric", (12 << 16) + 2 + 4, "Decimal(12, 2)"),
            ("numeric", (5 << 16) + 2046 + 4, "Decimal(7, 0)"),
            ("numeric", (3 << 16) + 5 + 4, "Decimal(5, 5)"),
            ("numeric", (100 << 16) + 2 + 4, "String | decimal"),
            ("numeric", -1, "String | decimal"),
            ("money", -1, "Decimal(19, 2)"),
            ("date", -1, "Int32 | days since 1970-01-01"),
            ("time", -1, "Int64 | microseconds since midnight"),
            ("time", 3, "Int32 | milliseconds since midnight"),
            ("timestamp", -1, "Int64 | microseconds since 1970-01-01, UTC"),
            ("timestamp", 0, "Int64 | milliseconds since 1970-01-01, UTC"),
            ("timestamptz", -1, "DateTime64(6, 'UTC')"),
            ("uuid", -1, "UUID"),
            ("jsonb", -1, "String | JSON text"),
            ("bytea", -1, "String | base64"),
            ("bit", 1, "Bool"),
            ("bit", 8, "String | bits, base64"),
            ("box", -1, "String | JSON object; shapes as wkb in base64"),
            ("pg_lsn", -1, "not sent"),
        ] {
            assert_eq!(told(&usual, &kind(name, modifier)), want, "{name} {modifier}");
        }
        let of = |name| Kind { is_array: true, ..kind(name, -1) };
        assert_eq!(usual.sent(&of("int4")).unwrap().kind, "String");
        assert!(usual.sent(&of("int4")).unwrap().shown.unwrap().contains("'Array(Nullable(Int32))'"));
        assert_eq!(usual.sent(&of("pg_lsn")), None);
        assert_eq!(told(&usual, &Kind { is_enum: true, ..kind("mood", -1) }), "String | enum");
        assert!(usual.sent(&kind("numeric", -1)).unwrap().doubt.is_some());
    }

    #[test]
    fn other_settings_send_other_things() {
        for (text, name, want) in [
            ("{}", "numeric", "String | base64 of an integer"),
            (r#"{"decimal.handling.mode":"double"}"#, "numeric", "Float64 | rounded: decimal.handling.mode is double"),
            (r#"{"time.precision.mode":"connect"}"#, "timestamp", "Int64 | milliseconds since 1970-01-01, UTC"),
            (r#"{"time.precision.mode":"connect"}"#, "time", "Int32 | milliseconds since midnight"),
            (r#"{"time.precision.mode":"adaptive_time_microseconds"}"#, "time", "Int64 | microseconds since midnight"),
            (r#"{"time.precision.mode":"isostring"}"#, "date", "String | date, ISO 8601"),
            (r#"{"binary.handling.mode":"hex"}"#, "bytea", "String | hex"),
            (r#"{"config":{"interval.handling.mode":"string"}}"#, "interval", "String | interval, ISO 8601"),
            (r#"{"include.unknown.datatypes":"true"}"#, "pg_lsn", "String | base64"),
        ] {
            assert_eq!(told(&settings(text), &kind(name, -1)), want, "{text} {name}");
        }
    }

    #[test]
    fn settings_that_nobody_knows_are_refused() {
        for (text, want) in [
            ("no", "c.json is no JSON"),
            (r#"{"decimal.handling.mode":"exact"}"#, "decimal.handling.mode is none of precise, string, double"),
            (r#"{"time.precision.mode":"nanoseconds"}"#, "time.precision.mode is none of adaptive,"),
            (
                r#"{"value.converter":"io.confluent.connect.avro.AvroConverter"}"#,
                "value.converter is none of org.apache",
            ),
        ] {
            let why = Settings::read(text, "c.json").unwrap_err();
            assert!(why.contains(want), "{why}");
        }
    }
}
