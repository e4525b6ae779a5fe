//! What `netwire up` cannot do: one line that says why, and nothing is left.

use tests::Node;

/// `netwire up` for foo with these options fails with this line, and the node stays as it is.
fn refused(node: &Node, options: &str, status: i32, line: &str) {
    let before = node.world().without_last_addresses();
    let up = node.sh(&format!("netwire up <foo.json {options} >refused.json"));
    assert_eq!(
        up.ends(status).stderr,
        format!("netwire: {line}\n"),
        "{options}"
    );
    node.sh(
        "jq -e '.failed.tool == \"netwire\" and .netwire == null' refused.json; rm refused.json",
    )
    .succeeds();
    assert_eq!(
        before.difference(&node.world().without_last_addresses()),
        None,
        "{options}"
    );
}

#[test]
fn each_bad_wish_is_one_line_and_leaves_nothing() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >foo.json; nsrun up --id bar --net | netwire up --subnet 10.9.0.0/24 >bar.json")
        .succeeds();
    node.sh("ip link add lan0 type veth peer name lan1; ip address add 192.168.7.1/24 dev lan0; ip link set lan0 up; ip link set lan1 up; while ip link show lan0 | grep -q NO-CARRIER; do :; done; nsrun exec -P foo.json -- ip link add taken type bridge")
        .succeeds();
    node.sh("ip link add $(netwire up -P foo.json --ifname other --subnet 10.1.0.0/24 --dry-run | sed -n 's/.*RTM_NEWLINK(\\(veth[^ ]*\\).*/\\1/p') type bridge")
        .succeeds();
    for (options, status, line) in [
        (
            "--subnet 10.9.0.0/16",
            1,
            "10.9.0.0/16 overlaps 10.9.0.0/24 (1 lease in /var/lib/cni/networks/chroot0: bar)",
        ),
        (
            "--subnet 10.9.0.128/25",
            1,
            "10.9.0.128/25 overlaps 10.9.0.0/24 (1 lease in /var/lib/cni/networks/chroot0: bar)",
        ),
        (
            "--subnet 10.9.0.0/24 --range 10.9.0.2-10.9.0.2",
            1,
            "10.9.0.0/24: no address left (1 lease in /var/lib/cni/networks/chroot0: bar)",
        ),
        (
            "--subnet 10.9.0.0/24 --ip 10.9.0.2",
            1,
            "10.9.0.2 is taken, by bar (in /var/lib/cni/networks/chroot0)",
        ),
        (
            "--subnet 192.168.7.0/24",
            1,
            "192.168.7.0/24 is in use: the host has 192.168.7.0/24 on lan0 (try another --subnet)",
        ),
        (
            "--subnet 192.168.0.0/16 --ip 192.168.7.1",
            1,
            "192.168.7.1 is in use: the host has 192.168.7.1/32 on lan0 (try another --subnet)",
        ),
        (
            "--bridge br0 --subnet 192.168.7.0/24 --range 192.168.7.8-192.168.7.9",
            1,
            "192.168.7.0/24 is in use: the host has 192.168.7.0/24 on lan0 (try another --subnet)",
        ),
        (
            "--subnet 10.1.0.0/24 --ifname taken",
            1,
            "taken exists already in $PATH",
        ),
        (
            "--subnet 10.1.0.0/24 --ifname other",
            1,
            "$HOST exists already, not one of ours (ip link del $HOST)",
        ),
        (
            "--subnet 10.1.0.0/24 --mtu 67",
            2,
            "invalid value '67' for '--mtu <BYTES>': 67 is not in 68..=65535 (see netwire up --help)",
        ),
        (
            "--subnet fd00:1::/64 --mtu 1279",
            2,
            "--mtu 1279: IPv6 needs 1280 at least",
        ),
        (
            "--subnet 10.1.0.0/24 --gateway 10.1.0.255",
            2,
            "--gateway: 10.1.0.255 is the broadcast address of 10.1.0.0/24",
        ),
        (
            "--subnet 10.1.0.0/24 --gateway fd00::1",
            2,
            "--gateway fd00::1: no --subnet is of its family",
        ),
        (
            "--subnet 10.1.0.0/24 --ip 10.1.0.1",
            2,
            "--ip: 10.1.0.1 is the gateway of 10.1.0.0/24",
        ),
        (
            "--netns 999999 --subnet 10.1.0.0/24",
            1,
            "--netns 999999: no such process",
        ),
        (
            "--netns /run/netns/nobody --subnet 10.1.0.0/24",
            1,
            "open(/run/netns/nobody): No such file or directory (is the pod down?)",
        ),
        (
            "--bridge br0 --vlan 4095 --subnet 10.1.0.0/24",
            2,
            "invalid value '4095' for '--vlan <ID>': 4095 is not in 1..=4094 (see netwire up --help)",
        ),
    ] {
        let path = node
            .sh("jq -r '.linux.namespaces[0].path' foo.json")
            .succeeds()
            .stdout;
        let host = node
            .sh("ip -br link show type bridge | sed -n 's/^\\(veth[^ ]*\\).*/\\1/p'")
            .succeeds()
            .stdout;
        let line = line
            .replace("$PATH", path.trim())
            .replace("$HOST", host.trim());
        refused(&node, options, status, &line);
    }
    node.sh("ip link del lan0; ip link del $(ip -br link show type bridge | cut -d' ' -f1); nsrun down <foo.json >/dev/null; nsrun down <bar.json | netwire down >/dev/null; rm *.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_host_without_ipv6_says_so() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >foo.json").succeeds();
    let before = node.world();
    let up = node.sh("unshare -m sh -c 'mount -t tmpfs none /proc/sys/net && netwire up <foo.json --subnet fd00:1::/64 >/dev/null'");
    assert_eq!(
        up.ends(1).stderr,
        "netwire: this kernel has no IPv6 (--subnet of IPv4 only)\n"
    );
    node.assert_same(&before, "no IPv6");
    node.sh("nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_wider_route_of_somebody_else_is_in_nobodys_way() {
    let node = Node::new();
    node.sh("ip link add lan0 type veth peer name lan1; ip address add 10.200.0.1/8 dev lan0; ip link set lan0 up; ip link set lan1 up")
        .succeeds();
    node.sh("nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 >foo.json; nsrun exec -P foo.json -- ping -q -c 1 -W 5 10.244.0.1")
        .succeeds();
    node.sh("nsrun down <foo.json | netwire down >/dev/null; rm foo.json; ip link del lan0")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_bridge_that_nobody_came_for_is_freed() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net | netwire up --bridge br0 --subnet 10.244.0.0/24 >foo.json; nsrun down <foo.json >/dev/null; rm -r /run/chroot0/foo; while ip link show master br0 | grep -q veth; do :; done")
        .succeeds();
    node.sh("netwire gc")
        .prints("10.244.0.2 of foo eth0\nbridge br0\nnf_tables of foo eth0");
    node.sh("rm foo.json; rmdir /run/chroot0").succeeds();
    node.becomes_as_it_was();
}

#[test]
fn the_claim_of_a_subnet_whose_network_is_gone_is_freed() {
    let node = Node::new();
    node.sh("mkdir -p /run/chroot0/.subnets; ln -s /var/lib/cni/networks/gone /run/chroot0/.subnets/10.9.0.0-24")
        .succeeds();
    node.sh("netwire gc --dry-run").prints("subnet 10.9.0.0/24");
    node.sh("netwire gc").prints("subnet 10.9.0.0/24");
    node.sh("netwire gc").prints("");
    node.sh("rmdir /run/chroot0").succeeds();
    node.becomes_as_it_was();
}
