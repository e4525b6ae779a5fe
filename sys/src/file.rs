//! Files that others may remove meanwhile.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;

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
