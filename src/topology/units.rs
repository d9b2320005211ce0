//! Durations and sizes as people write them.

use std::time::Duration;

/// `100ms`, `10s`, `5m`, `1h`. A number without a unit is refused: it is read differently everywhere.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" if !number.is_empty() => return Err(format!("a unit is missing: `{number}ms` or `{number}s`?")),
        _ => return Err("expected a duration such as `100ms`, `10s`, `5m` or `1h`".into()),
    };
    let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(per_unit));
    millis.map(Duration::from_millis).ok_or_else(|| "expected a duration such as `100ms` or `10s`".into())
}

/// `64MiB`, `1GiB`, `500MB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let per_unit: u64 = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "" if !number.is_empty() => return Err(format!("a unit is missing: `{number}MiB`?")),
        _ => return Err("expected a size such as `64MiB`, `500MB` or `1GiB`".into()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(per_unit));
    bytes.ok_or_else(|| "expected a size such as `64MiB`".into())
}

/// For messages, in the largest unit that fits.
pub fn show(duration: Duration) -> String {
    match duration.as_millis() {
        ms if ms % 1_000 != 0 || ms == 0 => format!("{ms}ms"),
        ms => format!("{}s", ms / 1_000),
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, want) in [("100ms", 100), ("10s", 10_000), ("5 m", 300_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(want)), "{text}");
        }
        for text in
            ["", "s", "10", "10 parsecs", "-1s", "1.5s", "99999999999999999999s", "9999999999999999999h", "1s 2ms"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(duration("10").unwrap_err(), "a unit is missing: `10ms` or `10s`?");
        assert_eq!([show(Duration::from_millis(100)), show(Duration::from_secs(90))], ["100ms", "90s"]);
    }

    #[test]
    fn sizes() {
        for (text, want) in [("64MiB", 64 << 20), ("1 GiB", 1 << 30), ("500MB", 500_000_000), ("8KiB", 8192)] {
            assert_eq!(size(text), Ok(want), "{text}");
        }
        for text in ["", "64", "64M", "MiB", "-1MiB", "99999999999999GiB", "64mib"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
