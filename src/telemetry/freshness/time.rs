//! Times as others read them.

/// `2026-11-21T07:55:28.742637Z`: ISO 8601 in UTC, always with six digits of a second, so that texts are in the order of
/// their times.
pub fn iso8601(us: i64) -> String {
    const DAY: i64 = 86_400_000_000;
    let (year, month, day) = date(us.div_euclid(DAY));
    let rest = us.rem_euclid(DAY);
    let (seconds, us) = (rest / 1_000_000, rest % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{us:06}Z")
}

/// Year, month and day of a day counted from 1970. Years begin in March here, so that the leap day is a year's last.
fn date(day: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let from_march = day + 719_468;
    let (era, of_era) = (from_march.div_euclid(ERA), from_march.rem_euclid(ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * march + 2) / 5 + 1, if march < 10 { march + 3 } else { march - 9 });
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_date_writes_them() {
        for (us, want) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_795_247_728_742_637, "2026-11-21T07:55:28.742637Z"),
            (951_782_399_000_001, "2000-02-28T23:59:59.000001Z"),
            (951_868_800_000_000, "2000-03-01T00:00:00.000000Z"),
            (1_709_164_800_000_000, "2024-02-29T00:00:00.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(iso8601(us), want);
        }
        let times: Vec<_> = (0..20_000).map(|day| iso8601(day * 86_400_000_000 + day)).collect();
        assert!(times.is_sorted());
    }
}
