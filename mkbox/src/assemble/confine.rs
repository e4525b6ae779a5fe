//! What a box is without, when `nsrun drop` follows (see [`crate::boundary`]): files of the kernel that change the machine or tell
//! of it, and devices that are not those of its /dev.
//!
//! A device node is the machine's wherever it lies: one that an image brought along, or that CAP_MKNOD makes. What the
//! device controller forbids is forbidden only where somebody has set it up.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use record::{MASKED_PATHS, READ_ONLY_PATHS, Record};
use rustix::mount::MountAttrFlags;
use serde_json::Value;
use sys::{Call, SysError};

use super::Assembly;
use crate::attach::{Tree, has_mount_setattr};
use crate::mask;
use crate::mounted::Mounted;
use crate::mounts::{Planned, What};
use crate::options::Attributes;

const NODEV: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;

impl Assembly {
    /// For a command that is to be confined.
    pub(crate) fn confine(&mut self, record: Option<&Record>) {
        self.hide(record);
        let makes_devices = !self.devices.is_empty();
        let is_recursive =
            |mount: &Planned| matches!(mount.what, What::Bind { recursive, .. } if recursive);
        for mount in self
            .mounts
            .iter_mut()
            .filter(|mount| !may_have_devices(mount, makes_devices))
        {
            mount.own.set |= NODEV;
            // Before Linux 5.12 what is mounted below stays as it is: all at once cannot be changed there.
            if is_recursive(mount) && has_mount_setattr() {
                mount.recursive.set |= NODEV;
            }
        }
        self.is_confined = true;
    }

    /// Hides what runtimes hide of what is mounted on /proc and /sys, beside what the record hides; of a list that is there and
    /// empty, nothing.
    fn hide(&mut self, record: Option<&Record>) {
        let is_empty = |key| {
            let list = record.and_then(|record| record.pointer(key));
            list.and_then(Value::as_array).is_some_and(Vec::is_empty)
        };
        for (key, defaults, list) in [
            ("/linux/maskedPaths", &MASKED_PATHS[..], &mut self.masked),
            (
                "/linux/readonlyPaths",
                &READ_ONLY_PATHS[..],
                &mut self.read_only_paths,
            ),
        ] {
            let is_mounted = |path: &&Path| {
                let mut mounts = self.mounts.iter();
                mounts.any(|mount| path.starts_with(&mount.destination))
            };
            for path in defaults.iter().map(Path::new).filter(is_mounted) {
                if !is_empty(key) && !list.iter().any(|there| there == path) {
                    list.push(PathBuf::from(path));
                }
            }
        }
    }

    /// The same in this view of mounts that `up` has made; in that of who made them they stay as they are.
    pub(super) fn confine_what_is_made(&self, mounted: &Mounted) -> Result<(), SysError> {
        mask::mask(mounted, &self.masked)?;
        mask::read_only(mounted, &self.read_only_paths)?;
        without_devices(mounted, Path::new("/"))?;
        let mut changed = self
            .mounts
            .iter()
            .filter(|mount| mount.own.set.contains(NODEV));
        changed.try_for_each(|mount| without_devices(mounted, &mount.destination))
    }
}

/// Whether devices on it are meant to be used: those of /dev and of its terminals, and what the caller bound as one.
fn may_have_devices(mount: &Planned, makes_devices: bool) -> bool {
    if mount.own.clear.contains(NODEV) {
        return true;
    }
    match &mount.what {
        // Those that a minimal /dev has are mounts of their own.
        _ if mount.is_dev() => makes_devices,
        What::Bind { source, .. } => {
            let is_device = |meta: std::fs::Metadata| {
                meta.file_type().is_char_device() || meta.file_type().is_block_device()
            };
            mount.destination == Path::new("/dev") || std::fs::metadata(source).is_ok_and(is_device)
        }
        What::FileSystem { kind, .. } => kind == "devpts" || kind == "devtmpfs",
        What::Groups => false,
    }
}

/// No device node on the mount at `place` can be opened.
///
/// # Errors
/// What openat2(2) and mount_setattr(2) answer.
pub(super) fn without_devices(mounted: &Mounted, place: &Path) -> Result<(), SysError> {
    let fd = match place.parent() {
        None => {
            let fd = std::os::fd::AsFd::as_fd(mounted.root()).try_clone_to_owned();
            fd.call(|| "fcntl(F_DUPFD_CLOEXEC)".into())?
        }
        Some(_) => mounted
            .root()
            .find(place)
            .call(|| format!("openat2({})", mounted.show(place)))?,
    };
    Tree::from(fd).change_in_place(Attributes::only(NODEV), place)
}
