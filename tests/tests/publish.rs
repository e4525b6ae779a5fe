//! What is sent to a published port: from the world, the host, other pods and the pod itself.

use tests::web::{self, CURL, WORLD, clean, down, serving, up};
use tests::{Node, World};

/// A node with a world, as it is with that.
fn node_with_world() -> (Node, World) {
    web::node_with(WORLD)
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
            "nsrun exec -P {who}.json -- bash -c '{TO_YOUR_LOOPBACK} {gateway} && {CURL} -m 3 http://127.0.0.1:9999/'"
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
