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
    node.sh("netwire down <two.json | jq -c .netwire; ip -br link | grep veth; ls -A /run/chroot0/.networks")
        .says("null");
    node.sh("nsrun down <one.json >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
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
    node.assert_same(&one, "without the second");
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
        node.assert_same(&one, options);
        node.sh(address).prints("10.244.0.2/24");
    }
    // killed when it was about to make the second
    let kill = "strace -f -qq -o /dev/null -e trace=sendto -e inject=sendto:signal=KILL:when=4";
    node.sh(&format!("{kill} {SECOND}")).ends(137);
    node.sh("rm -f two.json; netwire up --subnet 10.244.0.0/24 <one.json | cmp - one.json")
        .succeeds();
    node.assert_same(&one, "after the next up");
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
