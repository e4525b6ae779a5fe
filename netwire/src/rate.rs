//! `--rate`: how much a pod may receive and send, each way.

mod shape;

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

pub(crate) use shape::{interfaces, limit, limited, repair, steps, unlimit};

/// Bits per second of a veth, as its driver tells ethtool(8): no more can be asked of it.
const LINK: u64 = 10_000_000_000;
/// By default, what passes in a twentieth of a second may come at once …
const BURST_PER_SECOND: u64 = 20;
/// … and so many bytes: at less than a few packets, TCP stumbles.
const BURST_LEAST: u32 = 8 << 10;

/// As much in a second, and so much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Bytes per second.
    bytes: u64,
    /// Bytes; None: as many as the rate asks for.
    burst: Option<u32>,
}

impl Rate {
    /// Bytes that may come at once, on a link with this MTU.
    fn burst(self, mtu: u32) -> u32 {
        let usual = u32::try_from(self.bytes / BURST_PER_SECOND).unwrap_or(u32::MAX);
        self.burst
            .unwrap_or(usual.max(BURST_LEAST).max(packet(mtu)))
    }

    /// Why it cannot be on a link with this MTU.
    pub(crate) fn refuses(self, mtu: u32) -> Option<String> {
        let burst = self.burst.filter(|&burst| burst < packet(mtu))?;
        Some(format!(
            "--rate {self}: a burst of {burst} bytes is less than one packet ({})",
            packet(mtu)
        ))
    }

    /// As `bandwidth` in the arguments of a CNI plugin: bits, and both ways.
    pub(crate) fn to_json(self) -> Value {
        let rate = self.bytes * 8;
        let mut object = json!({"ingressRate": rate, "egressRate": rate});
        if let Some(burst) = self.burst {
            let burst = u64::from(burst) * 8;
            object["ingressBurst"] = burst.into();
            object["egressBurst"] = burst.into();
        }
        object
    }

    pub(crate) fn from_json(value: &Value) -> Result<Self, String> {
        let bad = || format!("bandwidth: {value} is no rate of both directions");
        let rate = value.get("ingressRate").and_then(Value::as_u64);
        let burst = value.get("ingressBurst").map(|burst| {
            let bytes = burst.as_u64().map(|bits| bits / 8);
            bytes
                .and_then(|bytes| u32::try_from(bytes).ok())
                .ok_or_else(bad)
        });
        let found = Self {
            bytes: rate.ok_or_else(bad)? / 8,
            burst: burst.transpose()?,
        };
        let fits = found.bytes > 0 && found.bytes <= LINK / 8 && found.to_json() == *value;
        fits.then_some(found).ok_or_else(bad)
    }
}

/// The longest packet, with the header of Ethernet and a VLAN's tag.
fn packet(mtu: u32) -> u32 {
    mtu.saturating_add(18)
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (rate, burst) = match text.split_once(':') {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (text, None),
        };
        let bits = quantity(rate, &RATES)
            .ok_or_else(|| format!("{rate:?} is no rate (as 10mbit, 1.5gbit or 500kbps)"))?;
        if bits < 8.0 {
            return Err(format!("{rate:?}: nothing would pass"));
        }
        if bits > LINK as f64 {
            return Err(format!("{rate:?} is above the link, which has 10gbit"));
        }
        let burst = burst.map(|burst| {
            let bytes = quantity(burst, &SIZES).filter(|&bytes| bytes <= f64::from(u32::MAX));
            // whole bytes; a fraction of one is none
            bytes
                .map(|bytes| bytes as u32)
                .ok_or_else(|| format!("{burst:?} is no burst (bytes, as 15000, 64k or 1m)"))
        });
        Ok(Self {
            bytes: (bits / 8.0) as u64,
            burst: burst.transpose()?,
        })
    }
}

/// In bits per second, as tc(8) has them: `bit` and its kin count bits, `bps` and its kin bytes.
const RATES: [(&str, f64); 11] = [
    ("", 1.0),
    ("bit", 1.0),
    ("kbit", 1e3),
    ("mbit", 1e6),
    ("gbit", 1e9),
    ("kibit", 1024.0),
    ("mibit", 1048576.0),
    ("gibit", 1073741824.0),
    ("bps", 8.0),
    ("kbps", 8e3),
    ("mbps", 8e6),
];

/// In bytes, as tc(8) has them.
const SIZES: [(&str, f64); 8] = [
    ("", 1.0),
    ("b", 1.0),
    ("k", 1024.0),
    ("kb", 1024.0),
    ("m", 1048576.0),
    ("mb", 1048576.0),
    ("kbit", 128.0),
    ("mbit", 131072.0),
];

fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = unit.to_ascii_lowercase();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let number: f64 = digits.parse().ok()?;
    Some(number * factor)
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bytes * 8;
        let units = [
            (1_000_000_000, "gbit"),
            (1_000_000, "mbit"),
            (1_000, "kbit"),
        ];
        match units.iter().find(|(size, _)| bits.is_multiple_of(*size)) {
            Some((size, unit)) => write!(f, "{}{unit}", bits / size)?,
            None => write!(f, "{bits}bit")?,
        }
        self.burst.map_or(Ok(()), |burst| write!(f, ":{burst}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_tc() {
        for (text, bytes, burst, shown) in [
            ("10mbit", 1_250_000, None, "10mbit"),
            ("10Mbit:64k", 1_250_000, Some(65536), "10mbit:65536"),
            ("1.5gbit", 187_500_000, None, "1500mbit"),
            ("800", 100, None, "800bit"),
            ("1kibit", 128, None, "1024bit"),
            ("500kbps:1m", 500_000, Some(1 << 20), "4mbit:1048576"),
            ("10gbit", 1_250_000_000, None, "10gbit"),
            ("8bit:15000b", 1, Some(15000), "8bit:15000"),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.bytes, rate.burst), (bytes, burst), "{text}");
            assert_eq!(rate.to_string(), shown);
            assert_eq!(shown.parse(), Ok(rate));
            assert_eq!(Rate::from_json(&rate.to_json()), Ok(rate));
        }
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, why) in [
            ("0", "\"0\": nothing would pass"),
            ("0mbit", "\"0mbit\": nothing would pass"),
            ("7", "\"7\": nothing would pass"),
            ("11gbit", "\"11gbit\" is above the link, which has 10gbit"),
            (
                "fast",
                "\"fast\" is no rate (as 10mbit, 1.5gbit or 500kbps)",
            ),
            (
                "-1mbit",
                "\"-1mbit\" is no rate (as 10mbit, 1.5gbit or 500kbps)",
            ),
            ("10mbit:", "\"\" is no burst (bytes, as 15000, 64k or 1m)"),
            (
                "10mbit:5g",
                "\"5g\" is no burst (bytes, as 15000, 64k or 1m)",
            ),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap_err(), why);
        }
    }

    #[test]
    fn a_burst_holds_a_packet() {
        let rate = |text: &str| text.parse::<Rate>().unwrap();
        assert_eq!(rate("10mbit").burst(1500), 62500);
        assert_eq!(rate("8bit").burst(1500), 8 << 10);
        assert_eq!(rate("8bit").burst(65535), 65553);
        assert_eq!(rate("10mbit").refuses(65535), None);
        assert_eq!(rate("10mbit:1518").refuses(1500), None);
        assert_eq!(
            rate("10mbit:1k").refuses(1500).unwrap(),
            "--rate 10mbit:1024: a burst of 1024 bytes is less than one packet (1518)"
        );
    }

    #[test]
    fn a_tampered_one_is_refused() {
        for text in [
            "7",
            "{}",
            r#"{"ingressRate":80}"#,
            r#"{"ingressRate":80,"egressRate":88}"#,
            r#"{"ingressRate":0,"egressRate":0}"#,
            r#"{"ingressRate":80000000008,"egressRate":80000000008}"#,
            r#"{"ingressRate":80,"egressRate":80,"ingressBurst":"x","egressBurst":"x"}"#,
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert!(Rate::from_json(&value).is_err(), "{text}");
        }
    }
}
