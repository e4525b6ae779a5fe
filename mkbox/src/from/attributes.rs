//! Owner, mode, extended attributes and times of what was extracted.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fsetxattr,
    futimens, utimensat,
};
use sys::{Call, SysError};

use super::extract::Extractor;
use crate::error::Error;
use crate::manifest::{Entry, Kind};
use crate::text::short;

const CAPABILITY: &[u8] = b"security.capability";

#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) mtime: (i64, u64),
}

impl Extractor<'_> {
    /// Owner, mode, attributes and times of a new file, in the order in which the kernel does not take them back.
    pub(super) fn finish_file(
        &mut self,
        file: &File,
        path: &Path,
        xattrs: &[(CString, Vec<u8>)],
        attributes: Attributes,
        entry: &mut Entry,
    ) -> Result<(), Error> {
        if self.is_root {
            let (user, group) = attributes.owner;
            fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
                .map_err(|errno| owner_error(path, errno))?;
        }
        let is_kept = self.manner.keep_privileges;
        let mode = if is_kept {
            attributes.mode
        } else {
            attributes.mode & 0o1777
        };
        if mode != attributes.mode {
            self.notice("set-user-ID or set-group-ID bit dropped", path);
        }
        fchmod(file, Mode::from(mode)).call(|| format!("chmod({})", short(path)))?;
        for (name, value) in xattrs {
            match name.as_bytes() {
                CAPABILITY if !is_kept => self.notice("file capabilities dropped", path),
                name_bytes if name_bytes == CAPABILITY || name_bytes.starts_with(b"user.") => {
                    let answer = fsetxattr(file, name.as_c_str(), value, XattrFlags::empty());
                    // A file system without them loses what only some programs look at; rights are another matter.
                    if name_bytes == CAPABILITY {
                        answer.call(|| format!("setxattr({})", short(path)))?;
                    }
                }
                // Those of a security module or of an overlay are about the machine they come from.
                _ => {}
            }
        }
        futimens(file, &times(attributes.mtime)).call(|| format!("utimensat({})", short(path)))?;
        let stat = rustix::fs::fstat(file).call(|| format!("fstat({})", short(path)))?;
        entry.kind = Kind::File;
        entry.mode = mode;
        entry.bytes = u64::try_from(stat.st_size).unwrap_or(0);
        entry.set_times(&stat);
        Ok(())
    }

    /// Owner and times of what has no descriptor: a link, a FIFO.
    pub(super) fn own(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        attributes: Attributes,
    ) -> Result<(), SysError> {
        let path = Path::new(name);
        if self.is_root {
            let (user, group) = (
                Uid::from_raw(attributes.owner.0),
                Gid::from_raw(attributes.owner.1),
            );
            chownat(
                parent,
                name,
                Some(user),
                Some(group),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(|errno| owner_error(path, errno))?;
        }
        utimensat(
            parent,
            name,
            &times(attributes.mtime),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .call(|| format!("utimensat({})", short(path)))
    }
}

pub(super) fn times((seconds, nanoseconds): (i64, u64)) -> Timestamps {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds.min(999_999_999)).unwrap_or(0),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

pub(super) fn owner_error(path: &Path, errno: rustix::io::Errno) -> SysError {
    let error = SysError::new(format!("chown({})", short(path)), errno);
    match error.errno {
        Errno::EINVAL => error.hint("its owner has no id in this user namespace"),
        _ => error,
    }
}
