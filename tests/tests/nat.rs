//! What a pod sends to the world and what the world sends to a pod: translation, published ports, the host's own firewall.
//!
//! The world is another network namespace, on the other side of a link that is the node's default route.

use tests::web::{CURL, NO_WORLD, WORLD, down, serving, up};
use tests::{Node, Output, World};

/// A node with a world, as it is with that.
fn node_with_world() -> (Node, World) {
    let node = Node::new();
    node.sh(WORLD).succeeds();
    let world = node.world();
    (node, world)
}

/// Everything as it was with the world, then as it was before.
#[track_caller]
fn clean(node: &Node, with_world: &World) {
    node.assert_same(with_world, "left behind");
    node.sh(NO_WORLD).succeeds();
    node.becomes_as_it_was();
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
fn a_published_port_is_reached_from_everywhere() {
    let (node, world) = node_with_world();
    node.sh(&up(
        "foo",
        "--publish 8080:80 --publish 9000-9002:7000-7002/udp --sysctl-host",
    ))
    .succeeds();
    node.sh(&up("bar", "")).succeeds();
    let script = serving(
        &[("foo", 80)],
        &format!(
            "{CURL} http://127.0.0.1:8080/; echo
             {CURL} http://192.0.2.1:8080/; echo
             for from in world bar foo; do nsrun exec -P $from.json -- {CURL} http://192.0.2.1:8080/; echo; done"
        ),
    );
    node.sh(&script).succeeds().prints(
        "foo 80 10.244.0.1\nfoo 80 192.0.2.1\nfoo 80 192.0.2.9\nfoo 80 10.244.0.3\nfoo 80 10.244.0.1",
    );
    let udp = serving(
        &[("foo", 7002)],
        "nsrun exec -P world.json -- bash -c 'exec 3<>/dev/udp/192.0.2.1/9002; echo ? >&3; timeout 5 head -c 18 <&3'",
    );
    node.sh(&udp).succeeds().prints("foo 7002 192.0.2.9");
    node.sh(&down("foo")).succeeds();
    node.sh(&down("bar")).succeeds();
    clean(&node, &world);
}

#[test]
fn a_port_of_one_address_is_of_no_other() {
    let (node, world) = node_with_world();
    node.sh(&up("foo", "--publish 127.0.0.1:8080:80 --sysctl-host"))
        .succeeds();
    node.sh(&up("bar", "--publish 192.0.2.1:8080:80 --sysctl-host"))
        .succeeds();
    let script = serving(
        &[("foo", 80), ("bar", 80)],
        &format!(
            "{CURL} http://127.0.0.1:8080/; echo; {CURL} http://192.0.2.1:8080/; echo
             nsrun exec -P world.json -- {CURL} http://192.0.2.1:8080/"
        ),
    );
    node.sh(&script)
        .succeeds()
        .prints("foo 80 10.244.0.1\nbar 80 192.0.2.1\nbar 80 192.0.2.9");
    node.sh(&down("foo")).succeeds();
    node.sh(&down("bar")).succeeds();
    clean(&node, &world);
}

#[test]
fn somebody_elses_port_of_the_same_number_is_left_alone() {
    let (node, world) = node_with_world();
    node.sh(&up("foo", "--nat --publish 8080:80 --sysctl-host"))
        .succeeds();
    let script = serving(
        &[("world", 8080), ("foo", 80)],
        &format!(
            "nsrun exec -P foo.json -- {CURL} http://203.0.113.7:8080/; echo; {CURL} http://203.0.113.7:8080/"
        ),
    );
    node.sh(&script)
        .succeeds()
        .prints("world 8080 192.0.2.1\nworld 8080 192.0.2.1");
    node.sh(&down("foo")).succeeds();
    clean(&node, &world);
}

/// Who sends to 127.0.0.1 as if it were another machine's.
const TO_YOUR_LOOPBACK: &str = "sysctl -qw net.ipv4.conf.all.route_localnet=1; ip address del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via";

#[test]
fn the_hosts_loopback_is_open_to_nobody() {
    let (node, world) = node_with_world();
    if !node.has("sysctl") {
        return;
    }
    node.sh(&up("foo", "--publish 8080:80 --sysctl-host"))
        .succeeds();
    let ask = |who: &str, gateway: &str| {
        format!(
            "nsrun exec -P {who}.json -- bash -c '{TO_YOUR_LOOPBACK} {gateway} && {CURL} -m 1 http://127.0.0.1:9999/'"
        )
    };
    let script = format!(
        "exec 9< <(exec /mnt/node serve 9999 secret); pid=$!; read -r listening <&9
         {CURL} http://127.0.0.1:9999/; echo
         {}; echo pod $?; {}; echo world $?
         kill $pid",
        ask("foo", "10.244.0.1"),
        ask(
            "world",
            "192.0.2.9 dev w0 2>/dev/null || ip route add 127.0.0.1 via 192.0.2.1"
        ),
    );
    node.sh(&script)
        .succeeds()
        .prints("secret\npod 28\nworld 28");
    node.sh(&down("foo")).succeeds();
    clean(&node, &world);
}

#[test]
fn a_port_that_is_taken_says_by_whom_and_undoes_everything() {
    let (node, world) = node_with_world();
    node.sh(&up("foo", "--publish 8080-8082:80-82 --sysctl-host"))
        .succeeds();
    node.sh("nsrun up --id bar --net >bare.json").succeeds();
    // which address was given last is remembered
    let with_foo = node.world().without(|line| line.contains("last_reserved"));
    let same = |what| {
        let now = node.world().without(|line| line.contains("last_reserved"));
        assert_eq!(with_foo.difference(&now), None, "{what}");
    };
    let bar = "netwire up -P bare.json --subnet 10.244.0.0/24 --nat --publish";
    let answer = node
        .sh(&format!("{bar} 1:1 --publish 8081:80 >/dev/null"))
        .ends(1);
    assert_eq!(
        answer.stderr,
        "netwire: --publish 8081:80/tcp: 8081/tcp is taken, by foo\n"
    );
    same("a port that another pod has");
    let script = format!(
        "exec 9< <(exec /mnt/node serve 9999 x); pid=$!; read -r listening <&9
         {bar} 9999:80 >/dev/null; status=$?; {bar} 9999:80/udp >/dev/null; kill $pid; exit $status"
    );
    let answer = node.sh(&script).ends(1);
    assert_eq!(
        answer.stderr,
        "netwire: --publish 9999:80/tcp: 9999/tcp is taken, by a process of the host\n\
         netwire: --publish 9999:80/udp: 9999/udp is taken, by a process of the host\n"
    );
    let answer = node
        .sh(&format!("{bar} 198.51.100.1:80:80 >/dev/null"))
        .ends(1);
    assert_eq!(
        answer.stderr,
        "netwire: bind(198.51.100.1:80/tcp): Cannot assign requested address (no address of this host)\n"
    );
    let twice = node
        .sh(&format!("{bar} 80:80 --publish 127.0.0.1:80:81 >/dev/null"))
        .ends(2);
    assert_eq!(
        twice.stderr,
        "netwire: --publish 127.0.0.1:80:81/tcp: 80/tcp is published twice\n"
    );
    same("a port that the host has");
    node.sh(&serving(
        &[("foo", 81)],
        &format!("{CURL} http://127.0.0.1:8081/"),
    ))
    .succeeds()
    .prints("foo 81 10.244.0.1");
    node.sh(&down("foo")).succeeds();
    // free at once
    node.sh(&format!("{bar} 8081:80 >bar.json 2>/dev/null"))
        .succeeds();
    node.sh(&down("bar")).succeeds();
    node.sh("rm bare.json").succeeds();
    clean(&node, &world);
}

#[test]
fn what_lost_its_index_is_in_nobodys_way() {
    let (node, world) = node_with_world();
    node.sh(&up("foo", "--publish 8080:80 --sysctl-host"))
        .succeeds();
    // somebody tidies up by hand, and forgets the table
    node.sh("nsrun down <foo.json >/dev/null; rm -r /run/chroot0/foo foo.json")
        .succeeds();
    node.sh("while ip -br link | grep -q ^veth; do :; done")
        .succeeds();
    node.sh(&up("bar", "--publish 8080:80 --sysctl-host"))
        .succeeds();
    node.sh("nft list map inet chroot0 ports4")
        .succeeds()
        .says("\"bar eth0\"");
    node.sh(&down("bar")).succeeds();
    node.sh("rm -r /var/lib/cni/networks /run/chroot0/.subnets")
        .succeeds();
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
    let ask = format!("nsrun exec -P foo.json -- {CURL} -m 1 http://203.0.113.7/");
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
fn a_client_that_never_stops_sending_reaches_the_next_pod() {
    let (node, world) = node_with_world();
    // The same socket all the time: before the port is published, to foo, to nobody, to bar.
    let publish = "--publish 5353:53/udp --sysctl-host";
    // Somebody else's wishes have the node track connections from the beginning.
    node.sh(&up("other", "--nat --sysctl-host")).succeeds();
    let script = format!(
        // The first write after an answer "port unreachable" does not send anything.
        "ask() {{ echo '?' >&3 || echo '?' >&3; timeout 5 head -c 17 <&3; }}
         exec 3<>/dev/udp/192.0.2.1/5353
         echo '?' >&3
         {up_foo}; {serve_foo}
         ask | grep -o foo
         kill $server; {down_foo}
         {up_bar}; {serve_bar}
         ask | grep -o bar
         kill $server; {down_bar}",
        up_foo = up("foo", publish),
        up_bar = up("bar", publish),
        down_foo = down("foo"),
        down_bar = down("bar"),
        serve_foo = "exec 9< <(exec nsrun exec -P foo.json -- /mnt/node serve 53 'foo {peer} at 53'); server=$!; read -r listening <&9",
        serve_bar = "exec 9< <(exec nsrun exec -P bar.json -- /mnt/node serve 53 'bar {peer} at 53'); server=$!; read -r listening <&9",
    );
    node.sh(&script).succeeds().prints("foo\nbar");
    node.sh(&down("other")).succeeds();
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
fn five_thousand_ports_are_published_at_once() {
    let node = Node::new();
    node.sh(&up("foo", "--publish 20000-24999:20000-24999/udp"))
        .succeeds();
    node.sh("nft list map inet chroot0 ports4 | grep -o comment | wc -l")
        .prints("5000");
    node.sh("netwire up -P foo.json --subnet 10.244.0.0/24 --publish 20000-24999:20000-24999/udp | cmp - foo.json")
        .succeeds();
    node.sh(&up("bar", "--publish 7:7")).succeeds();
    node.sh(&down("foo")).succeeds();
    node.sh("nft list map inet chroot0 ports4 | grep -o comment | wc -l")
        .prints("1");
    node.sh(&down("bar")).succeeds();
    node.becomes_as_it_was();
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
    let ask = format!(
        "nsrun exec -P world.json -- {CURL} -m 1 --interface 203.0.113.7 http://198.51.100.1:8080/"
    );
    node.sh(&serving(&[("foo", 80)], &ask)).ends(28);
    node.sh("netwire up -P foo.json --subnet 10.244.0.0/24 --publish 8080:80 --sysctl-host | cmp - foo.json")
        .succeeds()
        .prints("");
    node.sh(&serving(&[("foo", 80)], &ask))
        .succeeds()
        .prints("foo 80 203.0.113.7");
    node.sh("nft list set inet chroot0 loosened")
        .says("\"up1\" comment \"rp_filter was 1\"");
    node.sh(&down("foo")).succeeds();
    node.sh("cd /proc/sys/net/ipv4/conf; cat up0/forwarding up1/forwarding up1/rp_filter")
        .prints("0\n0\n1");
    node.sh("ip link delete up1").succeeds();
    clean(&node, &world);
}
