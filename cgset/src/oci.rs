//! `linux.resources` of the OCI runtime specification: read as limits, and limits written back under OCI's names.

use record::Record;
use serde_json::{Map, Value as Json, json};

use crate::error::Error;
use crate::limits::{
    Device, Limits, Swap, Value, Weight, blkio_to_io_weight, io_to_blkio_weight, weight_to_shares,
};
use crate::units::Amount;
use crate::vocabulary::{self, Machine};

/// The limits a record asks for, and what of `linux.resources` is not among them.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    pub(crate) limits: Limits,
    /// Keys that are passed through and not applied: `devices`, `network`.
    pub(crate) ignored: Vec<String>,
}

/// Reads `linux.resources`. As in the OCI runtimes, 0 where a number can be left out means that it was.
pub(crate) fn read(record: &Record, machine: &Machine) -> Result<Resources, Error> {
    let mut reader = Reader {
        found: Resources::default(),
        machine,
    };
    let Some(resources) = record.resources()? else {
        return Ok(reader.found);
    };
    for (key, value) in resources {
        match (key.as_str(), value) {
            (_, Json::Null) => {}
            ("memory" | "cpu" | "pids" | "blockIO", Json::Object(section)) => {
                reader.section(key, section)?
            }
            ("memory" | "cpu" | "pids" | "blockIO" | "unified", other) if !other.is_object() => {
                return Err(shape(key, other, "an object"));
            }
            ("hugepageLimits", Json::Array(list)) => reader.huge_pages(list)?,
            ("hugepageLimits", other) => return Err(shape(key, other, "an array")),
            ("unified", _) => {}
            ("devices" | "rdma", value) if is_empty(value) => {}
            _ => reader.found.ignored.push(key.clone()),
        }
    }
    // Last: in OCI's own words it overrides the others.
    if let Some(Json::Object(unified)) = resources.get("unified") {
        for (name, value) in unified {
            let text = value
                .as_str()
                .ok_or_else(|| shape("unified", value, "an object of strings"))?;
            reader.word(name, text)?;
        }
    }
    Ok(reader.found)
}

struct Reader<'a> {
    found: Resources,
    machine: &'a Machine,
}

impl Reader<'_> {
    /// One key of the vocabulary; an error says that the record, not the command line, has it.
    fn word(&mut self, name: &str, text: &str) -> Result<(), Error> {
        vocabulary::parse(name, text, self.machine, &mut self.found.limits)
            .map_err(|error| Error::Usage(format!("linux.resources: {error}")))
    }

    fn section(&mut self, section: &str, keys: &Map<String, Json>) -> Result<(), Error> {
        for (key, value) in keys.iter().filter(|(_, value)| !value.is_null()) {
            let place = format!("{section}.{key}");
            let known = match value {
                Json::Number(number) => match number.as_i64() {
                    Some(number) => self.number(&place, number)?,
                    None => return Err(shape(&place, value, "a whole number")),
                },
                Json::String(text) => self.text(&place, text)?,
                Json::Bool(value) => self.flag(&place, *value)?,
                Json::Array(list) => self.throttle(&place, list)?,
                Json::Object(_) | Json::Null => false,
            };
            if !known && !is_empty(value) {
                self.found.ignored.push(place);
            }
        }
        Ok(())
    }

    /// False: no limit that is known here.
    fn number(&mut self, place: &str, number: i64) -> Result<bool, Error> {
        let (name, no_limit) = match place {
            "memory.limit" => ("memory.limit_in_bytes", "-1"),
            "memory.reservation" => ("memory.soft_limit_in_bytes", "-1"),
            "memory.swap" => ("memory.memsw.limit_in_bytes", "-1"),
            "memory.swappiness" => ("memory.swappiness", ""),
            "cpu.shares" => ("cpu.shares", ""),
            "cpu.quota" => ("cpu.cfs_quota_us", "-1"),
            "cpu.period" => ("cpu.cfs_period_us", ""),
            "cpu.burst" => ("cpu.cfs_burst_us", ""),
            "cpu.idle" => ("cpu.idle", ""),
            "cpu.realtimeRuntime" => ("cpu.rt_runtime_us", ""),
            "cpu.realtimePeriod" => ("cpu.rt_period_us", ""),
            "pids.limit" => ("pids.max", "max"),
            "blockIO.weight" => ("blkio.weight", ""),
            _ => return Ok(false),
        };
        let is_left_out = number == 0 && !matches!(name, "memory.swappiness" | "cpu.idle");
        if number < 0 && !no_limit.is_empty() {
            self.word(name, no_limit)?;
        } else if !is_left_out {
            self.word(name, &number.to_string())?;
        }
        Ok(true)
    }

    fn text(&mut self, place: &str, text: &str) -> Result<bool, Error> {
        let name = match place {
            "cpu.cpus" => "cpuset.cpus",
            "cpu.mems" => "cpuset.mems",
            _ => return Ok(false),
        };
        if !text.is_empty() {
            self.word(name, text)?;
        }
        Ok(true)
    }

    fn flag(&mut self, place: &str, value: bool) -> Result<bool, Error> {
        match (place, value) {
            ("memory.disableOOMKiller", true) => self.word("memory.oom_control", "1")?,
            // how crun is told to go on, and v1's accounting, which cannot be turned off any more
            ("memory.disableOOMKiller", false)
            | ("memory.useHierarchy" | "memory.checkBeforeUpdate", _) => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `blockIO.throttleReadBpsDevice` and its like: `[{"major":8,"minor":0,"rate":1048576}]`
    fn throttle(&mut self, place: &str, list: &[Json]) -> Result<bool, Error> {
        let Some(at) = THROTTLES
            .iter()
            .position(|key| place.strip_prefix("blockIO.") == Some(key))
        else {
            return Ok(false);
        };
        for entry in list {
            let number = |key: &str| entry.get(key).and_then(Json::as_u64);
            let (Some(major), Some(minor), Some(rate)) =
                (number("major"), number("minor"), number("rate"))
            else {
                return Err(shape(place, entry, "an object with major, minor and rate"));
            };
            let mut device = Device {
                number: format!("{major}:{minor}"),
                rates: [None; 4],
            };
            device.rates[at] = Some(if rate == 0 {
                Amount::Max
            } else {
                Amount::Exactly(rate)
            });
            self.found.limits.set("io.max", Value::Io(vec![device]));
        }
        Ok(true)
    }

    fn huge_pages(&mut self, list: &[Json]) -> Result<(), Error> {
        for entry in list {
            let size = entry.get("pageSize").and_then(Json::as_str);
            let limit = entry.get("limit").and_then(Json::as_u64);
            let (Some(size), Some(limit)) = (size, limit) else {
                return Err(shape(
                    "hugepageLimits",
                    entry,
                    "an object with pageSize and limit",
                ));
            };
            self.word(&format!("hugetlb.{size}.max"), &limit.to_string())?;
        }
        Ok(())
    }
}

/// In the order of [`crate::limits::RATES`].
const THROTTLES: [&str; 4] = [
    "throttleReadBpsDevice",
    "throttleWriteBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteIOPSDevice",
];

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

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(list) => list.is_empty(),
        Json::Object(object) => object.is_empty(),
        Json::Number(number) => number.as_i64() == Some(0),
        Json::String(text) => text.is_empty(),
        Json::Bool(_) => false,
    }
}

fn shape(place: &str, found: &Json, wanted: &str) -> Error {
    let mut found = found.to_string();
    found.truncate(
        found
            .char_indices()
            .nth(40)
            .map_or(found.len(), |(at, _)| at),
    );
    Error::Usage(format!("linux.resources.{place}: {found} is not {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::parse_all;

    const MACHINE: Machine = Machine {
        memory_total: 1 << 30,
    };

    fn record(resources: &str) -> Record {
        Record::parse(format!(r#"{{"id":"foo","linux":{{"resources":{resources}}}}}"#).as_bytes())
            .unwrap()
    }

    fn spelt(limits: &Limits) -> Vec<String> {
        limits
            .spelt()
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }

    #[test]
    fn a_configuration_of_docker_is_understood() {
        let found = read(
            &record(
                r#"{"devices":[{"allow":false,"access":"rwm"}],
                "memory":{"limit":209715200,"reservation":104857600,"swap":419430400,"disableOOMKiller":false,"swappiness":60,"kernel":0},
                "cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0-1","mems":"","realtimeRuntime":0},
                "pids":{"limit":-1},
                "blockIO":{"weight":500,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1048576}],"weightDevice":[]},
                "hugepageLimits":[{"pageSize":"2MB","limit":4194304}],
                "network":{"classID":7},
                "unified":{"memory.low":"5","memory.high":"7"}}"#,
            ),
            &MACHINE,
        )
        .unwrap();
        assert_eq!(
            spelt(&found.limits),
            [
                "memory.max=209715200",
                "memory.low=5",
                "memory.memsw.limit_in_bytes=419430400",
                "memory.swappiness=60",
                "cpu.shares=512",
                "cpu.max=50000 100000",
                "cpuset.cpus=0-1",
                "pids.max=max",
                "blkio.weight=500",
                "io.max=8:0 rbps=1048576",
                "hugetlb.2MB.max=4194304",
                "memory.high=7",
            ]
        );
        // what was not left out and is not ours is told
        assert_eq!(found.ignored, ["devices", "network"]);
    }

    #[test]
    fn numbers_that_were_left_out_and_no_limit_are_told_apart() {
        let found = read(
            &record(
                r#"{"memory":{"limit":0,"swap":-1},"cpu":{"quota":-1,"period":0,"shares":0},"pids":{"limit":0}}"#,
            ),
            &MACHINE,
        );
        assert_eq!(
            spelt(&found.unwrap().limits),
            ["memory.memsw.limit_in_bytes=max", "cpu.cfs_quota_us=-1"]
        );
    }

    #[test]
    fn wrong_shapes_are_bad_records() {
        for (resources, problem) in [
            (
                r#"{"memory":7}"#,
                "linux.resources.memory: 7 is not an object",
            ),
            (
                r#"{"hugepageLimits":{}}"#,
                "linux.resources.hugepageLimits: {} is not an array",
            ),
            (
                r#"{"unified":[1]}"#,
                "linux.resources.unified: [1] is not an object",
            ),
            (
                r#"{"unified":{"memory.max":7}}"#,
                "linux.resources.unified: 7 is not an object of strings",
            ),
            (
                r#"{"unified":{"memory.mx":"7"}}"#,
                "linux.resources: memory.mx: no such limit (did you mean memory.max?)",
            ),
            (
                r#"{"memory":{"limit":1.5}}"#,
                "linux.resources.memory.limit: 1.5 is not a whole number",
            ),
            (
                r#"{"blockIO":{"throttleReadBpsDevice":[7]}}"#,
                "linux.resources.blockIO.throttleReadBpsDevice: 7 is not an object with major, minor and rate",
            ),
            (
                r#"{"cpu":{"cpus":"0;rm"}}"#,
                "linux.resources: cpuset.cpus=0;rm: not a list of numbers (0-3,7)",
            ),
        ] {
            assert_eq!(
                read(&record(resources), &MACHINE).unwrap_err().to_string(),
                problem
            );
        }
    }

    #[test]
    fn what_is_written_back_is_read_again_as_the_same() {
        let words = [
            "memory.max=1G",
            "memory.swap.max=0",
            "memory.low=max",
            "memory.swappiness=0",
            "pids.max=max",
            "cpu.max=0.5",
            "cpu.weight=77",
            "cpuset.cpus=0",
            "io.weight=10000",
            "io.max=8:0 rbps=1",
            "hugetlb.2MB.max=2M",
            "memory.high=5",
            "cgroup.freeze=0",
            "cpu.max.burst=7",
            "cpu.idle=1",
            "cpuset.memory_migrate=1",
        ];
        let asked = parse_all(words, &MACHINE).unwrap();
        let mut written = record(r#"{"devices":[],"unified":{"memory.max":"5","memory.min":"6"}}"#);
        write(&mut written, &asked, &asked).unwrap();
        assert_eq!(
            written.pointer("/linux/resources").unwrap().to_string(),
            concat!(
                r#"{"devices":[],"unified":{"memory.min":"6","memory.high":"5","cgroup.freeze":"0","cpuset.memory_migrate":"1"},"#,
                r#""memory":{"limit":1073741824,"swap":1073741824,"reservation":-1,"swappiness":0},"pids":{"limit":-1},"#,
                r#""cpu":{"quota":50000,"period":100000,"shares":733,"cpus":"0","burst":7,"idle":1},"#,
                r#""blockIO":{"weight":1000,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}]},"#,
                r#""hugepageLimits":[{"pageSize":"2MB","limit":2097152}]}"#,
            )
        );
        let again = read(&written, &MACHINE).unwrap();
        assert!(again.ignored.is_empty());
        let mut twice = written.clone();
        write(&mut twice, &again.limits, &again.limits).unwrap();
        assert_eq!(
            read(&twice, &MACHINE).unwrap().limits.spelt().len(),
            again.limits.spelt().len()
        );
        assert_eq!(again.limits.get("memory.max"), asked.get("memory.max"));
    }

    #[test]
    fn what_oci_cannot_say_is_said_in_v2s_words() {
        let asked = parse_all(
            [
                "memory.max=0",
                "memory.swap.max=1M",
                "hugetlb.2MB.rsvd.max=max",
                "io.weight=50",
            ],
            &MACHINE,
        )
        .unwrap();
        let mut written = record("{}");
        write(&mut written, &asked, &asked).unwrap();
        assert_eq!(
            written.pointer("/linux/resources").unwrap().to_string(),
            r#"{"unified":{"memory.max":"0","hugetlb.2MB.rsvd.max":"max","io.weight":"50"},"memory":{"swap":1048576}}"#
        );
    }
}
