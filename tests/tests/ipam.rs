//! Who gets which address, and who gets it back.

use tests::Node;

fn addresses(node: &Node, files: &str) -> Vec<String> {
    let all = node
        .sh(&format!("jq -r '.netwire.ips[].address' {files}"))
        .succeeds();
    let mut all: Vec<String> = all.stdout.lines().map(str::to_owned).collect();
    all.sort();
    all
}

#[test]
fn two_hundred_at_once_have_two_hundred_addresses() {
    let node = Node::new();
    node.sh("for n in $(seq 200); do ip netns add n$n & done; wait; ls /run/netns | wc -l")
        .succeeds()
        .prints("200");
    node.sh("for n in $(seq 200); do netwire up --id p$n --netns /run/netns/n$n --subnet 10.244.0.0/24 --subnet fd00::/64 --nat >p$n.json & done; wait")
        .succeeds()
        .prints("");
    let mut given = addresses(&node, "p*.json");
    given.dedup();
    assert_eq!(given.len(), 400);
    node.sh("nft list set inet chroot0 masquerade4 | grep -o comment | wc -l")
        .prints("200");
    node.sh("for n in $(seq 200); do netwire down <p$n.json >/dev/null & done; wait; ls /run/chroot0 2>/dev/null; nft list ruleset")
        .succeeds()
        .prints("");
    node.sh("rm *.json; for n in $(seq 200); do ip netns del n$n; done; umount /run/netns; rmdir /run/netns")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn only_addresses_that_were_offered_are_given() {
    let node = Node::new();
    let up = |id: &str, options: &str| {
        node.sh(&format!(
            "nsrun up --id {id} --net | netwire up --subnet 10.244.0.0/24 --subnet fd00::/64 {options} >{id}.json"
        ))
    };
    let narrow = "--range 10.244.0.100-10.244.0.102 --exclude 10.244.0.101 --exclude fd00::/126";
    up("a", narrow).succeeds();
    up("b", narrow).succeeds();
    assert_eq!(
        addresses(&node, "*.json"),
        [
            "10.244.0.100/24",
            "10.244.0.102/24",
            "fd00::4/64",
            "fd00::5/64"
        ]
    );
    up("c", narrow)
        .ends(1)
        .says_one_line("netwire")
        .says("10.244.0.0/24: no address left (2 leases in");
    // who asks for one by name knows why
    up("d", "--exclude 10.244.0.0/24 --ip 10.244.0.101").succeeds();
    let wrong = node.sh(
        "netwire up --id e --netns /proc/1/ns/net --subnet 10.244.0.0/24 --range 10.1.0.1-10.1.0.9",
    );
    assert_eq!(
        wrong.ends(2).stderr,
        "netwire: --range 10.1.0.1-10.1.0.9: is in no --subnet\n"
    );
    node.sh(
        "for id in a b c d; do nsrun down <$id.json | netwire down >/dev/null; done; rm *.json",
    )
    .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn gc_goes_on_after_a_pod_that_it_cannot_ask() {
    let node = Node::new();
    let ids = ["broken", "damaged", "first", "last", "torn"];
    for id in ids {
        node.sh(&format!(
            "nsrun up --id {id} --net | netwire up --subnet 10.244.0.0/24 --nat --sysctl-host >{id}.json"
        ))
        .succeeds();
    }
    node.sh(&format!(
        "for id in {}; do nsrun down <$id.json >/dev/null; done; while ip -br link | grep -q ^veth; do :; done
         cd /run/chroot0; for id in broken damaged torn; do cp $id/record.json /tmp/$id; done
         rm broken/record.json; mkdir broken/record.json; echo '{{' >damaged/record.json
         jq -c '.netwire.attachments = 1' /tmp/torn >torn/record.json",
        ids.join(" ")
    ))
    .succeeds();
    let freed = "10.244.0.4 of first eth0\n10.244.0.5 of last eth0\nnf_tables of first eth0\nnf_tables of last eth0";
    for gc in ["netwire gc --dry-run", "netwire gc"] {
        let output = node.sh(gc).ends(1);
        // elements of a set come as their hashes are
        let mut lines: Vec<&str> = output.stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines.join("\n"), freed, "{output}");
        let mut said: Vec<&str> = output.stderr.lines().collect();
        said.sort_unstable();
        let starts = [
            "netwire: broken: open(/run/chroot0/broken/record.json): Is a directory",
            "netwire: damaged: /run/chroot0/damaged/record.json: ",
            "netwire: torn: netwire.attachments: ",
        ];
        assert_eq!(said.len(), starts.len(), "{output}");
        for (line, start) in said.iter().zip(starts) {
            assert!(line.starts_with(start), "{output}");
        }
    }
    node.sh("rmdir /run/chroot0/broken/record.json; for id in broken damaged torn; do mv /tmp/$id /run/chroot0/$id/record.json; done")
        .succeeds();
    node.sh("netwire gc").succeeds();
    node.sh("for id in broken damaged first last torn; do netwire down <$id.json >/dev/null || exit; done; rm *.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn what_a_crash_left_is_freed_and_nothing_else() {
    let node = Node::new();
    for id in ["lives", "died", "lost", "renamed"] {
        node.sh(&format!(
            "nsrun up --id {id} --net | netwire up --subnet 10.244.0.0/24 --publish 80$(ls *.json 2>/dev/null | wc -l):80 >{id}.json"
        ))
        .succeeds();
    }
    // one ended and nobody came for it, the other's index was removed by hand as well
    node.sh("nsrun down <died.json >/dev/null; nsrun down <lost.json >/dev/null; rm -r /run/chroot0/lost; while ip -br link | grep -c ^veth | grep -v 2; do :; done")
        .succeeds();
    node.sh("veth=$(jq -r '.netwire.interfaces[0].name' renamed.json); ip link set $veth down; ip link set $veth name other up; ip route replace $(jq -r '.netwire.attachments[0].address' renamed.json) dev other scope host")
        .succeeds();
    let found = "10.244.0.3 of died eth0\n10.244.0.4 of lost eth0";
    let table =
        "nft list set inet chroot0 veths | grep -o 'comment.*\"' | grep -o '[a-z]* eth0' | sort";
    let dry = node.sh("netwire gc --dry-run").succeeds();
    assert!(dry.stdout.starts_with(found), "{dry}");
    node.sh(table)
        .prints("died eth0\nlives eth0\nlost eth0\nrenamed eth0");
    let wet = node.sh("netwire gc").succeeds();
    assert_eq!(wet.stdout, dry.stdout);
    assert!(
        wet.stdout.contains("nf_tables of died eth0")
            && wet.stdout.contains("nf_tables of lost eth0")
    );
    node.sh(table).prints("lives eth0\nrenamed eth0");
    node.sh("ls /var/lib/cni/networks/chroot0 | grep ^10")
        .prints("10.244.0.2\n10.244.0.5");
    node.sh("netwire gc").succeeds().prints("");
    node.sh("for id in lives died renamed; do nsrun down <$id.json | netwire down >/dev/null || exit; done; rm *.json; netwire gc")
        .succeeds()
        .prints("");
    node.becomes_as_it_was();
}
