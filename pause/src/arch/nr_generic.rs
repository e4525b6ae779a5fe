//! Numbers of the system calls in linux/include/uapi/asm-generic/unistd.h: aarch64, riscv64 and all later ones.

pub(crate) const CHDIR: usize = 49;
pub(crate) const OPENAT: usize = 56;
pub(crate) const WRITE: usize = 64;
pub(crate) const WRITEV: usize = 66;
pub(crate) const EXIT_GROUP: usize = 94;
pub(crate) const KILL: usize = 129;
pub(crate) const RT_SIGACTION: usize = 134;
pub(crate) const RT_SIGPROCMASK: usize = 135;
pub(crate) const RT_SIGTIMEDWAIT: usize = 137;
pub(crate) const GETSID: usize = 156;
pub(crate) const PRCTL: usize = 167;
pub(crate) const GETPID: usize = 172;
pub(crate) const GETPPID: usize = 173;
pub(crate) const MUNMAP: usize = 215;
pub(crate) const CLONE: usize = 220;
pub(crate) const EXECVE: usize = 221;
pub(crate) const MMAP: usize = 222;
pub(crate) const WAIT4: usize = 260;
pub(crate) const CLOSE_RANGE: usize = 436;
