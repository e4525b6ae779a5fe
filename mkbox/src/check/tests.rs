//! What given facts mean.

use super::*;
use sys::Mount;

const OK: Answer = Ok(());

/// Every step goes.
fn entered() -> Answers {
    let mut told = vec![("unshare", OK), ("map", OK), ("idmap", OK), ("overlay", OK)];
    told.extend(STEPS.map(|(name, ..)| (name, OK)));
    told.into_iter().collect()
}

/// Nothing goes, beginning with `first`.
fn refused(first: &str, errno: Errno) -> Answers {
    [(first, Err(errno))].into_iter().collect()
}

/// All steps but one.
fn entered_but(step: &str, errno: Errno) -> Answers {
    let others = STEPS.iter().filter(|(name, ..)| *name != step);
    let mut told = vec![("unshare", OK), ("map", OK), (step, Err(errno))];
    told.extend(others.map(|(name, ..)| (*name, OK)));
    told.into_iter().collect()
}

fn all_goes() -> Facts {
    let line = b"30 1 8:1 / /home rw,nosuid - ext4 /dev/sda1 rw";
    Facts {
        proc: true,
        openat2: Some(OK),
        direct: entered(),
        nested: entered(),
        overlay_module: Module::There,
        overlay: entered(),
        nested_overlay: entered(),
        directory: "/home".into(),
        mount: Mount::parse(line),
        writable: OK,
        files: [("tmpfile", OK), ("copy_file_range", OK), ("reflink", OK)]
            .into_iter()
            .collect(),
        ld_cache: Some(true),
        run_dir: Check::new("run-dir", true, "/run/chroot0").needed(true),
    }
}

fn check_of(facts: Facts, name: &str) -> (bool, bool, String) {
    let checks = judge(facts);
    let check = checks
        .get(name)
        .unwrap_or_else(|| panic!("no check {name}"));
    let hint = check.hint.as_deref().unwrap_or_default();
    (check.ok, checks.is_enough(), hint.to_owned())
}

#[test]
fn where_everything_goes_nothing_is_hinted_at() {
    let checks = judge(all_goes());
    let table = checks.table();
    assert!(table.lines().all(|line| line.starts_with("ok ")), "{table}");
    assert_eq!(checks.get("box-dir").unwrap().data["type"], "ext4");
    assert_eq!(checks.get("pivot_root").unwrap().found, "as this user");
}

#[test]
fn an_ordinary_user_goes_by_a_user_namespace() {
    let mut facts = all_goes();
    facts.direct = refused("unshare", Errno::EPERM);
    let checks = judge(facts);
    assert!(checks.is_enough(), "{}", checks.table());
    assert_eq!(
        checks.get("pivot_root").unwrap().found,
        "in a user namespace"
    );
    assert_eq!(
        checks.get("namespace.mount").unwrap().hint.as_deref(),
        Some(NEEDS_ADMIN)
    );
    assert!(!checks.get("idmap").unwrap().ok);
}

#[test]
fn without_a_mount_namespace_there_is_no_box() {
    let mut facts = all_goes();
    facts.direct = refused("unshare", Errno::EPERM);
    facts.nested = refused("unshare", Errno::ENOSPC);
    let checks = judge(facts);
    assert!(!checks.is_enough());
    let nested = checks.get("rootless.mount").unwrap();
    assert!(
        nested
            .found
            .starts_with("unshare(CLONE_NEWUSER|CLONE_NEWNS)"),
        "{nested:?}"
    );
    assert_eq!((nested.needed, nested.errno), (true, Some(Errno::ENOSPC)));

    // AppArmor lets it be made, and be nothing.
    let mut facts = all_goes();
    facts.direct = refused("unshare", Errno::EPERM);
    facts.nested = [("unshare", OK), ("map", Err(Errno::EPERM))]
        .into_iter()
        .collect();
    let checks = judge(facts);
    assert!(!checks.is_enough());
    assert!(
        checks
            .get("rootless.mount")
            .unwrap()
            .found
            .starts_with("write(/proc/self/uid_map)")
    );
}

#[test]
fn each_step_is_needed_and_says_why_it_does_not_go() {
    let with = |step: &str, errno| {
        let mut facts = all_goes();
        facts.direct = entered_but(step, errno);
        check_of(facts, step)
    };
    let (ok, enough, _) = with("propagation", Errno::EINVAL);
    assert!(!ok && !enough);
    assert_eq!(
        with("open_tree", Errno::ENOSYS),
        (false, false, "Linux 5.2 has it".into())
    );
    assert_eq!(
        with("mount_setattr", Errno::ENOSYS),
        (false, true, MOUNT_SETATTR_SINCE.into())
    );
    let (ok, enough, hint) = with("move_mount", Errno::EPERM);
    assert!(!ok && !enough && hint.contains("seccomp"));
    let mut facts = all_goes();
    facts.openat2 = Some(Err(Errno::ENOSYS));
    let (ok, enough, hint) = check_of(facts, "openat2");
    assert!(!ok && !enough && hint.starts_with("Linux 5.6"));
}

#[test]
fn the_first_root_is_mounted_over() {
    let mut facts = all_goes();
    facts.direct = entered_but("pivot_root", Errno::EINVAL);
    assert_eq!(check_of(facts, "pivot_root"), (false, false, String::new()));
    let mut told = vec![
        ("unshare", OK),
        ("move_root", OK),
        ("pivot_root", Err(Errno::EINVAL)),
    ];
    told.extend(
        STEPS
            .iter()
            .map(|(name, ..)| (*name, OK))
            .filter(|(name, _)| *name != "pivot_root"),
    );
    let mut facts = all_goes();
    facts.direct = told.into_iter().collect();
    assert_eq!(check_of(facts, "pivot_root"), (true, true, String::new()));
}

#[test]
fn the_directory_has_to_take_a_box_and_let_it_run() {
    let mut facts = all_goes();
    facts.writable = Err(Errno::EROFS);
    let (ok, enough, hint) = check_of(facts, "box-dir");
    assert!(!ok && !enough && hint.contains("read-only"));
    let mut facts = all_goes();
    facts.mount = Mount::parse(b"30 1 8:1 / /home rw,noexec - tmpfs none rw");
    let (ok, enough, _) = check_of(facts, "box-dir.exec");
    assert!(!ok && !enough);
}

#[test]
fn what_only_makes_a_box_better_is_not_needed() {
    let mut facts = all_goes();
    facts.files = [("tmpfile", Err(Errno::EOPNOTSUPP))].into_iter().collect();
    facts.ld_cache = None;
    facts.overlay_module = Module::Absent;
    let checks = judge(facts);
    assert!(checks.is_enough(), "{}", checks.table());
    for name in [
        "reflink",
        "copy_file_range",
        "ld.so.cache",
        "overlay",
        "rootless.overlay",
    ] {
        let check = checks.get(name).unwrap();
        assert!(!check.ok && check.hint.is_some(), "{check:?}");
    }
    let mut facts = all_goes();
    facts.nested_overlay = refused("overlay", Errno::EPERM);
    assert_eq!(
        check_of(facts, "rootless.overlay").2,
        "Linux 5.11 allows it in a user namespace"
    );
    let mut facts = all_goes();
    facts.overlay_module = Module::Loadable;
    facts.overlay = refused("unshare", Errno::EPERM);
    assert!(check_of(facts, "overlay").0);
    let mut facts = all_goes();
    facts.ld_cache = Some(false);
    assert!(!check_of(facts, "ld.so.cache").0);
}

#[test]
fn this_machine_is_looked_at_and_its_mounts_left_alone() {
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let facts = Facts::gather("no/such/box".as_ref());
    assert_eq!(mounts(), before);
    assert_eq!(
        facts.directory,
        std::env::current_dir().unwrap().canonicalize().unwrap()
    );
    assert_ne!(facts.direct.of("unshare"), None);
    // Every step that was come to was told: no child ended before its end.
    assert_eq!(facts.direct.of("never tried"), None);
    assert_eq!(facts.nested.of("never tried"), None);
    assert!(facts.mount.is_some());
}
