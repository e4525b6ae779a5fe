//! User namespaces, in which whoever makes one is root, and the kernel's most private calls are open; and other ids.
#![expect(unsafe_code, reason = "clone3 has no wrapper")]

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Uid, fork, setgroups, setresuid};

use crate::{Attempt, Report, Why};

/// `attack users`
pub(crate) fn attack(report: &Report, _: &[String]) {
    report.line("unshare", in_a_child(|| unshare(CloneFlags::CLONE_NEWUSER)));
    report.line(
        "unshare-all",
        in_a_child(|| {
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        }),
    );
    report.line("clone3", clone3());
    report.line(
        "setgroups",
        in_a_child(|| setgroups(&[Gid::from_raw(0), Gid::from_raw(42)])),
    );
    report.line(
        "setuid",
        in_a_child(|| {
            let other = Uid::from_raw(if Uid::current().is_root() { 4242 } else { 0 });
            setresuid(other, other, other)
        }),
    );
}

fn in_a_child(attempt: impl FnOnce() -> Result<(), Errno>) -> Attempt {
    // SAFETY: there is one thread.
    match unsafe { fork() }.why()? {
        ForkResult::Child => {
            let code = attempt().map_or_else(|errno| errno as i32, |()| 0);
            // SAFETY: it returns to nobody.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => match waitpid(child, None).why()? {
            WaitStatus::Exited(_, 0) => Ok("allowed".into()),
            WaitStatus::Exited(_, errno) => Err(Errno::from_raw(errno).desc().into()),
            other => Err(format!("{other:?}")),
        },
    }
}

/// clone3(2), which a filter cannot look into.
fn clone3() -> Attempt {
    let mut arguments = [0_u64; 8];
    arguments[0] = 0x1000_0000; // CLONE_NEWUSER
    arguments[4] = 17; // SIGCHLD
    // SAFETY: the array is as long as it says; without a stack the child goes on as after fork(2), and there is one thread.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            arguments.as_ptr(),
            size_of_val(&arguments),
        )
    };
    match Errno::result(pid) {
        // SAFETY: it returns to nobody.
        Ok(0) => unsafe { libc::_exit(0) },
        Ok(pid) => {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).why()?);
            waitpid(pid, None).why()?;
            Ok("allowed".into())
        }
        Err(errno) => Err(errno.desc().into()),
    }
}
