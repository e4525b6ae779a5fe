//! A network's directory: the leases in it, and the lock.

mod reclaim;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use record::names;
use sys::{Call, SysError, ToErrno, gone, is_still};

use super::claim::Claims;
use super::mark::{self, Mark};
use super::place::{self, Place};
use super::{Owner, claim};
use crate::error::Error;
use crate::subnet::Subnet;

const LOCK: &str = "lock";
/// And a number; or a subnet, of which host-local knows nothing.
pub(super) const LAST_RESERVED: &str = "last_reserved_ip.";
/// A lease before it has its name; whoever holds the lock may remove it.
pub(super) const UNNAMED: &str = ".lease";
/// What distinguishes a directory of our making from its first instant: mkdir(2) of nobody else's sets it.
const STICKY: u32 = 0o1000;

/// The leases of a network, whatever their subnets are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(super) path: PathBuf,
    /// Named by `--lease-dir`: neither made nor removed, and no lease in it is ever taken back.
    pub(super) is_given: bool,
    /// Below the run directory: nobody else has leases there.
    pub(super) is_private: bool,
    pub(super) claims: Claims,
}

/// A file of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: IpAddr,
    /// None: an empty file, as a machine that went down may leave it.
    pub(crate) owner: Option<Owner>,
    /// Nothing of what it stood for is there any more.
    pub(crate) is_of_earlier_boot: bool,
}

impl Directory {
    pub(crate) fn new(place: &Place) -> Self {
        Self {
            path: place.dir(),
            is_given: matches!(place, Place::Directory(_)),
            is_private: matches!(place, Place::Network(_)) && !place::are_of_cni(),
            claims: Claims::of(&names::run_dir()),
        }
    }

    /// Of every network of this machine, those of others included.
    pub(crate) fn all() -> Result<Vec<Self>, Error> {
        let networks = place::networks();
        let mut paths = Vec::new();
        for name in entries(&networks)? {
            let path = networks.join(name);
            match fs::metadata(&path) {
                Ok(found) if found.is_dir() => paths.push(path),
                Ok(_) => {}
                Err(error) if error.to_errno() == Errno::ENOENT => {}
                Err(error) => {
                    return Err(SysError::new(format!("stat({})", path.display()), error).into());
                }
            }
        }
        paths.sort();
        let of = |path| Self {
            path,
            is_given: false,
            is_private: !place::are_of_cni(),
            claims: Claims::of(&names::run_dir()),
        };
        Ok(paths.into_iter().map(of).collect())
    }

    /// The lock of a directory that is made if it is missing, unless it was given.
    pub(super) fn lock_or_make(&self) -> Result<File, Error> {
        let mut attempts = 0;
        loop {
            if !self.is_given {
                let made = DirBuilder::new()
                    .recursive(true)
                    .mode(0o755 | STICKY)
                    .create(&self.path);
                attempts += 1;
                match made {
                    // The last lease has just taken the directory above along, between the making of the two.
                    Err(error) if error.to_errno() == Errno::ENOENT && attempts < 1000 => continue,
                    made => made.call(|| format!("mkdir({})", self.path.display()))?,
                }
            }
            match self.lock()? {
                Some(lock) => return Ok(lock),
                // The last lease has just taken its directory along.
                None if !self.is_given => {}
                None => {
                    let error =
                        SysError::new(format!("open({})", self.path.display()), Errno::ENOENT);
                    return Err(error
                        .hint("a pool shared with others is not made here: mkdir it")
                        .into());
                }
            }
        }
    }

    /// The lock; None: there is no directory.
    pub(super) fn lock(&self) -> Result<Option<File>, Error> {
        let path = self.path.join(LOCK);
        let call = |call: &str| format!("{call}({})", path.display());
        loop {
            let open = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&path);
            let lock = match open {
                Ok(lock) => lock,
                Err(error) if error.to_errno() == Errno::ENOENT => return Ok(None),
                Err(error) => return Err(SysError::new(call("open"), error).into()),
            };
            lock.lock().call(|| call("flock"))?;
            // Who had it before us may have removed it.
            if is_still(&lock, &path) {
                return Ok(Some(lock));
            }
        }
    }

    /// Whether it was made here, so that it goes with its last lease. host-local's stays, and so does one that an
    /// administrator made.
    pub(super) fn is_our_making(&self) -> Result<bool, Error> {
        Ok(!self.is_given && is_sticky(&self.path)? == Some(true))
    }

    /// Forgets what no lease is left of, under the lock: claims of subnets, and the directory if it was made here.
    pub(super) fn tidy(&self) -> Result<(), Error> {
        self.remove_file(UNNAMED)?;
        let leases = self.leases()?;
        for (subnet, dir) in self.claims.all()? {
            let mut of_subnet = leases.iter().filter(|lease| subnet.contains(**lease));
            if dir == self.path && !any(&mut of_subnet, |lease| self.is_ours(*lease))? {
                self.remove_file(&last_of(subnet))?;
                self.claims.forget(subnet, &dir)?;
            }
        }
        self.claims.remove_if_empty()?;
        if !self.is_our_making()? {
            return Ok(());
        }
        if leases.is_empty() {
            return self.remove();
        }
        if !any(&mut leases.iter(), |lease| self.is_ours(*lease))? {
            // It is host-local's from now on.
            fs::set_permissions(&self.path, Permissions::from_mode(0o755))
                .call(|| format!("chmod({})", self.path.display()))?;
        }
        Ok(())
    }

    /// Removes our own directory, the lock last, and those above if it was the last network.
    ///
    /// Who waits for the lock meanwhile finds out that it is gone. A directory that holds something again is kept.
    fn remove(&self) -> Result<(), Error> {
        let names = entries(&self.path)?;
        let last_reserved = names.iter().filter(|name| name.starts_with(LAST_RESERVED));
        for name in last_reserved.map(String::as_str).chain([LOCK]) {
            self.remove_file(name)?;
        }
        self.remove_directories()
    }

    /// The directory and those above that were made here, as far as they are empty.
    pub(super) fn remove_directories(&self) -> Result<(), Error> {
        let above = if self.path.starts_with(place::CNI) {
            3
        } else {
            2
        };
        for dir in self.path.ancestors().take(above) {
            // One that is gone may have been removed by who was killed before he came to the next.
            if is_sticky(dir)? == Some(false) {
                break;
            }
            match fs::remove_dir(dir).map_err(|error| error.to_errno()) {
                Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY) => {}
                Err(errno) => {
                    return Err(SysError::new(format!("rmdir({})", dir.display()), errno).into());
                }
            }
        }
        Ok(())
    }

    pub(super) fn file(&self, address: IpAddr) -> PathBuf {
        self.path.join(address.to_string())
    }

    pub(super) fn remove_file(&self, name: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        gone(fs::remove_file(&path)).call(|| format!("unlink({})", path.display()))?;
        Ok(())
    }

    /// The content of a lease; None: there is no such file.
    pub(super) fn read(&self, address: IpAddr) -> Result<Option<String>, Error> {
        let path = self.file(address);
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

    /// Every address that has a file.
    pub(crate) fn leases(&self) -> Result<Vec<IpAddr>, Error> {
        let names = entries(&self.path)?;
        let mut leases: Vec<IpAddr> = names.iter().filter_map(|name| name.parse().ok()).collect();
        leases.sort_unstable();
        Ok(leases)
    }

    /// The lease of `address` if there is one and it is ours to take back.
    pub(super) fn our_lease(&self, address: IpAddr) -> Result<Option<Lease>, Error> {
        let mark = self.mark(address)?;
        if self.is_given {
            return Ok(None);
        }
        match mark {
            Mark::Ours | Mark::Before => {}
            Mark::Foreign | Mark::Unknown => return Ok(None),
            // Taken for another's it would stay, and nobody would be told.
            Mark::Refused(errno) => return Err(mark::failed(&self.file(address), errno).into()),
        }
        Ok(Some(Lease {
            address,
            owner: self.owner(address)?,
            is_of_earlier_boot: mark == Mark::Before,
        }))
    }

    /// Every such lease.
    fn ours(&self) -> Result<Vec<Lease>, Error> {
        let mut ours = Vec::new();
        for address in self.leases()? {
            ours.extend(self.our_lease(address)?);
        }
        Ok(ours)
    }

    /// Whether it is ours, or may be.
    fn is_ours(&self, address: IpAddr) -> Result<bool, Error> {
        Ok(self.mark(address)? != Mark::Foreign)
    }

    /// Whether what is at `address` is one of our pods'.
    pub(super) fn mark(&self, address: IpAddr) -> Result<Mark, Error> {
        let mark = mark::read(&self.file(address))?;
        match mark {
            Mark::Foreign | Mark::Unknown | Mark::Refused(_) if self.is_private => Ok(Mark::Ours),
            mark => Ok(mark),
        }
    }
}

/// The file of a subnet's last address while another one's is in host-local's.
pub(super) fn last_of(subnet: Subnet) -> String {
    format!("{LAST_RESERVED}{}", claim::file_name(subnet))
}

fn any<T>(
    all: &mut dyn Iterator<Item = T>,
    is_it: impl Fn(T) -> Result<bool, Error>,
) -> Result<bool, Error> {
    for one in all {
        if is_it(one)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// None: there is nothing.
fn is_sticky(dir: &Path) -> Result<Option<bool>, Error> {
    match fs::symlink_metadata(dir) {
        Ok(found) => Ok(Some(found.is_dir() && found.mode() & STICKY != 0)),
        Err(error) if [Errno::ENOENT, Errno::ENOTDIR].contains(&error.to_errno()) => Ok(None),
        Err(error) => Err(SysError::new(format!("stat({})", dir.display()), error).into()),
    }
}

/// What is in a directory, as far as its names are text; nothing in one that is not there.
pub(super) fn entries(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if matches!(error.to_errno(), Errno::ENOENT | Errno::ENOTDIR) => {
            return Ok(Vec::new());
        }
        Err(error) => {
            return Err(SysError::new(format!("opendir({})", dir.display()), error).into());
        }
    };
    let mut names = Vec::new();
    for entry in entries {
        // A part of them would pass for all: a lease that nobody takes back, or a network that is taken for empty.
        let entry = entry.call(|| format!("getdents({})", dir.display()))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}
