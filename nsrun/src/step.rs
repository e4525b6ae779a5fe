//! One thing to be done, as data: planned, printed, done, and named when it fails.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use record::Namespace;
use rustix::fs::{CWD, Mode, OFlags, openat};
use sys::{SysError, ToErrno};

use crate::cause;
use crate::id_args::CredentialArgs;
use crate::maps::Maps;
use crate::namespace_args::Propagation;
use crate::offset::Offsets;
use crate::terminal::Pty;
use crate::{credentials, procfs};

/// One system call, or two that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Whoever is in the namespaces to be joined cannot look into this process before it has exec'd.
    NotDumpable,
    /// `handle` is the place in [`Resources::handles`].
    Setns {
        handle: usize,
        flags: i32,
        name: String,
    },
    /// The root of the user namespace that was joined, if it has one: whoever comes from outside is nobody there.
    BecomeRoot,
    /// Namespaces of our own, for this process.
    Unshare { flags: i32 },
    /// `group` is the place in [`Resources::groups`]; this thread writes itself in.
    Group { group: usize, dir: PathBuf },
    /// The kernel sends it when the parent ends.
    DieWithParent(Signal),
    /// Who is who in the new user namespace, written by the process in it.
    Map(Maps),
    /// A time namespace of our own, in which the clocks are ahead or behind.
    TimeOffsets(Offsets),
    /// Of every mount of a new mount namespace.
    Propagate(Propagation),
    /// sethostname(2)
    Hostname(String),
    /// Every port may be bound by every user of the new network namespace, as in the containers of docker and containerd.
    UnprivilegedPorts,
    /// chroot(2)
    Chroot(PathBuf),
    /// chdir(2)
    Chdir(PathBuf),
    /// A proc of the present pid namespace.
    MountProc(PathBuf),
    /// A session without a terminal.
    Setsid,
    /// Who CMD is.
    Become(CredentialArgs),
    /// A session on the new terminal.
    Terminal,
}

/// What was opened before the first step: afterwards paths may mean something else.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    /// Namespaces, or processes whose namespaces they are.
    pub(crate) handles: Vec<OwnedFd>,
    /// `tasks` of v1 groups, the directory of a v2 group.
    pub(crate) groups: Vec<OwnedFd>,
    /// /proc
    pub(crate) proc: Option<OwnedFd>,
    /// A terminal for CMD.
    pub(crate) pty: Option<Pty>,
}

impl Step {
    /// Does it.
    ///
    /// # Errors
    /// The call, spelt as [`Step`] is displayed.
    pub(crate) fn run(&self, resources: &Resources) -> Result<(), SysError> {
        self.call(resources).map_err(|errno| {
            let mut error = SysError::new(self.to_string(), errno);
            error.hint = self.hint(errno);
            error
        })
    }

    fn call(&self, resources: &Resources) -> Result<(), Errno> {
        match self {
            Self::NotDumpable => nix::sys::prctl::set_dumpable(false),
            Self::Setns { handle, flags, .. } => {
                nix::sched::setns(&resources.handles[*handle], bits(*flags))
            }
            Self::BecomeRoot => credentials::become_root(),
            Self::Unshare { flags } => nix::sched::unshare(bits(*flags)),
            Self::Group { group, .. } => {
                nix::unistd::write(&resources.groups[*group], b"0").map(drop)
            }
            Self::DieWithParent(signal) => nix::sys::prctl::set_pdeathsig(*signal),
            Self::Map(maps) => maps.write_own(proc(resources)),
            Self::TimeOffsets(offsets) => time_offsets(proc(resources), *offsets),
            Self::Propagate(how) => propagate(how.flags()),
            Self::Hostname(name) => nix::unistd::sethostname(name),
            Self::UnprivilegedPorts => {
                match procfs::write(
                    proc(resources),
                    "sys/net/ipv4/ip_unprivileged_port_start",
                    "0",
                ) {
                    // A kernel without IPv4 has no ports to free; a user that is not mapped may not.
                    Err(Errno::ENOENT | Errno::EACCES) => Ok(()),
                    answer => answer,
                }
            }
            Self::Chroot(dir) => nix::unistd::chroot(dir),
            Self::Chdir(dir) => nix::unistd::chdir(dir),
            Self::MountProc(dir) => {
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
                mount(Some("proc"), dir, Some("proc"), flags, None::<&str>)
            }
            Self::Setsid => nix::unistd::setsid().map(drop),
            Self::Become(who) => credentials::take(*who),
            Self::Terminal => resources.pty.as_ref().map_or(Ok(()), Pty::take),
        }
    }

    fn hint(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (Self::Unshare { flags }, _) => cause::new_hint(*flags, errno),
            (Self::Setns { flags, .. }, Errno::EINVAL)
                if flags & Namespace::User.clone_flag() != 0 =>
            {
                Some("it is the user namespace we are in already")
            }
            (Self::Setns { .. }, Errno::EPERM) => {
                Some("needs CAP_SYS_ADMIN in the user namespace that owns it")
            }
            (Self::TimeOffsets(_), Errno::EPERM | Errno::EACCES) => {
                Some("needs CAP_SYS_TIME in the user namespace of the time namespace")
            }
            (Self::TimeOffsets(_), Errno::ERANGE) => {
                Some("no clock may be behind the start of the machine, or 146 years ahead")
            }
            (Self::Map(_), Errno::EACCES) => {
                Some("is /proc that of another user, or this process not dumpable?")
            }
            (Self::MountProc(_), Errno::EPERM) => Some(cause::PROC_IS_MASKED),
            (Self::Group { .. }, Errno::ENOSPC) => {
                Some("cpuset.cpus or cpuset.mems of the group is empty")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDumpable => f.write_str("prctl(PR_SET_DUMPABLE, 0)"),
            Self::Setns { flags, name, .. } => write!(f, "setns({name}, {})", names(*flags)),
            Self::BecomeRoot => f.write_str("setgroups(), setgid(0), setuid(0)"),
            Self::Unshare { flags } => write!(f, "unshare({})", names(*flags)),
            Self::Group { dir, .. } => write!(f, "write({}/tasks, 0)", dir.display()),
            Self::DieWithParent(signal) => write!(f, "prctl(PR_SET_PDEATHSIG, {signal})"),
            Self::Map(maps) => f.write_str(&maps.calls("self").join(", ")),
            Self::TimeOffsets(offsets) => write!(
                f,
                "unshare(CLONE_NEWTIME), write(/proc/self/timens_offsets, {}), setns(CLONE_NEWTIME)",
                offsets.to_string().replace('\n', ", ")
            ),
            Self::Propagate(how) => write!(f, "mount(/, {})", how.name()),
            Self::Hostname(name) => write!(f, "sethostname({name})"),
            Self::UnprivilegedPorts => {
                f.write_str("write(/proc/sys/net/ipv4/ip_unprivileged_port_start, 0)")
            }
            Self::Chroot(dir) => write!(f, "chroot({})", dir.display()),
            Self::Chdir(dir) => write!(f, "chdir({})", dir.display()),
            Self::MountProc(dir) => write!(f, "mount(proc, {}, proc)", dir.display()),
            Self::Setsid => f.write_str("setsid()"),
            Self::Become(who) => f.write_str(&credentials::calls(*who)),
            Self::Terminal => f.write_str("setsid(), ioctl(TIOCSCTTY), dup2()"),
        }
    }
}

fn proc(resources: &Resources) -> BorrowedFd<'_> {
    resources.proc.as_ref().map_or(CWD, AsFd::as_fd)
}

/// The kernel takes offsets until somebody is in the time namespace, and puts its maker in only when he asks.
fn time_offsets(proc: BorrowedFd<'_>, offsets: Offsets) -> Result<(), Errno> {
    nix::sched::unshare(bits(Namespace::Time.clone_flag()))?;
    procfs::write(proc, "self/timens_offsets", &offsets.to_string())?;
    let path = "self/ns/time_for_children";
    let children = openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let children = children.map_err(|errno| errno.to_errno())?;
    nix::sched::setns(children, bits(Namespace::Time.clone_flag()))
}

/// Of all mounts. In a plain chroot / is no mount point, and what holds it cannot be seen: there we go out of the chroot,
/// to the root of the new mount namespace, and come back by descriptors.
fn propagate(how: MsFlags) -> Result<(), Errno> {
    let all = || mount(None::<&str>, "/", None::<&str>, how, None::<&str>);
    match all() {
        Err(Errno::EINVAL) => {}
        answer => return answer,
    }
    let open = |path| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, path, flags, Mode::empty()).map_err(|errno| errno.to_errno())
    };
    let (root, cwd) = (open("/")?, open(".")?);
    let own = ::sys::pidfd_open(nix::unistd::getpid().as_raw()).map_err(|error| error.errno)?;
    nix::sched::setns(own, CloneFlags::CLONE_NEWNS)?;
    all()?;
    nix::unistd::fchdir(root)?;
    nix::unistd::chroot(".")?;
    nix::unistd::fchdir(cwd)
}

/// Says on stderr that a step was done.
pub(crate) fn say(step: &impl fmt::Display) {
    record::trace(crate::TOOL, step);
}

impl Propagation {
    fn flags(self) -> MsFlags {
        MsFlags::MS_REC
            | match self {
                Self::Slave => MsFlags::MS_SLAVE,
                Self::Private => MsFlags::MS_PRIVATE,
                Self::Shared => MsFlags::MS_SHARED,
                Self::Unchanged => MsFlags::empty(),
            }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Slave => "MS_REC|MS_SLAVE",
            Self::Private => "MS_REC|MS_PRIVATE",
            Self::Shared => "MS_REC|MS_SHARED",
            Self::Unchanged => "0",
        }
    }
}

/// clone(2)'s names of `flags`, as in the man page.
pub(crate) fn names(flags: i32) -> String {
    let name = |kind: &Namespace| match kind {
        Namespace::Mount => "CLONE_NEWNS",
        Namespace::Network => "CLONE_NEWNET",
        Namespace::Pid => "CLONE_NEWPID",
        Namespace::Uts => "CLONE_NEWUTS",
        Namespace::Ipc => "CLONE_NEWIPC",
        Namespace::User => "CLONE_NEWUSER",
        Namespace::Cgroup => "CLONE_NEWCGROUP",
        Namespace::Time => "CLONE_NEWTIME",
    };
    let set: Vec<&str> = kinds(flags).iter().map(name).collect();
    if set.is_empty() {
        "0".into()
    } else {
        set.join("|")
    }
}

/// The kinds of `flags`.
pub(crate) fn kinds(flags: i32) -> Vec<Namespace> {
    Namespace::ALL
        .into_iter()
        .filter(|kind| flags & kind.clone_flag() != 0)
        .collect()
}

fn bits(flags: i32) -> CloneFlags {
    CloneFlags::from_bits_retain(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_spelt_as_their_system_calls() {
        let flags = Namespace::Network.clone_flag() | Namespace::Time.clone_flag();
        assert_eq!(
            Step::Unshare { flags }.to_string(),
            "unshare(CLONE_NEWNET|CLONE_NEWTIME)"
        );
        let join = Step::Setns {
            handle: 0,
            flags: libc::CLONE_NEWNET,
            name: "/run/netns/a".into(),
        };
        assert_eq!(join.to_string(), "setns(/run/netns/a, CLONE_NEWNET)");
        assert_eq!(
            Step::MountProc("/box/proc".into()).to_string(),
            "mount(proc, /box/proc, proc)"
        );
        assert_eq!(
            Step::DieWithParent(Signal::SIGKILL).to_string(),
            "prctl(PR_SET_PDEATHSIG, SIGKILL)"
        );
    }

    #[test]
    fn a_step_that_fails_names_its_call() {
        let error = Step::Chdir("/no/such".into())
            .run(&Resources::default())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "chdir(/no/such): No such file or directory"
        );
    }
}
