//! Questions to nf_tables; linux/netfilter/nf_tables.h.

use netlink_packet_core::{Emitable, NlasIterator};

use crate::error::Error;
use crate::netlink::{Request, Socket, string};

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_GETCHAIN: u16 = 4;
const NFT_MSG_GETGEN: u16 = 16;
const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_POLICY: u16 = 5;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NF_INET_FORWARD: u32 = 2;
const NF_DROP: u32 = 0;
/// struct nfgenmsg: family, version, resource.
const NFGENMSG: usize = 4;
/// The type is 14 bits; above are `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const TYPE: u16 = 0x3fff;

struct Nfgenmsg;

impl Emitable for Nfgenmsg {
    fn buffer_len(&self) -> usize {
        NFGENMSG
    }

    fn emit(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

fn request(name: &str, kind: u16, flags: i32) -> Request {
    Request::new(name, "", NFNL_SUBSYS_NFTABLES << 8 | kind, flags, &Nfgenmsg)
}

/// Whether it answers, in the network namespace of the caller.
pub(crate) fn answers() -> Result<(), Error> {
    Socket::netfilter(false)?
        .batch(vec![request("NFT_MSG_GETGEN", NFT_MSG_GETGEN, 0)])
        .map(drop)
}

/// A base chain through which packets go that are forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forward {
    /// `ip filter FORWARD`, as nft(8) has it.
    pub(crate) name: String,
    /// What no rule of it lets through is dropped.
    pub(crate) drops: bool,
}

/// Those of IPv4 in the network namespace of the caller.
pub(crate) fn forwards() -> Result<Vec<Forward>, Error> {
    let mut found = Vec::new();
    let chains = request("NFT_MSG_GETCHAIN", NFT_MSG_GETCHAIN, libc::NLM_F_DUMP);
    Socket::netfilter(false)?.dump(chains, |payload| {
        found.extend(parse(payload));
        true
    })?;
    Ok(found)
}

/// Of an `NFT_MSG_NEWCHAIN`. None: it is at another hook, or at none.
pub(crate) fn parse(payload: &[u8]) -> Option<Forward> {
    let family = match i32::from(*payload.first()?) {
        libc::NFPROTO_IPV4 => "ip",
        libc::NFPROTO_INET => "inet",
        _ => return None,
    };
    let (mut table, mut chain, mut hook, mut policy) = (None, None, None, None);
    for attribute in NlasIterator::new(payload.get(NFGENMSG..)?).flatten() {
        let value = attribute.value();
        match attribute.kind() & TYPE {
            NFTA_CHAIN_TABLE => table = string(value),
            NFTA_CHAIN_NAME => chain = string(value),
            NFTA_CHAIN_POLICY => policy = be32(value),
            NFTA_CHAIN_HOOK => {
                let mut nested = NlasIterator::new(value).flatten();
                let number = nested.find(|nested| nested.kind() & TYPE == NFTA_HOOK_HOOKNUM);
                hook = number.and_then(|number| be32(number.value()));
            }
            _ => {}
        }
    }
    (hook? == NF_INET_FORWARD).then_some(Forward {
        name: format!("{family} {} {}", table?, chain?),
        drops: policy == Some(NF_DROP),
    })
}

fn be32(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.get(..4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(value.len() + 4)
            .unwrap()
            .to_ne_bytes()
            .to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn chain(family: u8, hook: u32, policy: u32) -> Vec<u8> {
        let mut bytes = vec![family, 0, 0, 0];
        bytes.extend(attribute(NFTA_CHAIN_TABLE, b"filter\0"));
        bytes.extend(attribute(NFTA_CHAIN_NAME, b"FORWARD\0"));
        let number = attribute(NFTA_HOOK_HOOKNUM, &hook.to_be_bytes());
        bytes.extend(attribute(NFTA_CHAIN_HOOK | 0x8000, &number));
        bytes.extend(attribute(NFTA_CHAIN_POLICY, &policy.to_be_bytes()));
        bytes
    }

    #[test]
    fn a_chain_at_the_forward_hook_is_read_with_its_policy() {
        let forward = |drops| Forward {
            name: "ip filter FORWARD".into(),
            drops,
        };
        assert_eq!(parse(&chain(2, 2, 0)), Some(forward(true)));
        assert_eq!(parse(&chain(2, 2, 1)), Some(forward(false)));
        assert_eq!(parse(&chain(1, 2, 0)).unwrap().name, "inet filter FORWARD");
        assert_eq!(parse(&chain(2, 1, 0)), None, "input");
        assert_eq!(parse(&chain(10, 2, 0)), None, "IPv6");
    }

    #[test]
    fn no_answer_makes_it_panic() {
        let whole = chain(2, 2, 0);
        for end in 0..whole.len() {
            let _ = parse(&whole[..end]);
        }
    }
}
