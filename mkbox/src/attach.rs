//! Mounts as descriptors: made without a place, then mounted on one, so that no path below a box is ever resolved.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{CWD, FileType};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use sys::{Call, SysError};

use crate::mounts::{Planned, What};
use crate::root::{PointKind, Root};
use crate::sys::mount_setattr;

/// Who may mount.
pub(crate) const NEEDS_ADMIN: &str = "needs CAP_SYS_ADMIN: root, or nsrun exec --user";

/// Says what is usually missing.
pub(crate) fn needs_admin(error: SysError) -> SysError {
    if error.errno == Errno::EPERM {
        error.hint(NEEDS_ADMIN)
    } else {
        error
    }
}

/// The program at `path`, on a mount of its own that is read-only: its file cannot be overwritten through
/// /proc/PID/exe from inside the box (CVE-2019-5736).
pub(crate) fn read_only_copy(path: &Path) -> Result<OwnedFd, SysError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, path, flags).call(|| format!("open_tree({})", path.display()))?;
    mount_setattr(tree.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, false)?;
    Ok(tree)
}

/// What will be mounted, with its attributes, as a mount without a place.
pub(crate) fn open_source(mount: &Planned) -> Result<OwnedFd, SysError> {
    match &mount.what {
        What::Bind { source, recursive } => {
            let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            if *recursive {
                flags |= OpenTreeFlags::AT_RECURSIVE;
            }
            let tree = open_tree(CWD, source, flags)
                .call(|| format!("open_tree({})", source.display()))
                .map_err(|error| match error.errno {
                    Errno::EINVAL => {
                        error.hint("mounts below it are locked: bind it with the option rbind")
                    }
                    _ => error,
                })?;
            if !mount.attributes.is_empty() {
                mount_setattr(tree.as_fd(), mount.attributes, false)?;
            }
            if !mount.recursive.is_empty() {
                mount_setattr(tree.as_fd(), mount.recursive, true)?;
            }
            Ok(tree)
        }
        What::FileSystem {
            kind,
            source,
            options,
        } => make_filesystem(mount, kind, source, options),
    }
}

/// A new mount of a file system: fsopen(2), fsconfig(2), fsmount(2), Linux 5.2.
fn make_filesystem(
    mount: &Planned,
    kind: &str,
    source: &str,
    options: &[(String, Option<String>)],
) -> Result<OwnedFd, SysError> {
    let call = |what: &str| format!("{what}({kind}, {})", mount.destination.display());
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .call(|| call("fsopen"))
        .map_err(|error| match error.errno {
            Errno::ENODEV => error.hint("this kernel has no such file system"),
            _ => needs_admin(error),
        })?;
    let set = |key: &str, value: Option<&str>| {
        let answer = match value {
            Some(value) => fsconfig_set_string(&context, key, value),
            None => fsconfig_set_flag(&context, key),
        };
        let said = |errno| {
            SysError::new(
                format!("fsconfig({kind}, {key}): {}", message(context.as_fd())),
                errno,
            )
        };
        answer.map_err(said)
    };
    set("source", Some(source))?;
    for (key, value) in options {
        set(key, value.as_deref())?;
    }
    fsconfig_create(&context)
        .call(|| call("fsconfig"))
        .map_err(|error| match error.errno {
            Errno::EPERM => {
                error.hint("needs CAP_SYS_ADMIN in the user namespace that owns what is mounted")
            }
            _ => error,
        })?;
    fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        mount.attributes | mount.recursive,
    )
    .call(|| call("fsmount"))
}

/// What the kernel has to say about the last call on a file system context; fsopen(2).
fn message(context: BorrowedFd<'_>) -> String {
    let mut buffer = [0; 256];
    let read = rustix::io::read(context, &mut buffer).unwrap_or(0);
    let text = String::from_utf8_lossy(&buffer[..read]);
    // "e ", "w " or "i ", then the text.
    text.get(2..).unwrap_or_default().trim_end().to_owned()
}

/// Mounts `tree` on its place in the box, which is made if it is missing.
pub(crate) fn attach(root: &Root, mount: &Planned, tree: OwnedFd) -> Result<(), SysError> {
    let stat = rustix::fs::fstat(&tree).call(|| "fstat(mount)".into())?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => PointKind::Directory,
        _ => PointKind::File,
    };
    let point = root.mount_point(&mount.destination, kind)?;
    move_onto(&tree, point.as_fd())
        .call(|| format!("move_mount({})", root.show(&mount.destination)))
}

/// Mounts the tree behind one descriptor on the place behind another; no path is involved.
pub(crate) fn move_onto(tree: &OwnedFd, place: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", place, "", flags)
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
                (mount.attributes | mount.recursive).contains(MountAttrFlags::MOUNT_ATTR_RDONLY);
            format!(
                "mount({}, {place}, {flags}{})",
                source.display(),
                if is_read_only { "|MS_RDONLY" } else { "" }
            )
        }
        What::FileSystem { kind, .. } => format!("mount({kind}, {place})"),
    }
}
