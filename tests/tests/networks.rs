//! Leases in a network that CNI's host-local uses as well.

use tests::Node;
use tests::sweep::places;

/// Shell functions: a container of CNI gets an address and gives it back, and a command is run after the machine has been down.
const CNI: &str = r#"
    host_local() { CNI_COMMAND=$1 CNI_CONTAINERID=$2 CNI_NETNS=/proc/self/ns/net CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni /usr/lib/cni/host-local <<END
{"cniVersion":"1.0.0","name":"shared","type":"ptp","ipam":{"type":"host-local","ranges":[[{"subnet":"${3:-10.244.0.0/24}"}]]}}
END
    }
    after_boot() { echo another-boot >/tmp/boot_id; unshare -m sh -c 'mount --bind /tmp/boot_id /proc/sys/kernel/random/boot_id && exec "$@"' sh "$@"; status=$?; rm /tmp/boot_id; return $status; }
    gone() { while ip route | grep -q veth; do :; done; }
    cd /var/lib/cni/networks/shared 2>/dev/null || cd /var/lib/cni
"#;

fn sh(node: &Node, script: &str) -> tests::Output {
    node.sh(&format!("{CNI}\n{script}"))
}

/// A node with host-local, where a test of the real thing is possible.
fn node_with_host_local() -> Option<Node> {
    let node = Node::new();
    node.has_file("/usr/lib/cni/host-local").then_some(node)
}

const PODS: usize = 25;

#[test]
fn pods_and_containers_share_a_network() {
    let Some(node) = node_with_host_local() else {
        return;
    };
    sh(&node, &format!(
        "for n in $(seq {PODS}); do ip netns add n$n; done
         for n in $(seq {PODS}); do
             netwire up --id p$n --netns /run/netns/n$n --network shared --subnet 10.244.0.0/24 | jq -r '.netwire.ips[].address' >>/tmp/given &
             host_local ADD c$n | jq -r '.ips[].address' >>/tmp/given &
         done; wait; sort -u /tmp/given | wc -l"
    ))
    .succeeds()
    .prints(&(2 * PODS).to_string());
    // a file is a file, whoever wrote it
    sh(&node, "for id in p1 c1; do file=$(grep -l ^$id.$ 10.*); stat -c %a $file; tail -c +3 $file | od -An -c; done | sort | uniq -c | tr -s ' '; cat /tmp/given | cut -d/ -f1 | sort >/tmp/addresses; ls | grep ^10 | sort | cmp - /tmp/addresses; rm /tmp/*")
        .succeeds()
        .prints(" 2 \\r \\n e t h 0\n 2 644");
    // this boot's pods are nothing to free, nor is any container
    sh(&node, "netwire gc").succeeds().prints("");
    sh(&node, "mkdir /tmp/kept; cp -a . /tmp/kept").succeeds();

    // the machine goes down: namespaces and /run are gone
    sh(&node, &format!("for n in $(seq {PODS}); do ip netns del n$n; done; umount /run/netns; rmdir /run/netns; gone; rm -r /run/chroot0"))
        .succeeds();
    let freed = sh(&node, "after_boot netwire gc").succeeds();
    assert_eq!(freed.stdout.lines().count(), PODS, "{freed}");
    assert!(freed.stdout.lines().all(|line| line.contains(" of p")));
    let containers = "grep -l ^c 10.* | wc -l; ls | grep -c ^10";
    sh(&node, containers).prints(&format!("{PODS}\n{PODS}"));

    // the same without gc: the first pod makes room, for host-local as well
    sh(&node, "cp -a /tmp/kept/. .; rm -r /tmp/kept").succeeds();
    sh(&node, "ip netns add new; after_boot netwire up --id new --netns /run/netns/new --network shared --subnet 10.244.0.0/24 >/tmp/new.json")
        .succeeds();
    sh(&node, containers).prints(&format!("{PODS}\n{}", PODS + 1));
    sh(&node, "after_boot netwire down </tmp/new.json >/dev/null; ip netns del new; umount /run/netns; rmdir /run/netns; rm /tmp/new.json")
        .succeeds();
    sh(&node, containers).prints(&format!("{PODS}\n{PODS}"));
    sh(&node, &format!("for n in $(seq {PODS}); do host_local DEL c$n; done; ls; cd /; rm -r /var/lib/cni/networks"))
        .succeeds()
        .prints("last_reserved_ip.0\nlock");
    node.becomes_as_it_was();
}

#[test]
fn a_full_network_is_full_for_both_and_nobody_elses_lease_is_taken() {
    let Some(node) = node_with_host_local() else {
        return;
    };
    let small = "10.244.0.0/29";
    let up = |options: &str| {
        format!("nsrun up --id foo --net | netwire up --network shared --subnet {small} {options}")
    };
    let down = "nsrun down </tmp/foo.json | netwire down >/dev/null; rm /tmp/foo.json";
    sh(&node, &format!("{} >/tmp/foo.json; for n in 1 2 3 4; do host_local ADD c$n {small}; done | jq -r '.ips[].address'", up("")))
        .succeeds()
        .prints("10.244.0.3/29\n10.244.0.4/29\n10.244.0.5/29\n10.244.0.6/29");
    sh(&node, &format!("host_local ADD c5 {small}")).ends(1);
    sh(&node, down).succeeds();
    sh(
        &node,
        &format!("host_local ADD c5 {small} | jq -r '.ips[].address'"),
    )
    .succeeds()
    .prints("10.244.0.2/29");
    // not for a boot either: containers are host-local's
    for (options, why) in [
        (
            "",
            "10.244.0.0/29: no address left (5 leases in /var/lib/cni/networks/shared: c5, c1, c2, c3, c4)",
        ),
        (
            "--ip 10.244.0.4",
            "10.244.0.4 is taken, by c2 (in /var/lib/cni/networks/shared)",
        ),
    ] {
        let full = sh(&node, &format!("{} >/tmp/foo.json", up(options)));
        assert_eq!(full.ends(1).stderr, format!("netwire: {why}\n"));
        sh(&node, &format!("{down}; ls -A")).prints(
            "10.244.0.2\n10.244.0.3\n10.244.0.4\n10.244.0.5\n10.244.0.6\nlast_reserved_ip.0\nlock",
        );
    }
    sh(&node, &format!("for n in 1 2 3 4 5; do host_local DEL c$n {small}; done; cd /; rm -r /var/lib/cni/networks"))
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_kill_anywhere_and_then_a_boot_lose_no_address() {
    let Some(node) = node_with_host_local() else {
        return;
    };
    sh(&node, "host_local ADD c1 >/dev/null").succeeds();
    let left = "ls -A /var/lib/cni/networks/shared";
    let as_before = "10.244.0.2\nlast_reserved_ip.0\nlock\n";
    let up = "netwire up --id foo --netns /run/netns/n --network shared --subnet 10.244.0.0/24 >/dev/null";
    let reboot = "ip netns del n; gone; rm -rf /run/chroot0; after_boot netwire gc >/dev/null";
    sh(&node, "ip netns add n").succeeds();
    let found = places(&node, up, 2);
    sh(&node, reboot).succeeds();
    let mut killed = 0;
    for place in found {
        sh(&node, "ip netns add n").succeeds();
        killed += usize::from(node.sh(&format!("{} {up}", place.kill())).status == 137);
        let after = sh(&node, &format!("{reboot}; {left}"));
        assert_eq!(after.stdout, as_before, "{place:?}: {after}");
    }
    assert!(killed > 10, "only {killed} runs were killed");
    sh(
        &node,
        "umount /run/netns; rmdir /run/netns; cd /; rm -r /var/lib/cni/networks",
    )
    .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_network_has_a_name_and_a_last_address_of_each_range() {
    let node = Node::new();
    let up = |options: &str| {
        node.sh(&format!(
            "nsrun up --id foo --net | netwire up {options} >foo.json"
        ))
    };
    let down = "nsrun down <foo.json | netwire down >/dev/null; rm foo.json";
    for (subnets, files) in [
        ("--subnet fd00::/64", "fd00::2\nlast_reserved_ip.0\nlock"),
        (
            "--subnet fd00::/64 --subnet 10.244.0.0/24",
            "10.244.0.2\nfd00::2\nlast_reserved_ip.0\nlast_reserved_ip.1\nlock",
        ),
    ] {
        up(&format!("--network six {subnets}")).succeeds();
        node.sh("ls /var/lib/cni/networks/six; jq -r '.netwire.attachments[0].network' foo.json")
            .prints(&format!("{files}\nsix"));
        node.sh(&format!("netwire up {subnets} <foo.json"))
            .ends(1)
            .says(
                "the lease is in /var/lib/cni/networks/six, not in /var/lib/cni/networks/chroot0",
            );
        // one of a subnet that another network has would be somebody else's as well
        node.sh(&format!(
            "nsrun up --id bar --net | netwire up {subnets} --network other | nsrun down"
        ))
        .says("overlaps")
        .says("(1 lease in /var/lib/cni/networks/six: foo)");
        node.sh(down).succeeds();
    }
    // a directory that an administrator made is not ours to remove
    node.sh("mkdir -p /var/lib/cni/networks/chroot0").succeeds();
    up("--subnet 10.244.0.0/24").succeeds();
    node.sh(&format!(
        "{down}; ls /var/lib/cni/networks/chroot0; rm -r /var/lib/cni/networks"
    ))
    .prints("last_reserved_ip.0\nlock");
    up("--subnet 10.244.0.0/24 --network ../six")
        .ends(2)
        .says("no name of a network");
    up("--subnet 10.244.0.0/24 --network six --lease-dir .")
        .ends(2)
        .says("cannot be used with");
    node.sh("nsrun down --id foo; rm foo.json").succeeds();
    node.becomes_as_it_was();
}
