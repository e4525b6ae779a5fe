//! Removing a pod's groups: only those that are its own, deepest first, and never by lifting a limit silently.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use record::{Id, names};

use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::{Hierarchies, Hierarchy, Version};
use crate::kill;
use crate::membership::Membership;
use crate::parent;
use crate::state::Member;
use crate::talk::Talk;

/// How long a process that is ending, or a group that lost its last, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one that shows no sign of ending is waited for: its signal may be on the way.
const GRACE: Duration = Duration::from_millis(500);

/// The pod's group in one hierarchy, found to be its own.
pub(crate) struct Standing<'a> {
    pub(crate) hierarchy: &'a Hierarchy,
    pub(crate) mount: Group,
    /// The group that the pod's is in.
    above: Group,
    pub(crate) pod: Group,
    /// Of that group below the mount.
    pub(crate) path: String,
    /// Its controllers: `cpu,cpuacct`.
    pub(crate) key: String,
}

impl Standing<'_> {
    /// The group `name` in it, if there is one.
    pub(crate) fn child(self, name: &str) -> Result<Option<Self>, Error> {
        Ok(self.pod.child(name)?.map(|child| Self {
            above: self.pod,
            pod: child,
            path: format!("{}/{name}", self.path),
            ..self
        }))
    }

    /// Whether it is a v1 group of `controller`.
    pub(crate) fn is_v1_of(&self, controller: &str) -> bool {
        self.hierarchy.version == Version::V1 && self.key.split(',').any(|name| name == controller)
    }

    /// Removes the group and all below it; one that still has a process in it is an error.
    pub(crate) fn remove(&self, talk: Talk) -> Result<(), Error> {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        remove_tree(&self.above, name, Instant::now() + PATIENCE, talk)
    }
}

/// What becomes of processes that are still there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Live<'a> {
    /// They stay, and so does the group.
    Refuse,
    Kill,
    /// To this group of the same hierarchy, a path below the mount.
    MoveTo(&'a str),
}

/// The groups of `members` that are still there.
pub(crate) fn open<'a>(
    members: &[Member],
    hierarchies: &'a Hierarchies,
    (parent, id): (&str, &Id),
) -> Result<Vec<Standing<'a>>, Error> {
    let path = parent::join(parent, &names::group(id));
    let mut found = Vec::new();
    for member in members {
        let Some(hierarchy) = member.hierarchy(hierarchies) else {
            continue;
        };
        let Some(pod) = member.open(hierarchies, &path)? else {
            continue;
        };
        let mount = Group::mounted(hierarchy)?;
        if let Some(above) = mount.descendant(parent)? {
            found.push(Standing {
                hierarchy,
                mount,
                above,
                pod,
                path: path.clone(),
                key: member.key.clone(),
            });
        }
    }
    Ok(found)
}

/// Removes them, and all below them.
pub(crate) fn remove(
    standing: &[Standing<'_>],
    id: &Id,
    live: Live<'_>,
    talk: Talk,
) -> Result<(), Error> {
    match live {
        Live::Refuse => {}
        Live::Kill => kill::kill(standing, talk)?,
        Live::MoveTo(group) => move_all(standing, id, group, talk)?,
    }
    wait_until_empty(standing, id)?;
    let until = Instant::now() + PATIENCE;
    for group in standing {
        remove_tree(&group.above, &names::group(id), until, talk)?;
    }
    Ok(())
}

/// All processes in the groups and below them, each once.
pub(crate) fn processes(standing: &[Standing<'_>]) -> Result<Vec<i32>, Error> {
    let mut found = Vec::new();
    for group in standing {
        let Some(pod) = group.pod.descendant("")? else {
            continue;
        };
        for group in pod.tree()? {
            found.extend(group.processes()?);
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Waits for processes that are ending; others are an error that lists them.
fn wait_until_empty(standing: &[Standing<'_>], id: &Id) -> Result<(), Error> {
    let begin = Instant::now();
    loop {
        let processes = processes(standing)?;
        let Some(first) = processes.first() else {
            return Ok(());
        };
        let alive: Vec<i32> = processes
            .iter()
            .copied()
            .filter(|&pid| !is_ending(pid))
            .collect();
        if !alive.is_empty() && begin.elapsed() > GRACE {
            return Err(Error::Failed(in_it(id, &alive)));
        }
        if begin.elapsed() > PATIENCE {
            return Err(Error::Failed(in_it(id, &processes)));
        }
        wait_for(*first);
    }
}

/// Waits a moment for `pid` to end.
pub(crate) fn wait_for(pid: i32) {
    use std::os::fd::AsFd as _;
    let moment = Duration::from_millis(2);
    let ended = match sys::pidfd_open(pid) {
        Ok(pidfd) => sys::pidfd_wait(pidfd.as_fd(), moment).unwrap_or(true),
        Err(_) => true,
    };
    if ended {
        // It has ended and is still listed: the kernel is about to take it out.
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Dead, dying, or with a SIGKILL on its way.
fn is_ending(pid: i32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
        return pid > 0;
    };
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let killed = |set: &str| {
        u64::from_str_radix(set, 16).is_ok_and(|set| set & (1 << (libc::SIGKILL - 1)) != 0)
    };
    field("State:").is_some_and(|state| state.starts_with(['Z', 'X']))
        || ["SigPnd:", "ShdPnd:"]
            .iter()
            .any(|name| field(name).is_some_and(killed))
}

/// `pod-foo: 2 processes are in it: 7 bash, 8 sleep (…)`
fn in_it(id: &Id, processes: &[i32]) -> String {
    const SHOWN: usize = 8;
    let named = processes.iter().take(SHOWN).map(|&pid| {
        match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
            _ if pid == 0 => "one of another pid namespace".to_owned(),
            Ok(name) => format!("{pid} {}", name.trim_end().escape_debug()),
            Err(_) => pid.to_string(),
        }
    });
    let mut list = named.collect::<Vec<_>>().join(", ");
    if processes.len() > SHOWN {
        list.push_str(&format!(" and {} more", processes.len() - SHOWN));
    }
    let count = match processes.len() {
        1 => "1 process is".to_owned(),
        count => format!("{count} processes are"),
    };
    format!(
        "{}: {count} in it: {list} (--kill ends, --to GROUP moves)",
        names::group(id)
    )
}

/// Moves every process to `target` in the same hierarchy. That it is there in each is known before the first is moved.
fn move_all(standing: &[Standing<'_>], id: &Id, target: &str, talk: Talk) -> Result<(), Error> {
    let path = parent::given("--to", target)?;
    let is_in_it = |standing: &Standing<'_>| {
        path.strip_prefix(&standing.path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if standing.iter().any(is_in_it) {
        return Err(Error::Usage(format!("--to {target}: is in the pod itself")));
    }
    let mut targets = Vec::new();
    for group in standing {
        let found = group.mount.descendant(path)?.ok_or_else(|| {
            Error::Failed(format!(
                "--to {target}: no such group in {}",
                group.mount.path().display()
            ))
        })?;
        targets.push(found);
    }
    for (group, target) in standing.iter().zip(&targets) {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = processes(std::slice::from_ref(group))?;
            let Some(first) = left.first() else { break };
            if Instant::now() > until {
                return Err(Error::Failed(in_it(id, &left)));
            }
            if left.iter().all(|&pid| is_ending(pid)) {
                wait_for(*first);
            }
            for &pid in left.iter().filter(|&&pid| pid > 0) {
                if !Membership::of(pid).is_ok_and(|now| now.is_within(group.hierarchy, &group.path))
                {
                    continue;
                }
                match target.take(pid) {
                    Err(error) if error.errno == Errno::ESRCH => continue,
                    answer => answer?,
                }
                talk.step(|| format!("write({}/cgroup.procs, {pid})", target.path().display()));
            }
        }
    }
    Ok(())
}

/// rmdir(2) of everything below and then of `name`, again and again while the kernel says that the last process is still leaving.
fn remove_tree(parent: &Group, name: &str, until: Instant, talk: Talk) -> Result<(), Error> {
    loop {
        let Some(group) = parent.child(name)? else {
            return Ok(());
        };
        for child in group.children()? {
            remove_tree(&group, &child, until, talk)?;
        }
        match parent.remove_child(name) {
            Ok(()) => {
                talk.step(|| format!("rmdir({})", group.path().display()));
                return Ok(());
            }
            Err(error) if error.errno == Errno::ENOENT => return Ok(()),
            Err(error) if error.errno == Errno::EBUSY && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) if error.errno == Errno::EBUSY => {
                return Err(error.hint("something is still in it").into());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_none_that_is_not_there() {
        assert!(!is_ending(i32::try_from(std::process::id()).unwrap()));
        assert!(is_ending(i32::MAX));
        // of another pid namespace: it cannot be asked
        assert!(!is_ending(0));
    }

    #[test]
    fn a_process_that_has_ended_is_ending_until_it_is_reaped() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let pidfd = sys::pidfd_open(pid).unwrap();
        use std::os::fd::AsFd as _;
        assert!(sys::pidfd_wait(pidfd.as_fd(), Duration::from_secs(10)).unwrap());
        assert!(is_ending(pid));
        child.wait().unwrap();
    }
}
