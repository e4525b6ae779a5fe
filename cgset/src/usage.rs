//! What the kernel says of groups now: limits, use, and what came of the two meeting. In the words of cgroup v2.

use serde_json::{Map, Value as Json};
use sys::SysError;

use crate::error::Error;
use crate::group::{Group, IsGone as _};
use crate::hierarchy::Version;
use crate::limits::shares_to_weight;
use crate::remove::Standing;
use crate::units;
use crate::v1;
use crate::version::scalar;

/// What is known of one group over all hierarchies.
#[derive(Debug, Default, Clone)]
pub(crate) struct Usage {
    /// `memory.current`, `pids.max`, …
    pub(crate) values: Map<String, Json>,
    pub(crate) processes: Vec<i32>,
}

impl Usage {
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.processes.is_empty()
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.values.get(name).and_then(Json::as_u64)
    }
}

#[cfg(test)]
impl Usage {
    pub(crate) fn of(values: Json, processes: &[i32]) -> Self {
        Self {
            values: values.as_object().cloned().unwrap_or_default(),
            processes: processes.to_vec(),
        }
    }
}

impl Usage {
    /// Of one group in one hierarchy, by its path from the pod's on as [`Group::paths`] has it.
    pub(crate) fn read(standing: &Standing<'_>, path: &str) -> Result<Self, Error> {
        let part = Part {
            pod: &standing.pod,
            path,
        };
        let mut usage = Self::default();
        let version = standing.hierarchy.version;
        read(&part, version, &standing.key, &mut usage.values);
        usage.processes = standing.pod.processes_at(path)?;
        Ok(usage)
    }
}

/// A group that is read from the pod's on.
struct Part<'a> {
    pod: &'a Group,
    /// As [`Group::paths`] has it.
    path: &'a str,
}

impl Part<'_> {
    fn read(&self, file: &str) -> Result<String, SysError> {
        self.pod.read(&[self.path, file].concat())
    }
}

/// Reads what there is of the controllers in `key`; a file that is not there is one that the kernel has not.
fn read(group: &Part<'_>, version: Version, key: &str, values: &mut Map<String, Json>) {
    for controller in key.split(',') {
        match (version, controller) {
            (_, "pids") => {
                plain(group, values, &["pids.current", "pids.max", "pids.peak"]);
                events(group, values, "pids.events", &[("max", "pids.max_events")]);
            }
            (_, "cpuset") => {
                for name in ["cpuset.cpus", "cpuset.mems"] {
                    let text = group.read(name).ok();
                    set(values, name, text.map(|text| text.trim_end().into()));
                }
            }
            (Version::V1, "memory") => v1_memory(group, values),
            (Version::V1, "cpu") => v1_cpu(group, values),
            (Version::V1, "cpuacct") => {
                let usage = group.read("cpuacct.usage").ok();
                let usage = usage.and_then(|text| divided(&text, 1000));
                set(values, "cpu.usage_usec", usage);
            }
            (Version::V1, "freezer") => {
                let state = group.read("freezer.state").ok();
                set(
                    values,
                    "frozen",
                    state.map(|state| (state.trim() == "FROZEN").into()),
                );
            }
            (Version::V2, "memory") => v2_memory(group, values),
            (Version::V2, "cpu") => plain(group, values, &["cpu.max", "cpu.weight"]),
            (Version::V2, "io") => plain(group, values, &["io.max", "io.stat"]),
            _ => {}
        }
    }
    if version == Version::V2 {
        let stat = [
            ("usage_usec", "cpu.usage_usec"),
            ("nr_throttled", "cpu.nr_throttled"),
            ("throttled_usec", "cpu.throttled_usec"),
        ];
        events(group, values, "cpu.stat", &stat);
        if let Ok(text) = group.read("cgroup.events") {
            let frozen = field(&text, "frozen").map(|frozen| (frozen == 1).into());
            set(values, "frozen", frozen);
        }
        for name in ["memory.pressure", "cpu.pressure", "io.pressure"] {
            let text = group.read(name).ok();
            set(values, name, text.and_then(|text| pressure(&text)));
        }
    }
}

fn v1_memory(group: &Part<'_>, values: &mut Map<String, Json>) {
    for (name, file) in [
        ("memory.current", "memory.usage_in_bytes"),
        ("memory.max", "memory.limit_in_bytes"),
        ("memory.peak", "memory.max_usage_in_bytes"),
        ("memory.memsw.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    ] {
        let text = group.read(file).ok();
        set(values, name, text.map(|text| v1::bytes(&text).to_json()));
    }
    let kills = [("oom_kill", "memory.oom_kill")];
    events(group, values, "memory.oom_control", &kills);
}

fn v1_cpu(group: &Part<'_>, values: &mut Map<String, Json>) {
    if let Ok(shares) = group.read("cpu.shares") {
        let weight = units::number(shares.trim()).map(|shares| shares_to_weight(shares).into());
        set(values, "cpu.shares", Some(scalar(&shares)));
        set(values, "cpu.weight", weight);
    }
    let quota = group.read("cpu.cfs_quota_us").ok();
    let max = quota.zip(group.read("cpu.cfs_period_us").ok());
    let max = max.map(|(quota, period)| {
        let quota = match quota.trim() {
            "-1" => "max",
            quota => quota,
        };
        format!("{quota} {}", period.trim()).into()
    });
    set(values, "cpu.max", max);
    if let Ok(stat) = group.read("cpu.stat") {
        set(values, "cpu.nr_throttled", field(&stat, "nr_throttled"));
        let nanoseconds = field(&stat, "throttled_time").map(|time| time.to_string());
        let throttled = nanoseconds.and_then(|time| divided(&time, 1000));
        set(values, "cpu.throttled_usec", throttled);
    }
}

fn v2_memory(group: &Part<'_>, values: &mut Map<String, Json>) {
    let names = [
        "memory.current",
        "memory.max",
        "memory.high",
        "memory.low",
        "memory.peak",
        "memory.swap.current",
        "memory.swap.max",
    ];
    plain(group, values, &names);
    let counts = [("oom", "memory.oom"), ("oom_kill", "memory.oom_kill")];
    events(group, values, "memory.events", &counts);
}

fn set(values: &mut Map<String, Json>, name: &str, value: Option<Json>) {
    if let Some(value) = value {
        values.insert(name.to_owned(), value);
    }
}

/// Files that are shown as they are.
fn plain(group: &Part<'_>, values: &mut Map<String, Json>, names: &[&str]) {
    for name in names {
        let text = group.read(name).ok();
        set(values, name, text.map(|text| scalar(&text)));
    }
}

/// Lines of a file of `NAME NUMBER` lines.
fn events(group: &Part<'_>, values: &mut Map<String, Json>, file: &str, lines: &[(&str, &str)]) {
    if let Ok(text) = group.read(file) {
        for (line, name) in lines {
            set(values, name, field(&text, line));
        }
    }
}

/// The number after `name` in a file of `NAME NUMBER` lines.
pub(crate) fn field(text: &str, name: &str) -> Option<Json> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(scalar)
}

fn divided(text: &str, by: u64) -> Option<Json> {
    units::number(text.trim()).map(|number| (number / by).into())
}

/// A file of pressure stall information as `{"some":{"avg10":0.5,…},"full":{…}}`; psi.rst of the kernel.
pub(crate) fn pressure(text: &str) -> Option<Json> {
    let mut lines = Map::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let kind = words.next()?;
        let mut values = Map::new();
        for word in words {
            let (name, value) = word.split_once('=')?;
            values.insert(name.to_owned(), serde_json::from_str(value).ok()?);
        }
        lines.insert(kind.to_owned(), values.into());
    }
    Some(lines.into())
}

/// How many processes the OOM killer ended in the groups and below them; None: no memory controller counts.
pub(crate) fn oom_kills(standing: &[Standing<'_>]) -> Result<Option<u64>, Error> {
    let has_memory =
        |standing: &&Standing<'_>| standing.key.split(',').any(|name| name == "memory");
    let Some(standing) = standing.iter().find(has_memory) else {
        return Ok(None);
    };
    let count = |group: &Group, file: &str| -> Result<u64, Error> {
        match group.read(file) {
            Ok(text) => Ok(field(&text, "oom_kill")
                .and_then(|count| count.as_u64())
                .unwrap_or(0)),
            // one below that was removed meanwhile
            Err(error) if error.is_gone() => Ok(0),
            Err(error) => Err(error.into()),
        }
    };
    if standing.hierarchy.version == Version::V2 {
        return count(&standing.pod, "memory.events").map(Some);
    }
    let mut sum = 0;
    for group in standing.pod.itself()?.tree()? {
        sum += count(&group, "memory.oom_control")?;
    }
    Ok(Some(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let text = "oom 1\noom_kill 2\noom_kill_disable 0\n";
        assert_eq!(field(text, "oom_kill"), Some(2.into()));
        assert_eq!(field(text, "kill"), None);
    }

    #[test]
    fn pressure_is_read_as_numbers() {
        let text = "some avg10=0.12 avg60=1.00 avg300=0.00 total=42\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let read = pressure(text).unwrap();
        assert_eq!(read["some"]["avg10"].to_string(), "0.12");
        assert_eq!(read["full"]["total"], 7);
        assert_eq!(pressure("some avg10\n"), None);
    }
}
