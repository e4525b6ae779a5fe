//! SIGKILL at any instant: of a stage, of the shell, of all, of a `down`. The next `down` by name leaves nothing.

use std::fmt::Display;

use tests::Node;
use tests::pod::UP;
use tests::sweep::{Place, places};

/// Every tool's `down` by name, whatever became of the record; the order is the documented one.
const CLEAN: &str = "nsrun down --id foo --grace 0.1 && netwire down --id foo && cgset down --id foo && mkbox down --id box";

/// The stages of the pipe, and what comes before and after each.
const STAGES: [(&str, &str, &str); 4] = [
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
    (
        "netwire up --subnet 10.244.0.0/24 --subnet fd00:244::/64 --nat --publish 8080:80 --accept-forward --rate 10mbit",
        "cgset up --id foo memory.max=512Mi pids.max=100 | nsrun up --net --ipc --uts",
        "cat",
    ),
];

/// A small box: the sweep is about the order of calls, not about how many libraries there are.
const SMALL_BOX: &str = "mkbox up --copy rm,ls --proc --bind /tmp:/data --tmpfs /run box";

/// A box with everything that is made outside of it: beside it, and in this mount namespace.
const LARGE_BOX: &str = "mkbox up --bind-programs rm,ls --copy cat --overlay /home/namespace/layer --etc --proc --dev --mask --host-mounts \
    --mount type=emptyDir,target=/cache --mount type=secret,src=/home/namespace/layer,target=/etc/keys box";

/// The node is as it was.
#[track_caller]
fn nothing_is_left(node: &Node, after: impl Display) {
    node.assert_same(node.before(), &format!("left after {after}"));
}

/// A command that is killed at each of its calls, one call a run.
struct Sweep<'a> {
    /// What there has to be before each run; nothing of it is left after `down` by name.
    before: &'a str,
    command: &'a str,
    /// Around the command, where it is a stage of a pipe.
    pipe: (&'a str, &'a str),
    /// Places of each call.
    at_most: usize,
    /// Runs that have to be killed, or nothing was tried.
    at_least: usize,
}

impl Sweep<'_> {
    /// After each kill, and with what was wrong by then, `down` by name leaves nothing.
    fn leaves_nothing(&self, node: &Node, look: impl Fn(&Place, usize) -> Option<String>) {
        let (first, last) = self.pipe;
        node.sh(self.before).succeeds();
        let found = places(node, &format!("{} >/dev/null", self.command), self.at_most);
        node.sh(&format!("{CLEAN} >/dev/null; rm -f *.json"))
            .succeeds();
        nothing_is_left(node, "the run that is counted");
        let (mut killed, mut wrong) = (0, Vec::new());
        for place in found {
            node.sh(self.before).succeeds();
            let run = node.sh(&format!(
                "{first} {} {} {last} >/dev/null; echo ${{PIPESTATUS[@]}}",
                place.kill(),
                self.command
            ));
            killed += usize::from(run.stdout.contains("137"));
            wrong.extend(look(&place, killed));
            wrong.extend(left_after_clean(node, &place));
        }
        none_of(self.command, &wrong);
        assert!(
            killed > self.at_least,
            "only {killed} runs of {} were killed",
            self.command
        );
    }
}

/// Kills one stage of the pipe at each of its calls; the others do what they do. Then `down` by name.
fn a_killed_stage_leaves_nothing(stage: usize) {
    let (tool, before, after) = STAGES[stage];
    let (before, read) = (format!("{before} >before.json"), "<before.json");
    Sweep {
        before: &before,
        command: &format!("{tool} {read}"),
        pipe: ("", &format!("| {after}")),
        at_most: 3,
        at_least: 10,
    }
    .leaves_nothing(&Node::new(), |_, _| None);
}

/// What there is after `down` by name that should not be.
fn left_after_clean(node: &Node, place: &Place) -> Option<String> {
    let Place { call, nth, .. } = place;
    let clean = node.sh(&format!(
        "{CLEAN} >/dev/null; status=$?; rm -f *.json; exit $status"
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

/// The same upon a base: a small directory that every machine with ncurses has.
const BOX_UPON_BASE: &str = "mkbox up -q --from /lib/terminfo --copy rm --merged-usr box";

#[test]
fn netwire_up_with_nat_killed_anywhere_leaves_nothing() {
    a_killed_stage_leaves_nothing(3);
}

/// No packet meets half of the rules: those of before or those of after are there. And the next call does it.
#[test]
fn netwire_policy_killed_anywhere_is_done_by_the_next() {
    let node = Node::new();
    let rules = "nft list table inet chroot0 | grep -o '10[.][0789][.]' | sort -u | tr -d '\\n'";
    Sweep {
        before: "nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 --deny 10.9.0.0/16 >before.json",
        command: "netwire policy --allow 10.0.0.0/8,80/tcp --deny 10.7.0.0/16 <before.json",
        pipe: ("", ""),
        at_most: 2,
        at_least: 10,
    }
    .leaves_nothing(&node, |place, _| {
        let now = node.sh(rules);
        let next = node.sh(&format!("netwire policy --id foo --deny 10.8.0.0/16 >/dev/null && netwire check --id foo | jq -c .drift && {rules}"));
        let is_whole = ["10.9.", "10.0.10.7."].contains(&now.stdout.as_str());
        let is_done = next.stdout == "[]\n10.8.";
        (!is_whole || !is_done).then(|| format!("{} {}: {now}{next}", place.call, place.nth))
    });
}

#[test]
fn mkbox_up_killed_anywhere_leaves_nothing() {
    a_killed_box_leaves_nothing(SMALL_BOX);
}

#[test]
fn mkbox_up_from_a_base_killed_anywhere_leaves_nothing() {
    a_killed_box_leaves_nothing(BOX_UPON_BASE);
}

fn a_killed_box_leaves_nothing(up: &str) {
    Sweep {
        before: "",
        command: up,
        pipe: ("", ""),
        at_most: 3,
        at_least: 20,
    }
    .leaves_nothing(&Node::new(), |_, _| None);
}

#[test]
fn mkbox_up_killed_anywhere_leaves_no_mount_and_no_layer() {
    let node = Node::new();
    node.sh("mkdir layer; echo data >layer/file").succeeds();
    let world = node.world();
    let found = places(&node, &format!("{LARGE_BOX} >/dev/null"), 5);
    node.sh("mkbox down --id box >/dev/null").succeeds();
    node.assert_same(&world, "the run that is counted");
    let (mut killed, mut wrong) = (0, Vec::new());
    for place in found {
        let run = node.sh(&format!("{} {LARGE_BOX} >/dev/null", place.kill()));
        killed += usize::from(run.status == 137);
        let clean = node.sh("mkbox down --id box >/dev/null");
        if let Some(left) = world.difference(&node.world()) {
            wrong.push(format!("{} {}: {clean}{left}", place.call, place.nth));
            node.sh("grep -o '/home/namespace/box[^ ]*' /proc/self/mountinfo | tac | while read -r at; do umount $at; done; rm -rf box .box.mkbox* /run/chroot0");
        }
    }
    none_of(LARGE_BOX, &wrong);
    assert!(killed > 40, "only {killed} runs were killed");
    node.sh("rm -r layer").succeeds();
}

#[test]
fn mkbox_up_in_a_pod_killed_anywhere_leaves_no_mount_there() {
    let node = Node::new();
    let up = "mkbox up -P foo.json --copy ls --proc --dev --mask /home/namespace/box >/dev/null";
    let pod = "nsrun up --id foo --mount --pid >foo.json";
    let inside = "nsrun exec -P foo.json -- cat /proc/self/mountinfo >after";
    node.sh(&format!(
        "{pod}; nsrun exec -P foo.json -- cat /proc/self/mountinfo >before"
    ))
    .succeeds();
    let found = places(&node, up, 4);
    node.sh("mkbox down --id foo >/dev/null").succeeds();
    node.sh(&format!("{inside}; cmp before after; rm after"))
        .succeeds();
    // The index keeps what the record specifies, which is more or less by the time of the kill.
    let but_index = |node: &Node| -> Vec<String> {
        let world = node.world();
        let all = world.of("mount").chain(world.of("file"));
        all.filter(|line| !line.starts_with("/run/chroot0/foo/record.json"))
            .map(str::to_owned)
            .collect()
    };
    let before = but_index(&node);
    let (mut killed, mut wrong) = (0, Vec::new());
    for place in found {
        let run = node.sh(&format!("{} {up}", place.kill()));
        killed += usize::from(run.status == 137);
        let clean = node.sh(&format!("mkbox down --id foo >/dev/null && {inside} && cmp before after; status=$?; rm -f after; exit $status"));
        let now = but_index(&node);
        if clean.status != 0 || now != before {
            wrong.push(format!("{} {}: {clean}{now:#?}", place.call, place.nth));
            break;
        }
    }
    none_of(up, &wrong);
    assert!(killed > 30, "only {killed} runs were killed");
    node.sh("nsrun down <foo.json >/dev/null; rm foo.json before")
        .succeeds();
    nothing_is_left(&node, "the pod");
}

#[test]
fn a_killed_mkbox_down_of_everything_is_finished_by_the_next() {
    let node = Node::new();
    let up = format!("mkdir layer; {LARGE_BOX} >/dev/null; mkbox exec box -- ls / >/dev/null");
    let down = "mkbox down --id box";
    node.sh(&up).succeeds();
    let found = places(&node, &format!("{down} >/dev/null"), 5);
    node.sh("rmdir layer").succeeds();
    nothing_is_left(&node, "the run that is counted");
    let (mut killed, mut wrong) = (0, Vec::new());
    for place in found {
        node.sh(&up).succeeds();
        let run = node.sh(&format!("{} {down} >/dev/null", place.kill()));
        killed += usize::from(run.status == 137);
        let clean = node.sh(&format!("{down} >/dev/null && rmdir layer"));
        let left = node.before().difference(&node.world());
        if clean.status != 0 || left.is_some() {
            wrong.push(format!(
                "{} {}: {clean}{}",
                place.call,
                place.nth,
                left.unwrap_or_default()
            ));
            break;
        }
    }
    none_of(down, &wrong);
    assert!(killed > 30, "only {killed} runs were killed");
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
            let Place { call, nth, .. } = &place;
            node.sh(&format!(
                "{before} | {} {tool} | {after} >/dev/null",
                place.kill()
            ));
            // The same wishes: the kill may have come when all was done.
            let wire = "netwire up --subnet 10.244.0.0/24";
            let same = UP.replace(wire, if tool.starts_with(wire) { tool } else { wire });
            let up = node.sh(&format!("set -o pipefail; {same}"));
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

/// Kills one `down` at each of its calls; the same again, and the others', finish it.
fn a_killed_down_is_finished_by_the_next(up: &str, down: &str) {
    Sweep {
        before: &format!("{up}; {SMALL_BOX} >box.json; rm foo.json box.json"),
        command: down,
        pipe: ("", ""),
        at_most: 5,
        at_least: 10,
    }
    .leaves_nothing(&Node::new(), |_, _| None);
}

#[test]
fn a_killed_nsrun_down_is_finished_by_the_next() {
    a_killed_down_is_finished_by_the_next(UP, "nsrun down --id foo");
}

#[test]
fn a_killed_netwire_down_is_finished_by_the_next() {
    a_killed_down_is_finished_by_the_next(UP, "netwire down --id foo");
}

#[test]
fn a_killed_netwire_down_of_published_ports_is_finished_by_the_next() {
    let up = UP.replace(
        "/24",
        "/24 --subnet fd00:244::/64 --nat --publish 8080:80 --accept-forward --rate 10mbit",
    );
    a_killed_down_is_finished_by_the_next(&up, "netwire down --id foo");
}

#[test]
fn a_killed_cgset_down_is_finished_by_the_next() {
    // of a pod whose process is still there: on the way the kill
    a_killed_down_is_finished_by_the_next(UP, "cgset down --kill --id foo");
}

#[test]
fn a_killed_mkbox_down_is_finished_by_the_next() {
    a_killed_down_is_finished_by_the_next(UP, "mkbox down --id box");
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

/// Every way of pinning is in it: in /run/netns, beside the index, and what has to be pinned anew.
const PINNED: &str = "nsrun up --id foo --net --mount --pid --uts --pin";

/// Takes the process of a pinned pod away.
const UNHOLD: &str =
    "pid=$(jq .nsrun.pid foo.json); kill -KILL $pid; while kill -0 $pid 2>&-; do :; done";

#[test]
fn a_pinned_up_killed_anywhere_leaves_nothing() {
    Sweep {
        before: "",
        command: PINNED,
        pipe: ("", ""),
        at_most: 8,
        at_least: 20,
    }
    .leaves_nothing(&Node::new(), |_, _| None);
}

#[test]
fn a_killed_restart_is_finished_by_the_next_or_taken_down() {
    let node = Node::new();
    let again = "nsrun up <foo.json";
    // half of them are gone on with, half are given up
    let goes_on = |Place { call, nth, .. }: &Place, killed: usize| {
        if !killed.is_multiple_of(2) {
            return None;
        }
        let next = node.sh(&format!(
            "{again} >/dev/null && nsrun exec -P foo.json -- readlink /proc/self/ns/net"
        ));
        let net = node.sh("echo net:[$(jq .nsrun.namespaces.net foo.json)]");
        let is_same = next.status == 0 && next.stdout == net.stdout;
        (!is_same).then(|| format!("{call} {nth}: {next}"))
    };
    Sweep {
        before: &format!("{PINNED} >foo.json; {UNHOLD}"),
        command: again,
        pipe: ("", ""),
        at_most: 5,
        at_least: 20,
    }
    .leaves_nothing(&node, goes_on);
}

#[test]
fn a_killed_down_of_a_pinned_pod_is_finished_by_the_next() {
    Sweep {
        before: &format!("{PINNED} >/dev/null"),
        command: "nsrun down --id foo",
        pipe: ("", ""),
        at_most: 8,
        at_least: 10,
    }
    .leaves_nothing(&Node::new(), |_, _| None);
}
