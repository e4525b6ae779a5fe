//! A pod with several interfaces, or with none.

use tests::Node;

const FIRST: &str = "nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 >one.json";
const SECOND: &str = "netwire up --ifname eth1 --subnet 10.9.0.0/24 --nat <one.json >two.json";

#[test]
fn each_up_adds_one_and_the_record_has_them_all() {
    let node = Node::new();
    node.sh(&format!("{FIRST}; {SECOND}")).succeeds();
    node.sh("jq -c '.netwire | [.interfaces[] | select(.sandbox).name], [.ips[] | [.interface, .address]], [.routes[].gw], [.attachments[].ifname]' two.json")
        .prints(r#"["eth0","eth1"]
[[1,"10.244.0.2/24"],[3,"10.9.0.2/24"]]
["10.244.0.1"]
["eth0","eth1"]"#);
    node.sh("nsrun exec -P two.json -- ip route").prints(
        "default via 10.244.0.1 dev eth0 \n\
         10.9.0.0/24 via 10.9.0.1 dev eth1 src 10.9.0.2 \n\
         10.9.0.1 dev eth1 scope link src 10.9.0.2 \n\
         10.244.0.0/24 via 10.244.0.1 dev eth0 src 10.244.0.2 \n\
         10.244.0.1 dev eth0 scope link src 10.244.0.2",
    );
    // each of them again is nothing new
    node.sh("netwire up --subnet 10.244.0.0/24 <two.json | cmp - two.json && netwire up --ifname eth1 --subnet 10.9.0.0/24 --nat <two.json | cmp - two.json")
        .succeeds();
    node.sh("netwire down <two.json | jq -c .netwire; ip -br link | grep veth; ls -A /var/lib/cni/networks /run/chroot0/.subnets")
        .says("null");
    node.sh("nsrun down <one.json >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}

#[track_caller]
fn assert_same(node: &Node, before: &tests::World, after: &str) {
    let (before, now) = (
        before.without_last_addresses(),
        node.world().without_last_addresses(),
    );
    assert_eq!(before.difference(&now), None, "{after}");
}

#[test]
fn one_of_them_can_go() {
    let node = Node::new();
    node.sh(FIRST).succeeds();
    let one = node.world();
    node.sh(SECOND).succeeds();
    node.sh("netwire down --ifname eth1 <two.json | jq -S . >less.json && jq -S . one.json | cmp - less.json")
        .succeeds();
    node.sh("rm two.json less.json").succeeds();
    assert_same(&node, &one, "without the second");
    node.sh(SECOND).succeeds();
    node.sh("netwire down --ifname eth0 <two.json | jq -c '.netwire | [.interfaces[].name | select(test(\"eth.$\"))], .ips[].interface, .routes, [.attachments[].ifname]'")
        .prints("[\"eth1\"]\n1\n[]\n[\"eth1\"]");
    node.sh("nsrun exec -P two.json -- ip -br link | cut -d@ -f1 | cut -d' ' -f1")
        .prints("lo\neth1");
    node.sh("netwire down --ifname eth7 <two.json >/dev/null && netwire down --id foo >/dev/null && nsrun down <one.json >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn the_first_survives_what_happens_to_the_second() {
    let node = Node::new();
    node.sh(FIRST).succeeds();
    let one = node.world();
    let address = "nsrun exec -P one.json -- ip -br address show dev eth0 | awk '{ print $3 }'";
    for (options, why) in [
        (
            "--ifname eth1 --subnet 10.244.0.0/25",
            "eth0 is in 10.244.0.0/25 already",
        ),
        (
            "--ifname lo0 --subnet 10.9.0.0/24 --ip 10.9.0.7 --mac 02:00:00:00:00:01 --publish 99:1",
            "lo0",
        ),
    ] {
        // the second finds its name taken, after its address and its ports were reserved
        node.sh("nsrun exec -P one.json -- ip link add lo0 type bridge 2>/dev/null; true")
            .succeeds();
        let failed = node.sh(&format!("netwire up {options} <one.json >failed.json"));
        failed.ends(1).says_one_line("netwire").says(why);
        node.sh("jq -e '.failed.tool == \"netwire\" and .netwire.attachments[0].ifname == \"eth0\"' failed.json; rm failed.json")
            .succeeds();
        assert_same(&node, &one, options);
        node.sh(address).prints("10.244.0.2/24");
    }
    // killed when it was about to make the second
    let kill = "strace -f -qq -o /dev/null -e trace=sendto -e inject=sendto:signal=KILL:when=4";
    node.sh(&format!("{kill} {SECOND}")).ends(137);
    node.sh("rm -f two.json; netwire up --subnet 10.244.0.0/24 <one.json | cmp - one.json")
        .succeeds();
    assert_same(&node, &one, "after the next up");
    node.sh("netwire down <one.json >/dev/null; nsrun down <one.json >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn mode_none_is_lo_alone() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net | netwire up --mode none >one.json")
        .succeeds();
    node.sh("nsrun exec -P one.json -- ip -br link | awk '{ print $1, $2 }'")
        .prints("lo UNKNOWN");
    node.sh("jq -c '.netwire | [.interfaces[].name], .ips, .attachments' one.json")
        .prints(
            r#"["lo"]
[]
[{"ifname":"lo","mode":"none"}]"#,
        );
    node.sh("netwire up --mode none <one.json | cmp - one.json")
        .succeeds();
    node.sh("nsrun exec -P one.json -- ip link set lo down; netwire up --mode none <one.json >/dev/null")
        .ends(1)
        .says("foo: lo is down");
    // and it can have an interface later
    node.sh(
        "netwire up --subnet 10.244.0.0/24 <one.json | jq -c '[.netwire.attachments[].ifname]'",
    )
    .prints(r#"["lo","eth0"]"#);
    node.sh("netwire down --id foo >/dev/null && nsrun down <one.json >/dev/null; rm one.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_pod_that_comes_again_has_the_same_hardware_address() {
    let node = Node::new();
    let mac = "jq -r '.netwire.interfaces[1].mac' one.json";
    node.sh(FIRST).succeeds();
    let first = node.sh(mac).succeeds().stdout;
    node.sh("nsrun down <one.json | netwire down >/dev/null")
        .succeeds();
    node.sh(FIRST).succeeds();
    assert_eq!(node.sh(mac).succeeds().stdout, first);
    node.sh("nsrun down <one.json | netwire down >/dev/null; rm one.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn sysctls_of_the_record_and_of_the_command_line_are_set_in_the_pod_alone() {
    let node = Node::new();
    let read = "cat /proc/sys/net/ipv4/conf/eth0/arp_filter /proc/sys/net/ipv4/conf/default/arp_ignore /proc/sys/net/ipv4/conf/eth0/arp_ignore /proc/sys/net/core/somaxconn";
    node.sh("nsrun up --id foo --net | jq -c '.linux.sysctl = {\"net.core.somaxconn\":\"77\",\"net.ipv4.conf.default.arp_ignore\":\"1\",\"kernel.domainname\":\"x\"}' \
        | netwire up --subnet 10.244.0.0/24 --sysctl net.ipv4.conf.eth0.arp_filter=1 --sysctl net/core/somaxconn=78 >foo.json")
        .succeeds();
    // eth0 has taken the default over, as it came later
    node.sh(&format!("nsrun exec -P foo.json -- {read}"))
        .prints("1\n1\n1\n78");
    node.sh("cat /proc/sys/net/ipv4/conf/default/arp_ignore; [ $(cat /proc/sys/net/core/somaxconn) != 78 ]")
        .succeeds()
        .prints("0");
    node.sh("netwire down <foo.json | jq -c . >bare.json")
        .succeeds();
    let before = node.world();
    for (option, why) in [
        (
            "net.ipv4.tcp_no_such=1",
            "write(/proc/sys/net/ipv4/tcp_no_such, 1): No such file or directory (not one that a network namespace has for itself)",
        ),
        (
            "net.ipv4.conf.eth0.arp_filter=x",
            "write(/proc/sys/net/ipv4/conf/eth0/arp_filter, x): Invalid argument",
        ),
    ] {
        let up = node.sh(&format!(
            "netwire up <bare.json --subnet 10.244.0.0/24 --sysctl {option} >/dev/null"
        ));
        assert_eq!(up.ends(1).stderr, format!("netwire: {why}\n"));
        node.assert_same(&before, option);
    }
    node.sh("netwire up <bare.json --subnet 10.244.0.0/24 --sysctl kernel.hostname=x >/dev/null")
        .ends(2)
        .says("\"kernel.hostname\" is not about the network");
    node.sh("nsrun down <bare.json >/dev/null; rm *.json")
        .succeeds();
    node.becomes_as_it_was();
}
