//! The words a limit may be written in: cgroup v2's names, and v1's for the same things.

use crate::error::Error;
use crate::keys::KEYS;
use crate::limits::Limits;
use crate::nearest::nearest;
use crate::units;
use crate::values::{self, Kind};

/// The kernel's controllers, and `cgroup` for what every v2 group has.
const CONTROLLERS: &[&str] = &[
    "memory",
    "cpu",
    "cpuacct",
    "cpuset",
    "pids",
    "io",
    "blkio",
    "hugetlb",
    "devices",
    "freezer",
    "rdma",
    "misc",
    "dmem",
    "net_cls",
    "net_prio",
    "perf_event",
    "cgroup",
];

/// What the words are read against.
pub(crate) struct Machine {
    /// Bytes of memory, asked for only where there is a percentage.
    pub(crate) memory_total: fn() -> u64,
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Self {
        Self { memory_total }
    }
}

/// MemTotal of /proc/meminfo in bytes; 0 where that cannot be read.
fn memory_total() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    kib.unwrap_or(0) * 1024
}

/// `KEY=VALUE` words as limits.
pub(crate) fn parse_all<'a>(
    words: impl IntoIterator<Item = &'a str>,
    machine: &Machine,
) -> Result<Limits, Error> {
    let mut limits = Limits::default();
    for word in words {
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| Error::Usage(format!("{word}: not KEY=VALUE")))?;
        parse(key, value, machine, &mut limits)?;
    }
    Ok(limits)
}

/// One key and its value, laid over `limits`.
pub(crate) fn parse(
    key: &str,
    value: &str,
    machine: &Machine,
    limits: &mut Limits,
) -> Result<(), Error> {
    let value = value.trim();
    let (name, kind) = lookup(key).ok_or_else(|| unknown(key))?;
    let nonsense = |wanted: &str| {
        Error::Usage(format!(
            "{}={}: not {wanted}",
            printable(key),
            printable(value)
        ))
    };
    if value.is_empty() || value.chars().any(|c| c.is_control() && c != '\n') {
        return Err(nonsense("a value"));
    }
    let parsed = values::read(kind, key, value, machine).ok_or_else(|| nonsense(kind.wanted()))?;
    limits.set(&name, parsed);
    Ok(())
}

/// The name and kind of a key: one of the table, a huge page size's, or a file of a controller the kernel has.
fn lookup(key: &str) -> Option<(String, Kind)> {
    if let Some((_, name, kind)) = KEYS.iter().find(|(word, ..)| *word == key) {
        return Some(((*name).to_owned(), *kind));
    }
    if let Some(name) = hugetlb(key) {
        return Some((name, Kind::Bytes));
    }
    let (controller, file) = key.split_once('.')?;
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
    };
    // A misspelt key would be a file that is not there; a far-off one may be a newer kernel's.
    let raw =
        CONTROLLERS.contains(&controller) && file.split('.').all(part) && nearest(key).is_empty();
    raw.then(|| (key.to_owned(), Kind::Text))
}

/// `hugetlb.2MB.max` for itself and for v1's `hugetlb.2MB.limit_in_bytes`, the same with `.rsvd`.
fn hugetlb(key: &str) -> Option<String> {
    let rest = key.strip_prefix("hugetlb.")?;
    let stem = rest
        .strip_suffix(".max")
        .or_else(|| rest.strip_suffix(".limit_in_bytes"))?;
    let size = stem.strip_suffix(".rsvd").unwrap_or(stem);
    let digits = size
        .strip_suffix("KB")
        .or_else(|| size.strip_suffix("MB"))
        .or_else(|| size.strip_suffix("GB"))?;
    units::number(digits).map(|_| format!("hugetlb.{stem}.max"))
}

fn unknown(key: &str) -> Error {
    let shown = printable(key);
    match nearest(key).as_slice() {
        [] => Error::Usage(format!(
            "{shown}: no such limit (cgroup v2's names, v1's, or CONTROLLER.FILE)"
        )),
        words => {
            let words = words.join(" or ");
            Error::Usage(format!("{shown}: no such limit (did you mean {words}?)"))
        }
    }
}

/// What stands in an error must not act on a terminal, nor fill it.
fn printable(text: &str) -> String {
    text.chars()
        .take(60)
        .collect::<String>()
        .escape_debug()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine = Machine {
        memory_total: || 1 << 30,
    };

    fn spelt(words: &[&str]) -> Vec<String> {
        let limits = parse_all(words.iter().copied(), &MACHINE).unwrap();
        limits
            .spelt()
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }

    fn problem(word: &str) -> String {
        parse_all([word], &MACHINE).unwrap_err().to_string()
    }

    #[test]
    fn both_spellings_mean_the_same() {
        for (word, name) in [
            ("memory.max=512Mi", "memory.max=536870912"),
            ("memory.limit_in_bytes=512M", "memory.max=536870912"),
            ("memory.limit_in_bytes=-1", "memory.max=max"),
            ("memory.max=50%", "memory.max=536870912"),
            ("memory.soft_limit_in_bytes=1k", "memory.low=1024"),
            ("memory.swap.max=0", "memory.swap.max=0"),
            (
                "memory.memsw.limit_in_bytes=1G",
                "memory.memsw.limit_in_bytes=1073741824",
            ),
            ("pids.max=100", "pids.max=100"),
            ("pids.max=max", "pids.max=max"),
            ("cpu.max=0.5", "cpu.max=50000 100000"),
            ("cpu.max=500m", "cpu.max=50000 100000"),
            ("cpu.max=2", "cpu.max=200000 100000"),
            ("cpu.max=50000 100000", "cpu.max=50000 100000"),
            ("cpu.max=max 50000", "cpu.max=max 50000"),
            ("cpu.max=50000", "cpu.cfs_quota_us=50000"),
            ("cpu.max=max", "cpu.cfs_quota_us=-1"),
            ("cpu.cfs_quota_us=-1", "cpu.cfs_quota_us=-1"),
            ("cpu.shares=1024", "cpu.shares=1024"),
            ("cpu.weight=100", "cpu.weight=100"),
            ("cpuset.cpus=0-3,7", "cpuset.cpus=0-3,7"),
            (
                "io.max=8:0 rbps=1M  wiops=max",
                "io.max=8:0 rbps=1048576 wiops=max",
            ),
            (
                "blkio.throttle.write_bps_device=8:0 0",
                "io.max=8:0 wbps=max",
            ),
            ("hugetlb.2MB.limit_in_bytes=4M", "hugetlb.2MB.max=4194304"),
            ("hugetlb.1GB.rsvd.max=max", "hugetlb.1GB.rsvd.max=max"),
            ("freezer.state=FROZEN", "cgroup.freeze=1"),
            ("devices.deny=a", "devices=none"),
            ("devices=c 1:3 rw", "devices=allow c 1:3 rw"),
            ("perf_event.some_file=a b", "perf_event.some_file=a b"),
        ] {
            assert_eq!(spelt(&[word]), [name], "{word}");
        }
        let both = ["cpu.cfs_quota_us=5000", "cpu.cfs_period_us=10000"];
        assert_eq!(spelt(&both), ["cpu.max=5000 10000"]);
    }

    #[test]
    fn what_is_spelt_reads_back_the_same() {
        let words = [
            "memory.max=1G",
            "memory.memsw.limit_in_bytes=2G",
            "cpu.cfs_quota_us=-1",
            "cpu.shares=77",
            "blkio.weight=20",
            "io.max=8:0 rbps=1\n9:0 wbps=2",
            "hugetlb.2MB.max=2M",
            "cgroup.freeze=0",
            "devices.deny=a",
            "devices.allow=c 10:200 rw",
        ];
        let first = parse_all(words, &MACHINE).unwrap();
        let again: Vec<String> = first
            .spelt()
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(
            parse_all(again.iter().map(String::as_str), &MACHINE).unwrap(),
            first
        );
    }

    #[test]
    fn nonsense_is_refused_with_what_was_expected() {
        for (word, text) in [
            ("memory.max", "memory.max: not KEY=VALUE"),
            ("memory.max=", "memory.max=: not a value"),
            (
                "memory.max=12Q",
                "memory.max=12Q: not an amount of memory (512Mi, 1.5G, 50%, max)",
            ),
            (
                "memory.max=-1",
                "memory.max=-1: not an amount of memory (512Mi, 1.5G, 50%, max)",
            ),
            (
                "memory.max=101%",
                "memory.max=101%: not an amount of memory (512Mi, 1.5G, 50%, max)",
            ),
            (
                "memory.max=1\u{1b}[2J",
                "memory.max=1\\u{1b}[2J: not a value",
            ),
            (
                "pids.max=4194305",
                "pids.max=4194305: not a number in range, or max",
            ),
            ("pids.max=-1", "pids.max=-1: not a number in range, or max"),
            (
                "memory.swappiness=201",
                "memory.swappiness=201: not a number from 0 to 200",
            ),
            ("memory.oom.group=2", "memory.oom.group=2: not 0 or 1"),
            ("cpu.weight=0", "cpu.weight=0: not a weight (1 to 10000)"),
            ("cpu.shares=1", "cpu.shares=1: not shares (2 to 262144)"),
            (
                "cpuset.cpus=3-1",
                "cpuset.cpus=3-1: not a list of numbers (0-3,7)",
            ),
            (
                "cpuset.cpus=a",
                "cpuset.cpus=a: not a list of numbers (0-3,7)",
            ),
            (
                "io.max=8:0",
                "io.max=8:0: not \"MAJOR:MINOR rbps=N wbps=N riops=N wiops=N\"",
            ),
            (
                "io.max=sda rbps=1",
                "io.max=sda rbps=1: not \"MAJOR:MINOR rbps=N wbps=N riops=N wiops=N\"",
            ),
            (
                "freezer.state=cold",
                "freezer.state=cold: not FROZEN or THAWED",
            ),
            (
                "devices.allow=a\nb",
                "devices.allow=a\\nb: not a rule of devices (a, c 1:3 rwm, b 8:* w)",
            ),
            (
                "cpu.cfs_period_us=999",
                "cpu.cfs_period_us=999: not microseconds (1000 to 1000000)",
            ),
            (
                "cpu.cfs_quota_us=999",
                "cpu.cfs_quota_us=999: not microseconds (1000 or more, or -1)",
            ),
        ] {
            assert_eq!(problem(word), text, "{word}");
        }
        for word in [
            "cpu.max=50%",
            "cpu.max=0.001",
            "cpu.max=0",
            "cpu.max=5 5",
            "cpu.max=999 100000",
            "cpu.max=9m",
        ] {
            assert!(
                problem(word).starts_with(&format!("{word}: not cpus")),
                "{word}"
            );
        }
    }

    #[test]
    fn a_misspelt_key_is_told_the_nearest_ones() {
        for (word, meant) in [
            ("memory.mx=1", "memory.max or memory.min"),
            ("memroy.max=1", "memory.max"),
            ("pid.max=1", "pids.max"),
            ("cpu.share=2", "cpu.shares"),
            ("memory.limit_in_byte=1", "memory.limit_in_bytes"),
        ] {
            let key = word.split('=').next().unwrap();
            assert_eq!(
                problem(word),
                format!("{key}: no such limit (did you mean {meant}?)")
            );
        }
        let far = "no such limit (cgroup v2's names, v1's, or CONTROLLER.FILE)";
        for key in [
            "ram",
            "foo.bar",
            "memory",
            "memory.",
            ".max",
            "memory./../x",
            "memory...",
            "memory.a/../b",
        ] {
            assert_eq!(
                problem(&format!("{key}=1")),
                format!("{key}: {far}"),
                "{key}"
            );
        }
    }

    #[test]
    fn every_word_of_the_table_is_read() {
        for (word, name, _) in KEYS {
            assert!(
                lookup(word).is_some_and(|(found, _)| found == *name),
                "{word}"
            );
            assert!(
                lookup(name).is_some_and(|(found, _)| found == *name),
                "{name}"
            );
        }
    }
}
