//! `check` of a pod: what of its record is not so any more, as JSON.

use std::fs;

use record::{Id, Record};
use serde_json::{Value, json};

use crate::TOOL;
use crate::drift::{self, Difference};
use crate::error::Error;
use crate::firewall;
use crate::lease::{Owner, Pool};
use crate::link::{self, By, Link};
use crate::namespace::PodNamespace;
use crate::netlink::Socket;
use crate::routes;
use crate::state::{self, Attachment};

/// One object on one line, and whether everything is as the record says.
pub(crate) fn verify(record: &Record) -> Result<(String, bool), Error> {
    let (id, state) = state::of(record)?;
    let mut host = Socket::open(false)?;
    let pod = PodNamespace::of_state(record, state).ok();
    let mut all = Vec::new();
    for attachment in state::attachments(state)? {
        all.extend(drift::differences(
            &id,
            &attachment,
            pod.as_ref(),
            &mut host,
        )?);
        all.extend(leases(&id, &attachment)?);
        all.extend(switches(&id, &attachment));
        let firewall = firewall::lacks(&id, &attachment)?.into_iter();
        all.extend(firewall.map(|text| difference(&attachment, "firewall", text)));
        if let Some(pod) = &pod {
            all.extend(of_result(state, &id, &attachment, pod, &mut host)?);
        }
    }
    let drift: Vec<Value> = all
        .iter()
        .map(|one| json!({"ifname": one.ifname.as_ref(), "what": one.what, "found": one.text}))
        .collect();
    let ok = drift.is_empty();
    let object = json!({"tool": TOOL, "id": id.as_ref(), "ok": ok, "drift": drift});
    Ok((format!("{object}\n"), ok))
}

/// Leases that are gone, or somebody else's.
fn leases(id: &Id, is: &Attachment) -> Result<Vec<Difference>, Error> {
    let mut found = Vec::new();
    for net in is.assigned_nets() {
        let pool = Pool::new(net.subnet, &is.leases);
        let text = match pool.owner(net.address)? {
            Some(Owner { id: of, ifname }) if of == **id && ifname == is.ifname.as_ref() => {
                continue;
            }
            Some(other) => format!("the lease of {} is of {other}", net.address),
            None => format!("there is no lease of {}", net.address),
        };
        found.push(difference(is, "lease", text));
    }
    Ok(found)
}

/// The interface by which packets of the pod come in must forward them.
fn switches(id: &Id, is: &Attachment) -> Option<Difference> {
    let interface = match is.mode.port() {
        None if !is.mode.is_inside() => is.host(id),
        _ => return None,
    };
    let forwarding = format!("/proc/sys/net/ipv4/conf/{interface}/forwarding");
    let off = fs::read_to_string(forwarding).is_ok_and(|value| value.trim_end() == "0");
    let text = format!("net.ipv4.conf.{interface}.forwarding is 0");
    off.then(|| difference(is, "forwarding", text))
}

/// What the CNI result says beside: hardware addresses, MTU, and the default routes.
fn of_result(
    state: &Value,
    id: &Id,
    is: &Attachment,
    pod: &PodNamespace,
    host: &mut Socket,
) -> Result<Vec<Difference>, Error> {
    let list = |key: &str| {
        state
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let mut inside = pod.socket(false)?;
    let end = link::find(host, By::Name(&is.host(id)), false)?;
    let peer = link::find(&mut inside, By::Name(is.ifname.as_ref()), false)?;
    let mut found = Vec::new();
    for link in [end.as_ref(), peer.as_ref()].into_iter().flatten() {
        let mut interfaces = list("interfaces").into_iter();
        if let Some(recorded) = interfaces.find(|one| one["name"] == link.name.as_str()) {
            found.extend(of_link(is, link, &recorded));
        }
    }
    let Some(peer) = peer else { return Ok(found) };
    let gateways: Vec<String> = is
        .nets
        .iter()
        .map(|net| net.subnet.gateway().to_string())
        .collect();
    let there = routes::out_of(&mut inside, peer.index)?;
    for route in list("routes") {
        let Some(gateway) = route["gw"]
            .as_str()
            .filter(|gw| gateways.iter().any(|one| one == gw))
        else {
            continue;
        };
        let via = |gw: std::net::IpAddr| gw.to_string() == gateway;
        if !there
            .iter()
            .any(|route| route.prefix == 0 && route.gateway.is_some_and(via))
        {
            let text = format!("{} has no default route via {gateway}", is.ifname);
            found.push(difference(is, "route", text));
        }
    }
    Ok(found)
}

fn of_link(is: &Attachment, link: &Link, recorded: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    let (name, mac) = (&link.name, link.mac.map(|mac| mac.to_string()));
    let mac = mac.unwrap_or_default();
    if let Some(was) = recorded["mac"].as_str().filter(|was| *was != mac) {
        found.push(difference(
            is,
            "link",
            format!("{name} has {mac}, not {was}"),
        ));
    }
    let mtu = u64::from(link.mtu);
    if let Some(was) = recorded["mtu"].as_u64().filter(|&was| was != mtu) {
        found.push(difference(
            is,
            "link",
            format!("{name} has MTU {mtu}, not {was}"),
        ));
    }
    found
}

fn difference(is: &Attachment, what: &'static str, text: String) -> Difference {
    let ifname = is.ifname.clone();
    Difference { ifname, what, text }
}
