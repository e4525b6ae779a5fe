//! The eight kinds of namespaces(7), in every spelling there is.

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename_all = "lowercase", description = "A kind of namespace")
)]
pub enum Namespace {
    /// mount_namespaces(7)
    Mount,
    /// network_namespaces(7)
    Network,
    /// pid_namespaces(7)
    Pid,
    /// uts_namespaces(7)
    Uts,
    /// ipc_namespaces(7)
    Ipc,
    /// user_namespaces(7)
    User,
    /// cgroup_namespaces(7)
    Cgroup,
    /// time_namespaces(7), Linux 5.6
    Time,
}

/// `CLONE_NEWTIME` of linux/sched.h; the low byte of clone(2)'s flags is the signal, hence unshare and clone3 only.
const CLONE_NEWTIME: i32 = 0x80;

impl Namespace {
    /// All eight, in the order in which lsns(8) readers meet them.
    pub const ALL: [Self; 8] = [
        Self::Mount,
        Self::Network,
        Self::Pid,
        Self::Uts,
        Self::Ipc,
        Self::User,
        Self::Cgroup,
        Self::Time,
    ];

    /// The long option of unshare(1).
    #[must_use]
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::Network => "net",
            Self::Pid => "pid",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::User => "user",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// The file in `/proc/PID/ns/`.
    #[must_use]
    pub const fn proc_name(self) -> &'static str {
        match self {
            Self::Mount => "mnt",
            other => other.flag(),
        }
    }

    /// The file in `/proc/PID/ns/` of the namespace that children of PID are born in.
    #[must_use]
    pub const fn for_children(self) -> &'static str {
        match self {
            Self::Pid => "pid_for_children",
            Self::Time => "time_for_children",
            other => other.proc_name(),
        }
    }

    /// The `type` in `linux.namespaces` of an OCI configuration.
    #[must_use]
    pub const fn oci(self) -> &'static str {
        match self {
            Self::Network => "network",
            other => other.flag(),
        }
    }

    /// The kind an OCI `type` names.
    #[must_use]
    pub fn from_oci(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.oci() == text)
    }

    /// The bit of clone(2), unshare(2) and setns(2).
    #[must_use]
    pub const fn clone_flag(self) -> i32 {
        match self {
            Self::Mount => libc::CLONE_NEWNS,
            Self::Network => libc::CLONE_NEWNET,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::User => libc::CLONE_NEWUSER,
            Self::Cgroup => libc::CLONE_NEWCGROUP,
            Self::Time => CLONE_NEWTIME,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn the_kernel_agrees_on_names_and_bits() {
        for kind in Namespace::ALL {
            for name in [kind.proc_name(), kind.for_children()] {
                let file = File::open(format!("/proc/self/ns/{name}")).unwrap();
                assert_eq!(
                    sys::ns_type(file.as_fd()).unwrap(),
                    kind.clone_flag(),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn oci_types_are_those_of_the_specification() {
        let types = [
            "mount", "network", "pid", "uts", "ipc", "user", "cgroup", "time",
        ];
        assert_eq!(Namespace::ALL.map(Namespace::oci), types);
        assert_eq!(Namespace::from_oci("network"), Some(Namespace::Network));
        assert_eq!(Namespace::from_oci("net"), None);
    }
}
