//! How the value of a limit is read: which texts make sense for which kind of key.

use crate::devices::Rules;
use crate::limits::{Device, RATES, Swap, Value, Weight};
use crate::units::{self, Amount};
use crate::vocabulary::Machine;

/// How the value of a key is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes, `max`, or percent of the machine's memory.
    Memory,
    /// Bytes or `max`.
    Bytes,
    Swap,
    SwapTotal,
    /// A number up to this, or `max`.
    Count(u64),
    /// A number up to this.
    Number(u64),
    CpuMax,
    Quota,
    Period,
    /// From, to; v2's scale.
    Weight,
    Shares,
    IoWeight,
    BlkioWeight,
    IoMax,
    /// One of io.max's rates, by its place in [`RATES`].
    Throttle(usize),
    /// Numbers and ranges: `0-3,7`.
    List,
    /// FROZEN or THAWED.
    FreezerState,
    /// Rules of devices.
    Devices,
    /// One of them, which allows or denies.
    DeviceRule(bool),
    Text,
}

/// Smallest quota and period, and the greatest period, the kernel takes; microseconds.
const CPU_MIN_US: u64 = 1000;
const CPU_MAX_PERIOD_US: u64 = 1_000_000;
const CPU_PERIOD_US: u64 = 100_000;

impl Kind {
    /// What an error says was expected.
    pub(crate) fn wanted(self) -> &'static str {
        match self {
            Self::Memory => "an amount of memory (512Mi, 1.5G, 50%, max)",
            Self::Bytes | Self::Swap | Self::SwapTotal => "an amount of bytes (512Mi, 1.5G, max)",
            Self::Count(_) => "a number in range, or max",
            Self::Number(1) => "0 or 1",
            Self::Number(200) => "a number from 0 to 200",
            Self::Number(_) => "a number",
            Self::CpuMax => {
                "cpus (0.5, 500m), max, or \"QUOTA PERIOD\" in microseconds, of at least 1 ms"
            }
            Self::Quota => "microseconds (1000 or more, or -1)",
            Self::Period => "microseconds (1000 to 1000000)",
            Self::Weight | Self::IoWeight => "a weight (1 to 10000)",
            Self::Shares => "shares (2 to 262144)",
            Self::BlkioWeight => "a weight (10 to 1000)",
            Self::IoMax => "\"MAJOR:MINOR rbps=N wbps=N riops=N wiops=N\"",
            Self::Throttle(_) => "\"MAJOR:MINOR N\"",
            Self::List => "a list of numbers (0-3,7)",
            Self::FreezerState => "FROZEN or THAWED",
            Self::Devices => "a list of rules (default, none, all, c 1:3 rwm, deny b 8:* w)",
            Self::DeviceRule(_) => "a rule of devices (a, c 1:3 rwm, b 8:* w)",
            Self::Text => "a value",
        }
    }
}

/// `text` as a value of `key`; None: it makes no sense.
pub(crate) fn read(kind: Kind, key: &str, text: &str, machine: &Machine) -> Option<Value> {
    let within =
        |range: std::ops::RangeInclusive<u64>| units::number(text).filter(|n| range.contains(n));
    // v1's files write -1 for no limit
    let is_v1_max = text == "-1" && (key.ends_with("_in_bytes") || key.ends_with("_us"));
    if is_v1_max && matches!(kind, Kind::Memory | Kind::Bytes) {
        return Some(Value::Amount(Amount::Max));
    }
    Some(match kind {
        Kind::Memory => Value::Amount(units::memory(text, machine.memory_total)?),
        Kind::Bytes => Value::Amount(units::bytes(text)?),
        Kind::Swap => Value::Swap(Swap::Beside(units::bytes(text)?)),
        Kind::SwapTotal if is_v1_max => Value::Swap(Swap::Total(Amount::Max)),
        Kind::SwapTotal => Value::Swap(Swap::Total(units::bytes(text)?)),
        Kind::Count(greatest) => {
            Value::Amount(units::count(text).filter(|&count| match count {
                Amount::Exactly(number) => number <= greatest,
                Amount::Max => true,
            })?)
        }
        Kind::Number(greatest) => Value::Amount(Amount::Exactly(within(0..=greatest)?)),
        Kind::CpuMax => cpu_max(text)?,
        Kind::Quota if is_v1_max => Value::CpuMax {
            quota: Some(Amount::Max),
            period: None,
        },
        Kind::Quota => Value::CpuMax {
            quota: Some(quota(text)?),
            period: None,
        },
        Kind::Period => Value::CpuMax {
            quota: None,
            period: Some(within(CPU_MIN_US..=CPU_MAX_PERIOD_US)?),
        },
        Kind::Weight => Value::Weight(Weight::V2(within(1..=10_000)?)),
        Kind::Shares => Value::Weight(Weight::V1(within(2..=262_144)?)),
        Kind::IoWeight => Value::IoWeight(Weight::V2(within(1..=10_000)?)),
        Kind::BlkioWeight => Value::IoWeight(Weight::V1(within(10..=1000)?)),
        Kind::IoMax => Value::Io(text.lines().map(device).collect::<Option<_>>()?),
        Kind::Throttle(rate) => Value::Io(vec![throttle(text, rate)?]),
        Kind::List => Value::Text(is_list(text).then(|| text.to_owned())?),
        Kind::FreezerState => Value::Amount(Amount::Exactly(match text {
            "FROZEN" => 1,
            "THAWED" => 0,
            _ => return None,
        })),
        Kind::Devices => Value::Devices(Rules::list(text)?),
        Kind::DeviceRule(allow) => Value::Devices(Rules::one(allow, text)?),
        // one write(2) is one line: a second line would be lost or a second command
        Kind::Text => Value::Text((!text.contains('\n')).then(|| text.to_owned())?),
    })
}

fn quota(text: &str) -> Option<Amount> {
    let amount = units::count(text)?;
    (amount >= Amount::Exactly(CPU_MIN_US)).then_some(amount)
}

/// `0.5`, `500m`, `max`, `50000 100000`; a whole number from 1000 on is a quota, as the kernel reads it.
fn cpu_max(text: &str) -> Option<Value> {
    if let Some((left, right)) = text.split_once([' ', '\t']) {
        let period = units::number(right.trim())
            .filter(|us| (CPU_MIN_US..=CPU_MAX_PERIOD_US).contains(us))?;
        return Some(Value::CpuMax {
            quota: Some(quota(left)?),
            period: Some(period),
        });
    }
    if let Some(quota) = quota(text) {
        return Some(Value::CpuMax {
            quota: Some(quota),
            period: None,
        });
    }
    let quota = units::millicpus(text)?.checked_mul(CPU_PERIOD_US / 1000)?;
    (quota >= CPU_MIN_US).then_some(Value::CpuMax {
        quota: Some(Amount::Exactly(quota)),
        period: Some(CPU_PERIOD_US),
    })
}

fn device_number(text: &str) -> Option<String> {
    let (major, minor) = text.split_once(':')?;
    Some(format!(
        "{}:{}",
        units::number(major)?,
        units::number(minor)?
    ))
}

/// `8:0 rbps=1M wiops=100`
fn device(line: &str) -> Option<Device> {
    let mut words = line.split_ascii_whitespace();
    let mut device = Device {
        number: device_number(words.next()?)?,
        rates: [None; 4],
    };
    for word in words {
        let (name, rate) = word.split_once('=')?;
        let place = RATES.iter().position(|rate| *rate == name)?;
        // nothing per second would be a device that cannot be used: the kernel refuses it
        device.rates[place] = Some(units::bytes(rate).filter(|&rate| rate > Amount::Exactly(0))?);
    }
    device.rates.iter().any(Option::is_some).then_some(device)
}

/// `8:0 1048576`; 0 is no limit on v1.
fn throttle(text: &str, rate: usize) -> Option<Device> {
    let (number, value) = text.split_once([' ', '\t'])?;
    let mut device = Device {
        number: device_number(number)?,
        rates: [None; 4],
    };
    let amount = units::bytes(value.trim())?;
    device.rates[rate] = Some(if amount == Amount::Exactly(0) {
        Amount::Max
    } else {
        amount
    });
    Some(device)
}

fn is_list(text: &str) -> bool {
    text.split(',').all(|item| match item.split_once('-') {
        None => units::number(item).is_some(),
        Some((first, last)) => match (units::number(first), units::number(last)) {
            (Some(first), Some(last)) => first <= last,
            _ => false,
        },
    })
}
