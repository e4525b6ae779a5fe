//! Offsets of the clocks of a time namespace; time_namespaces(7).

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

/// Seconds and nanoseconds, the latter always forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset {
    secs: i64,
    nanosecs: u32,
}

/// Of the two clocks that can have one.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offsets {
    pub(crate) monotonic: Option<Offset>,
    pub(crate) boottime: Option<Offset>,
}

impl FromStr for Offset {
    type Err = String;

    /// Seconds, with up to nine digits behind the point.
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no number of seconds");
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let are_digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !are_digits(fraction) || fraction.len() > 9 {
            return Err(bad());
        }
        let secs: i64 = whole.parse().map_err(|_| bad())?;
        let nanosecs: u32 = format!("{fraction:0<9}").parse().map_err(|_| bad())?;
        Ok(match (is_negative, nanosecs) {
            (false, nanosecs) => Self { secs, nanosecs },
            (true, 0) => Self {
                secs: -secs,
                nanosecs: 0,
            },
            (true, nanosecs) => Self {
                secs: -secs - 1,
                nanosecs: 1_000_000_000 - nanosecs,
            },
        })
    }
}

impl Offset {
    /// None: not as the OCI runtime specification has it.
    fn from_json(value: &Value) -> Option<Self> {
        let number = |key: &str| value.get(key).map_or(Some(0), Value::as_i64);
        let nanosecs = u32::try_from(number("nanosecs")?).ok()?;
        (nanosecs < 1_000_000_000).then_some(Self {
            secs: number("secs")?,
            nanosecs,
        })
    }

    fn to_json(self) -> Value {
        json!({"secs": self.secs, "nanosecs": self.nanosecs})
    }
}

impl Offsets {
    /// Of `linux.timeOffsets`. None: not as the OCI runtime specification has it.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let clocks = value.as_object()?;
        let clock = |name: &str| match clocks.get(name) {
            None => Some(None),
            Some(offset) => Offset::from_json(offset).map(Some),
        };
        Some(Self {
            monotonic: clock("monotonic")?,
            boottime: clock("boottime")?,
        })
    }

    /// As `linux.timeOffsets`.
    pub(crate) fn to_json(self) -> Value {
        let mut clocks = json!({});
        for (name, offset) in self.each() {
            clocks[name] = offset.to_json();
        }
        clocks
    }

    /// These, else those of `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            monotonic: self.monotonic.or(other.monotonic),
            boottime: self.boottime.or(other.boottime),
        }
    }

    /// They are what the kernel says of process `pid`, as far as something is asked for.
    pub(crate) fn is_of(self, pid: i32) -> bool {
        if self.is_empty() {
            return true;
        }
        let text = std::fs::read_to_string(format!("/proc/{pid}/timens_offsets"));
        let text = text.unwrap_or_default();
        let lines: Vec<Vec<_>> = text
            .lines()
            .map(|line| line.split_ascii_whitespace().collect())
            .collect();
        self.each().all(|(name, offset)| {
            let line = [name, &offset.secs.to_string(), &offset.nanosecs.to_string()];
            lines.iter().any(|found| *found == line)
        })
    }

    /// Nothing is asked for.
    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }

    fn each(self) -> impl Iterator<Item = (&'static str, Offset)> {
        let monotonic = self.monotonic.map(|offset| ("monotonic", offset));
        let boottime = self.boottime.map(|offset| ("boottime", offset));
        monotonic.into_iter().chain(boottime)
    }
}

/// As /proc/PID/timens_offsets takes them.
impl fmt::Display for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, offset)) in self.each().enumerate() {
            let end = if place == 0 { "" } else { "\n" };
            write!(f, "{end}{name} {} {}", offset.secs, offset.nanosecs)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_a_fraction_and_a_sign() {
        let of = |text: &str| {
            text.parse::<Offset>()
                .map(|offset| (offset.secs, offset.nanosecs))
        };
        assert_eq!(of("86400"), Ok((86_400, 0)));
        assert_eq!(of("+1.5"), Ok((1, 500_000_000)));
        assert_eq!(of("-5"), Ok((-5, 0)));
        // -6 s and 0.75 s forward
        assert_eq!(of("-5.25"), Ok((-6, 750_000_000)));
        assert_eq!(of("0.000000001"), Ok((0, 1)));
        for bad in [
            "",
            "-",
            "x",
            "1.",
            ".5",
            "1.0000000001",
            "1e3",
            "--1",
            "99999999999999999999",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn offsets_are_written_for_the_kernel_and_for_oci() {
        let offsets = Offsets {
            monotonic: "1".parse().ok(),
            boottime: "-0.5".parse().ok(),
        };
        assert_eq!(offsets.to_string(), "monotonic 1 0\nboottime -1 500000000");
        assert_eq!(Offsets::from_json(&offsets.to_json()), Some(offsets));
        assert_eq!(
            Offsets::from_json(&json!({"boottime": {"secs": 7}}))
                .unwrap()
                .boottime,
            "7".parse().ok()
        );
        assert_eq!(
            Offsets::from_json(&json!({"boottime": {"nanosecs": 1_000_000_000}})),
            None
        );
        assert_eq!(Offsets::from_json(&json!([])), None);
        assert!(Offsets::default().is_empty());
    }
}
