//! `exec --rm`: the command in a child that is in the groups before it runs, and this process beside it until it has ended.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use sys::parent::{self, Callers, Ended};
use sys::{Call, clone3, exit_now};

use crate::TOOL;
use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::Version;
use crate::sys::fork;
use crate::talk::Talk;

/// Runs `command` in `groups` and waits for it.
pub(crate) fn run(
    command: &[OsString],
    groups: &[(Version, &Group)],
    talk: Talk,
) -> Result<Ended, Error> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let own = sys::pidfd_open(own)?;
    let callers = Callers::block().call(|| "sigprocmask(SIG_SETMASK)".into())?;
    let (child, is_born_there) = give_birth(groups, talk)?;
    let Some(child) = child else {
        let enter = || -> Result<(), Error> {
            die_with(&own)?;
            for (_, group) in groups
                .iter()
                .filter(|(version, _)| *version == Version::V1 || !is_born_there)
            {
                group.enter()?;
                talk.step(|| format!("write({}/{}, 0)", group.path().display(), group.door()));
            }
            let restored = callers.restore();
            Ok(restored.call(|| "sigprocmask(SIG_SETMASK)".into())?)
        };
        if let Err(error) = enter() {
            record::report(TOOL, error);
            exit_now(crate::exec::OURS);
        }
        let error = sys::exec(command);
        record::report(TOOL, &error);
        exit_now(error.status())
    };
    Ok(parent::wait(Pid::from_raw(child), false)?)
}

/// The child, and whether it was born in the v2 group among `groups`, which costs it nothing.
fn give_birth(groups: &[(Version, &Group)], talk: Talk) -> Result<(Option<i32>, bool), Error> {
    let v2 = groups.iter().find(|(version, _)| *version == Version::V2);
    if let Some((_, group)) = v2 {
        let call = || format!("clone3(CLONE_INTO_CGROUP, {})", group.path().display());
        match clone3(0, Some(group.as_fd())) {
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
    let child = fork().call(|| "fork()".into())?;
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
