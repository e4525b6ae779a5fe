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
    let whole = words(&node, "");
    node.sh("netwire reapply").succeeds().prints("");
    for flush in FLUSHES {
        node.sh(flush).succeeds();
        node.sh("netwire reapply").succeeds();
        same(&whole, &words(&node, ""), flush);
    }
    // one that ended by itself needs nothing
    node.sh(&up("gone", "--publish 8082:80 --sysctl-host"))
        .succeeds();
    node.sh("nsrun down <gone.json >/dev/null; while ip link show $(jq -r .netwire.attachments[0].host gone.json) 2>/dev/null; do :; done")
        .succeeds();
    node.sh("nft flush ruleset; netwire reapply | sort")
        .succeeds()
        .prints("bar eth0\nfoo eth0\nnet.ipv4.conf.up0.forwarding was 0\nsix eth0");
    let script = serving(
        &[("foo", 80)],
        &format!("nsrun exec -P world.json -- {CURL} http://192.0.2.1:8080/"),
    );
    node.sh(&script).succeeds().prints("foo 80 192.0.2.9");
    for pod in ["foo", "bar", "baz", "six", "gone"] {
        node.sh(&down(pod)).succeeds();
    }
    node.assert_same(&world, "left behind");
    node.sh(NO_WORLD).succeeds();
    node.becomes_as_it_was();
}

/// A chain of somebody else that drops, whose owner loads it anew when he likes.
const DROPS: &str = "nft 'table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }'";

#[test]
fn reapply_lets_packets_through_the_chains_of_others_again() {
    let node = Node::new();
    node.sh(WORLD).succeeds();
    node.sh(DROPS).succeeds();
    let firewall = node.world();
    let wishes = "--nat --publish 8080:80 --sysctl-host --accept-forward";
    node.sh(&up("foo", wishes)).succeeds().prints("");
    // who came later and wants none of it, and is the last
    node.sh(&up("bar", "--publish 8081:80")).succeeds();
    let whole = words(&node, "");
    let ask = |pod: &str, port| {
        let script = format!(
            "nsrun exec -P {pod}.json -- {CURL} http://203.0.113.7/; echo
             nsrun exec -P world.json -- {CURL} http://192.0.2.1:{port}/"
        );
        serving(&[("world", 80), (pod, 80)], &script)
    };
    let answers = "world 80 192.0.2.1\nfoo 80 192.0.2.9";
    let both = ["chain inet chroot0 accepted", "chain ip filter FORWARD"];
    let [accepted, foreign] = both;
    for (flush, says) in [
        ("nft flush ruleset".to_owned(), both.as_slice()),
        ("nft flush table inet chroot0".into(), &[accepted]),
        ("nft flush chain inet chroot0 raw".into(), &[accepted]),
        ("nft flush chain inet chroot0 accepted".into(), &[accepted]),
        ("nft delete table inet chroot0".into(), &[accepted]),
        ("nft flush chain ip filter FORWARD".into(), &[foreign]),
        (format!("nft delete table ip filter; {DROPS}"), &[foreign]),
    ] {
        let flush = match flush.ends_with("ruleset") {
            true => format!("{flush}; {DROPS}"),
            false => flush,
        };
        node.sh(&flush).succeeds();
        let said = node.sh("netwire reapply --dry-run").succeeds().stdout;
        node.sh("netwire reapply")
            .succeeds()
            .prints(said.trim_end());
        let chains = said.lines().filter(|line| line.starts_with("chain"));
        assert_eq!(chains.collect::<Vec<_>>(), says, "{flush}");
        same(&whole, &words(&node, ""), &flush);
        node.sh("netwire reapply").succeeds().prints("");
    }
    node.sh(&ask("foo", 8080)).succeeds().prints(answers);
    // What was opened is known after a flush, with and without reapply.
    node.sh(&down("foo")).succeeds();
    node.sh(&format!("nft flush ruleset; {DROPS}; netwire reapply"))
        .succeeds();
    node.sh(&serving(
        &[("bar", 80)],
        &format!("nsrun exec -P world.json -- {CURL} http://192.0.2.1:8081/"),
    ))
    .succeeds()
    .prints("bar 80 192.0.2.9");
    node.sh("nft delete table inet chroot0").succeeds();
    node.sh(&down("bar")).succeeds();
    node.assert_same(&firewall, "left behind");
    node.sh("nft delete table ip filter").succeeds();
    node.sh(NO_WORLD).succeeds();
    node.becomes_as_it_was();
}

#[test]
fn who_leaves_a_flushed_table_leaves_the_host_open_for_those_that_are_there() {
    let node = Node::new();
    node.sh(WORLD).succeeds();
    let world = node.world();
    for pod in ["foo", "bar"] {
        node.sh(&up(pod, "--nat --sysctl-host")).succeeds();
    }
    let forwarding = || node.sh("cat /proc/sys/net/ipv4/conf/up0/forwarding");
    node.sh("nft flush ruleset").succeeds();
    node.sh(&down("foo")).succeeds();
    forwarding().prints("1");
    node.sh("netwire reapply")
        .succeeds()
        .prints("bar eth0\nnet.ipv4.conf.up0.forwarding was 0");
    node.sh(&down("bar")).succeeds();
    forwarding().prints("0");
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
