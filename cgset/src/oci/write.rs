//! Limits under OCI's names.

use record::Record;
use serde_json::{Map, Value as Json, json};

use super::THROTTLES;
use crate::devices::{self, Kind, Rule};
use crate::error::Error;
use crate::limits::{
    Limits, Swap, Value, Weight, blkio_to_io_weight, io_to_blkio_weight, weight_to_shares,
};
use crate::units::Amount;

/// Writes `asked` into `linux.resources`: under OCI's names, and under `unified` what OCI has no name for.
///
/// `all` has what the record had asked for as well: OCI counts swap together with memory.
pub(crate) fn write(record: &mut Record, asked: &Limits, all: &Limits) -> Result<(), Error> {
    for (name, value) in asked.iter() {
        remove_unified(record, name, value);
        let mut set = |path: &[&str], value: Json| {
            let path: Vec<&str> = ["linux", "resources"].iter().chain(path).copied().collect();
            record.set_at(&path, value)
        };
        match (name, value) {
            ("memory.max", Value::Amount(amount)) if is_sayable(*amount) => {
                set(&["memory", "limit"], signed(*amount))?
            }
            ("memory.low", Value::Amount(amount)) if is_sayable(*amount) => {
                set(&["memory", "reservation"], signed(*amount))?;
            }
            ("memory.swappiness", Value::Amount(amount)) => {
                set(&["memory", "swappiness"], amount.to_json())?
            }
            (_, Value::Swap(swap)) if oci_swap(*swap, all.memory_max()).is_some_and(is_sayable) => {
                let total = oci_swap(*swap, all.memory_max()).unwrap_or(Amount::Max);
                set(&["memory", "swap"], signed(total))?;
            }
            ("pids.max", Value::Amount(amount)) if is_sayable(*amount) => {
                set(&["pids", "limit"], signed(*amount))?
            }
            (_, Value::CpuMax { quota, period }) => {
                if let Some(quota) = quota {
                    set(&["cpu", "quota"], signed(*quota))?;
                }
                if let Some(period) = period {
                    set(&["cpu", "period"], (*period).into())?;
                }
            }
            ("cpu.max.burst", Value::Amount(amount)) if is_sayable(*amount) => {
                set(&["cpu", "burst"], amount.to_json())?
            }
            ("cpu.idle", Value::Amount(amount)) => set(&["cpu", "idle"], amount.to_json())?,
            (_, Value::Weight(Weight::V1(shares))) => set(&["cpu", "shares"], (*shares).into())?,
            (_, Value::Weight(Weight::V2(weight))) => {
                set(&["cpu", "shares"], weight_to_shares(*weight).into())?
            }
            ("cpuset.cpus", Value::Text(list)) => set(&["cpu", "cpus"], list.as_str().into())?,
            ("cpuset.mems", Value::Text(list)) => set(&["cpu", "mems"], list.as_str().into())?,
            (_, Value::IoWeight(Weight::V1(weight))) => {
                set(&["blockIO", "weight"], (*weight).into())?
            }
            (_, Value::IoWeight(Weight::V2(weight)))
                if blkio_to_io_weight(io_to_blkio_weight(*weight)) == *weight =>
            {
                set(&["blockIO", "weight"], io_to_blkio_weight(*weight).into())?;
            }
            (_, Value::Io(_)) => write_throttles(record, all)?,
            (_, Value::Devices(_)) => write_devices(record, all)?,
            (_, Value::Amount(Amount::Exactly(limit))) if is_huge(name) => {
                write_huge_page(record, name, *limit)?
            }
            (_, Value::Amount(_) | Value::Swap(_) | Value::IoWeight(_) | Value::Text(_)) => {
                for (key, text) in value.spelt(name) {
                    set(&["unified", &key], text.into())?;
                }
            }
        }
    }
    Ok(())
}

/// A limit that was under `unified` would override the one under OCI's name.
fn remove_unified(record: &mut Record, name: &str, value: &Value) {
    let keys = value
        .spelt(name)
        .into_iter()
        .map(|(key, _)| key)
        .chain([name.to_owned()]);
    for key in keys {
        record.remove_at(&["linux", "resources", "unified", &key]);
    }
    let empty = record
        .pointer("/linux/resources/unified")
        .and_then(Json::as_object)
        .is_some_and(Map::is_empty);
    if empty {
        record.remove_at(&["linux", "resources", "unified"]);
    }
}

/// All devices of all four lists: a device is changed in its place, others stay.
fn write_throttles(record: &mut Record, all: &Limits) -> Result<(), Error> {
    let Some(Value::Io(devices)) = all.get("io.max") else {
        return Ok(());
    };
    for (at, key) in THROTTLES.iter().enumerate() {
        let entries: Vec<Json> = devices
            .iter()
            .filter_map(|device| {
                let (major, minor) = device.number.split_once(':')?;
                let rate = match device.rates[at]? {
                    Amount::Exactly(rate) => rate,
                    Amount::Max => 0,
                };
                Some(json!({"major": major.parse::<u64>().ok()?, "minor": minor.parse::<u64>().ok()?, "rate": rate}))
            })
            .collect();
        if !entries.is_empty() {
            record.set_at(&["linux", "resources", "blockIO", key], entries.into())?;
        }
    }
    Ok(())
}

/// The whole list, as OCI has it, or under `unified` where a runtime would allow more than that by itself.
fn write_devices(record: &mut Record, all: &Limits) -> Result<(), Error> {
    let Some(Value::Devices(rules)) = all.get(devices::NAME) else {
        return Ok(());
    };
    let place = ["linux", "resources", devices::NAME];
    if let Some(said) = rules.without_always_allowed() {
        return Ok(record.set_at(&place, said.iter().map(device).collect())?);
    }
    record.remove_at(&place);
    let unified = ["linux", "resources", "unified", devices::NAME];
    Ok(record.set_at(&unified, rules.spelt().into())?)
}

/// One rule in OCI's words.
fn device(rule: &Rule) -> Json {
    let mut json = json!({"allow": rule.allow});
    if let Some(of) = rule.of {
        json["type"] = match of.kind {
            Kind::Block => "b".into(),
            Kind::Character => "c".into(),
        };
        for (key, number) in [("major", of.major), ("minor", of.minor)] {
            if let Some(number) = number {
                json[key] = number.into();
            }
        }
    }
    json["access"] = rule.access.to_string().into();
    json
}

/// `hugetlb.2MB.max` as an entry of `hugepageLimits`, in the place of an older one of that size.
fn write_huge_page(record: &mut Record, name: &str, limit: u64) -> Result<(), Error> {
    let size = name.trim_start_matches("hugetlb.").trim_end_matches(".max");
    let entry = json!({"pageSize": size, "limit": limit});
    let found = record
        .pointer("/linux/resources/hugepageLimits")
        .and_then(Json::as_array);
    let mut list = found.cloned().unwrap_or_default();
    match list
        .iter_mut()
        .find(|old| old.get("pageSize") == entry.get("pageSize"))
    {
        Some(old) => *old = entry,
        None => list.push(entry),
    }
    Ok(record.set_at(&["linux", "resources", "hugepageLimits"], list.into())?)
}

/// OCI's `memory.swap`: memory and swap together.
fn oci_swap(swap: Swap, memory: Option<Amount>) -> Option<Amount> {
    match (swap, memory) {
        (Swap::Total(total), _) => Some(total),
        (Swap::Beside(Amount::Max), _) => Some(Amount::Max),
        (Swap::Beside(Amount::Exactly(swap)), Some(Amount::Exactly(memory))) => {
            memory.checked_add(swap).map(Amount::Exactly)
        }
        (Swap::Beside(_), _) => None,
    }
}

/// OCI's readers take 0 for "left out", and their numbers are signed.
fn is_sayable(amount: Amount) -> bool {
    match amount {
        Amount::Exactly(number) => number > 0 && i64::try_from(number).is_ok(),
        Amount::Max => true,
    }
}

/// -1 is no limit.
fn signed(amount: Amount) -> Json {
    match amount {
        Amount::Exactly(number) => number.into(),
        Amount::Max => (-1).into(),
    }
}

fn is_huge(name: &str) -> bool {
    name.starts_with("hugetlb.") && !name.ends_with(".rsvd.max")
}
