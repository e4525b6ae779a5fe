//! What will be done, as data; pure.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use record::{Namespace, NamespaceEntry};

use crate::cli::{Choice, NamespaceArgs, Propagation};
use crate::error::Error;
use crate::groups::Group;
use crate::step::{Step, names};

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
}

impl Request {
    /// From the options, which override, and the record.
    pub(crate) fn new(arguments: &NamespaceArgs, recorded: &Recorded) -> Result<Self, Error> {
        let mut request = Self::default();
        for kind in Namespace::ALL {
            match (arguments.choice(kind), arguments.target) {
                (Some(Choice::New), _) | (Some(Choice::Bare), None) => request.new |= kind.clone_flag(),
                (Some(Choice::Bare), Some(pid)) => request.join(kind, Source::Process { pid, if_other: false }),
                (Some(Choice::Process(pid)), _) => request.join(kind, Source::Process { pid, if_other: false }),
                (Some(Choice::File(path)), _) => request.join(kind, Source::File(path)),
                (Some(Choice::Host), _) => {}
                (None, Some(pid)) if arguments.all => request.join(kind, Source::Process { pid, if_other: true }),
                (None, _) => request.take(kind, recorded),
            }
        }
        if arguments.target.is_some() && request.joins.is_empty() {
            return Err(Error::Usage("--target: which of its namespaces? (--all, or options such as --net)".into()));
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
        let Some(entry) = recorded.entries.iter().find(|entry| entry.kind == kind) else { return };
        let is_holders = |path: &Path| recorded.holder.is_some_and(|pid| path == holder_path(pid, kind));
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
        if arguments.map_root_user {
            if host(Namespace::User) || self.joins(Namespace::User) {
                return Err(Error::Usage("--map-root-user: only a new user namespace can be mapped".into()));
            }
            self.new |= Namespace::User.clone_flag();
        }
        if arguments.hostname.is_some() {
            if host(Namespace::Uts) || self.joins(Namespace::Uts) {
                return Err(Error::Usage("--hostname: only of a new UTS namespace (--uts)".into()));
            }
            self.new |= Namespace::Uts.clone_flag();
        }
        if arguments.mount_proc.is_some() {
            if host(Namespace::Mount) {
                return Err(Error::Usage("--mount-proc: not in the mount namespace of the host".into()));
            }
            // Beside a joined one too: a copy of it, so that its own mounts stay as they are.
            self.new |= Namespace::Mount.clone_flag();
        }
        if arguments.propagation.is_some() && self.new & Namespace::Mount.clone_flag() == 0 {
            return Err(Error::Usage("--propagation: only in a new mount namespace (--mount)".into()));
        }
        Ok(())
    }
}

/// `/proc/PID/ns/NAME`
pub(crate) fn holder_path(pid: i32, kind: Namespace) -> PathBuf {
    format!("/proc/{pid}/ns/{}", kind.proc_name()).into()
}

/// An open descriptor by which namespaces are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handle {
    /// As setns(2) takes them.
    pub(crate) flags: i32,
    /// As a user reads it.
    pub(crate) name: String,
}

/// Everything the order of the steps depends on.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) arguments: &'a NamespaceArgs,
    pub(crate) new: i32,
    pub(crate) handles: &'a [Handle],
    pub(crate) groups: &'a [Group],
    /// May join every namespace without entering its user namespace first.
    pub(crate) privileged: bool,
    /// Effective ones of the caller.
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// What the steps lead up to.
    pub(crate) end: End<'a>,
}

/// What the steps lead up to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End<'a> {
    /// A process that stays, with this host name.
    Hold { hostname: Option<&'a str> },
    /// CMD; `fork` is asked for.
    Run { fork: bool, kill_child: Signal },
}

/// The steps, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Of this process.
    pub(crate) before: Vec<Step>,
    /// The child, if there is one.
    pub(crate) clone: Option<Clone3>,
    /// Of the child; of this process if there is none.
    pub(crate) after: Vec<Step>,
}

/// clone3(2)
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Clone3 {
    pub(crate) flags: i32,
    /// The place of the cgroup v2 directory in the groups.
    pub(crate) group: Option<usize>,
    pub(crate) call: String,
}

const MOUNT: i32 = Namespace::Mount.clone_flag();
const PID: i32 = Namespace::Pid.clone_flag();
const USER: i32 = Namespace::User.clone_flag();
const CGROUP: i32 = Namespace::Cgroup.clone_flag();
const TIME: i32 = Namespace::Time.clone_flag();

impl Plan {
    /// The order, and why it is this one.
    pub(crate) fn new(facts: &Facts<'_>) -> Self {
        let joined = facts.handles.iter().fold(0, |flags, handle| flags | handle.flags);
        let v2 = facts.groups.iter().position(|group| group.v2);
        let asked = matches!(facts.end, End::Hold { .. } | End::Run { fork: true, .. });
        // Only children are born into a pid or time namespace that is new, a pid namespace that is joined, and a v2 group.
        let fork = asked || facts.new & (PID | TIME) != 0 || joined & PID != 0 || v2.is_some();
        let mut plan = Self::default();
        if joined & (PID | USER | MOUNT) != 0 {
            plan.before.push(Step::NotDumpable);
        }
        if !fork {
            plan.groups(facts);
            plan.joins(facts, !0);
            plan.after.extend((joined & USER != 0).then_some(Step::BecomeRoot));
            if facts.new != 0 {
                plan.after.push(Step::Unshare { flags: facts.new });
            }
            plan.inside(facts);
            return plan;
        }
        // A cgroup namespace shows the group of the process that makes it: it has to be in it by then.
        let later = if facts.groups.is_empty() { 0 } else { facts.new & CGROUP };
        // The parent stays outside of what is joined. Where a user namespace is in play the order decides who owns what, so
        // everything is joined before the clone.
        let early = if (joined | facts.new) & USER == 0 { PID } else { !0 };
        plan.joins(facts, early);
        plan.before.append(&mut plan.after);
        // Before the child asks for the signal of its parent's end: a change of ids forgets it.
        plan.before.extend((joined & USER != 0).then_some(Step::BecomeRoot));
        plan.clone = Some(Clone3::new(facts, facts.new & !later, v2));
        if let End::Run { kill_child, .. } = facts.end {
            plan.after.push(Step::DieWithParent(kill_child));
        }
        plan.groups(facts);
        plan.joins(facts, !early);
        if later != 0 {
            plan.after.push(Step::Unshare { flags: later });
        }
        plan.inside(facts);
        plan
    }

    /// v1: a thread that writes itself in waits for nobody.
    fn groups(&mut self, facts: &Facts<'_>) {
        let v1 = facts.groups.iter().enumerate().filter(|(_, group)| !group.v2);
        self.after.extend(v1.map(|(place, group)| Step::Group { group: place, dir: group.dir.clone() }));
    }

    /// Joins what is in `mask`.
    fn joins(&mut self, facts: &Facts<'_>, mask: i32) {
        let mut steps: Vec<(bool, Step)> = Vec::new();
        for (handle, Handle { flags, name }) in facts.handles.iter().enumerate() {
            let flags = flags & mask;
            if flags != 0 {
                steps.push((flags & USER != 0, Step::Setns { handle, flags, name: name.clone() }));
            }
        }
        // It gives an unprivileged process the capabilities for the others, and takes them from a privileged one.
        steps.sort_by_key(|(has_user, _)| *has_user == facts.privileged);
        self.after.extend(steps.into_iter().map(|(_, step)| step));
    }

    /// What is done once the namespaces are there.
    fn inside(&mut self, facts: &Facts<'_>) {
        let arguments = facts.arguments;
        if arguments.map_root_user {
            self.after.push(Step::MapRoot { uid: facts.uid, gid: facts.gid });
        }
        let how = arguments.propagation.unwrap_or(Propagation::Private);
        if facts.new & MOUNT != 0 && how != Propagation::Unchanged {
            self.after.push(Step::Propagate(how));
        }
        let hostname = match facts.end {
            End::Hold { hostname } => hostname,
            End::Run { .. } => arguments.hostname.as_deref(),
        };
        self.after.extend(hostname.map(|name| Step::Hostname(name.to_owned())));
        if matches!(facts.end, End::Hold { .. }) && facts.new & Namespace::Network.clone_flag() != 0 {
            self.after.push(Step::UnprivilegedPorts);
        }
        if let Some(root) = &arguments.root {
            self.after.extend([Step::Chroot(root.clone()), Step::Chdir("/".into())]);
        }
        self.after.extend(arguments.wd.clone().map(Step::Chdir));
        self.after.extend(arguments.mount_proc.clone().map(Step::MountProc));
        if matches!(facts.end, End::Hold { .. }) {
            self.after.push(Step::Setsid);
            if arguments.wd.is_none() && arguments.root.is_none() {
                self.after.push(Step::Chdir("/".into()));
            }
        }
    }

    /// Some step writes below /proc.
    pub(crate) fn needs_proc(&self) -> bool {
        self.after.iter().any(|step| matches!(step, Step::MapRoot { .. } | Step::UnprivilegedPorts))
    }

    /// One step on a line, those of the child indented, and `last`.
    pub(crate) fn lines(&self, last: &str) -> String {
        let mut text = String::new();
        let mut line = |indent: &str, step: &dyn std::fmt::Display| {
            let _ = writeln!(text, "{indent}{step}");
        };
        self.before.iter().for_each(|step| line("", step));
        if let Some(clone) = &self.clone {
            line("", &clone.call);
        }
        let indent = if self.clone.is_some() { "  " } else { "" };
        self.after.iter().for_each(|step| line(indent, step));
        line(indent, &last);
        text
    }
}

impl Clone3 {
    fn new(facts: &Facts<'_>, flags: i32, group: Option<usize>) -> Self {
        let call = match group {
            Some(place) => format!("clone3({}|CLONE_INTO_CGROUP, {})", names(flags), facts.groups[place].dir.display()),
            None => format!("clone3({})", names(flags)),
        };
        Self { flags, group, call: call.replace("(0|", "(") }
    }
}

#[cfg(test)]
mod tests;
