//! Times cut down to a period, judged by the calendar.

use highwater::operators::mask::{Period, Unit};

/// The start of a period is in it, at most a period before, and every number of the period has the same.
pub fn judge_number(number: &str, left: &str, period: Period, unit: Unit) {
    let (number, left): (i128, i128) = (number.parse().expect("whole"), left.parse().expect("whole"));
    let per_day: i128 = match unit {
        Unit::Days => 1,
        Unit::Seconds => 86_400,
        Unit::Millis => 86_400_000,
        Unit::Micros => 86_400_000_000,
        Unit::Nanos => 86_400_000_000_000,
    };
    assert!(left <= number);
    let day = number.div_euclid(per_day);
    if period == Period::Hour {
        if unit == Unit::Days {
            return assert_eq!(left, number);
        }
        assert!(left.rem_euclid(per_day / 24) == 0 && number - left < per_day / 24);
        return;
    }
    assert_eq!(left.rem_euclid(per_day), 0);
    let start = left / per_day;
    if period == Period::Day {
        return assert_eq!(start, day);
    }
    let (year, month, _) = date(day);
    let first = match period {
        Period::Month => (year, month, 1),
        Period::Year => (year, 1, 1),
        _ => (year - year.rem_euclid(10), 1, 1),
    };
    assert_eq!(date(start), first, "{number} → {left}");
}

/// Year, month and day of the month, after Fliegel and Van Flandern, on Julian day numbers.
fn date(days: i128) -> (i128, i128, i128) {
    // Whole cycles of 400 years away, so that all of it is above zero.
    const CYCLE: i128 = 146_097;
    let cycles = days.div_euclid(CYCLE);
    let julian = days.rem_euclid(CYCLE) + 2_440_588;
    let mut l = julian + 68_569;
    let n = 4 * l / CYCLE;
    l -= (CYCLE * n + 3) / 4;
    let i = 4000 * (l + 1) / 1_461_001;
    l = l - 1461 * i / 4 + 31;
    let j = 80 * l / 2447;
    let day = l - 2447 * j / 80;
    l = j / 11;
    (100 * (n - 49) + i + l + 400 * cycles, j + 2 - 12 * l, day)
}

/// What stays are the digits of the period; below it only zeros, or a first day and month, and the zone.
pub fn judge_text(text: &str, left: &str, period: Period) {
    let (kept, rest) = match period {
        Period::Hour | Period::Day => (10, ""),
        Period::Month => (7, "-01"),
        Period::Year => (4, "-01-01"),
        Period::Decade => (3, "0-01-01"),
    };
    let date = format!("{}{rest}", &text[..kept]);
    if text.len() == 10 {
        return assert_eq!(left, date);
    }
    let (separator, time) = (&text[10..11], &text[11..]);
    let zone = match time.find(['Z', '+', '-']) {
        Some(at) => &time[at..],
        None => "",
    };
    assert!(is_zone(zone), "{text} → {left}");
    let hour = if period == Period::Hour { &time[..2] } else { "00" };
    assert_eq!(left, format!("{date}{separator}{hour}:00:00{zone}"));
}

/// Nothing, `Z`, or hours with minutes and seconds where there are any: `+03`, `-03:30`, `+0330`, `+01:12:12`.
fn is_zone(zone: &str) -> bool {
    let digits = zone.strip_prefix(['+', '-']).map(|rest| rest.replace(':', ""));
    let is_number = |digits: &String| digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits {
        None => matches!(zone, "" | "Z"),
        Some(digits) => {
            let parts: Vec<u32> = digits
                .as_bytes()
                .chunks(2)
                .map(|two| std::str::from_utf8(two).unwrap().parse().unwrap_or(99))
                .collect();
            let most = [18, 59, 59];
            is_number(&digits)
                && digits.len() % 2 == 0
                && (1..=3).contains(&parts.len())
                && parts.iter().zip(most).all(|(part, most)| *part <= most)
        }
    }
}
