//! Which address belongs to whom: files as CNI's host-local keeps them.
//!
//! One directory per network; in it a file for each address that is given away, named by the address, with the pod's id and
//! the interface as content; `last_reserved_ip.0`; and `lock`, under flock(2) while anything changes.
//!
//! Our own directory lies beside the indexes, comes with the first lease and goes with the last. A directory
//! named by `--lease-dir` may be in use by host-local itself: it is neither made nor removed, and nobody else's lease is
//! ever taken back there.

mod directory;
mod refusal;

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use record::names;
use sys::{Call, SysError, ToErrno};

use crate::choice::Choice;
use crate::error::Error;
use crate::subnet::Subnet;

const LOCK: &str = "lock";
const LAST_RESERVED: &str = "last_reserved_ip.";
/// A lease before it has its name; whoever holds the lock may remove it.
const UNNAMED: &str = ".lease";
/// Beside the indexes; no id begins with a dot.
const NETWORKS: &str = ".networks";

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
    fn parse(content: &str) -> Option<Self> {
        let content = content.trim();
        // host-local before 0.8 wrote the id alone
        let (id, ifname) = content.split_once("\r\n").unwrap_or((content, ""));
        (!id.is_empty()).then(|| Self {
            id: id.to_owned(),
            ifname: ifname.to_owned(),
        })
    }
}

/// The addresses of one network.
#[derive(Debug)]
pub(crate) struct Pool {
    dir: PathBuf,
    shared: bool,
    subnet: Subnet,
    choice: Choice,
}

impl Pool {
    /// Of `subnet`: the one in `lease_dir`, or our own.
    pub(crate) fn new(subnet: Subnet, lease_dir: Option<&Path>) -> Self {
        let own = || {
            names::run_dir().join(NETWORKS).join(format!(
                "{}-{}",
                subnet.network(),
                subnet.prefix()
            ))
        };
        Self {
            dir: lease_dir.map_or_else(own, Path::to_owned),
            shared: lease_dir.is_some(),
            subnet,
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

    /// Every pool of our own.
    pub(crate) fn all() -> Result<Vec<Self>, Error> {
        let dir = names::run_dir().join(NETWORKS);
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.to_errno() == Errno::ENOENT => return Ok(Vec::new()),
            Err(error) => {
                return Err(SysError::new(format!("opendir({})", dir.display()), error).into());
            }
        };
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let subnets = names.filter_map(|name| name.replace('-', "/").parse().ok());
        Ok(subnets.map(|subnet| Self::new(subnet, None)).collect())
    }

    /// Takes back every lease of which `is_stale` says that nobody can be using it, and says which and whose; `dry_run`: says
    /// it only.
    pub(crate) fn reclaim(
        &self,
        dry_run: bool,
        mut is_stale: impl FnMut(Option<&Owner>, IpAddr) -> Result<bool, Error>,
    ) -> Result<Vec<(IpAddr, Option<Owner>)>, Error> {
        let Some(_lock) = self.lock()? else {
            return Ok(Vec::new());
        };
        let mut freed = Vec::new();
        for address in self.leases()? {
            let owner = self.owner(address)?;
            if !is_stale(owner.as_ref(), address)? {
                continue;
            }
            if !dry_run {
                let path = self.path(address);
                gone(fs::remove_file(&path)).call(|| format!("unlink({})", path.display()))?;
            }
            freed.push((address, owner));
        }
        if !self.shared && !dry_run && self.leases()?.is_empty() {
            self.remove()?;
        }
        Ok(freed)
    }

    /// Where the leases are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Gives `owner` the address it wants, or the next one that is free.
    ///
    /// A lease that is there stays unless `is_stale` says that nobody can be using it; it is asked only when the address is
    /// wanted by name or when no other is left, and never about a directory that others use.
    ///
    /// # Errors
    /// The address is taken, or all are.
    pub(crate) fn reserve(
        &self,
        owner: &Owner,
        wanted: Option<IpAddr>,
        is_stale: impl FnMut(Option<&Owner>, IpAddr) -> Result<bool, Error>,
    ) -> Result<IpAddr, Error> {
        let _lock = self.lock_or_make()?;
        let lease = self.dir.join(UNNAMED);
        self.write_unnamed(&lease, owner)?;
        let answer = self.name(&lease, wanted, is_stale);
        gone(fs::remove_file(&lease)).call(|| format!("unlink({})", lease.display()))?;
        let address = answer?;
        let last = self.last_reserved();
        fs::write(&last, address.to_string()).call(|| format!("write({})", last.display()))?;
        Ok(address)
    }

    /// The address that [`Pool::reserve`] would give now.
    pub(crate) fn next(&self, wanted: Option<IpAddr>) -> Result<IpAddr, Error> {
        let mut candidates = self.candidates(wanted);
        let free = candidates.find(|address| !self.path(*address).exists());
        free.ok_or_else(|| self.none_left(wanted))
    }

    /// Takes back what `owner` has: `address`, or whatever it is when that is not known.
    ///
    /// Somebody else's lease stays, and a pool or lease that is not there is as good as taken back.
    pub(crate) fn release(&self, owner: &Owner, address: Option<IpAddr>) -> Result<(), Error> {
        // A record tells the directory, and may lie: nothing is written into one that holds nothing of the owner.
        if self.shared && self.leases_of(owner, address)?.is_empty() {
            return Ok(());
        }
        let Some(_lock) = self.lock()? else {
            // Somebody may have been killed between making, or removing, the one directory and the other.
            return if self.shared {
                Ok(())
            } else {
                self.remove_directories()
            };
        };
        for path in self.leases_of(owner, address)? {
            gone(fs::remove_file(&path)).call(|| format!("unlink({})", path.display()))?;
        }
        if !self.shared && self.leases()?.is_empty() {
            self.remove()?;
        }
        Ok(())
    }

    /// The files of `owner`: that of `address` if it is, or all that are.
    fn leases_of(&self, owner: &Owner, address: Option<IpAddr>) -> Result<Vec<PathBuf>, Error> {
        let mut found = Vec::new();
        for address in address.map_or_else(|| self.leases(), |address| Ok(vec![address]))? {
            // One that cannot be read may be the one: no success then.
            if self
                .read(address)?
                .is_some_and(|content| content.trim() == owner.content())
            {
                found.push(self.path(address));
            }
        }
        Ok(found)
    }

    /// A complete lease that lacks only its name: killed here, none is left that is empty.
    fn write_unnamed(&self, lease: &Path, owner: &Owner) -> Result<(), Error> {
        let call = |call: &str| format!("{call}({})", lease.display());
        gone(fs::remove_file(lease)).call(|| call("unlink"))?;
        let open = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(lease);
        let mut file = open.call(|| call("open"))?;
        file.write_all(owner.content().as_bytes())
            .call(|| call("write"))?;
        if self.shared {
            // It may be on a disk; then an empty one could come out of a power failure and never be given back.
            file.sync_data().call(|| call("fdatasync"))?;
        }
        Ok(())
    }

    /// Links the unnamed lease to the first address that is free.
    fn name(
        &self,
        lease: &Path,
        wanted: Option<IpAddr>,
        mut is_stale: impl FnMut(Option<&Owner>, IpAddr) -> Result<bool, Error>,
    ) -> Result<IpAddr, Error> {
        for address in self.candidates(wanted) {
            let path = self.path(address);
            match fs::hard_link(lease, &path) {
                Ok(()) => return Ok(address),
                Err(error) if error.to_errno() == Errno::EEXIST => {}
                Err(error) => {
                    return Err(SysError::new(format!("link({})", path.display()), error).into());
                }
            }
        }
        if !self.shared {
            for address in self.candidates(wanted) {
                if is_stale(self.owner(address)?.as_ref(), address)? {
                    let path = self.path(address);
                    fs::rename(lease, &path).call(|| format!("rename({})", path.display()))?;
                    return Ok(address);
                }
            }
        }
        Err(self.none_left(wanted))
    }

    fn candidates(&self, wanted: Option<IpAddr>) -> Box<dyn Iterator<Item = IpAddr>> {
        match wanted {
            Some(address) => Box::new(std::iter::once(address)),
            None => {
                let last = fs::read_to_string(self.last_reserved()).ok();
                let last = last.and_then(|last| last.trim().parse().ok());
                Box::new(self.choice.addresses_after(self.subnet, last))
            }
        }
    }

    /// host-local numbers the ranges of a network: IPv4 first, of two.
    fn last_reserved(&self) -> PathBuf {
        let number = u8::from(self.shared && !self.subnet.is_ipv4());
        self.dir.join(format!("{LAST_RESERVED}{number}"))
    }

    fn path(&self, address: IpAddr) -> PathBuf {
        self.dir.join(address.to_string())
    }

    /// The content of a lease; None: there is no such file.
    fn read(&self, address: IpAddr) -> Result<Option<String>, Error> {
        let path = self.path(address);
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&path)
        {
            Ok(file) => file,
            Err(error) if matches!(error.to_errno(), Errno::ENOENT | Errno::ENOTDIR) => {
                return Ok(None);
            }
            Err(error) => {
                return Err(SysError::new(format!("open({})", path.display()), error).into());
            }
        };
        let mut content = Vec::new();
        file.take(4096)
            .read_to_end(&mut content)
            .call(|| format!("read({})", path.display()))?;
        Ok(Some(String::from_utf8_lossy(&content).into_owned()))
    }

    /// Whose `address` is. None: nobody's, as far as its file tells.
    pub(crate) fn owner(&self, address: IpAddr) -> Result<Option<Owner>, Error> {
        Ok(self
            .read(address)?
            .and_then(|content| Owner::parse(&content)))
    }

    /// Every address of the subnet that has a file.
    pub(crate) fn leases(&self) -> Result<Vec<IpAddr>, Error> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.to_errno() == Errno::ENOENT => return Ok(Vec::new()),
            Err(error) => {
                return Err(
                    SysError::new(format!("opendir({})", self.dir.display()), error).into(),
                );
            }
        };
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut leases: Vec<IpAddr> = names
            .filter(|&address| self.subnet.contains(address))
            .collect();
        leases.sort_unstable();
        Ok(leases)
    }
}

/// "Already gone" is as good as done.
fn gone(answer: io::Result<()>) -> io::Result<()> {
    match answer {
        Err(error) if error.to_errno() == Errno::ENOENT => Ok(()),
        answer => answer,
    }
}

#[cfg(test)]
mod tests;
