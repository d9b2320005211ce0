//! One value of JSON as RowBinary, by the type of its column: exactly, or not at all.
//!
//! No message holds a byte of the value.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::decimal::Decimal;
use super::times;
use super::types::Type;
use crate::record::json::{self, Kind};

/// What a type can hold, said to people.
type Fault = String;

/// Appends a validated value. `gone`: the row is deleted, so that what is missing of it becomes the type's default.
pub fn write(ty: &Type, value: &str, gone: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    let kind = Kind::of(value);
    if kind == Kind::Null {
        return match ty {
            Type::Nullable(_) => {
                out.push(1);
                Ok(())
            }
            // Under REPLICA IDENTITY DEFAULT a delete brings its key and nothing else.
            _ if gone => {
                write_default(ty, out);
                Ok(())
            }
            _ => Err("null in a column that is not Nullable".into()),
        };
    }
    match ty {
        Type::Nullable(inner) => {
            out.push(0);
            write(inner, value, gone, out)
        }
        Type::Array(inner) => {
            expect(kind, Kind::Array)?;
            count(json::members(value).count(), out);
            each(value, |member| write(inner, member.value, gone, out))
        }
        Type::Map(key, inner) => {
            expect(kind, Kind::Object)?;
            count(json::members(value).count(), out);
            each(value, |member| {
                write(key, &format!("\"{}\"", member.name), false, out)?;
                write(inner, member.value, gone, out)
            })
        }
        Type::String => {
            let text = text(kind, value)?;
            count(text.len(), out);
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }
        Type::FixedString(length) => {
            let text = text(kind, value)?;
            if text.len() > *length {
                return Err(format!("{} bytes for FixedString({length})", text.len()));
            }
            out.extend_from_slice(text.as_bytes());
            out.resize(out.len() + length - text.len(), 0);
            Ok(())
        }
        Type::Json => {
            // Debezium sends jsonb as text.
            let text = text(kind, value)?;
            let inner = json::parse(&text).map_err(|_| "text that is no JSON".to_owned())?;
            expect(Kind::of(inner.get()), Kind::Object)?;
            count(text.len(), out);
            out.extend_from_slice(text.as_bytes());
            Ok(())
        }
        Type::Bool => bool_of(kind, value).map(|b| out.push(u8::from(b))),
        Type::Int(bytes) => integer(kind, value, *bytes, true, out),
        Type::UInt(bytes) => integer(kind, value, *bytes, false, out),
        Type::Float32 => float(kind, value, |text| text.parse::<f32>().ok().filter(|f| f.is_finite()), f32_named)
            .map(|f| out.extend_from_slice(&f.to_le_bytes())),
        Type::Float64 => float(kind, value, |text| text.parse::<f64>().ok().filter(|f| f.is_finite()), f64_named)
            .map(|f| out.extend_from_slice(&f.to_le_bytes())),
        Type::Decimal { bytes, precision, scale } => {
            let text = numeric(kind, value)?;
            let number = Decimal::parse(&text).ok_or("no decimal number")?;
            let fits = number.write(*bytes, *scale, *precision, true, out);
            fits.ok_or_else(|| format!("a number that Decimal({precision}, {scale}) cannot hold exactly"))
        }
        Type::Enum(bytes, values) => enumerated(*bytes, values, kind, value, out),
        Type::Uuid => uuid(&quoted(kind, value)?, out).ok_or_else(|| "no UUID".into()),
        Type::Ipv4 => {
            let address: Ipv4Addr = quoted(kind, value)?.parse().map_err(|_| "no IPv4 address".to_owned())?;
            out.extend_from_slice(&u32::from(address).to_le_bytes());
            Ok(())
        }
        Type::Ipv6 => {
            let address: Ipv6Addr = quoted(kind, value)?.parse().map_err(|_| "no IPv6 address".to_owned())?;
            out.extend_from_slice(&address.octets());
            Ok(())
        }
        Type::Date => day(kind, value, 0..=65_535).map(|day| out.extend_from_slice(&(day as u16).to_le_bytes())),
        Type::Date32 => {
            day(kind, value, FIRST_DAY..=LAST_DAY).map(|day| out.extend_from_slice(&(day as i32).to_le_bytes()))
        }
        Type::DateTime => {
            let seconds = ticks(kind, value, 0)?;
            let seconds = u32::try_from(seconds).map_err(|_| "a time that DateTime cannot hold".to_owned())?;
            out.extend_from_slice(&seconds.to_le_bytes());
            Ok(())
        }
        Type::DateTime64(scale) => ticks(kind, value, *scale).map(|ticks| out.extend_from_slice(&ticks.to_le_bytes())),
    }
}

/// 1900-01-01 and 2299-12-31: what Date32 and DateTime64 hold.
const FIRST_DAY: i64 = -25_567;
const LAST_DAY: i64 = 120_529;

fn write_default(ty: &Type, out: &mut Vec<u8>) {
    let zeros = match ty {
        Type::Json => {
            count(2, out);
            return out.extend_from_slice(b"{}");
        }
        Type::Enum(bytes, values) => {
            // As the server has it: the lowest of them.
            let lowest = values.iter().map(|(_, number)| *number).min().unwrap_or(0);
            return out.extend_from_slice(&lowest.to_le_bytes()[..*bytes]);
        }
        Type::Date32 | Type::Float32 | Type::DateTime | Type::Ipv4 => 4,
        Type::Float64 | Type::DateTime64(_) => 8,
        Type::Uuid | Type::Ipv6 => 16,
        Type::Date => 2,
        Type::Int(bytes) | Type::UInt(bytes) | Type::FixedString(bytes) | Type::Decimal { bytes, .. } => *bytes,
        // No length, no elements; null.
        Type::Bool | Type::String | Type::Array(_) | Type::Map(..) => 1,
        Type::Nullable(_) => return out.push(1),
    };
    out.resize(out.len() + zeros, 0);
}

/// A length, seven bits a byte.
fn count(mut number: usize, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn each<'a>(value: &'a str, mut write: impl FnMut(json::Member<'a>) -> Result<(), Fault>) -> Result<(), Fault> {
    json::members(value).try_for_each(|member| write(member.map_err(|bad| bad.detail)?))
}

fn expect(found: Kind, wanted: Kind) -> Result<(), Fault> {
    if found == wanted { Ok(()) } else { Err(format!("{found} where {wanted} belongs")) }
}

/// A text as it is meant; everything else as it is written.
fn text(kind: Kind, value: &str) -> Result<std::borrow::Cow<'_, str>, Fault> {
    match kind {
        Kind::Text => quoted(kind, value),
        _ => Ok(value.into()),
    }
}

fn quoted(kind: Kind, value: &str) -> Result<std::borrow::Cow<'_, str>, Fault> {
    expect(kind, Kind::Text)?;
    json::text(json::quoted(value).unwrap_or_default()).map_err(|_| "half a surrogate pair".into())
}

/// A number, or a text that should be one: Debezium sends NUMERIC as text.
fn numeric(kind: Kind, value: &str) -> Result<std::borrow::Cow<'_, str>, Fault> {
    match kind {
        Kind::Number => Ok(value.into()),
        Kind::Text => quoted(kind, value),
        _ => Err(format!("{kind} where a number belongs")),
    }
}

fn bool_of(kind: Kind, value: &str) -> Result<bool, Fault> {
    match (kind, value) {
        (Kind::Bool, value) => Ok(value == "true"),
        (Kind::Number, "0") => Ok(false),
        (Kind::Number, "1") => Ok(true),
        _ => Err(format!("{kind} where a boolean belongs")),
    }
}

fn integer(kind: Kind, value: &str, bytes: usize, signed: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    if kind == Kind::Bool {
        return integer(Kind::Number, if value == "true" { "1" } else { "0" }, bytes, signed, out);
    }
    let text = numeric(kind, value)?;
    let misfit = || format!("a number that {}Int{} cannot hold", if signed { "" } else { "U" }, bytes * 8);
    // Nearly all of them.
    if bytes <= 8
        && let Ok(number) = text.parse::<i64>()
    {
        let bits = bytes as u32 * 8;
        let fits = match signed {
            true => bits == 64 || (-(1i64 << (bits - 1))..1i64 << (bits - 1)).contains(&number),
            false => number >= 0 && (bits == 64 || number < 1i64 << bits),
        };
        if !fits {
            return Err(misfit());
        }
        out.extend_from_slice(&number.to_le_bytes()[..bytes]);
        return Ok(());
    }
    let number = Decimal::parse(&text).ok_or("no number")?;
    number.write(bytes, 0, 78, signed, out).ok_or_else(misfit)
}

fn float<T>(
    kind: Kind,
    value: &str,
    parse: impl Fn(&str) -> Option<T>,
    named: impl Fn(&str) -> Option<T>,
) -> Result<T, Fault> {
    let text = numeric(kind, value)?;
    let found = match kind {
        Kind::Text => named(&text).or_else(|| Decimal::parse(&text).and_then(|_| parse(&text))),
        _ => parse(&text),
    };
    found.ok_or_else(|| "no number that the column can hold".into())
}

/// What Postgres has and JSON has not.
fn f64_named(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn f32_named(text: &str) -> Option<f32> {
    f64_named(text).map(|f| f as f32)
}

fn enumerated(bytes: usize, values: &[(String, i16)], kind: Kind, value: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let text = text(kind, value)?;
    let found = match kind {
        Kind::Text => values.iter().find(|(name, _)| *name == text),
        _ => values.iter().find(|(_, number)| Some(*number) == text.parse().ok()),
    };
    let (_, number) = found.ok_or("a value that the Enum does not list")?;
    out.extend_from_slice(&number.to_le_bytes()[..bytes]);
    Ok(())
}

/// Two halves, each the least significant byte first.
fn uuid(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let bytes = text.as_bytes();
    let dashes = [8, 13, 18, 23];
    if bytes.len() != 36 || dashes.iter().any(|at| bytes[*at] != b'-') {
        return None;
    }
    let hex: Vec<u8> = bytes.iter().enumerate().filter(|(at, _)| !dashes.contains(at)).map(|(_, b)| *b).collect();
    if !hex.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let hex = std::str::from_utf8(&hex).ok()?;
    let number = u128::from_str_radix(hex, 16).ok()?;
    out.extend_from_slice(&((number >> 64) as u64).to_le_bytes());
    out.extend_from_slice(&(number as u64).to_le_bytes());
    Some(())
}

/// Days since 1970: Debezium's number, or an ISO date.
fn day(kind: Kind, value: &str, range: std::ops::RangeInclusive<i64>) -> Result<i64, Fault> {
    let day = match kind {
        Kind::Number => value.parse().ok(),
        Kind::Text => {
            let text = quoted(kind, value)?;
            // With `time.precision.mode: isostring` a date carries its zone.
            times::date(text.strip_suffix('Z').unwrap_or(&text))
        }
        _ => None,
    };
    match day {
        None => Err(format!("{kind} that is no date")),
        Some(day) if range.contains(&day) => Ok(day),
        Some(_) => Err("a date that the column cannot hold".into()),
    }
}

/// Since 1970, in units of `10^-scale` seconds. Of a number nobody knows the unit: Debezium has three.
fn ticks(kind: Kind, value: &str, scale: u32) -> Result<i64, Fault> {
    if kind == Kind::Number {
        return Err(
            "a number where a time belongs, and its unit is not known; set the connector's time.precision.mode to \
                    isostring, or make the column an integer"
                .into(),
        );
    }
    let text = quoted(kind, value)?;
    let moment = times::moment(&text).ok_or("text that is no time")?;
    let fraction = times::ticks(moment.fraction, scale).ok_or("more digits behind the second than the column holds")?;
    let in_range = (FIRST_DAY * 86_400..(LAST_DAY + 1) * 86_400).contains(&moment.seconds);
    let ticks = 10i64.checked_pow(scale).and_then(|unit| moment.seconds.checked_mul(unit)?.checked_add(fraction));
    ticks.filter(|_| in_range).ok_or_else(|| "a time that the column cannot hold".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(ty: &str, value: &str) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let ty = Type::parse(ty).unwrap_or_else(|| panic!("{ty}"));
        write(&ty, json::parse(value).unwrap().get(), false, &mut out).map(|()| out)
    }

    #[test]
    fn values_as_the_server_reads_them() {
        let le = |number: i64, bytes: usize| number.to_le_bytes()[..bytes].to_vec();
        for (ty, value, want) in [
            ("UInt8", "255", le(255, 1)),
            ("UInt8", "true", le(1, 1)),
            ("Int8", "-128", le(-128, 1)),
            ("UInt64", "18446744073709551615", vec![0xff; 8]),
            ("UInt64", "\"18446744073709551615\"", vec![0xff; 8]),
            ("Int64", "-9223372036854775808", i64::MIN.to_le_bytes().to_vec()),
            ("Int32", "1.0", le(1, 4)),
            ("Int32", "1e2", le(100, 4)),
            ("Bool", "true", vec![1]),
            ("Float64", "1.5", 1.5f64.to_le_bytes().to_vec()),
            ("Float32", "\"NaN\"", f32::NAN.to_le_bytes().to_vec()),
            ("Float64", "\"-Infinity\"", f64::NEG_INFINITY.to_le_bytes().to_vec()),
            ("String", "\"a\\u00e9\\n\"", b"\x04a\xc3\xa9\n".to_vec()),
            ("String", "{\"a\": 1}", b"\x08{\"a\": 1}".to_vec()),
            ("FixedString(4)", "\"ab\"", b"ab\0\0".to_vec()),
            ("Nullable(UInt8)", "null", vec![1]),
            ("Nullable(UInt8)", "7", vec![0, 7]),
            ("Array(Nullable(UInt8))", "[1, null]", vec![2, 0, 1, 1]),
            ("Map(String, UInt8)", "{\"a\\n\": 1}", b"\x01\x02a\n\x01".to_vec()),
            ("Decimal(9, 2)", "\"-12.5\"", le(-1250, 4)),
            ("Date", "20574", le(20_574, 2)),
            ("Date", "\"2026-05-01\"", le(20_574, 2)),
            ("Date32", "-1", le(-1, 4)),
            ("DateTime", "\"2026-05-01T10:00:00.000Z\"", le(20_574 * 86_400 + 36_000, 4)),
            ("DateTime64(6, 'UTC')", "\"1969-12-31T23:59:59.999999Z\"", le(-1, 8)),
            ("DateTime64(3)", "\"2026-05-01T10:00:00+02:00\"", le((20_574 * 86_400 + 28_800) * 1000, 8)),
            ("Enum8('a' = -1, 'b' = 2)", "\"a\"", vec![0xff]),
            ("Enum16('a' = 300)", "300", le(300, 2)),
            ("IPv4", "\"1.2.3.4\"", vec![4, 3, 2, 1]),
            ("IPv6", "\"::1\"", [vec![0; 15], vec![1]].concat()),
            (
                "UUID",
                "\"00112233-4455-6677-8899-aabbccddeeff\"",
                vec![0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88],
            ),
            ("JSON", "\"{\\\"a\\\":1}\"", b"\x07{\"a\":1}".to_vec()),
            ("JSON", "{\"a\":1}", b"\x07{\"a\":1}".to_vec()),
        ] {
            assert_eq!(bytes(ty, value), Ok(want), "{value} as {ty}");
        }
        assert_eq!(bytes("String", &format!("\"{}\"", "x".repeat(200))).unwrap()[..2], [0xc8, 0x01]);
    }

    #[test]
    fn what_would_be_damaged_is_refused_and_not_told() {
        for (ty, value, why) in [
            ("Int32", "3000000000", "cannot hold"),
            ("UInt64", "\"18446744073709551616\"", "cannot hold"),
            ("UInt64", "-1", "cannot hold"),
            ("UInt8", "256", "cannot hold"),
            ("Int8", "-129", "cannot hold"),
            ("Int32", "1.5", "cannot hold"),
            ("UInt8", "null", "not Nullable"),
            ("Array(UInt8)", "[null]", "not Nullable"),
            ("UInt8", "\"secret\"", "no number"),
            ("UInt8", "[1]", "an array where a number"),
            ("Bool", "2", "a boolean"),
            ("Float32", "1e39", "no number"),
            ("Float64", "1e309", "no number"),
            ("Float64", "\"inf\"", "no number"),
            ("FixedString(1)", "\"é\"", "2 bytes for FixedString(1)"),
            ("Decimal(9, 2)", "1.005", "exactly"),
            ("Decimal(9, 2)", "\"secret==\"", "no decimal"),
            ("Date", "-1", "cannot hold"),
            ("Date", "\"2200-01-01\"", "cannot hold"),
            ("Date32", "\"2300-01-01\"", "cannot hold"),
            ("DateTime", "\"2026-05-01T10:00:00.5Z\"", "more digits"),
            ("DateTime", "\"1969-12-31T23:59:59Z\"", "cannot hold"),
            ("DateTime64(6)", "1774751400123456", "unit"),
            ("DateTime64(9)", "\"2299-01-01T00:00:00Z\"", "cannot hold"),
            ("DateTime64(3)", "\"1899-12-31T23:59:59Z\"", "cannot hold"),
            ("Enum8('a' = 1)", "\"secret\"", "does not list"),
            ("UUID", "\"0011223344556677889900112233445566778899\"", "no UUID"),
            ("IPv4", "\"1.2.3\"", "no IPv4"),
            ("JSON", "\"secret\"", "no JSON"),
            ("JSON", "[1]", "an array where an object"),
            ("String", "\"\\ud800\"", "surrogate"),
        ] {
            let said = bytes(ty, value).expect_err(&format!("{value} as {ty}"));
            assert!(said.contains(why) && !said.contains("secret"), "{value} as {ty}: {said}");
        }
    }

    #[test]
    fn a_deleted_row_has_defaults_where_it_has_nothing() {
        for (ty, want) in [
            ("UInt64", vec![0; 8]),
            ("String", vec![0]),
            ("Nullable(String)", vec![1]),
            ("Array(UInt8)", vec![0]),
            ("DateTime64(6)", vec![0; 8]),
            ("Decimal(38, 2)", vec![0; 16]),
            ("Enum8('b' = 2, 'a' = 1)", vec![1]),
            ("UUID", vec![0; 16]),
            ("JSON", vec![2, b'{', b'}']),
        ] {
            let mut out = Vec::new();
            write(&Type::parse(ty).unwrap(), "null", true, &mut out).unwrap();
            assert_eq!(out, want, "{ty}");
        }
    }
}
