//! Beside the firewalls of others, as docker, firewalld and iptables leave them in nf_tables.

use tests::Node;
use tests::web::{CURL, NO_WORLD, WORLD, down, serving, up};

/// Of docker 24 with iptables-nft: its own bridge, NAT, and a FORWARD that drops.
const DOCKER: &str = "table ip nat {
    chain DOCKER { iifname docker0 return; }
    chain PREROUTING { type nat hook prerouting priority dstnat; policy accept; fib daddr type local jump DOCKER; }
    chain OUTPUT { type nat hook output priority -100; policy accept; ip daddr != 127.0.0.0/8 fib daddr type local jump DOCKER; }
    chain POSTROUTING { type nat hook postrouting priority srcnat; policy accept; oifname != docker0 ip saddr 172.17.0.0/16 masquerade; }
}
table ip filter {
    chain DOCKER { }
    chain DOCKER-USER { return; }
    chain DOCKER-ISOLATION-STAGE-1 { return; }
    chain FORWARD { type filter hook forward priority filter; policy drop;
        jump DOCKER-USER; jump DOCKER-ISOLATION-STAGE-1
        oifname docker0 ct state related,established accept
        oifname docker0 jump DOCKER
        iifname docker0 oifname != docker0 accept; }
}";

/// Of firewalld 1.3: it drops nothing, and rejects at the end.
const FIREWALLD: &str = "table inet firewalld {
    chain filter_PREROUTING { type filter hook prerouting priority raw + 10; policy accept;
        icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept; meta nfproto ipv6 fib saddr . mark . iif oif missing drop; }
    chain nat_POSTROUTING { type nat hook postrouting priority srcnat + 10; policy accept; }
    chain filter_INPUT { type filter hook input priority filter + 10; policy accept;
        ct state { established, related } accept; ct status dnat accept; iifname lo accept; }
    chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept; ct status dnat accept; iifname lo accept; ct state invalid drop
        reject with icmpx admin-prohibited; }
}";

fn load(node: &Node, tables: &str) {
    node.sh_with("nft -f -", tables).succeeds();
}

/// foo publishes and asks the world; what it needs of others' chains is named, and added only on request.
fn story(tables: &str, chain: &str, without: &str) {
    let node = Node::new();
    node.sh(WORLD).succeeds();
    let world = node.world();
    load(&node, tables);
    let firewall = node.world();
    let wishes = "--nat --publish 8080:80 --deny 10.1.2.3 --sysctl-host";
    let named = node.sh(&up("foo", wishes)).succeeds();
    assert_eq!(
        named.stderr,
        format!(
            "netwire: chain {chain} drops what its rules do not accept, also of pods (--accept-forward)\n"
        )
    );
    let ask = format!(
        "nsrun exec -P foo.json -- {CURL} -m 3 http://203.0.113.7/ 2>/dev/null || echo -n no; echo
         nsrun exec -P world.json -- {CURL} -m 3 http://192.0.2.1:8080/ 2>/dev/null || echo -n no"
    );
    let servers = [("world", 80), ("foo", 80)];
    node.sh(&serving(&servers, &ask)).prints(without);
    node.sh(&format!(
        "netwire up -P foo.json --subnet 10.244.0.0/24 {wishes} --accept-forward | cmp - foo.json"
    ))
    .succeeds()
    .prints("");
    node.sh(&serving(&servers, &ask))
        .prints("world 80 192.0.2.1\nfoo 80 192.0.2.9");
    node.sh(&down("foo")).succeeds();
    node.assert_same(&firewall, "the firewall of others");
    node.sh("nft flush ruleset").succeeds();
    node.assert_same(&world, "left behind");
    node.sh(NO_WORLD).succeeds();
    node.becomes_as_it_was();
}

#[test]
fn docker_drops_what_it_does_not_know() {
    story(DOCKER, "ip filter FORWARD", "no\nno");
}

#[test]
fn firewalld_rejects_what_it_does_not_know_and_lets_published_ports_pass() {
    story(
        FIREWALLD,
        "inet firewalld filter_FORWARD",
        "no\nfoo 80 192.0.2.9",
    );
}

#[test]
fn iptables_finds_its_own_tables_as_it_left_them() {
    let node = Node::new();
    if !node.has("iptables-nft") {
        return;
    }
    node.sh("iptables-nft -A INPUT -s 10.1.2.3 -j DROP; iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE; iptables-nft -A FORWARD -j REJECT")
        .succeeds();
    let saved = "iptables-nft-save | grep -v '^[#:]'";
    let before = node.sh(saved).succeeds();
    let named = node
        .sh(&up("foo", "--nat --publish 8080:80 --deny 10.1.2.3"))
        .succeeds();
    named
        .says_one_line("netwire")
        .says("chain ip filter FORWARD drops");
    // ours is no table that iptables would take for its own, or be confused by
    let now = node.sh(saved).succeeds().prints(before.stdout.trim_end());
    assert_eq!(now.stderr, "");
    node.sh("iptables-nft -I FORWARD -j ACCEPT && iptables-nft -D FORWARD -j ACCEPT")
        .succeeds();
    node.sh(&down("foo")).succeeds();
    node.sh(saved).succeeds().prints(before.stdout.trim_end());
    node.sh("nft flush ruleset").succeeds();
    node.becomes_as_it_was();
}
