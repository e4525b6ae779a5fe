//! What is translated, published and forbidden for pods on a bridge.

use tests::Node;
use tests::web::{CURL, NO_WORLD, WORLD, down, serving, up};

/// Also from another port of the same bridge, whose answers the host never sees, and from the pod itself.
#[test]
fn a_published_port_is_reached_from_everywhere() {
    let node = Node::new();
    if !node.has_file("/proc/sys/net/bridge") {
        return;
    }
    node.sh(WORLD).succeeds();
    // br_netfilter knows how to translate between ports, and then the pod sees who asks
    for (antispoof, handed_over, bar) in [
        ("", 0, "10.244.0.1"),
        ("--antispoof never", 1, "10.244.0.3"),
    ] {
        node.sh(&format!(
            "echo {handed_over} >/proc/sys/net/bridge/bridge-nf-call-iptables"
        ))
        .succeeds();
        let publish = "--publish 8080:80 --nat --sysctl-host --bridge br0";
        node.sh(&up("foo", &format!("{publish} {antispoof}")))
            .succeeds()
            .prints("");
        node.sh(&up("bar", &format!("--bridge br0 {antispoof}")))
            .succeeds();
        node.sh("nsrun up --id baz --net | netwire up --subnet 10.245.0.0/24 --nat --sysctl-host >baz.json")
            .succeeds();
        let script = format!(
            "{CURL} http://127.0.0.1:8080/; echo
             {CURL} http://192.0.2.1:8080/; echo
             for from in world bar foo baz; do nsrun exec -P $from.json -- {CURL} http://192.0.2.1:8080/; echo; done
             for from in foo baz; do nsrun exec -P $from.json -- {CURL} http://203.0.113.7/; echo; done
             nsrun exec -P baz.json -- {CURL} http://10.244.0.2/"
        );
        node.sh(&serving(&[("foo", 80), ("world", 80)], &script))
            .succeeds()
            .prints(&format!(
                "foo 80 10.244.0.1\nfoo 80 192.0.2.1\nfoo 80 192.0.2.9\nfoo 80 {bar}\nfoo 80 10.244.0.1\n\
                 foo 80 10.245.0.2\nworld 80 192.0.2.1\nworld 80 192.0.2.1\nfoo 80 10.245.0.2"
            ));
        // what 127.0.0.1 is for the host is no pod's business
        let script = format!(
            "exec 9< <(exec /mnt/node serve 9999 secret); pid=$!; read -r listening <&9
             for pod in foo bar; do nsrun exec -P $pod.json -- bash -c 'sysctl -qw net.ipv4.conf.all.route_localnet=1
                 ip address del 127.0.0.1/8 dev lo 2>/dev/null; ip route add 127.0.0.1 via 10.244.0.1
                 {CURL} -m 3 http://127.0.0.1:9999/ 2>/dev/null; echo $?'; done; kill $pid"
        );
        node.sh(&script).succeeds().prints("28\n28");
        for pod in ["foo", "bar", "baz"] {
            node.sh(&down(pod)).succeeds();
        }
    }
    node.sh(NO_WORLD).succeeds();
    node.becomes_as_it_was();
}

/// Between ports of a bridge they are asked where br_netfilter hands packets over.
#[test]
fn rules_count_between_ports_of_a_bridge() {
    let node = Node::new();
    if !node.has_file("/proc/sys/net/bridge") {
        return;
    }
    node.sh("for one in /proc/sys/net/bridge/bridge-nf-call-ip{,6}tables; do echo 1 >$one; done")
        .succeeds();
    node.sh(&up(
        "foo",
        "--bridge br0 --subnet fd00::/64 --allow 10.244.0.3,80 --allow fd00::3,80",
    ))
    .succeeds()
    .prints("");
    for pod in ["bar", "baz"] {
        node.sh(&up(pod, "--bridge br0 --subnet fd00::/64"))
            .succeeds();
    }
    let script = format!(
        "for from in bar baz; do for to in 10.244.0.2 [fd00::2]; do
             nsrun exec -P $from.json -- {CURL} -m 3 http://$to/ 2>/dev/null || echo -n $?; echo; done; done
         nsrun exec -P foo.json -- {CURL} http://10.244.0.4/"
    );
    node.sh(&serving(&[("foo", 80), ("baz", 80)], &script))
        .succeeds()
        .prints("foo 80 10.244.0.3\nfoo 80 fd00::3\n28\n28\nbaz 80 10.244.0.2");
    for pod in ["foo", "bar", "baz"] {
        node.sh(&down(pod)).succeeds();
    }
    node.becomes_as_it_was();
}
