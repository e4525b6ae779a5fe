//! What will be done, as data; pure.

use std::fmt::Write as _;

use nix::sys::signal::Signal;
use record::Namespace;

use crate::cli::{NamespaceArgs, Propagation};
use crate::groups::Group;
use crate::step::{Step, names};

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
        let joined = facts
            .handles
            .iter()
            .fold(0, |flags, handle| flags | handle.flags);
        let v2 = facts.groups.iter().position(|group| group.v2);
        let asked = matches!(facts.end, End::Hold { .. } | End::Run { fork: true, .. });
        // Only children are born into a pid or time namespace that is new, a pid namespace that is joined, and a v2 group.
        let fork = asked || facts.new & (PID | TIME) != 0 || joined & PID != 0 || v2.is_some();
        let mut plan = Self::default();
        // Of an ordinary user that would hide the process that stays from up, which has to write it down.
        let may_hide = facts.privileged || matches!(facts.end, End::Run { .. });
        if may_hide && joined & (PID | USER | MOUNT) != 0 {
            plan.before.push(Step::NotDumpable);
        }
        if !fork {
            plan.groups(facts);
            plan.joins(facts, !0);
            plan.after
                .extend((joined & USER != 0).then_some(Step::BecomeRoot));
            if facts.new != 0 {
                plan.after.push(Step::Unshare { flags: facts.new });
            }
            plan.inside(facts);
            return plan;
        }
        // A cgroup namespace shows the group of the process that makes it: it has to be in it by then.
        let later = if facts.groups.is_empty() {
            0
        } else {
            facts.new & CGROUP
        };
        // The parent stays outside of what is joined. Where a user namespace is in play the order decides who owns what, so
        // everything is joined before the clone.
        let early = if (joined | facts.new) & USER == 0 {
            PID
        } else {
            !0
        };
        plan.joins(facts, early);
        plan.before.append(&mut plan.after);
        // Before the child asks for the signal of its parent's end: a change of ids forgets it.
        plan.before
            .extend((joined & USER != 0).then_some(Step::BecomeRoot));
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
        let v1 = facts
            .groups
            .iter()
            .enumerate()
            .filter(|(_, group)| !group.v2);
        self.after.extend(v1.map(|(place, group)| Step::Group {
            group: place,
            dir: group.dir.clone(),
        }));
    }

    /// Joins what is in `mask`.
    fn joins(&mut self, facts: &Facts<'_>, mask: i32) {
        let mut steps: Vec<(bool, Step)> = Vec::new();
        for (handle, Handle { flags, name }) in facts.handles.iter().enumerate() {
            let flags = flags & mask;
            if flags != 0 {
                steps.push((
                    flags & USER != 0,
                    Step::Setns {
                        handle,
                        flags,
                        name: name.clone(),
                    },
                ));
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
            self.after.push(Step::MapRoot {
                uid: facts.uid,
                gid: facts.gid,
            });
        }
        let how = arguments.propagation.unwrap_or(Propagation::Private);
        if facts.new & MOUNT != 0 && how != Propagation::Unchanged {
            self.after.push(Step::Propagate(how));
        }
        let hostname = match facts.end {
            End::Hold { hostname } => hostname,
            End::Run { .. } => arguments.hostname.as_deref(),
        };
        self.after
            .extend(hostname.map(|name| Step::Hostname(name.to_owned())));
        if matches!(facts.end, End::Hold { .. }) && facts.new & Namespace::Network.clone_flag() != 0
        {
            self.after.push(Step::UnprivilegedPorts);
        }
        if let Some(root) = &arguments.root {
            self.after
                .extend([Step::Chroot(root.clone()), Step::Chdir("/".into())]);
        }
        self.after.extend(arguments.wd.clone().map(Step::Chdir));
        self.after
            .extend(arguments.mount_proc.clone().map(Step::MountProc));
        if matches!(facts.end, End::Hold { .. }) {
            self.after.push(Step::Setsid);
            if arguments.wd.is_none() && arguments.root.is_none() {
                self.after.push(Step::Chdir("/".into()));
            }
        }
    }

    /// Some step writes below /proc.
    pub(crate) fn needs_proc(&self) -> bool {
        self.after
            .iter()
            .any(|step| matches!(step, Step::MapRoot { .. } | Step::UnprivilegedPorts))
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
            Some(place) => format!(
                "clone3({}|CLONE_INTO_CGROUP, {})",
                names(flags),
                facts.groups[place].dir.display()
            ),
            None => format!("clone3({})", names(flags)),
        };
        Self {
            flags,
            group,
            call: call.replace("(0|", "("),
        }
    }
}

#[cfg(test)]
mod tests;
