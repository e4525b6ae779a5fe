//! Plans of groups and files, on machines that are described.

use super::*;
use crate::vocabulary::{Machine, parse_all};

const V1: &str = "\
1 0 0:1 / /c/cpu rw - cgroup c rw,cpu,cpuacct
2 0 0:2 / /c/memory rw - cgroup c rw,memory
3 0 0:3 / /c/pids rw - cgroup c rw,pids
4 0 0:4 / /c/cpuset rw - cgroup c rw,cpuset
5 0 0:5 / /c/unified rw - cgroup2 c rw
";
const OWN: &str = "5:pids:/\n4:memory:/\n3:cpuset:/\n1:cpu,cpuacct:/\n0::/\n";

fn hybrid() -> Hierarchies {
    Hierarchies::parse(V1.as_bytes(), OWN, |_| "hugetlb rdma".into())
}

fn unified() -> Hierarchies {
    Hierarchies::parse(b"1 0 0:1 / /cg rw - cgroup2 c rw\n", "0::/\n", |_| {
        "cpuset cpu io memory pids".into()
    })
}

fn limits(words: &[&str]) -> Limits {
    parse_all(
        words.iter().copied(),
        &Machine {
            memory_total: || 1 << 30,
        },
    )
    .unwrap()
}

#[test]
fn a_pod_is_in_v1s_freezer_where_there_is_one() {
    let text = format!("{V1}6 0 0:6 / /c/freezer rw - cgroup c rw,freezer\n");
    let own = format!("6:freezer:/\n{OWN}");
    let found = Hierarchies::parse(text.as_bytes(), &own, |_| String::new());
    assert!(lines(&found, &[]).contains("mkdir(/c/freezer/pod-foo)\n"));
    let without = found.without_freezer_unless(|_| false);
    assert!(!lines(&without, &[]).contains("freezer"));
    assert!(lines(&without, &[]).contains("mkdir(/c/memory/pod-foo)\n"));
}

fn lines(hierarchies: &Hierarchies, words: &[&str]) -> String {
    match Plan::of_pod("pod-foo".into(), hierarchies, &limits(words)) {
        Ok(plan) => plan.pod_lines(&["pause"], None),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_pod_has_a_group_of_each_controller_it_may_need_later() {
    assert_eq!(
        lines(&hybrid(), &["memory.swap.max=1M", "memory.max=1M"]),
        "mkdir(/c/memory/pod-foo)\n\
         mkdir(/c/cpu/pod-foo)\n\
         mkdir(/c/pids/pod-foo)\n\
         write(/c/memory/pod-foo/memory.limit_in_bytes, 1048576)\n\
         write(/c/memory/pod-foo/memory.memsw.limit_in_bytes, 2097152)\n\
         mkdir(/c/memory/pod-foo/pause)\n\
         mkdir(/c/cpu/pod-foo/pause)\n\
         mkdir(/c/pids/pod-foo/pause)\n"
    );
}

#[test]
fn each_limit_goes_to_its_own_hierarchy() {
    assert_eq!(
        lines(
            &hybrid(),
            &["hugetlb.2MB.max=2M", "cpuset.cpus=0", "cpu.weight=100"]
        ),
        "mkdir(/c/memory/pod-foo)\n\
         mkdir(/c/cpu/pod-foo)\n\
         mkdir(/c/pids/pod-foo)\n\
         mkdir(/c/unified/pod-foo)\n\
         write(/c/unified/pod-foo/cgroup.subtree_control, +hugetlb)\n\
         mkdir(/c/cpuset/pod-foo)\n\
         mkdir(/c/unified/pod-foo/pause)\n\
         write(/c/cpu/pod-foo/cpu.shares, 1024)\n\
         write(/c/unified/pod-foo/hugetlb.2MB.max, 2097152)\n\
         write(/c/cpuset/pod-foo/cpuset.cpus, 0)\n\
         mkdir(/c/memory/pod-foo/pause)\n\
         mkdir(/c/cpu/pod-foo/pause)\n\
         mkdir(/c/pids/pod-foo/pause)\n\
         mkdir(/c/cpuset/pod-foo/pause)\n"
    );
}

#[test]
fn the_same_limits_in_other_words_are_the_same_plan() {
    for hierarchies in [hybrid(), unified()] {
        let written = |words: &[&str]| {
            Plan::of_pod("p".into(), &hierarchies, &limits(words))
                .unwrap()
                .written()
        };
        let first = written(&[
            "memory.max=1M",
            "memory.swap.max=1M",
            "cpu.weight=100",
            "cpu.max=0.5",
        ]);
        let other = [
            "memory.limit_in_bytes=1024K",
            "memory.memsw.limit_in_bytes=2M",
            "cpu.shares=1024",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=50000",
        ];
        assert_eq!(first, written(&other));
        assert_ne!(first, written(&["memory.max=1M"]));
    }
    let two = limits(&["io.max=8:0 rbps=1", "io.max=8:16 rbps=2"]);
    let unified = unified();
    assert_eq!(
        Plan::of_pod("p".into(), &unified, &two).unwrap().written()["io.max"],
        "8:0 rbps=1\n8:16 rbps=2"
    );
}

#[test]
fn on_v2_all_of_it_is_one_group() {
    let (hierarchies, limits) = (
        unified(),
        limits(&["memory.limit_in_bytes=1M", "pids.max=5", "cgroup.freeze=0"]),
    );
    let plan = Plan::of_pod("pod-foo".into(), &hierarchies, &limits).unwrap();
    assert_eq!(plan.groups[0].key, "cpu,memory,pids");
    assert_eq!(
        plan.pod_lines(&["pause"], "1:2".parse().ok()),
        "mkdir(/cg/pod-foo)\nwrite(/cg/pod-foo/cgroup.subtree_control, +cpu +memory +pids)\n\
         mkdir(/cg/pod-foo/pause)\nchown(/cg/pod-foo/pause, 1:2)\nchown(/cg/pod-foo, 1:2)\n\
         write(/cg/pod-foo/memory.max, 1048576)\nwrite(/cg/pod-foo/pids.max, 5)\n\
         write(/cg/pod-foo/cgroup.freeze, 0)\n"
    );
}

#[test]
fn a_translation_says_what_becomes_of_what_and_by_which_formula() {
    let translated = |hierarchies: &Hierarchies, words: &[&str]| {
        let limits = limits(words);
        let plan = Plan::of_pod("p".into(), hierarchies, &limits).unwrap();
        plan.translations().unwrap()
    };
    let words = [
        "memory.max=1M",
        "cpu.weight=59",
        "cpu.max=0.5",
        "pids.max=5",
    ];
    assert_eq!(
        translated(&hybrid(), &words),
        [
            "memory.max=1048576: on v1 memory.limit_in_bytes=1048576",
            "cpu.weight=59: on v1 cpu.shares=521 (cpu.weight = ceil(10^((l^2 + 125 l)/612 - 7/34)), l = log2(cpu.shares))",
            "cpu.max=50000 100000: on v1 cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000",
        ]
    );
    assert!(translated(&unified(), &words).is_empty());
    assert_eq!(
        translated(&unified(), &["cpu.shares=512"]),
        [
            "cpu.shares=512: on v2 cpu.weight=59 (cpu.weight = ceil(10^((l^2 + 125 l)/612 - 7/34)), l = log2(cpu.shares))"
        ]
    );
}

#[test]
fn a_controller_that_is_not_there_is_named() {
    // Why is the machine's to say: absent.rs.
    let elsewhere = |word: &str| lines(&hybrid(), &[word]);
    assert!(
        elsewhere("io.max=8:0 rbps=1").starts_with("io.max: no io controller can be used here (")
    );
    assert_eq!(
        lines(&unified(), &["blkio.leaf_weight=5"]),
        "blkio.leaf_weight: cgroup v2 has no such limit (use io.max or io.weight)"
    );
    assert!(
        elsewhere("net_cls.classid=1")
            .starts_with("net_cls.classid: no net_cls controller can be used here (")
    );
    assert_eq!(
        lines(&Hierarchies::default(), &[]),
        "no cgroup hierarchy with controllers is mounted here (mount -t cgroup2 none /sys/fs/cgroup)"
    );
}

#[test]
fn a_child_has_the_groups_of_its_pod_and_no_others() {
    let (hierarchies, limits) = (hybrid(), limits(&["cpuset.cpus=0"]));
    let groups = [("memory".to_owned(), hierarchies.of("memory").unwrap())];
    let refused = Plan::of_child("pod-foo/app".into(), &groups, &limits).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "cpuset.cpus: the pod has no cpuset group (give the pod a limit of it in cgset up)"
    );
    let none = Limits::default();
    assert_eq!(
        Plan::of_child("pod-foo/app".into(), &groups, &none)
            .unwrap()
            .lines(),
        "mkdir(/c/memory/pod-foo/app)\n"
    );
}
