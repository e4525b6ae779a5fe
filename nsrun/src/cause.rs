//! Why namespaces cannot be made, where there is one likely cause: what an error hints at and what `check` tells.

use std::fs;

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::unistd::geteuid;
use record::Namespace;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

/// Why a fresh proc is refused in a user namespace; `mount_too_revealing` of the kernel.
pub(crate) const PROC_IS_MASKED: &str = "in a user namespace /proc must be visible as a whole, and something is mounted over parts of it";
/// What a seccomp filter may be the cause of.
pub(crate) const FILTERED: &str =
    "a seccomp filter is in force here, as in a container, and may forbid it";
/// A system call that is not there.
pub(crate) use ::sys::NO_CALL;

/// What decides whether namespaces can be made, as far as it can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Circumstances {
    /// Kinds whose `user.max_*_namespaces` is 0.
    pub(crate) switched_off: Vec<Namespace>,
    /// `kernel.unprivileged_userns_clone` of Debian's kernels; None: there is no such switch.
    pub(crate) unprivileged_clone: Option<bool>,
    /// `kernel.apparmor_restrict_unprivileged_userns`; None: there is no such switch.
    pub(crate) apparmor_restricts: Option<bool>,
    /// Effective user 0.
    pub(crate) is_root: bool,
    /// `CAP_SYS_ADMIN` is in effect.
    pub(crate) has_admin: bool,
    /// The user namespace we are in has a number for our user; None: unknown.
    pub(crate) is_mapped: Option<bool>,
    /// `/` is the root of a mount; None: unknown.
    pub(crate) root_is_mount: Option<bool>,
    /// Mode of seccomp(2); None: unknown.
    pub(crate) seccomp: Option<u32>,
}

impl Circumstances {
    /// Of this process. What /proc cannot tell, because there is none, is unknown.
    pub(crate) fn read() -> Self {
        let euid = geteuid();
        let map = fs::read_to_string("/proc/self/uid_map").ok();
        let off = |kind: &Namespace| sysctl(limit_of(*kind)).is_some_and(|limit| limit == "0");
        let switch = |name: &str| sysctl(name).map(|value| value != "0");
        Self {
            switched_off: Namespace::ALL.into_iter().filter(off).collect(),
            unprivileged_clone: switch("kernel.unprivileged_userns_clone"),
            apparmor_restricts: switch("kernel.apparmor_restrict_unprivileged_userns"),
            is_root: euid.is_root(),
            has_admin: caps::has_cap(None, CapSet::Effective, Capability::CAP_SYS_ADMIN)
                .unwrap_or(false),
            is_mapped: map.map(|map| maps(&map, euid.as_raw())),
            root_is_mount: root_is_mount(),
            seccomp: status("Seccomp").and_then(|mode| mode.parse().ok()),
        }
    }

    /// Why namespaces of `flags` cannot be made when the kernel says `errno`.
    pub(crate) fn of_new(&self, flags: i32, errno: Errno) -> Option<&'static str> {
        let has = |kind: &Namespace| flags & kind.clone_flag() != 0;
        let user = has(&Namespace::User);
        let off = self.switched_off.iter().copied().find(has);
        match errno {
            Errno::EPERM if user && self.switched_off.contains(&Namespace::User) => {
                Some(switched_off(Namespace::User))
            }
            Errno::ENOSPC | Errno::EUSERS => Some(off.map_or(
                "a limit in /proc/sys/user/max_*_namespaces, or 32 levels deep",
                switched_off,
            )),
            Errno::EPERM | Errno::EACCES if user => self.of_new_user(errno),
            Errno::EPERM if self.has_admin && self.is_filtered() => Some(FILTERED),
            Errno::EPERM if self.is_root => Some(
                "needs CAP_SYS_ADMIN, which root lacks here, or a user namespace: --user --map-root-user",
            ),
            Errno::EPERM => Some("needs root, or a user namespace: --user --map-root-user"),
            Errno::EINVAL => Some("this kernel is built without namespaces of that kind"),
            Errno::ENOSYS => Some(NO_CALL),
            Errno::ENOMEM => {
                Some("process 1 of the pid namespace has ended, nobody is born in it any more")
            }
            _ => None,
        }
    }

    /// The kernel's own order: the switches come before the rest.
    fn of_new_user(&self, errno: Errno) -> Option<&'static str> {
        if self.unprivileged_clone == Some(false) {
            return Some("only root may, while sysctl kernel.unprivileged_userns_clone is 0");
        }
        if self.apparmor_restricts == Some(true) {
            return Some(
                "AppArmor stops it: a profile for nsrun, or sysctl kernel.apparmor_restrict_unprivileged_userns=0",
            );
        }
        match errno {
            Errno::EPERM if self.is_mapped == Some(false) => {
                Some("the user namespace we are in has no number for our user")
            }
            Errno::EPERM if self.root_is_mount == Some(false) => {
                Some("not from inside a chroot: mkbox exec pivots instead")
            }
            Errno::EPERM if self.is_filtered() => Some(FILTERED),
            Errno::EPERM => Some("not from inside a chroot, and not for a user that is not mapped"),
            _ => None,
        }
    }

    /// A seccomp filter may answer in the kernel's place.
    pub(crate) fn is_filtered(&self) -> bool {
        self.seccomp.is_some_and(|mode| mode != 0)
    }
}

/// Why namespaces of `flags` cannot be made by this process.
pub(crate) fn new_hint(flags: i32, errno: Errno) -> Option<&'static str> {
    Circumstances::read().of_new(flags, errno)
}

/// The limit on the number of namespaces of one kind, as sysctl(8) spells it; namespaces(7).
pub(crate) fn limit_of(kind: Namespace) -> &'static str {
    switched_off(kind).rsplit(' ').next().unwrap_or_default()
}

fn switched_off(kind: Namespace) -> &'static str {
    match kind {
        Namespace::Mount => "mount namespaces are switched off: sysctl user.max_mnt_namespaces",
        Namespace::Network => "network namespaces are switched off: sysctl user.max_net_namespaces",
        Namespace::Pid => "PID namespaces are switched off: sysctl user.max_pid_namespaces",
        Namespace::Uts => "UTS namespaces are switched off: sysctl user.max_uts_namespaces",
        Namespace::Ipc => "IPC namespaces are switched off: sysctl user.max_ipc_namespaces",
        Namespace::User => "user namespaces are switched off: sysctl user.max_user_namespaces",
        Namespace::Cgroup => {
            "cgroup namespaces are switched off: sysctl user.max_cgroup_namespaces"
        }
        Namespace::Time => "time namespaces are switched off: sysctl user.max_time_namespaces",
    }
}

/// The value of a sysctl(8); None: there is no such, or no /proc.
pub(crate) fn sysctl(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/")));
    Some(text.ok()?.trim().to_owned())
}

/// A line of /proc/self/status.
pub(crate) fn status(name: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(found, _)| *found == name)?;
    Some(value.trim().to_owned())
}

/// Whether `map`, a uid_map, has an inner number `id`.
fn maps(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let mut fields = line
            .split_ascii_whitespace()
            .filter_map(|field| field.parse::<u64>().ok());
        let (Some(inside), Some(count)) = (fields.next(), fields.nth(1)) else {
            return false;
        };
        (inside..inside + count).contains(&u64::from(id))
    })
}

/// statx(2) tells since Linux 5.8.
fn root_is_mount() -> Option<bool> {
    let found = statx(CWD, "/", AtFlags::empty(), StatxFlags::empty()).ok()?;
    let bit = StatxAttributes::MOUNT_ROOT;
    found
        .stx_attributes_mask
        .contains(bit)
        .then(|| found.stx_attributes.contains(bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: i32 = libc::CLONE_NEWUSER;
    const NET: i32 = libc::CLONE_NEWNET;

    fn cause(circumstances: Circumstances, flags: i32, errno: Errno) -> &'static str {
        circumstances.of_new(flags, errno).unwrap_or_default()
    }

    #[test]
    fn each_switch_is_named_when_it_is_the_cause() {
        let off = |kind| Circumstances {
            switched_off: vec![kind],
            ..Default::default()
        };
        let line = cause(off(Namespace::User), USER, Errno::ENOSPC);
        assert_eq!(
            line,
            "user namespaces are switched off: sysctl user.max_user_namespaces"
        );
        assert_eq!(line, cause(off(Namespace::User), USER | NET, Errno::EPERM));
        let line = cause(off(Namespace::Network), NET, Errno::ENOSPC);
        assert!(line.ends_with("sysctl user.max_net_namespaces"), "{line}");
        // Another kind's limit is not the cause.
        let line = cause(off(Namespace::Network), USER, Errno::ENOSPC);
        assert!(line.ends_with("32 levels deep"), "{line}");
        let debian = Circumstances {
            unprivileged_clone: Some(false),
            ..Default::default()
        };
        assert!(cause(debian, USER, Errno::EPERM).contains("unprivileged_userns_clone"));
        let ubuntu = Circumstances {
            apparmor_restricts: Some(true),
            unprivileged_clone: Some(true),
            ..Default::default()
        };
        assert!(cause(ubuntu.clone(), USER, Errno::EACCES).starts_with("AppArmor"));
        assert!(cause(ubuntu, NET, Errno::EPERM).starts_with("needs root"));
    }

    #[test]
    fn what_stops_a_user_namespace_is_told_apart() {
        let with = |change: fn(&mut Circumstances)| {
            let mut circumstances = Circumstances::default();
            change(&mut circumstances);
            cause(circumstances, USER, Errno::EPERM)
        };
        assert!(with(|c| c.root_is_mount = Some(false)).contains("chroot:"));
        assert!(with(|c| c.is_mapped = Some(false)).contains("no number"));
        assert_eq!(with(|c| c.seccomp = Some(2)), FILTERED);
        assert!(with(|_| {}).contains("chroot, and not"));
    }

    #[test]
    fn root_without_the_capability_is_not_told_to_become_root() {
        let with = |is_root, has_admin, seccomp| {
            let circumstances = Circumstances {
                is_root,
                has_admin,
                seccomp,
                ..Default::default()
            };
            cause(circumstances, NET, Errno::EPERM)
        };
        assert!(with(false, false, Some(2)).starts_with("needs root"));
        assert!(with(true, false, Some(2)).starts_with("needs CAP_SYS_ADMIN"));
        assert_eq!(with(true, true, Some(2)), FILTERED);
    }

    #[test]
    fn limits_have_the_names_that_the_kernel_gives_them() {
        for kind in Namespace::ALL {
            let name = limit_of(kind);
            assert_eq!(name, format!("user.max_{}_namespaces", kind.proc_name()));
        }
    }

    #[test]
    fn a_map_has_the_numbers_inside() {
        assert!(maps("         0          0 4294967295\n", 65534));
        assert!(maps("0 1000 1\n1 100000 65536\n", 65536));
        assert!(!maps("0 1000 1\n", 1000));
        assert!(!maps("", 0));
        assert!(!maps("0 x\n", 0));
    }

    #[test]
    fn this_process_is_described() {
        let circumstances = Circumstances::read();
        assert_eq!(circumstances.is_mapped, Some(true));
        assert!(circumstances.seccomp.is_some());
        assert_eq!(status("NoSuchLine"), None);
    }
}
