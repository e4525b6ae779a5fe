//! Pods on a bridge: made with the first, gone with the last, and what an administrator's bridge keeps.

use tests::Node;
use tests::sweep::places;

/// Pods a, b ... on br0, in this order.
fn pods(node: &Node, names: &str, options: &str) {
    node.sh(&format!(
        "for pod in {names}; do nsrun up --id $pod --net | netwire up --bridge br0 --subnet 10.244.0.0/24 {options} >$pod.json || exit; done"
    ))
    .succeeds()
    .prints("");
}

fn down(node: &Node, names: &str) {
    node.sh(&format!(
        "for pod in {names}; do nsrun down <$pod.json | netwire down >/dev/null || exit; rm $pod.json; done"
    ))
    .succeeds();
}

fn ping(node: &Node, from: &str, to: &str) -> bool {
    let ping = format!("nsrun exec -P {from}.json -- ping -q -c 1 -W 1 {to}");
    node.sh(&ping).status == 0
}

#[test]
fn it_comes_with_the_first_pod_and_goes_with_the_last() {
    let node = Node::new();
    pods(&node, "a b", "--subnet fd00:244::/64");
    node.sh("ip -br -o address show br0 scope global | awk '{ print $3, $4 }'")
        .prints("10.244.0.1/24 fd00:244::1/64");
    node.sh("ip -d -j link show master br0 | jq -r '.[].linkinfo.info_slave_data | [.hairpin, .isolated] | @csv'")
        .prints("true,false\ntrue,false");
    for to in ["10.244.0.1", "10.244.0.3", "fd00:244::1", "fd00:244::3"] {
        assert!(ping(&node, "a", to), "{to}");
    }
    assert_eq!(node.sh("ping -q -c 1 -W 1 fd00:244::3").status, 0);
    node.sh("nsrun exec -P a.json -- ip route")
        .prints("default via 10.244.0.1 dev eth0 \n10.244.0.0/24 dev eth0 proto kernel scope link src 10.244.0.2");
    node.sh("jq -c '.netwire | [[.interfaces[].name], .ips[0].interface, .attachments[0].bridge]' a.json")
        .says(r#"["br0","veth"#)
        .says(r#","eth0"],2,"br0"]"#);
    node.sh("netwire up <a.json --bridge br0 --subnet 10.244.0.0/24 --subnet fd00:244::/64 | cmp - a.json")
        .succeeds();
    down(&node, "a");
    assert!(ping(&node, "b", "10.244.0.1"), "the bridge is still b's");
    down(&node, "b");
    node.assert_as_it_was();
}

#[test]
fn isolated_pods_reach_the_host_and_not_each_other() {
    let node = Node::new();
    pods(&node, "a b", "--isolated");
    pods(&node, "c", "");
    assert!(!ping(&node, "a", "10.244.0.3"));
    assert!(ping(&node, "a", "10.244.0.1"));
    assert!(ping(&node, "a", "10.244.0.4") && ping(&node, "c", "10.244.0.3"));
    down(&node, "a b c");
    node.assert_as_it_was();
}

#[test]
fn a_bridge_that_was_there_is_used_as_it_is_and_stays() {
    let node = Node::new();
    node.sh("ip link add br0 type bridge").succeeds();
    let up = "nsrun up --id a --net | netwire up --bridge br0 --subnet 10.244.0.0/24 --gateway 10.244.0.254 >a.json";
    let refused = node.sh(up).ends(1);
    assert_eq!(
        refused.stderr,
        "netwire: --bridge br0 is down (ip link set br0 up)\n"
    );
    node.sh("ip address add 10.244.0.254/24 dev br0; ip link set br0 up; ip -o address show br0 scope global >before; nsrun down --id a >/dev/null")
        .succeeds();
    node.sh(up).succeeds();
    node.sh("jq -r '.netwire.ips[0] | .address, .gateway' a.json")
        .prints("10.244.0.1/24\n10.244.0.254");
    assert!(ping(&node, "a", "10.244.0.254"));
    down(&node, "a");
    node.sh("ip -o address show br0 scope global | cmp - before && rm before && ip link del br0")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn what_cannot_be_the_bridge_is_named_and_nothing_is_left() {
    let node = Node::new();
    node.sh("ip link add dm0 type veth peer name dm1; ip link add br1 type bridge; ip link set br1 up; nsrun up --id a --net >a.json")
        .succeeds();
    let before = node.world();
    for (options, why) in [
        (
            "--bridge dm0",
            "--bridge dm0 is of the kind veth and no bridge",
        ),
        (
            "--bridge br1 --vlan 7",
            "--bridge br1 filters no VLANs (ip link set br1 type bridge vlan_filtering 1)",
        ),
    ] {
        let up = node.sh(&format!(
            "netwire up <a.json --subnet 10.244.0.0/24 {options} >/dev/null"
        ));
        assert_eq!(up.ends(1).stderr, format!("netwire: {why}\n"));
        node.assert_same(&before, options);
    }
    node.sh("netwire up <a.json --subnet 10.244.0.0/24 --isolated >/dev/null")
        .ends(2)
        .says("--bridge");
    node.sh("nsrun down <a.json >/dev/null; ip link del dm0; ip link del br1; rm a.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn who_had_the_address_before_is_forgotten() {
    let node = Node::new();
    pods(&node, "a", "");
    pods(&node, "b", "--ip 10.244.0.9");
    assert!(ping(&node, "a", "10.244.0.9"));
    assert_eq!(node.sh("ping -q -c 1 -W 1 10.244.0.9").status, 0);
    down(&node, "b");
    node.sh("ip neighbour show 10.244.0.9").prints("");
    node.sh("nsrun exec -P a.json -- ip neighbour show 10.244.0.9")
        .says("lladdr");
    // another with its address, and another hardware address: a knows without asking
    pods(&node, "c", "--ip 10.244.0.9");
    node.sh("nsrun exec -P a.json -- ip -j neighbour show 10.244.0.9 | jq -r '.[0].lladdr' >known; jq -r '.netwire.interfaces[2].mac' c.json | cmp - known")
        .succeeds();
    node.sh("rm known").succeeds();
    down(&node, "a c");
    node.assert_as_it_was();
}

#[test]
fn nat_and_published_ports_work_as_they_do_point_to_point() {
    let node = Node::new();
    pods(&node, "a", "--nat --publish 8080:80");
    pods(&node, "b", "");
    let serve = "timeout 20 nsrun exec -P a.json -- python3 -m http.server 80 >log 2>&1 & \
        while ! nsrun exec -P a.json -- python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 80))' 2>/dev/null; do :; done";
    let get = "curl -s -m 5 -o /dev/null -w '%{http_code} '";
    node.sh(&format!(
        "{serve}; {get} 10.244.0.1:8080; nsrun exec -P b.json -- {get} 10.244.0.1:8080; nsrun exec -P a.json -- {get} 10.244.0.1:8080; kill %1; wait; rm log"
    ))
    .prints("200 200 200");
    down(&node, "a b");
    node.becomes_as_it_was();
}

#[test]
fn killed_anywhere_nothing_is_left() {
    let node = Node::new();
    let up = "netwire up --bridge br0 --subnet 10.244.0.0/24 --subnet fd00:244::/64";
    node.sh("nsrun up --id foo --net >foo.json").succeeds();
    let clean = "netwire down --id foo >/dev/null";
    let found = places(&node, &format!("{up} <foo.json >/dev/null"), 6);
    node.sh(clean).succeeds();
    let before = node.world();
    let mut killed = 0;
    for place in found {
        let run = node.sh(&format!("{} {up} <foo.json >/dev/null", place.kill()));
        killed += usize::from(run.status == 137);
        node.sh(clean).succeeds();
        node.assert_same(&before, &format!("{place:?}"));
    }
    assert!(killed > 10, "only {killed} runs were killed");
    node.sh("nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn many_at_once_leave_neither_a_bridge_nor_a_pod_without_one() {
    let node = Node::new();
    node.sh("for n in $(seq 12); do nsrun up --id p$n --net >p$n.json; done; for round in 1 2 3 4; do for n in $(seq 12); do
        (netwire up <p$n.json --bridge br0 --subnet 10.244.0.0/24 | tee p$n.up | netwire down >/dev/null; jq -e '.failed == null' p$n.up >/dev/null || cat p$n.up) & done; wait; done")
        .succeeds()
        .prints("");
    node.sh("for n in $(seq 12); do nsrun down <p$n.json >/dev/null; done; rm p*")
        .succeeds();
    node.becomes_as_it_was();
}
