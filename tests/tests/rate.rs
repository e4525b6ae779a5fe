//! How much a pod may send and receive.

use tests::Node;

/// `transfer.py listen PORT`, which prints the bytes per second it received, and `transfer.py send ADDRESS PORT BYTES`.
const TRANSFER: &str = "
import socket, sys, time
if sys.argv[1] == 'listen':
    listener = socket.create_server(('', int(sys.argv[2])))
    print(flush=True)
    connection = listener.accept()[0]
    begin, count, buffer = time.monotonic(), 0, bytearray(1 << 16)
    while part := connection.recv_into(buffer): count += part
    print(int(count / (time.monotonic() - begin)))
else:
    connection = socket.create_connection((sys.argv[2], int(sys.argv[3])))
    connection.sendall(bytes(int(sys.argv[4])))
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
";

fn node() -> Option<Node> {
    let node = Node::new();
    if !node.has("python3") {
        return None;
    }
    node.sh_with("cat >transfer.py", TRANSFER).succeeds();
    Some(node)
}

fn up(options: &str) -> String {
    format!("nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 {options} >foo.json")
}

#[track_caller]
fn clean(node: &Node) {
    node.sh("nsrun down <foo.json | netwire down >/dev/null; rm -rf *")
        .succeeds();
    node.assert_as_it_was();
}

/// Bits per second that arrive in the pod, and that it sends.
#[track_caller]
fn measured(node: &Node, bytes: u64) -> [f64; 2] {
    ["nsrun exec -P foo.json --", ""].map(|listener| {
        let (sender, address) = match listener {
            "" => ("nsrun exec -P foo.json --", "10.244.0.1"),
            _ => ("", "10.244.0.2"),
        };
        let answer = node
            .sh(&format!(
                "exec 9< <(exec {listener} python3 transfer.py listen 9000); read -r listening <&9
                 {sender} python3 transfer.py send {address} 9000 {bytes}; cat <&9"
            ))
            .succeeds();
        let rate: f64 = answer.stdout.trim().parse().expect("a number");
        rate * 8.0
    })
}

#[test]
fn what_was_asked_for_is_what_passes_both_ways() {
    let Some(node) = node() else { return };
    // 40 mbit for a second and a half; the headers of each packet count as well, and the machine has other things to do
    node.sh(&up("--rate 40mbit")).succeeds().prints("");
    for (rate, way) in measured(&node, 7_500_000).iter().zip(["in", "out"]) {
        assert!(
            (0.95..1.05).contains(&(rate / 40e6)),
            "{way}: {rate} bits per second"
        );
    }
    node.sh("jq -c '.netwire.attachments[].bandwidth' foo.json; netwire show --json <foo.json | jq -c '.attachments[].bandwidth'")
        .succeeds()
        .prints("{\"ingressRate\":40000000,\"egressRate\":40000000}\n{\"ingressRate\":40000000,\"egressRate\":40000000}");
    clean(&node);
}

#[test]
fn what_a_pod_does_to_its_own_end_does_not_set_it_free() {
    let Some(node) = node() else { return };
    node.sh(&up("--rate 40mbit")).succeeds();
    if !node.has("tc") {
        return;
    }
    node.sh("nsrun exec -P foo.json -- tc qdisc replace dev eth0 root pfifo limit 10000")
        .succeeds();
    let [_, sent] = measured(&node, 7_500_000);
    assert!(sent < 42e6, "{sent} bits per second");
    clean(&node);
}

#[test]
fn it_is_there_once_and_goes_with_the_pod_or_by_name() {
    let Some(node) = node() else { return };
    node.sh(&up("--rate 10mbit:64k --bridge br0")).succeeds();
    let links = "ip -o link show type ifb | wc -l; ip -o link show type ifb | grep -o 'alias foo'";
    node.sh(links).succeeds().prints("1\nalias foo");
    let again = "netwire up --subnet 10.244.0.0/24 --bridge br0 -P foo.json";
    node.sh(&format!("{again} --rate 10mbit:64k | cmp - foo.json"))
        .succeeds()
        .prints("");
    node.sh(&format!("{again} --rate 20mbit >/dev/null"))
        .ends(1)
        .says_one_line("netwire")
        .says("foo: eth0 has --rate 10mbit:65536, not --rate 20mbit (netwire down comes first)");
    node.sh(&format!("{again} >/dev/null"))
        .ends(1)
        .says("eth0 has --rate 10mbit:65536, not no --rate");
    // somebody takes a part of it away: the same up puts it back
    if node.has("tc") {
        let shape = "for i in $(ip -o link show type ifb | cut -d: -f2) $(jq -r '.netwire.attachments[].host' foo.json); do
             tc qdisc show dev $i | grep -o 'tbf.*rate [^ ]*\\|^qdisc ingress'; tc filter show dev $i ingress | grep -c mirred; done | sed 's/tbf.*rate/tbf/' | sort | tr '\\n' ' '";
        let whole = node.sh(shape).succeeds().stdout;
        assert_eq!(whole, "0 1 qdisc ingress tbf 10Mbit tbf 10Mbit ", "{whole}");
        for breaking in [
            "ip link delete dev $(ip -o link show type ifb | cut -d: -f2)",
            "tc qdisc delete dev $(jq -r '.netwire.attachments[].host' foo.json) ingress",
            "tc qdisc delete dev $(jq -r '.netwire.attachments[].host' foo.json) root",
            "tc qdisc delete dev $(ip -o link show type ifb | cut -d: -f2) root",
        ] {
            node.sh(breaking).succeeds();
            node.sh(&format!("{again} --rate 10mbit:64k | cmp - foo.json"))
                .succeeds();
            node.sh(shape).succeeds().prints(whole.trim_end());
        }
    }
    node.sh("rm foo.json; nsrun down --id foo; netwire down --id foo; rm *")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn what_was_there_for_a_rate_alone_is_freed_and_of_living_pods_it_is_not() {
    let Some(node) = node() else {
        return;
    };
    let up = "nsrun up --id bar --net | netwire up --subnet 10.9.0.0/24 --rate 10mbit >bar.json";
    node.sh(up).succeeds();
    node.sh(&crate::up("--rate 10mbit")).succeeds();
    node.sh("nsrun down <foo.json >/dev/null; while ip link show vethce5359d4; do :; done >&2")
        .succeeds();
    // not ours, though a pod could be called so
    node.sh("ip link add ifbwan type ifb && ip link set ifbwan alias wan")
        .succeeds();
    // by its index, and by nothing
    for forget in ["true", "rm -r /run/chroot0/foo"] {
        node.sh(forget).succeeds();
        node.sh("netwire gc --dry-run")
            .succeeds()
            .prints("10.244.0.2 of foo eth0\ninterface ifbce5359d4 of foo");
    }
    node.sh("netwire gc >/dev/null; netwire gc; ip -br link show ifbce5359d4")
        .ends(1)
        .prints("");
    node.sh("ip link del ifbwan && netwire check --id bar && nsrun down <bar.json | netwire down >/dev/null; rm *")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn no_rate_and_more_than_the_link_are_one_line() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >foo.json").succeeds();
    for (rate, why) in [
        ("0", "\"0\": nothing would pass"),
        ("0mbit", "\"0mbit\": nothing would pass"),
        ("20gbit", "\"20gbit\" is above the link, which has 10gbit"),
        (
            "much",
            "\"much\" is no rate (as 10mbit, 1.5gbit or 500kbps)",
        ),
    ] {
        node.sh(&format!(
            "netwire up -P foo.json --subnet 10.244.0.0/24 --rate {rate}"
        ))
        .ends(2)
        .says_one_line("netwire")
        .says(why);
    }
    node.sh("netwire up --subnet 10.244.0.0/24 --rate 10mbit:1k <foo.json >failed.json")
        .ends(2)
        .says_one_line("netwire")
        .says("--rate 10mbit:1024: a burst of 1024 bytes is less than one packet (1518)");
    node.sh("netwire up -P foo.json --mode none --rate 10mbit >/dev/null")
        .ends(2)
        .says("--mode none: there is no interface for the other options");
    node.sh("nsrun down <foo.json >/dev/null; rm *").succeeds();
    node.assert_as_it_was();
}
