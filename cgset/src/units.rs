//! Amounts as people write them: `512Mi`, `1.5G`, `50%`, `max`, `0.5` and `500m` cpus.
//!
//! K, KB, Ki and KiB are all 1024 here, in capitals or not: so the kernel, docker and systemd read them.
//! (Kubernetes reads M as 1 000 000 and Mi as 1 048 576: write Mi, and everybody agrees.)

use std::fmt;

/// A limit: a number, or none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Amount {
    Exactly(u64),
    /// The kernel's `max`; greater than every number.
    Max,
}

impl fmt::Display for Amount {
    /// As cgroup v2 writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(number) => number.fmt(f),
            Self::Max => f.write_str("max"),
        }
    }
}

impl Amount {
    /// As v1's files in bytes and microseconds want it: -1 is no limit.
    pub(crate) fn v1(self) -> String {
        match self {
            Self::Exactly(number) => number.to_string(),
            Self::Max => "-1".to_owned(),
        }
    }

    pub(crate) fn to_json(self) -> serde_json::Value {
        match self {
            Self::Exactly(number) => number.into(),
            Self::Max => "max".into(),
        }
    }
}

/// Bytes: a number with an optional fraction and unit, or `max`. None: it is neither, or beyond 64 bits.
pub(crate) fn bytes(text: &str) -> Option<Amount> {
    if text == "max" {
        return Some(Amount::Max);
    }
    let digits = text.len()
        - text
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
            .len();
    let (number, unit) = text.split_at(digits);
    let exponent = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "ki" | "kib" => 1,
        "m" | "mb" | "mi" | "mib" => 2,
        "g" | "gb" | "gi" | "gib" => 3,
        "t" | "tb" | "ti" | "tib" => 4,
        "p" | "pb" | "pi" | "pib" => 5,
        "e" | "eb" | "ei" | "eib" => 6,
        _ => return None,
    };
    decimal(number, 1 << (10 * exponent)).map(Amount::Exactly)
}

/// Bytes, or a share of `total` in percent.
pub(crate) fn memory(text: &str, total: impl FnOnce() -> u64) -> Option<Amount> {
    let Some(percent) = text.strip_suffix('%') else {
        return bytes(text);
    };
    // of a machine whose memory is not known there is no share
    let total = Some(total()).filter(|&total| total > 0)?;
    // In hundredths of a byte first: the percentage may have a fraction.
    let share = decimal(percent, u128::from(total))? / 100;
    (share <= total).then_some(Amount::Exactly(share))
}

/// A plain number, or `max`.
pub(crate) fn count(text: &str) -> Option<Amount> {
    if text == "max" {
        Some(Amount::Max)
    } else {
        number(text).map(Amount::Exactly)
    }
}

/// A plain number: digits and nothing else (`+7`, which std would take, is none).
pub(crate) fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// Thousandths of a cpu: `0.5`, `2`, or `500m`.
pub(crate) fn millicpus(text: &str) -> Option<u64> {
    match text.strip_suffix('m') {
        Some(milli) => number(milli),
        None => decimal(text, 1000),
    }
}

/// `number` × `unit`, what is left of a unit cut off. Digits on at least one side of the point.
fn decimal(number: &str, unit: u128) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(fraction)
        || !whole.bytes().all(|byte| byte.is_ascii_digit())
        || whole.len() + fraction.len() == 0
    {
        return None;
    }
    let value = |text: &str| {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse::<u128>().ok()
        }
    };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let whole = value(whole)?.checked_mul(unit)?;
    let fraction = value(fraction)?.checked_mul(unit)? / scale;
    u64::try_from(whole.checked_add(fraction)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Amount::{Exactly, Max};

    #[test]
    fn bytes_are_read_as_the_kernel_and_docker_read_them() {
        let mi = 1 << 20;
        for (text, bytes_) in [
            ("10", 10),
            ("0", 0),
            ("10b", 10),
            ("10B", 10),
            ("1K", 1024),
            ("1k", 1024),
            ("1KB", 1024),
            ("1kb", 1024),
            ("1Ki", 1024),
            ("1KiB", 1024),
            ("512M", 512 * mi),
            ("512m", 512 * mi),
            ("512Mi", 512 * mi),
            ("512MB", 512 * mi),
            ("1.5G", 1536 * mi),
            (".5Mi", mi / 2),
            ("1.Mi", mi),
            ("1T", mi * mi),
            ("1Pi", mi * mi * 1024),
            ("1.0000001K", 1024),
            ("18446744073709551615", u64::MAX),
            ("15E", 15 << 60),
        ] {
            assert_eq!(bytes(text), Some(Exactly(bytes_)), "{text}");
        }
        assert_eq!(bytes("max"), Some(Max));
    }

    #[test]
    fn nonsense_is_no_amount() {
        for text in [
            "",
            " ",
            "-1",
            "+1",
            "1 M",
            "M",
            ".",
            ".M",
            "1.2.3",
            "12Q",
            "0x10",
            "1e3",
            "1Mib/s",
            "Max",
            "infinity",
            "18446744073709551616",
            "16E",
            "99999999999999999999999999999999999999999T",
            "1.0000000000000000000M",
            "٣",
            "1Mi\n",
        ] {
            assert_eq!(bytes(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_percentage_is_of_the_total() {
        assert_eq!(memory("50%", || 1000), Some(Exactly(500)));
        assert_eq!(memory("0.5%", || 1000), Some(Exactly(5)));
        assert_eq!(
            memory("100%", || u64::MAX / 100),
            Some(Exactly(u64::MAX / 100))
        );
        assert_eq!(memory("1Ki", || 1000), Some(Exactly(1024)));
        assert_eq!(memory("50%", || 0), None);
        for text in ["101%", "%", "-5%", "5 %", "max%", "5%%"] {
            assert_eq!(memory(text, || 1000), None, "{text}");
        }
    }

    #[test]
    fn cpus_are_whole_decimal_or_in_thousandths() {
        for (text, milli) in [
            ("0.5", 500),
            ("2", 2000),
            ("500m", 500),
            ("1.25", 1250),
            (".1", 100),
            ("0.0009", 0),
        ] {
            assert_eq!(millicpus(text), Some(milli), "{text}");
        }
        for text in ["", "m", "0.5m", "-1", "1c", "50%", "max"] {
            assert_eq!(millicpus(text), None, "{text}");
        }
    }

    #[test]
    fn counts_have_no_unit() {
        assert_eq!(count("100"), Some(Exactly(100)));
        assert_eq!(count("max"), Some(Max));
        for text in ["", "1K", "+1", "-1", "1.0"] {
            assert_eq!(count(text), None, "{text:?}");
        }
    }
}
