//! `up`: the pod gets its interface.

use record::{Id, Record, Up};
use serde_json::Value;

use crate::antispoof::{self, When};
use crate::cidr::with_bits;
use crate::cli::UpArgs;
use crate::device::{self, Device};
use crate::drift;
use crate::error::Error;
use crate::link;
use crate::namespace::PodNamespace;
use crate::netlink::Socket;
use crate::plan::{Plan, Wanted};
use crate::state::{self, Attachment, Made};
use crate::{
    TOOL, announce, bridge, conntrack, firewall, forwarding, ipv6, publish, rate, requests,
    reserve, service, sysctl, uplink, wire,
};

/// Makes the connection, or sees that it is there as wanted.
pub(crate) fn up(up: &mut Up, args: &UpArgs) -> Result<Value, Error> {
    let wanted = args.wanted()?;
    let pod = PodNamespace::of(up.record(), args.netns.as_ref())?;
    let mut host = Socket::open(args.verbose)?;
    let sysctls = sysctl::wanted(up.record(), &args.sysctl)?;
    let of = |interface: bool| pod.inside(|| sysctl::apply(&sysctls, &wanted.ifname, interface));
    let earlier = up.state().cloned();
    let others = earlier
        .as_ref()
        .map_or(Ok(Vec::new()), state::attachments)?;
    let dns = args.dns.wanted();
    let devices = device::wanted(up.record(), &args.device)?;
    let devices = (devices.as_slice(), others.as_slice());
    let known = others.iter().find(|other| other.ifname == wanted.ifname);
    if let (Some(dns), Some(state)) = (&dns, &earlier) {
        dns.check(up.id(), state, known.is_some())?;
    }
    if let (Some(attachment), Some(state)) = (known, &earlier) {
        drift::check(up.id(), attachment, &wanted, &pod, &mut host)?;
        firewall::repair(up.id(), attachment, args.verbose)?;
        rate::repair(up.id(), attachment, &mut host)?;
        let_through(&wanted, args)?;
        if !sysctls.is_empty() {
            of(false)?;
            of(true)?;
        }
        return move_in(
            up,
            devices,
            (Some(state), Vec::new()),
            state.clone(),
            &pod,
            &mut host,
        );
    }
    // Those that an interface takes over when it is made come before it.
    if !sysctls.is_empty() {
        of(false)?;
    }
    let made = match wanted.mode.is_loopback() {
        true => loopback(up, &wanted, earlier.as_ref(), &pod, args.verbose)?,
        false => make(
            up,
            args,
            &wanted,
            (earlier.as_ref(), &others),
            &pod,
            &mut host,
        )?,
    };
    if !sysctls.is_empty() {
        of(true)?;
    }
    let mut state = state::with(up.id(), earlier.as_ref(), &made, &pod);
    if let Some(dns) = dns {
        dns.add_to(&mut state);
    }
    let new = (earlier.as_ref(), vec![made.attachment]);
    move_in(up, devices, new, state, &pod, &mut host)
}

/// The devices that are not in the pod yet; `new` is what was made on top of an earlier state, `state` both.
fn move_in(
    up: &mut Up,
    (devices, others): (&[Device], &[Attachment]),
    (earlier, mut new): (Option<&Value>, Vec<Attachment>),
    mut state: Value,
    pod: &PodNamespace,
    host: &mut Socket,
) -> Result<Value, Error> {
    for device in devices {
        if let Some(other) = others.iter().find(|other| other.ifname == device.to) {
            drift::check_device(up.id(), other, device, pod, host)?;
            continue;
        }
        let moved = device::look(device, pod, host)?;
        let attachment = Attachment::of_device(device.to.clone(), moved.clone());
        new.push(attachment.clone());
        up.intend(&state::intended(up.id(), earlier, &new))?;
        let inside = device::give(&moved, &device.to, pod, host, &mut pod.socket(false)?)?;
        let made = Made {
            attachment,
            host: None,
            inside,
            defaults: Vec::new(),
        };
        state = state::with(up.id(), Some(&state), &made, pod);
    }
    Ok(state)
}

/// lo, and no more.
fn loopback(
    up: &mut Up,
    wanted: &Wanted,
    earlier: Option<&Value>,
    pod: &PodNamespace,
    verbose: bool,
) -> Result<Made, Error> {
    let mut inside = pod.socket(verbose)?;
    let attachment = Attachment::intended(wanted);
    up.intend(&state::intended(
        up.id(),
        earlier,
        std::slice::from_ref(&attachment),
    ))?;
    let looks = inside.batch(requests::loopback_up())?;
    Ok(Made {
        attachment,
        host: None,
        inside: link::parse("lo", &looks)?,
        defaults: Vec::new(),
    })
}

/// An interface with addresses.
fn make(
    up: &mut Up,
    args: &UpArgs,
    wanted: &Wanted,
    (earlier, others): (Option<&Value>, &[Attachment]),
    pod: &PodNamespace,
    host: &mut Socket,
) -> Result<Made, Error> {
    refuse_same_subnet(up.id(), wanted, others)?;
    let any = wanted
        .nets
        .iter()
        .map(|net| with_bits(net.subnet.network(), 0));
    publish::refuse_taken(&wanted.ports, &any.collect::<Vec<_>>())?;
    service::refuse_of_services(&wanted.ports, wanted.has(true), wanted.has(false))?;
    let mtu = wire::mtu(wanted, host)?;
    wire::refuse_foreign(up.id(), wanted, host)?;
    if let Some(why) = wanted.rate.and_then(|rate| rate.refuses(mtu)) {
        return Err(Error::usage(why));
    }
    if wanted.has(false) {
        ipv6::refuse_without()?;
    }
    // Whatever may not be done inside fails here, before anything is made.
    let mut inside = pod.socket(args.verbose)?;

    up.intend(&state::intended(
        up.id(),
        earlier,
        &[Attachment::intended(wanted)],
    ))?;
    let nets = reserve::reserve(up.id(), wanted, host, args.verbose)?;
    // Before the interface is there: what its packets may do is settled when the first of them comes.
    let mut attachment = Attachment::assigned(wanted, &nets);
    if let Err(error) = firewall::add(up.id(), &attachment, args.verbose) {
        antispoof::unless_demanded(error, attachment.is_only_filtered(), wanted.antispoof)?;
        (attachment.antispoof, attachment.loose) = (false, false);
    }
    let_through(wanted, args)?;
    conntrack::forget_ports(&wanted.ports, args.verbose)?;
    let plan = Plan::new(up.id(), wanted, others, nets, mtu);
    let (end, peer) = wire::connect(&plan, wanted, &mut attachment, pod, host, &mut inside)?;
    if let Some(port) = &plan.port {
        pod.inside(|| announce::announce(&plan, &peer))?;
        if plan.route_localnet {
            bridge::route_localnet(port, host)?;
        }
    }
    attachment.ifindex = Some(end.index);
    Ok(Made {
        attachment,
        host: Some(end),
        inside: peer,
        defaults: plan.defaults,
    })
}

/// Two interfaces of a pod in one subnet: only one of them could have its route.
fn refuse_same_subnet(id: &Id, wanted: &Wanted, others: &[Attachment]) -> Result<(), Error> {
    for net in &wanted.nets {
        let overlaps = |other: &&Attachment| {
            let mut theirs = other.nets.iter();
            theirs.any(|their| their.subnet.overlaps(net.subnet))
        };
        if let Some(other) = others.iter().find(overlaps) {
            return Err(Error::failed(format!(
                "{id}: {} is in {} already (another --subnet for {})",
                other.ifname, net.subnet, wanted.ifname
            )));
        }
    }
    Ok(())
}

/// Sees to the host's own hindrances where that was asked for, and names them where not.
fn let_through(wanted: &Wanted, args: &UpArgs) -> Result<(), Error> {
    if !wanted.nat && wanted.ports.is_empty() {
        return Ok(());
    }
    let (ipv4, ipv6) = (wanted.has(true), wanted.has(false));
    let closed = uplink::closed(ipv4, ipv6)?;
    if args.sysctl_host && !closed.is_empty() {
        firewall::note_opened(&closed, args.verbose)?;
        uplink::open(&closed)?;
    } else {
        for uplink in closed {
            record::report(TOOL, format_args!("{} (--sysctl-host)", uplink.why()));
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
    if wanted.mode.is_loopback() {
        return Ok("pod: RTM_SETLINK(lo up)\n".into());
    }
    let state = record.get(TOOL);
    let others = state.map_or(Ok(Vec::new()), state::attachments)?;
    refuse_same_subnet(id, &wanted, &others)?;
    let mut host = Socket::open(false)?;
    let mtu = wire::mtu(&wanted, &mut host)?;
    wire::refuse_foreign(id, &wanted, &mut host)?;
    let mut text = String::new();
    let mut nets = Vec::new();
    for net in wanted.nets.iter().enumerate() {
        let (assigned, step) = reserve::plan(net, &wanted)?;
        text += &format!("host: {step}\n");
        nets.push(assigned);
    }
    let attachment = Attachment::assigned(&wanted, &nets);
    let plan = Plan::new(id, &wanted, &others, nets, mtu);
    let bridge = plan.port.as_ref();
    let bridge = bridge.map_or(Ok(Vec::new()), |port| {
        bridge::steps(port, &plan.nets, &mut host)
    })?;
    let limits = wanted.rate.map_or_else(Vec::new, |rate| {
        rate::steps(id, wanted.ifname.as_ref(), rate, &plan.host, mtu)
    });
    let steps = [
        ("host", firewall::steps(id, &attachment)?),
        ("host", bridge),
        ("host", requests::create(&plan, None, pod.fd())),
        ("host", limits),
        ("host", requests::host_set(&plan, 0)),
        ("pod", requests::pod_set(&plan, 0)),
    ];
    for (at, (place, requests)) in steps.into_iter().enumerate() {
        if at == 4 {
            text += &switches(&plan, &wanted);
        }
        // questions are no steps
        for request in requests.iter().filter(|request| !request.is_question()) {
            text += &format!("{place}: {}\n", request.call);
        }
    }
    Ok(text)
}

/// What is written to sysctls before the interface is switched on.
fn switches(plan: &Plan, wanted: &Wanted) -> String {
    let mut text = String::new();
    if plan.port.is_some() || (!wanted.has(false) && wanted.antispoof != When::Never) {
        text += &format!("host: {}\n", antispoof::step(&plan.host));
    } else if wanted.has(false) {
        text += &ipv6::steps(&plan.host)
            .map(|step| format!("host: {step}\n"))
            .concat();
    }
    if wanted.has(false) {
        let steps = ipv6::steps(plan.ifname.as_ref());
        text += &steps.map(|step| format!("pod: {step}\n")).concat();
    }
    text
}
