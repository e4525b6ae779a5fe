//! The machine goes down without a word: after it another boot id, no process, no namespace, no group, no link and no rule, and of
//! the files those that lie on a disk, which `/run` may do as well.

use tests::Node;

/// Everything that a pod can leave on a disk.
const UP: &str = "set -o pipefail
    cgset up --id foo memory.max=512Mi | nsrun up --net --ipc --uts --pin |
        netwire up --bridge br0 --subnet 10.244.0.0/24 --subnet fd00:244::/64 --nat --publish 8080:80 --rate 10mbit --allow all >foo.json &&
    mkbox up -q --id box --copy ls --overlay /etc/skel --proc box >box.json &&
    netwire service up web --vip 10.96.0.1 --port 80 --to 10.244.0.2";

/// What the kernel forgets, and its new name for this boot.
const CRASH: &str = r#"pid=$(jq .nsrun.pid foo.json); kill -KILL $pid; while kill -0 $pid 2>/dev/null; do :; done
    grep -E ' - nsfs ' /proc/self/mountinfo | cut -d' ' -f5 | while read -r at; do umount "$at"; done
    ! mountpoint -q /run/netns || umount /run/netns
    for link in $(ip -o link | sed 's/^[0-9]*: //; s/[@:].*//' | grep -vx lo); do ip link delete $link 2>/dev/null; done
    nft flush ruleset 2>/dev/null
    find /sys/fs/cgroup -depth -type d -path '*/pod-foo*' -exec rmdir {} +
    echo 00000000-0000-4000-8000-000000000000 >/tmp/boot_id; mount --bind /tmp/boot_id /proc/sys/kernel/random/boot_id"#;

/// The test's own part of it is over.
const AFTER: &str = "umount /proc/sys/kernel/random/boot_id; rm -f /tmp/boot_id *.json";

/// Every tool's `down`, by record or by name.
const DOWNS: [&str; 2] = [
    "set -o pipefail; nsrun down <foo.json | netwire down | cgset down >/dev/null && mkbox down <box.json >/dev/null",
    "nsrun down --id foo >/dev/null && netwire down --id foo >/dev/null && cgset down --id foo >/dev/null && mkbox down --id box >/dev/null",
];

const SERVICES: &str =
    "netwire service down --all; netwire reapply >/dev/null; netwire gc >/dev/null";

#[test]
fn what_was_up_is_taken_down_after_it() {
    let node = Node::new();
    for down in DOWNS {
        node.sh(UP).succeeds();
        node.sh(CRASH).succeeds();
        node.sh(down).succeeds();
        node.sh(SERVICES).succeeds();
        node.sh(AFTER).succeeds();
        node.assert_same(node.before(), down);
    }
}

#[test]
fn what_was_up_is_made_again_after_it() {
    let node = Node::new();
    node.sh(UP).succeeds();
    node.sh(CRASH).succeeds();
    // The box is on the disk and stays what it was. The index has a network that is gone: that is told, and netwire's down
    // makes room for a new one.
    let again = UP.replace(
        "mkbox up -q --id box",
        "mkbox up -q --id box -P - <box.json",
    );
    let again = again.replace(
        "<box.json --copy ls --overlay /etc/skel --proc box >box.json",
        "<box.json --copy ls --overlay /etc/skel --proc >again.json",
    );
    node.sh(&again)
        .ends(1)
        .says("is gone (netwire down comes first)");
    node.sh(&format!("netwire down --id foo >/dev/null; {again}"))
        .succeeds();
    node.sh("nsrun exec -P foo.json -- ip -br -4 address show eth0")
        .succeeds()
        .says("10.244.0.2/24");
    node.sh("mkbox exec -P box.json -- ls /")
        .succeeds()
        .says("bin");
    node.sh("netwire service show").succeeds().says("up");
    node.sh(DOWNS[0]).succeeds();
    node.sh(SERVICES).succeeds();
    node.sh(AFTER).succeeds();
    node.assert_as_it_was();
}

#[test]
fn gc_frees_what_a_pod_had_that_nobody_takes_down() {
    let node = Node::new();
    node.sh(UP).succeeds();
    node.sh(CRASH).succeeds();
    node.sh("netwire gc >/dev/null").succeeds();
    // Its address is the next one's.
    node.sh("nsrun up --id next --net | netwire up --bridge br0 --subnet 10.244.0.0/24 --publish 8080:80 2>/dev/null | jq -r '.netwire.ips[0].address'")
        .succeeds()
        .prints("10.244.0.2/24");
    node.sh("nsrun down --id next >/dev/null && netwire down --id next >/dev/null")
        .succeeds();
    node.sh(DOWNS[1]).succeeds();
    node.sh(SERVICES).succeeds();
    node.sh(AFTER).succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_process_of_this_boot_is_nobody_of_an_earlier_ones() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >foo.json").succeeds();
    // The same pid and even the same start time, as a clock that begins anew can have it.
    node.sh("echo 00000000-0000-4000-8000-000000000000 >/tmp/boot_id; mount --bind /tmp/boot_id /proc/sys/kernel/random/boot_id")
        .succeeds();
    node.sh("nsrun exec -P foo.json -- true")
        .ends(125)
        .says_one_line("nsrun");
    node.sh("nsrun down <foo.json >/dev/null").succeeds();
    node.sh("kill -0 $(jq .nsrun.pid foo.json)").succeeds();
    node.sh("kill -KILL $(jq .nsrun.pid foo.json)").succeeds();
    node.sh(AFTER).succeeds();
    node.becomes_as_it_was();
}
