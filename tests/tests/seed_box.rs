//! The tutorial's chroot0.sh, experiment by experiment, each compared with what the tutorial prints: a box, processes, a network and a
//! limit. The numbers are those of the list of experiments; those that are elsewhere carry theirs too (`cargo test -p tests s28_`).

use tests::web::{NO_WORLD, WORLD, serving};
use tests::{Node, Output};

/// The box of the tutorial, where the tutorial makes it.
const BOX: &str = "mkbox up -v --copy bash,ip,ls,mount,umount,kill,ps,curl,pidof,expr,rm --proc --bind /tmp:/data /home/namespace/box >box.json";

/// As its first script enters it: a root of its own, and the processes of everybody.
const CHROOT: &str = "mkbox exec -P box.json -- /bin/bash";

/// As its second does, with unshare.
const UNSHARED: &str = "nsrun exec --mount --pid --net -- mkbox exec -P box.json -- /bin/bash";

/// What the tutorial kills: it comes back, as the kubelet does, and says who it is in `/tmp/victim`.
const VICTIM: &str = "(while [ ! -e /tmp/stop ]; do sleep 4751 & echo $! >/tmp/new; mv /tmp/new /tmp/victim; wait $!; done; rm /tmp/victim /tmp/stop) >/dev/null 2>&1 & disown
    until [ -e /tmp/victim ]; do :; done";

/// And what ends it.
const NO_VICTIM: &str =
    "touch /tmp/stop; kill $(cat /tmp/victim); until [ ! -e /tmp/stop ]; do :; done";

/// The box is made, this is typed into it, and it is gone.
#[track_caller]
fn typed(node: &Node, container: &str, lines: &str) -> Output {
    node.sh(BOX).succeeds();
    let run = node.sh_with(container, lines);
    node.sh("mkbox down <box.json >/dev/null; rm box.json")
        .succeeds();
    run
}

#[test]
fn s10_the_box_has_the_directories_of_the_tutorial() {
    let node = Node::new();
    node.sh(BOX).succeeds();
    node.sh("ls -C -T0 box; find box -maxdepth 1 -type d | wc -l")
        .prints("bin  data  lib  lib64  proc\n6");
    node.sh("mkbox down <box.json >/dev/null; rm box.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn s11_each_program_is_said_as_cp_says_it() {
    let node = Node::new();
    let run = node.sh(BOX).succeeds();
    let programs = [
        "bash", "ip", "ls", "mount", "umount", "kill", "ps", "curl", "pidof", "expr", "rm",
    ];
    for program in programs {
        let arrow = format!("' -> '/home/namespace/box/bin/{program}'");
        let said = tests::without_times(&run.stderr);
        let line = said.lines().find(|line| line.ends_with(&arrow));
        let from = line.and_then(|line| {
            let from = line.strip_suffix(arrow.as_str())?;
            from.strip_prefix("mkbox: '")
        });
        assert!(
            from.is_some_and(|from| from.ends_with(&format!("/{program}"))),
            "{program} in {run}"
        );
    }
    node.sh("ls box/bin | wc -l").prints("11");
    node.sh("mkbox down <box.json >/dev/null; rm box.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn s14_ls_in_the_box_prints_what_was_brought_along() {
    let node = Node::new();
    typed(&node, CHROOT, "ls -C -T0\n")
        .succeeds()
        .prints("bin  data  lib  lib64  proc");
    node.assert_as_it_was();
}

#[test]
fn s15_without_unshare_ps_shows_the_host() {
    let node = Node::new();
    node.sh(VICTIM).succeeds();
    typed(&node, CHROOT, "ps -ax\n")
        .succeeds()
        .says("sleep 4751");
    node.sh(NO_VICTIM).succeeds();
    node.becomes_as_it_was();
}

#[test]
fn s17_a_file_of_tmp_is_in_data_and_the_other_way_round() {
    let node = Node::new();
    node.sh("touch /tmp/abc").succeeds();
    typed(&node, CHROOT, "ls /data; echo hole >/data/def\n")
        .succeeds()
        .prints("abc");
    node.sh("cat /tmp/def; rm /tmp/abc /tmp/def").prints("hole");
    node.assert_as_it_was();
}

#[test]
fn s18_without_unshare_kill_reaches_the_host() {
    let node = Node::new();
    node.sh(VICTIM).succeeds();
    let pid_and_start = "until pid=$(cat /tmp/victim) && [ -d /proc/$pid ]; do :; done; cut -d' ' -f1,22 /proc/$pid/stat";
    let before = node.sh(pid_and_start).succeeds().stdout;
    typed(&node, CHROOT, "kill $(</data/victim)\n").succeeds();
    let old = before.split(' ').next().unwrap_or_default();
    node.sh(&format!(
        "until [ $(cat /tmp/victim) != {old} ]; do :; done"
    ))
    .succeeds();
    let after = node.sh(pid_and_start).succeeds().stdout;
    for (was, is) in before.split_whitespace().zip(after.split_whitespace()) {
        assert_ne!(was, is, "PID and start time: {before} and {after}");
    }
    node.sh(NO_VICTIM).succeeds();
    node.becomes_as_it_was();
}

#[test]
fn s19_bash_is_pid_1_and_the_host_s_processes_do_not_exist() {
    let node = Node::new();
    node.sh(VICTIM).succeeds();
    let victim = node.sh("cat /tmp/victim").succeeds().stdout;
    let victim = victim.trim();
    let run = typed(&node, UNSHARED, &format!("ps -ax\nkill {victim}\n")).ends(1);
    let lines: Vec<Vec<&str>> = run
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines.len(), 3, "{run}");
    assert_eq!(lines[0], ["PID", "TTY", "STAT", "TIME", "COMMAND"]);
    assert_eq!((lines[1][0], &lines[1][4..]), ("1", &["/bin/bash"][..]));
    assert_eq!(lines[2][4..], ["ps", "-ax"]);
    let said = format!("kill: ({victim}) - No such process");
    run.says(&said);
    node.sh(&format!("kill -0 {victim}; {NO_VICTIM}"))
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn s20_unwired_there_is_only_lo_and_it_is_down() {
    let node = Node::new();
    let run = typed(&node, UNSHARED, "ip a\n").succeeds();
    assert!(
        run.stdout
            .starts_with("1: lo: <LOOPBACK> mtu 65536 qdisc noop state DOWN group default qlen 1000\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n"),
        "{run}"
    );
    // What a kernel gives to every namespace, like the tutorial's sit0@NONE, leads nowhere.
    let links = run.stdout.lines().filter(|line| !line.starts_with(' '));
    for link in links.skip(1) {
        assert!(
            link.contains("@NONE: <NOARP>")
                || link.contains(": <NOARP>")
                || link.contains("<BROADCAST,MULTICAST> "),
            "{link} in {run}"
        );
    }
    assert!(
        !run.stdout.contains("inet") && !run.stdout.contains("eth0"),
        "{run}"
    );
    node.assert_as_it_was();
}

#[test]
fn s21_wired_there_is_eth0_as_in_a_real_pod() {
    let node = Node::new();
    node.sh("nsrun up --id core-k8s --net | netwire up --subnet 10.244.0.0/24 >foo.json")
        .succeeds();
    // IPv6 tries its own address before it keeps it.
    let run = typed(
        &node,
        "nsrun exec -P foo.json --mount --pid -- mkbox exec -P box.json -- /bin/bash",
        "until ip a show eth0 | { while read -r a b c; do [ \"$a\" = inet6 ] && [[ $c != *tentative* ]] && exit 0; done; exit 1; }; do :; done\nip a\n",
    )
    .succeeds();
    let (lo, eth0) = run.stdout.split_once(": eth0@if").unwrap_or_default();
    for part in [
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536",
        "inet 127.0.0.1/8 scope host lo",
        "inet6 ::1/128 scope host",
    ] {
        assert!(lo.contains(part), "{part} in {run}");
    }
    for part in [
        ": <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue",
        "link/ether ",
        "inet 10.244.0.2/24 brd 10.244.0.255 scope global eth0",
        "inet6 fe80::",
        "/64 scope link",
    ] {
        assert!(eth0.contains(part), "{part} in {run}");
    }
    node.sh("nsrun down <foo.json | netwire down >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn s22_curl_fails_unwired_and_answers_on_the_node_and_in_a_wired_pod() {
    let node = Node::new();
    node.sh(WORLD).succeeds();
    // The address of the tutorial, on a machine that has no way to the real one.
    node.sh("nsrun exec -P world.json -- ip address add 142.250.189.206/32 dev lo; echo 1 >/proc/sys/net/ipv4/conf/up0/forwarding; nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 --nat >foo.json")
        .succeeds();
    node.sh(BOX).succeeds();
    let curl = "<<<'curl -sS -m 20 142.250.189.206'";
    let run = node.sh(&serving(
        &[("world", 80)],
        &format!(
            "{UNSHARED} {curl}; echo $?\ncurl -sS -m 20 142.250.189.206; echo\nnsrun exec -P foo.json --mount --pid -- mkbox exec -P box.json -- /bin/bash {curl}"
        ),
    ));
    run.succeeds()
        .says("curl: (7) ")
        .says("Couldn't connect to server")
        .prints("7\nworld 80 192.0.2.1\nworld 80 192.0.2.1");
    node.sh(&format!("mkbox down <box.json >/dev/null; nsrun down <foo.json | netwire down >/dev/null; {NO_WORLD}"))
        .succeeds();
    node.becomes_as_it_was();
}
