//! The memory of a pause that holds: a page of text, which all share, and a page with the command line, for ps(1).
#![expect(
    unsafe_code,
    reason = "mmap(2) and munmap(2) of the program's own memory"
)]

use crate::arch::{PAGE, end_of_memory, nr, syscall2, syscall5, syscall6, unmap_and_wait};
use crate::stack::Stack;
use crate::sys::{Signals, address};

/// Where the text is. pause.ld has these two.
const TEXT: usize = 0x40_0000;

/// Where the command line goes: free, and near the text, so that one table of pages has both.
const STRINGS: usize = 0x41_0000;

/// More than a stack has with the longest argv (6 MiB, execve(2)), and less than the kernel leaves free below it.
const STACK_SIZE: usize = 8 << 20;

const PR_SET_MM: usize = 35;

/// Gives all other memory back, and waits for one of [`Signals::END`]; exits with 0.
#[inline(always)]
pub(crate) fn keep_arguments_and_wait(stack: Stack) -> ! {
    let top = round_up(stack.top());
    // The kernel put the strings one after the other.
    let mut start = top;
    let mut end = top;
    for argument in stack.arguments() {
        if start == top {
            start = argument.address();
        }
        end = argument.end().address() + 1;
    }
    let length = end - start;
    let (bottom, keep) = if move_strings(start, length) {
        // A kernel takes no longer for all there is than for the stack alone.
        (round_up(STRINGS + length), end_of_memory(stack))
    } else {
        // This may be an emulator, which would go through all there is page by page: the stack alone.
        unmap_above(round_up(end), top);
        (top - STACK_SIZE, start & !(PAGE - 1))
    };
    // SAFETY: nothing but the set and the text, both below STRINGS, is used from here on.
    unsafe { unmap_and_wait(bottom, keep, Signals::END) }
}

/// Gives all other memory back, the command line too, and waits for one of [`Signals::END`]; exits with 0.
#[inline(always)]
pub(crate) fn keep_nothing_and_wait(stack: Stack) -> ! {
    let end = if is_all_ours(stack) {
        end_of_memory(stack)
    } else {
        STRINGS
    };
    // SAFETY: as above. Nothing is to be given back from STRINGS to STRINGS: EINVAL, and no harm.
    unsafe { unmap_and_wait(STRINGS, end, Signals::END) }
}

fn unmap_above(end: usize, top: usize) {
    // SAFETY: above argv's strings there is nothing but the environment. An empty range is EINVAL, and no harm.
    unsafe { syscall2(nr::MUNMAP, end, top - end) };
}

/// Nobody else lives in this memory. An emulator of another processor may, and would give itself back; none has PR_SET_MM(2const).
#[inline(always)]
fn is_all_ours(stack: Stack) -> bool {
    const PR_SET_MM_MAP_SIZE: usize = 15;
    // SAFETY: the size is an unsigned int; the first of argv, where it goes, is not read any more.
    unsafe {
        syscall5(
            nr::PRCTL,
            PR_SET_MM,
            PR_SET_MM_MAP_SIZE,
            stack.arguments().address(),
            0,
            0,
        ) == 0
    }
}

pub(crate) const fn round_up(address: usize) -> usize {
    (address + PAGE - 1) & !(PAGE - 1)
}

/// Copies the command line to [`STRINGS`] and has /proc/PID/cmdline show it there.
///
/// PR_SET_MM_MAP(2const): needs no privilege, but CONFIG_CHECKPOINT_RESTORE. Without it the command line stays where it is.
#[inline(always)]
fn move_strings(start: usize, length: usize) -> bool {
    const PR_SET_MM_MAP: usize = 14;
    /// PROT_READ | PROT_WRITE
    const PROTECTION: usize = 1 | 2;
    /// MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
    const FLAGS: usize = 0x02 | 0x10 | 0x20;
    let end = STRINGS + length;
    #[rustfmt::skip]
    let map = [
        TEXT, STRINGS, // code
        TEXT, TEXT, // data
        STRINGS - 1, STRINGS - 1, // heap: above the data, before Linux 5.15, and not what is named so in /proc/PID/maps
        end, // stack
        STRINGS, end, // arguments
        end, end, // environment: none
        0, 0xffff_ffff_0000_0000, // auxiliary vector and executable: as they are
    ];
    // SAFETY: the memory at STRINGS is used by nothing else, and mapped before it is written.
    unsafe {
        if syscall6(nr::MMAP, STRINGS, length, PROTECTION, FLAGS, usize::MAX, 0) < 0
            || syscall5(
                nr::PRCTL,
                PR_SET_MM,
                PR_SET_MM_MAP,
                address(&map),
                size_of_val(&map),
                0,
            ) < 0
        {
            return false;
        }
        for i in 0..length {
            *((STRINGS + i) as *mut u8) = *((start + i) as *const u8);
        }
    }
    true
}
