//! Whose namespaces are asked for, by options and record; pure.

use std::path::{Path, PathBuf};

use record::{Namespace, NamespaceEntry};

use crate::error::Error;
use crate::namespace_args::{Choice, NamespaceArgs};

/// Whose namespaces were asked for, before anything is opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// The `CLONE_NEW…` bits of new namespaces.
    pub(crate) new: i32,
    /// Namespaces to join.
    pub(crate) joins: Vec<Join>,
}

/// One namespace to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Join {
    pub(crate) kind: Namespace,
    pub(crate) source: Source,
}

/// Where a namespace is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file of nsfs, bound or in /proc.
    File(PathBuf),
    /// That of a process. `if_other`: only if it is not ours already, as nsenter --all has it.
    Process { pid: i32, if_other: bool },
    /// Behind a descriptor of the caller: of nsfs, or a pidfd.
    Descriptor(i32),
    /// That of the process that holds the pod.
    Holder,
}

/// What a record says about namespaces.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) entries: Vec<NamespaceEntry>,
    /// The process that holds the pod, by which `up` wrote paths.
    pub(crate) holder: Option<i32>,
    /// Entries without a path are to be made: `up`, not `exec`.
    pub(crate) make: bool,
    /// The groups of --target are entered, be it without its namespaces.
    pub(crate) join_cgroup: bool,
}

impl Request {
    /// From the options, which override, and the record.
    pub(crate) fn new(arguments: &NamespaceArgs, recorded: &Recorded) -> Result<Self, Error> {
        let mut request = Self::default();
        for kind in Namespace::ALL {
            match (arguments.choice(kind), arguments.target) {
                (Some(Choice::New), _) | (Some(Choice::Bare), None) => {
                    request.new |= kind.clone_flag()
                }
                (Some(Choice::Bare), Some(pid)) => request.join(
                    kind,
                    Source::Process {
                        pid,
                        if_other: false,
                    },
                ),
                (Some(Choice::Process(pid)), _) => request.join(
                    kind,
                    Source::Process {
                        pid,
                        if_other: false,
                    },
                ),
                (Some(Choice::File(path)), _) => request.join(kind, Source::File(path)),
                (Some(Choice::Descriptor(fd)), _) => request.join(kind, Source::Descriptor(fd)),
                (Some(Choice::Host), _) => {}
                (None, Some(pid)) if arguments.all => request.join(
                    kind,
                    Source::Process {
                        pid,
                        if_other: true,
                    },
                ),
                (None, _) => request.take(kind, recorded),
            }
        }
        let is_for_nothing = request.joins.is_empty() && !recorded.join_cgroup;
        if arguments.target.is_some() && is_for_nothing {
            return Err(Error::Usage(
                "--target: which of its namespaces? (--all, or options such as --net)".into(),
            ));
        }
        request.imply(arguments)?;
        Ok(request)
    }

    fn join(&mut self, kind: Namespace, source: Source) {
        self.joins.push(Join { kind, source });
    }

    fn joins(&self, kind: Namespace) -> bool {
        self.joins.iter().any(|join| join.kind == kind)
    }

    /// What the record says of a kind that no option names.
    fn take(&mut self, kind: Namespace, recorded: &Recorded) {
        let Some(entry) = recorded.entries.iter().find(|entry| entry.kind == kind) else {
            return;
        };
        let is_holders = |path: &Path| {
            recorded
                .holder
                .is_some_and(|pid| path == holder_path(pid, kind))
        };
        match &entry.path {
            // The path was written by an earlier up: what it made shall be made.
            Some(path) if recorded.make && is_holders(path) => self.new |= kind.clone_flag(),
            Some(path) if is_holders(path) => self.join(kind, Source::Holder),
            Some(path) => self.join(kind, Source::File(path.clone())),
            None if recorded.make => self.new |= kind.clone_flag(),
            None => {}
        }
    }

    /// Options that are about a new namespace bring it along.
    fn imply(&mut self, arguments: &NamespaceArgs) -> Result<(), Error> {
        let host = |kind| arguments.choice(kind) == Some(Choice::Host);
        let maps = &arguments.maps;
        let offsets = arguments.offsets();
        for (is_given, kind, message) in [
            (
                maps.is_given() || maps.setgroups.is_some(),
                Namespace::User,
                "--map, --setgroups: only of a new user namespace (--user)",
            ),
            (
                arguments.hostname.is_some(),
                Namespace::Uts,
                "--hostname: only of a new UTS namespace (--uts)",
            ),
            (
                !offsets.is_empty(),
                Namespace::Time,
                "--monotonic, --boottime: only of a new time namespace (--time)",
            ),
        ] {
            if is_given && (host(kind) || self.joins(kind)) {
                return Err(Error::Usage(message.into()));
            }
            if is_given {
                self.new |= kind.clone_flag();
            }
        }
        if arguments.mount_proc.is_some() {
            if host(Namespace::Mount) {
                return Err(Error::Usage(
                    "--mount-proc: not in the mount namespace of the host".into(),
                ));
            }
            // Beside a joined one too: a copy of it, so that its own mounts stay as they are.
            self.new |= Namespace::Mount.clone_flag();
        }
        if arguments.propagation.is_some() && self.new & Namespace::Mount.clone_flag() == 0 {
            return Err(Error::Usage(
                "--propagation: only in a new mount namespace (--mount)".into(),
            ));
        }
        Ok(())
    }
}

/// `/proc/PID/ns/NAME`
pub(crate) fn holder_path(pid: i32, kind: Namespace) -> PathBuf {
    format!("/proc/{pid}/ns/{}", kind.proc_name()).into()
}

#[cfg(test)]
mod tests;
