//! Paths that a box does not show, and paths that it shows read-only: `linux.maskedPaths` and `linux.readonlyPaths`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::FileType;
use rustix::mount::MountAttrFlags;
use sys::{Call, SysError};

use crate::attach::{Tree, clone_fd, open_device};
use crate::filesystem::new_filesystem;
use crate::mounted::Mounted;
use crate::options::Attributes;

/// Covers a file with the host's /dev/null, a directory with an empty one; what is not there needs no cover.
///
/// Never with the box's own /dev/null, which could be a link by then (CVE-2025-31133).
///
/// # Errors
/// The first call that fails.
pub(crate) fn mask<P: AsRef<Path>>(mounted: &Mounted, paths: &[P]) -> Result<(), SysError> {
    let mut null: Option<OwnedFd> = None;
    let mut empty: Option<Tree> = None;
    for path in paths.iter().map(AsRef::as_ref) {
        let Some((place, kind)) = find(mounted, path)? else {
            continue;
        };
        let shown = || mounted.show(path);
        if kind != FileType::Directory {
            if null.is_none() {
                null = Some(open_device("/dev/null", 1, 3)?);
            }
            if let Some(null) = &null {
                clone_fd(null.as_fd(), false, || "/dev/null".into())?
                    .move_onto(place.as_fd(), shown)?;
            }
            continue;
        }
        // One empty file system for all of them: a mount that has a place can be copied.
        let tree = match &empty {
            Some(first) => clone_fd(first.fd.as_fd(), false, || "tmpfs".into())?,
            None => new_filesystem(
                "tmpfs",
                "tmpfs",
                &[("mode".into(), Some("555".into()))],
                MountAttrFlags::MOUNT_ATTR_RDONLY
                    | MountAttrFlags::MOUNT_ATTR_NOSUID
                    | MountAttrFlags::MOUNT_ATTR_NODEV
                    | MountAttrFlags::MOUNT_ATTR_NOEXEC,
                path.display(),
            )?,
        };
        tree.move_onto(place.as_fd(), shown)?;
        empty.get_or_insert(tree);
    }
    Ok(())
}

/// Mounts each path on itself, read-only.
///
/// # Errors
/// The first call that fails.
pub(crate) fn read_only<P: AsRef<Path>>(mounted: &Mounted, paths: &[P]) -> Result<(), SysError> {
    for path in paths.iter().map(AsRef::as_ref) {
        let Some((place, _)) = find(mounted, path)? else {
            continue;
        };
        let mut tree = clone_fd(place.as_fd(), true, || mounted.show(path))?;
        tree.change(Attributes::only(MountAttrFlags::MOUNT_ATTR_RDONLY), path)?;
        tree.move_onto(place.as_fd(), || mounted.show(path))?;
    }
    Ok(())
}

/// What is at `path` in the box, held.
fn find(mounted: &Mounted, path: &Path) -> Result<Option<(OwnedFd, FileType)>, SysError> {
    let (root, inside) = mounted.around(path);
    let place = match root.find(inside) {
        Ok(place) => place,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
            return Ok(None);
        }
        Err(errno) => {
            let error = SysError::new(format!("openat2({})", mounted.show(path)), errno);
            return Err(match error.errno {
                Errno::ELOOP => error.hint("a path that is masked must lead through no symbolic link below /proc, /dev or /sys"),
                _ => error,
            });
        }
    };
    let stat = rustix::fs::fstat(&place).call(|| format!("fstat({})", mounted.show(path)))?;
    Ok(Some((place, FileType::from_raw_mode(stat.st_mode))))
}
