//! Pods with addresses of IPv6, alone and beside IPv4.

use tests::{Node, World, web};

/// `up0` with 192.0.2.1 and 2001:db8::1 here, …9 in the world.
const WORLD: &str = "nsrun up --id world --net >world.json
    ip link add up0 type veth peer name w0 netns $(jq .nsrun.pid world.json)
    ip address add 192.0.2.1/24 dev up0; ip link set up0 addrgenmode none; ip address add 2001:db8::1/64 dev up0 nodad; ip link set up0 up
    nsrun exec -P world.json -- sh -c 'ip address add 192.0.2.9/24 dev w0; ip address add 2001:db8::9/64 dev w0 nodad
        ip link set w0 up; ip link set lo up; ip address add 2001:db8:7::7/128 dev lo'
    ip route add default via 192.0.2.9; ip -6 route add default via 2001:db8::9
    while ip -6 address show tentative | grep -q inet6; do :; done";

const BOTH: &str = "--subnet fd00:244::/64 --subnet 10.244.0.0/24";

fn node_with_world() -> (Node, World) {
    web::node_with(WORLD)
}

#[track_caller]
fn clean(node: &Node, with_world: &World, pods: &[&str]) {
    for pod in pods {
        node.sh(&web::down(pod)).succeeds();
    }
    web::clean(node, with_world);
}

fn up(node: &Node, pod: &str, options: &str) {
    node.sh(&format!(
        "nsrun up --id {pod} --net | netwire up {options} >{pod}.json"
    ))
    .succeeds()
    .prints("");
}

/// Serves in a pod while `script` runs; the text is the pod's name and who asks.
fn serving(pod: &str, port: u16, script: &str) -> String {
    format!(
        "exec 9< <(exec nsrun exec -P {pod}.json -- /mnt/node serve {port} '{pod} {{peer}}'); server=$!; read -r listening <&9
         ( {script} ); status=$?; kill $server; exit $status"
    )
}

const CURL: &str = "curl -s -S -m 5";

#[test]
fn both_families_are_there_at_once_and_without_waiting() {
    let (node, world) = node_with_world();
    up(&node, "foo", BOTH);
    node.sh("nsrun exec -P foo.json -- sh -c 'ip -br address show eth0 scope global; ip route; ip -6 route show proto boot; cat /proc/sys/net/ipv6/conf/eth0/accept_ra' | sed 's/  */ /g; s/@if[0-9]*//; s/ *$//'")
        .succeeds()
        .prints(
            "eth0 UP 10.244.0.2/24 fd00:244::2/64\n\
             default via 10.244.0.1 dev eth0\n\
             10.244.0.0/24 via 10.244.0.1 dev eth0 src 10.244.0.2\n\
             10.244.0.1 dev eth0 scope link src 10.244.0.2\n\
             fd00:244::1 dev eth0 src fd00:244::2 metric 1024 pref medium\n\
             fd00:244::/64 via fd00:244::1 dev eth0 src fd00:244::2 metric 1024 pref medium\n\
             default via fd00:244::1 dev eth0 metric 1024 pref medium\n0",
        );
    node.sh("jq -c '[.netwire.ips[].address], [.netwire.routes[].dst], (.netwire.attachments[0] | [.subnet, .address, .subnet6, .address6])' foo.json")
        .prints(
            "[\"10.244.0.2/24\",\"fd00:244::2/64\"]\n[\"0.0.0.0/0\",\"::/0\"]\n\
             [\"10.244.0.0/24\",\"10.244.0.2\",\"fd00:244::/64\",\"fd00:244::2\"]",
        );
    // the other order is the same wish
    node.sh(
        "netwire up -P foo.json --subnet 10.244.0.0/24 --subnet fd00:244::/64 | cmp - foo.json",
    )
    .succeeds();
    let show = node
        .sh("netwire show <foo.json | tail -n +2 | tr -s ' ' | cut -d' ' -f3,4,6")
        .succeeds();
    show.prints("10.244.0.2 10.244.0.1 up\nfd00:244::2 fd00:244::1 up");
    node.sh("nsrun exec -P foo.json -- ip -6 address del fd00:244::2/64 dev eth0")
        .succeeds();
    let again = node
        .sh("netwire up -P foo.json --subnet 10.244.0.0/24 --subnet fd00:244::/64 >/dev/null")
        .ends(1);
    assert!(again.stderr.contains("lacks fd00:244::2/64"), "{again}");
    clean(&node, &world, &["foo"]);
}

#[test]
fn pods_reach_each_other_and_the_host_without_a_forwarding_machine() {
    let (node, world) = node_with_world();
    up(&node, "foo", "--subnet fd00:244::/64");
    up(&node, "bar", "--subnet fd00:244::/64 --ip fd00:244::abc");
    let ask = format!(
        "nsrun exec -P foo.json -- {CURL} 'http://[fd00:244::abc]/'; echo; {CURL} 'http://[fd00:244::abc]/'"
    );
    node.sh(&serving("bar", 80, &ask))
        .succeeds()
        .prints("bar fd00:244::2\nbar fd00:244::1");
    node.sh("cat /proc/sys/net/ipv6/conf/all/forwarding")
        .prints("0");
    node.sh("nsrun exec -P foo.json -- ip -4 address show eth0")
        .prints("");
    clean(&node, &world, &["foo", "bar"]);
}

#[test]
fn translation_and_published_ports_are_of_both_families() {
    let (node, world) = node_with_world();
    up(
        &node,
        "foo",
        &format!("{BOTH} --nat --publish 8080:80 --sysctl-host"),
    );
    let ask = format!(
        "for to in 192.0.2.9 '[2001:db8:7::7]'; do nsrun exec -P foo.json -- {CURL} http://$to/; echo; done"
    );
    node.sh(&serving("world", 80, &ask))
        .succeeds()
        .prints("world 192.0.2.1\nworld 2001:db8::1");
    let ask = format!(
        "for to in 127.0.0.1 192.0.2.1 '[2001:db8::1]'; do {CURL} http://$to:8080/; echo; done
         for from in world foo; do nsrun exec -P $from.json -- {CURL} 'http://[2001:db8::1]:8080/'; echo; done"
    );
    node.sh(&serving("foo", 80, &ask))
        .succeeds()
        .prints("foo 10.244.0.1\nfoo 192.0.2.1\nfoo 2001:db8::1\nfoo 2001:db8::9\nfoo fd00:244::1");
    let switch = "cat /proc/sys/net/ipv6/conf/up0/force_forwarding";
    node.sh(switch).prints("1");
    node.sh("jq -e '.netwire.attachments[0].antispoof' foo.json")
        .succeeds();
    clean(&node, &world, &["foo"]);
}

#[test]
fn an_uplink_of_either_family_is_named() {
    let (node, world) = node_with_world();
    let foo = node
        .sh(&format!(
            "nsrun up --id foo --net | netwire up {BOTH} --nat >foo.json"
        ))
        .succeeds();
    let lines: Vec<&str> = foo.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{foo}");
    assert!(
        lines[0].contains("net.ipv4.conf.up0.forwarding is 0"),
        "{foo}"
    );
    assert!(
        lines[1].contains("net.ipv6.conf.up0.force_forwarding is 0"),
        "{foo}"
    );
    clean(&node, &world, &["foo"]);
    let node = Node::new();
    let switch = "/proc/sys/net/ipv6/conf/up0/force_forwarding";
    node.sh(WORLD).succeeds();
    up(&node, "foo", &format!("{BOTH} --nat --sysctl-host"));
    node.sh(&format!("cat {switch}")).prints("1");
    node.sh("nsrun down <foo.json | netwire down >/dev/null")
        .succeeds();
    node.sh(&format!("cat {switch}")).prints("0");
    node.sh("ip link delete up0; nsrun down <world.json >/dev/null; rm *.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_pod_with_ipv6_passes_for_nobody_else() {
    let node = Node::new();
    let advertise = "nsrun exec -P foo.json -- sh -c 'ip address add fe80::bad/64 dev eth0 nodad && /mnt/node advertise eth0 && ping -q -c 1 -W 5 fd00:244::1' >&2";
    let received =
        "nsrun exec -P bar.json -- sed -n 's/Icmp6InEchoReplies[^0-9]*//p' /proc/net/snmp6";
    let spoof = format!(
        "nsrun exec -P bar.json -- ping -q -c 1 -W 5 fd00:244::1 >&2 || exit
         before=$({received})
         nsrun exec -P foo.json -- sh -c 'ip address add fd00:244::3/128 dev eth0 nodad
             ping -q -c 3 -i 0.2 -W 1 -I fd00:244::3 fd00:244::1; ip address del fd00:244::3/128 dev eth0' >&2
         after=$({received}); echo $(( after - before >= 3 ))"
    );
    for (options, passes) in [("", "0"), ("--antispoof never", "1")] {
        for pod in ["foo", "bar"] {
            up(&node, pod, &format!("--subnet fd00:244::/64 {options}"));
        }
        node.sh(&spoof).succeeds().prints(passes);
        node.sh(&format!("{advertise} && ip -6 route show default"))
            .succeeds()
            .prints("");
        node.sh("for pod in foo bar; do nsrun down <$pod.json | netwire down >/dev/null; done; rm *.json").succeeds();
    }
    node.becomes_as_it_was();
}

#[test]
fn a_pool_that_is_shared_has_a_last_address_of_each_family() {
    let node = Node::new();
    node.sh("mkdir leases").succeeds();
    up(
        &node,
        "foo",
        &format!("{BOTH} --lease-dir leases --mac 02:00:00:00:00:07"),
    );
    node.sh("ls leases; cat leases/last_reserved_ip.1").prints(
        "10.244.0.2\nfd00:244::2\nlast_reserved_ip.0\nlast_reserved_ip.1\nlock\nfd00:244::2",
    );
    node.sh("jq -r '.netwire.interfaces[1].mac' foo.json")
        .prints("02:00:00:00:00:07");
    let other = format!(
        "netwire up -P foo.json {BOTH} --lease-dir leases --mac 02:00:00:00:00:08 >/dev/null"
    );
    node.sh(&other).ends(1).says("has not 02:00:00:00:00:08");
    node.sh("nsrun down <foo.json | netwire down >/dev/null; ls leases; rm -r leases foo.json")
        .prints("last_reserved_ip.0\nlast_reserved_ip.1\nlock");
    node.becomes_as_it_was();
}
