//! cgroup v1's files: what a limit is called there, how it is written, and what the kernel made of it.

#[cfg(test)]
mod tests;

use serde_json::Value as Json;

use crate::devices;
use crate::error::Error;
use crate::limits::{
    Device, Limits, RATES, Swap, Value, Weight, blkio_to_io_weight, io_to_blkio_weight,
    shares_to_weight, weight_to_shares,
};
use crate::units::{self, Amount};
use crate::version::{File, Read, scalar};

/// The controller that has `name`'s counterpart.
pub(crate) fn controller(name: &str) -> &str {
    match name.split_once('.') {
        _ if name == "cgroup.freeze" => "freezer",
        Some(("io", _)) => "blkio",
        Some((controller, _)) => controller,
        None => name,
    }
}

/// The files to write, in the order they must be written in.
pub(crate) fn files(name: &str, value: &Value, all: &Limits) -> Result<Vec<File>, Error> {
    let one = |file: &str, text: String| Ok(vec![File::new(file, text)]);
    match (name, value) {
        ("memory.max", Value::Amount(amount)) => one("memory.limit_in_bytes", amount.v1()),
        ("memory.low", Value::Amount(amount)) => one("memory.soft_limit_in_bytes", amount.v1()),
        (
            "memory.kmem.limit_in_bytes" | "memory.kmem.tcp.limit_in_bytes",
            Value::Amount(amount),
        ) => one(name, amount.v1()),
        (_, Value::Swap(swap)) => one(
            "memory.memsw.limit_in_bytes",
            memsw(*swap, all.memory_max())?.v1(),
        ),
        (_, Value::CpuMax { quota, period }) => {
            // The period first: a child's share may not exceed its parent's at any moment.
            let period = period.map(|us| File::new("cpu.cfs_period_us", us.to_string()));
            let quota = quota.map(|us| File::new("cpu.cfs_quota_us", us.v1()));
            Ok(period.into_iter().chain(quota).collect())
        }
        ("cpu.max.burst", Value::Amount(amount)) => one("cpu.cfs_burst_us", amount.to_string()),
        (_, Value::Weight(Weight::V1(shares))) => one("cpu.shares", shares.to_string()),
        (_, Value::Weight(Weight::V2(weight))) => {
            one("cpu.shares", weight_to_shares(*weight).to_string())
        }
        (_, Value::IoWeight(Weight::V1(weight))) => one("blkio.weight", weight.to_string()),
        (_, Value::IoWeight(Weight::V2(weight))) => {
            one("blkio.weight", io_to_blkio_weight(*weight).to_string())
        }
        (_, Value::Io(devices)) => Ok(devices.iter().flat_map(throttles).collect()),
        ("cgroup.freeze", Value::Amount(amount)) => one(
            "freezer.state",
            if *amount == Amount::Exactly(0) {
                "THAWED"
            } else {
                "FROZEN"
            }
            .to_owned(),
        ),
        (_, Value::Amount(amount)) if name.starts_with("hugetlb.") => {
            one(&hugetlb(name), amount.v1())
        }
        (_, Value::Devices(rules)) => {
            rules.for_v1()?;
            let file = |allow| {
                if allow {
                    "devices.allow"
                } else {
                    "devices.deny"
                }
            };
            let files = rules
                .iter()
                .map(|rule| File::new(file(rule.allow), rule.to_string()));
            Ok(files.collect())
        }
        _ if has_no_counterpart(name) => Err(Error::Failed(no_counterpart(name))),
        (_, Value::Amount(amount)) => one(name, amount.to_string()),
        (_, Value::Text(text)) => one(name, text.clone()),
    }
}

/// What the kernel has now for a limit that was asked for: names and values, in v2's words first.
pub(crate) fn effective(
    name: &str,
    value: &Value,
    read: Read<'_>,
) -> Result<Vec<(String, Json)>, Error> {
    let one = |value: Json| Ok(vec![(name.to_owned(), value)]);
    match (name, value) {
        ("memory.max", _) => one(bytes(read("memory.limit_in_bytes")?.as_str()).to_json()),
        ("memory.low", _) => one(bytes(read("memory.soft_limit_in_bytes")?.as_str()).to_json()),
        (_, Value::Swap(_)) => {
            let (memory, both) = (
                bytes(&read("memory.limit_in_bytes")?),
                bytes(&read("memory.memsw.limit_in_bytes")?),
            );
            let swap = match (memory, both) {
                (Amount::Exactly(memory), Amount::Exactly(both)) => {
                    Amount::Exactly(both.saturating_sub(memory))
                }
                _ => Amount::Max,
            };
            Ok(vec![
                (name.to_owned(), swap.to_json()),
                ("memory.memsw.limit_in_bytes".to_owned(), both.to_json()),
            ])
        }
        (_, Value::CpuMax { .. }) => {
            let quota = read("cpu.cfs_quota_us")?;
            let quota = if quota.trim() == "-1" {
                "max"
            } else {
                quota.trim()
            }
            .to_owned();
            one(format!("{quota} {}", read("cpu.cfs_period_us")?.trim()).into())
        }
        ("cpu.max.burst", _) => one(scalar(&read("cpu.cfs_burst_us")?)),
        (_, Value::Weight(_)) => {
            let shares = read("cpu.shares")?;
            let weight = units::number(shares.trim())
                .map_or(Json::Null, |shares| shares_to_weight(shares).into());
            Ok(vec![
                (name.to_owned(), weight),
                ("cpu.shares".to_owned(), scalar(&shares)),
            ])
        }
        (_, Value::IoWeight(_)) => {
            let weight = read("blkio.weight")?;
            let io = units::number(weight.trim())
                .map_or(Json::Null, |weight| blkio_to_io_weight(weight).into());
            Ok(vec![
                (name.to_owned(), io),
                ("blkio.weight".to_owned(), scalar(&weight)),
            ])
        }
        (_, Value::Io(devices)) => one(io_max(devices, read)?.into()),
        ("cgroup.freeze", _) => one(u64::from(read("freezer.state")?.trim() != "THAWED").into()),
        _ if name.starts_with("hugetlb.") => one(bytes(&read(&hugetlb(name))?).to_json()),
        (devices::NAME, _) => one(match read("devices.list")?.trim_end() {
            "" => "none".into(),
            "a *:* rwm" => "all".into(),
            list => list.replace('\n', ", ").into(),
        }),
        // a list of one cpu is a list
        _ if name.starts_with("cpuset.") => one(read(name)?.trim_end().into()),
        _ => one(scalar(&read(name)?)),
    }
}

/// Memory and swap together, as v1 counts; it needs a limit of memory when swap is limited by itself.
fn memsw(swap: Swap, memory: Option<Amount>) -> Result<Amount, Error> {
    match (swap, memory) {
        (Swap::Beside(Amount::Max), _) => Ok(Amount::Max),
        (Swap::Beside(Amount::Exactly(swap)), Some(Amount::Exactly(memory))) => Ok(memory
            .checked_add(swap)
            .map_or(Amount::Max, Amount::Exactly)),
        (Swap::Beside(_), _) => Err(Error::Failed(
            "memory.swap.max: cgroup v1 limits memory and swap together (give memory.max as well)"
                .into(),
        )),
        (Swap::Total(total), Some(memory)) if total < memory => Err(Error::Usage(format!(
            "memory.memsw.limit_in_bytes={total}: less than memory.max={memory} (it counts memory and swap)"
        ))),
        (Swap::Total(total), _) => Ok(total),
    }
}

/// v1's files hold the greatest number of pages, in bytes, for no limit; all above 2^62 is that, whatever the page size.
pub(crate) fn bytes(text: &str) -> Amount {
    match units::number(text.trim()) {
        Some(number) if number < 1 << 62 => Amount::Exactly(number),
        _ => Amount::Max,
    }
}

fn hugetlb(name: &str) -> String {
    format!("{}.limit_in_bytes", name.trim_end_matches(".max"))
}

/// v1's file for each of [`RATES`].
const THROTTLES: [&str; 4] = [
    "blkio.throttle.read_bps_device",
    "blkio.throttle.write_bps_device",
    "blkio.throttle.read_iops_device",
    "blkio.throttle.write_iops_device",
];

fn throttles(device: &Device) -> impl Iterator<Item = File> {
    THROTTLES
        .iter()
        .zip(device.rates)
        .filter_map(|(file, rate)| {
            // 0 lifts the limit
            let rate = match rate? {
                Amount::Exactly(rate) => rate,
                Amount::Max => 0,
            };
            Some(File::new(file, format!("{} {rate}", device.number)))
        })
}

/// The four throttle files as lines of `io.max`, of the devices that were asked for.
fn io_max(devices: &[Device], read: Read<'_>) -> Result<String, Error> {
    let mut files = Vec::new();
    for file in THROTTLES {
        files.push(read(file)?);
    }
    let lines = devices.iter().map(|device| {
        let rate_in = |text: &String| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(&device.number)?.strip_prefix(' '));
            line.map_or("max", str::trim).to_owned()
        };
        let rates = RATES
            .iter()
            .zip(&files)
            .map(|(name, text)| format!("{name}={}", rate_in(text)));
        format!("{} {}", device.number, rates.collect::<Vec<_>>().join(" "))
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// Names that only v2 has.
fn has_no_counterpart(name: &str) -> bool {
    const V2_ONLY: &[&str] = &[
        "memory.high",
        "memory.min",
        "memory.oom.group",
        "memory.swap.high",
        "memory.zswap.max",
        "memory.zswap.writeback",
        "cpu.weight.nice",
        "cpuset.cpus.partition",
        "cpuset.cpus.exclusive",
    ];
    V2_ONLY.contains(&name) || name.starts_with("cgroup.") || name.starts_with("io.")
}

fn no_counterpart(name: &str) -> String {
    let hint = match name {
        "memory.high" | "memory.min" => " (memory.max and memory.low have counterparts)",
        "cpu.weight.nice" => " (use cpu.weight)",
        "cpuset.cpus.partition" | "cpuset.cpus.exclusive" => " (use cpuset.cpu_exclusive=1)",
        _ if name.starts_with("io.") => " (io.max and io.weight have counterparts)",
        _ => "",
    };
    format!("{name}: cgroup v1 has no such limit{hint}")
}
