//! The way into a box, gone by a child in a mount namespace of its own.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsmount, fsopen, mount_change, mount_move, open_tree, unmount,
};
use rustix::process::{fchdir, pivot_root};
use sys::{Teller, ToErrno, in_child};

use crate::attach::move_onto;
use crate::sys::{mount_idmap, mount_setattr};

/// Nothing that is mounted from here on is seen by another namespace. False: it would be, so nothing may be mounted.
pub(super) fn seal(tell: &mut Teller) -> bool {
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    tell.tell("propagation", mount_change("/", slave)).is_some()
}

/// As `mkbox exec` does it, with `directory` as the box; tells each step under the name of its call.
pub(super) fn enter(tell: &mut Teller, directory: &Path) {
    let tree = tell.tell("open_tree", clone_tree(directory, true));
    tell.tell("fsmount", new_tmpfs());
    if let Some(copy) = tree
        .as_ref()
        .and_then(|_| clone_tree(directory, false).ok())
    {
        let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
        let answer = mount_setattr(copy.as_fd(), read_only, false);
        tell.tell("mount_setattr", answer.map_err(|error| error.errno));
    }
    if !seal(tell) {
        return;
    }
    let Some(tree) = tree else { return };
    let place = File::open(directory).map_err(|error| error.to_errno());
    let moved = place.and_then(|place| move_onto(&tree, place.as_fd()).map_err(|e| e.to_errno()));
    if tell.tell("move_mount", moved).is_none() || fchdir(&tree).is_err() {
        return;
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    if mount_change(".", private).is_err() {
        return;
    }
    match pivot_root(".", ".") {
        Err(rustix::io::Errno::INVAL) => {
            tell.tell("move_root", mount_move(".", "/"));
            tell.tell("pivot_root", Err::<(), _>(Errno::EINVAL));
        }
        answer => {
            let answer = answer.and_then(|()| unmount(".", UnmountFlags::DETACH));
            tell.tell("pivot_root", answer);
        }
    }
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
    tell.tell("idmap", mount_idmap(tree.as_fd(), namespace.as_fd()));
}

/// One that has a map, by the descriptor that its maker, a child, hands over before it ends.
fn user_namespace() -> Option<File> {
    let (kind, flags) = (
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
    );
    let (ours, theirs) = socketpair(AddressFamily::Unix, kind, None, flags).ok()?;
    in_child(|tell| {
        if !sys::enter_user_namespace(tell, CloneFlags::empty(), true) {
            return;
        }
        if let Ok(own) = File::open("/proc/self/ns/user") {
            let fds = [own.as_raw_fd()];
            let rights = [ControlMessage::ScmRights(&fds)];
            let text = [IoSlice::new(b"u")];
            let _ = sendmsg::<()>(theirs.as_raw_fd(), &text, &rights, MsgFlags::empty(), None);
        }
    });
    let mut text = [0];
    let mut text = [IoSliceMut::new(&mut text)];
    let mut space = nix::cmsg_space!(i32);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(ours.as_raw_fd(), &mut text, Some(&mut space), flags).ok()?;
    let number = message.cmsgs().ok()?.find_map(|part| match part {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    })?;
    // The number itself stays open until this process, which only tries, ends.
    File::open(format!("/proc/self/fd/{number}")).ok()
}
