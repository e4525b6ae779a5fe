//! What will be done, as data; pure.

use std::fmt::Write as _;

use ::sys::SysError;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use record::Namespace;

use crate::error::Error;
use crate::groups::Group;
use crate::id_args::CredentialArgs;
use crate::maps::{Maps, Writer};
use crate::namespace_args::{NamespaceArgs, Propagation};
use crate::offset::Offsets;
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
    /// Of a new user namespace.
    pub(crate) maps: Option<&'a Maps>,
    /// Of a new time namespace.
    pub(crate) offsets: Offsets,
    /// May join every namespace without entering its user namespace first.
    pub(crate) privileged: bool,
    /// What the steps lead up to.
    pub(crate) end: End<'a>,
}

/// What the steps lead up to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End<'a> {
    /// A process that stays, with this host name.
    Hold { hostname: Option<&'a str> },
    /// CMD.
    Run {
        /// --fork or --no-fork.
        fork: Option<bool>,
        /// It gets one of its own.
        terminal: bool,
        kill_child: Signal,
        credentials: CredentialArgs,
    },
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
    /// What the parent writes before the child goes on.
    pub(crate) maps: Option<Maps>,
    pub(crate) call: String,
}

const MOUNT: i32 = Namespace::Mount.clone_flag();
const PID: i32 = Namespace::Pid.clone_flag();
const USER: i32 = Namespace::User.clone_flag();
const CGROUP: i32 = Namespace::Cgroup.clone_flag();
const TIME: i32 = Namespace::Time.clone_flag();

impl Facts<'_> {
    /// Whether CMD is a child. Only children are born into a pid or time namespace that is new, a pid namespace that is
    /// joined, and a v2 group; and what others have to write for a process, they write for a child.
    fn forks(&self, joined: i32) -> bool {
        match self.end {
            End::Hold { .. } => true,
            End::Run {
                fork: Some(asked), ..
            } => asked,
            End::Run { fork: None, .. } => {
                let outside = self.maps.is_some_and(|maps| maps.by != Writer::Itself);
                let v2 = self.groups.iter().any(|group| group.v2);
                self.new & (PID | TIME) != 0 || joined & PID != 0 || v2 || outside
            }
        }
    }

    /// What goes by a child only, where --no-fork forbids one.
    ///
    /// # Errors
    /// Such is asked for.
    pub(crate) fn check_no_fork(&self) -> Result<(), Error> {
        let what = if self.groups.iter().any(|group| group.v2) {
            "a cgroup v2 group is entered by birth"
        } else if self.maps.is_some_and(|maps| maps.by != Writer::Itself) {
            "who stays outside writes these maps"
        } else {
            return Ok(());
        };
        Err(Error::Usage(format!("--no-fork: {what}")))
    }

    /// Who joins a user namespace is nobody there, and becomes its root unless he says otherwise.
    fn become_root(&self, joined: i32) -> Option<Step> {
        let preserves =
            matches!(self.end, End::Run { credentials, .. } if credentials.preserve_credentials);
        (joined & USER != 0 && !preserves).then_some(Step::BecomeRoot)
    }

    fn die_with_parent(&self) -> Option<Step> {
        match self.end {
            End::Run { kill_child, .. } => Some(Step::DieWithParent(kill_child)),
            End::Hold { .. } => None,
        }
    }
}

impl Plan {
    /// The order, and why it is this one.
    pub(crate) fn new(facts: &Facts<'_>) -> Self {
        let joined = facts
            .handles
            .iter()
            .fold(0, |flags, handle| flags | handle.flags);
        let v2 = facts.groups.iter().position(|group| group.v2);
        let outside = facts.maps.filter(|maps| maps.by != Writer::Itself);
        let mut plan = Self::default();
        // Of an ordinary user that would hide the process that stays from up, which has to write it down, and from itself
        // the maps of its own.
        let may_hide =
            facts.privileged || matches!(facts.end, End::Run { .. }) && facts.maps.is_none();
        if may_hide && joined & (PID | USER | MOUNT) != 0 {
            plan.before.push(Step::NotDumpable);
        }
        // An offset can be set as long as nobody is in the time namespace.
        let time = if facts.offsets.is_empty() { 0 } else { TIME };
        if !facts.forks(joined) {
            plan.groups(facts);
            plan.joins(facts, !0);
            plan.after.extend(facts.become_root(joined));
            let new = facts.new & !time;
            plan.after
                .extend((new != 0).then_some(Step::Unshare { flags: new }));
            plan.inside(facts);
            plan.last(facts);
            return plan;
        }
        // A cgroup namespace shows the group of the process that makes it: it has to be in it by then.
        let cgroup = if facts.groups.is_empty() { 0 } else { CGROUP };
        let later = facts.new & cgroup;
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
        plan.before.extend(facts.become_root(joined));
        plan.clone = Some(Clone3::new(facts, facts.new & !(later | time), v2, outside));
        if outside.is_some_and(Maps::leaves_us_nobody) {
            // Whoever has become another owns the files of his /proc no more.
            plan.clocks(facts);
            plan.after.push(Step::BecomeRoot);
        }
        plan.after.extend(facts.die_with_parent());
        let terminal = matches!(facts.end, End::Run { terminal: true, .. });
        plan.after.extend(terminal.then_some(Step::Terminal));
        plan.groups(facts);
        plan.joins(facts, !early);
        if later != 0 {
            plan.after.push(Step::Unshare { flags: later });
        }
        plan.inside(facts);
        plan.last(facts);
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

    /// Offsets of the clocks, once.
    fn clocks(&mut self, facts: &Facts<'_>) {
        let step = Step::TimeOffsets(facts.offsets);
        if !facts.offsets.is_empty() && !self.after.contains(&step) {
            self.after.push(step);
        }
    }

    /// What is done once the namespaces are there.
    fn inside(&mut self, facts: &Facts<'_>) {
        let arguments = facts.arguments;
        let own = facts.maps.filter(|maps| maps.by == Writer::Itself);
        self.after.extend(own.cloned().map(Step::Map));
        self.clocks(facts);
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

    /// Who CMD is; whoever has become another is not killed with his parent any more.
    fn last(&mut self, facts: &Facts<'_>) {
        let End::Run { credentials, .. } = facts.end else {
            return;
        };
        if credentials == CredentialArgs::default() {
            return;
        }
        self.after.push(Step::Become(credentials));
        if self.clone.is_some() {
            self.after.extend(facts.die_with_parent());
        }
    }

    /// The child joins a time namespace, which only a process with a memory of its own can (`EUSERS`).
    pub(crate) fn joins_clocks(&self) -> bool {
        let is_time = |step: &Step| match step {
            Step::Setns { flags, .. } => flags & TIME != 0,
            Step::TimeOffsets(_) => true,
            _ => false,
        };
        self.after.iter().any(is_time)
    }

    /// Some step writes below /proc.
    pub(crate) fn needs_proc(&self) -> bool {
        let writes = |step: &Step| {
            matches!(
                step,
                Step::Map(_) | Step::TimeOffsets(_) | Step::UnprivilegedPorts
            )
        };
        let parent = self.clone.iter().any(|clone| clone.maps.is_some());
        parent || self.after.iter().any(writes)
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
            let maps = clone.maps.iter().flat_map(|maps| maps.calls("CHILD"));
            maps.for_each(|call| line("", &call));
        }
        let indent = if self.clone.is_some() { "  " } else { "" };
        self.after.iter().for_each(|step| line(indent, step));
        line(indent, &last);
        text
    }
}

impl Clone3 {
    /// Nothing is done between the clone and the child, and clone(2) knows all of it.
    pub(crate) fn is_plain(&self) -> bool {
        self.maps.is_none() && self.group.is_none() && self.flags & TIME == 0
    }

    /// It failed.
    pub(crate) fn error(&self, errno: Errno) -> SysError {
        SysError {
            call: self.call.clone(),
            errno,
            hint: crate::cause::new_hint(self.flags, errno),
        }
    }

    fn new(facts: &Facts<'_>, flags: i32, group: Option<usize>, maps: Option<&Maps>) -> Self {
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
            maps: maps.cloned(),
            call: call.replace("(0|", "("),
        }
    }
}

#[cfg(test)]
mod tests;
