//! `generalize`: numbers down to multiples of a step, times down to the start of a period.
//!
//! Exact: decimals are computed as decimals. What is neither a number nor a time that Debezium writes is refused.

use std::fmt::{self, Write};

use super::rule::PERIODS;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Generalize {
    /// Down to a multiple of it; above zero.
    Step(Decimal),
    To(Period, Option<Unit>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    Hour,
    Day,
    Month,
    Year,
    Decade,
}

/// What a number counts since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Days,
    Seconds,
    Millis,
    Micros,
    Nanos,
}

/// `digits` / 10^`scale`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    digits: i128,
    scale: u32,
}

impl Decimal {
    /// As JSON and Postgres write numbers. None for others, and beyond 38 digits.
    pub fn parse(text: &str) -> Option<Self> {
        let (text, negative) = match text.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) || mantissa.ends_with('.') {
            return None;
        }
        let mut digits: i128 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            digits = digits.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
        }
        let scale = i64::try_from(fraction.len()).ok()? - i64::from(exponent);
        let digits = if negative { -digits } else { digits };
        match u32::try_from(scale) {
            Ok(scale) if scale <= 38 => Some(Self { digits, scale }),
            Ok(_) => None,
            Err(_) => Some(Self { digits: digits.checked_mul(ten(u32::try_from(-scale).ok()?)?)?, scale: 0 }),
        }
    }

    /// Digits behind the point, of it and of what is cut down to its multiples.
    pub fn decimals(self) -> u32 {
        self.scale
    }

    pub fn is_positive(self) -> bool {
        self.digits > 0
    }

    fn at_scale(self, scale: u32) -> Option<i128> {
        self.digits.checked_mul(ten(scale.checked_sub(self.scale)?)?)
    }

    /// The greatest multiple of `step` that is not above this, with the decimals of `step`.
    fn floor_to(self, step: Decimal) -> Option<Self> {
        let scale = self.scale.max(step.scale);
        let (value, step_digits) = (self.at_scale(scale)?, step.at_scale(scale)?);
        let multiple = value.checked_div_euclid(step_digits)?;
        Some(Self { digits: multiple.checked_mul(step.digits)?, scale: step.scale })
    }

    fn write(self, out: &mut String) {
        let sign = if self.digits < 0 { "-" } else { "" };
        let digits = self.digits.unsigned_abs();
        let written = match ten(self.scale).map(i128::unsigned_abs) {
            Some(base) if self.scale > 0 => {
                let (whole, fraction, width) = (digits / base, digits % base, self.scale as usize);
                write!(out, "{sign}{whole}.{fraction:0width$}")
            }
            _ => write!(out, "{sign}{digits}"),
        };
        debug_assert!(written.is_ok());
    }
}

impl Ord for Decimal {
    /// Exact wherever both fit one scale; beyond that, by magnitude.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let scale = self.scale.max(other.scale);
        match (self.at_scale(scale), other.at_scale(scale)) {
            (Some(own), Some(others)) => own.cmp(&others),
            // It does not fit because it is the larger one by far.
            (None, _) => self.digits.cmp(&0),
            (_, None) => 0.cmp(&other.digits),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn ten(power: u32) -> Option<i128> {
    10i128.checked_pow(power)
}

impl fmt::Display for Generalize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Generalize::Step(step) => {
                let mut text = String::new();
                step.write(&mut text);
                write!(f, "multiples of {text}")
            }
            Generalize::To(period, _) => {
                let name = PERIODS.get(*period as usize).copied().unwrap_or_default();
                write!(f, "to the {name}")
            }
        }
    }
}

impl Unit {
    fn per_day(self) -> i128 {
        match self {
            Unit::Days => 1,
            Unit::Seconds => 86_400,
            Unit::Millis => 86_400_000,
            Unit::Micros => 86_400_000_000,
            Unit::Nanos => 86_400_000_000_000,
        }
    }
}

impl Generalize {
    /// A JSON number; appends the number it becomes. None where it cannot be cut down.
    pub(super) fn number(&self, number: &str, out: &mut String) -> Option<()> {
        match self {
            Generalize::Step(step) => Decimal::parse(number)?.floor_to(*step)?.write(out),
            Generalize::To(period, unit) => {
                let value = i128::from(number.parse::<i64>().ok()?);
                let cut = period.floor(value, (*unit)?)?;
                write!(out, "{cut}").ok()?;
            }
        }
        Some(())
    }

    /// A decoded text; appends the text it becomes, which needs no escapes.
    pub(super) fn text(&self, text: &str, out: &mut String) -> Option<()> {
        match self {
            Generalize::Step(step) => Decimal::parse(text.trim())?.floor_to(*step)?.write(out),
            Generalize::To(period, _) => period.floor_text(text.trim(), out)?,
        }
        Some(())
    }
}

impl Period {
    fn floor(self, value: i128, unit: Unit) -> Option<i128> {
        let per_day = unit.per_day();
        let day = value.div_euclid(per_day);
        let start = match self {
            // Days have no hours to lose.
            Period::Hour if unit == Unit::Days => return Some(value),
            Period::Hour => return Some(value - value.rem_euclid(per_day / 24)),
            Period::Day => day,
            _ => {
                // Debezium's days are 32 bits, its microseconds 64: beyond a million years it is no date.
                let day = i64::try_from(day).ok().filter(|day| day.abs() < 400_000_000)?;
                let (year, month) = civil(day);
                match self {
                    Period::Month => first_of(year, month),
                    Period::Year => first_of(year, 1),
                    _ => first_of(year - year.rem_euclid(10), 1),
                }
                .into()
            }
        };
        Some(start * per_day)
    }

    /// `2026-11-02`, `2026-11-02T10:11:12.123Z`, `2026-11-02 10:11:12+03:00`: what is written there is cut, in the zone it is
    /// written in.
    fn floor_text(self, text: &str, out: &mut String) -> Option<()> {
        let (date, time) = match text.find(['T', ' ']) {
            Some(at) => (text.get(..at)?, Some((text.get(at..at + 1)?, text.get(at + 1..)?))),
            None => (text, None),
        };
        is_date(date).then_some(())?;
        // The digits that stay are those that came: formatting them anew would cost more than all else here.
        let (kept, rest) = match self {
            Period::Hour | Period::Day => (date, ""),
            Period::Month => (date.get(..7)?, "-01"),
            Period::Year => (date.get(..4)?, "-01-01"),
            Period::Decade => (date.get(..3)?, "0-01-01"),
        };
        out.push_str(kept);
        out.push_str(rest);
        if let Some((separator, time)) = time {
            let (clock, zone) = match time.find(['Z', '+', '-']) {
                Some(at) => (time.get(..at)?, time.get(at..)?),
                None => (time, ""),
            };
            let hour = hour_of(clock)?;
            is_zone(zone).then_some(())?;
            let hour = if self == Period::Hour { hour } else { "00" };
            [separator, hour, ":00:00", zone].iter().for_each(|part| out.push_str(part));
        }
        Some(())
    }
}

/// Year and month of a day since 1970, in the proleptic Gregorian calendar. Years begin in March here, so that the day
/// that leap years add is their last.
fn civil(day: i64) -> (i64, i64) {
    let from_march_0000 = day + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let of_era = from_march_0000.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month)
}

/// The first day of a month, since 1970.
fn first_of(year: i64, month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let of_year = (153 * month_from_march + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn number(text: &str, width: usize, most: u32) -> Option<u32> {
    let right = text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| right && *number <= most)
}

/// Nothing, `Z`, `+03`, `-0330`, `+03:30`, `+01:12:12`. It leaves as it came, so nothing else may stand there.
fn is_zone(zone: &str) -> bool {
    let Some(offset) = zone.strip_prefix(['+', '-']) else { return matches!(zone, "" | "Z") };
    if offset.len() == 4 {
        return number(offset, 4, 1859).is_some_and(|offset| offset % 100 < 60);
    }
    let mut parts = offset.splitn(3, ':');
    parts.next().is_some_and(|hours| number(hours, 2, 18).is_some()) && parts.all(|part| number(part, 2, 59).is_some())
}

/// `2026-11-02`
fn is_date(text: &str) -> bool {
    let part = |from, to, most| text.get(from..to).and_then(|part| number(part, to - from, most));
    let dashes = text.as_bytes().get(4) == Some(&b'-') && text.as_bytes().get(7) == Some(&b'-');
    let (month, day) = (part(5, 7, 12), part(8, 10, 31));
    text.len() == 10 && dashes && part(0, 4, 9999).is_some() && month > Some(0) && day > Some(0)
}

/// Of `10`, `10:11`, `10:11:12`, `10:11:12.123456`.
fn hour_of(clock: &str) -> Option<&str> {
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut parts = clock.splitn(3, ':');
    let hour = parts.next()?;
    number(hour, 2, 24)?;
    parts.all(|part| number(part, 2, 60).is_some()).then_some(hour)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(step: &str) -> Generalize {
        Generalize::Step(Decimal::parse(step).unwrap())
    }

    fn number_of(rule: &Generalize, value: &str) -> Option<String> {
        let mut out = String::new();
        rule.number(value, &mut out).map(|()| out)
    }

    fn text_of(rule: &Generalize, value: &str) -> Option<String> {
        let mut out = String::new();
        rule.text(value, &mut out).map(|()| out)
    }

    #[test]
    fn numbers_go_down_to_a_multiple() {
        for (by, value, want) in [
            ("10", "37", "30"),
            ("10", "-37", "-40"),
            ("10", "-40", "-40"),
            ("10", "0", "0"),
            ("10", "9.99", "0"),
            ("10", "3.7e1", "30"),
            ("10", "37E+2", "3700"),
            ("1000", "123456.78", "123000"),
            ("0.5", "37.74", "37.5"),
            ("0.25", "-0.1", "-0.25"),
            ("0.10", "1.19", "1.10"),
            ("1e3", "1999", "1000"),
            ("7", "99999999999999999999999999999999999999", "99999999999999999999999999999999999998"),
        ] {
            assert_eq!(number_of(&step(by), value).as_deref(), Some(want), "{by} {value}");
            assert_eq!(text_of(&step(by), &format!(" {value} ")).as_deref(), Some(want), "{by} {value}");
        }
        for value in ["", "-", "1.", ".5", "1e", "NaN", "Infinity", "0x1", "1 2", "AeI=", "1e99", "1e-99"] {
            assert_eq!(text_of(&step("10"), value), None, "{value}");
        }
        assert_eq!(number_of(&step("10"), &"9".repeat(60)), None);
    }

    #[test]
    fn periods_stand_in_the_order_of_their_names() {
        use Period::*;
        let names = [Hour, Day, Month, Year, Decade].map(|period| Generalize::To(period, None).to_string());
        assert_eq!(names, PERIODS.iter().map(|name| format!("to the {name}")).collect::<Vec<_>>()[..]);
        assert_eq!(step("0.50").to_string(), "multiples of 0.50");
    }

    #[test]
    fn decimals_compare_by_value() {
        let decimal = |text: &str| Decimal::parse(text).unwrap();
        for (small, large) in [
            ("1", "1.01"),
            ("-2", "1"),
            ("9e37", "99999999999999999999999999999999999999"),
            ("0.00000000000000000000000000000000000001", "9e30"),
            ("-9e30", "0.00000000000000000000000000000000000001"),
        ] {
            assert!(decimal(small) < decimal(large), "{small} {large}");
        }
        assert_eq!(decimal("1.50").cmp(&decimal("15e-1")), std::cmp::Ordering::Equal);
    }

    /// Days as `date -u -d … +%s` divided by 86,400 gives them.
    #[test]
    fn times_go_down_to_the_start_of_their_period() {
        use Period::*;
        let to = |period, unit| Generalize::To(period, Some(unit));
        for (period, unit, value, want) in [
            (Month, Unit::Days, "20759", "20758"),  // 2026-11-02 → 11-01
            (Year, Unit::Days, "20759", "20454"),   // → 2026-01-01
            (Decade, Unit::Days, "20759", "18262"), // → 2020-01-01
            (Day, Unit::Days, "20759", "20759"),
            (Hour, Unit::Days, "20759", "20759"),
            (Year, Unit::Days, "-56271", "-56613"), // 1815-12-09 → 1815-01-01
            (Month, Unit::Days, "19782", "19754"),  // 2024-02-29 → 02-01
            (Year, Unit::Days, "0", "0"),
            (Year, Unit::Days, "-1", "-365"),
            (Day, Unit::Millis, "1793613600123", "1793577600000"),
            (Hour, Unit::Micros, "1793616072123456", "1793613600000000"),
            (Month, Unit::Seconds, "-1", "-2678400"),
            (Day, Unit::Nanos, "-1", "-86400000000000"),
        ] {
            assert_eq!(number_of(&to(period, unit), value).as_deref(), Some(want), "{period:?} {unit:?} {value}");
        }
        assert_eq!(number_of(&Generalize::To(Year, None), "20759"), None, "what it counts is not known");
        assert_eq!(number_of(&to(Year, Unit::Days), "1.5"), None);
        for value in ["9223372036854775807", "-9223372036854775808"] {
            number_of(&to(Year, Unit::Days), value); // whatever comes of it, no overflow
        }
    }

    #[test]
    fn every_day_of_four_centuries() {
        let mut expected = (1970, 1);
        let mut length = 31;
        let mut of_month = 0;
        for day in 0..146_097 {
            if of_month == length {
                of_month = 0;
                expected = if expected.1 == 12 { (expected.0 + 1, 1) } else { (expected.0, expected.1 + 1) };
                let leap = expected.0 % 4 == 0 && (expected.0 % 100 != 0 || expected.0 % 400 == 0);
                length = match expected.1 {
                    2 => 28 + i64::from(leap),
                    4 | 6 | 9 | 11 => 30,
                    _ => 31,
                };
            }
            assert_eq!(civil(day), expected);
            assert_eq!(first_of(expected.0, expected.1), day - of_month);
            of_month += 1;
        }
    }

    #[test]
    fn written_times() {
        use Period::*;
        for (period, value, want) in [
            (Month, "2026-11-02", Some("2026-11-01")),
            (Year, "2026-11-02T10:11:12.123456Z", Some("2026-01-01T00:00:00Z")),
            (Hour, "2026-11-02T10:11:12Z", Some("2026-11-02T10:00:00Z")),
            (Day, "2026-11-02 10:11:12+03:00", Some("2026-11-02 00:00:00+03:00")),
            (Decade, "1987-06-05T04:03", Some("1980-01-01T00:00:00")),
            (Hour, "2026-11-02", Some("2026-11-02")),
            (Year, "2026-13-02", None),
            (Year, "2026-1-02", None),
            (Year, "+12026-01-02", None),
            (Year, "Ivan", None),
            (Year, "2026-11-02T", None),
            (Year, "2026-11-02Tten", None),
            (Year, "2026-11-02T10:11:12.Z", None),
            (Year, "2026-11-02T10:11:12 Ivan", None),
            (Year, "2026-11-02T10:11:12+0123456789", None),
            (Year, "2026-11-02 10:11:12+03", Some("2026-01-01 00:00:00+03")),
            (Year, "2026-11-02 10:11:12-0330", Some("2026-01-01 00:00:00-0330")),
            (Year, "2026-11-02 10:11:12+01:12:12", Some("2026-01-01 00:00:00+01:12:12")),
            // Eight digits of somebody, and no zone.
            (Year, "2026-11-02T10:11:12Z12345678", None),
            (Year, "2026-11-02T10:11:12-12345678", None),
            (Year, "2026-11-02T10:11:12+19:00", None),
            (Year, "2026-11-02T10:11:12+03:30:12:1", None),
            (Year, "2026-11-02T10:11:12+0360", None),
            (Year, "2026-11-02T10:11:12+", None),
            (Year, "", None),
        ] {
            assert_eq!(text_of(&Generalize::To(period, None), value).as_deref(), want, "{period:?} {value}");
        }
    }
}
