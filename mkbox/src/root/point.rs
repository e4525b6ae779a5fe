//! Places in a box that something is mounted on.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use sys::SysError;

use super::{DIRECTORY, IN_ROOT, Root};

/// What a mount point has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PointKind {
    Directory,
    File,
}

impl Root {
    /// Opens what is at `inside`, wherever links in the box lead, to be mounted upon.
    ///
    /// /proc, /dev, /sys and what is below them must be real: an image whose /proc is a link could make the kernel's
    /// files appear elsewhere (CVE-2019-19921).
    fn resolve(&self, inside: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = if is_kernels(inside) {
            IN_ROOT | ResolveFlags::NO_SYMLINKS
        } else {
            IN_ROOT
        };
        let inside = if inside.as_os_str().is_empty() {
            Path::new(".")
        } else {
            inside
        };
        self.open_again(inside, flags, resolve)
    }

    fn existing_point(&self, inside: &Path, kind: PointKind) -> rustix::io::Result<OwnedFd> {
        let flags = match kind {
            PointKind::Directory => DIRECTORY,
            PointKind::File => OFlags::PATH | OFlags::CLOEXEC,
        };
        self.resolve(inside, flags)
    }

    /// Whatever is at `inside`, to be mounted upon.
    ///
    /// # Errors
    /// As [`Root::mount_point`], and `ENOENT` when there is nothing.
    pub(crate) fn find(&self, inside: &Path) -> rustix::io::Result<OwnedFd> {
        self.resolve(inside, OFlags::PATH | OFlags::CLOEXEC)
    }

    /// The mount point `inside`, made if it is missing, each step by descriptor.
    ///
    /// # Errors
    /// `ELOOP`: a link where none may be. `ENOENT`: a link that leads nowhere. What mkdir(2) answers.
    pub(crate) fn mount_point(&self, inside: &Path, kind: PointKind) -> Result<OwnedFd, SysError> {
        let fail = |errno: rustix::io::Errno| {
            let error = SysError::new(format!("openat2({})", self.show(inside)), errno);
            match errno {
                rustix::io::Errno::LOOP => {
                    error.hint("a mount point of the kernel's files must be no symbolic link")
                }
                rustix::io::Errno::NOENT => error.hint("a symbolic link in the box leads nowhere"),
                _ => error,
            }
        };
        match self.existing_point(inside, kind) {
            Err(rustix::io::Errno::NOENT) => {}
            answer => return answer.map_err(fail),
        }
        let parent = inside
            .parent()
            .ok_or(rustix::io::Errno::INVAL)
            .map_err(fail)?;
        let name = inside
            .file_name()
            .ok_or(rustix::io::Errno::INVAL)
            .map_err(fail)?;
        let parent = self.mount_point(parent, PointKind::Directory)?;
        let made = match kind {
            PointKind::Directory => rustix::fs::mkdirat(&parent, name, Mode::from(0o755)),
            PointKind::File => {
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                rustix::fs::openat(&parent, name, flags, Mode::from(0o644)).map(drop)
            }
        };
        match made {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {
                self.existing_point(inside, kind).map_err(fail)
            }
            Err(errno) => Err(SysError::new(
                format!("mkdir({})", self.show(inside)),
                errno,
            )),
        }
    }
}

/// Whether `inside` is one of the directories that hold the kernel's files, or below it.
pub(crate) fn is_kernels(inside: &Path) -> bool {
    ["proc", "dev", "sys"]
        .iter()
        .any(|name| inside.starts_with(Path::new("/").join(name)))
}
