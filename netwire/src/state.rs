//! What netwire keeps in the record: a CNI result, and beside it what `down` needs.

mod attachment;

use record::{Id, Record};
use serde_json::{Value, json};

pub(crate) use self::attachment::Attachment;
use crate::TOOL;
use crate::dns::Dns;
use crate::error::Error;
use crate::link::Link;
use crate::namespace::PodNamespace;
use crate::plan::Ifname;
use crate::subnet::Subnet;

/// Of the CNI specification whose result types `netwire` in the record follows.
const CNI_VERSION: &str = "1.1.0";

/// The id and the state in a record.
///
/// # Errors
/// It has none: nothing was made for that pod.
pub(crate) fn of(record: &Record) -> Result<(Id, &Value), Error> {
    let id: Id = record
        .id()
        .unwrap_or_default()
        .parse()
        .map_err(record::Error::Record)?;
    match record.get(TOOL) {
        Some(state) => Ok((id, state)),
        None => Err(not_wired(&id)),
    }
}

/// Nothing was made for this pod.
pub(crate) fn not_wired(id: &Id) -> Error {
    Error::failed(format!("{id}: not wired (netwire up)"))
}

/// For [`record::Up::intend`]: `new`, on top of what an earlier `up` made, which an undo leaves alone.
pub(crate) fn intended(id: &Id, earlier: Option<&Value>, new: &[Attachment]) -> Value {
    let mut state = json!({});
    let mut attachments = Vec::new();
    if let Some(earlier) = earlier {
        attachments.extend(list(earlier, "attachments"));
        state[record::RESTORES] = earlier.clone();
    }
    attachments.extend(new.iter().map(|attachment| attachment.to_json(id)));
    state["attachments"] = attachments.into();
    state
}

/// The attachments of an intended state that were there before.
pub(crate) fn restored(state: &Value) -> Result<Vec<Attachment>, Error> {
    state
        .get(record::RESTORES)
        .map_or(Ok(Vec::new()), attachments)
}

/// The attachments in a state, of the record or of the index.
///
/// # Errors
/// It was tampered with: exit 2.
pub(crate) fn attachments(state: &Value) -> Result<Vec<Attachment>, Error> {
    let bad = |why: String| Error::record(format!("netwire.attachments: {why}"));
    let entries = state.get("attachments").and_then(Value::as_array);
    let entries = entries.ok_or_else(|| bad("missing, it must be an array".into()))?;
    entries
        .iter()
        .map(|entry| Attachment::from_json(entry).map_err(bad))
        .collect()
}

/// An interface as it was made, and what the kernel says of both ends.
pub(crate) struct Made {
    pub(crate) attachment: Attachment,
    /// None: lo has none.
    pub(crate) host: Option<Link>,
    pub(crate) inside: Link,
    /// Of the families whose default route leads out of it.
    pub(crate) defaults: Vec<Subnet>,
}

/// A result of CNI: what an earlier `up` made, and `made`.
pub(crate) fn with(id: &Id, earlier: Option<&Value>, made: &Made, pod: &PodNamespace) -> Value {
    let (attachment, inside) = (&made.attachment, &made.inside);
    let of_earlier = |key: &str| earlier.map_or_else(Vec::new, |earlier| list(earlier, key));
    let [mut interfaces, mut ips, mut routes, mut attachments] =
        ["interfaces", "ips", "routes", "attachments"].map(of_earlier);
    if let Some(port) = attachment.mode.port() {
        interfaces.push(json!({"name": port.bridge.as_ref()}));
    }
    if let Some(host) = &made.host {
        interfaces.push(interface(host));
    }
    let sandbox = pod.path().to_string_lossy();
    let mut ours = interface(inside);
    ours["sandbox"] = sandbox.into();
    interfaces.push(ours);
    let number = interfaces.len() - 1;
    for net in &attachment.nets {
        let Some(address) = net.address else { continue };
        let (gateway, prefix) = (net.subnet.gateway().to_string(), net.subnet.prefix());
        ips.push(json!({
            "interface": number, "address": format!("{address}/{prefix}"), "gateway": gateway
        }));
    }
    let moved = attachment.mode.moved().map(|moved| &moved.addresses);
    ips.extend(moved.into_iter().flatten().map(
        |(address, prefix)| json!({"interface": number, "address": format!("{address}/{prefix}")}),
    ));
    routes.extend(made.defaults.iter().map(|subnet| {
        let everywhere = if subnet.is_ipv4() {
            "0.0.0.0/0"
        } else {
            "::/0"
        };
        json!({"dst": everywhere, "gw": subnet.gateway().to_string()})
    }));
    attachments.push(attachment.to_json(id));
    let mut state = json!({
        "cniVersion": CNI_VERSION,
        "interfaces": interfaces,
        "ips": ips,
        "routes": routes,
        "dns": {},
        "attachments": attachments,
    });
    if let Some(earlier) = earlier {
        Dns::of(earlier).add_to(&mut state);
    }
    state
}

/// As CNI has it: the key is missing where the interface has no hardware address.
fn interface(link: &Link) -> Value {
    let mut interface = json!({"name": link.name});
    if let Some(mac) = link.mac {
        interface["mac"] = mac.to_string().into();
    }
    interface["mtu"] = link.mtu.into();
    interface
}

/// The rest of a state when the interface `ifname` is gone; None: there is no rest.
pub(crate) fn without(state: &Value, ifname: &Ifname) -> Option<Value> {
    let is_it = |name: &Value| name.as_str() == Some(ifname.as_ref());
    let mut attachments = list(state, "attachments");
    let Some(gone) = attachments.iter().position(|one| is_it(&one["ifname"])) else {
        return Some(state.clone());
    };
    let gone = attachments.remove(gone);
    if attachments.is_empty() {
        return None;
    }
    let mut rest = state.clone();
    rest["attachments"] = attachments.into();
    // Numbers in "ips" are places in "interfaces".
    let interfaces = list(state, "interfaces");
    let inside = |one: &Value| one.get("sandbox").is_some() && is_it(&one["name"]);
    let Some(last) = interfaces.iter().position(inside) else {
        return Some(rest);
    };
    let before = match (gone.get("host"), gone.get("bridge")) {
        (None, _) => 0,
        (_, None) => 1,
        _ => 2,
    };
    let first = last.saturating_sub(before);
    let stays = |place: &usize| !(first..=last).contains(place);
    rest["interfaces"] = (0..interfaces.len())
        .filter(stays)
        .map(|place| interfaces[place].clone())
        .collect();
    let mut gateways = Vec::new();
    let mut ips = list(state, "ips");
    ips.retain_mut(|ip| {
        let place = ip["interface"]
            .as_u64()
            .and_then(|at| usize::try_from(at).ok());
        let place = place.unwrap_or_default();
        if !stays(&place) {
            gateways.push(ip["gateway"].clone());
            return false;
        }
        if place > last {
            ip["interface"] = (place - (last + 1 - first)).into();
        }
        true
    });
    let mut routes = list(state, "routes");
    routes.retain(|route| !gateways.contains(&route["gw"]));
    (rest["ips"], rest["routes"]) = (ips.into(), routes.into());
    Some(rest)
}

fn list(state: &Value, key: &str) -> Vec<Value> {
    state
        .get(key)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}
