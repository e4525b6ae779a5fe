//! What should be in the tables and is not, or not as it is wanted now.

use record::Id;

use super::noted::Noted;
use super::seen::Seen;
use super::{add_elements, is_in, needed, remove, remove_elements, until_it_counts};
use crate::cli::ReapplyArgs;
use crate::error::Error;
use crate::forwarding;
use crate::netlink::{Request, Socket};
use crate::nft::{self, Element, Table};
use crate::ruleset::{self, INET, LAYERS, Layer, TABLES};
use crate::state::Attachment;

/// Puts back what the tables lack of what `attachment` needs, as after a flush by somebody else.
pub(crate) fn repair(id: &Id, attachment: &Attachment, verbose: bool) -> Result<(), Error> {
    let comment = ruleset::comment(id, attachment.ifname.as_ref());
    let wanted = ruleset::elements(id, attachment);
    if wanted.is_empty() {
        return Ok(());
    }
    let part = || Ok(vec![(comment.clone(), wanted.clone())]);
    let dispensable = attachment.is_only_filtered() && !attachment.antispoof;
    let args = ReapplyArgs {
        dry_run: false,
        verbose,
    };
    match put_back(part, &args) {
        // It was said when it was made.
        Err(error) if error.lacks_nf_tables() && dispensable => Ok(()),
        answer => answer.map(drop),
    }
}

/// Elements, and the comment that they have in common.
pub(crate) type Part = (String, Vec<Element>);

/// Puts back what the tables lack of what should be there, in one transaction. Says of which parts something was missing.
///
/// What should be there is asked for after the tables were read, so that whoever takes his part out meanwhile has us look
/// again. A table that has lost rules or sets is made anew, with all elements it has, also those that nobody mentions.
pub(crate) fn put_back(
    wanted: impl Fn() -> Result<Vec<Part>, Error>,
    args: &ReapplyArgs,
) -> Result<Vec<String>, Error> {
    let mut socket = Socket::netfilter(args.verbose)?;
    until_it_counts(|| {
        let mut seen = Seen::read(&mut socket)?;
        seen.read_rules(&mut socket)?;
        let wanted = wanted()?;
        let mut requests = layers(&seen, &wanted);
        let mut lacking = Vec::new();
        for (comment, elements) in &wanted {
            let lacks = |wanted: &&Element| !seen.of(comment).any(|there| there == *wanted);
            let missing: Vec<Element> = elements.iter().filter(lacks).cloned().collect();
            requests.extend(add_elements(&missing, comment));
            if !missing.is_empty() {
                lacking.push(comment.clone());
            }
        }
        let mut all = wanted.iter().flat_map(|(_, elements)| elements);
        if all.any(|element| is_in(element, INET)) || seen.has_others(INET, "") {
            of_host(&mut socket, &seen, &mut requests, &mut lacking)?;
        }
        match requests.is_empty() || args.dry_run {
            true => Ok(lacking),
            false => socket
                .transaction(seen.generation, requests)
                .map(|()| lacking),
        }
    })
}

/// Makes what the tables lack of layers.
fn layers(seen: &Seen, wanted: &[Part]) -> Vec<Request> {
    let all = wanted.iter().flat_map(|(_, of)| of).cloned();
    let all: Vec<Element> = all.collect();
    let mut requests = Vec::new();
    for table in TABLES {
        let layers = || LAYERS.iter().filter(|layer| layer.table == table);
        let broken = is_broken(seen, table);
        if broken {
            requests.push(nft::delete_table(table));
        }
        let wants = |layer: &&Layer| needed(&all).any(|other| std::ptr::eq(other, *layer));
        let lacks = |layer: &&Layer| !seen.has(layer) && wants(layer);
        let anew = |layer: &&Layer| broken && (seen.has(layer) || wants(layer));
        let missing = layers().filter(|layer| lacks(layer) || anew(layer));
        requests.extend(missing.flat_map(Layer::create));
        if broken {
            let there = seen.elements.iter();
            for (element, whose) in there.filter(|(element, _)| is_in(element, table)) {
                requests.extend(add_elements(std::slice::from_ref(element), whose));
            }
        }
    }
    requests
}

/// Whether a table has lost rules or sets, and is to be made anew.
fn is_broken(seen: &Seen, table: Table) -> bool {
    let mut layers = LAYERS.iter().filter(|layer| layer.table == table);
    layers.any(|layer| seen.has(layer) && !seen.is_whole(layer))
}

/// What was noted of the host: what it was before, and the way through the chains of others.
fn of_host(
    socket: &mut Socket,
    seen: &Seen,
    requests: &mut Vec<Request>,
    lacking: &mut Vec<String>,
) -> Result<(), Error> {
    let noted = Noted::read()?;
    let there = seen.opened();
    for uplink in noted.opened.iter().filter(|one| !there.contains(one)) {
        requests.extend(add_elements(&[uplink.element()], &uplink.switch.comment()));
        lacking.push(uplink.note());
    }
    if noted.accepts() {
        let is_whole = !is_broken(seen, INET) && seen.accepts();
        let way = forwarding::add_accept(socket, noted.accepted, is_whole)?;
        requests.extend(way.requests);
        let chains = way.chains.into_iter();
        lacking.extend(chains.map(|chain| format!("chain {chain}")));
    }
    Ok(())
}

/// Makes the part of an attachment what it is now, whatever it was before, in one transaction.
pub(crate) fn change(id: &Id, attachment: &Attachment, verbose: bool) -> Result<(), Error> {
    if ruleset::elements(id, attachment).is_empty() {
        return remove(id, attachment.ifname.as_ref(), verbose);
    }
    let mut socket = Socket::netfilter(verbose)?;
    until_it_counts(|| {
        let seen = Seen::read(&mut socket)?;
        let requests = difference(&seen, id, attachment);
        match requests.is_empty() {
            true => Ok(()),
            false => socket.transaction(seen.generation, requests),
        }
    })
}

/// What [`change`] would do, for `--dry-run`.
pub(crate) fn changes(id: &Id, attachment: &Attachment) -> Result<Vec<Request>, Error> {
    let seen = Seen::read(&mut Socket::netfilter(false)?)?;
    Ok(difference(&seen, id, attachment))
}

/// From what is there of an attachment to what it needs.
fn difference(seen: &Seen, id: &Id, attachment: &Attachment) -> Vec<Request> {
    let comment = ruleset::comment(id, attachment.ifname.as_ref());
    let wanted = ruleset::elements(id, attachment);
    let has = |element: &Element| seen.of(&comment).any(|there| there == element);
    let gone = seen.of(&comment).filter(|there| !wanted.contains(there));
    let gone: Vec<Element> = gone.cloned().collect();
    let new: Vec<Element> = wanted.iter().filter(|new| !has(new)).cloned().collect();
    let mut requests = remove_elements(&gone);
    let missing = needed(&wanted).filter(|layer| !seen.has(layer));
    requests.extend(missing.flat_map(Layer::create));
    requests.extend(add_elements(&new, &comment));
    requests
}
