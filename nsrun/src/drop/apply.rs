//! Making this process what CMD shall be, in the one order in which nothing is left over.

use std::fmt::Display;

use ::sys::{Call, SysError, exit_now};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{
    Gid, Uid, getgroups, getpgrp, getpid, getppid, getsid, setgroups, setresgid, setresuid, setsid,
};
use rustix::thread::{
    CapabilitiesSecureBits, capabilities_secure_bits, set_capabilities_secure_bits,
};

use super::capabilities::{self, Set};
use super::profile::Profile;
use super::seccomp::Seccomp;
use super::user::User;
use crate::error::Error;
use crate::{signals, step, sys};

/// Everything up to the exec. What is left undone because it cannot be done, and need not, is said with `verbose`.
///
/// # Errors
/// The call that failed. CMD must not run then.
pub(crate) fn apply(profile: &Profile, verbose: bool) -> Result<(), Error> {
    let say = |what: &dyn Display| {
        if verbose {
            step::say(&what);
        }
    };
    let death = prctl::get_pdeathsig().call(|| "prctl(PR_GET_PDEATHSIG)".into())?;
    let parent = getppid();
    let keeps_typing_out = session(&say)?;
    keyring(&say)?;
    umask(Mode::from_bits_truncate(profile.umask));
    say(&format_args!("umask({:03o})", profile.umask));
    for limit in &profile.limits {
        limit.set().map_err(|errno| SysError {
            call: format!("setrlimit({limit})"),
            errno,
            hint: (errno == Errno::EPERM).then_some("above the hard limit there is"),
        })?;
        say(&format_args!("setrlimit({limit})"));
    }
    oom_score(profile, &say)?;
    profile.schedule.set(&say)?;
    if let Some(cwd) = &profile.cwd {
        nix::unistd::chdir(cwd).call(|| format!("chdir({})", cwd.display()))?;
    }
    for label in &profile.labels {
        label.set()?;
        say(label);
    }
    // From here on others may be who we are: nobody gets at this program, which may be the host's, by /proc/PID/exe
    // (CVE-2019-5736). The exec of CMD ends that.
    prctl::set_dumpable(false).call(|| "prctl(PR_SET_DUMPABLE, 0)".into())?;
    // Without no_new_privs only who has CAP_SYS_ADMIN may install a filter, and then he has to do it now.
    if !profile.no_new_privs {
        filter(profile, keeps_typing_out, &say)?;
    }
    credentials(profile, &say)?;
    if profile.no_new_privs {
        prctl::set_no_new_privs().call(|| "prctl(PR_SET_NO_NEW_PRIVS, 1)".into())?;
        say(&"prctl(PR_SET_NO_NEW_PRIVS, 1)");
    }
    // A change of ids has made the kernel forget it.
    if let Some(signal) = death {
        prctl::set_pdeathsig(signal).call(|| format!("prctl(PR_SET_PDEATHSIG, {signal})"))?;
        if getppid() != parent {
            exit_now(125);
        }
    }
    signals::reset(false).call(|| "sigprocmask(SIG_SETMASK)".into())?;
    close(&profile.keep_fds)?;
    if profile.no_new_privs {
        filter(profile, keeps_typing_out, &say)?;
    }
    Ok(())
}

/// A session of our own, so that nobody's terminal is ours to type into. Whoever leads one already has it from nsrun exec, or
/// from whoever made a terminal for him. Returns whether the session is the caller's all the same.
fn session(say: &dyn Fn(&dyn Display)) -> Result<bool, SysError> {
    let pid = getpid();
    if getsid(None).is_ok_and(|session| session == pid) {
        return Ok(false);
    }
    if getpgrp() == pid {
        // A job of an interactive shell: it can leave its session only by a fork, and would lose the terminal with it.
        say(&"the session is the caller's: ioctl(TIOCSTI) and ioctl(TIOCLINUX) are refused");
        return Ok(true);
    }
    setsid().call(|| "setsid()".into())?;
    say(&"setsid()");
    Ok(false)
}

/// The caller's keys are for the caller.
fn keyring(say: &dyn Fn(&dyn Display)) -> Result<(), SysError> {
    match sys::join_session_keyring() {
        Ok(()) => say(&"keyctl(KEYCTL_JOIN_SESSION_KEYRING)"),
        // No keys at all, or an outer filter that refuses them to all of us.
        Err(Errno::ENOSYS | Errno::EPERM) => say(&"no keyrings here"),
        Err(errno) => return Err(SysError::new("keyctl(KEYCTL_JOIN_SESSION_KEYRING)", errno)),
    }
    Ok(())
}

fn oom_score(profile: &Profile, say: &dyn Fn(&dyn Display)) -> Result<(), SysError> {
    let Some(score) = profile.oom_score_adj else {
        return Ok(());
    };
    let call = || format!("write(/proc/self/oom_score_adj, {score})");
    std::fs::write("/proc/self/oom_score_adj", score.to_string())
        .call(call)
        .map_err(|error| match error.errno {
            Errno::EACCES => error.hint("lower than it is: needs CAP_SYS_RESOURCE"),
            _ => error,
        })?;
    say(&call());
    Ok(())
}

/// Ids, groups and the five sets, first what needs the most.
fn credentials(profile: &Profile, say: &dyn Fn(&dyn Display)) -> Result<(), Error> {
    let sets = &profile.sets;
    let (_, effective) = capabilities::present().call(|| "capget()".into())?;
    if effective.contains(Set::SETPCAP) {
        sets.drop_bounding()
            .call(|| "prctl(PR_CAPBSET_DROP)".into())?;
        say(&format_args!(
            "prctl(PR_CAPBSET_DROP, all but {})",
            sets.bounding.iter_names().count()
        ));
        if sets.no_root {
            secure(say)?;
        }
    } else if profile.no_new_privs {
        say(
            &"the bounding set stays: no CAP_SETPCAP, and no_new_privs lets nothing of it come back",
        );
    } else {
        return Err(SysError::new("prctl(PR_CAPBSET_DROP)", Errno::EPERM)
            .hint("needs CAP_SETPCAP, or --no-new-privs")
            .into());
    }
    // A change from root to another would clear what was asked for.
    prctl::set_keepcaps(true).call(|| "prctl(PR_SET_KEEPCAPS, 1)".into())?;
    groups(profile.user.as_ref(), say)?;
    if let Some(User { uid, gid, .. }) = profile.user {
        let hint = |error: SysError| match error.errno {
            Errno::EPERM => error.hint("needs CAP_SETUID and CAP_SETGID"),
            Errno::EINVAL => error.hint("the user namespace has no such id"),
            _ => error,
        };
        let group = Gid::from_raw(gid);
        setresgid(group, group, group)
            .call(|| format!("setresgid({gid})"))
            .map_err(hint)?;
        let user = Uid::from_raw(uid);
        setresuid(user, user, user)
            .call(|| format!("setresuid({uid})"))
            .map_err(hint)?;
        say(&format_args!("setresgid({gid}), setresuid({uid})"));
    }
    sets.take().call(|| "capset()".into())?;
    say(&format_args!(
        "capset({} effective, {} ambient)",
        sets.effective.iter_names().count(),
        sets.ambient.iter_names().count()
    ));
    Ok(())
}

/// Root is nobody special from here on: no exec of his brings a capability, and nobody can take that back.
fn secure(say: &dyn Fn(&dyn Display)) -> Result<(), SysError> {
    let wanted = CapabilitiesSecureBits::NO_ROOT | CapabilitiesSecureBits::NO_ROOT_LOCKED;
    let present = capabilities_secure_bits().call(|| "prctl(PR_GET_SECUREBITS)".into())?;
    set_capabilities_secure_bits(present | wanted).call(|| "prctl(PR_SET_SECUREBITS)".into())?;
    say(&"prctl(PR_SET_SECUREBITS, SECBIT_NOROOT|SECBIT_NOROOT_LOCKED)");
    Ok(())
}

/// Those that were asked for; else the group alone, if the kernel lets us.
fn groups(user: Option<&User>, say: &dyn Fn(&dyn Display)) -> Result<(), Error> {
    let gid = user.map_or_else(nix::unistd::getegid, |user| Gid::from_raw(user.gid));
    let mut wanted = vec![gid];
    wanted.extend(
        user.into_iter()
            .flat_map(|user| user.groups.iter().map(|gid| Gid::from_raw(*gid))),
    );
    let shown = || {
        wanted
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    match setgroups(&wanted) {
        Ok(()) => say(&format_args!("setgroups({})", shown())),
        Err(Errno::EPERM) => {
            let present = getgroups().call(|| "getgroups()".into())?;
            let is_more = present.iter().any(|group| !wanted.contains(group));
            let is_less = user.is_some_and(|user| !user.groups.is_empty());
            if is_less || is_more && user.is_some() {
                let error = SysError::new(format!("setgroups({})", shown()), Errno::EPERM);
                return Err(error
                    .hint("needs CAP_SETGID, and a user namespace that allows setgroups")
                    .into());
            }
            if is_more {
                say(&"the caller's groups stay: no CAP_SETGID");
            }
        }
        Err(errno) => return Err(SysError::new(format!("setgroups({})", shown()), errno).into()),
    }
    Ok(())
}

fn close(keep: &[i32]) -> Result<(), SysError> {
    ::sys::close_on_exec_from(3)?;
    for fd in keep {
        sys::keep_open(*fd).call(|| format!("fcntl({fd}, F_SETFD, 0)"))?;
    }
    Ok(())
}

/// The last thing before the exec: it may refuse everything else.
fn filter(
    profile: &Profile,
    keeps_typing_out: bool,
    say: &dyn Fn(&dyn Display),
) -> Result<(), Error> {
    let mut filters: Vec<&Seccomp> = profile.seccomp.iter().collect();
    let typing;
    if keeps_typing_out
        && profile
            .seccomp
            .as_ref()
            .is_none_or(|seccomp| !seccomp.refuses_typing())
    {
        typing = Seccomp::no_typing().map_err(Error::Failed)?;
        filters.insert(0, &typing);
    }
    for Seccomp {
        name,
        program,
        flags,
    } in filters
    {
        let call = || format!("seccomp(SECCOMP_SET_MODE_FILTER, {name})");
        say(&call());
        sys::seccomp(program, *flags)
            .call(call)
            .map_err(|error| match error.errno {
                Errno::EACCES => error.hint("needs CAP_SYS_ADMIN, or --no-new-privs"),
                Errno::EINVAL => error.hint("a kernel without seccomp filters"),
                _ => error,
            })?;
    }
    Ok(())
}
