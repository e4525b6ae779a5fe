//! Mounts as descriptors: made without a place, then mounted on one, so that no path below a box is ever resolved.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{CWD, FileType, Mode, OFlags, SealFlags, StatVfsMountFlags};
use rustix::mount::{
    MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, move_mount, open_tree,
};
use sys::{Call, SysError};

use crate::filesystem::new_filesystem;
use crate::mounts::{Planned, What};
use crate::options::Attributes;
use crate::root::{PointKind, Root};
use crate::sys::mount_setattr;

/// Who may mount.
pub(crate) const NEEDS_ADMIN: &str = "needs CAP_SYS_ADMIN: root, or nsrun exec --user";

/// A mount without a place.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) fd: OwnedFd,
    /// Attributes that have to wait until it has one: before Linux 5.12.
    late: Option<Attributes>,
}

impl From<OwnedFd> for Tree {
    fn from(fd: OwnedFd) -> Self {
        Self { fd, late: None }
    }
}

/// Says what is usually missing.
pub(crate) fn needs_admin(error: SysError) -> SysError {
    if error.errno == Errno::EPERM {
        error.hint(NEEDS_ADMIN)
    } else {
        error
    }
}

/// A copy of the mount at `path`, or of the piece of it that lies there.
pub(crate) fn clone_path(path: &Path, recursive: bool) -> Result<Tree, SysError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(CWD, path, flags)
        .call(|| format!("open_tree({})", path.display()))
        .map_err(|error| match error.errno {
            Errno::EINVAL => {
                error.hint("mounts below it are locked: bind it with the option rbind")
            }
            _ => needs_admin(error),
        })?;
    Ok(tree.into())
}

/// The same of what is open.
pub(crate) fn clone_fd(
    fd: BorrowedFd<'_>,
    recursive: bool,
    shown: impl FnOnce() -> String,
) -> Result<Tree, SysError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(fd, "", flags).call(|| format!("open_tree({})", shown()));
    Ok(tree.map_err(needs_admin)?.into())
}

/// The program at `path`, on a mount of its own that is read-only: its file cannot be overwritten through
/// /proc/PID/exe from inside the box (CVE-2019-5736). Before Linux 5.12 it is a sealed copy in memory.
pub(crate) fn read_only_copy(path: &Path) -> Result<OwnedFd, SysError> {
    let mut tree = clone_path(path, false)?;
    tree.change(Attributes::only(MountAttrFlags::MOUNT_ATTR_RDONLY), path)?;
    if tree.late.is_none() {
        return Ok(tree.fd);
    }
    let call = |name: &str| format!("{name}({})", path.display());
    let mut source = std::fs::File::open(path).call(|| call("open"))?;
    let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
    let copy = rustix::fs::memfd_create("program", flags).call(|| call("memfd_create"))?;
    let mut copy = std::fs::File::from(copy);
    std::io::copy(&mut source, &mut copy).call(|| call("sendfile"))?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals).call(|| call("fcntl(F_ADD_SEALS)"))?;
    Ok(copy.into())
}

/// What will be mounted, with its attributes.
pub(crate) fn open_source(mount: &Planned) -> Result<Tree, SysError> {
    let mut tree = match &mount.what {
        What::Bind { source, recursive } => clone_path(source, *recursive)?,
        What::Groups => new_filesystem(
            "tmpfs",
            "cgroup",
            &[("mode".into(), Some("755".into()))],
            MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NODEV
                | MountAttrFlags::MOUNT_ATTR_NOEXEC,
            mount.destination.display(),
        )?,
        What::FileSystem {
            kind,
            source,
            options,
        } => {
            let attributes = mount.own.set | mount.recursive.set;
            let place = mount.destination.display();
            let tree = new_filesystem(kind, source, options, attributes, place)?;
            idmap(&tree, mount)?;
            return Ok(tree);
        }
    };
    if matches!(mount.what, What::Groups) {
        // Its own attributes come last, when everything is in it.
        return Ok(tree);
    }
    idmap(&tree, mount)?;
    tree.change(mount.own, &mount.destination)?;
    if !mount.recursive.is_none() {
        let changed = mount_setattr(tree.fd.as_fd(), mount.recursive, true, None);
        changed.map_err(|errno| setattr_error(errno, mount.recursive, &mount.destination))?;
    }
    Ok(tree)
}

/// Gives the files on `tree` their other owners.
fn idmap(tree: &Tree, mount: &Planned) -> Result<(), SysError> {
    let Some((map, recursive)) = &mount.idmap else {
        return Ok(());
    };
    let ids = map.namespace()?;
    let set = mount_setattr(
        tree.fd.as_fd(),
        Attributes::NONE,
        *recursive,
        Some(ids.as_fd()),
    );
    set.map_err(|errno| {
        let call = format!(
            "mount_setattr({}, MOUNT_ATTR_IDMAP)",
            mount.destination.display()
        );
        let error = SysError::new(call, errno);
        match errno {
            Errno::ENOSYS => error.hint("idmap needs Linux 5.12"),
            Errno::EINVAL => {
                error.hint("this file system knows no idmap here, or not in this kernel")
            }
            Errno::EPERM => error.hint(
                "needs CAP_SYS_ADMIN in the user namespace in which the file system was mounted",
            ),
            _ => error,
        }
    })
}

/// Whether this kernel has mount_setattr(2), Linux 5.12.
pub(crate) fn has_mount_setattr() -> bool {
    let nothing = mount_setattr(rustix::fs::CWD, Attributes::NONE, false, None);
    nothing != Err(Errno::ENOSYS)
}

fn setattr_error(errno: Errno, change: Attributes, place: &Path) -> SysError {
    let call = format!(
        "mount_setattr({}, {:?})",
        place.display(),
        change.set | change.clear
    );
    let error = SysError::new(call, errno);
    match errno {
        Errno::ENOSYS => error.hint("an option with r in front needs Linux 5.12"),
        Errno::EPERM => error.hint("the mount is locked by another user namespace"),
        _ => error,
    }
}

impl Tree {
    /// Changes attributes, now or when it gets its place.
    pub(crate) fn change(&mut self, change: Attributes, place: &Path) -> Result<(), SysError> {
        if change.is_none() {
            return Ok(());
        }
        match mount_setattr(self.fd.as_fd(), change, false, None) {
            Ok(()) => Ok(()),
            Err(Errno::ENOSYS) => {
                self.late = Some(change);
                Ok(())
            }
            Err(errno) => Err(setattr_error(errno, change, place)),
        }
    }

    /// Changes attributes of one that has its place.
    pub(crate) fn change_in_place(
        &mut self,
        change: Attributes,
        place: &Path,
    ) -> Result<(), SysError> {
        self.change(change, place)?;
        self.settle(&|| place.display().to_string())
    }

    /// Mounts it on the place behind a descriptor; no path is involved.
    pub(crate) fn move_onto(
        &self,
        place: BorrowedFd<'_>,
        shown: impl Fn() -> String,
    ) -> Result<(), SysError> {
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&self.fd, "", place, "", flags).call(|| format!("move_mount({})", shown()))?;
        self.settle(&shown)
    }

    /// Does what had to wait.
    fn settle(&self, shown: &dyn Fn() -> String) -> Result<(), SysError> {
        let Some(late) = self.late else { return Ok(()) };
        let done = remount(self.fd.as_fd(), late);
        done.call(|| format!("mount({}, MS_REMOUNT|MS_BIND)", shown()))
            .map_err(|error| match error.errno {
                Errno::ENOENT => {
                    error.hint("options of a bind mount need Linux 5.12, before that /proc")
                }
                _ => error,
            })
    }
}

/// mount(2)'s way of changing the attributes of a mount that has a place: all of them at once.
fn remount(mount: BorrowedFd<'_>, change: Attributes) -> rustix::io::Result<()> {
    let now = rustix::fs::fstatvfs(mount)?.f_flag;
    let pairs = [
        (
            StatVfsMountFlags::RDONLY,
            MountAttrFlags::MOUNT_ATTR_RDONLY,
            MountFlags::RDONLY,
        ),
        (
            StatVfsMountFlags::NOSUID,
            MountAttrFlags::MOUNT_ATTR_NOSUID,
            MountFlags::NOSUID,
        ),
        (
            StatVfsMountFlags::NODEV,
            MountAttrFlags::MOUNT_ATTR_NODEV,
            MountFlags::NODEV,
        ),
        (
            StatVfsMountFlags::NOEXEC,
            MountAttrFlags::MOUNT_ATTR_NOEXEC,
            MountFlags::NOEXEC,
        ),
        (
            StatVfsMountFlags::NOATIME,
            MountAttrFlags::MOUNT_ATTR_NOATIME,
            MountFlags::NOATIME,
        ),
        (
            StatVfsMountFlags::NODIRATIME,
            MountAttrFlags::MOUNT_ATTR_NODIRATIME,
            MountFlags::NODIRATIME,
        ),
        // ST_NOSYMFOLLOW and MS_NOSYMFOLLOW, Linux 5.10.
        (
            StatVfsMountFlags::from_bits_retain(0x2000),
            MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW,
            MountFlags::from_bits_retain(0x100),
        ),
    ];
    let mut flags = MountFlags::BIND;
    for (is, attribute, flag) in pairs {
        if change.set.contains(attribute) || now.contains(is) && !change.clear.contains(attribute) {
            flags |= flag;
        }
    }
    if change.set.contains(MountAttrFlags::MOUNT_ATTR_STRICTATIME) {
        flags |= MountFlags::STRICTATIME;
    }
    // The magic link leads to the mount itself, be it a directory or a file.
    rustix::mount::mount_remount(format!("/proc/self/fd/{}", mount.as_raw_fd()), flags, c"")
}

/// Mounts `tree` on the place `inside` the mount behind `root`; the place is made if it is missing.
pub(crate) fn attach(root: &Root, inside: &Path, tree: &Tree) -> Result<(), SysError> {
    let stat = rustix::fs::fstat(&tree.fd).call(|| "fstat(mount)".into())?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => PointKind::Directory,
        _ => PointKind::File,
    };
    let point = root.mount_point(inside, kind)?;
    tree.move_onto(point.as_fd(), || root.show(inside))
}

/// The host's device at `path`, which must be the character device `major:minor`, whatever lies there in the box.
pub(crate) fn open_device(path: &str, major: u32, minor: u32) -> Result<OwnedFd, SysError> {
    let call = || format!("open({path})");
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).call(call)?;
    let stat = rustix::fs::fstat(&fd).call(call)?;
    let is_it = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(major, minor);
    if is_it {
        return Ok(fd);
    }
    Err(SysError::new(call(), Errno::ENXIO).hint("it is another device, or none"))
}

/// The step, as `-v` and `--dry-run` show it.
pub(crate) fn describe(mount: &Planned) -> String {
    let place = mount.destination.display();
    match &mount.what {
        What::Bind { source, recursive } => {
            let flags = if *recursive {
                "MS_BIND|MS_REC"
            } else {
                "MS_BIND"
            };
            let is_read_only =
                (mount.own.set | mount.recursive.set).contains(MountAttrFlags::MOUNT_ATTR_RDONLY);
            format!(
                "mount({}, {place}, {flags}{})",
                source.display(),
                if is_read_only { "|MS_RDONLY" } else { "" }
            )
        }
        What::FileSystem { kind, .. } => format!("mount({kind}, {place})"),
        What::Groups => format!("mount(cgroup, {place})"),
    }
}
