//! Pods in VLANs of one bridge. Kernels that filter none say so; Debian's does, so `make test-vm` sees the rest.

use tests::Node;
use tests::web::down;

/// Whether the kernel has CONFIG_BRIDGE_VLAN_FILTERING, by somebody else's word.
fn filters(node: &Node) -> bool {
    let probe = "ip link add probe type bridge vlan_filtering 1 && ip link delete probe";
    node.sh(probe).status == 0
}

fn up(pod: &str, options: &str) -> String {
    tests::web::up(pod, &format!("--bridge br0 {options}"))
}

/// Of each pod, what it reaches of these addresses.
fn reached(node: &Node, pods: &[&str], addresses: &[&str]) -> String {
    let script = format!(
        "for pod in {}; do echo -n $pod:; for to in {}; do
             nsrun exec -P $pod.json -- ping -q -c 1 -W 1 $to >/dev/null && echo -n \" $to\"; done; echo; done",
        pods.join(" "),
        addresses.join(" ")
    );
    node.sh(&script).succeeds().stdout
}

/// Somebody else's router behind a port in VLAN 7: the gateway of its pods, and 203.0.113.7 behind it.
const ROUTER: &str = "nsrun up --id router --net >router.json
    ip link add gw7 type veth peer name eth0 netns $(jq .nsrun.pid router.json)
    ip link set gw7 addrgenmode none && ip link set gw7 master br0 up
    bridge vlan delete dev gw7 vid 1; bridge vlan add dev gw7 vid 7 pvid untagged
    nsrun exec -P router.json -- sh -c 'ip link set lo up; ip address add 203.0.113.7/32 dev lo
        ip address add 10.244.0.1/24 dev eth0; ip link set eth0 up'
    while ip link show gw7 | grep -q NO-CARRIER; do :; done";

#[test]
fn a_vlan_is_a_bridge_of_its_own_and_its_gateway_somebody_else() {
    let node = Node::new();
    if !filters(&node) {
        refused(&node);
        return;
    }
    for (pod, options) in [
        ("a", "--vlan 7"),
        ("b", "--vlan 7"),
        ("c", "--vlan 8"),
        ("d", "--vlan 8"),
        // the kernel's own for whoever names none, and the host's
        ("e", "--vlan 1"),
        ("f", ""),
    ] {
        node.sh(&up(pod, options)).succeeds().prints("");
    }
    node.sh("bridge -j vlan show | jq -r '.[] | select(.ifname != \"br0\").vlans[] | \"\\(.vlan) \\(.flags | join(\" \"))\"'")
        .prints("7 PVID Egress Untagged\n7 PVID Egress Untagged\n8 PVID Egress Untagged\n8 PVID Egress Untagged\n1 PVID Egress Untagged\n1 PVID Egress Untagged");
    let pods = ["a", "b", "c", "d", "e", "f"];
    let addresses: Vec<String> = (1..=7).map(|n| format!("10.244.0.{n}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    assert_eq!(
        reached(&node, &pods, &addresses),
        "a: 10.244.0.2 10.244.0.3\nb: 10.244.0.2 10.244.0.3\nc: 10.244.0.4 10.244.0.5\nd: 10.244.0.4 10.244.0.5\n\
         e: 10.244.0.1 10.244.0.6 10.244.0.7\nf: 10.244.0.1 10.244.0.6 10.244.0.7\n",
        "the host is in VLAN 1"
    );
    node.sh(ROUTER).succeeds();
    assert_eq!(
        reached(&node, &["a", "c"], &["10.244.0.1", "203.0.113.7"]),
        "a: 10.244.0.1 203.0.113.7\nc:\n"
    );
    node.sh("nsrun exec -P router.json -- ping -q -c 1 -W 1 10.244.0.3")
        .succeeds();
    node.sh("nsrun exec -P router.json -- ping -q -c 1 -W 1 10.244.0.4")
        .ends(1);
    let again = "netwire up -P a.json --subnet 10.244.0.0/24 --bridge br0";
    node.sh(&format!("{again} --vlan 7 | cmp - a.json"))
        .succeeds()
        .prints("");
    let other = node.sh(&format!("{again} --vlan 8 >/dev/null")).ends(1);
    other
        .says_one_line("netwire")
        .says("--vlan 7")
        .says("--vlan 8");
    node.sh("ip link delete gw7; nsrun down <router.json >/dev/null; rm router.json")
        .succeeds();
    for pod in pods {
        node.sh(&down(pod)).succeeds();
    }
    node.becomes_as_it_was();
}

#[test]
fn a_bridge_that_was_there_and_filters_is_used_as_it_is() {
    let node = Node::new();
    if !filters(&node) {
        refused(&node);
        return;
    }
    node.sh("ip link add br0 type bridge vlan_filtering 1 && ip link set br0 up")
        .succeeds();
    for (pod, vlan) in [("a", 7), ("b", 7), ("c", 4094)] {
        node.sh(&up(pod, &format!("--vlan {vlan}"))).succeeds();
    }
    assert_eq!(
        reached(
            &node,
            &["a", "c"],
            &["10.244.0.2", "10.244.0.3", "10.244.0.4"]
        ),
        "a: 10.244.0.2 10.244.0.3\nc: 10.244.0.4\n"
    );
    for pod in ["a", "b", "c"] {
        node.sh(&down(pod)).succeeds();
    }
    node.sh("ip link show master br0; ip link delete br0")
        .succeeds()
        .prints("");
    node.becomes_as_it_was();
}

/// One line, and nothing is there afterwards.
fn refused(node: &Node) {
    node.sh("nsrun up --id a --net >a.json").succeeds();
    let before = node.world();
    let up = node
        .sh("netwire up <a.json --subnet 10.244.0.0/24 --bridge br0 --vlan 7 >/dev/null")
        .ends(1);
    up.says_one_line("netwire")
        .says("type bridge vlan_filtering 1): Operation not supported")
        .says("(does the kernel have CONFIG_BRIDGE_VLAN_FILTERING?)");
    node.assert_same(&before, "left behind");
    node.sh("nsrun down <a.json >/dev/null; rm a.json")
        .succeeds();
    node.becomes_as_it_was();
}
