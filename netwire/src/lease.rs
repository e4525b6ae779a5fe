//! Which address belongs to whom: files as CNI's host-local keeps them.
//!
//! One directory per network; in it a file for each address that is given away, named by the address, with the pod's id and
//! the interface as content; `last_reserved_ip.0`; and `lock`, under flock(2) while anything changes.
//!
//! host-local may use the same directory: nothing of others is ever taken back there ([`mark`]), and only one that was made
//! here goes with its last lease. A directory named by `--lease-dir` is somebody else's altogether.

mod claim;
mod directory;
mod mark;
mod place;
mod refusal;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use sys::{Call, SysError, ToErrno};

pub(crate) use self::directory::{Directory, Lease};
use self::directory::{LAST_RESERVED, UNNAMED, last_of};
use self::mark::Mark;
pub(crate) use self::place::{Network, Place};
use crate::choice::Choice;
use crate::error::Error;
use crate::subnet::Subnet;

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The pod's id, of CNI a container's.
    pub(crate) id: String,
    /// The interface in it.
    pub(crate) ifname: String,
}

impl Owner {
    fn content(&self) -> String {
        format!("{}\r\n{}", self.id, self.ifname)
    }

    /// None: an empty file, as a crash may leave it.
    pub(crate) fn parse(content: &str) -> Option<Self> {
        let content = content.trim();
        // host-local before 0.8 wrote the id alone
        let (id, ifname) = content.split_once("\r\n").unwrap_or((content, ""));
        (!id.is_empty()).then(|| Self {
            id: id.to_owned(),
            ifname: ifname.to_owned(),
        })
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.id, self.ifname)
    }
}

/// The addresses of one subnet of a network.
#[derive(Debug)]
pub(crate) struct Pool {
    directory: Directory,
    subnet: Subnet,
    /// Which of the interface's subnets this is, from 0.
    number: usize,
    choice: Choice,
}

impl Pool {
    pub(crate) fn new(subnet: Subnet, place: &Place) -> Self {
        Self {
            directory: Directory::new(place),
            subnet,
            number: 0,
            choice: Choice::default(),
        }
    }

    /// Where only some addresses may be given.
    pub(crate) fn with_choice(self, choice: &Choice) -> Self {
        Self {
            choice: choice.clone(),
            ..self
        }
    }

    /// As another subnet of the interface than the first.
    pub(crate) fn with_number(self, number: usize) -> Self {
        Self { number, ..self }
    }

    /// Where the leases are.
    pub(crate) fn dir(&self) -> &Path {
        &self.directory.path
    }

    /// Whose `address` is. None: nobody's, as far as its file tells.
    pub(crate) fn owner(&self, address: IpAddr) -> Result<Option<Owner>, Error> {
        self.directory.owner(address)
    }

    /// Gives `owner` the address it wants, or the next one that is free.
    ///
    /// A lease of ours that is there stays unless `is_stale` says that nobody can be using it; it is asked only when the
    /// address is wanted by name or when no other is left, and never about leases of others.
    ///
    /// # Errors
    /// The address is taken, or all are.
    pub(crate) fn reserve(
        &self,
        owner: &Owner,
        wanted: Option<IpAddr>,
        is_stale: impl FnMut(&Lease) -> Result<bool, Error>,
    ) -> Result<IpAddr, Error> {
        let _lock = self.directory.lock_or_make()?;
        if !self.directory.is_given && self.directory.claims.make(self.subnet, self.dir())? {
            self.forget_earlier_boots()?;
        }
        let lease = self.dir().join(UNNAMED);
        self.write_unnamed(&lease, owner)?;
        let answer = self.name(&lease, wanted, is_stale);
        self.directory.remove_file(UNNAMED)?;
        let address = answer?;
        self.remember(address)?;
        Ok(address)
    }

    /// The address that [`Pool::reserve`] would give now.
    pub(crate) fn next(&self, wanted: Option<IpAddr>) -> Result<IpAddr, Error> {
        let mut candidates = self.candidates(wanted);
        let free = candidates.find(|address| !self.directory.file(*address).exists());
        free.ok_or_else(|| self.none_left(wanted))
    }

    /// Takes back what `owner` has: `address`, or whatever it is when that is not known.
    ///
    /// Somebody else's lease stays, and a pool or lease that is not there is as good as taken back.
    pub(crate) fn release(&self, owner: &Owner, address: Option<IpAddr>) -> Result<(), Error> {
        let dir = &self.directory;
        // A record tells the network, and may lie: nothing is written where nothing of the owner, or of nobody, can be.
        let is_ours = dir.is_our_making()? || dir.claims.has(self.subnet, self.dir())?;
        if dir.path.exists() && !is_ours && self.leases_of(owner, address)?.is_empty() {
            return dir.claims.remove_if_empty();
        }
        let Some(_lock) = dir.lock()? else {
            if dir.is_given {
                return Ok(());
            }
            dir.claims.forget(self.subnet, self.dir())?;
            dir.claims.remove_if_empty()?;
            // Somebody may have been killed between making, or removing, the one directory and the other.
            return dir.remove_directories();
        };
        for address in self.leases_of(owner, address)? {
            dir.remove_file(&address.to_string())?;
        }
        if dir.is_given { Ok(()) } else { dir.tidy() }
    }

    /// The leases of `owner`: that of `address` if it is, or all that are.
    fn leases_of(&self, owner: &Owner, address: Option<IpAddr>) -> Result<Vec<IpAddr>, Error> {
        let mut found = Vec::new();
        for address in address.map_or_else(|| self.leases(), |address| Ok(vec![address]))? {
            // One that cannot be read may be the one: no success then.
            let content = self.directory.read(address)?;
            let is_its = content.is_some_and(|content| content.trim() == owner.content());
            let is_foreign = || Ok::<_, Error>(self.directory.mark(address)? == Mark::Foreign);
            // A container of CNI may be called as the record says that the pod is.
            if is_its && (self.directory.is_given || !is_foreign()?) {
                found.push(address);
            }
        }
        Ok(found)
    }

    /// Every address of the subnet that has a file.
    fn leases(&self) -> Result<Vec<IpAddr>, Error> {
        let mut leases = self.directory.leases()?;
        leases.retain(|&address| self.subnet.contains(address));
        Ok(leases)
    }

    /// The first lease in a subnet takes back what was there before the machine went down, for host-local would count it.
    fn forget_earlier_boots(&self) -> Result<(), Error> {
        for address in self.leases()? {
            if self.directory.mark(address)? == Mark::Before {
                self.directory.remove_file(&address.to_string())?;
            }
        }
        Ok(())
    }

    /// A complete lease that lacks only its name: killed here, none is left that is empty.
    fn write_unnamed(&self, lease: &Path, owner: &Owner) -> Result<(), Error> {
        let call = |call: &str| format!("{call}({})", lease.display());
        self.directory.remove_file(UNNAMED)?;
        let open = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(lease);
        let mut file = open.call(|| call("open"))?;
        if !self.directory.is_given {
            // After a power failure it may be empty, but marked it is: nobody's, of an earlier boot.
            mark::write(&file)?;
        }
        file.write_all(owner.content().as_bytes())
            .call(|| call("write"))?;
        if self.directory.is_given {
            // An empty one could come out of a power failure and never be given back.
            file.sync_data().call(|| call("fdatasync"))?;
        }
        Ok(())
    }

    /// Links the unnamed lease to the first address that is free.
    fn name(
        &self,
        lease: &Path,
        wanted: Option<IpAddr>,
        mut is_stale: impl FnMut(&Lease) -> Result<bool, Error>,
    ) -> Result<IpAddr, Error> {
        for address in self.candidates(wanted) {
            let path = self.directory.file(address);
            match fs::hard_link(lease, &path) {
                Ok(()) => return Ok(address),
                Err(error) if error.to_errno() == Errno::EEXIST => {}
                Err(error) => {
                    return Err(SysError::new(format!("link({})", path.display()), error).into());
                }
            }
        }
        for address in self.candidates(wanted) {
            if let Some(other) = self.directory.our_lease(address)?
                && is_stale(&other)?
            {
                let path = self.directory.file(address);
                fs::rename(lease, &path).call(|| format!("rename({})", path.display()))?;
                return Ok(address);
            }
        }
        Err(self.none_left(wanted))
    }

    fn candidates(&self, wanted: Option<IpAddr>) -> Box<dyn Iterator<Item = IpAddr>> {
        match wanted {
            Some(address) => Box::new(std::iter::once(address)),
            None => {
                let of_subnet = |last: &IpAddr| self.subnet.contains(*last);
                let last = address_in(&self.last_reserved()).filter(of_subnet);
                let last = last.or_else(|| address_in(&self.dir().join(last_of(self.subnet))));
                Box::new(self.choice.addresses_after(self.subnet, last))
            }
        }
    }

    /// Notes the last address. It is host-local's file; should another subnet have been the last to use it, that one's is
    /// kept beside it.
    fn remember(&self, address: IpAddr) -> Result<(), Error> {
        let last = self.last_reserved();
        if let Some(before) = address_in(&last).filter(|&before| !self.subnet.contains(before)) {
            let claims = if self.directory.is_given {
                Vec::new()
            } else {
                self.directory.claims.all()?
            };
            let is_its = |(subnet, dir): &&(Subnet, PathBuf)| {
                subnet.contains(before) && *dir == self.directory.path
            };
            if let Some((subnet, _)) = claims.iter().find(is_its) {
                write_address(&self.dir().join(last_of(*subnet)), before)?;
            }
        }
        write_address(&last, address)
    }

    /// host-local numbers the ranges of a network.
    fn last_reserved(&self) -> PathBuf {
        self.dir().join(format!("{LAST_RESERVED}{}", self.number))
    }
}

fn address_in(file: &Path) -> Option<IpAddr> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn write_address(file: &Path, address: IpAddr) -> Result<(), Error> {
    Ok(fs::write(file, address.to_string()).call(|| format!("write({})", file.display()))?)
}

#[cfg(test)]
mod tests;
