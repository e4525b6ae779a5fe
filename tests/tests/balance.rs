//! Which endpoint a connection gets: all alike, by weight, or the one that the client had.

use tests::Node;

/// A pod with seven servers on seven ports, and a client.
fn node() -> Node {
    let node = Node::new();
    for pod in ["foo", "client", "other"] {
        node.sh(&format!(
            "nsrun up --id {pod} --net | netwire up --subnet 10.244.0.0/24 >{pod}.json"
        ))
        .succeeds();
    }
    node
}

#[track_caller]
fn clean(node: &Node) {
    node.sh("netwire service down --all
        for pod in foo client other; do nsrun down <$pod.json | netwire down >/dev/null; done; rm *.json")
        .succeeds();
    node.becomes_as_it_was();
}

/// Runs `script` while port 8001 to 8007 of foo answer each connection with their last digit.
fn serving(script: &str) -> String {
    format!(
        "exec 9< <(exec nsrun exec -P foo.json -- python3 -c '
import selectors, socket
ready = selectors.DefaultSelector()
for port in range(8001, 8008):
    s = socket.create_server((\"\", port), backlog=4096); ready.register(s, selectors.EVENT_READ, str(port % 10).encode())
print(\"listening\", flush=True)
while True:
    for key, _ in ready.select():
        c, _ = key.fileobj.accept(); c.send(key.data); c.close()')
        server=$!; read -r listening <&9
        {script}
        status=$?; kill $server; exit $status"
    )
}

/// Connects so many times from a pod, each time from another port, and prints how often each endpoint answered: `1=5001 2=4999`.
fn connect(from: &str, times: u32) -> String {
    format!(
        "nsrun exec -P {from}.json -- python3 -c '
import collections, socket
heard = collections.Counter()
for port in range(20000, 20000 + {times}):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.settimeout(20)
    s.bind((\"\", port)); s.connect((\"10.96.0.1\", 80)); heard[s.recv(1).decode()] += 1; s.close()
print(*(f\"{{k}}={{v}}\" for k, v in sorted(heard.items())))'\n"
    )
}

fn counts(text: &str) -> Vec<f64> {
    let numbers = text
        .split_whitespace()
        .filter_map(|word| word.split_once('=')?.1.parse().ok());
    numbers.collect()
}

/// Endpoints 8001 and following, each with its weight.
fn endpoints(weights: &[u32]) -> String {
    let to = (1..).zip(weights);
    to.map(|(at, weight)| format!(" --to 10.244.0.2:800{at},weight={weight}"))
        .collect()
}

/// Pearson's chi-square of 10 000 connections, and what it exceeds once in a million times when the shares are as the
/// weights say.
#[track_caller]
fn is_balanced(node: &Node, weights: &[u32], critical: f64) {
    node.sh(&format!(
        "netwire service up web --vip 10.96.0.1 --port 80{}",
        endpoints(weights)
    ))
    .succeeds();
    let heard = node.sh(&serving(&connect("client", 10_000))).succeeds();
    let counts = counts(&heard.stdout);
    let total: f64 = counts.iter().sum();
    let all = f64::from(weights.iter().sum::<u32>());
    assert_eq!(
        (counts.len(), total),
        (weights.len(), 10_000.0),
        "{}",
        heard.stdout
    );
    let expected = weights
        .iter()
        .map(|&weight| total * f64::from(weight) / all);
    let chi_square: f64 = counts
        .iter()
        .zip(expected)
        .map(|(count, expected)| (count - expected).powi(2) / expected)
        .sum();
    assert!(chi_square < critical, "{chi_square} {}", heard.stdout);
    node.sh("netwire service down web").succeeds();
}

/// For 1, 2 and 6 degrees of freedom, at α = 10⁻⁶.
const CRITICAL: [f64; 3] = [23.93, 27.63, 38.26];

#[test]
fn ten_thousand_connections_go_to_two_three_and_seven_alike() {
    let node = node();
    is_balanced(&node, &[1; 2], CRITICAL[0]);
    is_balanced(&node, &[1; 3], CRITICAL[1]);
    is_balanced(&node, &[1; 7], CRITICAL[2]);
    clean(&node);
}

#[test]
fn weights_are_kept() {
    let node = node();
    is_balanced(&node, &[1, 2, 7], CRITICAL[1]);
    is_balanced(&node, &[30, 10], CRITICAL[0]);
    clean(&node);
}

#[test]
fn a_client_comes_to_the_same_endpoint_as_long_as_that_is_there() {
    let node = node();
    node.sh(&format!(
        "netwire service up web --vip 10.96.0.1 --port 80 --affinity 3h{}",
        endpoints(&[1; 7])
    ))
    .succeeds();
    let once = |from: &str, script: &str| -> String {
        let script = format!("{script}\n{}", connect(from, 40));
        let heard = node.sh(&serving(&script)).succeeds().stdout;
        assert!(heard.ends_with("=40\n"), "{heard}");
        heard.split('=').next().unwrap_or_default().to_owned()
    };
    let first = ["client", "other"].map(|from| once(from, "true"));
    node.sh("nft list map inet chroot0-services affinity4")
        .succeeds()
        .says("10.244.0.3 . 10.96.0.1 . tcp . 80")
        .says("10.244.0.4 . 10.96.0.1 . tcp . 80");
    // all others go, one after the other, so that each of the two is the last that takes another one's place
    for port in (1..=7).filter(|port| !first.contains(&port.to_string())) {
        let remove = format!("netwire service set web --remove 10.244.0.2:800{port}");
        assert_eq!(once("client", &remove), first[0], "{remove}");
        assert_eq!(once("other", "true"), first[1], "{remove}");
    }
    let add =
        "netwire service set web --add 10.244.0.2:8001 --add 10.244.0.2:8002 --add 10.244.0.2:8003";
    assert_eq!(once("client", add), first[0]);
    // it goes itself
    let remove = format!(
        "netwire service set web --remove 10.244.0.2:800{}",
        first[0]
    );
    let second = once("client", &remove);
    assert_ne!(second, first[0]);
    assert_eq!(once("client", "true"), second);
    clean(&node);
}

#[test]
fn a_client_is_forgotten_in_time() {
    let node = node();
    node.sh(&format!(
        "netwire service up web --vip 10.96.0.1 --port 80 --affinity 2s{}",
        endpoints(&[1; 7])
    ))
    .succeeds();
    let list = "nft list map inet chroot0-services affinity4";
    let script = format!(
        "{}{list} | grep -c '10.244.0.3 . 10.96.0.1 . tcp . 80'
         for i in {{1..3000}}; do {list} | grep -q 10.96.0.1 || break; done; {list} | grep -c 10.96.0.1",
        connect("client", 20)
    );
    let heard = node.sh(&serving(&script)).ends(1).stdout;
    assert!(heard.contains("=20\n1\n0\n"), "{heard}");
    clean(&node);
}
