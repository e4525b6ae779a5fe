//! Limits that hold, and where the processes of a pod are.

use tests::Node;
use tests::pod::{BOX, DOWN, IN_POD, UP};

#[test]
fn ten_bytes_kill_ls() {
    let node = Node::new();
    node.sh(&format!("{UP}; {BOX}")).succeeds();
    // the tutorial's experiment: memory.limit_in_bytes is 10, and the first program that starts is killed
    let run = node
        .sh("cgset exec -P foo.json tiny memory.max=10 -- nsrun exec -P foo.json --pid --mount -- mkbox exec -P box.json -- /bin/bash -c ls")
        .ends(137);
    assert_eq!(run.stdout, "", "{run}");
    node.sh("cat /sys/fs/cgroup/memory/pod-foo/tiny/memory.limit_in_bytes")
        .prints("0");
    let events = node.sh("grep '^oom_kill ' /sys/fs/cgroup/memory/pod-foo/tiny/memory.oom_control | cut -d' ' -f2").succeeds();
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
    node.sh("cat /sys/fs/cgroup/memory/pod-foo/memory.limit_in_bytes")
        .prints("0");
    node.sh("cat /sys/fs/cgroup/pids/pod-foo/pids.max")
        .prints("100");
    node.sh("cat /sys/fs/cgroup/cpu/pod-foo/cpu.cfs_quota_us")
        .prints("50000");
    node.sh("cgset down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_container_has_its_own_limit_below_the_pod_s() {
    let node = Node::new();
    node.sh(UP).succeeds();
    node.sh("cgset exec -P foo.json app memory.max=256Mi -- cat /proc/self/cgroup | grep memory: | cut -d: -f3").prints("/pod-foo/app");
    node.sh("cat /sys/fs/cgroup/memory/pod-foo/app/memory.limit_in_bytes")
        .prints("268435456");
    node.sh("cat /sys/fs/cgroup/memory/pod-foo/memory.limit_in_bytes")
        .prints("536870912");
    // what it gets is what it may take: 300 MB do not fit into 256 Mi, 100 MB do
    node.sh("cgset exec -P foo.json app -- bash -c 'x=$(head -c 100000000 /dev/zero | tr \"\\0\" x); echo ${#x}'").prints("100000000");
    node.sh("cgset exec -P foo.json app -- bash -c 'x=$(head -c 300000000 /dev/zero | tr \"\\0\" x); echo ${#x}'").ends(137);
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
    node.sh("coproc bomb { exec cgset exec -P foo.json app -- nsrun exec -P foo.json --pid -- bash -c 'for i in $(seq 200); do sleep 1000 & done; wait' 2>/dev/null; }
             until [ $(cat /sys/fs/cgroup/pids/pod-foo/pids.current) -ge 30 ]; do :; done
             until cat /sys/fs/cgroup/pids/pod-foo/{,app/}pids.events | grep -q '^max [1-9]'; do :; done
             cat /sys/fs/cgroup/pids/pod-foo/pids.current; disown").succeeds().prints("30");
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
        let mut found: Vec<String> = groups
            .stdout
            .lines()
            .filter(|line| {
                [":memory:", ":pids:", ":cpu:", ":cpuacct:"]
                    .iter()
                    .any(|name| line.contains(name))
            })
            .filter_map(|line| line.rsplit(':').next().map(str::to_owned))
            .collect();
        found.sort();
        found.dedup();
        found
    };
    let pause = node.sh("grep -E ':(memory|pids|cpu|cpuacct):' /proc/$(jq .nsrun.pid foo.json)/cgroup | cut -d: -f3 | sort -u");
    pause.succeeds().prints("/pod-foo/pause");
    assert_eq!(group("nsrun exec -P foo.json --"), ["/pod-foo/exec"]);
    assert_eq!(group("cgset exec -P foo.json web --"), ["/pod-foo/web"]);
    assert_eq!(
        group("cgset exec -P foo.json web -- nsrun exec -P foo.json --pid --mount --"),
        ["/pod-foo/web"]
    );
    // the pod's own group holds nobody
    node.sh("cat /sys/fs/cgroup/*/pod-foo/cgroup.procs")
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
    node.sh("cat /sys/fs/cgroup/memory/pod-foo/memory.limit_in_bytes")
        .prints("67108864");
    node.sh("cgset down --kill <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();

    node.sh("cgset up --id foo memory.max=64Mi >foo.json
             coproc { exec cgset exec -P foo.json app -- bash -c 'echo up; exec sleep 1000' 2>/dev/null; }; read -r up <&${COPROC[0]}; disown; echo $COPROC_PID >pid").succeeds();
    node.sh("cgset down --to / <foo.json >/dev/null && kill -0 $(cat pid) && grep memory: /proc/$(cat pid)/cgroup | cut -d: -f3").succeeds().prints("/");
    node.sh("kill $(cat pid); rm foo.json pid").succeeds();
    node.becomes_as_it_was();
}

#[test]
fn controllers_are_found_behind_stacked_mounts() {
    let node = Node::new();
    // a file system over the old one hides the hierarchies that are mounted below that; these are mounted again
    let again = "mount -t tmpfs none /sys; mkdir -p /sys/fs/cgroup; mount -t tmpfs none /sys/fs/cgroup; mkdir /sys/fs/cgroup/{memory,pids}
                 mount -t cgroup -o memory none /sys/fs/cgroup/memory; mount -t cgroup -o pids none /sys/fs/cgroup/pids";
    node.sh(&format!("unshare -m bash -c '{again}; cgset up --id foo memory.max=64Mi >foo.json; cat /sys/fs/cgroup/memory/pod-foo/memory.limit_in_bytes; cgset down <foo.json >/dev/null'; rm foo.json"))
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
