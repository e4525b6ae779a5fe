//! A pod's part of our tables in words.

use record::Id;

use super::seen::Seen;
use crate::link::Mac;
use crate::netlink::{Socket, string, u32_at};
use crate::nft::{Element, Set, Type};
use crate::ruleset::{self, LAYERS};
use crate::state::Attachment;

/// The elements that are this attachment's, a line each, as nft(8) has them: the set, the key, and what it leads to.
///
/// Where nobody may ask, or there is no nf_tables, there are none to show.
pub(crate) fn shown(id: &Id, attachment: &Attachment) -> Vec<String> {
    let comment = ruleset::comment(id, attachment.ifname.as_ref());
    let seen = Socket::netfilter(false).and_then(|mut socket| Seen::read(&mut socket));
    let Ok(seen) = seen else { return Vec::new() };
    seen.of(&comment).map(words).collect()
}

/// An element as nft(8) has it.
pub(super) fn words(element: &Element) -> String {
    let sets = || LAYERS.iter().flat_map(|layer| (layer.sets)());
    let Some(set) = sets().find(|set: &Set| set.name == element.set) else {
        return element.set.to_owned();
    };
    let mut text = format!("{} {}", set.name, concatenation(set.key, &element.key));
    if let Some(end) = &element.end {
        text += &format!("-{}", concatenation(set.key, end));
    }
    if let Some(data) = &element.data {
        text += &format!(" : {}", concatenation(set.data, data));
    }
    text
}

fn concatenation(types: &[Type], mut bytes: &[u8]) -> String {
    let mut parts = Vec::new();
    for &kind in types {
        let length = match kind {
            Type::Ipv6 | Type::Ifname => 16,
            Type::Ether => 8,
            _ => 4,
        };
        let (part, rest) = bytes.split_at(bytes.len().min(length));
        parts.extend(part_in_words(kind, part));
        bytes = rest;
    }
    parts.join(" . ")
}

fn part_in_words(kind: Type, part: &[u8]) -> Option<String> {
    Some(match kind {
        Type::Ipv4 | Type::Ipv6 => crate::link::address(part)?.to_string(),
        Type::Ether => Mac(part.get(..6)?.try_into().ok()?).to_string(),
        Type::Protocol => match part.first()? {
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            132 => "sctp".to_owned(),
            number => number.to_string(),
        },
        Type::Port => u16::from_be_bytes(part.get(..2)?.try_into().ok()?).to_string(),
        Type::Mark | Type::Priority => format!("0x{:08x}", u32_at(part, 0)?),
        Type::Ifname => string(part)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_reads_as_nft_has_it() {
        let attachment = serde_json::json!({"attachments": [{
            "ifname": "eth0", "subnet": "10.244.0.0/24", "address": "10.244.0.2", "nat": true, "antispoof": true,
            "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "udp"}]
        }]});
        let attachment = crate::state::attachments(&attachment).unwrap().remove(0);
        let elements = ruleset::elements(&"foo".parse().unwrap(), &attachment);
        let lines: Vec<String> = elements.iter().map(words).collect();
        for line in [
            "veths vethce5359d4",
            "masquerade4 10.244.0.2",
            "direct4 10.244.0.2 . 10.244.0.0-10.244.0.2 . 10.244.0.255",
            "hairpin4 10.244.0.2 . 10.244.0.2",
            "ports4 udp . 8080 : 10.244.0.2 . 80",
        ] {
            assert!(lines.iter().any(|one| one == line), "{line} in {lines:#?}");
        }
    }
}
