//! `cgset watch`: what the pod's groups use, again and again.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use record::Record;
use rustix::termios::tcgetwinsize;

use crate::cli::WatchArgs;
use crate::error::Error;
use crate::hierarchy::Hierarchies;
use crate::show::{aligned, names, size};
use crate::snapshot::Snapshot;
use crate::tree::bar;
use crate::usage::Usage;
use crate::{TOOL, pod};

/// Runs the verb. It ends with its count, with the pod, with its reader, or by Ctrl-C.
pub(crate) fn watch(args: &WatchArgs) -> ExitCode {
    // Read by the frame of show; the first record is the one.
    record::show(TOOL, &args.source, |record| match samples(record, args) {
        Err(Ended::Reader) => Ok(String::new()),
        Err(Ended::Failed(error)) => Err(error),
        Ok(()) => Ok(String::new()),
    })
}

/// Why there are no more samples.
enum Ended {
    /// Nobody reads any more.
    Reader,
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn samples(record: &Record, args: &WatchArgs) -> Result<(), Ended> {
    let hierarchies = Hierarchies::detect()?;
    let is_live = io::stdout().is_terminal() && !args.json;
    let mut before: Option<(Instant, Snapshot)> = None;
    let mut number = 0;
    loop {
        let begin = Instant::now();
        let standing = pod::groups(record, &hierarchies, None);
        let now = match (standing, &before) {
            (Ok(standing), _) => Snapshot::take(record, &standing)?,
            // It was taken down while we looked.
            (Err(_), Some(_)) => return Ok(()),
            (Err(error), None) => return Err(error.into()),
        };
        let earlier = before
            .as_ref()
            .map(|(time, snapshot)| (begin.duration_since(*time), snapshot));
        let text = match is_live {
            true => screen(&table(&now, earlier)),
            false => format!("{}\n", now.clone().into_json()),
        };
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        written.map_err(|_| Ended::Reader)?;
        number += 1;
        if args.count.is_some_and(|count| number >= count) {
            return Ok(());
        }
        before = Some((begin, now));
        std::thread::sleep(args.interval.saturating_sub(begin.elapsed()));
    }
}

/// The whole terminal: what was there is written over, so nothing flickers.
fn screen(table: &str) -> String {
    let (rows, columns) = terminal_size();
    let mut text = String::from("\x1b[H");
    for line in table.lines().take(rows.saturating_sub(1)) {
        text.extend(line.chars().take(columns));
        text.push_str("\x1b[K\n");
    }
    text.push_str("\x1b[J");
    text
}

/// Rows and columns; a terminal that does not know its own is as they were for long.
pub(crate) fn terminal_size() -> (usize, usize) {
    let known = |size: u16, usual: usize| match size {
        0 => usual,
        size => usize::from(size),
    };
    tcgetwinsize(io::stdout()).map_or((24, 80), |size| {
        (known(size.ws_row, 24), known(size.ws_col, 80))
    })
}

/// As show's, with rates in the place of sums.
fn table(now: &Snapshot, before: Option<(Duration, &Snapshot)>) -> String {
    let titles = [
        "GROUP",
        "CPU",
        "THROTTLED",
        "MEMORY",
        "",
        "MAX",
        "TASKS",
        "MAX",
        "OOM-KILL",
        "PROCESSES",
    ];
    let mut rows: Vec<Vec<String>> = vec![titles.map(str::to_owned).to_vec()];
    for (name, (path, usage)) in names(&now.groups).into_iter().zip(&now.groups) {
        let earlier = before.and_then(|(time, snapshot)| Some((time, snapshot.groups.get(path)?)));
        let value = |name: &str| {
            let value = usage.values.get(name);
            value.map_or_else(|| "-".to_owned(), size)
        };
        let memory = usage
            .number("memory.current")
            .zip(usage.number("memory.max"))
            .map_or_else(String::new, |(used, max)| bar(used, max));
        rows.push(vec![
            name,
            share(usage, earlier, "cpu.usage_usec"),
            share(usage, earlier, "cpu.throttled_usec"),
            value("memory.current"),
            memory,
            value("memory.max"),
            value("pids.current"),
            value("pids.max"),
            value("memory.oom_kill"),
            usage.processes.len().to_string(),
        ]);
    }
    aligned(&rows)
}

/// Microseconds of `name` per microsecond since, in percent: 100% is one cpu.
fn share(usage: &Usage, earlier: Option<(Duration, &Usage)>, name: &str) -> String {
    let used = earlier.and_then(|(time, earlier)| {
        let used = usage.number(name)?.saturating_sub(earlier.number(name)?);
        let tenths = u128::from(used) * 1000 / time.as_micros().max(1);
        Some(format!("{}.{}%", tenths / 10, tenths % 10))
    });
    used.unwrap_or_else(|| "-".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Groups;
    use serde_json::json;

    fn snapshot(usec: u64) -> Snapshot {
        let values = json!({"cpu.usage_usec": usec, "memory.current": 512, "memory.max": 1024, "pids.max": "max"});
        let usage = Usage::of(values, &[1, 2]);
        Snapshot {
            id: "foo".parse().unwrap(),
            path: "pod-foo".into(),
            groups: Groups::from([("pod-foo".into(), usage)]),
        }
    }

    #[test]
    fn a_rate_is_what_was_used_since() {
        let (first, second) = (snapshot(1_000_000), snapshot(1_750_000));
        let text = table(&second, Some((Duration::from_millis(500), &first)));
        let row = text.lines().nth(1).unwrap();
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "pod-foo",
                "150.0%",
                "-",
                "512",
                "#####.....",
                "1K",
                "-",
                "max",
                "-",
                "2"
            ]
        );
        assert!(table(&first, None).contains(" -"), "{text}");
    }

    #[test]
    fn a_screen_is_written_over_and_the_rest_erased() {
        let text = screen("a\nb\n");
        assert_eq!(text, "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }
}
