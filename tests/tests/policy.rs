//! Who may begin to talk to a pod, and to whom the pod may.

use tests::web::{CURL, NO_WORLD, WORLD, down, serving, up, up_in};
use tests::{Node, Output};

/// What `who` gets of a page within a second: the text, or the status of curl. 28: nothing came.
fn ask(who: &str, url: &str) -> String {
    format!("nsrun exec -P {who}.json -- {CURL} -m 3 {url} 2>/dev/null || echo -n $?; echo\n")
}

#[track_caller]
fn gone(node: &Node, pods: &[&str]) {
    for pod in pods {
        node.sh(&down(pod)).succeeds();
    }
    node.becomes_as_it_was();
}

/// `iptables -A INPUT -s 10.1.2.3 -j DROP`, as the seed has it.
#[test]
fn s30_what_comes_from_one_address_is_dropped() {
    let node = Node::new();
    node.sh(&up("foo", "--deny 10.1.2.3")).succeeds().prints("");
    node.sh("nft list set inet chroot0 deny_in4")
        .succeeds()
        .says("10.244.0.2 . 10.1.2.3 comment \"foo eth0\"");
    node.sh(&up_in("bad", "10.1.2.0/24", "--ip 10.1.2.3"))
        .succeeds();
    node.sh(&up_in("good", "10.1.2.0/24", "--ip 10.1.2.4"))
        .succeeds();
    let script = ["bad", "good"].map(|who| ask(who, "http://10.244.0.2/"));
    // what the pod itself begins is answered
    let script = script.concat() + &ask("foo", "http://10.1.2.3/");
    node.sh(&serving(&[("foo", 80), ("bad", 80)], &script))
        .succeeds()
        .prints("28\nfoo 80 10.1.2.4\nbad 80 10.244.0.2");
    node.sh("nsrun exec -P bad.json -- ping -q -c 1 -W 1 10.244.0.2")
        .ends(1);
    node.sh("nsrun exec -P foo.json -- ping -q -c 1 -W 5 10.1.2.3")
        .succeeds();
    gone(&node, &["foo", "bad", "good"]);
}

#[test]
fn who_is_not_allowed_is_denied_but_the_host_and_the_pod_itself() {
    let node = Node::new();
    node.sh(WORLD).succeeds();
    let allowed = "--allow 10.244.0.3,80 --allow 192.0.2.9,7000-7002/udp --allow 10.244.0.4,icmp";
    node.sh(&up(
        "foo",
        &format!("--publish 8080:80 --publish 7002:7002/udp --sysctl-host {allowed}"),
    ))
    .succeeds()
    .prints("");
    for pod in ["bar", "baz"] {
        node.sh(&up(pod, "")).succeeds();
    }
    let script = [
        ask("bar", "http://10.244.0.2/"),
        ask("bar", "http://10.244.0.2:81/"),
        ask("baz", "http://10.244.0.2/"),
        // by the published port the rules are the same
        ask("bar", "http://10.244.0.1:8080/"),
        ask("world", "http://192.0.2.1:8080/"),
        ask("foo", "http://10.244.0.1:8080/"),
        format!("{CURL} http://127.0.0.1:8080/; echo; {CURL} http://10.244.0.2:81/"),
    ];
    node.sh(&serving(&[("foo", 80), ("foo", 81)], &script.concat()))
        .succeeds()
        .prints(
            "foo 80 10.244.0.3\n28\n28\nfoo 80 10.244.0.3\n28\nfoo 80 10.244.0.1\n\
             foo 80 10.244.0.1\nfoo 81 10.244.0.1",
        );
    let udp = |from: &str| {
        let ask = "exec 3<>/dev/udp/192.0.2.1/7002; echo ? >&3; timeout 1 head -c 8 <&3; true";
        let script = format!("nsrun exec -P {from}.json -- bash -c '{ask}'");
        node.sh(&serving(&[("foo", 7002)], &script))
    };
    udp("world").succeeds().prints("foo 7002");
    udp("baz").succeeds().prints("");
    let ping = |from: &str| {
        node.sh(&format!(
            "nsrun exec -P {from}.json -- ping -q -c 1 -W 1 10.244.0.2"
        ))
    };
    ping("baz").succeeds();
    ping("bar").ends(1);
    // nothing keeps the pod from asking others
    node.sh(&serving(&[("bar", 80)], &ask("foo", "http://10.244.0.3/")))
        .succeeds()
        .prints("bar 80 10.244.0.2");
    node.sh(&down("foo")).succeeds();
    for pod in ["bar", "baz"] {
        node.sh(&down(pod)).succeeds();
    }
    node.sh(NO_WORLD).succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_pod_begins_nothing_but_what_it_is_allowed_to() {
    let node = Node::new();
    node.sh(&up(
        "foo",
        "--subnet fd00::/64 --allow-to 10.244.0.0/24,80 --allow-to fd00::/64,80 --deny-to 10.244.0.4",
    ))
    .succeeds();
    for pod in ["bar", "baz"] {
        node.sh(&up(pod, "--subnet fd00::/64")).succeeds();
    }
    let script = [
        ask("foo", "http://10.244.0.3/"),
        ask("foo", "http://10.244.0.3:81/"),
        ask("foo", "http://10.244.0.4/"),
        ask("foo", "http://[fd00::4]/"),
        ask("foo", "http://[fd00::3]:81/"),
        // it answers
        ask("bar", "http://10.244.0.2/"),
        ask("bar", "http://[fd00::2]/"),
    ];
    let servers = [("foo", 80), ("bar", 80), ("bar", 81), ("baz", 80)];
    node.sh(&serving(&servers, &script.concat()))
        .succeeds()
        .prints("bar 80 10.244.0.2\n28\n28\nbaz 80 fd00::2\n28\nfoo 80 10.244.0.3\nfoo 80 fd00::3");
    gone(&node, &["foo", "bar", "baz"]);
}

/// The rules of foo, as the record has them and as the kernel has them.
fn rules(node: &Node) -> Output {
    node.sh("jq -c .netwire.attachments[0].policy foo.json; nft list table inet chroot0 | grep -o '10.244.0.2 \\. [^\"]*comment \"foo' | sort")
}

#[test]
fn a_living_pod_gets_other_rules_also_for_connections_that_are_there() {
    let node = Node::new();
    node.sh(&up("foo", "")).succeeds();
    node.sh(&up("bar", "")).succeeds();
    let change = |rules: &str| {
        format!("netwire policy -P foo.json {rules} >new.json && mv new.json foo.json")
    };
    let script = format!(
        "exec 9< <(nsrun exec -P bar.json -- bash -c '
             exec 3<>/dev/tcp/10.244.0.2/80 4<>/dev/tcp/10.244.0.2/80; echo begun
             read -r go <pipe; printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; timeout 1 tail -c 17 <&3 | grep foo || echo nothing
             read -r go <pipe; printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&4; timeout 5 tail -c 17 <&4')
         read -r begun <&9
         {}
         echo go >pipe; read -r first <&9
         {}
         echo go >pipe; read -r second <&9
         echo $first, $second",
        change("--allow 10.1.2.3"),
        change("--allow 10.244.0.3,80"),
    );
    node.sh(&format!(
        "mkfifo pipe; {}",
        serving(&[("foo", 80)], &script)
    ))
    .succeeds()
    .prints("nothing, foo 80 10.244.0.3");
    rules(&node).prints(
        "{\"ingress\":{\"isolated\":true,\"allow\":[\"10.244.0.3/32,80/tcp\"]}}\n10.244.0.2 . 10.244.0.2 comment \"foo\n10.244.0.2 . 10.244.0.3 . tcp . 80 comment \"foo",
    );
    // the same again, by up and by policy
    let same = "--allow 10.244.0.3,80";
    node.sh(&format!("netwire up -P foo.json --subnet 10.244.0.0/24 {same} | cmp - foo.json && netwire policy -P foo.json {same} | cmp - foo.json && netwire policy --id foo {same} | cmp - foo.json"))
        .succeeds();
    let answer = node
        .sh("netwire up -P foo.json --subnet 10.244.0.0/24 >/dev/null")
        .ends(1);
    assert_eq!(
        answer.stderr,
        "netwire: foo: the rules are --allow 10.244.0.3/32,80/tcp, not no rules (netwire policy changes them)\n"
    );
    node.sh(&change("")).succeeds();
    rules(&node).prints("null");
    node.sh("nft list ruleset").prints("");
    node.sh("netwire policy --id nobody --deny all")
        .ends(1)
        .says("nobody: not wired (netwire up)");
    node.sh("rm pipe").succeeds();
    gone(&node, &["foo", "bar"]);
}

#[test]
fn a_change_that_nobody_takes_is_undone() {
    let node = Node::new();
    node.sh(&up("foo", "--deny 10.1.2.3")).succeeds();
    let before = rules(&node).succeeds();
    let world = node.world();
    node.sh("netwire policy -P foo.json --allow all,80 --deny-to all >/dev/full")
        .ends(1);
    rules(&node).prints(before.stdout.trim_end());
    node.assert_same(&world, "not undone");
    // killed when the rules are changed, and before it said so
    node.sh("strace -f -o /dev/null -e trace=write -e inject=write:signal=KILL:when=2 netwire policy -P foo.json --allow all,80 >/dev/null")
        .ends(137);
    node.sh("nft list set inet chroot0 isolated_in4")
        .says("foo eth0");
    node.sh("netwire up -P foo.json --subnet 10.244.0.0/24 --deny 10.1.2.3 | cmp - foo.json")
        .succeeds();
    node.assert_same(&world, "not restored");
    gone(&node, &["foo"]);
}

#[test]
fn what_makes_no_sense_is_bad_usage() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >bare.json").succeeds();
    let world = node.world();
    for (rules, why) in [
        (
            "--allow 10.1.2.3,80 --deny 10.0.0.0/8",
            "--allow 10.1.2.3/32,80/tcp: --deny 10.0.0.0/8 denies all of it",
        ),
        (
            "--deny-to fd00::1",
            "--deny-to fd00::1/128: the pod has no address of that family",
        ),
    ] {
        let answer = node
            .sh(&format!(
                "netwire up -P bare.json --subnet 10.244.0.0/24 {rules} >/dev/null"
            ))
            .ends(2);
        assert_eq!(answer.stderr, format!("netwire: {why}\n"));
    }
    node.assert_same(&world, "something was made");
    node.sh("nsrun down <bare.json >/dev/null; rm bare.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn twenty_pods_with_rules_are_as_many_rules_as_one() {
    let node = Node::new();
    let wishes =
        "--allow 10.0.0.0/8,80-90 --allow 10.1.0.0/16,85-95 --deny 10.1.2.3 --deny-to all,25";
    node.sh(&up("p0", wishes)).succeeds();
    let rules = "nft list table inet chroot0 | sed -n '/chain/,/}/p' | wc -l";
    let one = node.sh(rules).succeeds();
    node.sh(&format!("for n in $(seq 1 20); do nsrun up --id p$n --net | netwire up --subnet 10.244.0.0/24 {wishes} >p$n.json & done; wait"))
        .succeeds();
    node.sh(rules).succeeds().prints(one.stdout.trim());
    node.sh("nft list table inet chroot0 | grep -c '10.1.0.0/16 . tcp . 91-95'; nft list set inet chroot0 isolated_in4 | grep -o comment | wc -l")
        .prints("21\n21");
    node.sh("for n in $(seq 0 20); do (nsrun down <p$n.json | netwire down >/dev/null) & done; wait; rm *.json").succeeds();
    node.becomes_as_it_was();
}
