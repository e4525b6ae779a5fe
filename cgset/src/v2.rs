//! cgroup v2's files; cgroups' own vocabulary, so most limits are written as they are spelt.

use serde_json::Value as Json;

use crate::error::Error;
use crate::limits::{
    Limits, Swap, Value, Weight, blkio_to_io_weight, shares_to_weight, weight_to_shares,
};
use crate::units::Amount;
use crate::version::{File, Read, scalar};

/// The controller that has `name`; `cgroup` for what every group has.
pub(crate) fn controller(name: &str) -> &str {
    name.split_once('.')
        .map_or(name, |(controller, _)| controller)
}

/// The files to write, in the order they must be written in.
pub(crate) fn files(name: &str, value: &Value, all: &Limits) -> Result<Vec<File>, Error> {
    let one = |text: String| Ok(vec![File::new(name, text)]);
    if let Some(hint) = has_no_counterpart(name) {
        return Err(Error::Failed(format!(
            "{name}: cgroup v2 has no such limit ({hint})"
        )));
    }
    match value {
        Value::Amount(amount) => one(amount.to_string()),
        Value::Swap(swap) => one(swap_alone(*swap, all.memory_max())?.to_string()),
        Value::CpuMax {
            quota: Some(quota),
            period: Some(period),
        } => one(format!("{quota} {period}")),
        Value::CpuMax {
            quota: Some(quota),
            period: None,
        } => one(quota.to_string()),
        // the file takes no period without a quota
        Value::CpuMax {
            quota: None,
            period,
        } => one(format!("max {}", period.unwrap_or(100_000))),
        Value::Weight(Weight::V1(shares)) => one(shares_to_weight(*shares).to_string()),
        Value::IoWeight(Weight::V1(weight)) => one(blkio_to_io_weight(*weight).to_string()),
        Value::Weight(Weight::V2(weight)) | Value::IoWeight(Weight::V2(weight)) => {
            one(weight.to_string())
        }
        Value::Io(devices) => Ok(devices
            .iter()
            .map(|device| File::new(name, device.to_string()))
            .collect()),
        // no file: a program, which `make` attaches
        Value::Devices(rules) => one(rules.spelt()),
        Value::Text(text) => one(text.clone()),
    }
}

/// What the kernel has now for a limit that was asked for.
pub(crate) fn effective(
    name: &str,
    value: &Value,
    read: Read<'_>,
) -> Result<Vec<(String, Json)>, Error> {
    let text = read(name)?;
    let one = |value: Json| Ok(vec![(name.to_owned(), value)]);
    match value {
        Value::Weight(weight) => {
            let shares = match weight {
                Weight::V1(shares) => *shares,
                Weight::V2(weight) => weight_to_shares(*weight),
            };
            Ok(vec![
                (name.to_owned(), scalar(&text)),
                ("cpu.shares".to_owned(), shares.into()),
            ])
        }
        // "default 100"
        Value::IoWeight(_) => one(scalar(
            text.lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("default "),
        )),
        Value::Io(devices) => {
            let asked = |line: &&str| {
                devices
                    .iter()
                    .any(|device| line.split(' ').next() == Some(&device.number))
            };
            one(text
                .lines()
                .filter(asked)
                .collect::<Vec<_>>()
                .join("\n")
                .into())
        }
        // a list of one cpu is a list
        _ if name.starts_with("cpuset.") => one(text.trim_end().into()),
        _ => one(scalar(&text)),
    }
}

/// Swap without the memory that v1 and OCI count with it.
fn swap_alone(swap: Swap, memory: Option<Amount>) -> Result<Amount, Error> {
    match (swap, memory) {
        (Swap::Beside(amount), _) => Ok(amount),
        (Swap::Total(Amount::Max), _) => Ok(Amount::Max),
        (Swap::Total(Amount::Exactly(total)), Some(Amount::Exactly(memory))) if total >= memory => {
            Ok(Amount::Exactly(total - memory))
        }
        (Swap::Total(total), Some(memory)) => Err(Error::Usage(format!(
            "memory.memsw.limit_in_bytes={total}: less than memory.max={memory} (it counts memory and swap)"
        ))),
        (Swap::Total(_), None) => Err(Error::Failed(
            "memory.memsw.limit_in_bytes: cgroup v2 limits swap by itself (use memory.swap.max, or give memory.max as well)"
                .into(),
        )),
    }
}

/// For a name that only v1 has: what to do instead.
fn has_no_counterpart(name: &str) -> Option<&'static str> {
    Some(match name {
        "memory.swappiness" => "use memory.swap.max=0 to keep it out of swap",
        "memory.oom_control" => "use memory.high, which slows down instead of killing",
        _ if name.starts_with("memory.kmem.") => "memory.max counts the kernel's memory too",
        "cpu.rt_runtime_us" | "cpu.rt_period_us" => {
            "its cpu controller leaves real-time processes alone"
        }
        "cpuset.cpu_exclusive"
        | "cpuset.mem_exclusive"
        | "cpuset.mem_hardwall"
        | "cpuset.memory_migrate" => "use cpuset.cpus.partition",
        _ if name.starts_with("blkio.") => "use io.max or io.weight",
        _ if name.starts_with("cpuacct.") => "cpu.stat has it",
        _ if name.starts_with("freezer.") => "use cgroup.freeze",
        _ if name.starts_with("devices.") => "use devices, devices.allow and devices.deny",
        _ if name.starts_with("net_cls.") || name.starts_with("net_prio.") => {
            "nftables matches a group by its path"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::hierarchy::Version;
    use crate::version::tests::{made, written};

    #[test]
    fn v1s_words_are_translated_back() {
        for (words, lines) in [
            (
                &["memory.limit_in_bytes=1Ki"] as &[&str],
                &["memory.max=1024"] as &[&str],
            ),
            (&["memory.limit_in_bytes=-1"], &["memory.max=max"]),
            (&["memory.soft_limit_in_bytes=1Ki"], &["memory.low=1024"]),
            (
                &["memory.max=1Ki", "memory.memsw.limit_in_bytes=3Ki"],
                &["memory.max=1024", "memory.swap.max=2048"],
            ),
            (
                &["memory.memsw.limit_in_bytes=-1"],
                &["memory.swap.max=max"],
            ),
            (&["cpu.shares=1024"], &["cpu.weight=100"]),
            (
                &["cpu.cfs_quota_us=5000", "cpu.cfs_period_us=10000"],
                &["cpu.max=5000 10000"],
            ),
            (&["cpu.cfs_quota_us=5000"], &["cpu.max=5000"]),
            (&["cpu.cfs_period_us=10000"], &["cpu.max=max 10000"]),
            (&["cpu.max=0.5"], &["cpu.max=50000 100000"]),
            (&["blkio.weight=1000"], &["io.weight=10000"]),
            (
                &["blkio.throttle.read_bps_device=8:0 0"],
                &["io.max=8:0 rbps=max"],
            ),
            (
                &["hugetlb.2MB.limit_in_bytes=-1", "freezer.state=FROZEN"],
                &["hugetlb.2MB.max=max", "cgroup.freeze=1"],
            ),
            (
                &["devices.deny=a", "devices.allow=c 1:3 rw"],
                &["devices=none, allow c 1:3 rw"],
            ),
            (
                &["memory.oom.group=1", "pids.max=5"],
                &["memory.oom.group=1", "pids.max=5"],
            ),
        ] {
            assert_eq!(written(Version::V2, words).unwrap(), lines, "{words:?}");
        }
    }

    #[test]
    fn what_only_v1_has_is_refused_with_v2s_name() {
        for (word, text) in [
            (
                "memory.swappiness=0",
                "memory.swappiness: cgroup v2 has no such limit (use memory.swap.max=0 to keep it out of swap)",
            ),
            (
                "blkio.leaf_weight=5",
                "blkio.leaf_weight: cgroup v2 has no such limit (use io.max or io.weight)",
            ),
            (
                "devices.some_file=a",
                "devices.some_file: cgroup v2 has no such limit (use devices, devices.allow and devices.deny)",
            ),
            (
                "memory.memsw.limit_in_bytes=1Ki",
                "memory.memsw.limit_in_bytes: cgroup v2 limits swap by itself (use memory.swap.max, or give memory.max as well)",
            ),
        ] {
            assert_eq!(written(Version::V2, &[word]).unwrap_err(), text);
        }
        assert_eq!(
            written(
                Version::V2,
                &["memory.max=2Ki", "memory.memsw.limit_in_bytes=1Ki"]
            )
            .unwrap_err(),
            "memory.memsw.limit_in_bytes=1024: less than memory.max=2048 (it counts memory and swap)"
        );
    }

    #[test]
    fn both_sides_of_a_weight_are_kept() {
        let kernel = |file: &str| match file {
            "cpu.weight" => "59\n",
            "io.weight" => "default 10000\n8:0 5\n",
            "io.max" => {
                "8:0 rbps=1 wbps=max riops=max wiops=max\n8:16 rbps=2 wbps=max riops=max wiops=max\n"
            }
            "memory.max" => "max\n",
            _ => "",
        };
        let words = [
            "cpu.shares=512",
            "blkio.weight=1000",
            "io.max=8:0 rbps=1",
            "memory.max=max",
        ];
        assert_eq!(
            made(Version::V2, &words, kernel),
            [
                "cpu.weight=59",
                "cpu.shares=512",
                "io.weight=10000",
                "io.max=\"8:0 rbps=1 wbps=max riops=max wiops=max\"",
                "memory.max=\"max\"",
            ]
        );
    }
}
