//! `cgset show`: what the kernel says of the pod's groups now, as a table.

use std::process::ExitCode;

use serde_json::Value as Json;

use crate::branches::branches;
use crate::cli::ShowArgs;
use crate::error::Error;
use crate::group_path::GroupPath;
use crate::hierarchy::Hierarchies;
use crate::make::plain;
use crate::snapshot::{Groups, Snapshot};
use crate::{TOOL, pod};

/// Runs the verb.
pub(crate) fn show(args: &ShowArgs) -> ExitCode {
    record::show(TOOL, &args.source, |record| -> Result<String, Error> {
        let hierarchies = Hierarchies::detect()?;
        let found = Snapshot::take(record, &pod::groups(record, &hierarchies, None)?)?;
        Ok(match args.json {
            true => format!("{}\n", found.into_json()),
            false => table(&found.groups),
        })
    })
}

/// Title of a column, the value it shows, how, and whether it is there even if no group has that value.
pub(crate) type Column = (&'static str, &'static str, fn(&Json) -> String, bool);

const COLUMNS: [Column; 11] = [
    ("MEMORY", "memory.current", size, true),
    ("MAX", "memory.max", size, true),
    ("PEAK", "memory.peak", size, true),
    ("OOM-KILL", "memory.oom_kill", plain, true),
    ("TASKS", "pids.current", plain, true),
    ("MAX", "pids.max", plain, true),
    ("CPU-TIME", "cpu.usage_usec", seconds, true),
    ("THROTTLED", "cpu.throttled_usec", seconds, true),
    ("MEM-STALL", "memory.pressure", stalled, false),
    ("CPU-STALL", "cpu.pressure", stalled, false),
    ("FROZEN", "frozen", yes, false),
];

/// The tree, the pod first, and beside each group its processes.
pub(crate) fn table(groups: &Groups) -> String {
    let is_shown = |column: &&Column| {
        let (_, name, shown, always) = column;
        // what is nowhere so is not worth a column
        let says = |value: &Json| !matches!(shown(value).as_str(), "" | "0.00%");
        *always
            || groups
                .values()
                .any(|usage| usage.values.get(*name).is_some_and(says))
    };
    let columns: Vec<&Column> = COLUMNS.iter().filter(is_shown).collect();
    let mut rows = vec![
        std::iter::once("GROUP")
            .chain(columns.iter().map(|(title, ..)| *title))
            .chain(["PIDS"])
            .map(str::to_owned)
            .collect(),
    ];
    for (name, usage) in names(groups).into_iter().zip(groups.values()) {
        let cells = columns.iter().map(|(_, name, shown, _)| {
            usage
                .values
                .get(*name)
                .map_or_else(|| "-".to_owned(), shown)
        });
        let pids = usage.processes.iter().map(ToString::to_string);
        let pids = pids.collect::<Vec<_>>().join(" ");
        rows.push(
            std::iter::once(name)
                .chain(cells)
                .chain([pids])
                .collect::<Vec<String>>(),
        );
    }
    aligned(&rows)
}

/// Rows as lines: the first column to the left, as names are, the others to the right, the last as it is.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            let last = at + 1 == row.len();
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

/// The name of each group behind the branches that lead to it.
pub(crate) fn names(groups: &Groups) -> Vec<String> {
    let depths: Vec<usize> = groups.keys().map(GroupPath::depth).collect();
    let branches = branches(&depths).into_iter().zip(groups.keys());
    let names = branches.map(|(branch, place)| format!("{branch}{}", place.name()));
    names.collect()
}

/// Bytes in the greatest unit that leaves a number of at least 1.
pub(crate) fn size(value: &Json) -> String {
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
pub(crate) fn seconds(value: &Json) -> String {
    match value.as_u64() {
        Some(us) => format!("{}.{:03}s", us / 1_000_000, us / 1000 % 1000),
        None => plain(value),
    }
}

/// Share of the last ten seconds in which somebody had to wait.
fn stalled(value: &Json) -> String {
    value
        .pointer("/some/avg10")
        .map_or_else(String::new, |share| format!("{share}%"))
}

fn yes(value: &Json) -> String {
    if *value == Json::Bool(true) {
        "yes".to_owned()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Usage;
    use serde_json::json;

    fn groups() -> Groups {
        Groups::from([
            (
                "pod-foo".into(),
                Usage::of(
                    json!({"memory.max": 536_870_912, "memory.current": 1536, "memory.oom_kill": 1}),
                    &[],
                ),
            ),
            (
                "pod-foo/app".into(),
                Usage::of(json!({"pids.max": "max", "cpu.usage_usec": 1_234_567}), &[]),
            ),
            ("pod-foo/app-2".into(), Usage::of(json!({}), &[])),
            ("pod-foo/app/deep".into(), Usage::of(json!({}), &[7, 42])),
            (
                "pod-foo/pause".into(),
                Usage::of(json!({"memory.max": "max"}), &[5]),
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
├─app-2        -     -     -         -      -    -         -          -
└─pause        -   max     -         -      -    -         -          -  5
"
        );
    }

    #[test]
    fn json_has_each_group_with_v2s_names() {
        let found = Snapshot {
            id: "foo".parse().unwrap(),
            path: "a/pod-foo".into(),
            groups: groups(),
        };
        let shown = found.into_json();
        assert_eq!(shown["group"], "/a/pod-foo");
        assert_eq!(shown["groups"][0]["group"], "/a/pod-foo");
        assert_eq!(shown["groups"][1]["group"], "/a/pod-foo/app");
        assert_eq!(shown["groups"][0]["memory.max"], 536_870_912);
        assert_eq!(shown["groups"][2]["processes"], json!([7, 42]));
    }

    #[test]
    fn what_no_group_has_makes_no_column() {
        let mut some = groups();
        assert!(!table(&some).contains("STALL") && !table(&some).contains("FROZEN"));
        let app = some.get_mut(&"pod-foo/app".into()).unwrap();
        app.values.insert("frozen".into(), true.into());
        let stall = json!({"some": {"avg10": 1.25}});
        app.values.insert("memory.pressure".into(), stall);
        let text = table(&some);
        assert!(text.contains("MEM-STALL  FROZEN"), "{text}");
        assert!(text.contains("1.25%     yes"), "{text}");
        assert!(!text.contains("CPU-STALL"), "{text}");
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
}
