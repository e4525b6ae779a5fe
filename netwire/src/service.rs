//! `netwire service`: addresses that lead to pods, as kube-proxy makes them, out of one set of maps.

mod change;
pub(crate) mod cli;
mod definition;
mod elements;
mod endpoint;
mod family;
mod iptables;
pub(crate) mod kubernetes;
mod left;
mod name;
mod names;
mod pods;
mod ports;
mod program;
mod show;
mod spelling;
pub(crate) mod store;
mod table;

use std::io::{self, IsTerminal, Read};

use sys::Call;

use crate::TOOL;
use crate::error::Error;
use change::How;
use cli::{
    Endpoints, NamesArgs, ServiceDownArgs, ServiceSetArgs, ServiceShowArgs, ServiceUpArgs,
    ServiceVerb,
};
use definition::{Port, Service};
use endpoint::Target;
use name::Name;
use spelling::NodePort;
use store::Store;

pub(crate) use change::reapply;
pub(crate) use ports::refuse_of_services;

/// More than 10 000 services with all that Kubernetes says of them.
const MOST_BYTES: u64 = 256 << 20;

/// Every service, and whether the kernel has all of it.
pub(crate) fn all() -> Result<Vec<(Service, bool)>, Error> {
    let services = Store::look()?;
    let there = show::are_there(&services)?;
    Ok(services.into_iter().zip(there).collect())
}

/// What a verb has to say on stdout.
pub(crate) fn run(verb: &ServiceVerb) -> Result<String, Error> {
    match verb {
        ServiceVerb::Up(args) => up(args),
        ServiceVerb::Set(args) => set(args),
        ServiceVerb::Down(args) => down(args),
        ServiceVerb::Show(args) => show(args),
        ServiceVerb::Names(args) => names(args),
    }
}

fn up(args: &ServiceUpArgs) -> Result<String, Error> {
    let how = How {
        dry_run: args.dry_run,
        verbose: args.verbose,
    };
    let services = match &args.name {
        Some(name) => vec![from_arguments(name, args)?],
        None => {
            let input = kubernetes::read(&read_stdin()?)?;
            if let Some(name) = input.slices.keys().next() {
                return Err(Error::usage(format!(
                    "stdin: endpoints of {name}, and no such service"
                )));
            }
            input.services
        }
    };
    change::up(services, how)
}

/// The service of a command line.
fn from_arguments(name: &Name, args: &ServiceUpArgs) -> Result<Service, Error> {
    let mut ports: Vec<Port> = Vec::new();
    for port in &args.port {
        ports.push(Port {
            name: port.name.clone(),
            port: port.port,
            protocol: port.protocol,
            target: port.target,
            node: None,
            to: Vec::new(),
        });
    }
    for node in &args.node_port {
        of_node_port(&mut ports, *node)?.node = Some(node.node);
    }
    let mut service = Service {
        name: name.clone(),
        vips: args.vip.clone(),
        external: args.external_ip.clone(),
        ports,
        affinity: args.affinity.map(|seconds| seconds.0),
        deny_from: args.deny_from.clone(),
        elsewhere: Vec::new(),
    };
    let to = targets(&args.to, &service)?;
    lead_to(&mut service, &to);
    Ok(service)
}

/// Which port of the service a port of the machine is for.
fn of_node_port(ports: &mut [Port], node: NodePort) -> Result<&mut Port, Error> {
    let is_it = |port: &&mut Port| {
        node.port.is_none_or(|number| number == port.port)
            && node
                .protocol
                .is_none_or(|protocol| protocol == port.protocol)
    };
    let mut found: Vec<&mut Port> = ports.iter_mut().filter(is_it).collect();
    match (found.pop(), found.is_empty()) {
        (Some(port), true) if port.node.is_none() => Ok(port),
        (Some(port), true) => Err(Error::usage(format!(
            "--node-port {}: port {} has one",
            node.node,
            port.label()
        ))),
        (Some(_), false) => Err(Error::usage(format!(
            "--node-port {}: of which port? (NODEPORT:PORT/PROTOCOL)",
            node.node
        ))),
        (None, _) => Err(Error::usage(format!(
            "--node-port {}: the service has no such port",
            node.node
        ))),
    }
}

/// What `--to` and `--select` say.
fn targets(endpoints: &Endpoints, service: &Service) -> Result<Vec<Target>, Error> {
    let mut targets = endpoints.to.clone();
    if let Some(selector) = &endpoints.select {
        let pods = pods::pods(&endpoints.pods, Some(selector))?;
        if pods.is_empty() {
            record::report(
                TOOL,
                format!("warning: service {}: no pod has {selector}", service.name),
            );
        }
        let ips = pods.into_iter().flat_map(|pod| pod.ips);
        let ours = ips.filter(|ip| service.vips.iter().any(|vip| vip.is_ipv4() == ip.is_ipv4()));
        let chosen = ours.map(|ip| Target {
            ip,
            port: None,
            weight: 1,
        });
        targets.extend(chosen);
    }
    Ok(targets)
}

fn lead_to(service: &mut Service, targets: &[Target]) {
    for port in &mut service.ports {
        port.to = targets
            .iter()
            .map(|target| port.endpoint(*target))
            .collect();
    }
}

fn set(args: &ServiceSetArgs) -> Result<String, Error> {
    let how = How {
        dry_run: args.dry_run,
        verbose: args.verbose,
    };
    let Some(name) = &args.name else {
        return set_all(how);
    };
    let replaces = !args.to.to.is_empty() || args.to.select.is_some();
    if !replaces && args.add.is_empty() && args.remove.is_empty() {
        return Err(Error::usage(
            "service set: --to, --select, --add or --remove is expected",
        ));
    }
    change::edit(name, how, |service| {
        if replaces {
            let to = targets(&args.to, service)?;
            lead_to(service, &to);
        }
        for target in &args.remove {
            remove(service, *target);
        }
        for target in &args.add {
            add(service, *target);
        }
        Ok(())
    })
}

/// Services as they are on stdin, and services whose endpoints alone are there.
fn set_all(how: How) -> Result<String, Error> {
    let input = kubernetes::read(&read_stdin()?)?;
    let mut services = input.services;
    let known = Store::look()?;
    for (name, slices) in &input.slices {
        let service = known.iter().find(|service| service.name == *name);
        let service = service.ok_or_else(|| {
            Error::failed(format!(
                "service {name}: there is none (netwire service up)"
            ))
        })?;
        let mut service = service.clone();
        slices.put_into(&mut service);
        services.push(service);
    }
    change::set(services, how)
}

/// The last takes its place, so that the others keep theirs. One that is not there is as good as removed.
fn remove(service: &mut Service, target: Target) {
    for port in &mut service.ports {
        while let Some(at) = port
            .to
            .iter()
            .position(|one| one.ip == target.ip && target.port.is_none_or(|port| port == one.port))
        {
            port.to.swap_remove(at);
        }
    }
}

/// With another weight it is another one.
fn add(service: &mut Service, target: Target) {
    for port in &mut service.ports {
        let endpoint = port.endpoint(target);
        match port.to.iter_mut().find(|one| one.is_at(endpoint)) {
            Some(there) => *there = endpoint,
            None => port.to.push(endpoint),
        }
    }
}

fn down(args: &ServiceDownArgs) -> Result<String, Error> {
    let how = How {
        dry_run: args.dry_run,
        verbose: args.verbose,
    };
    change::down((!args.all).then_some(&args.name), how)
}

/// Those of these names, or all, in the order of their names.
fn chosen(names: &[Name]) -> Result<Vec<Service>, Error> {
    let mut services = Store::look()?;
    services.sort_by(|one, other| one.name.cmp(&other.name));
    if let Some(name) = names
        .iter()
        .find(|name| !services.iter().any(|service| service.name == **name))
    {
        return Err(Error::failed(format!(
            "service {name}: there is none (netwire service up)"
        )));
    }
    services.retain(|service| names.is_empty() || names.contains(&service.name));
    Ok(services)
}

fn show(args: &ServiceShowArgs) -> Result<String, Error> {
    let services = chosen(&args.name)?;
    if args.iptables || args.ip6tables {
        return Ok(iptables::listing(&services, args.iptables));
    }
    match args.json {
        true => Ok(show::json(&services)),
        false => show::table(&services),
    }
}

fn names(args: &NamesArgs) -> Result<String, Error> {
    let hosts = names::hosts(&chosen(&[])?, &pods::pods(&[], None)?, &args.domain.0);
    match &args.output {
        None => Ok(hosts),
        Some(path) => names::write(path, &hosts).map(|()| String::new()),
    }
}

fn read_stdin() -> Result<Vec<u8>, Error> {
    if io::stdin().is_terminal() {
        return Err(Error::usage(
            "stdin: services are expected, not a terminal (or a NAME)",
        ));
    }
    let mut text = Vec::new();
    let read = io::stdin().lock().take(MOST_BYTES).read_to_end(&mut text);
    read.call(|| "read(stdin)".into())?;
    Ok(text)
}
