//! Who is in a pod, found without believing a number that may mean something else by now.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use record::{Groups, Id, Namespace};
use sys::{Call, SysError, pidfd_wait};

use crate::error::Error;
use crate::groups::is_v2;
use crate::pin;
use crate::procfs::{self, Identity};
use crate::request::holder_path;
use crate::state::State;
use crate::step::kinds;
use crate::sys::ns_id;

/// A process that cannot become another while this value lives.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
}

/// Those that were found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order of their pids.
    pub(crate) processes: Vec<Process>,
    /// Why there may be more of them.
    pub(crate) missed: Option<SysError>,
}

/// Descriptors that are left for files of /proc and of groups when there are too few for all processes.
const ROOM: usize = 16;

/// What makes a process one of the pod.
#[derive(Debug, Default)]
pub(crate) struct Pod {
    /// The process that holds it, if it still lives.
    pub(crate) holder: Option<i32>,
    /// That process: of a pod that only joins nothing else tells that it is in it.
    pidfd: Option<OwnedFd>,
    /// Its own namespaces. Held open, so that the kernel does not give their inodes to others.
    namespaces: Vec<(Namespace, Identity, File)>,
    /// Its groups.
    groups: Vec<PathBuf>,
    /// This process and those it was started by.
    ours: HashSet<i32>,
}

impl Pod {
    /// Of what `up` made and of `groups`.
    ///
    /// # Errors
    /// This process is in the pod itself, or the state is not one of a pod.
    pub(crate) fn new(
        id: &Id,
        state: Option<&State>,
        groups: Option<&Groups>,
    ) -> Result<Self, Error> {
        let mut pod = Self {
            ours: ours(),
            ..Self::default()
        };
        if let Some(state) = state {
            match state.holder.open()? {
                Some(pidfd) => pod.by_holder(state, pidfd)?,
                None => pod.without_holder(id, state)?,
            }
        }
        for (_, dir) in groups.into_iter().flat_map(|groups| &groups.dirs) {
            if dir.exists() {
                is_v2(dir)?;
                pod.groups.push(dir.clone());
            }
        }
        pod.refuse_own()?;
        Ok(pod)
    }

    /// While the holder lives, the namespaces it is in are the pod's.
    fn by_holder(&mut self, state: &State, pidfd: OwnedFd) -> Result<(), SysError> {
        let pid = state.holder.pid;
        let mut found = Vec::new();
        for kind in kinds(state.made) {
            if let Some((identity, file)) =
                open(&holder_path(pid, kind)).filter(|(id, _)| state.inode(kind) == Some(id.1))
            {
                found.push((kind, identity, file));
            }
        }
        // It lived until here, so what was opened by its pid was its own.
        if !pidfd_wait(pidfd.as_fd(), Duration::ZERO)? {
            self.holder = Some(pid);
            self.pidfd = Some(pidfd);
            self.namespaces = found;
        }
        Ok(())
    }

    /// Afterwards the pins tell; and the numbers that are never given out again.
    fn without_holder(&mut self, id: &Id, state: &State) -> Result<(), SysError> {
        if record::boot_id()? != state.holder.boot_id {
            return Ok(());
        }
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for kind in kinds(state.made) {
            match pin::held(id, state, kind)? {
                Some((identity, file)) => found.push((kind, identity, file)),
                None => missing.push(kind),
            }
        }
        self.namespaces = found;
        if state.ids.is_empty() || missing.is_empty() {
            return Ok(());
        }
        self.by_ids(state, &missing)
    }

    /// An inode alone proves nothing now. Only the first process found of each is needed.
    fn by_ids(&mut self, state: &State, missing: &[Namespace]) -> Result<(), SysError> {
        let pids = procfs::pids()?;
        for &kind in missing {
            let is_it = |pid: &i32| {
                let path = holder_path(*pid, kind);
                // the cheap question first
                procfs::identity(&path).filter(|(_, inode)| state.inode(kind) == Some(*inode))?;
                open(&path).filter(|(_, file)| {
                    ns_id(file.as_fd()).is_some_and(|id| state.id(kind) == Some(id))
                })
            };
            if let Some((identity, file)) = pids.iter().find_map(is_it) {
                self.namespaces.push((kind, identity, file));
            }
        }
        Ok(())
    }

    /// What this process is in is not the pod's alone: the host's in a record that lies, or we were started inside.
    fn refuse_own(&self) -> Result<(), Error> {
        let is_own = |(kind, identity, _): &&(Namespace, Identity, File)| {
            procfs::identity(format!("/proc/self/ns/{}", kind.proc_name())) == Some(*identity)
        };
        match self.namespaces.iter().find(is_own) {
            Some((kind, ..)) => Err(Error::Failed(format!(
                "its {} namespace is ours as well: run nsrun outside of the pod",
                kind.flag()
            ))),
            None => Ok(()),
        }
    }

    /// Its own namespaces, as far as they are known.
    pub(crate) fn identities(&self) -> Vec<(Namespace, Identity)> {
        let known = self.namespaces.iter();
        known
            .map(|(kind, identity, _)| (*kind, *identity))
            .collect()
    }

    /// Every process of the pod, in the order of their pids.
    ///
    /// # Errors
    /// One of them is this process or one that it was started by; there are more than descriptors.
    pub(crate) fn processes(&self) -> Result<Vec<Process>, Error> {
        let found = self.find()?;
        match found.missed {
            None => Ok(found.processes),
            Some(error) => Err(error.into()),
        }
    }

    /// Processes of the pod: every one, or as many as there are descriptors for, at least one.
    ///
    /// # Errors
    /// As [`Self::processes`].
    pub(crate) fn find(&self) -> Result<Found, Error> {
        let mut all = Found::default();
        if !self.namespaces.is_empty() {
            let inside = procfs::pids()?
                .into_iter()
                .filter(|&pid| self.is_in_namespace(pid));
            all = hold(inside);
            all.processes
                .retain(|process| self.is_in_namespace(process.pid));
        }
        for dir in self.groups.iter().flat_map(|dir| tree(dir)) {
            if all.missed.is_some() {
                break;
            }
            // Most are known from another hierarchy.
            let mut listed = members(&dir);
            listed.retain(|&pid| !is_held(&all.processes, pid));
            if listed.is_empty() {
                continue;
            }
            let held = hold(listed);
            let again: HashSet<i32> = members(&dir).into_iter().collect();
            let held_still = held.processes.into_iter();
            all.processes
                .extend(held_still.filter(|process| again.contains(&process.pid)));
            all.missed = held.missed;
        }
        let found = &mut all.processes;
        if let (Some(pid), Some(pidfd)) = (self.holder, &self.pidfd)
            && found.iter().all(|process| process.pid != pid)
        {
            let pidfd = pidfd.try_clone().call(|| "dup(pidfd)".into())?;
            found.push(Process { pid, pidfd });
        }
        found.sort_by_key(|process| process.pid);
        found.dedup_by_key(|process| process.pid);
        found.retain(|process| !pidfd_wait(process.pidfd.as_fd(), Duration::ZERO).unwrap_or(false));
        let own = found
            .iter()
            .find(|process| self.ours.contains(&process.pid));
        match (own, all.missed.take_if(|_| found.is_empty())) {
            (None, None) => Ok(all),
            (None, Some(error)) => Err(error.into()),
            (Some(Process { pid, .. }), _) => Err(Error::Failed(format!(
                "process {pid} ({}) is in the pod and this nsrun was started by it: run nsrun outside of the pod",
                procfs::command(*pid).unwrap_or_default()
            ))),
        }
    }

    fn is_in_namespace(&self, pid: i32) -> bool {
        self.namespaces
            .iter()
            .any(|(kind, identity, _)| procfs::namespace(pid, *kind) == Some(*identity))
    }

    /// Lets frozen groups go on: a frozen process can neither end nor be ended (v1).
    pub(crate) fn thaw(&self) {
        for (name, frozen, thawed) in [
            ("freezer.state", "FR", "THAWED"),
            ("cgroup.freeze", "1", "0"),
        ] {
            let freezes = |dir: &&PathBuf| dir.join(name).exists();
            let groups = self.groups.iter().filter(freezes);
            for dir in groups.flat_map(|dir| tree(dir)) {
                let file = dir.join(name);
                if sys::read_kernel(&file).is_ok_and(|text| text.starts_with(frozen.as_bytes())) {
                    // The processes that stay frozen are named in the end.
                    let _ = fs::write(&file, thawed);
                }
            }
        }
    }
}

fn open(path: &Path) -> Option<(Identity, File)> {
    let file = File::open(path).ok()?;
    let found = rustix::fs::fstat(&file).ok()?;
    Some(((found.st_dev, found.st_ino), file))
}

/// Descriptors of those that are still there. Whether they belong has to be asked again afterwards: only from here on a
/// pid cannot come to mean another process.
fn hold(pids: impl IntoIterator<Item = i32>) -> Found {
    let mut found = Found::default();
    for pid in pids {
        match sys::pidfd_open(pid) {
            Ok(pidfd) => found.processes.push(Process { pid, pidfd }),
            Err(error) if matches!(error.errno, Errno::EMFILE | Errno::ENFILE) => {
                let rest = found.processes.len().saturating_sub(ROOM);
                found.processes.truncate(rest);
                found.missed = Some(error.hint("a descriptor for each process: ulimit -n"));
                break;
            }
            Err(_) => {}
        }
    }
    found
}

/// Whether `pid` means one of `processes`: as long as that lives, it can mean no other.
fn is_held(processes: &[Process], pid: i32) -> bool {
    let held = processes.iter().find(|process| process.pid == pid);
    held.is_some_and(|held| {
        pidfd_wait(held.pidfd.as_fd(), Duration::ZERO).is_ok_and(|has_ended| !has_ended)
    })
}

/// This process and every one that it was started by.
fn ours() -> HashSet<i32> {
    let mut ours = HashSet::new();
    let mut next = Some(nix::unistd::getpid().as_raw());
    while let Some(pid) = next.filter(|&pid| pid > 0) {
        if !ours.insert(pid) {
            break;
        }
        next = procfs::parent(pid);
    }
    ours
}

/// The processes in `groups` and those below, to be looked at only: by then a pid may mean another.
pub(crate) fn in_groups(groups: &Groups) -> Vec<i32> {
    let dirs = groups.dirs.iter().flat_map(|(_, dir)| tree(dir));
    dirs.flat_map(|dir| members(&dir)).collect()
}

/// A group and those below it.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![dir.to_owned()];
    let mut next = 0;
    while let Some(dir) = all.get(next) {
        next += 1;
        // kernfs counts: two, and one for each directory in it
        if fs::symlink_metadata(dir).is_ok_and(|found| found.nlink() == 2) {
            continue;
        }
        let below = fs::read_dir(dir).into_iter().flatten().flatten();
        let below: Vec<_> = below
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .collect();
        all.extend(below.into_iter().map(|entry| entry.path()));
    }
    all
}

/// The processes in a group itself.
fn members(dir: &Path) -> Vec<i32> {
    let bytes = sys::read_kernel(dir.join("cgroup.procs")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> Id {
        "x".parse().unwrap()
    }

    #[test]
    fn a_record_that_names_our_own_namespaces_is_refused() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let state = State::of(pid, libc::CLONE_NEWNET, None, Vec::new()).unwrap();
        let error = Pod::new(&id(), Some(&state), None).unwrap_err().to_string();
        assert_eq!(
            error,
            "its net namespace is ours as well: run nsrun outside of the pod"
        );
    }

    #[test]
    fn inodes_of_a_holder_that_is_gone_prove_nothing() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let mut state = State::of(pid, libc::CLONE_NEWNET, None, Vec::new()).unwrap();
        state.holder.starttime += 1;
        state.ids.clear();
        assert!(
            Pod::new(&id(), Some(&state), None)
                .unwrap()
                .processes()
                .unwrap()
                .is_empty()
        );
        state.ids.push((Namespace::Network, 1 << 60));
        assert!(
            Pod::new(&id(), Some(&state), None)
                .unwrap()
                .processes()
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_directory_that_is_no_cgroup_is_refused() {
        let groups = Groups {
            dirs: vec![("memory".into(), "/tmp".into())],
            join: None,
        };
        assert!(Pod::new(&id(), None, Some(&groups)).is_err());
    }

    #[test]
    fn we_and_who_started_us_are_ours() {
        let ours = ours();
        assert!(ours.contains(&nix::unistd::getpid().as_raw()));
        assert!(ours.contains(&nix::unistd::getppid().as_raw()));
    }
}
