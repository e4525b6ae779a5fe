//! What the kernel has of our tables: read, and true as long as the ruleset is of that generation.

use nix::errno::Errno;

use super::ATTEMPTS;
use crate::error::{Error, NEEDS_NF_TABLES};
use crate::netlink::{Socket, string};
use crate::nft::{self, Element, Table};
use crate::ruleset::{self, INET, LAYERS, Layer};
use crate::uplink::Uplink;

/// What is in our tables.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What the ruleset was like when it was read.
    pub(super) generation: u32,
    /// Each table that is there, with the names of its sets.
    tables: Vec<(Table, Vec<String>)>,
    /// With their comments.
    pub(super) elements: Vec<(Element, String)>,
    /// The chains of our tables that have rules, with how many.
    rules: Vec<(Table, String, usize)>,
}

impl Seen {
    /// Which layers there are, and nothing more.
    pub(super) fn look(socket: &mut Socket, tables: &[Table]) -> Result<Self, Error> {
        let mut seen = Self {
            generation: generation(socket)?,
            ..Self::default()
        };
        for &table in tables {
            let mut sets = Vec::new();
            match socket.dump_all(nft::get_sets(table), |set| sets.extend(nft::set_name(set))) {
                Ok(()) => seen.tables.push((table, sets)),
                Err(error) if error.refused() == Some(Errno::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(seen)
    }

    /// All of it. A dump is no transaction: it counts when the generation is the same before and after.
    pub(super) fn read(socket: &mut Socket) -> Result<Self, Error> {
        let attempt = |socket: &mut Socket| -> Result<Self, Error> {
            let mut seen = Self::look(socket, &ruleset::TABLES)?;
            for layer in &LAYERS {
                for set in (layer.sets)() {
                    if !seen.has_set(layer.table, set.name) {
                        continue;
                    }
                    let get = nft::get_elements(layer.table, set.name);
                    socket.dump_all(get, |payload| {
                        seen.elements.extend(nft::elements(set.name, payload));
                    })?;
                }
            }
            Ok(seen)
        };
        for _ in 0..ATTEMPTS {
            let answer = attempt(socket);
            // Whatever went wrong may have, because somebody was at it.
            match answer {
                Ok(seen) if generation(socket)? != seen.generation => {}
                Err(error) if error.refused() == Some(Errno::ENOENT) => {}
                answer => return answer,
            }
        }
        Err(super::restless())
    }

    /// And how many rules there are.
    pub(super) fn read_rules(&mut self, socket: &mut Socket) -> Result<(), Error> {
        for (table, _) in &self.tables {
            let attributes = nft::Attributes::default().text(1, table.name);
            let message = ("NFT_MSG_GETRULE", nft::message::GETRULE);
            let (what, family) = (table.to_string(), table.family);
            let get = nft::request(message, &what, libc::NLM_F_DUMP, family, &attributes);
            let rules = &mut self.rules;
            socket.dump_all(get, |payload| {
                let attributes = payload.get(nft::NFGENMSG..).unwrap_or_default();
                let text = |kind| nft::find(attributes, kind).and_then(string);
                // Kernels that do not filter send all: the name tells.
                let ours =
                    payload.first() == Some(&family) && text(1).as_deref() == Some(table.name);
                let Some(chain) = text(2).filter(|_| ours) else {
                    return;
                };
                let known = rules
                    .iter_mut()
                    .find(|(of, name, _)| of == table && *name == chain);
                match known {
                    Some((.., count)) => *count += 1,
                    None => rules.push((*table, chain, 1)),
                }
            })?;
        }
        Ok(())
    }

    pub(super) fn exists(&self, table: Table) -> bool {
        self.tables.iter().any(|(of, _)| *of == table)
    }

    fn has_set(&self, table: Table, set: &str) -> bool {
        let mut tables = self.tables.iter();
        tables.any(|(of, sets)| *of == table && sets.iter().any(|name| name == set))
    }

    /// Whether anything of a layer is there.
    pub(super) fn has(&self, layer: &Layer) -> bool {
        let sets = (layer.sets)();
        sets.iter().any(|set| self.has_set(layer.table, set.name))
    }

    /// Whether all of it is; [`Self::read_rules`] comes before.
    pub(super) fn is_whole(&self, layer: &Layer) -> bool {
        let sets = (layer.sets)();
        sets.iter().all(|set| self.has_set(layer.table, set.name))
            && layer
                .counts()
                .into_iter()
                .all(|(chain, expected)| self.count(layer.table, chain) == expected)
    }

    /// How many rules a chain has; none: it may not be there.
    pub(super) fn count(&self, table: Table, chain: &str) -> usize {
        let mut rules = self.rules.iter();
        let found = rules.find(|(of, name, _)| *of == table && name == chain);
        found.map_or(0, |(.., count)| *count)
    }

    /// Whether the chain that marks what is accepted is there, whole.
    pub(super) fn accepts(&self) -> bool {
        self.count(INET, ruleset::ACCEPT) == ruleset::count_accept()
    }

    pub(super) fn of<'a>(&'a self, comment: &'a str) -> impl Iterator<Item = &'a Element> {
        let mine = self
            .elements
            .iter()
            .filter(move |(_, whose)| whose == comment);
        mine.map(|(element, _)| element)
    }

    /// Whether an attachment other than that of `comment` has a part of a table.
    pub(super) fn has_others(&self, table: Table, comment: &str) -> bool {
        let marker = ruleset::marker(table);
        let mut elements = self.elements.iter();
        elements.any(|(element, whose)| element.set == marker && whose != comment)
    }

    /// The switches of the host that were turned.
    pub(super) fn opened(&self) -> Vec<Uplink> {
        let elements = self.elements.iter();
        elements
            .filter_map(|(element, _)| Uplink::of(element))
            .collect()
    }
}

/// What the ruleset is like now.
pub(crate) fn generation(socket: &mut Socket) -> Result<u32, Error> {
    let answers = socket
        .batch(vec![nft::get_generation()])
        .map_err(|error| match error {
            // nfnetlink without nf_tables behind it
            Error::Refused(mut refused)
                if matches!(refused.errno, Errno::EINVAL | Errno::EOPNOTSUPP) =>
            {
                refused.hint = Some(NEEDS_NF_TABLES);
                Error::Refused(refused)
            }
            error => error,
        })?;
    let found = answers.last().and_then(|payload| nft::generation(payload));
    found.ok_or_else(|| Error::failed("NFT_MSG_GETGEN(): an answer that is none"))
}
