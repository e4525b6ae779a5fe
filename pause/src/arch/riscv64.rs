//! riscv64: syscall(2).
#![expect(unsafe_code, reason = "entry and system calls without a libc")]

use core::arch::asm;

use super::nr;
use crate::memory::round_up;
use crate::stack::Stack;
use crate::sys::Signals;

/// Bytes; memory is mapped and unmapped by as much.
pub(crate) const PAGE: usize = 4096;

/// The end of the memory that is in use: nothing is above the stack.
pub(crate) fn end_of_memory(stack: Stack) -> usize {
    round_up(stack.top())
}

/// Where the kernel starts: hands the stack as it came to `$run`.
macro_rules! entry {
    ($name:ident, $run:ident) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> ! {
            core::arch::naked_asm!("mv a0, sp", "tail {run}", run = sym $run)
        }
    };
}
pub(crate) use entry;

macro_rules! syscall {
    ($name:ident, $first:ident $(, $argument:ident in $register:tt)*) => {
        /// # Safety
        /// What the system call of this number asks for.
        #[inline(always)]
        pub(crate) unsafe fn $name(number: usize, $first: usize $(, $argument: usize)*) -> isize {
            let result;
            // SAFETY: the caller's; the kernel changes a0 only, and no stack.
            unsafe {
                asm!(
                    "ecall",
                    in("a7") number,
                    inlateout("a0") $first => result,
                    $(in($register) $argument,)*
                    options(nostack),
                );
            }
            result
        }
    };
}
syscall!(syscall1, a);
syscall!(syscall2, a, b in "a1");
syscall!(syscall3, a, b in "a1", c in "a2");
syscall!(syscall4, a, b in "a1", c in "a2", d in "a3");
syscall!(syscall5, a, b in "a1", c in "a2", d in "a3", e in "a4");
syscall!(syscall6, a, b in "a1", c in "a2", d in "a3", e in "a4", f in "a5");

/// # Safety
/// What the system call of this number asks for.
#[inline(always)]
pub(crate) unsafe fn syscall0(number: usize) -> isize {
    // SAFETY: the caller's; an argument too many is not read.
    unsafe { syscall1(number, 0) }
}

/// Gives back the memory from `start` to `end`, with the stack this runs on; then waits for a signal of `set`, and exits with 0.
///
/// # Safety
/// Neither `set` nor the text may be in that memory.
#[inline(always)]
pub(crate) unsafe fn unmap_and_wait(start: usize, end: usize, set: &'static Signals) -> ! {
    // SAFETY: after the munmap(2) nothing is touched but `set` and the text.
    unsafe {
        asm!(
            "ecall",
            // EINTR after SIGSTOP and SIGCONT
            "2:",
            "mv a0, s2",
            "li a1, 0",
            "li a7, {rt_sigtimedwait}",
            "ecall",
            "blez a0, 2b",
            "li a0, 0",
            "li a7, {exit_group}",
            "ecall",
            rt_sigtimedwait = const nr::RT_SIGTIMEDWAIT,
            exit_group = const nr::EXIT_GROUP,
            in("a7") nr::MUNMAP,
            in("a0") start,
            in("a1") end - start,
            in("a2") 0,
            in("a3") size_of::<Signals>(),
            in("s2") set,
            options(noreturn),
        );
    }
}
