//! `down --keep`: what is to stay moves into a directory that is not the box any more, at the place where the box was.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rustix::fs::{Mode, RenameFlags, openat2, renameat, renameat_with};
use sys::SysError;

use crate::flags::store_name;
use crate::overlay::UPPER;
use crate::place::Place;
use crate::root::{BENEATH, DIRECTORY, Root};

/// Out of the writable layer of an overlay.
///
/// # Errors
/// What rename(2) answers: `ENOTEMPTY` when there is something of that name in the box already.
pub(crate) fn take_layer(store: &Root, root: &Root, keep: &[PathBuf]) -> Result<(), SysError> {
    keep.iter()
        .try_for_each(|path| take(store, &Path::new(UPPER).join(path), root, path))
}

/// Volumes that were made for the box.
///
/// # Errors
/// As [`take_layer`].
pub(crate) fn take_volumes(store: &Root, root: &Root, keep: &[PathBuf]) -> Result<(), SysError> {
    keep.iter().try_for_each(|path| {
        let Some(text) = path.to_str() else {
            return Ok(());
        };
        take(store, Path::new(&store_name(text)), root, path)
    })
}

/// Where what is kept lies until the box is gone.
fn aside(place: &Place) -> String {
    format!(".{}.mkbox.kept", place.name)
}

/// Moves what is kept out of the box: what lies at its place afterwards must not be taken for it.
///
/// # Errors
/// What mkdir(2) and rename(2) answer.
pub(crate) fn move_aside(
    place: &Place,
    parent: BorrowedFd<'_>,
    root: &Root,
    keep: &[PathBuf],
) -> Result<(), SysError> {
    let name = aside(place);
    let shown = place.parent.join(&name);
    match rustix::fs::mkdirat(parent, &name, Mode::from(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(SysError::new(format!("mkdir({})", shown.display()), errno)),
    }
    let kept = Root::open_in(parent, &name, &shown)?;
    keep.iter()
        .try_for_each(|path| take(root, path, &kept, path))
}

/// Gives it the place of the box, which is gone.
///
/// # Errors
/// What rename(2) answers.
pub(crate) fn put_back(place: &Place, parent: BorrowedFd<'_>) -> Result<(), SysError> {
    let name = aside(place);
    let moved = match renameat_with(parent, &name, parent, &place.name, RenameFlags::NOREPLACE) {
        // Not every file system can (NFS). Without the flag an empty directory would be replaced, and nothing else.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            renameat(parent, &name, parent, &place.name)
        }
        answer => answer,
    };
    match moved {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => {
            let shown = place.parent.join(&name);
            let call = format!("rename({}, {})", shown.display(), place.path.display());
            Err(SysError::new(call, errno))
        }
    }
}

/// Moves `from` to `to`, on one file system; what is not there is not moved. An empty directory is replaced.
fn take(store: &Root, from: &Path, root: &Root, to: &Path) -> Result<(), SysError> {
    let (Some(above), Some(name)) = (from.parent(), from.file_name()) else {
        return Ok(());
    };
    let call = || format!("rename({}, {})", store.show(from), root.show(to));
    let above = if above.as_os_str().is_empty() {
        Path::new(".")
    } else {
        above
    };
    let directory: OwnedFd = match openat2(store.as_fd(), above, DIRECTORY, Mode::empty(), BENEATH)
    {
        Ok(directory) => directory,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(()),
        Err(errno) => return Err(SysError::new(call(), errno)),
    };
    if rustix::fs::statat(&directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_err() {
        return Ok(());
    }
    let (above, last) = (to.parent().unwrap_or(Path::new("")), to.file_name());
    let parent = root.make_directory(above)?;
    match renameat(&directory, name, &parent, last.unwrap_or_default()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => {
            let error = SysError::new(call(), errno);
            Err(match error.errno {
                Errno::ENOTEMPTY | Errno::EEXIST => {
                    error.hint("there is something of that name in the box itself")
                }
                _ => error,
            })
        }
    }
}
