//! Somebody flushes the ruleset, as firewalls do when they are reloaded.

use tests::Node;
use tests::web::{CURL, NO_WORLD, WORLD, down, serving, up};

/// The words of the ruleset, in order: that of elements is that of a hash. `left_out` is for sed(1).
fn words(node: &Node, left_out: &str) -> String {
    let words = "nft list ruleset | tr -d , | tr -s '[:space:]' '\\n' | sort";
    let output = node.sh(&words.replace(
        "nft list ruleset",
        &format!("nft list ruleset | sed '{left_out}'"),
    ));
    output.succeeds().stdout
}

/// What two lists of words do not share.
#[track_caller]
fn same(whole: &str, now: &str, after: &str) {
    let differs = |one: &str, other: &str| -> Vec<String> {
        let count = |text: &str, word: &str| text.lines().filter(|line| *line == word).count();
        let words = one
            .lines()
            .filter(|word| count(one, word) > count(other, word));
        words.map(str::to_owned).collect()
    };
    let (gone, new) = (differs(whole, now), differs(now, whole));
    assert!(
        gone.is_empty() && new.is_empty(),
        "after {after}: gone {gone:?}, new {new:?}"
    );
}

/// Elements of one pod; the rules, of which others have a share as well; some of them; all there is.
const FLUSHES: [&str; 5] = [
    "nft flush map inet chroot0 ports4",
    "nft flush table inet chroot0",
    "nft flush chain inet chroot0 raw",
    "nft flush chain inet chroot0 ingress",
    "nft flush ruleset",
];

#[test]
fn a_table_that_was_flushed_is_put_back_by_up() {
    let node = Node::new();
    node.sh(WORLD).succeeds();
    let world = node.world();
    let wishes = "--nat --publish 8080:80 --sysctl-host --allow all,80 --deny 10.1.2.3";
    node.sh(&up("foo", wishes)).succeeds();
    node.sh(&up("bar", "--publish 8081:80 --sysctl-host"))
        .succeeds();
    let whole = words(&node, "");
    let again = format!("netwire up -P foo.json --subnet 10.244.0.0/24 {wishes} | cmp - foo.json");
    let again_bar = "netwire up -P bar.json --subnet 10.244.0.0/24 --publish 8081:80 --sysctl-host | cmp - bar.json";
    for flush in FLUSHES {
        node.sh(flush).succeeds();
        if flush.ends_with("ruleset") {
            node.sh("echo 0 >/proc/sys/net/ipv4/conf/up0/forwarding")
                .succeeds();
        }
        node.sh("netwire check -P foo.json")
            .ends(1)
            .says("firewall");
        node.sh(&again).succeeds().prints("");
        node.sh("netwire check -P foo.json").succeeds();
        node.sh(again_bar).succeeds().prints("");
        same(&whole, &words(&node, ""), flush);
    }
    node.sh(&down("foo")).succeeds();
    node.sh(&down("bar")).succeeds();
    node.sh("cat /proc/sys/net/ipv4/conf/up0/forwarding")
        .prints("0");
    node.assert_same(&world, "left behind");
    node.sh(NO_WORLD).succeeds();
    node.becomes_as_it_was();
}

#[test]
fn reapply_puts_everything_of_all_pods_back() {
    let node = Node::new();
    node.sh("netwire reapply").succeeds().prints("");
    node.sh(WORLD).succeeds();
    let world = node.world();
    for (pod, wishes) in [
        ("foo", "--nat --publish 8080:80 --sysctl-host"),
        ("bar", "--publish 8081:80 --deny 192.0.2.9 --sysctl-host"),
        ("baz", ""),
        ("six", "--subnet fd00::/64 --allow all,80"),
    ] {
        node.sh(&up(pod, wishes)).succeeds();
    }
    // Nobody remembers that.
    let opened = r#"s/"up0" comment "forwarding was 0"//; /elements = { *}/d"#;
    let whole = words(&node, opened);
    node.sh("netwire reapply").succeeds().prints("");
    for flush in FLUSHES {
        node.sh(flush).succeeds();
        node.sh("netwire reapply").succeeds();
        same(&whole, &words(&node, opened), flush);
    }
    // one that ended by itself needs nothing
    node.sh(&up("gone", "--publish 8082:80 --sysctl-host"))
        .succeeds();
    node.sh("nsrun down <gone.json >/dev/null; while ip link show $(jq -r .netwire.attachments[0].host gone.json) 2>/dev/null; do :; done")
        .succeeds();
    node.sh("nft flush ruleset; netwire reapply | sort")
        .succeeds()
        .prints("bar eth0\nfoo eth0\nsix eth0");
    let script = serving(
        &[("foo", 80)],
        &format!("nsrun exec -P world.json -- {CURL} http://192.0.2.1:8080/"),
    );
    node.sh(&script).succeeds().prints("foo 80 192.0.2.9");
    for pod in ["foo", "bar", "baz", "six", "gone"] {
        node.sh(&down(pod)).succeeds();
    }
    node.sh("echo 0 >/proc/sys/net/ipv4/conf/up0/forwarding")
        .succeeds();
    node.assert_same(&world, "left behind");
    node.sh(NO_WORLD).succeeds();
    node.becomes_as_it_was();
}

#[test]
fn reapply_puts_services_back() {
    let node = Node::new();
    for pod in ["foo", "bar"] {
        node.sh(&up(pod, "")).succeeds();
    }
    let ask = format!("nsrun exec -P bar.json -- {CURL} http://10.96.0.1/");
    node.sh("netwire service up web --vip 10.96.0.1 --port 80 --to 10.244.0.2")
        .succeeds();
    let script = serving(
        &[("foo", 80)],
        &format!("{ask}; echo; nft flush ruleset; netwire reapply; {ask}"),
    );
    node.sh(&script)
        .succeeds()
        .prints("foo 80 10.244.0.3\nservice web\nfoo 80 10.244.0.3");
    node.sh("netwire service down web").succeeds();
    for pod in ["foo", "bar"] {
        node.sh(&down(pod)).succeeds();
    }
    node.becomes_as_it_was();
}
