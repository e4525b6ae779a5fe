//! The system calls that nsrun alone needs and nix lacks.
#![expect(
    unsafe_code,
    reason = "clone with shared memory, seccomp, keyctl, lsm_set_self_attr, sched_setattr, ioprio_set and a nsfs ioctl have no safe wrapper"
)]

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use crate::drop::Instruction;

/// Installs a filter of system calls for this thread and what it runs; seccomp(2), SECCOMP_SET_MODE_FILTER, Linux 3.17.
///
/// # Errors
/// `EACCES`: neither no_new_privs nor CAP_SYS_ADMIN.
pub(crate) fn seccomp(program: &[Instruction], flags: u32) -> Result<(), Errno> {
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|&Instruction { code, jt, jf, k }| libc::sock_filter { code, jt, jf, k })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::EINVAL)?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the kernel reads `len` instructions through a pointer to as many, which live until it has returned.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    Errno::result(answer).map(drop)
}

/// What a security module is told about the next exec; lsm_set_self_attr(2), Linux 6.8.
///
/// # Errors
/// `EOPNOTSUPP`: the module `id` is not active. `ENOSYS`: an older kernel.
pub(crate) fn lsm_set_exec(id: u64, text: &[u8]) -> Result<(), Errno> {
    const LSM_SET_SELF_ATTR: libc::c_long = 460;
    const LSM_ATTR_EXEC: libc::c_long = 101;
    let length = text.len() as u64;
    // struct lsm_ctx: id, flags, len of the whole, ctx_len, ctx.
    let mut context = Vec::with_capacity(32 + text.len());
    for word in [id, 0, 32 + length, length] {
        context.extend_from_slice(&word.to_ne_bytes());
    }
    context.extend_from_slice(text);
    // SAFETY: the kernel copies as many bytes as are named, and there are as many.
    let answer = unsafe {
        libc::syscall(
            LSM_SET_SELF_ATTR,
            LSM_ATTR_EXEC,
            context.as_ptr(),
            context.len(),
            0,
        )
    };
    Errno::result(answer).map(drop)
}

/// The scheduling policy of this thread and what belongs to it, whatever `size` says; sched_setattr(2), Linux 3.14.
///
/// # Errors
/// `EPERM`: without CAP_SYS_NICE, more than the limits allow. `EBUSY`: no time left for a deadline.
pub(crate) fn sched_setattr(mut attributes: libc::sched_attr) -> Result<(), Errno> {
    attributes.size = size_of::<libc::sched_attr>() as u32;
    // SAFETY: the kernel reads as many bytes as `size` says, which are those of the structure, and of a structure that it
    // knows less of it writes its own size into that field, which is ours to write to.
    let answer = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw mut attributes, 0) };
    Errno::result(answer).map(drop)
}

/// How early the reads and writes of this thread come; ioprio_set(2).
///
/// # Errors
/// `EPERM`: the class is the real-time one, without CAP_SYS_NICE and CAP_SYS_ADMIN.
pub(crate) fn ioprio_set(class: i32, priority: i32) -> Result<(), Errno> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    const IOPRIO_CLASS_SHIFT: i32 = 13;
    let value = class << IOPRIO_CLASS_SHIFT | priority;
    // SAFETY: ioprio_set takes three integers, and 0 is the calling thread.
    let answer = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) };
    Errno::result(answer).map(drop)
}

/// A session keyring without a name and without a key, instead of the caller's; keyctl(2).
///
/// # Errors
/// `ENOSYS`: a kernel without keys. `EDQUOT`: too many keyrings.
pub(crate) fn join_session_keyring() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    let name = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for an anonymous keyring; nothing is read.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name) };
    Errno::result(answer).map(drop)
}

/// Lets an exec leave the caller's descriptor `fd` open; fcntl(2), F_SETFD.
///
/// # Errors
/// `EBADF`: nothing is open there.
pub(crate) fn keep_open(fd: i32) -> Result<(), Errno> {
    // SAFETY: fcntl takes integers here, and the flag changes nothing before an exec.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }).map(drop)
}

/// Whether the process behind `pidfd` is there, be it as one that has ended and was not waited for.
pub(crate) fn pidfd_exists(pidfd: BorrowedFd<'_>) -> bool {
    pidfd_kill(pidfd, 0) != Err(Errno::ESRCH)
}

/// Sends any `signal`, a real-time one too; 0 is sent to nobody and only asks. pidfd_send_signal(2), Linux 5.1.
pub(crate) fn pidfd_kill(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: without a siginfo the kernel reads no memory of ours; the descriptor is open while it is borrowed.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    Errno::result(answer).map(drop)
}

/// What the kernel tells of the end of a process that is not our child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitInfo {
    /// As wait(2) has it.
    Status(i32),
    /// It lives, or has ended and was not reaped yet, or is reaped right now.
    NotReaped,
    /// The kernel is too old, or does not say.
    Unknown,
}

/// `struct pidfd_info` of linux/pidfd.h in its first version.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    /// pid, tgid, ppid, then four user and four group ids.
    ids: [u32; 11],
    exit_code: i32,
}

/// `PIDFD_GET_INFO`: `_IOWR(0xff, 11, struct pidfd_info)` with the 64 bytes of its first version.
const PIDFD_GET_INFO: libc::c_ulong = 0xc040_ff0b;

/// `PIDFD_INFO_EXIT`, Linux 6.15.
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// How the process behind `pidfd`, which was opened while it lived, has ended.
pub(crate) fn pidfd_exit(pidfd: BorrowedFd<'_>) -> ExitInfo {
    let mut info = PidfdInfo {
        mask: PIDFD_INFO_EXIT,
        ..PidfdInfo::default()
    };
    // SAFETY: the size in the request is that of the structure, which is as the kernel's header has it and lives through
    // the call. A kernel without the request answers an error and writes nothing.
    let answer = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) };
    match Errno::result(answer) {
        Ok(_) if info.mask & PIDFD_INFO_EXIT != 0 => ExitInfo::Status(info.exit_code),
        Ok(_) | Err(Errno::ESRCH) => ExitInfo::NotReaped,
        // Before 6.13 there is no such request. Before 6.15 it knows nothing of who has ended: ESRCH for ever.
        Err(_) => ExitInfo::Unknown,
    }
}

/// Bytes of the stack of a child that borrows our memory.
const STACK: usize = 256 << 10;

/// A child in the new namespaces of `flags` that runs `life` in the memory of this process, which stands still until the
/// child has exec'd or has ended with the status that `life` returns; its pid.
///
/// clone(2) with `CLONE_VM|CLONE_VFORK`, as posix_spawn(3) does it: a copy of the memory would cost a page fault for each page
/// that one of the two writes to. clone(2) cannot make a time namespace, whose bit is part of the signal there.
///
/// # Errors
/// As clone(2) and mmap(2).
pub(crate) fn vfork(flags: i32, mut life: &mut dyn FnMut() -> u8) -> Result<i32, Errno> {
    extern "C" fn begin(life: *mut libc::c_void) -> libc::c_int {
        // SAFETY: it is the pointer that vfork below has handed over, to a value on a stack that stands still.
        let life = unsafe { &mut *life.cast::<&mut dyn FnMut() -> u8>() };
        life().into()
    }
    debug_assert_eq!(flags & 0xff, 0, "a time namespace, or a signal");
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let how = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
    // SAFETY: new memory at a place of the kernel's choice overlaps nothing. It is never unmapped: this process is about to
    // wait for the child and to end.
    let stack = unsafe { libc::mmap(std::ptr::null_mut(), STACK, protection, how, -1, 0) };
    if stack == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    // SAFETY: the lowest page of the memory above; a stack that grows into it faults instead of writing elsewhere.
    Errno::result(unsafe { libc::mprotect(stack, 4096, libc::PROT_NONE) })?;
    let all = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child has a stack of its own, the whole of `stack`, whose end is aligned to a page. Until it execs or ends
    // nothing else runs in this memory: CLONE_VFORK holds this thread, and nsrun has no other. `begin` gets a pointer to a
    // live value, and by returning it ends the child and nothing else.
    Errno::result(unsafe { libc::clone(begin, stack.byte_add(STACK), all, (&raw mut life).cast()) })
}

/// `NS_GET_ID` of linux/nsfs.h: `_IOR(0xb7, 13, __u64)`.
const NS_GET_ID: libc::c_ulong = 0x8008_b70d;

/// The number of a namespace that no other has had or will have in this boot. None: the kernel is older than 6.18.
///
/// The inode is no such number: the kernel gives it to the next namespace at once.
pub(crate) fn ns_id(namespace: BorrowedFd<'_>) -> Option<u64> {
    let mut id = 0_u64;
    // SAFETY: the request writes eight bytes, and `id` has eight. Older kernels answer ENOTTY and write none.
    let answer = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_ID as _, &raw mut id) };
    (answer == 0).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn a_namespace_has_one_id_and_a_file_none() {
        let open = |path: &str| File::open(path).unwrap();
        let net = ns_id(open("/proc/self/ns/net").as_fd());
        assert_eq!(net, ns_id(open("/proc/self/ns/net").as_fd()));
        assert!(net.is_none() || net != ns_id(open("/proc/self/ns/uts").as_fd()));
        assert_eq!(ns_id(open("/proc/self/status").as_fd()), None);
    }
}
