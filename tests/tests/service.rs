//! Services: addresses that lead to pods, for pods, for the host, and for the world.

use tests::{Node, World};

/// `up0` with 192.0.2.1 here, 192.0.2.9 in the world; forwarding is on.
const WORLD: &str = "nsrun up --id world --net >world.json
    pid=$(jq .nsrun.pid world.json)
    ip link add up0 type veth peer name w0 netns $pid
    ip address add 192.0.2.1/24 dev up0 && ip -6 address add fd00:9::1/64 dev up0 nodad && ip link set up0 up
    nsrun exec -P world.json -- sh -c 'ip address add 192.0.2.9/24 dev w0; ip -6 address add fd00:9::9/64 dev w0 nodad
        ip link set w0 up; ip link set lo up; ip route add 10.0.0.0/8 via 192.0.2.1'
    ip route add default via 192.0.2.9; ip -6 route add default via fd00:9::9
    echo 1 >/proc/sys/net/ipv4/conf/up0/forwarding; echo 1 >/proc/sys/net/ipv6/conf/up0/force_forwarding";

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
    node.sh("ip link delete up0; nsrun down <world.json >/dev/null; rm *.json")
        .succeeds();
    node.becomes_as_it_was();
}

/// Serves on a port in each pod while `script` runs; the text is `POD {peer}`.
fn serving(servers: &[(&str, u16)], script: &str) -> String {
    let mut text = String::new();
    for (at, (pod, port)) in servers.iter().enumerate() {
        text += &format!(
            "exec {fd}< <(exec nsrun exec -P {pod}.json -- /mnt/node serve {port} '{pod} {{peer}}'); pid{at}=$!
             read -r listening <&{fd}\n",
            fd = 20 + at
        );
    }
    text += &format!("(\n{script}\n); status=$?\n");
    for at in 0..servers.len() {
        text += &format!("kill $pid{at}\n");
    }
    text + "exit $status"
}

const CURL: &str = "curl -s -S -m 5";

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
fn a_service_is_reached_from_pods_the_host_the_world_and_itself() {
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
