//! What given facts mean.

use super::*;
use sys::Answer;

const DENIED: Answer = Err(Errno::EACCES);

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|&name| name.to_owned()).collect()
}

fn tree(version: Version, controllers: &[&str]) -> Tree {
    Tree {
        version,
        controllers: names(controllers),
        mount: format!("/sys/fs/cgroup/{}", controllers.join(",")).into(),
        read_only: false,
        owner: Some("0:0".into()),
        writable: Ok(()),
        given: names(controllers),
        subtree_writable: Ok(()),
        own_processes: false,
        own: None,
    }
}

/// Root on a machine with these hierarchies.
fn facts(trees: Vec<Tree>) -> Facts {
    let known = "#subsys_name hierarchy num_cgroups enabled\nmemory 0 1 1\ncpu 0 1 1\npids 0 1 1\nhugetlb 0 1 0\n";
    Facts {
        proc: true,
        is_root: true,
        systemd: false,
        delegated: None,
        trees,
        bare_v2: None,
        nsdelegate: true,
        known: Some(absent::parse(known)),
        v1_files: Vec::new(),
        v2_files: Some(names(&[
            "cgroup.kill",
            "cgroup.freeze",
            "memory.current",
            "memory.peak",
        ])),
        kernel_features: Vec::new(),
        born_in_group: Some(Err(Errno::EBADF)),
        run_dir: Check::new("run-dir", true, "/run/chroot0").needed(true),
    }
}

fn v2() -> Tree {
    tree(Version::V2, &["cpuset", "cpu", "io", "memory", "pids"])
}

fn found(checks: &Checks, name: &str) -> (bool, String, String) {
    let check = checks
        .get(name)
        .unwrap_or_else(|| panic!("no check {name}"));
    let hint = check.hint.as_deref().unwrap_or_default();
    (check.ok, check.found.clone(), hint.to_owned())
}

#[test]
fn one_v2_hierarchy_is_all_that_is_needed() {
    let checks = judge(facts(vec![v2()]));
    assert!(checks.is_enough(), "{}", checks.table());
    assert_eq!(checks.get("hierarchies").unwrap().data["version"], "v2");
    let io = &checks.get("controller.io").unwrap().data;
    assert_eq!((&io["version"], &io["enabled"]), (&2.into(), &true.into()));
    assert_eq!(
        (&io["owner"], &io["delegated"]),
        (&"0:0".into(), &false.into())
    );
    assert!(found(&checks, "cgroup.kill").0);
    assert!(found(&checks, "born-in-group").0);
}

#[test]
fn versions_are_told_apart() {
    let version = |trees: Vec<Tree>, bare_v2: bool| {
        let mut facts = facts(trees);
        facts.bare_v2 = bare_v2.then(|| "/sys/fs/cgroup".into());
        let checks = judge(facts);
        (
            checks.get("hierarchies").unwrap().data["version"].clone(),
            checks.is_enough(),
        )
    };
    let memory = || tree(Version::V1, &["memory"]);
    let hugetlb = || tree(Version::V2, &["hugetlb"]);
    assert_eq!(version(vec![memory()], false), ("v1".into(), true));
    assert_eq!(version(vec![memory()], true), ("hybrid".into(), true));
    assert_eq!(
        version(vec![memory(), hugetlb()], false),
        ("hybrid".into(), true)
    );
    assert_eq!(version(vec![hugetlb()], false), ("v2".into(), false));
    assert_eq!(version(vec![], true), ("v2".into(), false));
    assert_eq!(version(vec![], false), ("none".into(), false));
}

#[test]
fn why_a_controller_is_nowhere() {
    let hint = |name: &str, trees| found(&judge(facts(trees)), name).2;
    let memory = || vec![tree(Version::V1, &["memory"])];
    assert_eq!(
        hint("controller.rdma", memory()),
        "this kernel is built without it"
    );
    assert!(hint("controller.hugetlb", memory()).starts_with("switched off at boot"));
    assert!(hint("controller.cpu", memory()).starts_with("mount -t cgroup -o cpu "));
    assert_eq!(hint("controller.cpu", Vec::new()), "");
    assert_eq!(hint("hierarchies", Vec::new()), MOUNT_HINT);
    let bare = vec![tree(Version::V2, &["memory"])];
    assert!(hint("controller.pids", bare).contains("+pids into cgroup.subtree_control"));
}

#[test]
fn on_v1_io_is_called_blkio() {
    let checks = judge(facts(vec![
        tree(Version::V1, &["memory"]),
        tree(Version::V1, &["blkio"]),
    ]));
    assert_eq!(
        found(&checks, "controller.io").1,
        "v1, /sys/fs/cgroup/blkio"
    );
}

#[test]
fn who_may_make_no_group_where_every_pod_has_one_lacks_something() {
    let mut memory = tree(Version::V1, &["memory"]);
    memory.writable = DENIED;
    let checks = judge(facts(vec![memory.clone(), tree(Version::V1, &["cpuset"])]));
    assert!(!checks.is_enough());
    assert_eq!(
        found(&checks, "groups.memory").2,
        "needs root, or --parent with a group that was delegated to you"
    );
    memory.writable = Ok(());
    memory.read_only = true;
    let checks = judge(facts(vec![memory.clone()]));
    assert_eq!(
        found(&checks, "groups.memory").2,
        "the cgroup filesystem is mounted read-only here"
    );
    // No pod needs a cpuset group.
    memory.read_only = false;
    let mut cpuset = tree(Version::V1, &["cpuset"]);
    cpuset.writable = DENIED;
    let checks = judge(facts(vec![memory, cpuset]));
    assert!(checks.is_enough() && !found(&checks, "groups.cpuset").0);
}

#[test]
fn a_v2_group_that_gives_nothing_is_seen() {
    let mut tree = v2();
    tree.given.clear();
    let checks = judge(facts(vec![tree.clone()]));
    assert_eq!(
        found(&checks, "subtree-control").1,
        "up will give to groups below: cpu memory pids"
    );
    assert!(checks.is_enough());
    tree.own_processes = true;
    let checks = judge(facts(vec![tree.clone()]));
    assert!(
        found(&checks, "subtree-control")
            .2
            .contains("with processes of its own")
    );
    assert!(!checks.is_enough());
    tree.own_processes = false;
    tree.subtree_writable = DENIED;
    let checks = judge(facts(vec![tree]));
    assert_eq!(
        checks.get("subtree-control").unwrap().errno,
        Some(Errno::EACCES)
    );
    assert!(!checks.is_enough());
}

#[test]
fn a_delegated_group_is_found() {
    let mut tree = v2();
    tree.own = Some(("/sys/fs/cgroup/user.slice/a".into(), Ok(())));
    let mut user = facts(vec![tree.clone()]);
    user.is_root = false;
    let checks = judge(user);
    assert_eq!(
        found(&checks, "delegation").1,
        "/sys/fs/cgroup/user.slice/a"
    );
    tree.own = Some(("/sys/fs/cgroup/user.slice/a".into(), DENIED));
    let mut user = facts(vec![tree]);
    user.is_root = false;
    let (ok, _, hint) = found(&judge(user), "delegation");
    assert!(!ok && hint.contains("Delegate=yes"));
}

#[test]
fn what_is_on_v1_only_or_unknown_is_said_so() {
    let mut old = facts(vec![v2()]);
    old.v2_files = Some(names(&["cgroup.freeze", "memory.current"]));
    old.born_in_group = Some(Err(Errno::EINVAL));
    old.nsdelegate = false;
    let checks = judge(old);
    assert!(checks.is_enough());
    assert!(found(&checks, "cgroup.kill").2.starts_with("Linux 5.14"));
    assert!(found(&checks, "born-in-group").2.starts_with("Linux 5.7"));
    assert!(!found(&checks, "memory.peak").0);
    assert!(
        found(&checks, "nsdelegate")
            .2
            .contains("remount,nsdelegate")
    );

    // Groups without the controller tell nothing of it.
    let mut bare = facts(vec![v2()]);
    bare.v2_files = Some(names(&["cgroup.freeze"]));
    let (ok, what, hint) = found(&judge(bare), "memory.peak");
    assert_eq!(
        (ok, &what[..], &hint[..]),
        (false, "no v2 group to look into", "")
    );

    let mut v1 = facts(vec![tree(Version::V1, &["memory"])]);
    v1.v2_files = None;
    v1.v1_files = names(&["memory.max_usage_in_bytes"]);
    let checks = judge(v1);
    assert_eq!(
        found(&checks, "memory.peak"),
        (true, "on v1".into(), String::new())
    );
    assert_eq!(
        found(&checks, "cgroup.kill"),
        (false, "no v2 group to look into".into(), String::new())
    );
    assert!(checks.get("nsdelegate").is_none());
}

#[test]
fn this_machine_is_looked_at() {
    let facts = Facts::gather();
    assert!(facts.proc);
    assert_ne!(facts.born_in_group, None);
    assert!(judge(facts).table().lines().count() > 12);
}
