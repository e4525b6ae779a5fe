//! What given facts mean.

use super::nftables::Forward;
use super::*;
use netlink_packet_route::link::InfoKind;

const OK: Answer = Ok(());

fn answers(told: &[(&'static str, Answer)]) -> Answers {
    told.iter().copied().collect()
}

fn inside() -> Answers {
    answers(&[
        ("unshare", OK),
        ("map", OK),
        ("veth", OK),
        ("bridge", OK),
        ("nftables", OK),
    ])
}

/// Root on a machine on which everything goes.
fn all_goes() -> Facts {
    Facts {
        proc: true,
        here: answers(&[("netlink", OK), ("net-admin", OK)]),
        direct: inside(),
        nested: inside(),
        veth: Module::There,
        bridge: Module::There,
        nf_tables: Module::There,
        forwards: Some(Vec::new()),
        legacy_filter: false,
        ipv6_disabled: Some(false),
        ip_forward: Some(true),
        sysctl: OK,
        run_dir: Check::new("run-dir", true, "/run/chroot0").needed(true),
    }
}

fn ordinary() -> Facts {
    let mut facts = all_goes();
    facts.here = answers(&[("netlink", OK), ("net-admin", Err(Errno::EPERM))]);
    facts.direct = answers(&[("unshare", Err(Errno::EPERM))]);
    facts.forwards = None;
    facts.sysctl = Err(Errno::EACCES);
    facts
}

fn found(checks: &Checks, name: &str) -> (bool, String, String) {
    let check = checks
        .get(name)
        .unwrap_or_else(|| panic!("no check {name}"));
    let hint = check.hint.as_deref().unwrap_or_default();
    (check.ok, check.found.clone(), hint.to_owned())
}

#[test]
fn where_everything_goes_nothing_is_hinted_at() {
    let table = judge(all_goes()).table();
    assert!(table.lines().all(|line| line.starts_with("ok ")), "{table}");
}

#[test]
fn an_ordinary_user_wires_in_a_user_namespace_or_not_at_all() {
    let checks = judge(ordinary());
    assert!(checks.is_enough(), "{}", checks.table());
    assert_eq!(found(&checks, "net-admin").2, NEEDS_NET_ADMIN);
    assert_eq!(found(&checks, "namespace.net").2, SETNS_NEEDS);
    assert!(found(&checks, "veth").0, "tried in the user namespace");
    assert_eq!(found(&checks, "forward.policy").1, "may not be asked");
    let mut facts = ordinary();
    facts.nested = answers(&[("unshare", Err(Errno::ENOSPC))]);
    let checks = judge(facts);
    assert!(!checks.is_enough());
    assert!(checks.get("net-admin").unwrap().needed && checks.get("rootless.net").unwrap().needed);
    let mut facts = ordinary();
    facts.nested = answers(&[("unshare", OK), ("map", Err(Errno::EPERM))]);
    let checks = judge(facts);
    assert!(!checks.is_enough());
    assert!(
        found(&checks, "rootless.net")
            .1
            .starts_with("write(/proc/self/uid_map)")
    );
}

#[test]
fn who_may_change_the_network_and_enter_no_pod_lacks_something() {
    let mut facts = all_goes();
    facts.direct = answers(&[("unshare", Err(Errno::EPERM))]);
    facts.nested = answers(&[("unshare", Err(Errno::EPERM))]);
    assert!(!judge(facts).is_enough());
}

#[test]
fn a_module_that_is_not_loaded_is_as_good_as_one_that_is() {
    let with = |module, told: &[(&'static str, Answer)]| {
        let mut facts = all_goes();
        facts.veth = module;
        facts.direct = answers(told);
        let checks = judge(facts);
        let (ok, _, hint) = found(&checks, "veth");
        (ok, checks.is_enough(), hint)
    };
    let untried = &[("unshare", OK)][..];
    assert_eq!(with(Module::Loadable, untried), (true, true, String::new()));
    assert_eq!(with(Module::There, untried), (true, true, String::new()));
    assert_eq!(
        with(Module::Absent, untried),
        (false, false, "a kernel with CONFIG_VETH".into())
    );
    assert_eq!(
        with(Module::Unknown, untried).2,
        "modprobe veth, as root of the machine"
    );
    let refused = &[("unshare", OK), ("veth", Err(Errno::EOPNOTSUPP))][..];
    assert_eq!(
        with(Module::There, refused),
        (false, false, "a kernel with CONFIG_VETH".into())
    );
}

#[test]
fn chains_that_drop_what_is_forwarded_are_named() {
    let forward = |name: &str, drops| Forward {
        name: name.into(),
        drops,
    };
    let mut facts = all_goes();
    facts.forwards = Some(vec![
        forward("ip filter FORWARD", true),
        forward("inet fw forward", false),
    ]);
    let checks = judge(facts);
    assert!(checks.is_enough(), "it is told, and no more");
    let (ok, what, hint) = found(&checks, "forward.policy");
    assert_eq!((ok, what.as_str()), (false, "drop: ip filter FORWARD"));
    assert!(hint.contains("accepts their subnet"));
    assert_eq!(
        checks.get("forward.policy").unwrap().data["accept"][0],
        "inet fw forward"
    );
    let mut facts = all_goes();
    facts.forwards = Some(vec![forward("inet fw forward", false)]);
    facts.legacy_filter = true;
    let checks = judge(facts);
    assert_eq!(
        found(&checks, "forward.policy").1,
        "accept: inet fw forward"
    );
    assert!(
        found(&checks, "forward.legacy")
            .2
            .starts_with("iptables-legacy -S FORWARD")
    );
}

#[test]
fn switches_are_told_and_not_needed() {
    let mut facts = all_goes();
    facts.ip_forward = Some(false);
    facts.ipv6_disabled = None;
    facts.sysctl = Err(Errno::EROFS);
    facts.bridge = Module::Absent;
    facts.nf_tables = Module::Absent;
    let checks = judge(facts);
    assert!(checks.is_enough());
    assert!(
        found(&checks, "ip_forward")
            .2
            .starts_with("sysctl net.ipv4.ip_forward=1")
    );
    assert!(found(&checks, "sysctl").2.contains("read-only"));
    assert!(!found(&checks, "ipv6").0);
    assert_eq!(
        found(&checks, "nftables").2,
        "a kernel with CONFIG_NF_TABLES"
    );
}

#[test]
fn a_kind_that_no_kernel_has_is_not_there() {
    let kind = |name: &str| kinds::find(&InfoKind::Other(name.into()), name);
    assert_ne!(kind("nosuchkind"), Module::There);
}

#[test]
fn this_machine_is_looked_at_and_its_links_left_alone() {
    let links = || {
        std::fs::read_to_string("/proc/net/dev")
            .unwrap()
            .lines()
            .count()
    };
    let before = links();
    let facts = Facts::gather();
    assert_eq!(links(), before);
    assert_eq!(facts.here.of("netlink"), Some(OK));
    assert_ne!(facts.here.of("net-admin"), None);
}
