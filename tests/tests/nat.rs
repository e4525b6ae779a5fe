//! What a pod sends to the world: translation, and what of the host's own settings and firewall stands in the way.
//!
//! The world is another network namespace, on the other side of a link that is the node's default route.

use tests::web::{self, CURL, WORLD, clean, down, serving, up};
use tests::{Node, Output, World};

/// A node with a world, as it is with that.
fn node_with_world() -> (Node, World) {
    web::node_with(WORLD)
}

fn forwarding(node: &Node) -> Output {
    node.sh("cat /proc/sys/net/ipv4/conf/up0/forwarding")
}

#[test]
fn what_leaves_has_the_hosts_address_and_pods_keep_theirs_among_themselves() {
    let (node, world) = node_with_world();
    node.sh(&up("foo", "--nat --sysctl-host"))
        .succeeds()
        .prints("");
    node.sh(&up("bar", "")).succeeds();
    // another subnet, and not in the table itself
    node.sh("nsrun up --id baz --net | netwire up --subnet 10.245.0.0/24 --publish 7:7 >baz.json")
        .succeeds();
    let script = serving(
        &[("world", 80), ("bar", 80), ("baz", 80)],
        &format!(
            "for to in 203.0.113.7 10.244.0.3 10.245.0.2; do nsrun exec -P foo.json -- {CURL} http://$to/; echo; done"
        ),
    );
    node.sh(&script)
        .succeeds()
        .prints("world 80 192.0.2.1\nbar 80 10.244.0.2\nbaz 80 10.244.0.2");
    for pod in ["foo", "bar", "baz"] {
        node.sh(&down(pod)).succeeds();
    }
    clean(&node, &world);
}

#[test]
fn ranges_that_know_the_pods_are_not_translated_to() {
    let (node, world) = node_with_world();
    node.sh(&up(
        "foo",
        "--nat --nat-except 203.0.113.0/24 --nat-except 10.0.0.0/8 --sysctl-host",
    ))
    .succeeds();
    node.sh("nsrun exec -P world.json -- ip route add 10.244.0.0/24 via 192.0.2.1")
        .succeeds();
    let script = serving(
        &[("world", 80)],
        &format!(
            "for to in 203.0.113.7 192.0.2.9; do nsrun exec -P foo.json -- {CURL} http://$to/; echo; done"
        ),
    );
    node.sh(&script)
        .succeeds()
        .prints("world 80 10.244.0.2\nworld 80 192.0.2.1");
    node.sh(&down("foo")).succeeds();
    node.sh("nsrun exec -P world.json -- ip route del 10.244.0.0/24")
        .succeeds();
    clean(&node, &world);
}

#[test]
fn an_uplink_that_does_not_forward_is_named_and_opened_only_on_request_and_only_for_answers() {
    let (node, world) = node_with_world();
    let named = node
        .sh(&up("foo", "--nat"))
        .succeeds()
        .says_one_line("netwire");
    named
        .says("net.ipv4.conf.up0.forwarding is 0")
        .says("(--sysctl-host)");
    forwarding(&node).prints("0");
    let ask = format!("nsrun exec -P foo.json -- {CURL} http://203.0.113.7/");
    node.sh(&serving(&[("world", 80)], &ask.replace("-m 5", "-m 1")))
        .ends(28);
    // the same again, now with leave to change it
    node.sh("netwire up -P foo.json --subnet 10.244.0.0/24 --nat --sysctl-host | cmp - foo.json")
        .succeeds()
        .prints("");
    node.sh(&up("bar", "--nat --sysctl-host")).succeeds();
    forwarding(&node).prints("1");
    node.sh(&serving(&[("world", 80)], &ask))
        .succeeds()
        .prints("world 80 192.0.2.1");
    // it answers, and is no router for the neighbours
    node.sh("nsrun exec -P world.json -- ip route add 10.244.0.0/24 via 192.0.2.1")
        .succeeds();
    let from_outside = format!("nsrun exec -P world.json -- {CURL} -m 1 http://10.244.0.2:80/");
    node.sh(&serving(&[("foo", 80)], &from_outside)).ends(28);
    node.sh("nsrun exec -P world.json -- ip route del 10.244.0.0/24")
        .succeeds();
    node.sh(&down("foo")).succeeds();
    forwarding(&node).prints("1");
    node.sh(&down("bar")).succeeds();
    forwarding(&node).prints("0");
    clean(&node, &world);
}

#[test]
fn a_forward_chain_that_drops_is_named_and_passed_only_on_request() {
    let (node, world) = node_with_world();
    // as docker and ufw leave it
    node.sh("nft 'table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }'")
        .succeeds();
    let firewall = node.world();
    let named = node
        .sh(&up("foo", "--nat --publish 8080:80 --sysctl-host"))
        .succeeds();
    named
        .says_one_line("netwire")
        .says("chain ip filter FORWARD drops")
        .says("(--accept-forward)");
    let ask = format!("nsrun exec -P foo.json -- {CURL} -m 3 http://203.0.113.7/");
    node.sh(&serving(&[("world", 80)], &ask)).ends(28);
    let again = "netwire up -P foo.json --subnet 10.244.0.0/24 --nat --publish 8080:80 --accept-forward | cmp - foo.json";
    node.sh(again).succeeds().prints("");
    node.sh(again).succeeds().prints("");
    node.sh("nft -a list chain ip filter FORWARD | grep -c accept")
        .prints("1");
    let both = format!(
        "nsrun exec -P foo.json -- {CURL} http://203.0.113.7/; echo
         nsrun exec -P world.json -- {CURL} http://192.0.2.1:8080/"
    );
    node.sh(&serving(&[("world", 80), ("foo", 80)], &both))
        .succeeds()
        .prints("world 80 192.0.2.1\nfoo 80 192.0.2.9");
    node.sh(&down("foo")).succeeds();
    node.assert_same(&firewall, "the firewall of others");
    node.sh("nft delete table ip filter").succeeds();
    clean(&node, &world);
}

#[test]
fn other_wishes_than_those_of_before_are_refused_by_name() {
    let (node, world) = node_with_world();
    node.sh(&up("foo", "--nat --publish 8080:80 --sysctl-host"))
        .succeeds();
    for (wishes, why) in [
        ("--publish 8080:80", "eth0 has --nat, not no --nat"),
        (
            "--nat --nat-except 10.96.0.0/12 --publish 8080:80",
            "eth0 has --nat, not --nat --nat-except 10.96.0.0/12",
        ),
        ("--nat", "published is 8080:80/tcp, not none"),
        (
            "--nat --publish 8080:81",
            "published is 8080:80/tcp, not 8080:81/tcp",
        ),
    ] {
        let answer = node
            .sh(&format!(
                "netwire up -P foo.json --subnet 10.244.0.0/24 {wishes} >/dev/null"
            ))
            .ends(1);
        let line = format!("netwire: foo: {why} (netwire down comes first)\n");
        assert_eq!(answer.stderr, line);
    }
    node.sh(&down("foo")).succeeds();
    clean(&node, &world);
}

#[test]
fn connections_of_an_address_that_is_given_back_are_forgotten() {
    let (node, world) = node_with_world();
    node.sh(&up("other", "--nat --sysctl-host")).succeeds();
    node.sh(&up("foo", "--nat --publish 8080:80 --sysctl-host"))
        .succeeds();
    let script = format!(
        "nsrun exec -P foo.json -- {CURL} http://203.0.113.7/ && {CURL} http://127.0.0.1:8080/"
    );
    node.sh(&serving(&[("world", 80), ("foo", 80)], &script))
        .succeeds();
    let count = "cat /proc/sys/net/netfilter/nf_conntrack_count";
    node.sh(count).prints("2");
    node.sh(&down("foo")).succeeds();
    node.sh(count).prints("0");
    node.sh(&down("other")).succeeds();
    clean(&node, &world);
}

#[test]
fn thirty_pods_are_as_many_rules_as_one() {
    let node = Node::new();
    node.sh(&up("p0", "--nat --publish 3000:80")).succeeds();
    let rules = "nft list table inet chroot0 | sed -n '/chain/,/}/p' | wc -l";
    let one = node.sh(rules).succeeds();
    node.sh("for n in $(seq 1 30); do nsrun up --id p$n --net | netwire up --subnet 10.244.0.0/24 --nat --publish $((3000 + n)):80 >p$n.json & done; wait")
        .succeeds();
    node.sh(rules).succeeds().prints(one.stdout.trim());
    node.sh("nft list map inet chroot0 ports4 | grep -o comment | wc -l")
        .prints("31");
    node.sh("for n in $(seq 0 30); do (nsrun down <p$n.json | netwire down >/dev/null) & done; wait; rm *.json").succeeds();
    node.becomes_as_it_was();
}

/// A second way into the world, by which answers do not leave: packets in have a source that the first is for.
const SECOND: &str = "ip link add up1 type veth peer name w1 netns $(jq .nsrun.pid world.json)
    ip link set up1 addrgenmode none && ip address add 198.51.100.1/24 dev up1 && ip link set up1 up
    nsrun exec -P world.json -- sh -c 'ip address add 198.51.100.9/24 dev w1; ip link set w1 up'
    ip route add default via 198.51.100.9 metric 200
    echo 1 >/proc/sys/net/ipv4/conf/up1/rp_filter
    while ip link show up1 | grep -q NO-CARRIER; do :; done";

#[test]
fn a_strict_filter_in_the_way_is_named_and_loosened_only_on_request() {
    let (node, world) = node_with_world();
    node.sh(SECOND).succeeds();
    let named = node.sh(&up("foo", "--publish 8080:80")).succeeds();
    assert_eq!(
        named.stderr,
        "netwire: net.ipv4.conf.up0.forwarding is 0: nothing that comes in there reaches a pod (--sysctl-host)\n\
         netwire: net.ipv4.conf.up1.forwarding is 0: nothing that comes in there reaches a pod (--sysctl-host)\n\
         netwire: net.ipv4.conf.up1.rp_filter is 1: of what comes in there from the world nothing is taken, answers leave by another (--sysctl-host)\n"
    );
    let ask = |seconds| {
        let ask = format!(
            "nsrun exec -P world.json -- {CURL} -m {seconds} --interface 203.0.113.7 http://198.51.100.1:8080/"
        );
        serving(&[("foo", 80)], &ask)
    };
    node.sh(&ask(1)).ends(28);
    node.sh("netwire up -P foo.json --subnet 10.244.0.0/24 --publish 8080:80 --sysctl-host | cmp - foo.json")
        .succeeds()
        .prints("");
    // The strict filter took no question of arp(7) either: who asked still waits for an answer to his last, or has given up.
    node.sh("nsrun exec -P world.json -- ip neighbour flush dev w1")
        .succeeds();
    node.sh(&ask(5)).succeeds().prints("foo 80 203.0.113.7");
    node.sh("nft list set inet chroot0 loosened")
        .says("\"up1\" comment \"rp_filter was 1\"");
    node.sh(&down("foo")).succeeds();
    node.sh("cd /proc/sys/net/ipv4/conf; cat up0/forwarding up1/forwarding up1/rp_filter")
        .prints("0\n0\n1");
    node.sh("ip link delete up1").succeeds();
    clean(&node, &world);
}
