//! The words of both versions, one table.

use crate::devices;
use crate::values::Kind;

/// A key, the name it goes by from there on, and how its value is read.
pub(crate) type Key = (&'static str, &'static str, Kind);

/// One that goes by its own name.
const fn own(key: &'static str, kind: Kind) -> Key {
    (key, key, kind)
}

/// Another word for what is called `name`.
const fn also(key: &'static str, name: &'static str, kind: Kind) -> Key {
    (key, name, kind)
}

/// All of them.
pub(crate) const KEYS: &[Key] = &[
    own("memory.max", Kind::Memory),
    also("memory.limit_in_bytes", "memory.max", Kind::Memory),
    own("memory.high", Kind::Memory),
    own("memory.low", Kind::Memory),
    also("memory.soft_limit_in_bytes", "memory.low", Kind::Memory),
    own("memory.min", Kind::Memory),
    own("memory.swap.max", Kind::Swap),
    also(
        "memory.memsw.limit_in_bytes",
        "memory.swap.max",
        Kind::SwapTotal,
    ),
    own("memory.swap.high", Kind::Bytes),
    own("memory.zswap.max", Kind::Bytes),
    own("memory.zswap.writeback", Kind::Number(1)),
    own("memory.oom.group", Kind::Number(1)),
    own("memory.oom_control", Kind::Number(1)),
    own("memory.swappiness", Kind::Number(200)),
    own("memory.kmem.limit_in_bytes", Kind::Bytes),
    own("memory.kmem.tcp.limit_in_bytes", Kind::Bytes),
    // PIDS_MAX of the kernel: more is EINVAL
    own("pids.max", Kind::Count(4 << 20)),
    own("cpu.max", Kind::CpuMax),
    also("cpu.cfs_quota_us", "cpu.max", Kind::Quota),
    also("cpu.cfs_period_us", "cpu.max", Kind::Period),
    own("cpu.max.burst", Kind::Number(u64::MAX)),
    also("cpu.cfs_burst_us", "cpu.max.burst", Kind::Number(u64::MAX)),
    own("cpu.weight", Kind::Weight),
    also("cpu.shares", "cpu.weight", Kind::Shares),
    own("cpu.weight.nice", Kind::Text),
    own("cpu.idle", Kind::Number(1)),
    own("cpu.uclamp.min", Kind::Text),
    own("cpu.uclamp.max", Kind::Text),
    own("cpu.rt_runtime_us", Kind::Text),
    own("cpu.rt_period_us", Kind::Number(u64::MAX)),
    own("cpuset.cpus", Kind::List),
    own("cpuset.mems", Kind::List),
    own("cpuset.cpus.partition", Kind::Text),
    own("cpuset.cpus.exclusive", Kind::List),
    own("cpuset.cpu_exclusive", Kind::Number(1)),
    own("cpuset.mem_exclusive", Kind::Number(1)),
    own("cpuset.mem_hardwall", Kind::Number(1)),
    own("cpuset.memory_migrate", Kind::Number(1)),
    own("io.weight", Kind::IoWeight),
    also("blkio.weight", "io.weight", Kind::BlkioWeight),
    own("io.max", Kind::IoMax),
    also(
        "blkio.throttle.read_bps_device",
        "io.max",
        Kind::Throttle(0),
    ),
    also(
        "blkio.throttle.write_bps_device",
        "io.max",
        Kind::Throttle(1),
    ),
    also(
        "blkio.throttle.read_iops_device",
        "io.max",
        Kind::Throttle(2),
    ),
    also(
        "blkio.throttle.write_iops_device",
        "io.max",
        Kind::Throttle(3),
    ),
    own("io.latency", Kind::Text),
    own("io.bfq.weight", Kind::Text),
    own("blkio.bfq.weight", Kind::Text),
    own("cgroup.freeze", Kind::Number(1)),
    also("freezer.state", "cgroup.freeze", Kind::FreezerState),
    own("cgroup.max.depth", Kind::Count(u64::MAX)),
    own("cgroup.max.descendants", Kind::Count(u64::MAX)),
    own(devices::NAME, Kind::Devices),
    also("devices.allow", devices::NAME, Kind::DeviceRule(true)),
    also("devices.deny", devices::NAME, Kind::DeviceRule(false)),
    own("rdma.max", Kind::Text),
    own("misc.max", Kind::Text),
    own("net_cls.classid", Kind::Text),
    own("net_prio.ifpriomap", Kind::Text),
];
