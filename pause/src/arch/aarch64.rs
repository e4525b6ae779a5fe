//! aarch64: syscall(2).
#![expect(unsafe_code, reason = "entry and system calls without a libc")]

use core::arch::asm;

use super::nr;
use crate::memory::round_up;
use crate::stack::Stack;
use crate::sys::Signals;

/// Bytes; memory is mapped and unmapped by as much. Kernels are built for 4, 16 or 64 KiB: the largest fits all.
pub(crate) const PAGE: usize = 65536;

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
            core::arch::naked_asm!("mov x0, sp", "bl {run}", run = sym $run)
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
            // SAFETY: the caller's; the kernel changes x0 only, and no stack.
            unsafe {
                asm!(
                    "svc 0",
                    in("x8") number,
                    inlateout("x0") $first => result,
                    $(in($register) $argument,)*
                    options(nostack),
                );
            }
            result
        }
    };
}
syscall!(syscall1, a);
syscall!(syscall2, a, b in "x1");
syscall!(syscall3, a, b in "x1", c in "x2");
syscall!(syscall4, a, b in "x1", c in "x2", d in "x3");
syscall!(syscall5, a, b in "x1", c in "x2", d in "x3", e in "x4");
syscall!(syscall6, a, b in "x1", c in "x2", d in "x3", e in "x4", f in "x5");

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
            "svc 0",
            // EINTR after SIGSTOP and SIGCONT
            "2:",
            "mov x0, x21",
            "mov x1, 0",
            "mov x8, {rt_sigtimedwait}",
            "svc 0",
            "cmp w0, 0",
            "b.le 2b",
            "mov x0, 0",
            "mov x8, {exit_group}",
            "svc 0",
            rt_sigtimedwait = const nr::RT_SIGTIMEDWAIT,
            exit_group = const nr::EXIT_GROUP,
            in("x8") nr::MUNMAP,
            in("x0") start,
            in("x1") end - start,
            in("x2") 0,
            in("x3") size_of::<Signals>(),
            in("x21") set,
            options(noreturn),
        );
    }
}
