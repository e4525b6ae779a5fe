//! Services of Kubernetes: read as kubectl prints them, shown as kube-proxy would make them, found by labels.

use tests::Node;

/// kube-dns with two endpoints that are ready and one that is not, a headless service, one with affinity and a node port.
const LIST: &str = r#"{"apiVersion":"v1","kind":"List","items":[
 {"apiVersion":"v1","kind":"Service","metadata":{"name":"kube-dns","namespace":"kube-system","uid":"x"},
  "spec":{"clusterIP":"10.96.0.10","clusterIPs":["10.96.0.10"],"type":"ClusterIP","selector":{"k8s-app":"kube-dns"},"ports":[
   {"name":"dns","port":53,"protocol":"UDP","targetPort":53},{"name":"dns-tcp","port":53,"protocol":"TCP","targetPort":"dns-tcp"},
   {"name":"metrics","port":9153,"protocol":"TCP","targetPort":9153}],"sessionAffinity":"None"},"status":{"loadBalancer":{}}},
 {"apiVersion":"v1","kind":"Service","metadata":{"name":"headless"},"spec":{"clusterIP":"None","ports":[{"port":80}]}},
 {"apiVersion":"v1","kind":"Service","metadata":{"name":"web","namespace":"default"},
  "spec":{"clusterIP":"10.96.0.1","type":"NodePort","externalIPs":["192.0.2.80"],"ports":[{"port":80,"nodePort":30080,"targetPort":8080}],
   "sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":600}}}},
 {"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"IPv4","metadata":{"name":"kube-dns-abcde","namespace":"kube-system",
   "labels":{"kubernetes.io/service-name":"kube-dns"}},
  "endpoints":[{"addresses":["10.244.0.3"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"n"},
   {"addresses":["10.244.0.4"],"conditions":{}},{"addresses":["10.244.0.5"],"conditions":{"ready":false}}],
  "ports":[{"name":"dns","port":53,"protocol":"UDP"},{"name":"dns-tcp","port":53,"protocol":"TCP"},{"name":"metrics","port":9153,"protocol":"TCP"}]},
 {"kind":"EndpointSlice","metadata":{"name":"web-1","namespace":"default","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4",
  "endpoints":[{"addresses":["10.244.0.6"]}],"ports":[{"name":"","port":8080,"protocol":"TCP"}]},
 {"kind":"EndpointSlice","metadata":{"name":"web-6","namespace":"default","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv6",
  "endpoints":[{"addresses":["fd00::6"]}],"ports":[{"name":"","port":8080,"protocol":"TCP"}]}]}"#;

#[test]
fn s31_what_kubectl_prints_becomes_services() {
    let node = Node::new();
    node.sh_with("netwire service up", LIST)
        .succeeds()
        .prints("");
    let expected = r#"{"name":"kube-system/kube-dns","vips":["10.96.0.10"],"ports":[{"name":"dns","port":53,"protocol":"udp","to":["10.244.0.3:53","10.244.0.4:53"]},{"name":"dns-tcp","port":53,"protocol":"tcp","to":["10.244.0.3:53","10.244.0.4:53"]},{"name":"metrics","port":9153,"protocol":"tcp","to":["10.244.0.3:9153","10.244.0.4:9153"]}],"elsewhere":["10.244.0.3","10.244.0.4"]}
{"name":"web","vips":["10.96.0.1"],"external":["192.0.2.80"],"ports":[{"port":80,"protocol":"tcp","nodePort":30080,"to":["10.244.0.6:8080"]}],"affinity":600,"elsewhere":["10.244.0.6"]}"#;
    node.sh("netwire service show --json")
        .succeeds()
        .prints(expected);
    // the same again is nothing; an endpoint less is set, by its slice alone
    node.sh_with("netwire service up", LIST).succeeds();
    let slice = r#"{"kind":"EndpointSlice","metadata":{"name":"kube-dns-abcde","namespace":"kube-system","labels":{"kubernetes.io/service-name":"kube-dns"}},
        "endpoints":[{"addresses":["10.244.0.4"]}],"ports":[{"name":"dns","port":53,"protocol":"UDP"},{"name":"dns-tcp","port":53,"protocol":"TCP"}]}"#;
    node.sh_with("netwire service set", slice).succeeds();
    node.sh("netwire service show kube-system/kube-dns | awk '{print $3, $5, $6}'")
        .succeeds()
        .prints("PORT STATE ENDPOINTS\n53/udp up 10.244.0.4:53\n53/tcp up 10.244.0.4:53\n9153/tcp empty -");
    // what show prints is read
    node.sh("netwire service show --json >all; netwire service down --all; netwire service up <all; netwire service show --json | cmp - all; rm all")
        .succeeds()
        .prints("");
    node.sh("netwire service down --all").succeeds();
    node.assert_as_it_was();
}

#[test]
fn s35_the_listing_is_one_that_iptables_takes_and_prints_again() {
    let node = Node::new();
    node.sh_with("netwire service up", LIST).succeeds();
    let listing = node.sh("netwire service show --iptables").succeeds().stdout;
    for line in [
        r#"-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "kube-system/kube-dns:dns-tcp cluster IP" -m tcp --dport 53 -j KUBE-SVC-ERIFXISQEP7F7OF4"#,
        r#"-A KUBE-SVC-ERIFXISQEP7F7OF4 -m comment --comment "kube-system/kube-dns:dns-tcp -> 10.244.0.3:53" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-ZXMNUKOKXUTL2MK2"#,
        r#"-A KUBE-SVC-ERIFXISQEP7F7OF4 -m comment --comment "kube-system/kube-dns:dns-tcp -> 10.244.0.4:53" -j KUBE-SEP-SF3LG62VAE5ALYDV"#,
        r#"-A KUBE-SEP-ZXMNUKOKXUTL2MK2 -p tcp -m comment --comment "kube-system/kube-dns:dns-tcp" -m tcp -j DNAT --to-destination 10.244.0.3:53"#,
    ] {
        assert!(
            listing.lines().any(|found| found == line),
            "{line}\n{listing}"
        );
    }
    if node.has("iptables-restore") {
        // beside ours, so that two answer; only the text matters here
        node.sh_with("iptables-restore --test", &listing).succeeds();
        let ours: Vec<&str> = listing
            .lines()
            .filter(|line| line.starts_with("-A KUBE-SVC") || line.starts_with("-A KUBE-SEP"))
            .collect();
        node.sh_with("netwire service down --all; iptables-restore", &listing)
            .succeeds();
        let theirs = node
            .sh("iptables-save -t nat; nft flush ruleset")
            .succeeds()
            .stdout;
        for line in ours {
            // this iptables prints a random-looking mask of `recent` and the order of matches as it was given
            assert!(
                theirs.lines().any(|found| found == line),
                "{line}\n{theirs}"
            );
        }
    } else {
        node.sh("netwire service down --all").succeeds();
    }
    node.assert_as_it_was();
}

#[test]
fn the_listing_of_ipv6_is_one_that_ip6tables_takes() {
    let node = Node::new();
    if !node.has("ip6tables-restore") {
        return;
    }
    node.sh("netwire service up kube-system/dns --vip 10.96.0.10 --vip fd00:96::a --port dns:53/udp --to 10.244.0.3 --to fd00:244::3 --to fd00:244::4 --affinity 60 --node-port 30053 --deny-from fd00:1::/64 && netwire service up none --vip fd00:96::b --port 80")
        .succeeds();
    let listing = node
        .sh("netwire service show --ip6tables")
        .succeeds()
        .stdout;
    node.sh_with("ip6tables-restore --test", &listing)
        .succeeds();
    for part in [
        "-d fd00:96::a/128 -p udp ",
        "--to-destination [fd00:244::4]:53\n",
        " -s fd00:1::/64 -j DROP\n",
        "--dport 30053 -j KUBE-EXT-",
        "-j REJECT --reject-with icmp6-port-unreachable\n",
    ] {
        assert!(listing.contains(part), "{part}\n{listing}");
    }
    assert!(
        !listing.contains("10.96.0.10") && !listing.contains("10.244.0.3"),
        "{listing}"
    );
    node.sh("netwire service down --all").succeeds();
    node.assert_as_it_was();
}

#[test]
fn s32_endpoints_are_the_pods_with_the_label() {
    let node = Node::new();
    for (pod, app) in [("a", "dns"), ("b", "web"), ("c", "dns")] {
        node.sh(&format!(
            "nsrun up --id {pod} --net | jq -c '.annotations = {{app:\"{app}\",tier:\"back\"}}' | netwire up --subnet 10.244.0.0/24 >{pod}.json"
        ))
        .succeeds();
    }
    let show = "netwire service show --json | jq -c '.ports[0].to'";
    node.sh(&format!(
        "netwire service up dns --vip 10.96.0.10 --port 53/udp --select app=dns,tier=back && {show}"
    ))
    .succeeds()
    .prints(r#"["10.244.0.2:53","10.244.0.4:53"]"#);
    // one goes; another of that name in a directory of records
    node.sh(&format!("nsrun down <a.json | netwire down >/dev/null; netwire service set dns --select app=dns && {show}"))
        .succeeds()
        .prints(r#"["10.244.0.4:53"]"#);
    node.sh(&format!("mkdir records; cp b.json c.json records; netwire service set dns --select tier=back --pods records && {show}; rm -r records"))
        .succeeds()
        .prints(r#"["10.244.0.3:53","10.244.0.4:53"]"#);
    node.sh(&format!(
        "netwire service set dns --select app=web --pods c.json --pods b.json && {show}"
    ))
    .succeeds()
    .prints(r#"["10.244.0.3:53"]"#);
    node.sh(&format!(
        "netwire service set dns --select app=nobody && {show}"
    ))
    .succeeds()
    .prints("[]")
    .says("warning: service dns: no pod has app=nobody");
    node.sh("netwire service down dns; for pod in b c; do nsrun down <$pod.json | netwire down >/dev/null; done; rm *.json")
        .succeeds();
    node.becomes_as_it_was();
}
