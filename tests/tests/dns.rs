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
