//! Files of /proc and /sys that are the machine's: opened for writing, and nothing is written. Then their covers are lifted.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::{Attempt, Report, Why};

/// What the machine does on its own account, or stops doing: each is an escape or a broken machine.
const WRITABLE: [&str; 24] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/poweroff_cmd",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/kernel/kptr_restrict",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/kernel/usermodehelper/bset",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/fs/suid_dumpable",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sys/fs/protected_symlinks",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sysrq-trigger",
    "/proc/irq/default_smp_affinity",
    "/proc/bus/pci",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/module/kernel/parameters/panic",
    "/sys/power/state",
];

/// What tells of the machine.
const SECRET: [&str; 6] = [
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/interrupts",
    "/sys/firmware/acpi/tables/FACP",
];

/// `attack kernel-files`
pub(crate) fn attack(report: &Report, _: &[String]) {
    for path in WRITABLE {
        report.line(format_args!("write{path}"), writes(path));
    }
    for path in SECRET {
        report.line(format_args!("read{path}"), reads(path));
    }
    report.line("remount", remounted());
    report.line("unmount", unmounted());
    report.line("own-proc", own_proc());
    report.line("own-sysfs", own_sysfs());
}

fn writes(path: &str) -> Attempt {
    let file = OpenOptions::new()
        .append(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    let file = file.why()?;
    let meta = file.metadata().why()?;
    // A mask is the null device.
    match meta.file_type().is_file() {
        true => Ok("it opens".into()),
        false => Err("it is something else".into()),
    }
}

fn reads(path: &str) -> Attempt {
    let mut byte = [0];
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .why()?;
    match file.read(&mut byte).why()? {
        0 => Err("it is empty".into()),
        _ => Ok("it has something".into()),
    }
}

const MOST: &str = "/proc/sys/kernel/core_pattern";

fn remounted() -> Attempt {
    let none: Option<&str> = None;
    let mut last = String::new();
    for place in ["/proc/sys", "/proc", "/sys"] {
        match mount(
            none,
            place,
            none,
            MsFlags::MS_REMOUNT | MsFlags::MS_BIND,
            none,
        ) {
            Ok(()) => return writes(MOST),
            Err(errno) => last = errno.desc().to_owned(),
        }
    }
    Err(last)
}

fn unmounted() -> Attempt {
    let place = ["/proc/sys", "/proc"]
        .into_iter()
        .find(|place| is_mount(place))
        .ok_or("no cover")?;
    umount2(place, MntFlags::MNT_DETACH).why()?;
    Ok(format!("{place} is gone"))
}

fn is_mount(place: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(place))
}

fn place() -> &'static str {
    ["/tmp", "/mnt", "/dev/shm"]
        .into_iter()
        .find(|path| Path::new(path).is_dir())
        .unwrap_or("/")
}

fn own_proc() -> Attempt {
    let (place, none): (_, Option<&str>) = (place(), None);
    mount(Some("proc"), place, Some("proc"), MsFlags::empty(), none).why()?;
    let outcome = writes(&format!("{place}/sys/kernel/core_pattern"));
    umount2(place, MntFlags::MNT_DETACH).why()?;
    outcome
}

fn own_sysfs() -> Attempt {
    let (place, none): (_, Option<&str>) = (place(), None);
    mount(Some("sysfs"), place, Some("sysfs"), MsFlags::empty(), none).why()?;
    umount2(place, MntFlags::MNT_DETACH).why()?;
    Ok("mounted".into())
}
