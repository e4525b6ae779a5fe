//! Who a process is: ids, groups, capabilities; credentials(7), capabilities(7).

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use crate::id_args::CredentialArgs;

/// Root of the user namespace we came to, as nsenter(1) does. It may forbid setgroups(2), and may have no root (`EINVAL`);
/// user_namespaces(7).
pub(crate) fn become_root() -> Result<(), Errno> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let unless = |answer: Result<(), Errno>, allowed: &[Errno]| match answer {
        Err(errno) if allowed.contains(&errno) => Ok(()),
        answer => answer,
    };
    unless(setgroups(&[]), &[Errno::EPERM])?;
    unless(setgid(0.into()), &[Errno::EINVAL])?;
    unless(setuid(0.into()), &[Errno::EINVAL])
}

/// The calls of [`take`], as a user reads them.
pub(crate) fn calls(who: CredentialArgs) -> String {
    let mut calls = Vec::new();
    if who.keep_caps && who.setuid.is_some() {
        calls.push("prctl(PR_SET_KEEPCAPS, 1)".to_owned());
    }
    if let Some(gid) = who.setgid {
        calls.push(format!("setgroups(), setgid({gid})"));
    }
    calls.extend(who.setuid.map(|uid| format!("setuid({uid})")));
    if who.keep_caps {
        calls.push("prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, all permitted)".to_owned());
    }
    calls.join(", ")
}

/// Makes this process `who`.
///
/// # Errors
/// `EINVAL`: the user namespace has no such id. `EPERM`: it needs CAP_SETUID, CAP_SETGID.
pub(crate) fn take(who: CredentialArgs) -> Result<(), Errno> {
    if who.keep_caps && who.setuid.is_some() {
        nix::sys::prctl::set_keepcaps(true)?;
    }
    if let Some(gid) = who.setgid {
        match setgroups(&[]) {
            // Denied for ever in this user namespace: what there is stays.
            Err(Errno::EPERM) if !may_set_groups() => {}
            answer => answer?,
        }
        setgid(Gid::from_raw(gid))?;
    }
    if let Some(uid) = who.setuid {
        setuid(Uid::from_raw(uid))?;
    }
    if who.keep_caps {
        keep_capabilities()?;
    }
    Ok(())
}

fn may_set_groups() -> bool {
    std::fs::read("/proc/self/setgroups").is_ok_and(|text| text.trim_ascii() == b"allow")
}

/// An exec leaves a user who is not root only the ambient capabilities.
fn keep_capabilities() -> Result<(), Errno> {
    // caps hides the errno; that of capset(2) and of prctl(2) here is this one.
    let permitted = caps::read(None, CapSet::Permitted).map_err(|_| Errno::EPERM)?;
    caps::set(None, CapSet::Inheritable, &permitted).map_err(|_| Errno::EPERM)?;
    let raise = |cap: &Capability| caps::raise(None, CapSet::Ambient, *cap);
    permitted
        .iter()
        .try_for_each(raise)
        .map_err(|_| Errno::EPERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_it_shall_be_is_told_in_the_order_of_the_calls() {
        let who = |uid, gid, keep_caps| CredentialArgs {
            setuid: uid,
            setgid: gid,
            keep_caps,
            preserve_credentials: false,
        };
        assert_eq!(
            calls(who(Some(1000), Some(100), false)),
            "setgroups(), setgid(100), setuid(1000)"
        );
        assert_eq!(
            calls(who(Some(7), None, true)),
            "prctl(PR_SET_KEEPCAPS, 1), setuid(7), prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, all permitted)"
        );
    }
}
