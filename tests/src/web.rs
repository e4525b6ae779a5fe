//! What stories of the network share: pods, a world around the node, and servers that say who asks.

use crate::{Node, World};

/// `up0` with 192.0.2.1 here, 192.0.2.9 and 203.0.113.7 in the world, which is the pod `world`: the way to everywhere.
pub const WORLD: &str = "nsrun up --id world --net >world.json
    pid=$(jq .nsrun.pid world.json)
    ip link add up0 type veth peer name w0 netns $pid
    ip link set up0 addrgenmode none && ip address add 192.0.2.1/24 dev up0 && ip link set up0 up
    nsrun exec -P world.json -- sh -c 'ip address add 192.0.2.9/24 dev w0; ip link set w0 up
        ip link set lo up; ip address add 203.0.113.7/32 dev lo'
    ip route add default via 192.0.2.9
    while ip link show up0 | grep -q NO-CARRIER; do :; done";

/// And away with it.
pub const NO_WORLD: &str = "ip link delete up0; nsrun down <world.json >/dev/null; rm *.json";

/// A node with a world, made by `world`, and what it is like then.
#[must_use]
#[track_caller]
pub fn node_with(world: &str) -> (Node, World) {
    let node = Node::new();
    node.sh(world).succeeds();
    let world = node.world();
    (node, world)
}

/// Everything is as it was with the world, then as it was before.
#[track_caller]
pub fn clean(node: &Node, with_world: &World) {
    node.assert_same(with_world, "left behind");
    node.sh(NO_WORLD).succeeds();
    node.becomes_as_it_was();
}

/// A page, or why there is none, within five seconds.
pub const CURL: &str = "curl -s -S -m 5";

/// A script that serves on a port in a pod while `script` runs; the text is `POD PORT {peer}`.
#[must_use]
pub fn serving(servers: &[(&str, u16)], script: &str) -> String {
    serving_as(
        servers,
        |pod, port| format!("{pod} {port} {{peer}}"),
        script,
    )
}

/// The same with another text.
#[must_use]
pub fn serving_as(
    servers: &[(&str, u16)],
    page: impl Fn(&str, u16) -> String,
    script: &str,
) -> String {
    let mut text = String::new();
    for (at, (pod, port)) in servers.iter().enumerate() {
        text += &format!(
            "exec {fd}< <(exec nsrun exec -P {pod}.json -- /mnt/node serve {port} '{page}'); pid{at}=$!
             read -r listening <&{fd}\n",
            fd = 20 + at,
            page = page(pod, *port)
        );
    }
    text += &format!("(\n{script}\n); status=$?\n");
    for at in 0..servers.len() {
        text += &format!("kill $pid{at}\n");
    }
    text + "exit $status"
}

/// A pod: `name.json`.
#[must_use]
pub fn up(name: &str, options: &str) -> String {
    up_in(name, "10.244.0.0/24", options)
}

/// The same in another subnet.
#[must_use]
pub fn up_in(name: &str, subnet: &str, options: &str) -> String {
    format!("nsrun up --id {name} --net | netwire up --subnet {subnet} {options} >{name}.json")
}

/// And away with it.
#[must_use]
pub fn down(name: &str) -> String {
    format!("nsrun down <{name}.json | netwire down >/dev/null && rm {name}.json")
}
