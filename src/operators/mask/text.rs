//! Rules that show a part of a text.

use super::transform::{IpPrefix, Partial};
use crate::record::json;
use std::net::IpAddr;

/// "Ivan Ivanov" → "IvanI."; one word becomes its first character and a full stop, because a whole name must not
/// leave; blanks become empty. Words end at Unicode whitespace.
pub(super) fn truncate(text: &str, out: &mut Vec<u8>) {
    let mut words = text.split_whitespace();
    let initial = |word: &'_ str| word.chars().next().map_or(0, char::len_utf8);
    let (name, cut) = match (words.next(), words.next()) {
        (None, _) => ("", ""),
        (Some(only), None) => ("", only.get(..initial(only)).unwrap_or_default()),
        (Some(first), Some(second)) => (first, second.get(..initial(second)).unwrap_or_default()),
    };
    json::escape(name, out);
    if !cut.is_empty() {
        json::escape(cut, out);
        out.push(b'.');
    }
}

/// Shows the ends, if that is at most half of the text; else nothing.
pub(super) fn partial(text: &str, config: &Partial, out: &mut Vec<u8>) {
    let length = text.chars().count();
    let (first, last) = match config.keep_first + config.keep_last {
        shown if shown * 2 <= length => (config.keep_first, config.keep_last),
        _ => (0, 0),
    };
    let at = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    json::escape(text.get(..at(first)).unwrap_or_default(), out);
    for _ in first..length - last {
        json::escape(&config.with, out);
    }
    json::escape(text.get(at(length - last)..).unwrap_or_default(), out);
}

/// What follows the last @, in lower case. Empty where that is not made of letters, digits, `-` and single dots: of
/// "@home, call 555" nothing must leave.
pub(super) fn email_domain(text: &str, out: &mut Vec<u8>) {
    let domain = text.trim().rsplit_once('@').map_or("", |(_, domain)| domain);
    let label = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    if domain.len() <= 253 && domain.contains('.') && domain.split('.').all(label) {
        json::escape(&domain.to_lowercase(), out);
    }
}

/// None where it is no address. What Postgres prints of `inet` may end in a length, which says nothing of the host.
pub(super) fn ip_prefix(text: &str, config: IpPrefix) -> Option<IpAddr> {
    let address = text.trim();
    let address = match address.split_once('/') {
        Some((address, length)) if length.parse::<u8>().is_ok_and(|length| length <= 128) => address,
        Some(_) => return None,
        None => address,
    };
    let mask = |bits: u8, of: u32| u128::MAX.checked_shl(of - u32::from(bits)).unwrap_or(0);
    match address.parse().ok()? {
        IpAddr::V4(v4) => Some(IpAddr::V4((u32::from(v4) & mask(config.v4.min(32), 32) as u32).into())),
        // An IPv4 address in IPv6's clothes would keep its last byte under any prefix beyond 96.
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => Some(IpAddr::V4((u32::from(v4) & mask(config.v4.min(32), 32) as u32).into())),
            None => Some(IpAddr::V6((u128::from(v6) & mask(config.v6.min(128), 128)).into())),
        },
    }
}

/// As RFC 5952 has it.
pub(super) fn write_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            for (at, octet) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(v6) => write_v6(v6.segments(), out),
    }
}

/// The longest run of zeros, of two or more, is left out; the first of equals.
fn write_v6(segments: [u16; 8], out: &mut Vec<u8>) {
    let (mut gap, mut run) = (0..0, 0..0);
    for (at, segment) in segments.into_iter().enumerate() {
        run = if segment != 0 { at + 1..at + 1 } else { run.start..at + 1 };
        if run.len() > gap.len() && run.len() > 1 {
            gap = run.clone();
        }
    }
    for (at, segment) in segments.into_iter().enumerate() {
        if gap.contains(&at) {
            if at == gap.start {
                out.extend_from_slice(b"::");
            }
            continue;
        }
        let behind_gap = !gap.is_empty() && at == gap.end;
        if at > 0 && !behind_gap {
            out.push(b':');
        }
        let digits = [segment >> 12, segment >> 8 & 15, segment >> 4 & 15, segment & 15];
        let first = digits.iter().position(|digit| *digit != 0).unwrap_or(3);
        out.extend(
            digits
                .into_iter()
                .skip(first)
                .map(|digit| b"0123456789abcdef".get(usize::from(digit)).copied().unwrap_or(b'0')),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn partial_never_shows_more_than_half() {
        let config = |keep_first, keep_last| Partial { keep_first, keep_last, with: "*".into() };
        for (text, first, last, want) in [
            ("4111111111111234", 0, 4, "************1234"),
            ("+7 911 0007919", 2, 2, "+7**********19"),
            ("12345678", 0, 4, "****5678"),
            ("1234567", 0, 4, "*******"),
            ("abc", 1, 0, "a**"),
            ("a", 1, 0, "*"),
            ("", 0, 4, ""),
            ("абвгд", 1, 1, "а***д"),
            ("\"\\xyzw", 1, 1, "\\\"****w"),
            ("abcd", 0, 0, "****"),
        ] {
            assert_eq!(written(|out| partial(text, &config(first, last), out)), want, "{text}");
        }
        let with = Partial { with: "\"x".into(), ..config(0, 1) };
        assert_eq!(written(|out| partial("abc", &with, out)), "\\\"x\\\"xc");
    }

    #[test]
    fn only_domains_leave() {
        for (text, want) in [
            ("ivan@example.com", "example.com"),
            (" Ivan@Example.COM ", "example.com"),
            ("\"a@b\"@x-y.example", "x-y.example"),
            ("ivan@пример.рф", "пример.рф"),
            ("ivan", ""),
            ("ivan@", ""),
            ("@home, call 555", ""),
            ("ivan@localhost", ""),
            ("a@b..c", ""),
            ("a@.b", ""),
            ("a@b.", ""),
            ("a@b.c/d", ""),
            ("", ""),
        ] {
            assert_eq!(written(|out| email_domain(text, out)), want, "{text}");
        }
    }

    #[test]
    fn addresses_lose_their_last_bits() {
        let config = IpPrefix { v4: 24, v6: 48 };
        for (text, want) in [
            ("203.0.113.77", Some("203.0.113.0")),
            (" 203.0.113.77/32", Some("203.0.113.0")),
            ("2001:db8:1234:5678::9/64", Some("2001:db8:1234::")),
            ("::ffff:203.0.113.77", Some("203.0.113.0")),
            ("203.0.113", None),
            ("203.0.113.077", None),
            ("203.0.113.7/x", None),
            ("ivan", None),
            ("", None),
        ] {
            assert_eq!(ip_prefix(text, config).map(|ip| ip.to_string()).as_deref(), want, "{text}");
        }
        let all = |v4, v6, text| ip_prefix(text, IpPrefix { v4, v6 }).unwrap().to_string();
        assert_eq!((all(0, 0, "1.2.3.4"), all(32, 0, "1.2.3.4")), ("0.0.0.0".into(), "1.2.3.4".into()));
        assert_eq!(
            (all(0, 0, "1::2"), all(0, 128, "1::2"), all(9, 99, "255.255.0.1")),
            ("::".into(), "1::2".into(), "255.128.0.0".into())
        );
    }

    /// The standard library's own form is the judge.
    #[test]
    fn addresses_are_written_as_everybody_writes_them() {
        for bits in 0u32..1 << 8 {
            let mut segments = [0u16; 8];
            for (at, segment) in segments.iter_mut().enumerate() {
                *segment = if bits >> at & 1 == 1 { [1, 0x20, 0x300, 0xabcd][at % 4] } else { 0 };
            }
            let v6 = std::net::Ipv6Addr::from(segments);
            // What is mapped is written as IPv4 there, and never comes here.
            if v6.to_ipv4_mapped().is_none() {
                assert_eq!(written(|out| write_address(IpAddr::V6(v6), out)), v6.to_string());
            }
        }
        for text in ["0.0.0.0", "255.10.9.1"] {
            assert_eq!(written(|out| write_address(text.parse().unwrap(), out)), text);
        }
    }
}
