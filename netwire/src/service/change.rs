//! Services come, change and go: the log first, then the table, then connections of UDP that would go on to where nobody is.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

use super::definition::Service;
use super::left::{self, unused};
use super::name::Name;
use super::store::Store;
use super::table::Table;
use super::{pods, ports};
use crate::TOOL;
use crate::cli::ReapplyArgs;
use crate::error::Error;
use crate::netlink::Request;

/// How a change is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub(crate) dry_run: bool,
    pub(crate) verbose: bool,
}

/// Services that are as they were wanted, and the plan where only that was asked for.
type Plan = Result<String, Error>;

/// Makes services that are not there yet; those that are must be the same.
pub(crate) fn up(wanted: Vec<Service>, how: How) -> Plan {
    check(&wanted)?;
    let store = Store::make()?;
    let answer = add(&store, wanted, how);
    if store.is_empty() {
        store.tidy()?;
    }
    answer
}

fn add(store: &Store, mut wanted: Vec<Service>, how: How) -> Plan {
    let known = store.find(wanted.iter().map(|service| &service.name))?;
    for service in &wanted {
        let there = known
            .get(&service.name)
            .filter(|there| !there.is_same(service));
        if let Some(there) = there {
            let why = there.difference(service);
            return Err(Error::failed(format!(
                "service {} is there: {why}",
                service.name
            )));
        }
    }
    wanted.retain(|service| !known.contains_key(&service.name));
    find_elsewhere(&mut wanted)?;
    let mut table = Table::open(how.verbose)?;
    let is_whole = table.is_whole()? && !store.is_unfinished();
    if !is_whole && !store.is_empty() {
        // Somebody flushed the ruleset, or was killed: what there should be is made again along with the new.
        let mut all = store.all()?;
        refuse_taken(&all, &wanted)?;
        all.extend(wanted.iter().cloned());
        return change(store, (&[], &wanted), how, |table| table.anew(&all));
    }
    if wanted.is_empty() {
        return match table.lacks_any(known.values())? {
            true => {
                let all = store.all()?;
                change(store, (&[], &[]), how, |table| table.anew(&all))
            }
            false => Ok(String::new()),
        };
    }
    ports::refuse_taken(&wanted)?;
    let answer = change(store, (&[], &wanted), how, |table| match is_whole {
        true => table.additions(&wanted, true),
        false => table.anew(&wanted),
    });
    match answer {
        Err(error) if error.refused() == Some(Errno::EEXIST) => {
            refuse_taken(&store.all()?, &wanted)?;
            // Nobody's, so somebody else's hand.
            let mut all = store.all()?;
            all.extend(wanted.iter().cloned());
            change(store, (&[], &wanted), how, |table| table.anew(&all))
        }
        answer => answer.inspect(|_| ports::warn(&wanted)),
    }
}

/// Makes services as they are wanted, whatever they were; those that are not there are an error.
pub(crate) fn set(wanted: Vec<Service>, how: How) -> Plan {
    check(&wanted)?;
    let Some(store) = Store::open()? else {
        return Err(no_such(wanted.first()));
    };
    let known = store.find(wanted.iter().map(|service| &service.name))?;
    let missing = wanted
        .iter()
        .find(|service| !known.contains_key(&service.name));
    if missing.is_some() {
        return Err(no_such(missing));
    }
    let mut new = wanted;
    find_elsewhere(&mut new)?;
    new.retain(|service| known.get(&service.name) != Some(service));
    let old: Vec<Service> = new
        .iter()
        .filter_map(|service| known.get(&service.name).cloned())
        .collect();
    replace(&store, (&old, &new), how).inspect(|_| ports::warn(&new))
}

fn no_such(service: Option<&Service>) -> Error {
    let name = service.map_or(String::new(), |service| service.name.to_string());
    Error::failed(format!(
        "service {name}: there is none (netwire service up)"
    ))
}

/// What turns a service into another; taken from the log while it is locked.
pub(crate) fn edit(
    name: &Name,
    how: How,
    edit: impl FnOnce(&mut Service) -> Result<(), Error>,
) -> Plan {
    let none = || {
        Error::failed(format!(
            "service {name}: there is none (netwire service up)"
        ))
    };
    let store = Store::open()?.ok_or_else(none)?;
    let known = store.find(std::iter::once(name))?;
    let old = known.get(name).ok_or_else(none)?;
    let mut new = vec![old.clone()];
    edit(&mut new[0])?;
    check(&new)?;
    find_elsewhere(&mut new)?;
    if new[0] == *old && Table::open(false)?.is_whole()? && !store.is_unfinished() {
        return Ok(String::new());
    }
    replace(&store, (std::slice::from_ref(old), &new), how)
}

fn replace(store: &Store, (old, new): (&[Service], &[Service]), how: How) -> Plan {
    let is_whole = Table::open(false)?.is_whole()? && !store.is_unfinished();
    if new.is_empty() && is_whole {
        return Ok(String::new());
    }
    let unused = unused(store, old, new)?;
    if is_whole {
        let answer = change(store, (old, new), how, |table| {
            table.changes((old, new), &unused)
        });
        match answer {
            // Somebody else's hand, or two services with the same: the whole tells which.
            Err(error) if matches!(error.refused(), Some(Errno::EEXIST | Errno::ENOENT)) => {}
            answer => return answer,
        }
    }
    let mut all: HashMap<Name, Service> = HashMap::new();
    for service in store.all()?.iter().chain(new) {
        all.insert(service.name.clone(), service.clone());
    }
    let all: Vec<Service> = all.into_values().collect();
    refuse_taken(&[], &all)?;
    change(store, (old, new), how, |table| table.anew(&all))
}

/// Removes them; one that is not there is as good as removed.
pub(crate) fn down(names: Option<&[Name]>, how: How) -> Plan {
    let Some(store) = Store::open()? else {
        Store::tidy_above();
        return Ok(String::new());
    };
    let all = store.all()?;
    let is_meant = |service: &&Service| names.is_none_or(|names| names.contains(&service.name));
    let (old, left): (Vec<&Service>, Vec<&Service>) = all.iter().partition(is_meant);
    let old: Vec<Service> = old.into_iter().cloned().collect();
    let left: Vec<Service> = left.into_iter().cloned().collect();
    let mut table = Table::open(how.verbose)?;
    let is_whole = table.is_whole()? && !store.is_unfinished();
    if old.is_empty() && is_whole {
        return Ok(String::new());
    }
    let unused = unused(&store, &old, &[])?;
    let requests = |table: &mut Table| match is_whole && !left.is_empty() {
        true => table.changes((&old, &[]), &unused),
        false => table.anew(&left),
    };
    if how.dry_run {
        return Ok(steps(&requests(&mut table)?));
    }
    store.begin()?;
    match table.transaction(requests) {
        Err(error) if error.refused() == Some(Errno::ENOENT) => {
            table.transaction(|table| table.anew(&left))?;
        }
        answer => answer?,
    }
    left::forget((&old, &[]), how.verbose)?;
    if left.is_empty() {
        store.clear()?;
        return Ok(String::new());
    }
    store.finish()?;
    store.forget(old.iter().map(|service| &service.name))?;
    Ok(String::new())
}

/// Makes the table anew where it lacks anything, as after a flush by somebody else, and says which services there are then.
pub(crate) fn reapply(args: &ReapplyArgs) -> Result<Vec<Name>, Error> {
    let Some(store) = Store::open()? else {
        return Ok(Vec::new());
    };
    let all = store.all()?;
    let mut table = Table::open(args.verbose)?;
    if table.is_whole()? && !store.is_unfinished() && !table.lacks_any(all.iter())? {
        return Ok(Vec::new());
    }
    if !args.dry_run {
        store.begin()?;
        table.transaction(|table| table.anew(&all))?;
        match all.is_empty() {
            true => store.clear()?,
            false => store.finish()?,
        }
    }
    Ok(all.into_iter().map(|service| service.name).collect())
}

/// One change: written down, made in one transaction, and taken back when that fails.
fn change(
    store: &Store,
    (old, new): (&[Service], &[Service]),
    how: How,
    requests: impl Fn(&mut Table) -> Result<Vec<Request>, Error>,
) -> Plan {
    let mut table = Table::open(how.verbose)?;
    if how.dry_run {
        return Ok(steps(&requests(&mut table)?));
    }
    store.begin()?;
    let before = store.append(new)?;
    if let Err(error) = table.transaction(requests) {
        store.take_back(&before)?;
        if error.refused().is_none() {
            // Sent and not answered: whatever came of it, the table is what it was.
            let all = store.all()?;
            Table::open(false)?.transaction(|table| table.anew(&all))?;
        }
        store.finish()?;
        return Err(error);
    }
    done(store, (old, new), how);
    Ok(String::new())
}

/// What is left to do when a change has been made: nothing of it undoes that.
fn done(store: &Store, (old, new): (&[Service], &[Service]), how: How) {
    if let Err(error) = left::forget((old, new), how.verbose) {
        record::report(TOOL, format_args!("warning: {error}"));
    }
    if let Err(error) = store.finish() {
        // The next call makes the table anew, which is harmless.
        record::report(TOOL, format_args!("warning: {error}"));
    }
}

fn steps(requests: &[Request]) -> String {
    requests
        .iter()
        .map(|request| format!("{}\n", request.call))
        .collect()
}

fn check(services: &[Service]) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    for service in services {
        service.check().map_err(Error::usage)?;
        if !names.insert(&service.name) {
            return Err(Error::usage(format!(
                "service {} is given twice",
                service.name
            )));
        }
    }
    Ok(())
}

/// Writes into each which of its endpoints are no pods of this machine, and says so.
fn find_elsewhere(services: &mut [Service]) -> Result<(), Error> {
    let all: BTreeSet<IpAddr> = services.iter().flat_map(Service::endpoints).collect();
    let unknown = pods::unknown(all)?;
    if unknown.is_empty() {
        services
            .iter_mut()
            .for_each(|service| service.elsewhere.clear());
        return Ok(());
    }
    for service in services {
        service.elsewhere = service.endpoints();
        service.elsewhere.retain(|ip| unknown.contains(ip));
    }
    let mut named: Vec<String> = unknown.iter().take(4).map(IpAddr::to_string).collect();
    if unknown.len() > named.len() {
        named.push("...".into());
    }
    let (noun, is) = if unknown.len() == 1 {
        ("endpoint", "is")
    } else {
        ("endpoints", "are")
    };
    record::report(
        TOOL,
        format!(
            "warning: {} {noun} {is} no pod's of this machine, and will see its address instead of the client's: {}",
            unknown.len(),
            named.join(", ")
        ),
    );
    Ok(())
}

/// Two services cannot have the same address, protocol and port, nor the same port of the machine.
fn refuse_taken(known: &[Service], new: &[Service]) -> Result<(), Error> {
    let mut keys: HashMap<(Option<IpAddr>, u8, u16), &Name> = HashMap::new();
    for service in known.iter().chain(new) {
        for port in &service.ports {
            let number = port.protocol.number();
            let addresses = service.addresses().map(|ip| (Some(ip), number, port.port));
            let node = port.node.map(|node| (None, number, node));
            for key in addresses.chain(node) {
                let Some(other) = keys
                    .insert(key, &service.name)
                    .filter(|other| **other != service.name)
                else {
                    continue;
                };
                let (ip, _, number) = key;
                let protocol = port.protocol.name();
                let what = match ip {
                    Some(ip) => format!("{}/{protocol}", SocketAddr::new(ip, number)),
                    None => format!("node port {number}/{protocol}"),
                };
                return Err(Error::failed(format!(
                    "service {}: {what} is taken, by service {other}",
                    service.name
                )));
            }
        }
    }
    Ok(())
}
