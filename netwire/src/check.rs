//! `check`: what this kernel, user and machine allow netwire, what is missing and how to get it.

use std::process::ExitCode;

use nix::errno::Errno;
use sys::{Answer, Answers, Check, Checks, Module};

mod facts;
mod kinds;
pub(crate) mod nftables;
#[cfg(test)]
mod tests;

use crate::TOOL;
use crate::cli::CheckArgs;
use crate::namespace::SETNS_NEEDS;
use crate::netlink::NEEDS_NET_ADMIN;
use facts::Facts;

/// `netwire check`
pub(crate) fn check(args: &CheckArgs) -> ExitCode {
    judge(Facts::gather()).finish(args.json)
}

/// From what was found to what it means.
fn judge(facts: Facts) -> Checks {
    let mut list = of_rights(&facts);
    list.extend(of_kernel(&facts));
    list.extend(of_forwarding(&facts));
    let found = match facts.proc {
        true => "mounted on /proc",
        false => "no proc is mounted on /proc",
    };
    list.push(
        Check::new("proc", facts.proc, found)
            .needed(true)
            .hint(Some("mount -t proc proc /proc")),
    );
    list.push(facts.run_dir);
    Checks::new(TOOL, list)
}

fn went(answers: &Answers, name: &str) -> bool {
    answers.of(name) == Some(Ok(()))
}

fn refusal(answer: Option<Answer>) -> Option<Errno> {
    answer.and_then(Result::err)
}

/// Wiring a pod to the network namespace we are in, or one to another within a user namespace: one of the two is needed.
fn of_rights(facts: &Facts) -> Vec<Check> {
    let direct = went(&facts.here, "net-admin") && went(&facts.direct, "unshare");
    let nested = went(&facts.nested, "map");
    let needed = direct || !nested;
    let netlink = facts.here.of("netlink");
    let netlink = Check::tried(
        "netlink",
        "socket(AF_NETLINK, NETLINK_ROUTE)",
        netlink,
        "works",
    )
    .needed(true)
    .hint(match refusal(netlink) {
        Some(Errno::EPERM | Errno::EACCES) => {
            Some("a seccomp filter or a security module forbids it")
        }
        Some(Errno::ENOPROTOOPT) => Some("Linux 4.20 has what is needed"),
        _ => None,
    });
    let admin = facts.here.of("net-admin");
    let admin = Check::tried(
        "net-admin",
        "RTM_DELLINK()",
        admin,
        "this user may change the network here",
    )
    .needed(needed)
    .hint(
        refusal(admin)
            .filter(|errno| *errno == Errno::EPERM)
            .map(|_| NEEDS_NET_ADMIN),
    );
    let own = facts.direct.of("unshare");
    let own = Check::tried(
        "namespace.net",
        "unshare(CLONE_NEWNET)",
        own,
        "this user may enter a pod's network",
    )
    .needed(needed)
    .hint(
        refusal(own)
            .filter(|errno| *errno == Errno::EPERM)
            .map(|_| SETNS_NEEDS),
    );
    let (name, call) = match went(&facts.nested, "unshare") {
        true => ("map", "write(/proc/self/uid_map)"),
        false => ("unshare", "unshare(CLONE_NEWUSER|CLONE_NEWNET)"),
    };
    let rootless = Check::tried(
        "rootless.net",
        call,
        facts.nested.of(name),
        "as root of a new user namespace: nsrun exec --map-root-user --net",
    )
    .needed(!direct)
    .hint(Some("nsrun check tells why"));
    vec![netlink, admin, own, rootless]
}

/// What the kernel has, tried in a new network namespace.
fn of_kernel(facts: &Facts) -> Vec<Check> {
    let answers = match went(&facts.direct, "unshare") {
        true => &facts.direct,
        false => &facts.nested,
    };
    let of = |name: &str, module: Module, call: &str, option: &str, modprobe: &str| {
        let check = match (module, answers.of(name)) {
            (Module::There, Some(answer)) => {
                Check::tried(name, call, Some(answer), "works").hint(match answer {
                    Err(Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::EINVAL) => {
                        Some(format!("a kernel with {option}"))
                    }
                    _ => None,
                })
            }
            (Module::There, None) => Check::new(name, true, "in this kernel, not tried"),
            (Module::Loadable, _) => Check::new(
                name,
                true,
                "a module, which the kernel loads when it is first needed",
            ),
            (Module::Absent, _) => Check::new(name, false, "not in this kernel")
                .hint(Some(format!("a kernel with {option}"))),
            (Module::Unknown, _) => Check::new(
                name,
                false,
                "not loaded, and no list of modules to look into",
            )
            .hint(Some(format!("modprobe {modprobe}, as root of the machine"))),
        };
        check.with("module", module.name())
    };
    let ipv6 = match facts.ipv6_disabled {
        Some(false) => Check::new("ipv6", true, "switched on"),
        Some(true) => Check::new("ipv6", false, "switched off")
            .hint(Some("sysctl net.ipv6.conf.all.disable_ipv6=0")),
        None if facts.proc => {
            Check::new("ipv6", false, "not in this kernel, or not booted with it")
        }
        None => Check::new("ipv6", false, "unknown without /proc"),
    };
    vec![
        of(
            "veth",
            facts.veth,
            "RTM_NEWLINK(type veth)",
            "CONFIG_VETH",
            "veth",
        )
        .needed(true),
        of(
            "bridge",
            facts.bridge,
            "RTM_NEWLINK(type bridge)",
            "CONFIG_BRIDGE",
            "bridge",
        ),
        of(
            "nftables",
            facts.nf_tables,
            "NFT_MSG_GETGEN()",
            "CONFIG_NF_TABLES",
            "nf_tables",
        ),
        ipv6,
    ]
}

/// What decides whether packets of pods get on from here. netwire changes none of it.
fn of_forwarding(facts: &Facts) -> Vec<Check> {
    let unknown = |name: &str| Check::new(name, false, "unknown without /proc");
    let forward = match facts.ip_forward {
        Some(true) => Check::new("ip_forward", true, "1"),
        Some(false) => Check::new(
            "ip_forward",
            false,
            "0: pods reach each other and this machine",
        )
        .hint(Some(
            "sysctl net.ipv4.ip_forward=1 makes this machine a router, if pods shall reach others",
        )),
        None => unknown("ip_forward"),
    };
    let sysctl = match facts.proc {
        true => Check::tried(
            "sysctl",
            "access(/proc/sys/net/ipv4/ip_forward, W_OK)",
            Some(facts.sysctl),
            "writable",
        )
        .hint(refusal(Some(facts.sysctl)).and_then(|errno| match errno {
            Errno::EROFS => Some("/proc/sys is mounted read-only, as in a container"),
            Errno::EACCES => Some("root of the user namespace that owns the network may"),
            _ => None,
        })),
        false => unknown("sysctl"),
    };
    let mut list = vec![forward, sysctl, of_policy(facts)];
    if facts.legacy_filter {
        list.push(
            Check::new(
                "forward.legacy",
                false,
                "iptables-legacy has a table filter here",
            )
            .hint(Some(
                "iptables-legacy -S FORWARD tells whether it lets pods through",
            )),
        );
    }
    list
}

/// A chain that drops what it does not know stops packets between pods as well.
fn of_policy(facts: &Facts) -> Check {
    let Some(forwards) = &facts.forwards else {
        return Check::new("forward.policy", false, "may not be asked").hint(Some(NEEDS_NET_ADMIN));
    };
    let names = |drops: bool| {
        let chains = forwards
            .iter()
            .filter(move |forward| forward.drops == drops);
        chains
            .map(|forward| forward.name.as_str())
            .collect::<Vec<_>>()
    };
    let (dropping, others) = (names(true), names(false));
    let check = match (dropping.is_empty(), others.is_empty()) {
        (true, true) => Check::new(
            "forward.policy",
            true,
            "no chain of nf_tables is in the way",
        ),
        (true, false) => Check::new(
            "forward.policy",
            true,
            format!("accept: {}", others.join(", ")),
        ),
        (false, _) => Check::new(
            "forward.policy",
            false,
            format!("drop: {}", dropping.join(", ")),
        )
        .hint(Some(
            "packets of pods need a rule there that accepts their subnet",
        )),
    };
    check.with("drop", dropping).with("accept", others)
}
