//! A pod that passes for another, or for a router.

use tests::Node;

const DOWN: &str =
    "for pod in foo bar; do nsrun down <$pod.json | netwire down >/dev/null; done; rm *.json";

/// foo and bar, at 10.244.0.2 and 10.244.0.3.
fn two_pods(node: &Node, options: &str) {
    node.sh(&format!(
        "for pod in foo bar; do nsrun up --id $pod --net | netwire up --subnet 10.244.0.0/24 {options} >$pod.json || exit; done"
    ))
    .succeeds()
    .prints("");
}

/// How many echo requests that foo sends in bar's name are answered to bar.
fn answers_to_bar(node: &Node) -> u32 {
    let received =
        "nsrun exec -P bar.json -- ip -s -j link show eth0 | jq '.[0].stats64.rx.packets'";
    // bar's neighbour is known before, so that nothing but answers arrives
    let output = node
        .sh(&format!(
            "nsrun exec -P bar.json -- ping -q -c 1 -W 5 10.244.0.1 >&2 || exit
             before=$({received})
             nsrun exec -P foo.json -- sh -c 'ip address add 10.244.0.3/32 dev eth0
                 ping -q -c 3 -i 0.2 -W 1 -I 10.244.0.3 10.244.0.1; ip address del 10.244.0.3/32 dev eth0' >&2
             echo $(( $({received}) - before ))"
        ))
        .succeeds();
    output
        .stdout
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("{output}"))
}

#[test]
fn a_pod_does_not_speak_in_the_name_of_another() {
    let node = Node::new();
    two_pods(&node, "");
    assert_eq!(answers_to_bar(&node), 0);
    node.sh("jq -e '.netwire.attachments[0].antispoof' foo.json")
        .succeeds();
    node.sh(DOWN).succeeds();
    two_pods(&node, "--antispoof never");
    assert!(answers_to_bar(&node) >= 3, "without it, it does");
    node.sh(DOWN).succeeds();
    node.becomes_as_it_was();
}

#[test]
fn nor_on_a_host_whose_own_setting_is_loose() {
    let node = Node::new();
    node.sh("echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter")
        .succeeds();
    two_pods(&node, "");
    node.sh("nft list table inet chroot0")
        .succeeds()
        .says("fib saddr . iif oif");
    assert_eq!(answers_to_bar(&node), 0);
    node.sh("nft delete rule inet chroot0 raw handle $(nft -a list chain inet chroot0 raw | sed -n 's/.*fib.*handle //p' | head -n 1)")
        .succeeds();
    assert!(answers_to_bar(&node) >= 3, "it was that rule");
    node.sh(DOWN).succeeds();
    node.sh("echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_setting_that_became_loose_is_seen() {
    let node = Node::new();
    two_pods(&node, "");
    node.sh("echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter")
        .succeeds();
    let again = node
        .sh("netwire up -P foo.json --subnet 10.244.0.0/24 >/dev/null")
        .ends(1);
    assert_eq!(
        again.stderr,
        "netwire: foo: net.ipv4.conf.all.rp_filter is 2 by now, and it may pass for another (netwire down comes first)\n"
    );
    node.sh("echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter")
        .succeeds();
    node.sh("netwire up -P foo.json --subnet 10.244.0.0/24 --antispoof always | cmp - foo.json")
        .succeeds();
    node.sh("netwire up -P foo.json --subnet 10.244.0.0/24 --antispoof never >/dev/null")
        .ends(1)
        .says("it is kept from passing for another");
    node.sh(DOWN).succeeds();
    node.becomes_as_it_was();
}

/// foo says that it is a router, with an address for that; then something that the host answers after it has seen it.
const ADVERTISE: &str = "nsrun exec -P foo.json -- sh -c 'ip address add fe80::bad/64 dev eth0 nodad && /mnt/node advertise eth0 && ping -q -c 1 -W 5 10.244.0.1' >&2";

#[test]
fn the_host_believes_no_pod_to_be_a_router() {
    let node = Node::new();
    let obeyed = "ip -6 route show default; ip -6 -o address show to fd00:bad::/64";
    two_pods(&node, "");
    node.sh(&format!("{ADVERTISE} && {{ {obeyed}; }}"))
        .succeeds()
        .prints("");
    node.sh(DOWN).succeeds();
    two_pods(&node, "--antispoof never");
    // without it, it does
    node.sh(&format!(
        "{ADVERTISE} && while ! ip -6 route show default | grep fe80::bad; do :; done"
    ))
    .succeeds()
    .says("default via fe80::bad");
    node.sh(DOWN).succeeds();
    node.becomes_as_it_was();
}
