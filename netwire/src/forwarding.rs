//! Firewalls of others in the way of packets that are forwarded: found, named, and passed only on request.
//!
//! Each chain at the hook "forward" has to let a packet pass, whoever's it is.

use netlink_packet_core::NlasIterator;
use nix::errno::Errno;

use crate::error::Error;
use crate::netlink::{Request, Socket, string};
use crate::nft::{self, NFGENMSG, find, number};
use crate::ruleset::{self, ACCEPT, FOREIGN, INET};

/// linux/netfilter.h
const NF_DROP: u32 = 0;

/// A chain at the hook "forward".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    family: u8,
    table: String,
    name: String,
    drops: bool,
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let family = nft::family_name(self.family);
        write!(f, "{family} {} {}", self.table, self.name)
    }
}

/// The chains of others that packets pass which are forwarded.
fn chains(socket: &mut Socket) -> Result<Vec<Chain>, Error> {
    let none = nft::Attributes::default();
    let message = ("NFT_MSG_GETCHAIN", nft::message::GETCHAIN);
    let mut found = Vec::new();
    let get = nft::request(message, "", libc::NLM_F_DUMP, 0, &none);
    socket.dump_all(get, |payload| found.extend(chain(payload)))?;
    Ok(found)
}

pub(crate) fn chain(payload: &[u8]) -> Option<Chain> {
    const NF_INET_FORWARD: u32 = 2;
    let attributes = payload.get(NFGENMSG..)?;
    let family = *payload.first()?;
    let hook = number(find(find(attributes, 4)?, 1)?)?;
    let table = string(find(attributes, 1)?)?;
    let ours = family == INET.family && table == INET.name;
    let ip = ["inet", "ip", "ip6"].contains(&nft::family_name(family));
    let forward = hook == NF_INET_FORWARD && string(find(attributes, 7)?)? == "filter";
    (forward && ip && !ours).then_some(())?;
    Some(Chain {
        family,
        table,
        name: string(find(attributes, 3)?)?,
        drops: find(attributes, 5).and_then(number) == Some(NF_DROP),
    })
}

/// What a chain of somebody else says of us.
#[derive(Debug, Default)]
struct Rules {
    /// The handles of our rules in it.
    ours: Vec<u64>,
    /// Its last rule lets nothing pass: as good as a policy, and firewalld's and RHEL's way.
    ends_closed: bool,
}

fn rules(socket: &mut Socket, chain: &Chain) -> Result<Rules, Error> {
    let attributes = nft::Attributes::default()
        .text(1, &chain.table)
        .text(2, &chain.name);
    let message = ("NFT_MSG_GETRULE", nft::message::GETRULE);
    let get = nft::request(
        message,
        &chain.to_string(),
        libc::NLM_F_DUMP,
        chain.family,
        &attributes,
    );
    let mut found = Rules::default();
    let mut see = |payload: &[u8]| -> Option<()> {
        let attributes = payload.get(NFGENMSG..)?;
        // Kernels that do not filter send all: the names tell.
        let same = string(find(attributes, 2)?)? == chain.name
            && string(find(attributes, 1)?)? == chain.table;
        if !same {
            return None;
        }
        found.ends_closed = find(attributes, 4).is_some_and(lets_nothing_pass);
        if nft::comment(find(attributes, 7)?) == FOREIGN {
            let handle = find(attributes, 3)?.try_into().ok()?;
            found.ours.push(u64::from_be_bytes(handle));
        }
        Some(())
    };
    socket.dump_all(get, |payload| {
        let _ = see(payload);
    })?;
    Ok(found)
}

/// Whether the expressions of a rule ask nothing, and reject or drop.
fn lets_nothing_pass(expressions: &[u8]) -> bool {
    let mut closes = false;
    for expression in NlasIterator::new(expressions).flatten() {
        let data = find(expression.value(), 2).unwrap_or_default();
        match find(expression.value(), 1).and_then(string).as_deref() {
            Some("counter" | "log") => {}
            Some("reject") => closes = true,
            // as iptables-nft writes it
            Some("target") => {
                let name = find(data, 1).and_then(string);
                closes = matches!(name.as_deref(), Some("REJECT" | "DROP"));
            }
            Some("immediate") => {
                let verdict = find(data, 2).and_then(|data| find(data, 2));
                let code = verdict.and_then(|verdict| find(verdict, 1));
                closes = code.and_then(number) == Some(NF_DROP);
            }
            _ => return false,
        }
    }
    closes
}

/// The chains that drop what no rule accepts, and which have no rule of ours.
pub(crate) fn dropping(ipv4: bool, ipv6: bool) -> Result<Vec<Chain>, Error> {
    dropping_in(&mut Socket::netfilter(false)?, ipv4, ipv6)
}

fn dropping_in(socket: &mut Socket, ipv4: bool, ipv6: bool) -> Result<Vec<Chain>, Error> {
    let mut found = chains(socket)?;
    found.retain(|chain| match nft::family_name(chain.family) {
        "ip" => ipv4,
        "ip6" => ipv6,
        _ => true,
    });
    let mut without = Vec::new();
    for chain in found {
        let rules = rules(socket, &chain)?;
        if rules.ours.is_empty() && (chain.drops || rules.ends_closed) {
            without.push(chain);
        }
    }
    Ok(without)
}

/// What lets packets of pods through, and the chains that did not.
#[derive(Debug, Default)]
pub(crate) struct Way {
    pub(crate) requests: Vec<Request>,
    pub(crate) chains: Vec<String>,
}

/// For one transaction: our chain that marks, unless it `is_whole`, and a rule that accepts what is marked in each chain that drops.
pub(crate) fn add_accept(
    socket: &mut Socket,
    [ipv4, ipv6]: [bool; 2],
    is_whole: bool,
) -> Result<Way, Error> {
    let mut way = Way::default();
    let dropping = dropping_in(socket, ipv4, ipv6)?;
    if !is_whole && (!dropping.is_empty() || has_rules(socket)?) {
        way.requests.extend(ruleset::create_accept());
        way.chains.push(format!("{INET} {ACCEPT}"));
    }
    for chain in dropping {
        let rule = ruleset::accept_marked(chain.family, &chain.table, &chain.name);
        way.requests.push(rule);
        way.chains.push(chain.to_string());
    }
    Ok(way)
}

/// Whether a chain of somebody else has a rule of ours.
fn has_rules(socket: &mut Socket) -> Result<bool, Error> {
    for chain in chains(socket)? {
        if !rules(socket, &chain)?.ours.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_accept(socket: &mut Socket) -> Result<bool, Error> {
    let attributes = nft::Attributes::default()
        .text(1, INET.name)
        .text(3, ACCEPT);
    let message = ("NFT_MSG_GETCHAIN", nft::message::GETCHAIN);
    let get = nft::request(message, ACCEPT, 0, nft::INET, &attributes);
    match socket.batch(vec![get]) {
        Ok(_) => Ok(true),
        Err(error) if error.refused() == Some(Errno::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// For one transaction: those rules go. They are looked for where they were `noted`, or have our chain.
pub(crate) fn remove_accept(socket: &mut Socket, noted: bool) -> Result<Vec<Request>, Error> {
    if !noted && !has_accept(socket)? {
        return Ok(Vec::new());
    }
    let mut requests = Vec::new();
    for chain in chains(socket)? {
        for handle in rules(socket, &chain)?.ours {
            let attributes = nft::Attributes::default()
                .text(1, &chain.table)
                .text(2, &chain.name)
                .bytes(3, &handle.to_be_bytes());
            let message = ("NFT_MSG_DELRULE", nft::message::DELRULE);
            let what = format!("{chain} handle {handle}");
            requests.push(nft::request(message, &what, 0, chain.family, &attributes));
        }
    }
    Ok(requests)
}
