//! Why the kernel refuses something about a group, where an error number has one likely cause.

use nix::errno::Errno;
use sys::SysError;

use crate::hierarchy::Version;
use crate::systemd;

/// Why no group can be made.
pub(crate) fn make(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::EACCES | Errno::EPERM if systemd::is_init() => Some(systemd::FOR_USERS),
        Errno::EACCES | Errno::EPERM => {
            Some("needs root, or --parent with a group that was delegated to you")
        }
        Errno::EROFS => Some("the cgroup filesystem is mounted read-only here"),
        Errno::ENOMEM => {
            Some("the memory limit of the group above leaves no room for another group")
        }
        _ => None,
    }
}

/// Why a group has no file of that name.
pub(crate) fn missing(error: SysError, version: Version, name: &str) -> SysError {
    match (error.errno, version) {
        (Errno::ENOENT | Errno::EACCES, _)
            if name.starts_with("memory.memsw.") || name.starts_with("memory.swap.") =>
        {
            error.hint("the kernel does not count swap: boot it with swapaccount=1")
        }
        (Errno::ENOENT | Errno::EACCES, Version::V2) if name.starts_with("cgroup.") => error,
        (Errno::ENOENT, Version::V2) => error.hint(
            "not in this kernel, or the controller is not in the parent's cgroup.subtree_control",
        ),
        (Errno::ENOENT, Version::V1) => error.hint("this kernel has no such file"),
        _ => error,
    }
}

/// Why a value is not taken.
pub(crate) fn refused(error: SysError, file: &str) -> SysError {
    match (error.errno, file) {
        (Errno::EBUSY, "memory.limit_in_bytes" | "memory.memsw.limit_in_bytes") => {
            error.hint("the group uses more than that")
        }
        (Errno::EINVAL, "cpu.cfs_quota_us" | "cpu.max") => {
            error.hint("more than the group above may use")
        }
        (Errno::EINVAL | Errno::ERANGE | Errno::EACCES, "cpuset.cpus" | "cpuset.mems") => {
            error.hint("not among those of the group above")
        }
        (Errno::EPERM, "devices.allow") => error.hint("the group above may not use it either"),
        (Errno::EINVAL, "devices.allow" | "devices.deny") => {
            error.hint("all or none is said before there are groups in it")
        }
        (Errno::ENODEV, _) if file.starts_with("io.") || file.starts_with("blkio.") => {
            error.hint("a whole disk by its MAJOR:MINOR, as in lsblk")
        }
        _ => error,
    }
}

/// Why groups below are given no controller.
pub(crate) fn enable(error: SysError) -> SysError {
    match error.errno {
        Errno::EBUSY => error.hint(
            "a v2 group with processes of its own gives controllers to no group below it: move them into one, or use --parent",
        ),
        Errno::ENOENT => error.hint("the group above has not been given it"),
        Errno::EOPNOTSUPP => {
            error.hint("the group or one above it is threaded: only cpu, cpuset, perf_event and pids go below it")
        }
        Errno::EACCES | Errno::EPERM => match make(error.errno) {
            Some(hint) => error.hint(hint),
            None => error,
        },
        _ => error,
    }
}

/// Why a process does not get in.
pub(crate) fn attach(error: SysError) -> SysError {
    match error.errno {
        Errno::ENOSPC => error.hint("the group has no cpuset.cpus or cpuset.mems"),
        Errno::EINVAL => error
            .hint("a real-time process needs cpu.rt_runtime_us, a kernel thread cannot be moved"),
        Errno::EBUSY => {
            error.hint("a v2 group that gives controllers to groups below it takes no process")
        }
        Errno::EOPNOTSUPP => error.hint("the v2 group is threaded or invalid: see its cgroup.type"),
        Errno::EACCES => error.hint(
            "needs to write cgroup.procs of that group, and on v2 of the one that has both that group and the process",
        ),
        _ => error,
    }
}
