//! The minimal /dev that the OCI specification asks for: seven devices, and links, in a tmpfs of its own.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{FileType, Mode, mknodat, symlinkat};
use sys::{Call, SysError};

use crate::attach::{clone_fd, open_device};
use crate::root::{PointKind, Root};

/// Documentation/admin-guide/devices.txt of the kernel.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// `ptmx` is the one of the box's own devpts.
const LINKS: [(&str, &str); 5] = [
    ("pts/ptmx", "ptmx"),
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

/// The host's devices, open; None where this one is to be made.
pub(crate) type Devices = Vec<Option<OwnedFd>>;

/// Whether one of them lies at `inside`, a path in the box.
pub(crate) fn makes(inside: &Path) -> bool {
    DEVICES
        .iter()
        .any(|(name, ..)| Path::new("/dev").join(name) == inside)
}

/// Opens the host's devices, before anything of the box can be in the way.
///
/// # Errors
/// One of them is something else.
pub(crate) fn open() -> Result<Devices, SysError> {
    let opened = DEVICES.iter().map(|&(name, major, minor)| {
        match open_device(&format!("/dev/{name}"), major, minor) {
            Ok(fd) => Ok(Some(fd)),
            Err(error) if error.errno == Errno::ENOENT => Ok(None),
            Err(error) => Err(error),
        }
    });
    opened.collect()
}

/// Fills `dev`, an empty tmpfs that nobody else sees yet.
///
/// A bind mount of the host's node, because one that is made works in no user namespace; one that is made where the host
/// has none.
///
/// # Errors
/// The first call that fails.
pub(crate) fn fill(dev: &Root, devices: &Devices) -> Result<(), SysError> {
    for ((name, major, minor), device) in DEVICES.iter().zip(devices) {
        let inside = Path::new("/").join(name);
        let Some(device) = device else {
            let made = mknodat(
                dev.as_fd(),
                *name,
                FileType::CharacterDevice,
                Mode::from(0o666),
                rustix::fs::makedev(*major, *minor),
            );
            made.call(|| format!("mknod({})", dev.show(&inside)))
                .map_err(|error| error.hint("the host has no such device to bind"))?;
            continue;
        };
        let point = dev.mount_point(&inside, PointKind::File)?;
        clone_fd(device.as_fd(), false, || format!("/dev/{name}"))?
            .move_onto(point.as_fd(), || dev.show(&inside))?;
    }
    for (target, name) in LINKS {
        let made = symlinkat(target, dev.as_fd(), name);
        made.call(|| format!("symlink({})", dev.show(Path::new(name))))?;
    }
    Ok(())
}
