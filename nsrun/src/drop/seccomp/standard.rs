//! The profile without an option: every call that this kernel interface had when it was written, but those that a container
//! has no use for without the capability they go with. The like of docker's, and tighter in a few places.

use syscalls::Sysno;

use super::super::capabilities::Set;
use super::filter::{Action, Compare, Filter, Op, Rule, Verdict};

/// Not without the capability, if there is one that makes sense of them.
const REFUSED: &[(Option<Set>, &[&str])] = &[
    // Of no use to anybody, or replaced by what is not refused.
    (
        None,
        &[
            "_sysctl",
            "afs_syscall",
            "create_module",
            "epoll_ctl_old",
            "epoll_wait_old",
            "get_kernel_syms",
            "getpmsg",
            "lookup_dcookie",
            "nfsservctl",
            "putpmsg",
            "query_module",
            "security",
            "sysfs",
            "tuxcall",
            "uselib",
            "ustat",
            "vserver",
        ],
    ),
    // New ground for attacks on the kernel, or on keys that no namespace keeps apart.
    (
        None,
        &[
            "add_key",
            "io_uring_enter",
            "io_uring_register",
            "io_uring_setup",
            "keyctl",
            "memfd_secret",
            "request_key",
            "userfaultfd",
            "map_shadow_stack",
            "uretprobe",
            "uprobe",
        ],
    ),
    (
        Some(Set::SYS_ADMIN),
        &[
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "listmount",
            "lsm_set_self_attr",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "open_tree_attr",
            "pivot_root",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "statmount",
            "swapoff",
            "swapon",
            "umount2",
            "unshare",
        ],
    ),
    (Some(Set::BPF), &["bpf"]),
    (Some(Set::DAC_READ_SEARCH), &["open_by_handle_at"]),
    (Some(Set::PERFMON), &["perf_event_open"]),
    (Some(Set::SYSLOG), &["syslog"]),
    (
        Some(Set::SYS_BOOT),
        &["kexec_file_load", "kexec_load", "reboot"],
    ),
    (Some(Set::SYS_CHROOT), &["chroot"]),
    (
        Some(Set::SYS_MODULE),
        &["delete_module", "finit_module", "init_module"],
    ),
    (
        Some(Set::SYS_NICE),
        &[
            "mbind",
            "migrate_pages",
            "move_pages",
            "set_mempolicy",
            "set_mempolicy_home_node",
        ],
    ),
    (Some(Set::SYS_PACCT), &["acct"]),
    (
        Some(Set::SYS_PTRACE),
        &[
            "kcmp",
            "pidfd_getfd",
            "process_madvise",
            "process_vm_readv",
            "process_vm_writev",
            "ptrace",
        ],
    ),
    (Some(Set::SYS_RAWIO), &["ioperm", "iopl"]),
    (
        Some(Set::SYS_TIME),
        &["clock_adjtime", "clock_settime", "settimeofday"],
    ),
    (Some(Set::SYS_TTY_CONFIG), &["vhangup"]),
];

/// CLONE_NEW… but CLONE_NEWTIME, whose bit means a signal here.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// ioctl(2) requests that write what the reader of a terminal believes was typed; CVE-2017-5226, CVE-2023-28100.
const TYPING: [u64; 2] = [0x5412, 0x541c];

/// Address families that reach the kernel's crypto, the hypervisor and the wire.
const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;
const AF_PACKET: u64 = 17;

/// Linux, and a few more that only change what programs are told; personality(2).
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

const EPERM: Action = Action::Errno(libc::EPERM as u16);
const ENOSYS: Action = Action::Errno(libc::ENOSYS as u16);

/// For whom `capabilities` are left.
pub(crate) fn standard(capabilities: Set) -> Filter {
    let last = Sysno::last().id().cast_unsigned();
    // A library that knows a newer call than we do tries the older one when it hears ENOSYS.
    let mut filter = Filter::new(ENOSYS, last, ENOSYS);
    // The crate's iterator leaves out the last one (0.8.1).
    let all = Sysno::iter().chain([Sysno::last()]);
    filter.set_all(
        all.map(|call| call.id().cast_unsigned()),
        Verdict::always(Action::Allow),
    );
    // Not every processor has every call.
    let number = |name: &str| Some(name.parse::<Sysno>().ok()?.id().cast_unsigned());
    let refused = REFUSED
        .iter()
        .filter(|(capability, _)| capability.is_none_or(|one| !capabilities.contains(one)))
        .flat_map(|(_, names)| *names);
    filter.set_all(
        refused.filter_map(|name| number(name)),
        Verdict::always(EPERM),
    );
    let mut set = |name: &str, verdict: Verdict| {
        filter.set_all(number(name), verdict);
    };
    if !capabilities.contains(Set::SYS_ADMIN) {
        let new = Compare {
            index: 0,
            op: Op::MaskedEq,
            value: NEW_NAMESPACES,
            value_two: 0,
        };
        set("clone", only(vec![new], EPERM));
        // Its flags are in memory, where no filter can look; every library falls back to clone.
        set("clone3", Verdict::always(ENOSYS));
    }
    set("ioctl", all_but(1, &TYPING));
    let mut families = vec![AF_ALG, AF_VSOCK];
    if !capabilities.contains(Set::NET_RAW) {
        families.push(AF_PACKET);
    }
    set("socket", all_but(0, &families));
    let personality = |value: &u64| equal(0, Op::LowEq, *value);
    set(
        "personality",
        only(PERSONALITIES.iter().map(personality).collect(), EPERM),
    );
    filter
}

/// For whoever stays in the caller's session, whatever else is allowed.
pub(crate) fn no_typing() -> Filter {
    let ioctl = Sysno::ioctl.id().cast_unsigned();
    let last = Sysno::last().id().cast_unsigned();
    let mut filter = Filter::new(Action::Allow, last, Action::Allow);
    filter.set(ioctl, all_but(1, &TYPING));
    filter
}

fn equal(index: u8, op: Op, value: u64) -> Compare {
    Compare {
        index,
        op,
        value,
        value_two: 0,
    }
}

/// Allowed when one of the conditions is met.
fn only(conditions: Vec<Compare>, otherwise: Action) -> Verdict {
    let rule = |condition| Rule {
        conditions: vec![condition],
        action: Action::Allow,
    };
    Verdict {
        rules: conditions.into_iter().map(rule).collect(),
        otherwise,
    }
}

/// Refused when the lower half of the argument is one of these.
fn all_but(index: u8, values: &[u64]) -> Verdict {
    let rule = |value: &u64| Rule {
        conditions: vec![equal(index, Op::LowEq, *value)],
        action: EPERM,
    };
    Verdict {
        rules: values.iter().map(rule).collect(),
        otherwise: Action::Allow,
    }
}

#[cfg(test)]
mod tests {
    use super::super::program::tests::answer;
    use super::*;

    #[cfg(target_arch = "x86_64")]
    fn says(capabilities: Set, name: &str, arguments: [u64; 6]) -> u32 {
        let program = standard(capabilities).program().unwrap();
        let number = name.parse::<Sysno>().unwrap().id().cast_unsigned();
        answer(&program, 0xc000_003e, number, arguments)
    }

    const ALLOW: u32 = 0x7fff_0000;
    const NO: u32 = 0x0005_0001;
    const UNKNOWN: u32 = 0x0005_0026;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_a_program_needs_is_allowed_and_what_the_host_needs_is_not() {
        for name in [
            "read",
            "execve",
            "openat2",
            "futex",
            "sendmsg",
            "setuid",
            "capset",
            "prctl",
            "seccomp",
            "rseq",
            "mseal",
            "landlock_create_ruleset",
            "pidfd_open",
        ] {
            assert_eq!(says(Set::empty(), name, [0; 6]), ALLOW, "{name}");
        }
        for name in [
            "mount",
            "unshare",
            "bpf",
            "ptrace",
            "keyctl",
            "io_uring_setup",
            "kexec_load",
            "open_by_handle_at",
            "chroot",
        ] {
            assert_eq!(says(Set::empty(), name, [0; 6]), NO, "{name}");
        }
        assert_eq!(says(Set::empty(), "clone3", [0; 6]), UNKNOWN);
        assert_eq!(says(Set::empty(), Sysno::last().name(), [0; 6]), ALLOW);
        assert_eq!(says(Set::SYS_ADMIN, "mount", [0; 6]), ALLOW);
        assert_eq!(says(Set::SYS_ADMIN, "clone3", [0; 6]), ALLOW);
        assert_eq!(says(Set::SYS_ADMIN, "bpf", [0; 6]), NO);
        assert_eq!(says(Set::SYS_CHROOT, "chroot", [0; 6]), ALLOW);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn arguments_decide_in_the_half_that_the_kernel_looks_at() {
        let first = |name, value| says(Set::empty(), name, [value, 0, 0, 0, 0, 0]);
        let second = |name, value| says(Set::empty(), name, [0, value, 0, 0, 0, 0]);
        // CVE-2019-7303: the upper half of a request is nothing to the kernel.
        for request in [0x5412, 0x541c, 0x1_0000_5412, 0xffff_ffff_0000_5412] {
            assert_eq!(second("ioctl", request), NO, "{request:#x}");
        }
        assert_eq!(second("ioctl", 0x5413), ALLOW);
        assert_eq!(first("socket", 2), ALLOW);
        assert_eq!(first("socket", AF_ALG), NO);
        assert_eq!(first("socket", 1 << 32 | AF_VSOCK), NO);
        assert_eq!(first("socket", AF_PACKET), NO);
        assert_eq!(
            says(Set::NET_RAW, "socket", [AF_PACKET, 0, 0, 0, 0, 0]),
            ALLOW
        );
        assert_eq!(first("clone", 0x0120_0011), ALLOW);
        for new in [0x2_0000, 0x1000_0000, 0x4000_0011, 0x7e02_0000] {
            assert_eq!(first("clone", new), NO, "{new:#x}");
        }
        assert_eq!(first("personality", 0), ALLOW);
        assert_eq!(first("personality", 0x4_0000), NO, "ADDR_NO_RANDOMIZE");
    }

    #[test]
    fn no_name_is_misspelt() {
        // Of calls that this processor does not have, or that the table does not know.
        let elsewhere = ["uprobe"];
        for name in REFUSED.iter().flat_map(|(_, names)| *names) {
            assert!(
                name.parse::<Sysno>().is_ok()
                    || elsewhere.contains(name)
                    || cfg!(not(target_arch = "x86_64")),
                "{name}"
            );
        }
    }

    #[test]
    fn it_is_short() {
        let program = standard(Set::empty()).program().unwrap();
        assert!(program.len() < 250, "{}", program.len());
    }
}
