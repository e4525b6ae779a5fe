//! System calls that a container has no use for, with arguments that the kernel refuses after it has asked whether we may.
#![expect(
    unsafe_code,
    reason = "calls without a wrapper, of numbers that are meant to be refused"
)]

use nix::errno::Errno;
use nix::libc::{self, c_long};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use crate::{Attempt, Report};

/// An address that is nobody's.
const BAD: c_long = 1;

/// Each with six arguments; none of them does anything even where it is allowed.
const CALLS: [(&str, c_long, [c_long; 5]); 31] = [
    ("acct", libc::SYS_acct, [BAD, 0, 0, 0, 0]),
    ("add_key", libc::SYS_add_key, [BAD, BAD, 0, 0, 0]),
    ("bpf", libc::SYS_bpf, [0, BAD, 8, 0, 0]),
    ("clock_settime", libc::SYS_clock_settime, [0, BAD, 0, 0, 0]),
    ("delete_module", libc::SYS_delete_module, [BAD, 0, 0, 0, 0]),
    ("fanotify_init", libc::SYS_fanotify_init, [-1, 0, 0, 0, 0]),
    ("finit_module", libc::SYS_finit_module, [-1, BAD, 0, 0, 0]),
    ("fsmount", libc::SYS_fsmount, [-1, 0, 0, 0, 0]),
    ("fsopen", libc::SYS_fsopen, [BAD, 0, 0, 0, 0]),
    ("init_module", libc::SYS_init_module, [BAD, 0, BAD, 0, 0]),
    (
        "io_uring_setup",
        libc::SYS_io_uring_setup,
        [1, BAD, 0, 0, 0],
    ),
    ("kcmp", libc::SYS_kcmp, [1, 1, 99, 0, 0]),
    ("keyctl", libc::SYS_keyctl, [0, -3, 0, 0, 0]),
    ("kexec_load", libc::SYS_kexec_load, [0, 1 << 20, BAD, 0, 0]),
    ("mount", libc::SYS_mount, [BAD, BAD, BAD, 0, BAD]),
    (
        "mount_setattr",
        libc::SYS_mount_setattr,
        [-1, BAD, 0, BAD, 32],
    ),
    ("move_mount", libc::SYS_move_mount, [-1, BAD, -1, BAD, 0]),
    (
        "open_by_handle_at",
        libc::SYS_open_by_handle_at,
        [-1, BAD, 0, 0, 0],
    ),
    ("open_tree", libc::SYS_open_tree, [-1, BAD, 1, 0, 0]),
    (
        "perf_event_open",
        libc::SYS_perf_event_open,
        [BAD, 0, 0, -1, 0],
    ),
    ("pivot_root", libc::SYS_pivot_root, [BAD, BAD, 0, 0, 0]),
    (
        "process_vm_readv",
        libc::SYS_process_vm_readv,
        [1, BAD, 1, BAD, 1],
    ),
    ("quotactl", libc::SYS_quotactl, [-1, BAD, 0, BAD, 0]),
    ("reboot", libc::SYS_reboot, [0, 0, 0, 0, 0]),
    ("request_key", libc::SYS_request_key, [BAD, BAD, 0, 0, 0]),
    ("setns", libc::SYS_setns, [-1, 0, 0, 0, 0]),
    ("settimeofday", libc::SYS_settimeofday, [BAD, 0, 0, 0, 0]),
    ("swapoff", libc::SYS_swapoff, [BAD, 0, 0, 0, 0]),
    ("swapon", libc::SYS_swapon, [BAD, 0, 0, 0, 0]),
    ("umount2", libc::SYS_umount2, [BAD, 0, 0, 0, 0]),
    ("userfaultfd", libc::SYS_userfaultfd, [-1, 0, 0, 0, 0]),
];

/// `attack calls`
pub(crate) fn attack(report: &Report, _: &[String]) {
    for (name, number, arguments) in CALLS {
        report.line(name, call(number, arguments));
    }
    // The same call by the number of another interface.
    const X32: c_long = 0x4000_0000;
    report.line("x32-getpid", call(X32 | libc::SYS_getpid, [0; 5]));
    report.line("x32-unshare", call(X32 | libc::SYS_unshare, [0; 5]));
    #[cfg(target_arch = "x86_64")]
    report.line("i386-getpid", in_a_child(old_getpid));
    report.line("clone3", call(libc::SYS_clone3, [BAD, 88, 0, 0, 0]));
}

/// Got: a filter let it through, whatever the kernel then said of its arguments.
fn call(number: c_long, [a, b, c, d, e]: [c_long; 5]) -> Attempt {
    // SAFETY: each line of the table names no memory of ours; the only address in it is one that is never mapped.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, 0_i64) };
    match Errno::result(answer) {
        Ok(_) => Ok("it is allowed".into()),
        Err(errno @ (Errno::EPERM | Errno::ENOSYS)) => Err(errno.desc().into()),
        Err(errno) => Ok(format!("it is allowed: {}", errno.desc())),
    }
}

/// getpid(2) of i386, as no filter that looks at the number alone would see it.
#[cfg(target_arch = "x86_64")]
fn old_getpid() -> Attempt {
    let mut answer: i64 = 20;
    // SAFETY: it takes no arguments and touches no memory; the kernel may change these registers.
    unsafe {
        std::arch::asm!("int 0x80", inout("rax") answer, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    match answer {
        1.. => Ok("it is allowed".into()),
        _ => Err(Errno::from_raw(i32::try_from(-answer).unwrap_or(0))
            .desc()
            .into()),
    }
}

/// A filter, or a kernel without that interface, may end who calls.
#[cfg(target_arch = "x86_64")]
fn in_a_child(attempt: fn() -> Attempt) -> Attempt {
    // SAFETY: there is one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let code = i32::from(attempt().is_err());
            // SAFETY: it returns to nobody.
            unsafe { libc::_exit(code) }
        }
        Ok(ForkResult::Parent { child }) => match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, 0)) => Ok("it is allowed".into()),
            other => Err(format!("{other:?}")),
        },
        Err(errno) => Err(errno.desc().into()),
    }
}
