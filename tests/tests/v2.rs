//! Pods where there is nothing but cgroup v2: `make test-vm` runs these in a machine that has it.

use tests::Node;

const WHY: &str = "needs a machine with cgroup v2 alone: make test-vm";

/// The node's own group is what it sees as the root.
#[track_caller]
fn node() -> Node {
    let node = Node::new();
    let kind = node.sh("stat -fc %T /sys/fs/cgroup").succeeds().stdout;
    assert_eq!(kind.trim(), "cgroup2fs", "{WHY}");
    node
}

#[test]
#[ignore = "needs a machine with cgroup v2 alone: make test-vm"]
fn a_pod_and_everybody_in_it_is_where_he_belongs() {
    let node = node();
    node.sh("cgset up --id foo memory.max=64Mi pids.max=40 cpu.max=0.5 | nsrun up --net --uts >foo.json")
        .succeeds();
    let group = |how: &str| {
        let run = node.sh(&format!("{how} grep -o 'pod-foo.*' /proc/self/cgroup"));
        run.succeeds().stdout.trim().to_owned()
    };
    assert_eq!(group("nsrun exec -P foo.json --"), "pod-foo/exec");
    assert_eq!(group("cgset exec -P foo.json app --"), "pod-foo/app");
    assert_eq!(
        group("cgset exec -P foo.json app -- nsrun exec -P foo.json --pid --"),
        "pod-foo/app"
    );
    node.sh("grep -o 'pod-foo.*' /proc/$(jq .nsrun.pid foo.json)/cgroup; cat /sys/fs/cgroup/pod-foo/{memory.max,pids.max,cpu.max}; wc -l </sys/fs/cgroup/pod-foo/cgroup.procs; jq -c .cgset.effective foo.json")
        .succeeds()
        .prints("pod-foo/pause\n67108864\n40\n50000 100000\n0\n{\"memory.max\":67108864,\"pids.max\":40,\"cpu.max\":\"50000 100000\"}");
    node.sh("nsrun down <foo.json | cgset down >/dev/null; rm foo.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
#[ignore = "needs a machine with cgroup v2 alone: make test-vm"]
fn a_process_is_born_in_its_group_and_never_runs_outside() {
    let node = node();
    node.sh("cgset up --id foo memory.max=64Mi | nsrun up --net >foo.json")
        .succeeds();
    let trace = node
        .sh("strace -f -e trace=clone3,clone,write nsrun exec -P foo.json -- true 2>&1")
        .succeeds();
    assert!(trace.stdout.contains("CLONE_INTO_CGROUP"), "{trace}");
    assert!(!trace.stdout.contains("cgroup.procs"), "{trace}");
    node.sh("nsrun down <foo.json | cgset down >/dev/null; rm foo.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
#[ignore = "needs a machine with cgroup v2 alone: make test-vm"]
fn limits_hold_for_a_pod_and_for_a_container() {
    let node = node();
    node.sh("cgset up --id foo memory.max=64Mi memory.swap.max=0 pids.max=12 | nsrun up --net >foo.json")
        .succeeds();
    // 137: the kernel's OOM killer
    node.sh("cgset exec -P foo.json app memory.max=16Mi memory.swap.max=0 -- bash -c 'x=$(head -c 48M /dev/zero | tr \"\\0\" x); echo ${#x}'; echo $?; grep -c '^oom_kill [1-9]' /sys/fs/cgroup/pod-foo/app/memory.events")
        .succeeds()
        .prints("137\n1");
    let run = node.sh("cgset exec -P foo.json app -- bash -c 'for i in $(seq 30); do sleep 1000 >/dev/null 2>&1 & done' 2>&1; cat /sys/fs/cgroup/pod-foo/{,app/}pids.events | grep -q '^max [1-9]' && echo met");
    assert!(run.stdout.contains("fork"), "{run}");
    assert!(run.stdout.trim_end().ends_with("met"), "{run}");
    node.sh("nsrun down --grace 0 <foo.json | cgset down >/dev/null; rm foo.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
#[ignore = "needs a machine with cgroup v2 alone: make test-vm"]
fn s24_where_systemd_owns_the_tree_a_pod_is_made_in_what_it_gave() {
    let node = node();
    // What systemd leaves of `systemd-run --scope -p Delegate=yes`: a marked group with the caller in it.
    let scope = "mkdir -p /run/systemd/system /sys/fs/cgroup/user.slice/run-1.scope
         python3 -c 'import os; os.setxattr(\"/sys/fs/cgroup/user.slice/run-1.scope\", \"trusted.delegate\", b\"1\")'
         for group in /sys/fs/cgroup /sys/fs/cgroup/user.slice; do echo '+memory +cpu +pids' >$group/cgroup.subtree_control; done
         echo $$ >/sys/fs/cgroup/user.slice/run-1.scope/cgroup.procs";
    node.sh(&format!(
        "{scope}
         cgset up --id foo memory.max=64Mi | nsrun up --net >foo.json
         cat /sys/fs/cgroup/user.slice/run-1.scope/pod-foo/memory.max; jq -r .cgset.parent foo.json
         grep -o 'run-1.*' /proc/$$/cgroup; cgset exec -P foo.json app -- grep -o 'run-1.*' /proc/self/cgroup
         cgset check --json | jq -r '.checks[] | select(.name == \"delegation\").found'
         cgset up -q <foo.json | cmp - foo.json"
    ))
    .succeeds()
    .prints("67108864\n/user.slice/run-1.scope\nrun-1.scope/init\nrun-1.scope/pod-foo/app\n/user.slice/run-1.scope, by systemd")
    .says("/sys/fs/cgroup/user.slice/run-1.scope: its ");
    // From outside of it: the same pod where it is, another at the top with a word about that.
    node.sh("cgset up <foo.json | cmp - foo.json; nsrun down <foo.json | cgset down >/dev/null
             cgset up --id bar >bar.json; jq -r .cgset.parent bar.json; cgset down <bar.json >/dev/null")
        .prints("null")
        .says("systemd owns the groups here and may change what it did not make (systemd-run --scope -p Delegate=yes bash, and this in it)");
    node.sh("rmdir /sys/fs/cgroup/user.slice/{run-1.scope/{init,},} /run/systemd/system /run/systemd; rm *.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
#[ignore = "needs a machine with cgroup v2 alone: make test-vm"]
fn a_group_with_processes_is_killed_or_left_only_when_asked() {
    let node = node();
    node.sh("cgset up --id foo pids.max=100 >foo.json; for i in $(seq 20); do cgset exec -P foo.json app -- sleep 1000 >/dev/null 2>&1 </dev/null & done; until [ $(wc -l </sys/fs/cgroup/pod-foo/app/cgroup.procs) = 20 ]; do :; done; disown -a")
        .succeeds();
    node.sh("cgset down <foo.json >/dev/null")
        .ends(1)
        .says_one_line("cgset");
    node.sh("cgset down --kill <foo.json >/dev/null; rm foo.json; ls -d /sys/fs/cgroup/pod-foo")
        .ends(2);
    node.becomes_as_it_was();
}
