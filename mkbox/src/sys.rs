//! The system calls that neither nix nor rustix has.
#![expect(
    unsafe_code,
    reason = "mount_setattr(2) and a clone(2) that runs nothing have no safe wrapper"
)]

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use sys::{Call, SysError};

use crate::options::Attributes;

/// Changes attributes of the mount that `mount` is the root of, and with `recursive` of all that are below it; with `ids`
/// its files have the owners that this user namespace gives them.
///
/// mount_setattr(2), Linux 5.12.
///
/// # Errors
/// `ENOSYS`: the kernel is older. `EPERM`: the mount is locked by a more privileged user namespace. `EINVAL`: the file
/// system knows no other owners.
pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    change: Attributes,
    recursive: bool,
    ids: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let idmap = if ids.is_some() {
        libc::MOUNT_ATTR_IDMAP
    } else {
        0
    };
    let attributes = libc::mount_attr {
        attr_set: u64::from(change.set.bits()) | idmap,
        attr_clr: change.clear.bits().into(),
        propagation: 0,
        userns_fd: ids.map_or(0, |ids| u64::from(ids.as_raw_fd().cast_unsigned())),
    };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    set_attributes(mount, flags, &attributes)
}

fn set_attributes(
    mount: BorrowedFd<'_>,
    flags: i32,
    attributes: &libc::mount_attr,
) -> Result<(), Errno> {
    // SAFETY: the path is a NUL-terminated literal and the structure outlives the call, which reads as many
    // bytes of it as the size says and writes nothing. A descriptor in it is borrowed by the caller.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            std::ptr::from_ref(attributes),
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(answer).map(drop)
}

/// Which side of a fork this is.
#[derive(Debug)]
pub(crate) enum Fork {
    Parent(Child),
    Child(Here),
}

/// A child; ended and reaped with the value.
#[derive(Debug)]
pub(crate) struct Child(i32);

impl Child {
    pub(crate) fn pid(&self) -> i32 {
        self.0
    }

    /// Waits for its end; its status, 128 + N when signal N ended it.
    ///
    /// # Errors
    /// What waitpid(2) answers.
    pub(crate) fn wait(self) -> Result<i32, SysError> {
        let mut status = 0;
        loop {
            // SAFETY: waitpid writes one int to where there is one.
            let answer = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
            match Errno::result(answer) {
                Err(Errno::EINTR) => {}
                answer => {
                    // Reaped: its number may come to mean another.
                    std::mem::forget(self);
                    answer.call(|| "waitpid".into())?;
                    break;
                }
            }
        }
        Ok(match libc::WIFEXITED(status) {
            true => libc::WEXITSTATUS(status),
            false => 128 + libc::WTERMSIG(status),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: both calls take integers and a null pointer. The pid is of a child that was not waited for yet, so it
        // cannot have come to mean another process.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// The child's side.
#[derive(Debug)]
pub(crate) struct Here(());

impl Here {
    /// Ends this process at once: nothing of the parent's is written twice.
    pub(crate) fn end(self, status: u8) -> ! {
        // SAFETY: _exit(2) takes an integer and does not return.
        unsafe { libc::_exit(i32::from(status)) }
    }
}

/// fork(2), into new namespaces by `flags`; the child is killed when this process ends.
fn clone3(flags: i32) -> Result<Fork, SysError> {
    // SAFETY: all-zero is what clone3 documents as "not given" for every field.
    let mut arguments: libc::clone_args = unsafe { MaybeUninit::zeroed().assume_init() };
    arguments.flags = u64::from(flags.cast_unsigned());
    arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    let parent = sys::pidfd_open(std::process::id().cast_signed())?;
    // SAFETY: without CLONE_VM the child has its own copy of the memory and of the stack, as after fork(2). mkbox has one
    // thread, so no lock is held by a thread that the child lacks. The structure lives through the call and its size is
    // passed.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        )
    };
    let pid = Errno::result(answer).call(|| "clone3".into())?;
    if pid != 0 {
        // A pid fits an int by the kernel's own limit (PID_MAX_LIMIT, 2^22).
        return Ok(Fork::Parent(Child(pid as i32)));
    }
    // SAFETY: prctl takes integers here.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // In another pid namespace getppid(2) tells nothing; the descriptor does. Who was gone before the signal was asked for
    // is gone now.
    let is_gone = sys::pidfd_wait(parent.as_fd(), std::time::Duration::ZERO);
    if is_gone != Ok(false) {
        Here(()).end(1);
    }
    Ok(Fork::Child(Here(())))
}

/// A child that goes on here; fork(2) by clone3(2), Linux 5.3.
///
/// # Errors
/// As fork(2).
pub(crate) fn fork() -> Result<Fork, SysError> {
    clone3(0)
}

/// A child in a new user namespace that does nothing.
///
/// # Errors
/// `EPERM`, `ENOSPC`: no user namespace may be made here.
pub(crate) fn clone_user_namespace() -> Result<Child, SysError> {
    match clone3(libc::CLONE_NEWUSER)? {
        Fork::Parent(child) => Ok(child),
        Fork::Child(here) => {
            // SAFETY: pause(2) takes nothing and returns only to end this process.
            unsafe { libc::pause() };
            here.end(0)
        }
    }
}
