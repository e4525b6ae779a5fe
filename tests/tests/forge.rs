//! Frames that no pod should send: each works without --antispoof, where it can, and none by default.

use tests::Node;

/// Sends them, from raw sockets.
const FORGE: &str = include_str!("forge.py");

/// evil, vic and friend at 10.244.0.2, 3 and 4, and the same of fd00::/64; each knows the others and the gateway.
fn pods(node: &Node, options: &str) {
    node.sh_with("cat >forge.py", FORGE).succeeds();
    node.sh(&format!(
        "for pod in evil vic friend; do nsrun up --id $pod --net | netwire up --subnet 10.244.0.0/24 --subnet fd00::/64 {options} >$pod.json || exit; done"
    ))
    .succeeds()
    .prints("");
    // by default an entry does not change within a second of its making
    node.sh("for pod in evil vic friend; do nsrun exec -P $pod.json -- sh -c 'for one in ipv4/neigh/eth0/locktime ipv6/neigh/eth0/locktime; do echo 0 >/proc/sys/net/$one; done'; done; for one in /proc/sys/net/ipv[46]/neigh/{br0,veth*}/locktime; do [ ! -e $one ] || echo 0 >$one; done")
        .succeeds();
}

fn down(node: &Node) {
    node.sh("for pod in evil vic friend; do nsrun down <$pod.json | netwire down >/dev/null || exit; done; rm *.json forge.py")
        .succeeds();
    node.becomes_as_it_was();
}

/// Shell functions: the hardware address of a pod, what a pod (or the host, `-`) knows of an address, and the attack.
const SHELL: &str = "mac() { jq -r \".netwire.interfaces[] | select(.name == \\\"eth0\\\").mac\" $1.json; }
    at() { if [ $1 = - ]; then shift; \"$@\"; else pod=$1; shift; nsrun exec -P $pod.json -- \"$@\"; fi; }
    knows() { at $1 ip neigh show $2 | sed -n 's/.*lladdr \\([^ ]*\\).*/\\1/p'; }
    met() { at $1 ip neigh flush all >&2; at $1 ip -6 neigh flush all >&2; at $1 ping -q -c 1 -W 5 $2 >&2 || echo no way to $2; }
    forge() { nsrun exec -P evil.json -- python3 forge.py \"$@\"; }
    # who sent a datagram to port 7777 while the rest runs
    hears() { pod=$1; shift
        exec 9< <(at $pod python3 -c '
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind((\"::\", 7777)); s.settimeout(1); print(\"ready\", flush=True)
try: print(s.recvfrom(99)[1][0])
except OSError: print(\"nothing\")')
        read -r ready <&9; \"$@\"; cat <&9; }
    met evil 10.244.0.1; gateway=$(knows evil 10.244.0.1)
    ";

/// What the attack leads to: prints it.
fn attack(node: &Node, script: &str) -> String {
    let output = node.sh(&format!("{SHELL}\n{script}")).succeeds();
    output.stdout.trim_end().to_owned()
}

/// Whether the victim believes evil; anything else than a yes or no is a broken test.
fn is_believed(node: &Node, script: &str, truth: &str) -> bool {
    let told = attack(node, script);
    let evil = attack(node, "mac evil");
    let truth = attack(node, truth);
    assert!(told == evil || told == truth, "{script}: {told:?}");
    told == evil
}

/// What somebody is told about who has which hardware address: the attack, the truth.
const LIES: [(&str, &str, &str); 6] = [
    (
        "an answer nobody asked for, to the host",
        "met - 10.244.0.3; forge arp-reply eth0 ip=10.244.0.3 victim=10.244.0.1 to=$gateway; knows - 10.244.0.3",
        "mac vic",
    ),
    (
        "an announcement that evil is the gateway",
        "met vic 10.244.0.1; forge arp-gratuitous eth0 ip=10.244.0.1; knows vic 10.244.0.1",
        "echo $gateway",
    ),
    (
        "a question in the gateway's name",
        "met vic 10.244.0.1; forge arp-request eth0 ip=10.244.0.1 victim=10.244.0.3; knows vic 10.244.0.1",
        "echo $gateway",
    ),
    (
        "a neighbour advertisement for the gateway",
        "met vic fd00::1; forge na eth0 from=fd00::2 ip=fd00::1 victim=fd00::3 to=$(mac vic); knows vic fd00::1",
        "echo $gateway",
    ),
    (
        "a neighbour solicitation in the gateway's name",
        "met vic fd00::1; forge ns eth0 ip=fd00::1 victim=fd00::3 to=$(mac vic); knows vic fd00::1",
        "echo $gateway",
    ),
    (
        "a neighbour advertisement for vic, to the host",
        "met - fd00::3; forge na eth0 from=fd00::2 ip=fd00::3 victim=fd00::1 to=$gateway; knows - fd00::3",
        "mac vic",
    ),
];

#[test]
fn on_a_bridge_nobody_believes_who_has_which_address() {
    let node = Node::new();
    for (options, believed) in [
        ("--bridge br0 --antispoof never", true),
        ("--bridge br0", false),
    ] {
        pods(&node, options);
        for (what, script, truth) in LIES {
            assert_eq!(
                is_believed(&node, script, truth),
                believed,
                "{options}: {what}"
            );
        }
        down(&node);
    }
}

/// Datagrams in vic's name, to friend and to the host: what they take them for.
const FORGED: [(&str, &str); 4] = [
    (
        "hears friend forge ip eth0 ip=10.244.0.3 victim=10.244.0.4 port=7777 to=$(mac friend)",
        "::ffff:10.244.0.3",
    ),
    (
        "hears - forge ip eth0 ip=10.244.0.3 victim=10.244.0.1 port=7777 to=$gateway",
        "::ffff:10.244.0.3",
    ),
    (
        "hears friend forge ip6 eth0 ip=fd00::3 victim=fd00::4 port=7777 to=$(mac friend)",
        "fd00::3",
    ),
    (
        // with a tag of no VLAN, which is taken off again
        "hears friend forge tagged eth0 vlan=0 ip=10.244.0.3 victim=10.244.0.4 port=7777 to=$(mac friend)",
        "::ffff:10.244.0.3",
    ),
];

/// The same of a pod with a link of its own, where the host is the only neighbour.
const FORGED_PTP: [(&str, &str); 3] = [
    (
        "hears friend forge ip eth0 ip=10.244.0.3 victim=10.244.0.4 port=7777 to=$gateway",
        "::ffff:10.244.0.3",
    ),
    (
        "hears - forge ip eth0 ip=10.244.0.3 victim=10.244.0.1 port=7777 to=$gateway",
        "::ffff:10.244.0.3",
    ),
    (
        "hears friend forge ip6 eth0 ip=fd00::3 victim=fd00::4 port=7777 to=$gateway",
        "fd00::3",
    ),
];

#[test]
fn nobody_gets_a_packet_in_the_name_of_another() {
    let node = Node::new();
    for (options, attacks) in [("--bridge br0", &FORGED[..]), ("", &FORGED_PTP[..])] {
        for (antispoof, works) in [("--antispoof never", true), ("", false)] {
            pods(&node, &format!("{options} {antispoof}"));
            for (script, name) in attacks {
                let heard = attack(&node, script);
                let expected = if works { name } else { "nothing" };
                assert_eq!(heard, expected, "{options} {antispoof}: {script}");
            }
            // what is true is heard
            let own = "hears friend forge ip eth0 ip=10.244.0.2 victim=10.244.0.4 port=7777 to=";
            let to = if options.is_empty() {
                "$gateway"
            } else {
                "$(mac friend)"
            };
            assert_eq!(attack(&node, &format!("{own}{to}")), "::ffff:10.244.0.2");
            down(&node);
        }
    }
}

/// Which port of the bridge leads to vic.
const PORT: &str = "bridge fdb show br br0 | sed -n \"s/^$(mac vic) dev \\([^ ]*\\).*/\\1/p\"";

#[test]
fn a_bridge_does_not_learn_from_frames_of_another_address() {
    let node = Node::new();
    for (options, fooled) in [("--antispoof never", true), ("", false)] {
        pods(&node, &format!("--bridge br0 {options}"));
        let ports = attack(
            &node,
            &format!(
                "met vic 10.244.0.1; {PORT}
                 # vic may say something in between
                 for try in 1 2 3 4 5; do forge mac eth0 mac=$(mac vic) ip=10.244.0.3 victim=10.244.0.1
                     now=$({PORT}); [ $now = $(jq -r .netwire.attachments[0].host vic.json) ] || break; done; echo $now
                 for pod in vic evil; do jq -r .netwire.attachments[0].host $pod.json; done"
            ),
        );
        let ports: Vec<&str> = ports.lines().collect();
        let [before, after, vic, evil] = ports[..] else {
            panic!("{ports:?}");
        };
        assert_eq!(before, vic);
        assert_eq!(after, if fooled { evil } else { vic });
        down(&node);
    }
}

#[test]
fn a_pod_that_believes_routers_is_told_of_none_by_another() {
    let node = Node::new();
    for (options, fooled) in [("--antispoof never", true), ("", false)] {
        pods(&node, &format!("--bridge br0 {options}"));
        let routes = attack(
            &node,
            "nsrun exec -P vic.json -- sh -c 'echo 1 >/proc/sys/net/ipv6/conf/eth0/accept_ra'
             link=$(nsrun exec -P evil.json -- ip -6 -o address show dev eth0 scope link | sed 's/.*inet6 \\([^/]*\\).*/\\1/')
             forge ra eth0 from=$link; met vic fd00::2
             nsrun exec -P vic.json -- ip -6 route show default proto ra",
        );
        assert_eq!(routes.contains("default via fe80:"), fooled, "{routes}");
        down(&node);
    }
}

#[test]
fn a_pod_with_a_link_of_its_own_lies_to_nobody_but_itself() {
    let node = Node::new();
    for options in ["--antispoof never", ""] {
        pods(&node, options);
        for (what, script, truth) in [
            (
                "an answer nobody asked for",
                "met - 10.244.0.3; forge arp-reply eth0 ip=10.244.0.3 victim=10.244.0.1 to=$gateway; knows - 10.244.0.3",
                "mac vic",
            ),
            (
                "an announcement to be vic",
                "met - 10.244.0.3; forge arp-gratuitous eth0 ip=10.244.0.3; knows - 10.244.0.3",
                "mac vic",
            ),
            (
                "a neighbour advertisement for vic",
                "met - fd00::3; forge na eth0 from=fd00::2 ip=fd00::3 victim=fd00::1 to=$gateway; knows - fd00::3",
                "mac vic",
            ),
        ] {
            assert!(!is_believed(&node, script, truth), "{options}: {what}");
        }
        down(&node);
    }
}

#[test]
fn a_service_of_127_0_0_1_is_reached_by_no_pod() {
    let node = Node::new();
    // To the gateway's hardware address, and to 127.0.0.1: CVE-2020-8558.
    let from_evil = "hears - forge ip eth0 ip=10.244.0.2 victim=127.0.0.1 port=7777 to=$gateway";
    let by_route = "nsrun exec -P evil.json -- sh -c 'echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet; ip route replace local 127.0.0.0/8 dev lo table 7; ip rule del table local; ip route replace 127.0.0.0/8 via 10.244.0.1' >&2; hears - nsrun exec -P evil.json -- bash -c 'echo forged >/dev/udp/127.0.0.1/7777'";
    for options in ["", "--bridge br0"] {
        pods(&node, options);
        assert_eq!(attack(&node, from_evil), "nothing", "{options}");
        assert_eq!(attack(&node, by_route), "nothing", "{options}");
        down(&node);
        pods(&node, options);
        // Two things stand in the way: the kernel, and a rule.
        let open = "nft flush ruleset; for one in /proc/sys/net/ipv4/conf/{br0,veth*}/route_localnet; do [ ! -e $one ] || echo 1 >$one; done";
        let heard = attack(&node, &format!("{open}; {from_evil}"));
        assert_eq!(heard, "::ffff:10.244.0.2", "{options}: with neither");
        down(&node);
    }
}

#[test]
fn nobody_is_told_of_a_shorter_way_by_another_pod() {
    let node = Node::new();
    for (options, fooled) in [("--antispoof never", true), ("", false)] {
        pods(&node, &format!("--bridge br0 {options}"));
        let way = attack(
            &node,
            "nsrun exec -P vic.json -- sh -c 'for one in all eth0; do echo 1 >/proc/sys/net/ipv4/conf/$one/accept_redirects; done; ip route replace 10.9.9.0/24 via 10.244.0.1'
             met vic 10.244.0.2; met vic 10.244.0.1; at vic ping -q -c 1 -W 5 10.244.0.2 >&2
             forge redirect eth0 ip=10.244.0.1 way=10.244.0.2 dst=10.9.9.9 victim=10.244.0.3 to=$(mac vic)
             at vic ping -q -c 1 -W 5 10.244.0.1 >&2
             at vic ip route get 10.9.9.9",
        );
        assert_eq!(way.contains("via 10.244.0.2"), fooled, "{options}: {way}");
        down(&node);
    }
}
