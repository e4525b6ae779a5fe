//! Leaves the old root: propagation ended on the way in, the box the root on the way out, in a chroot and in an initramfs
//! as well.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{CWD, Mode, openat};
use rustix::mount::{
    MountAttrFlags, MountPropagationFlags, UnmountFlags, mount_change, mount_move, unmount,
};
use rustix::process::{chroot, fchdir, pivot_root};
use sys::{Call, SysError, mountinfo};

use crate::filesystem::new_filesystem;
use crate::root::{DIRECTORY, Identity};

/// How deep a chroot may lie.
const CLIMBS: usize = 4096;

/// The real root of the mount namespace, where this process's own is only a directory in it.
pub(crate) type RealRoot = Option<OwnedFd>;

/// Before the first mount: none of ours reaches the host. Its own still reach us until the box is sealed.
///
/// # Errors
/// What mount(2) answers.
pub(crate) fn end_propagation() -> Result<RealRoot, SysError> {
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    match mount_change("/", flags) {
        Ok(()) => Ok(None),
        Err(rustix::io::Errno::INVAL) => {
            let own = open("/")?;
            let real = climb(&own)?;
            let changed = mount_change(".", flags);
            changed.call(|| "mount(/, MS_REC|MS_SLAVE)".into())?;
            // The paths of the caller are those of its own root: back to it.
            fchdir(&own).call(|| "fchdir(/)".into())?;
            chroot(".").call(|| "chroot(.)".into())?;
            Ok(Some(real))
        }
        Err(errno) => Err(SysError::new("mount(/, MS_REC|MS_SLAVE)", errno)),
    }
}

fn open(path: &str) -> Result<OwnedFd, SysError> {
    openat(CWD, path, DIRECTORY, Mode::empty()).call(|| format!("open({path})"))
}

/// Out of a chroot, whose root is no mount point: only what is one can be pivoted away from, or be told about propagation.
/// This process stands in the real root of its mount namespace afterwards, and has it as its root.
///
/// Whoever may chroot may do this: `..` ends at the root directory, so one that lies elsewhere is needed first.
fn climb(own: &OwnedFd) -> Result<OwnedFd, SysError> {
    let none = MountAttrFlags::empty();
    let elsewhere = new_filesystem("tmpfs", "tmpfs", &[], none, "/")?;
    fchdir(&elsewhere.fd).call(|| "fchdir(tmpfs)".into())?;
    chroot(".").call(|| "chroot(tmpfs)".into())?;
    fchdir(own).call(|| "fchdir(/)".into())?;
    let here = |fd: &OwnedFd| -> Result<_, SysError> {
        let mount = rustix::fs::statx(
            fd,
            "",
            rustix::fs::AtFlags::EMPTY_PATH,
            rustix::fs::StatxFlags::MNT_ID,
        );
        let mount = mount.call(|| "statx(..)".into())?.stx_mnt_id;
        Ok((Identity::of(fd)?, mount))
    };
    let mut last = here(own)?;
    for _ in 0..CLIMBS {
        let above = open("..")?;
        let now = here(&above)?;
        fchdir(&above).call(|| "fchdir(..)".into())?;
        if now == last {
            chroot(".").call(|| "chroot(.)".into())?;
            return Ok(above);
        }
        last = now;
    }
    Err(SysError::new("chdir(..)", Errno::ELOOP))
}

/// Makes `root`, the box that is mounted at `path`, the root of the namespace; the old root is gone afterwards.
///
/// # Errors
/// What pivot_root(2), mount(2) and umount2(2) answer.
pub(crate) fn pivot(
    root: BorrowedFd<'_>,
    path: &Path,
    real: RealRoot,
    say: &dyn Fn(&dyn Fn() -> String),
) -> Result<(), SysError> {
    if let Some(real) = real {
        fchdir(&real).call(|| "fchdir(/)".into())?;
        chroot(".").call(|| "chroot(.)".into())?;
    }
    fchdir(root).call(|| "fchdir(box)".into())?;
    match pivot_root(".", ".") {
        Ok(()) => {
            say(&|| "pivot_root(., .)".into());
            // Both roots are mounted on one place now, the old one on top.
            unmount(".", UnmountFlags::DETACH).call(|| "umount2(., MNT_DETACH)".into())?;
            say(&|| "umount2(., MNT_DETACH)".into());
        }
        Err(rustix::io::Errno::INVAL) => {
            // The first root file system (an initramfs) cannot be pivoted away from: it is mounted over.
            let others = others(path);
            mount_move(".", "/").call(|| "mount(., /, MS_MOVE)".into())?;
            for other in others {
                // One below another is gone with it by now.
                if fchdir(other.as_fd()).is_ok() && unmount(".", UnmountFlags::DETACH).is_ok() {
                    say(&|| "umount2(., MNT_DETACH)".into());
                }
            }
            fchdir(root).call(|| "fchdir(box)".into())?;
            chroot(".").call(|| "chroot(.)".into())?;
            say(&|| {
                "pivot_root(., .): Invalid argument; mount(., /, MS_MOVE) and chroot(.) instead"
                    .into()
            });
        }
        Err(errno) => return Err(SysError::new("pivot_root(., .)", errno)),
    }
    nix::unistd::chdir("/").call(|| "chdir(/)".into())
}

/// What else is mounted, held: the old root stays below the new one, and nothing is to be reached through it.
fn others(path: &Path) -> Vec<OwnedFd> {
    let mounts = mountinfo("self").unwrap_or_default();
    let is_other = |point: &Path| point != Path::new("/") && !point.starts_with(path);
    let points = mounts.iter().map(|mount| mount.point.as_path());
    points
        .filter(|point| is_other(point))
        .filter_map(|point| openat(CWD, point, DIRECTORY, Mode::empty()).ok())
        .collect()
}
