//! `exec --rm`: the command in a child that is in the groups before it runs, and this process beside it until it has ended.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getsid};
use sys::Call;

use crate::TOOL;
use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::Version;
use crate::sys::{exit_now, fork_into, kill, sigwaitinfo};
use crate::talk::Talk;

/// Runs `command` in `groups` and waits for it: its status, 128+N if signal N ended it.
pub(crate) fn run(
    command: &[OsString],
    groups: &[(Version, &Group)],
    talk: Talk,
) -> Result<u8, Error> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let own = sys::pidfd_open(own)?;
    // None is lost between here and the waiting.
    let mut mask = SigSet::empty();
    sigprocmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::all()),
        Some(&mut mask),
    )
    .call(|| "sigprocmask()".into())?;
    let sigchld_ignored = sys::is_ignored(libc::SIGCHLD);
    if sigchld_ignored {
        // The kernel would reap the command itself, and its status with it.
        sys::set_disposition(libc::SIGCHLD, false);
    }
    let (child, is_born_there) = give_birth(groups, talk)?;
    let Some(child) = child else {
        let enter = || -> Result<(), Error> {
            die_with(&own)?;
            for (_, group) in groups
                .iter()
                .filter(|(version, _)| *version == Version::V1 || !is_born_there)
            {
                talk.step(|| format!("write({}/{}, 0)", group.path().display(), group.door()));
                group.enter()?;
            }
            if sigchld_ignored {
                sys::set_disposition(libc::SIGCHLD, true);
            }
            let answer = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None);
            Ok(answer.call(|| "sigprocmask()".into())?)
        };
        if let Err(error) = enter() {
            record::report(TOOL, error);
            exit_now(crate::exec::OURS);
        }
        let error = sys::exec(command);
        record::report(TOOL, &error);
        exit_now(error.status())
    };
    wait(child)
}

/// The child, and whether it was born in the v2 group among `groups`, which costs it nothing.
fn give_birth(groups: &[(Version, &Group)], talk: Talk) -> Result<(Option<Pid>, bool), Error> {
    let v2 = groups.iter().find(|(version, _)| *version == Version::V2);
    if let Some((_, group)) = v2 {
        let call = || format!("clone3(CLONE_INTO_CGROUP, {})", group.path().display());
        match fork_into(Some(group.as_fd())) {
            // An older kernel, or a filter in its way: it enters by itself.
            Err(Errno::ENOSYS | Errno::E2BIG | Errno::EINVAL | Errno::EPERM) => {}
            answer => {
                let child = answer.call(call)?;
                if child.is_some() {
                    talk.step(call);
                }
                return Ok((child, true));
            }
        }
    }
    let child = fork_into(None).call(|| "fork()".into())?;
    Ok((child, false))
}

/// The child goes with us, also if we are gone already.
fn die_with(parent: &OwnedFd) -> Result<(), Error> {
    set_pdeathsig(Signal::SIGKILL).call(|| "prctl(PR_SET_PDEATHSIG)".into())?;
    if sys::pidfd_wait(parent.as_fd(), Duration::ZERO)? {
        exit_now(crate::exec::OURS);
    }
    Ok(())
}

/// Forwards signals until the command has ended.
fn wait(child: Pid) -> Result<u8, Error> {
    let all = SigSet::all();
    let leads_session = getsid(None).is_ok_and(|session| session == getpid());
    loop {
        let signal = match sigwaitinfo(&all) {
            Err(Errno::EINTR) => continue,
            answer => answer.call(|| "sigwaitinfo()".into())?,
        };
        // A terminal sends to its foreground group, in which the command is too; the hangup goes to the session's leader only.
        let has_it = signal.code > 0
            && match signal.number {
                libc::SIGINT
                | libc::SIGQUIT
                | libc::SIGTSTP
                | libc::SIGTTIN
                | libc::SIGTTOU
                | libc::SIGWINCH => true,
                libc::SIGHUP | libc::SIGCONT => !leads_session,
                _ => false,
            };
        match signal.number {
            libc::SIGCHLD => {
                if let Some(status) = look(child)? {
                    return Ok(status);
                }
            }
            // The pid is the child's for as long as it has not been waited for.
            number if !has_it => kill(child, number),
            _ => {}
        }
    }
}

/// Takes the changes of all children, some of whom this process may have been handed by who exec'd it.
fn look(child: Pid) -> Result<Option<u8>, Error> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == child => {
                return Ok(Some(u8::try_from(status & 0xff).unwrap_or(u8::MAX)));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                return Ok(Some(128 + u8::try_from(signal as i32).unwrap_or(0)));
            }
            // As the command was stopped, so that the shell sees it; both are continued by the shell.
            Ok(WaitStatus::Stopped(pid, _)) if pid == child => kill(getpid(), libc::SIGSTOP),
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(sys::SysError::new("waitpid()", errno).into()),
        }
    }
}
