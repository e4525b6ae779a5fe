//! `show`: what the kernel has now.

use record::{Id, Record, names};
use serde_json::{Value, json};

use crate::cidr::width;
use crate::error::Error;
use crate::link::{self, By, Link};
use crate::netlink::Socket;
use crate::state::{self, Attachment};

/// The head of the table.
pub(crate) const HEAD: [&str; 8] = [
    "ID", "IFNAME", "ADDRESS", "GATEWAY", "HOST", "STATE", "RX", "TX",
];

/// One attachment and its host's end; None: that is gone.
struct Seen {
    attachment: Attachment,
    host: String,
    link: Option<Link>,
    routed: bool,
}

impl Seen {
    fn state(&self) -> &'static str {
        match &self.link {
            None => "gone",
            Some(link) if link.state() == "up" && !self.routed => "unrouted",
            Some(link) => link.state(),
        }
    }

    /// Received and sent as the pod sees it: the two ends mirror each other.
    fn bytes(&self) -> (u64, u64) {
        self.link
            .as_ref()
            .map_or((0, 0), |link| (link.tx_bytes, link.rx_bytes))
    }
}

/// A line of the table for each attachment of the record.
pub(crate) fn table(record: &Record) -> Result<String, Error> {
    let (id, seen) = look(record)?;
    let lines = seen.iter().flat_map(|seen| {
        let (rx, tx) = seen.bytes();
        let id = &id;
        seen.attachment.nets.iter().map(move |net| {
            let address = net
                .address
                .map_or("-".to_owned(), |address| address.to_string());
            row(&[
                id,
                seen.attachment.ifname.as_ref(),
                &address,
                &net.subnet.gateway().to_string(),
                &seen.host,
                seen.state(),
                &rx.to_string(),
                &tx.to_string(),
            ])
        })
    });
    Ok(lines.collect())
}

/// One line.
pub(crate) fn row(cells: &[&str; 8]) -> String {
    let [id, ifname, address, gateway, host, state, rx, tx] = cells;
    let row = format!(
        "{id:<12} {ifname:<7} {address:<15} {gateway:<15} {host:<15} {state:<9} {rx:>10} {tx:>10}"
    );
    format!("{}\n", row.trim_end())
}

/// The same as one object on one line.
pub(crate) fn json(record: &Record) -> Result<String, Error> {
    let (id, seen) = look(record)?;
    let attachments = seen.iter().map(|seen| {
        let (rx, tx) = seen.bytes();
        let link = seen.link.as_ref();
        let mut object = seen.attachment.to_json(&id);
        for net in &seen.attachment.nets {
            let key = if net.subnet.is_ipv4() {
                "gateway"
            } else {
                "gateway6"
            };
            object[key] = net.subnet.gateway().to_string().into();
        }
        object["ifindex"] = link.map(|link| link.index).into();
        object["mtu"] = link.map(|link| link.mtu).into();
        object["state"] = seen.state().into();
        object["rxBytes"] = rx.into();
        object["txBytes"] = tx.into();
        object
    });
    let attachments: Vec<Value> = attachments.collect();
    Ok(format!(
        "{}\n",
        json!({"id": id.as_ref(), "attachments": attachments})
    ))
}

fn look(record: &Record) -> Result<(Id, Vec<Seen>), Error> {
    let id: Id = record
        .id()
        .unwrap_or_default()
        .parse()
        .map_err(record::Error::Record)?;
    let state = record
        .get("netwire")
        .ok_or_else(|| Error::failed(format!("{id}: not wired (netwire up)")))?;
    let mut host = Socket::open(false)?;
    let mut seen = Vec::new();
    for attachment in state::attachments(state)? {
        let name = names::veth(&id, attachment.ifname.as_ref());
        let link = link::find(&mut host, By::Name(&name), true)?;
        let link = link.filter(|link| link.alias.as_deref() == Some(names::ifalias(&id)));
        let mut routed = link.is_some();
        for address in attachment.nets.iter().filter_map(|net| net.address) {
            let there = link.as_ref().map(|link| (link.index, width(address)));
            routed &= there.is_some() && link::route_to(&mut host, address)? == there;
        }
        seen.push(Seen {
            attachment,
            host: name,
            link,
            routed,
        });
    }
    Ok((id, seen))
}
