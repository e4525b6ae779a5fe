//! The tools for an ordinary user: what the kernel lets him, without any set-up by root but /etc/subuid.

use tests::{Node, Output};

/// `nobody` has 65536 subordinate ids and a run directory; the machine's own /etc is not changed.
const ACCOUNT: &str = "
    echo nobody:200000:65536 >/tmp/subids
    mount --bind /tmp/subids /etc/subuid && mount --bind /tmp/subids /etc/subgid
    install -d -o nobody /tmp/home /tmp/home/run";

const NO_ACCOUNT: &str = "
    umount /etc/subuid /etc/subgid && rm -r /tmp/subids /tmp/home";

/// A script run by `nobody`.
fn nobody(node: &Node, script: &str) -> Output {
    node.sh_with(
        "cd /tmp/home; export HOME=/tmp/home XDG_RUNTIME_DIR=/tmp/home/run
         exec setpriv --reuid nobody --regid nogroup --clear-groups bash -s",
        script,
    )
}

#[test]
fn a_pod_without_any_right() {
    let node = Node::new();
    node.sh(ACCOUNT).succeeds();
    let before = node.world();
    nobody(
        &node,
        "set -e
         nsrun up --id foo -r --net --ipc --uts --pid >foo.json
         nsrun exec -P foo.json -- sh -c 'id -u; hostname; cat /proc/net/dev | wc -l; ip link set lo up && echo mine'
         nsrun up <foo.json | cmp - foo.json && echo same
         nsrun show --json <foo.json | jq -c '[.id, .up, (.processes | length)]'
         jq -c .linux.uidMappings foo.json
         ls run/chroot0
         nsrun down <foo.json >down.json
         jq -c '[.linux.namespaces[].path]' down.json
         rm foo.json down.json",
    )
    .succeeds()
    .prints(
        "0\nfoo\n3\nmine\nsame\n[\"foo\",true,1]\n[{\"containerID\":0,\"hostID\":65534,\"size\":1}]\nfoo\n[null,null,null,null,null]",
    );
    node.assert_same(&before, "a rootless pod left something");
    node.sh(NO_ACCOUNT).succeeds();
    node.assert_as_it_was();
}

#[test]
fn ranges_by_newuidmap_for_a_user_and_directly_for_root() {
    let node = Node::new();
    if !node.has("newuidmap") {
        return;
    }
    node.sh(ACCOUNT).succeeds();
    let shown = "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; cat /proc/self/setgroups; id -u; id -G";
    let run = nobody(
        &node,
        &format!("nsrun exec -r --map-auto -- sh -c \"{shown}\""),
    );
    run.succeeds()
        .prints(" 0 65534 1\n 1 200000 65536\n 0 65534 1\n 1 200000 65536\nallow\n0\n0");
    // Whoever is not in the map becomes root in it; ids above 2^31 are ids.
    let run = node.sh(&format!(
        "nsrun exec --map-users 0:3000000000:10 --map-groups 0:200000:5 --map-groups 5:4294967290:5 -- sh -c \"{shown}\""
    ));
    run.succeeds()
        .prints(" 0 3000000000 10\n 0 200000 5\n 5 4294967290 5\nallow\n0\n0");
    // The helpers know whose ids they are.
    let run = nobody(&node, "nsrun exec --map-users 0:300000:5 -- true").ends(125);
    assert!(
        run.stderr.starts_with("nsrun: newuidmap(") && run.stderr.contains("not allowed"),
        "{run}"
    );
    let run = nobody(&node, "PATH=/mnt/tools nsrun exec --map-auto -- /bin/true");
    let run = run.ends(125).says_one_line("nsrun");
    assert!(run.stderr.contains("the package uidmap has it"), "{run}");
    node.sh(NO_ACCOUNT).succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_pod_of_subordinate_ids_and_a_record_that_says_so() {
    let node = Node::new();
    if !node.has("newuidmap") {
        return;
    }
    node.sh(ACCOUNT).succeeds();
    nobody(
        &node,
        "set -e
         nsrun up --id foo -r --map-auto --net --uts >foo.json
         nsrun exec -P foo.json -S 7 -G 8 -- id
         ! nsrun up --id foo -r --net --uts >/dev/null 2>differs; cat differs
         nsrun down <foo.json >spec.json
         # what the record says is made again, without an option
         nsrun up <spec.json >foo.json
         nsrun exec -P foo.json -- sh -c 'tr -s \" \" </proc/self/uid_map'
         nsrun down <foo.json >/dev/null
         rm *.json differs",
    )
    .succeeds()
    .prints(
        "uid=7(lp) gid=8(mail) groups=8(mail)\n\
         nsrun: foo is up with other users and groups mapped (nsrun down --id foo first)\n \
         0 65534 1\n 1 200000 65536",
    );
    node.sh(NO_ACCOUNT).succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_box_without_any_right() {
    let node = Node::new();
    node.sh(ACCOUNT).succeeds();
    nobody(
        &node,
        "set -e
         mkbox up --copy ls,id,cat --proc box >app.json
         nsrun exec -r --pid -- mkbox exec -P app.json -- sh -c : 2>missing || echo $?
         nsrun exec -r --pid -- mkbox exec -P app.json -- ls
         nsrun exec -r --pid -- mkbox exec -P app.json -- cat /proc/1/comm
         mkbox down <app.json >/dev/null
         rm app.json missing",
    )
    .succeeds()
    .prints("127\nbin\nlib\nlib64\nproc\ncat");
    node.sh(NO_ACCOUNT).succeeds();
    node.assert_as_it_was();
}

#[test]
fn the_whole_pipe_in_a_user_namespace() {
    let node = Node::new();
    node.sh(ACCOUNT).succeeds();
    // He is root there, and the other end of the veth is there as well.
    nobody(
        &node,
        "nsrun exec -r -m -n -p --mount-proc -- sh -ec '
             mkbox up --copy busybox --proc box >app.json
             nsrun up --id foo --net --ipc --uts | netwire up --subnet 10.244.7.0/24 >foo.json
             nsrun exec -P foo.json --pid -- mkbox exec -P app.json -- busybox ip -4 -o addr show eth0 | tr -s \" \" | cut -d\" \" -f 2-4
             ping -q -c 1 -W 2 $(jq -r .netwire.ips[0].address foo.json | cut -d/ -f1) | grep -o \"1 received\"
             nsrun down <foo.json | netwire down >/dev/null
             mkbox down <app.json >/dev/null
             rm app.json foo.json'
         find run",
    )
    .succeeds()
    .prints("eth0 inet 10.244.7.2/24\n1 received\nrun");
    node.sh(NO_ACCOUNT).succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_group_that_was_delegated() {
    let node = Node::new();
    node.sh(ACCOUNT).succeeds();
    if node.sh("test -d /sys/fs/cgroup/memory").status != 0 {
        return;
    }
    // As a container has it: what is mounted is the group that was given away.
    node.sh("set -e
         for dir in $(findmnt -rn -t cgroup -o TARGET); do
             mkdir $dir/of-nobody
             cat $dir/cpuset.cpus >$dir/of-nobody/cpuset.cpus 2>/dev/null || true
             cat $dir/cpuset.mems >$dir/of-nobody/cpuset.mems 2>/dev/null || true
             chown -R nobody $dir/of-nobody
             mount --bind $dir/of-nobody $dir
         done")
        .succeeds();
    nobody(
        &node,
        "set -e
         cgset up --id foo memory.max=64Mi pids.max=20 | nsrun up -r --net --uts >foo.json
         cat /sys/fs/cgroup/memory/pod-foo/memory.limit_in_bytes
         nsrun exec -P foo.json -- cat /proc/self/cgroup | grep -E ':(memory|pids):' | sed 's,.*/of-nobody,,' | sort
         nsrun down <foo.json | cgset down >/dev/null
         rm foo.json; find run; ls -d /sys/fs/cgroup/memory/pod-foo || true",
    )
    .prints("67108864\n/pod-foo/exec\n/pod-foo/exec\nrun");
    node.sh(
        "set -e
         for dir in $(findmnt -rn -t cgroup -o TARGET | sort -u); do umount $dir; rmdir $dir/of-nobody; done",
    )
    .succeeds();
    node.sh(NO_ACCOUNT).succeeds();
    node.assert_as_it_was();
}
