//! What given facts mean.

use std::path::PathBuf;

use super::facts::masks;
use super::*;
use sys::Mount;

const YES: Option<Answer> = Some(Ok(()));
const DENIED: Option<Answer> = Some(Err(Errno::EPERM));

/// A machine on which everything goes, and root on it.
fn all_goes() -> Facts {
    let kinds = Namespace::ALL.map(|kind| (kind, YES));
    Facts {
        circumstances: Circumstances {
            is_root: true,
            has_admin: true,
            is_mapped: Some(true),
            root_is_mount: Some(true),
            seccomp: Some(0),
            ..Circumstances::default()
        },
        clone3: YES,
        pidfd: YES,
        close_range: YES,
        ns_get_id: YES,
        proc: Ok(()),
        namespaces: kinds.to_vec(),
        map: YES,
        rootless: kinds
            .into_iter()
            .filter(|(kind, _)| *kind != Namespace::User)
            .collect(),
        fresh_proc: YES,
        rootless_proc: YES,
        masks: Some(Vec::new()),
        limits: Namespace::ALL.map(|kind| (kind, 96_343)).to_vec(),
        apparmor: None,
        seccomp_filters: Some("0".into()),
        yama: None,
        ids: ids::Ids::default(),
        run_dir: Check::new("run-dir", true, "/run/chroot0").needed(true),
        pause: Some("/usr/bin/pause".into()),
        oom_score: YES,
    }
}

/// An ordinary user on it.
fn ordinary() -> Facts {
    let mut facts = all_goes();
    facts.circumstances.is_root = false;
    facts.circumstances.has_admin = false;
    for (kind, answer) in &mut facts.namespaces {
        if *kind != Namespace::User {
            *answer = DENIED;
        }
    }
    facts.fresh_proc = None;
    facts.oom_score = Some(Err(Errno::EACCES));
    facts
}

/// The user namespace is refused, and with it everything in one.
fn without_user_namespace(facts: &mut Facts, errno: Errno) {
    for (kind, answer) in &mut facts.namespaces {
        if *kind == Namespace::User {
            *answer = Some(Err(errno));
        }
    }
    facts.map = None;
    facts
        .rootless
        .iter_mut()
        .for_each(|(_, answer)| *answer = None);
    facts.rootless_proc = None;
}

fn verdict(checks: &Checks, name: &str) -> (bool, bool, String) {
    let check = checks
        .get(name)
        .unwrap_or_else(|| panic!("no check {name}"));
    let hint = check.hint.as_deref().unwrap_or_default();
    (check.ok, check.needed, hint.to_owned())
}

#[test]
fn where_everything_goes_nothing_is_hinted_at() {
    let checks = judge(all_goes());
    assert!(checks.is_enough());
    let table = checks.table();
    assert!(table.lines().all(|line| line.starts_with("ok ")), "{table}");
    assert!(!table.contains('('), "{table}");
    let mut names: Vec<_> = table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name comes once");
}

#[test]
fn a_user_namespace_is_enough_for_an_ordinary_user() {
    let checks = judge(ordinary());
    assert!(checks.is_enough(), "{}", checks.table());
    let (ok, needed, hint) = verdict(&checks, "namespace.net");
    assert_eq!((ok, needed), (false, false));
    assert_eq!(
        hint,
        "needs root, or a user namespace: --user --map-root-user"
    );
    assert_eq!(
        verdict(&checks, "rootless.net"),
        (true, true, String::new())
    );
    assert_eq!(
        verdict(&checks, "namespace.user"),
        (true, true, String::new())
    );
}

#[test]
fn without_either_way_something_is_missing_and_its_cause_is_said_once() {
    let mut facts = ordinary();
    without_user_namespace(&mut facts, Errno::ENOSPC);
    facts.circumstances.switched_off = vec![Namespace::User];
    facts.limits[5].1 = 0;
    let checks = judge(facts);
    assert!(!checks.is_enough());
    let (ok, needed, hint) = verdict(&checks, "namespace.user");
    assert_eq!((ok, needed), (false, true));
    assert!(hint.ends_with("sysctl user.max_user_namespaces"), "{hint}");
    assert_eq!(
        verdict(&checks, "rootless.net"),
        (false, true, String::new())
    );
    assert!(verdict(&checks, "rootless.time") == (false, false, String::new()));
    let limits = checks.get("limits").unwrap();
    assert_eq!(
        (limits.ok, limits.found.as_str()),
        (false, "user.max_user_namespaces=0")
    );
    assert_eq!(limits.data["limits"]["user"], 0);

    // Root can do without.
    let mut facts = all_goes();
    without_user_namespace(&mut facts, Errno::EPERM);
    facts.circumstances.root_is_mount = Some(false);
    let checks = judge(facts);
    assert!(checks.is_enough(), "{}", checks.table());
    assert!(verdict(&checks, "namespace.user").2.contains("chroot"));
    assert!(verdict(&checks, "root").2.contains("pivoted"));
}

#[test]
fn apparmor_that_lets_a_user_namespace_be_made_and_be_nothing_is_named() {
    // Ubuntu 24.04: unshare(2) goes, and no capability counts in what it made.
    let mut facts = ordinary();
    facts.circumstances.apparmor_restricts = Some(true);
    facts.apparmor = Some("unconfined".into());
    facts.map = Some(Err(Errno::EPERM));
    facts
        .rootless
        .iter_mut()
        .for_each(|(_, answer)| *answer = None);
    let checks = judge(facts);
    assert!(!checks.is_enough());
    let (ok, needed, hint) = verdict(&checks, "rootless.map");
    assert_eq!((ok, needed), (false, true));
    assert!(hint.starts_with("AppArmor stops it"), "{hint}");
    let switch = checks
        .get("kernel.apparmor_restrict_unprivileged_userns")
        .unwrap();
    assert_eq!(
        (switch.ok, &switch.data["profile"]),
        (false, &"unconfined".into())
    );
}

#[test]
fn a_kind_of_its_own_can_be_missing() {
    let mut facts = all_goes();
    for answers in [&mut facts.namespaces, &mut facts.rootless] {
        for (kind, answer) in answers {
            if matches!(kind, Namespace::Network | Namespace::Time) {
                *answer = Some(Err(Errno::EINVAL));
            }
        }
    }
    let checks = judge(facts);
    assert!(!checks.is_enough());
    let (ok, needed, hint) = verdict(&checks, "namespace.net");
    assert_eq!((ok, needed), (false, true));
    assert!(hint.contains("built without"), "{hint}");
    assert!(
        !verdict(&checks, "namespace.time").1,
        "a pod needs no time namespace"
    );
}

#[test]
fn what_masks_proc_is_named() {
    let mut facts = all_goes();
    facts.masks = Some(vec!["/proc/acpi".into(), "/proc/kcore".into()]);
    facts.rootless_proc = DENIED;
    let checks = judge(facts);
    assert!(checks.is_enough());
    assert_eq!(
        checks.get("proc.whole").unwrap().found,
        "masked: /proc/acpi /proc/kcore"
    );
    assert_eq!(verdict(&checks, "rootless.proc").2, cause::PROC_IS_MASKED);
}

#[test]
fn mounts_over_proc_are_masks_unless_their_directory_is_for_mounts() {
    let table = |lines: &[&str]| -> Vec<Mount> {
        lines
            .iter()
            .filter_map(|line| Mount::parse(line.as_bytes()))
            .collect()
    };
    let found = masks(&table(&[
        "20 1 0:4 / /proc rw - proc proc rw",
        "21 20 0:30 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw",
        "22 20 0:31 / /proc/acpi ro - tmpfs tmpfs ro",
        "23 1 0:32 / /proc-other rw - tmpfs tmpfs rw",
    ]));
    assert_eq!(found, [PathBuf::from("/proc/acpi")]);
    // The proc on top counts, and a read-only one is as good as masked.
    let found = masks(&table(&[
        "20 1 0:4 / /proc rw - proc proc rw",
        "22 20 0:31 / /proc/acpi ro - tmpfs tmpfs ro",
        "24 20 0:40 / /proc ro,nosuid - proc proc rw",
    ]));
    assert_eq!(found, [PathBuf::from("/proc")]);
    assert!(masks(&table(&["1 0 8:1 / / rw - ext4 none rw"])).is_empty());
}

#[test]
fn a_filter_that_hides_calls_is_told_from_an_old_kernel() {
    let mut facts = all_goes();
    facts.clone3 = Some(Err(Errno::ENOSYS));
    facts.pidfd = DENIED;
    facts.circumstances.seccomp = Some(2);
    facts.seccomp_filters = Some("1".into());
    let checks = judge(facts);
    assert!(!checks.is_enough());
    assert!(verdict(&checks, "clone3").2.starts_with("Linux 5.3"));
    assert_eq!(verdict(&checks, "pidfd").2, cause::FILTERED);
    assert_eq!(checks.get("seccomp").unwrap().found, "filters in force: 1");
    assert!(!verdict(&checks, "seccomp").1);
}

#[test]
fn pause_proc_and_the_run_directory_are_needed() {
    let with = |change: fn(&mut Facts)| {
        let mut facts = all_goes();
        change(&mut facts);
        judge(facts).is_enough()
    };
    assert!(!with(|facts| facts.pause = None));
    assert!(!with(|facts| facts.proc = Err(Errno::ENOENT)));
    assert!(!with(|facts| facts.run_dir.ok = false));
    assert!(with(|facts| facts.oom_score = Some(Err(Errno::EACCES))));
    assert!(with(|facts| facts.ns_get_id = Some(Err(Errno::ENOTTY))));
}

#[test]
fn this_machine_is_looked_at_and_left_alone() {
    let own = || {
        Namespace::ALL
            .map(|kind| std::fs::read_link(format!("/proc/self/ns/{}", kind.proc_name())).ok())
    };
    let before = own();
    let facts = Facts::gather();
    assert_eq!(own(), before);
    assert_eq!(facts.clone3, YES);
    assert_eq!(facts.namespaces.len(), 8);
    assert_eq!(facts.rootless.len(), 7);
}
