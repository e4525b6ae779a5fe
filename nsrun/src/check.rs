//! `check`: what this kernel, this user and this machine allow nsrun, what is missing and how to get it.

use std::process::ExitCode;

use nix::errno::Errno;
use record::Namespace;
use sys::{Answer, Check, Checks};

mod facts;
mod ids;
#[cfg(test)]
mod tests;

use crate::TOOL;
use crate::cause::{self, Circumstances};
use crate::cli::CheckArgs;
use crate::step::names;
use facts::Facts;

/// The kinds that a pod is made of; the others are extras.
const MAIN: [Namespace; 5] = [
    Namespace::Mount,
    Namespace::Network,
    Namespace::Pid,
    Namespace::Uts,
    Namespace::Ipc,
];

/// Said of everything that is to be had in one.
const NO_USER_NAMESPACE: &str = "no user namespace to be root of";

/// `nsrun check`
pub(crate) fn check(arguments: &CheckArgs) -> ExitCode {
    judge(Facts::gather()).finish(arguments.json)
}

/// From what was found to what it means.
fn judge(facts: Facts) -> Checks {
    let mut list = of_calls(&facts);
    list.extend(of_namespaces(&facts));
    list.extend(of_proc(&facts));
    list.extend(of_switches(&facts));
    list.extend(ids::judge(&facts.ids, facts.circumstances.is_root));
    list.extend(of_pod(facts));
    Checks::new(TOOL, list)
}

/// System calls, of which nsrun needs the first two.
fn of_calls(facts: &Facts) -> Vec<Check> {
    let call = |name: &str, call: &str, tried: Option<Answer>, since: &'static str| {
        let hint = match tried {
            Some(Err(Errno::ENOSYS | Errno::EINVAL | Errno::ENOTTY)) => Some(since),
            Some(Err(Errno::EPERM)) if facts.circumstances.is_filtered() => Some(cause::FILTERED),
            _ => None,
        };
        Check::tried(name, call, tried, "works").hint(hint)
    };
    vec![
        call(
            "clone3",
            "clone3()",
            facts.clone3,
            "Linux 5.3 has it; a container's seccomp filter may hide it",
        )
        .needed(true),
        call(
            "pidfd",
            "pidfd_open()",
            facts.pidfd,
            "Linux 5.3 has it; a container's seccomp filter may hide it",
        )
        .needed(true),
        call(
            "close-range",
            "close_range(CLOSE_RANGE_CLOEXEC)",
            facts.close_range,
            "Linux 5.11 has it; without it /proc/self/fd is walked",
        ),
        call(
            "namespace-ids",
            "ioctl(NS_GET_ID)",
            facts.ns_get_id,
            "Linux 6.18 has it; without it down, once pause is dead, ends only what is in the pod's groups",
        ),
    ]
}

/// Of each kind, as this user and as root of a user namespace. One of the two is needed.
fn of_namespaces(facts: &Facts) -> Vec<Check> {
    let by_itself = |kind| went(&facts.namespaces, kind);
    // A user namespace is needed where the others cannot be had without.
    let nested_needed = |kind| MAIN.contains(&kind) && !by_itself(kind);
    let user_needed = MAIN.into_iter().any(nested_needed);
    let direct_needed = |kind| match kind {
        Namespace::User => user_needed,
        kind => MAIN.contains(&kind) && (by_itself(kind) || !went(&facts.rootless, kind)),
    };
    let direct = facts.namespaces.iter().map(|&(kind, answer)| {
        let flags = kind.clone_flag();
        let (name, call) = (format!("namespace.{}", kind.flag()), unshare(kind));
        let hint = refusal(answer).and_then(|errno| facts.circumstances.of_new(flags, errno));
        Check::tried(name, &call, answer, "as this user")
            .hint(hint)
            .needed(direct_needed(kind))
    });
    let nested = facts
        .rootless
        .iter()
        .map(|&(kind, answer)| of_nested(facts, kind, answer).needed(nested_needed(kind)));
    direct
        .chain([of_map(facts).needed(user_needed)])
        .chain(nested)
        .collect()
}

/// Whether a user namespace can be given a root.
fn of_map(facts: &Facts) -> Check {
    if !went(&facts.namespaces, Namespace::User) {
        return Check::new("rootless.map", false, NO_USER_NAMESPACE);
    }
    let call = "write(/proc/self/uid_map)";
    Check::tried("rootless.map", call, facts.map, "this user is root of one")
        .hint(refusal(facts.map).and_then(|errno| nested_hint(&facts.circumstances, errno)))
}

/// A namespace that root of a user namespace makes.
fn of_nested(facts: &Facts, kind: Namespace, answer: Option<Answer>) -> Check {
    let name = format!("rootless.{}", kind.flag());
    if answer.is_none() {
        return Check::new(name, false, NO_USER_NAMESPACE);
    }
    let hint = refusal(answer).and_then(|errno| match errno {
        Errno::EPERM | Errno::EACCES => nested_hint(&facts.circumstances, errno),
        _ => facts.circumstances.of_new(kind.clone_flag(), errno),
    });
    Check::tried(
        name,
        &unshare(kind),
        answer,
        "as root of a new user namespace",
    )
    .hint(hint)
}

/// Root of a user namespace has every capability in it: what is refused there is refused by something else.
fn nested_hint(circumstances: &Circumstances, errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::EPERM | Errno::EACCES if circumstances.apparmor_restricts == Some(true) => {
            circumstances.of_new(libc::CLONE_NEWUSER, errno)
        }
        Errno::EPERM if circumstances.is_filtered() => Some(cause::FILTERED),
        _ => None,
    }
}

fn went(answers: &[(Namespace, Option<Answer>)], kind: Namespace) -> bool {
    answers.contains(&(kind, Some(Ok(()))))
}

fn unshare(kind: Namespace) -> String {
    format!("unshare({})", names(kind.clone_flag()))
}

fn refusal(answer: Option<Answer>) -> Option<Errno> {
    answer.and_then(Result::err)
}

/// /proc itself, and a fresh one.
fn of_proc(facts: &Facts) -> Vec<Check> {
    let found = match facts.proc {
        Ok(()) => "mounted on /proc",
        Err(Errno::ESRCH) => "that of another pid namespace is mounted on /proc",
        Err(_) => "no proc is mounted on /proc",
    };
    let proc = Check::new("proc", facts.proc.is_ok(), found)
        .needed(true)
        .hint(Some(match facts.proc {
            Err(Errno::ESRCH) => "nsrun exec --mount-proc mounts one of ours",
            _ => "mount -t proc proc /proc",
        }));
    let fresh = |name: &str, answer: Option<Answer>, found: &str| {
        let hint = refusal(answer).and_then(|errno| match errno {
            Errno::EPERM if facts.masks.as_ref().is_some_and(|masks| !masks.is_empty()) => {
                Some(cause::PROC_IS_MASKED)
            }
            Errno::EPERM if facts.proc.is_err() => {
                Some("in a user namespace a fresh proc is given only where one is mounted already")
            }
            Errno::ENOSYS => Some(cause::NO_CALL),
            _ => None,
        });
        match answer {
            None => Check::new(name, false, "no new pid namespace to mount it for"),
            answer => Check::tried(name, "fsmount(proc)", answer, found).hint(hint),
        }
    };
    let mut list = vec![proc];
    if let Some(masks) = &facts.masks {
        let names: Vec<_> = masks.iter().map(|mask| mask.to_string_lossy()).collect();
        let check = match names.is_empty() {
            true => Check::new("proc.whole", true, "nothing is mounted over parts of /proc"),
            false => Check::new("proc.whole", false, format!("masked: {}", names.join(" "))),
        };
        list.push(check.with("masks", names.iter().map(AsRef::as_ref).collect::<Vec<&str>>()).hint(Some(
            "unmount them, or start the container without: podman --security-opt unmask=ALL, docker --security-opt systempaths=unconfined",
        )));
    }
    list.push(fresh("proc.fresh", facts.fresh_proc, "--mount-proc works"));
    list.push(fresh(
        "rootless.proc",
        facts.rootless_proc,
        "--mount-proc works in a user namespace",
    ));
    list
}

/// What an administrator, a container or a chroot decides.
fn of_switches(facts: &Facts) -> Vec<Check> {
    let circumstances = &facts.circumstances;
    let mut list = vec![of_limits(facts)];
    if let Some(allowed) = circumstances.unprivileged_clone {
        let found = if allowed { "1" } else { "0" };
        list.push(
            Check::new("kernel.unprivileged_userns_clone", allowed, found)
                .hint(Some("sysctl kernel.unprivileged_userns_clone=1")),
        );
    }
    if let Some(restricts) = circumstances.apparmor_restricts {
        let profile = facts.apparmor.as_deref().unwrap_or("unknown");
        let found = format!("{}, profile {profile}", u8::from(restricts));
        list.push(
            Check::new(
                "kernel.apparmor_restrict_unprivileged_userns",
                !restricts,
                found,
            )
            .with("profile", profile)
            .hint(Some(
                "a profile for nsrun with the rule userns (see nsrun(1)), or set it to 0",
            )),
        );
    }
    list.push(match circumstances.root_is_mount {
        Some(false) => Check::new("root", false, "/ is no mount point: a chroot").hint(Some(
            "user namespaces need a root that was pivoted to: mkbox exec does that",
        )),
        _ => Check::new("root", true, "/ is a mount point"),
    });
    let filters = facts.seccomp_filters.as_deref().unwrap_or("some");
    list.push(match circumstances.seccomp {
        Some(0) => Check::new("seccomp", true, "no filter"),
        Some(_) => Check::new("seccomp", false, format!("filters in force: {filters}")).hint(Some(
            "what it forbids fails with EPERM or ENOSYS above: podman and docker --security-opt seccomp=unconfined",
        )),
        None => Check::new("seccomp", false, "unknown without /proc"),
    });
    if let Some(scope) = &facts.yama {
        list.push(
            Check::new(
                "yama",
                true,
                format!("kernel.yama.ptrace_scope={scope}: joining is not affected"),
            )
            .with("ptrace_scope", scope.as_str()),
        );
    }
    list
}

/// `user.max_*_namespaces`
fn of_limits(facts: &Facts) -> Check {
    let off = &facts.circumstances.switched_off;
    let zeros: Vec<String> = off
        .iter()
        .map(|kind| format!("{}=0", cause::limit_of(*kind)))
        .collect();
    let lowest = facts.limits.iter().map(|(_, limit)| limit).min();
    let check = match (lowest, zeros.is_empty()) {
        (None, _) => Check::new(
            "limits",
            false,
            "user.max_*_namespaces: unknown without /proc",
        ),
        (Some(lowest), true) => Check::new(
            "limits",
            true,
            format!("at least {lowest} namespaces of each kind"),
        ),
        (Some(_), false) => Check::new("limits", false, zeros.join(" ")).hint(Some(format!(
            "sysctl -w {}=1000, as root of the machine",
            cause::limit_of(off[0])
        ))),
    };
    let limits = facts.limits.iter();
    let limits = limits.map(|(kind, limit)| (kind.flag().to_owned(), (*limit).into()));
    check.with("limits", limits.collect::<serde_json::Map<_, _>>())
}

/// What `up` needs beside namespaces.
fn of_pod(facts: Facts) -> Vec<Check> {
    let pause = match facts.pause {
        Some(path) => Check::new("pause", true, path.display().to_string()),
        None => Check::new("pause", false, "neither beside nsrun nor in PATH"),
    };
    let denied = facts.oom_score == Some(Err(Errno::EACCES));
    let call = "write(/proc/self/oom_score_adj, -998)";
    let found = "the OOM killer will spare pause";
    let score = Check::tried("pause.oom-score", call, facts.oom_score, found).hint(
        denied.then_some("needs CAP_SYS_RESOURCE; without it pause is killed as any other process"),
    );
    vec![
        facts.run_dir,
        pause.needed(true).hint(Some(
            "install it beside nsrun: without it exec works and up does not",
        )),
        score,
    ]
}
