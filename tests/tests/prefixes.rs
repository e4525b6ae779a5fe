//! `down` after every beginning of a pod, by its record and by its name.

use std::fmt::Display;

use tests::Node;
use tests::pod::{BOX, DOWN, DOWN_BY_NAME, IN_POD, UP};

/// The node is as it was.
#[track_caller]
fn nothing_is_left(node: &Node, after: impl Display) {
    node.assert_same(node.before(), &format!("left after {after}"));
}

#[test]
fn down_after_each_prefix_by_record() {
    let node = Node::new();
    for (up, down) in [
        ("cgset up --id foo memory.max=512Mi", "cgset down"),
        (
            "cgset up --id foo | nsrun up --net --ipc --uts",
            "nsrun down | cgset down",
        ),
        (
            "cgset up --id foo | nsrun up --net | netwire up --subnet 10.244.0.0/24",
            "nsrun down | netwire down | cgset down",
        ),
        // the other tools' down finds nothing of theirs and hands the record on
        (
            "cgset up --id foo pids.max=9",
            "nsrun down | netwire down | cgset down | mkbox down",
        ),
        ("nsrun up --id foo --net", "nsrun down"),
        (
            "nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24",
            "nsrun down | netwire down",
        ),
        ("mkbox up --copy ls foo", "mkbox down"),
        (
            "mkbox up --copy ls foo | cgset up pids.max=20 | nsrun up --net | netwire up --subnet 10.244.0.0/24",
            "nsrun down | netwire down | cgset down | mkbox down",
        ),
    ] {
        node.sh(&format!(
            "set -o pipefail; {up} >foo.json && cat foo.json | {down} >/dev/null"
        ))
        .succeeds();
        node.sh(&format!(
            "set -o pipefail; cat foo.json | {down} >again.json && rm foo.json"
        ))
        .succeeds();
        let again = node.sh("cat again.json; rm again.json").succeeds();
        assert!(
            again.stdout.contains(r#""id":"foo""#) && !again.stdout.contains("failed"),
            "down again is success: {again}"
        );
        nothing_is_left(&node, up);
    }
}

#[test]
fn down_after_each_prefix_by_name() {
    let node = Node::new();
    for up in [
        "true",
        "cgset up --id foo memory.max=512Mi",
        "cgset up --id foo | nsrun up --net --ipc --uts",
        "cgset up --id foo | nsrun up --net | netwire up --subnet 10.244.0.0/24",
        "nsrun up --id foo --net",
        "mkbox up --copy ls box",
    ] {
        node.sh(&format!("set -o pipefail; {up} >/dev/null"))
            .succeeds();
        node.sh(&format!("{DOWN_BY_NAME}; {DOWN_BY_NAME}"))
            .succeeds();
        nothing_is_left(&node, up);
    }
}

#[test]
fn down_ends_containers_and_what_they_started() {
    let node = Node::new();
    for down in [DOWN.to_owned(), DOWN_BY_NAME.to_owned()] {
        node.sh(&format!("{UP}; {BOX}")).succeeds();
        // One in the box, one that left its session, one that ignores TERM; they say so when they are there.
        node.sh(&format!(
            "for what in 'sleep 1000' 'setsid sleep 1000' 'trap \"\" TERM; sleep 1000'; do
               coproc {{ exec nsrun exec -P foo.json --pid -- bash -c \"echo up; $what & wait\" 2>/dev/null; }}
               read -r up <&${{COPROC[0]}}; disown
             done 2>/dev/null
             coproc {{ exec {IN_POD} /bin/bash -c 'echo up; exec bash -c \"read x; exit\"'; }}
             read -r up <&${{COPROC[0]}}; disown"
        ))
        .succeeds();
        let down = down.replace("nsrun down", "nsrun down --grace 0.2");
        node.sh(&format!("{down} >/dev/null; rm -f foo.json box.json"))
            .succeeds();
        node.assert_as_it_was();
    }
}

#[test]
fn down_when_others_were_quicker() {
    let node = Node::new();
    for gone in [
        "kill -KILL $(jq .nsrun.pid foo.json)",
        "ip link delete $(jq -r '.netwire.interfaces[0].name' foo.json)",
        "kill -KILL $(jq .nsrun.pid foo.json); while [ -d /proc/$(jq .nsrun.pid foo.json) ]; do :; done; rmdir /sys/fs/cgroup/*/pod-foo/{pause,exec,app} /sys/fs/cgroup/*/pod-foo 2>/dev/null",
        "rm -r /run/chroot0/foo",
        "rm -r box; rm -r /run/chroot0/box",
    ] {
        node.sh(&format!("{UP}; {BOX}; {gone}; {DOWN} >/dev/null"))
            .succeeds();
        node.sh("rm -f foo.json box.json").succeeds();
        nothing_is_left(&node, gone);
    }
}

#[test]
fn a_record_of_a_pod_that_was_made_anew_takes_nothing_of_it() {
    let node = Node::new();
    node.sh(&format!(
        "{UP}; cp foo.json old.json; {DOWN} >/dev/null; {UP}"
    ))
    .succeeds();
    let pod = node.world();
    for down in ["nsrun down", "netwire down", "cgset down --kill"] {
        let run = node.sh(&format!("{down} <old.json"));
        assert_eq!(run.status, 1, "{run}");
        assert!(run.stderr.contains("the pod that is up"), "{run}");
        node.assert_same(&pod, &format!("{down} took what is not its record's"));
    }
    node.sh("nsrun exec -P foo.json -- ip -br -4 address show eth0")
        .says("10.244.0.2/24");
    node.sh(&format!("{DOWN} >/dev/null; rm *.json")).succeeds();
    node.assert_as_it_was();
}
