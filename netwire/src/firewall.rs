//! A pod's part of our tables of nf_tables: added with the table if need be, found again by its comment, taken out with the
//! table if it was the last.
//!
//! Several `up`s and `down`s may be at it, and others at other tables. Each reads the ruleset, and what it then changes is
//! one transaction that the kernel refuses when the ruleset is not of the generation that was read.

mod known;
mod lacks;
mod noted;
mod repair;
mod seen;
mod told;

use nix::errno::Errno;
use record::{Id, Known, names};

use crate::TOOL;
use crate::error::Error;
use crate::forwarding;
use crate::link::{self, By};
use crate::netlink::{Request, Socket};
use crate::nft::{self, Element, Table};
use crate::ruleset::{self, INET, LAYERS, Layer, TABLES};
use crate::state::Attachment;
use crate::uplink::{self, Uplink};

pub(crate) use known::parts;
pub(crate) use lacks::lacks;
use noted::{Noted, Notes};
pub(crate) use repair::{Part, change, changes, put_back, repair};
use seen::Seen;
pub(crate) use seen::generation;
pub(crate) use told::shown;

/// How often a transaction may come too late before something must be wrong.
const ATTEMPTS: usize = 1000;

fn restless() -> Error {
    Error::failed(format!("{INET}: others change the ruleset all the time"))
}

/// Runs `attempt` until its transaction is on the ruleset that it read.
pub(crate) fn until_it_counts<T>(
    mut attempt: impl FnMut() -> Result<T, Error>,
) -> Result<T, Error> {
    for _ in 0..ATTEMPTS {
        match attempt() {
            Err(error) if error.refused() == Some(Errno::ERESTART) => {}
            answer => return answer,
        }
    }
    Err(restless())
}

/// What [`add`] would do, for `--dry-run`.
pub(crate) fn steps(id: &Id, attachment: &Attachment) -> Result<Vec<Request>, Error> {
    let elements = ruleset::elements(id, attachment);
    if elements.is_empty() {
        return Ok(Vec::new());
    }
    let seen = Seen::look(&mut Socket::netfilter(false)?, &tables(&elements))?;
    Ok(requests(&seen, id, attachment, &elements))
}

/// The tables that these elements are in.
fn tables(elements: &[Element]) -> Vec<Table> {
    let of = |table: &Table| needed(elements).any(|layer| layer.table == *table);
    TABLES.into_iter().filter(of).collect()
}

/// The layers that these elements need: those of their sets, and the first of each table.
fn needed(elements: &[Element]) -> impl Iterator<Item = &'static Layer> + Clone {
    let has = |layer: &Layer| elements.iter().any(|element| layer.has(element.set));
    LAYERS.iter().filter(move |layer| {
        let mut above = LAYERS.iter().filter(|other| other.table == layer.table);
        has(layer) || (layer.has(ruleset::marker(layer.table)) && above.any(has))
    })
}

fn requests(seen: &Seen, id: &Id, attachment: &Attachment, elements: &[Element]) -> Vec<Request> {
    let missing = needed(elements).filter(|layer| !seen.has(layer));
    let mut requests: Vec<Request> = missing.flat_map(Layer::create).collect();
    let comment = ruleset::comment(id, attachment.ifname.as_ref());
    requests.extend(add_elements(elements, &comment));
    requests
}

/// Each to its table.
fn add_elements(elements: &[Element], comment: &str) -> Vec<Request> {
    let runs = of_tables(elements);
    runs.flat_map(|(table, run)| nft::add_elements(table, run, comment))
        .collect()
}

/// Each from its table.
fn remove_elements(elements: &[Element]) -> Vec<Request> {
    let runs = of_tables(elements);
    runs.flat_map(|(table, run)| nft::remove_elements(table, run))
        .collect()
}

/// Elements that follow each other and are in one table, with that.
fn of_tables(elements: &[Element]) -> impl Iterator<Item = (Table, &[Element])> {
    let table = |element: &Element| Layer::of(element.set).map(|layer| layer.table);
    let runs = elements.chunk_by(move |one, other| table(one) == table(other));
    runs.filter_map(move |run| Some((table(run.first()?)?, run)))
}

/// Adds what `attachment` needs, all at once or not at all.
///
/// # Errors
/// One of its ports is another pod's.
pub(crate) fn add(id: &Id, attachment: &Attachment, verbose: bool) -> Result<(), Error> {
    let elements = ruleset::elements(id, attachment);
    if elements.is_empty() {
        return Ok(());
    }
    let mut socket = Socket::netfilter(verbose)?;
    until_it_counts(|| {
        let tables = tables(&elements);
        let seen = Seen::look(&mut socket, &tables)?;
        let requests = requests(&seen, id, attachment, &elements);
        match socket.transaction(seen.generation, requests) {
            // Another key of the same value, of a map that has it with another data.
            Err(error) if matches!(error.refused(), Some(Errno::EEXIST | Errno::EBUSY)) => {
                clear_away(id, attachment, &elements, error, verbose)
            }
            // A table went between our looking and the transaction, or is not as we make them.
            Err(error) if error.refused() == Some(Errno::ENOENT) => {
                match generation(&mut socket)? == seen.generation {
                    true => Err(strange(&error)),
                    false => Err(again(error)),
                }
            }
            answer => answer,
        }
    })
}

fn strange(error: &Error) -> Error {
    Error::failed(format!(
        "{error} (this table {INET} is of another version: nft delete table {INET})"
    ))
}

/// As if the ruleset had changed: it has.
fn again(error: Error) -> Error {
    match error {
        Error::Refused(mut refused) => {
            refused.errno = Errno::ERESTART;
            Error::Refused(refused)
        }
        error => error,
    }
}

/// Something of `elements` is there already: removed if it is of a pod that is no more, else an error that says whose it is.
fn clear_away(
    id: &Id,
    attachment: &Attachment,
    elements: &[Element],
    error: Error,
    verbose: bool,
) -> Result<(), Error> {
    let mut socket = Socket::netfilter(verbose)?;
    let seen = Seen::read(&mut socket)?;
    let in_the_way = seen.elements.iter().find(|(there, _)| {
        let same = |wanted: &&Element| wanted.set == there.set && wanted.key == there.key;
        elements.iter().any(|wanted| same(&wanted))
    });
    // It has gone by itself.
    let Some((element, comment)) = in_the_way else {
        return Err(again(error));
    };
    let own = ruleset::comment(id, attachment.ifname.as_ref());
    if *comment == own || is_left_behind(comment)? {
        remove_commented(&mut socket, comment)?;
        return Err(again(error));
    }
    let whose = match ruleset::owner(comment) {
        Some((id, _)) => format!("by {id}"),
        None => "by an unknown".to_owned(),
    };
    let ports = attachment
        .ports
        .iter()
        .flat_map(|publish| publish.pairs().map(move |pair| (publish, pair)));
    let taken = ports.into_iter().find_map(|(publish, (host_port, _))| {
        let key = element.key.get(element.key.len().checked_sub(4)?..)?;
        let is_it = element.data.is_some() && key.get(..2)? == host_port.to_be_bytes();
        is_it.then(|| {
            format!(
                "--publish {publish}: {host_port}/{} is taken, {whose}",
                publish.protocol.name()
            )
        })
    });
    Err(Error::failed(taken.unwrap_or_else(|| {
        format!("{INET} {}: taken, {whose}", element.set)
    })))
}

/// Whether nobody can be using the elements with this comment: there is neither such an interface, nor an index that
/// accounts for it. As with leases, that happens when an index was removed by hand.
fn is_left_behind(comment: &str) -> Result<bool, Error> {
    let Some((id, ifname)) = ruleset::owner(comment) else {
        return Ok(false);
    };
    let mut host = Socket::open(false)?;
    let veth = link::find(&mut host, By::Name(&names::veth(&id, ifname)), false)?;
    Ok(veth.is_none() && matches!(record::known(TOOL, &id), Known::Nothing))
}

/// Takes out what has the comment of this attachment, whatever it is. A kernel without nf_tables has nothing of it.
pub(crate) fn remove(id: &Id, ifname: &str, verbose: bool) -> Result<(), Error> {
    let answer = Socket::netfilter(verbose)
        .and_then(|mut socket| remove_commented(&mut socket, &ruleset::comment(id, ifname)));
    match answer {
        Err(error) if error.lacks_nf_tables() => Ok(()),
        answer => answer,
    }
}

fn remove_commented(socket: &mut Socket, comment: &str) -> Result<(), Error> {
    let mut closed: Vec<Uplink> = Vec::new();
    // From when it is known that this is the last to when nothing is left: nobody else notes anything meanwhile.
    let mut notes: Option<Notes> = None;
    let is_last = until_it_counts(|| {
        let seen = Seen::read(socket)?;
        let mut requests = Vec::new();
        for table in TABLES.into_iter().filter(|table| seen.exists(*table)) {
            if seen.has_others(table, comment) {
                let mine = seen.of(comment).filter(|element| is_in(element, table));
                requests.extend(remove_elements(&mine.cloned().collect::<Vec<_>>()));
            } else {
                requests.push(nft::delete_table(table));
            }
        }
        let mut is_last = !seen.has_others(INET, comment);
        if is_last && notes.is_none() {
            notes = Notes::lock()?;
        }
        if is_last && notes.is_some() {
            // The table may have been flushed, and say nothing of those that are there.
            is_last = !known::others_need_it(comment)?;
        }
        if is_last {
            let (turned, rules) = restore_host(socket, &seen, notes.as_mut())?;
            closed = turned;
            requests.splice(0..0, rules);
        } else {
            // Somebody came while we were about to switch the light off.
            uplink::open(&closed)?;
        }
        if requests.is_empty() {
            return Ok(is_last);
        }
        match socket.transaction(seen.generation, requests) {
            Err(error) if error.refused() == Some(Errno::ENOENT) => Err(again(error)),
            answer => answer.map(|()| is_last),
        }
    })?;
    match notes.filter(|_| is_last) {
        Some(notes) => notes.forget(),
        None => Ok(()),
    }
}

/// Turns back the switches of the host that were turned; says which, and what takes our rules out of the chains of others.
fn restore_host(
    socket: &mut Socket,
    seen: &Seen,
    notes: Option<&mut Notes>,
) -> Result<(Vec<Uplink>, Vec<Request>), Error> {
    let noted = notes.map_or(Ok(Noted::default()), Notes::noted)?;
    // As long as the table is there it tells what is still to be restored.
    let mut turned = seen.opened();
    turned.extend(noted.opened.iter().cloned());
    uplink::close(&turned)?;
    let rules = forwarding::remove_accept(socket, noted.accepts())?;
    Ok((turned, rules))
}

fn is_in(element: &Element, table: Table) -> bool {
    Layer::of(element.set).is_some_and(|layer| layer.table == table)
}

/// Records that these switches of the host are about to be turned, each that is not recorded yet.
pub(crate) fn note_opened(uplinks: &[Uplink], verbose: bool) -> Result<(), Error> {
    let mut socket = Socket::netfilter(verbose)?;
    let _notes = Notes::with(&Noted {
        opened: uplinks.to_vec(),
        ..Noted::default()
    })?;
    until_it_counts(|| {
        let seen = Seen::read(&mut socket)?;
        let noted = seen.opened();
        let mut requests = Vec::new();
        for uplink in uplinks.iter().filter(|uplink| !noted.contains(uplink)) {
            requests.extend(add_elements(&[uplink.element()], &uplink.switch.comment()));
        }
        match requests.is_empty() {
            true => Ok(()),
            false => socket.transaction(seen.generation, requests),
        }
    })
}

/// Adds what lets packets of pods through the chains of others.
pub(crate) fn accept(ipv4: bool, ipv6: bool, verbose: bool) -> Result<(), Error> {
    let mut socket = Socket::netfilter(verbose)?;
    let accepted = [ipv4, ipv6];
    let _notes = Notes::with(&Noted {
        accepted,
        ..Noted::default()
    })?;
    until_it_counts(|| {
        let mut seen = Seen::look(&mut socket, &[INET])?;
        seen.read_rules(&mut socket)?;
        let way = forwarding::add_accept(&mut socket, accepted, seen.accepts())?;
        match way.requests.is_empty() {
            true => Ok(()),
            false => socket.transaction(seen.generation, way.requests),
        }
    })
}

/// Who has a part of the tables.
pub(crate) fn owners() -> Result<Vec<(Id, String)>, Error> {
    // Without nf_tables nobody has.
    let seen = match Socket::netfilter(false).and_then(|mut socket| Seen::read(&mut socket)) {
        Err(error) if error.refused().is_some() || error.lacks_nf_tables() => {
            return Ok(Vec::new());
        }
        answer => answer?,
    };
    let mut owners: Vec<(Id, String)> = Vec::new();
    for (element, comment) in &seen.elements {
        let marks = TABLES.map(ruleset::marker).contains(&element.set);
        let owner = ruleset::owner(comment).filter(|_| marks);
        let owner = owner.map(|(id, ifname)| (id, ifname.to_owned()));
        owners.extend(owner.filter(|owner| !owners.contains(owner)));
    }
    Ok(owners)
}
