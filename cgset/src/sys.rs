//! The system calls that cgset needs and nobody wraps.
#![expect(
    unsafe_code,
    reason = "fork has no safe wrapper, as a child could meet another thread's lock; nor has bpf"
)]

use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::errno::Errno;

/// A copy of this process, which has one thread; fork(2). None: we are the child.
pub(crate) fn fork() -> Result<Option<i32>, Errno> {
    // SAFETY: cgset has one thread by then, so no lock is held by a thread that the child lacks.
    let pid = Errno::result(unsafe { libc::fork() })?;
    Ok((pid != 0).then_some(pid))
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
