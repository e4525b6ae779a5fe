//! Limits in v1's words, and back.

use crate::hierarchy::Version;
use crate::version::tests::{made, written};

#[test]
fn each_limit_has_its_file_on_v1() {
    for (words, lines) in [
        (
            &["memory.max=1Ki"] as &[&str],
            &["memory.limit_in_bytes=1024"] as &[&str],
        ),
        (&["memory.max=max"], &["memory.limit_in_bytes=-1"]),
        (&["memory.low=1Ki"], &["memory.soft_limit_in_bytes=1024"]),
        (&["memory.swappiness=0"], &["memory.swappiness=0"]),
        (
            &["memory.max=1Ki", "memory.swap.max=1Ki"],
            &[
                "memory.limit_in_bytes=1024",
                "memory.memsw.limit_in_bytes=2048",
            ],
        ),
        (
            &["memory.swap.max=max"],
            &["memory.memsw.limit_in_bytes=-1"],
        ),
        (
            &["memory.memsw.limit_in_bytes=1Ki"],
            &["memory.memsw.limit_in_bytes=1024"],
        ),
        (&["pids.max=max"], &["pids.max=max"]),
        (&["pids.max=7"], &["pids.max=7"]),
        (
            &["cpu.max=0.5"],
            &["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000"],
        ),
        (&["cpu.max=max"], &["cpu.cfs_quota_us=-1"]),
        (&["cpu.weight=100"], &["cpu.shares=1024"]),
        (&["cpu.shares=512"], &["cpu.shares=512"]),
        (&["cpuset.cpus=0-1"], &["cpuset.cpus=0-1"]),
        (&["io.weight=10000"], &["blkio.weight=1000"]),
        (
            &["io.max=8:0 rbps=1 wiops=max"],
            &[
                "blkio.throttle.read_bps_device=8:0 1",
                "blkio.throttle.write_iops_device=8:0 0",
            ],
        ),
        (
            &["hugetlb.2MB.rsvd.max=2M"],
            &["hugetlb.2MB.rsvd.limit_in_bytes=2097152"],
        ),
        (&["cgroup.freeze=1"], &["freezer.state=FROZEN"]),
        (
            &["devices=none, c 1:3 rw", "devices.deny=c 1:3 w"],
            &[
                "devices.deny=a",
                "devices.allow=c 1:3 rw",
                "devices.deny=c 1:3 w",
            ],
        ),
        (&["memory.use_hierarchy=1"], &["memory.use_hierarchy=1"]),
    ] {
        assert_eq!(written(Version::V1, words).unwrap(), lines, "{words:?}");
    }
}

#[test]
fn what_only_v2_has_is_refused() {
    for (word, text) in [
        (
            "memory.high=1",
            "memory.high: cgroup v1 has no such limit (memory.max and memory.low have counterparts)",
        ),
        (
            "memory.oom.group=1",
            "memory.oom.group: cgroup v1 has no such limit",
        ),
        (
            "cgroup.max.depth=1",
            "cgroup.max.depth: cgroup v1 has no such limit",
        ),
        (
            "io.latency=8:0 target=1",
            "io.latency: cgroup v1 has no such limit (io.max and io.weight have counterparts)",
        ),
        (
            "memory.swap.max=0",
            "memory.swap.max: cgroup v1 limits memory and swap together (give memory.max as well)",
        ),
    ] {
        assert_eq!(written(Version::V1, &[word]).unwrap_err(), text);
    }
    assert_eq!(
        written(
            Version::V1,
            &["memory.max=2Ki", "memory.memsw.limit_in_bytes=1Ki"]
        )
        .unwrap_err(),
        "memory.memsw.limit_in_bytes=1024: less than memory.max=2048 (it counts memory and swap)"
    );
}

#[test]
fn what_the_kernel_made_of_it_is_read_back_in_v2s_words() {
    let kernel = |file: &str| match file {
        "memory.limit_in_bytes" => "0\n",
        "memory.soft_limit_in_bytes" => "9223372036854771712\n",
        "memory.memsw.limit_in_bytes" => "4096\n",
        "cpu.cfs_quota_us" => "-1\n",
        "cpu.cfs_period_us" => "50000\n",
        "cpu.shares" => "1024\n",
        "pids.max" => "max\n",
        "blkio.throttle.read_bps_device" => "8:0 1048576\n8:16 7\n",
        "freezer.state" => "FREEZING\n",
        _ => "",
    };
    let words = [
        "memory.max=10",
        "memory.low=max",
        "memory.swap.max=1",
        "cpu.max=max",
        "cpu.weight=100",
        "pids.max=max",
        "io.max=8:0 rbps=1M",
        "cgroup.freeze=1",
    ];
    assert_eq!(
        made(Version::V1, &words, kernel),
        [
            "memory.max=0",
            "memory.low=\"max\"",
            "memory.swap.max=4096",
            "memory.memsw.limit_in_bytes=4096",
            "cpu.max=\"max 50000\"",
            "cpu.weight=100",
            "cpu.shares=1024",
            "pids.max=\"max\"",
            "io.max=\"8:0 rbps=1048576 wbps=max riops=max wiops=max\"",
            "cgroup.freeze=1",
        ]
    );
}
