//! Limits as data: what was asked for, in one vocabulary, before any hierarchy is known.

use crate::devices::Rules;
use crate::units::Amount;

/// What one key is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// `memory.max`, `pids.max`, …
    Amount(Amount),
    /// `memory.swap.max` and `memory.memsw.limit_in_bytes`
    Swap(Swap),
    /// `cpu.max`; None: as it is.
    CpuMax {
        quota: Option<Amount>,
        period: Option<u64>,
    },
    /// `cpu.weight` and `cpu.shares`
    Weight(Weight),
    /// `io.weight` and `blkio.weight`
    IoWeight(Weight),
    /// `io.max` and `blkio.throttle.*`
    Io(Vec<Device>),
    /// `devices`, `devices.allow` and `devices.deny`
    Devices(Rules),
    /// Anything that is written as it stands: lists of cpus, files only one kernel has.
    Text(String),
}

/// A limit of swap, and what it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swap {
    /// v2: swap alone.
    Beside(Amount),
    /// v1 and OCI: memory and swap together.
    Total(Amount),
}

/// A share of what is contended, and on which scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// v1's scale: `cpu.shares` 2…262144, `blkio.weight` 10…1000.
    V1(u64),
    /// v2's scale: 1…10000.
    V2(u64),
}

/// Rates of one block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// `8:0`
    pub(crate) number: String,
    /// In the order of [`RATES`]; None: as it is.
    pub(crate) rates: [Option<Amount>; 4],
}

/// What a device's rates are called in `io.max`.
pub(crate) const RATES: [&str; 4] = ["rbps", "wbps", "riops", "wiops"];

impl std::fmt::Display for Device {
    /// As a line of `io.max`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.number)?;
        for (name, rate) in RATES.iter().zip(self.rates) {
            if let Some(rate) = rate {
                write!(f, " {name}={rate}")?;
            }
        }
        Ok(())
    }
}

/// What was asked for, in the order it was asked; each name once, v2's name where there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    list: Vec<(String, Value)>,
}

impl Limits {
    /// Sets `name`; the parts of a `cpu.max` and the devices of an `io.max` that are not named stay.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        match self.list.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => old.merge(value),
            None => self.list.push((name.to_owned(), value)),
        }
    }

    /// Lays `other` over these.
    pub(crate) fn extend(&mut self, other: Self) {
        for (name, value) in other.list {
            self.set(&name, value);
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.list
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.list.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// `memory.max`, which a limit of swap is counted with.
    pub(crate) fn memory_max(&self) -> Option<Amount> {
        match self.get("memory.max") {
            Some(Value::Amount(amount)) => Some(*amount),
            _ => None,
        }
    }

    /// As keys and values that read back as these limits.
    #[cfg(test)]
    pub(crate) fn spelt(&self) -> Vec<(String, String)> {
        self.iter()
            .flat_map(|(name, value)| value.spelt(name))
            .collect()
    }
}

impl Value {
    fn merge(&mut self, new: Self) {
        match (self, new) {
            (
                Self::CpuMax { quota, period },
                Self::CpuMax {
                    quota: new_quota,
                    period: new_period,
                },
            ) => {
                *quota = new_quota.or(*quota);
                *period = new_period.or(*period);
            }
            (Self::Io(devices), Self::Io(new)) => {
                for device in new {
                    match devices.iter_mut().find(|old| old.number == device.number) {
                        Some(old) => old.merge(&device),
                        None => devices.push(device),
                    }
                }
            }
            (Self::Devices(rules), Self::Devices(new)) => rules.extend(new.iter().copied()),
            (old, new) => *old = new,
        }
    }

    /// The key and text (two for a `cpu.max` of which only a part is given) that mean this value.
    pub(crate) fn spelt(&self, name: &str) -> Vec<(String, String)> {
        let one = |key: &str, text: String| vec![(key.to_owned(), text)];
        match self {
            Self::Amount(amount) => one(name, amount.to_string()),
            Self::Swap(Swap::Beside(amount)) => one(name, amount.to_string()),
            Self::Swap(Swap::Total(amount)) => {
                one("memory.memsw.limit_in_bytes", amount.to_string())
            }
            Self::CpuMax {
                quota: Some(quota),
                period: Some(period),
            } => one(name, format!("{quota} {period}")),
            Self::CpuMax { quota, period } => {
                let quota = quota.map(|quota| ("cpu.cfs_quota_us".to_owned(), quota.v1()));
                let period =
                    period.map(|period| ("cpu.cfs_period_us".to_owned(), period.to_string()));
                quota.into_iter().chain(period).collect()
            }
            Self::Weight(Weight::V1(shares)) => one("cpu.shares", shares.to_string()),
            Self::IoWeight(Weight::V1(weight)) => one("blkio.weight", weight.to_string()),
            Self::Weight(Weight::V2(weight)) | Self::IoWeight(Weight::V2(weight)) => {
                one(name, weight.to_string())
            }
            Self::Io(devices) => {
                let lines: Vec<String> = devices.iter().map(ToString::to_string).collect();
                one(name, lines.join("\n"))
            }
            Self::Devices(rules) => one(name, rules.spelt()),
            Self::Text(text) => one(name, text.clone()),
        }
    }
}

impl Device {
    fn merge(&mut self, new: &Self) {
        for (old, new) in self.rates.iter_mut().zip(new.rates) {
            *old = new.or(*old);
        }
    }
}

/// By what a weight of one version becomes one of the other.
pub(crate) fn formula(name: &str) -> Option<&'static str> {
    match name {
        "cpu.weight" => {
            Some("cpu.weight = ceil(10^((l^2 + 125 l)/612 - 7/34)), l = log2(cpu.shares)")
        }
        "io.weight" => Some("io.weight = 1 + (blkio.weight - 10) 9999/990"),
        _ => None,
    }
}

/// The `cpu.weight` of v2 for v1's `cpu.shares`, by the formula of today's OCI runtimes: 2 → 1, 1024 → 100, 262144 → 10000.
///
/// (The older linear one makes 39 of the default 1024.)
pub(crate) fn shares_to_weight(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    #[expect(clippy::cast_precision_loss, reason = "below 2^18")]
    let log = (shares as f64).log2();
    let weight = 10_f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0);
    // 1024 must be 100 and not, by a rounding error of the last bit, 101.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 10000"
    )]
    let weight = (weight - 1e-9).ceil() as u64;
    weight
}

/// The largest `cpu.shares` that [`shares_to_weight`] turns into `weight`: back and forth is the same weight.
pub(crate) fn weight_to_shares(weight: u64) -> u64 {
    let (mut low, mut high) = (2_u64, 262_144);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if shares_to_weight(middle) <= weight {
            low = middle
        } else {
            high = middle - 1
        }
    }
    low
}

/// v2's `io.weight` for v1's `blkio.weight`, the OCI runtimes' straight line 10…1000 → 1…10000.
pub(crate) fn blkio_to_io_weight(weight: u64) -> u64 {
    1 + (weight.clamp(10, 1000) - 10) * 9999 / 990
}

/// v1's `blkio.weight` for v2's `io.weight`: the same line, to the nearest.
pub(crate) fn io_to_blkio_weight(weight: u64) -> u64 {
    10 + ((weight.clamp(1, 10_000) - 1) * 990 + 4999) / 9999
}

#[cfg(test)]
mod tests {
    use super::*;
    use Amount::{Exactly, Max};

    #[test]
    fn the_default_share_is_the_default_weight() {
        assert_eq!(shares_to_weight(1024), 100);
        assert_eq!(weight_to_shares(100), 1024);
        assert_eq!(
            (shares_to_weight(2), shares_to_weight(262_144)),
            (1, 10_000)
        );
        assert_eq!(
            (weight_to_shares(1), weight_to_shares(10_000)),
            (2, 262_144)
        );
        // what runc and crun make of docker's --cpu-shares 512 and 2048
        assert_eq!((shares_to_weight(512), shares_to_weight(2048)), (59, 174));
    }

    #[test]
    fn every_weight_survives_the_way_to_shares_and_back() {
        for weight in 1..=10_000 {
            assert_eq!(shares_to_weight(weight_to_shares(weight)), weight);
        }
    }

    #[test]
    fn every_blkio_weight_survives_the_way_to_v2_and_back() {
        assert_eq!(
            (blkio_to_io_weight(10), blkio_to_io_weight(1000)),
            (1, 10_000)
        );
        for weight in 10..=1000 {
            assert_eq!(io_to_blkio_weight(blkio_to_io_weight(weight)), weight);
        }
    }

    #[test]
    fn parts_of_a_limit_are_laid_over_each_other() {
        let mut limits = Limits::default();
        limits.set(
            "cpu.max",
            Value::CpuMax {
                quota: Some(Exactly(5000)),
                period: Some(10_000),
            },
        );
        limits.set(
            "cpu.max",
            Value::CpuMax {
                quota: Some(Max),
                period: None,
            },
        );
        assert_eq!(
            limits.spelt(),
            [("cpu.max".to_owned(), "max 10000".to_owned())]
        );
        let device = |number: &str, rates| {
            Value::Io(vec![Device {
                number: number.into(),
                rates,
            }])
        };
        limits.set(
            "io.max",
            device("8:0", [Some(Exactly(1)), None, None, None]),
        );
        limits.set("io.max", device("8:16", [None, Some(Max), None, None]));
        limits.set(
            "io.max",
            device("8:0", [None, None, None, Some(Exactly(9))]),
        );
        assert_eq!(limits.spelt()[1].1, "8:0 rbps=1 wiops=9\n8:16 wbps=max");
        limits.set("pids.max", Value::Amount(Exactly(7)));
        limits.set("pids.max", Value::Amount(Exactly(8)));
        assert_eq!(limits.spelt().len(), 3);
        assert_eq!(limits.spelt()[2], ("pids.max".to_owned(), "8".to_owned()));
    }

    #[test]
    fn a_value_on_v1s_scale_is_spelt_with_v1s_key() {
        let mut limits = Limits::default();
        limits.set("cpu.weight", Value::Weight(Weight::V1(512)));
        limits.set("memory.swap.max", Value::Swap(Swap::Total(Max)));
        limits.set(
            "cpu.max",
            Value::CpuMax {
                quota: None,
                period: Some(50_000),
            },
        );
        let keys: Vec<String> = limits.spelt().into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            keys,
            [
                "cpu.shares",
                "memory.memsw.limit_in_bytes",
                "cpu.cfs_period_us"
            ]
        );
    }
}
