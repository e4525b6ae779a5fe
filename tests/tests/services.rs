//! Services that others get at: a flushed ruleset, the tables of others, a signal at any instant.

use tests::sweep::places;
use tests::{Node, World};

const UP: &str = "netwire service up web --vip 10.96.0.1 --vip fd00:96::1 --port 80 --port 53/udp --node-port 30080/tcp \
    --affinity 3h --deny-from 10.1.2.0/24 --to 10.244.0.2 --to fd00:244::2";

/// The ruleset, without what the kernel numbers.
fn ruleset(node: &Node) -> World {
    node.world().without(|line| !line.starts_with("nft: "))
}

#[test]
fn a_flushed_ruleset_is_put_back() {
    let node = Node::new();
    node.sh(&format!(
        "{UP}; netwire service up other --vip 10.96.0.2 --port 80 --to 10.244.0.2"
    ))
    .succeeds();
    let before = ruleset(&node);
    let show = "netwire service show | awk 'NR > 1 {print $5}' | sort -u";
    for (flush, repair) in [
        (
            "nft flush ruleset",
            "netwire reapply | cmp - <(echo service web; echo service other)",
        ),
        ("nft delete table inet chroot0-services", UP),
        ("nft flush table inet chroot0-services", UP),
        (
            "nft flush chain inet chroot0-services services",
            "netwire reapply | grep -c service >/dev/null",
        ),
        (
            "nft delete element inet chroot0-services services4 { 10.96.0.1 . tcp . 80 }",
            UP,
        ),
        (
            "nft flush map inet chroot0-services endpoints4",
            "netwire reapply | grep -c service >/dev/null",
        ),
        (
            "nft flush ruleset",
            "netwire service set other --add 10.244.0.2",
        ),
        (
            "nft flush ruleset",
            "netwire service up third --vip 10.96.0.3 --port 80; netwire service down third",
        ),
    ] {
        node.sh(flush).succeeds();
        assert!(ruleset(&node).difference(&before).is_some(), "{flush}");
        if flush.ends_with("ruleset") {
            node.sh(show).succeeds().prints("gone");
        }
        node.sh(&format!("{repair} 2>/dev/null")).succeeds();
        node.sh(show).succeeds().prints("up");
        node.sh("netwire reapply").succeeds().prints("");
    }
    node.sh("nft flush ruleset; netwire service down --all")
        .succeeds();
    node.assert_as_it_was();
}

/// What iptables-nft, docker, firewalld and kube-proxy have, as far as it meets ours: the same hooks and priorities.
const OTHERS: &str = "
table ip nat {
    chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local counter jump DOCKER; }
    chain OUTPUT { type nat hook output priority -100; policy accept; ip daddr != 127.0.0.0/8 fib daddr type local counter jump DOCKER; }
    chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; ip saddr 172.17.0.0/16 oifname != \"docker0\" counter masquerade; }
    chain DOCKER { iifname != \"docker0\" tcp dport 8080 counter dnat to 172.17.0.2:80; }
}
table ip filter {
    chain FORWARD { type filter hook forward priority filter; policy accept; counter jump DOCKER-USER; }
    chain DOCKER-USER { counter return; }
}
table inet firewalld {
    chain nat_PREROUTING { type nat hook prerouting priority dstnat + 10; policy accept; }
    chain nat_POSTROUTING { type nat hook postrouting priority srcnat + 10; policy accept; }
    chain filter_PREROUTING { type filter hook prerouting priority filter + 10; policy accept; meta nfproto ipv6 fib saddr . iif oif missing drop; }
    chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept; ct state { established, related } accept; ct status dnat accept; ct state invalid drop; }
}
table ip kube-proxy {
    map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
    chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
    chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; jump services; }
}
";

#[test]
fn the_tables_of_others_are_left_alone_and_in_nobodys_way() {
    let node = Node::new();
    for pod in ["foo", "client"] {
        node.sh(&format!("nsrun up --id {pod} --net | netwire up --subnet 10.244.0.0/24 --nat 2>/dev/null >{pod}.json"))
            .succeeds();
    }
    let ask = "exec 9< <(exec nsrun exec -P foo.json -- /mnt/node serve 80 'foo {peer}'); pid=$!; read -r listening <&9
        nsrun exec -P client.json -- curl -s -S -m 5 http://10.96.0.1/; status=$?; kill $pid; exit $status";
    let web = "netwire service up web --vip 10.96.0.1 --port 80 --to 10.244.0.2";
    // theirs first, then ours, and the other way round
    for (first, second) in [("nft -f others", web), (web, "nft -f others")] {
        node.sh_with("cat >others", OTHERS).succeeds();
        node.sh(&format!("{first} && {second}")).succeeds();
        node.sh(ask).succeeds().prints("foo 10.244.0.3");
        let theirs = "nft list ruleset | sed '/^table inet chroot0/,/^}/d' | sed 's/counter packets.*bytes [0-9]*/counter/'";
        let with = node.sh(theirs).succeeds().stdout;
        node.sh("netwire service down web").succeeds();
        let without = node.sh(theirs).succeeds().stdout;
        assert_eq!(with, without);
        assert!(with.contains("table inet firewalld") && with.contains("chain DOCKER"));
        node.sh("for table in 'ip nat' 'ip filter' 'inet firewalld' 'ip kube-proxy'; do nft delete table $table; done; rm others")
            .succeeds();
    }
    if node.has("iptables") {
        node.sh(&format!(
            "iptables -t nat -A POSTROUTING -s 10.9.0.0/16 -j MASQUERADE && {web}"
        ))
        .succeeds();
        node.sh(ask).succeeds().prints("foo 10.244.0.3");
        // it still reads and writes its own
        node.sh("iptables -t nat -A OUTPUT -d 10.9.9.9 -j ACCEPT && iptables-save -t nat | grep -c 10.9.").succeeds().prints("2");
        node.sh("netwire service down web; nft delete table ip nat")
            .succeeds();
    }
    node.sh("for pod in foo client; do nsrun down <$pod.json | netwire down >/dev/null; done; rm *.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn killed_at_any_instant_the_next_call_makes_it_right() {
    let node = Node::new();
    let other = "netwire service up other --vip 10.96.0.2 --port 80 --to 10.244.0.2 2>/dev/null";
    let set = "netwire service set web --add 10.244.0.3 --add 10.244.0.4 --remove 10.244.0.2";
    let down = "netwire service down web";
    for (before, command) in [
        ("true", UP),
        (UP, set),
        (UP, down),
        (other, UP),
        (other, down),
    ] {
        let prepare = format!("{before} 2>/dev/null");
        node.sh(&prepare).succeeds();
        let found = places(&node, &format!("{command} 2>/dev/null"), 4);
        node.sh("netwire service down --all").succeeds();
        node.assert_same(node.before(), "left by the run that is counted");
        let mut killed = 0;
        for place in found {
            node.sh(&prepare).succeeds();
            let run = node.sh(&format!("{} {command} 2>/dev/null; echo $?", place.kill()));
            killed += usize::from(run.stdout.contains("137"));
            // whatever became of it, now it is so; what is shown is what the kernel has
            node.sh("netwire reapply >/dev/null && netwire service show | awk 'NR > 1 && $5 == \"gone\" { exit 1 }'")
                .succeeds();
            node.sh("netwire service down --all").succeeds();
            node.assert_same(
                node.before(),
                &format!("left after {command}, killed at {place:?}"),
            );
        }
        assert!(killed > 4, "{command}: only {killed} runs were killed");
    }
}

#[test]
fn a_call_that_fails_leaves_everything_as_it_was() {
    let node = Node::new();
    node.sh(&format!("{UP} 2>/dev/null")).succeeds();
    let show = "netwire service show; netwire service show --json; nft list ruleset | grep 10.96.0.2; cd /run/chroot0/.services; ls; cat log.*";
    let before = node.sh(show).stdout;
    let other = "netwire service up other --vip 10.96.0.2 --port 80 --to 10.244.0.2 2>/dev/null";
    let found = places(&node, other, 12);
    node.sh("netwire service down other").succeeds();
    let mut failed = 0;
    for place in found {
        let run = node.sh(&format!("{} {other}", place.fail("EIO")));
        match run.status {
            0 => drop(node.sh("netwire service down other").succeeds()),
            _ => failed += 1,
        }
        let now = node
            .sh(&format!("netwire reapply >/dev/null; {show}"))
            .stdout;
        assert_eq!(now, before, "left after a failure at {place:?}");
    }
    assert!(failed > 4, "only {failed} runs failed");
    node.sh("netwire service down --all").succeeds();
    node.assert_as_it_was();
}
