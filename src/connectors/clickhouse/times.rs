//! Dates and times from their ISO form, exactly.

/// Seconds since 1970 in UTC, and the digits behind the second.
pub struct Moment<'a> {
    pub seconds: i64,
    pub fraction: &'a str,
}

/// Days since 1970 of `YYYY-MM-DD`.
pub fn date(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(&text[..4])?, digits(&text[5..7])?, digits(&text[8..])?);
    (1..=12).contains(&month).then_some(())?;
    (1..=days_in(year, month)).contains(&day).then_some(())?;
    Some(days(year, month, day))
}

/// `YYYY-MM-DDTHH:MM:SS[.f][Z|±HH[:MM]]`, a blank for the T; UTC where no zone is given.
pub fn moment(text: &str) -> Option<Moment<'_>> {
    if !text.is_ascii() || text.len() < 19 || !matches!(text.as_bytes()[10], b'T' | b' ') {
        return None;
    }
    let day = date(&text[..10])?;
    let clock = &text[11..19];
    if clock.as_bytes()[2] != b':' || clock.as_bytes()[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (digits(&clock[..2])?, digits(&clock[3..5])?, digits(&clock[6..])?);
    (hour < 24 && minute < 60 && second < 60).then_some(())?;
    let rest = &text[19..];
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        None => ("", rest),
    };
    if rest.starts_with('.') && fraction.is_empty() {
        return None;
    }
    let seconds = day * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    Some(Moment { seconds, fraction })
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first() {
        None => return Some(0),
        Some(b'Z' | b'z') if zone.len() == 1 => return Some(0),
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return None,
    };
    let (hours, minutes) = match zone.len() {
        3 => (&zone[1..3], "00"),
        5 => (&zone[1..3], &zone[3..5]),
        6 if zone.as_bytes()[3] == b':' => (&zone[1..3], &zone[4..6]),
        _ => return None,
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 in the Gregorian calendar; years that begin in March make leap days the last of theirs.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The ticks of a fraction, `scale` digits; None where a digit other than zero would be lost.
pub fn ticks(fraction: &str, scale: u32) -> Option<i64> {
    let scale = scale as usize;
    let (kept, lost) = fraction.split_at(fraction.len().min(scale));
    lost.bytes().all(|b| b == b'0').then_some(())?;
    let value = if kept.is_empty() { 0 } else { kept.parse::<i64>().ok()? };
    Some(value * 10i64.pow((scale - kept.len()) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_agree_with_the_calendar() {
        for (text, want) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2000-02-29", Some(11_016)),
            ("2026-05-01", Some(20_574)),
            ("1900-01-01", Some(-25_567)),
            ("2299-12-31", Some(120_529)),
            ("1900-02-29", None),
            ("2026-13-01", None),
            ("2026-00-01", None),
            ("2026-04-31", None),
            ("2026-4-1", None),
            ("2026-04-0x", None),
        ] {
            assert_eq!(date(text), want, "{text}");
        }
        // Every day of eight centuries follows the one before it.
        let mut last = days(1600, 1, 1) - 1;
        for year in 1600..2400 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month) {
                    assert_eq!(days(year, month, day), last + 1);
                    last += 1;
                }
            }
        }
    }

    #[test]
    fn moments_in_every_form() {
        let at = |text: &str| moment(text).map(|m| (m.seconds, m.fraction.to_owned()));
        let day = 20_574 * 86_400;
        for (text, want) in [
            ("2026-05-01T10:00:00Z", Some((day + 36_000, ""))),
            ("2026-05-01 10:00:00.123456+02:00", Some((day + 28_800, "123456"))),
            ("2026-05-01T10:00:00.5-0330", Some((day + 48_600, "5"))),
            ("2026-05-01T10:00:00+02", Some((day + 28_800, ""))),
            ("2026-05-01T10:00:00", Some((day + 36_000, ""))),
            ("2026-05-01T24:00:00Z", None),
            ("2026-05-01T10:00:60Z", None),
            ("2026-05-01T10:00:00.Z", None),
            ("2026-05-01T10:00Z", None),
            ("2026-05-01T10:00:00 UTC", None),
            ("+292278994-08-16T23:00:00.000000Z", None),
            ("infinity", None),
        ] {
            assert_eq!(at(text), want.map(|(s, f)| (s, f.to_owned())), "{text}");
        }
        assert_eq!(ticks("123456", 6), Some(123_456));
        assert_eq!(ticks("12", 6), Some(120_000));
        assert_eq!(ticks("", 3), Some(0));
        assert_eq!(ticks("123000", 3), Some(123));
        assert_eq!(ticks("1234", 3), None);
        assert_eq!(ticks("0", 0), Some(0));
    }
}
