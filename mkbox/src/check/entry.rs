//! The way into a box, gone by a child in a mount namespace of its own.

use std::fs::{self, File};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use rustix::cmsg_space;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsmount, fsopen, mount_change, move_mount, open_tree,
};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::fchdir;
use sys::{Teller, ToErrno, in_child};

use crate::options::Attributes;
use crate::pivot::{RealRoot, end_propagation, pivot};
use crate::sys::mount_setattr;

/// Nothing that is mounted from here on is seen by another namespace. None: it would be, so nothing may be mounted.
pub(super) fn seal(tell: &mut Teller) -> Option<RealRoot> {
    tell.tell(
        "propagation",
        end_propagation().map_err(|error| error.errno),
    )
}

/// As `mkbox exec` does it, with `directory` as the box; tells each step under the name of its call.
pub(super) fn enter(tell: &mut Teller, directory: &Path) {
    let directory = &below_root(directory);
    let tree = tell.tell("open_tree", clone_tree(directory, true));
    tell.tell("fsmount", new_tmpfs());
    if let Some(copy) = tree
        .as_ref()
        .and_then(|_| clone_tree(directory, false).ok())
    {
        let change = Attributes {
            set: MountAttrFlags::MOUNT_ATTR_RDONLY,
            ..Attributes::NONE
        };
        let answer = mount_setattr(copy.as_fd(), change, false, None);
        tell.tell("mount_setattr", answer);
    }
    let Some(real) = seal(tell) else { return };
    let Some(tree) = tree else { return };
    let place = File::open(directory).map_err(|error| error.to_errno());
    let moved = place.and_then(|place| move_onto(&tree, place.as_fd()));
    if tell.tell("move_mount", moved).is_none() || fchdir(&tree).is_err() {
        return;
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    if mount_change(".", private).is_err() {
        return;
    }
    let over = std::cell::Cell::new(false);
    let gone = pivot(tree.as_fd(), directory, real, &|line| {
        over.set(over.get() || line().contains("MS_MOVE"));
    });
    let gone = gone.map_err(|error| error.errno);
    if over.get() {
        tell.tell("move_root", gone);
        tell.tell("pivot_root", Err::<(), _>(Errno::EINVAL));
    } else {
        tell.tell("pivot_root", gone);
    }
}

/// Mounts `tree` on a directory.
pub(super) fn move_onto(tree: &OwnedFd, directory: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", directory, "", flags).map_err(|errno| errno.to_errno())
}

/// A box is never the root itself, which cannot be mounted on itself and then be moved away from.
fn below_root(directory: &Path) -> PathBuf {
    if directory.parent().is_some() {
        return directory.to_owned();
    }
    let below = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut below = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    below
        .next()
        .map_or_else(|| directory.to_owned(), |entry| entry.path())
}

fn clone_tree(directory: &Path, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(CWD, directory, flags)
}

/// Mounted nowhere.
pub(super) fn new_tmpfs() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
}

/// Whether the file system of `directory` can be mounted with other ids.
pub(super) fn idmap(tell: &mut Teller, directory: &Path) {
    let (Ok(tree), Some(namespace)) = (clone_tree(directory, false), user_namespace()) else {
        return;
    };
    tell.tell(
        "idmap",
        mount_setattr(
            tree.as_fd(),
            Attributes::NONE,
            false,
            Some(namespace.as_fd()),
        ),
    );
}

/// One that has a map, by the descriptor that its maker, a child, hands over before it ends.
fn user_namespace() -> Option<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None).ok()?;
    in_child(|tell| {
        if !sys::enter_user_namespace(tell, CloneFlags::empty(), true) {
            return;
        }
        if let Ok(own) = File::open("/proc/self/ns/user") {
            let fds = [own.as_fd()];
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&fds));
            let _ = sendmsg(
                &theirs,
                &[IoSlice::new(b"u")],
                &mut control,
                SendFlags::empty(),
            );
        }
    });
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0];
    let mut text = [IoSliceMut::new(&mut text)];
    recvmsg(&ours, &mut text, &mut control, RecvFlags::CMSG_CLOEXEC).ok()?;
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    })
}
