//! `linux.resources` as limits.

use record::Record;
use serde_json::{Map, Value as Json};

use super::{THROTTLES, is_empty};
use crate::devices::{self, Access, Kind, Rule, Rules};
use crate::error::Error;
use crate::limits::{Device, Limits, Value};
use crate::units::Amount;
use crate::vocabulary::{self, Machine};

/// OCI's numbers: where, the limit they are, and what a negative one says of it.
const NUMBERS: [(&str, &str, &str); 13] = [
    ("memory.limit", "memory.limit_in_bytes", "-1"),
    ("memory.reservation", "memory.soft_limit_in_bytes", "-1"),
    ("memory.swap", "memory.memsw.limit_in_bytes", "-1"),
    ("memory.swappiness", "memory.swappiness", ""),
    ("cpu.shares", "cpu.shares", ""),
    ("cpu.quota", "cpu.cfs_quota_us", "-1"),
    ("cpu.period", "cpu.cfs_period_us", ""),
    ("cpu.burst", "cpu.cfs_burst_us", ""),
    ("cpu.idle", "cpu.idle", ""),
    ("cpu.realtimeRuntime", "cpu.rt_runtime_us", ""),
    ("cpu.realtimePeriod", "cpu.rt_period_us", ""),
    ("pids.limit", "pids.max", "max"),
    ("blockIO.weight", "blkio.weight", ""),
];

/// The limits a record asks for, and what of `linux.resources` is not among them.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    pub(crate) limits: Limits,
    /// Keys that are passed through and not applied: `network`.
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
            ("devices", Json::Array(list)) => reader.devices(list)?,
            ("devices", other) => return Err(shape(key, other, "an array")),
            ("rdma", value) if is_empty(value) => {}
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
            if !known && NUMBERS.iter().any(|(number, ..)| *number == place) {
                return Err(shape(&place, value, "a whole number"));
            }
            if !known && matches!(&place[..], "cpu.cpus" | "cpu.mems") {
                return Err(shape(&place, value, "a string"));
            }
            if !known && !is_empty(value) {
                self.found.ignored.push(place);
            }
        }
        Ok(())
    }

    /// False: no limit that is known here.
    fn number(&mut self, place: &str, number: i64) -> Result<bool, Error> {
        let Some((_, name, no_limit)) = NUMBERS.iter().find(|(known, ..)| *known == place) else {
            return Ok(false);
        };
        let is_left_out = number == 0 && !matches!(*name, "memory.swappiness" | "cpu.idle");
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

    /// `[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"rw"}]`, and after them what the
    /// runtimes allow by themselves.
    fn devices(&mut self, list: &[Json]) -> Result<(), Error> {
        let mut rules = Rules::default();
        for entry in list {
            let rule = device_rule(entry).ok_or_else(|| {
                let wanted = "an object with allow, type, major, minor and access";
                shape("devices", entry, wanted)
            })?;
            rules.extend(rule);
        }
        if rules.iter().any(|rule| !rule.allow) {
            rules.extend(devices::always_allowed());
        }
        if !list.is_empty() {
            let limits = &mut self.found.limits;
            limits.set(devices::NAME, Value::Devices(rules));
        }
        Ok(())
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

/// One rule of OCI's; None: it has another shape.
fn device_rule(entry: &Json) -> Option<Vec<Rule>> {
    let entry = entry.as_object()?;
    let text = |key: &str| match entry.get(key) {
        None | Some(Json::Null) => Some(None),
        Some(Json::String(text)) => Some(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(_) => None,
    };
    // -1 is every number, as what is left out
    let number = |key: &str| match entry.get(key) {
        None | Some(Json::Null) => Some(None),
        Some(number) if number.as_i64() == Some(-1) => Some(None),
        Some(number) => u32::try_from(number.as_u64()?).ok().map(Some),
    };
    let kinds: &[Kind] = match text("type")?.unwrap_or("a") {
        "a" => &[Kind::Block, Kind::Character],
        "b" => &[Kind::Block],
        "c" | "u" => &[Kind::Character],
        _ => return None,
    };
    let access = match text("access")? {
        Some(access) => access.parse().ok()?,
        None => Access::ALL,
    };
    let allow = entry.get("allow")?.as_bool()?;
    let numbers = (number("major")?, number("minor")?);
    Some(devices::rules(allow, kinds, numbers, access))
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
