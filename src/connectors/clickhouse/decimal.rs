//! Numbers of any length, exactly.

/// A number as JSON or a database writes it: sign, digits, and how many of them stand behind the point.
pub struct Decimal {
    pub negative: bool,
    /// Without zeros in front; empty for zero.
    digits: Vec<u8>,
    /// Below zero where zeros follow.
    scale: i64,
}

/// Longer than any type holds, so that an exponent cannot ask for more memory.
const MOST_DIGITS: i64 = 100;

impl Decimal {
    /// `-12.50`, `1e3`; None for anything else.
    pub fn parse(text: &str) -> Option<Decimal> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').skip_while(|d| *d == 0).collect();
        Some(Decimal { negative, digits, scale: fraction.len() as i64 - i64::from(exponent) })
    }

    /// As a whole number of `10^-scale`; None where a digit would be lost or there are more than `most`.
    fn scaled(&self, scale: u32, most: u32) -> Option<Vec<u8>> {
        let mut digits = self.digits.clone();
        if digits.is_empty() {
            return Some(digits);
        }
        let more = i64::from(scale) - self.scale;
        if more >= 0 {
            (more <= MOST_DIGITS).then(|| digits.resize(digits.len() + more as usize, 0))?;
        } else {
            for _ in 0..-more {
                (digits.pop()? == 0).then_some(())?;
            }
        }
        (digits.len() <= most as usize).then_some(digits)
    }

    /// Little-endian two's complement of so many bytes, in units of `10^-scale`; None where it does not fit exactly.
    pub fn write(&self, bytes: usize, scale: u32, precision: u32, signed: bool, out: &mut Vec<u8>) -> Option<()> {
        let digits = self.scaled(scale, precision)?;
        let mut number = [0u8; 32];
        let number = &mut number[..bytes];
        for digit in digits {
            let mut carry = u32::from(digit);
            for byte in number.iter_mut() {
                let value = u32::from(*byte) * 10 + carry;
                *byte = value as u8;
                carry = value >> 8;
            }
            (carry == 0).then_some(())?;
        }
        let is_zero = number.iter().all(|byte| *byte == 0);
        if self.negative && !is_zero {
            signed.then_some(())?;
            let mut carry = true;
            for byte in number.iter_mut() {
                let (value, over) = (!*byte).overflowing_add(u8::from(carry));
                (*byte, carry) = (value, over);
            }
            // What was too large for the sign bit has turned positive.
            (number[bytes - 1] & 0x80 != 0).then_some(())?;
        } else if signed {
            (number[bytes - 1] & 0x80 == 0).then_some(())?;
        }
        out.extend_from_slice(number);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(text: &str, bytes: usize, scale: u32, precision: u32) -> Option<i128> {
        let mut out = Vec::new();
        Decimal::parse(text)?.write(bytes, scale, precision, true, &mut out)?;
        let fill = if out.last()? & 0x80 != 0 { 0xff } else { 0 };
        out.resize(16, fill);
        Some(i128::from_le_bytes(out.try_into().ok()?))
    }

    #[test]
    fn numbers_fit_exactly_or_not_at_all() {
        for (text, bytes, scale, precision, want) in [
            ("0", 1, 0, 3, Some(0)),
            ("-0", 1, 0, 3, Some(0)),
            ("127", 1, 0, 3, Some(127)),
            ("128", 1, 0, 3, None),
            ("-128", 1, 0, 3, Some(-128)),
            ("-129", 1, 0, 3, None),
            ("256", 1, 0, 3, None),
            ("12.50", 4, 2, 9, Some(1250)),
            ("12.5000", 4, 2, 9, Some(1250)),
            ("12.505", 4, 2, 9, None),
            ("1e3", 4, 0, 9, Some(1000)),
            ("1.5E-1", 4, 2, 9, Some(15)),
            ("1E400000000", 4, 0, 9, None),
            ("1E-400000000", 4, 0, 9, None),
            ("0E400000000", 4, 0, 9, Some(0)),
            ("9999999.99", 4, 2, 9, Some(999_999_999)),
            ("10000000.00", 4, 2, 9, None),
            ("-9223372036854775808", 8, 0, 19, Some(i128::from(i64::MIN))),
            ("170141183460469231731687303715884105727", 16, 0, 39, Some(i128::MAX)),
            ("170141183460469231731687303715884105728", 16, 0, 39, None),
        ] {
            assert_eq!(signed(text, bytes, scale, precision), want, "{text}");
        }
        for text in ["", ".", "-", "1e", "0x1", "1 ", "NaN", "1.2.3", "१"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
        let mut out = Vec::new();
        assert!(Decimal::parse("18446744073709551615").unwrap().write(8, 0, 20, false, &mut out).is_some());
        assert_eq!(out, u64::MAX.to_le_bytes());
        assert!(Decimal::parse("18446744073709551616").unwrap().write(8, 0, 20, false, &mut out).is_none());
        assert!(Decimal::parse("-1").unwrap().write(8, 0, 20, false, &mut out).is_none());
    }
}
