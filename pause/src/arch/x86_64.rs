//! x86_64: syscall(2), linux/arch/x86/entry/syscalls/syscall_64.tbl.
#![expect(unsafe_code, reason = "entry and system calls without a libc")]

use core::arch::asm;

use crate::stack::Stack;
use crate::sys::Signals;

/// Numbers of the system calls.
pub(crate) mod nr {
    pub(crate) const WRITE: usize = 1;
    pub(crate) const MMAP: usize = 9;
    pub(crate) const MUNMAP: usize = 11;
    pub(crate) const RT_SIGACTION: usize = 13;
    pub(crate) const RT_SIGPROCMASK: usize = 14;
    pub(crate) const WRITEV: usize = 20;
    pub(crate) const GETPID: usize = 39;
    pub(crate) const CLONE: usize = 56;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const WAIT4: usize = 61;
    pub(crate) const KILL: usize = 62;
    pub(crate) const CHDIR: usize = 80;
    pub(crate) const GETPPID: usize = 110;
    pub(crate) const GETSID: usize = 124;
    pub(crate) const RT_SIGTIMEDWAIT: usize = 128;
    pub(crate) const PRCTL: usize = 157;
    pub(crate) const EXIT_GROUP: usize = 231;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const CLOSE_RANGE: usize = 436;
}

/// Bytes; memory is mapped and unmapped by as much.
pub(crate) const PAGE: usize = 4096;

/// The end of the memory that a process can have: 47 bits, with five levels of page tables too unless it asks for
/// more. The vDSO may be above the stack.
pub(crate) const fn end_of_memory(_: Stack) -> usize {
    (1 << 47) - PAGE
}

/// Where the kernel starts: hands the stack as it came to `$run`.
macro_rules! entry {
    ($name:ident, $run:ident) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> ! {
            core::arch::naked_asm!("mov rdi, rsp", "call {run}", run = sym $run)
        }
    };
}
pub(crate) use entry;

macro_rules! syscall {
    ($name:ident $(, $argument:ident in $register:tt)*) => {
        /// # Safety
        /// What the system call of this number asks for.
        #[inline(always)]
        pub(crate) unsafe fn $name(number: usize $(, $argument: usize)*) -> isize {
            let result;
            // SAFETY: the caller's; the kernel changes rax, rcx and r11 only, and no stack.
            unsafe {
                asm!(
                    "syscall",
                    inlateout("rax") number => result,
                    $(in($register) $argument,)*
                    out("rcx") _,
                    out("r11") _,
                    options(nostack),
                );
            }
            result
        }
    };
}
syscall!(syscall0);
syscall!(syscall1, a in "rdi");
syscall!(syscall2, a in "rdi", b in "rsi");
syscall!(syscall3, a in "rdi", b in "rsi", c in "rdx");
syscall!(syscall4, a in "rdi", b in "rsi", c in "rdx", d in "r10");
syscall!(syscall5, a in "rdi", b in "rsi", c in "rdx", d in "r10", e in "r8");
syscall!(syscall6, a in "rdi", b in "rsi", c in "rdx", d in "r10", e in "r8", f in "r9");

/// Gives back the memory from `start` to `end`, with the stack this runs on; then waits for a signal of `set`, and exits with 0.
///
/// # Safety
/// Neither `set` nor the text may be in that memory.
#[inline(always)]
pub(crate) unsafe fn unmap_and_wait(start: usize, end: usize, set: &'static Signals) -> ! {
    // SAFETY: after the munmap(2) nothing is touched but `set` and the text.
    unsafe {
        asm!(
            "syscall",
            "mov rdi, r8",
            "xor esi, esi",
            // EINTR after SIGSTOP and SIGCONT
            "2:",
            "mov eax, {rt_sigtimedwait}",
            "syscall",
            "test eax, eax",
            "jle 2b",
            "xor edi, edi",
            "mov al, {exit_group}",
            "syscall",
            rt_sigtimedwait = const nr::RT_SIGTIMEDWAIT,
            exit_group = const nr::EXIT_GROUP,
            in("rax") nr::MUNMAP,
            in("rdi") start,
            in("rsi") end - start,
            in("rdx") 0,
            in("r10") size_of::<Signals>(),
            in("r8") set,
            options(noreturn),
        );
    }
}
