//! `down` after every beginning of a pod: whole stages, killed stages, killed shells, killed downs.

use std::fmt::Display;

use tests::Node;
use tests::pod::{BOX, DOWN, DOWN_BY_NAME, IN_POD, UP};
use tests::sweep::{Place, places};

/// Every tool's `down` by name, whatever became of the record; the order is the documented one.
const CLEAN: &str = "nsrun down --id foo --grace 0.1 && netwire down --id foo && cgset down --id foo && mkbox down --id box";

/// The stages of the pipe, and what comes before and after each.
const STAGES: [(&str, &str, &str); 3] = [
    (
        "cgset up --id foo memory.max=512Mi pids.max=100",
        "true",
        "nsrun up --net --ipc --uts | netwire up --subnet 10.244.0.0/24",
    ),
    (
        "nsrun up --net --ipc --uts",
        "cgset up --id foo memory.max=512Mi pids.max=100",
        "netwire up --subnet 10.244.0.0/24",
    ),
    (
        "netwire up --subnet 10.244.0.0/24",
        "cgset up --id foo memory.max=512Mi pids.max=100 | nsrun up --net --ipc --uts",
        "cat",
    ),
];

/// A small box: the sweep is about the order of calls, not about how many libraries there are.
const SMALL_BOX: &str = "mkbox up --copy rm,ls --proc --bind /tmp:/data --tmpfs /run box";

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

/// Kills one stage of the pipe at each of its calls; the others do what they do. Then `down` by name.
fn a_killed_stage_leaves_nothing(stage: usize) {
    let node = Node::new();
    let (tool, before, after) = STAGES[stage];
    node.sh(&format!("{before} >before.json")).succeeds();
    let found = places(&node, &format!("{tool} <before.json >/dev/null"), 6);
    node.sh(&format!("{CLEAN} >/dev/null; rm before.json"))
        .succeeds();
    nothing_is_left(&node, "the run that is counted");
    let (mut killed, mut wrong) = (0, Vec::new());
    for place in found {
        let run = node.sh(&format!(
            "{before} | {} {tool} | {after} >foo.json; echo ${{PIPESTATUS[@]}}",
            place.kill()
        ));
        killed += usize::from(run.stdout.contains("137"));
        wrong.extend(left_after_clean(&node, &place));
    }
    none_of(tool, &wrong);
    assert!(killed > 10, "only {killed} runs were killed");
}

/// What there is after `down` by name that should not be.
fn left_after_clean(node: &Node, place: &Place) -> Option<String> {
    let Place { call, nth } = place;
    let clean = node.sh(&format!(
        "{CLEAN} >/dev/null; status=$?; rm -f foo.json; exit $status"
    ));
    let left = node.before().difference(&node.world());
    if clean.status == 0 && left.is_none() {
        return None;
    }
    // so that the next place has a fair start
    node.sh(&format!("{CLEAN} >/dev/null; rmdir /run/chroot0"));
    Some(format!("{call} {nth}: {clean}{}", left.unwrap_or_default()))
}

#[track_caller]
fn none_of(tool: &str, wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{tool}, killed at these calls:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn cgset_up_killed_anywhere_leaves_nothing() {
    a_killed_stage_leaves_nothing(0);
}

#[test]
fn nsrun_up_killed_anywhere_leaves_nothing() {
    a_killed_stage_leaves_nothing(1);
}

#[test]
fn netwire_up_killed_anywhere_leaves_nothing() {
    a_killed_stage_leaves_nothing(2);
}

#[test]
fn mkbox_up_killed_anywhere_leaves_nothing() {
    let node = Node::new();
    let found = places(&node, &format!("{SMALL_BOX} >/dev/null"), 6);
    node.sh(&format!("{CLEAN} >/dev/null")).succeeds();
    nothing_is_left(&node, "the run that is counted");
    let (mut killed, mut wrong) = (0, Vec::new());
    for place in found {
        let run = node.sh(&format!("{} {SMALL_BOX} >/dev/null", place.kill()));
        killed += usize::from(run.status == 137);
        wrong.extend(left_after_clean(&node, &place));
    }
    none_of(SMALL_BOX, &wrong);
    assert!(killed > 20, "only {killed} runs were killed");
}

#[test]
fn an_up_after_a_killed_up_makes_the_pod() {
    let node = Node::new();
    for (tool, before, after) in STAGES {
        node.sh(&format!("{before} >before.json")).succeeds();
        let found = places(&node, &format!("{tool} <before.json >/dev/null"), 2);
        node.sh(&format!("{CLEAN} >/dev/null; rm before.json"))
            .succeeds();
        for place in found {
            let Place { call, nth } = &place;
            node.sh(&format!(
                "{before} | {} {tool} | {after} >/dev/null",
                place.kill()
            ));
            let up = node.sh(&format!("set -o pipefail; {UP}"));
            assert_eq!(
                up.status, 0,
                "up after {tool} was killed at {call} {nth}: {up}"
            );
            node.sh("nsrun exec -P foo.json -- ip -br -4 address show eth0")
                .succeeds()
                .says("10.244.0.2/24");
            node.sh("nsrun down <foo.json | netwire down | cgset down >/dev/null; rm foo.json")
                .succeeds();
            nothing_is_left(
                &node,
                format_args!("{tool} killed at {call} {nth}, up, down"),
            );
        }
    }
}

/// Kills one `down` at each of its calls; the same again finishes it.
fn a_killed_down_is_finished_by_the_next(down: &str, rest: &str) {
    let node = Node::new();
    let up = format!("{UP}; {SMALL_BOX} >box.json; rm foo.json box.json");
    node.sh(&up).succeeds();
    let found = places(&node, &format!("{down} >/dev/null"), 5);
    node.sh(&format!("{rest} >/dev/null")).succeeds();
    nothing_is_left(&node, "the run that is counted");
    let (mut killed, mut wrong) = (0, Vec::new());
    for place in found {
        node.sh(&up).succeeds();
        let run = node.sh(&format!("{} {down} >/dev/null", place.kill()));
        killed += usize::from(run.status == 137);
        wrong.extend(left_after_clean(&node, &place));
    }
    none_of(down, &wrong);
    assert!(killed > 10, "only {killed} runs were killed");
}

#[test]
fn a_killed_nsrun_down_is_finished_by_the_next() {
    a_killed_down_is_finished_by_the_next("nsrun down --id foo", CLEAN);
}

#[test]
fn a_killed_netwire_down_is_finished_by_the_next() {
    a_killed_down_is_finished_by_the_next("netwire down --id foo", CLEAN);
}

#[test]
fn a_killed_cgset_down_is_finished_by_the_next() {
    // of a pod whose process is still there: on the way the kill
    a_killed_down_is_finished_by_the_next("cgset down --kill --id foo", CLEAN);
}

#[test]
fn a_killed_mkbox_down_is_finished_by_the_next() {
    a_killed_down_is_finished_by_the_next("mkbox down --id box", CLEAN);
}

#[test]
fn the_shell_or_all_killed_at_many_instants_leave_nothing() {
    let node = Node::new();
    for who in ["--foreground", ""] {
        for instant in 1..=30 {
            // 2 ms apart: a good run takes some 30 of them. What goes on is waited for: it holds the pipes of its stderr.
            let late = f64::from(instant) * 0.002;
            node.sh(&format!("timeout {who} -s KILL {late} bash -c '{UP}'"));
            node.sh(&format!("{CLEAN} >/dev/null; rm -f foo.json"))
                .succeeds();
            nothing_is_left(&node, format_args!("timeout {who} {late}"));
        }
    }
}
