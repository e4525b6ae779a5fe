//! Kubernetes' quantities: `500m`, `0.5`, `128Mi`, `1G`, `1e3`.

/// A quantity in units of 1/`parts`, what is left of one counted as a whole. None: it is no quantity, negative, or too large.
///
/// M is 1 000 000 and Mi 1 048 576, m a thousandth.
pub(crate) fn parse(text: &str, parts: u128) -> Option<i64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = whole.len() + fraction.len();
    if digits == 0 || digits > 24 || fraction.contains('.') {
        return None;
    }
    let (up, down) = scale(suffix)?;
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let ten = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let value = digits.checked_mul(up)?.checked_mul(parts)?;
    i64::try_from(value.div_ceil(ten.checked_mul(down)?)).ok()
}

/// Numerator and denominator of a suffix.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    const THOUSANDS: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const SMALL: [&str; 3] = ["m", "u", "n"];
    let at = |list: &[&str]| list.iter().position(|name| *name == suffix);
    let power = |base: u128, at: usize| base.checked_pow(u32::try_from(at).ok()? + 1);
    if suffix.is_empty() {
        return Some((1, 1));
    }
    if let Some(at) = at(&THOUSANDS) {
        return Some((power(1000, at)?, 1));
    }
    if let Some(at) = at(&BINARY) {
        return Some((power(1024, at)?, 1));
    }
    if let Some(at) = at(&SMALL) {
        return Some((1, power(1000, at)?));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let ten = 10_u128.checked_pow(exponent.unsigned_abs())?;
    match exponent.abs() <= 18 {
        true if exponent < 0 => Some((1, ten)),
        true => Some((ten, 1)),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for (text, bytes) in [
            ("0", 0),
            ("200Mi", 209_715_200),
            ("1G", 1_000_000_000),
            ("1.5Gi", 1_610_612_736),
            ("128974848000m", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("1E3", 1000),
            ("1e-3", 1),
            (".5", 1),
            ("5.", 5),
            ("+7", 7),
        ] {
            assert_eq!(parse(text, 1), Some(bytes), "{text}");
        }
        for (text, milli) in [
            ("500m", 500),
            ("0.5", 500),
            ("2", 2000),
            ("0.0001", 1),
            ("100n", 1),
        ] {
            assert_eq!(parse(text, 1000), Some(milli), "{text}");
        }
        for bad in [
            "", ".", "-1", "1 Mi", "Mi", "1mi", "1KiB", "1.2.3", "1e", "1e99", "0x10", "1_000",
            "10Ei", "NaN", "inf", "++1", "1e+-1", "\u{661}",
        ] {
            assert_eq!(parse(bad, 1), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_more_is_never_less(text in ".{0,12}", a in 0_u32.., b in 0_u32.., unit in "(k|M|G|Ki|Mi|Gi|m|)") {
            let _ = parse(&text, 1000);
            let value = |number: u32| parse(&format!("{number}{unit}"), 1).unwrap();
            prop_assert!(value(a.min(b)) <= value(a.max(b)));
        }
    }
}
