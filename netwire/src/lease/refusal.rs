//! Why a pool gives no address, and who has them.

use std::net::IpAddr;

use super::{Directory, Pool};
use crate::choice::Choice;
use crate::error::Error;

impl Pool {
    /// Says who has them all, or the one.
    pub(super) fn none_left(&self, wanted: Option<IpAddr>) -> Error {
        if let Some(address) = wanted {
            return Error::failed(format!(
                "{address} is taken, by {} (in {})",
                self.whose(address),
                self.dir().display()
            ));
        }
        let (subnet, leases) = (self.subnet, self.told());
        Error::failed(format!("{subnet}: no address left ({leases})"))
    }

    /// How many leases there are, where, and whose.
    fn told(&self) -> String {
        let leases = self.leases().unwrap_or_default();
        let mut names: Vec<String> = leases
            .iter()
            .take(5)
            .map(|&address| self.whose(address))
            .collect();
        if leases.len() > names.len() {
            names.push("...".to_owned());
        }
        let noun = if leases.len() == 1 { "lease" } else { "leases" };
        let dir = self.dir().display();
        format!("{} {noun} in {dir}: {}", leases.len(), names.join(", "))
    }

    fn whose(&self, address: IpAddr) -> String {
        match self.owner(address) {
            Ok(Some(owner)) => printable(&owner.id),
            _ => "an unknown".to_owned(),
        }
    }

    /// Refuses a subnet that another one of this machine's pods lies in or around, or that another network has: an address would
    /// be given twice.
    ///
    /// A directory that was given is others' to lay out.
    pub(crate) fn refuse_overlap(&self) -> Result<(), Error> {
        if self.directory.is_given {
            return Ok(());
        }
        for (subnet, path) in self.directory.claims.all()? {
            let is_this = path == self.directory.path
                && (subnet.network(), subnet.prefix())
                    == (self.subnet.network(), self.subnet.prefix());
            if is_this || !subnet.overlaps(self.subnet) {
                continue;
            }
            let other = Self {
                directory: Directory {
                    path,
                    ..self.directory.clone()
                },
                subnet,
                number: 0,
                choice: Choice::default(),
            };
            if !other.leases()?.is_empty() {
                let (subnet, other, leases) = (self.subnet, other.subnet, other.told());
                return Err(Error::failed(format!(
                    "{subnet} overlaps {other} ({leases})"
                )));
            }
        }
        Ok(())
    }
}

/// Ids come from files: nothing in them may act on a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .take(128)
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect()
}
