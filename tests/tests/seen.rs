//! What `netwire show` and `netwire check` say of a pod's network.

use tests::Node;

const UP: &str =
    "nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 --publish 8080:80 >foo.json";
const DOWN: &str = "nsrun down <foo.json | netwire down >/dev/null; rm -f foo.json";

#[test]
fn show_tells_both_ends_routes_and_ports() {
    let node = Node::new();
    node.sh(UP).succeeds();
    let seen = "netwire show --json <foo.json | jq -c '.attachments[0] | .host, .state, .hostMac, .inside.mac, .inside.mtu, .inside.addresses[0], .inside.routes[:3][], .portMappings[0].hostPort'";
    node.sh(seen).prints(
        r#""vethce5359d4"
"up"
"02:6e:f6:70:09:c0"
"02:5b:51:e6:68:eb"
1500
"10.244.0.2/24"
{"dst":"0.0.0.0/0","gw":"10.244.0.1"}
{"dst":"10.244.0.0/24","gw":"10.244.0.1","src":"10.244.0.2"}
{"dst":"10.244.0.1/32","src":"10.244.0.2"}
8080"#,
    );
    // the numbers are those by which the two ends know each other
    node.sh("netwire show --json <foo.json | jq -e --argjson host $(ip -j link show vethce5359d4 | jq -c .[0]) '.attachments[0] | .ifindex == $host.ifindex and .inside.ifindex == $host.link_index'")
        .succeeds();
    let people = node.sh("netwire show -v <foo.json").succeeds();
    for line in [
        "  route    default via 10.244.0.1\n",
        "  port     8080:80/tcp\n",
        "  rule     ports4 tcp . 8080 : 10.244.0.2 . 80\n",
        ", 02:5b:51:e6:68:eb, MTU 1500\n",
    ] {
        assert!(people.stdout.contains(line), "{people}");
    }
    // what the pod sent is what it sees itself
    node.sh("nsrun exec -P foo.json -- ping -q -c 3 -i 0.01 10.244.0.1 >&2; netwire show --json <foo.json | jq '.attachments[0] | .txPackets >= 3 and .txBytes >= 294 and .rxErrors == 0'")
        .prints("true");
    node.sh(DOWN).succeeds();
    node.becomes_as_it_was();
}

/// What `check` says after `change`, one line each.
fn drift(node: &Node, change: &str) -> String {
    node.sh(UP).succeeds();
    node.sh("netwire check -P foo.json | jq -c .")
        .prints(r#"{"tool":"netwire","id":"foo","ok":true,"drift":[]}"#);
    node.sh(change).succeeds();
    let check = node.sh("netwire check --id foo >drift.json").ends(1);
    assert_eq!(check.stderr, "");
    let said = node
        .sh("jq -r '.drift[] | \"\\(.ifname) \\(.what): \\(.found)\"' drift.json; rm drift.json")
        .succeeds();
    node.sh(DOWN).succeeds();
    node.becomes_as_it_was();
    said.stdout
}

#[test]
fn check_tells_what_is_not_as_the_record_says() {
    let node = Node::new();
    for (change, said) in [
        (
            "ip link set vethce5359d4 down",
            "eth0 link: vethce5359d4 is down\n",
        ),
        (
            "ip route del 10.244.0.2",
            "eth0 route: 10.244.0.2 is not routed to vethce5359d4\n",
        ),
        (
            "nsrun exec -P foo.json -- ip route del default",
            "eth0 route: eth0 has no default route via 10.244.0.1\n",
        ),
        (
            "ip link set vethce5359d4 mtu 1400",
            "eth0 link: vethce5359d4 has MTU 1400, not 1500\n",
        ),
        (
            "nsrun exec -P foo.json -- ip link set eth0 address 02:00:00:00:00:01",
            "eth0 link: eth0 has 02:00:00:00:00:01, not 02:5b:51:e6:68:eb\n",
        ),
        (
            "rm /var/lib/cni/networks/chroot0/10.244.0.2",
            "eth0 lease: there is no lease of 10.244.0.2\n",
        ),
        (
            "echo 0 >/proc/sys/net/ipv4/conf/vethce5359d4/forwarding",
            "eth0 forwarding: net.ipv4.conf.vethce5359d4.forwarding is 0\n",
        ),
        (
            "nft delete element inet chroot0 ports4 '{ tcp . 8080 }'",
            "eth0 firewall: ports4 tcp . 8080 : 10.244.0.2 . 80 is missing\n",
        ),
        (
            "nsrun down <foo.json >/dev/null",
            "eth0 namespace: the pod's network namespace is gone\n",
        ),
    ] {
        assert_eq!(drift(&node, change), said, "{change}");
    }
}

#[test]
fn check_of_a_bridge_sees_a_port_that_left() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net | netwire up --bridge br0 --subnet 10.244.0.0/24 >foo.json; netwire check -P foo.json")
        .succeeds();
    node.sh("ip link set vethce5359d4 nomaster; netwire check -P foo.json | jq -r .drift[].found")
        .prints("vethce5359d4 is no port of br0");
    node.sh(DOWN).succeeds();
    node.becomes_as_it_was();
}
