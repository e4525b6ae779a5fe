//! `cgset tree`: the pod's groups with their processes, as systemd-cgls prints them, and use and limits as bars.

use std::io::{IsTerminal as _, stdout};
use std::process::ExitCode;

use serde_json::Value as Json;

use crate::branches::branches;
use crate::cli::TreeArgs;
use crate::error::Error;
use crate::hierarchy::Hierarchies;
use crate::show::{seconds, size};
use crate::snapshot::{Groups, Snapshot};
use crate::usage::Usage;
use crate::watch::terminal_size;
use crate::{TOOL, pod};

/// Runs the verb.
pub(crate) fn tree(args: &TreeArgs) -> ExitCode {
    let width = match stdout().is_terminal() {
        true => terminal_size().1,
        false => usize::MAX,
    };
    record::show(TOOL, &args.source, |record| -> Result<String, Error> {
        let hierarchies = Hierarchies::detect()?;
        let found = Snapshot::take(record, &pod::groups(record, &hierarchies, None)?)?;
        Ok(render(&found.groups, &command_line, width))
    })
}

/// The lines, cut at `width`: a group, then its processes, then the groups in it; `command` names a process.
fn render(groups: &Groups, command: &dyn Fn(i32) -> String, width: usize) -> String {
    let mut lines = Vec::new();
    for (place, usage) in groups {
        let depth = place.depth();
        lines.push((depth, place.name().to_owned(), Some(facts(usage))));
        for &pid in &usage.processes {
            lines.push((depth + 1, format!("{pid} {}", command(pid)), None));
        }
    }
    let depths: Vec<usize> = lines.iter().map(|(depth, ..)| *depth).collect();
    let lines = branches(&depths).into_iter().zip(lines);
    let lines = lines.map(|(branch, (_, name, facts))| (format!("{branch}{name}"), facts));
    let lines: Vec<(String, Option<String>)> = lines.collect();
    let names = lines.iter().filter(|(_, facts)| facts.is_some());
    let names = names.map(|(name, _)| name.chars().count()).max();
    let mut text = String::new();
    for (name, facts) in lines {
        let line = match facts {
            Some(facts) => format!("{name:0$}  {facts}", names.unwrap_or(0)),
            None => name,
        };
        text.extend(line.trim_end().chars().take(width));
        text.push('\n');
    }
    text
}

/// What a group uses of what it may: `memory [##........] 100M/512M  tasks 3  cpu 1.234s  2 OOM kills`.
fn facts(usage: &Usage) -> String {
    let mut parts = Vec::new();
    for (title, current, max, shown) in [
        (
            "memory",
            "memory.current",
            "memory.max",
            size as fn(&Json) -> String,
        ),
        ("tasks", "pids.current", "pids.max", Json::to_string),
    ] {
        let Some(used) = usage.values.get(current) else {
            continue;
        };
        parts.push(match (usage.number(current), usage.values.get(max)) {
            (Some(number), Some(Json::Number(limit))) => {
                let bar = bar(number, limit.as_u64().unwrap_or(0));
                let limit = shown(&Json::Number(limit.clone()));
                format!("{title} [{bar}] {}/{limit}", shown(used))
            }
            _ => format!("{title} {}", shown(used)),
        });
    }
    if let Some(time) = usage.values.get("cpu.usage_usec") {
        parts.push(format!("cpu {}", seconds(time)));
    }
    match usage.number("memory.oom_kill") {
        None | Some(0) => {}
        Some(1) => parts.push("1 OOM kill".into()),
        Some(count) => parts.push(format!("{count} OOM kills")),
    }
    if usage.values.get("frozen") == Some(&Json::Bool(true)) {
        parts.push("frozen".into());
    }
    parts.join("  ")
}

/// Ten characters; the first is filled as soon as there is anything, the last when there is no more to have.
pub(crate) fn bar(used: u64, max: u64) -> String {
    const WIDTH: u128 = 10;
    let (used, max) = (u128::from(used), u128::from(max));
    let filled = match (used, max) {
        (0, 1..) => 0,
        (used, max) if used >= max => WIDTH,
        (used, max) => (used * WIDTH / max).max(1),
    };
    let filled = usize::try_from(filled).unwrap_or(0);
    format!("{}{}", "#".repeat(filled), ".".repeat(10 - filled))
}

/// As ps(1) shows it; of a kernel thread or one that has ended the name. Nothing in it acts on a terminal.
fn command_line(pid: i32) -> String {
    if pid == 0 {
        return "(of another pid namespace)".into();
    }
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let mut line = read("cmdline");
    while line.last() == Some(&0) {
        line.pop();
    }
    if line.is_empty() {
        let name = String::from_utf8_lossy(&read("comm")).trim_end().to_owned();
        line = match name.is_empty() {
            true => b"(gone)".to_vec(),
            false => format!("[{name}]").into_bytes(),
        };
    }
    let text = String::from_utf8_lossy(&line).replace('\0', " ");
    let printable = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(4096).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn processes_come_before_the_groups_below() {
        let groups = Groups::from([
            (
                "pod-foo".into(),
                Usage::of(
                    json!({"memory.current": 104_857_600, "memory.max": 536_870_912, "pids.current": 3, "pids.max": "max"}),
                    &[],
                ),
            ),
            (
                "pod-foo/app".into(),
                Usage::of(
                    json!({"cpu.usage_usec": 1_234_567, "memory.oom_kill": 2, "frozen": true}),
                    &[7, 42],
                ),
            ),
            ("pod-foo/app/deep".into(), Usage::of(json!({}), &[43])),
            (
                "pod-foo/pause".into(),
                Usage::of(json!({"memory.oom_kill": 1}), &[5]),
            ),
        ]);
        let text = render(&groups, &|pid| format!("cmd{pid}"), usize::MAX);
        assert_eq!(
            text,
            "\
pod-foo   memory [#.........] 100M/512M  tasks 3
├─app     cpu 1.234s  2 OOM kills  frozen
│ ├─7 cmd7
│ ├─42 cmd42
│ └─deep
│   └─43 cmd43
└─pause   1 OOM kill
  └─5 cmd5
"
        );
        let narrow = render(&groups, &|pid| format!("cmd{pid}"), 12);
        assert!(
            narrow.lines().all(|line| line.chars().count() <= 12),
            "{narrow}"
        );
    }

    #[test]
    fn a_bar_is_empty_only_for_nothing_and_full_only_at_the_limit() {
        for (used, max, text) in [
            (0, 10, ".........."),
            (1, 1000, "#........."),
            (5, 10, "#####....."),
            (999, 1000, "#########."),
            (10, 10, "##########"),
            (11, 10, "##########"),
            (0, 0, "##########"),
            (u64::MAX, u64::MAX, "##########"),
        ] {
            assert_eq!(bar(used, max), text, "{used}/{max}");
        }
    }

    #[test]
    fn a_process_is_named_as_it_was_called() {
        let own = command_line(i32::try_from(std::process::id()).unwrap());
        assert!(own.contains("cgset"), "{own}");
        assert_eq!(command_line(i32::MAX), "(gone)");
    }
}
