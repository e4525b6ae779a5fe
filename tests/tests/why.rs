//! What stands in the way is named: each hindrance is put there, found, and taken away.

use tests::{Node, Output};

/// `up0` with 192.0.2.1 here, 192.0.2.9 and 203.0.113.7 in the world, whose server answers on 80; the pods foo, translated, and bar.
const WORLD: &str = "nsrun up --id world --net >world.json
    ip link add up0 type veth peer name w0 netns $(jq .nsrun.pid world.json)
    ip address add 192.0.2.1/24 dev up0 && ip link set up0 up
    nsrun exec -P world.json -- sh -c 'ip address add 192.0.2.9/24 dev w0; ip link set w0 up
        ip link set lo up; ip address add 203.0.113.7/32 dev lo'
    ip route add default via 192.0.2.9
    nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 --nat --sysctl-host >foo.json
    nsrun up --id bar --net | netwire up --subnet 10.244.0.0/24 >bar.json
    for pod in world foo bar; do nsrun exec -P $pod.json -- /mnt/node serve 80 hello >$pod.listening & done
    for pod in world foo bar; do until grep -qs . $pod.listening; do :; done; done";

fn node() -> Node {
    let node = Node::new();
    // Servers are let go: they end with their pods.
    node.sh(&format!("({WORLD}) >/dev/null 2>&1")).succeeds();
    node
}

#[track_caller]
fn clean(node: &Node) {
    node.sh("ip link delete up0; for pod in foo bar; do nsrun down <$pod.json | netwire down >/dev/null; done
         nsrun down <world.json >/dev/null; rm *")
        .succeeds();
    node.becomes_as_it_was();
}

fn why(node: &Node, target: &str) -> Output {
    node.sh(&format!("netwire why -P foo.json {target}"))
}

#[track_caller]
fn nothing(node: &Node, target: &str) {
    why(node, target)
        .succeeds()
        .prints("nothing stands in the way");
}

#[track_caller]
fn names(node: &Node, target: &str, finding: &str) {
    let answer = why(node, target).ends(1);
    assert_eq!(answer.stderr, "", "{answer}");
    assert_eq!(answer.stdout.lines().count(), 1, "{answer}");
    assert!(
        answer.stdout.starts_with(finding),
        "not {finding:?}:\n{answer}"
    );
}

/// Puts something in the way, sees that it is named, takes it away, and sees that nothing is.
#[track_caller]
fn provoked(node: &Node, before: &str, target: &str, finding: &str, after: &str) {
    node.sh(before).succeeds();
    names(node, target, finding);
    node.sh(after).succeeds();
    nothing(node, target);
}

#[test]
fn where_nothing_stands_in_the_way_it_says_so() {
    let node = node();
    for target in [
        "203.0.113.7:80",
        "192.0.2.9:80",
        "192.0.2.9",
        "10.244.0.3:80",
        "10.244.0.3",
        "10.244.0.2:80",
        "127.0.0.1:80",
        "10.244.0.1",
        "203.0.113.7:80/udp",
    ] {
        nothing(&node, target);
    }
    let whole = node
        .sh("netwire why -v -P foo.json 203.0.113.7:80 | cut -c 1-14")
        .succeeds();
    whole.prints("ok  lo        \nok  route     \nok  link      \nok  antispoof \nok  forward   \nok  policy    \nok  nat       \nok  conntrack \nok  listener  \nnothing stands");
    let json = node
        .sh("netwire why --json --id foo 203.0.113.7:80")
        .succeeds()
        .json();
    assert_eq!(
        (&json["ok"], &json["finding"], &json["target"]),
        (
            &true.into(),
            &serde_json::Value::Null,
            &"203.0.113.7:80/tcp".into()
        )
    );
    clean(&node);
}

#[test]
fn lo_and_links_and_routes_of_the_pod() {
    let node = node();
    let in_foo = "nsrun exec -P foo.json --";
    provoked(
        &node,
        &format!("{in_foo} ip link set lo down"),
        "127.0.0.1:80",
        "lo: lo of foo is down (ip link set lo up)",
        &format!("{in_foo} ip link set lo up"),
    );
    provoked(
        &node,
        &format!("{in_foo} ip route delete default"),
        "203.0.113.7:80",
        "route: foo has no route to 203.0.113.7: there is none (ip route)",
        &format!("{in_foo} ip route add default via 10.244.0.1"),
    );
    provoked(
        &node,
        &format!("{in_foo} ip route add unreachable 203.0.113.0/24"),
        "203.0.113.7:80",
        "route: foo has no route to 203.0.113.7: the route forbids it",
        &format!("{in_foo} ip route delete unreachable 203.0.113.0/24"),
    );
    let veth = "$(jq -r .netwire.attachments[0].host foo.json)";
    provoked(
        &node,
        &format!("ip link set {veth} down"),
        "10.244.0.3:80",
        "link: vethce5359d4, the host's end, is down",
        &format!("ip link set {veth} up; ip route replace 10.244.0.2 dev {veth} scope host"),
    );
    node.sh(&format!("{in_foo} ip link set eth0 down"))
        .succeeds();
    names(
        &node,
        "10.244.0.3:80",
        "route: eth0 of foo is down (ip link set eth0 up)",
    );
    clean(&node);
}

#[test]
fn somebody_elses_firewall_and_the_hosts_forwarding() {
    let node = node();
    if !node.has("nft") {
        return;
    }
    provoked(
        &node,
        "nft 'table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }'",
        "203.0.113.7:80",
        "foreign: chain ip filter FORWARD: what none of its rules accepts is dropped",
        "nft delete table ip filter",
    );
    provoked(
        &node,
        "nft 'table inet fw { set bad { type ipv4_addr; flags interval; elements = { 203.0.113.0/24 }; };
             chain sub { tcp dport { 80, 443 } ip daddr @bad counter drop; };
             chain forwarding { type filter hook forward priority 10; ct state established,related accept; iifname \"veth*\" jump sub; }; }'",
        "203.0.113.7:80",
        "foreign: chain inet fw forwarding: a rule of it drops this",
        "nft delete table inet fw",
    );
    // what it accepts passes, whatever its policy is
    node.sh(
        "nft 'table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop;
             ct state established accept; ip saddr 10.244.0.0/16 tcp dport 80 accept; }; }'",
    )
    .succeeds();
    nothing(&node, "203.0.113.7:80");
    names(&node, "203.0.113.7:81", "foreign: chain ip filter FORWARD");
    node.sh("nft delete table ip filter").succeeds();
    // in the pod itself
    provoked(
        &node,
        "nsrun exec -P foo.json -- nft 'table ip own { chain out { type filter hook output priority 0; tcp dport 80 reject; }; }'",
        "203.0.113.7:80",
        "pod-rules: in foo, chain ip own out: a rule of it drops this",
        "nsrun exec -P foo.json -- nft delete table ip own",
    );
    let veth = "/proc/sys/net/ipv4/conf/vethce5359d4/forwarding";
    provoked(
        &node,
        &format!("echo 0 >{veth}"),
        "203.0.113.7:80",
        "forward: the host does not forward what comes in by vethce5359d4 (net.ipv4.conf.vethce5359d4.forwarding is 0)",
        &format!("echo 1 >{veth}"),
    );
    provoked(
        &node,
        "echo 0 >/proc/sys/net/ipv4/conf/up0/forwarding",
        "203.0.113.7:80",
        "forward: net.ipv4.conf.up0.forwarding is 0: nothing that comes in there reaches a pod (--sysctl-host)",
        "echo 1 >/proc/sys/net/ipv4/conf/up0/forwarding",
    );
    provoked(
        &node,
        "ip route delete default",
        "203.0.113.7:80",
        "forward: the host has no route to 203.0.113.7 for foo",
        "ip route add default via 192.0.2.9",
    );
    names(
        &node,
        "192.0.2.77:80",
        "neighbour: nobody on up0 has 192.0.2.77",
    );
    clean(&node);
}

#[test]
fn a_pod_with_another_address_than_its_own() {
    let node = node();
    let in_foo = "nsrun exec -P foo.json --";
    provoked(
        &node,
        &format!(
            "{in_foo} ip address add 10.244.0.99/32 dev eth0; {in_foo} ip route replace default via 10.244.0.1 src 10.244.0.99"
        ),
        "203.0.113.7:80",
        "antispoof: vethce5359d4 takes only what is from 10.244.0.2, and foo sends from 10.244.0.99",
        &format!(
            "{in_foo} ip route replace default via 10.244.0.1; {in_foo} ip address delete 10.244.0.99/32 dev eth0"
        ),
    );
    clean(&node);
}

#[test]
fn no_translation_and_translation_that_comes_too_late() {
    let node = node();
    let of_bar = |target: &str| node.sh(&format!("netwire why -P bar.json {target}"));
    of_bar("203.0.113.7:80").ends(1).prints(
        "nat: nothing translates 10.244.0.3: who is behind up0 has to know a route to it (netwire up --nat)",
    );
    // where somebody knows a route, nothing has to
    node.sh("nsrun exec -P world.json -- ip route add 10.244.0.3 via 192.0.2.1")
        .succeeds();
    of_bar("203.0.113.7:80")
        .succeeds()
        .prints("nothing stands in the way");
    if !node.has("nft") {
        return;
    }
    // begun without translation, and used ever since
    node.sh("nsrun exec -P bar.json -- bash -c 'exec 3<>/dev/udp/203.0.113.7/80; echo ? >&3'
         nft 'table ip late { chain post { type nat hook postrouting priority 100; ip saddr 10.244.0.3 masquerade; }; }'")
        .succeeds();
    of_bar("203.0.113.7:80/udp")
        .ends(1)
        .says("keeps its own address, where new ones are translated, for as long as it is used")
        .says("conntrack: the tracked connection from port ");
    of_bar("203.0.113.7:80").succeeds();
    node.sh("nft delete table ip late").succeeds();
    clean(&node);
}

#[test]
fn our_own_rules() {
    let node = node();
    for (pod, options) in [
        ("out", "--deny-to 203.0.113.0/24,80 --nat"),
        ("in", "--allow 10.244.0.9"),
    ] {
        node.sh(&format!(
            "nsrun up --id {pod} --net | netwire up --subnet 10.245.0.0/24 {options} >{pod}.json
             nsrun exec -P {pod}.json -- /mnt/node serve 80 hello >{pod}.listening 2>&1 & until grep -qs . {pod}.listening; do :; done"
        ))
        .succeeds();
    }
    names(
        &node,
        "10.245.0.3:80",
        "policy: --deny or --allow of in, chain inet chroot0 ingress: a rule of it drops this",
    );
    let of_out = |target: &str| node.sh(&format!("netwire why -P out.json {target}"));
    of_out("203.0.113.7:80").ends(1).prints(
        "policy: --deny-to or --allow-to of out, chain inet chroot0 egress: a rule of it drops this",
    );
    of_out("192.0.2.9:80").succeeds();
    of_out("10.244.0.3:80").succeeds();
    node.sh("for pod in in out; do nsrun down <$pod.json | netwire down >/dev/null; done")
        .succeeds();
    clean(&node);
}

#[test]
fn nobody_listens_and_a_name_that_is_none() {
    let node = node();
    for target in [
        "127.0.0.1:81",
        "10.244.0.3:81",
        "203.0.113.7:81",
        "203.0.113.7:81/udp",
    ] {
        let (to, name) = target.split_once('/').unwrap_or((target, "tcp"));
        names(
            &node,
            target,
            &format!("listener: nothing listens on {to}/{name}"),
        );
    }
    nothing(&node, "localhost:80");
    if !node.has("python3") {
        return;
    }
    // a nameserver in the world that knows one name
    node.sh_with(
        "cat >dns.py",
        "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('203.0.113.7', 53)); print(flush=True)
while True:
    q, peer = s.recvfrom(512)
    end = q.index(b'\\0', 12) + 5
    name, kind = q[12:end - 4], q[end - 3]
    known = name == b'\\3web\\4test\\0'
    answer = b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\1\\0\\4' + socket.inet_aton('203.0.113.7') if known and kind == 1 else b''
    s.sendto(q[:2] + b'\\x81' + (b'\\x80' if known else b'\\x83') + q[4:6] + (b'\\0\\1' if answer else b'\\0\\0') + b'\\0\\0\\0\\0' + q[12:end] + answer, peer)
",
    )
    .succeeds();
    let with = |resolv: &str, target: &str| {
        node.sh(&format!(
            "printf '{resolv}' >resolv.conf
             unshare -m sh -c 'mount --bind resolv.conf $(readlink -f /etc/resolv.conf) && exec netwire why -P foo.json {target}'"
        ))
    };
    let server = "nameserver 203.0.113.7\\nsearch test\\n";
    with(server, "web.test:80")
        .ends(1)
        .prints("dns: web.test: nothing listens on port 53 of nameserver 203.0.113.7");
    node.sh("nsrun exec -P world.json -- python3 dns.py >dns.listening 2>&1 & until grep -qs ^ dns.listening; do :; done")
        .succeeds();
    for name in ["web.test", "web"] {
        with(server, &format!("{name}:80"))
            .succeeds()
            .prints("nothing stands in the way");
    }
    with(server, "nobody.test:80")
        .ends(1)
        .prints("dns: nobody.test: nameserver 203.0.113.7 knows no such name");
    with("", "web.test")
        .ends(1)
        .prints("dns: web.test: no nameserver is named in /etc/resolv.conf");
    with("nameserver 192.0.2.77\\n", "web.test")
        .ends(1)
        .says("dns: web.test: nameserver 192.0.2.77 ");
    clean(&node);
}

#[test]
fn published_ports_and_pods_without_an_interface() {
    let node = node();
    node.sh(
        "nsrun up --id web --net | netwire up --subnet 10.245.0.0/24 --publish 8080:80 >web.json",
    )
    .succeeds();
    names(
        &node,
        "192.0.2.1:8080",
        "listener: nothing listens on 192.0.2.1:8080/tcp",
    );
    node.sh("nsrun exec -P web.json -- /mnt/node serve 80 web >web.listening 2>&1 & until grep -qs . web.listening; do :; done")
        .succeeds();
    nothing(&node, "192.0.2.1:8080");
    node.sh("netwire why -v -P foo.json 192.0.2.1:8080")
        .succeeds()
        .says("192.0.2.1 is published: it leads to 10.245.0.2 port 80");
    node.sh("nsrun down <web.json | netwire down >/dev/null; nsrun up --id bare --net >bare.json")
        .succeeds();
    node.sh("netwire why -P bare.json 192.0.2.1")
        .ends(1)
        .prints("route: bare has no route to 192.0.2.1: it has no interface (netwire up)");
    node.sh("netwire why -P bare.json 192.0.2.1:http")
        .ends(2)
        .says_one_line("netwire");
    node.sh("nsrun down <bare.json >/dev/null; netwire why -P bare.json 192.0.2.1")
        .ends(1)
        .says_one_line("netwire")
        .says("gone");
    clean(&node);
}
