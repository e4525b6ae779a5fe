//! The system calls that cgset needs and nobody wraps.
#![expect(
    unsafe_code,
    reason = "clone3 has no safe wrapper, as a child could meet another thread's lock; nor have sigwaitinfo and bpf"
)]

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

/// A signal that was taken, and who sent it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signal {
    /// `si_signo`
    pub(crate) number: i32,
    /// `si_code`: above 0 the kernel sent it, else a process.
    pub(crate) code: i32,
}

/// Waits for one of the (blocked) signals of `set`; sigwaitinfo(2).
pub(crate) fn sigwaitinfo(set: &SigSet) -> Result<Signal, Errno> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: both pointers are to live values of their types; zeroed is a valid siginfo_t.
    unsafe {
        Errno::result(libc::sigwaitinfo(set.as_ref(), info.as_mut_ptr()))?;
        let info = info.assume_init();
        Ok(Signal {
            number: info.si_signo,
            code: info.si_code,
        })
    }
}

/// Sends `signal`, a real-time one too, to our child `pid`; kill(2).
pub(crate) fn kill(pid: Pid, signal: i32) {
    // SAFETY: kill takes two integers. A child that has ended and was not waited for takes signals and ignores them.
    unsafe { libc::kill(pid.as_raw(), signal) };
}

/// A copy of this process, born in the v2 group `group` if one is given. None: we are the child.
///
/// clone3(2) with `CLONE_INTO_CGROUP`, Linux 5.7; fork(2) without a group. Only for a process with one thread, which cgset is.
///
/// # Errors
/// `ENOSYS`, `E2BIG` or `EINVAL` where the kernel or a filter has no such birth; as for writing into cgroup.procs.
pub(crate) fn fork_into(group: Option<BorrowedFd<'_>>) -> Result<Option<Pid>, Errno> {
    /// linux/sched.h
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let answer = match group {
        // SAFETY: this process has one thread, so no lock is held by a thread that the child lacks.
        None => libc::c_long::from(unsafe { libc::fork() }),
        Some(group) => {
            // SAFETY: all-zero is what clone3 documents as "not given" for every field.
            let mut arguments: libc::clone_args = unsafe { MaybeUninit::zeroed().assume_init() };
            arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
            arguments.flags = CLONE_INTO_CGROUP;
            arguments.cgroup = u64::from(group.as_raw_fd().cast_unsigned());
            // SAFETY: without CLONE_VM the child has its own copy of memory and stack, as after fork(2), and there is one
            // thread. The structure lives through the call and its size is passed.
            unsafe {
                libc::syscall(
                    libc::SYS_clone3,
                    &raw mut arguments,
                    size_of::<libc::clone_args>(),
                )
            }
        }
    };
    let pid = Errno::result(answer)?;
    // A pid fits an int by the kernel's own limit (PID_MAX_LIMIT, 2^22).
    Ok(i32::try_from(pid)
        .ok()
        .filter(|&pid| pid > 0)
        .map(Pid::from_raw))
}

/// Ends this process at once: no destructor runs, and no buffer of the parent is written twice.
pub(crate) fn exit_now(status: u8) -> ! {
    // SAFETY: _exit(2) takes an integer and does not return; nothing of Rust's runs after it.
    unsafe { libc::_exit(i32::from(status)) }
}

/// `union bpf_attr` of bpf(2); linux/bpf.h. What is not set is zero, and so is what an older kernel does not know.
struct BpfAttributes([u8; 128]);

impl BpfAttributes {
    fn new(numbers: &[(usize, u32)]) -> Self {
        let mut attributes = Self([0; 128]);
        for &(offset, number) in numbers {
            attributes.0[offset..offset + 4].copy_from_slice(&number.to_ne_bytes());
        }
        attributes
    }

    fn address<T>(mut self, offset: usize, of: *const T) -> Self {
        let address = u64::try_from(of.expose_provenance()).unwrap_or_default();
        self.0[offset..offset + 8].copy_from_slice(&address.to_ne_bytes());
        self
    }

    /// # Safety
    /// Every address in it is of memory that is as long as `command` takes it to be, and may be written where it writes.
    unsafe fn call(&mut self, command: libc::c_int) -> Result<libc::c_int, Errno> {
        let size = self.0.len();
        // SAFETY: the attributes themselves are 128 bytes that may be written; the rest is the caller's promise.
        let answer = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), size) };
        Errno::result(answer).map(|answer| i32::try_from(answer).unwrap_or_default())
    }
}

/// A descriptor that bpf(2) has just answered with.
fn bpf_descriptor(number: libc::c_int) -> OwnedFd {
    // SAFETY: the kernel made it for this call, so nobody else has or closes it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// A program that judges the use of devices, called `name` (15 bytes at most).
pub(crate) fn bpf_prog_load(instructions: &[[u8; 8]], name: &[u8]) -> Result<OwnedFd, Errno> {
    const BPF_PROG_LOAD: libc::c_int = 5;
    const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
    let count = u32::try_from(instructions.len()).map_err(|_| Errno::E2BIG)?;
    let numbers = [
        (0, BPF_PROG_TYPE_CGROUP_DEVICE),
        (4, count),
        (68, BPF_CGROUP_DEVICE),
    ];
    let mut attributes = BpfAttributes::new(&numbers)
        .address(8, instructions.as_ptr())
        .address(16, c"Dual MIT/GPL".as_ptr());
    let length = name.len().min(15);
    attributes.0[48..48 + length].copy_from_slice(&name[..length]);
    // SAFETY: `instructions` lives through the call and has `count` of them; the licence ends with a zero.
    let loaded = unsafe { attributes.call(BPF_PROG_LOAD) };
    loaded.map(bpf_descriptor)
}

/// `enum bpf_attach_type`
const BPF_CGROUP_DEVICE: u32 = 6;

/// Lets `program` judge for `group`, beside others above and below it, in the place of `replaced` (Linux 5.6).
pub(crate) fn bpf_prog_attach(
    program: BorrowedFd<'_>,
    group: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    const BPF_PROG_ATTACH: libc::c_int = 8;
    const BPF_F_ALLOW_MULTI: u32 = 2;
    const BPF_F_REPLACE: u32 = 4;
    let flags = BPF_F_ALLOW_MULTI | replaced.map_or(0, |_| BPF_F_REPLACE);
    let mut attributes = BpfAttributes::new(&[
        (0, number(group)),
        (4, number(program)),
        (8, BPF_CGROUP_DEVICE),
        (12, flags),
        (16, replaced.map_or(0, number)),
    ]);
    // SAFETY: there is no address in it.
    unsafe { attributes.call(BPF_PROG_ATTACH) }.map(drop)
}

/// Numbers of the programs that judge devices for `group` itself.
pub(crate) fn bpf_prog_query(group: BorrowedFd<'_>) -> Result<Vec<u32>, Errno> {
    const BPF_PROG_QUERY: libc::c_int = 16;
    /// BPF_CGROUP_MAX_PROGS of the kernel
    const MOST: u32 = 64;
    let mut ids = [0_u32; MOST as usize];
    let numbers = [(0, number(group)), (4, BPF_CGROUP_DEVICE), (24, MOST)];
    let mut attributes = BpfAttributes::new(&numbers).address(16, ids.as_mut_ptr());
    // SAFETY: `ids` lives through the call, may be written and has room for MOST, which the call is told.
    unsafe { attributes.call(BPF_PROG_QUERY) }?;
    let count = attributes.0[24..28].try_into().map(u32::from_ne_bytes);
    let count = usize::try_from(count.unwrap_or_default()).unwrap_or_default();
    Ok(ids.into_iter().take(count).collect())
}

pub(crate) fn bpf_prog_get_fd_by_id(id: u32) -> Result<OwnedFd, Errno> {
    const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
    // SAFETY: there is no address in it.
    let found = unsafe { BpfAttributes::new(&[(0, id)]).call(BPF_PROG_GET_FD_BY_ID) };
    found.map(bpf_descriptor)
}

/// The sum that the kernel makes of a program's instructions, and the name it was loaded with.
pub(crate) fn bpf_info(program: BorrowedFd<'_>) -> Result<([u8; 8], [u8; 16]), Errno> {
    const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
    /// The beginning of `struct bpf_prog_info`, up to the name: Linux 4.15.
    const LENGTH: usize = 80;
    let mut info = [0_u8; LENGTH];
    let numbers = [(0, number(program)), (4, LENGTH as u32)];
    let mut attributes = BpfAttributes::new(&numbers).address(8, info.as_mut_ptr());
    // SAFETY: `info` lives through the call, may be written and is as long as the call is told.
    unsafe { attributes.call(BPF_OBJ_GET_INFO_BY_FD) }?;
    let (mut tag, mut name) = ([0; 8], [0; 16]);
    tag.copy_from_slice(&info[8..16]);
    name.copy_from_slice(&info[64..80]);
    Ok((tag, name))
}
