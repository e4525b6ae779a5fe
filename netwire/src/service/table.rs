//! The table of the services in the kernel: seen, made, changed; each change is one transaction.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use nix::errno::Errno;

use super::definition::Service;
use super::elements::{self, Bytes, Difference};
use super::family::FAMILIES;
use super::program::{self, CHAIN, Class, TABLE, USES};
use crate::error::Error;
use crate::firewall::{generation, until_it_counts};
use crate::netlink::{Request, Socket, u32_at};
use crate::nft::{self, Bulk, NFGENMSG, find, number};

/// `NFTA_CHAIN_USE`: rules in it and ways to it.
const CHAIN_USE: u16 = 6;

/// What services had that other services do not have as well.
#[derive(Debug, Default)]
pub(crate) struct Unused {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) classes: Vec<Class>,
}

/// What a change of the table is made of.
pub(crate) struct Table {
    socket: Socket,
}

impl Table {
    /// In the network namespace of the calling thread.
    pub(crate) fn open(verbose: bool) -> Result<Self, Error> {
        let socket = Socket::netfilter(verbose)?;
        Ok(Self { socket })
    }

    /// Whether it is there with all its rules.
    pub(crate) fn is_whole(&mut self) -> Result<bool, Error> {
        Ok(self.uses(CHAIN)? == Some(USES))
    }

    /// Whether there is one, whatever is left of it.
    fn exists(&mut self) -> Result<bool, Error> {
        let attributes = nft::Attributes::default().text(1, TABLE.name);
        let message = ("NFT_MSG_GETTABLE", nft::message::GETTABLE);
        Ok(self
            .ask(nft::request(
                message,
                &TABLE.to_string(),
                0,
                nft::INET,
                &attributes,
            ))?
            .is_some())
    }

    /// How often a chain is used; None: there is none.
    fn uses(&mut self, chain: &str) -> Result<Option<u32>, Error> {
        let attributes = nft::Attributes::default()
            .text(1, TABLE.name)
            .text(3, chain);
        let message = ("NFT_MSG_GETCHAIN", nft::message::GETCHAIN);
        let what = format!("{TABLE} {chain}");
        let answer = self.ask(nft::request(message, &what, 0, nft::INET, &attributes))?;
        let uses = answer.map(|payload| {
            let attributes = payload.get(NFGENMSG..).unwrap_or_default();
            find(attributes, CHAIN_USE).and_then(number).unwrap_or(0)
        });
        Ok(uses)
    }

    /// The answer to one question; None: there is no such thing.
    fn ask(&mut self, request: Request) -> Result<Option<Vec<u8>>, Error> {
        match self.socket.batch(vec![request]) {
            Ok(answers) => Ok(answers.into_iter().next()),
            Err(error) if error.refused() == Some(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What makes the classes that are needed and are not there.
    fn lacks(&mut self, needed: BTreeSet<Class>) -> Result<Vec<Request>, Error> {
        let mut requests = Vec::new();
        for class in needed {
            if self.uses(&class.chain())?.is_none() {
                requests.extend(class.create());
            }
        }
        Ok(requests)
    }

    /// Whether one of the services has not all that it should have.
    pub(crate) fn lacks_any<'a>(
        &mut self,
        services: impl Iterator<Item = &'a Service>,
    ) -> Result<bool, Error> {
        let mut wanted: HashMap<&'static str, HashSet<Vec<u8>>> = HashMap::new();
        for service in services {
            elements::each(service, |entry| {
                let keys = wanted.entry(entry.set).or_default();
                keys.insert(entry.key.as_slice().to_vec());
            });
        }
        let few = wanted.values().map(HashSet::len).sum::<usize>() < 64;
        for (set, mut keys) in wanted {
            if few {
                for key in keys {
                    if self.ask(nft::get_element(TABLE, set, &key))?.is_none() {
                        return Ok(true);
                    }
                }
                continue;
            }
            self.socket
                .dump_all(nft::get_elements(TABLE, set), |payload| {
                    for (element, _) in nft::elements(set, payload) {
                        keys.remove(&element.key);
                    }
                })?;
            if !keys.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Keys of all its maps but those that rules write into, with what they lead to.
    pub(crate) fn keys(&mut self) -> Result<HashMap<(&'static str, Bytes), Bytes>, Error> {
        let mut keys = HashMap::new();
        for set in FAMILIES.iter().flat_map(|family| family.sets()) {
            let answer = self
                .socket
                .dump_all(nft::get_elements(TABLE, set.name), |payload| {
                    for (element, _) in nft::elements(set.name, payload) {
                        let data = Bytes::of(element.data.as_deref().unwrap_or_default());
                        keys.insert((set.name, Bytes::of(&element.key)), data);
                    }
                });
            match answer {
                Err(error) if error.refused() == Some(Errno::ENOENT) => return Ok(keys),
                answer => answer?,
            }
        }
        Ok(keys)
    }

    /// What adds services to a table that is whole, or makes it.
    pub(crate) fn additions(
        &mut self,
        services: &[Service],
        is_whole: bool,
    ) -> Result<Vec<Request>, Error> {
        let needed = elements::classes(services);
        let mut requests = match is_whole {
            true => self.lacks(needed)?,
            false => {
                let mut requests = program::create();
                requests.extend(needed.into_iter().flat_map(Class::create));
                requests
            }
        };
        requests.extend(elements::add(services));
        Ok(requests)
    }

    /// What makes the table anew, with these services and nothing else.
    pub(crate) fn anew(&mut self, services: &[Service]) -> Result<Vec<Request>, Error> {
        let mut requests = Vec::new();
        if self.exists()? {
            requests.push(nft::delete_table(TABLE));
        }
        if !services.is_empty() {
            requests.extend(self.additions(services, false)?);
        }
        Ok(requests)
    }

    /// What makes the second of the first, and takes away what nobody else uses.
    pub(crate) fn changes(
        &mut self,
        (old, new): (&[Service], &[Service]),
        unused: &Unused,
    ) -> Result<Vec<Request>, Error> {
        let mut requests = self.lacks(elements::classes(new))?;
        let Difference { removed, added } = elements::difference(old, new);
        let mut gone = Bulk::remove(TABLE);
        removed.iter().for_each(|entry| entry.push(&mut gone, ""));
        for &ip in &unused.addresses {
            let was_elsewhere = old.iter().any(|service| service.elsewhere.contains(&ip));
            for entry in elements::shared(ip, was_elsewhere) {
                entry.push(&mut gone, "");
            }
        }
        let moved = self.lead_clients(old, new, &mut gone)?;
        requests.extend(gone.requests());
        requests.extend(moved);
        let (mut own, mut common) = (Bulk::add(TABLE, false), Bulk::add(TABLE, true));
        for (entry, name) in &added {
            let comment = if entry.set.starts_with("services") {
                name
            } else {
                ""
            };
            entry.push(&mut own, comment);
        }
        for service in new {
            for ip in service.endpoints() {
                for entry in elements::shared(ip, service.elsewhere.contains(&ip)) {
                    entry.push(&mut common, "");
                }
            }
        }
        requests.extend(own.requests());
        requests.extend(common.requests());
        requests.extend(unused.classes.iter().flat_map(|class| class.remove()));
        Ok(requests)
    }

    /// What is remembered of clients: those whose endpoint has another slot now are led there, those whose endpoint is no more
    /// are forgotten.
    fn lead_clients(
        &mut self,
        old: &[Service],
        new: &[Service],
        gone: &mut Bulk,
    ) -> Result<Vec<Request>, Error> {
        let mut moved = Vec::new();
        if old.iter().all(|service| service.affinity.is_none()) {
            return Ok(moved);
        }
        let (before, after) = (elements::slots(old), elements::slots(new));
        let seconds = new.iter().find_map(|service| service.affinity).unwrap_or(1);
        for family in FAMILIES {
            let mut clients = Vec::new();
            self.socket
                .dump_all(nft::get_elements(TABLE, family.affinity), |payload| {
                    clients.extend(nft::elements(family.affinity, payload));
                })?;
            let address = if family.number == 2 { 4 } else { 16 };
            for (client, _) in clients {
                let keys = [client.key.get(address..), client.key.get(2 * address..)];
                let Some(key) = keys
                    .into_iter()
                    .flatten()
                    .find(|key| before.contains_key(*key))
                else {
                    continue;
                };
                let slot = client
                    .data
                    .as_deref()
                    .and_then(|data| u32_at(data, 0))
                    .unwrap_or(u32::MAX);
                let had = before.get(key).and_then(|slots| slots.get(slot as usize));
                let slots = after.get(key).map(Vec::as_slice).unwrap_or_default();
                if had.is_some() && slots.get(slot as usize) == had {
                    continue;
                }
                gone.push(family.affinity, (&client.key, &[]), &[], "");
                if let Some(slot) = slots.iter().position(|one| Some(one) == had) {
                    let slot = u32::try_from(slot).unwrap_or(u32::MAX).to_ne_bytes();
                    moved.push(nft::add_for(
                        TABLE,
                        family.affinity,
                        (&client.key, &slot),
                        seconds,
                    ));
                }
            }
        }
        Ok(moved)
    }

    /// Does it, all at once or not at all.
    pub(crate) fn transaction(
        &mut self,
        requests: impl Fn(&mut Self) -> Result<Vec<Request>, Error>,
    ) -> Result<(), Error> {
        until_it_counts(|| {
            let generation = generation(&mut self.socket)?;
            let requests = requests(self)?;
            match requests.is_empty() {
                true => Ok(()),
                false => self.socket.transaction(generation, requests),
            }
        })
    }
}
