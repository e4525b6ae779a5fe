//! Control groups that are the machine's: release_agent (CVE-2022-0492), other groups, own limits. Opened, never written.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::{Attempt, Report, Why};

/// `attack cgroups`
pub(crate) fn attack(report: &Report, _: &[String]) {
    report.line("seen", writable(Path::new("/sys/fs/cgroup"), 3));
    report.line("mount-v1", mounted("cgroup", "pids"));
    report.line("mount-v2", mounted("cgroup2", ""));
    report.line(
        "new-namespace",
        unshare(CloneFlags::CLONE_NEWCGROUP | CloneFlags::CLONE_NEWNS)
            .why()
            .and_then(|()| mounted("cgroup", "pids")),
    );
    let nested =
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWCGROUP | CloneFlags::CLONE_NEWNS);
    report.line(
        "nested-user",
        nested.why().and_then(|()| mounted("cgroup", "pids")),
    );
}

/// The files by which somebody outside is ruled.
const FILES: [&str; 6] = [
    "release_agent",
    "notify_on_release",
    "cgroup.procs",
    "tasks",
    "pids.max",
    "devices.allow",
];

fn writable(dir: &Path, depth: u32) -> Attempt {
    for name in FILES {
        let path = dir.join(name);
        if OpenOptions::new().write(true).open(&path).is_ok() {
            return Ok(format!("{} opens", path.display()));
        }
    }
    let group = dir.join("attack");
    if fs::create_dir(&group).is_ok() {
        // In a directory that is no group, it is none either.
        let is_group = group.join("cgroup.procs").exists();
        let _ = fs::remove_dir(&group);
        if is_group {
            return Ok(format!("a group in {}", dir.display()));
        }
    }
    let below = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut below = below.filter(|path: &PathBuf| depth > 0 && path.is_dir());
    let found = below.find_map(|path| writable(&path, depth - 1).ok());
    found.ok_or_else(|| "no file of a group can be written".into())
}

fn mounted(kind: &str, options: &str) -> Attempt {
    let dir = ["/tmp", "/mnt", "/dev/shm"]
        .into_iter()
        .find(|path| Path::new(path).is_dir());
    let dir = dir.ok_or("no directory")?;
    mount(
        Some("attack"),
        dir,
        Some(kind),
        MsFlags::empty(),
        Some(options),
    )
    .why()?;
    let outcome = writable(Path::new(dir), 1);
    umount2(dir, MntFlags::MNT_DETACH).why()?;
    outcome
}
