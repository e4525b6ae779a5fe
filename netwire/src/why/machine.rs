//! What the rules of nf_tables would do with the first packet of a connection.
//!
//! A small machine of the kernel's kind: registers, of which each byte is known or not, and steps that fill and compare them.
//! What it does not understand it does not guess: a rule with such a step may apply or not, and what it would do is a maybe.

use std::net::IpAddr;

use super::registers::{Byte, Step, bitwise, compare, known, of_verdict, put, register};
use super::rules::{Chain, Rule, Rules};
use crate::cidr::octets;
use crate::nft::{find, number};

/// linux/netfilter.h: `NF_INET_…`.
pub(super) const PREROUTING: u32 = 0;
pub(super) const INPUT: u32 = 1;
pub(super) const FORWARD: u32 = 2;
pub(super) const OUTPUT: u32 = 3;
pub(super) const POSTROUTING: u32 = 4;

/// Chains that jump to each other end somewhere.
const DEEPEST: usize = 16;

/// The first packet of a connection.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    /// Name and number; nothing at all: it is the machine's own, or for it.
    pub(super) input: (String, u32),
    pub(super) output: (String, u32),
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// None: no port is asked about.
    pub(super) port: Option<(u8, u16)>,
    /// The destination is this machine.
    pub(super) local: bool,
    /// An answer to the source would leave by the interface this came in by.
    pub(super) from_there: bool,
    pub(super) mark: u32,
    /// Its destination was translated …
    pub(super) redirected: bool,
    /// … to what the rules draw by lot.
    pub(super) scattered: bool,
    /// Its source was translated.
    pub(super) masqueraded: bool,
}

impl Packet {
    fn family(&self) -> u8 {
        if self.source.is_ipv4() { 2 } else { 10 }
    }

    /// Without a port it is what ping(8) sends.
    fn protocol(&self) -> u8 {
        const ICMP: u8 = 1;
        const ICMPV6: u8 = 58;
        let echo = if self.source.is_ipv4() { ICMP } else { ICMPV6 };
        self.port.map_or(echo, |(protocol, _)| protocol)
    }
}

/// Who dropped it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Culprit {
    pub(super) table: String,
    pub(super) chain: String,
    /// `ip filter FORWARD`
    pub(super) place: String,
    /// Not a rule of the chain, but what it does when none applies.
    pub(super) policy: bool,
    /// As far as the rules are understood.
    pub(super) certain: bool,
}

/// How a chain was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    AtItsEnd,
    Accepted,
    Dropped,
}

/// Who drops `packet` at `hook`; what is translated on the way is.
pub(super) fn pass(rules: &Rules, hook: u32, packet: &mut Packet) -> Option<Culprit> {
    let mut first: Option<Culprit> = None;
    for chain in rules.at(hook, packet.family()) {
        let mut run = Run {
            rules,
            chain,
            packet,
            maybe_dropped: false,
            maybe_accepted: false,
            ended_by_policy: false,
        };
        let left = run.chain(&chain.name, true, 0);
        let mut dropped = left == Left::Dropped;
        if left == Left::AtItsEnd && chain.drops {
            (dropped, run.ended_by_policy) = (true, true);
        }
        let certain = dropped && !run.maybe_accepted;
        if !dropped && !run.maybe_dropped {
            continue;
        }
        let family = crate::nft::family_name(chain.family);
        let culprit = Culprit {
            table: chain.table.clone(),
            chain: chain.name.clone(),
            place: format!("{family} {} {}", chain.table, chain.name),
            policy: run.ended_by_policy,
            certain,
        };
        if certain {
            return Some(culprit);
        }
        first.get_or_insert(culprit);
    }
    first
}

/// One chain at a hook, and those it jumps to.
struct Run<'a> {
    rules: &'a Rules,
    chain: &'a Chain,
    packet: &'a mut Packet,
    maybe_dropped: bool,
    maybe_accepted: bool,
    ended_by_policy: bool,
}

impl Run<'_> {
    fn chain(&mut self, name: &str, certain: bool, depth: usize) -> Left {
        if depth > DEEPEST {
            return Left::AtItsEnd;
        }
        let (rules, chain) = (self.rules, self.chain);
        for rule in rules.of(chain.family, &chain.table, name) {
            let (verdict, sure) = self.rule(rule);
            let Some((code, to)) = verdict else { continue };
            let sure = sure && certain;
            match code {
                0 if sure => return Left::Dropped,
                0 => self.maybe_dropped = true,
                1 if sure => return Left::Accepted,
                1 => self.maybe_accepted = true,
                // NFT_JUMP and NFT_GOTO
                -3 | -4 => {
                    let left = self.chain(to.as_deref().unwrap_or_default(), sure, depth + 1);
                    if left != Left::AtItsEnd {
                        return left;
                    }
                    if code == -4 && sure {
                        return Left::AtItsEnd;
                    }
                }
                // NFT_RETURN
                -5 if sure => return Left::AtItsEnd,
                _ => {}
            }
        }
        Left::AtItsEnd
    }

    /// The verdict of a rule, and whether it is certain that it applies.
    fn rule(&mut self, rule: &Rule) -> (Option<(i32, Option<String>)>, bool) {
        let mut registers: [Byte; 64] = [None; 64];
        let mut sure = true;
        for (name, data) in &rule.steps {
            match self.step(name, data, &mut registers, sure) {
                Step::Yes => {}
                Step::No => return (None, sure),
                Step::Maybe => sure = false,
                Step::Verdict(code, to) => return (Some((code, to)), sure),
            }
        }
        (None, sure)
    }

    fn step(&mut self, name: &str, data: &[u8], registers: &mut [Byte; 64], sure: bool) -> Step {
        let get = |kind| find(data, kind).and_then(number);
        let at = |kind| get(kind).and_then(register);
        match name {
            "meta" => match (at(1), at(3)) {
                (Some(to), _) => put(registers, to, &self.meta(get(2).unwrap_or_default())),
                (None, Some(from)) => self.set_meta(get(2), &registers[from..]),
                _ => {}
            },
            "payload" => {
                let (base, offset) = (get(2).unwrap_or(9), get(3).unwrap_or_default() as usize);
                let length = get(4).unwrap_or_default() as usize;
                let header = match base {
                    1 => self.network_header(),
                    2 => self.transport_header(),
                    _ => Vec::new(),
                };
                let byte = |at: usize| header.get(at).copied().flatten();
                let bytes: Vec<Byte> = (offset..offset + length.min(64)).map(byte).collect();
                if let Some(to) = at(1) {
                    put(registers, to, &bytes);
                }
            }
            "ct" => {
                if let Some(to) = at(1) {
                    put(registers, to, &self.ct(get(2).unwrap_or(99)));
                }
            }
            "fib" => {
                if let Some(to) = at(1) {
                    put(registers, to, &self.fib(get(2), get(3).unwrap_or_default()));
                }
            }
            "cmp" | "range" => return compare(name, data, registers),
            "bitwise" => bitwise(data, registers),
            "lookup" => return self.lookup(data, registers),
            "immediate" => {
                let value = find(data, 2).unwrap_or_default();
                if let Some(verdict) = find(value, 2) {
                    return of_verdict(verdict);
                }
                if let (Some(to), Some(value)) = (at(1), find(value, 1)) {
                    put(registers, to, &known(value));
                }
            }
            "reject" => return Step::Verdict(0, None),
            "nat" => return self.nat(data, registers, sure),
            "masq" | "redir" => {
                self.packet.masqueraded |= name == "masq" && sure;
                return Step::Verdict(1, None);
            }
            // these let everything pass, and comments of iptables are matches
            "counter" | "log" | "notrack" | "quota" | "last" | "objref" => {}
            _ => return Step::Maybe,
        }
        Step::Yes
    }

    fn meta(&self, key: u32) -> Vec<Byte> {
        let packet = &self.packet;
        let name = |name: &str| {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(16, 0);
            known(&bytes)
        };
        match key {
            // in the order of a packet
            1 if packet.family() == 2 => known(&[0x08, 0x00]),
            1 => known(&[0x86, 0xdd]),
            3 => known(&packet.mark.to_ne_bytes()),
            4 => known(&packet.input.1.to_ne_bytes()),
            5 => known(&packet.output.1.to_ne_bytes()),
            6 => name(&packet.input.0),
            7 => name(&packet.output.0),
            15 => known(&[packet.family()]),
            16 => known(&[packet.protocol()]),
            _ => Vec::new(),
        }
    }

    fn set_meta(&mut self, key: Option<u32>, from: &[Byte]) {
        let bytes: Option<Vec<u8>> = from.iter().take(4).copied().collect();
        if let (Some(3), Some(bytes)) = (key, bytes)
            && let Ok(bytes) = bytes.try_into()
        {
            self.packet.mark = u32::from_ne_bytes(bytes);
        }
    }

    fn network_header(&self) -> Vec<Byte> {
        let (source, destination) = (
            known(&octets(self.packet.source)),
            known(&octets(self.packet.destination)),
        );
        let mut header = match self.packet.family() {
            2 => vec![None; 12],
            _ => vec![None; 8],
        };
        let at = if header.len() == 12 { 9 } else { 6 };
        header[at] = Some(self.packet.protocol());
        header.extend(source);
        header.extend(destination);
        header
    }

    fn transport_header(&self) -> Vec<Byte> {
        let Some((protocol, port)) = self.packet.port else {
            // a question of ping(8)
            let kind = if self.packet.family() == 2 { 8 } else { 128 };
            return known(&[kind, 0]);
        };
        let [high, low] = port.to_be_bytes();
        let mut header = vec![None, None, Some(high), Some(low)];
        if protocol == 6 {
            header.resize(13, None);
            // SYN
            header.push(Some(2));
        }
        header
    }

    fn ct(&self, key: u32) -> Vec<Byte> {
        const NEW: u32 = 8;
        const IPS_DST_NAT: u32 = 0x20;
        match key {
            0 => known(&NEW.to_ne_bytes()),
            1 => known(&[0]),
            2 if self.packet.redirected => known(&IPS_DST_NAT.to_ne_bytes()),
            2 => known(&[0; 4]),
            _ => Vec::new(),
        }
    }

    fn fib(&self, result: Option<u32>, flags: u32) -> Vec<Byte> {
        const SADDR: u32 = 1;
        const DADDR: u32 = 2;
        const IIF: u32 = 8;
        const RTN_UNICAST: u32 = 1;
        const RTN_LOCAL: u32 = 2;
        let kind = if self.packet.local {
            RTN_LOCAL
        } else {
            RTN_UNICAST
        };
        match result {
            Some(3) if flags & DADDR != 0 => known(&kind.to_ne_bytes()),
            Some(1) if flags & SADDR != 0 && flags & IIF != 0 => match self.packet.from_there {
                true => known(&self.packet.input.1.to_ne_bytes()),
                false => known(&[0; 4]),
            },
            _ => Vec::new(),
        }
    }

    fn lookup(&self, data: &[u8], registers: &mut [Byte; 64]) -> Step {
        const INVERTED: u32 = 1;
        let get = |kind| find(data, kind).and_then(number);
        let name = find(data, 1).and_then(crate::netlink::string);
        let set = name.and_then(|name| self.rules.set(self.chain.family, &self.chain.table, &name));
        let (Some(set), Some(from)) = (set, get(2).and_then(register)) else {
            return Step::Maybe;
        };
        // A key ends with the first byte that nobody knows.
        let key: Vec<u8> = registers[from..].iter().map_while(|byte| *byte).collect();
        if key.is_empty() {
            return Step::Maybe;
        }
        let found = set.find(&key);
        let inverted = get(5).unwrap_or_default() & INVERTED != 0;
        match (found, inverted) {
            (Some(data), false) => {
                if let Some(verdict) = find(data, 2) {
                    return of_verdict(verdict);
                }
                if let (Some(to), Some(value)) = (get(3).and_then(register), find(data, 1)) {
                    put(registers, to, &known(value));
                }
                Step::Yes
            }
            (None, true) => Step::Yes,
            _ => Step::No,
        }
    }

    /// Another address: the kernel sees to it once for each direction, and no rule of that chain follows.
    fn nat(&mut self, data: &[u8], registers: &[Byte; 64], sure: bool) -> Step {
        const NFT_NAT_SNAT: u32 = 0;
        let get = |kind| find(data, kind).and_then(number);
        if get(1) == Some(NFT_NAT_SNAT) {
            self.packet.masqueraded |= sure;
            return Step::Verdict(1, None);
        }
        let bytes = |kind, length: usize| -> Option<Vec<u8>> {
            let from = get(kind).and_then(register)?;
            registers
                .get(from..from + length)?
                .iter()
                .copied()
                .collect()
        };
        let address = match self.packet.family() {
            2 => bytes(3, 4).and_then(|all| <[u8; 4]>::try_from(all).ok().map(IpAddr::from)),
            _ => bytes(3, 16).and_then(|all| <[u8; 16]>::try_from(all).ok().map(IpAddr::from)),
        };
        let port = bytes(5, 2).map(|port| u16::from_be_bytes([port[0], port[1]]));
        if sure {
            match address {
                Some(address) => self.packet.destination = address,
                None => self.packet.scattered = true,
            }
            if let (Some(port), Some((_, is))) = (port, &mut self.packet.port) {
                *is = port;
            }
        } else {
            self.packet.scattered = true;
        }
        self.packet.redirected = true;
        Step::Verdict(1, None)
    }
}
