//! A pod's part of our table of nf_tables: added with the table if need be, found again by its comment, taken out with the
//! table if it was the last.
//!
//! Several `up`s and `down`s may be at it, and others at other tables. Each reads the ruleset, and what it then changes is
//! one transaction that the kernel refuses when the ruleset is not of the generation that was read.

use nix::errno::Errno;
use record::{Id, Known, names};

use crate::TOOL;
use crate::error::Error;
use crate::forwarding::{self, Uplink};
use crate::link::{self, By};
use crate::netlink::{Request, Socket};
use crate::nft::{self, Element};
use crate::ruleset::{self, TABLE};
use crate::state::Attachment;

/// How often a transaction may come too late before something must be wrong.
const ATTEMPTS: usize = 1000;

/// What is in our table.
#[derive(Debug, Default)]
struct Table {
    /// What the ruleset was like when it was read.
    generation: u32,
    exists: bool,
    /// With their comments.
    elements: Vec<(Element, String)>,
}

impl Table {
    /// Whether it is there, and nothing more.
    fn look(socket: &mut Socket) -> Result<Self, Error> {
        let generation = generation(socket)?;
        let attributes = nft::Attributes::default().text(1, TABLE);
        let message = ("NFT_MSG_GETTABLE", nft::message::GETTABLE);
        let get = nft::request(message, TABLE, 0, nft::INET, &attributes);
        let exists = match socket.batch(vec![get]) {
            Ok(_) => true,
            Err(error) if error.refused() == Some(Errno::ENOENT) => false,
            Err(error) => return Err(error),
        };
        Ok(Self {
            generation,
            exists,
            elements: Vec::new(),
        })
    }

    /// All of it. A dump is no transaction: it counts when the generation is the same before and after.
    fn read(socket: &mut Socket) -> Result<Self, Error> {
        for _ in 0..ATTEMPTS {
            let mut table = Self::look(socket)?;
            if !table.exists {
                return Ok(table);
            }
            let mut answer = Ok(());
            for set in &ruleset::SETS {
                let get = nft::get_elements(TABLE, set.name);
                answer = answer.and(socket.dump_all(get, |payload| {
                    table.elements.extend(nft::elements(set.name, payload));
                }));
            }
            if generation(socket)? != table.generation {
                continue;
            }
            return match answer {
                Ok(()) => Ok(table),
                Err(error) if error.refused() == Some(Errno::ENOENT) => {
                    Err(Error::failed(format!(
                        "{error} (this table inet {TABLE} is of another version: nft delete table inet {TABLE})"
                    )))
                }
                Err(error) => Err(error),
            };
        }
        Err(restless())
    }

    fn of<'a>(&'a self, comment: &'a str) -> impl Iterator<Item = &'a Element> {
        let mine = self
            .elements
            .iter()
            .filter(move |(_, whose)| whose == comment);
        mine.map(|(element, _)| element)
    }

    /// Whether an attachment other than that of `comment` has a part of it.
    fn has_others(&self, comment: &str) -> bool {
        let mut elements = self.elements.iter();
        elements.any(|(element, whose)| element.set == ruleset::VETHS && whose != comment)
    }

    /// The interfaces that were made to forward.
    fn opened(&self) -> Vec<Uplink> {
        let uplink = |(element, _): &(Element, String)| {
            let families = [&ruleset::IPV4, &ruleset::IPV6].into_iter();
            let family = families
                .into_iter()
                .find(|family| family.opened == element.set)?;
            let name = crate::netlink::string(&element.key)?;
            Some(Uplink { family, name })
        };
        self.elements.iter().filter_map(uplink).collect()
    }
}

pub(crate) fn generation(socket: &mut Socket) -> Result<u32, Error> {
    let answers = socket
        .batch(vec![nft::get_generation()])
        .map_err(|error| match error {
            // nfnetlink without nf_tables behind it
            Error::Refused(mut refused)
                if matches!(refused.errno, Errno::EINVAL | Errno::EOPNOTSUPP) =>
            {
                refused.hint = Some("needs nf_tables in the kernel");
                Error::Refused(refused)
            }
            error => error,
        })?;
    let found = answers.last().and_then(|payload| nft::generation(payload));
    found.ok_or_else(|| Error::failed("NFT_MSG_GETGEN(): an answer that is none"))
}

fn restless() -> Error {
    Error::failed(format!(
        "inet {TABLE}: others change the ruleset all the time"
    ))
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
    let table = Table::look(&mut Socket::netfilter(false)?)?;
    Ok(requests(&table, id, attachment, &elements))
}

fn requests(table: &Table, id: &Id, attachment: &Attachment, elements: &[Element]) -> Vec<Request> {
    let mut requests = match table.exists {
        true => Vec::new(),
        false => ruleset::create(),
    };
    let comment = ruleset::comment(id, attachment.ifname.as_ref());
    requests.extend(nft::add_elements(TABLE, elements, &comment));
    requests
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
        let table = Table::look(&mut socket)?;
        let requests = requests(&table, id, attachment, &elements);
        match socket.transaction(table.generation, requests) {
            // Another key of the same value, of a map that has it with another data.
            Err(error) if matches!(error.refused(), Some(Errno::EEXIST | Errno::EBUSY)) => {
                clear_away(id, attachment, &elements, error, verbose)
            }
            // The table went between our looking and the transaction.
            Err(error) if table.exists && error.refused() == Some(Errno::ENOENT) => {
                match Table::look(&mut socket)?.exists {
                    true => Err(error),
                    false => Err(again(error)),
                }
            }
            answer => answer,
        }
    })
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
    let table = Table::read(&mut socket)?;
    let in_the_way = table.elements.iter().find(|(there, _)| {
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
        format!("inet {TABLE} {}: taken, {whose}", element.set)
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

/// Takes out what has the comment of this attachment, whatever it is.
pub(crate) fn remove(id: &Id, ifname: &str, verbose: bool) -> Result<(), Error> {
    remove_commented(
        &mut Socket::netfilter(verbose)?,
        &ruleset::comment(id, ifname),
    )
}

fn remove_commented(socket: &mut Socket, comment: &str) -> Result<(), Error> {
    let mut closed: Vec<Uplink> = Vec::new();
    until_it_counts(|| {
        let table = Table::read(socket)?;
        if !table.exists {
            return Ok(());
        }
        if table.has_others(comment) {
            // Somebody came while we were about to switch the light off.
            forwarding::open(&closed)?;
            let mine: Vec<Element> = table.of(comment).cloned().collect();
            return match mine.is_empty() {
                true => Ok(()),
                false => socket.transaction(table.generation, nft::remove_elements(TABLE, &mine)),
            };
        }
        // As long as the table is there it tells what is still to be restored.
        closed = table.opened();
        forwarding::close(&closed)?;
        let mut requests = forwarding::remove_accept(socket)?;
        requests.push(nft::delete_table(TABLE));
        match socket.transaction(table.generation, requests) {
            Err(error) if error.refused() == Some(Errno::ENOENT) => Err(again(error)),
            answer => answer,
        }
    })
}

/// Records that these interfaces of the host are about to be made to forward, each that is not recorded yet.
pub(crate) fn note_opened(uplinks: &[Uplink], verbose: bool) -> Result<(), Error> {
    let mut socket = Socket::netfilter(verbose)?;
    until_it_counts(|| {
        let table = Table::read(&mut socket)?;
        let noted = table.opened();
        let new = uplinks.iter().filter(|uplink| !noted.contains(uplink));
        let new: Vec<Element> = new
            .map(|uplink| Element {
                set: uplink.family.opened,
                key: ruleset::ifname_key(&uplink.name),
                end: None,
                data: None,
            })
            .collect();
        match new.is_empty() {
            true => Ok(()),
            false => {
                let requests = nft::add_elements(TABLE, &new, "forwarding was 0");
                socket.transaction(table.generation, requests)
            }
        }
    })
}

/// Adds what lets packets of pods through the chains of others.
pub(crate) fn accept(ipv4: bool, ipv6: bool, verbose: bool) -> Result<(), Error> {
    let mut socket = Socket::netfilter(verbose)?;
    until_it_counts(|| {
        let generation = generation(&mut socket)?;
        let requests = forwarding::add_accept(&mut socket, ipv4, ipv6)?;
        match requests.is_empty() {
            true => Ok(()),
            false => socket.transaction(generation, requests),
        }
    })
}

/// Puts back what the table lacks of what `attachment` needs, as after a flush by somebody else.
///
/// A table that has lost its rules is made anew, with all elements it has, also those of other pods.
pub(crate) fn repair(id: &Id, attachment: &Attachment, verbose: bool) -> Result<(), Error> {
    let wanted = ruleset::elements(id, attachment);
    if wanted.is_empty() {
        return Ok(());
    }
    let comment = ruleset::comment(id, attachment.ifname.as_ref());
    let mut socket = Socket::netfilter(verbose)?;
    until_it_counts(|| {
        let table = Table::read(&mut socket)?;
        let lacks = |wanted: &&Element| !table.of(&comment).any(|there| there == *wanted);
        let missing: Vec<Element> = wanted.iter().filter(lacks).cloned().collect();
        let whole = table.exists && rules(&mut socket)? >= ruleset::rules();
        if whole && missing.is_empty() {
            return Ok(());
        }
        let mut requests = Vec::new();
        if table.exists && !whole {
            requests.push(nft::delete_table(TABLE));
        }
        if !whole {
            requests.extend(ruleset::create());
            for (element, whose) in &table.elements {
                requests.extend(nft::add_elements(
                    TABLE,
                    std::slice::from_ref(element),
                    whose,
                ));
            }
        }
        requests.extend(nft::add_elements(TABLE, &missing, &comment));
        socket.transaction(table.generation, requests)
    })
}

/// How many rules the table has.
fn rules(socket: &mut Socket) -> Result<usize, Error> {
    let attributes = nft::Attributes::default().text(1, TABLE);
    let message = ("NFT_MSG_GETRULE", nft::message::GETRULE);
    let get = nft::request(message, TABLE, libc::NLM_F_DUMP, nft::INET, &attributes);
    let mut count = 0;
    socket.dump_all(get, |payload| {
        let attributes = payload.get(nft::NFGENMSG..).unwrap_or_default();
        // Kernels that do not filter send all: the name tells.
        let table = nft::find(attributes, 1).and_then(crate::netlink::string);
        count += usize::from(table.as_deref() == Some(TABLE));
    })?;
    Ok(count)
}

/// Who has a part of the table.
pub(crate) fn owners() -> Result<Vec<(Id, String)>, Error> {
    // Without nf_tables nobody has.
    let table = match Socket::netfilter(false).and_then(|mut socket| Table::read(&mut socket)) {
        Err(error) if error.refused().is_some() => return Ok(Vec::new()),
        answer => answer?,
    };
    let veths = table
        .elements
        .iter()
        .filter(|(element, _)| element.set == ruleset::VETHS);
    let owners = veths.filter_map(|(_, comment)| ruleset::owner(comment));
    Ok(owners.map(|(id, ifname)| (id, ifname.to_owned())).collect())
}
