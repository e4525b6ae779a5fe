//! Files that others may remove meanwhile, and files of the kernel.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::ToErrno;

/// "Already gone" is as good as removed.
///
/// # Errors
/// It could not be removed for another reason.
pub fn gone(answer: io::Result<()>) -> io::Result<()> {
    match answer {
        Err(error) if error.to_errno() == Errno::ENOENT => Ok(()),
        answer => answer,
    }
}

/// Whether what is at `path` is still `held`: who had its lock before may have removed it, and another made it anew.
#[must_use]
pub fn is_still(held: &File, path: &Path) -> bool {
    match (held.metadata(), fs::symlink_metadata(path)) {
        (Ok(held), Ok(found)) => (held.dev(), held.ino()) == (found.dev(), found.ino()),
        _ => false,
    }
}

/// The whole of a file of /proc or of a cgroup, whose lines are short.
///
/// # Errors
/// It is not there, or may not be read.
pub fn read_kernel(path: impl rustix::path::Arg) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty()).map_err(|errno| errno.to_errno())?;
    read_open_kernel(&file)
}

/// [`read_kernel`] where the file is open.
///
/// std asks for a size first, which these files do not have, and feels its way with 32 bytes: five system calls for nothing, for
/// each process and each group there is.
///
/// # Errors
/// It may not be read, or what it is of has gone.
pub fn read_open_kernel(file: impl AsFd) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        match rustix::io::read(&file, &mut part) {
            Ok(length) => {
                bytes.extend_from_slice(&part[..length]);
                // Lists end short of a page only because the next line does not fit; half of one is all there is.
                if length < part.len() / 2 {
                    return Ok(bytes);
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.to_errno()),
        }
    }
}
