//! The tutorial's last chapter: kube-dns, two name servers behind one address, and a pod that asks them.

use tests::Node;

/// The pod of a name server, labelled as in Kubernetes.
fn server(name: &str) -> String {
    format!(
        "nsrun up --id {name} --net --pid | jq -c '.annotations[\"k8s-app\"] = \"kube-dns\"' |
           netwire up --subnet 10.244.0.0/24 >{name}.json
         nsrun exec -P {name}.json -- dnsmasq --keep-in-foreground --user=root --pid-file= --no-resolv --no-hosts --cache-size=0 --local=/cluster.local/ \
           --hostsdir=/home/namespace/hosts.d --log-queries --log-facility=/home/namespace/{name}.log >/dev/null 2>&1 &
         until grep -qs 'started' {name}.log; do :; done"
    )
}

/// A pod whose resolv.conf is what its record says.
const CLIENT: &str = r#"nsrun up --id client --net | netwire up --subnet 10.244.0.0/24 |
    jq -c '.netwire.dns = {nameservers: ["10.96.0.10"], search: ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"], options: ["ndots:5"]}' |
    mkbox up -P - --copy getent,cat,env --with nss --etc --proc box >client.json"#;

/// Asks for a name so many times, by UDP and then by TCP, and prints each different answer.
fn resolve(name: &str, times: u32) -> String {
    format!(
        "for i in {{1..{times}}}; do for by in timeout:2 use-vc; do
            nsrun exec -P client.json -- mkbox exec -P client.json -- env RES_OPTIONS=$by getent ahostsv4 {name} || echo $by failed
         done; done | awk '{{print $1, $2}}' | sort -u | grep -v DGRAM | grep -v RAW"
    )
}

#[test]
fn names_are_resolved_through_the_cluster_ip_also_when_one_server_dies() {
    let node = Node::new();
    if !node.has("dnsmasq") {
        return;
    }
    node.sh("mkdir hosts.d").succeeds();
    for name in ["coredns-1", "coredns-2"] {
        node.sh(&server(name)).succeeds();
    }
    node.sh(CLIENT).succeeds();
    node.sh("netwire service up kube-system/kube-dns --vip 10.96.0.10 --port dns:53/udp --port dns-tcp:53/tcp --select k8s-app=kube-dns
        netwire service up web --vip 10.96.0.80 --port 80
        netwire service names --output hosts.d/names")
        .succeeds();
    node.sh("for i in 1 2; do until grep -qs 'hosts.d/names' coredns-$i.log; do :; done; done")
        .succeeds();
    node.sh("nsrun exec -P client.json -- mkbox exec -P client.json -- cat /etc/resolv.conf")
        .succeeds()
        .says("")
        .prints("nameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5");
    for (name, address) in [
        ("kube-dns.kube-system", "10.96.0.10"),
        ("web", "10.96.0.80"),
        ("web.default.svc.cluster.local", "10.96.0.80"),
        ("10-244-0-2.default.pod", "10.244.0.2"),
        ("coredns-2", "10.244.0.3"),
    ] {
        node.sh(&resolve(name, 2))
            .succeeds()
            .prints(&format!("{address} STREAM"));
    }
    // both have been asked
    node.sh(&resolve("web", 20))
        .succeeds()
        .prints("10.96.0.80 STREAM");
    node.sh("grep -c 'query.* web' coredns-1.log && grep -c 'query.* web' coredns-2.log")
        .succeeds();
    // the pod of one is no more, and what it was sent goes to the other
    node.sh("nsrun down <coredns-1.json | netwire down >/dev/null
        netwire service set kube-system/kube-dns --select k8s-app=kube-dns
        netwire service names --output hosts.d/names")
        .succeeds();
    node.sh("netwire service show kube-system/kube-dns | awk '{print $6}'")
        .succeeds()
        .prints("ENDPOINTS\n10.244.0.3:53\n10.244.0.3:53");
    node.sh(&resolve("web", 20))
        .succeeds()
        .prints("10.96.0.80 STREAM");
    node.sh(
        "nsrun down <coredns-2.json | netwire down >/dev/null; netwire service down --all
        nsrun down <client.json | netwire down | mkbox down >/dev/null; rm -r hosts.d *.log *.json",
    )
    .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn options_of_netwire_reach_the_files_of_the_box() {
    let node = Node::new();
    let names = "--dns 10.96.0.10 --dns fd00::a --dns-search lan --dns-option ndots:5 --add-host db:10.0.0.9 --add-host db6:fd00::9";
    let up = "netwire up -P foo.json --subnet 10.244.0.0/24";
    node.sh("nsrun up --id foo --net --uts >bare.json && cp bare.json foo.json")
        .succeeds();
    node.sh(&format!(
        "{up} {names} >wired.json && mv wired.json foo.json"
    ))
    .succeeds();
    node.sh("mkbox up -P foo.json --copy cat --etc box >box.json && cat box/etc/resolv.conf; grep db box/etc/hosts")
        .succeeds()
        .prints(
            "nameserver 10.96.0.10\nnameserver fd00::a\nsearch lan\noptions ndots:5\n10.0.0.9\tdb\nfd00::9\tdb6",
        );
    // again, and by who has no opinion: the same record
    for again in [names, ""] {
        node.sh(&format!("{up} {again} | cmp - foo.json"))
            .succeeds();
    }
    node.sh(&format!("{up} --dns 10.96.0.11"))
        .ends(1)
        .says("foo: names are found by nameserver 10.96.0.10 fd00::a, search lan, options ndots:5, host 10.0.0.9 db, host fd00::9 db6, not nameserver 10.96.0.11");
    node.sh("netwire show -P foo.json --json | jq -c '[.dns.options, .hostAliases[1].hostnames]'; netwire show -P foo.json -v | grep dns | head -1")
        .prints("[[\"ndots:5\"],[\"db6\"]]\n  dns      nameserver 10.96.0.10 fd00::a");
    // a second interface leaves them as they are
    node.sh(
        "netwire up -P foo.json --subnet 10.9.0.0/24 --ifname eth1 | jq -c .netwire.dns.search",
    )
    .prints("[\"lan\"]");
    node.sh("netwire up -P bare.json --id bar --netns /proc/1/ns/net --subnet 10.8.0.0/24 --dns-option 'a b'")
        .ends(2);
    node.sh("mkbox down <box.json >/dev/null; netwire down --id foo; nsrun down <bare.json >/dev/null; rm *.json")
        .succeeds();
    node.becomes_as_it_was();
}
