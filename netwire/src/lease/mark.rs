//! Which leases are ours, and since which boot: an extended attribute of the file.
//!
//! In a network that host-local uses as well the content tells whose a lease is, and nothing tells whether that is one of our pods
//! or a container of CNI. The attribute comes before the file has its name and goes with it, survives the machine as
//! it does, and host-local, which reads every file of the directory, does not see it.

use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{XattrFlags, fsetxattr, lgetxattr};
use sys::{Call, SysError, ToErrno};

/// What it says of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// One of our pods' of this boot.
    Ours,
    /// Of one that an earlier boot had.
    Before,
    /// Somebody else's.
    Foreign,
    /// There are no such attributes on this file system, so only the content tells.
    Unknown,
}

/// tmpfs has the first since Linux 6.6; the second needs CAP_SYS_ADMIN.
const NAMES: [&str; 2] = ["user.chroot0.boot_id", "trusted.chroot0.boot_id"];

/// Marks a file that has no name yet.
pub(super) fn write(file: impl AsFd) -> Result<(), SysError> {
    let boot_id = record::boot_id()?;
    for name in NAMES {
        match fsetxattr(&file, name, boot_id.as_bytes(), XattrFlags::empty()) {
            Err(error) if is_refused(error.to_errno()) => {}
            answer => return answer.call(|| format!("fsetxattr({name})")),
        }
    }
    // Unmarked it is as good a lease; gc and up leave it alone.
    Ok(())
}

/// What is on the file.
pub(super) fn read(path: &Path) -> Result<Mark, SysError> {
    let mut value = [0; 64];
    let (mut unknown, mut denied) = (false, Vec::new());
    for name in NAMES {
        match lgetxattr(path, name, &mut value[..]).map_err(|error| error.to_errno()) {
            Ok(length) if value[..length] == *record::boot_id()?.as_bytes() => {
                return Ok(Mark::Ours);
            }
            Ok(_) => return Ok(Mark::Before),
            // Longer than any of ours, or gone meanwhile.
            Err(Errno::ENODATA | Errno::ERANGE | Errno::ENOENT) => {}
            Err(errno) => {
                let call = format!("lgetxattr({}, {name})", path.display());
                match errno {
                    Errno::EPERM => denied.push(SysError::new(call, errno)),
                    errno if is_refused(errno) => unknown = true,
                    errno => return Err(SysError::new(call, errno)),
                }
            }
        }
    }
    // A filter that hides the call hides it of both; of one alone it is a failure, and the lease may be ours.
    unknown |= denied.len() == NAMES.len();
    if let Some(error) = denied.pop().filter(|_| !unknown) {
        return Err(error);
    }
    Ok(if unknown {
        Mark::Unknown
    } else {
        Mark::Foreign
    })
}

fn is_refused(errno: Errno) -> bool {
    matches!(errno, Errno::EOPNOTSUPP | Errno::EPERM | Errno::EACCES)
}
