//! Moving processes that exist, checked to be the ones that were meant.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use record::ProcessId;
use sys::SysError;

use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::membership::Membership;
use crate::state::Moved;
use crate::talk::Talk;

/// The group of one name in each of the pod's hierarchies.
pub(crate) struct Target<'a> {
    /// Key, hierarchy and group.
    pub(crate) groups: Vec<(String, &'a Hierarchy, Group)>,
    /// Path of the pod below each mount; a process anywhere in it is left where it is.
    pub(crate) pod: String,
}

/// What a move took, and how it is had for nothing.
pub(crate) fn price(took: Duration, instead: &str) -> String {
    let ms = took.as_secs_f64() * 1000.0;
    format!("that took {ms:.1} ms, for the kernel waits for all processors (RCU; {instead})")
}

/// Moves a process; false: it was there. It is checked by a pidfd before, and again after: a number that came to mean another
/// meanwhile is told.
pub(crate) fn place(process: &ProcessId, target: &Target<'_>, talk: Talk) -> Result<bool, Error> {
    let mut is_moved = false;
    let gone = || {
        Error::Sys(SysError::new(
            format!("pidfd_open({})", process.pid),
            Errno::ESRCH,
        ))
    };
    let pidfd = process.open()?.ok_or_else(gone)?;
    let membership = Membership::of(process.pid)?;
    for (_, hierarchy, group) in &target.groups {
        if membership.is_within(hierarchy, &target.pod) {
            continue;
        }
        group.take(process.pid)?;
        talk.step(|| {
            format!(
                "write({}/cgroup.procs, {})",
                group.path().display(),
                process.pid
            )
        });
        is_moved = true;
    }
    if sys::pidfd_wait(pidfd.as_fd(), Duration::ZERO)? {
        return Err(gone());
    }
    Ok(is_moved)
}

/// Where a process is now, so that it can be brought back.
pub(crate) fn origin(process: &ProcessId, groups: &[(String, &Hierarchy)]) -> Result<Moved, Error> {
    let membership = Membership::of(process.pid)?;
    let from = groups.iter().filter_map(|(key, hierarchy)| {
        let path = membership.group_in(hierarchy)?;
        // outside of what is mounted here (a container's part): its root is the nearest there is
        let below = path
            .strip_prefix(hierarchy.root.trim_end_matches('/'))
            .unwrap_or("");
        let below = if below.split('/').any(|part| part == "..") {
            ""
        } else {
            below
        };
        Some((key.clone(), below.trim_start_matches('/').to_owned()))
    });
    Ok(Moved {
        process: process.clone(),
        from: from.collect(),
    })
}

/// Brings a process back to where it was, as far as it is still in the pod.
///
/// That group may be gone, or not to be seen from here; and a v2 group that gives controllers to others takes nobody. Then it
/// goes to where we are, which takes processes, or to the top.
pub(crate) fn bring_back(moved: &Moved, hierarchies: &Hierarchies, pod: &str) -> Result<(), Error> {
    if moved.process.open()?.is_none() {
        return Ok(());
    }
    for (key, path) in &moved.from {
        let hierarchy = key
            .split(',')
            .find_map(|controller| hierarchies.of(controller));
        let Some(hierarchy) = hierarchy else { continue };
        if !Membership::of(moved.process.pid)?.is_within(hierarchy, pod) {
            continue;
        }
        let mount = Group::mounted(hierarchy)?;
        let own = hierarchies.own();
        let ours = own.below_mount_of(hierarchy);
        let ours = ours.filter(|_| !own.is_within(hierarchy, pod));
        let mut answer = Ok(());
        for path in [Some(path.as_str()), ours, Some("")].into_iter().flatten() {
            let Some(home) = mount.descendant(path)? else {
                continue;
            };
            answer = home.take(moved.process.pid);
            let is_full =
                |error: &SysError| matches!(error.errno, Errno::EBUSY | Errno::EOPNOTSUPP);
            if !answer.as_ref().is_err_and(is_full) {
                break;
            }
        }
        match answer {
            Err(error) if error.errno == Errno::ESRCH => {}
            answer => answer?,
        }
    }
    Ok(())
}

/// `process` and all it started, as /proc knows them now; parents first.
pub(crate) fn with_descendants(process: &ProcessId) -> Vec<ProcessId> {
    let mut found = vec![process.clone()];
    let mut at = 0;
    while at < found.len() {
        for pid in children(found[at].pid) {
            found.extend(ProcessId::of(pid));
        }
        at += 1;
    }
    found
}

/// Children of all threads of `pid`; proc_pid_task_children: exact only for what stands still, hence asked again.
fn children(pid: i32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists =
        threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}
