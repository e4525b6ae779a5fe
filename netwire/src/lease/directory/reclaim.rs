//! What nobody is left to give back: leases of pods that are gone, and claims of networks that are.

use std::fs;

use nix::errno::Errno;
use record::names;
use sys::{SysError, ToErrno};

use super::{Directory, Lease, UNNAMED};
use crate::error::Error;
use crate::lease::claim::Claims;
use crate::lease::place::{self, Place};
use crate::subnet::Subnet;

impl Directory {
    /// Forgets which subnets are in networks that are no more, as who was killed between the two leaves it; says which.
    pub(crate) fn forget_networks_that_are_gone(dry_run: bool) -> Result<Vec<Subnet>, Error> {
        let claims = Claims::of(&names::run_dir());
        let mut freed = Vec::new();
        for (subnet, path) in claims.all()? {
            match fs::symlink_metadata(&path) {
                Err(error) if error.to_errno() == Errno::ENOENT => freed.push(subnet),
                Ok(_) => continue,
                Err(error) => {
                    return Err(SysError::new(format!("stat({})", path.display()), error).into());
                }
            }
            if !dry_run {
                let network = Self {
                    path,
                    is_given: false,
                    is_private: !place::are_of_cni(),
                    claims: claims.clone(),
                };
                // There is nothing to lock: it is made for that, as who wants an address there does, and goes again.
                let _lock = network.lock_or_make()?;
                network.tidy()?;
            }
        }
        if !dry_run {
            claims.remove_if_empty()?;
            // And those above, of which the last network is no more.
            Self::new(&Place::default()).remove_directories()?;
        }
        Ok(freed)
    }

    /// Takes back every lease of ours of which `is_stale` says that nobody can be using it, and returns which; `dry_run`: returns
    /// it only.
    pub(crate) fn reclaim(
        &self,
        dry_run: bool,
        mut is_stale: impl FnMut(&Lease) -> Result<bool, Error>,
    ) -> Result<Vec<Lease>, Error> {
        // Nothing is written where nothing is ours.
        let has_unnamed = self.path.join(UNNAMED).exists();
        if !self.is_our_making()? && !has_unnamed && self.ours()?.is_empty() {
            return Ok(Vec::new());
        }
        let Some(_lock) = self.lock()? else {
            return Ok(Vec::new());
        };
        let mut freed = Vec::new();
        for lease in self.ours()? {
            if is_stale(&lease)? {
                if !dry_run {
                    self.remove_file(&lease.address.to_string())?;
                }
                freed.push(lease);
            }
        }
        if !dry_run {
            self.tidy()?;
        }
        Ok(freed)
    }
}
