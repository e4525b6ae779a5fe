//! Which subnet is in which network: links in the run directory, one for each subnet that pods of this boot have a lease of.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use sys::{Call, SysError, ToErrno, gone};

use super::directory::entries;
use crate::error::Error;
use crate::subnet::Subnet;

/// Beside the indexes; no id begins with a dot.
const SUBNETS: &str = ".subnets";

/// How a subnet is spelt in the name of a file.
pub(super) fn file_name(subnet: Subnet) -> String {
    format!("{}-{}", subnet.network(), subnet.prefix())
}

/// The directory of the links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claims(PathBuf);

impl Claims {
    pub(super) fn of(run_dir: &Path) -> Self {
        Self(run_dir.join(SUBNETS))
    }

    fn path(&self, subnet: Subnet) -> PathBuf {
        self.0.join(file_name(subnet))
    }

    /// Notes that `subnet` is in `dir`, under the lock of `dir`; whether that is new.
    pub(super) fn make(&self, subnet: Subnet, dir: &Path) -> Result<bool, Error> {
        let path = self.path(subnet);
        let mut attempts = 0;
        loop {
            match symlink(dir, &path).map_err(|error| error.to_errno()) {
                Ok(()) => return Ok(true),
                Err(Errno::EEXIST) if self.has(subnet, dir)? => return Ok(false),
                // Of a network that has no lease of it any more, or `refuse_overlap` would have said so.
                Err(Errno::EEXIST) => {
                    gone(fs::remove_file(&path)).call(|| format!("unlink({})", path.display()))?;
                }
                // The first one; or the last one's end has just taken the directory along.
                Err(Errno::ENOENT) if attempts < 1000 => {
                    attempts += 1;
                    let made = DirBuilder::new()
                        .recursive(true)
                        .mode(0o700)
                        .create(&self.0);
                    match made {
                        Err(error) if error.to_errno() == Errno::ENOENT => {}
                        made => made.call(|| format!("mkdir({})", self.0.display()))?,
                    }
                }
                Err(errno) => {
                    return Err(SysError::new(format!("symlink({})", path.display()), errno).into());
                }
            }
        }
    }

    /// Whether `subnet` is in `dir`.
    pub(super) fn has(&self, subnet: Subnet, dir: &Path) -> Result<bool, Error> {
        Ok(link_at(&self.path(subnet))?.is_some_and(|found| found == dir))
    }

    /// Forgets that `subnet` is in `dir`.
    pub(super) fn forget(&self, subnet: Subnet, dir: &Path) -> Result<(), Error> {
        if self.has(subnet, dir)? {
            let path = self.path(subnet);
            gone(fs::remove_file(&path)).call(|| format!("unlink({})", path.display()))?;
        }
        Ok(())
    }

    /// The last one takes the directory of all along.
    pub(super) fn remove_if_empty(&self) -> Result<(), Error> {
        match fs::remove_dir(&self.0).map_err(|error| error.to_errno()) {
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTEMPTY) => Ok(()),
            Err(errno) => Err(SysError::new(format!("rmdir({})", self.0.display()), errno).into()),
        }
    }

    /// Every subnet that pods have leases of, and where.
    pub(super) fn all(&self) -> Result<Vec<(Subnet, PathBuf)>, Error> {
        let mut claims = Vec::new();
        for name in entries(&self.0)? {
            let Ok(subnet) = name.replace('-', "/").parse() else {
                continue;
            };
            if let Some(dir) = link_at(&self.0.join(name))? {
                claims.push((subnet, dir));
            }
        }
        Ok(claims)
    }
}

/// Where the link at `path` leads. None: there is nothing, or no link, which is not ours.
fn link_at(path: &Path) -> Result<Option<PathBuf>, Error> {
    match fs::read_link(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if [Errno::ENOENT, Errno::EINVAL].contains(&error.to_errno()) => Ok(None),
        Err(error) => Err(SysError::new(format!("readlink({})", path.display()), error).into()),
    }
}
