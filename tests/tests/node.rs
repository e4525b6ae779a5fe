//! The nodes themselves: what all other stories rely on.

use std::fs;

use tests::Node;

#[test]
fn a_new_node_is_as_it_was_and_empty() {
    let node = Node::new();
    node.assert_as_it_was();
    let before = node.before();
    for kind in ["process", "nft"] {
        assert_eq!(before.of(kind).collect::<Vec<_>>(), [""; 0], "{kind}");
    }
    assert_eq!(before.of("link").count(), 1);
    assert_eq!(before.of("hostname").collect::<Vec<_>>(), ["node"]);
}

#[test]
fn whatever_is_left_is_seen() {
    let node = Node::new();
    for (kind, leave, clean) in [
        (
            "process",
            "setsid sleep 100 >/dev/null 2>&1 & echo $! >/mnt/pid",
            "kill $(cat /mnt/pid)",
        ),
        ("mount", "mount -t tmpfs none /media", "umount /media"),
        (
            "mount",
            "unshare -m --propagation unchanged mount -t tmpfs none /media",
            "umount /media",
        ),
        ("mount", "mount --bind /run /run", "umount /run"),
        (
            "link",
            "ip link add veth7 type veth peer name veth8",
            "ip link del veth7",
        ),
        (
            "address",
            "ip address add 10.9.9.9/32 dev lo",
            "ip address del 10.9.9.9/32 dev lo",
        ),
        (
            "route",
            "ip route add 10.8.8.8 dev lo scope host",
            "ip route del 10.8.8.8 dev lo",
        ),
        (
            "rule",
            "ip rule add from 10.7.7.7 table 7",
            "ip rule del from 10.7.7.7",
        ),
        (
            "neighbour",
            "ip link add veth7 type veth peer name veth8; ip neighbour add 10.6.6.6 lladdr 02:00:00:00:00:06 dev veth7",
            "ip link del veth7",
        ),
        (
            "neighbour",
            "ip neighbour add proxy fd00::6 dev lo",
            "ip neighbour del proxy fd00::6 dev lo",
        ),
        (
            "nft",
            "nft add table inet left",
            "nft delete table inet left",
        ),
        (
            "tc",
            "tc qdisc add dev lo ingress",
            "tc qdisc del dev lo ingress",
        ),
        (
            "tc: class of lo",
            "tc qdisc add dev lo root tbf rate 1mbit burst 10k latency 1ms",
            "tc qdisc del dev lo root",
        ),
        (
            "tc: filter of lo",
            "tc qdisc add dev lo ingress; tc filter add dev lo ingress protocol ip u32 match u32 0 0 action mirred egress redirect dev lo",
            "tc qdisc del dev lo ingress",
        ),
        (
            "sysctl",
            "echo 1 >/proc/sys/net/ipv4/ip_forward",
            "echo 0 >/proc/sys/net/ipv4/ip_forward",
        ),
        ("hostname", "hostname other", "hostname node"),
        (
            "group",
            "for group in /sys/fs/cgroup/*/; do mkdir $group/left; done",
            "rmdir /sys/fs/cgroup/*/left",
        ),
        (
            "namespace",
            "unshare -n sleep 100 >/dev/null 2>&1 & echo $! >/mnt/pid; until [ \"$(readlink /proc/$!/ns/net)\" != \"$(readlink /proc/self/ns/net)\" ]; do :; done",
            "kill $(cat /mnt/pid)",
        ),
        ("file", "mkdir /run/chroot0", "rmdir /run/chroot0"),
        (
            "file",
            "echo 10.244.0.2 >/var/lib/cni/lease",
            "rm /var/lib/cni/lease",
        ),
        (
            "file",
            "touch /home/namespace/box",
            "rm /home/namespace/box",
        ),
        ("file", "touch /dev/shm/x", "rm /dev/shm/x"),
    ] {
        node.sh(leave).succeeds();
        let difference = node.before().difference(&node.world());
        let difference = difference.unwrap_or_else(|| panic!("not seen: {leave}"));
        assert!(
            difference.contains(&format!("+ {kind}: ")),
            "{leave}:\n{difference}"
        );
        node.sh(clean).succeeds();
        node.becomes_as_it_was();
    }
}

#[test]
fn the_machine_is_out_of_reach() {
    let node = Node::new();
    node.sh("touch /etc/chroot0-was-here")
        .ends(1)
        .says("Read-only file system");
    node.sh("touch /usr/bin/chroot0-was-here")
        .ends(1)
        .says("Read-only file system");
    node.sh("rm /mnt/tools/pause")
        .ends(1)
        .says("Device or resource busy");
    node.sh("echo 1 >/mnt/tools/pause")
        .ends(1)
        .says("Read-only file system");
    node.sh("ip -o route; ip -6 -o route show default")
        .succeeds()
        .prints("");
    node.sh("ls /dev").succeeds().prints(
        "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero",
    );
    let groups = node.sh("cat /proc/self/cgroup").succeeds();
    let own = groups
        .stdout
        .lines()
        .filter(|line| !line.starts_with("0::"));
    assert!(
        own.into_iter()
            .all(|line| line.ends_with(":/") || line.ends_with(":/init")),
        "{groups}"
    );
}

#[test]
fn everything_goes_with_the_node() {
    let node = Node::new();
    node.sh(
        "mkdir -p /sys/fs/cgroup/{pids,freezer}/a/b 2>/dev/null || mkdir -p /sys/fs/cgroup/a/b",
    )
    .succeeds();
    // even what is frozen
    node.sh("if [ -d /sys/fs/cgroup/freezer ]; then
               sh -c 'echo 0 >/sys/fs/cgroup/freezer/a/b/tasks; exec sleep 1000' >/dev/null 2>&1 &
               until grep -q . /sys/fs/cgroup/freezer/a/b/tasks; do :; done
               echo FROZEN >/sys/fs/cgroup/freezer/a/freezer.state
             fi; sleep 1000 >/dev/null 2>&1 &")
        .succeeds();
    let (init, groups) = (node.init(), node.groups());
    assert!(!groups.is_empty() && groups.iter().all(|group| group.is_dir()));
    assert!(fs::exists(format!("/proc/{init}")).unwrap());
    drop(node);
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
    assert!(!fs::exists(format!("/proc/{init}")).unwrap());
}

#[test]
fn status_output_and_input_pass_through() {
    let node = Node::new();
    node.sh_with("cat; echo e >&2; exit 7", "in\n")
        .ends(7)
        .prints("in")
        .says("e");
    node.sh("kill -KILL $$").ends(137);
    node.sh("pwd; echo $PATH")
        .succeeds()
        .says("/home/namespace")
        .says("/mnt/tools:");
}
