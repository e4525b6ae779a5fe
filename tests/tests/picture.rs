//! The picture of all pods: drawn from what the kernel has, and whole whatever things are called.

use tests::{Node, Output};

/// An uplink, two pods of their own, two on a bridge, published ports, a service.
const UP: &str = "nsrun up --id world --net >world.json
    ip link add up0 type veth peer name w0 netns $(jq .nsrun.pid world.json)
    ip address add 192.0.2.1/24 dev up0 && ip link set up0 up && ip route add default via 192.0.2.9
    nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 --nat --publish 8080:80 --publish 127.0.0.1:53:53/udp --sysctl-host >foo.json
    nsrun up --id bar --net | netwire up --subnet 10.244.0.0/24 >bar.json
    nsrun up --id one --net | netwire up --subnet 10.245.0.0/24 --bridge br0 >one.json
    nsrun up --id two --net | netwire up --subnet 10.245.0.0/24 --bridge br0 >two.json
    netwire service up web --vip 10.96.0.10 --port 80 --to 10.244.0.3 --to 10.245.0.2 >/dev/null";

#[track_caller]
fn node() -> Node {
    let node = Node::new();
    node.sh(&format!("set -e; {UP}")).succeeds();
    node
}

#[track_caller]
fn clean(node: &Node) {
    node.sh("netwire service down web; ip link delete up0
         for pod in foo bar one two world; do nsrun down <$pod.json | netwire down >/dev/null; done; rm *")
        .succeeds();
    node.becomes_as_it_was();
}

/// Whether it is XML is asked of a parser, which answers with all its text, a line each.
fn texts(node: &Node, svg: &str) -> Output {
    node.sh_with(
        "python3 -c '
import sys, xml.etree.ElementTree as tree
root = tree.fromstring(sys.stdin.buffer.read())
ns = \"{http://www.w3.org/2000/svg}\"
assert root.tag == ns + \"svg\", root.tag
width, height = float(root.get(\"width\")), float(root.get(\"height\"))
for box in root.iter(ns + \"rect\"):
    if box.get(\"x\"):
        assert 0 <= float(box.get(\"x\")) and float(box.get(\"x\")) + float(box.get(\"width\")) <= width
        assert 0 <= float(box.get(\"y\")) and float(box.get(\"y\")) + float(box.get(\"height\")) <= height
for text in root.iter(ns + \"text\"): print(text.text)
print(\"boxes\", sum(box.get(\"class\").startswith(\"box\") for box in root.iter(ns + \"rect\")))
print(\"broken\", sum(\"broken\" in box.get(\"class\") for box in root.iter(ns + \"rect\")))
print(\"arrows\", sum(path.get(\"class\") == \"arrow\" for path in root.iter(ns + \"path\")))
'",
        svg,
    )
}

#[test]
fn everything_that_is_there_is_on_it() {
    let node = node();
    let svg = node.sh("netwire show --all --svg").succeeds().stdout;
    let dot = node.sh("netwire show --all --dot").succeeds();
    for part in [
        "uplink up0",
        "192.0.2.1/24",
        "bridge br0",
        "10.245.0.1/24",
        "point to point",
        "\"foo vethce5359d4\" [label=\"foo\\n10.244.0.2\\n127.0.0.1:53 -> 53/udp\\n8080 -> 80/tcp\\nnat\"]",
        "[label=\"one\\n10.245.0.2\"]",
        "[label=\"web\\n10.96.0.10\\n80/tcp -> 2\"]",
        "\"service web\" -- \"bar veth",
        "\"service web\" -- \"one veth",
    ] {
        assert!(dot.stdout.contains(part), "{part} is not in\n{dot}");
    }
    if node.has("python3") {
        let text = texts(&node, &svg).succeeds();
        for line in [
            "uplink up0",
            "bridge br0",
            "point to point",
            "foo",
            "10.244.0.2",
            "8080 -> 80/tcp",
            "vethce5359d4",
            "web",
            "boxes 6",
            "broken 0",
            "arrows 2",
        ] {
            assert!(text.stdout.lines().any(|is| is == line), "{line}\n{text}");
        }
        // what is not as it should be
        node.sh("ip link set $(jq -r .netwire.attachments[0].host bar.json) down; ip route delete 10.244.0.2")
            .succeeds();
        let svg = node.sh("netwire show --all --svg").succeeds().stdout;
        texts(&node, &svg)
            .succeeds()
            .says("broken 2")
            .says("10.244.0.2 unrouted")
            .says(" is down");
    }
    clean(&node);
}

#[test]
fn names_of_others_are_text() {
    let node = Node::new();
    if !node.has("python3") {
        return;
    }
    node.sh(
        "ip link add '<b>&\"x' type bridge; ip link add veth7 type veth peer name veth8
         ip link set veth7 alias 'not <a> pod'; echo '<host>&' >/proc/sys/kernel/hostname",
    )
    .succeeds();
    let svg = node.sh("netwire show --all --svg").succeeds().stdout;
    let text = texts(&node, &svg).succeeds();
    assert!(text.stdout.contains("network of <host>&\n"), "{text}");
    assert!(text.stdout.contains("bridge <b>&\"x\n"), "{text}");
    assert!(!text.stdout.contains("not <a> pod"), "{text}");
    node.sh("netwire show --all --dot")
        .succeeds()
        .says("<b>&\\\"x");
    node.sh("netwire show --svg")
        .ends(2)
        .says_one_line("netwire");
    node.sh("netwire show --all --id foo")
        .ends(2)
        .says_one_line("netwire");
}

#[test]
fn two_hundred_pods_are_all_drawn() {
    let node = Node::new();
    // the namespaces of no pods: interfaces and routes are what is drawn
    node.sh("for i in $(seq 200); do
             echo link add name veth$i alias pod-$i type veth peer name p$i; echo link set veth$i alias pod-$i up; echo link set p$i up
             echo route add 10.244.$((i / 250)).$((i % 250 + 1))/32 dev veth$i scope host
         done >batch; sed -i 's/ alias pod-[0-9]* type/ type/' batch; ip -batch batch")
        .succeeds();
    let dot = node.sh("netwire show --all --dot").succeeds();
    assert_eq!(dot.stdout.matches(" -- \"pod-").count(), 200);
    node.sh("netwire show --all --svg >picture.svg").succeeds();
    if node.has("python3") {
        let svg = node.sh("cat picture.svg").succeeds().stdout;
        texts(&node, &svg)
            .succeeds()
            .says("boxes 200")
            .says("broken 0");
    }
}

#[test]
fn all_pods_in_one_table() {
    let node = node();
    node.sh("netwire show --all | cut -d' ' -f1 | tr '\\n' ' '")
        .succeeds()
        .prints("ID bar foo one two");
    node.sh("netwire show --all --json | jq -r .id | tr '\\n' ' '")
        .succeeds()
        .prints("bar foo one two");
    clean(&node);
}
