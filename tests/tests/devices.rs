//! Interfaces of the host that are moved into a pod, and given back.

use tests::Node;

/// lan0 with an address of each family, and its other end, which stays.
const LAN: &str = "ip link add lan0 type veth peer name lan1; ip address add 192.0.2.7/24 dev lan0; ip address add fd00:7::7/64 dev lan0 nodad; \
    ip link set lan0 up; ip link set lan1 up; ip address add 192.0.2.1/24 dev lan1; while ip link show lan0 | grep -q NO-CARRIER; do :; done";

fn names(node: &Node, pod: &str) -> String {
    let list = "ip -br link | cut -d@ -f1 | cut -d' ' -f1 | grep -v '^lo$' | sort | xargs";
    let place = if pod.is_empty() {
        String::new()
    } else {
        format!("nsrun exec -P {pod}.json -- ")
    };
    let all = node.sh(&format!("{place}sh -c \"{list}\"")).succeeds();
    all.stdout.trim().to_owned()
}

#[test]
fn a_device_is_moved_in_with_its_addresses_and_given_back() {
    let node = Node::new();
    node.sh(LAN).succeeds();
    let world = node.world();
    node.sh("nsrun up --id foo --net | netwire up --device lan0:net1 >foo.json")
        .succeeds();
    assert_eq!(names(&node, ""), "lan1");
    assert_eq!(names(&node, "foo"), "net1");
    node.sh("nsrun exec -P foo.json -- ip -br -o address show dev net1 scope global | awk '{ print $3, $4 }'")
        .prints("192.0.2.7/24 fd00:7::7/64");
    node.sh("nsrun exec -P foo.json -- ping -q -c 1 -W 5 192.0.2.1")
        .succeeds();
    node.sh("jq -c '.netwire | [.interfaces[].name], [.ips[] | [.interface, .address]], [.attachments[] | [.ifname, .device]]' foo.json")
        .prints(r#"["lo","net1"]
[[1,"192.0.2.7/24"],[1,"fd00:7::7/64"]]
[["lo",null],["net1","lan0"]]"#);
    node.sh("netwire up --device lan0:net1 <foo.json | cmp - foo.json && netwire check -P foo.json && netwire show <foo.json | tail -n 1 | awk '{ print $2, $5, $6 }'")
        .succeeds()
        .says("net1 lan0 up");
    node.sh("netwire down <foo.json >/dev/null && nsrun down <foo.json >/dev/null; rm foo.json; while ip link show lan0 | grep -q NO-CARRIER; do :; done")
        .succeeds();
    node.assert_same(&world, "given back");
    node.sh("ip link del lan0").succeeds();
    node.becomes_as_it_was();
}

#[test]
fn the_records_own_devices_come_with_any_up_and_one_can_go_alone() {
    let node = Node::new();
    node.sh(LAN).succeeds();
    node.sh("nsrun up --id foo --net | jq -c '.linux.netDevices = {\"lan0\":{\"name\":\"net1\"}}' | netwire up --subnet 10.244.0.0/24 >foo.json")
        .succeeds();
    assert_eq!(names(&node, "foo"), "eth0 net1");
    node.sh("netwire down --ifname net1 <foo.json | jq -c '[.netwire.attachments[].ifname], .linux.netDevices'")
        .prints("[\"eth0\"]\n{\"lan0\":{\"name\":\"net1\"}}");
    assert_eq!(names(&node, "foo"), "eth0");
    node.sh("ip -br -o address show dev lan0 scope global | awk '{ print $3, $4 }'")
        .prints("192.0.2.7/24 fd00:7::7/64");
    node.sh("netwire down --id foo >/dev/null; nsrun down <foo.json >/dev/null; rm foo.json; ip link del lan0")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn what_fails_is_undone_and_no_record_moves_anything() {
    let node = Node::new();
    node.sh(LAN).succeeds();
    node.sh("nsrun up --id foo --net >foo.json; nsrun exec -P foo.json -- ip link add taken type bridge")
        .succeeds();
    let before = node.world();
    for (options, why) in [
        ("--device nothing", "--device nothing: no such interface"),
        ("--device lan0:taken", "taken exists already in "),
        (
            "--subnet 10.244.0.0/24 --device lan0:taken",
            "taken exists already in ",
        ),
    ] {
        node.sh(&format!("netwire up <foo.json {options} >/dev/null"))
            .ends(1)
            .says_one_line("netwire")
            .says(why);
        node.assert_same(&before, options);
    }
    // killed on the way, after it was moved
    let kill = "strace -f -qq -o /dev/null -e trace=sendto -e inject=sendto:signal=KILL:when=";
    for nth in 1..12 {
        node.sh(&format!(
            "{kill}{nth} netwire up --device lan0:net1 <foo.json >/dev/null"
        ));
        node.sh("netwire down --id foo >/dev/null; while ip link show lan0 | grep -q NO-CARRIER; do :; done")
            .succeeds();
        node.assert_same(&before, &format!("killed at {nth}"));
    }
    // a record that says so is not enough for something to be moved out of a pod
    node.sh("netwire up --device lan0:net1 <foo.json >two.json; cp -r /run/chroot0/foo saved; rm -r /run/chroot0/foo; netwire down <two.json >/dev/null")
        .succeeds();
    assert_eq!(names(&node, "foo"), "net1 taken");
    node.sh("mkdir -p -m 700 /run/chroot0; mv saved /run/chroot0/foo; netwire down --id foo >/dev/null; nsrun down <foo.json >/dev/null; rm *.json; ip link del lan0")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn one_that_went_with_the_namespace_is_gone() {
    let node = Node::new();
    node.sh(LAN).succeeds();
    node.sh("nsrun up --id foo --net | netwire up --device lan0 >foo.json && nsrun down <foo.json | netwire down >/dev/null; rm foo.json; while ip link show lan1 2>/dev/null; do :; done >&2")
        .succeeds();
    node.becomes_as_it_was();
}
