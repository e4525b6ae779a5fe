//! `up`: the pod gets its interface.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use netlink_packet_route::AddressFamily;
use nix::errno::Errno;
use record::{Id, Known, Record, Up, names};
use serde_json::Value;

use crate::TOOL;
use crate::antispoof::{self, When};
use crate::cidr::{width, with_bits};
use crate::cli::UpArgs;
use crate::conntrack;
use crate::drift::check;
use crate::error::Error;
use crate::firewall;
use crate::forwarding;
use crate::ipv6;
use crate::lease::{Owner, Pool};
use crate::link::{self, By, Link, OPER_UNKNOWN, OPER_UP};
use crate::namespace::PodNamespace;
use crate::netlink::Socket;
use crate::plan::{Assigned, Plan, Wanted};
use crate::publish;
use crate::requests;
use crate::state::{self, Attachment};

/// The largest MTU of a veth; lo has more.
const MTU_MAX: u32 = 65535;
/// Where there is no default route to take it from: Ethernet's.
const MTU_DEFAULT: u32 = 1500;

/// Makes the connection, or sees that it is there as wanted.
pub(crate) fn up(up: &mut Up, args: &UpArgs) -> Result<Value, Error> {
    let wanted = args.wanted()?;
    let pod = PodNamespace::of(up.record(), args.netns.as_ref())?;
    let mut host = Socket::open(args.verbose)?;
    if let Some(state) = up.state().cloned() {
        let attachment = check(up.id(), &state, &wanted, &pod, &mut host)?;
        firewall::repair(up.id(), &attachment, args.verbose)?;
        let_through(&wanted, args)?;
        return Ok(state);
    }
    let any = wanted
        .nets
        .iter()
        .map(|net| with_bits(net.subnet.network(), 0));
    publish::refuse_taken(&wanted.ports, &any.collect::<Vec<_>>())?;
    let mtu = mtu(&wanted, &mut host)?;
    refuse_foreign(up.id(), &wanted, &mut host)?;
    if wanted.has(false) {
        ipv6::refuse_without()?;
    }
    // Whatever may not be done inside fails here, before anything is made.
    let mut inside = pod.socket(args.verbose)?;

    up.intend(&state::intended(up.id(), &wanted))?;
    let nets = reserve(up.id(), &wanted, &mut host, args.verbose)?;
    // Before the interface is there: what its packets may do is settled when the first of them comes.
    let mut attachment = Attachment::assigned(&wanted, &nets);
    if let Err(error) = firewall::add(up.id(), &attachment, args.verbose) {
        antispoof::unless_demanded(error, attachment.is_only_filtered(), wanted.antispoof)?;
        (attachment.antispoof, attachment.loose) = (false, false);
    }
    let_through(&wanted, args)?;
    conntrack::forget_ports(&wanted.ports, args.verbose)?;
    let plan = Plan::new(up.id(), &wanted, nets, mtu);
    let end = create(&plan, &pod, &mut host, &mut inside)?;
    if wanted.has(false) {
        ipv6::prepare(&plan.host)?;
        ipv6::forward(&plan.host)?;
        pod.inside(|| ipv6::prepare(plan.ifname.as_ref()))?;
    } else if wanted.antispoof != When::Never {
        attachment.antispoof &=
            antispoof::turn_ipv6_off(&plan.host, wanted.antispoof, args.verbose)?;
    }
    let (end, peer) = wire(&plan, &end, &mut host, &mut inside)?;
    Ok(state::made(&plan, attachment, &pod, &end, &peer))
}

/// An address of each subnet.
fn reserve(
    id: &Id,
    wanted: &Wanted,
    host: &mut Socket,
    verbose: bool,
) -> Result<Vec<Assigned>, Error> {
    let owner = Owner {
        id: id.to_string(),
        ifname: wanted.ifname.to_string(),
    };
    let mut nets = Vec::new();
    for net in &wanted.nets {
        let pool = Pool::new(net.subnet, wanted.lease_dir.as_deref()).with_choice(&wanted.choice);
        let address = pool.reserve(&owner, net.address, |owner, address| {
            is_stale(host, owner, address)
        })?;
        if verbose {
            record::report(TOOL, lease_step(&pool, address));
        }
        let subnet = net.subnet;
        nets.push(Assigned { subnet, address });
    }
    Ok(nets)
}

/// Sees to the host's own hindrances where that was asked for, and names them where not.
fn let_through(wanted: &Wanted, args: &UpArgs) -> Result<(), Error> {
    if !wanted.nat && wanted.ports.is_empty() {
        return Ok(());
    }
    let (ipv4, ipv6) = (wanted.has(true), wanted.has(false));
    let closed = forwarding::closed(ipv4, ipv6)?;
    if args.sysctl_host && !closed.is_empty() {
        firewall::note_opened(&closed, args.verbose)?;
        forwarding::open(&closed)?;
    } else {
        for uplink in closed {
            record::report(
                TOOL,
                format_args!(
                    "{} is 0: nothing that comes in there reaches a pod (--sysctl-host)",
                    uplink.sysctl()
                ),
            );
        }
    }
    if args.accept_forward {
        return firewall::accept(ipv4, ipv6, args.verbose);
    }
    for chain in forwarding::dropping(ipv4, ipv6)? {
        record::report(
            TOOL,
            format_args!(
                "chain {chain} drops what its rules do not accept, also of pods (--accept-forward)"
            ),
        );
    }
    Ok(())
}

/// What `up` would do, a line for each step.
pub(crate) fn dry_run(record: &Record, id: &Id, args: &UpArgs) -> Result<String, Error> {
    let wanted = args.wanted()?;
    let pod = PodNamespace::of(record, args.netns.as_ref())?;
    let mut host = Socket::open(false)?;
    let mtu = mtu(&wanted, &mut host)?;
    refuse_foreign(id, &wanted, &mut host)?;
    let mut text = String::new();
    let mut nets = Vec::new();
    for net in &wanted.nets {
        let pool = Pool::new(net.subnet, wanted.lease_dir.as_deref()).with_choice(&wanted.choice);
        let address = pool.next(net.address)?;
        text += &format!("host: {}\n", lease_step(&pool, address));
        let subnet = net.subnet;
        nets.push(Assigned { subnet, address });
    }
    let attachment = Attachment::assigned(&wanted, &nets);
    let plan = Plan::new(id, &wanted, nets, mtu);
    let steps = [
        ("host", firewall::steps(id, &attachment)?),
        ("host", requests::create(&plan, pod.fd())),
        ("host", requests::host_set(&plan, 0)),
        ("pod", requests::pod_set(&plan, 0)),
    ];
    for (at, (place, requests)) in steps.into_iter().enumerate() {
        if at == 2 && wanted.has(false) {
            text += &format!(
                "host: {}
",
                ipv6::steps(&plan.host)
            );
            text += &format!(
                "pod: {}
",
                ipv6::steps(plan.ifname.as_ref())
            );
        } else if at == 2 && wanted.antispoof != When::Never {
            text += &format!(
                "host: {}
",
                antispoof::step(&plan.host)
            );
        }
        // questions are no steps
        for request in requests.iter().filter(|request| !request.is_question()) {
            text += &format!("{place}: {}\n", request.call);
        }
    }
    Ok(text)
}

fn lease_step(pool: &Pool, address: IpAddr) -> String {
    format!("link({})", pool.dir().join(address.to_string()).display())
}

/// Both ends, down. What was made stays when a step fails: the caller undoes it as a whole.
fn create(
    plan: &Plan,
    pod: &PodNamespace,
    host: &mut Socket,
    inside: &mut Socket,
) -> Result<Link, Error> {
    let made = host
        .batch(requests::create(plan, pod.fd()))
        .map_err(|error| match error.refused() {
            Some(Errno::EEXIST) => exists(plan, pod, inside).unwrap_or(error),
            _ => error,
        })?;
    link::parse(&plan.host, &made)
}

/// Both ends up, addresses, routes.
fn wire(
    plan: &Plan,
    end: &Link,
    host: &mut Socket,
    inside: &mut Socket,
) -> Result<(Link, Link), Error> {
    host.batch(requests::host_set(plan, end.index))
        .map_err(|error| match error.refused() {
            Some(Errno::EEXIST) => Error::failed(format!(
                "{error} (something that is no pod of this subnet has this address: try another --subnet)"
            )),
            _ => error,
        })?;
    // No number of its own means that it is the same as this end's.
    let looks = inside.batch(requests::pod_set(plan, end.peer.unwrap_or(end.index)))?;
    let peer = link::parse(plan.ifname.as_ref(), &looks)?;
    Ok((wait_up(host, end)?, peer))
}

/// Names the interface that is in the way.
fn exists(plan: &Plan, pod: &PodNamespace, inside: &mut Socket) -> Option<Error> {
    link::find(inside, By::Name(plan.ifname.as_ref()), false).ok()??;
    Some(Error::failed(format!(
        "{} exists already in {}",
        plan.ifname,
        pod.path().display()
    )))
}

/// Waits until the host's end takes packets.
///
/// It was switched on first, when the other end was not: the kernel makes up for that in a work queue, or when it is asked
/// (Linux 6.8, `linkwatch_sync_dev`). Before that, packets would be dropped.
fn wait_up(host: &mut Socket, end: &Link) -> Result<Link, Error> {
    let until = Instant::now() + Duration::from_secs(2);
    loop {
        let found = link::find(host, By::Index(end.index), false)?;
        let found = found.ok_or_else(|| {
            Error::failed(format!("{} is gone again: did the pod end?", end.name))
        })?;
        if matches!(found.operstate, OPER_UP | OPER_UNKNOWN) {
            return Ok(found);
        }
        if Instant::now() > until {
            let (name, state) = (&found.name, found.state());
            return Err(Error::failed(format!(
                "{name} is {state} and not up: did the pod switch its end off?"
            )));
        }
        thread::sleep(Duration::from_micros(100));
    }
}

/// As the default route's interface: what leaves the machine must fit through that one.
fn mtu(wanted: &Wanted, host: &mut Socket) -> Result<u32, Error> {
    if let Some(mtu) = wanted.mtu {
        return Ok(mtu);
    }
    let family = match wanted.has(true) {
        true => AddressFamily::Inet,
        false => AddressFamily::Inet6,
    };
    let mut smallest = None;
    for index in link::default_route(Socket::open(false)?, family)? {
        let mtu = link::find(host, By::Index(index), false)?.map(|link| link.mtu);
        smallest = mtu.into_iter().chain(smallest).min();
    }
    let least = if wanted.has(false) { 1280 } else { 0 };
    Ok(smallest.map_or(MTU_DEFAULT, |mtu: u32| mtu.clamp(least, MTU_MAX)))
}

/// Refuses to begin when the host's end would meet one of its name: before anything is written down that an undo
/// would then remove.
fn refuse_foreign(id: &Id, wanted: &Wanted, host: &mut Socket) -> Result<(), Error> {
    let name = names::veth(id, wanted.ifname.as_ref());
    let Some(found) = link::find(host, By::Name(&name), false)? else {
        return Ok(());
    };
    let whose = match found.alias {
        Some(alias) if alias == names::ifalias(id) => {
            "made for this pod, and not in its index".to_owned()
        }
        Some(alias) => format!("of {alias:?}"),
        None => "not one of ours".to_owned(),
    };
    Err(Error::failed(format!(
        "{name} exists already, {whose} (ip link del {name})"
    )))
}

/// Whether nobody can be using `address`, whose lease says `owner`.
///
/// Under the lock of the pool. A lease is made after its `up` has written ahead, and given back before its `down` forgets, so
/// one that no index accounts for was left behind: the index was removed by hand, or a crash came between
/// the two on a /run that survives a reboot. As that pod may run on, the host must know neither its interface nor a
/// route to the address.
fn is_stale(host: &mut Socket, owner: Option<&Owner>, address: IpAddr) -> Result<bool, Error> {
    if link::route_to(host, address)?.is_some_and(|(_, prefix)| prefix == width(address)) {
        return Ok(false);
    }
    let Some(owner) = owner else { return Ok(true) };
    let Ok(id) = owner.id.parse::<Id>() else {
        return Ok(false);
    };
    let veth = link::find(host, By::Name(&names::veth(&id, &owner.ifname)), false)?;
    if veth.is_some_and(|link| link.alias.as_deref() == Some(names::ifalias(&id))) {
        return Ok(false);
    }
    // Half made, unreadable or just begun: somebody is at it.
    let state = match record::known(TOOL, &id) {
        Known::Nothing => return Ok(true),
        Known::Unfinished => return Ok(false),
        Known::Up(state) => state,
    };
    let attachments = state::attachments(&state)?;
    Ok(attachments
        .iter()
        .flat_map(|attachment| &attachment.nets)
        .filter(|net| net.subnet.is_ipv4() == address.is_ipv4())
        .all(|net| net.address.is_some_and(|other| other != address)))
}
