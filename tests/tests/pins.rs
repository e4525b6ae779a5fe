//! Namespaces that are pinned to files outlive the process that holds them, and go with the pod.

use tests::Node;

/// Limits, a pinned pod, a network.
const UP: &str = "cgset up --id foo memory.max=512Mi | nsrun up --net --ipc --uts --pin | netwire up --subnet 10.244.0.0/24 >foo.json";

/// Takes the process that holds foo away, as the kernel does it for want of memory, and waits until it is gone.
const KILL: &str =
    "pid=$(jq .nsrun.pid foo.json); kill -KILL $pid; while kill -0 $pid 2>&-; do :; done";

/// All of it by name.
const DOWN: &str = "nsrun down --id foo --grace 0.1 >/dev/null && netwire down --id foo >/dev/null && cgset down --id foo >/dev/null && rm -f *.json";

#[test]
fn ip_netns_finds_a_pinned_network_and_down_takes_all_pins_away() {
    let node = Node::new();
    node.sh(UP).succeeds();
    node.sh("ip netns list").succeeds().says("foo");
    node.sh("ip netns exec foo ip -br -4 address show eth0")
        .succeeds()
        .says("10.244.0.2/24");
    // The record names the pins, and they are what it says they are.
    node.sh("jq -r '.linux.namespaces[] | .type + \" \" + .path' foo.json")
        .prints("network /run/netns/foo\nuts /run/chroot0/foo/ns/uts\nipc /run/chroot0/foo/ns/ipc");
    node.sh(
        r#"jq -r '.nsrun | .pid as $pid | .pins | to_entries[] | "\(.key) \(.value) \($pid)"' foo.json |
        while read kind path pid; do [ $(stat -Lc %i $path) = $(stat -Lc %i /proc/$pid/ns/$kind) ] && echo $kind; done"#,
    )
    .prints("net\nuts\nipc");
    // Up again is the same, with the option and without.
    for up in ["nsrun up <foo.json", "nsrun up --pin <foo.json"] {
        node.sh(&format!("{up} | cmp - foo.json")).succeeds();
    }
    node.sh("nsrun down <foo.json >down.json; netwire down <down.json | cgset down >/dev/null")
        .succeeds();
    node.sh("jq -c '[.linux.namespaces, .nsrun]' down.json")
        .prints(r#"[[{"type":"network"},{"type":"uts"},{"type":"ipc"}],null]"#);
    node.sh("rm foo.json down.json").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_killed_pause_takes_neither_the_network_nor_its_users_along() {
    let node = Node::new();
    // The server is in the pod; who asks is in front of it.
    let run = node
        .sh(&format!(
            "{UP}
             coproc server {{ exec nsrun exec -P foo.json -- /mnt/node serve 80 'I am foo'; }}
             read -r listening <&${{server[0]}}
             before=$(ip netns exec foo ip -o address)
             {KILL}
             curl -s -m 10 http://10.244.0.2/; echo
             nsrun show --id foo | head -1 | cut -d' ' -f1-2
             nsrun up <foo.json >again.json || exit 9
             curl -s -m 10 http://10.244.0.2/; echo
             [ \"$before\" = \"$(ip netns exec foo ip -o address)\" ] && echo the same
             # the new process is in the pod's group, where the old one was
             grep -c memory:/pod-foo/pause$ /proc/$(jq .nsrun.pid again.json)/cgroup
             # both records are good
             nsrun exec -P foo.json -- hostname; nsrun exec -P again.json -- hostname
             jq -c '[.nsrun.namespaces.net, .nsrun.namespaces.uts, .linux.namespaces]' foo.json again.json | uniq | wc -l
             jq .nsrun.pid foo.json again.json | uniq | wc -l
             netwire up --subnet 10.244.0.0/24 <again.json | cmp - again.json && echo no change
             kill $server_PID"
        ))
        .succeeds();
    assert_eq!(
        run.stdout.lines().collect::<Vec<_>>(),
        [
            "I am foo",
            "foo: down",
            "I am foo",
            "the same",
            "1",
            "foo",
            "foo",
            "1",
            "2",
            "no change"
        ],
        "{run}"
    );
    // The record from before is still good to take it down.
    node.sh("nsrun down <foo.json | netwire down | cgset down >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn by_name_alone_the_new_pause_is_in_its_group_too() {
    let node = Node::new();
    node.sh(UP).succeeds();
    node.sh(&format!("{KILL}; nsrun up --id foo --net --ipc --uts >again.json; grep -c memory:/pod-foo/pause$ /proc/$(jq .nsrun.pid again.json)/cgroup"))
        .succeeds()
        .prints("1");
    // Options that ask for something else are no restart.
    node.sh("cp again.json foo.json").succeeds();
    node.sh(&format!("{KILL}; nsrun up --id foo --net --ipc >/dev/null"))
        .ends(1)
        .says_one_line("nsrun")
        .says("with new net,uts,ipc, not with new net,ipc");
    node.sh(DOWN).succeeds();
    node.assert_as_it_was();
}

#[test]
fn all_eight_are_pinned_and_only_the_pid_namespace_ends_with_its_process() {
    let node = Node::new();
    for user in ["", "--user --map-root-user"] {
        node.sh(&format!("nsrun up --id foo --net --mount --pid --uts --ipc --cgroup --time {user} --pin --hostname inside --log log -- sh -c 'mount -t tmpfs kept /home && exec sleep 1000' >foo.json"))
            .succeeds();
        node.sh("until grep -q kept /proc/$(jq .nsrun.pid foo.json)/mountinfo; do :; done")
            .succeeds();
        node.sh(KILL).succeeds();
        node.sh("nsrun exec -P foo.json -- true")
            .ends(125)
            .says_one_line("nsrun")
            .says("process 1 of the pid namespace has ended");
        node.sh("nsrun exec -P foo.json --pid=host -- hostname")
            .succeeds()
            .prints("inside");
        node.sh("nsrun up --log log <foo.json -- sh -c 'exec sleep 1000' >again.json")
            .ends(1)
            .says("with command \"sh -c mount -t tmpfs kept /home && exec sleep 1000\"");
        node.sh("nsrun up --log log <foo.json -- sh -c 'mount -t tmpfs kept /home && exec sleep 1000' >again.json")
            .succeeds();
        // PID 1 of a new pid namespace; in the mount namespace that was there.
        node.sh(
            "until [ $(grep -c kept /proc/$(jq .nsrun.pid again.json)/mountinfo) = 2 ]; do :; done",
        )
        .succeeds();
        node.sh("jq -s -c '.[0].nsrun.namespaces as $a | .[1].nsrun.namespaces as $b | [$a | keys[] | select($a[.] != $b[.])]' foo.json again.json")
            .prints("[\"pid\"]");
        node.sh("nsrun exec -P foo.json -- readlink /proc/self/ns/pid | cmp - <(echo pid:[$(jq .nsrun.namespaces.pid again.json)])")
            .succeeds();
        node.sh("nsrun down <again.json >/dev/null; rm *.json log")
            .succeeds();
        node.assert_as_it_was();
    }
}

#[test]
fn a_name_of_somebody_else_is_neither_taken_nor_taken_away() {
    let node = Node::new();
    node.sh("ip netns add foo; ip netns exec foo ip link set lo up")
        .succeeds();
    let world = node.world();
    let run = node
        .sh("nsrun up --id foo --net --pin")
        .ends(1)
        .says_one_line("nsrun")
        .says("/run/netns/foo is there and not this pod's");
    assert_eq!(run.json()["failed"]["tool"], "nsrun");
    node.assert_same(&world, "after a refused up");
    node.sh("nsrun down --id foo >/dev/null").succeeds();
    node.assert_same(&world, "after a down by name");

    // Ours is gone and theirs has its name by now. Before 6.18 there are no numbers to tell, only inodes.
    for ids in [".", "del(.nsrun.ids)"] {
        node.sh(&format!(
            "ip netns delete foo; nsrun up --id foo --net --pin | jq -c '{ids}' >foo.json && ip netns delete foo && ip netns add foo && cp foo.json /run/chroot0/foo/record.json"
        ))
        .succeeds();
        theirs_is_left_alone(&node);
    }
    node.sh("ip netns delete foo").succeeds();
}

/// Neither joined nor taken away by what thinks that it is its own.
#[track_caller]
fn theirs_is_left_alone(node: &Node) {
    for (tool, join, status) in [
        ("nsrun", "nsrun exec -P foo.json -- true", 125),
        (
            "netwire",
            "netwire up --subnet 10.9.9.0/24 <foo.json >/dev/null",
            1,
        ),
    ] {
        node.sh(join).ends(status).says_one_line(tool);
    }
    let theirs = node.sh("stat -Lc %i /run/netns/foo").succeeds().stdout;
    node.sh("netwire down --id foo >/dev/null; nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.sh("stat -Lc %i /run/netns/foo").prints(theirs.trim());
}

#[test]
fn a_record_alone_unpins_nothing() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net --pin >foo.json; nsrun down <foo.json >/dev/null; ip netns add foo")
        .succeeds();
    // Everything about it is true, but that it is a pod's.
    node.sh(r#"jq -c --argjson ino $(stat -Lc %i /run/netns/foo) '.nsrun.namespaces.net = $ino | del(.nsrun.ids)' foo.json >lie.json"#)
        .succeeds();
    let world = node.world();
    node.sh("nsrun down <lie.json >/dev/null")
        .ends(1)
        .says_one_line("nsrun")
        .says("/run/netns/foo is pinned, and /run/chroot0 knows nothing of it");
    // Nor does it make the network of somebody else a pod's.
    node.sh("nsrun up <lie.json >/dev/null")
        .ends(1)
        .says("is there and not this pod's");
    node.sh(r#"jq -c '.nsrun.pins.net = "/run/netns/../../home/namespace/lie.json"' lie.json | nsrun down >/dev/null"#)
        .succeeds();
    node.assert_same(&world, "a record that lies was believed");
}

#[test]
fn run_netns_goes_with_the_last_pod_and_stays_for_others() {
    let node = Node::new();
    // Whichever of two goes first, the last one takes it away.
    for (first, last) in [("one", "two"), ("two", "one")] {
        node.sh("for id in one two; do nsrun up --id $id --net --pin >/dev/null; done; ip netns | sort | xargs")
            .prints("one two");
        node.sh(&format!("nsrun down --id {first} >/dev/null"))
            .succeeds();
        node.sh(&format!("ip netns exec {last} true")).succeeds();
        node.sh(&format!("nsrun down --id {last} >/dev/null"))
            .succeeds();
        node.assert_as_it_was();
    }
    // What others put in meanwhile stays, and the directory is theirs then.
    node.sh("nsrun up --id one --net --pin >/dev/null; ip netns add theirs; nsrun down --id one >/dev/null; ip netns exec theirs true; ip netns")
        .succeeds()
        .prints("theirs");
    let world = node.world();
    assert!(
        world
            .of("mount")
            .any(|mount| mount.starts_with("\"/run/netns\""))
    );
    node.sh("[ ! -e /run/chroot0 ]").succeeds();
    node.sh("nsrun up --id one --net --pin >/dev/null; nsrun down --id one >/dev/null")
        .succeeds();
    node.assert_same(&world, "an ip netns that was there before");
}

#[test]
fn a_restart_that_fails_leaves_the_pod_to_the_next() {
    let node = Node::new();
    node.sh(&format!("{UP}; {KILL}")).succeeds();
    let world = node.world();
    for (fails, says) in [
        ("nsrun up <foo.json >/dev/full", "No space left"),
        (
            "nsrun up --log /no/such/log <foo.json >/dev/null",
            "open(/no/such/log)",
        ),
    ] {
        node.sh(fails).ends(1).says(says);
        node.assert_same(&world, fails);
    }
    node.sh("nsrun up <foo.json | nsrun exec -P /dev/stdin -- ip -br -4 address show eth0")
        .succeeds()
        .says("10.244.0.2/24");
    node.sh(DOWN).succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_pod_of_which_a_pin_is_missing_is_not_guessed() {
    let node = Node::new();
    node.sh(&format!("{UP}; {KILL}; umount /run/chroot0/foo/ns/uts"))
        .succeeds();
    node.sh("nsrun up <foo.json >/dev/null")
        .ends(1)
        .says_one_line("nsrun")
        .says("/run/chroot0/foo/ns/uts is not what was pinned (nsrun down --id foo)");
    node.sh(DOWN).succeeds();
    node.assert_as_it_was();
    // All of them: then nothing is left of it, and it is made anew.
    node.sh(&format!(
        "{UP}; {KILL}; umount /run/netns/foo /run/chroot0/foo/ns/*; nsrun up <foo.json >again.json"
    ))
    .succeeds();
    node.sh("ip netns exec foo true; jq -c '.nsrun.pins | keys' again.json")
        .succeeds()
        .prints(r#"["ipc","net","uts"]"#);
    node.sh(DOWN).succeeds();
    node.assert_as_it_was();
}

#[test]
fn pins_are_asked_for_with_rights_and_at_the_beginning() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >foo.json").succeeds();
    node.sh("nsrun up --pin <foo.json >/dev/null")
        .ends(1)
        .says_one_line("nsrun")
        .says("foo is up without pins, not with --pin");
    node.sh("nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.sh("nsrun up --id foo --net --pin --dry-run")
        .succeeds()
        .says("\nmount(/proc/PID/ns/net, /run/netns/foo, MS_BIND)\n");
    node.assert_as_it_was();
    node.sh("mkdir run; chown 65534 run; chmod 755 .; CHROOT0_RUN=$PWD/run setpriv --reuid 65534 --regid 65534 --clear-groups nsrun up --id foo --user --map-root-user --net --pin >/dev/null")
        .ends(1)
        .says_one_line("nsrun")
        .says("--pin: pins are mounts outside of the pod (needs CAP_SYS_ADMIN");
    node.sh("rmdir run").succeeds();
    node.assert_as_it_was();
    node.sh("nsrun up --id foo --net=/proc/$$/ns/net --pin >/dev/null")
        .ends(2)
        .says_one_line("nsrun")
        .says("--pin: only what is new can be pinned");
    node.assert_as_it_was();
}

#[test]
fn a_mount_namespace_is_pinned_wherever_ours_and_it_are_made() {
    let node = Node::new();
    // Linux 6.18 numbers namespaces per CPU and mounts only those with a higher number than the one it mounts in.
    let run = node
        .sh("all=$(taskset -pc $$ | sed 's/.*: //'); export all
             for cpu in $(seq 0 $(($(nproc) - 1))); do
                taskset -c $cpu nsrun exec --mount -- bash -c '
                    for other in $(seq 0 $(($(nproc --all) - 1))) $(seq 0 $(($(nproc --all) - 1))); do
                        taskset -c $other bash -c \"taskset -pc $all \\$\\$ >/dev/null; exec nsrun up --id foo --mount --pin\" >foo.json
                        taskset -pc $(jq .nsrun.pid foo.json) | sed \"s/.*: //\"
                        nsrun down --id foo >/dev/null
                    done'
             done | sort -u; rm foo.json")
        .succeeds();
    assert_eq!(run.stderr, "", "{run}");
    // Nor does the process that stays keep to the one CPU.
    let all = node.sh("taskset -pc $$ | sed 's/.*: //'").succeeds();
    assert_eq!(run.stdout, all.stdout, "{run}");
    node.assert_as_it_was();
}

#[test]
fn clocks_and_users_are_those_of_the_pinned_namespaces() {
    let node = Node::new();
    node.sh(&format!("nsrun up --id foo --uts --time --boottime 86400 --user --map-root-user --pin >foo.json; {KILL}"))
        .succeeds();
    let world = node.world();
    for (options, says) in [
        ("--boottime 5", "with other offsets of its clocks"),
        ("--map-users 0:1000:6", "with other users and groups mapped"),
    ] {
        node.sh(&format!("nsrun up {options} <foo.json >/dev/null"))
            .ends(1)
            .says_one_line("nsrun")
            .says(says);
        node.assert_same(&world, options);
    }
    node.sh("nsrun up <foo.json >again.json; nsrun exec -P again.json -- sh -c 'cat /proc/self/uid_map; grep boot /proc/self/timens_offsets' | xargs")
        .prints("0 0 1 boottime 86400 0");
    node.sh("nsrun down <again.json >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}
