//! How large a box is.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::AtFlags;
use sys::SysError;

use crate::tree::{DEPTH, names, open};

/// How much is below a directory.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Everything that is no directory.
    pub(crate) files: u64,
    /// Their sizes.
    pub(crate) bytes: u64,
}

/// Counts what is below `top`, without what is mounted there and what lies deeper than 128 directories.
///
/// # Errors
/// What open(2), getdents64(2) and fstatat(2) answer.
pub(crate) fn measure(top: OwnedFd, shown: &Path) -> Result<Size, SysError> {
    let mut size = Size::default();
    let mut levels = vec![(names(&top, shown)?, top, shown.to_owned())];
    loop {
        let depth = levels.len();
        let Some((entries, directory, shown)) = levels.last_mut() else {
            break;
        };
        let Some(entry) = entries.pop() else {
            levels.pop();
            continue;
        };
        if entry.is_directory {
            let below = shown.join(entry.path());
            match open(directory, &entry, shown) {
                Ok(directory) if depth < DEPTH => {
                    levels.push((names(&directory, &below)?, directory, below))
                }
                Ok(_) => {}
                Err(error) if matches!(error.errno, Errno::EXDEV | Errno::ENOENT) => {}
                Err(error) => return Err(error),
            }
        } else if let Ok(stat) =
            rustix::fs::statat(directory.as_fd(), &entry.name, AtFlags::SYMLINK_NOFOLLOW)
        {
            size.files += 1;
            size.bytes += u64::try_from(stat.st_size).unwrap_or(0);
        }
    }
    Ok(size)
}
