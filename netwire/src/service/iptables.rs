//! `service show --iptables`: the rules that kube-proxy would have made of the same services, as iptables-save(8) prints them.
//!
//! The names of the chains are its own as well: sixteen characters of a hash.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::definition::{Port, Service};
use super::endpoint::Endpoint;
use crate::cidr::width;

/// Rules of one table, chain by chain, in the order in which iptables-save prints them.
#[derive(Debug, Default)]
struct Rules(BTreeMap<String, Vec<String>>);

impl Rules {
    fn add(&mut self, chain: &str, rule: String) {
        self.0.entry(chain.to_owned()).or_default().push(rule);
    }

    /// `*nat`, the chains, the rules, `COMMIT`.
    fn print(&self, table: &str, builtin: &[&str]) -> String {
        let mut text = format!("*{table}\n");
        for chain in builtin {
            let _ = writeln!(text, ":{chain} ACCEPT [0:0]");
        }
        let own = || {
            self.0
                .iter()
                .filter(|(chain, _)| !builtin.contains(&chain.as_str()))
        };
        for (chain, _) in own() {
            let _ = writeln!(text, ":{chain} - [0:0]");
        }
        let first = builtin
            .iter()
            .filter_map(|chain| self.0.get_key_value(*chain));
        for (chain, rules) in first.chain(own()) {
            for rule in rules {
                let _ = writeln!(text, "-A {chain} {rule}");
            }
        }
        text + "COMMIT\n"
    }
}

/// All three tables, for IPv4 or for IPv6.
pub(crate) fn listing(services: &[Service], ipv4: bool) -> String {
    let (mut raw, mut nat, mut filter) = (Rules::default(), Rules::default(), Rules::default());
    let portals = "-m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES".to_owned();
    nat.add("PREROUTING", portals.clone());
    nat.add("OUTPUT", portals);
    nat.add(
        "POSTROUTING",
        "-m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING".into(),
    );
    nat.add("KUBE-MARK-MASQ", "-j MARK --set-xmark 0x4000/0x4000".into());
    nat.add(
        "KUBE-POSTROUTING",
        "-m mark ! --mark 0x4000/0x4000 -j RETURN".into(),
    );
    nat.add("KUBE-POSTROUTING", "-j MARK --set-xmark 0x4000/0x0".into());
    nat.add(
        "KUBE-POSTROUTING",
        "-m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE".into(),
    );
    for chain in ["FORWARD", "OUTPUT"] {
        let new = "-m conntrack --ctstate NEW -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES";
        filter.add(chain, new.into());
    }
    for service in services {
        for port in &service.ports {
            let one = One::new(service, port, ipv4);
            one.denied(&mut raw);
            one.translated(&mut nat, &mut filter);
        }
    }
    nat.add("KUBE-SERVICES", "-m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this chain\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS".into());
    nat.0.entry("KUBE-NODEPORTS".into()).or_default();
    filter.0.entry("KUBE-SERVICES".into()).or_default();
    let raw = match raw.0.is_empty() {
        true => String::new(),
        false => raw.print("raw", &["PREROUTING", "OUTPUT"]),
    };
    let filter = filter.print("filter", &["INPUT", "FORWARD", "OUTPUT"]);
    raw + &filter + &nat.print("nat", &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"])
}

/// One port of one service in one family.
struct One<'a> {
    service: &'a Service,
    port: &'a Port,
    /// In the words of kube-proxy: `kube-system/kube-dns:dns-tcp`.
    name: String,
    addresses: Vec<(IpAddr, &'static str)>,
    endpoints: Vec<Endpoint>,
    ipv4: bool,
}

impl<'a> One<'a> {
    fn new(service: &'a Service, port: &'a Port, ipv4: bool) -> Self {
        let (namespace, base) = service.name.parts();
        let suffix = port
            .name
            .as_ref()
            .map_or(String::new(), |name| format!(":{name}"));
        let vips = service.vips.iter().map(|&ip| (ip, "cluster IP"));
        let external = service.external.iter().map(|&ip| (ip, "external IP"));
        Self {
            service,
            port,
            name: format!("{namespace}/{base}{suffix}"),
            addresses: vips
                .chain(external)
                .filter(|(ip, _)| ip.is_ipv4() == ipv4)
                .collect(),
            endpoints: port
                .to
                .iter()
                .copied()
                .filter(|one| one.ip.is_ipv4() == ipv4)
                .collect(),
            ipv4,
        }
    }

    fn protocol(&self) -> &'static str {
        self.port.protocol.name()
    }

    fn chain(&self, prefix: &str, endpoint: &str) -> String {
        chain(prefix, &self.name, self.protocol(), endpoint)
    }

    /// What a rule asks of a packet to `port` of the service.
    fn matches(&self, ip: IpAddr, comment: &str, port: u16) -> String {
        let protocol = self.protocol();
        let (name, width) = (&self.name, width(ip));
        format!(
            "-d {ip}/{width} -p {protocol} -m comment --comment \"{name} {comment}\" -m {protocol} --dport {port}"
        )
    }

    /// A chain for the service, as kube-proxy has one for whom it lets in: each range is one line.
    fn denied(&self, raw: &mut Rules) {
        let ranges = self.service.deny_from.iter();
        let mut ranges = ranges
            .filter(|range| range.first().is_ipv4() == self.ipv4)
            .peekable();
        if ranges.peek().is_none() || self.addresses.is_empty() {
            return;
        }
        let (namespace, base) = self.service.name.parts();
        let chain = chain("KUBE-FW-", &format!("{namespace}/{base}"), "", "");
        if !raw.0.contains_key(&chain) {
            ranges.for_each(|range| raw.add(&chain, format!("-s {range} -j DROP")));
        }
        let cluster = self.addresses.iter();
        let mut rules: Vec<String> = cluster
            .map(|(ip, what)| self.matches(*ip, what, self.port.port))
            .collect();
        if let Some(node) = self.port.node {
            let (protocol, name) = (self.protocol(), &self.name);
            rules.push(format!(
                "-p {protocol} -m comment --comment \"{name}\" -m addrtype --dst-type LOCAL -m {protocol} --dport {node}"
            ));
        }
        for rule in rules {
            raw.add("PREROUTING", format!("{rule} -j {chain}"));
            raw.add("OUTPUT", format!("{rule} -j {chain}"));
        }
    }

    fn translated(&self, nat: &mut Rules, filter: &mut Rules) {
        if self.addresses.is_empty() {
            return;
        }
        if self.endpoints.is_empty() {
            let with = if self.ipv4 {
                "icmp-port-unreachable"
            } else {
                "icmp6-port-unreachable"
            };
            for (ip, _) in &self.addresses {
                let rule = self.matches(*ip, "has no endpoints", self.port.port);
                filter.add(
                    "KUBE-SERVICES",
                    format!("{rule} -j REJECT --reject-with {with}"),
                );
            }
            return;
        }
        let (service, external) = (self.chain("KUBE-SVC-", ""), self.chain("KUBE-EXT-", ""));
        for (ip, what) in &self.addresses {
            let to = if *what == "cluster IP" {
                &service
            } else {
                &external
            };
            nat.add(
                "KUBE-SERVICES",
                format!("{} -j {to}", self.matches(*ip, what, self.port.port)),
            );
        }
        if let Some(node) = self.port.node {
            let (protocol, name) = (self.protocol(), &self.name);
            let rule = format!(
                "-p {protocol} -m comment --comment \"{name}\" -m {protocol} --dport {node} -j {external}"
            );
            nat.add("KUBE-NODEPORTS", rule);
        }
        if self.port.node.is_some() || self.addresses.iter().any(|(_, what)| *what != "cluster IP")
        {
            nat.add(&external, format!("-j {service}"));
        }
        self.chosen(nat, &service);
    }

    /// The chain of the service, and one for each endpoint.
    fn chosen(&self, nat: &mut Rules, service: &str) {
        let mut left: u32 = self.endpoints.iter().map(|one| u32::from(one.weight)).sum();
        let (name, protocol) = (&self.name, self.protocol());
        let mask = if self.ipv4 {
            "255.255.255.255"
        } else {
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
        };
        for one in &self.endpoints {
            let (address, ip) = (one.address(), one.ip);
            let chain = self.chain("KUBE-SEP-", &address.to_string());
            let leads = format!("-m comment --comment \"{name} -> {address}\"");
            let mut set = String::new();
            if let Some(seconds) = self.service.affinity {
                let recent = format!("--name {chain} --mask {mask} --rsource");
                nat.add(
                    service,
                    format!(
                        "{leads} -m recent --rcheck --seconds {seconds} --reap {recent} -j {chain}"
                    ),
                );
                set = format!("-m recent --set {recent} ");
            }
            let who = format!("-s {ip}/{} -m comment --comment \"{name}\"", width(ip));
            nat.add(&chain, format!("{who} -j KUBE-MARK-MASQ"));
            if self.service.elsewhere.contains(&ip) {
                nat.add(
                    &chain,
                    format!("-m comment --comment \"{name}\" -j KUBE-MARK-MASQ"),
                );
            }
            nat.add(&chain, format!("-p {protocol} -m comment --comment \"{name}\" {set}-m {protocol} -j DNAT --to-destination {address}"));
        }
        for one in &self.endpoints {
            let address = one.address();
            let chain = self.chain("KUBE-SEP-", &address.to_string());
            let leads = format!("-m comment --comment \"{name} -> {address}\"");
            let weight = u32::from(one.weight);
            let luck = match left == weight {
                true => String::new(),
                false => format!(
                    " -m statistic --mode random --probability {}",
                    probability(weight, left)
                ),
            };
            nat.add(service, format!("{leads}{luck} -j {chain}"));
            left -= weight;
        }
    }
}

/// `KUBE-SVC-ERIFXISQEP7F7OF4`
fn chain(prefix: &str, name: &str, protocol: &str, endpoint: &str) -> String {
    let hash = Sha256::digest(format!("{name}{protocol}{endpoint}"));
    format!("{prefix}{}", base32(&hash[..10]))
}

/// RFC 4648, of whole groups of five bytes.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let groups = bytes.chunks(5).map(|group| {
        group
            .iter()
            .fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte))
    });
    let letters = groups.flat_map(|bits| {
        (0..8)
            .rev()
            .map(move |at| ALPHABET[(bits >> (5 * at) & 31) as usize])
    });
    letters.map(char::from).collect()
}

/// kube-proxy writes ten digits, and the kernel keeps 31 bits of them.
fn probability(weight: u32, of: u32) -> String {
    let written = (f64::from(weight) / f64::from(of) * 1e10).round() / 1e10;
    format!(
        "{:.11}",
        (written * f64::from(1_u32 << 31)).round() / f64::from(1_u32 << 31)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_have_the_names_of_the_tutorial() {
        let name = "kube-system/kube-dns:dns-tcp";
        assert_eq!(
            chain("KUBE-SVC-", name, "tcp", ""),
            "KUBE-SVC-ERIFXISQEP7F7OF4"
        );
        assert_eq!(
            chain("KUBE-SEP-", name, "tcp", "10.244.0.3:53"),
            "KUBE-SEP-ZXMNUKOKXUTL2MK2"
        );
        assert_eq!(
            chain("KUBE-SEP-", name, "tcp", "10.244.0.4:53"),
            "KUBE-SEP-SF3LG62VAE5ALYDV"
        );
    }

    #[test]
    fn a_third_is_what_the_kernel_keeps_of_it() {
        // From iptables-save on a node with three endpoints.
        assert_eq!(probability(1, 3), "0.33333333349");
        assert_eq!(probability(1, 2), "0.50000000000");
        assert_eq!(probability(1, 7), "0.14285714272");
    }
}
