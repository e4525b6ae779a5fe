//! `cgset show`: what the kernel says of the pod's groups now.

use std::collections::BTreeMap;
use std::process::ExitCode;

use record::{Id, Record, names};
use serde_json::{Map, Value as Json, json};

use crate::TOOL;
use crate::cli::ShowArgs;
use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::{Hierarchies, Version};
use crate::make::plain;
use crate::state::State;
use crate::units::{self, Amount};
use crate::v1;
use crate::version::scalar;

/// Runs the verb.
pub(crate) fn show(args: &ShowArgs) -> ExitCode {
    record::show(TOOL, &args.source, |record| -> Result<String, Error> {
        let id: Id = record
            .id()
            .unwrap_or_default()
            .parse()
            .map_err(Error::Usage)?;
        let (path, groups) = collect(record, &id)?;
        Ok(if args.json {
            format!("{}\n", to_json(&id, &path, &groups))
        } else {
            table(&groups)
        })
    })
}

/// What is known of one group over all hierarchies.
#[derive(Debug, Default, Clone)]
struct Usage {
    /// In the words of cgroup v2: `memory.current`, `pids.max`, …
    values: Map<String, Json>,
    processes: Vec<i32>,
}

/// The pod's group and those below it, by their path: `pod-foo`, `pod-foo/app`.
type Groups = BTreeMap<String, Usage>;

/// The path of the pod's group below each mount, and the groups.
fn collect(record: &Record, id: &Id) -> Result<(String, Groups), Error> {
    record.groups()?;
    let none = || {
        Error::Failed(format!(
            "{id}: the record has no groups (cgset up makes them)"
        ))
    };
    let state = State::from_json(record.get(TOOL).ok_or_else(none)?)?;
    let hierarchies = Hierarchies::detect()?;
    let mut found = Groups::new();
    for member in state.members.iter().filter(|member| member.inode.is_some()) {
        if !state.is_of_this_boot()? {
            continue;
        }
        let Some(hierarchy) = member.hierarchy(&hierarchies) else {
            continue;
        };
        let Some(pod) = member.open(&hierarchies, &state.path(id))? else {
            continue;
        };
        for group in pod.tree()? {
            let Ok(path) = group
                .path()
                .strip_prefix(hierarchy.mount.join(&state.parent))
            else {
                continue;
            };
            let usage = found
                .entry(path.to_string_lossy().into_owned())
                .or_default();
            read(&group, hierarchy.version, &mut usage.values);
            usage.processes.extend(group.processes()?);
            usage.processes.sort_unstable();
            usage.processes.dedup();
        }
    }
    if found.is_empty() {
        return Err(Error::Failed(format!(
            "{id}: its groups are gone (cgset down clears the record)"
        )));
    }
    Ok((state.path(id), found))
}

/// Reads what there is; a file that is not there is a controller that the group has not.
fn read(group: &Group, version: Version, values: &mut Map<String, Json>) {
    let mut set = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            values.insert(name.to_owned(), value);
        }
    };
    let file = |name: &str| group.read(name).ok();
    for name in ["pids.current", "pids.max", "pids.peak"] {
        set(name, file(name).map(|text| scalar(&text)));
    }
    for name in ["cpuset.cpus", "cpuset.mems"] {
        set(name, file(name).map(|text| text.trim_end().into()));
    }
    match version {
        Version::V1 => {
            let bytes = |name: &str| file(name).map(|text| v1::bytes(&text).to_json());
            set("memory.current", bytes("memory.usage_in_bytes"));
            set("memory.max", bytes("memory.limit_in_bytes"));
            set("memory.peak", bytes("memory.max_usage_in_bytes"));
            set(
                "memory.memsw.limit_in_bytes",
                bytes("memory.memsw.limit_in_bytes"),
            );
            set(
                "memory.oom_kill",
                file("memory.oom_control").and_then(|text| field(&text, "oom_kill")),
            );
            set(
                "cpu.usage_usec",
                file("cpuacct.usage").and_then(|text| divided(&text, 1000)),
            );
            set("cpu.shares", file("cpu.shares").map(|text| scalar(&text)));
            set(
                "cpu.max",
                file("cpu.cfs_quota_us")
                    .zip(file("cpu.cfs_period_us"))
                    .map(|(quota, period)| {
                        let quota = if quota.trim() == "-1" {
                            "max"
                        } else {
                            quota.trim()
                        };
                        format!("{quota} {}", period.trim()).into()
                    }),
            );
            if let Some(stat) = file("cpu.stat") {
                set("cpu.nr_throttled", field(&stat, "nr_throttled"));
                let nanoseconds = field(&stat, "throttled_time").map(|time| time.to_string());
                set(
                    "cpu.throttled_usec",
                    nanoseconds.and_then(|time| divided(&time, 1000)),
                );
            }
        }
        Version::V2 => {
            for name in [
                "memory.current",
                "memory.max",
                "memory.peak",
                "memory.swap.max",
                "cpu.max",
                "cpu.weight",
            ] {
                set(name, file(name).map(|text| scalar(&text)));
            }
            set(
                "memory.oom_kill",
                file("memory.events").and_then(|text| field(&text, "oom_kill")),
            );
            if let Some(stat) = file("cpu.stat") {
                set("cpu.usage_usec", field(&stat, "usage_usec"));
                set("cpu.nr_throttled", field(&stat, "nr_throttled"));
                set("cpu.throttled_usec", field(&stat, "throttled_usec"));
            }
        }
    }
}

/// The number after `name` in a file of `NAME NUMBER` lines.
fn field(text: &str, name: &str) -> Option<Json> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(scalar)
}

fn divided(text: &str, by: u64) -> Option<Json> {
    units::number(text.trim()).map(|number| (number / by).into())
}

fn to_json(id: &Id, pod: &str, groups: &Groups) -> Json {
    let above = pod.strip_suffix(&names::group(id)).unwrap_or_default();
    let list: Vec<Json> = groups
        .iter()
        .map(|(path, usage)| {
            let mut group = json!({"group": format!("/{above}{path}")});
            for (name, value) in &usage.values {
                group[name] = value.clone();
            }
            group["processes"] = usage.processes.as_slice().into();
            group
        })
        .collect();
    json!({"id": id.as_ref(), "group": format!("/{pod}"), "groups": list})
}

/// Title of a column, the value it shows, and how.
type Column = (&'static str, &'static str, fn(&Json) -> String);

const COLUMNS: [Column; 8] = [
    ("MEMORY", "memory.current", size),
    ("MAX", "memory.max", size),
    ("PEAK", "memory.peak", size),
    ("OOM-KILL", "memory.oom_kill", plain),
    ("TASKS", "pids.current", plain),
    ("MAX", "pids.max", plain),
    ("CPU-TIME", "cpu.usage_usec", seconds),
    ("THROTTLED", "cpu.throttled_usec", seconds),
];

/// The tree, the pod first, and under each group its processes.
fn table(groups: &Groups) -> String {
    let mut rows = vec![
        std::iter::once("GROUP")
            .chain(COLUMNS.iter().map(|(title, ..)| *title))
            .chain(["PIDS"])
            .map(str::to_owned)
            .collect(),
    ];
    for (path, usage) in groups {
        let cells = COLUMNS.iter().map(|(_, name, shown)| {
            usage
                .values
                .get(*name)
                .map_or_else(|| "-".to_owned(), shown)
        });
        let pids = usage
            .processes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ");
        rows.push(
            std::iter::once(in_tree(path, groups))
                .chain(cells)
                .chain([pids])
                .collect::<Vec<String>>(),
        );
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            let last = at + 1 == row.len();
            // names to the left, numbers to the right
            match at {
                0 => line.push_str(&format!("{cell}{pad}")),
                _ if last => line.push_str(&format!("  {cell}")),
                _ => line.push_str(&format!("  {pad}{cell}")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The last part of `path` behind the branches that lead to it.
fn in_tree(path: &str, groups: &Groups) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let mut branches = String::new();
    for depth in 1..parts.len() {
        let parent = parts[..depth].join("/");
        let own = parts[..=depth].join("/");
        let has_later_sibling = groups.keys().any(|other| {
            let below = other
                .strip_prefix(&parent)
                .and_then(|rest| rest.strip_prefix('/'));
            below.is_some_and(|rest| !rest.contains('/')) && *other > own
        });
        let is_last_part = depth + 1 == parts.len();
        branches.push_str(match (is_last_part, has_later_sibling) {
            (true, true) => "├─",
            (true, false) => "└─",
            (false, true) => "│ ",
            (false, false) => "  ",
        });
    }
    format!("{branches}{}", parts.last().copied().unwrap_or_default())
}

/// Bytes in the greatest unit that leaves a number of at least 1.
fn size(value: &Json) -> String {
    let Some(bytes) = value.as_u64() else {
        return plain(value);
    };
    let units = ["", "K", "M", "G", "T", "P", "E"];
    let mut at = 0;
    while at + 1 < units.len() && bytes >> (10 * (at + 1)) > 0 {
        at += 1;
    }
    let tenths = (u128::from(bytes) * 10) >> (10 * at);
    match (at, tenths % 10) {
        (0, _) => bytes.to_string(),
        (_, 0) => format!("{}{}", tenths / 10, units[at]),
        (_, rest) => format!("{}.{rest}{}", tenths / 10, units[at]),
    }
}

/// Microseconds as seconds.
fn seconds(value: &Json) -> String {
    match value.as_u64().map(Amount::Exactly) {
        Some(Amount::Exactly(us)) => format!("{}.{:03}s", us / 1_000_000, us / 1000 % 1000),
        _ => plain(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(values: Json, processes: &[i32]) -> Usage {
        Usage {
            values: values.as_object().unwrap().clone(),
            processes: processes.to_vec(),
        }
    }

    fn groups() -> Groups {
        Groups::from([
            (
                "pod-foo".into(),
                usage(
                    json!({"memory.max": 536_870_912, "memory.current": 1536, "memory.oom_kill": 1}),
                    &[],
                ),
            ),
            (
                "pod-foo/app".into(),
                usage(json!({"pids.max": "max", "cpu.usage_usec": 1_234_567}), &[]),
            ),
            ("pod-foo/app/deep".into(), usage(json!({}), &[7, 42])),
            (
                "pod-foo/pause".into(),
                usage(json!({"memory.max": "max"}), &[5]),
            ),
        ])
    }

    #[test]
    fn the_table_is_a_tree() {
        assert_eq!(
            table(&groups()),
            "\
GROUP     MEMORY   MAX  PEAK  OOM-KILL  TASKS  MAX  CPU-TIME  THROTTLED  PIDS
pod-foo     1.5K  512M     -         1      -    -         -          -
├─app          -     -     -         -      -  max    1.234s          -
│ └─deep       -     -     -         -      -    -         -          -  7 42
└─pause        -   max     -         -      -    -         -          -  5
"
        );
    }

    #[test]
    fn json_has_each_group_with_v2s_names() {
        let id: Id = "foo".parse().unwrap();
        let shown = to_json(&id, "pod-foo", &groups());
        assert_eq!(shown["groups"][0]["group"], "/pod-foo");
        assert_eq!(shown["groups"][0]["memory.max"], 536_870_912);
        assert_eq!(shown["groups"][2]["processes"], json!([7, 42]));
    }

    #[test]
    fn sizes_are_short_and_not_rounded_up() {
        for (bytes, text) in [
            (0_u64, "0"),
            (1023, "1023"),
            (1024, "1K"),
            (1_048_575, "1023.9K"),
            (1 << 30, "1G"),
            (u64::MAX, "15.9E"),
        ] {
            assert_eq!(size(&bytes.into()), text);
        }
        assert_eq!(size(&"max".into()), "max");
    }

    #[test]
    fn a_line_is_found_by_its_whole_name() {
        let text = "oom 1\noom_kill 2\noom_kill_disable 0\n";
        assert_eq!(field(text, "oom_kill"), Some(2.into()));
        assert_eq!(field(text, "kill"), None);
    }
}
