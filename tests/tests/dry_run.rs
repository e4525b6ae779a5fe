//! `--dry-run` of each verb that changes something: it says what would be done, and nothing is changed.

use tests::pod::{BOX, DOWN, UP};
use tests::{Node, Output};

/// Says something, and the node is afterwards as it was before.
#[track_caller]
fn changes_nothing(node: &Node, verb: &str) -> Output {
    let before = node.world();
    let files = "find /run/chroot0 /var/lib/cni /home -type f | sort | xargs -r sha256sum; nft list ruleset";
    let content = node.sh(files).stdout;
    let said = node.sh(verb).succeeds();
    assert_ne!(said.stdout, "", "{verb} says nothing");
    node.assert_same(&before, &format!("{verb} changed the node"));
    assert_eq!(node.sh(files).stdout, content, "{verb} changed a file");
    said
}

#[test]
fn a_pod_that_is_to_be_is_not_there_afterwards() {
    let node = Node::new();
    node.sh("mkdir lower").succeeds();
    for (verb, part) in [
        ("cgset up --id foo memory.max=64Mi --dry-run", "/pod-foo)"),
        ("nsrun up --id foo --net --pin --dry-run", "CLONE_NEWNET"),
        (
            "mkbox up --copy ls --proc --volume $PWD/made:/m box --dry-run",
            "mkdir(",
        ),
        (
            "mkbox up --overlay /home/namespace/lower --ephemeral --etc=hosts layered --dry-run",
            "mkdir(",
        ),
        ("nsrun exec --net --pid --dry-run -- true", "CLONE_NEWPID"),
        ("nsrun drop --user 7 --dry-run -- true", "7"),
        (
            "netwire service up web --vip 10.96.0.1 --port 80 --to 10.244.0.2 --dry-run 2>/dev/null",
            "NFT_MSG_NEWSETELEM",
        ),
    ] {
        changes_nothing(&node, verb).says(part);
    }
    node.sh("rmdir lower").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_pod_that_is_there_stays_as_it_is() {
    let node = Node::new();
    let up = UP.replace("--subnet", "--nat --publish 8080:80 --subnet");
    node.sh(&format!(
        "{up}; {BOX} 2>/dev/null; netwire up -P foo.json --ifname eth1 --bridge br9 --subnet 10.245.0.0/24 >foo2 && mv foo2 foo.json
         nsrun up --id sleeper --pin --net -- sleep 1000 >sleeper.json
         netwire service up web --vip 10.96.0.1 --port 80 --to 10.244.0.2 2>/dev/null; echo old >old.tar"
    ))
    .succeeds();
    for (verb, part) in [
        (
            "netwire up -P sleeper.json --subnet 10.246.0.0/24 --nat --dry-run",
            "RTM_NEWLINK",
        ),
        ("netwire down -P foo.json --dry-run", "RTM_DELLINK(veth"),
        (
            "netwire down --id foo --dry-run",
            "unlink(/var/lib/cni/networks/chroot0/10.244.0.2)",
        ),
        (
            "netwire down -P foo.json --ifname eth1 --dry-run",
            "RTM_DELLINK(br9)",
        ),
        (
            "netwire policy -P foo.json --deny 10.9.0.0/16 --dry-run",
            "NFT_MSG_NEWSETELEM",
        ),
        (
            "netwire service set web --to 10.244.0.3 --dry-run 2>/dev/null",
            "NFT_MSG",
        ),
        ("netwire service down web --dry-run 2>/dev/null", "NFT_MSG"),
        (
            "cgset exec -P foo.json app pids.max=9 --dry-run -- true",
            "pids.max",
        ),
        ("cgset freeze -P foo.json --dry-run", "FROZEN"),
        ("cgset thaw -P foo.json --dry-run", "THAWED"),
        ("cgset kill -P foo.json --dry-run", "SIGKILL"),
        ("cgset down -P foo.json --dry-run", "rmdir("),
        (
            "nsrun kill -P foo.json --dry-run KILL",
            "pidfd_send_signal(pidfd of ",
        ),
        (
            "nsrun kill --all -P sleeper.json --dry-run",
            "pidfd_send_signal(pidfd of ",
        ),
        ("nsrun down -P sleeper.json --dry-run", "SIGTERM"),
        ("nsrun exec -P foo.json --dry-run -- true", "setns("),
        ("mkbox exec -P box.json --dry-run -- ls", "pivot_root"),
        ("mkbox down -P box.json --dry-run", "rmdir("),
        (
            "mkbox pack -P box.json -o box.tar.gz --dry-run",
            "\nlink(box.tar.gz)",
        ),
        (
            "mkbox pack -P box.json -o old.tar --dry-run",
            "\nlink(.old.tar.pack)\nrename(.old.tar.pack, old.tar)",
        ),
        ("mkbox pack -P box.json -o out --dry-run", "mkdir(out)\n"),
        (
            "mkbox pack -P box.json -o - --format cpio --dry-run",
            "write(stdout, bin)\n",
        ),
        (
            "netwire forward -P foo.json 8080:80 192.0.2.7::53/udp --dry-run",
            "192.0.2.7:0 -> 53/udp\n",
        ),
        ("netwire forward -P sleeper.json 8080 --dry-run", "lo up"),
    ] {
        changes_nothing(&node, verb).says(part);
    }
    // Of what a crash left: nobody but gc and reapply would come for it.
    node.sh("nft flush ruleset").succeeds();
    changes_nothing(&node, "netwire reapply --dry-run").says("service web");
    node.sh("netwire reapply").succeeds().says("service web");
    node.sh(
        "nsrun down --id sleeper >/dev/null; netwire service down web; rm sleeper.json old.tar",
    )
    .succeeds();
    node.sh(&format!("{DOWN} >/dev/null; rm *.json")).succeeds();
    node.assert_as_it_was();
}

#[test]
fn what_a_crash_left_stays_too() {
    let node = Node::new();
    node.sh("nsrun up --id a --net | netwire up --subnet 10.244.0.0/24 >a.json; kill -KILL $(jq .nsrun.pid a.json); rm -r /run/chroot0/a; while ip -br link | grep ^veth; do :; done")
        .succeeds();
    changes_nothing(&node, "netwire gc --dry-run").says("10.244.0.2 of a eth0");
    node.sh("netwire gc; rm a.json; rmdir /run/chroot0")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn forward_says_the_lines_that_it_would_say() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >foo.json").succeeds();
    for (no_v6, ports, lines) in [
        (0, "8080:80 [::1]:9000:81 5353:53/udp", 6),
        (1, "8080:80 5353:53/udp", 3),
    ] {
        let said = node.sh(&format!(
            "echo {no_v6} >/proc/sys/net/ipv6/conf/all/disable_ipv6
             netwire forward -P foo.json {ports} --dry-run >plan
             rm -f out; netwire forward -P foo.json {ports} >out & until grep -qsx ready out; do kill -0 $! || exit; done; kill $!; wait $!
             grep -v ^pod: plan | diff - <(grep -v ready out) && cat out"
        ));
        let said = said.succeeds();
        assert_eq!(said.stdout.lines().count(), lines, "{said}");
    }
    node.sh("echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6; nsrun down <foo.json >/dev/null; rm foo.json plan out")
        .succeeds();
    node.becomes_as_it_was();
}
