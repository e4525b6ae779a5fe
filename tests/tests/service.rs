//! Services: addresses that lead to pods, for pods, for the host, and for the world.

use tests::web::{CURL, NO_WORLD, serving_as};
use tests::{Node, World};

/// `up0` with 192.0.2.1 here, 192.0.2.9 in the world; forwarding is on.
const WORLD: &str = "nsrun up --id world --net >world.json
    pid=$(jq .nsrun.pid world.json)
    ip link add up0 type veth peer name w0 netns $pid
    ip address add 192.0.2.1/24 dev up0 && ip -6 address add fd00:9::1/64 dev up0 nodad && ip link set up0 up
    nsrun exec -P world.json -- sh -c 'ip address add 192.0.2.9/24 dev w0; ip -6 address add fd00:9::9/64 dev w0 nodad
        ip link set w0 up; ip link set lo up; ip route add 10.0.0.0/8 via 192.0.2.1'
    ip route add default via 192.0.2.9; ip -6 route add default via fd00:9::9
    echo 1 >/proc/sys/net/ipv4/conf/up0/forwarding
    cd /proc/sys/net/ipv6/conf; if [ -e up0/force_forwarding ]; then echo 1 >up0/force_forwarding; else echo 1 >all/forwarding; fi";

/// Before Linux 6.17 the whole machine forwards IPv6, or none of it.
const NO_FORWARDING: &str =
    "cd /proc/sys/net/ipv6/conf; [ -e lo/force_forwarding ] || echo 0 >all/forwarding";

/// A node with a world and pods, and what it is like then.
fn node_with(pods: &[&str]) -> (Node, World) {
    let node = Node::new();
    node.sh(WORLD).succeeds();
    for pod in pods {
        node.sh(&format!(
            "nsrun up --id {pod} --net | jq -c '.annotations.app = \"{pod}\"' |
             netwire up --subnet 10.244.0.0/24 --subnet fd00:244::/64 >{pod}.json"
        ))
        .succeeds();
    }
    let world = node.world();
    (node, world)
}

/// Everything as it was with the pods, then as it was before them.
#[track_caller]
fn clean(node: &Node, with_pods: &World, pods: &[&str]) {
    node.assert_same(with_pods, "left behind");
    for pod in pods {
        node.sh(&format!("nsrun down <{pod}.json | netwire down >/dev/null"))
            .succeeds();
    }
    node.sh(&format!("{NO_WORLD}; {NO_FORWARDING}")).succeeds();
    node.becomes_as_it_was();
}

/// Serves on a port in each pod while `script` runs; the text is `POD {peer}`.
fn serving(servers: &[(&str, u16)], script: &str) -> String {
    serving_as(servers, |pod, _| format!("{pod} {{peer}}"), script)
}

/// Asks thirty times from a pod or, without one, from the host, and prints each answer once.
fn ask(from: &str, url: &str) -> String {
    let inside = match from {
        "" => String::new(),
        pod => format!("nsrun exec -P {pod}.json -- "),
    };
    format!(
        "{inside}bash -c 'for i in {{1..30}}; do {CURL} -g http://{url}/; echo; done' | sort -u\n"
    )
}

const PODS: [&str; 3] = ["foo", "bar", "client"];

#[test]
fn s29_a_service_is_reached_from_pods_the_host_the_world_and_itself() {
    let (node, world) = node_with(&PODS);
    node.sh(
        "netwire service up web --vip 10.96.0.1 --vip fd00:96::1 --external-ip 198.51.100.7 --port 80:8080 --port 80:8080/udp \
         --node-port 30080/tcp --to 10.244.0.2 --to 10.244.0.3 --to fd00:244::2 --to fd00:244::3",
    )
    .succeeds()
    .prints("");
    let script = [
        ask("client", "10.96.0.1"),
        ask("client", "[fd00:96::1]"),
        ask("", "10.96.0.1"),
        ask("", "[fd00:96::1]"),
        ask("foo", "10.96.0.1"),
        ask("world", "10.96.0.1"),
        ask("world", "192.0.2.1:30080"),
        ask("world", "[fd00:9::1]:30080"),
        ask("client", "192.0.2.1:30080"),
        ask("", "192.0.2.1:30080"),
        "nsrun exec -P world.json -- ip route add 198.51.100.7 via 192.0.2.1\n".to_owned(),
        ask("world", "198.51.100.7"),
    ]
    .concat();
    node.sh(&serving(&[("foo", 8080), ("bar", 8080)], &script))
        .succeeds()
        .prints(
            "bar 10.244.0.4\nfoo 10.244.0.4\n\
             bar fd00:244::4\nfoo fd00:244::4\n\
             bar 192.0.2.1\nfoo 192.0.2.1\n\
             bar fd00:9::1\nfoo fd00:9::1\n\
             bar 10.244.0.2\nfoo 10.244.0.1\n\
             bar 192.0.2.9\nfoo 192.0.2.9\n\
             bar 192.0.2.9\nfoo 192.0.2.9\n\
             bar fd00:9::9\nfoo fd00:9::9\n\
             bar 10.244.0.4\nfoo 10.244.0.4\n\
             bar 192.0.2.1\nfoo 192.0.2.1\n\
             bar 192.0.2.9\nfoo 192.0.2.9",
        );
    node.sh("netwire service down web").succeeds().prints("");
    clean(&node, &world, &PODS);
}

/// A service with both pods behind it, and nothing else.
const WEB: &str = "netwire service up web --vip 10.96.0.1 --port 80 --port 80/udp --to 10.244.0.2 --to 10.244.0.3";

/// What a client of TCP or UDP hears within a second, in a pod: the errno's name, or the answer.
fn knock(from: &str, kind: &str, address: &str) -> String {
    format!(
        "nsrun exec -P {from}.json -- python3 -c 'import socket,errno
s = socket.socket(socket.AF_INET6 if \":\" in \"{address}\" else socket.AF_INET, socket.SOCK_{kind})
s.settimeout(5)
try:
    s.connect((\"{address}\", 80))
    if \"{kind}\" == \"DGRAM\": s.send(b\"?\"); s.recv(99)
    print(\"answered\")
except socket.timeout: print(\"nothing\")
except OSError as error: print(errno.errorcode[error.errno])'\n"
    )
}

#[test]
fn a_service_without_endpoints_says_so_at_once() {
    let (node, world) = node_with(&["foo"]);
    node.sh(
        "netwire service up web --vip 10.96.0.1 --vip fd00:96::1 --external-ip 192.0.2.1 --port 80 --port 80/udp",
    )
    .succeeds();
    for (from, address) in [
        ("foo", "10.96.0.1"),
        ("foo", "fd00:96::1"),
        ("world", "192.0.2.1"),
    ] {
        for kind in ["STREAM", "DGRAM"] {
            node.sh(&knock(from, kind, address))
                .succeeds()
                .prints("ECONNREFUSED");
        }
    }
    node.sh(&format!("{CURL} http://10.96.0.1/")).ends(7);
    node.sh("netwire service show")
        .succeeds()
        .says("")
        .stdout
        .lines()
        .skip(1)
        .for_each(|line| assert!(line.contains(" empty "), "{line}"));
    // and with one it is there
    node.sh("netwire service set web --add 10.244.0.2")
        .succeeds();
    node.sh(&serving(
        &[("foo", 80)],
        &format!("{CURL} http://10.96.0.1/"),
    ))
    .succeeds()
    .prints("foo 192.0.2.1");
    node.sh("netwire service down --all").succeeds();
    clean(&node, &world, &["foo"]);
}

#[test]
fn s36_a_change_moves_only_what_it_must() {
    let (node, world) = node_with(&PODS);
    node.sh(WEB).succeeds();
    // one connection of TCP and twenty sockets of UDP, before and after foo is taken out
    let talk = "nsrun exec -P client.json -- python3 -c '
import socket, subprocess, sys
def answer(s): s.send(b\"?\"); return s.recv(99).split()[0].decode()
tcp = socket.create_connection((\"10.96.0.1\", 80), 5)
udp = []
for i in range(20):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect((\"10.96.0.1\", 80)); udp.append(s)
before = [answer(s) for s in udp]
ports = [s.getsockname()[1] for s in udp]
print(*sorted(set(before)), flush=True)
sys.stdin.readline()
after = [answer(s) for s in udp]
print(*sorted(set(after)))
tcp.send(b\"GET / HTTP/1.0\\r\\n\\r\\n\")
print(tcp.makefile().read().split()[-2] in (\"foo\", \"bar\"))
'";
    let entries = "cat /proc/net/nf_conntrack 2>/dev/null | grep -c 'udp.*src=10.244.0.3 '";
    let script = format!(
        "mkfifo go; {talk} <go >said & exec 8>go
         until grep -q bar said; do :; done
         before=$({entries}); netwire service set web --remove 10.244.0.2; after=$({entries})
         [ \"$before\" = \"$after\" ] || echo \"bar had $before and has $after\"
         echo >&8; wait $!; cat said; rm go said"
    );
    node.sh(&serving(&[("foo", 80), ("bar", 80)], &script))
        .succeeds()
        .prints("bar foo\nbar\nTrue");
    // nothing but bar from now on
    node.sh(&serving(&[("bar", 80)], &ask("client", "10.96.0.1")))
        .succeeds()
        .prints("bar 10.244.0.4");
    node.sh("netwire service down web").succeeds();
    clean(&node, &world, &PODS);
}

#[test]
fn udp_that_was_sent_before_there_was_a_service_finds_it() {
    let (node, world) = node_with(&PODS);
    let script = format!(
        "mkfifo go; nsrun exec -P client.json -- python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.bind((\"\", 5555))
s.sendto(b\"?\", (\"10.96.0.1\", 80)); print(\"sent\", flush=True); sys.stdin.readline()
s.sendto(b\"?\", (\"10.96.0.1\", 80)); print(s.recv(99).split()[0].decode())' <go >said & exec 8>go
         until grep -q sent said; do :; done
         {WEB}; echo >&8; wait $!; tail -n 1 said | sed 's/foo/bar/'; rm go said"
    );
    // something has to track connections for one to be in the way
    node.sh("netwire service up other --vip 10.96.0.9 --port 9")
        .succeeds();
    node.sh(&serving(&[("foo", 80), ("bar", 80)], &script))
        .succeeds()
        .prints("bar");
    node.sh("netwire service down --all").succeeds();
    clean(&node, &world, &PODS);
}

#[test]
fn the_same_again_is_nothing_and_another_one_an_error() {
    let (node, world) = node_with(&PODS);
    node.sh(WEB).succeeds();
    node.sh("netwire service up api --vip 10.96.0.2 --port 80 --node-port 30080 --to 10.244.0.2")
        .succeeds();
    let same = |command: &str, before: &World| {
        node.assert_same(before, command);
    };
    let with_both = node.world();
    node.sh(&format!("{WEB} && netwire service down nobody && netwire service set web --add 10.244.0.2 --remove 10.244.0.9"))
        .succeeds()
        .prints("");
    same("the same again", &with_both);
    let line =
        "{\"name\":\"c\",\"vips\":[\"10.96.0.3\"],\"ports\":[{\"port\":1,\"protocol\":\"tcp\"}]}";
    for (command, status, why) in [
        (
            "up web --vip 10.96.0.7 --port 80 --port 80/udp --to 10.244.0.2 --to 10.244.0.3"
                .to_owned(),
            1,
            "service web is there: its address is 10.96.0.1, not 10.96.0.7",
        ),
        (
            "up web --vip 10.96.0.1 --port 80 --port 80/udp --to 10.244.0.2".to_owned(),
            1,
            "service web is there: its endpoints are others (netwire service set)",
        ),
        (
            "up c --vip 10.96.0.1 --port 81 --port 80 --to 10.244.0.2".to_owned(),
            1,
            "service c: 10.96.0.1:80/tcp is taken, by service web",
        ),
        (
            "up c --vip 10.96.0.3 --external-ip 10.96.0.2 --port 80 --to 10.244.0.2".to_owned(),
            1,
            "service c: 10.96.0.2:80/tcp is taken, by service api",
        ),
        (
            "up c --vip 10.96.0.3 --port 80 --node-port 30080 --to 10.244.0.2".to_owned(),
            1,
            "service c: node port 30080/tcp is taken, by service api",
        ),
        (
            "up big --vip 10.96.0.3 --port 80 $(for i in {0..39}; do for j in {0..249}; do echo --to 10.$i.$j.1; done; done)".to_owned(),
            2,
            "service big: port 80/tcp: 10000 endpoints, 4096 is the most",
        ),
        (
            "up $'a\\nb\"' --vip 10.96.0.3 --port 80".to_owned(),
            2,
            "is no name of a service (lower-case letters, digits and '-', as in kube-system/kube-dns)",
        ),
        (
            "up c --vip 10.96.0.3 --port 80 --to 10.96.0.3".to_owned(),
            2,
            "service c: 10.96.0.3 is an endpoint and the address of the service",
        ),
        (
            "up c --vip 10.96.0.3".to_owned(),
            2,
            "service c: it has no port",
        ),
        (
            "set nobody --add 10.244.0.2".to_owned(),
            1,
            "service nobody: there is none (netwire service up)",
        ),
        (
            format!("up <<<'{line}{line}'"),
            2,
            "service c is given twice",
        ),
        (
            "up <<<'{\"kind\":\"Pod\"}'".to_owned(),
            2,
            "stdin: a \"Pod\" is neither Service, EndpointSlice nor List",
        ),
        (
            "up <<<'{\"name\":\"c\",'".to_owned(),
            2,
            "stdin: EOF while parsing",
        ),
        (
            "up </dev/null".to_owned(),
            2,
            "stdin: no service (of ours, or a Service of Kubernetes)",
        ),
    ] {
        let command = format!("netwire service {command}");
        let short: String = command.chars().take(90).collect();
        node.sh(&command)
            .ends(status)
            .says_one_line("netwire")
            .says(why);
        same(&short, &with_both);
    }
    // by a pod, by a process
    node.sh(
        "nsrun up --id pub --net | netwire up --subnet 10.244.0.0/24 --publish 31000:80 >pub.json",
    )
    .succeeds();
    let up = "netwire service up c --vip 10.96.0.3 --port 80 --to 10.244.0.2 --node-port";
    node.sh(&format!("{up} 31000"))
        .ends(1)
        .says("service c: node port 31000/tcp is taken, by pub");
    node.sh(&format!(
        "exec 9< <(exec /mnt/node serve 31001 x); pid=$!; read -r listening <&9; {up} 31001; status=$?; kill $pid; exit $status"
    ))
    .ends(1)
    .says("service c: node port 31001/tcp is taken, by a process of the host");
    // and the other way round
    node.sh(&format!("{up} 31002")).succeeds();
    for (port, status, why) in [
        ("31001-31003:1-3", 1, "31002/tcp is taken, by service c"),
        ("31002:80/udp", 0, ""),
    ] {
        let also = format!(
            "nsrun up --id also --net | netwire up --subnet 10.244.0.0/24 --publish {port} >also.json"
        );
        node.sh(&also).ends(status).says(why);
        node.sh("nsrun down <also.json | netwire down >/dev/null; rm also.json")
            .succeeds();
    }
    node.sh("netwire service down c").succeeds();
    node.sh("nsrun down <pub.json | netwire down >/dev/null; rm pub.json")
        .succeeds();
    // not an error: it may be anywhere
    node.sh("netwire service up far --vip 10.96.0.4 --port 80 --to 192.0.2.9")
        .succeeds()
        .says_one_line("netwire")
        .says("warning: 1 endpoint is no pod's of this machine")
        .says("192.0.2.9");
    node.sh("netwire service down far").succeeds();
    node.sh("netwire service down --all").succeeds();
    let now = node.world().without_last_addresses();
    assert_eq!(world.without_last_addresses().difference(&now), None);
    clean(&node, &node.world(), &PODS);
}

#[test]
fn an_endpoint_elsewhere_is_reached_and_who_is_denied_is_not() {
    let (node, world) = node_with(&["foo", "client"]);
    node.sh("netwire service up far --vip 10.96.0.4 --external-ip 198.51.100.7 --port 80 --to 192.0.2.9 --deny-from 10.244.0.2")
        .succeeds();
    let script = [
        ask("client", "10.96.0.4"),
        "nsrun exec -P world.json -- ip route add 198.51.100.7 via 192.0.2.1\n".to_owned(),
        // it reaches itself, by way of this machine
        ask("world", "198.51.100.7"),
        format!("nsrun exec -P foo.json -- {CURL} -m 3 http://10.96.0.4/; echo $?"),
    ]
    .concat();
    node.sh(&serving(&[("world", 80)], &script))
        .succeeds()
        .prints("world 192.0.2.1\nworld 192.0.2.1\n28");
    // The tutorial's line. Its chain is the service's: what is for a service never comes by INPUT, and the rest of what that address
    // sends to the machine is nobody's business here.
    let listing = "netwire service show --iptables";
    let line = node.sh(&format!("{listing} | grep 10.244.0.2/32"));
    let line = line.succeeds().stdout;
    let chain = line
        .strip_prefix("-A ")
        .and_then(|line| line.strip_suffix(" -s 10.244.0.2/32 -j DROP\n"))
        .filter(|chain| chain.starts_with("KUBE-FW-"));
    let chain = chain.unwrap_or_else(|| panic!("{line}"));
    let ways = format!(
        "{listing} | grep -e '-j {chain}' | sed 's/ -m comment --comment \"[^\"]*\"//; s/ -j .*//'"
    );
    node.sh(&ways).prints(
        "-A PREROUTING -d 10.96.0.4/32 -p tcp -m tcp --dport 80\n-A PREROUTING -d 198.51.100.7/32 -p tcp -m tcp --dport 80\n\
         -A OUTPUT -d 10.96.0.4/32 -p tcp -m tcp --dport 80\n-A OUTPUT -d 198.51.100.7/32 -p tcp -m tcp --dport 80",
    );
    // the machine itself is reached from there
    node.sh("nsrun exec -P foo.json -- ping -q -c 1 -W 5 10.244.0.1")
        .succeeds();
    node.sh("netwire service down far").succeeds();
    clean(&node, &world, &["foo", "client"]);
}
