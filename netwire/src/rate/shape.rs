//! The rate as the kernel has it, all of it on the host's side: a pod may change its own end as it likes.
//!
//! What the pod receives leaves by the host's end of its veth, where a token bucket (tbf) lets it go. What it sends arrives there,
//! and nothing that arrives can be queued: it is redirected to an interface that is there for nothing else (ifb), which lets it go
//! by a token bucket as well, and back. As CNI's plugin bandwidth does it.

use libc::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use nix::errno::Errno;
use record::{Id, names};

use super::Rate;
use crate::error::{Error, Refused};
use crate::link::{self, By, Link, Mac};
use crate::netlink::{Request, Socket, u32_at};
use crate::nft::Attributes;
use crate::removal;
use crate::requests;
use crate::state::Attachment;

/// linux/pkt_sched.h and linux/rtnetlink.h
const TC_H_ROOT: u32 = 0xffff_ffff;
const TC_H_INGRESS: u32 = 0xffff_fff1;
const INGRESS: u32 = 0xffff_0000;
const TBF: u32 = 0x0001_0000;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
/// What waits is thrown away when it would wait longer, in parts of a second …
const PATIENCE: u64 = 20;
/// … unless that is less than this many bytes.
const WAITS_LEAST: u32 = 32 << 10;

/// The interface that is there for nothing else, as it will be found again.
struct Ifb<'a> {
    id: &'a Id,
    ifname: &'a str,
}

impl Ifb<'_> {
    fn name(&self) -> String {
        names::ifb(self.id, self.ifname)
    }

    fn mac(&self) -> Mac {
        Mac(names::host_mac(self.id, self.ifname))
    }

    /// An ifb with our ifalias; or one that has none yet, because its maker was killed, and bears our marks.
    fn is(&self, link: &Link) -> bool {
        let named = match link.alias.as_deref() {
            Some(alias) => alias == names::ifalias(self.id),
            None => link.mac == Some(self.mac()),
        };
        named && link.kind.as_deref() == Some("ifb")
    }

    fn create(&self) -> Request {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(self.name()),
            LinkAttribute::Address(self.mac().0.to_vec()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Ifb)]),
        ];
        Request::new(
            "RTM_NEWLINK",
            &format!("{} address {} type ifb", self.name(), self.mac()),
            libc::RTM_NEWLINK,
            NLM_F_CREATE | NLM_F_EXCL,
            &message,
        )
    }
}

/// Both ways, on the host's end `end` of the pod's interface `ifname`.
pub(crate) fn limit(
    id: &Id,
    ifname: &str,
    rate: Rate,
    end: &Link,
    host: &mut Socket,
) -> Result<(), Error> {
    let ifb = Ifb { id, ifname };
    let asked = vec![ifb.create(), link::get(By::Name(&ifb.name()), false)];
    let made = host.batch(asked).map_err(|error| explain(error, "ifb"))?;
    let other = link::parse(&ifb.name(), &made)?;
    host.batch(set(id, rate, end, &other))
        .map_err(|error| explain(error, "sch_tbf, sch_ingress, cls_u32 and act_mirred"))?;
    Ok(())
}

/// What is set on both interfaces.
fn set(id: &Id, rate: Rate, end: &Link, ifb: &Link) -> Vec<Request> {
    vec![
        requests::up_with_alias(id, &ifb.name, ifb.index),
        bucket(rate, ifb, end.mtu),
        bucket(rate, end, end.mtu),
        ingress(end),
        redirect(end, ifb),
    ]
}

/// For `--dry-run`.
pub(crate) fn steps(id: &Id, ifname: &str, rate: Rate, host: &str, mtu: u32) -> Vec<Request> {
    let ifb = Ifb { id, ifname };
    let named = |name| Link {
        name,
        mtu,
        ..Link::default()
    };
    let (end, other) = (named(host.to_owned()), named(ifb.name()));
    let mut steps = vec![ifb.create()];
    steps.extend(set(id, rate, &end, &other));
    steps
}

/// Sets what is missing of it, because somebody took it away: the pod runs on.
pub(crate) fn repair(id: &Id, attachment: &Attachment, host: &mut Socket) -> Result<(), Error> {
    let Some(rate) = attachment.rate else {
        return Ok(());
    };
    let ifname = attachment.ifname.as_ref();
    let ifb = Ifb { id, ifname };
    let Some(end) = link::find(host, By::Name(&attachment.host(id)), false)? else {
        return Ok(());
    };
    let other = link::find(host, By::Name(&ifb.name()), false)?;
    let other = other.filter(|other| ifb.is(other) && other.up);
    if let Some(other) = &other
        && rate_of(end.index, host)? == Some(rate.bytes)
        && rate_of(other.index, host)? == Some(rate.bytes)
        && is_redirected(end.index, host)?
    {
        return Ok(());
    }
    unlimit(id, ifname, true, host)?;
    // What is left on this end would be in the way; that there is none is as good.
    for parent in [TC_H_ROOT, TC_H_INGRESS] {
        match host.batch(vec![delete(&end, parent)]) {
            Err(error)
                if !matches!(
                    error.refused(),
                    Some(Errno::ENOENT | Errno::EINVAL | Errno::EOPNOTSUPP)
                ) =>
            {
                return Err(error);
            }
            _ => {}
        }
    }
    limit(id, ifname, rate, &end, host)
}

/// Removes the interface that is there for nothing else; the rest goes with the veth.
pub(crate) fn unlimit(id: &Id, ifname: &str, wait: bool, host: &mut Socket) -> Result<(), Error> {
    let ifb = Ifb { id, ifname };
    match link::find(host, By::Name(&ifb.name()), false)? {
        Some(found) if ifb.is(&found) => removal::remove(host, &found, wait),
        _ => Ok(()),
    }
}

/// Every such interface, and whose it says to be.
pub(crate) fn interfaces(host: &mut Socket) -> Result<Vec<(Id, Link)>, Error> {
    let of = |link: Link| {
        let id: Id = link.alias.as_deref()?.parse().ok()?;
        // Of which interface of the pod neither tells, so both have to look like it: an administrator's has a word for a name.
        let digits = link.name.strip_prefix("ifb")?;
        let is_hash = digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let is_derived = link.mac.is_some_and(|mac| mac.0[0] == 0x02);
        let is_it = is_hash && is_derived && link.kind.as_deref() == Some("ifb");
        is_it.then_some((id, link))
    };
    Ok(link::all(host)?.into_iter().filter_map(of).collect())
}

/// The host's end of the pair that the interface `ifb` limits.
pub(crate) fn limited(ifb: &str) -> String {
    ifb.replacen("ifb", "veth", 1)
}

/// What a kernel says that lacks one of these.
fn explain(error: Error, needs: &'static str) -> Error {
    match error {
        Error::Refused(refused) if matches!(refused.errno, Errno::EOPNOTSUPP | Errno::ENOENT) => {
            let Refused {
                call, errno, text, ..
            } = refused;
            let why = text.map_or_else(String::new, |text| format!(": {text}"));
            Error::failed(format!(
                "{call}: {}{why} (--rate needs {needs} in the kernel)",
                errno.desc()
            ))
        }
        error => error,
    }
}

/// struct tcmsg: family, three bytes of padding, interface, handle, parent, info.
fn tcmsg(index: u32, handle: u32, parent: u32, info: u32, attributes: &Attributes) -> Vec<u8> {
    let mut body = vec![0; 4];
    for number in [index, handle, parent, info] {
        body.extend(number.to_ne_bytes());
    }
    body.extend(&attributes.0);
    body
}

/// A token bucket at the root of what leaves.
fn bucket(rate: Rate, link: &Link, mtu: u32) -> Request {
    const TCA_TBF_PARMS: u16 = 1;
    const TCA_TBF_RATE64: u16 = 4;
    const TCA_TBF_BURST: u16 = 6;
    let burst = rate.burst(mtu);
    let waits = u32::try_from(rate.bytes / PATIENCE).unwrap_or(u32::MAX);
    let limit = waits.max(WAITS_LEAST).saturating_add(burst);
    let slow = u32::try_from(rate.bytes).unwrap_or(u32::MAX);
    let mut parameters = ratespec(slow).to_vec();
    parameters.extend(ratespec(0));
    // struct tc_tbf_qopt goes on with limit, buffer and mtu: the attribute for the burst takes the place of the second.
    for number in [limit, 0, 0] {
        parameters.extend(number.to_ne_bytes());
    }
    let options = Attributes::default()
        .bytes(TCA_TBF_PARMS, &parameters)
        .bytes(TCA_TBF_RATE64, &rate.bytes.to_ne_bytes())
        .bytes(TCA_TBF_BURST, &burst.to_ne_bytes());
    let attributes = Attributes::default()
        .text(TCA_KIND, "tbf")
        .nested(TCA_OPTIONS, &options);
    let what = format!("{} root tbf rate {rate} burst {burst}", link.name);
    let body = tcmsg(link.index, TBF, TC_H_ROOT, 0, &attributes);
    let flags = NLM_F_CREATE | NLM_F_REPLACE;
    Request::raw("RTM_NEWQDISC", &what, libc::RTM_NEWQDISC, flags, &body)
}

/// struct tc_ratespec, of Ethernet: the kernel needs no table of times then.
fn ratespec(bytes: u32) -> [u8; 12] {
    const TC_LINKLAYER_ETHERNET: u8 = 1;
    let mut spec = [0; 12];
    spec[1] = TC_LINKLAYER_ETHERNET;
    spec[8..].copy_from_slice(&bytes.to_ne_bytes());
    spec
}

/// A place for filters of what arrives.
fn ingress(link: &Link) -> Request {
    let attributes = Attributes::default().text(TCA_KIND, "ingress");
    let what = format!("{} ingress", link.name);
    let body = tcmsg(link.index, INGRESS, TC_H_INGRESS, 0, &attributes);
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    Request::raw("RTM_NEWQDISC", &what, libc::RTM_NEWQDISC, flags, &body)
}

/// Everything that arrives at `link` leaves by `ifb`. By u32 with an empty mask: not every kernel has matchall.
fn redirect(link: &Link, ifb: &Link) -> Request {
    const ETH_P_ALL: u16 = 3;
    const TC_U32_TERMINAL: u8 = 1;
    const TC_ACT_STOLEN: u32 = 4;
    const TCA_EGRESS_REDIR: u32 = 1;
    const TCA_U32_SEL: u16 = 5;
    const TCA_U32_ACT: u16 = 7;
    const TCA_ACT_KIND: u16 = 1;
    const TCA_ACT_OPTIONS: u16 = 2;
    const TCA_MIRRED_PARMS: u16 = 2;
    // struct tc_u32_sel with one struct tc_u32_key
    let mut selector = [0; 32];
    (selector[0], selector[2]) = (TC_U32_TERMINAL, 1);
    // struct tc_mirred
    let numbers = [0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, ifb.index];
    let parameters: Vec<u8> = numbers.into_iter().flat_map(u32::to_ne_bytes).collect();
    let options = Attributes::default().bytes(TCA_MIRRED_PARMS, &parameters);
    let action = Attributes::default()
        .text(TCA_ACT_KIND, "mirred")
        .nested(TCA_ACT_OPTIONS, &options);
    let options = Attributes::default()
        .bytes(TCA_U32_SEL, &selector)
        .nested(TCA_U32_ACT, &Attributes::default().nested(1, &action));
    let attributes = Attributes::default()
        .text(TCA_KIND, "u32")
        .nested(TCA_OPTIONS, &options);
    let priority_and_protocol = 1 << 16 | u32::from(ETH_P_ALL.to_be());
    let what = format!("{} ingress redirect to {}", link.name, ifb.name);
    let body = tcmsg(link.index, 0, INGRESS, priority_and_protocol, &attributes);
    let flags = NLM_F_CREATE | NLM_F_EXCL;
    Request::raw("RTM_NEWTFILTER", &what, libc::RTM_NEWTFILTER, flags, &body)
}

fn delete(link: &Link, parent: u32) -> Request {
    let body = tcmsg(link.index, 0, parent, 0, &Attributes::default());
    Request::raw("RTM_DELQDISC", &link.name, libc::RTM_DELQDISC, 0, &body)
}

/// Bytes per second of the token bucket at the root of interface `index`.
fn rate_of(index: u32, host: &mut Socket) -> Result<Option<u64>, Error> {
    let mut found = None;
    for (parent, kind, options) in dump(libc::RTM_GETQDISC, "RTM_GETQDISC", index, 0, host)? {
        if parent == TC_H_ROOT && kind == "tbf" {
            // struct tc_tbf_qopt begins with the rate; one that needs more bits is in an attribute of its own
            let slow = crate::nft::find(&options, 1).and_then(|all| u32_at(all, 8));
            let fast = crate::nft::find(&options, 4).and_then(|all| crate::netlink::u64_at(all, 0));
            found = fast.or(slow.map(u64::from));
        }
    }
    Ok(found)
}

fn is_redirected(index: u32, host: &mut Socket) -> Result<bool, Error> {
    let filters = dump(libc::RTM_GETTFILTER, "RTM_GETTFILTER", index, INGRESS, host);
    match filters {
        Ok(filters) => Ok(filters.iter().any(|(_, kind, _)| kind == "u32")),
        Err(error) if error.refused().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Parent, kind and options of each that interface `index` has.
fn dump(
    kind: u16,
    name: &str,
    index: u32,
    parent: u32,
    host: &mut Socket,
) -> Result<Vec<(u32, String, Vec<u8>)>, Error> {
    const TCMSG: usize = 20;
    let body = tcmsg(index, 0, parent, 0, &Attributes::default());
    let request = Request::raw(
        name,
        &format!("index {index}"),
        kind,
        libc::NLM_F_DUMP,
        &body,
    );
    let mut found = Vec::new();
    host.dump_all(request, |payload| {
        let attributes = payload.get(TCMSG..).unwrap_or_default();
        let kind = crate::nft::find(attributes, TCA_KIND).and_then(crate::netlink::string);
        // Kernels that do not filter send those of all interfaces: the number tells.
        if let (Some(of), Some(parent), Some(kind)) =
            (u32_at(payload, 4), u32_at(payload, 12), kind)
            && of == index
        {
            let options = crate::nft::find(attributes, TCA_OPTIONS).unwrap_or_default();
            found.push((parent, kind, options.to_vec()));
        }
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_comes_after_what_it_needs() {
        let id = "foo".parse().unwrap();
        let steps = steps(&id, "eth0", "10mbit".parse().unwrap(), "vethce5359d4", 1500);
        let calls: Vec<_> = steps.iter().map(|step| step.call.as_str()).collect();
        assert_eq!(
            calls,
            [
                "RTM_NEWLINK(ifbce5359d4 address 02:6e:f6:70:09:c0 type ifb)",
                "RTM_SETLINK(ifbce5359d4 alias foo up)",
                "RTM_NEWQDISC(ifbce5359d4 root tbf rate 10mbit burst 62500)",
                "RTM_NEWQDISC(vethce5359d4 root tbf rate 10mbit burst 62500)",
                "RTM_NEWQDISC(vethce5359d4 ingress)",
                "RTM_NEWTFILTER(vethce5359d4 ingress redirect to ifbce5359d4)",
            ]
        );
    }

    #[test]
    fn only_an_ifb_of_this_pod_is_ours() {
        let id = "foo".parse().unwrap();
        let ifb = Ifb {
            id: &id,
            ifname: "eth0",
        };
        let link = |alias: Option<&str>, kind: &str, mac| Link {
            name: ifb.name(),
            alias: alias.map(str::to_owned),
            kind: Some(kind.to_owned()),
            mac,
            ..Link::default()
        };
        assert!(ifb.is(&link(Some("foo"), "ifb", None)));
        assert!(ifb.is(&link(None, "ifb", Some(ifb.mac()))));
        assert!(!ifb.is(&link(None, "ifb", None)));
        assert!(!ifb.is(&link(Some("bar"), "ifb", Some(ifb.mac()))));
        assert!(!ifb.is(&link(Some("foo"), "veth", Some(ifb.mac()))));
    }
}
