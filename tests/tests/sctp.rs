//! SCTP by published ports and services: its first packet and the answer to it wherever nf_tables is, and whole connections where
//! the kernel has the protocol (Debian's has: `make test-vm`).

use tests::web::{self, NO_WORLD, WORLD, down, up};
use tests::{Node, World};

/// Clients and servers.
const SCTP: &str = include_str!("sctp.py");

/// Before Linux 6.17 the whole machine forwards IPv6, or none of it.
const FORWARDS: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

fn node_with_world() -> (Node, World) {
    let (node, world) = web::node_with(&format!("{WORLD}; echo 1 >{FORWARDS}"));
    node.sh_with("cat >sctp.py", SCTP).succeeds();
    (node, world)
}

fn clean(node: &Node, world: &World) {
    node.sh("rm sctp.py").succeeds();
    node.assert_same(world, "left behind");
    node.sh(&format!("echo 0 >{FORWARDS}; {NO_WORLD}"))
        .succeeds();
    node.becomes_as_it_was();
}

/// Runs `script` while somebody in `pod` does; prints what each of them says, his first word apart.
fn meanwhile(pod: &str, does: &str, script: &str, ends: bool) -> String {
    let end = if ends { "cat <&9" } else { "kill $pid" };
    format!(
        "exec 9< <(exec nsrun exec -P {pod}.json -- python3 sctp.py {does}); pid=$!; read -r ready <&9
         [ \"$ready\" = ready ] || exit 9
         {script}; {end}"
    )
}

/// `ADDRESS PORT` from the world.
fn from_world(does: &str, to: &str) -> String {
    format!("nsrun exec -P world.json -- python3 sctp.py {does} {to}")
}

#[test]
fn the_first_packet_comes_to_the_pod_and_its_answer_back() {
    let (node, world) = node_with_world();
    node.sh(&up(
        "foo",
        "--subnet fd00::/64 --publish 3868:38/sctp --publish 127.0.0.1:3869:39/sctp --sysctl-host",
    ))
    .succeeds()
    .prints("");
    // a pod that is chosen by no port of SCTP
    node.sh(&up("bar", "--publish 3868:80/tcp --sysctl-host"))
        .succeeds();
    node.sh("nft list map inet chroot0 ports4 | grep -o '132 . 3868\\|sctp . 3868'")
        .succeeds();
    let heard = |script: &str| node.sh(&meanwhile("foo", "hear 10.244.0.2", script, true));
    let published = "ABORT from 192.0.2.1 3868 to 40000\nINIT from 192.0.2.9 40000 to 38";
    heard(&from_world("init", "192.0.2.1 3868")).prints(published);
    heard("python3 sctp.py init 127.0.0.1 3869")
        .prints("ABORT from 127.0.0.1 3869 to 40000\nINIT from 10.244.0.1 40000 to 39");
    // of the loopback alone, and nobody's: the first that is heard is the one after them
    let three = [
        from_world("send", "192.0.2.1 3869"),
        from_world("send", "192.0.2.1 3870"),
        from_world("init", "192.0.2.1 3868"),
    ];
    heard(&three.join("; ")).prints(published);
    node.sh(&down("foo")).succeeds();
    node.sh(&down("bar")).succeeds();
    clean(&node, &world);
}

#[test]
fn a_service_leads_the_first_packet_to_its_pod() {
    let (node, world) = node_with_world();
    for pod in ["foo", "client"] {
        node.sh(&up(pod, "--subnet fd00::/64")).succeeds();
    }
    node.sh("netwire service up diameter --vip 10.96.0.5 --vip fd00:96::5 --port base:3868/sctp --port 53/udp --to 10.244.0.2:38 --to [fd00::2]:38")
        .succeeds();
    node.sh("netwire service show --iptables")
        .says("-A KUBE-SERVICES -d 10.96.0.5/32 -p sctp -m comment --comment \"default/diameter:base cluster IP\" -m sctp --dport 3868 -j KUBE-SVC-");
    for (vip, pod, client) in [
        ("10.96.0.5", "10.244.0.2", "10.244.0.3"),
        ("fd00:96::5", "fd00::2", "fd00::3"),
    ] {
        let ask = format!("nsrun exec -P client.json -- python3 sctp.py init {vip} 3868");
        node.sh(&meanwhile("foo", &format!("hear {pod}"), &ask, true))
            .prints(&format!(
                "ABORT from {vip} 3868 to 40000\nINIT from {client} 40000 to 38"
            ));
    }
    node.sh("netwire service down diameter").succeeds();
    for pod in ["foo", "client"] {
        node.sh(&down(pod)).succeeds();
    }
    clean(&node, &world);
}

#[test]
#[ignore = "needs a kernel with SCTP: make test-vm"]
fn connections_go_through_published_ports_and_services() {
    let (node, world) = node_with_world();
    node.sh("[ -e /proc/net/sctp ]").succeeds();
    let wishes = "--subnet fd00::/64 --publish 3868:38/sctp --nat --sysctl-host";
    node.sh(&up("foo", wishes)).succeeds();
    node.sh(&up("bar", "--subnet fd00::/64")).succeeds();
    node.sh("netwire service up diameter --vip 10.96.0.5 --vip fd00:96::5 --port base:3868/sctp --to 10.244.0.2:38 --to [fd00::2]:38")
        .succeeds();
    let ask = |from: &str, to: &str| match from {
        "" => format!("python3 sctp.py ask {to}"),
        pod => format!("nsrun exec -P {pod}.json -- python3 sctp.py ask {to}"),
    };
    let asked = [
        ask("world", "192.0.2.1 3868"),
        ask("", "127.0.0.1 3868"),
        ask("", "192.0.2.1 3868"),
        ask("bar", "192.0.2.1 3868"),
        ask("foo", "192.0.2.1 3868"),
        ask("", "10.96.0.5 3868"),
        ask("bar", "10.96.0.5 3868"),
        ask("foo", "10.96.0.5 3868"),
    ];
    let serve = "serve 10.244.0.2 38 foo";
    node.sh(&meanwhile("foo", serve, &asked.join("\n"), false))
        .succeeds()
        .prints(
            "foo 192.0.2.9\nfoo 10.244.0.1\nfoo 192.0.2.1\nfoo 10.244.0.3\nfoo 10.244.0.1\n\
             foo 192.0.2.1\nfoo 10.244.0.3\nfoo 10.244.0.1",
        );
    let serve = "serve fd00::2 38 foo";
    node.sh(&meanwhile(
        "foo",
        serve,
        &ask("bar", "fd00:96::5 3868"),
        false,
    ))
    .succeeds()
    .prints("foo fd00::3");
    node.sh("netwire service down diameter").succeeds();
    for pod in ["foo", "bar"] {
        node.sh(&down(pod)).succeeds();
    }
    // a process of the host has it
    let taken = node.sh(
        "exec 9< <(exec python3 sctp.py serve 192.0.2.1 3868 x); pid=$!; read -r ready <&9
         nsrun up --id foo --net >foo.json; netwire up <foo.json --subnet 10.244.0.0/24 --publish 3868:38/sctp >/dev/null; status=$?
         kill $pid; nsrun down <foo.json >/dev/null; rm foo.json; exit $status",
    );
    taken
        .ends(1)
        .says("--publish 3868:38/sctp: 3868/sctp is taken, by a process of the host");
    clean(&node, &world);
}
