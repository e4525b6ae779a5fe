//! Limits that hold, and where the processes of a pod are; on the version of cgroups that the machine has.

use tests::pod::{BOX, DOWN, IN_POD, UP};
use tests::{Node, Output};

/// Functions for stories that look at the kernel's own files: `file GROUP NAME-ON-V2 NAME-ON-V1` prints which it is,
/// `home` the node's own group, from which its processes come.
const FILES: &str = r#"
    v2() { [ -e /sys/fs/cgroup/cgroup.controllers ]; }
    file() { if v2; then echo /sys/fs/cgroup/$1/$2; else echo /sys/fs/cgroup/${3%%.*}/$1/$3; fi; }
    home() { if v2; then echo /init; else echo /; fi; }
    group_of() { grep -E ':memory:|^0::/.' /proc/$1/cgroup | cut -d: -f3 | head -n1; }
"#;

/// A story that has them.
#[track_caller]
fn look(node: &Node, script: &str) -> Output {
    node.sh(&format!("{FILES}{script}"))
}

#[test]
fn s28_ten_bytes_are_too_few_for_ls() {
    let node = Node::new();
    node.sh(&format!("{UP}; {BOX}")).succeeds();
    // the tutorial's experiment: memory.limit_in_bytes is 10, and the first program that starts is killed
    let run = node
        .sh("cgset exec -P foo.json tiny memory.max=10 -- nsrun exec -P foo.json --pid --mount -- mkbox exec -P box.json -- /bin/bash -c ls")
        .ends(137);
    assert_eq!(run.stdout, "", "{run}");
    look(
        &node,
        "cat $(file pod-foo/tiny memory.max memory.limit_in_bytes)",
    )
    .prints("0");
    let events = look(
        &node,
        "grep '^oom_kill ' $(file pod-foo/tiny memory.events memory.oom_control) | cut -d' ' -f2",
    )
    .succeeds();
    assert!(
        events
            .stdout
            .trim()
            .parse::<u32>()
            .is_ok_and(|kills| kills > 0),
        "{events}"
    );
    // the others of the pod go on
    node.sh(&format!("{IN_POD} ls /")).succeeds().says("bin");
    node.sh(&format!("{DOWN} >/dev/null; rm *.json")).succeeds();
    node.assert_as_it_was();
}

#[test]
fn what_the_kernel_made_of_a_value_is_what_the_record_says() {
    let node = Node::new();
    node.sh("cgset up --id foo memory.max=10 pids.max=100 cpu.max=0.5 >foo.json")
        .succeeds();
    node.sh("jq -c '.cgset.effective[\"memory.max\"]' foo.json")
        .prints("0");
    look(
        &node,
        "cat $(file pod-foo memory.max memory.limit_in_bytes)
         cat $(file pod-foo pids.max pids.max)
         cut -d' ' -f1 $(file pod-foo cpu.max cpu.cfs_quota_us)",
    )
    .prints("0\n100\n50000");
    node.sh("cgset down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_container_has_its_own_limit_below_the_pod_s() {
    let node = Node::new();
    node.sh(UP).succeeds();
    look(
        &node,
        "export -f group_of; cgset exec -P foo.json app memory.max=64Mi -- bash -c 'group_of self'",
    )
    .prints("/pod-foo/app");
    look(
        &node,
        "cat $(file pod-foo/app memory.max memory.limit_in_bytes) $(file pod-foo memory.max memory.limit_in_bytes)",
    )
    .prints("67108864\n536870912");
    // what it gets is what it may take: 80 MB do not fit into 64 Mi, 20 MB do
    node.sh("cgset exec -P foo.json app -- bash -c 'x=$(head -c 20000000 /dev/zero | tr \"\\0\" x); echo ${#x}'").prints("20000000");
    node.sh("cgset exec -P foo.json app -- bash -c 'x=$(head -c 80000000 /dev/zero | tr \"\\0\" x); echo ${#x}'").ends(137);
    node.sh("nsrun down <foo.json | netwire down | cgset down >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_fork_bomb_meets_pids_max_and_down_ends_it() {
    let node = Node::new();
    node.sh("cgset up --id foo pids.max=30 | nsrun up --net --ipc --uts >foo.json")
        .succeeds();
    // each one forks until it cannot; bounded should the limit not hold
    look(&node, "coproc bomb { exec cgset exec -P foo.json app -- nsrun exec -P foo.json --pid -- bash -c 'for i in $(seq 200); do sleep 1000 & done; wait' 2>/dev/null; }
             until [ $(cat $(file pod-foo pids.current pids.current)) -ge 30 ]; do :; done
             until cat $(file pod-foo pids.events pids.events) $(file pod-foo/app pids.events pids.events) | grep -q '^max [1-9]'; do :; done
             cat $(file pod-foo pids.current pids.current); disown").succeeds().prints("30");
    node.sh("nsrun down --grace 0.1 <foo.json | cgset down >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn everyone_is_in_the_group_that_is_meant_for_him() {
    let node = Node::new();
    node.sh(&format!("{UP}; {BOX}")).succeeds();
    let group = |command: &str| {
        let groups = node
            .sh(&format!("{command} cat /proc/self/cgroup"))
            .succeeds();
        let of = |controllers: &[&str]| -> Vec<String> {
            let lines = groups.stdout.lines().map(|line| line.splitn(3, ':'));
            let lines = lines.filter_map(|mut parts| Some((parts.nth(1)?, parts.next()?)));
            let lines = lines.filter(|(names, _)| controllers.contains(names));
            lines.map(|(_, group)| group.to_owned()).collect()
        };
        let mut found = of(&["memory", "pids", "cpu", "cpuacct"]);
        if found.is_empty() {
            found = of(&[""]); // all is v2
        }
        found.sort();
        found.dedup();
        found
    };
    look(&node, "group_of $(jq .nsrun.pid foo.json)").prints("/pod-foo/pause");
    assert_eq!(group("nsrun exec -P foo.json --"), ["/pod-foo/exec"]);
    assert_eq!(group("cgset exec -P foo.json web --"), ["/pod-foo/web"]);
    assert_eq!(
        group("cgset exec -P foo.json web -- nsrun exec -P foo.json --pid --mount --"),
        ["/pod-foo/web"]
    );
    // the pod's own group holds nobody
    look(
        &node,
        "if v2; then cat /sys/fs/cgroup/pod-foo/cgroup.procs; else cat /sys/fs/cgroup/*/pod-foo/cgroup.procs; fi",
    )
    .prints("");
    node.sh(&format!("{DOWN} >/dev/null; rm *.json")).succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_group_with_processes_is_not_removed_unless_asked() {
    let node = Node::new();
    node.sh("cgset up --id foo memory.max=64Mi >foo.json
             coproc { exec cgset exec -P foo.json app -- bash -c 'echo up; exec sleep 1000' 2>/dev/null; }; read -r up <&${COPROC[0]}; disown").succeeds();
    let world = node.world();
    let refused = node
        .sh("cgset down <foo.json >failed.json")
        .ends(1)
        .says_one_line("cgset")
        .says("--kill");
    node.sh("jq -e '.failed.tool == \"cgset\" and .cgset' failed.json; rm failed.json")
        .succeeds();
    node.assert_same(&world, &refused.script);
    look(
        &node,
        "cat $(file pod-foo memory.max memory.limit_in_bytes)",
    )
    .prints("67108864");
    node.sh("cgset down --kill <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();

    node.sh("cgset up --id foo memory.max=64Mi >foo.json
             coproc { exec cgset exec -P foo.json app -- bash -c 'echo up; exec sleep 1000' 2>/dev/null; }; read -r up <&${COPROC[0]}; disown; echo $COPROC_PID >pid").succeeds();
    look(&node, "cgset down --to $(home) <foo.json >/dev/null && kill -0 $(cat pid) && [ \"$(group_of $(cat pid))\" = $(home) ] && echo home").succeeds().prints("home");
    node.sh("kill $(cat pid); rm foo.json pid").succeeds();
    node.becomes_as_it_was();
}

#[test]
fn controllers_are_found_behind_stacked_mounts() {
    let node = Node::new();
    // a file system over the old one hides the hierarchies that are mounted below that; these are mounted again
    let again = "if v2; then kind=cgroup2; else kind=cgroup; fi
                 mount -t tmpfs none /sys; mkdir -p /sys/fs/cgroup; mount -t tmpfs none /sys/fs/cgroup
                 if [ $kind = cgroup2 ]; then mount -t cgroup2 none /sys/fs/cgroup; else
                     mkdir /sys/fs/cgroup/{memory,pids}
                     mount -t cgroup -o memory none /sys/fs/cgroup/memory; mount -t cgroup -o pids none /sys/fs/cgroup/pids; fi";
    look(&node, &format!("export -f v2 file; unshare -m bash -c '{again}; cgset up --id foo memory.max=64Mi >foo.json; cat $(file pod-foo memory.max memory.limit_in_bytes); cgset down <foo.json >/dev/null'; rm foo.json"))
        .succeeds()
        .prints("67108864");
    node.assert_as_it_was();
}

#[test]
fn bad_limits_are_one_line_and_make_nothing() {
    let node = Node::new();
    let world = node.world();
    for limit in [
        "memory.max=",
        "memory.max=-1",
        "memory.max=x",
        "memory.max=1Zi",
        "memory.max=99999999999999999999",
        "no.such=1",
        "pids.max=1.5",
        "../x=1",
        "memory.max",
        "=5",
        "cpu.max=-1",
        "memory.max=10\u{661}",
    ] {
        let run = node.sh(&format!("cgset up --id foo '{limit}' >/dev/null"));
        assert!([1, 2].contains(&run.status), "{run}");
        run.says_one_line("cgset");
        node.assert_same(&world, limit);
    }
}

#[test]
fn devices_are_those_that_were_allowed() {
    let node = Node::new();
    // Opened and made anew: what is open already is not asked about.
    let tries = "for try in r:1:3 w:1:3 r:1:9 w:1:9 r:10:229; do
            IFS=: read -r how major minor <<<$try
            rm -f node; mknod node c $major $minor 2>/dev/null || { echo $try not made; continue; }
            case $how in r) : <node ;; w) : >node ;; esac 2>/dev/null && echo $try || echo $try refused
        done; rm -f node";
    node.sh("cgset up --id foo devices=none devices.allow='c *:* m' devices.allow='c 1:3 rwm' devices.allow='c 1:9 r' >foo.json")
        .succeeds();
    node.sh(&format!(
        "cgset exec -P foo.json app -- bash -c '{tries}'; cgset exec -P foo.json app devices=none -- bash -c 'echo >>/dev/null'"
    ))
    .prints("r:1:3\nw:1:3\nr:1:9\nw:1:9 refused\nr:10:229 refused")
    .says("/dev/null: Operation not permitted");
    // The same again, by the record that says so in OCI's words; and outside of the pod nothing is changed.
    node.sh("cgset up <foo.json | cmp - foo.json; echo >>/dev/null; cgset down <foo.json >down.json; jq -c .linux.resources down.json; cgset up <down.json | jq -c '.cgset.effective.devices != null'; cgset down --id foo >/dev/null")
        .succeeds()
        .prints("{\"unified\":{\"devices\":\"none, allow c *:* m, allow c 1:3 rwm, allow c 1:9 r\"}}\ntrue");
    // What every container has goes without saying, as in the OCI runtimes.
    node.sh("echo '{\"id\":\"foo\",\"linux\":{\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]}}}' | cgset up >foo.json
             mknod node c 10 229; cgset exec -P foo.json -- bash -c 'echo >/dev/null && : <node'; cgset exec -P foo.json -- bash -c 'echo >/dev/null' && echo fine
             cgset down <foo.json >/dev/null; rm *.json node")
        .prints("fine")
        .says("node: Operation not permitted");
    node.assert_as_it_was();
}
