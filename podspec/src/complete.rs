//! What a container's record lacks until its pod is up: addresses, aliases, name servers.

use serde_json::{Map, Value, json};

/// What the node adds to name servers.
#[derive(Debug, Default)]
pub(crate) struct Node<'a> {
    /// The text of its resolv.conf.
    pub(crate) resolv_conf: &'a str,
    /// The address of the cluster's name server.
    pub(crate) cluster_dns: &'a [String],
    pub(crate) cluster_domain: &'a str,
}

/// Takes over what `mkbox up --etc` writes files from: addresses, aliases, and the name servers by the pod's policy.
pub(crate) fn of_pod(record: &mut Map<String, Value>, pod: &Value, node: &Node<'_>) {
    if let Some(aliases) = pod.get("hostAliases") {
        record.insert("hostAliases".into(), aliases.clone());
    }
    let netwire = pod.get("netwire").and_then(Value::as_object);
    let mut netwire = netwire.cloned().unwrap_or_default();
    netwire.insert("dns".into(), dns(pod, node));
    record.insert("netwire".into(), netwire.into());
}

/// As the kubelet does it: the cluster's or the node's, with what the manifest adds behind.
fn dns(pod: &Value, node: &Node<'_>) -> Value {
    let own = &pod["podspec"]["dns"];
    let mut servers = Vec::new();
    let mut search = Vec::new();
    let mut options = Vec::new();
    let policy = own["policy"].as_str().unwrap_or("Default");
    if policy != "None" {
        let (node_servers, node_search, node_options) = parse_resolv_conf(node.resolv_conf);
        if policy == "ClusterFirst" && !node.cluster_dns.is_empty() {
            servers = node.cluster_dns.to_vec();
            let namespace = pod["podspec"]["namespace"].as_str().unwrap_or("default");
            let domain = node.cluster_domain;
            search = vec![
                format!("{namespace}.svc.{domain}"),
                format!("svc.{domain}"),
                domain.to_owned(),
            ];
            search.extend(node_search);
            options = vec!["ndots:5".to_owned()];
        } else {
            (servers, search, options) = (node_servers, node_search, node_options);
        }
    }
    let add = |list: &mut Vec<String>, key: &str| {
        for word in own[key]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if !list.iter().any(|known| known == word) {
                list.push(word.to_owned());
            }
        }
    };
    add(&mut servers, "nameservers");
    add(&mut search, "search");
    // An option of the manifest replaces one of the same name.
    let given = own["options"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    for option in given {
        let name = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
        options.retain(|known| name(known) != name(option));
        options.push(option.to_owned());
    }
    servers.truncate(3);
    json!({"nameservers": servers, "search": search, "options": options})
}

/// nameserver, search and options of resolv.conf(5).
pub(crate) fn parse_resolv_conf(text: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let (mut servers, mut search, mut options) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => servers.extend(words.next()),
            // The last line counts.
            Some("search" | "domain") => search = words.collect(),
            Some("options") => options.extend(words),
            _ => {}
        }
    }
    (servers, search, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_follow_the_policy() {
        let node = Node {
            resolv_conf: "# x\nnameserver 1.1.1.1\nsearch old\nsearch lan\noptions ndots:2 edns0\n",
            cluster_dns: &["10.96.0.10".to_owned()],
            cluster_domain: "cluster.local",
        };
        let of = |dns: Value| {
            let mut record = Map::new();
            let pod = json!({"podspec": {"dns": dns, "namespace": "web"}, "netwire": {"ips": []}});
            of_pod(&mut record, &pod, &node);
            record["netwire"]["dns"].clone()
        };
        assert_eq!(
            of(json!({"policy": "ClusterFirst", "options": ["ndots:1"]})),
            json!({"nameservers": ["10.96.0.10"], "search": ["web.svc.cluster.local", "svc.cluster.local", "cluster.local", "lan"], "options": ["ndots:1"]})
        );
        assert_eq!(
            of(json!({"policy": "Default", "nameservers": ["9.9.9.9"]})),
            json!({"nameservers": ["1.1.1.1", "9.9.9.9"], "search": ["lan"], "options": ["ndots:2", "edns0"]})
        );
        assert_eq!(
            of(json!({"policy": "None", "nameservers": ["9.9.9.9"], "search": ["a"]})),
            json!({"nameservers": ["9.9.9.9"], "search": ["a"], "options": []})
        );
    }
}
